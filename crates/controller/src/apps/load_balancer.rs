//! A load balancer: connections to a virtual address are spread over backends.
//!
//! The balancer answers ARP for the virtual address. The first packet of a connection comes here; it gets a backend, the next in
//! turn by weights, and two flows rewrite what follows in both directions. Backends are looked for by ARP, again and again;
//! one that does not answer gets no new connections. What is rewritten goes on to the next app, which finds the backend by its
//! address.

use std::net::Ipv4Addr;

use heddle_flow::{Field, Match};
use heddle_openflow::message::{Command, PacketIn, PacketOut};
use heddle_openflow::{Action, Body, FlowMod, port};
use heddle_wire::arp::ArpOperation;
use heddle_wire::{IpProtocol, MacAddr};
use serde::Deserialize;
use serde_json::{Value, json};

use super::ConfigError;
use super::frames::{Heard, answer, ask, number, read};
use crate::app::{App, Outgoing, Switch, Tables};

/// Priority of the flows of a connection, and of those that bring packets here.
const CONNECTION: u16 = 200;
const HERE: u16 = 100;
/// Time between two questions for a backend, and that after which a silent one is taken for gone.
const ASK_MS: u64 = 5_000;
const GONE_MS: u64 = 16_000;
/// Most services and most backends of each.
const MAX: usize = 1_024;

/// A load balancer's configuration.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// What is balanced.
    pub services: Vec<Service>,
    /// Seconds without a packet after which a connection is forgotten.
    #[serde(default = "idle_timeout")]
    pub idle_timeout: u16,
}

fn idle_timeout() -> u16 {
    60
}

/// A virtual address with what stands behind it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Service {
    /// The virtual address.
    pub address: Ipv4Addr,
    /// The backends.
    pub backends: Vec<Backend>,
}

/// A backend.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Backend {
    /// Its address.
    pub address: Ipv4Addr,
    /// Connections that it gets in turn.
    #[serde(default = "weight")]
    pub weight: u16,
}

fn weight() -> u16 {
    1
}

/// What is known of a backend.
struct Known {
    backend: Backend,
    mac: Option<MacAddr>,
    heard_ms: u64,
    connections: u64,
    /// What it is owed: the one that is owed most is next.
    owed: i64,
}

struct Balanced {
    address: Ipv4Addr,
    mac: MacAddr,
    backends: Vec<Known>,
}

/// The app.
pub struct LoadBalancer {
    place: Tables,
    idle_timeout: u16,
    services: Vec<Balanced>,
    switches: Vec<u64>,
    next_ms: u64,
}

impl LoadBalancer {
    /// A load balancer.
    ///
    /// # Errors
    /// There are too many services or backends.
    pub fn new(place: Tables, config: &Config) -> Result<Self, ConfigError> {
        if config.services.len() > MAX || config.services.iter().any(|service| service.backends.len() > MAX) {
            return Err(ConfigError::Range("there are at most 1024 services and 1024 backends of each"));
        }
        let known = |backend: &Backend| Known {
            backend: backend.clone(),
            mac: None,
            heard_ms: 0,
            connections: 0,
            owed: 0,
        };
        let service = |service: &Service| {
            let [a, b, c, d] = service.address.octets();
            let backends = service.backends.iter().map(known).collect();
            Balanced { address: service.address, mac: MacAddr([0x02, 0x6c, a, b, c, d]), backends }
        };
        let services = config.services.iter().map(service).collect();
        let idle_timeout = config.idle_timeout;
        Ok(Self { place, idle_timeout, services, switches: Vec::new(), next_ms: 0 })
    }

    fn heard(&mut self, dpid: u64, packet: &PacketIn, now_ms: u64) -> Vec<Outgoing> {
        let in_port = packet.matching.key().in_port();
        match read(&packet.data) {
            Some(Heard::Arp(arp)) => {
                for known in self.services.iter_mut().flat_map(|service| &mut service.backends) {
                    if known.backend.address == arp.sender_ip {
                        (known.mac, known.heard_ms) = (Some(arp.sender_mac), now_ms);
                    }
                }
                let asked = self.services.iter().find(|service| service.address == arp.target_ip);
                let frame = asked
                    .filter(|_| arp.operation == ArpOperation::Request)
                    .and_then(|service| answer(service.mac, &arp));
                frame.map(|data| send(dpid, port::CONTROLLER, in_port, data)).into_iter().collect()
            }
            Some(Heard::Ipv4 { packet: ip, .. }) => {
                let connection = Connection::of(ip.src(), ip.protocol(), ip.payload());
                self.begin(dpid, ip.dst(), connection, packet, now_ms)
            }
            None => Vec::new(),
        }
    }

