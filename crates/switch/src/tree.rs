//! The spanning tree of a bridge: its protocol's messages, links and time go in, and what it decides becomes states of
//! ports, frames, and forgotten addresses.
//!
//! A port that is to block does so before the message leaves that says so: the datapath has the new states before it is
//! handed what is to be sent.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError};

use heddle_openflow::port;
use heddle_pipeline::tree::Protocol;
use heddle_pipeline::{Attachment, Port};
use heddle_stp::{
    Bpdu, BridgeId, Event as Told, Role, Rstp, State, Stp, Times, Vector, rstp, rstp_path_cost, stp,
    stp_path_cost,
};

use crate::bridge::ManagedBridge;

/// The speed of a link of which nothing else is known, in Mbit/s.
const SPEED_MBPS: u64 = 10_000;

/// What a bridge is told of its spanning tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TreeConfig {
    /// The protocol.
    pub protocol: Protocol,
    /// The bridge's identifier.
    pub id: BridgeId,
    /// The times that it decides on if it is the root.
    pub times: Times,
    /// Messages that a port may send in a second; RSTP's alone.
    pub transmit_hold_count: u8,
    /// Whether RSTP speaks STP alone.
    pub force_stp: bool,
    /// The ports that take part, by OpenFlow number.
    pub ports: BTreeMap<u32, TreePort>,
}

impl TreeConfig {
    /// A protocol with its defaults, and no ports yet.
    #[must_use]
    pub fn new(protocol: Protocol, id: BridgeId) -> Self {
        let rstp::Config { times, transmit_hold_count, force_stp, .. } = rstp::Config::default();
        Self { protocol, id, times, transmit_hold_count, force_stp, ports: BTreeMap::new() }
    }
}

/// What a port is told of its bridge's spanning tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TreePort {
    /// Its number in the protocol; the OpenFlow number where it is free and small enough, or else the least that is free.
    pub number: Option<u16>,
    /// The first of two ports with the same way to the root, by a lower number.
    pub priority: u8,
    /// What its link costs; what a link of 10 Gbit/s does where nothing is said.
    pub path_cost: Option<u32>,
    /// Whether no bridge is expected behind it.
    pub admin_edge: bool,
    /// Whether it may find out that no bridge is behind it.
    pub auto_edge: bool,
    /// Whether at most one bridge is behind it.
    pub point_to_point: bool,
    /// Whether it is to take part though there is a link.
    pub admin_up: bool,
    /// Asks it to try, once, whether its neighbours speak RSTP again.
    pub check_protocol: bool,
}

impl Default for TreePort {
    fn default() -> Self {
        let rstp::PortConfig { priority, admin_edge, auto_edge, point_to_point, .. } =
            rstp::PortConfig::default();
        Self {
            number: None,
            priority,
            path_cost: None,
            admin_edge,
            auto_edge,
            point_to_point,
            admin_up: true,
            check_protocol: false,
        }
    }
}

/// The protocol at work.
enum Machine {
    Stp(Stp),
    Rstp(Rstp),
}

/// The spanning tree of a bridge.
pub(crate) struct Tree {
    config: TreeConfig,
    /// Numbers in the protocol, by OpenFlow number.
    numbers: BTreeMap<u32, u16>,
    machine: Machine,
}

/// A port in the tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortView {
    /// Its OpenFlow number.
    pub number: u32,
    /// Whether there is a link.
    pub enabled: bool,
    /// Its number in the protocol.
    pub tree_number: u16,
    /// Its priority.
    pub priority: u8,
    /// What its link costs.
    pub path_cost: u32,
    /// What it is in the tree.
    pub role: Role,
    /// What it does with packets.
    pub state: State,
    /// When it came into that state, in milliseconds of the datapath's clock.
    pub since_ms: u64,
    /// What its link knows of the root.
    pub designated: Vector,
    /// Messages sent, taken, and refused.
    pub counters: [u64; 3],
}

/// A tree as its bridge sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TreeView {
    /// The protocol.
    pub protocol: Protocol,
    /// The bridge's identifier, and the times it decides on if it is the root.
    pub id: BridgeId,
    /// Those times.
    pub own_times: Times,
    /// The root.
    pub root: BridgeId,
    /// The times of the tree.
    pub times: Times,
    /// The bridge's way to the root: of RSTP alone who is at the other end of it.
    pub way: Vector,
    /// The OpenFlow number of the port that leads there.
    pub root_port: Option<u32>,
    /// Its ports, by number.
    pub ports: Vec<PortView>,
}

