//! Bundles: messages that a switch takes together and applies in one step (OpenFlow 1.4.1 section 7.3.9), and the same for
//! OpenFlow 1.3 as the Open Networking Foundation's extension 230 has it, as experimenter messages.

use crate::bytes::{Put, Reader};
use crate::error::OfError;
use crate::kind::{self, Kind};
use crate::message::HEADER_LEN;
use crate::version::Version;

/// Opens, closes, commits or discards a bundle, or says that it is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BundleControl {
    /// The bundle, a number that the controller chose.
    pub id: u32,
    /// What is asked, or was done: one of the constants here.
    pub kind: u16,
    /// [`flags`] of the bundle.
    pub flags: u16,
}

impl BundleControl {
    /// Opens a bundle. The answer to a request has the next higher number.
    pub const OPEN: u16 = 0;
    /// Says that nothing more is added.
    pub const CLOSE: u16 = 2;
    /// Applies what is in it.
    pub const COMMIT: u16 = 4;
    /// Forgets what is in it.
    pub const DISCARD: u16 = 6;
}

/// How a bundle is applied.
pub mod flags {
    /// All or nothing, and for every packet.
    pub const ATOMIC: u16 = 1;
    /// In the order in which the messages came.
    pub const ORDERED: u16 = 2;
}

/// A message for a bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BundleAdd {
    /// The bundle.
    pub id: u32,
    /// [`flags`] of the bundle.
    pub flags: u16,
    /// The message, whole, as it stands on the wire.
    pub message: Vec<u8>,
}

/// Messages that a bundle may have.
const BUNDLED: [Kind; 4] = [Kind::PortMod, Kind::FlowMod, Kind::GroupMod, Kind::PacketOut];
/// Messages that are forwarded to other controllers.
const FORWARDED: [Kind; 2] = [Kind::GroupMod, Kind::MeterMod];

pub(crate) fn decode_control(reader: &mut Reader<'_>) -> Result<BundleControl, OfError> {
    let control = BundleControl { id: reader.u32()?, kind: reader.u16()?, flags: reader.u16()? };
    // Properties, none of which is defined but experimenters'.
    reader.rest();
    Ok(control)
}

pub(crate) fn encode_control(out: &mut Vec<u8>, control: &BundleControl) {
    out.u32(control.id);
    out.u16(control.kind);
    out.u16(control.flags);
}

/// What a message within another is about.
///
/// # Errors
/// As the specification names it for one that is not known.
pub fn inner_row(message: &[u8]) -> Result<&'static kind::Row, OfError> {
    inner_header(message).map(|(row, _)| row)
}

/// The same, and whether it has a length that it may have.
fn inner_header(message: &[u8]) -> Result<(&'static kind::Row, bool), OfError> {
    let mut reader = Reader::new(message, OfError::RequestBadLength);
    let (version, kind) = (reader.u8()?, reader.u8()?);
    reader.skip(HEADER_LEN - 2)?;
    let version = Version::of_byte(version).ok_or(OfError::RequestBadVersion)?;
    let row = kind::lookup(version, kind, &mut reader)?;
    Ok((row, row.fits(reader.left())))
}

/// The message that `rest` begins with, by its own length.
fn inner(rest: &[u8]) -> Option<&[u8]> {
    let header = rest.first_chunk::<HEADER_LEN>()?;
    let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
    rest.get(..length).filter(|_| length >= HEADER_LEN)
}

pub(crate) fn decode_add(reader: &mut Reader<'_>, version: Version, xid: u32) -> Result<BundleAdd, OfError> {
    let id = reader.u32()?;
    reader.skip(2)?;
    let flags = reader.u16()?;
    // Properties follow the message; see above.
    let message = inner(reader.rest()).ok_or(OfError::BundleMsgBadLen)?;
    if message[0] != version as u8 {
        return Err(match version {
            Version::V1_3 => OfError::BundleMsgUnsup,
            _ => OfError::BundleBadVersion,
        });
    }
    // The ids of both messages are the same (section 7.3.9.6).
    if message[4..HEADER_LEN] != xid.to_be_bytes() {
        return Err(OfError::BundleMsgBadXid);
    }
    match inner_header(message) {
        Ok((row, fits)) if BUNDLED.contains(&row.kind) => {
            if !fits {
                return Err(OfError::BundleMsgBadLen);
            }
        }
        _ => return Err(OfError::BundleMsgUnsup),
    }
    Ok(BundleAdd { id, flags, message: message.to_vec() })
}

pub(crate) fn encode_add(out: &mut Vec<u8>, add: &BundleAdd) {
    out.u32(add.id);
    out.zeros(2);
    out.u16(add.flags);
    out.extend_from_slice(&add.message);
}

/// Reads a message that is forwarded to other controllers (OpenFlow 1.4.1 section 7.4.6), whole as it stands on the wire.
pub(crate) fn decode_forward(reader: &mut Reader<'_>) -> Result<Vec<u8>, OfError> {
    let message = inner(reader.rest()).ok_or(OfError::RequestBadLength)?;
    match inner_row(message)?.kind {
        kind if FORWARDED.contains(&kind) => Ok(message.to_vec()),
        _ => Err(OfError::RequestBadType),
    }
}

#[cfg(test)]
mod tests {
    use crate::bundle::{BundleAdd, BundleControl, flags};
    use crate::{Body, Message, OfError, decode};

    fn round(body: Body) {
        let message = Message::new(7, body);
        assert_eq!(decode(&message.encode()), Ok(message));
    }

    #[test]
    fn bundles_of_openflow_1_3_are_the_foundations_extension() {
        let control = BundleControl { id: 9, kind: BundleControl::COMMIT, flags: flags::ATOMIC };
        let bytes = Message::new(7, Body::BundleControl(control)).encode();
        assert_eq!(bytes[8..], [0x4f, 0x4e, 0x46, 0, 0, 0, 8, 0xfc, 0, 0, 0, 9, 0, 4, 0, 1]);
        round(Body::BundleControl(control));
        let message = Message::new(7, Body::FlowMod(crate::FlowMod::default())).encode();
        let add = BundleAdd { id: 9, flags: flags::ORDERED, message };
        round(Body::BundleAdd(add.clone()));
        let mut bytes = Message::new(7, Body::BundleAdd(add)).encode();
        bytes[27] = 9;
        assert_eq!(decode(&bytes).map_err(|fault| fault.error), Err(OfError::BundleMsgBadLen));
    }
}
