//! The text syntax of flows, as `ovs-ofctl` reads and writes it.
//!
//! Reading is stricter than writing is terse: every word must be known, every value must fit its field, and a field's
//! prerequisites must be asked for (`tcp_dst` needs `tcp`), so that a typing error is not a flow that never matches.

use std::fmt::Write;
use std::net::{Ipv4Addr, Ipv6Addr};

use heddle_flow::field::TextForm;
use heddle_flow::layout::VLAN_PRESENT;
use heddle_flow::{Field, Match};
use heddle_wire::{ethertype, ipproto};

use crate::action::{Action, Instruction};
use crate::message::FlowMod;
use crate::multipart::FlowStats;
use crate::{names, port};

/// Why text is not a flow.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct TextError(String);

fn error<T>(message: impl Into<String>) -> Result<T, TextError> {
    Err(TextError(message.into()))
}

/// Words that stand for an Ethernet type and perhaps an IP protocol.
const SHORTHANDS: [(&str, u16, Option<u8>); 14] = [
    ("icmp6", ethertype::IPV6, Some(ipproto::ICMPV6)),
    ("tcp6", ethertype::IPV6, Some(ipproto::TCP)),
    ("udp6", ethertype::IPV6, Some(ipproto::UDP)),
    ("sctp6", ethertype::IPV6, Some(ipproto::SCTP)),
    ("icmp", ethertype::IPV4, Some(ipproto::ICMP)),
    ("tcp", ethertype::IPV4, Some(ipproto::TCP)),
    ("udp", ethertype::IPV4, Some(ipproto::UDP)),
    ("sctp", ethertype::IPV4, Some(ipproto::SCTP)),
    ("ipv6", ethertype::IPV6, None),
    ("ip", ethertype::IPV4, None),
    ("arp", ethertype::ARP, None),
    ("rarp", 0x8035, None),
    ("mplsm", ethertype::MPLS_MC, None),
    ("mpls", ethertype::MPLS, None),
];

/// Names of TCP flags, from the lowest bit.
const TCP_FLAGS: [&str; 9] = ["fin", "syn", "rst", "psh", "ack", "urg", "ece", "cwr", "ns"];

/// Reads a number, decimal or hexadecimal.
///
/// # Errors
/// If it is none.
pub fn parse_number(text: &str) -> Result<u128, TextError> {
    let parsed = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => u128::from_str_radix(digits, 16),
        None => text.parse(),
    };
    parsed.or_else(|_| error(format!("\"{text}\" is not a number")))
}

fn number_in<T: TryFrom<u128>>(text: &str) -> Result<T, TextError> {
    T::try_from(parse_number(text)?).or_else(|_| error(format!("{text} is out of range")))
}

/// Reads an Ethernet address.
///
/// # Errors
/// If it is none.
pub fn parse_mac(text: &str) -> Result<u128, TextError> {
    let octets: Vec<u8> = text.split(':').filter_map(|octet| u8::from_str_radix(octet, 16).ok()).collect();
    if octets.len() != 6 || text.split(':').count() != 6 {
        return error(format!("\"{text}\" is not an Ethernet address"));
    }
    Ok(octets.iter().fold(0, |value, &octet| value << 8 | u128::from(octet)))
}

fn print_mac(value: u128) -> String {
    let bytes = value.to_be_bytes();
    bytes[10..].iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":")
}

/// Reads a port: a number, or a reserved name.
///
/// # Errors
/// If it is neither.
pub fn parse_port(text: &str) -> Result<u32, TextError> {
    match port::by_name(text) {
        Some(number) => Ok(number),
        None => number_in::<u32>(text).map(|number| match number {
            0xff00..=0xffff => number | 0xffff_0000,
            number => number,
        }),
    }
}

fn print_port(number: u32) -> String {
    port::name(number).map_or_else(|| number.to_string(), str::to_owned)
}

/// Reads a value of a field, without a mask.
///
/// # Errors
/// If it is none, or does not fit the field.
pub fn parse_value(field: Field, text: &str) -> Result<u128, TextError> {
    let spec = field.spec();
    let value = match spec.text {
        TextForm::Ethernet => parse_mac(text)?,
        TextForm::Ipv4 if text.contains('.') => match text.parse::<Ipv4Addr>() {
            Ok(address) => u128::from(u32::from(address)),
            Err(_) => return error(format!("\"{text}\" is not an IPv4 address")),
        },
        TextForm::Ipv6 => match text.parse::<Ipv6Addr>() {
            Ok(address) => u128::from(address),
            Err(_) => return error(format!("\"{text}\" is not an IPv6 address")),
        },
        TextForm::Port => u128::from(parse_port(text)?),
        _ => parse_number(text)?,
    };
    if value & !spec.full_mask() != 0 {
        return error(format!("{text}: {} has {} bits", spec.name, spec.bits));
    }
    Ok(value)
}

