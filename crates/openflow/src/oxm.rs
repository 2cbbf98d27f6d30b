//! Matches and fields on the wire (OpenFlow 1.3.5 section 7.2.3), driven by the table of fields.

use std::sync::LazyLock;

use heddle_flow::field::{FIELDS, OxmId};
use heddle_flow::{Field, FieldSpec, FlowMask, Match};

use crate::bytes::{Put, Reader};
use crate::error::{NICIRA, ONF, OfError};
use crate::version::Version;

const EXPERIMENTER: u16 = 0xffff;
/// Class of OpenFlow's own fields.
const BASIC: u16 = 0x8000;

/// A field with value and mask.
pub type Entry = (Field, u128, u128);

/// The field as this protocol numbers it.
fn oxm_id(field: Field) -> Option<OxmId> {
    field.spec().oxm.or(field.spec().nxm)
}

fn value(bytes: &[u8]) -> u128 {
    bytes.iter().fold(0, |value, &byte| value << 8 | u128::from(byte))
}

fn put_value(out: &mut Vec<u8>, value: u128, length: u8) {
    out.extend_from_slice(&value.to_be_bytes()[16 - usize::from(length)..]);
}

/// A field and the bytes of its value, by class and number.
fn by_number(class: u16, number: u8) -> Option<(Field, usize)> {
    let field = Field::by_oxm(class, number)?;
    let ids = [field.spec().oxm, field.spec().nxm].into_iter().flatten();
    let id = ids.into_iter().find(|id| id.class == class)?;
    Some((field, id.length.into()))
}

/// The same by an experimenter's number: the Open Networking Foundation's are OpenFlow's own of later versions, and Nicira's are
/// those of fields that its classes have no room for.
fn experimenter_field(id: u32, number: u8) -> Option<(Field, usize)> {
    match (id, number) {
        (ONF, _) => by_number(BASIC, number),
        (NICIRA, 0) => Some((Field::DpHash, 4)),
        (NICIRA, 17..=32) => {
            let register = FIELDS.get(Field::Reg16 as usize + usize::from(number - 17))?;
            Some((register.field, 4))
        }
        (NICIRA, 33..=36) => {
            let register = FIELDS.get(Field::Xxreg4 as usize + usize::from(number - 33))?;
            Some((register.field, 16))
        }
        _ => None,
    }
}

/// Reads one field.
///
/// # Errors
/// The error that the specification names for an unknown field, a wrong length, value or mask.
pub fn decode_entry(reader: &mut Reader<'_>) -> Result<Entry, OfError> {
    let class = reader.u16()?;
    let (number, length) = (reader.u8()?, usize::from(reader.u8()?));
    let mut body = reader.part(length, OfError::MatchBadLength)?;
    let has_mask = number & 1 != 0;
    let (field, width) = match class {
        EXPERIMENTER => experimenter_field(body.u32()?, number >> 1),
        class => by_number(class, number >> 1),
    }
    .ok_or(OfError::MatchBadField)?;
    let spec = field.spec();
    if body.left() != width * if has_mask { 2 } else { 1 } {
        return Err(OfError::MatchBadLength);
    }
    let wanted = value(body.take(width)?);
    let mask = if has_mask { value(body.take(width)?) } else { spec.full_mask() };
    if wanted & !spec.full_mask() != 0 {
        return Err(OfError::MatchBadValue);
    }
    if wanted & !mask != 0 {
        return Err(OfError::MatchBadWildcards);
    }
    // A mask of all bits is no mask, and one of no bits asks nothing: both may be written for any field.
    if !spec.maskable && mask != 0 && mask & spec.full_mask() != spec.full_mask() {
        return Err(OfError::MatchBadMask);
    }
    match field {
        Field::IpFrag if wanted & !3 != 0 => Err(OfError::MatchBadValue),
        // Nicira's `ip_tos` is DSCP where it lies in the byte: ECN has a field of its own.
        Field::NwTos if wanted & 3 != 0 => Err(OfError::MatchBadValue),
        Field::NwTos => Ok((Field::IpDscp, wanted >> 2, 0x3f)),
        // Nicira's input port has 16 bits, with the reserved numbers at their end.
        Field::InPort if width == 2 => {
            Ok((field, crate::port::from_16(wanted as u16).into(), spec.full_mask()))
        }
        // Only two bits are ever set, so the others ask nothing.
        Field::IpFrag => Ok((field, wanted, mask & 3)),
        _ => Ok((field, wanted, mask & spec.full_mask())),
    }
}

