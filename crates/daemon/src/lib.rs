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

/// The release of Open vSwitch whose interfaces are offered; clients and scripts read it from `--version`, from the
/// `version` command and from the `ovs_version` column.
pub const OVS_VERSION: &str = "4.0.0";

/// What a daemon of this name says of its version.
#[must_use]
pub fn version(program: &str) -> String {
    format!("{program} (Open vSwitch) {OVS_VERSION}\nHeddle {}\n", env!("CARGO_PKG_VERSION"))
}
