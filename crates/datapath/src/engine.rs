//! One poll thread's packet engine, without the thread: time is passed in, and a test may drive it step by step.
//!
//! A batch of packets is taken from one receive queue; keys are extracted and hashed; the exact-match cache is asked,
//! then the megaflows, then the translator. The hit path takes no lock and allocates nothing: buffers come from
//! the pool, counters are the thread's own.

use std::collections::BTreeMap;
use std::sync::Arc;

use heddle_flow::{FlowKey, FlowMask, PacketKey, extract};
use heddle_link::{LineStatistics, Profile};
use heddle_netdev::{Netdev, NetdevError, RxQueue};
use heddle_wire::{GsoType, Packet};

use crate::cache::{Candidate, Cold, ExactCache, Megaflow, MegaflowTable, NO_PORT};
use crate::concern::{Change, Stamps};
use crate::decision::{Action, Translation, Translator, Usage};
use crate::executor::{Executor, Recirculated};
use crate::lines::{self, Point, Watcher, Way};
use crate::prefetch;

/// Packets taken from a queue at once.
pub const BATCH: usize = 32;
/// Batches that a line lets go before others are asked: a ring of lines that take no time must not hold the thread.
const BATCHES_A_LINE: usize = 8;
/// Milliseconds after which an unused megaflow is forgotten.
const IDLE_MS: u64 = 10_000;
/// Most cached decisions.
const MAX_MEGAFLOWS: usize = 200_000;
/// Most wrong answers that are kept for the report.
const MAX_MISMATCHES: usize = 64;
/// Translations that one batch may cause; a flood of new flows leaves the rest of the machine its time.
const UPCALLS_PER_BATCH: u32 = BATCH as u32;

/// A cached decision, as listed.
#[derive(Clone, Debug)]
pub struct FlowDump {
    /// The values.
    pub key: FlowKey,
    /// Which bits count.
    pub mask: FlowMask,
    /// What is done.
    pub actions: Vec<Action>,
    /// Wire packets decided so far.
    pub packets: u64,
    /// Wire bytes decided so far.
    pub bytes: u64,
    /// When it last decided, in milliseconds of the datapath's clock.
    pub used_ms: u64,
    /// What of this was the packet that it was made for, which was decided by translation.
    pub upcall: Usage,
    /// TCP flags seen.
    pub tcp_flags: u16,
}

/// A cached answer that differed from a fresh translation.
#[derive(Clone, Debug)]
pub struct Mismatch {
    /// The packet's key.
    pub key: FlowKey,
    /// What the cache said.
    pub cached: Vec<Action>,
    /// What the pipeline says.
    pub fresh: Vec<Action>,
}

struct RxPort {
    number: u32,
    queue: Box<dyn RxQueue>,
    /// How many packets are asked for next. One after a rest, so that a lone packet does not wait while the device is asked
    /// for another; more and more while there are.
    wanted: usize,
    /// What it receives is on a line first.
    has_line: bool,
}

/// A poll thread's state.
pub struct Engine<T> {
    rx: Vec<RxPort>,
    /// Where in `rx` the queue with a descriptor is, so that a wake-up costs the same however many ports there are.
    places: Vec<Option<usize>>,
    batch: Vec<Packet>,
    /// Lines that have packets to let go.
    due: Vec<u32>,
    lookups: Box<[Lookup; BATCH]>,
    core: Core<T>,
}

/// What is known of a packet of a batch between the steps of its lookup.
#[derive(Clone, Copy, Default)]
struct Lookup {
    key: PacketKey,
    hash: u64,
    candidate: Candidate,
    found: Option<(u32, u32)>,
}

/// What decides and acts, packet by packet.
struct Core<T> {
    executor: Executor<T>,
    exact: ExactCache,
    megaflows: MegaflowTable,
    /// Number of the last change that this batch knows.
    change: u64,
    stamps: Stamps,
    upcalls_left: u32,
    upcalls: u64,
    questions: u64,
    check_every: u64,
    hits_until_check: u64,
    mismatches: Vec<Mismatch>,
    mismatch_count: u64,
    /// Decisions are cached for exactly the packet's key.
    exact_only: bool,
    /// Megaflows are neither revalidated nor forgotten.
    paused: bool,
}

