use super::*;
use crate::Action;
use heddle_flow::{Field, PacketKey, extract};

fn same(text: &str) {
    let (key, mask) = parse_flow(text, &Numbers).unwrap_or_else(|error| panic!("{text}: {error}"));
    assert_eq!(print_flow(&key, Some(&mask), Detail::Counting, &Numbers), text);
}

#[test]
fn flows_are_written_as_they_were_read() {
    let head = "recirc_id(0),in_port(1),packet_type(ns=0,id=0)";
    for tail in [
        "",
        ",eth(src=50:54:00:00:00:01,dst=50:54:00:00:02:00/ff:ff:00:00:00:00)",
        ",eth_type(0x0800),ipv4(src=10.0.0.0/255.0.0.0,proto=6,tos=0x4/0xfc,ttl=64,frag=no),tcp(src=8/0xfff8)",
        ",eth_type(0x0800),ipv4(proto=6,frag=first),tcp(dst=80),tcp_flags(+syn-ack)",
        ",eth_type(0x0800),ipv4(proto=6,frag=no),tcp_flags(syn|ack)",
        ",eth_type(0x0800),ipv4(proto=1,frag=no),icmp(type=8,code=0)",
        ",eth_type(0x86dd),ipv6(src=fe80::1,dst=fe80::/ffff::,label=0xf/0xff,proto=58,tclass=0x3,hlimit=255,frag=no),icmpv6(type=135,code=0),nd(target=::1,sll=00:01:02:03:04:05)",
        ",eth_type(0x86dd),ipv6(proto=132,frag=no),sctp(src=1,dst=2)",
        ",eth_type(0x0806),arp(sip=1.2.3.4,tip=5.6.7.0/255.255.255.0,op=1,sha=00:01:02:03:04:05)",
        ",eth_type(0x8100),vlan(vid=99,pcp=7),encap(eth_type(0x0800),ipv4(frag=no))",
        ",eth_type(0x88a8),vlan(vid=5,pcp=0),encap(eth_type(0x8100),vlan(vid=6/0xf),encap(eth_type(0x0806)))",
        ",eth_type(0x8100),encap(eth_type(0x0800),ipv4(proto=17,frag=no),udp(dst=53))",
        ",eth_type(0x8847),mpls(label=100,tc=3,ttl=64,bos=1)",
        ",eth_type(0x8847),mpls(label=100/0xfffff,tc=3/0,ttl=64/0x0,bos=0/1,label=5/0x0,tc=0/0,ttl=1/0x0,bos=1/1)",
        ",eth_type(0/0xffff)",
        ",eth_type(0x8035)",
    ] {
        same(&format!("{head}{tail}"));
    }
    same(
        "recirc_id(0x5),dp_hash(0xa/0xf),tunnel(tun_id=0x7),in_port(3),skb_mark(0x4),packet_type(ns=0,id=0)",
    );
}

