//! OpenFlow messages and the text syntax of flows.
//!
//! Bytes and text go in, values come out, and the other way round; there is no I/O here. [`Action`] and [`Instruction`] are
//! used by the pipeline as they are. The text syntax is the one that `ovs-ofctl` made common.
#![forbid(unsafe_code)]

pub mod action;
mod action_codec;
pub mod bundle;
mod bytes;
pub mod consistency;
mod dialect;
pub mod error;
pub mod extension;
mod flow_mod;
mod flow_stats;
mod flow_writer;
mod framer;
#[doc(hidden)]
pub mod fuzz;
pub mod group;
pub mod kind;
pub mod message;
pub mod meter;
pub mod modify;
pub mod monitor;
pub mod multipart;
mod names;
mod nxm;
mod oxm;
mod oxs;
pub mod packet;
pub mod port;
mod property;
pub mod queue;
pub mod role;
pub mod table;
mod table_features;
pub mod text;
mod v1_0;
mod v1_1;
mod version;

pub use action::{Action, Instruction};
pub use dialect::{can_match, match_fields};
pub use error::OfError;
pub use flow_writer::FlowWriter;
pub use message::{Body, Command, Fault, FlowMod, Form, Framer, Message, PortDesc, Version, decode};
