//! Profiles as text and as maps: one table of keys feeds the parser, the printer, maps and help.

use std::fmt::{self, Write as _};
use std::str::FromStr;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};

use crate::profile::{Discipline, Distribution, Loss, Pattern, Profile, ProfileError, Queue};
use crate::quantity::{Extent, Probability, Rate, Written, parse_duration};

/// Longest text of a profile.
const MAX_TEXT: usize = 16 * 1024;

/// A key of a profile's text.
pub struct Key {
    /// Its name.
    pub name: &'static str,
    /// Other names that it goes by.
    pub aliases: &'static [&'static str],
    /// How it is written.
    pub example: &'static str,
    /// What it does, in a line.
    pub help: &'static str,
    /// What it takes, for the message when it is given something else.
    remedy: &'static str,
    /// Keys of the same group set the same thing.
    group: u8,
    set: fn(&mut Profile, &str) -> Option<()>,
    write: fn(&Profile) -> Option<String>,
}

/// Every key, in the order in which they are written.
pub const KEYS: &[Key] = &[
    Key {
        name: "rate",
        aliases: &[],
        example: "rate=100mbit",
        help: "bits per second of frames without their FCS",
        remedy: "a number with bit, kbit, mbit or gbit, as 100mbit, or none",
        group: 0,
        set: |profile, text| {
            profile.rate = if text == "none" { None } else { Some(Rate::parse(text)?) };
            Some(())
        },
        write: |profile| profile.rate.map(|rate| rate.to_string()),
    },
    Key {
        name: "bw",
        aliases: &[],
        example: "bw=10",
        help: "the rate in Mbit/s, as Mininet has it",
        remedy: "a number of Mbit/s without a unit, as 10 or 0.5; rate= takes units",
        group: 0,
        set: |profile, text| {
            profile.rate = Some(Rate::parse_megabits(text)?);
            Some(())
        },
        write: |_| None,
    },
    Key {
        name: "delay",
        aliases: &[],
        example: "delay=10ms",
        help: "time under way after the transmission",
        remedy: "a number with its unit, us, ms or s, as 10ms",
        group: 1,
        set: |profile, text| {
            profile.delay = parse_duration(text)?;
            Some(())
        },
        write: |profile| (!profile.delay.is_zero()).then(|| Written(profile.delay).to_string()),
    },
    Key {
        name: "jitter",
        aliases: &[],
        example: "jitter=1ms",
        help: "how much the delay varies",
        remedy: "a number with its unit, us, ms or s, as 1ms",
        group: 2,
        set: |profile, text| {
            profile.jitter = parse_duration(text)?;
            Some(())
        },
        write: |profile| (!profile.jitter.is_zero()).then(|| Written(profile.jitter).to_string()),
    },
    Key {
        name: "distribution",
        aliases: &[],
        example: "distribution=normal",
        help: "how the delay varies: uniform, normal, pareto or paretonormal",
        remedy: "uniform, normal, pareto or paretonormal",
        group: 3,
        set: |profile, text| {
            profile.distribution = DISTRIBUTIONS.iter().find(|(name, _)| *name == text)?.1;
            Some(())
        },
        write: |profile| {
            let found = DISTRIBUTIONS[1..].iter().find(|(_, value)| *value == profile.distribution)?;
            Some(found.0.to_owned())
        },
    },
    Key {
        name: "loss",
        aliases: &[],
        example: "loss=1%",
        help: "how likely a packet is lost, in per cent",
        remedy: "per cent from 0 to 100, as 1% (a bare 0.01 is 0.01 %)",
        group: 4,
        set: |profile, text| {
            let chance = Probability::parse(text)?;
            profile.loss = if chance == Probability::NEVER { Loss::None } else { Loss::Independent(chance) };
            Some(())
        },
        write: |profile| match profile.loss {
            Loss::Independent(chance) => Some(chance.to_string()),
            _ => None,
        },
    },
    Key {
        name: "burst",
        aliases: &[],
        example: "burst=1%/25%",
        help: "loss in bursts: how likely the line turns bad, and good again, after a packet; then what it loses while good (0%) and while bad (100%)",
        remedy: "two to four probabilities, as 1%/25%/0%/100%: to bad, to good, loss while good, loss while bad",
        group: 4,
        set: |profile, text| {
            profile.loss = parse_burst(text)?;
            Some(())
        },
        write: write_burst,
    },
    Key {
        name: "pattern",
        aliases: &[],
        example: "pattern=3+7+9-12/100",
        help: "exactly which packets of each period are lost; every10 is 10/10",
        remedy: "packets of a period, as 3+7+9-12/100 or \"3,7,9-12 of 100\", or every10; a period is at most 1000000",
        group: 4,
        set: |profile, text| {
            profile.loss = Loss::Pattern(parse_pattern(text)?);
            Some(())
        },
        write: write_pattern,
    },
    Key {
        name: "reorder",
        aliases: &[],
        example: "reorder=1%",
        help: "how likely a packet skips the delay and so overtakes others",
        remedy: PERCENT,
        group: 5,
        set: |profile, text| {
            profile.reorder = Probability::parse(text)?;
            Some(())
        },
        write: |profile| unless_never(profile.reorder),
    },
    Key {
        name: "duplicate",
        aliases: &[],
        example: "duplicate=1%",
        help: "how likely a packet arrives twice",
        remedy: PERCENT,
        group: 6,
        set: |profile, text| {
            profile.duplicate = Probability::parse(text)?;
            Some(())
        },
        write: |profile| unless_never(profile.duplicate),
    },
    Key {
        name: "corrupt",
        aliases: &[],
        example: "corrupt=0.1%",
        help: "how likely one bit of a packet is flipped",
        remedy: PERCENT,
        group: 7,
        set: |profile, text| {
            profile.corrupt = Probability::parse(text)?;
            Some(())
        },
        write: |profile| unless_never(profile.corrupt),
    },
    Key {
        name: "queue",
        aliases: &["max_queue_size"],
        example: "queue=100",
        help: "most packets, or bytes, that wait for the rate",
        remedy: "packets as 100, bytes as 150kB, both as 100/150kB, or default",
        group: 8,
        set: set_queue,
        write: write_queue,
    },
    Key {
        name: "discipline",
        aliases: &[],
        example: "discipline=codel",
        help: "how the queue is kept short: droptail, red/MIN/MAX/PROBABILITY[/WEIGHT], codel[/TARGET/INTERVAL]",
        remedy: "droptail, codel, codel/5ms/100ms, red/30kB/90kB/2% or red/30kB/90kB/2%/0.2%",
        group: 9,
        set: |profile, text| {
            profile.queue.discipline = parse_discipline(text)?;
            Some(())
        },
        write: |profile| match profile.queue.discipline {
            Discipline::DropTail => None,
            discipline => Some(discipline.to_string()),
        },
    },
    Key {
        name: "ecn",
        aliases: &[],
        example: "ecn",
        help: "mark packets that can be marked instead of dropping them early",
        remedy: "on or off",
        group: 10,
        set: |profile, text| {
            profile.queue.ecn = match text {
                "on" | "true" | "yes" | "1" => true,
                "off" | "false" | "no" | "0" => false,
                _ => return None,
            };
            Some(())
        },
        write: |profile| profile.queue.ecn.then(|| "on".to_owned()),
    },
];

