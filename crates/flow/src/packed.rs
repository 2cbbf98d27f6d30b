//! A match in few bytes, for those who hold many: of a whole [`Match`] only the words that it asks something of.

use crate::key::{FlowKey, FlowMask, Match};
use crate::layout::WORDS;

/// A match that takes 24 bytes, and 16 for each word that it asks something of; a [`Match`] takes 16 for every word.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct PackedMatch {
    /// A bit for each word that the match asks something of.
    used: u64,
    /// For each of them the value, then the mask.
    words: Box<[u64]>,
}

const _: () = assert!(WORDS <= 64, "a word has a bit");

impl PackedMatch {
    /// The match itself.
    #[must_use]
    pub fn expand(&self) -> Match {
        let (mut key, mut mask) = (FlowKey::default(), FlowMask::default());
        for (word, value, bits) in self.words() {
            (key.words[word], mask.words[word]) = (value, bits);
        }
        Match::new(&key, &mask)
    }

    /// Whether it asks nothing.
    #[must_use]
    pub fn is_any(&self) -> bool {
        self.used == 0
    }

    /// Whether `other` takes every packet that this takes.
    #[must_use]
    pub fn is_within(&self, other: &Match) -> bool {
        let within = self.words().all(|(word, value, bits)| {
            let asked = other.mask().words[word];
            bits & asked == asked && value & asked == other.key().words[word]
        });
        within && (0..WORDS).all(|word| self.used >> word & 1 != 0 || other.mask().words[word] == 0)
    }

    /// Whether some packet is taken by both.
    #[must_use]
    pub fn overlaps(&self, other: &Match) -> bool {
        self.words().all(|(word, value, bits)| {
            let both = bits & other.mask().words[word];
            (value ^ other.key().words[word]) & both == 0
        })
    }

    fn words(&self) -> impl Iterator<Item = (usize, u64, u64)> {
        let used = (0..WORDS).filter(|word| self.used >> word & 1 != 0);
        used.zip(self.words.chunks_exact(2)).map(|(word, pair)| (word, pair[0], pair[1]))
    }
}

impl From<&Match> for PackedMatch {
    fn from(matching: &Match) -> Self {
        let (mut used, mut words) = (0, Vec::with_capacity(8));
        for (word, (value, bits)) in matching.key().words.iter().zip(&matching.mask().words).enumerate() {
            if *bits != 0 {
                used |= 1 << word;
                words.extend([*value, *bits]);
            }
        }
        Self { used, words: words.into() }
    }
}

impl std::fmt::Debug for PackedMatch {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.expand().fmt(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Field;

    fn matches() -> Vec<Match> {
        let mut all = vec![Match::default()];
        for (field, value, mask) in [
            (Field::EthType, 0x800, 0xffff),
            (Field::Ipv4Dst, 0x0a00_0000, 0xff00_0000),
            (Field::Ipv4Dst, 0x0a01_0000, 0xffff_0000),
            (Field::Ipv6Dst, 1, u128::MAX),
            (Field::Reg31, 7, 0xff),
        ] {
            let mut one = Match::default();
            one.set_masked(field, value, mask);
            let mut with_port = one;
            with_port.set(Field::InPort, 3);
            all.extend([one, with_port]);
        }
        all
    }

    #[test]
    fn packed_and_whole_matches_say_the_same() {
        for one in matches() {
            let packed = PackedMatch::from(&one);
            assert_eq!(packed.expand(), one);
            assert_eq!(packed.is_any(), one.is_any());
            for other in matches() {
                assert_eq!(packed.is_within(&other), other.contains(&one), "{one:?} {other:?}");
                assert_eq!(packed.overlaps(&other), one.overlaps(&other), "{one:?} {other:?}");
            }
        }
    }
}
