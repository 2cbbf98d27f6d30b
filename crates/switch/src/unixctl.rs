//! Commands of operators, by the protocol of `ovs-appctl`: JSON-RPC over a Unix socket, a command's words in, text out.
//!
//! What a command does is a row of [`COMMANDS`]; listing, arity and help follow from it.

use std::fmt::Write as _;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::bridge::ManagedBridge;
use crate::server::Bridges;
use heddle_daemon::stream::{Listener, Stream};

/// Most bytes of a request.
const MAX_REQUEST: usize = 1 << 20;
/// Clients at a time.
const MAX_CLIENTS: usize = 64;
/// Time for a client to take its answer.
const STALL: Duration = Duration::from_secs(15);

#[derive(Deserialize)]
struct Request {
    id: serde_json::Value,
    method: String,
    #[serde(default)]
    params: Vec<String>,
}

#[derive(Serialize)]
struct Reply {
    id: serde_json::Value,
    result: Option<String>,
    error: Option<String>,
}

/// A command: its words, how many there may be, and what it does.
struct Command {
    name: &'static str,
    usage: &'static str,
    words: std::ops::RangeInclusive<usize>,
    run: Run,
}

/// Bridges and words go in; text, or what was wrong, comes out.
type Run = fn(&[Arc<ManagedBridge>], &[String]) -> Result<String, String>;

const COMMANDS: &[Command] = &[
    Command { name: "coverage/show", usage: "", words: 0..=0, run: drops },
    Command { name: "dpif/dump-flows", usage: "bridge", words: 1..=1, run: dump_flows },
    Command { name: "fdb/flush", usage: "[bridge]", words: 0..=1, run: fdb_flush },
    Command { name: "fdb/show", usage: "bridge", words: 1..=1, run: fdb_show },
    Command { name: "list-commands", usage: "", words: 0..=0, run: list },
    Command { name: "ofproto/list", usage: "", words: 0..=0, run: list_bridges },
    Command { name: "ofproto/trace", usage: "bridge flow", words: 2..=2, run: trace },
    Command { name: "version", usage: "", words: 0..=0, run: version },
];

/// Serves commands until the task ends.
pub(crate) async fn serve(listener: Listener, bridges: Bridges) {
    let limit = Arc::new(tokio::sync::Semaphore::new(MAX_CLIENTS));
    let mut clients = JoinSet::new();
    loop {
        let Ok(permit) = Arc::clone(&limit).acquire_owned().await else { return };
        let Ok(stream) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let bridges = Arc::clone(&bridges);
        clients.spawn(async move {
            let _ = converse(stream, &bridges).await;
            drop(permit);
        });
        while clients.try_join_next().is_some() {}
    }
}

async fn converse(mut stream: Stream, bridges: &Bridges) -> io::Result<()> {
    let mut held = Vec::new();
    let mut piece = vec![0; 16 * 1024];
    loop {
        let count = stream.read(&mut piece).await?;
        if count == 0 {
            return Ok(());
        }
        held.extend_from_slice(&piece[..count]);
        let (replies, used) = answer(&held, bridges)?;
        held.drain(..used);
        if held.len() > MAX_REQUEST {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let sent = timeout(STALL, stream.write_all(&replies)).await;
        sent.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))?;
    }
}

/// Answers every whole request; the answers, and how many bytes they took.
fn answer(held: &[u8], bridges: &Bridges) -> io::Result<(Vec<u8>, usize)> {
    let mut requests = serde_json::Deserializer::from_slice(held).into_iter::<Request>();
    let mut replies = Vec::new();
    let mut used = 0;
    while let Some(request) = requests.next() {
        match request {
            Ok(request) => {
                let known = bridges.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
                let outcome = run(&known, &request);
                let (result, error) = match outcome {
                    Ok(text) => (Some(text), None),
                    Err(text) => (None, Some(text)),
                };
                replies.extend(serde_json::to_vec(&Reply { id: request.id, result, error })?);
                used = requests.byte_offset();
            }
            Err(error) if error.is_eof() => break,
            Err(error) => return Err(error.into()),
        }
    }
    Ok((replies, used))
}

fn run(bridges: &[Arc<ManagedBridge>], request: &Request) -> Result<String, String> {
    let name = &request.method;
    let Some(command) = COMMANDS.iter().find(|command| command.name == name) else {
        return Err(format!(
            "\"{name}\" is not a valid command (use \"list-commands\" to see a list of valid commands)\n"
        ));
    };
    if request.params.len() < *command.words.start() {
        return Err(format!("\"{name}\" command requires at least {} arguments\n", command.words.start()));
    }
    if request.params.len() > *command.words.end() {
        return Err(format!("\"{name}\" command takes at most {} arguments\n", command.words.end()));
    }
    (command.run)(bridges, &request.params)
}

