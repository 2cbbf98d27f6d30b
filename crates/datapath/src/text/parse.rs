//! Flows, from text.

use std::net::{Ipv4Addr, Ipv6Addr};

use heddle_flow::layout::{ETH_SRC, ETH_TYPE_NONE, FRAG_ANY, FRAG_LATER, TAGS, VLAN_PRESENT};
use heddle_flow::{Field, FlowKey, FlowMask};
use heddle_wire::ethertype;

use super::table::{Attribute, Form, Kind, LABELS, Part, TCP_FLAGS, by_name, is_vlan, set_labels};
use super::{Names, TextError, error};

/// Tags that a key holds.
const TAG_DEPTH: usize = 2;

/// What packets have beside headers, and no key holds: these are read where they ask for nothing.
const ABSENT: [&str; 5] = ["skb_priority", "ct_state", "ct_zone", "ct_mark", "ct_label"];

/// Reads a flow: the key, and which of its bits count. A value without a mask counts whole, and an attribute that is left
/// out does not count; a flow with an Ethernet type and no tag asks for packets without one.
///
/// # Errors
/// If an attribute is unknown, comes twice or does not belong to such packets, or a value does not fit.
pub fn parse_flow(text: &str, names: &dyn Names) -> Result<(FlowKey, FlowMask), TextError> {
    let mut parser = Parser {
        key: FlowKey::default(),
        mask: FlowMask::default(),
        names,
        seen: Vec::new(),
        tags: 0,
        eth_type: None,
    };
    parser.list(text)?;
    parser.finish()
}

struct Parser<'a> {
    key: FlowKey,
    mask: FlowMask,
    names: &'a dyn Names,
    /// Attributes read, at the depth of tags that they were read at.
    seen: Vec<(usize, &'a str)>,
    tags: usize,
    /// The last Ethernet type read, and its mask: that of a tag if one follows.
    eth_type: Option<(u16, u16)>,
}

impl<'a> Parser<'a> {
    /// Attributes, separated by commas or spaces.
    fn list(&mut self, text: &'a str) -> Result<(), TextError> {
        let mut rest = text.trim_matches([',', ' ']);
        while !rest.is_empty() {
            let Some((name, after)) = rest.split_once('(') else {
                return error(format!("\"{rest}\": an attribute is written as NAME(VALUE)"));
            };
            let Some(end) = closing(after) else {
                return error(format!("{name}: a parenthesis is missing"));
            };
            rest = after[end + 1..].trim_start_matches([',', ' ']);
            if name == "encap" && !rest.is_empty() {
                return error(format!("\"{rest}\" stands behind what the tag encapsulates"));
            }
            self.attribute(name, &after[..end])?;
        }
        Ok(())
    }

    fn attribute(&mut self, name: &'a str, body: &'a str) -> Result<(), TextError> {
        if self.seen.contains(&(self.tags, name)) {
            return error(format!("{name} is given twice"));
        }
        self.seen.push((self.tags, name));
        let inner = matches!(name, "eth_type" | "vlan" | "encap" | "mpls" | "tcp_flags");
        let is_outer = || by_name(name).is_none_or(|attribute| attribute.kind == Kind::Any);
        if self.tags != 0 && !inner && is_outer() {
            return error(format!("{name} is not encapsulated by a tag"));
        }
        match name {
            "recirc_id" => self.number(Field::RecircId, name, body),
            "dp_hash" => self.number(Field::DpHash, name, body),
            "skb_mark" => self.number(Field::PktMark, name, body),
            "in_port" => self.in_port(body),
            "tunnel" => match body.strip_prefix("tun_id=") {
                Some(id) => self.number(Field::TunnelId, name, id),
                None => error("tunnel: only tun_id is known"),
            },
            "packet_type" if matches!(body, "ns=0,id=0" | "ns=0,id=0x0") => Ok(()),
            "packet_type" => error("only Ethernet packets, packet_type(ns=0,id=0), are known"),
            "eth_type" => self.eth_type(body),
            "vlan" => self.vlan(body),
            "encap" => self.encap(body),
            "mpls" => self.mpls(body),
            "tcp_flags" => self.tcp_flags(body),
            _ if ABSENT.contains(&name) => match body {
                "0" | "0/0" => Ok(()),
                _ if body.starts_with('-') && !body.contains('+') => Ok(()),
                _ => error(format!("{name}({body}): no packet has one here, only 0 can be asked for")),
            },
            _ => match by_name(name) {
                Some(attribute) => self.parts(attribute, body),
                None => error(format!("\"{name}\" is not an attribute of flows")),
            },
        }
    }

