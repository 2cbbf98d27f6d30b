//! What a rule set of many masks costs: the attack on tuple-space search.
//!
//! Whoever can make rules and send packets makes decisions of many masks, and every packet that the exact-match cache does
//! not know has them tried one after the other. A scan (each packet of a connection never seen, spread over all masks) and
//! a thousand established connections are measured beside each other, by how many masks the attacker asks for.

use std::sync::Arc;
use std::time::Instant;

use anyhow::Result;
use heddle_datapath::cache::MAX_MASKS;
use heddle_datapath::{Action, Decision, Engine, Translation, Translator, Usage};
use heddle_flow::{Field, FlowKey, FlowMask};
use heddle_netdev::{LinkState, Netdev, NetdevError, Offloads, PacketPool, RxQueue, Statistics, TxQueue};
use heddle_wire::Packet;
use serde_json::json;

use crate::rounds::{self, Case};

/// What to measure.
#[derive(clap::Args)]
pub struct Options {
    /// Numbers of masks that the attacker asks for.
    #[arg(long, value_delimiter = ',', default_value = "1,16,128,1000")]
    masks: Vec<u32>,
    /// Packets of a sample.
    #[arg(long, default_value_t = 200_000)]
    packets: usize,
    /// Rounds; the median of each case is quoted.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
}

/// Looks at the IPv4 destination, and at bits of the source that the destination chooses: a mask for each destination.
struct Attacked;

struct Kept;

impl Decision for Kept {
    fn is_current(&mut self, _: &FlowKey, _: &FlowMask, _: u64) -> bool {
        true
    }
    fn credit(&self, _: &Usage) {}
}

impl Translator for Attacked {
    fn change_number(&self) -> u64 {
        0
    }
    fn translate(&mut self, key: &FlowKey, _: Option<&Packet>, _: u64, _: bool) -> Translation {
        let mut mask = FlowMask::default();
        mask.add(Field::EthType);
        mask.add(Field::Ipv4Dst);
        mask.add_bits(Field::Ipv4Src, key.get(Field::Ipv4Dst) & 0xffff);
        Translation {
            actions: vec![Action::Output(1)],
            mask,
            decision: Box::new(Kept),
            cacheable: true,
            drop: None,
        }
    }
    fn punt(&mut self, _: u32, _: &FlowKey, _: &Packet, _: u16, _: u64) {}
}

fn frame(mask: u32, connection: u32) -> [u8; 60] {
    let mut frame = [0; 60];
    frame[..12].copy_from_slice(&[2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1]);
    frame[12..26].copy_from_slice(&[8, 0, 0x45, 0, 0, 46, 0, 0, 0x40, 0, 64, 17, 0, 0]);
    frame[26..30].copy_from_slice(&[10, 0, 0, 1]);
    frame[30..34].copy_from_slice(&(0x0a80_0000 + mask).to_be_bytes());
    frame[34..38].copy_from_slice(&connection.to_be_bytes());
    frame[39] = 26;
    frame
}

/// What the source sends.
#[derive(Clone, Copy)]
enum Traffic {
    /// Each packet of a connection never seen, masks at random.
    Scan,
    /// A thousand connections in turn.
    Established,
}

/// A device that makes packets as they are asked for.
struct Source {
    masks: u32,
    traffic: Traffic,
}

struct SourceRx {
    masks: u32,
    traffic: Traffic,
    sent: u32,
}

impl RxQueue for SourceRx {
    fn readiness(&self) -> Option<std::os::fd::RawFd> {
        None
    }
    fn receive(&mut self, pool: &mut PacketPool, batch: &mut Vec<Packet>, max: usize) -> usize {
        let before = batch.len();
        for mut packet in (0..max).map_while(|_| pool.take()) {
            self.sent = self.sent.wrapping_add(1);
            let (mask, connection) = match self.traffic {
                // A multiplicative hash of the count, so that masks do not come in order.
                Traffic::Scan => (self.sent.wrapping_mul(0x9e37_79b9) >> 8, self.sent),
                Traffic::Established => (self.sent % 1000, 0x8000_0000 + self.sent % 1000),
            };
            packet.fill(&frame(mask % self.masks, connection));
            batch.push(packet);
        }
        batch.len() - before
    }
}

