//! Messages in text, as `ovs-ofctl` prints them.

use heddle_openflow::message::{Features, PacketIn, PacketOut};
use heddle_openflow::meter::MeterFeatures;
use heddle_openflow::multipart::{Aggregate, Reply};
use heddle_openflow::text::{print_group_desc, print_group_stats, print_match};
use heddle_openflow::{Body, Command, FlowMod, OfError, Version};

use super::flow_text::{self, Shown, duration, flags, instructions, matching};
use super::tables;
use super::{frame, views};

/// Names of capabilities in a features reply, from the lowest bit; the first for OpenFlow 1.0.
const CAPABILITIES: [[&str; 9]; 2] = [
    [
        "FLOW_STATS",
        "TABLE_STATS",
        "PORT_STATS",
        "STP",
        "RESERVED",
        "IP_REASM",
        "QUEUE_STATS",
        "ARP_MATCH_IP",
        "",
    ],
    [
        "FLOW_STATS",
        "TABLE_STATS",
        "PORT_STATS",
        "GROUP_STATS",
        "",
        "IP_REASM",
        "QUEUE_STATS",
        "",
        "PORT_BLOCKED",
    ],
];
/// Actions of OpenFlow 1.0, by number.
const ACTIONS: [&str; 12] = [
    "output",
    "set_vlan_vid",
    "set_vlan_pcp",
    "strip_vlan",
    "mod_dl_src",
    "mod_dl_dst",
    "mod_nw_src",
    "mod_nw_dst",
    "mod_nw_tos",
    "mod_tp_src",
    "mod_tp_dst",
    "enqueue",
];

/// Handling of fragments in a configuration.
pub const FRAGMENTS: [(u16, &str); 4] = [(0, "normal"), (1, "drop"), (2, "reassemble"), (3, "nx-match")];

/// A message's text, with its line ends; `verbosity` 1 and more shows packets that it carries.
pub fn message(bytes: &[u8], verbosity: u32) -> String {
    let decoded = match heddle_openflow::decode(bytes) {
        Ok(message) => message,
        Err(fault) => {
            return format!("***decode error: {}***\n{}", fault.error.name(), hex_dump(bytes));
        }
    };
    let version = decoded.form.version;
    let (name, text) = body(&decoded.body, version, decoded.form.nicira, verbosity);
    format!("{} (xid={:#x}):{text}", text_of_version(&name, version), decoded.xid)
}

fn text_of_version(name: &str, version: Version) -> String {
    match version {
        Version::V1_0 => name.to_owned(),
        version => format!("{name} (OF{})", version.number()),
    }
}

