//! Flows in text: what operators write, and what is printed of flows in each version.

use std::time::Duration;

use heddle_flow::layout::VLAN_PRESENT;
use heddle_flow::{Field, Match};
use heddle_openflow::consistency::Known;
use heddle_openflow::multipart::FlowFilter;
use heddle_openflow::text::{lacking, parse_flow, parse_number, parse_port, print_action, print_match};
use heddle_openflow::{Action, Command, FlowMod, Instruction, Version};

use super::names::{Ports, bits};
use crate::fatal::{Fatal, fail};

/// Words that may stand before a flow in a file, and what they do with it.
const COMMANDS: [(&str, Command); 5] = [
    ("add", Command::Add),
    ("modify_strict", Command::ModifyStrict),
    ("modify", Command::Modify),
    ("delete_strict", Command::DeleteStrict),
    ("delete", Command::Delete),
];

fn number<T: TryFrom<u128>>(name: &str, text: &str) -> Result<T, Fatal> {
    let read = parse_number(text).ok().and_then(|number| T::try_from(number).ok());
    read.ok_or_else(|| Fatal::new(format!("invalid {name} \"{text}\"")))
}

/// Where the actions begin, and what they are.
fn actions_at(text: &str) -> Option<(usize, &str)> {
    let at = text.find("action")?;
    let rest = text[at..].strip_prefix("actions").or_else(|| text[at..].strip_prefix("action"))?;
    Some((at, rest.trim_start().strip_prefix('=')?))
}

/// Reads a flow as `add-flow` and its kin take it. `with_actions` says whether actions must be there; else they must not.
///
/// # Errors
/// What is wrong with it.
pub fn parse(text: &str, command: Command, with_actions: bool) -> Result<FlowMod, Fatal> {
    let (head, actions) = match actions_at(text) {
        Some((at, actions)) if with_actions => (&text[..at], actions.trim()),
        Some(_) => return fail("unknown keyword actions"),
        None if with_actions => return fail("must specify an action"),
        None => (text, "drop"),
    };
    let changes = matches!(command, Command::Modify | Command::ModifyStrict);
    // What is changed keeps its cookie, and one that is added has none.
    let mut filter = FlowMod { command, table_id: FlowMod::ALL_TABLES, ..FlowMod::default() };
    let mut words = Vec::new();
    for word in head.split([',', ' ', '\t', '\n']).filter(|word| !word.is_empty()) {
        let (name, value) = word.split_once('=').unwrap_or((word, ""));
        match name {
            "table" => filter.table_id = number("table", value)?,
            "priority" => filter.priority = number("priority", value)?,
            "out_port" => match parse_port(value) {
                Ok(port) => filter.out_port = port,
                Err(_) => return fail(format!("{value} is not a valid OpenFlow port")),
            },
            "out_group" => filter.out_group = number("out_group", value)?,
            "cookie" => match value.split_once('/') {
                Some((cookie, mask)) => {
                    filter.cookie_mask = if mask == "-1" { u64::MAX } else { number("cookie", mask)? };
                    filter.cookie = number("cookie", cookie)?;
                    if command == Command::Add {
                        return fail("cannot use cookie mask when adding a flow");
                    }
                }
                None if !with_actions => {
                    return fail(format!(
                        "cannot set cookie (to match on a cookie, specify a mask, e.g. cookie={value}/-1)"
                    ));
                }
                None if changes => filter.new_cookie = Some(number("cookie", value)?),
                None => filter.cookie = number("cookie", value)?,
            },
            "importance" => filter.importance = number("importance", value)?,
            _ if !word.contains('=') && !is_shorthand(word) => {
                return fail(if with_actions {
                    format!("field {word} missing value")
                } else {
                    format!("unknown keyword {word}")
                });
            }
            _ => words.push(word),
        }
    }
    let without = lacking(&words);
    let asked: Vec<&str> = words.iter().copied().filter(|word| !without.contains(word)).collect();
    let rest = format!("{} actions={actions}", asked.join(","));
    let parsed = parse_flow(&rest).map_err(|error| Fatal::new(error.to_string()))?;
    if !without.is_empty() {
        tell_left_out(&words, &parsed);
    }
    check_conjunctions(&parsed.instructions)?;
    check_learning(&parsed)?;
    let goto = parsed.instructions.iter().find_map(|one| match one {
        Instruction::GotoTable(table) => Some(*table),
        _ => None,
    });
    if filter.table_id != FlowMod::ALL_TABLES && goto.is_some_and(|table| table <= filter.table_id) {
        return fail("actions are invalid with specified match (OFPBIC_BAD_TABLE_ID)");
    }
    Ok(FlowMod {
        idle_timeout: parsed.idle_timeout,
        hard_timeout: parsed.hard_timeout,
        flags: parsed.flags,
        matching: parsed.matching,
        instructions: if with_actions { parsed.instructions } else { Vec::new() },
        ..filter
    })
}

