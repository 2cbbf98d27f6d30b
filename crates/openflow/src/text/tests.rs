//! Flows that are read and written, and text that is none.

use std::time::Duration;

use heddle_flow::Match;

use super::{lacking, parse_flow, print_flow, print_stats};
use crate::multipart::FlowStats;

#[test]
fn reads_and_writes_flows() {
    for text in [
        "priority=10,tcp,nw_dst=10.0.0.0/8,tp_dst=80,actions=output:2",
        "table=1,in_port=1,dl_vlan=5,actions=pop_vlan,set_field:02:00:00:00:00:01->eth_dst,NORMAL",
        "ipv6,ipv6_dst=fd00::/64,actions=dec_ttl,goto_table:3",
        "ip,nw_frag=later actions=drop",
        "mpls,mpls_label=7,actions=pop_mpls:0x0800,resubmit(,2)",
        "reg0=0x1/0xff,actions=load:5->reg1[0..7],move:reg1[0..7]->reg2[8..15],controller",
        "arp,arp_tpa=10.0.0.1,actions=write_actions(output:3),write_metadata:0x5/0xff,clear_actions",
        "tcp,tcp_flags=+syn-ack,actions=CONTROLLER:128",
        "vlan_tci=0x0000,actions=FLOOD",
        "vlan_tci=0x1000/0x1000,actions=FLOOD",
        "vlan_tci=0x3005/0x3fff,actions=mod_vlan_vid:6,1",
        "nd_target=fe80::1,icmp_type=135,icmp6,actions=LOCAL",
        "tp_dst=80,nw_tos=184,tcp,actions=mod_tp_dst:81,mod_nw_tos:32,mod_vlan_pcp:3,1",
        "actions=move:NXM_OF_ETH_SRC[]->NXM_OF_ETH_DST[],load:0x2->NXM_OF_ETH_SRC[],load:1->NXM_NX_REG0[0..7]",
        "tun_id=5,actions=set_tunnel:7,IN_PORT",
        "no_packet_counts,no_byte_counts,dl_vlan=3,actions=set_field:4101->vlan_vid",
    ] {
        let flow = parse_flow(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        let printed = print_flow(&flow);
        assert_eq!(parse_flow(&printed).as_ref(), Ok(&flow), "{printed}");
        let bytes = crate::Message::new(1, crate::Body::FlowMod(flow.clone())).encode();
        crate::fuzz::message(&bytes);
        let decoded = crate::decode(&bytes).unwrap();
        assert_eq!(decoded.body, crate::Body::FlowMod(flow), "{text}");
    }
}

#[test]
fn writes_flows_as_ovs_ofctl_does() {
    let flow = parse_flow(
        "priority=5,tcp,dl_dst=02:00:00:00:00:01,nw_tos=184,tp_dst=80,idle_timeout=10,send_flow_rem actions=2",
    );
    let flow = flow.unwrap();
    let mut stats = FlowStats {
        table_id: 1,
        duration: Duration::from_millis(1_230),
        priority: flow.priority,
        idle_timeout: flow.idle_timeout,
        hard_timeout: 0,
        flags: flow.flags,
        cookie: 0,
        packets: 3,
        bytes: 180,
        matching: flow.matching,
        instructions: flow.instructions,
        ..FlowStats::default()
    };
    assert_eq!(
        print_stats(&stats),
        " cookie=0x0, duration=1.23s, table=1, n_packets=3, n_bytes=180, idle_timeout=10, send_flow_rem \
         priority=5,tcp,dl_dst=02:00:00:00:00:01,nw_tos=184,tp_dst=80 actions=output:2"
    );
    (stats.priority, stats.flags, stats.idle_timeout, stats.duration) =
        (0x8000, 0, 0, Duration::from_secs(2));
    (stats.matching, stats.instructions) = (Match::default(), Vec::new());
    let any = " cookie=0x0, duration=2s, table=1, n_packets=3, n_bytes=180, actions=drop";
    assert_eq!(print_stats(&stats), any);
}

#[test]
fn says_what_asks_for_a_field_without_its_protocol() {
    for (words, without) in [
        (&["nw_src=1.2.3.4"][..], &["nw_src=1.2.3.4"][..]),
        (&["nw_src=1.2.3.4", "ip"], &[]),
        (&["dl_vlan_pcp=3", "dl_vlan=0"], &[]),
        (&["dl_vlan_pcp=3"], &[]),
        (&["tp_dst=80", "ip", "in_port=1"], &["tp_dst=80"]),
        (&["tp_dst=80", "nw_proto=6", "dl_type=0x800"], &[]),
        (&["nw_proto=6", "tp_src=1", "dl_vlan=5"], &["nw_proto=6", "tp_src=1"]),
        (&["icmp6", "icmp_type=128", "nd_target=::1"], &["nd_target=::1"]),
        (&["arp", "nw_tos=4", "arp_spa=10.0.0.1", "reg0=5"], &["nw_tos=4"]),
        // What is wrong in any case is not left out.
        (&["nw_src=1.2.3.400", "tp_src=x", "no_field=1", "idle_timeout=5"], &[]),
    ] {
        assert_eq!(lacking(words), without, "{words:?}");
    }
}

#[test]
fn refuses_what_is_not_a_flow() {
    for text in [
        "actions=frobnicate",
        "tp_dst=80,actions=drop",
        "nw_src=1.2.3.4,actions=drop",
        "in_port=1",
        "ip,nw_src=1.2.3.4/33,actions=drop",
        "dl_vlan=65536,actions=drop",
        "actions=set_field:1->in_port_x",
        "actions=load:256->reg0[0..7]",
        "actions=goto_table:1,goto_table:2",
        "dl_vlan=3,actions=set_field:5->vlan_vid",
        "dl_src=002:00:00:00:00:01,actions=drop",
        "priority=+5,actions=drop",
    ] {
        assert!(parse_flow(text).is_err(), "{text}");
    }
}
