//! A bridge as controllers and devices need it: what it shares with the datapath, what its controllers are told, and
//! what operators ask of it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use heddle_datapath::{Clock, Datapath};
use heddle_flow::field::FIELDS;
use heddle_flow::{FlowKey, Match, PacketKey};
use heddle_netdev::Netdev;
use heddle_openflow::consistency::Known;
use heddle_openflow::group::{GroupCommand, GroupMod};
use heddle_openflow::message::{FlowRemoved, PacketOut};
use heddle_openflow::meter::MeterMod;
use heddle_openflow::multipart::PortStats;
use heddle_openflow::role::RoleStatus;
use heddle_openflow::table::TableStatus;
use heddle_openflow::{Action, Body, Command, FlowMod, OfError, PortDesc, Version, port};
use heddle_pipeline::flow_mod::{FlowChange, TABLES};
use heddle_pipeline::table::TableLimit;
use heddle_pipeline::{Bridge, Network, PacketIn, Pipeline, Port, Snapshot, Translation};
use heddle_stp::State;
use heddle_wire::Packet;
use tokio::sync::{Notify, broadcast};

use crate::config::{FailMode, PortQueues};
use crate::connection::{Control, Gathered, announce, port_description};
use crate::controllers::{Controller, Faring};
use crate::in_band::{self, Remote};
use crate::tree::Tree;

/// Events that wait for a slow connection; older ones are lost to it.
pub(crate) const EVENTS: usize = 1024;
/// Reasons of a port-status.
const PORT_ADDED: u8 = 0;
const PORT_DELETED: u8 = 1;
const PORT_MODIFIED: u8 = 2;
/// Milliseconds without a controller after which a standalone bridge forwards by itself: three probes, as Open
/// vSwitch has it.
const FAIL_OPEN_MS: u64 = 15_000;
/// How often [`ManagedBridge::expire`] is called between two looks at links of which the kernel may not have told.
const TICKS_A_LOOK: u32 = 4;
/// Milliseconds after which a bundle that nobody adds to is forgotten, as in Open vSwitch.
pub(crate) const BUNDLE_IDLE_MS: u64 = 10_000;
/// Packets that a bridge of a file keeps for each controller, and the most that a database may ask for.
pub(crate) const PACKET_BUFFERS: usize = 256;
/// Most packets that are kept for a controller.
pub const MAX_PACKET_BUFFERS: usize = 4096;
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
    /// A table filled or emptied.
    TableStatus(TableStatus),
    /// Something waits for those who watch flows.
    FlowUpdates,
    /// The role of the connection of this number has changed unasked.
    RoleStatus(u64, RoleStatus),
    /// The connection of this number has changed a group or a meter by this message.
    Forward(u64, Arc<Body>),
}

/// A device of a port.
pub(crate) struct Device {
    /// Its number in the datapath.
    pub(crate) datapath_port: u32,
    /// The device.
    pub(crate) netdev: Arc<dyn Netdev>,
    /// When it was attached, by the datapath's clock.
    pub(crate) added_ms: u64,
}

/// A bridge with what controllers and devices need of it.
pub struct ManagedBridge {
    /// The bridge.
    pub bridge: Arc<Bridge>,
    datapath_id: AtomicU64,
    /// The datapath's clock.
    pub clock: Clock,
    /// What its connections share.
    pub control: Arc<Control>,
    network: Arc<Network>,
    datapath: Datapath<Pipeline>,
    events: broadcast::Sender<Event>,
    devices: Mutex<BTreeMap<u32, Device>>,
    wanted: Mutex<Wanted>,
    /// How its controllers fare.
    pub faring: Faring,
    /// Ends the connections to controllers, and their waits for the next call.
    pub(crate) reconnecting: Notify,
    snooped: broadcast::Sender<Arc<[u8]>>,
    connected: AtomicUsize,
    /// When the last controller went, or the bridge was made.
    alone_since_ms: AtomicU64,
    packets_out: AtomicU32,
    ticks: AtomicU32,
    bundle_idle_ms: AtomicU64,
    /// The address of the bridge's own interface and the controllers that its hidden flows are for.
    reachable: Mutex<Option<([u8; 6], Vec<Remote>)>>,
    packet_buffers: AtomicUsize,
    queues: Mutex<BTreeMap<String, PortQueues>>,
    table_names: Mutex<BTreeMap<u8, String>>,
    tree: Mutex<Option<Tree>>,
    /// What was logged last of the states that ports have in the spanning tree.
    pub(crate) tree_logged: Mutex<BTreeMap<u32, State>>,
    /// Told when there are news for the spanning tree: messages, or a cable.
    pub(crate) messages_came: Arc<Notify>,
}

