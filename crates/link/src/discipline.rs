//! RED and CoDel: who is dropped, or marked, before a queue is full.

use std::time::Duration;

use crate::dice::{Chance, nanos};
use crate::profile::Discipline;
use crate::quantity::{Extent, Probability};

/// What a discipline says of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Pass,
    /// Dropped, or marked where the packet can be.
    Drop,
    Mark,
}

/// Length of a queue.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Length {
    pub packets: u64,
    pub bytes: u64,
}

/// A discipline and its state.
pub(crate) enum Keeper {
    DropTail,
    Red(Red),
    CoDel(CoDel),
}

impl Keeper {
    pub fn new(discipline: Discipline) -> Self {
        match discipline {
            Discipline::DropTail => Self::DropTail,
            Discipline::Red { min, max, probability, weight } => {
                Self::Red(Red::new(min, max, probability, weight))
            }
            Discipline::CoDel { target, interval } => Self::CoDel(CoDel::new(target, interval)),
        }
    }
}

/// Random Early Detection: Floyd and Jacobson, "Random Early Detection Gateways for Congestion Avoidance", 1993, figure 2, but
/// that packets are counted as section VII has it: those that passed since the last drop. The figure counts the arriving one too,
/// so that drops come a packet closer than derived.
pub(crate) struct Red {
    min: f64,
    max: f64,
    by_bytes: bool,
    probability: f64,
    weight: f64,
    average: f64,
    /// Packets that passed since the last drop while the average was between the thresholds.
    passed: u64,
}

/// Bytes of the small packet whose transmission time measures idle time (section IV).
const SMALL_PACKET: u64 = 500;

impl Red {
    fn new(min: Extent, max: Extent, probability: Probability, weight: Probability) -> Self {
        let size = |extent| match extent {
            Extent::Packets(packets) => f64::from(packets),
            Extent::Bytes(bytes) => bytes as f64,
        };
        let by_bytes = matches!(min, Extent::Bytes(_));
        let (probability, weight) = (probability.value(), weight.value());
        Self { min: size(min), max: size(max), by_bytes, probability, weight, average: 0.0, passed: 0 }
    }

    /// The length of the packet that measures idle time.
    pub fn small_packet() -> u64 {
        SMALL_PACKET
    }

    /// A packet arrives and finds `length`; the server was idle for `idle` small packets' time if that is zero.
    pub fn arrival(&mut self, length: Length, idle: u64, throw: u64, can_mark: bool) -> Verdict {
        let length = if self.by_bytes { length.bytes } else { length.packets } as f64;
        if length == 0.0 {
            self.average *= (1.0 - self.weight).powi(i32::try_from(idle).unwrap_or(i32::MAX));
        }
        self.average += self.weight * (length - self.average);
        let dropped = if self.average < self.min {
            false
        } else if self.average >= self.max {
            true
        } else {
            let base = self.probability * (self.average - self.min) / (self.max - self.min);
            let left = 1.0 - self.passed as f64 * base;
            left <= base || Chance::of(base / left).hit(throw)
        };
        let between = self.average >= self.min && !dropped;
        self.passed = if between { self.passed + 1 } else { 0 };
        match dropped {
            false => Verdict::Pass,
            true if can_mark => Verdict::Mark,
            true => Verdict::Drop,
        }
    }
}

/// Controlled Delay: RFC 8289 section 5, with the queue's loop turned inside out: it is asked for each packet that leaves.
pub(crate) struct CoDel {
    target: u64,
    interval: u64,
    /// When the sojourn time will have been above the target for an interval; zero while it is not.
    first_above: u64,
    drop_next: u64,
    count: u32,
    last_count: u32,
    dropping: bool,
    after: After,
    /// The largest packet seen: a queue of no more is never dropped from.
    largest: u64,
}

/// What was decided for the packet before, where it bears on the next one.
#[derive(Clone, Copy, PartialEq, Eq)]
enum After {
    Nothing,
    /// The drop that began dropping: the packet that leaves in its stead is spared.
    First,
    /// Another drop: the time of the next follows if this packet, too, waited too long.
    Drop,
}

impl CoDel {
    fn new(target: Duration, interval: Duration) -> Self {
        Self {
            target: nanos(target),
            interval: nanos(interval),
            first_above: 0,
            drop_next: 0,
            count: 0,
            last_count: 0,
            dropping: false,
            after: After::Nothing,
            largest: 0,
        }
    }

    /// A packet of `bytes` leaves the queue, where it was for `sojourn`, and leaves `behind` bytes there.
    pub fn departure(&mut self, now: u64, sojourn: u64, bytes: u64, behind: u64, can_mark: bool) -> Verdict {
        self.largest = self.largest.max(bytes);
        let too_long = self.too_long(now, sojourn, behind);
        let after = std::mem::replace(&mut self.after, After::Nothing);
        if after == After::First {
            return Verdict::Pass;
        }
        if self.dropping {
            if !too_long {
                self.dropping = false;
                return Verdict::Pass;
            }
            if after == After::Drop {
                self.drop_next = self.next_drop(self.drop_next);
            }
            if now < self.drop_next {
                return Verdict::Pass;
            }
            self.count = self.count.saturating_add(1);
            if can_mark {
                self.drop_next = self.next_drop(self.drop_next);
                return Verdict::Mark;
            }
            self.after = After::Drop;
            return Verdict::Drop;
        }
        if !too_long {
            return Verdict::Pass;
        }
        self.dropping = true;
        // Soon after dropping ended it goes on at the rate that was enough then.
        let delta = self.count.saturating_sub(self.last_count);
        let recent = now.saturating_sub(self.drop_next) < self.interval.saturating_mul(16);
        self.count = if delta > 1 && recent { delta } else { 1 };
        self.last_count = self.count;
        self.drop_next = self.next_drop(now);
        if can_mark {
            return Verdict::Mark;
        }
        self.after = After::First;
        Verdict::Drop
    }

