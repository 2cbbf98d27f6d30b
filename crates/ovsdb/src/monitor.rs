//! Monitors: what a client wants to be told of, and the notifications that tell it; RFC 7047 §4.1.5 and
//! ovsdb-server(7) "monitor_cond" and "monitor_cond_since".
//!
//! A monitor does not queue notifications. It keeps, for each row that changed since the client was last told, what the
//! client knows of it; what is to be told is worked out when it can be sent. So a client that is behind costs at most
//! the rows it knew, changes to one row become one, and what came and went meanwhile is never told.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::Error;
use crate::database::{Before, Change, Condition, Database, Row, column_set, row_to_json};
use crate::parser::{Is, Members};
use crate::rpc::Message;
use crate::schema::{STANDARD_COLUMNS, Schema, TableSchema, UUID_COLUMN};
use crate::types::Uuid;

/// What standalone databases give for the identifier of a transaction: as with Open vSwitch's server, only clustered ones
/// have such, by which clients can tell another server of the cluster where they were.
pub const NO_TRANSACTION: Uuid = Uuid::ZERO;

/// The three methods by which a monitor is made; they differ in requests and notifications.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// `monitor`: `update`, rows whole.
    Plain,
    /// `monitor_cond`: `update2`, conditions and differences.
    Conditional,
    /// `monitor_cond_since`: `update3`, with the identifier of the last transaction.
    Since,
}

/// Kinds of changes that a client wants to hear of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Select {
    initial: bool,
    insert: bool,
    delete: bool,
    modify: bool,
}

/// What is monitored of one table.
#[derive(Clone, Debug)]
struct Watched {
    /// Columns, and the kinds of changes for which each is told.
    columns: Vec<(usize, Select)>,
    select: Select,
    condition: Condition,
}

/// How a row's change looks to the client.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Initial,
    Insert,
    Delete,
    Modify,
}

/// A monitor of a client.
#[derive(Debug)]
pub struct Monitor {
    /// The client's identifier for it.
    pub id: Value,
    version: Version,
    tables: BTreeMap<usize, Watched>,
    /// For each row that changed since: what the client knows.
    known: Before,
}

impl Monitor {
    /// A monitor by the `<monitor-requests>` of a client.
    ///
    /// # Errors
    /// If the requests speak of what is not in the schema, or are wrong.
    pub fn new(version: Version, id: Value, schema: &Schema, requests: &Value) -> Result<Self, Error> {
        let Some(requests) = requests.as_object() else {
            return Err(Error::syntax(requests, "monitor-requests must be object"));
        };
        let mut tables = BTreeMap::new();
        for (name, request) in requests {
            let Some(table) = schema.table_index(name) else {
                return Err(Error::plain_syntax(format!("no table named {name}")));
            };
            let schema = &schema.tables()[table];
            let several = request.as_array().map_or(std::slice::from_ref(request), Vec::as_slice);
            tables.insert(table, Watched::from_json(version, schema, several)?);
        }
        Ok(Self { id, version, tables, known: Before::new() })
    }

    /// What the client is told first, in the result of its request.
    pub fn initial(&self, database: &Database) -> Value {
        let mut updates = Updates::default();
        for (table, watched) in self.tables.iter().filter(|(_, watched)| watched.select.initial) {
            let schema = &database.schema().tables()[*table];
            for row in database.tables()[*table].rows().filter(|row| watched.condition.any(row)) {
                updates.put(
                    schema,
                    row.uuid(),
                    watched.tell(self.version, schema, Kind::Initial, None, Some(row)),
                );
            }
        }
        updates.into_json()
    }

    /// Notes a transaction. Returns whether there may be something to tell.
    pub fn note(&mut self, changes: &[Change]) -> bool {
        for change in changes.iter().filter(|change| self.tables.contains_key(&change.table)) {
            self.known.entry((change.table, change.uuid)).or_insert_with(|| change.old.clone());
        }
        !self.known.is_empty()
    }

    /// The notification of what changed since the last one; `None` if the client need not hear of it.
    pub fn notification(&mut self, database: &Database) -> Option<Message> {
        let updates = self.updates(database)?;
        Some(self.message(updates))
    }

