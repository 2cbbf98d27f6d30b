//! Messages about connections in text: roles, which messages come unasked, bundles, and Nicira's.

use std::net::{Ipv4Addr, Ipv6Addr};

use heddle_openflow::bundle::{BundleAdd, BundleControl};
use heddle_openflow::extension::{CtFlush, CtTuple, IpfixStats, TlvCommand, TlvMap, TlvTable, is_mapped};
use heddle_openflow::message::role;
use heddle_openflow::packet::reason;
use heddle_openflow::role::{AsyncConfig, AsyncKind, NO_GENERATION, RoleStatus};

use super::flows::REMOVED;
use super::ports::names;

/// Why roles change, by number.
const ROLE_REASONS: [&str; 3] = ["primary_request", "configuration_changed", "experimenter_data_changed"];
/// What bundles do, by number.
const BUNDLE_KINDS: [&str; 8] = [
    "OPEN_REQUEST",
    "OPEN_REPLY",
    "CLOSE_REQUEST",
    "CLOSE_REPLY",
    "COMMIT_REQUEST",
    "COMMIT_REPLY",
    "DISCARD_REQUEST",
    "DISCARD_REPLY",
];
/// IP protocols whose identifier, type and code stand in place of ports.
const ICMP: [u8; 2] = [1, 58];

/// A role, and a generation where there is one.
pub fn role(number: u32, generation: u64) -> String {
    let name = role::NAMES.get(number as usize).copied().unwrap_or("unknown");
    let generation = match generation {
        NO_GENERATION => String::new(),
        generation => format!(" generation_id={generation}"),
    };
    format!(" role={name}{generation}")
}

/// A role that changed.
pub fn role_status(status: &RoleStatus) -> String {
    let reason = ROLE_REASONS.get(usize::from(status.reason)).copied().unwrap_or("(unknown)");
    format!("{} reason={reason}", role(status.role, status.generation))
}

/// Name of a reason for which a message comes unasked.
fn async_reason(kind: AsyncKind, bit: u32) -> String {
    let known: &[&str] = match kind {
        AsyncKind::PacketIn => &reason::NAMES,
        AsyncKind::PortStatus => &["add", "delete", "modify"],
        AsyncKind::FlowRemoved => &REMOVED,
        AsyncKind::RoleStatus => &ROLE_REASONS,
        AsyncKind::TableStatus => &["0", "1", "2", "vacancy_down", "vacancy_up"],
        AsyncKind::RequestForward => &["group_mod_request", "meter_mod_request"],
    };
    known.get(bit as usize).map_or_else(|| bit.to_string(), |name| (*name).to_owned())
}

/// Which messages come unasked.
pub fn async_config(config: &AsyncConfig) -> String {
    let mut out = String::new();
    for (title, masks) in [("primary", &config.master), ("secondary", &config.slave)] {
        out += &format!("\n {title}:\n");
        for kind in AsyncKind::ALL {
            let mask = masks[kind as usize].unwrap_or(0);
            let bits = (0..32).filter(|bit| mask >> bit & 1 != 0);
            let words: String = bits.map(|bit| format!(" {}", async_reason(kind, bit))).collect();
            out += &format!("{:>16}:{}\n", kind.name(), if mask == 0 { " (off)" } else { &words });
        }
    }
    out
}

/// Opens, closes or commits a bundle.
pub fn bundle_control(control: &BundleControl) -> String {
    let kind = BUNDLE_KINDS.get(usize::from(control.kind)).copied().unwrap_or_default();
    format!("\n bundle_id={} type={kind} flags={}", hex(control.id), bundle_flags(control.flags))
}

/// A number in hexadecimal; zero has no base.
fn hex(number: u32) -> String {
    if number == 0 { "0".into() } else { format!("{number:#x}") }
}

fn bundle_flags(flags: u16) -> String {
    names(flags.into(), &["atomic", "ordered"], " ")
}

/// Adds a message to a bundle.
pub fn bundle_add(add: &BundleAdd, verbosity: u32) -> String {
    let inner = super::message(&add.message, verbosity);
    format!("\n bundle_id={} flags={}\n{inner}", hex(add.id), bundle_flags(add.flags))
}

