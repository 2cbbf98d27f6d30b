//! Room in a flow table: a limit, and flows that make room for others (OpenFlow 1.4.1 section 6.5; Open vSwitch's
//! `Flow_Table` rows, whose groups and order of eviction these are).
//!
//! The flow that goes is searched for among all flows of the table when it is full, so that a table pays for eviction
//! only then. That a table is full of flows which may be evicted, and stays full, is what small limits are for.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;

use heddle_openflow::OfError;

use crate::bridge::Bridge;
use crate::flow_mod::{FlowChange, Gone, MAX_FLOWS, deadline};
use crate::table::{ChangeLog, Flow, Snapshot, TableLimit};

/// Makes room for one more flow of a table.
///
/// # Errors
/// `OFPFMFC_TABLE_FULL` where no flow may go.
pub(crate) fn make_room(
    snapshot: &mut Snapshot,
    changes: &ChangeLog,
    table: u8,
    now_ms: u64,
) -> Result<Vec<FlowChange>, OfError> {
    let limit = snapshot.limits.get(&table).cloned().unwrap_or_default();
    let most = limit.flows.unwrap_or(MAX_FLOWS).min(MAX_FLOWS);
    let gone = shrink(snapshot, changes, table, &limit, most.saturating_sub(1), now_ms);
    let has = snapshot.table(table).map_or(0, |table| table.len());
    if has < most { Ok(gone) } else { Err(OfError::FlowModTableFull) }
}

/// Evicts flows until a table has no more than `most`, as far as flows may go.
fn shrink(
    snapshot: &mut Snapshot,
    changes: &ChangeLog,
    table: u8,
    limit: &TableLimit,
    most: usize,
    now_ms: u64,
) -> Vec<FlowChange> {
    let mut gone = Vec::new();
    while (limit.evicts || snapshot.evicting.contains_key(&table))
        && snapshot.table(table).is_some_and(|table| table.len() > most)
        && let Some(flow) = first_to_go(snapshot, table, limit, now_ms)
    {
        snapshot.remove(&flow);
        changes.flow(table, &flow.matching.expand());
        gone.push(FlowChange::Removed(flow, Gone::Evicted));
    }
    gone
}

/// The least important flow of the largest group, of equals the one that would end soonest by itself; flows that would not may
/// stay.
fn first_to_go(snapshot: &Snapshot, table: u8, limit: &TableLimit, now_ms: u64) -> Option<Arc<Flow>> {
    /// How many flows a group has, and the first of them to go, by importance and milliseconds left.
    type Group<'a> = (usize, (u16, u64), &'a Arc<Flow>);
    let mut groups: HashMap<Vec<u128>, Group<'_>> = HashMap::new();
    for flow in snapshot.table(table)?.iter() {
        let Some(deadline) = deadline(flow) else { continue };
        // What the clock has passed is as good as gone.
        let left = (flow.importance, deadline.saturating_sub(now_ms));
        let values = limit.groups.iter().map(|&field| flow.matching.expand().key().get(field)).collect();
        let group = groups.entry(values).or_insert((0, left, flow));
        group.0 += 1;
        if left < group.1 {
            (group.1, group.2) = (left, flow);
        }
    }
    let first = groups.into_values().max_by_key(|(size, left, _)| (*size, Reverse(*left)));
    first.map(|(_, _, flow)| Arc::clone(flow))
}

impl Bridge {
    /// Sets how many flows a table may have; flows that are too many go where the limit says so.
    pub fn set_limit(&self, table: u8, limit: Option<TableLimit>, now_ms: u64) -> Vec<FlowChange> {
        let set = |snapshot: &mut Snapshot, changes: &ChangeLog| {
            let Some(limit) = limit else {
                snapshot.limits.remove_mut(&table);
                return Ok(Vec::new());
            };
            let most = limit.flows.unwrap_or(MAX_FLOWS);
            let gone = shrink(snapshot, changes, table, &limit, most, now_ms);
            snapshot.limits.insert_mut(table, Arc::new(limit));
            Ok(gone)
        };
        self.publish_flows::<Infallible>(set, None).unwrap_or_else(|never| match never {})
    }
}
