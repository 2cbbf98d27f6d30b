//! The fuzzers' corpus holds, input by input, and so do their properties for arbitrary input.
#![allow(missing_docs)]

use heddle_switch::fuzz;
use heddle_wire::fuzz::replay;
use proptest::prelude::*;

#[test]
fn agents() {
    replay("agent", fuzz::agent);
    replay("message", fuzz::agent);
}

#[test]
fn configurations() {
    replay("config", fuzz::config);
}

proptest! {
    #[test]
    fn arbitrary_messages_to_the_agent(
        messages in proptest::collection::vec((0u8..30, proptest::collection::vec(any::<u8>(), 0..100)), 0..6),
    ) {
        let mut bytes = Vec::new();
        for (kind, body) in messages {
            bytes.extend([4, kind]);
            bytes.extend(((body.len() + 8) as u16).to_be_bytes());
            bytes.extend([0; 4]);
            bytes.extend(body);
        }
        fuzz::agent(&bytes);
    }
}
