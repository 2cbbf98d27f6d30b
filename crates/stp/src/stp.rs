//! The spanning tree of 802.1D-1998 (section 8): procedures 8.6, operation 8.7, management 8.8.
//!
//! ```text
//!              enabled                 chosen              forward delay         forward delay
//!  disabled ------------> blocking ------------> listening ------------> learning ------------> forwarding
//!                            ^                       |                       |                      |
//!                            +----------------------- another port is chosen -----------------------+
//! ```

use std::collections::BTreeMap;

use crate::bpdu::Configuration;
use crate::{Bpdu, BridgeId, Event, Role, State, Times, Vector};

/// Milliseconds between two configurations on a port, at least.
const HOLD_MS: u64 = 1000;
/// Seconds by which a message ages at each bridge.
const AGE_INCREMENT: u16 = 1;

/// What a bridge is told to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Its identifier.
    pub id: BridgeId,
    /// The times it decides on if it is the root.
    pub times: Times,
}

impl Default for Config {
    fn default() -> Self {
        Self { id: BridgeId(0x8000 << 48), times: Times::default() }
    }
}

/// What a port is told to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortConfig {
    /// The first of two ports with the same way to the root, by a lower number.
    pub priority: u8,
    /// Its number for the protocol, 1 to 255.
    pub number: u8,
    /// What its link costs.
    pub path_cost: u16,
    /// Whether there is a link.
    pub enabled: bool,
}

impl Default for PortConfig {
    fn default() -> Self {
        Self { priority: 128, number: 1, path_cost: 19, enabled: true }
    }
}

impl PortConfig {
    fn id(&self) -> u16 {
        u16::from(self.priority) << 8 | u16::from(self.number)
    }
}

/// A port of a bridge.
#[derive(Clone, Debug)]
pub struct Port {
    /// What it is told to be.
    pub config: PortConfig,
    /// What it does with packets.
    pub state: State,
    /// When it came into that state.
    pub since_ms: u64,
    /// What the designated bridge of its link says of the root.
    pub designated: Vector,
    /// Messages sent, taken, and refused.
    pub counters: [u64; 3],
    acknowledges: bool,
    config_pending: bool,
    /// When what was heard is too old. It is as old as the time since it began to be.
    message_age: Option<(u64, u64)>,
    /// When it began to wait for its next state; how long it waits is what the root says in the end.
    waits_since: Option<u64>,
    hold_until: Option<u64>,
}

/// A bridge.
#[derive(Clone, Debug)]
pub struct Stp {
    config: Config,
    root: BridgeId,
    root_path_cost: u32,
    root_port: Option<u16>,
    times: Times,
    change_detected: bool,
    change: bool,
    hello_at: Option<u64>,
    notify_at: Option<u64>,
    change_until: Option<u64>,
    ports: BTreeMap<u16, Port>,
    events: Vec<Event>,
}

impl Stp {
    /// A bridge without ports.
    pub fn new(config: Config, now_ms: u64) -> Self {
        let (id, times) = (config.id, config.times.in_range());
        Self {
            config,
            root: id,
            root_path_cost: 0,
            root_port: None,
            times,
            change_detected: false,
            change: false,
            hello_at: Some(now_ms),
            notify_at: None,
            change_until: None,
            ports: BTreeMap::new(),
            events: Vec::new(),
        }
    }

    /// What the bridge is told to be.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Tells the bridge what to be (sections 8.8.4 and 8.8.7).
    pub fn set_config(&mut self, config: Config, now_ms: u64) {
        if config == self.config {
            return;
        }
        self.observe(now_ms, |this| {
            let was_root = this.is_root();
            let (old, new) = (this.config.id, config.id);
            for port in this.ports.values_mut() {
                if port.designated.bridge == old && port.designated.port == port.config.id() {
                    port.designated.bridge = new;
                }
            }
            this.config = config;
            if was_root {
                this.times = this.config.times.in_range();
                this.root = new;
                for port in this.ports.values_mut().filter(|port| port.designated.root == old) {
                    port.designated.root = new;
                }
            }
            this.update(now_ms);
            this.became_root(was_root, now_ms);
        });
    }

    /// Makes a port what `config` says; `None` takes it away.
    pub fn set_port(&mut self, number: u16, config: Option<PortConfig>, now_ms: u64) {
        let known = self.ports.get(&number).map(|port| &port.config);
        if known == config.as_ref() {
            return;
        }
        self.observe(now_ms, |this| match config {
            None => {
                this.disable(number, now_ms);
                this.ports.remove(&number);
            }
            Some(config) => this.configure_port(number, config, now_ms),
        });
    }

