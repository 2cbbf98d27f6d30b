//! What established flows keep of their rate while flows and addresses change elsewhere in their bridge.
//!
//! A poll thread forwards between two devices in memory, by the whole pipeline: two tables, then NORMAL. Meanwhile a
//! controller adds and removes flows of another port, and packets with source addresses never seen come in by that port.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use heddle_datapath::{Clock, Datapath, Engine};
use heddle_netdev::{Memory, Netdev, Order};
use heddle_openflow::{Command, text::parse_flow};
use heddle_pipeline::{Attachment, Bridge, Network, Pipeline, Place, Port};
use heddle_wire::Packet;
use serde_json::json;

use crate::rounds::{self, Case};

/// What to measure.
#[derive(clap::Args)]
pub struct Options {
    /// Numbers of established flows.
    #[arg(long, value_delimiter = ',', default_value = "1000,10000")]
    flows: Vec<usize>,
    /// Flow-mods a second.
    #[arg(long, default_value_t = 1000)]
    flow_mods: u64,
    /// New addresses a second.
    #[arg(long, default_value_t = 1000)]
    addresses: u64,
    /// Seconds of a sample.
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
    /// Rounds, each a sample undisturbed and one disturbed.
    #[arg(long, default_value_t = 7)]
    rounds: usize,
}

/// Ports of the bridge: the established flows' two, and the one where all changes.
const IN: u32 = 1;
const OUT: u32 = 2;
const ELSEWHERE: u32 = 3;

/// The address that established flows go to, learned at `OUT`.
const TARGET: [u8; 6] = [2, 0, 0, 0, 0, 2];

fn frame(to: [u8; 6], from: u32, flow: u32) -> Packet {
    let mut frame = to.to_vec();
    frame.extend([2, 0]);
    frame.extend(from.to_be_bytes());
    frame.extend([8, 0, 0x45, 0, 0, 46, 0, 0, 0x40, 0, 64, 17, 0, 0, 10, 0, 0, 1]);
    frame.extend((0x0a80_0000 + (flow >> 8)).to_be_bytes());
    frame.extend([0x10, flow as u8, 0, 53, 0, 26, 0, 0]);
    frame.resize(60, 0);
    Packet::from_frame(&frame)
}

/// A bridge under load.
struct World {
    network: Arc<Network>,
    bridge: Arc<Bridge>,
    datapath: Datapath<Pipeline>,
    clock: Clock,
    source: Arc<Memory>,
    sink: Arc<Memory>,
    strangers: Arc<Memory>,
    flow_mods: u32,
}

/// Source addresses that strangers have in turn.
const STRANGERS: u32 = 1 << 15;

impl World {
    fn new(flows: usize) -> Result<Self> {
        let network = Arc::new(Network::default());
        let bridge = network.add_bridge("s1", Box::new(|_| true)).context("the bridge is new")?;
        let (clock, engine) = (Clock::default(), Engine::new(Pipeline::new(Arc::clone(&network)), 7));
        let datapath = Datapath::start(engine, clock.clone())?;
        let established = (0..flows as u32).map(|flow| frame(TARGET, 1, flow)).collect();
        let strange = (0..STRANGERS).map(|from| frame(TARGET, 0x100_0000 + from, 0)).collect();
        let generator = |name, templates, order| Memory::generator(name, templates, order, 0).map(Arc::new);
        let world = Self {
            source: generator("source", established, Order::Random(42))?,
            sink: Arc::new(Memory::sink("sink")?),
            strangers: generator("strangers", strange, Order::Sequential)?,
            network,
            bridge,
            datapath,
            clock,
            flow_mods: 0,
        };
        let devices = [(IN, &world.source), (OUT, &world.sink), (ELSEWHERE, &world.strangers)];
        devices.into_iter().try_for_each(|(number, device)| world.add_port(number, device.clone()))?;
        world.flow_mod("table=0,priority=1,actions=goto_table:1", Command::Add)?;
        world.flow_mod("table=1,priority=1,udp,tp_dst=53,actions=NORMAL", Command::Add)?;
        // Looking for this one makes each connection a megaflow of its own.
        let connection = "udp,nw_src=192.0.2.1,nw_dst=192.0.2.2,tp_src=9,tp_dst=9";
        world.flow_mod(&format!("table=1,priority=2,{connection},actions=drop"), Command::Add)?;
        world.bridge.fdb.learn(0, 0x0200_0000_0002, OUT, world.clock.now_ms());
        world.bridge.touch();
        Ok(world)
    }

    fn add_port(&self, number: u32, netdev: Arc<dyn Netdev>) -> Result<()> {
        let datapath_port = self.network.allocate_port();
        let place = Place { bridge: Arc::clone(&self.bridge), port: number, counters: None };
        self.network.attach(datapath_port, place);
        let port = Port::new(number, netdev.name(), [0; 6], Attachment::Device(datapath_port));
        self.bridge.publish(|snapshot, changes| {
            snapshot.ports.insert_mut(number, Arc::new(port));
            changes.everything();
        });
        let added = self.datapath.ask(move |context| context.add_port(datapath_port, &netdev));
        Ok(added.ok_or_else(|| anyhow!("the poll thread has ended"))??)
    }

