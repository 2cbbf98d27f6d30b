//! Labs as a user starts them: real hosts, the real switch, controllers over real connections. Skipped, aloud, where
//! the kernel gives this user no namespaces.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use std::io::Write;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use common::{Place, everything, example, installed, kill, labs_work, wait_until};

const TOPOLOGIES: [&str; 2] = ["tree,depth=2,fanout=3", "linear,8"];

#[test]
fn pingall_loses_nothing_under_the_built_in_controller_and_standalone() {
    if !labs_work() {
        return;
    }
    for topology in TOPOLOGIES {
        for controller in ["built-in", "none"] {
            for test in ["pingall", "pingall6"] {
                let words = ["lab", "--topo", topology, "--controller", controller, "--test", test];
                let text = Place::new().good(&words);
                assert!(text.contains("*** Results: 0% dropped"), "{words:?}: {text}");
            }
        }
    }
}

#[test]
fn hosts_wired_by_veth_pairs_reach_each_other() {
    if !labs_work() {
        return;
    }
    let place = Place::new();
    let text = place.good(&["lab", "--topo", "linear,3", "--wiring", "veth", "--test", "pingall"]);
    assert!(text.contains("0% dropped (6/6 received)"), "{text}");
}

/// A process of somebody else's that a test needs.
struct Stock(Child);

