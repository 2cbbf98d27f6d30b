//! A replica against a server that is played by hand.

use serde_json::{Value, json};

use super::*;
use crate::types::{Atom, Datum};

fn wanted() -> Wanted {
    Wanted {
        database: "d".into(),
        tables: vec![("t".into(), vec!["name".into(), "tags".into(), "absent".into()])],
        lock: Some("l".into()),
        probe_ms: 100,
    }
}

fn schema() -> Value {
    json!({"name": "d", "version": "1.0.0", "tables": {"t": {"columns": {
        "name": {"type": "string"},
        "n": {"type": "integer"},
        "tags": {"type": {"key": "integer", "min": 0, "max": "unlimited"}},
        "others": {"type": {"key": {"type": "uuid", "refTable": "t"}, "min": 0, "max": "unlimited"}},
    }}}})
}

const ROW: &str = "00000000-0000-4000-8000-000000000001";

fn sent(replica: &mut Replica) -> Vec<Value> {
    let bytes = replica.take_output();
    serde_json::Deserializer::from_slice(&bytes).into_iter().map(Result::unwrap).collect()
}

fn tell(replica: &mut Replica, message: Value) {
    replica.receive(message.to_string().as_bytes(), 0);
}

fn reply(replica: &mut Replica, to: &Value, result: Value) {
    tell(replica, json!({"id": to["id"], "result": result, "error": null}));
}

fn refuse(replica: &mut Replica, to: &Value) {
    tell(replica, json!({"id": to["id"], "result": null, "error": "unknown method"}));
}

fn events(replica: &mut Replica) -> String {
    let mut text = String::new();
    while let Some(event) = replica.next_event() {
        text += &format!("{event:?} ");
    }
    text
}

/// A replica that follows by a method, older ones having been refused.
fn following(method: &str, result: Value) -> Replica {
    let mut replica = Replica::new(wanted());
    replica.connected(0);
    let asked = sent(&mut replica);
    let methods: Vec<_> = asked.iter().map(|asked| asked["method"].as_str().unwrap()).collect();
    assert_eq!(methods, ["monitor_cond", "get_schema", "lock"]);
    refuse(&mut replica, &asked[0]);
    reply(&mut replica, &asked[1], schema());
    reply(&mut replica, &asked[2], json!({"locked": true}));
    loop {
        let asked = sent(&mut replica).remove(0);
        assert_eq!(asked["params"][2], json!({"t": [{"columns": ["name", "tags"]}]}));
        if asked["method"] == method {
            reply(&mut replica, &asked, result);
            return replica;
        }
        refuse(&mut replica, &asked);
    }
}

fn row(replica: &Replica) -> Option<(String, Vec<i64>)> {
    let row = replica.tables().row("t", ROW.parse().unwrap())?;
    let tags = row.column("tags").keys().iter().filter_map(Atom::as_integer).collect();
    Some((row.text("name").to_owned(), tags))
}

#[test]
fn each_method_leads_to_the_same_rows() {
    let first = json!({"t": {ROW: {"initial": {"name": "a", "tags": ["set", [1, 2]]}}}});
    let old = json!({"t": {ROW: {"new": {"name": "a", "tags": ["set", [1, 2]]}}}});
    let diff = json!({"t": {ROW: {"modify": {"name": "b", "tags": ["set", [2, 3]]}}}});
    for (method, first, update) in [
        (
            "monitor_cond_since",
            json!([false, ROW, first]),
            json!({"method": "update3", "params": ["heddle", ROW, diff], "id": null}),
        ),
        ("monitor_cond", first.clone(), json!({"method": "update2", "params": ["heddle", diff], "id": null})),
        (
            "monitor",
            old,
            json!({"method": "update", "id": null, "params": ["heddle", {"t": {ROW:
                {"old": {"name": "a"}, "new": {"name": "b", "tags": ["set", [1, 3]]}}}}]}),
        ),
    ] {
        let mut replica = following(method, first);
        assert!(replica.is_fresh() && replica.is_locked());
        assert_eq!(events(&mut replica), "Lock(true) Fresh ");
        assert_eq!(row(&replica), Some(("a".into(), vec![1, 2])), "{method}");
        assert_eq!(replica.tables_mut().take_changes().len(), 1);
        tell(&mut replica, update);
        assert_eq!(events(&mut replica), "Changed ");
        assert_eq!(row(&replica), Some(("b".into(), vec![1, 3])), "{method}");
    }
}