/// Writes one field.
pub fn encode_entry(out: &mut Vec<u8>, (field, wanted, mask): Entry) {
    let Some(id) = oxm_id(field) else { return };
    let has_mask = mask != field.spec().full_mask() && (field, mask) != (Field::IpFrag, 3);
    put_entry(out, id, wanted, has_mask.then_some(mask));
}

fn put_entry(out: &mut Vec<u8>, id: OxmId, wanted: u128, mask: Option<u128>) {
    out.u16(id.class);
    out.u8(id.field << 1 | u8::from(mask.is_some()));
    out.u8(id.length * if mask.is_some() { 2 } else { 1 });
    put_value(out, wanted, id.length);
    if let Some(mask) = mask {
        put_value(out, mask, id.length);
    }
}

/// A field that has a number on the wire and covers this one, and how many bits below this one it begins: the upper
/// registers have none of their own, and are halves of wider ones.
pub fn numbered(field: Field) -> (Field, u16) {
    let spec = field.spec();
    if oxm_id(field).is_some() {
        return (field, 0);
    }
    let covers = |other: &&FieldSpec| {
        oxm_id(other.field).is_some()
            && other.word == spec.word
            && other.bits <= 64
            && other.shift <= spec.shift
            && other.shift + other.bits >= spec.shift + spec.bits
    };
    match FIELDS.iter().find(covers) {
        Some(other) => (other.field, u16::from(spec.shift - other.shift)),
        None => (field, 0),
    }
}

/// The header alone, as Nicira's actions name a field.
pub fn header(field: Field) -> u32 {
    let spec = field.spec();
    // Nicira's input port has 16 bits, which is too narrow to name all of ours.
    let nxm = spec.nxm.filter(|id| u16::from(id.length) * 8 >= u16::from(spec.bits));
    let id = nxm.or(spec.oxm).or(spec.nxm).unwrap_or(OxmId::new(0, 0, 0));
    u32::from(id.class) << 16 | u32::from(id.field) << 9 | u32::from(id.length)
}

/// The field that a header names.
///
/// # Errors
/// If it names none.
pub fn from_header(header: u32) -> Result<Field, OfError> {
    let (class, number, length) = ((header >> 16) as u16, (header >> 9) as u8 & 0x7f, header as u8);
    let field =
        Field::by_oxm(class, number).filter(|_| header & 0x100 == 0).ok_or(OfError::ActionBadSetType)?;
    let ids = [field.spec().oxm, field.spec().nxm].into_iter().flatten();
    match ids.into_iter().any(|id| id.class == class && id.length == length) {
        true => Ok(field),
        false => Err(OfError::ActionBadSetLength),
    }
}

/// Reads fields up to the reader's end.
///
/// # Errors
/// As [`decode_entry`]; a field named twice, or one whose prerequisites are not asked for before it.
pub fn decode_fields(reader: &mut Reader<'_>) -> Result<Match, OfError> {
    decode_fields_and(reader, |_, _| Ok(false))
}

/// As [`decode_fields`]; `other` gets the header of each field and what follows it, and may take it.
///
/// # Errors
/// As [`decode_fields`] and `other`.
pub fn decode_fields_and<'a>(
    reader: &mut Reader<'a>,
    mut other: impl FnMut(u32, &mut Reader<'a>) -> Result<bool, OfError>,
) -> Result<Match, OfError> {
    let mut matching = Match::default();
    let mut seen: Vec<Field> = Vec::new();
    while reader.left() != 0 {
        let mut after = *reader;
        let header = after.u32()?;
        if other(header, &mut after)? {
            *reader = after;
            continue;
        }
        let (field, wanted, mask) = decode_entry(reader)?;
        if seen.contains(&field) {
            return Err(OfError::MatchDuplicateField);
        }
        seen.push(field);
        if !matching.satisfies(field) {
            return Err(OfError::MatchBadPrerequisite);
        }
        // A mask of no bits asks nothing.
        if mask != 0 {
            matching.set_masked(field, wanted, mask);
        }
    }
    Ok(matching)
}

