//! Links with settings, captures and experiments as a user has them: real hosts, real programs, wall clocks. Bounds in time
//! are loose, since other tests run beside these; what is exact is tested exactly.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use std::process::Stdio;

use common::{Place, example, installed, labs_work};
use serde_json::Value;

/// The least round trip of some pings, in ms.
fn round_trip(place: &Place, words: &[&str]) -> f64 {
    let text = place.good(&[&["exec"], words].concat());
    let least = text.split(" = ").last().and_then(|numbers| numbers.split('/').next());
    least.and_then(|least| least.parse().ok()).unwrap_or_else(|| panic!("{text}"))
}

fn ping(place: &Place) -> f64 {
    round_trip(place, &["h1", "ping", "-n", "-c5", "-i0.2", "-W2", "10.0.0.2"])
}

#[test]
fn delays_add_up_and_change_while_the_lab_runs() {
    if !labs_work() || !installed("ping", "iputils-ping") {
        return;
    }
    let place = Place::new();
    let link = ["--link", "tc,bw=100,delay=5ms", "--controller", "none"];
    place.good(&[&["lab", "--topo", "linear,2", "--detach"], &link[..]].concat());
    // Three links, there and back.
    let least = ping(&place);
    assert!((30.0..45.0).contains(&least), "{least}");
    place.good(&["lab", "link", "s1", "s2", "delay=25ms", "--one-way"]);
    let least = ping(&place);
    assert!((50.0..65.0).contains(&least), "{least}");
    // Settings that are not named stay, and a switch that takes over has them too.
    let text = place.good(&["lab", "links"]);
    assert!(text.contains("s1-eth2 -> s2-eth2  rate=100mbit,delay=25ms"), "{text}");
    for pid in place.processes("lab-switch") {
        common::kill(pid);
    }
    common::wait_until("another switch forwards", || {
        let words = ["exec", "h1", "ping", "-n", "-c1", "-W1", "10.0.0.2"];
        place.heddle(&words).output().unwrap().status.success()
    });
    let least = ping(&place);
    assert!((50.0..65.0).contains(&least), "{least}");
    for link in [["h1", "s1"], ["h2", "s2"], ["s1", "s2"]] {
        place.good(&["lab", "link", link[0], link[1], "perfect"]);
    }
    let least = ping(&place);
    assert!(least < 5.0, "{least}");
    // What is added may have settings at once, and what is removed takes its lines along.
    place.good(&["lab", "add", "host", "h3"]);
    place.good(&["lab", "add", "link", "h3", "s1", "delay=10ms"]);
    let least = round_trip(&place, &["h1", "ping", "-n", "-c3", "-i0.2", "-W2", "10.0.0.3"]);
    assert!((20.0..35.0).contains(&least), "{least}");
    place.good(&["lab", "remove", "link", "s1", "s2"]);
    place.good(&["lab", "add", "link", "s1", "s2"]);
    let least = ping(&place);
    assert!(least < 5.0, "{least}");
    let text = place.bad(&["lab", "link", "h1", "s1", "delay=fast"]);
    assert!(text.contains("delay=fast") && text.contains("10ms"), "{text}");
    assert!(place.bad(&["lab", "link", "h1", "s2", "delay=1ms"]).contains("no link between h1 and s2"));
    assert!(place.bad(&["lab", "link", "h1", "s1", "down", "--one-way"]).contains("both ways"));
}

/// The numbered datagrams that come over two links of a lab with this seed.
fn datagrams(seed: &str) -> Vec<u32> {
    let place = Place::new();
    let words = ["lab", "--link", "rate=10mbit,delay=2ms,loss=5%", "--seed", seed, "--controller", "none"];
    // Who asks for a neighbour and is not heard drops some of what it has to send before it comes to the link.
    place.good(&[&words[..], &["--arp", "static", "--detach"]].concat());
    numbers(&place, 400)
}

#[test]
fn the_same_datagrams_are_lost_for_the_same_seed() {
    if !labs_work() || !installed("python3", "python3") {
        return;
    }
    let first = datagrams("7");
    // Two links lose 5 % each; the binomial's bounds beyond any doubt.
    assert!((320..=392).contains(&first.len()), "{}", first.len());
    assert_eq!(first, datagrams("7"));
    assert_ne!(first, datagrams("8"));
}

