use serde_json::{Value, json};

use super::*;
use crate::Error;

/// A database of a bridge-like schema, with UUIDs that count up, and the records that it wrote.
struct Bench {
    database: Database,
    count: u8,
    records: Vec<Value>,
    fail: bool,
}

fn schema() -> Schema {
    let to = |table: &str, kind: &str| json!({"type": "uuid", "refTable": table, "refType": kind});
    let set = |base: Value| json!({"type": {"key": base, "min": 0, "max": "unlimited"}});
    Schema::from_json(&json!({"name": "d", "version": "1.0.0", "tables": {
        "root": {"isRoot": true, "columns": {
            "name": {"type": "string"},
            "ports": set(to("port", "strong")),
            "seen": set(to("port", "weak")),
            "first": {"type": {"key": to("port", "weak"), "min": 0}},
            "map": {"type": {"key": "string", "value": "integer", "min": 0, "max": "unlimited"}},
            "fixed": {"type": "integer", "mutable": false},
            "now": {"type": "integer", "ephemeral": true},
            "few": {"type": {"key": "integer", "min": 1, "max": 2}},
        }, "indexes": [["name"]], "maxRows": 3},
        "port": {"columns": {"tag": {"type": {"key": {"type": "integer", "minInteger": 0, "maxInteger": 4095}}},
            "peer": set(to("port", "strong"))}},
        "must": {"isRoot": true, "columns": {"port": {"type": {"key": to("port", "weak")}}}},
    }}))
    .unwrap()
}

impl Bench {
    fn new() -> Self {
        Self { database: Database::new(schema()), count: 0, records: Vec::new(), fail: false }
    }

    fn outcome(&mut self, operations: &Value) -> Outcome {
        let Self { database, count, records, fail } = self;
        let mut uuids = || {
            *count += 1;
            Uuid::from_bytes([*count; 16])
        };
        let mut store = |record: &Value, _| {
            if *fail {
                return Err(Error::new("I/O error", "full"));
            }
            records.push(record.clone());
            Ok(())
        };
        let mut context = Context {
            uuids: &mut uuids,
            owns_lock: &|lock| lock == "mine",
            read_only: false,
            elapsed: 0,
            store: &mut store,
        };
        database.execute(operations.as_array().unwrap(), &mut context)
    }

    fn run(&mut self, operations: Value) -> Value {
        match self.outcome(&operations) {
            Outcome::Done { result, .. } => result,
            Outcome::Wait(until) => json!({"wait": until}),
        }
    }

    /// The details of the error that the transaction ends with.
    fn error(&mut self, operations: Value) -> String {
        let before = self.rows();
        let result = self.run(operations);
        assert_eq!(self.rows(), before, "a failed transaction changes nothing");
        let error = result.as_array().unwrap().iter().find(|result| result.get("error").is_some());
        let error = error.unwrap_or_else(|| panic!("{result}"));
        format!("{}: {}", error["error"].as_str().unwrap(), error["details"].as_str().unwrap_or_default())
    }

    fn rows(&self) -> Vec<Vec<Arc<Row>>> {
        self.database.tables().iter().map(|table| table.rows().cloned().collect()).collect()
    }

    fn count(&self, table: &str) -> usize {
        self.database.table(table).unwrap().len()
    }

    fn select(&mut self, table: &str, columns: Value) -> Value {
        self.run(json!([{"op": "select", "table": table, "where": [], "columns": columns}]))[0]["rows"]
            .clone()
    }
}

fn insert(table: &str, row: Value, name: &str) -> Value {
    json!({"op": "insert", "table": table, "row": row, "uuid-name": name})
}

#[test]
fn rows_stay_as_long_as_something_refers_to_them() {
    let mut bench = Bench::new();
    bench.run(json!([insert("port", json!({}), "p")]));
    assert_eq!(bench.count("port"), 0, "nothing refers to it");
    bench.run(json!([
        insert(
            "root",
            json!({"name": "r", "ports": ["set", [["named-uuid", "p"]]], "seen": ["named-uuid", "p"]}),
            "r"
        ),
        insert("port", json!({"peer": ["named-uuid", "q"]}), "p"),
        insert("port", json!({}), "q"),
    ]));
    assert_eq!(bench.count("port"), 2);
    let error = bench.error(json!([{"op": "delete", "table": "port", "where": []}]));
    assert!(error.starts_with("referential integrity violation: cannot delete port row "), "{error}");
    assert!(error.ends_with("because of 1 remaining reference(s)"), "{error}");
    bench.run(json!([{"op": "update", "table": "root", "where": [], "row": {"ports": ["set", []]}}]));
    assert_eq!(bench.count("port"), 0, "the second is kept by the first alone");
    assert_eq!(bench.select("root", json!(["seen"])), json!([{"seen": ["set", []]}]));
    assert!(bench.database.tables().iter().all(|table| table.references.is_empty()));
}

