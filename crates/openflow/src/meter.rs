//! Meters: changes, descriptions and counters (OpenFlow 1.3.5 sections 7.3.4.4 and 7.3.5.9 to 7.3.5.11).

use std::time::Duration;

use crate::bytes::{Put, Reader};
use crate::error::OfError;

/// Bytes of a band on the wire.
const BAND_LEN: usize = 16;

/// What a band does with packets that exceed its rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BandKind {
    /// Drops them.
    Drop,
    /// Raises their drop precedence by so many levels.
    DscpRemark(u8),
}

/// A band of a meter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Band {
    /// What it does.
    pub kind: BandKind,
    /// Its rate, in kbit/s or packets a second.
    pub rate: u32,
    /// Its burst, in kbit or packets.
    pub burst: u32,
}

/// A change of the meter table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MeterMod {
    /// 0 adds, 1 modifies, 2 deletes.
    pub command: u16,
    /// [`MeterMod::KBPS`] and others.
    pub flags: u16,
    /// The meter; [`MeterMod::ALL`] for all, when deleting.
    pub meter_id: u32,
    /// The bands.
    pub bands: Vec<Band>,
}

impl MeterMod {
    /// Adds a meter.
    pub const ADD: u16 = 0;
    /// Changes a meter that is there.
    pub const MODIFY: u16 = 1;
    /// Deletes meters.
    pub const DELETE: u16 = 2;
    /// Highest number of an ordinary meter.
    pub const MAX: u32 = 0xffff_0000;
    /// The meter that packets for the controller pass.
    pub const CONTROLLER: u32 = 0xffff_fffe;
    /// The meter that packets on the slow path pass.
    pub const SLOWPATH: u32 = 0xffff_fffd;
    /// Every meter.
    pub const ALL: u32 = 0xffff_ffff;
    /// Rates are in kbit/s.
    pub const KBPS: u16 = 1;
    /// Rates are in packets a second.
    pub const PKTPS: u16 = 2;
    /// Bands have a burst.
    pub const BURST: u16 = 4;
    /// Counters are kept.
    pub const STATS: u16 = 8;
    /// Every flag that there is.
    pub const KNOWN_FLAGS: u16 = 0xf;
}

/// A meter, as described to controllers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MeterConfig {
    /// Its number.
    pub meter_id: u32,
    /// Its flags.
    pub flags: u16,
    /// Its bands.
    pub bands: Vec<Band>,
}

/// Counters of a meter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MeterStats {
    /// Its number.
    pub meter_id: u32,
    /// Flows that send to it.
    pub flows: u32,
    /// Packets that it took.
    pub packets: u64,
    /// Bytes that it took.
    pub bytes: u64,
    /// Since it was made.
    pub duration: Duration,
    /// Packets and bytes that each band acted on.
    pub bands: Vec<(u64, u64)>,
}

/// What meters can do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MeterFeatures {
    /// Most meters.
    pub max_meters: u32,
    /// A bit for each type of band: 1 drop, 2 remark.
    pub band_types: u32,
    /// Flags that meters may have.
    pub capabilities: u32,
    /// Most bands of a meter.
    pub max_bands: u8,
    /// Most colours.
    pub max_color: u8,
}

fn decode_bands(reader: &mut Reader<'_>) -> Result<Vec<Band>, OfError> {
    let mut bands = Vec::new();
    while reader.left() != 0 {
        let (kind, length) = (reader.u16()?, usize::from(reader.u16()?));
        if length != BAND_LEN {
            return Err(OfError::RequestBadLength);
        }
        let (rate, burst, level) = (reader.u32()?, reader.u32()?, reader.u8()?);
        reader.skip(3)?;
        let kind = match kind {
            1 => BandKind::Drop,
            2 => BandKind::DscpRemark(level),
            _ => return Err(OfError::MeterModBadBand),
        };
        bands.push(Band { kind, rate, burst });
    }
    Ok(bands)
}

fn encode_bands(out: &mut Vec<u8>, bands: &[Band]) {
    for band in bands {
        let (kind, level) = match band.kind {
            BandKind::Drop => (1, 0),
            BandKind::DscpRemark(level) => (2, level),
        };
        out.u16(kind);
        out.u16(BAND_LEN as u16);
        out.u32(band.rate);
        out.u32(band.burst);
        out.u8(level);
        out.zeros(3);
    }
}

pub(crate) fn decode_meter_mod(reader: &mut Reader<'_>) -> Result<MeterMod, OfError> {
    let (command, flags, meter_id) = (reader.u16()?, reader.u16()?, reader.u32()?);
    if command > MeterMod::DELETE {
        return Err(OfError::MeterModBadCommand);
    }
    let both = MeterMod::KBPS | MeterMod::PKTPS;
    if flags & both == both {
        return Err(OfError::MeterModBadFlags);
    }
    Ok(MeterMod { command, flags, meter_id, bands: decode_bands(reader)? })
}

pub(crate) fn encode_meter_mod(out: &mut Vec<u8>, meter: &MeterMod) {
    out.u16(meter.command);
    out.u16(meter.flags);
    out.u32(meter.meter_id);
    encode_bands(out, &meter.bands);
}

pub(crate) fn decode_config(reader: &mut Reader<'_>) -> Result<MeterConfig, OfError> {
    let mut body = reader.sized(0, OfError::RequestBadLength)?;
    let (flags, meter_id) = (body.u16()?, body.u32()?);
    Ok(MeterConfig { meter_id, flags, bands: decode_bands(&mut body)? })
}

pub(crate) fn encode_config(out: &mut Vec<u8>, meter: &MeterConfig) {
    let start = out.len();
    out.u16(0);
    out.u16(meter.flags);
    out.u32(meter.meter_id);
    encode_bands(out, &meter.bands);
    out.length_at(start, start);
}

pub(crate) fn decode_stats(reader: &mut Reader<'_>) -> Result<MeterStats, OfError> {
    let meter_id = reader.u32()?;
    let mut body = reader.sized(4, OfError::RequestBadLength)?;
    body.skip(6)?;
    let (flows, packets, bytes, duration) = (body.u32()?, body.u64()?, body.u64()?, body.duration()?);
    let mut bands = Vec::new();
    while body.left() != 0 {
        bands.push((body.u64()?, body.u64()?));
    }
    Ok(MeterStats { meter_id, flows, packets, bytes, duration, bands })
}

pub(crate) fn encode_stats(out: &mut Vec<u8>, meter: &MeterStats) {
    let start = out.len();
    out.u32(meter.meter_id);
    out.zeros(8);
    out.u32(meter.flows);
    out.u64(meter.packets);
    out.u64(meter.bytes);
    out.duration(meter.duration);
    for (packets, bytes) in &meter.bands {
        out.u64(*packets);
        out.u64(*bytes);
    }
    out.length_at(start + 4, start);
}

pub(crate) fn decode_features(reader: &mut Reader<'_>) -> Result<MeterFeatures, OfError> {
    let (max_meters, band_types, capabilities) = (reader.u32()?, reader.u32()?, reader.u32()?);
    let (max_bands, max_color) = (reader.u8()?, reader.u8()?);
    reader.skip(2)?;
    Ok(MeterFeatures { max_meters, band_types, capabilities, max_bands, max_color })
}

pub(crate) fn encode_features(out: &mut Vec<u8>, features: &MeterFeatures) {
    out.u32(features.max_meters);
    out.u32(features.band_types);
    out.u32(features.capabilities);
    out.u8(features.max_bands);
    out.u8(features.max_color);
    out.zeros(2);
}
