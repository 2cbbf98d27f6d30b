//! Cost of emulated links: a wire packet through a line, and a timer through the wheel, by how many lines there are.
//!
//! Time in a line is virtual, so a measurement runs as fast as it can: packets are offered as the rate has it, and taken as a
//! thread would that wakes every 50 us.

use std::net::Ipv4Addr;
use std::time::Instant;

use anyhow::{Context, Result};
use heddle_link::{Line, Profile, Wheel};
use heddle_wire::build::{FrameBuilder, Transport};
use heddle_wire::locate::headers;
use heddle_wire::transport::{TcpRepr, UdpRepr};
use heddle_wire::{Checksum, GsoType, Offload, Packet, PacketPool};
use serde_json::json;

use crate::rounds::{self, Case};

/// What to measure.
#[derive(clap::Args)]
pub struct Options {
    /// Numbers of lines with a timer each.
    #[arg(long, value_delimiter = ',', default_value = "1,1000,100000")]
    lines: Vec<u32>,
    /// Wire packets, and timers, of a sample.
    #[arg(long, default_value_t = 2_000_000)]
    packets: u64,
    /// Rounds; the median of each case is quoted.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
}

/// How often packets are taken, in nanoseconds.
const WAKE: u64 = 50_000;
/// Payload bytes of a piece.
const PIECE: u16 = 1448;

/// A profile, and whether its packets come as segments.
const PROFILES: &[(&str, &str)] = &[
    ("nothing", "perfect"),
    ("10 ms", "delay=10ms"),
    ("10 Gbit/s, 10 ms", "rate=10gbit delay=10ms queue=100000"),
    ("10 Gbit/s, 10 ms, 1 % loss", "rate=10gbit delay=10ms loss=1% queue=100000"),
    (
        "10 Gbit/s, 10 ms, all dice",
        "rate=10gbit delay=10ms jitter=1ms distribution=normal loss=1% reorder=0.1% duplicate=0.1% corrupt=0.1% queue=100000",
    ),
    ("10 Gbit/s, 10 ms, CoDel", "rate=10gbit delay=10ms queue=100000 discipline=codel"),
];

fn small(len: usize) -> Result<Packet> {
    let udp = Transport::Udp(UdpRepr { src_port: 1, dst_port: 2, payload_len: 0 });
    let frame = FrameBuilder::ipv4(Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2), udp);
    let frame = frame.payload(vec![0; len - 42]).build().ok().context("a small frame")?;
    Ok(Packet::from_frame(&frame))
}

/// A segment of 44 pieces, as TCP sends it.
fn segment() -> Result<Packet> {
    let tcp = Transport::Tcp(TcpRepr::default());
    let frame = FrameBuilder::ipv4(Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2), tcp);
    let frame = frame.payload(vec![0; usize::from(PIECE) * 44]).build().ok().context("a segment")?;
    let at = headers(&frame).context("it is TCP")?;
    let mut packet = Packet::from_frame(&frame);
    packet.offload = Offload {
        gso: GsoType::TcpV4,
        ecn: false,
        gso_size: PIECE,
        header_len: 54,
        checksum: Checksum::Partial { start: at.l4 as u16, offset: 16 },
    };
    Ok(packet)
}

/// A line with traffic at 10 Gbit/s.
struct Bench {
    line: Line,
    pool: PacketPool,
    out: Vec<Packet>,
    frame: Packet,
    now: u64,
    /// Time of the next packet in tenths of a nanosecond, and what one takes.
    next: u64,
    step: u64,
}

impl Bench {
    fn new(profile: &str, frame: &Packet) -> Result<Self> {
        let profile: Profile = profile.parse()?;
        Ok(Self {
            line: Line::new(profile, 1),
            pool: PacketPool::new(4096),
            out: Vec::with_capacity(4096),
            frame: frame.clone(),
            now: 0,
            next: 0,
            step: frame.wire_bytes() * 8,
        })
    }

