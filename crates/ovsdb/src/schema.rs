//! What a database consists of: tables and their columns, RFC 7047 §3.2.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use crate::Error;
use crate::parser::{Is, Members, integer, is_id};
use crate::types::{AtomType, BaseType, ColumnType, Constraint, RefType};

/// A database's schema. Tables are in the order of their names.
#[derive(Clone, Debug, PartialEq)]
pub struct Schema {
    /// The database's name.
    pub name: String,
    /// `x.y.z`; empty where an old schema has none.
    pub version: String,
    /// A checksum that the schema's author keeps; empty if there is none.
    pub cksum: String,
    tables: Vec<TableSchema>,
}

/// A table. Columns 0 and 1 are `_uuid` and `_version`; the others follow in the order of their names.
#[derive(Clone, Debug, PartialEq)]
pub struct TableSchema {
    /// The table's name.
    pub name: String,
    /// Whether rows stay without a reference to them.
    pub is_root: bool,
    /// Whether rows may be changed after the transaction that inserted them.
    pub mutable: bool,
    /// The most rows; `u32::MAX` without a limit.
    pub max_rows: u32,
    /// For each index its columns: no two rows have the same values in them.
    pub indexes: Vec<Vec<usize>>,
    columns: Vec<ColumnSchema>,
    by_name: BTreeMap<String, usize>,
}

/// A column.
#[derive(Clone, Debug, PartialEq)]
pub struct ColumnSchema {
    /// The column's name.
    pub name: String,
    /// What it holds.
    pub kind: ColumnType,
    /// Whether it may be changed after the transaction that inserted its row.
    pub mutable: bool,
    /// Whether it survives a restart (not `ephemeral`).
    pub persistent: bool,
}

/// The place of `_uuid` among a table's columns.
pub const UUID_COLUMN: usize = 0;
/// The place of `_version` among a table's columns.
pub const VERSION_COLUMN: usize = 1;
/// How many columns each table has of itself.
pub const STANDARD_COLUMNS: usize = 2;

impl Schema {
    /// The schema of a text.
    ///
    /// # Errors
    /// If it is not JSON, or not a schema.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let json: Value = serde_json::from_str(text)
            .map_err(|error| Error::plain_syntax(format!("error parsing schema: {error}")))?;
        Self::from_json(&json)
    }

    /// The schema of JSON, RFC 7047 §3.2 `<database-schema>`.
    ///
    /// # Errors
    /// If it is not a schema, or refers to a table that is not there.
    pub fn from_json(json: &Value) -> Result<Self, Error> {
        let mut members = Members::new(json, "database schema");
        let name = text(members.required("name", Is::Id));
        let version = text(members.optional("version", Is::String));
        let cksum = text(members.optional("cksum", Is::String));
        let tables = members.required("tables", Is::Object).and_then(Value::as_object);
        members.finish()?;
        if !version.is_empty() && !is_version(&version) {
            return Err(Error::syntax(json, format!("schema version \"{version}\" not in format x.y.z")));
        }
        let mut schema = Self { name, version, cksum, tables: Vec::new() };
        for (name, table) in tables.into_iter().flatten() {
            check_name(name, "table", json)?;
            schema.tables.push(TableSchema::from_json(name, table)?);
        }
        schema.tables.sort_by(|a, b| a.name.cmp(&b.name));
        schema.resolve()?;
        Ok(schema)
    }

    /// Checks references between tables, and gives those columns what they need to hold references truly.
    fn resolve(&mut self) -> Result<(), Error> {
        let roots: BTreeMap<String, bool> =
            self.tables.iter().map(|table| (table.name.clone(), table.is_root)).collect();
        // A schema without a root table is older than garbage collection: all of its tables are roots.
        let all = !roots.values().any(|root| *root);
        for table in &mut self.tables {
            table.is_root |= all;
            for column in &mut table.columns {
                for (what, base) in std::iter::once(("key", &column.kind.key))
                    .chain(column.kind.value.as_ref().map(|base| ("value", base)))
                {
                    let Some(reference) = base.reference() else { continue };
                    let Some(root) = roots.get(&reference.table) else {
                        let text = format!(
                            "column {} {what} refers to undefined table {}",
                            column.name, reference.table
                        );
                        return Err(Error::plain_syntax(text));
                    };
                    match reference.kind {
                        // A row that is kept by this reference alone must not lose it at a restart.
                        RefType::Strong => column.persistent |= !root && !all,
                        // Rows that vanish take their weak references along.
                        RefType::Weak => column.mutable = true,
                    }
                }
            }
        }
        Ok(())
    }

    /// The tables, in the order of their names.
    pub fn tables(&self) -> &[TableSchema] {
        &self.tables
    }

    /// The place of a table.
    pub fn table_index(&self, name: &str) -> Option<usize> {
        self.tables.binary_search_by(|table| table.name.as_str().cmp(name)).ok()
    }

    /// A table by its name.
    pub fn table(&self, name: &str) -> Option<&TableSchema> {
        self.table_index(name).map(|index| &self.tables[index])
    }

    /// The schema's form in JSON.
    pub fn to_json(&self) -> Value {
        // Without roots stated, all are roots; a table is marked only where that is not the whole truth.
        let all = self.tables.iter().all(|table| table.is_root);
        let mut members = Map::new();
        members.insert("name".into(), self.name.as_str().into());
        for (name, text) in [("version", &self.version), ("cksum", &self.cksum)] {
            if !text.is_empty() {
                members.insert(name.into(), text.as_str().into());
            }
        }
        let tables: Map<String, Value> =
            self.tables.iter().map(|table| (table.name.clone(), table.to_json(all))).collect();
        members.insert("tables".into(), tables.into());
        members.into()
    }
}

