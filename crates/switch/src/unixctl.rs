//! Commands of operators on bridges.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

use heddle_daemon::unixctl::{Command, Commands, Outcome, Run};

use crate::bridge::ManagedBridge;
use crate::server::Bridges;

/// What the commands work on.
type Known = Mutex<Vec<Arc<ManagedBridge>>>;

const COMMANDS: &[Command<Known>] = &[
    Command { name: "coverage/show", usage: "", words: 0..=0, run: Run::Now(drops) },
    Command { name: "dpif/dump-flows", usage: "bridge", words: 1..=1, run: Run::Now(dump_flows) },
    Command { name: "fdb/flush", usage: "[bridge]", words: 0..=1, run: Run::Now(fdb_flush) },
    Command { name: "fdb/show", usage: "bridge", words: 1..=1, run: Run::Now(fdb_show) },
    Command { name: "ofproto/list", usage: "", words: 0..=0, run: Run::Now(list_bridges) },
    Command { name: "ofproto/trace", usage: "bridge flow", words: 2..=2, run: Run::Now(trace) },
];

/// Adds the commands.
pub fn add_to(commands: &mut Commands, bridges: &Bridges) {
    commands.add_table(bridges, COMMANDS);
}

fn known(bridges: &Known) -> Vec<Arc<ManagedBridge>> {
    bridges.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

fn find(bridges: &Known, name: &str) -> Result<Arc<ManagedBridge>, String> {
    known(bridges)
        .into_iter()
        .find(|bridge| bridge.bridge.name == name)
        .ok_or_else(|| "no such bridge\n".to_owned())
}

fn list_bridges(bridges: &Known, _: &[String]) -> Outcome {
    let bridges = known(bridges);
    let mut names: Vec<&str> = bridges.iter().map(|bridge| bridge.bridge.name.as_str()).collect();
    names.sort_unstable();
    Ok(names.iter().map(|name| format!("{name}\n")).collect())
}

fn trace(bridges: &Known, words: &[String]) -> Outcome {
    find(bridges, &words[0])?.trace(&words[1]).map_err(|error| format!("{error}\n"))
}

fn fdb_show(bridges: &Known, words: &[String]) -> Outcome {
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

fn fdb_flush(bridges: &Known, words: &[String]) -> Outcome {
    let chosen = match words {
        [] => known(bridges),
        [name, ..] => vec![find(bridges, name)?],
    };
    for bridge in chosen {
        if bridge.bridge.fdb.forget(|_| true) {
            bridge.bridge.touch();
        }
    }
    Ok("table successfully flushed\n".into())
}

fn dump_flows(bridges: &Known, words: &[String]) -> Outcome {
    Ok(find(bridges, &words[0])?.dump_megaflows())
}

fn drops(bridges: &Known, _: &[String]) -> Outcome {
    let Some(bridge) = known(bridges).into_iter().next() else { return Ok(String::new()) };
    let drops = bridge.drops();
    Ok(drops.iter().map(|(reason, packets)| format!("{packets:>12} dropped: {reason}\n")).collect())
}