impl<T: Translator> Engine<T> {
    /// An engine without ports. `seed` keys its tables against hostile choice of keys.
    pub fn new(translator: T, seed: u64) -> Self {
        Self {
            rx: Vec::new(),
            places: Vec::new(),
            batch: Vec::with_capacity(BATCH),
            due: Vec::new(),
            lookups: Box::new([Lookup::default(); BATCH]),
            core: Core {
                executor: Executor::new(translator),
                exact: ExactCache::default(),
                megaflows: MegaflowTable::new(MAX_MEGAFLOWS, seed),
                change: 0,
                stamps: Stamps::default(),
                upcalls_left: 0,
                upcalls: 0,
                questions: 0,
                check_every: 0,
                hits_until_check: u64::MAX,
                mismatches: Vec::new(),
                mismatch_count: 0,
                exact_only: false,
                paused: false,
            },
        }
    }

    /// The translator.
    pub fn translator(&mut self) -> &mut T {
        &mut self.core.executor.translator
    }

    /// Checks one hit in `every` against a fresh translation; zero checks none.
    pub fn set_differential_check(&mut self, every: u64) {
        self.core.check_every = every;
        self.core.hits_until_check = if every == 0 { u64::MAX } else { every };
    }

    /// How many answers of the cache were wrong, and the first of them.
    pub fn mismatches(&self) -> (u64, &[Mismatch]) {
        (self.core.mismatch_count, &self.core.mismatches)
    }

    /// Translations asked for so far, because no cached decision stood. Those of the differential check are not counted.
    pub fn upcalls(&self) -> u64 {
        self.core.upcalls
    }

    /// Packets decided by a cached decision so far.
    pub fn hits(&self) -> u64 {
        self.core.megaflows.hits()
    }

    /// Whether decisions are cached for all packets that they hold for, or for exactly those packets that they were
    /// made for.
    pub fn set_megaflows(&mut self, enabled: bool) {
        self.core.exact_only = !enabled;
    }

    /// Sets the most cached decisions.
    pub fn set_flow_limit(&mut self, limit: usize) {
        self.core.megaflows.set_limit(limit.min(MAX_MEGAFLOWS));
    }

    /// The most cached decisions, and how many there are.
    pub fn flow_limit(&self) -> (usize, usize) {
        (self.core.megaflows.limit(), self.core.megaflows.len())
    }

    /// Stops or resumes revalidation by time.
    pub fn set_paused(&mut self, paused: bool) {
        self.core.paused = paused;
    }

    /// Whether revalidation by time is stopped.
    pub fn is_paused(&self) -> bool {
        self.core.paused
    }

    /// How often a hit has asked its decision whether it still stands.
    pub fn questions(&self) -> u64 {
        self.core.questions
    }

    /// How many distinct masks the cached decisions have.
    pub fn masks(&self) -> usize {
        self.core.megaflows.masks()
    }