fn text(json: Option<&Value>) -> String {
    json.and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// Whether `text` is `x.y.z`.
fn is_version(text: &str) -> bool {
    let parts: Vec<&str> = text.split('.').collect();
    parts.len() == 3 && parts.iter().all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()))
}

fn check_name(name: &str, what: &str, json: &Value) -> Result<(), Error> {
    if name.starts_with('_') {
        return Err(Error::syntax(json, "names beginning with \"_\" are reserved"));
    }
    if !is_id(name) {
        return Err(Error::syntax(json, format!("name must be a valid id: {what} \"{name}\"")));
    }
    Ok(())
}

impl TableSchema {
    /// The table of JSON, RFC 7047 §3.2 `<table-schema>`.
    ///
    /// # Errors
    /// If it is not a table.
    pub fn from_json(name: &str, json: &Value) -> Result<Self, Error> {
        let mut members = Members::new(json, format!("table schema for table {name}"));
        let columns = members.required("columns", Is::Object).and_then(Value::as_object);
        let mutable = members.optional("mutable", Is::Boolean).and_then(Value::as_bool).unwrap_or(true);
        let max_rows = members.optional("maxRows", Is::Integer).and_then(integer);
        let is_root = members.optional("isRoot", Is::Boolean).and_then(Value::as_bool).unwrap_or(false);
        let indexes = members.optional("indexes", Is::Array).and_then(Value::as_array);
        members.finish()?;
        let max_rows = match max_rows {
            None => u32::MAX,
            Some(rows) if rows <= 0 => return Err(Error::syntax(json, "maxRows must be at least 1")),
            Some(rows) => u32::try_from(rows).unwrap_or(u32::MAX),
        };
        let columns = columns.into_iter().flatten();
        let mut table = Self::empty(name, mutable, max_rows, is_root);
        for (name, column) in columns {
            check_name(name, "column", json)?;
            table.push(ColumnSchema::from_json(name, column)?);
        }
        if table.columns.len() == STANDARD_COLUMNS {
            return Err(Error::syntax(json, "table must have at least one column"));
        }
        for index in indexes.into_iter().flatten() {
            let index = table.index_from_json(index)?;
            table.indexes.push(index);
        }
        Ok(table)
    }

    fn empty(name: &str, mutable: bool, max_rows: u32, is_root: bool) -> Self {
        let (columns, by_name) = (Vec::new(), BTreeMap::new());
        let mut this =
            Self { name: name.to_owned(), is_root, mutable, max_rows, indexes: Vec::new(), columns, by_name };
        for (name, persistent) in [("_uuid", true), ("_version", false)] {
            let base = BaseType { kind: AtomType::Uuid, constraint: Constraint::None, allowed: Vec::new() };
            let kind = ColumnType::scalar(base);
            this.push(ColumnSchema { name: name.to_owned(), kind, mutable: false, persistent });
        }
        this
    }

    /// Columns come in the order of their names, because a JSON object is kept so.
    fn push(&mut self, column: ColumnSchema) {
        self.by_name.insert(column.name.clone(), self.columns.len());
        self.columns.push(column);
    }

    fn index_from_json(&self, json: &Value) -> Result<Vec<usize>, Error> {
        let wrong = || Error::syntax(json, "array of distinct column names expected");
        let names = json.as_array().ok_or_else(wrong)?;
        let mut seen = BTreeSet::new();
        let mut index = Vec::new();
        for name in names {
            let name = name.as_str().ok_or_else(wrong)?;
            let Some(column) = self.column_index(name) else {
                return Err(Error::syntax(json, format!("{name} is not a valid column name")));
            };
            if !seen.insert(column) {
                return Err(wrong());
            }
            if !self.columns[column].persistent {
                return Err(Error::syntax(
                    json,
                    format!("ephemeral columns (such as {name}) may not be indexed"),
                ));
            }
            index.push(column);
        }
        if index.is_empty() {
            return Err(Error::syntax(json, "index must have at least one column"));
        }
        Ok(index)
    }

    /// All columns, `_uuid` and `_version` first.
    pub fn columns(&self) -> &[ColumnSchema] {
        &self.columns
    }

    /// The columns that the schema names, with their places.
    pub fn own_columns(&self) -> impl Iterator<Item = (usize, &ColumnSchema)> {
        self.columns.iter().enumerate().skip(STANDARD_COLUMNS)
    }