#[test]
fn a_row_that_went_while_there_was_no_connection_is_gone_after_it() {
    let first = json!({"t": {ROW: {"initial": {"name": "a"}}}});
    let mut replica = following("monitor_cond_since", json!([false, ROW, first]));
    replica.tables_mut().take_changes();
    replica.disconnected();
    assert!(row(&replica).is_some() && !replica.is_locked());
    replica.connected(0);
    let asked = sent(&mut replica);
    reply(&mut replica, &asked[1], schema());
    let asked = sent(&mut replica).remove(0);
    assert_eq!(asked["params"][3], ROW, "it asks for what came after the last transaction");
    reply(&mut replica, &asked, json!([false, ROW, {}]));
    assert_eq!((row(&replica), replica.tables_mut().take_changes().len()), (None, 1));
}

#[test]
fn transactions_name_the_rows_that_they_insert() {
    let mut replica = following("monitor_cond_since", json!([false, ROW, {}]));
    let (new, old) = (Uuid::from_bytes([7; 16]), ROW.parse().unwrap());
    let mut transaction = Transaction::default();
    transaction.assert_lock("l");
    transaction.verify("t", old, vec![("n".into(), Datum::scalar(Atom::Integer(1)))]);
    transaction.insert("t", new, vec![("name".into(), Datum::scalar(Atom::string("x")))]);
    transaction.mutate("t", old, "others", "insert", Datum::set([Atom::Uuid(new)]));
    transaction.increment("t", old, "n");
    let number = replica.commit(transaction);
    let asked = sent(&mut replica).remove(0);
    let name = "row07070707_0707_0707_0707_070707070707";
    assert_eq!(asked["params"][2]["until"], "==");
    assert_eq!(asked["params"][3]["uuid-name"], name);
    assert_eq!(asked["params"][4]["mutations"], json!([["others", "insert", ["named-uuid", name]]]));
    reply(
        &mut replica,
        &asked,
        json!([{}, {}, {"uuid": ["uuid", ROW]}, {"count": 1}, {"count": 1}, {"rows": [{"n": 2}]}]),
    );
    events_until_decided(&mut replica, number, |outcome| {
        let Outcome::Committed(committed) = outcome else { panic!("{outcome:?}") };
        assert_eq!((committed.incremented, committed.inserted[&new]), (Some(2), old));
    });
}

fn events_until_decided(replica: &mut Replica, number: u64, see: impl Fn(Outcome)) {
    while let Some(event) = replica.next_event() {
        if let Event::Decided(decided, outcome) = event {
            assert_eq!(decided, number);
            return see(outcome);
        }
    }
    panic!("it was not decided");
}

#[test]
fn what_a_server_says_of_a_transaction() {
    let transaction = Transaction::default();
    let of = |result: Value| transaction.outcome(&result, &Value::Null);
    assert_eq!(of(json!([{}, {"error": "timed out"}])), Outcome::TryAgain);
    assert_eq!(of(json!([{"error": "not owner", "details": "x"}])), Outcome::NotLocked);
    let Outcome::Failed(error) = of(json!([{"error": "constraint violation", "details": "x"}])) else {
        panic!()
    };
    assert_eq!(error.to_string(), "constraint violation: x");
}

#[test]
fn a_lost_connection_decides_nothing_and_a_silent_server_is_given_up() {
    let mut replica = following("monitor_cond_since", json!([false, ROW, {}]));
    events(&mut replica);
    let number = replica.commit(Transaction::default());
    sent(&mut replica);
    assert_eq!(replica.deadline_ms(), Some(100));
    replica.tick(100);
    assert_eq!(sent(&mut replica)[0]["method"], "echo");
    replica.tick(199);
    assert_eq!(events(&mut replica), "");
    replica.tick(200);
    let said = events(&mut replica);
    assert!(said.contains(&format!("Decided({number}, Lost)")) && said.contains("Broken"), "{said}");
    let again = replica.commit(Transaction::default());
    assert_eq!(events(&mut replica), format!("Decided({again}, Lost) "));
}

#[test]
fn what_a_server_may_not_say_breaks_the_connection() {
    for wrong in [
        json!({"method": "update3", "params": ["heddle", ROW, {"x": {}}], "id": null}),
        json!({"method": "update3", "params": ["heddle", ROW, {"t": {ROW: {"modify": {"name": "b"}}}}], "id": null}),
        json!({"method": "update3", "params": ["heddle", ROW, {"t": {"no": {"delete": null}}}], "id": null}),
        json!({"method": "monitor_canceled", "params": ["heddle"], "id": null}),
        json!([]),
    ] {
        let mut replica = following("monitor_cond_since", json!([false, ROW, {}]));
        tell(&mut replica, wrong.clone());
        assert!(events(&mut replica).contains("Broken"), "{wrong}");
    }
}
