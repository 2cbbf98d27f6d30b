//! Changes of the flow tables (OpenFlow 1.3.5 section 6.4), and the expiry of flows (section 6.5).

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use heddle_flow::PackedMatch;
use heddle_openflow::consistency::Known;
use heddle_openflow::message::{FlowRemoved, NO_BUFFER};
use heddle_openflow::{Action, Command, FlowMod, Instruction, OfError, port};

use crate::bridge::{Bridge, Origin};
use crate::eviction::make_room;
use crate::learning::delete_learned;
use crate::table::{ChangeLog, Flow, FlowStats, Snapshot};

/// Most flows of a table.
pub const MAX_FLOWS: usize = 1_000_000;
/// Tables that a flow may be in.
pub const TABLES: u8 = 254;

/// Reason of a flow-removed: a meter was deleted, which versions before 1.4 have no reason for.
pub const REMOVED_BY_METER: u8 = 4;

/// Any group, or none (`OFPG_ANY`).
pub const ANY_GROUP: u32 = u32::MAX;

/// Why a flow has gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gone {
    /// Too long without a packet.
    Idle,
    /// Its time was up.
    Hard,
    /// Deleted.
    Deleted,
    /// A group that it sent to was deleted.
    Group,
    /// A meter that it sent to was deleted.
    Meter,
    /// It made room for another.
    Evicted,
}

impl Gone {
    /// Its number in a flow-removed (`ofp_flow_removed_reason`).
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Idle => 0,
            Self::Hard => 1,
            Self::Deleted => 2,
            Self::Group => 3,
            Self::Meter => REMOVED_BY_METER,
            Self::Evicted => 5,
        }
    }
}

/// What became of a flow.
#[derive(Clone, Debug)]
pub enum FlowChange {
    /// It was added.
    Added(Arc<Flow>),
    /// Another of the same match and priority has taken its place.
    Replaced {
        /// As it was.
        old: Arc<Flow>,
        /// What has taken its place.
        new: Arc<Flow>,
    },
    /// It was changed.
    Modified {
        /// As it was.
        old: Arc<Flow>,
        /// As it is.
        new: Arc<Flow>,
    },
    /// It has gone.
    Removed(Arc<Flow>, Gone),
}

impl Bridge {
    /// Applies a flow-mod in one swap. Returns what became of flows.
    ///
    /// # Errors
    /// The error that the specification names; nothing has changed then.
    pub fn flow_mod(&self, flow_mod: &FlowMod, now_ms: u64) -> Result<Vec<FlowChange>, OfError> {
        self.flow_mod_by(flow_mod, None, now_ms)
    }

    /// The same for a flow-mod of a connection.
    ///
    /// # Errors
    /// As [`Bridge::flow_mod`].
    pub fn flow_mod_by(
        &self,
        flow_mod: &FlowMod,
        by: Option<Origin>,
        now_ms: u64,
    ) -> Result<Vec<FlowChange>, OfError> {
        let changed =
            self.publish_flows(|snapshot, changes| apply(snapshot, changes, flow_mod, now_ms), by)?;
        self.watch_timeouts(&changed);
        Ok(changed)
    }

    /// Notes when flows that were added or changed may end. After publication, so that a look at the flows which starts now
    /// sees them.
    pub(crate) fn watch_timeouts(&self, changed: &[FlowChange]) {
        let due = changed.iter().filter_map(|change| match change {
            FlowChange::Added(flow)
            | FlowChange::Replaced { new: flow, .. }
            | FlowChange::Modified { new: flow, .. } => deadline(flow),
            FlowChange::Removed(..) => None,
        });
        if let Some(first) = due.min() {
            self.next_expiry_ms.fetch_min(first, Ordering::AcqRel);
        }
    }

    /// Whether a flow's time may be up: before this, [`Bridge::expire`] finds none. Costs nothing.
    pub fn expiry_due(&self, now_ms: u64) -> bool {
        self.next_expiry_ms.load(Ordering::Acquire) <= now_ms
    }

