//! Properties of formats, checksums, segmentation and the offload header, over frames built from random values.

#![allow(clippy::unwrap_used)] // a test may end by a panic

use std::net::{Ipv4Addr, Ipv6Addr};

use heddle_wire::arp::{ArpOperation, ArpRepr};
use heddle_wire::build::{Extension, FrameBuilder, Network, Transport};
use heddle_wire::checksum::{self, sum, verify_transport};
use heddle_wire::ethernet::MplsRepr;
use heddle_wire::icmp::IcmpRepr;
use heddle_wire::icmpv6::{Icmpv6Repr, Icmpv6View, NdOptions, Prefix};
use heddle_wire::locate::headers;
use heddle_wire::segment::{Segmenter, keep_from};
use heddle_wire::transport::{SctpRepr, TcpFlags, TcpRepr, TcpView, UdpRepr};
use heddle_wire::view::Inline;
use heddle_wire::{Checksum, EtherType, GsoType, IpProtocol, MacAddr, Offload, Packet, Tci, fuzz, vnet};
use proptest::collection::vec;
use proptest::prelude::*;

fn transport() -> impl Strategy<Value = Transport> {
    let ports = (any::<u16>(), any::<u16>(), any::<u32>());
    let tcp =
        (ports, 0u16..512, vec(any::<u8>(), 0..=40)).prop_map(|((src, dst, number), flags, options)| {
            Transport::Tcp(TcpRepr {
                src_port: src,
                dst_port: dst,
                sequence: number,
                flags: TcpFlags(flags),
                window: 1000,
                options: Inline::padded(&options).unwrap(),
                ..TcpRepr::default()
            })
        });
    let udp = ports
        .prop_map(|(src_port, dst_port, _)| Transport::Udp(UdpRepr { src_port, dst_port, payload_len: 0 }));
    let sctp =
        ports.prop_map(|(src_port, dst_port, tag)| Transport::Sctp(SctpRepr { src_port, dst_port, tag }));
    prop_oneof![tcp, udp, sctp]
}

fn frame() -> impl Strategy<Value = FrameBuilder> {
    let layers = (vec(any::<u16>(), 0..3), vec(any::<u32>(), 0..3), 0usize..3, any::<bool>());
    (transport(), any::<[u32; 2]>(), any::<[u128; 2]>(), layers, vec(any::<u8>(), 1..6000)).prop_map(
        |(transport, v4, v6, (tags, labels, extensions, is_v6), payload)| {
            let mut frame = if is_v6 {
                FrameBuilder::ipv6(Ipv6Addr::from(v6[0]), Ipv6Addr::from(v6[1]), transport)
            } else {
                FrameBuilder::ipv4(Ipv4Addr::from(v4[0]), Ipv4Addr::from(v4[1]), transport)
            };
            if let Network::Ipv6(_, chain, _) = &mut frame.network {
                chain.extend((0..extensions).map(|_| Extension::padding(IpProtocol::DESTINATION)));
            }
            for tag in tags {
                frame = frame.vlan(EtherType::VLAN, Tci(tag));
            }
            for label in labels {
                frame = frame.label(MplsRepr { label, ttl: 9, ..MplsRepr::default() });
            }
            frame.payload(payload)
        },
    )
}

/// The frame as a sender leaves it who counts on segmentation.
fn segment(builder: &FrameBuilder, size: u16) -> Option<Packet> {
    let mut packet = Packet::from_frame(&builder.build().unwrap());
    let at = headers(packet.data())?;
    let gso = match (at.proto, at.v6) {
        (6, false) => GsoType::TcpV4,
        (6, true) => GsoType::TcpV6,
        (17, _) => GsoType::UdpL4,
        _ => return None,
    };
    packet.offload = Offload {
        gso,
        ecn: false,
        gso_size: size,
        header_len: at.payload(packet.data())? as u16,
        checksum: Checksum::Partial { start: at.l4 as u16, offset: at.checksum_offset()? as u16 },
    };
    Some(packet)
}

