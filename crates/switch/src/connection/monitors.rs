//! Flow monitors: who is told what becomes of flows (OpenFlow 1.4.1 section 7.3.5.17, the extension 187 of the Open Networking
//! Foundation for 1.3, and Nicira's for earlier versions).
//!
//! The bridge shows every change in the order in which it was published; what a peer is to be told of it is written at once, and
//! waits for the connection. A peer that reads slowly is told no more than that flows have gone which it knows, until it has
//! read what waits; then it is told the difference. So what waits is bounded by what the peer was told. All that waits for
//! the connections of a bridge together is bounded by [`MAX_WAITING`]; whoever has most waiting is lost then.
//!
//! As Open vSwitch, and unlike the letter of OpenFlow 1.4, `OFPFMF_ONLY_OWN` does not keep other controllers' changes from being
//! told: it asks for the peer's own in full, as Nicira's flag does, and Open vSwitch's client sets it always.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use heddle_openflow::message::{Form, Version};
use heddle_openflow::monitor::{FlowUpdate, MonitorCommand, MonitorEvent, MonitorRequest, Update, flag};
use heddle_openflow::multipart::Reply;
use heddle_openflow::{Body, FlowMod, Message, OfError, port};
use heddle_pipeline::bridge::{Origin, ShownChanges};
use heddle_pipeline::flow_mod::{ANY_GROUP, FlowChange, TABLES, uses};
use heddle_pipeline::{Flow, Snapshot};

use super::news::removed_reason;

/// Bytes that wait for a peer, above which it is paused, as in Open vSwitch.
const PAUSE: usize = 128 * 1024;
/// Bytes that wait for all connections of a bridge.
const MAX_WAITING: usize = 256 << 20;
/// Monitors of a connection.
const MAX_MONITORS: usize = 1024;
/// Updates that are written at once.
const BATCH: usize = 1024;

/// Who watches the flows of a bridge.
#[derive(Debug, Default)]
pub(crate) struct Monitors {
    /// Whether anybody does: changes that nobody watches cost no more than this look.
    any: AtomicBool,
    watchers: Mutex<BTreeMap<u64, Watcher>>,
}

/// A connection that watches.
#[derive(Debug)]
struct Watcher {
    version: Version,
    monitors: BTreeMap<u32, MonitorRequest>,
    /// Messages to be sent after the difference, if that is being told.
    waiting: Vec<u8>,
    /// The last snapshot of which all is told or waits; nothing newer is told while it is there.
    paused: Option<u64>,
    difference: Option<Difference>,
    lost: bool,
}

/// What a peer missed: flows that it does not know as they are, to be looked through.
#[derive(Debug)]
struct Difference {
    since: u64,
    flows: std::vec::IntoIter<Arc<Flow>>,
}

/// Something that the peer may have to be told.
struct News<'a> {
    event: MonitorEvent,
    flow: &'a Flow,
    /// As the flow was, where it did something else.
    old: Option<&'a Flow>,
    reason: u8,
}

impl<'a> News<'a> {
    fn of(change: &'a FlowChange) -> Option<Self> {
        let (event, flow, old, reason) = match change {
            FlowChange::Added(flow) => (MonitorEvent::Added, flow, None, 0),
            FlowChange::Replaced { old, new } => (MonitorEvent::Added, new, Some(old), 0),
            FlowChange::Modified { old, new } => (MonitorEvent::Modified, new, Some(old), 0),
            FlowChange::Removed(flow, why) => (MonitorEvent::Removed, flow, None, why.number()),
        };
        let old = old
            .map(|old| &**old)
            .filter(|old| old.instructions != flow.instructions || old.cookie != flow.cookie);
        let says = event != MonitorEvent::Modified || old.is_some();
        says.then_some(Self { event, flow, old, reason })
    }

    fn asked_by(&self) -> u16 {
        match self.event {
            MonitorEvent::Initial => flag::INITIAL,
            MonitorEvent::Added => flag::ADD,
            MonitorEvent::Removed => flag::REMOVED,
            MonitorEvent::Modified => flag::MODIFY,
        }
    }

