//! Matches in Ryu's words: OpenFlow 1.0's names of fields and the later ones.
//!
//! For later versions every name of the table of fields is read, and what is written is what Ryu writes: the old name where
//! there is one. Numbers are integers, addresses are text, and a masked value is text with a slash.

use heddle_flow::field::TextForm;
use heddle_flow::layout::VLAN_PRESENT;
use heddle_flow::{Field, Match};
use heddle_openflow::text::parse_value;
use heddle_openflow::{OfError, Version, can_match, match_fields};
use heddle_wire::{ethertype, ipproto};
use serde_json::{Map, Value};

use super::words::{integer, number, port_value, read_port};
use super::{Notes, Refusal};

/// `dl_vlan` of packets without a tag, in OpenFlow 1.0.
const NO_VLAN: u16 = 0xffff;
/// The bit of `vlan_vid` that says that there is a tag.
const PRESENT: u128 = VLAN_PRESENT as u128;
/// Fields that Ryu has other names for than the table of fields, in later versions than OpenFlow 1.0: those that it writes.
const WRITTEN: [(Field, &str); 19] = [
    (Field::EthSrc, "dl_src"),
    (Field::EthDst, "dl_dst"),
    (Field::EthType, "dl_type"),
    (Field::VlanVid, "dl_vlan"),
    (Field::Ipv4Src, "nw_src"),
    (Field::Ipv4Dst, "nw_dst"),
    (Field::NwProto, "nw_proto"),
    (Field::TcpSrc, "tp_src"),
    (Field::TcpDst, "tp_dst"),
    (Field::UdpSrc, "tp_src"),
    (Field::UdpDst, "tp_dst"),
    (Field::NwEcn, "ip_ecn"),
    (Field::IcmpType, "icmpv4_type"),
    (Field::IcmpCode, "icmpv4_code"),
    (Field::Ipv6Label, "ipv6_flabel"),
    (Field::NdTarget, "ipv6_nd_target"),
    (Field::NdSll, "ipv6_nd_sll"),
    (Field::NdTll, "ipv6_nd_tll"),
    (Field::DpHash, "_dp_hash"),
];
/// Fields of ports, by protocol.
const TRANSPORT: [(u8, Field, Field); 4] = [
    (ipproto::TCP, Field::TcpSrc, Field::TcpDst),
    (ipproto::UDP, Field::UdpSrc, Field::UdpDst),
    (ipproto::SCTP, Field::SctpSrc, Field::SctpDst),
    (ipproto::ICMP, Field::IcmpType, Field::IcmpCode),
];

/// The field that Ryu calls so, in actions and in the newer names of matches.
pub(super) fn field(name: &str) -> Option<Field> {
    match name {
        "ipv4_src" => Some(Field::Ipv4Src),
        "ipv4_dst" => Some(Field::Ipv4Dst),
        _ => Field::by_name(name),
    }
}

/// The newer name of a field, which actions and table features have.
pub(super) fn name(field: Field) -> &'static str {
    match field {
        Field::Ipv4Src => "ipv4_src",
        Field::Ipv4Dst => "ipv4_dst",
        Field::NwProto => "ip_proto",
        Field::NwEcn | Field::IcmpType | Field::IcmpCode | Field::Ipv6Label => written(field),
        Field::NdTarget | Field::NdSll | Field::NdTll | Field::DpHash => written(field),
        _ => field.spec().name,
    }
}

/// The name that matches are written with.
fn written(field: Field) -> &'static str {
    WRITTEN.iter().find(|row| row.0 == field).map_or(field.spec().name, |row| row.1)
}

/// Reads a match. What Ryu ignores is ignored and noted; what a switch would refuse is noted as refused.
///
/// # Errors
/// A value that is none of its field.
pub(crate) fn read(map: &Map<String, Value>, version: Version, notes: &mut Notes) -> Result<Match, Refusal> {
    if version == Version::V1_0 { read_10(map, notes) } else { read_later(map, notes) }
}

/// Writes a match.
pub(crate) fn write(matching: &Match, version: Version) -> Map<String, Value> {
    if version == Version::V1_0 { write_10(matching) } else { write_later(matching) }
}

fn asks(map: &Map<String, Value>, names: [&str; 2], wanted: i128) -> bool {
    names.iter().filter_map(|name| map.get(*name)).any(|value| integer(value).ok() == Some(wanted))
}