impl Drop for Stock {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn pingall_loses_nothing_under_open_vswitchs_controller() {
    if !labs_work() || !installed("ovs-testcontroller", "openvswitch-testcontroller") {
        return;
    }
    let place = Place::new();
    let port = {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        free.local_addr().unwrap().port()
    };
    let controller = Command::new("ovs-testcontroller")
        .args(["-O", "OpenFlow13", &format!("ptcp:{port}:127.0.0.1")])
        .env("OVS_RUNDIR", &place.directory)
        .stderr(Stdio::null())
        .spawn();
    let _controller = Stock(controller.unwrap());
    wait_until("the controller listens", || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
    for topology in TOPOLOGIES {
        let controller = format!("remote,ip=127.0.0.1,port={port}");
        let text = place.good(&["lab", "--topo", topology, "--controller", &controller, "--test", "pingall"]);
        assert!(text.contains("*** Results: 0% dropped"), "{topology}: {text}");
        assert!(!text.contains("warning: the controller"), "{text}");
    }
}

#[test]
fn tcp_works_with_every_offload_on() {
    if !labs_work() || !installed("iperf3", "iperf3") {
        return;
    }
    let place = Place::new();
    let text = place.good(&["lab", "--topo", "linear,2", "--test", "iperf"]);
    let rate = text.split("Results: ['").nth(1).and_then(|rest| rest.split(' ').next()).unwrap();
    assert!(rate.parse::<f64>().unwrap() > 0.05, "{text}");
}

#[test]
fn stock_ovs_ofctl_reads_and_writes_flows_of_a_running_lab() {
    if !labs_work() || !installed("ovs-ofctl", "openvswitch-common") {
        return;
    }
    let place = Place::new();
    place.good(&["lab", "--topo", "single,2", "--controller", "none", "--detach", "--name", "flows"]);
    let ofctl = |words: &[&str]| {
        let mut command = Command::new("ovs-ofctl");
        command.args(["-O", "OpenFlow13"]).args(words).env("OVS_RUNDIR", place.run_directory("flows"));
        let output = command.output().unwrap();
        assert!(output.status.success(), "{words:?}: {}", everything(&output));
        everything(&output)
    };
    assert!(ofctl(&["show", "s1"]).contains("1(s1-eth1)"));
    place.good(&["exec", "h1", "ping", "-4", "-c1", "-W2", "h2"]);
    ofctl(&["add-flow", "s1", "priority=9,icmp,actions=drop"]);
    assert!(place.bad(&["exec", "h1", "ping", "-4", "-c1", "-W1", "h2"]).contains("100% packet loss"));
    let dump = ofctl(&["dump-flows", "s1"]);
    assert!(dump.contains("n_packets=1,") && dump.contains("priority=9,icmp actions=drop"), "{dump}");
    ofctl(&["del-flows", "s1", "icmp"]);
    place.good(&["exec", "h1", "ping", "-4", "-c1", "-W2", "h2"]);
    let trace =
        place.good(&["trace", "s1", "in_port=1,icmp,dl_src=00:00:00:00:00:01,dl_dst=00:00:00:00:00:02"]);
    assert!(trace.contains("bridge(\"s1\")") && trace.contains("forwarding to learned port"), "{trace}");
    assert!(place.bad(&["trace", "s9", "in_port=1"]).contains("s9: unknown bridge"));
    let mut appctl = Command::new("ovs-appctl");
    appctl.arg("-t").arg(place.run_directory("flows").join("switch.ctl")).args(["fdb/show", "s1"]);
    let fdb = everything(&appctl.output().unwrap());
    assert!(fdb.contains("00:00:00:00:00:02"), "{fdb}");
    let environment = place.good(&["lab", "env"]);
    assert_eq!(environment, format!("export OVS_RUNDIR={}\n", place.run_directory("flows").display()));
}

#[test]
fn programs_in_hosts_behave_as_on_the_machine() {
    if !labs_work() {
        return;
    }
    let place = Place::new();
    place.good(&["lab", "--topo", "single,3", "--detach"]);
    assert!(place.good(&["lab", "list"]).starts_with("lab "));
    assert_eq!(place.good(&["exec", "h2", "hostname"]), "h2\n");
    let status = place.heddle(&["exec", "h1", "sh", "-c", "exit 7"]).status().unwrap();
    assert_eq!(status.code(), Some(7));
    assert!(place.bad(&["exec", "h9", "true"]).contains("h9"));
    assert!(place.bad(&["exec", "h1", "no-such-program"]).contains("no-such-program"));
    place.good(&["exec", "h1", "ping", "-4", "-c1", "-W2", "h3"]);
    place.good(&["exec", "h1", "ping", "-6", "-c1", "-W2", "h3"]);
    let mut child = place.heddle(&["exec", "h1", "cat"]);
    let mut child = child.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"through and back\n").unwrap();
    assert_eq!(child.wait_with_output().unwrap().stdout, b"through and back\n");
    place.good(&["lab", "stop"]);
    assert!(place.bad(&["exec", "h1", "true"]).contains("no lab is running"));
}

#[test]
fn several_labs_run_at_once_each_with_its_own_s1() {
    if !labs_work() {
        return;
    }
    let place = Place::new();
    for name in ["one", "two"] {
        place.good(&["lab", "--topo", "single,2", "--detach", "--name", name]);
    }
    assert!(place.bad(&["lab", "--name", "one", "--detach"]).contains("already running"));
    assert!(place.bad(&["exec", "h1", "true"]).contains("one, two"));
    for name in ["one", "two"] {
        place.good(&["exec", "--lab", name, "h1", "ping", "-4", "-c1", "-W2", "h2"]);
        assert!(place.run_directory(name).join("s1.mgmt").exists());
    }
    place.good(&["lab", "stop", "one"]);
    place.good(&["exec", "h1", "ping", "-4", "-c1", "-W2", "h2"]);
    let json: serde_json::Value = serde_json::from_str(&place.good(&["lab", "list", "--json"])).unwrap();
    assert_eq!(json[0]["name"], "two");
    place.good(&["lab", "stop", "--all"]);
}

#[test]
fn labs_of_the_same_name_run_side_by_side() {
    if !labs_work() {
        return;
    }
    // Without a name, the second of a user has a number.
    let (mine, yours) = (Place::new(), Place::new());
    for place in [&mine, &yours] {
        place.good(&["lab", "--topo", "single,2", "--controller", "none", "--detach"]);
    }
    mine.good(&["lab", "--topo", "single,2", "--controller", "none", "--detach"]);
    let names = |place: &Place| -> Vec<String> {
        let list = place.good(&["lab", "list"]);
        list.lines().map(|line| line.split_whitespace().next().unwrap().to_owned()).collect()
    };
    assert_eq!((names(&mine), names(&yours)), (vec!["lab".into(), "lab-2".into()], vec!["lab".into()]));
    // The same names and addresses, and nothing of each other's.
    for (place, lab) in [(&mine, "lab"), (&mine, "lab-2"), (&yours, "lab")] {
        place.good(&["exec", "--lab", lab, "h1", "ping", "-4", "-c1", "-W2", "h2"]);
    }
    yours.good(&["lab", "remove", "host", "h2"]);
    assert!(yours.bad(&["exec", "h1", "ping", "-4", "-c1", "-W1", "10.0.0.2"]).contains("100% packet loss"));
    mine.good(&["exec", "--lab", "lab-2", "h1", "ping", "-4", "-c1", "-W2", "h2"]);
}

#[test]
fn the_shell_takes_mininets_words() {
    if !labs_work() {
        return;
    }
    let place = Place::new();
    let mut shell = place.heddle(&["lab", "--topo", "linear,2"]);
    let mut shell =
        shell.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let lines = "nodes\nnet\nlinks\ndump\npingall\nh1 ping -c1 -W2 h2\nlink s1 h1 down\npingpair\nlink s1 h1 up\n\
                 pingpair\nlink s1 s2 down\npingpair\nlink s1 s2 up\npingpair\nstatus\nsh echo $OVS_RUNDIR\nbogus\n\
                 exit\n";
    shell.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    let text = everything(&shell.wait_with_output().unwrap());
    for expected in [
        "h1 h2 s1 s2",
        "s1 s1-eth1:h1-eth0 s1-eth2:s2-eth2",
        "s2-eth2<->s1-eth2",
        "<Host h1: h1-eth0:10.0.0.1/8",
        "0% dropped (2/2 received)",
        "1 packets transmitted, 1 received",
        "Unknown command: bogus",
    ] {
        assert!(text.contains(expected), "{expected:?} is not in\n{text}");
    }
    let outcomes: Vec<&str> = text.lines().filter(|line| line.starts_with("*** Results: ")).collect();
    let lost = |line: &&str| line.contains("100% dropped");
    assert_eq!(outcomes.iter().map(lost).collect::<Vec<_>>(), [false, true, false, true, false], "{text}");
    assert!(text.contains(&format!("{}\n", place.run_directory("lab").display())), "{text}");
}

#[test]
fn a_loop_of_switches_costs_bounded_work_and_says_why_it_drops() {
    if !labs_work() {
        return;
    }
    let ring = example("ring.yaml");
    for controller in ["none", "built-in"] {
        let place = Place::new();
        place.good(&["lab", &ring, "--controller", controller, "--detach"]);
        let flood = ["exec", "h1", "ping", "-b", "-i", "0.01", "-c", "200", "-W1", "10.255.255.255"];
        let mut flood = place.heddle(&flood).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        wait_until("a reason is named", || {
            let begun = Instant::now();
            let text = place.good(&["lab", "show"]);
            assert!(begun.elapsed() < Duration::from_secs(1), "{:?} for an answer", begun.elapsed());
            text.contains(": too many ")
        });
        let _ = flood.kill();
        let _ = flood.wait();
    }
}

#[test]
fn rings_under_a_spanning_tree_deliver_and_heal() {
    if !labs_work() {
        return;
    }
    let place = Place::new();
    for words in [&["--topo", "torus,3,3"][..], &["--topo", "ring,5", "--controller", "none"]] {
        let text = place.good(&[&["lab", "--test", "pingall"], words].concat());
        assert!(text.contains("*** Results: 0% dropped"), "{words:?}: {text}");
    }
    for controller in ["built-in", "none"] {
        let place = Place::new();
        place.good(&["lab", "--topo", "ring,4", "--controller", controller, "--detach"]);
        let ping = ["exec", "h1", "ping", "-4", "-i", "0.02", "-c", "200", "-W1", "-q", "h3"];
        let ping = place.heddle(&ping).stdout(Stdio::piped()).spawn().unwrap();
        // Both ways are taken from the nodes that are on them: one of these cables is on h3's way.
        for line in ["link s1 s2 down\n", "link s1 s2 up\n", "link s1 s4 down\n"] {
            std::thread::sleep(Duration::from_millis(800));
            let mut shell = place.heddle(&["lab", "shell"]);
            let mut shell = shell.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
            shell.stdin.take().unwrap().write_all(line.as_bytes()).unwrap();
            assert!(shell.wait().unwrap().success());
        }
        let text = everything(&ping.wait_with_output().unwrap());
        let received: u32 =
            text.split(" received").next().unwrap().rsplit(' ').next().unwrap().parse().unwrap();
        eprintln!("a ring whose cables go out: {} of 200 pings lost ({controller})", 200 - received);
        assert!(received >= 150, "a cable that is out costs more than half a second: {text}");
    }
    let text = place.good(&["lab", "--topo", "ring,3", "--spanning-tree", "none", "--test", "none"]);
    assert!(text.contains("the switches form a ring"), "{text}");
}

#[test]
fn groups_fail_over_when_a_device_loses_its_carrier() {
    if !labs_work() {
        return;
    }
    let place = Place::new();
    place.good(&["lab", "--topo", "single,3", "--controller", "none", "--wiring", "veth", "--detach"]);
    let socket = format!("unix:{}", place.run_directory("lab").join("s1.mgmt").display());
    let ofctl = |verb: &str, words: &[&str]| {
        place.good(&[&["ofctl", "-O", "OpenFlow13", verb, socket.as_str()], words].concat())
    };
    ofctl("add-group", &["group_id=1,type=ff,bucket=watch_port:2,output:2,bucket=watch_port:3,output:3"]);
    ofctl("add-flow", &["priority=9,in_port=1,dl_type=0x88b5,actions=group:1"]);
    ofctl("add-flow", &["priority=8,dl_type=0x88b5,actions=drop"]);
    let sent = |port: &str| -> u64 {
        let stats = ofctl("dump-ports", &[port]);
        stats.split("tx pkts=").nth(1).unwrap().split(',').next().unwrap().parse().unwrap()
    };
    let flood = "import socket, time\ns = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)\ns.bind(('h1-eth0', 0))\n\
                 for _ in range(800):\n s.send(bytes.fromhex('ffffffffffff00000000000188b5') + bytes(46))\n time.sleep(0.005)";
    let flood = place.heddle(&["exec", "h1", "python3", "-c", flood]).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(700));
    let before = [sent("2"), sent("3")];
    assert!(before[0] >= 20, "{before:?}");
    place.good(&["exec", "h2", "ip", "link", "set", "h2-eth0", "down"]);
    assert!(everything(&flood.wait_with_output().unwrap()).is_empty());
    let after = [sent("2"), sent("3")];
    eprintln!("packets sent by both ports until a carrier was lost: {before:?}; in the end: {after:?}");
    // The kernel takes up to a second to tell.
    assert!(after[1] >= before[1] + 100, "{before:?} {after:?}");
    assert!(ofctl("show", &[]).contains("LINK_DOWN"));
}

