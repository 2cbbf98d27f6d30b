//! The properties of the fuzz targets, on inputs of proptest's choice.
#![allow(missing_docs)]

use heddle_openflow::action::Bits;
use heddle_openflow::group::GroupCommand;
use heddle_openflow::multipart::{FlowStats, Reply};
use heddle_openflow::{Action, Body, FlowMod, Form, Framer, Instruction, Message, Version, decode};
use proptest::prelude::*;

proptest! {
    #[test]
    fn arbitrary_messages(version in 1u8..7, kind in 0u8..36, body in proptest::collection::vec(any::<u8>(), 0..200)) {
        let mut bytes = vec![version, kind];
        bytes.extend(((body.len() + 8) as u16).to_be_bytes());
        bytes.extend([0, 0, 0, 1]);
        bytes.extend(&body);
        heddle_openflow::fuzz::message(&bytes);
        heddle_openflow::fuzz::message(&body);
    }

    #[test]
    fn arbitrary_text(text in "[a-z0-9_=,:>\\[\\]().-]{0,60}", tail in "(output:1|drop|normal|)") {
        heddle_openflow::fuzz::flow_text(format!("{text},actions={tail}").as_bytes());
        heddle_openflow::fuzz::flow_text(text.as_bytes());
    }
}

/// Words of the syntax, so that random text is often a flow.
const WORDS: [&str; 40] = [
    "tcp",
    "udp6",
    "icmp6",
    "arp",
    "ip",
    "mpls",
    "nw_src=10.0.0.0/8",
    "nw_dst=1.2.3.4/255.0.255.0",
    "tp_dst=80/0xfff0",
    "tp_src=7",
    "dl_vlan=5",
    "dl_vlan_pcp=3",
    "vlan_tci=0x0",
    "vlan_tci=0x3000/0x3000",
    "vlan_vid=0/0x1000",
    "vlan_tci=0xffff",
    "nw_tos=184",
    "nw_ecn=1",
    "nw_ttl=64",
    "nw_frag=first",
    "nw_frag=not_later",
    "icmp_type=135",
    "icmp_code=0",
    "nd_target=fe80::1",
    "nd_sll=02:00:00:00:00:01",
    "arp_op=2",
    "arp_spa=10.0.0.0/24",
    "mpls_label=9",
    "mpls_bos=1",
    "tcp_flags=+syn-ack",
    "tcp_flags=0xfff",
    "reg0=1/3",
    "xreg1=5",
    "xxreg2=1::/16",
    "metadata=1/1",
    "tun_id=7",
    "in_port=LOCAL",
    "dl_dst=01:00:00:00:00:00/01:00:00:00:00:00",
    "pkt_mark=5",
    "ipv6_label=5",
];

