//! Megaflows: cached decisions, each for all packets that agree in the bits it looked at.
//!
//! ```text
//!  slots, reused with a new generation:   one line each: counters, validity, the only output
//!                                         behind it: key, mask, actions, decision
//!  subtables, one a mask:                 hash of masked words -> slot
//! ```
//!
//! Subtables are visited in the order of their use. There are at most [`MAX_MASKS`]; see there.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use heddle_flow::layout::PACKET_WORDS;
use heddle_flow::{FlowKey, FlowMask, PacketKey};

use crate::concern::Concern;
use crate::decision::{Action, Decision, Usage};

/// Most distinct masks; above it a decision is cached for its exact key only, so that a hostile rule set
/// cannot make every lookup visit more subtables than this.
pub const MAX_MASKS: usize = 128;

/// A cached decision: what every hit touches, in one cache line.
#[repr(align(64))]
pub struct Megaflow {
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
    pub(crate) used_ms: u64,
    /// What it depends on.
    pub(crate) concern: Concern,
    /// Change number at which the decision was last known to stand, its low bits: the revalidator asks far more often than
    /// they come round.
    pub(crate) checked: u32,
    /// The port, where the only action is an output.
    pub(crate) only_output: u32,
    pub(crate) generation: u32,
    pub(crate) tcp_flags: u16,
    pub(crate) live: bool,
    pub(crate) cold: Box<Cold>,
}

const _: () = assert!(size_of::<Megaflow>() == 64);

/// What a hit whose only action is an output does not touch.
pub struct Cold {
    pub(crate) key: FlowKey,
    pub(crate) mask: FlowMask,
    pub(crate) actions: Box<[Action]>,
    pub(crate) drop: Option<&'static str>,
    pub(crate) decision: Box<dyn Decision>,
    pub(crate) credited: Usage,
    /// What the packet that it was made for counted: that one was decided by translation.
    pub(crate) upcall: Usage,
    pub(crate) subtable: usize,
    /// Its number among all that were made.
    pub(crate) serial: u64,
}

/// `only_output` of a megaflow that does more, or less, than one output.
pub const NO_PORT: u32 = u32::MAX;

impl Megaflow {
    /// Counts a packet.
    #[inline(always)]
    pub fn count(&mut self, packets: u64, bytes: u64, tcp_flags: u16, now_ms: u64) {
        self.packets += packets;
        self.bytes += bytes;
        self.used_ms = now_ms;
        self.tcp_flags |= tcp_flags;
    }

    /// Asks the decision whether it stands, at the change `number`.
    pub fn is_current(&mut self, number: u64) -> bool {
        let known = number.saturating_sub(u64::from((number as u32).wrapping_sub(self.checked)));
        let Cold { key, mask, decision, .. } = &mut *self.cold;
        decision.is_current(key, mask, known)
    }

    /// Credits what was counted since the last time.
    pub fn credit(&mut self) {
        let packets = self.packets - self.cold.credited.packets;
        if packets == 0 {
            return;
        }
        let bytes = self.bytes - self.cold.credited.bytes;
        let usage = Usage { packets, bytes, used_ms: self.used_ms, tcp_flags: self.tcp_flags };
        self.cold.decision.credit(&usage);
        self.cold.credited.packets = self.packets;
        self.cold.credited.bytes = self.bytes;
    }
}

/// A hasher for values that are hashes already.
#[derive(Default)]
struct Already(u64);

impl Hasher for Already {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, _: &[u8]) {}
    fn write_u64(&mut self, value: u64) {
        self.0 = value;
    }
}

struct Subtable {
    mask: FlowMask,
    words: Box<[(u8, u64)]>,
    slots: HashMap<u64, u32, BuildHasherDefault<Already>>,
    hits: u64,
}

impl Subtable {
    #[inline]
    fn hash(&self, seed: u64, word_of: impl Fn(usize) -> u64) -> u64 {
        self.words.iter().fold(seed, |hash, &(word, mask)| {
            let product = u128::from(hash ^ (word_of(usize::from(word)) & mask))
                * u128::from(0x9e37_79b9_7f4a_7c15_u64.wrapping_add(u64::from(word) << 1));
            (product as u64) ^ ((product >> 64) as u64).rotate_left(17)
        })
    }
}

/// All cached decisions of a poll thread.
pub struct MegaflowTable {
    flows: Vec<Megaflow>,
    free: Vec<u32>,
    subtables: Vec<Subtable>,
    order: Vec<usize>,
    seed: u64,
    limit: usize,
    /// Packets of megaflows that are gone, but for those that they were made for.
    gone_packets: u64,
    made: u64,
}

impl MegaflowTable {
    /// A table of at most `limit` megaflows. `seed` keys its hashes against hostile choice of keys.
    pub fn new(limit: usize, seed: u64) -> Self {
        let (flows, free, subtables, order) = Default::default();
        Self { flows, free, subtables, order, seed, limit, gone_packets: 0, made: 0 }
    }

