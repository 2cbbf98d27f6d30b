//! The fuzzers' corpus holds, input by input, and so do their properties for arbitrary input.
#![allow(missing_docs)]

use heddle_lab::fuzz;
use heddle_wire::fuzz::replay;
use proptest::prelude::*;

#[test]
fn topology_files() {
    replay("topology_file", fuzz::topology_file);
}

#[test]
fn topology_specs() {
    replay("topology_spec", fuzz::topology_spec);
}

#[test]
fn control_lines() {
    replay("control_line", fuzz::control_line);
}

proptest! {
    #[test]
    fn arbitrary_specs(spec in "(single|linear|tree|reversed|minimal|ring|torus)(,(depth=|fanout=|k=|n=|x=|y=)?[0-9]{1,2}){0,3}") {
        fuzz::topology_spec(spec.as_bytes());
    }

    #[test]
    fn arbitrary_files(
        hosts in proptest::collection::vec("[a-z][0-9]{1,2}", 0..4),
        switches in proptest::collection::vec("s[0-9]{1,2}", 0..4),
        links in proptest::collection::vec("[a-z][0-9], s[0-9]", 0..4),
    ) {
        let mut file = String::from("hosts:\n");
        hosts.iter().for_each(|host| file += &format!("  {host}: {{}}\n"));
        file += "switches:\n";
        switches.iter().for_each(|switch| file += &format!("  {switch}:\n"));
        file += "links:\n";
        links.iter().for_each(|link| file += &format!("  - [{link}]\n"));
        fuzz::topology_file(file.as_bytes());
    }
}
