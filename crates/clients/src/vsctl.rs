//! `vsctl`: changes a switch's configuration, and shows it.
//!
//! All commands of one run are one transaction. They work on a copy of the part of the database that they need; the
//! transaction says of each value that it was made from what the copy had, so that the server refuses it where another
//! client was quicker, and the commands then run anew on what that one left.

mod attach;
mod bridges;
pub mod command;
mod conditions;
mod controllers;
pub mod copy;
pub mod edit;
mod names;
mod network;
mod ports;
mod records;
mod show;
mod system;
mod zones;

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::io::{self, Write};
use std::time::Duration;

use heddle_ovsdb::types::{Datum, Uuid};
use serde_json::{Value, json};

use crate::database::{Database, PORT, Reply};
use crate::fatal::{Fatal, fail, reason};
use crate::log::{self, Level};
use crate::options::{self, Opt, Takes, opt};
use crate::stream::{Stream, is_passive};
use crate::table::{Format, Printer, Style, Table};
use crate::{json, place, timeout};
use command::{COMMANDS, Call, Context, Leading};
use copy::{Copy, Wanted};
use edit::{Edit, Place, Referred};

const OWN: &[Opt] = &[
    opt("db", ' ', Takes::Value),
    opt("no-syslog", ' ', Takes::Nothing),
    opt("no-wait", ' ', Takes::Nothing),
    opt("dry-run", ' ', Takes::Nothing),
    opt("oneline", ' ', Takes::Nothing),
    opt("timeout", 't', Takes::Value),
    opt("retry", ' ', Takes::Nothing),
    opt("filter", ' ', Takes::Value),
    opt("help", 'h', Takes::Nothing),
    opt("commands", ' ', Takes::Nothing),
    opt("options", ' ', Takes::Nothing),
    opt("version", 'V', Takes::Nothing),
];
const TABLES: &[&[Opt]] = &[OWN, options::LOG, options::TLS, options::TABLE];

/// Between two attempts to reach a server that is not there.
const RETRY: Duration = Duration::from_millis(250);
/// The exit code where the switch could not set a new port up.
const RELOAD_FAILED: u8 = 65;

struct Settings {
    database: String,
    wait: bool,
    dry_run: bool,
    oneline: bool,
    retry: bool,
    filter: Option<String>,
    style: Style,
    /// What is written into the database's log.
    comment: String,
}

/// What a command printed.
struct Printed {
    output: String,
    table: Option<Table>,
    created: Option<Place>,
}

/// How an attempt ended.
enum Attempt {
    Done(u8),
    /// The database has to change, or has changed, first.
    Again,
}

fn help() -> String {
    let mut text = String::from(
        "ovs-vsctl: ovs-vswitchd management utility\nusage: ovs-vsctl [OPTIONS] COMMAND [ARG...] [-- COMMAND [ARG...]]...\n\nCommands:\n",
    );
    for command in COMMANDS {
        let options = command
            .options
            .iter()
            .map(|row| format!("[--{}{}] ", row.long, if row.takes == Takes::Value { "=ARG" } else { "" }));
        text += &format!("  {}{} {}\n", options.collect::<String>(), command.name, command.usage);
    }
    text += &format!("\nThe default database is {}.\n\nOptions:\n", place::database());
    text + &options::print(TABLES).lines().map(|line| format!("  {line}\n")).collect::<String>()
}

