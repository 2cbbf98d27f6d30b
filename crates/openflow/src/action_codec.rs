//! Actions and instructions on the wire (OpenFlow 1.3.5 sections 7.2.4 and 7.2.5; Nicira's experimenter actions).

use heddle_flow::Field;
use heddle_flow::layout::VLAN_PRESENT;

use crate::action::{Action, Instruction};
use crate::bytes::{Put, Reader};
use crate::error::OfError;
use crate::message::NICIRA;
use crate::{oxm, port};

/// Nicira's input port, whose 16 bits number ports as OpenFlow 1.0 does.
const NXM_IN_PORT: u32 = 0x0000_0002;
/// Most actions of a list: what fits a message.
const MAX_ACTIONS: usize = 4096;

/// Reads actions up to the reader's end.
///
/// # Errors
/// The error that the specification names for an unknown type, a bad length or argument.
pub fn decode_actions(reader: &mut Reader<'_>) -> Result<Vec<Action>, OfError> {
    decode_list(reader, |kind, body| Ok(vec![decode_action(kind, body)?]))
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

fn decode_action(kind: u16, body: &mut Reader<'_>) -> Result<Action, OfError> {
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
        0xffff => return decode_nicira(body),
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

fn set_error(error: OfError) -> OfError {
    match error {
        OfError::MatchBadLength => OfError::ActionBadSetLength,
        OfError::MatchBadField => OfError::ActionBadSetType,
        _ => OfError::ActionBadSetArgument,
    }
}

/// A field that may be set.
fn set_field(field: Field, value: u128, mask: u128) -> Result<Action, OfError> {
    if !field.spec().writable {
        return Err(OfError::ActionBadSetType);
    }
    // A tag that is set is there; popping it is another action.
    if field == Field::VlanVid && mask & u128::from(VLAN_PRESENT) & !value != 0 {
        return Err(OfError::ActionBadSetArgument);
    }
    Ok(Action::SetField { field, value, mask })
}

/// Reads what follows type and length of an experimenter's action.
pub(crate) fn decode_nicira(body: &mut Reader<'_>) -> Result<Action, OfError> {
    if body.u32()? != NICIRA {
        return Err(OfError::ActionBadExperimenter);
    }
    let kind = body.u16()?;
    Ok(match kind {
        4 => {
            body.skip(2)?;
            Action::SetQueue(body.u32()?)
        }
        2 | 9 => {
            body.skip(if kind == 2 { 2 } else { 6 })?;
            let id = if kind == 2 { body.u32()?.into() } else { body.u64()? };
            return set_field(Field::TunnelId, id.into(), Field::TunnelId.spec().full_mask());
        }
        22 => {
            body.skip(6)?;
            let (value, mask) = (body.u64()?, body.u64()?);
            return set_field(Field::Metadata, (value & mask).into(), mask.into());
        }
        23 => match body.u16()? {
            eth_type @ (0x8847 | 0x8848) => Action::PushMpls(eth_type),
            _ => return Err(OfError::ActionBadArgument),
        },
        24 => Action::PopMpls(body.u16()?),
        25 => Action::SetMplsTtl(body.u8()?),
        26 => Action::DecMplsTtl,
        30 | 31 => {
            let field = if kind == 30 { Field::MplsLabel } else { Field::MplsTc };
            body.skip(if kind == 30 { 2 } else { 0 })?;
            let value = if kind == 30 { body.u32()? } else { body.u8()?.into() };
            if u128::from(value) & !field.spec().full_mask() != 0 {
                return Err(OfError::ActionBadSetArgument);
            }
            return set_field(field, value.into(), field.spec().full_mask());
        }
        1 => Action::Resubmit { port: nicira_port(body.u16()?), table: None },
        14 => {
            let (port, table) = (nicira_port(body.u16()?), body.u8()?);
            Action::Resubmit { port, table: (table != 0xff).then_some(table) }
        }
        8 => Action::Note(body.rest().to_vec()),
        33 => {
            body.skip(6)?;
            let (field, value, mask) = oxm::decode_entry(body).map_err(set_error)?;
            return set_field(field, value, mask);
        }
        6 => {
            let (n_bits, src_ofs, dst_ofs) = (body.u16()?, body.u16()?, body.u16()?);
            let (src, dst) = (oxm::from_header(body.u32()?)?, oxm::from_header(body.u32()?)?);
            check_bits(src, src_ofs, n_bits)?;
            check_bits(dst, dst_ofs, n_bits)?;
            if !dst.spec().writable {
                return Err(OfError::ActionBadSetArgument);
            }
            Action::Move { src, src_ofs, dst, dst_ofs, n_bits }
        }
        7 => {
            let place = body.u16()?;
            let (offset, n_bits) = (place >> 6, (place & 0x3f) + 1);
            let (header, value) = (body.u32()?, body.u64()?);
            if (header, place) == (NXM_IN_PORT, 15) {
                let number = u16::try_from(value).map_err(|_| OfError::ActionBadSetArgument)?;
                return set_field(Field::InPort, port::from_16(number).into(), u32::MAX.into());
            }
            let field = oxm::from_header(header)?;
            check_bits(field, offset, n_bits)?;
            let bits = (1u128 << n_bits) - 1;
            if u128::from(value) & !bits != 0 {
                return Err(OfError::ActionBadSetArgument);
            }
            return set_field(field, u128::from(value) << offset, bits << offset);
        }
        18 => Action::DecTtl,
        20 => {
            let (max_len, id, reason) = (body.u16()?, body.u16()?, body.u8()?);
            Action::Controller { max_len, reason, id }
        }
        _ => return Err(OfError::ActionBadExperimenterType),
    })
}

fn nicira_port(port: u16) -> Option<u32> {
    match port {
        0xfff8 => None,
        0xff00.. => Some(u32::from(port) | 0xffff_0000),
        _ => Some(u32::from(port)),
    }
}

/// That bits lie within a field.
///
/// # Errors
/// `OFPBAC_BAD_SET_ARGUMENT` if they do not.
pub fn check_bits(field: Field, offset: u16, n_bits: u16) -> Result<(), OfError> {
    let fits = n_bits != 0 && u32::from(offset) + u32::from(n_bits) <= u32::from(field.spec().bits);
    if fits { Ok(()) } else { Err(OfError::ActionBadSetArgument) }
}

/// Writes actions.
pub fn encode_actions(out: &mut Vec<u8>, actions: &[Action]) {
    for action in actions {
        let start = out.len();
        out.u32(0);
        let kind = encode_action(out, action);
        out.pad8(start);
        out[start..start + 2].copy_from_slice(&kind.to_be_bytes());
        out.length_at(start + 2, start);
    }
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
        _ => encode_nicira(out, action),
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

/// Nicira's `load` of adjoining bits, else of a field with a mask.
pub(crate) fn encode_load(out: &mut Vec<u8>, field: Field, value: u128, mask: u128) -> u16 {
    let (field, below) = oxm::numbered(field);
    let (value, mask) = (value << below, mask << below);
    out.u32(NICIRA);
    let number = u32::try_from(value).ok().and_then(port::to_16);
    if let (Field::InPort, 0xffff_ffff, Some(number)) = (field, mask, number) {
        out.u16(7);
        out.u16(15);
        out.u32(NXM_IN_PORT);
        out.u64(number.into());
        return 0xffff;
    }
    let (offset, n_bits) = (mask.trailing_zeros(), mask.count_ones());
    let adjoining = (1..=64).contains(&n_bits) && mask >> offset == (1u128 << n_bits) - 1;
    if !adjoining {
        out.u16(33);
        out.zeros(6);
        oxm::encode_entry(out, (field, value, mask));
        return 0xffff;
    }
    out.u16(7);
    out.u16((offset << 6 | (n_bits - 1)) as u16);
    out.u32(oxm::header(field));
    out.u64((value >> offset) as u64);
    0xffff
}

/// Writes what follows type and length of Nicira's actions; returns the type.
pub(crate) fn encode_nicira(out: &mut Vec<u8>, action: &Action) -> u16 {
    out.u32(NICIRA);
    match action {
        Action::DecTtl => out.u16(18),
        Action::SetQueue(queue) => {
            out.u16(4);
            out.zeros(2);
            out.u32(*queue);
        }
        Action::PushMpls(eth_type) => {
            out.u16(23);
            out.u16(*eth_type);
        }
        Action::PopMpls(eth_type) => {
            out.u16(24);
            out.u16(*eth_type);
        }
        Action::SetMplsTtl(ttl) => {
            out.u16(25);
            out.u8(*ttl);
        }
        Action::DecMplsTtl => out.u16(26),
        Action::Resubmit { port, table } => {
            out.u16(14);
            out.u16(port.map_or(0xfff8, |port| port as u16));
            out.u8(table.unwrap_or(0xff));
        }
        Action::Move { src, src_ofs, dst, dst_ofs, n_bits } => {
            let ((src, src_below), (dst, dst_below)) = (oxm::numbered(*src), oxm::numbered(*dst));
            out.u16(6);
            out.u16(*n_bits);
            out.u16(src_ofs + src_below);
            out.u16(dst_ofs + dst_below);
            out.u32(oxm::header(src));
            out.u32(oxm::header(dst));
        }
        Action::Controller { max_len, reason, id } => {
            out.u16(20);
            out.u16(*max_len);
            out.u16(*id);
            out.u8(*reason);
        }
        Action::Note(bytes) => {
            out.u16(8);
            out.extend_from_slice(bytes);
        }
        _ => {}
    }
    0xffff
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
