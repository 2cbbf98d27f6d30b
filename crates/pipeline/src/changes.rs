//! The number of the last change of anything that decisions depend on, and what the last changes are about.
//!
//! Poll threads read both without a lock; whoever changes something writes them, one at a time.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};
use std::sync::{Mutex, PoisonError};

use heddle_datapath::{Change, Dependencies, Lane};
use heddle_flow::layout::{ETH_DST, IPV4, PORT};
use heddle_flow::{FlowKey, FlowMask, Match};

/// Changes that are kept.
const KEPT: u64 = 1024;

/// Numbers of changes, and what the last of them are about.
pub struct Changes {
    number: AtomicU64,
    kept: Box<[AtomicU32]>,
    writer: Mutex<()>,
}

impl Default for Changes {
    fn default() -> Self {
        let kept = (0..KEPT).map(|_| AtomicU32::new(Change::ANY.to_bits())).collect();
        Self { number: AtomicU64::new(0), kept, writer: Mutex::default() }
    }
}

impl Changes {
    /// Number of the last change.
    pub fn number(&self) -> u64 {
        self.number.load(Ordering::Acquire)
    }

    fn place(&self, number: u64) -> &AtomicU32 {
        &self.kept[(number % KEPT) as usize]
    }

    /// Notes a change, after it has been published.
    pub fn note(&self, change: Change) {
        self.note_with(change, |_| {});
    }

    /// Notes a change, and lets `first` keep its number before anyone else knows it.
    pub fn note_with(&self, change: Change, first: impl FnOnce(u64)) {
        let _writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let number = self.number.load(Ordering::Relaxed) + 1;
        first(number);
        // Whoever reads what is written next sees, by its own fence, at least the number before it.
        fence(Ordering::Release);
        self.place(number).store(change.to_bits(), Ordering::Relaxed);
        self.number.store(number, Ordering::Release);
    }

    /// Tells `each` of the changes after `since` up to `number`; false where they are no longer all known.
    pub fn between(&self, since: u64, number: u64, each: &mut dyn FnMut(Change)) -> bool {
        if number.checked_sub(since).is_none_or(|count| count >= KEPT) {
            return false;
        }
        for number in since + 1..=number {
            each(Change::from_bits(self.place(number).load(Ordering::Relaxed)));
        }
        fence(Ordering::Acquire);
        // Change n + KEPT overwrites change n, and may be under way once n + KEPT - 1 is the last number.
        self.number.load(Ordering::Relaxed) + 1 < since + 1 + KEPT
    }
}

fn hash(bridge: &str, value: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    (bridge, value).hash(&mut hasher);
    hasher.finish()
}

/// The change of an address of a bridge: learned, moved, forgotten.
pub fn of_address(bridge: &str, vlan: u16, mac: u64) -> Change {
    Change::at(Lane::Address, hash(bridge, (vlan, mac)))
}

/// A decision depends on what a bridge knows of an address.
pub fn depend_on_address(dependencies: &mut Dependencies, bridge: &str, vlan: u16, mac: u64) {
    dependencies.add(Lane::Address, hash(bridge, (vlan, mac)));
}

/// The Ethernet and IPv4 targets in a key, where a mask names them in full.
fn targets(key: &FlowKey, mask: &FlowMask) -> [(Lane, Option<u64>); 2] {
    let eth_dst = (mask.words[ETH_DST] >> 16 == 0xffff_ffff_ffff).then_some(key.words[ETH_DST] >> 16);
    let ipv4_dst = (mask.words[IPV4] as u32 == u32::MAX).then_some(key.words[IPV4] & 0xffff_ffff);
    [(Lane::Ipv4Dst, ipv4_dst), (Lane::EthDst, eth_dst)]
}

/// The change of a bridge's flow with this match: it comes, goes, or does something else.
pub fn of_flow(bridge: &str, matching: &Match) -> Change {
    let (key, mask) = (matching.key(), matching.mask());
    let port = (mask.words[PORT] >> 32 == u64::from(u32::MAX)).then_some(u64::from(key.in_port()));
    let known = targets(key, mask).into_iter().chain([(Lane::Port, port)]);
    let most_telling = known.filter_map(|(lane, value)| Some((lane, value?))).next();
    most_telling.map_or(Change::ANY, |(lane, value)| Change::at(lane, hash(bridge, value)))
}

/// A decision depends on the flows of a bridge that take packets of this key and mask, in by a port.
pub fn depend_on_flows(
    dependencies: &mut Dependencies,
    bridge: &str,
    in_port: u32,
    key: &FlowKey,
    mask: &FlowMask,
) {
    dependencies.add(Lane::Port, hash(bridge, u64::from(in_port)));
    for (lane, value) in targets(key, mask) {
        match value {
            Some(value) => dependencies.add(lane, hash(bridge, value)),
            None => dependencies.add_all(lane),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_changes_are_known_and_older_ones_are_not() {
        let changes = Changes::default();
        for mac in 1..=3000 {
            changes.note(of_address("s1", 0, mac));
        }
        let mut told = Vec::new();
        assert!(changes.between(2998, 3000, &mut |change| told.push(change)));
        assert_eq!(told, [of_address("s1", 0, 2999), of_address("s1", 0, 3000)]);
        assert!(changes.between(3000, 3000, &mut |_| panic!("nothing has changed")));
        assert!(!changes.between(1000, 3000, &mut |_| {}), "they are too many");
        assert!(!changes.between(1000, 1010, &mut |_| {}), "they have been overwritten");
    }

    #[test]
    fn a_reader_beside_a_writer_hears_of_every_change_or_that_it_missed_some() {
        let changes = Changes::default();
        std::thread::scope(|scope| {
            scope.spawn(|| (1..=200_000).for_each(|mac| changes.note(of_address("s1", 0, mac))));
            let mut seen = 0;
            while seen != 200_000 {
                let (number, mut told) = (changes.number(), Vec::new());
                if changes.between(seen, number, &mut |change| told.push(change)) {
                    let expected = (seen + 1..=number).map(|mac| of_address("s1", 0, mac));
                    assert!(told.into_iter().eq(expected));
                }
                seen = number;
            }
        });
    }
}
