//! One action of a list: reading it.

use heddle_flow::layout::VLAN_PRESENT;
use heddle_flow::{Field, Match};
use heddle_wire::ethertype;

use super::print::REASONS;
use super::{MAX_NESTED, actions_for, learn, split};
use crate::action::{
    Action, Bits, Bundle, BundleAlgorithm, Controller, HashFields, LinkAlgorithm, Multipath, Sample,
};
use crate::group::GroupMod;
use crate::text::values::{number_in, parse_masked, parse_number, parse_port, parse_tos, parse_value};
use crate::text::{TextError, error};
use crate::{names, port};

/// Actions of Open vSwitch that need what is not here: connection tracking, NSH, tunnels' options, sizes of packets.
const REFUSED: [&str; 8] =
    ["ct", "ct_clear", "nat", "encap", "decap", "dec_nsh_ttl", "delete_field", "check_pkt_larger"];
/// A name that a number that is read may have.
type Named<T> = [(T, &'static str)];

/// Reads an action of a flow that matches so.
pub(super) fn parse_action(matching: &Match, name: &str, argument: &str) -> Result<Action, TextError> {
    let set = |field: Field, text: &str| -> Result<Action, TextError> {
        let value = parse_value(field, text)?;
        Ok(Action::SetField { field, value, mask: field.spec().full_mask() })
    };
    Ok(match name {
        "output" => return parse_output(argument),
        "controller" | "CONTROLLER" => return parse_controller(argument),
        "enqueue" => {
            let Some((port, queue)) = argument.split_once([':', ',', 'q']) else {
                return error("\"enqueue\" syntax is \"enqueue:PORT:QUEUE\" or \"enqueue(PORT,QUEUE)\"");
            };
            Action::Enqueue { port: parse_port(port)?, queue: number_in(queue)? }
        }
        "push_vlan" => match number_in(argument)? {
            tpid @ (ethertype::VLAN | ethertype::QINQ) => Action::PushVlan(tpid),
            _ => return error(format!("push_vlan:{argument}: 0x8100 or 0x88a8 can be pushed")),
        },
        "pop_vlan" | "strip_vlan" => Action::PopVlan,
        "push_mpls" => match number_in(argument)? {
            eth_type @ (ethertype::MPLS | ethertype::MPLS_MC) => Action::PushMpls(eth_type),
            _ => return error(format!("push_mpls:{argument}: 0x8847 or 0x8848 can be pushed")),
        },
        "pop_mpls" => Action::PopMpls(number_in(argument)?),
        "push_pbb" => match number_in(argument)? {
            tpid @ ethertype::PBB => Action::PushPbb(tpid),
            _ => return error(format!("push_pbb:{argument}: 0x88e7 can be pushed")),
        },
        "pop_pbb" => Action::PopPbb,
        "dec_ttl" if argument.is_empty() => Action::DecTtl,
        "dec_ttl" => {
            let ids = split(argument).into_iter().map(number_in).collect::<Result<Vec<u16>, _>>()?;
            match ids[..] {
                [] => return error("dec_ttl_cnt_ids: expected at least one controller id."),
                [0] => Action::DecTtl,
                _ => Action::DecTtlIds(ids),
            }
        }
        "dec_mpls_ttl" => Action::DecMplsTtl,
        "set_mpls_ttl" => Action::SetMplsTtl(number_in(argument)?),
        "mod_nw_ttl" => Action::SetTtl(number_in(argument)?),
        "copy_ttl_in" => Action::CopyTtlIn,
        "copy_ttl_out" => Action::CopyTtlOut,
        "group" => match number_in(argument)? {
            group if group <= GroupMod::MAX => Action::Group(group),
            _ => return error(format!("group:{argument}: the highest number of a group is 0xffffff00")),
        },
        "set_queue" => Action::SetQueue(number_in(argument)?),
        "pop_queue" => Action::PopQueue,
        "mod_dl_src" => set(Field::EthSrc, argument)?,
        "mod_dl_dst" => set(Field::EthDst, argument)?,
        "mod_nw_src" => set(Field::Ipv4Src, argument)?,
        "mod_nw_dst" => set(Field::Ipv4Dst, argument)?,
        "mod_nw_ecn" => set(Field::NwEcn, argument)?,
        "set_tunnel" | "set_tunnel64" => set(Field::TunnelId, argument)?,
        "set_mpls_label" => set(Field::MplsLabel, argument)?,
        "set_mpls_tc" => set(Field::MplsTc, argument)?,
        "set_field" => return parse_set_field(argument),
        "load" => return parse_load(argument),
        "move" => return parse_move(argument),
        "push" => Action::Push(parse_bits(argument)?),
        "pop" => {
            let bits = parse_bits(argument)?;
            writable(bits)?;
            Action::Pop(bits)
        }
        "resubmit" => return parse_resubmit(argument),
        "exit" => Action::Exit,
        "clone" => {
            if nesting(argument) > MAX_NESTED {
                return error("clone: actions are nested too deeply");
            }
            Action::Clone(actions_for(matching, argument)?)
        }
        "learn" => Action::Learn(Box::new(learn::parse(argument)?)),
        "conjunction" => return parse_conjunction(argument),
        "multipath" => return parse_multipath(argument),
        "bundle" | "bundle_load" => return parse_bundle(argument, name == "bundle_load"),
        "fin_timeout" => {
            let (mut idle, mut hard) = (0, 0);
            for word in split(argument) {
                match word.split_once('=') {
                    Some(("idle_timeout", value)) => idle = number_in(value)?,
                    Some(("hard_timeout", value)) => hard = number_in(value)?,
                    _ => return error(format!("invalid key '{word}' in 'fin_timeout' argument")),
                }
            }
            Action::FinTimeout { idle, hard }
        }
        "sample" => return parse_sample(argument),
        "note" => Action::Note(parse_bytes("note", argument)?),
        _ if REFUSED.contains(&name) => return error(format!("{name} is not supported by this switch")),
        _ if argument.is_empty() => {
            output(parse_port(name).or_else(|_| error(format!("unknown action {name}")))?)
        }
        _ => return error(format!("unknown action {name}")),
    })
}

/// How many brackets stand within each other.
fn nesting(text: &str) -> usize {
    let (mut depth, mut deepest) = (0usize, 0);
    for letter in text.chars() {
        match letter {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}

fn output(port: u32) -> Action {
    Action::Output { port, max_len: if port == port::CONTROLLER { u16::MAX } else { 0 } }
}

fn parse_output(argument: &str) -> Result<Action, TextError> {
    if argument.contains('[') {
        return Ok(Action::OutputBits { bits: parse_bits(argument)?, max_len: u16::MAX });
    }
    if !argument.contains('=') {
        return Ok(output(
            parse_port(argument).or_else(|_| error(format!("{argument}: output to unknown port")))?,
        ));
    }
    let (mut number, mut max_len) = (None, None);
    for word in split(argument) {
        match word.split_once('=') {
            Some(("port", value)) => number = Some(parse_port(value)?),
            Some(("max_len", value)) => max_len = Some(number_in::<u32>(value)?),
            _ => return error(format!("invalid key '{word}' in output_trunc argument")),
        }
    }
    match (number, max_len) {
        (Some(port::TABLE | port::NORMAL | port::FLOOD | port::ALL | port::CONTROLLER | port::ANY), _) => {
            error(format!("output to unsupported truncate port: {argument}"))
        }
        (Some(_), Some(0..14)) => error("max_len is less than the minimum value 14"),
        (Some(port), Some(max_len)) => Ok(Action::OutputTrunc { port, max_len }),
        _ => error(format!("output({argument}): needs port and max_len")),
    }
}

/// The bits of a field, if they may be set.
pub(super) fn writable(bits: Bits) -> Result<Field, TextError> {
    if bits.field.spec().writable {
        return Ok(bits.field);
    }
    error(format!("destination field {} is not writable", bits.field.spec().name))
}

fn parse_set_field(argument: &str) -> Result<Action, TextError> {
    let Some((value, name)) = argument.rsplit_once("->") else {
        return error(format!("set_field:{argument}: needs VALUE->FIELD"));
    };
    let name = name.trim_end_matches("[]");
    let Some(bits) = names::whole(name) else {
        return error(format!("{name} is not a valid OXM field name"));
    };
    let field = writable(bits).or_else(|_| error(format!("{name} is read-only")))?;
    if field == Field::NwTos {
        let (field, value) = (Field::IpDscp, parse_tos(value)?);
        return Ok(Action::SetField { field, value, mask: field.spec().full_mask() });
    }
    // What may not be masked in a match may be in an action, which knows the rest.
    let (value, mask) = match value.split_once('/') {
        Some((value, mask)) if !field.spec().maskable => {
            let mask = parse_value(field, mask)?;
            (parse_value(field, value)? & mask, mask)
        }
        _ => parse_masked(field, value)?,
    };
    if field == Field::VlanVid && mask & u128::from(VLAN_PRESENT) & !value != 0 {
        return error(format!(
            "set_field:{argument}: a VLAN id is set with the bit that says there is a tag, as {}->vlan_vid",
            value | u128::from(VLAN_PRESENT)
        ));
    }
    Ok(Action::SetField { field, value, mask })
}

fn parse_controller(argument: &str) -> Result<Action, TextError> {
    if argument.is_empty() || argument.parse::<u16>().is_ok() {
        let max_len = if argument.is_empty() { u16::MAX } else { number_in(argument)? };
        return Ok(Action::Output { port: port::CONTROLLER, max_len });
    }
    let mut controller = Controller::default();
    for word in split(argument) {
        match word.split_once('=') {
            Some(("max_len", value)) => controller.max_len = number_in(value)?,
            Some(("reason", value)) => match REASONS.iter().position(|name| *name == value) {
                Some(reason) => controller.reason = reason as u8,
                None => {
                    controller.reason =
                        number_in(value).or_else(|_| error(format!("unknown reason \"{value}\"")))?
                }
            },
            Some(("id", value)) => controller.id = number_in(value)?,
            Some(("userdata", value)) => controller.userdata = parse_bytes("controller", value)?,
            Some(("meter_id", value)) => controller.meter = number_in(value)?,
            None if word == "pause" => controller.pause = true,
            _ => return error(format!("unknown key \"{word}\" parsing controller action")),
        }
    }
    if (Controller { max_len: controller.max_len, ..Controller::default() }) == controller {
        return Ok(Action::Output { port: port::CONTROLLER, max_len: controller.max_len });
    }
    Ok(Action::Controller(Box::new(controller)))
}

/// Pairs of hexadecimal digits, with dots between them where one likes.
fn parse_bytes(action: &str, text: &str) -> Result<Vec<u8>, TextError> {
    let digits: Vec<u8> = text.bytes().filter(|&byte| byte != b'.').collect();
    let pairs = digits.chunks(2).map(|pair| {
        let pair = std::str::from_utf8(pair).ok().filter(|pair| pair.len() == 2 && !pair.starts_with('+'))?;
        u8::from_str_radix(pair, 16).ok()
    });
    match pairs.collect::<Option<Vec<u8>>>() {
        Some(bytes) => Ok(bytes),
        None => error(format!("bad hex digit in `{action}' argument")),
    }
}

/// `FIELD[]`, `FIELD[BIT]` or `FIELD[FIRST..LAST]`.
pub(super) fn parse_bits(text: &str) -> Result<Bits, TextError> {
    let text = text.trim();
    let Some((name, range)) = text.strip_suffix(']').and_then(|text| text.split_once('[')) else {
        // As Open vSwitch has it, the name alone means the whole field.
        return match names::whole(text) {
            Some(bits) => Ok(bits),
            None => error(format!("{text}: missing [ looking for field name")),
        };
    };
    let Some(whole) = names::whole(name) else {
        return error(format!("{text}: unknown field `{name}'"));
    };
    let (first, last): (u16, u16) = match range.split_once("..") {
        None if range.is_empty() => return Ok(whole),
        None => (number_in(range)?, number_in(range)?),
        Some((first, last)) => (number_in(first)?, number_in(last)?),
    };
    if first > last {
        return error(format!("{text}: starting bit {first} is after ending bit {last}"));
    }
    let bits = if whole.field == Field::InPort { whole.count } else { whole.field.spec().bits.into() };
    if last >= bits {
        return error(format!(
            "{text}: starting bit {first} is not valid because field is only {bits} bits wide"
        ));
    }
    Ok(Bits { field: whole.field, offset: first, count: last - first + 1 })
}

fn parse_load(argument: &str) -> Result<Action, TextError> {
    let Some((value, bits)) = argument.split_once("->") else {
        return error(format!("{argument}: missing `->'"));
    };
    let bits = parse_bits(bits)?;
    let field = writable(bits)?;
    let value = parse_number(value)?;
    if value & !bits.max() != 0 {
        return error(format!("load:{argument}: value {value} does not fit into {} bits", bits.count));
    }
    // What is wider than the action's number is set as a field.
    match u64::try_from(value) {
        Ok(value) if bits.count <= 64 => Ok(Action::Load { bits, value }),
        _ => Ok(Action::SetField { field, value: value << bits.offset, mask: bits.mask() }),
    }
}

fn parse_move(argument: &str) -> Result<Action, TextError> {
    let Some((from, to)) = argument.split_once("->") else {
        return error(format!("{argument}: missing `->'"));
    };
    let (src, dst) = (parse_bits(from)?, parse_bits(to)?);
    writable(dst)?;
    if src.count != dst.count {
        return error(format!(
            "{argument}: source field is {} bits wide but destination is {} bits wide",
            src.count, dst.count
        ));
    }
    Ok(Action::Move {
        src: src.field,
        src_ofs: src.offset,
        dst: dst.field,
        dst_ofs: dst.offset,
        n_bits: src.count,
    })
}

fn parse_resubmit(argument: &str) -> Result<Action, TextError> {
    let own = |text: &str| -> Result<Option<u32>, TextError> {
        let number = if text.is_empty() { port::IN_PORT } else { parse_port(text)? };
        Ok((number != port::IN_PORT).then_some(number))
    };
    let words: Vec<&str> = argument.split(',').map(str::trim).collect();
    match words[..] {
        [port] => Ok(Action::Resubmit { port: own(port)?, table: None }),
        [port, table] => {
            let table: Option<u8> = if table.is_empty() { None } else { Some(number_in(table)?) };
            if port.is_empty() && table.is_none() {
                return error("at least one \"in_port\" or \"table\" must be specified on resubmit");
            }
            Ok(Action::Resubmit { port: own(port)?, table: table.filter(|&table| table != 0xff) })
        }
        [_, _, "ct"] => error("resubmit with ct needs connection tracking, which this switch does not have"),
        _ => error(format!("resubmit({argument}): needs PORT,TABLE")),
    }
}

fn parse_conjunction(argument: &str) -> Result<Action, TextError> {
    let parsed = argument.split_once(',').and_then(|(id, rest)| Some((id, rest.split_once('/')?)));
    let Some((id, (clause, clauses))) = parsed else {
        return error("\"conjunction\" syntax is \"conjunction(id,i/n)\"");
    };
    let (id, clause, clauses) =
        (number_in(id.trim())?, number_in::<u8>(clause.trim())?, number_in::<u8>(clauses.trim())?);
    match (clause, clauses) {
        (_, 0 | 1) => error("conjunction must have at least 2 clauses"),
        (_, 65..) => error("conjunction must have at most 64 clauses"),
        (0, _) => error("clause index must be positive"),
        (clause, clauses) if clause > clauses => {
            error("clause index must be less than or equal to number of clauses")
        }
        _ => Ok(Action::Conjunction { id, clause: clause - 1, clauses }),
    }
}

fn named<T: Copy>(of: &Named<T>, name: &str, what: &str, whole: &str) -> Result<T, TextError> {
    match of.iter().find(|row| row.1 == name) {
        Some((value, _)) => Ok(*value),
        None => error(format!("{whole}: unknown {what} `{name}'")),
    }
}

fn hash_fields(name: &str, whole: &str) -> Result<HashFields, TextError> {
    let name = if name == "symmetric_l3/l4" { "symmetric_l3l4" } else { name };
    named(&HashFields::ALL, name, "fields", whole)
}

fn parse_multipath(argument: &str) -> Result<Action, TextError> {
    let words = split(argument);
    let [fields, basis, algorithm, links, arg, dst] = words[..] else {
        return error(format!("{argument}: not enough arguments to multipath action"));
    };
    let links: u32 = number_in(links)?;
    if !(1..=65_536).contains(&links) {
        return error(format!("{argument}: n_links {links} is not in valid range 1 to 65536"));
    }
    let dst = parse_bits(dst)?;
    writable(dst)?;
    if dst.max() < u128::from(links - 1) {
        return error(format!(
            "{argument}: {}-bit destination field has {} possible values, less than specified n_links {links}",
            dst.count,
            dst.max() + 1
        ));
    }
    Ok(Action::Multipath(Multipath {
        fields: hash_fields(fields, argument)?,
        basis: number_in(basis)?,
        algorithm: named(&LinkAlgorithm::ALL, algorithm, "algorithm", argument)?,
        max_link: (links - 1) as u16,
        arg: number_in(arg)?,
        dst,
    }))
}

fn parse_bundle(argument: &str, loads: bool) -> Result<Action, TextError> {
    let short = || error(format!("{argument}: not enough arguments to bundle action"));
    let Some((head, members)) = argument.split_once("members:").or_else(|| argument.split_once("slaves:"))
    else {
        return match split(argument).len() {
            0..4 => short(),
            _ => error(format!(
                "{argument}: missing member delimiter, expected `members', got `{}'",
                split(argument)[3]
            )),
        };
    };
    let words = split(head);
    let (fields, basis, algorithm, kind, dst) = match words[..] {
        [fields, basis, algorithm, kind] if !loads => (fields, basis, algorithm, kind, None),
        [fields, basis, algorithm, kind, dst] if loads => (fields, basis, algorithm, kind, Some(dst)),
        _ => return short(),
    };
    if kind != "ofport" {
        return error(format!("{argument}: unknown member_type `{kind}'"));
    }
    let dst = dst.map(parse_bits).transpose()?;
    if let Some(dst) = dst {
        writable(dst)?;
        if dst.count < 16 {
            return error(format!("{argument}: experimental action bundle_load needs 16 bits or more"));
        }
    }
    let members = split(members)
        .into_iter()
        .map(|member| parse_port(member).or_else(|_| error(format!("{member}: bad port number"))));
    Ok(Action::Bundle(Box::new(Bundle {
        fields: hash_fields(fields, argument)?,
        basis: number_in(basis)?,
        algorithm: named(&BundleAlgorithm::ALL, algorithm, "algorithm", argument)?,
        members: members.collect::<Result<_, _>>()?,
        dst,
    })))
}

fn parse_sample(argument: &str) -> Result<Action, TextError> {
    let mut sample = Sample::default();
    for word in split(argument) {
        match word.split_once('=') {
            Some(("probability", value)) => match number_in(value)? {
                0 => return error("invalid probability value \"0\""),
                probability => sample.probability = probability,
            },
            Some(("collector_set_id", value)) => sample.collector_set = number_in(value)?,
            Some(("obs_domain_id", value)) => sample.domain = number_in(value)?,
            Some(("obs_point_id", value)) => sample.point = number_in(value)?,
            Some(("sampling_port", value)) => sample.port = parse_port(value)? as u16,
            None if word == "ingress" => sample.direction = 1,
            None if word == "egress" => sample.direction = 2,
            _ => return error(format!("invalid key \"{word}\" in \"sample\" argument")),
        }
    }
    if sample.probability == 0 {
        return error("non-zero \"probability\" must be specified on sample");
    }
    Ok(Action::Sample(sample))
}
