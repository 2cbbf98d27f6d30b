//! Composition of a frame from a flow key, the inverse of [`extract`](crate::extract()).
//!
//! Tests inject packets that are written as flows, so the frames are what Open vSwitch makes of the same text: headers as
//! short as they may be, lengths and checksums true, and data only behind headers that usually have some.

use heddle_wire::{checksum, ethertype, ipproto};

use crate::field::Field;
use crate::key::FlowKey;
use crate::layout::*;

/// Bytes of data behind the transport header, where nothing else is asked for.
pub const DEFAULT_PAYLOAD: usize = 64;

/// IGMP's number, whose messages keys do not hold.
const IGMP: u8 = 2;
/// The IPv6 fragment header's number.
const FRAGMENT: u8 = 44;
/// Where a later fragment is said to lie, in units of eight bytes: anywhere but the beginning.
const LATER: u16 = 100;

/// Bytes 0, 1, 2 and so on, by which data that was cut or moved shows.
pub fn counting_payload(length: usize) -> Vec<u8> {
    (0..length).map(|byte| byte as u8).collect()
}

/// A frame of this key with `payload` behind its transport header: that of UDP, of TCP without SYN, FIN or RST, or of an
/// echo. What follows other headers is empty.
pub fn compose(key: &FlowKey, payload: &[u8]) -> Vec<u8> {
    let (mut frame, l3) = ethernet(key);
    match key.eth_type() {
        ethertype::IPV4 => ipv4(&mut frame, key, payload),
        ethertype::IPV6 => ipv6(&mut frame, key, payload),
        ethertype::ARP | 0x8035 => arp(&mut frame, key),
        ethertype::MPLS | ethertype::MPLS_MC => mpls(&mut frame, key),
        ethertype::PBB => service_tag(&mut frame, key),
        _ => {}
    }
    finish(&mut frame, key, l3);
    frame
}

/// A frame of this key of exactly `length` bytes, filled with zeros behind its headers; `None` where they are longer.
pub fn compose_of_length(key: &FlowKey, length: usize) -> Option<Vec<u8>> {
    let mut frame = compose(key, &[]);
    if frame.len() > length {
        return None;
    }
    frame.resize(length, 0);
    let (_, l3) = ethernet(key);
    finish(&mut frame, key, l3);
    Some(frame)
}

/// The Ethernet header and tags, and their length.
fn ethernet(key: &FlowKey) -> (Vec<u8>, usize) {
    let mut frame = Vec::with_capacity(128);
    frame.extend(&key.eth_dst().to_be_bytes()[2..]);
    frame.extend(&key.eth_src().to_be_bytes()[2..]);
    let tags = key.words[TAGS];
    let tags = [(key.vlan_tci(), (tags >> 32) as u16), ((tags >> 16) as u16, tags as u16)];
    for (tci, tpid) in tags.into_iter().take_while(|(tci, _)| tci & VLAN_PRESENT != 0) {
        let tpid = if tpid == 0 { ethertype::VLAN } else { tpid };
        frame.extend(tpid.to_be_bytes());
        frame.extend((tci & !VLAN_PRESENT).to_be_bytes());
    }
    // A frame without a type has its length there, which is known in the end.
    let eth_type = if key.eth_type() <= ETH_TYPE_NONE { 0 } else { key.eth_type() };
    frame.extend(eth_type.to_be_bytes());
    let length = frame.len();
    (frame, length)
}

/// The low bytes of a field.
fn put(frame: &mut Vec<u8>, key: &FlowKey, field: Field, bytes: usize) {
    frame.extend(&key.get(field).to_be_bytes()[16 - bytes..]);
}

fn octet(key: &FlowKey, field: Field) -> u8 {
    key.get(field) as u8
}

fn ipv4(frame: &mut Vec<u8>, key: &FlowKey, payload: &[u8]) {
    let fragment: u16 = match (key.frag() & FRAG_ANY != 0, key.frag() & FRAG_LATER != 0) {
        (_, true) => 0x2000 | LATER,
        (true, false) => 0x2000,
        (false, false) => 0,
    };
    frame.extend([0x45, octet(key, Field::NwTos), 0, 0, 0, 0]);
    frame.extend(fragment.to_be_bytes());
    frame.extend([octet(key, Field::NwTtl), key.ip_proto(), 0, 0]);
    put(frame, key, Field::Ipv4Src, 4);
    put(frame, key, Field::Ipv4Dst, 4);
    transport(frame, key, ipproto::ICMP, payload);
}

