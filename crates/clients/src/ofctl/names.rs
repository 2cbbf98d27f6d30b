//! Names in text: ports of the switch, and fields with their class.

use std::collections::BTreeMap;

use heddle_flow::Field;

/// Ports of a switch, by number.
#[derive(Clone, Debug, Default)]
pub struct Ports(pub BTreeMap<u32, String>);

impl Ports {
    /// The number of the port of this name; none where several have it, as long names that are cut off may.
    pub fn number(&self, name: &str) -> Option<u32> {
        let mut found = self.0.iter().filter(|(_, known)| *known == name).map(|(number, _)| *number);
        found.next().filter(|_| found.next().is_none())
    }

    /// The same text with numbers in place of ports' names.
    pub fn numbered(&self, text: &str) -> String {
        self.replaced(text, |word| self.number(word.trim_matches('"')).map(reserved_or_number))
    }

    /// The same text with names in place of the numbers after `in_port=` and `output:`.
    pub fn named(&self, text: &str) -> String {
        let mut out = String::new();
        let mut left = text;
        while !left.is_empty() {
            let found =
                ["in_port=", "output:"].iter().filter_map(|mark| Some((left.find(mark)?, mark.len()))).min();
            let Some((at, length)) = found else { break };
            let (head, rest) = left.split_at(at + length);
            out += head;
            let end = rest.find(|letter: char| !letter.is_ascii_alphanumeric()).unwrap_or(rest.len());
            let number = match &rest[..end] {
                "LOCAL" => Some(heddle_openflow::port::LOCAL),
                digits => digits.parse().ok(),
            };
            match number.and_then(|number| self.0.get(&number)) {
                Some(name) => out += &quoted(name),
                None => out += &rest[..end],
            }
            left = &rest[end..];
        }
        out + left
    }

    fn replaced(&self, text: &str, word: impl Fn(&str) -> Option<String>) -> String {
        let mut out = String::new();
        for piece in text.split_inclusive([',', '=', ':', '(', ')', ' ', '\t']) {
            let end = piece.trim_end_matches([',', '=', ':', '(', ')', ' ', '\t']).len();
            match word(&piece[..end]) {
                // A word before `=` or `:` is the name of something else.
                Some(number) if !piece[end..].starts_with(['=', ':', '(']) => out += &number,
                _ => out += &piece[..end],
            }
            out += &piece[end..];
        }
        out
    }
}

fn reserved_or_number(number: u32) -> String {
    heddle_openflow::port::name(number).map_or_else(|| number.to_string(), str::to_owned)
}

/// A name as flows have it: quoted where it could be taken for something else.
pub fn quoted(name: &str) -> String {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '.');
    let word = name.starts_with(|letter: char| letter.is_ascii_alphabetic() || letter == '_')
        && name.chars().all(plain);
    if word && heddle_openflow::port::by_name(name).is_none() {
        name.to_owned()
    } else {
        format!("\"{name}\"")
    }
}

/// Fields whose name with its class is not their own in capitals.
const CLASSED: [(Field, &str); 24] = [
    (Field::Ipv4Src, "NXM_OF_IP_SRC"),
    (Field::Ipv4Dst, "NXM_OF_IP_DST"),
    (Field::NwProto, "NXM_OF_IP_PROTO"),
    (Field::NwTos, "NXM_OF_IP_TOS"),
    (Field::NwEcn, "NXM_NX_IP_ECN"),
    (Field::NwTtl, "NXM_NX_IP_TTL"),
    (Field::IpFrag, "NXM_NX_IP_FRAG"),
    (Field::IcmpType, "NXM_OF_ICMP_TYPE"),
    (Field::IcmpCode, "NXM_OF_ICMP_CODE"),
    (Field::TunnelId, "NXM_NX_TUN_ID"),
    (Field::IpDscp, "OXM_OF_IP_DSCP"),
    (Field::VlanVid, "OXM_OF_VLAN_VID"),
    (Field::VlanPcp, "OXM_OF_VLAN_PCP"),
    (Field::SctpSrc, "OXM_OF_SCTP_SRC"),
    (Field::SctpDst, "OXM_OF_SCTP_DST"),
    (Field::MplsLabel, "OXM_OF_MPLS_LABEL"),
    (Field::MplsTc, "OXM_OF_MPLS_TC"),
    (Field::MplsBos, "OXM_OF_MPLS_BOS"),
    (Field::MplsTtl, "NXM_NX_MPLS_TTL"),
    (Field::Metadata, "OXM_OF_METADATA"),
    (Field::InPort, "NXM_OF_IN_PORT"),
    (Field::NdTarget, "NXM_NX_ND_TARGET"),
    (Field::NdSll, "NXM_NX_ND_SLL"),
    (Field::NdTll, "NXM_NX_ND_TLL"),
];

/// A field's name with its class: `NXM_OF_ETH_SRC`.
pub fn classed(field: Field) -> String {
    if let Some((_, name)) = CLASSED.iter().find(|(known, _)| *known == field) {
        return (*name).to_owned();
    }
    let spec = field.spec();
    let class = match (spec.nxm, spec.oxm) {
        (Some(id), _) if id.class == 0 => "NXM_OF",
        (Some(_), _) => "NXM_NX",
        (None, Some(id)) if id.class == 0x8001 => "OXM_OF_PKT",
        _ => "OXM_OF",
    };
    format!("{class}_{}", spec.name.to_ascii_uppercase())
}

/// Some bits of a field: `NXM_NX_REG0[0..7]`.
pub fn bits(field: Field, offset: u32, count: u32) -> String {
    let name = classed(field);
    match (offset, count) {
        (0, all) if all == u32::from(field.spec().bits) => format!("{name}[]"),
        (offset, 1) => format!("{name}[{offset}]"),
        (offset, count) => format!("{name}[{offset}..{}]", offset + count - 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_of_ports_stand_for_each_other() {
        let ports =
            Ports(BTreeMap::from([(1, "p1".into()), (2, "eth 0".into()), (0xffff_fffe, "br0".into())]));
        assert_eq!(ports.numbered("in_port=p1,actions=p1,output:br0"), "in_port=1,actions=1,output:LOCAL");
        assert_eq!(ports.numbered("reg0=1 actions=resubmit(p1,2)"), "reg0=1 actions=resubmit(1,2)");
        assert_eq!(
            ports.named("in_port=1 actions=output:2,LOCAL,output:3"),
            "in_port=p1 actions=output:\"eth 0\",LOCAL,output:3"
        );
    }

    #[test]
    fn fields_are_named_with_their_class() {
        for (field, name) in [
            (Field::EthSrc, "NXM_OF_ETH_SRC"),
            (Field::VlanTci, "NXM_OF_VLAN_TCI"),
            (Field::ArpSha, "NXM_NX_ARP_SHA"),
            (Field::Metadata, "OXM_OF_METADATA"),
        ] {
            assert_eq!(classed(field), name);
        }
        assert_eq!(bits(Field::EthSrc, 0, 48), "NXM_OF_ETH_SRC[]");
        assert_eq!(bits(Field::EthSrc, 3, 1), "NXM_OF_ETH_SRC[3]");
        assert_eq!(bits(Field::EthSrc, 0, 8), "NXM_OF_ETH_SRC[0..7]");
    }
}
