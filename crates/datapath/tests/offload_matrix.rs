//! Offloads from end to end: real hosts joined by the real packet engine, every kind of device on either side.
//!
//! ```text
//!  h1 (tap | packet | plain) ── port 1 ─┐          ┌─ port 2 ── h2 (tap | packet | plain)
//!                                       ├─ engine ─┤
//!             injected (dummy) ─ port 3 ┘          └─ ports 10, 11: a trunk, whose ends are a veth pair
//! ```
//!
//! The receivers' kernels are the judges: they count the checksums that are wrong, and the programs on them compare
//! every byte. Each test runs in namespaces of its own, as root and as an ordinary user.
#![allow(clippy::unwrap_used, missing_docs)] // all of this file is tests

#[path = "../../netdev/tests/common/mod.rs"]
mod common;
#[path = "offload_matrix/fabric.rs"]
mod fabric;
#[path = "offload_matrix/host.rs"]
mod host;
#[path = "offload_matrix/traffic.rs"]
mod traffic;

use common::{Needs, in_namespace};
use fabric::{Fabric, Rewrite};
use heddle_wire::packet::{Checksum, GsoType, Packet};
use heddle_wire::vnet::{emit, parse};
use host::{Errors, Kind, kinds};
use traffic::{Family, Frame};

const FAMILIES: [Family; 2] = [Family::V4, Family::V6];

/// Real sockets both ways, for every pair of devices; no kernel may see a wrong checksum.
fn all_pairs(rewrite: Rewrite) {
    for near in kinds() {
        for far in kinds() {
            let fabric = Fabric::new(near, far, rewrite);
            for family in FAMILIES {
                traffic::tcp(&fabric, family);
                traffic::udp(&fabric, family);
                traffic::udp_segments(&fabric, family);
            }
            fabric.assert_clean();
            // Segments cross whole, and are cut exactly where one side makes them and the other takes none.
            let cut = fabric.software_offloads();
            let mixed = (near == Kind::Plain) != (far == Kind::Plain);
            assert_eq!(cut != 0, mixed, "{}: the switch finished {cut} frames", fabric.label);
        }
    }
}

#[test]
fn traffic_crosses_unchanged() {
    in_namespace("traffic_crosses_unchanged", Needs::Veth, || all_pairs(Rewrite::Nothing));
}

#[test]
fn traffic_crosses_with_addresses_and_ports_rewritten() {
    in_namespace("traffic_crosses_with_addresses_and_ports_rewritten", Needs::Veth, || {
        all_pairs(Rewrite::Headers);
    });
}

#[test]
fn traffic_crosses_a_trunk_with_tags_pushed_and_popped() {
    in_namespace("traffic_crosses_a_trunk_with_tags_pushed_and_popped", Needs::Veth, || {
        all_pairs(Rewrite::Trunk);
    });
}

const REWRITES: [Rewrite; 3] = [Rewrite::Nothing, Rewrite::Headers, Rewrite::Trunk];

/// Frames that no kernel's stack made: complete, partial, without a checksum, and a segment.
#[test]
fn frames_of_every_checksum_state_arrive() {
    in_namespace("frames_of_every_checksum_state_arrive", Needs::Veth, || {
        for (rewrite, far) in REWRITES.into_iter().flat_map(|r| kinds().into_iter().map(move |k| (r, k))) {
            let fabric = Fabric::new(Kind::Packet, far, rewrite);
            for family in FAMILIES {
                let socket = fabric.udp_server(family);
                for size in [1, 32, 33, 1400] {
                    let complete = fabric.frame(family, Frame::Udp, size);
                    let mut verified = complete.clone();
                    verified.offload.checksum = Checksum::Verified;
                    let mut packets = vec![complete.clone(), traffic::partial(&complete), verified];
                    if family == Family::V4 {
                        packets.push(traffic::without_checksum(&complete));
                    }
                    for packet in packets {
                        fabric.inject_at_switch(&packet);
                        traffic::expect_datagram(&socket, traffic::payload(&packet), &fabric);
                        fabric.inject_at_host(&packet);
                        traffic::expect_datagram(&socket, traffic::payload(&packet), &fabric);
                    }
                }
                let segment = traffic::segment(&fabric.frame(family, Frame::Udp, 20_000), 1000);
                fabric.inject_at_switch(&segment);
                let pieces = traffic::payload(&segment).chunks(1000);
                pieces.for_each(|piece| traffic::expect_datagram(&socket, piece, &fabric));
            }
            fabric.assert_clean();
        }
    });
}

