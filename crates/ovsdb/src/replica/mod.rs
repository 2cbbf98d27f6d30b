//! A client's copy of a database, kept fresh by the server, and transactions on it. Open vSwitch calls it IDL.
//!
//! A [`Replica`] has no I/O and no clock: its owner gives it what was received and what time it is, and sends what it
//! [yields](Replica::take_output). It learns the schema, takes a lock where one is wanted, and follows the tables that
//! were chosen by the best method that the server knows: `monitor_cond_since`, `monitor_cond` or `monitor`. After a
//! connection was lost the rows stay, and the next connection brings what has changed, where the server knows it still.
//!
//! ```text
//!              connected()        schema           rows
//! Disconnected ─────────▶ Schema ───────▶ Monitor ───────▶ Following ─┐ update
//!       ▲                    │               │                 ▲──────┘
//!       └──── disconnected() ┴───────────────┴─────────────────┘
//! ```

mod backoff;
#[doc(hidden)]
pub mod fuzz;
mod rows;
mod transaction;
mod updates;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use serde_json::{Map, Value, json};

pub use self::backoff::Backoff;
pub use self::rows::{Change, Row, Table, Tables};
pub use self::transaction::{Committed, Outcome, Transaction};
use self::updates::Form;
use crate::Error;
use crate::rpc::{Framer, MAX_REPLY, Message};
use crate::schema::Schema;
use crate::types::Uuid;

/// The monitor's name, which notifications bear.
const MONITOR: &str = "heddle";
/// The name of the monitor of the server's own database.
const SERVER_MONITOR: &str = "heddle-server";
/// Milliseconds of silence after which the server is asked whether it is there, and as long again until it is given up.
pub const PROBE_MS: u64 = 5_000;

/// What a replica has of a database.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The database's name.
    pub database: String,
    /// Tables, and of each its columns; none means all. What the schema lacks is left out.
    pub tables: Vec<(String, Vec<String>)>,
    /// A lock to ask for.
    pub lock: Option<String>,
    /// Milliseconds of silence until a probe; 0 for never.
    pub probe_ms: u64,
}

/// Something that happened.
#[derive(Debug)]
pub enum Event {
    /// The rows are those that the server has: for the first time on this connection.
    Fresh,
    /// Rows have changed; [`Tables::take_changes`] tells which.
    Changed,
    /// The lock was got, or lost.
    Lock(bool),
    /// A transaction is decided.
    Decided(u64, Outcome),
    /// The connection is of no use any more, for this reason; it is to be closed.
    Broken(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Disconnected,
    Schema,
    Monitor,
    Following,
}

/// What a request was for.
enum Asked {
    Schema,
    Server,
    Lock,
    Monitor(Form),
    Transaction(Transaction),
    Probe,
}

/// A client's copy of a database.
pub struct Replica {
    wanted: Wanted,
    phase: Phase,
    schema: Option<Arc<Schema>>,
    tables: Tables,
    framer: Framer,
    output: Vec<u8>,
    events: VecDeque<Event>,
    asked: BTreeMap<u64, Asked>,
    next_id: u64,
    /// The last transaction that the rows show, where the server counts them.
    last_id: Option<String>,
    locked: bool,
    heard_ms: u64,
    probed: bool,
}

impl Replica {
    /// A replica without a connection.
    #[must_use]
    pub fn new(wanted: Wanted) -> Self {
        Self {
            wanted,
            phase: Phase::Disconnected,
            schema: None,
            tables: Tables::default(),
            framer: Framer::with_bound(MAX_REPLY),
            output: Vec::new(),
            events: VecDeque::new(),
            asked: BTreeMap::new(),
            next_id: 0,
            last_id: None,
            locked: false,
            heard_ms: 0,
            probed: false,
        }
    }

    /// The rows.
    #[must_use]
    pub fn tables(&self) -> &Tables {
        &self.tables
    }

    /// The rows, to take their changes.
    pub fn tables_mut(&mut self) -> &mut Tables {
        &mut self.tables
    }

    /// The schema, once the server has told it.
    #[must_use]
    pub fn schema(&self) -> Option<&Arc<Schema>> {
        self.schema.as_ref()
    }

    /// Whether the rows are those that the server has, as far as it has told.
    #[must_use]
    pub fn is_fresh(&self) -> bool {
        self.phase == Phase::Following
    }

    /// Whether the lock is held; also where none was wanted.
    #[must_use]
    pub fn is_locked(&self) -> bool {
        self.locked || self.wanted.lock.is_none()
    }

