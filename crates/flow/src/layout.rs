//! Where the bits of a flow key lie.
//!
//! ```text
//!  word   63 ............................ 32 31 ............................ 0
//!   0     in_port (32)                      | recirc_id (32)
//!   1     eth_dst (48)                                      | eth_type (16)
//!   2     eth_src (48)                                      | vlan_tci (16)
//!   3     ipv4_src / arp_spa (32)           | ipv4_dst / arp_tpa (32)
//!   4     ip_proto (8) tos (8) ttl (8) frag (8) | tp_src (16) | tp_dst (16); arp_op (16) in the place of the first two
//!   5     tcp_flags (16) | vlan_tpid (16)   | vlan2_tci (16) | vlan2_tpid (16)
//!  ------ the words above are every packet's; those below are used by some ------
//!   6     pkt_mark (32)                     | dp_hash (32)
//!   7     mpls_lse 0 (32)                   | mpls_lse 1 (32)
//!   8     mpls_lse 2 (32) or pbb_uca (1) pbb_isid (24) | ipv6_exthdr (9) ipv6_label (20)
//!   9-10  ipv6_src        11-12  ipv6_dst        13-14  nd_target
//!  15     arp_sha / nd_sll (48)
//!  16     arp_tha / nd_tll (48)
//!  17     tunnel_id (64)
//!  ------ the words above come from the packet; those below from the pipeline ------
//!  18     metadata (64)
//!  19-34  reg0 (32) reg1 (32), ... reg31
//!  35     actset_output (32)                | conj_id (32)
//! ```
//!
//! Values are in host order, so that a word compares and prints as a number. `vlan_tci` carries the CFI bit
//! (0x1000) whenever a tag is present, as Open vSwitch's and OpenFlow's `OFPVID_PRESENT` do.

/// Words of a whole key.
pub const WORDS: usize = 36;
/// Words that come from the packet.
pub const PACKET_WORDS: usize = 18;
/// Words that every packet fills: with what a cache says of them, one cache line.
pub const COMMON_WORDS: usize = 6;
/// Words that only some packets fill.
pub const EXTRA_WORDS: usize = PACKET_WORDS - COMMON_WORDS;

/// `in_port`, `recirc_id`.
pub const PORT: usize = 0;
/// `eth_dst`, `eth_type`.
pub const ETH_DST: usize = 1;
/// `eth_src`, `vlan_tci`.
pub const ETH_SRC: usize = 2;
/// IPv4 source and destination.
pub const IPV4: usize = 3;
/// `ip_proto`, tos, ttl, frag, transport ports.
pub const TRANSPORT: usize = 4;
/// `tcp_flags`, tag protocol identifiers, inner tag.
pub const TAGS: usize = 5;
/// `pkt_mark`, `dp_hash`.
pub const MARK: usize = 6;
/// First two label stack entries.
pub const MPLS: usize = 7;
/// Third label stack entry, IPv6 flow label.
pub const MPLS2: usize = 8;
/// IPv6 source.
pub const IPV6_SRC: usize = 9;
/// IPv6 destination.
pub const IPV6_DST: usize = 11;
/// Neighbour discovery's target.
pub const ND_TARGET: usize = 13;
/// ARP sender or ND source link-layer address.
pub const ARP_SHA: usize = 15;
/// ARP target or ND target link-layer address.
pub const ARP_THA: usize = 16;
/// Tunnel id.
pub const TUNNEL_ID: usize = 17;
/// OpenFlow metadata.
pub const METADATA: usize = 18;
/// Registers, two to a word.
pub const REGS: usize = 19;
/// Output of the action set.
pub const ACTSET_OUTPUT: usize = 35;

/// The bit of `vlan_tci` that says a tag is present.
pub const VLAN_PRESENT: u16 = 0x1000;
/// `frag`: the packet is a fragment.
pub const FRAG_ANY: u8 = 1;
/// `frag`: the packet is a fragment but not the first.
pub const FRAG_LATER: u8 = 2;
/// `eth_type` of a frame that has none (IEEE 802.3 without SNAP), as OpenFlow 1.0 numbers it.
pub const ETH_TYPE_NONE: u16 = 0x05ff;
