//! Actions through text and the wire of OpenFlow 1.3 and 1.0, and back to text: what `ovs-ofctl parse-flows` prints of the
//! same line.
#![allow(missing_docs)]

use heddle_openflow::message::Form;
use heddle_openflow::text::{parse_flow, print_instructions, print_match};
use heddle_openflow::{Body, Message, Version, decode};

fn through(line: &str, form: Form) -> String {
    let flow = parse_flow(line).unwrap_or_else(|error| panic!("{line}: {error}"));
    let bytes = Message { form, xid: 1, body: Body::FlowMod(flow) }.encode();
    match decode(&bytes).unwrap_or_else(|fault| panic!("{line}: {}", fault.error.name())).body {
        Body::FlowMod(flow) => {
            let matching = print_match(&flow.matching);
            let space = if matching.is_empty() { "" } else { " " };
            format!("{matching}{space}actions={}", print_instructions(&flow.instructions))
        }
        body => panic!("{line}: became {body:?}"),
    }
}

/// Lines, and what becomes of them where it is not the same.
const SAME: &[&str] = &[
    "actions=output:NXM_NX_REG0[5..10]",
    "actions=output(port=1,max_len=100)",
    "actions=push:NXM_NX_REG0[0..7],pop:NXM_OF_ETH_SRC[]",
    "actions=exit",
    "actions=fin_timeout(idle_timeout=10,hard_timeout=20),fin_timeout(idle_timeout=5)",
    "actions=dec_ttl(1,2)",
    "actions=controller(reason=invalid_ttl,max_len=5,id=3,userdata=01.02.03,pause,meter_id=7)",
    "actions=controller(userdata=01.02.03)",
    "actions=controller(pause)",
    "actions=CONTROLLER:128",
    "actions=sample(probability=1,collector_set_id=2,obs_domain_id=3,obs_point_id=4,sampling_port=5,egress)",
    "actions=sample(probability=12345,collector_set_id=23456,obs_domain_id=34567,obs_point_id=45678)",
    "actions=conjunction(1,1/2),conjunction(2,2/3)",
    "conj_id=5 actions=output:2",
    "actions=resubmit(1,2),resubmit:1,resubmit(,2)",
    "actions=multipath(eth_src,50,modulo_n,1,0,NXM_NX_REG0[])",
    "actions=multipath(symmetric_l3l4+udp,50,hrw,12,0,NXM_NX_REG0[3..20])",
    "actions=bundle(eth_src,0,hrw,ofport,members:4,8)",
    "actions=bundle_load(symmetric_l4,60,active_backup,ofport,NXM_NX_REG0[],members:2,3,LOCAL)",
    "actions=learn(table=1,hard_timeout=60,NXM_OF_VLAN_TCI[0..11],NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],output:NXM_OF_IN_PORT[]),FLOOD",
    "actions=learn(table=1,idle_timeout=10,priority=5,send_flow_rem,delete_learned,cookie=0x12,limit=7,result_dst=NXM_NX_REG0[0],NXM_OF_VLAN_TCI[0..11],load:NXM_OF_IN_PORT[]->NXM_NX_REG0[16..31])",
    "tcp actions=learn(table=2,fin_idle_timeout=3,fin_hard_timeout=4,eth_type=0x800,nw_proto=6,NXM_OF_TCP_DST[]=NXM_OF_TCP_SRC[],load:0x5->NXM_NX_REG1[])",
    "actions=set_queue:7,pop_queue",
    "actions=move:NXM_OF_IN_PORT[]->NXM_NX_REG3[0..15],move:OXM_OF_IN_PORT[]->NXM_NX_REG4[]",
    "actions=group:5,IN_PORT,LOCAL,ALL,FLOOD,NORMAL,TABLE",
    "actions=note:00.01.02.03.04.05",
    "tcp,tcp_flags=+syn-ack actions=drop",
    "tcp,tcp_flags=-fin+syn+ack actions=drop",
    "actset_output=5 actions=drop",
];

