//! The virtio-net header that TAP and AF_PACKET put before a frame (virtio 1.2 section 5.1.6), checked at the door.
//!
//! A sender may write anything here. What it claims must be what the frame itself says, or the frame is refused:
//! a forged header could make a later device sum, cut or write past the frame's end.

use crate::locate::headers;
use crate::numbers::ipproto;
use crate::packet::{Checksum, GsoType, Offload};

/// Bytes of the header in its mergeable form.
pub const HEADER_LEN: usize = 12;
/// Bytes of the header without the count of merged buffers, which is what [`parse`] needs at least.
pub const HEADER_LEN_LEGACY: usize = 10;
/// Fewest payload bytes of a TCP piece: the least segment that Linux accepts, without options (48 - 40).
const MIN_TCP_PIECE: usize = 8;
/// Most pieces of a UDP segment, as in Linux.
const MAX_UDP_PIECES: usize = 128;

const NEEDS_CSUM: u8 = 1;
const DATA_VALID: u8 = 2;
const GSO_NONE: u8 = 0;
const GSO_TCPV4: u8 = 1;
const GSO_TCPV6: u8 = 4;
const GSO_UDP_L4: u8 = 5;
const GSO_ECN: u8 = 0x80;

/// Why a header is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum VnetError {
    /// Shorter than a header.
    Short,
    /// A flag or segment type that was not agreed on.
    Unknown,
    /// The checksum field is not the one of the frame's transport header.
    Checksum,
    /// The segment type is not that of the frame.
    GsoType,
    /// The segment size is zero, or the frame has no payload to cut.
    GsoSize,
}

impl VnetError {
    /// Every reason.
    pub const ALL: [VnetError; 5] =
        [Self::Short, Self::Unknown, Self::Checksum, Self::GsoType, Self::GsoSize];

    /// The reason's name, as counters show it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Short => "offload header cut short",
            Self::Unknown => "offload header with unknown bits",
            Self::Checksum => "forged checksum offload",
            Self::GsoType => "forged segment type",
            Self::GsoSize => "forged segment size",
        }
    }
}

/// Reads the header of `frame`.
///
/// # Errors
/// If what it claims is not what the frame itself says.
#[inline]
pub fn parse(header: &[u8], frame: &[u8]) -> Result<Offload, VnetError> {
    let header: &[u8; 10] = header.first_chunk().ok_or(VnetError::Short)?;
    if header[0] == 0 && header[1] == GSO_NONE {
        return Ok(Offload::default());
    }
    parse_offload(header, frame)
}

fn parse_offload(header: &[u8; 10], frame: &[u8]) -> Result<Offload, VnetError> {
    let (flags, gso) = (header[0], header[1] & !GSO_ECN);
    if flags & !(NEEDS_CSUM | DATA_VALID) != 0 {
        return Err(VnetError::Unknown);
    }
    let word = |at: usize| u16::from_le_bytes([header[at], header[at + 1]]);
    let mut offload = Offload::default();
    if flags & NEEDS_CSUM != 0 {
        offload.checksum = checksum(word(6), word(8), frame)?;
    } else if flags & DATA_VALID != 0 {
        offload.checksum = Checksum::Verified;
    }
    if gso == GSO_NONE {
        return Ok(offload);
    }
    if flags & NEEDS_CSUM == 0 {
        return Err(VnetError::Checksum);
    }
    let at = headers(frame).filter(|at| !at.fragment).ok_or(VnetError::GsoType)?;
    offload.gso = match (gso, at.proto, at.v6) {
        (GSO_TCPV4, ipproto::TCP, false) => GsoType::TcpV4,
        (GSO_TCPV6, ipproto::TCP, true) => GsoType::TcpV6,
        (GSO_UDP_L4, ipproto::UDP, _) => GsoType::UdpL4,
        (GSO_TCPV4 | GSO_TCPV6 | GSO_UDP_L4, ..) => return Err(VnetError::GsoType),
        _ => return Err(VnetError::Unknown),
    };
    let payload = at.payload(frame).ok_or(VnetError::GsoType)?;
    offload.gso_size = word(4);
    let (size, rest) = (usize::from(offload.gso_size), frame.len().saturating_sub(payload));
    let sane = match offload.gso {
        // A segment of tiny pieces would multiply one packet into tens of thousands.
        GsoType::UdpL4 => size != 0 && rest.div_ceil(size) <= MAX_UDP_PIECES,
        _ => size >= MIN_TCP_PIECE,
    };
    let piece_fits = payload - at.l3 + size.min(rest) <= usize::from(u16::MAX);
    if !sane || !piece_fits || rest == 0 {
        return Err(VnetError::GsoSize);
    }
    offload.header_len = payload as u16;
    offload.ecn = header[1] & GSO_ECN != 0;
    Ok(offload)
}

fn checksum(start: u16, offset: u16, frame: &[u8]) -> Result<Checksum, VnetError> {
    let field = usize::from(start) + usize::from(offset);
    // A fragment's checksum cannot be completed, so it is never partial.
    let at = headers(frame).filter(|at| !at.fragment).ok_or(VnetError::Checksum)?;
    let right = match at.checksum_offset() {
        Some(known) => (at.l4, known) == (usize::from(start), usize::from(offset)),
        // Tunnels without a checksum of their own, as GRE, leave an inner one partial: any place behind the IP header.
        None => usize::from(start) >= at.l4,
    };
    let width = if at.proto == ipproto::SCTP { 4 } else { 2 };
    if !right || field + width > frame.len() {
        return Err(VnetError::Checksum);
    }
    Ok(Checksum::Partial { start, offset })
}

