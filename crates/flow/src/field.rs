//! The annotated table of match fields: the one place that says what fields there are.
//!
//! Parser, printer, codec, `set_field`, `move`, `load` and translation read [`FIELDS`]. A row states the name and its
//! aliases, the OXM and NXM numbers, width, whether it may be masked and written, its prerequisite, the
//! first OpenFlow version that has it (as the wire's version byte; 0 for extensions only), its text form, and where its
//! bits lie. A further field is a further row. Sources: OpenFlow 1.5.1 section 7.2.3.7, and Open vSwitch's
//! `ovs-fields(7)` for the NXM numbers.

use crate::key::{FlowKey, FlowMask};
use crate::layout::*;
use heddle_wire::{ethertype, ipproto};

/// How a field is numbered on the wire: class, field and value length in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct OxmId {
    /// OXM class: 0x8000 is OpenFlow's, 0 and 1 are Nicira's.
    pub class: u16,
    /// Field number within the class.
    pub field: u8,
    /// Bytes of a value, without a mask.
    pub length: u8,
}

impl OxmId {
    /// The number of a field.
    pub const fn new(class: u16, field: u8, length: u8) -> Self {
        Self { class, field, length }
    }
}

/// What a packet must be for a field to exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prerequisite {
    /// Nothing: every packet has the field.
    None,
    /// A VLAN tag.
    Vlan,
    /// IPv4 or IPv6.
    Ip,
    /// IPv4.
    Ipv4,
    /// IPv6.
    Ipv6,
    /// ARP (or RARP).
    Arp,
    /// MPLS.
    Mpls,
    /// TCP over IPv4 or IPv6.
    Tcp,
    /// UDP over IPv4 or IPv6.
    Udp,
    /// SCTP over IPv4 or IPv6.
    Sctp,
    /// ICMP over IPv4.
    Icmpv4,
    /// ICMPv6.
    Icmpv6,
    /// A provider backbone bridge's service tag.
    Pbb,
    /// Neighbour solicitation or advertisement.
    Nd,
    /// Neighbour solicitation.
    NdSolicit,
    /// Neighbour advertisement.
    NdAdvert,
}

impl Prerequisite {
    /// The fields that say whether it holds.
    pub fn fields(self) -> &'static [Field] {
        match self {
            Self::None => &[],
            Self::Vlan => &[Field::VlanTci],
            Self::Ip | Self::Ipv4 | Self::Ipv6 | Self::Arp | Self::Mpls | Self::Pbb => &[Field::EthType],
            Self::Tcp | Self::Udp | Self::Sctp | Self::Icmpv4 | Self::Icmpv6 => {
                &[Field::EthType, Field::NwProto]
            }
            Self::Nd | Self::NdSolicit | Self::NdAdvert => {
                &[Field::EthType, Field::NwProto, Field::Icmpv6Type]
            }
        }
    }

    /// Whether `key` has such fields. With a mask, the bits that decide must be asked by it as well.
    pub fn holds(self, key: &FlowKey, mask: Option<&FlowMask>) -> bool {
        let asked = |field: Field| mask.is_none_or(|mask| mask.get(field) == field.spec().full_mask());
        let eth = |types: &[u16]| asked(Field::EthType) && types.contains(&key.eth_type());
        let ip = || eth(&[ethertype::IPV4, ethertype::IPV6]);
        let proto = |proto: u8| asked(Field::NwProto) && key.ip_proto() == proto;
        let icmpv6 = || eth(&[ethertype::IPV6]) && proto(ipproto::ICMPV6);
        let nd = |types: &[u128]| {
            icmpv6() && asked(Field::Icmpv6Type) && types.contains(&key.get(Field::Icmpv6Type))
        };
        match self {
            Self::None => true,
            Self::Vlan => {
                key.vlan_tci() & VLAN_PRESENT != 0
                    && mask.is_none_or(|mask| mask.get(Field::VlanTci) & u128::from(VLAN_PRESENT) != 0)
            }
            Self::Ip => ip(),
            Self::Ipv4 => eth(&[ethertype::IPV4]),
            Self::Ipv6 => eth(&[ethertype::IPV6]),
            Self::Arp => eth(&[ethertype::ARP, 0x8035]),
            Self::Mpls => eth(&[ethertype::MPLS, ethertype::MPLS_MC]),
            Self::Pbb => eth(&[ethertype::PBB]),
            Self::Tcp => ip() && proto(ipproto::TCP),
            Self::Udp => ip() && proto(ipproto::UDP),
            Self::Sctp => ip() && proto(ipproto::SCTP),
            Self::Icmpv4 => eth(&[ethertype::IPV4]) && proto(ipproto::ICMP),
            Self::Icmpv6 => icmpv6(),
            Self::Nd => nd(&[135, 136]),
            Self::NdSolicit => nd(&[135]),
            Self::NdAdvert => nd(&[136]),
        }
    }
}