/// A wrong checksum stays wrong, whatever is rewritten and whoever sums: the switch repairs nothing that it did not
/// break, and nobody's word that it was verified is passed on.
#[test]
fn bad_checksums_are_not_repaired() {
    in_namespace("bad_checksums_are_not_repaired", Needs::Veth, || {
        for (rewrite, far) in REWRITES.into_iter().flat_map(|r| kinds().into_iter().map(move |k| (r, k))) {
            let fabric = Fabric::new(Kind::Packet, far, rewrite);
            let mut expected = Errors::default();
            for family in FAMILIES {
                for (frame, size) in [(Frame::Tcp, 0), (Frame::Tcp, 1000), (Frame::Udp, 32)] {
                    let bad = traffic::spoil(&fabric.frame(family, frame, size));
                    let mut vouched = bad.clone();
                    vouched.offload.checksum = Checksum::Verified;
                    fabric.inject_at_host(&bad);
                    fabric.inject_at_switch(&bad);
                    fabric.inject_at_switch(&vouched);
                    expected.count(family, frame, 3);
                }
            }
            fabric.assert_errors_at_h2(expected);
        }
    });
}

struct Forgery {
    packet: Packet,
    reason: &'static str,
}

fn forgeries(fabric: &Fabric) -> Vec<Forgery> {
    let forge = |frame: Frame, reason, lie: &dyn Fn(&mut Packet)| {
        let mut packet = traffic::partial(&fabric.frame(Family::V4, frame, 5000));
        packet.offload.header_len = 54;
        lie(&mut packet);
        Forgery { packet, reason }
    };
    let gso = |packet: &mut Packet, gso, size| {
        packet.offload.gso = gso;
        packet.offload.gso_size = size;
    };
    let sum_at = |packet: &mut Packet, start, offset| {
        *packet = fabric.frame(Family::V4, Frame::Tcp, 100);
        packet.offload.checksum = Checksum::Partial { start, offset };
    };
    vec![
        forge(Frame::Tcp, "forged checksum offload", &|packet| sum_at(packet, 34, 4)),
        forge(Frame::Tcp, "forged checksum offload", &|packet| sum_at(packet, 20, 16)),
        forge(Frame::Tcp, "forged segment type", &|packet| gso(packet, GsoType::TcpV6, 1000)),
        forge(Frame::Udp, "forged segment type", &|packet| gso(packet, GsoType::TcpV4, 1000)),
        forge(Frame::Tcp, "forged segment type", &|packet| gso(packet, GsoType::UdpL4, 1000)),
        forge(Frame::Tcp, "forged segment size", &|packet| gso(packet, GsoType::TcpV4, 4)),
        forge(Frame::Udp, "forged segment size", &|packet| gso(packet, GsoType::UdpL4, 10)),
    ]
}

/// A host whose frames lie: what its own kernel does not refuse, the switch's door does, by name.
#[test]
fn forged_headers_are_refused_by_name() {
    in_namespace("forged_headers_are_refused_by_name", Needs::Veth, || {
        for near in kinds().into_iter().filter(|&kind| kind != Kind::Plain) {
            let fabric = Fabric::new(near, Kind::Packet, Rewrite::Nothing);
            let socket = fabric.udp_server(Family::V4);
            let mut reached = 0;
            for Forgery { packet, reason } in forgeries(&fabric) {
                let (before, taken) = (fabric.refused_at_h1(reason), fabric.inject_at_host(&packet));
                // An honest frame behind it says when the forged one is through.
                let honest = fabric.frame(Family::V4, Frame::Udp, 32);
                fabric.inject_at_host(&honest);
                traffic::expect_datagram(&socket, traffic::payload(&honest), &fabric);
                let refused = fabric.refused_at_h1(reason) - before;
                assert_eq!(refused, u64::from(taken), "{}: {reason}", fabric.label);
                reached += refused;
            }
            assert!(reached >= 2, "the kernel refused nearly all; the door was not put to the test");
        }
    });
}

/// The same forgeries straight at the switch's door.
#[test]
fn every_forgery_is_refused_at_the_door() {
    in_namespace("every_forgery_is_refused_at_the_door", Needs::Veth, || {
        let fabric = Fabric::new(Kind::Packet, Kind::Packet, Rewrite::Nothing);
        let frame = fabric.frame(Family::V4, Frame::Tcp, 100);
        let mut forged: Vec<_> = forgeries(&fabric)
            .into_iter()
            .map(|Forgery { packet, reason }| (emit(&packet.offload).to_vec(), packet, reason))
            .collect();
        forged.push((vec![0; 9], frame.clone(), "offload header cut short"));
        forged.push((vec![0x40; 12], frame, "offload header with unknown bits"));
        for (header, packet, reason) in &forged {
            let error = parse(header, packet.data()).unwrap_err();
            assert_eq!(error.name(), *reason);
            assert!(!fabric.inject_raw(header, packet.data()), "{reason}");
        }
        assert_eq!(fabric.injected_errors(), forged.len() as u64);
    });
}