    fn update(&self, version: Version, flags: u16) -> Update {
        let flow = self.flow;
        let tells = flags & flag::INSTRUCTIONS != 0;
        Update::Flow(Box::new(FlowUpdate {
            event: self.event,
            reason: removed_reason(self.reason, version).into(),
            table_id: flow.table,
            priority: flow.priority,
            idle_timeout: flow.idle_timeout,
            hard_timeout: flow.hard_timeout,
            cookie: flow.cookie,
            matching: flow.matching.expand(),
            instructions: if tells { flow.instructions.to_vec() } else { Vec::new() },
        }))
    }
}

/// Whether a monitor is for a flow; a change that takes a flow away from its port is for it, too.
fn watches(monitor: &MonitorRequest, flow: &Flow, old: Option<&Flow>) -> bool {
    let sends = |flow: &Flow| uses(&flow.instructions, monitor.out_port, ANY_GROUP);
    (monitor.table_id == FlowMod::ALL_TABLES || monitor.table_id == flow.table)
        && (sends(flow) || old.is_some_and(sends))
        && uses(&flow.instructions, port::ANY, monitor.out_group)
        && flow.matching.is_within(&monitor.matching)
}

/// Messages that say these updates; none where there are none.
fn write(updates: Vec<Update>, version: Version) -> Vec<u8> {
    if updates.is_empty() {
        return Vec::new();
    }
    let body = Body::MultipartReply(Reply::FlowMonitor(updates));
    Message { form: Form::of(version), xid: 0, body }.encode()
}

impl Watcher {
    fn new(version: Version) -> Self {
        Self {
            version,
            monitors: BTreeMap::new(),
            waiting: Vec::new(),
            paused: None,
            difference: None,
            lost: false,
        }
    }

    /// The flags of the monitors that are for some news, together; zero for none.
    fn flags(&self, news: &News<'_>) -> u16 {
        let asked = |monitor: &&MonitorRequest| {
            monitor.flags & news.asked_by() != 0 && watches(monitor, news.flow, news.old)
        };
        self.monitors.values().filter(asked).fold(0, |flags, monitor| flags | monitor.flags)
    }

    /// What the peer is told of a change; `own` is its message, where it was the peer's.
    fn update(&self, change: &FlowChange, own: Option<u32>) -> Option<Update> {
        let news = News::of(change)?;
        let unknown = |since: u64| news.event != MonitorEvent::Removed || news.flow.placed > since;
        if self.paused.is_some_and(unknown) {
            return None;
        }
        let flags = self.flags(&news);
        let abbreviated = flags & (flag::ONLY_OWN | flag::NO_ABBREV) == 0 && self.paused.is_none();
        match own.filter(|_| abbreviated) {
            _ if flags == 0 => None,
            Some(xid) => Some(Update::Abbreviated(xid)),
            None => Some(news.update(self.version, flags)),
        }
    }

    /// Writes what the peer is told of changes; whether that was little enough not to be paused before.
    fn write(&mut self, changes: &[(&[FlowChange], Option<u32>)]) -> bool {
        let start = self.waiting.len();
        for (changed, own) in changes {
            let mut updates = Vec::new();
            for change in *changed {
                let Some(update) = self.update(change, *own) else { continue };
                if !matches!(update, Update::Abbreviated(_)) || updates.last() != Some(&update) {
                    updates.push(update);
                }
                if updates.len() == BATCH {
                    self.waiting.extend(write(std::mem::take(&mut updates), self.version));
                }
            }
            self.waiting.extend(write(updates, self.version));
            if self.paused.is_none() && self.waiting.len() - start > PAUSE {
                self.waiting.truncate(start);
                return false;
            }
        }
        true
    }

    /// Takes changes, which made `version` of the bridge's snapshots.
    fn see(&mut self, version: u64, changes: &[(&[FlowChange], Option<u32>)]) {
        if !self.write(changes) {
            // That is too much at once: the peer hears of it when it has read what waits.
            self.pause(version - 1);
            self.write(changes);
        }
        if self.paused.is_none() && self.waiting.len() > PAUSE {
            self.pause(version);
        }
    }

