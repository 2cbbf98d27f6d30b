//! Properties that hold for arbitrary input; shared by the property tests and the fuzz targets.

use std::collections::HashSet;
use std::fmt::Write;

use serde::{Serialize, de::DeserializeOwned};

use crate::protocol::{Launch, Progress, Reply, Request};
use crate::topology::{FailMode, MAX_HOSTS, MAX_LINKS, MAX_SWITCHES, SpanningTree, Topology};

/// A topology file that is read holds what labs rely on, and says the same when it is written out in full.
///
/// # Panics
/// If it does not.
pub fn topology_file(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(topology) = Topology::from_yaml(text) else { return };
    check(&topology);
    let written = yaml(&topology);
    assert_eq!(Topology::from_yaml(&written).as_ref(), Ok(&topology), "{written}");
}

/// A generated topology holds what labs rely on.
///
/// # Panics
/// If it does not.
pub fn topology_spec(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(topology) = Topology::from_spec(text) else { return };
    check(&topology);
}

fn check(topology: &Topology) {
    assert!(topology.hosts.len() <= MAX_HOSTS);
    assert!(topology.switches.len() <= MAX_SWITCHES && topology.links.len() <= MAX_LINKS);
    let hosts = topology.hosts.iter().map(|host| &host.name);
    let switches: HashSet<_> = topology.switches.iter().map(|switch| &switch.name).collect();
    let names: HashSet<_> = hosts.chain(switches.iter().copied()).collect();
    assert_eq!(names.len(), topology.hosts.len() + topology.switches.len(), "a name is one node's");
    let mut ends = HashSet::new();
    for link in &topology.links {
        let joins = [&link.a, &link.b];
        assert!(joins.iter().any(|end| switches.contains(&end.node)), "one end of a link is a switch");
        for end in joins {
            assert!(names.contains(&end.node) && end.interface().len() <= 15);
            assert!(ends.insert((&end.node, end.port)), "a port is one link's");
            assert!(end.port > 0 || !switches.contains(&end.node), "a switch's ports begin at 1");
        }
    }
}

/// Writes every value, also those that a file may leave out.
fn yaml(topology: &Topology) -> String {
    let mut out = String::new();
    if let Some(name) = &topology.name {
        let _ = writeln!(out, "name: {name:?}");
    }
    match topology.spanning_tree {
        None => {}
        Some(SpanningTree::Stp) => out.push_str("spanning_tree: stp\n"),
        Some(SpanningTree::Rstp) => out.push_str("spanning_tree: rstp\n"),
    }
    let _ = writeln!(out, "seed: {}", topology.seed);
    out.push_str("hosts:\n");
    for host in &topology.hosts {
        let ip: Vec<String> =
            host.addresses.iter().map(|prefix| format!("{:?}", prefix.to_string())).collect();
        let mac: Vec<String> = host.mac.iter().map(|byte| format!("{byte:02x}")).collect();
        let route = |route: &crate::topology::Route| {
            format!("{{ to: {:?}, via: {:?} }}", route.to.to_string(), route.via.to_string())
        };
        let routes: Vec<String> = host.routes.iter().map(route).collect();
        let _ = writeln!(
            out,
            "  {:?}: {{ ip: [{}], mac: {:?}, routes: [{}] }}",
            host.name,
            ip.join(", "),
            mac.join(":"),
            routes.join(", ")
        );
    }
    out.push_str("switches:\n");
    for switch in &topology.switches {
        let mode = match switch.fail_mode {
            None => "",
            Some(FailMode::Secure) => ", fail_mode: secure",
            Some(FailMode::Standalone) => ", fail_mode: standalone",
        };
        let protocols = match switch.protocols.as_slice() {
            [] => String::new(),
            names => format!(", protocols: [{}]", names.join(", ")),
        };
        let _ = writeln!(out, "  {:?}: {{ dpid: {}{mode}{protocols} }}", switch.name, switch.datapath_id);
    }
    out.push_str("links:\n");
    for link in &topology.links {
        let (a, b) = (&link.a, &link.b);
        let _ = writeln!(
            out,
            "  - {{ a: {:?}, b: {:?}, a_port: {}, b_port: {}, a_to_b: {}, b_to_a: {} }}",
            a.node,
            b.node,
            a.port,
            b.port,
            serde_json::to_string(&link.a_to_b).expect("a profile can be written"),
            serde_json::to_string(&link.b_to_a).expect("a profile can be written"),
        );
    }
    // A mapping without entries is written in brackets.
    for (name, empty) in [("hosts", topology.hosts.is_empty()), ("switches", topology.switches.is_empty())] {
        if empty {
            out = out.replace(&format!("{name}:\n"), &format!("{name}: {{}}\n"));
        }
    }
    if topology.links.is_empty() {
        out = out.replace("links:\n", "links: []\n");
    }
    out
}

fn line_of<T: DeserializeOwned + Serialize>(bytes: &[u8]) {
    let Ok(value) = serde_json::from_slice::<T>(bytes) else { return };
    let written = serde_json::to_vec(&value).expect("what was read can be written");
    assert!(!written.contains(&b'\n'), "a message is one line");
    let again: T = serde_json::from_slice(&written).expect("what was written can be read");
    assert_eq!(serde_json::to_vec(&again).expect("it can be written again"), written);
}

/// A line of a lab's control socket is written so that it is read as the same.
///
/// # Panics
/// If it is not.
pub fn control_line(bytes: &[u8]) {
    line_of::<Request>(bytes);
    line_of::<Reply>(bytes);
    line_of::<Launch>(bytes);
    line_of::<Progress>(bytes);
}
