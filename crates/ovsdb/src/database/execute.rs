//! The operations of a transaction, RFC 7047 §5.2.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::mutation::Mutation;
use super::{Before, Commit, Condition, Database, Row};
use crate::Error;
use crate::parser::{Is, Members, integer};
use crate::schema::{STANDARD_COLUMNS, TableSchema, UUID_COLUMN, VERSION_COLUMN};
use crate::types::{Atom, Datum, Symbols, Uuid};

/// What a transaction needs to know of the world.
pub struct Context<'a> {
    /// Yields a fresh UUID at each call.
    pub uuids: &'a mut dyn FnMut() -> Uuid,
    /// Whether the client holds a lock.
    pub owns_lock: &'a dyn Fn(&str) -> bool,
    /// Whether the client may only read.
    pub read_only: bool,
    /// How long ago the transaction arrived, milliseconds.
    pub elapsed: u64,
    /// Keeps a record before it comes into force; `true` asks that it is on the disk before success is told.
    #[allow(clippy::type_complexity)]
    pub store: &'a mut dyn FnMut(&Value, bool) -> Result<(), Error>,
}

/// How a transaction ended.
#[derive(Debug)]
pub enum Outcome {
    /// It is over; the result of each operation, RFC 7047 §4.1.3. A failed one changed nothing.
    Done {
        /// The results.
        result: Value,
        /// What it changed, if it changed anything.
        commit: Option<Commit>,
        /// Whether the client wants to hear of success only when it is on the disk.
        durable: bool,
    },
    /// A `wait` does not hold yet; run it again after a change, or when this many milliseconds since it arrived are over.
    Wait(Option<u64>),
}

/// Why operations stop.
enum Stop {
    Failed(Error),
    /// Until the milliseconds are over, or for ever.
    Wait(Option<u64>),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// A transaction that runs: what it changed so far.
pub(super) struct Transaction {
    /// For each row that was touched, what it was before.
    pub(super) before: Before,
    pub(super) comment: String,
    durable: bool,
}

impl Database {
    /// Runs the operations of a transaction: `params` are the parameters of `transact` after the database's name.
    pub fn execute(&mut self, params: &[Value], context: &mut Context<'_>) -> Outcome {
        let mut transaction = Transaction { before: BTreeMap::new(), comment: String::new(), durable: false };
        let mut results = Vec::with_capacity(params.len());
        let mut names = HashSet::new();
        let failed = {
            let mut symbols = Symbols::new(context.uuids);
            let mut run = Run {
                database: self,
                transaction: &mut transaction,
                symbols: &mut symbols,
                names: &mut names,
                owns_lock: context.owns_lock,
                read_only: context.read_only,
                elapsed: context.elapsed,
            };
            run.operations(params, &mut results)
        };
        let Transaction { before, comment, durable } = transaction;
        match failed {
            Ok(()) => match self.commit(before, &comment, durable, context) {
                Ok(commit) => return Outcome::Done { result: results.into(), commit, durable },
                Err(error) => results.push(error.to_json()),
            },
            Err(Stop::Failed(error)) => {
                self.restore(before);
                results.push(error.to_json());
                results.resize(params.len(), Value::Null);
            }
            Err(Stop::Wait(until)) => {
                self.restore(before);
                return Outcome::Wait(until);
            }
        }
        Outcome::Done { result: results.into(), commit: None, durable: false }
    }

