//! Hashes of packets by some of their fields, and choices of a link by them.
//!
//! What is hashed is told with the hash, because a decision that depends on it holds only for packets that agree in it.

use heddle_flow::{Field, FlowKey};
use heddle_openflow::action::{HashFields, LinkAlgorithm, Multipath};
use heddle_wire::{ethertype, ipproto};

/// Times that `iter_hash` hashes again before it takes a link by the remainder.
const MAX_ITERATIONS: u32 = 64;

/// Mixes a value into a hash: the finalizer of MurmurHash3, in which every bit of the input moves about half of the output's.
#[must_use]
pub fn mix(hash: u64, value: u64) -> u64 {
    let mut mixed = hash.rotate_left(5) ^ value;
    for (shift, factor) in [(33, 0xff51_afd7_ed55_8ccd), (33, 0xc4ce_b9fe_1a85_ec53)] {
        mixed = (mixed ^ mixed >> shift).wrapping_mul(factor);
    }
    mixed ^ mixed >> 33
}

fn mix_wide(hash: u64, value: u128) -> u64 {
    mix(mix(hash, value as u64), (value >> 64) as u64)
}

/// Pairs of fields that are hashed alike in both directions, and single ones.
struct Hashed {
    pairs: Vec<[Field; 2]>,
    single: Vec<Field>,
}

fn hashed(key: &FlowKey, fields: HashFields) -> Hashed {
    let (mut pairs, mut single) = (Vec::new(), Vec::new());
    let addresses = match key.eth_type() {
        ethertype::IPV4 => Some([Field::Ipv4Src, Field::Ipv4Dst]),
        ethertype::IPV6 => Some([Field::Ipv6Src, Field::Ipv6Dst]),
        _ => None,
    };
    let ports = |with_udp: bool| match key.ip_proto() {
        ipproto::TCP | ipproto::SCTP => true,
        ipproto::UDP => with_udp,
        _ => false,
    };
    match fields {
        HashFields::EthSrc => single.push(Field::EthSrc),
        HashFields::NwSrc | HashFields::NwDst => {
            single.push(Field::EthType);
            single.extend(addresses.map(|pair| pair[usize::from(fields == HashFields::NwDst)]));
        }
        HashFields::SymmetricL3 => {
            single.push(Field::EthType);
            pairs.extend(addresses);
        }
        HashFields::SymmetricL4 | HashFields::SymmetricL3L4 | HashFields::SymmetricL3L4Udp => {
            if fields == HashFields::SymmetricL4 {
                pairs.push([Field::EthSrc, Field::EthDst]);
                single.push(Field::VlanTci);
            }
            single.push(Field::EthType);
            if let Some(addresses) = addresses {
                pairs.push(addresses);
                single.push(Field::NwProto);
                if ports(fields == HashFields::SymmetricL3L4Udp) && key.frag() == 0 {
                    pairs.push([Field::TcpSrc, Field::TcpDst]);
                }
                single.push(Field::IpFrag);
            }
        }
    }
    Hashed { pairs, single }
}

/// The hash of a packet by these fields, and the fields that it depends on.
#[must_use]
pub fn of_fields(key: &FlowKey, fields: HashFields, basis: u16) -> (u64, Vec<Field>) {
    let Hashed { pairs, single } = hashed(key, fields);
    let mut hash = u64::from(basis);
    for &field in &single {
        // Of a tag, only the VLAN tells connections apart.
        let value = if field == Field::VlanTci { key.get(field) & 0x0fff } else { key.get(field) };
        hash = mix_wide(hash, value);
    }
    for &[a, b] in &pairs {
        let (a, b) = (key.get(a), key.get(b));
        hash = mix_wide(mix_wide(hash, a.min(b)), a.max(b));
    }
    (hash, single.into_iter().chain(pairs.into_iter().flatten()).collect())
}

/// The one of `count` with the highest hash (RFC 2992), of those that `wanted` says; none where it says none.
pub fn highest(hash: u64, count: usize, wanted: impl Fn(usize) -> bool) -> Option<usize> {
    (0..count).filter(|&link| wanted(link)).max_by_key(|&link| mix(hash, link as u64 + 1))
}

/// The link that a hash is sent by.
#[must_use]
pub fn link(hash: u64, multipath: &Multipath) -> u32 {
    let links = u32::from(multipath.max_link) + 1;
    let short = (hash >> 32) as u32;
    match multipath.algorithm {
        LinkAlgorithm::ModuloN => short % links,
        LinkAlgorithm::HashThreshold => ((u64::from(short) * u64::from(links)) >> 32) as u32,
        LinkAlgorithm::Hrw => highest(hash, links as usize, |_| true).unwrap_or(0) as u32,
        LinkAlgorithm::IterHash => {
            let among = links.next_power_of_two();
            let mut hash = mix(hash, multipath.arg.into());
            for _ in 0..MAX_ITERATIONS {
                let link = hash as u32 % among;
                if link < links {
                    return link;
                }
                hash = mix(hash, multipath.arg.into());
            }
            short % links
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use heddle_openflow::action::Bits;

    fn udp(source: u128, target: u128) -> FlowKey {
        let mut key = FlowKey::default();
        for (field, value) in [
            (Field::EthType, 0x0800),
            (Field::NwProto, 17),
            (Field::Ipv4Src, source),
            (Field::Ipv4Dst, target),
            (Field::UdpSrc, source),
            (Field::UdpDst, target),
        ] {
            key.set(field, value);
        }
        key
    }

    #[test]
    fn symmetric_hashes_are_the_same_both_ways() {
        for (fields, symmetric) in [
            (HashFields::SymmetricL4, true),
            (HashFields::SymmetricL3L4, true),
            (HashFields::SymmetricL3L4Udp, true),
            (HashFields::SymmetricL3, true),
            (HashFields::NwSrc, false),
            (HashFields::NwDst, false),
        ] {
            let hash = |key: FlowKey| of_fields(&key, fields, 7).0;
            assert_eq!(hash(udp(1, 2)) == hash(udp(2, 1)), symmetric, "{fields:?}");
            assert_ne!(hash(udp(1, 2)), hash(udp(3, 4)), "{fields:?}");
        }
    }

    #[test]
    fn udp_ports_count_only_where_they_are_asked_for() {
        let mut other = udp(1, 2);
        other.set(Field::UdpDst, 9);
        let same = |fields| of_fields(&other, fields, 0).0 == of_fields(&udp(1, 2), fields, 0).0;
        assert!(same(HashFields::SymmetricL4) && same(HashFields::SymmetricL3L4));
        assert!(!same(HashFields::SymmetricL3L4Udp));
    }

    #[test]
    fn every_algorithm_spreads_evenly() {
        for (algorithm, _) in LinkAlgorithm::ALL {
            let dst = Bits { field: Field::Reg0, offset: 0, count: 16 };
            let fields = HashFields::SymmetricL3L4Udp;
            let multipath = Multipath { fields, basis: 0, algorithm, max_link: 4, arg: 9, dst };
            let mut taken = [0u32; 5];
            for source in 0..10_000 {
                taken[link(of_fields(&udp(source, 7), fields, 0).0, &multipath) as usize] += 1;
            }
            assert!(taken.iter().all(|count| (1850..2150).contains(count)), "{algorithm:?}: {taken:?}");
        }
    }
}
