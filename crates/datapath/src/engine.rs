//! One poll thread's packet engine, without the thread: time is passed in, and a test may drive it step by step.
//!
//! A batch of packets is taken from one receive queue; keys are extracted and hashed; the exact-match cache is asked,
//! then the megaflows, then the translator. The hit path takes no lock and allocates nothing: buffers come from
//! the pool, counters are the thread's own.

use std::collections::BTreeMap;
use std::sync::Arc;

use heddle_flow::{FlowKey, FlowMask, PacketKey, extract};
use heddle_netdev::{Netdev, NetdevError, Offloads, PacketPool, RxQueue, TxQueue};
use heddle_wire::segment::Segmenter;
use heddle_wire::{GsoType, Packet};

use crate::actions;
use crate::cache::{Cold, ExactCache, Megaflow, MegaflowTable, NO_PORT};
use crate::decision::{Action, Translation, Translator, Usage};

/// Packets taken from a queue at once.
pub const BATCH: usize = 32;
/// How often a packet may be recirculated.
const MAX_RECIRCULATIONS: u8 = 8;
/// Milliseconds after which an unused megaflow is forgotten.
const IDLE_MS: u64 = 10_000;
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
}

struct TxPort {
    netdev: Arc<dyn Netdev>,
    queue: Box<dyn TxQueue>,
    offloads: Offloads,
    batch: Vec<Packet>,
}

struct Recirculated {
    packet: Packet,
    in_port: u32,
    id: u32,
    depth: u8,
}

/// What acts on packets: ports, buffers, the translator.
struct Executor<T> {
    translator: T,
    tx: Vec<Option<TxPort>>,
    dirty: Vec<u32>,
    pool: PacketPool,
    recirculated: Vec<Recirculated>,
    drops: BTreeMap<&'static str, u64>,
    software_offloads: u64,
    now_ms: u64,
}

/// A poll thread's state.
pub struct Engine<T> {
    executor: Executor<T>,
    rx: Vec<RxPort>,
    exact: ExactCache,
    megaflows: MegaflowTable,
    batch: Vec<Packet>,
    keys: Box<[PacketKey; BATCH]>,
    hashes: [u64; BATCH],
    upcalls_left: u32,
    check_every: u64,
    hits_until_check: u64,
    mismatches: Vec<Mismatch>,
    mismatch_count: u64,
}

impl<T: Translator> Engine<T> {
    /// An engine without ports. `seed` keys its tables against hostile choice of keys.
    pub fn new(translator: T, seed: u64) -> Self {
        Self {
            executor: Executor {
                translator,
                tx: Vec::new(),
                dirty: Vec::new(),
                pool: PacketPool::new(1024),
                recirculated: Vec::new(),
                drops: BTreeMap::new(),
                software_offloads: 0,
                now_ms: 0,
            },
            rx: Vec::new(),
            exact: ExactCache::default(),
            megaflows: MegaflowTable::new(200_000, seed),
            batch: Vec::with_capacity(BATCH),
            keys: Box::new([PacketKey::default(); BATCH]),
            hashes: [0; BATCH],
            upcalls_left: 0,
            check_every: 0,
            hits_until_check: u64::MAX,
            mismatches: Vec::new(),
            mismatch_count: 0,
        }
    }

    /// The translator.
    pub fn translator(&mut self) -> &mut T {
        &mut self.executor.translator
    }

    /// Checks one hit in `every` against a fresh translation; zero checks none.
    pub fn set_differential_check(&mut self, every: u64) {
        self.check_every = every;
        self.hits_until_check = if every == 0 { u64::MAX } else { every };
    }

    /// How many answers of the cache were wrong, and the first of them.
    pub fn mismatches(&self) -> (u64, &[Mismatch]) {
        (self.mismatch_count, &self.mismatches)
    }