/// How a value is written in text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextForm {
    /// A decimal number.
    Decimal,
    /// A hexadecimal number.
    Hex,
    /// An Ethernet address.
    Ethernet,
    /// An IPv4 address, masked by prefix length or netmask.
    Ipv4,
    /// An IPv6 address, masked by prefix length or netmask.
    Ipv6,
    /// A port number or reserved name.
    Port,
    /// Fragment words: `no`, `yes`, `first`, `later`, `not_later`.
    Frag,
    /// TCP flags by name, with `+` and `-`.
    TcpFlags,
}

/// One row of the table.
#[derive(Debug)]
pub struct FieldSpec {
    /// The field.
    pub field: Field,
    /// Its name in text.
    pub name: &'static str,
    /// Further names that are read.
    pub aliases: &'static [&'static str],
    /// Its number in OpenFlow's own classes.
    pub oxm: Option<OxmId>,
    /// Its number in Nicira's classes.
    pub nxm: Option<OxmId>,
    /// Width in bits.
    pub bits: u8,
    /// Whether a match may name some of its bits only.
    pub maskable: bool,
    /// Whether an action may set it.
    pub writable: bool,
    /// What a packet must be to have it.
    pub prerequisite: Prerequisite,
    /// First OpenFlow version, as the wire's version byte; 0 for an extension.
    pub since: u8,
    /// Its text form.
    pub text: TextForm,
    /// Word of the key that holds it; the first of two where it is wider than 64 bits.
    pub word: u8,
    /// Bits below it in that word.
    pub shift: u8,
    /// Whether it is the name by which its bits are listed; others are views of the same bits.
    pub primary: bool,
}

impl FieldSpec {
    /// A value with every bit of the field set.
    #[inline]
    pub const fn full_mask(&self) -> u128 {
        if self.bits == 128 { u128::MAX } else { (1 << self.bits) - 1 }
    }

    /// Whether no header of the packet has it: the pipeline carries it along, as it does registers, marks and tunnels.
    #[must_use]
    pub fn is_carried(&self) -> bool {
        let word = usize::from(self.word);
        word >= METADATA || matches!(self.field, Field::PktMark | Field::TunnelId)
    }
}

impl Field {
    /// The field's row.
    #[inline]
    pub fn spec(self) -> &'static FieldSpec {
        &FIELDS[self as usize]
    }

    /// The field of this name or alias.
    pub fn by_name(name: &str) -> Option<Field> {
        FIELDS.iter().find(|spec| spec.name == name || spec.aliases.contains(&name)).map(|spec| spec.field)
    }

    /// The field of this class and number, OpenFlow's or Nicira's.
    pub fn by_oxm(class: u16, field: u8) -> Option<Field> {
        let is = |id: Option<OxmId>| id.is_some_and(|id| id.class == class && id.field == field);
        FIELDS.iter().find(|spec| is(spec.oxm) || is(spec.nxm)).map(|spec| spec.field)
    }
}

macro_rules! fields {
    ($($variant:ident: $name:literal, [$($alias:literal),*], $oxm:expr, $nxm:expr, $bits:literal, $maskable:literal,
       $writable:literal, $pre:ident, $since:literal, $text:ident, $word:expr, $shift:literal, $primary:literal;)*) => {
        /// A match field; [`Field::spec`] has its row.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum Field { $(#[doc = concat!("`", $name, "`")] $variant,)* }

        /// The table.
        pub static FIELDS: &[FieldSpec] = &[$(FieldSpec {
            field: Field::$variant, name: $name, aliases: &[$($alias),*], oxm: $oxm, nxm: $nxm, bits: $bits,
            maskable: $maskable, writable: $writable, prerequisite: Prerequisite::$pre, since: $since,
            text: TextForm::$text, word: ($word) as u8, shift: $shift, primary: $primary,
        },)*];
    };
}

