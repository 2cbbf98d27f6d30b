//! A generator and a sink: what the simulator and the benchmarks measure the switch with.
//!
//! Receiving hands out copies of prepared frames, as cheaply as a device that has them in memory could: frames lie
//! in one block at multiples of 64 bytes, and a small one is copied by one move of 64 bytes. Which frame comes next
//! is decided by a seeded generator, so a run can be repeated. Sending counts and recycles.

use std::os::fd::RawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use heddle_wire::checksum;
use heddle_wire::packet::{MAX_FRAME, Offload, Packet};

use crate::counters::{DeviceCounters, Direction, QueueCounters};
use crate::pool::PacketPool;
use crate::{LinkState, Netdev, NetdevError, Offloads, RxQueue, Statistics, TxQueue};

/// Small frames are copied in one piece of this size, and every frame starts at a multiple of it.
const PIECE: usize = 64;

/// In which order templates are handed out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// One after the other, from the start again after the last.
    Sequential,
    /// Each time any of them, by a generator with this seed.
    Random {
        /// Where the generator starts; the same seed gives the same sequence.
        seed: u64,
    },
}

/// Frames to be handed out.
#[derive(Clone, Default)]
pub struct Templates {
    block: Vec<u8>,
    frames: Vec<(u32, u32, Offload)>,
}

impl Templates {
    /// No frames yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// UDP over IPv4 in frames of `length` bytes (at least 60), one for each of `flows` flows that differ in
    /// addresses and ports. Both checksums are right.
    pub fn udp_flows(flows: u32, length: usize) -> Self {
        let mut templates = Self::new();
        let mut frame = vec![0; length.clamp(60, 1514)];
        for flow in 0..flows {
            udp(&mut frame, flow);
            templates.push(&Packet::from_frame(&frame));
        }
        templates
    }

    /// Adds a frame with its metadata; false if it is longer than packets can be, or the block is full.
    pub fn push(&mut self, packet: &Packet) -> bool {
        let Ok(start) = u32::try_from(self.block.len()) else { return false };
        if packet.len() > MAX_FRAME {
            return false;
        }
        self.block.extend_from_slice(packet.data());
        self.block.resize(self.block.len().next_multiple_of(PIECE), 0);
        self.frames.push((start, packet.len() as u32, packet.offload));
        true
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.frames.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Copies one into an empty packet.
    #[inline]
    fn copy_to(&self, index: usize, packet: &mut Packet) {
        let (start, length, offload) = self.frames[index];
        let (start, length) = (start as usize, length as usize);
        let room = packet.receive_room();
        match (self.block[start..].first_chunk::<PIECE>(), room.first_chunk_mut::<PIECE>()) {
            (Some(from), Some(to)) if length <= PIECE => *to = *from,
            _ => room[..length].copy_from_slice(&self.block[start..start + length]),
        }
        packet.received(length);
        packet.offload = offload;
    }
}

fn udp(frame: &mut [u8], flow: u32) {
    let (l3_len, flow_bytes) = ((frame.len() - 14) as u16, flow.to_be_bytes());
    frame[..6].copy_from_slice(&[2, 0, 0, 0, 0, 2]);
    frame[6..12].copy_from_slice(&[2, 0, 0, 0, 0, 1]);
    frame[12..24].copy_from_slice(&[8, 0, 0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, 17]);
    frame[16..18].copy_from_slice(&l3_len.to_be_bytes());
    frame[24..26].fill(0);
    frame[26..30].copy_from_slice(&[10, flow_bytes[1], flow_bytes[2], flow_bytes[3]]);
    frame[30..34].copy_from_slice(&[11, flow_bytes[3], flow_bytes[2], flow_bytes[1]]);
    frame[34..36].copy_from_slice(&(1024 + (flow % 60_000) as u16).to_be_bytes());
    frame[36..38].copy_from_slice(&5001_u16.to_be_bytes());
    frame[38..40].copy_from_slice(&(l3_len - 20).to_be_bytes());
    frame[40..42].fill(0);
    let header = !checksum::sum(&frame[14..34]);
    frame[24..26].copy_from_slice(&header.to_be_bytes());
    let mut pseudo = [0; 12];
    pseudo[..8].copy_from_slice(&frame[26..34]);
    pseudo[9] = 17;
    pseudo[10..].copy_from_slice(&frame[38..40]);
    let (pseudo, datagram) = (checksum::sum(&pseudo), checksum::sum(&frame[34..]));
    let total = u32::from(pseudo) + u32::from(datagram);
    let folded = !((total & 0xffff) + (total >> 16)) as u16;
    frame[40..42].copy_from_slice(&(if folded == 0 { 0xffff } else { folded }).to_be_bytes());
}

/// A device that generates what it receives and counts what it is sent.
pub struct Memory {
    name: String,
    templates: Arc<Templates>,
    order: Order,
    left: Arc<AtomicU64>,
    admin_up: AtomicBool,
    rx_taken: AtomicBool,
    counters: DeviceCounters,
}

impl Memory {
    /// A device that hands out `count` frames (`u64::MAX`: without end).
    pub fn generator(name: &str, templates: Templates, order: Order, count: u64) -> Self {
        Self {
            name: name.to_owned(),
            templates: Arc::new(templates),
            order,
            left: Arc::new(AtomicU64::new(count)),
            admin_up: AtomicBool::new(true),
            rx_taken: AtomicBool::new(false),
            counters: DeviceCounters::default(),
        }
    }