const PERCENT: &str = "per cent from 0 to 100, as 1%";

const DISTRIBUTIONS: [(&str, Distribution); 4] = [
    ("uniform", Distribution::Uniform),
    ("normal", Distribution::Normal),
    ("pareto", Distribution::Pareto),
    ("paretonormal", Distribution::ParetoNormal),
];

fn unless_never(chance: Probability) -> Option<String> {
    (chance != Probability::NEVER).then(|| chance.to_string())
}

fn parse_burst(text: &str) -> Option<Loss> {
    let mut parts = text.split('/').map(Probability::parse);
    let (to_bad, to_good) = (parts.next()??, parts.next()??);
    let mut part = |default| parts.next().unwrap_or(Some(default));
    let (good, bad) = (part(Probability::NEVER)?, part(Probability::ALWAYS)?);
    parts.next().is_none().then_some(Loss::Burst { to_bad, to_good, good, bad })
}

fn write_burst(profile: &Profile) -> Option<String> {
    let Loss::Burst { to_bad, to_good, good, bad } = profile.loss else { return None };
    let usual = good == Probability::NEVER && bad == Probability::ALWAYS;
    Some(if usual { format!("{to_bad}/{to_good}") } else { format!("{to_bad}/{to_good}/{good}/{bad}") })
}