/// Reads a whole `ofp_match` with its padding.
///
/// # Errors
/// As [`decode_fields`]; another type than OXM, a length that is too short.
pub fn decode_match(reader: &mut Reader<'_>) -> Result<Match, OfError> {
    if reader.u16()? != 1 {
        return Err(OfError::MatchBadType);
    }
    let length = usize::from(reader.u16()?);
    let fields = length.checked_sub(4).ok_or(OfError::MatchBadLength)?;
    let short = |_| OfError::MatchBadLength;
    let mut part = reader.part(fields, OfError::MatchBadLength).map_err(short)?;
    reader.skip((8 - length % 8) % 8).map_err(short)?;
    decode_fields(&mut part)
}

/// Reads a match that may hold fields of the pipeline alone, as a packet-out of OpenFlow 1.5 has one.
///
/// # Errors
/// As [`decode_match`]; `OFPBRC_PIPELINE_FIELDS_ONLY` for other fields.
pub fn decode_pipeline_match(
    reader: &mut Reader<'_>,
    is_pipeline: impl Fn(Field) -> bool,
) -> Result<Match, OfError> {
    let mut ahead = *reader;
    ahead.skip(2)?;
    if let Ok(mut fields) = ahead.sized(2, OfError::MatchBadLength) {
        while fields.left() != 0 {
            if !is_pipeline(decode_entry(&mut fields)?.0) {
                return Err(OfError::RequestPipelineFieldsOnly);
            }
        }
    }
    decode_match(reader)
}

/// Whose numbers the fields of a match have.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Numbers {
    /// Nicira's, where they have some.
    Nicira,
    /// Those of a version of OpenFlow, where it has some.
    Of(Version),
}

/// A field's number on the wire: of a class, or within an experimenter's.
enum Number {
    Class(OxmId),
    Experimenter(u32, OxmId),
}

/// The number that a field has there.
fn number(field: Field, numbers: Numbers) -> Option<Number> {
    let spec = field.spec();
    let experimenter =
        |id, field, length| Some(Number::Experimenter(id, OxmId::new(EXPERIMENTER, field, length)));
    if (Field::Reg16..=Field::Reg31).contains(&field) {
        return experimenter(NICIRA, 17 + (field as u8 - Field::Reg16 as u8), 4);
    }
    // OpenFlow 1.5 made extensions to OpenFlow 1.3 its own.
    match (field, numbers, spec.oxm) {
        (Field::TcpFlags, Numbers::Of(Version::V1_2), _) => spec.nxm.map(Number::Class),
        (Field::TcpFlags, Numbers::Of(Version::V1_3 | Version::V1_4), Some(id))
        | (Field::ActsetOutput, Numbers::Of(Version::V1_2 | Version::V1_3 | Version::V1_4), Some(id)) => {
            experimenter(ONF, id.field, id.length)
        }
        (_, Numbers::Nicira, _) => spec.nxm.or(spec.oxm).map(Number::Class),
        (_, Numbers::Of(_), _) => spec.oxm.or(spec.nxm).map(Number::Class),
    }
}

/// The order in which fields are written: what others presuppose comes first, and what is a view of the same bits comes after
/// the field it is a view of. The packet's go from its port inwards, then come those of the pipeline.
static ORDER: LazyLock<Vec<Field>> = LazyLock::new(|| {
    use Field::*;
    let first = [
        DpHash,
        RecircId,
        ConjId,
        InPort,
        ActsetOutput,
        EthDst,
        EthSrc,
        EthType,
        VlanVid,
        VlanPcp,
        VlanTci,
        MplsLabel,
        MplsTc,
        MplsBos,
        MplsTtl,
        PbbIsid,
        PbbUca,
        Ipv4Src,
        Ipv4Dst,
        Ipv6Src,
        Ipv6Dst,
        IpFrag,
        Ipv6Label,
        Ipv6Exthdr,
        IpDscp,
        NwEcn,
        NwTos,
        NwTtl,
        NwProto,
        TcpSrc,
        TcpDst,
        TcpFlags,
        UdpSrc,
        UdpDst,
        SctpSrc,
        SctpDst,
        IcmpType,
        IcmpCode,
        Icmpv6Type,
        Icmpv6Code,
        NdTarget,
        NdSll,
        NdTll,
        ArpOp,
        ArpSpa,
        ArpTpa,
        ArpSha,
        ArpTha,
        TunnelId,
    ];
    let last = [PktMark, Metadata];
    let rest = FIELDS.iter().map(|spec| spec.field);
    let rest = rest.filter(|field| !first.contains(field) && !last.contains(field) && *field < Xxreg0);
    // Pairs of registers, which some versions have, stand for both.
    let (pairs, singles): (Vec<Field>, Vec<Field>) = rest.partition(|field| *field >= Xreg0);
    first.into_iter().chain(pairs).chain(singles).chain(last).collect()
});

