//! What a client has read of a database, kept true by the server's updates.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;

use heddle_ovsdb::rpc::Message;
use heddle_ovsdb::schema::Schema;
use heddle_ovsdb::types::{Datum, Uuid};
use serde_json::{Map, Value, json};

use crate::database::{Database, Reply};

/// The values of a row, by the places of the table's columns. A column that was not asked for has its default.
pub type Row = Vec<Datum>;
/// The rows of a table; copies share them.
pub type Rows = BTreeMap<Uuid, Arc<Row>>;

/// Which columns of which tables are to be read, by their places.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted(BTreeMap<usize, BTreeSet<usize>>);

impl Wanted {
    /// Asks for a table's rows, without a column.
    pub fn table(&mut self, table: usize) {
        self.0.entry(table).or_default();
    }

    /// Asks for a column.
    pub fn column(&mut self, table: usize, column: usize) {
        self.0.entry(table).or_default().insert(column);
    }

    /// Asks for a column by names; one that the schema lacks cannot be had, and is passed over.
    pub fn named(&mut self, schema: &Schema, table: &str, columns: &[&str]) {
        let Some(index) = schema.table_index(table) else { return };
        self.table(index);
        for name in columns {
            if let Some(column) = schema.tables()[index].column_index(name) {
                self.column(index, column);
            }
        }
    }

    /// Asks for all columns of a table.
    pub fn whole(&mut self, schema: &Schema, table: usize) {
        self.table(table);
        schema.tables()[table].own_columns().for_each(|(column, _)| self.column(table, column));
    }
}

/// The copy.
pub struct Copy {
    /// The database's schema.
    pub schema: Arc<Schema>,
    /// Its rows, by the places of tables.
    pub tables: Vec<Rows>,
}

impl Copy {
    /// An empty copy.
    pub fn new(schema: Schema) -> Self {
        let tables = schema.tables().iter().map(|_| Rows::new()).collect();
        Self { schema: Arc::new(schema), tables }
    }

    /// Reads what is wanted, and asks to be told of changes.
    ///
    /// # Errors
    /// The stream ended; within it, the server's refusal.
    pub fn read(&mut self, connection: &mut Database, wanted: &Wanted) -> io::Result<Reply> {
        let mut requests = Map::new();
        for (&table, columns) in &wanted.0 {
            let table = &self.schema.tables()[table];
            let names = columns.iter().map(|&column| &table.columns()[column].name);
            let names: Vec<&String> = names.filter(|name| !name.starts_with('_')).collect();
            requests.insert(table.name.clone(), json!([{ "columns": names }]));
        }
        self.tables.iter_mut().for_each(BTreeMap::clear);
        let name = self.schema.name.as_str();
        let reply = connection.ask("monitor", vec![json!(name), json!("vsctl"), requests.into()])?;
        if let Ok(updates) = &reply {
            self.update(updates)?;
        }
        Ok(reply)
    }

    /// Takes a message; whether it changed the copy.
    ///
    /// # Errors
    /// The server sends what its own schema does not allow.
    pub fn take(&mut self, message: &Message) -> io::Result<bool> {
        match message {
            Message::Notification { method, params } if method == "update" && params.len() == 2 => {
                self.update(&params[1])?;
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    fn update(&mut self, updates: &Value) -> io::Result<()> {
        let wrong = |what: String| io::Error::new(io::ErrorKind::InvalidData, what);
        for (name, rows) in updates.as_object().into_iter().flatten() {
            let Some(index) = self.schema.table_index(name) else { continue };
            let table = &self.schema.tables()[index];
            for (id, update) in rows.as_object().into_iter().flatten() {
                let uuid: Uuid = id.parse().map_err(|_| wrong(format!("{id} is not a row's id")))?;
                let Some(new) = update.get("new").and_then(Value::as_object) else {
                    self.tables[index].remove(&uuid);
                    continue;
                };
                let kept = self.tables[index].remove(&uuid);
                let mut row = kept.map_or_else(
                    || table.columns().iter().map(|column| column.kind.default_datum()).collect(),
                    Arc::unwrap_or_clone,
                );
                if let Some(place) = row.first_mut() {
                    *place = Datum::scalar(uuid);
                }
                for (name, value) in new {
                    let Some(column) = table.column_index(name) else { continue };
                    row[column] = Datum::from_json(&table.columns()[column].kind, value, None)
                        .map_err(|error| wrong(format!("{name}: {error}")))?;
                }
                self.tables[index].insert(uuid, Arc::new(row));
            }
        }
        Ok(())
    }
}
