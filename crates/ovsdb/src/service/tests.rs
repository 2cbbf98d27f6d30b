use serde_json::{Value, json};

use super::*;
use crate::database::Database;
use crate::rpc::Framer;
use crate::schema::Schema;
use crate::storage::Memory;

fn service() -> (Service, Memory) {
    let mut count = 0u128;
    let mut service = Service::new(Box::new(move || {
        count += 1;
        Uuid::from_bytes(count.to_be_bytes())
    }));
    let schema = json!({"name": "d", "version": "1.0.0", "tables": {"t": {"columns": {
        "name": {"type": "string"}, "number": {"type": "integer"},
        "set": {"type": {"key": "integer", "min": 0, "max": "unlimited"}}}}}});
    let memory = Memory::default();
    let database = Database::new(Schema::from_json(&schema).unwrap());
    service.add_database(database, Box::new(memory.clone())).unwrap();
    (service, memory)
}

fn output(service: &mut Service, id: SessionId) -> Vec<Message> {
    let mut framer = Framer::default();
    framer.push(&service.output(id));
    std::iter::from_fn(|| framer.next_message()).map(Result::unwrap).collect()
}

fn call(service: &mut Service, id: SessionId, method: &str, params: Value) -> Vec<Message> {
    service.receive(id, Message::request(method, params.as_array().unwrap().clone(), 1), 0);
    while !service.jobs().is_empty() {}
    output(service, id)
}

fn result(service: &mut Service, id: SessionId, method: &str, params: Value) -> Value {
    match call(service, id, method, params).pop() {
        Some(Message::Reply { result, error: Value::Null, .. }) => result,
        Some(Message::Reply { error, .. }) => error,
        other => panic!("{other:?}"),
    }
}

fn insert(name: &str, number: i64) -> Value {
    json!(["d", {"op": "insert", "table": "t", "row": {"name": name, "number": number}}])
}

#[test]
fn what_changed_is_told_before_the_reply() {
    let (mut service, memory) = service();
    let (a, b) = (service.connect(SessionOptions::default()), service.connect(SessionOptions::default()));
    let columns = json!(["d", "m", {"t": {"columns": ["name", "number"]}}]);
    assert_eq!(result(&mut service, a, "monitor", columns.clone()), json!({}));
    assert_eq!(result(&mut service, b, "monitor_cond", columns), json!({}));
    let told = call(&mut service, a, "transact", insert("x", 0));
    let [Message::Notification { method, params }, Message::Reply { result, .. }] = told.as_slice() else {
        panic!("{told:?}");
    };
    let uuid = result[0]["uuid"][1].as_str().unwrap();
    assert_eq!(
        (method.as_str(), &params[1]["t"][uuid]),
        ("update", &json!({"new": {"name": "x", "number": 0}}))
    );
    let told = output(&mut service, b);
    let [Message::Notification { method, params }] = told.as_slice() else { panic!("{told:?}") };
    assert_eq!((method.as_str(), &params[1]["t"][uuid]), ("update2", &json!({"insert": {"name": "x"}})));
    assert_eq!(memory.records().len(), 1);
}

#[test]
fn a_client_that_is_behind_is_told_of_what_is() {
    let (mut service, _) = service();
    let (slow, busy) =
        (service.connect(SessionOptions::default()), service.connect(SessionOptions::default()));
    result(&mut service, slow, "monitor_cond", json!(["d", "m", {"t": {"columns": ["number"]}}]));
    result(&mut service, busy, "transact", insert("x", 0));
    for _ in 0..1_000 {
        let add =
            json!(["d", {"op": "mutate", "table": "t", "where": [], "mutations": [["number", "+=", 1]]}]);
        result(&mut service, busy, "transact", add);
        result(&mut service, busy, "transact", insert("y", 1));
        result(
            &mut service,
            busy,
            "transact",
            json!(["d", {"op": "delete", "table": "t", "where": [["name", "==", "y"]]}]),
        );
    }
    let told = output(&mut service, slow);
    let [Message::Notification { params, .. }] = told.as_slice() else { panic!("{told:?}") };
    let rows: Vec<_> = params[1]["t"].as_object().unwrap().values().collect();
    assert_eq!(rows, [&json!({"insert": {"number": 1000}})]);
}

