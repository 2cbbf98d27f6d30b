//! Extraction of the packet's part of a flow key, once per packet.
//!
//! A malformed header ends the walk: what was read so far stands, the rest is zero, as OpenFlow 1.5.1 section 7.2.3
//! asks of fields that a packet lacks. Nothing here fails, panics or allocates.

use crate::extensions::Seen;
use crate::key::PacketKey;
use crate::layout::*;
use heddle_wire::{ethertype, ipproto};

/// Where the headers of a frame start, in bytes from its first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    /// The first header after Ethernet and tags; zero if there is none.
    pub l3: u16,
    /// The transport header; zero if there is none, or the packet is a later fragment.
    pub l4: u16,
}

/// Most IPv6 extension headers that are walked.
const MAX_EXTENSIONS: usize = 12;

/// Next-header numbers behind which nothing can be read, and one that is no extension's.
const ESP: u8 = 50;
const NO_NEXT: u8 = 59;
const ANY: u8 = 255;

/// Reverse ARP, which the field table treats as ARP.
const RARP: u16 = 0x8035;

#[inline(always)]
fn is_vlan(eth_type: u16) -> bool {
    matches!(eth_type, ethertype::VLAN | ethertype::QINQ)
}

#[inline(always)]
fn be16(frame: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(*frame.get(at..)?.first_chunk()?))
}

#[inline(always)]
fn be32(frame: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(*frame.get(at..)?.first_chunk()?))
}

#[inline(always)]
fn be64(frame: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_be_bytes(*frame.get(at..)?.first_chunk()?))
}

/// Values that are gathered along the walk and written to the key's common words at its end.
#[derive(Default)]
struct Common {
    ipv4: u64,
    transport: u64,
    tags: u64,
}

/// Extracts `frame` into `key`, and says where its headers start. `in_port` and `recirc_id` go into the key's first word.
#[inline]
pub fn extract(frame: &[u8], in_port: u32, recirc_id: u32, key: &mut PacketKey) -> Layout {
    let mut layout = Layout::default();
    let words = key.reset();
    *words = [0; COMMON_WORDS];
    words[PORT] = u64::from(in_port) << 32 | u64::from(recirc_id);
    let (Some(first), Some(second)) = (be64(frame, 0), be64(frame, 6)) else {
        words[ETH_DST] = u64::from(ETH_TYPE_NONE);
        return layout;
    };
    // `first` is dst and two bytes of src; `second` is src and the type.
    words[ETH_DST] = first & !0xffff;
    words[ETH_SRC] = second & !0xffff;
    let mut eth_type = second as u16;
    let mut at = 14;
    let mut common = Common::default();
    let mut tci = 0;
    if is_vlan(eth_type) {
        (eth_type, at, tci) = tags(frame, eth_type, &mut common);
    }
    words[ETH_SRC] |= u64::from(tci);
    if eth_type < 0x0600 {
        eth_type = llc(frame, &mut at);
    }
    words[ETH_DST] |= u64::from(eth_type);
    layout.l3 = at as u16;
    match eth_type {
        ethertype::IPV4 => ipv4(frame, at, &mut common, &mut layout),
        ethertype::IPV6 => ipv6(frame, at, key, &mut common, &mut layout),
        ethertype::ARP | RARP => arp(frame, at, key, &mut common),
        ethertype::MPLS | ethertype::MPLS_MC => mpls(frame, at, key),
        ethertype::PBB => service_tag(frame, at, key),
        _ => None,
    };
    let words = key.common_mut();
    words[IPV4] = common.ipv4;
    words[TRANSPORT] = common.transport;
    words[TAGS] = common.tags;
    layout
}

