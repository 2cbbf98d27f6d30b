//! Matches field by field as they lie on the wire: `NXM_OF_ETH_TYPE(0800), NXM_NX_REG0_W(00ff/0fff)`.

use std::sync::LazyLock;

use heddle_flow::field::{FIELDS, OxmId};
use heddle_flow::{Field, Match};

use super::{TextError, error};
use crate::bytes::{Put, Reader};
use crate::error::{NICIRA, ONF, OfError};
use crate::nxm;
use crate::oxm::{self, Numbers};
use crate::version::Version;

/// Class of experimenters' fields, whose header has the experimenter in four bytes more.
const EXPERIMENTER: u16 = 0xffff;
/// Names of fields in OpenFlow's class that are not their own in capitals.
const OPENFLOW: [(Field, &str); 13] = [
    (Field::Ipv4Src, "IPV4_SRC"),
    (Field::Ipv4Dst, "IPV4_DST"),
    (Field::NwProto, "IP_PROTO"),
    (Field::NwEcn, "IP_ECN"),
    (Field::IcmpType, "ICMPV4_TYPE"),
    (Field::IcmpCode, "ICMPV4_CODE"),
    (Field::Ipv6Label, "IPV6_FLABEL"),
    (Field::NdTarget, "IPV6_ND_TARGET"),
    (Field::NdSll, "IPV6_ND_SLL"),
    (Field::NdTll, "IPV6_ND_TLL"),
    (Field::TunnelId, "TUNNEL_ID"),
    (Field::InPort, "IN_PORT"),
    (Field::PbbUca, "PBB_UCA"),
];
/// The same in Nicira's.
const OF_NICIRA: [(Field, &str); 8] = [
    (Field::Ipv4Src, "IP_SRC"),
    (Field::Ipv4Dst, "IP_DST"),
    (Field::NwProto, "IP_PROTO"),
    (Field::NwTos, "IP_TOS"),
    (Field::NwEcn, "IP_ECN"),
    (Field::NwTtl, "IP_TTL"),
    (Field::TunnelId, "TUN_ID"),
    (Field::InPort, "IN_PORT"),
];

/// A field as a header names it.
struct Row {
    name: String,
    experimenter: u32,
    id: OxmId,
}

static ROWS: LazyLock<Vec<Row>> = LazyLock::new(|| {
    let listed = |list: &[(Field, &str)], field: Field| {
        let name = list.iter().find(|row| row.0 == field).map(|row| row.1.to_owned());
        name.unwrap_or_else(|| field.spec().name.to_ascii_uppercase())
    };
    let mut rows = Vec::new();
    let mut row = |name: String, experimenter: u32, id: OxmId| rows.push(Row { name, experimenter, id });
    for spec in FIELDS {
        if let Some(id) = spec.nxm {
            let class = if id.class == 0 { "NXM_OF_" } else { "NXM_NX_" };
            // Registers past those that Nicira's class has room for are an experimenter's.
            if !(Field::Xxreg4..=Field::Xxreg7).contains(&spec.field) {
                row(class.to_owned() + &listed(&OF_NICIRA, spec.field), 0, id);
            }
        }
        if let Some(id) = spec.oxm {
            match id.class {
                0x8001 => row(format!("OXM_OF_PKT_REG{}", id.field), 0, id),
                _ => row("OXM_OF_".to_owned() + &listed(&OPENFLOW, spec.field), 0, id),
            }
            if matches!(spec.field, Field::TcpFlags | Field::ActsetOutput) {
                let number = OxmId::new(EXPERIMENTER, id.field, id.length);
                row("ONFOXM_ET_".to_owned() + &listed(&[], spec.field), ONF, number);
            }
        }
    }
    row("NXM_NX_COOKIE".into(), 0, OxmId::new(1, 30, 8));
    row("NXOXM_ET_DP_HASH".into(), NICIRA, OxmId::new(EXPERIMENTER, 0, 4));
    for number in 16..32u8 {
        row(format!("NXOXM_ET_REG{number}"), NICIRA, OxmId::new(EXPERIMENTER, number + 1, 4));
    }
    for number in 4..8u8 {
        row(format!("NXOXM_ET_XXREG{number}"), NICIRA, OxmId::new(EXPERIMENTER, number + 29, 16));
    }
    rows
});