    /// Begins to speak on a new connection.
    pub fn connected(&mut self, now_ms: u64) {
        self.disconnected();
        self.framer = Framer::with_bound(MAX_REPLY);
        (self.heard_ms, self.probed, self.phase) = (now_ms, false, Phase::Schema);
        let columns = json!(["name", "connected"]);
        let server = json!({"Database": [{"columns": columns}]});
        self.ask("monitor_cond", vec!["_Server".into(), SERVER_MONITOR.into(), server], Asked::Server);
        self.ask("get_schema", vec![self.wanted.database.as_str().into()], Asked::Schema);
        if let Some(lock) = self.wanted.lock.clone() {
            self.ask("lock", vec![lock.into()], Asked::Lock);
        }
    }

    /// The connection has ended: nobody knows how the transactions under way end, and the lock is gone.
    pub fn disconnected(&mut self) {
        for (id, asked) in std::mem::take(&mut self.asked) {
            if let Asked::Transaction(_) = asked {
                self.events.push_back(Event::Decided(id, Outcome::Lost));
            }
        }
        self.output.clear();
        self.phase = Phase::Disconnected;
        if std::mem::take(&mut self.locked) {
            self.events.push_back(Event::Lock(false));
        }
    }

    /// What is to be sent.
    pub fn take_output(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.output)
    }

    /// What happened next.
    pub fn next_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// When [`tick`](Self::tick) is due.
    #[must_use]
    pub fn deadline_ms(&self) -> Option<u64> {
        let probe = self.wanted.probe_ms;
        let wait = if self.probed { 2 * probe } else { probe };
        (self.phase != Phase::Disconnected && probe != 0).then(|| self.heard_ms.saturating_add(wait))
    }

    /// Does what is due: asks a silent server whether it is there, and gives it up.
    pub fn tick(&mut self, now_ms: u64) {
        if self.deadline_ms().is_none_or(|deadline| now_ms < deadline) {
            return;
        }
        if self.probed {
            self.broken(format!("no response to inactivity probe after {} ms", self.wanted.probe_ms));
        } else {
            self.probed = true;
            self.ask("echo", Vec::new(), Asked::Probe);
        }
    }

    /// Sends a transaction; its number, by which its [outcome](Event::Decided) is known. Before the schema is known, the
    /// outcome is [`Outcome::Lost`].
    pub fn commit(&mut self, transaction: Transaction) -> u64 {
        let encoded = match &self.schema {
            Some(schema) if self.phase == Phase::Following => {
                transaction.to_json(&self.wanted.database, schema).map_err(Outcome::Failed)
            }
            _ => Err(Outcome::Lost),
        };
        match encoded {
            Ok(params) => self.ask("transact", params, Asked::Transaction(transaction)),
            Err(outcome) => {
                let id = self.fresh_id();
                self.events.push_back(Event::Decided(id, outcome));
                id
            }
        }
    }

    fn fresh_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    fn ask(&mut self, method: &str, params: Vec<Value>, what: Asked) -> u64 {
        let id = self.fresh_id();
        self.output.extend(Message::request(method, params, id).to_bytes());
        self.asked.insert(id, what);
        id
    }

    fn broken(&mut self, reason: String) {
        self.disconnected();
        self.events.push_back(Event::Broken(reason));
    }

    /// Takes what was received.
    pub fn receive(&mut self, bytes: &[u8], now_ms: u64) {
        (self.heard_ms, self.probed) = (now_ms, false);
        self.framer.push(bytes);
        while self.phase != Phase::Disconnected
            && let Some(message) = self.framer.next_message()
        {
            let handled = match message {
                Ok(Message::Request { method, params, id }) => {
                    self.request(&method, params, id);
                    Ok(())
                }
                Ok(Message::Notification { method, params }) => self.notified(&method, &params),
                Ok(Message::Reply { result, error, id }) => self.replied(result, error, &id),
                Err(error) => Err(error.to_string()),
            };
            if let Err(reason) = handled {
                self.broken(reason);
            }
        }
    }

    fn request(&mut self, method: &str, params: Vec<Value>, id: Value) {
        let reply = match method {
            "echo" => Message::reply(params.into(), id),
            _ => Message::error("unknown method".into(), id),
        };
        self.output.extend(reply.to_bytes());
    }