/// The extension headers of a key, by their next-header numbers.
fn extensions(key: &FlowKey) -> Vec<u8> {
    let proto = key.ip_proto();
    let later = key.frag() & FRAG_LATER != 0;
    // Nothing can be read behind a later fragment's header, so that it is the last.
    let last = if later { Some(FRAGMENT) } else { Some(proto).filter(|proto| matches!(proto, 50 | 59)) };
    let mut bits = key.get(Field::Ipv6Exthdr) as u16;
    if key.frag() & FRAG_ANY != 0 {
        bits |= crate::extensions::FRAG;
    }
    let mut chain = crate::extensions::chain(bits, last);
    chain.extend(last.filter(|_| later));
    chain
}

fn ipv6(frame: &mut Vec<u8>, key: &FlowKey, payload: &[u8]) {
    let chain = extensions(key);
    let numbers: Vec<u8> = chain.iter().copied().chain([key.ip_proto()]).collect();
    let first = 6 << 28 | u32::from(octet(key, Field::NwTos)) << 20 | key.get(Field::Ipv6Label) as u32;
    frame.extend(first.to_be_bytes());
    frame.extend([0, 0, numbers[0], octet(key, Field::NwTtl)]);
    put(frame, key, Field::Ipv6Src, 16);
    put(frame, key, Field::Ipv6Dst, 16);
    for (index, pair) in numbers.windows(2).enumerate() {
        let is_last = index + 1 == chain.len();
        let offset = match pair[0] {
            FRAGMENT if is_last && key.frag() & FRAG_LATER != 0 => LATER << 3 | 1,
            FRAGMENT => 1,
            _ => 0,
        };
        frame.extend([pair[1], 0]);
        frame.extend(offset.to_be_bytes());
        frame.extend([0; 4]);
    }
    transport(frame, key, ipproto::ICMPV6, payload);
}

/// The transport header; `icmp` is the number of the ICMP of this IP.
fn transport(frame: &mut Vec<u8>, key: &FlowKey, icmp: u8, payload: &[u8]) {
    if key.frag() & FRAG_LATER != 0 {
        return;
    }
    let ports = |frame: &mut Vec<u8>| {
        put(frame, key, Field::TcpSrc, 2);
        put(frame, key, Field::TcpDst, 2);
    };
    match key.ip_proto() {
        ipproto::TCP => {
            ports(frame);
            frame.extend([0; 8]);
            frame.extend((0x5000 | key.tcp_flags()).to_be_bytes());
            frame.extend([0; 6]);
            // FIN, SYN and RST.
            if key.tcp_flags() & 7 == 0 {
                frame.extend(payload);
            }
        }
        ipproto::UDP => {
            ports(frame);
            frame.extend([0; 4]);
            frame.extend(payload);
        }
        ipproto::SCTP => {
            ports(frame);
            frame.extend([0; 8]);
        }
        IGMP if icmp == ipproto::ICMP => frame.extend([0; 8]),
        // Extraction reads ICMP under either IP.
        proto if proto == icmp || proto == ipproto::ICMP => icmp_message(frame, key, payload),
        _ => {}
    }
}

fn icmp_message(frame: &mut Vec<u8>, key: &FlowKey, payload: &[u8]) {
    let (kind, code) = (octet(key, Field::IcmpType), octet(key, Field::IcmpCode));
    frame.extend([kind, code, 0, 0, 0, 0, 0, 0]);
    let v6 = key.ip_proto() == ipproto::ICMPV6;
    if v6 && matches!(kind, 135 | 136) && code == 0 {
        put(frame, key, Field::NdTarget, 16);
        for (option, field) in [(1, Field::ArpSha), (2, Field::ArpTha)] {
            if key.get(field) != 0 {
                frame.extend([option, 1]);
                put(frame, key, field, 6);
            }
        }
    } else if code == 0 && matches!((v6, kind), (false, 0 | 8) | (true, 128 | 129)) {
        frame.extend(payload);
    }
}

fn arp(frame: &mut Vec<u8>, key: &FlowKey) {
    frame.extend([0, 1, 8, 0, 6, 4]);
    put(frame, key, Field::ArpOp, 2);
    put(frame, key, Field::ArpSha, 6);
    put(frame, key, Field::ArpSpa, 4);
    put(frame, key, Field::ArpTha, 6);
    put(frame, key, Field::ArpTpa, 4);
}

