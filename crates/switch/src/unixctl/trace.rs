//! `ofproto/trace`, `ofproto/trace-packet-out`: what happens to a packet, and why.

use std::sync::Arc;

use heddle_daemon::unixctl::{Command, Outcome, Run};
use heddle_datapath::Action;
use heddle_datapath::text::parse_flow;
use heddle_flow::compose::{DEFAULT_PAYLOAD, compose, counting_payload};
use heddle_flow::{FlowKey, PacketKey};
use heddle_openflow::text::{parse_actions, parse_match};
use heddle_pipeline::trace::{Question, trace};
use heddle_pipeline::{Bridge, Network, Snapshot};
use heddle_wire::Packet;

use super::dummy::hexadecimal;
use super::{Known, any, find, known, names, names_datapath, port_names};
use crate::bridge::ManagedBridge;

/// Most bytes of data that may be asked for behind the headers.
const MAX_PAYLOAD: usize = 64_000;

pub(super) const COMMANDS: &[Command<Known>] = &[
    Command {
        name: "ofproto/trace",
        usage: "{[dp_name] odp_flow | bridge br_flow} [OPTIONS...] [-generate|packet]",
        words: 1..=usize::MAX,
        run: Run::Now(|known, words| run(known, words, false)),
    },
    Command {
        name: "ofproto/trace-packet-out",
        usage: "[-consistent] {[dp_name] odp_flow | bridge br_flow} [OPTIONS...] [-generate|packet] actions",
        words: 2..=usize::MAX,
        run: Run::Now(|known, words| run(known, words, true)),
    },
];

/// What the words say.
#[derive(Default)]
struct Words<'a> {
    generate: bool,
    by_name: bool,
    payload: Vec<u8>,
    rest: Vec<&'a str>,
}

fn read(words: &[String]) -> Result<Words<'_>, String> {
    let mut read = Words { payload: counting_payload(DEFAULT_PAYLOAD), ..Words::default() };
    let mut words = words.iter().map(String::as_str);
    while let Some(word) = words.next() {
        let mut argument = || words.next().ok_or_else(|| format!("Missing argument for option {word}"));
        match word {
            "-generate" | "--generate" => read.generate = true,
            "-names" | "--names" => read.by_name = true,
            "-consistent" | "--consistent" => {}
            "--l7" => {
                // Told apart from a frame by its option, it may be shorter than one.
                let digits = argument()?;
                let padded = format!("{}{digits}", "00".repeat(14));
                let bytes = hexadecimal(&padded).ok_or("Trailing garbage in packet data")?;
                read.payload = bytes[14..].to_vec();
            }
            "--l7-len" => {
                let length = argument()?;
                let bytes = length.parse().ok().filter(|&bytes: &usize| bytes <= MAX_PAYLOAD);
                read.payload = counting_payload(bytes.ok_or_else(|| format!("{length}: too much L7 data"))?);
            }
            "--ct-next" => return Err("--ct-next: no connections are tracked".into()),
            _ if word.starts_with('-') => return Err(format!("{word}: unknown option")),
            _ => read.rest.push(word),
        }
    }
    Ok(read)
}

fn run(bridges: &Known, words: &[String], packet_out: bool) -> Outcome {
    let (words, actions) = match words.split_last() {
        Some((actions, words)) if packet_out => {
            (words, Some(parse_actions(actions).map_err(|error| error.to_string())?))
        }
        _ => (words, None),
    };
    let mut read = read(words)?;
    let mut packet = None;
    if !read.generate && read.rest.len() > 1 {
        packet = read.rest.last().and_then(|word| hexadecimal(word));
        match (&packet, read.rest.len()) {
            (Some(_), _) => drop(read.rest.pop()),
            (None, 3..) => return Err("Trailing garbage in packet data".into()),
            (None, _) => {}
        }
    }
    let (bridge, entered, mut key) = place(bridges, &read.rest)?;
    if read.generate {
        packet = Some(compose(&key, &read.payload));
    }
    if let Some(packet) = &packet {
        let mut extracted = PacketKey::default();
        heddle_flow::extract(packet, key.in_port(), 0, &mut extracted);
        key = extracted.expand();
    }
    let ports = port_names(&known(bridges));
    let question = Question { key, bridge: &entered, actions: actions.as_deref(), effects: packet.is_some() };
    let names = names(&bridge, &ports, read.by_name);
    let answer = trace(bridge.network(), &question, bridge.clock.now_ms(), &names);
    if let Some(packet) = packet {
        punt(&bridge, &packet, &key, &answer.actions);
    }
    Ok(answer.text)
}

