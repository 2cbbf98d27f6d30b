//! A transaction that is being made: rows as they will be, and the operations that make them so.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use heddle_ovsdb::schema::{ColumnSchema, Schema, TableSchema, UUID_COLUMN};
use heddle_ovsdb::types::{Atom, BaseType, Datum, RefType, Symbols, Uuid};
use serde_json::{Map, Value, json};

use super::copy::{Copy, Row, Rows};
use crate::fatal::{Fatal, fail};

/// A row of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The table's place in the schema.
    pub table: usize,
    /// The row's id; of one that is new, its id within the transaction.
    pub uuid: Uuid,
}

/// The id of a new row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Id {
    /// Any.
    Fresh,
    /// The one that a symbol stands for, until the database gives another.
    Symbol(Uuid),
    /// This one, in the database too.
    Own(Uuid),
}

/// How the rest of the database refers to a new row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Referred {
    /// Not at all.
    Not,
    /// Without keeping it.
    Weakly,
    /// So that it stays.
    Strongly,
}

/// The transaction.
pub struct Edit<'a> {
    copy: &'a Copy,
    tables: Vec<Rows>,
    /// New rows, in the order of their making; `true` where the row is to have this very id.
    inserted: Vec<(Place, bool)>,
    /// The ids of new rows, and whether each is the row's own.
    new_ids: BTreeMap<Uuid, bool>,
    deleted: BTreeSet<Place>,
    changed: BTreeMap<Place, BTreeSet<usize>>,
    verified: BTreeSet<(Place, usize)>,
    /// Names of rows (`@NAME`).
    pub symbols: Symbols<'a>,
    /// What the transaction is for, for the log.
    pub comments: Vec<String>,
}

impl<'a> Edit<'a> {
    /// A transaction that changes nothing. `random` yields fresh ids.
    pub fn new(copy: &'a Copy, random: &'a mut dyn FnMut() -> Uuid) -> Self {
        Self {
            copy,
            tables: copy.tables.clone(),
            inserted: Vec::new(),
            new_ids: BTreeMap::new(),
            deleted: BTreeSet::new(),
            changed: BTreeMap::new(),
            verified: BTreeSet::new(),
            symbols: Symbols::new(random),
            comments: Vec::new(),
        }
    }