fn find<'a>(bridges: &'a [Arc<ManagedBridge>], name: &str) -> Result<&'a Arc<ManagedBridge>, String> {
    bridges.iter().find(|bridge| bridge.bridge.name == name).ok_or_else(|| "no such bridge\n".to_owned())
}

fn list(_: &[Arc<ManagedBridge>], _: &[String]) -> Result<String, String> {
    let mut text = String::from("The available commands are:\n");
    for Command { name, usage, .. } in COMMANDS {
        let _ = writeln!(text, "  {name:<23} {usage}");
    }
    Ok(text)
}

fn version(_: &[Arc<ManagedBridge>], _: &[String]) -> Result<String, String> {
    Ok(format!("heddle {}\n", env!("CARGO_PKG_VERSION")))
}

fn list_bridges(bridges: &[Arc<ManagedBridge>], _: &[String]) -> Result<String, String> {
    let mut names: Vec<&str> = bridges.iter().map(|bridge| bridge.bridge.name.as_str()).collect();
    names.sort_unstable();
    Ok(names.iter().map(|name| format!("{name}\n")).collect())
}

fn trace(bridges: &[Arc<ManagedBridge>], words: &[String]) -> Result<String, String> {
    find(bridges, &words[0])?.trace(&words[1]).map_err(|error| format!("{error}\n"))
}

fn fdb_show(bridges: &[Arc<ManagedBridge>], words: &[String]) -> Result<String, String> {
    let bridge = find(bridges, &words[0])?;
    bridge.flush();
    let now_ms = bridge.clock.now_ms();
    let mut text = String::from(" port  VLAN  MAC                Age\n");
    for entry in bridge.bridge.fdb.entries() {
        let [_, _, a, b, c, d, e, f] = entry.mac.to_be_bytes();
        let age = now_ms.saturating_sub(entry.used_ms.load(std::sync::atomic::Ordering::Relaxed)) / 1000;
        let _ = writeln!(
            text,
            "{:>5}  {:>4}  {a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}  {age:>3}",
            entry.port, entry.vlan
        );
    }
    Ok(text)
}

fn fdb_flush(bridges: &[Arc<ManagedBridge>], words: &[String]) -> Result<String, String> {
    let chosen = match words {
        [] => bridges,
        [name, ..] => std::slice::from_ref(find(bridges, name)?),
    };
    for bridge in chosen {
        if bridge.bridge.fdb.forget(|_| true) {
            bridge.bridge.touch();
        }
    }
    Ok("table successfully flushed\n".into())
}

fn dump_flows(bridges: &[Arc<ManagedBridge>], words: &[String]) -> Result<String, String> {
    Ok(find(bridges, &words[0])?.dump_megaflows())
}

fn drops(bridges: &[Arc<ManagedBridge>], _: &[String]) -> Result<String, String> {
    let Some(bridge) = bridges.first() else { return Ok(String::new()) };
    let drops = bridge.drops();
    Ok(drops.iter().map(|(reason, packets)| format!("{packets:>12} dropped: {reason}\n")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_answered_whole_and_in_order() {
        let bridges = Bridges::default();
        let text = br#"{"id":0,"method":"version","params":[]} {"id":1,"method":"no/such"} {"id":2,"met"#;
        let (replies, used) = answer(text, &bridges).unwrap();
        let replies = String::from_utf8(replies).unwrap();
        assert!(replies.starts_with("{\"id\":0,\"result\":\"heddle "), "{replies}");
        assert!(replies.contains("\"no/such\\\" is not a valid command"), "{replies}");
        assert_eq!(&text[used..], br#" {"id":2,"met"#);
        let (replies, _) =
            answer(br#"{"id":3,"method":"ofproto/trace","params":["br0"]}"#, &bridges).unwrap();
        assert!(String::from_utf8(replies).unwrap().contains("requires at least 2 arguments"));
    }

    #[test]
    fn what_is_no_request_ends_the_conversation() {
        for text in [&b"[]"[..], b"{\"id\":0,\"method\":1}", b"nonsense", &[b'['; 4096]] {
            assert!(answer(text, &Bridges::default()).is_err());
        }
    }
}