#[test]
fn a_capture_is_read_by_tcpdump() {
    if !labs_work() || !installed("tcpdump", "tcpdump") || !installed("ping", "iputils-ping") {
        return;
    }
    let place = Place::new();
    place.good(&["lab", "--topo", "linear,2", "--controller", "none", "--detach"]);
    let mut kept = vec![];
    for interface in [&["h1-eth0"][..], &["s1", "s2"]] {
        let file = place.directory.join(format!("{}.pcapng", interface[0]));
        let words = [&["lab", "capture", "--seconds", "2", "-w", file.to_str().unwrap()], interface].concat();
        let capture = place.heddle(&words).stderr(Stdio::piped()).spawn().unwrap();
        kept.push((capture, file));
    }
    std::thread::sleep(std::time::Duration::from_millis(500));
    place.good(&["exec", "h1", "ping", "-n", "-c3", "-i0.2", "10.0.0.2"]);
    for (capture, file) in kept {
        let said = common::everything(&capture.wait_with_output().unwrap());
        assert!(said.contains("packets") && !said.contains("too many"), "{said}");
        let mut tcpdump = std::process::Command::new("tcpdump");
        let read = tcpdump.args(["-n", "-r"]).arg(&file).arg("icmp").output().unwrap();
        let text = common::everything(&read);
        assert_eq!(text.matches("ICMP echo request").count(), 3, "{text}");
        assert_eq!(text.matches("ICMP echo reply").count(), 3, "{text}");
    }
    assert!(place.bad(&["lab", "capture", "h7-eth0", "-w", "-"]).contains("no interface h7-eth0"));
}

#[test]
fn an_experiment_is_run_judged_and_reported() {
    if !labs_work() || !installed("ping", "iputils-ping") {
        return;
    }
    let place = Place::new();
    let output = place.directory.join("out");
    let words = ["lab", "run", "--output", output.to_str().unwrap(), "--json"];
    let report = |file: &str| {
        let run = place.heddle(&[&words[..], &[file]].concat()).output().unwrap();
        let said = common::everything(&run);
        let value: Value = serde_json::from_slice(&run.stdout).unwrap_or_else(|_| panic!("{said}"));
        (run.status.code(), value)
    };
    let (code, value) = report(&example("flapping-link.yaml"));
    let failed: Vec<&Value> =
        value["verdicts"].as_array().unwrap().iter().filter(|verdict| verdict["holds"] == false).collect();
    assert_eq!((code, failed.len()), (Some(0), 0), "{failed:?}");
    assert!(value["events"].as_array().unwrap().len() >= 4, "{value}");
    let page = std::fs::read_to_string(output.join("report.html")).unwrap();
    assert!(page.contains("<svg") && page.contains("Expectations"));
    let written: Value = serde_json::from_slice(&std::fs::read(output.join("report.json")).unwrap()).unwrap();
    assert_eq!(written, value);
    assert!(output.join("uplink.pcapng").metadata().unwrap().len() > 200);

    // What is not as expected fails the whole; a program that is not there is said to be so.
    let file = place.directory.join("wrong.yaml");
    std::fs::write(
        &file,
        "topology: minimal\ncontroller: none\nprograms:\n\
         - {name: none, host: h1, run: [/no/such/program]}\n\
         - {name: long, host: h2, run: sleep 60, timeout: 300ms}\n\
         expect:\n- {program: none, exit: 0}\n- {program: long, seconds: true, at_most: 30}\n",
    )
    .unwrap();
    let (code, value) = report(file.to_str().unwrap());
    let holds: Vec<bool> =
        value["verdicts"].as_array().unwrap().iter().map(|verdict| verdict["holds"] == true).collect();
    assert_eq!((code, holds), (Some(1), vec![false, true]), "{value}");
    assert!(value["programs"][0]["note"].as_str().unwrap().contains("/no/such/program"), "{value}");
    std::fs::write(&file, "topology: minimal\nprogams: []\n").unwrap();
    let run = place.heddle(&[&words[..], &[file.to_str().unwrap()]].concat()).output().unwrap();
    let said = common::everything(&run);
    assert!(run.status.code() == Some(2) && said.contains("progams"), "{said}");
}