    /// Removes flows whose time is up; counters must have been credited before. Looks at every flow.
    pub fn expire(&self, now_ms: u64) -> Vec<(Arc<Flow>, Gone)> {
        self.next_expiry_ms.store(u64::MAX, Ordering::Release);
        let flows = self.snapshot().flows();
        let next =
            flows.iter().filter(|flow| gone(flow, now_ms).is_none()).filter_map(|flow| deadline(flow)).min();
        self.next_expiry_ms.fetch_min(next.unwrap_or(u64::MAX), Ordering::AcqRel);
        let gone: Vec<_> = flows.into_iter().filter_map(|flow| Some((gone(&flow, now_ms)?, flow))).collect();
        if gone.is_empty() {
            return Vec::new();
        }
        let expire = |snapshot: &mut Snapshot, changes: &ChangeLog| {
            for (_, flow) in &gone {
                snapshot.remove(flow);
                changes.flow(flow.table, &flow.matching.expand());
            }
            let mut gone = gone.into_iter().map(|(why, flow)| FlowChange::Removed(flow, why)).collect();
            delete_learned(snapshot, changes, &mut gone);
            Ok(gone)
        };
        let gone = self.publish_flows::<Infallible>(expire, None).unwrap_or_else(|never| match never {});
        let removed = gone.into_iter().filter_map(|change| match change {
            FlowChange::Removed(flow, why) => Some((flow, why)),
            _ => None,
        });
        removed.collect()
    }
}

/// When a flow goes by its hard timeout, and when by its idle one if no packet comes.
fn deadlines(flow: &Flow) -> [Option<u64>; 2] {
    let end = |since: u64, timeout: u16| (timeout != 0).then(|| since + u64::from(timeout) * 1000);
    let modified = flow.modified_ms.max(flow.stats.refreshed_ms.load(Ordering::Relaxed));
    let used = flow.stats.used_ms.load(Ordering::Relaxed).max(flow.created_ms);
    [end(modified, flow.hard_timeout), end(used, flow.idle_timeout)]
}

/// When a flow goes at the latest if no packet comes; none for one that stays.
pub(crate) fn deadline(flow: &Flow) -> Option<u64> {
    deadlines(flow).into_iter().flatten().min()
}

fn gone(flow: &Flow, now_ms: u64) -> Option<Gone> {
    let past = |deadline: Option<u64>| deadline.is_some_and(|deadline| deadline <= now_ms);
    let [hard, idle] = deadlines(flow);
    past(hard).then_some(Gone::Hard).or_else(|| past(idle).then_some(Gone::Idle))
}

/// What the controllers are told of a flow that has gone.
pub fn flow_removed(flow: &Flow, why: Gone, now_ms: u64) -> FlowRemoved {
    FlowRemoved {
        cookie: flow.cookie,
        priority: flow.priority,
        reason: why.number(),
        table_id: flow.table,
        duration: Duration::from_millis(now_ms.saturating_sub(flow.created_ms)),
        idle_timeout: flow.idle_timeout,
        hard_timeout: flow.hard_timeout,
        packets: flow.stats.packets.load(Ordering::Relaxed),
        bytes: flow.stats.bytes.load(Ordering::Relaxed),
        matching: flow.matching.expand(),
    }
}

/// Applies a flow-mod to a snapshot that is not published yet; where it is refused, the snapshot is of no more use.
pub(crate) fn apply(
    snapshot: &mut Snapshot,
    changes: &ChangeLog,
    flow_mod: &FlowMod,
    now_ms: u64,
) -> Result<Vec<FlowChange>, OfError> {
    check(flow_mod)?;
    let mut changed = apply_checked(snapshot, changes, flow_mod, now_ms)?;
    delete_learned(snapshot, changes, &mut changed);
    Ok(changed)
}

