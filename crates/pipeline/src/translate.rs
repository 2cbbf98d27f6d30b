//! Translation: the one routine that decides what happens to a packet.
//!
//! Forwarding, revalidation, trace and the differential check all run [`Translation::run`]; with `effects` off nothing is
//! learned. It walks the tables of the packet's bridge and, through patch ports, of the bridges behind it, and gathers
//! datapath actions, every bit that decided, whom to credit, and what must stand. Header changes are gathered in the key
//! and written out as `Set` actions only before the packet leaves (*commit*).
//!
//! A packet whose headers must be read anew (after `pop_mpls`) freezes the translation: what is left is kept under a
//! recirculation id, and thawed when the packet has been looked up again.

mod action_set;
mod actions;
mod controller;
mod fields;
mod freeze;
mod groups;
mod headers;
mod learn;
mod normal;
mod outputs;
mod select;
mod tables;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use heddle_datapath::{Action as Act, Change, Translation as Outcome, Translator};
use heddle_flow::layout::{METADATA, WORDS};
use heddle_flow::{Field, FlowKey, FlowMask};
use heddle_openflow::action::Controller;
use heddle_openflow::packet::reason;
use heddle_openflow::{Action, port};
use heddle_wire::Packet;

use crate::bridge::{Bridge, Network, PacketIn, Place};
use crate::decision::{Credit, Kept};
use crate::frozen::Step;
use crate::table::{Flow, Port, Snapshot};
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
    /// Why an output sends to controllers now, as packet-ins number it: what runs is a flow's actions, an action set, a group
    /// or a packet-out.
    reason: u8,
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
    /// Where the translation froze for a controller to let the packet go on: how it goes there.
    paused: Option<Controller>,
    /// The flow whose actions run.
    flow: Option<Arc<Flow>>,
    /// What was pushed, with its number of bits.
    stack: Vec<(u128, u16)>,
    /// The queue that the packet is to leave by, and the one that it would leave by after the actions gathered so far.
    queue: u32,
    base_queue: u32,
    /// An action has said that no others run.
    exited: bool,
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
        Self::explained(network, key, now_ms, effects, None).outcome
    }

    /// Decides, and says why in `story`.
    pub fn explained(
        network: &'a Network,
        key: &FlowKey,
        now_ms: u64,
        effects: bool,
        story: Option<Story>,
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
        this.story = story;
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
        story: Story,
    ) -> Explained {
        let mut this = Self::enter(network, key, place, now_ms, effects);
        this.story = Some(story);
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
        story: Story,
    ) -> Explained {
        let place = Place { bridge: Arc::clone(bridge), port: key.in_port(), counters: None };
        let mut this = Self::enter(network, key, &place, now_ms, effects);
        this.story = Some(story);
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
        let place = Place { bridge: Arc::clone(bridge), port: in_port, counters: None };
        let mut this = Self::enter(network, key, &place, now_ms, true);
        // No flow sent it, which all ones say in a packet-in, as Open vSwitch has it.
        this.stay.cookie = u64::MAX;
        this.stay.reason = reason::PACKET_OUT;
        this.apply(actions);
        this.end_of_pipeline();
        this.freeze_rest();
        this.finish().outcome
    }

    /// Decides what becomes of a frame that the bridge itself sends by a port: a message of the spanning tree, which the
    /// port's state does not hold back.
    pub fn sent_by(
        network: &'a Network,
        bridge: &Arc<Bridge>,
        number: u32,
        key: &FlowKey,
        now_ms: u64,
    ) -> Outcome {
        let place = Place { bridge: Arc::clone(bridge), port: port::LOCAL, counters: None };
        let mut this = Self::enter(network, key, &place, now_ms, true);
        let known = this.stay.snapshot.ports.get(&number).cloned();
        let sends = |port: &Arc<Port>| !port.link_down && port.config & port::config::DOWN == 0;
        match known.filter(sends) {
            Some(port) => this.send_by(&port),
            None => this.drop_because("port does not forward"),
        }
        this.finish().outcome
    }

    fn enter(network: &'a Network, key: &FlowKey, place: &Place, now_ms: u64, effects: bool) -> Self {
        let mut entered = *key;
        entered.set_in_port(place.port);
        entered.set_recirc_id(0);
        entered.set(Field::ActsetOutput, port::UNSET.into());
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
                reason: reason::ACTION,
            },
            key: entered,
            base: entered,
            written: FlowMask::default(),
            uncommitted: FlowMask::default(),
            mask: FlowMask::default(),
            actions: Vec::new(),
            kept: Kept {
                credits: place
                    .counters
                    .iter()
                    .map(|counters| Credit::Received(Arc::clone(counters)))
                    .collect(),
                ..Kept::default()
            },
            depth: 0,
            lookups: 0,
            frozen: None,
            paused: None,
            flow: None,
            stack: Vec::new(),
            queue: 0,
            base_queue: 0,
            exited: false,
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
        // What the pipeline itself has written is no packet's.
        self.mask.words[PIPELINE].fill(0);
        if self.key.get(Field::ActsetOutput) == u128::from(port::UNSET) {
            self.key.set(Field::ActsetOutput, 0);
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
        let Some(tree) = self.may_enter() else { return };
        let start = self.actions.len();
        if self.stay.snapshot.standalone {
            self.explain(Kind::Detail, || "the bridge's controllers are gone: it forwards by itself".into());
            self.explain(Kind::Action, || "NORMAL".into());
            self.normal();
        } else {
            self.enter_table(0, self.stay.in_port, Misses::Configured);
            self.end_of_pipeline();
            self.freeze_rest();
        }
        if !tree.forwards() {
            // Addresses are learned, and nothing is sent.
            self.actions.truncate(start);
            self.drop_because("port does not forward yet in the spanning tree");
        }
    }

    /// What the spanning tree lets a packet do that comes in by the port; `None` where it ends there: the port takes
    /// nothing, or the packet is a message of the tree.
    fn may_enter(&mut self) -> Option<heddle_stp::State> {
        let port = self.stay.snapshot.ports.get(&self.stay.in_port).cloned();
        let config = port.as_ref().map_or(0, |port| port.config);
        let tree = port.as_ref().map(|port| port.tree).unwrap_or_default();
        let is_message = self.stay.snapshot.tree.is_some() && self.is_message();
        let refused = if is_message { port::config::NO_RECV_STP } else { port::config::NO_RECV };
        if config & (port::config::DOWN | refused) != 0 || port.is_some_and(|port| port.link_down) {
            self.drop_because("port does not receive");
        } else if is_message {
            self.punt_message();
        } else if !tree.learns() {
            self.drop_because("port is blocked by the spanning tree");
        } else {
            return Some(tree);
        }
        None
    }

    /// Whether the packet is a message of a spanning tree (802.1D-2004 section 9).
    fn is_message(&mut self) -> bool {
        self.look_at(Field::EthDst);
        self.key.eth_dst() == crate::tree::BRIDGES
    }

    fn end_of_pipeline(&mut self) {
        // What ends the actions leaves the action set, but for what ends the packet.
        self.exited = false;
        if self.frozen.is_none() && !self.over() {
            self.run_action_set();
        }
    }

    /// Whether nothing more is to be done.
    fn over(&self) -> bool {
        self.halted || self.exited || self.error.is_some()
    }

    /// What a controller has set of a port of this bridge.
    fn config_of(&self, number: u32) -> u32 {
        self.stay.snapshot.ports.get(&number).map_or(0, |port| port.config)
    }
}

fn nothing(reason: &'static str) -> Outcome {
    Outcome {
        actions: Vec::new(),
        mask: FlowMask::default(),
        decision: Box::new(Kept::default()),
        cacheable: false,
        drop: Some(reason),
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
        let Some(bridge) = self.network.bridge(&punt.bridge) else { return };
        if punt.is_message {
            return bridge.messages.put(punt.in_port, packet.data());
        }
        if !bridge.may_punt(now_ms) {
            return;
        }
        let mut whole = packet.clone();
        heddle_wire::checksum::finish_partial(&mut whole);
        let length = whole.len().min(usize::from(max_len));
        bridge.punt(PacketIn {
            reason: punt.reason,
            table: punt.table,
            cookie: punt.cookie,
            in_port: punt.in_port,
            metadata: punt.metadata,
            fields: punt.fields,
            controller_id: punt.controller_id,
            userdata: punt.userdata,
            continuation: punt.continuation,
            unasked: punt.unasked,
            total_len: whole.len().min(usize::from(u16::MAX)) as u16,
            data: whole.data()[..length].to_vec(),
            whole: (length < whole.len() && bridge.keeps_packets.load(Ordering::Relaxed))
                .then(|| whole.data().into()),
        });
    }
}
