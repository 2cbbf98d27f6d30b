//! Actions of OpenFlow 1.1.0 (section A.2.5). Those numbered from 11 on are later versions' too; what the version has none for,
//! Nicira's say.

use heddle_flow::layout::VLAN_PRESENT;
use heddle_flow::{Field, Match};

use crate::action::{Action, Instruction};
use crate::action_codec::{self, decode_list};
use crate::bytes::{Put, Reader};
use crate::error::OfError;

/// Actions that set a whole field: their type, the field, and bytes of the value.
const SETS: [(u16, Field, usize); 9] = [
    (1, Field::VlanVid, 2),
    (2, Field::VlanPcp, 1),
    (3, Field::EthSrc, 6),
    (4, Field::EthDst, 6),
    (5, Field::Ipv4Src, 4),
    (6, Field::Ipv4Dst, 4),
    (8, Field::NwEcn, 1),
    (13, Field::MplsLabel, 4),
    (14, Field::MplsTc, 1),
];
/// Type of the action that sets the upper six bits of the type of service.
const SET_TOS: u16 = 7;
/// Types of the actions that set the transport's ports, and the fields that these may be.
const SET_PORTS: [(u16, [Field; 3]); 2] = [
    (9, [Field::TcpSrc, Field::UdpSrc, Field::SctpSrc]),
    (10, [Field::TcpDst, Field::UdpDst, Field::SctpDst]),
];
/// Type of a later version's action that this one has not.
const SET_FIELD: u16 = 25;

/// Reads actions up to the reader's end. `matching` says which packets they are for, where it is known.
///
/// # Errors
/// The error that the specification names for an unknown type, a bad length or argument.
pub(crate) fn decode(reader: &mut Reader<'_>, matching: Option<&Match>) -> Result<Vec<Action>, OfError> {
    decode_list(reader, |kind, body| decode_action(kind, body, matching))
}

fn whole(field: Field, value: u128) -> Action {
    Action::SetField { field, value, mask: field.spec().full_mask() }
}

fn decode_action(kind: u16, body: &mut Reader<'_>, matching: Option<&Match>) -> Result<Vec<Action>, OfError> {
    if let Some((_, field, width)) = SETS.iter().find(|row| row.0 == kind) {
        let value = body.take(*width)?.iter().fold(0, |value, &byte| value << 8 | u128::from(byte));
        // What follows an Ethernet address is more than padding to eight bytes.
        body.rest();
        let (limit, value) = match field {
            Field::VlanVid => (0xfff, value | u128::from(VLAN_PRESENT)),
            _ => (field.spec().full_mask(), value),
        };
        if value & !(limit | u128::from(VLAN_PRESENT)) != 0 || (*field != Field::VlanVid && value > limit) {
            return Err(OfError::ActionBadArgument);
        }
        return Ok(vec![whole(*field, value)]);
    }
    if kind == SET_TOS {
        return match body.u8()? {
            tos if tos & 3 == 0 => Ok(vec![whole(Field::IpDscp, (tos >> 2).into())]),
            _ => Err(OfError::ActionBadArgument),
        };
    }
    if let Some((_, fields)) = SET_PORTS.iter().find(|row| row.0 == kind) {
        let value = body.u16()?;
        let is = |field: &&Field| matching.is_some_and(|matching| matching.satisfies(**field));
        let known = fields.iter().find(is).map_or(&fields[..], std::slice::from_ref);
        return Ok(known.iter().map(|field| whole(*field, value.into())).collect());
    }
    if kind == SET_FIELD {
        return Err(OfError::ActionBadType);
    }
    // The others are the same: they are written anew, and read as later versions do.
    let rest = body.rest();
    let mut bytes = Vec::with_capacity(rest.len() + 4);
    bytes.u16(kind);
    bytes.u16((rest.len() + 4) as u16);
    bytes.extend_from_slice(rest);
    action_codec::decode_actions(&mut Reader::new(&bytes, OfError::ActionBadLength))
}