#[test]
fn lines_of_openflow_1_3() {
    let form = Form::of(Version::V1_3);
    for line in SAME {
        assert_eq!(through(line, form), *line);
    }
    for (line, printed) in [
        ("actions=enqueue:1:2", "actions=set_queue:2,output:1,pop_queue"),
        ("actions=enqueue(LOCAL,3)", "actions=set_queue:3,LOCAL,pop_queue"),
        ("actions=clone(set_field:1->reg0,output:2),3", "actions=clone(set_field:0x1->reg0,output:2),output:3"),
        (
            "ip,actions=mod_nw_ttl:7,dec_ttl,set_field:9->ip_dscp,set_field:1->ip_ecn",
            "ip actions=mod_nw_ttl:7,dec_ttl,set_field:9->ip_dscp,set_field:1->nw_ecn",
        ),
        (
            "ip,actions=set_field:10.0.0.0/255.0.0.0->ip_src,load:5->NXM_OF_IP_SRC[3..7],load:0->NXM_OF_IP_SRC[]",
            "ip actions=load:0xa->NXM_OF_IP_SRC[24..31],load:0x5->NXM_OF_IP_SRC[3..7],load:0->NXM_OF_IP_SRC[]",
        ),
        (
            "push_mpls:0x8847 actions=push_mpls:0x8847,set_mpls_label(5),set_mpls_tc(3),set_mpls_ttl(7),dec_mpls_ttl"
                .trim_start_matches("push_mpls:0x8847 "),
            "actions=push_mpls:0x8847,set_field:5->mpls_label,set_field:3->mpls_tc,set_mpls_ttl(7),dec_mpls_ttl",
        ),
        (
            "actions=push_vlan:0x8100,set_field:4101->vlan_vid,set_field:5->vlan_pcp,load:5->OXM_OF_VLAN_VID[]",
            "actions=push_vlan:0x8100,set_field:4101->vlan_vid,set_field:5->vlan_pcp,load:0x5->OXM_OF_VLAN_VID[]",
        ),
        (
            "arp,arp_op=300,actions=load:2->arp_op[],move:arp_sha[]->arp_tha[]",
            "arp,arp_op=300 actions=load:0x2->NXM_OF_ARP_OP[],move:NXM_NX_ARP_SHA[]->NXM_NX_ARP_THA[]",
        ),
        ("ipv6,ipv6_label=0x5,actions=set_field:5->ipv6_label", "ipv6,ipv6_label=0x00005 actions=set_field:0x5->ipv6_label"),
        ("sctp,tp_src=5/0xff,actions=set_field:7->sctp_dst", "sctp,tp_src=0x5/0xff actions=set_field:7->sctp_dst"),
        (
            "actions=learn(table=2,in_port=3,load:5->reg1[],load:reg2[]->reg3[],NXM_OF_VLAN_TCI[0..3]=5,tcp_dst=tcp_src)",
            "actions=learn(table=2,in_port=3,load:0x5->NXM_NX_REG1[],load:NXM_NX_REG2[]->NXM_NX_REG3[],NXM_OF_VLAN_TCI[0..3]=0x5,NXM_OF_TCP_DST[]=NXM_OF_TCP_SRC[])",
        ),
    ] {
        assert_eq!(through(line, form), printed, "{line}");
    }
}

#[test]
fn lines_of_openflow_1_0() {
    let form = Form { version: Version::V1_0, nicira: true };
    for (line, printed) in [
        ("actions=enqueue:1:2", "actions=enqueue:1:2"),
        ("actions=enqueue(LOCAL,3)", "actions=enqueue:LOCAL:3"),
        (
            "actions=clone(set_field:1->reg0,output:2),3",
            "actions=clone(load:0x1->NXM_NX_REG0[],output:2),output:3",
        ),
        ("actions=group:5,IN_PORT", "actions=group:5,IN_PORT"),
        ("actions=goto_table:5", "actions=resubmit(,5)"),
    ] {
        assert_eq!(through(line, form), printed, "{line}");
    }
}

#[test]
fn what_open_vswitch_does_not_have_is_read_and_written_too() {
    let form = Form::of(Version::V1_3);
    for line in [
        "actions=push_pbb:0x88e7,set_field:0x123456->pbb_isid,pop_pbb",
        "dl_type=0x88e7,pbb_isid=0x100/0xff00 actions=pop_pbb",
        "ipv6,ipv6_exthdr=0x10/0x10 actions=copy_ttl_in,copy_ttl_out",
    ] {
        assert_eq!(through(line, form), line);
    }
}

#[test]
fn what_cannot_be_done_is_refused() {
    for line in [
        "actions=resubmit(,2,ct)",
        "actions=ct(commit)",
        "actions=check_pkt_larger(100)->reg0[0]",
        "actions=conjunction(1,3/2)",
        "actions=conjunction(1,1/1)",
        "actions=multipath(eth_src,50,modulo_n,1025,0,NXM_NX_REG0[0..9])",
        "actions=bundle_load(eth_src,0,hrw,ofport,reg0[0..14],members:1)",
        "actions=output(port=1,max_len=13)",
        "actions=output(port=ALL,max_len=100)",
        "actions=learn(table=255)",
        "actions=learn(NXM_OF_ETH_DST[]=NXM_OF_VLAN_TCI[])",
        "actions=move:reg0[]->eth_type[]",
        "actions=pop:eth_type[]",
        "actions=load:5->ip_proto[]",
        "actions=push_pbb:0x8847",
        "actions=sample(probability=0)",
    ] {
        assert!(parse_flow(line).is_err(), "{line}");
    }
}
