//! The meter table (OpenFlow 1.3.5 sections 5.7 and 7.3.4.4): what meters there are. The buckets are the datapath's
//! ([`heddle_datapath::meter`]), and a decision holds those that it meters by.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use heddle_datapath::{Band, BandKind, Meter, Unit};
use heddle_openflow::{Instruction, OfError};

use crate::bridge::Bridge;
use crate::flow_mod::{FlowChange, Gone};
use crate::table::{ChangeLog, Flow, Snapshot};

/// Most meters of a bridge.
pub const MAX_METERS: usize = 65_536;
/// Most bands of a meter.
pub const MAX_BANDS: usize = 8;
/// Highest number of an ordinary meter (`OFPM_MAX`).
pub const MAX_ID: u32 = 0xffff_0000;
/// The meter that packets pass on their way to controllers (`OFPM_CONTROLLER`).
pub const CONTROLLER: u32 = 0xffff_fffe;
/// The meter of packets that the datapath cannot decide (`OFPM_SLOWPATH`). Here it decides all of them.
pub const SLOWPATH: u32 = 0xffff_fffd;
/// Every meter (`OFPM_ALL`).
pub const ALL: u32 = 0xffff_ffff;

/// Flags of meters (`ofp_meter_flags`).
pub mod flags {
    /// Rates are in kbit/s.
    pub const KBPS: u16 = 1;
    /// Rates are in packets a second.
    pub const PKTPS: u16 = 2;
    /// Bands say how large their bursts are.
    pub const BURST: u16 = 4;
    /// Counters are kept, which they always are.
    pub const STATS: u16 = 8;
}

/// A band, as a controller describes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BandConfig {
    /// What it does.
    pub kind: BandKind,
    /// Its rate, in kbit/s or packets a second.
    pub rate: u32,
    /// Its burst, in kbit or packets.
    pub burst: u32,
}

/// A meter, as a controller describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MeterConfig {
    /// Its number.
    pub id: u32,
    /// [`flags`].
    pub flags: u16,
    /// Its bands.
    pub bands: Vec<BandConfig>,
}

/// A change of the meter table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MeterChange {
    /// A meter is added.
    Add(MeterConfig),
    /// A meter is changed.
    Modify(MeterConfig),
    /// A meter, or [`ALL`], is deleted.
    Delete(u32),
}

/// A meter of the table.
#[derive(Debug)]
pub struct MeterEntry {
    /// As it was described.
    pub config: MeterConfig,
    /// When it was made, in milliseconds of the datapath's clock.
    pub created_ms: u64,
    /// Its buckets and counters.
    pub meter: Arc<Meter>,
}

/// Counters of a meter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MeterCounters {
    /// Its number.
    pub id: u32,
    /// Flows that send to it.
    pub flows: u32,
    /// Packets that came to it.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Milliseconds since it was made.
    pub duration_ms: u64,
    /// Packets and bytes that each band acted on.
    pub bands: Vec<(u64, u64)>,
}

impl Bridge {
    /// Changes the meter table in one swap. Returns the flows that went with a deleted meter.
    ///
    /// # Errors
    /// The error that the specification names; nothing has changed then.
    pub fn meter_mod(&self, change: &MeterChange, now_ms: u64) -> Result<Vec<FlowChange>, OfError> {
        self.try_publish(|snapshot, changes| match change {
            MeterChange::Add(config) => put(snapshot, changes, config, false, now_ms),
            MeterChange::Modify(config) => put(snapshot, changes, config, true, now_ms),
            MeterChange::Delete(id) => Ok(delete(snapshot, changes, *id)),
        })
    }

    /// The meters of this number, or all.
    ///
    /// # Errors
    /// `OFPMMFC_UNKNOWN_METER` where there is none of this number.
    pub fn meters(&self, id: u32) -> Result<Vec<Arc<MeterEntry>>, OfError> {
        let snapshot = self.snapshot();
        if id != ALL {
            return snapshot
                .meters
                .get(&id)
                .map(|entry| vec![Arc::clone(entry)])
                .ok_or(OfError::MeterModUnknownMeter);
        }
        let mut meters: Vec<_> = snapshot.meters.values().cloned().collect();
        meters.sort_by_key(|entry| entry.config.id);
        Ok(meters)
    }

