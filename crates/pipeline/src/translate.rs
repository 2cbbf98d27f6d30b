//! Translation: the one routine that decides what happens to a packet.
//!
//! Forwarding, revalidation, trace and the differential check all run [`Translation::run`]; with `effects` off nothing is
//! learned. It walks the tables of the packet's bridge and, through patch ports, of the bridges behind it, and gathers
//! datapath actions, every bit that decided, whom to credit, and what must stand. Header changes are gathered in the key
//! and written out as `Set` actions only before the packet leaves (*commit*).
//!
//! A packet whose headers must be read anew (after `pop_mpls`) freezes the translation: what is left is kept under a
//! recirculation id, and thawed when the packet has been looked up again.

use std::sync::Arc;

use heddle_datapath::{Action as Act, Change, Translation as Outcome, Translator};
use heddle_flow::layout::*;
use heddle_flow::{Field, FlowKey, FlowMask};
use heddle_openflow::group::GroupKind;
use heddle_openflow::{Action, Instruction, port};
use heddle_wire::{Packet, ethertype};

use crate::bridge::{Bridge, Network, PacketIn, Place};
use crate::decision::{Credit, Dependency, Kept, Visit};
use crate::flow_mod::TABLES;
use crate::frozen::{Frozen, Punt, Step};
use crate::group::connection_fields;

use crate::table::{Attachment, Flow, Fragments, Miss, Port, Snapshot};
use crate::trace::{Kind, Story};

/// Bridges and resubmissions within each other.
const MAX_DEPTH: u32 = 64;
/// Tables looked at, and outputs made, for one packet.
const MAX_LOOKUPS: u32 = 4096;
const MAX_OUTPUTS: usize = 1024;

/// Transport ports, or ICMP type and code, within their word.
const PORTS: u64 = 0xffff_ffff;

/// Words that the pipeline alone has.
const PIPELINE: std::ops::Range<usize> = METADATA..WORDS;

/// Where a translation is: the bridge, and what belongs to the packet's stay in it.
#[derive(Clone)]
struct Stay {
    bridge: Arc<Bridge>,
    snapshot: Arc<Snapshot>,
    in_port: u32,
    table: u8,
    cookie: u64,
    table_miss: bool,
    action_set: Vec<Action>,
}

/// What becomes of a packet that a table has no flow for.
#[derive(Clone, Copy)]
enum Misses {
    /// What is configured.
    Configured,
    /// It is dropped: nobody asked for more than to try that table.
    Dropped,
}

/// One run.
pub struct Translation<'a> {
    network: &'a Network,
    now_ms: u64,
    effects: bool,
    stay: Stay,
    key: FlowKey,
    /// What the packet's headers are, after the actions gathered so far.
    base: FlowKey,
    written: FlowMask,
    /// What was written since the last commit.
    uncommitted: FlowMask,
    mask: FlowMask,
    actions: Vec<Act>,
    kept: Kept,
    depth: u32,
    lookups: u32,
    frozen: Option<Vec<Step>>,
    /// Why all that was gathered is thrown away.
    error: Option<&'static str>,
    /// What follows is not done; what was gathered stands.
    halted: bool,
    dropped: Option<&'static str>,
    cacheable: bool,
    /// Whether the packet came without a tag.
    untagged: Option<bool>,
    story: Option<Story>,
}

/// What a run yields for those who want to know why.
pub struct Explained {
    /// What the datapath gets.
    pub outcome: Outcome,
    /// The walk.
    pub story: Story,
    /// What was looked at to decide; what it is cached for also tells tagged packets from others.
    pub looked_at: FlowMask,
    /// The key at the end.
    pub last: FlowKey,
}

impl<'a> Translation<'a> {
    /// Decides on a packet with this key, as the datapath extracted it.
    pub fn run(network: &'a Network, key: &FlowKey, now_ms: u64, effects: bool) -> Outcome {
        Self::explained(network, key, now_ms, effects, false).outcome
    }

    /// Decides, and says why if `explain`.
    pub fn explained(
        network: &'a Network,
        key: &FlowKey,
        now_ms: u64,
        effects: bool,
        explain: bool,
    ) -> Explained {
        let begun = match key.recirc_id() {
            0 => network.place(key.in_port()).map(|place| (place, None)).ok_or("port is not attached"),
            // A packet that a controller sent has no port of the datapath; the state knows where it is.
            id => Self::thawed(network, id).map(|(place, state)| (place, Some(state))),
        };
        let (place, state) = match begun {
            Ok(begun) => begun,
            Err(why) => {
                let (story, looked_at) = Default::default();
                return Explained { outcome: nothing(why), story, looked_at, last: *key };
            }
        };
        let mut this = Self::enter(network, key, &place, now_ms, effects);
        this.story = explain.then(Story::default);
        match state {
            None => this.pipeline(),
            Some(state) => this.thaw(key.recirc_id(), state),
        }
        this.finish()
    }

    /// Says what is decided on a packet with this key that comes to `place`.
    pub fn explained_at(
        network: &'a Network,
        place: &Place,
        key: &FlowKey,
        now_ms: u64,
        effects: bool,
    ) -> Explained {
        let mut this = Self::enter(network, key, place, now_ms, effects);
        this.story = Some(Story::default());
        this.pipeline();
        this.finish()
    }

