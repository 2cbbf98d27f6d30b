//! `ofp_match` of OpenFlow 1.0.1 (section 5.2.3): 40 bytes in which what is not matched is listed.

use heddle_flow::layout::VLAN_PRESENT;
use heddle_flow::{Field, Match};
use heddle_wire::{ethertype, ipproto};

use crate::bytes::{Put, Reader};
use crate::error::OfError;
use crate::port::from_16;

use super::short;

/// Bits of `wildcards`.
mod wild {
    pub(super) const IN_PORT: u32 = 1;
    pub(super) const VLAN: u32 = 1 << 1;
    pub(super) const ETH_SRC: u32 = 1 << 2;
    pub(super) const ETH_DST: u32 = 1 << 3;
    pub(super) const ETH_TYPE: u32 = 1 << 4;
    pub(super) const NW_PROTO: u32 = 1 << 5;
    pub(super) const TP_SRC: u32 = 1 << 6;
    pub(super) const TP_DST: u32 = 1 << 7;
    pub(super) const NW_SRC_SHIFT: u32 = 8;
    pub(super) const NW_DST_SHIFT: u32 = 14;
    pub(super) const VLAN_PCP: u32 = 1 << 20;
    pub(super) const NW_TOS: u32 = 1 << 21;
}

/// `dl_vlan` of packets without a tag.
const NO_VLAN: u16 = 0xffff;
/// Fields of the transport layer: source, destination, and the protocol that has them.
const TRANSPORT: [(u8, Field, Field); 4] = [
    (ipproto::TCP, Field::TcpSrc, Field::TcpDst),
    (ipproto::UDP, Field::UdpSrc, Field::UdpDst),
    (ipproto::SCTP, Field::SctpSrc, Field::SctpDst),
    (ipproto::ICMP, Field::IcmpType, Field::IcmpCode),
];

/// Reads a match. Fields whose prerequisites are not asked for are ignored, as the version has it.
///
/// # Errors
/// If the bytes run out.
pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Match, OfError> {
    let (wildcards, in_port) = (reader.u32()?, reader.u16()?);
    let (eth_src, eth_dst) = (reader.mac()?, reader.mac()?);
    let (vlan, pcp) = (reader.u16()?, reader.u8()?);
    reader.skip(1)?;
    let (eth_type, tos, proto) = (reader.u16()?, reader.u8()?, reader.u8()?);
    reader.skip(2)?;
    let (nw_src, nw_dst, tp_src, tp_dst) = (reader.u32()?, reader.u32()?, reader.u16()?, reader.u16()?);
    let mut matching = Match::default();
    let asked = |bit: u32| wildcards & bit == 0;
    if asked(wild::IN_PORT) {
        matching.set(Field::InPort, from_16(in_port).into());
    }
    for (bit, field, mac) in
        [(wild::ETH_SRC, Field::EthSrc, eth_src), (wild::ETH_DST, Field::EthDst, eth_dst)]
    {
        if asked(bit) {
            matching.set(field, mac.iter().fold(0, |value, &byte| value << 8 | u128::from(byte)));
        }
    }
    decode_vlan(&mut matching, asked(wild::VLAN).then_some(vlan), asked(wild::VLAN_PCP).then_some(pcp));
    if !asked(wild::ETH_TYPE) {
        return Ok(matching);
    }
    matching.set(Field::EthType, eth_type.into());
    if asked(wild::NW_TOS) && matching.satisfies(Field::IpDscp) {
        matching.set(Field::IpDscp, (tos >> 2).into());
    }
    let is_arp = matching.satisfies(Field::ArpOp);
    if !is_arp && !matching.satisfies(Field::NwProto) {
        return Ok(matching);
    }
    if is_arp || eth_type == ethertype::IPV4 {
        for (shift, field, address) in
            [(wild::NW_SRC_SHIFT, Field::Ipv4Src, nw_src), (wild::NW_DST_SHIFT, Field::Ipv4Dst, nw_dst)]
        {
            let mask = u32::MAX.checked_shl(wildcards >> shift & 0x3f).unwrap_or(0);
            if mask != 0 {
                matching.set_masked(field, (address & mask).into(), mask.into());
            }
        }
    }
    if !asked(wild::NW_PROTO) {
        return Ok(matching);
    }
    matching.set(if is_arp { Field::ArpOp } else { Field::NwProto }, proto.into());
    if let Some((_, src, dst)) = TRANSPORT.iter().find(|row| row.0 == proto && matching.satisfies(row.1)) {
        for (bit, field, value) in [(wild::TP_SRC, *src, tp_src), (wild::TP_DST, *dst, tp_dst)] {
            if asked(bit) {
                let value = u128::from(value) & field.spec().full_mask();
                matching.set(field, value);
            }
        }
    }
    Ok(matching)
}

