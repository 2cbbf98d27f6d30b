//! The OpenFlow agent of a bridge: bytes in, bytes out, no I/O.
//!
//! A connection begins with a hello each way; what is said before is refused. Whether a peer may change the switch depends
//! on its role, and which messages it gets unasked on its role, its masks and its configuration (OpenFlow 1.3.5
//! sections 6.3.5 and 6.3.6).

mod bundles;
mod control;
mod flows;
mod ports;
mod statistics;

use heddle_flow::field::FIELDS;
use heddle_flow::{Field, Match};
use heddle_openflow::kind::{MORE, unsupported};
use heddle_openflow::message::{self, Features, Form, NO_BUFFER, Version, decode, role};
use heddle_openflow::modify::{MeterMod, TableMod};
use heddle_openflow::multipart::Request;
use heddle_openflow::role::{AsyncConfig, AsyncKind};
use heddle_openflow::table::config;
use heddle_openflow::{Action, Body, Command, Fault, FlowMod, Framer, Message, OfError, port};
use heddle_pipeline::PacketIn;
use heddle_pipeline::flow_mod::TABLES;
use heddle_pipeline::table::Fragments;

pub use self::control::Control;
use self::control::Seat;
pub(crate) use self::flows::{Gathered, announce};
pub(crate) use self::statistics::port_description;
use crate::bridge::{Event, ManagedBridge};

/// Bytes of a packet that a controller gets until it says otherwise.
const MISS_SEND_LEN: u16 = 128;
/// Messages that a call answers, and bytes of answers after which it answers no more.
const MAX_MESSAGES: usize = 256;
const MAX_ANSWER: usize = 256 * 1024;
/// Which messages come unasked, by reason: packet-in, port-status and flow-removed, each for master or equal and for slave.
const ASYNC: [[u32; 2]; 6] = [[0x3, 0], [0x7, 0x7], [0xf, 0], [0, 0], [0, 0], [0, 0]];
/// Statistics of flows, tables, ports, groups and queues.
const CAPABILITIES: u32 = 0x4f;
/// In OpenFlow 1.0, that ARP addresses are matched.
const ARP_MATCH_IP: u32 = 0x80;
/// Where the lower byte of a multipart message's flags lies.
const MULTIPART_FLAGS: usize = 11;
/// Reason of a packet-in: the TTL is spent.
const INVALID_TTL: u8 = 2;

/// One connection, from its first byte.
pub struct Connection {
    seat: Seat,
    framer: Framer,
    /// The version that both ends agreed on.
    version: Option<Version>,
    /// Whether flow-mods of OpenFlow 1.0 say a table.
    table_ids: bool,
    /// Whether flows and packets are told of in Nicira's form, in OpenFlow 1.0.
    nicira_flows: bool,
    nicira_packets: bool,
    closing: bool,
    more: bool,
    /// Whether we called the peer.
    controller: bool,
    miss_send_len: u16,
    wants: [[u32; 2]; 6],
    role: u32,
    bundles: bundles::Bundles,
}

impl Connection {
    /// A connection that has sent its hello. `controller` says that the peer is one that we called, which gets packets and
    /// announcements unasked; a peer that called us gets them once it has asked for some bytes of a packet.
    pub fn new(controller: bool, bridge: &ManagedBridge) -> (Self, Vec<u8>) {
        let versions = bridge.versions();
        // A hello is in the highest version that is spoken (OpenFlow 1.3.5 section 6.3.1).
        let form = Form::of(Version::agreed(versions, versions).unwrap_or_default());
        let hello = Message { form, xid: 1, body: Body::Hello(versions) }.encode();
        let connection = Self {
            seat: Seat::new(&bridge.control),
            framer: Framer::default(),
            version: None,
            table_ids: false,
            nicira_flows: false,
            nicira_packets: false,
            closing: false,
            more: false,
            controller,
            miss_send_len: if controller { MISS_SEND_LEN } else { 0 },
            wants: ASYNC,
            role: role::EQUAL,
            bundles: bundles::Bundles::default(),
        };
        (connection, hello)
    }

