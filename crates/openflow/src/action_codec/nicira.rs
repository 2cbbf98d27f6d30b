//! Nicira's actions (`ovs-actions(7)`), which every version has.

use heddle_flow::Field;
use heddle_wire::ethertype;

use super::{bits, learn, set_error, set_field, writable};
use crate::action::{
    Action, Bits, Bundle, BundleAlgorithm, Controller, HashFields, LinkAlgorithm, Multipath, Sample,
};
use crate::bytes::{Put, Reader};
use crate::error::OfError;
use crate::message::NICIRA;
use crate::{oxm, port};

/// Type of experimenters' actions.
const EXPERIMENTER: u16 = 0xffff;
/// Nicira's input port, whose 16 bits number ports as OpenFlow 1.0 does.
const NXM_IN_PORT: u32 = 0x0000_0002;
/// Most ports of a bundle, as Open vSwitch has it.
const MAX_MEMBERS: usize = 2048;
/// Properties of [`kind::CONTROLLER2`].
mod property {
    pub(super) const MAX_LEN: u16 = 0;
    pub(super) const ID: u16 = 1;
    pub(super) const REASON: u16 = 2;
    pub(super) const USERDATA: u16 = 3;
    pub(super) const PAUSE: u16 = 4;
    pub(super) const METER: u16 = 5;
}

/// Numbers of the actions.
mod kind {
    pub(super) const RESUBMIT: u16 = 1;
    pub(super) const SET_TUNNEL: u16 = 2;
    pub(super) const SET_QUEUE: u16 = 4;
    pub(super) const POP_QUEUE: u16 = 5;
    pub(super) const MOVE: u16 = 6;
    pub(super) const LOAD: u16 = 7;
    pub(super) const NOTE: u16 = 8;
    pub(super) const SET_TUNNEL64: u16 = 9;
    pub(super) const MULTIPATH: u16 = 10;
    pub(super) const BUNDLE: u16 = 12;
    pub(super) const BUNDLE_LOAD: u16 = 13;
    pub(super) const RESUBMIT_TABLE: u16 = 14;
    pub(super) const OUTPUT_REG: u16 = 15;
    pub(super) const LEARN: u16 = 16;
    pub(super) const EXIT: u16 = 17;
    pub(super) const DEC_TTL: u16 = 18;
    pub(super) const FIN_TIMEOUT: u16 = 19;
    pub(super) const CONTROLLER: u16 = 20;
    pub(super) const DEC_TTL_IDS: u16 = 21;
    pub(super) const WRITE_METADATA: u16 = 22;
    pub(super) const PUSH_MPLS: u16 = 23;
    pub(super) const POP_MPLS: u16 = 24;
    pub(super) const SET_MPLS_TTL: u16 = 25;
    pub(super) const DEC_MPLS_TTL: u16 = 26;
    pub(super) const PUSH: u16 = 27;
    pub(super) const POP: u16 = 28;
    pub(super) const SAMPLE: u16 = 29;
    pub(super) const SET_MPLS_LABEL: u16 = 30;
    pub(super) const SET_MPLS_TC: u16 = 31;
    pub(super) const OUTPUT_REG2: u16 = 32;
    pub(super) const LOAD2: u16 = 33;
    pub(super) const CONJUNCTION: u16 = 34;
    pub(super) const CONTROLLER2: u16 = 37;
    pub(super) const SAMPLE2: u16 = 38;
    pub(super) const OUTPUT_TRUNC: u16 = 39;
    pub(super) const GROUP: u16 = 40;
    pub(super) const SAMPLE3: u16 = 41;
    pub(super) const CLONE: u16 = 42;
    pub(super) const LEARN2: u16 = 45;
}

