//! Messages (OpenFlow 1.3.5 section 7), decoded from and encoded to the wire.
//!
//! A message that is not known, or that contradicts itself, is answered with the error that the specification names;
//! [`Fault`] carries it with the id of the message, so that the answer can be sent.

use heddle_flow::Match;

use crate::action::{Action, Instruction};
use crate::action_codec::{decode_actions, decode_instructions, encode_actions, encode_instructions};
use crate::bytes::{Put, Reader};
use crate::error::OfError;
use crate::multipart::{Reply, Request};
use crate::oxm::{decode_match, encode_match};

/// The version byte of OpenFlow 1.3.
pub const VERSION_1_3: u8 = 0x04;
/// `buffer_id` of a packet that is not buffered.
pub const NO_BUFFER: u32 = u32::MAX;
/// Bytes of a message's header.
pub const HEADER_LEN: usize = 8;

/// A message with its transaction id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Transaction id; an answer repeats it.
    pub xid: u32,
    /// What it says.
    pub body: Body,
}

/// What a flow-mod does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Add, or replace the flow of the same match and priority.
    Add,
    /// Change the instructions of flows that the match contains.
    Modify,
    /// Change those of the flow with exactly this match and priority.
    ModifyStrict,
    /// Delete flows that the match contains.
    Delete,
    /// Delete the flow with exactly this match and priority.
    DeleteStrict,
}

/// A change of the flow tables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowMod {
    /// What it does.
    pub command: Command,
    /// The table; 255 for all, when deleting.
    pub table_id: u8,
    /// The mark it sets, or asks of flows.
    pub cookie: u64,
    /// Bits of the mark that are asked for.
    pub cookie_mask: u64,
    /// Seconds without a packet.
    pub idle_timeout: u16,
    /// Seconds in all.
    pub hard_timeout: u16,
    /// Priority.
    pub priority: u16,
    /// A buffered packet to send through the new flow.
    pub buffer_id: u32,
    /// Delete only flows that output here.
    pub out_port: u32,
    /// Delete only flows that use this group.
    pub out_group: u32,
    /// Flags: [`FlowMod::SEND_REMOVED`] and others.
    pub flags: u16,
    /// What it matches.
    pub matching: Match,
    /// What the flow does.
    pub instructions: Vec<Instruction>,
}

impl FlowMod {
    /// Tell the controller when the flow goes.
    pub const SEND_REMOVED: u16 = 1;
    /// Refuse a flow that overlaps one of the same priority.
    pub const CHECK_OVERLAP: u16 = 2;
    /// Set the counters of a changed flow to zero.
    pub const RESET_COUNTS: u16 = 4;
    /// Every table.
    pub const ALL_TABLES: u8 = 0xff;
}

impl Default for FlowMod {
    fn default() -> Self {
        Self {
            command: Command::Add,
            table_id: 0,
            cookie: 0,
            cookie_mask: 0,
            idle_timeout: 0,
            hard_timeout: 0,
            priority: 0x8000,
            buffer_id: NO_BUFFER,
            out_port: crate::port::ANY,
            out_group: u32::MAX,
            flags: 0,
            matching: Match::default(),
            instructions: Vec::new(),
        }
    }
}

/// A flow that has gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowRemoved {
    /// Its mark.
    pub cookie: u64,
    /// Its priority.
    pub priority: u16,
    /// Why: 0 idle, 1 hard timeout, 2 deleted.
    pub reason: u8,
    /// Its table.
    pub table_id: u8,
    /// Milliseconds it lived.
    pub duration_ms: u64,
    /// Its timeouts.
    pub idle_timeout: u16,
    /// Its timeouts.
    pub hard_timeout: u16,
    /// Packets it took.
    pub packets: u64,
    /// Bytes it took.
    pub bytes: u64,
    /// What it matched.
    pub matching: Match,
}

/// A port, as described to controllers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PortDesc {
    /// Number.
    pub number: u32,
    /// Ethernet address.
    pub mac: [u8; 6],
    /// Name.
    pub name: String,
    /// Configuration bits: 1 is down.
    pub config: u32,
    /// State bits: 1 is no carrier, 4 is live.
    pub state: u32,
    /// Current features: 0x40 is 10 Gbit/s, 0x800 copper.
    pub current: u32,
    /// Speed in kbit/s.
    pub speed_kbps: u32,
}

