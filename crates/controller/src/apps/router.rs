//! Routers between subnets, with static routes: each switch that is configured is one.
//!
//! A router has addresses, one in each subnet, and one Ethernet address. It answers ARP and pings for its addresses; what is
//! sent to its Ethernet address it routes: to a neighbour in one of its subnets, or by the longest matching route. Neighbours are
//! asked for by ARP, and packets wait for the answer, some of them. Once a neighbour is known a flow routes to it. What a router
//! cannot deliver is told to the sender by ICMP. Everything else goes on to the next app, so that a learning switch behind
//! it joins the hosts of a subnet.

use std::collections::{BTreeMap, HashMap};
use std::net::Ipv4Addr;

use heddle_flow::{Field, Match};
use heddle_openflow::message::{Command, PacketIn, PacketOut};
use heddle_openflow::{Action, Body, FlowMod, port};
use heddle_wire::MacAddr;
use heddle_wire::arp::{ArpOperation, ArpRepr};
use serde::Deserialize;
use serde_json::{Value, json};

use super::frames::{Heard, answer, ask, number, read};
use crate::app::{App, Outgoing, Switch, Tables};

mod icmp;

/// Priorities: what is for the router itself, packets whose time is over, routes by twice
/// their length, what it has no way for, and what is not IPv4.
const OWN: u16 = 1_000;
const SPENT: u16 = 900;
const ROUTE: u16 = 200;
const NO_ROUTE: u16 = 100;
const OTHER: u16 = 50;
/// Neighbours that a router knows, packets that wait for one, and packets that wait in all.
const MAX_NEIGHBOURS: usize = 16_384;
const MAX_WAITING: usize = 16;
const MAX_WAITING_IN_ALL: usize = 1_024;
/// Time between two questions for a neighbour, and how often it is asked for.
const ASK_MS: u64 = 1_000;
const ASKS: u8 = 3;
/// Seconds without a packet after which the flow to a neighbour goes.
const IDLE: u16 = 300;

/// An IPv4 address with the length of its subnet's prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Prefix {
    /// The address.
    pub address: Ipv4Addr,
    /// The prefix's length in bits.
    pub length: u8,
}

impl TryFrom<String> for Prefix {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if text == "default" {
            return Ok(Self { address: Ipv4Addr::UNSPECIFIED, length: 0 });
        }
        let parsed = text.split_once('/').and_then(|(address, length)| {
            let prefix = Self { address: address.parse().ok()?, length: length.parse().ok()? };
            (prefix.length <= 32).then_some(prefix)
        });
        parsed.ok_or_else(|| format!("{text:?} is not an address with its prefix, such as 10.0.1.1/24"))
    }
}

impl Prefix {
    fn mask(self) -> u32 {
        u32::MAX.checked_shl(32 - u32::from(self.length)).unwrap_or(0)
    }

    fn contains(self, address: Ipv4Addr) -> bool {
        (u32::from(self.address) ^ u32::from(address)) & self.mask() == 0
    }

    /// Packets to its subnet.
    fn matching(self, mac: MacAddr) -> Match {
        let mut matching = routed(mac);
        if self.length > 0 {
            let network = u32::from(self.address) & self.mask();
            matching.set_masked(Field::Ipv4Dst, network.into(), self.mask().into());
        }
        matching
    }
}

/// A static route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// Where to.
    pub to: Prefix,
    /// By which neighbour.
    pub via: Ipv4Addr,
}

/// What a router has.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Subnets {
    /// Its addresses, one in each subnet.
    pub addresses: Vec<Prefix>,
    /// Its routes.
    #[serde(default)]
    pub routes: Vec<Route>,
}

/// Routers' configuration: by datapath id.
pub type Config = BTreeMap<u64, Subnets>;

/// What is known of a neighbour.
enum Neighbour {
    /// It answered.
    Known { mac: MacAddr, port: u32 },
    /// It is asked for: packets wait, with the port that each came in by.
    Asked { asks: u8, next_ms: u64, waiting: Vec<(u32, Vec<u8>)> },
}