/// Reads actions that stand within another.
pub(crate) type Nested<'a> = &'a mut dyn FnMut(&mut Reader<'_>) -> Result<Vec<Action>, OfError>;

/// Reads what follows type and length of an experimenter's action.
pub(crate) fn decode_nicira(body: &mut Reader<'_>, nested: Nested<'_>) -> Result<Action, OfError> {
    if body.u32()? != NICIRA {
        return Err(OfError::ActionBadExperimenter);
    }
    let number = body.u16()?;
    Ok(match number {
        kind::SET_QUEUE => {
            body.skip(2)?;
            Action::SetQueue(body.u32()?)
        }
        kind::POP_QUEUE => Action::PopQueue,
        kind::EXIT => Action::Exit,
        kind::PUSH_MPLS => match body.u16()? {
            eth_type @ (ethertype::MPLS | ethertype::MPLS_MC) => Action::PushMpls(eth_type),
            _ => return Err(OfError::ActionBadArgument),
        },
        kind::POP_MPLS => Action::PopMpls(body.u16()?),
        kind::SET_MPLS_TTL => Action::SetMplsTtl(body.u8()?),
        kind::DEC_MPLS_TTL => Action::DecMplsTtl,
        kind::RESUBMIT => Action::Resubmit { port: input_port(body.u16()?), table: None },
        kind::RESUBMIT_TABLE => {
            let (port, table) = (input_port(body.u16()?), body.u8()?);
            Action::Resubmit { port, table: (table != 0xff).then_some(table) }
        }
        kind::NOTE => Action::Note(body.rest().to_vec()),
        kind::DEC_TTL => Action::DecTtl,
        kind::DEC_TTL_IDS => decode_ids(body)?,
        kind::CONJUNCTION => {
            let (clause, clauses) = (body.u8()?, body.u8()?);
            if !(2..=64).contains(&clauses) || clause >= clauses {
                return Err(OfError::ActionBadArgument);
            }
            Action::Conjunction { id: body.u32()?, clause, clauses }
        }
        kind::FIN_TIMEOUT => Action::FinTimeout { idle: body.u16()?, hard: body.u16()? },
        kind::GROUP => {
            body.skip(2)?;
            match body.u32()? {
                group if group <= crate::group::GroupMod::MAX => Action::Group(group),
                _ => return Err(OfError::ActionBadOutGroup),
            }
        }
        kind::CLONE => {
            body.skip(6)?;
            let mut inner = Reader::new(body.rest(), OfError::ActionBadLength);
            Action::Clone(nested(&mut inner)?)
        }
        kind::SAMPLE | kind::SAMPLE2 | kind::SAMPLE3 => decode_sample(body, number)?,
        kind::LEARN | kind::LEARN2 => Action::Learn(Box::new(learn::decode(body, number == kind::LEARN2)?)),
        kind::MULTIPATH => decode_multipath(body)?,
        kind::BUNDLE | kind::BUNDLE_LOAD => decode_bundle(body, number == kind::BUNDLE_LOAD)?,
        kind::CONTROLLER => {
            let (max_len, id, reason) = (body.u16()?, body.u16()?, body.u8()?);
            Action::Controller(Box::new(Controller { max_len, reason, id, ..Controller::default() }))
        }
        kind::CONTROLLER2 => decode_controller(body)?,
        kind::OUTPUT_TRUNC => {
            let (port, max_len) = (port::from_16(body.u16()?), body.u32()?);
            truncated(port, max_len)?
        }
        _ => return decode_of_fields(body, number),
    })
}

/// Reads the actions that name fields.
fn decode_of_fields(body: &mut Reader<'_>, number: u16) -> Result<Action, OfError> {
    Ok(match number {
        kind::SET_TUNNEL | kind::SET_TUNNEL64 => {
            body.skip(if number == kind::SET_TUNNEL { 2 } else { 6 })?;
            let id = if number == kind::SET_TUNNEL { body.u32()?.into() } else { body.u64()? };
            return set_field(Field::TunnelId, id.into(), Field::TunnelId.spec().full_mask());
        }
        kind::WRITE_METADATA => {
            body.skip(6)?;
            let (value, mask) = (body.u64()?, body.u64()?);
            return set_masked(Field::Metadata, (value & mask).into(), mask.into());
        }
        kind::SET_MPLS_LABEL | kind::SET_MPLS_TC => {
            let is_label = number == kind::SET_MPLS_LABEL;
            let field = if is_label { Field::MplsLabel } else { Field::MplsTc };
            body.skip(if is_label { 2 } else { 0 })?;
            let value = if is_label { body.u32()? } else { body.u8()?.into() };
            if u128::from(value) & !field.spec().full_mask() != 0 {
                return Err(OfError::ActionBadSetArgument);
            }
            return set_field(field, value.into(), field.spec().full_mask());
        }
        kind::LOAD2 => {
            body.skip(6)?;
            let (field, value, mask) = oxm::decode_entry(body).map_err(set_error)?;
            return set_masked(field, value, mask);
        }
        kind::MOVE => {
            let (count, src_ofs, dst_ofs) = (body.u16()?, body.u16()?, body.u16()?);
            let (src, dst) = (field_of(body.u32()?)?, field_of(body.u32()?)?);
            bits(src, src_ofs, count)?;
            writable(bits(dst, dst_ofs, count)?)?;
            Action::Move { src, src_ofs, dst, dst_ofs, n_bits: count }
        }
        kind::LOAD => {
            let bits = decode_bits(body)?;
            let value = body.u64()?;
            if !bits.field.spec().writable {
                return Err(OfError::ActionBadSetType);
            }
            if u128::from(value) & !bits.max() != 0 {
                return Err(OfError::ActionBadSetArgument);
            }
            // A tag that is set is there; popping it is another action.
            let present = u128::from(heddle_flow::layout::VLAN_PRESENT);
            if bits.field == Field::VlanVid
                && bits.mask() & present & !(u128::from(value) << bits.offset) != 0
            {
                return Err(OfError::ActionBadSetArgument);
            }
            Action::Load { bits, value }
        }
        kind::PUSH | kind::POP => {
            let offset = body.u16()?;
            let field = field_of(body.u32()?)?;
            let bits = bits(field, offset, body.u16()?)?;
            if number == kind::PUSH { Action::Push(bits) } else { Action::Pop(writable(bits)?) }
        }
        kind::OUTPUT_REG => {
            let bits = decode_bits(body)?;
            Action::OutputBits { bits, max_len: body.u16()? }
        }
        kind::OUTPUT_REG2 => {
            let (place, max_len) = (body.u16()?, body.u16()?);
            let bits = bits(field_of(body.u32()?)?, place >> 6, (place & 0x3f) + 1)?;
            Action::OutputBits { bits, max_len }
        }
        _ => return Err(OfError::ActionBadExperimenterType),
    })
}

/// Sets what a mask names; of adjoining bits that are not the whole field, `load` says the same.
fn set_masked(field: Field, value: u128, mask: u128) -> Result<Action, OfError> {
    let set = set_field(field, value, mask)?;
    let part = mask != field.spec().full_mask() && field != Field::InPort;
    Ok(if part { as_load(set) } else { set })
}

/// `load` for a field that is set, where it can say it.
pub(crate) fn as_load(action: Action) -> Action {
    match action {
        Action::SetField { field, value, mask } => match adjoining(field, mask) {
            Some(bits) => Action::Load { bits, value: bits.of(value) as u64 },
            None => Action::SetField { field, value, mask },
        },
        action => action,
    }
}

/// Adjoining bits, at most 64, that a mask names.
fn adjoining(field: Field, mask: u128) -> Option<Bits> {
    let (offset, count) = (mask.trailing_zeros(), mask.count_ones());
    let adjoin = (1..=64).contains(&count) && mask >> offset == (1u128 << count) - 1;
    adjoin.then_some(Bits { field, offset: offset as u16, count: count as u16 })
}

/// The field that a header names.
pub(super) fn field_of(header: u32) -> Result<Field, OfError> {
    // Nicira's input port is the lower half of ours.
    if header == NXM_IN_PORT { Ok(Field::InPort) } else { oxm::from_header(header) }
}

/// The header of the field that bits are of, and where they begin in it.
pub(super) fn header_of(bits: Bits) -> (u32, u16) {
    if bits.field == Field::InPort && bits.offset + bits.count <= 16 {
        return (NXM_IN_PORT, bits.offset);
    }
    let (field, below) = oxm::numbered(bits.field);
    (oxm::header(field), bits.offset + below)
}

/// Reads bits as offset and count in 16 bits, with the field's header after them.
fn decode_bits(body: &mut Reader<'_>) -> Result<Bits, OfError> {
    let place = body.u16()?;
    bits(field_of(body.u32()?)?, place >> 6, (place & 0x3f) + 1)
}

fn place_of(offset: u16, count: u16) -> u16 {
    offset << 6 | (count - 1) & 0x3f
}

fn input_port(port: u16) -> Option<u32> {
    match port {
        0xfff8 => None,
        port => Some(port::from_16(port)),
    }
}

/// Where packets may go that are cut short.
fn truncated(port: u32, max_len: u32) -> Result<Action, OfError> {
    let refused =
        matches!(port, port::TABLE | port::NORMAL | port::FLOOD | port::ALL | port::CONTROLLER | port::ANY);
    // A frame has an Ethernet header at least.
    if refused || port == 0 {
        Err(OfError::ActionBadOutPort)
    } else if max_len < 14 {
        Err(OfError::ActionBadArgument)
    } else {
        Ok(Action::OutputTrunc { port, max_len })
    }
}

fn decode_ids(body: &mut Reader<'_>) -> Result<Action, OfError> {
    let count = usize::from(body.u16()?);
    body.skip(4)?;
    let ids = body.take(count * 2)?.chunks_exact(2);
    let ids: Vec<u16> = ids.map(|id| u16::from_be_bytes([id[0], id[1]])).collect();
    match ids[..] {
        [] => Err(OfError::ActionBadLength),
        // The controller of number zero is who is told anyway.
        [0] => Ok(Action::DecTtl),
        _ => Ok(Action::DecTtlIds(ids)),
    }
}

fn decode_sample(body: &mut Reader<'_>, number: u16) -> Result<Action, OfError> {
    let (probability, collector_set, domain, point) = (body.u16()?, body.u32()?, body.u32()?, body.u32()?);
    let (port, direction) = match number {
        kind::SAMPLE => (0, 0),
        kind::SAMPLE2 => (body.u16()?, 0),
        _ => (body.u16()?, body.u8()?),
    };
    if probability == 0 || direction > 2 {
        return Err(OfError::ActionBadArgument);
    }
    body.rest();
    Ok(Action::Sample(Sample { probability, collector_set, domain, point, port, direction }))
}

fn decode_controller(body: &mut Reader<'_>) -> Result<Action, OfError> {
    body.skip(6)?;
    let mut controller = Controller::default();
    let mut rest = Reader::new(body.rest(), OfError::ActionBadLength);
    while rest.left() != 0 {
        let (number, length) = (rest.u16()?, usize::from(rest.u16()?));
        let mut value =
            rest.part(length.checked_sub(4).ok_or(OfError::ActionBadLength)?, OfError::ActionBadLength)?;
        rest.skip(((8 - length % 8) % 8).min(rest.left()))?;
        match number {
            property::MAX_LEN => controller.max_len = value.u16()?,
            property::ID => controller.id = value.u16()?,
            property::REASON => controller.reason = value.u8()?,
            property::USERDATA => controller.userdata = value.rest().to_vec(),
            property::PAUSE => controller.pause = true,
            property::METER => controller.meter = value.u32()?,
            _ => return Err(OfError::ActionBadArgument),
        }
    }
    Ok(Action::Controller(Box::new(controller)))
}

fn decode_multipath(body: &mut Reader<'_>) -> Result<Action, OfError> {
    let (fields, basis) = (body.u16()?, body.u16()?);
    body.skip(2)?;
    let (algorithm, max_link, arg) = (body.u16()?, body.u16()?, body.u32()?);
    body.skip(2)?;
    let dst = writable(decode_bits(body)?)?;
    let of = |number: u16| usize::from(number);
    let (Some(fields), Some(algorithm)) =
        (HashFields::ALL.get(of(fields)), LinkAlgorithm::ALL.get(of(algorithm)))
    else {
        return Err(OfError::ActionBadArgument);
    };
    // The number must fit where it goes.
    if dst.max() < u128::from(max_link) {
        return Err(OfError::ActionBadArgument);
    }
    Ok(Action::Multipath(Multipath { fields: fields.0, basis, algorithm: algorithm.0, max_link, arg, dst }))
}

fn decode_bundle(body: &mut Reader<'_>, loads: bool) -> Result<Action, OfError> {
    let (algorithm, fields, basis, kind) = (body.u16()?, body.u16()?, body.u16()?, body.u32()?);
    let (count, place, header) = (usize::from(body.u16()?), body.u16()?, body.u32()?);
    body.skip(4)?;
    let of = |number: u16| usize::from(number);
    let (Some(fields), Some(algorithm), NXM_IN_PORT) =
        (HashFields::ALL.get(of(fields)), BundleAlgorithm::ALL.get(of(algorithm)), kind)
    else {
        return Err(OfError::ActionBadArgument);
    };
    if count > MAX_MEMBERS {
        return Err(OfError::ActionBadArgument);
    }
    let dst = match loads {
        false if place != 0 || header != 0 => return Err(OfError::ActionBadArgument),
        false => None,
        true => {
            let dst = writable(bits(field_of(header)?, place >> 6, (place & 0x3f) + 1)?)?;
            if dst.count < 16 {
                return Err(OfError::ActionBadArgument);
            }
            Some(dst)
        }
    };
    let members = body.take(count * 2)?.chunks_exact(2);
    let members = members.map(|port| port::from_16(u16::from_be_bytes([port[0], port[1]]))).collect();
    Ok(Action::Bundle(Box::new(Bundle { fields: fields.0, basis, algorithm: algorithm.0, members, dst })))
}

/// Nicira's `load` of adjoining bits, else of a field with a mask.
pub(crate) fn encode_load(out: &mut Vec<u8>, field: Field, value: u128, mask: u128) -> u16 {
    let (field, below) = oxm::numbered(field);
    let (value, mask) = (value << below, mask << below);
    out.u32(NICIRA);
    let number = u32::try_from(value).ok().and_then(port::to_16);
    if let (Field::InPort, 0xffff_ffff, Some(number)) = (field, mask, number) {
        put_load(out, Bits { field, offset: 0, count: 16 }, number.into());
        return EXPERIMENTER;
    }
    match adjoining(field, mask) {
        Some(bits) => put_load(out, bits, bits.of(value) as u64),
        None => {
            out.u16(kind::LOAD2);
            out.zeros(6);
            oxm::encode_entry(out, (field, value, mask));
        }
    }
    EXPERIMENTER
}

fn put_load(out: &mut Vec<u8>, bits: Bits, value: u64) {
    let (header, offset) = header_of(bits);
    out.u16(kind::LOAD);
    out.u16(place_of(offset, bits.count));
    out.u32(header);
    out.u64(value);
}

/// Writes what follows type and length of Nicira's actions; returns the type. `nested` writes actions within another.
pub(crate) fn encode_nicira(
    out: &mut Vec<u8>,
    action: &Action,
    nested: impl FnOnce(&mut Vec<u8>, &[Action]),
) -> u16 {
    let start = out.len() - 4;
    out.u32(NICIRA);
    match action {
        Action::DecTtl => out.u16(kind::DEC_TTL),
        Action::DecTtlIds(ids) => {
            out.u16(kind::DEC_TTL_IDS);
            out.u16(ids.len() as u16);
            out.zeros(4);
            ids.iter().for_each(|&id| out.u16(id));
        }
        Action::SetQueue(queue) => {
            out.u16(kind::SET_QUEUE);
            out.zeros(2);
            out.u32(*queue);
        }
        Action::PopQueue => out.u16(kind::POP_QUEUE),
        Action::Exit => out.u16(kind::EXIT),
        Action::Group(group) => {
            out.u16(kind::GROUP);
            out.zeros(2);
            out.u32(*group);
        }
        Action::PushMpls(eth_type) => {
            out.u16(kind::PUSH_MPLS);
            out.u16(*eth_type);
        }
        Action::PopMpls(eth_type) => {
            out.u16(kind::POP_MPLS);
            out.u16(*eth_type);
        }
        Action::SetMplsTtl(ttl) => {
            out.u16(kind::SET_MPLS_TTL);
            out.u8(*ttl);
        }
        Action::DecMplsTtl => out.u16(kind::DEC_MPLS_TTL),
        Action::Resubmit { port, table } => {
            out.u16(kind::RESUBMIT_TABLE);
            out.u16(port.map_or(0xfff8, |port| port as u16));
            out.u8(table.unwrap_or(0xff));
        }
        Action::Controller(controller) => encode_controller(out, controller),
        Action::Note(bytes) => {
            out.u16(kind::NOTE);
            out.extend_from_slice(bytes);
        }
        Action::Conjunction { id, clause, clauses } => {
            out.u16(kind::CONJUNCTION);
            out.u8(*clause);
            out.u8(*clauses);
            out.u32(*id);
        }
        Action::FinTimeout { idle, hard } => {
            out.u16(kind::FIN_TIMEOUT);
            out.u16(*idle);
            out.u16(*hard);
        }
        Action::Clone(actions) => {
            out.u16(kind::CLONE);
            out.zeros(6);
            nested(out, actions);
        }
        Action::Sample(sample) => encode_sample(out, sample),
        Action::Learn(learn) => {
            out.u16(if learn::is_second(learn) { kind::LEARN2 } else { kind::LEARN });
            learn::encode(out, learn, start);
        }
        Action::Bundle(bundle) => encode_bundle(out, bundle),
        Action::OutputTrunc { port, max_len } => {
            out.u16(kind::OUTPUT_TRUNC);
            out.u16(*port as u16);
            out.u32(*max_len);
        }
        _ => encode_of_fields(out, action),
    }
    EXPERIMENTER
}

fn encode_of_fields(out: &mut Vec<u8>, action: &Action) {
    match action {
        Action::Load { bits, value } => put_load(out, *bits, *value),
        Action::Move { src, src_ofs, dst, dst_ofs, n_bits } => {
            let of = |field: Field, offset: u16| header_of(Bits { field, offset, count: *n_bits });
            let ((src, src_ofs), (dst, dst_ofs)) = (of(*src, *src_ofs), of(*dst, *dst_ofs));
            out.u16(kind::MOVE);
            out.u16(*n_bits);
            out.u16(src_ofs);
            out.u16(dst_ofs);
            out.u32(src);
            out.u32(dst);
        }
        Action::Push(bits) | Action::Pop(bits) => {
            let (header, offset) = header_of(*bits);
            out.u16(if matches!(action, Action::Push(_)) { kind::PUSH } else { kind::POP });
            out.u16(offset);
            out.u32(header);
            out.u16(bits.count);
            out.zeros(6);
        }
        Action::OutputBits { bits, max_len } => {
            let (header, offset) = header_of(*bits);
            out.u16(kind::OUTPUT_REG);
            out.u16(place_of(offset, bits.count));
            out.u32(header);
            out.u16(*max_len);
            out.zeros(6);
        }
        Action::Multipath(multipath) => {
            let (header, offset) = header_of(multipath.dst);
            out.u16(kind::MULTIPATH);
            out.u16(multipath.fields as u16);
            out.u16(multipath.basis);
            out.zeros(2);
            out.u16(multipath.algorithm as u16);
            out.u16(multipath.max_link);
            out.u32(multipath.arg);
            out.zeros(2);
            out.u16(place_of(offset, multipath.dst.count));
            out.u32(header);
        }
        _ => {}
    }
}

fn encode_controller(out: &mut Vec<u8>, controller: &Controller) {
    let simple =
        controller.userdata.is_empty() && !controller.pause && controller.meter == Controller::NO_METER;
    if simple {
        out.u16(kind::CONTROLLER);
        out.u16(controller.max_len);
        out.u16(controller.id);
        out.u8(controller.reason);
        return;
    }
    out.u16(kind::CONTROLLER2);
    out.zeros(6);
    let mut put = |number: u16, value: &[u8]| {
        let start = out.len();
        out.u16(number);
        out.u16(value.len() as u16 + 4);
        out.extend_from_slice(value);
        out.pad8(start);
    };
    let usual = Controller::default();
    if controller.max_len != usual.max_len {
        put(property::MAX_LEN, &controller.max_len.to_be_bytes());
    }
    if controller.id != usual.id {
        put(property::ID, &controller.id.to_be_bytes());
    }
    if controller.reason != usual.reason {
        put(property::REASON, &[controller.reason]);
    }
    if !controller.userdata.is_empty() {
        put(property::USERDATA, &controller.userdata);
    }
    if controller.pause {
        put(property::PAUSE, &[]);
    }
    if controller.meter != usual.meter {
        put(property::METER, &controller.meter.to_be_bytes());
    }
}

fn encode_sample(out: &mut Vec<u8>, sample: &Sample) {
    let number = match (sample.port, sample.direction) {
        (0, 0) => kind::SAMPLE,
        (_, 0) => kind::SAMPLE2,
        _ => kind::SAMPLE3,
    };
    out.u16(number);
    out.u16(sample.probability);
    out.u32(sample.collector_set);
    out.u32(sample.domain);
    out.u32(sample.point);
    if number != kind::SAMPLE {
        out.u16(sample.port);
        out.u8(sample.direction);
        out.zeros(5);
    }
}

fn encode_bundle(out: &mut Vec<u8>, bundle: &Bundle) {
    let (header, place) = bundle.dst.map_or((0, 0), |dst| {
        let (header, offset) = header_of(dst);
        (header, place_of(offset, dst.count))
    });
    out.u16(if bundle.dst.is_some() { kind::BUNDLE_LOAD } else { kind::BUNDLE });
    out.u16(bundle.algorithm as u16);
    out.u16(bundle.fields as u16);
    out.u16(bundle.basis);
    out.u32(NXM_IN_PORT);
    out.u16(bundle.members.len() as u16);
    out.u16(place);
    out.u32(header);
    out.zeros(4);
    bundle.members.iter().for_each(|&port| out.u16(port as u16));
}
