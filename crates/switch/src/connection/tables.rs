//! Configuration of tables: what becomes of packets that no flow takes (OpenFlow 1.2 section A.3.3), eviction, and news of tables
//! that fill and empty (OpenFlow 1.4.1 sections 7.3.4.1 and 7.4.5).

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use heddle_openflow::message::Version;
use heddle_openflow::modify::TableMod;
use heddle_openflow::table::{ALL, TableStatus, Vacancy, config};
use heddle_openflow::{FlowMod, OfError};
use heddle_pipeline::Snapshot;
use heddle_pipeline::flow_mod::{MAX_FLOWS, TABLES};
use heddle_pipeline::table::Miss;

use crate::bridge::ManagedBridge;

/// How flows are chosen to go: by importance, by how long they have left, and by groups. It is the switch's to say.
const EVICTION_FLAGS: u32 = 7;

/// When controllers are told of a table.
#[derive(Clone, Copy, Debug)]
struct Watch {
    down: u8,
    up: u8,
    /// What they are told next.
    awaits: u8,
}

/// The tables that controllers are told of when they fill and empty.
#[derive(Debug, Default)]
pub(crate) struct Vacancies {
    any: AtomicBool,
    tables: Mutex<BTreeMap<u8, Watch>>,
}

impl Vacancies {
    fn tables(&self) -> MutexGuard<'_, BTreeMap<u8, Watch>> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, table: u8, vacancy: Option<Vacancy>, snapshot: &Snapshot) {
        let mut tables = self.tables();
        match vacancy {
            Some(Vacancy { down, up, .. }) => {
                let awaits = tables.get(&table).map(|known| known.awaits);
                let full = free(table, snapshot) < up;
                let first = if full { TableStatus::UP } else { TableStatus::DOWN };
                tables.insert(table, Watch { down, up, awaits: awaits.unwrap_or(first) });
            }
            None => {
                tables.remove(&table);
            }
        }
        self.any.store(!tables.is_empty(), Ordering::Release);
    }

    /// What controllers are told once this snapshot is in force.
    pub(crate) fn see(&self, snapshot: &Snapshot) -> Vec<TableStatus> {
        if !self.any.load(Ordering::Acquire) {
            return Vec::new();
        }
        let mut told = Vec::new();
        for (&table, watch) in self.tables().iter_mut() {
            let free = free(table, snapshot);
            let passed = match watch.awaits {
                TableStatus::DOWN => free < watch.down,
                _ => free > watch.up,
            };
            if passed {
                let reason = watch.awaits;
                // The two take turns.
                watch.awaits = TableStatus::DOWN + TableStatus::UP - reason;
                let vacancy = Vacancy { down: watch.down, up: watch.up, current: free };
                told.push(TableStatus { reason, table: description(table, Some(vacancy), snapshot) });
            }
        }
        told
    }
}

/// Most flows of a table.
pub(super) fn most_flows(table: u8, snapshot: &Snapshot) -> usize {
    let limit = snapshot.limits.get(&table).and_then(|limit| limit.flows);
    limit.unwrap_or(MAX_FLOWS).min(MAX_FLOWS)
}

/// How much of a table is free, in percent.
fn free(table: u8, snapshot: &Snapshot) -> u8 {
    let most = most_flows(table, snapshot);
    let left = most.saturating_sub(snapshot.table(table).map_or(0, |table| table.len()));
    (left * 100).checked_div(most).unwrap_or(0) as u8
}

fn description(table_id: u8, vacancy: Option<Vacancy>, snapshot: &Snapshot) -> TableMod {
    let evicts = if snapshot.evicting.contains_key(&table_id) { config::EVICTION } else { 0 };
    let events = if vacancy.is_some() { config::VACANCY_EVENTS } else { 0 };
    TableMod { table_id, config: evicts | events, eviction: Some(EVICTION_FLAGS), vacancy }
}

/// How the tables are configured.
pub(super) fn descriptions(bridge: &ManagedBridge) -> Vec<TableMod> {
    let snapshot = bridge.bridge.snapshot();
    let watched = bridge.control.vacancies.tables().clone();
    let vacancy = |table: u8| {
        let Watch { down, up, .. } = *watched.get(&table)?;
        Some(Vacancy { down, up, current: free(table, &snapshot) })
    };
    (0..TABLES).map(|table| description(table, vacancy(table), &snapshot)).collect()
}

/// What becomes of packets that no flow of a table takes, as bits of its configuration.
pub(super) fn miss_bits(table: u8, snapshot: &Snapshot) -> u32 {
    match snapshot.misses.get(&table).copied().unwrap_or_default() {
        // Controllers of versions that ask get such packets where nothing else is said.
        Miss::Default | Miss::Controller => config::MISS_CONTROLLER,
        Miss::Continue => config::MISS_CONTINUE,
        Miss::Drop => config::MISS_DROP,
    }
}

/// Configures tables.
///
/// # Errors
/// The error that the specification names; nothing has changed then.
pub(super) fn modify(asked: TableMod, version: Version, bridge: &ManagedBridge) -> Result<(), OfError> {
    if asked.table_id >= TABLES && asked.table_id != ALL {
        return Err(OfError::TableModBadTable);
    }
    let known = match version {
        // Its bits mean nothing any more (OpenFlow 1.3.5 section 7.3.3).
        Version::V1_0 | Version::V1_1 | Version::V1_2 | Version::V1_3 => config::MISS_MASK,
        _ => config::EVICTION | config::VACANCY_EVENTS,
    };
    if asked.config & !known != 0 {
        return Err(OfError::TableModBadConfig);
    }
    let miss = match (version < Version::V1_3, asked.config & config::MISS_MASK) {
        (false, _) => None,
        (true, config::MISS_CONTROLLER) => Some(Miss::Controller),
        (true, config::MISS_CONTINUE) => Some(Miss::Continue),
        (true, config::MISS_DROP) => Some(Miss::Drop),
        (true, _) => return Err(OfError::TableModBadConfig),
    };
    if asked.eviction.is_some_and(|flags| flags != EVICTION_FLAGS) {
        return Err(OfError::TableModBadConfig);
    }
    let tables =
        if asked.table_id == FlowMod::ALL_TABLES { 0..TABLES } else { asked.table_id..asked.table_id + 1 };
    bridge.bridge.publish(|snapshot, changes| {
        for table in tables.clone() {
            if let Some(miss) = miss {
                snapshot.misses.insert_mut(table, miss);
                changes.everything();
            }
            if version >= Version::V1_4 && asked.config & config::EVICTION != 0 {
                snapshot.evicting.insert_mut(table, ());
            } else if version >= Version::V1_4 {
                snapshot.evicting.remove_mut(&table);
            }
        }
    });
    if version >= Version::V1_4 {
        let events = asked.config & config::VACANCY_EVENTS != 0;
        let vacancy = events.then(|| asked.vacancy.unwrap_or_default());
        bridge.bridge.with_settled(|snapshot| {
            tables.for_each(|table| bridge.control.vacancies.set(table, vacancy, snapshot));
        });
    }
    Ok(())
}