    /// Packets dropped so far, by reason.
    pub fn drops(&self) -> &BTreeMap<&'static str, u64> {
        &self.core.executor.drops
    }

    /// Packets and bytes that left by a port, by the queue that an action gave them.
    pub fn queued(&self, port: u32) -> BTreeMap<u32, (u64, u64)> {
        self.core.executor.queued(port)
    }

    /// Frames that were cut or checksummed here because the device they left by does not.
    pub fn software_offloads(&self) -> u64 {
        self.core.executor.software_offloads
    }

    /// Attaches a device; returns the descriptors to wait on, one for each queue that has one.
    ///
    /// # Errors
    /// If the device gives no transmit queue.
    pub fn add_port(
        &mut self,
        number: u32,
        netdev: &Arc<dyn Netdev>,
    ) -> Result<Vec<std::os::fd::RawFd>, NetdevError> {
        self.core.executor.add_port(number, netdev)?;
        let queues = netdev.take_rx_queues();
        let descriptors = queues.iter().filter_map(|queue| queue.readiness()).collect();
        let first = self.rx.len();
        let has_line = self.core.executor.lines.has(lines::place(number, Way::In));
        self.rx.extend(queues.into_iter().map(|queue| RxPort { number, queue, wanted: 1, has_line }));
        self.note_places(first);
        Ok(descriptors)
    }

    /// Detaches a device; returns the descriptors that must no longer be waited on.
    pub fn remove_port(&mut self, number: u32) -> Vec<std::os::fd::RawFd> {
        self.core.executor.remove_port(number);
        let gone = self.rx.iter().filter(|port| port.number == number);
        let descriptors = gone.filter_map(|port| port.queue.readiness()).collect();
        self.rx.retain(|port| port.number != number);
        self.places.clear();
        self.note_places(0);
        descriptors
    }

    /// Notes where the queues from `first` on are, by their descriptors.
    fn note_places(&mut self, first: usize) {
        for (place, port) in self.rx.iter().enumerate().skip(first) {
            let Some(descriptor) = port.queue.readiness().and_then(|fd| usize::try_from(fd).ok()) else {
                continue;
            };
            if self.places.len() <= descriptor {
                self.places.resize(descriptor + 1, None);
            }
            self.places[descriptor] = Some(place);
        }
    }

    /// Makes a line of a port be as `profile` says: what leaves by it, or what its device receives, takes the time and meets
    /// the fate that it gives. The dice of a line are drawn with `seed` when it is made. A port without a device is a line
    /// alone: what is sent by its number comes in by it.
    pub fn set_line(&mut self, port: u32, way: Way, profile: &Profile, seed: u64) {
        self.core.executor.set_line(port, way, profile, seed);
        if way == Way::In {
            self.rx.iter_mut().filter(|rx| rx.number == port).for_each(|rx| rx.has_line = true);
        }
    }

    /// Forgets what is under way on a port's lines: the cable is out.
    pub fn clear_lines(&mut self, port: u32) {
        let Executor { lines, pool, .. } = &mut self.core.executor;
        [Way::Out, Way::In].into_iter().for_each(|way| lines.clear(lines::place(port, way), pool));
    }

    /// What has happened on a port's line.
    pub fn line_statistics(&self, port: u32, way: Way) -> Option<LineStatistics> {
        self.core.executor.lines.statistics(lines::place(port, way))
    }

    /// Has packets that pass a point of a port's line be seen by `watcher`, until [`Engine::unwatch`] is told the same number;
    /// false if there is no such line.
    pub fn watch(&mut self, port: u32, way: Way, at: Point, id: u64, watcher: Watcher) -> bool {
        self.core.executor.lines.watch(lines::place(port, way), id, at, watcher)
    }

    /// Ends what was begun by [`Engine::watch`] with this number, on all lines.
    pub fn unwatch(&mut self, id: u64) {
        self.core.executor.lines.unwatch(id);
    }

    /// Whether packets take time on some line.
    #[inline]
    pub fn has_lines(&self) -> bool {
        !self.core.executor.lines.is_empty()
    }

    /// Tells the time to the lines, in nanoseconds of the datapath's clock.
    #[inline]
    pub fn set_now_ns(&mut self, now_ns: u64) {
        self.core.executor.lines.now_ns = now_ns;
    }

    /// When a packet on a line is due next, at the earliest, in nanoseconds of the datapath's clock.
    #[inline]
    pub fn next_due(&self) -> Option<u64> {
        self.core.executor.lines.next_due()
    }

    /// Lets go what is due on lines; returns how many packets that were.
    pub fn run_lines(&mut self, now_ms: u64) -> usize {
        let mut due = std::mem::take(&mut self.due);
        self.core.executor.lines.expired(&mut due);
        let mut count = 0;
        for place in due.drain(..) {
            count += self.run_line(place, now_ms);
            self.core.executor.lines.schedule(place);
        }
        self.due = due;
        count
    }

    fn run_line(&mut self, place: u32, now_ms: u64) -> usize {
        let (port, way) = lines::port_of(place);
        let mut batch = std::mem::take(&mut self.batch);
        let mut count = 0;
        for _ in 0..BATCHES_A_LINE {
            let Executor { lines, pool, .. } = &mut self.core.executor;
            let taken = lines.take_due(place, pool, &mut batch, BATCH);
            count += taken;
            if taken == 0 {
                break;
            }
            if way == Way::Out {
                self.core.executor.leave(port, &mut batch);
            }
            if !batch.is_empty() {
                self.process(&mut batch, port, now_ms);
            }
        }
        self.batch = batch;
        count
    }

    /// Takes one batch from every receive queue; returns how many packets there were.
    pub fn poll(&mut self, now_ms: u64) -> usize {
        (0..self.rx.len()).map(|index| self.poll_queue(index, now_ms)).sum()
    }

    /// Takes one batch from the receive queue with this descriptor.
    pub fn poll_descriptor(&mut self, descriptor: std::os::fd::RawFd, now_ms: u64) -> usize {
        let place = usize::try_from(descriptor).ok().and_then(|fd| *self.places.get(fd)?);
        place.map_or(0, |place| self.poll_queue(place, now_ms))
    }

    fn poll_queue(&mut self, index: usize, now_ms: u64) -> usize {
        let mut batch = std::mem::take(&mut self.batch);
        let port = &mut self.rx[index];
        let number = port.number;
        let count = port.queue.receive(&mut self.core.executor.pool, &mut batch, port.wanted);
        port.wanted = if count < port.wanted { count.max(1) } else { BATCH.min(4 * port.wanted) };
        if count != 0 && port.has_line {
            let Executor { lines, pool, .. } = &mut self.core.executor;
            lines.offer(lines::place(number, Way::In), &mut batch, pool);
        } else if count != 0 {
            self.process(&mut batch, number, now_ms);
        }
        self.batch = batch;
        count
    }

    /// Processes packets that came in by one port, and sends what comes of them. Leaves `batch` empty.
    pub fn process(&mut self, batch: &mut Vec<Packet>, in_port: u32, now_ms: u64) {
        self.core.start(now_ms);
        while !batch.is_empty() {
            let count = batch.len().min(BATCH);
            self.look_up(&batch[..count], in_port);
            for (packet, lookup) in batch.drain(..count).zip(self.lookups.iter()) {
                self.core.decide(packet, &lookup.key, lookup.hash, lookup.found, 0);
            }
        }
        self.core.run_recirculated();
        self.core.executor.flush();
    }

    /// The steps of the exact-match lookup that only ask the memory for what the next step needs.
    #[inline]
    fn look_up(&mut self, batch: &[Packet], in_port: u32) {
        for packet in batch {
            if let Some(first) = packet.data().first() {
                prefetch::read(first);
            }
        }
        for (packet, lookup) in batch.iter().zip(self.lookups.iter_mut()) {
            extract(packet.data(), in_port, 0, &mut lookup.key);
            lookup.hash = lookup.key.hash();
            self.core.exact.prefetch(lookup.hash);
        }
        for lookup in &mut self.lookups[..batch.len()] {
            lookup.candidate = self.core.exact.locate(lookup.hash);
        }
        for lookup in &mut self.lookups[..batch.len()] {
            lookup.found = self.core.exact.confirm(lookup.candidate, &lookup.key);
            if let Some((slot, _)) = lookup.found {
                self.core.megaflows.prefetch(slot);
            }
        }
    }

    /// Runs actions on a packet that no cache decided, as a controller's packet-out does.
    pub fn execute(&mut self, packet: Packet, in_port: u32, actions: &[Action], now_ms: u64) {
        self.core.start(now_ms);
        let mut key = PacketKey::default();
        extract(packet.data(), in_port, 0, &mut key);
        self.core.executor.execute(packet, &key, actions, None, 0);
        self.core.run_recirculated();
        self.core.executor.flush();
    }

    /// Credits what every megaflow counted, so that counters are exact.
    pub fn flush_credits(&mut self) {
        self.core.megaflows.iter_mut().for_each(|(_, flow)| flow.credit());
    }

    /// Credits all, forgets what is idle or no longer stands, and puts busy masks in front. Returns how many are left.
    pub fn revalidate(&mut self, now_ms: u64) -> usize {
        self.core.start(now_ms);
        let Core { change, stamps, megaflows, .. } = &mut self.core;
        let change = *change;
        let mut gone = Vec::new();
        for (slot, flow) in megaflows.iter_mut() {
            flow.credit();
            let idle = flow.used_ms + IDLE_MS <= now_ms;
            if idle || !(is_untouched(change as u32, stamps, flow) || flow.is_current(change)) {
                gone.push(slot);
            } else {
                flow.checked = change as u32;
            }
        }
        gone.into_iter().for_each(|slot| megaflows.remove(slot));
        megaflows.reorder();
        if megaflows.is_empty() {
            self.core.exact.clear();
        }
        self.core.megaflows.len()
    }

    /// Forgets every cached decision.
    pub fn purge(&mut self) {
        let all: Vec<u32> = self.core.megaflows.iter_mut().map(|(slot, _)| slot).collect();
        all.into_iter().for_each(|slot| self.core.megaflows.remove(slot));
    }

    /// Every cached decision.
    pub fn dump_flows(&mut self) -> Vec<FlowDump> {
        let mut flows: Vec<&mut Megaflow> = self.core.megaflows.iter_mut().map(|(_, flow)| flow).collect();
        flows.sort_by_key(|flow| flow.cold.serial);
        let dump = |flow: &mut Megaflow| FlowDump {
            key: flow.cold.key,
            mask: flow.cold.mask,
            actions: flow.cold.actions.to_vec(),
            packets: flow.packets,
            bytes: flow.bytes,
            used_ms: flow.used_ms,
            upcall: flow.cold.upcall,
            tcp_flags: flow.tcp_flags,
        };
        flows.into_iter().map(dump).collect()
    }
}