#[test]
fn a_row_does_not_keep_itself() {
    let mut bench = Bench::new();
    bench.run(json!([insert("port", json!({"peer": ["named-uuid", "p"]}), "p")]));
    assert_eq!(bench.count("port"), 0);
    bench.run(json!([
        insert("port", json!({"peer": ["named-uuid", "q"]}), "p"),
        insert("port", json!({"peer": ["named-uuid", "p"]}), "q"),
    ]));
    assert_eq!(bench.count("port"), 2, "two keep each other");
    bench.run(json!([{"op": "mutate", "table": "port", "where": [["_uuid", "==", ["uuid", "06060606-0606-0606-0606-060606060606"]]],
        "mutations": [["peer", "delete", ["set", []]]]}, {"op": "update", "table": "port", "where": [], "row": {"peer": ["set", []]}}]));
    assert_eq!(bench.count("port"), 0);
}

#[test]
fn constraints_hold() {
    let mut bench = Bench::new();
    bench.run(json!([insert("root", json!({"name": "a"}), "a")]));
    for (operations, text) in [
        (
            json!([insert("root", json!({"name": "a"}), "b")]),
            "constraint violation: Transaction causes multiple rows in \"root\" table to have identical values (a) for \
             index on column \"name\".",
        ),
        (
            json!([
                insert("root", json!({"name": "x"}), "b"),
                insert("root", json!({"name": "y"}), "c"),
                insert("root", json!({"name": "z"}), "d")
            ]),
            "constraint violation: transaction causes \"root\" table to contain 4 rows, greater than the \
             schema-defined limit of 3 row(s)",
        ),
        (
            json!([{"op": "update", "table": "root", "where": [], "row": {"fixed": 1}}]),
            "constraint violation: Cannot update immutable column fixed in table root.",
        ),
        (
            json!([{"op": "mutate", "table": "root", "where": [], "mutations": [["few", "delete", 0]]}]),
            "constraint violation: Attempted to store 0 elements in set of 1 to 2 integers.",
        ),
        (
            json!([insert("must", json!({}), "m")]),
            "constraint violation: Weak reference column \"port\" in \"must\" row ",
        ),
        (
            json!([insert(
                "root",
                json!({"name": "n", "ports": ["uuid", "11111111-1111-1111-1111-111111111111"]}),
                "n"
            )]),
            "referential integrity violation: Table root column ports row ",
        ),
        (json!([insert("root", json!({}), "b"), {"op": "abort"}]), "aborted: aborted by request"),
        (json!([{"op": "assert", "lock": "yours"}]), "not owner: Asserted lock yours not held."),
        (
            json!([
                insert("root", json!({"ports": ["named-uuid", "p"]}), "r"),
                insert("port", json!({"tag": 5000}), "p")
            ]),
            "constraint violation: 5000 is not in the valid range 0 to 4095 (inclusive)",
        ),
        (
            json!([{"op": "mutate", "table": "root", "where": [], "mutations": [["now", "/=", 0]]}]),
            "domain error: Division by zero.",
        ),
    ] {
        let error = bench.error(operations);
        assert!(error.starts_with(text), "{error}");
    }
    assert_eq!(bench.run(json!([{"op": "assert", "lock": "mine"}])), json!([{}]));
}

#[test]
fn an_index_is_asked_at_the_end_of_a_transaction() {
    let mut bench = Bench::new();
    bench.run(json!([insert("root", json!({"name": "a"}), "a"), insert("root", json!({"name": "b"}), "b")]));
    let rename = |from: &str, to: &str| json!({"op": "update", "table": "root", "where": [["name", "==", from]], "row": {"name": to}});
    let done = bench.run(json!([rename("a", "x"), rename("b", "a"), rename("x", "b")]));
    assert_eq!(done, json!([{"count": 1}, {"count": 1}, {"count": 1}]));
    assert!(bench.error(json!([rename("a", "b")])).contains("had the following index values before"));
    assert_eq!(bench.run(json!([rename("a", "c"), rename("c", "a")])), json!([{"count": 1}, {"count": 1}]));
    bench.run(json!([{"op": "delete", "table": "root", "where": [["name", "==", "a"]]}]));
    assert_eq!(bench.run(json!([insert("root", json!({"name": "a"}), "a")])).as_array().unwrap().len(), 1);
}

