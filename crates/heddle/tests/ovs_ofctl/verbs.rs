//! Verbs of `ofctl`, each by our own client and by Open vSwitch's where that is installed, on our switch.

use crate::process::{Switch, installed};

/// Our client, and Open vSwitch's where it is there.
fn clients() -> Vec<Vec<&'static str>> {
    let mut clients = vec![vec![env!("CARGO_BIN_EXE_heddle"), "ofctl"]];
    if installed() {
        clients.push(vec!["ovs-ofctl"]);
    }
    clients
}

/// A client, and a bridge to talk to in one version.
struct Session<'a> {
    switch: &'a Switch,
    client: Vec<&'static str>,
    version: &'static str,
}

impl Session<'_> {
    fn run(&self, options: &[&str], verb: &str, arguments: &[&str]) -> (bool, String) {
        let socket = format!("unix:{}", self.switch.directory.join("s1.mgmt").display());
        let options = [&["-O", self.version], options].concat();
        self.switch.run(&self.client, &options, &[&[verb, socket.as_str()], arguments].concat())
    }

    fn good_with(&self, options: &[&str], verb: &str, arguments: &[&str]) -> String {
        let (success, text) = self.run(options, verb, arguments);
        assert!(success, "{:?} {} {verb} {arguments:?}: {text}", self.client, self.version);
        text
    }

    fn good(&self, verb: &str, arguments: &[&str]) -> String {
        self.good_with(&[], verb, arguments)
    }

    /// What is refused, and by which name.
    fn refused(&self, verb: &str, arguments: &[&str], name: &str) {
        let (_, text) = self.run(&[], verb, arguments);
        assert!(text.contains(name), "{:?} {} {verb} {arguments:?}: {text}", self.client, self.version);
    }
}

/// Runs a test for each client and version, with all flows and groups gone before.
fn each(name: &str, versions: &[&'static str], test: impl Fn(&Session<'_>)) {
    let switch = Switch::start(name);
    for client in clients() {
        for version in versions {
            let session = Session { switch: &switch, client: client.clone(), version };
            session.good("del-flows", &[]);
            test(&session);
        }
    }
}

const ALL: [&str; 6] = ["OpenFlow10", "OpenFlow11", "OpenFlow12", "OpenFlow13", "OpenFlow14", "OpenFlow15"];
const WITH_GROUPS: [&str; 5] = ["OpenFlow11", "OpenFlow12", "OpenFlow13", "OpenFlow14", "OpenFlow15"];
const WITH_METERS: [&str; 3] = ["OpenFlow13", "OpenFlow14", "OpenFlow15"];

#[test]
fn every_version_is_spoken() {
    each("all-versions", &ALL, |session| {
        let show = session.good("show", &[]);
        assert!(show.contains("s1-eth1") && show.contains("dpid:"), "{}: {show}", session.version);
        session.good("add-flow", &["priority=7,ip,nw_dst=10.0.0.0/8,actions=output:2"]);
        session.good("add-flow", &["priority=8,in_port=1,dl_vlan=5,actions=strip_vlan,output:2"]);
        let dump = session.good("dump-flows", &[]);
        assert!(dump.contains("priority=7,ip,nw_dst=10.0.0.0/8 actions="), "{}: {dump}", session.version);
        assert!(dump.contains("dl_vlan=5 actions="), "{}: {dump}", session.version);
        assert!(session.good("dump-aggregate", &[]).contains("flow_count=2"), "{}", session.version);
        assert!(session.good("dump-tables", &[]).contains("active=2"), "{}", session.version);
        assert!(session.good("dump-ports", &["1"]).contains("rx pkts="), "{}", session.version);
        assert!(session.good("dump-ports-desc", &[]).contains("s1-eth1"), "{}", session.version);
        assert!(session.good("dump-desc", &[]).contains("Manufacturer: Heddle"), "{}", session.version);
        assert_eq!(session.good("get-frags", &[]), "normal\n");
        session.good("set-frags", &["drop"]);
        assert_eq!(session.good("get-frags", &[]), "drop\n");
        session.good("set-frags", &["normal"]);
        session.good("mod-port", &["1", "no-receive"]);
        assert!(session.good("show", &[]).contains("NO_RECV"), "{}", session.version);
        session.good("mod-port", &["1", "receive"]);
        let queues = session.good("queue-stats", &[]);
        assert!(
            queues.contains("port 1 queue 0: bytes=?") || queues.contains("port s1-eth1 queue 0: "),
            "{queues}"
        );
        session.good("packet-out", &["in_port=1 packet=0200000000010200000000020800 actions=drop"]);
        session.good("del-flows", &["ip"]);
        assert!(session.good("dump-aggregate", &[]).contains("flow_count=1"), "{}", session.version);
        session.good("probe", &[]);
    });
}