fn parse_pattern(text: &str) -> Option<Pattern> {
    let between = |letter: char| letter == '+' || letter == ',' || letter.is_whitespace();
    if let Some(period) = text.strip_prefix("every") {
        let period = period.trim_start_matches(between).parse().ok()?;
        return Pattern::new(period, [(period, period)]);
    }
    let (runs, period) = text.split_once('/').or_else(|| text.split_once("of"))?;
    let period = period.trim_matches(between).parse().ok()?;
    let run = |text: &str| {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        Some((first.parse().ok()?, last.parse().ok()?))
    };
    let runs: Option<Vec<_>> = runs.split(between).filter(|text| !text.is_empty()).map(run).collect();
    Pattern::new(period, runs?)
}

fn write_pattern(profile: &Profile) -> Option<String> {
    let Loss::Pattern(pattern) = &profile.loss else { return None };
    let period = pattern.period();
    if pattern.runs() == [(period, period)] {
        return Some(format!("every{period}"));
    }
    let mut text = String::new();
    for &(first, last) in pattern.runs() {
        let plus = if text.is_empty() { "" } else { "+" };
        let _ = write!(text, "{plus}{first}");
        if last != first {
            let _ = write!(text, "-{last}");
        }
    }
    Some(format!("{text}/{period}"))
}

fn set_queue(profile: &mut Profile, text: &str) -> Option<()> {
    let mut queue = Queue { packets: None, bytes: None, ..profile.queue };
    for part in text.split('/').filter(|_| text != "default") {
        match Extent::parse(part)? {
            Extent::Packets(packets) if queue.packets.is_none() => queue.packets = Some(packets),
            Extent::Bytes(bytes) if queue.bytes.is_none() => queue.bytes = Some(bytes),
            _ => return None,
        }
    }
    profile.queue = queue;
    Some(())
}

fn write_queue(profile: &Profile) -> Option<String> {
    let packets = profile.queue.packets.map(Extent::Packets);
    let bytes = profile.queue.bytes.map(Extent::Bytes);
    match (packets, bytes) {
        (None, None) => None,
        (Some(packets), Some(bytes)) => Some(format!("{packets}/{bytes}")),
        (one, other) => one.or(other).map(|limit| limit.to_string()),
    }
}

fn parse_discipline(text: &str) -> Option<Discipline> {
    let mut parts = text.split('/');
    let discipline = match parts.next()? {
        "droptail" => Discipline::DropTail,
        "codel" => match parts.next() {
            None => Discipline::CODEL,
            Some(target) => Discipline::CoDel {
                target: parse_duration(target)?,
                interval: parts.next().and_then(parse_duration)?,
            },
        },
        "red" => Discipline::Red {
            min: parts.next().and_then(Extent::parse)?,
            max: parts.next().and_then(Extent::parse)?,
            probability: parts.next().and_then(Probability::parse)?,
            weight: parts.next().map_or(Some(Discipline::RED_WEIGHT), Probability::parse)?,
        },
        _ => return None,
    };
    parts.next().is_none().then_some(discipline)
}

impl fmt::Display for Discipline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::DropTail => f.write_str("droptail"),
            Self::CODEL => f.write_str("codel"),
            Self::CoDel { target, interval } => write!(f, "codel/{}/{}", Written(target), Written(interval)),
            Self::Red { min, max, probability, weight: Self::RED_WEIGHT } => {
                write!(f, "red/{min}/{max}/{probability}")
            }
            Self::Red { min, max, probability, weight } => {
                write!(f, "red/{min}/{max}/{probability}/{weight}")
            }
        }
    }
}

/// Sets keys one by one, and knows which were.
struct Setter {
    profile: Profile,
    given: Vec<&'static Key>,
}

impl Setter {
    fn set(&mut self, name: &str, value: &str) -> Result<(), ProfileError> {
        let key = find(name)?;
        if let Some(before) = self.given.iter().find(|before| before.group == key.group) {
            return Err(ProfileError::Twice { first: before.name, second: key.name });
        }
        self.given.push(key);
        let refused = || ProfileError::Value {
            key: key.name,
            value: value.chars().take(60).collect(),
            remedy: key.remedy,
        };
        (key.set)(&mut self.profile, value).ok_or_else(refused)
    }

    fn finish(self) -> Result<Profile, ProfileError> {
        self.profile.validate()?;
        Ok(self.profile)
    }
}

