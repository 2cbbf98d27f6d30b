//! What packets meet on the links of a lab: told to the switch at the start and whenever somebody changes it.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::os::fd::OwnedFd;

use heddle_link::ProfileError;
use heddle_switch::config::{CaptureConfig, LineConfig, LineReport, LinkConfig};

use super::Lab;
use crate::fidelity::{Fidelity, judge};
use crate::protocol::{LinkReport, Reply, Request, WayReport};
use crate::topology::{End, Link, Topology};
use crate::wire::Channel;

/// The lines of a link, as the switch is told of them.
pub(crate) fn lines(topology: &Topology, switches: &HashSet<&str>, link: &Link) -> Vec<LineConfig> {
    let forth = seed(topology.seed, &link.a, &link.b);
    let back = seed(topology.seed, &link.b, &link.a);
    let config = |end: &End, out: &_, inward: &_, seeds| LineConfig {
        bridge: end.node.clone(),
        ofport: end.port,
        out: Clone::clone(out),
        inward: Clone::clone(inward),
        seeds,
    };
    let perfect = Default::default();
    match (switches.contains(link.a.node.as_str()), switches.contains(link.b.node.as_str())) {
        (true, true) => vec![
            config(&link.a, &link.a_to_b, &perfect, [forth, 0]),
            config(&link.b, &link.b_to_a, &perfect, [back, 0]),
        ],
        (true, false) => vec![config(&link.a, &link.a_to_b, &link.b_to_a, [forth, back])],
        (false, true) => vec![config(&link.b, &link.b_to_a, &link.a_to_b, [back, forth])],
        (false, false) => vec![],
    }
}