impl TreeView {
    /// Whether the bridge is the root.
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.root == self.id
    }

    /// The port of this OpenFlow number.
    #[must_use]
    pub fn port(&self, number: u32) -> Option<&PortView> {
        let at = self.ports.binary_search_by_key(&number, |port| port.number).ok()?;
        self.ports.get(at)
    }

    /// What each port is and does.
    #[must_use]
    pub fn states(&self) -> Vec<(u32, Role, State)> {
        self.ports.iter().map(|port| (port.number, port.role, port.state)).collect()
    }

    /// Whether every port does what it will do in the end, for all that is known here.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        let settled = |port: &PortView| match port.role {
            Role::Root | Role::Designated => port.state == State::Forwarding,
            Role::Alternate | Role::Backup => port.state == State::Blocking,
            Role::Disabled => false,
        };
        self.ports.iter().filter(|port| port.enabled).all(settled)
    }
}

impl Machine {
    fn new(config: &TreeConfig, now_ms: u64) -> Self {
        match config.protocol {
            Protocol::Stp => Self::Stp(Stp::new(stp_config(config), now_ms)),
            Protocol::Rstp => Self::Rstp(Rstp::new(rstp_config(config), now_ms)),
        }
    }

    fn set_config(&mut self, config: &TreeConfig, now_ms: u64) {
        match self {
            Self::Stp(stp) => stp.set_config(stp_config(config), now_ms),
            Self::Rstp(rstp) => rstp.set_config(rstp_config(config), now_ms),
        }
    }

    fn set_port(&mut self, key: u16, config: Option<(&TreePort, u16, bool)>, now_ms: u64) {
        match self {
            Self::Stp(stp) => {
                let config = config.map(|(port, number, enabled)| stp::PortConfig {
                    priority: port.priority,
                    number: number as u8,
                    path_cost: port.path_cost.map_or_else(
                        || stp_path_cost(SPEED_MBPS),
                        |cost| u16::try_from(cost).unwrap_or(u16::MAX),
                    ),
                    enabled,
                });
                stp.set_port(key, config, now_ms);
            }
            Self::Rstp(rstp) => {
                let config = config.map(|(port, number, enabled)| rstp::PortConfig {
                    priority: port.priority,
                    number,
                    path_cost: port.path_cost.unwrap_or_else(|| rstp_path_cost(SPEED_MBPS)),
                    enabled: enabled && port.admin_up,
                    admin_edge: port.admin_edge,
                    auto_edge: port.auto_edge,
                    point_to_point: port.point_to_point,
                });
                rstp.set_port(key, config, now_ms);
            }
        }
    }

    fn receive(&mut self, key: u16, frame: &[u8], now_ms: u64) {
        match (self, Bpdu::of_frame(frame)) {
            (Self::Stp(stp), Ok(message)) => stp.receive(key, &message, now_ms),
            (Self::Rstp(rstp), Ok(message)) => rstp.receive(key, &message, now_ms),
            (Self::Stp(stp), Err(_)) => stp.refused(key),
            (Self::Rstp(rstp), Err(_)) => rstp.refused(key),
        }
    }

    fn run(&mut self, now_ms: u64) {
        match self {
            Self::Stp(stp) => stp.run(now_ms),
            Self::Rstp(rstp) => rstp.run(now_ms),
        }
    }

    fn events(&mut self) -> Vec<Told> {
        match self {
            Self::Stp(stp) => stp.events(),
            Self::Rstp(rstp) => rstp.events(),
        }
    }

    fn keys(&self) -> Vec<u16> {
        match self {
            Self::Stp(stp) => stp.ports().map(|(key, _)| key).collect(),
            Self::Rstp(rstp) => rstp.ports().map(|(key, _)| key).collect(),
        }
    }

    fn state(&self, key: u16) -> State {
        match self {
            Self::Stp(stp) => stp.port(key).map(|port| port.state),
            Self::Rstp(rstp) => rstp.port(key).map(|port| port.state),
        }
        .unwrap_or_default()
    }
}