/// Reads one or two VLAN tags; returns the type after them, where it ends, and the outer TCI.
fn tags(frame: &[u8], tpid: u16, common: &mut Common) -> (u16, usize, u16) {
    let (Some(tci), Some(mut eth_type)) = (be16(frame, 14), be16(frame, 16)) else {
        return (tpid, 14, 0);
    };
    common.tags |= u64::from(tpid) << 32;
    let mut at = 18;
    if is_vlan(eth_type)
        && let (Some(inner), Some(next)) = (be16(frame, 18), be16(frame, 20))
    {
        common.tags |= u64::from(inner | VLAN_PRESENT) << 16 | u64::from(eth_type);
        (eth_type, at) = (next, 22);
    }
    (eth_type, at, tci | VLAN_PRESENT)
}

/// The type of an IEEE 802.3 frame: SNAP's where there is one.
fn llc(frame: &[u8], at: &mut usize) -> u16 {
    let snap = frame.get(*at..*at + 6) == Some(&[0xaa, 0xaa, 0x03, 0, 0, 0][..]);
    match be16(frame, *at + 6) {
        Some(eth_type) if snap && eth_type >= 0x0600 => {
            *at += 8;
            eth_type
        }
        _ => ETH_TYPE_NONE,
    }
}

#[inline(always)]
fn ipv4(frame: &[u8], at: usize, common: &mut Common, layout: &mut Layout) -> Option<()> {
    let header: &[u8; 20] = frame.get(at..)?.first_chunk()?;
    let length = usize::from(header[0] & 0xf) * 4;
    if header[0] >> 4 != 4 || length < 20 || at + length > frame.len() {
        return None;
    }
    common.ipv4 = u64::from_be_bytes(*header[12..].first_chunk()?);
    let fragment = u16::from_be_bytes([header[6], header[7]]);
    let frag = match (fragment & 0x1fff, fragment & 0x2000) {
        (0, 0) => 0,
        (0, _) => FRAG_ANY,
        _ => FRAG_ANY | FRAG_LATER,
    };
    network(common, header[9], header[1], header[8], frag);
    if frag & FRAG_LATER == 0 {
        transport(frame, at + length, header[9], common, layout)?;
    }
    Some(())
}

#[inline(always)]
fn network(common: &mut Common, proto: u8, tos: u8, ttl: u8, frag: u8) {
    common.transport =
        u64::from(proto) << 56 | u64::from(tos) << 48 | u64::from(ttl) << 40 | u64::from(frag) << 32;
}

#[inline(always)]
fn transport(frame: &[u8], at: usize, proto: u8, common: &mut Common, layout: &mut Layout) -> Option<()> {
    match proto {
        ipproto::TCP => {
            let header: &[u8; 20] = frame.get(at..)?.first_chunk()?;
            common.transport |= u64::from(u32::from_be_bytes(*header.first_chunk()?));
            common.tags |= u64::from(u16::from_be_bytes([header[12] & 0x0f, header[13]])) << 48;
        }
        ipproto::UDP | ipproto::SCTP => {
            frame.get(at..at + if proto == ipproto::UDP { 8 } else { 12 })?;
            common.transport |= u64::from(be32(frame, at)?);
        }
        ipproto::ICMP => {
            let header: &[u8; 8] = frame.get(at..)?.first_chunk()?;
            common.transport |= u64::from(header[0]) << 16 | u64::from(header[1]);
        }
        _ => return None,
    }
    layout.l4 = at as u16;
    Some(())
}

