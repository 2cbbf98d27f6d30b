//! A bridge as controllers and devices need it: what it shares with the datapath, what its controllers are told, and
//! what operators ask of it.

mod control;
mod packets;
mod ports;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use heddle_datapath::{Clock, Datapath};
use heddle_openflow::Body;
use heddle_openflow::message::FlowRemoved;
use heddle_openflow::role::RoleStatus;
use heddle_openflow::table::TableStatus;
use heddle_pipeline::flow_mod::{FlowChange, TABLES};
use heddle_pipeline::table::TableLimit;
use heddle_pipeline::{Bridge, Network, PacketIn, Pipeline};
use heddle_stp::State;
use tokio::sync::{Notify, broadcast};

pub(crate) use self::control::Wanted;
pub(crate) use self::ports::Device;
pub use self::ports::PortNews;
use crate::config::PortQueues;
use crate::connection::{Control, Gathered, announce};
use crate::controllers::Faring;
use crate::in_band::Remote;
use crate::tree::Tree;

/// Events that wait for a slow connection; older ones are lost to it.
pub(crate) const EVENTS: usize = 1024;
/// How often [`ManagedBridge::expire`] is called between two looks at links of which the kernel may not have told.
const TICKS_A_LOOK: u32 = 4;
/// Milliseconds after which a bundle that nobody adds to is forgotten, as in Open vSwitch.
pub(crate) const BUNDLE_IDLE_MS: u64 = 10_000;
/// Packets that a bridge of a file keeps for each controller, and the most that a database may ask for.
pub(crate) const PACKET_BUFFERS: usize = 256;
/// Most packets that are kept for a controller.
pub const MAX_PACKET_BUFFERS: usize = 4096;

/// Something that controllers are told.
#[derive(Clone, Debug)]
pub enum Event {
    /// A packet.
    PacketIn(PacketIn),
    /// A flow has gone.
    FlowRemoved(Box<FlowRemoved>),
    /// A port came, went or changed.
    Port(Box<PortNews>),
    /// A table filled or emptied.
    TableStatus(TableStatus),
    /// Something waits for those who watch flows.
    FlowUpdates,
    /// The role of the connection of this number has changed unasked.
    RoleStatus(u64, RoleStatus),
    /// The connection of this number has changed a group or a meter by this message.
    Forward(u64, Arc<Body>),
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

    /// Its OpenFlow id.
    pub fn datapath_id(&self) -> u64 {
        self.datapath_id.load(Ordering::Relaxed)
    }

    /// Gives it another OpenFlow id; who is connected learns it when it asks again.
    pub fn set_datapath_id(&self, id: u64) {
        self.datapath_id.store(id, Ordering::Relaxed);
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

    /// The spanning tree, where the bridge takes part in one.
    pub(crate) fn tree(&self) -> MutexGuard<'_, Option<Tree>> {
        self.tree.lock().unwrap_or_else(PoisonError::into_inner)
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
    pub fn datapath(&self) -> &Datapath<Pipeline> {
        &self.datapath
    }

    /// Returns once no packet is under way by what was published before.
    pub fn barrier(&self) {
        self.datapath.settle();
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
