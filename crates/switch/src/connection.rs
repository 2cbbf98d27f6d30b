//! The OpenFlow agent of a bridge: bytes in, bytes out, no I/O.
//!
//! A connection begins with a hello each way; what is said before is refused. Whether a peer may change the switch depends
//! on its role, and which messages it gets unasked on its role, its masks and its configuration (OpenFlow 1.3.5
//! sections 6.3.5 and 6.3.6).

mod buffers;
mod bundles;
mod control;
mod flows;
mod monitors;
mod news;
mod pace;
mod parts;
mod ports;
mod queues;
mod statistics;
mod tables;
mod transcript;

use std::sync::Arc;

use heddle_openflow::kind::unsupported;
use heddle_openflow::message::{Features, Form, NO_BUFFER, Version, decode, role};
use heddle_openflow::modify::MeterMod;
use heddle_openflow::monitor::{MonitorRequest, Update};
use heddle_openflow::multipart::{Reply, Request};
use heddle_openflow::packet::{PacketOut, reason};
use heddle_openflow::role::{AsyncConfig, AsyncKind, RoleStatus, status_reason};
use heddle_openflow::{
    Action, Body, Command, Fault, FlowMod, Framer, Instruction, Message, OfError, port, queue,
};
use heddle_pipeline::bridge::Origin;
use heddle_pipeline::flow_mod::TABLES;
use heddle_pipeline::table::Fragments;

pub use self::control::Control;
use self::control::Seat;
pub(crate) use self::flows::{Gathered, announce};
use self::parts::Taken;
pub(crate) use self::statistics::{described_as, port_description};
use crate::bridge::{Event, ManagedBridge};
use crate::controllers::{Controller, PaceCounters};