impl<T: Translator> Core<T> {
    /// Begins a batch.
    fn start(&mut self, now_ms: u64) {
        self.executor.now_ms = now_ms;
        self.upcalls_left = UPCALLS_PER_BATCH;
        let number = self.executor.translator.change_number();
        if self.change != number {
            let stamps = &mut self.stamps;
            let mut stamp = |change| stamps.stamp(change, number as u32);
            if !self.executor.translator.changes(self.change, number, &mut stamp) {
                stamp(Change::ANY);
            }
            self.change = number;
        }
    }

    /// Looks up again what asked for it, in the order in which it came.
    fn run_recirculated(&mut self) {
        let mut list = Vec::new();
        while !self.executor.recirculated.is_empty() {
            std::mem::swap(&mut list, &mut self.executor.recirculated);
            for Recirculated { packet, in_port, id, depth } in list.drain(..) {
                let mut key = PacketKey::default();
                extract(packet.data(), in_port, id, &mut key);
                let hash = key.hash();
                let found = self.exact.find(&key, hash);
                self.decide(packet, &key, hash, found, depth);
            }
        }
        if list.capacity() != 0 {
            // The room is kept for the next batch.
            self.executor.recirculated = list;
        }
    }

    /// Decides by the megaflow that the exact-match cache `found`, by another one, or by translation.
    #[inline]
    fn decide(&mut self, packet: Packet, key: &PacketKey, hash: u64, found: Option<(u32, u32)>, depth: u8) {
        if let Some((slot, generation)) = found
            && let Some(flow) = self.megaflows.at(slot, generation)
            && is_untouched(self.change as u32, &self.stamps, flow)
            && self.hits_until_check > 1
        {
            flow.checked = self.change as u32;
            self.hits_until_check -= 1;
            return hit(flow, &mut self.executor, packet, key, depth);
        }
        self.decide_slowly(packet, key, hash, found, depth);
    }

