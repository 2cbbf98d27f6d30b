//! What databases there are, and their schemas.

use heddle_ovsdb::schema::Schema;
use serde_json::Value;

use super::Context;
use crate::database::checked;
use crate::fatal::{Fatal, fail, reason};
use crate::json;
use crate::table::{Cell, Printer, Table};

/// Largest schema that is read, 16 MiB: the largest that is in use has 50 KiB.
const MAX_SCHEMA: u64 = 16 << 20;

pub(super) fn list_databases(context: &mut Context<'_>) -> Result<u8, Fatal> {
    for name in context.connection.databases()? {
        writeln!(context.out, "{name}")?;
    }
    Ok(0)
}

/// The schema of the database, as it is after it was understood.
fn schema(context: &mut Context<'_>) -> Result<Schema, Fatal> {
    context.connection.schema(&context.database)
}

pub(super) fn print(context: &mut Context<'_>) -> Result<u8, Fatal> {
    let schema = schema(context)?.to_json();
    let text = if context.settings.style.pretty { json::pretty(&schema) } else { json::compact(&schema) };
    writeln!(context.out, "{text}")?;
    Ok(0)
}

pub(super) fn print_version(context: &mut Context<'_>) -> Result<u8, Fatal> {
    let schema = schema(context)?;
    writeln!(context.out, "{}", schema.version)?;
    Ok(0)
}

pub(super) fn print_cksum(context: &mut Context<'_>) -> Result<u8, Fatal> {
    let schema = schema(context)?;
    writeln!(context.out, "{}", schema.cksum)?;
    Ok(0)
}

pub(super) fn list_tables(context: &mut Context<'_>) -> Result<u8, Fatal> {
    let schema = schema(context)?;
    let mut table = Table::new(&["Table"]);
    table.rows = schema.tables().iter().map(|table| vec![Cell::Text(table.name.clone())]).collect();
    Printer::default().print(context.out, &table, &context.settings.style)?;
    Ok(0)
}

pub(super) fn list_columns(context: &mut Context<'_>) -> Result<u8, Fatal> {
    let schema = schema(context)?;
    let wanted = context.words.first();
    let mut table =
        Table::new(if wanted.is_some() { &["Column", "Type"] } else { &["Table", "Column", "Type"] });
    for listed in schema.tables().iter().filter(|table| wanted.is_none_or(|name| *name == table.name)) {
        for column in listed.columns() {
            let name = wanted.is_none().then(|| Cell::Text(listed.name.clone()));
            let own = [Cell::Text(column.name.clone()), Cell::json(column.kind.to_json())];
            table.rows.push(name.into_iter().chain(own).collect());
        }
    }
    Printer::default().print(context.out, &table, &context.settings.style)?;
    Ok(0)
}

/// Reads a schema from a file.
fn read(path: &str) -> Result<Schema, Fatal> {
    let unreadable = |why: String| {
        Fatal::new(format!("failed to read schema: \"{path}\" could not be read as JSON ({why})"))
    };
    let opened = |error| unreadable(format!("error opening \"{path}\": {}", reason(&error)));
    if std::fs::metadata(path).map_err(opened)?.len() > MAX_SCHEMA {
        return Err(unreadable(format!("it is larger than {MAX_SCHEMA} bytes")));
    }
    let text = std::fs::read_to_string(path).map_err(opened)?;
    let json: Value = serde_json::from_str(&text).map_err(|error| unreadable(error.to_string()))?;
    Schema::from_json(&json).map_err(|error| {
        let details = error.details.unwrap_or_default();
        let syntax = error.syntax.map_or_else(String::new, |syntax| format!("syntax \"{syntax}\": "));
        Fatal::new(format!("{syntax}{}: failed to parse \"{path}\" as ovsdb schema: {details}", error.tag))
    })
}

pub(super) fn convert(context: &mut Context<'_>) -> Result<u8, Fatal> {
    let schema = read(&context.words[0])?;
    checked(context.connection.ask("convert", vec![schema.name.as_str().into(), schema.to_json()]))?;
    Ok(0)
}

pub(super) fn needs_conversion(context: &mut Context<'_>) -> Result<u8, Fatal> {
    let wanted = read(&context.words[0])?;
    let there = context.connection.databases()?;
    if !there.contains(&wanted.name) {
        return fail(format!("{}: database not found on server", wanted.name));
    }
    let served = context.connection.schema(&wanted.name)?;
    writeln!(context.out, "{}", if served == wanted { "no" } else { "yes" })?;
    Ok(0)
}
