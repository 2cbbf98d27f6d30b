//! Changes of the flow tables, and flows that have gone (OpenFlow 1.3.5 sections 7.3.4.1 and 7.4.2).

use heddle_flow::Match;

use crate::action::Instruction;
use crate::action_codec::{decode_instructions, encode_instructions};
use crate::bytes::{Put, Reader};
use crate::error::OfError;
use crate::message::NO_BUFFER;
use crate::oxm::{decode_match, encode_match};

/// Most bytes of a flow's match and instructions, so that a statistics reply can carry it: the header of a reply is larger
/// than that of the message that adds, and a match may be written in more bytes than it was read from.
const MAX_FLOW: usize = 60_000;

/// What a flow-mod does, numbered as on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
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
    /// The mark that changed flows get; they keep theirs without it, as OpenFlow 1.1 and later have it.
    pub new_cookie: Option<u64>,
    /// As OpenFlow 1.0 means it: a flow that replaces another starts its counters anew, a change that finds no flow adds one, and
    /// actions that cannot apply to some packets do nothing to them.
    pub classic: bool,
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
    /// Its packets need not be counted; they are all the same.
    pub const NO_PACKET_COUNTS: u16 = 8;
    /// Its bytes need not be counted; they are all the same.
    pub const NO_BYTE_COUNTS: u16 = 16;
    /// Flags that OpenFlow 1.3 has.
    pub const KNOWN_FLAGS: u16 = 0x1f;
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
            new_cookie: None,
            classic: false,
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

pub(crate) fn decode_flow_mod(reader: &mut Reader<'_>) -> Result<FlowMod, OfError> {
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
    if flags & !FlowMod::KNOWN_FLAGS != 0 {
        return Err(OfError::FlowModBadFlags);
    }
    reader.skip(2)?;
    if reader.left() > MAX_FLOW {
        return Err(OfError::ActionTooMany);
    }
    let matching = decode_match(reader)?;
    let mut rest = Reader::new(reader.rest(), OfError::InstructionBadLength);
    let instructions = decode_instructions(&mut rest)?;
    Ok(FlowMod {
        command,
        table_id,
        cookie,
        cookie_mask,
        new_cookie: None,
        classic: false,
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

pub(crate) fn decode_flow_removed(reader: &mut Reader<'_>) -> Result<FlowRemoved, OfError> {
    let (cookie, priority, reason, table_id) = (reader.u64()?, reader.u16()?, reader.u8()?, reader.u8()?);
    let duration_ms = reader.duration()?;
    let (idle_timeout, hard_timeout) = (reader.u16()?, reader.u16()?);
    let (packets, bytes) = (reader.u64()?, reader.u64()?);
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

pub(crate) fn encode_flow_removed(out: &mut Vec<u8>, flow: &FlowRemoved) {
    out.u64(flow.cookie);
    out.u16(flow.priority);
    out.u8(flow.reason);
    out.u8(flow.table_id);
    out.duration(flow.duration_ms);
    out.u16(flow.idle_timeout);
    out.u16(flow.hard_timeout);
    out.u64(flow.packets);
    out.u64(flow.bytes);
    encode_match(out, &flow.matching);
}

pub(crate) fn encode_flow_mod(out: &mut Vec<u8>, flow_mod: &FlowMod) {
    out.u64(flow_mod.cookie);
    out.u64(flow_mod.cookie_mask);
    out.u8(flow_mod.table_id);
    out.u8(flow_mod.command as u8);
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
