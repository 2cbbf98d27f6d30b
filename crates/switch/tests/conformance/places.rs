//! Where fields lie in frames, by the standards of the protocols: what the generated tests know beside the table of fields.

use heddle_flow::Field::{self, *};
use heddle_flow::field::Prerequisite;

use crate::frames::Kind::{self, *};

/// Where a field's value is to be found.
pub enum Place {
    /// In frames of these kinds, from this bit on. Bits of `fixed` are not in the frame: those of `present` are ones.
    Header { at: Vec<(Kind, usize)>, fixed: u128, present: u128 },
    /// Carried along by the pipeline; an action sets it.
    Carried,
    /// Tested by hand, in `special_fields`.
    Special,
}

/// Bytes of Ethernet's header, and of IP's.
const L3: usize = 14;
const V4: usize = 34;
const V6: usize = 54;

fn header(at: &[(Kind, usize)]) -> Place {
    Place::Header { at: at.to_vec(), fixed: 0, present: 0 }
}

fn bytes(at: &[(Kind, usize)]) -> Place {
    header(&at.iter().map(|&(kind, byte)| (kind, byte * 8)).collect::<Vec<_>>())
}

/// Where a field lies.
///
/// # Panics
/// If it is not said: a row that is added to the table of fields is to have its place here.
pub fn place(field: Field) -> Place {
    let tag = |from: usize| Place::Header { at: vec![(Tagged, from)], fixed: 0x1000, present: 0x1000 };
    match field {
        EthDst => bytes(&[(Udp4, 0), (Tagged, 0), (Arp, 0), (Udp6, 0)]),
        EthSrc => bytes(&[(Udp4, 6), (Tagged, 6), (Arp, 6), (Udp6, 6)]),
        EthType => bytes(&[(Udp4, 12), (Tagged, 16), (Arp, 12), (Udp6, 12), (Labelled, 12), (Backbone, 12)]),
        VlanTci => tag(L3 * 8),
        VlanVid => tag(L3 * 8 + 3),
        VlanPcp => header(&[(Tagged, L3 * 8)]),
        IpDscp => header(&[(Udp4, 15 * 8), (Udp6, L3 * 8 + 4)]),
        // Nicira's number for it has DSCP alone.
        NwTos => Place::Header { at: vec![(Udp4, 15 * 8), (Udp6, L3 * 8 + 4)], fixed: 3, present: 0 },
        NwEcn => header(&[(Udp4, 15 * 8 + 6), (Udp6, L3 * 8 + 10)]),
        NwTtl => bytes(&[(Udp4, 22), (Udp6, 21)]),
        NwProto => bytes(&[(Udp4, 23), (Tcp4, 23), (Udp6, 20)]),
        Ipv4Src => bytes(&[(Udp4, 26), (Tcp4, 26), (Icmp4, 26), (Sctp4, 26), (Tagged, 30)]),
        Ipv4Dst => bytes(&[(Udp4, 30), (Tcp4, 30), (Icmp4, 30), (Sctp4, 30), (Tagged, 34)]),
        TcpSrc => bytes(&[(Tcp4, V4), (Tcp6, V6)]),
        TcpDst => bytes(&[(Tcp4, V4 + 2), (Tcp6, V6 + 2)]),
        UdpSrc => bytes(&[(Udp4, V4), (Udp6, V6), (Tagged, V4 + 4)]),
        UdpDst => bytes(&[(Udp4, V4 + 2), (Udp6, V6 + 2), (Tagged, V4 + 6)]),
        SctpSrc => bytes(&[(Sctp4, V4), (Sctp6, V6)]),
        SctpDst => bytes(&[(Sctp4, V4 + 2), (Sctp6, V6 + 2)]),
        IcmpType => bytes(&[(Icmp4, V4)]),
        IcmpCode => bytes(&[(Icmp4, V4 + 1)]),
        ArpOp => bytes(&[(Arp, 20)]),
        ArpSha => bytes(&[(Arp, 22)]),
        ArpSpa => bytes(&[(Arp, 28)]),
        ArpTha => bytes(&[(Arp, 32)]),
        ArpTpa => bytes(&[(Arp, 38)]),
        Ipv6Src => bytes(&[(Udp6, 22), (Tcp6, 22), (Icmp6, 22), (Sctp6, 22)]),
        Ipv6Dst => bytes(&[(Udp6, 38), (Tcp6, 38), (Icmp6, 38), (Sctp6, 38)]),
        Ipv6Label => header(&[(Udp6, L3 * 8 + 12)]),
        Icmpv6Type => bytes(&[(Icmp6, V6)]),
        Icmpv6Code => bytes(&[(Icmp6, V6 + 1)]),
        NdTarget => bytes(&[(Solicit, V6 + 8), (Advert, V6 + 8)]),
        NdSll => bytes(&[(Solicit, V6 + 26)]),
        NdTll => bytes(&[(Advert, V6 + 26)]),
        MplsLabel => header(&[(Labelled, L3 * 8)]),
        MplsTc => header(&[(Labelled, L3 * 8 + 20)]),
        MplsBos => header(&[(Labelled, L3 * 8 + 23)]),
        MplsTtl => header(&[(Labelled, L3 * 8 + 24)]),
        PbbUca => header(&[(Backbone, L3 * 8 + 4)]),
        PbbIsid => header(&[(Backbone, L3 * 8 + 8)]),
        TcpFlags => header(&[(Tcp4, (V4 + 12) * 8 + 4), (Tcp6, (V6 + 12) * 8 + 4)]),
        InPort | IpFrag | Ipv6Exthdr | ActsetOutput => Place::Special,
        // No packet has them when it comes to a table: what freezes a translation, and conjunctions, set them.
        RecircId | DpHash | ConjId => Place::Special,
        Metadata | TunnelId | PktMark => Place::Carried,
        _ if field.spec().name.contains("reg") => Place::Carried,
        _ => panic!("say where {} lies", field.spec().name),
    }
}

/// The OXM fields that what a field presupposes is asked by, for frames of this kind.
pub fn prerequisite(prerequisite: Prerequisite, kind: Kind) -> String {
    let is_v6 = matches!(kind, Udp6 | Tcp6 | Sctp6 | Icmp6 | Solicit | Advert);
    let ip = if is_v6 { "80000a02 86dd" } else { "80000a02 0800" };
    let icmp6 = "80000a02 86dd 80001401 3a";
    match prerequisite {
        Prerequisite::None => String::new(),
        Prerequisite::Vlan => "80000d04 1000 1000".into(),
        Prerequisite::Ip => ip.into(),
        Prerequisite::Ipv4 => "80000a02 0800".into(),
        Prerequisite::Ipv6 => "80000a02 86dd".into(),
        Prerequisite::Arp => "80000a02 0806".into(),
        Prerequisite::Mpls => "80000a02 8847".into(),
        Prerequisite::Pbb => "80000a02 88e7".into(),
        Prerequisite::Tcp => format!("{ip} 80001401 06"),
        Prerequisite::Udp => format!("{ip} 80001401 11"),
        Prerequisite::Sctp => format!("{ip} 80001401 84"),
        Prerequisite::Icmpv4 => "80000a02 0800 80001401 01".into(),
        Prerequisite::Icmpv6 => icmp6.into(),
        Prerequisite::Nd if kind == Advert => format!("{icmp6} 80003a01 88"),
        Prerequisite::Nd | Prerequisite::NdSolicit => format!("{icmp6} 80003a01 87"),
        Prerequisite::NdAdvert => format!("{icmp6} 80003a01 88"),
    }
}
