//! Dice whose n-th throw is a function of the seed and of n.
//!
//! A generator with a state would tie each packet's fate to how many numbers were drawn before it. Here each kind of throw has
//! a stream of its own, and a number of the stream is computed from the packet's number: SplitMix64 (Steele, Lea and Flood
//! 2014), whose state is a counter, entered at a place. So changing one probability leaves the other fates as they were.

use std::sync::LazyLock;
use std::time::Duration;

use crate::class::{CLASSES, Class};
use crate::profile::{Distribution, Loss, Profile};
use crate::quantity::Probability;

/// The increment of SplitMix64.
const GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;

/// What is thrown for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Throw {
    /// Whether a packet is lost.
    Loss,
    /// Whether the line turns good or bad.
    Turn,
    /// How much the delay varies.
    Jitter,
    /// The second part of a sum of two.
    SecondJitter,
    /// Whether it overtakes.
    Reorder,
    /// Whether it arrives twice.
    Duplicate,
    /// Whether a bit is flipped.
    Corrupt,
    /// Which bit.
    Bit,
    /// Whether RED drops it.
    Early,
}

const THROWS: usize = Throw::Early as usize + 1;

/// A probability, ready to be compared with: a throw's upper 63 bits are below it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Chance(u64);

impl Chance {
    pub fn new(probability: Probability) -> Self {
        Self(((u128::from(probability.billionths()) << 63) / 1_000_000_000) as u64)
    }

    /// From a number from 0 to 1.
    pub fn of(value: f64) -> Self {
        Self((value.clamp(0.0, 1.0) * (1u64 << 63) as f64) as u64)
    }

    #[inline]
    pub fn hit(self, throw: u64) -> bool {
        throw >> 1 < self.0
    }

    #[inline]
    pub fn is_never(self) -> bool {
        self.0 == 0
    }
}

/// A line's dice.
pub(crate) struct Dice {
    streams: [[u64; THROWS]; CLASSES],
}

