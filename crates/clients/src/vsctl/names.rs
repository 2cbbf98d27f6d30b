//! Tables, columns and records by the names that people give them: abbreviated, in any case, with `-` or `_`.

use heddle_ovsdb::schema::{Schema, TableSchema, VERSION_COLUMN};
use heddle_ovsdb::types::{Atom, Datum, Uuid};

use super::edit::{Edit, Place};
use crate::fatal::{Fatal, fail};

/// Fewest digits of an id that stand for the whole.
const MIN_ID: usize = 4;

fn plain(name: &str) -> String {
    name.to_ascii_lowercase().replace('-', "_")
}

/// The names that one abbreviation may mean: those that are equal to it, else those that begin with it.
fn matches<'a>(names: impl Iterator<Item = &'a str> + Clone, wanted: &str) -> Vec<(usize, &'a str)> {
    let wanted = plain(wanted);
    let equal: Vec<_> = names.clone().enumerate().filter(|(_, name)| plain(name) == wanted).collect();
    if !equal.is_empty() {
        return equal;
    }
    names.enumerate().filter(|(_, name)| plain(name).starts_with(&wanted)).collect()
}

fn joined(found: &[(usize, &str)]) -> String {
    found.iter().map(|(_, name)| *name).collect::<Vec<_>>().join(", ")
}

/// A table's place.
///
/// # Errors
/// None or several are meant.
pub fn table(schema: &Schema, name: &str) -> Result<usize, Fatal> {
    let names = schema.tables().iter().map(|table| table.name.as_str());
    match matches(names, name)[..] {
        [(place, _)] => Ok(place),
        [] => fail(format!("unknown table \"{name}\"")),
        ref found => fail(format!("\"{name}\" matches multiple table names: {}", joined(found))),
    }
}

/// A column's place.
///
/// # Errors
/// None or several are meant.
pub fn column(table: &TableSchema, name: &str) -> Result<usize, Fatal> {
    let names = table.columns().iter().enumerate().map(|(place, column)| match place {
        VERSION_COLUMN => "\0", // It is nobody's to read here.
        _ => column.name.as_str(),
    });
    match matches(names, name)[..] {
        [(place, _)] => Ok(place),
        [] => fail(format!("{} does not contain a column whose name matches \"{name}\"", table.name)),
        ref found => fail(format!(
            "{} contains more than one column whose name matches \"{name}\": {}",
            table.name,
            joined(found)
        )),
    }
}

/// The column that a word such as `COLUMN:KEY=VALUE` begins with.
///
/// # Errors
/// As [`column`], or the name is missing.
pub fn leading_column(table: &TableSchema, word: &str) -> Result<usize, Fatal> {
    let (name, _) = Datum::split_word(word).map_err(|error| Fatal::new(error.to_string()))?;
    if name.is_empty() {
        return fail(format!("{word}: missing column name"));
    }
    column(table, name)
}

/// How records of a table are named.
pub struct Naming {
    /// The table.
    pub table: &'static str,
    /// The table that has the name, and its column.
    pub named: (&'static str, &'static str),
    /// The column of that table that refers to the record; none where the named row is the record.
    pub through: Option<&'static str>,
}

const fn own(table: &'static str, column: &'static str) -> Naming {
    Naming { table, named: (table, column), through: None }
}

const fn through(table: &'static str, named: (&'static str, &'static str), column: &'static str) -> Naming {
    Naming { table, named, through: Some(column) }
}

/// Names of records, beside their ids. `.` is the record of a table that has one.
pub const NAMINGS: &[Naming] = &[
    own("Bridge", "name"),
    own("Port", "name"),
    own("Interface", "name"),
    own("Mirror", "name"),
    own("Manager", "target"),
    own("Flow_Table", "name"),
    own("Flow_Sample_Collector_Set", "id"),
    through("Controller", ("Bridge", "name"), "controller"),
    through("NetFlow", ("Bridge", "name"), "netflow"),
    through("sFlow", ("Bridge", "name"), "sflow"),
    through("IPFIX", ("Bridge", "name"), "ipfix"),
    through("AutoAttach", ("Bridge", "name"), "auto_attach"),
    through("Flow_Sample_Collector_Set", ("Bridge", "name"), ""),
    through("QoS", ("Port", "name"), "qos"),
    through("SSL", ("Open_vSwitch", ""), "ssl"),
    own("Open_vSwitch", ""),
];

