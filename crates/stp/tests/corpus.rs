//! The fuzzers' corpus holds, input by input.
#![allow(missing_docs)]

use heddle_stp::fuzz;
use heddle_wire::fuzz::replay;

#[test]
fn bpdus() {
    replay("bpdu", fuzz::bpdu);
}

#[test]
fn spanning_trees() {
    replay("spanning_tree", fuzz::bridges);
}
