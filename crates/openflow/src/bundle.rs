//! Bundles: messages that a switch takes together and applies in one step (OpenFlow 1.4.1 section 7.3.9), and the same for
//! OpenFlow 1.3 as the Open Networking Foundation's extension 230 has it, as experimenter messages.

use crate::bytes::{Put, Reader};
use crate::error::OfError;
use crate::message::Body;

/// The extension's types of experimenter messages for control and add.
pub(crate) const CONTROL: u32 = 2300;
/// See [`CONTROL`].
pub(crate) const ADD: u32 = 2301;

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

pub(crate) fn decode_control(reader: &mut Reader<'_>) -> Result<Body, OfError> {
    let control = BundleControl { id: reader.u32()?, kind: reader.u16()?, flags: reader.u16()? };
    // Properties, none of which is defined but experimenters'.
    reader.rest();
    Ok(Body::BundleControl(control))
}

pub(crate) fn decode_add(reader: &mut Reader<'_>) -> Result<Body, OfError> {
    let id = reader.u32()?;
    reader.skip(2)?;
    let flags = reader.u16()?;
    let rest = reader.rest();
    let length =
        rest.get(2..4).and_then(|length| length.first_chunk()).map(|&length| u16::from_be_bytes(length));
    let message =
        length.and_then(|length| rest.get(..usize::from(length)).filter(|message| message.len() >= 8));
    // Properties follow; see above.
    let message = message.ok_or(OfError::BundleMsgBadLen)?.to_vec();
    Ok(Body::BundleAdd(BundleAdd { id, flags, message }))
}

/// Writes what follows the header, or an experimenter's; whether the message is of this family.
pub(crate) fn encode(out: &mut Vec<u8>, body: &Body) -> Option<u32> {
    match body {
        Body::BundleControl(control) => {
            out.u32(control.id);
            out.u16(control.kind);
            out.u16(control.flags);
            Some(CONTROL)
        }
        Body::BundleAdd(add) => {
            out.u32(add.id);
            out.zeros(2);
            out.u16(add.flags);
            out.extend_from_slice(&add.message);
            Some(ADD)
        }
        _ => None,
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
        let message = Message::new(7, Body::BarrierRequest).encode();
        let add = BundleAdd { id: 9, flags: flags::ORDERED, message };
        round(Body::BundleAdd(add.clone()));
        let mut bytes = Message::new(7, Body::BundleAdd(add)).encode();
        bytes[27] = 9;
        assert_eq!(decode(&bytes).map_err(|fault| fault.error), Err(OfError::BundleMsgBadLen));
    }
}
