//! `learn` as text.

use std::fmt::Write;

use crate::action::{Bits, Learn, LearnSource, LearnSpec, LearnTarget};
use crate::names;
use crate::text::values::{number_in, parse_number, parse_value, print_value};
use crate::text::{TextError, error};

use super::parse::{parse_bits, writable};
use super::split;

/// Priority of flows where none is said.
const DEFAULT_PRIORITY: u16 = 0x8000;

pub(super) fn print(learn: &Learn) -> String {
    let mut out = format!("learn(table={}", learn.table);
    let numbers = [
        ("idle_timeout", learn.idle_timeout),
        ("hard_timeout", learn.hard_timeout),
        ("fin_idle_timeout", learn.fin_idle_timeout),
        ("fin_hard_timeout", learn.fin_hard_timeout),
    ];
    for (name, value) in numbers.into_iter().filter(|(_, value)| *value != 0) {
        let _ = write!(out, ",{name}={value}");
    }
    if learn.priority != DEFAULT_PRIORITY {
        let _ = write!(out, ",priority={}", learn.priority);
    }
    let flags = [(Learn::SEND_REMOVED, "send_flow_rem"), (Learn::DELETE_LEARNED, "delete_learned")];
    for (_, name) in flags.into_iter().filter(|(flag, _)| learn.flags & flag != 0) {
        let _ = write!(out, ",{name}");
    }
    if learn.cookie != 0 {
        let _ = write!(out, ",cookie={:#x}", learn.cookie);
    }
    if learn.limit != 0 {
        let _ = write!(out, ",limit={}", learn.limit);
    }
    if let Some(result) = learn.result {
        let _ = write!(out, ",result_dst={}", names::bits(result));
    }
    for spec in &learn.specs {
        let _ = write!(out, ",{}", print_spec(spec));
    }
    out + ")"
}

fn print_spec(spec: &LearnSpec) -> String {
    match (spec.target, spec.source) {
        (LearnTarget::Match(dst), LearnSource::Field(src)) if dst == src => names::bits(dst),
        (LearnTarget::Match(dst), LearnSource::Field(src)) => {
            format!("{}={}", names::bits(dst), names::bits(src))
        }
        (LearnTarget::Match(dst), LearnSource::Value(value)) if Some(dst) == whole_of(dst) => {
            format!("{}={}", dst.field.spec().name, print_value(dst.field, value))
        }
        (LearnTarget::Match(dst), LearnSource::Value(value)) => {
            format!("{}={value:#x}", names::bits(dst))
        }
        (LearnTarget::Load(dst), LearnSource::Field(src)) => {
            format!("load:{}->{}", names::bits(src), names::bits(dst))
        }
        (LearnTarget::Load(dst), LearnSource::Value(value)) => {
            let value = if value == 0 { "0".to_owned() } else { hex_short(value) };
            format!("load:{value}->{}", names::bits(dst))
        }
        (LearnTarget::Output, LearnSource::Field(src)) => format!("output:{}", names::bits(src)),
        // The wire has no such thing, and text does not make it.
        (LearnTarget::Output, LearnSource::Value(value)) => format!("output:{value}"),
    }
}

fn hex_short(value: u128) -> String {
    format!("{value:#x}")
}

/// The bits that the name of a field alone means.
fn whole_of(bits: Bits) -> Option<Bits> {
    names::whole(bits.field.spec().name)
}

