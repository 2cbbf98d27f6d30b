//! Packet formats: the packet buffer with its offload metadata, views and representations of headers, checksums,
//! segmentation, the virtio-net header.
//!
//! The data path works on [`Packet`] and, for speed, on bytes that [`locate`] has found; slow paths, controllers,
//! tests and trace use the formats' views and representations. Nothing here does I/O or keeps state.
#![forbid(unsafe_code)]

pub mod addr;
pub mod arp;
pub mod build;
pub mod checksum;
pub mod ethernet;
#[doc(hidden)]
pub mod fuzz;
pub mod icmp;
pub mod icmpv6;
pub mod ipv4;
pub mod ipv6;
pub mod locate;
pub mod numbers;
pub mod packet;
pub mod pcap;
pub mod pool;
pub mod segment;
pub mod transport;
pub mod view;
pub mod vnet;

pub use addr::{EtherType, IpProtocol, MacAddr, Tci, VlanId};
pub use numbers::{ethertype, ipproto};
pub use packet::{Checksum, GsoType, Offload, Packet};
pub use pool::PacketPool;
pub use view::WireError;