/// Actions of the syntax.
const ACTIONS: [&str; 74] = [
    "1",
    "NORMAL",
    "controller:9",
    "controller(max_len=7,id=3)",
    "pop_vlan",
    "push_vlan:0x88a8",
    "mod_vlan_vid:5",
    "mod_vlan_pcp:1",
    "push_mpls:0x8847",
    "pop_mpls:0x800",
    "dec_ttl",
    "mod_nw_ttl:3",
    "set_mpls_ttl:4",
    "dec_mpls_ttl",
    "set_queue:1",
    "group:7",
    "set_field:5/0x5->reg1",
    "set_field:0/0->reg1",
    "set_field:4->nw_tos",
    "load:3->NXM_OF_IP_TOS[2..3]",
    "load:0x12->NXM_OF_VLAN_TCI[0..11]",
    "load:1->NXM_NX_REG0[31]",
    "mod_nw_tos:8",
    "set_field:fe80::1->ipv6_dst",
    "set_field:fe80::/64->ipv6_src",
    "set_field:1->tun_id",
    "note:01.02.03",
    "move:in_port[]->reg3[0..15]",
    "move:OXM_OF_IN_PORT[]->reg3[]",
    "load:5->in_port[]",
    "load:0xfffffff5->in_port_oxm[]",
    "load:2->NXM_OF_ARP_OP[]",
    "load:5->OXM_OF_PKT_REG3[0..60]",
    "load:5->xxreg1[]",
    "set_field:5/7->mpls_label",
    "set_field:0x12345->pbb_isid",
    "push_pbb:0x88e7",
    "pop_pbb",
    "copy_ttl_in",
    "copy_ttl_out",
    "output:NXM_NX_REG0[5..10]",
    "output:xreg2[60..63]",
    "output(port=1,max_len=100)",
    "enqueue:1:2",
    "enqueue(LOCAL,3)",
    "push:NXM_NX_REG0[0..7]",
    "pop:NXM_OF_ETH_SRC[3..9]",
    "exit",
    "fin_timeout(idle_timeout=10,hard_timeout=20)",
    "fin_timeout()",
    "dec_ttl(1,2)",
    "pop_queue",
    "controller(reason=invalid_ttl,max_len=5,id=3,userdata=01.02.03,pause,meter_id=7)",
    "controller(userdata=010203)",
    "controller(pause)",
    "controller(max_len=3)",
    "clone(set_field:1->reg0,output:2,clone(3))",
    "sample(probability=1,collector_set_id=2,obs_domain_id=3,obs_point_id=4,sampling_port=5,egress)",
    "sample(probability=9)",
    "conjunction(1,1/2)",
    "multipath(symmetric_l3l4+udp,50,hrw,12,7,NXM_NX_REG0[3..20])",
    "multipath(eth_src,0,iter_hash,65536,0,xreg0[])",
    "bundle(eth_src,0,hrw,ofport,members:4,8)",
    "bundle_load(symmetric_l4,60,active_backup,ofport,reg0[],members:2,3,LOCAL)",
    "learn(table=1,hard_timeout=60,NXM_OF_VLAN_TCI[0..11],NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],output:NXM_OF_IN_PORT[])",
    "learn(idle_timeout=10,fin_idle_timeout=1,fin_hard_timeout=2,priority=5,send_flow_rem,delete_learned,cookie=0x12,limit=7,result_dst=reg0[0],eth_type=0x800,nw_proto=6,tcp_dst=tcp_src,load:5->reg1[],load:reg2[]->reg3[],NXM_OF_VLAN_TCI[0..3]=5,in_port=3,load:0->NXM_OF_IN_PORT[])",
    "move:NXM_OF_ETH_SRC[0..3]->xreg0[60..63]",
    "resubmit(,3)",
    "resubmit:IN_PORT",
    "resubmit(5,6)",
    "goto_table:3",
    "clear_actions",
    "write_actions(2,set_field:1->reg0)",
    "write_metadata:1/3",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    /// A flow keeps its meaning through text and through the wire.
    #[test]
    fn flows_survive_text_and_wire(
        words in proptest::collection::vec(proptest::sample::select(&WORDS[..]), 0..6),
        actions in proptest::collection::vec(proptest::sample::select(&ACTIONS[..]), 0..5),
    ) {
        let line = format!("{} actions={}", words.join(","), actions.join(","));
        heddle_openflow::fuzz::flow_text(line.as_bytes());
        if let Ok(flow) = heddle_openflow::text::parse_flow(&line) {
            let message = Message::new(1, Body::FlowMod(flow.clone()));
            let decoded = decode(&message.encode());
            let Ok(Message { body: Body::FlowMod(mut back), .. }) = decoded else { panic!("{line}: {decoded:?}") };
            unpad_notes(&mut back);
            let mut flow = flow;
            as_on_the_wire(&mut flow);
            prop_assert_eq!(back, flow, "{}", line);
        }
    }

    /// A good flow with some bytes changed is refused or keeps its meaning.
    #[test]
    fn damaged_flows_are_refused_or_survive(
        words in proptest::collection::vec(proptest::sample::select(&WORDS[..]), 0..4),
        actions in proptest::collection::vec(proptest::sample::select(&ACTIONS[..]), 0..4),
        damage in proptest::collection::vec((8usize..400, any::<u8>()), 1..4),
    ) {
        let line = format!("{} actions={}", words.join(","), actions.join(","));
        if let Ok(flow) = heddle_openflow::text::parse_flow(&line) {
            let mut bytes = Message::new(1, Body::FlowMod(flow)).encode();
            for (at, byte) in damage {
                let length = bytes.len();
                bytes[8 + at % (length - 8)] = byte;
            }
            heddle_openflow::fuzz::message(&bytes);
        }
    }

    /// A flow in any version's own form or Nicira's, whole or with some bytes changed, is refused or keeps its meaning.
    #[test]
    fn flows_of_every_version_are_refused_or_survive(
        words in proptest::collection::vec(proptest::sample::select(&WORDS[..]), 0..4),
        actions in proptest::collection::vec(proptest::sample::select(&ACTIONS[..]), 0..4),
        damage in proptest::collection::vec((8usize..400, any::<u8>()), 0..4),
        version in proptest::sample::select(Version::ALL),
        nicira in any::<bool>(),
        statistics in any::<bool>(),
    ) {
        let line = format!("{} actions={}", words.join(","), actions.join(","));
        if let Ok(flow) = heddle_openflow::text::parse_flow(&line) {
            let form = Form { version, nicira };
            let matching = flow.matching;
            let body = match statistics {
                true => Body::MultipartReply(Reply::Flow(vec![FlowStats {
                    matching,
                    instructions: flow.instructions,
                    ..FlowStats::default()
                }])),
                false => Body::FlowMod(flow),
            };
            let mut bytes = Message { form, xid: 1, body }.encode();
            if damage.is_empty() && (version > Version::V1_1 || nicira) {
                let back = match decode(&bytes).map(|message| message.body) {
                    Ok(Body::FlowMod(flow)) => flow.matching,
                    Ok(Body::MultipartReply(Reply::Flow(flows))) => flows[0].matching,
                    other => panic!("{line}: {other:?}"),
                };
                // OpenFlow 1.1 has Nicira's form of flow-mods alone.
                if version != Version::V1_1 || !statistics {
                    prop_assert_eq!(back, matching, "{}", line);
                }
            }
            for (at, byte) in damage {
                let length = bytes.len();
                bytes[8 + at % (length - 8)] = byte;
            }
            heddle_openflow::fuzz::message(&bytes);
        }
    }

    /// Groups keep their meaning through text and through the wire, and damaged ones are refused or survive.
    #[test]
    fn groups_survive_text_and_wire(
        kind in proptest::sample::select(vec!["all", "select", "indirect", "ff"]),
        buckets in proptest::collection::vec(
            (any::<u16>(), proptest::option::of(1u32..9), proptest::option::of(1u32..9),
             proptest::collection::vec(proptest::sample::select(&ACTIONS[..]), 0..3)),
            0..4,
        ),
        version in proptest::sample::select(Version::ALL),
        damage in proptest::collection::vec((8usize..400, any::<u8>()), 0..4),
    ) {
        let mut line = format!("group_id=5,type={kind}");
        for (weight, port, group, actions) in &buckets {
            line += &format!(",bucket=weight:{weight},");
            line += &port.map_or(String::new(), |port| format!("watch_port:{port},"));
            line += &group.map_or(String::new(), |group| format!("watch_group:{group},"));
            line += &format!("actions={}", if actions.is_empty() { "drop".into() } else { actions.join(",") });
        }
        if let Ok(group) = heddle_openflow::text::parse_group(&line, GroupCommand::Add) {
            let printed = heddle_openflow::text::print_group(group.group_id, group.kind, &group.buckets);
            let again = heddle_openflow::text::parse_group(&printed, GroupCommand::Add);
            prop_assert_eq!(again.as_ref(), Ok(&group), "{}", printed);
            let form = Form { version, nicira: false };
            let mut bytes = Message { form, xid: 1, body: Body::GroupMod(group) }.encode();
            for (at, byte) in damage {
                let length = bytes.len();
                bytes[8 + at % (length - 8)] = byte;
            }
            heddle_openflow::fuzz::message(&bytes);
        }
    }

    /// A stream is cut into the same messages wherever it was broken.
    #[test]
    fn framing_does_not_depend_on_pieces(
        bodies in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 0..8), piece in 1usize..50,
    ) {
        let echo = |body: &Vec<u8>| Message::new(3, Body::EchoRequest(body.clone())).encode();
        let stream: Vec<u8> = bodies.iter().flat_map(echo).collect();
        let (mut framer, mut cut) = (Framer::default(), Vec::new());
        for piece in stream.chunks(piece) {
            framer.push(piece);
            cut.extend(std::iter::from_fn(|| framer.next_message()).map(|message| message.expect("framed")));
        }
        prop_assert_eq!(cut, bodies.iter().map(echo).collect::<Vec<_>>());
    }
}

