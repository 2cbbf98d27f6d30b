//! Actions on a packet's headers, with checksums kept true.
//!
//! A complete checksum is updated incrementally (RFC 1624); a partial one stays partial, and only its pseudo-header sum
//! is kept up. A segment is changed whole: what is set in its headers is repeated in every piece. Frames are walked
//! anew for each action: actions are rarer than outputs, and a walk costs less than keeping offsets true.

use heddle_flow::layout::FRAG_LATER;
use heddle_flow::{Field, Layout, PacketKey, extract};
use heddle_wire::{Checksum, Packet, ethertype, ipproto};

/// Sets bits of a header field; false where the packet has no such field.
pub fn set(packet: &mut Packet, field: Field, value: u128, mask: u128) -> bool {
    let mut key = PacketKey::default();
    let layout = extract(packet.data(), 0, 0, &mut key);
    let key = key.expand();
    let value = key.get(field) & !mask | value & mask;
    match field {
        Field::EthDst => write(packet, 0, &value.to_be_bytes()[10..]),
        Field::EthSrc => write(packet, 6, &value.to_be_bytes()[10..]),
        Field::VlanTci | Field::VlanVid | Field::VlanPcp => {
            let mut tagged = key;
            tagged.set(field, value);
            key.vlan_tci() != 0
                && write(packet, 14, &(tagged.vlan_tci() & !0x1000 | cfi(packet)).to_be_bytes())
        }
        Field::MplsLabel | Field::MplsTc | Field::MplsTtl | Field::MplsBos => {
            let mut labelled = key;
            labelled.set(field, value);
            let lse = (labelled.words[heddle_flow::layout::MPLS] >> 32) as u32;
            is_mpls(key.eth_type()) && write(packet, usize::from(layout.l3), &lse.to_be_bytes())
        }
        Field::PbbIsid | Field::PbbUca => {
            let at = usize::from(layout.l3);
            let Some(&old) = packet.data().get(at..).and_then(|bytes| bytes.first_chunk::<4>()) else {
                return false;
            };
            let old = u32::from_be_bytes(old);
            let new = match field {
                Field::PbbIsid => old & !0xff_ffff | value as u32 & 0xff_ffff,
                _ => old & !UCA | if value == 0 { 0 } else { UCA },
            };
            key.eth_type() == ethertype::PBB && write(packet, at, &new.to_be_bytes())
        }
        // Packets carry neither to any device.
        Field::PktMark | Field::TunnelId => true,
        _ => match key.eth_type() {
            ethertype::IPV4 => set_ipv4(packet, layout, key.ip_proto(), field, value),
            ethertype::IPV6 => set_ipv6(packet, layout, &key, field, value),
            ethertype::ARP | RARP => set_arp(packet, usize::from(layout.l3), field, value),
            _ => false,
        },
    }
}

/// Of a service tag: the customer's addresses are used (IEEE 802.1ah).
const UCA: u32 = 1 << 27;
/// Reverse ARP, whose packets look like ARP's.
const RARP: u16 = 0x8035;

fn is_mpls(eth_type: u16) -> bool {
    matches!(eth_type, ethertype::MPLS | ethertype::MPLS_MC)
}

/// The tag's drop-eligible bit, which the key does not hold.
fn cfi(packet: &Packet) -> u16 {
    packet.data().get(14).map_or(0, |byte| u16::from(byte & 0x10) << 8)
}

fn write(packet: &mut Packet, at: usize, bytes: &[u8]) -> bool {
    let Some(room) = packet.data_mut().get_mut(at..at + bytes.len()) else { return false };
    room.copy_from_slice(bytes);
    true
}

/// Replaces bytes of even length at an even place of what a checksum covers; returns the change of its sum.
fn replace(packet: &mut Packet, at: usize, bytes: &[u8]) -> Option<u32> {
    let old = packet.data_mut().get_mut(at..at + bytes.len())?;
    let mut change = 0;
    for (old, new) in old.chunks_exact(2).zip(bytes.chunks_exact(2)) {
        change += u32::from(!u16::from_be_bytes([old[0], old[1]]));
        change += u32::from(u16::from_be_bytes([new[0], new[1]]));
    }
    old.copy_from_slice(bytes);
    Some(change)
}

fn fold(mut sum: u32) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

/// Applies a change to the complete checksum at `at`.
fn adjust(packet: &mut Packet, at: usize, change: u32) {
    if let Some(field) = packet.data_mut().get_mut(at..at + 2) {
        let sum = u32::from(!u16::from_be_bytes([field[0], field[1]])) + change;
        field.copy_from_slice(&(!fold(sum)).to_be_bytes());
    }
}