    /// Counters of the meter of this number, or of all.
    ///
    /// # Errors
    /// `OFPMMFC_UNKNOWN_METER` where there is none of this number.
    pub fn meter_counters(&self, id: u32, now_ms: u64) -> Result<Vec<MeterCounters>, OfError> {
        let flows = self.snapshot().flows();
        let of = |entry: Arc<MeterEntry>| MeterCounters {
            id: entry.config.id,
            flows: flows.iter().filter(|flow| meters_by(&flow.instructions, entry.config.id)).count() as u32,
            packets: entry.meter.packets.load(Ordering::Relaxed),
            bytes: entry.meter.bytes.load(Ordering::Relaxed),
            duration_ms: now_ms.saturating_sub(entry.created_ms),
            bands: entry
                .meter
                .bands
                .iter()
                .map(|band| (band.packets.load(Ordering::Relaxed), band.bytes.load(Ordering::Relaxed)))
                .collect(),
        };
        Ok(self.meters(id)?.into_iter().map(of).collect())
    }
}

impl Snapshot {
    /// That every meter that instructions send to is there.
    ///
    /// # Errors
    /// `OFPMMFC_INVALID_METER` where one is not (section 6.4).
    pub fn has_meters_of(&self, instructions: &[Instruction]) -> Result<(), OfError> {
        let there = |instruction: &Instruction| match instruction {
            Instruction::Meter(id) => self.meters.contains_key(id),
            _ => true,
        };
        if instructions.iter().all(there) { Ok(()) } else { Err(OfError::MeterModInvalid) }
    }
}

fn meters_by(instructions: &[Instruction], id: u32) -> bool {
    instructions.iter().any(|instruction| matches!(instruction, Instruction::Meter(meter) if *meter == id))
}

fn put(
    snapshot: &mut Snapshot,
    changes: &ChangeLog,
    config: &MeterConfig,
    modifies: bool,
    now_ms: u64,
) -> Result<Vec<FlowChange>, OfError> {
    let id = config.id;
    if id == 0 || (id > MAX_ID && !matches!(id, CONTROLLER | SLOWPATH)) {
        return Err(OfError::MeterModInvalid);
    }
    let old = snapshot.meters.get(&id).cloned();
    match (&old, modifies) {
        (Some(_), false) => return Err(OfError::MeterModExists),
        (None, true) => return Err(OfError::MeterModUnknownMeter),
        (None, false) if snapshot.meters.size() >= MAX_METERS => return Err(OfError::MeterModOutOfMeters),
        _ => {}
    }
    let meter = Arc::new(made_of(config)?);
    let created_ms = old.map_or(now_ms, |old| old.created_ms);
    snapshot.meters.insert_mut(id, Arc::new(MeterEntry { config: config.clone(), created_ms, meter }));
    changes.everything();
    Ok(Vec::new())
}

fn made_of(config: &MeterConfig) -> Result<Meter, OfError> {
    let unit = match config.flags & (flags::KBPS | flags::PKTPS) {
        // Kilobits are the default (section 7.3.4.4).
        0 | flags::KBPS => Unit::Kilobits,
        flags::PKTPS => Unit::Packets,
        _ => return Err(OfError::MeterModBadFlags),
    };
    if config.bands.len() > MAX_BANDS {
        return Err(OfError::MeterModOutOfBands);
    }
    let bursts = config.flags & flags::BURST != 0;
    let band = |band: &BandConfig| {
        if let BandKind::Remark(levels) = band.kind
            && !(1..=2).contains(&levels)
        {
            return Err(OfError::MeterModBadBandValue);
        }
        // Where nothing is said, what passes in a second may pass at once.
        let burst = if bursts && band.burst != 0 { band.burst } else { band.rate };
        Ok(Band::new(band.kind, band.rate, burst))
    };
    Ok(Meter::new(config.id, unit, config.bands.iter().map(band).collect::<Result<_, _>>()?))
}

fn delete(snapshot: &mut Snapshot, changes: &ChangeLog, id: u32) -> Vec<FlowChange> {
    let all = id == ALL;
    let ids: Vec<u32> = snapshot.meters.keys().copied().filter(|&known| all || known == id).collect();
    if ids.is_empty() {
        return Vec::new();
    }
    // Flows that send to a meter go with it (section 6.7).
    let sends = |flow: &Arc<Flow>| ids.iter().any(|&id| meters_by(&flow.instructions, id));
    let gone: Vec<Arc<Flow>> = snapshot.flows().into_iter().filter(sends).collect();
    gone.iter().for_each(|flow| snapshot.remove(flow));
    for id in ids {
        snapshot.meters.remove_mut(&id);
    }
    changes.everything();
    gone.into_iter().map(|flow| FlowChange::Removed(flow, Gone::Deleted)).collect()
}
