//! A topology as a picture: as DOT for Graphviz, or as SVG with a layout of its own.
//!
//! Switches repel each other and are drawn together by links (Fruchterman and Reingold 1991), from a start that depends on
//! the topology alone, so that the same topology gives the same picture. Hosts stand in a fan at the side of their switch that
//! has most room.

use std::collections::HashMap;
use std::f64::consts::TAU;
use std::fmt::Write as _;

use crate::shell::show_settings;
use crate::topology::{Link, Topology};

/// Pixels between two switches that are linked, about.
const DISTANCE: f64 = 130.0;
/// Pixels between a switch and its hosts, at least.
const REACH: f64 = 70.0;
/// Pixels around the picture.
const MARGIN: f64 = 70.0;
/// Pushes and pulls that a layout may cost.
const MOST_WORK: usize = 40_000_000;
/// Rounds of a layout, where it is small.
const MOST_ROUNDS: usize = 300;

/// The topology in Graphviz's language.
#[must_use]
pub fn dot(topology: &Topology) -> String {
    let mut out = String::from("graph lab {\n  node [fontname=\"sans-serif\"]\n");
    for switch in &topology.switches {
        let _ = writeln!(out, "  \"{}\" [shape=box, style=filled, fillcolor=\"#cfe3f5\"]", switch.name);
    }
    for host in &topology.hosts {
        let addresses: Vec<String> = host.addresses.iter().map(ToString::to_string).collect();
        let name = &host.name;
        let _ = writeln!(out, "  \"{name}\" [shape=ellipse, tooltip=\"{}\"]", addresses.join(" "));
    }
    for link in &topology.links {
        let (a, b) = (&link.a, &link.b);
        let _ = writeln!(
            out,
            "  \"{}\" -- \"{}\" [taillabel=\"{}\", headlabel=\"{}\", label=\"{}\"]",
            a.node,
            b.node,
            a.port,
            b.port,
            label(link).replace(' ', "\\n")
        );
    }
    out.push_str("}\n");
    out
}

/// What is written at a link.
fn label(link: &Link) -> String {
    show_settings(link).replace(',', " ").replace("; ", " ")
}

/// The topology as a picture.
#[must_use]
pub fn svg(topology: &Topology) -> String {
    let places = layout(topology);
    let (mut left, mut top) = (f64::MAX, f64::MAX);
    let (mut right, mut bottom) = (f64::MIN, f64::MIN);
    for place in places.values() {
        (left, top) = (left.min(place.0), top.min(place.1));
        (right, bottom) = (right.max(place.0), bottom.max(place.1));
    }
    if places.is_empty() {
        (left, top, right, bottom) = (0.0, 0.0, 0.0, 0.0);
    }
    let (left, top) = (left - MARGIN, top - MARGIN);
    let (width, height) = (right - left + MARGIN, bottom - top + MARGIN);
    let at = |node: &str| places.get(node).map_or((0.0, 0.0), |place| (place.0 - left, place.1 - top));
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" width=\"{width:.0}\">\n\
         <style>svg{{background:#fff}}text{{font:13px sans-serif;fill:#1b1f24;text-anchor:middle}}\
         .port{{font-size:9px;fill:#667}}.set{{font-size:10px;fill:#9a3b00}}line{{stroke:#8a949e;stroke-width:1.5}}\
         .shaped{{stroke:#d55e00}}rect{{fill:#cfe3f5;stroke:#31688e}}ellipse{{fill:#f2f4f6;stroke:#667}}</style>\n"
    );
    for link in &topology.links {
        draw_link(&mut out, link, at(&link.a.node), at(&link.b.node));
    }
    for switch in &topology.switches {
        let (x, y) = at(&switch.name);
        let half = 8.0 + 4.5 * switch.name.len().max(3) as f64;
        let _ = writeln!(
            out,
            "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"26\" rx=\"4\"><title>datapath id {:016x}</title></rect>\
             <text x=\"{x:.1}\" y=\"{:.1}\">{}</text>",
            x - half,
            y - 13.0,
            2.0 * half,
            switch.datapath_id,
            y + 4.5,
            switch.name
        );
    }
    for host in &topology.hosts {
        let (x, y) = at(&host.name);
        let addresses: Vec<String> = host.addresses.iter().map(ToString::to_string).collect();
        let _ = writeln!(
            out,
            "<ellipse cx=\"{x:.1}\" cy=\"{y:.1}\" rx=\"{:.1}\" ry=\"13\"><title>{}</title></ellipse>\
             <text x=\"{x:.1}\" y=\"{:.1}\">{}</text>",
            8.0 + 4.5 * host.name.len().max(2) as f64,
            addresses.join(" "),
            y + 4.5,
            host.name
        );
    }
    out.push_str("</svg>\n");
    out
}