/// The output function of SplitMix64.
#[inline]
fn mix(mut value: u64) -> u64 {
    value = (value ^ value >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ value >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ value >> 31
}

impl Dice {
    pub fn new(seed: u64) -> Self {
        let stream = |class: usize, throw: usize| {
            mix(mix(seed.wrapping_add(GAMMA)) ^ ((class * 256 + throw + 1) as u64).wrapping_mul(GAMMA))
        };
        let streams = |class| std::array::from_fn(|throw| stream(class, throw));
        Self { streams: std::array::from_fn(streams) }
    }

    /// The throw for a packet.
    #[inline]
    pub fn throw(&self, class: Class, throw: Throw, number: u64) -> u64 {
        mix(self.streams[class as usize][throw as usize].wrapping_add(number.wrapping_mul(GAMMA)))
    }
}

/// What a profile says of each packet, ready to be thrown for.
pub(crate) struct Fates {
    loss: LossFate,
    reorder: Chance,
    duplicate: Chance,
    corrupt: Chance,
    jitter: u64,
    distribution: Distribution,
}

enum LossFate {
    None,
    Independent(Chance),
    Burst { to_bad: Chance, to_good: Chance, good: Chance, bad: Chance },
    Pattern(crate::profile::Pattern),
}

impl Fates {
    pub fn new(profile: &Profile) -> Self {
        let loss = match &profile.loss {
            Loss::None => LossFate::None,
            Loss::Independent(chance) => LossFate::Independent(Chance::new(*chance)),
            Loss::Burst { to_bad, to_good, good, bad } => LossFate::Burst {
                to_bad: Chance::new(*to_bad),
                to_good: Chance::new(*to_good),
                good: Chance::new(*good),
                bad: Chance::new(*bad),
            },
            Loss::Pattern(pattern) => LossFate::Pattern(pattern.clone()),
        };
        Self {
            loss,
            reorder: Chance::new(profile.reorder),
            duplicate: Chance::new(profile.duplicate),
            corrupt: Chance::new(profile.corrupt),
            jitter: nanos(profile.jitter),
            distribution: profile.distribution,
        }
    }

    /// Whether a packet is lost; `bad` is the state of the line, which is turned. To be asked once for each packet, in order.
    #[inline]
    pub fn loses(&self, dice: &Dice, class: Class, number: u64, bad: &mut bool) -> bool {
        let throw = |what| dice.throw(class, what, number);
        match &self.loss {
            LossFate::None => false,
            LossFate::Independent(chance) => chance.hit(throw(Throw::Loss)),
            LossFate::Pattern(pattern) => pattern.loses(number),
            LossFate::Burst { to_bad, to_good, good, bad: lossy } => {
                let (lost, turns) = if *bad { (lossy, to_good) } else { (good, to_bad) };
                *bad ^= turns.hit(throw(Throw::Turn));
                lost.hit(throw(Throw::Loss))
            }
        }
    }

    #[inline]
    pub fn overtakes(&self, dice: &Dice, class: Class, number: u64) -> bool {
        !self.reorder.is_never() && self.reorder.hit(dice.throw(class, Throw::Reorder, number))
    }

    #[inline]
    pub fn doubles(&self, dice: &Dice, class: Class, number: u64) -> bool {
        !self.duplicate.is_never() && self.duplicate.hit(dice.throw(class, Throw::Duplicate, number))
    }

    #[inline]
    pub fn corrupts(&self, dice: &Dice, class: Class, number: u64) -> bool {
        !self.corrupt.is_never() && self.corrupt.hit(dice.throw(class, Throw::Corrupt, number))
    }

    /// What is added to a packet's delay, in nanoseconds.
    #[inline]
    pub fn jitter(&self, dice: &Dice, class: Class, number: u64) -> i64 {
        if self.jitter == 0 {
            return 0;
        }
        let throw = |what| dice.throw(class, what, number);
        let scaled = |value: i64| ((i128::from(value) * i128::from(self.jitter)) >> FRACTION) as i64;
        match self.distribution {
            Distribution::Uniform => {
                let wide = u128::from(self.jitter * 2 + 1) * u128::from(throw(Throw::Jitter));
                (wide >> 64) as i64 - self.jitter as i64
            }
            Distribution::Normal => scaled(NORMAL.value(throw(Throw::Jitter))),
            Distribution::Pareto => scaled(PARETO.value(throw(Throw::Jitter))),
            Distribution::ParetoNormal => {
                let (normal, pareto) =
                    (NORMAL.value(throw(Throw::SecondJitter)), PARETO.value(throw(Throw::Jitter)));
                // A quarter and three quarters, over the root of the sum of their squares.
                scaled((normal * 1_000_000 + pareto * 3_000_000) / 3_162_278)
            }
        }
    }

    /// The least that [`Fates::jitter`] gives.
    pub fn least_jitter(&self) -> i64 {
        let jitter = self.jitter as i64;
        match self.distribution {
            Distribution::Uniform => -jitter,
            _ => jitter.saturating_mul(-5),
        }
    }
}

/// A time as the line counts it.
pub(crate) fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Intervals of a table of quantiles.
const INTERVALS: usize = 1024;
/// Bits of a quantile's fraction.
const FRACTION: u32 = 24;

/// Quantiles of a distribution of mean 0 and standard deviation 1, between which values are interpolated.
struct Quantiles([i32; INTERVALS + 1]);

static NORMAL: LazyLock<Quantiles> =
    LazyLock::new(|| Quantiles::new(|u| normal_quantile(u).clamp(-4.0, 4.0)));
static PARETO: LazyLock<Quantiles> = LazyLock::new(|| {
    let deviation = 0.75f64.sqrt();
    Quantiles::new(|u| (((1.0 - u).powf(-1.0 / 3.0) - 1.5) / deviation).min(10.0))
});

impl Quantiles {
    fn new(quantile: impl Fn(f64) -> f64) -> Self {
        let values: [f64; INTERVALS + 1] = std::array::from_fn(|at| quantile(at as f64 / INTERVALS as f64));
        // Cut tails and straight lines between quantiles have moved the moments a little.
        let each = |moment: fn(f64, f64) -> f64| {
            values.windows(2).map(|pair| moment(pair[0], pair[1])).sum::<f64>() / INTERVALS as f64
        };
        let mean = each(|a, b| (a + b) / 2.0);
        let deviation = (each(|a, b| (a * a + a * b + b * b) / 3.0) - mean * mean).sqrt();
        let fixed = |value: f64| ((value - mean) / deviation * f64::from(1 << FRACTION)).round() as i32;
        Self(values.map(fixed))
    }

    /// The value at a throw.
    #[inline]
    fn value(&self, throw: u64) -> i64 {
        let at = (throw >> 54) as usize;
        let between = (throw >> 22 & 0xffff_ffff) as i64;
        let (low, high) = (i64::from(self.0[at]), i64::from(self.0[at + 1]));
        low + (((high - low) * between) >> 32)
    }
}

/// The normal distribution's quantile, by bisection of its integral, which is needed a thousand times in all.
fn normal_quantile(u: f64) -> f64 {
    let (mut low, mut high) = (-8.0f64, 8.0f64);
    for _ in 0..60 {
        let middle = (low + high) / 2.0;
        if normal_integral(middle) < u { low = middle } else { high = middle }
    }
    (low + high) / 2.0
}

/// The normal distribution's integral by its series (Abramowitz and Stegun 26.2.10).
fn normal_integral(x: f64) -> f64 {
    let (mut term, mut sum, mut n) = (x, x, 0.0);
    while term.abs() > 1e-17 * sum.abs() && n < 400.0 {
        n += 1.0;
        term *= -x * x * (2.0 * n - 1.0) / (2.0 * n * (2.0 * n + 1.0));
        sum += term;
    }
    (0.5 + sum / (2.0 * std::f64::consts::PI).sqrt()).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moments(distribution: Distribution) -> (f64, f64) {
        let jitter = Duration::from_millis(1);
        let fates = Fates::new(&Profile { jitter, distribution, ..Profile::default() });
        let (dice, count) = (Dice::new(1), 200_000);
        let values = (0..count).map(|number| fates.jitter(&dice, Class::Programs, number) as f64 / 1e6);
        let (sum, squares) = values.fold((0.0, 0.0), |(sum, squares), x| (sum + x, squares + x * x));
        let mean = sum / count as f64;
        (mean, (squares / count as f64 - mean * mean).sqrt())
    }

    /// Of 200,000 values: the mean within four standard errors, the deviation within 2 % (10 % where the tail is heavy).
    #[test]
    fn jitter_has_the_moments_it_should_have() {
        for (distribution, expected, within) in [
            (Distribution::Uniform, 1.0 / 3f64.sqrt(), 0.02),
            (Distribution::Normal, 1.0, 0.02),
            (Distribution::Pareto, 1.0, 0.1),
            (Distribution::ParetoNormal, 1.0, 0.1),
        ] {
            let (mean, deviation) = moments(distribution);
            assert!(mean.abs() < 4.0 / 200_000f64.sqrt(), "{distribution:?} {mean}");
            assert!((deviation / expected - 1.0).abs() < within, "{distribution:?} {deviation}");
        }
    }

    #[test]
    fn the_normal_distribution_is_the_tables() {
        for (x, u) in [(0.0, 0.5), (1.0, 0.841_344_746), (-2.0, 0.022_750_132), (3.0, 0.998_650_102)] {
            assert!((normal_integral(x) - u).abs() < 1e-8 && (normal_quantile(u) - x).abs() < 1e-5, "{x}");
        }
        // The share within one deviation, as thrown.
        let fates = Fates::new(&Profile {
            jitter: Duration::from_millis(1),
            distribution: Distribution::Normal,
            ..Profile::default()
        });
        let dice = Dice::new(2);
        let within = (0..100_000).filter(|&n| fates.jitter(&dice, Class::Programs, n).abs() < 1_000_000);
        assert!((67_900..68_700).contains(&within.count()));
    }

    #[test]
    fn certainty_and_impossibility_are_just_that() {
        for throw in [0, 1, u64::MAX - 1, u64::MAX] {
            assert!(Chance::new(Probability::ALWAYS).hit(throw) && Chance::of(1.0).hit(throw));
            assert!(!Chance::new(Probability::NEVER).hit(throw) && !Chance::of(0.0).hit(throw));
        }
    }
}
