//! The `memory` device: a generator that hands out prepared frames, and a sink that counts them.
//!
//! Benchmarks and the simulator run on it: it costs one copy of the frame into a pool buffer, which is what any
//! device does to memory, and no system call. The dice are seeded, so a run can be repeated packet by packet.
//! While frames are left to hand out the device's descriptor is readable, so a poll thread drives it unchanged.

use std::os::fd::RawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use heddle_wire::packet::{Offload, Packet};

use crate::counters::{RxCounters, TxCounters, TxRegistry, wire_sums};
use crate::dummy::system;
use crate::sys::event::Event;
use crate::{LinkState, Netdev, NetdevError, Offloads, PacketPool, RxQueue, Statistics, TxQueue};

/// Bytes of a cache line.
const LINE: usize = 64;
/// Frames whose copying is under way together.
const GROUP: usize = 32;

/// In which order a generator hands out its templates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// One after the other, over and over.
    Sequential,
    /// Each drawn at random, with the seed.
    Random(u64),
}

struct Shared {
    admin_up: AtomicBool,
    /// Frames that may be handed out, counted since the device was made.
    allowed: AtomicU64,
    event: Event,
    rx: RxCounters,
    tx: TxRegistry,
}

/// A device that makes frames, or takes them, as fast as memory allows.
pub struct Memory {
    name: String,
    generator: Option<Generator>,
    taken: AtomicBool,
    shared: Arc<Shared>,
}

#[derive(Clone)]
struct Generator {
    templates: Arc<Templates>,
    order: Order,
}

/// Frames one behind the other, each at the start of a cache line: a generator of many flows should cost the memory
/// traffic of its frames and no more.
struct Templates {
    bytes: Box<[u8]>,
    /// Where each is; the first alone where all are alike and follow each other at this distance.
    places: Box<[Template]>,
    stride: Option<usize>,
    count: usize,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Template {
    at: usize,
    len: u32,
    offload: Offload,
}

impl Templates {
    fn new(packets: &[Packet]) -> Self {
        let room: usize = packets.iter().map(|packet| packet.len().next_multiple_of(LINE)).sum();
        let mut bytes = vec![0; room + LINE].into_boxed_slice();
        let skipped = bytes.as_ptr().align_offset(LINE);
        let mut at = if skipped < LINE { skipped } else { 0 };
        let mut place = |packet: &Packet| {
            let template = Template { at, len: packet.len() as u32, offload: packet.offload };
            bytes[at..at + packet.len()].copy_from_slice(packet.data());
            at += packet.len().next_multiple_of(LINE);
            template
        };
        let mut places: Vec<Template> = packets.iter().map(&mut place).collect();
        let first = places.first().copied().unwrap_or_default();
        let alike = places.iter().all(|other| *other == Template { at: other.at, ..first });
        places.truncate(if alike { 1 } else { packets.len() });
        let stride = alike.then(|| (first.len as usize).next_multiple_of(LINE));
        Self { bytes, places: places.into(), stride, count: packets.len() }
    }

    #[inline(always)]
    fn template(&self, index: usize) -> Template {
        match self.stride {
            Some(stride) => Template { at: self.places[0].at + index * stride, ..self.places[0] },
            None => self.places[index],
        }
    }
}

impl Memory {
    /// A device that hands out copies of `templates`, `count` in all, and swallows what it is sent.
    ///
    /// # Errors
    /// If there is no template, or the system gives no eventfd.
    pub fn generator(
        name: &str,
        templates: Vec<Packet>,
        order: Order,
        count: u64,
    ) -> Result<Self, NetdevError> {
        if templates.is_empty() {
            let reason = "a generator needs at least one template".to_owned();
            return Err(NetdevError::Invalid { device: name.to_owned(), reason });
        }
        let memory =
            Self::new(name, Some(Generator { templates: Arc::new(Templates::new(&templates)), order }))?;
        memory.allow(count);
        Ok(memory)
    }

