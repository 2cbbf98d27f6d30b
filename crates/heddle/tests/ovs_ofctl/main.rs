//! The running program, driven by Open vSwitch's own `ovs-ofctl`. Skipped, aloud, where that is not installed.
#![allow(missing_docs, clippy::unwrap_used)]

mod process;
mod verbs;

use std::process::Command;
use std::time::{Duration, Instant};

use process::{Switch, installed};

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
        "table=5, reg0=0x1/0xff actions=move:NXM_NX_REG0[0..7]->NXM_NX_REG1[8..15],load:0x3->NXM_NX_REG2[],NORMAL",
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
fn openflow_1_0_is_what_clients_speak_unasked() {
    if !installed() {
        return;
    }
    let switch = Switch::start("one-zero");
    let run = |options: &[&str], verb: &str, arguments: &[&str]| {
        let (success, text) = switch.ofctl_as(options, "s1", verb, arguments);
        assert!(success, "{verb} {arguments:?}: {text}");
        text
    };
    let show = run(&[], "show", &[]);
    assert!(show.contains("OFPT_FEATURES_REPLY (xid") && show.contains("1(s1-eth1)"), "{show}");
    // Nicira's form says tables, registers and IPv6; the version's own says neither, and is taken all the same.
    for flow in [
        "table=1,priority=5,ip,nw_dst=10.0.0.0/8,actions=mod_vlan_vid:5,mod_nw_dst:1.2.3.4,mod_tp_dst:80,output:2",
        "tcp6,tcp_dst=80,reg0=3,actions=dec_ttl,resubmit(,1)",
        "priority=3,in_port=1,dl_vlan=7,actions=strip_vlan,NORMAL",
        "priority=4,mpls,actions=pop_mpls:0x0800,load:0x7->NXM_NX_REG1[0..3]",
    ] {
        run(&[], "add-flow", &[flow]);
    }
    run(
        &["-F", "openflow10"],
        "add-flow",
        &["priority=9,arp,arp_tpa=10.0.0.1,actions=mod_dl_dst:02:00:00:00:00:01,1"],
    );
    let dump = run(&[], "dump-flows", &["--no-stats"]);
    for line in [
        "table=1, priority=5,ip,nw_dst=10.0.0.0/8 actions=mod_vlan_vid:5,mod_nw_dst:1.2.3.4,mod_tp_dst:80,output:2",
        "tcp6,reg0=0x3,tp_dst=80 actions=dec_ttl,resubmit(,1)",
        "priority=3,in_port=\"s1-eth1\",dl_vlan=7 actions=strip_vlan,NORMAL",
        "priority=4,mpls actions=pop_mpls:0x0800,load:0x7->NXM_NX_REG1[0..3]",
        "priority=9,arp,arp_tpa=10.0.0.1 actions=mod_dl_dst:02:00:00:00:00:01,output:",
    ] {
        assert!(dump.replace("in_port=1,", "in_port=\"s1-eth1\",").contains(line), "{line}\n{dump}");
    }
    // A change that finds no flow adds one, unless it asks for a cookie.
    run(&[], "mod-flows", &["in_port=2,actions=drop"]);
    run(&[], "mod-flows", &["cookie=3/-1,in_port=9,actions=drop"]);
    run(&[], "del-flows", &["table=1"]);
    let dump = run(&[], "dump-flows", &["--no-stats"]);
    assert!(
        dump.contains("actions=drop") && !dump.contains("in_port=9") && !dump.contains("table=1"),
        "{dump}"
    );
    assert!(run(&[], "dump-ports", &[]).contains("3 ports"));
    run(&[], "mod-port", &["1", "noflood"]);
    assert!(run(&[], "show", &[]).contains("NO_FLOOD"));
    run(&[], "queue-stats", &[]);
    // What the version has no number for comes as Nicira's error.
    let (success, text) = switch.ofctl_as(&[], "s1", "mod-table", &["1", "controller"]);
    assert!(!success, "{text}");
    run(&[], "del-flows", &[]);
    assert_eq!(run(&[], "dump-flows", &["--no-stats"]).trim(), "");
}

