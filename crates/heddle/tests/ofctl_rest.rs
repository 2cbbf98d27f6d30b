//! The controller's `ofctl_rest` on real switches, one of OpenFlow 1.3 and one of 1.0: every resource, by HTTP. What is
//! expected is what Ryu 4.34 says of the same switches; `scripts/controllers ofctl_rest_twins` asks it.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use common::{Place, wait_until};
use serde_json::{Value, json};

/// A controller and two bridges: 1 speaks OpenFlow 1.3, 2 speaks OpenFlow 1.0.
struct Running {
    place: Place,
    controller: Child,
    switch: Option<Child>,
    web: String,
}

struct Told {
    status: u16,
    note: Option<String>,
    value: Value,
}

impl Running {
    fn start() -> Self {
        let place = Place::new();
        let words = ["controller", "--ofctl-rest", "127.0.0.1:0", "ptcp:0:127.0.0.1"];
        let mut controller = place.heddle(&words).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(controller.stderr.take().unwrap()).lines().map(Result::unwrap);
        let mut after =
            |mark: &str| lines.find_map(|line| Some(line.split_once(mark)?.1.to_owned())).unwrap();
        let openflow = after("ptcp:").split(':').next().unwrap().to_owned();
        let web = after("http://").trim_end_matches("/stats/switches").to_owned();
        // What else it says must not fill the pipe.
        std::thread::spawn(move || lines.for_each(drop));
        let bridge = |id: u64, version: &str| {
            let port = |number: u32| {
                let name = format!("t{id}-{number}");
                json!({ "name": name, "ofport": number, "kind": { "kind": "dummy" } })
            };
            json!({
                "name": format!("t{id}"), "datapath_id": id, "fail_mode": "secure", "protocols": [version],
                "controllers": [format!("tcp:127.0.0.1:{openflow}")], "ports": [port(1), port(2)],
            })
        };
        let file = place.directory.join("switch.json");
        let bridges = json!([bridge(1, "OpenFlow13"), bridge(2, "OpenFlow10")]);
        std::fs::write(&file, bridges.to_string()).unwrap();
        let rundir = place.directory.to_str().unwrap().to_owned();
        let words = ["switch", file.to_str().unwrap(), "--rundir", &rundir];
        let switch = place.heddle(&words).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let running = Self { place, controller, switch: Some(switch), web };
        wait_until("both switches are known", || running.get("switches").value == json!([1, 2]));
        running
    }

    fn ask(&self, method: &str, path: &str, body: &str) -> Told {
        let mut stream = TcpStream::connect(&self.web).unwrap();
        let length = body.len();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
        )
        .unwrap();
        told(&mut stream)
    }

    fn get(&self, path: &str) -> Told {
        self.ask("GET", &format!("/stats/{path}"), "")
    }

    /// What is under the switch's key.
    fn of(&self, resource: &str, dpid: u64) -> Value {
        let (name, rest) = resource.split_once('/').unwrap_or((resource, ""));
        let path = format!("{name}/{dpid}/{rest}");
        let told = self.get(path.trim_end_matches('/'));
        assert_eq!(told.status, 200, "{resource}: {:?}", told.note);
        told.value[dpid.to_string()].clone()
    }

    /// A command that is done and not remarked on.
    fn post(&self, path: &str, body: &Value) {
        let told = self.ask("POST", &format!("/stats/{path}"), &body.to_string());
        assert_eq!((told.status, told.note), (200, None), "{path} {body}");
    }

    fn stop_switch(&mut self) {
        if let Some(mut switch) = self.switch.take() {
            let _ = switch.kill();
            let _ = switch.wait();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop_switch();
        let _ = self.controller.kill();
        let _ = self.controller.wait();
    }
}

