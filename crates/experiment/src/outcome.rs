//! What has come out of an experiment.

use std::collections::BTreeMap;

use heddle_link::LineStatistics;
use serde::Serialize;

use crate::expect::Verdict;

/// What is counted of a way of a link, in wire packets; with `_bytes` behind it, in bytes.
pub const COUNTERS: [&str; 13] = [
    "offered",
    "delivered",
    "lost",
    "queue_dropped",
    "early_dropped",
    "no_buffer",
    "cleared",
    "marked",
    "corrupted",
    "duplicated",
    "reordered",
    "backlog",
    "waiting",
];

/// What has come out of an experiment.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Outcome {
    /// The experiment's name.
    pub name: String,
    /// What it is for.
    pub about: String,
    /// What the links' dice were drawn with.
    pub seed: u64,
    /// When it began, in seconds since 1970.
    pub began: u64,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// Hosts, switches and links in words.
    pub topology: String,
    /// What ran.
    pub programs: Vec<ProgramOutcome>,
    /// What happened.
    pub events: Vec<Happened>,
    /// What the links with settings did.
    pub ways: Vec<WayOutcome>,
    /// How many pings at the end were answered, by the names of the hosts that pinged each other; of none for all.
    pub pings_answered: BTreeMap<String, usize>,
    /// Whether the machine kept up.
    pub fidelity: Fidelity,
    /// What was expected, and whether it came so.
    pub verdicts: Vec<Verdict>,
    /// What was lost or at risk.
    pub warnings: Vec<String>,
}

/// What has become of a program.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ProgramOutcome {
    /// Its name.
    pub name: String,
    /// Its host.
    pub host: String,
    /// Program and arguments.
    pub argv: Vec<String>,
    /// When it was started, in seconds.
    pub started: f64,
    /// When it ended.
    pub ended: Option<f64>,
    /// Its exit code; 128 + N for signal N. None where it could not be run.
    pub exit: Option<i32>,
    /// Why it could not be run, or that it was ended.
    pub note: Option<String>,
    /// The beginning of what it has written; all of it is in a file.
    #[serde(skip)]
    pub output: String,
}

impl ProgramOutcome {
    /// How long it ran, in seconds.
    #[must_use]
    pub fn seconds(&self) -> f64 {
        self.ended.map_or(0.0, |ended| ended - self.started)
    }
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Happened {
    /// When it was to happen, in seconds.
    pub planned: f64,
    /// When it had happened.
    pub done: f64,
    /// What, in words.
    pub what: String,
    /// Why it did not.
    pub error: Option<String>,
}

/// What one way of a link did.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct WayOutcome {
    /// From this node.
    pub from: String,
    /// To this one.
    pub to: String,
    /// Its settings at the end.
    pub settings: String,
    /// Counters at the end, by their names.
    pub counts: BTreeMap<String, u64>,
    /// Counters over time.
    pub samples: Vec<Sample>,
}

impl WayOutcome {
    /// A counter by its name.
    #[must_use]
    pub fn count(&self, name: &str) -> Option<u64> {
        self.counts.get(name).copied()
    }
}

/// Counters of a way at a time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Sample {
    /// When, in seconds.
    pub at: f64,
    /// Bytes delivered so far.
    pub delivered_bytes: u64,
    /// Packets lost and dropped so far, whatever the reason.
    pub gone: u64,
    /// Packets on the way.
    pub backlog: u64,
}

/// Whether the machine kept up.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Fidelity {
    /// Whether what was measured is what was asked for.
    pub kept: bool,
    /// Whether there was anything to keep up with.
    pub judged: bool,
    /// What did not, by its name.
    pub complaints: Vec<String>,
}

impl Outcome {
    /// The program of this name.
    #[must_use]
    pub fn program(&self, name: &str) -> Option<&ProgramOutcome> {
        self.programs.iter().find(|program| program.name == name)
    }

    /// The way from the first node to the second.
    #[must_use]
    pub fn way(&self, [from, to]: &[String; 2]) -> Option<&WayOutcome> {
        self.ways.iter().find(|way| way.from == *from && way.to == *to)
    }

    /// Whether all came as expected.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.verdicts.iter().all(|verdict| verdict.holds)
    }
}

/// The counters of a line, by their names.
pub(crate) fn counts(statistics: &LineStatistics) -> BTreeMap<String, u64> {
    let of = |name: &str| match name {
        "offered" => statistics.offered,
        "delivered" => statistics.delivered,
        "lost" => statistics.lost,
        "queue_dropped" => statistics.queue_dropped,
        "early_dropped" => statistics.early_dropped,
        "no_buffer" => statistics.no_buffer,
        "cleared" => statistics.cleared,
        "marked" => statistics.marked,
        "corrupted" => statistics.corrupted,
        "duplicated" => statistics.duplicated,
        "reordered" => statistics.reordered,
        "backlog" => statistics.backlog,
        _ => statistics.waiting,
    };
    let both = |name: &'static str| {
        let count = of(name);
        [(name.to_owned(), count.packets), (format!("{name}_bytes"), count.bytes)]
    };
    COUNTERS.into_iter().flat_map(both).collect()
}
