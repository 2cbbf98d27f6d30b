//! `ofp_match` of OpenFlow 1.1.0 (section A.2.3): 88 bytes. Bits that a mask sets are not matched.

use heddle_flow::layout::VLAN_PRESENT;
use heddle_flow::{Field, Match};
use heddle_wire::ipproto;

use crate::bytes::{Put, Reader};
use crate::error::OfError;

/// Type and length of the match.
const STANDARD: u16 = 0;
const LENGTH: u16 = 88;

/// Bits of `wildcards`.
mod wild {
    pub(super) const IN_PORT: u32 = 1;
    pub(super) const VLAN: u32 = 1 << 1;
    pub(super) const VLAN_PCP: u32 = 1 << 2;
    pub(super) const ETH_TYPE: u32 = 1 << 3;
    pub(super) const NW_TOS: u32 = 1 << 4;
    pub(super) const NW_PROTO: u32 = 1 << 5;
    pub(super) const TP_SRC: u32 = 1 << 6;
    pub(super) const TP_DST: u32 = 1 << 7;
    pub(super) const MPLS_LABEL: u32 = 1 << 8;
    pub(super) const MPLS_TC: u32 = 1 << 9;
    pub(super) const ALL: u32 = (1 << 10) - 1;
}

/// `dl_vlan` of packets with some tag, and of those without one.
const ANY_VLAN: u16 = 0xfffe;
const NO_VLAN: u16 = 0xffff;
/// Fields of the transport layer: source, destination, and the protocol that has them.
const TRANSPORT: [(u8, Field, Field); 5] = [
    (ipproto::TCP, Field::TcpSrc, Field::TcpDst),
    (ipproto::UDP, Field::UdpSrc, Field::UdpDst),
    (ipproto::SCTP, Field::SctpSrc, Field::SctpDst),
    (ipproto::ICMP, Field::IcmpType, Field::IcmpCode),
    (ipproto::ICMPV6, Field::Icmpv6Type, Field::Icmpv6Code),
];

fn address(bytes: [u8; 6]) -> u128 {
    bytes.iter().fold(0, |value, &byte| value << 8 | u128::from(byte))
}

/// Reads a match.
///
/// # Errors
/// The error that the specification names for another type, length or value.
pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Match, OfError> {
    if reader.u16()? != STANDARD {
        return Err(OfError::MatchBadType);
    }
    if reader.u16()? != LENGTH {
        return Err(OfError::MatchBadLength);
    }
    let (in_port, wildcards) = (reader.u32()?, reader.u32()?);
    let asked = |bit: u32| wildcards & bit == 0;
    let mut matching = Match::default();
    if asked(wild::IN_PORT) {
        matching.set(Field::InPort, in_port.into());
    }
    for field in [Field::EthSrc, Field::EthDst] {
        let (value, mask) = (address(reader.mac()?), !address(reader.mac()?) & field.spec().full_mask());
        set(&mut matching, field, value, mask);
    }
    let (vlan, pcp) = (reader.u16()?, reader.u8()?);
    reader.skip(1)?;
    decode_vlan(&mut matching, asked(wild::VLAN).then_some(vlan), asked(wild::VLAN_PCP).then_some(pcp))?;
    let (eth_type, tos, proto) = (reader.u16()?, reader.u8()?, reader.u8()?);
    let (nw_src, nw_src_mask) = (reader.u32()?, !reader.u32()?);
    let (nw_dst, nw_dst_mask) = (reader.u32()?, !reader.u32()?);
    let (tp_src, tp_dst) = (reader.u16()?, reader.u16()?);
    let (label, tc) = (reader.u32()?, reader.u8()?);
    reader.skip(3)?;
    let (metadata, metadata_mask) = (reader.u64()?, !reader.u64()?);
    set(&mut matching, Field::Metadata, metadata.into(), metadata_mask.into());
    if !asked(wild::ETH_TYPE) {
        return Ok(matching);
    }
    matching.set(Field::EthType, eth_type.into());
    let is_arp = matching.satisfies(Field::ArpOp);
    if asked(wild::NW_TOS) && matching.satisfies(Field::IpDscp) {
        if tos & 3 != 0 {
            return Err(OfError::MatchBadValue);
        }
        matching.set(Field::IpDscp, (tos >> 2).into());
    }
    if is_arp || matching.satisfies(Field::Ipv4Src) {
        set(&mut matching, Field::Ipv4Src, nw_src.into(), nw_src_mask.into());
        set(&mut matching, Field::Ipv4Dst, nw_dst.into(), nw_dst_mask.into());
    }
    if asked(wild::NW_PROTO) && (is_arp || matching.satisfies(Field::NwProto)) {
        matching.set(if is_arp { Field::ArpOp } else { Field::NwProto }, proto.into());
        if let Some((_, src, dst)) = transport(&matching, proto) {
            for (bit, field, value) in [(wild::TP_SRC, src, tp_src), (wild::TP_DST, dst, tp_dst)] {
                if asked(bit) {
                    if u128::from(value) & !field.spec().full_mask() != 0 {
                        return Err(OfError::MatchBadField);
                    }
                    matching.set(field, value.into());
                }
            }
        }
    }
    for (bit, field, value) in
        [(wild::MPLS_LABEL, Field::MplsLabel, label), (wild::MPLS_TC, Field::MplsTc, tc.into())]
    {
        if asked(bit) && matching.satisfies(field) {
            matching.set(field, u128::from(value) & field.spec().full_mask());
        }
    }
    Ok(matching)
}