impl TxQueue for Source {
    fn send(&mut self, pool: &mut PacketPool, batch: &mut Vec<Packet>) {
        batch.drain(..).for_each(|packet| pool.give(packet));
    }
}

impl Netdev for Source {
    fn name(&self) -> &str {
        "source"
    }
    fn kind(&self) -> &'static str {
        "memory"
    }
    fn mac(&self) -> Option<[u8; 6]> {
        None
    }
    fn mtu(&self) -> u32 {
        1500
    }
    fn link_state(&self) -> LinkState {
        LinkState { admin_up: true, carrier: true }
    }
    fn set_admin_up(&self, _: bool) -> Result<(), NetdevError> {
        Ok(())
    }
    fn offloads(&self) -> Offloads {
        Offloads::default()
    }
    fn statistics(&self) -> Statistics {
        Statistics::default()
    }
    fn take_rx_queues(&self) -> Vec<Box<dyn RxQueue>> {
        vec![Box::new(SourceRx { masks: self.masks, traffic: self.traffic, sent: 0 })]
    }
    fn open_tx_queue(&self) -> Result<Box<dyn TxQueue>, NetdevError> {
        Ok(Box::new(Self { masks: self.masks, traffic: self.traffic }))
    }
}

/// An engine whose decisions have as many masks as it lets the attacker have.
fn engine(masks: u32, traffic: Traffic) -> Result<Engine<Attacked>> {
    let mut engine = Engine::new(Attacked, 7);
    let teacher: Arc<dyn Netdev> = Arc::new(Source { masks, traffic });
    engine.add_port(1, &teacher)?;
    // Every mask is met before the clock runs.
    for _ in 0..masks.max(1000) {
        engine.poll(0);
    }
    engine.revalidate(0);
    Ok(engine)
}

fn sample(engine: &mut Engine<Attacked>, packets: usize) -> f64 {
    let (start, mut done) = (Instant::now(), 0);
    while done < packets {
        done += engine.poll(0);
    }
    start.elapsed().as_nanos() as f64 / done as f64
}

/// Measures, prints, and ends with JSON.
///
/// # Errors
/// Never: the devices are in memory.
pub fn run(options: &Options) -> Result<()> {
    let (mut engines, mut cases) = (Vec::new(), Vec::new());
    for &masks in &options.masks {
        for (name, traffic) in [("scan", Traffic::Scan), ("established", Traffic::Established)] {
            engines.push(engine(masks.max(1), traffic)?);
            cases.push(Case::new(format!("{name}, {masks} masks asked for"), "ns"));
        }
    }
    let had: Vec<(usize, u64)> = engines.iter().map(|engine| (engine.masks(), engine.upcalls())).collect();
    for _ in 0..options.rounds {
        for (case, engine) in cases.iter_mut().zip(&mut engines) {
            case.add(sample(engine, options.packets));
        }
    }
    rounds::print(&cases);
    let mut all = rounds::json(&cases);
    for ((case, engine), (masks, upcalls)) in cases.iter().zip(&engines).zip(had) {
        let sent = (options.packets * options.rounds) as f64;
        let translated = (engine.upcalls() - upcalls) as f64 / sent;
        println!("{:<34} {masks} masks had, {:.1} % translated", case.name(), translated * 100.0);
        all.insert(format!("{} had", case.name()), json!({ "masks": masks, "translated": translated }));
    }
    println!("at most {MAX_MASKS} masks, and one more of whole keys");
    println!("{}", json!({ "masks": all }));
    Ok(())
}