    fn notified(&mut self, method: &str, params: &[Value]) -> Result<(), String> {
        let of = |name: &str| params.first().and_then(Value::as_str) == Some(name);
        match (method, params) {
            ("update2", [_, rows]) if of(SERVER_MONITOR) => return self.look_at_server(rows),
            ("update", [_, rows]) if of(MONITOR) => self.apply(Form::Old, rows)?,
            ("update2", [_, rows]) if of(MONITOR) => self.apply(Form::Diff, rows)?,
            ("update3", [_, last, rows]) if of(MONITOR) => {
                self.apply(Form::Since, rows)?;
                self.last_id = last.as_str().map(str::to_owned);
            }
            ("locked" | "stolen", _)
                if params.first().and_then(Value::as_str) == self.wanted.lock.as_deref() =>
            {
                self.set_lock(method == "locked");
                return Ok(());
            }
            ("monitor_canceled", _) if of(MONITOR) => return Err("the server cancelled the monitor".into()),
            _ => return Ok(()),
        }
        if self.tables.has_changes() {
            self.events.push_back(Event::Changed);
        }
        Ok(())
    }

    fn set_lock(&mut self, locked: bool) {
        if self.locked != locked {
            self.locked = locked;
            self.events.push_back(Event::Lock(locked));
        }
    }

    fn apply(&mut self, form: Form, rows: &Value) -> Result<(), String> {
        updates::apply(&mut self.tables, form, rows).map_err(|error| error.to_string())
    }

    fn replied(&mut self, result: Value, error: Value, id: &Value) -> Result<(), String> {
        let Some((id, asked)) = id.as_u64().and_then(|id| Some((id, self.asked.remove(&id)?))) else {
            return Ok(());
        };
        match asked {
            Asked::Schema if error.is_null() => self.learn_schema(&result).map_err(|error| error.to_string()),
            Asked::Schema => Err(format!("the database {} is not served: {error}", self.wanted.database)),
            // An old server has no database of its own.
            Asked::Server if error.is_null() => self.look_at_server(&result),
            Asked::Server | Asked::Probe => Ok(()),
            Asked::Lock => {
                self.set_lock(result.get("locked").and_then(Value::as_bool).unwrap_or(false));
                Ok(())
            }
            Asked::Monitor(form) if error.is_null() => self.begin_following(form, &result),
            Asked::Monitor(form) => match form.older() {
                Some(older) => {
                    self.monitor(older);
                    Ok(())
                }
                None => Err(format!("the server refuses to be followed: {error}")),
            },
            Asked::Transaction(transaction) => {
                self.events.push_back(Event::Decided(id, transaction.outcome(&result, &error)));
                Ok(())
            }
        }
    }

    fn look_at_server(&mut self, rows: &Value) -> Result<(), String> {
        let gone = |row: &Value| {
            let row = row.get("initial").or(row.get("insert")).or(row.get("modify")).unwrap_or(&Value::Null);
            row.get("name").and_then(Value::as_str) == Some(&self.wanted.database)
                && row.get("connected").and_then(Value::as_bool) == Some(false)
        };
        let database = rows.get("Database").and_then(Value::as_object);
        match database.is_some_and(|rows| rows.values().any(gone)) {
            true => Err(format!("the server has lost its storage of {}", self.wanted.database)),
            false => Ok(()),
        }
    }

    fn learn_schema(&mut self, json: &Value) -> Result<(), Error> {
        let schema = Arc::new(Schema::from_json(json)?);
        if self.schema.as_ref() != Some(&schema) {
            self.tables.adopt(&schema, &self.wanted.tables);
            self.schema = Some(schema);
            self.last_id = None;
        }
        self.monitor(Form::Since);
        Ok(())
    }

    fn monitor(&mut self, form: Form) {
        self.phase = Phase::Monitor;
        let mut requests = Map::new();
        for (name, columns) in self.tables.chosen() {
            requests.insert(name.to_owned(), json!([{ "columns": columns }]));
        }
        let mut params = vec![self.wanted.database.as_str().into(), MONITOR.into(), requests.into()];
        if form == Form::Since {
            params.push(self.last_id.clone().unwrap_or_else(|| Uuid::ZERO.to_string()).into());
        }
        self.ask(form.method(), params, Asked::Monitor(form));
    }

    fn begin_following(&mut self, form: Form, result: &Value) -> Result<(), String> {
        let rows = match (form, result.as_array().map(Vec::as_slice)) {
            (Form::Since, Some([found, last, rows])) => {
                if found.as_bool() != Some(true) {
                    self.tables.begin_anew();
                }
                self.last_id = last.as_str().map(str::to_owned);
                rows
            }
            (Form::Since, _) => return Err("the reply to monitor_cond_since has not three parts".into()),
            _ => {
                self.tables.begin_anew();
                result
            }
        };
        self.apply(form, rows)?;
        self.tables.finish_anew();
        self.phase = Phase::Following;
        self.events.push_back(Event::Fresh);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