fn tlv_maps(maps: &[TlvMap]) -> String {
    let line = |map: &TlvMap| {
        format!("\n {:#6x}  {:#4x}  {:6}  tun_metadata{}", map.class, map.kind, map.length, map.index)
    };
    format!(
        " mapping table:\n  class  type  length  match field\n ------  ----  ------  --------------{}",
        maps.iter().map(line).collect::<String>()
    )
}

/// A change of which options fields stand for.
pub fn tlv_change(command: TlvCommand, maps: &[TlvMap]) -> String {
    match command {
        TlvCommand::Add => format!("\n ADD{}", tlv_maps(maps)),
        TlvCommand::Delete => format!("\n DEL{}", tlv_maps(maps)),
        TlvCommand::Clear => "\n CLEAR".into(),
    }
}

/// Which options fields stand for.
pub fn tlv_table(table: &TlvTable) -> String {
    let used: u32 = table.maps.iter().map(|map| u32::from(map.length)).sum();
    format!(
        "\n max option space={} max fields={}\n allocated option space={used}\n\n{}",
        table.max_space,
        table.max_fields,
        tlv_maps(&table.maps)
    )
}

fn address(address: u128) -> String {
    if is_mapped(address) {
        Ipv4Addr::from(address as u32).to_string()
    } else {
        Ipv6Addr::from(address).to_string()
    }
}

fn tuple(tuple: &CtTuple, protocol: u8, four: bool) -> String {
    let (src, dst) = if four { ("ct_nw_src", "ct_nw_dst") } else { ("ct_ipv6_src", "ct_ipv6_dst") };
    let ends = format!("{src}={},{dst}={}", address(tuple.src), address(tuple.dst));
    if ICMP.contains(&protocol) {
        let [kind, code] = tuple.dst_port.to_be_bytes();
        return format!("{ends},icmp_id={},icmp_type={kind},icmp_code={code}", tuple.src_port);
    }
    format!("{ends},ct_tp_src={},ct_tp_dst={}", tuple.src_port, tuple.dst_port)
}

/// Which connections to forget.
pub fn ct_flush(flush: &CtFlush) -> String {
    let mut out = format!(" zone={} ", flush.zone.unwrap_or(0));
    if flush.mark.is_some() || flush.mark_mask.is_some() {
        let (mark, mask) = (flush.mark.unwrap_or(0), flush.mark_mask.unwrap_or(u32::MAX));
        let mask = if mask == u32::MAX { String::new() } else { format!("/{}", hex(mask)) };
        out += &format!("mark={}{mask} ", hex(mark));
    }
    if flush.labels.is_some() || flush.labels_mask.is_some() {
        let (labels, mask) = (flush.labels.unwrap_or(0), flush.labels_mask.unwrap_or(u128::MAX));
        let mask = if mask == u128::MAX { String::new() } else { format!("/{mask:#x}") };
        let labels = if labels == 0 { "0".into() } else { format!("{labels:#x}") };
        out += &format!("labels={labels}{mask} ");
    }
    let ends = [flush.original.src, flush.original.dst, flush.reply.src, flush.reply.dst];
    let four = ends.into_iter().any(|end| end != 0 && is_mapped(end));
    out + &format!(
        "'{},ct_nw_proto={}' '{}'",
        tuple(&flush.original, flush.protocol, four),
        flush.protocol,
        tuple(&flush.reply, flush.protocol, four)
    )
}

fn ipfix(stats: &IpfixStats, indent: usize) -> String {
    let [flows, current, sampled, four, six, errors, four_errors, six_errors, sent, send_errors] =
        stats.counters.map(|count| if count == u64::MAX { "?".into() } else { count.to_string() });
    format!(
        "flows={flows}, current flows={current}, sampled pkts={sampled}, ipv4 ok={four}, ipv6 ok={six}, tx pkts={sent}\n{:indent$}pkts errs={errors}, ipv4 errs={four_errors}, ipv6 errs={six_errors}, tx errs={send_errors}\n",
        ""
    )
}

/// What is sampled of a bridge.
pub fn ipfix_bridge(stats: &IpfixStats) -> String {
    format!("\n  bridge ipfix: {}", ipfix(stats, 16))
}

/// What is sampled of flows.
pub fn ipfix_flows(list: &[IpfixStats]) -> String {
    let line = |stats: &IpfixStats| format!("  id {:3}: {}", stats.collector_set, ipfix(stats, 10));
    format!(" {} ids\n{}", list.len(), list.iter().map(line).collect::<String>())
}