fn told(stream: &mut TcpStream) -> Told {
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let header = |name: &str| {
        let found = head.lines().find_map(|line| line.strip_prefix(name));
        found.map(|value| value.trim_start_matches(": ").to_owned())
    };
    let body = if header("transfer-encoding").is_some() { unchunked(body) } else { body.to_owned() };
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Told { status, note: header("x-heddle-note"), value: serde_json::from_str(&body).unwrap_or_default() }
}

fn unchunked(mut body: &str) -> String {
    let mut whole = String::new();
    while let Some((size, rest)) = body.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).unwrap();
        whole.push_str(&rest[..size]);
        body = &rest[(size + 2).min(rest.len())..];
    }
    whole
}

/// The same without times.
fn timeless(mut value: Value) -> Value {
    match &mut value {
        Value::Array(items) => items.iter_mut().for_each(|item| *item = timeless(item.take())),
        Value::Object(map) => {
            map.remove("duration_sec");
            map.remove("duration_nsec");
            map.values_mut().for_each(|item| *item = timeless(item.take()));
        }
        _ => {}
    }
    value
}

#[test]
fn flows_of_openflow_1_3() {
    let running = Running::start();
    let band = json!({ "type": "DROP", "rate": 1000 });
    running.post("meterentry/add", &json!({ "dpid": 1, "flags": "KBPS", "meter_id": 4, "bands": [band] }));
    running.post(
        "flowentry/add",
        &json!({
            "dpid": 1, "cookie": "0x9", "idle_timeout": 30, "hard_timeout": 3000, "priority": 11, "flags": 1,
            "match": {
                "in_port": 1, "dl_type": 2048, "nw_src": "10.0.0.0/24", "ip_proto": 6, "tp_dst": 80, "dl_vlan": 5,
            },
            "actions": [
                { "type": "SET_FIELD", "field": "eth_src", "value": "aa:bb:cc:11:22:33" },
                { "type": "PUSH_VLAN", "ethertype": 33024 },
                { "type": "SET_FIELD", "field": "vlan_vid", "value": 4102 },
                { "type": "OUTPUT", "port": 2 },
                { "type": "OUTPUT", "port": "CONTROLLER", "max_len": 128 },
                { "type": "METER", "meter_id": 4 },
                { "type": "GOTO_TABLE", "table_id": 3 },
                { "type": "WRITE_METADATA", "metadata": 5, "metadata_mask": 255 },
                { "type": "CLEAR_ACTIONS" },
                { "type": "WRITE_ACTIONS", "actions": [{ "type": "POP_VLAN" }, { "type": "OUTPUT", "port": 1 }] },
            ],
        }),
    );
    let flow = json!({
        "priority": 11, "cookie": 9, "idle_timeout": 30, "hard_timeout": 3000, "byte_count": 0,
        "packet_count": 0, "length": 256, "flags": 1, "table_id": 0,
        "match": {
            "in_port": 1, "dl_type": 2048, "dl_vlan": "5", "nw_proto": 6, "tp_dst": 80,
            "nw_src": "10.0.0.0/255.255.255.0",
        },
        "actions": [
            "METER:4", "SET_FIELD: {eth_src:aa:bb:cc:11:22:33}", "PUSH_VLAN:33024", "SET_FIELD: {vlan_vid:4102}",
            "OUTPUT:2", "OUTPUT:CONTROLLER", "CLEAR_ACTIONS", { "WRITE_ACTIONS": ["POP_VLAN", "OUTPUT:1"] },
            "WRITE_METADATA:0x5/0xff", "GOTO_TABLE:3",
        ],
    });
    assert_eq!(timeless(running.of("flow", 1)), json!([flow]));
    assert_eq!(timeless(running.of("flowdesc", 1)), json!([flow]));
    let sums = |flows: u32| json!([{ "packet_count": 0, "byte_count": 0, "flow_count": flows }]);
    assert_eq!(running.of("aggregateflow", 1), sums(1));

    // What Python prints of a dictionary is a body too.
    let told = running.ask("POST", "/stats/flowentry/add", "{'dpid': 0x1, 'priority': 12, 'table_id': 5,}");
    assert_eq!((told.status, told.note), (200, None));
    let count = |filter: Value| {
        let told = running.ask("POST", "/stats/flow/1", &filter.to_string());
        told.value["1"].as_array().unwrap().len()
    };
    assert_eq!(count(json!({})), 2);
    assert_eq!(count(json!({ "table_id": 5 })), 1);
    assert_eq!(count(json!({ "priority": 12 })), 1);
    assert_eq!(count(json!({ "match": { "in_port": 1 }, "out_port": 2 })), 1);
    assert_eq!(count(json!({ "cookie": 9, "cookie_mask": 15 })), 1);
    let modified = json!({ "dpid": 1, "table_id": 5, "actions": [{ "type": "OUTPUT", "port": "NORMAL" }] });
    running.post("flowentry/modify", &modified);
    assert_eq!(
        running.ask("POST", "/stats/flow/1", r#"{"table_id":5}"#).value["1"][0]["actions"],
        json!(["OUTPUT:NORMAL"])
    );
    let strict = json!({ "dpid": 1, "table_id": 5, "priority": 12, "actions": [] });
    running.post("flowentry/modify_strict", &strict);
    assert_eq!(running.ask("POST", "/stats/flow/1", r#"{"table_id":5}"#).value["1"][0]["actions"], json!([]));
    running.post("flowentry/delete_strict", &json!({ "dpid": 1, "table_id": 5, "priority": 11 }));
    assert_eq!(count(json!({})), 2, "another priority");
    running.post("flowentry/delete", &json!({ "dpid": 1, "table_id": 5 }));
    assert_eq!(running.of("aggregateflow", 1), sums(1));
    // The switch itself says the same.
    let socket = format!("unix:{}/t1.mgmt", running.place.directory.display());
    let dumped = running.place.good(&["ofctl", "-O", "OpenFlow13", "dump-flows", &socket]);
    assert!(dumped.contains("priority=11,tcp,in_port=1,dl_vlan=5,nw_src=10.0.0.0/24,tp_dst=80"), "{dumped}");
    let cleared = running.ask("DELETE", "/stats/flowentry/clear/1", "");
    assert_eq!((cleared.status, cleared.note), (200, None));
    assert_eq!(running.of("aggregateflow", 1), sums(0));
}

#[test]
fn groups_meters_ports_queues_and_roles() {
    let running = Running::start();
    running.post(
        "groupentry/add",
        &json!({ "dpid": 1, "type": "SELECT", "group_id": 5, "buckets": [
            { "weight": 3, "actions": [{ "type": "OUTPUT", "port": 1 }] },
        ] }),
    );
    let bucket = json!({
        "weight": 3, "watch_port": u32::MAX, "watch_group": u32::MAX, "actions": ["OUTPUT:1"],
    });
    assert_eq!(running.of("groupdesc", 1), json!([{ "group_id": 5, "type": "SELECT", "buckets": [bucket] }]));
    let counters = json!([{
        "group_id": 5, "length": 56, "ref_count": 0, "packet_count": 0, "byte_count": 0,
        "bucket_stats": [{ "packet_count": 0, "byte_count": 0 }],
    }]);
    assert_eq!(timeless(running.of("group", 1)), counters);
    assert_eq!(timeless(running.of("group/0x5", 1)), counters);
    running.post("groupentry/modify", &json!({ "dpid": 1, "group_id": 5, "type": "FF" }));
    assert_eq!(running.of("groupdesc/5", 1), json!([{ "group_id": 5, "type": "FF", "buckets": [] }]));
    running.post("groupentry/delete", &json!({ "dpid": 1, "group_id": "ALL" }));
    assert_eq!(running.of("groupdesc", 1), json!([]));
    let features = &running.of("groupfeatures", 1)[0];
    assert_eq!(features["types"], json!(["ALL", "SELECT", "INDIRECT", "FF"]));
    assert!(features["actions"][3]["FF"].as_array().unwrap().contains(&json!("SET_FIELD")));

    let bands = json!([{ "type": "DSCP_REMARK", "rate": 9, "burst_size": 5, "prec_level": 1 }]);
    running.post(
        "meterentry/add",
        &json!({ "dpid": 1, "flags": ["PKTPS", "BURST"], "meter_id": 4, "bands": bands }),
    );
    let config = json!([{ "meter_id": 4, "flags": ["PKTPS", "BURST"], "bands": bands }]);
    assert_eq!(running.of("meterconfig", 1), config);
    assert_eq!(running.of("meterconfig/4", 1), config);
    let meter = &running.of("meter/4", 1)[0];
    assert_eq!((&meter["len"], &meter["flow_count"]), (&json!(56), &json!(0)));
    let dropping = json!([{ "type": "DROP", "rate": 7, "burst_size": 0 }]);
    running
        .post("meterentry/modify", &json!({ "dpid": 1, "flags": "KBPS", "meter_id": 4, "bands": dropping }));
    assert_eq!(
        running.of("meterconfig", 1),
        json!([{ "meter_id": 4, "flags": ["KBPS"], "bands": dropping }])
    );
    running.post("meterentry/delete", &json!({ "dpid": 1, "meter_id": 4 }));
    assert_eq!(running.of("meter", 1), json!([]));
    assert_eq!(running.of("meterfeatures", 1)[0]["band_types"], json!(["DROP", "DSCP_REMARK"]));

    assert_eq!(running.of("desc", 1)["dp_desc"], "t1");
    let numbers = |value: Value| -> Vec<Value> {
        value.as_array().unwrap().iter().map(|port| port["port_no"].clone()).collect()
    };
    for dpid in [1, 2] {
        assert_eq!(numbers(running.of("port", dpid)), [json!(1), json!(2), json!("LOCAL")]);
        assert_eq!(numbers(running.of("port/2", dpid)), [json!(2)]);
        assert_eq!(numbers(running.of("portdesc", dpid)), [json!(1), json!(2), json!("LOCAL")]);
        running.post("portdesc/modify", &json!({ "dpid": dpid, "port_no": 1, "config": 1, "mask": 1 }));
        assert_eq!(running.of("portdesc", dpid)[0]["config"], 1);
        // A dummy has one queue, which counts nothing.
        for path in ["queue", "queue/ALL/ALL"] {
            let queues = running.of(path, dpid);
            let all = queues.as_array().unwrap().iter().map(|queue| (&queue["port_no"], &queue["queue_id"]));
            assert_eq!(all.collect::<Vec<_>>(), [(&json!(1), &json!(0)), (&json!(2), &json!(0))]);
        }
        assert_eq!(running.of("table", dpid).as_array().unwrap().len(), 254);
    }
    assert_eq!(running.of("queueconfig", 1)[0]["port"], "ANY");
    let queues = running.of("queueconfig/1", 1);
    assert_eq!((&queues[0]["port"], &queues[0]["queues"][0]["queue_id"]), (&json!(1), &json!(0)));
    let tables = running.of("tablefeatures", 1);
    assert_eq!(tables.as_array().unwrap().len(), 254, "in several messages");
    let properties = tables[0]["properties"].as_array().unwrap();
    let matches = properties.iter().find(|property| property["type"] == "MATCH").unwrap();
    assert!(
        matches["oxm_ids"]
            .as_array()
            .unwrap()
            .contains(&json!({ "type": "ipv4_src", "hasmask": 0, "length": 4 }))
    );

    assert_eq!(running.of("role", 1)[0]["role"], "EQUAL");
    running.post("role", &json!({ "dpid": 1, "role": "MASTER" }));
    assert_eq!(running.of("role", 1), json!([{ "role": "MASTER", "generation_id": 0 }]));
    // Nicira's, that asks for its form of packet-ins.
    let asked = json!({ "experimenter": 0x2320, "exp_type": 16, "data": "AAAAAQ==", "data_type": "base64" });
    running.post("experimenter/1", &asked);
}

#[test]
fn flows_of_openflow_1_0() {
    let running = Running::start();
    running.post(
        "flowentry/add",
        &json!({
            "dpid": 2, "priority": 11,
            "match": { "dl_vlan": 5, "dl_type": 2048, "nw_proto": 6, "nw_src": "10.0.0.0/24", "nw_tos": 40, "tp_dst": 80 },
            "actions": [
                { "type": "SET_DL_SRC", "dl_src": "aa:bb:cc:11:22:33" }, { "type": "SET_NW_TOS", "nw_tos": 8 },
                { "type": "SET_TP_SRC", "tp_src": 9 }, { "type": "SET_VLAN_VID", "vlan_vid": 6 },
                { "type": "ENQUEUE", "port": 1, "queue_id": 3 }, { "type": "OUTPUT", "port": "FLOOD" },
            ],
        }),
    );
    let flow = json!({
        "priority": 11, "cookie": 0, "idle_timeout": 0, "hard_timeout": 0, "byte_count": 0, "packet_count": 0,
        "table_id": 0,
        "match": {
            "dl_vlan": 5, "dl_type": 2048, "nw_proto": 6, "nw_src": "10.0.0.0/24", "nw_tos": 40, "tp_dst": 80,
        },
        "actions": [
            "SET_DL_SRC:aa:bb:cc:11:22:33", "SET_NW_TOS:8", "SET_TP_SRC:9", "SET_VLAN_VID:6", "ENQUEUE:1:3",
            "OUTPUT:FLOOD",
        ],
    });
    assert_eq!(timeless(running.of("flow", 2)), json!([flow]));
    // What it has no word for.
    let later = "tablefeatures queueconfig queuedesc group groupdesc groupfeatures meter meterconfig meterdesc meterfeatures role";
    for resource in later.split(' ') {
        assert_eq!(running.get(&format!("{resource}/2")).status, 501, "{resource}");
    }
    for resource in ["groupentry/add", "meterentry/add", "role", "experimenter/2"] {
        let told = running.ask("POST", &format!("/stats/{resource}"), "{\"dpid\": 2}");
        assert_eq!(told.status, 501, "{resource}");
    }
    let cleared = running.ask("DELETE", "/stats/flowentry/clear/2", "");
    assert_eq!((cleared.status, cleared.note), (200, None));
    assert_eq!(running.of("flow", 2), json!([]));
}

#[test]
fn what_is_wrong_has_ryus_status_and_a_reason() {
    let mut running = Running::start();
    let check = |running: &Running, request: &str, body: &str, status: u16, told: &str| {
        let (method, path) = request.split_once(' ').unwrap();
        let answer = running.ask(method, path, body);
        let note = answer.note.unwrap_or_default();
        assert_eq!(answer.status, status, "{request} {body}: {note}");
        assert!(note.contains(told), "{request} {body}: {note}");
    };
    for (request, body, status, told) in [
        ("GET /stats/desc/9", "", 404, "no such switch"),
        ("GET /stats/desc/x", "", 400, "no datapath id"),
        ("GET /stats/desc/01", "", 400, ""),
        ("GET /stats/desc", "", 404, ""),
        ("POST /stats/desc/1", "", 404, ""),
        ("GET /stats/port/1/x", "", 400, ""),
        ("GET /stats/queuedesc/1", "", 501, ""),
        ("GET /stats/port/1/99", "", 200, "OFPBRC_BAD_PORT"),
        ("GET /stats/port/2/99", "", 200, "refused"),
        ("POST /stats/flow/1", "{bad", 400, ""),
        ("POST /stats/flowentry/nope", "{\"dpid\":1}", 404, "no command"),
        ("POST /stats/flowentry/add", "{\"dpid\":7}", 404, ""),
        ("POST /stats/flowentry/add", "{}", 400, "dpid"),
        ("POST /stats/flowentry/add", "nonsense(", 400, "byte 0"),
        ("POST /stats/flowentry/add", "{\"dpid\":1,\"priority\":70000}", 400, "priority"),
        ("POST /stats/flowentry/add", "{\"dpid\":1,\"match\":{\"dl_src\":\"zz\"}}", 400, "dl_src"),
        ("POST /stats/flowentry/add", "{\"dpid\":1,\"match\":{\"tcp_dst\":80}}", 200, "OFPBMC_BAD_PREREQ"),
        (
            "POST /stats/flowentry/add",
            "{\"dpid\":1,\"match\":{\"nope\":1},\"priority\":3}",
            200,
            "ignored: nope",
        ),
        (
            "POST /stats/flowentry/add",
            "{\"dpid\":1,\"match\":{\"in_port\":1},\"priority\":3,\"flags\":2}",
            200,
            "OFPFMFC_OVERLAP",
        ),
        ("POST /stats/portdesc/modify", "{\"dpid\":1,\"port_no\":9}", 404, "no such port"),
        ("POST /stats/portdesc/nope", "{\"dpid\":1,\"port_no\":1}", 404, "no command"),
        ("POST /stats/portdesc/modify", "{\"dpid\":1}", 400, "port_no"),
        ("POST /stats/groupentry/add", "{\"dpid\":1,\"group_id\":1,\"type\":\"NOPE\"}", 400, "NOPE"),
        ("POST /stats/experimenter/1", "{\"experimenter\":1}", 200, "OFPBRC_BAD_VENDOR"),
    ] {
        check(&running, request, body, status, told);
    }
    let deep = format!("{{\"dpid\":1,\"match\":{}}}", "[".repeat(100_000));
    check(&running, "POST /stats/flowentry/add", &deep, 400, "deeply");
    let actions = vec!["{\"type\":\"OUTPUT\",\"port\":1}"; 5_000].join(",");
    let long = format!("{{\"dpid\":1,\"actions\":[{actions}]}}");
    check(&running, "POST /stats/flowentry/add", &long, 400, "65535");
    // A length beyond the bound is refused before the body comes.
    let mut stream = TcpStream::connect(&running.web).unwrap();
    let head = "POST /stats/flowentry/add HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\nConnection: close\r\n\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    assert_eq!(told(&mut stream).status, 413);
    for (origin, status) in [("http://elsewhere.example", 403), ("null", 403), ("http://localhost", 200)] {
        let mut stream = TcpStream::connect(&running.web).unwrap();
        let head = format!("Host: localhost\r\nOrigin: {origin}\r\nConnection: close");
        write!(stream, "GET /stats/switches HTTP/1.1\r\n{head}\r\n\r\n").unwrap();
        assert_eq!(told(&mut stream).status, status, "{origin}");
    }
    running.stop_switch();
    wait_until("the switches are gone", || running.get("switches").value == json!([]));
    check(&running, "GET /stats/desc/1", "", 404, "");
}

#[test]
fn clients_that_say_nothing_give_their_places_back() {
    let running = Running::start();
    let begun = Instant::now();
    let mut silent: Vec<TcpStream> = (0..80).map(|_| TcpStream::connect(&running.web).unwrap()).collect();
    for (index, stream) in silent.iter_mut().enumerate() {
        // Some begin a request or a body, and some ask for megabytes that they do not read.
        let whole = "GET /stats/tablefeatures/1 HTTP/1.1\r\nHost: x\r\n\r\n";
        let body = "POST /stats/flow/1 HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{";
        let begin = ["", "GET /stats/sw", whole, body];
        stream.write_all(begin[index % 4].as_bytes()).unwrap();
    }
    assert_eq!(running.get("switches").value, json!([1, 2]));
    assert!(begun.elapsed() < Duration::from_secs(40), "{:?}", begun.elapsed());
}
