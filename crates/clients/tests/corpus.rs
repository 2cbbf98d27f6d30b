//! The fuzzers' corpus holds, input by input, and so do their properties for arbitrary input.
#![allow(missing_docs)]

use heddle_clients::fuzz;
use proptest::prelude::*;

#[test]
fn captures() {
    heddle_wire::fuzz::replay("capture", fuzz::capture);
}

proptest! {
    #[test]
    fn any_bytes_behind_a_header_end(packets in proptest::collection::vec((0u32..100, any::<Vec<u8>>()), 0..20)) {
        let mut capture = heddle_wire::pcap::header().to_vec();
        for (length, bytes) in packets {
            capture.extend(heddle_wire::pcap::record(std::time::Duration::ZERO, length));
            capture.extend(bytes);
        }
        fuzz::capture(&capture);
    }
}
