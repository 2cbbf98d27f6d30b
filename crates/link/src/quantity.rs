//! Quantities and how they are written: rates, probabilities, times, sizes. Decimal fractions are read exactly; nothing goes
//! through floating point, so that what is printed is read as the same.

use std::fmt;
use std::time::Duration;

/// A rate in bits per second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rate(pub u64);

/// A probability, in parts per billion: steps of 0.0000001 per cent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Probability(u32);

/// An amount of packets, counted or weighed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// So many packets.
    Packets(u32),
    /// So many bytes.
    Bytes(u64),
}

/// Parts per billion that are certainty.
const CERTAIN: u32 = 1_000_000_000;

const RATES: &[(&str, u64)] = &[("gbit", 1_000_000_000), ("mbit", 1_000_000), ("kbit", 1_000), ("bit", 1)];
const TIMES: &[(&str, u64)] =
    &[("min", 60_000_000_000), ("s", 1_000_000_000), ("ms", 1_000_000), ("us", 1_000), ("ns", 1)];
const SIZES: &[(&str, u64)] =
    &[("gb", 1_000_000_000), ("mb", 1_000_000), ("kb", 1_000), ("mib", 1 << 20), ("kib", 1 << 10), ("b", 1)];

/// Reads a decimal number with one of `units`, which is matched without regard to case; `bare` is the factor of a number
/// without one. Rounds to the nearest whole; `None` if it is no such number or too large.
fn scaled(text: &str, units: &[(&str, u64)], bare: Option<u64>) -> Option<u64> {
    let split = text.find(|letter: char| !letter.is_ascii_digit() && letter != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let factor = match unit.trim_start() {
        "" => bare?,
        unit => units.iter().find(|(name, _)| unit.eq_ignore_ascii_case(name))?.1,
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() || number.len() > 30 || fraction.contains('.') {
        return None;
    }
    let one = 10u128.pow(u32::try_from(fraction.len()).ok()?);
    let digits: u128 = format!("{whole}{fraction}").parse().ok()?;
    let value = digits.checked_mul(u128::from(factor))?.checked_add(one / 2)? / one;
    u64::try_from(value).ok()
}

/// Writes `value` in the largest of `units` that divides it.
fn in_units(f: &mut fmt::Formatter<'_>, value: u64, units: &[(&str, u64)]) -> fmt::Result {
    let fitting = units.iter().find(|(_, factor)| value != 0 && value.is_multiple_of(*factor));
    let &(unit, factor) = fitting.or(units.last()).unwrap_or(&("", 1));
    write!(f, "{}{unit}", value / factor)
}

impl Rate {
    /// Reads a rate: a number with `bit`, `kbit`, `mbit` or `gbit`; bits per second without a unit.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let text = text.strip_suffix("/s").unwrap_or(text);
        scaled(text, RATES, Some(1)).map(Self)
    }

    /// Reads a number of Mbit/s.
    pub(crate) fn parse_megabits(text: &str) -> Option<Self> {
        scaled(text, &[], Some(1_000_000)).map(Self)
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        in_units(f, self.0, RATES)
    }
}

impl Probability {
    /// It never happens.
    pub const NEVER: Self = Self(0);
    /// It always happens.
    pub const ALWAYS: Self = Self(CERTAIN);

    /// A probability in parts per billion; `None` above certainty.
    pub const fn from_billionths(parts: u32) -> Option<Self> {
        if parts <= CERTAIN { Some(Self(parts)) } else { None }
    }

    /// A probability in per cent; `None` above 100.
    pub const fn from_percent(percent: u32) -> Option<Self> {
        if percent <= 100 { Some(Self(percent * (CERTAIN / 100))) } else { None }
    }

    /// Parts per billion.
    pub const fn billionths(self) -> u32 {
        self.0
    }

    /// The probability as a number from 0 to 1.
    pub fn value(self) -> f64 {
        f64::from(self.0) / f64::from(CERTAIN)
    }

    /// Reads per cent, with or without the sign, as `tc` and Mininet do.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let parts = scaled(text, &[("%", u64::from(CERTAIN / 100))], Some(u64::from(CERTAIN / 100)))?;
        u32::try_from(parts).ok().and_then(Self::from_billionths)
    }
}

impl fmt::Display for Probability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, rest) = (self.0 / 10_000_000, self.0 % 10_000_000);
        if rest == 0 {
            return write!(f, "{whole}%");
        }
        write!(f, "{whole}.{}%", format!("{rest:07}").trim_end_matches('0'))
    }
}

impl Extent {
    /// Reads an amount: `100` (packets), or a number with `B`, `kB`, `MB`, `GB` (thousands), `KiB` or `MiB`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        match text.strip_suffix('p').unwrap_or(text).parse() {
            Ok(packets) => Some(Self::Packets(packets)),
            Err(_) => scaled(text, SIZES, None).map(Self::Bytes),
        }
    }
}

impl fmt::Display for Extent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Packets(packets) => write!(f, "{packets}"),
            Self::Bytes(bytes) => in_units(f, bytes, &[("MB", 1_000_000), ("kB", 1_000), ("B", 1)]),
        }
    }
}

/// Reads a time: a number with `ns`, `us`, `ms`, `s` or `min`. Only zero may stand without a unit: `tc` would take a bare
/// number for microseconds, which few mean.
pub(crate) fn parse_duration(text: &str) -> Option<Duration> {
    let nanos = scaled(text, TIMES, None).or_else(|| scaled(text, &[], Some(1)).filter(|&value| value == 0));
    nanos.map(Duration::from_nanos)
}

/// Writes a time as [`parse_duration`] reads it.
pub(crate) struct Written(pub Duration);

impl fmt::Display for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Minutes are read, but seconds are what people expect to see.
        in_units(f, u64::try_from(self.0.as_nanos()).unwrap_or(u64::MAX), &TIMES[1..])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_exactly_and_written_back() {
        let rate = |text| Rate::parse(text).map(|rate| (rate.0, rate.to_string()));
        assert_eq!(rate("100mbit"), Some((100_000_000, "100mbit".into())));
        assert_eq!(rate("1.5Mbit/s"), Some((1_500_000, "1500kbit".into())));
        assert_eq!(rate("9600"), Some((9600, "9600bit".into())));
        assert_eq!(rate("100mbps"), None); // bytes per second to tc, bits to everybody else
        let chance = |text| Probability::parse(text).map(|chance| chance.to_string());
        assert_eq!(chance("1"), Some("1%".into()));
        assert_eq!(chance("0.07%"), Some("0.07%".into()));
        assert_eq!(chance("33.3333333%"), Some("33.3333333%".into()));
        assert_eq!(chance("100.1"), None);
        let time = |text| parse_duration(text).map(|time| Written(time).to_string());
        assert_eq!(time("10ms"), Some("10ms".into()));
        assert_eq!(time("0.25ms"), Some("250us".into()));
        assert_eq!(time("2min"), Some("120s".into()));
        assert_eq!(time("0"), Some("0ns".into()));
        assert_eq!(time("10"), None);
        let amount = |text| Extent::parse(text).map(|amount| amount.to_string());
        assert_eq!(amount("100"), Some("100".into()));
        assert_eq!(amount("150kB"), Some("150kB".into()));
        assert_eq!(amount("64KiB"), Some("65536B".into()));
        for bad in
            ["", ".", ".5", "1.2.3", "-1", "1e9", "9999999999999999999999999999999", "inf", "1 2", "µs"]
        {
            assert_eq!((rate(bad), chance(bad), time(bad), amount(bad)), (None, None, None, None), "{bad}");
        }
    }
}