/// Flows of every kind, in forms that people write.
const FLOWS: &[&str] = &[
    "actions=drop",
    "priority=1,in_port=5,actions=in_port",
    "in_port=LOCAL,actions=1,2,local,flood,all,normal,controller:64",
    "dl_src=02:00:00:00:00:01,dl_dst=01:00:00:00:00:00/01:00:00:00:00:00,actions=mod_dl_src:02:00:00:00:00:02,1",
    "dl_type=0x88cc,actions=controller",
    "dl_vlan=3,actions=set_field:4101->vlan_vid,mod_vlan_pcp:5,1",
    "dl_vlan=3,dl_vlan_pcp=2,actions=pop_vlan,1",
    "dl_vlan_pcp=3,actions=strip_vlan,1",
    "dl_vlan=0xffff,actions=push_vlan:0x8100,set_field:4101->vlan_vid,1",
    "vlan_tci=0x1000/0x1000,actions=1",
    "vlan_tci=0x5005,actions=1",
    "vlan_vid=5,actions=mod_vlan_vid:6,1",
    "actions=push_vlan:0x88a8,mod_vlan_vid:5,push_vlan:0x8100,mod_vlan_vid:6,1",
    "ip,nw_src=10.0.0.0/8,nw_dst=1.2.3.4/255.0.255.0,nw_tos=184,nw_ttl=5,actions=dec_ttl,mod_nw_ttl:9,mod_nw_tos:32,1",
    "ip,nw_ecn=1,nw_frag=not_later,actions=mod_nw_ecn:2,mod_nw_src:10.0.0.1,mod_nw_dst:10.0.0.2,1",
    "ip,nw_frag=later,actions=drop",
    "ip,nw_proto=89,actions=1",
    "tcp,tp_src=80/0xfff0,tp_dst=443,actions=set_field:80->tcp_dst,mod_tp_src:81,1",
    "tcp,tcp_flags=+syn-ack,actions=1",
    "udp,tp_dst=53,actions=mod_tp_dst:54,1",
    "sctp,sctp_dst=5,actions=set_field:6->sctp_src,1",
    "icmp,icmp_type=8,icmp_code=0,actions=1",
    "arp,arp_op=1,arp_spa=10.0.0.0/24,arp_tpa=10.0.0.1,arp_sha=02:00:00:00:00:01,actions=set_field:2->arp_op,1",
    "arp,actions=move:NXM_NX_ARP_SHA[]->NXM_NX_ARP_THA[],load:0xa->NXM_OF_ARP_SPA[0..7],1",
    "ipv6,ipv6_src=fd00::1,ipv6_dst=fd00::/64,ipv6_label=5,actions=set_field:fe80::1->ipv6_src,set_field:7->ipv6_label,1",
    "tcp6,tp_dst=80,actions=dec_ttl,1",
    "udp6,actions=set_field:5->udp_dst,1",
    "icmp6,icmp_type=135,nd_target=::1,nd_sll=02:00:00:00:00:01,actions=1",
    "icmp6,icmp_type=136,nd_tll=02:00:00:00:00:01,actions=set_field:fe80::5->nd_target,1",
    "mpls,mpls_label=9,mpls_tc=3,mpls_bos=1,actions=dec_mpls_ttl,set_mpls_ttl:4,set_mpls_label:5,set_mpls_tc:3,1",
    "mpls,actions=pop_mpls:0x0800,dec_ttl,1",
    "ip,actions=push_mpls:0x8847,set_field:3->mpls_label,1",
    "tun_id=5/0xff,metadata=0x1/0xf,actions=set_tunnel:5,write_metadata:0x3/0x5",
    "reg0=1/3,reg15=5,actions=load:5->NXM_NX_REG1[0..7],move:NXM_NX_REG0[0..15]->NXM_NX_REG2[16..31],1",
    "xreg1=5,actions=set_field:0x123456789->xreg2,1",
    "pkt_mark=5,actions=set_field:6->pkt_mark,1",
    "actions=load:1->NXM_OF_IN_PORT[],resubmit(,0)",
    "actions=resubmit:5,resubmit(6,),resubmit(,5),resubmit(in_port,5),resubmit(7,8)",
    "actions=controller(max_len=128,id=3),note:01.02.03.04.05.06",
    "actions=1,clear_actions,write_actions(set_field:02:00:00:00:00:01->eth_dst,output:2),write_metadata:5,goto_table:3",
    "send_flow_rem,check_overlap,reset_counts,no_packet_counts,no_byte_counts,actions=1",
];