/// The fields that a match asks, each once, prerequisites first.
pub fn entries(matching: &Match, numbers: Numbers) -> Vec<Entry> {
    let (tci, asked) = matching.get(Field::VlanTci);
    let mut entries = Vec::with_capacity(8);
    let mut left = *matching.mask();
    // OpenFlow's fields cannot say everything about a tag: a priority where none is asked for, or part of one.
    let pcp = asked >> 13;
    let whole = numbers == Numbers::Nicira || pcp != 0 && (pcp != 7 || !matching.satisfies(Field::VlanPcp));
    for &field in ORDER.iter() {
        let spec = field.spec();
        if left.words[usize::from(spec.word)] == 0 && spec.bits <= 64 {
            continue;
        }
        let mask = left.get(field);
        if mask == 0 || !matching.satisfies(field) || mask != spec.full_mask() && !spec.maskable {
            continue;
        }
        let is_pair = (Field::Xreg0..=Field::Xreg15).contains(&field);
        if is_pair && !matches!(numbers, Numbers::Of(Version::V1_5)) {
            continue;
        }
        if whole && matches!(field, Field::VlanVid | Field::VlanPcp) {
            continue;
        }
        if number(field, numbers).is_none() {
            continue;
        }
        let value = if field == Field::VlanTci { tci } else { matching.key().get(field) };
        entries.push((field, value & mask, mask));
        write_none(&mut left, field);
    }
    entries
}

/// Writes the fields of a match.
pub fn encode_fields(out: &mut Vec<u8>, matching: &Match, numbers: Numbers) {
    for (field, value, mask) in entries(matching, numbers) {
        let full = mask == field.spec().full_mask();
        let (field, value, full) = match field {
            // Nicira's `ip_tos` is DSCP where it lies in the byte.
            Field::IpDscp if numbers == Numbers::Nicira => (Field::NwTos, value << 2, true),
            // Sixteen bits number ports there; other numbers have no port.
            Field::InPort if numbers == Numbers::Nicira => {
                (field, crate::port::to_16(value as u32).unwrap_or(u16::MAX).into(), full)
            }
            Field::IpFrag => (field, value, mask == 3),
            _ => (field, value, full),
        };
        let mask = (!full).then_some(mask);
        match number(field, numbers) {
            Some(Number::Class(id)) => put_entry(out, id, value, mask),
            Some(Number::Experimenter(id, number)) => put_experimenter(out, id, number, value, mask),
            None => {}
        }
    }
}

fn put_experimenter(out: &mut Vec<u8>, experimenter: u32, id: OxmId, value: u128, mask: Option<u128>) {
    out.u16(id.class);
    out.u8(id.field << 1 | u8::from(mask.is_some()));
    out.u8(4 + id.length * if mask.is_some() { 2 } else { 1 });
    out.u32(experimenter);
    put_value(out, value, id.length);
    if let Some(mask) = mask {
        put_value(out, mask, id.length);
    }
}

/// Takes a field out of a mask.
fn write_none(mask: &mut FlowMask, field: Field) {
    let spec = field.spec();
    let word = usize::from(spec.word);
    if spec.bits > 64 {
        mask.words[word..word + 2].fill(0);
    } else {
        mask.words[word] &= !((spec.full_mask() as u64) << spec.shift);
    }
}

/// Writes a whole `ofp_match` with its padding, by the numbers of a version.
pub fn encode_match(out: &mut Vec<u8>, version: Version, matching: &Match) {
    let start = out.len();
    out.u16(1);
    out.u16(0);
    encode_fields(out, matching, Numbers::Of(version));
    out.length_at(start + 2, start);
    out.pad8(start);
}