fn decode_vlan(matching: &mut Match, vlan: Option<u16>, pcp: Option<u8>) {
    let (mut value, mut mask) = (0, 0);
    match vlan {
        Some(NO_VLAN) => return matching.set(Field::VlanTci, 0),
        Some(vlan) => (value, mask) = (VLAN_PRESENT | vlan & 0xfff, VLAN_PRESENT | 0xfff),
        None => {}
    }
    if let Some(pcp) = pcp {
        value |= VLAN_PRESENT | u16::from(pcp & 7) << 13;
        mask |= VLAN_PRESENT | 7 << 13;
    }
    if mask != 0 {
        matching.set_masked(Field::VlanTci, value.into(), mask.into());
    }
}

/// Writes a match, as far as the version can say it; what it cannot is left out.
pub(crate) fn encode(out: &mut Vec<u8>, matching: &Match) {
    let mut wildcards = 0;
    let mut wide = |field: Field, bit: u32| {
        let (value, mask) = matching.get(field);
        let asked = mask == field.spec().full_mask() && matching.satisfies(field);
        wildcards |= if asked { 0 } else { bit };
        if asked { value } else { 0 }
    };
    let in_port = wide(Field::InPort, wild::IN_PORT) as u32;
    let (eth_src, eth_dst) = (wide(Field::EthSrc, wild::ETH_SRC), wide(Field::EthDst, wild::ETH_DST));
    let eth_type = wide(Field::EthType, wild::ETH_TYPE) as u16;
    let dscp = wide(Field::IpDscp, wild::NW_TOS) as u8;
    let is_arp = matching.satisfies(Field::ArpOp);
    let proto = wide(if is_arp { Field::ArpOp } else { Field::NwProto }, wild::NW_PROTO) as u8;
    let transport = TRANSPORT.iter().find(|row| row.0 == proto && matching.satisfies(row.1));
    let (src, dst) = transport.map_or((Field::TcpSrc, Field::TcpDst), |row| (row.1, row.2));
    let (tp_src, tp_dst) = (wide(src, wild::TP_SRC) as u16, wide(dst, wild::TP_DST) as u16);
    let mut prefix = |field: Field, shift: u32| {
        let (value, mask) = matching.get(field);
        let there = is_arp || matching.satisfies(field);
        let length = if there { (mask as u32).leading_ones() } else { 0 };
        wildcards |= (32 - length) << shift;
        value as u32 & u32::MAX.checked_shl(32 - length).unwrap_or(0)
    };
    let (nw_src, nw_dst) =
        (prefix(Field::Ipv4Src, wild::NW_SRC_SHIFT), prefix(Field::Ipv4Dst, wild::NW_DST_SHIFT));
    let (tci, mask) = matching.get(Field::VlanTci);
    let (tci, mask) = (tci as u16, mask as u16);
    let vlan = match (mask & 0xfff, mask & VLAN_PRESENT, tci & VLAN_PRESENT) {
        (_, VLAN_PRESENT, 0) => NO_VLAN,
        (0xfff, VLAN_PRESENT, _) => tci & 0xfff,
        _ => {
            wildcards |= wild::VLAN;
            0
        }
    };
    let pcp = if mask >> 13 == 7 && vlan != NO_VLAN { (tci >> 13) as u8 } else { 0 };
    wildcards |= if mask >> 13 == 7 && vlan != NO_VLAN { 0 } else { wild::VLAN_PCP };

    out.u32(wildcards);
    out.u16(short(in_port));
    out.extend_from_slice(&eth_src.to_be_bytes()[10..]);
    out.extend_from_slice(&eth_dst.to_be_bytes()[10..]);
    out.u16(vlan);
    out.u8(pcp);
    out.zeros(1);
    out.u16(eth_type);
    out.u8(dscp << 2);
    out.u8(proto);
    out.zeros(2);
    out.u32(nw_src);
    out.u32(nw_dst);
    out.u16(tp_src);
    out.u16(tp_dst);
}
