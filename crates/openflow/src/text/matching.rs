//! Matches: fields and shorthands, separated by commas.

use heddle_flow::field::FIELDS;
use heddle_flow::layout::VLAN_PRESENT;
use heddle_flow::{Field, Match};
use heddle_wire::{ethertype, ipproto};

use super::values::{TCP_FLAGS, number_in, parse_masked, parse_tos, print_frag, print_masked, print_value};
use super::{TextError, error};
use crate::names;

/// Words that stand for an Ethernet type and perhaps an IP protocol.
const SHORTHANDS: [(&str, u16, Option<u8>); 17] = [
    ("icmp6", ethertype::IPV6, Some(ipproto::ICMPV6)),
    ("tcp6", ethertype::IPV6, Some(ipproto::TCP)),
    ("udp6", ethertype::IPV6, Some(ipproto::UDP)),
    ("sctp6", ethertype::IPV6, Some(ipproto::SCTP)),
    ("icmp", ethertype::IPV4, Some(ipproto::ICMP)),
    ("tcp", ethertype::IPV4, Some(ipproto::TCP)),
    ("udp", ethertype::IPV4, Some(ipproto::UDP)),
    ("sctp", ethertype::IPV4, Some(ipproto::SCTP)),
    ("ipv6", ethertype::IPV6, None),
    ("ip", ethertype::IPV4, None),
    ("arp", ethertype::ARP, None),
    ("rarp", 0x8035, None),
    ("mplsm", ethertype::MPLS_MC, None),
    ("mpls", ethertype::MPLS, None),
    // Other names of the same, which are read only.
    ("ip6", ethertype::IPV6, None),
    ("ip4", ethertype::IPV4, None),
    ("ipv4", ethertype::IPV4, None),
];

/// Fields that are written before shorthands, as Open vSwitch does.
const BEFORE_SHORTHANDS: [Field; 5] =
    [Field::PktMark, Field::RecircId, Field::DpHash, Field::ActsetOutput, Field::ConjId];
/// Fields that are written last, in this order: the packet's, from its port inwards, after registers and tunnels.
const LAST: [Field; 46] = [
    Field::TunnelId,
    Field::Metadata,
    Field::InPort,
    Field::VlanTci,
    Field::VlanVid,
    Field::VlanPcp,
    Field::EthSrc,
    Field::EthDst,
    Field::EthType,
    Field::PbbIsid,
    Field::PbbUca,
    Field::Ipv6Src,
    Field::Ipv6Dst,
    Field::Ipv6Label,
    Field::Ipv6Exthdr,
    Field::Ipv4Src,
    Field::Ipv4Dst,
    Field::ArpSpa,
    Field::ArpTpa,
    Field::NwProto,
    Field::ArpOp,
    Field::ArpSha,
    Field::ArpTha,
    Field::IpDscp,
    Field::NwTos,
    Field::NwEcn,
    Field::NwTtl,
    Field::MplsLabel,
    Field::MplsTc,
    Field::MplsTtl,
    Field::MplsBos,
    Field::IpFrag,
    Field::IcmpType,
    Field::IcmpCode,
    Field::Icmpv6Type,
    Field::Icmpv6Code,
    Field::NdTarget,
    Field::NdSll,
    Field::NdTll,
    Field::TcpSrc,
    Field::TcpDst,
    Field::UdpSrc,
    Field::UdpDst,
    Field::SctpSrc,
    Field::SctpDst,
    Field::TcpFlags,
];

/// Reads a match: fields and shorthands, separated by commas.
///
/// # Errors
/// If a word is not known, a value does not fit, or a prerequisite is not asked for.
pub fn parse_match(text: &str) -> Result<Match, TextError> {
    let mut matching = Match::default();
    parse_match_words(&mut matching, text.split([',', ' ']).filter(|word| !word.is_empty()).collect())?;
    Ok(matching)
}

/// Where a word stands in the order of what presupposes what.
fn rank(word: &str) -> u8 {
    match word.split_once('=').map(|(name, _)| name) {
        None => 0,
        Some("dl_type" | "eth_type" | "dl_vlan" | "vlan_vid" | "vlan_tci") => 1,
        Some("nw_proto" | "ip_proto") => 2,
        Some("icmp_type" | "icmpv6_type") => 3,
        Some(_) => 4,
    }
}

