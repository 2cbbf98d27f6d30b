//! Network devices behind one trait.
//!
//! A [`Netdev`] is the control side of a device: its name, state, counters and offloads. What moves packets are
//! its queues: an [`RxQueue`] belongs to one poll thread, and each poll thread opens a [`TxQueue`] of its own on
//! each device it may send to, so no lock is taken per packet. *Receive* and *transmit* are meant from the
//! switch's side everywhere in this crate.
//!
//! One folder a provider: `dummy` (tests, trace), `memory` (simulator, benchmarks), `patch` (between bridges of one
//! process: it never carries a packet, translation walks through it), `tap` (lab hosts, internal ports), `packet`
//! (existing kernel interfaces).

pub mod closing;
mod counters;
pub mod dummy;
pub mod memory;
pub mod packet;
pub mod patch;
mod sys;
pub mod tap;

use std::os::fd::RawFd;

use heddle_wire::packet::{Checksum, GsoType, Offload, Packet};

pub use heddle_wire::pool::PacketPool;

pub use dummy::{Dummy, DummyHandle};
pub use memory::{Memory, Order};
pub use packet::PacketDevice;
pub use patch::Patch;
pub use tap::Tap;

/// What a device's transmit side takes over from the switch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offloads {
    /// Partial transport checksums are finished by the device or its peer.
    pub checksum: bool,
    /// TCP segments over IPv4 are cut by the device or its peer.
    pub tso4: bool,
    /// TCP segments over IPv6 are cut by the device or its peer.
    pub tso6: bool,
    /// UDP segments (USO) are cut by the device or its peer.
    pub uso: bool,
}

impl Offloads {
    /// Whether a frame with this metadata may be handed to the device as it is.
    #[inline]
    pub fn accept(&self, offload: &Offload) -> bool {
        let checksum = self.checksum || !matches!(offload.checksum, Checksum::Partial { .. });
        checksum
            && match offload.gso {
                GsoType::None => true,
                GsoType::TcpV4 => self.tso4,
                GsoType::TcpV6 => self.tso6,
                GsoType::UdpL4 => self.uso,
            }
    }
}

/// Whether frames can pass.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkState {
    /// Administratively up.
    pub admin_up: bool,
    /// Carrier is present.
    pub carrier: bool,
}

/// Counters of a device, from the switch's side, in wire packets and bytes without the FCS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Packets received from the device.
    pub rx_packets: u64,
    /// Bytes received from the device.
    pub rx_bytes: u64,
    /// Packets the device offered and the switch could not take.
    pub rx_dropped: u64,
    /// Frames refused at the door: a forged or inconsistent offload header, an over-long frame.
    pub rx_errors: u64,
    /// Packets sent to the device.
    pub tx_packets: u64,
    /// Bytes sent to the device.
    pub tx_bytes: u64,
    /// Packets the device had no room for.
    pub tx_dropped: u64,
    /// Packets the device refused with an error.
    pub tx_errors: u64,
}

/// Why a device could not be made or used.
#[derive(Debug, thiserror::Error)]
pub enum NetdevError {
    /// A system call failed.
    #[error("{device}: {operation} failed: {source}")]
    System {
        /// Name of the device.
        device: String,
        /// What was being done.
        operation: &'static str,
        /// The system's answer.
        source: std::io::Error,
    },
    /// The caller asked for something the device cannot be.
    #[error("{device}: {reason}")]
    Invalid {
        /// Name of the device.
        device: String,
        /// What is wrong, and what would be right.
        reason: String,
    },
}

impl NetdevError {
    fn fixed(device: &str, what: &str) -> Self {
        Self::Invalid { device: device.to_owned(), reason: format!("{what} cannot be changed from here") }
    }
}

/// A device, seen from control threads.
pub trait Netdev: Send + Sync {
    /// The device's name.
    fn name(&self) -> &str;
    /// The provider's name, as in the OVSDB `type` column.
    fn kind(&self) -> &'static str;
    /// The device's own Ethernet address, where it has one.
    fn mac(&self) -> Option<[u8; 6]>;
    /// Largest network-layer packet in bytes.
    fn mtu(&self) -> u32;
    /// Whether frames can pass now.
    fn link_state(&self) -> LinkState;
    /// Sets the device administratively up or down.
    ///
    /// # Errors
    /// If the system refuses.
    fn set_admin_up(&self, up: bool) -> Result<(), NetdevError>;
    /// Sets the largest network-layer packet, in bytes.
    ///
    /// # Errors
    /// If the device cannot be changed so, or the system refuses.
    fn set_mtu(&self, _mtu: u32) -> Result<(), NetdevError> {
        Err(NetdevError::fixed(self.name(), "its MTU"))
    }
    /// Sets the device's own Ethernet address.
    ///
    /// # Errors
    /// If the device cannot be changed so, or the system refuses.
    fn set_mac(&self, _mac: [u8; 6]) -> Result<(), NetdevError> {
        Err(NetdevError::fixed(self.name(), "its Ethernet address"))
    }
    /// The interface's number in the kernel, where it has one.
    fn index(&self) -> Option<u32> {
        None
    }
    /// What the transmit side takes over.
    fn offloads(&self) -> Offloads;
    /// Counters since the device was opened.
    fn statistics(&self) -> Statistics;
    /// The receive queues; the first call takes them, later calls return none.
    fn take_rx_queues(&self) -> Vec<Box<dyn RxQueue>>;
    /// A transmit queue for one poll thread.
    ///
    /// # Errors
    /// If the system refuses another descriptor.
    fn open_tx_queue(&self) -> Result<Box<dyn TxQueue>, NetdevError>;
    /// The far side of a dummy device, which operators and tests play.
    fn far_side(&self) -> Option<DummyHandle> {
        None
    }
}

/// The receiving half of a device, owned by one poll thread.
pub trait RxQueue: Send {
    /// A descriptor that becomes readable when there are frames; `None` for devices that must be polled
    /// (after [`RxQueue::receive`] returns 0 such a device is asked again when the thread is woken).
    fn readiness(&self) -> Option<RawFd>;
    /// Moves up to `max` frames into `batch`, taking buffers from `pool`; returns how many. Frames whose offload
    /// header lies are counted and dropped here and never reach the caller. Never blocks.
    fn receive(&mut self, pool: &mut PacketPool, batch: &mut Vec<Packet>, max: usize) -> usize;
}

/// The sending half of a device, owned by one poll thread.
pub trait TxQueue: Send {
    /// Sends every packet of `batch` in order and returns its buffers to `pool`. A packet that the device has no
    /// room for is counted and dropped. The caller has made sure that [`Offloads::accept`] holds. Never blocks.
    fn send(&mut self, pool: &mut PacketPool, batch: &mut Vec<Packet>);
}
