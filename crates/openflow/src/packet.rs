//! Packets between switch and controller (OpenFlow 1.0.1 sections 5.3.6 and 5.4.1 to OpenFlow 1.5.1 sections 7.3.6 and 7.4.1;
//! Nicira's `NXT_PACKET_IN`, `NXT_PACKET_IN2` and `NXT_RESUME`).

use heddle_flow::{Field, Match};

use crate::action::Action;
use crate::bytes::{Put, Reader};
use crate::error::OfError;
use crate::message::NO_BUFFER;
use crate::version::{Form, Version};
use crate::{dialect, nxm, oxm, port, property};

/// A packet for the controller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PacketIn {
    /// The switch's number for it, or [`NO_BUFFER`].
    pub buffer_id: u32,
    /// Length of the whole frame.
    pub total_len: u32,
    /// Why it was sent ([`reason`]).
    pub reason: u8,
    /// Table of the flow that sent it; zero where it is not told.
    pub table_id: u8,
    /// That flow's cookie; all ones where there is none.
    pub cookie: u64,
    /// Port and metadata.
    pub matching: Match,
    /// The frame, or its beginning.
    pub data: Vec<u8>,
    /// What the flow's action gave along (`NXT_PACKET_IN2`).
    pub userdata: Vec<u8>,
    /// What the switch needs to go on where it paused (`NXT_PACKET_IN2`, `NXT_RESUME`): for the switch alone to read.
    pub continuation: Vec<u8>,
}

impl Default for PacketIn {
    fn default() -> Self {
        Self {
            buffer_id: NO_BUFFER,
            total_len: 0,
            reason: reason::NO_MATCH,
            table_id: 0,
            cookie: u64::MAX,
            matching: Match::default(),
            data: Vec::new(),
            userdata: Vec::new(),
            continuation: Vec::new(),
        }
    }
}

/// Why a packet is sent to the controller (`ofp_packet_in_reason`).
pub mod reason {
    /// No flow matched, or the table-miss flow did.
    pub const NO_MATCH: u8 = 0;
    /// An action sent it.
    pub const ACTION: u8 = 1;
    /// Its TTL is spent.
    pub const INVALID_TTL: u8 = 2;
    /// The action set sent it (OpenFlow 1.4).
    pub const ACTION_SET: u8 = 3;
    /// A group's bucket sent it (OpenFlow 1.4).
    pub const GROUP: u8 = 4;
    /// A packet-out sent it (OpenFlow 1.4).
    pub const PACKET_OUT: u8 = 5;
    /// Names, by number.
    pub const NAMES: [&str; 6] = ["no_match", "action", "invalid_ttl", "action_set", "group", "packet_out"];
}

/// A packet that the controller sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PacketOut {
    /// A buffered one, or [`NO_BUFFER`].
    pub buffer_id: u32,
    /// Where it is said to have come in.
    pub in_port: u32,
    /// Fields of the pipeline that it is said to have, beside the port (OpenFlow 1.5).
    pub matching: Match,
    /// What to do.
    pub actions: Vec<Action>,
    /// The frame.
    pub data: Vec<u8>,
}

impl Default for PacketOut {
    fn default() -> Self {
        Self {
            buffer_id: NO_BUFFER,
            in_port: port::CONTROLLER,
            matching: Match::default(),
            actions: Vec::new(),
            data: Vec::new(),
        }
    }
}

/// Properties of `NXT_PACKET_IN2`.
mod prop {
    pub(super) const PACKET: u16 = 0;
    pub(super) const FULL_LEN: u16 = 1;
    pub(super) const BUFFER_ID: u16 = 2;
    pub(super) const TABLE_ID: u16 = 3;
    pub(super) const COOKIE: u16 = 4;
    pub(super) const REASON: u16 = 5;
    pub(super) const METADATA: u16 = 6;
    pub(super) const USERDATA: u16 = 7;
    pub(super) const CONTINUATION: u16 = 8;
}

