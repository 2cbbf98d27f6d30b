//! Actions of OpenFlow 1.0.1 (section 5.2.4). What the version has none for, Nicira's say.

use heddle_flow::layout::VLAN_PRESENT;
use heddle_flow::{Field, Match};

use crate::action::Action;
use crate::action_codec::{MAX_NESTED, as_load, decode_list, decode_nicira, encode_load, encode_nicira, put};
use crate::bytes::{Put, Reader};
use crate::error::OfError;
use crate::port::{self, from_16};

use super::short;

/// Nicira's actions.
const EXPERIMENTER: u16 = 0xffff;
/// Bits of a tag: that it is there, with its VLAN; that it is there, with its priority.
const VID: u128 = VLAN_PRESENT as u128 | 0xfff;
const PCP: u128 = VLAN_PRESENT as u128 | 7 << 13;
/// Fields of ports, by source or destination.
const PORTS: [[Field; 3]; 2] =
    [[Field::TcpSrc, Field::UdpSrc, Field::SctpSrc], [Field::TcpDst, Field::UdpDst, Field::SctpDst]];

/// Reads actions up to the reader's end. `matching` says which packets they are for, where it is known.
///
/// # Errors
/// The error that the specification names for an unknown type, a bad length or argument.
pub(crate) fn decode_actions(
    reader: &mut Reader<'_>,
    matching: Option<&Match>,
) -> Result<Vec<Action>, OfError> {
    decode_nested(reader, matching, 0)
}

fn decode_nested(
    reader: &mut Reader<'_>,
    matching: Option<&Match>,
    depth: u8,
) -> Result<Vec<Action>, OfError> {
    if depth > MAX_NESTED {
        return Err(OfError::ActionTooMany);
    }
    decode_list(reader, |kind, body| decode_action(kind, body, matching, depth))
}

fn set(field: Field, value: u128, mask: u128) -> Vec<Action> {
    vec![Action::SetField { field, value, mask }]
}

fn decode_action(
    kind: u16,
    body: &mut Reader<'_>,
    matching: Option<&Match>,
    depth: u8,
) -> Result<Vec<Action>, OfError> {
    let whole = |field: Field, value: u128| set(field, value, field.spec().full_mask());
    Ok(match kind {
        0 => {
            let (port, max_len) = (from_16(body.u16()?), body.u16()?);
            if port == 0 || port == port::ANY || (port > port::MAX && port < port::IN_PORT) {
                return Err(OfError::ActionBadOutPort);
            }
            let max_len = if port == port::CONTROLLER { max_len } else { 0 };
            vec![Action::Output { port, max_len }]
        }
        1 => match body.u16()? {
            vid @ 0..=0xfff => set(Field::VlanTci, u128::from(vid | VLAN_PRESENT), VID),
            _ => return Err(OfError::ActionBadArgument),
        },
        2 => match body.u8()? {
            pcp @ 0..=7 => set(Field::VlanTci, u128::from(u16::from(pcp) << 13 | VLAN_PRESENT), PCP),
            _ => return Err(OfError::ActionBadArgument),
        },
        3 => vec![Action::PopVlan],
        4 | 5 => {
            let mac = body.mac()?.iter().fold(0, |value, &byte| value << 8 | u128::from(byte));
            body.skip(6)?;
            whole(if kind == 4 { Field::EthSrc } else { Field::EthDst }, mac)
        }
        6 => whole(Field::Ipv4Src, body.u32()?.into()),
        7 => whole(Field::Ipv4Dst, body.u32()?.into()),
        8 => match body.u8()? {
            tos if tos & 3 == 0 => whole(Field::IpDscp, (tos >> 2).into()),
            _ => return Err(OfError::ActionBadArgument),
        },
        9 | 10 => {
            let value = body.u16()?;
            // Which protocol's port it is, the packet says; so does the match, mostly.
            let fields = PORTS[usize::from(kind == 10)];
            let known =
                fields.iter().find(|field| matching.is_some_and(|matching| matching.satisfies(**field)));
            let fields = known.map_or(fields.to_vec(), |field| vec![*field]);
            fields.into_iter().flat_map(|field| whole(field, value.into())).collect()
        }
        11 => {
            let port = from_16(body.u16()?);
            body.skip(6)?;
            // A queue is an ordinary port's, or that of the input port or the bridge's own.
            if port == 0 || (port >= port::MAX && !matches!(port, port::IN_PORT | port::LOCAL)) {
                return Err(OfError::ActionBadOutPort);
            }
            vec![Action::Enqueue { port, queue: body.u32()? }]
        }
        EXPERIMENTER => {
            let action = decode_nicira(body, &mut |inner| decode_nested(inner, matching, depth + 1))?;
            vec![if has_own_form(&action, matching) { action } else { as_load(action) }]
        }
        _ => return Err(OfError::ActionBadType),
    })
}

