//! The annotated table of attributes whose parts are fields of the key.

use heddle_flow::layout::{FRAG_LATER, MPLS, MPLS2};
use heddle_flow::{Field, FlowKey};
use heddle_wire::{ethertype, ipproto};

/// How the value of a part is written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Decimal,
    Hex,
    Ethernet,
    Ipv4,
    Ipv6,
    /// `no`, `first` or `later`; it has no mask in text.
    Fragment,
}

/// A part of an attribute.
pub(super) struct Part {
    pub(super) name: &'static str,
    pub(super) field: Field,
    pub(super) form: Form,
}

/// Which packets have an attribute.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Every packet.
    Any,
    /// Those of these Ethernet types.
    Network(&'static [u16]),
    /// Those of this protocol over one of these Ethernet types, but for later fragments, which have no transport header.
    Transport(&'static [u16], u8),
    /// Neighbour solicitations and advertisements.
    Neighbour,
}

/// An attribute.
pub(super) struct Attribute {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) parts: &'static [Part],
}

const fn part(name: &'static str, field: Field, form: Form) -> Part {
    Part { name, field, form }
}

const IP: &[u16] = &[ethertype::IPV4, ethertype::IPV6];
const IPV4: &[u16] = &[ethertype::IPV4];
const IPV6: &[u16] = &[ethertype::IPV6];
/// ARP and reverse ARP, whose packets look alike.
const ARP: &[u16] = &[ethertype::ARP, 0x8035];

pub(super) const ETH: Attribute = Attribute {
    name: "eth",
    kind: Kind::Any,
    parts: &[part("src", Field::EthSrc, Form::Ethernet), part("dst", Field::EthDst, Form::Ethernet)],
};

/// In the order in which they are written. `tcp_flags`, `vlan` and `mpls` are written in their own way.
pub(super) const ATTRIBUTES: &[Attribute] = &[
    Attribute {
        name: "ipv4",
        kind: Kind::Network(IPV4),
        parts: &[
            part("src", Field::Ipv4Src, Form::Ipv4),
            part("dst", Field::Ipv4Dst, Form::Ipv4),
            part("proto", Field::NwProto, Form::Decimal),
            part("tos", Field::NwTos, Form::Hex),
            part("ttl", Field::NwTtl, Form::Decimal),
            part("frag", Field::IpFrag, Form::Fragment),
        ],
    },
    Attribute {
        name: "ipv6",
        kind: Kind::Network(IPV6),
        parts: &[
            part("src", Field::Ipv6Src, Form::Ipv6),
            part("dst", Field::Ipv6Dst, Form::Ipv6),
            part("label", Field::Ipv6Label, Form::Hex),
            part("proto", Field::NwProto, Form::Decimal),
            part("tclass", Field::NwTos, Form::Hex),
            part("hlimit", Field::NwTtl, Form::Decimal),
            part("frag", Field::IpFrag, Form::Fragment),
        ],
    },
    Attribute {
        name: "arp",
        kind: Kind::Network(ARP),
        parts: &[
            part("sip", Field::ArpSpa, Form::Ipv4),
            part("tip", Field::ArpTpa, Form::Ipv4),
            part("op", Field::ArpOp, Form::Decimal),
            part("sha", Field::ArpSha, Form::Ethernet),
            part("tha", Field::ArpTha, Form::Ethernet),
        ],
    },
    Attribute { name: "tcp", kind: Kind::Transport(IP, ipproto::TCP), parts: PORTS },
    Attribute { name: "udp", kind: Kind::Transport(IP, ipproto::UDP), parts: PORTS },
    Attribute { name: "sctp", kind: Kind::Transport(IP, ipproto::SCTP), parts: PORTS },
    Attribute { name: "icmp", kind: Kind::Transport(IPV4, ipproto::ICMP), parts: ICMP },
    Attribute { name: "icmpv6", kind: Kind::Transport(IPV6, ipproto::ICMPV6), parts: ICMP },
    Attribute {
        name: "nd",
        kind: Kind::Neighbour,
        parts: &[
            part("target", Field::NdTarget, Form::Ipv6),
            part("sll", Field::ArpSha, Form::Ethernet),
            part("tll", Field::ArpTha, Form::Ethernet),
        ],
    },
];

/// Ports lie in the same bits whichever transport has them, and so do types and codes.
const PORTS: &[Part] =
    &[part("src", Field::TcpSrc, Form::Decimal), part("dst", Field::TcpDst, Form::Decimal)];
const ICMP: &[Part] =
    &[part("type", Field::IcmpType, Form::Decimal), part("code", Field::IcmpCode, Form::Decimal)];

/// Names of TCP flags, from the lowest bit.
pub(super) const TCP_FLAGS: [&str; 12] =
    ["fin", "syn", "rst", "psh", "ack", "urg", "ece", "cwr", "ns", "[200]", "[400]", "[800]"];

impl Kind {
    /// Whether a packet with this key has the attribute.
    pub(super) fn holds(self, key: &FlowKey) -> bool {
        match self {
            Self::Any => true,
            Self::Network(types) => types.contains(&key.eth_type()),
            Self::Transport(types, proto) => {
                types.contains(&key.eth_type()) && key.ip_proto() == proto && key.frag() & FRAG_LATER == 0
            }
            Self::Neighbour => {
                Self::Transport(IPV6, ipproto::ICMPV6).holds(key)
                    && matches!(key.get(Field::IcmpType), 135 | 136)
                    && key.get(Field::IcmpCode) == 0
            }
        }
    }
}

/// The attribute of this name.
pub(super) fn by_name(name: &str) -> Option<&'static Attribute> {
    if name == ETH.name { Some(&ETH) } else { ATTRIBUTES.iter().find(|attribute| attribute.name == name) }
}

/// Label stack entries that a key holds.
pub(super) const LABELS: usize = 3;

/// The label stack entries of a key or a mask.
pub(super) fn labels(words: &[u64; heddle_flow::layout::WORDS]) -> [u32; LABELS] {
    [(words[MPLS] >> 32) as u32, words[MPLS] as u32, (words[MPLS2] >> 32) as u32]
}

/// Sets the label stack entries of a key or a mask.
pub(super) fn set_labels(words: &mut [u64; heddle_flow::layout::WORDS], entries: [u32; LABELS]) {
    words[MPLS] = u64::from(entries[0]) << 32 | u64::from(entries[1]);
    words[MPLS2] = words[MPLS2] & 0xffff_ffff | u64::from(entries[2]) << 32;
}

/// Whether packets of this type have a label stack.
pub(super) fn is_mpls(eth_type: u16) -> bool {
    matches!(eth_type, ethertype::MPLS | ethertype::MPLS_MC)
}

/// Whether this is the type of a tag.
pub(super) fn is_vlan(eth_type: u16) -> bool {
    matches!(eth_type, ethertype::VLAN | ethertype::QINQ)
}
