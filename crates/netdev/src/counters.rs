//! Counters of a queue: written by the thread that owns it, read by any.

use std::sync::atomic::{AtomicU64, Ordering};

use heddle_wire::Packet;

use crate::Statistics;

/// Counters of one direction. One thread adds, so a load and a store are enough.
#[derive(Debug, Default)]
#[repr(align(64))]
pub struct Counters {
    packets: AtomicU64,
    bytes: AtomicU64,
    dropped: AtomicU64,
}

fn add(counter: &AtomicU64, count: u64) {
    counter.store(counter.load(Ordering::Relaxed) + count, Ordering::Relaxed);
}

impl Counters {
    /// Counts a packet, in wire packets and bytes.
    pub fn packet(&self, packet: &Packet) {
        add(&self.packets, packet.wire_packets());
        add(&self.bytes, packet.wire_bytes());
    }

    /// Counts packets there was no room for.
    pub fn dropped(&self, count: u64) {
        add(&self.dropped, count);
    }
}

/// The statistics of a device with one queue each way.
pub fn statistics(rx: &Counters, tx: &Counters) -> Statistics {
    let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    Statistics {
        rx_packets: read(&rx.packets),
        rx_bytes: read(&rx.bytes),
        rx_dropped: read(&rx.dropped),
        rx_errors: 0,
        tx_packets: read(&tx.packets),
        tx_bytes: read(&tx.bytes),
        tx_dropped: read(&tx.dropped),
        tx_errors: 0,
    }
}
