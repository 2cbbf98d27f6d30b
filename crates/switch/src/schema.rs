//! The Open_vSwitch database's schema, as one annotated table.
//!
//! Names and types are those of Open vSwitch's schema 8.8.0, so that its clients find what they look for and a
//! database of either can be taken to the other. What a column is for stands beside it, for operators: the reference
//! in `docs/database.md` is printed from here, and says of each column whether this switch acts on it yet.
//!
//! A column's type is written in a few words: an atomic type (`string`, `integer`, `boolean`, `ref TABLE` or `weak TABLE`), its
//! limits (`0..255`, `a|b`), for a map `->` and the value's type, and how many there may be: `?` none or one, `*` any
//! number, `+` one or more, `{0,4096}` from to, nothing for exactly one.

mod bridge;
mod control;
mod datapath;
mod interface;
mod monitoring;
mod port;
mod switch;

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

/// Name of the database.
pub const NAME: &str = "Open_vSwitch";
/// Version of the schema.
pub const VERSION: &str = "8.8.0";
/// What Open vSwitch's schema of that version says of itself; clients only compare it.
const CHECKSUM: &str = "2823623553 27869";

/// A table.
pub struct Table {
    /// Its name.
    pub name: &'static str,
    /// Whether its rows stay without being referred to.
    pub root: bool,
    /// Whether it has one row at most.
    pub single: bool,
    /// Columns whose values together are unique.
    pub index: &'static [&'static str],
    /// What a row is.
    pub says: &'static str,
    /// The columns.
    pub columns: &'static [Column],
}

/// A column.
pub struct Column {
    /// Its name.
    pub name: &'static str,
    /// Its type, in the words of this module.
    pub kind: &'static str,
    /// How it is kept, and by whom written.
    pub keeping: Keeping,
    /// Whether the switch acts on it, or fills it, by now.
    pub in_force: bool,
    /// What it is for.
    pub says: &'static str,
}

/// How a column is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keeping {
    /// On disk.
    Durable,
    /// On disk, and never changed after the row was made.
    Immutable,
    /// In memory: the switch fills it anew after a restart.
    Ephemeral,
}

/// A column on disk that the switch acts on, or fills.
const fn column(name: &'static str, kind: &'static str, says: &'static str) -> Column {
    Column { name, kind, keeping: Keeping::Durable, in_force: true, says }
}

impl Column {
    /// Kept in memory only.
    const fn ephemeral(mut self) -> Self {
        self.keeping = Keeping::Ephemeral;
        self
    }

    /// Never changed once made.
    const fn immutable(mut self) -> Self {
        self.keeping = Keeping::Immutable;
        self
    }

    /// Stored, and nothing acts on it yet.
    const fn later(mut self) -> Self {
        self.in_force = false;
        self
    }
}

/// Every table, in the order of the reference.
pub const TABLES: &[&[Table]] = &[
    switch::TABLES,
    bridge::TABLES,
    port::TABLES,
    interface::TABLES,
    control::TABLES,
    datapath::TABLES,
    monitoring::TABLES,
];

/// What operators write in `external_ids` of any table.
const EXTERNAL_IDS: Column = column(
    "external_ids",
    "string -> string *",
    "For the use of those who configure the switch; not looked at.",
);

/// The schema as RFC 7047 section 3.2 has it.
#[must_use]
pub fn json() -> Value {
    let tables: Map<String, Value> = TABLES
        .iter()
        .flat_map(|tables| tables.iter())
        .map(|table| (table.name.to_owned(), table_json(table)))
        .collect();
    json!({ "name": NAME, "version": VERSION, "cksum": CHECKSUM, "tables": tables })
}

fn table_json(table: &Table) -> Value {
    let columns: Map<String, Value> =
        table.columns.iter().map(|column| (column.name.to_owned(), column_json(column))).collect();
    let mut value = json!({ "columns": columns });
    if table.root {
        value["isRoot"] = json!(true);
    }
    if table.single {
        value["maxRows"] = json!(1);
    }
    if !table.index.is_empty() {
        value["indexes"] = json!([table.index]);
    }
    value
}

fn column_json(column: &Column) -> Value {
    let mut value = json!({ "type": type_json(column.kind) });
    match column.keeping {
        Keeping::Durable => {}
        Keeping::Immutable => value["mutable"] = json!(false),
        Keeping::Ephemeral => value["ephemeral"] = json!(true),
    }
    value
}

