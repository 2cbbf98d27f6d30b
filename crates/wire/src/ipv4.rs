//! IPv4 (RFC 791), with options and fragments.

use std::net::Ipv4Addr;

use crate::addr::IpProtocol;
use crate::checksum::sum;
use crate::view::{Inline, WireError, array, be16, room, split};

/// Bytes of a header without options.
pub const MIN_LEN: usize = 20;
/// Most bytes of options.
pub const MAX_OPTIONS: usize = 40;

/// An IPv4 packet.
#[derive(Clone, Copy, Debug)]
pub struct Ipv4View<'a> {
    header: &'a [u8; MIN_LEN],
    options: &'a [u8],
    payload: &'a [u8],
}

impl<'a> Ipv4View<'a> {
    /// A view of a packet; bytes past its total length are the frame's padding and left away.
    ///
    /// # Errors
    /// If it is short, of another version, or its lengths contradict each other.
    pub fn new(bytes: &'a [u8]) -> Result<Self, WireError> {
        let (header, _) = split::<MIN_LEN>(bytes)?;
        if header[0] >> 4 != 4 {
            return Err(WireError::Version);
        }
        let header_len = usize::from(header[0] & 0xf) * 4;
        let total = usize::from(be16(header, 2));
        if header_len < MIN_LEN || total < header_len {
            return Err(WireError::Length);
        }
        let packet = bytes.get(..total).ok_or(WireError::Short)?;
        Ok(Self { header, options: &packet[MIN_LEN..header_len], payload: &packet[header_len..] })
    }

    /// Bytes of the header with its options.
    pub fn header_len(&self) -> usize {
        MIN_LEN + self.options.len()
    }

    /// Differentiated services code point.
    pub fn dscp(&self) -> u8 {
        self.header[1] >> 2
    }

    /// Explicit congestion notification.
    pub fn ecn(&self) -> u8 {
        self.header[1] & 3
    }

    /// Identification.
    pub fn ident(&self) -> u16 {
        be16(self.header, 4)
    }

    /// Whether it must not be fragmented.
    pub fn dont_fragment(&self) -> bool {
        self.header[6] & 0x40 != 0
    }

    /// Whether fragments follow.
    pub fn more_fragments(&self) -> bool {
        self.header[6] & 0x20 != 0
    }

    /// Where the fragment belongs, in bytes.
    pub fn fragment_offset(&self) -> u16 {
        (be16(self.header, 6) & 0x1fff) << 3
    }

    /// Whether it is a fragment.
    pub fn is_fragment(&self) -> bool {
        be16(self.header, 6) & 0x3fff != 0
    }

    /// Time to live.
    pub fn ttl(&self) -> u8 {
        self.header[8]
    }

    /// Protocol of the payload.
    pub fn protocol(&self) -> IpProtocol {
        IpProtocol(self.header[9])
    }

    /// Whether the header's checksum is right.
    pub fn checksum_ok(&self) -> bool {
        let total = u32::from(sum(self.header)) + u32::from(sum(self.options));
        crate::checksum::fold(u128::from(total)) == 0xffff
    }

    /// Source.
    pub fn src(&self) -> Ipv4Addr {
        array(self.header, 12).into()
    }

    /// Destination.
    pub fn dst(&self) -> Ipv4Addr {
        array(self.header, 16).into()
    }

    /// Options, with their padding.
    pub fn options(&self) -> &'a [u8] {
        self.options
    }

    /// What follows the header.
    pub fn payload(&self) -> &'a [u8] {
        self.payload
    }
}

/// An IPv4 header's values; the checksum is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ipv4Repr {
    /// Differentiated services code point; 6 bits count.
    pub dscp: u8,
    /// Explicit congestion notification; 2 bits count.
    pub ecn: u8,
    /// Identification.
    pub ident: u16,
    /// Whether it must not be fragmented.
    pub dont_fragment: bool,
    /// Whether fragments follow.
    pub more_fragments: bool,
    /// Where the fragment belongs, in bytes; a multiple of eight.
    pub fragment_offset: u16,
    /// Time to live.
    pub ttl: u8,
    /// Protocol of the payload.
    pub protocol: IpProtocol,
    /// Source.
    pub src: Ipv4Addr,
    /// Destination.
    pub dst: Ipv4Addr,
    /// Options.
    pub options: Inline<MAX_OPTIONS>,
    /// Bytes of the payload.
    pub payload_len: u16,
}

impl Ipv4Repr {
    /// A header without options, fragments or marks.
    pub fn new(src: Ipv4Addr, dst: Ipv4Addr, protocol: IpProtocol, payload_len: u16) -> Self {
        Self {
            dscp: 0,
            ecn: 0,
            ident: 0,
            dont_fragment: false,
            more_fragments: false,
            fragment_offset: 0,
            ttl: 64,
            protocol,
            src,
            dst,
            options: Inline::EMPTY,
            payload_len,
        }
    }

    /// The header's values.
    ///
    /// # Errors
    /// If the checksum is wrong.
    pub fn parse(view: &Ipv4View<'_>) -> Result<Self, WireError> {
        if !view.checksum_ok() {
            return Err(WireError::Checksum);
        }
        Ok(Self {
            dscp: view.dscp(),
            ecn: view.ecn(),
            ident: view.ident(),
            dont_fragment: view.dont_fragment(),
            more_fragments: view.more_fragments(),
            fragment_offset: view.fragment_offset(),
            ttl: view.ttl(),
            protocol: view.protocol(),
            src: view.src(),
            dst: view.dst(),
            options: Inline::padded(view.options())?,
            payload_len: view.payload().len() as u16,
        })
    }

    /// Bytes that the header takes.
    pub fn buffer_len(&self) -> usize {
        MIN_LEN + self.options.len()
    }

    /// Writes the header.
    ///
    /// # Errors
    /// If the buffer is short, or header and payload exceed 65,535 bytes.
    pub fn emit(&self, buffer: &mut [u8]) -> Result<(), WireError> {
        let length = self.buffer_len();
        let total = u16::try_from(length + usize::from(self.payload_len)).map_err(|_| WireError::Length)?;
        let out = room(buffer, length)?;
        let fragment = u16::from(self.dont_fragment) << 14
            | u16::from(self.more_fragments) << 13
            | self.fragment_offset >> 3;
        out[0] = 0x40 | (length / 4) as u8;
        out[1] = self.dscp << 2 | self.ecn & 3;
        out[2..4].copy_from_slice(&total.to_be_bytes());
        out[4..6].copy_from_slice(&self.ident.to_be_bytes());
        out[6..8].copy_from_slice(&fragment.to_be_bytes());
        out[8] = self.ttl;
        out[9] = self.protocol.0;
        out[10..12].fill(0);
        out[12..16].copy_from_slice(&self.src.octets());
        out[16..20].copy_from_slice(&self.dst.octets());
        out[20..].copy_from_slice(&self.options);
        let checksum = !sum(out);
        out[10..12].copy_from_slice(&checksum.to_be_bytes());
        Ok(())
    }
}
