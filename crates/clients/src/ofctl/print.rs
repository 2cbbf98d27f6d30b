//! Messages in text, as `ovs-ofctl` prints them.

mod control;
mod field_names;
mod flows;
pub(super) mod frame;
mod groups;
mod meters;
mod packets;
mod ports;
mod tables;
#[cfg(test)]
mod tests;

use heddle_openflow::kind::Kind;
use heddle_openflow::message::{Features, HEADER_LEN, Header};
use heddle_openflow::multipart::{Reply, Request};
use heddle_openflow::role::AsyncKind;
use heddle_openflow::{Body, OfError, Version};

use crate::log::{self, Level};

pub use self::groups::change as group_mod;
pub use self::ports::port_name;

/// Names of capabilities in a features reply, from the lowest bit: of OpenFlow 1.0, of 1.1, and of later versions.
const CAPABILITIES: [[&str; 11]; 3] = [
    [
        "FLOW_STATS",
        "TABLE_STATS",
        "PORT_STATS",
        "STP",
        "",
        "IP_REASM",
        "QUEUE_STATS",
        "ARP_MATCH_IP",
        "",
        "",
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
        "ARP_MATCH_IP",
        "",
        "",
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
        "BUNDLES",
        "FLOW_MONITORING",
    ],
];
/// Actions of OpenFlow 1.0, by number, in the order that they are printed: queueing beside output.
const ACTIONS: [(u32, &str); 12] = [
    (0, "output"),
    (11, "enqueue"),
    (1, "set_vlan_vid"),
    (2, "set_vlan_pcp"),
    (3, "strip_vlan"),
    (4, "mod_dl_src"),
    (5, "mod_dl_dst"),
    (6, "mod_nw_src"),
    (7, "mod_nw_dst"),
    (8, "mod_nw_tos"),
    (9, "mod_tp_src"),
    (10, "mod_tp_dst"),
];

/// Handling of fragments in a configuration.
pub const FRAGMENTS: [(u16, &str); 4] = [(0, "normal"), (1, "drop"), (2, "reassemble"), (3, "nx-match")];
/// Bit of a configuration that sends packets whose TTL is spent to the controller.
const INVALID_TTL: u16 = 4;

/// A message's text, with its line ends; `verbosity` 1 and more shows packets that it carries, 3 and more their bytes, and 5
/// and more the message's own.
pub fn message(bytes: &[u8], verbosity: u32) -> String {
    let stated = match bytes {
        [] => return "OpenFlow message is empty\n".into(),
        [_, _, high, low, ..] if bytes.len() >= HEADER_LEN => usize::from(u16::from_be_bytes([*high, *low])),
        _ => {
            let length = bytes.len();
            return format!("OpenFlow packet too short (only {length} bytes):\n{}", hex_dump(bytes));
        }
    };
    if stated < bytes.len() {
        let text = format!("(***only uses {stated} bytes out of {}***)\n", bytes.len());
        return text + &hex_dump(bytes);
    }
    if stated > bytes.len() {
        let head = Header::of(bytes).map_or_else(|_| String::new(), |header| head(&header) + "\n");
        let text = format!("{head}(***truncated to {} bytes from {stated}***)\n", bytes.len());
        return text + &hex_dump(bytes);
    }
    let (mut text, failed) = whole(bytes, verbosity);
    if failed || verbosity >= 5 {
        end_line(&mut text);
        text += &hex_dump(bytes);
    }
    end_line(&mut text);
    text
}

fn end_line(text: &mut String) {
    if !text.ends_with('\n') {
        text.push('\n');
    }
}

/// Text of a message whose length is right, and whether it could not be read.
fn whole(bytes: &[u8], verbosity: u32) -> (String, bool) {
    if bytes[1] == 0 {
        return (hello(bytes), false);
    }
    let failed = |error: OfError| format!("***decode error: {}***\n", error.name());
    let header = match Header::of(bytes) {
        Ok(header) if header.row.fits(bytes.len() - header.length) => header,
        Ok(header) => {
            let lengths = header.row.lengths(header.length);
            warn(
                "ofp_msgs",
                &format!("received {} with incorrect length {} ({lengths})", header.row.name, bytes.len()),
            );
            return (failed(OfError::RequestBadLength), true);
        }
        // There is no message of a version that there is not.
        Err(OfError::RequestBadVersion) => {
            let (version, kind) = (bytes[0], bytes[1]);
            warn("ofp_msgs", &format!("unknown OpenFlow message (version {version}, type {kind})"));
            return (failed(OfError::RequestBadType), true);
        }
        Err(error) => return (failed(error), true),
    };
    let mut out = head(&header) + &multipart_flags(&header);
    match heddle_openflow::decode(bytes) {
        Ok(message) => {
            out += &body(&message.body, bytes, header.form.version, verbosity);
            if out.ends_with(' ') {
                out.pop();
            }
            (out, false)
        }
        Err(fault) => {
            explain(&header, bytes, fault.error);
            (format!("{out} {}", failed(fault.error)), true)
        }
    }
}

