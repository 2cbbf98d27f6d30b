//! Small messages of Nicira's: options of tunnels, connections to forget, and what flows are sampled.

use crate::bytes::{Put, Reader};
use crate::error::OfError;
use crate::property;

/// Which option of a Geneve tunnel a field stands for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TlvMap {
    /// The option's class.
    pub class: u16,
    /// The option's type.
    pub kind: u8,
    /// The option's length in bytes.
    pub length: u8,
    /// The field: `tun_metadata` with this number.
    pub index: u16,
}

/// What to do with options.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum TlvCommand {
    /// Adds them.
    Add,
    /// Deletes them.
    Delete,
    /// Deletes all.
    Clear,
}

/// What options there are, and how many there may be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlvTable {
    /// Most bytes of all together.
    pub max_space: u32,
    /// Most of them.
    pub max_fields: u16,
    /// Those there are.
    pub maps: Vec<TlvMap>,
}

fn decode_maps(reader: &mut Reader<'_>) -> Result<Vec<TlvMap>, OfError> {
    let mut maps = Vec::new();
    while reader.left() != 0 {
        let (class, kind, length, index) = (reader.u16()?, reader.u8()?, reader.u8()?, reader.u16()?);
        reader.skip(2)?;
        maps.push(TlvMap { class, kind, length, index });
    }
    Ok(maps)
}

fn encode_maps(out: &mut Vec<u8>, maps: &[TlvMap]) {
    for map in maps {
        out.u16(map.class);
        out.u8(map.kind);
        out.u8(map.length);
        out.u16(map.index);
        out.zeros(2);
    }
}

pub(crate) fn decode_tlv_mod(reader: &mut Reader<'_>) -> Result<(TlvCommand, Vec<TlvMap>), OfError> {
    let command = match reader.u16()? {
        0 => TlvCommand::Add,
        1 => TlvCommand::Delete,
        2 => TlvCommand::Clear,
        _ => return Err(OfError::TlvTableBadCommand),
    };
    reader.skip(6)?;
    Ok((command, decode_maps(reader)?))
}

pub(crate) fn encode_tlv_mod(out: &mut Vec<u8>, command: TlvCommand, maps: &[TlvMap]) {
    out.u16(command as u16);
    out.zeros(6);
    encode_maps(out, maps);
}

pub(crate) fn decode_tlv_table(reader: &mut Reader<'_>) -> Result<TlvTable, OfError> {
    let (max_space, max_fields) = (reader.u32()?, reader.u16()?);
    reader.skip(10)?;
    Ok(TlvTable { max_space, max_fields, maps: decode_maps(reader)? })
}

pub(crate) fn encode_tlv_table(out: &mut Vec<u8>, table: &TlvTable) {
    out.u32(table.max_space);
    out.u16(table.max_fields);
    out.zeros(10);
    encode_maps(out, &table.maps);
}

/// One direction of a connection; zero asks nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CtTuple {
    /// Source address; an IPv4 address is mapped into IPv6.
    pub src: u128,
    /// Destination address.
    pub dst: u128,
    /// Source port, or the identifier of ICMP.
    pub src_port: u16,
    /// Destination port, or type and code of ICMP.
    pub dst_port: u16,
}

/// Which connections to forget.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CtFlush {
    /// The IP protocol; zero for any.
    pub protocol: u8,
    /// The zone.
    pub zone: Option<u16>,
    /// Mark and the bits of it that are asked for.
    pub mark: Option<u32>,
    /// Bits of the mark.
    pub mark_mask: Option<u32>,
    /// Labels.
    pub labels: Option<u128>,
    /// Bits of the labels.
    pub labels_mask: Option<u128>,
    /// The direction of its first packet.
    pub original: CtTuple,
    /// The direction of answers.
    pub reply: CtTuple,
}

/// Properties of the message, and of a direction.
mod prop {
    pub(super) const ORIGINAL: u16 = 0;
    pub(super) const REPLY: u16 = 1;
    pub(super) const ZONE: u16 = 2;
    pub(super) const MARK: u16 = 3;
    pub(super) const MARK_MASK: u16 = 4;
    pub(super) const LABELS: u16 = 5;
    pub(super) const LABELS_MASK: u16 = 6;
    pub(super) const SRC: u16 = 0;
    pub(super) const DST: u16 = 1;
    pub(super) const SRC_PORT: u16 = 2;
    pub(super) const DST_PORT: u16 = 3;
    pub(super) const ICMP_ID: u16 = 4;
    pub(super) const ICMP_TYPE: u16 = 5;
    pub(super) const ICMP_CODE: u16 = 6;
}

/// Prefix of IPv4 addresses that are mapped into IPv6.
const MAPPED: u128 = 0xffff << 32;

/// Whether an address is IPv4's, mapped into IPv6.
#[must_use]
pub fn is_mapped(address: u128) -> bool {
    address >> 32 == MAPPED >> 32
}

