//! Transport headers: TCP (RFC 9293), UDP (RFC 768) and SCTP's common header (RFC 9260).
//!
//! Their checksums cover the payload and, for TCP and UDP, addresses of the layer below. So representations leave the
//! field zero, and [`crate::checksum::complete`] fills it in once the frame is whole.

use crate::view::{Inline, WireError, be16, be32, room, split};

/// Bytes of a TCP header without options.
pub const TCP_MIN_LEN: usize = 20;
/// Bytes of a UDP header.
pub const UDP_LEN: usize = 8;
/// Bytes of SCTP's common header.
pub const SCTP_LEN: usize = 12;

/// TCP's control bits (RFC 9293 section 3.1, RFC 8311 for NS).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct TcpFlags(pub u16);

impl TcpFlags {
    /// No more data from the sender.
    pub const FIN: Self = Self(0x001);
    /// Synchronize sequence numbers.
    pub const SYN: Self = Self(0x002);
    /// Reset.
    pub const RST: Self = Self(0x004);
    /// Push.
    pub const PSH: Self = Self(0x008);
    /// The acknowledgement counts.
    pub const ACK: Self = Self(0x010);
    /// The urgent pointer counts.
    pub const URG: Self = Self(0x020);
    /// Congestion was experienced.
    pub const ECE: Self = Self(0x040);
    /// The congestion window was reduced.
    pub const CWR: Self = Self(0x080);
    /// ECN's nonce sum.
    pub const NS: Self = Self(0x100);

    /// Whether all of `flags` are set.
    pub const fn has(self, flags: Self) -> bool {
        self.0 & flags.0 == flags.0
    }
}

impl std::ops::BitOr for TcpFlags {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// A TCP segment.
#[derive(Clone, Copy, Debug)]
pub struct TcpView<'a> {
    header: &'a [u8; TCP_MIN_LEN],
    options: &'a [u8],
    payload: &'a [u8],
}

impl<'a> TcpView<'a> {
    /// A view of a segment.
    ///
    /// # Errors
    /// If it is short, or its data offset lies outside it.
    pub fn new(bytes: &'a [u8]) -> Result<Self, WireError> {
        let (header, rest) = split::<TCP_MIN_LEN>(bytes)?;
        let length = usize::from(header[12] >> 4) * 4;
        let options = length.checked_sub(TCP_MIN_LEN).ok_or(WireError::Length)?;
        let (options, payload) = rest.split_at_checked(options).ok_or(WireError::Short)?;
        Ok(Self { header, options, payload })
    }

    /// Source port.
    pub fn src_port(&self) -> u16 {
        be16(self.header, 0)
    }

    /// Destination port.
    pub fn dst_port(&self) -> u16 {
        be16(self.header, 2)
    }

    /// Sequence number of the first byte.
    pub fn sequence(&self) -> u32 {
        be32(self.header, 4)
    }

    /// Acknowledgement number.
    pub fn acknowledgement(&self) -> u32 {
        be32(self.header, 8)
    }

    /// Control bits.
    pub fn flags(&self) -> TcpFlags {
        TcpFlags(be16(self.header, 12) & 0x1ff)
    }

    /// Receive window, unscaled.
    pub fn window(&self) -> u16 {
        be16(self.header, 14)
    }

    /// Checksum field.
    pub fn checksum(&self) -> u16 {
        be16(self.header, 16)
    }

    /// Urgent pointer.
    pub fn urgent(&self) -> u16 {
        be16(self.header, 18)
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

/// A TCP header's values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TcpRepr {
    /// Source port.
    pub src_port: u16,
    /// Destination port.
    pub dst_port: u16,
    /// Sequence number of the first byte.
    pub sequence: u32,
    /// Acknowledgement number.
    pub acknowledgement: u32,
    /// Control bits.
    pub flags: TcpFlags,
    /// Receive window, unscaled.
    pub window: u16,
    /// Urgent pointer.
    pub urgent: u16,
    /// Options.
    pub options: Inline<40>,
}

impl TcpRepr {
    /// The header's values.
    ///
    /// # Errors
    /// Never; the result is there for likeness with other formats.
    pub fn parse(view: &TcpView<'_>) -> Result<Self, WireError> {
        Ok(Self {
            src_port: view.src_port(),
            dst_port: view.dst_port(),
            sequence: view.sequence(),
            acknowledgement: view.acknowledgement(),
            flags: view.flags(),
            window: view.window(),
            urgent: view.urgent(),
            options: Inline::padded(view.options())?,
        })
    }

    /// Bytes that the header takes.
    pub fn buffer_len(&self) -> usize {
        TCP_MIN_LEN + self.options.len()
    }

    /// Writes the header, with a checksum of zero.
    ///
    /// # Errors
    /// If the buffer is short.
    pub fn emit(&self, buffer: &mut [u8]) -> Result<(), WireError> {
        let length = self.buffer_len();
        let out = room(buffer, length)?;
        out[..2].copy_from_slice(&self.src_port.to_be_bytes());
        out[2..4].copy_from_slice(&self.dst_port.to_be_bytes());
        out[4..8].copy_from_slice(&self.sequence.to_be_bytes());
        out[8..12].copy_from_slice(&self.acknowledgement.to_be_bytes());
        let offset_and_flags = (length as u16 / 4) << 12 | self.flags.0 & 0x1ff;
        out[12..14].copy_from_slice(&offset_and_flags.to_be_bytes());
        out[14..16].copy_from_slice(&self.window.to_be_bytes());
        out[16..18].fill(0);
        out[18..20].copy_from_slice(&self.urgent.to_be_bytes());
        out[20..].copy_from_slice(&self.options);
        Ok(())
    }
}

/// A UDP datagram.
#[derive(Clone, Copy, Debug)]
pub struct UdpView<'a> {
    header: &'a [u8; UDP_LEN],
    payload: &'a [u8],
}