/// A type in this module's words as RFC 7047 has it.
fn type_json(kind: &str) -> Value {
    let (atoms, count) = match kind.rsplit_once(' ') {
        Some((atoms, "?")) => (atoms, Some((0, json!(1)))),
        Some((atoms, "*")) => (atoms, Some((0, json!("unlimited")))),
        Some((atoms, "+")) => (atoms, Some((1, json!("unlimited")))),
        Some((atoms, "{0,4}")) => (atoms, Some((0, json!(4)))),
        Some((atoms, "{0,4096}")) => (atoms, Some((0, json!(4096)))),
        _ => (kind, None),
    };
    let mut value = match atoms.split_once(" -> ") {
        Some((key, of)) => json!({ "key": base_json(key), "value": base_json(of) }),
        None if count.is_none() && !atoms.contains(' ') => return json!(atoms),
        None => json!({ "key": base_json(atoms) }),
    };
    if let Some((least, most)) = count {
        value["min"] = json!(least);
        value["max"] = most;
    }
    value
}

fn base_json(words: &str) -> Value {
    let Some((kind, limits)) = words.split_once(' ') else { return json!({ "type": words }) };
    match (kind, limits.split_once("..")) {
        ("ref", _) => json!({ "type": "uuid", "refTable": limits }),
        ("weak", _) => json!({ "type": "uuid", "refTable": limits, "refType": "weak" }),
        ("integer", Some((least, most))) => {
            let mut value = json!({ "type": "integer" });
            for (name, limit) in [("minInteger", least), ("maxInteger", most)] {
                if let Ok(limit) = limit.parse::<i64>() {
                    value[name] = json!(limit);
                }
            }
            value
        }
        _ => {
            let choices: Vec<&str> = limits.split('|').collect();
            json!({ "type": kind, "enum": ["set", choices] })
        }
    }
}

/// The reference of tables and columns for operators, in Markdown.
#[must_use]
pub fn reference() -> String {
    let mut text = format!(
        "# The database\n\n\
        What `heddle vsctl` (or `ovs-vsctl`) reads and writes: the database `{NAME}`, schema {VERSION}. Printed by\n\
        `heddle man --database`; columns marked *later* are kept, and nothing acts on them yet.\n"
    );
    for table in TABLES.iter().flat_map(|tables| tables.iter()) {
        let _ = write!(text, "\n## {}\n\n{}\n\n| column | type | |\n|---|---|---|\n", table.name, table.says);
        for column in table.columns {
            let keeping = match column.keeping {
                Keeping::Durable => "",
                Keeping::Immutable => "Set once. ",
                Keeping::Ephemeral => "Filled by the switch. ",
            };
            let later = if column.in_force { "" } else { "*later* " };
            let kind = column.kind.replace('|', "\\|");
            let _ = writeln!(text, "| `{}` | {kind} | {later}{keeping}{} |", column.name, column.says);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_written_as_the_rfc_has_them() {
        let of = |kind| type_json(kind);
        assert_eq!(of("boolean"), json!("boolean"));
        assert_eq!(of("string ?"), json!({ "key": { "type": "string" }, "min": 0, "max": 1 }));
        assert_eq!(
            of("integer 0..4095 -> ref Port *"),
            json!({
                "key": { "type": "integer", "minInteger": 0, "maxInteger": 4095 },
                "value": { "type": "uuid", "refTable": "Port" }, "min": 0, "max": "unlimited"
            })
        );
        assert_eq!(
            of("string a|b ?"),
            json!({ "key": { "type": "string", "enum": ["set", ["a", "b"]] }, "min": 0, "max": 1 })
        );
        assert_eq!(of("integer 1.."), json!({ "key": { "type": "integer", "minInteger": 1 } }));
        assert_eq!(
            of("weak Port +"),
            json!({
                "key": { "type": "uuid", "refTable": "Port", "refType": "weak" }, "min": 1, "max": "unlimited"
            })
        );
    }

    #[test]
    fn every_reference_leads_to_a_table_and_every_index_to_a_column() {
        let tables: Vec<&Table> = TABLES.iter().flat_map(|tables| tables.iter()).collect();
        for table in &tables {
            for column in table.columns {
                let words: Vec<&str> = column.kind.split(' ').collect();
                for pair in words.windows(2).filter(|pair| ["ref", "weak"].contains(&pair[0])) {
                    assert!(
                        tables.iter().any(|table| table.name == pair[1]),
                        "{} {}",
                        table.name,
                        column.name
                    );
                }
                assert!(column.says.ends_with('.'), "{} {}", table.name, column.name);
            }
            for name in table.index {
                assert!(table.columns.iter().any(|column| column.name == *name), "{} {name}", table.name);
            }
        }
    }

    #[test]
    fn the_book_has_the_reference() {
        let book = include_str!("../../../docs/database.md");
        assert!(book == reference(), "print it anew: heddle man --database > docs/database.md");
    }
}
