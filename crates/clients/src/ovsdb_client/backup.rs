//! Snapshots of a database, in the form of its log, so that a server can also start from one.

use std::collections::BTreeSet;
use std::io::{IsTerminal, Read};
use std::time::{SystemTime, UNIX_EPOCH};

use heddle_ovsdb::log::{Reader, encode};
use heddle_ovsdb::schema::{ColumnSchema, Schema};
use heddle_ovsdb::types::{Atom, Datum, Uuid};
use serde_json::{Map, Value, json};

use super::Context;
use crate::database::checked;
use crate::fatal::{Fatal, fail};

/// Largest snapshot that is restored, 256 MiB: as a transaction a server would refuse it long before.
const MAX_SNAPSHOT: u64 = 256 << 20;

/// Writes the schema and the rows of a database to standard output.
pub(super) fn backup(context: &mut Context<'_>) -> Result<u8, Fatal> {
    if std::io::stdout().is_terminal() {
        return fail("not writing backup to a terminal; please redirect stdout to a file");
    }
    let schema = context.connection.schema(&context.database)?;
    let mut params = vec![Value::from(context.database.as_str())];
    for table in schema.tables() {
        let names: Vec<&str> = std::iter::once("_uuid")
            .chain(table.own_columns().filter(|(_, column)| column.persistent).map(|(_, c)| c.name.as_str()))
            .collect();
        params.push(json!({"op": "select", "table": table.name, "where": [], "columns": names}));
    }
    let results = checked(context.connection.ask("transact", params))?;
    let results = results.as_array().map_or(&[][..], Vec::as_slice);
    if results.len() != schema.tables().len() {
        return fail("the server replied to another number of operations");
    }
    let mut record = Map::new();
    for (table, result) in schema.tables().iter().zip(results) {
        let Some(rows) = result["rows"].as_array().filter(|rows| !rows.is_empty()) else { continue };
        let mut named = Map::new();
        for row in rows {
            let mut row = row.as_object().cloned().unwrap_or_default();
            let Some(uuid) = row.remove("_uuid").and_then(|uuid| uuid[1].as_str().map(str::to_owned)) else {
                return fail(format!("a row of table {} has no UUID", table.name));
            };
            named.insert(uuid, row.into());
        }
        record.insert(table.name.clone(), named.into());
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64;
    record.insert("_date".into(), now.into());
    record.insert("_is_diff".into(), true.into());
    record.insert("_comment".into(), "produced by \"ovsdb-client backup\"".into());
    context.out.write_all(&encode(&schema.to_json()))?;
    context.out.write_all(&encode(&record.into()))?;
    Ok(0)
}

/// Puts the rows of a snapshot on standard input in the place of all rows. They get new UUIDs, as a server does not let
/// clients choose those of rows that it just lost.
pub(super) fn restore(context: &mut Context<'_>) -> Result<u8, Fatal> {
    if std::io::stdin().is_terminal() {
        return fail("not reading backup from a terminal; please redirect stdin from a file");
    }
    let (schema, inserts) = read(std::io::stdin().take(MAX_SNAPSHOT))?;
    let served = context.connection.schema(&context.database)?;
    check_schemas(context, &schema, &served)?;
    let mut params = vec![Value::from(context.database.as_str())];
    params.extend(served.tables().iter().map(|t| json!({"op": "delete", "table": t.name, "where": []})));
    params.extend(inserts);
    params.push(json!({"op": "comment", "comment": "restored by \"ovsdb-client restore\""}));
    let results = checked(context.connection.ask("transact", params))?;
    let failed = results.as_array().into_iter().flatten().find(|result| result.get("error").is_some());
    match failed {
        None => Ok(0),
        Some(error) => fail(format!("transaction failed: {}", crate::json::compact(error))),
    }
}

/// A snapshot's schema, and the operations that insert its rows.
fn read(input: impl Read) -> Result<(Schema, Vec<Value>), Fatal> {
    let mut reader = Reader::new(std::io::BufReader::new(input), "stdin");
    let wrong = |error: heddle_ovsdb::Error| Fatal::new(error.to_string());
    let Some(schema) = reader.next_record().map_err(wrong)? else {
        return fail("empty snapshot: it has no schema");
    };
    let schema = Schema::from_json(&schema).map_err(wrong)?;
    let Some(record) = reader.next_record().map_err(wrong)? else {
        return fail("malformed snapshot: it has no rows after its schema");
    };
    let inserts = insertions(&schema, &record)?;
    Ok((schema, inserts))
}

fn check_schemas(context: &Context<'_>, schema: &Schema, served: &Schema) -> Result<(), Fatal> {
    if context.settings.force {
        return Ok(());
    }
    for (what, own, other) in [
        ("name", &schema.name, &served.name),
        ("version", &schema.version, &served.version),
        ("checksum", &schema.cksum, &served.cksum),
    ] {
        if own != other {
            return fail(format!(
                "backup schema has {what} \"{own}\" but database schema has {what} \"{other}\" (use --force to \
                 override differences, or \"ovsdb-client convert\" to change the schema)"
            ));
        }
    }
    Ok(())
}

/// Operations that insert a snapshot's rows, which refer to each other by names.
fn insertions(schema: &Schema, record: &Value) -> Result<Vec<Value>, Fatal> {
    let tables = || record.as_object().into_iter().flatten().filter(|(name, _)| !name.starts_with('_'));
    let mut rows = BTreeSet::new();
    let parsed =
        |uuid: &str| uuid.parse::<Uuid>().map_err(|_| Fatal::new("malformed snapshot: a row has no UUID"));
    for (_, table) in tables() {
        for (uuid, _) in table.as_object().into_iter().flatten() {
            rows.insert(parsed(uuid)?);
        }
    }
    let mut operations = Vec::new();
    for (name, table) in tables() {
        let Some(known) = schema.table(name) else {
            return fail(format!("malformed snapshot: table \"{name}\" is not in its schema"));
        };
        for (uuid, row) in table.as_object().into_iter().flatten() {
            let mut columns = Map::new();
            for (column, value) in row.as_object().into_iter().flatten() {
                let Some(definition) = known.column(column) else {
                    return fail(format!("malformed snapshot: no column {column} in table {name}"));
                };
                columns.insert(column.clone(), renamed(definition, value, &rows)?);
            }
            operations.push(
                json!({"op": "insert", "table": name, "uuid-name": symbol(parsed(uuid)?), "row": columns}),
            );
        }
    }
    Ok(operations)
}

/// A row's name within the transaction.
fn symbol(uuid: Uuid) -> String {
    format!("row{}", uuid.to_string().replace('-', "_"))
}

/// A column's value in which the snapshot's rows go by their names.
fn renamed(column: &ColumnSchema, value: &Value, rows: &BTreeSet<Uuid>) -> Result<Value, Fatal> {
    let datum = Datum::from_json_of_any_size(&column.kind, value, None)
        .map_err(|error| Fatal::new(format!("column {}: {error}", column.name)))?;
    let atom = |atom: &Atom| match atom.as_uuid().filter(|uuid| rows.contains(uuid)) {
        Some(uuid) => json!(["named-uuid", symbol(uuid)]),
        None => atom.to_json(),
    };
    if column.kind.is_map() {
        let pairs = datum.keys().iter().zip(datum.values());
        let pairs: Vec<Value> = pairs.map(|(key, value)| json!([atom(key), atom(value)])).collect();
        return Ok(json!(["map", pairs]));
    }
    Ok(json!(["set", datum.keys().iter().map(atom).collect::<Vec<_>>()]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SCHEMA: &str = r#"{"name":"d","version":"1.0.0","tables":{"T":{"isRoot":true,"columns":{
        "i":{"type":"integer"},"r":{"type":{"key":{"type":"uuid","refTable":"T","refType":"weak"},"min":0,"max":"unlimited"}},
        "m":{"type":{"key":"string","value":{"type":"uuid","refTable":"T","refType":"weak"},"min":0,"max":"unlimited"}}}}}}"#;

    fn snapshot(rows: &Value) -> Vec<u8> {
        let schema: Value = serde_json::from_str(SCHEMA).unwrap();
        [encode(&schema), encode(rows)].concat()
    }

    #[test]
    fn rows_refer_to_each_other_in_either_case() {
        let rows = json!({"T": {
            "AAAAAAAA-0000-4000-8000-00000000000A": {"i": 1},
            "bbbbbbbb-0000-4000-8000-00000000000b": {
                "r": ["uuid", "aaaaaaaa-0000-4000-8000-00000000000a"],
                "m": ["map", [["k", ["uuid", "AAAAAAAA-0000-4000-8000-00000000000a"]]]],
            },
        }});
        let (schema, inserts) = read(&*snapshot(&rows)).unwrap();
        assert_eq!(schema.name, "d");
        let name = "rowaaaaaaaa_0000_4000_8000_00000000000a";
        assert_eq!(inserts[0]["uuid-name"], name);
        assert_eq!(inserts[1]["row"]["r"], json!(["set", [["named-uuid", name]]]));
        assert_eq!(inserts[1]["row"]["m"], json!(["map", [["k", ["named-uuid", name]]]]));
    }

    #[test]
    fn what_is_no_snapshot_is_refused() {
        for rows in [
            json!({"U": {}}),
            json!({"T": {"x": {}}}),
            json!({"T": {"aaaaaaaa-0000-4000-8000-00000000000a": {"j": 1}}}),
        ] {
            let error = read(&*snapshot(&rows)).unwrap_err();
            assert!(error.message.starts_with("malformed snapshot: "), "{error}");
        }
        assert!(read(&b""[..]).is_err() && read(SCHEMA.as_bytes()).is_err());
    }

    proptest! {
        /// Any change of a snapshot is read or refused.
        #[test]
        fn nothing_panics(at in 0..400_usize, byte: u8, end in 0..800_usize) {
            let mut bytes = snapshot(&json!({"T": {"aaaaaaaa-0000-4000-8000-00000000000a": {"i": 1, "r": ["set", []]}}}));
            if let Some(changed) = bytes.get_mut(at) {
                *changed = byte;
            }
            bytes.truncate(end);
            let _ = read(&*bytes);
        }
    }
}
