//! Bridges: configuration to pipeline and datapath, OpenFlow connections.
//!
//! [`switch::Switch`] applies a [`config`] to [`bridge`]s; [`connection`] is the OpenFlow agent without I/O; [`server`] carries its bytes over
//! sockets in an async runtime, and [`unixctl`] answers operators there. The data plane runs on its own thread and is never waited for by a packet.
#![forbid(unsafe_code)]

pub mod bridge;
mod capture;
pub mod config;
pub mod connection;
pub mod controllers;
#[doc(hidden)]
pub mod fuzz;
mod in_band;
mod lines;
mod links;
pub mod ovs;
pub mod schema;
pub mod server;
pub mod switch;
pub mod tree;
pub mod unixctl;

pub use switch::{Switch, SwitchError};