    /// Packets dropped so far, by reason.
    pub fn drops(&self) -> &BTreeMap<&'static str, u64> {
        &self.executor.drops
    }

    /// Frames that were cut or checksummed here because the device they left by does not.
    pub fn software_offloads(&self) -> u64 {
        self.executor.software_offloads
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
        let queue = netdev.open_tx_queue()?;
        let index = number as usize;
        if self.executor.tx.len() <= index {
            self.executor.tx.resize_with(index + 1, || None);
        }
        self.executor.tx[index] = Some(TxPort {
            netdev: Arc::clone(netdev),
            queue,
            offloads: netdev.offloads(),
            batch: Vec::with_capacity(BATCH),
        });
        let queues = netdev.take_rx_queues();
        let descriptors = queues.iter().filter_map(|queue| queue.readiness()).collect();
        self.rx.extend(queues.into_iter().map(|queue| RxPort { number, queue }));
        Ok(descriptors)
    }

    /// Detaches a device; returns the descriptors that must no longer be waited on.
    pub fn remove_port(&mut self, number: u32) -> Vec<std::os::fd::RawFd> {
        if let Some(port) = self.executor.tx.get_mut(number as usize) {
            *port = None;
        }
        let gone = self.rx.iter().filter(|port| port.number == number);
        let descriptors = gone.filter_map(|port| port.queue.readiness()).collect();
        self.rx.retain(|port| port.number != number);
        descriptors
    }

    /// Takes one batch from every receive queue; returns how many packets there were.
    pub fn poll(&mut self, now_ms: u64) -> usize {
        (0..self.rx.len()).map(|index| self.poll_queue(index, now_ms)).sum()
    }

    /// Takes one batch from the receive queue with this descriptor.
    pub fn poll_descriptor(&mut self, descriptor: std::os::fd::RawFd, now_ms: u64) -> usize {
        let queue = self.rx.iter().position(|port| port.queue.readiness() == Some(descriptor));
        queue.map_or(0, |index| self.poll_queue(index, now_ms))
    }

    fn poll_queue(&mut self, index: usize, now_ms: u64) -> usize {
        let mut batch = std::mem::take(&mut self.batch);
        let port = &mut self.rx[index];
        let number = port.number;
        let count = port.queue.receive(&mut self.executor.pool, &mut batch, BATCH);
        if count != 0 {
            self.process(&mut batch, number, now_ms);
        }
        self.batch = batch;
        count
    }

    /// Processes packets that came in by one port, and sends what comes of them. Leaves `batch` empty.
    pub fn process(&mut self, batch: &mut Vec<Packet>, in_port: u32, now_ms: u64) {
        self.executor.now_ms = now_ms;
        self.upcalls_left = UPCALLS_PER_BATCH;
        let change = self.executor.translator.change_number();
        while !batch.is_empty() {
            let count = batch.len().min(BATCH);
            for (index, packet) in batch.iter().take(count).enumerate() {
                let key = &mut self.keys[index];
                extract(packet.data(), in_port, 0, key);
                self.hashes[index] = key.hash();
                self.exact.prefetch(self.hashes[index]);
            }
            for &hash in &self.hashes[..count] {
                if let Some(slot) = self.exact.prefetch_line(hash) {
                    self.megaflows.prefetch(slot);
                }
            }
            for (index, packet) in batch.drain(..count).enumerate() {
                let (key, hash) = (self.keys[index], self.hashes[index]);
                self.decide(packet, &key, hash, change, 0);
            }
        }
        self.run_recirculated(change);
        self.executor.flush();
    }

    fn run_recirculated(&mut self, change: u64) {
        while let Some(next) = self.executor.recirculated.pop() {
            let mut key = PacketKey::default();
            extract(next.packet.data(), next.in_port, next.id, &mut key);
            self.decide(next.packet, &key, key.hash(), change, next.depth);
        }
    }

    #[inline]
    fn decide(&mut self, packet: Packet, key: &PacketKey, hash: u64, change: u64, depth: u8) {
        let found = match self.exact.find(key, hash) {
            Some((slot, generation)) if self.megaflows.is_live(slot, generation) => Some((slot, generation)),
            _ => self.find_megaflow(key, hash),
        };
        let Some((slot, generation)) = found else { return self.miss(packet, key, hash, change, depth) };
        let Some(flow) = self.megaflows.at(slot, generation) else { return };
        if flow.checked != change {
            let Cold { key: flow_key, mask, decision, .. } = &mut *flow.cold;
            if !decision.is_current(flow_key, mask) {
                self.megaflows.remove(slot);
                return self.miss(packet, key, hash, change, depth);
            }
            flow.checked = change;
        }
        self.hits_until_check -= 1;
        if self.hits_until_check == 0 {
            self.check(key, slot, generation);
        }
        let Some(flow) = self.megaflows.at(slot, generation) else { return };
        let tcp_flags = (key.word(heddle_flow::layout::TAGS) >> 48) as u16;
        if packet.offload.gso == GsoType::None {
            flow.count(1, packet.len() as u64, tcp_flags, self.executor.now_ms);
        } else {
            flow.count(packet.wire_packets(), packet.wire_bytes(), tcp_flags, self.executor.now_ms);
        }
        if flow.only_output != NO_PORT {
            self.executor.output(packet, flow.only_output);
        } else {
            self.executor.execute(packet, key, &flow.actions, flow.drop, depth);
        }
    }

    fn find_megaflow(&mut self, key: &PacketKey, hash: u64) -> Option<(u32, u32)> {
        let (slot, generation) = self.megaflows.find(key)?;
        let megaflows = &self.megaflows;
        self.exact
            .insert(key, hash, slot, generation, |slot, generation| megaflows.is_live(slot, generation));
        Some((slot, generation))
    }

    /// Translates, forwards and remembers.
    #[cold]
    fn miss(&mut self, packet: Packet, key: &PacketKey, hash: u64, change: u64, depth: u8) {
        if self.upcalls_left == 0 {
            return self.executor.drop_packet(packet, "upcall budget spent");
        }
        self.upcalls_left -= 1;
        let flow_key = key.expand();
        let Some(translation) = self.executor.translate(&flow_key, Some(&packet), true) else {
            return self.executor.drop_packet(packet, "translation panicked");
        };
        let mut flow = megaflow(&flow_key, translation, change);
        let cacheable = flow.0;
        let flow = &mut flow.1;
        let tcp_flags = flow_key.tcp_flags();
        flow.count(packet.wire_packets(), packet.wire_bytes(), tcp_flags, self.executor.now_ms);
        self.executor.execute(packet, key, &flow.actions, flow.drop, depth);
        if !cacheable {
            return flow.credit();
        }
        self.remember(flow, key, hash);
    }

    fn remember(&mut self, flow: &mut Megaflow, key: &PacketKey, hash: u64) {
        let spare = Megaflow {
            actions: Box::default(),
            cold: Box::new(Cold {
                key: FlowKey::default(),
                mask: FlowMask::default(),
                decision: Box::new(Nobody),
                credited: Usage::default(),
                subtable: 0,
            }),
            ..*flow
        };
        let mut flow = std::mem::replace(flow, spare);
        flow.credit();
        if let Some((slot, generation)) = self.megaflows.insert(flow) {
            let megaflows = &self.megaflows;
            self.exact
                .insert(key, hash, slot, generation, |slot, generation| megaflows.is_live(slot, generation));
        }
    }

    /// Compares a cached answer with a fresh translation; a wrong one is counted, kept for the report, and forgotten.
    #[cold]
    fn check(&mut self, key: &PacketKey, slot: u32, generation: u32) {
        self.hits_until_check = if self.check_every == 0 { u64::MAX } else { self.check_every };
        let flow_key = key.expand();
        let Some(fresh) = self.executor.translate(&flow_key, None, false) else { return };
        let Some(flow) = self.megaflows.at(slot, generation) else { return };
        if fresh.actions[..] == flow.actions[..] || !fresh.cacheable {
            return;
        }
        self.mismatch_count += 1;
        if self.mismatches.len() < 64 {
            let cached = flow.actions.to_vec();
            self.mismatches.push(Mismatch { key: flow_key, cached, fresh: fresh.actions });
        }
    }

    /// Runs actions on a packet that no cache decided, as a controller's packet-out does.
    pub fn execute(&mut self, packet: Packet, in_port: u32, actions: &[Action], now_ms: u64) {
        self.executor.now_ms = now_ms;
        let mut key = PacketKey::default();
        extract(packet.data(), in_port, 0, &mut key);
        self.executor.execute(packet, &key, actions, None, 0);
        self.upcalls_left = UPCALLS_PER_BATCH;
        let change = self.executor.translator.change_number();
        self.run_recirculated(change);
        self.executor.flush();
    }

    /// Credits what every megaflow counted, so that counters are exact.
    pub fn flush_credits(&mut self) {
        self.megaflows.iter_mut().for_each(|(_, flow)| flow.credit());
    }

    /// Credits all, forgets what is idle or no longer stands, and puts busy masks in front. Returns how many are left.
    pub fn revalidate(&mut self, now_ms: u64) -> usize {
        let change = self.executor.translator.change_number();
        let mut gone = Vec::new();
        for (slot, flow) in self.megaflows.iter_mut() {
            flow.credit();
            let Cold { key, mask, decision, .. } = &mut *flow.cold;
            if flow.used_ms + IDLE_MS <= now_ms || (flow.checked != change && !decision.is_current(key, mask))
            {
                gone.push(slot);
            } else {
                flow.checked = change;
            }
        }
        gone.into_iter().for_each(|slot| self.megaflows.remove(slot));
        self.megaflows.reorder();
        self.megaflows.len()
    }

    /// Forgets every cached decision.
    pub fn purge(&mut self) {
        let all: Vec<u32> = self.megaflows.iter_mut().map(|(slot, _)| slot).collect();
        all.into_iter().for_each(|slot| self.megaflows.remove(slot));
    }

    /// Every cached decision.
    pub fn dump_flows(&mut self) -> Vec<FlowDump> {
        let dump = |(_, flow): (u32, &mut Megaflow)| FlowDump {
            key: flow.cold.key,
            mask: flow.cold.mask,
            actions: flow.actions.to_vec(),
            packets: flow.packets,
            bytes: flow.bytes,
            used_ms: flow.used_ms,
        };
        self.megaflows.iter_mut().map(dump).collect()
    }
}

