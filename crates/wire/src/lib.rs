//! Packet formats: the packet buffer with its offload metadata, checksums, segmentation, the virtio-net header.
#![forbid(unsafe_code)]

pub mod checksum;
pub mod locate;
pub mod numbers;
pub mod packet;
pub mod segment;
pub mod vnet;

pub use numbers::{ethertype, ipproto};
pub use packet::{Checksum, GsoType, Offload, Packet};