/// The message's name, and what follows its header.
fn body(body: &Body, version: Version, nicira: bool, verbosity: u32) -> (String, String) {
    let own = |name: &str| format!("{}_{name}", if nicira { "NXT" } else { "OFPT" });
    match body {
        Body::Hello(versions) => {
            let list: Vec<String> =
                (0..32).filter(|bit| versions >> bit & 1 != 0).map(|bit| format!("{bit:#04x}")).collect();
            ("OFPT_HELLO".into(), format!("\n version bitmap: {}\n", list.join(", ")))
        }
        Body::Error { number, data } => ("OFPT_ERROR".into(), error(*number, data, version)),
        Body::EchoRequest(data) => {
            ("OFPT_ECHO_REQUEST".into(), format!(" {} bytes of payload\n", data.len()))
        }
        Body::EchoReply(data) => ("OFPT_ECHO_REPLY".into(), format!(" {} bytes of payload\n", data.len())),
        Body::FeaturesRequest => ("OFPT_FEATURES_REQUEST".into(), "\n".into()),
        Body::FeaturesReply(features) => {
            let Features { datapath_id, buffers, tables, capabilities, .. } = features;
            let row = &CAPABILITIES[usize::from(version != Version::V1_0)];
            let words: Vec<&str> =
                (0..9).filter(|bit| capabilities >> bit & 1 != 0).map(|bit| row[bit]).collect();
            let mut text = format!(
                " dpid:{datapath_id:016x}\nn_tables:{tables}, n_buffers:{buffers}\ncapabilities: {}\n",
                words.join(" ")
            );
            if version == Version::V1_0 {
                let mask = features.actions;
                // Queueing is told beside output.
                let order = (0..12).map(|index| {
                    if index == 0 {
                        0
                    } else if index == 1 {
                        11
                    } else {
                        index - 1
                    }
                });
                let words: Vec<&str> =
                    order.filter(|bit| mask >> bit & 1 != 0).map(|bit| ACTIONS[bit]).collect();
                text += &format!("actions: {}\n", words.join(" "));
            }
            if version < Version::V1_3 {
                text += &views::ports(&features.ports, version);
            }
            ("OFPT_FEATURES_REPLY".into(), text)
        }
        Body::GetConfigRequest => ("OFPT_GET_CONFIG_REQUEST".into(), "\n".into()),
        Body::GetConfigReply(flags, length) => ("OFPT_GET_CONFIG_REPLY".into(), config(*flags, *length)),
        Body::SetConfig(flags, length) => ("OFPT_SET_CONFIG".into(), config(*flags, *length)),
        Body::PacketIn(packet) => (own("PACKET_IN"), packet_in(packet, verbosity)),
        Body::FlowRemoved(flow) => {
            let reason = ["idle", "hard", "delete", "group_delete"]
                .get(usize::from(flow.reason))
                .copied()
                .unwrap_or("unknown");
            let text = matching(&flow.matching, flow.priority);
            let table = if flow.table_id != 0 && flow.table_id != 255 {
                format!(" table_id={}", flow.table_id)
            } else {
                String::new()
            };
            let cookie = if flow.cookie != 0 { format!(" cookie:{:#x}", flow.cookie) } else { String::new() };
            (
                own("FLOW_REMOVED"),
                format!(
                    " {text} reason={reason}{table}{cookie} duration{}s idle{} pkts{} bytes{}\n",
                    duration(flow.duration),
                    flow.idle_timeout,
                    flow.packets,
                    flow.bytes
                ),
            )
        }
        Body::PortStatus(reason, port) => {
            let word = ["ADD", "DEL", "MOD"].get(usize::from(*reason)).copied().unwrap_or("UNKNOWN");
            ("OFPT_PORT_STATUS".into(), format!(" {word}:{}", views::port(port, version)))
        }
        Body::PacketOut(packet) => {
            let PacketOut { buffer_id, in_port, actions, data, .. } = packet;
            let words: Vec<String> = actions.iter().map(|one| flow_text::action(one, version)).collect();
            let port =
                heddle_openflow::port::name(*in_port).map_or_else(|| in_port.to_string(), str::to_owned);
            let words = if words.is_empty() { "drop".into() } else { words.join(",") };
            let held = match *buffer_id {
                heddle_openflow::message::NO_BUFFER => format!(" data_len={}\n", data.len()),
                id => format!(" buffer={id:#010x}\n"),
            };
            ("OFPT_PACKET_OUT".into(), format!(" in_port={port} actions={words}{held}"))
        }
        Body::FlowMod(flow) => (own("FLOW_MOD"), format!(" {}\n", flow_mod(flow, version))),
        Body::BarrierRequest => ("OFPT_BARRIER_REQUEST".into(), "\n".into()),
        Body::BarrierReply => ("OFPT_BARRIER_REPLY".into(), "\n".into()),
        Body::RoleRequest(role, _) | Body::RoleReply(role, _) => {
            let word = ["nochange", "equal", "primary", "secondary"]
                .get(*role as usize)
                .copied()
                .unwrap_or("unknown");
            let name = if matches!(body, Body::RoleRequest(..)) { "ROLE_REQUEST" } else { "ROLE_REPLY" };
            (own(name), format!(" role={word}\n"))
        }
        Body::FlowFormat(format) => (
            "NXT_SET_FLOW_FORMAT".into(),
            format!(" format={}\n", if *format == 2 { "nxm" } else { "openflow10" }),
        ),
        Body::FlowModTableId(on) => {
            ("NXT_FLOW_MOD_TABLE_ID".into(), format!(" {}\n", if *on { "enable" } else { "disable" }))
        }
        Body::PacketInFormat(format) => (
            "NXT_SET_PACKET_IN_FORMAT".into(),
            format!(" format={}\n", if *format == 1 { "nxt_packet_in" } else { "openflow10" }),
        ),
        Body::MultipartReply(reply) => statistics(reply, version, nicira),
        Body::QueueConfigReply(port, queues) => {
            ("OFPT_QUEUE_GET_CONFIG_REPLY".into(), views::queues(*port, queues))
        }
        other => (own("MESSAGE"), format!(" {other:?}\n")),
    }
}

