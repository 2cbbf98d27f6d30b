//! Large flow tables beside Open vSwitch in user space: how long flows take to come, together and one by one, what each holds in
//! memory, and what a dump of all of them costs. Both switches are driven by the same `ovs-ofctl`; Heddle's own is measured
//! besides.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use serde_json::json;

use crate::daemon::{Kind, Place, good, until};
use crate::rounds::{self, Case};

/// What to measure.
#[derive(clap::Args)]
pub struct Options {
    /// Rounds; medians are quoted.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Flows.
    #[arg(long, default_value_t = 100_000)]
    flows: usize,
    /// Numbers of flows in a further round, to draw the curve; none to leave it out.
    #[arg(long, value_delimiter = ',', default_value = "1000,10000,100000,1000000")]
    curve: Vec<usize>,
    /// The `heddle` program.
    #[arg(long, default_value = "target/release/heddle")]
    heddle: PathBuf,
}

const BRIDGE: &str = "flows";
/// What is measured of each switch and client.
const MEASURED: [(&str, &str); 6] = [
    ("in one bundle", "s"),
    ("one by one", "s"),
    ("memory of a flow", "KB"),
    ("dump", "s"),
    ("memory while dumping, more", "MiB"),
    ("deleted", "s"),
];

/// A client, and the switch that it is used on.
struct Subject {
    name: &'static str,
    place: usize,
    client: Vec<String>,
}

/// Flows that differ in their target, as a file of `ovs-ofctl`.
fn write_flows(path: &Path, count: usize) -> Result<()> {
    let mut file = std::io::BufWriter::new(std::fs::File::create(path)?);
    for number in 0..count {
        let [_, a, b, c] = (number as u32).to_be_bytes();
        writeln!(file, "priority=100,ip,nw_dst=10.{a}.{b}.{c},actions=output:1")?;
    }
    Ok(file.flush()?)
}

/// Runs a client, and says how many seconds it took.
fn timed(place: &Place, subject: &Subject, words: &[&str]) -> Result<f64> {
    let mut command = place.command(&subject.client[0]);
    command.args(&subject.client[1..]).args(words).stdout(Stdio::null());
    let begun = Instant::now();
    good(&mut command)?;
    Ok(begun.elapsed().as_secs_f64())
}

/// One sample of each of [`MEASURED`].
fn sample(place: &mut Place, subject: &Subject, file: &Path, count: usize) -> Result<[f64; 6]> {
    let file = file.to_str().context("a path without strange letters")?;
    place.start(&["--enable-dummy"])?;
    let make =
        format!("--may-exist add-br {BRIDGE} -- set bridge {BRIDGE} datapath_type=dummy fail_mode=secure");
    place.vsctl(&make)?;
    until("the bridge answers", || timed(place, subject, &["show", BRIDGE]).is_ok())?;
    let before = place.held()?;
    let together = timed(place, subject, &["--bundle", "add-flows", BRIDGE, file])?;
    let after = place.held()?;
    let flows = place.count_flows(BRIDGE)?;
    ensure!(flows == count, "{flows} flows of {count} were added");
    place.forget_peak()?;
    let start = place.held()?;
    let dump = timed(place, subject, &["dump-flows", BRIDGE])?;
    let grown = place.peak()? - start;
    let deleted = timed(place, subject, &["del-flows", BRIDGE])?;
    let single = timed(place, subject, &["add-flows", BRIDGE, file])?;
    let flows = place.count_flows(BRIDGE)?;
    ensure!(flows == count, "{flows} flows of {count} were added one by one");
    place.stop()?;
    Ok([together, single, (after - before) * 1024.0 / count as f64, dump, grown, deleted])
}

fn cases(subject: &Subject, count: usize) -> Vec<Case> {
    MEASURED.iter().map(|(what, unit)| Case::new(format!("{} {count} {what}", subject.name), unit)).collect()
}

/// Measures, prints, and ends with JSON.
///
/// # Errors
/// If a daemon or a client fails.
pub fn run(options: &Options) -> Result<()> {
    ensure!(options.rounds != 0, "there is at least one round");
    let heddle = options.heddle.canonicalize()?.display().to_string();
    let mut places = vec![Place::bare(Kind::Heddle, &options.heddle)?];
    let own = vec![heddle, "ofctl".to_owned()];
    let mut subjects = vec![Subject { name: "heddle, own client", place: 0, client: own }];
    if crate::daemon::is_installed("ovs-ofctl") {
        subjects.push(Subject { name: "heddle", place: 0, client: vec!["ovs-ofctl".into()] });
    }
    if crate::daemon::is_installed("ovs-vswitchd") && crate::daemon::is_installed("ovsdb-server") {
        places.push(Place::bare(Kind::OpenVswitch, &options.heddle)?);
        subjects.push(Subject { name: "ovs", place: 1, client: vec!["ovs-ofctl".into()] });
    } else {
        println!("SKIPPED: ovs is not installed");
    }
    let mut all = Vec::new();
    let mut measure = |count: usize, rounds: usize| -> Result<()> {
        let file = std::env::temp_dir().join(format!("heddle-bench-flows-{}-{count}", std::process::id()));
        write_flows(&file, count)?;
        let mut cases: Vec<Vec<Case>> = subjects.iter().map(|subject| cases(subject, count)).collect();
        for number in 0..rounds {
            for (subject, cases) in subjects.iter().zip(&mut cases) {
                let samples = sample(&mut places[subject.place], subject, &file, count)?;
                cases.iter_mut().zip(samples).for_each(|(case, sample)| case.add(sample));
                eprintln!("{count} flows, round {} of {rounds}: {}", number + 1, subject.name);
            }
        }
        std::fs::remove_file(&file)?;
        report(&cases);
        all.extend(cases);
        Ok(())
    };
    measure(options.flows, options.rounds)?;
    for count in options.curve.iter().filter(|count| **count != options.flows) {
        measure(*count, 1)?;
    }
    let cases: serde_json::Map<_, _> = all.iter().flat_map(|cases| rounds::json(cases)).collect();
    println!("{}", json!({ "flows": cases }));
    Ok(())
}

/// Prints cases, and how they compare with the last subject's.
fn report(all: &[Vec<Case>]) {
    all.iter().for_each(|cases| rounds::print(cases));
    let Some((last, others)) = all.split_last() else { return };
    for case in others.iter().flat_map(|cases| cases.iter().zip(last)) {
        if case.1.median() > 0.0 {
            println!("{:<52} {:9.2} of ovs's", case.0.name(), case.0.ratio(case.1));
        }
    }
}