fn stp_config(config: &TreeConfig) -> stp::Config {
    stp::Config { id: config.id, times: config.times }
}

fn rstp_config(config: &TreeConfig) -> rstp::Config {
    rstp::Config {
        id: config.id,
        times: config.times,
        transmit_hold_count: config.transmit_hold_count,
        force_stp: config.force_stp,
    }
}

/// A port's number in machines: no OpenFlow port of a bridge that has a tree has a larger one.
fn key(number: u32) -> Option<u16> {
    u16::try_from(number).ok()
}

/// Numbers in the protocol by OpenFlow number: those asked for, then those that are the port's own, then what is left.
fn numbers(config: &TreeConfig) -> BTreeMap<u32, u16> {
    let most: u16 = match config.protocol {
        Protocol::Stp => 255,
        Protocol::Rstp => 4095,
    };
    let mut given = BTreeMap::new();
    let mut used = BTreeSet::new();
    let mut give = |number: u32, wanted: Option<u16>| {
        let wanted = wanted.filter(|wanted| (1..=most).contains(wanted) && !given.contains_key(&number));
        if let Some(wanted) = wanted.filter(|wanted| used.insert(*wanted)) {
            given.insert(number, wanted);
        }
        given.contains_key(&number)
    };
    for (number, port) in &config.ports {
        give(*number, port.number);
    }
    for number in config.ports.keys() {
        give(*number, key(*number));
    }
    let mut free = 1..=most;
    for number in config.ports.keys() {
        let mut done = give(*number, None);
        while !done {
            let Some(next) = free.next() else { return given };
            done = give(*number, Some(next));
        }
    }
    given
}

impl Tree {
    fn new(config: TreeConfig, now_ms: u64) -> Self {
        Self { machine: Machine::new(&config, now_ms), numbers: numbers(&config), config }
    }

    fn view(&self) -> TreeView {
        let (root, times, way, root_port, ports) = match &self.machine {
            Machine::Stp(stp) => {
                let way = Vector { root: stp.root(), cost: stp.root_path_cost(), ..Vector::default() };
                (stp.root(), stp.times(), way, stp.root_port(), stp_ports(stp))
            }
            Machine::Rstp(rstp) => {
                (rstp.root(), rstp.times(), rstp.root_priority(), rstp.root_port(), rstp_ports(rstp))
            }
        };
        TreeView {
            protocol: self.config.protocol,
            id: self.config.id,
            own_times: self.config.times.in_range(),
            root,
            times,
            way,
            root_port: root_port.map(u32::from),
            ports,
        }
    }
}

fn stp_ports(stp: &Stp) -> Vec<PortView> {
    let view = |(key, port): (u16, &stp::Port)| PortView {
        number: key.into(),
        enabled: port.config.enabled,
        tree_number: port.config.number.into(),
        priority: port.config.priority,
        path_cost: port.config.path_cost.into(),
        role: stp.role(key),
        state: port.state,
        since_ms: port.since_ms,
        designated: port.designated,
        counters: port.counters,
    };
    stp.ports().map(view).collect()
}

fn rstp_ports(rstp: &Rstp) -> Vec<PortView> {
    let view = |(key, port): (u16, &rstp::Port)| PortView {
        number: key.into(),
        enabled: port.config.enabled,
        tree_number: port.config.number,
        priority: port.config.priority,
        path_cost: port.config.path_cost,
        role: port.role,
        state: port.state,
        since_ms: port.since_ms,
        designated: port.port_priority,
        counters: [port.tx_count_total, port.rx_count, port.error_count],
    };
    rstp.ports().map(view).collect()
}

fn log_state(port: &str, protocol: &str, old: &str, new: &str) {
    log::debug!(target: "ofproto_dpif", "port {port}: {protocol} state changed from {old} to {new}");
}

