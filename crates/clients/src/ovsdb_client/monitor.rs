//! Watching a database: `monitor` (RFC 7047 section 4.1.5), `monitor_cond` and `monitor_cond_since`.

use std::io::Write;
use std::time::SystemTime;

use heddle_ovsdb::rpc::Message;
use heddle_ovsdb::schema::{ColumnSchema, Schema, TableSchema};
use heddle_ovsdb::types::Datum;
use serde_json::{Value, json};

use super::data::{cell, parse};
use super::{Context, Settings};
use crate::database::checked;
use crate::fatal::{Fatal, fail, reason};
use crate::table::{Cell, Format, Printer, Table, is_uuid};
use crate::unixctl::{self, Command, Server};

const COMMANDS: &[Command] = &[
    Command { name: "exit", usage: "", words: (0, 0) },
    Command { name: "ovsdb-client/block", usage: "", words: (0, 0) },
    Command { name: "ovsdb-client/unblock", usage: "", words: (0, 0) },
    Command { name: "ovsdb-client/cond_change", usage: "TABLE COND", words: (2, 2) },
];
const NO_ID: &str = "00000000-0000-0000-0000-000000000000";

/// The forms of the method.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Version {
    Plain,
    Cond,
    CondSince,
}

/// A table that is watched.
struct Watched<'a> {
    table: &'a TableSchema,
    columns: Vec<&'a ColumnSchema>,
    /// What the server is asked, one part for each group of columns.
    request: Vec<Value>,
}

pub(super) fn monitor(context: &mut Context<'_>) -> Result<u8, Fatal> {
    let words = context.words;
    watch(context, Version::Plain, NO_ID, None, &words[0], &words[1..])
}

pub(super) fn monitor_cond(context: &mut Context<'_>) -> Result<u8, Fatal> {
    let words = context.words;
    let conditions = parse(&words[0])?;
    watch(context, Version::Cond, NO_ID, Some(conditions), &words[1], &words[2..])
}

pub(super) fn monitor_cond_since(context: &mut Context<'_>) -> Result<u8, Fatal> {
    let (last, words) = match context.words.split_first() {
        Some((first, rest)) if is_uuid(first) && rest.len() >= 2 => (first.as_str(), rest),
        _ => (NO_ID, context.words),
    };
    let conditions = parse(&words[0])?;
    watch(context, Version::CondSince, last, Some(conditions), &words[1], &words[2..])
}

fn watch(
    context: &mut Context<'_>,
    version: Version,
    last: &str,
    conditions: Option<Value>,
    table: &str,
    groups: &[String],
) -> Result<u8, Fatal> {
    context.announce_awareness()?;
    let mut control = Server::open(None, COMMANDS)?;
    let schema = context.connection.schema(&context.database)?;
    let watched = chosen(context, &schema, conditions.as_ref(), table, groups)?;
    let requests: serde_json::Map<String, Value> =
        watched.iter().map(|one| (one.table.name.clone(), Value::from(one.request.clone()))).collect();
    let mut params = vec![json!(context.database), Value::Null, requests.into()];
    let method = match version {
        Version::Plain => "monitor",
        Version::Cond => "monitor_cond",
        Version::CondSince => {
            params.push(json!(last));
            "monitor_cond_since"
        }
    };
    let result = checked(context.connection.ask(method, params))?;
    let mut printer = Printer::default();
    let updates = if version == Version::CondSince {
        let (found, last) = (&result[0], result[1].as_str().unwrap_or_default());
        writeln!(context.out, "found: {found}, last_id: {last}")?;
        &result[2]
    } else {
        &result
    };
    print_updates(context.out, &mut printer, &context.settings, &watched, updates, true)?;
    context.out.flush()?;
    context.settings.background.keeps_errors = true;
    context.settings.background.ready()?;
    follow(context, &mut control, &mut printer, &watched)
}