fn config(flags: u16, length: u16) -> String {
    let word = FRAGMENTS[usize::from(flags & 3)].1;
    let invalid = if flags & 4 != 0 { " invalid_ttl_to_controller" } else { "" };
    format!(" frags={word}{invalid} miss_send_len={length}\n")
}

/// An error's name, and the message that it quotes.
fn error(number: (u16, u16), data: &[u8], version: Version) -> String {
    let named = |error: &&OfError| {
        let (wire, id) = error.wire(version);
        wire == number && data.starts_with(&id)
    };
    let known = OfError::ALL.iter().find(named);
    let quoted = &data[known.map_or(0, |error| error.wire(version).1.len()).min(data.len())..];
    let name = known
        .map_or_else(|| format!("type {}, code {}", number.0, number.1), |error| error.name().to_owned());
    let text = match heddle_openflow::decode(quoted) {
        Ok(_) => message(quoted, 0),
        Err(_) if number.0 == 0 => format!("{}\n", String::from_utf8_lossy(quoted)),
        Err(_) => hex_dump(quoted),
    };
    format!(" {name}\n{text}")
}

/// A change of the flow tables.
pub fn flow_mod(flow: &FlowMod, version: Version) -> String {
    let mut out = String::from(match flow.command {
        Command::Add => "ADD",
        Command::Modify => "MOD",
        Command::ModifyStrict => "MOD_STRICT",
        Command::Delete => "DEL",
        Command::DeleteStrict => "DEL_STRICT",
    });
    if flow.table_id != 0 && (flow.table_id != FlowMod::ALL_TABLES || version != Version::V1_0) {
        out += &format!(" table:{}", flow.table_id);
    }
    let text = matching(&flow.matching, flow.priority);
    if !text.is_empty() {
        out += &format!(" {text}");
    }
    if flow.cookie != 0 || flow.cookie_mask != 0 {
        out += &match flow.cookie_mask {
            0 => format!(" cookie:{:#x}", flow.cookie),
            mask => format!(" cookie:{:#x}/{mask:#x}", flow.cookie),
        };
    }
    for (name, value) in [("idle", flow.idle_timeout), ("hard", flow.hard_timeout)] {
        if value != 0 {
            out += &format!(" {name}:{value}");
        }
    }
    if flow.out_port != heddle_openflow::port::ANY {
        out += &format!(
            " out_port:{}",
            heddle_openflow::port::name(flow.out_port)
                .map_or_else(|| flow.out_port.to_string(), str::to_owned)
        );
    }
    format!("{out} {}actions={}", flags(flow.flags), instructions(&flow.instructions, version))
}

fn packet_in(packet: &PacketIn, verbosity: u32) -> String {
    let PacketIn { reason, table_id, cookie, total_len, matching, data, .. } = packet;
    let mut out = String::new();
    if *table_id != 0 && *table_id != 255 {
        out += &format!(" table_id={table_id}");
    }
    if *cookie != 0 && *cookie != u64::MAX {
        out += &format!(" cookie={cookie:#x}");
    }
    let reason = ["no_match", "action", "invalid_ttl", "action_set", "group", "packet_out"]
        .get(usize::from(*reason))
        .copied()
        .unwrap_or("unknown");
    out += &format!(
        " total_len={total_len} {} (via {reason}) data_len={} (unbuffered)\n",
        print_match(matching),
        data.len()
    );
    out += &frame::frame(data);
    if verbosity > 0 {
        out += &hex_dump(data);
    }
    out
}

