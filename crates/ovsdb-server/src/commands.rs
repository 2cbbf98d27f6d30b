//! Operators' commands, `ovsdb-server/*`; ovsdb-server(1) "RUNTIME MANAGEMENT COMMANDS".

use std::sync::Arc;

use heddle_daemon::unixctl::{Command, Commands, Outcome, Run};
use heddle_ovsdb::service::SERVER_DATABASE;

use crate::store::Remembered;
use crate::{RemoteOptions, Server, config_file, lock};

/// A server as operators see it.
pub(crate) struct Operated {
    pub(crate) server: Server,
    pub(crate) remembered: Option<Remembered>,
    /// Where the configuration is read from, if not from the command line.
    pub(crate) config_file: Option<std::path::PathBuf>,
    /// Tables that `--sync-exclude-tables` named.
    pub(crate) excluded: String,
}

impl Operated {
    fn changed(&self) {
        if let Some(remembered) = &self.remembered {
            remembered.save(&self.server);
        }
    }
}

/// Why commands of replication and clusters are refused.
const STANDALONE: &str =
    "this server keeps standalone databases: it neither replicates others nor joins clusters";

const fn refused(name: &'static str, usage: &'static str, most: usize) -> Command<Operated> {
    Command { name, usage, words: 0..=most, run: Run::Now(|_, _| Err(STANDALONE.to_owned())) }
}

const fn command(
    name: &'static str,
    usage: &'static str,
    words: std::ops::RangeInclusive<usize>,
    run: fn(&Operated, &[String]) -> Outcome,
) -> Command<Operated> {
    Command { name, usage, words, run: Run::Now(run) }
}

const COMMANDS: &[Command<Operated>] = &[
    command("memory/show", "", 0..=0, memory),
    command("ovsdb-server/add-db", "DB", 1..=1, add_database),
    command("ovsdb-server/add-remote", "REMOTE", 1..=1, add_remote),
    command("ovsdb-server/compact", "[DB]", 0..=1, compact),
    refused("ovsdb-server/connect-active-ovsdb-server", "", 0),
    command("ovsdb-server/disable-monitor-cond", "", 0..=0, |_, _| {
        Err("conditional monitors cannot be disabled".into())
    }),
    command("ovsdb-server/disconnect-active-ovsdb-server", "", 0..=0, |_, _| Ok(String::new())),
    command("ovsdb-server/get-active-ovsdb-server", "", 0..=0, |_, _| Ok("\n".into())),
    command("ovsdb-server/get-db-storage-status", "DB", 1..=1, storage_status),
    command("ovsdb-server/get-sync-exclude-tables", "", 0..=0, |operated, _| {
        Ok(format!("{}\n", operated.excluded))
    }),
    command("ovsdb-server/list-dbs", "", 0..=0, |operated, _| Ok(lines(operated.databases()))),
    command("ovsdb-server/list-remotes", "", 0..=0, |operated, _| Ok(lines(operated.server.remotes()))),
    command("ovsdb-server/memory-trim-on-compaction", "on|off", 1..=1, trim),
    command("ovsdb-server/perf-counters-clear", "", 0..=0, |_, _| Ok(String::new())),
    command("ovsdb-server/perf-counters-show", "", 0..=0, |_, _| Ok(String::new())),
    command("ovsdb-server/reconnect", "", 0..=0, reconnect),
    command("ovsdb-server/reload", "", 0..=0, reload),
    command("ovsdb-server/remove-db", "DB", 1..=1, remove_database),
    command("ovsdb-server/remove-remote", "REMOTE", 1..=1, remove_remote),
    refused("ovsdb-server/set-active-ovsdb-server", "", 1),
    refused("ovsdb-server/set-active-ovsdb-server-probe-interval", "", 1),
    refused("ovsdb-server/set-sync-exclude-tables", "", 1),
    command("ovsdb-server/sync-status", "", 0..=0, |_, _| Ok("state: active\n".into())),
];

/// Adds the server's commands to those of every daemon.
pub(crate) fn add(commands: &mut Commands, operated: &Arc<Operated>) {
    commands.add_table(operated, COMMANDS);
}