#[test]
fn waits_hold_or_wait_or_time_out() {
    let mut bench = Bench::new();
    let wait = |timeout: Value, until: &str| {
        json!([{"op": "wait", "table": "root", "where": [], "columns": ["name"], "until": until,
            "rows": [{"name": "a"}], "timeout": timeout}])
    };
    assert_eq!(bench.run(wait(json!(5), "==")), json!({"wait": 5}));
    assert_eq!(bench.run(wait(json!(5), "!=")), json!([{}]));
    assert_eq!(bench.error(wait(json!(0), "==")), "timed out: \"where\" clause test failed");
    bench.run(json!([insert("root", json!({"name": "a"}), "a")]));
    assert_eq!(bench.run(wait(json!(0), "==")), json!([{}]));
}

#[test]
fn what_cannot_be_stored_is_not_done() {
    let mut bench = Bench::new();
    let both = json!([
        insert("root", json!({"name": "a", "ports": ["named-uuid", "p"]}), "a"),
        insert("port", json!({}), "p"),
    ]);
    bench.fail = true;
    assert_eq!(bench.error(both.clone()), "I/O error: full");
    bench.fail = false;
    assert_eq!(bench.run(both).as_array().unwrap().len(), 2);
    assert!(bench.error(json!([{"op": "delete", "table": "port", "where": []}])).contains("1 remaining"));
}

#[test]
fn records_are_replayed_to_the_same_rows() {
    let mut bench = Bench::new();
    bench.run(json!([
        insert(
            "root",
            json!({"name": "a", "ports": ["named-uuid", "p"], "now": 5, "map": ["map", [["x", 1]]]}),
            "a"
        ),
        insert("port", json!({"tag": 7}), "p"),
    ]));
    bench.run(json!([{"op": "update", "table": "root", "where": [], "row": {"now": 6}}]));
    assert_eq!(bench.records.len(), 1, "ephemeral columns are not recorded");
    bench.run(json!([{"op": "mutate", "table": "root", "where": [], "mutations":
        [["map", "insert", ["map", [["y", 2]]]], ["map", "delete", ["set", ["x"]]], ["few", "insert", 3]]}]));
    assert_eq!(bench.records[1]["_is_diff"], true);
    // A column that must have a value is not empty by default, and yet is replaced by what a new row says.
    bench.run(json!([insert("root", json!({"name": "b", "few": ["set", [4, 5]]}), "b")]));
    bench.run(json!([{"op": "update", "table": "root", "where": [["name", "==", "b"]], "row": {"few": 4}}]));
    let mut again = Database::new(schema());
    let mut uuids = || Uuid::ZERO;
    for record in &bench.records {
        again.replay(record, false).unwrap();
    }
    again.finish_replay(&mut uuids).unwrap();
    let mut snapshot = Database::new(schema());
    snapshot.replay(&bench.database.snapshot().unwrap(), false).unwrap();
    snapshot.finish_replay(&mut uuids).unwrap();
    assert_eq!(again.snapshot(), bench.database.snapshot());
    assert_eq!(snapshot.snapshot(), bench.database.snapshot());
    assert_eq!(again.table("root").unwrap().indexes[0].len(), 2);
    let strong: usize = again.table("port").unwrap().references.values().map(|to| to.strong).sum();
    assert_eq!(strong, 1);
}

#[test]
fn a_transaction_costs_what_it_touches() {
    let mut bench = Bench::new();
    bench.run(json!([insert("root", json!({"name": "a"}), "a")]));
    let add = json!([
        {"op": "insert", "table": "port", "row": {}, "uuid-name": "p"},
        {"op": "mutate", "table": "root", "where": [["name", "==", "a"]],
            "mutations": [["ports", "insert", ["set", [["named-uuid", "p"]]]]]},
    ]);
    let mut count = 0u128;
    let start = std::time::Instant::now();
    for _ in 0..2_000 {
        let mut uuids = || {
            count += 1;
            Uuid::from_bytes(count.to_be_bytes())
        };
        let mut store = |_: &Value, _| Ok(());
        let mut context = Context {
            uuids: &mut uuids,
            owns_lock: &|_| false,
            read_only: false,
            elapsed: 0,
            store: &mut store,
        };
        bench.database.execute(add.as_array().unwrap(), &mut context);
    }
    assert_eq!(bench.count("port"), 2_000);
    assert!(start.elapsed().as_secs() < 20, "{:?}", start.elapsed());
}
