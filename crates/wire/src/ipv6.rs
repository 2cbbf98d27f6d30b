//! IPv6 (RFC 8200), with a bounded walk over its extension headers.

use std::net::Ipv6Addr;

use crate::addr::IpProtocol;
use crate::view::{WireError, array, be16, be32, room, split};

/// Bytes of the fixed header.
pub const HEADER_LEN: usize = 40;
/// Most extension headers that are walked.
pub const MAX_EXTENSIONS: usize = 12;

/// An IPv6 packet.
#[derive(Clone, Copy, Debug)]
pub struct Ipv6View<'a> {
    header: &'a [u8; HEADER_LEN],
    payload: &'a [u8],
}

impl<'a> Ipv6View<'a> {
    /// A view of a packet; bytes past its payload length are the frame's padding and left away.
    ///
    /// # Errors
    /// If it is short or of another version.
    pub fn new(bytes: &'a [u8]) -> Result<Self, WireError> {
        let (header, rest) = split::<HEADER_LEN>(bytes)?;
        if header[0] >> 4 != 6 {
            return Err(WireError::Version);
        }
        let payload = rest.get(..usize::from(be16(header, 4))).ok_or(WireError::Short)?;
        Ok(Self { header, payload })
    }

    /// Traffic class: code point and congestion notification.
    pub fn traffic_class(&self) -> u8 {
        (be32(self.header, 0) >> 20) as u8
    }

    /// Flow label, 20 bits.
    pub fn flow_label(&self) -> u32 {
        be32(self.header, 0) & 0xf_ffff
    }

    /// The header that follows this one.
    pub fn next_header(&self) -> IpProtocol {
        IpProtocol(self.header[6])
    }

    /// Hop limit.
    pub fn hop_limit(&self) -> u8 {
        self.header[7]
    }

    /// Source.
    pub fn src(&self) -> Ipv6Addr {
        array::<HEADER_LEN, 16>(self.header, 8).into()
    }

    /// Destination.
    pub fn dst(&self) -> Ipv6Addr {
        array::<HEADER_LEN, 16>(self.header, 24).into()
    }

    /// What follows the fixed header.
    pub fn payload(&self) -> &'a [u8] {
        self.payload
    }

    /// Walks the extension headers.
    ///
    /// # Errors
    /// If one is cut short, or there are more than [`MAX_EXTENSIONS`].
    pub fn walk(&self) -> Result<Walk, WireError> {
        walk(self.next_header(), self.payload)
    }
}

/// A fragment header's values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fragment {
    /// Where the fragment belongs, in bytes; a multiple of eight.
    pub offset: u16,
    /// Whether fragments follow.
    pub more: bool,
    /// Identification.
    pub ident: u32,
}

/// Where a walk over extension headers ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Walk {
    /// Protocol of what is there: a transport, ESP, or whatever follows a later fragment's header.
    pub protocol: IpProtocol,
    /// Bytes of extension headers before it.
    pub offset: usize,
    /// The fragment header, if there is one.
    pub fragment: Option<Fragment>,
}

impl Walk {
    /// Whether the payload is a fragment other than the first, and so holds no transport header.
    pub fn is_later_fragment(&self) -> bool {
        self.fragment.is_some_and(|fragment| fragment.offset != 0)
    }
}