fn draw_link(out: &mut String, link: &Link, (ax, ay): (f64, f64), (bx, by): (f64, f64)) {
    let class = if link.has_settings() { " class=\"shaped\"" } else { "" };
    let _ = write!(out, "<line x1=\"{ax:.1}\" y1=\"{ay:.1}\" x2=\"{bx:.1}\" y2=\"{by:.1}\"{class}/>");
    let along = |part: f64| (ax + (bx - ax) * part, ay + (by - ay) * part);
    for (port, (x, y)) in [(link.a.port, along(0.3)), (link.b.port, along(0.7))] {
        let _ = write!(out, "<text class=\"port\" x=\"{x:.1}\" y=\"{y:.1}\">{port}</text>");
    }
    let (x, y) = along(0.5);
    for (line, word) in label(link).split_whitespace().enumerate() {
        let y = y + 11.0 * line as f64;
        let _ = write!(out, "<text class=\"set\" x=\"{x:.1}\" y=\"{y:.1}\">{word}</text>");
    }
    out.push('\n');
}

/// Where each node stands.
fn layout(topology: &Topology) -> HashMap<&str, (f64, f64)> {
    let number: HashMap<&str, usize> =
        topology.switches.iter().enumerate().map(|(number, switch)| (switch.name.as_str(), number)).collect();
    let edges: Vec<(usize, usize)> = topology
        .links
        .iter()
        .filter_map(|link| Some((*number.get(link.a.node.as_str())?, *number.get(link.b.node.as_str())?)))
        .collect();
    let switches = spread(topology.switches.len(), &edges);
    let mut places: HashMap<&str, (f64, f64)> =
        topology.switches.iter().map(|switch| switch.name.as_str()).zip(switches.iter().copied()).collect();
    // The first switch of a host has it.
    let mut hosts: Vec<Vec<&str>> = vec![vec![]; switches.len()];
    let mut has_switch = std::collections::HashSet::new();
    for link in &topology.links {
        for (near, far) in [(&link.a, &link.b), (&link.b, &link.a)] {
            let (Some(switch), None) = (number.get(near.node.as_str()), number.get(far.node.as_str())) else {
                continue;
            };
            if has_switch.insert(far.node.as_str()) {
                hosts[*switch].push(&far.node);
            }
        }
    }
    for (switch, hosts) in hosts.iter().enumerate() {
        fan(&mut places, switches[switch], away(switch, &switches, &edges), hosts);
    }
    let alone =
        topology.hosts.iter().map(|host| host.name.as_str()).filter(|name| !has_switch.contains(name));
    let below = places.values().map(|place| place.1).fold(0.0, f64::max) + DISTANCE;
    for (place, host) in alone.enumerate() {
        places.insert(host, (place as f64 * REACH, below));
    }
    places
}

/// The side of a switch that is away from those that it is linked to; down where it is linked to none.
fn away(switch: usize, places: &[(f64, f64)], edges: &[(usize, usize)]) -> f64 {
    let (mut x, mut y) = (0.0, 0.0);
    for (a, b) in edges {
        let other = if *a == switch {
            *b
        } else if *b == switch {
            *a
        } else {
            continue;
        };
        x += places[switch].0 - places[other].0;
        y += places[switch].1 - places[other].1;
    }
    if x.hypot(y) < 1.0 { TAU / 4.0 } else { y.atan2(x) }
}

/// Puts hosts around a switch, in as many rings as they need.
fn fan<'a>(places: &mut HashMap<&'a str, (f64, f64)>, (x, y): (f64, f64), towards: f64, hosts: &[&'a str]) {
    let (mut left, mut reach) = (hosts, REACH);
    while !left.is_empty() {
        // Two thirds of the ring, at 46 pixels each.
        let fits = ((reach * TAU * 2.0 / 3.0 / 46.0) as usize).max(1);
        let (ring, rest) = left.split_at(fits.min(left.len()));
        let step = (46.0 / reach).max(TAU * 2.0 / 3.0 / fits as f64);
        for (place, host) in ring.iter().enumerate() {
            let angle = towards + (place as f64 - (ring.len() as f64 - 1.0) / 2.0) * step;
            places.insert(host, (x + reach * angle.cos(), y + reach * angle.sin()));
        }
        (left, reach) = (rest, reach + 40.0);
    }
}