/// What a message says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// Versions that the sender speaks, as a bit for each version byte.
    Hello(u32),
    /// Something was refused.
    Error {
        /// Type and code.
        number: (u16, u16),
        /// At least 64 bytes of what was refused.
        data: Vec<u8>,
    },
    /// Are you there?
    EchoRequest(Vec<u8>),
    /// I am.
    EchoReply(Vec<u8>),
    /// Who are you?
    FeaturesRequest,
    /// The switch.
    FeaturesReply {
        /// Its id.
        datapath_id: u64,
        /// Packets it can buffer.
        buffers: u32,
        /// Its tables.
        tables: u8,
        /// What it can: 1 flow, 2 table, 4 port statistics.
        capabilities: u32,
    },
    /// How are fragments and misses handled?
    GetConfigRequest,
    /// Flags, and bytes of a packet-in.
    GetConfigReply(u16, u16),
    /// Flags, and bytes of a packet-in.
    SetConfig(u16, u16),
    /// A packet for the controller.
    PacketIn {
        /// Why.
        reason: u8,
        /// Table of the flow that sent it.
        table_id: u8,
        /// Its cookie.
        cookie: u64,
        /// Length of the whole frame.
        total_len: u16,
        /// Port and metadata.
        matching: Match,
        /// The frame.
        data: Vec<u8>,
    },
    /// A flow has gone.
    FlowRemoved(FlowRemoved),
    /// A port came (0), went (1) or changed (2).
    PortStatus(u8, PortDesc),
    /// Send a packet.
    PacketOut {
        /// A buffered one, or [`NO_BUFFER`].
        buffer_id: u32,
        /// Where it is said to have come in.
        in_port: u32,
        /// What to do.
        actions: Vec<Action>,
        /// The frame.
        data: Vec<u8>,
    },
    /// Change the flow tables.
    FlowMod(FlowMod),
    /// Ask for a description or statistics.
    MultipartRequest(Request),
    /// A description or statistics.
    MultipartReply(Reply),
    /// Answer when all before is done.
    BarrierRequest,
    /// It is done.
    BarrierReply,
    /// Role wanted, and the master's generation.
    RoleRequest(u32, u64),
    /// Role now, and the master's generation.
    RoleReply(u32, u64),
    /// Ask which messages come unasked.
    GetAsyncRequest,
    /// Which messages come unasked: packet-in, port-status, flow-removed, for master and slave.
    GetAsyncReply([u32; 6]),
    /// Say which messages come unasked.
    SetAsync([u32; 6]),
}

/// A message that was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Its transaction id.
    pub xid: u32,
    /// Why.
    pub error: OfError,
    /// Up to 64 bytes of it.
    pub data: Vec<u8>,
}

impl Fault {
    /// The answer to the message.
    pub fn reply(self) -> Message {
        Message { xid: self.xid, body: Body::Error { number: self.error.number(), data: self.data } }
    }
}

/// Reads one message, whole.
///
/// # Errors
/// The error that the specification names, ready to be sent.
pub fn decode(bytes: &[u8]) -> Result<Message, Fault> {
    let mut reader = Reader::new(bytes, OfError::RequestBadLength);
    let xid = bytes.get(4..8).map_or(0, |xid| xid.iter().fold(0, |xid, &byte| xid << 8 | u32::from(byte)));
    let fault = |error| Fault { xid, error, data: bytes[..bytes.len().min(64)].to_vec() };
    let header = (|| {
        let (version, kind, length) = (reader.u8()?, reader.u8()?, reader.u16()?);
        reader.u32()?;
        if usize::from(length) != bytes.len() {
            return Err(OfError::RequestBadLength);
        }
        // A hello may come in any version: it is what versions are agreed on with.
        if version != VERSION_1_3 && kind != 0 {
            return Err(OfError::RequestBadVersion);
        }
        Ok((version, kind))
    })();
    let (version, kind) = header.map_err(fault)?;
    let body = if kind == 0 { decode_hello(version, &mut reader) } else { decode_body(kind, &mut reader) };
    Ok(Message { xid, body: body.map_err(fault)? })
}

