//! Names of fields that are written with their class, as `NXM_OF_ETH_SRC` and `NXM_NX_REG0` in `load` and `move`.
//!
//! Where such a name is the field's own name in capitals it is derived; the others are listed.

use heddle_flow::Field;

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

const CLASSES: [&str; 4] = ["NXM_OF_", "NXM_NX_", "OXM_OF_", "OXM_PKT_"];

/// The field of this name, alias, or name with its class.
pub(crate) fn field(name: &str) -> Option<Field> {
    if let Some(field) = Field::by_name(name) {
        return Some(field);
    }
    let bare = CLASSES.iter().find_map(|class| name.strip_prefix(class))?;
    match LISTED.iter().find(|(listed, _)| *listed == bare) {
        Some((_, field)) => Some(*field),
        None => Field::by_name(&bare.to_ascii_lowercase()),
    }
}
