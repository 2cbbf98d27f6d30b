//! Flow key, mask and match: values, which bits count, and the pair.

use crate::field::Field;
use crate::layout::*;

/// The packet's part of a flow key, as the datapath extracts, hashes and compares it.
///
/// The first [`COMMON_WORDS`] are always filled. A later word is valid only where `extra` has its bit (bit 0 is
/// word [`COMMON_WORDS`]); what else stands there is left over from an earlier packet and is never read.
#[derive(Clone, Copy, Default)]
#[repr(C)]
pub struct PacketKey {
    common: [u64; COMMON_WORDS],
    extra: u16,
    rest: [u64; EXTRA_WORDS],
}

const FOLD: u64 = 0x9e37_79b9_7f4a_7c15;

#[inline(always)]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    (product as u64) ^ ((product >> 64) as u64)
}

impl PacketKey {
    /// The words that every packet fills.
    #[inline(always)]
    pub fn common(&self) -> &[u64; COMMON_WORDS] {
        &self.common
    }

    /// The words that every packet fills, to be written; forgets the others.
    #[inline(always)]
    pub fn reset(&mut self) -> &mut [u64; COMMON_WORDS] {
        self.extra = 0;
        &mut self.common
    }

    /// The words that every packet fills, to be written.
    #[inline(always)]
    pub fn common_mut(&mut self) -> &mut [u64; COMMON_WORDS] {
        &mut self.common
    }

    /// Sets a word that only some packets have.
    #[inline(always)]
    pub fn set_extra(&mut self, word: usize, value: u64) {
        self.rest[word - COMMON_WORDS] = value;
        self.extra |= 1 << (word - COMMON_WORDS);
    }

    /// Which words past the common ones are valid, bit 0 for word [`COMMON_WORDS`].
    #[inline(always)]
    pub fn extra(&self) -> u16 {
        self.extra
    }

    /// The words past the common ones; zero where not valid.
    pub fn extra_words(&self) -> [u64; EXTRA_WORDS] {
        std::array::from_fn(|word| self.word(COMMON_WORDS + word))
    }

    /// One word; zero where it is not valid.
    #[inline(always)]
    pub fn word(&self, word: usize) -> u64 {
        if word < COMMON_WORDS {
            self.common[word]
        } else if self.extra & (1 << (word - COMMON_WORDS)) != 0 {
            self.rest[word - COMMON_WORDS]
        } else {
            0
        }
    }

    /// A hash of the valid words. It is not keyed: tables that hold hostile keys bound their chains.
    #[inline(always)]
    pub fn hash(&self) -> u64 {
        let w = &self.common;
        let mut hash = fold(w[0] ^ FOLD, w[1] ^ 0xa076_1d64_78bd_642f)
            ^ fold(w[2] ^ 0xe703_7ed1_a0b4_28db, w[3] ^ 0x8ebc_6af0_9c88_c6e3)
            ^ fold(w[4] ^ 0x5899_65cc_7537_4cc3, w[5] ^ 0x1d8e_4e27_c47d_124f);
        let mut extra = self.extra;
        while extra != 0 {
            let word = extra.trailing_zeros() as usize;
            hash = fold(hash ^ self.rest[word], FOLD ^ word as u64);
            extra &= extra - 1;
        }
        fold(hash, FOLD)
    }

    /// The whole key of a packet that enters the pipeline: words of the pipeline are zero.
    pub fn expand(&self) -> FlowKey {
        let mut key = FlowKey::default();
        for word in 0..PACKET_WORDS {
            key.words[word] = self.word(word);
        }
        key
    }
}

impl From<&FlowKey> for PacketKey {
    fn from(key: &FlowKey) -> Self {
        let mut packet = Self::default();
        packet.common.copy_from_slice(&key.words[..COMMON_WORDS]);
        for word in COMMON_WORDS..PACKET_WORDS {
            if key.words[word] != 0 {
                packet.set_extra(word, key.words[word]);
            }
        }
        packet
    }
}

/// Every value that a flow may match on.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct FlowKey {
    /// The values, laid out as [`crate::layout`] draws.
    pub words: [u64; WORDS],
}

