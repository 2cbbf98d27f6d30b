//! OVSDB: the database of switches, as RFC 7047 describes it, with Open vSwitch's extensions.
//!
//! The layers, each knowing only those above it:
//!
//! | module | is |
//! |---|---|
//! | [`types`] | atoms, sets and maps, their types and constraints; JSON form and text form |
//! | [`schema`] | tables and columns of a database |
//! | [`rpc`] | JSON-RPC: bytes to messages, bounded |
//!
//! Everything here is free of I/O, clocks and randomness: bytes, the time and a source of UUIDs come from outside.
#![forbid(unsafe_code)]

mod error;
pub mod fuzz;
mod parser;
pub mod rpc;
pub mod schema;
pub mod types;

pub use error::Error;
