//! Messages (OpenFlow 1.3.5 section 7), decoded from and encoded to the wire. Other versions have modules of their own.
//!
//! A message that is not known, or that contradicts itself, is answered with the error that the specification names;
//! [`Fault`] carries it with the id of the message, so that the answer can be sent.

use heddle_flow::Match;

use crate::action::Action;
use crate::action_codec::{decode_actions, encode_actions};
use crate::bundle::{self, BundleAdd, BundleControl};
use crate::bytes::{Put, Reader};
use crate::error::{ONF, OfError};
pub use crate::flow_mod::{Command, FlowMod, FlowRemoved};
use crate::flow_mod::{decode_flow_mod, decode_flow_removed, encode_flow_mod, encode_flow_removed};
pub use crate::framer::Framer;
use crate::group::{GroupMod, decode_group_mod, encode_group_mod};
use crate::modify::{self, MeterMod, PortMod, TableMod};
use crate::multipart::{Reply, Request};
use crate::oxm::{decode_match, encode_match};
pub use crate::port::PortDesc;
use crate::port::{decode_port, encode_port};
use crate::v1_0;
pub use crate::version::{Form, Version};

/// Nicira's id among experimenters.
pub(crate) const NICIRA: u32 = 0x0000_2320;
/// `buffer_id` of a packet that is not buffered.
pub const NO_BUFFER: u32 = u32::MAX;
/// Bytes of a message's header.
pub const HEADER_LEN: usize = 8;
/// Most bytes of a message: its length has 16 bits.
pub const MAX_MESSAGE: usize = u16::MAX as usize;

/// Roles of a controller (`ofp_controller_role`).
pub mod role {
    /// Asks what the role is.
    pub const NO_CHANGE: u32 = 0;
    /// May change the switch, as any other of this role.
    pub const EQUAL: u32 = 1;
    /// May change the switch; the one master there is.
    pub const MASTER: u32 = 2;
    /// May only read.
    pub const SLAVE: u32 = 3;
}

/// A message with its transaction id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The version and form that it is written in; an answer has its question's.
    pub form: Form,
    /// Transaction id; an answer repeats it.
    pub xid: u32,
    /// What it says.
    pub body: Body,
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
        /// What was refused, as much as fits; an error of an experimenter has the experimenter's id before it.
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
        /// Its ports, which OpenFlow 1.0 lists here.
        ports: Vec<PortDesc>,
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
    /// Change the group table.
    GroupMod(GroupMod),
    /// Change a port.
    PortMod(PortMod),
    /// Change a table.
    TableMod(TableMod),
    /// Change the meter table.
    MeterMod(MeterMod),
    /// Ask for the queues of a port; [`crate::port::ANY`] for all.
    QueueConfigRequest(u32),
    /// The queues of a port. This switch has none to list.
    QueueConfigReply(u32),
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
    /// How flows are told of: 0 as OpenFlow 1.0 does, 2 by Nicira's fields (Nicira's, for OpenFlow 1.0).
    FlowFormat(u32),
    /// Whether flow-mods say a table (Nicira's, for OpenFlow 1.0).
    FlowModTableId(bool),
    /// How packets come: 0 as OpenFlow 1.0 has it, 1 with table and cookie (Nicira's, for OpenFlow 1.0).
    PacketInFormat(u32),
    /// Opens, closes, commits or discards a bundle.
    BundleControl(BundleControl),
    /// Adds a message to a bundle.
    BundleAdd(BundleAdd),
}

/// A message that was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Its transaction id.
    pub xid: u32,
    /// Why.
    pub error: OfError,
    /// What the error quotes of it: the whole, where it fits.
    pub data: Vec<u8>,
}

impl Fault {
    /// Most bytes of a message that an error quotes: header, type, code and an experimenter's id come before them.
    const MAX_QUOTED: usize = MAX_MESSAGE - 16;

    /// The fault of a message that is refused for `error`.
    pub fn of(message: &[u8], error: OfError) -> Self {
        let id = message.get(4..8).and_then(|id| id.first_chunk());
        let xid = id.map_or(0, |&id| u32::from_be_bytes(id));
        Self { xid, error, data: message[..message.len().min(Self::MAX_QUOTED)].to_vec() }
    }

    /// The answer to the message, in this version.
    pub fn reply(self, version: Version) -> Message {
        let (number, mut data) = self.error.wire(version);
        data.extend(self.data);
        Message { form: Form::of(version), xid: self.xid, body: Body::Error { number, data } }
    }
}

