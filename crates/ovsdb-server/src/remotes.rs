//! Remotes: where clients call, whom the server calls, and those that databases list.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use heddle_daemon::stream::{Listener, OVSDB_PORT, Place, Stream, Target};
use heddle_ovsdb::database::{Database, Row};
use heddle_ovsdb::schema::TableSchema;
use heddle_ovsdb::service::SessionOptions;
use heddle_ovsdb::types::AtomType;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::Instant;

use crate::status::Status;
use crate::{MAX_CLIENTS, Server, client, lock};

/// How often the states of remotes are written to the databases that list them; Open vSwitch's figure.
const STATUS_EVERY: Duration = Duration::from_millis(2500);
/// How long a client on TCP may be silent before it is asked whether it is there; Open vSwitch's figure.
const PROBE: Duration = Duration::from_secs(5);
/// Shorter intervals than this are this long; Open vSwitch's figure.
const LEAST_PROBE: Duration = Duration::from_secs(1);
/// The first pause after a call failed; each further one is twice as long.
const FIRST_BACKOFF: Duration = Duration::from_secs(1);
/// The longest pause between calls, where no other was asked for.
const MAX_BACKOFF: Duration = Duration::from_secs(8);
/// How long a place that refuses another client is left alone.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What is said of a remote besides its name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RemoteOptions {
    /// How long a client may be silent before it is asked whether it is there; zero for as long as it likes.
    pub probe: Option<Duration>,
    /// The longest pause between calls.
    pub max_backoff: Option<Duration>,
    /// Whether clients may only read.
    pub read_only: bool,
}

/// Remotes by their names.
#[derive(Default)]
pub(crate) struct Remotes {
    /// Those that were given by name, `db:` ones among them.
    configured: BTreeMap<String, RemoteOptions>,
    running: BTreeMap<String, Running>,
}

struct Running {
    options: RemoteOptions,
    task: AbortHandle,
    status: Arc<Mutex<Status>>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Remotes {
    pub(crate) fn names(&self) -> Vec<String> {
        self.configured.keys().cloned().collect()
    }

    /// The states of remotes that run.
    pub(crate) fn statuses(&self) -> BTreeMap<String, Status> {
        self.running.iter().map(|(name, running)| (name.clone(), lock(&running.status).clone())).collect()
    }
}

/// `db:DATABASE,TABLE,COLUMN`, looked up.
struct Listed<'a> {
    database: &'a Database,
    table: usize,
    column: usize,
}

/// Why a `db:` remote names nothing.
fn listed<'a>(name: &str, find: impl Fn(&str) -> Option<&'a Database>) -> Result<Listed<'a>, String> {
    let parts: Vec<&str> = name.trim_start_matches("db:").split(',').collect();
    let [database, table, column] = parts.as_slice() else {
        return Err(format!("\"{name}\": invalid syntax"));
    };
    let Some(database) = find(database) else {
        return Err(format!("\"{name}\": no database named {database}"));
    };
    let Some(table_index) = database.schema().table_index(table) else {
        return Err(format!("\"{name}\": no table named {table}"));
    };
    let schema = &database.schema().tables()[table_index];
    let Some(column_index) = schema.column_index(column) else {
        return Err(format!("\"{name}\": table \"{table}\" has no column \"{column}\""));
    };
    let kind = &schema.columns()[column_index].kind;
    let reference = kind.key.reference();
    if kind.is_map() || (kind.key.kind != AtomType::String && reference.is_none()) {
        return Err(format!(
            "\"{name}\": type of table \"{table}\" column \"{column}\" is not string or UUID"
        ));
    }
    Ok(Listed { database, table: table_index, column: column_index })
}

/// A row of a table that lists remotes, such as Manager.
pub(crate) struct ManagerRow {
    pub(crate) database: String,
    pub(crate) table: String,
    pub(crate) row: Arc<Row>,
    pub(crate) target: String,
}

