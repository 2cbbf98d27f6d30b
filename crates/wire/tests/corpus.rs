//! The fuzzers' corpus holds, input by input.
#![allow(missing_docs)]

use heddle_wire::fuzz;

#[test]
fn packets() {
    fuzz::replay("packet", fuzz::packet);
}

#[test]
fn offload_headers() {
    fuzz::replay("vnet", fuzz::vnet);
}
