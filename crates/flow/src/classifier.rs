//! A classifier: flows by match and priority, persistent, so that a snapshot shares all but a path with the last one.
//!
//! Tuple-space search: flows that name the same bits form a subtable, looked up by one hash of those bits. Subtables are
//! visited by falling highest priority, and the visit ends once no later one can win. A lookup adds to the caller's mask
//! every bit that it looked at, also where it found nothing: that is what makes a megaflow true.

use std::sync::Arc;

use rpds::{HashTrieMapSync, RedBlackTreeMapSync, VectorSync};

use crate::key::{FlowKey, FlowMask, Match};
use crate::layout::WORDS;

/// Something that a classifier holds: a flow with its match and priority.
pub trait Rule {
    /// What it matches.
    fn matching(&self) -> &Match;
    /// The higher wins.
    fn priority(&self) -> u16;
}

/// Flows of equal mask.
#[derive(Clone)]
struct Subtable<R> {
    mask: FlowMask,
    /// Words of the mask that are not zero.
    words: Arc<[u8]>,
    /// By masked words; flows of one key by falling priority.
    rules: HashTrieMapSync<Box<[u64]>, Arc<[Arc<R>]>>,
    /// How many flows each priority has, to know the highest when one goes.
    priorities: RedBlackTreeMapSync<u16, usize>,
}

impl<R: Rule> Subtable<R> {
    fn new(mask: &FlowMask) -> Self {
        let words = (0..WORDS).filter(|&word| mask.words[word] != 0).map(|word| word as u8).collect();
        Self {
            mask: *mask,
            words,
            rules: HashTrieMapSync::new_sync(),
            priorities: RedBlackTreeMapSync::new_sync(),
        }
    }

    fn max_priority(&self) -> u16 {
        self.priorities.last().map_or(0, |(&priority, _)| priority)
    }

    fn masked(&self, key: &FlowKey, into: &mut [u64; WORDS]) -> usize {
        for (slot, &word) in into.iter_mut().zip(self.words.iter()) {
            *slot = key.words[usize::from(word)] & self.mask.words[usize::from(word)];
        }
        self.words.len()
    }

    fn find(&self, key: &FlowKey) -> Option<&Arc<[Arc<R>]>> {
        let mut words = [0; WORDS];
        let count = self.masked(key, &mut words);
        self.rules.get(&words[..count])
    }
}

/// A persistent set of flows, at most one for each pair of match and priority.
pub struct Classifier<R> {
    /// By falling highest priority.
    subtables: VectorSync<Arc<Subtable<R>>>,
    len: usize,
}

impl<R> Clone for Classifier<R> {
    fn clone(&self) -> Self {
        Self { subtables: self.subtables.clone(), len: self.len }
    }
}

impl<R> Default for Classifier<R> {
    fn default() -> Self {
        Self { subtables: VectorSync::new_sync(), len: 0 }
    }
}

impl<R: Rule> Classifier<R> {
    /// How many flows there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many distinct masks there are.
    pub fn masks(&self) -> usize {
        self.subtables.len()
    }

    /// The flow of highest priority that `key` satisfies; `looked_at` gains every bit that decided.
    pub fn lookup(&self, key: &FlowKey, looked_at: &mut FlowMask) -> Option<&Arc<R>> {
        let mut best: Option<&Arc<R>> = None;
        for subtable in self.subtables.iter() {
            if best.is_some_and(|best| best.priority() >= subtable.max_priority()) {
                break;
            }
            looked_at.union(&subtable.mask);
            if let Some(found) = subtable.find(key).and_then(|rules| rules.first())
                && best.is_none_or(|best| found.priority() > best.priority())
            {
                best = Some(found);
            }
        }
        best
    }

    /// Every flow that `key` satisfies, by falling priority; `looked_at` gains every bit that any flow asks, because each
    /// could have been one of them.
    pub fn lookup_all(&self, key: &FlowKey, looked_at: &mut FlowMask) -> Vec<&Arc<R>> {
        let mut found: Vec<&Arc<R>> = Vec::new();
        for subtable in self.subtables.iter() {
            looked_at.union(&subtable.mask);
            found.extend(subtable.find(key).into_iter().flat_map(|rules| rules.iter()));
        }
        found.sort_by_key(|rule| std::cmp::Reverse(rule.priority()));
        found
    }

    /// The flow with exactly this match and priority.
    pub fn find(&self, matching: &Match, priority: u16) -> Option<&Arc<R>> {
        let subtable = self.subtables.iter().find(|subtable| subtable.mask == *matching.mask())?;
        subtable.find(matching.key())?.iter().find(|rule| rule.priority() == priority)
    }