/// What the configuration says of controllers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// What happens to packets without a controller.
    pub(crate) fail_mode: FailMode,
    /// Whom to call, and by whom to be called.
    pub(crate) controllers: Vec<Controller>,
    /// The versions that may be spoken, as a hello's bitmap; all that there are where zero.
    pub(crate) versions: u32,
    /// A controller is named that cannot be called: the bridge waits for it all the same.
    pub(crate) unusable: bool,
    /// Flows are being restored: no controller is called, and the bridge does not forward by itself.
    pub(crate) restoring: bool,
}

impl Wanted {
    /// Whether a controller is to be called.
    pub(crate) fn has_controllers(&self) -> bool {
        self.unusable || self.controllers.iter().any(Controller::is_called)
    }
}

/// Where the packets and news for controllers go.
pub(crate) fn events() -> broadcast::Sender<Event> {
    broadcast::channel(EVENTS).0
}

impl ManagedBridge {
    /// A bridge of `network`, forwarded by `datapath`, whose news go to `events`.
    pub(crate) fn new(
        bridge: Arc<Bridge>,
        datapath_id: u64,
        (network, datapath, clock): (Arc<Network>, Datapath<Pipeline>, Clock),
        events: broadcast::Sender<Event>,
        wanted: Wanted,
    ) -> Self {
        let control: Arc<Control> = Arc::default();
        let (watching, waking) = (Arc::clone(&control), events.clone());
        let first = bridge.watch_flows(Box::new(move |snapshot, changes| {
            if watching.monitors.see(snapshot, changes) {
                let _ = waking.send(Event::FlowUpdates);
            }
            for status in watching.vacancies.see(snapshot) {
                let _ = waking.send(Event::TableStatus(status));
            }
        }));
        debug_assert!(first, "a bridge is managed once");
        let messages_came = Arc::new(Notify::new());
        let came = Arc::clone(&messages_came);
        bridge.messages.wake(Box::new(move || came.notify_one()));
        Self {
            bridge,
            datapath_id: AtomicU64::new(datapath_id),
            control,
            network,
            datapath,
            events,
            devices: Mutex::default(),
            wanted: Mutex::new(wanted),
            faring: Faring::default(),
            reconnecting: Notify::new(),
            snooped: broadcast::channel(EVENTS).0,
            connected: AtomicUsize::new(0),
            alone_since_ms: AtomicU64::new(clock.now_ms()),
            packets_out: AtomicU32::new(0),
            ticks: AtomicU32::new(0),
            bundle_idle_ms: AtomicU64::new(BUNDLE_IDLE_MS),
            reachable: Mutex::default(),
            packet_buffers: AtomicUsize::new(0),
            queues: Mutex::default(),
            table_names: Mutex::default(),
            tree: Mutex::default(),
            tree_logged: Mutex::default(),
            messages_came,
            clock,
        }
    }