    /// A device that receives nothing.
    pub fn sink(name: &str) -> Self {
        Self::generator(name, Templates::new(), Order::Sequential, 0)
    }

    /// Frames still to be handed out.
    pub fn left(&self) -> u64 {
        self.left.load(Ordering::Relaxed)
    }
}

impl Netdev for Memory {
    fn name(&self) -> &str {
        &self.name
    }

    fn kind(&self) -> &'static str {
        "memory"
    }

    fn mac(&self) -> Option<[u8; 6]> {
        None
    }

    fn mtu(&self) -> u32 {
        65_535
    }

    fn link_state(&self) -> LinkState {
        LinkState { admin_up: self.admin_up.load(Ordering::Relaxed), carrier: true }
    }

    fn set_admin_up(&self, up: bool) -> Result<(), NetdevError> {
        self.admin_up.store(up, Ordering::Relaxed);
        Ok(())
    }

    fn offloads(&self) -> Offloads {
        Offloads { checksum: true, tso4: true, tso6: true, uso: true }
    }

    fn statistics(&self) -> Statistics {
        self.counters.statistics()
    }

    fn drop_reasons(&self) -> Vec<(&'static str, u64)> {
        self.counters.drop_reasons()
    }

    fn take_rx_queues(&self) -> Vec<Box<dyn RxQueue>> {
        if self.templates.is_empty() || self.rx_taken.swap(true, Ordering::Relaxed) {
            return Vec::new();
        }
        vec![Box::new(Generator {
            templates: Arc::clone(&self.templates),
            choice: Choice::new(self.order),
            left: Arc::clone(&self.left),
            counters: self.counters.queue(Direction::Rx),
        })]
    }

    fn open_tx_queue(&self) -> Result<Box<dyn TxQueue>, NetdevError> {
        Ok(Box::new(Sink { counters: self.counters.queue(Direction::Tx) }))
    }
}

enum Choice {
    Next(usize),
    Random(u64),
}

impl Choice {
    fn new(order: Order) -> Self {
        match order {
            Order::Sequential => Self::Next(0),
            // The generator below must not start at zero.
            Order::Random { seed } => Self::Random(seed ^ 0x9e37_79b9_7f4a_7c15 | 1),
        }
    }

    #[inline]
    fn next(&mut self, count: usize) -> usize {
        match self {
            Self::Next(index) => {
                let chosen = *index;
                *index = if chosen + 1 == count { 0 } else { chosen + 1 };
                chosen
            }
            // Marsaglia's xorshift64*, scaled to the count by its upper half.
            Self::Random(state) => {
                *state ^= *state >> 12;
                *state ^= *state << 25;
                *state ^= *state >> 27;
                let value = state.wrapping_mul(0x2545_f491_4f6c_dd1d);
                (((value >> 32) * count as u64) >> 32) as usize
            }
        }
    }
}

