//! The bridges of a process, over one datapath.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use heddle_datapath::{Clock, Datapath, Engine};
use heddle_flow::{FlowKey, Match, PacketKey};
use heddle_netdev::{Dummy, DummyHandle, Netdev, NetdevError, PacketDevice, Tap};
use heddle_openflow::message::FlowRemoved;
use heddle_openflow::multipart::PortStats;
use heddle_openflow::{Action, FlowMod, OfError, PortDesc, port};
use heddle_pipeline::consistency::Known;
use heddle_pipeline::flow_mod::flow_removed;
use heddle_pipeline::{Attachment, Bridge, Network, PacketIn, Pipeline, Place, Port, Translation};
use heddle_wire::Packet;
use tokio::sync::broadcast;

use crate::config::{BridgeConfig, FailMode, LinkConfig, PortConfig, PortKind, Status};
use crate::connection::{Control, port_description};
use crate::stream::Target;

/// Events that wait for a slow connection; older ones are lost to it.
const EVENTS: usize = 1024;
/// Reasons of a port-status.
const PORT_ADDED: u8 = 0;
const PORT_DELETED: u8 = 1;
const PORT_MODIFIED: u8 = 2;
/// Milliseconds without a controller after which a standalone bridge forwards by itself: three probes, as Open
/// vSwitch has it.
const FAIL_OPEN_MS: u64 = 15_000;
/// Packets of controllers that may wait for the poll thread; whoever sends more waits for it.
const PACKETS_OUT: u32 = 256;

/// Something that controllers are told.
#[derive(Clone, Debug)]
pub enum Event {
    /// A packet.
    PacketIn(PacketIn),
    /// A flow has gone.
    FlowRemoved(Box<FlowRemoved>),
    /// A port came (0), went (1) or changed (2).
    PortStatus(u8, Box<PortDesc>),
}

