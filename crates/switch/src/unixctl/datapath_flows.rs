//! `dpif/dump-flows`, `dpctl/*-flow*`: cached decisions.

use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use heddle_daemon::unixctl::{Command, Outcome, Run};
use heddle_datapath::FlowDump;
use heddle_datapath::text::{Detail, Names, print_actions, print_flow};
use heddle_flow::Match;
use heddle_flow::layout::PORT;
use heddle_openflow::text::parse_match;

use super::{Known, any, find, known, names, names_datapath, port_names};
use crate::bridge::ManagedBridge;

pub(super) const COMMANDS: &[Command<Known>] = &[
    Command { name: "dpctl/del-flows", usage: "[dp]", words: 0..=2, run: Run::Now(delete) },
    Command {
        name: "dpctl/dump-flows",
        usage: "[-m] [--names | --no-names] [dp] [filter=..] [type=..]",
        words: 0..=6,
        run: Run::Now(dump_datapath),
    },
    Command { name: "dpctl/get-flow", usage: "[dp] ufid", words: 1..=4, run: Run::Now(one) },
    Command {
        name: "dpif/dump-flows",
        usage: "[-m] [--names | --no-names] bridge",
        words: 1..=4,
        run: Run::Now(dump_bridge),
    },
];

/// Kinds of flows that there are here, of those that may be asked for.
const OWN_TYPES: [&str; 3] = ["all", "ovs", "non-offloaded"];
const OTHER_TYPES: [&str; 4] = ["tc", "dpdk", "offloaded", "partially-offloaded"];

/// How flows are written.
struct Style<'a> {
    verbose: bool,
    names: &'a dyn Names,
    now_ms: u64,
}

/// Takes the words about style out; `-m`, and whether ports are named.
fn style(words: &[String]) -> Result<(bool, bool, Vec<&str>), String> {
    let (mut verbose, mut by_name, mut rest) = (false, None, Vec::new());
    for word in words {
        match word.as_str() {
            "-m" | "--more" => verbose = true,
            "--names" => by_name = Some(true),
            "--no-names" => by_name = Some(false),
            option if option.starts_with('-') => return Err(format!("{option}: unknown option")),
            word => rest.push(word),
        }
    }
    Ok((verbose, by_name.unwrap_or(verbose), rest))
}

fn flows(bridge: &ManagedBridge) -> Vec<FlowDump> {
    bridge.datapath().ask(|context| context.engine.dump_flows()).unwrap_or_default()
}

fn dump_bridge(bridges: &Known, words: &[String]) -> Outcome {
    let (verbose, by_name, rest) = style(words)?;
    let [name] = rest[..] else { return Err("no such bridge".into()) };
    let bridge = find(bridges, name)?;
    let ports = port_names(&known(bridges));
    let style = Style { verbose, names: &names(&bridge, &ports, by_name), now_ms: bridge.clock.now_ms() };
    let ours = |flow: &&FlowDump| {
        let place = bridge.network().place(flow.key.in_port());
        place.is_some_and(|place| Arc::ptr_eq(&place.bridge, &bridge.bridge))
    };
    let mut text = String::new();
    for flow in flows(&bridge).iter().filter(ours) {
        let id = if verbose { format!("{} ", print_id(flow)) } else { String::new() };
        let _ = writeln!(text, "{id}{}", print(flow, &style, ""));
    }
    Ok(text)
}

fn dump_datapath(bridges: &Known, words: &[String]) -> Outcome {
    let (verbose, by_name, rest) = style(words)?;
    let all = known(bridges);
    let mut filter = Match::default();
    let mut nothing = false;
    let ports = port_names(&all);
    for word in rest {
        if let Some(text) = word.strip_prefix("filter=") {
            filter = parse_filter(text, &ports)?;
        } else if let Some(types) = word.strip_prefix("type=") {
            nothing = !wants_own(types)?;
        } else if word.starts_with("pmd=") {
            // There is one thread, whose flows are shown in any case.
        } else if !names_datapath(word, &all) {
            return Err(format!("opening datapath {word} failed (No such device)"));
        }
    }
    let Some(bridge) = all.first().filter(|_| !nothing) else { return Ok(String::new()) };
    let style = Style { verbose, names: &names(bridge, &ports, by_name), now_ms: bridge.clock.now_ms() };
    let shown: Vec<FlowDump> = flows(bridge).into_iter().filter(|flow| filter.covers(&flow.key)).collect();
    let mut text = String::new();
    if !shown.is_empty() {
        text.push_str("flow-dump from the main thread:\n");
    }
    for flow in &shown {
        let _ = writeln!(text, "{}", print_whole(flow, &style));
    }
    Ok(text)
}

