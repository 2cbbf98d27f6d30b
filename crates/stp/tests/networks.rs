//! Networks of many bridges: they become trees, stay free of loops at every moment, and heal in the standard's times.
#![allow(missing_docs, clippy::unwrap_used)]

use std::collections::VecDeque;

use heddle_stp::{Bpdu, BridgeId, Event, Role, Rstp, State, Stp, Times, rstp, stp};
use proptest::prelude::*;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Protocol {
    Stp,
    Rstp,
}

enum Bridge {
    Stp(Stp),
    Rstp(Rstp),
}

impl Bridge {
    fn new(protocol: Protocol, id: u64) -> Self {
        let id = BridgeId(0x8000 << 48 | id);
        match protocol {
            Protocol::Stp => Self::Stp(Stp::new(stp::Config { id, ..stp::Config::default() }, 0)),
            Protocol::Rstp => Self::Rstp(Rstp::new(rstp::Config { id, ..rstp::Config::default() }, 0)),
        }
    }

    fn set_port(&mut self, number: u16, enabled: bool, now: u64) {
        match self {
            Self::Stp(stp) => {
                let config = stp::PortConfig { number: number as u8, enabled, ..stp::PortConfig::default() };
                stp.set_port(number, Some(config), now);
            }
            Self::Rstp(rstp) => {
                let config =
                    rstp::PortConfig { number, path_cost: 19, enabled, ..rstp::PortConfig::default() };
                rstp.set_port(number, Some(config), now);
            }
        }
    }

    fn receive(&mut self, number: u16, message: &Bpdu, now: u64) {
        match self {
            Self::Stp(stp) => stp.receive(number, message, now),
            Self::Rstp(rstp) => rstp.receive(number, message, now),
        }
    }

    fn run(&mut self, now: u64) {
        match self {
            Self::Stp(stp) => stp.run(now),
            Self::Rstp(rstp) => rstp.run(now),
        }
    }

    fn events(&mut self) -> Vec<Event> {
        match self {
            Self::Stp(stp) => stp.events(),
            Self::Rstp(rstp) => rstp.events(),
        }
    }

    fn state(&self, number: u16) -> State {
        match self {
            Self::Stp(stp) => stp.port(number).unwrap().state,
            Self::Rstp(rstp) => rstp.port(number).unwrap().state,
        }
    }

    fn role(&self, number: u16) -> Role {
        match self {
            Self::Stp(stp) => stp.role(number),
            Self::Rstp(rstp) => rstp.role(number),
        }
    }

    fn root(&self) -> u64 {
        let root = match self {
            Self::Stp(stp) => stp.root(),
            Self::Rstp(rstp) => rstp.root(),
        };
        root.0 & 0xffff_ffff_ffff
    }
}

struct Link {
    ends: [(usize, u16); 2],
    up: bool,
    /// What is sent is lost, and neither end knows.
    mute: bool,
}

struct Network {
    bridges: Vec<Bridge>,
    links: Vec<Link>,
    now: u64,
    sent: u64,
    flushes: usize,
    /// When what was heard of a lost root has aged.
    aged_at: u64,
}

impl Network {
    fn new(protocols: &[Protocol], links: &[(usize, usize)]) -> Self {
        let bridges: Vec<Bridge> = protocols
            .iter()
            .enumerate()
            .map(|(index, &protocol)| Bridge::new(protocol, index as u64 + 1))
            .collect();
        let mut network = Self { bridges, links: Vec::new(), now: 0, sent: 0, flushes: 0, aged_at: 0 };
        let mut ports = vec![0u16; protocols.len()];
        for &(a, b) in links {
            let mut end = |bridge: usize| {
                ports[bridge] += 1;
                (bridge, ports[bridge])
            };
            network.links.push(Link { ends: [end(a), end(b)], up: false, mute: false });
        }
        for link in 0..network.links.len() {
            network.set_link(link, true);
        }
        // Nothing has been lost yet.
        network.aged_at = 0;
        network
    }

    fn set_link(&mut self, link: usize, up: bool) {
        self.links[link].up = up;
        for (bridge, port) in self.links[link].ends {
            self.bridges[bridge].set_port(port, up, self.now);
        }
        self.deliver();
    }

    /// Whether every bridge has a way to the first one.
    fn has_root(&self) -> bool {
        let mut reached = vec![false; self.bridges.len()];
        reached[0] = true;
        for _ in 0..self.bridges.len() {
            for link in self.links.iter().filter(|link| link.up) {
                let [(a, _), (b, _)] = link.ends;
                let either = reached[a] || reached[b];
                (reached[a], reached[b]) = (either, either);
            }
        }
        reached.iter().all(|&reached| reached)
    }

