//! Labs at scale: how long hosts take to come and go, what they hold, and what changes cost, beside Mininet on the Linux
//! bridge and the floor of the kernel's own calls.
//!
//! It is to be run in a user namespace of its own, as `scripts/bench` does: the kernel counts the network namespaces of each,
//! down to the last step of their removal, so that "gone" means that namespaces and devices are.

mod floor;
mod place;

use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::daemon::{good, is_installed};
use crate::rounds::{self, Case};
use place::{Place, Session, nothing_is_left};

/// What to measure.
#[derive(clap::Args)]
pub struct Options {
    /// Rounds; medians are quoted.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Numbers of hosts on one switch.
    #[arg(long, value_delimiter = ',', default_values_t = [10, 30, 100, 300, 1000])]
    hosts: Vec<usize>,
    /// Numbers of hosts that Mininet starts too.
    #[arg(long, value_delimiter = ',', default_values_t = [10, 100])]
    mininet: Vec<usize>,
    /// Switches in a row, with a host each.
    #[arg(long, default_value_t = 300)]
    linear: usize,
    /// Numbers of hosts that all ping each other, once.
    #[arg(long, value_delimiter = ',', default_values_t = [64, 100])]
    pings: Vec<usize>,
    /// Seconds of idleness, with a hundred hosts.
    #[arg(long, default_value_t = 20.0)]
    idle: f64,
    /// Changes of a running lab.
    #[arg(long, default_value_t = 200)]
    changes: usize,
    /// Labs that are started and ended, half of them by `kill -9` at any moment.
    #[arg(long, default_value_t = 20)]
    kills: usize,
    /// The `heddle` program.
    #[arg(long, default_value = "target/release/heddle")]
    heddle: PathBuf,
}

/// Measures, prints, and ends with JSON.
///
/// # Errors
/// If a lab does not start, or leaves something.
pub fn run(options: &Options) -> Result<()> {
    ensure!(options.rounds != 0, "there is at least one round");
    let place = Place::new(&options.heddle)?;
    nothing_is_left().context("this is no user namespace of its own; scripts/bench makes one")?;
    let mininet = ["mn", "brctl"].into_iter().all(is_installed);
    if !mininet && !options.mininet.is_empty() {
        println!("SKIPPED: mininet is not installed (Debian: apt install mininet bridge-utils)");
    }
    let mut cases = Cases::default();
    for number in 0..options.rounds {
        for &hosts in &options.hosts {
            let topology = format!("single,{hosts}");
            heddle(&place, &topology, &mut cases)?;
            let (up, gone) = floor::measure(hosts)?;
            cases.add(format!("floor {topology} up"), "ms", up);
            cases.add(format!("floor {topology} gone"), "ms", gone);
            if mininet && options.mininet.contains(&hosts) {
                self::mininet(&topology, &mut cases)?;
            }
        }
        if options.linear > 0 {
            heddle(&place, &format!("linear,{}", options.linear), &mut cases)?;
        }
        for hosts in smallest_and_greatest(&options.hosts) {
            changes(&place, hosts, options.changes, &mut cases)?;
        }
        eprintln!("round {} of {}", number + 1, options.rounds);
    }
    for &hosts in &options.pings {
        pings(&place, hosts, &mut cases)?;
    }
    if options.idle > 0.0 {
        idle(&place, options.idle, &mut cases)?;
    }
    let begun = Instant::now();
    place::start_and_kill(&place, options.kills)?;
    println!("{} labs started, half of them killed at any moment: nothing is left", options.kills);
    cases.add(format!("{} labs started and ended", options.kills), "ms", milliseconds(begun));
    rounds::print(&cases.0);
    cases.ratios();
    println!("{}", json!({ "lab": rounds::json(&cases.0) }));
    Ok(())
}

/// What was measured, in the order of its first sample.
#[derive(Default)]
struct Cases(Vec<Case>);

impl Cases {
    fn add(&mut self, name: String, unit: &'static str, sample: f64) {
        match self.0.iter_mut().find(|case| case.name() == name) {
            Some(case) => case.add(sample),
            None => {
                let mut case = Case::new(name, unit);
                case.add(sample);
                self.0.push(case);
            }
        }
    }

    /// Prints heddle's times against those of others.
    fn ratios(&self) {
        for other in ["floor", "mininet"] {
            for theirs in &self.0 {
                let Some(what) = theirs.name().strip_prefix(other) else { continue };
                let ours = self.0.iter().find(|case| case.name().strip_prefix("heddle") == Some(what));
                if let Some(ours) = ours {
                    println!("{:<40} {:9.3} of {other}'s", ours.name(), ours.ratio(theirs));
                }
            }
        }
    }
}