    fn number(&mut self, field: Field, name: &str, body: &str) -> Result<(), TextError> {
        self.part(&Part { name: "", field, form: Form::Hex }, body)
            .or_else(|TextError(why)| error(format!("{name}: {why}")))
    }

    fn in_port(&mut self, body: &str) -> Result<(), TextError> {
        let number = match body.parse::<u32>() {
            Ok(number) => number,
            Err(_) => match self.names.port_number(body) {
                Some(number) => number,
                None => return error(format!("in_port({body}): there is no such port")),
            },
        };
        self.set(Field::InPort, u128::from(number), u128::MAX);
        Ok(())
    }

    fn set(&mut self, field: Field, value: u128, mask: u128) {
        self.key.set(field, value);
        let mut bits = FlowKey { words: self.mask.words };
        bits.set(field, mask);
        self.mask.words = bits.words;
    }

    fn eth_type(&mut self, body: &str) -> Result<(), TextError> {
        let (value, mask) = body.split_once('/').unwrap_or((body, "0xffff"));
        match (number::<u16>(value)?, number::<u16>(mask)?) {
            (0, u16::MAX) => self.eth_type = Some((ETH_TYPE_NONE, u16::MAX)),
            (value, mask @ (0 | u16::MAX)) if value > ETH_TYPE_NONE => self.eth_type = Some((value, mask)),
            _ => {
                return error(format!(
                    "eth_type({body}): a type is 0x0600 or more, and counts whole or not at all"
                ));
            }
        }
        Ok(())
    }

    /// A tag, whose Ethernet type was read.
    fn vlan(&mut self, body: &str) -> Result<(), TextError> {
        self.tpid()?;
        let (mut tci, mut mask) = (VLAN_PRESENT, 0);
        for word in body.split(',').filter(|word| !word.is_empty()) {
            let (name, value) = word.split_once('=').unwrap_or((word, ""));
            let (shift, full) = match name {
                "vid" => (0, 0xfff),
                "pcp" => (13, 7),
                "cfi" if value == "1" => continue,
                _ => return error(format!("vlan: \"{word}\" is none of vid=, pcp= and cfi=1")),
            };
            let (value, bits) = masked(value, full)?;
            if value > full || bits > full {
                return error(format!("vlan: {word} is out of range"));
            }
            tci |= value << shift;
            mask |= bits << shift;
        }
        self.set_tag(tci, mask | VLAN_PRESENT);
        Ok(())
    }

    fn tpid(&self) -> Result<u16, TextError> {
        match self.eth_type {
            Some((tpid, _)) if is_vlan(tpid) && self.tags < TAG_DEPTH => Ok(tpid),
            Some((tpid, _)) if is_vlan(tpid) => error("more than two tags"),
            _ => error("a tag needs eth_type(0x8100) or eth_type(0x88a8) before it"),
        }
    }

    fn set_tag(&mut self, tci: u16, mask: u16) {
        let (key, bits) = (&mut self.key.words, &mut self.mask.words);
        if self.tags == 0 {
            key[ETH_SRC] |= u64::from(tci);
            bits[ETH_SRC] |= u64::from(mask);
        } else {
            key[TAGS] |= u64::from(tci) << 16;
            bits[TAGS] |= u64::from(mask) << 16;
        }
    }

    fn encap(&mut self, body: &'a str) -> Result<(), TextError> {
        let tpid = self.tpid()?;
        // A tag of which nothing counts is not written, and still there.
        self.set_tag(VLAN_PRESENT, 0);
        self.key.words[TAGS] |= u64::from(tpid) << if self.tags == 0 { 32 } else { 0 };
        self.tags += 1;
        self.eth_type = None;
        self.list(body)
    }

