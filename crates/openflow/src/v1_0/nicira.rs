//! Nicira's messages for OpenFlow 1.0, as Open vSwitch and its clients speak them (`ovs-fields(7)`, `ovs-ofctl(8)`): flows whose match is
//! a list of fields, the table in flow-mods, roles, and packets for the controller with the table and cookie that sent them.

use heddle_flow::Match;

use crate::action_codec::apply;
use crate::bytes::{Put, Reader};
use crate::error::OfError;
use crate::flow_mod::{Command, FlowMod, FlowRemoved};
use crate::message::{Body, NICIRA, put_frame, role};
use crate::multipart::{
    FlowFilter, FlowStats, Reply, Request, decode_aggregate, encode_aggregate, parts, repeat,
};
use crate::oxm;
use crate::port::from_16;

use super::{UNBUFFERED, actions, flows, short};

/// Numbers of the messages.
mod kind {
    pub(super) const ROLE_REQUEST: u32 = 10;
    pub(super) const ROLE_REPLY: u32 = 11;
    pub(super) const SET_FLOW_FORMAT: u32 = 12;
    pub(super) const FLOW_MOD: u32 = 13;
    pub(super) const FLOW_REMOVED: u32 = 14;
    pub(super) const FLOW_MOD_TABLE_ID: u32 = 15;
    pub(super) const SET_PACKET_IN_FORMAT: u32 = 16;
    pub(super) const PACKET_IN: u32 = 17;
    pub(super) const SET_ASYNC_CONFIG: u32 = 19;
}

/// Header of the field that stands for the cookie, without and with a mask.
const COOKIE: u32 = 0x0001 << 16 | 30 << 9 | 8;
const COOKIE_MASKED: u32 = 0x0001 << 16 | 30 << 9 | 1 << 8 | 16;
/// Most bytes of a match.
const MAX_MATCH: usize = 8192;

/// Roles as Nicira numbers them, in the order of its numbers.
const ROLES: [u32; 3] = [role::EQUAL, role::MASTER, role::SLAVE];

/// Reads what follows the header of an experimenter's message.
pub(super) fn decode(reader: &mut Reader<'_>) -> Result<Body, OfError> {
    if reader.u32()? != NICIRA {
        return Err(OfError::RequestBadExperimenter);
    }
    let body = match reader.u32()? {
        kind::ROLE_REQUEST => Body::RoleRequest(decode_role(reader)?, 0),
        kind::ROLE_REPLY => Body::RoleReply(decode_role(reader)?, 0),
        kind::SET_FLOW_FORMAT => Body::FlowFormat(reader.u32()?),
        kind::FLOW_MOD => Body::FlowMod(decode_flow_mod(reader)?),
        kind::FLOW_REMOVED => Body::FlowRemoved(decode_flow_removed(reader)?),
        kind::FLOW_MOD_TABLE_ID => {
            let on = reader.u8()?;
            reader.skip(7)?;
            Body::FlowModTableId(on != 0)
        }
        kind::SET_PACKET_IN_FORMAT => Body::PacketInFormat(reader.u32()?),
        kind::PACKET_IN => decode_packet_in(reader)?,
        kind::SET_ASYNC_CONFIG => {
            let mut masks = [0; 6];
            for mask in &mut masks {
                *mask = reader.u32()?;
            }
            Body::SetAsync(masks)
        }
        _ => return Err(OfError::RequestBadExperimenterType),
    };
    if reader.left() == 0 { Ok(body) } else { Err(OfError::RequestBadLength) }
}

fn decode_role(reader: &mut Reader<'_>) -> Result<u32, OfError> {
    let number = reader.u32()? as usize;
    ROLES.get(number).copied().ok_or(OfError::RoleBadRole)
}

