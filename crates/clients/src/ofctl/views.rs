//! Parts of messages that the codec has no values for, read where they lie: descriptions and counters of ports, and queues.
//!
//! Offsets count from a message's first byte. What lies beyond its end reads as zero.

use std::net::{Ipv4Addr, Ipv6Addr};

use heddle_flow::{Field, PacketKey};
use heddle_openflow::{Version, port};
use heddle_wire::{ethertype, ipproto};

use super::flow_text::duration;

/// Numbers within bytes.
#[derive(Clone, Copy)]
pub struct View<'a>(pub &'a [u8]);

impl View<'_> {
    fn number<const N: usize>(self, at: usize) -> [u8; N] {
        self.0.get(at..).and_then(|rest| rest.first_chunk()).copied().unwrap_or([0; N])
    }

    /// 16 bits.
    pub fn u16(self, at: usize) -> u16 {
        u16::from_be_bytes(self.number(at))
    }

    /// 32 bits.
    pub fn u32(self, at: usize) -> u32 {
        u32::from_be_bytes(self.number(at))
    }

    /// 64 bits.
    pub fn u64(self, at: usize) -> u64 {
        u64::from_be_bytes(self.number(at))
    }
}

/// The items of a statistics reply.
pub fn items(bytes: &[u8], version: Version) -> &[u8] {
    bytes.get(if version == Version::V1_0 { 12 } else { 16 }..).unwrap_or_default()
}

fn port_name(number: u32) -> String {
    port::name(number).map_or_else(|| number.to_string(), str::to_owned)
}

/// Speeds and media of a port, from the lowest bit: 1.0 has twelve bits, later versions put faster speeds between.
const FEATURES: [&str; 16] = [
    "10MB-HD",
    "10MB-FD",
    "100MB-HD",
    "100MB-FD",
    "1GB-HD",
    "1GB-FD",
    "10GB-FD",
    "40GB-FD",
    "100GB-FD",
    "1TB-FD",
    "OTHER",
    "COPPER",
    "FIBER",
    "AUTO_NEG",
    "AUTO_PAUSE",
    "AUTO_PAUSE_ASYM",
];
const MBPS: [u32; 10] = [10, 10, 100, 100, 1000, 1000, 10_000, 40_000, 100_000, 1_000_000];

/// The same bits as later versions number them.
fn modern(features: u32, version: Version) -> u32 {
    match version {
        Version::V1_0 => features & 0x7f | (features & 0xf80) << 4,
        Version::V1_3 => features,
    }
}

fn words(bits: u32, names: &[&str]) -> String {
    let set: Vec<&str> =
        names.iter().enumerate().filter(|(bit, _)| bits >> bit & 1 != 0).map(|row| *row.1).collect();
    set.join(" ")
}

fn mbps(features: u32) -> u32 {
    (0..MBPS.len()).rev().find(|bit| features >> bit & 1 != 0).map_or(0, |bit| MBPS[bit])
}

/// Descriptions of ports, one after another.
pub fn ports(bytes: &[u8], version: Version) -> String {
    const CONFIG: [(u32, &str); 7] = [
        (1, "PORT_DOWN"),
        (1 << 1, "NO_STP"),
        (1 << 2, "NO_RECV"),
        (1 << 3, "NO_RECV_STP"),
        (1 << 4, "NO_FLOOD"),
        (1 << 5, "NO_FWD"),
        (1 << 6, "NO_PACKET_IN"),
    ];
    let mut descriptions: Vec<(u32, String)> = bytes
        .chunks_exact(if version == Version::V1_0 { 48 } else { 64 })
        .map(|item| {
            let view = View(item);
            let (number, mac, name, rest) = match version {
                Version::V1_0 => (port::from_16(view.u16(0)), &item[2..8], &item[8..24], 24),
                Version::V1_3 => (view.u32(0), &item[8..14], &item[16..32], 32),
            };
            let name = String::from_utf8_lossy(name);
            let name = name.trim_end_matches('\0');
            let mac: Vec<String> = mac.iter().map(|byte| format!("{byte:02x}")).collect();
            let (config, state) = (view.u32(rest), view.u32(rest + 4));
            let config: Vec<&str> =
                CONFIG.iter().filter(|(bit, _)| config & bit != 0).map(|row| row.1).collect();
            let config = if config.is_empty() { "0".into() } else { config.join(" ") };
            let state = match (version, state) {
                (Version::V1_0, state) => match (state & 1 != 0, state >> 8 & 3) {
                    (true, 0) => "LINK_DOWN".to_owned(),
                    (false, 0) => "0".to_owned(),
                    (down, stp) => {
                        let stp = ["STP_LISTEN", "STP_LEARN", "STP_FORWARD", "STP_BLOCK"][stp as usize];
                        format!("{}{stp}", if down { "LINK_DOWN " } else { "" })
                    }
                },
                (Version::V1_3, 0) => "0".to_owned(),
                (Version::V1_3, state) => words(state, &["LINK_DOWN", "BLOCKED", "LIVE"]),
            };
            let mut out = format!(
                " {}({}): addr:{}\n     config:     {config}\n     state:      {state}\n",
                port_name(number),
                name,
                mac.join(":")
            );
            let features: Vec<u32> =
                (0..4).map(|index| modern(view.u32(rest + 8 + 4 * index), version)).collect();
            for (title, features) in
                ["current:    ", "advertised: ", "supported:  ", "peer:       "].iter().zip(&features)
            {
                if *features != 0 {
                    out += &format!("     {title}{}\n", words(*features, &FEATURES));
                }
            }
            let (now, max) = match version {
                Version::V1_0 => (mbps(features[0]), mbps(features[2])),
                Version::V1_3 => (view.u32(rest + 24) / 1000, view.u32(rest + 28) / 1000),
            };
            out += &format!("     speed: {now} Mbps now, {max} Mbps max\n");
            (number, out)
        })
        .collect();
    descriptions.sort_by_key(|(number, _)| *number);
    descriptions.into_iter().map(|(_, text)| text).collect()
}

