//! Transactions as a client builds them, and what a server says of them (RFC 7047 §5.2).

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use crate::Error;
use crate::schema::{Schema, TableSchema};
use crate::types::{Datum, Uuid};

/// Columns and what they are to hold.
type Columns = Vec<(String, Datum)>;

#[derive(Clone, Debug)]
enum Operation {
    Insert { table: String, uuid: Uuid, columns: Columns },
    Update { table: String, uuid: Uuid, columns: Columns },
    Mutate { table: String, uuid: Uuid, column: String, mutator: &'static str, value: Datum },
    Delete { table: String, uuid: Uuid },
    Wait { table: String, uuid: Uuid, columns: Columns, equal: bool },
    Increment { table: String, uuid: Uuid, column: String },
    Comment(String),
    Assert(String),
    Json(Value),
}

/// A transaction that is being built. Rows to be inserted have UUIDs from the beginning, by which the transaction's other
/// operations may refer to them; the server gives them others.
#[derive(Clone, Debug, Default)]
pub struct Transaction {
    operations: Vec<Operation>,
    inserted: BTreeSet<Uuid>,
}

/// What a transaction did.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Committed {
    /// The UUIDs of inserted rows, by those that they had in the transaction.
    pub inserted: BTreeMap<Uuid, Uuid>,
    /// What an incremented column holds now.
    pub incremented: Option<i64>,
    /// The results of all operations, as the server gave them; those of a transaction's [`Transaction::json`] are here.
    pub results: Vec<Value>,
}

/// How a transaction ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// It is in force.
    Committed(Committed),
    /// A row that it presumed has changed: it is to be built again from the rows as they are then.
    TryAgain,
    /// The lock that it asserted is another's.
    NotLocked,
    /// The server refused it.
    Failed(Error),
    /// The connection ended before the server told: nobody knows.
    Lost,
}

