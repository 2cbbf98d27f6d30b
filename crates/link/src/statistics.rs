//! What a line counts.

use serde::{Deserialize, Serialize};

/// Wire packets and their bytes, without FCS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count {
    /// Wire packets.
    pub packets: u64,
    /// Bytes.
    pub bytes: u64,
}

impl Count {
    #[inline]
    pub(crate) fn add(&mut self, bytes: u64) {
        self.packets += 1;
        self.bytes += bytes;
    }

    #[inline]
    pub(crate) fn take(&mut self, bytes: u64) {
        self.packets -= 1;
        self.bytes -= bytes;
    }
}

/// Bounds of [`Lateness::beyond`], in nanoseconds: 0.1, 0.2, 1 and 10 ms.
pub const LATENESS_BOUNDS: [u64; 4] = [100_000, 200_000, 1_000_000, 10_000_000];

/// How late wire packets were taken, against when they were due: what a fidelity monitor judges by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lateness {
    /// Wire packets that were taken.
    pub count: u64,
    /// Sum of their lateness in nanoseconds.
    pub total_ns: u64,
    /// The latest, in nanoseconds.
    pub maximum_ns: u64,
    /// How many were taken later than each of [`LATENESS_BOUNDS`].
    pub beyond: [u64; LATENESS_BOUNDS.len()],
}

impl Lateness {
    #[inline]
    pub(crate) fn add(&mut self, late: u64) {
        self.count += 1;
        self.total_ns = self.total_ns.saturating_add(late);
        self.maximum_ns = self.maximum_ns.max(late);
        if late > LATENESS_BOUNDS[0] {
            for (count, bound) in self.beyond.iter_mut().zip(LATENESS_BOUNDS) {
                *count += u64::from(late > bound);
            }
        }
    }
}

/// What became of the wire packets that were offered to a line.
///
/// At any time `offered + duplicated` is the sum of `delivered`, `lost`, `queue_dropped`, `early_dropped`, `no_buffer`,
/// `cleared` and `backlog`, in packets and in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LineStatistics {
    /// Offered.
    pub offered: Count,
    /// Taken, copies included.
    pub delivered: Count,
    /// Lost on the way, as the profile asks.
    pub lost: Count,
    /// Found the queue full.
    pub queue_dropped: Count,
    /// Dropped by RED or CoDel.
    pub early_dropped: Count,
    /// Dropped because the line or the packet pool had no room for more that is under way, or the segment could not be cut.
    pub no_buffer: Count,
    /// Under way when the line was cleared.
    pub cleared: Count,
    /// Marked (ECN) instead of dropped.
    pub marked: Count,
    /// Had a bit flipped.
    pub corrupted: Count,
    /// Copies that were made.
    pub duplicated: Count,
    /// Overtook others.
    pub reordered: Count,
    /// In the line now, waiting or under way.
    pub backlog: Count,
    /// Of those, waiting for the rate when the line was last looked at.
    pub waiting: Count,
    /// How late packets were taken.
    pub lateness: Lateness,
}