pub(crate) fn decode_packet_in(reader: &mut Reader<'_>, form: Form) -> Result<PacketIn, OfError> {
    let buffer_id = reader.u32()?;
    let mut packet = PacketIn { buffer_id, ..PacketIn::default() };
    if form.nicira {
        packet.total_len = reader.u16()?.into();
        (packet.reason, packet.table_id, packet.cookie) = (reader.u8()?, reader.u8()?, reader.u64()?);
        let length = usize::from(reader.u16()?);
        reader.skip(6)?;
        packet.matching = nxm::decode(reader, length)?.0;
        reader.skip(2)?;
        packet.data = reader.rest().to_vec();
        return Ok(packet);
    }
    match form.version {
        Version::V1_0 => {
            packet.total_len = reader.u16()?.into();
            packet.matching.set(Field::InPort, port::from_16(reader.u16()?).into());
            packet.reason = reader.u8()?;
            reader.skip(1)?;
        }
        Version::V1_1 => {
            packet.matching.set(Field::InPort, reader.u32()?.into());
            reader.skip(4)?;
            (packet.total_len, packet.reason) = (reader.u16()?.into(), reader.u8()?);
            packet.table_id = reader.u8()?;
        }
        version => {
            (packet.total_len, packet.reason) = (reader.u16()?.into(), reader.u8()?);
            packet.table_id = reader.u8()?;
            if version >= Version::V1_3 {
                packet.cookie = reader.u64()?;
            }
            packet.matching = oxm::decode_match(reader)?;
            reader.skip(2)?;
        }
    }
    packet.data = reader.rest().to_vec();
    Ok(packet)
}

pub(crate) fn encode_packet_in(out: &mut Vec<u8>, form: Form, packet: &PacketIn) {
    let total = u16::try_from(packet.total_len).unwrap_or(u16::MAX);
    let in_port = packet.matching.get(Field::InPort).0 as u32;
    out.u32(packet.buffer_id);
    if form.nicira {
        out.u16(total);
        out.u8(packet.reason);
        out.u8(packet.table_id);
        out.u64(packet.cookie);
        let at = out.len();
        out.zeros(8);
        nxm::encode(out, at, &packet.matching, (0, 0));
        out.zeros(2);
        return put_frame(out, &packet.data);
    }
    match form.version {
        Version::V1_0 => {
            out.u16(total);
            port::encode_number(out, form.version, in_port);
            out.u8(packet.reason);
            out.zeros(1);
        }
        Version::V1_1 => {
            out.u32(in_port);
            out.u32(in_port);
            out.u16(total);
            out.u8(packet.reason);
            out.u8(packet.table_id);
        }
        version => {
            out.u16(total);
            out.u8(packet.reason);
            out.u8(packet.table_id);
            if version >= Version::V1_3 {
                out.u64(packet.cookie);
            }
            oxm::encode_match(out, version, &packet.matching);
            out.zeros(2);
        }
    }
    put_frame(out, &packet.data);
}

/// Reads the properties of `NXT_PACKET_IN2` and, where `resume`, of `NXT_RESUME`.
pub(crate) fn decode_packet_in2(reader: &mut Reader<'_>, resume: bool) -> Result<PacketIn, OfError> {
    let (mut packet, mut total) = (PacketIn::default(), None);
    while reader.left() != 0 {
        let (kind, mut body) = property::next(reader)?;
        match kind {
            prop::PACKET => packet.data = body.rest().to_vec(),
            prop::FULL_LEN => total = Some(body.u32()?),
            prop::BUFFER_ID => packet.buffer_id = body.u32()?,
            prop::TABLE_ID => packet.table_id = body.u8()?,
            prop::COOKIE => {
                body.skip(4)?;
                packet.cookie = body.u64()?;
            }
            prop::REASON => packet.reason = body.u8()?,
            prop::METADATA => {
                // It is padded to eight bytes from where the property begins where a value needs it.
                packet.matching = oxm::decode_fields(&mut body)?;
            }
            prop::USERDATA => packet.userdata = body.rest().to_vec(),
            prop::CONTINUATION => {
                if body.left() >= 4 {
                    body.skip(4)?;
                }
                packet.continuation = body.rest().to_vec();
            }
            _ => return Err(property::unknown(kind)),
        }
        let whole = !matches!(kind, prop::PACKET | prop::METADATA | prop::USERDATA | prop::CONTINUATION);
        if whole {
            property::end(&body)?;
        }
    }
    let length = packet.data.len() as u32;
    if length == 0 && !resume || total.is_some_and(|total| total < length) {
        return Err(OfError::PropertyBadLen);
    }
    packet.total_len = total.unwrap_or(length);
    Ok(packet)
}