impl<'a> UdpView<'a> {
    /// A view of a datagram.
    ///
    /// # Errors
    /// If it is short, or its length contradicts its bytes.
    pub fn new(bytes: &'a [u8]) -> Result<Self, WireError> {
        let (header, rest) = split::<UDP_LEN>(bytes)?;
        let length = usize::from(be16(header, 4)).checked_sub(UDP_LEN).ok_or(WireError::Length)?;
        let payload = rest.get(..length).ok_or(WireError::Short)?;
        Ok(Self { header, payload })
    }

    /// Source port.
    pub fn src_port(&self) -> u16 {
        be16(self.header, 0)
    }

    /// Destination port.
    pub fn dst_port(&self) -> u16 {
        be16(self.header, 2)
    }

    /// Checksum field; zero over IPv4 means that there is none.
    pub fn checksum(&self) -> u16 {
        be16(self.header, 6)
    }

    /// What follows the header.
    pub fn payload(&self) -> &'a [u8] {
        self.payload
    }
}

/// A UDP header's values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UdpRepr {
    /// Source port.
    pub src_port: u16,
    /// Destination port.
    pub dst_port: u16,
    /// Bytes of the payload.
    pub payload_len: u16,
}

impl UdpRepr {
    /// The header's values.
    ///
    /// # Errors
    /// Never; the result is there for likeness with other formats.
    pub fn parse(view: &UdpView<'_>) -> Result<Self, WireError> {
        let payload_len = view.payload().len() as u16;
        Ok(Self { src_port: view.src_port(), dst_port: view.dst_port(), payload_len })
    }

    /// Bytes that the header takes.
    pub fn buffer_len(&self) -> usize {
        UDP_LEN
    }

    /// Writes the header, with a checksum of zero.
    ///
    /// # Errors
    /// If the buffer is short, or header and payload exceed 65,535 bytes.
    pub fn emit(&self, buffer: &mut [u8]) -> Result<(), WireError> {
        let length = self.payload_len.checked_add(UDP_LEN as u16).ok_or(WireError::Length)?;
        let out = room(buffer, UDP_LEN)?;
        out[..2].copy_from_slice(&self.src_port.to_be_bytes());
        out[2..4].copy_from_slice(&self.dst_port.to_be_bytes());
        out[4..6].copy_from_slice(&length.to_be_bytes());
        out[6..].fill(0);
        Ok(())
    }
}

/// An SCTP packet.
#[derive(Clone, Copy, Debug)]
pub struct SctpView<'a> {
    header: &'a [u8; SCTP_LEN],
    payload: &'a [u8],
}

impl<'a> SctpView<'a> {
    /// A view of a packet.
    ///
    /// # Errors
    /// If it is shorter than the common header.
    pub fn new(bytes: &'a [u8]) -> Result<Self, WireError> {
        let (header, payload) = split(bytes)?;
        Ok(Self { header, payload })
    }

    /// Source port.
    pub fn src_port(&self) -> u16 {
        be16(self.header, 0)
    }

    /// Destination port.
    pub fn dst_port(&self) -> u16 {
        be16(self.header, 2)
    }

    /// Verification tag.
    pub fn tag(&self) -> u32 {
        be32(self.header, 4)
    }

    /// CRC32c, which is transmitted with its lowest byte first (RFC 9260 appendix A).
    pub fn checksum(&self) -> u32 {
        be32(self.header, 8).swap_bytes()
    }

    /// The chunks.
    pub fn payload(&self) -> &'a [u8] {
        self.payload
    }
}

/// The values of SCTP's common header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SctpRepr {
    /// Source port.
    pub src_port: u16,
    /// Destination port.
    pub dst_port: u16,
    /// Verification tag.
    pub tag: u32,
}

impl SctpRepr {
    /// The header's values.
    ///
    /// # Errors
    /// Never; the result is there for likeness with other formats.
    pub fn parse(view: &SctpView<'_>) -> Result<Self, WireError> {
        Ok(Self { src_port: view.src_port(), dst_port: view.dst_port(), tag: view.tag() })
    }

    /// Bytes that the header takes.
    pub fn buffer_len(&self) -> usize {
        SCTP_LEN
    }

    /// Writes the header, with a checksum of zero.
    ///
    /// # Errors
    /// If the buffer is short.
    pub fn emit(&self, buffer: &mut [u8]) -> Result<(), WireError> {
        let out = room(buffer, SCTP_LEN)?;
        out[..2].copy_from_slice(&self.src_port.to_be_bytes());
        out[2..4].copy_from_slice(&self.dst_port.to_be_bytes());
        out[4..8].copy_from_slice(&self.tag.to_be_bytes());
        out[8..].fill(0);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_data_offset_outside_the_segment_is_refused() {
        let mut header = [0; 20];
        header[12] = 0x40;
        assert_eq!(TcpView::new(&header).unwrap_err(), WireError::Length);
        header[12] = 0x60;
        assert_eq!(TcpView::new(&header).unwrap_err(), WireError::Short);
        header[12..14].copy_from_slice(&[0x51, 0x03]);
        let flags = TcpView::new(&header).unwrap().flags();
        assert!(flags.has(TcpFlags::NS | TcpFlags::SYN | TcpFlags::FIN) && !flags.has(TcpFlags::ACK));
    }
}
