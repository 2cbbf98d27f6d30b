//! Changes of the flow tables, and flows that have gone (OpenFlow 1.0.1 sections 5.3.3 and 5.4.2 to OpenFlow 1.5.1 sections
//! 7.3.4.2 and 7.4.2; Nicira's forms).

use std::time::Duration;

use heddle_flow::Match;

use crate::action::Instruction;
use crate::bytes::{Put, Reader};
use crate::error::OfError;
use crate::message::NO_BUFFER;
use crate::version::{Form, Version};
use crate::{dialect, nxm, oxs, port};

/// Most bytes of a flow's match and instructions, so that a statistics reply can carry it: the header of a reply is larger
/// than that of the message that adds, and a match may be written in more bytes than it was read from.
const MAX_FLOW: usize = 60_000;
/// Bits of the fields that OpenFlow 1.0 may leave out.
const WILDCARDS_10: u32 = 0x3f_ffff;
/// A flow that is in force before a controller is connected (OpenFlow 1.0); Open vSwitch has none either.
const EMERGENCY: u16 = 4;

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

impl Command {
    /// Whether flows go.
    #[must_use]
    pub fn deletes(self) -> bool {
        matches!(self, Self::Delete | Self::DeleteStrict)
    }
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
    /// As OpenFlow 1.0 means it: actions that cannot apply to some packets do nothing to them.
    pub classic: bool,
    /// A change that finds no flow and asks for no mark adds one, as OpenFlow 1.0 and 1.1 have it.
    pub adds_missing: bool,
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
    /// How late it goes where tables must make room (OpenFlow 1.4).
    pub importance: u16,
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

    /// Flags that a version has.
    pub fn known_flags(version: Version) -> u16 {
        match version {
            Version::V1_0 | Version::V1_1 => Self::SEND_REMOVED | Self::CHECK_OVERLAP,
            Version::V1_2 => Self::SEND_REMOVED | Self::CHECK_OVERLAP | Self::RESET_COUNTS,
            _ => Self::KNOWN_FLAGS,
        }
    }

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
            adds_missing: false,
            idle_timeout: 0,
            hard_timeout: 0,
            priority: 0x8000,
            buffer_id: NO_BUFFER,
            out_port: port::ANY,
            out_group: u32::MAX,
            flags: 0,
            importance: 0,
            matching: Match::default(),
            instructions: Vec::new(),
        }
    }
}

/// A flow that has gone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FlowRemoved {
    /// Its mark.
    pub cookie: u64,
    /// Its priority.
    pub priority: u16,
    /// Why: 0 idle, 1 hard timeout, 2 deleted.
    pub reason: u8,
    /// Its table; 255 where the message does not say it.
    pub table_id: u8,
    /// How long it lived.
    pub duration: Duration,
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

fn command(number: u8) -> Result<Command, OfError> {
    Ok(match number {
        0 => Command::Add,
        1 => Command::Modify,
        2 => Command::ModifyStrict,
        3 => Command::Delete,
        4 => Command::DeleteStrict,
        _ => return Err(OfError::FlowModBadCommand),
    })
}

fn flags(flags: u16, version: Version, command: Command) -> Result<u16, OfError> {
    match version {
        Version::V1_0 if flags & EMERGENCY != 0 => Err(OfError::FlowModTableFull),
        _ if flags & !FlowMod::known_flags(version) != 0 => Err(OfError::FlowModBadFlags),
        // A flow that replaces another starts its counters anew, without being told to.
        Version::V1_0 | Version::V1_1 if command == Command::Add => Ok(flags | FlowMod::RESET_COUNTS),
        _ => Ok(flags),
    }
}

pub(crate) fn decode_flow_mod(reader: &mut Reader<'_>, form: Form) -> Result<FlowMod, OfError> {
    if reader.left() > MAX_FLOW {
        return Err(OfError::ActionTooMany);
    }
    if form.nicira || form.version == Version::V1_0 {
        return decode_classic(reader, form);
    }
    let version = form.version;
    let (cookie, cookie_mask, table_id) = (reader.u64()?, reader.u64()?, reader.u8()?);
    let command = command(reader.u8()?)?;
    let (idle_timeout, hard_timeout, priority) = (reader.u16()?, reader.u16()?, reader.u16()?);
    let (buffer_id, out_port, out_group) = (reader.u32()?, reader.u32()?, reader.u32()?);
    let flags = flags(reader.u16()?, version, command)?;
    let importance = reader.u16()?;
    let importance = if version >= Version::V1_4 { importance } else { 0 };
    let matching = dialect::decode_match(reader, version)?;
    let mut rest = Reader::new(reader.rest(), OfError::InstructionBadLength);
    let instructions = dialect::decode_instructions(&mut rest, version, Some(&matching))?;
    Ok(FlowMod {
        command,
        table_id,
        cookie,
        cookie_mask,
        new_cookie: None,
        classic: false,
        adds_missing: version == Version::V1_1,
        idle_timeout,
        hard_timeout,
        priority,
        buffer_id,
        out_port,
        out_group,
        flags,
        importance,
        matching,
        instructions,
    })
}