#[test]
fn a_packet_is_written_with_all_it_has() {
    let mut frame = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0];
    frame.extend([0x45, 0x28, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
    frame.extend([0x12, 0x34, 0x00, 0x35, 0, 8, 0, 0]);
    let mut key = PacketKey::default();
    extract(&frame, 1, 0, &mut key);
    let key = key.expand();
    let exact = "recirc_id(0),dp_hash(0),skb_priority(0),in_port(1),skb_mark(0),ct_state(0),ct_zone(0),ct_mark(0),\
        ct_label(0),packet_type(ns=0,id=0),eth(src=02:00:00:00:00:01,dst=02:00:00:00:00:02),eth_type(0x0800),\
        ipv4(src=10.0.0.1,dst=10.0.0.2,proto=17,tos=0x28,ttl=64,frag=no),udp(src=4660,dst=53)";
    assert_eq!(print_flow(&key, None, Detail::Counting, &Numbers), exact);
    let (read, mask) = parse_flow(exact, &Numbers).unwrap();
    assert!(read == key);
    assert_eq!(
        print_flow(&read, Some(&mask), Detail::Everything, &Numbers),
        exact.replace("skb_priority(0)", "skb_priority(0/0)").replace(
            "ct_state(0),ct_zone(0),ct_mark(0),ct_label(0)",
            "ct_state(0/0),ct_zone(0/0),ct_mark(0/0),ct_label(0/0)"
        )
    );
    let mut mask = heddle_flow::FlowMask::default();
    mask.add(Field::EthType);
    mask.words[0] = u64::MAX;
    let everything = print_flow(&key, Some(&mask), Detail::Everything, &Numbers);
    assert!(
        everything.contains("ipv4(src=10.0.0.1/0.0.0.0,dst=10.0.0.2/0.0.0.0,proto=17/0,tos=0x28/0,ttl=64/0)"),
        "{everything}"
    );
}

#[test]
fn what_is_mistaken_is_refused() {
    for text in [
        "in_port",
        "in_port(1",
        "in_port(p1)",
        "nonsense(1)",
        "in_port(1),in_port(1)",
        "packet_type(ns=1,id=0x800)",
        "eth(src=1)",
        "eth(src=00:00:00:00:00:01,src=00:00:00:00:00:01)",
        "eth_type(0x800/0xff)",
        "eth_type(0x0800),ipv6(frag=no)",
        "eth_type(0x0800),ipv4(proto=6,frag=no),udp(src=1)",
        "eth_type(0x0800),ipv4(frag=maybe)",
        "eth_type(0x0800),ipv4(proto=256)",
        "eth_type(0x0800),vlan(vid=1),encap()",
        "eth_type(0x8100),vlan(vid=4096,pcp=0),encap()",
        "eth_type(0x8100),encap(eth_type(0x8100),encap(eth_type(0x8100),encap()))",
        "eth_type(0x8847),mpls(label=1,tc=0,ttl=64,bos=0)",
        "eth_type(0x0800),mpls(label=1,tc=0,ttl=64,bos=1)",
        "ct_state(+trk)",
        "ipv4(frag=no)",
        "eth_type(0x0800),ipv4(proto=6/0,frag=no),tcp(src=1)",
        "eth_type(0x8100),vlan(vid=1,pcp=0),encap(in_port(1))",
        "tunnel(src=1.2.3.4)",
        "eth_type(0x8100),vlan(vid=1,pcp=0),encap(eth_type(0x0800),ipv4(proto=6)),tcp(src=1)",
    ] {
        assert!(parse_flow(text, &Numbers).is_err(), "{text}");
    }
}

struct Named;

impl Names for Named {
    fn port(&self, number: u32) -> Option<String> {
        (number == 2).then(|| "p2".into())
    }
    fn port_number(&self, name: &str) -> Option<u32> {
        (name == "p2").then_some(2)
    }
    fn punted(&self, _: u32) -> Option<Punted> {
        Some(Punted { reason: 1, recirc_id: 3, cookie: 0x5, controller_id: 0, is_message: false })
    }
}

#[test]
fn ports_have_names() {
    let (key, mask) = parse_flow("in_port(p2)", &Named).unwrap();
    assert_eq!(key.in_port(), 2);
    assert_eq!(print_flow(&key, Some(&mask), Detail::Counting, &Named), "in_port(p2),packet_type(ns=0,id=0)");
}

fn set(field: Field, value: u128) -> Action {
    Action::Set { field, value, mask: field.spec().full_mask() }
}

#[test]
fn actions_are_written_by_attribute() {
    let actions = [
        set(Field::EthDst, 0x0200_0000_0002),
        set(Field::NwTtl, 63),
        Action::Set { field: Field::NwTos, value: 0x10, mask: 0xfc },
        set(Field::TcpDst, 80),
        Action::Output(1),
        set(Field::VlanTci, 0x2005),
        Action::Clone(Box::new([Action::PushVlan { tpid: 0x88a8, tci: 7 }, Action::Output(2)])),
        Action::PushMpls { ethertype: 0x8847, lse: 0x0000_1140 },
        Action::PopMpls { ethertype: 0x86dd },
        set(Field::NwTtl, 1),
        Action::PopVlan,
        Action::Punt { id: 1, max_len: 65_535 },
        Action::Recirculate(1),
    ];
    assert_eq!(
        print_actions(&actions, 0x0800, &Named),
        "set(eth(dst=02:00:00:00:00:02)),set(ipv4(tos=0x10/0xfc,ttl=63)),set(tcp(dst=80)),1,\
         pop_vlan,push_vlan(vid=5,pcp=1),clone(push_vlan(tpid=0x88a8,vid=7,pcp=0),p2),\
         push_mpls(label=1,tc=0,ttl=64,bos=1,eth_type=0x8847),pop_mpls(eth_type=0x86dd),set(ipv6(hlimit=1)),pop_vlan,\
         userspace(pid=0,controller(reason=1,dont_send=0,continuation=0,recirc_id=3,rule_cookie=0x5,controller_id=0,max_len=65535)),recirc(0x1)"
    );
    assert_eq!(print_actions(&[], 0x0800, &Numbers), "drop");
}
