//! Commands on the database's records.

use heddle_ovsdb::schema::{Schema, TableSchema, UUID_COLUMN, VERSION_COLUMN};
use heddle_ovsdb::types::{Atom, ColumnType, Datum, Uuid};

use super::command::{Call, Context};
use super::conditions::{self, Operators, Parsed};
use super::copy::Wanted;
use super::edit::{Edit, Id, Place};
use super::names::{self, NAMINGS};
use crate::fatal::{Fatal, fail};
use crate::log::{self, Level};
use crate::table::{Cell, Table};

fn text<T>(read: Result<T, heddle_ovsdb::types::TextError>) -> Result<T, Fatal> {
    read.map_err(|error| Fatal::new(error.to_string()))
}

/// Asks for what names records of a table.
pub(super) fn wants_name(
    schema: &Schema,
    words: &[String],
    call: &Call,
    wanted: &mut Wanted,
) -> Result<(), Fatal> {
    let table = names::table(schema, &words[0])?;
    wanted.table(table);
    let name = &schema.tables()[table].name;
    for naming in NAMINGS.iter().filter(|naming| naming.table == name) {
        let columns: Vec<&str> = [naming.named.1, naming.through.unwrap_or_default()]
            .into_iter()
            .filter(|name| !name.is_empty())
            .collect();
        wanted.named(schema, naming.named.0, &columns);
    }
    // A row that is made may be named by its old values' columns.
    for word in call.words.iter().skip(1).filter(|_| call.command.name == "create") {
        wanted.column(table, names::leading_column(&schema.tables()[table], word)?);
    }
    Ok(())
}

/// Asks for a whole table, or for the columns that `--columns` or conditions name.
pub(super) fn wants_table(
    schema: &Schema,
    words: &[String],
    call: &Call,
    wanted: &mut Wanted,
) -> Result<(), Fatal> {
    wants_name(schema, words, call, wanted)?;
    let table = names::table(schema, &words[0])?;
    if call.option("columns").is_none() {
        wanted.whole(schema, table);
        return Ok(());
    }
    for column in columns(&schema.tables()[table], call)? {
        wanted.column(table, column);
    }
    if call.command.name == "find" {
        for word in &words[1..] {
            wanted.column(table, names::leading_column(&schema.tables()[table], word)?);
        }
    }
    Ok(())
}

/// Asks for the columns that the words after the record name.
pub(super) fn wants_columns(
    schema: &Schema,
    words: &[String],
    call: &Call,
    wanted: &mut Wanted,
) -> Result<(), Fatal> {
    wants_name(schema, words, call, wanted)?;
    let table = names::table(schema, &words[0])?;
    for word in &words[2..] {
        wanted.column(table, names::leading_column(&schema.tables()[table], word)?);
    }
    Ok(())
}

/// Asks for the column that the word after the record names.
pub(super) fn wants_column(
    schema: &Schema,
    words: &[String],
    call: &Call,
    wanted: &mut Wanted,
) -> Result<(), Fatal> {
    wants_name(schema, words, call, wanted)?;
    let table = names::table(schema, &words[0])?;
    wanted.column(table, names::column(&schema.tables()[table], &words[2])?);
    Ok(())
}

/// The table and the record that the first two words name; no record where `--if-exists` lets it be absent.
fn record(context: &Context<'_>, call: &Call) -> Result<Option<Place>, Fatal> {
    let table = names::table(context.edit.schema(), &call.words[0])?;
    if call.has("if-exists") {
        return names::find_record(&context.edit, table, &call.words[1]);
    }
    names::record(&context.edit, table, &call.words[1]).map(Some)
}

/// The columns to show: those of `--columns`, else all in order, the id first.
fn columns(table: &TableSchema, call: &Call) -> Result<Vec<usize>, Fatal> {
    match call.option("columns") {
        Some(list) => {
            let words = list.split([',', ' ']).filter(|word| !word.is_empty());
            words.map(|word| names::column(table, word)).collect()
        }
        None => Ok((0..table.columns().len()).filter(|&column| column != VERSION_COLUMN).collect()),
    }
}