/// Applies a change to the transport's checksum. `pseudo` says that it is the pseudo-header that changed.
fn adjust_transport(packet: &mut Packet, l4: usize, proto: u8, change: u32, pseudo: bool) {
    let at = match proto {
        ipproto::TCP => l4 + 16,
        ipproto::UDP => l4 + 6,
        ipproto::ICMP if !pseudo => l4 + 2,
        ipproto::ICMPV6 => l4 + 2,
        _ => return,
    };
    if l4 == 0 {
        return;
    }
    let Some(&[high, low]) = packet.data().get(at..).and_then(|bytes| bytes.first_chunk::<2>()) else {
        return;
    };
    let field = u16::from_be_bytes([high, low]);
    match packet.offload.checksum {
        Checksum::Partial { .. } if proto != ipproto::ICMP => {
            // The field holds the pseudo-header's sum, not complemented.
            if pseudo {
                write(packet, at, &fold(u32::from(field) + change).to_be_bytes());
            }
        }
        _ if proto == ipproto::UDP && field == 0 => {}
        _ => {
            adjust(packet, at, change);
            if proto == ipproto::UDP && packet.data()[at..at + 2] == [0, 0] {
                write(packet, at, &[0xff, 0xff]);
            }
        }
    }
}

fn set_ipv4(packet: &mut Packet, layout: Layout, proto: u8, field: Field, value: u128) -> bool {
    let (l3, l4) = (usize::from(layout.l3), usize::from(layout.l4));
    let Some(&header) = packet.data().get(l3..).and_then(|bytes| bytes.first_chunk::<20>()) else {
        return false;
    };
    let octet = value as u8;
    let changed = match field {
        Field::Ipv4Src => replace(packet, l3 + 12, &(value as u32).to_be_bytes()),
        Field::Ipv4Dst => replace(packet, l3 + 16, &(value as u32).to_be_bytes()),
        Field::NwTtl => replace(packet, l3 + 8, &[octet, header[9]]),
        Field::NwTos => replace(packet, l3, &[header[0], octet]),
        Field::IpDscp => replace(packet, l3, &[header[0], octet << 2 | header[1] & 3]),
        Field::NwEcn => replace(packet, l3, &[header[0], header[1] & 0xfc | octet & 3]),
        _ => return set_transport(packet, l4, proto, field, value),
    };
    let Some(change) = changed else { return false };
    adjust(packet, l3 + 10, change);
    if matches!(field, Field::Ipv4Src | Field::Ipv4Dst) {
        adjust_transport(packet, l4, proto, change, true);
    }
    true
}

fn set_ipv6(
    packet: &mut Packet,
    layout: Layout,
    key: &heddle_flow::FlowKey,
    field: Field,
    value: u128,
) -> bool {
    let (l3, l4, proto) = (usize::from(layout.l3), usize::from(layout.l4), key.ip_proto());
    let Some(&[a, b, c, d]) = packet.data().get(l3..).and_then(|bytes| bytes.first_chunk::<4>()) else {
        return false;
    };
    let first = u32::from_be_bytes([a, b, c, d]);
    let class = |class: u32| (first & !0x0ff0_0000 | class << 20).to_be_bytes();
    let old_class = first >> 20 & 0xff;
    match field {
        Field::Ipv6Src | Field::Ipv6Dst => {
            let at = if field == Field::Ipv6Src { l3 + 8 } else { l3 + 24 };
            let Some(change) = replace(packet, at, &value.to_be_bytes()) else { return false };
            if key.frag() & FRAG_LATER == 0 {
                adjust_transport(packet, l4, proto, change, true);
            }
            true
        }
        Field::NwTtl => write(packet, l3 + 7, &[value as u8]),
        Field::NwTos => write(packet, l3, &class(u32::from(value as u8))),
        Field::IpDscp => write(packet, l3, &class((value as u32 & 0x3f) << 2 | old_class & 3)),
        Field::NwEcn => write(packet, l3, &class(old_class & 0xfc | value as u32 & 3)),
        Field::Ipv6Label => write(packet, l3, &(first & !0xf_ffff | value as u32 & 0xf_ffff).to_be_bytes()),
        Field::NdTarget if l4 != 0 => match replace(packet, l4 + 8, &value.to_be_bytes()) {
            Some(change) => {
                adjust_transport(packet, l4, proto, change, false);
                true
            }
            None => false,
        },
        Field::NdSll | Field::NdTll if l4 != 0 => {
            let kind = if field == Field::NdSll { 1 } else { 2 };
            // A packet without such an option has nothing to be changed.
            let Some(at) = nd_option(packet.data(), l4, kind) else { return true };
            match replace(packet, at + 2, &value.to_be_bytes()[10..]) {
                Some(change) => {
                    adjust_transport(packet, l4, proto, change, false);
                    true
                }
                None => false,
            }
        }
        _ => set_transport(packet, l4, proto, field, value),
    }
}

