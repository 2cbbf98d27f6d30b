//! The text syntax of flows, as `ovs-ofctl` reads and writes it.
//!
//! Reading is stricter than writing is terse: every word must be known, every value must fit its field, and a field's
//! prerequisites must be asked for (`tcp_dst` needs `tcp`), so that a typing error is not a flow that never matches.

mod actions;
mod flows;
mod groups;
mod matching;
mod meters;
mod nx_match;
mod values;

pub use crate::names::field as field_by_name;
pub use actions::{parse_actions, print_action};
pub use flows::{parse_flow, parse_instructions, print_flow, print_instructions, print_stats};
pub use groups::{parse_group, print_group, print_group_desc, print_group_stats};
pub use matching::{lacking, parse_match, print_match};
pub use meters::{parse_meter, parse_meter_id};
pub use nx_match::{decode_nx_match, encode_nx_match, parse_nx_match, print_nx_match, stray_bits};
pub use values::{parse_mac, parse_number, parse_port, parse_value, print_value};

/// Why text is not a flow.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct TextError(String);

fn error<T>(message: impl Into<String>) -> Result<T, TextError> {
    Err(TextError(message.into()))
}

#[cfg(test)]
mod tests;
