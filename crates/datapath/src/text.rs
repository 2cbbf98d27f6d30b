//! The text of datapath flows and actions, as `ovs-appctl dpctl/dump-flows` and its like read and write it.
//!
//! A flow is a list of attributes, each with its parts: `in_port(1),eth(src=..,dst=..),eth_type(0x0800),ipv4(..)`. Which there
//! are is said once, in [`table`]; printer and parser read it. Attributes of which no bit counts are left out. What the
//! key and the mask do not hold (priorities of packets, connection states) is written as what it always is, zero, and
//! read only if it is.

mod actions;
mod parse;
mod print;
mod table;

pub use actions::{Punted, print_actions};
pub use parse::parse_flow;
pub use print::{Detail, print_flow};

/// Why text is not a datapath flow.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct TextError(String);

fn error<T>(message: impl Into<String>) -> Result<T, TextError> {
    Err(TextError(message.into()))
}

/// What text calls by names that the datapath knows by numbers.
pub trait Names {
    /// The name of a datapath port; its number is written where there is none.
    fn port(&self, _number: u32) -> Option<String> {
        None
    }
    /// The datapath port of this name.
    fn port_number(&self, _name: &str) -> Option<u32> {
        None
    }
    /// What is known of packets that are handed over under this id.
    fn punted(&self, _id: u32) -> Option<Punted> {
        None
    }
}

/// Numbers, not names.
pub struct Numbers;

impl Names for Numbers {}

#[cfg(test)]
mod tests;
