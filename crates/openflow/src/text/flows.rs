//! Flows, their instructions, and flows with their counters.

use std::fmt::Write;
use std::time::Duration;

use heddle_flow::{Field, Match};

use super::actions::{actions_for, name_and_argument, print_action, push_action, split};
use super::matching::{parse_match_words, print_match};
use super::values::{number_in, parse_masked};
use super::{TextError, error};
use crate::action::{Action, Instruction};
use crate::message::FlowMod;
use crate::multipart::FlowStats;

/// Writes a flow-mod that adds, so that [`parse_flow`] reads the same.
pub fn print_flow(flow: &FlowMod) -> String {
    let mut out = format!("table={},priority={}", flow.table_id, flow.priority);
    let numbers = [("idle_timeout", flow.idle_timeout), ("hard_timeout", flow.hard_timeout)];
    let _ = write!(out, ",cookie={:#x}", flow.cookie);
    for (name, value) in numbers.into_iter().filter(|(_, value)| *value != 0) {
        let _ = write!(out, ",{name}={value}");
    }
    for (bit, name) in FLAGS.iter().filter(|(bit, _)| flow.flags & bit != 0) {
        let _ = (bit, write!(out, ",{name}"));
    }
    let matching = print_match(&flow.matching);
    if !matching.is_empty() {
        let _ = write!(out, ",{matching}");
    }
    let _ = write!(out, " actions={}", print_instructions(&flow.instructions));
    out
}

/// Seconds, with a fraction where there is one.
pub(super) fn print_duration(duration: Duration) -> String {
    let fraction = format!(".{:09}", duration.subsec_nanos());
    format!("{}{}", duration.as_secs(), fraction.trim_end_matches('0').trim_end_matches('.'))
}

/// Writes a flow with its counters, as `ovs-ofctl dump-flows` does.
pub fn print_stats(flow: &FlowStats) -> String {
    let mut out = format!(
        " cookie={:#x}, duration={}s, table={}, n_packets={}, n_bytes={}, ",
        flow.cookie,
        print_duration(flow.duration),
        flow.table_id,
        flow.packets,
        flow.bytes
    );
    let timeouts = [("idle_timeout", flow.idle_timeout), ("hard_timeout", flow.hard_timeout)];
    for (name, value) in timeouts.into_iter().filter(|(_, value)| *value != 0) {
        let _ = write!(out, "{name}={value}, ");
    }
    for (_, name) in FLAGS.iter().filter(|(bit, _)| flow.flags & bit != 0) {
        let _ = write!(out, "{name} ");
    }
    let priority = (flow.priority != 0x8000).then(|| format!("priority={}", flow.priority));
    let matching = Some(print_match(&flow.matching)).filter(|matching| !matching.is_empty());
    let words: Vec<String> = priority.into_iter().chain(matching).collect();
    if !words.is_empty() {
        let _ = write!(out, "{} ", words.join(","));
    }
    let _ = write!(out, "actions={}", print_instructions(&flow.instructions));
    out
}

const FLAGS: [(u16, &str); 5] = [
    (FlowMod::SEND_REMOVED, "send_flow_rem"),
    (FlowMod::CHECK_OVERLAP, "check_overlap"),
    (FlowMod::RESET_COUNTS, "reset_counts"),
    (FlowMod::NO_PACKET_COUNTS, "no_packet_counts"),
    (FlowMod::NO_BYTE_COUNTS, "no_byte_counts"),
];

/// Reads a flow: `table=0,priority=10,tcp,tp_dst=80,actions=output:2`.
///
/// # Errors
/// If a word is not known, a value does not fit, a prerequisite is not asked for, or there are no actions.
pub fn parse_flow(text: &str) -> Result<FlowMod, TextError> {
    let Some((head, actions)) = text.split_once("actions=").or_else(|| text.split_once("action=")) else {
        return error("a flow needs actions=");
    };
    let (mut flow, mut words) = (FlowMod::default(), Vec::new());
    for word in head.split([',', ' ']).map(str::trim).filter(|word| !word.is_empty()) {
        match word.split_once('=') {
            Some(("table", value)) => flow.table_id = number_in(value)?,
            Some(("priority", value)) => flow.priority = number_in(value)?,
            Some(("cookie", value)) => flow.cookie = number_in(value)?,
            Some(("idle_timeout", value)) => flow.idle_timeout = number_in(value)?,
            Some(("hard_timeout", value)) => flow.hard_timeout = number_in(value)?,
            _ => match FLAGS.iter().find(|(_, name)| *name == word) {
                Some((bit, _)) => flow.flags |= bit,
                None => words.push(word),
            },
        }
    }
    parse_match_words(&mut flow.matching, words)?;
    flow.instructions = instructions_for(&flow.matching, actions.trim())?;
    Ok(flow)
}

/// Writes actions and instructions, as they stand after `actions=`.
pub fn print_instructions(instructions: &[Instruction]) -> String {
    let list = |actions: &[Action]| actions.iter().map(print_action).collect::<Vec<_>>().join(",");
    let words: Vec<String> = instructions
        .iter()
        .map(|instruction| match instruction {
            Instruction::Meter(meter) => format!("meter:{meter}"),
            Instruction::Apply(actions) => list(actions),
            Instruction::Clear => "clear_actions".into(),
            Instruction::Write(actions) => format!("write_actions({})", list(actions)),
            Instruction::WriteMetadata { value, mask } if *mask == u64::MAX => {
                format!("write_metadata:{value:#x}")
            }
            Instruction::WriteMetadata { value, mask } => format!("write_metadata:{value:#x}/{mask:#x}"),
            Instruction::GotoTable(table) => format!("goto_table:{table}"),
        })
        .filter(|word| !word.is_empty())
        .collect();
    if words.is_empty() { "drop".into() } else { words.join(",") }
}

/// Reads what stands after `actions=`.
///
/// # Errors
/// If an action is not known, or its argument does not fit.
pub fn parse_instructions(text: &str) -> Result<Vec<Instruction>, TextError> {
    instructions_for(&Match::default(), text)
}

/// Reads instructions of a flow that matches so: the old names `mod_tp_dst` and `mod_vlan_vid` depend on it.
fn instructions_for(matching: &Match, text: &str) -> Result<Vec<Instruction>, TextError> {
    let (mut actions, mut others) = (Vec::new(), Vec::new());
    if text != "drop" {
        for word in split(text) {
            let (name, argument) = name_and_argument(word);
            match name {
                "goto_table" => others.push(Instruction::GotoTable(number_in(argument)?)),
                "clear_actions" => others.push(Instruction::Clear),
                "meter" => others.push(Instruction::Meter(number_in(argument)?)),
                "write_metadata" => {
                    let (value, mask) = parse_masked(Field::Metadata, argument)?;
                    others.push(Instruction::WriteMetadata { value: value as u64, mask: mask as u64 });
                }
                "write_actions" => others.push(Instruction::Write(actions_for(matching, argument)?)),
                _ => push_action(&mut actions, matching, name, argument)?,
            }
        }
    }
    if !actions.is_empty() {
        others.push(Instruction::Apply(actions));
    }
    others.sort_by_key(crate::action_codec::order);
    if others.windows(2).any(|pair| std::mem::discriminant(&pair[0]) == std::mem::discriminant(&pair[1])) {
        return error("an instruction may come only once");
    }
    Ok(others)
}
