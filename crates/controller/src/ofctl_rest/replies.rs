//! Replies of switches in Ryu's words, field by field.

use std::time::Duration;

use heddle_flow::Field;
use heddle_openflow::group::{GroupDesc, GroupStats};
use heddle_openflow::meter::{BandKind, MeterConfig, MeterFeatures, MeterStats};
use heddle_openflow::multipart::{FlowStats, PortStats, Reply, TableFeatures, TableStats};
use heddle_openflow::port::features;
use heddle_openflow::queue::{QueueDesc, QueueStats};
use heddle_openflow::{Body, Form, Message, PortDesc, Version};
use serde_json::{Map, Value, json};

use super::entries::{GROUP_KINDS, METER_FLAGS};
use super::words::{GROUPS, METERS, Names, QUEUES, ROLES, port_value};
use super::{actions, matching};

/// Names of actions, by type.
const ACTIONS: [(u32, &str); 16] = [
    (0, "OUTPUT"),
    (11, "COPY_TTL_OUT"),
    (12, "COPY_TTL_IN"),
    (15, "SET_MPLS_TTL"),
    (16, "DEC_MPLS_TTL"),
    (17, "PUSH_VLAN"),
    (18, "POP_VLAN"),
    (19, "PUSH_MPLS"),
    (20, "POP_MPLS"),
    (21, "SET_QUEUE"),
    (22, "GROUP"),
    (23, "SET_NW_TTL"),
    (24, "DEC_NW_TTL"),
    (25, "SET_FIELD"),
    (26, "PUSH_PBB"),
    (27, "POP_PBB"),
];
/// Names of what groups can do, by bit.
const GROUP_CAPABILITIES: [(u32, &str); 4] =
    [(1, "SELECT_WEIGHT"), (2, "SELECT_LIVENESS"), (4, "CHAINING"), (8, "CHAINING_CHECKS")];
/// Names of meters' bands, by type.
const BANDS: [(u32, &str); 2] = [(1, "DROP"), (2, "DSCP_REMARK")];
/// Names of a table's properties, by type.
const PROPERTIES: [(u16, &str); 16] = [
    (0, "INSTRUCTIONS"),
    (1, "INSTRUCTIONS_MISS"),
    (2, "NEXT_TABLES"),
    (3, "NEXT_TABLES_MISS"),
    (4, "WRITE_ACTIONS"),
    (5, "WRITE_ACTIONS_MISS"),
    (6, "APPLY_ACTIONS"),
    (7, "APPLY_ACTIONS_MISS"),
    (8, "MATCH"),
    (10, "WILDCARDS"),
    (12, "WRITE_SETFIELD"),
    (13, "WRITE_SETFIELD_MISS"),
    (14, "APPLY_SETFIELD"),
    (15, "APPLY_SETFIELD_MISS"),
    (0xfffe, "EXPERIMENTER"),
    (0xffff, "EXPERIMENTER_MISS"),
];
/// Names that Ryu gives to bits of OpenFlow 1.0's wildcards. It takes masks for numbers of bits, so that most names are
/// those of other fields; programs that read them know them so.
const WILDCARDS: [(u32, &str); 7] = [
    (1, "IN_PORT"),
    (2, "DL_VLAN"),
    (4, "DL_SRC"),
    (8, "NW_SRC_SHIFT"),
    (16, "DL_TYPE"),
    (6, "NW_DST_BITS"),
    (14, "NW_DST_SHIFT"),
];
/// The experimenter's class of fields.
const EXPERIMENTER_CLASS: u32 = 0xffff;

/// The items that one part of an answer says; `priority` keeps flows of that priority alone.
pub(super) fn items(body: Body, version: Version, priority: Option<i128>) -> Vec<Value> {
    match body {
        Body::MultipartReply(reply) => multipart(reply, version, priority),
        Body::QueueConfigReply(port, queues) => vec![queue_config(port, &queues, version)],
        Body::RoleReply(role, generation) => {
            vec![json!({ "role": ROLES.value(role), "generation_id": generation })]
        }
        Body::FeaturesReply(features) => features.ports.iter().map(|port| port_desc(port, version)).collect(),
        _ => Vec::new(),
    }
}

/// The ports that one part of an answer describes.
pub(super) fn ports(body: Body) -> Vec<PortDesc> {
    match body {
        Body::MultipartReply(Reply::PortDesc(ports)) => ports,
        Body::FeaturesReply(features) => features.ports,
        _ => Vec::new(),
    }
}