// variant: name, aliases, OXM, NXM, bits, maskable, writable, prerequisite, since, text, word, shift, primary
fields! {
    InPort: "in_port", ["in_port_oxm"], Some(OxmId::new(0x8000, 0, 4)), Some(OxmId::new(0x0000, 0, 2)), 32, false, true, None, 1, Port, PORT, 32, true;
    RecircId: "recirc_id", [], None, Some(OxmId::new(0x0001, 36, 4)), 32, false, false, None, 0, Decimal, PORT, 0, true;
    EthDst: "eth_dst", ["dl_dst"], Some(OxmId::new(0x8000, 3, 6)), Some(OxmId::new(0x0000, 1, 6)), 48, true, true, None, 1, Ethernet, ETH_DST, 16, true;
    EthSrc: "eth_src", ["dl_src"], Some(OxmId::new(0x8000, 4, 6)), Some(OxmId::new(0x0000, 2, 6)), 48, true, true, None, 1, Ethernet, ETH_SRC, 16, true;
    EthType: "eth_type", ["dl_type"], Some(OxmId::new(0x8000, 5, 2)), Some(OxmId::new(0x0000, 3, 2)), 16, false, false, None, 1, Hex, ETH_DST, 0, true;
    VlanTci: "vlan_tci", [], None, Some(OxmId::new(0x0000, 4, 2)), 16, true, true, None, 0, Hex, ETH_SRC, 0, true;
    VlanVid: "vlan_vid", ["dl_vlan"], Some(OxmId::new(0x8000, 6, 2)), None, 13, true, true, None, 1, Decimal, ETH_SRC, 0, false;
    VlanPcp: "vlan_pcp", ["dl_vlan_pcp"], Some(OxmId::new(0x8000, 7, 1)), None, 3, false, true, Vlan, 1, Decimal, ETH_SRC, 13, false;
    IpDscp: "ip_dscp", [], Some(OxmId::new(0x8000, 8, 1)), None, 6, false, true, Ip, 1, Decimal, TRANSPORT, 50, false;
    NwTos: "nw_tos", ["ip_tos"], None, Some(OxmId::new(0x0000, 5, 1)), 8, false, true, Ip, 1, Decimal, TRANSPORT, 48, true;
    NwEcn: "nw_ecn", ["ip_ecn"], Some(OxmId::new(0x8000, 9, 1)), Some(OxmId::new(0x0001, 28, 1)), 2, false, true, Ip, 2, Decimal, TRANSPORT, 48, false;
    NwTtl: "nw_ttl", [], None, Some(OxmId::new(0x0001, 29, 1)), 8, false, true, Ip, 0, Decimal, TRANSPORT, 40, true;
    NwProto: "nw_proto", ["ip_proto"], Some(OxmId::new(0x8000, 10, 1)), Some(OxmId::new(0x0000, 6, 1)), 8, false, false, Ip, 1, Decimal, TRANSPORT, 56, true;
    IpFrag: "ip_frag", ["nw_frag"], None, Some(OxmId::new(0x0001, 26, 1)), 8, true, false, Ip, 0, Frag, TRANSPORT, 32, true;
    Ipv4Src: "nw_src", ["ip_src"], Some(OxmId::new(0x8000, 11, 4)), Some(OxmId::new(0x0000, 7, 4)), 32, true, true, Ipv4, 1, Ipv4, IPV4, 32, true;
    Ipv4Dst: "nw_dst", ["ip_dst"], Some(OxmId::new(0x8000, 12, 4)), Some(OxmId::new(0x0000, 8, 4)), 32, true, true, Ipv4, 1, Ipv4, IPV4, 0, true;
    TcpSrc: "tcp_src", [], Some(OxmId::new(0x8000, 13, 2)), Some(OxmId::new(0x0000, 9, 2)), 16, true, true, Tcp, 1, Decimal, TRANSPORT, 16, true;
    TcpDst: "tcp_dst", [], Some(OxmId::new(0x8000, 14, 2)), Some(OxmId::new(0x0000, 10, 2)), 16, true, true, Tcp, 1, Decimal, TRANSPORT, 0, true;
    UdpSrc: "udp_src", [], Some(OxmId::new(0x8000, 15, 2)), Some(OxmId::new(0x0000, 11, 2)), 16, true, true, Udp, 1, Decimal, TRANSPORT, 16, false;
    UdpDst: "udp_dst", [], Some(OxmId::new(0x8000, 16, 2)), Some(OxmId::new(0x0000, 12, 2)), 16, true, true, Udp, 1, Decimal, TRANSPORT, 0, false;
    SctpSrc: "sctp_src", [], Some(OxmId::new(0x8000, 17, 2)), None, 16, true, true, Sctp, 1, Decimal, TRANSPORT, 16, false;
    SctpDst: "sctp_dst", [], Some(OxmId::new(0x8000, 18, 2)), None, 16, true, true, Sctp, 1, Decimal, TRANSPORT, 0, false;
    IcmpType: "icmp_type", ["icmpv4_type"], Some(OxmId::new(0x8000, 19, 1)), Some(OxmId::new(0x0000, 13, 1)), 8, false, true, Icmpv4, 1, Decimal, TRANSPORT, 16, false;
    IcmpCode: "icmp_code", ["icmpv4_code"], Some(OxmId::new(0x8000, 20, 1)), Some(OxmId::new(0x0000, 14, 1)), 8, false, true, Icmpv4, 1, Decimal, TRANSPORT, 0, false;
    ArpOp: "arp_op", [], Some(OxmId::new(0x8000, 21, 2)), Some(OxmId::new(0x0000, 15, 2)), 16, false, true, Arp, 1, Decimal, TRANSPORT, 48, false;
    ArpSpa: "arp_spa", [], Some(OxmId::new(0x8000, 22, 4)), Some(OxmId::new(0x0000, 16, 4)), 32, true, true, Arp, 1, Ipv4, IPV4, 32, false;
    ArpTpa: "arp_tpa", [], Some(OxmId::new(0x8000, 23, 4)), Some(OxmId::new(0x0000, 17, 4)), 32, true, true, Arp, 1, Ipv4, IPV4, 0, false;
    ArpSha: "arp_sha", [], Some(OxmId::new(0x8000, 24, 6)), Some(OxmId::new(0x0001, 17, 6)), 48, true, true, Arp, 2, Ethernet, ARP_SHA, 0, true;
    ArpTha: "arp_tha", [], Some(OxmId::new(0x8000, 25, 6)), Some(OxmId::new(0x0001, 18, 6)), 48, true, true, Arp, 2, Ethernet, ARP_THA, 0, true;
    Ipv6Src: "ipv6_src", [], Some(OxmId::new(0x8000, 26, 16)), Some(OxmId::new(0x0001, 19, 16)), 128, true, true, Ipv6, 2, Ipv6, IPV6_SRC, 0, true;
    Ipv6Dst: "ipv6_dst", [], Some(OxmId::new(0x8000, 27, 16)), Some(OxmId::new(0x0001, 20, 16)), 128, true, true, Ipv6, 2, Ipv6, IPV6_DST, 0, true;
    Ipv6Label: "ipv6_label", ["ipv6_flabel"], Some(OxmId::new(0x8000, 28, 4)), Some(OxmId::new(0x0001, 27, 4)), 20, true, true, Ipv6, 2, Hex, MPLS2, 0, true;
    Icmpv6Type: "icmpv6_type", [], Some(OxmId::new(0x8000, 29, 1)), Some(OxmId::new(0x0001, 21, 1)), 8, false, true, Icmpv6, 2, Decimal, TRANSPORT, 16, false;
    Icmpv6Code: "icmpv6_code", [], Some(OxmId::new(0x8000, 30, 1)), Some(OxmId::new(0x0001, 22, 1)), 8, false, true, Icmpv6, 2, Decimal, TRANSPORT, 0, false;
    NdTarget: "nd_target", ["ipv6_nd_target"], Some(OxmId::new(0x8000, 31, 16)), Some(OxmId::new(0x0001, 23, 16)), 128, true, true, Nd, 2, Ipv6, ND_TARGET, 0, true;
    NdSll: "nd_sll", ["ipv6_nd_sll"], Some(OxmId::new(0x8000, 32, 6)), Some(OxmId::new(0x0001, 24, 6)), 48, true, true, NdSolicit, 2, Ethernet, ARP_SHA, 0, false;
    NdTll: "nd_tll", ["ipv6_nd_tll"], Some(OxmId::new(0x8000, 33, 6)), Some(OxmId::new(0x0001, 25, 6)), 48, true, true, NdAdvert, 2, Ethernet, ARP_THA, 0, false;
    MplsLabel: "mpls_label", [], Some(OxmId::new(0x8000, 34, 4)), None, 20, false, true, Mpls, 2, Decimal, MPLS, 44, true;
    MplsTc: "mpls_tc", [], Some(OxmId::new(0x8000, 35, 1)), None, 3, false, true, Mpls, 2, Decimal, MPLS, 41, true;
    MplsBos: "mpls_bos", [], Some(OxmId::new(0x8000, 36, 1)), None, 1, false, false, Mpls, 4, Decimal, MPLS, 40, true;
    PbbIsid: "pbb_isid", [], Some(OxmId::new(0x8000, 37, 3)), None, 24, true, true, Pbb, 4, Hex, MPLS2, 32, false;
    PbbUca: "pbb_uca", [], Some(OxmId::new(0x8000, 41, 1)), None, 1, false, true, Pbb, 5, Decimal, MPLS2, 56, false;
    Ipv6Exthdr: "ipv6_exthdr", [], Some(OxmId::new(0x8000, 39, 2)), None, 9, true, false, Ipv6, 4, Hex, MPLS2, 20, true;
    MplsTtl: "mpls_ttl", [], None, Some(OxmId::new(0x0001, 30, 1)), 8, false, true, Mpls, 0, Decimal, MPLS, 32, true;
    TunnelId: "tunnel_id", ["tun_id"], Some(OxmId::new(0x8000, 38, 8)), Some(OxmId::new(0x0001, 16, 8)), 64, true, true, None, 4, Hex, TUNNEL_ID, 0, true;
    Metadata: "metadata", [], Some(OxmId::new(0x8000, 2, 8)), None, 64, true, true, None, 2, Hex, METADATA, 0, true;
    TcpFlags: "tcp_flags", [], Some(OxmId::new(0x8000, 42, 2)), Some(OxmId::new(0x0001, 34, 2)), 12, true, false, Tcp, 0, TcpFlags, TAGS, 48, true;
    PktMark: "pkt_mark", [], None, Some(OxmId::new(0x0001, 33, 4)), 32, true, true, None, 0, Hex, MARK, 32, true;
    DpHash: "dp_hash", [], None, Some(OxmId::new(0x0001, 35, 4)), 32, true, false, None, 0, Hex, MARK, 0, true;
    ConjId: "conj_id", [], None, Some(OxmId::new(0x0001, 37, 4)), 32, false, false, None, 0, Decimal, ACTSET_OUTPUT, 0, true;
    ActsetOutput: "actset_output", [], Some(OxmId::new(0x8000, 43, 4)), None, 32, false, false, None, 6, Port, ACTSET_OUTPUT, 32, true;
    Reg0: "reg0", [], None, Some(OxmId::new(0x0001, 0, 4)), 32, true, true, None, 0, Hex, REGS, 32, true;
    Reg1: "reg1", [], None, Some(OxmId::new(0x0001, 1, 4)), 32, true, true, None, 0, Hex, REGS, 0, true;
    Reg2: "reg2", [], None, Some(OxmId::new(0x0001, 2, 4)), 32, true, true, None, 0, Hex, REGS + 1, 32, true;
    Reg3: "reg3", [], None, Some(OxmId::new(0x0001, 3, 4)), 32, true, true, None, 0, Hex, REGS + 1, 0, true;
    Reg4: "reg4", [], None, Some(OxmId::new(0x0001, 4, 4)), 32, true, true, None, 0, Hex, REGS + 2, 32, true;
    Reg5: "reg5", [], None, Some(OxmId::new(0x0001, 5, 4)), 32, true, true, None, 0, Hex, REGS + 2, 0, true;
    Reg6: "reg6", [], None, Some(OxmId::new(0x0001, 6, 4)), 32, true, true, None, 0, Hex, REGS + 3, 32, true;
    Reg7: "reg7", [], None, Some(OxmId::new(0x0001, 7, 4)), 32, true, true, None, 0, Hex, REGS + 3, 0, true;
    Reg8: "reg8", [], None, Some(OxmId::new(0x0001, 8, 4)), 32, true, true, None, 0, Hex, REGS + 4, 32, true;
    Reg9: "reg9", [], None, Some(OxmId::new(0x0001, 9, 4)), 32, true, true, None, 0, Hex, REGS + 4, 0, true;
    Reg10: "reg10", [], None, Some(OxmId::new(0x0001, 10, 4)), 32, true, true, None, 0, Hex, REGS + 5, 32, true;
    Reg11: "reg11", [], None, Some(OxmId::new(0x0001, 11, 4)), 32, true, true, None, 0, Hex, REGS + 5, 0, true;
    Reg12: "reg12", [], None, Some(OxmId::new(0x0001, 12, 4)), 32, true, true, None, 0, Hex, REGS + 6, 32, true;
    Reg13: "reg13", [], None, Some(OxmId::new(0x0001, 13, 4)), 32, true, true, None, 0, Hex, REGS + 6, 0, true;
    Reg14: "reg14", [], None, Some(OxmId::new(0x0001, 14, 4)), 32, true, true, None, 0, Hex, REGS + 7, 32, true;
    Reg15: "reg15", [], None, Some(OxmId::new(0x0001, 15, 4)), 32, true, true, None, 0, Hex, REGS + 7, 0, true;
    Reg16: "reg16", [], None, None, 32, true, true, None, 0, Hex, REGS + 8, 32, true;
    Reg17: "reg17", [], None, None, 32, true, true, None, 0, Hex, REGS + 8, 0, true;
    Reg18: "reg18", [], None, None, 32, true, true, None, 0, Hex, REGS + 9, 32, true;
    Reg19: "reg19", [], None, None, 32, true, true, None, 0, Hex, REGS + 9, 0, true;
    Reg20: "reg20", [], None, None, 32, true, true, None, 0, Hex, REGS + 10, 32, true;
    Reg21: "reg21", [], None, None, 32, true, true, None, 0, Hex, REGS + 10, 0, true;
    Reg22: "reg22", [], None, None, 32, true, true, None, 0, Hex, REGS + 11, 32, true;
    Reg23: "reg23", [], None, None, 32, true, true, None, 0, Hex, REGS + 11, 0, true;
    Reg24: "reg24", [], None, None, 32, true, true, None, 0, Hex, REGS + 12, 32, true;
    Reg25: "reg25", [], None, None, 32, true, true, None, 0, Hex, REGS + 12, 0, true;
    Reg26: "reg26", [], None, None, 32, true, true, None, 0, Hex, REGS + 13, 32, true;
    Reg27: "reg27", [], None, None, 32, true, true, None, 0, Hex, REGS + 13, 0, true;
    Reg28: "reg28", [], None, None, 32, true, true, None, 0, Hex, REGS + 14, 32, true;
    Reg29: "reg29", [], None, None, 32, true, true, None, 0, Hex, REGS + 14, 0, true;
    Reg30: "reg30", [], None, None, 32, true, true, None, 0, Hex, REGS + 15, 32, true;
    Reg31: "reg31", [], None, None, 32, true, true, None, 0, Hex, REGS + 15, 0, true;
    Xreg0: "xreg0", [], Some(OxmId::new(0x8001, 0, 8)), None, 64, true, true, None, 0, Hex, REGS, 0, false;
    Xreg1: "xreg1", [], Some(OxmId::new(0x8001, 1, 8)), None, 64, true, true, None, 0, Hex, REGS + 1, 0, false;
    Xreg2: "xreg2", [], Some(OxmId::new(0x8001, 2, 8)), None, 64, true, true, None, 0, Hex, REGS + 2, 0, false;
    Xreg3: "xreg3", [], Some(OxmId::new(0x8001, 3, 8)), None, 64, true, true, None, 0, Hex, REGS + 3, 0, false;
    Xreg4: "xreg4", [], Some(OxmId::new(0x8001, 4, 8)), None, 64, true, true, None, 0, Hex, REGS + 4, 0, false;
    Xreg5: "xreg5", [], Some(OxmId::new(0x8001, 5, 8)), None, 64, true, true, None, 0, Hex, REGS + 5, 0, false;
    Xreg6: "xreg6", [], Some(OxmId::new(0x8001, 6, 8)), None, 64, true, true, None, 0, Hex, REGS + 6, 0, false;
    Xreg7: "xreg7", [], Some(OxmId::new(0x8001, 7, 8)), None, 64, true, true, None, 0, Hex, REGS + 7, 0, false;
    Xreg8: "xreg8", [], Some(OxmId::new(0x8001, 8, 8)), None, 64, true, true, None, 0, Hex, REGS + 8, 0, false;
    Xreg9: "xreg9", [], Some(OxmId::new(0x8001, 9, 8)), None, 64, true, true, None, 0, Hex, REGS + 9, 0, false;
    Xreg10: "xreg10", [], Some(OxmId::new(0x8001, 10, 8)), None, 64, true, true, None, 0, Hex, REGS + 10, 0, false;
    Xreg11: "xreg11", [], Some(OxmId::new(0x8001, 11, 8)), None, 64, true, true, None, 0, Hex, REGS + 11, 0, false;
    Xreg12: "xreg12", [], Some(OxmId::new(0x8001, 12, 8)), None, 64, true, true, None, 0, Hex, REGS + 12, 0, false;
    Xreg13: "xreg13", [], Some(OxmId::new(0x8001, 13, 8)), None, 64, true, true, None, 0, Hex, REGS + 13, 0, false;
    Xreg14: "xreg14", [], Some(OxmId::new(0x8001, 14, 8)), None, 64, true, true, None, 0, Hex, REGS + 14, 0, false;
    Xreg15: "xreg15", [], Some(OxmId::new(0x8001, 15, 8)), None, 64, true, true, None, 0, Hex, REGS + 15, 0, false;
    Xxreg0: "xxreg0", [], None, Some(OxmId::new(0x0001, 111, 16)), 128, true, true, None, 0, Hex, REGS, 0, false;
    Xxreg1: "xxreg1", [], None, Some(OxmId::new(0x0001, 112, 16)), 128, true, true, None, 0, Hex, REGS + 2, 0, false;
    Xxreg2: "xxreg2", [], None, Some(OxmId::new(0x0001, 113, 16)), 128, true, true, None, 0, Hex, REGS + 4, 0, false;
    Xxreg3: "xxreg3", [], None, Some(OxmId::new(0x0001, 114, 16)), 128, true, true, None, 0, Hex, REGS + 6, 0, false;
    Xxreg4: "xxreg4", [], None, Some(OxmId::new(0x0001, 115, 16)), 128, true, true, None, 0, Hex, REGS + 8, 0, false;
    Xxreg5: "xxreg5", [], None, Some(OxmId::new(0x0001, 116, 16)), 128, true, true, None, 0, Hex, REGS + 10, 0, false;
    Xxreg6: "xxreg6", [], None, Some(OxmId::new(0x0001, 117, 16)), 128, true, true, None, 0, Hex, REGS + 12, 0, false;
    Xxreg7: "xxreg7", [], None, Some(OxmId::new(0x0001, 118, 16)), 128, true, true, None, 0, Hex, REGS + 14, 0, false;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_fit_their_words() {
        for spec in FIELDS {
            if spec.bits <= 64 {
                assert!(u32::from(spec.shift) + u32::from(spec.bits) <= 64, "{}", spec.name);
            }
            let words = usize::from(spec.bits).div_ceil(64);
            assert!(usize::from(spec.word) + words <= WORDS, "{}", spec.name);
            assert_eq!(Field::by_name(spec.name), Some(spec.field));
        }
    }

    #[test]
    fn numbers_are_unique() {
        for spec in FIELDS {
            for id in [spec.oxm, spec.nxm].into_iter().flatten() {
                assert_eq!(Field::by_oxm(id.class, id.field), Some(spec.field), "{}", spec.name);
                assert!(id.field < 128, "{}: a field's number has seven bits", spec.name);
            }
        }
    }

    #[test]
    fn a_write_changes_the_field_alone() {
        for spec in FIELDS {
            let mut key = FlowKey { words: [u64::MAX; WORDS] };
            key.set(spec.field, 0);
            assert_eq!(key.get(spec.field), 0, "{}", spec.name);
            let ones: u32 = key.words.iter().map(|word| word.count_ones()).sum();
            assert_eq!(ones, 64 * WORDS as u32 - u32::from(spec.bits), "{}", spec.name);
            key.set(spec.field, u128::MAX);
            assert!(key.words.iter().all(|&word| word == u64::MAX), "{}", spec.name);
        }
    }
}
