//! `show`: the database as a tree.

use heddle_ovsdb::schema::Schema;
use heddle_ovsdb::types::Atom;

use super::command::{Call, Context};
use super::copy::Wanted;
use super::edit::Place;
use super::names;
use crate::fatal::{Fatal, fail};

/// A table in the tree: the column that names a row, and those that are shown below it.
struct Shown {
    table: &'static str,
    name: &'static str,
    columns: &'static [&'static str],
}

const TREE: &[Shown] = &[
    Shown { table: "Open_vSwitch", name: "", columns: &["manager_options", "bridges", "ovs_version"] },
    Shown { table: "Bridge", name: "name", columns: &["controller", "fail_mode", "datapath_type", "ports"] },
    Shown { table: "Port", name: "name", columns: &["tag", "trunks", "interfaces"] },
    Shown { table: "Interface", name: "name", columns: &["type", "options", "error"] },
    Shown { table: "Controller", name: "target", columns: &["is_connected"] },
    Shown { table: "Manager", name: "target", columns: &["is_connected"] },
];

pub(super) fn wants(schema: &Schema, _: &[String], _: &Call, wanted: &mut Wanted) -> Result<(), Fatal> {
    for shown in TREE {
        wanted.named(schema, shown.table, &[shown.name]);
        wanted.named(schema, shown.table, shown.columns);
    }
    Ok(())
}

/// A part of a filter: rows of this table, or of any, whose text has one of these words.
struct Filter {
    table: Option<usize>,
    words: Vec<String>,
}

/// Reads `TABLE(WORD|WORD),WORD...`.
fn parse_filter(context: &Context<'_>, text: &str) -> Result<Vec<Filter>, Fatal> {
    let mut filters = Vec::new();
    let mut left = text;
    while !left.is_empty() {
        let end = left.find([',', '(']).unwrap_or(left.len());
        let (name, rest) = left.split_at(end);
        let (words, table, rest) = match rest.strip_prefix('(') {
            Some(inside) => {
                let Some((words, rest)) = inside.split_once(')') else {
                    return fail("Malformed filter: missing closing ')'");
                };
                (words, Some(names::table(context.edit.schema(), name.trim())?), rest)
            }
            None => (name, None, rest),
        };
        let words: Vec<String> = words.split('|').map(|word| word.trim().to_owned()).collect();
        filters.push(Filter { table, words });
        left = rest.trim_start_matches([',', ' ']);
    }
    Ok(filters)
}

pub(super) fn show(context: &mut Context<'_>, _: &Call) -> Result<(), Fatal> {
    let filters = match &context.filter {
        Some(text) => parse_filter(context, &text.clone())?,
        None => Vec::new(),
    };
    let mut out = String::new();
    for place in context.edit.rows_named("Open_vSwitch") {
        out += &row(context, &TREE[0], place, 0, &filters);
    }
    context.output += &out;
    Ok(())
}

/// The text of a row and what is below it; empty where filters leave it out.
fn row(context: &Context<'_>, shown: &Shown, place: Place, depth: usize, filters: &[Filter]) -> String {
    let schema = context.edit.table_schema(place.table);
    let indent = |depth: usize| "    ".repeat(depth);
    let mut text = match schema.column_index(shown.name) {
        Some(column) => {
            let name = context.edit.value(place, column).to_text(&schema.columns()[column].kind);
            format!("{}{} {name}\n", indent(depth), shown.table)
        }
        None => format!("{}{}\n", indent(depth), place.uuid),
    };
    // Filters of another table do not concern this one's rows; what is below is filtered by itself.
    let mut below = String::new();
    for name in shown.columns {
        let Some(column) = schema.column_index(name) else { continue };
        let (value, kind) = (context.edit.value(place, column), &schema.columns()[column].kind);
        let referred = kind
            .key
            .reference()
            .and_then(|reference| TREE.iter().find(|shown| shown.table == reference.table));
        if let Some(child) = referred {
            let Some(table) = context.edit.schema().table_index(child.table) else { continue };
            for uuid in value.keys().iter().filter_map(Atom::as_uuid) {
                below += &row(context, child, Place { table, uuid }, depth + 1, filters);
            }
            continue;
        }
        if value != kind.default_datum() {
            below += &format!("{}{name}: {}\n", indent(depth + 1), value.to_text(kind));
        }
    }
    text += &below;
    let of_table = |filter: &&Filter| match filter.table {
        Some(table) => table == place.table,
        None => false,
    };
    let mut concerned = filters.iter().filter(of_table).peekable();
    let meets = |filter: &Filter| filter.words.iter().any(|word| text.contains(word.as_str()));
    if concerned.peek().is_some() && !concerned.any(meets) {
        return String::new();
    }
    text
}
