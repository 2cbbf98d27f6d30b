//! Captures as `tcpdump` and `libpcap` write them: a header, then packets, each behind a header of its own
//! (draft-ietf-opsawg-pcap). The newer format of blocks (pcapng) is told apart, and not read.
//!
//! ```text
//! capture:  magic 4 | version 2+2 | zone 4 | accuracy 4 | longest packet 4 | link type 4
//! packet:   seconds 4 | fraction 4 | bytes here 4 | bytes there were 4 | data
//! ```
//!
//! Numbers are in the byte order of whoever wrote them, which the magic tells, and so does the unit of the fraction.

use std::borrow::Cow;
use std::time::Duration;

use crate::view::{be16, be32};

/// Bytes of a capture's header.
pub const HEADER_LEN: usize = 24;
/// Bytes of a packet's header.
pub const RECORD_LEN: usize = 16;
/// Longest packet that is read: what `tcpdump` keeps of one at most.
pub const MAX_PACKET: usize = 262_144;

const MICROSECONDS: u32 = 0xa1b2_c3d4;
const NANOSECONDS: u32 = 0xa1b2_3c4d;
/// A pcapng file begins with a section's block, whose type reads the same in either order.
const SECTION: u32 = 0x0a0d_0d0a;

/// Why a capture cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PcapError {
    /// It begins with no known magic.
    Magic,
    /// It is a pcapng file.
    NextGeneration,
    /// Its version is not 2.
    Version,
    /// Its packets are of a link layer that is not known here, with the number that it has.
    Link(u16),
    /// A packet is said to be longer than [`MAX_PACKET`].
    Length,
}

impl std::fmt::Display for PcapError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Magic => f.write_str("this is no capture: it begins with no magic of pcap"),
            Self::NextGeneration => {
                f.write_str("this is a pcapng file; \"editcap -F pcap\" makes a pcap file of it")
            }
            Self::Version => f.write_str("the capture's version is not 2"),
            Self::Link(number) => {
                write!(f, "the capture's packets are of link type {number}, which is not read")
            }
            Self::Length => write!(f, "a packet is said to be longer than {MAX_PACKET} bytes"),
        }
    }
}

impl std::error::Error for PcapError {}

/// What lies before a packet's network header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Link {
    Ethernet,
    /// Nothing: the packet's first four bits are IP's version.
    Raw,
    /// What Linux says of packets of any device: 16 bytes, of which the last two are the Ethernet type.
    Cooked,
    /// The second form of that: 20 bytes, of which the first two are the Ethernet type.
    Cooked2,
}

/// A packet's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// When it was captured, since 1970-01-01 in UTC.
    pub time: Duration,
    /// Bytes of it that follow, [`MAX_PACKET`] at most.
    pub length: usize,
}

/// What a capture's header says of its packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capture {
    swapped: bool,
    nanoseconds: bool,
    link: Link,
}

impl Capture {
    /// Reads a capture's header.
    ///
    /// # Errors
    /// If it is none, or of packets that cannot be read here.
    pub fn parse(header: &[u8; HEADER_LEN]) -> Result<Self, PcapError> {
        let magic = be32(header, 0);
        let (swapped, magic) = match magic {
            MICROSECONDS | NANOSECONDS => (false, magic),
            SECTION => return Err(PcapError::NextGeneration),
            _ => (true, magic.swap_bytes()),
        };
        let nanoseconds = match magic {
            MICROSECONDS => false,
            NANOSECONDS => true,
            _ => return Err(PcapError::Magic),
        };
        let version = [header[4], header[5]];
        if (if swapped { u16::from_le_bytes(version) } else { u16::from_be_bytes(version) }) != 2 {
            return Err(PcapError::Version);
        }
        let mut capture = Self { swapped, nanoseconds, link: Link::Ethernet };
        // The high bits say how long the frames' checksums are.
        capture.link = match capture.number(header, 20) as u16 {
            1 => Link::Ethernet,
            // Numbers of raw IP differ between systems.
            12 | 14 | 101 | 228 | 229 => Link::Raw,
            113 => Link::Cooked,
            276 => Link::Cooked2,
            other => return Err(PcapError::Link(other)),
        };
        Ok(capture)
    }

    /// Reads a packet's header.
    ///
    /// # Errors
    /// If the packet is longer than any is.
    pub fn record(&self, header: &[u8; RECORD_LEN]) -> Result<Record, PcapError> {
        let fraction = u64::from(self.number(header, 4));
        let fraction =
            if self.nanoseconds { Duration::from_nanos(fraction) } else { Duration::from_micros(fraction) };
        let length = self.number(header, 8) as usize;
        if length > MAX_PACKET {
            return Err(PcapError::Length);
        }
        Ok(Record { time: Duration::from_secs(u64::from(self.number(header, 0))) + fraction, length })
    }