fn print_value(field: Field, value: u128) -> String {
    match field.spec().text {
        TextForm::Ethernet => print_mac(value),
        TextForm::Ipv4 => Ipv4Addr::from(value as u32).to_string(),
        TextForm::Ipv6 => Ipv6Addr::from(value).to_string(),
        TextForm::Port => print_port(value as u32),
        TextForm::Hex | TextForm::TcpFlags => format!("{value:#x}"),
        TextForm::Decimal | TextForm::Frag => value.to_string(),
    }
}

/// Reads what stands after `field=`: a value, perhaps with a mask.
fn parse_masked(field: Field, text: &str) -> Result<(u128, u128), TextError> {
    let full = field.spec().full_mask();
    if field == Field::IpFrag {
        return parse_frag(text);
    }
    if field == Field::TcpFlags && text.starts_with(['+', '-']) {
        return parse_tcp_flags(text);
    }
    let Some((value, mask)) = text.split_once('/') else { return Ok((parse_value(field, text)?, full)) };
    let prefix = |bits: u32| match mask.parse::<u32>() {
        Ok(0) => Ok(0),
        Ok(length) if length <= bits => Ok(full << (bits - length) & full),
        _ => error(format!("/{mask} is not a prefix length")),
    };
    let mask = match field.spec().text {
        TextForm::Ipv4 if !mask.contains('.') => prefix(32)?,
        TextForm::Ipv6 if !mask.contains(':') => prefix(128)?,
        _ => parse_value(field, mask)?,
    };
    if !field.spec().maskable && mask != full {
        return error(format!("{} cannot be masked", field.spec().name));
    }
    Ok((parse_value(field, value)? & mask, mask))
}

fn parse_frag(text: &str) -> Result<(u128, u128), TextError> {
    Ok(match text {
        "no" => (0, 3),
        "yes" => (1, 1),
        "first" => (1, 3),
        "later" => (3, 3),
        "not_later" => (0, 2),
        _ => return error(format!("\"{text}\" is none of no, yes, first, later, not_later")),
    })
}

fn print_frag(value: u128, mask: u128) -> &'static str {
    match (value, mask) {
        (1, 1) => "yes",
        (1, _) => "first",
        (3, _) => "later",
        (_, 2) => "not_later",
        _ => "no",
    }
}

fn parse_tcp_flags(text: &str) -> Result<(u128, u128), TextError> {
    let (mut value, mut mask) = (0, 0);
    let mut rest = text;
    while let Some(sign) = rest.chars().next() {
        let end = rest[1..].find(['+', '-']).map_or(rest.len(), |at| at + 1);
        let Some(bit) = TCP_FLAGS.iter().position(|flag| *flag == &rest[1..end]) else {
            return error(format!("\"{}\" is not a TCP flag", &rest[1..end]));
        };
        mask |= 1 << bit;
        value |= u128::from(sign == '+') << bit;
        rest = &rest[end..];
    }
    Ok((value, mask))
}

/// Reads a match: fields and shorthands, separated by commas.
///
/// # Errors
/// If a word is not known, a value does not fit, or a prerequisite is not asked for.
pub fn parse_match(text: &str) -> Result<Match, TextError> {
    let mut matching = Match::default();
    parse_match_words(&mut matching, text.split([',', ' ']).filter(|word| !word.is_empty()).collect())?;
    Ok(matching)
}

/// Reads words in the order of what presupposes what, so that they may be written in any.
fn parse_match_words(matching: &mut Match, mut words: Vec<&str>) -> Result<(), TextError> {
    words.sort_by_key(|word| match word.split_once('=').map(|(name, _)| name) {
        None => 0,
        Some("dl_type" | "eth_type" | "dl_vlan" | "vlan_vid" | "vlan_tci") => 1,
        Some("nw_proto" | "ip_proto") => 2,
        Some("icmp_type" | "icmpv6_type") => 3,
        Some(_) => 4,
    });
    words.into_iter().try_for_each(|word| parse_match_word(matching, word))
}