fn milliseconds(begun: Instant) -> f64 {
    begun.elapsed().as_secs_f64() * 1e3
}

fn smallest_and_greatest(hosts: &[usize]) -> Vec<usize> {
    let mut both = vec![hosts.iter().copied().min(), hosts.iter().copied().max()];
    both.dedup();
    both.into_iter().flatten().collect()
}

/// Starts and ends a lab.
fn heddle(place: &Place, topology: &str, cases: &mut Cases) -> Result<()> {
    let begun = Instant::now();
    let lab = place.start(topology)?;
    cases.add(format!("heddle {topology} up"), "ms", milliseconds(begun));
    if let Some(held) = place.held() {
        cases.add(format!("heddle {topology} memory a host"), "KiB", held as f64 / lab.hosts()? as f64);
    }
    let begun = Instant::now();
    lab.stop()?;
    cases.add(format!("heddle {topology} stop"), "ms", milliseconds(begun));
    nothing_is_left()?;
    cases.add(format!("heddle {topology} gone"), "ms", milliseconds(begun));
    Ok(())
}

/// Adds and removes a host with its link, again and again, over one connection.
fn changes(place: &Place, hosts: usize, count: usize, cases: &mut Cases) -> Result<()> {
    let lab = place.start(&format!("single,{hosts}"))?;
    let mut session = Session::new(place)?;
    let begun = Instant::now();
    for _ in 0..count.div_ceil(2) {
        let host = json!({ "name": "new" });
        let link = json!({ "a": "new", "b": "s1" });
        session.change(&json!({ "add": { "hosts": [host], "links": [link] } }))?;
        session.change(&json!({ "remove": { "hosts": ["new"] } }))?;
    }
    let rate = (count.div_ceil(2) * 2) as f64 / begun.elapsed().as_secs_f64();
    cases.add(format!("heddle changes of {hosts} hosts"), "/s", rate);
    lab.stop()?;
    nothing_is_left()
}

/// Has all hosts ping each other, by both versions of IP.
fn pings(place: &Place, hosts: usize, cases: &mut Cases) -> Result<()> {
    for test in ["pingall", "pingall6"] {
        let begun = Instant::now();
        let text = good(place.heddle().args([
            "lab",
            "--topo",
            &format!("single,{hosts}"),
            "--controller",
            "none",
            "--test",
            test,
        ]))?;
        ensure!(text.contains("*** Results: 0% dropped"), "{test} of {hosts} hosts loses: {text}");
        cases.add(format!("heddle {test} of {hosts} hosts"), "ms", milliseconds(begun));
    }
    nothing_is_left()
}

/// What a lab of a hundred hosts costs while nothing happens.
fn idle(place: &Place, seconds: f64, cases: &mut Cases) -> Result<()> {
    let lab = place.start("single,100")?;
    let softirq = place::softirq_ms();
    let before = lab.cpu_ns();
    std::thread::sleep(std::time::Duration::from_secs_f64(seconds));
    let share = (lab.cpu_ns() - before) as f64 / (seconds * 1e9) * 100.0;
    cases.add("heddle idle, 100 hosts".into(), "%", share);
    let softirq = (place::softirq_ms() - softirq) / (seconds * 1e3) * 100.0;
    cases.add("the machine's interrupts meanwhile".into(), "%", softirq);
    lab.stop()?;
    nothing_is_left()
}

/// Mininet with its hosts on a Linux bridge, in namespaces of its own: it ends processes by broad names.
fn mininet(topology: &str, cases: &mut Cases) -> Result<()> {
    let mut command = Command::new("unshare");
    command.args([
        "--net",
        "--pid",
        "--mount",
        "--mount-proc",
        "--fork",
        "--kill-child",
        "/usr/bin/python3",
        "-c",
    ]);
    let hosts = topology.trim_start_matches("single,");
    let text = good(command.arg(include_str!("lab/mininet.py")).arg(hosts))?;
    let line = text.lines().last().context("mininet says nothing")?;
    let times: Value = serde_json::from_str(line)?;
    let begun = Instant::now();
    nothing_is_left()?;
    let rest = milliseconds(begun);
    for (what, rest) in [("up", 0.0), ("stop", 0.0), ("gone", rest)] {
        let key = if what == "gone" { "stop" } else { what };
        let time = times[key].as_f64().with_context(|| format!("no {key} in {line}"))?;
        cases.add(format!("mininet {topology} {what}"), "ms", time * 1e3 + rest);
    }
    Ok(())
}