/// One router.
struct Instance {
    mac: MacAddr,
    subnets: Subnets,
    neighbours: HashMap<Ipv4Addr, Neighbour>,
    connected: bool,
}

impl Instance {
    fn is_own(&self, address: Ipv4Addr) -> bool {
        self.subnets.addresses.iter().any(|own| own.address == address)
    }

    /// The router's own address in the subnet of another.
    fn address_beside(&self, other: Ipv4Addr) -> Option<Ipv4Addr> {
        let beside = self.subnets.addresses.iter().filter(|own| own.contains(other));
        beside.max_by_key(|own| own.length).map(|own| own.address)
    }

    /// The neighbour that packets to an address go to.
    fn next_hop(&self, to: Ipv4Addr) -> Option<Ipv4Addr> {
        if self.address_beside(to).is_some() {
            return Some(to);
        }
        let routes = self.subnets.routes.iter().filter(|route| route.to.contains(to));
        routes.max_by_key(|route| route.to.length).map(|route| route.via)
    }

    /// Packets that wait for neighbours.
    fn waiting(&self) -> usize {
        let count = |neighbour: &Neighbour| match neighbour {
            Neighbour::Known { .. } => 0,
            Neighbour::Asked { waiting, .. } => waiting.len(),
        };
        self.neighbours.values().map(count).sum()
    }

    /// Actions that send a packet on to a neighbour.
    fn forward(&self, neighbour: MacAddr, out_port: u32) -> Vec<Action> {
        let set = |field, address| Action::SetField {
            field,
            value: number(address),
            mask: number(MacAddr::BROADCAST),
        };
        vec![
            Action::DecTtl,
            set(Field::EthSrc, self.mac),
            set(Field::EthDst, neighbour),
            Action::Output { port: out_port, max_len: 0 },
        ]
    }

    /// Flows that route a prefix to a neighbour: one for the port that it is behind, to which a packet goes back by another word.
    fn flows(&self, place: Tables, to: Prefix, mac: MacAddr, out_port: u32, idle: u16) -> [FlowMod; 2] {
        let priority = ROUTE + 2 * u16::from(to.length);
        let mut same = to.matching(self.mac);
        same.set(Field::InPort, out_port.into());
        let flow = |priority, matching, out_port| FlowMod {
            idle_timeout: idle,
            ..place.flow(priority, matching, self.forward(mac, out_port), false)
        };
        [flow(priority, to.matching(self.mac), out_port), flow(priority + 1, same, port::IN_PORT)]
    }

    /// What the flows are before anything is known.
    fn first_flows(&self, place: Tables) -> Vec<FlowMod> {
        let here = |priority, matching| {
            let actions = vec![Action::Output { port: port::CONTROLLER, max_len: u16::MAX }];
            place.flow(priority, matching, actions, false)
        };
        let mut flows = vec![
            FlowMod { command: Command::Delete, table_id: place.own, ..FlowMod::default() },
            place.flow(0, Match::default(), Vec::new(), true),
        ];
        let mut mine = Match::default();
        mine.set(Field::EthDst, number(self.mac));
        flows.push(place.flow(OTHER, mine, Vec::new(), false));
        flows.push(here(NO_ROUTE, routed(self.mac)));
        for ttl in [0, 1] {
            let mut spent = routed(self.mac);
            spent.set(Field::NwTtl, ttl);
            flows.push(here(SPENT, spent));
        }
        for own in &self.subnets.addresses {
            let mut asked = Match::default();
            asked.set(Field::EthType, 0x0806);
            asked.set(Field::ArpTpa, u32::from(own.address).into());
            flows.push(here(OWN, asked));
            flows.push(here(OWN, Prefix { address: own.address, length: 32 }.matching(self.mac)));
            flows.push(here(ROUTE + 2 * u16::from(own.length), own.matching(self.mac)));
        }
        flows
    }
}

