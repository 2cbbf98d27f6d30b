//! What every daemon with Open vSwitch's habits has: byte streams by name ([`stream`]), operators' commands
//! ([`unixctl`]), logs as vlog writes them ([`log`]), options, pid files and the background ([`process`]).
//!
//! Daemons log by the `log` crate's macros with the module's name as target, `log::info!(target: "bridge", ..)`; a line is
//! handed to a thread that writes, so that no caller waits for a disk or a terminal.

#[doc(hidden)]
pub mod fuzz;
pub mod log;
pub mod pidfile;
pub mod process;
pub mod stream;
mod sys;
pub mod unixctl;

pub use heddle_clients::{OVS_VERSION, version};
