//! OpenFlow messages and the text syntax of flows.
//!
//! Bytes and text go in, values come out, and the other way round; there is no I/O here. [`Action`] and [`Instruction`] are
//! used by the pipeline as they are. The text syntax is the one that `ovs-ofctl` made common.
#![forbid(unsafe_code)]

pub mod action;
mod action_codec;
pub mod bundle;
mod bytes;
pub mod error;
mod flow_mod;
mod framer;
#[doc(hidden)]
pub mod fuzz;
pub mod group;
pub mod message;
pub mod modify;
pub mod multipart;
mod names;
mod oxm;
pub mod port;
mod table_features;
pub mod text;
mod v1_0;
mod version;

pub use action::{Action, Instruction};
pub use error::OfError;
pub use message::{Body, Command, Fault, FlowMod, Framer, Message, PortDesc, Version, decode};