/// IPv4 packets for a router to route.
fn routed(mac: MacAddr) -> Match {
    let mut matching = Match::default();
    matching.set(Field::EthDst, number(mac));
    matching.set(Field::EthType, 0x0800);
    matching
}

/// The app.
pub struct Router {
    place: Tables,
    routers: BTreeMap<u64, Instance>,
}

/// What a router says while it works on something that it heard.
struct Saying {
    dpid: u64,
    out: Vec<Outgoing>,
}

impl Saying {
    fn flow(&mut self, flow: FlowMod) {
        self.out.push(Outgoing::to(self.dpid, Body::FlowMod(flow)));
    }

    /// A frame of the router's own.
    fn send(&mut self, to: u32, frame: Option<Vec<u8>>) {
        if let Some(data) = frame {
            self.packet(port::CONTROLLER, vec![Action::Output { port: to, max_len: 0 }], data);
        }
    }

    fn packet(&mut self, in_port: u32, actions: Vec<Action>, data: Vec<u8>) {
        let packet = PacketOut { in_port, actions, data, ..PacketOut::default() };
        self.out.push(Outgoing::to(self.dpid, Body::PacketOut(packet)));
    }
}

impl Router {
    /// Routers of these switches.
    pub fn new(place: Tables, config: &Config) -> Self {
        let instance = |dpid: u64, subnets: &Subnets| {
            let [.., a, b, c, d] = dpid.to_be_bytes();
            let (mac, subnets) = (MacAddr([0x02, 0x72, a, b, c, d]), subnets.clone());
            Instance { mac, subnets, neighbours: HashMap::new(), connected: false }
        };
        let routers = config.iter().map(|(&dpid, subnets)| (dpid, instance(dpid, subnets)));
        Self { place, routers: routers.collect() }
    }
}

impl Instance {
    fn heard(&mut self, place: Tables, packet: &PacketIn, now_ms: u64, saying: &mut Saying) {
        let in_port = packet.matching.key().in_port();
        match read(&packet.data) {
            Some(Heard::Arp(arp)) => self.heard_arp(place, in_port, &arp, saying),
            Some(Heard::Ipv4 { src, packet: ip, .. }) if self.is_own(ip.dst()) => {
                let reply = icmp::reply(self.mac, src, &ip);
                saying.send(in_port, reply);
            }
            Some(Heard::Ipv4 { .. }) => self.route(place, in_port, &packet.data, now_ms, saying),
            None => {}
        }
    }

    fn heard_arp(&mut self, place: Tables, in_port: u32, arp: &ArpRepr, saying: &mut Saying) {
        if arp.operation == ArpOperation::Request && self.is_own(arp.target_ip) {
            saying.send(in_port, answer(self.mac, arp));
        }
        let is_neighbour = self.address_beside(arp.sender_ip).is_some() && !self.is_own(arp.sender_ip);
        if is_neighbour && arp.sender_mac.is_unicast() {
            self.learn(place, arp.sender_ip, arp.sender_mac, in_port, saying);
        }
    }

    /// A neighbour is known: flows route to it, and what waited goes.
    fn learn(&mut self, place: Tables, address: Ipv4Addr, mac: MacAddr, out_port: u32, saying: &mut Saying) {
        if self.neighbours.len() >= MAX_NEIGHBOURS && !self.neighbours.contains_key(&address) {
            return;
        }
        let before = self.neighbours.insert(address, Neighbour::Known { mac, port: out_port });
        let waiting = match before {
            Some(Neighbour::Known { mac: old, port: place }) if (old, place) == (mac, out_port) => return,
            Some(Neighbour::Asked { waiting, .. }) => waiting,
            _ => Vec::new(),
        };
        self.install(place, address, mac, out_port, saying);
        for (in_port, frame) in waiting {
            let to = if in_port == out_port { port::IN_PORT } else { out_port };
            saying.packet(in_port, self.forward(mac, to), frame);
        }
    }