/// Reads one message, whole.
///
/// # Errors
/// The error that the specification names, ready to be sent.
pub fn decode(bytes: &[u8]) -> Result<Message, Fault> {
    let mut reader = Reader::new(bytes, OfError::RequestBadLength);
    let fault = |error| Fault::of(bytes, error);
    let header = (|| {
        let (version, kind, length) = (reader.u8()?, reader.u8()?, reader.u16()?);
        let xid = reader.u32()?;
        if usize::from(length) != bytes.len() {
            return Err(OfError::RequestBadLength);
        }
        Ok((version, kind, xid))
    })();
    let (version, kind, xid) = header.map_err(fault)?;
    let spoken = Version::of_byte(version);
    let body = match (kind, spoken) {
        // A hello may come in any version: it is what versions are agreed on with.
        (0, _) => decode_hello(version, &mut reader).map(|hello| (hello, false)),
        (_, None) => Err(OfError::RequestBadVersion),
        (_, Some(Version::V1_0)) => v1_0::decode_body(kind, &mut reader),
        (_, Some(Version::V1_3)) => decode_body(kind, &mut reader).map(|body| (body, false)),
    };
    let (body, nicira) = body.map_err(fault)?;
    Ok(Message { form: Form { version: spoken.unwrap_or_default(), nicira }, xid, body })
}

/// Elements that are not known, or that make no sense, are skipped, as the specification asks (section 7.5.1).
fn decode_hello(version: u8, reader: &mut Reader<'_>) -> Result<Body, OfError> {
    let mut versions = None;
    while let (Ok(kind), Ok(length)) = (reader.u16(), reader.u16()) {
        let length = usize::from(length);
        let Some(mut element) =
            length.checked_sub(4).and_then(|body| reader.part(body, OfError::RequestBadLength).ok())
        else {
            break;
        };
        if kind == 1 {
            versions = versions.or(element.u32().ok());
        }
        if reader.skip((8 - length % 8) % 8).is_err() {
            break;
        }
    }
    // Without a bitmap the sender speaks its version and all before.
    let below = (2u64 << version.min(31)) as u32;
    Ok(Body::Hello(versions.unwrap_or(below.wrapping_sub(1) & !1)))
}

/// Reads the messages that all versions write alike; `None` for another type.
///
/// # Errors
/// If the bytes run out.
pub(crate) fn decode_common(kind: u8, reader: &mut Reader<'_>) -> Result<Option<Body>, OfError> {
    Ok(Some(match kind {
        1 => Body::Error { number: (reader.u16()?, reader.u16()?), data: reader.rest().to_vec() },
        2 => Body::EchoRequest(reader.rest().to_vec()),
        3 => Body::EchoReply(reader.rest().to_vec()),
        5 => Body::FeaturesRequest,
        7 => Body::GetConfigRequest,
        8 => Body::GetConfigReply(reader.u16()?, reader.u16()?),
        9 => Body::SetConfig(reader.u16()?, reader.u16()?),
        _ => return Ok(None),
    }))
}

fn decode_body(kind: u8, reader: &mut Reader<'_>) -> Result<Body, OfError> {
    let body = match kind {
        1..=3 | 5 | 7..=9 => decode_common(kind, reader)?.ok_or(OfError::RequestBadType)?,
        4 => decode_experimenter(reader)?,
        6 => decode_features(reader)?,
        10 => decode_packet_in(reader)?,
        11 => Body::FlowRemoved(decode_flow_removed(reader)?),
        12 => {
            let reason = reader.u8()?;
            reader.skip(7)?;
            Body::PortStatus(reason, decode_port(reader)?)
        }
        13 => decode_packet_out(reader)?,
        14 => Body::FlowMod(decode_flow_mod(reader)?),
        15 => Body::GroupMod(decode_group_mod(reader)?),
        16 => Body::PortMod(modify::decode_port_mod(reader)?),
        17 => Body::TableMod(modify::decode_table_mod(reader)?),
        18 => Body::MultipartRequest(crate::multipart::decode_request(reader)?),
        19 => Body::MultipartReply(crate::multipart::decode_reply(reader)?),
        20 => Body::BarrierRequest,
        21 => Body::BarrierReply,
        22 | 23 => {
            let port = reader.u32()?;
            reader.skip(4)?;
            if kind == 22 { Body::QueueConfigRequest(port) } else { Body::QueueConfigReply(port) }
        }
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
        29 => Body::MeterMod(modify::decode_meter_mod(reader)?),
        _ => return Err(OfError::RequestBadType),
    };
    if reader.left() != 0 { Err(OfError::RequestBadLength) } else { Ok(body) }
}

/// Reads an experimenter's message: what versions after 1.3 have is an extension to it.
fn decode_experimenter(reader: &mut Reader<'_>) -> Result<Body, OfError> {
    let mut ahead = *reader;
    match (ahead.u32()?, ahead.u32()?) {
        (ONF, bundle::CONTROL) => {
            *reader = ahead;
            bundle::decode_control(reader)
        }
        (ONF, bundle::ADD) => {
            *reader = ahead;
            bundle::decode_add(reader)
        }
        _ => Err(experimenter(reader)?),
    }
}

/// Which of an experimenter's message is not known: its sender, or what it says.
pub(crate) fn experimenter(reader: &mut Reader<'_>) -> Result<OfError, OfError> {
    let id = reader.u32()?;
    reader.u32()?;
    Ok(match id {
        NICIRA => OfError::RequestBadExperimenterType,
        _ => OfError::RequestBadExperimenter,
    })
}

