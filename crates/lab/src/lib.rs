//! Topologies, the supervisor, links and hosts of a lab, tests across them.
//!
//! [`topology`], [`fidelity`] and [`graph`] are pure. [`client`] starts and uses labs; [`supervisor`] is the process that a lab hangs
//! from, [`watch`] the one that clears up behind it; both are hidden subcommands of the binary. [`protocol`]
//! is what they say to one another over [`wire`].
#![forbid(unsafe_code)]

pub mod client;
pub mod fidelity;
#[doc(hidden)]
pub mod fuzz;
pub mod graph;
pub mod protocol;
mod reaper;
pub mod shell;
pub mod supervisor;
mod switch_child;
pub mod topology;
pub mod watch;
pub mod wire;

pub use switch_child::CHILD_SOCKET;
