//! The OpenFlow agent of a bridge: bytes in, bytes out, no I/O.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use heddle_openflow::message::{VERSION_1_3, decode};
use heddle_openflow::multipart::{FlowFilter, FlowStats, Reply, Request, TableFeatures, TableStats};
use heddle_openflow::{Body, Fault, FlowMod, Framer, Message, OfError, PortDesc, port};
use heddle_pipeline::flow_mod::{Gone, MAX_FLOWS, TABLES, flow_removed, outputs};
use heddle_pipeline::{Attachment, Flow};

use crate::switch::{Event, ManagedBridge};

const ROLE_EQUAL: u32 = 1;

/// One connection, from its first byte.
pub struct Connection {
    framer: Framer,
    agreed: bool,
    closing: bool,
    miss_send_len: u16,
    wants_events: bool,
    role: u32,
}

impl Connection {
    /// A connection that has sent its hello. `controller` says that the peer is one that we called, which gets packets and
    /// announcements unasked; a peer that called us gets them once it has set its configuration.
    pub fn new(controller: bool) -> (Self, Vec<u8>) {
        let hello = Message { xid: 1, body: Body::Hello(1 << VERSION_1_3) }.encode();
        let connection = Self {
            framer: Framer::default(),
            agreed: false,
            closing: false,
            miss_send_len: 128,
            wants_events: controller,
            role: ROLE_EQUAL,
        };
        (connection, hello)
    }

    /// Whether both ends have agreed on a version.
    pub fn is_agreed(&self) -> bool {
        self.agreed
    }

    /// Whether nothing more can be said.
    pub fn is_closing(&self) -> bool {
        self.closing
    }

    /// Takes bytes of the peer; returns what is to be sent. The work is bounded by what was taken.
    pub fn receive(&mut self, bytes: &[u8], bridge: &ManagedBridge) -> Vec<u8> {
        self.framer.push(bytes);
        let mut out = Vec::new();
        while let Some(framed) = self.framer.next_message() {
            let answer = match framed {
                Ok(bytes) => self.answer(&bytes, bridge, &mut out),
                Err(error) => {
                    self.closing = true;
                    Err(Fault { xid: 0, error, data: Vec::new() })
                }
            };
            if let Err(fault) = answer {
                out.extend(fault.reply().encode());
            }
            if self.closing {
                break;
            }
        }
        out
    }

    /// Answers one message; what is refused is quoted in the error.
    fn answer(&mut self, bytes: &[u8], bridge: &ManagedBridge, out: &mut Vec<u8>) -> Result<(), Fault> {
        let message = decode(bytes)?;
        self.handle(message, bridge, out).map_err(|mut fault| {
            if fault.data.is_empty() {
                fault.data = bytes[..bytes.len().min(64)].to_vec();
            }
            fault
        })
    }

    /// What the peer is told of an event, if it wants to be told.
    pub fn announce(&self, event: &Event) -> Option<Vec<u8>> {
        if !self.agreed || !self.wants_events {
            return None;
        }
        let body = match event {
            Event::PacketIn(packet) => {
                let mut matching = heddle_flow::Match::default();
                matching.set(heddle_flow::Field::InPort, u128::from(packet.in_port));
                if packet.metadata != 0 {
                    matching.set(heddle_flow::Field::Metadata, u128::from(packet.metadata));
                }
                Body::PacketIn {
                    reason: packet.reason,
                    table_id: packet.table,
                    cookie: packet.cookie,
                    total_len: packet.total_len,
                    matching,
                    data: packet.data.clone(),
                }
            }
            Event::FlowRemoved(removed) => Body::FlowRemoved((**removed).clone()),
        };
        Some(Message { xid: 0, body }.encode())
    }

    fn handle(&mut self, message: Message, bridge: &ManagedBridge, out: &mut Vec<u8>) -> Result<(), Fault> {
        let xid = message.xid;
        let mut reply = |body| out.extend(Message { xid, body }.encode());
        let fault = |error: OfError| Fault { xid, error, data: Vec::new() };
        match message.body {
            Body::Hello(versions) => {
                self.agreed = versions & 1 << VERSION_1_3 != 0;
                if !self.agreed {
                    self.closing = true;
                    return Err(Fault {
                        xid,
                        error: OfError::HelloIncompatible,
                        data: b"OpenFlow 1.3 only".to_vec(),
                    });
                }
            }
            Body::EchoRequest(data) => reply(Body::EchoReply(data)),
            Body::FeaturesRequest => reply(Body::FeaturesReply {
                datapath_id: bridge.datapath_id,
                buffers: 0,
                tables: TABLES,
                capabilities: 0x7,
            }),
            Body::GetConfigRequest => reply(Body::GetConfigReply(0, self.miss_send_len)),
            Body::SetConfig(_, length) => {
                self.miss_send_len = length;
                self.wants_events = length != 0;
            }
            Body::FlowMod(flow_mod) => self.flow_mod(&flow_mod, bridge).map_err(fault)?,
            Body::PacketOut { buffer_id, in_port, actions, data } => {
                if buffer_id != heddle_openflow::message::NO_BUFFER {
                    return Err(fault(OfError::RequestBufferUnknown));
                }
                bridge.packet_out(in_port, &actions, &data).map_err(fault)?;
            }
            Body::MultipartRequest(request) => {
                reply(Body::MultipartReply(multipart(request, bridge).map_err(fault)?))
            }
            Body::BarrierRequest => {
                bridge.barrier();
                reply(Body::BarrierReply);
            }
            Body::RoleRequest(role, generation) => {
                self.role = if role == 0 { self.role } else { role };
                reply(Body::RoleReply(self.role, generation));
            }
            Body::GetAsyncRequest => {
                let wants = if self.wants_events { 7 } else { 0 };
                reply(Body::GetAsyncReply([wants; 6]));
            }
            Body::SetAsync(masks) => self.wants_events = masks[0] != 0 || masks[4] != 0,
            Body::Error { .. } | Body::EchoReply(_) => {}
            _ => return Err(fault(OfError::RequestBadType)),
        }
        Ok(())
    }