    /// Whether both ends have agreed on a version.
    pub fn is_agreed(&self) -> bool {
        self.version.is_some()
    }

    /// A message of ours, in the version agreed on.
    pub fn write(&self, body: Body) -> Vec<u8> {
        let nicira = match body {
            Body::PacketIn(_) => self.nicira_packets,
            Body::FlowRemoved(_) => self.nicira_flows,
            _ => false,
        };
        let form = Form { version: self.version.unwrap_or_default(), nicira };
        Message { form, xid: 0, body }.encode()
    }

    /// The peer's role, as the database has it.
    pub fn role(&self, bridge: &ManagedBridge) -> &'static str {
        match bridge.control.role(self.seat.id, self.role) {
            role::MASTER => "master",
            role::SLAVE => "slave",
            _ => "other",
        }
    }

    fn is_slave(&self, bridge: &ManagedBridge) -> bool {
        bridge.control.role(self.seat.id, self.role) == role::SLAVE
    }

    /// Whether [`Connection::tick`] is to be called now and then.
    pub fn awaits_time(&self) -> bool {
        !self.bundles.is_empty()
    }

    /// What time brings: what the peer is told of bundles that it seems to have forgotten.
    pub fn tick(&mut self, bridge: &ManagedBridge) -> Vec<u8> {
        let version = self.version.unwrap_or_default();
        self.bundles.expire(bridge).into_iter().flat_map(|fault| fault.reply(version).encode()).collect()
    }

    /// Whether nothing more can be said.
    pub fn is_closing(&self) -> bool {
        self.closing
    }

    /// Whether messages wait that came already: [`Connection::receive`] is to be called again, with nothing.
    pub fn has_more(&self) -> bool {
        self.more && !self.closing
    }

    /// Takes bytes of the peer; returns what is to be sent. A call answers only so many messages and with so many bytes, lest
    /// other connections wait for long, and lest answers that nobody reads fill the memory; see [`Connection::has_more`].
    pub fn receive(&mut self, bytes: &[u8], bridge: &ManagedBridge) -> Vec<u8> {
        self.framer.push(bytes);
        let mut out = Vec::new();
        let mut taken = 0;
        self.more = false;
        while !self.closing
            && let Some(framed) = self.framer.next_message()
        {
            taken += 1;
            self.more = taken >= MAX_MESSAGES || out.len() >= MAX_ANSWER;
            let answer = match framed {
                Ok(bytes) => self.answer(&bytes, bridge, &mut out),
                Err(fault) => {
                    self.closing = true;
                    Err(fault)
                }
            };
            if let Err(fault) = answer {
                out.extend(fault.reply(self.version.unwrap_or_default()).encode());
            }
            if self.more {
                break;
            }
        }
        self.seat.set_wants_misses(self.wants_misses());
        bridge.show_misses();
        out
    }

    /// Whether the peer gets what nobody told the switch to send it.
    fn is_told(&self) -> bool {
        self.version.is_some() && (self.controller || self.miss_send_len != 0)
    }

    /// Whether packets that no flow takes are for the peer: OpenFlow before 1.3 has no flow that would ask for them.
    fn wants_misses(&self) -> bool {
        self.is_told() && !self.closing && self.version < Some(Version::V1_3)
    }

    /// Answers one message; what is refused is quoted in the error.
    fn answer(&mut self, bytes: &[u8], bridge: &ManagedBridge, out: &mut Vec<u8>) -> Result<(), Fault> {
        let kind = bytes.get(1).copied();
        if kind == Some(1) {
            // An error is never answered by an error, however broken it is: two peers could go on for ever.
            self.closing = self.version.is_none();
            return Ok(());
        }
        if self.version.is_none() && kind != Some(0) {
            return self.disagree(bytes, "a hello comes first");
        }
        let message = decode(bytes).inspect_err(|_| self.closing |= self.version.is_none())?;
        if let Body::Hello(versions) = message.body {
            self.version = self.version.or_else(|| Version::agreed(bridge.versions(), versions));
            if self.version.is_none() {
                return self
                    .disagree(bytes, "OpenFlow 1.0 to 1.5 are spoken here, as far as the bridge allows");
            }
            return Ok(());
        }
        if Some(message.form.version) != self.version {
            return Err(Fault::of(bytes, OfError::RequestBadVersion));
        }
        let (form, xid) = (message.form, message.xid);
        if let Body::BundleControl(control) = message.body {
            if self.is_slave(bridge) {
                return Err(Fault::of(bytes, OfError::RequestIsSlave));
            }
            let answer = self.bundles.control(control, bytes, bridge).map_err(|(within, error)| {
                if let Some(fault) = within {
                    out.extend(fault.reply(form.version).encode());
                }
                Fault::of(bytes, error)
            })?;
            out.extend(answer.map(|body| Message { form, xid, body }.encode()).unwrap_or_default());
            return Ok(());
        }
        match self.handle(message, bytes, bridge) {
            Ok(Some(body)) => out.extend(Message { form, xid, body }.encode()),
            Ok(None) => {}
            Err(error) => return Err(Fault::of(bytes, error)),
        }
        Ok(())
    }

    fn disagree(&mut self, bytes: &[u8], why: &str) -> Result<(), Fault> {
        self.closing = true;
        Err(Fault { data: why.as_bytes().to_vec(), ..Fault::of(bytes, OfError::HelloIncompatible) })
    }

    /// What the peer is told of an event, if it wants to be told.
    pub fn announce(&self, event: &Event, bridge: &ManagedBridge) -> Option<Vec<u8>> {
        if !self.is_told() {
            return None;
        }
        if matches!(event, Event::PacketIn(packet) if packet.unasked) && !self.wants_misses() {
            return None;
        }
        let (kind, reason) = match event {
            Event::PacketIn(packet) => (AsyncKind::PacketIn, packet.reason),
            Event::PortStatus(reason, _) => (AsyncKind::PortStatus, *reason),
            Event::FlowRemoved(removed) => (AsyncKind::FlowRemoved, removed.reason),
        };
        let slave = usize::from(self.is_slave(bridge));
        if self.wants[kind as usize][slave] >> reason & 1 == 0 {
            return None;
        }
        let body = match event {
            Event::PacketIn(packet) => self.packet_in(packet),
            Event::PortStatus(reason, port) => Body::PortStatus(*reason, (**port).clone()),
            Event::FlowRemoved(removed) => Body::FlowRemoved((**removed).clone()),
        };
        Some(self.write(body))
    }

    fn packet_in(&self, packet: &PacketIn) -> Body {
        let mut matching = Match::default();
        matching.set(Field::InPort, u128::from(packet.in_port));
        if packet.metadata != 0 {
            matching.set(Field::Metadata, u128::from(packet.metadata));
        }
        // What no action asked for is cut to what the peer configured (section 7.3.2).
        let wanted = if packet.reason == INVALID_TTL { usize::from(self.miss_send_len) } else { usize::MAX };
        Body::PacketIn(message::PacketIn {
            reason: packet.reason,
            table_id: packet.table,
            cookie: packet.cookie,
            total_len: packet.total_len.into(),
            matching,
            data: packet.data[..packet.data.len().min(wanted)].to_vec(),
            ..message::PacketIn::default()
        })
    }

    /// Does what a message asks; the answer, where there is one.
    fn handle(
        &mut self,
        message: Message,
        bytes: &[u8],
        bridge: &ManagedBridge,
    ) -> Result<Option<Body>, OfError> {
        if changes(&message.body) && self.is_slave(bridge) {
            return Err(OfError::RequestIsSlave);
        }
        Ok(match message.body {
            Body::EchoRequest(data) => Some(Body::EchoReply(data)),
            Body::FeaturesRequest => Some(Body::FeaturesReply(features(message.form.version, bridge))),
            Body::GetConfigRequest => {
                let flags = match bridge.bridge.snapshot().fragments {
                    Fragments::Normal => 0,
                    Fragments::Drop => 1,
                    Fragments::Match => 3,
                };
                Some(Body::GetConfigReply(flags, self.miss_send_len))
            }
            Body::SetConfig(flags, length) => {
                set_fragments(flags, bridge)?;
                self.miss_send_len = length;
                None
            }
            Body::FlowMod(mut flow_mod) => {
                self.choose_table(&mut flow_mod, message.form.version)?;
                flows::change(&flow_mod, bridge)?
            }
            Body::PacketOut(packet) => {
                let in_port = packet.in_port;
                if packet.buffer_id != NO_BUFFER {
                    return Err(OfError::RequestBufferUnknown);
                }
                if in_port > port::MAX && !matches!(in_port, port::CONTROLLER | port::LOCAL | port::ANY) {
                    return Err(OfError::RequestBadPort);
                }
                bridge.packet_out(in_port, &actions_of(&packet)?, &packet.data)?;
                None
            }
            Body::PortMod(port_mod) => ports::set(&port_mod, message.form.version, bridge)?,
            Body::TableMod(table_mod) => check_table_mod(table_mod, message.form.version)?,
            Body::GroupMod(group_mod) => {
                let gone = bridge.bridge.group_mod(&group_mod, bridge.clock.now_ms())?;
                announce(Gathered::One(gone), bridge);
                None
            }
            Body::MeterMod(meter_mod) => {
                if meter_mod.flags & !MeterMod::KNOWN_FLAGS != 0 {
                    return Err(OfError::MeterModBadFlags);
                }
                // What passed until then is counted by the meter as it was.
                bridge.flush();
                let gone = bridge.bridge.meter_mod(&meter_mod, bridge.clock.now_ms())?;
                announce(Gathered::One(gone), bridge);
                None
            }
            Body::QueueConfigRequest(number) => {
                statistics::port_or(number, bridge, OfError::QueueBadPort)?;
                Some(Body::QueueConfigReply(number, Vec::new()))
            }
            Body::MultipartRequest(request) => {
                // A request that is so long as to need several parts is not to be had.
                if bytes.get(MULTIPART_FLAGS).is_some_and(|flags| u16::from(*flags) & MORE != 0) {
                    return Err(OfError::RequestMultipartOverflow);
                }
                Some(Body::MultipartReply(statistics::answer(request, message.form, bridge)?))
            }
            Body::BarrierRequest => {
                bridge.barrier();
                Some(Body::BarrierReply)
            }
            Body::RoleRequest(wanted, generation) => {
                if wanted != role::NO_CHANGE {
                    // Nicira's message, and so OpenFlow before 1.2, has none.
                    let has_one = message.form.version >= Version::V1_2 && !message.form.nicira;
                    let generation = has_one.then_some(generation);
                    bridge.control.claim(self.seat.id, wanted, generation)?;
                    self.role = wanted;
                }
                let role = bridge.control.role(self.seat.id, self.role);
                Some(Body::RoleReply(role, bridge.control.generation()))
            }
            Body::GetAsyncRequest => Some(Body::GetAsyncReply(AsyncConfig::of(&self.wants))),
            Body::SetAsync(config) => {
                check_async(&config)?;
                config.apply(&mut self.wants);
                None
            }
            Body::FlowFormat(format @ (0 | 2)) => {
                self.nicira_flows = format == 2;
                None
            }
            Body::PacketInFormat(format @ (0 | 1)) => {
                self.nicira_packets = format == 1;
                None
            }
            Body::FlowFormat(_) | Body::PacketInFormat(_) => {
                return Err(OfError::RequestPermission);
            }
            Body::FlowModTableId(on) => {
                self.table_ids = on;
                None
            }
            Body::BundleAdd(add) => {
                self.bundles.add(add, bytes, bridge)?;
                None
            }
            Body::EchoReply(_) => None,
            body => return Err(unsupported(body.kind(), message.form)),
        })
    }
}

