//! What one direction of a link does to packets.

use std::time::Duration;

use crate::quantity::{Extent, Probability, Rate, Written};

/// Highest rate.
pub const MAX_RATE: Rate = Rate(400_000_000_000);
/// Longest delay, and longest jitter.
pub const MAX_DELAY: Duration = Duration::from_secs(600);
/// Packets that wait for a rate unless the profile says otherwise.
pub const DEFAULT_QUEUE: u32 = 1_000;
/// Longest queue in packets.
pub const MAX_QUEUE_PACKETS: u32 = 1_000_000;
/// Longest queue in bytes.
pub const MAX_QUEUE_BYTES: u64 = 1_000_000_000;
/// Longest period of a pattern of losses, in packets.
pub const MAX_PATTERN: u32 = 1_000_000;
/// Most runs of lost packets within a pattern.
const MAX_PATTERN_RUNS: usize = 1_000;

/// What one direction of a link does to packets; the default is a perfect cable.
///
/// Its text is `key=value` words, as [`crate::KEYS`] lists them; in a map they are the map's keys.
///
/// ```
/// use heddle_link::Profile;
///
/// let profile: Profile = "rate=100mbit delay=10ms loss=1%".parse()?;
/// assert_eq!(profile.delay.as_millis(), 10);
/// assert_eq!(profile.to_string(), "rate=100mbit,delay=10ms,loss=1%");
/// # Ok::<(), heddle_link::ProfileError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Profile {
    /// Bits per second of frames without their FCS; unlimited if `None`.
    pub rate: Option<Rate>,
    /// Time that a packet is under way after its transmission.
    pub delay: Duration,
    /// How much the delay varies: half its range if uniform, its standard deviation otherwise.
    pub jitter: Duration,
    /// How the delay varies.
    pub distribution: Distribution,
    /// Which packets are lost on the way.
    pub loss: Loss,
    /// How likely a packet overtakes those under way: it skips the delay.
    pub reorder: Probability,
    /// How likely a packet arrives twice.
    pub duplicate: Probability,
    /// How likely a bit of a packet is flipped.
    pub corrupt: Probability,
    /// Where packets wait for the rate. Without a rate none waits.
    pub queue: Queue,
}

/// How jitter is distributed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Distribution {
    /// Each value within `delay ± jitter` is as likely.
    #[default]
    Uniform,
    /// The normal distribution, cut at four standard deviations.
    Normal,
    /// A Pareto distribution of shape 3 about its mean, cut at ten standard deviations: most packets are a little early, few
    /// are very late.
    Pareto,
    /// A quarter normal and three quarters Pareto, summed.
    ParetoNormal,
}

/// Which packets are lost.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Loss {
    /// None.
    #[default]
    None,
    /// Each with this probability.
    Independent(Probability),
    /// In bursts: the model of Gilbert and Elliott, a chain of a good and a bad state that may change after each packet.
    Burst {
        /// How likely the state becomes bad (p).
        to_bad: Probability,
        /// How likely the state becomes good again (r).
        to_good: Probability,
        /// How likely a packet is lost in the good state (1 - k).
        good: Probability,
        /// How likely a packet is lost in the bad state (1 - h).
        bad: Probability,
    },
    /// Exactly these.
    Pattern(Pattern),
}

/// Which packets of each period are lost, counted from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    period: u32,
    /// First and last of each run; in order, apart, within the period.
    runs: Box<[(u32, u32)]>,
}

/// Where packets wait for the rate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Queue {
    /// Most packets that wait. [`DEFAULT_QUEUE`] where there is no limit of bytes either.
    pub packets: Option<u32>,
    /// Most bytes that wait.
    pub bytes: Option<u64>,
    /// How the queue is kept short.
    pub discipline: Discipline,
    /// Whether packets that can be marked (ECN, RFC 3168) are, where the discipline would drop them early.
    pub ecn: bool,
}

/// How a queue is kept short.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Discipline {
    /// It is not: packets that find it full are dropped.
    #[default]
    DropTail,
    /// Random Early Detection (Floyd and Jacobson 1993).
    Red {
        /// Below this average no packet is dropped.
        min: Extent,
        /// From this average on every packet is.
        max: Extent,
        /// How likely a packet is dropped as the average comes near `max`.
        probability: Probability,
        /// Weight of the newest length in the average.
        weight: Probability,
    },
    /// Controlled Delay (RFC 8289).
    CoDel {
        /// Time that packets may wait in the long run.
        target: Duration,
        /// Time that they may wait longer before one is dropped.
        interval: Duration,
    },
}

impl Discipline {
    /// RED's weight unless it is said (Floyd and Jacobson 1993, section VI).
    pub const RED_WEIGHT: Probability = match Probability::from_billionths(2_000_000) {
        Some(weight) => weight,
        None => Probability::NEVER,
    };
    /// CoDel with the times of RFC 8289 (sections 4.3 and 4.4): 5 and 100 ms.
    pub const CODEL: Self =
        Self::CoDel { target: Duration::from_millis(5), interval: Duration::from_millis(100) };
}

/// Why a profile is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProfileError {
    /// A key that there is not.
    #[error("a link has no {key:?}; it has {known}")]
    Unknown {
        /// The key.
        key: String,
        /// Keys that there are.
        known: String,
    },
    /// A key without a value.
    #[error("{key} of a link needs a value, as in {example}")]
    Bare {
        /// The key.
        key: &'static str,
        /// How it is written.
        example: &'static str,
    },
    /// A value that cannot be read or is out of bounds.
    #[error("{key}={value} of a link: {remedy}")]
    Value {
        /// The key.
        key: &'static str,
        /// The value.
        value: String,
        /// What would be right.
        remedy: &'static str,
    },
    /// Two keys that set the same thing.
    #[error("{first} and {second} of a link set the same thing; say one of them")]
    Twice {
        /// One.
        first: &'static str,
        /// The other.
        second: &'static str,
    },
    /// Longer than any profile need be.
    #[error("a link is described by at most {0} bytes of text")]
    Long(usize),
}

