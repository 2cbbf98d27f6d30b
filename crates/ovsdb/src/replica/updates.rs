//! What a server tells of rows: RFC 7047 §4.1.6 `<table-updates>`, and Open vSwitch's `<table-updates2>`, which tells
//! differences (ovsdb-server(7)).

use serde_json::Value;

use super::rows::{Table, Tables};
use crate::Error;
use crate::types::{Datum, Uuid};

/// How rows are followed, the newest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// `monitor_cond_since`: differences, and from where the last connection ended.
    Since,
    /// `monitor_cond`: differences.
    Diff,
    /// `monitor`: old and new values.
    Old,
}

impl Form {
    pub(super) const fn method(self) -> &'static str {
        match self {
            Self::Since => "monitor_cond_since",
            Self::Diff => "monitor_cond",
            Self::Old => "monitor",
        }
    }

    /// What an older server may know.
    pub(super) const fn older(self) -> Option<Self> {
        match self {
            Self::Since => Some(Self::Diff),
            Self::Diff => Some(Self::Old),
            Self::Old => None,
        }
    }
}

fn object<'a>(json: &'a Value, what: &str) -> Result<impl Iterator<Item = (&'a String, &'a Value)>, Error> {
    let object = json.as_object().ok_or_else(|| Error::syntax(json, format!("{what} is not an object")))?;
    Ok(object.iter())
}

/// Applies what was told. Of an update that is in error, rows before the error are applied: the connection is to be
/// given up then, and the next one tells all.
pub(super) fn apply(tables: &mut Tables, form: Form, updates: &Value) -> Result<(), Error> {
    for (name, rows) in object(updates, "<table-updates>")? {
        if tables.table(name).is_none() {
            return Err(Error::plain_syntax(format!("no table named {name} was asked for")));
        }
        for (uuid, update) in object(rows, "<table-update>")? {
            let uuid: Uuid = uuid.parse().map_err(|error| Error::plain_syntax(format!("{error}")))?;
            match form {
                Form::Old => old_form(tables, name, uuid, update)?,
                Form::Diff | Form::Since => diff_form(tables, name, uuid, update)?,
            }
        }
    }
    Ok(())
}

fn old_form(tables: &mut Tables, name: &str, uuid: Uuid, update: &Value) -> Result<(), Error> {
    let new = match update.get("new").filter(|new| !new.is_null()) {
        Some(new) => {
            let Some(table) = tables.table(name) else { return Ok(()) };
            let known = tables.data(name, uuid).cloned();
            let mut row = known.unwrap_or_else(|| table.default_row());
            fill(table, &mut row, new)?;
            Some(row)
        }
        None => None,
    };
    tables.set(name, uuid, new);
    Ok(())
}

fn diff_form(tables: &mut Tables, name: &str, uuid: Uuid, update: &Value) -> Result<(), Error> {
    let Some(table) = tables.table(name) else { return Ok(()) };
    let row = if let Some(new) = update.get("initial").or_else(|| update.get("insert")) {
        let mut row = table.default_row();
        fill(table, &mut row, new)?;
        Some(row)
    } else if let Some(differences) = update.get("modify") {
        let unknown = || Error::plain_syntax(format!("a row of {name} changed that is not known: {uuid}"));
        let mut row = tables.data(name, uuid).cloned().ok_or_else(unknown)?;
        for (column, json) in object(differences, "<row>")? {
            let (place, kind) = column_of(table, column)?;
            let difference = Datum::from_json_of_any_size(kind, json, None)?;
            row[place].apply_diff(&difference, kind)?;
        }
        Some(row)
    } else if update.get("delete").is_some() {
        None
    } else {
        return Err(Error::syntax(update, "<row-update2> has none of its members"));
    };
    tables.set(name, uuid, row);
    Ok(())
}

fn column_of<'a>(table: &'a Table, column: &str) -> Result<(usize, &'a crate::types::ColumnType), Error> {
    let schema = table.schema();
    let place = schema
        .column_index(column)
        .ok_or_else(|| Error::plain_syntax(format!("the table {} has no column {column}", schema.name)))?;
    Ok((place, &schema.columns()[place].kind))
}

fn fill(table: &Table, row: &mut [Datum], json: &Value) -> Result<(), Error> {
    for (column, json) in object(json, "<row>")? {
        let (place, kind) = column_of(table, column)?;
        row[place] = Datum::from_json(kind, json, None)?;
    }
    Ok(())
}
