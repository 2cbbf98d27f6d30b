//! The exact-match cache: this very key, to a megaflow.
//!
//! ```text
//!  tags     one word a set: 4 x 16 bits of the hash, zero where there is no entry
//!  entries  one cache line each: the common words of the key, megaflow slot, generation
//!  extras   made when first needed: the other words of each entry's key
//! ```
//!
//! The tags of a hundred thousand flows fit the second-level cache, so that a hit costs one line of distant memory here
//! and one for the megaflow's counters. A key may be in either of two sets, which lets the cache be full to three
//! quarters before a key finds no place.
//!
//! A lookup comes in steps, a batch of packets through each before the next, so that what a step needs has been asked of
//! the memory a step before: [`ExactCache::prefetch`] asks for the tags, [`ExactCache::locate`] picks an entry by them
//! and asks for it, and [`ExactCache::confirm`] compares the whole key and tells the megaflow.
//!
//! An entry names a megaflow slot and its generation, so removing a megaflow is enough to forget every exact match that
//! leads to it.

use heddle_flow::PacketKey;
use heddle_flow::layout::{COMMON_WORDS, EXTRA_WORDS};

use crate::prefetch;

const WAYS: usize = 4;
/// Sets at first, and at most: 1 Ki and 256 Ki entries, 66 KiB and 17 MiB.
const FIRST_SETS: usize = 1 << 8;
const MAX_SETS: usize = 1 << 16;
/// One in each lane of a set's tags.
const LANES: u64 = 0x0001_0001_0001_0001;

#[derive(Clone, Copy, Default)]
#[repr(C, align(64))]
struct Entry {
    key: [u64; COMMON_WORDS],
    slot: u32,
    generation: u32,
    extra: u16,
}

const _: () = assert!(size_of::<Entry>() == 64);

impl Entry {
    /// Compares without leaving early: keys with equal tags nearly always are equal, and a branch a word costs more.
    #[inline(always)]
    fn is(&self, key: &PacketKey) -> bool {
        let words = self.key.iter().zip(key.common());
        words.fold(u64::from(self.extra ^ key.extra()), |differing, (a, b)| differing | (a ^ b)) == 0
    }
}

/// Which entry a key may be in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Candidate(u32);

impl Candidate {
    const NONE: Self = Self(u32::MAX);
}

/// The exact-match cache.
pub struct ExactCache {
    tags: Vec<u64>,
    entries: Vec<Entry>,
    extras: Vec<[u64; EXTRA_WORDS]>,
    used: usize,
}

impl Default for ExactCache {
    fn default() -> Self {
        Self::with_sets(FIRST_SETS)
    }
}

/// Sixteen bits of a hash that do not choose the first set; never zero.
#[inline(always)]
fn tag(hash: u64) -> u64 {
    (hash >> 48).max(1)
}

/// The first lane that holds `tag`.
#[inline(always)]
fn lane(tags: u64, tag: u64) -> Option<usize> {
    let differing = tags ^ tag.wrapping_mul(LANES);
    let zero = differing.wrapping_sub(LANES) & !differing & LANES << 15;
    (zero != 0).then(|| (zero.trailing_zeros() / 16) as usize)
}

impl ExactCache {
    fn with_sets(sets: usize) -> Self {
        let entries = vec![Entry::default(); sets * WAYS];
        Self { tags: vec![0; sets], entries, extras: Vec::new(), used: 0 }
    }

    #[inline(always)]
    fn first(&self, hash: u64) -> usize {
        hash as usize & (self.tags.len() - 1)
    }

    #[inline(always)]
    fn second(&self, hash: u64) -> usize {
        (hash >> 24) as usize & (self.tags.len() - 1)
    }

    /// Brings the tags of a hash near.
    #[inline(always)]
    pub fn prefetch(&self, hash: u64) {
        prefetch::read(&self.tags[self.first(hash)]);
    }

    /// The entry that a hash leads to, which is brought near. It is not sure yet to hold the key.
    #[inline(always)]
    pub fn locate(&self, hash: u64) -> Candidate {
        let first = self.first(hash);
        let candidate = match lane(self.tags[first], tag(hash)) {
            Some(way) => first * WAYS + way,
            None => match lane(self.tags[self.second(hash)], tag(hash)) {
                Some(way) => self.second(hash) * WAYS + way,
                None => return Candidate::NONE,
            },
        };
        prefetch::read(&self.entries[candidate]);
        Candidate(candidate as u32)
    }

    /// The megaflow slot and generation of this very key, if the candidate holds it.
    #[inline(always)]
    pub fn confirm(&self, candidate: Candidate, key: &PacketKey) -> Option<(u32, u32)> {
        let entry = self.entries.get(candidate.0 as usize)?;
        let same = entry.is(key) && (key.extra() == 0 || self.same_extra(candidate, key));
        same.then_some((entry.slot, entry.generation))
    }

    fn same_extra(&self, candidate: Candidate, key: &PacketKey) -> bool {
        self.extras.get(candidate.0 as usize).is_some_and(|words| *words == key.extra_words())
    }

    /// All steps at once, for a packet that is not one of a batch.
    pub fn find(&self, key: &PacketKey, hash: u64) -> Option<(u32, u32)> {
        self.confirm(self.locate(hash), key)
    }

