//! What a router says by ICMP (RFC 792, RFC 1812 section 4.3).

use std::net::Ipv4Addr;

use heddle_wire::build::{FrameBuilder, Network, Transport};
use heddle_wire::icmp::{IcmpRepr, IcmpView};
use heddle_wire::ipv4::{Ipv4Repr, Ipv4View};
use heddle_wire::{IpProtocol, MacAddr};

/// Type and code of an error.
pub(super) type Why = (u8, u8);
pub(super) const NETWORK_UNREACHABLE: Why = (3, 0);
pub(super) const HOST_UNREACHABLE: Why = (3, 1);
pub(super) const TIME_EXCEEDED: Why = (11, 0);
const PORT_UNREACHABLE: Why = (3, 3);

/// Type of an echo request.
const ECHO_REQUEST: u8 = 8;
/// Types of ICMP messages that are errors, about which no error is said.
const ERRORS: [u8; 5] = [3, 4, 5, 11, 12];
/// Bytes of a packet that an error quotes, so that it is no longer than 576 bytes.
const QUOTED: usize = 548;

/// The answer to a packet for the router itself: a ping's, or that nothing listens there.
pub(super) fn reply(mac: MacAddr, to: MacAddr, packet: &Ipv4View<'_>) -> Option<Vec<u8>> {
    if packet.is_fragment() || packet.src().is_multicast() || packet.src().is_broadcast() {
        return None;
    }
    match packet.protocol() {
        IpProtocol::ICMP => {
            let asked = IcmpView::new(packet.payload()).ok().filter(|icmp| icmp.kind() == ECHO_REQUEST)?;
            let word = asked.word();
            let echo = IcmpRepr::EchoReply { ident: (word >> 16) as u16, sequence: word as u16 };
            frame((mac, packet.dst()), (to, packet.src()), echo, asked.payload())
        }
        IpProtocol::UDP => {
            let (kind, code) = PORT_UNREACHABLE;
            let header = packet.header_len();
            // Without the packet's own bytes the header is written anew, which the sender reads alike.
            let repr = Ipv4Repr::parse(packet).ok()?;
            let mut quoted = vec![0; header + packet.payload().len().min(QUOTED - header)];
            repr.emit(&mut quoted).ok()?;
            let length = quoted.len() - header;
            quoted[header..].copy_from_slice(&packet.payload()[..length]);
            let error = IcmpRepr::Other { kind, code, word: 0 };
            frame((mac, packet.dst()), (to, packet.src()), error, &quoted)
        }
        _ => None,
    }
}

/// An error about a packet, for its sender.
pub(super) fn error(
    own: (MacAddr, Ipv4Addr),
    to: MacAddr,
    packet: &Ipv4View<'_>,
    bytes: &[u8],
    (kind, code): Why,
) -> Option<Vec<u8>> {
    let is_error = packet.protocol() == IpProtocol::ICMP
        && packet.payload().first().is_none_or(|kind| ERRORS.contains(kind));
    let (src, dst) = (packet.src(), packet.dst());
    let nobody = src.is_unspecified() || src.is_multicast() || src.is_broadcast();
    if is_error || nobody || packet.fragment_offset() != 0 || dst.is_multicast() || dst.is_broadcast() {
        return None;
    }
    let length = packet.header_len() + packet.payload().len();
    let quoted = bytes.get(..length.min(QUOTED))?;
    frame(own, (to, src), IcmpRepr::Other { kind, code, word: 0 }, quoted)
}

fn frame(
    own: (MacAddr, Ipv4Addr),
    to: (MacAddr, Ipv4Addr),
    icmp: IcmpRepr,
    payload: &[u8],
) -> Option<Vec<u8>> {
    let network = Network::Ipv4(Ipv4Repr::new(own.1, to.1, IpProtocol::ICMP, 0), Transport::Icmp(icmp));
    FrameBuilder::new(to.0, own.0, network).payload(payload).build().ok()
}