/// Tells, as Open vSwitch does, that a match is not what it was written as: fields of protocols that it does not ask for
/// say nothing.
fn tell_left_out(words: &[&str], flow: &FlowMod) {
    let post = matching(&flow.matching, FlowMod::default().priority);
    for text in [
        "normalization changed ofp_match, details:".to_owned(),
        format!(" pre: {}", words.join(",")),
        format!("post: {post}"),
    ] {
        crate::log::write("ofp_match", crate::log::Level::Info, &text);
    }
}

/// That flows which are learned have the fields that they match and set, and take them from packets that have them.
fn check_learning(flow: &FlowMod) -> Result<(), Fatal> {
    let known = Known::of_flow(&flow.matching);
    for instruction in &flow.instructions {
        let Instruction::Apply(actions) = instruction else { continue };
        for action in actions {
            let Action::Learn(learn) = action else { continue };
            if let Some((role, field)) = known.lacking(learn) {
                let name = match field {
                    Field::Ipv4Src => "ip_src",
                    Field::Ipv4Dst => "ip_dst",
                    field => field.spec().name,
                };
                let text = format!("{role} field {name} lacks correct prerequisites");
                crate::log::write("meta_flow", crate::log::Level::Warn, &text);
                return fail("actions are invalid with specified match (OFPBAC_MATCH_INCONSISTENT)");
            }
        }
    }
    Ok(())
}

/// That what takes part in conjunctions does nothing else but note.
fn check_conjunctions(instructions: &[Instruction]) -> Result<(), Fatal> {
    let applied = instructions.iter().filter_map(|one| match one {
        Instruction::Apply(actions) => Some(actions),
        _ => None,
    });
    let all: Vec<&Action> = applied.flatten().collect();
    let other = all.iter().find(|one| !matches!(one, Action::Conjunction { .. } | Action::Note(_)));
    let conjunctive = all.iter().any(|one| matches!(one, Action::Conjunction { .. }));
    let Some(other) = other.filter(|_| conjunctive) else { return Ok(()) };
    let text = print_action(other);
    let name = text.split([':', '(']).next().unwrap_or_default();
    fail(format!(
        "\"conjunction\" actions may be used along with \"note\" but not any other kind of action (such as the \"{name}\" action used here)"
    ))
}

/// Words that stand alone in flows: protocols and flags.
fn is_shorthand(word: &str) -> bool {
    const WORDS: [&str; 29] = [
        "ip",
        "ip4",
        "ip6",
        "ipv6",
        "icmp",
        "icmp6",
        "tcp",
        "tcp6",
        "udp",
        "udp6",
        "sctp",
        "sctp6",
        "arp",
        "rarp",
        "mpls",
        "mplsm",
        "eth",
        "dl_vlan",
        "send_flow_rem",
        "check_overlap",
        "reset_counts",
        "no_packet_counts",
        "no_byte_counts",
        "no_readonly_table",
        "allow_hidden_fields",
        "nsh",
        "ipv4",
        "icmpv6",
        "vlan",
    ];
    WORDS.contains(&word)
}

