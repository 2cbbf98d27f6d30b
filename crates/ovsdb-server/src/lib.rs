//! The OVSDB server: sockets around [`Service`], operators' commands, and the program `ovsdb-server`.
//!
//! A [`Server`] lives in an async runtime, its own or that of another daemon: `heddle switchd` serves its database by one.
//! Each client has a task of its own, which reads no further while the client is behind, and lets others run after each
//! message. What may wait for the disk is done on threads made for that.
#![forbid(unsafe_code)]

mod client;
mod commands;
mod config_file;
mod embedded;
mod program;
mod remotes;
mod status;
mod store;
pub mod tool;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use heddle_ovsdb::Error;
use heddle_ovsdb::database::Database;
use heddle_ovsdb::file::{self, Mode};
use heddle_ovsdb::service::{Service, ServiceError, SessionId};
use heddle_ovsdb::storage::Storage;
use heddle_ovsdb::types::Uuid;
use tokio::sync::Notify;

pub use embedded::{Embedded, Served};
pub use program::{run, version};
pub use remotes::RemoteOptions;

use remotes::Remotes;

/// How often databases are looked at for whether they should be compacted.
const COMPACTION_CHECK: Duration = Duration::from_secs(10);

/// Clients at one time. Each costs a task, a descriptor and at most
/// [`MAX_BACKLOG`](heddle_ovsdb::service::MAX_BACKLOG) and one message.
pub const MAX_CLIENTS: usize = 4096;

/// A server of databases; copies are the same server.
#[derive(Clone)]
pub struct Server(Arc<Shared>);

struct Shared {
    service: Mutex<Service>,
    remotes: Mutex<Remotes>,
    /// Files of databases, by the names that operators gave them.
    files: Mutex<HashMap<String, PathBuf>>,
    /// For each client's task what wakes it.
    wakers: Mutex<HashMap<SessionId, Arc<Notify>>>,
    /// Wakes the task that keeps time.
    timer: Notify,
    /// Wakes the task that keeps remotes as databases want them.
    reconfigure: Notify,
    started: Instant,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What a panic left behind is whole: the service puts rows back before anything can panic.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A fresh UUID at each call, from the system's randomness.
pub fn random_uuid() -> Uuid {
    let mut bytes = [0; 16];
    if let Ok(mut source) = std::fs::File::open("/dev/urandom") {
        let _ = std::io::Read::read_exact(&mut source, &mut bytes);
    }
    Uuid::from_random(bytes)
}

/// Where databases are by default: `OVS_DBDIR`, or where packages of Open vSwitch keep them.
pub fn database_directory() -> PathBuf {
    let named = |name| std::env::var_os(name).map(PathBuf::from);
    named("OVS_DBDIR").or_else(|| Some(named("OVS_SYSCONFDIR")?.join("openvswitch"))).unwrap_or_else(|| {
        let folders = ["/etc/openvswitch", "/var/lib/openvswitch"].map(PathBuf::from);
        let used = folders.iter().find(|folder| folder.join("conf.db").exists());
        used.unwrap_or(&folders[0]).clone()
    })
}

impl Default for Server {
    fn default() -> Self {
        Self::new()
    }
}

impl Server {
    /// A server without databases and remotes.
    pub fn new() -> Self {
        Self(Arc::new(Shared {
            service: Mutex::new(Service::new(Box::new(random_uuid))),
            remotes: Mutex::default(),
            files: Mutex::default(),
            wakers: Mutex::default(),
            timer: Notify::new(),
            reconfigure: Notify::new(),
            started: Instant::now(),
        }))
    }

    fn now(&self) -> u64 {
        self.0.started.elapsed().as_millis() as u64
    }

    /// Works with the service, and then wakes whom it concerns.
    pub fn with<T>(&self, work: impl FnOnce(&mut Service, u64) -> T) -> T {
        let now = self.now();
        let mut service = lock(&self.0.service);
        let result = work(&mut service, now);
        self.wake(&mut service);
        result
    }

    fn wake(&self, service: &mut Service) {
        for (database, job) in service.jobs() {
            let server = self.clone();
            tokio::spawn(async move {
                let outcome = tokio::task::spawn_blocking(job).await;
                let outcome = outcome.unwrap_or_else(|_| Err(std::io::Error::other("the job panicked")));
                server.with(|service, _| service.synced(&database, outcome));
            });
        }
        let ready = service.ready();
        if !ready.is_empty() {
            let wakers = lock(&self.0.wakers);
            ready.iter().filter_map(|id| wakers.get(id)).for_each(|waker| waker.notify_one());
        }
        if service.deadline().is_some() {
            self.0.timer.notify_one();
        }
        if service.take_touched() {
            self.0.reconfigure.notify_one();
        }
    }

    /// Serves a database.
    ///
    /// # Errors
    /// If one of that name is served.
    pub fn add_database(&self, database: Database, storage: Box<dyn Storage>) -> Result<(), ServiceError> {
        self.with(|service, _| service.add_database(database, storage))
    }

    /// Opens a database file and serves it; returns the database's name.
    ///
    /// # Errors
    /// If the file cannot be opened, or a database of that name is served.
    pub fn open_database(&self, name: &str) -> Result<String, Error> {
        let path = Path::new(name);
        if lock(&self.0.files).values().any(|file| file == path) {
            return Err(Error::new("ovsdb error", format!("{name}: already open")));
        }
        let opened = file::open(path, Mode::Write, None, &mut random_uuid)?;
        if let Some(torn) = &opened.torn {
            log::warn!(target: "ovsdb_file", "{torn}");
        }
        let database = opened.database.schema().name.clone();
        let storage =
            opened.storage.ok_or_else(|| Error::new("I/O error", format!("{name}: not writable")))?;
        let added = self.add_database(opened.database, Box::new(storage));
        added.map_err(|error| Error::new("ovsdb error", error.to_string()))?;
        lock(&self.0.files).insert(database.clone(), path.to_owned());
        Ok(database)
    }

    /// Serves a database no more.
    ///
    /// # Errors
    /// If it is not served.
    pub fn remove_database(&self, name: &str) -> Result<(), ServiceError> {
        self.with(|service, _| service.remove_database(name))?;
        lock(&self.0.files).remove(name);
        Ok(())
    }

    /// Keeps time, remotes and logs, until it is dropped.
    pub async fn maintain(&self) {
        tokio::join!(self.keep_time(), self.keep_remotes(), self.keep_small());
    }

    async fn keep_time(&self) {
        loop {
            let deadline = lock(&self.0.service).deadline();
            let timer = self.0.timer.notified();
            match deadline {
                None => timer.await,
                Some(deadline) => {
                    let rest = Duration::from_millis(deadline.saturating_sub(self.now()));
                    if tokio::time::timeout(rest, timer).await.is_err() {
                        self.with(|service, now| service.tick(now));
                    }
                }
            }
        }
    }

    async fn keep_small(&self) {
        loop {
            tokio::time::sleep(COMPACTION_CHECK).await;
            self.with(|service, _| {
                for name in service.wants_compacting() {
                    log::info!(target: "ovsdb_server", "compacting {name} database automatically");
                    if let Err(error) = service.compact(&name) {
                        log::warn!(target: "ovsdb_server", "{error}");
                    }
                }
            });
        }
    }
}
