//! What acts on packets: the ports they leave by, their buffers, and the translator that takes what is punted.

use std::collections::BTreeMap;
use std::sync::Arc;

use heddle_flow::{FlowKey, PacketKey};
use heddle_link::Profile;
use heddle_netdev::{Netdev, NetdevError, Offloads, PacketPool, TxQueue};
use heddle_wire::segment::Segmenter;
use heddle_wire::{GsoType, Packet};

use crate::actions;
use crate::decision::{Action, Translation, Translator};
use crate::engine::BATCH;
use crate::lines::{self, Lines, Way};
use crate::meter::Verdict;

/// Most packet buffers. Each holds a segment of 64 KiB, made when first needed; lines keep what is under way in them.
const BUFFERS: usize = 8192;
/// How often a packet may be recirculated.
const MAX_RECIRCULATIONS: u8 = 8;

struct TxPort {
    /// A port without a device is a line to where its number is attached.
    device: Option<TxDevice>,
    has_line: bool,
    offloads: Offloads,
    batch: Vec<Packet>,
}

struct TxDevice {
    netdev: Arc<dyn Netdev>,
    queue: Box<dyn TxQueue>,
}

impl TxDevice {
    /// Sends packets; where the device is down they are dropped, and counted. Leaves `batch` empty.
    fn send(
        &mut self,
        batch: &mut Vec<Packet>,
        pool: &mut PacketPool,
        drops: &mut BTreeMap<&'static str, u64>,
    ) {
        if self.netdev.link_state().admin_up {
            self.queue.send(pool, batch);
        } else {
            *drops.entry("port is down").or_default() += batch.len() as u64;
            batch.drain(..).for_each(|packet| pool.give(packet));
        }
    }
}

/// What a line's end takes: all.
const ALL_OFFLOADS: Offloads = Offloads { checksum: true, tso4: true, tso6: true, uso: true };

pub(crate) struct Recirculated {
    pub packet: Packet,
    pub in_port: u32,
    pub id: u32,
    pub depth: u8,
}

/// What acts on packets: ports, buffers, the translator.
pub(crate) struct Executor<T> {
    pub translator: T,
    tx: Vec<Option<TxPort>>,
    dirty: Vec<u32>,
    pub pool: PacketPool,
    pub lines: Lines,
    /// Packets to be looked up again, in the order they came.
    pub recirculated: Vec<Recirculated>,
    pub drops: BTreeMap<&'static str, u64>,
    /// Packets and bytes that left by a port and a queue other than its own choice.
    queued: BTreeMap<(u32, u32), (u64, u64)>,
    pub software_offloads: u64,
    pub now_ms: u64,
}

/// Queues, of all ports, whose packets are counted.
const MAX_QUEUES: usize = 65_536;

/// Whether an action works on the wire's packets, and not on segments.
fn needs_wire_packets(action: &Action) -> bool {
    matches!(action, Action::Meter(_) | Action::Truncate(_))
}

impl<T: Translator> Executor<T> {
    pub fn new(translator: T) -> Self {
        Self {
            translator,
            tx: Vec::new(),
            dirty: Vec::new(),
            pool: PacketPool::new(BUFFERS),
            lines: Lines::default(),
            recirculated: Vec::new(),
            drops: BTreeMap::new(),
            queued: BTreeMap::new(),
            software_offloads: 0,
            now_ms: 0,
        }
    }

    /// Opens a way out by a device.
    pub fn add_port(&mut self, number: u32, netdev: &Arc<dyn Netdev>) -> Result<(), NetdevError> {
        let queue = netdev.open_tx_queue()?;
        let device = Some(TxDevice { netdev: Arc::clone(netdev), queue });
        self.set_port(number, device, netdev.offloads());
        Ok(())
    }

    fn set_port(&mut self, number: u32, device: Option<TxDevice>, offloads: Offloads) {
        let index = number as usize;
        if self.tx.len() <= index {
            self.tx.resize_with(index + 1, || None);
        }
        let has_line = self.lines.has(lines::place(number, Way::Out));
        self.tx[index] = Some(TxPort { device, has_line, offloads, batch: Vec::with_capacity(BATCH) });
    }

