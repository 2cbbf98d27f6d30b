//! Properties: pieces with a type and a length, in which OpenFlow 1.4 and later say what may be left out (OpenFlow 1.4.1
//! section 7.2.1 and many others).

use crate::bytes::{Put, Reader};
use crate::error::OfError;

/// Type of an experimenter's property: the id and its own type follow.
pub const EXPERIMENTER: u16 = 0xffff;

/// Takes the next property: its type, and what follows its length. Each is padded to a multiple of eight bytes.
///
/// # Errors
/// `OFPBPC_BAD_LEN` if it does not fit.
pub fn next<'a>(reader: &mut Reader<'a>) -> Result<(u16, Reader<'a>), OfError> {
    let bad = |_| OfError::PropertyBadLen;
    let kind = reader.u16().map_err(bad)?;
    let mut header = *reader;
    let length = usize::from(header.u16().map_err(bad)?);
    let body = reader.sized(2, OfError::PropertyBadLen).map_err(bad)?;
    // The last one may come without its padding.
    reader.skip(((8 - length % 8) % 8).min(reader.left()))?;
    Ok((kind, body))
}

/// That nothing is left of a property.
///
/// # Errors
/// `OFPBPC_BAD_LEN` if something is.
pub fn end(body: &Reader<'_>) -> Result<(), OfError> {
    if body.left() == 0 { Ok(()) } else { Err(OfError::PropertyBadLen) }
}

/// What a property that is not known is refused with.
pub fn unknown(kind: u16) -> OfError {
    if kind == EXPERIMENTER { OfError::PropertyBadExperimenter } else { OfError::PropertyBadType }
}

/// Writes a property with its padding.
pub fn put(out: &mut Vec<u8>, kind: u16, body: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.u16(kind);
    out.u16(0);
    body(out);
    out.length_at(start + 2, start);
    out.pad8(start);
}