    /// Shows a port to translations and controllers. Where the bridge has a spanning tree it blocks until that says
    /// otherwise.
    pub(crate) fn add_port(&self, mut port: Port) {
        port.no_carrier = self.netdev(port.number).is_some_and(|netdev| !is_up(&*netdev));
        self.bridge.publish(|snapshot, changes| {
            if snapshot.tree.is_some() && port.number != port::LOCAL {
                port.tree = State::Blocking;
            }
            snapshot.ports.insert_mut(port.number, Arc::new(port.clone()));
            changes.everything();
        });
        self.tell(Event::PortStatus(PORT_ADDED, Box::new(port_description(&port, self))));
    }

    /// A port as controllers see it now.
    pub(crate) fn described(&self, number: u32) -> Option<PortDesc> {
        self.bridge.snapshot().ports.get(&number).map(|port| port_description(port, self))
    }

    /// Takes a port away from translations and controllers, and forgets what was learned on it. `was` is how it was while its
    /// device was there.
    pub(crate) fn remove_port(&self, number: u32, was: Option<PortDesc>) {
        self.bridge.publish(|snapshot, changes| {
            snapshot.ports.remove_mut(&number);
            changes.everything();
        });
        if let Some(port) = was {
            self.tell(Event::PortStatus(PORT_DELETED, Box::new(port)));
        }
        self.bridge.fdb.forget(|entry| entry.port == number);
    }

    /// What the configuration says of controllers.
    pub(crate) fn wanted(&self) -> MutexGuard<'_, Wanted> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The versions of OpenFlow that are spoken, as a bit for each version byte.
    pub fn versions(&self) -> u32 {
        let all = Version::ALL.iter().fold(0, |all, version| all | version.bit());
        match self.wanted().versions & all {
            0 => all,
            allowed => allowed,
        }
    }

    /// Its OpenFlow id.
    pub fn datapath_id(&self) -> u64 {
        self.datapath_id.load(Ordering::Relaxed)
    }

    /// Gives it another OpenFlow id; who is connected learns it when it asks again.
    pub fn set_datapath_id(&self, id: u64) {
        self.datapath_id.store(id, Ordering::Relaxed);
    }

    /// The controllers to call and to be called by; none while flows are being restored.
    pub fn controllers(&self) -> Vec<Controller> {
        let wanted = self.wanted();
        if wanted.restoring { Vec::new() } else { wanted.controllers.clone() }
    }

    /// Changes what the configuration says of controllers. As in Open vSwitch, flows go when the first controller comes or
    /// the last one goes, and when the mode changes without a controller; a standalone bridge without one forwards by a
    /// flow of its own.
    pub(crate) fn set_wanted(&self, wanted: Wanted) {
        if *self.wanted() == wanted {
            return;
        }
        let old = std::mem::replace(&mut *self.wanted(), wanted.clone());
        let had = old.has_controllers();
        let mode_changed = !had && old.fail_mode != wanted.fail_mode;
        if had != wanted.has_controllers() || mode_changed {
            self.flush_flows();
        }
        self.faring.keep(|name| wanted.controllers.iter().any(|controller| controller.name == name));
        self.ensure_default_flow();
        self.keep_reachable();
    }

    /// Keeps controllers reachable through the bridge, where the configuration says so.
    pub(crate) fn keep_reachable(&self) {
        let remotes: Vec<Remote> = self.wanted().controllers.iter().filter_map(Controller::remote).collect();
        let local = self.bridge.snapshot().ports.get(&port::LOCAL).map(|port| port.mac);
        let wanted = Some((local.unwrap_or_default(), remotes)).filter(|(_, remotes)| !remotes.is_empty());
        let mut reachable = self.reachable.lock().unwrap_or_else(PoisonError::into_inner);
        if *reachable != wanted {
            let flows = wanted.iter().flat_map(|(mac, remotes)| in_band::flows(*mac, remotes));
            self.bridge.set_hidden(&flows.collect::<Vec<_>>(), self.clock.now_ms());
            *reachable = wanted;
        }
    }

