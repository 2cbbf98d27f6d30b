//! Extraction holds its properties for arbitrary frames, and for the fuzzers' corpus.
#![allow(missing_docs)]

use heddle_flow::fuzz::{composition, extraction};
use proptest::prelude::*;

#[test]
fn the_corpus_holds() {
    heddle_wire::fuzz::replay("extraction", extraction);
    heddle_wire::fuzz::replay("extraction", composition);
    heddle_wire::fuzz::replay("composition", composition);
}

proptest! {
    /// Frames whose types lead somewhere, with arbitrary bytes behind.
    #[test]
    fn arbitrary_frames(
        types in proptest::collection::vec(proptest::sample::select(&[0x8100u16, 0x88a8, 0x8847, 0x0800, 0x86dd, 0x0806, 40][..]), 1..4),
        rest in proptest::collection::vec(any::<u8>(), 0..200),
        first in any::<u8>(),
    ) {
        let mut frame = vec![2; 12];
        for (at, kind) in types.iter().enumerate() {
            frame.extend(kind.to_be_bytes());
            if at + 1 < types.len() {
                frame.extend([0, 5]);
            }
        }
        frame.push(if first & 1 == 0 { 0x45 } else { 0x60 | first >> 4 });
        frame.extend(rest);
        extraction(&frame);
        composition(&frame);
    }

    #[test]
    fn arbitrary_bytes(frame in proptest::collection::vec(any::<u8>(), 0..100)) {
        extraction(&frame);
        composition(&frame);
    }
}
