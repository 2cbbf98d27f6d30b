//! Which port an Ethernet address was last seen on, bounded in number and age.
//!
//! Two generations of half the bound each: an entry that is seen goes to the young one, and when that is full or old
//! it becomes the old one, whose entries are forgotten. So ageing needs no scan and a flood of addresses costs at most
//! the addresses that were silent for longest.

use std::collections::HashMap;
use std::hash::Hash;

pub(crate) struct MacTable<K> {
    young: HashMap<K, u32>,
    old: HashMap<K, u32>,
    since_ms: u64,
    max: usize,
    age_ms: u64,
}

impl<K: Copy + Eq + Hash> MacTable<K> {
    /// A table of at most `max` addresses, each kept for `age_ms` to twice that after it was last seen.
    pub(crate) fn new(max: usize, age_ms: u64, now_ms: u64) -> Self {
        Self { young: HashMap::new(), old: HashMap::new(), since_ms: now_ms, max, age_ms }
    }

    /// Notes that `key` was seen on `port`; returns the port it was on before, if that was another.
    pub(crate) fn learn(&mut self, key: K, port: u32, now_ms: u64) -> Option<u32> {
        self.age(now_ms);
        let before = match self.young.get_mut(&key) {
            Some(entry) => Some(std::mem::replace(entry, port)),
            None => {
                let before = self.old.remove(&key);
                if self.young.len() >= (self.max / 2).max(1) {
                    self.turn(now_ms);
                }
                self.young.insert(key, port);
                before
            }
        };
        before.filter(|&before| before != port)
    }

    /// The port that `key` was last seen on.
    pub(crate) fn port(&mut self, key: K, now_ms: u64) -> Option<u32> {
        self.age(now_ms);
        self.young.get(&key).or_else(|| self.old.get(&key)).copied()
    }

    /// Forgets what was seen on `port`.
    pub(crate) fn forget_port(&mut self, port: u32) {
        self.young.retain(|_, entry| *entry != port);
        self.old.retain(|_, entry| *entry != port);
    }

    /// Whether no address is known.
    pub(crate) fn is_empty(&self) -> bool {
        self.young.is_empty() && self.old.is_empty()
    }

    /// Every address that is not too old, with its port.
    pub(crate) fn iter(&self, now_ms: u64) -> impl Iterator<Item = (K, u32)> + '_ {
        let passed = now_ms.saturating_sub(self.since_ms);
        let young = self.young.iter().filter(move |_| passed < self.age_ms.saturating_mul(2));
        let old = self.old.iter().filter(move |_| passed < self.age_ms);
        young.chain(old).map(|(&key, &port)| (key, port))
    }

    /// Addresses known.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }

    fn age(&mut self, now_ms: u64) {
        let passed = now_ms.saturating_sub(self.since_ms);
        if passed >= self.age_ms {
            self.turn(now_ms);
            if passed >= self.age_ms.saturating_mul(2) {
                self.old.clear();
            }
        }
    }

    fn turn(&mut self, now_ms: u64) {
        self.old = std::mem::take(&mut self.young);
        self.since_ms = now_ms;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_no_more_than_its_bound_and_keeps_the_latest() {
        let mut table = MacTable::new(100, 1_000, 0);
        for key in 0..10_000u32 {
            table.learn(key, key, 0);
            assert!(table.len() <= 100);
        }
        assert_eq!(table.port(9_999, 0), Some(9_999));
        assert_eq!(table.port(0, 0), None);
    }

    #[test]
    fn forgets_what_is_silent_and_keeps_what_speaks() {
        let mut table = MacTable::new(100, 1_000, 0);
        table.learn("silent", 1, 0);
        table.learn("speaks", 2, 0);
        table.learn("speaks", 2, 1_500);
        assert_eq!(table.port("speaks", 2_600), Some(2));
        assert_eq!(table.port("silent", 2_600), None);
        assert_eq!(table.port("speaks", 9_000), None);
    }

    #[test]
    fn tells_a_move() {
        let mut table = MacTable::new(100, 1_000, 0);
        assert_eq!(table.learn("host", 1, 0), None);
        assert_eq!(table.learn("host", 1, 0), None);
        assert_eq!(table.learn("host", 2, 0), Some(1));
        table.forget_port(2);
        assert_eq!(table.port("host", 0), None);
    }
}
