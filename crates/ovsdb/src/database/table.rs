//! Rows, and what is kept beside them: references to them, and indexes.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::schema::{Schema, TableSchema, UUID_COLUMN, VERSION_COLUMN};
use crate::types::{Atom, Datum, RefType, Uuid};

/// A row: what its columns hold, at the places that the table's schema gives them. Copies share what is the same.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    columns: Vec<Arc<Datum>>,
}

impl Row {
    fn template(schema: &TableSchema) -> Self {
        Self {
            columns: schema.columns().iter().map(|column| Arc::new(column.kind.default_datum())).collect(),
        }
    }

    /// The row's UUID.
    pub fn uuid(&self) -> Uuid {
        self.columns[UUID_COLUMN].as_uuid().unwrap_or_default()
    }

    /// What a column holds.
    pub fn datum(&self, column: usize) -> &Datum {
        &self.columns[column]
    }

    /// All columns.
    pub fn columns(&self) -> &[Arc<Datum>] {
        &self.columns
    }

    pub(super) fn set(&mut self, column: usize, datum: Datum) {
        self.columns[column] = Arc::new(datum);
    }

    pub(super) fn datum_mut(&mut self, column: usize) -> &mut Datum {
        Arc::make_mut(&mut self.columns[column])
    }

    /// Whether a column is the same in both rows; quick where they share it.
    pub fn same(&self, other: &Self, column: usize) -> bool {
        let (a, b) = (&self.columns[column], &other.columns[column]);
        Arc::ptr_eq(a, b) || a == b
    }

    /// Whether all columns but `_version` are the same.
    pub fn same_but_version(&self, other: &Self) -> bool {
        (0..self.columns.len()).all(|column| column == VERSION_COLUMN || self.same(other, column))
    }
}

/// A column whose keys or values refer to rows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Referring {
    pub(super) column: usize,
    /// Whether a map's values refer, rather than the keys.
    pub(super) values: bool,
    pub(super) target: usize,
    pub(super) kind: RefType,
}

/// References to one row.
#[derive(Debug, Default)]
pub(super) struct References {
    /// How many strong ones; those of the row to itself do not count.
    pub(super) strong: usize,
    /// For each row with weak ones, how many.
    pub(super) weak: BTreeMap<(usize, Uuid), usize>,
}

/// What a row has in an index's columns.
pub(super) type IndexKey = Vec<Arc<Datum>>;

/// A table's rows.
#[derive(Debug)]
pub struct Table {
    /// A row in which nothing was said; new ones share its columns.
    template: Row,
    pub(super) rows: BTreeMap<Uuid, Arc<Row>>,
    /// Only of rows that are referred to.
    pub(super) references: HashMap<Uuid, References>,
    pub(super) referring: Vec<Referring>,
    /// For each index of the schema, which row has the values.
    pub(super) indexes: Vec<HashMap<IndexKey, Uuid>>,
}

impl Table {
    pub(super) fn new(schema: &Schema, index: usize) -> Self {
        let table = &schema.tables()[index];
        let mut referring = Vec::new();
        for (column, definition) in table.own_columns() {
            for (values, base) in definition.kind.base_types().enumerate().map(|(at, base)| (at == 1, base)) {
                if let Some(reference) = base.reference()
                    && let Some(target) = schema.table_index(&reference.table)
                {
                    referring.push(Referring { column, values, target, kind: reference.kind });
                }
            }
        }
        Self {
            template: Row::template(table),
            rows: BTreeMap::new(),
            references: HashMap::new(),
            referring,
            indexes: table.indexes.iter().map(|_| HashMap::new()).collect(),
        }
    }

    /// A row in which nothing was said.
    pub(super) fn fresh_row(&self, uuid: Uuid) -> Row {
        let mut row = self.template.clone();
        row.set(UUID_COLUMN, Datum::scalar(uuid));
        row
    }

    /// How many rows.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The rows, in the order of their UUIDs.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = &Arc<Row>> {
        self.rows.values()
    }

    /// A row.
    pub fn row(&self, uuid: Uuid) -> Option<&Arc<Row>> {
        self.rows.get(&uuid)
    }

    pub(super) fn weak_refs(&self) -> usize {
        self.references.values().map(|to| to.weak.values().sum::<usize>()).sum()
    }

    pub(super) fn index_key(row: &Row, index: &[usize]) -> IndexKey {
        index.iter().map(|column| Arc::clone(&row.columns[*column])).collect()
    }

    /// The references of `row` by one column, as atoms.
    pub(super) fn atoms(row: &Row, referring: Referring) -> &[Atom] {
        let datum = row.datum(referring.column);
        if referring.values { datum.values() } else { datum.keys() }
    }
}
