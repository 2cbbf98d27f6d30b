//! The databases of a service, and `_Server`, which tells of them; ovsdb-server(5).

use std::io;

use serde_json::{Value, json};

use super::session::Session;
use super::{Service, SessionId};
use crate::Error;
use crate::database::{Change, Context, Database, Outcome};
use crate::rpc::Message;
use crate::schema::Schema;
use crate::storage::{Nothing, Storage};

/// The name of the database that tells of the others.
pub const SERVER_DATABASE: &str = "_Server";

/// Its schema.
const SERVER_SCHEMA: &str = r#"{"name": "_Server", "version": "1.2.0", "cksum": "3009684573 744", "tables": {"Database": {
    "columns": {
        "name": {"type": "string"},
        "model": {"type": {"key": {"type": "string", "enum": ["set", ["standalone", "clustered", "relay"]]}}},
        "connected": {"type": "boolean"},
        "leader": {"type": "boolean"},
        "schema": {"type": {"key": {"type": "string"}, "min": 0, "max": 1}},
        "cid": {"type": {"key": {"type": "uuid"}, "min": 0, "max": 1}},
        "sid": {"type": {"key": {"type": "uuid"}, "min": 0, "max": 1}},
        "index": {"type": {"key": {"type": "integer"}, "min": 0, "max": 1}}}}}}"#;

/// Why a database cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// There is one of that name.
    #[error("{0}: duplicate database name")]
    Duplicate(String),
    /// There is none of that name.
    #[error("{0}: no such database")]
    Unknown(String),
    /// It cannot be stored.
    #[error("{0}: {1}")]
    Storage(String, io::Error),
    /// It cannot be converted.
    #[error("{0}")]
    Conversion(Error),
}

pub(super) struct Host {
    pub(super) database: Database,
    pub(super) storage: Box<dyn Storage>,
    /// Whether clients may change it.
    pub(super) read_only: bool,
    /// Replies that wait for what was written to be on the disk: by the job that runs, and by the next one.
    pub(super) current: Vec<(SessionId, Message)>,
    pub(super) unsynced: Vec<(SessionId, Message)>,
    pub(super) syncing: bool,
}

/// How a transaction went.
pub(super) enum Ran {
    Done { result: Value, durable: bool },
    Wait(Option<u64>),
}

pub(super) fn io_error(error: &io::Error) -> Error {
    Error::new("I/O error", error.to_string())
}

impl Service {
    pub(super) fn add_server_database(&mut self) {
        if let Ok(schema) = Schema::parse(SERVER_SCHEMA) {
            let text = schema.to_json().to_string();
            self.host(Database::new(schema), Box::new(Nothing), true);
            self.list(SERVER_DATABASE, &text);
        }
    }

    /// Adds a database's row to those of `_Server`.
    fn list(&mut self, name: &str, schema: &str) {
        let row =
            json!({"name": name, "model": "standalone", "connected": true, "leader": true, "schema": schema});
        self.run(SERVER_DATABASE, &[json!({"op": "insert", "table": "Database", "row": row})], None, 0);
    }

    fn host(&mut self, database: Database, storage: Box<dyn Storage>, read_only: bool) {
        let name = database.schema().name.clone();
        let (current, unsynced) = (Vec::new(), Vec::new());
        let host = Host { database, storage, read_only, current, unsynced, syncing: false };
        self.hosts.insert(name, host);
    }

    /// Serves a database. Clients that do not expect that databases come and go are disconnected.
    ///
    /// # Errors
    /// If one of that name is served.
    pub fn add_database(
        &mut self,
        database: Database,
        storage: Box<dyn Storage>,
    ) -> Result<(), ServiceError> {
        let name = database.schema().name.clone();
        if self.hosts.contains_key(&name) {
            return Err(ServiceError::Duplicate(name));
        }
        for (id, session) in self.sessions.iter_mut().filter(|(_, session)| !session.change_aware) {
            session.close("adding a database");
            self.ready.insert(*id);
        }
        let schema = database.schema().to_json().to_string();
        self.host(database, storage, false);
        self.list(&name, &schema);
        Ok(())
    }

    /// Serves a database no more. Clients that do not expect that are disconnected.
    ///
    /// # Errors
    /// If it is not served.
    pub fn remove_database(&mut self, name: &str) -> Result<(), ServiceError> {
        if name == SERVER_DATABASE || self.hosts.remove(name).is_none() {
            return Err(ServiceError::Unknown(name.to_owned()));
        }
        let gone = json!({"op": "delete", "table": "Database", "where": [["name", "==", name]]});
        self.run(SERVER_DATABASE, &[gone], None, 0);
        self.forget_database(name, "removing database due to \"remove-db\" command");
        Ok(())
    }