    fn parts(&mut self, attribute: &'static Attribute, body: &str) -> Result<(), TextError> {
        let mut words: Vec<&str> = body.split(',').filter(|word| !word.is_empty()).collect();
        for part in attribute.parts {
            let given = |word: &&str| word.strip_prefix(part.name).is_some_and(|rest| rest.starts_with('='));
            let Some(at) = words.iter().position(given) else { continue };
            let value = &words.remove(at)[part.name.len() + 1..];
            self.part(part, value).or_else(|TextError(why)| error(format!("{}: {why}", attribute.name)))?;
        }
        match words.first() {
            Some(word) => error(format!("{}: \"{word}\" is not known, or comes twice", attribute.name)),
            None => Ok(()),
        }
    }

    fn part(&mut self, part: &Part, text: &str) -> Result<(), TextError> {
        let full = part.field.spec().full_mask();
        let (value, mask) = match part.form {
            Form::Fragment => {
                let frag = match text {
                    "no" => 0,
                    "first" => FRAG_ANY,
                    "later" => FRAG_ANY | FRAG_LATER,
                    _ => return error(format!("frag={text} is none of no, first and later")),
                };
                (u128::from(frag), full)
            }
            form => {
                let (value, mask) =
                    text.split_once('/').map_or((text, None), |(value, mask)| (value, Some(mask)));
                let read = |text| read(form, text);
                (read(value)?, mask.map(read).transpose()?.unwrap_or(full))
            }
        };
        if value & !full != 0 || mask & !full != 0 {
            return error(format!("{}={text} is out of range", part.name));
        }
        self.set(part.field, value, mask);
        Ok(())
    }

    fn mpls(&mut self, body: &str) -> Result<(), TextError> {
        let (mut entries, mut masks) = ([0; LABELS], [0; LABELS]);
        let words: Vec<&str> = body.split(',').collect();
        let wrong = || error(format!("mpls({body}): one to three times label=,tc=,ttl=,bos="));
        if !words.len().is_multiple_of(4) || words.len() > 4 * LABELS {
            return wrong();
        }
        for (index, entry) in words.chunks_exact(4).enumerate() {
            for (word, (name, full, shift)) in
                entry.iter().zip([("label=", 0xf_ffff, 12), ("tc=", 7, 9), ("ttl=", 0xff, 0), ("bos=", 1, 8)])
            {
                let Some(value) = word.strip_prefix(name) else { return wrong() };
                let (value, mask) = masked::<u32>(value, full)?;
                if value > full || mask > full {
                    return wrong();
                }
                entries[index] |= value << shift;
                masks[index] |= mask << shift;
            }
            let last = index + 1 == words.len() / 4;
            if (entries[index] & 0x100 != 0) != last && !(last && index + 1 == LABELS) {
                return error(format!("mpls({body}): the last entry, and no other, has bos=1"));
            }
        }
        set_labels(&mut self.key.words, entries);
        set_labels(&mut self.mask.words, masks);
        Ok(())
    }

    fn tcp_flags(&mut self, body: &str) -> Result<(), TextError> {
        let full = Field::TcpFlags.spec().full_mask();
        let bit = |name: &str| match TCP_FLAGS.iter().position(|flag| *flag == name) {
            Some(bit) => Ok(1u128 << bit),
            None => error(format!("tcp_flags: \"{name}\" is not a flag")),
        };
        let (mut value, mut mask) = (0, full);
        if body.starts_with(['+', '-']) {
            mask = 0;
            let mut rest = body;
            while let Some(sign) = rest.chars().next() {
                let end = rest[1..].find(['+', '-']).map_or(rest.len(), |at| at + 1);
                let flag = bit(&rest[1..end])?;
                mask |= flag;
                value |= if sign == '+' { flag } else { 0 };
                rest = &rest[end..];
            }
        } else if body.starts_with(|letter: char| letter.is_ascii_digit()) {
            (value, mask) = masked(body, full)?;
        } else {
            for name in body.split('|') {
                value |= bit(name)?;
            }
        }
        if value & !full != 0 || mask & !full != 0 {
            return error(format!("tcp_flags({body}) is out of range"));
        }
        self.set(Field::TcpFlags, value, mask);
        Ok(())
    }