fn decode_hello(version: u8, reader: &mut Reader<'_>) -> Result<Body, OfError> {
    let mut versions = None;
    while reader.left() >= 4 {
        let (kind, length) = (reader.u16()?, usize::from(reader.u16()?));
        let body = length.checked_sub(4).ok_or(OfError::RequestBadLength)?;
        let Ok(mut part) = reader.part(body.min(reader.left()), OfError::RequestBadLength) else { break };
        if kind == 1 && part.left() >= 4 {
            versions = Some(part.u32()?);
        }
        reader.skip((8 - length % 8) % 8 * usize::from(reader.left() != 0)).unwrap_or(());
    }
    // Without a bitmap the sender speaks its version and all before.
    let below = (2u64 << version.min(31)) as u32;
    Ok(Body::Hello(versions.unwrap_or(below.wrapping_sub(1) & !1)))
}

fn decode_body(kind: u8, reader: &mut Reader<'_>) -> Result<Body, OfError> {
    let body = match kind {
        1 => Body::Error { number: (reader.u16()?, reader.u16()?), data: reader.rest().to_vec() },
        2 => Body::EchoRequest(reader.rest().to_vec()),
        3 => Body::EchoReply(reader.rest().to_vec()),
        4 => return Err(OfError::RequestBadExperimenter),
        5 => Body::FeaturesRequest,
        6 => decode_features(reader)?,
        7 => Body::GetConfigRequest,
        8 => Body::GetConfigReply(reader.u16()?, reader.u16()?),
        9 => Body::SetConfig(reader.u16()?, reader.u16()?),
        10 => decode_packet_in(reader)?,
        11 => Body::FlowRemoved(decode_flow_removed(reader)?),
        12 => {
            let reason = reader.u8()?;
            reader.skip(7)?;
            Body::PortStatus(reason, crate::multipart::decode_port(reader)?)
        }
        13 => decode_packet_out(reader)?,
        14 => Body::FlowMod(decode_flow_mod(reader)?),
        18 => Body::MultipartRequest(crate::multipart::decode_request(reader)?),
        19 => Body::MultipartReply(crate::multipart::decode_reply(reader)?),
        20 => Body::BarrierRequest,
        21 => Body::BarrierReply,
        24 | 25 => {
            let role = reader.u32()?;
            reader.skip(4)?;
            let generation = reader.u64()?;
            if kind == 24 { Body::RoleRequest(role, generation) } else { Body::RoleReply(role, generation) }
        }
        26 => Body::GetAsyncRequest,
        27 | 28 => {
            let mut masks = [0; 6];
            for mask in &mut masks {
                *mask = reader.u32()?;
            }
            if kind == 27 { Body::GetAsyncReply(masks) } else { Body::SetAsync(masks) }
        }
        _ => return Err(OfError::RequestBadType),
    };
    if reader.left() != 0 { Err(OfError::RequestBadLength) } else { Ok(body) }
}

fn decode_features(reader: &mut Reader<'_>) -> Result<Body, OfError> {
    let (datapath_id, buffers, tables) = (reader.u64()?, reader.u32()?, reader.u8()?);
    reader.skip(3)?;
    let capabilities = reader.u32()?;
    reader.skip(4)?;
    Ok(Body::FeaturesReply { datapath_id, buffers, tables, capabilities })
}

fn decode_packet_in(reader: &mut Reader<'_>) -> Result<Body, OfError> {
    reader.skip(4)?;
    let (total_len, reason, table_id, cookie) = (reader.u16()?, reader.u8()?, reader.u8()?, reader.u64()?);
    let matching = decode_match(reader)?;
    reader.skip(2)?;
    Ok(Body::PacketIn { reason, table_id, cookie, total_len, matching, data: reader.rest().to_vec() })
}

fn decode_flow_removed(reader: &mut Reader<'_>) -> Result<FlowRemoved, OfError> {
    let (cookie, priority, reason, table_id) = (reader.u64()?, reader.u16()?, reader.u8()?, reader.u8()?);
    let (seconds, nanoseconds) = (reader.u32()?, reader.u32()?);
    let (idle_timeout, hard_timeout) = (reader.u16()?, reader.u16()?);
    let (packets, bytes) = (reader.u64()?, reader.u64()?);
    let duration_ms = u64::from(seconds) * 1000 + u64::from(nanoseconds) / 1_000_000;
    let matching = decode_match(reader)?;
    Ok(FlowRemoved {
        cookie,
        priority,
        reason,
        table_id,
        duration_ms,
        idle_timeout,
        hard_timeout,
        packets,
        bytes,
        matching,
    })
}