/// The upper registers have no number of their own: on the wire they are halves of wider ones.
#[test]
fn upper_registers_go_as_halves() {
    let flow = |text: &str| heddle_openflow::text::parse_flow(text).expect("it is a flow");
    for (text, wire) in [
        ("reg20=5/0xff actions=drop", "xreg10=0x500000000/0xff00000000 actions=drop"),
        ("reg17=5 actions=drop", "xreg8=5/0xffffffff actions=drop"),
        ("actions=set_field:7->reg17", "actions=load:7->xreg8[0..31]"),
        ("actions=load:3->reg30[4..7]", "actions=load:3->xreg15[36..39]"),
        ("actions=move:reg16[0..3]->reg31[8..11]", "actions=move:xreg8[32..35]->xreg15[8..11]"),
    ] {
        let bytes = Message::new(1, Body::FlowMod(flow(text))).encode();
        let Ok(Message { body: Body::FlowMod(back), .. }) = decode(&bytes) else { panic!("{text}") };
        assert_eq!(back.matching, flow(text).matching, "{text}");
        assert_eq!(back.instructions, flow(wire).instructions, "{text}");
    }
}

/// What the wire has one form for is written in that form: bits of a field are loaded, and a queue is set for one output.
fn as_on_the_wire(flow: &mut FlowMod) {
    for instruction in &mut flow.instructions {
        if let Instruction::Apply(actions) | Instruction::Write(actions) = instruction {
            *actions = actions.drain(..).flat_map(wire_forms).collect();
        }
    }
}

fn wire_forms(action: Action) -> Vec<Action> {
    match action {
        Action::SetField { field, value, mask } => {
            let (offset, count) = (mask.trailing_zeros(), mask.count_ones());
            let adjoin = (1..=64).contains(&count) && mask >> offset == (1u128 << count) - 1;
            if !adjoin || mask == field.spec().full_mask() {
                return vec![Action::SetField { field, value, mask }];
            }
            let bits = Bits { field, offset: offset as u16, count: count as u16 };
            vec![Action::Load { bits, value: bits.of(value) as u64 }]
        }
        Action::Enqueue { port, queue } => {
            vec![Action::SetQueue(queue), Action::Output { port, max_len: 0 }, Action::PopQueue]
        }
        Action::Clone(actions) => vec![Action::Clone(actions.into_iter().flat_map(wire_forms).collect())],
        action => vec![action],
    }
}

/// A note's length is not on the wire: it comes back with its padding.
fn unpad_notes(flow: &mut FlowMod) {
    for instruction in &mut flow.instructions {
        let (Instruction::Apply(actions) | Instruction::Write(actions)) = instruction else { continue };
        for action in actions {
            if let Action::Note(bytes) = action {
                bytes.truncate(3);
            }
        }
    }
}