#[test]
fn a_service_chain_steers_filters_and_shapes() {
    let tools =
        [("ping", "iputils-ping"), ("iperf3", "iperf3"), ("python3", "python3"), ("sysctl", "procps")];
    let switch = [("ovs-ofctl", "openvswitch-switch"), ("ip", "iproute2")];
    if !labs_work() || !tools.iter().chain(&switch).all(|(program, package)| installed(program, package)) {
        return;
    }
    let place = Place::new();
    let output = place.directory.join("out");
    let file = example("service-chain.yaml");
    let run = place.heddle(&["lab", "run", "--output", output.to_str().unwrap(), &file]).output().unwrap();
    let said = common::everything(&run);
    assert_eq!(run.status.code(), Some(0), "{said}");
    assert_eq!(said.matches("holds").count(), 5, "{said}");
}

#[test]
fn a_lab_is_drawn() {
    let place = Place::new();
    let picture = place.good(&["lab", "graph", "--topo", "torus,3,3"]);
    assert_eq!((picture.matches("<rect").count(), picture.matches("<line").count()), (9, 27));
    let file = place.directory.join("campus.dot");
    place.good(&["lab", "graph", &example("campus.yaml"), "-o", file.to_str().unwrap()]);
    assert!(std::fs::read_to_string(file).unwrap().starts_with("graph lab {"));
    if labs_work() {
        place.good(&["lab", "--topo", "linear,2", "--controller", "none", "--detach"]);
        assert!(place.good(&["lab", "graph", "--format", "dot"]).contains("\"h1\" -- \"s1\""));
    }
}

/// Sends numbered datagrams from h1 to h2, 2 ms apart; those that came, in their order.
fn numbers(place: &Place, count: u32) -> Vec<u32> {
    let receive = "import socket\n\
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n\
        s.bind(('', 9)); s.settimeout(2); print('ready', flush=True)\n\
        try:\n    while True: print(int(s.recv(64)))\n\
        except TimeoutError: pass\n";
    let send = format!(
        "import socket, time\n\
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n\
        for i in range({count}): s.sendto(str(i).encode(), ('10.0.0.2', 9)); time.sleep(0.002)\n"
    );
    let mut receiver = place.heddle(&["exec", "h2", "python3", "-c", receive]);
    let receiver = receiver.stdout(Stdio::piped()).spawn().unwrap();
    common::wait_until("the receiver listens", || {
        place.good(&["exec", "h2", "cat", "/proc/net/udp"]).contains(":0009 ")
    });
    place.good(&["exec", "h1", "python3", "-c", &send]);
    let output = receiver.wait_with_output().unwrap();
    String::from_utf8(output.stdout).unwrap().lines().filter_map(|line| line.parse().ok()).collect()
}

#[test]
fn programs_see_what_links_do() {
    if !labs_work() || !installed("python3", "python3") || !installed("ping", "iputils-ping") {
        return;
    }
    let place = Place::new();
    place.good(&["lab", "--link", "pattern=every10", "--controller", "none", "--detach"]);
    place.good(&["lab", "link", "h2", "s1", "perfect"]);
    // Which packets a pattern loses is exact: what kernels say among themselves does not count.
    let came = numbers(&place, 100);
    let wanted: Vec<u32> = (0..100).filter(|number| number % 10 != 9).collect();
    assert_eq!(came, wanted);
    place.good(&["lab", "link", "h1", "s1", "loss=0", "duplicate=100%", "--one-way"]);
    let twice: Vec<u32> = (0..50).flat_map(|number| [number, number]).collect();
    assert_eq!(numbers(&place, 50), twice);
    let text = place.good(&["exec", "h1", "ping", "-n", "-c2", "-i0.2", "10.0.0.2"]);
    assert!(text.contains("DUP!"), "{text}");
    place.good(&["lab", "link", "h1", "s1", "duplicate=0", "delay=30ms", "reorder=30%"]);
    let came = numbers(&place, 100);
    let mut sorted = came.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, (0..100).collect::<Vec<u32>>());
    assert_ne!(came, sorted, "nobody overtakes");
    place.good(&["lab", "link", "h1", "s1", "perfect", "corrupt=100%"]);
    assert!(numbers(&place, 50).is_empty(), "a broken datagram is taken for a good one");
    place.good(&["lab", "link", "h1", "s1", "perfect", "burst=5%/30%"]);
    let came = numbers(&place, 400);
    let lost: Vec<u32> = (0..400).filter(|number| !came.contains(number)).collect();
    let pairs = lost.windows(2).filter(|pair| pair[1] == pair[0] + 1).count();
    // A seventh is lost, and seven of ten lost ones are followed by another.
    assert!((20..120).contains(&lost.len()) && 3 * pairs > lost.len(), "{lost:?}");
}

