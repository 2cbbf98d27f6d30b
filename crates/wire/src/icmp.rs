//! ICMP for IPv4 (RFC 792): echo by name, and every other message as its type, code and second word.

use crate::view::{WireError, be16, be32, room, split};

/// Bytes of the header that every message has.
pub const LEN: usize = 8;

/// An ICMP message.
#[derive(Clone, Copy, Debug)]
pub struct IcmpView<'a> {
    header: &'a [u8; LEN],
    payload: &'a [u8],
}

impl<'a> IcmpView<'a> {
    /// A view of a message.
    ///
    /// # Errors
    /// If it is short.
    pub fn new(bytes: &'a [u8]) -> Result<Self, WireError> {
        let (header, payload) = split(bytes)?;
        Ok(Self { header, payload })
    }

    /// Type.
    pub fn kind(&self) -> u8 {
        self.header[0]
    }

    /// Code.
    pub fn code(&self) -> u8 {
        self.header[1]
    }

    /// Checksum field.
    pub fn checksum(&self) -> u16 {
        be16(self.header, 2)
    }

    /// The header's second word, whose meaning depends on the type.
    pub fn word(&self) -> u32 {
        be32(self.header, 4)
    }

    /// What follows the header: echo data, or the packet that an error is about.
    pub fn payload(&self) -> &'a [u8] {
        self.payload
    }
}

/// An ICMP header's values; the checksum is left zero for [`crate::checksum::complete`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IcmpRepr {
    /// Echo reply (0).
    EchoReply {
        /// Identifier.
        ident: u16,
        /// Sequence number.
        sequence: u16,
    },
    /// Echo request (8).
    EchoRequest {
        /// Identifier.
        ident: u16,
        /// Sequence number.
        sequence: u16,
    },
    /// Any other message.
    Other {
        /// Type.
        kind: u8,
        /// Code.
        code: u8,
        /// The header's second word.
        word: u32,
    },
}

impl IcmpRepr {
    /// The header's values.
    ///
    /// # Errors
    /// Never; the result is there for likeness with other formats.
    pub fn parse(view: &IcmpView<'_>) -> Result<Self, WireError> {
        let (kind, code, word) = (view.kind(), view.code(), view.word());
        let (ident, sequence) = ((word >> 16) as u16, word as u16);
        Ok(match (kind, code) {
            (0, 0) => Self::EchoReply { ident, sequence },
            (8, 0) => Self::EchoRequest { ident, sequence },
            _ => Self::Other { kind, code, word },
        })
    }

    /// Bytes that the header takes.
    pub fn buffer_len(&self) -> usize {
        LEN
    }

    /// Writes the header, with a checksum of zero.
    ///
    /// # Errors
    /// If the buffer is short.
    pub fn emit(&self, buffer: &mut [u8]) -> Result<(), WireError> {
        let echo = |ident: u16, sequence: u16| u32::from(ident) << 16 | u32::from(sequence);
        let (kind, code, word) = match *self {
            Self::EchoReply { ident, sequence } => (0, 0, echo(ident, sequence)),
            Self::EchoRequest { ident, sequence } => (8, 0, echo(ident, sequence)),
            Self::Other { kind, code, word } => (kind, code, word),
        };
        let out = room(buffer, LEN)?;
        out[..4].copy_from_slice(&[kind, code, 0, 0]);
        out[4..].copy_from_slice(&word.to_be_bytes());
        Ok(())
    }
}
