//! What must hold at the end of a transaction: references, garbage, indexes, numbers of rows; RFC 7047 §3.2 and §4.1.3.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::execute::Context;
use super::table::{IndexKey, Referring, Table};
use super::{Before, Change, Commit, Database, Row};
use crate::Error;
use crate::schema::{TableSchema, VERSION_COLUMN};
use crate::types::{Datum, RefType, Uuid};

type Place = (usize, Uuid);

/// A transaction at its end.
struct Ending<'a> {
    database: &'a mut Database,
    before: Before,
    /// Changes of reference counts, to be undone if the transaction fails: who refers, to whom, and how many more.
    journal: Vec<(Place, Place, RefType, isize)>,
    /// Rows whose strong references became fewer, or that are new.
    suspects: BTreeSet<Place>,
}

impl Database {
    /// Brings a transaction into force, or restores what was.
    pub(super) fn commit(
        &mut self,
        before: Before,
        comment: &str,
        durable: bool,
        context: &mut Context<'_>,
    ) -> Result<Option<Commit>, Error> {
        let mut ending = Ending { database: self, before, journal: Vec::new(), suspects: BTreeSet::new() };
        match ending.settle(comment, durable, context) {
            Ok(commit) => Ok(commit),
            Err(error) => {
                ending.undo();
                Err(error)
            }
        }
    }
}