    fn configure_port(&mut self, number: u16, config: PortConfig, now_ms: u64) {
        let vector = self.vector_of(config.id());
        let port = self.ports.entry(number).or_insert_with(|| Port {
            config: PortConfig { enabled: false, ..config.clone() },
            state: State::Disabled,
            since_ms: now_ms,
            designated: vector,
            counters: [0; 3],
            acknowledges: false,
            config_pending: false,
            message_age: None,
            waits_since: None,
            hold_until: None,
        });
        let was_enabled = port.config.enabled;
        let is_mine = port.designated.bridge == self.config.id && port.designated.port == port.config.id();
        if is_mine {
            port.designated.port = config.id();
        }
        let enabled = config.enabled;
        port.config = config;
        match (was_enabled, enabled) {
            (false, true) => {
                port.state = State::Blocking;
                port.designated = vector;
                (port.message_age, port.waits_since, port.hold_until) = (None, None, None);
                (port.acknowledges, port.config_pending) = (false, false);
                self.select_states(now_ms);
            }
            (true, false) => self.disable(number, now_ms),
            _ => self.update(now_ms),
        }
    }

    /// Takes a message that came in by a port.
    pub fn receive(&mut self, number: u16, message: &Bpdu, now_ms: u64) {
        let enabled = self.ports.get(&number).is_some_and(|port| port.state != State::Disabled);
        if !enabled {
            return;
        }
        self.observe(now_ms, |this| {
            if let Some(port) = this.ports.get_mut(&number) {
                port.counters[1] += 1;
            }
            match message {
                Bpdu::Tcn => this.received_tcn(number, now_ms),
                Bpdu::Config(configuration) => this.received_config(number, configuration, now_ms),
                // Bridges of 802.1D-2004 change to STP where they hear it.
                Bpdu::Rapid(..) => {}
            }
        });
    }

    /// Counts a frame to the bridges that was no message.
    pub fn refused(&mut self, number: u16) {
        if let Some(port) = self.ports.get_mut(&number) {
            port.counters[2] += 1;
        }
    }

    /// Does what is due.
    pub fn run(&mut self, now_ms: u64) {
        self.observe(now_ms, |this| {
            let due = |at: Option<u64>| at.is_some_and(|at| at <= now_ms);
            if due(this.hello_at) {
                this.hello_at = Some(now_ms + u64::from(this.times.hello_time) * 1000);
                this.generate(now_ms);
            }
            if due(this.notify_at) {
                this.notify_at = Some(now_ms + u64::from(this.config.times.in_range().hello_time) * 1000);
                this.notify();
            }
            if due(this.change_until) {
                (this.change_until, this.change_detected, this.change) = (None, false, false);
            }
            let numbers: Vec<u16> = this.ports.keys().copied().collect();
            for number in numbers {
                this.run_port(number, now_ms);
            }
        });
    }

    fn run_port(&mut self, number: u16, now_ms: u64) {
        let Some(port) = self.ports.get_mut(&number) else { return };
        let due = |at: Option<u64>| at.is_some_and(|at| at <= now_ms);
        if due(port.hold_until) {
            port.hold_until = None;
            if port.config_pending {
                self.send_config(number, now_ms);
            }
        }
        let Some(port) = self.ports.get_mut(&number) else { return };
        if due(port.message_age.map(|(_, until)| until)) {
            let was_root = self.is_root();
            self.designate(number);
            self.update(now_ms);
            self.became_root(was_root, now_ms);
        }
        let delay = u64::from(self.times.forward_delay) * 1000;
        let Some(port) = self.ports.get_mut(&number) else { return };
        if due(port.waits_since.map(|since| since + delay)) {
            match port.state {
                State::Listening => (port.state, port.waits_since) = (State::Learning, Some(now_ms)),
                _ => {
                    (port.state, port.waits_since) = (State::Forwarding, None);
                    if self.ports.keys().any(|&number| self.is_designated(number)) {
                        self.detect_change(now_ms);
                    }
                }
            }
        }
    }

    /// What is to be done since this was last asked.
    pub fn events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    /// A port.
    pub fn port(&self, number: u16) -> Option<&Port> {
        self.ports.get(&number)
    }

    /// The ports by number.
    pub fn ports(&self) -> impl Iterator<Item = (u16, &Port)> {
        self.ports.iter().map(|(&number, port)| (number, port))
    }

    /// What a port is in the tree.
    pub fn role(&self, number: u16) -> Role {
        match self.ports.get(&number) {
            None => Role::Disabled,
            Some(port) if port.state == State::Disabled => Role::Disabled,
            _ if self.root_port == Some(number) => Role::Root,
            _ if self.is_designated(number) => Role::Designated,
            _ => Role::Alternate,
        }
    }

    /// The root of the tree, as far as the bridge knows.
    pub fn root(&self) -> BridgeId {
        self.root
    }