/// A role as it is written of RSTP's ports.
#[must_use]
pub fn rstp_role(role: Role) -> String {
    let mut letters = role.name().chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

impl ManagedBridge {
    /// Tells the bridge which spanning tree it takes part in; `None` for none.
    pub(crate) fn set_tree(&self, wanted: Option<TreeConfig>) {
        let now_ms = self.clock.now_ms();
        let mut tree = self.tree();
        match (&mut *tree, wanted) {
            (None, None) => return,
            (now, None) => *now = None,
            (Some(now), Some(wanted)) if now.config.protocol == wanted.protocol => {
                let asks = |port: &u32, config: &TreeConfig| {
                    config.ports.get(port).is_some_and(|port| port.check_protocol)
                };
                let asked =
                    wanted.ports.keys().filter(|port| asks(port, &wanted) && !asks(port, &now.config));
                let asked: Vec<u16> = asked.filter_map(|port| key(*port)).collect();
                now.machine.set_config(&wanted, now_ms);
                (now.numbers, now.config) = (numbers(&wanted), wanted);
                if let Machine::Rstp(rstp) = &mut now.machine {
                    asked.into_iter().for_each(|port| rstp.check_protocol(port, now_ms));
                }
            }
            (now, Some(wanted)) => *now = Some(Tree::new(wanted, now_ms)),
        }
        if let Some(tree) = &*tree {
            let left_out = tree.config.ports.keys().filter(|port| !tree.numbers.contains_key(port));
            for port in left_out {
                log::error!(target: "bridge", "bridge {}: too many ports for the spanning tree, leaving {port} out", self.bridge.name);
            }
        }
        self.step_tree(&mut tree);
    }

    /// Lets the spanning tree take its messages, look at its links, and see how late it is.
    pub(crate) fn run_tree(&self) {
        let mut tree = self.tree();
        if tree.is_some() {
            self.step_tree(&mut tree);
        } else {
            self.bridge.messages.take();
        }
    }

    /// What ports were told of the spanning tree.
    pub(crate) fn tree_ports(&self) -> BTreeMap<u32, TreePort> {
        self.tree().as_ref().map(|tree| tree.config.ports.clone()).unwrap_or_default()
    }

    /// The bridge's spanning tree, as it sees it.
    #[must_use]
    pub fn tree_view(&self) -> Option<TreeView> {
        self.tree().as_ref().map(Tree::view)
    }

    /// Makes the bridge believe that the topology has changed, if it takes part in a tree of this protocol.
    pub(crate) fn change_topology(&self, protocol: Protocol) -> bool {
        let now_ms = self.clock.now_ms();
        let mut tree = self.tree();
        match tree.as_mut().map(|tree| &mut tree.machine) {
            Some(Machine::Stp(stp)) if protocol == Protocol::Stp => stp.topology_change(now_ms),
            Some(Machine::Rstp(rstp)) if protocol == Protocol::Rstp => rstp.topology_change(now_ms),
            _ => return false,
        }
        self.step_tree(&mut tree);
        true
    }

    fn step_tree(&self, tree: &mut Option<Tree>) {
        let now_ms = self.clock.now_ms();
        let mut told = Vec::new();
        if let Some(tree) = tree {
            self.tell_links(tree, now_ms);
            self.show_states(Some(tree));
            for (port, frame) in self.bridge.messages.take() {
                if let Some(key) = key(port) {
                    tree.machine.receive(key, &frame, now_ms);
                }
            }
            tree.machine.run(now_ms);
            told = tree.machine.events();
        }
        self.show_states(tree.as_ref());
        for event in told {
            match event {
                Told::Send(number, message) => self.send_message(number.into(), &message),
                Told::Flush(port) => self.forget_addresses(port.map(u32::from)),
                // All of them were shown together.
                Told::State(..) => {}
            }
        }
    }

    /// Tells the machine which ports there are, and which of them have a link.
    fn tell_links(&self, tree: &mut Tree, now_ms: u64) {
        let snapshot = self.bridge.snapshot();
        let mut gone: BTreeSet<u16> = tree.machine.keys().into_iter().collect();
        for (number, config) in &tree.config.ports {
            let (Some(port), Some(key)) = (snapshot.ports.get(number), key(*number)) else { continue };
            let Some(tree_number) = tree.numbers.get(number) else { continue };
            if port.config & port::config::NO_STP != 0 {
                continue;
            }
            let has_peer = match &port.attachment {
                Attachment::Patch { bridge, port } | Attachment::Link { bridge, port, .. } => {
                    self.has_peer(bridge, port)
                }
                Attachment::Device(_) | Attachment::Local => true,
            };
            let enabled = has_peer && port.is_live();
            gone.remove(&key);
            tree.machine.set_port(key, Some((config, *tree_number, enabled)), now_ms);
        }
        gone.into_iter().for_each(|key| tree.machine.set_port(key, None, now_ms));
    }

    /// Whether the other end of a patch is there.
    fn has_peer(&self, bridge: &str, port: &str) -> bool {
        let peer = self.network().bridge(bridge).map(|bridge| bridge.snapshot());
        peer.is_some_and(|snapshot| snapshot.port_by_name(port).is_some_and(|port| !port.link_down))
    }

    /// Makes translations and controllers see the states that ports have.
    fn show_states(&self, tree: Option<&Tree>) {
        let protocol = tree.map(|tree| tree.config.protocol);
        let state = |number: u32| {
            let key = key(number);
            tree.zip(key).map(|(tree, key)| tree.machine.state(key)).unwrap_or_default()
        };
        let snapshot = self.bridge.snapshot();
        let differs = |port: &&Arc<Port>| port.tree != state(port.number);
        let mut changed: Vec<(u32, State)> =
            snapshot.ports.values().filter(differs).map(|port| (port.number, port.tree)).collect();
        self.log_states(protocol.or(snapshot.tree), &state);
        if changed.is_empty() && snapshot.tree == protocol {
            return;
        }
        changed.sort_unstable_by_key(|(number, _)| *number);
        let numbers: Vec<u32> = changed.iter().map(|(number, _)| *number).collect();
        self.change_ports(
            &numbers,
            |snapshot| snapshot.tree = protocol,
            |port| port.tree = state(port.number),
        );
        for (number, old) in changed {
            let new = state(number);
            if old.learns() != new.learns() {
                self.forget_addresses(Some(number));
            }
        }
    }

    /// Logs which states have changed. That a port blocked until the tree knew it is not told.
    fn log_states(&self, protocol: Option<Protocol>, state: &dyn Fn(u32) -> State) {
        let snapshot = self.bridge.snapshot();
        let mut logged = self.tree_logged.lock().unwrap_or_else(PoisonError::into_inner);
        logged.retain(|number, _| snapshot.ports.contains_key(number));
        let known = |logged: &BTreeMap<u32, State>, number| logged.get(&number).copied().unwrap_or_default();
        let differs = |port: &&Arc<Port>| known(&logged, port.number) != state(port.number);
        let mut changed: Vec<_> = snapshot.ports.values().filter(differs).collect();
        changed.sort_unstable_by_key(|port| port.number);
        for port in changed {
            let new = state(port.number);
            let old = logged.insert(port.number, new).unwrap_or_default();
            match protocol {
                Some(Protocol::Rstp) => log_state(&port.name, "RSTP", old.rstp_name(), new.rstp_name()),
                _ => log_state(&port.name, "STP", old.stp_name(), new.stp_name()),
            }
        }
    }

    fn forget_addresses(&self, port: Option<u32>) {
        let is_meant = |number: u32| port.is_none_or(|port| port == number);
        if self.bridge.fdb.forget(|entry| !entry.is_static && is_meant(entry.port)) {
            self.bridge.touch();
        }
    }

    /// Sends a message by a port, from the port's own address.
    fn send_message(&self, number: u32, message: &Bpdu) {
        let snapshot = self.bridge.snapshot();
        let Some(port) = snapshot.ports.get(&number) else { return };
        let mac = self.netdev(number).and_then(|netdev| netdev.mac()).unwrap_or(port.mac);
        self.send_by_port(number, &message.frame(mac));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_have_their_own_number_where_it_is_free_and_others_the_least() {
        let mut config = TreeConfig::new(Protocol::Stp, BridgeId::new(0x8000, [2; 6]));
        let asks = |number| TreePort { number: Some(number), ..TreePort::default() };
        for (number, port) in [
            (1, TreePort::default()),
            (2, asks(1)),
            (3, asks(300)),
            (900, TreePort::default()),
            (901, asks(1)),
        ] {
            config.ports.insert(number, port);
        }
        let expected = [(1, 2), (2, 1), (3, 3), (900, 4), (901, 5)];
        assert_eq!(numbers(&config), BTreeMap::from(expected));
        config.ports = (1..=300).map(|number| (number, TreePort::default())).collect();
        assert_eq!(numbers(&config).len(), 255);
    }
}
