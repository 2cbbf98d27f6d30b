//! Flows, as text.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, Ipv6Addr};

use heddle_flow::layout::{ETH_SRC, ETH_TYPE_NONE, TAGS, VLAN_PRESENT, WORDS};
use heddle_flow::{Field, FlowKey, FlowMask};
use heddle_wire::ethertype;

use super::Names;
use super::table::{ATTRIBUTES, Attribute, ETH, Form, LABELS, Part, TCP_FLAGS, is_mpls, is_vlan, labels};

/// How much is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// What counts.
    Counting,
    /// What does not count, too, with masks of zero.
    Everything,
}

/// `%#x`: zero has no prefix.
pub(super) fn hex(value: u128) -> String {
    if value == 0 { "0".into() } else { format!("{value:#x}") }
}

fn mac(value: u128) -> String {
    let bytes = value.to_be_bytes();
    bytes[10..].iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":")
}

/// Writes a flow; every bit of the key counts where there is no mask.
pub fn print_flow(key: &FlowKey, mask: Option<&FlowMask>, detail: Detail, names: &dyn Names) -> String {
    let full = FlowMask { words: [u64::MAX; WORDS] };
    let printer = Printer {
        key,
        mask: mask.unwrap_or(&full),
        everything: mask.is_none() || detail == Detail::Everything,
        exact: mask.is_none(),
    };
    let mut words = printer.metadata(names);
    words.extend(printer.parts(&ETH));
    printer.tagged(&mut words);
    words.join(",")
}

struct Printer<'a> {
    key: &'a FlowKey,
    mask: &'a FlowMask,
    everything: bool,
    exact: bool,
}

impl Printer<'_> {
    fn get(&self, field: Field) -> (u128, u128) {
        (self.key.get(field), self.mask.get(field))
    }

    /// What a packet has beside its headers.
    fn metadata(&self, names: &dyn Names) -> Vec<String> {
        let number = |name: &str, field: Field| {
            let (value, mask) = self.get(field);
            let masked =
                if mask == field.spec().full_mask() { String::new() } else { format!("/{}", hex(mask)) };
            (self.everything || mask != 0).then(|| format!("{name}({}{masked})", hex(value)))
        };
        let absent =
            |name: &str| self.everything.then(|| format!("{name}(0{})", if self.exact { "" } else { "/0" }));
        let in_port = self.key.in_port();
        let port = names.port(in_port).unwrap_or_else(|| in_port.to_string());
        let tunnel = Field::TunnelId;
        let tunnelled = self.key.get(tunnel) != 0 && (self.everything || self.mask.get(tunnel) != 0);
        let words = [
            number("recirc_id", Field::RecircId),
            number("dp_hash", Field::DpHash),
            absent("skb_priority"),
            tunnelled.then(|| format!("tunnel({})", self.part(&TUNNEL_ID).unwrap_or_default())),
            (self.everything || self.mask.get(Field::InPort) != 0).then(|| format!("in_port({port})")),
            number("skb_mark", Field::PktMark),
            absent("ct_state"),
            absent("ct_zone"),
            absent("ct_mark"),
            absent("ct_label"),
            Some("packet_type(ns=0,id=0)".to_owned()),
        ];
        words.into_iter().flatten().collect()
    }

    /// An attribute of parts, unless nothing of it counts.
    fn parts(&self, attribute: &Attribute) -> Option<String> {
        let counts = self.everything || attribute.parts.iter().any(|part| self.mask.get(part.field) != 0);
        counts.then(|| {
            let parts: Vec<String> = attribute.parts.iter().filter_map(|part| self.part(part)).collect();
            format!("{}({})", attribute.name, parts.join(","))
        })
    }

    fn part(&self, part: &Part) -> Option<String> {
        let (value, mask) = self.get(part.field);
        if mask == 0 && (!self.everything || part.form == Form::Fragment) {
            return None;
        }
        let (text, mask_text) = match part.form {
            Form::Decimal => (value.to_string(), hex(mask)),
            Form::Hex => (hex(value), hex(mask)),
            Form::Ethernet => (mac(value), mac(mask)),
            Form::Ipv4 => (Ipv4Addr::from(value as u32).to_string(), Ipv4Addr::from(mask as u32).to_string()),
            Form::Ipv6 => (Ipv6Addr::from(value).to_string(), Ipv6Addr::from(mask).to_string()),
            Form::Fragment => {
                let word =
                    if value & 2 != 0 { "later" } else { ["no", "first"][usize::from(value & 1 != 0)] };
                return Some(format!("{}={word}", part.name));
            }
        };
        let masked =
            if mask == part.field.spec().full_mask() { String::new() } else { format!("/{mask_text}") };
        Some(format!("{}={text}{masked}", part.name))
    }

    /// Tags, each with what it encapsulates, and what follows them.
    fn tagged(&self, words: &mut Vec<String>) {
        let tags = |words: &[u64; WORDS]| {
            let outer = (words[ETH_SRC] as u16, (words[TAGS] >> 32) as u16);
            [outer, ((words[TAGS] >> 16) as u16, words[TAGS] as u16)]
        };
        let (keys, masks) = (tags(&self.key.words), tags(&self.mask.words));
        let mut depth = 0;
        for ((tci, tpid), (tci_mask, _)) in keys.into_iter().zip(masks) {
            if tci & VLAN_PRESENT == 0 {
                break;
            }
            let tpid = if tpid == 0 { ethertype::VLAN } else { tpid };
            words.push(format!("eth_type({tpid:#06x})"));
            if self.everything || tci_mask != 0 {
                words.push(format!("vlan({})", print_tag(tci, tci_mask, self.everything)));
            }
            words.push("encap(".to_owned());
            depth += 1;
        }
        self.network(words);
        // Each parenthesis that was opened stands as a word of its own, so that no comma follows it.
        if depth != 0 {
            let mut joined = String::new();
            for word in words.drain(..) {
                let comma = if joined.is_empty() || joined.ends_with("encap(") { "" } else { "," };
                let _ = write!(joined, "{comma}{word}");
            }
            joined.push_str(&")".repeat(depth));
            words.push(joined);
        }
    }

    fn network(&self, words: &mut Vec<String>) {
        let eth_type = self.key.eth_type();
        let asked = self.mask.get(Field::EthType) != 0;
        if eth_type <= ETH_TYPE_NONE {
            if asked && !self.exact {
                words.push("eth_type(0/0xffff)".into());
            }
            return;
        }
        if asked || self.everything {
            words.push(format!("eth_type({eth_type:#06x}{})", if asked { "" } else { "/0x0000" }));
        }
        if is_vlan(eth_type) {
            // A tag that is cut short.
            return;
        }
        if is_mpls(eth_type) {
            words.extend(self.labels());
            return;
        }
        for attribute in ATTRIBUTES.iter().filter(|attribute| attribute.kind.holds(self.key)) {
            words.extend(self.parts(attribute));
            if attribute.name == "tcp" {
                words.extend(self.tcp_flags());
            }
        }
    }

    fn tcp_flags(&self) -> Option<String> {
        let (value, mask) = self.get(Field::TcpFlags);
        if mask == 0 || self.exact && value == 0 {
            return None;
        }
        let flags = || TCP_FLAGS.iter().enumerate();
        if mask == Field::TcpFlags.spec().full_mask() {
            let set: Vec<&str> =
                flags().filter(|(bit, _)| value >> bit & 1 != 0).map(|(_, name)| *name).collect();
            let set = if set.is_empty() { "0".to_owned() } else { set.join("|") };
            return Some(format!("tcp_flags({set})"));
        }
        let asked = flags().filter(|(bit, _)| mask >> bit & 1 != 0);
        let signed =
            asked.map(|(bit, name)| format!("{}{name}", if value >> bit & 1 != 0 { '+' } else { '-' }));
        Some(format!("tcp_flags({})", signed.collect::<String>()))
    }

    fn labels(&self) -> Option<String> {
        let (entries, masks) = (labels(&self.key.words), labels(&self.mask.words));
        let count = entries.iter().position(|entry| entry & 0x100 != 0).map_or(LABELS, |last| last + 1);
        let exact = masks[..count].iter().all(|&mask| mask == u32::MAX);
        if !self.everything && masks[..count].iter().all(|&mask| mask == 0) {
            return None;
        }
        let pairs = entries[..count].iter().zip(&masks[..count]);
        let words = pairs.map(|(&entry, &mask)| print_label(entry, (!exact).then_some(mask)));
        Some(format!("mpls({})", words.collect::<Vec<_>>().join(",")))
    }
}