    /// What the way there costs.
    pub fn root_path_cost(&self) -> u32 {
        self.root_path_cost
    }

    /// The port that leads there.
    pub fn root_port(&self) -> Option<u16> {
        self.root_port
    }

    /// The times of the tree.
    pub fn times(&self) -> Times {
        self.times
    }

    /// Whether the bridge is the root.
    pub fn is_root(&self) -> bool {
        self.root == self.config.id
    }

    /// Makes the bridge believe that the topology changes; false if it has no port that could tell.
    pub fn topology_change(&mut self, now_ms: u64) {
        self.observe(now_ms, |this| this.detect_change(now_ms));
    }

    /// Does something, and tells what ports' states are changed by it.
    fn observe(&mut self, now_ms: u64, act: impl FnOnce(&mut Self)) {
        let before: Vec<(u16, State)> =
            self.ports.iter().map(|(&number, port)| (number, port.state)).collect();
        act(self);
        for (&number, port) in &mut self.ports {
            let old =
                before.iter().find(|(known, _)| *known == number).map_or(State::Disabled, |&(_, old)| old);
            if port.state != old {
                port.since_ms = now_ms;
                self.events.push(Event::State(number, old, port.state));
            }
        }
    }

    fn vector_of(&self, port: u16) -> Vector {
        Vector { root: self.root, cost: self.root_path_cost, bridge: self.config.id, port }
    }

    fn is_designated(&self, number: u16) -> bool {
        self.ports.get(&number).is_some_and(|port| {
            port.designated.bridge == self.config.id && port.designated.port == port.config.id()
        })
    }

    /// Section 8.6.12.
    fn designate(&mut self, number: u16) {
        let (root, cost, bridge) = (self.root, self.root_path_cost, self.config.id);
        if let Some(port) = self.ports.get_mut(&number) {
            port.designated = Vector { root, cost, bridge, port: port.config.id() };
        }
    }

    /// Sections 8.6.7 to 8.6.10, then 8.6.11.
    fn update(&mut self, now_ms: u64) {
        let ways = self.ports.iter().filter(|(number, port)| {
            port.state != State::Disabled
                && !self.is_designated(**number)
                && port.designated.root < self.config.id
        });
        let way = |port: &Port| {
            let cost = port.designated.cost.saturating_add(port.config.path_cost.into());
            (Vector { cost, ..port.designated }, port.config.id())
        };
        let best = ways.map(|(&number, port)| (way(port), number)).min();
        (self.root_port, self.root, self.root_path_cost) = match best {
            Some(((vector, _), number)) => (Some(number), vector.root, vector.cost),
            None => (None, self.config.id, 0),
        };
        let numbers: Vec<u16> = self.ports.keys().copied().collect();
        for number in numbers {
            let Some(port) = self.ports.get(&number) else { continue };
            let mine = self.vector_of(port.config.id());
            let takes = port.designated.root != self.root || mine <= port.designated;
            if self.is_designated(number) || takes {
                self.designate(number);
            }
        }
        self.select_states(now_ms);
    }

    /// Section 8.6.11.
    fn select_states(&mut self, now_ms: u64) {
        let numbers: Vec<u16> = self.ports.keys().copied().collect();
        for number in numbers {
            let designated = self.is_designated(number);
            let is_root = self.root_port == Some(number);
            let Some(port) = self.ports.get_mut(&number).filter(|port| port.state != State::Disabled) else {
                continue;
            };
            if is_root || !designated {
                (port.config_pending, port.acknowledges) = (false, false);
            } else {
                port.message_age = None;
            }
            if is_root || designated {
                if port.state == State::Blocking {
                    (port.state, port.waits_since) = (State::Listening, Some(now_ms));
                }
            } else if port.state != State::Blocking {
                let forwarded = matches!(port.state, State::Learning | State::Forwarding);
                (port.state, port.waits_since) = (State::Blocking, None);
                if forwarded {
                    self.detect_change(now_ms);
                }
            }
        }
    }

    fn disable(&mut self, number: u16, now_ms: u64) {
        let was_root = self.is_root();
        self.designate(number);
        let Some(port) = self.ports.get_mut(&number) else { return };
        let forwarded = port.state == State::Forwarding;
        port.state = State::Disabled;
        (port.acknowledges, port.config_pending) = (false, false);
        (port.message_age, port.waits_since, port.hold_until) = (None, None, None);
        self.events.push(Event::Flush(Some(number)));
        self.update(now_ms);
        self.became_root(was_root, now_ms);
        if forwarded && !self.ports.is_empty() && self.is_root() && was_root {
            // What was learned behind it may be behind another port now.
            self.detect_change(now_ms);
        }
    }