    /// A captured packet as an Ethernet frame, whose addresses are zero where none were captured; `None` if its link
    /// header is cut short.
    pub fn frame<'a>(&self, packet: &'a [u8]) -> Option<Cow<'a, [u8]>> {
        let (kind, start) = match self.link {
            Link::Ethernet => return Some(Cow::Borrowed(packet)),
            Link::Raw if packet.first()? >> 4 == 6 => (crate::ethertype::IPV6, 0),
            Link::Raw => (crate::ethertype::IPV4, 0),
            Link::Cooked => (be16(packet.first_chunk::<16>()?, 14), 16),
            Link::Cooked2 => (be16(packet.first_chunk::<20>()?, 0), 20),
        };
        Some(Cow::Owned([&[0; 12], &kind.to_be_bytes()[..], &packet[start..]].concat()))
    }

    fn number<const L: usize>(&self, header: &[u8; L], at: usize) -> u32 {
        let number = be32(header, at);
        if self.swapped { number.swap_bytes() } else { number }
    }
}

/// The header of a capture of Ethernet frames, by microseconds, in network byte order.
pub fn header() -> [u8; HEADER_LEN] {
    let mut header = [0; HEADER_LEN];
    header[..4].copy_from_slice(&MICROSECONDS.to_be_bytes());
    (header[5], header[7], header[23]) = (2, 4, 1);
    header[16..20].copy_from_slice(&(MAX_PACKET as u32).to_be_bytes());
    header
}

/// The header of a packet of `length` bytes, for a capture that begins with [`header`]; `time` is since 1970-01-01 in
/// UTC.
pub fn record(time: Duration, length: u32) -> [u8; RECORD_LEN] {
    let mut record = [0; RECORD_LEN];
    record[..4].copy_from_slice(&(time.as_secs() as u32).to_be_bytes());
    record[4..8].copy_from_slice(&time.subsec_micros().to_be_bytes());
    record[8..12].copy_from_slice(&length.to_be_bytes());
    record[12..].copy_from_slice(&length.to_be_bytes());
    record
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_in_either_byte_order() {
        let time = Duration::new(1_700_000_000, 123_456_000);
        let (mut capture, mut packet) = (header(), record(time, 60));
        for _ in 0..2 {
            let read = Capture::parse(&capture).expect("it is a capture");
            assert_eq!(read.record(&packet), Ok(Record { time, length: 60 }));
            let fields = [0..4, 4..6, 6..8, 16..20, 20..24];
            fields.into_iter().for_each(|field| capture[field].reverse());
            packet.chunks_mut(4).for_each(<[u8]>::reverse);
        }
    }

    #[test]
    fn a_fraction_may_count_nanoseconds() {
        let mut capture = header();
        capture[..4].copy_from_slice(&NANOSECONDS.to_be_bytes());
        let read = Capture::parse(&capture).expect("it is a capture");
        let mut packet = record(Duration::ZERO, 1);
        packet[4..8].copy_from_slice(&7u32.to_be_bytes());
        assert_eq!(read.record(&packet).map(|packet| packet.time), Ok(Duration::from_nanos(7)));
    }

    #[test]
    fn each_reason_not_to_read_is_told_apart() {
        let with = |at: usize, bytes: &[u8]| {
            let mut header = header();
            header[at..at + bytes.len()].copy_from_slice(bytes);
            Capture::parse(&header)
        };
        assert_eq!(with(0, &[0; 4]), Err(PcapError::Magic));
        assert_eq!(with(0, &SECTION.to_be_bytes()), Err(PcapError::NextGeneration));
        assert_eq!(with(4, &[0, 3]), Err(PcapError::Version));
        assert_eq!(with(22, &[0, 105]), Err(PcapError::Link(105)));
        let capture = with(0, &[]).expect("nothing was changed");
        assert_eq!(capture.record(&record(Duration::ZERO, MAX_PACKET as u32 + 1)), Err(PcapError::Length));
    }

    #[test]
    fn packets_of_other_link_layers_get_an_ethernet_header() {
        let of = |link: u16, packet: &[u8]| {
            let mut header = header();
            header[22..].copy_from_slice(&link.to_be_bytes());
            let capture = Capture::parse(&header).expect("its link type is read");
            capture.frame(packet).map(|frame| frame[12..].to_vec())
        };
        assert_eq!(of(101, &[0x60, 1]), Some(vec![0x86, 0xdd, 0x60, 1]));
        assert_eq!(of(228, &[0x45, 1]), Some(vec![0x08, 0, 0x45, 1]));
        let cooked = [[0; 14].as_slice(), &[0x08, 6, 9]].concat();
        assert_eq!(of(113, &cooked), Some(vec![0x08, 6, 9]));
        let cooked = [[0x86, 0xdd].as_slice(), &[0; 18], &[9]].concat();
        assert_eq!(of(276, &cooked), Some(vec![0x86, 0xdd, 9]));
        assert_eq!((of(101, &[]), of(113, &[0; 15]), of(276, &[0; 19])), (None, None, None));
    }
}
