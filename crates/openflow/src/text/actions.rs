//! Lists of actions.

use heddle_flow::layout::VLAN_PRESENT;
use heddle_flow::{Field, Match};
use heddle_wire::ethertype;

use super::matching::transport_field;
use super::values::{
    number_in, parse_masked, parse_number, parse_port, parse_tos, parse_value, print_port, print_value,
};
use super::{TextError, error};
use crate::action::Action;
use crate::{names, port};

/// Writes an action.
pub fn print_action(action: &Action) -> String {
    match action {
        Action::Output { port: port::CONTROLLER, max_len } => format!("CONTROLLER:{max_len}"),
        Action::Output { port: number, .. } => {
            port::name(*number).map_or_else(|| format!("output:{number}"), str::to_owned)
        }
        Action::CopyTtlOut => "copy_ttl_out".into(),
        Action::CopyTtlIn => "copy_ttl_in".into(),
        Action::SetMplsTtl(ttl) => format!("set_mpls_ttl({ttl})"),
        Action::DecMplsTtl => "dec_mpls_ttl".into(),
        Action::PushVlan(tpid) => format!("push_vlan:{tpid:#06x}"),
        Action::PopVlan => "pop_vlan".into(),
        Action::PushMpls(eth_type) => format!("push_mpls:{eth_type:#06x}"),
        Action::PopMpls(eth_type) => format!("pop_mpls:{eth_type:#06x}"),
        Action::SetQueue(queue) => format!("set_queue:{queue}"),
        Action::Group(group) => format!("group:{group}"),
        Action::SetTtl(ttl) => format!("mod_nw_ttl:{ttl}"),
        Action::DecTtl => "dec_ttl".into(),
        Action::SetField { field, value, mask } => print_set(*field, *value, *mask),
        Action::Resubmit { port: None, table: Some(table) } => format!("resubmit(,{table})"),
        Action::Resubmit { port: Some(number), table: Some(table) } => {
            format!("resubmit({},{table})", print_port(*number))
        }
        Action::Resubmit { port: number, table: None } => {
            format!("resubmit:{}", print_port(number.unwrap_or(port::IN_PORT)))
        }
        Action::Move { src, src_ofs, dst, dst_ofs, n_bits } => {
            format!("move:{}->{}", print_bits(*src, *src_ofs, *n_bits), print_bits(*dst, *dst_ofs, *n_bits))
        }
        Action::Controller { max_len, reason, id } => {
            format!("controller(max_len={max_len},reason={reason},id={id})")
        }
        Action::Note(bytes) => {
            format!("note:{}", bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join("."))
        }
    }
}

fn print_set(field: Field, value: u128, mask: u128) -> String {
    let name = match field {
        Field::Ipv4Src => "ip_src",
        Field::Ipv4Dst => "ip_dst",
        Field::TunnelId => "tun_id",
        // A part of the byte is written where it lies in it, as only `load` does.
        Field::NwTos => {
            let (offset, n_bits) = (mask.trailing_zeros() as u16, mask.count_ones() as u16);
            return format!(
                "load:{:#x}->{}",
                value.checked_shr(offset.into()).unwrap_or(0),
                print_bits(field, offset, n_bits)
            );
        }
        _ => field.spec().name,
    };
    if mask == field.spec().full_mask() {
        return format!("set_field:{}->{name}", print_value(field, value));
    }
    format!("set_field:{}/{}->{name}", print_value(field, value), print_value(field, mask))
}

fn print_bits(field: Field, offset: u16, n_bits: u16) -> String {
    let name = field.spec().name;
    match (offset, n_bits) {
        (0, bits) if bits == u16::from(field.spec().bits) => format!("{name}[]"),
        (offset, 1) => format!("{name}[{offset}]"),
        (offset, bits) => format!("{name}[{offset}..{}]", offset + bits - 1),
    }
}

/// Reads a list of actions.
///
/// # Errors
/// As [`parse_instructions`].
pub fn parse_actions(text: &str) -> Result<Vec<Action>, TextError> {
    actions_for(&Match::default(), text)
}

pub(super) fn actions_for(matching: &Match, text: &str) -> Result<Vec<Action>, TextError> {
    let mut actions = Vec::new();
    for word in split(text).into_iter().filter(|_| text != "drop") {
        let (name, argument) = name_and_argument(word);
        push_action(&mut actions, matching, name, argument)?;
    }
    Ok(actions)
}