fn apply_checked(
    snapshot: &mut Snapshot,
    changes: &ChangeLog,
    flow_mod: &FlowMod,
    now_ms: u64,
) -> Result<Vec<FlowChange>, OfError> {
    match flow_mod.command {
        Command::Add => add(snapshot, changes, flow_mod, now_ms),
        Command::Modify | Command::ModifyStrict => {
            snapshot.has_groups_of(&flow_mod.instructions)?;
            snapshot.has_meters_of(&flow_mod.instructions)?;
            let changed = modify(snapshot, changes, flow_mod, now_ms);
            // What finds no flow adds one in OpenFlow 1.0 and 1.1, unless it asks for a cookie.
            if changed.is_empty() && flow_mod.adds_missing && flow_mod.cookie_mask == 0 {
                let table_id = if flow_mod.table_id == FlowMod::ALL_TABLES { 0 } else { flow_mod.table_id };
                // All ones would have let a flow keep its mark; a new one has none to keep.
                let cookie = if flow_mod.cookie == u64::MAX { 0 } else { flow_mod.cookie };
                return add(snapshot, changes, &FlowMod { table_id, cookie, ..flow_mod.clone() }, now_ms);
            }
            Ok(changed)
        }
        Command::Delete | Command::DeleteStrict => Ok(delete(snapshot, changes, flow_mod)),
    }
}

/// Refuses what this switch does not do, rather than to accept and ignore it.
///
/// # Errors
/// The error that the specification names.
pub fn check(flow_mod: &FlowMod) -> Result<(), OfError> {
    let deletes = flow_mod.command.deletes();
    let all = deletes || (flow_mod.classic && flow_mod.command != Command::Add);
    if flow_mod.table_id >= TABLES && !(all && flow_mod.table_id == FlowMod::ALL_TABLES) {
        return Err(OfError::FlowModBadTable);
    }
    if deletes {
        return Ok(());
    }
    if flow_mod.buffer_id != NO_BUFFER {
        return Err(OfError::RequestBufferUnknown);
    }
    for instruction in &flow_mod.instructions {
        match instruction {
            Instruction::GotoTable(table) if *table <= flow_mod.table_id || *table >= TABLES => {
                return Err(OfError::InstructionBadTable);
            }
            _ => {}
        }
    }
    let known = Known::of_flow(&flow_mod.matching);
    let mut known = if flow_mod.classic { known.tolerant() } else { known };
    known.instructions(&flow_mod.instructions)
}

fn add(
    snapshot: &mut Snapshot,
    changes: &ChangeLog,
    flow_mod: &FlowMod,
    now_ms: u64,
) -> Result<Vec<FlowChange>, OfError> {
    snapshot.has_groups_of(&flow_mod.instructions)?;
    snapshot.has_meters_of(&flow_mod.instructions)?;
    let table = flow_mod.table_id;
    let known = snapshot.table(table);
    let old = known.and_then(|table| table.find(&flow_mod.matching, flow_mod.priority)).cloned();
    let overlaps = |other: &Arc<Flow>| {
        other.priority == flow_mod.priority && other.matching.overlaps(&flow_mod.matching)
    };
    // A flow of the same match and priority is replaced, and does not count as one that overlaps (section 6.4).
    let asks = flow_mod.flags & FlowMod::CHECK_OVERLAP != 0 && old.is_none();
    if asks && known.is_some_and(|table| table.iter().any(overlaps)) {
        return Err(OfError::FlowModOverlap);
    }
    let mut changed = Vec::new();
    if old.is_none() {
        changed = make_room(snapshot, changes, table, now_ms)?;
    }
    // A flow that replaces another keeps its counters only where the message does not ask to reset them.
    let resets = flow_mod.flags & FlowMod::RESET_COUNTS != 0;
    let kept = old.as_ref().filter(|_| !resets).map(|old| Arc::clone(&old.stats));
    let new = Arc::new(Flow {
        table,
        matching: PackedMatch::from(&flow_mod.matching),
        priority: flow_mod.priority,
        cookie: flow_mod.cookie,
        idle_timeout: flow_mod.idle_timeout,
        hard_timeout: flow_mod.hard_timeout,
        flags: flow_mod.flags,
        importance: flow_mod.importance,
        created_ms: now_ms,
        modified_ms: now_ms,
        placed: old.as_ref().map_or(snapshot.version, |old| old.placed),
        added: snapshot.version,
        modified: snapshot.version,
        instructions: flow_mod.instructions.clone().into(),
        stats: kept.unwrap_or_default(),
    });
    snapshot.insert(Arc::clone(&new));
    changes.flow(table, &flow_mod.matching);
    changed.push(match old {
        Some(old) => FlowChange::Replaced { old, new },
        None => FlowChange::Added(new),
    });
    Ok(changed)
}

