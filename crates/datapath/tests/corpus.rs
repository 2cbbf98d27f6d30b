//! The fuzzers' corpus holds, input by input, and so do their properties for arbitrary input.
#![allow(missing_docs)]

use heddle_datapath::fuzz::datapath_flow_text;
use proptest::prelude::*;

#[test]
fn texts() {
    heddle_wire::fuzz::replay("datapath_flow_text", datapath_flow_text);
}

/// Attributes that may stand together, so that many texts are good.
const WORDS: &[&str] = &[
    "in_port(1)",
    "recirc_id(0x5)",
    "skb_mark(4/0xff)",
    "eth(src=00:00:00:00:00:01,dst=00:00:00:00:00:02/ff:00:00:00:00:00)",
    "eth()",
    "eth_type(0x8100),vlan(vid=5/0xf)",
    "eth_type(0x0800)",
    "eth_type(0x86dd)",
    "eth_type(0x0806)",
    "eth_type(0x8847)",
    "eth_type(0/0xffff)",
    "ipv4(src=10.0.0.0/255.0.0.0,proto=6,frag=no)",
    "ipv4(proto=1,ttl=3/0x3)",
    "ipv6(dst=fe80::/ffff::,proto=58,label=0/0xff)",
    "ipv6(proto=6,frag=later)",
    "arp(op=1,sha=00:00:00:00:00:01)",
    "tcp(src=8/0xfff8)",
    "tcp_flags(+syn-[800])",
    "tcp_flags(0)",
    "icmp(type=8/0x8)",
    "icmpv6(type=135,code=0)",
    "nd(target=::1,tll=00:00:00:00:00:01)",
    "mpls(label=1/0xf,tc=1,ttl=1/0,bos=1)",
    "mpls(label=1,tc=1,ttl=1,bos=0,label=1,tc=1,ttl=1,bos=0,label=1,tc=1,ttl=1,bos=0)",
    "eth_type(0x8100),encap(eth_type(0x0800),ipv4(proto=6),tcp(dst=1))",
    "eth_type(0x88a8),vlan(pcp=1),encap(eth_type(0x8100),vlan(),encap(eth_type(0x86dd)))",
    "eth_type(0x8100),encap(eth_type(0x8100))",
];

proptest! {
    #[test]
    fn attributes(words in proptest::collection::vec(proptest::sample::select(WORDS), 0..7), cut in 0usize..200) {
        let text = words.join(",");
        datapath_flow_text(text.as_bytes());
        datapath_flow_text(&text.as_bytes()[..cut.min(text.len())]);
    }

    #[test]
    fn letters(text in "[a-z_0-9(),=/:|+. ]{0,60}") {
        datapath_flow_text(text.as_bytes());
    }
}