fn parse_match_word(matching: &mut Match, word: &str) -> Result<(), TextError> {
    let Some((name, value)) = word.split_once('=') else {
        let Some(&(_, eth_type, proto)) = SHORTHANDS.iter().find(|row| row.0 == word) else {
            return error(format!("\"{word}\" is not a field or protocol"));
        };
        ask(matching, Field::EthType, u128::from(eth_type), 0xffff)?;
        if let Some(proto) = proto {
            ask(matching, Field::NwProto, u128::from(proto), 0xff)?;
        }
        return Ok(());
    };
    match name {
        "dl_vlan" if value == "0xffff" => ask(matching, Field::VlanVid, 0, 0x1fff)?,
        "dl_vlan" => {
            let vid: u16 = number_in(value)?;
            if vid > 0xfff {
                return error(format!("dl_vlan={value}: a VLAN id has 12 bits"));
            }
            ask(matching, Field::VlanVid, u128::from(vid | VLAN_PRESENT), 0x1fff)?;
        }
        "dl_vlan_pcp" => {
            let (pcp, _) = parse_masked(Field::VlanPcp, value)?;
            ask(matching, Field::VlanPcp, pcp, 7)?;
            let (tci, mask) = matching.get(Field::VlanTci);
            if mask & 0x1000 != 0 && tci & 0x1000 == 0 {
                return error("dl_vlan_pcp needs a tag, and none is asked for");
            }
            matching.set_masked(Field::VlanTci, tci | 0x1000, mask | 0x1000);
        }
        "nw_tos" | "ip_tos" => {
            ask(matching, Field::IpDscp, parse_tos(value)?, 0x3f)?;
            if !matching.satisfies(Field::IpDscp) {
                return error(format!("{name} needs ip or ipv6 to be asked for"));
            }
        }
        "tp_src" | "tp_dst" | "icmp_type" | "icmp_code" => {
            let field = transport_field(matching, matches!(name, "tp_src" | "icmp_type"))?;
            let (value, mask) = parse_masked(field, value)?;
            ask(matching, field, value, mask)?;
        }
        _ => {
            let Some(field) = names::field(name) else {
                return error(format!("\"{name}\" is not a field"));
            };
            let (value, mask) = parse_masked(field, value)?;
            if !matching.satisfies(field) {
                return error(format!("{name} needs its protocol to be asked for"));
            }
            ask(matching, field, value, mask)?;
        }
    }
    Ok(())
}

/// Asks for a value, unless another was asked for before: then nothing could match, or the text is mistaken.
fn ask(matching: &mut Match, field: Field, value: u128, mask: u128) -> Result<(), TextError> {
    let before = matching.get(field);
    if before.1 != 0 && before != (value, mask) {
        return error(format!("{} is asked for twice", field.spec().name));
    }
    matching.set_masked(field, value, mask);
    Ok(())
}

fn transport_field(matching: &Match, source: bool) -> Result<Field, TextError> {
    let fields = if source {
        [Field::TcpSrc, Field::UdpSrc, Field::SctpSrc, Field::IcmpType, Field::Icmpv6Type]
    } else {
        [Field::TcpDst, Field::UdpDst, Field::SctpDst, Field::IcmpCode, Field::Icmpv6Code]
    };
    match fields.into_iter().find(|&field| matching.satisfies(field)) {
        Some(field) => Ok(field),
        None => error("ports, types and codes need tcp, udp, sctp, icmp or icmp6 to be asked for"),
    }
}

/// A type of service byte, whose two bits of ECN are a field of their own.
fn parse_tos(text: &str) -> Result<u128, TextError> {
    match parse_number(text)? {
        tos @ 0..=0xff if tos & 3 == 0 => Ok(tos >> 2),
        _ => error(format!("{text}: a type of service is a multiple of 4, at most 252")),
    }
}

/// Writes a match.
pub fn print_match(matching: &Match) -> String {
    let mut words = Vec::new();
    let mut left = *matching;
    let shorthand = SHORTHANDS.iter().find(|(_, eth_type, proto)| {
        let is = |field, value: u128, full| matching.get(field) == (value, full);
        is(Field::EthType, u128::from(*eth_type), 0xffff)
            && proto.is_none_or(|proto| is(Field::NwProto, u128::from(proto), 0xff))
    });
    if let Some((name, _, proto)) = shorthand {
        words.push((*name).to_owned());
        left.set_masked(Field::EthType, 0, 0);
        if proto.is_some() {
            left.set_masked(Field::NwProto, 0, 0);
        }
    }
    for spec in heddle_flow::field::FIELDS {
        let (value, mask) = left.get(spec.field);
        if mask == 0 || !matching.satisfies(spec.field) || (!spec.maskable && mask != spec.full_mask()) {
            continue;
        }
        if spec.field == Field::VlanTci && print_vlan(&mut words, value, mask) {
            left.set_masked(spec.field, 0, 0);
            continue;
        }
        words.push(print_field(spec.field, value, mask));
        left.set_masked(spec.field, 0, 0);
    }
    words.join(",")
}

