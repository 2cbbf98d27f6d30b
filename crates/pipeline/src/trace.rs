//! What would happen to a packet, and why: the translation with side effects off, in words.
//!
//! The words are those of Open vSwitch's `ofproto/trace`, which people and their tests read: a [`Story`] is a tree of
//! bridges, tables and actions, and its last branch is not moved to the right, so that long chains of tables stay legible.

use std::fmt::Write;
use std::sync::Arc;

use heddle_datapath::Action;
use heddle_datapath::text::{Names, Punted, print_actions};
use heddle_flow::layout::{PORT, TAGS};
use heddle_flow::{Field, FlowKey, FlowMask, Match, Prerequisite};
use heddle_openflow::{Action as FlowAction, text};

use crate::bridge::{Bridge, Network, Place};
use crate::table::{Flow, Snapshot};
use crate::translate::Translation;

/// Most recirculations that a trace follows.
const MAX_RECIRCULATIONS: usize = 8;
/// Most parts of a story; a packet that causes more is explained so far.
const MAX_PARTS: usize = 100_000;

/// What a part of a story is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A bridge that the packet is in.
    Bridge,
    /// A flow table, or what runs actions in its place.
    Table,
    /// An action.
    Action,
    /// A remark on what was done.
    Detail,
    /// A remark on what was not done.
    Warning,
    /// Why all is thrown away.
    Error,
}

impl Kind {
    /// Whether nothing belongs to such a part.
    fn is_terminal(self) -> bool {
        !matches!(self, Self::Bridge | Self::Table)
    }
}

#[derive(Debug)]
struct Part {
    kind: Kind,
    text: String,
    parts: Vec<Part>,
}

/// The walk of a translation, in words.
#[derive(Debug, Default)]
pub struct Story {
    parts: Vec<Part>,
    /// Parts that are not ended, the outermost first.
    open: Vec<Part>,
    count: usize,
    by_name: bool,
}

impl Story {
    /// A story that calls ports by their names, or by their numbers.
    #[must_use]
    pub fn new(by_name: bool) -> Self {
        Self { by_name, ..Self::default() }
    }

    /// Whether ports are called by their names.
    pub(crate) fn by_name(&self) -> bool {
        self.by_name
    }

    fn push(&mut self, part: Part) {
        match self.open.last_mut() {
            Some(open) => open.parts.push(part),
            None => self.parts.push(part),
        }
    }

    /// Adds a remark or an action.
    pub fn tell(&mut self, kind: Kind, text: String) {
        self.count += 1;
        if self.count <= MAX_PARTS {
            self.push(Part { kind, text, parts: Vec::new() });
        }
    }

    /// Begins a part that others belong to.
    pub fn open(&mut self, kind: Kind, text: String) {
        self.count += 1;
        self.open.push(Part { kind, text, parts: Vec::new() });
    }

    /// How many parts are open.
    #[must_use]
    pub fn level(&self) -> usize {
        self.open.len()
    }

    /// Ends parts until so many are open.
    pub fn close_to(&mut self, level: usize) {
        while self.open.len() > level {
            if let Some(part) = self.open.pop() {
                self.push(part);
            }
        }
    }

    /// Writes the story.
    #[must_use]
    pub fn print(mut self) -> String {
        self.close_to(0);
        let mut out = String::new();
        print(&self.parts, 0, &mut out);
        out
    }
}

fn print(parts: &[Part], level: usize, out: &mut String) {
    for (index, part) in parts.iter().enumerate() {
        let indented = part.kind.is_terminal() || index + 1 < parts.len();
        let margin = " ".repeat(4 * (level + usize::from(indented)));
        let _ = match part.kind {
            Kind::Bridge => {
                write!(out, "\n{margin}{}\n{margin}{}\n", part.text, "-".repeat(part.text.len()))
            }
            Kind::Table | Kind::Action => writeln!(out, "{margin}{}", part.text),
            Kind::Detail => writeln!(out, "{margin} -> {}", part.text),
            Kind::Warning => writeln!(out, "{margin} >> {}", part.text),
            Kind::Error => writeln!(out, "{margin} >>>> {} <<<<", part.text),
        };
        print(&part.parts, level + 2 * usize::from(indented), out);
    }
}