    fn pause(&mut self, version: u64) {
        self.paused = Some(version);
        self.waiting.extend(self.mark(Update::Paused, Body::FlowMonitorPaused));
    }

    /// That telling has paused or goes on: an update since OpenFlow 1.4, a message of its own before.
    fn mark(&self, update: Update, before: Body) -> Vec<u8> {
        let newer = self.version >= Version::V1_4;
        let body = if newer { Body::MultipartReply(Reply::FlowMonitor(vec![update])) } else { before };
        Message { form: Form::of(self.version), xid: 0, body }.encode()
    }

    /// The next part of what the peer missed; it ends with the mark that it is all.
    fn next_part(&mut self) -> Option<Vec<u8>> {
        let Difference { since, mut flows } = self.difference.take()?;
        let part: Vec<Arc<Flow>> = flows.by_ref().take(BATCH).collect();
        let update = |flow: &Arc<Flow>| {
            let event = if flow.added > since { MonitorEvent::Added } else { MonitorEvent::Modified };
            let news = News { event, flow, old: None, reason: 0 };
            let flags = self.flags(&news);
            (flags != 0).then(|| news.update(self.version, flags))
        };
        let mut out = write(part.iter().filter_map(update).collect(), self.version);
        if flows.len() == 0 {
            out.extend(self.mark(Update::Resumed, Body::FlowMonitorResumed));
        } else {
            self.difference = Some(Difference { since, flows });
        }
        Some(out)
    }

    fn has_news(&self) -> bool {
        !self.waiting.is_empty() || self.paused.is_some() || self.difference.is_some()
    }
}

/// Changes monitors as requests say; the numbers of those that are new.
fn apply(
    monitors: &mut BTreeMap<u32, MonitorRequest>,
    requests: Vec<MonitorRequest>,
    version: Version,
) -> Result<Vec<u32>, OfError> {
    let newer = version >= Version::V1_4;
    let mut new = Vec::new();
    for request in requests {
        if request.table_id >= TABLES && request.table_id != FlowMod::ALL_TABLES {
            return Err(if newer { OfError::MonitorBadTableId } else { OfError::RequestBadTable });
        }
        let id = request.id;
        let known = monitors.remove(&id);
        new.retain(|other| *other != id);
        match request.command {
            MonitorCommand::Add if known.is_some() => return Err(OfError::MonitorMonitorExists),
            MonitorCommand::Modify | MonitorCommand::Delete if known.is_none() => {
                return Err(OfError::MonitorUnknownMonitor);
            }
            MonitorCommand::Delete => continue,
            MonitorCommand::Add | MonitorCommand::Modify => {}
        }
        if monitors.len() == MAX_MONITORS {
            return Err(if newer { OfError::MonitorUnknown } else { OfError::RequestPermission });
        }
        monitors.insert(id, request);
        new.push(id);
    }
    Ok(new)
}

impl Monitors {
    fn watchers(&self) -> MutexGuard<'_, BTreeMap<u64, Watcher>> {
        self.watchers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes changes that were published, with the snapshot that they made; whether anybody is to be woken for them.
    pub(crate) fn see(&self, snapshot: &Snapshot, changes: &mut ShownChanges<'_>) -> bool {
        if !self.any.load(Ordering::Acquire) {
            return false;
        }
        let mut watchers = self.watchers();
        let changes: Vec<(&[FlowChange], Option<Origin>)> = changes.collect();
        let mut woken = false;
        for (connection, watcher) in watchers.iter_mut().filter(|(_, watcher)| !watcher.lost) {
            let own = |by: Option<Origin>| by.filter(|by| by.connection == *connection).map(|by| by.xid);
            let seen: Vec<_> = changes.iter().map(|(changed, by)| (*changed, own(*by))).collect();
            let silent = watcher.waiting.is_empty();
            watcher.see(snapshot.version, &seen);
            woken |= silent && !watcher.waiting.is_empty();
        }
        woken | bound(&mut watchers)
    }

