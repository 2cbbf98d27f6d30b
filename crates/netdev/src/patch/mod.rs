//! Patch ports: two bridges of one process joined.
//!
//! No packet is ever handed to one. Translation walks through to the other bridge, and the megaflow that comes of
//! it credits both patch ports, so crossing sixteen bridges costs one lookup. What is here makes the port listed,
//! counted and settable like any device.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use heddle_wire::packet::Packet;

use crate::counters::{DeviceCounters, Direction, DropReason, QueueCounters};
use crate::pool::PacketPool;
use crate::{LinkState, Netdev, NetdevError, Offloads, RxQueue, Statistics, TxQueue};

/// One end of a patch, seen from its own bridge.
pub struct Patch {
    name: String,
    peer: String,
    admin_up: AtomicBool,
    rx_packets: AtomicU64,
    rx_bytes: AtomicU64,
    tx_packets: AtomicU64,
    tx_bytes: AtomicU64,
    misdirected: DeviceCounters,
}

impl Patch {
    /// The end `name`, whose other end is the patch port called `peer`.
    ///
    /// # Errors
    /// If it is to be its own peer.
    pub fn new(name: &str, peer: &str) -> Result<Self, NetdevError> {
        if name == peer {
            return Err(NetdevError::Invalid {
                device: name.to_owned(),
                reason: "a patch port cannot be its own peer; name the port at the other end".to_owned(),
            });
        }
        Ok(Self {
            name: name.to_owned(),
            peer: peer.to_owned(),
            admin_up: AtomicBool::new(true),
            rx_packets: AtomicU64::new(0),
            rx_bytes: AtomicU64::new(0),
            tx_packets: AtomicU64::new(0),
            tx_bytes: AtomicU64::new(0),
            misdirected: DeviceCounters::default(),
        })
    }

    /// Name of the other end.
    pub fn peer(&self) -> &str {
        &self.peer
    }

    /// Counts packets that came in through this end; from any thread.
    pub fn credit_rx(&self, packets: u64, bytes: u64) {
        self.rx_packets.fetch_add(packets, Ordering::Relaxed);
        self.rx_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Counts packets that left through this end; from any thread.
    pub fn credit_tx(&self, packets: u64, bytes: u64) {
        self.tx_packets.fetch_add(packets, Ordering::Relaxed);
        self.tx_bytes.fetch_add(bytes, Ordering::Relaxed);
    }
}

impl Netdev for Patch {
    fn name(&self) -> &str {
        &self.name
    }

    fn kind(&self) -> &'static str {
        "patch"
    }

    fn mac(&self) -> Option<[u8; 6]> {
        None
    }

    fn mtu(&self) -> u32 {
        65_535
    }

    fn link_state(&self) -> LinkState {
        LinkState { admin_up: self.admin_up.load(Ordering::Relaxed), carrier: true }
    }

    fn set_admin_up(&self, up: bool) -> Result<(), NetdevError> {
        self.admin_up.store(up, Ordering::Relaxed);
        Ok(())
    }

    fn offloads(&self) -> Offloads {
        Offloads { checksum: true, tso4: true, tso6: true, uso: true }
    }

    fn statistics(&self) -> Statistics {
        Statistics {
            rx_packets: self.rx_packets.load(Ordering::Relaxed),
            rx_bytes: self.rx_bytes.load(Ordering::Relaxed),
            tx_packets: self.tx_packets.load(Ordering::Relaxed),
            tx_bytes: self.tx_bytes.load(Ordering::Relaxed),
            ..self.misdirected.statistics()
        }
    }

    fn drop_reasons(&self) -> Vec<(&'static str, u64)> {
        self.misdirected.drop_reasons()
    }

    fn take_rx_queues(&self) -> Vec<Box<dyn RxQueue>> {
        Vec::new()
    }

    /// A queue that refuses, and counts, whatever it is given.
    fn open_tx_queue(&self) -> Result<Box<dyn TxQueue>, NetdevError> {
        Ok(Box::new(Refusing { counters: self.misdirected.queue(Direction::Tx) }))
    }
}

struct Refusing {
    counters: Arc<QueueCounters>,
}

impl TxQueue for Refusing {
    fn send(&mut self, pool: &mut PacketPool, batch: &mut Vec<Packet>) {
        for packet in batch.drain(..) {
            self.counters.failed(DropReason::Refused, packet.wire_packets());
            pool.give(packet);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patch_counts_what_it_is_credited_and_refuses_packets() {
        let patch = Patch::new("p1", "p2").unwrap();
        patch.credit_rx(2, 120);
        patch.credit_tx(1, 60);
        patch.credit_tx(1, 60);
        let mut batch = vec![Packet::from_frame(&[0; 60])];
        patch.open_tx_queue().unwrap().send(&mut PacketPool::new(1), &mut batch);
        let statistics = patch.statistics();
        assert_eq!((patch.peer(), statistics.rx_bytes, statistics.tx_packets), ("p2", 120, 2));
        assert_eq!((batch.len(), statistics.tx_errors), (0, 1));
        assert!(patch.take_rx_queues().is_empty());
        assert!(Patch::new("p1", "p1").is_err());
    }
}