impl Ending<'_> {
    fn settle(
        &mut self,
        comment: &str,
        durable: bool,
        context: &mut Context<'_>,
    ) -> Result<Option<Commit>, Error> {
        self.count_references()?;
        self.collect_garbage();
        self.clear_weak_references()?;
        self.collect_garbage();
        self.check_deleted()?;
        self.check_rows()?;
        let keys = self.check_indexes()?;
        let changes = self.changes(context.uuids);
        let record = self.database.record(&changes, comment);
        if let Some(record) = &record {
            (context.store)(record, durable)?;
        }
        self.index(keys);
        if changes.is_empty() {
            return Ok(None);
        }
        Ok(Some(Commit { changes: Arc::new(changes) }))
    }

    fn undo(&mut self) {
        for (from, to, kind, more) in std::mem::take(&mut self.journal).into_iter().rev() {
            self.database.refer(from, to, kind, -more);
        }
        self.database.restore(std::mem::take(&mut self.before));
    }

    fn current(&self, (table, uuid): Place) -> Option<Arc<Row>> {
        self.database.row(table, uuid).cloned()
    }

    /// Replaces a row in the course of the ending.
    fn put(&mut self, place: Place, row: Option<Arc<Row>>) {
        let old = self.current(place);
        self.count(place, old.as_deref(), row.as_deref());
        let rows = &mut self.database.tables[place.0].rows;
        match row {
            Some(row) => rows.insert(place.1, row),
            None => rows.remove(&place.1),
        };
        self.before.entry(place).or_insert(old);
    }

    fn count_references(&mut self) -> Result<(), Error> {
        let touched: Vec<(Place, Option<Arc<Row>>)> =
            self.before.iter().map(|(place, old)| (*place, old.clone())).collect();
        for (place, old) in &touched {
            let new = self.current(*place);
            self.count(*place, old.as_deref(), new.as_deref());
            if new.is_some() {
                self.suspects.insert(*place);
            }
        }
        for (place, old) in &touched {
            if let Some(new) = self.current(*place) {
                self.check_targets(*place, old.as_deref(), &new)?;
            }
        }
        Ok(())
    }

    /// Counts the references by which two states of a row differ.
    fn count(&mut self, from: Place, old: Option<&Row>, new: Option<&Row>) {
        for at in 0..self.database.tables[from.0].referring.len() {
            let referring = self.database.tables[from.0].referring[at];
            if let (Some(old), Some(new)) = (old, new)
                && old.same(new, referring.column)
            {
                continue;
            }
            for (uuid, more) in differences(old, new, referring) {
                let to = (referring.target, uuid);
                if to == from && referring.kind == RefType::Strong {
                    // A row does not keep itself.
                    continue;
                }
                self.database.refer(from, to, referring.kind, more);
                self.journal.push((from, to, referring.kind, more));
                if more < 0 && referring.kind == RefType::Strong {
                    self.suspects.insert(to);
                }
            }
        }
    }

    /// New strong references must be to rows that are there; those that were deleted are told of later.
    fn check_targets(&self, (table, uuid): Place, old: Option<&Row>, new: &Row) -> Result<(), Error> {
        for referring in &self.database.tables[table].referring {
            if referring.kind == RefType::Weak || old.is_some_and(|old| old.same(new, referring.column)) {
                continue;
            }
            for (to, more) in differences(old, Some(new), *referring) {
                let place = (referring.target, to);
                let deleted = self.before.get(&place).is_some_and(Option::is_some);
                if more > 0 && !deleted && self.database.row(referring.target, to).is_none() {
                    let schema = &self.database.schema.tables()[table];
                    let text = format!(
                        "Table {} column {} row {uuid} references nonexistent row {to} in table {}.",
                        schema.name,
                        schema.columns()[referring.column].name,
                        self.database.schema.tables()[referring.target].name
                    );
                    return Err(Error::new("referential integrity violation", text));
                }
            }
        }
        Ok(())
    }

    /// Deletes rows that nothing keeps, and what they alone kept.
    fn collect_garbage(&mut self) {
        let mut queue: Vec<Place> = self.suspects.iter().copied().collect();
        while let Some(place) = queue.pop() {
            let (table, uuid) = place;
            let root = self.database.schema.tables()[table].is_root;
            if root || self.database.strong(place) > 0 || self.database.row(table, uuid).is_none() {
                continue;
            }
            let from = self.journal.len();
            self.put(place, None);
            queue.extend(
                self.journal[from..]
                    .iter()
                    .filter(|(_, _, kind, _)| *kind == RefType::Strong)
                    .map(|entry| entry.1),
            );
        }
    }

    /// A row that was deleted must not be referred to by what stays.
    fn check_deleted(&self) -> Result<(), Error> {
        for (place, old) in &self.before {
            let count = self.database.strong(*place);
            if old.is_some() && count > 0 && self.database.row(place.0, place.1).is_none() {
                let (name, uuid) = (&self.database.schema.tables()[place.0].name, place.1);
                let text =
                    format!("cannot delete {name} row {uuid} because of {count} remaining reference(s)");
                return Err(Error::new("referential integrity violation", text));
            }
        }
        Ok(())
    }

    /// Takes away weak references to rows that are not there.
    fn clear_weak_references(&mut self) -> Result<(), Error> {
        let mut referrers: BTreeSet<Place> = BTreeSet::new();
        for place in self.before.keys() {
            if self.database.row(place.0, place.1).is_some() {
                referrers.insert(*place);
            } else if let Some(references) = self.database.tables[place.0].references.get(&place.1) {
                referrers.extend(references.weak.keys());
            }
        }
        for place in referrers {
            let weak = self.database.tables[place.0].referring.iter().any(|r| r.kind == RefType::Weak);
            if let Some(row) = self.current(place).filter(|_| weak) {
                self.clear_weak_references_of(place, &row)?;
            }
        }
        Ok(())
    }

    fn clear_weak_references_of(&mut self, place: Place, row: &Arc<Row>) -> Result<(), Error> {
        let database = &self.database;
        let schema = &database.schema.tables()[place.0];
        let mut new: Option<Row> = None;
        for referring in database.tables[place.0].referring.iter().filter(|r| r.kind == RefType::Weak) {
            let lost = |uuid: Uuid| database.row(referring.target, uuid).is_none();
            let atoms = Table::atoms(new.as_ref().unwrap_or(row), *referring);
            let gone = atoms.iter().filter(|atom| atom.as_uuid().is_some_and(lost)).count();
            if gone == 0 {
                continue;
            }
            let zero = atoms.iter().any(|atom| atom.as_uuid() == Some(Uuid::ZERO));
            let new = new.get_or_insert_with(|| Row::clone(row));
            new.datum_mut(referring.column).retain(|key, value| {
                let atom = if referring.values { value } else { Some(key) };
                !atom.is_some_and(|atom| atom.as_uuid().is_some_and(lost))
            });
            let column = &schema.columns()[referring.column];
            if new.datum(referring.column).len() < column.kind.min as usize {
                let inserted = self.before.get(&place).is_some_and(Option::is_none);
                return Err(emptied(schema, &column.name, place.1, gone, zero, inserted));
            }
        }
        if let Some(new) = new {
            self.put(place, Some(Arc::new(new)));
        }
        Ok(())
    }

    fn check_rows(&self) -> Result<(), Error> {
        let tables: BTreeSet<usize> = self.before.keys().map(|place| place.0).collect();
        for table in tables {
            let schema = &self.database.schema.tables()[table];
            let (count, limit) = (self.database.tables[table].len(), schema.max_rows);
            if count > limit as usize {
                let text = format!(
                    "transaction causes \"{}\" table to contain {count} rows, greater than the schema-defined limit \
                     of {limit} row(s)",
                    schema.name
                );
                return Err(Error::constraint(text));
            }
        }
        Ok(())
    }

    /// The keys that changed rows have in indexes: by table, index, key.
    fn check_indexes(&self) -> Result<HashMap<(usize, usize, IndexKey), Uuid>, Error> {
        let mut keys = HashMap::new();
        for &(table, uuid) in self.before.keys() {
            let schema = &self.database.schema.tables()[table];
            let Some(row) = self.database.row(table, uuid) else { continue };
            for (place, columns) in schema.indexes.iter().enumerate() {
                let key = Table::index_key(row, columns);
                let committed = self.database.tables[table].indexes[place].get(&key);
                // The row that had the key before may have another by now; then it is among the changed ones.
                let unchanged = committed.filter(|owner| !self.before.contains_key(&(table, **owner)));
                let owner = unchanged.copied().or(keys.insert((table, place, key), uuid));
                if let Some(owner) = owner {
                    return Err(self.duplicate(table, columns, owner, uuid));
                }
            }
        }
        Ok(keys)
    }

    fn duplicate(&self, table: usize, columns: &[usize], one: Uuid, other: Uuid) -> Error {
        let schema = &self.database.schema.tables()[table];
        // Which row comes first must not depend on their UUIDs, which are random: the greater one does.
        let contents = |uuid: Uuid| {
            let row = self.database.row(table, uuid);
            row.map(|row| schema.own_columns().map(|(c, _)| row.datum(c)).collect::<Vec<_>>())
        };
        let (first, second) = if contents(one) < contents(other) { (other, one) } else { (one, other) };
        let values = |row: &Row| -> String {
            let values: Vec<_> =
                columns.iter().map(|c| row.datum(*c).to_text(&schema.columns()[*c].kind)).collect();
            values.join(", ")
        };
        let names: Vec<_> = columns.iter().map(|c| format!("\"{}\"", schema.columns()[*c].name)).collect();
        let names = match names.split_last() {
            Some((last, [])) => format!("column {last}"),
            Some((last, [one])) => format!("columns {one} and {last}"),
            Some((last, rest)) => format!("columns {}, and {last}", rest.join(", ")),
            None => String::new(),
        };
        let fate = |uuid: Uuid| {
            match self.before.get(&(table, uuid)) {
            Some(None) => "was inserted by this transaction".to_owned(),
            Some(Some(old)) if !columns.iter().all(|c| self.is_same(table, old, *c)) => {
                format!("had the following index values before the transaction: {}", values(old))
            }
            Some(Some(_)) => {
                "existed in the database before this transaction, which modified some of the row's columns but not \
                 any columns in this index"
                    .to_owned()
            }
            None => "existed in the database before this transaction and was not modified by the transaction".to_owned(),
        }
        };
        let shown = self.database.row(table, second).map(|row| values(row)).unwrap_or_default();
        Error::constraint(format!(
            "Transaction causes multiple rows in \"{}\" table to have identical values ({shown}) for index on \
             {names}.  First row, with UUID {first}, {}.  Second row, with UUID {second}, {}.",
            schema.name,
            fate(first),
            fate(second)
        ))
    }

    fn is_same(&self, table: usize, old: &Row, column: usize) -> bool {
        self.database.row(table, old.uuid()).is_some_and(|new| new.same(old, column))
    }

    /// What changed in the end; each changed row gets a new `_version`.
    fn changes(&mut self, uuids: &mut dyn FnMut() -> Uuid) -> Vec<Change> {
        let mut changes = Vec::with_capacity(self.before.len());
        for (&(table, uuid), old) in &self.before {
            let new = self.database.tables[table].rows.get_mut(&uuid);
            let new = match (old, new) {
                (None, None) => continue,
                (Some(old), Some(new)) if old.same_but_version(new) => continue,
                (_, new) => new.map(|new| {
                    Arc::make_mut(new).set(VERSION_COLUMN, Datum::scalar(uuids()));
                    Arc::clone(new)
                }),
            };
            changes.push(Change { table, uuid, old: old.clone(), new });
        }
        changes
    }

    fn index(&mut self, keys: HashMap<(usize, usize, IndexKey), Uuid>) {
        for (&(table, uuid), old) in &self.before {
            let schema = &self.database.schema.tables()[table];
            let indexes = &mut self.database.tables[table].indexes;
            for (index, columns) in indexes.iter_mut().zip(&schema.indexes) {
                let Some(old) = old else { continue };
                let key = Table::index_key(old, columns);
                if index.get(&key) == Some(&uuid) {
                    index.remove(&key);
                }
            }
        }
        for ((table, place, key), uuid) in keys {
            self.database.tables[table].indexes[place].insert(key, uuid);
        }
    }
}