    /// A device that only swallows what it is sent.
    ///
    /// # Errors
    /// If the system gives no eventfd.
    pub fn sink(name: &str) -> Result<Self, NetdevError> {
        Self::new(name, None)
    }

    fn new(name: &str, generator: Option<Generator>) -> Result<Self, NetdevError> {
        let shared = Shared {
            admin_up: AtomicBool::new(true),
            allowed: AtomicU64::new(0),
            event: Event::new().map_err(|source| system(name, "eventfd", source))?,
            rx: RxCounters::default(),
            tx: TxRegistry::default(),
        };
        let taken = AtomicBool::new(false);
        Ok(Self { name: name.to_owned(), generator, taken, shared: Arc::new(shared) })
    }

    /// Lets the generator hand out `count` frames more.
    pub fn allow(&self, count: u64) {
        if count != 0 {
            let more = |allowed: u64| Some(allowed.saturating_add(count));
            let _ = self.shared.allowed.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
            self.shared.event.signal();
        }
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
        LinkState { admin_up: self.shared.admin_up.load(Ordering::Relaxed), carrier: true }
    }

    fn set_admin_up(&self, up: bool) -> Result<(), NetdevError> {
        self.shared.admin_up.store(up, Ordering::Relaxed);
        if up {
            self.shared.event.signal();
        }
        Ok(())
    }

    fn offloads(&self) -> Offloads {
        Offloads { checksum: true, tso4: true, tso6: true, uso: true }
    }

    fn statistics(&self) -> Statistics {
        let mut statistics = Statistics::default();
        self.shared.rx.merge(&mut statistics);
        self.shared.tx.merge(&mut statistics);
        statistics
    }

    fn take_rx_queues(&self) -> Vec<Box<dyn RxQueue>> {
        let Some(generator) = self.generator.clone() else { return Vec::new() };
        if self.taken.swap(true, Ordering::Relaxed) {
            return Vec::new();
        }
        let seed = if let Order::Random(seed) = generator.order { seed } else { 0 };
        let shared = Arc::clone(&self.shared);
        vec![Box::new(GeneratorRx { generator, shared, handed: 0, next: 0, state: seed })]
    }

    fn open_tx_queue(&self) -> Result<Box<dyn TxQueue>, NetdevError> {
        Ok(Box::new(Sink { shared: Arc::clone(&self.shared), counters: self.shared.tx.open() }))
    }
}

struct GeneratorRx {
    generator: Generator,
    shared: Arc<Shared>,
    handed: u64,
    next: usize,
    state: u64,
}

impl GeneratorRx {
    #[inline]
    fn choose(&mut self) -> usize {
        let count = self.generator.templates.count;
        if let Order::Random(_) = self.generator.order {
            // SplitMix64, whose high bits scaled by `count` give an even choice without a division.
            self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut mixed = self.state;
            mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            mixed ^= mixed >> 31;
            return ((u128::from(mixed) * count as u128) >> 64) as usize;
        }
        let chosen = self.next;
        self.next = if chosen + 1 == count { 0 } else { chosen + 1 };
        chosen
    }

    /// Hands out `count` frames, at most [`GROUP`], for which the pool has room. All are chosen and touched before any is
    /// copied, so that the memory is asked for one frame while another is waited for.
    fn hand_out(&mut self, pool: &mut PacketPool, batch: &mut Vec<Packet>, count: usize) {
        let mut chosen = [Template::default(); GROUP];
        for template in &mut chosen[..count] {
            let index = self.choose();
            *template = self.generator.templates.template(index);
        }
        let bytes = &self.generator.templates.bytes;
        let touched =
            chosen[..count].iter().fold(0, |sum, template| sum ^ bytes.get(template.at).unwrap_or(&0));
        std::hint::black_box(touched);
        for template in &chosen[..count] {
            let Some(mut packet) = pool.take() else { return };
            packet.fill(&self.generator.templates.bytes[template.at..template.at + template.len as usize]);
            packet.offload = template.offload;
            batch.push(packet);
        }
    }

