//! Two network namespaces joined by a switch: TCP, small packets and round trips, side by side for several switches.
//!
//! All switches stand at once, each with hosts of its own, and every round measures each of them in turn. Namespaces
//! bear a prefix of this run, so that whoever started it can clear up after a crash; normally they go with [`Lab`].

pub mod lab;
pub mod measure;

use std::path::PathBuf;

use anyhow::{Result, ensure};
use serde_json::{Map, json};

use crate::rounds::{self, Case};
use lab::{Kind, Lab};

/// What to measure.
#[derive(clap::Args)]
pub struct Options {
    /// The switches to compare.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "direct,bridge,heddle,heddle-packet,ovs")]
    kinds: Vec<Kind>,
    /// Rounds; medians are quoted.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Seconds of a throughput sample.
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// Pings of a round-trip sample, a millisecond apart.
    #[arg(long, default_value_t = 1000)]
    pings: usize,
    /// What the namespaces' names begin with.
    #[arg(long, default_value = "heddle-bench")]
    prefix: String,
    /// The `heddle` program.
    #[arg(long, default_value = "target/release/heddle")]
    heddle: PathBuf,
}

/// Samples of one switch.
struct Samples {
    kind: Kind,
    cases: Vec<Case>,
}

impl Samples {
    fn new(kind: Kind) -> Self {
        let case = |what: &str, unit| Case::new(format!("{} {what}", kind.name()), unit);
        let cases = vec![
            case("tcp", "Gbit/s"),
            case("tcp switch CPU", "ns/packet"),
            case("small sent", "Mpps"),
            case("small received", "Mpps"),
            case("small switch CPU", "ns/packet"),
            case("ping median", "us"),
            case("ping p99", "us"),
        ];
        Self { kind, cases }
    }

    fn round(&mut self, lab: &Lab, options: &Options) -> Result<()> {
        let tcp = measure::tcp(lab, options.seconds)?;
        let small = measure::small(lab, options.seconds)?;
        let ping = measure::ping(lab, options.pings)?;
        let samples =
            [tcp.gbits, tcp.cpu_ns, small.sent, small.received, small.cpu_ns, ping.median, ping.p99];
        self.cases.iter_mut().zip(samples).for_each(|(case, sample)| case.add(sample));
        Ok(())
    }
}

/// Measures, prints, and ends with JSON.
///
/// # Errors
/// If a namespace, a switch or a program that measures fails.
pub fn run(options: &Options) -> Result<()> {
    ensure!(options.rounds != 0, "there is at least one round");
    let (present, absent): (Vec<Kind>, Vec<Kind>) =
        options.kinds.iter().partition(|kind| kind.is_installed());
    absent.iter().for_each(|kind| println!("SKIPPED: {} is not installed", kind.name()));
    let labs = present
        .iter()
        .map(|&kind| Lab::start(kind, &options.prefix, &options.heddle, 1))
        .collect::<Result<Vec<_>>>()?;
    let mut samples: Vec<Samples> = present.iter().map(|&kind| Samples::new(kind)).collect();
    for round in 0..options.rounds {
        for (lab, samples) in labs.iter().zip(&mut samples) {
            samples.round(lab, options)?;
            eprintln!("round {} of {}: {}", round + 1, options.rounds, samples.kind.name());
        }
    }
    for samples in &samples {
        rounds::print(&samples.cases);
    }
    let mut all = Map::new();
    for samples in &samples {
        all.extend(rounds::json(&samples.cases));
    }
    println!("{}", json!({ "namespaces": all, "ratios to the bridge": ratios(&samples) }));
    Ok(())
}

/// Medians against the bridge's, printed and as JSON.
fn ratios(samples: &[Samples]) -> Map<String, serde_json::Value> {
    let mut ratios = Map::new();
    let Some(bridge) = samples.iter().find(|samples| samples.kind == Kind::Bridge) else { return ratios };
    for samples in samples {
        for (name, at) in [("tcp", 0), ("small", 3), ("ping", 5)] {
            let ratio = samples.cases[at].ratio(&bridge.cases[at]);
            println!("{:<34} {ratio:9.2} of the bridge's", format!("{} {name}", samples.kind.name()));
            ratios.insert(format!("{} {name}", samples.kind.name()), json!(ratio));
        }
    }
    ratios
}
