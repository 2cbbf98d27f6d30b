//! Flow tables: flows, the snapshot that translations read, and the log of what has changed.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use heddle_flow::classifier::Rule;
use heddle_flow::{Classifier, Field, FlowKey, FlowMask, Match, PackedMatch};
use heddle_openflow::Instruction;
use rpds::HashTrieMapSync;

use crate::conjunction::is_part;
use crate::group::Group;
use crate::tree::Protocol;

/// Counters of a flow, shared by every version of it and by the megaflows that credit it.
#[derive(Debug, Default)]
pub struct FlowStats {
    /// Wire packets.
    pub packets: AtomicU64,
    /// Wire bytes.
    pub bytes: AtomicU64,
    /// When it last matched, in milliseconds of the datapath's clock.
    pub used_ms: AtomicU64,
    /// When it was last learned again, in milliseconds of the datapath's clock.
    pub refreshed_ms: AtomicU64,
}

/// A flow of a table.
#[derive(Debug)]
pub struct Flow {
    /// The table it is in.
    pub table: u8,
    /// What it matches.
    pub matching: PackedMatch,
    /// The higher wins.
    pub priority: u16,
    /// The controller's mark.
    pub cookie: u64,
    /// Seconds without a packet after which it goes; zero for never.
    pub idle_timeout: u16,
    /// Seconds after which it goes; zero for never.
    pub hard_timeout: u16,
    /// Flags of the message that made it.
    pub flags: u16,
    /// Where a table must make room, the least important goes first (OpenFlow 1.4).
    pub importance: u16,
    /// When it was made, in milliseconds of the datapath's clock.
    pub created_ms: u64,
    /// When it was last changed by a message; its hard timeout counts from there, as in Open vSwitch.
    pub modified_ms: u64,
    /// The snapshot ([`Snapshot::version`]) since which flows of this match and priority have been there.
    pub placed: u64,
    /// The snapshot that it was added with, perhaps in the place of another.
    pub added: u64,
    /// The snapshot since which it does what it does, under its cookie.
    pub modified: u64,
    /// What to do.
    pub instructions: Arc<[Instruction]>,
    /// Its counters.
    pub stats: Arc<FlowStats>,
}

impl Flow {
    /// The same flow with other timeouts; its counters are shared.
    #[must_use]
    pub(crate) fn with_timeouts(&self, idle_timeout: u16, hard_timeout: u16) -> Self {
        Self {
            table: self.table,
            matching: self.matching.clone(),
            priority: self.priority,
            cookie: self.cookie,
            idle_timeout,
            hard_timeout,
            flags: self.flags,
            importance: self.importance,
            created_ms: self.created_ms,
            modified_ms: self.modified_ms,
            placed: self.placed,
            added: self.added,
            modified: self.modified,
            instructions: Arc::clone(&self.instructions),
            stats: Arc::clone(&self.stats),
        }
    }
}

impl Rule for Flow {
    fn matching(&self) -> Match {
        self.matching.expand()
    }
    fn priority(&self) -> u16 {
        self.priority
    }
}

/// What stands behind a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attachment {
    /// A device of the datapath, by its datapath port number.
    Device(u32),
    /// The other end of a patch: bridge and port there.
    Patch {
        /// Name of the other bridge.
        bridge: String,
        /// Name of the port there.
        port: String,
    },
    /// A link that takes time, or loses: what is sent goes out by a line of the datapath and comes to the other end later.
    Link {
        /// Number of the line among the datapath's ports.
        line: u32,
        /// Name of the bridge at the other end.
        bridge: String,
        /// Name of the port there.
        port: String,
    },
    /// The bridge's own port, with no device behind it.
    Local,
}

/// A port of a bridge.
#[derive(Clone, Debug)]
pub struct Port {
    /// OpenFlow port number.
    pub number: u32,
    /// Its name.
    pub name: String,
    /// Its Ethernet address.
    pub mac: [u8; 6],
    /// What stands behind it.
    pub attachment: Attachment,
    /// What a controller has set of it ([`heddle_openflow::port::config`]).
    pub config: u32,
    /// Whether its cable is out: nothing passes.
    pub link_down: bool,
    /// Whether its device is down or has no carrier: nothing that it is given arrives.
    pub no_carrier: bool,
    /// What the spanning tree lets it do.
    pub tree: heddle_stp::State,
    /// Counters of a port without a device.
    pub counters: Arc<PortCounters>,
}

impl Port {
    /// A port as it is at first: up, with its cable in, and without counts.
    #[must_use]
    pub fn new(number: u32, name: impl Into<String>, mac: [u8; 6], attachment: Attachment) -> Self {
        Self {
            number,
            name: name.into(),
            mac,
            attachment,
            config: 0,
            link_down: false,
            no_carrier: false,
            tree: heddle_stp::State::default(),
            counters: Arc::default(),
        }
    }