fn decode_packet_out(reader: &mut Reader<'_>) -> Result<Body, OfError> {
    let (buffer_id, in_port, length) = (reader.u32()?, reader.u32()?, usize::from(reader.u16()?));
    reader.skip(6)?;
    let mut part = reader.part(length, OfError::ActionBadLength)?;
    let actions = decode_actions(&mut part)?;
    Ok(Body::PacketOut { buffer_id, in_port, actions, data: reader.rest().to_vec() })
}

fn decode_flow_mod(reader: &mut Reader<'_>) -> Result<FlowMod, OfError> {
    let (cookie, cookie_mask, table_id, command) = (reader.u64()?, reader.u64()?, reader.u8()?, reader.u8()?);
    let command = match command {
        0 => Command::Add,
        1 => Command::Modify,
        2 => Command::ModifyStrict,
        3 => Command::Delete,
        4 => Command::DeleteStrict,
        _ => return Err(OfError::FlowModBadCommand),
    };
    let (idle_timeout, hard_timeout, priority) = (reader.u16()?, reader.u16()?, reader.u16()?);
    let (buffer_id, out_port, out_group) = (reader.u32()?, reader.u32()?, reader.u32()?);
    let flags = reader.u16()?;
    reader.skip(2)?;
    let matching = decode_match(reader)?;
    let mut rest = Reader::new(reader.rest(), OfError::InstructionBadLength);
    let instructions = decode_instructions(&mut rest)?;
    Ok(FlowMod {
        command,
        table_id,
        cookie,
        cookie_mask,
        idle_timeout,
        hard_timeout,
        priority,
        buffer_id,
        out_port,
        out_group,
        flags,
        matching,
        instructions,
    })
}

impl Message {
    /// The message on the wire. A multipart reply that fits no message becomes several.
    pub fn encode(&self) -> Vec<u8> {
        if let Body::MultipartReply(reply) = &self.body {
            let mut out = Vec::new();
            for part in reply.encode() {
                frame(&mut out, 19, self.xid, |out| out.extend_from_slice(&part));
            }
            return out;
        }
        let mut out = Vec::new();
        let start = out.len();
        frame(&mut out, 0, self.xid, |_| ());
        let kind = encode_body(&mut out, &self.body);
        out[start + 1] = kind;
        out.length_at(start + 2, start);
        out
    }
}

fn frame(out: &mut Vec<u8>, kind: u8, xid: u32, body: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.u8(VERSION_1_3);
    out.u8(kind);
    out.u16(0);
    out.u32(xid);
    body(out);
    out.length_at(start + 2, start);
}