fn print_vlan(words: &mut Vec<String>, value: u128, mask: u128) -> bool {
    let present = value & 0x1000 != 0;
    match mask {
        0x1fff if present => words.push(format!("dl_vlan={}", value & 0xfff)),
        0xf000 if present => words.push(format!("dl_vlan_pcp={}", value >> 13)),
        0xffff if present => {
            words.push(format!("dl_vlan={}", value & 0xfff));
            words.push(format!("dl_vlan_pcp={}", value >> 13));
        }
        _ => return false,
    }
    true
}

fn print_field(field: Field, value: u128, mask: u128) -> String {
    let spec = field.spec();
    let name = match field {
        Field::EthSrc => "dl_src",
        Field::EthDst => "dl_dst",
        Field::EthType => "dl_type",
        Field::TcpSrc | Field::UdpSrc | Field::SctpSrc => "tp_src",
        Field::TcpDst | Field::UdpDst | Field::SctpDst => "tp_dst",
        Field::Icmpv6Type => "icmp_type",
        Field::Icmpv6Code => "icmp_code",
        Field::TunnelId => "tun_id",
        _ => spec.name,
    };
    match field {
        Field::IpFrag => return format!("nw_frag={}", print_frag(value, mask)),
        Field::IpDscp => return format!("nw_tos={}", value << 2),
        Field::EthType => return format!("{name}={value:#06x}"),
        Field::VlanTci if mask == 0xffff => return format!("{name}={value:#06x}"),
        Field::VlanTci => return format!("{name}={value:#06x}/{mask:#06x}"),
        Field::Ipv6Label if mask == 0xf_ffff => return format!("{name}={value:#07x}"),
        Field::TcpFlags if mask >> TCP_FLAGS.len() == 0 => {
            let asked = TCP_FLAGS.iter().enumerate().filter(|(bit, _)| mask >> bit & 1 != 0);
            let sign = |bit: usize| if value >> bit & 1 != 0 { '+' } else { '-' };
            return format!(
                "{name}={}",
                asked.map(|(bit, flag)| format!("{}{flag}", sign(bit))).collect::<String>()
            );
        }
        _ => {}
    }
    if mask == spec.full_mask() {
        return format!("{name}={}", print_value(field, value));
    }
    let width = match spec.text {
        TextForm::Ipv4 => 32,
        TextForm::Ipv6 => 128,
        _ => 0,
    };
    let ones = mask.count_ones();
    if width != 0 && mask == spec.full_mask() << (width - ones) & spec.full_mask() {
        return format!("{name}={}/{ones}", print_value(field, value));
    }
    let hex = |value| match spec.text {
        TextForm::Decimal => format!("{value:#x}"),
        _ => print_value(field, value),
    };
    format!("{name}={}/{}", hex(value), hex(mask))
}

