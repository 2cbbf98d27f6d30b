//! The fuzzers' corpus holds, input by input, and so do their properties for arbitrary input.
#![allow(missing_docs)]

use heddle_daemon::fuzz;
use heddle_wire::fuzz::replay;
use proptest::prelude::*;

#[test]
fn stream_names() {
    replay("stream_name", fuzz::stream_name);
}

#[test]
fn requests_of_operators() {
    replay("unixctl", fuzz::unixctl);
}

#[test]
fn patterns_of_log_lines() {
    replay("log_pattern", fuzz::log_pattern);
}

proptest! {
    #[test]
    fn arbitrary_stream_names(name in "(tcp|unix|ptcp|punix):[0-9a-z:.\\[\\]/]{0,20}") {
        fuzz::stream_name(name.as_bytes());
    }

    #[test]
    fn arbitrary_requests(text in "(\\{\"id\":[0-9]{1,3},\"method\":\"[a-z]{0,3}\"\\} ?){0,4}[{}\\[\\]a-z:\",]{0,8}") {
        fuzz::unixctl(text.as_bytes());
    }

    #[test]
    fn arbitrary_patterns(text in "(%[-0]{0,2}[0-9]{0,3}[a-zA-Z%](\\{[^}]{0,8}\\}?)?|[a-z|]){0,8}") {
        fuzz::log_pattern(text.as_bytes());
    }
}
