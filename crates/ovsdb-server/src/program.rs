//! The program `ovsdb-server`: its options, its start and its end.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use heddle_clients::options::{Opt, Takes, opt};
use heddle_daemon::process::{Arguments, Process, Program, Stop, terminated};
use heddle_daemon::unixctl::{self, Commands, Exit};
use heddle_ovsdb::file;
use heddle_ovsdb::schema::Schema;
use tokio::sync::mpsc::Receiver;

use crate::commands::{self, Operated};
use crate::store::Remembered;
use crate::{RemoteOptions, Server, config_file, database_directory};

pub(crate) const NAME: &str = "ovsdb-server";

const OPTIONS: &[Opt] = &[
    opt("remote", ' ', Takes::Value),
    opt("run", ' ', Takes::Value),
    opt("config-file", ' ', Takes::Value),
    opt("sync-from", ' ', Takes::Value),
    opt("sync-exclude-tables", ' ', Takes::Value),
    opt("active", ' ', Takes::Nothing),
    opt("disable-file-column-diff", ' ', Takes::Nothing),
    opt("disable-file-no-data-conversion", ' ', Takes::Nothing),
    opt("no-dbs", ' ', Takes::Nothing),
    opt("no-self-confinement", ' ', Takes::Nothing),
    opt("record", ' ', Takes::Maybe),
    opt("replay", ' ', Takes::Maybe),
];

const USAGE: &str = "ovsdb-server: Open vSwitch database server
usage: ovsdb-server [OPTIONS] [DATABASE...]
where each DATABASE is a database file in ovsdb format.
The default DATABASE, if none is given, is conf.db in the database directory.

Server options:
  --remote=REMOTE         listen on or connect to REMOTE:
                          punix:FILE, ptcp:[PORT][:IP], unix:FILE, tcp:IP:PORT, db:DB,TABLE,COLUMN
  --config-file=FILE      read remotes and databases from FILE
  --run COMMAND           run COMMAND as subprocess then exit
  --no-dbs                serve no database
";

/// What a server's own options ask for.
#[derive(Debug, Default)]
struct Asked {
    remotes: Vec<String>,
    run: Option<String>,
    config_file: Option<PathBuf>,
    databases: Vec<String>,
    /// Tables that replication would leave out; kept for operators who ask, as nothing is replicated.
    excluded: String,
}

/// What the program says of its version.
pub fn version() -> String {
    heddle_daemon::version(NAME)
}

impl Asked {
    fn new(arguments: &Arguments) -> Result<Self, Stop> {
        let mut asked = Self { databases: arguments.positional.clone(), ..Self::default() };
        let mut none = false;
        for given in &arguments.own {
            match given.name.as_str() {
                "remote" => asked.remotes.push(given.text().to_owned()),
                "run" => asked.run = Some(given.text().to_owned()),
                "config-file" => asked.config_file = Some(PathBuf::from(given.text())),
                "no-dbs" => none = true,
                "sync-exclude-tables" => asked.excluded = given.text().to_owned(),
                "sync-from" | "active" => {
                    let text = format!(
                        "--{}: replication of another server's database is not supported",
                        given.name
                    );
                    return Err(Stop::failed(text));
                }
                _ => {}
            }
        }
        if asked.config_file.is_some() && (!asked.remotes.is_empty() || !asked.databases.is_empty()) {
            return Err(Stop::failed("--config-file cannot be combined with remotes or databases"));
        }
        if asked.databases.is_empty() && !none && asked.config_file.is_none() {
            asked.databases.push(database_directory().join("conf.db").display().to_string());
        }
        Ok(asked)
    }
}

/// Runs the program with these words after its name; returns its exit code. A database that is not there is made with
/// `schema`, if its file has the usual name.
pub fn run(words: &[String], schema: Option<&Schema>) -> u8 {
    match start(words, schema) {
        Ok(code) => code,
        Err(stop) => stop.report(NAME),
    }
}

fn start(words: &[String], schema: Option<&Schema>) -> Result<u8, Stop> {
    let program = Program { name: NAME, options: OPTIONS, usage: USAGE };
    let arguments = program.parse(words)?;
    let asked = Asked::new(&arguments)?;
    let process = arguments.start()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let code = runtime.block_on(serve(&arguments, asked, process, schema))?;
    heddle_daemon::log::flush();
    Ok(code)
}