    /// Says what a controller's packet-out of these actions does with a packet of this key.
    pub fn explained_packet_out(
        network: &'a Network,
        bridge: &Arc<Bridge>,
        key: &FlowKey,
        actions: &[Action],
        now_ms: u64,
        effects: bool,
    ) -> Explained {
        let place = Place { bridge: Arc::clone(bridge), port: key.in_port(), counters: Arc::default() };
        let mut this = Self::enter(network, key, &place, now_ms, effects);
        this.story = Some(Story::default());
        let name = bridge.name.clone();
        this.open(Kind::Bridge, || format!("bridge(\"{name}\")"));
        this.apply(actions);
        this.end_of_pipeline();
        this.freeze_rest();
        this.finish()
    }

    /// Decides what a controller's packet-out asks: these actions, for a packet that came in by `in_port` of `bridge`.
    pub fn packet_out(
        network: &'a Network,
        bridge: &Arc<Bridge>,
        in_port: u32,
        key: &FlowKey,
        actions: &[Action],
        now_ms: u64,
    ) -> Outcome {
        let place = Place { bridge: Arc::clone(bridge), port: in_port, counters: Arc::default() };
        let mut this = Self::enter(network, key, &place, now_ms, true);
        // No flow sent it, which all ones say in a packet-in, as Open vSwitch has it.
        this.stay.cookie = u64::MAX;
        this.apply(actions);
        this.end_of_pipeline();
        this.freeze_rest();
        this.finish().outcome
    }

    fn enter(network: &'a Network, key: &FlowKey, place: &Place, now_ms: u64, effects: bool) -> Self {
        let mut entered = *key;
        entered.set_in_port(place.port);
        entered.set_recirc_id(0);
        Self {
            network,
            now_ms,
            effects,
            stay: Stay {
                bridge: Arc::clone(&place.bridge),
                snapshot: place.bridge.snapshot(),
                in_port: place.port,
                table: 0,
                cookie: 0,
                table_miss: false,
                action_set: Vec::new(),
            },
            key: entered,
            base: entered,
            written: FlowMask::default(),
            uncommitted: FlowMask::default(),
            mask: FlowMask::default(),
            actions: Vec::new(),
            kept: Kept::default(),
            depth: 0,
            lookups: 0,
            frozen: None,
            error: None,
            halted: false,
            dropped: None,
            cacheable: true,
            untagged: None,
            story: None,
        }
    }

    fn finish(mut self) -> Explained {
        if let Some(reason) = self.error {
            self.actions.clear();
            self.dropped = Some(reason);
        } else if !self.actions.is_empty() {
            self.dropped = None;
        }
        let looked_at = self.mask;
        if self.untagged == Some(true) {
            self.mask.add(Field::VlanTci);
        }
        let outcome = Outcome {
            drop: if self.actions.is_empty() { self.dropped.or(Some("dropped by flow")) } else { None },
            actions: self.actions,
            mask: self.mask,
            decision: Box::new(self.kept),
            cacheable: self.cacheable,
        };
        Explained { outcome, story: self.story.unwrap_or_default(), looked_at, last: self.key }
    }

    fn explain(&mut self, kind: Kind, text: impl FnOnce() -> String) {
        if let Some(story) = &mut self.story {
            story.tell(kind, text());
        }
    }

    /// Begins a part of the story; what follows belongs to it until [`Self::close_to`].
    fn open(&mut self, kind: Kind, text: impl FnOnce() -> String) {
        if let Some(story) = &mut self.story {
            story.open(kind, text());
        }
    }

    fn level(&self) -> usize {
        self.story.as_ref().map_or(0, Story::level)
    }

    fn close_to(&mut self, level: usize) {
        if let Some(story) = &mut self.story {
            story.close_to(level);
        }
    }

    fn drop_because(&mut self, reason: &'static str) {
        let (kind, text) = crate::trace::drop_words(reason);
        self.explain(kind, || text.to_owned());
        self.dropped.get_or_insert(reason);
    }

    fn fail(&mut self, reason: &'static str) {
        self.explain(Kind::Error, || reason.to_owned());
        self.error.get_or_insert(reason);
    }

    /// Tables from 0, then the action set; keeps what a freeze leaves.
    fn pipeline(&mut self) {
        let name = self.stay.bridge.name.clone();
        self.open(Kind::Bridge, || format!("bridge(\"{name}\")"));
        self.depend();
        // As Open vSwitch's, a megaflow is one of its Ethernet type, and where there is no tag, of packets without one: the
        // text of datapath flows has no words for others.
        self.look_at(Field::EthType);
        self.untagged.get_or_insert(self.key.vlan_tci() == 0);
        let is_out = |port: &Arc<Port>| port.link_down;
        if self.config_of(self.stay.in_port) & (port::config::DOWN | port::config::NO_RECV) != 0
            || self.stay.snapshot.ports.get(&self.stay.in_port).is_some_and(is_out)
        {
            return self.drop_because("port does not receive");
        }
        if self.stay.snapshot.standalone {
            self.explain(Kind::Detail, || "the bridge's controllers are gone: it forwards by itself".into());
            self.explain(Kind::Action, || "NORMAL".into());
            return self.normal();
        }
        self.enter_table(0, self.stay.in_port, Misses::Configured);
        self.end_of_pipeline();
        self.freeze_rest();
    }