    fn message(&self, updates: Value) -> Message {
        let id = self.id.clone();
        match self.version {
            Version::Plain => Message::notification("update", vec![id, updates]),
            Version::Conditional => Message::notification("update2", vec![id, updates]),
            Version::Since => {
                Message::notification("update3", vec![id, NO_TRANSACTION.to_string().into(), updates])
            }
        }
    }

    fn updates(&mut self, database: &Database) -> Option<Value> {
        let mut updates = Updates::default();
        for ((table, uuid), old) in std::mem::take(&mut self.known) {
            let Some(watched) = self.tables.get(&table) else { continue };
            let schema = &database.schema().tables()[table];
            let new = database.row(table, uuid).map(Arc::as_ref);
            let old = old.as_deref();
            let visible = |row: Option<&Row>| row.is_some_and(|row| watched.condition.any(row));
            let kind = match (visible(old), visible(new)) {
                (false, false) => continue,
                (false, true) => Kind::Insert,
                (true, false) => Kind::Delete,
                (true, true) => Kind::Modify,
            };
            updates.put(schema, uuid, watched.tell(self.version, schema, kind, old, new));
        }
        (!updates.tables.is_empty()).then(|| updates.into_json())
    }

    /// Changes conditions by the third parameter of `monitor_cond_change`. What was to be told must have been told.
    /// Returns the notification of rows that come into view or leave it.
    ///
    /// # Errors
    /// If the requests are wrong; nothing is changed then.
    pub fn change_conditions(
        &mut self,
        id: Value,
        database: &Database,
        requests: &Value,
    ) -> Result<Option<Message>, Error> {
        let Some(requests) = requests.as_object() else {
            return Err(Error::plain_syntax("monitor-cond-change-requests must be object"));
        };
        let mut conditions = BTreeMap::new();
        for (name, request) in requests {
            let table = database.schema().table_index(name).filter(|table| self.tables.contains_key(table));
            let Some(table) = table else {
                return Err(Error::plain_syntax(format!("no table named {name} in monitor session")));
            };
            let Some(requests) = request.as_array() else {
                return Err(Error::plain_syntax(format!("table {name} no monitor-cond-change JSON array")));
            };
            let schema = &database.schema().tables()[table];
            for json in requests {
                let mut members = Members::new(json, format!("table {name}"));
                members.optional("columns", Is::Any);
                let condition = members.optional("where", Is::Array);
                members.finish()?;
                let condition = condition.map_or_else(
                    || Ok(Condition::default()),
                    |json| Condition::from_json(schema, json, None),
                )?;
                conditions.insert(table, condition);
            }
        }
        self.id = id;
        let mut updates = Updates::default();
        for (table, condition) in conditions {
            let Some(watched) = self.tables.get_mut(&table) else { continue };
            let schema = &database.schema().tables()[table];
            let before = std::mem::replace(&mut watched.condition, condition);
            for row in database.tables()[table].rows() {
                let (kind, old, new) = match (before.any(row), watched.condition.any(row)) {
                    (false, true) => (Kind::Insert, None, Some(row.as_ref())),
                    (true, false) => (Kind::Delete, Some(row.as_ref()), None),
                    _ => continue,
                };
                updates.put(schema, row.uuid(), watched.tell(self.version, schema, kind, old, new));
            }
        }
        Ok((!updates.tables.is_empty()).then(|| self.message(updates.into_json())))
    }
}

#[derive(Default)]
struct Updates {
    tables: BTreeMap<String, Map<String, Value>>,
}

impl Updates {
    fn put(&mut self, schema: &TableSchema, uuid: Uuid, update: Option<Value>) {
        if let Some(update) = update {
            self.tables.entry(schema.name.clone()).or_default().insert(uuid.to_string(), update);
        }
    }

    fn into_json(self) -> Value {
        self.tables.into_iter().map(|(name, rows)| (name, Value::from(rows))).collect::<Map<_, _>>().into()
    }
}

impl Select {
    const ALL: Self = Self { initial: true, insert: true, delete: true, modify: true };
    const NONE: Self = Self { initial: false, insert: false, delete: false, modify: false };