/// The mark that a change sets; all ones say that flows keep theirs.
fn new_cookie(command: Command, cookie: u64) -> Option<u64> {
    let changes = matches!(command, Command::Modify | Command::ModifyStrict);
    (changes && cookie != u64::MAX).then_some(cookie)
}

/// Reads OpenFlow 1.0's own form, or Nicira's.
fn decode_classic(reader: &mut Reader<'_>, form: Form) -> Result<FlowMod, OfError> {
    let version = form.version;
    let exact = !form.nicira && { *reader }.u32()? & WILDCARDS_10 == 0;
    let own = if form.nicira { None } else { Some(dialect::decode_match(reader, Version::V1_0)?) };
    let (cookie, word) = (reader.u64()?, reader.u16()?);
    // The table stands in the upper byte where the peers agreed on that.
    let (command, table_id) = (command(word as u8)?, (word >> 8) as u8);
    let (idle_timeout, hard_timeout, priority) = (reader.u16()?, reader.u16()?, reader.u16()?);
    let (buffer_id, out_port) = (reader.u32()?, port::from_16(reader.u16()?));
    let flags = flags(reader.u16()?, Version::V1_0, command)?;
    // A match without wildcards comes before all others (OpenFlow 1.0.1 section 3.4).
    let priority = if exact { u16::MAX } else { priority };
    let (matching, asked, cookie_mask) = match own {
        Some(matching) => (matching, 0, 0),
        None => {
            let length = usize::from(reader.u16()?);
            reader.skip(6)?;
            nxm::decode(reader, length)?
        }
    };
    // A new flow has its cookie in the message, and cannot ask for one besides.
    if command == Command::Add && cookie_mask != 0 {
        return Err(OfError::MatchBadField);
    }
    let mut rest = Reader::new(reader.rest(), OfError::ActionBadLength);
    let actions = dialect::decode_actions(&mut rest, version, Some(&matching))?;
    Ok(FlowMod {
        command,
        table_id,
        // One message has both the cookie that is asked for and the new one; a deletion sets none.
        cookie: if cookie_mask != 0 { asked } else { cookie },
        cookie_mask,
        new_cookie: new_cookie(command, cookie),
        idle_timeout,
        hard_timeout,
        priority,
        buffer_id,
        out_port,
        flags,
        matching,
        instructions: crate::action_codec::apply(actions),
        classic: true,
        adds_missing: true,
        ..FlowMod::default()
    })
}

pub(crate) fn encode_flow_mod(out: &mut Vec<u8>, form: Form, flow_mod: &FlowMod) {
    if form.nicira || form.version == Version::V1_0 {
        return encode_classic(out, form, flow_mod);
    }
    // What is added for want of a flow to change gets it.
    let added = flow_mod.new_cookie.filter(|_| form.version == Version::V1_1 && flow_mod.cookie_mask == 0);
    out.u64(added.unwrap_or(flow_mod.cookie));
    out.u64(flow_mod.cookie_mask);
    out.u8(flow_mod.table_id);
    out.u8(flow_mod.command as u8);
    out.u16(flow_mod.idle_timeout);
    out.u16(flow_mod.hard_timeout);
    out.u16(flow_mod.priority);
    out.u32(flow_mod.buffer_id);
    out.u32(flow_mod.out_port);
    out.u32(flow_mod.out_group);
    out.u16(flow_mod.flags & FlowMod::known_flags(form.version));
    out.u16(if form.version >= Version::V1_4 { flow_mod.importance } else { 0 });
    dialect::encode_match(out, form.version, &flow_mod.matching);
    dialect::encode_instructions(out, form.version, &flow_mod.instructions, &flow_mod.matching);
}

/// The mark that a message sets: all ones say that changed flows keep theirs.
fn written_cookie(flow_mod: &FlowMod) -> u64 {
    match flow_mod.command {
        Command::Modify | Command::ModifyStrict => flow_mod.new_cookie.unwrap_or(u64::MAX),
        Command::Add => flow_mod.cookie,
        // One that asks for a mark sets none.
        Command::Delete | Command::DeleteStrict => {
            if flow_mod.cookie_mask == 0 {
                flow_mod.cookie
            } else {
                u64::MAX
            }
        }
    }
}

fn encode_classic(out: &mut Vec<u8>, form: Form, flow_mod: &FlowMod) {
    let asked = (flow_mod.cookie, flow_mod.cookie_mask);
    if !form.nicira {
        dialect::encode_match(out, Version::V1_0, &flow_mod.matching);
    }
    out.u64(written_cookie(flow_mod));
    out.u16(u16::from(flow_mod.table_id) << 8 | flow_mod.command as u16);
    out.u16(flow_mod.idle_timeout);
    out.u16(flow_mod.hard_timeout);
    out.u16(flow_mod.priority);
    out.u32(flow_mod.buffer_id);
    port::encode_number(out, Version::V1_0, flow_mod.out_port);
    out.u16(flow_mod.flags & FlowMod::known_flags(Version::V1_0));
    if form.nicira {
        let at = out.len();
        out.zeros(8);
        nxm::encode(out, at, &flow_mod.matching, asked);
    }
    // Nicira's form has actions in every version.
    match form.version {
        Version::V1_0 => {
            dialect::encode_instructions(out, Version::V1_0, &flow_mod.instructions, &flow_mod.matching);
        }
        version => {
            for instruction in &flow_mod.instructions {
                if let Instruction::Apply(actions) = instruction {
                    dialect::encode_actions(out, version, actions, Some(&flow_mod.matching));
                }
            }
        }
    }
}

