//! Tables: configuration and counters (OpenFlow 1.0.1 section 5.3.5 to OpenFlow 1.5.1 sections 7.3.4.1, 7.3.5.3 and 7.4.5).

use crate::bytes::{Put, Reader};
use crate::error::OfError;
use crate::property;
use crate::version::Version;

/// Every table.
pub const ALL: u8 = 0xff;

/// Bits of a table's configuration (`ofp_table_config`).
pub mod config {
    /// What becomes of packets that no flow takes, in OpenFlow 1.1 and 1.2.
    pub const MISS_MASK: u32 = 3;
    /// They go to the controller.
    pub const MISS_CONTROLLER: u32 = 0;
    /// They go on in the next table.
    pub const MISS_CONTINUE: u32 = 1;
    /// They are dropped.
    pub const MISS_DROP: u32 = 2;
    /// Flows may go to make room for others (OpenFlow 1.4).
    pub const EVICTION: u32 = 1 << 2;
    /// The controllers are told when the table fills and empties (OpenFlow 1.4).
    pub const VACANCY_EVENTS: u32 = 1 << 3;
    /// Names of what becomes of packets that no flow takes, by number.
    pub const MISS_NAMES: [&str; 3] = ["controller", "continue", "drop"];
}

/// When the controllers are told that a table fills and empties, in percent that are free.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Vacancy {
    /// It fills below this.
    pub down: u8,
    /// It empties above this.
    pub up: u8,
    /// What is free now; in descriptions alone.
    pub current: u8,
}

/// A table's configuration: a change of it, or its description.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TableMod {
    /// The table; [`ALL`] for all.
    pub table_id: u8,
    /// Its configuration ([`config`]).
    pub config: u32,
    /// By what flows are chosen to go: 1 other, 2 importance, 4 lifetime.
    pub eviction: Option<u32>,
    /// When events are told.
    pub vacancy: Option<Vacancy>,
}

/// A table that filled or emptied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableStatus {
    /// [`TableStatus::DOWN`] or [`TableStatus::UP`].
    pub reason: u8,
    /// The table.
    pub table: TableMod,
}

impl TableStatus {
    /// Too little is free.
    pub const DOWN: u8 = 3;
    /// Enough is free again.
    pub const UP: u8 = 4;
}

const EVICTION: u16 = 2;
const VACANCY: u16 = 3;

fn decode_properties(reader: &mut Reader<'_>, table: &mut TableMod, strict: bool) -> Result<(), OfError> {
    while reader.left() != 0 {
        let (kind, mut body) = property::next(reader)?;
        match kind {
            EVICTION => table.eviction = Some(body.u32()?),
            VACANCY => {
                let (down, up, current) = (body.u8()?, body.u8()?, body.u8()?);
                body.skip(1)?;
                // A table cannot empty before it has filled.
                if down > up {
                    return Err(OfError::PropertyBadValue);
                }
                table.vacancy = Some(Vacancy { down, up, current: if strict { 0 } else { current } });
            }
            _ if strict => return Err(property::unknown(kind)),
            _ => continue,
        }
        property::end(&body)?;
    }
    Ok(())
}

fn encode_properties(out: &mut Vec<u8>, table: &TableMod) {
    if let Some(flags) = table.eviction {
        property::put(out, EVICTION, |out| out.u32(flags));
    }
    if let Some(vacancy) = table.vacancy {
        property::put(out, VACANCY, |out| {
            out.extend_from_slice(&[vacancy.down, vacancy.up, vacancy.current, 0]);
        });
    }
}

pub(crate) fn decode_table_mod(reader: &mut Reader<'_>) -> Result<TableMod, OfError> {
    let table_id = reader.u8()?;
    reader.skip(3)?;
    let mut table = TableMod { table_id, config: reader.u32()?, ..TableMod::default() };
    decode_properties(reader, &mut table, true)?;
    Ok(table)
}

pub(crate) fn encode_table_mod(out: &mut Vec<u8>, version: Version, table: &TableMod) {
    out.u8(table.table_id);
    out.zeros(3);
    out.u32(table.config);
    if version >= Version::V1_4 {
        encode_properties(out, table);
    }
}

pub(crate) fn decode_desc(reader: &mut Reader<'_>) -> Result<TableMod, OfError> {
    let mut body = reader.sized(0, OfError::RequestBadLength)?;
    let table_id = body.u8()?;
    body.skip(1)?;
    let mut table = TableMod { table_id, config: body.u32()?, ..TableMod::default() };
    decode_properties(&mut body, &mut table, false)?;
    Ok(table)
}

pub(crate) fn encode_desc(out: &mut Vec<u8>, table: &TableMod) {
    let start = out.len();
    out.u16(0);
    out.u8(table.table_id);
    out.u8(0);
    out.u32(table.config);
    encode_properties(out, table);
    out.length_at(start, start);
}

pub(crate) fn decode_status(reader: &mut Reader<'_>) -> Result<TableStatus, OfError> {
    let reason = reader.u8()?;
    reader.skip(7)?;
    if !(TableStatus::DOWN..=TableStatus::UP).contains(&reason) {
        return Err(OfError::PropertyBadValue);
    }
    Ok(TableStatus { reason, table: decode_desc(reader)? })
}

pub(crate) fn encode_status(out: &mut Vec<u8>, status: &TableStatus) {
    out.u8(status.reason);
    out.zeros(7);
    encode_desc(out, &status.table);
}