/// Reads fields by name, or by a header in hexadecimal, to the bytes that they are on the wire; values and masks must be as wide
/// as their fields.
///
/// # Errors
/// A name is not known, or what stands in brackets is no value of that width.
pub fn parse_nx_match(text: &str) -> Result<Vec<u8>, TextError> {
    let mut out = Vec::new();
    let mut left = text.trim_matches([',', ' ', '\t']);
    if left == "<any>" {
        return Ok(out);
    }
    while !left.is_empty() {
        let Some((name, rest)) = left.split_once('(') else {
            return error(format!("{left}: missing ( at end of nx_match"));
        };
        let Some((value, rest)) = rest.split_once(')') else {
            return error(format!("{left}: missing ) following field value"));
        };
        parse_field(&mut out, name.trim(), value.trim())?;
        left = rest.trim_start_matches([',', ' ', '\t']);
    }
    Ok(out)
}

fn parse_field(out: &mut Vec<u8>, name: &str, value: &str) -> Result<(), TextError> {
    let (header, length, has_mask) = header_of(name)?;
    let (value, mask) = value.split_once('/').map_or((value, None), |(value, mask)| (value, Some(mask)));
    let width = if has_mask { length / 2 } else { length };
    out.extend_from_slice(&header);
    out.extend(hex_bytes(value, width)?);
    match (has_mask, mask) {
        (false, _) => {}
        (true, Some(mask)) => out.extend(hex_bytes(mask.trim(), width)?),
        (true, None) => return error(format!("{name}({value}): missing / in masked field")),
    }
    Ok(())
}

/// The header of a field, how many bytes follow it, and whether a mask is among them.
fn header_of(name: &str) -> Result<(Vec<u8>, usize, bool), TextError> {
    let mut header = Vec::new();
    let bare = name.strip_suffix("_W").unwrap_or(name);
    if let Some(row) = ROWS.iter().find(|row| row.name == bare) {
        let has_mask = bare.len() != name.len();
        let length = row.id.length * if has_mask { 2 } else { 1 };
        let extra = if row.experimenter == 0 { 0 } else { 4 };
        header.u16(row.id.class);
        header.u8(row.id.field << 1 | u8::from(has_mask));
        header.u8(length + extra);
        if row.experimenter != 0 {
            header.u32(row.experimenter);
        }
        return Ok((header, length.into(), has_mask));
    }
    let unknown = || error(format!("unknown field `{name}'"));
    let Ok(bytes) = hex_bytes(name, name.len() / 2) else { return unknown() };
    let extra = match bytes[..] {
        [0xff, 0xff, _, _, ..] if bytes.len() == 8 => 4,
        [_, _, _, _] => 0,
        _ => return unknown(),
    };
    match usize::from(bytes[3]).checked_sub(extra) {
        Some(length) => Ok((bytes.clone(), length, bytes[2] & 1 != 0)),
        None => unknown(),
    }
}

fn hex_bytes(text: &str, width: usize) -> Result<Vec<u8>, TextError> {
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    let pair = |pair: &[u8]| Some(digit(pair[0])? << 4 | digit(*pair.get(1)?)?);
    match text.as_bytes().chunks(2).map(pair).collect::<Option<Vec<u8>>>() {
        Some(bytes) if bytes.len() == width => Ok(bytes),
        _ => error(format!("{text}: {width} bytes in hexadecimal expected")),
    }
}

/// One field on the wire.
struct Entry<'a> {
    class: u16,
    experimenter: u32,
    number: u8,
    has_mask: bool,
    /// As the header states it.
    length: u8,
    value: &'a [u8],
    mask: &'a [u8],
}

/// Reads fields without knowing them, up to what is cut off.
fn fields(bytes: &[u8]) -> Vec<Entry<'_>> {
    let mut reader = Reader::new(bytes, OfError::MatchBadLength);
    let mut next = || -> Result<Entry<'_>, OfError> {
        let (class, number, length) = (reader.u16()?, reader.u8()?, reader.u8()?);
        let mut body = reader.part(length.into(), OfError::MatchBadLength)?;
        let experimenter = if class == EXPERIMENTER { body.u32()? } else { 0 };
        let has_mask = number & 1 != 0;
        let width = if has_mask { body.left() / 2 } else { body.left() };
        let (value, mask) = (body.take(width)?, body.rest());
        Ok(Entry { class, experimenter, number: number >> 1, has_mask, length, value, mask })
    };
    std::iter::from_fn(|| next().ok()).collect()
}