/// Writes the header for a frame that is handed to a device.
#[inline]
pub fn emit(offload: &Offload) -> [u8; HEADER_LEN] {
    let mut header = [0; HEADER_LEN];
    match offload.checksum {
        Checksum::Unverified => {}
        Checksum::Verified => header[0] = DATA_VALID,
        Checksum::Partial { start, offset } => {
            header[0] = NEEDS_CSUM;
            header[6..8].copy_from_slice(&start.to_le_bytes());
            header[8..10].copy_from_slice(&offset.to_le_bytes());
        }
    }
    header[1] = match offload.gso {
        GsoType::None => return header,
        GsoType::TcpV4 => GSO_TCPV4,
        GsoType::TcpV6 => GSO_TCPV6,
        GsoType::UdpL4 => GSO_UDP_L4,
    };
    if offload.ecn {
        header[1] |= GSO_ECN;
    }
    header[2..4].copy_from_slice(&offload.header_len.to_le_bytes());
    header[4..6].copy_from_slice(&offload.gso_size.to_le_bytes());
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(payload: usize) -> Vec<u8> {
        let mut frame = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0];
        frame.extend([0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
        let total = (40 + payload) as u16;
        frame[16..18].copy_from_slice(&total.to_be_bytes());
        frame.extend([0, 1, 0, 2, 0, 0, 0, 9, 0, 0, 0, 0, 0x50, 0x18, 0, 0, 0, 0, 0, 0]);
        frame.extend((0..payload).map(|byte| byte as u8));
        frame
    }

    fn claim(flags: u8, gso: u8, size: u16, start: u16, offset: u16) -> [u8; HEADER_LEN] {
        let mut header = [0; HEADER_LEN];
        (header[0], header[1]) = (flags, gso);
        header[4..6].copy_from_slice(&size.to_le_bytes());
        header[6..8].copy_from_slice(&start.to_le_bytes());
        header[8..10].copy_from_slice(&offset.to_le_bytes());
        header
    }

    #[test]
    fn an_honest_segment_passes_and_is_written_back() {
        let frame = tcp(5000);
        let offload = parse(&claim(1, 1, 1448, 34, 16), &frame).unwrap();
        assert_eq!((offload.gso, offload.header_len), (GsoType::TcpV4, 54));
        assert_eq!(parse(&emit(&offload), &frame), Ok(offload));
    }

    #[test]
    fn forged_headers_are_refused() {
        let frame = tcp(5000);
        let refused = |header: [u8; HEADER_LEN]| parse(&header, &frame).unwrap_err();
        assert_eq!(refused(claim(1, 1, 1448, 34, 15)), VnetError::Checksum);
        assert_eq!(refused(claim(1, 1, 1448, 60_000, 16)), VnetError::Checksum);
        assert_eq!(refused(claim(0, 1, 1448, 34, 16)), VnetError::Checksum);
        assert_eq!(refused(claim(1, 4, 1448, 34, 16)), VnetError::GsoType);
        assert_eq!(refused(claim(1, 1, 0, 34, 16)), VnetError::GsoSize);
        assert_eq!(refused(claim(1, 3, 1448, 34, 16)), VnetError::Unknown);
        assert_eq!(refused(claim(0x80, 0, 0, 0, 0)), VnetError::Unknown);
        assert_eq!(parse(&[0; 4], &frame), Err(VnetError::Short));
    }

    #[test]
    fn a_tunnel_may_leave_an_inner_checksum_partial() {
        let mut frame = tcp(100);
        frame[23] = 47;
        let inner = Checksum::Partial { start: 78, offset: 16 };
        assert_eq!(parse(&claim(1, 0, 0, 78, 16), &frame).map(|offload| offload.checksum), Ok(inner));
        assert_eq!(parse(&claim(1, 0, 0, 20, 16), &frame), Err(VnetError::Checksum));
        assert_eq!(parse(&claim(1, 0, 0, 78, 75), &frame), Err(VnetError::Checksum));
    }

    #[test]
    fn every_piece_of_a_segment_is_a_true_packet() {
        let mut packet = crate::Packet::from_frame(&tcp(5000));
        packet.offload = parse(&claim(1, 1, 1448, 34, 16), packet.data()).unwrap();
        assert_eq!(packet.wire_packets(), 4);
        let mut segmenter = crate::segment::Segmenter::new(&packet).unwrap();
        let (mut piece, mut payload, mut count) = (crate::Packet::with_capacity(2048), Vec::new(), 0);
        while segmenter.next_into(&mut piece) {
            assert_eq!(crate::checksum::verify_transport(piece.data()), Some(true));
            assert_eq!(piece.data()[47] & 8 != 0, count == 3);
            payload.extend_from_slice(&piece.data()[54..]);
            count += 1;
        }
        assert_eq!((count, payload.len()), (4, 5000));
        assert_eq!(payload, packet.data()[54..]);
    }
}