/// Writes what follows the header; `None` where there is no such message.
pub(super) fn encode(out: &mut Vec<u8>, body: &Body) -> Option<()> {
    let mut start = |kind: u32| {
        out.u32(NICIRA);
        out.u32(kind);
    };
    match body {
        Body::RoleRequest(role, _) | Body::RoleReply(role, _) => {
            let number = ROLES.iter().position(|known| known == role).unwrap_or(0);
            start(if matches!(body, Body::RoleRequest(..)) { kind::ROLE_REQUEST } else { kind::ROLE_REPLY });
            out.u32(number as u32);
        }
        Body::FlowFormat(format) => {
            start(kind::SET_FLOW_FORMAT);
            out.u32(*format);
        }
        Body::FlowModTableId(on) => {
            start(kind::FLOW_MOD_TABLE_ID);
            out.u8(u8::from(*on));
            out.zeros(7);
        }
        Body::PacketInFormat(format) => {
            start(kind::SET_PACKET_IN_FORMAT);
            out.u32(*format);
        }
        Body::SetAsync(masks) => {
            start(kind::SET_ASYNC_CONFIG);
            masks.iter().for_each(|&mask| out.u32(mask));
        }
        Body::FlowMod(flow_mod) => {
            start(kind::FLOW_MOD);
            encode_flow_mod(out, flow_mod);
        }
        Body::FlowRemoved(flow) => {
            start(kind::FLOW_REMOVED);
            encode_flow_removed(out, flow);
        }
        Body::PacketIn { .. } => {
            start(kind::PACKET_IN);
            encode_packet_in(out, body);
        }
        _ => return None,
    }
    Some(())
}