fn lines(items: Vec<String>) -> String {
    items.into_iter().map(|item| item + "\n").collect()
}

impl Operated {
    fn databases(&self) -> Vec<String> {
        lock(&self.server.0.service).databases().map(str::to_owned).collect()
    }

    /// Nothing is changed by hand where a file says what is to be.
    fn by_hand(&self) -> Result<(), String> {
        match self.config_file {
            None => Ok(()),
            Some(_) => Err("commands like this are not available with --config-file".into()),
        }
    }
}

fn memory(operated: &Operated, _: &[String]) -> Outcome {
    let service = lock(&operated.server.0.service);
    let names: Vec<&str> = service.databases().collect();
    let usages = names.iter().filter_map(|name| service.database(name)).map(|database| database.usage());
    let (mut atoms, mut cells, mut weak_refs) = (0, 0, 0);
    for usage in usages {
        (atoms, cells, weak_refs) = (atoms + usage.atoms, cells + usage.cells, weak_refs + usage.weak_refs);
    }
    let (sessions, monitors) = service.counts();
    let text = format!("atoms:{atoms} cells:{cells} monitors:{monitors} n-weak-refs:{weak_refs}");
    Ok(if sessions > 0 { format!("{text} sessions:{sessions}\n") } else { format!("{text}\n") })
}

fn add_database(operated: &Operated, words: &[String]) -> Outcome {
    operated.by_hand()?;
    operated.server.open_database(&words[0]).map_err(|error| error.to_string())?;
    operated.changed();
    Ok(String::new())
}

fn remove_database(operated: &Operated, words: &[String]) -> Outcome {
    operated.by_hand()?;
    operated.server.remove_database(&words[0]).map_err(|_| "Failed to find the database.".to_owned())?;
    operated.changed();
    Ok(String::new())
}

/// A database whose log cannot be written refuses what would change it, and says so there; the next may be written.
fn storage_status(operated: &Operated, words: &[String]) -> Outcome {
    if operated.databases().contains(&words[0]) {
        Ok("status: ok\n".into())
    } else {
        Err("Failed to find the database.".into())
    }
}

fn add_remote(operated: &Operated, words: &[String]) -> Outcome {
    operated.by_hand()?;
    operated.server.add_remote(&words[0], RemoteOptions::default())?;
    operated.changed();
    Ok(String::new())
}

fn remove_remote(operated: &Operated, words: &[String]) -> Outcome {
    operated.by_hand()?;
    operated.server.remove_remote(&words[0])?;
    operated.changed();
    Ok(String::new())
}

fn compact(operated: &Operated, words: &[String]) -> Outcome {
    let names = match words.first() {
        Some(name) if name.starts_with('_') => {
            return Err("cannot compact built-in databases".to_owned());
        }
        Some(name) if !operated.databases().contains(name) => return Err("not a known database".to_owned()),
        Some(name) => vec![name.clone()],
        None => operated.databases().into_iter().filter(|name| name != SERVER_DATABASE).collect(),
    };
    for name in names {
        log::info!(target: "ovsdb_server", "compacting {name} database by user request");
        let done = operated.server.with(|service, _| service.compact(&name));
        done.map_err(|error| error.to_string())?;
    }
    Ok(String::new())
}

fn trim(_: &Operated, words: &[String]) -> Outcome {
    match words[0].as_str() {
        "on" | "off" => Ok(String::new()),
        _ => Err("invalid argument".into()),
    }
}

fn reconnect(operated: &Operated, _: &[String]) -> Outcome {
    operated.server.with(|service, _| service.close_all("user ran ovsdb-server/reconnect"));
    Ok(String::new())
}

fn reload(operated: &Operated, _: &[String]) -> Outcome {
    match &operated.config_file {
        None => Err("Configuration file was not specified on command line".into()),
        Some(path) => {
            let reloaded = config_file::apply(&operated.server, path);
            reloaded.map(|()| String::new()).map_err(|error| {
                log::warn!(target: "ovsdb_server", "{error}");
                "Configuration failed.  See the log file for details.".to_owned()
            })
        }
    }
}