fn ipv6(
    frame: &[u8],
    at: usize,
    key: &mut PacketKey,
    common: &mut Common,
    layout: &mut Layout,
) -> Option<()> {
    let header: &[u8; 40] = frame.get(at..)?.first_chunk()?;
    let first = u32::from_be_bytes(*header.first_chunk()?);
    if first >> 28 != 6 {
        return None;
    }
    for (word, offset) in [(IPV6_SRC, 8), (IPV6_SRC + 1, 16), (IPV6_DST, 24), (IPV6_DST + 1, 32)] {
        let value = be64(header, offset)?;
        if value != 0 {
            key.set_extra(word, value);
        }
    }
    let (mut proto, mut next, mut frag) = (header[6], at + 40, 0);
    let (class, ttl) = ((first >> 20) as u8, header[7]);
    network(common, proto, class, ttl, frag);
    let mut seen = Seen::default();
    let whole = walk_extensions(frame, &mut proto, &mut next, &mut seen, &mut frag);
    network(common, proto, class, ttl, frag);
    if frag & FRAG_LATER == 0 && whole.is_some() {
        // Both end the walk: nothing can be read behind them.
        seen.note(if matches!(proto, ESP | NO_NEXT) { proto } else { ANY });
    }
    let label = u64::from(first & 0xf_ffff) | u64::from(seen.bits()) << 20;
    if label != 0 {
        key.set_extra(MPLS2, label);
    }
    whole?;
    if frag & FRAG_LATER != 0 {
        return Some(());
    }
    if proto == ipproto::ICMPV6 {
        return icmpv6(frame, next, key, common, layout);
    }
    transport(frame, next, proto, common, layout)
}

/// Walks the headers that may stand between IPv6's own and the transport's; `None` where one is cut short.
fn walk_extensions(
    frame: &[u8],
    proto: &mut u8,
    next: &mut usize,
    seen: &mut Seen,
    frag: &mut u8,
) -> Option<()> {
    for _ in 0..MAX_EXTENSIONS {
        let extension = match *proto {
            0 | 43 | 60 | 135 => usize::from(*frame.get(*next + 1)?) * 8 + 8,
            51 => usize::from(*frame.get(*next + 1)?) * 4 + 8,
            44 => {
                let offset = be16(frame, *next + 2)?;
                *frag = if offset & 0xfff8 != 0 { FRAG_ANY | FRAG_LATER } else { FRAG_ANY };
                8
            }
            _ => break,
        };
        seen.note(*proto);
        *proto = *frame.get(*next)?;
        *next += extension;
        if *frag & FRAG_LATER != 0 {
            break;
        }
    }
    Some(())
}

fn icmpv6(
    frame: &[u8],
    at: usize,
    key: &mut PacketKey,
    common: &mut Common,
    layout: &mut Layout,
) -> Option<()> {
    let header: &[u8; 4] = frame.get(at..)?.first_chunk()?;
    common.transport |= u64::from(header[0]) << 16 | u64::from(header[1]);
    layout.l4 = at as u16;
    if !matches!(header[0], 135 | 136) || header[1] != 0 {
        return Some(());
    }
    for (word, offset) in [(ND_TARGET, 8), (ND_TARGET + 1, 16)] {
        let value = be64(frame, at + offset)?;
        if value != 0 {
            key.set_extra(word, value);
        }
    }
    let mut option = at + 24;
    // Each option is at least eight bytes long, so the walk ends with the frame.
    while let Some(&[kind, length]) = frame.get(option..)?.first_chunk::<2>() {
        let (Some(value), true) = (be64(frame, option), length != 0) else { break };
        let address = value & 0xffff_ffff_ffff;
        let word = match (header[0], kind, length) {
            (135, 1, 1) => ARP_SHA,
            (136, 2, 1) => ARP_THA,
            _ => 0,
        };
        if word != 0 && address != 0 {
            key.set_extra(word, address);
        }
        option += usize::from(length) * 8;
    }
    Some(())
}

fn arp(frame: &[u8], at: usize, key: &mut PacketKey, common: &mut Common) -> Option<()> {
    let packet: &[u8; 28] = frame.get(at..)?.first_chunk()?;
    if packet[..6] != [0, 1, 8, 0, 6, 4] {
        return None;
    }
    let operation = u16::from_be_bytes([packet[6], packet[7]]);
    common.transport = u64::from(operation) << 48;
    common.ipv4 = u64::from(be32(packet, 14)?) << 32 | u64::from(be32(packet, 24)?);
    for (word, offset) in [(ARP_SHA, 6), (ARP_THA, 16)] {
        // The six bytes of an address stand behind two others.
        let address = be64(packet, offset)? & 0xffff_ffff_ffff;
        if address != 0 {
            key.set_extra(word, address);
        }
    }
    Some(())
}