    fn flow_mod(&self, text: &str, command: Command) -> Result<()> {
        let mut flow = parse_flow(text)?;
        flow.command = command;
        let done = self.bridge.flow_mod(&flow, self.clock.now_ms());
        done.map(drop).map_err(|error| anyhow!("{text}: {}", error.name()))
    }

    /// A flow of the port elsewhere comes, or the oldest of a hundred goes.
    fn change_a_flow(&mut self) -> Result<()> {
        let number = self.flow_mods / 2;
        let (number, command) = if self.flow_mods.is_multiple_of(2) {
            (number, Command::Add)
        } else {
            (number.wrapping_sub(100), Command::DeleteStrict)
        };
        self.flow_mods += 1;
        let (high, low) = (number >> 8 & 0xff, number & 0xff);
        self.flow_mod(
            &format!("table=0,priority=9,in_port=3,ip,nw_dst=10.9.{high}.{low},actions=drop"),
            command,
        )
    }

    fn arrived(&self) -> u64 {
        self.sink.statistics().tx_packets
    }

    fn upcalls(&self) -> u64 {
        self.datapath.ask(|context| context.engine.upcalls()).unwrap_or(0)
    }

    /// Nanoseconds that the poll thread has run.
    fn poll_thread_ns(&self) -> Result<u64> {
        let read = |_: &mut _| std::fs::read_to_string("/proc/thread-self/schedstat");
        let schedstat = self.datapath.ask(read).ok_or_else(|| anyhow!("the poll thread has ended"))??;
        Ok(schedstat.split_whitespace().next().context("an empty schedstat")?.parse()?)
    }

    /// Packets that arrive for each microsecond that the poll thread runs, so that who else uses the processor does not
    /// count; the port elsewhere changes at these rates meanwhile.
    fn sample(&mut self, seconds: f64, flow_mods: u64, addresses: u64) -> Result<Sample> {
        let (upcalls, ran, arrived, start) =
            (self.upcalls(), self.poll_thread_ns()?, self.arrived(), Instant::now());
        let (mut changed, mut met) = (0, 0);
        loop {
            let elapsed = start.elapsed().as_secs_f64();
            let due = |rate: u64| (rate as f64 * elapsed.min(seconds)) as u64;
            while changed < due(flow_mods) {
                self.change_a_flow()?;
                changed += 1;
            }
            self.strangers.allow(due(addresses) - met);
            met = due(addresses);
            if elapsed >= seconds {
                break;
            }
            std::thread::sleep(Duration::from_micros(if flow_mods + addresses == 0 { 10_000 } else { 500 }));
        }
        let packets = self.arrived() - arrived;
        let mpps = packets as f64 * 1e3 / (self.poll_thread_ns()? - ran) as f64;
        let upcalls = self.upcalls() - upcalls;
        // Room in the database for the strangers of the next sample.
        self.bridge.fdb.forget(|entry| entry.port == ELSEWHERE);
        self.bridge.touch();
        Ok(Sample { mpps, upcalls, changed, met })
    }
}

/// What a sample saw.
struct Sample {
    mpps: f64,
    upcalls: u64,
    changed: u64,
    met: u64,
}

/// Measures, prints, and ends with JSON.
///
/// # Errors
/// If the system gives no thread or descriptor.
pub fn run(options: &Options) -> Result<()> {
    let mut all = serde_json::Map::new();
    for &flows in &options.flows {
        let mut world = World::new(flows)?;
        world.source.allow(u64::MAX);
        // Every flow is met before the clock runs.
        world.sample(0.2, 0, 0)?;
        let mut calm = Case::new(format!("undisturbed, {flows} flows"), "Mpps");
        let mut busy = Case::new(format!("disturbed, {flows} flows"), "Mpps");
        let mut kept = Case::new(format!("kept of the rate, {flows} flows"), "");
        let (mut upcalls, mut changed, mut met) = (0, 0, 0);
        for _ in 0..options.rounds {
            let undisturbed = world.sample(options.seconds, 0, 0)?;
            let disturbed = world.sample(options.seconds, options.flow_mods, options.addresses)?;
            calm.add(undisturbed.mpps);
            busy.add(disturbed.mpps);
            kept.add(disturbed.mpps / undisturbed.mpps);
            upcalls += disturbed.upcalls;
            changed += disturbed.changed;
            met += disturbed.met;
        }
        let cases = [calm, busy, kept];
        rounds::print(&cases);
        println!("{changed} flow-mods, {met} new addresses, {upcalls} translations while disturbed");
        all.extend(rounds::json(&cases));
        all.insert(
            format!("translations, {flows} flows"),
            json!({ "flow_mods": changed, "addresses": met, "translations": upcalls }),
        );
    }
    println!("{}", json!({ "churn": all }));
    Ok(())
}
