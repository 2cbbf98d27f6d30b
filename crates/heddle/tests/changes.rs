//! Hosts, switches and links that come and go while their lab runs. Skipped, aloud, where no lab can be had.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::process::Stdio;
use std::time::{Duration, Instant};

use common::{Place, everything, kill, labs_work, wait_until};
use serde_json::{Value, json};

/// A connection that carries many requests.
struct Session(BufReader<UnixStream>);

impl Session {
    fn new(place: &Place) -> Self {
        let stream = UnixStream::connect(place.run_directory("lab").join("control.sock")).unwrap();
        Self(BufReader::new(stream))
    }

    fn ask(&mut self, request: &Value) -> Value {
        self.0.get_mut().write_all(format!("{request}\n").as_bytes()).unwrap();
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }

    fn add_host(&mut self, name: &str, switch: &str) -> Value {
        self.ask(&json!({ "add": { "hosts": [{ "name": name }], "links": [{ "a": name, "b": switch }] } }))
    }

    fn remove_host(&mut self, name: &str) -> Value {
        self.ask(&json!({ "remove": { "hosts": [name] } }))
    }
}

fn shown(place: &Place) -> Value {
    serde_json::from_str(&place.good(&["lab", "show", "--json"])).unwrap()
}

fn shell(place: &Place, lines: &str) -> String {
    let mut shell = place.heddle(&["lab", "shell"]);
    let mut shell =
        shell.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    shell.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    everything(&shell.wait_with_output().unwrap())
}

#[test]
fn what_is_added_works_and_outlives_the_switch_and_what_is_removed_is_gone() {
    if !labs_work() {
        return;
    }
    for wiring in ["tap", "veth"] {
        if wiring == "tap" && std::fs::File::options().read(true).write(true).open("/dev/net/tun").is_err() {
            eprintln!("SKIPPED: labs wired by TAP: /dev/net/tun cannot be opened");
            continue;
        }
        let place = Place::new();
        place.good(&["lab", "--topo", "linear,2", "--controller", "none", "--wiring", wiring, "--detach"]);
        place.good(&["lab", "add", "switch", "s9", "--link", "s2"]);
        place.good(&[
            "lab",
            "add",
            "host",
            "h9",
            "--link",
            "s9",
            "--ip",
            "10.0.0.90/8",
            "--ip",
            "fd00::90/64",
        ]);
        place.good(&["lab", "add", "link", "h1", "s9", "--a-port", "3"]);
        place.good(&["exec", "h9", "ping", "-4", "-c1", "-w5", "h1"]);
        assert!(place.good(&["exec", "h1", "cat", "/etc/hosts"]).contains("10.0.0.90 h9"));
        assert!(place.good(&["exec", "h1", "ip", "-br", "link"]).contains("h1-eth3"));
        place.good(&["lab", "remove", "link", "h1", "s9"]);
        assert!(!place.good(&["exec", "h1", "ip", "-br", "link"]).contains("h1-eth3"));
        kill(place.processes("lab-switch")[0]);
        wait_until("another switch runs", || shown(&place)["switch_restarts"] == 1);
        place.good(&["exec", "h9", "ping", "-4", "-c1", "-w5", "h1"]);
        let mut program = place.heddle(&["exec", "h9", "sh", "-c", "setsid sleep 60 & exec sleep 60"]);
        let mut program = program.spawn().unwrap();
        wait_until("the program runs", || !place.processes("60").is_empty());
        let removed: Value =
            serde_json::from_str(&place.good(&["lab", "remove", "host", "h9", "--json"])).unwrap();
        assert_eq!(removed["links"][0]["b"], json!({ "node": "s9", "port": 2 }));
        assert_eq!(program.wait().unwrap().code(), Some(128 + 9));
        assert!(place.processes("60").is_empty(), "a program of a host that was removed still runs");
        assert!(place.bad(&["exec", "h9", "true"]).contains("no host h9"));
        // Names, addresses and ports are free again, at once.
        for _ in 0..3 {
            place.good(&["lab", "add", "host", "h9", "--link", "s9"]);
            place.good(&["exec", "h9", "ping", "-4", "-c1", "-w5", "h2"]);
            place.good(&["lab", "remove", "host", "h9"]);
        }
        place.good(&["lab", "remove", "switch", "s9"]);
        assert!(!place.run_directory("lab").join("s9.mgmt").exists());
        let text =
            shell(&place, "nodes\nadd host web s1 ip=10.0.1.1/8\npingall\nremove web\nnodes\nremove s7\n");
        assert!(text.contains("h1 -> h2 web ") && text.contains("0% dropped (6/6 received)"), "{text}");
        assert!(text.ends_with("h1 h2 s1 s2\n*** the lab has no host s7\n"), "{text}");
        assert_eq!(shown(&place)["links"].as_array().unwrap().len(), 3);
    }
}