/// A table with its counters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TableStats {
    /// The table.
    pub table_id: u8,
    /// Its flows.
    pub active: u32,
    /// Packets looked up.
    pub lookups: u64,
    /// Packets that a flow took.
    pub matched: u64,
    /// What it can do, which versions before 1.3 tell here; what is not said is that it can do everything.
    pub abilities: Option<Box<Abilities>>,
}

/// What versions before 1.3 tell of a table beside its counters. Each has some of these.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Abilities {
    /// Its name.
    pub name: String,
    /// Fields that it can match, a bit for each.
    pub matching: u64,
    /// Fields that it can leave out.
    pub wildcards: u64,
    /// Actions that can be written to the action set.
    pub write_actions: u32,
    /// Actions that can be applied.
    pub apply_actions: u32,
    /// Fields that the action set can set.
    pub write_fields: u64,
    /// Fields that applied actions can set.
    pub apply_fields: u64,
    /// Bits of the metadata that it can match and write.
    pub metadata: (u64, u64),
    /// Instructions that its flows may have.
    pub instructions: u32,
    /// Its configuration ([`config`]).
    pub config: u32,
    /// Flows that it can hold.
    pub max_entries: u32,
}

/// Fields of OpenFlow 1.0's match that may be left out: all.
const WILDCARDS_10: u64 = 0x3f_ffff;
/// Fields of OpenFlow 1.1's match.
const WILDCARDS_11: u64 = 0x3ff;
/// Fields of OpenFlow 1.2.
const FIELDS_12: u64 = 0xf_ffff_ffff;
/// Those that may be set: all but the Ethernet type and the IP protocol.
const SET_FIELDS_12: u64 = FIELDS_12 & !(1 << 5) & !(1 << 10);
/// OpenFlow 1.2's action that sets a field.
const SET_FIELD_12: u32 = 1 << 25;
/// Actions of OpenFlow 1.1 and 1.2 but those of the experimenters.
const ACTIONS: u32 = 0x01ff_9801;
/// Most flows of a table, as replies state it where nothing else is said.
const MAX_FLOWS: u32 = 1_000_000;

impl Abilities {
    /// All that a table could do, as a version before 1.3 tells it.
    #[must_use]
    pub fn of(version: Version) -> Self {
        let fields = match version {
            Version::V1_0 => WILDCARDS_10,
            Version::V1_1 => WILDCARDS_11,
            _ => FIELDS_12,
        };
        let actions = if version == Version::V1_2 { ACTIONS | SET_FIELD_12 } else { ACTIONS };
        Self {
            name: String::new(),
            matching: fields,
            wildcards: fields,
            write_actions: actions,
            apply_actions: actions,
            write_fields: SET_FIELDS_12,
            apply_fields: SET_FIELDS_12,
            metadata: (u64::MAX, u64::MAX),
            instructions: 0x3e,
            config: config::MISS_DROP,
            max_entries: MAX_FLOWS,
        }
    }
}

pub(crate) fn decode_stats(reader: &mut Reader<'_>, version: Version) -> Result<TableStats, OfError> {
    let table_id = reader.u8()?;
    reader.skip(if matches!(version, Version::V1_1 | Version::V1_2) { 7 } else { 3 })?;
    let mut table = TableStats { table_id, ..TableStats::default() };
    if version <= Version::V1_2 {
        let mut can = Abilities { name: reader.name(32)?, ..Abilities::of(version) };
        match version {
            Version::V1_0 => can.wildcards = reader.u32()?.into(),
            Version::V1_1 => {
                (can.wildcards, can.matching) = (reader.u32()?.into(), reader.u32()?.into());
                can.instructions = reader.u32()?;
                (can.write_actions, can.apply_actions) = (reader.u32()?, reader.u32()?);
                can.config = reader.u32()?;
            }
            _ => {
                (can.matching, can.wildcards) = (reader.u64()?, reader.u64()?);
                (can.write_actions, can.apply_actions) = (reader.u32()?, reader.u32()?);
                (can.write_fields, can.apply_fields) = (reader.u64()?, reader.u64()?);
                can.metadata = (reader.u64()?, reader.u64()?);
                (can.instructions, can.config) = (reader.u32()?, reader.u32()?);
            }
        }
        can.max_entries = reader.u32()?;
        table.abilities = Some(Box::new(can));
    }
    (table.active, table.lookups, table.matched) = (reader.u32()?, reader.u64()?, reader.u64()?);
    Ok(table)
}

pub(crate) fn encode_stats(out: &mut Vec<u8>, version: Version, table: &TableStats) {
    out.u8(table.table_id);
    out.zeros(if matches!(version, Version::V1_1 | Version::V1_2) { 7 } else { 3 });
    if version <= Version::V1_2 {
        let all = Abilities::of(version);
        let can = table.abilities.as_deref().unwrap_or(&all);
        out.name(&can.name, 32);
        match version {
            Version::V1_0 => out.u32(can.wildcards as u32),
            Version::V1_1 => {
                for word in [can.wildcards as u32, can.matching as u32, can.instructions] {
                    out.u32(word);
                }
                for word in [can.write_actions, can.apply_actions, can.config] {
                    out.u32(word);
                }
            }
            _ => {
                out.u64(can.matching);
                out.u64(can.wildcards);
                out.u32(can.write_actions);
                out.u32(can.apply_actions);
                for word in [can.write_fields, can.apply_fields, can.metadata.0, can.metadata.1] {
                    out.u64(word);
                }
                out.u32(can.instructions);
                out.u32(can.config);
            }
        }
        out.u32(can.max_entries);
    }
    out.u32(table.active);
    out.u64(table.lookups);
    out.u64(table.matched);
}