/// Stands where a decision was taken out.
struct Nobody;

impl crate::decision::Decision for Nobody {
    fn is_current(&mut self, _: &FlowKey, _: &FlowMask) -> bool {
        false
    }
    fn credit(&self, _: &Usage) {}
}

fn megaflow(key: &FlowKey, translation: Translation, change: u64) -> (bool, Megaflow) {
    let mut mask = translation.mask;
    // Every megaflow is one port's and one recirculation's.
    mask.words[heddle_flow::layout::PORT] = u64::MAX;
    let only_output = match translation.actions[..] {
        [Action::Output(port)] => port,
        _ => NO_PORT,
    };
    let flow = Megaflow {
        packets: 0,
        bytes: 0,
        used_ms: 0,
        checked: change,
        only_output,
        generation: 0,
        tcp_flags: 0,
        live: true,
        actions: translation.actions.into(),
        drop: translation.drop,
        cold: Box::new(Cold {
            key: *key,
            mask,
            decision: translation.decision,
            credited: Usage::default(),
            subtable: 0,
        }),
    };
    (translation.cacheable, flow)
}

impl<T: Translator> Executor<T> {
    /// Translates with a panic contained: it costs the packet that met it.
    fn translate(&mut self, key: &FlowKey, packet: Option<&Packet>, effects: bool) -> Option<Translation> {
        let (translator, now_ms) = (&mut self.translator, self.now_ms);
        let translate = std::panic::AssertUnwindSafe(|| translator.translate(key, packet, now_ms, effects));
        std::panic::catch_unwind(translate).ok()
    }