    /// Whether what is sent by it may arrive: what groups and bundles look at.
    #[must_use]
    pub fn is_live(&self) -> bool {
        !self.link_down && !self.no_carrier && self.config & heddle_openflow::port::config::DOWN == 0
    }
}

/// Counters of a table.
#[derive(Debug, Default)]
pub struct TableCounters {
    /// Packets looked up.
    pub lookups: AtomicU64,
    /// Packets that a flow took.
    pub matched: AtomicU64,
}

/// Counters that translations credit, for ports without a device of their own.
#[derive(Debug, Default)]
pub struct PortCounters {
    /// Packets that came in.
    pub rx_packets: AtomicU64,
    /// Bytes that came in.
    pub rx_bytes: AtomicU64,
    /// Packets that went out.
    pub tx_packets: AtomicU64,
    /// Bytes that went out.
    pub tx_bytes: AtomicU64,
}

/// How IP fragments meet flows that ask for transport ports (OpenFlow 1.3.5 section 7.3.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fragments {
    /// Every fragment is looked up with ports of zero.
    #[default]
    Normal,
    /// Fragments are dropped.
    Drop,
    /// The first fragment is looked up with its ports (Nicira's).
    Match,
}

/// What becomes of a packet that no flow of a table takes, as OpenFlow 1.1 and 1.2 configure it by table
/// (OpenFlow 1.2 section A.3.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Miss {
    /// As the bridge has it: dropped, or shown to controllers that wait for such packets.
    #[default]
    Default,
    /// It goes to the controllers.
    Controller,
    /// It goes on in the next table.
    Continue,
    /// It is dropped.
    Drop,
}

/// How many flows a table may have, and what happens when it is full.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TableLimit {
    /// Most flows; [`crate::flow_mod::MAX_FLOWS`] where nothing is said.
    pub flows: Option<usize>,
    /// Whether a flow that would end by itself makes room for a new one.
    pub evicts: bool,
    /// Flows that have the same values in these fields form a group; the largest one loses a flow first.
    pub groups: Vec<Field>,
}

/// A bridge's configuration at one moment, as translations read it. Structurally shared with its predecessors.
#[derive(Clone, Default)]
pub struct Snapshot {
    /// How many snapshots were published before it.
    pub version: u64,
    tables: HashTrieMapSync<u8, Arc<Classifier<Flow>>>,
    /// How many flows of a table are parts of conjunctive matches, where there are some.
    conjunctive: HashTrieMapSync<u8, usize>,
    /// Meters by number.
    pub meters: HashTrieMapSync<u32, Arc<crate::meter::MeterEntry>>,
    /// Ports by number.
    pub ports: HashTrieMapSync<u32, Arc<Port>>,
    /// Groups by number.
    pub groups: HashTrieMapSync<u32, Arc<Group>>,
    /// Flows that are nobody's to see or change; those of the first table that match what one of these does are not asked.
    pub hidden: Arc<Classifier<Flow>>,
    /// Whether the bridge has lost its controllers and forwards as a learning switch, whatever its flows say (Open
    /// vSwitch's fail-open).
    pub standalone: bool,
    /// The spanning tree that the bridge takes part in.
    pub tree: Option<Protocol>,
    /// How fragments are handled.
    pub fragments: Fragments,
    /// What becomes of packets that no flow takes, by table, where something else than the default is said.
    pub misses: HashTrieMapSync<u8, Miss>,
    /// How many flows tables may have, where something is said.
    pub limits: HashTrieMapSync<u8, Arc<TableLimit>>,
    /// Tables whose flows may go to make room for others because a controller says so, whatever [`Snapshot::limits`] says.
    pub evicting: HashTrieMapSync<u8, ()>,
    /// Whether a controller waits for packets that no flow takes, as those of OpenFlow before 1.3 do.
    pub shows_misses: bool,
}

impl Snapshot {
    /// The flow that takes `key` in a table.
    pub fn lookup(&self, table: u8, key: &FlowKey, looked_at: &mut FlowMask) -> Option<&Arc<Flow>> {
        if !self.conjunctive.is_empty() && self.conjunctive.contains_key(&table) {
            return self.lookup_conjunctive(table, key, looked_at).map(|(flow, _)| flow);
        }
        self.tables.get(&table)?.lookup(key, looked_at)
    }

    /// The flows of a table.
    pub fn table(&self, table: u8) -> Option<&Classifier<Flow>> {
        self.tables.get(&table).map(|table| &**table)
    }