#[test]
fn conditions_bring_rows_into_view() {
    let (mut service, _) = service();
    let client = service.connect(SessionOptions::default());
    for (name, number) in [("a", 1), ("b", 2), ("c", 3)] {
        result(&mut service, client, "transact", insert(name, number));
    }
    let request = json!(["d", "m", {"t": [{"columns": ["name"], "where": [["number", "<", 2]]}]}]);
    let rows = result(&mut service, client, "monitor_cond", request);
    assert_eq!(rows["t"].as_object().unwrap().len(), 1);
    let change = json!(["m", "n", {"t": [{"where": [["number", ">=", 2]]}]}]);
    let told = call(&mut service, client, "monitor_cond_change", change);
    let Message::Notification { params, .. } = &told[0] else { panic!("{told:?}") };
    assert_eq!(params[0], "n");
    let mut rows: Vec<_> = params[1]["t"].as_object().unwrap().values().map(Value::to_string).collect();
    rows.sort();
    assert_eq!(rows, ["{\"delete\":null}", "{\"insert\":{\"name\":\"b\"}}", "{\"insert\":{\"name\":\"c\"}}"]);
    let update =
        json!(["d", {"op": "update", "table": "t", "where": [["name", "==", "b"]], "row": {"number": 0}}]);
    let told = call(&mut service, client, "transact", update);
    let Message::Notification { params, .. } = &told[0] else { panic!("{told:?}") };
    let rows: Vec<_> = params[1]["t"].as_object().unwrap().values().collect();
    assert_eq!(rows, [&json!({"delete": null})]);
}

#[test]
fn a_client_that_comes_back_is_told_all() {
    let (mut service, _) = service();
    let client = service.connect(SessionOptions::default());
    result(&mut service, client, "transact", insert("a", 1));
    let since = |id: &str, last: &str| json!(["d", id, {"t": [{"columns": ["name"]}]}, last]);
    let zero = Uuid::ZERO.to_string();
    let first = result(&mut service, client, "monitor_cond_since", since("m", &zero));
    assert_eq!((&first[0], first[2]["t"].as_object().unwrap().len()), (&json!(false), 1));
    let told = call(&mut service, client, "transact", insert("b", 1));
    let Message::Notification { method, params } = &told[0] else { panic!("{told:?}") };
    assert_eq!((method.as_str(), &params[1]), ("update3", &json!(zero)));
    let again = service.connect(SessionOptions::default());
    for last in [first[1].as_str().unwrap(), "11111111-1111-1111-1111-111111111111"] {
        let all = result(&mut service, again, "monitor_cond_since", since(last, last));
        assert_eq!((&all[0], &all[1]), (&json!(false), &json!(zero)));
        assert_eq!(all[2]["t"].as_object().unwrap().len(), 2);
    }
}

#[test]
fn waiting_transactions_run_after_changes_or_time_out() {
    let (mut service, _) = service();
    let (a, b) = (service.connect(SessionOptions::default()), service.connect(SessionOptions::default()));
    let wait = json!(["d", {"op": "wait", "table": "t", "where": [["name", "==", "x"]], "columns": ["number"],
        "until": "==", "rows": [{"number": 7}], "timeout": 10}]);
    assert_eq!(call(&mut service, a, "transact", wait.clone()), []);
    assert_eq!(service.deadline(), Some(10));
    result(&mut service, b, "transact", insert("x", 7));
    assert!(matches!(output(&mut service, a).as_slice(), [Message::Reply { error: Value::Null, .. }]));
    result(&mut service, b, "transact", json!(["d", {"op": "delete", "table": "t", "where": []}]));
    call(&mut service, a, "transact", wait.clone());
    service.tick(10);
    let told = output(&mut service, a);
    let [Message::Reply { result, .. }] = told.as_slice() else { panic!("{told:?}") };
    assert_eq!(result[0], json!({"error": "timed out", "details": "\"wait\" timed out after 10 ms"}));
    call(&mut service, a, "transact", wait);
    service.receive(a, Message::notification("cancel", vec![1.into()]), 3);
    assert_eq!(output(&mut service, a), [Message::error("canceled".into(), 1.into())]);
}

#[test]
fn locks_pass_from_client_to_client() {
    let (mut service, _) = service();
    let clients: Vec<_> = (0..3).map(|_| service.connect(SessionOptions::default())).collect();
    let (a, b, c) = (clients[0], clients[1], clients[2]);
    assert_eq!(result(&mut service, a, "lock", json!(["l"])), json!({"locked": true}));
    assert_eq!(result(&mut service, b, "lock", json!(["l"])), json!({"locked": false}));
    assert_eq!(result(&mut service, c, "steal", json!(["l"])), json!({"locked": true}));
    assert_eq!(output(&mut service, a), [Message::notification("stolen", vec!["l".into()])]);
    service.disconnect(c);
    assert_eq!(output(&mut service, a), [Message::notification("locked", vec!["l".into()])]);
    result(&mut service, a, "unlock", json!(["l"]));
    assert_eq!(output(&mut service, b), [Message::notification("locked", vec!["l".into()])]);
    let own = json!(["d", {"op": "assert", "lock": "l"}]);
    assert_eq!(result(&mut service, b, "transact", own.clone()), json!([{}]));
    assert_eq!(result(&mut service, a, "transact", own)[0]["error"], "not owner");
}