/// The wire's packets of a segment, or of a single packet.
fn pieces(packet: &Packet) -> Vec<Vec<u8>> {
    let Ok(mut segmenter) = Segmenter::new(packet) else {
        let mut packet = packet.clone();
        checksum::finish_partial(&mut packet);
        return vec![packet.data().to_vec()];
    };
    let (mut piece, mut all) = (Packet::with_capacity(8192), Vec::new());
    while segmenter.next_into(&mut piece) {
        all.push(piece.data().to_vec());
    }
    all
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_panic(data in vec(any::<u8>(), 0..300)) {
        fuzz::packet(&data);
        fuzz::vnet(&data);
    }

    #[test]
    fn built_frames_are_whole_and_survive_damage(
        builder in frame(), damage in vec((any::<prop::sample::Index>(), any::<u8>()), 0..4), header in any::<[u8; 12]>(),
    ) {
        let mut frame = builder.build().unwrap();
        prop_assert_eq!(verify_transport(&frame), Some(true));
        for (index, value) in damage {
            let at = index.index(frame.len().min(120));
            frame[at] = value;
        }
        fuzz::packet(&frame);
        for at in 0..frame.len().min(100) {
            fuzz::packet(&frame[at..]);
        }
        let mut claimed = header.to_vec();
        claimed[0] &= 3;
        claimed.extend(&frame);
        fuzz::vnet(&claimed);
    }

    #[test]
    fn pieces_are_true_packets_and_sum_to_the_segment(builder in frame(), size in 64u16..2000) {
        let Some(packet) = segment(&builder, size) else { return Ok(()) };
        let header = vnet::emit(&packet.offload);
        prop_assert_eq!(vnet::parse(&header, packet.data()), Ok(packet.offload));
        fuzz::vnet(&[&header, packet.data()].concat());
        let at = headers(packet.data()).unwrap();
        let header_len = usize::from(packet.offload.header_len);
        let (mut piece, mut payload, mut count) = (Packet::with_capacity(4096), Vec::new(), 0u64);
        let mut segmenter = Segmenter::new(&packet).unwrap();
        while segmenter.next_into(&mut piece) {
            prop_assert_eq!(verify_transport(piece.data()), Some(true));
            if packet.offload.gso != GsoType::UdpL4 {
                let (whole, cut) = (TcpView::new(&packet.data()[at.l4..]), TcpView::new(&piece.data()[at.l4..]));
                let (whole, cut) = (whole.unwrap(), cut.unwrap());
                prop_assert_eq!(cut.sequence(), whole.sequence().wrapping_add(payload.len() as u32));
                let last = count + 1 == packet.wire_packets();
                let kept = |flag| cut.flags().has(flag) == whole.flags().has(flag);
                let fin = cut.flags().has(TcpFlags::FIN);
                prop_assert!((last && kept(TcpFlags::FIN)) || (!last && !fin));
                let cwr = cut.flags().has(TcpFlags::CWR);
                prop_assert!((count == 0 && kept(TcpFlags::CWR)) || (count != 0 && !cwr));
            }
            payload.extend_from_slice(&piece.data()[header_len..]);
            count += 1;
        }
        prop_assert_eq!(count, packet.wire_packets());
        prop_assert_eq!(&payload[..], &packet.data()[header_len..]);
    }

    #[test]
    fn runs_cut_further_are_the_pieces_of_the_whole(
        builder in frame(), size in 64u16..2000, cuts in vec(1usize..9, 1..20), ecn in any::<bool>(),
    ) {
        let Some(mut packet) = segment(&builder, size) else { return Ok(()) };
        packet.offload.ecn = ecn;
        let whole = pieces(&packet);
        let segmenter = Segmenter::new(&packet).unwrap();
        prop_assert_eq!(segmenter.pieces(), whole.len());
        let (mut first, mut run, mut cut) = (0, Packet::with_capacity(8192), Vec::new());
        for count in cuts.into_iter().cycle() {
            if !segmenter.run_into(first, count, &mut run) {
                break;
            }
            // A device takes it for a segment, or for a packet with a partial checksum.
            prop_assert_eq!(vnet::parse(&vnet::emit(&run.offload), run.data()), Ok(run.offload));
            prop_assert_eq!(run.wire_packets() as usize, count.min(whole.len() - first));
            prop_assert_eq!(run.offload.ecn, ecn && first == 0 && run.offload.gso != GsoType::None);
            cut.extend(pieces(&run));
            // In place it is the same.
            let mut rest = packet.clone();
            prop_assert!(keep_from(&mut rest, first).is_ok());
            prop_assert!(segmenter.run_into(first, usize::MAX, &mut run));
            prop_assert_eq!((rest.data(), rest.offload), (run.data(), run.offload));
            first += count;
        }
        prop_assert_eq!(cut, whole);
        prop_assert!(keep_from(&mut packet.clone(), first).is_err());
    }

    #[test]
    fn an_incremental_checksum_is_the_recomputed_one(
        mut words in vec(any::<u16>(), 8..40), place in 0usize..8, new in any::<u16>(), wide in any::<u128>(),
    ) {
        let bytes = |words: &[u16]| words.iter().flat_map(|word| word.to_be_bytes()).collect::<Vec<_>>();
        words.push(1); // all zeros have two sums
        let before = bytes(&words);
        let old = std::mem::replace(&mut words[place], new);
        prop_assert_eq!(checksum::update16(!sum(&before), old, new), !sum(&bytes(&words)));
        let mut after = before.clone();
        after[..16].copy_from_slice(&wide.to_be_bytes());
        let old = u128::from_be_bytes(before[..16].try_into().unwrap());
        prop_assert_eq!(checksum::update128(!sum(&before), old, wide), !sum(&after));
    }

    #[test]
    fn the_fast_sum_is_the_plain_one(data in vec(any::<u8>(), 0..400)) {
        let mut total = data.chunks(2).map(|pair| u64::from(pair[0]) << 8 | u64::from(*pair.get(1).unwrap_or(&0))).sum::<u64>();
        while total > 0xffff {
            total = (total & 0xffff) + (total >> 16);
        }
        prop_assert_eq!(u64::from(sum(&data)), total);
    }
}