fn show(context: &mut Context<'_>, call: &Call, table: usize, places: &[Place]) -> Result<(), Fatal> {
    let schema = context.edit.table_schema(table);
    let columns = columns(schema, call)?;
    let names: Vec<&str> = columns.iter().map(|&column| schema.columns()[column].name.as_str()).collect();
    let mut shown = Table::new(&names);
    for place in places {
        let cell = |&column: &usize| {
            let kind = &schema.columns()[column].kind;
            let datum = context.edit.value(*place, column);
            Cell::Datum { string: datum.to_text(kind), bare: datum.to_bare_text(), json: datum.to_json(kind) }
        };
        shown.rows.push(columns.iter().map(cell).collect());
    }
    context.table = Some(shown);
    Ok(())
}

pub(super) fn list(context: &mut Context<'_>, call: &Call) -> Result<(), Fatal> {
    let table = names::table(context.edit.schema(), &call.words[0])?;
    let mut places = Vec::new();
    for word in &call.words[1..] {
        if call.has("if-exists") {
            places.extend(names::find_record(&context.edit, table, word)?);
        } else {
            places.push(names::record(&context.edit, table, word)?);
        }
    }
    if call.words.len() == 1 {
        places = context.edit.rows(table).map(|(place, _)| place).collect();
    }
    show(context, call, table, &places)
}

pub(super) fn find(context: &mut Context<'_>, call: &Call) -> Result<(), Fatal> {
    let table = names::table(context.edit.schema(), &call.words[0])?;
    let all: Vec<Place> = context.edit.rows(table).map(|(place, _)| place).collect();
    let mut places = Vec::new();
    for place in all {
        if meets(&mut context.edit, place, &call.words[1..])? {
            places.push(place);
        }
    }
    show(context, call, table, &places)
}

fn meets(edit: &mut Edit<'_>, place: Place, conditions: &[String]) -> Result<bool, Fatal> {
    for word in conditions {
        if !conditions::holds(edit, place, word)? {
            return Ok(false);
        }
    }
    Ok(true)
}

pub(super) fn wait_until(context: &mut Context<'_>, call: &Call) -> Result<(), Fatal> {
    let table = names::table(context.edit.schema(), &call.words[0])?;
    let place = names::find_record(&context.edit, table, &call.words[1])?;
    let ready = match place {
        Some(place) => meets(&mut context.edit, place, &call.words[2..])?,
        None => false,
    };
    context.try_again |= !ready;
    Ok(())
}

/// The name that `--id` gives: `@NAME` without its sign.
fn symbol(id: &str) -> Result<&str, Fatal> {
    match id.strip_prefix('@') {
        Some(name) => Ok(name),
        None => fail(format!("row id \"{id}\" does not begin with \"@\"")),
    }
}

pub(super) fn get(context: &mut Context<'_>, call: &Call) -> Result<(), Fatal> {
    if call.has("if-exists") && call.has("id") {
        return fail("--if-exists and --id may not be specified together");
    }
    let Some(place) = record(context, call)? else { return Ok(()) };
    if let Some(id) = call.option("id") {
        let name = symbol(id)?;
        if context.edit.symbols.symbol(name).created {
            return fail(format!("row id \"{id}\" may only be specified on one --id option"));
        }
        context.edit.symbols.name(name, place.uuid);
    }
    for word in &call.words[2..] {
        let Parsed { column, key, .. } =
            conditions::parse(&context.edit, place.table, word, Operators::None)?;
        let schema = context.edit.column_schema(place.table, column);
        let value = context.edit.value(place, column);
        let Some(written) = key else {
            context.line(value.to_text(&schema.kind));
            continue;
        };
        if !schema.kind.is_map() {
            return fail(format!("cannot specify key to get for non-map column {}", schema.name));
        }
        let key = text(Atom::parse_text(&schema.kind.key, written, Some(&mut context.edit.symbols)))?;
        match value.value_of(&key) {
            Some(value) => context.line(value.to_string()),
            None if call.has("if-exists") => context.line(""),
            None => {
                return fail(format!(
                    "no key \"{written}\" in {} record \"{}\" column {}",
                    context.edit.table_schema(place.table).name,
                    call.words[1],
                    schema.name
                ));
            }
        }
    }
    Ok(())
}