/// Reads a line of a file of flows, which may begin with what to do.
///
/// # Errors
/// What is wrong with it.
pub fn parse_line(line: &str) -> Result<FlowMod, Fatal> {
    let line = line.strip_prefix("flow ").unwrap_or(line).trim_start();
    for (word, command) in COMMANDS {
        if let Some(rest) = line.strip_prefix(word).filter(|rest| rest.starts_with([' ', '\t', ','])) {
            let with_actions = !command.deletes();
            return parse(rest, command, with_actions);
        }
        if line == word && command.deletes() {
            return parse("", command, false);
        }
    }
    parse(line, Command::Add, true)
}

/// Reads which flows are asked for.
///
/// # Errors
/// What is wrong with it.
pub fn parse_filter(text: &str) -> Result<FlowFilter, Fatal> {
    let flow = parse(text, Command::Delete, false)?;
    Ok(FlowFilter {
        table_id: flow.table_id,
        out_port: flow.out_port,
        out_group: flow.out_group,
        cookie: flow.cookie,
        cookie_mask: flow.cookie_mask,
        matching: flow.matching,
    })
}

/// Writes an action as Open vSwitch does in this version.
pub fn action(action: &Action, version: Version) -> String {
    match action {
        Action::SetField { field, value, mask } => set_field(*field, *value, *mask, version),
        Action::PopVlan if version == Version::V1_0 => "strip_vlan".into(),
        Action::Move { src, src_ofs, dst, dst_ofs, n_bits } => format!(
            "move:{}->{}",
            bits(*src, (*src_ofs).into(), (*n_bits).into()),
            bits(*dst, (*dst_ofs).into(), (*n_bits).into())
        ),
        _ => print_action(action),
    }
}

fn set_field(field: Field, value: u128, mask: u128, version: Version) -> String {
    let full = mask == field.spec().full_mask();
    let printed = || print_action(&Action::SetField { field, value, mask });
    // `set_field:VALUE->NAME` holds the value as the field has it.
    let written = || {
        let text = printed();
        text.strip_prefix("set_field:")
            .and_then(|rest| rest.split_once("->"))
            .map_or(text.clone(), |(value, _)| value.to_owned())
    };
    if version == Version::V1_0 {
        const VID: u128 = VLAN_PRESENT as u128 | 0xfff;
        const PCP: u128 = VLAN_PRESENT as u128 | 7 << 13;
        match (field, mask) {
            (Field::VlanTci, VID) => return format!("mod_vlan_vid:{}", value & 0xfff),
            (Field::VlanTci, PCP) => return format!("mod_vlan_pcp:{}", value >> 13),
            _ => {}
        }
        let old = match field {
            Field::EthSrc => "mod_dl_src",
            Field::EthDst => "mod_dl_dst",
            Field::Ipv4Src => "mod_nw_src",
            Field::Ipv4Dst => "mod_nw_dst",
            Field::NwEcn => "mod_nw_ecn",
            Field::TcpSrc | Field::UdpSrc | Field::SctpSrc => "mod_tp_src",
            Field::TcpDst | Field::UdpDst | Field::SctpDst => "mod_tp_dst",
            Field::IpDscp => return format!("mod_nw_tos:{}", value << 2),
            _ => "",
        };
        if full && !old.is_empty() {
            return format!("{old}:{}", written());
        }
    }
    if version == Version::V1_0 && full && field.spec().bits > 64 {
        // An action of that version loads 64 bits at most.
        let load = |value: u64, offset| format!("load:{}->{}", loaded(value), bits(field, offset, 64));
        return format!("{},{}", load(value as u64, 0), load((value >> 64) as u64, 64));
    }
    let (offset, count) = (mask.trailing_zeros(), mask.count_ones());
    let adjoining = count > 0 && mask >> offset == u128::MAX >> (128 - count);
    if adjoining && count <= 64 && (!full || version == Version::V1_0) {
        return format!("load:{:#x}->{}", value >> offset, bits(field, offset, count));
    }
    printed()
}

/// A number as `load` has it: zero has no base.
fn loaded(value: u64) -> String {
    if value == 0 { "0".into() } else { format!("{value:#x}") }
}

/// Writes a list of actions; `drop` where there is none.
pub fn actions(list: &[Action], version: Version) -> String {
    let words: Vec<String> = list.iter().map(|one| action(one, version)).collect();
    if words.is_empty() { "drop".into() } else { words.join(",") }
}

