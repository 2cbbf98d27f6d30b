//! The database server is killed at any moment, under load and while it compacts: what was told to be durable is there
//! afterwards, and nothing is half done. A kill leaves what was written to the system's memory, so that it says nothing of
//! `fsync`: that replies wait for it is tested in `heddle-ovsdb`, with a storage that is slow.
#![allow(missing_docs, clippy::unwrap_used)]

mod database;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use database::{Client, Dice, Place, Server, create};
use serde_json::{Value, json};

const KILLS: u64 = 200;
const CLIENTS: usize = 4;
/// Rows of one transaction: all of them are there, or none.
const ROWS: usize = 3;
/// The server may be killed until so long after clients began, milliseconds.
const LONGEST: u64 = 40;

/// Numbers of transactions that were told to be durable.
type Fates = BTreeSet<usize>;

fn transact_until_killed(mut client: Client, next: &AtomicUsize, fates: &Mutex<Fates>) {
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        let row =
            |part: usize| json!({"op": "insert", "table": "t", "row": {"number": number, "part": part}});
        let mut params = vec![json!("d")];
        params.extend((0..ROWS).map(row));
        params.push(json!({"op": "mutate", "table": "sum", "where": [], "mutations": [["count", "+=", 1]]}));
        params.push(json!({"op": "commit", "durable": true}));
        let Some(result) = client.try_ask("transact", &params.into()) else { return };
        assert!(result[0]["uuid"].is_array(), "{result}");
        fates.lock().unwrap().insert(number);
    }
}

/// The parts that are there of each transaction, and how many transactions the sum has counted.
fn contents(client: &mut Client) -> (BTreeMap<usize, usize>, usize) {
    let select = |table: &str, columns: Value| json!({"op": "select", "table": table, "where": [], "columns": columns});
    let all = json!(["d", select("t", json!(["_uuid", "number"])), select("sum", json!(["count"]))]);
    let result = client.ask("transact", &all);
    let mut found = BTreeMap::new();
    for row in result[0]["rows"].as_array().unwrap() {
        *found.entry(row["number"].as_u64().unwrap() as usize).or_default() += 1;
    }
    (found, result[1]["rows"][0]["count"].as_u64().unwrap() as usize)
}

#[test]
fn what_was_durable_survives_every_kill() {
    let integer = |names: &[&str]| -> Value {
        json!({"columns": names.iter().map(|n| ((*n).to_owned(), json!({"type": "integer"})))
            .collect::<serde_json::Map<_, _>>()})
    };
    let place = Place::new();
    let schema = json!({"name": "d", "version": "1.0.0", "tables": {"t": integer(&["number", "part"]),
        "sum": integer(&["count"])}});
    let file = create(&place, &schema);
    let seed = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_nanos() as u64;
    eprintln!("seed {seed}");
    let mut dice = Dice(seed);
    let next = Arc::new(AtomicUsize::new(1));
    let (mut acknowledged, mut unacknowledged, mut compacted) = (0, 0, 0);
    let begun = Instant::now();
    for round in 0..KILLS {
        let mut server = Server::start(&place, &file);
        let mut client = server.client();
        // What the last round left was looked at: it begins with nothing.
        let clear = ["t", "sum"].map(|table| json!({"op": "delete", "table": table, "where": []}));
        let zero = json!({"op": "insert", "table": "sum", "row": {"count": 0}});
        client.ask("transact", &json!(["d", clear[0], clear[1], zero, {"op": "commit", "durable": true}]));
        let first = next.load(Ordering::Relaxed);
        let fates = Arc::new(Mutex::new(Fates::default()));
        let compactions = Arc::new(AtomicUsize::new(0));
        let ended = Arc::new(AtomicBool::new(false));
        let mut threads = Vec::new();
        for _ in 0..CLIENTS {
            let (client, next, fates) = (server.client(), Arc::clone(&next), Arc::clone(&fates));
            threads.push(std::thread::spawn(move || transact_until_killed(client, &next, &fates)));
        }
        let (mut operator, count, end) = (server.operator(), Arc::clone(&compactions), Arc::clone(&ended));
        threads.push(std::thread::spawn(move || {
            while !end.load(Ordering::Relaxed)
                && operator.try_ask("ovsdb-server/compact", &json!([])).is_some()
            {
                count.fetch_add(1, Ordering::Relaxed);
            }
        }));
        std::thread::sleep(Duration::from_micros(dice.below(LONGEST * 1000)));
        server.kill();
        ended.store(true, Ordering::Relaxed);
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        let server = Server::start(&place, &file);
        let (found, sum) = contents(&mut server.client());
        let fates = fates.lock().unwrap();
        let lost: Vec<_> = fates.iter().filter(|number| !found.contains_key(number)).collect();
        assert!(lost.is_empty(), "round {round}: durable transactions are lost: {lost:?}");
        let half: Vec<_> = found.iter().filter(|(_, parts)| **parts != ROWS).collect();
        assert!(half.is_empty(), "round {round}: half done: {half:?}");
        assert!(found.keys().all(|number| *number >= first), "round {round}: rows came back: {found:?}");
        assert_eq!(found.len(), sum, "round {round}");
        acknowledged += fates.len();
        unacknowledged += found.len() - fates.len();
        compacted += compactions.load(Ordering::Relaxed);
    }
    eprintln!(
        "{KILLS} kills in {:.1} s: {acknowledged} transactions acknowledged and there, {unacknowledged} there that were \
         not acknowledged yet, {compacted} compactions",
        begun.elapsed().as_secs_f64()
    );
    assert!(acknowledged > KILLS as usize && compacted > KILLS as usize, "there was no load to speak of");
}
