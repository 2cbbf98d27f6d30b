//! The rapid spanning tree of 802.1D-2004 (section 17): state machines that run until none of them has anything to do.
//!
//! Each port has machines for receiving, protocol migration, bridge detection, port information, port role transitions, port
//! state transitions, topology changes and transmission; the bridge has one that selects roles. Timers count seconds
//! (section 17.22). The files below hold the machines, by the standard's names; names of variables are the standard's
//! too, as Rust writes them.
//!
//! There is one time at which the standard's RSTP may close a loop: when bridges that have more than one way among
//! themselves lose every way to the root, what they have heard of it goes around between them until it has aged, at one
//! bridge a time, and agreements with it go around too. It ends within `MaxAge` such steps.

mod information;
mod port;
mod roles;
mod topology;
mod transitions;
mod transmit;

use std::collections::BTreeMap;

use crate::{Bpdu, BridgeId, Event, Role, State, Times, Vector};

pub use port::{Port, PortConfig};

/// Seconds for which a port that changes its protocol sticks to it.
const MIGRATE_TIME: u16 = 3;
/// Rounds of all machines for one event: each port passes through a few states, and may pass them on to every other.
const ROUNDS_A_PORT: usize = 32;

/// What a bridge is told to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Its identifier.
    pub id: BridgeId,
    /// The times it decides on if it is the root.
    pub times: Times,
    /// Messages that a port may send in a second.
    pub transmit_hold_count: u8,
    /// Whether it speaks STP alone.
    pub force_stp: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self { id: BridgeId(0x8000 << 48), times: Times::default(), transmit_hold_count: 6, force_stp: false }
    }
}

/// A bridge.
#[derive(Clone, Debug)]
pub struct Rstp {
    config: Config,
    root_priority: Vector,
    root_times: Times,
    root_port: Option<u16>,
    ports: BTreeMap<u16, Port>,
    next_tick_ms: u64,
    events: Vec<Event>,
}

impl Rstp {
    /// A bridge without ports.
    pub fn new(config: Config, now_ms: u64) -> Self {
        let root_priority = Vector { root: config.id, cost: 0, bridge: config.id, port: 0 };
        let root_times = config.times.in_range();
        Self {
            config,
            root_priority,
            root_times,
            root_port: None,
            ports: BTreeMap::new(),
            next_tick_ms: now_ms + 1000,
            events: Vec::new(),
        }
    }

    /// What the bridge is told to be.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Tells the bridge what to be.
    pub fn set_config(&mut self, config: Config, now_ms: u64) {
        if config == self.config {
            return;
        }
        let forced = config.force_stp != self.config.force_stp;
        self.config = config;
        let rapid = self.is_rapid();
        for port in self.ports.values_mut() {
            if forced {
                port.restart_migration(rapid);
            }
        }
        self.update_roles();
        self.settle(now_ms);
    }

    /// Makes a port what `config` says; `None` takes it away.
    pub fn set_port(&mut self, number: u16, config: Option<PortConfig>, now_ms: u64) {
        let rapid = self.is_rapid();
        match config {
            None => {
                if self.ports.remove(&number).is_none() {
                    return;
                }
                self.events.push(Event::Flush(Some(number)));
                self.update_roles();
            }
            Some(config) => match self.ports.get_mut(&number) {
                Some(port) if port.config == config => return,
                Some(port) => port.configure(config, rapid),
                None => {
                    let times = self.root_times;
                    self.ports.insert(number, Port::new(config, times, rapid, now_ms));
                }
            },
        }
        self.settle(now_ms);
    }

    /// Takes a message that came in by a port.
    pub fn receive(&mut self, number: u16, message: &Bpdu, now_ms: u64) {
        let rapid = self.is_rapid();
        let Some(port) = self.ports.get_mut(&number) else { return };
        port.rx_count += 1;
        if !port.config.enabled {
            return;
        }
        port.take(message, rapid);
        self.settle(now_ms);
    }

    /// Counts a frame to the bridges that was no message.
    pub fn refused(&mut self, number: u16) {
        if let Some(port) = self.ports.get_mut(&number) {
            port.error_count += 1;
        }
    }