/// Writes fields as they lie on the wire; `<any>` where there is none.
#[must_use]
pub fn print_nx_match(bytes: &[u8]) -> String {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let field = |entry: Entry<'_>| {
        let known = ROWS.iter().find(|row| {
            (row.experimenter, row.id.class, row.id.field) == (entry.experimenter, entry.class, entry.number)
                && usize::from(row.id.length) == entry.value.len()
        });
        let name = known.map_or_else(
            || format!("{}:{}:{}", entry.experimenter, entry.class, entry.number),
            |row| row.name.clone(),
        );
        let (value, mask) = (hex(entry.value), hex(entry.mask));
        if entry.has_mask { format!("{name}_W({value}/{mask})") } else { format!("{name}({value})") }
    };
    let words: Vec<String> = fields(bytes).into_iter().map(field).collect();
    if words.is_empty() { "<any>".into() } else { words.join(", ") }
}

/// The first field that asks for bits which its mask leaves out: experimenter, class, number, whether it has a mask, and length.
#[must_use]
pub fn stray_bits(bytes: &[u8]) -> Option<String> {
    let stray = |entry: &Entry<'_>| {
        entry.has_mask && entry.value.iter().zip(entry.mask).any(|(value, mask)| value & !mask != 0)
    };
    let entry = fields(bytes).into_iter().find(stray)?;
    Some(format!(
        "{}:{}:{}:{}:{}",
        entry.experimenter,
        entry.class,
        entry.number,
        u8::from(entry.has_mask),
        entry.length
    ))
}

/// Reads fields of either form to a match, and the cookie and mask that it may ask. With `strict` every field must be known and
/// have what it presupposes; else those that are not known are left out.
///
/// # Errors
/// The error that the specification names.
pub fn decode_nx_match(bytes: &[u8], strict: bool) -> Result<(Match, u64, u64), OfError> {
    if strict {
        let mut reader = Reader::new(bytes, OfError::MatchBadLength);
        return nxm::decode_unpadded(&mut reader, bytes.len());
    }
    let mut known = Vec::new();
    let mut reader = Reader::new(bytes, OfError::MatchBadLength);
    while reader.left() != 0 {
        let start = bytes.len() - reader.left();
        reader.skip(3)?;
        let length = usize::from(reader.u8()?);
        reader.skip(length)?;
        let one = &bytes[start..bytes.len() - reader.left()];
        let mut ahead = Reader::new(one, OfError::MatchBadLength);
        let is_cookie = one.starts_with(&[0, 1, 60]) || one.starts_with(&[0, 1, 61]);
        if is_cookie || oxm::decode_entry(&mut ahead) != Err(OfError::MatchBadField) {
            known.extend_from_slice(one);
        }
    }
    let mut reader = Reader::new(&known, OfError::MatchBadLength);
    nxm::decode_unpadded(&mut reader, known.len())
}

/// Writes a match as fields: by Nicira's numbers, the cookie among them, or as a whole `ofp_match` of a version without padding,
/// whose fields begin after four bytes.
#[must_use]
pub fn encode_nx_match(matching: &Match, cookie: (u64, u64), version: Option<Version>) -> Vec<u8> {
    let mut out = Vec::new();
    match version {
        None => nxm::encode_fields(&mut out, matching, cookie),
        Some(version) => {
            out.u16(1);
            out.u16(0);
            oxm::encode_fields(&mut out, matching, Numbers::Of(version));
            out.length_at(2, 0);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_and_written_by_name() {
        for text in [
            "<any>",
            "NXM_OF_ETH_TYPE(0800), NXM_OF_IP_PROTO(06), NXM_NX_TCP_FLAGS(0fff)",
            "NXOXM_ET_REG31_W(a0e0d050/f0f0f0f0)",
        ] {
            let bytes = parse_nx_match(text).expect("as it is written");
            assert_eq!(print_nx_match(&bytes), text);
            let (matching, cookie, mask) = decode_nx_match(&bytes, true).expect("fields that there are");
            assert_eq!(print_nx_match(&encode_nx_match(&matching, (cookie, mask), None)), text);
        }
        assert!(parse_nx_match("NXM_OF_IN_PORT(1)").is_err());
        assert!(parse_nx_match("ffff0208(11)").is_err());
    }

    #[test]
    fn unknown_fields_are_refused_or_left_out() {
        let bytes =
            parse_nx_match("01020304(1111/2222), NXM_OF_IN_PORT(0001)").expect("a header in hexadecimal");
        assert_eq!(decode_nx_match(&bytes, true), Err(OfError::MatchBadField));
        let (matching, ..) = decode_nx_match(&bytes, false).expect("one field is known");
        assert_eq!(matching.get(Field::InPort).0, 1);
    }
}
