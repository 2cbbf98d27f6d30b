//! OVSDB: the database of switches, as RFC 7047 describes it, with Open vSwitch's extensions.
//!
//! The layers, each knowing only those above it:
//!
//! | module | is |
//! |---|---|
//! | [`types`] | atoms, sets and maps, their types and constraints; JSON form and text form |
//! | [`schema`] | tables and columns of a database |
//! | [`rpc`] | JSON-RPC: bytes to messages, bounded |
//! | [`database`] | rows and transactions |
//! | [`monitor`] | what clients are told of changes |
//! | [`storage`] | where databases are kept: the trait, and a store in memory |
//! | [`service`] | a server without its sockets: databases, sessions, locks |
//! | [`replica`] | a client's copy of tables, and transactions on them |
//!
//! Everything here is free of I/O, clocks and randomness: bytes, the time and a source of UUIDs come from outside.
#![forbid(unsafe_code)]

pub mod database;
mod error;
pub mod file;
pub mod fuzz;
pub mod log;
pub mod monitor;
mod parser;
pub mod replica;
pub mod rpc;
pub mod schema;
pub mod service;
pub mod storage;
pub mod types;

pub use error::Error;