    /// The database's schema.
    pub fn schema(&self) -> &'a Schema {
        &self.copy.schema
    }

    /// A table's schema.
    pub fn table_schema(&self, table: usize) -> &'a TableSchema {
        &self.copy.schema.tables()[table]
    }

    /// A column's schema.
    pub fn column_schema(&self, table: usize, column: usize) -> &'a ColumnSchema {
        &self.table_schema(table).columns()[column]
    }

    /// The place of a table that this client knows by name.
    ///
    /// # Errors
    /// The database has no such table.
    pub fn table(&self, name: &str) -> Result<usize, Fatal> {
        match self.copy.schema.table_index(name) {
            Some(table) => Ok(table),
            None => fail(format!("the database has no table {name}")),
        }
    }

    fn column(&self, table: usize, name: &str) -> Result<usize, Fatal> {
        let schema = self.table_schema(table);
        match schema.column_index(name) {
            Some(column) => Ok(column),
            None => fail(format!("table {} of the database has no column {name}", schema.name)),
        }
    }

    /// The rows of a table.
    pub fn rows(&self, table: usize) -> impl Iterator<Item = (Place, &Row)> {
        self.tables[table].iter().map(move |(&uuid, row)| (Place { table, uuid }, row.as_ref()))
    }

    /// The rows of a table that this client knows by name; none where the database lacks it.
    pub fn rows_named(&self, table: &str) -> Vec<Place> {
        match self.copy.schema.table_index(table) {
            Some(table) => self.rows(table).map(|(place, _)| place).collect(),
            None => Vec::new(),
        }
    }

    /// A row.
    pub fn row(&self, place: Place) -> Option<&Row> {
        self.tables[place.table].get(&place.uuid).map(Arc::as_ref)
    }

    /// Whether a row is one of this transaction's.
    pub fn is_new(&self, place: Place) -> bool {
        self.new_ids.contains_key(&place.uuid)
    }

    /// The new row that has this id.
    pub fn new_row(&self, uuid: Uuid) -> Option<Place> {
        self.inserted.iter().map(|(place, _)| *place).find(|place| place.uuid == uuid)
    }

    /// A value.
    pub fn value(&self, place: Place, column: usize) -> Datum {
        self.row(place).and_then(|row| row.get(column)).cloned().unwrap_or_default()
    }

    /// A value by its column's name; empty where the database lacks the column.
    pub fn get(&self, place: Place, column: &str) -> Datum {
        match self.table_schema(place.table).column_index(column) {
            Some(column) => self.value(place, column),
            None => Datum::empty(),
        }
    }

    /// A value's text; empty where there is none.
    pub fn text(&self, place: Place, column: &str) -> String {
        self.get(place, column).as_str().unwrap_or_default().to_owned()
    }

    /// The rows of `table` that a value refers to.
    pub fn referred(&self, place: Place, column: &str, table: &str) -> Vec<Place> {
        let Some(table) = self.copy.schema.table_index(table) else { return Vec::new() };
        let datum = self.get(place, column);
        let atoms = datum.keys().iter().chain(datum.values());
        let places = atoms.filter_map(Atom::as_uuid).map(|uuid| Place { table, uuid });
        places.filter(|place| self.row(*place).is_some()).collect()
    }

    /// Sets a value.
    pub fn put(&mut self, place: Place, column: usize, value: Datum) {
        if column == UUID_COLUMN {
            return;
        }
        if let Some(row) = self.tables[place.table].get_mut(&place.uuid)
            && row[column] != value
        {
            Arc::make_mut(row)[column] = value;
            self.changed.entry(place).or_default().insert(column);
        }
    }

    /// Sets a value by its column's name.
    ///
    /// # Errors
    /// The database lacks the column.
    pub fn set(&mut self, place: Place, column: &str, value: Datum) -> Result<(), Fatal> {
        let column = self.column(place.table, column)?;
        self.put(place, column, value);
        Ok(())
    }

    /// Demands that the server's value is still the one that was read, when the transaction is done.
    pub fn verify(&mut self, place: Place, column: usize) {
        if self.copy.tables[place.table].contains_key(&place.uuid) {
            self.verified.insert((place, column));
        }
    }

    /// Changes a value that is made from the one that was read.
    ///
    /// # Errors
    /// The database lacks the column.
    pub fn change<R>(
        &mut self,
        place: Place,
        column: &str,
        change: impl FnOnce(&mut Datum) -> R,
    ) -> Result<(), Fatal> {
        let column = self.column(place.table, column)?;
        self.verify(place, column);
        let mut value = self.value(place, column);
        change(&mut value);
        self.put(place, column, value);
        Ok(())
    }

    /// Adds a row. `Id::Own` is the id that it is to have in the database.
    pub fn insert(&mut self, table: usize, id: Id) -> Place {
        let own_id = matches!(id, Id::Own(_));
        let place = Place {
            table,
            uuid: match id {
                Id::Fresh => self.symbols.fresh(),
                Id::Symbol(uuid) | Id::Own(uuid) => uuid,
            },
        };
        let mut row: Row =
            self.table_schema(table).columns().iter().map(|column| column.kind.default_datum()).collect();
        row[UUID_COLUMN] = Datum::scalar(place.uuid);
        self.tables[table].insert(place.uuid, Arc::new(row));
        self.inserted.push((place, own_id));
        self.new_ids.insert(place.uuid, own_id);
        place
    }

    /// Deletes a row.
    pub fn delete(&mut self, place: Place) {
        self.tables[place.table].remove(&place.uuid);
        self.changed.remove(&place);
        if self.new_ids.remove(&place.uuid).is_some() {
            self.inserted.retain(|(new, _)| *new != place);
        } else {
            self.deleted.insert(place);
        }
    }

    /// How the transaction refers to a row that it inserts.
    pub fn references(&self, wanted: Place) -> Referred {
        let name = &self.table_schema(wanted.table).name;
        let mut best = Referred::Not;
        for (place, columns) in &self.changed {
            let Some(row) = self.row(*place) else { continue };
            for &column in columns {
                let kind = &self.column_schema(place.table, column).kind;
                let parts =
                    [(Some(&kind.key), row[column].keys()), (kind.value.as_ref(), row[column].values())];
                for (base, atoms) in parts {
                    let Some(reference) = base.and_then(BaseType::reference) else { continue };
                    if reference.table == *name
                        && atoms.iter().any(|atom| atom.as_uuid() == Some(wanted.uuid))
                    {
                        match reference.kind {
                            RefType::Strong => return Referred::Strongly,
                            RefType::Weak => best = Referred::Weakly,
                        }
                    }
                }
            }
        }
        best
    }

    /// The operations, and for each new row the place of its insertion among them. There are none where nothing changes.
    pub fn operations(&self) -> (Vec<Value>, Vec<(Place, usize)>) {
        let mut operations: Vec<Value> =
            self.verified.iter().map(|(place, column)| self.wait(*place, *column)).collect();
        let waits = operations.len();
        let where_ = |place: &Place| json!([["_uuid", "==", ["uuid", place.uuid.to_string()]]]);
        for place in &self.deleted {
            let table = &self.table_schema(place.table).name;
            operations.push(json!({ "op": "delete", "table": table, "where": where_(place) }));
        }
        let mut indexes = Vec::new();
        for (place, own_id) in &self.inserted {
            let table = &self.table_schema(place.table).name;
            indexes.push((*place, operations.len()));
            let mut operation = json!({ "op": "insert", "table": table, "row": self.changed_row(*place) });
            if *own_id {
                operation["uuid"] = json!(place.uuid.to_string());
            } else {
                operation["uuid-name"] = json!(name_of(place.uuid));
            }
            operations.push(operation);
        }
        for place in self.changed.keys().filter(|place| !self.is_new(**place)) {
            let row = self.changed_row(*place);
            if !row.is_empty() {
                let table = &self.table_schema(place.table).name;
                operations
                    .push(json!({ "op": "update", "table": table, "where": where_(place), "row": row }));
            }
        }
        if operations.len() == waits { (Vec::new(), Vec::new()) } else { (operations, indexes) }
    }

    /// The operation that fails if the server's value is another than the one that was read.
    fn wait(&self, place: Place, column: usize) -> Value {
        let table = self.table_schema(place.table);
        let column_schema = &table.columns()[column];
        let read = self.copy.tables[place.table]
            .get(&place.uuid)
            .map(|row| row[column].to_json(&column_schema.kind));
        json!({
            "op": "wait",
            "table": table.name,
            "where": [["_uuid", "==", ["uuid", place.uuid.to_string()]]],
            "columns": [column_schema.name],
            "until": "==",
            "rows": [{ (column_schema.name.as_str()): read }],
            "timeout": 0,
        })
    }

    /// The values of a row that are to be sent: those that differ from what was read, or from the defaults.
    fn changed_row(&self, place: Place) -> Map<String, Value> {
        let mut members = Map::new();
        let Some(row) = self.row(place) else { return members };
        let read = self.copy.tables[place.table].get(&place.uuid);
        for &column in self.changed.get(&place).into_iter().flatten() {
            let schema = self.column_schema(place.table, column);
            if read.is_some_and(|read| read[column] == row[column]) {
                continue;
            }
            members.insert(schema.name.clone(), self.named_json(row[column].to_json(&schema.kind)));
        }
        members
    }

    /// The same JSON with names in place of the ids of rows that are not there yet.
    fn named_json(&self, json: Value) -> Value {
        match json {
            Value::Array(items) => {
                if let [Value::String(word), Value::String(text)] = &items[..]
                    && word == "uuid"
                    && let Ok(uuid) = text.parse::<Uuid>()
                    && self.new_ids.get(&uuid) == Some(&false)
                {
                    return json!(["named-uuid", name_of(uuid)]);
                }
                Value::Array(items.into_iter().map(|item| self.named_json(item)).collect())
            }
            other => other,
        }
    }
}

/// The name of a row within a transaction: an `<id>` of RFC 7047.
fn name_of(uuid: Uuid) -> String {
    format!("row{}", uuid.to_string().replace('-', "_"))
}
