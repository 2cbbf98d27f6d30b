//! A bridge: its published snapshot, and the live state beside it.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use arc_swap::ArcSwap;
use heddle_datapath::Change;

use crate::changes::{Changes, of_address, of_flow};
use crate::fdb::Fdb;
use crate::flow_mod::{FlowChange, TABLES};
use crate::frozen::FrozenStates;
use crate::table::{ChangeLog, PortCounters, Snapshot, TableCounters};
use crate::tree::Messages;

/// A packet on its way to the controllers of a bridge.
#[derive(Clone, Debug)]
pub struct PacketIn {
    /// Why: 0 no match, 1 action, 2 invalid TTL (OpenFlow 1.3.5 section 7.4.1).
    pub reason: u8,
    /// Table of the flow that sent it.
    pub table: u8,
    /// Cookie of the flow that sent it.
    pub cookie: u64,
    /// OpenFlow port it came in by.
    pub in_port: u32,
    /// Metadata at that moment.
    pub metadata: u64,
    /// Registers and the like at that moment: what the packet's headers do not say, where it is not zero.
    pub fields: Vec<(heddle_flow::Field, u128)>,
    /// Which controllers are meant: those of this number.
    pub controller_id: u16,
    /// Bytes for the controller.
    pub userdata: Vec<u8>,
    /// The translation that waits for the controller to let the packet go on, where one does: what
    /// [`heddle_datapath::Action::Recirculate`] takes.
    pub continuation: Option<u32>,
    /// Whether no flow asked for it: OpenFlow before 1.3 shows packets that no flow takes.
    pub unasked: bool,
    /// Length of the whole frame in bytes.
    pub total_len: u16,
    /// The frame, cut to what was asked for.
    pub data: Vec<u8>,
    /// The whole frame, where it was cut and the bridge keeps packets for controllers.
    pub whole: Option<Arc<[u8]>>,
}

/// Packets for the controllers that a bridge hands over in a second, and at once. A loop between switches that a
/// controller floods would otherwise keep both busy for ever.
const PUNTS_A_SECOND: u64 = 1_000;
const PUNTS_AT_ONCE: u64 = 1_000;

/// A bound on how often something happens (the generic cell rate algorithm): when the next one would be due at an even
/// pace, in microseconds of the datapath's clock.
#[derive(Default)]
struct Pace(AtomicU64);

impl Pace {
    /// Whether one more may happen now.
    fn allows(&self, now_ms: u64) -> bool {
        let now = now_ms * 1000;
        let next = |due: u64| {
            let due = due.max(now);
            let early = due - now < PUNTS_AT_ONCE * 1_000_000 / PUNTS_A_SECOND;
            early.then_some(due + 1_000_000 / PUNTS_A_SECOND)
        };
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).is_ok()
    }
}

/// Takes packets for the controllers, and says whether there was room. It never blocks.
pub type Sink = Box<dyn Fn(PacketIn) -> bool + Send + Sync>;

/// Whose message a change was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The connection's number.
    pub connection: u64,
    /// The message's transaction id.
    pub xid: u32,
}

/// What became of flows by each message of one swap.
pub type ShownChanges<'a> = dyn Iterator<Item = (&'a [FlowChange], Option<Origin>)> + 'a;

