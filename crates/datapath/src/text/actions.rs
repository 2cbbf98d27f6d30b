//! Actions, as text.

use heddle_flow::{Field, FlowKey, FlowMask};
use heddle_wire::ethertype;

use super::Names;
use super::print::{hex, print_label, print_set, print_tag};
use super::table::{ETH, by_name, labels};
use crate::decision::Action;

/// What is written of packets that are handed over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Punted {
    /// Why, as OpenFlow numbers the reasons of packet-ins.
    pub reason: u8,
    /// Recirculation id of the state that was kept.
    pub recirc_id: u32,
    /// Cookie of the flow.
    pub cookie: u64,
    /// Which controllers.
    pub controller_id: u16,
    /// Whether it goes to the spanning tree, and to no controller.
    pub is_message: bool,
}

/// Writes actions on a packet with this Ethernet type; what sets the TTL of IPv4 and of IPv6 is told apart by it.
pub fn print_actions(actions: &[Action], eth_type: u16, names: &dyn Names) -> String {
    if actions.is_empty() {
        return "drop".into();
    }
    let mut printer = Printer { words: Vec::new(), eth_type, names };
    let mut rest = actions;
    while let [first, after @ ..] = rest {
        rest = match first {
            Action::Set { .. } => printer.sets(rest),
            _ => {
                printer.one(first);
                after
            }
        };
    }
    printer.words.join(",")
}

struct Printer<'a> {
    words: Vec<String>,
    eth_type: u16,
    names: &'a dyn Names,
}

