//! Meters: how many packets or bits a second may pass (OpenFlow 1.3.5 section 5.7).
//!
//! A band is a token bucket in the form of the generic cell rate algorithm: one atomic number says when the bucket would be
//! full again, so that any thread meters without a lock and without allocating. Time is passed in; buckets begin full.

use std::sync::atomic::{AtomicU64, Ordering};

/// Parts of a nanosecond that times are kept in, so that even a small packet at a high rate takes a whole number of them.
const PARTS: u64 = 16;
/// Such parts in a second and in a millisecond.
const SECOND: u64 = 1_000_000_000 * PARTS;
const MILLISECOND: u64 = SECOND / 1000;

/// What a meter's rates and bursts count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Packets.
    Packets,
    /// Kilobits (1,000 bits) of whole frames.
    Kilobits,
}

/// What a band does with packets beyond its rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BandKind {
    /// Drops them.
    Drop,
    /// Raises the drop precedence in their DSCP by so many levels.
    Remark(u8),
}

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It passes.
    Pass,
    /// It is dropped.
    Drop,
    /// It passes with its drop precedence raised by so many levels.
    Remark(u8),
}

/// A band: a rate, and what becomes of packets beyond it.
#[derive(Debug)]
pub struct Band {
    /// What it does.
    pub kind: BandKind,
    /// Units a second.
    pub rate: u32,
    /// Units at once, after a rest.
    pub burst: u32,
    /// When the bucket is full, in parts of a nanosecond of the datapath's clock.
    full_at: AtomicU64,
    /// Packets beyond the rate.
    pub packets: AtomicU64,
    /// Their bytes.
    pub bytes: AtomicU64,
}

impl Band {
    /// A band whose bucket is full.
    #[must_use]
    pub fn new(kind: BandKind, rate: u32, burst: u32) -> Self {
        let (full_at, packets, bytes) = Default::default();
        Self { kind, rate, burst, full_at, packets, bytes }
    }

    /// Takes `cost` units of a thousandth each out of the bucket; false, and it is left as it was, if there are not so many.
    fn take(&self, cost: u64, now_ms: u64) -> bool {
        if self.rate == 0 {
            return false;
        }
        let time_of = |milli_units: u64| {
            let parts = u128::from(milli_units) * u128::from(SECOND / 1000) / u128::from(self.rate);
            u64::try_from(parts).unwrap_or(u64::MAX)
        };
        let (now, depth, cost) =
            (now_ms.saturating_mul(MILLISECOND), time_of(u64::from(self.burst) * 1000), time_of(cost));
        let take = |full_at: u64| {
            let next = full_at.max(now).checked_add(cost)?;
            (next - now <= depth).then_some(next)
        };
        self.full_at.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok()
    }
}

/// A meter.
#[derive(Debug)]
pub struct Meter {
    /// Its number.
    pub id: u32,
    /// What its rates and bursts count.
    pub unit: Unit,
    /// Its bands.
    pub bands: Box<[Band]>,
    /// Packets that came to it.
    pub packets: AtomicU64,
    /// Their bytes.
    pub bytes: AtomicU64,
}

impl Meter {
    /// A meter.
    #[must_use]
    pub fn new(id: u32, unit: Unit, bands: Vec<Band>) -> Self {
        Self { id, unit, bands: bands.into(), packets: AtomicU64::new(0), bytes: AtomicU64::new(0) }
    }

    /// Whether it may change packets.
    #[must_use]
    pub fn remarks(&self) -> bool {
        self.bands.iter().any(|band| matches!(band.kind, BandKind::Remark(_)))
    }

    /// Meters a packet of so many bytes: of the bands whose rate it is beyond, the one with the highest rate acts.
    pub fn pass(&self, bytes: u64, now_ms: u64) -> Verdict {
        self.packets.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        // A kilobit is a thousand bits, and a packet a thousand thousandths.
        let cost = match self.unit {
            Unit::Packets => 1000,
            Unit::Kilobits => bytes * 8,
        };
        let beyond = self.bands.iter().filter(|band| !band.take(cost, now_ms));
        let Some(band) = beyond.max_by_key(|band| band.rate) else { return Verdict::Pass };
        band.packets.fetch_add(1, Ordering::Relaxed);
        band.bytes.fetch_add(bytes, Ordering::Relaxed);
        match band.kind {
            BandKind::Drop => Verdict::Drop,
            BandKind::Remark(levels) => Verdict::Remark(levels),
        }
    }
}