fn multipart(reply: Reply, version: Version, priority: Option<i128>) -> Vec<Value> {
    match reply {
        Reply::Desc(words) => vec![desc(&words)],
        Reply::Flow(flows) => {
            let wanted = |flow: &FlowStats| priority.is_none_or(|priority| priority == flow.priority.into());
            flows.into_iter().filter(wanted).map(|flow| flow_stats(flow, version)).collect()
        }
        Reply::Aggregate(sums) => {
            vec![json!({ "packet_count": sums.packets, "byte_count": sums.bytes, "flow_count": sums.flows })]
        }
        Reply::Table(tables) => tables.iter().map(|table| table_stats(table, version)).collect(),
        Reply::PortStats(ports) => ports.iter().map(|port| port_stats(port, version)).collect(),
        Reply::QueueStats(queues) => queues.iter().map(|queue| queue_stats(queue, version)).collect(),
        Reply::TableFeatures(tables) => tables.iter().map(table_features).collect(),
        Reply::PortDesc(ports) => ports.iter().map(|port| port_desc(port, version)).collect(),
        Reply::GroupStats(groups) => groups.into_iter().map(group_stats).collect(),
        Reply::GroupDesc(groups) => groups.iter().map(group_desc).collect(),
        Reply::GroupFeatures(words) => vec![group_features(words)],
        Reply::MeterStats(meters) => meters.into_iter().map(meter_stats).collect(),
        Reply::MeterConfig(meters) => meters.iter().map(meter_config).collect(),
        Reply::MeterFeatures(features) => vec![meter_features(features)],
        _ => Vec::new(),
    }
}

/// Bytes of an item on the wire, which Ryu tells.
fn wire_length(reply: Reply) -> usize {
    const HEADERS: usize = 16;
    let message = Message { form: Form::of(Version::V1_3), xid: 0, body: Body::MultipartReply(reply) };
    message.encode().len().saturating_sub(HEADERS)
}

/// Seconds and nanoseconds; all ones where they are not told, as on the wire.
fn duration(map: &mut Map<String, Value>, duration: Option<Duration>) {
    let (seconds, nanoseconds) = duration
        .map_or((u32::MAX.into(), u32::MAX), |duration| (duration.as_secs(), duration.subsec_nanos()));
    map.insert("duration_sec".into(), seconds.into());
    map.insert("duration_nsec".into(), nanoseconds.into());
}

fn with_duration(value: Value, told: Option<Duration>) -> Value {
    let Value::Object(mut map) = value else { return value };
    duration(&mut map, told);
    Value::Object(map)
}

fn desc([mfr, hardware, software, serial, datapath]: &[String; 5]) -> Value {
    json!({
        "mfr_desc": mfr, "hw_desc": hardware, "sw_desc": software, "serial_num": serial, "dp_desc": datapath,
    })
}

fn flow_stats(flow: FlowStats, version: Version) -> Value {
    let mut value = json!({
        "priority": flow.priority,
        "cookie": flow.cookie,
        "idle_timeout": flow.idle_timeout,
        "hard_timeout": flow.hard_timeout,
        "byte_count": flow.bytes,
        "packet_count": flow.packets,
        "actions": actions::write(&flow.instructions, version),
        "match": matching::write(&flow.matching, version),
        "table_id": Names::tables(version).value(flow.table_id.into()),
    });
    let told = Some(flow.duration);
    if version > Version::V1_0 {
        value["flags"] = flow.flags.into();
        value["length"] = wire_length(Reply::Flow(vec![flow])).into();
    }
    with_duration(value, told)
}

fn table_stats(table: &TableStats, version: Version) -> Value {
    let mut value = json!({
        "table_id": Names::tables(version).value(table.table_id.into()),
        "active_count": table.active,
        "lookup_count": table.lookups,
        "matched_count": table.matched,
    });
    if version == Version::V1_0 {
        let abilities = table.abilities.as_deref();
        let wildcards = abilities.map_or(0x3f_ffff, |abilities| abilities.wildcards);
        let named = WILDCARDS.iter().filter(|(bit, _)| wildcards >> bit & 1 != 0).map(|(_, name)| *name);
        value["name"] = abilities.map_or("", |abilities| &abilities.name).into();
        value["wildcards"] = named.collect();
        value["max_entries"] = abilities.map_or(0, |abilities| abilities.max_entries).into();
    }
    value
}

