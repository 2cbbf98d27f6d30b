//! Cost of the datapath in memory, by number of flows.
//!
//! Packets of 60 bytes come from a generator in random order and leave by a sink, with the production key, caches, actions
//! and attribution. What the generator takes to choose a frame and copy it is measured alone, and so are extraction and
//! hash; the whole path contains them.

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use anyhow::Result;
use heddle_datapath::engine::BATCH;
use heddle_datapath::{Action, Decision, Engine, Translation, Translator, Usage};
use heddle_flow::{Field, FlowKey, FlowMask, PacketKey, extract};
use heddle_netdev::{Memory, Netdev, Order, PacketPool, RxQueue};
use heddle_wire::Packet;

use crate::rounds::{self, Case};

/// What to measure.
#[derive(clap::Args)]
pub struct Options {
    /// Numbers of flows.
    #[arg(long, value_delimiter = ',', default_value = "1,1000,10000,100000")]
    flows: Vec<usize>,
    /// Packets of a sample.
    #[arg(long, default_value_t = 2_000_000)]
    packets: usize,
    /// Rounds; the median of each case is quoted.
    #[arg(long, default_value_t = 9)]
    rounds: usize,
}

/// Sends everything to port 2, looking at what a rule for a whole connection looks at.
struct Connections(Arc<Counters>);

/// What a megaflow keeps: whom it credits.
struct Kept(Arc<Counters>);

#[derive(Default)]
struct Counters {
    packets: AtomicU64,
}

impl Decision for Kept {
    fn is_current(&mut self, _: &FlowKey, _: &FlowMask) -> bool {
        true
    }
    fn credit(&self, usage: &Usage) {
        self.0.packets.fetch_add(usage.packets, Ordering::Relaxed);
    }
}

impl Translator for Connections {
    fn change_number(&self) -> u64 {
        0
    }
    fn translate(&mut self, _: &FlowKey, _: Option<&Packet>, _: u64, _: bool) -> Translation {
        let mut mask = FlowMask::default();
        for field in
            [Field::EthType, Field::NwProto, Field::Ipv4Src, Field::Ipv4Dst, Field::UdpSrc, Field::UdpDst]
        {
            mask.add(field);
        }
        let decision = Box::new(Kept(Arc::clone(&self.0)));
        Translation { actions: vec![Action::Output(2)], mask, decision, cacheable: true, drop: None }
    }
    fn punt(&mut self, _: u32, _: &FlowKey, _: &Packet, _: u16, _: u64) {}
}

/// UDP over IPv4, each with a destination and source port of its own.
fn frames(count: usize) -> Vec<Packet> {
    let frame = |index: usize| {
        let mut frame = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0];
        frame.extend([0x45, 0, 0, 46, 0, 0, 0x40, 0, 64, 17, 0, 0, 10, 0, 0, 1]);
        frame.extend((0x0a80_0000 + (index >> 8) as u32).to_be_bytes());
        frame.extend([0x10, index as u8, 0, 53, 0, 26, 0, 0]);
        frame.resize(60, 0);
        Packet::from_frame(&frame)
    };
    (0..count).map(frame).collect()
}

fn generator(flows: usize) -> Result<Arc<dyn Netdev>> {
    Ok(Arc::new(Memory::generator("source", frames(flows), Order::Random(42), u64::MAX)?))
}

fn nanoseconds(count: usize, work: impl FnOnce()) -> f64 {
    let start = Instant::now();
    work();
    start.elapsed().as_nanos() as f64 / count as f64
}

fn extraction(frames: &[Packet], packets: usize, hash: bool) -> f64 {
    let mut key = PacketKey::default();
    nanoseconds(packets, || {
        for index in 0..packets {
            extract(black_box(frames[index % frames.len()].data()), 1, 0, &mut key);
            black_box(if hash { key.hash() } else { key.common()[0] });
        }
    })
}

/// The generator alone: frames are taken and their buffers given back.
struct Alone {
    queue: Box<dyn RxQueue>,
    pool: PacketPool,
    batch: Vec<Packet>,
}

impl Alone {
    fn new(flows: usize) -> Result<Self> {
        let mut queues = generator(flows)?.take_rx_queues();
        let queue = queues.pop().ok_or_else(|| anyhow::anyhow!("the generator gives no queue"))?;
        Ok(Self { queue, pool: PacketPool::new(1024), batch: Vec::new() })
    }

    fn run(&mut self, packets: usize) -> f64 {
        nanoseconds(packets, || {
            let mut done = 0;
            while done < packets {
                done += self.queue.receive(&mut self.pool, &mut self.batch, BATCH);
                self.batch.drain(..).for_each(|packet| self.pool.give(packet));
            }
        })
    }
}

fn engine(flows: usize, counters: &Arc<Counters>) -> Result<Engine<Connections>> {
    let mut engine = Engine::new(Connections(Arc::clone(counters)), 7);
    let sink: Arc<dyn Netdev> = Arc::new(Memory::sink("sink")?);
    for (number, netdev) in [(1, &generator(flows)?), (2, &sink)] {
        engine.add_port(number, netdev)?;
    }
    // Every flow is met before the clock runs.
    for _ in 0..flows * 16 / BATCH + 1_000 {
        engine.poll(0);
    }
    Ok(engine)
}

fn whole(engine: &mut Engine<Connections>, packets: usize) -> f64 {
    nanoseconds(packets, || {
        let mut done = 0;
        while done < packets {
            done += engine.poll(0);
        }
    })
}

/// Measures, prints, and ends with JSON.
///
/// # Errors
/// If the system gives no descriptor.
pub fn run(options: &Options) -> Result<()> {
    let counters = Arc::new(Counters::default());
    let mut engines =
        options.flows.iter().map(|&flows| engine(flows, &counters)).collect::<Result<Vec<_>>>()?;
    let mut generators = options.flows.iter().map(|&flows| Alone::new(flows)).collect::<Result<Vec<_>>>()?;
    let mut cases = vec![Case::new("extract", "ns"), Case::new("extract and hash", "ns")];
    cases
        .extend(options.flows.iter().map(|flows| Case::new(format!("generator alone, {flows} flows"), "ns")));
    cases.extend(options.flows.iter().map(|flows| Case::new(format!("whole path, {flows} flows"), "ns")));
    let small = frames(64);
    for _ in 0..options.rounds {
        let mut samples =
            vec![extraction(&small, options.packets, false), extraction(&small, options.packets, true)];
        samples.extend(generators.iter_mut().map(|generator| generator.run(options.packets)));
        samples.extend(engines.iter_mut().map(|engine| whole(engine, options.packets)));
        cases.iter_mut().zip(samples).for_each(|(case, sample)| case.add(sample));
    }
    rounds::print(&cases);
    engines.iter_mut().for_each(Engine::flush_credits);
    println!("{} packets credited", counters.packets.load(Ordering::Relaxed));
    println!("{}", serde_json::Value::Object(rounds::json(&cases)));
    Ok(())
}