/// How a drop is told, and by which words.
pub(crate) fn drop_words(reason: &'static str) -> (Kind, &'static str) {
    match reason {
        "no matching flow" => (Kind::Action, "drop"),
        "output to the port it came in by" => (Kind::Warning, "skipping output to input port"),
        "no such port" => (Kind::Warning, "Nonexistent output port"),
        "destination is where it came from" => (Kind::Warning, "learned port is input port, dropping"),
        reason => (Kind::Warning, reason),
    }
}

/// A flow as it stands in a story; ports have the names that `named` gives them.
pub(crate) fn flow_words(flow: &Flow, named: Option<&Snapshot>) -> String {
    let matching = match_words(flow, named);
    let comma = if matching.is_empty() { "" } else { ", " };
    let cookie = if flow.cookie == 0 { String::new() } else { format!(", cookie {:#x}", flow.cookie) };
    format!("{:2}. {matching}{comma}priority {}{cookie}", flow.table, flow.priority)
}

/// A flow that is part of a conjunction.
pub(crate) fn part_words(flow: &Flow, named: Option<&Snapshot>) -> String {
    let matching = match_words(flow, named);
    let comma = if matching.is_empty() { "" } else { "," };
    format!("priority={}{comma}{matching}", flow.priority)
}

fn match_words(flow: &Flow, named: Option<&Snapshot>) -> String {
    let text = text::print_match(&flow.matching.expand());
    let Some(snapshot) = named else { return text };
    let name = |word: &str| {
        let number = word.strip_prefix("in_port=")?.parse().ok()?;
        Some(format!("in_port={}", snapshot.ports.get(&number)?.name))
    };
    text.split(',').map(|word| name(word).unwrap_or_else(|| word.to_owned())).collect::<Vec<_>>().join(",")
}

/// Packets that flows hand over, by the numbers that the datapath knows; and ports by their names, where these are
/// wanted.
pub struct NetworkNames<'a> {
    /// Whose punts.
    pub network: &'a Network,
    /// Datapath ports and their names.
    pub ports: &'a [(u32, String)],
    /// Whether ports are written by name.
    pub by_name: bool,
}

impl Names for NetworkNames<'_> {
    fn port(&self, number: u32) -> Option<String> {
        let named = self.ports.iter().find(|(known, _)| self.by_name && *known == number);
        named.map(|(_, name)| name.clone())
    }

    fn port_number(&self, name: &str) -> Option<u32> {
        self.ports.iter().find(|(_, known)| known == name).map(|(number, _)| *number)
    }

    fn punted(&self, id: u32) -> Option<Punted> {
        let punt = self.network.punts.value(id)?;
        Some(Punted {
            reason: punt.reason,
            recirc_id: id,
            cookie: punt.cookie,
            controller_id: 0,
            is_message: punt.is_message,
        })
    }
}

/// A packet to be explained.
pub struct Question<'a> {
    /// Its key, with the OpenFlow port that it comes in by.
    pub key: FlowKey,
    /// The bridge that it comes to.
    pub bridge: &'a Arc<Bridge>,
    /// Actions to run in place of the bridge's flows, as a packet-out does.
    pub actions: Option<&'a [FlowAction]>,
    /// Whether the packet is there, and teaches what it teaches: addresses, and what it tells controllers.
    pub effects: bool,
}

/// An explanation.
pub struct Answer {
    /// In words.
    pub text: String,
    /// What the datapath would do with the packet as it came.
    pub actions: Vec<Action>,
}

