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
    fn matching(&self) -> Match;
    /// The higher wins.
    fn priority(&self) -> u16;
}

/// Flows of one key by falling priority: mostly one, which needs no list.
enum Rules<R> {
    One(Arc<R>),
    Several(Arc<[Arc<R>]>),
}

impl<R> Clone for Rules<R> {
    fn clone(&self) -> Self {
        match self {
            Self::One(rule) => Self::One(Arc::clone(rule)),
            Self::Several(rules) => Self::Several(Arc::clone(rules)),
        }
    }
}

impl<R> Rules<R> {
    fn as_slice(&self) -> &[Arc<R>] {
        match self {
            Self::One(rule) => std::slice::from_ref(rule),
            Self::Several(rules) => rules,
        }
    }

    /// These rules; `None` where there is none.
    fn of(mut rules: Vec<Arc<R>>) -> Option<Self> {
        match rules.len() {
            0 => None,
            1 => rules.pop().map(Self::One),
            _ => Some(Self::Several(rules.into())),
        }
    }
}

/// Flows of equal mask.
struct Subtable<R> {
    mask: FlowMask,
    /// Words of the mask that are not zero.
    words: Arc<[u8]>,
    /// By masked words.
    rules: HashTrieMapSync<Box<[u64]>, Rules<R>>,
    /// How many flows each priority has, to know the highest when one goes.
    priorities: RedBlackTreeMapSync<u16, usize>,
}

impl<R> Clone for Subtable<R> {
    fn clone(&self) -> Self {
        Self {
            mask: self.mask,
            words: Arc::clone(&self.words),
            rules: self.rules.clone(),
            priorities: self.priorities.clone(),
        }
    }
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

    fn find(&self, key: &FlowKey) -> &[Arc<R>] {
        let mut words = [0; WORDS];
        let count = self.masked(key, &mut words);
        self.rules.get(&words[..count]).map_or(&[], Rules::as_slice)
    }

    /// Puts `new` in the place of the flow of this key and priority, which is returned; nothing, to remove it.
    fn replace(&mut self, key: &FlowKey, priority: u16, new: Option<Arc<R>>) -> Option<Arc<R>> {
        let mut words = [0; WORDS];
        let count = self.masked(key, &mut words);
        let there = self.rules.get(&words[..count]).map_or(&[][..], Rules::as_slice);
        let at = there.partition_point(|other| other.priority() > priority);
        let old = there.get(at).filter(|other| other.priority() == priority).cloned();
        if new.is_none() && old.is_none() {
            return None;
        }
        let mut rules = there.to_vec();
        self.count(priority, usize::from(new.is_some()), usize::from(old.is_some()));
        rules.splice(at..at + usize::from(old.is_some()), new);
        match Rules::of(rules) {
            Some(rules) => {
                self.rules.insert_mut(words[..count].into(), rules);
            }
            None => {
                self.rules.remove_mut(&words[..count]);
            }
        }
        old
    }

    fn count(&mut self, priority: u16, more: usize, fewer: usize) {
        if more == fewer {
            return;
        }
        match self.priorities.get(&priority).copied().unwrap_or(0) + more - fewer {
            0 => {
                self.priorities.remove_mut(&priority);
            }
            count => self.priorities.insert_mut(priority, count),
        }
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
            if let Some(found) = subtable.find(key).first()
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
            found.extend(subtable.find(key));
        }
        found.sort_by_key(|rule| std::cmp::Reverse(rule.priority()));
        found
    }

    /// The flow with exactly this match and priority.
    pub fn find(&self, matching: &Match, priority: u16) -> Option<&Arc<R>> {
        let subtable = self.subtables.iter().find(|subtable| subtable.mask == *matching.mask())?;
        subtable.find(matching.key()).iter().find(|rule| rule.priority() == priority)
    }

    /// Every flow, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<R>> {
        self.subtables.iter().flat_map(|subtable| subtable.rules.values().flat_map(Rules::as_slice))
    }

    /// Adds a flow; returns the one with the same match and priority that it replaces.
    pub fn insert(&mut self, rule: Arc<R>) -> Option<Arc<R>> {
        let (matching, priority) = (rule.matching(), rule.priority());
        let old = self.replace(&matching, priority, Some(rule));
        self.len += usize::from(old.is_none());
        old
    }

    /// Removes the flow with exactly this match and priority.
    pub fn remove(&mut self, matching: &Match, priority: u16) -> Option<Arc<R>> {
        let old = self.replace(matching, priority, None);
        self.len -= usize::from(old.is_some());
        old
    }

    /// Changes the subtable of a mask. What no snapshot shares is changed where it is, so that many changes at once copy each
    /// part of the tables once.
    fn replace(&mut self, matching: &Match, priority: u16, new: Option<Arc<R>>) -> Option<Arc<R>> {
        let mask = matching.mask();
        let Some(index) = self.subtables.iter().position(|subtable| subtable.mask == *mask) else {
            let mut subtable = Subtable::new(mask);
            subtable.replace(matching.key(), priority, Some(new?));
            self.put(subtable);
            return None;
        };
        let subtable = Arc::make_mut(self.subtables.get_mut(index)?);
        let before = subtable.max_priority();
        let old = subtable.replace(matching.key(), priority, new);
        if subtable.rules.is_empty() || subtable.max_priority() != before {
            let subtable = self.take(index);
            subtable.into_iter().filter(|subtable| !subtable.rules.is_empty()).for_each(|one| self.put(one));
        }
        old
    }

    /// Takes a subtable out.
    fn take(&mut self, index: usize) -> Option<Subtable<R>> {
        let taken = self.subtables.get(index).map(|subtable| (**subtable).clone());
        let others = self.subtables.iter().enumerate().filter(|(at, _)| *at != index);
        self.subtables = others.map(|(_, subtable)| Arc::clone(subtable)).collect();
        taken
    }

    /// Puts a subtable where its highest priority belongs.
    fn put(&mut self, subtable: Subtable<R>) {
        let mut all: Vec<Arc<Subtable<R>>> = self.subtables.iter().map(Arc::clone).collect();
        let at = all.partition_point(|other| other.max_priority() >= subtable.max_priority());
        all.insert(at, Arc::new(subtable));
        self.subtables = all.into_iter().collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Field;

    struct Flow(Match, u16, u32);

    impl Rule for Flow {
        fn matching(&self) -> Match {
            self.0
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