    /// Takes away all flows, groups and meters.
    fn flush_flows(&self) {
        let now_ms = self.clock.now_ms();
        let groups =
            GroupMod { command: GroupCommand::Delete, group_id: GroupMod::ALL, ..GroupMod::default() };
        let meters =
            MeterMod { command: MeterMod::DELETE, flags: 0, meter_id: MeterMod::ALL, bands: Vec::new() };
        let gone = self.bridge.group_mod(&groups, None, now_ms);
        if let Err(error) = gone.and_then(|_| self.bridge.meter_mod(&meters, None, now_ms)) {
            log::warn!(target: "ofproto", "{}: groups and meters cannot be removed: {}", self.bridge.name, error.name());
        }
        let all = FlowMod { command: Command::Delete, table_id: FlowMod::ALL_TABLES, ..FlowMod::default() };
        if let Err(error) = self.bridge.flow_mod(&all, self.clock.now_ms()) {
            log::warn!(target: "ofproto", "{}: flows cannot be removed: {}", self.bridge.name, error.name());
        }
    }

    /// Adds the flow by which a standalone bridge without controllers forwards.
    pub(crate) fn ensure_default_flow(&self) {
        let wanted = self.wanted();
        if wanted.fail_mode != FailMode::Standalone || wanted.has_controllers() || wanted.restoring {
            return;
        }
        drop(wanted);
        let known = self.bridge.snapshot().flows();
        if known.iter().any(|flow| flow.table == 0 && flow.priority == 0 && flow.matching.is_any()) {
            return;
        }
        let normal = Action::Output { port: port::NORMAL, max_len: 0 };
        let flow = FlowMod {
            priority: 0,
            instructions: vec![heddle_openflow::Instruction::Apply(vec![normal])],
            ..FlowMod::default()
        };
        if let Err(error) = self.bridge.flow_mod(&flow, self.clock.now_ms()) {
            log::warn!(target: "bridge", "{}: the flow of a standalone bridge is refused: {}", self.bridge.name, error.name());
        }
    }

    /// What is said to and by controllers from now on.
    pub fn snoop(&self) -> broadcast::Receiver<Arc<[u8]>> {
        self.snooped.subscribe()
    }

