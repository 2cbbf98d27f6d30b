//! Flow-mods, flows that have gone and packets for the controller in OpenFlow 1.0.1 (sections 5.3.3, 5.4.1 and 5.4.2).

use heddle_flow::{Field, Match};

use crate::action::Instruction;
use crate::action_codec::apply;
use crate::bytes::{Put, Reader};
use crate::error::OfError;
use crate::flow_mod::{Command, FlowMod, FlowRemoved};
use crate::message::{Body, put_frame};
use crate::port::from_16;

use super::{UNBUFFERED, actions, matching, short};

/// A flow that is in force before a controller is connected; Open vSwitch has none either.
const EMERGENCY: u16 = 4;

/// The command of a flow-mod, and the table in its upper byte where the peers agreed on that.
pub(super) fn command(word: u16) -> Result<(Command, u8), OfError> {
    let command = match word & 0xff {
        0 => Command::Add,
        1 => Command::Modify,
        2 => Command::ModifyStrict,
        3 => Command::Delete,
        4 => Command::DeleteStrict,
        _ => return Err(OfError::FlowModBadCommand),
    };
    Ok((command, (word >> 8) as u8))
}

/// The mark that a change sets; all ones say that flows keep theirs.
pub(super) fn new_cookie(command: Command, cookie: u64) -> Option<u64> {
    let changes = matches!(command, Command::Modify | Command::ModifyStrict);
    (changes && cookie != u64::MAX).then_some(cookie)
}

/// As [`command`], the other way round.
pub(super) fn command_word(flow_mod: &FlowMod) -> u16 {
    u16::from(flow_mod.table_id) << 8 | flow_mod.command as u16
}

/// The flags that the versions share.
pub(super) fn flags(flags: u16) -> Result<u16, OfError> {
    match flags {
        _ if flags & EMERGENCY != 0 => Err(OfError::FlowModTableFull),
        _ if flags > EMERGENCY => Err(OfError::FlowModBadFlags),
        _ => Ok(flags),
    }
}

pub(super) fn decode_flow_mod(reader: &mut Reader<'_>) -> Result<FlowMod, OfError> {
    let (matching, cookie) = (matching::decode(reader)?, reader.u64()?);
    let (command, table_id) = command(reader.u16()?)?;
    let (idle_timeout, hard_timeout, priority) = (reader.u16()?, reader.u16()?, reader.u16()?);
    let (buffer_id, out_port, flags) = (reader.u32()?, from_16(reader.u16()?), flags(reader.u16()?)?);
    let mut rest = Reader::new(reader.rest(), OfError::ActionBadLength);
    let actions = actions::decode_actions(&mut rest, Some(&matching))?;
    Ok(FlowMod {
        command,
        table_id,
        cookie,
        new_cookie: new_cookie(command, cookie),
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

pub(super) fn encode_flow_mod(out: &mut Vec<u8>, flow_mod: &FlowMod) {
    matching::encode(out, &flow_mod.matching);
    out.u64(flow_mod.cookie);
    out.u16(command_word(flow_mod));
    out.u16(flow_mod.idle_timeout);
    out.u16(flow_mod.hard_timeout);
    out.u16(flow_mod.priority);
    out.u32(flow_mod.buffer_id);
    out.u16(short(flow_mod.out_port));
    out.u16(flow_mod.flags & 3);
    encode_instructions(out, &flow_mod.instructions, &flow_mod.matching);
}

/// Instructions as actions: the version has only these. What no action can say (an action set, a meter) is left out.
pub(super) fn encode_instructions(out: &mut Vec<u8>, instructions: &[Instruction], matching: &Match) {
    for instruction in instructions {
        match instruction {
            Instruction::Apply(list) => actions::encode_actions(out, list, Some(matching)),
            Instruction::GotoTable(table) => actions::encode_goto(out, *table),
            Instruction::WriteMetadata { value, mask } => actions::encode_metadata(out, *value, *mask),
            Instruction::Write(_) | Instruction::Clear | Instruction::Meter(_) => {}
        }
    }
}

pub(super) fn decode_flow_removed(reader: &mut Reader<'_>) -> Result<FlowRemoved, OfError> {
    let (matching, cookie, priority) = (matching::decode(reader)?, reader.u64()?, reader.u16()?);
    let (reason, table_id) = (reader.u8()?, reader.u8()?);
    let (duration_ms, idle_timeout) = (reader.duration()?, reader.u16()?);
    reader.skip(2)?;
    let (packets, bytes) = (reader.u64()?, reader.u64()?);
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

pub(super) fn encode_flow_removed(out: &mut Vec<u8>, flow: &FlowRemoved) {
    matching::encode(out, &flow.matching);
    out.u64(flow.cookie);
    out.u16(flow.priority);
    out.u8(flow.reason);
    // Nicira's extension of table ids says the table here; without it, the byte is padding.
    out.u8(flow.table_id);
    out.duration(flow.duration_ms);
    out.u16(flow.idle_timeout);
    out.zeros(2);
    out.u64(flow.packets);
    out.u64(flow.bytes);
}

pub(super) fn decode_packet_in(reader: &mut Reader<'_>) -> Result<Body, OfError> {
    reader.skip(4)?;
    let (total_len, in_port, reason) = (reader.u16()?, from_16(reader.u16()?), reader.u8()?);
    reader.skip(1)?;
    let mut matching = Match::default();
    matching.set(Field::InPort, in_port.into());
    let data = reader.rest().to_vec();
    Ok(Body::PacketIn { reason, table_id: 0, cookie: u64::MAX, total_len, matching, data })
}

pub(super) fn encode_packet_in(out: &mut Vec<u8>, body: &Body) {
    let Body::PacketIn { reason, total_len, matching, data, .. } = body else { return };
    out.u32(UNBUFFERED);
    out.u16(*total_len);
    out.u16(short(matching.get(Field::InPort).0 as u32));
    out.u8(*reason);
    out.zeros(1);
    put_frame(out, data);
}