impl Server {
    /// Adds a remote: `punix:`, `ptcp:`, `unix:`, `tcp:` or `db:DATABASE,TABLE,COLUMN`.
    ///
    /// # Errors
    /// In a sentence, if the name is not one, or names a database, table or column that is not there.
    pub fn add_remote(&self, name: &str, options: RemoteOptions) -> Result<(), String> {
        self.check_remote(name)?;
        lock(&self.0.remotes).configured.insert(name.to_owned(), options);
        self.0.reconfigure.notify_one();
        Ok(())
    }

    pub(crate) fn check_remote(&self, name: &str) -> Result<(), String> {
        match name.split_once(':') {
            Some(("db", _)) => {
                let service = lock(&self.0.service);
                listed(name, |database| service.database(database)).map(|_| ())
            }
            Some(("ptcp" | "punix", _)) => {
                Place::parse(name, OVSDB_PORT).map(|_| ()).map_err(|e| e.to_string())
            }
            Some(("tcp" | "unix", _)) => {
                Target::parse(name, OVSDB_PORT).map(|_| ()).map_err(|e| e.to_string())
            }
            Some(("ssl" | "pssl", _)) => {
                log::warn!(target: "ovsdb_server", "{name}: TLS is not supported; the remote is ignored");
                Ok(())
            }
            _ => Err(format!("{name}: not a remote: use punix:, ptcp:, unix:, tcp: or db:")),
        }
    }

    /// Removes a remote; its clients are disconnected.
    ///
    /// # Errors
    /// If there is none of that name.
    pub fn remove_remote(&self, name: &str) -> Result<(), String> {
        match lock(&self.0.remotes).configured.remove(name) {
            None => Err("no such remote".to_owned()),
            Some(_) => {
                self.0.reconfigure.notify_one();
                Ok(())
            }
        }
    }

    /// The names of the remotes.
    pub fn remotes(&self) -> Vec<String> {
        lock(&self.0.remotes).names()
    }

    /// Puts other remotes in the place of all.
    pub(crate) fn set_remotes(&self, remotes: BTreeMap<String, RemoteOptions>) {
        lock(&self.0.remotes).configured = remotes;
        self.0.reconfigure.notify_one();
    }

    /// Opens and closes remotes as they are wanted now.
    pub async fn reconcile(&self) {
        let wanted = self.wanted();
        {
            let mut remotes = lock(&self.0.remotes);
            remotes.running.retain(|name, running| wanted.get(name) == Some(&running.options));
        }
        // A socket that was closed must be gone before another of its name is made.
        tokio::task::yield_now().await;
        for (name, options) in wanted {
            if lock(&self.0.remotes).running.contains_key(&name) {
                continue;
            }
            if let Some(running) = self.start(&name, options).await {
                lock(&self.0.remotes).running.insert(name, running);
            }
        }
    }

    fn wanted(&self) -> BTreeMap<String, RemoteOptions> {
        let configured = lock(&self.0.remotes).configured.clone();
        let mut wanted = BTreeMap::new();
        for (name, options) in configured {
            if name.starts_with("db:") {
                wanted.extend(self.listed_by(&name));
            } else {
                wanted.insert(name, options);
            }
        }
        wanted
    }

    fn listed_by(&self, name: &str) -> BTreeMap<String, RemoteOptions> {
        let service = lock(&self.0.service);
        let mut found = BTreeMap::new();
        let place = match listed(name, |database| service.database(database)) {
            Ok(place) => place,
            Err(error) => {
                log::warn!(target: "ovsdb_server", "{error}");
                return found;
            }
        };
        let schema = &place.database.schema().tables()[place.table];
        let reference = schema.columns()[place.column].kind.key.reference();
        for row in place.database.tables()[place.table].rows() {
            let datum = row.datum(place.column);
            match reference {
                None => found.extend(
                    datum
                        .keys()
                        .iter()
                        .filter_map(|atom| Some((atom.as_str()?.to_owned(), RemoteOptions::default()))),
                ),
                Some(reference) => {
                    let (Some(table), Some(schema)) = (
                        place.database.table(&reference.table),
                        place.database.schema().table(&reference.table),
                    ) else {
                        continue;
                    };
                    let rows = datum.uuids().filter_map(|uuid| table.row(uuid));
                    found.extend(rows.filter_map(|row| options_of(schema, row)));
                }
            }
        }
        found
    }

