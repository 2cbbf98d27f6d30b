//! The program `ovsdb-tool`: database files without a server; ovsdb-tool(1).

mod show_log;

use std::io::Write;
use std::path::{Path, PathBuf};

use heddle_clients::fatal::{Fatal, fail};
use heddle_clients::options::{Given, LOG, Opt, Order, Takes, opt, parse};
use heddle_ovsdb::Error;
use heddle_ovsdb::database::{Context, Outcome};
use heddle_ovsdb::file::{self, Lock, Mode, Opened};
use heddle_ovsdb::schema::Schema;
use heddle_ovsdb::storage::Storage;
use serde_json::{Map, Value};

use crate::{database_directory, random_uuid};

const NAME: &str = "ovsdb-tool";

const OPTIONS: &[Opt] = &[
    opt("more", 'm', Takes::Nothing),
    opt("rbac-role", ' ', Takes::Value),
    opt("cid", ' ', Takes::Value),
    opt("election-timer", ' ', Takes::Value),
    opt("help", 'h', Takes::Nothing),
    opt("option", 'o', Takes::Nothing),
    opt("version", 'V', Takes::Nothing),
];

/// What a command works with.
struct Call<'a> {
    words: &'a [String],
    /// How often `--more` was given.
    more: usize,
    /// The schema where no file is named.
    schema: Option<&'a Schema>,
    out: &'a mut dyn Write,
}