    /// Carries messages until all is silent. There is no loop at any moment, but where RSTP's bridges have lost the root.
    fn deliver(&mut self) {
        let mut queue = VecDeque::new();
        let mut carried = 0;
        loop {
            for (index, bridge) in self.bridges.iter_mut().enumerate() {
                for event in bridge.events() {
                    match event {
                        Event::Send(port, message) => queue.push_back((index, port, message)),
                        Event::Flush(_) => self.flushes += 1,
                        Event::State(..) => {}
                    }
                }
            }
            if matches!(self.bridges[0], Bridge::Rstp(_)) && !self.has_root() {
                self.aged_at = self.now + 3 * RSTP_MS;
            }
            if self.now >= self.aged_at {
                self.check_loops();
            }
            let Some((from, port, message)) = queue.pop_front() else { return };
            carried += 1;
            assert!(carried < 20_000, "messages without end");
            self.sent += 1;
            let link = self.links.iter().find(|link| link.ends.contains(&(from, port))).unwrap();
            if link.up && !link.mute {
                let (to, there) = if link.ends[0] == (from, port) { link.ends[1] } else { link.ends[0] };
                // What is read is what was written.
                let read = Bpdu::of_frame(&message.frame([2, 0, 0, 0, 0, 1]));
                self.bridges[to].receive(there, &read.unwrap(), self.now);
            }
        }
    }

    /// Each bridge's component by links that forward; `None` if a link closes a loop.
    fn components(&self) -> Option<Vec<usize>> {
        let mut parts: Vec<usize> = (0..self.bridges.len()).collect();
        for link in self.links.iter().filter(|link| link.up) {
            let [(a, at_a), (b, at_b)] = link.ends;
            if self.bridges[a].state(at_a) != State::Forwarding
                || self.bridges[b].state(at_b) != State::Forwarding
            {
                continue;
            }
            let (x, y) = (parts[a], parts[b]);
            if x == y {
                return None;
            }
            parts.iter_mut().filter(|part| **part == x).for_each(|part| *part = y);
        }
        Some(parts)
    }

    fn check_loops(&self) {
        assert!(self.components().is_some(), "there is a loop at {} ms:\n{}", self.now, self.drawn());
    }

    fn is_whole(&self) -> bool {
        self.components().is_some_and(|parts| parts.iter().all(|&part| part == parts[0]))
    }

    fn drawn(&self) -> String {
        let end = |(bridge, port): (usize, u16)| {
            let there = &self.bridges[bridge];
            format!("{bridge}.{port} {:?} {:?}", there.role(port), there.state(port))
        };
        let lines = self.links.iter().map(|link| {
            format!(
                "{} - {} ({})\n",
                end(link.ends[0]),
                end(link.ends[1]),
                if link.up { "up" } else { "down" }
            )
        });
        lines.collect()
    }

    fn run(&mut self, milliseconds: u64) {
        let until = self.now + milliseconds;
        while self.now < until {
            self.now += 250;
            for index in 0..self.bridges.len() {
                self.bridges[index].run(self.now);
                self.deliver();
            }
        }
    }

    /// Milliseconds until all bridges are one tree, which must be at most so many; it stays.
    fn converges(&mut self, most: u64) -> u64 {
        let begun = self.now;
        while !self.is_whole() {
            assert!(self.now - begun < most, "no tree after {} ms:\n{}", self.now - begun, self.drawn());
            self.run(250);
        }
        self.now - begun
    }
}

fn ring(bridges: usize) -> Vec<(usize, usize)> {
    (0..bridges).map(|bridge| (bridge, (bridge + 1) % bridges)).collect()
}

fn torus(columns: usize, rows: usize) -> Vec<(usize, usize)> {
    let at = |x: usize, y: usize| y % rows * columns + x % columns;
    let cells = (0..columns).flat_map(|x| (0..rows).map(move |y| (x, y)));
    cells.flat_map(|(x, y)| [(at(x, y), at(x + 1, y)), (at(x, y), at(x, y + 1))]).collect()
}

fn mesh(bridges: usize) -> Vec<(usize, usize)> {
    (0..bridges).flat_map(|a| (a + 1..bridges).map(move |b| (a, b))).collect()
}

/// Two listening states, and the time in which an old root is forgotten (802.1D-1998 section 8.10).
const STP_MS: u64 = 2 * 15_000 + 20_000 + 2_000;
/// Three hellos until a silent neighbour is forgotten, and as many steps of the way.
const RSTP_MS: u64 = 10_000;