    /// What follows when the bridge has become the root, for want of a better one (section 8.7.3).
    fn became_root(&mut self, was_root: bool, now_ms: u64) {
        if self.is_root() && !was_root {
            self.times = self.config.times.in_range();
            self.detect_change(now_ms);
            self.notify_at = None;
            self.generate(now_ms);
            self.hello_at = Some(now_ms + u64::from(self.times.hello_time) * 1000);
        } else if was_root && !self.is_root() {
            self.hello_at = None;
            if self.change_detected {
                self.change_until = None;
                self.notify();
                self.notify_at = Some(now_ms + u64::from(self.config.times.in_range().hello_time) * 1000);
            }
        }
    }

    /// Section 8.6.14.
    fn detect_change(&mut self, now_ms: u64) {
        if self.is_root() {
            self.change = true;
            let seconds = self.config.times.in_range().max_age + self.config.times.in_range().forward_delay;
            self.change_until = Some(now_ms + u64::from(seconds) * 1000);
            self.events.push(Event::Flush(None));
        } else if !self.change_detected {
            self.notify();
            self.notify_at = Some(now_ms + u64::from(self.config.times.in_range().hello_time) * 1000);
        }
        self.change_detected = true;
    }

    /// Section 8.6.6.
    fn notify(&mut self) {
        if let Some(port) = self.root_port.and_then(|number| self.ports.get_mut(&number)) {
            port.counters[0] += 1;
            self.events.extend(self.root_port.map(|number| Event::Send(number, Bpdu::Tcn)));
        }
    }

    /// Section 8.6.4.
    fn generate(&mut self, now_ms: u64) {
        let numbers: Vec<u16> = self.ports.keys().copied().collect();
        for number in numbers {
            if self.role(number) == Role::Designated {
                self.send_config(number, now_ms);
            }
        }
    }

    /// Section 8.6.1.
    fn send_config(&mut self, number: u16, now_ms: u64) {
        let age = match self.root_port.and_then(|number| self.ports.get(&number)) {
            Some(Port { message_age: Some((since, _)), .. }) => {
                let age = now_ms.saturating_sub(*since) / 1000;
                u16::try_from(age).unwrap_or(u16::MAX).saturating_add(AGE_INCREMENT)
            }
            _ => 0,
        };
        let Some(port) = self.ports.get_mut(&number) else { return };
        if port.hold_until.is_some_and(|until| until > now_ms) {
            port.config_pending = true;
            return;
        }
        if age >= self.times.max_age {
            return;
        }
        let vector = Vector {
            root: self.root,
            cost: self.root_path_cost,
            bridge: self.config.id,
            port: port.config.id(),
        };
        let configuration = Configuration {
            topology_change: self.change,
            topology_change_ack: port.acknowledges,
            vector,
            times: Times { message_age: age, ..self.times },
        };
        (port.acknowledges, port.config_pending) = (false, false);
        port.hold_until = Some(now_ms + HOLD_MS);
        port.counters[0] += 1;
        self.events.push(Event::Send(number, Bpdu::Config(configuration)));
    }

    /// Section 8.7.1.
    fn received_config(&mut self, number: u16, configuration: &Configuration, now_ms: u64) {
        let Some(port) = self.ports.get_mut(&number) else { return };
        let (heard, known) = (configuration.vector, port.designated);
        let way = |vector: Vector| (vector.root, vector.cost, vector.bridge);
        let supersedes = way(heard) < way(known)
            || way(heard) == way(known) && (heard.bridge != self.config.id || heard.port <= known.port);
        if !supersedes {
            if self.role(number) == Role::Designated {
                self.send_config(number, now_ms);
            }
            return;
        }
        let was_root = self.is_root();
        let Some(port) = self.ports.get_mut(&number) else { return };
        port.designated = heard;
        let age = u64::from(configuration.times.message_age) * 1000;
        let max_age = u64::from(configuration.times.in_range().max_age) * 1000;
        let since = now_ms.saturating_sub(age);
        port.message_age = Some((since, now_ms + max_age.saturating_sub(age)));
        self.update(now_ms);
        self.became_root(was_root, now_ms);
        if self.root_port == Some(number) {
            self.times = Times { message_age: 0, ..configuration.times.in_range() };
            self.change = configuration.topology_change;
            if self.change {
                self.events.push(Event::Flush(None));
            }
            self.generate(now_ms);
            if configuration.topology_change_ack {
                (self.change_detected, self.notify_at) = (false, None);
            }
        }
    }

    /// Section 8.7.2.
    fn received_tcn(&mut self, number: u16, now_ms: u64) {
        if self.role(number) != Role::Designated {
            return;
        }
        self.detect_change(now_ms);
        if let Some(port) = self.ports.get_mut(&number) {
            port.acknowledges = true;
        }
        self.send_config(number, now_ms);
    }
}