/// What `ovs-ofctl` makes of a flow, without our part: what its own codec reads and writes.
fn normalised(flow: &str) -> String {
    let output = Command::new("ovs-ofctl").args(["-O", "OpenFlow13", "parse-flow", flow]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = text
        .lines()
        .find_map(|line| line.split_once(": ADD "))
        .unwrap_or_else(|| panic!("{flow}: {text}{}", String::from_utf8_lossy(&output.stderr)));
    line.1.trim().to_owned()
}

#[test]
fn every_kind_of_flow_comes_back_as_it_was_given() {
    if !installed() {
        return;
    }
    let switch = Switch::start("kinds");
    for flow in FLOWS {
        switch.good("s1", "del-flows", &[]);
        switch.good("s1", "add-flow", &[flow]);
        let dump = switch.good("s1", "dump-flows", &["--no-stats"]);
        // The client may remark on what OpenFlow 1.3 would rather have.
        let lines: Vec<&str> = dump.lines().map(str::trim).filter(|line| !line.contains("|INFO|")).collect();
        assert_eq!(lines, [normalised(flow)], "{flow}");
        // What is dumped names the flow: it can be deleted by it.
        let (head, _) = lines[0].split_once("actions=").unwrap();
        let flags = ["send_flow_rem", "check_overlap", "reset_counts", "no_packet_counts", "no_byte_counts"];
        let head = flags.iter().fold(head.to_owned(), |head, flag| head.replace(flag, ""));
        let head = if head.contains("priority=") { head } else { format!("priority=32768,{}", head.trim()) };
        switch.good("s1", "del-flows", &["--strict", head.trim().trim_end_matches(',')]);
        assert_eq!(switch.good("s1", "dump-flows", &["--no-stats"]).trim(), "", "{flow}");
    }
}

#[test]
fn what_ovs_ofctl_asks_of_a_switch_is_answered() {
    if !installed() {
        return;
    }
    let switch = Switch::start("verbs");
    for (verb, arguments, wanted) in [
        ("show", &[][..], "LOCAL(s1)"),
        ("show", &[], "frags=normal miss_send_len=0"),
        ("dump-desc", &[], "Manufacturer: Heddle"),
        ("dump-tables", &[], "table 0"),
        ("dump-table-features", &[], "max_entries=1000000"),
        ("dump-ports-desc", &[], "1(s1-eth1)"),
        ("dump-ports-desc", &["LOCAL"], "LOCAL(s1)"),
        ("dump-ports", &["1"], "1 ports"),
        ("dump-aggregate", &[], "flow_count=0"),
        ("dump-groups", &[], "OFPST_GROUP_DESC reply"),
        ("dump-group-stats", &[], "OFPST_GROUP reply"),
        ("dump-group-features", &[], "Group table:"),
        ("dump-meters", &[], "OFPST_METER_CONFIG reply"),
        ("meter-stats", &[], "OFPST_METER reply"),
        ("meter-features", &[], "max_meter:65536 max_bands:8"),
        ("queue-stats", &[], "OFPST_QUEUE reply"),
        ("queue-get-config", &["1"], ""),
        ("probe", &[], ""),
        ("ping", &["64"], ""),
        ("set-frags", &["drop"], ""),
        ("get-frags", &[], "drop"),
        ("set-frags", &["nx-match"], ""),
        ("get-frags", &[], "nx-match"),
        ("mod-port", &["s1-eth1", "down"], ""),
        ("show", &[], "PORT_DOWN"),
        ("mod-port", &["s1-eth1", "up"], ""),
        ("mod-port", &["1", "no-forward"], ""),
        ("show", &[], "NO_FWD"),
        ("packet-out", &["in_port=controller,packet=020000000002020000000001000000,actions=1"], ""),
        ("del-groups", &[], ""),
        ("del-meters", &[], ""),
    ] {
        let said = switch.good("s1", verb, arguments);
        assert!(said.contains(wanted), "{verb} {arguments:?}: {said}");
    }
    for (verb, argument, error) in [
        ("mod-group", "group_id=1,type=all,bucket=output:1", "OFPGMFC_UNKNOWN_GROUP"),
        ("mod-meter", "meter=1,kbps,band=type=drop,rate=1", "OFPMMFC_UNKNOWN_METER"),
        ("dump-ports", "77", "OFPBRC_BAD_PORT"),
    ] {
        let (_, said) = switch.ofctl("s1", verb, &[argument]);
        assert!(said.contains(error), "{verb} {argument}: {said}");
    }
}

#[test]
fn ten_thousand_flows_are_dumped_whole() {
    if !installed() {
        return;
    }
    let switch = Switch::start("many");
    let file = switch.directory.join("flows");
    let flow = |n: u32| format!("udp,nw_dst=10.{}.{}.{},actions=output:2\n", n >> 16, n >> 8 & 255, n & 255);
    std::fs::write(&file, (0..10_000).map(flow).collect::<String>()).unwrap();
    switch.good("s1", "add-flows", &[file.to_str().unwrap()]);
    assert_eq!(switch.good("s1", "dump-flows", &[]).matches("actions=output:2").count(), 10_000);
    assert!(switch.good("s1", "dump-aggregate", &["udp"]).contains("flow_count=10000"));
    switch.good("s1", "del-flows", &["udp"]);
    assert!(switch.good("s1", "dump-aggregate", &[]).contains("flow_count=0"));
}

#[test]
fn groups_are_written_and_read_back() {
    if !installed() {
        return;
    }
    let switch = Switch::start("groups");
    let group = "group_id=7,type=select,bucket=weight:2,watch_port:1,actions=set_field:10.0.0.9->ip_dst,output:1,bucket=actions=output:2";
    switch.good("s1", "add-group", &[group]);
    switch.good("s1", "add-group", &["group_id=8,type=ff,bucket=watch_port:1,actions=group:7"]);
    switch.good("s1", "mod-group", &["group_id=8,type=all,bucket=actions=output:2"]);
    let dump = switch.good("s1", "dump-groups", &[]);
    for line in [
        "group_id=7,type=select,bucket=weight:2,watch_port:1,actions=set_field:10.0.0.9->ip_dst,output:1,bucket=actions=output:2",
        "group_id=8,type=all,bucket=actions=output:2",
    ] {
        assert!(dump.replace("\"s1-eth1\"", "1").contains(line), "{line}\n{dump}");
    }
    switch.good("s1", "add-flow", &["in_port=2,actions=group:8"]);
    assert!(switch.good("s1", "dump-group-stats", &["group_id=8"]).contains("ref_count=1"));
    let features = switch.good("s1", "dump-group-features", &[]);
    assert!(features.contains("select group") && features.contains("max_groups=0x10000"), "{features}");
    let (_, text) = switch.ofctl("s1", "add-group", &["group_id=7,type=all"]);
    assert!(text.contains("OFPGMFC_GROUP_EXISTS"), "{text}");
    switch.good("s1", "del-groups", &["group_id=8"]);
    assert!(!switch.good("s1", "dump-flows", &[]).contains("group:8"), "the flow went with its group");
    switch.good("s1", "del-groups", &[]);
    assert!(!switch.good("s1", "dump-groups", &[]).contains("group_id"));
}

#[test]
fn what_is_not_done_is_refused_by_the_name_that_the_standard_gives() {
    if !installed() {
        return;
    }
    let switch = Switch::start("refusals");
    for (flow, error) in
        [("actions=group:5", "OFPBAC_BAD_OUT_GROUP"), ("actions=meter:1", "OFPMMFC_INVALID_METER")]
    {
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

#[test]
fn meters_are_written_read_back_and_obeyed() {
    if !installed() {
        return;
    }
    let switch = Switch::start("meters");
    let features = switch.good("s1", "meter-features", &[]);
    assert!(features.contains("max_meter:65536 max_bands:8 max_color:0"), "{features}");
    assert!(features.contains("band_types: drop dscp_remark"), "{features}");
    switch.good("s1", "add-meter", &["meter=1,pktps,burst,stats,band=type=drop,rate=1,burst_size=5"]);
    switch.good("s1", "add-meter", &["meter=2,kbps,band=type=dscp_remark,rate=9,prec_level=1"]);
    let (_, text) = switch.ofctl("s1", "add-meter", &["meter=1,pktps,band=type=drop,rate=1"]);
    assert!(text.contains("OFPMMFC_METER_EXISTS"), "{text}");
    let dump = switch.good("s1", "dump-meters", &[]);
    for meter in [
        "meter=1 pktps burst stats bands=\ntype=drop rate=1 burst_size=5",
        "meter=2 kbps bands=\ntype=dscp_remark rate=9 prec_level=1",
    ] {
        assert!(dump.contains(meter), "{meter}: {dump}");
    }
    switch.good("s1", "add-flow", &["udp,actions=meter:1,local"]);
    let frame = "02000000000202000000000108004500001c0000000040110000\
                 0a0000010a000002000700090008000000000000000000000000000000000000";
    let packet = format!("in_port=1,packet={frame},actions=table");
    let packets: Vec<&str> = std::iter::repeat_n(packet.as_str(), 20).collect();
    for packet in &packets {
        switch.good("s1", "packet-out", &[packet]);
    }
    let stats = switch.good("s1", "meter-stats", &["meter=1"]);
    let number = |after: &str| -> u64 {
        let text = stats.split(after).nth(1).unwrap_or_default();
        text.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default().parse().unwrap_or(0)
    };
    assert!(stats.contains("flow_count:1 ") && number("packet_in_count:") == 20, "{stats}");
    // How many passed depends on how long the clients took; those at once were five, and one a second.
    let dropped = number("0: packet_count:");
    assert!((1..=15).contains(&dropped), "{stats}");
    switch.good("s1", "mod-meter", &["meter=1,pktps,band=type=drop,rate=1000"]);
    assert!(switch.good("s1", "dump-meters", &["meter=1"]).contains("type=drop rate=1000"));
    switch.good("s1", "del-meters", &["meter=1"]);
    assert!(!switch.good("s1", "dump-flows", &[]).contains("meter:1"), "the flow goes with its meter");
    switch.good("s1", "del-meters", &[]);
    assert!(!switch.good("s1", "dump-meters", &[]).contains("meter="));
}

/// What `ovs-ofctl monitor` prints, with these options and arguments, once all of `wanted` is there or ten seconds are over,
/// while `meanwhile` is done.
fn monitored(
    switch: &Switch,
    options: &[&str],
    arguments: &[&str],
    wanted: &[&str],
    meanwhile: impl FnOnce(),
) -> String {
    let log = switch.directory.join("monitor");
    let socket = format!("unix:{}", switch.directory.join("s1.mgmt").display());
    let file = std::fs::File::create(&log).unwrap();
    let mut monitor = Command::new("ovs-ofctl")
        .args(options)
        .args(["monitor", &socket])
        .args(arguments)
        .env("OVS_RUNDIR", &switch.directory)
        .stdout(file.try_clone().unwrap())
        .stderr(file)
        .spawn()
        .unwrap();
    std::thread::sleep(Duration::from_millis(500));
    meanwhile();
    let deadline = Instant::now() + Duration::from_secs(10);
    let said = loop {
        let text = std::fs::read_to_string(&log).unwrap();
        if wanted.iter().all(|wanted| text.contains(wanted)) || Instant::now() > deadline {
            break text;
        }
        std::thread::sleep(Duration::from_millis(50));
    };
    let _ = monitor.kill();
    let _ = monitor.wait();
    for wanted in wanted {
        assert!(said.contains(wanted), "{options:?} {arguments:?}: {wanted:?} is not in {said}");
    }
    said
}

#[test]
fn packets_come_in_every_form_for_every_reason() {
    if !installed() {
        return;
    }
    let switch = Switch::start("packets");
    let group = "group_id=1,type=all,bucket=actions=controller";
    switch.good("s1", "add-group", &[group]);
    switch.good("s1", "add-flow", &["in_port=1,actions=write_actions(output:controller)"]);
    switch.good("s1", "add-flow", &["in_port=local,actions=load:7->NXM_NX_REG3[],group:1"]);
    let frame = "packet=020000000002020000000001123400000000";
    let send = || {
        for packet in [
            format!("in_port=controller,{frame},actions=controller"),
            format!("in_port=1,{frame},actions=table"),
            format!("in_port=local,{frame},actions=table"),
            format!("in_port=1,{frame},actions=controller(userdata=01.02.03)"),
        ] {
            switch.good("s1", "packet-out", &[&packet]);
        }
    };
    let reasons = ["(via packet_out)", "(via action_set)", "reg3=0x7", "(via group)"];
    monitored(&switch, &["-O", "OpenFlow14"], &["65534"], &reasons, send);
    let data = [
        "NXT_PACKET_IN2",
        "userdata=01.02.03",
        "reg3=0x7",
        "cookie=0x0 total_len=18 reg3=0x7,in_port=LOCAL (via action)",
    ];
    monitored(&switch, &["-P", "nxt_packet_in2"], &["65534"], &data, send);
    let older = ["NXT_PACKET_IN ", "reg3=0x7", "(via action)"];
    monitored(&switch, &["-P", "nxt_packet_in"], &["65534"], &older, send);
}