/// A name, how many bridges there are, and their links.
type Shape = (&'static str, usize, Vec<(usize, usize)>);

fn networks() -> Vec<Shape> {
    vec![
        ("pair", 2, vec![(0, 1)]),
        ("three cables", 2, vec![(0, 1); 3]),
        ("ring of 3", 3, ring(3)),
        ("ring of 9", 9, ring(9)),
        ("mesh of 5", 5, mesh(5)),
        ("torus of 9", 9, torus(3, 3)),
        ("torus of 12", 12, torus(4, 3)),
    ]
}

#[test]
fn rapid_bridges_make_a_tree_in_moments() {
    for (name, bridges, links) in networks() {
        let mut network = Network::new(&vec![Protocol::Rstp; bridges], &links);
        let took = network.converges(RSTP_MS);
        assert!(took <= 4_000, "{name}: {took} ms");
        assert!(network.bridges.iter().all(|bridge| bridge.root() == 1), "{name}");
        network.run(30_000);
        assert!(network.is_whole(), "{name}");
    }
}

#[test]
fn classic_bridges_make_a_tree_after_two_delays() {
    for (name, bridges, links) in networks() {
        let mut network = Network::new(&vec![Protocol::Stp; bridges], &links);
        let took = network.converges(STP_MS);
        assert!((30_000..=33_000).contains(&took), "{name}: {took} ms");
        network.run(60_000);
        assert!(network.is_whole() && network.bridges.iter().all(|bridge| bridge.root() == 1), "{name}");
    }
}

fn heals(protocol: Protocol, limit: u64, lose: fn(&mut Network, usize, bool)) {
    for (name, bridges, links) in networks().into_iter().skip(1) {
        for link in 0..links.len().min(6) {
            let mut network = Network::new(&vec![protocol; bridges], &links);
            network.run(if protocol == Protocol::Stp { 70_000 } else { 8_000 });
            lose(&mut network, link, true);
            network.run(250);
            // While a mute link is forwarded to, the tree only looks whole.
            let waited = network.links[link].mute;
            if waited {
                network.run(limit - 1_000);
            }
            let took = network.converges(limit);
            assert!(network.is_whole(), "{name}, link {link}: {took} ms");
            lose(&mut network, link, false);
            network.run(limit);
            assert!(network.is_whole(), "{name}, link {link} again:\n{}", network.drawn());
            assert!(network.bridges.iter().all(|bridge| bridge.root() == 1), "{name}");
        }
    }
}

#[test]
fn rapid_bridges_heal_a_lost_link() {
    heals(Protocol::Rstp, RSTP_MS, |network, link, lost| network.set_link(link, !lost));
}

#[test]
fn classic_bridges_heal_a_lost_link() {
    heals(Protocol::Stp, STP_MS, |network, link, lost| network.set_link(link, !lost));
}

#[test]
fn a_root_that_is_gone_is_replaced() {
    // What is known of a root that is gone may go around in circles until it has aged, by one at each bridge.
    for (protocol, limit) in [(Protocol::Rstp, 3 * RSTP_MS), (Protocol::Stp, STP_MS)] {
        let links = torus(3, 3);
        let mut network = Network::new(&[protocol; 9], &links);
        network.run(70_000);
        let flushes = network.flushes;
        for link in (0..links.len()).filter(|&link| links[link].0 == 0 || links[link].1 == 0) {
            network.set_link(link, false);
        }
        let begun = network.now;
        while network.bridges[1..].iter().any(|bridge| bridge.root() != 2) && network.now < begun + limit {
            network.run(250);
        }
        network.run(limit);
        let parts = network.components().unwrap();
        assert!(parts[1..].iter().all(|&part| part == parts[1]), "{protocol:?}:\n{}", network.drawn());
        assert!(network.bridges[1..].iter().all(|bridge| bridge.root() == 2), "{protocol:?}");
        assert!(network.flushes > flushes, "{protocol:?}: addresses are forgotten");
    }
}

#[test]
fn bridges_of_both_protocols_make_one_tree() {
    for links in [ring(6), torus(3, 2)] {
        for swap in [0, 1] {
            let protocols: Vec<Protocol> = (0..6)
                .map(|bridge| if bridge % 2 == swap { Protocol::Stp } else { Protocol::Rstp })
                .collect();
            let mut network = Network::new(&protocols, &links);
            network.run(STP_MS);
            assert!(network.is_whole(), "{}", network.drawn());
            network.set_link(0, false);
            network.run(STP_MS);
            assert!(network.is_whole(), "{}", network.drawn());
            network.set_link(0, true);
            network.run(STP_MS);
            assert!(network.is_whole(), "{}", network.drawn());
        }
    }
}

#[test]
fn a_quiet_tree_is_quiet() {
    for protocol in [Protocol::Stp, Protocol::Rstp] {
        let mut network = Network::new(&[protocol; 9], &torus(3, 3));
        network.run(80_000);
        let (sent, flushes) = (network.sent, network.flushes);
        network.run(20_000);
        // One message for each link and hello: ten hellos, eighteen links.
        assert!((170..=190).contains(&(network.sent - sent)), "{protocol:?}: {}", network.sent - sent);
        assert_eq!(network.flushes, flushes, "{protocol:?}");
    }
}

#[test]
fn a_port_to_no_bridge_forwards() {
    let id = BridgeId(0x8000 << 48 | 1);
    let mut bridge = Rstp::new(rstp::Config { id, ..rstp::Config::default() }, 0);
    bridge.set_port(1, Some(rstp::PortConfig { admin_edge: true, ..rstp::PortConfig::default() }), 0);
    assert_eq!(bridge.port(1).unwrap().state, State::Forwarding, "an edge forwards at once");
    bridge.set_port(2, Some(rstp::PortConfig { number: 2, ..rstp::PortConfig::default() }), 0);
    assert_eq!(bridge.port(2).unwrap().state, State::Blocking);
    bridge.run(2_999);
    assert_eq!(bridge.port(2).unwrap().state, State::Blocking);
    bridge.run(3_000);
    assert_eq!(bridge.port(2).unwrap().state, State::Forwarding, "nobody has spoken for three seconds");
    assert!(bridge.port(2).unwrap().oper_edge);
    bridge.set_port(
        3,
        Some(rstp::PortConfig { number: 3, auto_edge: false, ..rstp::PortConfig::default() }),
        3_000,
    );
    bridge.run(3_000 + 19_000);
    assert_eq!(bridge.port(3).unwrap().state, State::Blocking);
    bridge.run(3_000 + 20_000);
    assert_eq!(bridge.port(3).unwrap().state, State::Learning, "what could be older has expired");
    bridge.run(3_000 + 35_000);
    assert_eq!(bridge.port(3).unwrap().state, State::Forwarding);
}

#[test]
fn a_cable_from_a_bridge_to_itself_is_no_loop() {
    for protocol in [Protocol::Stp, Protocol::Rstp] {
        let mut network = Network::new(&[protocol], &[(0, 0)]);
        network.run(60_000);
        let states = [network.bridges[0].state(1), network.bridges[0].state(2)];
        assert_eq!(states, [State::Forwarding, State::Blocking], "{protocol:?}");
    }
}

#[test]
fn times_are_the_roots() {
    let mut network = Network::new(&[Protocol::Stp; 3], &ring(3));
    let times = Times { max_age: 10, hello_time: 1, forward_delay: 5, message_age: 0 };
    let Bridge::Stp(root) = &mut network.bridges[0] else { unreachable!() };
    root.set_config(stp::Config { id: BridgeId(0x1000 << 48 | 7), times }, 0);
    let took = network.converges(STP_MS);
    assert!((10_000..=13_000).contains(&took), "{took}");
    let Bridge::Stp(other) = &network.bridges[2] else { unreachable!() };
    assert_eq!((other.times(), other.root().priority()), (times, 0x1000));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// Links of a random network come and go, at any pace: there is never a loop, and in the end a tree.
    #[test]
    fn links_come_and_go(
        protocol in prop_oneof![Just(Protocol::Stp), Just(Protocol::Rstp)],
        bridges in 2usize..7,
        more in prop::collection::vec((0usize..7, 0usize..7), 0..8),
        changes in prop::collection::vec((0usize..14, any::<bool>(), 0u64..16), 0..24),
    ) {
        let tree = (1..bridges).map(|bridge| (bridge / 2, bridge));
        let more = more.into_iter().map(|(a, b)| (a % bridges, b % bridges)).filter(|(a, b)| a != b);
        let links: Vec<_> = tree.chain(more).collect();
        let mut network = Network::new(&vec![protocol; bridges], &links);
        for (link, up, pause) in changes {
            let link = link % links.len();
            if network.links[link].up != up {
                network.set_link(link, up);
            }
            network.run(pause * 250);
        }
        (0..links.len()).filter(|&link| !network.links[link].up).collect::<Vec<_>>().into_iter()
            .for_each(|link| network.set_link(link, true));
        network.run(80_000);
        prop_assert!(network.is_whole(), "{}", network.drawn());
        prop_assert!(network.bridges.iter().all(|bridge| bridge.root() == 1));
    }

    /// Arbitrary bytes, alone and behind what makes them a message.
    #[test]
    fn frames(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        heddle_stp::fuzz::bpdu(&bytes);
        let frame = [&[1, 0x80, 0xc2, 0, 0, 0, 2, 0, 0, 0, 0, 1, 0, 38, 0x42, 0x42, 3, 0, 0, 2, 2][..], &bytes].concat();
        heddle_stp::fuzz::bpdu(&frame);
    }

    #[test]
    fn hostile_neighbours(bytes in prop::collection::vec(any::<u8>(), 0..800)) {
        heddle_stp::fuzz::bridges(&bytes);
    }
}
