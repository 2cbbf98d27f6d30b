//! Values of fields: numbers, addresses, ports, fragments, flags.

use std::net::{Ipv4Addr, Ipv6Addr};

use heddle_flow::Field;
use heddle_flow::field::TextForm;

use super::{TextError, error};
use crate::port;

/// Names of TCP flags, from the lowest bit.
pub(super) const TCP_FLAGS: [&str; 9] = ["fin", "syn", "rst", "psh", "ack", "urg", "ece", "cwr", "ns"];

/// Reads a number, decimal or hexadecimal.
///
/// # Errors
/// If it is none.
pub fn parse_number(text: &str) -> Result<u128, TextError> {
    if text.contains('+') {
        return error(format!("\"{text}\" is not a number"));
    }
    let parsed = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => u128::from_str_radix(digits, 16),
        None => text.parse(),
    };
    parsed.or_else(|_| error(format!("\"{text}\" is not a number")))
}

pub(super) fn number_in<T: TryFrom<u128>>(text: &str) -> Result<T, TextError> {
    T::try_from(parse_number(text)?).or_else(|_| error(format!("{text} is out of range")))
}

/// Reads an Ethernet address.
///
/// # Errors
/// If it is none.
pub fn parse_mac(text: &str) -> Result<u128, TextError> {
    let octet = |digits: &str| match digits.len() {
        1 | 2 if !digits.starts_with('+') => u8::from_str_radix(digits, 16).ok(),
        _ => None,
    };
    let octets: Vec<u8> = text.split(':').filter_map(octet).collect();
    if octets.len() != 6 || text.split(':').count() != 6 {
        return error(format!("\"{text}\" is not an Ethernet address"));
    }
    Ok(octets.iter().fold(0, |value, &octet| value << 8 | u128::from(octet)))
}

fn print_mac(value: u128) -> String {
    let bytes = value.to_be_bytes();
    bytes[10..].iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":")
}

/// Reads a port: a number, or a reserved name.
///
/// # Errors
/// If it is neither.
pub fn parse_port(text: &str) -> Result<u32, TextError> {
    match port::by_name(text) {
        Some(number) => Ok(number),
        None => number_in::<u32>(text).map(|number| match number {
            0xff00..=0xffff => number | 0xffff_0000,
            number => number,
        }),
    }
}

pub(super) fn print_port(number: u32) -> String {
    port::name(number).map_or_else(|| number.to_string(), str::to_owned)
}

/// Reads a value of a field, without a mask.
///
/// # Errors
/// If it is none, or does not fit the field.
pub fn parse_value(field: Field, text: &str) -> Result<u128, TextError> {
    let spec = field.spec();
    let value = match spec.text {
        TextForm::Ethernet => parse_mac(text)?,
        TextForm::Ipv4 if text.contains('.') => match text.parse::<Ipv4Addr>() {
            Ok(address) => u128::from(u32::from(address)),
            Err(_) => return error(format!("\"{text}\" is not an IPv4 address")),
        },
        TextForm::Ipv6 => match text.parse::<Ipv6Addr>() {
            Ok(address) => u128::from(address),
            Err(_) => return error(format!("\"{text}\" is not an IPv6 address")),
        },
        TextForm::Port => match parse_port(text) {
            Ok(port) => port.into(),
            Err(_) => return error(format!("{text}: invalid or unknown port for {}", spec.name)),
        },
        _ => parse_number(text)?,
    };
    if value & !spec.full_mask() != 0 {
        return error(format!("{text}: {} has {} bits", spec.name, spec.bits));
    }
    Ok(value)
}

/// Writes a value of a field, without a mask.
pub fn print_value(field: Field, value: u128) -> String {
    match field.spec().text {
        TextForm::Ethernet => print_mac(value),
        TextForm::Ipv4 => Ipv4Addr::from(value as u32).to_string(),
        TextForm::Ipv6 => Ipv6Addr::from(value).to_string(),
        TextForm::Port => print_port(value as u32),
        // Zero has no base.
        TextForm::Hex | TextForm::TcpFlags if value == 0 => "0".into(),
        TextForm::Hex | TextForm::TcpFlags => format!("{value:#x}"),
        TextForm::Decimal | TextForm::Frag => value.to_string(),
    }
}