impl Default for FlowKey {
    fn default() -> Self {
        Self { words: [0; WORDS] }
    }
}

impl FlowKey {
    /// A field's value.
    #[inline]
    pub fn get(&self, field: Field) -> u128 {
        read(&self.words, field)
    }

    /// Sets a field; bits beyond its width are ignored.
    #[inline]
    pub fn set(&mut self, field: Field, value: u128) {
        write(&mut self.words, field, value, field.spec().full_mask());
    }

    /// Sets the bits of a field that `mask` names.
    #[inline]
    pub fn set_masked(&mut self, field: Field, value: u128, mask: u128) {
        write(&mut self.words, field, value, mask & field.spec().full_mask());
    }

    /// Number of the port that the packet came in by.
    #[inline]
    pub fn in_port(&self) -> u32 {
        (self.words[PORT] >> 32) as u32
    }

    /// Sets the input port.
    pub fn set_in_port(&mut self, port: u32) {
        self.words[PORT] = u64::from(port) << 32 | self.words[PORT] & 0xffff_ffff;
    }

    /// Recirculation id; zero for a packet fresh from a netdev.
    pub fn recirc_id(&self) -> u32 {
        self.words[PORT] as u32
    }

    /// Sets the recirculation id.
    pub fn set_recirc_id(&mut self, id: u32) {
        self.words[PORT] = self.words[PORT] & !0xffff_ffff | u64::from(id);
    }

    /// Ethernet type of what follows the tags.
    #[inline]
    pub fn eth_type(&self) -> u16 {
        self.words[ETH_DST] as u16
    }

    /// Ethernet destination.
    pub fn eth_dst(&self) -> u64 {
        self.words[ETH_DST] >> 16
    }

    /// Ethernet source.
    pub fn eth_src(&self) -> u64 {
        self.words[ETH_SRC] >> 16
    }

    /// Outer VLAN tag with [`VLAN_PRESENT`], or zero.
    #[inline]
    pub fn vlan_tci(&self) -> u16 {
        self.words[ETH_SRC] as u16
    }

    /// IP protocol, or the low eight bits of ARP's operation.
    #[inline]
    pub fn ip_proto(&self) -> u8 {
        (self.words[TRANSPORT] >> 56) as u8
    }

    /// Fragment bits: [`FRAG_ANY`], [`FRAG_LATER`].
    #[inline]
    pub fn frag(&self) -> u8 {
        (self.words[TRANSPORT] >> 32) as u8
    }

    /// TCP flags, twelve bits.
    pub fn tcp_flags(&self) -> u16 {
        (self.words[TAGS] >> 48) as u16
    }

    /// This key with only the bits of `mask`.
    pub fn masked(&self, mask: &FlowMask) -> FlowKey {
        let mut key = *self;
        for (word, mask) in key.words.iter_mut().zip(&mask.words) {
            *word &= mask;
        }
        key
    }
}

impl std::fmt::Debug for FlowKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut map = f.debug_map();
        for spec in crate::field::FIELDS {
            let value = self.get(spec.field);
            if value != 0 && spec.primary {
                map.entry(&spec.name, &format_args!("{value:#x}"));
            }
        }
        map.finish()
    }
}

/// Which bits of a key count.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct FlowMask {
    /// One bits count; laid out as the key.
    pub words: [u64; WORDS],
}

impl Default for FlowMask {
    fn default() -> Self {
        Self { words: [0; WORDS] }
    }
}

impl FlowMask {
    /// A mask in which every bit counts.
    pub fn all() -> Self {
        Self { words: [u64::MAX; WORDS] }
    }

    /// Makes the whole of a field count.
    #[inline]
    pub fn add(&mut self, field: Field) {
        write(&mut self.words, field, u128::MAX, field.spec().full_mask());
    }

    /// Makes some bits of a field count.
    pub fn add_bits(&mut self, field: Field, bits: u128) {
        let bits = bits & field.spec().full_mask();
        write(&mut self.words, field, bits, bits);
    }

    /// Makes the bits of `other` count too.
    #[inline]
    pub fn union(&mut self, other: &FlowMask) {
        for (word, other) in self.words.iter_mut().zip(&other.words) {
            *word |= other;
        }
    }