/// Changes flows.
fn modify(snapshot: &mut Snapshot, changes: &ChangeLog, flow_mod: &FlowMod, now_ms: u64) -> Vec<FlowChange> {
    let strict = flow_mod.command == Command::ModifyStrict;
    let chosen = selected(snapshot, flow_mod, strict);
    let change = |old: Arc<Flow>| {
        let reset = flow_mod.flags & FlowMod::RESET_COUNTS != 0;
        let stats = if reset { Arc::new(FlowStats::default()) } else { Arc::clone(&old.stats) };
        changes.flow(old.table, &old.matching.expand());
        let cookie = flow_mod.new_cookie.unwrap_or(old.cookie);
        let same = cookie == old.cookie && *old.instructions == *flow_mod.instructions;
        let new = Arc::new(Flow {
            table: old.table,
            matching: old.matching.clone(),
            priority: old.priority,
            cookie,
            idle_timeout: old.idle_timeout,
            hard_timeout: old.hard_timeout,
            flags: old.flags,
            importance: old.importance,
            created_ms: old.created_ms,
            modified_ms: now_ms,
            placed: old.placed,
            added: old.added,
            modified: if same { old.modified } else { snapshot.version },
            instructions: flow_mod.instructions.clone().into(),
            stats,
        });
        snapshot.insert(Arc::clone(&new));
        FlowChange::Modified { old, new }
    };
    chosen.into_iter().map(change).collect()
}

fn delete(snapshot: &mut Snapshot, changes: &ChangeLog, flow_mod: &FlowMod) -> Vec<FlowChange> {
    let strict = flow_mod.command == Command::DeleteStrict;
    let mut gone = selected(snapshot, flow_mod, strict);
    gone.retain(|flow| uses(&flow.instructions, flow_mod.out_port, flow_mod.out_group));
    let removed = |flow: Arc<Flow>| {
        snapshot.remove(&flow);
        changes.flow(flow.table, &flow.matching.expand());
        FlowChange::Removed(flow, Gone::Deleted)
    };
    gone.into_iter().map(removed).collect()
}

/// The flows that a flow-mod names.
fn selected(snapshot: &Snapshot, flow_mod: &FlowMod, strict: bool) -> Vec<Arc<Flow>> {
    let tables = match flow_mod.table_id {
        FlowMod::ALL_TABLES => snapshot.tables(),
        table => vec![table],
    };
    let tables = tables.into_iter().filter_map(|table| snapshot.table(table));
    let marked =
        |flow: &&Arc<Flow>| flow.cookie & flow_mod.cookie_mask == flow_mod.cookie & flow_mod.cookie_mask;
    if strict {
        let named = tables.filter_map(|table| table.find(&flow_mod.matching, flow_mod.priority));
        return named.filter(marked).cloned().collect();
    }
    let contained = |flow: &&Arc<Flow>| flow.matching.is_within(&flow_mod.matching);
    tables.flat_map(|table| table.iter().filter(marked).filter(contained)).cloned().collect()
}

/// Whether instructions send to this port and use this group, where either is asked for.
pub fn uses(instructions: &[Instruction], out_port: u32, out_group: u32) -> bool {
    let some = |is: &dyn Fn(&Action) -> bool| {
        instructions.iter().any(|instruction| match instruction {
            Instruction::Apply(actions) | Instruction::Write(actions) => actions.iter().any(is),
            _ => false,
        })
    };
    (out_port == port::ANY
        || some(&|action| match action {
            Action::Output { port, .. } | Action::OutputTrunc { port, .. } | Action::Enqueue { port, .. } => {
                *port == out_port
            }
            Action::Bundle(bundle) => bundle.dst.is_none() && bundle.members.contains(&out_port),
            _ => false,
        }))
        && (out_group == ANY_GROUP
            || some(&|action| matches!(action, Action::Group(group) if *group == out_group)))
}