    fn flow_mod(&self, flow_mod: &FlowMod, bridge: &ManagedBridge) -> Result<(), OfError> {
        let now_ms = bridge.clock.now_ms();
        let gone = bridge.bridge.flow_mod(flow_mod, now_ms)?;
        if gone.iter().any(|flow| flow.flags & FlowMod::SEND_REMOVED != 0) {
            bridge.flush();
        }
        for flow in gone.iter().filter(|flow| flow.flags & FlowMod::SEND_REMOVED != 0) {
            bridge.tell(Event::FlowRemoved(Box::new(flow_removed(flow, Gone::Deleted, now_ms))));
        }
        Ok(())
    }
}

fn multipart(request: Request, bridge: &ManagedBridge) -> Result<Reply, OfError> {
    Ok(match request {
        Request::Desc => Reply::Desc([
            "Heddle".into(),
            "Heddle user-space datapath".into(),
            env!("CARGO_PKG_VERSION").into(),
            "None".into(),
            bridge.bridge.name.clone(),
        ]),
        Request::Flow(filter) => {
            bridge.flush();
            Reply::Flow(
                selected(&filter, bridge)
                    .iter()
                    .map(|flow| flow_stats(flow, bridge.clock.now_ms()))
                    .collect(),
            )
        }
        Request::Aggregate(filter) => {
            bridge.flush();
            let flows = selected(&filter, bridge);
            let sum = |count: fn(&Flow) -> u64| flows.iter().map(|flow| count(flow)).sum();
            Reply::Aggregate(
                sum(|flow| flow.stats.packets.load(Ordering::Relaxed)),
                sum(|flow| flow.stats.bytes.load(Ordering::Relaxed)),
                flows.len() as u32,
            )
        }
        Request::Table => Reply::Table(tables(bridge)),
        Request::PortStats(number) => {
            let snapshot = bridge.bridge.snapshot();
            if number != port::ANY && !snapshot.ports.contains_key(&number) {
                return Err(OfError::RequestBadPort);
            }
            bridge.flush();
            Reply::PortStats(bridge.port_stats(number))
        }
        Request::TableFeatures => Reply::TableFeatures((0..TABLES).map(table_features).collect()),
        Request::PortDesc => Reply::PortDesc(port_descriptions(bridge)),
        Request::Unsupported(..) => return Err(OfError::RequestBadMultipart),
    })
}

fn selected(filter: &FlowFilter, bridge: &ManagedBridge) -> Vec<Arc<Flow>> {
    let mut flows = bridge.bridge.snapshot().flows();
    flows.retain(|flow| {
        (filter.table_id == FlowMod::ALL_TABLES || filter.table_id == flow.table)
            && filter.matching.contains(&flow.matching)
            && flow.cookie & filter.cookie_mask == filter.cookie & filter.cookie_mask
            && (filter.out_port == port::ANY || outputs(&flow.instructions, filter.out_port))
    });
    flows.sort_by_key(|flow| (flow.table, std::cmp::Reverse(flow.priority)));
    flows
}

fn flow_stats(flow: &Flow, now_ms: u64) -> FlowStats {
    FlowStats {
        table_id: flow.table,
        duration_ms: now_ms.saturating_sub(flow.created_ms),
        priority: flow.priority,
        idle_timeout: flow.idle_timeout,
        hard_timeout: flow.hard_timeout,
        flags: flow.flags,
        cookie: flow.cookie,
        packets: flow.stats.packets.load(Ordering::Relaxed),
        bytes: flow.stats.bytes.load(Ordering::Relaxed),
        matching: flow.matching,
        instructions: flow.instructions.to_vec(),
    }
}

fn tables(bridge: &ManagedBridge) -> Vec<TableStats> {
    let snapshot = bridge.bridge.snapshot();
    let of = |table_id| TableStats {
        table_id,
        active: snapshot.table(table_id).map_or(0, |table| table.len() as u32),
        lookups: 0,
        matched: 0,
    };
    (0..TABLES).map(of).collect()
}

fn table_features(table_id: u8) -> TableFeatures {
    let next_tables = (table_id + 1..TABLES).collect();
    TableFeatures { table_id, name: format!("table{table_id}"), max_entries: MAX_FLOWS as u32, next_tables }
}

fn port_descriptions(bridge: &ManagedBridge) -> Vec<PortDesc> {
    let snapshot = bridge.bridge.snapshot();
    let mut ports: Vec<PortDesc> = snapshot
        .ports
        .values()
        .map(|port| PortDesc {
            number: port.number,
            mac: port.mac,
            name: port.name.clone(),
            config: 0,
            state: if port.attachment == Attachment::Local { 1 } else { 4 },
            current: 0x840,
            speed_kbps: 10_000_000,
        })
        .collect();
    ports.sort_by_key(|port| port.number);
    ports
}