/// The fields of the ports of the protocol that a match asks for.
fn ports(map: &Map<String, Value>) -> Option<(Field, Field)> {
    let of = |proto: u8| asks(map, ["nw_proto", "ip_proto"], proto.into());
    TRANSPORT.iter().take(3).find(|row| of(row.0)).map(|row| (row.1, row.2))
}

fn read_later(map: &Map<String, Value>, notes: &mut Notes) -> Result<Match, Refusal> {
    let arp = asks(map, ["dl_type", "eth_type"], ethertype::ARP.into());
    let mut matching = Match::default();
    let mut asked = Vec::new();
    for (key, value) in map {
        let found = match key.as_str() {
            "nw_src" if arp && !map.contains_key("arp_spa") => Some(Field::ArpSpa),
            "nw_dst" if arp && !map.contains_key("arp_tpa") => Some(Field::ArpTpa),
            "tp_src" | "tp_dst" => {
                let unknown = || Refusal::bad(format!("{key} needs nw_proto 6, 17 or 132"));
                let (src, dst) = ports(map).ok_or_else(unknown)?;
                Some(if key == "tp_src" { src } else { dst })
            }
            "in_phy_port" => {
                notes.refused(OfError::MatchBadField, key);
                continue;
            }
            name => field(name),
        };
        let Some(field) = found else {
            notes.ignored("match field", key);
            continue;
        };
        let (wanted, mask) = masked(field, value).map_err(|refusal| refusal.under(key))?;
        // Only two bits of fragments are ever set.
        let mask = if field == Field::IpFrag { mask & 3 } else { mask };
        if mask != 0 {
            matching.set_masked(field, wanted, mask);
            asked.push(field);
        }
    }
    if let Some(field) = asked.iter().find(|field| !matching.satisfies(**field)) {
        notes.refused(OfError::MatchBadPrerequisite, name(*field));
    } else if !can_match(Version::V1_3, &matching) {
        // What cannot be said would match more than was wanted.
        notes.refused(OfError::MatchBadField, "match");
    }
    Ok(matching)
}

/// Reads a value, perhaps with a mask.
fn masked(field: Field, value: &Value) -> Result<(u128, u128), Refusal> {
    let full = field.spec().full_mask();
    let Some((wanted, mask)) = value.as_str().and_then(|text| text.split_once('/')) else {
        return Ok((match_value(field, value)?, full));
    };
    let width = u32::from(field.spec().bits);
    let is_address = matches!(field.spec().text, TextForm::Ipv4 | TextForm::Ipv6);
    let mask = match mask.parse::<u32>() {
        Ok(length) if is_address && length <= width => full.checked_shl(width - length).unwrap_or(0) & full,
        _ => exact_value(field, &Value::from(mask))?,
    };
    if !field.spec().maskable && mask != full {
        return Err(Refusal::bad("it cannot be masked"));
    }
    Ok((exact_value(field, &Value::from(wanted))? & mask, mask))
}

