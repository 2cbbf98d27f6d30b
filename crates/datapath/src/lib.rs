//! The packet engine: caches, actions and poll threads, over netdevs.
//!
//! [`Engine`] is one poll thread's state and takes the time from outside; [`Datapath`] runs it in a thread that polls
//! while there is work and sleeps when there is none. What to do with a packet is decided by a [`Translator`], whose
//! answers are cached as megaflows. Nothing here knows of tables, bridges or OpenFlow.

mod actions;
pub mod cache;
pub mod concern;
pub mod decision;
pub mod engine;
mod executor;
#[doc(hidden)]
pub mod fuzz;
mod lines;
pub mod meter;
pub mod poll;
mod prefetch;
pub mod text;

pub use concern::{Change, Concern, Dependencies, Lane};
pub use decision::{Action, Decision, Translation, Translator, Usage};
pub use engine::{Engine, FlowDump, Mismatch};
pub use lines::{Point, Watcher, Way};
pub use meter::{Band, BandKind, Meter, Unit, Verdict};
pub use poll::{Clock, Datapath};