struct Generator {
    templates: Arc<Templates>,
    choice: Choice,
    left: Arc<AtomicU64>,
    counters: Arc<QueueCounters>,
}

impl RxQueue for Generator {
    fn readiness(&self) -> Option<RawFd> {
        None
    }

    fn is_finished(&self) -> bool {
        self.left.load(Ordering::Relaxed) == 0
    }

    fn receive(&mut self, pool: &mut PacketPool, batch: &mut Vec<Packet>, max: usize) -> usize {
        let left = self.left.load(Ordering::Relaxed);
        let wanted = max.min(usize::try_from(left).unwrap_or(usize::MAX));
        let (mut count, mut packets, mut bytes) = (0, 0, 0);
        while count < wanted {
            let Some(mut packet) = pool.take() else { break };
            let index = self.choice.next(self.templates.len());
            self.templates.copy_to(index, &mut packet);
            packets += packet.wire_packets();
            bytes += packet.wire_bytes();
            batch.push(packet);
            count += 1;
        }
        if left != u64::MAX {
            self.left.store(left - count as u64, Ordering::Relaxed);
        }
        self.counters.passed(packets, bytes);
        count
    }
}

struct Sink {
    counters: Arc<QueueCounters>,
}

impl TxQueue for Sink {
    fn send(&mut self, pool: &mut PacketPool, batch: &mut Vec<Packet>) {
        let (mut packets, mut bytes) = (0, 0);
        for packet in batch.drain(..) {
            packets += packet.wire_packets();
            bytes += packet.wire_bytes();
            pool.give(packet);
        }
        self.counters.passed(packets, bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ports(order: Order, count: usize) -> Vec<Vec<u8>> {
        let device = Memory::generator("gen", Templates::udp_flows(8, 60), order, u64::MAX);
        let mut rx = device.take_rx_queues().pop().unwrap();
        let (mut pool, mut batch) = (PacketPool::new(count), Vec::new());
        assert_eq!(rx.receive(&mut pool, &mut batch, count), count);
        batch.iter().map(|packet| packet.data().to_vec()).collect()
    }

    #[test]
    fn flows_are_true_packets_in_the_order_asked_for() {
        let frames = ports(Order::Sequential, 16);
        assert_eq!(frames[..8], frames[8..]);
        for (flow, frame) in frames[..8].iter().enumerate() {
            assert_eq!((frame.len(), frame[35], frame[29]), (60, flow as u8, flow as u8));
            assert_eq!(checksum::verify_transport(frame), Some(true));
            assert_eq!(checksum::sum(&frame[14..34]), 0xffff);
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_sequence_and_every_flow_its_turn() {
        let frames = ports(Order::Random { seed: 3 }, 800);
        assert_eq!(frames, ports(Order::Random { seed: 3 }, 800));
        assert_ne!(frames, ports(Order::Random { seed: 4 }, 800));
        let all = ports(Order::Sequential, 8);
        for flow in &all {
            let turns = frames.iter().filter(|frame| *frame == flow).count();
            assert!((50..150).contains(&turns), "{turns}");
        }
    }

    #[test]
    fn a_generator_ends_and_a_sink_counts() {
        let device = Memory::generator("gen", Templates::udp_flows(3, 200), Order::Sequential, 5);
        let sink = Memory::sink("sink");
        assert!(sink.take_rx_queues().is_empty());
        let (mut rx, mut tx) = (device.take_rx_queues().pop().unwrap(), sink.open_tx_queue().unwrap());
        let (mut pool, mut batch) = (PacketPool::new(4), Vec::new());
        assert_eq!(rx.receive(&mut pool, &mut batch, 32), 4);
        tx.send(&mut pool, &mut batch);
        assert_eq!(rx.receive(&mut pool, &mut batch, 32), 1);
        tx.send(&mut pool, &mut batch);
        assert_eq!(rx.receive(&mut pool, &mut batch, 32), 0);
        assert!(rx.is_finished());
        assert_eq!((sink.statistics().tx_packets, sink.statistics().tx_bytes), (5, 1000));
        assert_eq!(device.statistics().rx_packets, 5);
        assert_eq!(pool.available(), 4);
    }
}