#[test]
fn a_killed_switch_is_replaced_and_the_loss_is_stated() {
    if !labs_work() {
        return;
    }
    let place = Place::new();
    place.good(&["lab", "--topo", "single,2", "--detach"]);
    let ping = ["exec", "h1", "ping", "-4", "-i", "0.01", "-c", "300", "-W1", "-q", "h2"];
    let ping = place.heddle(&ping).stdout(Stdio::piped()).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(700));
    let switches = place.processes("lab-switch");
    assert_eq!(switches.len(), 1);
    kill(switches[0]);
    let text = everything(&ping.wait_with_output().unwrap());
    let received: u32 = text.split(" received").next().unwrap().rsplit(' ').next().unwrap().parse().unwrap();
    assert!(received >= 200, "a killed switch costs more than a second: {text}");
    let info: serde_json::Value = serde_json::from_str(&place.good(&["lab", "show", "--json"])).unwrap();
    assert_eq!(info["switch_restarts"], 1);
    let outage = info["last_outage_ms"].as_u64().unwrap();
    eprintln!("a killed switch: {outage} ms without forwarding, {} of 300 pings lost", 300 - received);
    assert!(place.good(&["lab", "show"]).contains("restarted once"));
}

#[test]
fn a_controller_that_stalls_harms_no_other_bridge() {
    if !labs_work() {
        return;
    }
    // It takes connections and never reads: half of the switches will be another lab's, with the built-in controller.
    let stalled = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = stalled.local_addr().unwrap().port();
    let taken = std::thread::spawn(move || {
        let mut held = vec![];
        for stream in stalled.incoming().take(2).flatten() {
            // OpenFlow 1.3: hello, then a flow that sends everything here, and silence.
            let mut stream = stream;
            let _ = stream.write_all(&[4, 0, 0, 8, 0, 0, 0, 1]);
            let _ = stream.write_all(&table_miss_to_controller());
            held.push(stream);
        }
        std::thread::sleep(Duration::from_secs(8));
    });
    let place = Place::new();
    let controller = format!("remote,ip=127.0.0.1,port={port}");
    place.good(&["lab", "--topo", "linear,2", "--controller", &controller, "--detach", "--name", "stalled"]);
    let switch = place.processes("lab-switch")[0];
    let memory = |pid: i32| {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap().to_owned();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap()
    };
    let before = memory(switch);
    let flood = "exec 3>/dev/udp/ff02::1%h1-eth0/9; for i in {1..20000}; do printf %01400d 0 >&3; done";
    place.good(&["exec", "h1", "bash", "-c", flood]);
    let grown = memory(switch).saturating_sub(before);
    assert!(grown < 32 * 1024, "{grown} KiB more for a controller that does not read");
    if installed("ovs-ofctl", "openvswitch-common") {
        let mut ofctl = Command::new("ovs-ofctl");
        ofctl.args(["-O", "OpenFlow13", "--timeout=2"]).env("OVS_RUNDIR", place.run_directory("stalled"));
        assert!(ofctl.args(["add-flow", "s2", "priority=9,actions=NORMAL"]).status().unwrap().success());
    }
    drop(place);
    taken.join().unwrap();
}

