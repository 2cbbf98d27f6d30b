//! Names of fields in the order in which lists of them are printed, and how such lists are shortened.

use heddle_flow::Field;
use heddle_flow::field::OxmId;

/// Class of OpenFlow's own fields.
const OXM: u16 = 0x8000;
/// Classes of Nicira's.
const NXM_0: u16 = 0;
const NXM_1: u16 = 1;

/// Fields by name, with a class and number that each has; one with two stands twice.
const NAMES: [(&str, u16, u8); 109] = [
    ("conj_id", NXM_1, 37),
    ("tun_id", OXM, 38),
    ("tun_id", NXM_1, 16),
    ("tun_src", NXM_1, 31),
    ("tun_dst", NXM_1, 32),
    ("tun_ipv6_src", NXM_1, 109),
    ("tun_ipv6_dst", NXM_1, 110),
    ("tun_flags", NXM_1, 104),
    ("tun_gbp_id", NXM_1, 38),
    ("tun_gbp_flags", NXM_1, 39),
    ("metadata", OXM, 2),
    ("in_port", NXM_0, 0),
    ("in_port_oxm", OXM, 0),
    ("actset_output", OXM, 43),
    ("pkt_mark", NXM_1, 33),
    ("ct_state", NXM_1, 105),
    ("ct_zone", NXM_1, 106),
    ("ct_mark", NXM_1, 107),
    ("ct_label", NXM_1, 108),
    ("reg0", NXM_1, 0),
    ("reg1", NXM_1, 1),
    ("reg2", NXM_1, 2),
    ("reg3", NXM_1, 3),
    ("reg4", NXM_1, 4),
    ("reg5", NXM_1, 5),
    ("reg6", NXM_1, 6),
    ("reg7", NXM_1, 7),
    ("reg8", NXM_1, 8),
    ("reg9", NXM_1, 9),
    ("reg10", NXM_1, 10),
    ("reg11", NXM_1, 11),
    ("reg12", NXM_1, 12),
    ("reg13", NXM_1, 13),
    ("reg14", NXM_1, 14),
    ("reg15", NXM_1, 15),
    ("xreg0", 0x8001, 0),
    ("xreg1", 0x8001, 1),
    ("xreg2", 0x8001, 2),
    ("xreg3", 0x8001, 3),
    ("xreg4", 0x8001, 4),
    ("xreg5", 0x8001, 5),
    ("xreg6", 0x8001, 6),
    ("xreg7", 0x8001, 7),
    ("xxreg0", NXM_1, 111),
    ("xxreg1", NXM_1, 112),
    ("xxreg2", NXM_1, 113),
    ("xxreg3", NXM_1, 114),
    ("eth_src", OXM, 4),
    ("eth_src", NXM_0, 2),
    ("eth_dst", OXM, 3),
    ("eth_dst", NXM_0, 1),
    ("eth_type", OXM, 5),
    ("eth_type", NXM_0, 3),
    ("vlan_tci", NXM_0, 4),
    ("vlan_vid", OXM, 6),
    ("vlan_pcp", OXM, 7),
    ("mpls_label", OXM, 34),
    ("mpls_tc", OXM, 35),
    ("mpls_bos", OXM, 36),
    ("mpls_ttl", NXM_1, 30),
    ("pbb_isid", OXM, 37),
    ("pbb_uca", OXM, 41),
    ("ip_src", OXM, 11),
    ("ip_src", NXM_0, 7),
    ("ip_dst", OXM, 12),
    ("ip_dst", NXM_0, 8),
    ("ipv6_src", OXM, 26),
    ("ipv6_src", NXM_1, 19),
    ("ipv6_dst", OXM, 27),
    ("ipv6_dst", NXM_1, 20),
    ("ipv6_label", OXM, 28),
    ("ipv6_label", NXM_1, 27),
    ("ipv6_exthdr", OXM, 39),
    ("nw_proto", OXM, 10),
    ("nw_proto", NXM_0, 6),
    ("nw_tos", NXM_0, 5),
    ("ip_dscp", OXM, 8),
    ("nw_ecn", OXM, 9),
    ("nw_ecn", NXM_1, 28),
    ("nw_ttl", NXM_1, 29),
    ("ip_frag", NXM_1, 26),
    ("arp_op", OXM, 21),
    ("arp_op", NXM_0, 15),
    ("arp_spa", OXM, 22),
    ("arp_spa", NXM_0, 16),
    ("arp_tpa", OXM, 23),
    ("arp_tpa", NXM_0, 17),
    ("arp_sha", OXM, 24),
    ("arp_sha", NXM_1, 17),
    ("arp_tha", OXM, 25),
    ("arp_tha", NXM_1, 18),
    ("tcp_src", OXM, 13),
    ("tcp_src", NXM_0, 9),
    ("tcp_dst", OXM, 14),
    ("tcp_dst", NXM_0, 10),
    ("tcp_flags", OXM, 42),
    ("tcp_flags", NXM_1, 34),
    ("udp_src", OXM, 15),
    ("udp_dst", OXM, 16),
    ("sctp_src", OXM, 17),
    ("sctp_dst", OXM, 18),
    ("icmp_type", OXM, 19),
    ("icmp_code", OXM, 20),
    ("icmpv6_type", OXM, 29),
    ("icmpv6_code", OXM, 30),
    ("nd_target", OXM, 31),
    ("nd_sll", OXM, 32),
    ("nd_tll", OXM, 33),
    ("packet_type", OXM, 44),
];

