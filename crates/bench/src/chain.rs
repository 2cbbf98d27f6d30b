//! Switches in a row between two hosts: TCP and round trip by their number, beside the Linux bridge and Open vSwitch, and
//! what a packet costs in instructions.

use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use heddle_datapath::Engine;
use heddle_netdev::{Memory, Netdev, Order};
use heddle_openflow::text::parse_flow;
use heddle_pipeline::{Attachment, Bridge, Network, Pipeline, Place, Port};
use heddle_wire::Packet;
use serde_json::{Map, Value, json};

use crate::namespaces::lab::{Kind, Lab};
use crate::namespaces::measure;
use crate::rounds::{self, Case};

/// What to measure.
#[derive(clap::Args)]
pub struct Options {
    /// Numbers of switches in a row.
    #[arg(long, value_delimiter = ',', default_value = "1,2,4,8,16")]
    switches: Vec<usize>,
    /// The switches to compare.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "bridge,heddle,ovs")]
    kinds: Vec<Kind>,
    /// Rounds; medians are quoted.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Seconds of a throughput sample.
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
    /// Pings of a round-trip sample, a millisecond apart.
    #[arg(long, default_value_t = 300)]
    pings: usize,
    /// What the namespaces' names begin with.
    #[arg(long, default_value = "heddle-bench")]
    prefix: String,
    /// The `heddle` program.
    #[arg(long, default_value = "target/release/heddle")]
    heddle: PathBuf,
}

/// A row in memory, for counting instructions.
#[derive(clap::Args)]
pub struct Row {
    /// Switches in a row.
    #[arg(long)]
    switches: usize,
    /// Packets that pass.
    #[arg(long)]
    packets: u64,
}

/// What a shaped link of a row has.
const SHAPED: &str = "rate: 1gbit, delay: 100us";

/// Measures, prints, and ends with JSON.
///
/// # Errors
/// If a namespace, a switch or a program that measures fails.
pub fn run(options: &Options) -> Result<()> {
    ensure!(options.rounds != 0 && !options.switches.is_empty(), "there is at least one round and number");
    let instructions = instructions(options)?;
    let (present, absent): (Vec<Kind>, Vec<Kind>) =
        options.kinds.iter().partition(|kind| kind.is_installed());
    absent.iter().for_each(|kind| println!("SKIPPED: {} is not installed", kind.name()));
    let mut cases = Vec::new();
    let rows: Vec<(Kind, usize)> =
        present.iter().flat_map(|kind| options.switches.iter().map(|number| (*kind, *number))).collect();
    for (kind, number) in &rows {
        cases.push(Case::new(format!("{} {number} tcp", kind.name()), "Gbit/s"));
        cases.push(Case::new(format!("{} {number} ping", kind.name()), "us"));
    }
    for number in &options.switches {
        cases.push(Case::new(format!("heddle {number} shaped tcp"), "Gbit/s"));
        cases.push(Case::new(format!("heddle {number} shaped ping"), "us"));
    }
    for round in 0..options.rounds {
        let mut samples = Vec::with_capacity(cases.len());
        for (kind, number) in &rows {
            // One at a time: what stands and waits would take its part of the machine.
            let lab = Lab::start(*kind, &options.prefix, &options.heddle, *number)?;
            samples.push(measure::tcp(&lab, options.seconds)?.gbits);
            samples.push(measure::ping(&lab, options.pings)?.median);
        }
        for number in &options.switches {
            samples.extend(shaped(options, *number)?);
        }
        cases.iter_mut().zip(samples).for_each(|(case, sample)| case.add(sample));
        eprintln!("round {} of {}", round + 1, options.rounds);
    }
    rounds::print(&cases);
    let ratios = ratios(&present, options, &cases);
    println!("{}", json!({ "chain": rounds::json(&cases), "instructions": instructions, "ratios": ratios }));
    Ok(())
}

/// TCP of a row against that of one switch, and against the Linux bridge's of the same length.
fn ratios(present: &[Kind], options: &Options, cases: &[Case]) -> Map<String, Value> {
    let mut ratios = Map::new();
    let find = |kind: Kind, number: usize| {
        let name = format!("{} {number} tcp", kind.name());
        cases.iter().find(|case| case.name() == name)
    };
    for kind in present {
        for number in &options.switches {
            let (Some(case), Some(one)) = (find(*kind, *number), find(*kind, options.switches[0])) else {
                continue;
            };
            let mut line =
                format!("{:<24} {:6.2} of {} of them", case.name(), case.ratio(one), options.switches[0]);
            ratios.insert(format!("{} of one", case.name()), json!(case.ratio(one)));
            if let Some(bridge) = find(Kind::Bridge, *number).filter(|_| *kind != Kind::Bridge) {
                line += &format!(", {:6.2} of the bridge's", case.ratio(bridge));
                ratios.insert(format!("{} of the bridge", case.name()), json!(case.ratio(bridge)));
            }
            println!("{line}");
        }
    }
    ratios
}