    fn count_drop(&mut self, reason: &'static str) {
        *self.drops.entry(reason).or_default() += 1;
    }

    fn drop_packet(&mut self, packet: Packet, reason: &'static str) {
        self.count_drop(reason);
        self.pool.give(packet);
    }

    /// Runs `actions`; the last output moves the packet, earlier ones copy it.
    fn execute(
        &mut self,
        mut packet: Packet,
        key: &PacketKey,
        actions: &[Action],
        drop: Option<&'static str>,
        depth: u8,
    ) {
        if let Some(reason) = drop {
            self.count_drop(reason);
        }
        let Some((last, rest)) = actions.split_last() else {
            return self.pool.give(packet);
        };
        for action in rest {
            if !self.act(&mut packet, key, action, depth) {
                return self.drop_packet(packet, "header to be changed is missing");
            }
        }
        match *last {
            Action::Output(port) => self.output(packet, port),
            Action::Recirculate(id) => self.recirculate(packet, key, id, depth),
            _ => {
                self.act(&mut packet, key, last, depth);
                self.pool.give(packet);
            }
        }
    }

    fn act(&mut self, packet: &mut Packet, key: &PacketKey, action: &Action, depth: u8) -> bool {
        match *action {
            Action::Clone(ref actions) => {
                if let Some(copy) = self.copy(packet) {
                    self.execute(copy, key, actions, None, depth);
                }
                true
            }
            Action::Output(port) => {
                if let Some(copy) = self.copy(packet) {
                    self.output(copy, port);
                }
                true
            }
            Action::Recirculate(id) => {
                if let Some(copy) = self.copy(packet) {
                    self.recirculate(copy, key, id, depth);
                }
                true
            }
            Action::Set { field, value, mask } => actions::set(packet, field, value, mask),
            Action::PushVlan { tpid, tci } => actions::push_vlan(packet, tpid, tci),
            Action::PopVlan => actions::pop_vlan(packet),
            Action::PushMpls { ethertype, lse } => actions::push_mpls(packet, ethertype, lse),
            Action::PopMpls { ethertype } => actions::pop_mpls(packet, ethertype),
            Action::Punt { id, max_len } => {
                self.translator.punt(id, &key.expand(), packet, max_len, self.now_ms);
                true
            }
        }
    }

