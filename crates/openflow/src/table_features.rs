//! What tables can do (OpenFlow 1.3.5 section 7.3.5.5).

use heddle_flow::field::FIELDS;

use crate::bytes::{Put, Reader};
use crate::error::OfError;
use crate::property;
use crate::version::Version;

/// What a table can do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableFeatures {
    /// The table.
    pub table_id: u8,
    /// What a request does with it (OpenFlow 1.5): 0 replaces, 1 modifies, 2 enables, 3 disables.
    pub command: u8,
    /// Features that a request asks for (OpenFlow 1.5): 1 ingress, 2 egress, 16 the first egress table.
    pub features: u32,
    /// Its name.
    pub name: String,
    /// Bits of the metadata that it can match and write.
    pub metadata: (u64, u64),
    /// Its configuration.
    pub config: u32,
    /// Flows that it can hold.
    pub max_entries: u32,
    /// Properties, by number, as they stand on the wire.
    pub properties: Vec<(u16, Vec<u8>)>,
}

/// Instructions that a flow may have.
const INSTRUCTIONS: [u16; 5] = [1, 2, 3, 4, 5];
/// Actions that a flow may have.
const ACTIONS: [u16; 10] = [0, 15, 16, 17, 18, 19, 20, 23, 24, 25];

impl TableFeatures {
    /// Number of the property that lists the tables `goto_table` may name.
    pub const NEXT_TABLES: u16 = 2;

    /// What a table can do whose flows may go on in `next_tables`. Every property is written for flows in general and for
    /// the table-miss flow alike (section 7.3.5.5.2).
    pub fn of_table(table_id: u8, max_entries: u32, next_tables: Vec<u8>) -> Self {
        let mut properties = Vec::new();
        for (number, body) in [
            (0, ids(&INSTRUCTIONS)),
            (Self::NEXT_TABLES, next_tables),
            (4, ids(&ACTIONS)),
            (6, ids(&ACTIONS)),
        ] {
            properties.push((number, body.clone()));
            properties.push((number + 1, body));
        }
        properties.push((8, fields(|_| true)));
        properties.push((10, fields(|_| true)));
        for number in 12..16 {
            properties.push((number, fields(|spec| spec.writable)));
        }
        Self {
            table_id,
            command: 0,
            features: 0,
            name: String::new(),
            metadata: (u64::MAX, u64::MAX),
            config: 0,
            max_entries,
            properties,
        }
    }
}

/// Types of instructions or actions, each with a length that says that nothing follows.
fn ids(kinds: &[u16]) -> Vec<u8> {
    let mut ids = Vec::new();
    for &kind in kinds {
        ids.u16(kind);
        ids.u16(4);
    }
    ids
}

/// OXM headers of fields; the bit for a mask says that one may be masked.
fn fields(wanted: fn(&heddle_flow::FieldSpec) -> bool) -> Vec<u8> {
    let mut fields = Vec::new();
    for spec in FIELDS.iter().filter(|spec| wanted(spec)) {
        let Some(id) = spec.oxm else { continue };
        fields.u16(id.class);
        fields.u8(id.field << 1);
        fields.u8(id.length);
    }
    fields
}

pub(crate) fn encode_table_features(out: &mut Vec<u8>, version: Version, table: &TableFeatures) {
    let first = out.len();
    out.u16(0);
    out.u8(table.table_id);
    if version >= Version::V1_5 {
        out.u8(table.command);
        out.u32(table.features);
    } else {
        out.zeros(5);
    }
    out.name(&table.name, 32);
    out.u64(table.metadata.0);
    out.u64(table.metadata.1);
    out.u32(table.config);
    out.u32(table.max_entries);
    for (number, body) in &table.properties {
        let start = out.len();
        out.u16(*number);
        out.u16((body.len() + 4) as u16);
        out.extend_from_slice(body);
        out.pad8(start);
    }
    out.length_at(first, first);
}

pub(crate) fn decode_table_features(
    reader: &mut Reader<'_>,
    version: Version,
) -> Result<TableFeatures, OfError> {
    let mut body = reader.sized(0, OfError::PropertyBadLen)?;
    let (table_id, command, features) = (body.u8()?, body.u8()?, body.u32()?);
    let newer = version >= Version::V1_5;
    let (command, features) = if newer { (command, features) } else { (0, 0) };
    let name = body.name(32)?;
    let metadata = (body.u64()?, body.u64()?);
    let (config, max_entries) = (body.u32()?, body.u32()?);
    let mut properties = Vec::new();
    while body.left() != 0 {
        let (number, mut value) = property::next(&mut body)?;
        properties.push((number, value.rest().to_vec()));
    }
    Ok(TableFeatures { table_id, command, features, name, metadata, config, max_entries, properties })
}
