//! What links were asked for against what programs in hosts measure: one shaped link, and many at once.
//!
//! Each row is an experiment of its own (`heddle lab run`), so that the program's word is checked by others' programs:
//! `iperf3` counts what arrives, `ping` takes the time, datagrams are numbered.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::{Value, json};

use crate::namespaces::measure;

/// Options of `heddle-bench links`.
#[derive(Args)]
pub struct Options {
    /// The program.
    #[arg(long)]
    heddle: PathBuf,
    /// Links that are shaped at once in the second half of the table.
    #[arg(long, default_value_t = 50)]
    links: usize,
    /// Seconds of each throughput.
    #[arg(long, default_value_t = 5)]
    seconds: u32,
    /// Datagrams that losses are counted by.
    #[arg(long, default_value_t = 20_000)]
    datagrams: u32,
}

/// Bytes of a datagram's payload, and of its frame.
const PAYLOAD: f64 = 1448.0;
const FRAME: f64 = PAYLOAD + 42.0;

/// Sends or receives numbered datagrams, and prints those that came.
const DATAGRAMS: &str = r#"
import socket, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
count = int(sys.argv[2])
if sys.argv[1] == "receive":
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
    s.bind(("", 9)); s.settimeout(4)
    got = set()
    try:
        while True: got.add(int(s.recv(64)))
    except TimeoutError: pass
    print(" ".join(str(n) for n in sorted(set(range(count)) - got)))
else:
    begun = time.monotonic()
    for n in range(count):
        s.sendto(b"%d" % n, (sys.argv[3], 9))
        ahead = n / float(sys.argv[4]) - (time.monotonic() - begun)
        if ahead > 0.002: time.sleep(ahead)
"#;

/// What a row asks for.
enum Asked {
    /// Bits per second.
    Rate(f64),
    /// Seconds, one way.
    Delay(f64),
    /// A probability.
    Loss(f64),
}

/// A measured row.
struct Row {
    links: usize,
    settings: String,
    measured: String,
    /// How far off, in words, and whether that is within what SPECIFICATION.md allows.
    off: String,
    holds: bool,
    kept: bool,
}

struct Bench<'a> {
    options: &'a Options,
    directory: PathBuf,
    rows: Vec<Row>,
    /// Seconds of a round trip where nothing is asked for, by the number of links.
    bare: BTreeMap<usize, f64>,
}

/// From this rate on, TCP's segments fill a link; a program of its own for each datagram does not.
const BY_TCP: f64 = 5e8;
/// Bytes of a TCP segment's payload, with time stamps, and of its frame.
const TCP_PAYLOAD: f64 = 1448.0;
const TCP_FRAME: f64 = TCP_PAYLOAD + 66.0;
/// Datagrams a second, of all links together.
const DATAGRAMS_A_SECOND: u32 = 5_000;

/// Runs the benchmark.
pub fn run(options: &Options) -> Result<()> {
    let directory = std::env::temp_dir().join(format!("heddle-bench-links-{}", std::process::id()));
    std::fs::create_dir_all(&directory)?;
    std::fs::write(directory.join("datagrams.py"), DATAGRAMS)?;
    let mut bench = Bench { options, directory, rows: vec![], bare: BTreeMap::new() };
    let outcome = bench.all();
    let _ = std::fs::remove_dir_all(&bench.directory);
    outcome
}