/// Logs what a name of an error does not say.
fn explain(header: &Header, bytes: &[u8], error: OfError) {
    if matches!(error, OfError::AsyncInvalid | OfError::AsyncUnsupported) {
        return explain_async(&bytes[header.length..], header.form.version);
    }
    if header.row.kind == Kind::CtFlush && error == OfError::PropertyBadType {
        return explain_ct_flush(bytes.get(header.length + 8..).unwrap_or_default());
    }
    let inner =
        bytes.get(header.length + 8..).and_then(|inner| heddle_openflow::bundle::inner_row(inner).ok());
    if header.row.kind == Kind::BundleAdd
        && error == OfError::BundleMsgUnsup
        && let Some(inner) = inner
    {
        warn("ofp_bundle", &format!("{} message not allowed inside OFPT14_BUNDLE_ADD_MESSAGE", inner.name));
    }
}

/// Logs which property of an asynchronous configuration is none, or has bits that there are not.
fn explain_async(mut properties: &[u8], version: Version) {
    while let [high, low, _, _, rest @ ..] = properties {
        let kind = u16::from_be_bytes([*high, *low]);
        let mask = rest.first_chunk().map_or(0, |word| u32::from_be_bytes(*word));
        match AsyncKind::ALL.get(usize::from(kind) / 2) {
            None => return warn("ofp_util", &format!("unknown async config property type {kind}")),
            Some(known) if mask & !known.known(version) != 0 => {
                let (name, allowed) = (known.name(), known.known(version));
                return warn(
                    "ofp_util",
                    &format!("bad value {mask:#x} for {name} (allowed mask {allowed:#x})"),
                );
            }
            Some(_) => properties = rest.get(4..).unwrap_or_default(),
        }
    }
}

/// Logs which property of a message that forgets connections is none, or which of a connection in it.
fn explain_ct_flush(mut properties: &[u8]) {
    /// Properties that hold further ones, after four bytes: a connection's two directions.
    const TUPLES: [u16; 2] = [0, 1];
    const KNOWN: u16 = 7;
    const KNOWN_OF_TUPLE: u16 = 7;
    let read = |bytes: &[u8]| match bytes {
        [high, low, long, length, ..] => {
            Some((u16::from_be_bytes([*high, *low]), usize::from(u16::from_be_bytes([*long, *length]))))
        }
        _ => None,
    };
    while let Some((kind, length)) = read(properties).filter(|(_, length)| *length >= 4) {
        if kind >= KNOWN {
            return warn("ofp_ct", &format!("unknown NXT_CT_FLUSH property type {kind}"));
        }
        let mut inner = properties.get(8..length).unwrap_or_default();
        while TUPLES.contains(&kind)
            && let Some((kind, length)) = read(inner).filter(|(_, length)| *length >= 4)
        {
            if kind >= KNOWN_OF_TUPLE {
                return warn("ofp_ct", &format!("unknown NXT_CT_TUPLE property type {kind}"));
            }
            inner = inner.get(length.next_multiple_of(8)..).unwrap_or_default();
        }
        properties = properties.get(length.next_multiple_of(8)..).unwrap_or_default();
    }
}

fn warn(module: &str, text: &str) {
    log::write(module, Level::Warn, text);
}

/// A message's name, version and transaction id.
fn head(header: &Header) -> String {
    let version = match header.form.version {
        Version::V1_0 => String::new(),
        version => format!(" (OF{})", version.number()),
    };
    format!("{}{version} (xid={:#x}):", header.row.name, header.xid)
}