impl Database {
    fn strong(&self, (table, uuid): Place) -> usize {
        self.tables[table].references.get(&uuid).map_or(0, |references| references.strong)
    }

    /// Counts `more` references.
    fn refer(&mut self, from: Place, (table, uuid): Place, kind: RefType, more: isize) {
        let references = self.tables[table].references.entry(uuid).or_default();
        match kind {
            RefType::Strong => references.strong = references.strong.saturating_add_signed(more),
            RefType::Weak => {
                let count = references.weak.entry(from).or_default();
                *count = count.saturating_add_signed(more);
                if *count == 0 {
                    references.weak.remove(&from);
                }
            }
        }
        if references.strong == 0 && references.weak.is_empty() {
            self.tables[table].references.remove(&uuid);
        }
    }
}

/// References of one column that two states of a row do not share: -1 for those that went, 1 for those that came.
fn differences(old: Option<&Row>, new: Option<&Row>, referring: Referring) -> Vec<(Uuid, isize)> {
    static EMPTY: Datum = Datum::empty();
    let old = old.map_or(&EMPTY, |row| row.datum(referring.column));
    let new = new.map_or(&EMPTY, |row| row.datum(referring.column));
    let mut differences = Vec::new();
    old.walk(new, |key, before, after| {
        if referring.values {
            let (before, after) = (before.flatten(), after.flatten());
            differences.extend(before.and_then(|atom| atom.as_uuid()).map(|uuid| (uuid, -1)));
            differences.extend(after.and_then(|atom| atom.as_uuid()).map(|uuid| (uuid, 1)));
        } else if let Some(uuid) = key.as_uuid()
            && before.is_some() != after.is_some()
        {
            differences.push((uuid, if after.is_some() { 1 } else { -1 }));
        }
    });
    differences
}

