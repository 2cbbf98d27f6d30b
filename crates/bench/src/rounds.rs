//! Interleaved rounds: every case is measured once a round, so that what else the machine does meets all of them.

use serde_json::{Map, Value, json};

/// A case's samples, one a round.
pub struct Case {
    name: String,
    unit: &'static str,
    samples: Vec<f64>,
}

impl Case {
    /// A case without samples.
    pub fn new(name: impl Into<String>, unit: &'static str) -> Self {
        Self { name: name.into(), unit, samples: Vec::new() }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Takes the sample of a round.
    pub fn add(&mut self, sample: f64) {
        self.samples.push(sample);
    }

    /// The median; zero where there is no sample.
    pub fn median(&self) -> f64 {
        let mut sorted = self.samples.clone();
        sorted.sort_by(f64::total_cmp);
        sorted.get(sorted.len() / 2).copied().unwrap_or(0.0)
    }

    /// This case's median against another's.
    pub fn ratio(&self, other: &Case) -> f64 {
        self.median() / other.median()
    }

    fn least(&self) -> f64 {
        self.samples.iter().copied().fold(f64::INFINITY, f64::min)
    }

    fn most(&self) -> f64 {
        self.samples.iter().copied().fold(f64::NEG_INFINITY, f64::max)
    }
}

/// Prints cases, a line each: median, least and most.
pub fn print(cases: &[Case]) {
    for case in cases {
        println!(
            "{:<40} {:9.2} {}  ({:.2} to {:.2})",
            case.name,
            case.median(),
            case.unit,
            case.least(),
            case.most()
        );
    }
}

/// The cases as JSON, by name.
pub fn json(cases: &[Case]) -> Map<String, Value> {
    let entry = |case: &Case| {
        let value = json!({ "median": case.median(), "unit": case.unit, "samples": case.samples });
        (case.name.clone(), value)
    };
    cases.iter().map(entry).collect()
}