    /// A connection begins: it gets a backend.
    fn begin(
        &mut self,
        dpid: u64,
        address: Ipv4Addr,
        connection: Connection,
        packet: &PacketIn,
        now_ms: u64,
    ) -> Vec<Outgoing> {
        let Some(service) = self.services.iter_mut().find(|service| service.address == address) else {
            return Vec::new();
        };
        let service_address = service.address;
        let Some((mac, backend)) = service.choose(now_ms) else { return Vec::new() };
        let towards = vec![
            Action::SetField { field: Field::EthDst, value: number(mac), mask: number(MacAddr::BROADCAST) },
            set_ip(Field::Ipv4Dst, backend),
        ];
        let back = vec![set_ip(Field::Ipv4Src, service_address)];
        let flow = |matching, actions| {
            let flow = self.place.flow(CONNECTION, matching, actions, true);
            Outgoing::to(dpid, Body::FlowMod(FlowMod { idle_timeout: self.idle_timeout, ..flow }))
        };
        let first = PacketOut {
            in_port: packet.matching.key().in_port(),
            actions: vec![Action::Output { port: port::TABLE, max_len: 0 }],
            data: packet.data.clone(),
            ..PacketOut::default()
        };
        vec![
            flow(connection.towards(service_address), towards),
            flow(connection.back(backend), back),
            Outgoing::to(dpid, Body::BarrierRequest),
            Outgoing::to(dpid, Body::PacketOut(first)),
        ]
    }

    /// Questions for every backend, to be asked of every switch.
    fn search(&self) -> Vec<Outgoing> {
        let mut out = Vec::new();
        for service in &self.services {
            for known in &service.backends {
                let Some(frame) = ask(service.mac, service.address, known.backend.address) else { continue };
                let told = |&dpid: &u64| send(dpid, port::CONTROLLER, port::ALL, frame.clone());
                out.extend(self.switches.iter().map(told));
            }
        }
        out
    }
}

impl Balanced {
    /// The backend that is next, by smooth weighted round robin.
    fn choose(&mut self, now_ms: u64) -> Option<(MacAddr, Ipv4Addr)> {
        let is_there = |known: &Known| known.mac.is_some() && now_ms < known.heard_ms + GONE_MS;
        let total: i64 = self
            .backends
            .iter()
            .filter(|known| is_there(known))
            .map(|known| i64::from(known.backend.weight))
            .sum();
        let there = self.backends.iter_mut().filter(|known| is_there(known) && known.backend.weight > 0);
        let mut chosen: Option<&mut Known> = None;
        for known in there {
            known.owed += i64::from(known.backend.weight);
            if chosen.as_ref().is_none_or(|best| best.owed < known.owed) {
                chosen = Some(known);
            }
        }
        let chosen = chosen?;
        chosen.owed -= total;
        chosen.connections += 1;
        Some((chosen.mac?, chosen.backend.address))
    }
}

/// What tells connections to a service apart: the client, and ports where the protocol has them.
#[derive(Clone, Copy)]
struct Connection {
    client: Ipv4Addr,
    protocol: IpProtocol,
    ports: Option<(u16, u16)>,
}