struct Command {
    name: &'static str,
    usage: &'static str,
    words: std::ops::RangeInclusive<usize>,
    run: fn(&mut Call<'_>) -> Result<u8, Fatal>,
}

const fn command(
    name: &'static str,
    usage: &'static str,
    words: std::ops::RangeInclusive<usize>,
    run: fn(&mut Call<'_>) -> Result<u8, Fatal>,
) -> Command {
    Command { name, usage, words, run }
}

const COMMANDS: &[Command] = &[
    command("create", "[db [schema]]", 0..=2, create),
    command("create-cluster", "db contents local", 3..=3, clustered),
    command("join-cluster", "db name local remote...", 4..=usize::MAX, clustered),
    command("compact", "[db [dst]]", 0..=2, compact),
    command("convert", "[db [schema [dst]]]", 0..=3, convert),
    command("needs-conversion", "", 0..=2, needs_conversion),
    command("db-name", "[db]", 0..=1, |call| database_line(call, |schema| &schema.name)),
    command("db-version", "[db]", 0..=1, |call| database_line(call, |schema| &schema.version)),
    command("db-cksum", "[db]", 0..=1, |call| database_line(call, |schema| &schema.cksum)),
    command("db-cid", "db", 1..=1, not_clustered),
    command("db-sid", "db", 1..=1, not_clustered),
    command("db-local-address", "db", 1..=1, not_clustered),
    command("db-is-clustered", "db", 1..=1, |call| is_clustered(call, true)),
    command("db-is-standalone", "db", 1..=1, |call| is_clustered(call, false)),
    command("schema-name", "[schema]", 0..=1, |call| schema_line(call, |schema| &schema.name)),
    command("schema-version", "[schema]", 0..=1, |call| schema_line(call, |schema| &schema.version)),
    command("schema-cksum", "[schema]", 0..=1, |call| schema_line(call, |schema| &schema.cksum)),
    command("query", "[db] trns", 1..=2, |call| transact(call, Mode::Read)),
    command("transact", "[db] trns", 1..=2, |call| transact(call, Mode::Write)),
    command("show-log", "[db]", 0..=1, show_log::run),
    command("check-cluster", "db...", 1..=usize::MAX, not_clustered),
    command("compare-versions", "a op b", 3..=3, compare_versions),
    command("help", "", 0..=usize::MAX, help),
    command("list-commands", "", 0..=0, list_commands),
    command("cluster-to-standalone", "db clusterdb", 2..=2, clustered),
];

/// Runs the program with these words after its name, writing to `out`; returns its exit code. Without a schema's file,
/// `create` and `convert` take `schema`.
///
/// # Errors
/// What went wrong, and the exit code.
pub fn run(words: &[String], schema: Option<&Schema>, out: &mut dyn Write) -> Result<u8, Fatal> {
    let (given, words) = parse(words, &[OPTIONS, LOG], Order::Permuted)?;
    let has = |name: &str| given.iter().filter(|option: &&Given| option.name == name).count();
    if has("version") > 0 {
        out.write_all(heddle_daemon::version(NAME).as_bytes())?;
        return Ok(0);
    }
    let mut call = Call { words: &[], more: has("more"), schema, out };
    if has("help") > 0 {
        return help(&mut call);
    }
    let Some((name, rest)) = words.split_first() else {
        return fail("missing command name; use --help for help");
    };
    let Some(command) = COMMANDS.iter().find(|command| command.name == name) else {
        return fail(format!("unknown command '{name}'; use --help for help"));
    };
    let (least, most) = (*command.words.start(), *command.words.end());
    if rest.len() < least {
        let plural = if least == 1 { "" } else { "s" };
        return fail(format!("'{name}' command requires at least {least} argument{plural}"));
    }
    if rest.len() > most {
        let plural = if most == 1 { "" } else { "s" };
        return fail(format!("'{name}' command takes at most {most} argument{plural}"));
    }
    call.words = rest;
    (command.run)(&mut call)
}

fn fatal(error: impl std::fmt::Display) -> Fatal {
    Fatal::new(error.to_string())
}

impl Call<'_> {
    fn database(&self, at: usize) -> PathBuf {
        self.words.get(at).map_or_else(|| database_directory().join("conf.db"), PathBuf::from)
    }

    fn schema(&self, at: usize) -> Result<Schema, Fatal> {
        match (self.words.get(at), self.schema) {
            (Some(file), _) => read_schema(Path::new(file)),
            (None, Some(schema)) => Ok(schema.clone()),
            (None, None) => fail("no schema was named"),
        }
    }

    fn line(&mut self, text: &str) -> Result<u8, Fatal> {
        writeln!(self.out, "{text}")?;
        Ok(0)
    }
}

fn read_schema(path: &Path) -> Result<Schema, Fatal> {
    let name = path.display();
    let text = std::fs::read_to_string(path)
        .map_err(|error| Fatal::system(format!("I/O error: {name}: open failed"), &error))?;
    let json: Value =
        serde_json::from_str(&text).map_err(|error| Fatal::new(format!("\"{name}\": {error}")))?;
    Schema::from_json(&json).map_err(fatal)
}

fn create(call: &mut Call<'_>) -> Result<u8, Fatal> {
    let schema = call.schema(1)?;
    file::create(&call.database(0), &schema).map_err(fatal)?;
    Ok(0)
}

fn clustered(_: &mut Call<'_>) -> Result<u8, Fatal> {
    fail("clustered databases are not supported; use a standalone database")
}

fn not_clustered(call: &mut Call<'_>) -> Result<u8, Fatal> {
    let name = &call.words[0];
    let path = Path::new(name);
    if file::is_clustered(path) {
        return clustered(call);
    }
    std::fs::metadata(path)
        .map_err(|error| Fatal::system(format!("I/O error: {name}: open failed"), &error))?;
    fail(format!("{name}: not a clustered database"))
}

fn is_clustered(call: &mut Call<'_>, wanted: bool) -> Result<u8, Fatal> {
    let name = &call.words[0];
    let path = Path::new(name);
    std::fs::metadata(path)
        .map_err(|error| Fatal::system(format!("I/O error: {name}: open failed"), &error))?;
    Ok(if file::is_clustered(path) == wanted { 0 } else { 2 })
}

fn open(path: &Path, mode: Mode, schema: Option<&Schema>) -> Result<Opened, Fatal> {
    let opened = file::open(path, mode, schema, &mut random_uuid).map_err(fatal)?;
    if let Some(torn) = &opened.torn {
        eprintln!("{NAME}: {torn}");
    }
    Ok(opened)
}

fn compact(call: &mut Call<'_>) -> Result<u8, Fatal> {
    rewrite(&call.database(0), call.words.get(1), None, "compacted")
}

fn convert(call: &mut Call<'_>) -> Result<u8, Fatal> {
    let schema = call.schema(1)?;
    rewrite(&call.database(0), call.words.get(2), Some(&schema), "converted")
}

/// Writes a database anew, in its place or elsewhere.
fn rewrite(path: &Path, target: Option<&String>, schema: Option<&Schema>, what: &str) -> Result<u8, Fatal> {
    let comment = format!("{what} by {NAME} {}", heddle_daemon::OVS_VERSION);
    let Some(target) = target else {
        let opened = open(path, Mode::Write, schema)?;
        let Some(mut storage) = opened.storage else { return fail("the file cannot be written") };
        let replaced =
            storage.replace(opened.database.schema(), opened.database.snapshot().as_ref(), &comment);
        replaced
            .map_err(|error| Fatal::system(format!("I/O error: {}: write failed", path.display()), &error))?;
        return Ok(0);
    };
    let target = Path::new(target);
    if target.exists() {
        return fail(format!("I/O error: {}: create failed (File exists)", target.display()));
    }
    let opened = open(path, Mode::Read, schema)?;
    let failed = |error| Fatal::system(format!("I/O error: {}: create failed", target.display()), &error);
    let _lock = Lock::take(target).map_err(failed)?;
    file::write_whole(target, opened.database.schema(), opened.database.snapshot().as_ref(), &comment)
        .map_err(failed)?;
    Ok(0)
}

fn needs_conversion(call: &mut Call<'_>) -> Result<u8, Fatal> {
    let wanted = call.schema(1)?;
    let own = file::read_schema(&call.database(0)).map_err(fatal)?;
    call.line(if own == wanted { "no" } else { "yes" })
}

fn database_line(call: &mut Call<'_>, field: fn(&Schema) -> &String) -> Result<u8, Fatal> {
    let schema = file::read_schema(&call.database(0)).map_err(fatal)?;
    call.line(field(&schema))
}

fn schema_line(call: &mut Call<'_>, field: fn(&Schema) -> &String) -> Result<u8, Fatal> {
    let schema = call.schema(0)?;
    call.line(field(&schema))
}

fn transact(call: &mut Call<'_>, mode: Mode) -> Result<u8, Fatal> {
    let (path, text) = match call.words {
        [text] => (call.database(usize::MAX), text),
        words => (call.database(0), &words[1]),
    };
    let json: Value =
        serde_json::from_str(text).map_err(|error| Fatal::new(format!("\"{text}\": {error}")))?;
    let opened = open(&path, mode, None)?;
    let (mut database, mut storage) = (opened.database, opened.storage);
    let params = json.as_array().map(Vec::as_slice);
    let operations = match params {
        Some([Value::String(name), operations @ ..]) if *name == database.schema().name => operations,
        Some([Value::String(_), ..]) => {
            let error = Error::syntax(&json, "database name expected as first parameter");
            return call.line(&error.to_json().to_string());
        }
        Some(_) => {
            return call.line(
                &Error::syntax(&json, "database name expected as first parameter").to_json().to_string(),
            );
        }
        None => return call.line(&Error::syntax(&json, "array expected").to_json().to_string()),
    };
    let mut store = |record: &Value, _: bool| match &mut storage {
        None => Ok(()),
        Some(storage) => {
            let stored = storage.append(record).and_then(|()| storage.sync().map_or(Ok(()), |job| job()));
            stored.map_err(|error| Error::new("I/O error", error.to_string()))
        }
    };
    let mut context = Context {
        uuids: &mut random_uuid,
        owns_lock: &|_| false,
        read_only: false,
        elapsed: u64::MAX >> 1,
        store: &mut store,
    };
    match database.execute(operations, &mut context) {
        Outcome::Done { result, .. } => call.line(&result.to_string()),
        Outcome::Wait(_) => {
            let mut error = Map::new();
            error.insert("error".into(), "timed out".into());
            call.line(&Value::from(vec![Value::from(error)]).to_string())
        }
    }
}

fn compare_versions(call: &mut Call<'_>) -> Result<u8, Fatal> {
    let version = |text: &String| -> Result<Vec<u64>, Fatal> {
        let parts: Option<Vec<u64>> = text.split('.').map(|part| part.parse().ok()).collect();
        match parts {
            Some(parts) if parts.len() == 3 => Ok(parts),
            _ => fail(format!("{text}: not a valid version")),
        }
    };
    let (a, b) = (version(&call.words[0])?, version(&call.words[2])?);
    let holds = match call.words[1].as_str() {
        "<" => a < b,
        "<=" => a <= b,
        "==" => a == b,
        ">=" => a >= b,
        ">" => a > b,
        "!=" => a != b,
        other => return fail(format!("{other}: not a valid comparison operator")),
    };
    Ok(if holds { 0 } else { 2 })
}

fn list_commands(call: &mut Call<'_>) -> Result<u8, Fatal> {
    writeln!(call.out, "The available commands are:")?;
    for command in COMMANDS {
        writeln!(call.out, "  {:<23} {}", command.name, command.usage)?;
    }
    Ok(0)
}

fn help(call: &mut Call<'_>) -> Result<u8, Fatal> {
    writeln!(call.out, "{NAME}: Open vSwitch database management utility")?;
    writeln!(call.out, "usage: {NAME} [OPTIONS] COMMAND [ARG...]")?;
    for command in COMMANDS {
        writeln!(call.out, "  {} {}", command.name, command.usage)?;
    }
    let folder = database_directory();
    writeln!(call.out, "The default DB is {}/conf.db.", folder.display())?;
    writeln!(call.out, "The default SCHEMA is that of Open_vSwitch.")?;
    writeln!(call.out, "\nOther options:\n  -m, --more                  increase show-log verbosity")?;
    writeln!(call.out, "  -h, --help                  display this help message")?;
    writeln!(call.out, "  -V, --version               display version information")?;
    Ok(0)
}