/// Reads a value without a mask as matches have it: a VLAN that is a decimal number has a tag.
fn match_value(field: Field, value: &Value) -> Result<u128, Refusal> {
    let decimal = value.as_str().is_none_or(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    let tag = if field == Field::VlanVid && decimal { PRESENT } else { 0 };
    Ok(exact_value(field, value)? | tag)
}

/// Reads a value as actions have it.
pub(super) fn exact_value(field: Field, value: &Value) -> Result<u128, Refusal> {
    let spec = field.spec();
    let wrong = |error: &dyn std::fmt::Display| Refusal::bad(error.to_string());
    let read = match (spec.text, value.as_str()) {
        (TextForm::Hex, Some(text)) if spec.bits == 128 && text.bytes().all(|byte| byte.is_ascii_digit()) => {
            text.parse().map_err(|error| wrong(&error))?
        }
        (TextForm::Port, _) => u128::from(read_port(Version::V1_3, value)?),
        (TextForm::Ethernet, Some(text)) => {
            parse_value(field, &text.replace('-', ":")).map_err(|error| wrong(&error))?
        }
        (TextForm::Ipv4 | TextForm::Ipv6, Some(text)) => {
            parse_value(field, text).map_err(|error| wrong(&error))?
        }
        (TextForm::Ethernet | TextForm::Ipv4 | TextForm::Ipv6, None) => {
            return Err(Refusal::bad(format!("{value} is no address")));
        }
        _ => number(value)?,
    };
    if read & !spec.full_mask() != 0 {
        return Err(Refusal::bad(format!("{value}: {} has {} bits", spec.name, spec.bits)));
    }
    Ok(read)
}

/// A value in text, as Ryu writes it.
pub(super) fn value_text(field: Field, value: u128) -> String {
    match field.spec().text {
        TextForm::Ethernet | TextForm::Ipv4 | TextForm::Ipv6 => {
            heddle_openflow::text::print_value(field, value)
        }
        _ => value.to_string(),
    }
}

fn write_later(matching: &Match) -> Map<String, Value> {
    let mut map = Map::new();
    for (field, value, mask) in match_fields(matching, Version::V1_3) {
        let whole = mask == field.spec().full_mask();
        let text = || value_text(field, value);
        let written_value = match field {
            Field::VlanVid if !whole => format!("{value:#06x}/{mask:#06x}").into(),
            Field::VlanVid if value & PRESENT != 0 => (value & !PRESENT).to_string().into(),
            Field::VlanVid => format!("{value:#06x}").into(),
            Field::InPort => port_value(Version::V1_3, value as u32),
            _ if !whole => format!("{}/{}", text(), value_text(field, mask)).into(),
            _ => match (field.spec().text, u64::try_from(value)) {
                (TextForm::Ethernet | TextForm::Ipv4 | TextForm::Ipv6, _) | (_, Err(_)) => text().into(),
                (_, Ok(number)) => number.into(),
            },
        };
        map.entry(written(field)).or_insert(written_value);
    }
    map
}

/// The name that OpenFlow 1.0 has for a field of a later name.
fn old_name(name: &str) -> &str {
    match name {
        "eth_src" => "dl_src",
        "eth_dst" => "dl_dst",
        "eth_type" => "dl_type",
        "vlan_vid" => "dl_vlan",
        "vlan_pcp" => "dl_vlan_pcp",
        "ip_proto" | "arp_op" => "nw_proto",
        "ipv4_src" | "arp_spa" => "nw_src",
        "ipv4_dst" | "arp_tpa" => "nw_dst",
        "tcp_src" | "udp_src" | "sctp_src" | "icmpv4_type" => "tp_src",
        "tcp_dst" | "udp_dst" | "sctp_dst" | "icmpv4_code" => "tp_dst",
        _ => name,
    }
}

/// OpenFlow 1.0's match, in which fields whose prerequisites are not asked for are ignored.
fn read_10(map: &Map<String, Value>, notes: &mut Notes) -> Result<Match, Refusal> {
    let named: Map<String, Value> =
        map.iter().map(|(key, value)| (old_name(key).to_owned(), value.clone())).collect();
    let mut matching = Match::default();
    // What others presuppose is read first.
    if let Some(kind) = named.get("dl_type") {
        matching.set(Field::EthType, number::<u16>(kind)?.into());
    }
    let is_arp = matching.satisfies(Field::ArpOp);
    let proto = named.get("nw_proto").map(number::<u8>).transpose()?;
    if let Some(proto) = proto.filter(|_| is_arp || matching.satisfies(Field::NwProto)) {
        matching.set(if is_arp { Field::ArpOp } else { Field::NwProto }, proto.into());
    }
    for (key, value) in &named {
        let whole =
            |field: Field| exact_value(field, value).map(|value| (field, value, field.spec().full_mask()));
        let transport = |field: fn(&(u8, Field, Field)) -> Field| -> Result<_, Refusal> {
            let field = TRANSPORT.iter().find(|row| Some(row.0) == proto).map_or(Field::TcpSrc, field);
            Ok((
                field,
                u128::from(number::<u16>(value)?) & field.spec().full_mask(),
                field.spec().full_mask(),
            ))
        };
        let (field, wanted, mask) = match key.as_str() {
            "in_port" => (Field::InPort, read_port(Version::V1_0, value)?.into(), 0xffff_ffff),
            "dl_src" => whole(Field::EthSrc)?,
            "dl_dst" => whole(Field::EthDst)?,
            "dl_type" | "nw_proto" | "dl_vlan" | "dl_vlan_pcp" => continue,
            "nw_tos" => (Field::IpDscp, u128::from(number::<u8>(value)? >> 2), 0x3f),
            "nw_src" => prefix(Field::Ipv4Src, value)?,
            "nw_dst" => prefix(Field::Ipv4Dst, value)?,
            "tp_src" => transport(|row| row.1)?,
            "tp_dst" => transport(|row| row.2)?,
            _ => {
                notes.ignored("match field", key);
                continue;
            }
        };
        let addresses = is_arp && matches!(field, Field::Ipv4Src | Field::Ipv4Dst);
        if addresses || matching.satisfies(field) {
            matching.set_masked(field, wanted, mask);
        }
    }
    read_tag(&named, &mut matching)?;
    Ok(matching)
}

fn read_tag(named: &Map<String, Value>, matching: &mut Match) -> Result<(), Refusal> {
    let vlan = named.get("dl_vlan").map(number::<u16>).transpose()?;
    let pcp = named.get("dl_vlan_pcp").map(number::<u8>).transpose()?;
    let (mut tci, mut mask) = (0, 0);
    match vlan {
        Some(NO_VLAN) => {
            matching.set(Field::VlanTci, 0);
            return Ok(());
        }
        Some(vlan) => (tci, mask) = (VLAN_PRESENT | vlan & 0xfff, VLAN_PRESENT | 0xfff),
        None => {}
    }
    if let Some(pcp) = pcp {
        tci |= VLAN_PRESENT | u16::from(pcp & 7) << 13;
        mask |= VLAN_PRESENT | 7 << 13;
    }
    if mask != 0 {
        matching.set_masked(Field::VlanTci, tci.into(), mask.into());
    }
    Ok(())
}

/// An address with the length of its prefix.
fn prefix(field: Field, value: &Value) -> Result<(Field, u128, u128), Refusal> {
    let (value, mask) = masked(field, value)?;
    if mask.count_ones() != (mask as u32).leading_ones() || mask == 0 {
        return Err(Refusal::bad("a prefix of 1 to 32 bits is expected"));
    }
    Ok((field, value, mask))
}

fn write_10(matching: &Match) -> Map<String, Value> {
    let mut map = Map::new();
    let whole = |field: Field| {
        let (value, mask) = matching.get(field);
        (mask == field.spec().full_mask() && matching.satisfies(field)).then_some(value as u64)
    };
    let mut put = |key: &str, value: Option<Value>| {
        if let Some(value) = value {
            map.insert(key.to_owned(), value);
        }
    };
    let address = |field: Field| whole(field).map(|value| value_text(field, value.into()).into());
    put("in_port", whole(Field::InPort).map(|number| port_value(Version::V1_0, number as u32)));
    put("dl_src", address(Field::EthSrc));
    put("dl_dst", address(Field::EthDst));
    let (tci, mask) = matching.get(Field::VlanTci);
    let (tagged, asked) = (tci & PRESENT != 0, mask & PRESENT != 0);
    if asked && !tagged {
        put("dl_vlan", Some(NO_VLAN.into()));
    } else if asked {
        put("dl_vlan", (mask & 0xfff == 0xfff).then(|| (tci as u16 & 0xfff).into()));
        put("dl_vlan_pcp", (mask >> 13 == 7).then(|| (tci as u16 >> 13).into()));
    }
    put("dl_type", whole(Field::EthType).map(Value::from));
    put("nw_tos", whole(Field::IpDscp).map(|dscp| (dscp << 2).into()));
    let is_arp = matching.satisfies(Field::ArpOp);
    let proto = whole(if is_arp { Field::ArpOp } else { Field::NwProto });
    put("nw_proto", proto.map(Value::from));
    for (key, field) in [("nw_src", Field::Ipv4Src), ("nw_dst", Field::Ipv4Dst)] {
        let (value, mask) = matching.get(field);
        let length = (mask as u32).leading_ones();
        let there = length != 0 && (is_arp || matching.satisfies(field));
        let suffix = if length == 32 { String::new() } else { format!("/{length}") };
        put(key, there.then(|| (value_text(field, value) + &suffix).into()));
    }
    if let Some((_, src, dst)) = TRANSPORT.iter().find(|row| matching.satisfies(row.1)) {
        put("tp_src", whole(*src).map(Value::from));
        put("tp_dst", whole(*dst).map(Value::from));
    }
    map
}