/// Places of so many nodes that are joined by `edges`.
fn spread(count: usize, edges: &[(usize, usize)]) -> Vec<(f64, f64)> {
    let circle = DISTANCE * count as f64 / TAU;
    let start = |node: usize| {
        let angle = TAU * node as f64 / count.max(1) as f64;
        (circle * angle.cos(), circle * angle.sin())
    };
    let mut places: Vec<(f64, f64)> = (0..count).map(start).collect();
    let rounds = MOST_ROUNDS.min(MOST_WORK / (count * count).max(1));
    for round in 0..rounds {
        let mut forces = vec![(0.0, 0.0); count];
        for a in 0..count {
            for b in a + 1..count {
                let (x, y) = (places[a].0 - places[b].0, places[a].1 - places[b].1);
                let distance = x.hypot(y).max(1.0);
                let push = DISTANCE * DISTANCE / (distance * distance);
                forces[a] = (forces[a].0 + x * push, forces[a].1 + y * push);
                forces[b] = (forces[b].0 - x * push, forces[b].1 - y * push);
            }
        }
        for (a, b) in edges {
            let (x, y) = (places[*a].0 - places[*b].0, places[*a].1 - places[*b].1);
            let pull = x.hypot(y) / DISTANCE;
            forces[*a] = (forces[*a].0 - x * pull, forces[*a].1 - y * pull);
            forces[*b] = (forces[*b].0 + x * pull, forces[*b].1 + y * pull);
        }
        // Steps grow shorter, so that it comes to rest.
        let most = DISTANCE * (1.0 - round as f64 / rounds as f64);
        for (place, force) in places.iter_mut().zip(forces) {
            let strength = force.0.hypot(force.1).max(1e-9);
            let step = strength.min(most) / strength;
            *place = (place.0 + force.0 * step, place.1 + force.1 * step);
        }
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_node_and_link_is_drawn_each_in_a_place_of_its_own() {
        for spec in ["minimal", "linear,5,3", "tree,depth=3,fanout=3", "torus,4,4", "single,300"] {
            let topology = Topology::from_spec(spec).unwrap();
            let picture = svg(&topology);
            assert_eq!(picture.matches("<line").count(), topology.links.len(), "{spec}");
            assert_eq!(picture.matches("<ellipse").count(), topology.hosts.len(), "{spec}");
            assert_eq!(picture.matches("<rect").count(), topology.switches.len(), "{spec}");
            assert!(!picture.contains("NaN"), "{spec}");
            let places: Vec<(f64, f64)> = layout(&topology).into_values().collect();
            for (number, a) in places.iter().enumerate() {
                for b in &places[number + 1..] {
                    assert!((a.0 - b.0).hypot(a.1 - b.1) > 4.0, "{spec}: two nodes at {a:?}");
                }
            }
            assert_eq!(picture, svg(&topology), "{spec}: another picture");
        }
    }

    #[test]
    fn a_link_says_its_settings() {
        let text = "hosts: {h1: }\nswitches: {s1: }\nlinks: [{a: h1, b: s1, rate: 1mbit, delay: 5ms}]";
        let topology = Topology::from_yaml(text).unwrap();
        assert!(
            svg(&topology).contains(">rate=1mbit</text>") && svg(&topology).contains(">delay=5ms</text>")
        );
        assert!(dot(&topology).contains("label=\"rate=1mbit\\ndelay=5ms\""), "{}", dot(&topology));
    }

    #[test]
    fn the_largest_labs_are_drawn_in_bounded_time() {
        let begun = std::time::Instant::now();
        assert!(svg(&Topology::from_spec("linear,4096").unwrap()).len() > 1_000_000);
        assert!(!svg(&Topology::from_yaml("hosts: {}\nswitches: {}\nlinks: []").unwrap()).contains("NaN"));
        assert!(begun.elapsed() < std::time::Duration::from_secs(60));
    }
}