    /// Makes a line of a port be as `profile` says. A line out by a port that has no device comes in by the same number.
    pub fn set_line(&mut self, number: u32, way: Way, profile: &Profile, seed: u64) {
        self.lines.set(lines::place(number, way), profile, seed);
        if way == Way::In {
            return;
        }
        match self.tx.get_mut(number as usize) {
            Some(Some(port)) => port.has_line = true,
            _ => self.set_port(number, None, ALL_OFFLOADS),
        }
    }

    /// Hands packets that have come to the end of a port's line out to its device; those of a port that has none stay, since
    /// they come in by it.
    pub fn leave(&mut self, number: u32, batch: &mut Vec<Packet>) {
        if let Some(Some(TxPort { device: Some(device), .. })) = self.tx.get_mut(number as usize) {
            device.send(batch, &mut self.pool, &mut self.drops);
        }
    }

    pub fn remove_port(&mut self, number: u32) {
        for way in [Way::Out, Way::In] {
            self.lines.remove(lines::place(number, way), &mut self.pool);
        }
        if let Some(port) = self.tx.get_mut(number as usize) {
            *port = None;
        }
        self.queued.retain(|(port, _), _| *port != number);
    }

    #[cold]
    fn count_queue(&mut self, packet: &Packet, number: u32) {
        let place = (number, packet.queue);
        if self.queued.len() < MAX_QUEUES || self.queued.contains_key(&place) {
            let count = self.queued.entry(place).or_default();
            count.0 += packet.wire_packets();
            count.1 += packet.wire_bytes();
        }
    }

    /// Packets and bytes that left by a port, by queue.
    pub fn queued(&self, number: u32) -> BTreeMap<u32, (u64, u64)> {
        let of_port = self.queued.range((number, 0)..=(number, u32::MAX));
        of_port.map(|((_, queue), count)| (*queue, *count)).collect()
    }

    /// Translates with a panic contained: it costs the packet that met it.
    pub fn translate(
        &mut self,
        key: &FlowKey,
        packet: Option<&Packet>,
        effects: bool,
    ) -> Option<Translation> {
        let (translator, now_ms) = (&mut self.translator, self.now_ms);
        let translate = std::panic::AssertUnwindSafe(|| translator.translate(key, packet, now_ms, effects));
        std::panic::catch_unwind(translate).ok()
    }

    pub fn count_drop(&mut self, reason: &'static str) {
        *self.drops.entry(reason).or_default() += 1;
    }

    pub fn drop_packet(&mut self, packet: Packet, reason: &'static str) {
        self.count_drop(reason);
        self.pool.give(packet);
    }

    /// Runs `actions`; the last output moves the packet, earlier ones copy it.
    pub fn execute(
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
        for (index, action) in rest.iter().enumerate() {
            if packet.offload.gso != GsoType::None && needs_wire_packets(action) {
                return self.execute_pieces(packet, key, &actions[index..], depth);
            }
            if let Err(reason) = self.act(&mut packet, key, action, depth) {
                return self.drop_packet(packet, reason);
            }
        }
        match *last {
            Action::Output(port) => self.output(packet, port),
            Action::Recirculate(id) => self.recirculate(packet, key, id, depth),
            _ if packet.offload.gso != GsoType::None && needs_wire_packets(last) => {
                self.execute_pieces(packet, key, &actions[rest.len()..], depth);
            }
            _ => match self.act(&mut packet, key, last, depth) {
                Ok(()) => self.pool.give(packet),
                Err(reason) => self.drop_packet(packet, reason),
            },
        }
    }