/// The tables that are asked for, with their columns.
fn chosen<'a>(
    context: &Context<'_>,
    schema: &'a Schema,
    conditions: Option<&Value>,
    name: &str,
    groups: &[String],
) -> Result<Vec<Watched<'a>>, Fatal> {
    if name == "ALL" && conditions.is_none() {
        if !groups.is_empty() {
            return fail("columns cannot be named where ALL tables are watched");
        }
        return schema.tables().iter().map(|table| watched(context, schema, table, None, groups)).collect();
    }
    match schema.table(name) {
        Some(table) => Ok(vec![watched(context, schema, table, conditions, groups)?]),
        None => fail(format!("{}: {} does not have a table named \"{name}\"", context.server, schema.name)),
    }
}

fn watched<'a>(
    context: &Context<'_>,
    schema: &Schema,
    table: &'a TableSchema,
    conditions: Option<&Value>,
    groups: &[String],
) -> Result<Watched<'a>, Fatal> {
    let mut found = Watched { table, columns: Vec::new(), request: Vec::new() };
    // A group of nothing stands for all columns.
    let all = [String::new()];
    for group in if groups.is_empty() { &all } else { groups } {
        let words: Vec<&str> = group.split(',').filter(|word| !word.is_empty()).collect();
        let (skipped, named): (Vec<&str>, Vec<&str>) =
            words.into_iter().partition(|word| word.starts_with('!'));
        let mut columns = Vec::new();
        for name in named {
            let Some(column) = table.column(name) else {
                return fail(format!(
                    "{}: table \"{}\" in {} does not have a column named \"{name}\"",
                    context.server, table.name, schema.name
                ));
            };
            columns.push(column);
        }
        if columns.is_empty() {
            columns = table.own_columns().map(|(_, column)| column).collect();
            columns.extend(table.column("_version"));
        }
        for column in &columns {
            if found.columns.iter().any(|other| other.name == column.name)
                || columns.iter().filter(|other| other.name == column.name).count() > 1
            {
                return fail(format!(
                    "{}: column \"{}\" mentioned multiple times",
                    context.server, column.name
                ));
            }
        }
        let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
        let mut part = json!({ "columns": names });
        if !skipped.is_empty() {
            part["select"] = select(&skipped)?;
        }
        if let Some(conditions) = conditions {
            part["where"] = conditions.clone();
        }
        found.columns.extend(columns);
        found.request.push(part);
    }
    Ok(found)
}

/// Which changes are wanted, out of those that are not.
fn select(skipped: &[&str]) -> Result<Value, Fatal> {
    const KINDS: [&str; 4] = ["!initial", "!insert", "!delete", "!modify"];
    if let Some(unknown) = skipped.iter().find(|word| !KINDS.contains(word)) {
        return fail(format!(
            "unknown operation \"{unknown}\": one of !initial, !insert, !delete, !modify was expected"
        ));
    }
    Ok(KINDS
        .iter()
        .map(|kind| (kind[1..].to_owned(), Value::from(!skipped.contains(kind))))
        .collect::<serde_json::Map<_, _>>()
        .into())
}