    /// Sets the most megaflows; those above it stay until their time comes.
    pub fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
    }

    /// The most megaflows.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// Packets that were decided by a megaflow.
    pub fn hits(&self) -> u64 {
        let live = self.flows.iter().filter(|flow| flow.live);
        live.map(|flow| flow.packets - flow.cold.upcall.packets).sum::<u64>() + self.gone_packets
    }

    /// How many megaflows there are.
    pub fn len(&self) -> usize {
        self.flows.len() - self.free.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many masks they use.
    pub fn masks(&self) -> usize {
        self.subtables.iter().filter(|subtable| !subtable.slots.is_empty()).count()
    }

    /// The megaflow in a slot, if it is still of that generation.
    #[inline(always)]
    pub fn at(&mut self, slot: u32, generation: u32) -> Option<&mut Megaflow> {
        self.flows.get_mut(slot as usize).filter(|flow| flow.live && flow.generation == generation)
    }

    /// Brings the megaflow in a slot near.
    #[inline(always)]
    pub fn prefetch(&self, slot: u32) {
        if let Some(flow) = self.flows.get(slot as usize) {
            crate::prefetch::read(flow);
        }
    }

    /// Whether a slot still holds the megaflow of that generation.
    pub fn is_live(&self, slot: u32, generation: u32) -> bool {
        self.flows.get(slot as usize).is_some_and(|flow| flow.live && flow.generation == generation)
    }

    /// The slot of the megaflow that covers a key.
    pub fn find(&mut self, key: &PacketKey) -> Option<(u32, u32)> {
        for &at in &self.order {
            let subtable = &mut self.subtables[at];
            let hash = subtable.hash(self.seed, |word| key.word(word));
            let Some(&slot) = subtable.slots.get(&hash) else { continue };
            let flow = &self.flows[slot as usize];
            let same = |&(word, mask): &(u8, u64)| {
                (key.word(usize::from(word)) ^ flow.cold.key.words[usize::from(word)]) & mask == 0
            };
            if subtable.words.iter().all(same) {
                subtable.hits += 1;
                return Some((slot, flow.generation));
            }
        }
        None
    }

    /// Keeps a decision; `None` when the table is full, or its place is taken by a colliding hash.
    pub fn insert(&mut self, mut flow: Megaflow) -> Option<(u32, u32)> {
        if self.len() >= self.limit {
            return None;
        }
        let at = self.subtable(&mut flow.cold.mask);
        flow.cold.key = flow.cold.key.masked(&flow.cold.mask);
        flow.cold.subtable = at;
        self.made += 1;
        flow.cold.serial = self.made;
        let subtable = &self.subtables[at];
        let hash = subtable.hash(self.seed, |word| flow.cold.key.words[word]);
        if subtable.slots.contains_key(&hash) {
            return None;
        }
        let slot = match self.free.pop() {
            Some(slot) => {
                flow.generation = self.flows[slot as usize].generation.wrapping_add(1);
                self.flows[slot as usize] = flow;
                slot
            }
            None => {
                self.flows.push(flow);
                (self.flows.len() - 1) as u32
            }
        };
        self.subtables[at].slots.insert(hash, slot);
        Some((slot, self.flows[slot as usize].generation))
    }

    /// The subtable for a mask; widens the mask to every bit when there are too many.
    fn subtable(&mut self, mask: &mut FlowMask) -> usize {
        for word in &mut mask.words[PACKET_WORDS..] {
            *word = 0;
        }
        if let Some(at) = self.subtables.iter().position(|subtable| subtable.mask == *mask) {
            return at;
        }
        if self.subtables.len() >= MAX_MASKS {
            if let Some(at) = self.subtables.iter().position(|subtable| subtable.slots.is_empty()) {
                self.subtables[at] = Self::new_subtable(mask);
                return at;
            }
            for word in &mut mask.words[..PACKET_WORDS] {
                *word = u64::MAX;
            }
            if let Some(at) = self.subtables.iter().position(|subtable| subtable.mask == *mask) {
                return at;
            }
        }
        self.subtables.push(Self::new_subtable(mask));
        self.order.push(self.subtables.len() - 1);
        self.subtables.len() - 1
    }

    fn new_subtable(mask: &FlowMask) -> Subtable {
        let words = (0..PACKET_WORDS)
            .filter(|&word| mask.words[word] != 0)
            .map(|word| (word as u8, mask.words[word]))
            .collect();
        Subtable { mask: *mask, words, slots: HashMap::default(), hits: 0 }
    }

    /// Credits and forgets a megaflow.
    pub fn remove(&mut self, slot: u32) {
        let flow = &mut self.flows[slot as usize];
        if !flow.live {
            return;
        }
        flow.credit();
        flow.live = false;
        self.gone_packets += flow.packets - flow.cold.upcall.packets;
        let subtable = &mut self.subtables[flow.cold.subtable];
        let hash = subtable.hash(self.seed, |word| flow.cold.key.words[word]);
        subtable.slots.remove(&hash);
        self.free.push(slot);
    }

    /// Every live megaflow with its slot.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (u32, &mut Megaflow)> {
        self.flows
            .iter_mut()
            .enumerate()
            .filter(|(_, flow)| flow.live)
            .map(|(slot, flow)| (slot as u32, flow))
    }

    /// Puts the subtables that hit most in front, and halves their counts.
    pub fn reorder(&mut self) {
        let subtables = &self.subtables;
        self.order.sort_by_key(|&at| std::cmp::Reverse(subtables[at].hits));
        for subtable in &mut self.subtables {
            subtable.hits /= 2;
        }
    }
}
