//! Nicira's `learn` on the wire: timeouts and the like, then what the learned flow matches and does, one after another.

use super::nicira::{field_of, header_of};
use super::{bits, writable};
use crate::action::{Bits, Learn, LearnSource, LearnSpec, LearnTarget};
use crate::bytes::{Put, Reader};
use crate::error::OfError;

/// Bits of what begins a part: how many bits it is of, whether they are written there, and what is made of them.
mod header {
    pub(super) const COUNT: u16 = 0x07ff;
    pub(super) const VALUE: u16 = 1 << 13;
    pub(super) const TARGET_SHIFT: u16 = 11;
    pub(super) const TARGET: u16 = 3;
    pub(super) const UNKNOWN: u16 = 0xc000;
}

/// Whether the second form is needed, which has a limit and a result.
pub(super) fn is_second(learn: &Learn) -> bool {
    learn.limit != 0 || learn.result.is_some()
}

/// Reads what follows the number of the action.
///
/// # Errors
/// The error that fits a bad argument, field or length.
pub(super) fn decode(body: &mut Reader<'_>, second: bool) -> Result<Learn, OfError> {
    let (idle_timeout, hard_timeout, priority) = (body.u16()?, body.u16()?, body.u16()?);
    let (cookie, flags, table) = (body.u64()?, body.u16()?, body.u8()?);
    body.skip(1)?;
    let (fin_idle_timeout, fin_hard_timeout) = (body.u16()?, body.u16()?);
    let known = Learn::SEND_REMOVED | Learn::DELETE_LEARNED | if second { Learn::WRITE_RESULT } else { 0 };
    if flags & !known != 0 || table == 0xff {
        return Err(OfError::ActionBadArgument);
    }
    let (mut limit, mut result) = (0, None);
    if second {
        limit = body.u32()?;
        let offset = body.u16()?;
        body.skip(2)?;
        if flags & Learn::WRITE_RESULT != 0 {
            result = Some(writable(bits(field_of(body.u32()?)?, offset, 1)?)?);
        } else if offset != 0 {
            return Err(OfError::ActionBadArgument);
        }
    }
    Ok(Learn {
        idle_timeout,
        hard_timeout,
        priority,
        cookie,
        flags,
        table,
        fin_idle_timeout,
        fin_hard_timeout,
        limit,
        result,
        specs: decode_specs(body)?,
    })
}

fn decode_specs(body: &mut Reader<'_>) -> Result<Vec<LearnSpec>, OfError> {
    let mut specs = Vec::new();
    // What is too short for a part, and a part of no bits, are padding.
    while body.left() >= 2 {
        let first = body.u16()?;
        if first == 0 {
            break;
        }
        let count = first & header::COUNT;
        if first & header::UNKNOWN != 0 || count == 0 || count > 128 {
            return Err(OfError::ActionBadArgument);
        }
        let source = if first & header::VALUE != 0 {
            LearnSource::Value(value(body.take(usize::from(count).div_ceil(16) * 2)?, count)?)
        } else {
            LearnSource::Field(field_bits(body, count)?)
        };
        let target = match first >> header::TARGET_SHIFT & header::TARGET {
            0 => LearnTarget::Match(field_bits(body, count)?),
            1 => LearnTarget::Load(writable(field_bits(body, count)?)?),
            2 if matches!(source, LearnSource::Field(_)) => LearnTarget::Output,
            _ => return Err(OfError::ActionBadArgument),
        };
        specs.push(LearnSpec { count, source, target });
    }
    if body.rest().iter().any(|&byte| byte != 0) {
        return Err(OfError::ActionBadArgument);
    }
    Ok(specs)
}

fn value(bytes: &[u8], count: u16) -> Result<u128, OfError> {
    let value = bytes.iter().fold(0u128, |value, &byte| value << 8 | u128::from(byte));
    let fits = count == 128 || value >> count == 0;
    if fits { Ok(value) } else { Err(OfError::ActionBadArgument) }
}

fn field_bits(body: &mut Reader<'_>, count: u16) -> Result<Bits, OfError> {
    let field = field_of(body.u32()?)?;
    bits(field, body.u16()?, count)
}

/// Writes what follows the number of the action, which begins at `start`.
pub(super) fn encode(out: &mut Vec<u8>, learn: &Learn, start: usize) {
    out.u16(learn.idle_timeout);
    out.u16(learn.hard_timeout);
    out.u16(learn.priority);
    out.u64(learn.cookie);
    out.u16(learn.flags);
    out.u8(learn.table);
    out.u8(0);
    out.u16(learn.fin_idle_timeout);
    out.u16(learn.fin_hard_timeout);
    if is_second(learn) {
        out.u32(learn.limit);
        let result = learn.result.map(header_of);
        out.u16(result.map_or(0, |(_, offset)| offset));
        out.u16(0);
        result.into_iter().for_each(|(header, _)| out.u32(header));
    }
    for spec in &learn.specs {
        let (target, dst) = match spec.target {
            LearnTarget::Match(bits) => (0, Some(bits)),
            LearnTarget::Load(bits) => (1, Some(bits)),
            LearnTarget::Output => (2, None),
        };
        let is_value = matches!(spec.source, LearnSource::Value(_));
        out.u16(spec.count | target << header::TARGET_SHIFT | if is_value { header::VALUE } else { 0 });
        match spec.source {
            LearnSource::Value(value) => {
                let length = usize::from(spec.count).div_ceil(16) * 2;
                out.extend_from_slice(&value.to_be_bytes()[16 - length..]);
            }
            LearnSource::Field(bits) => put_bits(out, bits),
        }
        dst.into_iter().for_each(|bits| put_bits(out, bits));
    }
    out.pad8(start);
}

fn put_bits(out: &mut Vec<u8>, bits: Bits) {
    let (header, offset) = header_of(bits);
    out.u32(header);
    out.u16(offset);
}
