//! Where the headers of a frame are, for what works on offloads: past tags, labels and extension headers to the transport.

use crate::addr::IpProtocol;
use crate::ipv6::walk;
use crate::numbers::{ethertype, ipproto};

/// Most tags and labels that are walked.
const MAX_TAGS: usize = 8;

/// The headers of an IP packet within a frame, in bytes from the frame's first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Headers {
    /// Where the IP header starts.
    pub l3: usize,
    /// Where the transport header starts.
    pub l4: usize,
    /// Whether it is IPv6.
    pub v6: bool,
    /// Protocol of the transport header.
    pub proto: u8,
    /// Whether it is a first fragment: the transport header is there, but not all that its checksum covers.
    pub fragment: bool,
}

/// Finds the headers of an IP packet that is not a later fragment; `None` for any other frame.
pub fn headers(frame: &[u8]) -> Option<Headers> {
    match network(frame)? {
        (l3, false) => ipv4(frame, l3),
        (l3, true) => ipv6(frame, l3),
    }
}

/// Where the IP header starts, and whether it is to be IPv6's; `None` for a frame that carries no IP. The header itself is
/// not looked at.
pub fn network(frame: &[u8]) -> Option<(usize, bool)> {
    let mut at = 12;
    for _ in 0..MAX_TAGS {
        let kind = u16::from_be_bytes(*frame.get(at..)?.first_chunk()?);
        at += 2;
        match kind {
            ethertype::VLAN | ethertype::QINQ => at += 2,
            ethertype::IPV4 => return Some((at, false)),
            ethertype::IPV6 => return Some((at, true)),
            ethertype::MPLS | ethertype::MPLS_MC => return labelled(frame, at),
            _ => return None,
        }
    }
    None
}

/// Past the label stack: what follows says by its first nibble whether it is IP.
fn labelled(frame: &[u8], mut at: usize) -> Option<(usize, bool)> {
    for _ in 0..MAX_TAGS {
        let bottom = frame.get(at + 2)? & 1 != 0;
        at += 4;
        if bottom {
            return match frame.get(at)? >> 4 {
                4 => Some((at, false)),
                6 => Some((at, true)),
                _ => None,
            };
        }
    }
    None
}

fn ipv4(frame: &[u8], l3: usize) -> Option<Headers> {
    let header: &[u8; 20] = frame.get(l3..)?.first_chunk()?;
    let length = usize::from(header[0] & 0xf) * 4;
    let fragment = u16::from_be_bytes([header[6], header[7]]) & 0x3fff;
    let later_fragment = fragment & 0x1fff != 0;
    if header[0] >> 4 != 4 || length < 20 || later_fragment || frame.len() < l3 + length {
        return None;
    }
    Some(Headers { l3, l4: l3 + length, v6: false, proto: header[9], fragment: fragment != 0 })
}

fn ipv6(frame: &[u8], l3: usize) -> Option<Headers> {
    let header: &[u8; 40] = frame.get(l3..)?.first_chunk()?;
    if header[0] >> 4 != 6 {
        return None;
    }
    let walked = walk(IpProtocol(header[6]), &frame[l3 + 40..]).ok()?;
    let fragment = walked.fragment.is_some_and(|fragment| fragment.more);
    let found = Headers { l3, l4: l3 + 40 + walked.offset, v6: true, proto: walked.protocol.0, fragment };
    (!walked.is_later_fragment()).then_some(found)
}

impl Headers {
    /// Where the transport's checksum is, counted from its header; `None` for a transport without one.
    pub fn checksum_offset(&self) -> Option<usize> {
        match self.proto {
            ipproto::TCP => Some(16),
            ipproto::UDP => Some(6),
            ipproto::SCTP => Some(8),
            ipproto::ICMPV6 if self.v6 => Some(2),
            _ => None,
        }
    }

    /// Where the payload starts; `None` if the transport header is cut short.
    pub fn payload(&self, frame: &[u8]) -> Option<usize> {
        let length = match self.proto {
            ipproto::TCP => usize::from(*frame.get(self.l4 + 12)? >> 4) * 4,
            ipproto::UDP => 8,
            _ => return None,
        };
        let minimum = if self.proto == ipproto::TCP { 20 } else { 8 };
        (length >= minimum && self.l4 + length <= frame.len()).then_some(self.l4 + length)
    }
}