#[test]
fn queues_are_kept_short_and_packets_marked() {
    let tools = [("iperf3", "iperf3"), ("ping", "iputils-ping"), ("sysctl", "procps")];
    if !labs_work() || !tools.iter().all(|(program, package)| installed(program, package)) {
        return;
    }
    let place = Place::new();
    place.good(&["lab", "--controller", "none", "--detach"]);
    for host in ["h1", "h2"] {
        place.good(&["exec", host, "sysctl", "-q", "-w", "net.ipv4.tcp_ecn=1"]);
    }
    // Three seconds of four streams, and the median of pings beside them.
    let loaded = || {
        let mut server = place.heddle(&["exec", "h2", "iperf3", "-s", "-1"]);
        let mut server = server.stdout(Stdio::null()).spawn().unwrap();
        common::wait_until("iperf3 listens", || {
            place.good(&["exec", "h2", "cat", "/proc/net/tcp6", "/proc/net/tcp"]).contains(":1451 ")
        });
        let mut client =
            place.heddle(&["exec", "h1", "iperf3", "-c", "10.0.0.2", "-t", "4", "-P", "4", "-C", "cubic"]);
        let mut client = client.stdout(Stdio::null()).spawn().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(1500));
        let text = place.good(&["exec", "h1", "ping", "-n", "-c20", "-i0.1", "-W5", "10.0.0.2"]);
        assert!(client.wait().unwrap().success() && server.wait().unwrap().success());
        let times =
            text.lines().filter_map(|line| line.split_once("time=")?.1.split_once(' ')?.0.parse().ok());
        let mut times: Vec<f64> = times.collect();
        times.sort_by(f64::total_cmp);
        times[times.len() / 2]
    };
    let marked = || {
        let links: Value = serde_json::from_str(&place.good(&["lab", "links", "--json"])).unwrap();
        links[0]["a_to_b"]["statistics"]["marked"]["packets"].as_u64().unwrap()
    };
    place.good(&["lab", "link", "h1", "s1", "rate=10mbit", "queue=200", "--one-way"]);
    let full = loaded();
    assert_eq!(marked(), 0);
    place.good(&["lab", "link", "h1", "s1", "discipline=codel", "ecn", "--one-way"]);
    let kept_short = loaded();
    // Two hundred packets of 1,514 bytes take 242 ms; CoDel holds the wait near 5.
    assert!(full > 100.0 && kept_short < full / 2.0, "{full} {kept_short}");
    assert!(marked() > 0, "nothing is marked");
    let counts = place.good(&["exec", "h2", "cat", "/proc/net/netstat"]);
    let lines: Vec<&str> = counts.lines().filter(|line| line.starts_with("IpExt")).collect();
    let place_of = lines[0].split(' ').position(|name| name == "InCEPkts").unwrap();
    assert_ne!(lines[1].split(' ').nth(place_of), Some("0"), "no mark arrives");
    place.good(&["lab", "link", "h1", "s1", "discipline=red/10/40/10%", "--one-way"]);
    let red = loaded();
    assert!(red < full / 2.0, "{full} {red}");
}