impl Connection {
    /// The table that a flow-mod of OpenFlow 1.0 means: the one that it says where the peer has asked for that, else the first,
    /// and all for what is there already.
    fn choose_table(&self, flow_mod: &mut FlowMod, version: Version) -> Result<(), OfError> {
        if version != Version::V1_0 || self.table_ids {
            return Ok(());
        }
        flow_mod.table_id = match flow_mod.table_id {
            0 if flow_mod.command == Command::Add => 0,
            0 => FlowMod::ALL_TABLES,
            _ => return Err(OfError::FlowModBadCommand),
        };
        Ok(())
    }
}

/// That nothing is wanted which never comes: roles, tables and others' requests are not told unasked yet.
fn check_async(config: &AsyncConfig) -> Result<(), OfError> {
    let never = [AsyncKind::RoleStatus, AsyncKind::TableStatus, AsyncKind::RequestForward];
    let wants = |masks: &[Option<u32>; 6]| never.iter().any(|&kind| masks[kind as usize].unwrap_or(0) != 0);
    if wants(&config.master) || wants(&config.slave) { Err(OfError::AsyncUnsupported) } else { Ok(()) }
}

/// The actions of a packet-out, after those that give the packet the fields of the pipeline that it is said to have.
fn actions_of(packet: &message::PacketOut) -> Result<Vec<Action>, OfError> {
    let mut actions = Vec::new();
    for spec in FIELDS.iter().filter(|spec| spec.primary) {
        let (value, mask) = packet.matching.get(spec.field);
        if mask == 0 {
            continue;
        }
        if !spec.writable {
            return Err(OfError::MatchBadField);
        }
        actions.push(Action::SetField { field: spec.field, value, mask });
    }
    actions.extend_from_slice(&packet.actions);
    Ok(actions)
}