    fn end_of_pipeline(&mut self) {
        if self.frozen.is_none() && !self.over() {
            self.run_action_set();
        }
    }

    fn thawed(network: &Network, id: u32) -> Result<(Place, Frozen), &'static str> {
        let state = network.frozen.value(id).ok_or("recirculation is stale")?;
        let bridge = network.bridge(&state.bridge).ok_or("recirculation is stale")?;
        Ok((Place { bridge, port: state.in_port, counters: Arc::default() }, state))
    }

    fn thaw(&mut self, id: u32, state: Frozen) {
        let name = self.stay.bridge.name.clone();
        self.open(Kind::Bridge, || format!("bridge(\"{name}\")"));
        self.open(Kind::Table, || "thaw".into());
        self.explain(Kind::Action, || format!("Resuming from table {}, recirculation {id:#x}", state.table));
        self.close_to(1);
        self.depend();
        self.stay.table = state.table;
        self.stay.action_set = state.action_set;
        self.key.words[PIPELINE].copy_from_slice(&state.words);
        self.written.words[PIPELINE].fill(u64::MAX);
        for step in state.steps {
            match (&mut self.frozen, step) {
                (Some(rest), step) => rest.push(step),
                (None, Step::Actions(actions)) => self.apply(&actions),
                (None, Step::Instructions(instructions)) => self.instructions(&instructions),
            }
        }
        self.end_of_pipeline();
        self.freeze_rest();
    }

    /// Where the translation froze, ends it with a recirculation.
    fn freeze_rest(&mut self) {
        let Some(steps) = self.frozen.take() else { return };
        let state = Frozen {
            bridge: self.stay.bridge.name.clone(),
            in_port: self.stay.in_port,
            table: self.stay.table,
            words: self.key.words[PIPELINE].to_vec(),
            steps,
            action_set: std::mem::take(&mut self.stay.action_set),
        };
        let (id, forgot) = self.network.frozen.number(&state);
        self.actions.push(Act::Recirculate(id));
        self.renumber(forgot);
    }

    /// Where numbers were forgotten, the decisions that name them are made again.
    fn renumber(&mut self, forgot: bool) {
        if forgot {
            self.network.decide_again();
        }
    }

    /// Whether nothing more is to be done.
    fn over(&self) -> bool {
        self.halted || self.error.is_some()
    }

    /// What a controller has set of a port of this bridge.
    fn config_of(&self, number: u32) -> u32 {
        self.stay.snapshot.ports.get(&number).map_or(0, |port| port.config)
    }

    /// Looks a table up for a packet that is in by `in_port`, and runs what it says. The flow's actions find the port that
    /// the packet is really in by, so that flooding and `IN_PORT` do what they say.
    fn enter_table(&mut self, table: u8, in_port: u32, misses: Misses) {
        if self.over() {
            return;
        }
        self.lookups += 1;
        if self.lookups > MAX_LOOKUPS {
            return self.fail("too many resubmissions");
        }
        self.depend();
        let snapshot = Arc::clone(&self.stay.snapshot);
        let mut visit = Visit { table, in_port, written: self.written, matched: false };
        let mut key = self.key;
        key.set_in_port(in_port);
        if matches!(key.eth_type(), ethertype::IPV4 | ethertype::IPV6) {
            self.look_at(Field::IpFrag);
        }
        if key.frag() & FRAG_ANY != 0 {
            match snapshot.fragments {
                Fragments::Drop => {
                    let level = self.level();
                    self.open(Kind::Table, || {
                        format!(
                            "{table:2}. Packets are IP fragments and the fragment handling mode is \"drop\"."
                        )
                    });
                    self.drop_because("fragment");
                    return self.close_to(level);
                }
                // Only the first fragment has ports, so no flow may tell fragments apart by them.
                Fragments::Normal => {
                    key.words[TRANSPORT] &= !PORTS;
                    visit.written.words[TRANSPORT] |= PORTS;
                }
                Fragments::Match => {}
            }
        }
        let mut looked_at = FlowMask::default();
        let found = snapshot.lookup(table, &key, &mut looked_at).cloned();
        visit.matched = found.is_some();
        if let Some(looks) = self.looks() {
            looks.push(visit);
        }
        self.look(&looked_at);
        self.stay.table = table;
        let level = self.level();
        match found {
            Some(flow) => self.run_flow(&flow),
            None => {
                self.open(Kind::Table, || format!("{table:2}. No match."));
                self.missed(table, in_port, misses);
            }
        }
        self.close_to(level);
    }

    /// No flow of this table takes the packet.
    fn missed(&mut self, table: u8, in_port: u32, misses: Misses) {
        let snapshot = Arc::clone(&self.stay.snapshot);
        let configured = match misses {
            Misses::Configured => snapshot.misses.get(&table).copied().unwrap_or_default(),
            Misses::Dropped => Miss::Drop,
        };
        match configured {
            Miss::Default if !snapshot.shows_misses => self.drop_because("no matching flow"),
            Miss::Default | Miss::Controller => self.show_miss(),
            Miss::Continue if table < TABLES - 1 => self.enter_table(table + 1, in_port, misses),
            Miss::Continue | Miss::Drop => self.drop_because("no matching flow"),
        }
    }

    /// Bits that were looked at count, where their values are the packet's own.
    fn look(&mut self, bits: &FlowMask) {
        for word in 0..WORDS {
            self.mask.words[word] |= bits.words[word] & !self.written.words[word];
        }
    }

    fn look_at(&mut self, field: Field) {
        let mut bits = FlowMask::default();
        bits.add(field);
        self.look(&bits);
    }

    /// The looks at this bridge's tables so far.
    fn looks(&mut self) -> Option<&mut Vec<Visit>> {
        let bridge = &self.stay.bridge;
        self.kept.dependencies.iter_mut().find_map(|dependency| match dependency {
            Dependency::Flows { bridge: known, visits, .. } if Arc::ptr_eq(known, bridge) => Some(visits),
            _ => None,
        })
    }

    /// Makes the decision depend on this bridge's configuration, as it is when the packet first gets here.
    fn depend(&mut self) {
        if self.looks().is_some() {
            return;
        }
        let bridge = Arc::clone(&self.stay.bridge);
        // The number is read before the snapshot, so that a change between the two is seen as one.
        let seen = self.network.change.number();
        self.stay.snapshot = bridge.snapshot();
        self.kept.dependencies.push(Dependency::Flows { bridge, seen, visits: Vec::new() });
    }

    fn run_flow(&mut self, flow: &Arc<Flow>) {
        self.kept.credits.push(Credit::Flow(Arc::clone(&flow.stats)));
        self.stay.cookie = flow.cookie;
        self.stay.table_miss = flow.priority == 0 && flow.matching.is_any();
        self.open(Kind::Table, || crate::trace::flow_words(flow));
        if flow.instructions.is_empty() {
            self.explain(Kind::Action, || "drop".into());
        }
        self.instructions(&flow.instructions);
    }

    fn instructions(&mut self, instructions: &[Instruction]) {
        for (index, instruction) in instructions.iter().enumerate() {
            if self.over() {
                return;
            }
            if !matches!(instruction, Instruction::Apply(_)) {
                let words = || heddle_openflow::text::print_instructions(std::slice::from_ref(instruction));
                self.explain(Kind::Action, words);
            }
            match instruction {
                Instruction::Apply(actions) => self.apply(actions),
                Instruction::Clear => self.stay.action_set.clear(),
                Instruction::Write(actions) => write_actions(&mut self.stay.action_set, actions),
                Instruction::WriteMetadata { value, mask } => {
                    self.write(Field::Metadata, u128::from(*value), u128::from(*mask));
                }
                Instruction::GotoTable(table) => {
                    self.enter_table(*table, self.stay.in_port, Misses::Configured)
                }
                Instruction::Meter(_) => {}
            }
            if let Some(rest) = &mut self.frozen {
                rest.push(Step::Instructions(instructions[index + 1..].to_vec()));
                return;
            }
        }
    }

    fn apply(&mut self, actions: &[Action]) {
        for (index, action) in actions.iter().enumerate() {
            if self.over() {
                return;
            }
            self.explain(Kind::Action, || heddle_openflow::text::print_action(action));
            self.act(action);
            if let Some(rest) = &mut self.frozen {
                rest.push(Step::Actions(actions[index + 1..].to_vec()));
                return;
            }
        }
    }

    /// Runs the action set in the order that OpenFlow 1.3.5 section 5.10 gives.
    fn run_action_set(&mut self) {
        let mut set = std::mem::take(&mut self.stay.action_set);
        set.sort_by_key(set_order);
        if !set.is_empty() {
            let level = self.level();
            self.open(Kind::Table, || "--. Executing action set:".into());
            self.apply(&set);
            self.close_to(level);
        }
    }

    fn act(&mut self, action: &Action) {
        match *action {
            Action::Output { port, max_len } => self.output(port, max_len),
            Action::SetField { field, value, mask } => self.set_field(field, value, mask),
            Action::PushVlan(tpid) => self.push_vlan(tpid),
            Action::PopVlan => self.pop_vlan(),
            Action::PushMpls(eth_type) => self.push_mpls(eth_type),
            Action::PopMpls(eth_type) => self.pop_mpls(eth_type),
            Action::SetTtl(ttl) => self.set_field(Field::NwTtl, u128::from(ttl), 0xff),
            Action::SetMplsTtl(ttl) => self.set_field(Field::MplsTtl, u128::from(ttl), 0xff),
            Action::DecTtl => self.decrement(Field::NwTtl),
            Action::DecMplsTtl => self.decrement(Field::MplsTtl),
            Action::Group(id) => self.group(id),
            Action::Resubmit { port, table } => self.resubmit(port, table, Misses::Dropped),
            Action::Move { src, src_ofs, dst, dst_ofs, n_bits } => {
                self.move_bits(src, src_ofs, dst, dst_ofs, n_bits);
            }
            Action::Controller { max_len, reason, .. } => self.punt(reason, max_len),
            // Refused when a flow is added: see `flow_mod`.
            _ => {}
        }
    }

    fn write(&mut self, field: Field, value: u128, mask: u128) {
        if matches!(field, Field::VlanTci | Field::VlanVid | Field::VlanPcp) {
            // Whether a tag is changed or pushed depends on there being one.
            self.look_at(Field::VlanTci);
        }
        self.key.set_masked(field, value, mask);
        self.written.add_bits(field, mask);
        self.uncommitted.add_bits(field, mask);
    }

    /// Whether the packet has a field. What says so has been looked at then.
    fn has(&mut self, field: Field) -> bool {
        let prerequisite = field.spec().prerequisite;
        prerequisite.fields().iter().for_each(|&field| self.look_at(field));
        prerequisite.holds(&self.key, None)
    }

    fn set_field(&mut self, field: Field, value: u128, mask: u128) {
        if !self.has(field) {
            return;
        }
        if field == Field::VlanVid {
            return self.write(field, value | u128::from(VLAN_PRESENT), 0x1fff);
        }
        self.write(field, value, mask);
    }

    fn decrement(&mut self, field: Field) {
        if !self.has(field) {
            return;
        }
        self.look_at(field);
        let ttl = self.key.get(field);
        if ttl <= 1 {
            self.punt(2, u16::MAX);
            self.drop_because("TTL is spent");
            self.halted = true;
            return;
        }
        self.write(field, ttl - 1, 0xff);
    }

    fn move_bits(&mut self, src: Field, src_ofs: u16, dst: Field, dst_ofs: u16, n_bits: u16) {
        if !self.has(src) || !self.has(dst) {
            return;
        }
        let bits = if n_bits >= 128 { u128::MAX } else { (1 << n_bits) - 1 };
        let mut looked_at = FlowMask::default();
        looked_at.add_bits(src, bits << src_ofs);
        self.look(&looked_at);
        let value = self.key.get(src) >> src_ofs & bits;
        self.write(dst, value << dst_ofs, bits << dst_ofs);
    }

    fn push_vlan(&mut self, tpid: u16) {
        self.look_at(Field::VlanTci);
        self.commit();
        let tci = if self.key.vlan_tci() != 0 { self.key.vlan_tci() } else { VLAN_PRESENT };
        self.actions.push(Act::PushVlan { tpid, tci: tci & !VLAN_PRESENT });
        let tags = self.key.words[TAGS];
        self.key.words[TAGS] = tags & 0xffff << 48
            | u64::from(tpid) << 32
            | u64::from(self.key.vlan_tci()) << 16
            | tags >> 32 & 0xffff;
        self.key.words[ETH_SRC] = self.key.words[ETH_SRC] & !0xffff | u64::from(tci);
        self.tags_written();
    }

    fn pop_vlan(&mut self) {
        self.look_at(Field::VlanTci);
        self.mask.words[TAGS] |= 0xffff_ffff & !self.written.words[TAGS];
        if self.key.vlan_tci() == 0 {
            return;
        }
        self.commit();
        if matches!(self.actions.last(), Some(Act::PushVlan { .. })) {
            self.actions.pop();
        } else {
            self.actions.push(Act::PopVlan);
        }
        let tags = self.key.words[TAGS];
        self.key.words[ETH_SRC] = self.key.words[ETH_SRC] & !0xffff | tags >> 16 & 0xffff;
        self.key.words[TAGS] = tags & 0xffff << 48 | (tags & 0xffff) << 32;
        self.tags_written();
    }

    /// The tags are now what the actions made them.
    fn tags_written(&mut self) {
        self.written.words[ETH_SRC] |= 0xffff;
        self.written.words[TAGS] |= 0xffff_ffff_ffff;
        self.base.words[ETH_SRC] = self.key.words[ETH_SRC];
        self.base.words[TAGS] = self.key.words[TAGS];
    }

    fn push_mpls(&mut self, eth_type: u16) {
        self.look_at(Field::EthType);
        self.commit();
        let is_mpls = matches!(self.key.eth_type(), ethertype::MPLS | ethertype::MPLS_MC);
        let old = self.key.words[MPLS];
        let lse = if is_mpls {
            self.mask.words[MPLS] |= !0xffff_ffff & !self.written.words[MPLS];
            (old >> 32) as u32 & !0x100
        } else {
            self.look_at(Field::NwTtl);
            let ttl = self.key.get(Field::NwTtl) as u32;
            0x100 | if ttl == 0 { 64 } else { ttl }
        };
        self.actions.push(Act::PushMpls { ethertype: eth_type, lse });
        if !is_mpls {
            self.key.words[IPV4] = 0;
            self.key.words[TRANSPORT] = 0;
            self.key.words[MPLS2..METADATA].fill(0);
        }
        self.key.words[MPLS] = u64::from(lse) << 32 | if is_mpls { old >> 32 } else { 0 };
        self.key.set(Field::EthType, u128::from(eth_type));
        for word in [IPV4, TRANSPORT, MPLS].into_iter().chain(MPLS2..METADATA) {
            self.written.words[word] = u64::MAX;
        }
        self.written.add(Field::EthType);
        self.base = self.key;
    }

    /// What is under the label is not known before the packet is read anew.
    fn pop_mpls(&mut self, eth_type: u16) {
        self.look_at(Field::EthType);
        if !matches!(self.key.eth_type(), ethertype::MPLS | ethertype::MPLS_MC) {
            return;
        }
        self.commit();
        self.actions.push(Act::PopMpls { ethertype: eth_type });
        self.frozen = Some(Vec::new());
    }

    fn resubmit(&mut self, as_port: Option<u32>, table: Option<u8>, misses: Misses) {
        if self.depth >= MAX_DEPTH {
            return self.fail("too many resubmissions within each other");
        }
        let old_table = self.stay.table;
        let number = as_port.filter(|&number| number != port::IN_PORT).unwrap_or(self.stay.in_port);
        self.depth += 1;
        self.enter_table(table.unwrap_or(old_table), number, misses);
        self.depth -= 1;
        // What ends the actions of a flow does not end those of the flow that resubmitted.
        self.halted = false;
        self.stay.table = old_table;
    }

    /// Runs the buckets of a group that take the packet, each on a copy and as an action set.
    fn group(&mut self, id: u32) {
        if self.depth >= MAX_DEPTH {
            return self.fail("too many groups within each other");
        }
        let snapshot = Arc::clone(&self.stay.snapshot);
        let Some(group) = snapshot.groups.get(&id) else { return self.drop_because("no such group") };
        self.kept.credits.push(Credit::Flow(Arc::clone(&group.stats)));
        if group.kind == GroupKind::Select {
            connection_fields(&self.key).iter().for_each(|&field| self.look_at(field));
        }
        let chosen = group.chosen(&snapshot, &self.key);
        if chosen.is_empty() {
            return self.drop_because("no live bucket");
        }
        for index in chosen {
            if self.over() {
                return;
            }
            self.explain(Kind::Detail, || format!("using bucket {index}"));
            self.kept.credits.push(Credit::Flow(Arc::clone(&group.bucket_stats[index])));
            let mut set = Vec::new();
            write_actions(&mut set, &group.buckets[index].actions);
            set.sort_by_key(set_order);
            let outer = std::mem::take(&mut self.stay.action_set);
            self.on_a_copy(|this| {
                this.apply(&set);
                this.freeze_rest();
            });
            self.stay.action_set = outer;
        }
    }

    fn output(&mut self, number: u32, max_len: u16) {
        let in_port = self.stay.in_port;
        match number {
            port::IN_PORT => self.output_to(in_port),
            port::TABLE => self.resubmit(None, Some(0), Misses::Configured),
            port::NORMAL => self.normal(),
            port::FLOOD => self.flood(port::config::NO_FLOOD),
            port::ALL => self.flood(0),
            port::CONTROLLER if self.stay.table_miss => self.punt_miss(max_len),
            port::CONTROLLER => self.punt(1, max_len),
            _ if number == in_port => self.drop_because("output to the port it came in by"),
            _ => self.output_to(number),
        }
    }

    /// Sends to every port but the input port, and those with one of these bits of configuration.
    fn flood(&mut self, without: u32) {
        let snapshot = Arc::clone(&self.stay.snapshot);
        let ports = snapshot.ports.values().filter(|port| port.config & without == 0);
        let mut numbers: Vec<u32> = ports.map(|port| port.number).collect();
        numbers.sort_unstable();
        let in_port = self.stay.in_port;
        for number in numbers.into_iter().filter(|&number| number != in_port) {
            self.output_to(number);
        }
    }

    fn output_to(&mut self, number: u32) {
        if self.over() {
            return;
        }
        let Some(port) = self.stay.snapshot.ports.get(&number).cloned() else {
            return self.drop_because("no such port");
        };
        if port.link_down || port.config & (port::config::DOWN | port::config::NO_FWD) != 0 {
            return self.drop_because("port does not forward");
        }
        if self.actions.len() >= MAX_OUTPUTS {
            return self.fail("too many outputs");
        }
        match &port.attachment {
            Attachment::Device(datapath_port) => {
                self.commit();
                self.actions.push(Act::Output(*datapath_port));
            }
            Attachment::Patch { bridge, port: peer } => self.cross(&port, bridge, peer),
            Attachment::Local => self.drop_because("the local port has no device"),
        }
    }

    /// Goes on in the bridge behind a patch port, with a copy of the packet.
    fn cross(&mut self, port: &Arc<Port>, bridge: &str, peer: &str) {
        if self.depth >= MAX_DEPTH {
            return self.fail("too many bridges, or a loop");
        }
        let there = self.network.bridge(bridge).map(|bridge| (bridge.snapshot(), bridge));
        let peer = there.as_ref().and_then(|(snapshot, _)| snapshot.port_by_name(peer)).cloned();
        let (Some((snapshot, bridge)), Some(peer)) = (there, peer) else {
            // Nothing that the decision depends on changes when the peer comes.
            self.cacheable = false;
            return self.drop_because("patch has no peer");
        };
        self.kept.credits.push(Credit::Sent(Arc::clone(&port.counters)));
        self.kept.credits.push(Credit::Received(Arc::clone(&peer.counters)));
        let there = Stay {
            bridge,
            snapshot,
            in_port: peer.number,
            table: 0,
            cookie: 0,
            table_miss: false,
            action_set: Vec::new(),
        };
        let here = std::mem::replace(&mut self.stay, there);
        self.on_a_copy(|this| {
            this.key.words[PIPELINE].fill(0);
            this.written.words[PIPELINE].fill(u64::MAX);
            this.key.set_in_port(this.stay.in_port);
            let level = this.level();
            this.pipeline();
            this.close_to(level);
        });
        self.stay = here;
    }

    /// Does something with a copy of the packet: what it changes is not seen by what follows, and what ends it ends no more.
    fn on_a_copy(&mut self, act: impl FnOnce(&mut Self)) {
        self.commit();
        let (key, base, written, start) = (self.key, self.base, self.written, self.actions.len());
        self.depth += 1;
        act(self);
        self.depth -= 1;
        self.halted = false;
        (self.key, self.base, self.written) = (key, base, written);
        self.uncommitted = FlowMask::default();
        let changes = |action: &Act| !matches!(action, Act::Output(_) | Act::Punt { .. } | Act::Clone(_));
        if self.actions[start..].iter().any(changes) {
            let inner = self.actions.split_off(start);
            self.actions.push(Act::Clone(inner.into()));
        }
    }

    /// Switches as a learning switch does (OpenFlow's `NORMAL`).
    fn normal(&mut self) {
        self.look_at(Field::EthDst);
        self.look_at(Field::EthSrc);
        self.look_at(Field::VlanTci);
        let (source, destination) = (self.key.eth_src(), self.key.eth_dst());
        let vlan = self.key.vlan_tci() & 0x0fff;
        if destination & 0xffff_ffff_fff0 == 0x0180_c200_0000 {
            return self.drop_because("reserved multicast address");
        }
        // A packet that a controller sends for itself says nothing about where its source is.
        if source >> 40 & 1 == 0 && self.stay.snapshot.ports.contains_key(&self.stay.in_port) {
            self.learn(vlan, source);
        }
        let multicast = destination >> 40 & 1 == 1;
        let known = (!multicast).then(|| self.find(vlan, destination)).flatten();
        match known {
            None => {
                self.explain(Kind::Detail, || "no learned MAC for destination, flooding".into());
                self.flood(port::config::NO_FLOOD);
            }
            Some(port) if port == self.stay.in_port => self.drop_because("destination is where it came from"),
            Some(port) => {
                self.explain(Kind::Detail, || "forwarding to learned port".into());
                self.output_to(port);
            }
        }
    }

    /// The port that an address was learned on; the decision depends on it.
    fn depend_on_address(&mut self, vlan: u16, mac: u64) -> Option<u32> {
        let bridge = Arc::clone(&self.stay.bridge);
        let seen = bridge.fdb.change(crate::fdb::Fdb::bucket(vlan, mac));
        let port = bridge.fdb.find(vlan, mac).map(|entry| entry.port);
        self.kept.dependencies.push(Dependency::Address { bridge, vlan, mac, port, seen });
        port
    }

    fn learn(&mut self, vlan: u16, mac: u64) {
        let bridge = Arc::clone(&self.stay.bridge);
        if self.effects
            && let Some((entry, is_news)) = bridge.fdb.learn(vlan, mac, self.stay.in_port, self.now_ms)
        {
            self.kept.credits.push(Credit::Address(entry));
            if is_news {
                bridge.touch_address(vlan, mac);
            }
        }
        self.depend_on_address(vlan, mac);
    }

    fn find(&mut self, vlan: u16, mac: u64) -> Option<u32> {
        self.depend_on_address(vlan, mac)
    }

    /// A packet-in of the table-miss flow, which a port may be told not to cause (section 7.2.1).
    fn punt_miss(&mut self, max_len: u16) {
        if self.config_of(self.stay.in_port) & port::config::NO_PACKET_IN != 0 {
            return self.drop_because("port causes no packet-in");
        }
        self.punt(0, max_len);
    }

    /// A packet-in for a packet that no flow takes and that no flow asked for (OpenFlow before 1.3).
    fn show_miss(&mut self) {
        if self.config_of(self.stay.in_port) & port::config::NO_PACKET_IN != 0 {
            return self.drop_because("port causes no packet-in");
        }
        self.stay.cookie = 0;
        self.punt_as(0, u16::MAX, true);
    }

    fn punt(&mut self, reason: u8, max_len: u16) {
        self.punt_as(reason, max_len, false);
    }

    fn punt_as(&mut self, reason: u8, max_len: u16, unasked: bool) {
        self.commit();
        let punt = Punt {
            bridge: self.stay.bridge.name.clone(),
            reason,
            table: self.stay.table,
            cookie: self.stay.cookie,
            in_port: self.stay.in_port,
            metadata: self.key.get(Field::Metadata) as u64,
            unasked,
        };
        let (id, forgot) = self.network.punts.number(&punt);
        self.actions.push(Act::Punt { id, max_len });
        self.renumber(forgot);
    }

    /// Writes out the header changes gathered since the last commit, also those that leave this packet as it is: another
    /// packet of the megaflow may have another value there.
    fn commit(&mut self) {
        for &field in COMMITTED {
            let (old, new) = (self.base.get(field), self.key.get(field));
            let mask = self.uncommitted.get(field) | old ^ new;
            if mask == 0 || !field.spec().prerequisite.holds(&self.key, None) {
                continue;
            }
            if field == Field::VlanTci && old == 0 {
                if new != 0 {
                    let tci = new as u16 & !VLAN_PRESENT;
                    self.actions.push(Act::PushVlan { tpid: ethertype::VLAN, tci });
                }
            } else if let (Field::VlanTci, Some(Act::PushVlan { tci, .. })) = (field, self.actions.last_mut())
            {
                let (value, mask) = (new as u16, mask as u16 & !VLAN_PRESENT);
                *tci = *tci & !mask | value & mask;
            } else {
                self.actions.push(Act::Set { field, value: new & mask, mask });
            }
        }
        self.base = self.key;
        self.uncommitted = FlowMask::default();
    }
}