    /// The rows that list remotes, for their states.
    pub(crate) fn manager_rows(&self) -> Vec<ManagerRow> {
        let names = self.remotes();
        let service = lock(&self.0.service);
        let mut rows = Vec::new();
        for name in names.iter().filter(|name| name.starts_with("db:")) {
            let Ok(place) = listed(name, |database| service.database(database)) else { continue };
            let schema = &place.database.schema().tables()[place.table];
            let Some(reference) = schema.columns()[place.column].kind.key.reference() else { continue };
            let (Some(table), Some(schema)) =
                (place.database.table(&reference.table), place.database.schema().table(&reference.table))
            else {
                continue;
            };
            for row in place.database.tables()[place.table].rows() {
                for manager in row.datum(place.column).uuids().filter_map(|uuid| table.row(uuid)) {
                    if let Some((target, _)) = options_of(schema, manager) {
                        rows.push(ManagerRow {
                            database: place.database.schema().name.clone(),
                            table: schema.name.clone(),
                            row: Arc::clone(manager),
                            target,
                        });
                    }
                }
            }
        }
        rows
    }

    async fn start(&self, given: &str, options: RemoteOptions) -> Option<Running> {
        let status = Arc::new(Mutex::new(Status::default()));
        let server = self.clone();
        let name = &in_run_directory(given);
        let (options2, status2, name2) = (options.clone(), Arc::clone(&status), given.to_owned());
        let task = match name.split_once(':')?.0 {
            "ptcp" | "punix" => {
                let place = Place::parse(name, OVSDB_PORT).inspect_err(|error| warn(name, error)).ok()?;
                let listener = Listener::bind(&place).await.inspect_err(|error| warn(name, error)).ok()?;
                if let (Some(address), Place::Tcp(asked)) = (listener.local_address(), &place) {
                    lock(&status).bound_port = Some(address.port());
                    if asked.port() == 0 {
                        let (ip, port) = (asked.ip(), address.port());
                        log::info!(target: "socket_util", "0:{ip}: listening on port {port}");
                    }
                }
                let local = matches!(place, Place::Unix(_));
                tokio::spawn(async move { server.listen(listener, local, &name2, options2, status2).await })
            }
            "tcp" | "unix" => {
                let target = Target::parse(name, OVSDB_PORT).inspect_err(|error| warn(name, error)).ok()?;
                tokio::spawn(async move { server.call(target, &name2, options2, status2).await })
            }
            _ => return None,
        };
        Some(Running { options, task: task.abort_handle(), status })
    }