    /// Changes what a connection watches, all or nothing; `bridge` is its snapshot, of which all has been seen. Returns what there
    /// is already of what it watches from now on.
    pub(super) fn change(
        &self,
        connection: u64,
        requests: Vec<MonitorRequest>,
        version: Version,
        bridge: &Snapshot,
    ) -> Result<Vec<Update>, OfError> {
        let mut watchers = self.watchers();
        let known = watchers.get(&connection).map(|watcher| watcher.monitors.clone());
        let mut monitors = known.unwrap_or_default();
        let new = apply(&mut monitors, requests, version)?;
        let initial: Vec<&MonitorRequest> = new.iter().filter_map(|id| monitors.get(id)).collect();
        let initial: Vec<_> = initial.into_iter().filter(|one| one.flags & flag::INITIAL != 0).collect();
        let mut flows = if initial.is_empty() { Vec::new() } else { bridge.flows() };
        flows.sort_by_key(|flow| (flow.table, std::cmp::Reverse(flow.priority)));
        let updates = flows.iter().filter_map(|flow| {
            let asked = initial.iter().filter(|monitor| watches(monitor, flow, None));
            let flags = asked.fold(0, |flags, monitor| flags | monitor.flags);
            let news = News { event: MonitorEvent::Initial, flow, old: None, reason: 0 };
            (flags != 0).then(|| news.update(version, flags))
        });
        let updates = updates.collect();
        watchers.entry(connection).or_insert_with(|| Watcher::new(version)).monitors = monitors;
        self.any.store(true, Ordering::Release);
        Ok(updates)
    }

    /// Ends a monitor of a connection.
    pub(super) fn cancel(&self, connection: u64, id: u32) -> Result<(), OfError> {
        let mut watchers = self.watchers();
        let known = watchers.get_mut(&connection).and_then(|watcher| watcher.monitors.remove(&id));
        known.map(|_| ()).ok_or(OfError::MonitorUnknownMonitor)
    }

    /// Forgets a connection.
    pub(super) fn leave(&self, connection: u64) {
        let mut watchers = self.watchers();
        watchers.remove(&connection);
        self.any.store(!watchers.is_empty(), Ordering::Release);
    }

    /// What a connection is to be told before it is answered: what waits, unless there is something to be told before that.
    pub(super) fn waiting(&self, connection: u64) -> Vec<u8> {
        if !self.any.load(Ordering::Acquire) {
            return Vec::new();
        }
        let mut watchers = self.watchers();
        let watcher = watchers.get_mut(&connection).filter(|watcher| watcher.difference.is_none());
        watcher.map(|watcher| std::mem::take(&mut watcher.waiting)).unwrap_or_default()
    }

    /// Whether there is something to tell to a connection that has taken all it was told.
    pub(super) fn has_news(&self, connection: u64) -> bool {
        self.any.load(Ordering::Acquire) && self.watchers().get(&connection).is_some_and(Watcher::has_news)
    }

    /// What a connection is told that has taken all it was told: a part of what it missed, or what waits. `None` if it is lost.
    /// `bridge` is its snapshot, of which all has been seen.
    pub(super) fn next(&self, connection: u64, bridge: &Snapshot) -> Option<Vec<u8>> {
        let mut watchers = self.watchers();
        let Some(watcher) = watchers.get_mut(&connection) else { return Some(Vec::new()) };
        if watcher.lost {
            return None;
        }
        if watcher.difference.is_none() && watcher.waiting.is_empty() {
            watcher.difference = watcher.paused.take().map(|since| {
                let mut flows = bridge.flows();
                flows.retain(|flow| flow.added > since || flow.modified > since);
                Difference { since, flows: flows.into_iter() }
            });
        }
        Some(watcher.next_part().unwrap_or_else(|| std::mem::take(&mut watcher.waiting)))
    }
}

/// Keeps what waits for all within its bound: whoever has most waiting loses it, and its connection. Whether anybody did.
fn bound(watchers: &mut BTreeMap<u64, Watcher>) -> bool {
    let total: usize = watchers.values().map(|watcher| watcher.waiting.len()).sum();
    if total <= MAX_WAITING {
        return false;
    }
    if let Some(slowest) = watchers.values_mut().max_by_key(|watcher| watcher.waiting.len()) {
        *slowest = Watcher { lost: true, paused: Some(0), ..Watcher::new(slowest.version) };
    }
    true
}
