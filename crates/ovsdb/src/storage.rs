//! Where a database is kept: a trait, and a store in memory that can be made to fail.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;

use crate::schema::Schema;

/// Work that may block, to be done away from the thread that serves clients.
pub type Job = Box<dyn FnOnce() -> io::Result<()> + Send>;

/// A place where records of transactions are kept in order.
pub trait Storage: Send {
    /// Adds a record. It need not be on the disk when this returns.
    ///
    /// # Errors
    /// If it could not be added; then nothing of it may be found later.
    fn append(&mut self, record: &Value) -> io::Result<()>;

    /// What puts all that was added so far on the disk; `None` if it is already as safe as it gets.
    fn sync(&mut self) -> Option<Job>;

    /// Replaces all records by a snapshot, in one step that a crash does not divide.
    ///
    /// # Errors
    /// If it could not be replaced; then the old records stay.
    fn replace(&mut self, schema: &Schema, snapshot: Option<&Value>, comment: &str) -> io::Result<()>;

    /// Whether the records take so much more room than a snapshot that they should be replaced now.
    fn wants_replacing(&mut self) -> bool;
}

/// A store in memory. Copies share what is stored.
#[derive(Clone, Debug, Default)]
pub struct Memory(Arc<Mutex<Stored>>);

#[derive(Debug, Default)]
struct Stored {
    records: Vec<Value>,
    failures: usize,
}

impl Memory {
    fn stored(&self) -> std::sync::MutexGuard<'_, Stored> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was added since the last snapshot, the snapshot first.
    pub fn records(&self) -> Vec<Value> {
        self.stored().records.clone()
    }

    /// Makes the next additions and replacements fail.
    pub fn fail(&self, times: usize) {
        self.stored().failures = times;
    }

    fn check(stored: &mut Stored) -> io::Result<()> {
        if stored.failures == 0 {
            return Ok(());
        }
        stored.failures -= 1;
        Err(io::Error::from(io::ErrorKind::StorageFull))
    }
}

impl Storage for Memory {
    fn append(&mut self, record: &Value) -> io::Result<()> {
        let mut stored = self.stored();
        Self::check(&mut stored)?;
        stored.records.push(record.clone());
        Ok(())
    }

    fn sync(&mut self) -> Option<Job> {
        None
    }

    fn replace(&mut self, _: &Schema, snapshot: Option<&Value>, _: &str) -> io::Result<()> {
        let mut stored = self.stored();
        Self::check(&mut stored)?;
        stored.records = snapshot.cloned().into_iter().collect();
        Ok(())
    }

    fn wants_replacing(&mut self) -> bool {
        false
    }
}

/// A store that keeps nothing, for databases that live as long as the process.
#[derive(Clone, Copy, Debug, Default)]
pub struct Nothing;

impl Storage for Nothing {
    fn append(&mut self, _: &Value) -> io::Result<()> {
        Ok(())
    }

    fn sync(&mut self) -> Option<Job> {
        None
    }

    fn replace(&mut self, _: &Schema, _: Option<&Value>, _: &str) -> io::Result<()> {
        Ok(())
    }

    fn wants_replacing(&mut self) -> bool {
        false
    }
}