    /// Which bits of a field count.
    pub fn get(&self, field: Field) -> u128 {
        read(&self.words, field)
    }

    /// Whether no bit counts.
    pub fn is_empty(&self) -> bool {
        self.words.iter().all(|&word| word == 0)
    }
}

#[inline]
fn read(words: &[u64; WORDS], field: Field) -> u128 {
    let spec = field.spec();
    let word = usize::from(spec.word);
    let raw = if spec.bits > 64 {
        u128::from(words[word]) << 64 | u128::from(words[word + 1])
    } else {
        u128::from(words[word] >> spec.shift)
    };
    raw & spec.full_mask()
}

#[inline]
fn write(words: &mut [u64; WORDS], field: Field, value: u128, mask: u128) {
    let spec = field.spec();
    let word = usize::from(spec.word);
    if spec.bits > 64 {
        let (high, low) = ((mask >> 64) as u64, mask as u64);
        words[word] = words[word] & !high | (value >> 64) as u64 & high;
        words[word + 1] = words[word + 1] & !low | value as u64 & low;
    } else {
        let mask = (mask as u64) << spec.shift;
        words[word] = words[word] & !mask | (value as u64) << spec.shift & mask;
    }
}

/// A key with the mask that says which of its bits count; bits that do not count are zero.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Match {
    key: FlowKey,
    mask: FlowMask,
}

impl Match {
    /// The match of `key` under `mask`.
    pub fn new(key: &FlowKey, mask: &FlowMask) -> Self {
        Self { key: key.masked(mask), mask: *mask }
    }

    /// The values.
    pub fn key(&self) -> &FlowKey {
        &self.key
    }

    /// Which bits count.
    pub fn mask(&self) -> &FlowMask {
        &self.mask
    }

    /// Asks that a field have exactly this value.
    pub fn set(&mut self, field: Field, value: u128) {
        self.set_masked(field, value, u128::MAX);
    }

    /// Asks that the bits of a field that `mask` names have this value; replaces what was asked of the field.
    pub fn set_masked(&mut self, field: Field, value: u128, mask: u128) {
        let full = field.spec().full_mask();
        write(&mut self.mask.words, field, mask, full);
        write(&mut self.key.words, field, value & mask, full);
    }

    /// The value and mask asked of a field; the mask is zero where nothing is asked.
    pub fn get(&self, field: Field) -> (u128, u128) {
        (self.key.get(field), self.mask.get(field))
    }

    /// Whether `key` satisfies this match.
    #[inline]
    pub fn covers(&self, key: &FlowKey) -> bool {
        (0..WORDS).all(|word| (key.words[word] ^ self.key.words[word]) & self.mask.words[word] == 0)
    }

    /// Whether every key that satisfies `other` satisfies this match too (OpenFlow's non-strict match).
    pub fn contains(&self, other: &Match) -> bool {
        (0..WORDS).all(|word| {
            let mask = self.mask.words[word];
            mask & !other.mask.words[word] == 0 && (self.key.words[word] ^ other.key.words[word]) & mask == 0
        })
    }

    /// Whether some key satisfies both matches (OpenFlow's `CHECK_OVERLAP`).
    pub fn overlaps(&self, other: &Match) -> bool {
        (0..WORDS).all(|word| {
            let mask = self.mask.words[word] & other.mask.words[word];
            (self.key.words[word] ^ other.key.words[word]) & mask == 0
        })
    }

    /// Whether nothing is asked.
    pub fn is_any(&self) -> bool {
        self.mask.is_empty()
    }

    /// Whether what the prerequisites of `field` ask is asked by this match.
    pub fn satisfies(&self, field: Field) -> bool {
        field.spec().prerequisite.holds(&self.key, Some(&self.mask))
    }
}

impl std::fmt::Debug for Match {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut map = f.debug_map();
        for spec in crate::field::FIELDS {
            let (value, mask) = self.get(spec.field);
            if mask != 0 && spec.primary {
                map.entry(&spec.name, &format_args!("{value:#x}/{mask:#x}"));
            }
        }
        map.finish()
    }
}