/// A meter is the same only as itself: its buckets are its own.
impl PartialEq for Meter {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self, other)
    }
}

impl Eq for Meter {}

/// The DSCP of a packet whose drop precedence is raised by so many levels. Only the classes of assured forwarding have one
/// (RFC 2597): their third and fourth bit are 1 to 3, and the last is 0.
#[must_use]
pub fn remarked(dscp: u8, levels: u8) -> u8 {
    let (class, precedence, last) = (dscp >> 3, dscp >> 1 & 3, dscp & 1);
    if !(1..=4).contains(&class) || precedence == 0 || last != 0 {
        return dscp;
    }
    class << 3 | precedence.saturating_add(levels).min(3) << 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passed(meter: &Meter, bytes: u64, now_ms: u64, tries: u32) -> usize {
        (0..tries).filter(|_| meter.pass(bytes, now_ms) == Verdict::Pass).count()
    }

    #[test]
    fn packets_pass_at_their_rate_after_a_burst() {
        let meter = Meter::new(1, Unit::Packets, vec![Band::new(BandKind::Drop, 100, 5)]);
        assert_eq!(passed(&meter, 1500, 0, 20), 5);
        assert_eq!(passed(&meter, 64, 9, 20), 0, "the next is due after ten milliseconds");
        assert_eq!(passed(&meter, 64, 10, 20), 1);
        assert_eq!(passed(&meter, 64, 40, 20), 3);
        assert_eq!(passed(&meter, 64, 60_000, 20), 5, "no more are saved than the burst");
        assert_eq!(meter.packets.load(Ordering::Relaxed), 100);
        assert_eq!(meter.bands[0].packets.load(Ordering::Relaxed), 100 - 14);
    }

    #[test]
    fn bits_pass_at_their_rate() {
        // A thousand kilobits a second are 125,000 bytes.
        let meter = Meter::new(1, Unit::Kilobits, vec![Band::new(BandKind::Drop, 1000, 8)]);
        assert_eq!(passed(&meter, 1000, 0, 9), 1);
        assert_eq!(passed(&meter, 125, 4, 9), 4, "125 bytes a millisecond");
        let sent: usize = (5..10_005).map(|now| passed(&meter, 250, now, 3) * 250).sum();
        assert!((1_249_500..=1_251_000).contains(&sent), "{sent}");
    }

    #[test]
    fn of_the_bands_exceeded_the_highest_acts() {
        let bands = vec![Band::new(BandKind::Remark(1), 10, 10), Band::new(BandKind::Drop, 20, 20)];
        let meter = Meter::new(1, Unit::Packets, bands);
        let verdicts: Vec<Verdict> = (0..25).map(|_| meter.pass(100, 0)).collect();
        assert!(verdicts[..10].iter().all(|verdict| *verdict == Verdict::Pass));
        assert!(verdicts[10..20].iter().all(|verdict| *verdict == Verdict::Remark(1)));
        assert!(verdicts[20..].iter().all(|verdict| *verdict == Verdict::Drop));
    }

    #[test]
    fn nothing_passes_a_rate_of_zero_and_no_rate_overflows() {
        let none = Meter::new(1, Unit::Packets, vec![Band::new(BandKind::Drop, 0, 10)]);
        assert_eq!(passed(&none, 100, 0, 3), 0);
        let most = Meter::new(1, Unit::Kilobits, vec![Band::new(BandKind::Drop, u32::MAX, u32::MAX)]);
        assert_eq!(passed(&most, u64::MAX / 8, u64::MAX / 2, 3), 0);
        assert_eq!(passed(&most, 65_535, 7, 1000), 1000);
    }

    #[test]
    fn only_assured_forwarding_has_a_drop_precedence() {
        // AF11, AF12, AF13 are 10, 12, 14 (RFC 2597 section 6).
        assert_eq!([10, 12, 14].map(|dscp| remarked(dscp, 1)), [12, 14, 14]);
        assert_eq!(remarked(34, 2), 38);
        // Best effort, expedited forwarding, class selector 6.
        assert_eq!([0, 46, 48].map(|dscp| remarked(dscp, 1)), [0, 46, 48]);
    }

    #[test]
    fn threads_share_a_bucket() {
        let meter = Meter::new(1, Unit::Packets, vec![Band::new(BandKind::Drop, 1000, 1000)]);
        let total: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| passed(&meter, 64, 5, 1000))).collect();
            threads.into_iter().map(|thread| thread.join().expect("it does not panic")).sum()
        });
        assert_eq!(total, 1000);
    }
}