/// Fields whose changes are written out, each by the name that covers its bits.
const COMMITTED: &[Field] = &[
    Field::EthDst,
    Field::EthSrc,
    Field::VlanTci,
    Field::MplsLabel,
    Field::MplsTc,
    Field::MplsTtl,
    Field::NwTos,
    Field::NwTtl,
    Field::Ipv4Src,
    Field::Ipv4Dst,
    Field::Ipv6Src,
    Field::Ipv6Dst,
    Field::Ipv6Label,
    Field::TcpSrc,
    Field::TcpDst,
    Field::UdpSrc,
    Field::UdpDst,
    Field::SctpSrc,
    Field::SctpDst,
    Field::IcmpType,
    Field::IcmpCode,
    Field::Icmpv6Type,
    Field::Icmpv6Code,
    Field::ArpOp,
    Field::ArpSpa,
    Field::ArpTpa,
    Field::ArpSha,
    Field::ArpTha,
    Field::NdTarget,
];

fn nothing(reason: &'static str) -> Outcome {
    Outcome {
        actions: Vec::new(),
        mask: FlowMask::default(),
        decision: Box::new(Kept::default()),
        cacheable: false,
        drop: Some(reason),
    }
}

/// Adds actions to an action set: one of a kind, one for each field that is set.
fn write_actions(set: &mut Vec<Action>, actions: &[Action]) {
    for action in actions {
        let same = |other: &Action| match (other, action) {
            (Action::SetField { field: a, .. }, Action::SetField { field: b, .. }) => a == b,
            _ => std::mem::discriminant(other) == std::mem::discriminant(action),
        };
        set.retain(|other| !same(other));
        set.push(action.clone());
    }
}

