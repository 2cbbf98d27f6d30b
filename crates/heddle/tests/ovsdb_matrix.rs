//! The database server and its clients beside Debian's: each server with each clients, over each transport; and the same
//! requests of RFC 7047 put to both servers, which must answer alike.
#![allow(missing_docs, clippy::unwrap_used)]

mod database;

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use database::{Client, Place, Server, create, program};
use heddle_ovsdb::rpc::Message;
use serde_json::{Value, json};

fn stock_is_there() -> bool {
    let missing = ["ovsdb-server", "ovsdb-client", "ovs-vsctl", "ovsdb-tool"]
        .into_iter()
        .find(|name| Command::new(name).arg("--version").output().is_err());
    if let Some(name) = missing {
        eprintln!("SKIPPED: {name} is not installed (Debian: apt install openvswitch-switch)");
    }
    missing.is_none()
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Runs a client, which must succeed; what it prints.
fn good(name: &str, stock: bool, words: &[&str]) -> String {
    good_with(name, stock, words, Stdio::null())
}

fn good_with(name: &str, stock: bool, words: &[&str], input: Stdio) -> String {
    let mut command = Command::new("timeout");
    let asked = program(name, stock);
    command.arg("10").arg(asked.get_program()).args(asked.get_args()).args(words);
    let output = command.stdin(input).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name} (stock: {stock}) {words:?}: {text}{errors}");
    text
}