    /// Every flow, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<R>> {
        self.subtables.iter().flat_map(|subtable| subtable.rules.values().flat_map(|rules| rules.iter()))
    }

    /// Adds a flow; returns the one with the same match and priority that it replaces.
    pub fn insert(&mut self, rule: Arc<R>) -> Option<Arc<R>> {
        let old = self.remove(rule.matching(), rule.priority());
        let (index, mut subtable) = self.subtable_of(rule.matching().mask());
        let mut rules: Vec<Arc<R>> =
            subtable.find(rule.matching().key()).map(|rules| rules.to_vec()).unwrap_or_default();
        let at = rules.partition_point(|other| other.priority() > rule.priority());
        rules.insert(at, Arc::clone(&rule));
        let count = subtable.priorities.get(&rule.priority()).map_or(1, |count| count + 1);
        subtable.priorities.insert_mut(rule.priority(), count);
        subtable.replace(rule.matching().key(), rules);
        self.put(index, subtable);
        self.len += 1;
        old
    }

    /// Removes the flow with exactly this match and priority.
    pub fn remove(&mut self, matching: &Match, priority: u16) -> Option<Arc<R>> {
        let old = Arc::clone(self.find(matching, priority)?);
        let (index, mut subtable) = self.subtable_of(matching.mask());
        let rules = subtable.find(matching.key())?;
        let left: Vec<Arc<R>> = rules.iter().filter(|rule| rule.priority() != priority).cloned().collect();
        subtable.replace(matching.key(), left);
        match subtable.priorities.get(&priority).copied() {
            None | Some(1) => {
                subtable.priorities.remove_mut(&priority);
            }
            Some(count) => subtable.priorities.insert_mut(priority, count - 1),
        }
        self.put(index, subtable);
        self.len -= 1;
        Some(old)
    }

    fn subtable_of(&self, mask: &FlowMask) -> (Option<usize>, Subtable<R>) {
        let index = self.subtables.iter().position(|subtable| subtable.mask == *mask);
        let subtable = match index.and_then(|index| self.subtables.get(index)) {
            Some(subtable) => Subtable {
                mask: subtable.mask,
                words: Arc::clone(&subtable.words),
                rules: subtable.rules.clone(),
                priorities: subtable.priorities.clone(),
            },
            None => Subtable::new(mask),
        };
        (index, subtable)
    }

    /// Puts a changed subtable back where its highest priority belongs.
    fn put(&mut self, index: Option<usize>, subtable: Subtable<R>) {
        if let Some(index) = index
            && !subtable.rules.is_empty()
            && self.subtables.get(index).map(|old| old.max_priority()) == Some(subtable.max_priority())
        {
            self.subtables.set_mut(index, Arc::new(subtable));
            return;
        }
        let mut all: Vec<Arc<Subtable<R>>> = self
            .subtables
            .iter()
            .enumerate()
            .filter(|(at, _)| Some(*at) != index)
            .map(|(_, subtable)| Arc::clone(subtable))
            .collect();
        if !subtable.rules.is_empty() {
            let at = all.partition_point(|other| other.max_priority() >= subtable.max_priority());
            all.insert(at, Arc::new(subtable));
        }
        self.subtables = all.into_iter().collect();
    }
}

impl<R> Subtable<R> {
    fn replace(&mut self, key: &FlowKey, rules: Vec<Arc<R>>) {
        let words: Box<[u64]> = self
            .words
            .iter()
            .map(|&word| key.words[usize::from(word)] & self.mask.words[usize::from(word)])
            .collect();
        if rules.is_empty() {
            self.rules.remove_mut(&words);
        } else {
            self.rules.insert_mut(words, rules.into());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Field;

    struct Flow(Match, u16, u32);

    impl Rule for Flow {
        fn matching(&self) -> &Match {
            &self.0
        }
        fn priority(&self) -> u16 {
            self.1
        }
    }

    fn flow(port: u128, dst: Option<(u128, u32)>, priority: u16, id: u32) -> Arc<Flow> {
        let mut matching = Match::default();
        if port != 0 {
            matching.set(Field::InPort, port);
        }
        if let Some((address, prefix)) = dst {
            matching.set_masked(
                Field::Ipv4Dst,
                address,
                (u128::from(u32::MAX) << (32 - prefix)) & 0xffff_ffff,
            );
        }
        Arc::new(Flow(matching, priority, id))
    }

    #[test]
    fn the_highest_priority_wins_and_the_mask_says_why() {
        let mut classifier = Classifier::default();
        classifier.insert(flow(1, None, 10, 1));
        classifier.insert(flow(0, Some((0x0a000000, 8)), 20, 2));
        classifier.insert(flow(0, None, 0, 3));
        let mut key = FlowKey::default();
        key.set(Field::InPort, 1);
        key.set(Field::Ipv4Dst, 0x0a000001);
        let mut mask = FlowMask::default();
        assert_eq!(classifier.lookup(&key, &mut mask).map(|flow| flow.2), Some(2));
        assert_eq!(mask.get(Field::InPort), 0);
        assert_eq!(mask.get(Field::Ipv4Dst), 0xff000000);
        key.set(Field::Ipv4Dst, 0x0b000001);
        assert_eq!(classifier.lookup(&key, &mut mask).map(|flow| flow.2), Some(1));
        assert_eq!(mask.get(Field::InPort), 0xffff_ffff);
    }

    #[test]
    fn an_old_snapshot_does_not_see_a_change() {
        let mut classifier = Classifier::default();
        classifier.insert(flow(1, None, 10, 1));
        let old = classifier.clone();
        assert_eq!(classifier.insert(flow(1, None, 10, 2)).map(|flow| flow.2), Some(1));
        assert!(classifier.remove(&flow(1, None, 10, 0).0, 10).is_some());
        assert!(classifier.is_empty() && classifier.masks() == 0);
        assert_eq!(old.iter().map(|flow| flow.2).collect::<Vec<_>>(), [1]);
    }
}