/// Reads one action; one that sets a part of a tag pushes the tag first, unless there is one.
pub(super) fn push_action(
    actions: &mut Vec<Action>,
    matching: &Match,
    name: &str,
    argument: &str,
) -> Result<(), TextError> {
    let (field, value) = match name {
        "mod_vlan_vid" => match number_in::<u16>(argument)? {
            vid @ 0..=0xfff => (Field::VlanVid, u128::from(vid | VLAN_PRESENT)),
            _ => return error(format!("{name}:{argument}: a VLAN id has 12 bits")),
        },
        "mod_vlan_pcp" => (Field::VlanPcp, parse_value(Field::VlanPcp, argument)?),
        "mod_tp_src" | "mod_tp_dst" => {
            let field = transport_field(matching, name == "mod_tp_src")?;
            (field, parse_value(field, argument)?)
        }
        "mod_nw_tos" => (Field::IpDscp, parse_tos(argument)?),
        _ => {
            actions.push(parse_action(name, argument)?);
            return Ok(());
        }
    };
    let last = actions.iter().rev().find(|action| matches!(action, Action::PushVlan(_) | Action::PopVlan));
    let tagged = match last {
        Some(action) => matches!(action, Action::PushVlan(_)),
        None => matching.satisfies(Field::VlanPcp),
    };
    if name.starts_with("mod_vlan") && !tagged {
        actions.push(Action::PushVlan(ethertype::VLAN));
    }
    actions.push(Action::SetField { field, value, mask: field.spec().full_mask() });
    Ok(())
}

/// `name:argument` and `name(argument)` alike.
pub(super) fn name_and_argument(word: &str) -> (&str, &str) {
    let Some(at) = word.find([':', '(', '=']) else { return (word, "") };
    let argument = &word[at + 1..];
    let bracketed = word[at..].starts_with('(');
    (&word[..at], if bracketed { argument.strip_suffix(')').unwrap_or(argument) } else { argument })
}

fn parse_action(name: &str, argument: &str) -> Result<Action, TextError> {
    let set = |field: Field, text: &str| -> Result<Action, TextError> {
        let value = parse_value(field, text)?;
        Ok(Action::SetField { field, value, mask: field.spec().full_mask() })
    };
    Ok(match name {
        "output" => output(parse_port(argument)?),
        "controller" | "CONTROLLER" => return parse_controller(argument),
        "push_vlan" => match number_in(argument)? {
            tpid @ (ethertype::VLAN | ethertype::QINQ) => Action::PushVlan(tpid),
            _ => return error(format!("push_vlan:{argument}: 0x8100 or 0x88a8 can be pushed")),
        },
        "pop_vlan" | "strip_vlan" => Action::PopVlan,
        "push_mpls" => match number_in(argument)? {
            eth_type @ (ethertype::MPLS | ethertype::MPLS_MC) => Action::PushMpls(eth_type),
            _ => return error(format!("push_mpls:{argument}: 0x8847 or 0x8848 can be pushed")),
        },
        "pop_mpls" => Action::PopMpls(number_in(argument)?),
        "dec_ttl" => Action::DecTtl,
        "dec_mpls_ttl" => Action::DecMplsTtl,
        "set_mpls_ttl" => Action::SetMplsTtl(number_in(argument)?),
        "mod_nw_ttl" => Action::SetTtl(number_in(argument)?),
        "copy_ttl_in" => Action::CopyTtlIn,
        "copy_ttl_out" => Action::CopyTtlOut,
        "group" => Action::Group(number_in(argument)?),
        "set_queue" => Action::SetQueue(number_in(argument)?),
        "mod_dl_src" => set(Field::EthSrc, argument)?,
        "mod_dl_dst" => set(Field::EthDst, argument)?,
        "mod_nw_src" => set(Field::Ipv4Src, argument)?,
        "mod_nw_dst" => set(Field::Ipv4Dst, argument)?,
        "mod_nw_ecn" => set(Field::NwEcn, argument)?,
        "set_tunnel" | "set_tunnel64" => set(Field::TunnelId, argument)?,
        "set_mpls_label" => set(Field::MplsLabel, argument)?,
        "set_mpls_tc" => set(Field::MplsTc, argument)?,
        "set_field" => {
            let Some((value, field)) = argument.rsplit_once("->") else {
                return error(format!("set_field:{argument}: needs VALUE->FIELD"));
            };
            let field = writable(field.trim_end_matches("[]"))?;
            if field == Field::NwTos {
                let (field, value) = (Field::IpDscp, parse_tos(value)?);
                return Ok(Action::SetField { field, value, mask: field.spec().full_mask() });
            }
            let (value, mask) = parse_masked(field, value)?;
            if field == Field::VlanVid && mask & u128::from(VLAN_PRESENT) & !value != 0 {
                return error(format!(
                    "set_field:{argument}: a VLAN id is set with the bit that says there is a tag, as {}->vlan_vid",
                    value | u128::from(VLAN_PRESENT)
                ));
            }
            Action::SetField { field, value, mask }
        }
        "load" => return parse_load(argument),
        "move" => return parse_move(argument),
        "resubmit" => return parse_resubmit(argument),
        "note" => {
            let bytes = argument.split('.').filter(|byte| !byte.is_empty());
            match bytes.map(|byte| u8::from_str_radix(byte, 16)).collect() {
                Ok(bytes) => Action::Note(bytes),
                Err(_) => return error(format!("note:{argument}: bytes are two hexadecimal digits")),
            }
        }
        _ if argument.is_empty() => {
            output(parse_port(name).or_else(|_| error(format!("\"{name}\" is not an action")))?)
        }
        _ => return error(format!("\"{name}\" is not an action")),
    })
}