#[test]
fn a_host_that_lost_its_first_device_gets_its_addresses_back_with_the_next() {
    if !labs_work() {
        return;
    }
    let place = Place::new();
    place.good(&["lab", "--topo", "linear,2", "--controller", "none", "--detach"]);
    for (words, addressed) in [
        (&["remove", "link", "h1", "s1"][..], None),
        (&["add", "link", "h1", "s2"], Some("h1-eth0")),
        (&["add", "link", "h1", "s1"], Some("h1-eth0")),
        (&["remove", "link", "h1", "s2"], None),
        (&["add", "link", "h1", "s2", "--a-port", "7"], Some("h1-eth7")),
    ] {
        place.good(&[&["lab"], words].concat());
        let text = place.good(&["exec", "h1", "ip", "-br", "-4", "addr"]);
        let device =
            text.lines().find(|line| line.contains("10.0.0.1/8")).map(|line| line.split(' ').next().unwrap());
        assert_eq!(device, addressed, "{words:?}: {text}");
    }
    place.good(&["exec", "h1", "ping", "-4", "-c1", "-w5", "h2"]);
}

#[test]
fn a_change_that_is_refused_half_way_is_undone() {
    if !labs_work() {
        return;
    }
    let place = Place::new();
    place.good(&["lab", "--topo", "single,2", "--controller", "none", "--detach"]);
    let before = shown(&place);
    let two = json!({ "add": {
        "hosts": [{ "name": "h8" }, { "name": "h9" }], "switches": [{ "name": "s2" }],
        "links": [{ "a": "h8", "b": "s2" }, { "a": "s1", "b": "s2" }, { "a": "h1", "b": "s2" }],
    } });
    // A device of h1 has the name already.
    place.good(&["exec", "h1", "ip", "link", "add", "h1-eth1", "type", "veth", "peer", "name", "other"]);
    let refused = Session::new(&place).ask(&two);
    assert!(refused["error"].as_str().unwrap().contains("h1"), "{refused}");
    assert_eq!(shown(&place), before);
    place.good(&["exec", "h1", "ip", "link", "del", "other"]);
    // There is no room for the hosts file.
    let aside = place.run_directory("lab").join("hosts.new");
    std::fs::create_dir(&aside).unwrap();
    assert!(place.bad(&["lab", "add", "host", "h9"]).contains("hosts.new cannot be written"));
    assert!(place.bad(&["lab", "remove", "host", "h1"]).contains("hosts.new cannot be written"));
    std::fs::remove_dir(&aside).unwrap();
    assert_eq!(shown(&place), before);
    for (words, expected) in [
        (&["add", "host", "h1"][..], "h1 is used twice"),
        (&["add", "host", "h9", "--link", "s4"], "s4"),
        (&["add", "host", "h9", "--ip", "10.0.0.1/8"], "same address 10.0.0.1"),
        (&["add", "link", "h1", "h2"], "two hosts"),
        (&["add", "switch", "core"], "core"),
        (&["remove", "host", "h1", "h7"], "no host h7"),
    ] {
        let text = place.bad(&[&["lab"], words].concat());
        assert!(text.contains(expected), "{words:?}: {text}");
    }
    assert_eq!(shown(&place), before);
    assert_eq!(Session::new(&place).ask(&two)["changed"]["links"].as_array().unwrap().len(), 3);
    place.good(&["exec", "h8", "ping", "-4", "-c1", "-w5", "h2"]);
}

