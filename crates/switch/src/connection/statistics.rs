//! Answers to multipart requests (OpenFlow 1.3.5 section 7.3.5).

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use heddle_openflow::group::GroupMod;
use heddle_openflow::kind::unsupported;
use heddle_openflow::meter::{MeterFeatures, MeterMod};
use heddle_openflow::multipart::{
    Aggregate, FlowFilter, FlowStats, Reply, Request, TableFeatures, TableStats,
};
use heddle_openflow::table::Abilities;
use heddle_openflow::{FlowMod, FlowWriter, Form, OfError, PortDesc, Version, port};
use heddle_pipeline::flow_mod::{TABLES, uses};
use heddle_pipeline::group::MAX_GROUPS;
use heddle_pipeline::meter::{MAX_BANDS, MAX_METERS};
use heddle_pipeline::{Attachment, Flow, Port};
use heddle_stp::State;

use super::{queues, tables};
use crate::bridge::ManagedBridge;

/// Current features of a port: 10 Gbit/s, copper.
const FEATURES: u32 = 1 << 6 | 1 << 11;
const SPEED_KBPS: u32 = 10_000_000;
/// What meters can do: bands that drop and bands that remark, every flag, and no colours.
const METER_FEATURES: MeterFeatures = MeterFeatures {
    max_meters: MAX_METERS as u32,
    band_types: 1 << 1 | 1 << 2,
    capabilities: MeterMod::KNOWN_FLAGS as u32,
    max_bands: MAX_BANDS as u8,
    max_color: 0,
};

pub(super) fn answer(request: Request, form: Form, bridge: &ManagedBridge) -> Result<Reply, OfError> {
    Ok(match request {
        Request::Desc => Reply::Desc([
            "Heddle".into(),
            "Heddle user-space datapath".into(),
            env!("CARGO_PKG_VERSION").into(),
            "None".into(),
            bridge.bridge.name.clone(),
        ]),
        // They are told bit by bit.
        Request::Flow(_) => return Err(unsupported(request.kind(), form)),
        Request::Aggregate(filter) => {
            bridge.flush();
            let flows = selected(&filter, bridge);
            let sum = |count: fn(&Flow) -> u64| flows.iter().map(|flow| count(flow)).sum();
            Reply::Aggregate(Aggregate {
                packets: sum(|flow| flow.stats.packets.load(Ordering::Relaxed)),
                bytes: sum(|flow| flow.stats.bytes.load(Ordering::Relaxed)),
                flows: flows.len() as u32,
            })
        }
        Request::Table => {
            bridge.flush();
            Reply::Table(table_statistics(form.version, bridge))
        }
        Request::PortStats(number) => {
            port_or(number, bridge, OfError::RequestBadPort)?;
            bridge.flush();
            Reply::PortStats(bridge.port_stats(number))
        }
        Request::QueueStats(number, queue) => Reply::QueueStats(queues::statistics(number, queue, bridge)?),
        Request::QueueDesc(number, queue) => Reply::QueueDesc(queues::descriptions(number, queue, bridge)?),
        Request::TableFeatures => {
            Reply::TableFeatures((0..TABLES).map(|table| table_features(table, bridge)).collect())
        }
        Request::SetTableFeatures(_) => return Err(OfError::TableFeaturesPermission),
        Request::PortDesc(number) => {
            port_or(number, bridge, OfError::RequestBadPort)?;
            let mut ports = port_descriptions(bridge);
            ports.retain(|port| number == port::ANY || port.number == number);
            Reply::PortDesc(ports)
        }
        Request::GroupStats(id) => {
            bridge.flush();
            Reply::GroupStats(bridge.bridge.group_stats(id, bridge.clock.now_ms()))
        }
        Request::GroupDesc(id) => {
            let mut groups = bridge.bridge.group_descriptions();
            groups.retain(|group| id == GroupMod::ALL || group.group_id == id);
            Reply::GroupDesc(groups)
        }
        Request::GroupFeatures => Reply::GroupFeatures(group_features()),
        Request::MeterStats(id) => {
            bridge.flush();
            Reply::MeterStats(bridge.bridge.meter_counters(id, bridge.clock.now_ms())?)
        }
        Request::MeterConfig(id) => {
            let meters = bridge.bridge.meters(id)?;
            Reply::MeterConfig(meters.iter().map(|entry| entry.config.clone()).collect())
        }
        Request::MeterFeatures => Reply::MeterFeatures(METER_FEATURES),
        Request::TableDesc => Reply::TableDesc(tables::descriptions(bridge)),
        // Nobody can sample flows yet; who watches flows is the connection's.
        Request::FlowMonitor(_) | Request::IpfixBridge | Request::IpfixFlow => {
            return Err(unsupported(request.kind(), form));
        }
    })
}