    async fn listen(
        &self,
        listener: Listener,
        local: bool,
        name: &str,
        options: RemoteOptions,
        status: Arc<Mutex<Status>>,
    ) {
        let mut clients = JoinSet::new();
        let probe = probe_interval(options.probe, local);
        loop {
            let stream = tokio::select! {
                accepted = listener.accept() => accepted,
                Some(_) = clients.join_next() => {
                    lock(&status).clients = clients.len();
                    continue;
                }
            };
            match stream {
                Ok(stream) if lock(&self.0.wakers).len() < MAX_CLIENTS => {
                    let (server, name) = (self.clone(), name.to_owned());
                    let session = SessionOptions { read_only: options.read_only };
                    clients.spawn(async move {
                        if let Err(error) = client::serve(&server, stream, session, probe, &name).await {
                            log::warn!(target: "jsonrpc", "{name}: {error}");
                        }
                    });
                    lock(&status).clients = clients.len();
                }
                Ok(_) => {
                    log::warn!(target: "jsonrpc", "{name}: more than {MAX_CLIENTS} clients; one was refused")
                }
                Err(error) => {
                    log::warn!(target: "jsonrpc", "{name}: accept failed ({error})");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    async fn call(&self, target: Target, name: &str, options: RemoteOptions, status: Arc<Mutex<Status>>) {
        let longest = options.max_backoff.unwrap_or(MAX_BACKOFF).max(FIRST_BACKOFF);
        let probe = probe_interval(options.probe, matches!(target, Target::Unix(_)));
        let mut backoff = FIRST_BACKOFF;
        loop {
            lock(&status).state = "CONNECTING";
            match target.connect().await {
                Ok(stream) => {
                    log::info!(target: "reconnect", "{name}: connected");
                    backoff = FIRST_BACKOFF;
                    self.serve_called(stream, name, &options, &status, probe).await;
                }
                Err(error) => log::info!(target: "reconnect", "{name}: connection attempt failed ({error})"),
            }
            lock(&status).state = "BACKOFF";
            tokio::time::sleep(backoff).await;
            backoff = (backoff * 2).min(longest);
        }
    }

    async fn serve_called(
        &self,
        stream: Stream,
        name: &str,
        options: &RemoteOptions,
        status: &Mutex<Status>,
        probe: Option<Duration>,
    ) {
        {
            let mut status = lock(status);
            (status.state, status.clients, status.connected) = ("ACTIVE", 1, Some(Instant::now()));
        }
        self.0.reconfigure.notify_one();
        let session = SessionOptions { read_only: options.read_only };
        if let Err(error) = client::serve(self, stream, session, probe, name).await {
            log::warn!(target: "reconnect", "{name}: connection dropped ({error})");
        }
        let mut status = lock(status);
        (status.clients, status.disconnected) = (0, Some(Instant::now()));
    }

    /// Keeps remotes as databases want them, and writes their states there.
    pub(crate) async fn keep_remotes(&self) {
        loop {
            self.reconcile().await;
            self.write_statuses();
            let _ = tokio::time::timeout(STATUS_EVERY, self.0.reconfigure.notified()).await;
        }
    }
}

/// The name of a stream whose socket, if it has one, is in the run directory unless it says otherwise.
fn in_run_directory(name: &str) -> String {
    match name.split_once(':') {
        Some((kind @ ("punix" | "unix"), path)) => {
            format!("{kind}:{}", heddle_clients::place::run_directory().join(path).display())
        }
        _ => name.to_owned(),
    }
}

fn warn(name: &str, error: &dyn std::fmt::Display) {
    log::error!(target: "ovsdb_jsonrpc_server", "{name}: listen failed: {error}");
}

fn probe_interval(asked: Option<Duration>, local: bool) -> Option<Duration> {
    match asked {
        Some(interval) if interval.is_zero() => None,
        Some(interval) => Some(interval.max(LEAST_PROBE)),
        None => (!local).then_some(PROBE),
    }
}

/// The remote that a row lists, such as one of table Manager.
fn options_of(schema: &TableSchema, row: &Row) -> Option<(String, RemoteOptions)> {
    let datum = |name: &str| schema.column_index(name).map(|column| row.datum(column));
    let target = datum("target")?.as_str()?.to_owned();
    let milliseconds = |name: &str| {
        let milliseconds = datum(name)?.as_integer()?;
        Some(Duration::from_millis(u64::try_from(milliseconds).unwrap_or(0)))
    };
    let options = RemoteOptions {
        probe: milliseconds("inactivity_probe"),
        max_backoff: milliseconds("max_backoff"),
        read_only: datum("read_only").and_then(|datum| datum.as_boolean()).unwrap_or(false),
    };
    Some((target, options))
}