fn decode_features(reader: &mut Reader<'_>) -> Result<Body, OfError> {
    let (datapath_id, buffers, tables) = (reader.u64()?, reader.u32()?, reader.u8()?);
    reader.skip(3)?;
    let capabilities = reader.u32()?;
    reader.skip(4)?;
    Ok(Body::FeaturesReply { datapath_id, buffers, tables, capabilities, ports: Vec::new() })
}

fn decode_packet_in(reader: &mut Reader<'_>) -> Result<Body, OfError> {
    reader.skip(4)?;
    let (total_len, reason, table_id, cookie) = (reader.u16()?, reader.u8()?, reader.u8()?, reader.u64()?);
    let matching = decode_match(reader)?;
    reader.skip(2)?;
    Ok(Body::PacketIn { reason, table_id, cookie, total_len, matching, data: reader.rest().to_vec() })
}

fn decode_packet_out(reader: &mut Reader<'_>) -> Result<Body, OfError> {
    let (buffer_id, in_port, length) = (reader.u32()?, reader.u32()?, usize::from(reader.u16()?));
    reader.skip(6)?;
    let mut part = reader.part(length, OfError::ActionBadLength)?;
    let actions = decode_actions(&mut part)?;
    Ok(Body::PacketOut { buffer_id, in_port, actions, data: reader.rest().to_vec() })
}

impl Message {
    /// A message in the newest version.
    pub fn new(xid: u32, body: Body) -> Self {
        Self { form: Form::default(), xid, body }
    }

    /// The message on the wire. A multipart reply that fits no message becomes several; what the version cannot say is
    /// nothing.
    pub fn encode(&self) -> Vec<u8> {
        let Form { version, nicira } = self.form;
        let mut out = Vec::new();
        if let Body::MultipartReply(reply) = &self.body {
            let (kind, parts) = match version {
                Version::V1_0 => (17, v1_0::encode_reply(reply, nicira)),
                Version::V1_3 => (19, reply.encode()),
            };
            for part in parts {
                self.frame(&mut out, |out| {
                    out.extend_from_slice(&part);
                    Some(kind)
                });
            }
            return out;
        }
        self.frame(&mut out, |out| match version {
            Version::V1_0 => v1_0::encode_body(out, &self.body, nicira),
            Version::V1_3 => encode_body(out, &self.body),
        });
        out
    }

    /// Appends a message with this body, which returns its type; nothing where there is none.
    fn frame(&self, out: &mut Vec<u8>, body: impl FnOnce(&mut Vec<u8>) -> Option<u8>) {
        let start = out.len();
        out.u8(self.form.version as u8);
        out.zeros(3);
        out.u32(self.xid);
        match body(out) {
            Some(kind) => {
                out[start + 1] = kind;
                out.length_at(start + 2, start);
            }
            None => out.truncate(start),
        }
    }
}

/// Writes what follows the header; returns the type. What the version has no message for has none.
fn encode_body(out: &mut Vec<u8>, body: &Body) -> Option<u8> {
    encode_common(out, body).or_else(|| encode_newer(out, body))
}

/// The same for what all versions write alike.
pub(crate) fn encode_common(out: &mut Vec<u8>, body: &Body) -> Option<u8> {
    Some(match body {
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
        Body::GetConfigRequest => 7,
        Body::GetConfigReply(flags, length) | Body::SetConfig(flags, length) => {
            out.u16(*flags);
            out.u16(*length);
            if matches!(body, Body::GetConfigReply(..)) { 8 } else { 9 }
        }
        _ => return None,
    })
}

fn encode_newer(out: &mut Vec<u8>, body: &Body) -> Option<u8> {
    Some(match body {
        Body::FeaturesReply { datapath_id, buffers, tables, capabilities, .. } => {
            out.u64(*datapath_id);
            out.u32(*buffers);
            out.u8(*tables);
            out.zeros(3);
            out.u32(*capabilities);
            out.u32(0);
            6
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
            encode_port(out, port);
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
        Body::GroupMod(group) => {
            encode_group_mod(out, group);
            15
        }
        Body::PortMod(port) => {
            modify::encode_port_mod(out, port);
            16
        }
        Body::TableMod(table) => {
            modify::encode_table_mod(out, *table);
            17
        }
        Body::MeterMod(meter) => {
            modify::encode_meter_mod(out, meter);
            29
        }
        Body::QueueConfigRequest(port) | Body::QueueConfigReply(port) => {
            out.u32(*port);
            out.zeros(4);
            if matches!(body, Body::QueueConfigRequest(_)) { 22 } else { 23 }
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
        Body::BundleControl(_) | Body::BundleAdd(_) => {
            out.u32(ONF);
            let at = out.len();
            out.zeros(4);
            let kind = bundle::encode(out, body)?;
            out[at..at + 4].copy_from_slice(&kind.to_be_bytes());
            4
        }
        _ => return None,
    })
}

/// Appends a frame, or as much of it as a message can hold: a segment of 64 KiB leaves no room for the header.
pub(crate) fn put_frame(out: &mut Vec<u8>, data: &[u8]) {
    let room = usize::from(u16::MAX).saturating_sub(out.len());
    out.extend_from_slice(&data[..data.len().min(room)]);
}
