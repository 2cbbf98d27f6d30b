//! Lists of actions: reading them.

mod learn;
mod parse;
mod print;

pub use print::print_action;

use heddle_flow::layout::VLAN_PRESENT;
use heddle_flow::{Field, Match};
use heddle_wire::ethertype;

use super::matching::transport_field;
use super::values::{number_in, parse_tos, parse_value};
use super::{TextError, error};
use crate::action::Action;
use parse::parse_action;

/// Lists of actions within each other; deeper ones would only serve to exhaust the stack.
const MAX_NESTED: usize = 16;

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
            // OpenFlow 1.0 sets the ports of whatever has some; the first protocol that does stands for it.
            let field = transport_field(matching, name == "mod_tp_src").unwrap_or(match name {
                "mod_tp_src" => Field::TcpSrc,
                _ => Field::TcpDst,
            });
            (field, parse_value(field, argument)?)
        }
        "mod_nw_tos" => (Field::IpDscp, parse_tos(argument)?),
        _ => {
            actions.push(parse_action(matching, name, argument)?);
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

/// Splits at commas and blanks that stand in no brackets.
pub(super) fn split(text: &str) -> Vec<&str> {
    let (mut depth, mut start, mut words) = (0i32, 0, Vec::new());
    for (at, letter) in text.char_indices() {
        match letter {
            '(' | '[' => depth += 1,
            ')' | ']' => depth -= 1,
            ',' | ' ' | '\t' | '\r' | '\n' if depth == 0 => {
                words.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    words.push(&text[start..]);
    words.into_iter().map(str::trim).filter(|word| !word.is_empty()).collect()
}