    /// The cases that are not most packets': not in the exact-match cache, something has changed, to be checked.
    #[cold]
    fn decide_slowly(
        &mut self,
        packet: Packet,
        key: &PacketKey,
        hash: u64,
        found: Option<(u32, u32)>,
        depth: u8,
    ) {
        let live = found.filter(|&(slot, generation)| self.megaflows.is_live(slot, generation));
        let Some((slot, generation)) = live.or_else(|| self.find_megaflow(key, hash)) else {
            return self.miss(packet, key, hash, depth);
        };
        let Some(flow) = self.megaflows.at(slot, generation) else { return };
        if !is_untouched(self.change as u32, &self.stamps, flow) {
            self.questions += 1;
            if !flow.is_current(self.change) {
                self.megaflows.remove(slot);
                return self.miss(packet, key, hash, depth);
            }
        }
        flow.checked = self.change as u32;
        self.hits_until_check -= 1;
        if self.hits_until_check == 0 && !self.check(key, slot, generation) {
            return self.miss(packet, key, hash, depth);
        }
        let Some(flow) = self.megaflows.at(slot, generation) else { return };
        hit(flow, &mut self.executor, packet, key, depth);
    }

    fn find_megaflow(&mut self, key: &PacketKey, hash: u64) -> Option<(u32, u32)> {
        let (slot, generation) = self.megaflows.find(key)?;
        let megaflows = &self.megaflows;
        self.exact
            .insert(key, hash, slot, generation, |slot, generation| megaflows.is_live(slot, generation));
        Some((slot, generation))
    }