/// A flow-mod of OpenFlow 1.3: priority 0, any packet, apply output to the controller.
fn table_miss_to_controller() -> Vec<u8> {
    let mut message = vec![4, 14, 0, 80, 0, 0, 0, 2];
    message.extend([0; 16]); // cookie and its mask
    message.extend([0, 0, 0, 0, 0, 0, 0, 0]); // table 0, add, no timeouts, priority 0
    message.extend([0xff; 12]); // no buffer, any port, any group
    message.extend([0; 4]); // flags
    message.extend([0, 1, 0, 4, 0, 0, 0, 0]); // an empty match
    message.extend([0, 4, 0, 24, 0, 0, 0, 0]); // apply actions
    message.extend([0, 0, 0, 16, 0xff, 0xff, 0xff, 0xfd, 0xff, 0xff, 0, 0, 0, 0, 0, 0]); // output:CONTROLLER
    assert_eq!(message.len(), 80);
    message
}

#[test]
fn what_is_wrong_is_said_by_name() {
    let place = Place::new();
    for (words, expected) in [
        (&["lab", "--topo", "bush,3"][..], "bush,3"),
        (&["lab", "--topo", "single,99999"], "99999 hosts"),
        (&["lab", "no-such-file.yaml"], "no-such-file.yaml"),
        (&["lab", "--controller", "remote,ip=here"], "here:6653 is not an address"),
        (&["lab", "--name", "a/b"], "a/b"),
        (&["lab", "stop", "nothing"], "no lab named nothing"),
        (&["lab", "stop"], "no lab is running"),
    ] {
        let text = place.bad(words);
        assert!(text.contains(expected), "{words:?}: {text}");
    }
}

