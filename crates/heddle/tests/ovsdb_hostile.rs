//! Clients that flood, stall, send without end, die or come in crowds: another client is answered within a second, and the
//! server's memory stays within a bound.
#![allow(missing_docs, clippy::unwrap_used)]

mod database;

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use database::{Place, Server, create};
use heddle_ovsdb::rpc::MAX_MESSAGE;
use serde_json::json;

/// How long another client may wait for its answer.
const PROMISE: Duration = Duration::from_secs(1);
/// The most memory that the server may ever have had, kB: [`HOGS`] unfinished messages of 16 MiB each, which grow by doubling,
/// and what the program takes by itself.
const MOST_MEMORY: u64 = 160 << 10;
/// Clients at one time that send a gigabyte.
const HOGS: usize = 4;
const GIGABYTE: usize = 1 << 30;
/// Bytes that may wait in a socket.
const IN_FLIGHT: usize = 4 << 20;

fn served() -> (Place, Server) {
    let place = Place::new();
    let file = create(
        &place,
        &json!({"name": "d", "version": "1.0.0", "tables": {"t": {"columns": {
        "name": {"type": "string"}, "number": {"type": "integer"}}}}}),
    );
    let server = Server::start(&place, &file);
    (place, server)
}

/// Transacts all the while that `attack` runs, and once more; fails if an answer takes longer than promised.
fn while_others_transact(server: &Server, attack: impl FnOnce()) {
    let ended = Arc::new(AtomicBool::new(false));
    let (mut client, end) = (server.client(), Arc::clone(&ended));
    let other = std::thread::spawn(move || {
        let (mut worst, mut count) = (Duration::ZERO, 0);
        loop {
            let last = end.load(Ordering::Relaxed);
            let begun = Instant::now();
            let result = client.ask(
                "transact",
                &json!(["d", {"op": "insert", "table": "t", "row": {"number": count}},
                    {"op": "delete", "table": "t", "where": [["number", "==", count]]},
                    {"op": "commit", "durable": true}]),
            );
            assert_eq!(result[1], json!({"count": 1}));
            (worst, count) = (worst.max(begun.elapsed()), count + 1);
            if last {
                return (worst, count);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    });
    attack();
    ended.store(true, Ordering::Relaxed);
    let (worst, count) = other.join().unwrap();
    eprintln!(
        "{count} transactions of another client, the slowest in {worst:?}; VmHWM {} kB",
        server.memory("VmHWM")
    );
    assert!(worst < PROMISE, "another client waited {worst:?}");
    assert!(count > 5);
    assert!(server.memory("VmHWM") < MOST_MEMORY, "memory: {} kB", server.memory("VmHWM"));
}

/// Writes until the server reads no more for `patience`, or refuses; returns how many bytes it took.
fn pour(stream: &mut UnixStream, bytes: &[u8], most: usize, patience: Duration) -> usize {
    stream.set_write_timeout(Some(patience)).unwrap();
    let mut sent = 0;
    while sent < most {
        match stream.write(&bytes[sent % bytes.len()..]) {
            Ok(count) => sent += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => break,
        }
    }
    sent
}

#[test]
fn one_that_floods_and_does_not_read_harms_nobody() {
    let (_place, server) = served();
    while_others_transact(&server, || {
        let long = "x".repeat(4 << 10);
        let requests = [
            json!({"id": 1, "method": "echo", "params": [long]}).to_string(),
            json!({"id": 1, "method": "get_schema", "params": ["_Server"]}).to_string(),
            json!({"id": 1, "method": "transact", "params": ["d", {"op": "select", "table": "t", "where": []}]})
                .to_string(),
        ];
        let threads = requests.map(|request| {
            let mut stream = UnixStream::connect(server.socket()).unwrap();
            std::thread::spawn(move || {
                let sent = pour(&mut stream, request.as_bytes(), GIGABYTE, Duration::from_millis(500));
                (sent, stream)
            })
        });
        for thread in threads {
            let (sent, stream) = thread.join().unwrap();
            assert!(sent < GIGABYTE, "the server takes requests whose answers nobody reads");
            drop(stream);
        }
    });
}

#[test]
fn one_that_stalls_harms_nobody() {
    let (_place, server) = served();
    while_others_transact(&server, || {
        let mut half = UnixStream::connect(server.socket()).unwrap();
        half.write_all(br#"{"id":1,"method":"transact","params":["d",{"op":"ins"#).unwrap();
        // It monitors what the other changes, and never reads what it is told.
        let mut deaf = UnixStream::connect(server.socket()).unwrap();
        deaf.write_all(br#"{"id":1,"method":"monitor","params":["d",null,{"t":{}}]}"#).unwrap();
        // It waits for what never comes.
        let wait = json!({"id": 1, "method": "transact", "params": ["d", {"op": "wait", "table": "t", "where": [],
            "until": "==", "rows": [{"number": -1}], "columns": ["number"]}]});
        let mut waiting = UnixStream::connect(server.socket()).unwrap();
        (0..50).for_each(|_| waiting.write_all(wait.to_string().as_bytes()).unwrap());
        std::thread::sleep(Duration::from_secs(2));
    });
}

#[test]
fn gigabytes_of_nested_json_are_refused_early() {
    let (_place, server) = served();
    let shapes: [(&str, String); 3] = [
        ("nested without end", "[".repeat(64 << 10)),
        ("nested and wide", format!("{}0{},", "[".repeat(50), "]".repeat(50)).repeat(512)),
        ("a long text within", "x".repeat(64 << 10)),
    ];
    while_others_transact(&server, || {
        for (what, piece) in &shapes {
            let threads: Vec<_> = (0..HOGS)
                .map(|_| {
                    let mut stream = UnixStream::connect(server.socket()).unwrap();
                    let piece = piece.clone();
                    let start: &[u8] = if piece.starts_with('x') {
                        br#"{"id":1,"method":"echo","params":[""#
                    } else {
                        br#"{"id":1,"method":"echo","params":["#
                    };
                    std::thread::spawn(move || {
                        stream.write_all(start).unwrap();
                        let sent = pour(&mut stream, piece.as_bytes(), GIGABYTE, Duration::from_secs(10));
                        let mut rest = Vec::new();
                        let _ = stream.set_read_timeout(Some(Duration::from_secs(5)));
                        let closed = stream.read_to_end(&mut rest);
                        assert!(
                            !matches!(&closed, Err(e) if e.kind() == ErrorKind::WouldBlock),
                            "it is not refused"
                        );
                        sent
                    })
                })
                .collect();
            for thread in threads {
                let sent = thread.join().unwrap();
                eprintln!("{what}: refused after {sent} bytes");
                assert!(sent <= MAX_MESSAGE + IN_FLIGHT, "{what}: {sent} bytes were taken");
            }
        }
    });
}

#[test]
fn one_that_dies_in_mid_transaction_leaves_nothing() {
    let (_place, server) = served();
    let marked = json!({"id": 1, "method": "transact", "params": ["d",
        {"op": "insert", "table": "t", "row": {"name": "marked", "number": -7}},
        {"op": "insert", "table": "t", "row": {"name": "marked", "number": -7}}]})
    .to_string();
    while_others_transact(&server, || {
        for length in (0..10).flat_map(|_| 0..marked.len()) {
            let mut stream = UnixStream::connect(server.socket()).unwrap();
            stream.write_all(&marked.as_bytes()[..length]).unwrap();
        }
        let mut client = server.client();
        let select = json!(["d", {"op": "select", "table": "t", "where": [["number", "==", -7]]}]);
        assert_eq!(client.ask("transact", &select), json!([{"rows": []}]));
        // One that sends all and does not wait for the answer has transacted, wholly.
        UnixStream::connect(server.socket()).unwrap().write_all(marked.as_bytes()).unwrap();
        let begun = Instant::now();
        while client.ask("transact", &select)[0]["rows"].as_array().unwrap().len() != 2 {
            assert!(begun.elapsed() < PROMISE);
        }
    });
}

#[test]
fn a_thousand_connections_harm_nobody() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    const CROWD: usize = 1000;
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    if setrlimit(Resource::RLIMIT_NOFILE, hard, hard).is_err() || hard < 3 * CROWD as u64 {
        eprintln!("SKIPPED: this user may open {soft} files, {hard} at most");
        return;
    }
    let (_place, server) = served();
    while_others_transact(&server, || {
        let mut crowd: Vec<_> = (0..CROWD).map(|_| server.client()).collect();
        for client in crowd.iter_mut() {
            assert_eq!(client.ask("echo", &json!(["x"])), json!(["x"]));
            client.ask("monitor_cond", &json!(["d", null, {"t": [{"columns": ["number"]}]}]));
        }
        std::thread::sleep(Duration::from_millis(500));
    });
}