/// Explains what happens to a packet.
#[must_use]
pub fn trace(network: &Network, question: &Question<'_>, now_ms: u64, names: &NetworkNames<'_>) -> Answer {
    let Question { mut key, bridge, actions, effects } = *question;
    let mut first = None;
    let mut out = String::new();
    for step in 0..=MAX_RECIRCULATIONS {
        let story = Story::new(names.by_name);
        let explained = match (step, actions) {
            (0, Some(actions)) => {
                Translation::explained_packet_out(network, bridge, &key, actions, now_ms, effects, story)
            }
            (0, None) => {
                let place = Place { bridge: Arc::clone(bridge), port: key.in_port(), counters: None };
                Translation::explained_at(network, &place, &key, now_ms, effects, story)
            }
            _ => Translation::explained(network, &key, now_ms, false, Some(story)),
        };
        let _ = writeln!(out, "Flow: {}", print_flow(&key));
        out.push_str(&explained.story.print());
        let outcome = explained.outcome;
        let mut last = explained.last;
        last.set_recirc_id(key.recirc_id());
        let unchanged = last == key;
        let last_words = if unchanged { "unchanged".to_owned() } else { print_flow(&last) };
        let _ = writeln!(out, "\nFinal flow: {last_words}");
        let _ = writeln!(out, "Megaflow: {}", print_megaflow(&key, &explained.looked_at));
        let _ = write!(out, "Datapath actions: {}", print_actions(&outcome.actions, key.eth_type(), names));
        let (recirculation, pop) = (recirculation(&outcome.actions), popped(&outcome.actions));
        first.get_or_insert(outcome.actions);
        let Some(id) = recirculation else { break };
        let line = "=".repeat(79);
        let _ = write!(out, "\n\n{line}\nrecirc({id:#x})\n{line}\n\n");
        // The packet's headers are not at hand: the walk goes on with the key that the first half ended with.
        key = last;
        key.set_in_port(question.key.in_port());
        key.set_recirc_id(id);
        if let Some(ethertype) = pop {
            key.set(Field::EthType, u128::from(ethertype));
        }
    }
    out.push('\n');
    Answer { text: out, actions: first.unwrap_or_default() }
}

/// The Ethernet type after the last label that is popped.
fn popped(actions: &[Action]) -> Option<u16> {
    actions.iter().rev().find_map(|action| match action {
        Action::PopMpls { ethertype } => Some(*ethertype),
        _ => None,
    })
}

/// Writes a key as `ofproto/trace` does: all that such a packet has, and of the rest what is not zero.
#[must_use]
pub fn print_flow(key: &FlowKey) -> String {
    let recirculated = match key.recirc_id() {
        0 => String::new(),
        id => format!("recirc_id={id:#x},"),
    };
    let mut mask = FlowMask::default();
    for spec in heddle_flow::field::FIELDS.iter().filter(|spec| spec.field != Field::RecircId) {
        let shown = match spec.field {
            Field::InPort | Field::VlanTci | Field::EthSrc | Field::EthDst | Field::EthType => true,
            field if spec.prerequisite == Prerequisite::None => spec.primary && key.get(field) != 0,
            _ => spec.prerequisite.holds(key, None),
        };
        if shown {
            mask.add(spec.field);
        }
    }
    format!("{recirculated}{}", text::print_match(&Match::new(key, &mask)))
}

/// Writes what a decision holds for, as `ofproto/trace` does.
#[must_use]
pub fn print_megaflow(key: &FlowKey, mask: &FlowMask) -> String {
    let mut mask = *mask;
    mask.words[PORT] = u64::MAX << 32;
    // To OpenFlow, the types of tags are part of the tags.
    mask.words[TAGS] &= !0xffff_0000_ffff;
    let matching = text::print_match(&Match::new(key, &mask));
    let recirculated = match key.recirc_id() {
        0 => "0".to_owned(),
        id => format!("{id:#x}"),
    };
    format!("recirc_id={recirculated},eth,{matching}")
}

fn recirculation(actions: &[Action]) -> Option<u32> {
    actions.iter().find_map(|action| match action {
        Action::Recirculate(id) => Some(*id),
        Action::Clone(actions) => recirculation(actions),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_branch_is_not_moved_to_the_right() {
        let mut story = Story::default();
        story.open(Kind::Bridge, "bridge(\"br0\")".into());
        story.open(Kind::Table, " 0. priority 1".into());
        story.tell(Kind::Action, "resubmit(,1)".into());
        story.open(Kind::Table, " 1. priority 1".into());
        story.tell(Kind::Action, "output:2".into());
        story.close_to(2);
        story.tell(Kind::Action, "goto_table:2".into());
        story.open(Kind::Table, " 2. No match.".into());
        story.tell(Kind::Action, "drop".into());
        let expected = "\nbridge(\"br0\")\n-------------\n 0. priority 1\n    resubmit(,1)\n     1. priority 1\n\
            \x20           output:2\n    goto_table:2\n 2. No match.\n    drop\n";
        assert_eq!(story.print(), expected);
    }
}
