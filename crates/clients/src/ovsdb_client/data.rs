//! Transactions, and all that a database holds.

use heddle_ovsdb::schema::{ColumnSchema, TableSchema};
use heddle_ovsdb::types::Datum;
use serde_json::{Value, json};

use super::Context;
use crate::database::checked;
use crate::fatal::{Fatal, fail};
use crate::json;
use crate::table::{Cell, Printer, Table};

/// A value of a database as a cell.
pub(super) fn cell(datum: &Datum, column: &ColumnSchema) -> Cell {
    Cell::Datum {
        string: datum.to_text(&column.kind),
        bare: datum.to_bare_text(),
        json: datum.to_json(&column.kind),
    }
}

/// JSON out of a word.
pub(super) fn parse(word: &str) -> Result<Value, Fatal> {
    serde_json::from_str(word).map_err(|error| Fatal::new(format!("\"{word}\": {error}")))
}

/// A transaction out of a word: an array that begins with a database.
fn parse_transaction(word: &str) -> Result<Vec<Value>, Fatal> {
    match parse(word)? {
        Value::Array(params) if params.first().is_some_and(Value::is_string) => Ok(params),
        _ => fail("not a valid OVSDB query"),
    }
}

pub(super) fn transact(context: &mut Context<'_>) -> Result<u8, Fatal> {
    let params = parse_transaction(&context.words[0])?;
    context.announce_awareness()?;
    let id = context
        .connection
        .send("transact", params)
        .map_err(|error| Fatal::new(format!("transaction failed ({})", crate::fatal::reason(&error))))?;
    // A transaction may have to wait, which it then does in the background.
    context.settings.background.keeps_errors = true;
    context.settings.background.ready()?;
    let result = checked(context.connection.reply(id))?;
    print(context, &result)
}

/// As a transaction, but undone by an operation at its end.
pub(super) fn query(context: &mut Context<'_>) -> Result<u8, Fatal> {
    let mut params = parse_transaction(&context.words[0])?;
    params.push(json!({ "op": "abort" }));
    context.announce_awareness()?;
    let mut result = checked(context.connection.ask("transact", params))?;
    if let Value::Array(results) = &mut result
        && results.last().is_some_and(|last| last["error"] == "aborted")
    {
        results.pop();
    }
    print(context, &result)
}

fn print(context: &mut Context<'_>, result: &Value) -> Result<u8, Fatal> {
    let text = if context.settings.style.pretty { json::pretty(result) } else { json::compact(result) };
    writeln!(context.out, "{text}")?;
    Ok(0)
}

/// The columns of a table that commands work on: all but `_version`, `_uuid` first.
fn columns(table: &TableSchema) -> Vec<&ColumnSchema> {
    table.columns().iter().filter(|column| column.name != "_version").collect()
}

pub(super) fn dump(context: &mut Context<'_>) -> Result<u8, Fatal> {
    let schema = context.connection.schema(&context.database)?;
    let mut chosen: Vec<(&TableSchema, Vec<&ColumnSchema>)> = Vec::new();
    match context.words.split_first() {
        None => chosen.extend(schema.tables().iter().map(|table| (table, columns(table)))),
        Some((name, names)) => {
            let Some(table) = schema.table(name) else { return fail(format!("No table \"{name}\" found.")) };
            let find = |column: &String| {
                table
                    .column(column)
                    .ok_or_else(|| Fatal::new(format!("Table \"{name}\" has no column {column}.")))
            };
            let mut named: Vec<&ColumnSchema> = names.iter().map(find).collect::<Result<_, _>>()?;
            named.sort_by_key(|column| &column.name);
            chosen.push((table, if named.is_empty() { columns(table) } else { named }));
        }
    }
    let mut params = vec![Value::from(context.database.as_str())];
    for (table, columns) in &chosen {
        let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
        params.push(json!({ "op": "select", "table": table.name, "where": [], "columns": names }));
    }
    let results = checked(context.connection.ask("transact", params))?;
    let results = results.as_array().map_or(&[][..], Vec::as_slice);
    if results.len() != chosen.len() {
        return fail("the server replied to another number of operations");
    }
    let mut printer = Printer::default();
    for ((table, columns), result) in chosen.iter().zip(results) {
        let mut rows = rows(columns, result)?;
        // Ids are random; what a row says comes first.
        let last = columns.iter().position(|column| column.name == "_uuid");
        rows.sort_by(|a, b| {
            let but_id = |row: &[Datum]| {
                row.iter()
                    .enumerate()
                    .filter(|(at, _)| Some(*at) != last)
                    .map(|(_, datum)| datum.clone())
                    .collect::<Vec<_>>()
            };
            but_id(a).cmp(&but_id(b)).then_with(|| a.cmp(b))
        });
        let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
        let mut printed = Table::new(&names);
        printed.caption = Some(format!("{} table", table.name));
        printed.time = context.settings.timestamp.then(std::time::SystemTime::now);
        let cells =
            |row: &Vec<Datum>| row.iter().zip(columns).map(|(datum, column)| cell(datum, column)).collect();
        printed.rows = rows.iter().map(cells).collect();
        printer.print(context.out, &printed, &context.settings.style)?;
    }
    Ok(0)
}

/// The rows of a `select`'s result.
pub(super) fn rows(columns: &[&ColumnSchema], result: &Value) -> Result<Vec<Vec<Datum>>, Fatal> {
    let Some(rows) = result["rows"].as_array() else {
        return fail(format!("the server refused to select ({})", json::compact(result)));
    };
    let read = |row: &Value| {
        let datum = |column: &&ColumnSchema| {
            Datum::from_json(&column.kind, &row[column.name.as_str()], None)
                .map_err(|error| Fatal::new(format!("column {}: {error}", column.name)))
        };
        columns.iter().map(datum).collect()
    };
    rows.iter().map(read).collect()
}