#[test]
fn groups_in_every_version() {
    each("verbs-groups", &WITH_GROUPS, |session| {
        session.good("del-groups", &[]);
        session.good(
            "add-group",
            &["group_id=1,type=select,bucket=actions=output:1,bucket=weight:3,actions=output:2"],
        );
        session.good("add-flow", &["actions=group:1"]);
        let dump = session.good("dump-groups", &[]);
        assert!(dump.contains("group_id=1,type=select,bucket=") && dump.contains("weight:3"), "{dump}");
        assert!(
            session.good("dump-group-stats", &["group_id=1"]).contains("ref_count=1"),
            "{}",
            session.version
        );
        session.good("mod-group", &["group_id=1,type=all,bucket=actions=output:1"]);
        assert!(session.good("dump-groups", &[]).contains("group_id=1,type=all"), "{}", session.version);
        session.good_with(&["--may-create"], "mod-group", &["group_id=2,type=all,bucket=actions=output:2"]);
        assert!(session.good("dump-groups", &[]).contains("group_id=2,type=all"), "{}", session.version);
        session.good("del-groups", &["group_id=1"]);
        let dump = session.good("dump-groups", &[]);
        assert!(!dump.contains("group_id=1,") && dump.contains("group_id=2,"), "{dump}");
        session.refused(
            "mod-group",
            &["group_id=9,type=all,bucket=actions=output:1"],
            "OFPGMFC_UNKNOWN_GROUP",
        );
    });
}

#[test]
fn meters_in_every_version_that_has_them() {
    each("verbs-meters", &WITH_METERS, |session| {
        session.good("del-meters", &[]);
        session.good("add-meter", &["meter=3 kbps burst bands=type=drop rate=100 burst_size=10"]);
        let dump = session.good("dump-meters", &[]);
        assert!(dump.contains("meter=3 kbps burst"), "{dump}");
        assert!(dump.contains("type=drop rate=100 burst_size=10"), "{dump}");
        session.good("mod-meter", &["meter=3 pktps bands=type=drop rate=7"]);
        let dump = session.good("dump-meter", &["meter=3"]);
        assert!(dump.contains("pktps") && dump.contains("rate=7"), "{dump}");
        assert!(session.good("meter-stats", &["meter=3"]).contains("meter:3 flow_count:0"), "{dump}");
        assert!(session.good("meter-features", &[]).contains("band_types: drop"), "{}", session.version);
        session.good("del-meter", &["meter=3"]);
        session.refused("dump-meter", &["meter=3"], "OFPMMFC_UNKNOWN_METER");
    });
}