#[test]
fn changes_of_many_clients_come_one_after_the_other() {
    if !labs_work() {
        return;
    }
    let place = Place::new();
    place.good(&["lab", "--topo", "single,2", "--controller", "none", "--detach"]);
    std::thread::scope(|scope| {
        for client in 1..=4 {
            let place = &place;
            scope.spawn(move || {
                let mut session = Session::new(place);
                for round in 0..8 {
                    let name = format!("c{client}x{round}");
                    assert!(session.add_host(&name, "s1")["changed"].is_object(), "{name}");
                    if round % 2 == 0 {
                        assert!(session.remove_host(&name)["changed"].is_object(), "{name}");
                    }
                }
            });
        }
    });
    let info = shown(&place);
    assert_eq!(info["hosts"].as_array().unwrap().len(), 2 + 4 * 4);
    let addresses: std::collections::BTreeSet<_> =
        info["hosts"].as_array().unwrap().iter().map(|host| host["addresses"].to_string()).collect();
    assert_eq!(addresses.len(), 18);
    let text = shell(&place, "pingall\n");
    assert!(text.contains("0% dropped"), "{text}");
}

#[test]
fn a_hundred_changes_a_second() {
    if !labs_work() {
        return;
    }
    let place = Place::new();
    place.good(&["lab", "--topo", "single,10", "--controller", "none", "--detach"]);
    let mut session = Session::new(&place);
    let begun = Instant::now();
    for _ in 0..25 {
        for answer in [
            session.add_host("h100", "s1"),
            session.ask(&json!({ "remove": { "links": [["h100", "s1"]] } })),
            session.ask(&json!({ "add": { "links": [{ "a": "h100", "b": "s1" }] } })),
            session.remove_host("h100"),
        ] {
            assert!(answer["changed"].is_object(), "{answer}");
        }
    }
    let took = begun.elapsed();
    eprintln!("a hundred changes: {took:?}");
    // Held with room for a machine that does other things; `scripts/bench lab` has the numbers.
    assert!(took < Duration::from_secs(3), "{took:?}");
}

#[test]
fn large_labs_tell_their_hosts_where_others_are() {
    if !labs_work() {
        return;
    }
    let entries = |place: &Place, host: &str| place.good(&["exec", host, "ip", "neigh"]);
    let place = Place::new();
    place.good(&["lab", "--topo", "single,32", "--controller", "none", "--detach"]);
    let mut session = Session::new(&place);
    let pings = |session: &mut Session, from: &str, ipv6: bool| {
        let answer =
            session.ask(&json!({ "ping": { "from": [from], "to": [], "ipv6": ipv6, "timeout": 2 } }));
        let pairs = answer["ping"].as_array().unwrap_or_else(|| panic!("{answer}")).clone();
        (pairs.len(), pairs.iter().filter(|pair| pair["answered"] == true).count())
    };
    place.good(&["exec", "h1", "ping", "-4", "-c1", "-w5", "h2"]);
    assert!(!entries(&place, "h1").contains("extern_learn"), "a small lab asks the wire");
    // One more is one too many for the kernel; those that were there are told, too.
    session.add_host("h33", "s1");
    for (host, ipv6) in [("h33", false), ("h33", true), ("h3", false), ("h3", true)] {
        // The last of a conversation.
        assert_eq!(pings(&mut session, host, ipv6), (32, 32), "{host}");
        session = Session::new(&place);
        let text = entries(&place, host);
        let (learned, all) = (text.matches("extern_learn").count(), text.matches("lladdr").count());
        assert_eq!(learned, all, "{text}");
    }
    // Nobody else hears of it.
    let heard = || place.good(&["exec", "h5", "cat", "/sys/class/net/h5-eth0/statistics/rx_packets"]);
    let before = heard();
    place.good(&["exec", "h33", "ping", "-4", "-c3", "-i0.1", "-W2", "h3"]);
    assert_eq!(heard(), before);
    // What the topology does not know is found on the wire.
    place.good(&["exec", "h7", "ip", "addr", "add", "10.9.9.9/8", "dev", "h7-eth0"]);
    place.good(&["exec", "h33", "ping", "-4", "-c1", "-W5", "10.9.9.9"]);
}