/// Bytes of a packet that a controller gets until it says otherwise.
const MISS_SEND_LEN: u16 = 128;
/// Messages that a call answers, and bytes of answers after which it answers no more.
const MAX_MESSAGES: usize = 256;
const MAX_ANSWER: usize = 256 * 1024;
/// Flag of a configuration before OpenFlow 1.3: packets whose TTL is spent come.
const INVALID_TTL_TO_CONTROLLER: u16 = 4;
/// Statistics of flows, tables, ports, groups and queues.
const CAPABILITIES: u32 = 0x4f;
/// From OpenFlow 1.4 on, that changes are made together or not at all.
const BUNDLES: u32 = 1 << 9;
/// In OpenFlow 1.0, that ARP addresses are matched.
const ARP_MATCH_IP: u32 = 0x80;
/// One connection, from its first byte.
pub struct Connection {
    seat: Seat,
    transcript: transcript::Transcript,
    framer: Framer,
    /// The version that both ends agreed on.
    version: Option<Version>,
    /// Whether flow-mods of OpenFlow 1.0 say a table.
    table_ids: bool,
    /// Whether flows are told of in Nicira's form, in OpenFlow 1.0.
    nicira_flows: bool,
    /// How packets come: 0 as the version has it, 1 by `NXT_PACKET_IN`, 2 by `NXT_PACKET_IN2`.
    packet_in_format: u32,
    /// The number that `controller` actions have for the peer.
    controller_id: u16,
    closing: bool,
    more: bool,
    /// Whether we called the peer.
    controller: bool,
    miss_send_len: u16,
    wants: news::Masks,
    role: u32,
    bundles: bundles::Bundles,
    parts: parts::Parts,
    buffers: buffers::Buffers,
    /// For packets that no flow takes, and for those that flows send, where their number is bounded.
    paces: Option<[pace::Pace; 2]>,
    /// Whether the peer is told of packets and news before it says what it wants.
    asynchronous: bool,
    /// An answer that is being given; what comes after its question waits.
    dump: Option<statistics::Dump>,
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
            transcript: transcript::Transcript::default(),
            framer: Framer::default(),
            version: None,
            table_ids: false,
            nicira_flows: false,
            packet_in_format: 0,
            controller_id: 0,
            closing: false,
            more: false,
            controller,
            miss_send_len: if controller { MISS_SEND_LEN } else { 0 },
            wants: news::masks(Version::V1_3),
            role: role::EQUAL,
            bundles: bundles::Bundles::default(),
            parts: parts::Parts::default(),
            buffers: buffers::Buffers::default(),
            paces: None,
            asynchronous: true,
            dump: None,
        };
        (connection, hello)
    }

    /// Says what the log calls the peer, which has been sent this hello.
    pub fn name(&mut self, peer: String, hello: &[u8]) {
        self.transcript.peer = peer;
        self.transcript.sent(hello);
    }

    /// Asks the peer whether it is there.
    pub fn probe(&self) -> Vec<u8> {
        let echo = self.write(Body::EchoRequest(Vec::new()));
        self.transcript.sent(&echo);
        echo
    }

    /// Does as the configuration says of this controller; to be called before anything is received.
    pub fn configure(&mut self, controller: &Controller, bridge: &ManagedBridge) {
        let now_ms = bridge.clock.now_ms();
        self.paces = controller.limit.map(|limit| [0, 1].map(|_| pace::Pace::new(limit, now_ms)));
        self.asynchronous = controller.asynchronous;
    }

    /// What the bound on packets did to those that no flow takes, and to those that flows send.
    pub fn paced(&self) -> Option<[PaceCounters; 2]> {
        self.paces.as_ref().map(|paces| [paces[0].counters(), paces[1].counters()])
    }

    /// Whether packets wait for their time: [`Connection::tick`] is to be called soon.
    pub fn is_pacing(&self) -> bool {
        self.paces.iter().flatten().any(pace::Pace::is_waiting)
    }

    /// Whether both ends have agreed on a version.
    pub fn is_agreed(&self) -> bool {
        self.version.is_some()
    }

    /// A message of ours, in the version agreed on.
    pub fn write(&self, body: Body) -> Vec<u8> {
        let nicira = match body {
            Body::PacketIn(_) => self.packet_in_format == 1,
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
        !self.bundles.is_empty() || !self.parts.is_empty() || self.is_pacing()
    }

    /// What time brings: packets that had to wait, and what the peer is told of bundles and of parts of requests that it seems
    /// to have forgotten.
    pub fn tick(&mut self, bridge: &ManagedBridge) -> Vec<u8> {
        let now_ms = bridge.clock.now_ms();
        let due = self.paces.iter_mut().flatten().flat_map(|pace| pace.due(now_ms)).flatten();
        let mut told: Vec<u8> = due.collect();
        told.extend(self.expire(bridge));
        self.transcript.sent(&told);
        told
    }

    fn expire(&mut self, bridge: &ManagedBridge) -> Vec<u8> {
        let version = self.version.unwrap_or_default();
        let mut faults = self.bundles.expire(bridge);
        faults.extend(self.parts.expire(bridge.clock.now_ms()));
        faults.into_iter().flat_map(|fault| fault.reply(version).encode()).collect()
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
        // What the peer says now comes too late for what is too old.
        let mut out = self.expire(bridge);
        let (mut taken, mut logged) = (0, 0);
        self.more = false;
        while !self.closing {
            self.transcript.sent(&out[logged..]);
            logged = out.len();
            if let Some(dump) = &mut self.dump {
                if !dump.write(&mut out, MAX_ANSWER) {
                    self.more = true;
                    break;
                }
                self.dump = None;
            }
            let Some(framed) = self.framer.next_message() else { break };
            taken += 1;
            self.more = taken >= MAX_MESSAGES || out.len() >= MAX_ANSWER;
            let answer = match framed {
                Ok(bytes) => {
                    self.transcript.received(&bytes);
                    let answered = self.answer(&bytes, bridge, &mut out);
                    answered.map_err(|fault| (self.version_of_refusal(&fault, &bytes), fault))
                }
                Err(fault) => {
                    self.closing = true;
                    Err((self.version.unwrap_or_default(), fault))
                }
            };
            if let Err((version, fault)) = answer {
                out.extend(fault.reply(version).encode());
            }
            if self.more {
                break;
            }
        }
        self.transcript.sent(&out[logged..]);
        self.seat.set_wants_misses(self.wants_misses());
        bridge.show_misses();
        out
    }

    /// The version in which something is refused: what is in another than was agreed on may be read only in its own.
    fn version_of_refusal(&self, fault: &Fault, bytes: &[u8]) -> Version {
        let agreed = self.version.unwrap_or_default();
        match fault.error {
            OfError::RequestBadVersion => Version::of_byte(bytes[0]).unwrap_or(agreed),
            _ => agreed,
        }
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
        let part = match self.version {
            Some(version) if Version::of_byte(bytes[0]) == Some(version) => {
                self.parts.take(bytes, version, bridge.clock.now_ms())?
            }
            _ => Taken::Alone,
        };
        let message = match part {
            Taken::Alone => decode(bytes).inspect_err(|_| self.closing |= self.version.is_none())?,
            Taken::Held => return Ok(()),
            Taken::Whole(message) => *message,
        };
        if let Body::Hello(versions) = message.body {
            if self.version.is_none() {
                self.version = Version::agreed(bridge.versions(), versions);
                if let Some(version) = self.version {
                    self.transcript.agreed(version, bridge.versions(), versions);
                }
                if self.asynchronous {
                    self.wants = news::masks(self.version.unwrap_or_default());
                } else {
                    self.wants = news::Masks::default();
                }
            }
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
        let answer = self.respond(message, bytes, bridge);
        // The peer is told what a message did to flows that it watches before it is answered.
        out.extend(bridge.control.monitors.waiting(self.seat.id));
        let (within, answer) = answer;
        if let Some(fault) = within {
            out.extend(fault.reply(form.version).encode());
        }
        let answer = answer.map_err(|error| Fault::of(bytes, error))?;
        out.extend(answer.map(|body| Message { form, xid, body }.encode()).unwrap_or_default());
        Ok(())
    }

    /// Does what a message asks. Returns the fault of a message within it, and its answer, where there is one.
    fn respond(
        &mut self,
        message: Message,
        bytes: &[u8],
        bridge: &ManagedBridge,
    ) -> (Option<Fault>, Result<Option<Body>, OfError>) {
        if let Body::BundleControl(control) = message.body {
            if self.is_slave(bridge) {
                return (None, Err(OfError::RequestIsSlave));
            }
            return match self.bundles.control(control, self.seat.id, bytes, bridge) {
                Ok(answer) => (None, Ok(answer)),
                Err((within, error)) => (within, Err(error)),
            };
        }
        (None, self.handle(message, bytes, bridge))
    }

    fn disagree(&mut self, bytes: &[u8], why: &str) -> Result<(), Fault> {
        self.closing = true;
        Err(Fault { data: why.as_bytes().to_vec(), ..Fault::of(bytes, OfError::HelloIncompatible) })
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
        let by = Origin { connection: self.seat.id, xid: message.xid };
        Ok(match message.body {
            Body::EchoRequest(data) => Some(Body::EchoReply(data)),
            Body::FeaturesRequest => Some(Body::FeaturesReply(features(message.form.version, bridge))),
            Body::GetConfigRequest => Some(Body::GetConfigReply(
                self.config_flags(message.form.version, bridge),
                self.miss_send_len,
            )),
            Body::SetConfig(flags, length) => {
                self.set_config(flags, message.form.version, bridge)?;
                self.miss_send_len = length;
                None
            }
            Body::FlowMod(mut flow_mod) => {
                self.choose_table(&mut flow_mod, message.form.version)?;
                self.change_flows(flow_mod, by, message.form.version, bridge)?;
                None
            }
            Body::PacketOut(packet) => {
                self.send_packet(packet, bridge)?;
                None
            }
            Body::PortMod(port_mod) => ports::set(&port_mod, by.connection, message.form.version, bridge)?,
            Body::TableMod(table_mod) => {
                tables::modify(table_mod, message.form.version, bridge)?;
                None
            }
            Body::GroupMod(group_mod) => {
                let gone = bridge.bridge.group_mod(&group_mod, Some(by), bridge.clock.now_ms())?;
                announce(Gathered::One(gone), bridge);
                bridge.tell(Event::Forward(self.seat.id, Arc::new(Body::GroupMod(group_mod))));
                None
            }
            Body::MeterMod(meter_mod) => {
                if meter_mod.flags & !MeterMod::KNOWN_FLAGS != 0 {
                    return Err(OfError::MeterModBadFlags);
                }
                // What passed until then is counted by the meter as it was.
                bridge.flush();
                let gone = bridge.bridge.meter_mod(&meter_mod, Some(by), bridge.clock.now_ms())?;
                announce(Gathered::One(gone), bridge);
                bridge.tell(Event::Forward(self.seat.id, Arc::new(Body::MeterMod(meter_mod))));
                None
            }
            Body::QueueConfigRequest(number) => {
                Some(Body::QueueConfigReply(number, queues::descriptions(number, queue::ALL, bridge)?))
            }
            Body::MultipartRequest(request) => {
                if let Request::Flow(filter) = &request {
                    self.dump = Some(statistics::Dump::new(filter, message.form, message.xid, bridge));
                    return Ok(None);
                }
                Some(Body::MultipartReply(match request {
                    Request::FlowMonitor(requests) => {
                        Reply::FlowMonitor(self.watch(requests, message.form.version, bridge)?)
                    }
                    request => statistics::answer(request, message.form, bridge)?,
                }))
            }
            Body::Resume(packet) => {
                let id = packet.continuation[..].try_into().map_err(|_| OfError::ResumeStale)?;
                bridge.resume(u32::from_be_bytes(id), &packet.matching, &packet.data)?;
                None
            }
            Body::FlowMonitorCancel(id) => {
                bridge.control.monitors.cancel(self.seat.id, id)?;
                None
            }
            Body::BarrierRequest => {
                bridge.barrier();
                Some(Body::BarrierReply)
            }
            Body::BundleAdd(add) => {
                self.bundles.add(add, bytes, bridge)?;
                None
            }
            Body::EchoReply(_) => None,
            body => return self.settle(body, message.form, bridge),
        })
    }

    /// Does what a message says of the connection itself: the peer's role, what it is told, and in which form.
    fn settle(&mut self, body: Body, form: Form, bridge: &ManagedBridge) -> Result<Option<Body>, OfError> {
        Ok(match body {
            Body::RoleRequest(wanted, generation) => {
                if wanted != role::NO_CHANGE {
                    // Nicira's message, and so OpenFlow before 1.2, has none.
                    let has_one = form.version >= Version::V1_2 && !form.nicira;
                    let generation = has_one.then_some(generation);
                    let deposed = bridge.control.claim(self.seat.id, wanted, generation)?;
                    self.role = wanted;
                    if let Some(deposed) = deposed {
                        let (role, reason) = (role::SLAVE, status_reason::MASTER_REQUEST);
                        let status = RoleStatus { role, reason, generation: bridge.control.generation() };
                        bridge.tell(Event::RoleStatus(deposed, status));
                    }
                }
                let role = bridge.control.role(self.seat.id, self.role);
                Some(Body::RoleReply(role, bridge.control.generation()))
            }
            Body::GetAsyncRequest => Some(Body::GetAsyncReply(AsyncConfig::of(&self.wants))),
            Body::SetAsync(config) => {
                config.apply(&mut self.wants);
                // Who says what it wants to be told is told.
                if self.miss_send_len == 0 {
                    self.miss_send_len = MISS_SEND_LEN;
                }
                None
            }
            Body::FlowFormat(format @ (0 | 2)) => {
                self.nicira_flows = format == 2;
                None
            }
            Body::PacketInFormat(format @ 0..=2) => {
                self.packet_in_format = format;
                None
            }
            Body::FlowFormat(_) | Body::PacketInFormat(_) => {
                return Err(OfError::RequestPermission);
            }
            Body::ControllerId(number) => {
                self.controller_id = number;
                None
            }
            Body::FlowModTableId(on) => {
                self.table_ids = on;
                None
            }
            body => return Err(unsupported(body.kind(), form)),
        })
    }
}

impl Connection {
    /// Changes flows. A packet that the message names goes through the tables then, in OpenFlow 1.0 by what the flow does.
    fn change_flows(
        &mut self,
        flow_mod: FlowMod,
        by: Origin,
        version: Version,
        bridge: &ManagedBridge,
    ) -> Result<(), OfError> {
        let takes_packet = matches!(flow_mod.command, Command::Add | Command::Modify | Command::ModifyStrict);
        let buffer_id = if takes_packet { flow_mod.buffer_id } else { NO_BUFFER };
        let flow_mod = FlowMod { buffer_id: NO_BUFFER, ..flow_mod };
        if buffer_id == NO_BUFFER {
            return flows::change(&flow_mod, by, bridge);
        }
        // What names a packet that is not there changes nothing.
        let frame = self.buffers.frame(buffer_id, bridge.clock.now_ms())?;
        flows::change(&flow_mod, by, bridge)?;
        let actions = match &flow_mod.instructions[..] {
            [Instruction::Apply(actions)] if version == Version::V1_0 => actions.clone(),
            [] if version == Version::V1_0 => Vec::new(),
            _ => vec![Action::Output { port: port::TABLE, max_len: 0 }],
        };
        let in_port = frame.in_port;
        self.buffers.forget(buffer_id);
        bridge.packet_out(&PacketOut { in_port, actions, data: frame.bytes.to_vec(), ..PacketOut::default() })
    }

    fn send_packet(&mut self, mut packet: PacketOut, bridge: &ManagedBridge) -> Result<(), OfError> {
        let (in_port, buffer_id) = (packet.in_port, packet.buffer_id);
        if in_port > port::MAX && !matches!(in_port, port::CONTROLLER | port::LOCAL | port::ANY) {
            return Err(OfError::RequestBadPort);
        }
        if buffer_id != NO_BUFFER {
            packet.data = self.buffers.frame(buffer_id, bridge.clock.now_ms())?.bytes.to_vec();
            packet.buffer_id = NO_BUFFER;
        }
        bridge.packet_out(&packet)?;
        // One that is refused can be sent otherwise.
        self.buffers.forget(buffer_id);
        Ok(())
    }

    fn watch(
        &self,
        requests: Vec<MonitorRequest>,
        version: Version,
        bridge: &ManagedBridge,
    ) -> Result<Vec<Update>, OfError> {
        let monitors = &bridge.control.monitors;
        bridge.bridge.with_settled(|snapshot| monitors.change(self.seat.id, requests, version, snapshot))
    }

    /// Whether the peer, which has taken all it was told, is to be told of flows ([`Connection::updates`]).
    pub fn has_updates(&self, bridge: &ManagedBridge) -> bool {
        !self.closing && bridge.control.monitors.has_news(self.seat.id)
    }

    /// What a peer that has taken all it was told is told of flows that it watches, as much as is told at once.
    pub fn updates(&mut self, bridge: &ManagedBridge) -> Vec<u8> {
        let monitors = &bridge.control.monitors;
        let next = bridge.bridge.with_settled(|snapshot| monitors.next(self.seat.id, snapshot));
        self.closing |= next.is_none();
        let told = next.unwrap_or_default();
        self.transcript.sent(&told);
        told
    }

    /// The switch's configuration as `OFPT_GET_CONFIG_REPLY` has it.
    fn config_flags(&self, version: Version, bridge: &ManagedBridge) -> u16 {
        let fragments = match bridge.bridge.snapshot().fragments {
            Fragments::Normal => 0,
            Fragments::Drop => 1,
            Fragments::Match => 3,
        };
        let spent = self.wants[AsyncKind::PacketIn as usize][0] >> reason::INVALID_TTL & 1 != 0;
        fragments | if spent && version < Version::V1_3 { INVALID_TTL_TO_CONTROLLER } else { 0 }
    }

    /// Takes a configuration: how fragments are handled and, before OpenFlow 1.3, whether packets whose TTL is spent come.
    fn set_config(&mut self, flags: u16, version: Version, bridge: &ManagedBridge) -> Result<(), OfError> {
        let older = version < Version::V1_3;
        let wanted = match if older { flags & !INVALID_TTL_TO_CONTROLLER } else { flags } {
            0 => Some(Fragments::Normal),
            1 => Some(Fragments::Drop),
            // Fragments are not put together here, which the features say; as Open vSwitch, keep what is.
            2 => None,
            3 => Some(Fragments::Match),
            _ => return Err(OfError::SwitchConfigBadFlags),
        };
        if let Some(wanted) = wanted.filter(|wanted| bridge.bridge.snapshot().fragments != *wanted) {
            bridge.bridge.publish(|snapshot, changes| {
                snapshot.fragments = wanted;
                changes.everything();
            });
        }
        if older {
            let [master, _] = &mut self.wants[AsyncKind::PacketIn as usize];
            *master &= !(1 << reason::INVALID_TTL);
            *master |= u32::from(flags & INVALID_TTL_TO_CONTROLLER != 0) << reason::INVALID_TTL;
        }
        Ok(())
    }

    /// The table that a flow-mod of OpenFlow 1.0 means: the one that it says where the peer has asked for that, else the first,
    /// and all for what is there already.
    fn choose_table(&self, flow_mod: &mut FlowMod, version: Version) -> Result<(), OfError> {
        if version != Version::V1_0 {
            return Ok(());
        }
        if self.table_ids {
            if (flow_mod.table_id, flow_mod.command) == (FlowMod::ALL_TABLES, Command::Add) {
                flow_mod.table_id = 0;
            }
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

/// What the switch says of itself.
fn features(version: Version, bridge: &ManagedBridge) -> Features {
    Features {
        datapath_id: bridge.datapath_id(),
        tables: TABLES,
        // The bit of groups is that of the spanning tree in OpenFlow 1.0, which has no groups.
        capabilities: match version {
            Version::V1_0 => CAPABILITIES & !8 | ARP_MATCH_IP,
            Version::V1_1 | Version::V1_2 | Version::V1_3 => CAPABILITIES,
            Version::V1_4 | Version::V1_5 => CAPABILITIES | BUNDLES,
        },
        buffers: bridge.packet_buffers() as u32,
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
            | Body::Resume(_)
            | Body::GroupMod(_)
            | Body::PortMod(_)
            | Body::TableMod(_)
            | Body::MeterMod(_)
            | Body::BundleAdd(_)
            | Body::MultipartRequest(Request::SetTableFeatures(_))
    )
}