fn statistics(reply: &Reply, version: Version, nicira: bool) -> (String, String) {
    let kind = if nicira { "NXST" } else { "OFPST" };
    let named = |name: &str| format!("{kind}_{name} reply");
    match reply {
        Reply::Desc(words) => {
            let titles = ["Manufacturer", "Hardware", "Software", "Serial Num", "DP Description"];
            let lines = titles.iter().zip(words).map(|(title, word)| format!("{title}: {word}\n"));
            (named("DESC"), format!("\n{}", lines.collect::<String>()))
        }
        Reply::Flow(flows) => {
            let mut text = String::from("\n");
            for flow in flows {
                let shown = Shown { flow, version, stats: true, names: None };
                text += &format!("{}\n", flow_text::print(&shown));
            }
            (named("FLOW"), text)
        }
        Reply::Aggregate(Aggregate { packets, bytes, flows }) => {
            (named("AGGREGATE"), format!(" packet_count={packets} byte_count={bytes} flow_count={flows}\n"))
        }
        Reply::Table(list) => (named("TABLE"), tables::print(list)),
        Reply::PortStats(list) => (named("PORT"), views::port_statistics(list)),
        Reply::PortDesc(list) => (named("PORT_DESC"), format!("\n{}", views::ports(list, version))),
        Reply::GroupDesc(groups) => {
            let lines = groups.iter().map(|group| format!(" {}\n", print_group_desc(group)));
            (named("GROUP_DESC"), format!("\n{}", lines.collect::<String>()))
        }
        Reply::GroupStats(groups) => {
            let lines = groups.iter().map(|group| format!(" {}\n", print_group_stats(group)));
            (named("GROUP"), format!("\n{}", lines.collect::<String>()))
        }
        Reply::GroupFeatures(words) => (named("GROUP_FEATURES"), group_features(words)),
        Reply::MeterFeatures(features) => (named("METER_FEATURES"), meter_features(features)),
        Reply::QueueStats(list) => (named("QUEUE"), views::queue_statistics(list)),
        Reply::MeterStats(list) if list.is_empty() => (named("METER"), "\n".into()),
        Reply::MeterConfig(list) if list.is_empty() => (named("METER_CONFIG"), "\n".into()),
        Reply::TableFeatures(_) => (named("TABLE_FEATURES"), "\n".into()),
        other => (named("MESSAGE"), format!(" {other:?}\n")),
    }
}

fn group_features(words: &[u32; 10]) -> String {
    // Actions of OpenFlow 1.3, by number, in the order that they are printed.
    const WORDS: [(u32, &str); 12] = [
        (0, "output"),
        (22, "group"),
        (25, "set_field"),
        (18, "strip_vlan"),
        (17, "push_vlan"),
        (23, "mod_nw_ttl"),
        (24, "dec_ttl"),
        (15, "set_mpls_ttl"),
        (16, "dec_mpls_ttl"),
        (19, "push_mpls"),
        (20, "pop_mpls"),
        (21, "set_queue"),
    ];
    let mut out =
        format!("\n Group table:\n    Types:  {:#x}\n    Capabilities:  {:#x}\n", words[0], words[1]);
    for (index, name) in ["all", "select", "indirect", "fast failover"].iter().enumerate() {
        let actions: Vec<&str> =
            WORDS.iter().filter(|(bit, _)| words[6 + index] >> bit & 1 != 0).map(|row| row.1).collect();
        out += &format!(
            "    {name} group:\n       max_groups={:#x}\n       actions: {}\n",
            words[2 + index],
            actions.join(" ")
        );
    }
    out
}

fn meter_features(features: &MeterFeatures) -> String {
    let list = |mask: u32, names: &[(u32, &str)]| {
        names.iter().filter(|(bit, _)| mask & bit != 0).map(|row| row.1).collect::<Vec<_>>().join(" ")
    };
    format!(
        "\nmax_meter:{} max_bands:{} max_color:{}\nband_types: {}\ncapabilities: {}\n",
        features.max_meters,
        features.max_bands,
        features.max_color,
        list(features.band_types, &[(2, "drop"), (4, "dscp_remark")]),
        list(features.capabilities, &[(1, "kbps"), (2, "pktps"), (4, "burst"), (8, "stats")])
    )
}

/// Bytes in hexadecimal and as letters, sixteen on a line.
pub fn hex_dump(bytes: &[u8]) -> String {
    let mut out = String::new();
    for (index, line) in bytes.chunks(16).enumerate() {
        out += &format!("{:08x} ", index * 16);
        for at in 0..16 {
            match line.get(at) {
                Some(byte) => out += &format!("{}{byte:02x}", if at == 8 { '-' } else { ' ' }),
                None if at == 8 && line.len() == 8 => out += "-  ",
                None => out += "   ",
            }
        }
        let letters = |at: usize| match line.get(at) {
            Some(byte @ 0x20..=0x7e) => char::from(*byte),
            Some(_) => '.',
            None => ' ',
        };
        out += &format!(" |{}|\n", (0..16).map(letters).collect::<String>());
    }
    out
}