/// Walks extension headers, of which the first is `protocol`, up to a transport, ESP, or a later fragment's contents.
///
/// # Errors
/// If one is cut short, or there are more than [`MAX_EXTENSIONS`].
pub fn walk(mut protocol: IpProtocol, bytes: &[u8]) -> Result<Walk, WireError> {
    let (mut offset, mut fragment) = (0, None);
    for _ in 0..=MAX_EXTENSIONS {
        if !is_extension(protocol) {
            return Ok(Walk { protocol, offset, fragment });
        }
        let rest = bytes.get(offset..).ok_or(WireError::Short)?;
        let (header, _) = split::<8>(rest)?;
        let length = match protocol {
            IpProtocol::FRAGMENT => 8,
            IpProtocol::AH => usize::from(header[1]) * 4 + 8,
            _ => usize::from(header[1]) * 8 + 8,
        };
        if rest.len() < length {
            return Err(WireError::Short);
        }
        let is_fragment = protocol == IpProtocol::FRAGMENT;
        protocol = IpProtocol(header[0]);
        offset += length;
        if is_fragment {
            let field = be16(header, 2);
            let found = Fragment { offset: field & 0xfff8, more: field & 1 != 0, ident: be32(header, 4) };
            fragment = Some(found);
            if found.offset != 0 {
                return Ok(Walk { protocol, offset, fragment });
            }
        }
    }
    Err(WireError::TooMany)
}

fn is_extension(protocol: IpProtocol) -> bool {
    matches!(
        protocol,
        IpProtocol::HOP_BY_HOP
            | IpProtocol::ROUTING
            | IpProtocol::FRAGMENT
            | IpProtocol::AH
            | IpProtocol::DESTINATION
            | IpProtocol::MOBILITY
    )
}

/// An IPv6 fixed header's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ipv6Repr {
    /// Traffic class.
    pub traffic_class: u8,
    /// Flow label; 20 bits count.
    pub flow_label: u32,
    /// The header that follows.
    pub next_header: IpProtocol,
    /// Hop limit.
    pub hop_limit: u8,
    /// Source.
    pub src: Ipv6Addr,
    /// Destination.
    pub dst: Ipv6Addr,
    /// Bytes that follow the fixed header.
    pub payload_len: u16,
}

impl Ipv6Repr {
    /// The header's values.
    ///
    /// # Errors
    /// Never; the result is there for likeness with other formats.
    pub fn parse(view: &Ipv6View<'_>) -> Result<Self, WireError> {
        Ok(Self {
            traffic_class: view.traffic_class(),
            flow_label: view.flow_label(),
            next_header: view.next_header(),
            hop_limit: view.hop_limit(),
            src: view.src(),
            dst: view.dst(),
            payload_len: view.payload().len() as u16,
        })
    }

    /// Bytes that it takes.
    pub fn buffer_len(&self) -> usize {
        HEADER_LEN
    }

    /// Writes it.
    ///
    /// # Errors
    /// If the buffer is short.
    pub fn emit(&self, buffer: &mut [u8]) -> Result<(), WireError> {
        let out = room(buffer, HEADER_LEN)?;
        let first = 6 << 28 | u32::from(self.traffic_class) << 20 | self.flow_label & 0xf_ffff;
        out[..4].copy_from_slice(&first.to_be_bytes());
        out[4..6].copy_from_slice(&self.payload_len.to_be_bytes());
        out[6] = self.next_header.0;
        out[7] = self.hop_limit;
        out[8..24].copy_from_slice(&self.src.octets());
        out[24..].copy_from_slice(&self.dst.octets());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_walk_is_bounded_and_ends_at_the_transport() {
        let two = [60, 0, 1, 4, 0, 0, 0, 0, 6, 0, 1, 4, 0, 0, 0, 0, 1, 2];
        let walked = walk(IpProtocol::HOP_BY_HOP, &two).unwrap();
        assert_eq!((walked.protocol, walked.offset, walked.fragment), (IpProtocol::TCP, 16, None));
        assert_eq!(walk(IpProtocol::HOP_BY_HOP, &two[..12]), Err(WireError::Short));
        let endless = [0; 8 * 100];
        assert_eq!(walk(IpProtocol::HOP_BY_HOP, &endless), Err(WireError::TooMany));
        let later = walk(IpProtocol::FRAGMENT, &[17, 0, 0x05, 0xa1, 0, 0, 0, 9]).unwrap();
        assert_eq!(later.fragment, Some(Fragment { offset: 0x5a0, more: true, ident: 9 }));
        assert!(later.is_later_fragment() && later.protocol == IpProtocol::UDP);
    }
}