/// A field's place in the list, and its name there.
pub fn name(field: Field) -> (usize, &'static str) {
    let spec = field.spec();
    let is = |id: Option<OxmId>, row: &(&str, u16, u8)| {
        id.is_some_and(|id| (id.class, id.field) == (row.1, row.2))
    };
    let at = NAMES
        .iter()
        .position(|row| is(spec.oxm, row))
        .or_else(|| NAMES.iter().position(|row| is(spec.nxm, row)));
    at.map_or((NAMES.len(), spec.name), |at| (at, NAMES[at].0))
}

/// The names of fields that are wanted, by class and number, each once and in order.
pub fn wanted(is_wanted: impl Fn(u16, u8) -> bool) -> Vec<&'static str> {
    let mut names: Vec<&str> =
        NAMES.iter().filter(|(_, class, number)| is_wanted(*class, *number)).map(|row| row.0).collect();
    names.dedup();
    names
}

/// The names of OpenFlow's own fields whose bits, by number, are set.
pub fn of_bits(bits: u64) -> Vec<&'static str> {
    wanted(|class, number| class == OXM && number < 64 && bits >> number & 1 != 0)
}

/// The names of the fields whose headers, of four bytes each, stand in a list.
pub fn of_headers(list: &[u8]) -> Vec<&'static str> {
    let headers: Vec<(u16, u8)> = list
        .chunks_exact(4)
        .map(|header| (u16::from_be_bytes([header[0], header[1]]), header[2] >> 1))
        .collect();
    wanted(|class, number| headers.contains(&(class, number)))
}

/// A name's letters, and the number at its end.
fn numbered(name: &str) -> (&str, Option<u32>) {
    let letters = name.trim_end_matches(|letter: char| letter.is_ascii_digit());
    (letters, name[letters.len()..].parse().ok())
}

/// How many names at the beginning count upwards.
fn counting(names: &[&str]) -> usize {
    let Some((first, (letters, Some(number)))) = names.first().map(|name| (name, numbered(name))) else {
        return 1;
    };
    let next = |at: &usize| numbered(names[*at]) == (letters, Some(number + *at as u32));
    debug_assert!(!first.is_empty());
    1 + (1..names.len()).take_while(next).count()
}

/// The part of a name up to its first underscore, and how many names at the beginning share it.
fn sharing<'a>(names: &[&'a str]) -> (&'a str, usize) {
    let Some(name) = names.first() else { return ("", 0) };
    let Some(prefix) = name.find('_').map(|at| &name[..=at]) else { return ("", 1) };
    (prefix, names.iter().take_while(|other| other.starts_with(prefix)).count())
}

/// Names as they are listed: those that count upwards by the first and the last, those that share a beginning in braces.
pub fn list(names: &[&str]) -> String {
    join(names, " ")
}

fn join(names: &[&str], separator: &str) -> String {
    let mut words = Vec::new();
    let mut left = names;
    while let Some(first) = left.first() {
        let (counted, (prefix, shared)) = (counting(left), sharing(left));
        let run = counted.max(shared);
        words.push(if counted >= shared {
            if run > 1 { format!("{first}...{}", left[run - 1]) } else { (*first).to_owned() }
        } else {
            let rest: Vec<&str> = left[..run].iter().map(|name| &name[prefix.len()..]).collect();
            format!("{prefix}{{{}}}", join(&rest, ","))
        });
        left = &left[run..];
    }
    words.join(separator)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_shortened() {
        let names =
            ["tun_id", "tun_src", "metadata", "reg0", "reg1", "reg2", "vlan_vid", "in_port", "in_port_oxm"];
        assert_eq!(list(&names), "tun_{id,src} metadata reg0...reg2 vlan_vid in_{port,port_oxm}");
        assert_eq!(of_bits(1 << 3 | 1 << 4), ["eth_src", "eth_dst"]);
    }
}