    /// Ends what clients have to do with a database: monitors, waiting transactions, and those clients that do not know
    /// that databases can change.
    fn forget_database(&mut self, name: &str, reason: &'static str) {
        for (id, session) in &mut self.sessions {
            let canceled = session.monitors.extract_if(.., |_, monitored| monitored.database == name);
            let canceled: Vec<Value> = canceled.map(|(_, monitored)| monitored.monitor.id).collect();
            if !session.change_aware {
                session.close(reason);
                self.ready.insert(*id);
                continue;
            }
            for monitor in canceled {
                session.queue(&Message::notification("monitor_canceled", vec![monitor]));
                self.ready.insert(*id);
            }
            end_waiting(session, name);
            self.ready.insert(*id);
        }
        self.changed.insert(name.to_owned());
        self.touched = true;
    }

    /// The names of the databases, `_Server` among them.
    pub fn databases(&self) -> impl Iterator<Item = &str> {
        self.hosts.keys().map(String::as_str)
    }

    /// A database.
    pub fn database(&self, name: &str) -> Option<&Database> {
        self.hosts.get(name).map(|host| &host.database)
    }

    /// Replaces a database's records by a snapshot.
    ///
    /// # Errors
    /// If there is no such database, or the snapshot cannot be stored; then the records stay.
    pub fn compact(&mut self, name: &str) -> Result<(), ServiceError> {
        let host = self.hosts.get_mut(name).ok_or_else(|| ServiceError::Unknown(name.to_owned()))?;
        let snapshot = host.database.snapshot();
        let schema = host.database.schema();
        host.storage
            .replace(schema, snapshot.as_ref(), "compacting database online")
            .map_err(|error| ServiceError::Storage(name.to_owned(), error))
    }

    /// The databases whose records take much more room than they need.
    pub fn wants_compacting(&mut self) -> Vec<String> {
        let wanting = self.hosts.iter_mut().filter_map(|(name, host)| {
            (!host.syncing && host.storage.wants_replacing()).then(|| name.clone())
        });
        wanting.collect()
    }

    /// Runs a transaction; `None` if there is no such database. Without a client, the process itself acts.
    pub(super) fn run(
        &mut self,
        database: &str,
        operations: &[Value],
        client: Option<SessionId>,
        elapsed: u64,
    ) -> Option<Ran> {
        let host = self.hosts.get_mut(database)?;
        let locks = &self.locks;
        let owns_lock = |name: &str| client.is_some() && locks.owner(name) == client;
        let storage = &mut host.storage;
        let mut store = |record: &Value, _| storage.append(record).map_err(|error| io_error(&error));
        let limited = |client| self.sessions.get(&client).is_some_and(|session| session.options.read_only);
        let mut context = Context {
            uuids: &mut self.uuids,
            owns_lock: &owns_lock,
            read_only: client.is_some_and(|client| host.read_only || limited(client)),
            elapsed,
            store: &mut store,
        };
        match host.database.execute(operations, &mut context) {
            Outcome::Wait(until) => Some(Ran::Wait(until)),
            Outcome::Done { result, commit, durable } => {
                if let Some(commit) = &commit {
                    self.note(database, &commit.changes);
                }
                Some(Ran::Done { result, durable: durable && commit.is_some() })
            }
        }
    }

    /// Tells the monitors what a transaction did.
    fn note(&mut self, database: &str, changes: &[Change]) {
        for (id, session) in &mut self.sessions {
            for (key, monitored) in &mut session.monitors {
                if monitored.database == database && monitored.monitor.note(changes) {
                    session.told_late.insert(key.clone());
                    self.ready.insert(*id);
                }
            }
        }
        self.changed.insert(database.to_owned());
        self.touched = true;
    }

    /// Gives a database another schema. Rows keep what the new schema has a place for.
    ///
    /// # Errors
    /// If rows do not fit the schema, or the outcome cannot be stored; nothing is changed then.
    pub fn convert(&mut self, name: &str, schema: Schema) -> Result<(), ServiceError> {
        let host = self.hosts.get_mut(name).ok_or_else(|| ServiceError::Unknown(name.to_owned()))?;
        let converted = host.database.converted(schema, &mut self.uuids).map_err(ServiceError::Conversion)?;
        let snapshot = converted.snapshot();
        host.storage
            .replace(converted.schema(), snapshot.as_ref(), "ovsdb-server: converting database online")
            .map_err(|error| ServiceError::Storage(name.to_owned(), error))?;
        let text = converted.schema().to_json().to_string();
        host.database = converted;
        let update = json!({"op": "update", "table": "Database", "where": [["name", "==", name]],
            "row": {"schema": text}});
        self.run(SERVER_DATABASE, &[update], None, 0);
        self.forget_database(name, "database was converted to a new schema");
        Ok(())
    }
}

/// Transactions that wait on a database that is gone, or another by now, fail.
fn end_waiting(session: &mut Session, database: &str) {
    let ended: Vec<_> = session.waiting.extract_if(.., |waiting| waiting.database == database).collect();
    for waiting in ended {
        session.queue(&Message::error("canceled".into(), waiting.id));
    }
}
