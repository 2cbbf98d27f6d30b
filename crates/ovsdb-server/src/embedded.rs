//! A server within another daemon, on a thread and in an async runtime of its own, so that neither waits for the other.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

use heddle_daemon::process::Stop;
use heddle_daemon::unixctl::{self, Commands, Exit};
use heddle_ovsdb::database::Database;
use heddle_ovsdb::file::{self, Mode};
use heddle_ovsdb::schema::Schema;
use heddle_ovsdb::storage::Storage;
use serde_json::Value;
use tokio::sync::{mpsc, oneshot};

use crate::commands::{self, Operated};
use crate::program::NAME;
use crate::{RemoteOptions, Server, random_uuid};

/// Operations to begin with, by what the database holds.
pub type First = Box<dyn FnOnce(&Database) -> Vec<Value> + Send>;

/// What an embedded server is to serve.
pub struct Served {
    /// The database's file.
    pub database: PathBuf,
    /// What a database is made with that is not there, and brought to where it is of another release.
    pub schema: Schema,
    /// Where clients reach it, as `--remote` of `ovsdb-server` says it.
    pub remotes: Vec<String>,
    /// The socket for operators' commands, if there is to be one.
    pub control: Option<PathBuf>,
    /// What is transacted before anybody is served.
    pub first: First,
}

/// A server that serves until [`end`](Self::end).
pub struct Embedded {
    end: oneshot::Sender<Option<Exit>>,
    thread: JoinHandle<()>,
}

impl Embedded {
    /// Starts to serve. Operators' orders to end, which come by its own socket, go to `exits`.
    ///
    /// # Errors
    /// The database cannot be opened, or a socket cannot be made.
    pub fn start(served: Served, exits: mpsc::Sender<Exit>) -> Result<Self, Stop> {
        bring_up(&served.database, &served.schema)?;
        let (end, ended) = oneshot::channel();
        let (ready, outcome) = std::sync::mpsc::sync_channel(1);
        let thread = std::thread::Builder::new().name(NAME.into()).spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let failed = match runtime {
                Ok(runtime) => runtime.block_on(serve(served, exits, ended, &ready)).err(),
                Err(error) => Some(Stop::from(error)),
            };
            if let Some(stop) = failed {
                let _ = ready.send(Err(stop));
            }
        })?;
        match outcome.recv() {
            Ok(Ok(())) => Ok(Self { end, thread }),
            Ok(Err(stop)) => Err(stop),
            Err(_) => Err(Stop::failed("the database's thread ended before it served")),
        }
    }

    /// Ends, after replies that wait for the disk were sent; then answers the operator who gave the order.
    pub fn end(self, order: Option<Exit>) {
        let _ = self.end.send(order);
        if self.thread.join().is_err() {
            log::error!(target: "ovsdb_server", "the database's thread panicked");
        }
    }
}

async fn serve(
    served: Served,
    exits: mpsc::Sender<Exit>,
    mut ended: oneshot::Receiver<Option<Exit>>,
    ready: &std::sync::mpsc::SyncSender<Result<(), Stop>>,
) -> Result<(), Stop> {
    let server = Server::new();
    let name = served.database.display().to_string();
    let database = server.open_database(&name).map_err(|error| Stop::failed(error.to_string()))?;
    server.with(|service, now| {
        let operations = service.database(&database).map(served.first).unwrap_or_default();
        service.transact(&database, &operations, now)
    });
    for remote in &served.remotes {
        server.add_remote(remote, RemoteOptions::default()).map_err(Stop::failed)?;
    }
    server.reconcile().await;
    server.write_statuses();
    let mut commands = Commands::default();
    let mut orders = unixctl::common(&mut commands, NAME, unixctl::Coverage::default());
    let operated =
        Operated { server: server.clone(), remembered: None, config_file: None, excluded: String::new() };
    commands::add(&mut commands, &Arc::new(operated));
    let control = match &served.control {
        Some(path) => Some(unixctl::Server::open(path, Arc::new(commands)).await?),
        None => None,
    };
    let _ = ready.send(Ok(()));
    let handed_on = async {
        while let Some(order) = orders.recv().await {
            if exits.send(order).await.is_err() {
                break;
            }
        }
        std::future::pending::<()>().await;
    };
    let order = tokio::select! {
        () = server.maintain() => None,
        () = handed_on => None,
        order = &mut ended => order.ok().flatten(),
    };
    server.settle().await;
    if let Some(order) = order {
        order.done();
    }
    if let Some(control) = control {
        control.close().await;
    }
    Ok(())
}

/// Makes a database that is not there, and brings one of another release to this one's schema; what it was is kept
/// beside it, as Open vSwitch's scripts do.
fn bring_up(path: &Path, schema: &Schema) -> Result<(), Stop> {
    let wrong = |error: heddle_ovsdb::Error| Stop::failed(error.to_string());
    let system = |what: &str, error: &std::io::Error| {
        Stop::failed(format!("{}: {what} ({})", path.display(), heddle_clients::fatal::reason(error)))
    };
    if !path.exists() {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)
                .map_err(|error| system("its directory cannot be made", &error))?;
        }
        // In one step: who is killed meanwhile finds no half of it at the next start.
        file::write_whole(path, schema, None, "created").map_err(|error| system("create failed", &error))?;
        return Ok(());
    }
    let own = file::read_schema(path).map_err(wrong)?;
    if own == *schema {
        return Ok(());
    }
    let converted = file::open(path, Mode::Write, Some(schema), &mut random_uuid).map_err(wrong)?;
    let checksum = own.cksum.replace(' ', "-");
    let backup = PathBuf::from(format!("{}.backup{}-{checksum}", path.display(), own.version));
    std::fs::copy(path, &backup).map_err(|error| system("backup failed", &error))?;
    let Some(mut storage) = converted.storage else {
        return Err(Stop::failed("the database cannot be written"));
    };
    let comment = format!("converted by {NAME} {}", heddle_daemon::OVS_VERSION);
    storage
        .replace(schema, converted.database.snapshot().as_ref(), &comment)
        .map_err(|error| system("write failed", &error))?;
    log::info!(
        target: "ovsdb_server",
        "{}: schema converted from {} to {}; the former is in {}",
        path.display(), own.version, schema.version, backup.display()
    );
    Ok(())
}