/// Where neighbour discovery's option of this kind is that holds an Ethernet address (RFC 4861 section 4.6.1).
fn nd_option(frame: &[u8], l4: usize, kind: u8) -> Option<usize> {
    let mut at = l4 + 24;
    // Each option is at least eight bytes long, so the walk ends with the frame.
    while let Some(&[found, length]) = frame.get(at..)?.first_chunk::<2>() {
        match (found, length) {
            (_, 0) => return None,
            (found, 1) if found == kind => return Some(at),
            _ => at += usize::from(length) * 8,
        }
    }
    None
}

fn set_transport(packet: &mut Packet, l4: usize, proto: u8, field: Field, value: u128) -> bool {
    if l4 == 0 {
        return false;
    }
    let is_icmp = matches!(proto, ipproto::ICMP | ipproto::ICMPV6);
    let Some(&[kind, code]) = packet.data().get(l4..).and_then(|bytes| bytes.first_chunk::<2>()) else {
        return false;
    };
    let change = match field {
        Field::TcpSrc | Field::UdpSrc | Field::SctpSrc if !is_icmp => {
            replace(packet, l4, &(value as u16).to_be_bytes())
        }
        Field::TcpDst | Field::UdpDst | Field::SctpDst if !is_icmp => {
            replace(packet, l4 + 2, &(value as u16).to_be_bytes())
        }
        Field::IcmpType | Field::Icmpv6Type if is_icmp => replace(packet, l4, &[value as u8, code]),
        Field::IcmpCode | Field::Icmpv6Code if is_icmp => replace(packet, l4, &[kind, value as u8]),
        _ => return false,
    };
    let Some(change) = change else { return false };
    if proto == ipproto::SCTP {
        return finish_sctp(packet, l4);
    }
    adjust_transport(packet, l4, proto, change, false);
    true
}

/// SCTP's CRC does not add up incrementally: compute it anew (RFC 9260, appendix A).
fn finish_sctp(packet: &mut Packet, l4: usize) -> bool {
    if matches!(packet.offload.checksum, Checksum::Partial { .. }) {
        return true;
    }
    if !write(packet, l4 + 8, &[0; 4]) {
        return false;
    }
    let crc = heddle_wire::checksum::crc32c(&packet.data()[l4..]);
    write(packet, l4 + 8, &crc.to_le_bytes())
}

fn set_arp(packet: &mut Packet, l3: usize, field: Field, value: u128) -> bool {
    let bytes = value.to_be_bytes();
    match field {
        Field::ArpOp => write(packet, l3 + 6, &bytes[14..]),
        Field::ArpSha => write(packet, l3 + 8, &bytes[10..]),
        Field::ArpSpa => write(packet, l3 + 14, &bytes[12..]),
        Field::ArpTha => write(packet, l3 + 18, &bytes[10..]),
        Field::ArpTpa => write(packet, l3 + 24, &bytes[12..]),
        _ => false,
    }
}

/// Pushes a VLAN tag behind the addresses.
pub fn push_vlan(packet: &mut Packet, tpid: u16, tci: u16) -> bool {
    let mut tag = [0; 4];
    tag[..2].copy_from_slice(&tpid.to_be_bytes());
    tag[2..].copy_from_slice(&tci.to_be_bytes());
    insert(packet, 12, &tag)
}

/// Pops the outer VLAN tag.
pub fn pop_vlan(packet: &mut Packet) -> bool {
    let tagged = packet.len() >= 18 && matches!(packet.data()[12..14], [0x81, 0x00] | [0x88, 0xa8]);
    tagged && remove(packet, 12, 4)
}

/// Pushes a label stack entry between the tags and what they carry.
pub fn push_mpls(packet: &mut Packet, eth_type: u16, lse: u32) -> bool {
    let Some(at) = after_tags(packet) else { return false };
    insert(packet, at, &lse.to_be_bytes()) && write(packet, at - 2, &eth_type.to_be_bytes())
}