fn set(matching: &mut Match, field: Field, value: u128, mask: u128) {
    if mask != 0 {
        matching.set_masked(field, value & mask, mask);
    }
}

fn transport(matching: &Match, proto: u8) -> Option<(u8, Field, Field)> {
    TRANSPORT.into_iter().find(|row| row.0 == proto && matching.satisfies(row.1))
}

fn decode_vlan(matching: &mut Match, vlan: Option<u16>, pcp: Option<u8>) -> Result<(), OfError> {
    let (value, mask) = match vlan {
        None => return Ok(()),
        Some(NO_VLAN) => (0, VLAN_PRESENT),
        Some(ANY_VLAN) => (VLAN_PRESENT, VLAN_PRESENT),
        Some(vlan @ 0..=0xfff) => (VLAN_PRESENT | vlan, VLAN_PRESENT | 0xfff),
        Some(_) => return Err(OfError::MatchBadValue),
    };
    let (mut value, mut mask) = (value, if vlan == Some(NO_VLAN) { u16::MAX } else { mask });
    if let Some(pcp) = pcp.filter(|_| vlan != Some(NO_VLAN)) {
        if pcp > 7 {
            return Err(OfError::MatchBadValue);
        }
        value |= u16::from(pcp) << 13;
        mask |= 7 << 13;
    }
    matching.set_masked(Field::VlanTci, value.into(), mask.into());
    Ok(())
}

/// Writes a match, as far as the version can say it; what it cannot is left out.
pub(crate) fn encode(out: &mut Vec<u8>, matching: &Match) {
    let mut wildcards = wild::ALL;
    let mut asked = |bit: u32, field: Field| {
        let (value, mask) = matching.get(field);
        let there = mask == field.spec().full_mask() && matching.satisfies(field);
        wildcards &= if there { !bit } else { u32::MAX };
        if there { value } else { 0 }
    };
    let in_port = asked(wild::IN_PORT, Field::InPort) as u32;
    let eth_type = asked(wild::ETH_TYPE, Field::EthType) as u16;
    let is_arp = matching.satisfies(Field::ArpOp);
    let tos = (asked(wild::NW_TOS, Field::IpDscp) as u8) << 2;
    let proto = asked(wild::NW_PROTO, if is_arp { Field::ArpOp } else { Field::NwProto }) as u8;
    let (_, src, dst) = transport(matching, proto).unwrap_or(TRANSPORT[0]);
    let (tp_src, tp_dst) = (asked(wild::TP_SRC, src) as u16, asked(wild::TP_DST, dst) as u16);
    let (label, tc) =
        (asked(wild::MPLS_LABEL, Field::MplsLabel) as u32, asked(wild::MPLS_TC, Field::MplsTc) as u8);
    let (tci, mask) = matching.get(Field::VlanTci);
    let (tci, mask) = (tci as u16, mask as u16);
    let vlan = match (mask & VLAN_PRESENT, tci & VLAN_PRESENT, mask & 0xfff) {
        (0, ..) => None,
        (_, 0, _) => Some(NO_VLAN),
        (.., 0xfff) => Some(tci & 0xfff),
        _ => Some(ANY_VLAN),
    };
    let pcp = (vlan.is_some_and(|vlan| vlan != NO_VLAN) && mask >> 13 == 7).then_some((tci >> 13) as u8);
    wildcards &= if vlan.is_some() { !wild::VLAN } else { u32::MAX };
    wildcards &= if pcp.is_some() { !wild::VLAN_PCP } else { u32::MAX };
    out.u16(STANDARD);
    out.u16(LENGTH);
    out.u32(in_port);
    out.u32(wildcards);
    for field in [Field::EthSrc, Field::EthDst] {
        let (value, mask) = matching.get(field);
        out.extend_from_slice(&value.to_be_bytes()[10..]);
        out.extend_from_slice(&(!mask).to_be_bytes()[10..]);
    }
    out.u16(vlan.unwrap_or(0));
    out.u8(pcp.unwrap_or(0));
    out.zeros(1);
    out.u16(eth_type);
    out.u8(tos);
    out.u8(proto);
    for field in [Field::Ipv4Src, Field::Ipv4Dst] {
        let there = is_arp || matching.satisfies(field);
        let (value, mask) = if there { matching.get(field) } else { (0, 0) };
        out.u32(value as u32);
        out.u32(!(mask as u32));
    }
    out.u16(tp_src);
    out.u16(tp_dst);
    out.u32(label);
    out.u8(tc);
    out.zeros(3);
    let (metadata, mask) = matching.get(Field::Metadata);
    out.u64(metadata as u64);
    out.u64(!(mask as u64));
}
