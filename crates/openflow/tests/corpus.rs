//! The fuzzers' corpus holds, input by input.
#![allow(missing_docs)]

use heddle_openflow::fuzz;
use heddle_wire::fuzz::replay;

#[test]
fn messages() {
    replay("message", fuzz::message);
}

#[test]
fn streams() {
    replay("stream", fuzz::stream);
    replay("message", fuzz::stream);
}

#[test]
fn text() {
    replay("flow_text", fuzz::flow_text);
}