/// Whether the version has an action of its own for a field that is set; others are loaded.
fn has_own_form(action: &Action, matching: Option<&Match>) -> bool {
    let Action::SetField { field, mask, .. } = *action else { return true };
    let own = [Field::EthSrc, Field::EthDst, Field::Ipv4Src, Field::Ipv4Dst, Field::IpDscp];
    let port = PORTS.iter().flatten().any(|port| *port == field)
        && matching.is_some_and(|matching| matching.satisfies(field));
    match field {
        Field::VlanTci => mask == VID || mask == PCP,
        _ => mask == field.spec().full_mask() && (own.contains(&field) || port),
    }
}

/// Writes actions. `matching` says which packets they are for, where it is known.
pub(crate) fn encode_actions(out: &mut Vec<u8>, mut actions: &[Action], matching: Option<&Match>) {
    while let Some((action, rest)) = actions.split_first() {
        actions = rest;
        if let Some((kind, value)) = sets_port(action, rest, matching) {
            let known = matching.is_some_and(|matching| sets_known(action, matching));
            actions = if known { rest } else { &rest[2..] };
            put(out, |out| {
                out.u16(value);
                kind
            });
            continue;
        }
        match (action, rest.first()) {
            // A tag is pushed by setting its VLAN.
            (Action::PushVlan(_), Some(&Action::SetField { field: Field::VlanVid, value, mask: 0x1fff })) => {
                actions = &rest[1..];
                put(out, |out| encode_set(out, Field::VlanTci, value & VID, VID));
            }
            (Action::PushVlan(_), _) => {
                put(out, |out| encode_set(out, Field::VlanTci, VLAN_PRESENT.into(), VID))
            }
            (Action::CopyTtlIn | Action::CopyTtlOut | Action::PushPbb(_) | Action::PopPbb, _) => {}
            // A port above what 16 bits number is none.
            (Action::Output { port, .. }, _) if port::to_16(*port).is_none() => {}
            _ => put(out, |out| encode_action(out, action, matching)),
        }
    }
}

fn sets_known(action: &Action, matching: &Match) -> bool {
    matches!(action, Action::SetField { field, .. } if matching.satisfies(*field))
}

/// Whether a port is set for the protocol that packets are known to have, or for all in turn: type and value of the action that does.
fn sets_port(action: &Action, rest: &[Action], matching: Option<&Match>) -> Option<(u16, u16)> {
    let &Action::SetField { field, value, mask: 0xffff } = action else { return None };
    let index = PORTS.iter().position(|fields| fields.contains(&field))?;
    let all = || {
        let same = |action: Option<&Action>, wanted: Field| {
            matches!(action, Some(Action::SetField { field, value: other, mask: 0xffff })
                if *field == wanted && *other == value)
        };
        field == PORTS[index][0] && same(rest.first(), PORTS[index][1]) && same(rest.get(1), PORTS[index][2])
    };
    let known = matching.is_some_and(|matching| matching.satisfies(field));
    (known || all()).then_some((9 + index as u16, value as u16))
}

/// `goto_table`, as near as the version comes to it: Nicira's `resubmit`.
pub(super) fn encode_goto(out: &mut Vec<u8>, table: u8) {
    put(out, |out| encode_nicira(out, &Action::Resubmit { port: None, table: Some(table) }, |_, _| {}));
}

/// `write_metadata`, as Nicira's load.
pub(super) fn encode_metadata(out: &mut Vec<u8>, value: u64, mask: u64) {
    put(out, |out| encode_load(out, Field::Metadata, value.into(), mask.into()));
}

/// Writes what follows type and length; returns the type.
fn encode_action(out: &mut Vec<u8>, action: &Action, matching: Option<&Match>) -> u16 {
    match *action {
        Action::Output { port, max_len } => {
            out.u16(short(port));
            out.u16(max_len);
            0
        }
        Action::PopVlan => 3,
        Action::Enqueue { port, queue } => {
            out.u16(short(port));
            out.zeros(6);
            out.u32(queue);
            11
        }
        Action::SetField { field, value, mask } => encode_set(out, field, value, mask),
        Action::SetTtl(ttl) => encode_load(out, Field::NwTtl, ttl.into(), 0xff),
        _ => encode_nicira(out, action, |out, actions| encode_actions(out, actions, matching)),
    }
}

fn encode_set(out: &mut Vec<u8>, field: Field, value: u128, mask: u128) -> u16 {
    let low = value.to_be_bytes();
    match (field, mask) {
        (Field::VlanTci, VID) => {
            out.u16(value as u16 & 0xfff);
            1
        }
        (Field::VlanTci, PCP) => {
            out.u8((value >> 13) as u8);
            2
        }
        _ if mask != field.spec().full_mask() => encode_load(out, field, value, mask),
        (Field::EthSrc | Field::EthDst, _) => {
            out.extend_from_slice(&low[10..]);
            out.zeros(6);
            if field == Field::EthSrc { 4 } else { 5 }
        }
        (Field::Ipv4Src | Field::Ipv4Dst, _) => {
            out.extend_from_slice(&low[12..]);
            if field == Field::Ipv4Src { 6 } else { 7 }
        }
        (Field::IpDscp, _) => {
            out.u8((value << 2) as u8);
            8
        }
        _ => encode_load(out, field, value, mask),
    }
}