fn port_stats(port: &PortStats, version: Version) -> Value {
    const COUNTERS: [&str; 12] = [
        "rx_packets",
        "tx_packets",
        "rx_bytes",
        "tx_bytes",
        "rx_dropped",
        "tx_dropped",
        "rx_errors",
        "tx_errors",
        "rx_frame_err",
        "rx_over_err",
        "rx_crc_err",
        "collisions",
    ];
    let counters = COUNTERS.iter().zip(port.counters).map(|(name, count)| ((*name).to_owned(), count.into()));
    let mut map: Map<String, Value> = counters.collect();
    map.insert("port_no".into(), port_value(version, port.number));
    if version > Version::V1_0 {
        duration(&mut map, port.duration);
    }
    Value::Object(map)
}

/// The number of a port of a queue, of which Ryu says no names in counters.
fn plain_port(number: u32, version: Version) -> u32 {
    if version == Version::V1_0 { number & 0xffff } else { number }
}

fn queue_stats(queue: &QueueStats, version: Version) -> Value {
    let value = json!({
        "port_no": plain_port(queue.port, version),
        "queue_id": queue.queue,
        "tx_bytes": queue.bytes,
        "tx_errors": queue.errors,
        "tx_packets": queue.packets,
    });
    if version == Version::V1_0 { value } else { with_duration(value, queue.duration) }
}

fn queue_config(port: u32, queues: &[QueueDesc], version: Version) -> Value {
    let queue = |queue: &QueueDesc| {
        let rates = [("MIN_RATE", queue.min_rate), ("MAX_RATE", queue.max_rate)];
        let properties =
            rates.into_iter().filter_map(|(name, rate)| Some(json!({ "property": name, "rate": rate? })));
        json!({
            "properties": properties.collect::<Vec<_>>(),
            "port": port_value(version, queue.port),
            "queue_id": QUEUES.value(queue.queue),
        })
    };
    json!({ "port": port_value(version, port), "queues": queues.iter().map(queue).collect::<Vec<_>>() })
}

fn mac_text(mac: [u8; 6]) -> String {
    mac.map(|octet| format!("{octet:02x}")).join(":")
}

fn port_desc(port: &PortDesc, version: Version) -> Value {
    let old = version == Version::V1_0;
    let numbered = |word: u32| if old { features::to_10(word) } else { word };
    let mut value = json!({
        "port_no": port_value(version, port.number),
        "hw_addr": mac_text(port.mac),
        "name": port.name,
        "config": port.config,
        "state": port.state,
        "curr": numbered(port.current),
        "advertised": numbered(port.advertised),
        "supported": numbered(port.supported),
        "peer": numbered(port.peer),
    });
    if !old {
        value["curr_speed"] = port.speed_kbps.into();
        value["max_speed"] = port.max_speed_kbps.into();
    }
    value
}

fn group_stats(group: GroupStats) -> Value {
    let bucket = |&(packets, bytes): &(u64, u64)| json!({ "packet_count": packets, "byte_count": bytes });
    let value = json!({
        "group_id": GROUPS.value(group.group_id),
        "ref_count": group.references,
        "packet_count": group.packets,
        "byte_count": group.bytes,
        "bucket_stats": group.buckets.iter().map(bucket).collect::<Vec<_>>(),
        "length": wire_length(Reply::GroupStats(vec![group.clone()])),
    });
    with_duration(value, group.duration)
}

fn group_desc(group: &GroupDesc) -> Value {
    let buckets = group.buckets.iter().map(|bucket| {
        json!({
            "weight": bucket.weight,
            "watch_port": bucket.watch_port,
            "watch_group": bucket.watch_group,
            "actions": actions::write_list(&bucket.actions, Version::V1_3),
        })
    });
    json!({
        "group_id": GROUPS.value(group.group_id),
        "type": GROUP_KINDS[group.kind as usize].1,
        "buckets": buckets.collect::<Vec<_>>(),
    })
}