/// Writes what follows the header; returns the type.
fn encode_body(out: &mut Vec<u8>, body: &Body) -> u8 {
    match body {
        Body::Hello(versions) => {
            out.u16(1);
            out.u16(8);
            out.u32(*versions);
            0
        }
        Body::Error { number, data } => {
            out.u16(number.0);
            out.u16(number.1);
            out.extend_from_slice(data);
            1
        }
        Body::EchoRequest(data) | Body::EchoReply(data) => {
            out.extend_from_slice(data);
            if matches!(body, Body::EchoRequest(_)) { 2 } else { 3 }
        }
        Body::FeaturesRequest => 5,
        Body::FeaturesReply { datapath_id, buffers, tables, capabilities } => {
            out.u64(*datapath_id);
            out.u32(*buffers);
            out.u8(*tables);
            out.zeros(3);
            out.u32(*capabilities);
            out.u32(0);
            6
        }
        Body::GetConfigRequest => 7,
        Body::GetConfigReply(flags, length) | Body::SetConfig(flags, length) => {
            out.u16(*flags);
            out.u16(*length);
            if matches!(body, Body::GetConfigReply(..)) { 8 } else { 9 }
        }
        Body::PacketIn { reason, table_id, cookie, total_len, matching, data } => {
            out.u32(NO_BUFFER);
            out.u16(*total_len);
            out.u8(*reason);
            out.u8(*table_id);
            out.u64(*cookie);
            encode_match(out, matching);
            out.zeros(2);
            put_frame(out, data);
            10
        }
        Body::FlowRemoved(flow) => {
            encode_flow_removed(out, flow);
            11
        }
        Body::PortStatus(reason, port) => {
            out.u8(*reason);
            out.zeros(7);
            crate::multipart::encode_port(out, port);
            12
        }
        Body::PacketOut { buffer_id, in_port, actions, data } => {
            out.u32(*buffer_id);
            out.u32(*in_port);
            let at = out.len();
            out.zeros(8);
            encode_actions(out, actions);
            out.length_at(at, at + 8);
            put_frame(out, data);
            13
        }
        Body::FlowMod(flow_mod) => {
            encode_flow_mod(out, flow_mod);
            14
        }
        Body::MultipartRequest(request) => {
            crate::multipart::encode_request(out, request);
            18
        }
        Body::MultipartReply(_) => 19,
        Body::BarrierRequest => 20,
        Body::BarrierReply => 21,
        Body::RoleRequest(role, generation) | Body::RoleReply(role, generation) => {
            out.u32(*role);
            out.u32(0);
            out.u64(*generation);
            if matches!(body, Body::RoleRequest(..)) { 24 } else { 25 }
        }
        Body::GetAsyncRequest => 26,
        Body::GetAsyncReply(masks) | Body::SetAsync(masks) => {
            masks.iter().for_each(|&mask| out.u32(mask));
            if matches!(body, Body::GetAsyncReply(_)) { 27 } else { 28 }
        }
    }
}

/// Appends a frame, or as much of it as a message can hold: a segment of 64 KiB leaves no room for the header.
fn put_frame(out: &mut Vec<u8>, data: &[u8]) {
    let room = usize::from(u16::MAX).saturating_sub(out.len());
    out.extend_from_slice(&data[..data.len().min(room)]);
}

fn encode_flow_removed(out: &mut Vec<u8>, flow: &FlowRemoved) {
    out.u64(flow.cookie);
    out.u16(flow.priority);
    out.u8(flow.reason);
    out.u8(flow.table_id);
    out.u32((flow.duration_ms / 1000) as u32);
    out.u32((flow.duration_ms % 1000) as u32 * 1_000_000);
    out.u16(flow.idle_timeout);
    out.u16(flow.hard_timeout);
    out.u64(flow.packets);
    out.u64(flow.bytes);
    encode_match(out, &flow.matching);
}

fn encode_flow_mod(out: &mut Vec<u8>, flow_mod: &FlowMod) {
    out.u64(flow_mod.cookie);
    out.u64(flow_mod.cookie_mask);
    out.u8(flow_mod.table_id);
    out.u8(match flow_mod.command {
        Command::Add => 0,
        Command::Modify => 1,
        Command::ModifyStrict => 2,
        Command::Delete => 3,
        Command::DeleteStrict => 4,
    });
    out.u16(flow_mod.idle_timeout);
    out.u16(flow_mod.hard_timeout);
    out.u16(flow_mod.priority);
    out.u32(flow_mod.buffer_id);
    out.u32(flow_mod.out_port);
    out.u32(flow_mod.out_group);
    out.u16(flow_mod.flags);
    out.zeros(2);
    encode_match(out, &flow_mod.matching);
    encode_instructions(out, &flow_mod.instructions);
}

/// Cuts a stream into messages.
#[derive(Default)]
pub struct Framer {
    bytes: Vec<u8>,
    /// Bytes before it have been given out.
    start: usize,
}

impl Framer {
    /// Takes bytes as they came.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.drain(..self.start);
        self.start = 0;
        self.bytes.extend_from_slice(bytes);
    }

    /// The next whole message; `None` until there is one. A length below a header's is refused and ends the stream.
    pub fn next_message(&mut self) -> Option<Result<Vec<u8>, OfError>> {
        let bytes = &self.bytes[self.start..];
        let header: &[u8; HEADER_LEN] = bytes.first_chunk()?;
        let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
        if length < HEADER_LEN {
            self.start = self.bytes.len();
            return Some(Err(OfError::RequestBadLength));
        }
        let message = bytes.get(..length)?.to_vec();
        self.start += length;
        Some(Ok(message))
    }
}