/// Writes an action.
pub fn print_action(action: &Action) -> String {
    match action {
        Action::Output { port: port::CONTROLLER, max_len } => format!("CONTROLLER:{max_len}"),
        Action::Output { port: number, .. } => {
            port::name(*number).map_or_else(|| format!("output:{number}"), str::to_owned)
        }
        Action::CopyTtlOut => "copy_ttl_out".into(),
        Action::CopyTtlIn => "copy_ttl_in".into(),
        Action::SetMplsTtl(ttl) => format!("set_mpls_ttl({ttl})"),
        Action::DecMplsTtl => "dec_mpls_ttl".into(),
        Action::PushVlan(tpid) => format!("push_vlan:{tpid:#06x}"),
        Action::PopVlan => "pop_vlan".into(),
        Action::PushMpls(eth_type) => format!("push_mpls:{eth_type:#06x}"),
        Action::PopMpls(eth_type) => format!("pop_mpls:{eth_type:#06x}"),
        Action::SetQueue(queue) => format!("set_queue:{queue}"),
        Action::Group(group) => format!("group:{group}"),
        Action::SetTtl(ttl) => format!("mod_nw_ttl:{ttl}"),
        Action::DecTtl => "dec_ttl".into(),
        Action::SetField { field, value, mask } => print_set(*field, *value, *mask),
        Action::Resubmit { port: None, table: Some(table) } => format!("resubmit(,{table})"),
        Action::Resubmit { port: Some(number), table: Some(table) } => {
            format!("resubmit({},{table})", print_port(*number))
        }
        Action::Resubmit { port: number, table: None } => {
            format!("resubmit:{}", print_port(number.unwrap_or(port::IN_PORT)))
        }
        Action::Move { src, src_ofs, dst, dst_ofs, n_bits } => {
            format!("move:{}->{}", print_bits(*src, *src_ofs, *n_bits), print_bits(*dst, *dst_ofs, *n_bits))
        }
        Action::Controller { max_len, reason, id } => {
            format!("controller(max_len={max_len},reason={reason},id={id})")
        }
        Action::Note(bytes) => {
            format!("note:{}", bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join("."))
        }
    }
}

fn print_set(field: Field, value: u128, mask: u128) -> String {
    let name = match field {
        Field::Ipv4Src => "ip_src",
        Field::Ipv4Dst => "ip_dst",
        Field::TunnelId => "tun_id",
        // A part of the byte is written where it lies in it, as only `load` does.
        Field::NwTos => {
            let (offset, n_bits) = (mask.trailing_zeros() as u16, mask.count_ones() as u16);
            return format!(
                "load:{:#x}->{}",
                value.checked_shr(offset.into()).unwrap_or(0),
                print_bits(field, offset, n_bits)
            );
        }
        _ => field.spec().name,
    };
    if mask == field.spec().full_mask() {
        return format!("set_field:{}->{name}", print_value(field, value));
    }
    format!("set_field:{}/{}->{name}", print_value(field, value), print_value(field, mask))
}