    fn install(&self, place: Tables, address: Ipv4Addr, mac: MacAddr, out_port: u32, saying: &mut Saying) {
        let host = Prefix { address, length: 32 };
        self.flows(place, host, mac, out_port, IDLE).into_iter().for_each(|flow| saying.flow(flow));
        for route in self.subnets.routes.iter().filter(|route| route.via == address) {
            self.flows(place, route.to, mac, out_port, 0).into_iter().for_each(|flow| saying.flow(flow));
        }
    }

    /// Sends a packet on, or asks for the neighbour that it goes to.
    fn route(&mut self, place: Tables, in_port: u32, frame: &[u8], now_ms: u64, saying: &mut Saying) {
        let Some(Heard::Ipv4 { packet: ip, .. }) = read(frame) else { return };
        if ip.ttl() <= 1 {
            return self.refuse(in_port, frame, icmp::TIME_EXCEEDED, saying);
        }
        let next = self.next_hop(ip.dst());
        let Some((next, own)) = next.and_then(|next| Some((next, self.address_beside(next)?))) else {
            return self.refuse(in_port, frame, icmp::NETWORK_UNREACHABLE, saying);
        };
        let is_full = self.waiting() >= MAX_WAITING_IN_ALL;
        let has_room = self.neighbours.len() < MAX_NEIGHBOURS;
        match self.neighbours.get_mut(&next) {
            Some(&mut Neighbour::Known { mac, port: out_port }) => {
                self.install(place, next, mac, out_port, saying);
                let to = if in_port == out_port { port::IN_PORT } else { out_port };
                saying.packet(in_port, self.forward(mac, to), frame.to_vec());
            }
            Some(Neighbour::Asked { waiting, .. }) if waiting.len() < MAX_WAITING && !is_full => {
                waiting.push((in_port, frame.to_vec()));
            }
            None if has_room => {
                let waiting = if is_full { vec![] } else { vec![(in_port, frame.to_vec())] };
                let asked = Neighbour::Asked { asks: 1, next_ms: now_ms + ASK_MS, waiting };
                self.neighbours.insert(next, asked);
                saying.send(port::ALL, ask(self.mac, own, next));
            }
            _ => {}
        }
    }

    /// Tells the sender of a packet why it does not arrive.
    fn refuse(&self, in_port: u32, frame: &[u8], why: icmp::Why, saying: &mut Saying) {
        let Some(Heard::Ipv4 { src, packet, bytes }) = read(frame) else { return };
        let first = || self.subnets.addresses.first().map(|own| own.address);
        let Some(own) = self.address_beside(packet.src()).or_else(first) else { return };
        saying.send(in_port, icmp::error((self.mac, own), src, &packet, bytes, why));
    }

    /// Asks again for neighbours that have not answered, and gives up those that were asked for often enough.
    fn ticked(&mut self, now_ms: u64, saying: &mut Saying) {
        let mut silent = Vec::new();
        let mut again = Vec::new();
        for (&address, neighbour) in &mut self.neighbours {
            match neighbour {
                Neighbour::Asked { asks, next_ms, .. } if *next_ms <= now_ms => {
                    if *asks >= ASKS {
                        silent.push(address);
                    } else {
                        (*asks, *next_ms) = (*asks + 1, now_ms + ASK_MS);
                        again.push(address);
                    }
                }
                _ => {}
            }
        }
        for address in again {
            let own = self.address_beside(address);
            saying.send(port::ALL, own.and_then(|own| ask(self.mac, own, address)));
        }
        for address in silent {
            if let Some(Neighbour::Asked { waiting, .. }) = self.neighbours.remove(&address) {
                for (in_port, frame) in waiting {
                    self.refuse(in_port, &frame, icmp::HOST_UNREACHABLE, saying);
                }
            }
        }
    }
}