    /// Tables that have flows, in order.
    pub fn tables(&self) -> Vec<u8> {
        let mut tables: Vec<u8> = self.tables.keys().copied().collect();
        tables.sort_unstable();
        tables
    }

    /// Every flow, by table.
    pub fn flows(&self) -> Vec<Arc<Flow>> {
        let tables = self.tables();
        tables.iter().filter_map(|table| self.table(*table)).flat_map(|table| table.iter().cloned()).collect()
    }

    /// Adds a flow; returns the one of the same match and priority that it replaces.
    pub fn insert(&mut self, flow: Arc<Flow>) -> Option<Arc<Flow>> {
        let id = flow.table;
        let parts = usize::from(is_part(&flow.instructions));
        let old = match self.tables.get_mut(&id) {
            Some(table) => Arc::make_mut(table).insert(flow),
            None => {
                let mut table = Classifier::default();
                table.insert(flow);
                self.tables.insert_mut(id, Arc::new(table));
                None
            }
        };
        let fewer = old.as_ref().map_or(0, |old| usize::from(is_part(&old.instructions)));
        self.count_conjunctive(id, parts, fewer);
        old
    }

    /// Removes a flow.
    pub fn remove(&mut self, flow: &Flow) {
        let Some(table) = self.tables.get_mut(&flow.table) else { return };
        let table = Arc::make_mut(table);
        let old = table.remove(&flow.matching.expand(), flow.priority);
        if table.is_empty() {
            self.tables.remove_mut(&flow.table);
        }
        self.count_conjunctive(flow.table, 0, old.map_or(0, |old| usize::from(is_part(&old.instructions))));
    }

    fn count_conjunctive(&mut self, table: u8, more: usize, fewer: usize) {
        if more == fewer {
            return;
        }
        let count = self.conjunctive.get(&table).copied().unwrap_or(0) + more;
        match count.saturating_sub(fewer) {
            0 => {
                self.conjunctive.remove_mut(&table);
            }
            count => self.conjunctive.insert_mut(table, count),
        }
    }

    /// The port of this name.
    pub fn port_by_name(&self, name: &str) -> Option<&Arc<Port>> {
        self.ports.values().find(|port| port.name == name)
    }
}

/// How many changes of a table are remembered; a decision older than that is translated again.
const REMEMBERED: usize = 1024;

/// What has changed in a bridge, so that a cached decision can tell whether it is concerned.
#[derive(Default)]
pub struct ChangeLog {
    last: AtomicU64,
    state: Mutex<LogState>,
}

#[derive(Default)]
struct LogState {
    /// Changes at or below this number are forgotten.
    forgotten: u64,
    /// Changes are gathered to be told at once, so that what comes after one was forgotten need not be kept.
    gathers: bool,
    changes: VecDeque<(u64, u8, Match)>,
}

impl ChangeLog {
    /// A log of changes that are not published yet.
    #[must_use]
    pub fn gathering() -> Self {
        Self { state: Mutex::new(LogState { gathers: true, ..LogState::default() }), ..Self::default() }
    }

    /// Number of the last change.
    pub fn last(&self) -> u64 {
        self.last.load(Ordering::Acquire)
    }

    /// Notes that a flow with this match came, changed or went.
    pub fn flow(&self, table: u8, matching: &Match) {
        self.record(self.last() + 1, Some((table, matching)));
    }

    /// Notes a change that concerns every decision: ports, modes.
    pub fn everything(&self) {
        self.record(self.last() + 1, None);
    }

    /// Notes a change under a number higher than the last: of a flow, or of everything.
    pub fn record(&self, number: u64, change: Option<(u8, &Match)>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match change {
            Some(_) if state.gathers && state.forgotten != 0 => {}
            Some((table, matching)) => {
                if state.changes.len() == REMEMBERED
                    && let Some((oldest, ..)) = state.changes.pop_front()
                {
                    state.forgotten = oldest;
                }
                state.changes.push_back((number, table, *matching));
            }
            None => {
                state.changes.clear();
                state.forgotten = number;
            }
        }
        self.last.store(number, Ordering::Release);
    }

    /// Tells each change gathered here, of a flow or of everything.
    pub fn each(&self, mut tell: impl FnMut(Option<(u8, &Match)>)) {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.forgotten != 0 {
            return tell(None);
        }
        state.changes.iter().for_each(|(_, table, matching)| tell(Some((*table, matching))));
    }

    /// Whether nothing that `concerns` says has changed since `seen`.
    pub fn unconcerned(&self, seen: u64, concerns: impl Fn(u8, &Match) -> bool) -> bool {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.forgotten <= seen
            && state
                .changes
                .iter()
                .rev()
                .take_while(|(number, ..)| *number > seen)
                .all(|(_, table, matching)| !concerns(*table, matching))
    }
}
