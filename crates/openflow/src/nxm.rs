//! Nicira's match: fields without a header of their own, whose length stands in the message (`ovs-fields(7)`).

use heddle_flow::Match;

use crate::bytes::{Put, Reader};
use crate::error::OfError;
use crate::oxm;

/// Header of the field that stands for the cookie, without and with a mask.
const COOKIE: u32 = 0x0001 << 16 | 30 << 9 | 8;
const COOKIE_MASKED: u32 = 0x0001 << 16 | 30 << 9 | 1 << 8 | 16;
/// Most bytes of a match.
const MAX_MATCH: usize = 8192;

/// Reads a match of `length` bytes with its padding, and the cookie and mask that it may ask.
///
/// # Errors
/// As [`oxm::decode_fields`]; a length beyond the message.
pub(crate) fn decode(reader: &mut Reader<'_>, length: usize) -> Result<(Match, u64, u64), OfError> {
    let read = decode_unpadded(reader, length)?;
    reader.skip((8 - length % 8) % 8).map_err(|_| OfError::MatchBadLength)?;
    Ok(read)
}

/// The same without padding.
///
/// # Errors
/// As [`decode`].
pub(crate) fn decode_unpadded(reader: &mut Reader<'_>, length: usize) -> Result<(Match, u64, u64), OfError> {
    if length > MAX_MATCH {
        return Err(OfError::MatchBadLength);
    }
    let mut fields = reader.part(length, OfError::MatchBadLength).map_err(|_| OfError::MatchBadLength)?;
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

/// Writes a match with its padding; its length goes to `at`.
pub(crate) fn encode(out: &mut Vec<u8>, at: usize, matching: &Match, cookie: (u64, u64)) {
    let start = out.len();
    encode_fields(out, matching, cookie);
    out.length_at(at, start);
    out.pad8(start);
}

/// Writes the fields of a match, and a cookie with its mask.
pub(crate) fn encode_fields(out: &mut Vec<u8>, matching: &Match, (cookie, mask): (u64, u64)) {
    oxm::encode_fields(out, matching, oxm::Numbers::Nicira);
    if mask == u64::MAX {
        out.u32(COOKIE);
        out.u64(cookie);
    } else if mask != 0 {
        out.u32(COOKIE_MASKED);
        out.u64(cookie & mask);
        out.u64(mask);
    }
}