/// A filter is an OpenFlow match, whose input port is the datapath's, by number or name.
fn parse_filter(text: &str, ports: &[(u32, String)]) -> Result<Match, String> {
    let numbered = |word: &str| {
        let name = word.strip_prefix("in_port=")?;
        ports.iter().find(|(_, known)| known == name).map(|(number, _)| format!("in_port={number}"))
    };
    let words: Vec<String> =
        text.split(',').map(|word| numbered(word).unwrap_or_else(|| word.to_owned())).collect();
    parse_match(&words.join(",")).map_err(|error| format!("Failed to parse filter ({error})"))
}

/// Whether flows of this datapath are among the types that are asked for.
fn wants_own(types: &str) -> Result<bool, String> {
    let mut own = false;
    for kind in types.split(',') {
        if !OWN_TYPES.contains(&kind) && !OTHER_TYPES.contains(&kind) {
            return Err(format!("Failed to parse type ({kind})"));
        }
        own |= OWN_TYPES.contains(&kind);
    }
    Ok(own)
}

fn one(bridges: &Known, words: &[String]) -> Outcome {
    let (verbose, by_name, rest) = style(words)?;
    let bridge = any(bridges)?;
    let Some(wanted) = rest.last().filter(|word| word.starts_with("ufid:")) else {
        return Err("parsing flow ufid (Invalid argument)".into());
    };
    let ports = port_names(&known(bridges));
    let style = Style { verbose, names: &names(&bridge, &ports, by_name), now_ms: bridge.clock.now_ms() };
    let flows = flows(&bridge);
    match flows.iter().find(|flow| print_id(flow) == **wanted) {
        Some(flow) => Ok(format!("{}\n", print_whole(flow, &style))),
        None => Err("getting flow (No such file or directory)".into()),
    }
}

fn delete(bridges: &Known, words: &[String]) -> Outcome {
    let all = known(bridges);
    if let Some(word) = words.iter().find(|word| !names_datapath(word, &all)) {
        return Err(format!("opening datapath {word} failed (No such device)"));
    }
    if let Some(bridge) = all.first() {
        bridge.datapath().ask(|context| context.engine.purge());
    }
    Ok(String::new())
}

/// An id of a flow, which is the same as long as it holds for the same packets.
fn print_id(flow: &FlowDump) -> String {
    let half = |salt: u64| {
        let mut hasher = DefaultHasher::new();
        (salt, flow.key.words, flow.mask.words).hash(&mut hasher);
        hasher.finish()
    };
    let id = u128::from(half(0)) << 64 | u128::from(half(1));
    let part = |from: u32, digits: u32| id >> (4 * (32 - from - digits)) & ((1 << (4 * digits)) - 1);
    format!(
        "ufid:{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        part(0, 8),
        part(8, 4),
        part(12, 4),
        part(16, 4),
        part(20, 12)
    )
}

/// A line of `dpctl`.
fn print_whole(flow: &FlowDump, style: &Style<'_>) -> String {
    if !style.verbose {
        return print(flow, style, "");
    }
    format!("{}, {}", print_id(flow), print(flow, style, ", dp:ovs"))
}

fn print(flow: &FlowDump, style: &Style<'_>, layer: &str) -> String {
    let mut mask = flow.mask;
    mask.words[PORT] = u64::MAX;
    let detail = if style.verbose { Detail::Everything } else { Detail::Counting };
    // The packet that a flow was made for was not decided by it.
    let (packets, bytes) = (flow.packets - flow.upcall.packets, flow.bytes - flow.upcall.bytes);
    let used = match packets {
        0 => "never".to_owned(),
        _ => format!("{:.3}s", style.now_ms.saturating_sub(flow.used_ms) as f64 / 1000.0),
    };
    let flags = match flow.tcp_flags {
        0 => String::new(),
        _ if packets == 0 => String::new(),
        flags => format!(", flags:{}", print_flags(flags)),
    };
    format!(
        "{}, packets:{packets}, bytes:{bytes}, used:{used}{flags}{layer}, actions:{}",
        print_flow(&flow.key, Some(&mask), detail, style.names),
        print_actions(&flow.actions, flow.key.eth_type(), style.names)
    )
}

/// TCP flags by their letters, as `tcpdump` has them.
fn print_flags(flags: u16) -> String {
    let letters = ["F", "S", "R", "P", ".", "U", "E", "C", "N"];
    letters.iter().enumerate().filter(|(bit, _)| flags >> bit & 1 != 0).map(|(_, letter)| *letter).collect()
}
