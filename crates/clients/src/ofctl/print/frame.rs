//! Frames in text.

use heddle_flow::{Field, FlowKey, PacketKey, Prerequisite};
use heddle_openflow::text::print_value;
use heddle_wire::{ethertype, ipproto};

/// A frame's headers, as a flow that matches it alone, and its transport's checksum, in a line.
pub fn frame(data: &[u8]) -> String {
    format!("{}{}\n", headers(data, None), checksum(data).unwrap_or_default())
}

/// A frame's headers, as a flow that matches it alone; `in_port` is what the port is called that it came in by.
pub fn headers(data: &[u8], in_port: Option<&str>) -> String {
    let mut packet = PacketKey::default();
    heddle_flow::extract(data, 0, 0, &mut packet);
    let key = packet.expand();
    let kind = key.eth_type();
    let mut words: Vec<String> = protocol(&key).map(str::to_owned).into_iter().collect();
    words.extend(in_port.map(|port| format!("in_port={port}")));
    let tag = key.vlan_tci();
    match tag & 0x1000 {
        0 => words.push("vlan_tci=0x0000".to_owned()),
        _ => words.extend([
            format!("dl_vlan={}", tag & 0xfff),
            format!("dl_vlan_pcp={}", tag >> 13),
            inner_tag(data),
        ]),
    }
    put(&mut words, &key, &[("dl_src", Field::EthSrc), ("dl_dst", Field::EthDst)]);
    match kind {
        ethertype::IPV4 | ethertype::IPV6 => internet(&mut words, &key),
        ethertype::ARP | RARP => put(
            &mut words,
            &key,
            &[
                ("arp_spa", Field::ArpSpa),
                ("arp_tpa", Field::ArpTpa),
                ("arp_op", Field::ArpOp),
                ("arp_sha", Field::ArpSha),
                ("arp_tha", Field::ArpTha),
            ],
        ),
        ethertype::MPLS | ethertype::MPLS_MC => put(
            &mut words,
            &key,
            &[
                ("mpls_label", Field::MplsLabel),
                ("mpls_tc", Field::MplsTc),
                ("mpls_ttl", Field::MplsTtl),
                ("mpls_bos", Field::MplsBos),
            ],
        ),
        _ => words.push(format!("dl_type={kind:#06x}")),
    }
    words.join(",")
}

/// Type of reverse ARP.
const RARP: u16 = 0x8035;
/// What TCP's flags are called, from the least bit.
const TCP_FLAGS: [&str; 9] = ["fin", "syn", "rst", "psh", "ack", "urg", "ece", "cwr", "ns"];

/// The word that says a frame's protocol, and with it the fields that follow.
fn protocol(key: &FlowKey) -> Option<&'static str> {
    Some(match (key.eth_type(), key.ip_proto()) {
        (ethertype::IPV4, ipproto::TCP) => "tcp",
        (ethertype::IPV4, ipproto::UDP) => "udp",
        (ethertype::IPV4, ipproto::SCTP) => "sctp",
        (ethertype::IPV4, ipproto::ICMP) => "icmp",
        (ethertype::IPV4, _) => "ip",
        (ethertype::IPV6, ipproto::TCP) => "tcp6",
        (ethertype::IPV6, ipproto::UDP) => "udp6",
        (ethertype::IPV6, ipproto::SCTP) => "sctp6",
        (ethertype::IPV6, ipproto::ICMPV6) => "icmp6",
        (ethertype::IPV6, _) => "ipv6",
        (ethertype::ARP, _) => "arp",
        (RARP, _) => "rarp",
        (ethertype::MPLS, _) => "mpls",
        (ethertype::MPLS_MC, _) => "mplsm",
        _ => return None,
    })
}

/// Fields by the names that Open vSwitch gives them here, with their values.
fn put(words: &mut Vec<String>, key: &FlowKey, fields: &[(&str, Field)]) {
    words.extend(
        fields.iter().map(|(name, field)| format!("{name}={}", print_value(*field, key.get(*field)))),
    );
}

