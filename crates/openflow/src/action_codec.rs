//! Actions and instructions on the wire (OpenFlow 1.3.5 sections 7.2.4 and 7.2.5; Nicira's experimenter actions).

mod learn;
mod nicira;

use heddle_flow::Field;
use heddle_flow::layout::VLAN_PRESENT;

use crate::action::{Action, Bits, Instruction};
use crate::bytes::{Put, Reader};
use crate::error::OfError;
use crate::{oxm, port};

pub(crate) use nicira::{as_load, decode_nicira, encode_load, encode_nicira};

/// Most actions of a list: what fits a message.
const MAX_ACTIONS: usize = 4096;
/// Lists of actions within each other; deeper ones would only serve to exhaust the stack.
pub(crate) const MAX_NESTED: u8 = 32;

/// Reads actions up to the reader's end.
///
/// # Errors
/// The error that the specification names for an unknown type, a bad length or argument.
pub fn decode_actions(reader: &mut Reader<'_>) -> Result<Vec<Action>, OfError> {
    decode_nested(reader, 0)
}

fn decode_nested(reader: &mut Reader<'_>, depth: u8) -> Result<Vec<Action>, OfError> {
    if depth > MAX_NESTED {
        return Err(OfError::ActionTooMany);
    }
    decode_list(reader, |kind, body| Ok(vec![decode_action(kind, body, depth)?]))
}