impl Transaction {
    /// Whether nothing is to be done.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.operations.is_empty()
    }

    /// Inserts a row, which `uuid` stands for within the transaction.
    pub fn insert(&mut self, table: &str, uuid: Uuid, columns: Columns) {
        self.inserted.insert(uuid);
        self.operations.push(Operation::Insert { table: table.into(), uuid, columns });
    }

    /// Gives columns of a row other values.
    pub fn update(&mut self, table: &str, uuid: Uuid, columns: Columns) {
        self.operations.push(Operation::Update { table: table.into(), uuid, columns });
    }

    /// Changes a column of a row by a mutator: `insert`, `delete`, `+=` and others.
    pub fn mutate(&mut self, table: &str, uuid: Uuid, column: &str, mutator: &'static str, value: Datum) {
        let (table, column) = (table.into(), column.into());
        self.operations.push(Operation::Mutate { table, uuid, column, mutator, value });
    }

    /// Deletes a row.
    pub fn delete(&mut self, table: &str, uuid: Uuid) {
        self.operations.push(Operation::Delete { table: table.into(), uuid });
    }

    /// Presumes that columns of a row hold these values; if not, the outcome is [`Outcome::TryAgain`].
    pub fn verify(&mut self, table: &str, uuid: Uuid, columns: Columns) {
        self.operations.push(Operation::Wait { table: table.into(), uuid, columns, equal: true });
    }

    /// Presumes that columns of a row hold other values than these.
    pub fn verify_not(&mut self, table: &str, uuid: Uuid, columns: Columns) {
        self.operations.push(Operation::Wait { table: table.into(), uuid, columns, equal: false });
    }

    /// Adds one to a column of a row, and asks what it holds then.
    pub fn increment(&mut self, table: &str, uuid: Uuid, column: &str) {
        self.operations.push(Operation::Increment { table: table.into(), uuid, column: column.into() });
    }

    /// Says in the database's log why this is done.
    pub fn comment(&mut self, text: &str) {
        self.operations.push(Operation::Comment(text.into()));
    }

    /// Does nothing unless this lock is held.
    pub fn assert_lock(&mut self, lock: &str) {
        self.operations.push(Operation::Assert(lock.into()));
    }

    /// Adds an operation as it is.
    pub fn json(&mut self, operation: Value) {
        self.operations.push(Operation::Json(operation));
    }

    /// The parameters of a `transact` request.
    ///
    /// # Errors
    /// If the schema lacks a table or a column.
    pub fn to_json(&self, database: &str, schema: &Schema) -> Result<Vec<Value>, Error> {
        let mut params = vec![database.into()];
        for operation in &self.operations {
            self.encode(operation, schema, &mut params)?;
        }
        Ok(params)
    }

    fn encode(&self, operation: &Operation, schema: &Schema, out: &mut Vec<Value>) -> Result<(), Error> {
        let json = match operation {
            Operation::Insert { table, uuid, columns } => json!({
                "op": "insert", "table": table, "uuid-name": name_of(*uuid),
                "row": self.row(schema, table, columns)?,
            }),
            Operation::Update { table, uuid, columns } => json!({
                "op": "update", "table": table, "where": self.is(*uuid),
                "row": self.row(schema, table, columns)?,
            }),
            Operation::Mutate { table, uuid, column, mutator, value } => {
                let columns = table_of(schema, table)?;
                let kind = &column_of(columns, column)?.kind;
                // To delete from a map, keys alone may be given.
                let keys_only = kind.is_map() && value.values().is_empty();
                let set = crate::types::ColumnType::set(kind.key.clone(), 0, u32::MAX);
                let json = if keys_only { value.to_json(&set) } else { value.to_json(kind) };
                json!({
                    "op": "mutate", "table": table, "where": self.is(*uuid),
                    "mutations": [[column, mutator, self.named(json)]],
                })
            }
            Operation::Delete { table, uuid } => {
                json!({"op": "delete", "table": table, "where": self.is(*uuid)})
            }
            Operation::Wait { table, uuid, columns, equal } => json!({
                "op": "wait", "timeout": 0, "table": table, "where": self.is(*uuid),
                "columns": columns.iter().map(|(column, _)| column).collect::<Vec<_>>(),
                "until": if *equal { "==" } else { "!=" },
                "rows": [self.row(schema, table, columns)?],
            }),
            Operation::Increment { table, uuid, column } => {
                out.push(json!({
                    "op": "mutate", "table": table, "where": self.is(*uuid), "mutations": [[column, "+=", 1]],
                }));
                json!({"op": "select", "table": table, "where": self.is(*uuid), "columns": [column]})
            }
            Operation::Comment(text) => json!({"op": "comment", "comment": text}),
            Operation::Assert(lock) => json!({"op": "assert", "lock": lock}),
            Operation::Json(json) => json.clone(),
        };
        out.push(json);
        Ok(())
    }

    fn is(&self, uuid: Uuid) -> Value {
        json!([["_uuid", "==", self.reference(uuid)]])
    }

    fn reference(&self, uuid: Uuid) -> Value {
        if self.inserted.contains(&uuid) {
            json!(["named-uuid", name_of(uuid)])
        } else {
            json!(["uuid", uuid.to_string()])
        }
    }

    fn row(&self, schema: &Schema, table: &str, columns: &Columns) -> Result<Value, Error> {
        let table = table_of(schema, table)?;
        let mut row = Map::new();
        for (name, datum) in columns {
            let json = datum.to_json(&column_of(table, name)?.kind);
            row.insert(name.clone(), self.named(json));
        }
        Ok(row.into())
    }

    /// The JSON with names in place of the UUIDs of rows that are to be inserted.
    fn named(&self, json: Value) -> Value {
        if self.inserted.is_empty() {
            return json;
        }
        match json {
            Value::Array(items) => match &items[..] {
                [Value::String(tag), Value::String(text)] if tag == "uuid" => match text.parse() {
                    Ok(uuid) => self.reference(uuid),
                    Err(_) => Value::Array(items),
                },
                _ => items.into_iter().map(|item| self.named(item)).collect(),
            },
            other => other,
        }
    }

    /// What the server said.
    pub fn outcome(&self, result: &Value, error: &Value) -> Outcome {
        if !error.is_null() {
            return Outcome::Failed(error_of(error));
        }
        let Some(results) = result.as_array() else {
            return Outcome::Failed(Error::syntax(result, "the reply to transact is not an array"));
        };
        // A transaction that fails as a whole has its error after the last operation's result.
        for result in results {
            if let Some(tag) = result.get("error").and_then(Value::as_str) {
                return match tag {
                    "timed out" => Outcome::TryAgain,
                    "not owner" => Outcome::NotLocked,
                    _ => Outcome::Failed(error_of(result)),
                };
            }
        }
        Outcome::Committed(self.committed(results))
    }

    fn committed(&self, results: &[Value]) -> Committed {
        let mut committed = Committed { results: results.to_vec(), ..Committed::default() };
        let mut at = 0;
        for operation in &self.operations {
            match operation {
                Operation::Insert { uuid, .. } => {
                    let given = results.get(at).and_then(|result| result.get("uuid")?.get(1)?.as_str());
                    if let Some(given) = given.and_then(|given| given.parse().ok()) {
                        committed.inserted.insert(*uuid, given);
                    }
                }
                Operation::Increment { column, .. } => {
                    at += 1;
                    let rows = results.get(at).and_then(|result| result.get("rows"));
                    committed.incremented = rows.and_then(|rows| rows.get(0)?.get(column)?.as_i64());
                }
                _ => {}
            }
            at += 1;
        }
        committed
    }
}

/// A row's name within a transaction.
fn name_of(uuid: Uuid) -> String {
    format!("row{}", uuid.to_string().replace('-', "_"))
}

fn table_of<'a>(schema: &'a Schema, table: &str) -> Result<&'a TableSchema, Error> {
    schema.table(table).ok_or_else(|| Error::plain_syntax(format!("there is no table {table}")))
}

fn column_of<'a>(table: &'a TableSchema, column: &str) -> Result<&'a crate::schema::ColumnSchema, Error> {
    let missing = || Error::plain_syntax(format!("the table {} has no column {column}", table.name));
    table.column(column).ok_or_else(missing)
}

fn error_of(json: &Value) -> Error {
    let text = |name: &str| json.get(name).and_then(Value::as_str).map(str::to_owned);
    let tag = text("error").or_else(|| json.as_str().map(str::to_owned));
    Error {
        tag: tag.unwrap_or_else(|| json.to_string()).into(),
        details: text("details"),
        syntax: text("syntax"),
    }
}