fn mpls(frame: &[u8], at: usize, key: &mut PacketKey) -> Option<()> {
    let mut entries = [0; 3];
    for (index, entry) in entries.iter_mut().enumerate() {
        // A stack that is cut short ends with the last whole entry.
        let Some(lse) = be32(frame, at + 4 * index) else { break };
        *entry = u64::from(lse);
        if lse & 0x100 != 0 {
            break;
        }
    }
    for (word, value) in [(MPLS, entries[0] << 32 | entries[1]), (MPLS2, entries[2] << 32)] {
        if value != 0 {
            key.set_extra(word, value);
        }
    }
    Some(())
}

/// The service tag of a provider backbone bridge (IEEE 802.1ah): priority (4 bits), whether customers' addresses are used,
/// three bits, and the service (24 bits). What it carries is not read.
fn service_tag(frame: &[u8], at: usize, key: &mut PacketKey) -> Option<()> {
    let tag = u64::from(be32(frame, at)?);
    let value = (tag >> 27 & 1) << 56 | (tag & 0xff_ffff) << 32;
    if value != 0 {
        key.set_extra(MPLS2, value);
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Field;

    fn key_of(frame: &[u8]) -> crate::FlowKey {
        let mut key = PacketKey::default();
        extract(frame, 7, 0, &mut key);
        key.expand()
    }

    fn udp() -> Vec<u8> {
        let mut frame = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0];
        frame.extend([0x45, 0x28, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
        frame.extend([0x12, 0x34, 0x00, 0x35, 0, 8, 0, 0]);
        frame
    }

    #[test]
    fn reads_udp_over_ipv4() {
        let key = key_of(&udp());
        assert_eq!(key.in_port(), 7);
        assert_eq!(key.eth_type(), 0x0800);
        assert_eq!(key.get(Field::Ipv4Src), 0x0a000001);
        assert_eq!(key.get(Field::NwTtl), 64);
        assert_eq!(key.get(Field::IpDscp), 10);
        assert_eq!((key.get(Field::UdpSrc), key.get(Field::UdpDst)), (0x1234, 53));
    }

    #[test]
    fn reads_both_tags() {
        let mut frame = udp();
        frame.splice(12..12, [0x88, 0xa8, 0x20, 0x05, 0x81, 0x00, 0x00, 0x07]);
        let key = key_of(&frame);
        assert_eq!((key.get(Field::VlanPcp), key.get(Field::VlanVid)), (1, 0x1005));
        assert_eq!(key.get(Field::UdpDst), 53);
    }

    #[test]
    fn every_cut_of_a_frame_is_taken() {
        let frame = udp();
        for length in 0..frame.len() {
            key_of(&frame[..length]);
        }
        assert_eq!(key_of(&frame[..13]).eth_type(), ETH_TYPE_NONE);
        assert_eq!(key_of(&frame[..40]).get(Field::UdpDst), 0);
    }

    #[test]
    fn reads_the_addresses_of_arp() {
        let mut frame = vec![255, 255, 255, 255, 255, 255, 2, 0, 0, 0, 0, 1, 8, 6, 0, 1, 8, 0, 6, 4, 0, 2];
        frame.extend([2, 0, 0, 0, 0, 1, 10, 0, 0, 1, 2, 0, 0, 0, 0, 9, 10, 0, 0, 2]);
        let key = key_of(&frame);
        assert_eq!((key.get(Field::ArpSha), key.get(Field::ArpTha)), (0x0200_0000_0001, 0x0200_0000_0009));
        assert_eq!((key.get(Field::ArpSpa), key.get(Field::ArpOp)), (0x0a00_0001, 2));
    }

    #[test]
    fn a_later_fragment_has_no_ports() {
        let mut frame = udp();
        frame[21] = 8;
        let key = key_of(&frame);
        assert_eq!(key.frag(), FRAG_ANY | FRAG_LATER);
        assert_eq!(key.get(Field::UdpDst), 0);
    }
}
