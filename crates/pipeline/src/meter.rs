//! The meter table (OpenFlow 1.3.5 sections 5.7 and 7.3.4.4): what meters there are. The buckets are the datapath's
//! ([`heddle_datapath::meter`]), and a decision holds those that it meters by.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use heddle_datapath::{Band, BandKind, Meter, Unit};
use heddle_openflow::meter::{self, MeterConfig, MeterMod, MeterStats};
use heddle_openflow::{Instruction, OfError};

use crate::bridge::{Bridge, Origin};
use crate::flow_mod::{FlowChange, Gone};
use crate::table::{ChangeLog, Flow, Snapshot};

/// Most meters of a bridge.
pub const MAX_METERS: usize = 65_536;
/// Most bands of a meter.
pub const MAX_BANDS: usize = 8;

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

impl Bridge {
    /// Changes the meter table in one swap, as a connection asks. Returns the flows that went with a deleted meter.
    ///
    /// # Errors
    /// The error that the specification names; nothing has changed then.
    pub fn meter_mod(
        &self,
        change: &MeterMod,
        by: Option<Origin>,
        now_ms: u64,
    ) -> Result<Vec<FlowChange>, OfError> {
        let MeterMod { command, flags, meter_id, ref bands } = *change;
        let config = MeterConfig { meter_id, flags, bands: bands.clone() };
        let apply = |snapshot: &mut Snapshot, changes: &ChangeLog| match command {
            MeterMod::ADD => put(snapshot, changes, config, false, now_ms),
            MeterMod::MODIFY => put(snapshot, changes, config, true, now_ms),
            MeterMod::DELETE => Ok(delete(snapshot, changes, meter_id)),
            _ => Err(OfError::MeterModBadCommand),
        };
        self.publish_flows(apply, by)
    }

    /// The meters of this number, or all.
    ///
    /// # Errors
    /// `OFPMMFC_UNKNOWN_METER` where there is none of this number.
    pub fn meters(&self, id: u32) -> Result<Vec<Arc<MeterEntry>>, OfError> {
        let snapshot = self.snapshot();
        if id != MeterMod::ALL {
            return snapshot
                .meters
                .get(&id)
                .map(|entry| vec![Arc::clone(entry)])
                .ok_or(OfError::MeterModUnknownMeter);
        }
        let mut meters: Vec<_> = snapshot.meters.values().cloned().collect();
        meters.sort_by_key(|entry| entry.config.meter_id);
        Ok(meters)
    }

    /// Counters of the meter of this number, or of all.
    ///
    /// # Errors
    /// `OFPMMFC_UNKNOWN_METER` where there is none of this number.
    pub fn meter_counters(&self, id: u32, now_ms: u64) -> Result<Vec<MeterStats>, OfError> {
        let flows = self.snapshot().flows();
        let of = |entry: Arc<MeterEntry>| MeterStats {
            meter_id: entry.config.meter_id,
            flows: flows.iter().filter(|flow| meters_by(&flow.instructions, entry.config.meter_id)).count()
                as u32,
            packets: entry.meter.packets.load(Ordering::Relaxed),
            bytes: entry.meter.bytes.load(Ordering::Relaxed),
            duration: Duration::from_millis(now_ms.saturating_sub(entry.created_ms)),
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
    config: MeterConfig,
    modifies: bool,
    now_ms: u64,
) -> Result<Vec<FlowChange>, OfError> {
    let id = config.meter_id;
    if id == 0 || (id > MeterMod::MAX && !matches!(id, MeterMod::CONTROLLER | MeterMod::SLOWPATH)) {
        return Err(OfError::MeterModInvalid);
    }
    let old = snapshot.meters.get(&id).cloned();
    match (&old, modifies) {
        (Some(_), false) => return Err(OfError::MeterModExists),
        (None, true) => return Err(OfError::MeterModUnknownMeter),
        (None, false) if snapshot.meters.size() >= MAX_METERS => return Err(OfError::MeterModOutOfMeters),
        _ => {}
    }
    let meter = Arc::new(made_of(&config)?);
    let created_ms = old.map_or(now_ms, |old| old.created_ms);
    snapshot.meters.insert_mut(id, Arc::new(MeterEntry { config, created_ms, meter }));
    changes.everything();
    Ok(Vec::new())
}

fn made_of(config: &MeterConfig) -> Result<Meter, OfError> {
    let unit = match config.flags & (MeterMod::KBPS | MeterMod::PKTPS) {
        // Kilobits are the default (section 7.3.4.4).
        0 | MeterMod::KBPS => Unit::Kilobits,
        MeterMod::PKTPS => Unit::Packets,
        _ => return Err(OfError::MeterModBadFlags),
    };
    if config.bands.len() > MAX_BANDS {
        return Err(OfError::MeterModOutOfBands);
    }
    let bursts = config.flags & MeterMod::BURST != 0;
    let band = |band: &meter::Band| {
        let kind = match band.kind {
            meter::BandKind::Drop => BandKind::Drop,
            meter::BandKind::DscpRemark(levels @ 1..=2) => BandKind::Remark(levels),
            meter::BandKind::DscpRemark(_) => return Err(OfError::MeterModBadBandValue),
        };
        // Where nothing is said, what passes in a second may pass at once.
        let burst = if bursts && band.burst != 0 { band.burst } else { band.rate };
        Ok(Band::new(kind, band.rate, burst))
    };
    Ok(Meter::new(config.meter_id, unit, config.bands.iter().map(band).collect::<Result<_, _>>()?))
}

fn delete(snapshot: &mut Snapshot, changes: &ChangeLog, id: u32) -> Vec<FlowChange> {
    let all = id == MeterMod::ALL;
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
    gone.into_iter().map(|flow| FlowChange::Removed(flow, Gone::Meter)).collect()
}