#[test]
fn the_server_database_tells_of_the_others() {
    let (mut service, memory) = service();
    let client = service.connect(SessionOptions::default());
    let names =
        json!(["_Server", {"op": "select", "table": "Database", "where": [], "columns": ["name", "model"]}]);
    let rows = result(&mut service, client, "transact", names.clone());
    let named = |name: &str| json!({"name": name, "model": "standalone"});
    let mut found = rows[0]["rows"].as_array().unwrap().clone();
    found.sort_by_key(Value::to_string);
    assert_eq!(found, [named("_Server"), named("d")]);
    let write = json!(["_Server", {"op": "delete", "table": "Database", "where": []}]);
    assert_eq!(result(&mut service, client, "transact", write)[0]["error"], "not allowed");
    result(&mut service, client, "transact", insert("x", 5));
    result(&mut service, client, "set_db_change_aware", json!([true]));
    result(&mut service, client, "monitor", json!(["d", "m", {"t": {}}]));
    let schema = json!({"name": "d", "version": "2.0.0", "tables": {"t": {"columns": {"number": {"type": "integer"}}}}});
    let told = call(&mut service, client, "convert", json!(["d", schema]));
    assert_eq!(told[0], Message::notification("monitor_canceled", vec!["m".into()]));
    assert_eq!(memory.records().len(), 1);
    let all = json!(["d", {"op": "select", "table": "t", "where": [], "columns": ["number"]}]);
    assert_eq!(result(&mut service, client, "transact", all)[0]["rows"], json!([{"number": 5}]));
    service.remove_database("d").unwrap();
    assert_eq!(result(&mut service, client, "transact", names)[0]["rows"], json!([named("_Server")]));
    assert_eq!(result(&mut service, client, "list_dbs", json!([])), json!(["_Server"]));
}

#[test]
fn what_a_client_may_have_is_bounded() {
    let (mut service, _) = service();
    let client = service.connect(SessionOptions::default());
    let wait =
        json!(["d", {"op": "wait", "table": "t", "where": [], "until": "==", "rows": [{"name": "x"}]}]);
    for _ in 0..MAX_WAITING {
        assert_eq!(call(&mut service, client, "transact", wait.clone()), []);
    }
    assert_eq!(result(&mut service, client, "transact", wait)["error"], "resources exhausted");
    service.receive(client, Message::request("echo", vec!["x".repeat(MAX_BACKLOG).into()], 1), 0);
    assert!(service.is_behind(client, 0));
    output(&mut service, client);
    assert!(!service.is_behind(client, 0));
}

#[test]
fn a_durable_reply_waits_for_the_disk() {
    struct Slow;
    impl crate::storage::Storage for Slow {
        fn append(&mut self, _: &Value) -> std::io::Result<()> {
            Ok(())
        }
        fn sync(&mut self) -> Option<Job> {
            Some(Box::new(|| Ok(())))
        }
        fn replace(&mut self, _: &Schema, _: Option<&Value>, _: &str) -> std::io::Result<()> {
            Ok(())
        }
        fn wants_replacing(&mut self) -> bool {
            false
        }
    }
    let (mut service, _) = service();
    let schema =
        Schema::parse(r#"{"name":"e","tables":{"t":{"columns":{"n":{"type":"integer"}}}}}"#).unwrap();
    service.add_database(Database::new(schema), Box::new(Slow)).unwrap();
    let client = service.connect(SessionOptions::default());
    let durable = vec![
        "e".into(),
        json!({"op": "insert", "table": "t", "row": {}}),
        json!({"op": "commit", "durable": true}),
    ];
    for id in 1..=3 {
        service.receive(client, Message::request("transact", durable.clone(), id), 0);
    }
    assert_eq!(output(&mut service, client), []);
    assert_eq!(service.jobs().len(), 1, "one job for all");
    service.receive(client, Message::request("transact", durable, 4), 0);
    assert_eq!(service.jobs().len(), 0, "one job at a time");
    service.synced("e", Ok(()));
    assert_eq!(output(&mut service, client).len(), 3);
    assert_eq!(service.jobs().len(), 1);
    service.synced("e", Err(std::io::ErrorKind::StorageFull.into()));
    let told = output(&mut service, client);
    let [Message::Reply { result, .. }] = told.as_slice() else { panic!("{told:?}") };
    assert_eq!(result[0]["error"], "I/O error");
}