/// Runs the client.
///
/// # Errors
/// What the operator is told.
pub fn run(words: &[String], out: &mut dyn Write) -> Result<u8, Fatal> {
    let Leading { program: given, first, rest } = command::leading(words, TABLES)?;
    let mut settings = Settings {
        database: place::database(),
        wait: true,
        dry_run: false,
        oneline: false,
        retry: false,
        filter: None,
        style: Style::new(Format::List),
        comment: format!("ovs-vsctl: ovs-vsctl {}", words.join(" ")),
    };
    let mut seconds = None;
    for given in &given {
        match given.name.as_str() {
            "db" => given.text().clone_into(&mut settings.database),
            "no-wait" => settings.wait = false,
            "dry-run" => settings.dry_run = true,
            "oneline" => settings.oneline = true,
            "retry" => settings.retry = true,
            "filter" => settings.filter = Some(given.text().to_owned()),
            "no-syslog" => {}
            "timeout" => seconds = Some(timeout::parse("-t or --timeout", given.text())?),
            "help" | "commands" | "options" | "version" => {
                let text = match given.name.as_str() {
                    "help" => help(),
                    "commands" => print_commands(),
                    "options" => options::print(TABLES),
                    _ => crate::version("ovs-vsctl") + "DB Schema " + crate::SCHEMA_VERSION + "\n",
                };
                write!(out, "{text}")?;
                return Ok(0);
            }
            _ => {
                let _ = settings.style.take_option(given)? || log::take_option(given)?;
            }
        }
    }
    timeout::arm(seconds);
    let calls = command::parse(rest, first)?;
    let level = if calls.iter().any(|call| call.command.writes) { Level::Info } else { Level::Debug };
    log::write("vsctl", level, &format!("Called as ovs-vsctl {}", words.join(" ")));
    let mut connection = connect(&settings)?;
    let gone = |error: io::Error| {
        Fatal::new(format!("{}: database connection failed ({})", settings.database, reason(&error)))
    };
    let schema = connection.schema("Open_vSwitch")?;
    let wanted = wanted(&schema, &calls)?;
    let mut copy = Copy::new(schema);
    refuse(copy.read(&mut connection, &wanted).map_err(gone)?)?;
    loop {
        match attempt(&settings, &calls, &mut connection, &mut copy, out)? {
            Attempt::Done(code) => return Ok(code),
            Attempt::Again => while !copy.take(&connection.receive().map_err(gone)?).map_err(gone)? {},
        }
    }
}

/// Calls the database, again and again where the operator asks for that.
fn connect(settings: &Settings) -> Result<Database, Fatal> {
    let name = &settings.database;
    loop {
        let refused = match Database::connect(name) {
            Ok(connection) => return Ok(connection),
            Err(refused) => refused,
        };
        if !settings.retry && !is_passive(name) {
            // Which server of a list refused last is told in brackets.
            let reason = match name.split(',').next_back().map(|last| Stream::connect(last, PORT)) {
                Some(Err(error)) => error.to_string(),
                _ => refused.message,
            };
            return fail(format!("{name}: database connection failed ({reason})"));
        }
        std::thread::sleep(RETRY);
    }
}

fn refuse(reply: Reply) -> Result<Value, Fatal> {
    reply.map_err(|error| Fatal::new(format!("transaction error: {}", json::compact(&error))))
}

/// What the commands read: the names of bridges, ports and interfaces always, because nearly all need them.
fn wanted(schema: &heddle_ovsdb::schema::Schema, calls: &[Call]) -> Result<Wanted, Fatal> {
    let mut wanted = Wanted::default();
    wanted.named(schema, "Open_vSwitch", &["bridges", "cur_cfg"]);
    wanted.named(schema, "Bridge", &["name", "ports"]);
    wanted.named(schema, "Port", &["name", "fake_bridge", "tag", "interfaces"]);
    wanted.named(schema, "Interface", &["name"]);
    if calls.iter().any(|call| matches!(call.command.name, "add-port" | "add-bond")) {
        wanted.named(schema, "Interface", &["ofport", "error"]);
    }
    for call in calls {
        (call.command.wants)(schema, &call.words, call, &mut wanted)?;
    }
    Ok(wanted)
}

/// Ids that differ between runs. They are names within a transaction: the database gives rows their own.
fn random() -> impl FnMut() -> Uuid {
    let mut count = 0u64;
    let (high, low) = (RandomState::new(), RandomState::new());
    move || {
        count += 1;
        let bytes = [high.hash_one(count).to_be_bytes(), low.hash_one(count).to_be_bytes()].concat();
        Uuid::from_random(bytes.try_into().unwrap_or_default())
    }
}