/// That a column may be changed in a row: some may only be set in a new one.
fn check_mutable(edit: &Edit<'_>, place: Place, column: usize) -> Result<(), Fatal> {
    let schema = edit.column_schema(place.table, column);
    if (schema.mutable && column != UUID_COLUMN) || edit.is_new(place) {
        return Ok(());
    }
    fail(format!(
        "cannot modify read-only column {} in table {}",
        schema.name,
        edit.table_schema(place.table).name
    ))
}

/// Does what `COLUMN[:KEY]=VALUE` asks for.
pub(super) fn set_column(edit: &mut Edit<'_>, place: Place, word: &str) -> Result<(), Fatal> {
    let Parsed { column, key, test } = conditions::parse(edit, place.table, word, Operators::Equal)?;
    check_mutable(edit, place, column)?;
    let schema = edit.column_schema(place.table, column);
    let argument = test.map_or("", |(_, argument)| argument);
    let Some(key) = key else {
        let value = text(Datum::parse_text(&schema.kind, argument, Some(&mut edit.symbols)))?;
        edit.put(place, column, value);
        return Ok(());
    };
    let Some(values) = &schema.kind.value else {
        return fail(format!("cannot specify key to set for non-map column {}", schema.name));
    };
    let key = text(Atom::parse_text(&schema.kind.key, key, Some(&mut edit.symbols)))?;
    let value = text(Atom::parse_text(values, argument, Some(&mut edit.symbols)))?;
    change(edit, place, column, |datum| drop(datum.put(key, value)));
    Ok(())
}

fn change(edit: &mut Edit<'_>, place: Place, column: usize, change: impl FnOnce(&mut Datum)) {
    edit.verify(place, column);
    let mut value = edit.value(place, column);
    change(&mut value);
    edit.put(place, column, value);
}

pub(super) fn set(context: &mut Context<'_>, call: &Call) -> Result<(), Fatal> {
    let Some(place) = record(context, call)? else { return Ok(()) };
    for word in &call.words[2..] {
        set_column(&mut context.edit, place, word)?;
    }
    context.network = None;
    Ok(())
}

/// That a column's type allows so many entries.
fn check_count(edit: &Edit<'_>, place: Place, column: usize, value: &Datum, what: &str) -> Result<(), Fatal> {
    let schema = edit.column_schema(place.table, column);
    let count = value.len();
    let (word, limit) = match count {
        count if count > schema.kind.max as usize => ("maximum", schema.kind.max),
        count if count < schema.kind.min as usize => ("minimum", schema.kind.min),
        _ => return Ok(()),
    };
    fail(format!(
        "\"{what}\" operation would put {count} {} in column {} of table {} but the {word} number is {limit}",
        if schema.kind.is_map() { "pairs" } else { "values" },
        schema.name,
        edit.table_schema(place.table).name
    ))
}

/// The type of some of a column's entries.
fn loose(kind: &ColumnType) -> ColumnType {
    ColumnType { min: 0, max: u32::MAX, ..kind.clone() }
}

pub(super) fn add(context: &mut Context<'_>, call: &Call) -> Result<(), Fatal> {
    let Some(place) = record(context, call)? else { return Ok(()) };
    let edit = &mut context.edit;
    let column = names::column(edit.table_schema(place.table), &call.words[2])?;
    check_mutable(edit, place, column)?;
    let kind = loose(&edit.column_schema(place.table, column).kind);
    let mut value = edit.value(place, column);
    for word in &call.words[3..] {
        let added = text(Datum::parse_text(&kind, word, Some(&mut edit.symbols)))?;
        value.unite(&added);
    }
    check_count(edit, place, column, &value, "add")?;
    change(edit, place, column, |datum| *datum = value);
    context.network = None;
    Ok(())
}