fn multipart_flags(header: &Header) -> String {
    let mut flags = header.flags;
    if flags == 0 {
        return String::new();
    }
    let mut out = String::from(" flags=");
    let is_reply = header.row.name.ends_with(" reply");
    if flags & 1 != 0 && (is_reply || header.form.version >= Version::V1_3) {
        out += "[more]";
        flags &= !1;
    }
    if flags != 0 {
        out += &format!("[***unknown flags {flags:#06x}***]");
    }
    out
}

/// A hello: it may come in any version, and hold what is not known.
fn hello(bytes: &[u8]) -> String {
    let version = match Version::of_byte(bytes[0]) {
        Some(Version::V1_0) => String::new(),
        Some(version) => format!(" (OF{})", version.number()),
        None => format!(" (OF {:#04x})", bytes[0]),
    };
    let id = super::connection::xid(bytes);
    let versions = match heddle_openflow::decode(bytes).map(|message| message.body) {
        Ok(Body::Hello(versions)) => versions,
        _ => 0,
    };
    let list: Vec<String> =
        (1..32).filter(|bit| versions >> bit & 1 != 0).map(|bit| format!("{bit:#04x}")).collect();
    let mut out = format!("OFPT_HELLO{version} (xid={id:#x}):\n version bitmap: {}\n", list.join(", "));
    if !is_plain_hello(&bytes[HEADER_LEN..]) {
        out += &format!(" unknown data in hello:\n{}", hex_dump(bytes));
    }
    out
}

/// Whether a hello's body holds bitmaps of versions that there may be, and nothing else.
fn is_plain_hello(mut body: &[u8]) -> bool {
    let mut plain = true;
    while !body.is_empty() {
        let [kind_high, kind, high, low, rest @ ..] = body else { return false };
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        let padded = length.next_multiple_of(8);
        let is_bitmap = [*kind_high, *kind] == [0, 1] && length > 4 && length.is_multiple_of(4);
        let first = rest.first_chunk().map_or(0, |word| u32::from_be_bytes(*word));
        if length < 4 || padded > body.len() {
            return false;
        }
        if is_bitmap && first & 1 != 0 {
            warn("ofp_util", "peer claims to support invalid OpenFlow version 0x00");
        }
        if is_bitmap && first & !1 == 0 {
            warn("ofp_util", "peer does not support any OpenFlow version (between 0x01 and 0x1f)");
        }
        plain &= is_bitmap && first & !1 != 0;
        body = &body[padded..];
    }
    plain
}