fn print_bits(field: Field, offset: u16, n_bits: u16) -> String {
    let name = field.spec().name;
    match (offset, n_bits) {
        (0, bits) if bits == u16::from(field.spec().bits) => format!("{name}[]"),
        (offset, 1) => format!("{name}[{offset}]"),
        (offset, bits) => format!("{name}[{offset}..{}]", offset + bits - 1),
    }
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

/// Writes a flow with its counters, as `ovs-ofctl dump-flows` does.
pub fn print_stats(flow: &FlowStats) -> String {
    let fraction = format!(".{:03}", flow.duration_ms % 1000);
    let fraction = fraction.trim_end_matches('0').trim_end_matches('.');
    let mut out = format!(
        " cookie={:#x}, duration={}{fraction}s, table={}, n_packets={}, n_bytes={}, ",
        flow.cookie,
        flow.duration_ms / 1000,
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

const FLAGS: [(u16, &str); 3] = [
    (FlowMod::SEND_REMOVED, "send_flow_rem"),
    (FlowMod::CHECK_OVERLAP, "check_overlap"),
    (FlowMod::RESET_COUNTS, "reset_counts"),
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

/// Splits at commas that stand in no brackets.
fn split(text: &str) -> Vec<&str> {
    let (mut depth, mut start, mut words) = (0i32, 0, Vec::new());
    for (at, letter) in text.char_indices() {
        match letter {
            '(' | '[' => depth += 1,
            ')' | ']' => depth -= 1,
            ',' if depth == 0 => {
                words.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    words.push(&text[start..]);
    words.into_iter().map(str::trim).filter(|word| !word.is_empty()).collect()
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

/// Reads a list of actions.
///
/// # Errors
/// As [`parse_instructions`].
pub fn parse_actions(text: &str) -> Result<Vec<Action>, TextError> {
    actions_for(&Match::default(), text)
}

fn actions_for(matching: &Match, text: &str) -> Result<Vec<Action>, TextError> {
    let mut actions = Vec::new();
    for word in split(text).into_iter().filter(|_| text != "drop") {
        let (name, argument) = name_and_argument(word);
        push_action(&mut actions, matching, name, argument)?;
    }
    Ok(actions)
}

/// Reads one action; one that sets a part of a tag pushes the tag first, unless there is one.
fn push_action(
    actions: &mut Vec<Action>,
    matching: &Match,
    name: &str,
    argument: &str,
) -> Result<(), TextError> {
    let (field, value) = match name {
        "mod_vlan_vid" => match number_in::<u16>(argument)? {
            vid @ 0..=0xfff => (Field::VlanVid, u128::from(vid | VLAN_PRESENT)),
            _ => return error(format!("{name}:{argument}: a VLAN id has 12 bits")),
        },
        "mod_vlan_pcp" => (Field::VlanPcp, parse_value(Field::VlanPcp, argument)?),
        "mod_tp_src" | "mod_tp_dst" => {
            let field = transport_field(matching, name == "mod_tp_src")?;
            (field, parse_value(field, argument)?)
        }
        "mod_nw_tos" => (Field::IpDscp, parse_tos(argument)?),
        _ => {
            actions.push(parse_action(name, argument)?);
            return Ok(());
        }
    };
    let last = actions.iter().rev().find(|action| matches!(action, Action::PushVlan(_) | Action::PopVlan));
    let tagged = match last {
        Some(action) => matches!(action, Action::PushVlan(_)),
        None => matching.satisfies(Field::VlanPcp),
    };
    if name.starts_with("mod_vlan") && !tagged {
        actions.push(Action::PushVlan(ethertype::VLAN));
    }
    actions.push(Action::SetField { field, value, mask: field.spec().full_mask() });
    Ok(())
}

/// `name:argument` and `name(argument)` alike.
fn name_and_argument(word: &str) -> (&str, &str) {
    let Some(at) = word.find([':', '(', '=']) else { return (word, "") };
    let argument = &word[at + 1..];
    let bracketed = word[at..].starts_with('(');
    (&word[..at], if bracketed { argument.strip_suffix(')').unwrap_or(argument) } else { argument })
}

fn parse_action(name: &str, argument: &str) -> Result<Action, TextError> {
    let set = |field: Field, text: &str| -> Result<Action, TextError> {
        let value = parse_value(field, text)?;
        Ok(Action::SetField { field, value, mask: field.spec().full_mask() })
    };
    Ok(match name {
        "output" => output(parse_port(argument)?),
        "controller" | "CONTROLLER" => return parse_controller(argument),
        "push_vlan" => match number_in(argument)? {
            tpid @ (ethertype::VLAN | ethertype::QINQ) => Action::PushVlan(tpid),
            _ => return error(format!("push_vlan:{argument}: 0x8100 or 0x88a8 can be pushed")),
        },
        "pop_vlan" | "strip_vlan" => Action::PopVlan,
        "push_mpls" => match number_in(argument)? {
            eth_type @ (ethertype::MPLS | ethertype::MPLS_MC) => Action::PushMpls(eth_type),
            _ => return error(format!("push_mpls:{argument}: 0x8847 or 0x8848 can be pushed")),
        },
        "pop_mpls" => Action::PopMpls(number_in(argument)?),
        "dec_ttl" => Action::DecTtl,
        "dec_mpls_ttl" => Action::DecMplsTtl,
        "set_mpls_ttl" => Action::SetMplsTtl(number_in(argument)?),
        "mod_nw_ttl" => Action::SetTtl(number_in(argument)?),
        "copy_ttl_in" => Action::CopyTtlIn,
        "copy_ttl_out" => Action::CopyTtlOut,
        "group" => Action::Group(number_in(argument)?),
        "set_queue" => Action::SetQueue(number_in(argument)?),
        "mod_dl_src" => set(Field::EthSrc, argument)?,
        "mod_dl_dst" => set(Field::EthDst, argument)?,
        "mod_nw_src" => set(Field::Ipv4Src, argument)?,
        "mod_nw_dst" => set(Field::Ipv4Dst, argument)?,
        "mod_nw_ecn" => set(Field::NwEcn, argument)?,
        "set_tunnel" | "set_tunnel64" => set(Field::TunnelId, argument)?,
        "set_mpls_label" => set(Field::MplsLabel, argument)?,
        "set_mpls_tc" => set(Field::MplsTc, argument)?,
        "set_field" => {
            let Some((value, field)) = argument.rsplit_once("->") else {
                return error(format!("set_field:{argument}: needs VALUE->FIELD"));
            };
            let field = writable(field.trim_end_matches("[]"))?;
            if field == Field::NwTos {
                let (field, value) = (Field::IpDscp, parse_tos(value)?);
                return Ok(Action::SetField { field, value, mask: field.spec().full_mask() });
            }
            let (value, mask) = parse_masked(field, value)?;
            Action::SetField { field, value, mask }
        }
        "load" => return parse_load(argument),
        "move" => return parse_move(argument),
        "resubmit" => return parse_resubmit(argument),
        "note" => {
            let bytes = argument.split('.').filter(|byte| !byte.is_empty());
            match bytes.map(|byte| u8::from_str_radix(byte, 16)).collect() {
                Ok(bytes) => Action::Note(bytes),
                Err(_) => return error(format!("note:{argument}: bytes are two hexadecimal digits")),
            }
        }
        _ if argument.is_empty() => {
            output(parse_port(name).or_else(|_| error(format!("\"{name}\" is not an action")))?)
        }
        _ => return error(format!("\"{name}\" is not an action")),
    })
}

fn output(port: u32) -> Action {
    Action::Output { port, max_len: if port == port::CONTROLLER { u16::MAX } else { 0 } }
}

fn writable(name: &str) -> Result<Field, TextError> {
    match names::field(name) {
        Some(field) if field.spec().writable => Ok(field),
        Some(_) => error(format!("{name} cannot be set")),
        None => error(format!("\"{name}\" is not a field")),
    }
}

fn parse_controller(argument: &str) -> Result<Action, TextError> {
    if argument.is_empty() || !argument.contains('=') {
        let max_len = if argument.is_empty() { u16::MAX } else { number_in(argument)? };
        return Ok(Action::Output { port: port::CONTROLLER, max_len });
    }
    let (mut max_len, mut reason, mut id) = (u16::MAX, 1, 0);
    for word in split(argument) {
        match word.split_once('=') {
            Some(("max_len", value)) => max_len = number_in(value)?,
            Some(("reason", "no_match")) => reason = 0,
            Some(("reason", "action")) => reason = 1,
            Some(("reason", "invalid_ttl")) => reason = 2,
            Some(("reason", value)) => reason = number_in(value)?,
            Some(("id", value)) => id = number_in(value)?,
            _ => return error(format!("controller: \"{word}\" is not known")),
        }
    }
    Ok(Action::Controller { max_len, reason, id })
}

/// `FIELD[]`, `FIELD[BIT]` or `FIELD[FIRST..LAST]`.
fn parse_bits(text: &str) -> Result<(Field, u16, u16), TextError> {
    let Some((name, bits)) = text.trim().strip_suffix(']').and_then(|text| text.split_once('[')) else {
        return error(format!("\"{text}\" needs bits, as in reg0[0..15]"));
    };
    let Some(field) = names::field(name) else { return error(format!("\"{name}\" is not a field")) };
    let (first, last): (u16, u16) = match bits.split_once("..") {
        None if bits.is_empty() => (0, u16::from(field.spec().bits) - 1),
        None => (number_in(bits)?, number_in(bits)?),
        Some((first, last)) => (number_in(first)?, number_in(last)?),
    };
    if first > last || last >= u16::from(field.spec().bits) {
        return error(format!("{text}: {name} has {} bits", field.spec().bits));
    }
    Ok((field, first, last - first + 1))
}

fn parse_load(argument: &str) -> Result<Action, TextError> {
    let Some((value, bits)) = argument.split_once("->") else {
        return error(format!("load:{argument}: needs VALUE->FIELD[]"));
    };
    let (field, offset, n_bits) = parse_bits(bits)?;
    writable(field.spec().name)?;
    let value = parse_number(value)?;
    let mask = if n_bits == 128 { u128::MAX } else { (1 << n_bits) - 1 };
    if value & !mask != 0 {
        return error(format!("load:{argument}: the value has more than {n_bits} bits"));
    }
    Ok(Action::SetField { field, value: value << offset, mask: mask << offset })
}

fn parse_move(argument: &str) -> Result<Action, TextError> {
    let Some((from, to)) = argument.split_once("->") else {
        return error(format!("move:{argument}: needs FIELD[]->FIELD[]"));
    };
    let ((src, src_ofs, n_bits), (dst, dst_ofs, dst_bits)) = (parse_bits(from)?, parse_bits(to)?);
    writable(dst.spec().name)?;
    if n_bits != dst_bits {
        return error(format!("move:{argument}: {n_bits} bits do not fit {dst_bits}"));
    }
    Ok(Action::Move { src, src_ofs, dst, dst_ofs, n_bits })
}

fn parse_resubmit(argument: &str) -> Result<Action, TextError> {
    let own = |text: &str| -> Result<Option<u32>, TextError> {
        let number = if text.is_empty() { port::IN_PORT } else { parse_port(text)? };
        Ok((number != port::IN_PORT).then_some(number))
    };
    Ok(match argument.split_once(',') {
        Some((port, table)) => {
            let table: Option<u8> = if table.is_empty() { None } else { Some(number_in(table)?) };
            Action::Resubmit { port: own(port)?, table }
        }
        None => Action::Resubmit { port: own(argument)?, table: None },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_writes_flows() {
        for text in [
            "priority=10,tcp,nw_dst=10.0.0.0/8,tp_dst=80,actions=output:2",
            "table=1,in_port=1,dl_vlan=5,actions=pop_vlan,set_field:02:00:00:00:00:01->eth_dst,NORMAL",
            "ipv6,ipv6_dst=fd00::/64,actions=dec_ttl,goto_table:3",
            "ip,nw_frag=later actions=drop",
            "mpls,mpls_label=7,actions=pop_mpls:0x0800,resubmit(,2)",
            "reg0=0x1/0xff,actions=load:5->reg1[0..7],move:reg1[0..7]->reg2[8..15],controller",
            "arp,arp_tpa=10.0.0.1,actions=write_actions(output:3),write_metadata:0x5/0xff,clear_actions",
            "tcp,tcp_flags=+syn-ack,actions=CONTROLLER:128",
            "vlan_tci=0x0000,actions=FLOOD",
            "vlan_tci=0x1000/0x1000,actions=FLOOD",
            "vlan_tci=0x3005/0x3fff,actions=mod_vlan_vid:6,1",
            "nd_target=fe80::1,icmp_type=135,icmp6,actions=LOCAL",
            "tp_dst=80,nw_tos=184,tcp,actions=mod_tp_dst:81,mod_nw_tos:32,mod_vlan_pcp:3,1",
            "actions=move:NXM_OF_ETH_SRC[]->NXM_OF_ETH_DST[],load:0x2->NXM_OF_ETH_SRC[],load:1->NXM_NX_REG0[0..7]",
            "tun_id=5,actions=set_tunnel:7,IN_PORT",
        ] {
            let flow = parse_flow(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            let printed = print_flow(&flow);
            assert_eq!(parse_flow(&printed).as_ref(), Ok(&flow), "{printed}");
            let bytes = crate::Message { xid: 1, body: crate::Body::FlowMod(flow.clone()) }.encode();
            crate::fuzz::message(&bytes);
            let decoded = crate::decode(&bytes).unwrap();
            assert_eq!(decoded.body, crate::Body::FlowMod(flow), "{text}");
        }
    }

    #[test]
    fn writes_flows_as_ovs_ofctl_does() {
        let flow = parse_flow(
            "priority=5,tcp,dl_dst=02:00:00:00:00:01,nw_tos=184,tp_dst=80,idle_timeout=10,send_flow_rem actions=2",
        );
        let flow = flow.unwrap();
        let mut stats = FlowStats {
            table_id: 1,
            duration_ms: 1_230,
            priority: flow.priority,
            idle_timeout: flow.idle_timeout,
            hard_timeout: 0,
            flags: flow.flags,
            cookie: 0,
            packets: 3,
            bytes: 180,
            matching: flow.matching,
            instructions: flow.instructions,
        };
        assert_eq!(
            print_stats(&stats),
            " cookie=0x0, duration=1.23s, table=1, n_packets=3, n_bytes=180, idle_timeout=10, send_flow_rem \
             priority=5,tcp,dl_dst=02:00:00:00:00:01,nw_tos=184,tp_dst=80 actions=output:2"
        );
        (stats.priority, stats.flags, stats.idle_timeout, stats.duration_ms) = (0x8000, 0, 0, 2_000);
        (stats.matching, stats.instructions) = (Match::default(), Vec::new());
        let any = " cookie=0x0, duration=2s, table=1, n_packets=3, n_bytes=180, actions=drop";
        assert_eq!(print_stats(&stats), any);
    }

    #[test]
    fn refuses_what_is_not_a_flow() {
        for text in [
            "actions=frobnicate",
            "tp_dst=80,actions=drop",
            "nw_src=1.2.3.4,actions=drop",
            "in_port=1",
            "ip,nw_src=1.2.3.4/33,actions=drop",
            "dl_vlan=5000,actions=drop",
            "actions=set_field:1->in_port_x",
            "actions=load:256->reg0[0..7]",
            "actions=goto_table:1,goto_table:2",
        ] {
            assert!(parse_flow(text).is_err(), "{text}");
        }
    }
}