    /// Translates, forwards and remembers.
    fn miss(&mut self, packet: Packet, key: &PacketKey, hash: u64, depth: u8) {
        if self.upcalls_left == 0 {
            return self.executor.drop_packet(packet, "upcall budget spent");
        }
        self.upcalls_left -= 1;
        self.upcalls += 1;
        let flow_key = key.expand();
        let Some(translation) = self.executor.translate(&flow_key, Some(&packet), true) else {
            return self.executor.drop_packet(packet, "translation panicked");
        };
        let cacheable = translation.cacheable;
        let mut flow = megaflow(&flow_key, translation, self.change as u32);
        if self.exact_only {
            flow.cold.mask.words[..heddle_flow::layout::PACKET_WORDS].fill(u64::MAX);
        }
        hit(&mut flow, &mut self.executor, packet, key, depth);
        flow.credit();
        flow.cold.upcall = flow.cold.credited;
        if cacheable && let Some((slot, generation)) = self.megaflows.insert(flow) {
            let megaflows = &self.megaflows;
            self.exact
                .insert(key, hash, slot, generation, |slot, generation| megaflows.is_live(slot, generation));
        }
    }

    /// Compares a cached answer with a fresh translation; false where it was wrong. A wrong answer is counted, kept for the
    /// report, and forgotten.
    fn check(&mut self, key: &PacketKey, slot: u32, generation: u32) -> bool {
        self.hits_until_check = if self.check_every == 0 { u64::MAX } else { self.check_every };
        let flow_key = key.expand();
        let Some(fresh) = self.executor.translate(&flow_key, None, false) else { return true };
        let Some(flow) = self.megaflows.at(slot, generation) else { return true };
        let actions = &flow.cold.actions;
        // A change since the batch began makes the answer old, not wrong.
        let changed = self.executor.translator.change_number() != self.change;
        if fresh.actions[..] == actions[..] || !fresh.cacheable || changed {
            return true;
        }
        self.mismatch_count += 1;
        if self.mismatches.len() < MAX_MISMATCHES {
            let cached = actions.to_vec();
            self.mismatches.push(Mismatch { key: flow_key, cached, fresh: fresh.actions });
        }
        self.megaflows.remove(slot);
        false
    }
}

/// Whether all that has changed since a megaflow was last known to stand is elsewhere.
#[inline(always)]
fn is_untouched(change: u32, stamps: &Stamps, flow: &Megaflow) -> bool {
    flow.checked == change || stamps.spare(&flow.concern, flow.checked)
}

/// Counts a packet and does what its megaflow says.
#[inline(always)]
fn hit<T: Translator>(
    flow: &mut Megaflow,
    executor: &mut Executor<T>,
    packet: Packet,
    key: &PacketKey,
    depth: u8,
) {
    let tcp_flags = (key.word(heddle_flow::layout::TAGS) >> 48) as u16;
    if packet.offload.gso == GsoType::None {
        flow.count(1, packet.len() as u64, tcp_flags, executor.now_ms);
    } else {
        flow.count(packet.wire_packets(), packet.wire_bytes(), tcp_flags, executor.now_ms);
    }
    if flow.only_output != NO_PORT {
        executor.output(packet, flow.only_output);
    } else {
        executor.execute(packet, key, &flow.cold.actions, flow.cold.drop, depth);
    }
}

fn megaflow(key: &FlowKey, translation: Translation, change: u32) -> Megaflow {
    let mut mask = translation.mask;
    // Every megaflow is one port's and one recirculation's.
    mask.words[heddle_flow::layout::PORT] = u64::MAX;
    let only_output = match translation.actions[..] {
        [Action::Output(port)] => port,
        _ => NO_PORT,
    };
    Megaflow {
        packets: 0,
        bytes: 0,
        used_ms: 0,
        concern: translation.decision.concern(key, &mask),
        checked: change,
        only_output,
        generation: 0,
        tcp_flags: 0,
        live: true,
        cold: Box::new(Cold {
            key: *key,
            mask,
            actions: translation.actions.into(),
            drop: translation.drop,
            decision: translation.decision,
            credited: Usage::default(),
            upcall: Usage::default(),
            subtable: 0,
            serial: 0,
        }),
    }
}