/// Pops the outer label stack entry.
pub fn pop_mpls(packet: &mut Packet, eth_type: u16) -> bool {
    let Some(at) = after_tags(packet) else { return false };
    let labelled = packet.len() >= at + 4 && matches!(packet.data()[at - 2..at], [0x88, 0x47 | 0x48]);
    labelled && remove(packet, at, 4) && write(packet, at - 2, &eth_type.to_be_bytes())
}

/// Pushes a service tag; the addresses are repeated behind it, as the customer's.
pub fn push_pbb(packet: &mut Packet, tag: u32) -> bool {
    let Some(&addresses) = packet.data().first_chunk::<12>() else { return false };
    let mut header = [0; 18];
    header[..2].copy_from_slice(&ethertype::PBB.to_be_bytes());
    header[2..6].copy_from_slice(&tag.to_be_bytes());
    header[6..].copy_from_slice(&addresses);
    insert(packet, 12, &header)
}

/// Pops the service tag and the addresses before it; those behind it are the packet's again.
pub fn pop_pbb(packet: &mut Packet) -> bool {
    let tagged = packet.len() >= 30 && packet.data()[12..14] == ethertype::PBB.to_be_bytes();
    tagged && packet.pull_front(18) && packet.offload.shift(-18)
}

/// Where the TTL of a label is, and that of the header beneath; true where that is IPv4's, which has a checksum.
fn ttls(packet: &Packet) -> Option<(usize, usize, bool)> {
    let at = after_tags(packet)?;
    let data = packet.data();
    if !matches!(data.get(at - 2..at)?, [0x88, 0x47 | 0x48]) {
        return None;
    }
    let (is_last, beneath) = (data.get(at + 2)? & 1 != 0, at + 4);
    let (inner, is_ipv4) = match (is_last, data.get(beneath)? >> 4) {
        (false, _) => (beneath + 3, false),
        (true, 4) => (beneath + 8, true),
        (true, 6) => (beneath + 7, false),
        _ => return None,
    };
    // IPv4's checksum follows its TTL and protocol.
    data.get(..inner + if is_ipv4 { 4 } else { 1 })?;
    Some((at + 3, inner, is_ipv4))
}

/// Copies the TTL of what a label is on to the label. A packet without two TTLs is left alone.
pub fn copy_ttl_out(packet: &mut Packet) -> bool {
    if let Some((outer, inner, _)) = ttls(packet) {
        let ttl = packet.data()[inner];
        packet.data_mut()[outer] = ttl;
    }
    true
}

/// Copies the TTL of a label to what it is on. A packet without two TTLs is left alone.
pub fn copy_ttl_in(packet: &mut Packet) -> bool {
    let Some((outer, inner, is_ipv4)) = ttls(packet) else { return true };
    let (ttl, proto) = (packet.data()[outer], packet.data()[inner + 1]);
    if !is_ipv4 {
        return write(packet, inner, &[ttl]);
    }
    let Some(change) = replace(packet, inner, &[ttl, proto]) else { return true };
    adjust(packet, inner + 2, change);
    true
}

/// Raises the drop precedence of a packet by so many levels.
pub fn remark(packet: &mut Packet, levels: u8) {
    let mut key = PacketKey::default();
    extract(packet.data(), 0, 0, &mut key);
    let dscp = key.expand().get(Field::IpDscp) as u8;
    // What is no IP has none.
    let _ = set(packet, Field::IpDscp, u128::from(crate::meter::remarked(dscp, levels)), 0x3f);
}

/// Where the header after Ethernet and its tags starts.
fn after_tags(packet: &Packet) -> Option<usize> {
    let mut at = 14;
    for _ in 0..2 {
        match packet.data().get(at - 2..at)? {
            [0x81, 0x00] | [0x88, 0xa8] => at += 4,
            _ => break,
        }
    }
    (packet.len() >= at).then_some(at)
}

fn insert(packet: &mut Packet, at: usize, bytes: &[u8]) -> bool {
    if packet.len() < at || packet.push_front(bytes.len()).is_none() {
        return false;
    }
    let data = packet.data_mut();
    data.copy_within(bytes.len()..bytes.len() + at, 0);
    data[at..at + bytes.len()].copy_from_slice(bytes);
    packet.offload.shift(bytes.len() as i32)
}

fn remove(packet: &mut Packet, at: usize, count: usize) -> bool {
    packet.data_mut().copy_within(..at, count);
    packet.pull_front(count) && packet.offload.shift(-(count as i32))
}