    fn copy(&mut self, packet: &Packet) -> Option<Packet> {
        let Some(mut copy) = self.pool.take() else {
            self.count_drop("no packet buffer");
            return None;
        };
        if copy.copy_from(packet) {
            return Some(copy);
        }
        self.drop_packet(copy, "packet too large");
        None
    }

    fn recirculate(&mut self, packet: Packet, key: &PacketKey, id: u32, depth: u8) {
        if depth >= MAX_RECIRCULATIONS {
            return self.drop_packet(packet, "recirculation too deep");
        }
        let in_port = (key.word(heddle_flow::layout::PORT) >> 32) as u32;
        self.recirculated.push(Recirculated { packet, in_port, id, depth: depth + 1 });
    }

    #[inline]
    fn output(&mut self, packet: Packet, number: u32) {
        let Some(Some(port)) = self.tx.get_mut(number as usize) else {
            return self.drop_packet(packet, "output port is gone");
        };
        if port.batch.is_empty() {
            self.dirty.push(number);
        }
        if port.offloads.accept(&packet.offload) {
            port.batch.push(packet);
        } else {
            self.output_in_software(packet, number);
        }
    }

    /// Does for a device what it does not do itself: cuts segments, finishes checksums.
    #[cold]
    fn output_in_software(&mut self, mut packet: Packet, number: u32) {
        self.software_offloads += 1;
        let Some(Some(port)) = self.tx.get_mut(number as usize) else { return };
        if packet.offload.gso == GsoType::None {
            heddle_wire::checksum::finish_partial(&mut packet);
            return port.batch.push(packet);
        }
        let Ok(mut segmenter) = Segmenter::new(&packet) else {
            return self.drop_packet(packet, "segment cannot be cut");
        };
        let mut spent = false;
        loop {
            let Some(mut piece) = self.pool.take() else {
                spent = true;
                break;
            };
            if !segmenter.next_into(&mut piece) {
                self.pool.give(piece);
                break;
            }
            port.batch.push(piece);
        }
        if spent {
            return self.drop_packet(packet, "no packet buffer");
        }
        self.pool.give(packet);
    }

    fn flush(&mut self) {
        for number in self.dirty.drain(..) {
            if let Some(Some(port)) = self.tx.get_mut(number as usize) {
                if port.netdev.link_state().admin_up {
                    port.queue.send(&mut self.pool, &mut port.batch);
                } else {
                    *self.drops.entry("port is down").or_default() += port.batch.len() as u64;
                    port.batch.drain(..).for_each(|packet| self.pool.give(packet));
                }
            }
        }
    }
}