async fn serve(
    arguments: &Arguments,
    mut asked: Asked,
    mut process: Process,
    schema: Option<&Schema>,
) -> Result<u8, Stop> {
    let server = Server::new();
    let remembered = arguments.is_watched().then(|| Remembered::new(std::os::unix::process::parent_id()));
    if let Some((remotes, databases)) = remembered.as_ref().and_then(Remembered::load) {
        (asked.remotes, asked.databases) = (remotes, databases);
    }
    for name in &asked.databases {
        make_if_missing(name, schema)?;
        server.open_database(name).map_err(|error| Stop::failed(error.to_string()))?;
    }
    for remote in &asked.remotes {
        server.add_remote(remote, RemoteOptions::default()).map_err(Stop::failed)?;
    }
    if let Some(path) = &asked.config_file {
        let path = std::path::absolute(path)?;
        config_file::apply(&server, &path).map_err(|error| {
            log::warn!(target: "ovsdb_server", "{error}");
            Stop::failed("server configuration failed")
        })?;
        asked.config_file = Some(path);
    }
    server.reconcile().await;
    server.write_statuses();
    let mut commands = Commands::default();
    let exits = unixctl::common(&mut commands, NAME, unixctl::Coverage::default());
    let operated = Arc::new(Operated {
        server: server.clone(),
        remembered,
        config_file: asked.config_file,
        excluded: asked.excluded,
    });
    commands::add(&mut commands, &operated);
    let control = match arguments.control_socket() {
        Some(path) => Some(unixctl::Server::open(&path, Arc::new(commands)).await?),
        None => None,
    };
    process.ready()?;
    // With `--run` the server serves one command as a tool does, and has nothing to say.
    if asked.run.is_none() {
        log::info!(target: "ovsdb_server", "{} (Open vSwitch) {}", NAME, heddle_daemon::OVS_VERSION);
    }
    let code = until_the_end(&server, exits, asked.run.as_deref()).await?;
    if let Some(remembered) = &operated.remembered {
        remembered.forget();
    }
    if let Some(control) = control {
        control.close().await;
    }
    drop(process);
    Ok(code)
}

fn make_if_missing(name: &str, schema: Option<&Schema>) -> Result<(), Stop> {
    let path = Path::new(name);
    match schema {
        Some(schema) if !path.exists() && path == database_directory().join("conf.db") => {
            file::create(path, schema).map_err(|error| Stop::failed(error.to_string()))
        }
        _ => Ok(()),
    }
}

/// Serves until an operator, a signal or the command that is run ends it.
async fn until_the_end(server: &Server, mut exits: Receiver<Exit>, run: Option<&str>) -> Result<u8, Stop> {
    let command = async {
        match run {
            None => std::future::pending().await,
            Some(command) => {
                let mut child = std::process::Command::new("/bin/sh").args(["-c", command]).spawn()?;
                tokio::task::spawn_blocking(move || child.wait()).await.map_err(std::io::Error::other)?
            }
        }
    };
    tokio::select! {
        () = server.maintain() => Ok(0),
        exit = exits.recv() => {
            server.settle().await;
            if let Some(exit) = exit {
                exit.done();
            }
            Ok(0)
        }
        ended = terminated() => {
            ended?;
            server.settle().await;
            Ok(0)
        }
        status = command => {
            let code = status?.code().unwrap_or(1);
            Ok(u8::try_from(code).unwrap_or(1))
        }
    }
}

/// How long clients' replies may take to be sent at the end.
const FAREWELL: Duration = Duration::from_millis(200);

impl Server {
    /// Closes remotes, after replies that wait for the disk had time to be sent.
    pub(crate) async fn settle(&self) {
        let busy = || crate::lock(&self.0.service).is_syncing();
        if busy() {
            let _ = tokio::time::timeout(FAREWELL, async {
                while busy() {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            })
            .await;
        }
        self.set_remotes(std::collections::BTreeMap::new());
        self.reconcile().await;
        tokio::task::yield_now().await;
    }
}