/// Reads a match of `length` bytes with its padding, and the cookie and mask that it may ask.
fn decode_match(reader: &mut Reader<'_>, length: usize) -> Result<(Match, u64, u64), OfError> {
    if length > MAX_MATCH {
        return Err(OfError::MatchBadLength);
    }
    let short = |_| OfError::MatchBadLength;
    let mut fields = reader.part(length, OfError::MatchBadLength).map_err(short)?;
    reader.skip((8 - length % 8) % 8).map_err(short)?;
    let (mut cookie, mut mask) = (0, 0);
    let matching = oxm::decode_fields_and(&mut fields, |header, fields| {
        match header {
            COOKIE => (cookie, mask) = (fields.u64()?, u64::MAX),
            COOKIE_MASKED => (cookie, mask) = (fields.u64()?, fields.u64()?),
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    Ok((matching, cookie & mask, mask))
}

/// Writes a match with its padding, after the length is written at `at`.
fn encode_match(out: &mut Vec<u8>, at: usize, matching: &Match, (cookie, mask): (u64, u64)) {
    let start = out.len();
    oxm::encode_nxm(out, matching);
    if mask == u64::MAX {
        out.u32(COOKIE);
        out.u64(cookie);
    } else if mask != 0 {
        out.u32(COOKIE_MASKED);
        out.u64(cookie & mask);
        out.u64(mask);
    }
    out.length_at(at, start);
    out.pad8(start);
}

fn decode_flow_mod(reader: &mut Reader<'_>) -> Result<FlowMod, OfError> {
    let cookie = reader.u64()?;
    let (command, table_id) = flows::command(reader.u16()?)?;
    let (idle_timeout, hard_timeout, priority) = (reader.u16()?, reader.u16()?, reader.u16()?);
    let (buffer_id, out_port, flags) = (reader.u32()?, from_16(reader.u16()?), flows::flags(reader.u16()?)?);
    let length = usize::from(reader.u16()?);
    reader.skip(6)?;
    let (matching, asked, cookie_mask) = decode_match(reader, length)?;
    // A new flow has its cookie in the message, and cannot ask for one besides.
    if command == Command::Add && cookie_mask != 0 {
        return Err(OfError::MatchBadField);
    }
    let mut rest = Reader::new(reader.rest(), OfError::ActionBadLength);
    let actions = actions::decode_actions(&mut rest, Some(&matching))?;
    // One message has both the cookie that is asked for and the new one; a deletion sets none.
    let new_cookie = flows::new_cookie(command, cookie);
    let cookie = if cookie_mask != 0 { asked } else { cookie };
    Ok(FlowMod {
        command,
        table_id,
        cookie,
        cookie_mask,
        new_cookie,
        idle_timeout,
        hard_timeout,
        priority,
        buffer_id,
        out_port,
        flags,
        matching,
        instructions: apply(actions),
        classic: true,
        ..FlowMod::default()
    })
}

fn encode_flow_mod(out: &mut Vec<u8>, flow_mod: &FlowMod) {
    let asked = (flow_mod.cookie, flow_mod.cookie_mask);
    // All ones say that changed flows keep their mark; where nothing is asked for, the mark is the new flow's.
    let kept = if asked.1 == 0 { asked.0 } else { u64::MAX };
    out.u64(flow_mod.new_cookie.unwrap_or(kept));
    out.u16(flows::command_word(flow_mod));
    out.u16(flow_mod.idle_timeout);
    out.u16(flow_mod.hard_timeout);
    out.u16(flow_mod.priority);
    out.u32(flow_mod.buffer_id);
    out.u16(short(flow_mod.out_port));
    out.u16(flow_mod.flags & 3);
    let at = out.len();
    out.zeros(8);
    encode_match(out, at, &flow_mod.matching, asked);
    flows::encode_instructions(out, &flow_mod.instructions, &flow_mod.matching);
}

fn decode_flow_removed(reader: &mut Reader<'_>) -> Result<FlowRemoved, OfError> {
    let (cookie, priority, reason) = (reader.u64()?, reader.u16()?, reader.u8()?);
    let table_id = reader.u8()?.saturating_sub(1);
    let (duration_ms, idle_timeout, length) = (reader.duration()?, reader.u16()?, usize::from(reader.u16()?));
    let (packets, bytes) = (reader.u64()?, reader.u64()?);
    let (matching, ..) = decode_match(reader, length)?;
    Ok(FlowRemoved {
        cookie,
        priority,
        reason,
        table_id,
        duration_ms,
        idle_timeout,
        hard_timeout: 0,
        packets,
        bytes,
        matching,
    })
}

fn encode_flow_removed(out: &mut Vec<u8>, flow: &FlowRemoved) {
    out.u64(flow.cookie);
    out.u16(flow.priority);
    out.u8(flow.reason);
    // Zero says that the table is not told.
    out.u8(flow.table_id.saturating_add(1));
    out.duration(flow.duration_ms);
    out.u16(flow.idle_timeout);
    let at = out.len();
    out.zeros(2);
    out.u64(flow.packets);
    out.u64(flow.bytes);
    encode_match(out, at, &flow.matching, (0, 0));
}

fn decode_packet_in(reader: &mut Reader<'_>) -> Result<Body, OfError> {
    reader.skip(4)?;
    let (total_len, reason, table_id, cookie) = (reader.u16()?, reader.u8()?, reader.u8()?, reader.u64()?);
    let length = usize::from(reader.u16()?);
    reader.skip(6)?;
    let (matching, ..) = decode_match(reader, length)?;
    reader.skip(2)?;
    Ok(Body::PacketIn { reason, table_id, cookie, total_len, matching, data: reader.rest().to_vec() })
}

fn encode_packet_in(out: &mut Vec<u8>, body: &Body) {
    let Body::PacketIn { reason, table_id, cookie, total_len, matching, data } = body else { return };
    out.u32(UNBUFFERED);
    out.u16(*total_len);
    out.u8(*reason);
    out.u8(*table_id);
    out.u64(*cookie);
    let at = out.len();
    out.zeros(8);
    encode_match(out, at, matching, (0, 0));
    out.zeros(2);
    put_frame(out, data);
}

/// Reads Nicira's statistics request: flows (0) or their sums (1).
pub(super) fn decode_request(reader: &mut Reader<'_>) -> Result<Request, OfError> {
    if reader.u32()? != NICIRA {
        return Err(OfError::RequestBadExperimenter);
    }
    let kind = reader.u32()?;
    reader.skip(4)?;
    if kind > 1 {
        return Err(OfError::RequestBadExperimenterType);
    }
    let (out_port, length, table_id) = (from_16(reader.u16()?), usize::from(reader.u16()?), reader.u8()?);
    reader.skip(3)?;
    let (matching, cookie, cookie_mask) = decode_match(reader, length)?;
    let filter = FlowFilter { table_id, out_port, out_group: u32::MAX, cookie, cookie_mask, matching };
    Ok(if kind == 0 { Request::Flow(filter) } else { Request::Aggregate(filter) })
}

/// Writes the same, after type and flags.
pub(super) fn encode_filter(out: &mut Vec<u8>, filter: &FlowFilter, sums: bool) {
    out.u32(NICIRA);
    out.u32(u32::from(sums));
    out.zeros(4);
    out.u16(short(filter.out_port));
    let at = out.len();
    out.zeros(2);
    out.u8(filter.table_id);
    out.zeros(3);
    encode_match(out, at, &filter.matching, (filter.cookie, filter.cookie_mask));
}

pub(super) fn encode_reply(reply: &Reply) -> Vec<Vec<u8>> {
    let (kind, items) = match reply {
        Reply::Flow(flows) => (0, flows.iter().map(encode_flow).collect()),
        Reply::Aggregate(packets, bytes, flows) => (1, vec![encode_aggregate(*packets, *bytes, *flows)]),
        _ => return Vec::new(),
    };
    parts(items, |more| {
        let mut out = Vec::with_capacity(16);
        out.u16(0xffff);
        out.u16(u16::from(more));
        out.u32(NICIRA);
        out.u32(kind);
        out.zeros(4);
        out
    })
}

/// Reads a reply, after type and flags.
pub(super) fn decode_reply(reader: &mut Reader<'_>) -> Result<Reply, OfError> {
    if reader.u32()? != NICIRA {
        return Err(OfError::RequestBadExperimenter);
    }
    let kind = reader.u32()?;
    reader.skip(4)?;
    Ok(match kind {
        0 => Reply::Flow(repeat(reader, decode_flow)?),
        1 => decode_aggregate(reader)?,
        _ => return Err(OfError::RequestBadExperimenterType),
    })
}

fn encode_flow(flow: &FlowStats) -> Vec<u8> {
    let mut out = Vec::new();
    out.u16(0);
    out.u8(flow.table_id);
    out.u8(0);
    out.duration(flow.duration_ms);
    out.u16(flow.priority);
    out.u16(flow.idle_timeout);
    out.u16(flow.hard_timeout);
    let at = out.len();
    // Ages since use and since change are told only where a peer asks for them (NXT_FLOW_AGE): zero says that they are not.
    out.zeros(6);
    out.u64(flow.cookie);
    out.u64(flow.packets);
    out.u64(flow.bytes);
    encode_match(&mut out, at, &flow.matching, (0, 0));
    flows::encode_instructions(&mut out, &flow.instructions, &flow.matching);
    out.length_at(0, 0);
    out
}

fn decode_flow(reader: &mut Reader<'_>) -> Result<FlowStats, OfError> {
    let length = usize::from(reader.u16()?).checked_sub(2).ok_or(OfError::RequestBadLength)?;
    let mut body = reader.part(length, OfError::RequestBadLength)?;
    let table_id = body.u8()?;
    body.skip(1)?;
    let duration_ms = body.duration()?;
    let (priority, idle_timeout, hard_timeout) = (body.u16()?, body.u16()?, body.u16()?);
    let length = usize::from(body.u16()?);
    body.skip(4)?;
    let (cookie, packets, bytes) = (body.u64()?, body.u64()?, body.u64()?);
    let (matching, ..) = decode_match(&mut body, length)?;
    let instructions = apply(actions::decode_actions(&mut body, Some(&matching))?);
    Ok(FlowStats {
        table_id,
        duration_ms,
        priority,
        idle_timeout,
        hard_timeout,
        flags: 0,
        cookie,
        packets,
        bytes,
        matching,
        instructions,
    })
}