/// Why a configuration was refused.
#[derive(Debug, thiserror::Error)]
pub enum SwitchError {
    /// A device could not be made.
    #[error(transparent)]
    Netdev(#[from] NetdevError),
    /// The system refused a thread or descriptor.
    #[error("the datapath could not be started: {0}")]
    Start(#[from] std::io::Error),
    /// The configuration contradicts itself, or asks for what is not there.
    #[error("{object}: {reason}")]
    Invalid {
        /// What it is about.
        object: String,
        /// What is wrong.
        reason: String,
    },
}

fn invalid<T>(object: &str, reason: &str) -> Result<T, SwitchError> {
    Err(SwitchError::Invalid { object: object.to_owned(), reason: reason.to_owned() })
}

/// A device of a port.
struct Device {
    datapath_port: u32,
    netdev: Arc<dyn Netdev>,
    added_ms: u64,
}

/// A bridge with what controllers and devices need of it.
pub struct ManagedBridge {
    /// The bridge.
    pub bridge: Arc<Bridge>,
    /// Its OpenFlow id.
    pub datapath_id: u64,
    /// The datapath's clock.
    pub clock: Clock,
    /// What its connections share.
    pub control: Control,
    network: Arc<Network>,
    datapath: Datapath<Pipeline>,
    events: broadcast::Sender<Event>,
    devices: Mutex<BTreeMap<u32, Device>>,
    wanted: Mutex<Wanted>,
    connected: AtomicUsize,
    /// When the last controller went, or the bridge was made.
    alone_since_ms: AtomicU64,
    packets_out: AtomicU32,
}

/// What the configuration says of controllers.
#[derive(Clone, Debug, Default)]
struct Wanted {
    fail_mode: FailMode,
    controllers: Vec<Target>,
}

impl ManagedBridge {
    fn wanted(&self) -> MutexGuard<'_, Wanted> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The controllers to call.
    pub fn controllers(&self) -> Vec<Target> {
        self.wanted().controllers.clone()
    }

    /// How many controllers that the bridge called are connected.
    pub fn connected(&self) -> usize {
        self.connected.load(Ordering::Relaxed)
    }

    /// A controller is connected: the bridge forwards by its flows alone.
    pub(crate) fn controller_came(&self) {
        self.connected.fetch_add(1, Ordering::Relaxed);
        self.set_standalone(false);
    }

    /// A controller's connection is lost.
    pub(crate) fn controller_went(&self) {
        self.alone_since_ms.store(self.clock.now_ms(), Ordering::Relaxed);
        self.connected.fetch_sub(1, Ordering::Relaxed);
    }

    /// Takes over from controllers that cannot be reached, where the configuration says so.
    fn fail_open(&self, now_ms: u64) {
        let wanted = self.wanted();
        let may = wanted.fail_mode == FailMode::Standalone && !wanted.controllers.is_empty();
        let alone = self.alone_since_ms.load(Ordering::Relaxed) + FAIL_OPEN_MS <= now_ms;
        self.set_standalone(may && alone && self.connected() == 0);
    }

    fn set_standalone(&self, standalone: bool) {
        if self.bridge.snapshot().standalone != standalone {
            self.bridge.publish(|snapshot, changes| {
                snapshot.standalone = standalone;
                changes.everything();
            });
        }
    }

    fn devices(&self) -> MutexGuard<'_, BTreeMap<u32, Device>> {
        self.devices.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Number of the datapath port behind a port that has a device.
    pub fn datapath_port(&self, number: u32) -> Option<u32> {
        self.devices().get(&number).map(|device| device.datapath_port)
    }

    /// The device behind a port that has one.
    pub(crate) fn netdev(&self, number: u32) -> Option<Arc<dyn Netdev>> {
        self.devices().get(&number).map(|device| Arc::clone(&device.netdev))
    }

    /// Changes a port, and tells the controllers.
    pub(crate) fn change_port(&self, number: u32, change: impl FnOnce(&mut Port)) {
        let changed = self.bridge.publish(|snapshot, changes| {
            let mut port = (**snapshot.ports.get(&number)?).clone();
            change(&mut port);
            snapshot.ports.insert_mut(number, Arc::new(port.clone()));
            changes.everything();
            Some(port)
        });
        if let Some(port) = changed {
            self.tell(Event::PortStatus(PORT_MODIFIED, Box::new(port_description(&port, self))));
        }
    }

    /// Puts the cable of a port in or out. A device behind it shows it to its other end.
    fn set_link(&self, number: u32, down: bool) {
        let snapshot = self.bridge.snapshot();
        let Some(port) = snapshot.ports.get(&number).filter(|port| port.link_down != down) else { return };
        if let Some(netdev) = self.netdev(number) {
            // A device that cannot be switched is cut off all the same: translation takes nothing from it.
            let _ = netdev.set_admin_up(!down && port.config & port::config::DOWN == 0);
        }
        self.change_port(number, |port| port.link_down = down);
    }

    /// Events from now on.
    pub fn events(&self) -> broadcast::Receiver<Event> {
        self.events.subscribe()
    }

    /// Tells the controllers; nobody may be listening.
    pub fn tell(&self, event: Event) {
        let _ = self.events.send(event);
    }

    /// Credits all that was forwarded, so that counters are exact.
    pub fn flush(&self) {
        self.datapath.ask(|context| context.engine.flush_credits());
    }

    /// Packets that the whole datapath dropped so far, by reason, the most frequent first.
    pub fn drops(&self) -> Vec<(String, u64)> {
        let counted = self.datapath.ask(|context| context.engine.drops().clone()).unwrap_or_default();
        let mut drops: Vec<(String, u64)> =
            counted.into_iter().map(|(reason, packets)| (reason.to_owned(), packets)).collect();
        let bridges: Vec<Arc<Bridge>> =
            self.network.bridge_names().iter().filter_map(|name| self.network.bridge(name)).collect();
        let all = |counter: fn(&Bridge) -> &AtomicU64| {
            bridges.iter().map(|bridge| counter(bridge).load(Ordering::Relaxed)).sum::<u64>()
        };
        drops.push(("controller is behind".into(), all(|bridge| &bridge.punts_dropped)));
        drops.push(("too many packets for the controller".into(), all(|bridge| &bridge.punts_limited)));
        drops.retain(|(_, packets)| *packets != 0);
        drops.sort_by_key(|(_, packets)| std::cmp::Reverse(*packets));
        drops
    }

    /// Explains what happens to a packet, which is written as a match; nothing is run or changed.
    ///
    /// # Errors
    /// A sentence about what is wrong with the packet.
    pub fn trace(&self, packet: &str) -> Result<String, String> {
        let matching = heddle_openflow::text::parse_match(packet).map_err(|error| error.to_string())?;
        let mut key = *matching.key();
        let number = key.in_port();
        let Some(datapath_port) = self.datapath_port(number) else {
            let name = &self.bridge.name;
            return Err(format!("bridge {name} has no port {number} with a device; name one with in_port="));
        };
        key.set_in_port(datapath_port);
        Ok(heddle_pipeline::trace::trace(&self.network, &key, self.clock.now_ms()))
    }

    /// The cached decisions about packets that came in by this bridge's devices, a line each.
    pub fn dump_megaflows(&self) -> String {
        let ports: BTreeMap<u32, String> = self
            .devices()
            .values()
            .map(|device| (device.datapath_port, device.netdev.name().to_owned()))
            .collect();
        let now_ms = self.clock.now_ms();
        let flows = self.datapath.ask(|context| context.engine.dump_flows()).unwrap_or_default();
        let mut text = String::new();
        for flow in flows {
            let Some(name) = ports.get(&flow.key.in_port()) else { continue };
            let mut mask = flow.mask;
            mask.words[heddle_flow::layout::PORT] = 0;
            let matching = heddle_openflow::text::print_match(&Match::new(&flow.key, &mask));
            let comma = if matching.is_empty() { "" } else { "," };
            let idle = now_ms.saturating_sub(flow.used_ms) as f64 / 1000.0;
            text.push_str(&format!(
                "recirc_id({:#x}),in_port({name}){comma}{matching}, packets:{}, bytes:{}, used:{idle:.3}s, actions:{}\n",
                flow.key.recirc_id(),
                flow.packets,
                flow.bytes,
                heddle_pipeline::trace::print_actions(&flow.actions)
            ));
        }
        text
    }

    /// Returns once no packet is under way by what was published before.
    pub fn barrier(&self) {
        self.datapath.ask(|_| ());
    }

    /// Sends a packet as a controller asks.
    ///
    /// # Errors
    /// If an action names what is not there, or the packet is too large.
    pub fn packet_out(&self, in_port: u32, actions: &[Action], data: &[u8]) -> Result<(), OfError> {
        if data.len() > heddle_wire::packet::MAX_FRAME {
            return Err(OfError::RequestBadPacket);
        }
        let packet = Packet::from_frame(data);
        let mut key = PacketKey::default();
        heddle_flow::extract(packet.data(), in_port, 0, &mut key);
        let key: FlowKey = key.expand();
        Known::of_packet(&key).actions(actions)?;
        let (network, bridge, actions) =
            (Arc::clone(&self.network), Arc::clone(&self.bridge), actions.to_vec());
        if self.packets_out.fetch_add(1, Ordering::Relaxed) % PACKETS_OUT == PACKETS_OUT - 1 {
            self.barrier();
        }
        self.datapath.post(move |context| {
            let now_ms = context.now_ms;
            let outcome = Translation::packet_out(&network, &bridge, in_port, &key, &actions, now_ms);
            let usage = heddle_datapath::Usage {
                packets: 1,
                bytes: packet.len() as u64,
                used_ms: now_ms,
                tcp_flags: 0,
            };
            outcome.decision.credit(&usage);
            context.engine.execute(packet, in_port, &outcome.actions, now_ms);
        });
        Ok(())
    }

    /// Counters of one port, or of all.
    pub fn port_stats(&self, number: u32) -> Vec<PortStats> {
        let now_ms = self.clock.now_ms();
        let devices = self.devices();
        let snapshot = self.bridge.snapshot();
        let mut stats: Vec<PortStats> = snapshot
            .ports
            .values()
            .filter(|port| number == port::ANY || number == port.number)
            .map(|port| {
                let device = devices.get(&port.number);
                let of = device.map_or_else(Default::default, |device| device.netdev.statistics());
                let patch = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
                PortStats {
                    number: port.number,
                    counters: [
                        of.rx_packets + patch(&port.counters.rx_packets),
                        of.tx_packets + patch(&port.counters.tx_packets),
                        of.rx_bytes + patch(&port.counters.rx_bytes),
                        of.tx_bytes + patch(&port.counters.tx_bytes),
                        of.rx_dropped,
                        of.tx_dropped,
                        of.rx_errors,
                        of.tx_errors,
                    ],
                    duration_ms: device.map_or(0, |device| now_ms.saturating_sub(device.added_ms)),
                }
            })
            .collect();
        stats.sort_by_key(|port| port.number);
        stats
    }

    /// What time brings: ends flows whose time is up and addresses that were not seen for long, and takes over from
    /// controllers that are gone for too long.
    pub fn expire(&self) {
        let now_ms = self.clock.now_ms();
        self.fail_open(now_ms);
        if self.bridge.fdb.expire(now_ms) {
            self.bridge.touch();
        }
        if !self.bridge.expiry_due(now_ms) {
            return;
        }
        // A flow is idle only if it is after all that was forwarded is credited.
        self.flush();
        let gone = self.bridge.expire(now_ms);
        if gone.iter().any(|(flow, _)| flow.flags & FlowMod::SEND_REMOVED != 0) {
            // What passed since belongs to the announcement.
            self.flush();
        }
        for (flow, why) in gone {
            if flow.flags & FlowMod::SEND_REMOVED != 0 {
                self.tell(Event::FlowRemoved(Box::new(flow_removed(&flow, why, now_ms))));
            }
        }
    }
}

/// The bridges of a process.
pub struct Switch {
    network: Arc<Network>,
    datapath: Datapath<Pipeline>,
    clock: Clock,
    bridges: BTreeMap<String, Arc<ManagedBridge>>,
    dummies: BTreeMap<String, DummyHandle>,
}

impl Switch {
    /// A switch without bridges. `seed` keys the tables of the datapath.
    ///
    /// # Errors
    /// If the poll thread cannot be started.
    pub fn new(clock: Clock, seed: u64) -> Result<Self, SwitchError> {
        let network = Arc::new(Network::default());
        let mut engine = Engine::new(Pipeline::new(Arc::clone(&network)), seed);
        // One hit in a hundred thousand is checked in production, too.
        engine.set_differential_check(100_000);
        let datapath = Datapath::start(engine, clock.clone())?;
        Ok(Self { network, datapath, clock, bridges: BTreeMap::new(), dummies: BTreeMap::new() })
    }

    /// The network that packets are translated through.
    pub fn network(&self) -> &Arc<Network> {
        &self.network
    }

    /// The bridge of this name.
    pub fn bridge(&self, name: &str) -> Option<&Arc<ManagedBridge>> {
        self.bridges.get(name)
    }

    /// Every bridge.
    pub fn bridges(&self) -> impl Iterator<Item = &Arc<ManagedBridge>> {
        self.bridges.values()
    }

    /// The dummy device of this name, to put frames in and take them out.
    pub fn dummy(&self, name: &str) -> Option<&DummyHandle> {
        self.dummies.get(name)
    }

    /// How the bridges fare.
    pub fn status(&self) -> Status {
        let count = |is: &dyn Fn(&ManagedBridge) -> bool| {
            self.bridges.values().filter(|bridge| is(bridge)).count() as u32
        };
        Status {
            unconnected: count(&|bridge| !bridge.wanted().controllers.is_empty() && bridge.connected() == 0),
            without_flows: count(&|bridge| bridge.bridge.snapshot().tables().is_empty()),
            drops: self.bridges.values().next().map(|bridge| bridge.drops()).unwrap_or_default(),
            mismatches: self.mismatches(),
        }
    }

    /// How many answers of the cache were found wrong.
    pub fn mismatches(&self) -> u64 {
        self.datapath.ask(|context| context.engine.mismatches().0).unwrap_or(0)
    }

    /// Makes bridges and ports what `configs` says. All is checked before anything changes; what only the system can
    /// refuse (a device) ends the work at that port. `descriptors` are those that ports refer to by index.
    ///
    /// # Errors
    /// If the configuration contradicts itself, or the system refuses a device.
    pub fn configure(
        &mut self,
        configs: &[BridgeConfig],
        descriptors: &[OwnedFd],
    ) -> Result<(), SwitchError> {
        let wanted: Vec<Wanted> =
            configs.iter().map(|config| check(config, descriptors.len())).collect::<Result<_, _>>()?;
        for (config, wanted) in configs.iter().zip(wanted) {
            if config.removed {
                self.remove(&config.name);
                continue;
            }
            let bridge = self.ensure(config, wanted)?;
            for port in &config.ports {
                self.configure_port(&bridge, port, descriptors)?;
            }
        }
        Ok(())
    }

    /// Puts cables in or out.
    ///
    /// # Errors
    /// If there is no such bridge or port; nothing has changed then.
    pub fn set_links(&self, links: &[LinkConfig]) -> Result<(), SwitchError> {
        for link in links {
            let bridge = self.bridges.get(&link.bridge);
            if !bridge.is_some_and(|bridge| bridge.bridge.snapshot().ports.contains_key(&link.ofport)) {
                return invalid(&link.bridge, &format!("there is no port {}", link.ofport));
            }
        }
        for link in links {
            if let Some(bridge) = self.bridges.get(&link.bridge) {
                bridge.set_link(link.ofport, link.down);
            }
        }
        Ok(())
    }

    fn remove(&mut self, name: &str) {
        let Some(bridge) = self.bridges.remove(name) else { return };
        self.network.remove_bridge(name);
        let numbers: Vec<u32> = bridge.devices().keys().copied().collect();
        numbers.into_iter().for_each(|number| self.remove_port(&bridge, number));
    }

    fn ensure(&mut self, config: &BridgeConfig, wanted: Wanted) -> Result<Arc<ManagedBridge>, SwitchError> {
        if let Some(bridge) = self.bridges.get(&config.name) {
            *bridge.wanted() = wanted;
            return Ok(Arc::clone(bridge));
        }
        let (events, _) = broadcast::channel(EVENTS);
        let punted = events.clone();
        let sink = Box::new(move |packet| punted.send(Event::PacketIn(packet)).is_ok());
        let Some(bridge) = self.network.add_bridge(&config.name, sink) else {
            return invalid(&config.name, "there is a bridge of this name");
        };
        if wanted.fail_mode == FailMode::Standalone && wanted.controllers.is_empty() {
            let normal = Action::Output { port: port::NORMAL, max_len: 0 };
            let flow = FlowMod {
                priority: 0,
                instructions: vec![heddle_openflow::Instruction::Apply(vec![normal])],
                ..FlowMod::default()
            };
            if let Err(error) = bridge.flow_mod(&flow, self.clock.now_ms()) {
                return invalid(&config.name, error.name());
            }
        }
        let managed = Arc::new(ManagedBridge {
            bridge,
            datapath_id: config.datapath_id,
            clock: self.clock.clone(),
            control: Control::default(),
            network: Arc::clone(&self.network),
            datapath: self.datapath.clone(),
            events,
            devices: Mutex::default(),
            wanted: Mutex::new(wanted),
            connected: AtomicUsize::new(0),
            alone_since_ms: AtomicU64::new(self.clock.now_ms()),
            packets_out: AtomicU32::new(0),
        });
        add_port(&managed, local_port(config));
        self.bridges.insert(config.name.clone(), Arc::clone(&managed));
        Ok(managed)
    }

    fn configure_port(
        &mut self,
        bridge: &Arc<ManagedBridge>,
        config: &PortConfig,
        descriptors: &[OwnedFd],
    ) -> Result<(), SwitchError> {
        if config.removed {
            self.remove_port(bridge, config.ofport);
            return Ok(());
        }
        if bridge.bridge.snapshot().ports.contains_key(&config.ofport) {
            bridge.set_link(config.ofport, config.link_down);
            return Ok(());
        }
        let counters = Arc::default();
        let attachment = match &config.kind {
            PortKind::Patch { peer_bridge, peer_port } => {
                Attachment::Patch { bridge: peer_bridge.clone(), port: peer_port.clone() }
            }
            kind => {
                let netdev = self.open(&config.name, kind, descriptors)?;
                self.attach(bridge, config.ofport, netdev, &counters)?
            }
        };
        let mac = (bridge.datapath_id << 8 | u64::from(config.ofport)).to_be_bytes();
        let port = Port {
            number: config.ofport,
            name: config.name.clone(),
            mac: [0x02, mac[3], mac[4], mac[5], mac[6], mac[7]],
            attachment,
            config: 0,
            link_down: false,
            counters,
        };
        add_port(bridge, port);
        bridge.set_link(config.ofport, config.link_down);
        Ok(())
    }

    /// Opens the device behind a port.
    fn open(
        &mut self,
        name: &str,
        kind: &PortKind,
        descriptors: &[OwnedFd],
    ) -> Result<Arc<dyn Netdev>, SwitchError> {
        Ok(match kind {
            PortKind::Tap => Arc::new(Tap::create(name)?),
            PortKind::TapDescriptor { fd, mac, mtu } => {
                let Some(descriptor) = descriptors.get(*fd as usize) else {
                    return invalid(name, "the TAP's descriptor did not come along");
                };
                let descriptor = descriptor.as_fd().try_clone_to_owned()?;
                Arc::new(Tap::from_fd(descriptor, name, Some(*mac), *mtu)?)
            }
            PortKind::Packet { interface } => Arc::new(PacketDevice::open(interface)?),
            PortKind::Dummy | PortKind::Patch { .. } => {
                let dummy = Dummy::new(name)?;
                self.dummies.insert(name.to_owned(), dummy.handle());
                Arc::new(dummy)
            }
        })
    }

    fn attach(
        &self,
        bridge: &Arc<ManagedBridge>,
        number: u32,
        netdev: Arc<dyn Netdev>,
        counters: &Arc<heddle_pipeline::table::PortCounters>,
    ) -> Result<Attachment, SwitchError> {
        let datapath_port = self.network.allocate_port();
        let place =
            Place { bridge: Arc::clone(&bridge.bridge), port: number, counters: Arc::clone(counters) };
        self.network.attach(datapath_port, place);
        let device = Device { datapath_port, netdev: Arc::clone(&netdev), added_ms: self.clock.now_ms() };
        bridge.devices().insert(number, device);
        match self.datapath.ask(move |context| context.add_port(datapath_port, &netdev)) {
            Some(added) => added?,
            None => return invalid(&bridge.bridge.name, "the datapath has ended"),
        }
        Ok(Attachment::Device(datapath_port))
    }

    fn remove_port(&mut self, bridge: &ManagedBridge, number: u32) {
        if let Some(device) = bridge.devices().remove(&number) {
            self.network.detach(device.datapath_port);
            self.dummies.remove(device.netdev.name());
            self.datapath.ask(move |context| context.remove_port(device.datapath_port));
        }
        let gone = bridge.bridge.publish(|snapshot, changes| {
            let gone = snapshot.ports.get(&number).cloned();
            snapshot.ports.remove_mut(&number);
            changes.everything();
            gone
        });
        if let Some(port) = gone {
            bridge.tell(Event::PortStatus(PORT_DELETED, Box::new(port_description(&port, bridge))));
        }
        bridge.bridge.fdb.forget(|entry| entry.port == number);
    }
}

/// Shows a port to translations and controllers.
fn add_port(bridge: &ManagedBridge, port: Port) {
    bridge.bridge.publish(|snapshot, changes| {
        snapshot.ports.insert_mut(port.number, Arc::new(port.clone()));
        changes.everything();
    });
    bridge.tell(Event::PortStatus(PORT_ADDED, Box::new(port_description(&port, bridge))));
}

/// The bridge's own port. It bears the bridge's name, and its address is the lower part of the datapath id.
fn local_port(config: &BridgeConfig) -> Port {
    let id = config.datapath_id.to_be_bytes();
    Port {
        number: port::LOCAL,
        name: config.name.clone(),
        mac: [id[2], id[3], id[4], id[5], id[6], id[7]],
        attachment: Attachment::Local,
        config: 0,
        link_down: false,
        counters: Arc::default(),
    }
}

/// Refuses what cannot be, before anything changes; returns what is wanted of controllers.
fn check(config: &BridgeConfig, descriptors: usize) -> Result<Wanted, SwitchError> {
    let good = |name: &str| {
        !name.is_empty()
            && name.len() <= 255
            && !name.starts_with('.')
            && name.chars().all(|letter| letter.is_ascii_alphanumeric() || "-_.:".contains(letter))
    };
    if !good(&config.name) {
        return invalid(&config.name, "a bridge's name has letters, digits and -_.: only");
    }
    for port in &config.ports {
        if port.ofport == 0 || port.ofport > 65_279 {
            return invalid(&port.name, "a port's number is 1 to 65279");
        }
        if let PortKind::TapDescriptor { fd, .. } = port.kind
            && fd as usize >= descriptors
        {
            return invalid(&port.name, "the TAP's descriptor did not come along");
        }
    }
    let mut controllers = Vec::with_capacity(config.controllers.len());
    for name in &config.controllers {
        match name.parse() {
            Ok(target) => controllers.push(target),
            Err(error) => return invalid(&config.name, &format!("controller {error}")),
        }
    }
    Ok(Wanted { fail_mode: config.fail_mode, controllers })
}
