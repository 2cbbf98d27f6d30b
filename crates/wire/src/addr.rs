//! Numbers and addresses as types, so that a VLAN id is not mistaken for a port, nor an Ethernet type for a protocol.

use std::fmt;
use std::str::FromStr;

/// An Ethernet address.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MacAddr(pub [u8; 6]);

impl MacAddr {
    /// All ones.
    pub const BROADCAST: Self = Self([0xff; 6]);
    /// All zeros: no address.
    pub const ZERO: Self = Self([0; 6]);

    /// The address whose 48 bits are the low ones of `value`.
    pub const fn from_u64(value: u64) -> Self {
        let [_, _, a, b, c, d, e, f] = value.to_be_bytes();
        Self([a, b, c, d, e, f])
    }

    /// The address's bits as the low 48 of a number.
    pub const fn to_u64(self) -> u64 {
        let [a, b, c, d, e, f] = self.0;
        u64::from_be_bytes([0, 0, a, b, c, d, e, f])
    }

    /// Whether it is all ones.
    pub fn is_broadcast(self) -> bool {
        self == Self::BROADCAST
    }

    /// Whether it names a group; broadcast is one.
    pub const fn is_multicast(self) -> bool {
        self.0[0] & 1 != 0
    }

    /// Whether it names one station.
    pub fn is_unicast(self) -> bool {
        !self.is_multicast() && self != Self::ZERO
    }

    /// Whether it is locally administered.
    pub const fn is_local(self) -> bool {
        self.0[0] & 2 != 0
    }

    /// Whether bridges must not forward to it: 01:80:c2:00:00:00 to 0f (IEEE 802.1Q table 8-1).
    pub const fn is_link_local(self) -> bool {
        let [a, b, c, d, e, f] = self.0;
        matches!([a, b, c, d, e], [0x01, 0x80, 0xc2, 0, 0]) && f < 0x10
    }
}

impl fmt::Display for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text is no Ethernet address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MacAddrError;

impl fmt::Display for MacAddrError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an Ethernet address is six pairs of hexadecimal digits, such as 02:00:00:00:00:01")
    }
}

impl std::error::Error for MacAddrError {}

impl FromStr for MacAddr {
    type Err = MacAddrError;

    fn from_str(text: &str) -> Result<Self, MacAddrError> {
        let mut octets = [0; 6];
        let mut parts = text.split([':', '-']);
        for octet in &mut octets {
            let part = parts.next().ok_or(MacAddrError)?;
            let digits = part.bytes().all(|digit| digit.is_ascii_hexdigit()) && matches!(part.len(), 1 | 2);
            if !digits {
                return Err(MacAddrError);
            }
            *octet = u8::from_str_radix(part, 16).map_err(|_| MacAddrError)?;
        }
        if parts.next().is_some() { Err(MacAddrError) } else { Ok(Self(octets)) }
    }
}

impl From<[u8; 6]> for MacAddr {
    fn from(octets: [u8; 6]) -> Self {
        Self(octets)
    }
}

/// An Ethernet type.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EtherType(pub u16);

impl EtherType {
    /// IPv4.
    pub const IPV4: Self = Self(0x0800);
    /// ARP.
    pub const ARP: Self = Self(0x0806);
    /// IEEE 802.1Q tag.
    pub const VLAN: Self = Self(0x8100);
    /// IEEE 802.1ad service tag.
    pub const QINQ: Self = Self(0x88a8);
    /// IPv6.
    pub const IPV6: Self = Self(0x86dd);
    /// MPLS unicast.
    pub const MPLS: Self = Self(0x8847);
    /// MPLS multicast.
    pub const MPLS_MC: Self = Self(0x8848);

    /// Whether a VLAN tag follows.
    pub const fn is_vlan(self) -> bool {
        matches!(self, Self::VLAN | Self::QINQ)
    }

    /// Whether a label stack follows.
    pub const fn is_mpls(self) -> bool {
        matches!(self, Self::MPLS | Self::MPLS_MC)
    }

    /// Whether the number is a length (IEEE 802.3) and not a type.
    pub const fn is_length(self) -> bool {
        self.0 < 0x600
    }
}

impl fmt::Display for EtherType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{:04x}", self.0)
    }
}

impl fmt::Debug for EtherType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// An IP protocol number, or the number of an IPv6 extension header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IpProtocol(pub u8);

impl IpProtocol {
    /// IPv6 hop-by-hop options.
    pub const HOP_BY_HOP: Self = Self(0);
    /// ICMP.
    pub const ICMP: Self = Self(1);
    /// TCP.
    pub const TCP: Self = Self(6);
    /// UDP.
    pub const UDP: Self = Self(17);
    /// IPv6 routing header.
    pub const ROUTING: Self = Self(43);
    /// IPv6 fragment header.
    pub const FRAGMENT: Self = Self(44);
    /// Encapsulating security payload.
    pub const ESP: Self = Self(50);
    /// Authentication header.
    pub const AH: Self = Self(51);
    /// ICMPv6.
    pub const ICMPV6: Self = Self(58);
    /// Nothing follows.
    pub const NO_NEXT: Self = Self(59);
    /// IPv6 destination options.
    pub const DESTINATION: Self = Self(60);
    /// SCTP.
    pub const SCTP: Self = Self(132);
    /// IPv6 mobility header.
    pub const MOBILITY: Self = Self(135);
}

impl fmt::Display for IpProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A VLAN id: 0 (priority tag) to 4095.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VlanId(u16);

impl VlanId {
    /// The id, if it fits in 12 bits.
    pub const fn new(id: u16) -> Option<Self> {
        if id < 0x1000 { Some(Self(id)) } else { None }
    }

    /// The number.
    pub const fn number(self) -> u16 {
        self.0
    }
}

impl fmt::Display for VlanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A VLAN tag's control information: priority, drop eligibility and id (IEEE 802.1Q section 9.6).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Tci(pub u16);

impl Tci {
    /// Put together from its parts; of `pcp`, three bits count.
    pub const fn new(pcp: u8, dei: bool, vid: VlanId) -> Self {
        Self((pcp as u16 & 7) << 13 | (dei as u16) << 12 | vid.0)
    }

    /// Priority code point, 0 to 7.
    pub const fn pcp(self) -> u8 {
        (self.0 >> 13) as u8
    }

    /// Whether the frame may be dropped first.
    pub const fn dei(self) -> bool {
        self.0 & 0x1000 != 0
    }

    /// VLAN id.
    pub const fn vid(self) -> VlanId {
        VlanId(self.0 & 0xfff)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_they_are_written() {
        let address: MacAddr = "02:0A:ff-0:1:9".parse().unwrap();
        assert_eq!(address.to_string(), "02:0a:ff:00:01:09");
        assert_eq!(MacAddr::from_u64(address.to_u64()), address);
        for wrong in ["", "1:2:3:4:5", "1:2:3:4:5:6:7", "1:2:3:4:5:100", "+1:2:3:4:5:6", "::::::"] {
            assert_eq!(wrong.parse::<MacAddr>(), Err(MacAddrError), "{wrong}");
        }
        assert!(MacAddr::BROADCAST.is_multicast() && !MacAddr::ZERO.is_unicast());
        assert!(MacAddr([1, 0x80, 0xc2, 0, 0, 0xe]).is_link_local());
    }

    #[test]
    fn a_tag_is_taken_apart() {
        let tci = Tci::new(5, true, VlanId::new(100).unwrap());
        assert_eq!((tci.pcp(), tci.dei(), tci.vid().number()), (5, true, 100));
        assert_eq!(VlanId::new(4096), None);
    }
}
