//! The bridges of a process, over one datapath: what a configuration says becomes bridges, ports and devices.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use heddle_datapath::{Clock, Datapath, Engine};
use heddle_netdev::{Dummy, DummyHandle, Netdev, NetdevError, PacketDevice, Tap};
use heddle_openflow::{Version, port};
use heddle_pipeline::tree::Protocol;
use heddle_pipeline::{Attachment, Network, Pipeline, Place, Port};
use heddle_stp::{BridgeId, Times};

use crate::bridge::{Device, Event, ManagedBridge, PACKET_BUFFERS, Wanted, events};
use crate::capture::Running;
use crate::config::{BridgeConfig, LineConfig, LinkConfig, PortConfig, PortKind, SpanningTree, Status};
use crate::controllers::Controller;
use crate::tree::{TreeConfig, TreePort};

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

/// Messages of a spanning tree by a port: as many as the standard allows (802.1D-2004 table 17-1), as many bridges start at
/// once.
const MESSAGES_A_SECOND: u8 = 10;

pub(crate) fn invalid<T>(object: &str, reason: &str) -> Result<T, SwitchError> {
    Err(SwitchError::Invalid { object: object.to_owned(), reason: reason.to_owned() })
}

/// The bridges of a process.
pub struct Switch {
    pub(crate) network: Arc<Network>,
    pub(crate) datapath: Datapath<Pipeline>,
    pub(crate) clock: Clock,
    pub(crate) bridges: BTreeMap<String, Arc<ManagedBridge>>,
    pub(crate) dummies: BTreeMap<String, DummyHandle>,
    /// Lines whose link has only one end yet.
    pub(crate) unjoined: Vec<LineConfig>,
    pub(crate) captures: Vec<Running>,
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
        Ok(Self {
            network,
            datapath,
            clock,
            bridges: BTreeMap::new(),
            dummies: BTreeMap::new(),
            unjoined: vec![],
            captures: vec![],
        })
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
            unconnected: count(&|bridge| bridge.wanted().has_controllers() && bridge.connected() == 0),
            without_flows: count(&|bridge| bridge.bridge.snapshot().tables().is_empty()),
            unsettled: count(&|bridge| bridge.tree_view().is_some_and(|tree| !tree.is_settled())),
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
            // Ports that come block until the tree knows them.
            self.configure_tree(&bridge, config);
            for port in &config.ports {
                self.configure_port(&bridge, port, descriptors)?;
            }
            self.configure_tree(&bridge, config);
        }
        self.join_lines();
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

    pub(crate) fn remove(&mut self, name: &str) {
        let Some(bridge) = self.bridges.remove(name) else { return };
        self.network.remove_bridge(name);
        let numbers: Vec<u32> = bridge.bridge.snapshot().ports.keys().copied().collect();
        numbers.into_iter().for_each(|number| self.remove_port(&bridge, number));
    }

    fn ensure(&mut self, config: &BridgeConfig, wanted: Wanted) -> Result<Arc<ManagedBridge>, SwitchError> {
        if let Some(bridge) = self.bridges.get(&config.name) {
            *bridge.wanted() = wanted;
            return Ok(Arc::clone(bridge));
        }
        let bridge = self.add_bridge(&config.name, config.datapath_id, wanted)?;
        bridge.set_packet_buffers(PACKET_BUFFERS);
        bridge.add_port(local_port(config));
        Ok(bridge)
    }

    /// Makes a bridge without ports.
    pub(crate) fn add_bridge(
        &mut self,
        name: &str,
        datapath_id: u64,
        wanted: Wanted,
    ) -> Result<Arc<ManagedBridge>, SwitchError> {
        let events = events();
        let punted = events.clone();
        let sink = Box::new(move |packet| punted.send(Event::PacketIn(packet)).is_ok());
        let Some(bridge) = self.network.add_bridge(name, sink) else {
            return invalid(name, "there is a bridge of this name");
        };
        let shared = (Arc::clone(&self.network), self.datapath.clone(), self.clock.clone());
        let managed = Arc::new(ManagedBridge::new(bridge, datapath_id, shared, events, wanted));
        managed.ensure_default_flow();
        self.bridges.insert(name.to_owned(), Arc::clone(&managed));
        Ok(managed)
    }

    /// Has every port of a bridge but its own take part in its spanning tree.
    fn configure_tree(&self, bridge: &ManagedBridge, config: &BridgeConfig) {
        let protocol = config.spanning_tree.map(|protocol| match protocol {
            SpanningTree::Stp => Protocol::Stp,
            SpanningTree::Rstp => Protocol::Rstp,
        });
        let tree = protocol.map(|protocol| {
            let id = BridgeId::new(0x8000, own_address(config));
            // As many bridges in a row as the standard allows (802.1D-2004 table 17-1), which holds the two times together.
            let times = Times { max_age: 40, forward_delay: 21, ..Times::default() };
            let times = if protocol == Protocol::Rstp { times } else { Times::default() };
            let snapshot = bridge.bridge.snapshot();
            let known = bridge.tree_ports();
            // Of a port that is named twice the first counts, as it does for the port itself.
            let told: BTreeMap<u32, bool> =
                config.ports.iter().rev().map(|port| (port.ofport, port.edge)).collect();
            let others = snapshot.ports.keys().filter(|number| **number != port::LOCAL);
            let port = |number: &u32| {
                let before = known.get(number).is_some_and(|port| port.admin_edge);
                let admin_edge = told.get(number).copied().unwrap_or(before);
                (*number, TreePort { admin_edge, ..TreePort::default() })
            };
            TreeConfig {
                times,
                transmit_hold_count: MESSAGES_A_SECOND,
                ports: others.map(port).collect(),
                ..TreeConfig::new(protocol, id)
            }
        });
        bridge.set_tree(tree);
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
        let attachment = match &config.kind {
            PortKind::Patch { peer_bridge, peer_port } => {
                Attachment::Patch { bridge: peer_bridge.clone(), port: peer_port.clone() }
            }
            kind => {
                let netdev = self.open(&config.name, kind, descriptors)?;
                self.attach(bridge, config.ofport, netdev)?
            }
        };
        // Locally administered; unique among bridges whose datapath ids differ in their low 24 bits.
        let mac = (bridge.datapath_id() << 16 | u64::from(config.ofport)).to_be_bytes();
        let mac = [0x02, mac[3], mac[4], mac[5], mac[6], mac[7]];
        bridge.add_port(Port::new(config.ofport, &config.name, mac, attachment));
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

    pub(crate) fn attach(
        &self,
        bridge: &Arc<ManagedBridge>,
        number: u32,
        netdev: Arc<dyn Netdev>,
    ) -> Result<Attachment, SwitchError> {
        let datapath_port = if netdev.kind() == "dummy" {
            self.network.allocate_dummy_port(netdev.name())
        } else {
            self.network.allocate_port()
        };
        let place = Place { bridge: Arc::clone(&bridge.bridge), port: number, counters: None };
        self.network.attach(datapath_port, place);
        let device = Device { datapath_port, netdev: Arc::clone(&netdev), added_ms: self.clock.now_ms() };
        bridge.devices().insert(number, device);
        match self.datapath.ask(move |context| context.add_port(datapath_port, &netdev)) {
            Some(added) => added?,
            None => return invalid(&bridge.bridge.name, "the datapath has ended"),
        }
        Ok(Attachment::Device(datapath_port))
    }

    pub(crate) fn remove_port(&mut self, bridge: &ManagedBridge, number: u32) {
        self.remove_lines(bridge, number);
        if let Some(netdev) = bridge.detach(number) {
            self.dummies.remove(netdev.name());
        }
    }
}

/// The bridge's own address: the lower part of the datapath id.
fn own_address(config: &BridgeConfig) -> [u8; 6] {
    let [_, _, address @ ..] = config.datapath_id.to_be_bytes();
    address
}

/// The bridge's own port. It bears the bridge's name.
fn local_port(config: &BridgeConfig) -> Port {
    Port::new(port::LOCAL, &config.name, own_address(config), Attachment::Local)
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
    let mut versions = 0;
    for name in &config.protocols {
        match Version::by_name(name) {
            Some(version) => versions |= version.bit(),
            None => return invalid(&config.name, &format!("{name:?} is no version of OpenFlow")),
        }
    }
    let mut controllers = Vec::with_capacity(config.controllers.len());
    for name in &config.controllers {
        match Controller::new(name) {
            Ok(controller) => controllers.push(controller),
            Err(error) => return invalid(&config.name, &format!("controller {error}")),
        }
    }
    Ok(Wanted { fail_mode: config.fail_mode, controllers, versions, ..Wanted::default() })
}
