//! Frames in text.

use std::net::{Ipv4Addr, Ipv6Addr};

use heddle_flow::{Field, PacketKey};
use heddle_wire::{ethertype, ipproto};

/// A frame's headers, as a flow that matches it alone.
pub fn frame(data: &[u8]) -> String {
    let mut packet = PacketKey::default();
    heddle_flow::extract(data, 0, 0, &mut packet);
    let key = packet.expand();
    let tag = key.get(Field::VlanTci);
    let octets = |value: u128| {
        value.to_be_bytes()[10..].iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":")
    };
    let kind = key.get(Field::EthType) as u16;
    let mut words = match tag & 0x1000 {
        0 => vec!["vlan_tci=0x0000".to_owned()],
        _ => vec![format!("dl_vlan={}", tag & 0xfff), format!("dl_vlan_pcp={}", tag >> 13), inner_tag(data)],
    };
    words.push(format!("dl_src={}", octets(key.get(Field::EthSrc))));
    words.push(format!("dl_dst={}", octets(key.get(Field::EthDst))));
    let ip4 = |value: u128| Ipv4Addr::from(value as u32).to_string();
    let ip6 = |value: u128| Ipv6Addr::from(value).to_string();
    let protocol = key.get(Field::NwProto) as u8;
    let name = match (kind, protocol) {
        (ethertype::IPV4 | ethertype::IPV6, _) => {
            match kind {
                ethertype::IPV4 => {
                    words.push(format!("nw_src={}", ip4(key.get(Field::Ipv4Src))));
                    words.push(format!("nw_dst={}", ip4(key.get(Field::Ipv4Dst))));
                }
                _ => {
                    words.push(format!("ipv6_src={}", ip6(key.get(Field::Ipv6Src))));
                    words.push(format!("ipv6_dst={}", ip6(key.get(Field::Ipv6Dst))));
                    words.push(format!("ipv6_label={:#07x}", key.get(Field::Ipv6Label)));
                }
            }
            let six = if kind == ethertype::IPV6 { "6" } else { "" };
            let known = match protocol {
                ipproto::TCP => format!("tcp{six}"),
                ipproto::UDP => format!("udp{six}"),
                ipproto::SCTP => format!("sctp{six}"),
                ipproto::ICMP if kind == ethertype::IPV4 => "icmp".into(),
                ipproto::ICMPV6 if kind == ethertype::IPV6 => "icmp6".into(),
                _ => {
                    words.push(format!("nw_proto={protocol}"));
                    if kind == ethertype::IPV4 { "ip".into() } else { "ipv6".into() }
                }
            };
            words.push(format!("nw_tos={}", key.get(Field::NwTos) & 0xfc));
            words.push(format!("nw_ecn={}", key.get(Field::NwEcn)));
            words.push(format!("nw_ttl={}", key.get(Field::NwTtl)));
            words.push(format!(
                "nw_frag={}",
                ["no", "first", "no", "later"][key.get(Field::IpFrag) as usize & 3]
            ));
            known
        }
        (ethertype::ARP, _) => {
            words.push(format!("arp_spa={}", ip4(key.get(Field::ArpSpa))));
            words.push(format!("arp_tpa={}", ip4(key.get(Field::ArpTpa))));
            words.push(format!("arp_op={}", key.get(Field::ArpOp)));
            words.push(format!("arp_sha={}", octets(key.get(Field::ArpSha))));
            words.push(format!("arp_tha={}", octets(key.get(Field::ArpTha))));
            "arp".into()
        }
        (RARP, _) if data.len() >= ARP_AT + ARP_LEN => {
            words.extend(reverse_arp(&data[ARP_AT..]));
            "rarp".into()
        }
        _ => {
            words.push(format!("dl_type={kind:#06x}"));
            String::new()
        }
    };
    if protocol == ipproto::ICMP && name == "icmp" || name == "icmp6" {
        let fields = if name == "icmp" {
            (Field::IcmpType, Field::IcmpCode)
        } else {
            (Field::Icmpv6Type, Field::Icmpv6Code)
        };
        words.push(format!("icmp_type={}", key.get(fields.0)));
        words.push(format!("icmp_code={}", key.get(fields.1)));
    } else if name.starts_with("tcp") || name.starts_with("udp") || name.starts_with("sctp") {
        words.push(format!("tp_src={}", key.get(Field::TcpSrc)));
        words.push(format!("tp_dst={}", key.get(Field::TcpDst)));
        if name.starts_with("tcp") {
            let flags = key.get(Field::TcpFlags);
            let names = ["fin", "syn", "rst", "psh", "ack", "urg", "ece", "cwr", "ns"];
            let set: Vec<&str> =
                names.iter().enumerate().filter(|(bit, _)| flags >> bit & 1 != 0).map(|row| *row.1).collect();
            words.push(format!("tcp_flags={}", if set.is_empty() { "0".into() } else { set.join("|") }));
        }
    }
    if !name.is_empty() {
        words.insert(0, name);
    }
    format!("{}{}\n", words.join(","), checksum(data).unwrap_or_default())
}

/// Type of reverse ARP, and where its message lies in an untagged frame.
const RARP: u16 = 0x8035;
const ARP_AT: usize = 14;
const ARP_LEN: usize = 28;

/// A second tag, or that there is none.
fn inner_tag(data: &[u8]) -> String {
    let word = |at: usize| data.get(at..at + 2).map_or(0, |word| u16::from_be_bytes([word[0], word[1]]));
    match word(16) {
        0x8100 | 0x88a8 => format!("dl_vlan1={},dl_vlan_pcp1={}", word(18) & 0xfff, word(18) >> 13),
        _ => "vlan_tci1=0x0000".into(),
    }
}

fn reverse_arp(message: &[u8]) -> Vec<String> {
    let ip = |at: usize| Ipv4Addr::new(message[at], message[at + 1], message[at + 2], message[at + 3]);
    let mac = |at: usize| {
        message[at..at + 6].iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":")
    };
    vec![
        format!("arp_spa={}", ip(14)),
        format!("arp_tpa={}", ip(24)),
        format!("arp_op={}", message[7]),
        format!("arp_sha={}", mac(8)),
        format!("arp_tha={}", mac(18)),
    ]
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
