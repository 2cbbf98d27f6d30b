//! The table of match fields, flow key, mask, match and classifier.
//!
//! A [`FlowKey`] holds every value that a flow may match on, in words of 64 bits ([`layout`] draws them). The words
//! that come from the packet stand first: [`PacketKey`] is that part alone, and is what the datapath extracts, hashes
//! and compares; words of the pipeline (metadata, registers) follow and are zero when a packet enters. What fields
//! there are is said once, in [`field`]: codec, text, set-field and translation all read that table.
#![forbid(unsafe_code)]

pub mod classifier;
pub mod compose;
pub mod extensions;
pub mod extract;
pub mod field;
#[doc(hidden)]
pub mod fuzz;
pub mod key;
pub mod layout;
pub mod packed;

pub use classifier::Classifier;
pub use compose::{compose, compose_of_length};
pub use extract::{Layout, extract};
pub use field::{Field, FieldSpec, Prerequisite, TextForm};
pub use key::{FlowKey, FlowMask, Match, PacketKey};
pub use packed::PackedMatch;
