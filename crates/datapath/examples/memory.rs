//! Cost of the datapath in memory, by number of flows: `cargo run --release -p heddle-datapath --example memory`.
//!
//! Packets of 64 bytes come from a generator in random order and leave by a sink, with the production key, caches, actions
//! and credit. The median of five interleaved rounds is printed in nanoseconds a packet, and the fastest and slowest beside
//! it; `extract` and `hash` are measured alone on the same frames. The last line is JSON.
#![allow(missing_docs)]

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use heddle_datapath::{Action, Decision, Engine, Translation, Translator, Usage};
use heddle_flow::{Field, FlowKey, FlowMask, PacketKey, extract};
use heddle_netdev::{Memory, Netdev, Order};
use heddle_wire::Packet;

const ROUNDS: usize = 5;
const PACKETS: usize = 2_000_000;

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

fn frames(count: usize) -> Vec<Vec<u8>> {
    let frame = |index: usize| {
        let mut frame = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0];
        frame.extend([0x45, 0, 0, 46, 0, 0, 0x40, 0, 64, 17, 0, 0, 10, 0, 0, 1]);
        frame.extend((0x0a80_0000 + (index >> 8) as u32).to_be_bytes());
        frame.extend([0x10, index as u8, 0, 53, 0, 26, 0, 0]);
        frame.resize(60, 0);
        frame
    };
    (0..count).map(frame).collect()
}

fn nanoseconds(count: usize, work: impl FnOnce()) -> f64 {
    let start = Instant::now();
    work();
    start.elapsed().as_nanos() as f64 / count as f64
}

fn extraction(frames: &[Vec<u8>], hash: bool) -> f64 {
    let mut key = PacketKey::default();
    nanoseconds(PACKETS, || {
        for index in 0..PACKETS {
            extract(black_box(&frames[index % frames.len()]), 1, 0, &mut key);
            black_box(if hash { key.hash() } else { key.common()[0] });
        }
    })
}

fn engine(flows: usize, counters: &Arc<Counters>) -> Engine<Connections> {
    let mut engine = Engine::new(Connections(Arc::clone(counters)), 7);
    let source: Arc<dyn Netdev> = {
        let templates = frames(flows).iter().map(|frame| Packet::from_frame(frame)).collect();
        Arc::new(
            Memory::generator("source", templates, Order::Random(42), u64::MAX).expect("there are templates"),
        )
    };
    let sink: Arc<dyn Netdev> = Arc::new(Memory::sink("sink").expect("an eventfd is to be had"));
    for (number, netdev) in [(1, &source), (2, &sink)] {
        engine.add_port(number, netdev).expect("memory devices give queues");
    }
    // Every flow is met before the clock runs.
    for _ in 0..flows * 16 / 32 + 1_000 {
        engine.poll(0);
    }
    engine
}

fn main() {
    let counters = Arc::new(Counters::default());
    let sizes = [1, 1_000, 10_000, 100_000];
    let mut engines: Vec<_> = sizes.iter().map(|&flows| engine(flows, &counters)).collect();
    let small = frames(64);
    let mut rounds: Vec<Vec<f64>> = vec![Vec::new(); sizes.len() + 2];
    for _ in 0..ROUNDS {
        rounds[0].push(extraction(&small, false));
        rounds[1].push(extraction(&small, true));
        for (index, engine) in engines.iter_mut().enumerate() {
            rounds[index + 2].push(nanoseconds(PACKETS, || {
                let mut done = 0;
                while done < PACKETS {
                    done += engine.poll(0);
                }
            }));
        }
    }
    let names = ["extract".to_owned(), "extract and hash".to_owned()];
    let names = names.into_iter().chain(sizes.iter().map(|flows| format!("whole path, {flows} flows")));
    let mut json = Vec::new();
    for (name, mut round) in names.zip(rounds) {
        round.sort_by(f64::total_cmp);
        println!("{name:<26} {:7.1} ns  ({:.1} to {:.1})", round[ROUNDS / 2], round[0], round[ROUNDS - 1]);
        json.push(format!("\"{name}\":{:.1}", round[ROUNDS / 2]));
    }
    engines.iter_mut().for_each(Engine::flush_credits);
    println!("{} packets credited", counters.packets.load(Ordering::Relaxed));
    println!("{{{}}}", json.join(","));
}
