//! Transactions as records of the log, and back.
//!
//! A record is a JSON object: for each table an object of rows by UUID. A row is `null` if it was deleted, else its
//! changed columns. Ephemeral columns are not recorded. `_date` is the time in milliseconds since 1970, `_comment` what
//! the client said. With `_is_diff`, columns of rows that were there hold differences, as Open vSwitch writes since 2.15.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::commit::count_all;
use super::{Change, Database, Row};
use crate::Error;
use crate::types::{Datum, Uuid};

/// Why a record cannot be applied.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// The record itself is wrong.
    #[error("{0}")]
    Wrong(Error),
}

impl From<Error> for RecordError {
    fn from(error: Error) -> Self {
        Self::Wrong(error)
    }
}

impl Database {
    /// The record of changes; `None` if there is nothing to keep.
    pub(super) fn record(&self, changes: &[Change], comment: &str) -> Option<Value> {
        let mut tables: BTreeMap<usize, Map<String, Value>> = BTreeMap::new();
        for change in changes {
            if let Some(row) = self.row_record(change) {
                tables.entry(change.table).or_default().insert(change.uuid.to_string(), row);
            }
        }
        if tables.is_empty() {
            return None;
        }
        let mut record: Map<String, Value> = tables
            .into_iter()
            .map(|(table, rows)| (self.schema.tables()[table].name.clone(), rows.into()))
            .collect();
        record.insert("_is_diff".into(), true.into());
        if !comment.is_empty() {
            record.insert("_comment".into(), comment.into());
        }
        Some(record.into())
    }

    fn row_record(&self, change: &Change) -> Option<Value> {
        let schema = &self.schema.tables()[change.table];
        let Some(new) = &change.new else { return Some(Value::Null) };
        let fresh = self.tables[change.table].fresh_row(change.uuid);
        let old = change.old.as_deref().unwrap_or(&fresh);
        let mut columns = Map::new();
        for (column, definition) in schema.own_columns().filter(|(_, definition)| definition.persistent) {
            if !old.same(new, column) {
                // A default is replaced and not added to, which matters where a column must have a value.
                let mut written = Cow::Borrowed(new.datum(column));
                if !fresh.same(old, column) {
                    written = Cow::Owned(old.datum(column).diff(&written, &definition.kind));
                }
                columns.insert(definition.name.clone(), written.to_json(&definition.kind));
            }
        }
        // A new row is recorded even if all of its columns have their defaults.
        (change.old.is_none() || !columns.is_empty()).then(|| columns.into())
    }

    /// The record that makes an empty database into this one; `None` if there are no rows.
    pub fn snapshot(&self) -> Option<Value> {
        let mut record = Map::new();
        for (schema, table) in self.schema.tables().iter().zip(&self.tables) {
            let mut rows = Map::new();
            for row in table.rows() {
                let fresh = table.fresh_row(row.uuid());
                let mut columns = Map::new();
                for (column, definition) in
                    schema.own_columns().filter(|(_, definition)| definition.persistent)
                {
                    if !fresh.same(row, column) {
                        columns.insert(definition.name.clone(), row.datum(column).to_json(&definition.kind));
                    }
                }
                rows.insert(row.uuid().to_string(), columns.into());
            }
            if !rows.is_empty() {
                record.insert(schema.name.clone(), rows.into());
            }
        }
        (!record.is_empty()).then(|| record.into())
    }