fn find(name: &str) -> Result<&'static Key, ProfileError> {
    let found = KEYS.iter().find(|key| key.name == name || key.aliases.contains(&name));
    found.ok_or_else(|| {
        let names: Vec<&str> = KEYS.iter().map(|key| key.name).collect();
        ProfileError::Unknown { key: name.chars().take(60).collect(), known: names.join(", ") }
    })
}

impl Profile {
    /// Changes what `text` names and leaves the rest, as a live change does. `none` for a rate, 0 for a time or a probability
    /// and `default` for a queue take back what was set; a profile is not changed where there is an error.
    ///
    /// # Errors
    /// If the text cannot be read, or what results is no valid profile.
    pub fn apply(&mut self, text: &str) -> Result<(), ProfileError> {
        if text.len() > MAX_TEXT {
            return Err(ProfileError::Long(MAX_TEXT));
        }
        let mut setter = Setter { profile: self.clone(), given: Vec::new() };
        let separates = |letter: char| letter == ',' || letter.is_whitespace();
        let mut words = text.split(separates).filter(|word| !word.is_empty()).peekable();
        while let Some(word) = words.next() {
            match word.split_once('=') {
                // A pattern's own commas and blanks.
                Some(("pattern", start)) => {
                    let mut value = start.to_owned();
                    while let Some(more) = words.next_if(|word| !word.contains('=') && *word != "ecn") {
                        value.push('+');
                        value.push_str(more);
                    }
                    setter.set("pattern", &value)?;
                }
                Some((name, value)) => setter.set(name, value)?,
                None if word == "ecn" => setter.set("ecn", "on")?,
                None if word == "perfect" => setter.profile = Self::default(),
                None => {
                    let key = find(word)?;
                    return Err(ProfileError::Bare { key: key.name, example: key.example });
                }
            }
        }
        *self = setter.finish()?;
        Ok(())
    }

    /// The keys that differ from a perfect cable's, with their values.
    fn entries(&self) -> impl Iterator<Item = (&'static str, String)> {
        KEYS.iter().filter_map(|key| Some((key.name, (key.write)(self)?)))
    }
}

impl FromStr for Profile {
    type Err = ProfileError;

    fn from_str(text: &str) -> Result<Self, ProfileError> {
        let mut profile = Self::default();
        profile.apply(text)?;
        Ok(profile)
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for (key, value) in self.entries() {
            match key {
                "ecn" => write!(f, "{separator}ecn")?,
                key => write!(f, "{separator}{key}={value}")?,
            }
            separator = ",";
        }
        if separator.is_empty() { f.write_str("perfect") } else { Ok(()) }
    }
}

impl Serialize for Profile {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (key, value) in self.entries() {
            map.serialize_entry(key, &value)?;
        }
        map.end()
    }
}

/// A map's value, as the text that it would be.
struct Word(String);

impl<'de> Deserialize<'de> for Word {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Words;
        impl Visitor<'_> for Words {
            type Value = Word;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text, a number, or true or false")
            }
            fn visit_bool<E>(self, value: bool) -> Result<Word, E> {
                Ok(Word(value.to_string()))
            }
            fn visit_u64<E>(self, value: u64) -> Result<Word, E> {
                Ok(Word(value.to_string()))
            }
            fn visit_i64<E>(self, value: i64) -> Result<Word, E> {
                Ok(Word(value.to_string()))
            }
            fn visit_f64<E>(self, value: f64) -> Result<Word, E> {
                Ok(Word(value.to_string()))
            }
            fn visit_str<E>(self, value: &str) -> Result<Word, E> {
                Ok(Word(value.to_owned()))
            }
        }
        deserializer.deserialize_any(Words)
    }
}

impl<'de> Deserialize<'de> for Profile {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Profiles;
        impl<'de> Visitor<'de> for Profiles {
            type Value = Profile;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a link's keys, as a map or as one text of key=value")
            }
            fn visit_unit<E>(self) -> Result<Profile, E> {
                Ok(Profile::default())
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Profile, E> {
                text.parse().map_err(E::custom)
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Profile, A::Error> {
                let mut setter = Setter { profile: Profile::default(), given: Vec::new() };
                while let Some((key, value)) = map.next_entry::<String, Word>()? {
                    setter.set(&key, value.0.trim()).map_err(A::Error::custom)?;
                }
                setter.finish().map_err(A::Error::custom)
            }
        }
        deserializer.deserialize_any(Profiles)
    }
}