/// What follows a message's name.
fn body(body: &Body, bytes: &[u8], version: Version, verbosity: u32) -> String {
    match body {
        Body::Error { number, data } => error(*number, data, version),
        Body::EchoRequest(data) | Body::EchoReply(data) => {
            let dump = if verbosity > 1 { hex_dump(data) } else { String::new() };
            format!(" {} bytes of payload\n{dump}", data.len())
        }
        Body::FeaturesReply(shown) => features(shown, version),
        Body::GetConfigReply(flags, length) | Body::SetConfig(flags, length) => config(*flags, *length),
        Body::PacketIn(packet) | Body::PacketIn2(packet) | Body::Resume(packet) => {
            packets::packet_in(packet, verbosity)
        }
        Body::FlowRemoved(flow) => flows::removed(flow),
        Body::PortStatus(reason, port) => {
            let word = ["ADD", "DEL", "MOD"].get(usize::from(*reason)).copied().unwrap_or("UNKNOWN");
            format!(" {word}:{}", ports::port(port, version))
        }
        Body::PacketOut(packet) => packets::packet_out(packet, version, verbosity),
        Body::FlowMod(flow) => {
            let fields = if verbosity > 2 { flows::nicira_fields(bytes) } else { None };
            format!(" {}", flows::change(flow, version, fields))
        }
        Body::GroupMod(group) => groups::change(group, version),
        Body::PortMod(port) => ports::change(port),
        Body::TableMod(table) => tables::change(table, version),
        Body::MeterMod(meter) => meters::change(meter),
        Body::QueueConfigRequest(port) => format!(" port={}", port_name(*port)),
        Body::QueueConfigReply(port, queues) => ports::queues(*port, queues),
        Body::MultipartRequest(request) => question(request, version),
        Body::MultipartReply(reply) => statistics(reply, version, verbosity),
        Body::RoleRequest(role, generation) | Body::RoleReply(role, generation) => {
            // Nicira's form has none.
            let has_one = Header::of(bytes).is_ok_and(|header| !header.form.nicira);
            let has_one = has_one && *role != heddle_openflow::message::role::NO_CHANGE;
            control::role(*role, if has_one { *generation } else { u64::MAX })
        }
        Body::RoleStatus(status) => control::role_status(status),
        Body::GetAsyncReply(config) | Body::SetAsync(config) => control::async_config(config),
        Body::TableStatus(status) => tables::status(status),
        Body::RequestForward(inner) => match heddle_openflow::decode(inner).map(|message| message.body) {
            Ok(Body::GroupMod(group)) => format!(" reason=group_mod{}", groups::change(&group, version)),
            Ok(Body::MeterMod(meter)) => format!(" reason=meter_mod{}", meters::change(&meter)),
            _ => String::new(),
        },
        Body::BundleControl(control) => control::bundle_control(control),
        Body::BundleAdd(add) => control::bundle_add(add, verbosity),
        Body::FlowMonitorCancel(id) => format!(" id={id}"),
        Body::FlowFormat(format) => format!(
            " format={}",
            ["openflow10", "(unknown)", "nxm"].get(*format as usize).copied().unwrap_or("(unknown)")
        ),
        Body::FlowModTableId(on) => format!(" {}", if *on { "enable" } else { "disable" }),
        Body::PacketInFormat(format) => {
            let name = ["standard", "nxt_packet_in", "nxt_packet_in2"].get(*format as usize);
            format!(" format={}", name.copied().unwrap_or("(unknown)"))
        }
        Body::ControllerId(id) => format!(" id={id}"),
        Body::TlvTableMod(command, maps) => control::tlv_change(*command, maps),
        Body::TlvTableReply(table) => control::tlv_table(table),
        Body::CtFlushZone(zone) => format!(" zone_id={zone}"),
        Body::CtFlush(flush) => control::ct_flush(flush),
        Body::Hello(_)
        | Body::FeaturesRequest
        | Body::GetConfigRequest
        | Body::BarrierRequest
        | Body::BarrierReply
        | Body::GetAsyncRequest
        | Body::FlowMonitorPaused
        | Body::FlowMonitorResumed
        | Body::FlowAge
        | Body::TlvTableRequest => String::new(),
    }
}

fn features(features: &Features, version: Version) -> String {
    let mut text = format!(
        " dpid:{:016x}\nn_tables:{}, n_buffers:{}",
        features.datapath_id, features.tables, features.buffers
    );
    if features.auxiliary_id != 0 {
        text += &format!(", auxiliary_id:{}", features.auxiliary_id);
    }
    let row = &CAPABILITIES[(version as usize).saturating_sub(1).min(2)];
    // Bits without a name are those of other versions.
    let known = (0..row.len()).filter(|bit| !row[*bit].is_empty()).fold(0, |all, bit| all | 1 << bit);
    text += &format!("\ncapabilities: {}\n", ports::names(features.capabilities & known, row, " "));
    if version == Version::V1_0 {
        let words: Vec<&str> =
            ACTIONS.iter().filter(|(bit, _)| features.actions >> bit & 1 != 0).map(|row| row.1).collect();
        text += &format!("actions: {}\n", words.join(" "));
    }
    text + &ports::ports(&features.ports, version)
}

fn config(flags: u16, length: u16) -> String {
    let word = FRAGMENTS[usize::from(flags & 3)].1;
    let invalid = if flags & INVALID_TTL != 0 { " invalid_ttl_to_controller" } else { "" };
    format!(" frags={word}{invalid} miss_send_len={length}\n")
}

/// An error's name, and the message that it quotes.
fn error(number: (u16, u16), data: &[u8], version: Version) -> String {
    let Some((known, used)) = OfError::of_wire(version, number, data) else {
        return format!(" ***decode error: {}***", OfError::RequestBadLength.name());
    };
    let quoted = &data[used..];
    let text = match known {
        OfError::HelloIncompatible | OfError::HelloPermission => printable(quoted),
        _ => message(quoted, 1),
    };
    format!(" {}\n{text}", known.name())
}

/// Text that a peer wrote, with what is no letter as C writes it.
fn printable(bytes: &[u8]) -> String {
    let letter = |byte: &u8| match byte {
        0x20..=0x7e if *byte != b'\\' && *byte != b'"' => char::from(*byte).to_string(),
        byte => format!("\\{byte:03o}"),
    };
    bytes.iter().map(letter).collect()
}

