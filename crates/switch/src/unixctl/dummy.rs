//! `netdev-dummy/*`: devices in memory, whose far side tests play.

use heddle_daemon::unixctl::{Command, Outcome, Run};
use heddle_datapath::text::{Numbers, parse_flow};
use heddle_flow::FlowKey;
use heddle_flow::compose::{DEFAULT_PAYLOAD, compose, compose_of_length, counting_payload};
use heddle_netdev::DummyHandle;
use heddle_wire::Packet;

use super::{Known, devices, known};

/// Least bytes of a frame.
const MIN_FRAME: usize = 14;
/// Rounds of the poll thread until what was put in has been forwarded: as many batches as wait at most, and their echoes.
const ROUNDS: usize = 1024;

pub(super) const COMMANDS: &[Command<Known>] = &[
    Command { name: "netdev-dummy/conn-state", usage: "[netdev]", words: 0..=1, run: Run::Now(conn_state) },
    Command {
        name: "netdev-dummy/ip4addr",
        usage: "[netdev] ipaddr/mask-prefix-len",
        words: 2..=2,
        run: Run::Now(no_addresses),
    },
    Command {
        name: "netdev-dummy/ip6addr",
        usage: "[netdev] ip6addr",
        words: 2..=2,
        run: Run::Now(no_addresses),
    },
    Command {
        name: "netdev-dummy/receive",
        usage: "name [--qid queue_id] packet|flow [--len packet_len]",
        words: 2..=usize::MAX,
        run: Run::Now(receive),
    },
    Command {
        name: "netdev-dummy/set-admin-state",
        usage: "[netdev] up|down",
        words: 1..=2,
        run: Run::Now(set_admin_state),
    },
];

fn far_side(bridges: &Known, name: &str) -> Option<DummyHandle> {
    let devices = devices(&known(bridges));
    devices.iter().find(|(_, netdev)| netdev.name() == name)?.1.far_side()
}

fn receive(bridges: &Known, words: &[String]) -> Outcome {
    let handle = far_side(bridges, &words[0]).ok_or("no such dummy netdev")?;
    let mut rest = &words[1..];
    if let [option, queue, after @ ..] = rest
        && option == "--qid"
    {
        if queue != "0" {
            return Err("bad rx queue id.".into());
        }
        rest = after;
    }
    let mut frames = Vec::new();
    while let [word, after @ ..] = rest {
        let (length, after) = match after {
            [option, length, after @ ..] if option == "--len" => (Some(length), after),
            _ => (None, after),
        };
        frames.push(frame(word, length)?);
        rest = after;
    }
    for frame in &frames {
        handle.inject(Packet::from_frame(frame));
    }
    if let Some(bridge) = known(bridges).first() {
        // Whoever asks next finds them forwarded.
        bridge.datapath().ask(|context| {
            (0..ROUNDS).any(|_| context.engine.poll(context.now_ms) == 0);
        });
    }
    Ok(String::new())
}

/// The frame that a word says: in hexadecimal, as a datapath flow, or as an OpenFlow match.
fn frame(word: &str, length: Option<&String>) -> Result<Vec<u8>, String> {
    if let Some(frame) = hexadecimal(word) {
        return Ok(frame);
    }
    let key = key(word)?;
    let Some(length) = length else {
        return Ok(compose(&key, &counting_payload(DEFAULT_PAYLOAD)));
    };
    let length: usize = length.parse().map_err(|_| format!("\"{length}\" is not a length"))?;
    if length < MIN_FRAME {
        return Err("too small packet len".into());
    }
    if length > heddle_wire::packet::MAX_FRAME {
        return Err("too large packet len".into());
    }
    compose_of_length(&key, length).ok_or_else(|| format!("the headers are longer than {length} bytes"))
}

/// The key that a word says, as a datapath flow or as an OpenFlow match.
fn key(word: &str) -> Result<FlowKey, String> {
    match parse_flow(word, &Numbers) {
        Ok((key, _)) => Ok(key),
        Err(error) if word.contains('(') => Err(error.to_string()),
        Err(_) => super::trace::openflow_key(word, None).map_err(|error| error.to_string()),
    }
}

/// A frame in hexadecimal: an even number of digits, perhaps with spaces between bytes.
pub(super) fn hexadecimal(word: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> = word.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    if !digits.len().is_multiple_of(2)
        || digits.len() < 2 * MIN_FRAME
        || digits.len() > 2 * heddle_wire::packet::MAX_FRAME
    {
        return None;
    }
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    digits.chunks_exact(2).map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?)).collect()
}

fn set_admin_state(bridges: &Known, words: &[String]) -> Outcome {
    let (name, state) = match words {
        [name, state] => (Some(name), state),
        [state] => (None, state),
        _ => return Err("Invalid Admin State".into()),
    };
    let up = match state.to_ascii_lowercase().as_str() {
        "up" => true,
        "down" => false,
        _ => return Err("Invalid Admin State".into()),
    };
    if name.is_some_and(|name| far_side(bridges, name).is_none()) {
        return Err("Unknown Dummy Interface".into());
    }
    for bridge in known(bridges) {
        let numbers: Vec<u32> = bridge
            .devices()
            .iter()
            .filter(|(_, device)| device.netdev.far_side().is_some())
            .filter(|(_, device)| name.is_none_or(|name| device.netdev.name() == name))
            .map(|(number, _)| *number)
            .collect();
        numbers.into_iter().for_each(|number| bridge.set_link(number, !up));
    }
    Ok("OK".into())
}

/// Dummies are joined by no sockets.
/// Whether dummies that call others have reached them.
fn conn_state(bridges: &Known, words: &[String]) -> Outcome {
    let all = devices(&known(bridges));
    let state = |name: &str| {
        let device = all.iter().find(|(_, netdev)| netdev.name() == name);
        match device.and_then(|(_, netdev)| netdev.far_side()?.is_connected()) {
            Some(true) => "connected",
            Some(false) => "disconnected",
            None => "unknown",
        }
    };
    let named: Vec<&str> = match words.first() {
        Some(name) => vec![name],
        None => all.iter().map(|(_, netdev)| netdev.name()).filter(|name| state(name) != "unknown").collect(),
    };
    Ok(named.iter().map(|name| format!("{name}: {}\n", state(name))).collect())
}

fn no_addresses(_: &Known, words: &[String]) -> Outcome {
    Err(format!(
        "{}: a dummy device has no IP address, because there are no tunnels that could use it",
        words[0]
    ))
}