/// Those of a match's words that ask for a field of a protocol which no other word asks for, as `nw_src` does without `ip`.
/// [`parse_match`] refuses them; whoever wants to do without them can leave them out.
pub fn lacking<'a>(words: &[&'a str]) -> Vec<&'a str> {
    let mut words = words.to_vec();
    words.sort_by_key(|word| rank(word));
    let mut matching = Match::default();
    let mut lacks = |word: &&str| {
        let field = word.split_once('=').and_then(|(name, value)| {
            let field = match name {
                // It brings its tag with it.
                "dl_vlan_pcp" => return None,
                "nw_tos" | "ip_tos" => Field::IpDscp,
                "tp_src" | "icmp_type" => transport_field(&matching, true).unwrap_or(Field::TcpSrc),
                "tp_dst" | "icmp_code" => transport_field(&matching, false).unwrap_or(Field::TcpDst),
                name => names::field(name)?,
            };
            // A value that is wrong is wrong in any case.
            parse_masked(field, value).is_ok().then_some(field)
        });
        let lacks = field.is_some_and(|field| !matching.satisfies(field));
        let _ = parse_match_word(&mut matching, word);
        lacks
    };
    words.retain(|word| lacks(word));
    words
}

/// Reads words in the order of what presupposes what, so that they may be written in any.
pub(super) fn parse_match_words(matching: &mut Match, mut words: Vec<&str>) -> Result<(), TextError> {
    words.sort_by_key(|word| rank(word));
    words.into_iter().try_for_each(|word| parse_match_word(matching, word))
}

fn parse_match_word(matching: &mut Match, word: &str) -> Result<(), TextError> {
    let Some((name, value)) = word.split_once('=') else {
        let Some(&(_, eth_type, proto)) = SHORTHANDS.iter().find(|row| row.0 == word) else {
            return error(format!("\"{word}\" is not a field or protocol"));
        };
        ask(matching, Field::EthType, u128::from(eth_type), 0xffff)?;
        if let Some(proto) = proto {
            ask(matching, Field::NwProto, u128::from(proto), 0xff)?;
        }
        return Ok(());
    };
    match name {
        // All ones stand for no tag; of other numbers twelve bits count.
        "dl_vlan" => match number_in::<u16>(value)? {
            u16::MAX => ask(matching, Field::VlanVid, 0, 0x1fff)?,
            vid => ask(matching, Field::VlanVid, u128::from(vid & 0xfff | VLAN_PRESENT), 0x1fff)?,
        },
        "dl_vlan_pcp" => {
            // A priority is that of a tag, also where none was asked for before.
            let (pcp, _) = parse_masked(Field::VlanPcp, value)?;
            ask(matching, Field::VlanPcp, pcp, 7)?;
            let (tci, mask) = matching.get(Field::VlanTci);
            matching.set_masked(Field::VlanTci, tci | 0x1000, mask | 0x1000);
        }
        "nw_tos" | "ip_tos" => {
            ask(matching, Field::IpDscp, parse_tos(value)?, 0x3f)?;
            if !matching.satisfies(Field::IpDscp) {
                return error(format!("{name} needs ip or ipv6 to be asked for"));
            }
        }
        "tp_src" | "tp_dst" | "icmp_type" | "icmp_code" => {
            let field = transport_field(matching, matches!(name, "tp_src" | "icmp_type"))?;
            let (value, mask) = parse_masked(field, value)?;
            ask(matching, field, value, mask)?;
        }
        _ => {
            let Some(field) = names::field(name) else {
                return error(format!("\"{name}\" is not a field"));
            };
            let (value, mask) = parse_masked(field, value)?;
            if !matching.satisfies(field) {
                return error(format!("{name} needs its protocol to be asked for"));
            }
            ask(matching, field, value, mask)?;
        }
    }
    Ok(())
}

/// Asks for a value, unless another was asked for before: then nothing could match, or the text is mistaken.
fn ask(matching: &mut Match, field: Field, value: u128, mask: u128) -> Result<(), TextError> {
    let before = matching.get(field);
    if before.1 != 0 && before != (value, mask) {
        return error(format!("{} is asked for twice", field.spec().name));
    }
    matching.set_masked(field, value, mask);
    Ok(())
}

