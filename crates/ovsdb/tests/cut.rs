//! A database file that is cut at any byte holds exactly the transactions that are whole, and can be written on. Once it
//! was opened to be written, Open vSwitch's `ovsdb-tool` reads the same rows in it.
#![allow(missing_docs, clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::process::Command;

use heddle_ovsdb::database::{Context, Database, Outcome};
use heddle_ovsdb::file::{self, Mode};
use heddle_ovsdb::schema::Schema;
use heddle_ovsdb::storage::Storage;
use heddle_ovsdb::types::Uuid;
use serde_json::{Value, json};

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("heddle-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn uuids() -> impl FnMut() -> Uuid {
    let mut count = 0u128;
    move || {
        count += 1;
        Uuid::from_bytes(count.to_be_bytes())
    }
}

fn transact(database: &mut Database, storage: Option<&mut dyn Storage>, operations: &Value) -> Value {
    let mut fresh = uuids();
    let mut storage = storage;
    let mut store = |record: &Value, _| {
        if let Some(storage) = &mut storage {
            storage.append(record).unwrap();
        }
        Ok(())
    };
    let mut context =
        Context { uuids: &mut fresh, owns_lock: &|_| false, read_only: false, elapsed: 0, store: &mut store };
    match database.execute(operations.as_array().unwrap(), &mut context) {
        Outcome::Done { result, .. } => result,
        Outcome::Wait(_) => panic!("nothing waits"),
    }
}

const ALL: [&str; 2] = ["name", "number"];

fn rows(database: &mut Database) -> Value {
    let select = json!([{"op": "select", "table": "t", "where": [], "columns": ALL, "sort": ALL}]);
    transact(database, None, &select)[0]["rows"].clone()
}

/// A file of some kB, and after each of its records where that ends and which rows there are.
fn written(path: &Path) -> Vec<(u64, Value)> {
    let schema = json!({"name": "d", "version": "1.0.0", "tables": {"t": {"columns": {
        "name": {"type": "string"}, "number": {"type": "integer"}}}}});
    file::create(path, &Schema::from_json(&schema).unwrap()).unwrap();
    let opened = file::open(path, Mode::Write, None, &mut uuids()).unwrap();
    let (mut database, mut storage) = (opened.database, opened.storage.unwrap());
    let mut states = vec![(storage.length(), rows(&mut database))];
    for step in 0..7 {
        let uuid = format!("00000000-0000-4000-8000-0000000000{step:02}");
        let insert = json!({"op": "insert", "table": "t", "uuid": uuid,
            "row": {"name": "\u{e9}{\"\\".repeat(step), "number": step}});
        let other = match step % 3 {
            2 => json!({"op": "delete", "table": "t", "where": [["number", "==", 0]]}),
            _ => json!({"op": "mutate", "table": "t", "where": [], "mutations": [["number", "+=", 1]]}),
        };
        let result = transact(&mut database, Some(&mut storage), &json!([insert, other]));
        assert!(result[1]["count"].is_u64(), "{result}");
        states.push((storage.length(), rows(&mut database)));
    }
    states
}

/// The rows as Open vSwitch's tool reads them; `None` if it refuses the file.
fn stock_rows(path: &Path) -> Option<Value> {
    let query = json!(["d", {"op": "select", "table": "t", "where": [], "columns": ALL, "sort": ALL}]);
    let output = Command::new("ovsdb-tool").arg("query").arg(path).arg(query.to_string()).output().unwrap();
    if !output.status.success() {
        return None;
    }
    Some(serde_json::from_slice::<Value>(&output.stdout).unwrap()[0]["rows"].clone())
}

#[test]
fn a_file_that_is_cut_anywhere_holds_a_prefix() {
    let folder = Folder::new("cut");
    let path = folder.0.join("db");
    let states = written(&path);
    let whole = std::fs::read(&path).unwrap();
    let stock = Command::new("ovsdb-tool").arg("--version").output().is_ok();
    if !stock {
        eprintln!("SKIPPED: ovsdb-tool is not installed (Debian: apt install openvswitch-common)");
    }
    let cut = folder.0.join("cut");
    for length in 0..=whole.len() {
        std::fs::write(&cut, &whole[..length]).unwrap();
        let expected = states.iter().rev().find(|(end, _)| *end <= length as u64);
        let opened = file::open(&cut, Mode::Write, None, &mut uuids());
        let Some((end, rows_then)) = expected else {
            assert!(opened.is_err(), "cut at {length}, within the schema");
            assert!(!stock || stock_rows(&cut).is_none(), "stock, cut at {length}, within the schema");
            continue;
        };
        let opened = opened.unwrap();
        assert_eq!(opened.torn.is_some(), *end != length as u64, "cut at {length}");
        let (mut database, mut storage) = (opened.database, opened.storage.unwrap());
        assert_eq!(&rows(&mut database), rows_then, "cut at {length}");
        // Open vSwitch's tool refuses a torn file; the open has made it whole.
        if stock {
            assert_eq!(stock_rows(&cut).as_ref(), Some(rows_then), "stock, cut at {length}");
        }
        // What is written next follows what was whole.
        let more = json!([{"op": "insert", "table": "t", "row": {"name": "more", "number": -1}}]);
        transact(&mut database, Some(&mut storage), &more);
        let after = rows(&mut database);
        drop(storage);
        let again = file::open(&cut, Mode::Read, None, &mut uuids()).unwrap();
        let mut database = again.database;
        assert!(again.torn.is_none() && rows(&mut database) == after, "written on after a cut at {length}");
    }
    eprintln!("cut at each of {} bytes", whole.len());
}
