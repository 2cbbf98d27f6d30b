//! Tables of rows, and what changed in them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::schema::{Schema, TableSchema};
use crate::types::{Datum, Uuid};

/// A row that came, went or changed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Change {
    /// The table.
    pub table: String,
    /// The row; whether it is there now tells what happened to it.
    pub row: Uuid,
}

/// The tables that are followed.
#[derive(Clone, Debug, Default)]
pub struct Tables {
    by_name: BTreeMap<String, Table>,
    changes: BTreeSet<Change>,
}

/// A table that is followed.
#[derive(Clone, Debug)]
pub struct Table {
    schema: Arc<Schema>,
    place: usize,
    /// Places of the columns that are followed.
    columns: Vec<usize>,
    rows: BTreeMap<Uuid, Vec<Datum>>,
    /// Rows of before that were not told of since the rows are told anew.
    doubtful: BTreeSet<Uuid>,
}

/// A row.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    /// Its name.
    pub uuid: Uuid,
    schema: &'a TableSchema,
    data: &'a [Datum],
}

/// What a column has that is not there.
static NOTHING: Datum = Datum::empty();

impl<'a> Row<'a> {
    /// What a column holds; nothing if it is not followed, or not in the schema.
    #[must_use]
    pub fn column(&self, name: &str) -> &'a Datum {
        self.schema.column_index(name).and_then(|place| self.data.get(place)).unwrap_or(&NOTHING)
    }

    /// The text of a string's column; empty if there is none.
    #[must_use]
    pub fn text(&self, column: &str) -> &'a str {
        self.column(column).as_str().unwrap_or_default()
    }

    /// The text of a key in a column of a map.
    #[must_use]
    pub fn text_of(&self, column: &str, key: &str) -> Option<&'a str> {
        self.column(column).text_of(key)
    }

    /// The number in a column.
    #[must_use]
    pub fn integer(&self, column: &str) -> Option<i64> {
        self.column(column).as_integer()
    }

    /// The truth in a column; false if there is none.
    #[must_use]
    pub fn boolean(&self, column: &str) -> bool {
        self.column(column).as_boolean().unwrap_or(false)
    }

    /// The rows that a column refers to.
    pub fn references(&self, column: &str) -> impl Iterator<Item = Uuid> + 'a {
        self.column(column).uuids()
    }

    /// Whether the schema has a column.
    #[must_use]
    pub fn has(&self, column: &str) -> bool {
        self.schema.column_index(column).is_some()
    }
}

impl Table {
    /// The table's schema.
    #[must_use]
    pub fn schema(&self) -> &TableSchema {
        &self.schema.tables()[self.place]
    }

    /// The rows, in the order of their names.
    pub fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        self.rows.iter().map(|(uuid, data)| Row { uuid: *uuid, schema: self.schema(), data })
    }

    /// A row.
    #[must_use]
    pub fn row(&self, uuid: Uuid) -> Option<Row<'_>> {
        self.rows.get(&uuid).map(|data| Row { uuid, schema: self.schema(), data })
    }

    /// How many rows there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// A row whose columns have their default values.
    pub(super) fn default_row(&self) -> Vec<Datum> {
        self.schema().columns().iter().map(|column| column.kind.default_datum()).collect()
    }
}

impl Tables {
    /// A table.
    #[must_use]
    pub fn table(&self, name: &str) -> Option<&Table> {
        self.by_name.get(name)
    }

    /// The rows of a table, in the order of their names; none if it is not followed.
    pub fn rows(&self, table: &str) -> impl Iterator<Item = Row<'_>> {
        self.table(table).into_iter().flat_map(Table::rows)
    }

    /// A row of a table.
    #[must_use]
    pub fn row(&self, table: &str, uuid: Uuid) -> Option<Row<'_>> {
        self.table(table)?.row(uuid)
    }

    /// Whether rows have changed since their changes were taken.
    #[must_use]
    pub fn has_changes(&self) -> bool {
        !self.changes.is_empty()
    }

    /// The rows that have changed since this was called last.
    pub fn take_changes(&mut self) -> BTreeSet<Change> {
        std::mem::take(&mut self.changes)
    }

    /// Begins with another schema: every row is gone.
    pub(super) fn adopt(&mut self, schema: &Arc<Schema>, wanted: &[(String, Vec<String>)]) {
        let old = std::mem::take(&mut self.by_name);
        for (name, table) in old {
            self.changes.extend(table.rows.keys().map(|row| Change { table: name.clone(), row: *row }));
        }
        for (name, columns) in wanted {
            let Some(place) = schema.table_index(name) else { continue };
            let table = &schema.tables()[place];
            let columns: Vec<usize> = match columns[..] {
                [] => table.own_columns().map(|(place, _)| place).collect(),
                _ => columns.iter().filter_map(|column| table.column_index(column)).collect(),
            };
            let (rows, doubtful) = (BTreeMap::new(), BTreeSet::new());
            let followed = Table { schema: Arc::clone(schema), place, columns, rows, doubtful };
            self.by_name.insert(name.clone(), followed);
        }
    }

    /// The tables and columns that are followed.
    pub(super) fn chosen(&self) -> impl Iterator<Item = (&str, Vec<&str>)> {
        self.by_name.iter().map(|(name, table)| {
            let columns = table.schema().columns();
            (name.as_str(), table.columns.iter().map(|place| columns[*place].name.as_str()).collect())
        })
    }

    /// All rows are told anew from here on: those that are not told by the end are gone.
    pub(super) fn begin_anew(&mut self) {
        for table in self.by_name.values_mut() {
            table.doubtful = table.rows.keys().copied().collect();
        }
    }

    /// All rows have been told.
    pub(super) fn finish_anew(&mut self) {
        for (name, table) in &mut self.by_name {
            for row in std::mem::take(&mut table.doubtful) {
                table.rows.remove(&row);
                self.changes.insert(Change { table: name.clone(), row });
            }
        }
    }

    /// Puts a row, or takes it away.
    pub(super) fn set(&mut self, name: &str, uuid: Uuid, row: Option<Vec<Datum>>) {
        let Some(table) = self.by_name.get_mut(name) else { return };
        table.doubtful.remove(&uuid);
        let changed = match row {
            Some(row) => {
                table.rows.get(&uuid) != Some(&row) && {
                    table.rows.insert(uuid, row);
                    true
                }
            }
            None => table.rows.remove(&uuid).is_some(),
        };
        if changed {
            self.changes.insert(Change { table: name.to_owned(), row: uuid });
        }
    }

    /// What a row holds now.
    pub(super) fn data(&self, name: &str, uuid: Uuid) -> Option<&Vec<Datum>> {
        self.by_name.get(name)?.rows.get(&uuid)
    }
}