/// A counter; one that the switch does not keep is all ones.
fn counter(value: u64) -> String {
    if value == u64::MAX { "?".into() } else { value.to_string() }
}

/// Counters of ports.
pub fn port_statistics(bytes: &[u8], version: Version) -> String {
    let items = items(bytes, version);
    let size = if version == Version::V1_0 { 104 } else { 112 };
    let mut out = format!(" {} ports\n", items.len() / size);
    for item in items.chunks_exact(size) {
        let view = View(item);
        let number = if version == Version::V1_0 { port::from_16(view.u16(0)) } else { view.u32(0) };
        let count = |index: usize| counter(view.u64(8 + 8 * index));
        let name = port::name(number).map_or_else(|| format!("{number:2}"), str::to_owned);
        out += &format!(
            "  port {name}: rx pkts={}, bytes={}, drop={}, errs={}, frame={}, over={}, crc={}\n           tx pkts={}, bytes={}, drop={}, errs={}, coll={}\n",
            count(0),
            count(2),
            count(4),
            count(6),
            count(8),
            count(9),
            count(10),
            count(1),
            count(3),
            count(5),
            count(7),
            count(11)
        );
        if version != Version::V1_0 && view.u32(104) != u32::MAX {
            out += &format!(
                "           duration={}s\n",
                duration(u64::from(view.u32(104)) * 1000 + u64::from(view.u32(108)) / 1_000_000)
            );
        }
    }
    out
}

/// Seconds since each flow's last packet and last change, which Nicira's form of the reply tells.
pub fn flow_ages(bytes: &[u8], version: Version, nicira: bool) -> Vec<(u16, u16)> {
    let mut ages = Vec::new();
    if version != Version::V1_0 || !nicira {
        return ages;
    }
    let mut at = 24;
    while at + 48 <= bytes.len() {
        let item = View(&bytes[at..]);
        ages.push((item.u16(20), item.u16(22)));
        at += usize::from(item.u16(0)).max(48);
    }
    ages
}

/// Counters of queues, for which the codec has no value.
pub fn statistics(bytes: &[u8], version: Version) -> Option<String> {
    let (kind, size) = match version {
        Version::V1_0 => (17, 32),
        Version::V1_3 => (19, 40),
    };
    let view = View(bytes);
    if bytes.get(1) != Some(&kind) || view.u16(8) != 5 {
        return None;
    }
    let items = items(bytes, version);
    let mut out = format!(" {} queues\n", items.len() / size);
    for item in items.chunks_exact(size) {
        let view = View(item);
        let (port, queue, at) = match version {
            Version::V1_0 => (port::from_16(view.u16(0)), view.u32(4), 8),
            Version::V1_3 => (view.u32(0), view.u32(4), 8),
        };
        let since = match version {
            Version::V1_3 if view.u32(32) != u32::MAX => {
                format!("{}s", duration(u64::from(view.u32(32)) * 1000 + u64::from(view.u32(36)) / 1_000_000))
            }
            _ => "?".into(),
        };
        out += &format!(
            "  port {} queue {queue}: bytes={}, pkts={}, errors={}, duration={since}\n",
            port_name(port),
            counter(view.u64(at)),
            counter(view.u64(at + 8)),
            counter(view.u64(at + 16))
        );
    }
    Some(out)
}

/// The queues of a port.
pub fn queue_config(bytes: &[u8], version: Version) -> String {
    let view = View(bytes);
    let port = if version == Version::V1_0 { port::from_16(view.u16(8)) } else { view.u32(8) };
    format!(" port={}\n", port_name(port))
}

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
        _ => vec![format!("dl_vlan={}", tag & 0xfff), format!("dl_vlan_pcp={}", tag >> 13)],
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
    format!("{}\n", words.join(","))
}