/// What is asked for.
fn question(request: &Request, version: Version) -> String {
    let queue = |queue: u32| if queue == u32::MAX { "ALL".to_owned() } else { queue.to_string() };
    match request {
        Request::Flow(filter) | Request::Aggregate(filter) => flows::filter(filter),
        Request::PortStats(port) => format!(" port_no={}", port_name(*port)),
        Request::PortDesc(port) => format!(" port={}", port_name(*port)),
        Request::QueueStats(port, number) => format!(" port={} queue={}", port_name(*port), queue(*number)),
        Request::QueueDesc(port, u32::MAX) => format!(" port={}", port_name(*port)),
        Request::QueueDesc(port, number) => format!(" port={} queue={number}", port_name(*port)),
        Request::GroupStats(group) | Request::GroupDesc(group) => groups::wanted(*group),
        Request::MeterStats(meter) | Request::MeterConfig(meter) => {
            format!(" {}", meters::number(*meter, '='))
        }
        Request::SetTableFeatures(list) => tables::features(list, version),
        Request::FlowMonitor(requests) => flows::monitors(requests),
        Request::Desc
        | Request::Table
        | Request::GroupFeatures
        | Request::MeterFeatures
        | Request::TableFeatures
        | Request::TableDesc
        | Request::IpfixBridge
        | Request::IpfixFlow => String::new(),
    }
}

fn statistics(reply: &Reply, version: Version, verbosity: u32) -> String {
    match reply {
        Reply::Desc(words) => {
            let titles = ["Manufacturer", "Hardware", "Software", "Serial Num", "DP Description"];
            let lines = titles.iter().zip(words).map(|(title, word)| format!("{title}: {word}\n"));
            format!("\n{}", lines.collect::<String>())
        }
        Reply::Flow(list) => flows::statistics(list, version),
        Reply::Aggregate(sums) => flows::aggregate(sums),
        Reply::Table(list) => tables::statistics(list, version),
        Reply::PortStats(list) if verbosity == 0 => format!(" {} ports\n", list.len()),
        Reply::QueueStats(list) if verbosity == 0 => format!(" {} queues\n", list.len()),
        Reply::PortStats(list) => ports::port_statistics(list),
        Reply::PortDesc(list) => format!("\n{}", ports::ports(list, version)),
        Reply::GroupDesc(list) => groups::descriptions(list, version),
        Reply::GroupStats(list) => groups::statistics(list),
        Reply::GroupFeatures(words) => groups::features(words, version),
        Reply::MeterStats(list) => meters::statistics(list),
        Reply::MeterConfig(list) => meters::descriptions(list),
        Reply::MeterFeatures(features) => meters::features(features),
        Reply::QueueStats(list) => ports::queue_statistics(list),
        Reply::QueueDesc(list) => ports::queue_descriptions(list),
        Reply::TableFeatures(list) => tables::features(list, version),
        Reply::TableDesc(list) => list.iter().map(tables::description).collect(),
        Reply::FlowMonitor(updates) => flows::updates(updates, version),
        Reply::IpfixBridge(stats) => control::ipfix_bridge(stats),
        Reply::IpfixFlow(list) => control::ipfix_flows(list),
    }
}

/// Bytes in hexadecimal and as letters, sixteen on a line.
pub fn hex_dump(bytes: &[u8]) -> String {
    hex_lines(bytes, true)
}

/// Bytes in hexadecimal, sixteen on a line.
pub fn hex_bytes(bytes: &[u8]) -> String {
    hex_lines(bytes, false)
}

fn hex_lines(bytes: &[u8], with_letters: bool) -> String {
    let mut out = String::new();
    for (index, line) in bytes.chunks(16).enumerate() {
        out += &format!("{:08x} ", index * 16);
        for at in 0..16 {
            match line.get(at) {
                Some(byte) => out += &format!("{}{byte:02x}", if at == 8 { '-' } else { ' ' }),
                None if !with_letters => break,
                None if at == 8 && line.len() == 8 => out += "-  ",
                None => out += "   ",
            }
        }
        let letters = |at: usize| match line.get(at) {
            Some(byte @ 0x20..=0x7e) => char::from(*byte),
            Some(_) => '.',
            None => ' ',
        };
        if with_letters {
            out += &format!(" |{}|", (0..16).map(letters).collect::<String>());
        }
        out.push('\n');
    }
    out
}