/// The record of a table that a word names, if there is one.
///
/// # Errors
/// Several are named so.
pub fn find_record(edit: &Edit<'_>, table: usize, word: &str) -> Result<Option<Place>, Fatal> {
    if let Ok(uuid) = word.parse::<Uuid>() {
        let place = Place { table, uuid };
        if edit.row(place).is_some() {
            return Ok(Some(place));
        }
    }
    let name = &edit.table_schema(table).name;
    let mut found = Vec::new();
    for naming in NAMINGS.iter().filter(|naming| naming.table == name && naming.through != Some("")) {
        for owner in edit.rows_named(naming.named.0) {
            let named = match naming.named.1 {
                "" => word == ".",
                column => edit.get(owner, column).first().is_some_and(|atom| is_named(atom, word)),
            };
            match naming.through {
                _ if !named => {}
                None => found.push(owner),
                Some(column) => found.extend(edit.referred(owner, column, name)),
            }
        }
    }
    found.sort();
    found.dedup();
    match found[..] {
        [] => {}
        [only] => return Ok(Some(only)),
        _ => return fail(format!("multiple rows in {name} match \"{word}\"")),
    }
    if word == "." && edit.rows(table).count() == 1 {
        return Ok(edit.rows(table).next().map(|(place, _)| place));
    }
    if word.len() < MIN_ID || !word.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-') {
        return Ok(None);
    }
    let mut begins =
        edit.rows(table).filter(|(place, _)| place.uuid.to_string().starts_with(&word.to_ascii_lowercase()));
    match (begins.next(), begins.next()) {
        (Some((only, _)), None) => Ok(Some(only)),
        _ => Ok(None),
    }
}

fn is_named(atom: &Atom, word: &str) -> bool {
    match atom.as_str() {
        Some(name) => name == word,
        None => atom.to_string() == word,
    }
}

/// The record of a table that a word names.
///
/// # Errors
/// None or several are named so.
pub fn record(edit: &Edit<'_>, table: usize, word: &str) -> Result<Place, Fatal> {
    match find_record(edit, table, word)? {
        Some(place) => Ok(place),
        None => fail(format!("no row \"{word}\" in table {}", edit.table_schema(table).name)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema() -> Schema {
        Schema::parse(
            r#"{"name": "Test", "version": "1.0.0", "tables": {
                "CT_Zone": {"columns": {"limit": {"type": "integer"}}},
                "Controller": {"columns": {"limit": {"type": "integer"}}},
                "Open_vSwitch": {"columns": {"datapath_id": {"type": "string"}, "datapath_type": {"type": "string"},
                                             "datapath": {"type": "string"}}}}}"#,
        )
        .unwrap()
    }

    #[test]
    fn names_may_be_shortened_until_they_are_ambiguous() {
        let schema = schema();
        let name = |place: usize| schema.tables()[place].name.as_str();
        assert_eq!(name(table(&schema, "o").unwrap()), "Open_vSwitch");
        assert_eq!(name(table(&schema, "ct-zone").unwrap()), "CT_Zone");
        let error = |word| table(&schema, word).unwrap_err().message;
        assert_eq!(error("c"), "\"c\" matches multiple table names: CT_Zone, Controller");
        assert_eq!(error("x"), "unknown table \"x\"");
        let switch = schema.table("Open_vSwitch").unwrap();
        assert_eq!(switch.columns()[column(switch, "DATAPATH").unwrap()].name, "datapath");
        assert_eq!(switch.columns()[column(switch, "datapath-i").unwrap()].name, "datapath_id");
        assert_eq!(
            column(switch, "d").unwrap_err().message,
            "Open_vSwitch contains more than one column whose name matches \"d\": datapath, datapath_id, datapath_type"
        );
        assert_eq!(leading_column(switch, ":y=z").unwrap_err().message, ":y=z: missing column name");
    }
}