    /// Puts rows back to what they were.
    pub(super) fn restore(&mut self, before: Before) {
        for ((table, uuid), row) in before {
            match row {
                Some(row) => self.tables[table].rows.insert(uuid, row),
                None => self.tables[table].rows.remove(&uuid),
            };
        }
    }
}

struct Run<'a, 'b> {
    database: &'a mut Database,
    transaction: &'a mut Transaction,
    symbols: &'a mut Symbols<'b>,
    /// The `uuid-name`s that insertions bore.
    names: &'a mut HashSet<String>,
    owns_lock: &'a dyn Fn(&str) -> bool,
    read_only: bool,
    elapsed: u64,
}

type Operation = fn(&mut Run<'_, '_>, Members<'_>) -> Result<Value, Stop>;

/// The operations, whether they write, and what runs them.
const OPERATIONS: [(&str, bool, Operation); 10] = [
    ("insert", true, |run, members| run.insert(members)),
    ("select", false, |run, members| run.select(members)),
    ("update", true, |run, members| run.update(members)),
    ("mutate", true, |run, members| run.mutate(members)),
    ("delete", true, |run, members| run.delete(members)),
    ("wait", false, |run, members| run.wait(members)),
    ("commit", false, |run, members| run.commit(members)),
    ("abort", false, |_, members| {
        members.finish()?;
        Err(Error::new("aborted", "aborted by request").into())
    }),
    ("comment", true, |run, members| run.comment(members)),
    ("assert", false, |run, members| run.assert(members)),
];

impl Run<'_, '_> {
    fn operations(&mut self, params: &[Value], results: &mut Vec<Value>) -> Result<(), Stop> {
        for (at, json) in params.iter().enumerate() {
            let name = format!("ovsdb operation {} of {}", at + 1, params.len());
            let mut members = Members::new(json, name);
            let op = members.required("op", Is::Id).and_then(Value::as_str);
            let known = op.and_then(|op| OPERATIONS.iter().find(|(known, ..)| *known == op));
            let Some((op, writes, run)) = known else {
                if let Some(op) = op {
                    members.fail(&format!("No operation \"{op}\""));
                }
                members.check()?;
                continue;
            };
            if *writes && self.read_only {
                let text = format!("{op} operation not allowed when database server is in read only mode");
                return Err(Error::new("not allowed", text).into());
            }
            results.push(run(self, members)?);
        }
        Ok(())
    }

    /// The table of member `table`.
    fn table(&self, members: &mut Members<'_>) -> usize {
        let Some(name) = members.required("table", Is::Id).and_then(Value::as_str) else { return 0 };
        self.database.schema.table_index(name).unwrap_or_else(|| {
            members.fail(&format!("No table named {name}."));
            0
        })
    }

    fn condition(&mut self, table: usize, json: Option<&Value>) -> Result<Condition, Error> {
        let schema = Arc::clone(&self.database.schema);
        let condition = json.unwrap_or(&Value::Null);
        Condition::from_json(&schema.tables()[table], condition, Some(self.symbols))
    }

    /// The rows that meet a condition. Looks them up where the condition names a row or a whole index.
    fn rows(&self, table: usize, condition: &Condition) -> Vec<Arc<Row>> {
        let rows = &self.database.tables[table];
        if let Some(uuid) = condition.only_row() {
            return rows.row(uuid).filter(|row| condition.all(row)).cloned().into_iter().collect();
        }
        if let Some(indexed) = self.by_index(table, condition) {
            return indexed;
        }
        rows.rows().filter(|row| condition.all(row)).cloned().collect()
    }

    fn by_index(&self, table: usize, condition: &Condition) -> Option<Vec<Arc<Row>>> {
        let schema = &self.database.schema.tables()[table];
        let rows = &self.database.tables[table];
        let (place, key) = schema.indexes.iter().enumerate().find_map(|(place, columns)| {
            let key = columns.iter().map(|column| condition.equals(*column).cloned().map(Arc::new));
            Some((place, key.collect::<Option<Vec<_>>>()?))
        })?;
        // Indexes know what was committed; rows that this transaction touched are looked at one by one.
        let touched =
            self.transaction.before.range((table, Uuid::ZERO)..).take_while(|(key, _)| key.0 == table);
        let mut found: BTreeMap<Uuid, Arc<Row>> = BTreeMap::new();
        for uuid in touched.map(|((_, uuid), _)| uuid).chain(rows.indexes[place].get(&key)) {
            if let Some(row) = rows.row(*uuid).filter(|row| condition.all(row)) {
                found.insert(*uuid, Arc::clone(row));
            }
        }
        Some(found.into_values().collect())
    }

    /// Puts a row in place of another, or takes it away.
    fn put(&mut self, table: usize, uuid: Uuid, row: Option<Arc<Row>>) {
        let rows = &mut self.database.tables[table].rows;
        let old = match row {
            Some(row) => rows.insert(uuid, row),
            None => rows.remove(&uuid),
        };
        self.transaction.before.entry((table, uuid)).or_insert(old);
    }

    fn insert(&mut self, mut members: Members<'_>) -> Result<Value, Stop> {
        let table = self.table(&mut members);
        let name = members.optional("uuid-name", Is::Id);
        let given = members.optional("uuid", Is::String);
        let row = members.required("row", Is::Object);
        members.finish()?;
        let chosen = given.map(|json| self.chosen_uuid(table, json)).transpose()?;
        let uuid = match name {
            None => chosen.unwrap_or_else(|| self.symbols.fresh()),
            Some(json) => {
                let name = json.as_str().unwrap_or_default();
                let symbol = self.symbols.symbol(name);
                symbol.created = true;
                symbol.uuid = chosen.unwrap_or(symbol.uuid);
                let uuid = symbol.uuid;
                if !self.names.insert(name.to_owned()) {
                    let text = "This \"uuid-name\" appeared on an earlier \"insert\" operation.";
                    return Err(Error::new("duplicate uuid-name", text).at(json).into());
                }
                uuid
            }
        };
        let schema = Arc::clone(&self.database.schema);
        let schema = &schema.tables()[table];
        let mut new = self.database.tables[table].fresh_row(uuid);
        // Operations that follow may look at the version; the one that is kept is made in the end.
        new.set(VERSION_COLUMN, Datum::scalar(self.symbols.fresh()));
        let mut said = HashSet::new();
        for (column, datum) in self.row(schema, row.unwrap_or(&Value::Null))? {
            // `_uuid` and `_version` may be named, to no effect.
            if column >= STANDARD_COLUMNS {
                new.set(column, datum);
                said.insert(column);
            }
        }
        for (column, definition) in schema.own_columns() {
            // What was not said must be allowed as well.
            if !said.contains(&column) {
                for atom in new.datum(column).keys() {
                    definition.kind.key.check(atom)?;
                }
            }
        }
        self.put(table, uuid, Some(Arc::new(new)));
        Ok(json!({"uuid": Atom::Uuid(uuid).to_json()}))
    }

    fn chosen_uuid(&self, table: usize, json: &Value) -> Result<Uuid, Error> {
        let text = json.as_str().unwrap_or_default();
        let uuid = text.parse().map_err(|_| Error::syntax(json, "bad uuid"))?;
        let taken =
            self.database.row(table, uuid).is_some() || self.transaction.before.contains_key(&(table, uuid));
        if taken {
            let name = &self.database.schema.tables()[table].name;
            let text = format!(
                "This UUID would duplicate a UUID already present within the \"{name}\" table or deleted from this \
                 table within the same transaction."
            );
            return Err(Error::new("duplicate uuid", text).at(json));
        }
        Ok(uuid)
    }

    /// Columns of a `<row>` with their values.
    fn row(&mut self, schema: &TableSchema, json: &Value) -> Result<Vec<(usize, Datum)>, Error> {
        let Some(members) = json.as_object() else {
            return Err(Error::syntax(json, "row must be JSON object"));
        };
        let mut columns = Vec::with_capacity(members.len());
        for (name, value) in members {
            let Some(column) = schema.column_index(name) else {
                let text = format!("No column {name} in table {}.", schema.name);
                return Err(Error::new("unknown column", text).at(json));
            };
            let kind = &schema.columns()[column].kind;
            columns.push((column, Datum::from_json(kind, value, Some(self.symbols))?));
        }
        Ok(columns)
    }

    fn select(&mut self, mut members: Members<'_>) -> Result<Value, Stop> {
        let table = self.table(&mut members);
        let condition = members.required("where", Is::Array);
        let columns = members.optional("columns", Is::Array);
        let sort = members.optional("sort", Is::Array);
        members.finish()?;
        let condition = self.condition(table, condition)?;
        let schema = Arc::clone(&self.database.schema);
        let schema = &schema.tables()[table];
        let columns = column_set(schema, columns)?;
        let sort = sort.map(|sort| column_set(schema, Some(sort))).transpose()?;
        let mut rows = self.rows(table, &condition);
        if let Some(sort) = sort {
            rows.sort_by(|a, b| sort.iter().map(|c| a.datum(*c)).cmp(sort.iter().map(|c| b.datum(*c))));
        }
        let mut seen = HashSet::new();
        if !columns.contains(&UUID_COLUMN) {
            // Rows that look the same are told once.
            rows.retain(|row| seen.insert(super::Table::index_key(row, &columns)));
        }
        let rows: Vec<Value> = rows.iter().map(|row| row_to_json(schema, row, &columns)).collect();
        Ok(json!({"rows": rows}))
    }

    fn update(&mut self, mut members: Members<'_>) -> Result<Value, Stop> {
        let json = members.json();
        let table = self.table(&mut members);
        let condition = members.required("where", Is::Array);
        let row = members.required("row", Is::Object);
        members.finish()?;
        let schema = Arc::clone(&self.database.schema);
        let schema = &schema.tables()[table];
        let columns = self.row(schema, row.unwrap_or(&Value::Null))?;
        for (column, _) in &columns {
            let column = &schema.columns()[*column];
            if !column.mutable {
                let text =
                    format!("Cannot update immutable column {} in table {}.", column.name, schema.name);
                return Err(Error::constraint(text).at(json).into());
            }
        }
        let condition = self.condition(table, condition)?;
        let rows = self.rows(table, &condition);
        for row in &rows {
            let mut new = Row::clone(row);
            for (column, datum) in &columns {
                new.set(*column, datum.clone());
            }
            if new != **row {
                self.put(table, row.uuid(), Some(Arc::new(new)));
            }
        }
        Ok(json!({"count": rows.len()}))
    }

    fn mutate(&mut self, mut members: Members<'_>) -> Result<Value, Stop> {
        let table = self.table(&mut members);
        let condition = members.required("where", Is::Array);
        let mutations = members.required("mutations", Is::Array).and_then(Value::as_array);
        members.finish()?;
        let schema = Arc::clone(&self.database.schema);
        let schema = &schema.tables()[table];
        let mut steps = Vec::new();
        for json in mutations.into_iter().flatten() {
            steps.push(Mutation::from_json(schema, json, self.symbols)?);
        }
        let condition = self.condition(table, condition)?;
        let rows = self.rows(table, &condition);
        for row in &rows {
            let mut new = Row::clone(row);
            for step in &steps {
                step.apply(schema, &mut new)?;
            }
            if new != **row {
                self.put(table, row.uuid(), Some(Arc::new(new)));
            }
        }
        Ok(json!({"count": rows.len()}))
    }

    fn delete(&mut self, mut members: Members<'_>) -> Result<Value, Stop> {
        let table = self.table(&mut members);
        let condition = members.required("where", Is::Array);
        members.finish()?;
        let condition = self.condition(table, condition)?;
        let rows = self.rows(table, &condition);
        for row in &rows {
            self.put(table, row.uuid(), None);
        }
        Ok(json!({"count": rows.len()}))
    }

    fn wait(&mut self, mut members: Members<'_>) -> Result<Value, Stop> {
        let timeout = members.optional("timeout", Is::Number);
        let table = self.table(&mut members);
        let condition = members.required("where", Is::Array);
        let columns = members.optional("columns", Is::Array);
        let until = members.required("until", Is::String);
        let rows = members.required("rows", Is::Array).and_then(Value::as_array);
        members.finish()?;
        let timeout = timeout.map(|json| {
            let milliseconds = integer(json).or(json.as_f64().map(|real| real as i64)).unwrap_or(0);
            u64::try_from(milliseconds).map_err(|_| Error::syntax(json, "timeout must be nonnegative"))
        });
        let timeout = timeout.transpose()?;
        let equal = match until.and_then(Value::as_str) {
            Some("==") => true,
            Some("!=") => false,
            _ => {
                let text = "\"until\" must be \"==\" or \"!=\"";
                return Err(Error::syntax(until.unwrap_or(&Value::Null), text).into());
            }
        };
        let condition = self.condition(table, condition)?;
        let schema = Arc::clone(&self.database.schema);
        let schema = &schema.tables()[table];
        let columns = column_set(schema, columns)?;
        let mut expected = HashSet::new();
        for json in rows.into_iter().flatten() {
            let mut row = self.database.tables[table].fresh_row(Uuid::ZERO);
            for (column, datum) in self.row(schema, json)? {
                row.set(column, datum);
            }
            expected.insert(super::Table::index_key(&row, &columns));
        }
        let found: HashSet<_> =
            self.rows(table, &condition).iter().map(|row| super::Table::index_key(row, &columns)).collect();
        if (found == expected) == equal {
            return Ok(json!({}));
        }
        match timeout {
            Some(timeout) if self.elapsed >= timeout => {
                let text = match (timeout, self.elapsed) {
                    (0, _) | (_, 0) => "\"where\" clause test failed".to_owned(),
                    (_, elapsed) => format!("\"wait\" timed out after {elapsed} ms"),
                };
                Err(Error::new("timed out", text).into())
            }
            timeout => Err(Stop::Wait(timeout)),
        }
    }

    fn commit(&mut self, mut members: Members<'_>) -> Result<Value, Stop> {
        let durable = members.required("durable", Is::Boolean).and_then(Value::as_bool);
        members.finish()?;
        self.transaction.durable |= durable == Some(true);
        Ok(json!({}))
    }

    fn comment(&mut self, mut members: Members<'_>) -> Result<Value, Stop> {
        let comment = members.required("comment", Is::String).and_then(Value::as_str);
        members.finish()?;
        let comments = &mut self.transaction.comment;
        if !comments.is_empty() {
            comments.push('\n');
        }
        comments.push_str(comment.unwrap_or_default());
        Ok(json!({}))
    }

    fn assert(&mut self, mut members: Members<'_>) -> Result<Value, Stop> {
        let lock = members.required("lock", Is::Id).and_then(Value::as_str);
        members.finish()?;
        let lock = lock.unwrap_or_default();
        if (self.owns_lock)(lock) {
            return Ok(json!({}));
        }
        Err(Error::new("not owner", format!("Asserted lock {lock} not held.")).into())
    }
}

/// The columns of a `<column-set>`; all where nothing was said.
pub(crate) fn column_set(schema: &TableSchema, json: Option<&Value>) -> Result<Vec<usize>, Error> {
    let Some(json) = json else { return Ok((0..schema.columns().len()).collect()) };
    let wrong = || Error::syntax(json, "array of distinct column names expected");
    let mut columns = Vec::new();
    let mut seen = HashSet::new();
    for name in json.as_array().ok_or_else(wrong)? {
        let name = name.as_str().ok_or_else(wrong)?;
        let Some(column) = schema.column_index(name) else {
            return Err(Error::syntax(json, format!("{name} is not a valid column name")));
        };
        if !seen.insert(column) {
            return Err(wrong());
        }
        columns.push(column);
    }
    Ok(columns)
}

/// Some columns of a row as a JSON object.
pub(crate) fn row_to_json(schema: &TableSchema, row: &Row, columns: &[usize]) -> Value {
    let members: Map<String, Value> = columns
        .iter()
        .map(|&column| {
            let definition = &schema.columns()[column];
            (definition.name.clone(), row.datum(column).to_json(&definition.kind))
        })
        .collect();
    members.into()
}
