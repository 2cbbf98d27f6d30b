//! Flow tables, live state, translation and trace.
//!
//! Configuration stands in snapshots that are published by one swap ([`table::Snapshot`]); what packets teach stands beside
//! them ([`fdb`], counters). [`translate`] reads both and yields datapath actions, the mask of every bit that decided, whom to
//! credit, and what the answer depends on. Dependencies point to the datapath, which knows nothing of this crate.
#![forbid(unsafe_code)]

pub mod bridge;
pub mod bundle;
pub mod changes;
mod conjunction;
pub mod decision;
pub mod eviction;
pub mod fdb;
pub mod flow_mod;
pub mod frozen;
pub mod group;
pub mod hash;
mod hidden;
pub mod learning;
pub mod meter;
pub mod table;
pub mod trace;
pub mod translate;
pub mod tree;

pub use bridge::{Bridge, Network, PacketIn, Place};
pub use table::{Attachment, Flow, Port, Snapshot};
pub use translate::{Pipeline, Translation};