    /// Whether packets waited longer than the target for a whole interval.
    fn too_long(&mut self, now: u64, sojourn: u64, behind: u64) -> bool {
        if sojourn < self.target || behind <= self.largest {
            self.first_above = 0;
            return false;
        }
        if self.first_above == 0 {
            self.first_above = now.saturating_add(self.interval);
            return false;
        }
        now >= self.first_above
    }

    /// The control law: drops come closer by the root of their count.
    fn next_drop(&self, time: u64) -> u64 {
        time.saturating_add((self.interval as f64 / f64::from(self.count.max(1)).sqrt()) as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::class::Class;
    use crate::dice::{Dice, Throw};

    fn percent(value: u32) -> Probability {
        Probability::from_percent(value).unwrap()
    }

    /// Floyd and Jacobson, section VII: at a constant average the packets between two drops are uniform on 1 to 1/p, here 1 to 20
    /// with a mean of 10.5 (within 3 %), where throwing for each packet alone would be geometric, without an upper end.
    #[test]
    fn red_spaces_its_drops_evenly() {
        // A weight of 100 % makes the average the length: half way between the thresholds, half of 10 %.
        let mut red = Red::new(Extent::Packets(100), Extent::Packets(200), percent(10), percent(100));
        let (dice, mut gaps, mut last) = (Dice::new(1), Vec::new(), 0);
        for n in 1..200_000 {
            let throw = dice.throw(Class::Programs, Throw::Early, n);
            let length = Length { packets: 150, bytes: 0 };
            if red.arrival(length, 0, throw, false) == Verdict::Drop {
                gaps.push(n - last);
                last = n;
            }
        }
        assert!(gaps.iter().skip(1).all(|gap| (1..=20).contains(gap)));
        let mean = gaps.iter().sum::<u64>() as f64 / gaps.len() as f64;
        assert!((mean / 10.5 - 1.0).abs() < 0.03, "{mean}");
        let short = gaps.iter().filter(|gap| **gap <= 5).count() as f64 / gaps.len() as f64;
        assert!((short - 0.25).abs() < 0.02, "{short}");
    }

    /// Section III: below the lower threshold none is dropped, from the higher on all are, and an idle queue's average decays as
    /// if small packets had come.
    #[test]
    fn red_keeps_to_its_thresholds() {
        let mut red = Red::new(Extent::Bytes(3_000), Extent::Bytes(9_000), percent(2), percent(1));
        let of = |bytes| Length { packets: bytes / 1000, bytes };
        assert!((0..10_000).all(|_| red.arrival(of(2_900), 0, 0, false) == Verdict::Pass));
        for _ in 0..10_000 {
            red.arrival(of(10_000), 0, u64::MAX, false);
        }
        assert_eq!(red.arrival(of(10_000), 0, u64::MAX, true), Verdict::Mark);
        let before = red.average;
        red.arrival(of(0), 100, u64::MAX, false);
        assert!((red.average / (before * 0.99f64.powi(101)) - 1.0).abs() < 1e-9);
    }

    /// RFC 8289 section 3.3: packets that always wait too long are dropped first after an interval, and then at distances of
    /// the interval over the root of the count.
    #[test]
    fn codel_keeps_to_its_control_law() {
        let ms = 1_000_000;
        let mut codel = CoDel::new(Duration::from_millis(5), Duration::from_millis(100));
        let mut drops = Vec::new();
        // Ten thousand packets a second.
        for tick in 1..20_000u64 {
            let now = tick * ms / 10;
            if codel.departure(now, 50 * ms, 1000, 100_000, false) == Verdict::Drop {
                drops.push(now);
            }
        }
        assert_eq!(drops[0], 100 * ms + ms / 10);
        let mut expected = drops[0] as f64;
        for (count, at) in (1u32..).zip(&drops[1..]) {
            expected += 100e6 / f64::from(count).sqrt();
            // A drop waits for the next packet.
            assert!((*at as f64 - expected).abs() < 1e6, "drop {count} at {at}, not at {expected}");
        }
        assert!(drops.len() > 80);
        // One packet in time ends it.
        assert_eq!(codel.departure(2_000 * ms, ms, 1000, 100_000, false), Verdict::Pass);
        assert_eq!(codel.departure(2_001 * ms, 50 * ms, 1000, 100_000, false), Verdict::Pass);
        // A queue of no more than a packet is left alone.
        assert_eq!(codel.departure(2_200 * ms, 50 * ms, 1000, 1000, false), Verdict::Pass);
    }
}
