//! The `patch` device: one end of a cable between two bridges of one process.
//!
//! It never carries a packet. Translation walks through the cable into the other bridge, so a packet that crosses
//! sixteen bridges is decided once; the device is what is listed, set up or down, and credited. Several poll
//! threads may credit one patch port, hence real atomic additions.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::{LinkState, Netdev, NetdevError, Offloads, RxQueue, Statistics, TxQueue};

/// One end of a cable between bridges.
pub struct Patch {
    name: String,
    admin_up: AtomicBool,
    rx_packets: AtomicU64,
    rx_bytes: AtomicU64,
    tx_packets: AtomicU64,
    tx_bytes: AtomicU64,
}

impl Patch {
    /// A patch port, up.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            admin_up: AtomicBool::new(true),
            rx_packets: AtomicU64::new(0),
            rx_bytes: AtomicU64::new(0),
            tx_packets: AtomicU64::new(0),
            tx_bytes: AtomicU64::new(0),
        }
    }

    /// Credits wire packets that came in from the other bridge.
    pub fn credit_rx(&self, packets: u64, bytes: u64) {
        self.rx_packets.fetch_add(packets, Ordering::Relaxed);
        self.rx_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Credits wire packets that went out to the other bridge.
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
            ..Statistics::default()
        }
    }

    fn take_rx_queues(&self) -> Vec<Box<dyn RxQueue>> {
        Vec::new()
    }

    /// # Errors
    /// Always: a patch port has no queues, translation walks through it.
    fn open_tx_queue(&self) -> Result<Box<dyn TxQueue>, NetdevError> {
        let reason = "a patch port has no queues; translation walks through it".to_owned();
        Err(NetdevError::Invalid { device: self.name.clone(), reason })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patch_port_counts_what_it_is_credited_and_carries_nothing() {
        let patch = Patch::new("p0");
        patch.credit_rx(2, 120);
        patch.credit_tx(3, 180);
        let statistics = patch.statistics();
        assert_eq!((statistics.rx_packets, statistics.rx_bytes), (2, 120));
        assert_eq!((statistics.tx_packets, statistics.tx_bytes), (3, 180));
        assert!(patch.take_rx_queues().is_empty() && patch.open_tx_queue().is_err());
    }
}