/// Sees what became of flows, in the order in which it was published, beside the snapshot that has it. It runs while nothing
/// else can change the bridge, also on threads that forward packets, which it must not wait for.
pub type FlowWatch = Box<dyn Fn(&Snapshot, &mut ShownChanges<'_>) + Send + Sync>;

/// A bridge.
pub struct Bridge {
    /// Its name.
    pub name: String,
    snapshot: ArcSwap<Snapshot>,
    writer: Mutex<()>,
    /// What has changed, for cached decisions.
    pub changes: ChangeLog,
    watch: OnceLock<FlowWatch>,
    /// Learned addresses.
    pub fdb: Fdb,
    /// Counters of the tables, by number.
    pub tables: Box<[TableCounters; TABLES as usize]>,
    punted: Sink,
    /// Whether packets that are cut for controllers come whole beside.
    pub keeps_packets: AtomicBool,
    /// Frames for its spanning tree.
    pub messages: Messages,
    /// Packets that found the way to the controllers full.
    pub punts_dropped: AtomicU64,
    /// Packets for the controllers above what a bridge hands over in a second.
    pub punts_limited: AtomicU64,
    pace: Pace,
    /// No flow's time is up before this, in milliseconds of the datapath's clock.
    pub(crate) next_expiry_ms: AtomicU64,
    change: Arc<Changes>,
}

impl Bridge {
    /// The snapshot that translations read now.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.load_full()
    }

    /// Changes the configuration in one swap: a translation sees all of it or none. `edit` says what it changed, to be
    /// noted for cached decisions after publication.
    pub fn publish<R>(&self, edit: impl FnOnce(&mut Snapshot, &ChangeLog) -> R) -> R {
        let answer = self.try_publish(|snapshot, changes| Ok::<R, Infallible>(edit(snapshot, changes)));
        answer.unwrap_or_else(|never| match never {})
    }

    /// The same for an edit that may be refused.
    ///
    /// # Errors
    /// The edit's; nothing has changed then.
    pub fn try_publish<R, E>(
        &self,
        edit: impl FnOnce(&mut Snapshot, &ChangeLog) -> Result<R, E>,
    ) -> Result<R, E> {
        self.try_publish_and(edit, |_, _| ())
    }

    /// The same, and shows what came of it before anything else can change the bridge.
    pub(crate) fn try_publish_and<R, E>(
        &self,
        edit: impl FnOnce(&mut Snapshot, &ChangeLog) -> Result<R, E>,
        show: impl FnOnce(&Snapshot, &R),
    ) -> Result<R, E> {
        let _writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let mut next = (*self.snapshot.load_full()).clone();
        next.version += 1;
        let pending = ChangeLog::gathering();
        let answer = edit(&mut next, &pending)?;
        let next = Arc::new(next);
        self.snapshot.store(Arc::clone(&next));
        if pending.last() == 0 {
            self.change.note(Change::ANY);
        }
        pending.each(|change| {
            let about = change.map_or(Change::ANY, |(_, matching)| of_flow(&self.name, matching));
            self.change.note_with(about, |number| self.changes.record(number, change));
        });
        show(&next, &answer);
        Ok(answer)
    }

    /// [`Bridge::try_publish`] for an edit of flows, which is shown to who watches.
    pub(crate) fn publish_flows<E>(
        &self,
        edit: impl FnOnce(&mut Snapshot, &ChangeLog) -> Result<Vec<FlowChange>, E>,
        by: Option<Origin>,
    ) -> Result<Vec<FlowChange>, E> {
        self.try_publish_and(edit, |snapshot, changed| {
            self.show(snapshot, &mut std::iter::once((&changed[..], by)));
        })
    }

    pub(crate) fn show(&self, snapshot: &Snapshot, changed: &mut ShownChanges<'_>) {
        if let Some(watch) = self.watch.get() {
            watch(snapshot, changed);
        }
    }

    /// Says who sees what becomes of flows from now on; whether nobody did before.
    pub fn watch_flows(&self, watch: FlowWatch) -> bool {
        self.watch.set(watch).is_ok()
    }

    /// Does something that fits the snapshot and nothing that is published later, which waits. It must not wait for threads
    /// that forward packets.
    pub fn with_settled<R>(&self, act: impl FnOnce(&Snapshot) -> R) -> R {
        let _writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        act(&self.snapshot.load_full())
    }

    /// Number of the last change of anything, in any bridge.
    pub fn change_number(&self) -> u64 {
        self.change.number()
    }

    /// Says that something which any decision may depend on has changed.
    pub fn touch(&self) {
        self.change.note(Change::ANY);
    }

    /// Says that an address was learned, has moved or was forgotten.
    pub fn touch_address(&self, vlan: u16, mac: u64) {
        self.change.note(of_address(&self.name, vlan, mac));
    }

    /// Whether a packet may go to the controllers now; counted where not.
    pub fn may_punt(&self, now_ms: u64) -> bool {
        let may = self.pace.allows(now_ms);
        if !may {
            self.punts_limited.fetch_add(1, Ordering::Relaxed);
        }
        may
    }

    /// Hands a packet to the controllers; dropped and counted when they are behind.
    pub fn punt(&self, packet: PacketIn) {
        if !(self.punted)(packet) {
            self.punts_dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Where a datapath port is attached.
#[derive(Clone)]
pub struct Place {
    /// The bridge.
    pub bridge: Arc<Bridge>,
    /// Its OpenFlow number there.
    pub port: u32,
    /// Counters that what comes in is credited to; a device counts by itself.
    pub counters: Option<Arc<PortCounters>>,
}

/// All bridges of a process: what translation walks through.
#[derive(Default)]
pub struct Network {
    /// Change number of everything that decisions depend on.
    pub change: Arc<Changes>,
    bridges: ArcSwap<HashMap<String, Arc<Bridge>>>,
    places: ArcSwap<HashMap<u32, Place>>,
    writer: Mutex<()>,
    next_port: AtomicU32,
    /// Translations that wait for a packet to be looked up again.
    pub frozen: FrozenStates,
    /// What is known of packets handed to controllers.
    pub punts: crate::frozen::Punts,
}

impl Network {
    fn lock(&self) -> MutexGuard<'_, ()> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn touch(&self) {
        self.change.note(Change::ANY);
    }

    /// Makes a bridge; packets for its controllers go to `punted`. `None` if the name is taken.
    pub fn add_bridge(&self, name: &str, punted: Sink) -> Option<Arc<Bridge>> {
        let _writer = self.lock();
        let mut bridges = (**self.bridges.load()).clone();
        if bridges.contains_key(name) {
            return None;
        }
        let bridge = Arc::new(Bridge {
            name: name.to_owned(),
            snapshot: ArcSwap::default(),
            writer: Mutex::new(()),
            changes: ChangeLog::default(),
            watch: OnceLock::new(),
            fdb: Fdb::default(),
            tables: Box::new(std::array::from_fn(|_| TableCounters::default())),
            punted,
            keeps_packets: AtomicBool::new(false),
            messages: Messages::default(),
            punts_dropped: AtomicU64::new(0),
            punts_limited: AtomicU64::new(0),
            pace: Pace::default(),
            next_expiry_ms: AtomicU64::new(u64::MAX),
            change: Arc::clone(&self.change),
        });
        bridges.insert(name.to_owned(), Arc::clone(&bridge));
        self.bridges.store(Arc::new(bridges));
        self.touch();
        Some(bridge)
    }

    /// Forgets a bridge.
    pub fn remove_bridge(&self, name: &str) -> Option<Arc<Bridge>> {
        let _writer = self.lock();
        let mut bridges = (**self.bridges.load()).clone();
        let bridge = bridges.remove(name)?;
        self.bridges.store(Arc::new(bridges));
        self.change.note_with(Change::ANY, |number| bridge.changes.record(number, None));
        Some(bridge)
    }

    /// Makes every cached decision be made again.
    pub(crate) fn decide_again(&self) {
        self.bridges.load().values().for_each(|bridge| bridge.changes.everything());
        self.touch();
    }

    /// The bridge of this name.
    pub fn bridge(&self, name: &str) -> Option<Arc<Bridge>> {
        self.bridges.load().get(name).cloned()
    }

    /// Names of the bridges, in order.
    pub fn bridge_names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.bridges.load().keys().cloned().collect();
        names.sort();
        names
    }

    /// A datapath port number that was not used before.
    pub fn allocate_port(&self) -> u32 {
        loop {
            let number = self.next_port.fetch_add(1, Ordering::Relaxed) + 1;
            if self.place(number).is_none() {
                return number;
            }
        }
    }

    /// A datapath port number that a test can foretell, as Open vSwitch chooses it for dummies: the first number in the
    /// name, from 100 on for bridges (`br0` is 100), or else the least that is free. It may have been another port's.
    pub fn allocate_dummy_port(&self, name: &str) -> u32 {
        let base = if name.starts_with("br") { 100 } else { 0 };
        let digits = name.trim_start_matches(|letter: char| !letter.is_ascii_digit());
        let end = digits.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(digits.len());
        let named = digits[..end].parse::<u16>().ok().map(|number| base + u32::from(number));
        let is_free = |number: &u32| *number != 0 && self.place(*number).is_none();
        named.filter(is_free).or_else(|| (1..).find(is_free)).unwrap_or_else(|| self.allocate_port())
    }

    /// Says where a datapath port is attached.
    pub fn attach(&self, datapath_port: u32, place: Place) {
        self.edit_places(|places| {
            places.insert(datapath_port, place);
        });
    }

    /// Forgets where a datapath port was attached.
    pub fn detach(&self, datapath_port: u32) {
        self.edit_places(|places| {
            places.remove(&datapath_port);
        });
    }

    fn edit_places(&self, edit: impl FnOnce(&mut HashMap<u32, Place>)) {
        let _writer = self.lock();
        let mut places = (**self.places.load()).clone();
        edit(&mut places);
        self.places.store(Arc::new(places));
        self.touch();
    }

    /// Where a datapath port is attached.
    pub fn place(&self, datapath_port: u32) -> Option<Place> {
        self.places.load().get(&datapath_port).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn punts_keep_a_pace() {
        let pace = Pace::default();
        let allowed = |now_ms: u64, tries: u64| (0..tries).filter(|_| pace.allows(now_ms)).count() as u64;
        assert_eq!(allowed(5, PUNTS_AT_ONCE * 2), PUNTS_AT_ONCE);
        assert_eq!(allowed(5 + 100, PUNTS_AT_ONCE), PUNTS_A_SECOND / 10);
        assert_eq!(allowed(5 + 60_000, PUNTS_AT_ONCE * 2), PUNTS_AT_ONCE);
    }
}