pub(crate) fn decode_flow_removed(reader: &mut Reader<'_>, form: Form) -> Result<FlowRemoved, OfError> {
    if form.nicira || form.version == Version::V1_0 {
        return decode_classic_removed(reader, form);
    }
    if form.version >= Version::V1_5 {
        return decode_removed_15(reader);
    }
    let (cookie, priority, reason, table_id) = (reader.u64()?, reader.u16()?, reader.u8()?, reader.u8()?);
    let (duration, idle_timeout, hard_timeout) = (reader.duration()?, reader.u16()?, reader.u16()?);
    let hard_timeout = if form.version >= Version::V1_2 { hard_timeout } else { 0 };
    let (packets, bytes) = (reader.u64()?, reader.u64()?);
    let matching = dialect::decode_match(reader, form.version)?;
    Ok(FlowRemoved {
        cookie,
        priority,
        reason,
        table_id,
        duration,
        idle_timeout,
        hard_timeout,
        packets,
        bytes,
        matching,
    })
}

fn decode_removed_15(reader: &mut Reader<'_>) -> Result<FlowRemoved, OfError> {
    let (table_id, reason, priority) = (reader.u8()?, reader.u8()?, reader.u16()?);
    let (idle_timeout, hard_timeout, cookie) = (reader.u16()?, reader.u16()?, reader.u64()?);
    let matching = dialect::decode_match(reader, Version::V1_5)?;
    let statistics = oxs::decode(reader)?;
    Ok(FlowRemoved {
        cookie,
        priority,
        reason,
        table_id,
        duration: statistics.duration.unwrap_or_default(),
        idle_timeout,
        hard_timeout,
        packets: statistics.packets.unwrap_or(u64::MAX),
        bytes: statistics.bytes.unwrap_or(u64::MAX),
        matching,
    })
}

fn decode_classic_removed(reader: &mut Reader<'_>, form: Form) -> Result<FlowRemoved, OfError> {
    let own = if form.nicira { None } else { Some(dialect::decode_match(reader, Version::V1_0)?) };
    let (cookie, priority, reason, table_id) = (reader.u64()?, reader.u16()?, reader.u8()?, reader.u8()?);
    let (duration, idle_timeout, length) = (reader.duration()?, reader.u16()?, reader.u16()?);
    let (packets, bytes) = (reader.u64()?, reader.u64()?);
    let matching = match own {
        Some(matching) => matching,
        None => nxm::decode(reader, length.into())?.0,
    };
    // Nicira's byte is one more than the table, so that zero says nothing; OpenFlow 1.0 has padding there.
    let table_id = if form.nicira { table_id.wrapping_sub(1) } else { FlowMod::ALL_TABLES };
    Ok(FlowRemoved {
        cookie,
        priority,
        reason,
        table_id,
        duration,
        idle_timeout,
        hard_timeout: 0,
        packets,
        bytes,
        matching,
    })
}

pub(crate) fn encode_flow_removed(out: &mut Vec<u8>, form: Form, flow: &FlowRemoved) {
    let version = form.version;
    let classic = form.nicira || version == Version::V1_0;
    if version >= Version::V1_5 && !classic {
        out.u8(flow.table_id);
        out.u8(flow.reason);
        out.u16(flow.priority);
        out.u16(flow.idle_timeout);
        out.u16(flow.hard_timeout);
        out.u64(flow.cookie);
        dialect::encode_match(out, version, &flow.matching);
        let statistics = oxs::Statistics {
            duration: Some(flow.duration),
            packets: Some(flow.packets),
            bytes: Some(flow.bytes),
            ..oxs::Statistics::default()
        };
        oxs::encode(out, &statistics);
        return;
    }
    if classic && !form.nicira {
        dialect::encode_match(out, version, &flow.matching);
    }
    out.u64(flow.cookie);
    out.u16(flow.priority);
    out.u8(flow.reason);
    out.u8(match (form.nicira, version) {
        (true, _) => flow.table_id.wrapping_add(1),
        (false, Version::V1_0) => 0,
        _ => flow.table_id,
    });
    out.duration(flow.duration);
    out.u16(flow.idle_timeout);
    let at = out.len();
    out.u16(if !classic && version >= Version::V1_2 { flow.hard_timeout } else { 0 });
    out.u64(flow.packets);
    out.u64(flow.bytes);
    if form.nicira {
        nxm::encode(out, at, &flow.matching, (0, 0));
    } else if !classic {
        dialect::encode_match(out, version, &flow.matching);
    }
}