/// Reads actions up to the reader's end, each by `one`, which gets its type and what follows its length.
///
/// # Errors
/// As `one`; a bad length, or too many actions.
pub(crate) fn decode_list(
    reader: &mut Reader<'_>,
    one: impl Fn(u16, &mut Reader<'_>) -> Result<Vec<Action>, OfError>,
) -> Result<Vec<Action>, OfError> {
    let mut actions = Vec::new();
    while reader.left() != 0 {
        let mut header = *reader;
        let (kind, length) = (header.u16()?, usize::from(header.u16()?));
        if length < 8 || length % 8 != 0 {
            return Err(OfError::ActionBadLength);
        }
        let mut body = reader.part(length, OfError::ActionBadLength)?;
        body.skip(4)?;
        actions.extend(one(kind, &mut body)?);
        // What is left can only be padding up to a multiple of eight bytes.
        if body.left() >= 8 {
            return Err(OfError::ActionBadLength);
        }
        if actions.len() > MAX_ACTIONS {
            return Err(OfError::ActionTooMany);
        }
    }
    Ok(actions)
}

fn decode_action(kind: u16, body: &mut Reader<'_>, depth: u8) -> Result<Action, OfError> {
    Ok(match kind {
        0 => {
            let (port, max_len) = (body.u32()?, body.u16()?);
            if port == 0 || port == port::ANY || (port > port::MAX && port < port::IN_PORT) {
                return Err(OfError::ActionBadOutPort);
            }
            Action::Output { port, max_len }
        }
        11 => Action::CopyTtlOut,
        12 => Action::CopyTtlIn,
        15 => Action::SetMplsTtl(body.u8()?),
        16 => Action::DecMplsTtl,
        17 => match body.u16()? {
            tpid @ (0x8100 | 0x88a8) => Action::PushVlan(tpid),
            _ => return Err(OfError::ActionBadArgument),
        },
        18 => Action::PopVlan,
        19 => match body.u16()? {
            eth_type @ (0x8847 | 0x8848) => Action::PushMpls(eth_type),
            _ => return Err(OfError::ActionBadArgument),
        },
        20 => Action::PopMpls(body.u16()?),
        21 => Action::SetQueue(body.u32()?),
        22 => match body.u32()? {
            group if group <= crate::group::GroupMod::MAX => Action::Group(group),
            _ => return Err(OfError::ActionBadOutGroup),
        },
        23 => Action::SetTtl(body.u8()?),
        24 => Action::DecTtl,
        25 => decode_set_field(body)?,
        26 => match body.u16()? {
            tpid @ heddle_wire::ethertype::PBB => Action::PushPbb(tpid),
            _ => return Err(OfError::ActionBadArgument),
        },
        27 => Action::PopPbb,
        0xffff => return decode_nicira(body, &mut |inner| decode_nested(inner, depth + 1)),
        _ => return Err(OfError::ActionBadType),
    })
}

fn decode_set_field(body: &mut Reader<'_>) -> Result<Action, OfError> {
    let mut header = *body;
    header.skip(2)?;
    if header.u8()? & 1 != 0 {
        return Err(OfError::ActionBadSetMask); // A mask came with OpenFlow 1.5.
    }
    let (field, value, mask) = oxm::decode_entry(body).map_err(set_error)?;
    if field == Field::InPort {
        return Err(OfError::ActionBadSetType); // It is no header field (section 7.2.5.7); Nicira's `load` sets it.
    }
    if body.rest().iter().any(|&byte| byte != 0) {
        return Err(OfError::ActionBadSetArgument);
    }
    set_field(field, value, mask)
}

pub(crate) fn set_error(error: OfError) -> OfError {
    match error {
        OfError::MatchBadLength => OfError::ActionBadSetLength,
        OfError::MatchBadField => OfError::ActionBadSetType,
        _ => OfError::ActionBadSetArgument,
    }
}

/// A field that may be set.
pub(crate) fn set_field(field: Field, value: u128, mask: u128) -> Result<Action, OfError> {
    if !field.spec().writable {
        return Err(OfError::ActionBadSetType);
    }
    // A tag that is set is there; popping it is another action.
    if field == Field::VlanVid && mask & u128::from(VLAN_PRESENT) & !value != 0 {
        return Err(OfError::ActionBadSetArgument);
    }
    Ok(Action::SetField { field, value, mask })
}

/// That bits lie within a field.
///
/// # Errors
/// `OFPBAC_BAD_SET_ARGUMENT` if they do not.
pub(crate) fn bits(field: Field, offset: u16, count: u16) -> Result<Bits, OfError> {
    let fits = count != 0 && u32::from(offset) + u32::from(count) <= u32::from(field.spec().bits);
    if fits { Ok(Bits { field, offset, count }) } else { Err(OfError::ActionBadSetArgument) }
}

/// The same for bits that an action may change.
///
/// # Errors
/// As [`bits`], and where the field cannot be set.
pub(crate) fn writable(bits: Bits) -> Result<Bits, OfError> {
    if bits.field.spec().writable { Ok(bits) } else { Err(OfError::ActionBadSetArgument) }
}

/// Writes actions.
pub fn encode_actions(out: &mut Vec<u8>, actions: &[Action]) {
    for action in actions {
        if let Action::Enqueue { port, queue } = *action {
            // Later versions have the three that make it up.
            encode_actions(
                out,
                &[Action::SetQueue(queue), Action::Output { port, max_len: 0 }, Action::PopQueue],
            );
            continue;
        }
        put(out, |out| encode_action(out, action));
    }
}

/// Writes type and length around what an action says.
pub(crate) fn put(out: &mut Vec<u8>, action: impl FnOnce(&mut Vec<u8>) -> u16) {
    let start = out.len();
    out.u32(0);
    let kind = action(out);
    out.pad8(start);
    out[start..start + 2].copy_from_slice(&kind.to_be_bytes());
    out.length_at(start + 2, start);
}

/// Writes what follows type and length; returns the type.
fn encode_action(out: &mut Vec<u8>, action: &Action) -> u16 {
    match action {
        Action::Output { port, max_len } => {
            out.u32(*port);
            out.u16(*max_len);
            0
        }
        Action::CopyTtlOut => 11,
        Action::CopyTtlIn => 12,
        Action::SetMplsTtl(ttl) => {
            out.u8(*ttl);
            15
        }
        Action::DecMplsTtl => 16,
        Action::PushVlan(tpid) => {
            out.u16(*tpid);
            17
        }
        Action::PopVlan => 18,
        Action::PushMpls(eth_type) => {
            out.u16(*eth_type);
            19
        }
        Action::PopMpls(eth_type) => {
            out.u16(*eth_type);
            20
        }
        Action::SetQueue(queue) => {
            out.u32(*queue);
            21
        }
        Action::Group(group) => {
            out.u32(*group);
            22
        }
        Action::SetTtl(ttl) => {
            out.u8(*ttl);
            23
        }
        Action::DecTtl => 24,
        Action::SetField { field, value, mask } => encode_set(out, *field, *value, *mask),
        Action::PushPbb(tpid) => {
            out.u16(*tpid);
            26
        }
        Action::PopPbb => 27,
        _ => encode_nicira(out, action, encode_actions),
    }
}

/// `set_field` where the whole field is set, Nicira's `load` where some adjoining bits are, else Nicira's `load` with
/// a mask. The ToS byte has no number among OpenFlow's fields, and with Nicira's stands for DSCP alone; the input port has
/// one, but OpenFlow's own action may not set it.
fn encode_set(out: &mut Vec<u8>, field: Field, value: u128, mask: u128) -> u16 {
    if oxm::numbered(field) == (field, 0)
        && mask == field.spec().full_mask()
        && !matches!(field, Field::NwTos | Field::InPort)
    {
        oxm::encode_entry(out, (field, value, mask));
        return 25;
    }
    encode_load(out, field, value, mask)
}

/// The instructions of a flow that has only actions.
pub(crate) fn apply(actions: Vec<Action>) -> Vec<Instruction> {
    if actions.is_empty() { Vec::new() } else { vec![Instruction::Apply(actions)] }
}

/// Reads instructions up to the reader's end.
///
/// # Errors
/// The error that the specification names for an unknown type, a bad length, or one that comes twice.
pub fn decode_instructions(reader: &mut Reader<'_>) -> Result<Vec<Instruction>, OfError> {
    let mut instructions: Vec<Instruction> = Vec::new();
    while reader.left() != 0 {
        let mut header = *reader;
        let (kind, length) = (header.u16()?, usize::from(header.u16()?));
        if length < 8 || length % 8 != 0 {
            return Err(OfError::InstructionBadLength);
        }
        let mut body = reader.part(length, OfError::InstructionBadLength)?;
        body.skip(4)?;
        let instruction = decode_instruction(kind, &mut body)?;
        if body.left() != 0 {
            return Err(OfError::InstructionBadLength);
        }
        let same =
            |other: &Instruction| std::mem::discriminant(other) == std::mem::discriminant(&instruction);
        if instructions.iter().any(same) {
            return Err(OfError::InstructionDuplicate);
        }
        instructions.push(instruction);
    }
    instructions.sort_by_key(order);
    Ok(instructions)
}

fn decode_instruction(kind: u16, body: &mut Reader<'_>) -> Result<Instruction, OfError> {
    Ok(match kind {
        1 => {
            let table = body.u8()?;
            body.skip(3)?;
            Instruction::GotoTable(table)
        }
        2 => {
            body.skip(4)?;
            Instruction::WriteMetadata { value: body.u64()?, mask: body.u64()? }
        }
        3 | 4 => {
            body.skip(4)?;
            let mut rest = Reader::new(body.rest(), OfError::ActionBadLength);
            let actions = decode_actions(&mut rest)?;
            if kind == 3 { Instruction::Write(actions) } else { Instruction::Apply(actions) }
        }
        5 => {
            body.skip(4)?;
            Instruction::Clear
        }
        6 => Instruction::Meter(body.u32()?),
        0xffff => return Err(OfError::InstructionBadExperimenter),
        _ => return Err(OfError::InstructionUnknown),
    })
}

/// The order in which instructions run (OpenFlow 1.3.5 section 5.9).
pub fn order(instruction: &Instruction) -> u8 {
    match instruction {
        Instruction::Meter(_) => 0,
        Instruction::Apply(_) => 1,
        Instruction::Clear => 2,
        Instruction::Write(_) => 3,
        Instruction::WriteMetadata { .. } => 4,
        Instruction::GotoTable(_) => 5,
    }
}

/// Writes instructions.
pub fn encode_instructions(out: &mut Vec<u8>, instructions: &[Instruction]) {
    for instruction in instructions {
        let start = out.len();
        out.u32(0);
        let kind: u16 = match instruction {
            Instruction::GotoTable(table) => {
                out.u8(*table);
                1
            }
            Instruction::WriteMetadata { value, mask } => {
                out.zeros(4);
                out.u64(*value);
                out.u64(*mask);
                2
            }
            Instruction::Write(actions) => {
                out.zeros(4);
                encode_actions(out, actions);
                3
            }
            Instruction::Apply(actions) => {
                out.zeros(4);
                encode_actions(out, actions);
                4
            }
            Instruction::Clear => {
                out.zeros(4);
                5
            }
            Instruction::Meter(meter) => {
                out.u32(*meter);
                6
            }
        };
        out.pad8(start);
        out[start..start + 2].copy_from_slice(&kind.to_be_bytes());
        out.length_at(start + 2, start);
    }
}