/// Writes a value with its mask: a prefix length where it is one of an address, hexadecimal numbers where not.
pub(super) fn print_masked(field: Field, value: u128, mask: u128) -> String {
    let spec = field.spec();
    let width = match spec.text {
        TextForm::Ipv4 => 32,
        TextForm::Ipv6 => 128,
        _ => 0,
    };
    let ones = mask.count_ones();
    if width != 0 && mask != 0 && mask == spec.full_mask() << (width - ones) & spec.full_mask() {
        return format!("{}/{ones}", print_value(field, value));
    }
    let hex = |value| match spec.text {
        TextForm::Decimal => format!("{value:#x}"),
        _ => print_value(field, value),
    };
    format!("{}/{}", hex(value), hex(mask))
}

/// Reads what stands after `field=`: a value, perhaps with a mask.
pub(super) fn parse_masked(field: Field, text: &str) -> Result<(u128, u128), TextError> {
    let full = field.spec().full_mask();
    if field == Field::IpFrag {
        return parse_frag(text);
    }
    if field == Field::TcpFlags && text.starts_with(['+', '-']) {
        return parse_tcp_flags(text);
    }
    let Some((value, mask)) = text.split_once('/') else { return Ok((parse_value(field, text)?, full)) };
    let prefix = |bits: u32| match mask.parse::<u32>() {
        Ok(0) => Ok(0),
        Ok(length) if length <= bits => Ok(full << (bits - length) & full),
        _ => error(format!("/{mask} is not a prefix length")),
    };
    let mask = match field.spec().text {
        TextForm::Ipv4 if !mask.contains('.') => prefix(32)?,
        TextForm::Ipv6 if !mask.contains(':') => prefix(128)?,
        _ => parse_value(field, mask)?,
    };
    if !field.spec().maskable && mask != full {
        return error(format!("{} cannot be masked", field.spec().name));
    }
    Ok((parse_value(field, value)? & mask, mask))
}

fn parse_frag(text: &str) -> Result<(u128, u128), TextError> {
    Ok(match text {
        "no" => (0, 3),
        "yes" => (1, 1),
        "first" => (1, 3),
        "later" => (3, 3),
        "not_later" => (0, 2),
        _ => return error(format!("\"{text}\" is none of no, yes, first, later, not_later")),
    })
}

pub(super) fn print_frag(value: u128, mask: u128) -> &'static str {
    match (value, mask) {
        (1, 1) => "yes",
        (1, _) => "first",
        (3, _) => "later",
        (_, 2) => "not_later",
        _ => "no",
    }
}

fn parse_tcp_flags(text: &str) -> Result<(u128, u128), TextError> {
    let (mut value, mut mask) = (0, 0);
    let mut rest = text;
    while let Some(sign) = rest.chars().next() {
        let end = rest[1..].find(['+', '-']).map_or(rest.len(), |at| at + 1);
        let Some(bit) = TCP_FLAGS.iter().position(|flag| *flag == &rest[1..end]) else {
            return error(format!("\"{}\" is not a TCP flag", &rest[1..end]));
        };
        if mask >> bit & 1 != 0 {
            return error(format!("{}: Each TCP flag can be specified only once", &rest[1..end]));
        }
        mask |= 1 << bit;
        value |= u128::from(sign == '+') << bit;
        rest = &rest[end..];
    }
    Ok((value, mask))
}

/// A type of service byte, whose two bits of ECN are a field of their own.
pub(super) fn parse_tos(text: &str) -> Result<u128, TextError> {
    match parse_number(text)? {
        tos @ 0..=0xff if tos & 3 == 0 => Ok(tos >> 2),
        _ => error(format!("{text}: a type of service is a multiple of 4, at most 252")),
    }
}