/// The names of the rows whose bits are set.
fn named(rows: &[(u32, &'static str)], set: impl Fn(u32) -> bool) -> Vec<&'static str> {
    rows.iter().filter(|(bit, _)| set(*bit)).map(|(_, name)| *name).collect()
}

fn group_features(words: [u32; 10]) -> Value {
    let kinds = || GROUP_KINDS.iter().map(|(kind, name)| (*kind as usize, *name));
    let types: Vec<&str> =
        kinds().filter(|(bit, _)| words[0] >> bit & 1 != 0).map(|(_, name)| name).collect();
    let most = kinds().map(|(kind, name)| json!({ name: words[2 + kind] }));
    let can =
        kinds().map(|(kind, name)| json!({ name: named(&ACTIONS, |bit| words[6 + kind] >> bit & 1 != 0) }));
    json!({
        "types": types,
        "capabilities": named(&GROUP_CAPABILITIES, |mask| words[1] & mask != 0),
        "max_groups": most.collect::<Vec<_>>(),
        "actions": can.collect::<Vec<_>>(),
    })
}

fn meter_stats(meter: MeterStats) -> Value {
    let band =
        |&(packets, bytes): &(u64, u64)| json!({ "packet_band_count": packets, "byte_band_count": bytes });
    let value = json!({
        "meter_id": METERS.value(meter.meter_id),
        "flow_count": meter.flows,
        "packet_in_count": meter.packets,
        "byte_in_count": meter.bytes,
        "band_stats": meter.bands.iter().map(band).collect::<Vec<_>>(),
        "len": wire_length(Reply::MeterStats(vec![meter.clone()])),
    });
    with_duration(value, Some(meter.duration))
}

fn meter_config(meter: &MeterConfig) -> Value {
    let bands = meter.bands.iter().map(|band| match band.kind {
        BandKind::Drop => json!({ "type": "DROP", "rate": band.rate, "burst_size": band.burst }),
        BandKind::DscpRemark(level) => json!({
            "type": "DSCP_REMARK", "rate": band.rate, "burst_size": band.burst, "prec_level": level,
        }),
    });
    json!({
        "meter_id": METERS.value(meter.meter_id),
        "flags": meter_flags(meter.flags.into()),
        "bands": bands.collect::<Vec<_>>(),
    })
}

fn meter_flags(flags: u32) -> Vec<&'static str> {
    METER_FLAGS.iter().filter(|(flag, _)| flags & u32::from(*flag) != 0).map(|(_, name)| *name).collect()
}

fn meter_features(features: MeterFeatures) -> Value {
    json!({
        "max_meter": features.max_meters,
        "band_types": named(&BANDS, |bit| features.band_types >> bit & 1 != 0),
        "capabilities": meter_flags(features.capabilities),
        "max_bands": features.max_bands,
        "max_color": features.max_color,
    })
}

fn table_features(table: &TableFeatures) -> Value {
    let properties = table.properties.iter().map(|(kind, body)| property(*kind, body));
    json!({
        "table_id": Names::tables(Version::V1_3).value(table.table_id.into()),
        "name": table.name,
        "metadata_match": table.metadata.0,
        "metadata_write": table.metadata.1,
        "config": table.config,
        "max_entries": table.max_entries,
        "properties": properties.collect::<Vec<_>>(),
    })
}

/// A property, whose body is a list of numbers of what the table can do.
fn property(kind: u16, body: &[u8]) -> Value {
    let name = PROPERTIES.iter().find(|row| row.0 == kind).map_or("UNKNOWN", |row| row.1);
    let mut value = json!({ "type": name });
    match kind {
        0 | 1 => value["instruction_ids"] = ids(body),
        2 | 3 => value["table_ids"] = body.into(),
        4..=7 => value["action_ids"] = ids(body),
        8 | 10 | 12..=15 => value["oxm_ids"] = fields(body),
        _ => {}
    }
    value
}

/// Types with their lengths; what follows a type is an experimenter's.
fn ids(body: &[u8]) -> Value {
    let mut ids = Vec::new();
    let mut rest = body;
    while let [a, b, c, d, ..] = *rest {
        let length = u16::from_be_bytes([c, d]);
        ids.push(json!({ "type": u16::from_be_bytes([a, b]), "len": length }));
        rest = rest.get(usize::from(length).max(4)..).unwrap_or_default();
    }
    ids.into()
}

/// Headers of fields. Ryu has numbers where this has names of fields that came after OpenFlow 1.3.
fn fields(body: &[u8]) -> Value {
    let mut fields = Vec::new();
    let mut words = body.chunks_exact(4).map(|word| u32::from_be_bytes([word[0], word[1], word[2], word[3]]));
    while let Some(header) = words.next() {
        let (class, number) = (header >> 16, header >> 9 & 0x7f);
        if class == EXPERIMENTER_CLASS {
            words.next();
        }
        let name = Field::by_oxm(class as u16, number as u8).map_or_else(
            || format!("field_{}", class << 7 | number),
            |field| matching::name(field).to_owned(),
        );
        fields.push(json!({ "type": name, "hasmask": header >> 8 & 1, "length": header & 0xff }));
    }
    fields.into()
}