    fn from_json(table: &str, json: Option<&Value>) -> Result<Self, Error> {
        let Some(json) = json else { return Ok(Self::ALL) };
        let mut members = Members::new(json, format!("table {table} select"));
        let mut wanted = |name| members.optional(name, Is::Boolean).and_then(Value::as_bool).unwrap_or(true);
        let select = Self {
            initial: wanted("initial"),
            insert: wanted("insert"),
            delete: wanted("delete"),
            modify: wanted("modify"),
        };
        members.finish()?;
        Ok(select)
    }

    const fn or(self, other: Self) -> Self {
        Self {
            initial: self.initial || other.initial,
            insert: self.insert || other.insert,
            delete: self.delete || other.delete,
            modify: self.modify || other.modify,
        }
    }

    const fn wants(self, kind: Kind) -> bool {
        match kind {
            Kind::Initial => self.initial,
            Kind::Insert => self.insert,
            Kind::Delete => self.delete,
            Kind::Modify => self.modify,
        }
    }
}

impl Watched {
    fn from_json(version: Version, schema: &TableSchema, requests: &[Value]) -> Result<Self, Error> {
        let mut this = Self { columns: Vec::new(), select: Select::NONE, condition: Condition::default() };
        let mut seen = BTreeSet::new();
        for json in requests {
            let mut members = Members::new(json, format!("table {}", schema.name));
            let columns = members.optional("columns", Is::Array);
            let select = members.optional("select", Is::Object);
            let condition = match version {
                Version::Plain => None,
                _ => members.optional("where", Is::Array),
            };
            members.finish()?;
            let select = Select::from_json(&schema.name, select)?;
            this.select = this.select.or(select);
            if let Some(condition) = condition {
                this.condition = Condition::from_json(schema, condition, None)?;
            }
            let named = match columns {
                Some(columns) => column_set(schema, Some(columns))?,
                None => (0..schema.columns().len()).filter(|column| *column != UUID_COLUMN).collect(),
            };
            for column in named {
                if !seen.insert(column) {
                    let text = format!("column {} mentioned more than once", schema.columns()[column].name);
                    return Err(Error::syntax(columns.unwrap_or(json), text));
                }
                this.columns.push((column, select));
            }
        }
        Ok(this)
    }

    /// The `<row-update>` or `<row-update2>`; `None` if the client does not want it, or sees no change.
    fn tell(
        &self,
        version: Version,
        schema: &TableSchema,
        kind: Kind,
        old: Option<&Row>,
        new: Option<&Row>,
    ) -> Option<Value> {
        if !self.select.wants(kind) {
            return None;
        }
        let wanted =
            || self.columns.iter().filter(|(_, select)| select.wants(kind)).map(|(column, _)| *column);
        let columns: Vec<usize> = wanted().collect();
        match kind {
            Kind::Modify => {
                let (old, new) = (old?, new?);
                let changed: Vec<usize> = wanted().filter(|column| !old.same(new, *column)).collect();
                if changed.is_empty() {
                    return None;
                }
                if version == Version::Plain {
                    let (old, new) = (row_to_json(schema, old, &changed), row_to_json(schema, new, &columns));
                    return Some(json!({"old": old, "new": new}));
                }
                let mut differences = Map::new();
                for column in changed {
                    let definition = &schema.columns()[column];
                    let diff = old.datum(column).diff(new.datum(column), &definition.kind);
                    differences.insert(definition.name.clone(), diff.to_json(&definition.kind));
                }
                Some(json!({"modify": differences}))
            }
            Kind::Delete if version == Version::Plain => {
                Some(json!({"old": row_to_json(schema, old?, &columns)}))
            }
            Kind::Delete => Some(json!({"delete": null})),
            Kind::Insert | Kind::Initial if version == Version::Plain => {
                Some(json!({"new": row_to_json(schema, new?, &columns)}))
            }
            Kind::Insert | Kind::Initial => {
                let new = new?;
                let told = columns.into_iter().filter(|column| {
                    // Defaults go without saying.
                    *column < STANDARD_COLUMNS
                        || *new.datum(*column) != schema.columns()[*column].kind.default_datum()
                });
                let row = row_to_json(schema, new, &told.collect::<Vec<_>>());
                Some(if kind == Kind::Insert { json!({"insert": row}) } else { json!({"initial": row}) })
            }
        }
    }
}
