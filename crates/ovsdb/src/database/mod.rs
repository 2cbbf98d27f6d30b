//! The rows of a database, and transactions on them, RFC 7047 §5.
//!
//! A transaction changes rows in place and keeps what they were; if it fails, that is put back. What a transaction costs
//! depends on the rows that it touches and not on the size of tables: references are counted at the row that is
//! referred to, indexes are hash tables, and garbage is looked for only where a reference went away.
//!
//! ```text
//! operations ──▶ changed rows ──▶ references, garbage, weak references, indexes, maxRows ──▶ record ──▶ Commit
//!  (execute)                                       (commit)                                (storage)
//! ```

mod commit;
mod condition;
mod execute;
mod mutation;
mod record;
mod table;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

pub use condition::{Clause, Comparison, Condition};
pub use execute::{Context, Outcome};
pub(crate) use execute::{column_set, row_to_json};
pub use record::RecordError;
pub use table::{Row, Table};

use crate::schema::Schema;
use crate::types::Uuid;

/// A row before and after a transaction. Rows that are the same before and after are not among its changes.
#[derive(Clone, Debug)]
pub struct Change {
    /// The place of the table in the schema.
    pub table: usize,
    /// The row.
    pub uuid: Uuid,
    /// The row before; `None` if it was inserted.
    pub old: Option<Arc<Row>>,
    /// The row after; `None` if it was deleted.
    pub new: Option<Arc<Row>>,
}

/// For rows by table and UUID, what they were at a time; `None` where there was no row.
pub type Before = BTreeMap<(usize, Uuid), Option<Arc<Row>>>;

/// What a transaction did.
#[derive(Clone, Debug)]
pub struct Commit {
    /// The rows that it changed.
    pub changes: Arc<Vec<Change>>,
}

/// A database: its schema and its rows.
#[derive(Debug)]
pub struct Database {
    schema: Arc<Schema>,
    tables: Vec<Table>,
}

impl Database {
    /// A database without rows.
    pub fn new(schema: Schema) -> Self {
        let tables = (0..schema.tables().len()).map(|index| Table::new(&schema, index)).collect();
        Self { schema: Arc::new(schema), tables }
    }

    /// The schema.
    pub const fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    /// The tables, at the places that the schema gives them.
    pub fn tables(&self) -> &[Table] {
        &self.tables
    }

    /// A table by its name.
    pub fn table(&self, name: &str) -> Option<&Table> {
        self.tables.get(self.schema.table_index(name)?)
    }

    /// A row.
    pub fn row(&self, table: usize, uuid: Uuid) -> Option<&Arc<Row>> {
        self.tables.get(table)?.row(uuid)
    }

    /// How many atoms, rows' cells and weak references it holds, as `memory/show` counts them.
    pub fn usage(&self) -> Usage {
        let mut usage = Usage::default();
        for table in &self.tables {
            usage.weak_refs += table.weak_refs();
            for row in table.rows() {
                usage.cells += row.columns().len();
                usage.atoms += row.columns().iter().map(|d| d.keys().len() + d.values().len()).sum::<usize>();
            }
        }
        usage
    }
}

/// What a database holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Atoms in all columns.
    pub atoms: usize,
    /// Columns of all rows.
    pub cells: usize,
    /// Weak references between rows.
    pub weak_refs: usize,
}