/// TCP in Gbit/s and round trip in us through a row whose links between switches are shaped.
fn shaped(options: &Options, switches: usize) -> Result<[f64; 2]> {
    let folder = std::env::temp_dir().join(format!("{}-shaped", options.prefix));
    std::fs::create_dir_all(&folder)?;
    let mut file = String::from("topology:\n  hosts: { h1: , h2: }\n  switches:\n");
    (1..=switches).for_each(|number| file += &format!("    s{number}:\n"));
    file += &format!("  links:\n    - [h1, s1]\n    - [h2, s{switches}]\n");
    for (number, next) in (1..switches).zip(2..) {
        file += &format!("    - {{ a: s{number}, b: s{next}, {SHAPED} }}\n");
    }
    file += &format!(
        "controller: none\nprograms:\n  \
         - {{ name: server, host: h2, run: exec iperf3 -s -1 }}\n  \
         - {{ name: ping, host: h1, run: ping -n -i 0.01 -c 50 10.0.0.2 }}\n  \
         - {{ name: client, host: h1, at: 1500ms, run: exec iperf3 -c 10.0.0.2 -J -t {} }}\n",
        options.seconds.max(1.0)
    );
    let path = folder.join("row.yaml");
    std::fs::write(&path, file)?;
    let mut command = Command::new(&options.heddle);
    command.args(["lab", "run", "--json", "--output"]).arg(&folder).arg(&path);
    let ran = command.env("HEDDLE_RUNDIR", &folder).output().context("heddle")?;
    ensure!(ran.status.success(), "heddle lab run: {}", String::from_utf8_lossy(&ran.stderr));
    let report: Value =
        serde_json::from_slice(&std::fs::read(folder.join("client.out"))?).context("iperf3")?;
    let bits = report["end"]["sum_received"]["bits_per_second"].as_f64().context("iperf3 reports no rate")?;
    let pings = std::fs::read_to_string(folder.join("ping.out"))?;
    let times = measure::round_trips(&pings);
    let median = times.get(times.len() / 2).context("no ping was answered")?;
    let _ = std::fs::remove_dir_all(&folder);
    Ok([bits / 1e9, median * 1e3])
}

/// Instructions of a packet by the number of switches, counted by callgrind: the difference of two runs, so that what is done
/// once does not count.
fn instructions(options: &Options) -> Result<Map<String, Value>> {
    let mut counted = Map::new();
    if Command::new("valgrind").arg("--version").output().is_err() {
        println!("SKIPPED: instructions need valgrind");
        return Ok(counted);
    }
    let own = std::env::current_exe()?;
    let total = |switches: usize, packets: u64| -> Result<f64> {
        let mut command = Command::new("valgrind");
        command.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]).arg(&own);
        command.args(["row", "--switches", &switches.to_string(), "--packets", &packets.to_string()]);
        let output = command.output().context("valgrind")?;
        let said = String::from_utf8_lossy(&output.stderr);
        let line = said.lines().find_map(|line| line.split("Collected : ").nth(1));
        line.and_then(|count| count.trim().parse().ok()).with_context(|| format!("callgrind: {said}"))
    };
    let (few, many) = (20_000, 120_000);
    let mut first = None;
    for &switches in &options.switches {
        let each = (total(switches, many)? - total(switches, few)?) / (many - few) as f64;
        let first = *first.get_or_insert(each);
        println!(
            "{:<40} {each:9.1} instructions a packet, {:.3} of the first",
            format!("{switches} in memory"),
            each / first
        );
        counted.insert(switches.to_string(), json!(each));
    }
    Ok(counted)
}

/// Passes packets through a row of bridges in memory, joined as those of a lab are.
///
/// # Errors
/// If the system gives no descriptor.
pub fn pass(row: &Row) -> Result<()> {
    let network = Arc::new(Network::default());
    let bridges = (1..=row.switches).map(|number| {
        network.add_bridge(&format!("s{number}"), Box::new(|_| true)).context("the bridge is new")
    });
    let bridges: Vec<Arc<Bridge>> = bridges.collect::<Result<_>>()?;
    let mut engine = Engine::new(Pipeline::new(Arc::clone(&network)), 7);
    let mut frame = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0];
    frame.extend([0x45, 0, 0, 46, 0, 0, 0x40, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
    frame.extend([0x10, 1, 0, 53, 0, 26, 0, 0]);
    frame.resize(60, 0);
    let template = vec![Packet::from_frame(&frame)];
    let source: Arc<dyn Netdev> =
        Arc::new(Memory::generator("source", template, Order::Sequential, row.packets)?);
    let sink: Arc<dyn Netdev> = Arc::new(Memory::sink("sink")?);
    let attach = |engine: &mut Engine<Pipeline>, bridge: &Arc<Bridge>, port, netdev: &Arc<dyn Netdev>| {
        let number = network.allocate_port();
        network.attach(number, Place { bridge: Arc::clone(bridge), port, counters: None });
        engine.add_port(number, netdev).map(|_| Attachment::Device(number))
    };
    for (place, bridge) in bridges.iter().enumerate() {
        let number = place + 1;
        let patch = |peer: usize, port: String| Attachment::Patch { bridge: format!("s{peer}"), port };
        let left = match number {
            1 => attach(&mut engine, bridge, 1, &source)?,
            _ => patch(number - 1, format!("r{}", number - 1)),
        };
        let right = if number == row.switches {
            attach(&mut engine, bridge, 2, &sink)?
        } else {
            patch(number + 1, format!("l{}", number + 1))
        };
        for (name, number, attachment) in [(format!("l{number}"), 1, left), (format!("r{number}"), 2, right)]
        {
            add_port(bridge, name, number, attachment);
        }
        let flow = parse_flow("in_port=1,actions=output:2")?;
        let added = bridge.flow_mod(&flow, 0);
        added.map_err(|error| anyhow::anyhow!("the flow is refused: {}", error.name()))?;
    }
    let mut passed = 0;
    while passed < row.packets {
        passed += engine.poll(0) as u64;
    }
    let arrived = sink.statistics().tx_packets;
    ensure!(arrived == row.packets, "{arrived} of {} packets arrived", row.packets);
    Ok(())
}

fn add_port(bridge: &Bridge, name: String, number: u32, attachment: Attachment) {
    let port = Port::new(number, name, [0; 6], attachment);
    bridge.publish(|snapshot, changes| {
        snapshot.ports.insert_mut(number, Arc::new(port));
        changes.everything();
    });
}