/// Every type of group, each with as many as a bridge may have and every action that flows may have.
fn group_features() -> [u32; 10] {
    // Weights, liveness, chaining, and a check for loops.
    const CAPABILITIES: u32 = 0xf;
    // Output; MPLS TTL and its decrement; tags and labels pushed and popped; group; TTL and its decrement; set-field.
    const ACTIONS: u32 = 1 | 0b111_1111 << 15 & !(1 << 21) | 0b1111 << 22;
    let mut words = [0; 10];
    (words[0], words[1]) = (0xf, CAPABILITIES);
    words[2..6].fill(MAX_GROUPS as u32);
    words[6..].fill(ACTIONS);
    words
}

/// That a port is there, or all are asked for.
pub(super) fn port_or(number: u32, bridge: &ManagedBridge, error: OfError) -> Result<(), OfError> {
    let there = number == port::ANY || bridge.bridge.snapshot().ports.contains_key(&number);
    if there { Ok(()) } else { Err(error) }
}

fn selected(filter: &FlowFilter, bridge: &ManagedBridge) -> Vec<Arc<Flow>> {
    let mut flows = bridge.bridge.snapshot().flows();
    flows.retain(|flow| {
        (filter.table_id == FlowMod::ALL_TABLES || filter.table_id == flow.table)
            && flow.matching.is_within(&filter.matching)
            && flow.cookie & filter.cookie_mask == filter.cookie & filter.cookie_mask
            && uses(&flow.instructions, filter.out_port, filter.out_group)
    });
    flows.sort_by_key(|flow| (flow.table, std::cmp::Reverse(flow.priority)));
    flows
}

/// Flows that are being told of, a few messages at a time, so that an answer about many takes no more memory than one about few.
pub(super) struct Dump {
    flows: std::vec::IntoIter<Arc<Flow>>,
    now_ms: u64,
    writer: FlowWriter,
}

impl Dump {
    /// An answer to the request of this id.
    pub(super) fn new(filter: &FlowFilter, form: Form, xid: u32, bridge: &ManagedBridge) -> Self {
        bridge.flush();
        let flows = selected(filter, bridge).into_iter();
        Self { flows, now_ms: bridge.clock.now_ms(), writer: FlowWriter::new(form, xid) }
    }

    /// Writes messages until `out` has this many bytes; whether that was all.
    pub(super) fn write(&mut self, out: &mut Vec<u8>, most: usize) -> bool {
        while out.len() + self.writer.len() < most {
            let Some(flow) = self.flows.next() else {
                self.writer.finish();
                out.extend(self.writer.take());
                return true;
            };
            if !self.writer.push(&flow_stats(&flow, self.now_ms)) {
                log::warn!(
                    target: "ofp_flow",
                    "Flow exceeded the maximum flow statistics reply size and was excluded from the response set"
                );
            }
        }
        out.extend(self.writer.take());
        false
    }
}

fn flow_stats(flow: &Flow, now_ms: u64) -> FlowStats {
    // Seconds since something happened to it.
    let seconds = |then: u64| u16::try_from(now_ms.saturating_sub(then) / 1000).unwrap_or(u16::MAX - 1);
    FlowStats {
        table_id: flow.table,
        duration: Duration::from_millis(now_ms.saturating_sub(flow.created_ms)),
        priority: flow.priority,
        idle_timeout: flow.idle_timeout,
        hard_timeout: flow.hard_timeout,
        flags: flow.flags,
        importance: flow.importance,
        cookie: flow.cookie,
        packets: flow.stats.packets.load(Ordering::Relaxed),
        bytes: flow.stats.bytes.load(Ordering::Relaxed),
        idle_age: Some(seconds(flow.stats.used_ms.load(Ordering::Relaxed).max(flow.created_ms))),
        hard_age: Some(seconds(flow.stats.refreshed_ms.load(Ordering::Relaxed).max(flow.modified_ms))),
        matching: flow.matching.expand(),
        instructions: flow.instructions.to_vec(),
    }
}