impl Printer<'_> {
    fn one(&mut self, action: &Action) {
        let word = match action {
            Action::Output(port) => self.names.port(*port).unwrap_or_else(|| port.to_string()),
            // Those that stand together are written together.
            Action::Set { .. } => return,
            Action::PushVlan { tpid, tci } => push_vlan(*tpid, *tci),
            Action::PopVlan => "pop_vlan".into(),
            Action::PushMpls { ethertype, lse } => {
                self.eth_type = *ethertype;
                format!("push_mpls({},eth_type=0x{ethertype:x})", print_label(*lse, None))
            }
            Action::PopMpls { ethertype } => {
                self.eth_type = *ethertype;
                format!("pop_mpls(eth_type=0x{ethertype:x})")
            }
            // Open vSwitch has no words for these four.
            Action::PushPbb { tag } => {
                self.eth_type = ethertype::PBB;
                format!("push_pbb(isid={:#x},eth_type=0x88e7)", tag & 0xff_ffff)
            }
            Action::PopPbb => "pop_pbb".into(),
            Action::CopyTtlOut => "copy_ttl_out".into(),
            Action::CopyTtlIn => "copy_ttl_in".into(),
            Action::SetQueue(queue) => format!("set(skb_priority({}))", hex(u128::from(*queue))),
            Action::Truncate(length) => format!("trunc({length})"),
            Action::Meter(meter) => format!("meter({})", meter.id),
            Action::Recirculate(id) => format!("recirc({})", hex(u128::from(*id))),
            // What is cut for one output alone is written without the copy.
            Action::Clone(actions) if matches!(actions[..], [Action::Truncate(_), Action::Output(_)]) => {
                print_actions(actions, self.eth_type, self.names)
            }
            Action::Clone(actions) => {
                format!("clone({})", print_actions(actions, self.eth_type, self.names))
            }
            Action::Punt { id, max_len } => {
                let of = self.names.punted(*id).unwrap_or_default();
                if of.is_message {
                    return self.words.push("userspace(pid=0,slow_path(stp))".into());
                }
                format!(
                    "userspace(pid=0,controller(reason={},dont_send=0,continuation=0,recirc_id={},rule_cookie={},controller_id={},max_len={max_len}))",
                    of.reason,
                    of.recirc_id,
                    hex(u128::from(of.cookie)),
                    of.controller_id
                )
            }
        };
        self.words.push(word);
    }

    /// Writes the `Set` actions that stand first, an attribute each; returns what follows them.
    fn sets<'b>(&mut self, actions: &'b [Action]) -> &'b [Action] {
        let (mut key, mut mask) = (FlowKey::default(), FlowMask::default());
        let (mut attributes, mut count) = (Vec::new(), 0);
        for action in actions {
            let Action::Set { field, value, mask: bits } = action else { break };
            key.set_masked(*field, *value, *bits);
            let mut named = FlowKey { words: mask.words };
            named.set_masked(*field, u128::MAX, *bits);
            mask.words = named.words;
            let name = self.attribute(*field);
            if !attributes.contains(&name) {
                attributes.push(name);
            }
            count += 1;
        }
        for name in attributes {
            let word = match name {
                "eth" => format!("set({})", print_set(&ETH, &key, &mask)),
                "vlan" => set_vlan(key.get(Field::VlanTci) as u16, mask.get(Field::VlanTci) as u16),
                "mpls" => {
                    let (entry, bits) = (labels(&key.words)[0], labels(&mask.words)[0]);
                    format!("set(mpls({}))", print_label(entry, (bits != u32::MAX).then_some(bits)))
                }
                "skb_mark" | "tunnel" => {
                    let field = if name == "tunnel" { Field::TunnelId } else { Field::PktMark };
                    let (value, bits) = (key.get(field), mask.get(field));
                    let full = bits == field.spec().full_mask();
                    let masked = if full { String::new() } else { format!("/{}", hex(bits)) };
                    let part = if name == "tunnel" { "tun_id=" } else { "" };
                    format!("set({name}({part}{}{masked}))", hex(value))
                }
                name => match by_name(name) {
                    Some(attribute) => format!("set({})", print_set(attribute, &key, &mask)),
                    None => continue,
                },
            };
            self.words.push(word);
        }
        &actions[count..]
    }

    /// The attribute that a field is written in.
    fn attribute(&self, field: Field) -> &'static str {
        match field {
            Field::EthDst | Field::EthSrc => "eth",
            Field::VlanTci | Field::VlanVid | Field::VlanPcp => "vlan",
            Field::MplsLabel | Field::MplsTc | Field::MplsTtl | Field::MplsBos => "mpls",
            Field::PktMark => "skb_mark",
            Field::TunnelId => "tunnel",
            Field::Ipv4Src | Field::Ipv4Dst => "ipv4",
            Field::Ipv6Src | Field::Ipv6Dst | Field::Ipv6Label => "ipv6",
            Field::NwTos | Field::NwTtl | Field::IpDscp | Field::NwEcn
                if self.eth_type == ethertype::IPV6 =>
            {
                "ipv6"
            }
            Field::TcpSrc | Field::TcpDst => "tcp",
            Field::UdpSrc | Field::UdpDst => "udp",
            Field::SctpSrc | Field::SctpDst => "sctp",
            Field::IcmpType | Field::IcmpCode => "icmp",
            Field::Icmpv6Type | Field::Icmpv6Code => "icmpv6",
            Field::ArpOp | Field::ArpSpa | Field::ArpTpa => "arp",
            Field::ArpSha | Field::ArpTha if self.eth_type != ethertype::IPV6 => "arp",
            Field::NdTarget | Field::NdSll | Field::NdTll | Field::ArpSha | Field::ArpTha => "nd",
            _ => "ipv4",
        }
    }
}

fn push_vlan(tpid: u16, tci: u16) -> String {
    let tpid = if tpid == ethertype::VLAN { String::new() } else { format!("tpid={tpid:#06x},") };
    format!("push_vlan({tpid}{})", print_tag(tci, u16::MAX, false))
}

/// A tag that is set is written as one that is pushed in another's place.
fn set_vlan(tci: u16, mask: u16) -> String {
    if mask & 0xefff == 0xefff {
        return format!("pop_vlan,{}", push_vlan(ethertype::VLAN, tci));
    }
    format!("set(vlan({}))", print_tag(tci, mask, false))
}