fn mpls(frame: &mut Vec<u8>, key: &FlowKey) {
    let entries = [(key.words[MPLS] >> 32) as u32, key.words[MPLS] as u32, (key.words[MPLS2] >> 32) as u32];
    for entry in entries {
        frame.extend(entry.to_be_bytes());
        if entry & 0x100 != 0 {
            break;
        }
    }
}

/// A service tag, and customers' addresses of which the key says nothing.
fn service_tag(frame: &mut Vec<u8>, key: &FlowKey) {
    let tag = (key.get(Field::PbbUca) as u32) << 27 | key.get(Field::PbbIsid) as u32;
    frame.extend(tag.to_be_bytes());
    frame.extend([0; 14]);
}

/// Writes lengths and checksums.
fn finish(frame: &mut [u8], key: &FlowKey, l3: usize) {
    let rest = frame.len() - l3;
    let whole = frame.len();
    match key.eth_type() {
        ethertype::IPV4 => {
            set16(frame, l3 + 2, rest as u16);
            set16(frame, l3 + 10, 0);
            let sum = !checksum::sum(&frame[l3..l3 + 20]);
            set16(frame, l3 + 10, sum);
            if key.ip_proto() == ipproto::UDP && key.frag() & FRAG_LATER == 0 {
                set16(frame, l3 + 24, (rest - 20) as u16);
            }
        }
        ethertype::IPV6 => {
            let extension = 8 * extensions(key).len();
            set16(frame, l3 + 4, (rest - 40) as u16);
            if key.ip_proto() == ipproto::UDP && key.frag() & FRAG_LATER == 0 {
                set16(frame, l3 + 44 + extension, (rest - 40 - extension) as u16);
            }
        }
        eth_type if eth_type <= ETH_TYPE_NONE => {
            // A length that would be a type is cut to the longest that is none.
            return set16(frame, l3 - 2, whole.min(usize::from(ETH_TYPE_NONE)) as u16);
        }
        _ => return,
    }
    let _ = checksum::complete(frame);
}

fn set16(frame: &mut [u8], at: usize, value: u16) {
    if let Some(room) = frame.get_mut(at..at + 2) {
        room.copy_from_slice(&value.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::{Match, PacketKey};

    fn key(fields: &[(Field, u128)]) -> FlowKey {
        let mut matching = Match::default();
        fields.iter().for_each(|&(field, value)| matching.set(field, value));
        *matching.key()
    }

    #[test]
    fn lengths_are_those_that_tests_of_open_vswitch_count() {
        let ip = |proto: u128| key(&[(Field::EthType, 0x0800), (Field::NwProto, proto), (Field::NwTtl, 64)]);
        let length = |key: &FlowKey| compose(key, &counting_payload(DEFAULT_PAYLOAD)).len();
        let mut echo = ip(1);
        echo.set(Field::IcmpType, 8);
        assert_eq!((length(&ip(6)), length(&ip(17)), length(&echo)), (118, 106, 106));
        let mut syn = ip(6);
        syn.set(Field::TcpFlags, 2);
        assert_eq!((length(&syn), length(&ip(1)), length(&ip(132))), (54, 106, 46));
        assert_eq!(length(&key(&[(Field::EthType, 0x0806)])), 42);
        assert_eq!(length(&key(&[(Field::EthType, u128::from(ETH_TYPE_NONE))])), 14);
    }

    #[test]
    fn a_length_is_kept_and_the_checksums_with_it() {
        let key = key(&[
            (Field::EthType, 0x0800),
            (Field::NwProto, 17),
            (Field::Ipv4Src, 0x0a00_0001),
            (Field::UdpDst, 53),
        ]);
        let frame = compose_of_length(&key, 100).unwrap();
        assert_eq!((frame.len(), &frame[16..18], &frame[38..40]), (100, &[0, 86][..], &[0, 66][..]));
        assert_eq!(checksum::verify_transport(&frame), Some(true));
        assert_eq!(checksum::sum(&frame[14..34]), 0xffff);
        assert_eq!(compose_of_length(&key, 41), None);
        let mut again = PacketKey::default();
        crate::extract(&frame, 0, 0, &mut again);
        assert!(again.expand() == key);
    }
}