pub(super) fn remove(context: &mut Context<'_>, call: &Call) -> Result<(), Fatal> {
    let Some(place) = record(context, call)? else { return Ok(()) };
    let edit = &mut context.edit;
    let column = names::column(edit.table_schema(place.table), &call.words[2])?;
    check_mutable(edit, place, column)?;
    let kind = loose(&edit.column_schema(place.table, column).kind);
    // Of a map, pairs may be named by their keys alone.
    let keys = ColumnType::set(kind.key.clone(), 0, u32::MAX);
    let mut value = edit.value(place, column);
    for word in &call.words[3..] {
        match Datum::parse_text(&kind, word, Some(&mut edit.symbols)) {
            Ok(removed) if kind.is_map() => {
                value.retain(|key, value| removed.value_of(key).is_none_or(|other| Some(other) != value));
            }
            Ok(removed) => removed.keys().iter().for_each(|key| {
                value.remove(key);
            }),
            Err(error) if kind.is_map() => {
                let removed = Datum::parse_text(&keys, word, Some(&mut edit.symbols));
                let removed = removed.map_err(|_| Fatal::new(error.to_string()))?;
                value.retain(|key, _| !removed.contains(key));
            }
            Err(error) => return fail(error.to_string()),
        }
    }
    check_count(edit, place, column, &value, "remove")?;
    change(edit, place, column, |datum| *datum = value);
    context.network = None;
    Ok(())
}

pub(super) fn clear(context: &mut Context<'_>, call: &Call) -> Result<(), Fatal> {
    let Some(place) = record(context, call)? else { return Ok(()) };
    let edit = &mut context.edit;
    for word in &call.words[2..] {
        let column = names::column(edit.table_schema(place.table), word)?;
        check_mutable(edit, place, column)?;
        let schema = edit.column_schema(place.table, column);
        if schema.kind.min > 0 {
            return fail(format!(
                "\"clear\" operation cannot be applied to column {} of table {}, which is not allowed to be empty",
                schema.name,
                edit.table_schema(place.table).name
            ));
        }
        edit.put(place, column, Datum::empty());
    }
    context.network = None;
    Ok(())
}

pub(super) fn create(context: &mut Context<'_>, call: &Call) -> Result<(), Fatal> {
    let table = names::table(context.edit.schema(), &call.words[0])?;
    let schema = context.edit.table_schema(table);
    let id = match call.option("id") {
        Some(id) => match id.parse::<Uuid>() {
            Ok(uuid) => Id::Own(uuid),
            Err(_) => {
                let symbol = context.edit.symbols.symbol(symbol(id)?);
                if symbol.created {
                    return fail(format!("row id \"{id}\" may only be specified on one --id option"));
                }
                symbol.created = true;
                Id::Symbol(symbol.uuid)
            }
        },
        None => {
            if !schema.is_root {
                let text = format!(
                    "applying \"create\" command to table {} without --id option will have no effect",
                    schema.name
                );
                log::write("db_ctl_base", Level::Warn, &text);
            }
            Id::Fresh
        }
    };
    let place = context.edit.insert(table, id);
    for word in &call.words[1..] {
        set_column(&mut context.edit, place, word)?;
    }
    context.created = Some(place);
    context.network = None;
    Ok(())
}

pub(super) fn destroy(context: &mut Context<'_>, call: &Call) -> Result<(), Fatal> {
    let table = names::table(context.edit.schema(), &call.words[0])?;
    let records = &call.words[1..];
    let mut places = Vec::new();
    match (call.has("all"), records.is_empty()) {
        (true, false) => return fail("--all and records argument should not be specified together"),
        (true, true) if call.has("if-exists") => {
            return fail("--all and --if-exists should not be specified together");
        }
        (true, true) => places.extend(context.edit.rows(table).map(|(place, _)| place)),
        (false, true) => {
            log::write("db_ctl_base", Level::Warn, "either --all or records argument should be specified");
        }
        (false, false) => {
            for word in records {
                if call.has("if-exists") {
                    places.extend(names::find_record(&context.edit, table, word)?);
                } else {
                    places.push(names::record(&context.edit, table, word)?);
                }
            }
        }
    }
    places.into_iter().for_each(|place| context.edit.delete(place));
    context.network = None;
    Ok(())
}