#[test]
fn bundles_are_all_or_nothing() {
    each("verbs-bundles", &["OpenFlow13", "OpenFlow14", "OpenFlow15"], |session| {
        let file = |name: &str, text: &str| {
            let path = session.switch.directory.join(name);
            std::fs::write(&path, text).unwrap();
            path.display().to_string()
        };
        let flows = file("flows", "priority=5,ip,actions=output:1\npriority=6,arp,actions=output:2\n");
        session.good_with(&["--bundle"], "add-flows", &[&flows]);
        assert!(session.good("dump-aggregate", &[]).contains("flow_count=2"), "{}", session.version);
        let bad = file("bad", "priority=7,ipv6,actions=output:1\npriority=8,ip,actions=group:77\n");
        let (success, text) = session.run(&["--bundle"], "add-flows", &[&bad]);
        assert!(!success && text.contains("OFPBAC_BAD_OUT_GROUP"), "{text}");
        assert!(session.good("dump-aggregate", &[]).contains("flow_count=2"), "{}", session.version);
        let next = file("next", "priority=5,ip,actions=output:2\n");
        session.good_with(&["--bundle"], "replace-flows", &[&next]);
        let dump = session.good("dump-flows", &["--no-stats"]);
        assert!(dump.contains("ip actions=output:") && !dump.contains("arp"), "{dump}");
        session.good("del-groups", &[]);
        let mixed = file(
            "mixed",
            "group group_id=4,type=all,bucket=actions=output:1\nflow add priority=9,arp,actions=group:4\n",
        );
        session.good("bundle", &[&mixed]);
        assert!(session.good("dump-flows", &["arp"]).contains("actions=group:4"), "{}", session.version);
    });
}

#[test]
fn flows_are_as_important_as_they_were_given() {
    each("verbs-importance", &["OpenFlow14", "OpenFlow15"], |session| {
        session.good("add-flow", &["importance=7,priority=3,ip,actions=output:1"]);
        let dump = session.good("dump-flows", &[]);
        assert!(dump.contains("importance=7, ") && dump.contains("priority=3,ip"), "{dump}");
    });
}

#[test]
fn what_the_switch_has_not_it_refuses_by_name() {
    each("verbs-refused", &["OpenFlow13"], |session| {
        let unknown = "OFPBRC_BAD_SUBTYPE";
        session.refused("add-tlv-map", &["{class=0xffff,type=0,len=4}->tun_metadata0"], unknown);
        session.refused("dump-tlv-map", &[], unknown);
        session.refused("ct-flush-zone", &["5"], unknown);
        session.refused("dump-ipfix-bridge", &[], unknown);
    });
}

#[test]
fn messages_are_found_in_captures() {
    let program = env!("CARGO_BIN_EXE_heddle");
    let capture = std::env::temp_dir().join(format!("heddle-capture-{}.pcap", std::process::id()));
    let output = |words: &[&str]| {
        let output = std::process::Command::new(program).arg("ofctl").args(words).output().unwrap();
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    };
    let flow = "tcp,eth_src=00:00:00:00:00:01,eth_dst=00:00:00:00:00:02,ip_src=10.0.0.1,ip_dst=10.0.0.2,\
        nw_ttl=64,tp_src=40000,tp_dst=6653";
    std::fs::write(&capture, output(&["--pcap", "compose-packet", flow, "0402000c0000000961626364"]))
        .unwrap();
    let name = capture.to_str().unwrap();
    let messages = output(&["ofp-parse-pcap", name]);
    let headers = output(&["parse-pcap", name]);
    let elsewhere = output(&["ofp-parse-pcap", name, "6633"]);
    std::fs::remove_file(&capture).unwrap();
    assert_eq!(
        String::from_utf8_lossy(&messages),
        "10.0.0.1.40000 > 10.0.0.2.6653:\nOFPT_ECHO_REQUEST (OF1.3) (xid=0x9): 4 bytes of payload\n"
    );
    assert_eq!(
        String::from_utf8_lossy(&headers),
        "tcp,in_port=ANY,vlan_tci=0x0000,dl_src=00:00:00:00:00:01,dl_dst=00:00:00:00:00:02,nw_src=10.0.0.1,\
        nw_dst=10.0.0.2,nw_tos=0,nw_ecn=0,nw_ttl=64,nw_frag=no,tp_src=40000,tp_dst=6653,tcp_flags=0\n"
    );
    assert!(elsewhere.is_empty());
}