impl ProfileError {
    fn value(key: &'static str, value: impl ToString, remedy: &'static str) -> Self {
        Self::Value { key, value: value.to_string(), remedy }
    }
}

impl Pattern {
    /// The pattern that loses packets `runs` (first and last, from 1) of every `period`. Runs may come in any order and
    /// overlap; `None` if they are empty, too many, or not within the period, or the period is longer than [`MAX_PATTERN`].
    pub fn new(period: u32, runs: impl IntoIterator<Item = (u32, u32)>) -> Option<Self> {
        let mut sorted: Vec<(u32, u32)> = runs.into_iter().take(MAX_PATTERN_RUNS + 1).collect();
        sorted.sort_unstable();
        let sane = |&(first, last): &(u32, u32)| 1 <= first && first <= last && last <= period;
        let fits = (1..=MAX_PATTERN_RUNS).contains(&sorted.len()) && period <= MAX_PATTERN;
        if !fits || !sorted.iter().all(sane) {
            return None;
        }
        let mut runs: Vec<(u32, u32)> = Vec::with_capacity(sorted.len());
        for (first, last) in sorted {
            match runs.last_mut() {
                Some(before) if first <= before.1 + 1 => before.1 = before.1.max(last),
                _ => runs.push((first, last)),
            }
        }
        Some(Self { period, runs: runs.into() })
    }

    /// Packets of a period.
    pub fn period(&self) -> u32 {
        self.period
    }

    /// First and last of each run of lost packets, in order.
    pub fn runs(&self) -> &[(u32, u32)] {
        &self.runs
    }

    /// Whether the packet with this number, counted from 0, is lost.
    #[inline]
    pub(crate) fn loses(&self, number: u64) -> bool {
        let place = (number % u64::from(self.period)) as u32 + 1;
        let after = self.runs.partition_point(|&(first, _)| first <= place);
        after != 0 && place <= self.runs[after - 1].1
    }
}

impl Queue {
    /// Most packets and bytes that wait, the default included.
    pub(crate) fn limits(&self) -> (u32, u64) {
        let packets = if self.bytes.is_some() { MAX_QUEUE_PACKETS } else { DEFAULT_QUEUE };
        (self.packets.unwrap_or(packets), self.bytes.unwrap_or(u64::MAX))
    }
}

impl Profile {
    /// Whether packets pass as if there were no link. What waits for a rate is no matter then: none does.
    pub fn is_perfect(&self) -> bool {
        let harmless = Self { queue: self.queue, distribution: self.distribution, ..Self::default() };
        *self == harmless
    }

    /// Whether all values are within their bounds and agree with each other.
    ///
    /// # Errors
    /// The first that is not, with the remedy.
    pub fn validate(&self) -> Result<(), ProfileError> {
        if let Some(rate) = self.rate.filter(|rate| *rate < Rate(1) || *rate > MAX_RATE) {
            return Err(ProfileError::value(
                "rate",
                rate,
                "a rate is from 1bit to 400gbit; rate=none lifts it",
            ));
        }
        for (key, value) in [("delay", self.delay), ("jitter", self.jitter)] {
            if value > MAX_DELAY {
                return Err(ProfileError::value(key, Written(value), "at most 10min"));
            }
        }
        if self.reorder != Probability::NEVER && self.delay.is_zero() {
            let remedy = "a packet overtakes others by skipping their delay; give the link a delay";
            return Err(ProfileError::value("reorder", self.reorder, remedy));
        }
        self.queue.validate()
    }
}

impl Queue {
    fn validate(&self) -> Result<(), ProfileError> {
        if let Some(packets) = self.packets.filter(|packets| !(1..=MAX_QUEUE_PACKETS).contains(packets)) {
            return Err(ProfileError::value("queue", packets, "from 1 to 1000000 packets"));
        }
        if let Some(bytes) = self.bytes.filter(|bytes| !(1..=MAX_QUEUE_BYTES).contains(bytes)) {
            return Err(ProfileError::value("queue", Extent::Bytes(bytes), "from 1B to 1GB"));
        }
        self.discipline.validate()?;
        if self.ecn && self.discipline == Discipline::DropTail {
            let remedy = "only red and codel mark packets early; add discipline=codel";
            return Err(ProfileError::value("ecn", "on", remedy));
        }
        Ok(())
    }
}

impl Discipline {
    fn validate(&self) -> Result<(), ProfileError> {
        let refused = |remedy| Err(ProfileError::value("discipline", self, remedy));
        match *self {
            Self::DropTail => Ok(()),
            Self::Red { min, max, probability, weight } => {
                let sane = match (min, max) {
                    (Extent::Packets(min), Extent::Packets(max)) => min < max && max <= MAX_QUEUE_PACKETS,
                    (Extent::Bytes(min), Extent::Bytes(max)) => min < max && max <= MAX_QUEUE_BYTES,
                    _ => return refused("both thresholds in packets, or both in bytes"),
                };
                if !sane {
                    return refused("the lower threshold before the higher, which is at most 1000000 or 1GB");
                }
                if probability == Probability::NEVER || weight == Probability::NEVER {
                    return refused("the probability and the weight are above zero");
                }
                Ok(())
            }
            Self::CoDel { target, interval } => {
                if target.is_zero() || target >= interval || interval > MAX_DELAY {
                    return refused("a target above zero and below the interval, which is at most 10min");
                }
                Ok(())
            }
        }
    }
}
