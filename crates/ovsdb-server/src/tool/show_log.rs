//! `show-log`: the records of a database file, for people.

use std::collections::HashMap;

use heddle_clients::fatal::Fatal;
use heddle_ovsdb::file;
use heddle_ovsdb::schema::{Schema, TableSchema};
use heddle_ovsdb::types::{Datum, quote};
use serde_json::Value;

use super::{Call, fatal};

/// Columns by whose value people know a row.
const NAMES: [&str; 3] = ["name", "target", "id"];

/// Rows that were met: whether they are there, and what people call them.
type Known = HashMap<(String, String), String>;

pub(super) fn run(call: &mut Call<'_>) -> Result<u8, Fatal> {
    let path = call.database(0);
    let mut lines = String::new();
    let mut records = Vec::new();
    let (schema, torn) = file::records(&path, |record| records.push(record.clone())).map_err(fatal)?;
    lines.push_str(&format!(
        "record 0: \"{}\" schema, version=\"{}\", cksum=\"{}\"\n\n",
        schema.name, schema.version, schema.cksum
    ));
    let mut known = Known::new();
    for (at, record) in records.iter().enumerate() {
        lines.push_str(&format!("record {}:", at + 1));
        show(call.more, &schema, record, &mut known, &mut lines);
    }
    call.out.write_all(lines.as_bytes())?;
    match torn {
        Some(error) => Err(fatal(error)),
        None => Ok(0),
    }
}

fn show(more: usize, schema: &Schema, record: &Value, known: &mut Known, lines: &mut String) {
    if let Some(date) = record.get("_date").and_then(Value::as_u64) {
        lines.push_str(&format!(" {}", time(date)));
    }
    if let Some(comment) = record.get("_comment").and_then(Value::as_str) {
        lines.push_str(&format!(" {}", quote(comment)));
    }
    lines.push('\n');
    let diff = record.get("_is_diff").and_then(Value::as_bool) == Some(true);
    let tables = record.as_object().into_iter().flatten().filter(|(name, _)| !name.starts_with('_'));
    for (table, rows) in tables {
        for (uuid, row) in rows.as_object().into_iter().flatten() {
            let schema = schema.table(table);
            let text = row_text(more, table, uuid, row, diff, schema, known);
            if more > 0 {
                lines.push_str(&text);
            }
        }
    }
    if more > 0 {
        lines.push('\n');
    }
}

fn row_text(
    more: usize,
    table: &str,
    uuid: &str,
    row: &Value,
    diff: bool,
    schema: Option<&TableSchema>,
    known: &mut Known,
) -> String {
    let short = uuid.get(..8).unwrap_or(uuid);
    let key = (table.to_owned(), uuid.to_owned());
    let name = NAMES.iter().find_map(|name| row.get(name)?.as_str()).map(quote);
    let mut text = match known.get(&key) {
        None => {
            let called = name.as_ref().map_or_else(|| short.to_owned(), |name| format!("{name} ({short})"));
            format!("  table {table} insert row {called}:\n")
        }
        Some(called) => {
            let what = if diff { " diff" } else { "" };
            format!("  table {table} row {called} ({short}){what}:\n")
        }
    };
    match row.as_object() {
        None => {
            known.remove(&key);
            text.push_str("    delete row\n");
        }
        Some(columns) => {
            let called = name.or_else(|| known.get(&key).cloned()).unwrap_or_else(|| short.to_owned());
            known.insert(key, called);
            for (column, json) in columns.iter().filter(|_| more > 1) {
                let kind = schema.and_then(|schema| schema.column(column)).map(|column| &column.kind);
                let datum = kind.and_then(|kind| {
                    let datum = Datum::from_json_of_any_size(kind, json, None).ok()?;
                    Some(datum.to_text(kind))
                });
                text.push_str(&format!("    {column}={}\n", datum.unwrap_or_else(|| json.to_string())));
            }
        }
    }
    text
}

/// A time in milliseconds since 1970 as a date and time of day, UTC.
fn time(milliseconds: u64) -> String {
    let (seconds, rest) = (milliseconds / 1000, milliseconds % 1000);
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    // Days are counted from 1 March of year 0, in eras of 400 years: leap days then fall at the ends of years.
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, later) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    let year = year + era * 400 + later;
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}.{rest:03}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_dates() {
        for (milliseconds, text) in [
            (0, "1970-01-01 00:00:00.000"),
            (951_782_400_123, "2000-02-29 00:00:00.123"),
            (1_795_637_558_752, "2026-11-25 20:12:38.752"),
        ] {
            assert_eq!(time(milliseconds), text);
        }
    }
}