/// What the dice of one way of a link are drawn with: the same for the same lab's seed and the same ends (FNV-1a, 64 bits).
fn seed(lab: u64, from: &End, to: &End) -> u64 {
    let name = format!("{lab} {} {}", from.interface(), to.interface());
    name.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// The lines of all links that have settings, by bridge and port number.
pub(crate) fn all(topology: &Topology) -> BTreeMap<(String, u32), LineConfig> {
    let shaped = topology.links.iter().filter(|link| link.has_settings());
    let switches = topology.switch_names();
    let configs = shaped.flat_map(|link| lines(topology, &switches, link));
    configs.map(|line| ((line.bridge.clone(), line.ofport), line)).collect()
}

/// The places of the links between two nodes.
fn between(topology: &Topology, a: &str, b: &str) -> Result<Vec<usize>, String> {
    for node in [a, b] {
        if topology.host(node).is_none() && !topology.is_switch(node) {
            return Err(format!("the lab has no host or switch {node}"));
        }
    }
    let joins = |near: &End, far: &End| near.node == a && far.node == b;
    let links = topology.links.iter().enumerate();
    let found = links.filter(|(_, link)| joins(&link.a, &link.b) || joins(&link.b, &link.a));
    let found: Vec<usize> = found.map(|(place, _)| place).collect();
    if found.is_empty() {
        return Err(format!("there is no link between {a} and {b}"));
    }
    Ok(found)
}

/// Puts the cables of all links between two nodes in or out.
pub(super) fn set_cable(lab: &Lab, a: &str, b: &str, up: bool) -> Result<Reply, String> {
    let topology = lab.world().topology;
    let links = between(&topology, a, b)?.into_iter().map(|place| &topology.links[place]);
    let ends = links.flat_map(|link| [&link.a, &link.b]).filter(|end| topology.is_switch(&end.node));
    let links =
        ends.map(|end| LinkConfig { bridge: end.node.clone(), ofport: end.port, down: !up }).collect();
    lab.fate.set_links(links).map(|()| Reply::Done)
}

/// Changes what packets meet on the links between two nodes.
pub(super) fn shape(lab: &Lab, [a, b]: [&str; 2], settings: &str, one_way: bool) -> Result<Reply, String> {
    // Two changes of one link reach the switch in their order.
    let _one = lab.changes.one();
    let world = lab.world();
    let places = between(&world.topology, a, b)?;
    let mut changed = vec![];
    for place in &places {
        let mut link = world.topology.links[*place].clone();
        let forth = link.a.node == a;
        let wrong = |error: ProfileError| format!("the link {a} - {b}: {error}");
        if forth || !one_way {
            link.a_to_b.apply(settings).map_err(wrong)?;
        }
        if !forth || !one_way {
            link.b_to_a.apply(settings).map_err(wrong)?;
        }
        changed.push(link);
    }
    let switches = world.topology.switch_names();
    let lines = changed.iter().flat_map(|link| lines(&world.topology, &switches, link)).collect();
    lab.fate.set_lines(lines)?;
    let mut topology = Topology::clone(&world.topology);
    for (place, link) in places.into_iter().zip(changed) {
        topology.links[place] = link;
    }
    lab.set_topology(topology);
    Ok(Reply::Done)
}

/// Each link and what has happened on it.
pub(super) fn reports(lab: &Lab) -> Result<Vec<LinkReport>, String> {
    let topology = lab.world().topology;
    let down: BTreeSet<(String, u32)> = lab.fate.ports_down().into_iter().collect();
    let lines = lab.fate.line_reports()?;
    let by_port: HashMap<(&str, u32, bool), &LineReport> =
        lines.iter().map(|line| ((line.bridge.as_str(), line.ofport, line.out), line)).collect();
    // The way that leaves by a switch's port is a line out by it; that of a host's device comes in by the switch's port.
    let switches = topology.switch_names();
    let statistics = |from: &End, to: &End| {
        let (port, out) = if switches.contains(from.node.as_str()) { (from, true) } else { (to, false) };
        by_port.get(&(port.node.as_str(), port.port, out)).map(|line| line.statistics)
    };
    let is_down = |end: &End| down.contains(&(end.node.clone(), end.port));
    let report = |link: &Link| LinkReport {
        a: link.a.clone(),
        b: link.b.clone(),
        down: is_down(&link.a) || is_down(&link.b),
        a_to_b: WayReport { profile: link.a_to_b.clone(), statistics: statistics(&link.a, &link.b) },
        b_to_a: WayReport { profile: link.b_to_a.clone(), statistics: statistics(&link.b, &link.a) },
    };
    Ok(topology.links.iter().map(report).collect())
}

/// Whether the machine keeps up with the links.
pub(super) fn fidelity(lab: &Lab) -> Result<Fidelity, String> {
    let reports = reports(lab)?;
    let hosts = lab.world().hosts;
    // Only hosts at links with settings are asked: it costs a look into each one's namespace.
    let shaped =
        reports.iter().filter(|link| link.a_to_b.statistics.is_some() || link.b_to_a.statistics.is_some());
    let names: BTreeSet<&str> =
        shaped.flat_map(|link| [link.a.node.as_str(), link.b.node.as_str()]).collect();
    let mut dropped = vec![];
    for (name, host) in names.into_iter().filter_map(|name| Some((name, hosts.get(name)?))) {
        dropped.push((name.to_owned(), host.dropped().map_err(|error| super::explain(&error))?));
    }
    Ok(judge(&reports, &dropped))
}

/// Writes what passes an interface to a descriptor, until the client wants no more. It is the last of the conversation.
pub(super) fn capture(lab: &Lab, interface: &str, to: Option<OwnedFd>, mut channel: Channel) {
    let started = to
        .ok_or_else(|| "where to write did not come along".to_owned())
        .and_then(|to| lab.fate.start_capture(captured(lab, interface)?, &to));
    let id = match started {
        Ok(id) => id,
        Err(message) => return drop(channel.send(&Reply::Error(message), &[])),
    };
    if channel.send(&Reply::Done, &[]).is_ok() {
        // Whatever is said, and the end of the conversation above all, ends the capture.
        let _ = channel.receive::<Request>();
    }
    let reply = match lab.fate.stop_capture(id) {
        Ok((packets, missed)) => Reply::Captured { packets, missed },
        Err(message) => Reply::Error(message),
    };
    let _ = channel.send(&reply, &[]);
}

/// What the switch must know to capture an interface.
fn captured(lab: &Lab, interface: &str) -> Result<CaptureConfig, String> {
    let topology = lab.world().topology;
    let switches = topology.switch_names();
    for link in &topology.links {
        for (near, far) in [(&link.a, &link.b), (&link.b, &link.a)] {
            if near.interface() != interface {
                continue;
            }
            let far_side = !switches.contains(near.node.as_str());
            let port = if far_side { far } else { near };
            return Ok(CaptureConfig {
                id: 0,
                interface: interface.to_owned(),
                bridge: port.node.clone(),
                ofport: port.port,
                far_side,
                lines: lines(&topology, &switches, link),
            });
        }
    }
    Err(format!("the lab has no interface {interface}; `heddle lab links` lists them"))
}