#[test]
fn links_show_which_cables_are_out() {
    if !labs_work() {
        return;
    }
    let place = Place::new();
    place.good(&["lab", "--topo", "single,2", "--controller", "none", "--detach"]);
    let links = |lines: &str| {
        let mut shell = place.heddle(&["lab", "shell"]);
        let mut shell = shell.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        shell.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
        String::from_utf8(shell.wait_with_output().unwrap().stdout).unwrap()
    };
    let down = "h1-eth0<->s1-eth1 (OK OK) \nh2-eth0<->s1-eth2 (MISSING MISSING) \n";
    assert_eq!(links("link s1 h2 down\nlinks\n"), down);
    assert_eq!(links("links\n"), down);
    assert_eq!(links("link h2 s1 up\nlinks\n"), down.replace("MISSING MISSING", "OK OK"));
}

#[test]
fn a_run_directory_too_long_for_sockets_is_refused_with_a_remedy() {
    let place = Place::new();
    let long = place.directory.join("d".repeat(90));
    let output = place.heddle(&["lab", "--test", "none"]).env("HEDDLE_RUNDIR", &long).output().unwrap();
    let text = everything(&output);
    assert!(!output.status.success() && text.contains("is too long"), "{text}");
    assert!(text.contains("give a shorter HEDDLE_RUNDIR"), "{text}");
    assert!(!long.exists());
}

#[test]
fn a_topology_may_come_by_a_pipe_and_is_not_read_without_end() {
    if !labs_work() {
        return;
    }
    let place = Place::new();
    let text = place.bad(&["lab", "/dev/zero", "--test", "none"]);
    assert!(text.contains("/dev/zero: more than the 4194304 bytes that are read"), "{text}");
    let mut command = place.heddle(&["lab", "/dev/stdin", "--controller", "none", "--test", "none"]);
    let mut child = command.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"hosts: { h1: }\nswitches: { s1: }\nlinks: [[h1, s1]]\n").unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(
        output.status.success() && everything(&output).contains("1 host, 1 switch, 1 link"),
        "{output:?}"
    );
}