pub(crate) fn encode_packet_in2(out: &mut Vec<u8>, version: Version, packet: &PacketIn) {
    let room = |out: &Vec<u8>| usize::from(u16::MAX).saturating_sub(out.len() + 8);
    // What is short goes first, so that a frame as long as a message may be is cut and nothing else.
    if packet.buffer_id != NO_BUFFER {
        property::put(out, prop::BUFFER_ID, |out| out.u32(packet.buffer_id));
    }
    if packet.table_id != 0 {
        property::put(out, prop::TABLE_ID, |out| out.u8(packet.table_id));
    }
    if packet.cookie != u64::MAX {
        property::put(out, prop::COOKIE, |out| {
            out.zeros(4);
            out.u64(packet.cookie);
        });
    }
    property::put(out, prop::REASON, |out| out.u8(packet.reason));
    if !packet.matching.is_any() {
        property::put(out, prop::METADATA, |out| {
            let numbers = match version {
                Version::V1_0 => oxm::Numbers::Nicira,
                version => oxm::Numbers::Of(version),
            };
            oxm::encode_fields(out, &packet.matching, numbers);
        });
    }
    if !packet.userdata.is_empty() {
        property::put(out, prop::USERDATA, |out| out.extend_from_slice(&packet.userdata));
    }
    if !packet.continuation.is_empty() {
        property::put(out, prop::CONTINUATION, |out| {
            out.zeros(4);
            out.extend_from_slice(&packet.continuation);
        });
    }
    let data = &packet.data[..packet.data.len().min(room(out).saturating_sub(8) / 8 * 8)];
    if packet.total_len as usize != data.len() {
        property::put(out, prop::FULL_LEN, |out| out.u32(packet.total_len));
    }
    property::put(out, prop::PACKET, |out| out.extend_from_slice(data));
}

/// Fields of a packet-out's match that are no field of the pipeline are refused.
fn is_pipeline(field: Field) -> bool {
    let spec = field.spec();
    spec.prerequisite == heddle_flow::Prerequisite::None
        && !matches!(field, Field::EthSrc | Field::EthDst | Field::EthType | Field::VlanTci | Field::VlanVid)
}

pub(crate) fn decode_packet_out(reader: &mut Reader<'_>, version: Version) -> Result<PacketOut, OfError> {
    let buffer_id = reader.u32()?;
    let mut packet = PacketOut { buffer_id, ..PacketOut::default() };
    let length;
    match version {
        Version::V1_5 => {
            length = usize::from(reader.u16()?);
            reader.skip(2)?;
            let matching = oxm::decode_pipeline_match(reader, is_pipeline)?;
            let (in_port, mask) = matching.get(Field::InPort);
            if mask == 0 {
                return Err(OfError::RequestBadPort);
            }
            packet.in_port = in_port as u32;
            packet.matching = matching;
            packet.matching.set_masked(Field::InPort, 0, 0);
        }
        Version::V1_0 => {
            packet.in_port = port::from_16(reader.u16()?);
            length = usize::from(reader.u16()?);
        }
        _ => {
            packet.in_port = reader.u32()?;
            length = usize::from(reader.u16()?);
            reader.skip(6)?;
        }
    }
    packet.actions = dialect::decode_sized_actions(reader, version, length)?;
    packet.data = reader.rest().to_vec();
    Ok(packet)
}

pub(crate) fn encode_packet_out(out: &mut Vec<u8>, version: Version, packet: &PacketOut) {
    out.u32(packet.buffer_id);
    let at = match version {
        Version::V1_5 => {
            let mut matching = packet.matching;
            matching.set(Field::InPort, packet.in_port.into());
            let at = out.len();
            out.zeros(4);
            oxm::encode_match(out, version, &matching);
            at
        }
        _ => {
            port::encode_number(out, version, packet.in_port);
            out.zeros(2);
            out.len() - 2
        }
    };
    if !matches!(version, Version::V1_0 | Version::V1_5) {
        out.zeros(6);
    }
    let start = out.len();
    dialect::encode_actions(out, version, &packet.actions, None);
    out.length_at(at, start);
    put_frame(out, &packet.data);
}

/// Appends a frame, or as much of it as a message can hold: a segment of 64 KiB leaves no room for the header.
fn put_frame(out: &mut Vec<u8>, data: &[u8]) {
    let room = usize::from(u16::MAX).saturating_sub(out.len());
    out.extend_from_slice(&data[..data.len().min(room)]);
}