    /// Applies a record of the log to rows alone: what it says was checked when it was written. Call
    /// [`finish_replay`](Self::finish_replay) after the last one.
    ///
    /// # Errors
    /// If it speaks of tables, columns or rows that are not there, or is not a record.
    pub fn replay(&mut self, record: &Value, converting: bool) -> Result<(), RecordError> {
        let Some(members) = record.as_object() else {
            return Err(Error::syntax(record, "object expected").into());
        };
        let diff = members.get("_is_diff").and_then(Value::as_bool) == Some(true);
        for (name, rows) in members.iter().filter(|(name, _)| !name.starts_with('_')) {
            let Some(table) = self.schema.table_index(name) else {
                if converting {
                    continue;
                }
                return Err(Error::new("unknown table", format!("No table named {name}.")).at(record).into());
            };
            let Some(rows) = rows.as_object() else {
                return Err(Error::syntax(rows, "object expected").into());
            };
            for (uuid, row) in rows {
                let uuid = uuid.parse().map_err(|_| {
                    Error::syntax(record, format!("table names must be UUIDs (found \"{uuid}\")"))
                })?;
                self.replay_row(table, uuid, row, diff, converting)?;
            }
        }
        Ok(())
    }

    fn replay_row(
        &mut self,
        table: usize,
        uuid: Uuid,
        json: &Value,
        diff: bool,
        converting: bool,
    ) -> Result<(), Error> {
        let schema = Arc::clone(&self.schema);
        let schema = &schema.tables()[table];
        let rows = &mut self.tables[table];
        if json.is_null() {
            return match rows.rows.remove(&uuid) {
                Some(_) => Ok(()),
                None => Err(Error::new("syntax error", format!("deleting nonexistent row {uuid}"))),
            };
        }
        let Some(members) = json.as_object() else {
            return Err(Error::syntax(json, "object expected"));
        };
        let old = rows.rows.get(&uuid);
        let fresh = rows.fresh_row(uuid);
        let mut row = old.map_or_else(|| fresh.clone(), |row| Row::clone(row));
        for (name, value) in members {
            let Some(column) = schema.column_index(name) else {
                if converting {
                    continue;
                }
                let text = format!("No column {name} in table {}.", schema.name);
                return Err(Error::new("unknown column", text).at(json));
            };
            let definition = &schema.columns()[column];
            if !definition.persistent {
                continue;
            }
            if diff && !fresh.same(&row, column) {
                let difference = Datum::from_json_of_any_size(&definition.kind, value, None)?;
                row.datum_mut(column).apply_diff(&difference, &definition.kind)?;
            } else {
                row.set(column, Datum::from_json(&definition.kind, value, None)?);
            }
        }
        rows.rows.insert(uuid, Arc::new(row));
        Ok(())
    }

    /// Counts references and fills indexes after records were replayed, and gives each row a version.
    ///
    /// # Errors
    /// If references or indexes do not hold.
    pub fn finish_replay(&mut self, uuids: &mut dyn FnMut() -> Uuid) -> Result<(), Error> {
        count_all(self, uuids)
    }
}

impl Database {
    /// A database of another schema with the rows of this one. What the new schema has no place for is left out.
    ///
    /// # Errors
    /// If what rows hold does not fit the schema.
    pub fn converted(
        &self,
        schema: crate::schema::Schema,
        uuids: &mut dyn FnMut() -> Uuid,
    ) -> Result<Self, Error> {
        let mut new = Self::new(schema);
        for (old_schema, old_table) in self.schema.tables().iter().zip(&self.tables) {
            let Some(index) = new.schema.table_index(&old_schema.name) else { continue };
            let schema = Arc::clone(&new.schema);
            let schema = &schema.tables()[index];
            let mut places = Vec::new();
            for (column, definition) in old_schema.own_columns() {
                if let Some(to) = schema.column_index(&definition.name) {
                    places.push((column, &definition.kind, to, &schema.columns()[to].kind));
                }
            }
            for old in old_table.rows() {
                let mut row = new.tables[index].fresh_row(old.uuid());
                for (from, old_kind, to, kind) in &places {
                    let datum = old.datum(*from);
                    let datum = match old_kind == kind {
                        true => datum.clone(),
                        // By way of JSON, because that is how it would be stored and read.
                        false => Datum::from_json(kind, &datum.to_json(old_kind), None)?,
                    };
                    row.set(*to, datum);
                }
                new.tables[index].rows.insert(old.uuid(), Arc::new(row));
            }
        }
        new.finish_replay(uuids)?;
        Ok(new)
    }
}