/// Prints updates as they come, until somebody asks to exit or the server goes.
fn follow(
    context: &mut Context<'_>,
    control: &mut Server,
    printer: &mut Printer,
    watched: &[Watched<'_>],
) -> Result<u8, Fatal> {
    let (mut blocked, mut readable) = (false, false);
    loop {
        // While blocked, the server's messages stay where they are.
        loop {
            if blocked {
                break;
            }
            let received = context.connection.receive_if_there(std::mem::take(&mut readable));
            let Some(message) = received.map_err(|error| {
                Fatal::new(format!("{}: receive failed ({})", context.server, reason(&error)))
            })?
            else {
                break;
            };
            let Message::Notification { method, params } = message else { continue };
            take_notification(context, printer, watched, &method, &params)?;
        }
        for request in control.take() {
            let answer = match request.command.as_str() {
                "exit" => {
                    control.reply(&request, Ok(String::new()));
                    return Ok(0);
                }
                "ovsdb-client/block" | "ovsdb-client/unblock" => {
                    let block = request.command.ends_with("/block");
                    if blocked == block {
                        Err(format!("already {}blocked", if block { "" } else { "un" }))
                    } else {
                        blocked = block;
                        Ok(String::new())
                    }
                }
                _ => change_condition(context, &request.words),
            };
            control.reply(&request, answer);
        }
        let mut descriptors: Vec<_> = control.descriptors().collect();
        if !blocked {
            descriptors.push(context.connection.descriptor());
        }
        readable = unixctl::wait(&descriptors, None)?.last() == Some(&true) && !blocked;
    }
}

fn take_notification(
    context: &mut Context<'_>,
    printer: &mut Printer,
    watched: &[Watched<'_>],
    method: &str,
    params: &[Value],
) -> Result<(), Fatal> {
    match (method, params) {
        ("update" | "update2", [Value::Null, updates]) => {
            print_updates(context.out, printer, &context.settings, watched, updates, false)?;
        }
        ("update3", [Value::Null, last, updates]) => {
            // The line stands in place of the empty one between tables.
            writeln!(context.out, "\nlast_id: {}", last.as_str().unwrap_or_default())?;
            print_updates(context.out, &mut Printer::default(), &context.settings, watched, updates, false)?;
        }
        ("monitor_canceled", _) => {
            return fail(format!("{}: {} database was removed", context.server, context.database));
        }
        _ => {}
    }
    Ok(context.out.flush()?)
}

fn change_condition(context: &mut Context<'_>, words: &[String]) -> Result<String, String> {
    let conditions: Value = serde_json::from_str(&words[1]).map_err(|error| error.to_string())?;
    let requests = json!({ (words[0].as_str()): [{ "where": conditions }] });
    let sent = context.connection.send("monitor_cond_change", vec![Value::Null, Value::Null, requests]);
    sent.map(|_| String::new()).map_err(|error| reason(&error))
}

fn print_updates(
    out: &mut dyn Write,
    printer: &mut Printer,
    settings: &Settings,
    watched: &[Watched<'_>],
    updates: &Value,
    initial: bool,
) -> Result<(), Fatal> {
    for one in watched {
        let Some(rows) = updates.get(&one.table.name).and_then(Value::as_object) else { continue };
        let mut table = Table::new(&["row", "action"]);
        table.columns.extend(one.columns.iter().map(|column| column.name.clone()));
        table.caption = (watched.len() > 1).then(|| one.table.name.clone());
        table.time = settings.timestamp.then(SystemTime::now);
        for (uuid, update) in rows {
            table.rows.extend(update_rows(&one.columns, uuid, update, initial)?);
        }
        if settings.style.format == Format::Json && table.rows.is_empty() {
            continue;
        }
        printer.print(out, &table, &settings.style)?;
    }
    Ok(())
}

/// The rows of a table that a row's update becomes: two where both old and new values are told.
fn update_rows(
    columns: &[&ColumnSchema],
    uuid: &str,
    update: &Value,
    initial: bool,
) -> Result<Vec<Vec<Cell>>, Fatal> {
    let Some(update) = update.as_object() else { return fail("<row-update> is not object") };
    let id = || Cell::Text(uuid.to_owned());
    let nothing = || Cell::Text(String::new());
    let row = |first: Cell, action: &str, values: &Value| -> Result<Vec<Cell>, Fatal> {
        let mut cells = vec![first, Cell::Text(action.to_owned())];
        for column in columns {
            cells.push(match values.get(&column.name) {
                None => nothing(),
                Some(value) => {
                    let datum = Datum::from_json_of_any_size(&column.kind, value, None)
                        .map_err(|error| Fatal::new(format!("column {}: {error}", column.name)))?;
                    cell(&datum, column)
                }
            });
        }
        Ok(cells)
    };
    let first = update.iter().next().map(|(kind, values)| (kind.as_str(), values));
    Ok(match (update.get("old"), update.get("new"), first) {
        (Some(old), Some(new), _) => vec![row(id(), "old", old)?, row(nothing(), "new", new)?],
        (Some(old), None, _) => vec![row(id(), "delete", old)?],
        (None, Some(new), _) => vec![row(id(), if initial { "initial" } else { "insert" }, new)?],
        (None, None, Some((kind @ ("initial" | "insert" | "modify" | "delete"), values))) => {
            vec![row(id(), kind, values)?]
        }
        _ => return fail("<row-update> has neither old nor new values"),
    })
}