/// What the switch says of itself.
fn features(version: Version, bridge: &ManagedBridge) -> Features {
    Features {
        datapath_id: bridge.datapath_id(),
        tables: TABLES,
        // The bit of groups is that of the spanning tree in OpenFlow 1.0, which has no groups.
        capabilities: match version {
            Version::V1_0 => CAPABILITIES & !8 | ARP_MATCH_IP,
            _ => CAPABILITIES,
        },
        actions: Features::ALL_ACTIONS,
        ports: if version < Version::V1_3 { statistics::port_descriptions(bridge) } else { Vec::new() },
        ..Features::default()
    }
}

/// Whether a message changes the switch or sends packets, which a slave may not (section 6.3.6).
fn changes(body: &Body) -> bool {
    matches!(
        body,
        Body::FlowMod(_)
            | Body::PacketOut(_)
            | Body::GroupMod(_)
            | Body::PortMod(_)
            | Body::TableMod(_)
            | Body::MeterMod(_)
            | Body::BundleAdd(_)
            | Body::MultipartRequest(Request::SetTableFeatures(_))
    )
}

fn set_fragments(flags: u16, bridge: &ManagedBridge) -> Result<(), OfError> {
    let wanted = match flags {
        0 => Fragments::Normal,
        1 => Fragments::Drop,
        // Fragments are not put together here, which the features say; as Open vSwitch, keep what is.
        2 => return Ok(()),
        3 => Fragments::Match,
        _ => return Err(OfError::SwitchConfigBadFlags),
    };
    if bridge.bridge.snapshot().fragments != wanted {
        bridge.bridge.publish(|snapshot, changes| {
            snapshot.fragments = wanted;
            changes.everything();
        });
    }
    Ok(())
}

/// OpenFlow 1.3 has no configuration of tables left, but for two bits that mean nothing.
fn check_table_mod(table_mod: TableMod, version: Version) -> Result<Option<Body>, OfError> {
    if table_mod.table_id >= TABLES && table_mod.table_id != FlowMod::ALL_TABLES {
        return Err(OfError::TableModBadTable);
    }
    // What becomes of packets that no flow takes is configured so before 1.3; nothing but the switch's own way is there.
    let known = if version == Version::V1_3 { config::MISS_MASK } else { 0 };
    if table_mod.config & !known != 0 || table_mod.eviction.is_some() || table_mod.vacancy.is_some() {
        return Err(OfError::TableModBadConfig);
    }
    Ok(None)
}