    /// Lets the poll thread sleep, unless frames were allowed meanwhile.
    fn rest(&self) {
        self.shared.event.clear();
        let left = self.shared.allowed.load(Ordering::Relaxed) > self.handed;
        if left && self.shared.admin_up.load(Ordering::Relaxed) {
            self.shared.event.signal();
        }
    }
}

impl RxQueue for GeneratorRx {
    fn readiness(&self) -> Option<RawFd> {
        Some(self.shared.event.raw())
    }

    fn receive(&mut self, pool: &mut PacketPool, batch: &mut Vec<Packet>, max: usize) -> usize {
        let before = batch.len();
        let left = self.shared.allowed.load(Ordering::Relaxed) - self.handed;
        if left == 0 || !self.shared.admin_up.load(Ordering::Relaxed) {
            self.rest();
            return 0;
        }
        let mut wanted = (left.min(max as u64) as usize).min(pool.available());
        while wanted != 0 {
            let group = wanted.min(GROUP);
            self.hand_out(pool, batch, group);
            wanted -= group;
        }
        self.handed += (batch.len() - before) as u64;
        self.shared.rx.received(&batch[before..]);
        batch.len() - before
    }
}

struct Sink {
    shared: Arc<Shared>,
    counters: Arc<TxCounters>,
}

impl TxQueue for Sink {
    #[inline]
    fn send(&mut self, pool: &mut PacketPool, batch: &mut Vec<Packet>) {
        let (packets, bytes) = wire_sums(batch);
        if self.shared.admin_up.load(Ordering::Relaxed) {
            self.counters.sent(packets, bytes);
        } else {
            self.counters.dropped(packets);
        }
        batch.drain(..).for_each(|packet| pool.give(packet));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn templates() -> Vec<Packet> {
        (0..5).map(|last| Packet::from_frame(&[last; 60])).collect()
    }

    fn draw(order: Order, count: u64) -> (Vec<u8>, Memory) {
        let memory = Memory::generator("m0", templates(), order, count).unwrap();
        let mut queue = memory.take_rx_queues().remove(0);
        let (mut pool, mut drawn) = (PacketPool::new(4), Vec::new());
        let mut batch = Vec::new();
        while queue.receive(&mut pool, &mut batch, 32) != 0 {
            drawn.extend(batch.iter().map(|packet| packet.data()[0]));
            batch.drain(..).for_each(|packet| pool.give(packet));
        }
        (drawn, memory)
    }

    #[test]
    fn a_generator_hands_out_exactly_what_is_allowed() {
        let (drawn, memory) = draw(Order::Sequential, 12);
        assert_eq!(drawn, [0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 0, 1]);
        assert_eq!((memory.statistics().rx_packets, memory.statistics().rx_bytes), (12, 720));
        assert!(!memory.shared.event.is_signalled());
        memory.allow(1);
        assert!(memory.shared.event.is_signalled());
    }

    #[test]
    fn random_choice_repeats_with_its_seed_and_reaches_every_template() {
        let (first, _) = draw(Order::Random(7), 1000);
        assert_eq!(first, draw(Order::Random(7), 1000).0);
        assert_ne!(first, draw(Order::Random(8), 1000).0);
        assert!((0..5).all(|last| first.iter().filter(|&&drawn| drawn == last).count() > 150));
    }

    #[test]
    fn a_sink_counts_and_recycles() {
        let memory = Memory::sink("m1").unwrap();
        assert!(memory.take_rx_queues().is_empty());
        let mut pool = PacketPool::new(2);
        let mut batch: Vec<Packet> = (0..2).filter_map(|_| pool.take()).collect();
        batch.iter_mut().for_each(|packet| assert!(packet.fill(&[0; 100])));
        memory.open_tx_queue().unwrap().send(&mut pool, &mut batch);
        assert_eq!((pool.available(), memory.statistics().tx_bytes), (2, 200));
    }

    #[test]
    fn a_generator_without_templates_is_refused() {
        assert!(Memory::generator("m0", Vec::new(), Order::Sequential, 1).is_err());
    }
}
