//! The configuration of a server in a file (`--config-file`): remotes and databases; ovsdb-server(1).

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use serde_json::{Map, Value};

use crate::{RemoteOptions, Server, lock};

/// The largest file, bytes.
const MAX_BYTES: u64 = 1 << 20;

/// Members that a remote may have.
const REMOTE_MEMBERS: [&str; 5] = ["inactivity-probe", "max-backoff", "read-only", "role", "dscp"];
/// Members that a database may have.
const DATABASE_MEMBERS: [&str; 4] = ["service-model", "backup", "source", "exclude-tables"];
/// How databases can be served; of these, only the first is here.
const MODELS: [&str; 4] = ["standalone", "clustered", "relay", "active-backup"];

/// Makes a server as the file says.
///
/// # Errors
/// In a sentence; what could not be done is left undone, the rest may have been done.
pub(crate) fn apply(server: &Server, path: &Path) -> Result<(), String> {
    let config = read(path)?;
    let databases = wanted_databases(&config)?;
    let remotes = wanted_remotes(&config)?;
    let gone: Vec<String> = {
        let files = lock(&server.0.files);
        let gone = files.iter().filter(|(_, path)| !databases.contains(&path.display().to_string()));
        gone.map(|(name, _)| name.clone()).collect()
    };
    for name in gone {
        server.remove_database(&name).map_err(|error| error.to_string())?;
    }
    let mut failed = None;
    for name in databases {
        let known = lock(&server.0.files).values().any(|path| *path == Path::new(&name));
        if let Err(error) = if known { Ok(String::new()) } else { server.open_database(&name) } {
            log::warn!(target: "ovsdb_server", "failed to open database '{name}': {error}");
            failed = Some("failed to configure databases".to_owned());
        }
    }
    if failed.is_none() {
        let wrong: Vec<String> = remotes.keys().filter_map(|name| server.check_remote(name).err()).collect();
        failed = wrong.into_iter().next();
        server.set_remotes(remotes);
    }
    failed.map_or(Ok(()), Err)
}

fn read(path: &Path) -> Result<Map<String, Value>, String> {
    let failed = |error: std::io::Error| format!("{}: failed to read ({error})", path.display());
    if std::fs::metadata(path).map_err(failed)?.len() > MAX_BYTES {
        return Err(format!("{}: is longer than {MAX_BYTES} bytes", path.display()));
    }
    let text = std::fs::read_to_string(path).map_err(failed)?;
    let json =
        serde_json::from_str(&text).map_err(|error| format!("config: reading JSON failed ({error})"))?;
    match json {
        Value::Object(members) => Ok(members),
        _ => Err("config: not a JSON object".into()),
    }
}

fn section<'a>(config: &'a Map<String, Value>, name: &str) -> Result<&'a Map<String, Value>, String> {
    config.get(name).and_then(Value::as_object).ok_or_else(|| format!("config: no '{name}' object"))
}

/// The members of an object that may be null.
fn members<'a>(
    value: &'a Value,
    what: &str,
    allowed: &[&str],
) -> Result<Option<&'a Map<String, Value>>, String> {
    if value.is_null() {
        return Ok(None);
    }
    let wrong = |text: &str| format!("syntax \"{value}\": syntax error: Parsing {what} failed: {text}");
    let members = value.as_object().ok_or_else(|| wrong("Object expected."))?;
    match members.keys().find(|name| !allowed.contains(&name.as_str())) {
        Some(name) => Err(wrong(&format!("Member '{name}' is present but not allowed here."))),
        None => Ok(Some(members)),
    }
}

fn wanted_remotes(config: &Map<String, Value>) -> Result<BTreeMap<String, RemoteOptions>, String> {
    let mut remotes = BTreeMap::new();
    for (name, value) in section(config, "remotes")? {
        let given = match members(value, "JSON-RPC options", &REMOTE_MEMBERS) {
            Ok(given) => given,
            Err(error) => {
                log::warn!(target: "ovsdb_server", "{error}");
                value.as_object()
            }
        };
        let milliseconds = |member: &str| given?.get(member)?.as_u64().map(Duration::from_millis);
        let options = RemoteOptions {
            probe: milliseconds("inactivity-probe"),
            max_backoff: milliseconds("max-backoff"),
            read_only: given.and_then(|given| given.get("read-only")?.as_bool()).unwrap_or(false),
        };
        remotes.insert(name.clone(), options);
    }
    Ok(remotes)
}

fn wanted_databases(config: &Map<String, Value>) -> Result<BTreeSet<String>, String> {
    let mut databases = BTreeSet::new();
    for (name, value) in section(config, "databases")? {
        let checked = check_database(name, value);
        checked.map_err(|error| {
            log::warn!(target: "ovsdb_server", "{error}");
            "config: failed to parse 'databases'".to_owned()
        })?;
        databases.insert(name.clone());
    }
    Ok(databases)
}

fn check_database(name: &str, value: &Value) -> Result<(), String> {
    let what = format!("database {name}");
    let wrong = |text: &str| format!("syntax \"{value}\": syntax error: Parsing {what} failed: {text}");
    let Some(given) = members(value, &what, &DATABASE_MEMBERS)? else { return Ok(()) };
    let model = given.get("service-model").and_then(Value::as_str).unwrap_or(MODELS[0]);
    if !MODELS.contains(&model) {
        log::warn!(target: "ovsdb_server", "Unrecognized database service model: '{model}'");
        return Err(wrong(&format!("'{model}' is not a valid service model")));
    }
    let backup = given.get("backup").and_then(Value::as_bool) == Some(true);
    if (model == "relay" || backup) && !given.contains_key("source") {
        return Err(wrong("Required 'source' member is missing."));
    }
    if model == "relay" || backup {
        return Err(wrong(
            "this server keeps standalone databases: it neither replicates others nor joins clusters",
        ));
    }
    if model == "clustered" {
        let text = format!("ovsdb error: {name}: database is standalone and not clustered");
        return Err(format!("failed to open database '{name}': {text}"));
    }
    Ok(())
}