fn output(port: u32) -> Action {
    Action::Output { port, max_len: if port == port::CONTROLLER { u16::MAX } else { 0 } }
}

fn writable(name: &str) -> Result<Field, TextError> {
    match names::field(name) {
        Some(field) if field.spec().writable => Ok(field),
        Some(_) => error(format!("{name} cannot be set")),
        None => error(format!("\"{name}\" is not a field")),
    }
}

fn parse_controller(argument: &str) -> Result<Action, TextError> {
    if argument.is_empty() || !argument.contains('=') {
        let max_len = if argument.is_empty() { u16::MAX } else { number_in(argument)? };
        return Ok(Action::Output { port: port::CONTROLLER, max_len });
    }
    let (mut max_len, mut reason, mut id) = (u16::MAX, 1, 0);
    for word in split(argument) {
        match word.split_once('=') {
            Some(("max_len", value)) => max_len = number_in(value)?,
            Some(("reason", "no_match")) => reason = 0,
            Some(("reason", "action")) => reason = 1,
            Some(("reason", "invalid_ttl")) => reason = 2,
            Some(("reason", value)) => reason = number_in(value)?,
            Some(("id", value)) => id = number_in(value)?,
            _ => return error(format!("controller: \"{word}\" is not known")),
        }
    }
    Ok(Action::Controller { max_len, reason, id })
}

/// `FIELD[]`, `FIELD[BIT]` or `FIELD[FIRST..LAST]`.
fn parse_bits(text: &str) -> Result<(Field, u16, u16), TextError> {
    let Some((name, bits)) = text.trim().strip_suffix(']').and_then(|text| text.split_once('[')) else {
        return error(format!("\"{text}\" needs bits, as in reg0[0..15]"));
    };
    let Some(field) = names::field(name) else { return error(format!("\"{name}\" is not a field")) };
    let (first, last): (u16, u16) = match bits.split_once("..") {
        None if bits.is_empty() => (0, u16::from(field.spec().bits) - 1),
        None => (number_in(bits)?, number_in(bits)?),
        Some((first, last)) => (number_in(first)?, number_in(last)?),
    };
    if first > last || last >= u16::from(field.spec().bits) {
        return error(format!("{text}: {name} has {} bits", field.spec().bits));
    }
    Ok((field, first, last - first + 1))
}

fn parse_load(argument: &str) -> Result<Action, TextError> {
    let Some((value, bits)) = argument.split_once("->") else {
        return error(format!("load:{argument}: needs VALUE->FIELD[]"));
    };
    let (field, offset, n_bits) = parse_bits(bits)?;
    writable(field.spec().name)?;
    let value = parse_number(value)?;
    let mask = if n_bits == 128 { u128::MAX } else { (1 << n_bits) - 1 };
    if value & !mask != 0 {
        return error(format!("load:{argument}: the value has more than {n_bits} bits"));
    }
    Ok(Action::SetField { field, value: value << offset, mask: mask << offset })
}

fn parse_move(argument: &str) -> Result<Action, TextError> {
    let Some((from, to)) = argument.split_once("->") else {
        return error(format!("move:{argument}: needs FIELD[]->FIELD[]"));
    };
    let ((src, src_ofs, n_bits), (dst, dst_ofs, dst_bits)) = (parse_bits(from)?, parse_bits(to)?);
    writable(dst.spec().name)?;
    if n_bits != dst_bits {
        return error(format!("move:{argument}: {n_bits} bits do not fit {dst_bits}"));
    }
    Ok(Action::Move { src, src_ofs, dst, dst_ofs, n_bits })
}

fn parse_resubmit(argument: &str) -> Result<Action, TextError> {
    let own = |text: &str| -> Result<Option<u32>, TextError> {
        let number = if text.is_empty() { port::IN_PORT } else { parse_port(text)? };
        Ok((number != port::IN_PORT).then_some(number))
    };
    Ok(match argument.split_once(',') {
        Some((port, table)) => {
            let table: Option<u8> = if table.is_empty() { None } else { Some(number_in(table)?) };
            Action::Resubmit { port: own(port)?, table }
        }
        None => Action::Resubmit { port: own(argument)?, table: None },
    })
}

/// Splits at commas that stand in no brackets.
pub(super) fn split(text: &str) -> Vec<&str> {
    let (mut depth, mut start, mut words) = (0i32, 0, Vec::new());
    for (at, letter) in text.char_indices() {
        match letter {
            '(' | '[' => depth += 1,
            ')' | ']' => depth -= 1,
            ',' if depth == 0 => {
                words.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    words.push(&text[start..]);
    words.into_iter().map(str::trim).filter(|word| !word.is_empty()).collect()
}