impl Connection {
    fn of(client: Ipv4Addr, protocol: IpProtocol, payload: &[u8]) -> Self {
        let has_ports = matches!(protocol, IpProtocol::TCP | IpProtocol::UDP | IpProtocol::SCTP);
        let ports = payload.first_chunk().filter(|_| has_ports);
        let ports = ports.map(|&[a, b, c, d]| (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])));
        Self { client, protocol, ports }
    }

    fn fields(&self) -> Option<(Field, Field)> {
        match self.protocol {
            IpProtocol::TCP => Some((Field::TcpSrc, Field::TcpDst)),
            IpProtocol::UDP => Some((Field::UdpSrc, Field::UdpDst)),
            IpProtocol::SCTP => Some((Field::SctpSrc, Field::SctpDst)),
            _ => None,
        }
    }

    fn protocol(&self) -> Match {
        let mut matching = ipv4();
        matching.set(Field::NwProto, self.protocol.0.into());
        matching
    }

    /// Its packets from the client.
    fn towards(&self, service: Ipv4Addr) -> Match {
        let mut matching = self.protocol();
        matching.set(Field::Ipv4Src, u32::from(self.client).into());
        matching.set(Field::Ipv4Dst, u32::from(service).into());
        if let Some(((src, dst), (from, to))) = self.fields().zip(self.ports) {
            matching.set(src, from.into());
            matching.set(dst, to.into());
        }
        matching
    }

    /// Its packets from the backend.
    fn back(&self, backend: Ipv4Addr) -> Match {
        let mut matching = self.protocol();
        matching.set(Field::Ipv4Src, u32::from(backend).into());
        matching.set(Field::Ipv4Dst, u32::from(self.client).into());
        if let Some(((src, dst), (from, to))) = self.fields().zip(self.ports) {
            matching.set(src, to.into());
            matching.set(dst, from.into());
        }
        matching
    }
}

fn ipv4() -> Match {
    let mut matching = Match::default();
    matching.set(Field::EthType, 0x0800);
    matching
}

fn set_ip(field: Field, address: Ipv4Addr) -> Action {
    Action::SetField { field, value: u32::from(address).into(), mask: u32::MAX.into() }
}

fn send(dpid: u64, in_port: u32, to: u32, data: Vec<u8>) -> Outgoing {
    let actions = vec![Action::Output { port: to, max_len: 0 }];
    Outgoing::to(dpid, Body::PacketOut(PacketOut { in_port, actions, data, ..PacketOut::default() }))
}

impl App for LoadBalancer {
    fn connected(&mut self, switch: &Switch, _now_ms: u64) -> Vec<Outgoing> {
        let dpid = switch.datapath_id;
        self.switches.push(dpid);
        let here = || vec![Action::Output { port: port::CONTROLLER, max_len: u16::MAX }];
        let told = |flow| Outgoing::to(dpid, Body::FlowMod(flow));
        let mut out = vec![
            told(FlowMod { command: Command::Delete, table_id: self.place.own, ..FlowMod::default() }),
            told(self.place.flow(0, Match::default(), Vec::new(), true)),
        ];
        for service in &self.services {
            let address = u32::from(service.address).into();
            let mut asked = Match::default();
            asked.set(Field::EthType, 0x0806);
            asked.set(Field::ArpTpa, address);
            let mut used = ipv4();
            used.set(Field::Ipv4Dst, address);
            // What backends answer to the balancer is for it alone, and so is what is asked for the address.
            out.push(told(self.place.flow(HERE, asked, here(), false)));
            out.push(told(self.place.flow(HERE, used, here(), false)));
        }
        out.extend(self.search().into_iter().filter(|outgoing| outgoing.datapath_id == dpid));
        out
    }

    fn received(&mut self, switch: &Switch, body: &Body, now_ms: u64) -> Vec<Outgoing> {
        match body {
            Body::PacketIn(packet) if packet.table_id == self.place.own => {
                self.heard(switch.datapath_id, packet, now_ms)
            }
            _ => Vec::new(),
        }
    }

    fn ticked(&mut self, now_ms: u64) -> Vec<Outgoing> {
        if now_ms < self.next_ms {
            return Vec::new();
        }
        self.next_ms = now_ms + ASK_MS;
        self.search()
    }

    fn deadline(&self) -> Option<u64> {
        (!self.switches.is_empty()).then_some(self.next_ms)
    }

    fn state(&self, now_ms: u64) -> Option<(&'static str, Value)> {
        let backend = |known: &Known| {
            json!({
                "address": known.backend.address, "weight": known.backend.weight, "connections": known.connections,
                "mac": known.mac.map(|mac| mac.to_string()),
                "answers": known.mac.is_some() && now_ms < known.heard_ms + GONE_MS,
            })
        };
        let service = |service: &Balanced| {
            let backends: Vec<Value> = service.backends.iter().map(backend).collect();
            json!({ "address": service.address, "mac": service.mac.to_string(), "backends": backends })
        };
        let services: Vec<Value> = self.services.iter().map(service).collect();
        Some(("load-balancer", json!({ "services": services })))
    }

    fn disconnected(&mut self, switch: &Switch) {
        self.switches.retain(|&dpid| dpid != switch.datapath_id);
    }
}