    /// Shows bytes of a controller's connection to those who snoop.
    pub(crate) fn show(&self, bytes: &[u8]) {
        if self.snooped.receiver_count() != 0 && !bytes.is_empty() {
            let _ = self.snooped.send(bytes.into());
        }
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
        let may = wanted.fail_mode == FailMode::Standalone && wanted.has_controllers() && !wanted.restoring;
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

    /// Shows packets that no flow takes where a controller waits for them, and drops them where none does.
    pub(crate) fn show_misses(&self) {
        let wanted = self.control.wants_misses();
        if self.bridge.snapshot().shows_misses != wanted {
            self.bridge.publish(|snapshot, changes| {
                snapshot.shows_misses = wanted;
                changes.everything();
            });
        }
    }

    /// What the configuration says of flow tables: their names, and how many flows they may have.
    pub(crate) fn set_tables(&self, tables: &BTreeMap<u8, (Option<String>, TableLimit)>) {
        let names = tables.iter().filter_map(|(table, (name, _))| Some((*table, name.clone()?))).collect();
        *self.table_names.lock().unwrap_or_else(PoisonError::into_inner) = names;
        let known = self.bridge.snapshot();
        for table in 0..TABLES {
            let wanted = tables.get(&table).map(|(_, limit)| limit);
            let now = known.limits.get(&table).map(|limit| &**limit);
            if wanted != now {
                // What was used last decides who goes.
                self.flush();
                let gone = self.bridge.set_limit(table, wanted.cloned(), self.clock.now_ms());
                announce(Gathered::One(gone), self);
            }
        }
    }

    /// The name of a flow table; empty for one that has none.
    pub(crate) fn table_name(&self, table: u8) -> String {
        let names = self.table_names.lock().unwrap_or_else(PoisonError::into_inner);
        names.get(&table).cloned().unwrap_or_default()
    }

    /// Milliseconds after which a bundle that nobody adds to is forgotten.
    pub fn bundle_idle_ms(&self) -> u64 {
        self.bundle_idle_ms.load(Ordering::Relaxed)
    }

    /// Sets [`Self::bundle_idle_ms`].
    pub fn set_bundle_idle_ms(&self, idle_ms: u64) {
        self.bundle_idle_ms.store(idle_ms, Ordering::Relaxed);
    }

    /// Packets that are kept for a controller which got their beginning; as many for each.
    pub fn packet_buffers(&self) -> usize {
        self.packet_buffers.load(Ordering::Relaxed)
    }

    /// Sets [`Self::packet_buffers`]; at most [`MAX_PACKET_BUFFERS`].
    pub fn set_packet_buffers(&self, count: usize) {
        self.packet_buffers.store(count.min(MAX_PACKET_BUFFERS), Ordering::Relaxed);
        self.bridge.keeps_packets.store(count != 0, Ordering::Relaxed);
    }

    /// What is said of queues, by the names of ports.
    pub(crate) fn queues(&self) -> MutexGuard<'_, BTreeMap<String, PortQueues>> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says what queues there are, by the names of ports; those that stay as they are keep their age.
    pub fn set_queues(&self, mut wanted: BTreeMap<String, PortQueues>) {
        let mut queues = self.queues();
        for (port, said) in &mut wanted {
            said.since_ms = self.clock.now_ms();
            if let Some(old) = queues.get(port)
                && *said == (PortQueues { since_ms: said.since_ms, ..old.clone() })
            {
                said.since_ms = old.since_ms;
            }
        }
        *queues = wanted;
    }

    /// Packets and bytes that left by a datapath port, by the queue that an action gave them.
    pub(crate) fn queue_counters(&self, datapath_port: u32) -> BTreeMap<u32, (u64, u64)> {
        self.datapath.ask(move |context| context.engine.queued(datapath_port)).unwrap_or_default()
    }

    /// The devices by OpenFlow port number.
    pub(crate) fn devices(&self) -> MutexGuard<'_, BTreeMap<u32, Device>> {
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

    /// The spanning tree, where the bridge takes part in one.
    pub(crate) fn tree(&self) -> MutexGuard<'_, Option<Tree>> {
        self.tree.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes a port, and tells the controllers.
    pub(crate) fn change_port(&self, number: u32, change: impl Fn(&mut Port)) {
        self.change_ports(&[number], |_| (), change);
    }

    /// Changes ports, and what `edit` changes besides, at once; and tells the controllers. What is told of a port says how its
    /// device is then, so that the next look at links does not tell it again.
    pub(crate) fn change_ports(
        &self,
        numbers: &[u32],
        edit: impl FnOnce(&mut Snapshot),
        change: impl Fn(&mut Port),
    ) {
        let is_out = |number: u32| self.netdev(number).is_some_and(|netdev| !is_up(&*netdev));
        let wanted: Vec<(u32, bool)> = numbers.iter().map(|&number| (number, is_out(number))).collect();
        let changed = self.bridge.publish(|snapshot, changes| {
            edit(snapshot);
            let mut changed = Vec::new();
            for (number, no_carrier) in wanted {
                let Some(port) = snapshot.ports.get(&number) else { continue };
                let mut port = Port { no_carrier, ..(**port).clone() };
                change(&mut port);
                snapshot.ports.insert_mut(number, Arc::new(port.clone()));
                changed.push(port);
            }
            changes.everything();
            changed
        });
        for port in changed {
            self.tell(Event::PortStatus(PORT_MODIFIED, Box::new(port_description(&port, self))));
        }
    }

    /// Looks whether devices have lost their carrier or got it back: groups and the spanning tree take other ways then, and
    /// controllers are told.
    pub(crate) fn look_at_links(&self) {
        let snapshot = self.bridge.snapshot();
        let now: BTreeMap<u32, bool> =
            self.devices().iter().map(|(number, device)| (*number, !is_up(&*device.netdev))).collect();
        let differs = |port: &&Arc<Port>| now.get(&port.number).is_some_and(|out| *out != port.no_carrier);
        let mut changed: Vec<u32> = snapshot.ports.values().filter(differs).map(|port| port.number).collect();
        if changed.is_empty() {
            return;
        }
        changed.sort_unstable();
        self.change_ports(&changed, |_| (), |_| ());
        self.messages_came.notify_one();
    }

    /// Puts the cable of a port in or out. A device behind it shows it to its other end.
    pub(crate) fn set_link(&self, number: u32, down: bool) {
        let snapshot = self.bridge.snapshot();
        let Some(port) = snapshot.ports.get(&number).filter(|port| port.link_down != down) else { return };
        if let Some(netdev) = self.netdev(number) {
            // A device that cannot be switched is cut off all the same: translation takes nothing from it.
            let _ = netdev.set_admin_up(!down && port.config & port::config::DOWN == 0);
        }
        self.change_port(number, |port| port.link_down = down);
        self.messages_came.notify_one();
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
        crate::unixctl::explain(self, packet)
    }

    /// The network that its packets are translated through.
    pub(crate) fn network(&self) -> &Arc<Network> {
        &self.network
    }

    /// The datapath that forwards for it.
    pub(crate) fn datapath(&self) -> &Datapath<Pipeline> {
        &self.datapath
    }

    /// Returns once no packet is under way by what was published before.
    pub fn barrier(&self) {
        self.datapath.settle();
    }

    /// Sends a packet as a controller asks.
    ///
    /// # Errors
    /// If an action names what is not there, or the packet is too large.
    pub fn packet_out(&self, packet: &PacketOut) -> Result<(), OfError> {
        let PacketOut { in_port, ref actions, ref data, ref matching, .. } = *packet;
        if data.len() > heddle_wire::packet::MAX_FRAME {
            return Err(OfError::RequestBadPacket);
        }
        // A field that no action may write cannot be given to a packet either.
        let mut given = FIELDS.iter().filter(|spec| spec.primary && matching.get(spec.field).1 != 0);
        if given.any(|spec| !spec.writable) {
            return Err(OfError::MatchBadField);
        }
        let packet = Packet::from_frame(data);
        let mut key = key_of(&packet, in_port);
        // Fields of the pipeline that the controller says the packet has (OpenFlow 1.5.1 section 7.3.6).
        for (word, mask) in matching.mask().words.iter().enumerate() {
            key.words[word] = key.words[word] & !mask | matching.key().words[word];
        }
        Known::of_packet(&key).actions(actions)?;
        self.bridge.snapshot().has_groups(actions)?;
        let actions = actions.clone();
        if self.packets_out.fetch_add(1, Ordering::Relaxed) % PACKETS_OUT == PACKETS_OUT - 1 {
            self.barrier();
        }
        self.send(packet, in_port, move |network, bridge, now_ms| {
            Translation::packet_out(network, bridge, in_port, &key, &actions, now_ms)
        });
        Ok(())
    }

    /// Sends a frame of the bridge's own by a port, whatever the spanning tree says of that.
    pub(crate) fn send_by_port(&self, number: u32, frame: &[u8]) {
        let packet = Packet::from_frame(frame);
        let key = key_of(&packet, port::LOCAL);
        self.send(packet, port::LOCAL, move |network, bridge, now_ms| {
            Translation::sent_by(network, bridge, number, &key, now_ms)
        });
    }

    /// Has the datapath do with a packet what is decided there.
    fn send(
        &self,
        packet: Packet,
        in_port: u32,
        decide: impl FnOnce(&Network, &Arc<Bridge>, u64) -> heddle_datapath::Translation + Send + 'static,
    ) {
        let (network, bridge) = (Arc::clone(&self.network), Arc::clone(&self.bridge));
        self.datapath.post(move |context| {
            let now_ms = context.now_ms;
            let outcome = decide(&network, &bridge, now_ms);
            let usage = heddle_datapath::Usage {
                packets: 1,
                bytes: packet.len() as u64,
                used_ms: now_ms,
                tcp_flags: 0,
            };
            outcome.decision.credit(&usage);
            context.engine.execute(packet, in_port, &outcome.actions, now_ms);
        });
    }

    /// Lets a packet go on that waited for a controller, as the controller has it now.
    ///
    /// # Errors
    /// `NXR_STALE` if it does not wait here any more, or never did.
    pub fn resume(&self, id: u32, fields: &Match, frame: &[u8]) -> Result<(), OfError> {
        if frame.len() > heddle_wire::packet::MAX_FRAME {
            return Err(OfError::RequestBadPacket);
        }
        let id = self.network.resumed(&self.bridge.name, id, fields).ok_or(OfError::ResumeStale)?;
        let packet = Packet::from_frame(frame);
        let mut key = PacketKey::default();
        // Where it came in is part of what waited.
        heddle_flow::extract(packet.data(), 0, 0, &mut key);
        self.datapath.post(move |context| {
            let now_ms = context.now_ms;
            context.engine.execute(packet, 0, &[heddle_datapath::Action::Recirculate(id)], now_ms);
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
                // A device in memory counts no errors, which all ones say.
                let counts = device.is_some_and(|device| device.netdev.kind() != "dummy");
                let known = |count: u64| if counts { count } else { u64::MAX };
                let patch = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
                PortStats {
                    number: port.number,
                    counters: [
                        of.rx_packets + patch(&port.counters.rx_packets),
                        of.tx_packets + patch(&port.counters.tx_packets),
                        of.rx_bytes + patch(&port.counters.rx_bytes),
                        of.tx_bytes + patch(&port.counters.tx_bytes),
                        known(of.rx_dropped),
                        known(of.tx_dropped),
                        known(of.rx_errors),
                        known(of.tx_errors),
                        u64::MAX,
                        u64::MAX,
                        u64::MAX,
                        u64::MAX,
                    ],
                    duration: Some(Duration::from_millis(
                        device.map_or(0, |device| now_ms.saturating_sub(device.added_ms)),
                    )),
                }
            })
            .collect();
        stats.sort_by_key(|port| port.number);
        stats
    }

    /// What time brings: ends flows whose time is up and addresses that were not seen for long, takes over from controllers
    /// that are gone for too long, and moves the spanning tree on.
    pub fn expire(&self) {
        let now_ms = self.clock.now_ms();
        self.fail_open(now_ms);
        self.show_misses();
        // The kernel tells of devices in the switch's own network namespace alone.
        if self.ticks.fetch_add(1, Ordering::Relaxed).is_multiple_of(TICKS_A_LOOK) {
            self.look_at_links();
        }
        self.keep_reachable();
        self.run_tree();
        if self.bridge.fdb.expire(now_ms) {
            self.bridge.touch();
        }
        if !self.bridge.expiry_due(now_ms) {
            return;
        }
        // A flow is idle only if it is after all that was forwarded is credited.
        self.flush();
        let gone = self.bridge.expire(now_ms);
        let removed = gone.into_iter().map(|(flow, why)| FlowChange::Removed(flow, why));
        announce(Gathered::One(removed.collect()), self);
    }
}

/// Whether a device is up and has carrier.
fn is_up(netdev: &dyn Netdev) -> bool {
    let link = netdev.link_state();
    link.admin_up && link.carrier
}

/// The key of a frame that comes in by a port.
fn key_of(packet: &Packet, in_port: u32) -> FlowKey {
    let mut key = PacketKey::default();
    heddle_flow::extract(packet.data(), in_port, 0, &mut key);
    key.expand()
}
