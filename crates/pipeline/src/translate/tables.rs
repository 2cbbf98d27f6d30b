//! The walk through the tables: lookups, what they depend on, instructions, action lists and the action set.

use std::sync::Arc;

use heddle_flow::layout::*;
use heddle_flow::{Field, FlowMask};
use heddle_openflow::{Action, Instruction};
use heddle_wire::ethertype;

use super::{MAX_LOOKUPS, Misses, PORTS, Translation};
use crate::decision::{Credit, Dependency, Visit};
use crate::flow_mod::TABLES;
use crate::frozen::Step;
use crate::table::{Flow, Fragments, Miss};
use crate::trace::{self, Kind, Story};

impl Translation<'_> {
    /// Looks a table up for a packet that is in by `in_port`, and runs what it says. The flow's actions find the port that
    /// the packet is really in by, so that flooding and `IN_PORT` do what they say.
    pub(super) fn enter_table(&mut self, table: u8, in_port: u32, misses: Misses) {
        if self.over() {
            return;
        }
        self.lookups += 1;
        if self.lookups > MAX_LOOKUPS {
            return self.fail("too many resubmissions");
        }
        self.depend();
        let snapshot = Arc::clone(&self.stay.snapshot);
        let mut visit = Visit { table, in_port, written: self.written, matched: false, whole: false };
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
        let hidden = (table == 0).then(|| snapshot.hidden.lookup(&key, &mut looked_at)).flatten();
        let found = hidden.or_else(|| snapshot.lookup(table, &key, &mut looked_at)).cloned();
        visit.matched = found.is_some();
        if let Some(looks) = self.looks() {
            looks.push(visit);
        }
        self.look(&looked_at);
        self.stay.table = table;
        let level = self.level();
        match found {
            Some(flow) => {
                let parts = match self.story {
                    Some(_) => snapshot.parts_of(table, &key, &flow),
                    None => Vec::new(),
                };
                self.run_flow(&flow, &parts);
            }
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
            Miss::Default if !snapshot.shows_misses => self.drop_missed(misses),
            Miss::Default => self.show_miss(true),
            Miss::Controller => self.show_miss(false),
            Miss::Continue if table < TABLES - 1 => self.enter_table(table + 1, in_port, misses),
            Miss::Continue | Miss::Drop => self.drop_missed(misses),
        }
    }

    /// A packet that no flow takes is dropped (section 5.4), whatever its action set is; Open vSwitch runs that. One that a
    /// flow only tries a table for goes on.
    fn drop_missed(&mut self, misses: Misses) {
        if matches!(misses, Misses::Configured) && !self.stay.action_set.is_empty() {
            self.clear_set();
        }
        self.drop_because("no matching flow");
    }

    /// Bits that were looked at count, where their values are the packet's own.
    pub(super) fn look(&mut self, bits: &FlowMask) {
        for word in 0..WORDS {
            self.mask.words[word] |= bits.words[word] & !self.written.words[word];
        }
    }

    pub(super) fn look_at(&mut self, field: Field) {
        let mut bits = FlowMask::default();
        bits.add(field);
        self.look(&bits);
    }

    /// The looks at this bridge's tables so far.
    pub(super) fn looks(&mut self) -> Option<&mut Vec<Visit>> {
        let bridge = &self.stay.bridge;
        self.kept.dependencies.iter_mut().find_map(|dependency| match dependency {
            Dependency::Flows { bridge: known, visits, .. } if Arc::ptr_eq(known, bridge) => Some(visits),
            _ => None,
        })
    }

    /// Makes the decision depend on this bridge's configuration, as it is when the packet first gets here.
    pub(super) fn depend(&mut self) {
        if self.looks().is_some() {
            return;
        }
        let bridge = Arc::clone(&self.stay.bridge);
        // The number is read before the snapshot, so that a change between the two is seen as one.
        let seen = self.network.change.number();
        self.stay.snapshot = bridge.snapshot();
        self.kept.dependencies.push(Dependency::Flows { bridge, seen, visits: Vec::new() });
    }

    /// Runs what a flow says; where it is a conjunction, `parts` are told of.
    fn run_flow(&mut self, flow: &Arc<Flow>, parts: &[&Arc<Flow>]) {
        self.kept.credits.push(Credit::Flow(Arc::clone(&flow.stats)));
        self.flow = Some(Arc::clone(flow));
        self.stay.cookie = flow.cookie;
        self.stay.table_miss = flow.priority == 0 && flow.matching.is_any();
        let by_name = self.story.as_ref().is_some_and(Story::by_name);
        let named = by_name.then(|| Arc::clone(&self.stay.snapshot));
        self.open(Kind::Table, || trace::flow_words(flow, named.as_deref()));
        for part in parts {
            self.explain(Kind::Detail, || format!("conj. {}", trace::part_words(part, named.as_deref())));
        }
        if flow.instructions.is_empty() {
            self.explain(Kind::Action, || "drop".into());
        }
        self.instructions(&flow.instructions);
    }

    pub(super) fn instructions(&mut self, instructions: &[Instruction]) {
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
                Instruction::Clear => self.clear_set(),
                Instruction::Write(actions) => self.write_set(actions),
                Instruction::WriteMetadata { value, mask } => {
                    self.write(Field::Metadata, u128::from(*value), u128::from(*mask));
                }
                Instruction::GotoTable(table) => {
                    self.enter_table(*table, self.stay.in_port, Misses::Configured);
                }
                Instruction::Meter(meter) => self.meter(*meter),
            }
            if let Some(rest) = &mut self.frozen {
                rest.push(Step::Instructions(instructions[index + 1..].to_vec()));
                return;
            }
        }
    }

    pub(super) fn apply(&mut self, actions: &[Action]) {
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
}