    /// Puts the Ethernet type in its place, and checks that what was read belongs to such packets.
    fn finish(mut self) -> Result<(FlowKey, FlowMask), TextError> {
        let (eth_type, mask) = self.eth_type.unwrap_or((ETH_TYPE_NONE, 0));
        self.set(Field::EthType, u128::from(eth_type), u128::from(mask));
        if self.tags == 0 && mask != 0 {
            // In text, what is not tagged is what has no tag.
            self.mask.words[ETH_SRC] |= 0xffff;
        }
        for &(depth, name) in &self.seen {
            let kind = match name {
                "tcp_flags" => by_name("tcp").map(|tcp| tcp.kind),
                "mpls" => Some(Kind::Network(&[ethertype::MPLS, ethertype::MPLS_MC])),
                name => by_name(name).map(|attribute| attribute.kind),
            };
            let belongs = |kind: Kind| depth == self.tags && kind.holds(&self.key) && self.asks(kind);
            if kind.is_some_and(|kind| kind != Kind::Any && !belongs(kind)) {
                return error(format!("{name} needs its Ethernet type and protocol to be asked for"));
            }
        }
        Ok((self.key, self.mask))
    }

    /// Whether what makes packets be of this kind is asked for.
    fn asks(&self, kind: Kind) -> bool {
        let fields: &[Field] = match kind {
            Kind::Any => &[],
            Kind::Network(_) => &[Field::EthType],
            Kind::Transport(..) => &[Field::EthType, Field::NwProto],
            Kind::Neighbour => &[Field::EthType, Field::NwProto, Field::IcmpType, Field::IcmpCode],
        };
        fields.iter().all(|&field| self.mask.get(field) == field.spec().full_mask())
    }
}

/// Where the parenthesis that is open before `text` is closed.
fn closing(text: &str) -> Option<usize> {
    let mut depth = 0;
    text.bytes().position(|byte| {
        match byte {
            b'(' => depth += 1,
            b')' if depth == 0 => return true,
            b')' => depth -= 1,
            _ => {}
        }
        false
    })
}

fn wide(text: &str) -> Result<u128, TextError> {
    let parsed = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => u128::from_str_radix(digits, 16),
        None => text.parse(),
    };
    match parsed {
        Ok(value) if !text.contains('+') => Ok(value),
        _ => error(format!("\"{text}\" is not a number")),
    }
}

fn number<T: TryFrom<u128>>(text: &str) -> Result<T, TextError> {
    T::try_from(wide(text)?).or_else(|_| error(format!("{text} is out of range")))
}

/// A number, perhaps with a mask.
fn masked<T: TryFrom<u128>>(text: &str, full: T) -> Result<(T, T), TextError> {
    match text.split_once('/') {
        None => Ok((number(text)?, full)),
        Some((value, mask)) => Ok((number(value)?, number(mask)?)),
    }
}

fn read(form: Form, text: &str) -> Result<u128, TextError> {
    match form {
        Form::Ethernet => mac(text),
        Form::Ipv4 => match text.parse::<Ipv4Addr>() {
            Ok(address) => Ok(u128::from(u32::from(address))),
            Err(_) => error(format!("\"{text}\" is not an IPv4 address")),
        },
        Form::Ipv6 => match text.parse::<Ipv6Addr>() {
            Ok(address) => Ok(u128::from(address)),
            Err(_) => error(format!("\"{text}\" is not an IPv6 address")),
        },
        Form::Decimal | Form::Hex | Form::Fragment => wide(text),
    }
}

fn mac(text: &str) -> Result<u128, TextError> {
    let octets: Vec<&str> = text.split(':').collect();
    let octet = |text: &&str| {
        let good = matches!(text.len(), 1 | 2) && !text.starts_with('+');
        good.then(|| u8::from_str_radix(text, 16).ok()).flatten()
    };
    let values: Vec<u8> = octets.iter().filter_map(octet).collect();
    if values.len() != 6 || octets.len() != 6 {
        return error(format!("\"{text}\" is not an Ethernet address"));
    }
    Ok(values.iter().fold(0, |value, &octet| value << 8 | u128::from(octet)))
}