fn attempt(
    settings: &Settings,
    calls: &[Call],
    connection: &mut Database,
    copy: &mut Copy,
    out: &mut dyn Write,
) -> Result<Attempt, Fatal> {
    let mut random = random();
    let mut context = Context {
        edit: Edit::new(copy, &mut random),
        network: None,
        output: String::new(),
        table: None,
        created: None,
        try_again: false,
        code: 0,
        new_ports: Vec::new(),
        filter: settings.filter.clone(),
    };
    let system = system::row(&mut context)?;
    let mut printed = Vec::new();
    for call in calls {
        (call.command.run)(&mut context, call)?;
        if context.try_again {
            return Ok(Attempt::Again);
        }
        printed.push(Printed {
            output: std::mem::take(&mut context.output),
            table: context.table.take(),
            created: context.created.take(),
        });
    }
    check_symbols(&context.edit)?;
    let (mut operations, indexes) = context.edit.operations();
    let changes = !operations.is_empty();
    // A switch that has taken the change in writes the number back.
    let next_cfg = match (changes && settings.wait, context.edit.is_new(system)) {
        (false, _) => None,
        (true, new) => {
            let row = if new {
                json!(["named-uuid", format!("row{}", system.uuid.to_string().replace('-', "_"))])
            } else {
                json!(["uuid", system.uuid.to_string()])
            };
            let where_ = json!([["_uuid", "==", row]]);
            operations.push(json!({
                "op": "mutate", "table": "Open_vSwitch", "where": where_, "mutations": [["next_cfg", "+=", 1]]
            }));
            operations.push(json!({
                "op": "select", "table": "Open_vSwitch", "where": where_, "columns": ["next_cfg"]
            }));
            Some(operations.len() - 1)
        }
    };
    let new_ports = std::mem::take(&mut context.new_ports);
    let new_ports: Vec<String> =
        new_ports.into_iter().filter(|port| context.network().ports.contains_key(port)).collect();
    let comments = std::mem::take(&mut context.edit.comments);
    let code = context.code;
    drop(context);
    let mut ids = Vec::new();
    let mut awaited = None;
    if changes {
        let comment =
            std::iter::once(settings.comment.clone()).chain(comments).collect::<Vec<_>>().join("\n");
        operations.push(json!({ "op": "comment", "comment": comment }));
        if settings.dry_run {
            operations.push(json!({ "op": "abort" }));
        }
        let Some(results) = transact(settings, connection, operations)? else { return Ok(Attempt::Again) };
        for (place, index) in indexes {
            let uuid = results[index]["uuid"][1].as_str().unwrap_or_default().to_owned();
            ids.push((place, uuid));
        }
        awaited = next_cfg.and_then(|at| results[at]["rows"][0]["next_cfg"].as_i64());
    }
    print(settings, &printed, &ids, out)?;
    if let Some(next_cfg) = awaited.filter(|_| !settings.dry_run) {
        out.flush()?;
        wait_for_switch(settings, connection, copy, next_cfg)?;
        if !check_new_ports(copy, &new_ports)? {
            return Ok(Attempt::Done(RELOAD_FAILED));
        }
    }
    Ok(Attempt::Done(code))
}

/// Sends the transaction; `None` if another client was quicker.
fn transact(
    settings: &Settings,
    connection: &mut Database,
    operations: Vec<Value>,
) -> Result<Option<Value>, Fatal> {
    let params = std::iter::once(json!("Open_vSwitch")).chain(operations).collect();
    let reply = connection.ask("transact", params).map_err(|error| {
        Fatal::new(format!("{}: database connection failed ({})", settings.database, reason(&error)))
    })?;
    let results = refuse(reply)?;
    for result in results.as_array().into_iter().flatten() {
        match result.get("error").and_then(Value::as_str) {
            None => {}
            Some("aborted") if settings.dry_run => {}
            Some("timed out") => return Ok(None),
            Some(_) => {
                let text = format!("transaction error: {}", json::compact(result));
                log::write("ovsdb_idl", Level::Warn, &text);
                return fail(text);
            }
        }
    }
    Ok(Some(results))
}