/// Place of an action in the execution of an action set.
fn set_order(action: &Action) -> u8 {
    match action {
        Action::CopyTtlIn => 0,
        Action::PopVlan | Action::PopMpls(_) => 1,
        Action::PushMpls(_) => 2,
        Action::PushVlan(_) => 4,
        Action::CopyTtlOut => 5,
        Action::DecTtl | Action::DecMplsTtl => 6,
        Action::Group(_) => 9,
        Action::Output { .. } => 10,
        Action::SetQueue(_) => 8,
        _ => 7,
    }
}

/// The pipeline as the datapath asks it.
pub struct Pipeline {
    network: Arc<Network>,
}

impl Pipeline {
    /// The pipeline of a network.
    pub fn new(network: Arc<Network>) -> Self {
        Self { network }
    }
}

impl Translator for Pipeline {
    fn change_number(&self) -> u64 {
        self.network.change.number()
    }

    fn changes(&self, since: u64, number: u64, each: &mut dyn FnMut(Change)) -> bool {
        self.network.change.between(since, number, each)
    }

    fn translate(&mut self, key: &FlowKey, _: Option<&Packet>, now_ms: u64, effects: bool) -> Outcome {
        Translation::run(&self.network, key, now_ms, effects)
    }

    fn punt(&mut self, id: u32, _: &FlowKey, packet: &Packet, max_len: u16, now_ms: u64) {
        let Some(punt) = self.network.punts.value(id) else { return };
        let Some(bridge) = self.network.bridge(&punt.bridge).filter(|bridge| bridge.may_punt(now_ms)) else {
            return;
        };
        let mut whole = packet.clone();
        heddle_wire::checksum::finish_partial(&mut whole);
        let length = whole.len().min(usize::from(max_len));
        bridge.punt(PacketIn {
            reason: punt.reason,
            table: punt.table,
            cookie: punt.cookie,
            in_port: punt.in_port,
            metadata: punt.metadata,
            unasked: punt.unasked,
            total_len: whole.len().min(usize::from(u16::MAX)) as u16,
            data: whole.data()[..length].to_vec(),
        });
    }
}