/// Hands the packet to the controllers, where its flows do; it is sent nowhere else.
fn punt(bridge: &ManagedBridge, frame: &[u8], key: &FlowKey, actions: &[Action]) {
    let kept = without_outputs(actions);
    let (packet, in_port) = (Packet::from_frame(frame), key.in_port());
    if kept.iter().any(|action| matches!(action, Action::Punt { .. } | Action::Clone(_))) {
        bridge.datapath().ask(move |context| {
            let now_ms = context.now_ms;
            context.engine.execute(packet, in_port, &kept, now_ms);
        });
    }
}

fn without_outputs(actions: &[Action]) -> Vec<Action> {
    let kept = actions.iter().filter(|action| !matches!(action, Action::Output(_) | Action::Recirculate(_)));
    kept.map(|action| match action {
        Action::Clone(inner) => Action::Clone(without_outputs(inner).into()),
        action => action.clone(),
    })
    .collect()
}

/// A bridge for what all share, the one that the packet comes to, and its key there.
type Place = (Arc<ManagedBridge>, Arc<Bridge>, FlowKey);

fn place(bridges: &Known, words: &[&str]) -> Result<Place, String> {
    let (name, flow) = match words {
        [flow] => (None, *flow),
        [name, flow] => (Some(*name), *flow),
        [] => return Err("Syntax error".into()),
        _ => return Err("too many arguments".into()),
    };
    let all = known(bridges);
    let ports = port_names(&all);
    let datapath = any(bridges);
    let parsed = datapath.as_ref().ok().map(|bridge| parse_flow(flow, &names(bridge, &ports, true)));
    match (parsed, name) {
        (Some(Ok((key, _))), name) => {
            if name.is_some_and(|name| !names_datapath(name, &all)) {
                return Err("Cannot find the datapath".into());
            }
            let shared = datapath?;
            let (entered, key) = enter(shared.network(), key)?;
            Ok((shared, entered, key))
        }
        (parsed, None) => {
            let why = parsed.and_then(Result::err).map_or_else(String::new, |error| error.to_string());
            Err(format!("{why} (or the bridge name was omitted)"))
        }
        (_, Some(name)) => {
            let bridge = find(bridges, name).map_err(|_| format!("{name}: unknown bridge"))?;
            let key = openflow_key(flow, Some(&bridge.bridge.snapshot()))
                .map_err(|error| format!("Bad openflow flow syntax: {error}"))?;
            let entered = Arc::clone(&bridge.bridge);
            Ok((bridge, entered, key))
        }
    }
}

/// Where a packet of the datapath is in by, with its OpenFlow port there.
fn enter(network: &Network, mut key: FlowKey) -> Result<(Arc<Bridge>, FlowKey), String> {
    let place = network.place(key.in_port());
    let place = place.ok_or_else(|| format!("no OpenFlow port for datapath port {}", key.in_port()))?;
    key.set_in_port(place.port);
    Ok((place.bridge, key))
}

/// The key that an OpenFlow match says; its input port may be named, where the bridge is known.
pub(super) fn openflow_key(text: &str, snapshot: Option<&Snapshot>) -> Result<FlowKey, String> {
    let named = |word: &str| {
        let name = word.trim().strip_prefix("in_port=")?.trim_matches('"');
        let port = snapshot?.port_by_name(name)?;
        Some(format!("in_port={}", port.number))
    };
    let words: Vec<String> = text
        .split(',')
        .filter(|word| word.trim() != "eth")
        .map(|word| named(word).unwrap_or_else(|| word.to_owned()))
        .collect();
    let matching = parse_match(&words.join(",")).map_err(|error| error.to_string())?;
    Ok(*matching.key())
}

/// Explains what happens to a packet that comes to a bridge; it is written as a match, and nothing is run or changed.
pub(crate) fn explain(bridge: &ManagedBridge, packet: &str) -> Outcome {
    let key = openflow_key(packet, Some(&bridge.bridge.snapshot()))?;
    let number = key.in_port();
    if !bridge.bridge.snapshot().ports.contains_key(&number) {
        let name = &bridge.bridge.name;
        return Err(format!("bridge {name} has no port {number}; name one with in_port="));
    }
    let question = Question { key, bridge: &bridge.bridge, actions: None, effects: false };
    Ok(trace(bridge.network(), &question, bridge.clock.now_ms(), &names(bridge, &[], false)).text)
}