const TUNNEL_ID: Part = Part { name: "tun_id", field: Field::TunnelId, form: Form::Hex };

/// Writes a tag.
pub(super) fn print_tag(tci: u16, mask: u16, everything: bool) -> String {
    let (vid, pcp) = (tci & 0xfff, tci >> 13);
    let (vid_mask, pcp_mask) = (mask & 0xfff, mask >> 13);
    let mut words = Vec::new();
    if everything || vid_mask != 0 {
        let masked = if vid_mask == 0xfff { String::new() } else { format!("/0x{vid_mask:x}") };
        words.push(format!("vid={vid}{masked}"));
    }
    if everything || pcp_mask != 0 {
        let masked = if pcp_mask == 7 { String::new() } else { format!("/0x{pcp_mask:x}") };
        words.push(format!("pcp={pcp}{masked}"));
    }
    words.join(",")
}

/// Writes a label stack entry, with its mask if it has one.
pub(super) fn print_label(entry: u32, mask: Option<u32>) -> String {
    let split = |entry: u32| (entry >> 12, entry >> 9 & 7, entry & 0xff, entry >> 8 & 1);
    let (label, tc, ttl, bos) = split(entry);
    match mask.map(split) {
        None => format!("label={label},tc={tc},ttl={ttl},bos={bos}"),
        Some((of_label, of_tc, of_ttl, of_bos)) => format!(
            "label={label}/0x{of_label:x},tc={tc}/{of_tc:x},ttl={ttl}/0x{of_ttl:x},bos={bos}/{of_bos:x}"
        ),
    }
}

/// Writes one attribute, as `set` does.
pub(super) fn print_set(attribute: &Attribute, key: &FlowKey, mask: &FlowMask) -> String {
    let printer = Printer { key, mask, everything: false, exact: false };
    printer.parts(attribute).unwrap_or_default()
}
