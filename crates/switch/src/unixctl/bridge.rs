//! `ofproto/list`, `bridge/*`: the bridges and their flows.

use std::fmt::Write as _;
use std::sync::atomic::Ordering;

use heddle_daemon::unixctl::{Command, Outcome, Run};
use heddle_openflow::text::{print_instructions, print_match};
use heddle_pipeline::Flow;

use super::{Known, find, known};

/// Priority of a flow that names none.
const DEFAULT_PRIORITY: u32 = 0x8000;
/// Priority that hidden flows are shown with, above what messages can say, as in Open vSwitch.
const HIDDEN_PRIORITY: u32 = 180_000;

pub(super) const COMMANDS: &[Command<Known>] = &[
    Command {
        name: "bridge/dump-flows",
        usage: "[--offload-stats] bridge",
        words: 1..=2,
        run: Run::Now(dump_flows),
    },
    Command { name: "bridge/reconnect", usage: "[bridge]", words: 0..=1, run: Run::Now(reconnect) },
    Command { name: "ofproto/list", usage: "", words: 0..=0, run: Run::Now(list) },
];

fn list(bridges: &Known, _: &[String]) -> Outcome {
    Ok(known(bridges).iter().map(|bridge| format!("{}\n", bridge.bridge.name)).collect())
}

/// Ends the connections to the controllers of a bridge, or of all, which are then called anew.
fn reconnect(bridges: &Known, words: &[String]) -> Outcome {
    let chosen = match words {
        [name] => vec![find(bridges, name).map_err(|_| "unknown bridge".to_owned())?],
        _ => known(bridges),
    };
    for bridge in chosen {
        bridge.reconnecting.notify_waiters();
    }
    Ok(String::new())
}

/// Every flow, the hidden ones too: what becomes of packets that no flow takes stands in a table of its own, as Open
/// vSwitch has it.
fn dump_flows(bridges: &Known, words: &[String]) -> Outcome {
    let (offloads, name) = match words {
        [option, name] if option == "--offload-stats" => (true, name),
        [name] => (false, name),
        _ => return Err("the words are [--offload-stats] bridge".into()),
    };
    let bridge = find(bridges, name)?;
    bridge.flush();
    let now_ms = bridge.clock.now_ms();
    let offloaded = if offloads { "n_offload_packets=0, n_offload_bytes=0, " } else { "" };
    let mut text = String::new();
    let snapshot = bridge.bridge.snapshot();
    for flow in snapshot.hidden.iter() {
        let _ = writeln!(text, "{}", print_flow(flow, HIDDEN_PRIORITY, now_ms, offloaded));
    }
    for flow in snapshot.flows() {
        let _ = writeln!(text, "{}", print_flow(&flow, flow.priority.into(), now_ms, offloaded));
    }
    let missed: u64 = bridge
        .bridge
        .tables
        .iter()
        .map(|table| {
            table.lookups.load(Ordering::Relaxed).saturating_sub(table.matched.load(Ordering::Relaxed))
        })
        .sum();
    for (packets, flow) in [
        (0, "priority=2,recirc_id=0,actions=drop"),
        (0, "priority=0,reg0=0x1,actions=controller(reason=)"),
        (missed, "priority=0,reg0=0x2,actions=drop"),
        (0, "priority=0,reg0=0x3,actions=drop"),
    ] {
        let age = now_ms / 1000;
        let _ = writeln!(
            text,
            "table_id=254, duration={age}s, n_packets={packets}, n_bytes=0, {offloaded}{flow}"
        );
    }
    Ok(text)
}

fn print_flow(flow: &Flow, priority: u32, now_ms: u64, offloaded: &str) -> String {
    let mut text = String::new();
    if flow.cookie != 0 {
        let _ = write!(text, "cookie={:#x}, ", flow.cookie);
    }
    if flow.table != 0 {
        let _ = write!(text, "table_id={}, ", flow.table);
    }
    let _ = write!(
        text,
        "duration={}s, n_packets={}, n_bytes={}, {offloaded}",
        now_ms.saturating_sub(flow.created_ms) / 1000,
        flow.stats.packets.load(Ordering::Relaxed),
        flow.stats.bytes.load(Ordering::Relaxed)
    );
    let priority = (priority != DEFAULT_PRIORITY).then(|| format!("priority={priority}"));
    let matching = Some(print_match(&flow.matching.expand())).filter(|matching| !matching.is_empty());
    let words: Vec<String> = priority.into_iter().chain(matching).collect();
    let _ = write!(text, "{},actions={}", words.join(","), print_instructions(&flow.instructions));
    text
}
