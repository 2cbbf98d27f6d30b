//! The running program, driven by Open vSwitch's own `ovs-ofctl`. Skipped, aloud, where that is not installed.
#![allow(missing_docs, clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

struct Switch {
    child: Child,
    directory: PathBuf,
}

impl Switch {
    fn start(name: &str) -> Self {
        let directory = std::env::temp_dir().join(format!("heddle-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
        let child = Command::new(env!("CARGO_BIN_EXE_heddle"))
            .arg("switch")
            .arg(examples.join("two-bridges.json"))
            .arg("--rundir")
            .arg(&directory)
            .spawn()
            .unwrap();
        let deadline = Instant::now() + Duration::from_secs(10);
        while !directory.join("s2.mgmt").exists() {
            assert!(Instant::now() < deadline, "the switch opens its sockets");
            std::thread::sleep(Duration::from_millis(10));
        }
        Self { child, directory }
    }

    fn ofctl(&self, bridge: &str, verb: &str, arguments: &[&str]) -> (bool, String) {
        let socket = format!("unix:{}", self.directory.join(format!("{bridge}.mgmt")).display());
        let output = Command::new("ovs-ofctl")
            .args(["-O", "OpenFlow13", verb, &socket])
            .args(arguments)
            .output()
            .unwrap();
        let text =
            [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
        (output.status.success(), text)
    }

    fn good(&self, bridge: &str, verb: &str, arguments: &[&str]) -> String {
        let (success, text) = self.ofctl(bridge, verb, arguments);
        assert!(success, "{verb} {arguments:?}: {text}");
        text
    }
}

impl Drop for Switch {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

fn installed() -> bool {
    let found = Command::new("ovs-ofctl").arg("--version").output().is_ok();
    if !found {
        eprintln!("SKIPPED: ovs-ofctl is not installed (Debian: apt install openvswitch-common)");
    }
    found
}

#[test]
fn flows_are_written_and_read_back() {
    if !installed() {
        return;
    }
    let switch = Switch::start("flows");
    for flow in [
        "priority=77,tcp,nw_src=10.0.0.0/8,tp_dst=80,actions=dec_ttl,goto_table:1",
        "table=1,ipv6,ipv6_dst=fd00::/64,actions=output:2,write_metadata:5",
        "table=2,dl_vlan=5,dl_vlan_pcp=3,actions=pop_vlan,resubmit(,4)",
        "table=3,mpls,mpls_label=9,actions=pop_mpls:0x0800,output:1",
        "table=4,arp,arp_tpa=10.0.0.1,actions=CONTROLLER:128",
        "table=5,reg0=0x1/0xff,actions=move:NXM_NX_REG0[0..7]->NXM_NX_REG1[8..15],load:3->NXM_NX_REG2[],NORMAL",
    ] {
        switch.good("s1", "add-flow", &[flow]);
    }
    let dump = switch.good("s1", "dump-flows", &["--no-stats"]);
    for line in [
        "priority=77,tcp,nw_src=10.0.0.0/8,tp_dst=80 actions=dec_ttl,goto_table:1",
        "table=1, ipv6,ipv6_dst=fd00::/64 actions=output:2,write_metadata:0x5",
        "table=2, dl_vlan=5,dl_vlan_pcp=3 actions=pop_vlan,resubmit(,4)",
        "table=3, mpls,mpls_label=9 actions=pop_mpls:0x0800,output:1",
        "table=4, arp,arp_tpa=10.0.0.1 actions=CONTROLLER:128",
        "table=5, reg0=0x1/0xff actions=move:NXM_NX_REG0[0..7]->NXM_NX_REG1[8..15],set_field:0x3->reg2,NORMAL",
    ] {
        assert!(dump.contains(line), "{line}\n{dump}");
    }
    switch.good("s1", "mod-flows", &["table=1,ipv6,actions=drop"]);
    switch.good("s1", "del-flows", &["tcp"]);
    let dump = switch.good("s1", "dump-flows", &[]);
    assert!(dump.contains("ipv6_dst=fd00::/64 actions=drop") && !dump.contains("tcp"), "{dump}");
    assert!(switch.good("s2", "dump-flows", &[]).contains("priority=0 actions=NORMAL"));
    assert!(switch.good("s1", "show", &[]).contains("1(s1-eth1)"));
    assert!(switch.good("s1", "dump-ports", &[]).contains("3 ports"));
}

#[test]
fn what_is_not_done_is_refused_by_the_name_that_the_standard_gives() {
    if !installed() {
        return;
    }
    let switch = Switch::start("refusals");
    for (flow, error) in [
        ("actions=group:5", "OFPBAC_BAD_OUT_GROUP"),
        ("actions=set_queue:5", "OFPBAC_BAD_QUEUE"),
        ("actions=meter:1", "OFPBIC_UNSUP_INST"),
    ] {
        let (_, text) = switch.ofctl("s1", "add-flow", &[flow]);
        assert!(text.contains(error), "{flow}: {text}");
    }
    switch.good("s1", "add-flow", &["priority=5,ip,actions=drop"]);
    let (_, text) = switch.ofctl("s1", "add-flow", &["priority=5,check_overlap,udp,actions=drop"]);
    assert!(text.contains("OFPFMFC_OVERLAP"), "{text}");
    let dump = switch.good("s1", "dump-flows", &[]);
    assert_eq!(dump.matches("actions=").count(), 1, "{dump}");
}

#[test]
fn an_idle_flow_goes_and_is_announced() {
    if !installed() {
        return;
    }
    let switch = Switch::start("idle");
    let log = switch.directory.join("monitor");
    let socket = format!("unix:{}", switch.directory.join("s1.mgmt").display());
    let mut monitor = Command::new("ovs-ofctl")
        .args(["-O", "OpenFlow13", "monitor", &socket, "65534"])
        .env("OVS_RUNDIR", &switch.directory)
        .stderr(std::fs::File::create(&log).unwrap())
        .spawn()
        .unwrap();
    std::thread::sleep(Duration::from_millis(500));
    switch.good("s1", "add-flow", &["udp,idle_timeout=1,send_flow_rem,actions=drop"]);
    let deadline = Instant::now() + Duration::from_secs(10);
    let announced = loop {
        let text = std::fs::read_to_string(&log).unwrap();
        if text.contains("reason=idle") || Instant::now() > deadline {
            break text;
        }
        std::thread::sleep(Duration::from_millis(50));
    };
    let _ = monitor.kill();
    let _ = monitor.wait();
    assert!(announced.contains("OFPT_FLOW_REMOVED") && announced.contains("reason=idle"), "{announced}");
    assert!(!switch.good("s1", "dump-flows", &[]).contains("udp"));
}