    /// Nanoseconds a wire packet, its generator's copy included.
    fn sample(&mut self, packets: u64) -> f64 {
        let (before, start) = (self.line.statistics().offered.packets, Instant::now());
        while self.line.statistics().offered.packets - before < packets {
            self.now += WAKE;
            while self.next / 10 < self.now
                && let Some(mut packet) = self.pool.take()
            {
                packet.copy_from(&self.frame);
                self.line.offer(packet, self.next / 10, &mut self.pool);
                self.next += self.step;
            }
            while self.line.take_due(self.now, &mut self.pool, &mut self.out, 256) != 0 {
                self.out.drain(..).for_each(|packet| self.pool.give(packet));
            }
        }
        start.elapsed().as_nanos() as f64 / (self.line.statistics().offered.packets - before) as f64
    }

    /// What the copy alone takes.
    fn copy(&mut self, packets: u64) -> f64 {
        let (wire, start) = (self.frame.wire_packets(), Instant::now());
        for _ in 0..packets / wire {
            if let Some(mut packet) = self.pool.take() {
                packet.copy_from(std::hint::black_box(&self.frame));
                self.pool.give(packet);
            }
        }
        start.elapsed().as_nanos() as f64 / packets as f64
    }
}

/// Lines that are due 1 to 20 ms after they were last, for ever.
struct Timers {
    wheel: Wheel,
    now: u64,
    seed: u64,
    due: Vec<u32>,
}

impl Timers {
    fn new(lines: u32) -> Self {
        let mut timers = Self { wheel: Wheel::new(), now: 0, seed: 1, due: Vec::new() };
        (0..lines).for_each(|line| timers.arm(line));
        timers
    }

    fn arm(&mut self, line: u32) {
        self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.wheel.schedule(line, self.now + 1_000_000 + (self.seed >> 33) % 19_000_000);
    }

    /// Nanoseconds a timer: set, moved once, expired.
    fn sample(&mut self, timers: u64) -> f64 {
        let (mut done, start) = (0, Instant::now());
        while done < timers {
            self.now = self.wheel.next().unwrap_or(0).max(self.now + WAKE);
            let mut due = std::mem::take(&mut self.due);
            self.wheel.expired(self.now, &mut due);
            done += due.len() as u64;
            for line in due.drain(..) {
                self.arm(line);
                self.arm(line);
            }
            self.due = due;
        }
        start.elapsed().as_nanos() as f64 / done as f64
    }
}

/// Measures, prints, and ends with JSON.
///
/// # Errors
/// Never: all is in memory.
pub fn run(options: &Options) -> Result<()> {
    let frames = [("60 bytes", small(60)?), ("1,514 bytes", small(1514)?), ("segments", segment()?)];
    let (mut benches, mut cases) = (Vec::new(), Vec::new());
    for (what, frame) in &frames {
        cases.push(Case::new(format!("{what}: copy alone"), "ns"));
        benches.push(Bench::new("perfect", frame)?);
        for (name, profile) in PROFILES {
            cases.push(Case::new(format!("{what}: {name}"), "ns"));
            benches.push(Bench::new(profile, frame)?);
        }
    }
    let mut timers: Vec<Timers> = options.lines.iter().map(|lines| Timers::new(*lines)).collect();
    let mut wheels: Vec<Case> =
        options.lines.iter().map(|lines| Case::new(format!("timer, {lines} lines"), "ns")).collect();
    for _ in 0..options.rounds {
        for (at, (case, bench)) in cases.iter_mut().zip(&mut benches).enumerate() {
            let copy = at % (PROFILES.len() + 1) == 0;
            case.add(if copy { bench.copy(options.packets) } else { bench.sample(options.packets) });
        }
        for (case, timers) in wheels.iter_mut().zip(&mut timers) {
            case.add(timers.sample(options.packets));
        }
    }
    cases.extend(wheels);
    rounds::print(&cases);
    println!("{}", json!({ "line": rounds::json(&cases) }));
    Ok(())
}
