//! Names of fields that are written with their class, as `NXM_OF_ETH_SRC` and `NXM_NX_REG0` in `load` and `move`.
//!
//! Where such a name is the field's own name in capitals it is derived; the others are listed.

use heddle_flow::Field;

use crate::action::Bits;

const LISTED: [(&str, Field); 25] = [
    ("VLAN_TCI", Field::VlanTci),
    ("IP_TOS", Field::NwTos),
    ("IP_PROTO", Field::NwProto),
    ("IP_SRC", Field::Ipv4Src),
    ("IP_DST", Field::Ipv4Dst),
    ("IP_TTL", Field::NwTtl),
    ("IP_ECN", Field::NwEcn),
    ("IP_FRAG", Field::IpFrag),
    ("IPV4_SRC", Field::Ipv4Src),
    ("IPV4_DST", Field::Ipv4Dst),
    ("ICMP_TYPE", Field::IcmpType),
    ("ICMP_CODE", Field::IcmpCode),
    ("ICMPV4_TYPE", Field::IcmpType),
    ("ICMPV4_CODE", Field::IcmpCode),
    ("ICMPV6_TYPE", Field::Icmpv6Type),
    ("ICMPV6_CODE", Field::Icmpv6Code),
    ("ND_TARGET", Field::NdTarget),
    ("ND_SLL", Field::NdSll),
    ("ND_TLL", Field::NdTll),
    ("IPV6_ND_TARGET", Field::NdTarget),
    ("IPV6_ND_SLL", Field::NdSll),
    ("IPV6_ND_TLL", Field::NdTll),
    ("IPV6_FLABEL", Field::Ipv6Label),
    ("TUN_ID", Field::TunnelId),
    ("MPLS_BOS", Field::MplsBos),
];

const CLASSES: [&str; 3] = ["NXM_OF_", "NXM_NX_", "OXM_OF_"];
/// Classes of the extended registers, which count apart from the others.
const PACKET_REGISTERS: [&str; 2] = ["OXM_OF_PKT_REG", "OXM_PKT_REG"];

/// The field of this name, alias, or name with its class.
pub fn field(name: &str) -> Option<Field> {
    if let Some(field) = Field::by_name(name) {
        return Some(field);
    }
    if let Some(number) = PACKET_REGISTERS.iter().find_map(|class| name.strip_prefix(class)) {
        return Field::by_name(&format!("xreg{number}"));
    }
    let bare = CLASSES.iter().find_map(|class| name.strip_prefix(class))?;
    match LISTED.iter().find(|(listed, _)| *listed == bare) {
        Some((_, field)) => Some(*field),
        None => Field::by_name(&bare.to_ascii_lowercase()),
    }
}

/// A field's name with its class, Nicira's where it has one: `NXM_OF_ETH_SRC`.
fn classed(field: Field) -> String {
    let spec = field.spec();
    let class = match (spec.nxm, spec.oxm) {
        (Some(id), _) if id.class == 0 => "NXM_OF_",
        (Some(_), _) => "NXM_NX_",
        (None, Some(id)) if id.class == 0x8001 => {
            return format!("OXM_OF_PKT_{}", spec.name.trim_start_matches('x').to_ascii_uppercase());
        }
        (None, Some(_)) => "OXM_OF_",
        (None, None) => return spec.name.to_owned(),
    };
    let name = match field {
        Field::Ipv4Src => "IP_SRC",
        Field::Ipv4Dst => "IP_DST",
        Field::NwProto => "IP_PROTO",
        Field::NwTos => "IP_TOS",
        Field::NwEcn => "IP_ECN",
        Field::NwTtl => "IP_TTL",
        Field::TunnelId => "TUN_ID",
        _ => return format!("{class}{}", spec.name.to_ascii_uppercase()),
    };
    format!("{class}{name}")
}

/// Bits of a field as `mod`, `load`, `learn` and their like write them: `NXM_NX_REG0[0..7]`.
pub(crate) fn bits(bits: Bits) -> String {
    let Bits { field, offset, count } = bits;
    // The lower half of the input port is Nicira's.
    let name = match field {
        Field::InPort if offset + count > 16 => "OXM_OF_IN_PORT".to_owned(),
        _ => classed(field),
    };
    let whole = match field {
        Field::InPort if offset + count <= 16 => 16,
        // Its highest bit says that there is a tag, which is another field's to Open vSwitch.
        Field::VlanVid if offset + count <= 12 => 12,
        _ => u16::from(field.spec().bits),
    };
    match (offset, count) {
        (0, count) if count == whole => format!("{name}[]"),
        (offset, 1) => format!("{name}[{offset}]"),
        (offset, count) => format!("{name}[{offset}..{}]", offset + count - 1),
    }
}

/// The bits that a field's name alone means.
pub(crate) fn whole(name: &str) -> Option<Bits> {
    let field = field(name)?;
    let count = match field {
        Field::InPort if name == "in_port" || name == "NXM_OF_IN_PORT" => 16,
        Field::VlanVid => 12,
        _ => field.spec().bits.into(),
    };
    Some(Bits { field, offset: 0, count })
}