impl Bench<'_> {
    fn all(&mut self) -> Result<()> {
        println!("{:<6} {:<34} {:<32} {:<26} machine", "links", "asked", "measured", "off");
        for (settings, asked) in [
            ("rate=1mbit", Asked::Rate(1e6)),
            ("rate=10mbit", Asked::Rate(1e7)),
            ("rate=100mbit", Asked::Rate(1e8)),
            ("rate=1gbit", Asked::Rate(1e9)),
            ("delay=1ms", Asked::Delay(1e-3)),
            ("delay=10ms", Asked::Delay(1e-2)),
            ("delay=100ms", Asked::Delay(1e-1)),
            ("loss=0.1%", Asked::Loss(1e-3)),
            ("loss=1%", Asked::Loss(1e-2)),
            ("loss=10%", Asked::Loss(1e-1)),
        ] {
            self.row(1, settings, &asked)?;
        }
        for (settings, asked) in [
            ("rate=1mbit", Asked::Rate(1e6)),
            ("rate=10mbit", Asked::Rate(1e7)),
            ("delay=10ms", Asked::Delay(1e-2)),
            ("loss=1%", Asked::Loss(1e-2)),
        ] {
            self.row(self.options.links, settings, &asked)?;
        }
        let repeats = self.repeats("rate=100mbit,delay=10ms,loss=1%")?;
        let rows: Vec<Value> = self
            .rows
            .iter()
            .map(|row| {
                json!({ "links": row.links, "asked": row.settings, "measured": row.measured, "off": row.off,
                        "holds": row.holds, "machine_kept_up": row.kept })
            })
            .collect();
        let holding = self.rows.iter().filter(|row| row.holds).count();
        println!("{holding} of {} rows are within their bounds", self.rows.len());
        println!("{}", json!({ "benchmark": "links", "rows": rows, "same_seed_same_losses": repeats }));
        Ok(())
    }

    /// Datagrams of each of so many links.
    fn datagrams(&self, links: usize) -> u32 {
        self.options.datagrams / links.clamp(1, 10) as u32
    }

    /// Seconds of a round trip over so many links of which nothing is asked, measured once.
    fn bare(&mut self, links: usize) -> Result<f64> {
        if let Some(known) = self.bare.get(&links) {
            return Ok(*known);
        }
        let (mut samples, _) = self.measure(links, "delay=0ms", &Asked::Delay(0.0))?;
        samples.sort_by(f64::total_cmp);
        let middle = samples[samples.len() / 2];
        self.bare.insert(links, middle);
        Ok(middle)
    }

    /// Measures and prints a row: on each of `links` pairs of hosts at once, the first host's link is shaped.
    fn row(&mut self, links: usize, settings: &str, asked: &Asked) -> Result<()> {
        let bare = if matches!(asked, Asked::Delay(_)) { self.bare(links)? } else { 0.0 };
        let (mut samples, kept) = self.measure(links, settings, asked)?;
        // The round trip's own time is not the link's.
        samples.iter_mut().for_each(|sample| *sample -= bare);
        samples.sort_by(f64::total_cmp);
        let (least, most) = (samples[0], samples[samples.len() - 1]);
        let middle = samples[samples.len() / 2];
        let (measured, off, holds) = match *asked {
            Asked::Rate(rate) => {
                let off = |sample: f64| 100.0 * (sample - rate) / rate;
                let worst = if off(most).abs() > off(least).abs() { most } else { least };
                let mbit = |sample: f64| sample / 1e6;
                let measured =
                    format!("{:.3} Mbit/s ({:.3} to {:.3})", mbit(middle), mbit(least), mbit(most));
                (measured, format!("{:+.2} %", off(worst)), off(worst).abs() <= 2.0)
            }
            Asked::Delay(delay) => {
                let worst = if (most - delay).abs() > (least - delay).abs() { most } else { least };
                let ms = |sample: f64| sample * 1e3;
                let measured = format!("{:.3} ms ({:.3} to {:.3})", ms(middle), ms(least), ms(most));
                let off = worst - delay;
                let holds = off.abs() <= (delay * 0.05).max(2e-4);
                (measured, format!("{:+.3} ms", ms(off)), holds)
            }
            Asked::Loss(loss) => {
                // All links' datagrams together: the normal approximation of the binomial's 99 % interval.
                let count = f64::from(self.datagrams(links)) * links as f64;
                let lost: f64 = samples.iter().sum();
                let bound = 2.576 * (count * loss * (1.0 - loss)).sqrt() + 0.5;
                let off = lost - count * loss;
                let measured = format!("{lost:.0} of {count:.0} datagrams");
                (measured, format!("{off:+.0}, may be {bound:.0}"), off.abs() <= bound)
            }
        };
        let (settings, kept_word) = (settings.to_owned(), if kept { "kept up" } else { "too slow" });
        println!("{links:<6} {settings:<34} {measured:<32} {off:<26} {kept_word}");
        self.rows.push(Row { links, settings, measured, off, holds, kept });
        Ok(())
    }

    /// What each link measures, and whether the machine kept up.
    fn measure(&self, links: usize, settings: &str, asked: &Asked) -> Result<(Vec<f64>, bool)> {
        let seconds = self.options.seconds;
        let whole = seconds.saturating_sub(2).max(1);
        let datagrams = self.datagrams(links);
        let (server, client) = match asked {
            Asked::Rate(rate) if *rate >= BY_TCP => {
                ("exec iperf3 -s -1 -J".to_owned(), format!("exec iperf3 -c ADDRESS -t {seconds} -J"))
            }
            // A tenth more than the link takes, so that it is never idle.
            Asked::Rate(rate) => (
                "exec iperf3 -s -1 -J".to_owned(),
                format!("exec iperf3 -c ADDRESS -u -b {} -l {PAYLOAD} -t {seconds} -J", rate * 1.1),
            ),
            Asked::Delay(_) => ("true".to_owned(), "exec ping -n -c 100 -i 0.05 ADDRESS".to_owned()),
            Asked::Loss(_) => (
                format!("exec python3 datagrams.py receive {datagrams}"),
                format!(
                    "exec python3 datagrams.py send {datagrams} ADDRESS {}",
                    DATAGRAMS_A_SECOND / links as u32
                ),
            ),
        };
        let (outputs, kept) = self.experiment(links, settings, &server, &client)?;
        let samples = outputs.iter().map(|(server, client)| match asked {
            Asked::Rate(rate) => {
                let received: Value = serde_json::from_str(server).context("iperf3 gave no result")?;
                // Whole seconds, without those in which it begins and ends.
                let seconds = received["intervals"].as_array().map_or(&[][..], Vec::as_slice);
                let rates = seconds.iter().filter_map(|second| second["sum"]["bits_per_second"].as_f64());
                let rates: Vec<f64> = rates.skip(1).take(whole as usize).collect();
                if rates.is_empty() {
                    bail!("iperf3 received nothing: {server}");
                }
                let overhead = if *rate >= BY_TCP { TCP_FRAME / TCP_PAYLOAD } else { FRAME / PAYLOAD };
                Ok(rates.iter().sum::<f64>() / rates.len() as f64 * overhead)
            }
            Asked::Delay(_) => {
                let times = measure::round_trips(client);
                let median = times.get(times.len() / 2).context("ping gave no time")?;
                Ok(median / 1e3)
            }
            Asked::Loss(_) => Ok(server.split_whitespace().count() as f64),
        });
        Ok((samples.collect::<Result<Vec<f64>>>()?, kept))
    }

    /// Runs servers and clients in pairs of hosts whose first link is shaped towards the switch; what they wrote.
    fn experiment(
        &self,
        links: usize,
        settings: &str,
        server: &str,
        client: &str,
    ) -> Result<(Vec<(String, String)>, bool)> {
        let mut file = String::from("topology:\n  switches: { s1: }\n  hosts:\n");
        (1..=2 * links).for_each(|host| file += &format!("    h{host}:\n"));
        file += "  links:\n";
        for link in 1..=links {
            let (near, far) = (2 * link - 1, 2 * link);
            file += &format!("    - {{ a: h{near}, b: s1, a_to_b: {{ {} }} }}\n", map(settings));
            file += &format!("    - [h{far}, s1]\n");
        }
        file += "controller: none\nduration: 120s\nprograms:\n";
        for link in 1..=links {
            let (near, far) = (2 * link - 1, 2 * link);
            let [b, c, d] = [(far >> 16) & 255, (far >> 8) & 255, far & 255];
            let client = client.replace("ADDRESS", &format!("10.{b}.{c}.{d}"));
            file += &format!("  - {{ name: server-{link}, host: h{far}, run: {} }}\n", quoted(server));
            // Neighbours are found first, and clients start a little apart.
            let warm = format!("ping -n -c 1 -W 5 10.{b}.{c}.{d} >&2; {client}");
            let at = 500 + 20 * link;
            let run = quoted(&warm);
            file += &format!("  - {{ name: client-{link}, host: h{near}, run: {run}, at: {at}ms }}\n");
        }
        let path = self.directory.join("experiment.yaml");
        std::fs::write(&path, file)?;
        let output = self.directory.join("out");
        let _ = std::fs::remove_dir_all(&output);
        let mut command = Command::new(&self.options.heddle);
        command.args(["lab", "run", "--json", "--output"]).arg(&output).arg(&path);
        let ran = command.env("HEDDLE_RUNDIR", &self.directory).output().context("heddle")?;
        if !ran.status.success() {
            bail!("heddle lab run: {}", String::from_utf8_lossy(&ran.stderr));
        }
        let report: Value = serde_json::from_slice(&ran.stdout).context("heddle lab run gave no report")?;
        let read = |name: String| {
            let path = output.join(format!("{name}.out"));
            std::fs::read_to_string(&path).with_context(|| path.display().to_string())
        };
        let pairs = (1..=links)
            .map(|link| Ok((read(format!("server-{link}"))?, read(format!("client-{link}"))?)))
            .collect::<Result<_>>()?;
        Ok((pairs, report["fidelity"]["kept"] == true))
    }

    /// Whether the same datagrams are lost in two runs with the same seed.
    fn repeats(&self, settings: &str) -> Result<bool> {
        let count = self.options.datagrams;
        let server = format!("exec python3 datagrams.py receive {count}");
        let client = format!("exec python3 datagrams.py send {count} ADDRESS 4000");
        let lost = || -> Result<String> {
            let (outputs, _) = self.experiment(1, settings, &server, &client)?;
            Ok(outputs[0].0.trim().to_owned())
        };
        let (first, second) = (lost()?, lost()?);
        let same = first == second && !first.is_empty();
        let lost = first.split_whitespace().count();
        let word = if same { "the same" } else { "NOT the same" };
        println!("{settings} twice: {lost} of {count} datagrams lost, {word} both times");
        Ok(same)
    }
}

/// Settings as a map.
fn map(settings: &str) -> String {
    settings.split(',').map(|word| word.replace('=', ": ")).collect::<Vec<_>>().join(", ")
}

/// A line as YAML has it in quotes.
fn quoted(line: &str) -> String {
    format!("\"{}\"", line.replace('\\', "\\\\").replace('"', "\\\""))
}