#[test]
fn neighbour_discovery_is_read_as_it_is_written() {
    let prefix = Prefix {
        length: 64,
        on_link: true,
        autonomous: false,
        valid: 9,
        preferred: 8,
        prefix: Ipv6Addr::LOCALHOST,
    };
    let mac = MacAddr([2, 0, 0, 0, 0, 7]);
    let options = NdOptions { source: Some(mac), target: Some(mac), prefix: Some(prefix), mtu: Some(1500) };
    let target = Ipv6Addr::LOCALHOST;
    let messages = [
        Icmpv6Repr::RouterSolicit { options },
        Icmpv6Repr::RouterAdvert {
            hop_limit: 64,
            flags: 0xc0,
            lifetime: 1800,
            reachable_ms: 1,
            retransmit_ms: 2,
            options,
        },
        Icmpv6Repr::NeighborSolicit { target, options },
        Icmpv6Repr::NeighborAdvert { router: true, solicited: false, replace: true, target, options },
        Icmpv6Repr::Redirect { target, destination: Ipv6Addr::UNSPECIFIED, options },
    ];
    for message in messages {
        let frame = FrameBuilder::ipv6(target, target, Transport::Icmpv6(message)).build().unwrap();
        assert_eq!(verify_transport(&frame), Some(true));
        let view = Icmpv6View::new(&frame[54..]).unwrap();
        assert_eq!(Icmpv6Repr::parse(&view), Ok(message));
        fuzz::packet(&frame[54..]);
    }
}

#[test]
fn an_arp_request_and_an_echo_are_the_bytes_they_should_be() {
    let arp = ArpRepr {
        operation: ArpOperation::Request,
        sender_mac: MacAddr([2, 0, 0, 0, 0, 1]),
        sender_ip: Ipv4Addr::new(10, 0, 0, 1),
        target_mac: MacAddr::ZERO,
        target_ip: Ipv4Addr::new(10, 0, 0, 2),
    };
    let frame = FrameBuilder::new(MacAddr::BROADCAST, arp.sender_mac, Network::Arp(arp)).build().unwrap();
    assert_eq!(frame.len(), 42);
    assert_eq!(frame[12..22], [8, 6, 0, 1, 8, 0, 6, 4, 0, 1]);
    let echo = Transport::Icmp(IcmpRepr::EchoRequest { ident: 1, sequence: 2 });
    let frame = FrameBuilder::ipv4(arp.sender_ip, arp.target_ip, echo).payload(*b"abc").build().unwrap();
    assert_eq!(verify_transport(&frame), Some(true));
    assert_eq!(frame[34..36], [8, 0]);
}

#[test]
fn a_fragment_has_no_checksum_to_offer() {
    let udp = Transport::Udp(UdpRepr { src_port: 1, dst_port: 2, payload_len: 0 });
    let mut builder = FrameBuilder::ipv6(Ipv6Addr::LOCALHOST, Ipv6Addr::LOCALHOST, udp).payload(vec![1; 64]);
    if let Network::Ipv6(_, chain, _) = &mut builder.network {
        chain.push(Extension::fragment(0, true, 7));
    }
    let frame = builder.build().unwrap();
    assert!(headers(&frame).unwrap().fragment);
    assert_eq!(verify_transport(&frame), None);
    let header = [1, 0, 0, 0, 0, 0, 62, 0, 6, 0, 0, 0];
    assert_eq!(vnet::parse(&header, &frame), Err(vnet::VnetError::Checksum));
}

#[test]
fn a_partial_checksum_is_completed() {
    let tcp = Transport::Tcp(TcpRepr::default());
    let builder = FrameBuilder::ipv4(Ipv4Addr::LOCALHOST, Ipv4Addr::LOCALHOST, tcp).payload(vec![7; 333]);
    let mut packet = segment(&builder, 500).unwrap();
    packet.offload.gso = GsoType::None;
    let at = headers(packet.data()).unwrap();
    let pseudo = checksum::pseudo_header(packet.data(), &at, packet.len() - at.l4).unwrap();
    packet.data_mut()[50..52].copy_from_slice(&pseudo.to_be_bytes());
    checksum::finish_partial(&mut packet);
    assert_eq!(packet.offload.checksum, Checksum::Unverified);
    assert_eq!(verify_transport(packet.data()), Some(true));
}
