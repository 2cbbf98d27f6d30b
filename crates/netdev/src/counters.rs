//! Counters of a device's queues: each written by one thread without a locked instruction, merged when read.
//!
//! A queue has a cache line pair of its own, so that two poll threads never write to the same line. When a queue is
//! gone, what it counted is added to the device's retired total at the next occasion, so that a device whose poll
//! threads come and go keeps its counters and a bounded list.

use std::sync::atomic::{AtomicU64, Ordering, fence};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use heddle_wire::vnet::VnetError;

use crate::{NetdevError, Statistics};

/// Locks, whether or not another holder panicked: what these locks guard is whole between any two statements.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Why a frame went no further. The last three are drops, the others errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DropReason {
    Vnet(VnetError),
    Runt,
    TooLong,
    Undescribed,
    Refused,
    OverMtu,
    Down,
    FarEndDown,
    Full,
}

const VNET: usize = VnetError::ALL.len();
const OTHERS: [(DropReason, &str); 8] = [
    (DropReason::Runt, "frame shorter than an Ethernet header"),
    (DropReason::TooLong, "frame too long"),
    (DropReason::Undescribed, "offload that the kernel cannot describe"),
    (DropReason::Refused, "refused by the device"),
    (DropReason::OverMtu, "frame exceeds the MTU"),
    (DropReason::Down, "device is down"),
    (DropReason::FarEndDown, "far end is down"),
    (DropReason::Full, "no room in the device"),
];
const REASONS: usize = VNET + OTHERS.len();

impl DropReason {
    fn index(self) -> usize {
        match self {
            Self::Vnet(error) => VnetError::ALL.iter().position(|known| *known == error).unwrap_or(0),
            other => VNET + OTHERS.iter().position(|(known, _)| *known == other).unwrap_or(0),
        }
    }

    fn is_error(self) -> bool {
        !matches!(self, Self::Down | Self::FarEndDown | Self::Full)
    }
}

fn reason_name(index: usize) -> &'static str {
    if index < VNET { VnetError::ALL[index].name() } else { OTHERS[index - VNET].1 }
}

/// A number that one thread writes and others read.
#[derive(Default)]
struct Counter(AtomicU64);

impl Counter {
    #[inline]
    fn add(&self, count: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(count), Ordering::Relaxed);
    }

    fn read(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Which way the packets of a queue go, from the switch's side.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    Rx,
    Tx,
}

/// The counters of one queue.
#[repr(align(128))]
pub(crate) struct QueueCounters {
    direction: Direction,
    packets: Counter,
    bytes: Counter,
    dropped: Counter,
    errors: Counter,
    reasons: [Counter; REASONS],
}

impl QueueCounters {
    /// Counts wire packets that passed.
    #[inline]
    pub(crate) fn passed(&self, packets: u64, bytes: u64) {
        self.packets.add(packets);
        self.bytes.add(bytes);
    }

    /// Counts wire packets that did not.
    pub(crate) fn failed(&self, reason: DropReason, packets: u64) {
        if reason.is_error() { &self.errors } else { &self.dropped }.add(packets);
        self.reasons[reason.index()].add(packets);
    }
}

#[derive(Clone)]
struct Totals {
    statistics: Statistics,
    reasons: [u64; REASONS],
}

impl Totals {
    fn add(&mut self, queue: &QueueCounters) {
        let sums = &mut self.statistics;
        let fields = match queue.direction {
            Direction::Rx => {
                [&mut sums.rx_packets, &mut sums.rx_bytes, &mut sums.rx_dropped, &mut sums.rx_errors]
            }
            Direction::Tx => {
                [&mut sums.tx_packets, &mut sums.tx_bytes, &mut sums.tx_dropped, &mut sums.tx_errors]
            }
        };
        let counted = [&queue.packets, &queue.bytes, &queue.dropped, &queue.errors];
        for (sum, counter) in fields.into_iter().zip(counted) {
            *sum = sum.wrapping_add(counter.read());
        }
        for (sum, counter) in self.reasons.iter_mut().zip(&queue.reasons) {
            *sum = sum.wrapping_add(counter.read());
        }
    }
}

/// The counters of a device: those of its queues, and of queues it had.
pub(crate) struct DeviceCounters {
    state: Mutex<(Vec<Arc<QueueCounters>>, Totals)>,
}

impl Default for DeviceCounters {
    fn default() -> Self {
        let totals = Totals { statistics: Statistics::default(), reasons: [0; REASONS] };
        Self { state: Mutex::new((Vec::new(), totals)) }
    }
}

impl DeviceCounters {
    /// Counters for a new queue.
    pub(crate) fn queue(&self, direction: Direction) -> Arc<QueueCounters> {
        let counters = Arc::new(QueueCounters {
            direction,
            packets: Counter::default(),
            bytes: Counter::default(),
            dropped: Counter::default(),
            errors: Counter::default(),
            reasons: Default::default(),
        });
        let mut state = lock(&self.state);
        let (live, retired) = &mut *state;
        live.retain(|queue| {
            let held = Arc::strong_count(queue) > 1;
            if !held {
                // Its queue is gone, and what it counted is final. Pairs with the release of the last reference, so
                // that those counts are seen here.
                fence(Ordering::Acquire);
                retired.add(queue);
            }
            held
        });
        live.push(Arc::clone(&counters));
        counters
    }

    fn totals(&self) -> Totals {
        let state = lock(&self.state);
        let mut totals = state.1.clone();
        state.0.iter().for_each(|queue| totals.add(queue));
        totals
    }

    /// All queues together.
    pub(crate) fn statistics(&self) -> Statistics {
        self.totals().statistics
    }

    /// Why frames were dropped or refused, each reason that occurred with its count.
    pub(crate) fn drop_reasons(&self) -> Vec<(&'static str, u64)> {
        let counts = self.totals().reasons.into_iter().enumerate();
        counts.filter(|(_, count)| *count != 0).map(|(index, count)| (reason_name(index), count)).collect()
    }
}

/// Adds to a system error what the user can do about it.
pub(crate) fn explain(
    device: &str,
    operation: &'static str,
    error: std::io::Error,
    remedy: &str,
) -> NetdevError {
    let source = match remedy {
        "" => error,
        remedy => std::io::Error::new(error.kind(), format!("{error}: {remedy}")),
    };
    NetdevError::System { device: device.to_owned(), operation, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_outlive_their_queue_and_the_list_stays_short() {
        let device = DeviceCounters::default();
        for _ in 0..100 {
            let queue = device.queue(Direction::Tx);
            queue.passed(2, 120);
            queue.failed(DropReason::Full, 1);
            queue.failed(DropReason::Vnet(VnetError::GsoSize), 1);
        }
        let statistics = device.statistics();
        assert_eq!((statistics.tx_packets, statistics.tx_bytes), (200, 12_000));
        assert_eq!((statistics.tx_dropped, statistics.tx_errors), (100, 100));
        let expected = [(VnetError::GsoSize.name(), 100), ("no room in the device", 100)];
        assert_eq!(device.drop_reasons(), expected);
        assert!(lock(&device.state).0.len() <= 1);
    }
}