/// Writes actions. `matching` says which packets they are for, where it is known.
pub(crate) fn encode(out: &mut Vec<u8>, mut actions: &[Action], matching: Option<&Match>) {
    while let Some((action, rest)) = actions.split_first() {
        actions = rest;
        let start = out.len();
        let known = |field: &Field| matching.is_some_and(|matching| matching.satisfies(*field));
        if let &Action::SetField { field, value, mask } = action
            && mask == field.spec().full_mask()
        {
            let bytes = value.to_be_bytes();
            if let Some((kind, _, width)) = SETS.iter().find(|row| row.1 == field) {
                out.u16(*kind);
                out.u16(if *width == 6 { 16 } else { 8 });
                let vid = if field == Field::VlanVid { value & 0xfff } else { value };
                out.extend_from_slice(&vid.to_be_bytes()[16 - width..]);
                out.pad8(start);
                continue;
            }
            if field == Field::IpDscp {
                out.u16(SET_TOS);
                out.u16(8);
                out.u8(bytes[15] << 2);
                out.pad8(start);
                continue;
            }
            let ports = SET_PORTS.iter().find(|row| row.1.contains(&field));
            if let Some((kind, fields)) = ports {
                // One action stands for three where the protocol is not known.
                let all: Vec<Action> = fields.iter().map(|field| whole(*field, value)).collect();
                let three = rest.len() >= 2 && action == &all[0] && rest[..2] == all[1..];
                if known(&field) || three {
                    actions = if known(&field) { rest } else { &rest[2..] };
                    out.u16(*kind);
                    out.u16(8);
                    out.extend_from_slice(&bytes[14..]);
                    out.pad8(start);
                    continue;
                }
            }
            out.u16(0xffff);
            out.u16(0);
            action_codec::encode_load(out, field, value, mask);
            out.pad8(start);
            out.length_at(start + 2, start);
            continue;
        }
        action_codec::encode_actions(out, std::slice::from_ref(action));
    }
}

/// Reads instructions up to the reader's end.
///
/// # Errors
/// As later versions' do; those of their actions are this version's.
pub(crate) fn decode_instructions(
    reader: &mut Reader<'_>,
    matching: Option<&Match>,
) -> Result<Vec<Instruction>, OfError> {
    let mut instructions: Vec<Instruction> = Vec::new();
    while reader.left() != 0 {
        let mut header = *reader;
        let (kind, length) = (header.u16()?, usize::from(header.u16()?));
        if length < 8 || length % 8 != 0 {
            return Err(OfError::InstructionBadLength);
        }
        let mut one = reader.part(length, OfError::InstructionBadLength)?;
        let instruction = match kind {
            3 | 4 => {
                one.skip(8)?;
                let actions = decode(&mut Reader::new(one.rest(), OfError::ActionBadLength), matching)?;
                if kind == 3 { Instruction::Write(actions) } else { Instruction::Apply(actions) }
            }
            _ => match action_codec::decode_instructions(&mut one)?.pop() {
                Some(instruction) if !matches!(instruction, Instruction::Meter(_)) => instruction,
                _ => return Err(OfError::InstructionUnknown),
            },
        };
        let same =
            |other: &Instruction| std::mem::discriminant(other) == std::mem::discriminant(&instruction);
        if instructions.iter().any(same) {
            return Err(OfError::InstructionDuplicate);
        }
        instructions.push(instruction);
    }
    instructions.sort_by_key(action_codec::order);
    Ok(instructions)
}

/// Writes instructions. A meter is not among them.
pub(crate) fn encode_instructions(out: &mut Vec<u8>, instructions: &[Instruction], matching: &Match) {
    for instruction in instructions {
        match instruction {
            Instruction::Write(actions) | Instruction::Apply(actions) => {
                let start = out.len();
                out.u16(if matches!(instruction, Instruction::Write(_)) { 3 } else { 4 });
                out.zeros(6);
                encode(out, actions, Some(matching));
                out.length_at(start + 2, start);
            }
            Instruction::Meter(_) => {}
            _ => action_codec::encode_instructions(out, std::slice::from_ref(instruction)),
        }
    }
}