/// Writes what stands after `actions=`.
pub fn instructions(list: &[Instruction], version: Version) -> String {
    let actions = |list: &[Action]| list.iter().map(|one| action(one, version)).collect::<Vec<_>>().join(",");
    let words: Vec<String> = list
        .iter()
        .map(|one| match one {
            Instruction::Meter(meter) => format!("meter:{meter}"),
            Instruction::Apply(list) => actions(list),
            Instruction::Clear => "clear_actions".into(),
            Instruction::Write(list) => format!("write_actions({})", actions(list)),
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

/// Priority and match as they stand in a flow; empty where there is nothing to say.
pub fn matching(matching: &Match, priority: u16) -> String {
    let priority = (priority != 0x8000).then(|| format!("priority={priority}"));
    let fields = Some(print_match(matching)).filter(|text| !text.is_empty());
    priority.into_iter().chain(fields).collect::<Vec<_>>().join(",")
}

/// Names of a flow's flags.
const FLAGS: [(u16, &str); 5] = [
    (FlowMod::SEND_REMOVED, "send_flow_rem"),
    (FlowMod::CHECK_OVERLAP, "check_overlap"),
    (FlowMod::RESET_COUNTS, "reset_counts"),
    (FlowMod::NO_PACKET_COUNTS, "no_packet_counts"),
    (FlowMod::NO_BYTE_COUNTS, "no_byte_counts"),
];

/// The flags that are set, each with a space after it.
pub fn flags(set: u16) -> String {
    FLAGS.iter().filter(|(bit, _)| set & bit != 0).map(|(_, name)| format!("{name} ")).collect()
}

/// A time in seconds, with as many digits as it needs.
pub fn duration(duration: Duration) -> String {
    let (seconds, nanos) = (duration.as_secs(), duration.subsec_nanos());
    // Milliseconds have three digits, so that times that are written one after another are easy to compare.
    match (nanos, nanos % 1_000_000) {
        (0, _) => seconds.to_string(),
        (_, 0) => format!("{seconds}.{:03}", nanos / 1_000_000),
        _ => format!("{seconds}.{nanos:09}").trim_end_matches('0').to_owned(),
    }
}

/// A flow that was dumped, with what of it is printed.
pub struct Shown<'a> {
    /// The flow.
    pub flow: &'a heddle_openflow::multipart::FlowStats,
    /// The version that it came in.
    pub version: Version,
    /// Whether counters are printed.
    pub stats: bool,
    /// Whether the table is always printed.
    pub names: Option<&'a Ports>,
}

/// Writes a flow as `dump-flows` does.
pub fn print(shown: &Shown<'_>) -> String {
    let flow = shown.flow;
    let mut out = String::from(" ");
    if shown.stats || flow.cookie != 0 {
        out += &format!("cookie={:#x}, ", flow.cookie);
    }
    if shown.stats {
        out += &format!("duration={}s, ", duration(flow.duration));
    }
    if shown.stats || flow.table_id != 0 {
        out += &format!("table={}, ", flow.table_id);
    }
    if shown.stats {
        out += &format!("n_packets={}, n_bytes={}, ", flow.packets, flow.bytes);
    }
    for (name, value) in [("idle_timeout", flow.idle_timeout), ("hard_timeout", flow.hard_timeout)] {
        if value != 0 {
            out += &format!("{name}={value}, ");
        }
    }
    out += &flags(flow.flags);
    if flow.importance != 0 {
        out += &format!("importance={}, ", flow.importance);
    }
    if shown.stats {
        if let Some(idle) = flow.idle_age {
            out += &format!("idle_age={idle}, ");
        }
        // A flow that was never changed is as old as it was made.
        if let Some(hard) = flow.hard_age
            && u64::from(hard) != flow.duration.as_secs()
            && hard != u16::MAX - 1
        {
            out += &format!("hard_age={hard}, ");
        }
    }
    let text = matching(&flow.matching, flow.priority);
    if !text.is_empty() {
        out += &format!("{text} ");
    }
    out += &format!("actions={}", instructions(&flow.instructions, shown.version));
    shown.names.map_or(out.clone(), |ports| ports.named(&out))
}