    /// The place of a column, also of `_uuid` and `_version`.
    pub fn column_index(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).copied()
    }

    /// A column by its name, also `_uuid` and `_version`.
    pub fn column(&self, name: &str) -> Option<&ColumnSchema> {
        self.column_index(name).map(|index| &self.columns[index])
    }

    fn to_json(&self, all_are_roots: bool) -> Value {
        let mut members = Map::new();
        let columns: Map<String, Value> =
            self.own_columns().map(|(_, column)| (column.name.clone(), column.to_json())).collect();
        members.insert("columns".into(), columns.into());
        if !self.mutable {
            members.insert("mutable".into(), false.into());
        }
        if self.max_rows != u32::MAX {
            members.insert("maxRows".into(), self.max_rows.into());
        }
        if self.is_root && !all_are_roots {
            members.insert("isRoot".into(), true.into());
        }
        if !self.indexes.is_empty() {
            let name = |column: &usize| Value::from(self.columns[*column].name.as_str());
            let index = |index: &Vec<usize>| Value::from(index.iter().map(name).collect::<Vec<_>>());
            members.insert("indexes".into(), self.indexes.iter().map(index).collect::<Vec<_>>().into());
        }
        members.into()
    }
}

impl ColumnSchema {
    /// The column of JSON, RFC 7047 §3.2 `<column-schema>`.
    ///
    /// # Errors
    /// If it is not a column.
    pub fn from_json(name: &str, json: &Value) -> Result<Self, Error> {
        let mut members = Members::new(json, format!("schema for column {name}"));
        let mutable = members.optional("mutable", Is::Boolean).and_then(Value::as_bool).unwrap_or(true);
        let ephemeral = members.optional("ephemeral", Is::Boolean).and_then(Value::as_bool).unwrap_or(false);
        let kind = members.required("type", Is::Type);
        members.finish()?;
        let kind = ColumnType::from_json(kind.unwrap_or(&Value::Null))?;
        Ok(Self { name: name.to_owned(), kind, mutable, persistent: !ephemeral })
    }

    fn to_json(&self) -> Value {
        let mut members = Map::new();
        members.insert("type".into(), self.kind.to_json());
        if !self.mutable {
            members.insert("mutable".into(), false.into());
        }
        if !self.persistent {
            members.insert("ephemeral".into(), true.into());
        }
        members.into()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn schema(tables: Value) -> Result<Schema, Error> {
        Schema::from_json(&json!({"name": "mydb", "version": "4.2.1", "tables": tables}))
    }

    #[test]
    fn tables_and_columns_are_in_order_of_their_names() {
        let columns = json!({"columns": {"b": {"type": "integer"}, "A": {"type": "string"}}});
        let schema = schema(json!({"t": columns, "S": columns})).unwrap();
        assert_eq!(schema.tables().iter().map(|table| table.name.as_str()).collect::<Vec<_>>(), ["S", "t"]);
        let names: Vec<_> = schema.tables()[0].columns().iter().map(|column| column.name.as_str()).collect();
        assert_eq!(names, ["_uuid", "_version", "A", "b"]);
        assert_eq!(schema.table("t").unwrap().column_index("b"), Some(3));
    }

    #[test]
    fn references_change_what_a_column_is() {
        let uuid = |table, kind| json!({"key": {"type": "uuid", "refTable": table, "refType": kind}});
        let schema = schema(json!({
            "a": {"columns": {
                "kept": {"type": uuid("a", "strong"), "ephemeral": true},
                "root": {"type": uuid("b", "strong"), "ephemeral": true},
                "weak": {"type": uuid("a", "weak"), "mutable": false},
            }},
            "b": {"columns": {"x": {"type": "integer"}}, "isRoot": true},
        }))
        .unwrap();
        let column = |name| schema.table("a").unwrap().column(name).unwrap();
        assert!(column("kept").persistent && !column("root").persistent && column("weak").mutable);
        assert_eq!(Schema::from_json(&schema.to_json()), Ok(schema));
    }

    #[test]
    fn wrong_schemas_are_refused_by_name() {
        let integer = json!({"type": "integer"});
        for (tables, text) in [
            (json!({"t": {"columns": {}}}), "table must have at least one column"),
            (
                json!({"t": {}}),
                "Parsing table schema for table t failed: Required 'columns' member is missing.",
            ),
            (json!({"t": {"columns": {"_c": integer}}}), "names beginning with \"_\" are reserved"),
            (json!({"t": {"columns": {"c": integer}, "maxRows": 0}}), "maxRows must be at least 1"),
            (
                json!({"t": {"columns": {"c": integer}, "indexes": [[]]}}),
                "index must have at least one column",
            ),
            (
                json!({"t": {"columns": {"c": integer}, "indexes": [[0]]}}),
                "array of distinct column names expected",
            ),
            (
                json!({"t": {"columns": {"c": {"type": {"key": {"type": "uuid", "refTable": "u"}}}}}}),
                "syntax error: column c key refers to undefined table u",
            ),
        ] {
            let error = schema(tables).unwrap_err().to_string();
            assert!(error.contains(text), "{error}");
        }
    }
}
