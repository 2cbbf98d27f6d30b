//! Counters that one thread writes and any thread reads.
//!
//! Each queue has its own, on cache lines of their own, so that poll threads never share a line and an increment
//! is a plain load and store. Readers merge them; a reader may see a packet before its bytes, never a torn value.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use heddle_wire::packet::Packet;
use heddle_wire::vnet::VnetError;

use crate::Statistics;

/// Adds to a counter that only the calling thread writes.
#[inline]
fn add(counter: &AtomicU64, count: u64) {
    counter.store(counter.load(Ordering::Relaxed).wrapping_add(count), Ordering::Relaxed);
}

/// Why a received frame was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The offload header is not what the frame itself says.
    Vnet(VnetError),
    /// The frame is shorter than an Ethernet header.
    Runt,
    /// The frame is longer than a segment can be.
    Oversize,
    /// The kernel holds a segment that an offload header cannot express.
    Inexpressible,
}

const VNET_REASONS: usize = VnetError::ALL.len();
const REASONS: usize = VNET_REASONS + 3;

impl Refusal {
    /// The reason's name, as counters show it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Vnet(error) => error.name(),
            Self::Runt => "frame shorter than an Ethernet header",
            Self::Oversize => "frame longer than a segment",
            Self::Inexpressible => "segment that an offload header cannot express",
        }
    }

    fn all() -> impl Iterator<Item = Self> {
        let doors = [Self::Runt, Self::Oversize, Self::Inexpressible];
        VnetError::ALL.into_iter().map(Self::Vnet).chain(doors)
    }

    fn index(self) -> usize {
        match self {
            // The list is short and this is not the path of honest frames.
            Self::Vnet(error) => VnetError::ALL.iter().position(|&known| known == error).unwrap_or(0),
            Self::Runt => VNET_REASONS,
            Self::Oversize => VNET_REASONS + 1,
            Self::Inexpressible => VNET_REASONS + 2,
        }
    }
}

/// Counters of one receive queue.
#[derive(Default)]
#[repr(align(128))]
pub struct RxCounters {
    packets: AtomicU64,
    bytes: AtomicU64,
    dropped: AtomicU64,
    refused: [AtomicU64; REASONS],
}

impl RxCounters {
    /// Counts what a batch gained.
    #[inline]
    pub fn received(&self, packets: &[Packet]) {
        let (count, bytes) = wire_sums(packets);
        add(&self.packets, count);
        add(&self.bytes, bytes);
    }

    /// Counts packets that the switch could not take.
    pub fn dropped(&self, packets: u64) {
        add(&self.dropped, packets);
    }

    /// Counts a frame that was refused.
    pub fn refused(&self, reason: Refusal) {
        add(&self.refused[reason.index()], 1);
    }

    /// Adds these counters to a device's.
    pub fn merge(&self, statistics: &mut Statistics) {
        statistics.rx_packets += self.packets.load(Ordering::Relaxed);
        statistics.rx_bytes += self.bytes.load(Ordering::Relaxed);
        statistics.rx_dropped += self.dropped.load(Ordering::Relaxed);
        statistics.rx_errors += self.refused.iter().map(|count| count.load(Ordering::Relaxed)).sum::<u64>();
    }

    /// How many frames were refused, by reason; every reason is listed.
    pub fn refusals(&self) -> Vec<(&'static str, u64)> {
        Refusal::all()
            .map(|reason| (reason.name(), self.refused[reason.index()].load(Ordering::Relaxed)))
            .collect()
    }
}

/// Counters of one transmit queue.
#[derive(Default)]
#[repr(align(128))]
pub struct TxCounters {
    packets: AtomicU64,
    bytes: AtomicU64,
    dropped: AtomicU64,
    errors: AtomicU64,
}

impl TxCounters {
    /// Counts packets that were sent.
    #[inline]
    pub fn sent(&self, packets: u64, bytes: u64) {
        add(&self.packets, packets);
        add(&self.bytes, bytes);
    }

    /// Counts packets that the device had no room for.
    pub fn dropped(&self, packets: u64) {
        add(&self.dropped, packets);
    }

    /// Counts packets that the device refused.
    pub fn errors(&self, packets: u64) {
        add(&self.errors, packets);
    }

    fn merge(&self, statistics: &mut Statistics) {
        statistics.tx_packets += self.packets.load(Ordering::Relaxed);
        statistics.tx_bytes += self.bytes.load(Ordering::Relaxed);
        statistics.tx_dropped += self.dropped.load(Ordering::Relaxed);
        statistics.tx_errors += self.errors.load(Ordering::Relaxed);
    }
}

/// All transmit counters of a device. What closed queues counted is kept in one sum, so that a device whose
/// queues come and go does not grow.
#[derive(Default)]
pub struct TxRegistry(Mutex<Registered>);

#[derive(Default)]
struct Registered {
    live: Vec<Arc<TxCounters>>,
    closed: Statistics,
}

impl TxRegistry {
    /// Counters for a new queue.
    pub fn open(&self) -> Arc<TxCounters> {
        let mut registered = lock(&self.0);
        let Registered { live, closed } = &mut *registered;
        live.retain(|counters| {
            let open = Arc::strong_count(counters) > 1;
            if !open {
                counters.merge(closed);
            }
            open
        });
        let counters = Arc::new(TxCounters::default());
        live.push(Arc::clone(&counters));
        counters
    }

    /// Adds the counters of every queue to a device's.
    pub fn merge(&self, statistics: &mut Statistics) {
        let registered = lock(&self.0);
        statistics.tx_packets += registered.closed.tx_packets;
        statistics.tx_bytes += registered.closed.tx_bytes;
        statistics.tx_dropped += registered.closed.tx_dropped;
        statistics.tx_errors += registered.closed.tx_errors;
        for counters in &registered.live {
            counters.merge(statistics);
        }
    }
}

/// Wire packets and bytes of a batch.
#[inline]
pub fn wire_sums(packets: &[Packet]) -> (u64, u64) {
    packets
        .iter()
        .fold((0, 0), |(count, bytes), packet| (count + packet.wire_packets(), bytes + packet.wire_bytes()))
}

/// Locks, also after a thread panicked with the lock held: no state here is left half changed by a panic.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closed_queues_stay_counted_and_take_no_room() {
        let registry = TxRegistry::default();
        for _ in 0..100 {
            registry.open().sent(2, 128);
        }
        let mut statistics = Statistics::default();
        registry.merge(&mut statistics);
        assert_eq!((statistics.tx_packets, statistics.tx_bytes), (200, 12_800));
        assert!(lock(&registry.0).live.len() <= 2);
    }

    #[test]
    fn every_refusal_has_a_place_of_its_own() {
        let counters = RxCounters::default();
        for reason in Refusal::all() {
            counters.refused(reason);
        }
        assert!(counters.refusals().iter().all(|&(_, count)| count == 1));
        let mut statistics = Statistics::default();
        counters.merge(&mut statistics);
        assert_eq!(statistics.rx_errors, REASONS as u64);
    }
}