/// Reads what stands in the brackets.
pub(super) fn parse(text: &str) -> Result<Learn, TextError> {
    let mut learn = Learn {
        idle_timeout: 0,
        hard_timeout: 0,
        priority: DEFAULT_PRIORITY,
        cookie: 0,
        flags: 0,
        table: 1,
        fin_idle_timeout: 0,
        fin_hard_timeout: 0,
        limit: 0,
        result: None,
        specs: Vec::new(),
    };
    for word in split(text) {
        match word.split_once('=') {
            Some(("table", value)) => match number_in(value)? {
                255 => return error("table id 255 not valid for `learn' action"),
                table => learn.table = table,
            },
            Some(("priority", value)) => learn.priority = number_in(value)?,
            Some(("idle_timeout", value)) => learn.idle_timeout = number_in(value)?,
            Some(("hard_timeout", value)) => learn.hard_timeout = number_in(value)?,
            Some(("fin_idle_timeout", value)) => learn.fin_idle_timeout = number_in(value)?,
            Some(("fin_hard_timeout", value)) => learn.fin_hard_timeout = number_in(value)?,
            Some(("cookie", value)) => learn.cookie = number_in(value)?,
            Some(("limit", value)) => learn.limit = number_in(value)?,
            Some(("result_dst", value)) => {
                let bits = parse_bits(value)?;
                writable(bits)?;
                if bits.count != 1 {
                    return error("result_dst in 'learn' action must be a single bit");
                }
                learn.flags |= Learn::WRITE_RESULT;
                learn.result = Some(bits);
            }
            None if word == "send_flow_rem" => learn.flags |= Learn::SEND_REMOVED,
            None if word == "delete_learned" => learn.flags |= Learn::DELETE_LEARNED,
            _ => learn.specs.push(parse_spec(word)?),
        }
    }
    Ok(learn)
}

fn parse_spec(word: &str) -> Result<LearnSpec, TextError> {
    let bracketed = word.strip_prefix("load(").and_then(|rest| rest.strip_suffix(')'));
    if let Some(rest) = word.strip_prefix("load:").or(bracketed) {
        let Some((from, to)) = rest.split_once("->") else {
            return error(format!("{word}: missing `->' in `learn' load"));
        };
        let dst = parse_bits(to)?;
        writable(dst)?;
        let source = match names::whole(from) {
            _ if from.contains('[') => LearnSource::Field(same_width(word, parse_bits(from)?, dst)?),
            Some(src) => LearnSource::Field(same_width(word, src, dst)?),
            None => LearnSource::Value(fitting(rest, number(rest, from, dst)?, dst)?),
        };
        return Ok(LearnSpec { count: dst.count, source, target: LearnTarget::Load(dst) });
    }
    if let Some(rest) = word.strip_prefix("output:") {
        let src = parse_bits(rest)?;
        return Ok(LearnSpec {
            count: src.count,
            source: LearnSource::Field(src),
            target: LearnTarget::Output,
        });
    }
    let Some((name, value)) = word.split_once('=') else {
        let bits = if word.contains('[') {
            parse_bits(word)?
        } else {
            names::whole(word).map_or_else(|| error(format!("{word}: unknown keyword {word}")), Ok)?
        };
        let (source, target) = (LearnSource::Field(bits), LearnTarget::Match(bits));
        return Ok(LearnSpec { count: bits.count, source, target });
    };
    let dst = match name.contains('[') {
        true => parse_bits(name)?,
        false => names::whole(name).map_or_else(|| error(format!("{word}: unknown keyword {name}")), Ok)?,
    };
    let target = LearnTarget::Match(dst);
    let source = if value.contains('[') {
        LearnSource::Field(same_width(word, parse_bits(value)?, dst)?)
    } else if name.contains('[') {
        LearnSource::Value(fitting(word, parse_number(value)?, dst)?)
    } else {
        match (parse_value(dst.field, value), names::whole(value)) {
            (Ok(number), _) => LearnSource::Value(fitting(word, number & dst.max(), dst)?),
            (Err(_), Some(src)) => LearnSource::Field(same_width(word, src, dst)?),
            (Err(wrong), None) => return Err(wrong),
        }
    };
    Ok(LearnSpec { count: dst.count, source, target })
}

/// Reads a number that is loaded; one that is wider than any field does not fit.
fn number(word: &str, text: &str, dst: Bits) -> Result<u128, TextError> {
    let digits = text.strip_prefix("0x").unwrap_or_default();
    if digits.len() > 32 && digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return error(format!("{word}: value does not fit into {} bits", dst.count));
    }
    parse_number(text)
}

fn same_width(word: &str, src: Bits, dst: Bits) -> Result<Bits, TextError> {
    if src.count == dst.count {
        return Ok(src);
    }
    error(format!("{word}: bit widths of source ({}) and destination ({}) differ", src.count, dst.count))
}

fn fitting(word: &str, value: u128, dst: Bits) -> Result<u128, TextError> {
    if value <= dst.max() {
        return Ok(value);
    }
    error(format!("{word}: value does not fit into {} bits", dst.count))
}
