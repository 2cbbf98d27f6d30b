//! Which frames count as sent by programs.

use heddle_wire::addr::IpProtocol;
use heddle_wire::ipv6::walk;
use heddle_wire::locate::network;
use heddle_wire::{GsoType, Packet, ipproto};

/// IGMP's protocol number (RFC 3376).
const IGMP: u8 = 2;

/// Who sent a frame. Each class has a count of its own, so that what hosts and switches say among themselves, whose timing no
/// program decides, does not shift the numbers of what programs send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// A program: IP, but for what is below.
    Programs,
    /// Hosts and switches: ARP, router and neighbour discovery (RFC 4861), group membership (IGMP, MLD), LLDP, spanning trees,
    /// and whatever else is no IP.
    Control,
}

/// How many classes there are.
pub(crate) const CLASSES: usize = 2;

/// A frame's class.
#[inline]
pub(crate) fn class(packet: &Packet) -> Class {
    if packet.offload.gso != GsoType::None {
        return Class::Programs;
    }
    let frame = packet.data();
    let control = match network(frame) {
        None => true,
        Some((l3, false)) => frame.get(l3 + 9) == Some(&IGMP),
        Some((l3, true)) => match frame.get(l3 + 6) {
            Some(&(ipproto::TCP | ipproto::UDP)) => false,
            Some(&next) => says_among_themselves(next, frame.get(l3 + 40..).unwrap_or(&[])),
            None => false,
        },
    };
    if control { Class::Control } else { Class::Programs }
}

/// Whether it is ICMPv6 of neighbour discovery or group membership: types 130 to 137, 143, and the inverse and secure forms.
fn says_among_themselves(next: u8, payload: &[u8]) -> bool {
    let Ok(walked) = walk(IpProtocol(next), payload) else { return false };
    let kind = payload.get(walked.offset);
    walked.protocol.0 == ipproto::ICMPV6
        && !walked.is_later_fragment()
        && matches!(kind, Some(130..=137 | 141..=143 | 148 | 149))
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use heddle_wire::build::{Extension, FrameBuilder, Network, Transport};
    use heddle_wire::icmpv6::{Icmpv6Repr, NdOptions};
    use heddle_wire::transport::UdpRepr;
    use heddle_wire::{EtherType, MacAddr, Tci};

    use super::*;

    fn of(builder: &FrameBuilder) -> Class {
        class(&Packet::from_frame(&builder.build().unwrap()))
    }

    #[test]
    fn hosts_and_programs_are_told_apart() {
        let udp = Transport::Udp(UdpRepr { src_port: 1, dst_port: 2, payload_len: 0 });
        let (v4, v6) = (Ipv4Addr::LOCALHOST, Ipv6Addr::LOCALHOST);
        assert_eq!(of(&FrameBuilder::ipv4(v4, v4, udp).vlan(EtherType::VLAN, Tci(5))), Class::Programs);
        assert_eq!(of(&FrameBuilder::ipv4(v4, v4, Transport::Other(IpProtocol(IGMP)))), Class::Control);
        assert_eq!(of(&FrameBuilder::ipv6(v6, v6, udp)), Class::Programs);
        let echo = Transport::Icmpv6(Icmpv6Repr::EchoRequest { ident: 1, sequence: 1 });
        assert_eq!(of(&FrameBuilder::ipv6(v6, v6, echo)), Class::Programs);
        let solicit = Transport::Icmpv6(Icmpv6Repr::RouterSolicit { options: NdOptions::default() });
        let mut solicit = FrameBuilder::ipv6(v6, v6, solicit);
        assert_eq!(of(&solicit), Class::Control);
        if let Network::Ipv6(_, chain, _) = &mut solicit.network {
            chain.push(Extension::padding(IpProtocol::HOP_BY_HOP));
        }
        assert_eq!(of(&solicit), Class::Control);
        let lldp = Network::Other(EtherType(0x88cc));
        assert_eq!(of(&FrameBuilder::new(MacAddr::BROADCAST, MacAddr::ZERO, lldp)), Class::Control);
        assert_eq!(class(&Packet::from_frame(&[])), Class::Control);
    }
}