    /// Cuts a segment into the packets that it is on the wire, and runs `actions` on each.
    #[cold]
    fn execute_pieces(&mut self, packet: Packet, key: &PacketKey, actions: &[Action], depth: u8) {
        self.software_offloads += 1;
        let Ok(mut segmenter) = Segmenter::new(&packet) else {
            return self.drop_packet(packet, "segment cannot be cut");
        };
        while let Some(mut piece) = self.buffer() {
            if !segmenter.next_into(&mut piece) {
                self.pool.give(piece);
                break;
            }
            piece.queue = packet.queue;
            self.execute(piece, key, actions, None, depth);
        }
        self.pool.give(packet);
    }

    /// Runs an action; an error is the reason why the packet is dropped.
    fn act(
        &mut self,
        packet: &mut Packet,
        key: &PacketKey,
        action: &Action,
        depth: u8,
    ) -> Result<(), &'static str> {
        let done = match *action {
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
            Action::PushPbb { tag } => actions::push_pbb(packet, tag),
            Action::PopPbb => actions::pop_pbb(packet),
            Action::CopyTtlOut => actions::copy_ttl_out(packet),
            Action::CopyTtlIn => actions::copy_ttl_in(packet),
            Action::SetQueue(queue) => {
                packet.queue = queue;
                true
            }
            Action::Truncate(length) => {
                heddle_wire::checksum::finish_partial(packet);
                packet.truncate(length as usize);
                true
            }
            Action::Meter(ref meter) => match meter.pass(packet.len() as u64, self.now_ms) {
                Verdict::Pass => true,
                Verdict::Drop => return Err("meter"),
                Verdict::Remark(levels) => {
                    actions::remark(packet, levels);
                    true
                }
            },
        };
        if done { Ok(()) } else { Err("header to be changed is missing") }
    }

    /// A buffer. Those that wait to be sent are sent first where there is no other.
    fn buffer(&mut self) -> Option<Packet> {
        if self.pool.available() == 0 {
            self.flush();
        }
        let buffer = self.pool.take();
        if buffer.is_none() {
            self.count_drop("no packet buffer");
        }
        buffer
    }

    fn copy(&mut self, packet: &Packet) -> Option<Packet> {
        let mut copy = self.buffer()?;
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
    pub fn output(&mut self, packet: Packet, number: u32) {
        if packet.queue != 0 {
            self.count_queue(&packet, number);
        }
        let Some(Some(port)) = self.tx.get_mut(number as usize) else {
            return self.drop_packet(packet, "output port is gone");
        };
        if !port.offloads.accept(&packet.offload) {
            return self.output_in_software(packet, number);
        }
        if port.batch.is_empty() {
            self.dirty.push(number);
        }
        port.batch.push(packet);
    }

    /// Does for a device what it does not do itself: cuts segments, finishes checksums.
    #[cold]
    fn output_in_software(&mut self, mut packet: Packet, number: u32) {
        self.software_offloads += 1;
        if packet.offload.gso == GsoType::None {
            heddle_wire::checksum::finish_partial(&mut packet);
            return self.queue(packet, number);
        }
        let Ok(mut segmenter) = Segmenter::new(&packet) else {
            return self.drop_packet(packet, "segment cannot be cut");
        };
        while let Some(mut piece) = self.buffer() {
            if !segmenter.next_into(&mut piece) {
                self.pool.give(piece);
                break;
            }
            piece.queue = packet.queue;
            self.queue(piece, number);
        }
        self.pool.give(packet);
    }

    /// Lets a packet wait for the end of the batch.
    #[inline]
    fn queue(&mut self, packet: Packet, number: u32) {
        let Some(Some(port)) = self.tx.get_mut(number as usize) else {
            return self.drop_packet(packet, "output port is gone");
        };
        if port.batch.is_empty() {
            self.dirty.push(number);
        }
        port.batch.push(packet);
    }

    /// Sends what waits.
    pub fn flush(&mut self) {
        for number in self.dirty.drain(..) {
            let Some(Some(port)) = self.tx.get_mut(number as usize) else { continue };
            if port.has_line {
                self.lines.offer(lines::place(number, Way::Out), &mut port.batch, &mut self.pool);
            } else if let Some(device) = &mut port.device {
                device.send(&mut port.batch, &mut self.pool, &mut self.drops);
            }
        }
    }
}