impl App for Router {
    fn connected(&mut self, switch: &Switch, now_ms: u64) -> Vec<Outgoing> {
        let mut saying = Saying { dpid: switch.datapath_id, out: Vec::new() };
        let Some(router) = self.routers.get_mut(&switch.datapath_id) else {
            saying.flow(self.place.flow(0, Match::default(), Vec::new(), true));
            return saying.out;
        };
        (router.connected, router.neighbours) = (true, HashMap::new());
        router.first_flows(self.place).into_iter().for_each(|flow| saying.flow(flow));
        for via in router.subnets.routes.iter().map(|route| route.via).collect::<Vec<_>>() {
            let own = router.address_beside(via);
            saying.send(port::ALL, own.and_then(|own| ask(router.mac, own, via)));
            let asked = Neighbour::Asked { asks: 1, next_ms: now_ms + ASK_MS, waiting: vec![] };
            router.neighbours.insert(via, asked);
        }
        saying.out
    }

    fn received(&mut self, switch: &Switch, body: &Body, now_ms: u64) -> Vec<Outgoing> {
        let mut saying = Saying { dpid: switch.datapath_id, out: Vec::new() };
        let Some(router) = self.routers.get_mut(&switch.datapath_id) else { return saying.out };
        match body {
            Body::PacketIn(packet) if packet.table_id == self.place.own => {
                router.heard(self.place, packet, now_ms, &mut saying);
            }
            Body::PortStatus(reason, desc) if *reason == 1 || desc.state & port::state::LINK_DOWN != 0 => {
                let behind = |neighbour: &Neighbour| matches!(neighbour, Neighbour::Known { port, .. } if *port == desc.number);
                router.neighbours.retain(|_, neighbour| !behind(neighbour));
                let (command, table_id) = (Command::Delete, self.place.own);
                saying.flow(FlowMod { command, table_id, out_port: desc.number, ..FlowMod::default() });
            }
            _ => {}
        }
        saying.out
    }

    fn ticked(&mut self, now_ms: u64) -> Vec<Outgoing> {
        let mut out = Vec::new();
        for (&dpid, router) in self.routers.iter_mut().filter(|(_, router)| router.connected) {
            let mut saying = Saying { dpid, out };
            router.ticked(now_ms, &mut saying);
            out = saying.out;
        }
        out
    }

    fn deadline(&self) -> Option<u64> {
        let asked = |neighbour: &Neighbour| match neighbour {
            Neighbour::Asked { next_ms, .. } => Some(*next_ms),
            Neighbour::Known { .. } => None,
        };
        let connected = self.routers.values().filter(|router| router.connected);
        connected.flat_map(|router| router.neighbours.values().filter_map(asked)).min()
    }

    fn state(&self, _now_ms: u64) -> Option<(&'static str, Value)> {
        let neighbour = |(address, neighbour): (&Ipv4Addr, &Neighbour)| match neighbour {
            Neighbour::Known { mac, port } => {
                json!({ "address": address, "mac": mac.to_string(), "port": port })
            }
            Neighbour::Asked { asks, waiting, .. } => {
                json!({ "address": address, "asked": asks, "waiting": waiting.len() })
            }
        };
        let router = |router: &Instance| {
            let text = |prefix: &Prefix| format!("{}/{}", prefix.address, prefix.length);
            let addresses: Vec<String> = router.subnets.addresses.iter().map(text).collect();
            let route = |route: &Route| json!({ "to": text(&route.to), "via": route.via });
            json!({
                "mac": router.mac.to_string(),
                "connected": router.connected,
                "addresses": addresses,
                "routes": router.subnets.routes.iter().map(route).collect::<Vec<_>>(),
                "neighbours": router.neighbours.iter().map(neighbour).collect::<Vec<_>>(),
            })
        };
        let routers = self.routers.iter().map(|(dpid, instance)| (dpid.to_string(), router(instance)));
        Some(("router", Value::Object(routers.collect())))
    }

    fn disconnected(&mut self, switch: &Switch) {
        if let Some(router) = self.routers.get_mut(&switch.datapath_id) {
            (router.connected, router.neighbours) = (false, HashMap::new());
        }
    }
}