/// The fields of IP and of what it carries.
fn internet(words: &mut Vec<String>, key: &FlowKey) {
    match key.eth_type() {
        ethertype::IPV4 => put(words, key, &[("nw_src", Field::Ipv4Src), ("nw_dst", Field::Ipv4Dst)]),
        _ => {
            put(words, key, &[("ipv6_src", Field::Ipv6Src), ("ipv6_dst", Field::Ipv6Dst)]);
            words.push(format!("ipv6_label={:#07x}", key.get(Field::Ipv6Label)));
        }
    }
    let name = protocol(key).unwrap_or_default();
    if name.starts_with("ip") {
        put(words, key, &[("nw_proto", Field::NwProto)]);
    }
    words.push(format!("nw_tos={}", key.get(Field::NwTos) & 0xfc));
    put(words, key, &[("nw_ecn", Field::NwEcn), ("nw_ttl", Field::NwTtl)]);
    words.push(format!("nw_frag={}", ["no", "first", "no", "later"][key.frag() as usize & 3]));
    match name {
        "icmp" => put(words, key, &[("icmp_type", Field::IcmpType), ("icmp_code", Field::IcmpCode)]),
        "icmp6" => {
            put(words, key, &[("icmp_type", Field::Icmpv6Type), ("icmp_code", Field::Icmpv6Code)]);
            neighbour(words, key);
        }
        "ip" | "ipv6" => {}
        _ => put(words, key, &[("tp_src", Field::TcpSrc), ("tp_dst", Field::TcpDst)]),
    }
    if name.starts_with("tcp") {
        let flags = key.get(Field::TcpFlags);
        let set = (0..).zip(TCP_FLAGS).filter(|(bit, _)| flags >> bit & 1 != 0);
        let set: Vec<&str> = set.map(|(_, name)| name).collect();
        words.push(format!("tcp_flags={}", if set.is_empty() { "0".into() } else { set.join("|") }));
    }
}

/// What a neighbour's solicitation or advertisement asks and says.
fn neighbour(words: &mut Vec<String>, key: &FlowKey) {
    if Prerequisite::Nd.holds(key, None) {
        put(
            words,
            key,
            &[("nd_target", Field::NdTarget), ("nd_sll", Field::NdSll), ("nd_tll", Field::NdTll)],
        );
    }
}

/// A second tag, or that there is none.
fn inner_tag(data: &[u8]) -> String {
    let word = |at: usize| data.get(at..at + 2).map_or(0, |word| u16::from_be_bytes([word[0], word[1]]));
    match word(16) {
        0x8100 | 0x88a8 => format!("dl_vlan1={},dl_vlan_pcp1={}", word(18) & 0xfff, word(18) >> 13),
        _ => "vlan_tci1=0x0000".into(),
    }
}

/// The checksum of the packet's transport protocol, where it has one that is not cut off.
fn checksum(data: &[u8]) -> Option<String> {
    let word = |at: usize| data.get(at..at + 2).map(|word| u16::from_be_bytes([word[0], word[1]]));
    let mut at = 12;
    while matches!(word(at)?, 0x8100 | 0x88a8) {
        at += 4;
    }
    let (kind, ip) = (word(at)?, at + 2);
    let (protocol, transport, end) = match kind {
        ethertype::IPV4 => {
            // Only the first fragment has a header.
            if word(ip + 6)? & 0x1fff != 0 {
                return None;
            }
            let header = usize::from(data.get(ip)? & 0xf) * 4;
            (*data.get(ip + 9)?, ip + header, ip + usize::from(word(ip + 2)?))
        }
        ethertype::IPV6 => (*data.get(ip + 6)?, ip + 40, ip + 40 + usize::from(word(ip + 4)?)),
        _ => return None,
    };
    let left = end.min(data.len()).checked_sub(transport)?;
    let (name, least, offset, width) = match protocol {
        ipproto::TCP => ("tcp_csum", 20, 16, 2),
        ipproto::UDP => ("udp_csum", 8, 6, 2),
        ipproto::SCTP => ("sctp_csum", 12, 8, 4),
        ipproto::ICMP if kind == ethertype::IPV4 => ("icmp_csum", 8, 2, 2),
        ipproto::ICMPV6 if kind == ethertype::IPV6 => ("icmp6_csum", 4, 2, 2),
        _ => return None,
    };
    let bytes = data.get(transport + offset..transport + offset + width).filter(|_| left >= least)?;
    let value = bytes.iter().fold(0u32, |value, byte| value << 8 | u32::from(*byte));
    Some(format!(" {name}:{value:x}"))
}