fn emptied(schema: &TableSchema, column: &str, uuid: Uuid, gone: usize, zero: bool, inserted: bool) -> Error {
    let table = &schema.name;
    Error::constraint(if zero {
        let inserted = if inserted { " (inserted within this transaction)" } else { "" };
        format!(
            "Weak reference column \"{column}\" in \"{table}\" row {uuid}{inserted} contained all-zeros UUID (probably \
             as the default value for this column) but deleting this value caused a constraint volation because this \
             column is not allowed to be empty."
        )
    } else {
        format!(
            "Deletion of {gone} weak reference(s) to deleted (or never-existing) rows from column \"{column}\" in \
             \"{table}\" row {uuid} caused this column to become empty, but constraints on this column disallow an \
             empty column."
        )
    })
}

/// Ends a replay as if one transaction had inserted all rows.
pub(super) fn count_all(database: &mut Database, uuids: &mut dyn FnMut() -> Uuid) -> Result<(), Error> {
    let mut before = Before::new();
    for (index, table) in database.tables.iter_mut().enumerate() {
        table.references.clear();
        table.indexes.iter_mut().for_each(HashMap::clear);
        before.extend(table.rows.keys().map(|uuid| ((index, *uuid), None)));
    }
    let mut ending = Ending { database, before, journal: Vec::new(), suspects: BTreeSet::new() };
    ending.count_references()?;
    ending.collect_garbage();
    ending.clear_weak_references()?;
    ending.collect_garbage();
    ending.check_deleted()?;
    ending.check_rows()?;
    let keys = ending.check_indexes()?;
    ending.changes(uuids);
    ending.index(keys);
    Ok(())
}