fn table_statistics(version: Version, bridge: &ManagedBridge) -> Vec<TableStats> {
    let snapshot = bridge.bridge.snapshot();
    let of = |(table_id, counters): (u8, &heddle_pipeline::table::TableCounters)| TableStats {
        table_id,
        active: snapshot.table(table_id).map_or(0, |table| table.len() as u32),
        lookups: counters.lookups.load(Ordering::Relaxed),
        matched: counters.matched.load(Ordering::Relaxed),
        // Versions before 1.3 tell here what the table is like.
        abilities: (version < Version::V1_3).then(|| {
            let all = Abilities::of(version);
            // No table comes after the last.
            let goto = if table_id == TABLES - 1 { 1 << 1 } else { 0 };
            Box::new(Abilities {
                instructions: all.instructions & !goto,
                name: bridge.table_name(table_id),
                config: tables::miss_bits(table_id, &snapshot),
                max_entries: tables::most_flows(table_id, &snapshot) as u32,
                ..all
            })
        }),
    };
    (0..TABLES).zip(bridge.bridge.tables.iter()).map(of).collect()
}

fn table_features(table_id: u8, bridge: &ManagedBridge) -> TableFeatures {
    let most = tables::most_flows(table_id, &bridge.bridge.snapshot()) as u32;
    let features = TableFeatures::of_table(table_id, most, (table_id + 1..TABLES).collect());
    match bridge.table_name(table_id) {
        name if name.is_empty() => features,
        name => TableFeatures { name, ..features },
    }
}

/// Current features and speed, in kbit/s, of a port by its kind of device: what is in memory only says nothing.
pub(super) fn features_of(kind: &str) -> (u32, u32) {
    if kind == "dummy" { (0, 0) } else { (FEATURES, SPEED_KBPS) }
}

/// The bits by which a port's state says what the spanning tree lets it do. That of OpenFlow 1.1 and later says that the
/// port is not flooded to.
fn tree_state(tree: State) -> u32 {
    match tree {
        State::Disabled => 0,
        State::Blocking => port::state::BLOCKED | port::state::STP_BLOCK,
        State::Listening => port::state::BLOCKED,
        State::Learning => port::state::BLOCKED | port::state::STP_LEARN,
        State::Forwarding => port::state::STP_FORWARD,
    }
}

/// A port as controllers see it now.
pub(crate) fn port_description(port: &Port, bridge: &ManagedBridge) -> PortDesc {
    let passes = match port.attachment {
        Attachment::Patch { .. } | Attachment::Link { .. } | Attachment::Local => true,
        Attachment::Device(_) => bridge.netdev(port.number).is_some_and(|netdev| {
            let link = netdev.link_state();
            link.admin_up && link.carrier
        }),
    };
    described_as(port, bridge, passes)
}

/// A port as controllers see it, where what is behind it `passes` packets.
pub(crate) fn described_as(port: &Port, bridge: &ManagedBridge, passes: bool) -> PortDesc {
    let (current, speed_kbps) = match &port.attachment {
        Attachment::Device(_) => {
            bridge.netdev(port.number).map_or((0, 0), |netdev| features_of(netdev.kind()))
        }
        Attachment::Patch { .. } | Attachment::Link { .. } | Attachment::Local => (0, 0),
    };
    // What is sent to a port without a device goes nowhere.
    let passes = passes && !matches!(port.attachment, Attachment::Local);
    let down = port.link_down || port.config & port::config::DOWN != 0;
    PortDesc {
        number: port.number,
        mac: port.mac,
        name: port.name.clone(),
        config: port.config,
        state: if passes && !down { port::state::LIVE } else { port::state::LINK_DOWN }
            | tree_state(port.tree),
        current,
        speed_kbps,
        ..PortDesc::default()
    }
}

pub(super) fn port_descriptions(bridge: &ManagedBridge) -> Vec<PortDesc> {
    let snapshot = bridge.bridge.snapshot();
    let mut ports: Vec<PortDesc> =
        snapshot.ports.values().map(|port| port_description(port, bridge)).collect();
    ports.sort_by_key(|port| port.number);
    ports
}