pub(super) fn transport_field(matching: &Match, source: bool) -> Result<Field, TextError> {
    let fields = if source {
        [Field::TcpSrc, Field::UdpSrc, Field::SctpSrc, Field::IcmpType, Field::Icmpv6Type]
    } else {
        [Field::TcpDst, Field::UdpDst, Field::SctpDst, Field::IcmpCode, Field::Icmpv6Code]
    };
    match fields.into_iter().find(|&field| matching.satisfies(field)) {
        Some(field) => Ok(field),
        None => error("ports, types and codes need tcp, udp, sctp, icmp or icmp6 to be asked for"),
    }
}

/// Writes a match.
pub fn print_match(matching: &Match) -> String {
    let mut words = Vec::new();
    let mut left = *matching;
    BEFORE_SHORTHANDS.into_iter().for_each(|field| print_from(&mut words, matching, &mut left, field));
    let shorthand = SHORTHANDS.iter().find(|(_, eth_type, proto)| {
        let is = |field, value: u128, full| matching.get(field) == (value, full);
        is(Field::EthType, u128::from(*eth_type), 0xffff)
            && proto.is_none_or(|proto| is(Field::NwProto, u128::from(proto), 0xff))
    });
    if let Some((name, _, proto)) = shorthand {
        words.push((*name).to_owned());
        left.set_masked(Field::EthType, 0, 0);
        if proto.is_some() {
            left.set_masked(Field::NwProto, 0, 0);
        }
    }
    let others = FIELDS.iter().map(|spec| spec.field);
    let others = others.filter(|field| !BEFORE_SHORTHANDS.contains(field) && !LAST.contains(field));
    others.chain(LAST).for_each(|field| print_from(&mut words, matching, &mut left, field));
    words.join(",")
}

/// Writes what is left of a field, and takes it out.
fn print_from(words: &mut Vec<String>, matching: &Match, left: &mut Match, field: Field) {
    let (spec, (value, mask)) = (field.spec(), left.get(field));
    if mask == 0 || !matching.satisfies(field) || (!spec.maskable && mask != spec.full_mask()) {
        return;
    }
    if field != Field::VlanTci || !print_vlan(words, value, mask) {
        words.push(print_field(field, value, mask));
    }
    left.set_masked(field, 0, 0);
}

fn print_vlan(words: &mut Vec<String>, value: u128, mask: u128) -> bool {
    let present = value & 0x1000 != 0;
    match mask {
        0x1fff if present => words.push(format!("dl_vlan={}", value & 0xfff)),
        0xf000 if present => words.push(format!("dl_vlan_pcp={}", value >> 13)),
        0xffff if present => {
            words.push(format!("dl_vlan={}", value & 0xfff));
            words.push(format!("dl_vlan_pcp={}", value >> 13));
        }
        _ => return false,
    }
    true
}

fn print_field(field: Field, value: u128, mask: u128) -> String {
    let spec = field.spec();
    let name = match field {
        Field::EthSrc => "dl_src",
        Field::EthDst => "dl_dst",
        Field::EthType => "dl_type",
        Field::TcpSrc | Field::UdpSrc | Field::SctpSrc => "tp_src",
        Field::TcpDst | Field::UdpDst | Field::SctpDst => "tp_dst",
        Field::Icmpv6Type => "icmp_type",
        Field::Icmpv6Code => "icmp_code",
        Field::TunnelId => "tun_id",
        _ => spec.name,
    };
    match field {
        Field::IpFrag => return format!("nw_frag={}", print_frag(value, mask)),
        Field::IpDscp => return format!("nw_tos={}", value << 2),
        Field::EthType => return format!("{name}={value:#06x}"),
        Field::VlanTci if mask == 0xffff => return format!("{name}={value:#06x}"),
        Field::VlanTci => return format!("{name}={value:#06x}/{mask:#06x}"),
        Field::Ipv6Label if mask == 0xf_ffff => return format!("{name}={value:#07x}"),
        Field::TcpFlags if mask >> TCP_FLAGS.len() == 0 => {
            let asked = TCP_FLAGS.iter().enumerate().filter(|(bit, _)| mask >> bit & 1 != 0);
            let sign = |bit: usize| if value >> bit & 1 != 0 { '+' } else { '-' };
            return format!(
                "{name}={}",
                asked.map(|(bit, flag)| format!("{}{flag}", sign(bit))).collect::<String>()
            );
        }
        _ => {}
    }
    if mask == spec.full_mask() {
        return format!("{name}={}", print_value(field, value));
    }
    format!("{name}={}", print_masked(field, value, mask))
}