    /// Asks a port to try whether its neighbours speak RSTP again.
    pub fn check_protocol(&mut self, number: u16, now_ms: u64) {
        if let Some(port) = self.ports.get_mut(&number) {
            port.mcheck = true;
        }
        self.settle(now_ms);
    }

    /// Lets time pass. Of a long time that nobody has asked, what is due is done at once.
    pub fn run(&mut self, now_ms: u64) {
        // More than this changes nothing: every timer has run out by then.
        let most = 2 * u64::from(u8::MAX);
        let due = (now_ms + 1000).saturating_sub(self.next_tick_ms) / 1000;
        for _ in 0..due.min(most) {
            for port in self.ports.values_mut() {
                port.tick();
            }
            self.settle(now_ms);
        }
        self.next_tick_ms += due * 1000;
    }

    /// What is to be done since this was last asked.
    pub fn events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    /// What a port is in the tree.
    pub fn role(&self, number: u16) -> Role {
        self.ports.get(&number).map_or(Role::Disabled, |port| port.role)
    }

    /// A port.
    pub fn port(&self, number: u16) -> Option<&Port> {
        self.ports.get(&number)
    }

    /// The ports by number.
    pub fn ports(&self) -> impl Iterator<Item = (u16, &Port)> {
        self.ports.iter().map(|(&number, port)| (number, port))
    }

    /// The root of the tree, as far as the bridge knows.
    pub fn root(&self) -> BridgeId {
        self.root_priority.root
    }

    /// The bridge's way to the root: that of the root port's designated bridge, with what the bridge's own link costs.
    pub fn root_priority(&self) -> Vector {
        self.root_priority
    }

    /// The port that leads there.
    pub fn root_port(&self) -> Option<u16> {
        self.root_port
    }

    /// The times of the tree.
    pub fn times(&self) -> Times {
        self.root_times
    }

    /// Whether the bridge is the root.
    pub fn is_root(&self) -> bool {
        self.root() == self.config.id
    }

    /// Makes the bridge believe that the topology changes.
    pub fn topology_change(&mut self, now_ms: u64) {
        for port in self.ports.values_mut() {
            port.detected_change();
        }
        self.settle(now_ms);
    }

    /// Whether RSTP is spoken at all (`rstpVersion`).
    fn is_rapid(&self) -> bool {
        !self.config.force_stp
    }

    /// Runs every machine until none has anything to do.
    fn settle(&mut self, now_ms: u64) {
        let numbers: Vec<u16> = self.ports.keys().copied().collect();
        for _ in 0..ROUNDS_A_PORT * (numbers.len() + 1) {
            let mut moved = false;
            for &number in &numbers {
                moved |= self.step_port(number, now_ms);
            }
            moved |= self.select_roles();
            if !moved {
                break;
            }
        }
        // Messages leave when all is decided, so that they say what is, and none is sent twice.
        for number in numbers {
            self.transmit(number);
        }
    }

    /// One step of each of a port's machines; whether any was taken.
    fn step_port(&mut self, number: u16, now_ms: u64) -> bool {
        let rapid = self.is_rapid();
        let mut moved = false;
        if let Some(port) = self.ports.get_mut(&number) {
            moved |= port.step_migration(rapid);
            moved |= port.step_detection();
        }
        moved |= self.step_information(number);
        moved |= self.step_role(number);
        moved |= self.step_state(number, now_ms);
        moved |= self.step_topology(number);
        moved
    }

    /// The port state transition machine (section 17.30).
    fn step_state(&mut self, number: u16, now_ms: u64) -> bool {
        let Some(port) = self.ports.get_mut(&number) else { return false };
        (port.learning, port.forwarding) = (port.learn, port.learn && port.forward);
        let state = match (port.learning, port.forwarding) {
            (false, _) => State::Blocking,
            (true, false) => State::Learning,
            (true, true) => State::Forwarding,
        };
        if state == port.state {
            return false;
        }
        let old = std::mem::replace(&mut port.state, state);
        port.since_ms = now_ms;
        self.events.push(Event::State(number, old, state));
        true
    }

    /// Does something with every port but one (`setSyncTree` and its like do it with all).
    fn with_others(&mut self, number: u16, act: impl Fn(&mut Port)) {
        self.ports.iter_mut().filter(|(other, _)| **other != number).for_each(|(_, port)| act(port));
    }
}