pub(crate) fn decode_ct_flush(reader: &mut Reader<'_>) -> Result<CtFlush, OfError> {
    let protocol = reader.u8()?;
    if reader.take(7)? != [0; 7] {
        return Err(OfError::NxRequestMustBeZero);
    }
    let mut flush = CtFlush { protocol, ..CtFlush::default() };
    while reader.left() != 0 {
        let (kind, mut body) = property::next(reader)?;
        match kind {
            prop::ORIGINAL => flush.original = decode_tuple(&mut body)?,
            prop::REPLY => flush.reply = decode_tuple(&mut body)?,
            prop::ZONE => flush.zone = Some(half(&mut body)?),
            prop::MARK => flush.mark = Some(body.u32()?),
            prop::MARK_MASK => flush.mark_mask = Some(body.u32()?),
            prop::LABELS => flush.labels = Some(body.u128()?),
            prop::LABELS_MASK => flush.labels_mask = Some(body.u128()?),
            _ => return Err(property::unknown(kind)),
        }
        property::end(&body)?;
    }
    // Both directions have one family.
    let ends = [flush.original.src, flush.original.dst, flush.reply.src, flush.reply.dst];
    let mut families = ends.into_iter().filter(|end| *end != 0).map(is_mapped);
    let first = families.next();
    if families.any(|family| Some(family) != first) {
        return Err(OfError::PropertyBadValue);
    }
    Ok(flush)
}

/// Two bytes, with two of padding where they are there.
fn half(body: &mut Reader<'_>) -> Result<u16, OfError> {
    let value = body.u16()?;
    body.skip(body.left().min(2))?;
    Ok(value)
}

/// One byte, with three of padding where they are there.
fn quarter(body: &mut Reader<'_>) -> Result<u8, OfError> {
    let value = body.u8()?;
    body.skip(body.left().min(3))?;
    Ok(value)
}

fn decode_tuple(body: &mut Reader<'_>) -> Result<CtTuple, OfError> {
    body.skip(4)?;
    let mut tuple = CtTuple::default();
    let (mut src, mut dst) = (None, None);
    while body.left() != 0 {
        let (kind, mut value) = property::next(body)?;
        match kind {
            prop::SRC => src = Some(value.u128()?),
            prop::DST => dst = Some(value.u128()?),
            prop::SRC_PORT | prop::ICMP_ID => tuple.src_port = half(&mut value)?,
            prop::DST_PORT => tuple.dst_port = half(&mut value)?,
            prop::ICMP_TYPE => tuple.dst_port = tuple.dst_port & 0xff | u16::from(quarter(&mut value)?) << 8,
            prop::ICMP_CODE => tuple.dst_port = tuple.dst_port & 0xff00 | u16::from(quarter(&mut value)?),
            _ => return Err(property::unknown(kind)),
        }
        property::end(&value)?;
    }
    // Both ends have one family.
    if src.zip(dst).is_some_and(|(src, dst)| is_mapped(src) != is_mapped(dst)) {
        return Err(OfError::PropertyBadValue);
    }
    (tuple.src, tuple.dst) = (src.unwrap_or(0), dst.unwrap_or(0));
    Ok(tuple)
}

/// The IP protocols whose identifier, type and code stand in place of ports.
const ICMP: [u8; 2] = [1, 58];

pub(crate) fn encode_ct_flush(out: &mut Vec<u8>, flush: &CtFlush) {
    out.u8(flush.protocol);
    out.zeros(7);
    for (kind, tuple) in [(prop::ORIGINAL, &flush.original), (prop::REPLY, &flush.reply)] {
        if *tuple != CtTuple::default() {
            property::put(out, kind, |out| {
                out.zeros(4);
                encode_tuple(out, flush.protocol, tuple);
            });
        }
    }
    if let Some(zone) = flush.zone {
        property::put(out, prop::ZONE, |out| out.u16(zone));
    }
    for (kind, value) in [(prop::MARK, flush.mark), (prop::MARK_MASK, flush.mark_mask)] {
        if let Some(value) = value {
            property::put(out, kind, |out| out.u32(value));
        }
    }
    for (kind, value) in [(prop::LABELS, flush.labels), (prop::LABELS_MASK, flush.labels_mask)] {
        if let Some(value) = value {
            property::put(out, kind, |out| out.extend_from_slice(&value.to_be_bytes()));
        }
    }
}

fn encode_tuple(out: &mut Vec<u8>, protocol: u8, tuple: &CtTuple) {
    let address = |out: &mut Vec<u8>, kind: u16, value: u128| {
        if value != 0 {
            property::put(out, kind, |out| out.extend_from_slice(&value.to_be_bytes()));
        }
    };
    address(out, prop::SRC, tuple.src);
    address(out, prop::DST, tuple.dst);
    let [high, low] = tuple.dst_port.to_be_bytes();
    if ICMP.contains(&protocol) {
        property::put(out, prop::ICMP_ID, |out| out.u16(tuple.src_port));
        property::put(out, prop::ICMP_TYPE, |out| out.u8(high));
        property::put(out, prop::ICMP_CODE, |out| out.u8(low));
        return;
    }
    for (kind, value) in [(prop::SRC_PORT, tuple.src_port), (prop::DST_PORT, tuple.dst_port)] {
        if value != 0 {
            property::put(out, kind, |out| out.u16(value));
        }
    }
}

/// Counters of sampled flows, in the wire's order: flows, current flows, packets, IPv4 and IPv6 packets, packets with errors,
/// IPv4 and IPv6 packets with errors, packets sent, errors in sending.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IpfixStats {
    /// The counters.
    pub counters: [u64; 10],
    /// The set of collectors.
    pub collector_set: u32,
}

pub(crate) fn decode_ipfix(reader: &mut Reader<'_>) -> Result<IpfixStats, OfError> {
    let mut stats = IpfixStats::default();
    for counter in &mut stats.counters {
        *counter = reader.u64()?;
    }
    stats.collector_set = reader.u32()?;
    reader.skip(4)?;
    Ok(stats)
}

pub(crate) fn encode_ipfix(out: &mut Vec<u8>, stats: &IpfixStats) {
    stats.counters.iter().for_each(|&counter| out.u64(counter));
    out.u32(stats.collector_set);
    out.zeros(4);
}