fn drive(place: &Place, stock: bool, at: &str, bridge: &str) {
    let database = |words: &[&str]| good("ovsdb-client", stock, words);
    assert_eq!(database(&["list-dbs", at]), "Open_vSwitch\n_Server\n");
    assert!(database(&["get-schema-version", at, "Open_vSwitch"]).starts_with("8."));
    assert!(database(&["list-tables", at]).contains("Bridge"));
    let db = format!("--db={at}");
    let vsctl = |words: &[&str]| good("ovs-vsctl", stock, &[&[db.as_str(), "--no-wait"], words].concat());
    vsctl(&["add-br", bridge, "--", "set", "bridge", bridge, "other_config:a=b c"]);
    let port = format!("{bridge}p");
    vsctl(&["add-port", bridge, &port, "tag=9", "--", "set", "interface", &port, "type=internal"]);
    assert_eq!(vsctl(&["list-ports", bridge]), format!("{port}\n"));
    assert_eq!(vsctl(&["get", "bridge", bridge, "other_config:a"]), "\"b c\"\n");
    let select = json!(["Open_vSwitch", {"op": "select", "table": "Port", "where": [["name", "==", port]], "columns": ["tag"]}]);
    assert_eq!(database(&["transact", at, &select.to_string()]).trim(), r#"[{"rows":[{"tag":9}]}]"#);
    assert!(database(&["dump", at, "Open_vSwitch", "Bridge", "name"]).contains(bridge));
    std::fs::write(place.0.join("backup"), database(&["backup", at, "Open_vSwitch"])).unwrap();
    let query = json!(["Open_vSwitch", {"op": "select", "table": "Bridge", "where": [["name", "==", bridge]], "columns": ["name"]}]);
    let backup = place.path("backup");
    for tool in [false, true] {
        let found = good("ovsdb-tool", tool, &["query", &backup, &query.to_string()]);
        assert_eq!(found.trim(), format!(r#"[{{"rows":[{{"name":"{bridge}"}}]}}]"#));
    }
    vsctl(&["del-br", bridge]);
    assert_eq!(vsctl(&["list-br"]), "");
    // Each client puts back what either wrote.
    let input = std::fs::File::open(&backup).unwrap();
    good_with("ovsdb-client", stock, &["--force", "restore", at, "Open_vSwitch"], input.into());
    assert_eq!(vsctl(&["list-ports", bridge]), format!("{port}\n"));
    assert_eq!(vsctl(&["get", "port", &port, "tag"]), "9\n");
    vsctl(&["del-br", bridge]);
}

#[test]
fn each_server_serves_each_clients_over_each_transport() {
    if !stock_is_there() {
        return;
    }
    for server_is_stock in [false, true] {
        let place = Place::new();
        let file = place.path("db");
        good("ovsdb-tool", !server_is_stock, &["create", &file, "/usr/share/openvswitch/vswitch.ovsschema"]);
        let (passive, active) = (free_port(), free_port());
        let remotes = [
            format!("--remote=ptcp:{passive}:127.0.0.1"),
            format!("--remote=tcp:127.0.0.1:{active}"),
            "--remote=db:Open_vSwitch,Open_vSwitch,manager_options".to_owned(),
        ];
        let remotes: Vec<&str> = remotes.iter().map(String::as_str).collect();
        let server = Server::start_with(&place, &file, server_is_stock, &remotes);
        let unix = format!("unix:{}", server.socket().display());
        good("ovs-vsctl", false, &[&format!("--db={unix}"), "--no-wait", "init"]);
        for clients_are_stock in [false, true] {
            drive(&place, clients_are_stock, &unix, "unix0");
            drive(&place, clients_are_stock, &format!("tcp:127.0.0.1:{passive}"), "tcp0");
            // The server calls, and the client waits to be called.
            let listed =
                good("ovsdb-client", clients_are_stock, &["list-dbs", &format!("ptcp:{active}:127.0.0.1")]);
            assert_eq!(listed, "Open_vSwitch\n_Server\n");
        }
        let managed = managers(&unix, &format!("stock server: {server_is_stock}"));
        assert!(managed["passive"].contains("bound_port="), "{managed:?}");
        assert!(managed["active"].contains("state=ACTIVE"), "{managed:?}");
    }
}

/// Sets a passive and an active manager; their states as the server wrote them once somebody is connected by each.
fn managers(unix: &str, which: &str) -> BTreeMap<&'static str, String> {
    let vsctl =
        |words: &[&str]| good("ovs-vsctl", false, &[&[&format!("--db={unix}"), "--no-wait"], words].concat());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free_port();
    let passive = format!("ptcp:{port}:127.0.0.1");
    let active = format!("tcp:{}", listener.local_addr().unwrap());
    vsctl(&["set-manager", &passive, &active]);
    let (_called, _) = listener.accept().unwrap();
    let begun = Instant::now();
    let mut clients = Vec::new();
    let status = |target: &str| vsctl(&["get", "manager", target, "status"]);
    let connected = |target: &str| vsctl(&["get", "manager", target, "is_connected"]) == "true\n";
    loop {
        if clients.is_empty() {
            clients.extend(std::net::TcpStream::connect(("127.0.0.1", port)));
        }
        if connected(&passive) && connected(&active) {
            return BTreeMap::from([("passive", status(&passive)), ("active", status(&active))]);
        }
        let states = (status(&passive), status(&active));
        assert!(begun.elapsed() < Duration::from_secs(15), "{which}: not connected: {states:?}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// A reply to `list_dbs` in the order of names; anything else as it is.
fn sorted_names(mut json: Value) -> Value {
    if let Some(names) = json.get_mut("result").and_then(Value::as_array_mut)
        && names.iter().any(|name| name == "_Server")
    {
        names.sort_by_key(Value::to_string);
    }
    json
}

/// What a server says, with UUIDs by the order in which they appear.
fn told(client: &mut Client, method: &str, params: &Value, known: &mut BTreeMap<String, String>) -> String {
    let id = client.send(method, params).unwrap();
    let reply = client.reply(id).unwrap();
    let mut all: Vec<Message> = std::mem::take(&mut client.told);
    all.push(reply);
    let mut text = String::new();
    // Monitors are told in no order, databases and sets of rows are listed in none.
    let mut lines: Vec<String> =
        all.iter().map(|message| sorted_names(message.to_json()).to_string()).collect();
    // Open vSwitch also tells of rows in which a column changed that is not monitored, and then tells nothing of them.
    lines.retain(|line| !line.contains(r#"{"modify":{}}"#));
    lines.sort_by_key(|line| !line.contains(r#""update""#));
    for line in lines {
        text += &format!("{line}\n");
    }
    let is_uuid = |word: &str| {
        word.len() == 36
            && word.bytes().enumerate().all(|(at, byte)| match at {
                8 | 13 | 18 | 23 => byte == b'-',
                _ => byte.is_ascii_hexdigit(),
            })
    };
    let mut out = String::new();
    let mut rest = text.as_str();
    while !rest.is_empty() {
        match rest.get(..36).filter(|word| is_uuid(word)) {
            Some(word) => {
                let next = format!("<{}>", known.len());
                out += known.entry(word.to_owned()).or_insert(next);
                rest = &rest[36..];
            }
            None => {
                let end = rest.chars().next().map_or(1, char::len_utf8);
                out += &rest[..end];
                rest = &rest[end..];
            }
        }
    }
    // Rows are told in the order of their UUIDs, which are random.
    let lines = out.lines().map(|line| serde_json::from_str::<Value>(line).unwrap().to_string() + "\n");
    lines.collect()
}

/// Requests that both servers must answer alike: each operation and method, and what is wrong with them.
fn requests() -> Vec<(&'static str, Value)> {
    let t = |operations: Value| {
        let mut params = vec![json!("d")];
        params.extend(operations.as_array().unwrap().iter().cloned());
        ("transact", Value::from(params))
    };
    let all = json!({"op": "select", "table": "a", "where": [], "columns": ["name", "n", "set", "map"], "sort": ["name"]});
    let set = |function: &str, value: Value| json!([{"op": "mutate", "table": "a", "where": [["name", "==", "y"]], "mutations": [["set", function, value]]}, all]);
    let n = |function: &str, value: Value| json!([{"op": "mutate", "table": "a", "where": [["name", "==", "y"]], "mutations": [["n", function, value]]}, all]);
    let find = |column: &str, function: &str, value: Value| json!([{"op": "select", "table": "a", "where": [[column, function, value]], "columns": ["name"], "sort": ["name"]}]);
    let mut list = vec![
        ("list_dbs", json!([])),
        ("get_schema", json!(["d"])),
        ("get_schema", json!(["none"])),
        ("echo", json!([1, "x", {"a": null}])),
        ("nothing", json!([])),
        ("monitor", json!(["d", "m", {"a": {"columns": ["name", "n"]}}])),
        ("monitor", json!(["d", "m", {"a": {}}])),
        ("monitor_cond", json!(["d", "c", {"a": [{"columns": ["name"], "where": [["n", ">", 3]]}]}])),
    ];
    list.extend([
        t(json!([])),
        t(json!([{"op": "insert", "table": "a", "row": {"name": "x", "n": 1}, "uuid-name": "r"}])),
        t(json!([{"op": "insert", "table": "a", "row": {"name": "y", "n": 2, "set": ["set", [3, 1, 2]],
            "map": ["map", [["k", "v"]]]}}])),
        t(json!([{"op": "insert", "table": "b", "uuid-name": "r", "row": {}},
            {"op": "update", "table": "a", "where": [["name", "==", "x"]], "row": {"strong": ["named-uuid", "r"]}}])),
        // Two rows with one name are left to Open vSwitch's own cases: which is named first differs between its versions.
        t(json!([{"op": "insert", "table": "a", "row": {"n": 11}}])),
        t(json!([{"op": "insert", "table": "a", "row": {"none": 1}}])),
        t(json!([{"op": "insert", "table": "none", "row": {}}])),
        t(json!([{"op": "insert", "table": "a", "row": {"n": "text"}}])),
        t(json!([{"op": "insert", "table": "a", "row": {"name": "z", "strong": ["uuid", "00000000-0000-4000-8000-000000000001"]}}])),
        t(json!([{"op": "what"}])),
        t(json!([{"op": "insert", "table": "a"}])),
        t(json!([{"op": "insert", "table": "a", "row": {}, "more": 1}])),
        t(json!([{"op": "select", "table": "a", "where": [["none", "==", 1]]}])),
        t(json!([{"op": "select", "table": "a", "where": [["n", "~", 1]]}])),
        t(json!([{"op": "update", "table": "a", "where": [], "row": {"fixed": 5}}])),
        t(json!([{"op": "delete", "table": "b", "where": []}])),
        t(find("n", "<", json!(2))),
        t(find("n", ">=", json!(2))),
        t(find("n", "!=", json!(1))),
        t(find("set", "includes", json!(["set", [1, 2]]))),
        t(find("set", "excludes", json!(1))),
        t(find("set", "<", json!(1))),
        t(find("map", "includes", json!(["map", [["k", "v"]]]))),
        t(n("+=", json!(3))),
        t(n("-=", json!(1))),
        t(n("*=", json!(2))),
        t(n("/=", json!(2))),
        t(n("%=", json!(3))),
        t(n("/=", json!(0))),
        t(n("+=", json!(100))),
        t(set("insert", json!(["set", [7, 8]]))),
        t(set("delete", json!(["set", [1, 7]]))),
        t(set("+=", json!(1))),
        t(json!([{"op": "mutate", "table": "a", "where": [], "mutations": [["map", "insert", ["map", [["k", "w"], ["l", "m"]]]]]}, all])),
        t(json!([{"op": "mutate", "table": "a", "where": [], "mutations": [["map", "delete", ["set", ["k"]]]]}, all])),
        t(json!([{"op": "wait", "timeout": 0, "table": "a", "where": [["name", "==", "y"]], "columns": ["name"], "until": "==", "rows": [{"name": "y"}]}])),
        t(json!([{"op": "wait", "timeout": 0, "table": "a", "where": [], "columns": ["name"], "until": "==", "rows": []}])),
        t(json!([{"op": "commit", "durable": true}, {"op": "comment", "comment": "said"}])),
        t(json!([{"op": "insert", "table": "b", "row": {}}, {"op": "abort"}, {"op": "insert", "table": "b", "row": {}}])),
        t(json!([{"op": "assert", "lock": "l"}])),
        ("lock", json!(["l"])),
        t(json!([{"op": "assert", "lock": "l"}])),
        ("lock", json!(["l"])),
        ("lock", json!([7])),
        ("unlock", json!(["l"])),
        ("unlock", json!(["l"])),
        ("steal", json!(["s"])),
        ("unlock", json!(["s"])),
        ("monitor_cond_change", json!(["c", "c2", {"a": [{"where": [["n", "<", 3]]}]}])),
        ("monitor_cond_since", json!(["d", "s", {"b": [{"columns": ["x"]}]}, "00000000-0000-0000-0000-000000000000"])),
        t(json!([{"op": "update", "table": "a", "where": [["name", "==", "y"]], "row": {"n": 9}}])),
        ("monitor_cancel", json!(["m"])),
        ("monitor_cancel", json!(["m"])),
        t(json!([{"op": "update", "table": "a", "where": [["name", "==", "x"]], "row": {"strong": ["set", []]}},
            {"op": "select", "table": "b", "where": []}])),
        t(json!([{"op": "select", "table": "b", "where": []}])),
        ("set_db_change_aware", json!([true])),
        ("set_db_change_aware", json!([1])),
        ("get_server_id", json!([])),
        ("transact", json!(["none"])),
        ("transact", json!([])),
        t(json!([{"op": "delete", "table": "a", "where": []}, all])),
    ]);
    list
}

fn schema() -> Value {
    let many = |key: Value| json!({"type": {"key": key, "min": 0, "max": "unlimited"}});
    json!({"name": "d", "version": "1.0.0", "cksum": "1 2", "tables": {
        "a": {"isRoot": true, "indexes": [["name"]], "columns": {
            "name": {"type": "string"},
            "n": {"type": {"key": {"type": "integer", "minInteger": 0, "maxInteger": 10}}},
            "set": many(json!("integer")),
            "map": {"type": {"key": "string", "value": "string", "min": 0, "max": "unlimited"}},
            "fixed": {"type": "integer", "mutable": false},
            "strong": many(json!({"type": "uuid", "refTable": "b", "refType": "strong"}))}},
        "b": {"columns": {"x": {"type": "integer"}}}}})
}

#[test]
fn both_servers_answer_alike() {
    if !stock_is_there() {
        return;
    }
    let answers = [false, true].map(|stock| {
        let place = Place::new();
        let file = create(&place, &schema());
        let server = Server::start_with(&place, &file, stock, &[]);
        let mut client = Client::over(UnixStream::connect(server.socket()).unwrap());
        let mut known = BTreeMap::new();
        let said = |(method, params): (&'static str, Value)| {
            let answer = told(&mut client, method, &params, &mut known);
            (format!("{method} {params}"), answer)
        };
        requests().into_iter().map(said).collect::<Vec<_>>()
    });
    let differing: Vec<String> = answers[0]
        .iter()
        .zip(&answers[1])
        .filter(|(ours, stock)| ours.1 != stock.1)
        .map(|(ours, stock)| format!("{}\n  Heddle:       {}  Open vSwitch: {}", ours.0, ours.1, stock.1))
        .collect();
    assert!(
        differing.is_empty(),
        "{} of {} differ:\n{}",
        differing.len(),
        answers[0].len(),
        differing.join("\n")
    );
    eprintln!("{} requests are answered alike", answers[0].len());
}

#[test]
fn a_thousand_ports_cost_no_more_than_in_proportion() {
    const PORTS: usize = 1000;
    let place = Place::new();
    let file = place.path("db");
    good("ovsdb-tool", false, &["create", &file]);
    let server = Server::start(&place, &file);
    let mut client = server.client();
    let first = json!(["Open_vSwitch", {"op": "insert", "table": "Bridge", "row": {"name": "br0"}, "uuid-name": "b"},
        {"op": "insert", "table": "Open_vSwitch", "row": {"bridges": ["named-uuid", "b"]}}]);
    assert!(client.ask("transact", &first)[0]["uuid"].is_array());
    let port = |name: String| {
        let (i, p) = (format!("i{name}"), format!("p{name}"));
        [
            json!({"op": "insert", "table": "Interface", "row": {"name": name}, "uuid-name": i}),
            json!({"op": "insert", "table": "Port", "row": {"name": name, "interfaces": ["named-uuid", i]}, "uuid-name": p}),
            json!({"op": "mutate", "table": "Bridge", "where": [["name", "==", "br0"]],
                "mutations": [["ports", "insert", ["set", [["named-uuid", p]]]]]}),
        ]
    };
    let mut transact = |operations: Vec<Value>| {
        let mut params = vec![json!("Open_vSwitch")];
        params.extend(operations);
        params.push(json!({"op": "commit", "durable": true}));
        let begun = Instant::now();
        let results = client.ask("transact", &params.into());
        assert!(results.as_array().unwrap().iter().all(|result| result.get("error").is_none()), "{results}");
        begun.elapsed()
    };
    let at_once = transact((0..PORTS).flat_map(|number| port(format!("once{number}"))).collect());
    let times: Vec<Duration> =
        (0..PORTS).map(|number| transact(port(format!("one{number}")).to_vec())).collect();
    let sum = |part: &[Duration]| part.iter().sum::<Duration>();
    // The median, since a machine that does other things makes single ones wait.
    let median = |part: &[Duration]| {
        let mut sorted = part.to_vec();
        sorted.sort();
        sorted[part.len() / 2]
    };
    let (early, late) = (median(&times[..PORTS / 10]), median(&times[PORTS - PORTS / 10..]));
    eprintln!(
        "{PORTS} ports in one transaction {at_once:?}; one by one {:?}, of the first tenth {early:?} each, of the last {late:?}",
        sum(&times)
    );
    assert!(late < early * 3, "each port costs more than the one before: {early:?}, later {late:?}");
    assert!(at_once < sum(&times), "one transaction is dearer than a thousand");
}