/// That each name that was used was also given to a row, and that such rows will stay.
fn check_symbols(edit: &Edit<'_>) -> Result<(), Fatal> {
    for (name, symbol) in edit.symbols.iter() {
        if !symbol.created {
            return fail(format!(
                "row id \"@{name}\" is referenced but never created (e.g. with \"-- --id=@{name} create ...\")"
            ));
        }
        let Some(place) = edit.new_row(symbol.uuid) else { continue };
        if edit.table_schema(place.table).is_root {
            continue;
        }
        let lacking = match edit.references(place) {
            Referred::Strongly => continue,
            Referred::Weakly => "only a weak reference to it",
            Referred::Not => "no reference to it",
        };
        let text = format!(
            "row id \"@{name}\" was created but {lacking} was inserted, so it will not actually appear in the database"
        );
        log::write("vsctl", Level::Warn, &text);
    }
    Ok(())
}

fn print(
    settings: &Settings,
    printed: &[Printed],
    ids: &[(Place, String)],
    out: &mut dyn Write,
) -> Result<(), Fatal> {
    let mut printer = Printer::default();
    for command in printed {
        if let Some(table) = &command.table {
            printer.print(out, table, &settings.style)?;
            continue;
        }
        let mut output = command.output.clone();
        if let Some(place) = command.created {
            let id = ids.iter().find(|(new, _)| *new == place).map(|(_, id)| id.as_str());
            output += &format!("{}\n", id.unwrap_or_default());
        }
        if settings.oneline {
            let line = output.strip_suffix('\n').unwrap_or(&output);
            writeln!(out, "{}", line.replace('\\', "\\\\").replace('\n', "\\n"))?;
        } else {
            write!(out, "{output}")?;
        }
    }
    Ok(())
}

/// Waits until the switch has taken configuration number `next_cfg` in.
fn wait_for_switch(
    settings: &Settings,
    connection: &mut Database,
    copy: &mut Copy,
    next_cfg: i64,
) -> Result<(), Fatal> {
    let gone = |error: io::Error| {
        Fatal::new(format!("{}: database connection failed ({})", settings.database, reason(&error)))
    };
    let table = copy.schema.table_index("Open_vSwitch");
    let column = copy.schema.table("Open_vSwitch").and_then(|table| table.column_index("cur_cfg"));
    let (Some(table), Some(column)) = (table, column) else { return Ok(()) };
    loop {
        let reached = |row: &Datum| row.as_integer().is_some_and(|number| number >= next_cfg);
        if copy.tables[table].values().any(|row| reached(&row[column])) {
            return Ok(());
        }
        copy.take(&connection.receive().map_err(gone)?).map_err(gone)?;
    }
}

/// Whether the switch could set the interfaces of new ports up; what it could not is told.
fn check_new_ports(copy: &Copy, ports: &[String]) -> Result<bool, Fatal> {
    let mut random = random();
    let edit = Edit::new(copy, &mut random);
    let mut all_good = true;
    for port in edit.rows_named("Port") {
        if !ports.contains(&edit.text(port, "name")) {
            continue;
        }
        for interface in edit.referred(port, "interfaces", "Interface") {
            if edit.get(interface, "ofport").as_integer() != Some(-1) {
                continue;
            }
            let (name, error) = (edit.text(interface, "name"), edit.text(interface, "error"));
            let error = if error.is_empty() { error } else { format!(": {error}") };
            eprintln!(
                "ovs-vsctl: Error detected while setting up '{name}'{error}.  See ovs-vswitchd log for details."
            );
            all_good = false;
        }
    }
    if !all_good {
        eprintln!("ovs-vsctl: The default log directory is \"{}\".", place::log_directory().display());
    }
    Ok(all_good)
}

/// What `--commands` prints, for completions: options, name and words of each command, apart by commas.
fn print_commands() -> String {
    let line = |command: &command::Command| {
        let options: Vec<String> = command
            .options
            .iter()
            .map(|row| format!("[--{}{}]", row.long, if row.takes == Takes::Value { "=ARG" } else { "" }))
            .collect();
        format!("{},{},{}\n", options.join(" "), command.name, command.usage)
    };
    COMMANDS.iter().map(line).collect()
}