    /// Remembers where a key leads. `is_live` tells whether an entry that stands in the way is still of use.
    pub fn insert(
        &mut self,
        key: &PacketKey,
        hash: u64,
        slot: u32,
        generation: u32,
        is_live: impl Fn(u32, u32) -> bool,
    ) {
        let sets = [self.first(hash), self.second(hash)];
        let free = |set: usize| {
            (0..WAYS).map(move |way| set * WAYS + way).find(|&at| {
                let entry = &self.entries[at];
                self.tag_of(at) == 0 || !is_live(entry.slot, entry.generation)
            })
        };
        // An equal tag is replaced, so that it does not stand before this key for ever.
        let at = match self.locate(hash) {
            Candidate::NONE => free(sets[0]).or_else(|| free(sets[1])),
            Candidate(at) => Some(at as usize),
        };
        let at = match at {
            Some(at) => at,
            // Full sets in an emptier cache are chance, or an attack that growing would only serve.
            None if self.tags.len() < MAX_SETS && self.used > self.tags.len() * WAYS / 2 => {
                self.grow();
                return self.insert(key, hash, slot, generation, is_live);
            }
            None => sets[0] * WAYS + ((hash >> 20) as usize & (WAYS - 1)),
        };
        self.used += usize::from(self.tag_of(at) == 0);
        self.put(at, tag(hash), Entry { key: *key.common(), slot, generation, extra: key.extra() });
        if key.extra() != 0 {
            self.extras.resize(self.entries.len(), [0; EXTRA_WORDS]);
            self.extras[at] = key.extra_words();
        }
    }

    fn tag_of(&self, at: usize) -> u64 {
        self.tags[at / WAYS] >> (at % WAYS * 16) & 0xffff
    }

    fn put(&mut self, at: usize, tag: u64, entry: Entry) {
        let shift = at % WAYS * 16;
        let tags = &mut self.tags[at / WAYS];
        *tags = *tags & !(0xffff << shift) | tag << shift;
        self.entries[at] = entry;
    }

    /// Doubles the room. What finds no place is forgotten: it is looked up among the megaflows again.
    fn grow(&mut self) {
        let old = std::mem::replace(self, Self::with_sets(self.tags.len() * 2));
        if !old.extras.is_empty() {
            self.extras.resize(self.entries.len(), [0; EXTRA_WORDS]);
        }
        for (from, entry) in old.entries.iter().enumerate().filter(|(from, _)| old.tag_of(*from) != 0) {
            let hash = old.hash_of(from);
            let sets = [self.first(hash), self.second(hash)];
            let place = sets.iter().find_map(|&set| lane(self.tags[set], 0).map(|way| set * WAYS + way));
            let Some(at) = place else { continue };
            self.put(at, tag(hash), *entry);
            if let Some(words) = old.extras.get(from) {
                self.extras[at] = *words;
            }
            self.used += 1;
        }
    }

    fn hash_of(&self, at: usize) -> u64 {
        let entry = &self.entries[at];
        let mut key = PacketKey::default();
        *key.reset() = entry.key;
        for word in (0..EXTRA_WORDS).filter(|word| entry.extra & 1 << word != 0) {
            key.set_extra(COMMON_WORDS + word, self.extras.get(at).map_or(0, |words| words[word]));
        }
        key.hash()
    }

    /// Forgets everything and gives the memory back.
    pub fn clear(&mut self) {
        if self.used != 0 {
            *self = Self::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: u64) -> (PacketKey, u64) {
        let mut key = PacketKey::default();
        key.common_mut()[3] = number;
        (key, key.hash())
    }

    fn found(cache: &ExactCache, number: u64) -> Option<(u32, u32)> {
        let (key, hash) = key(number);
        cache.find(&key, hash)
    }

    #[test]
    fn a_hundred_thousand_keys_fit() {
        let mut cache = ExactCache::default();
        // What was pushed out while the cache grew comes back with its next packet.
        for number in (0..100_000).chain(0..100_000) {
            if found(&cache, number).is_none() {
                let (key, hash) = key(number);
                cache.insert(&key, hash, number as u32, 1, |_, _| true);
            }
        }
        let kept = (0..100_000).filter(|&number| found(&cache, number) == Some((number as u32, 1))).count();
        assert!(kept > 99_950, "{kept} of 100000 keys were kept");
    }

    #[test]
    fn keys_that_crowd_one_set_do_not_grow_the_cache() {
        let mut cache = ExactCache::default();
        for number in 0..10_000 {
            cache.insert(&key(number).0, 5, number as u32, 1, |_, _| true);
        }
        assert_eq!(cache.tags.len(), FIRST_SETS);
    }

    #[test]
    fn tags_are_found_in_each_lane_and_only_there() {
        let tags = 0x0001_8000_0000_ffff;
        assert_eq!([0xffff, 0, 0x8000, 1].map(|tag| lane(tags, tag)), [Some(0), Some(1), Some(2), Some(3)]);
        assert_eq!([0x7fff, 0xfffe, 2].map(|tag| lane(tags, tag)), [None; 3]);
    }

    #[test]
    fn the_rare_words_count() {
        let mut cache = ExactCache::default();
        let (mut six, _) = key(1);
        six.set_extra(COMMON_WORDS + 2, 7);
        let mut other = six;
        other.set_extra(COMMON_WORDS + 2, 8);
        cache.insert(&six, 9, 1, 1, |_, _| true);
        assert_eq!(cache.find(&six, 9), Some((1, 1)));
        assert_eq!(cache.find(&other, 9), None);
        assert_eq!(cache.find(&key(1).0, 9), None);
    }
}
