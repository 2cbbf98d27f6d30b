//! Packet formats: views and representations, checksums, offload metadata, segmentation.
#![forbid(unsafe_code)]

pub mod packet;

pub use packet::{Checksum, GsoType, Offload, Packet};
