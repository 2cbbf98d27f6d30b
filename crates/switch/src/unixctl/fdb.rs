//! `fdb/*`: learned addresses.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use heddle_daemon::unixctl::{Command, Outcome, Run};
use heddle_openflow::{port, text};
use heddle_pipeline::fdb::Entry;
use heddle_wire::MacAddr;

use super::{Known, find, known};
use crate::bridge::ManagedBridge;

pub(super) const COMMANDS: &[Command<Known>] = &[
    Command { name: "fdb/add", usage: "bridge port vlan mac", words: 4..=4, run: Run::Now(add) },
    Command { name: "fdb/del", usage: "bridge vlan mac", words: 3..=3, run: Run::Now(delete) },
    Command { name: "fdb/flush", usage: "[bridge]", words: 0..=1, run: Run::Now(flush) },
    Command { name: "fdb/show", usage: "[bridge...]", words: 0..=usize::MAX, run: Run::Now(show) },
    Command { name: "fdb/stats-clear", usage: "[bridge]", words: 0..=1, run: Run::Now(clear_stats) },
    Command { name: "fdb/stats-show", usage: "bridge", words: 1..=1, run: Run::Now(show_stats) },
];

/// The bridges that are named, or all.
fn chosen(bridges: &Known, words: &[String]) -> Result<Vec<Arc<ManagedBridge>>, String> {
    if words.is_empty() {
        return Ok(known(bridges));
    }
    words.iter().map(|name| find(bridges, name)).collect()
}

fn print_mac(mac: u64) -> MacAddr {
    let [_, _, bytes @ ..] = mac.to_be_bytes();
    MacAddr(bytes)
}

/// The entries, that not seen for the longest first.
fn entries(bridge: &ManagedBridge) -> Vec<Arc<Entry>> {
    let mut entries = bridge.bridge.fdb.entries();
    entries.sort_by_key(|entry| entry.used_ms.load(Ordering::Relaxed));
    entries
}

fn show(bridges: &Known, words: &[String]) -> Outcome {
    if let Some(name) = words.iter().find(|name| find(bridges, name).is_err()) {
        return Err(format!("no such bridge {name}"));
    }
    let chosen = chosen(bridges, words)?;
    let longest = chosen.iter().map(|bridge| bridge.bridge.name.len()).max().unwrap_or(0);
    // The column of bridges is there where there are several.
    let width = if chosen.len() > 1 { longest.max("Bridge".len()) + 1 } else { 0 };
    let column = |name: &str| if width == 0 { String::new() } else { format!(" {name:<width$}") };
    let mut text = format!("{} Port  VLAN  MAC                Age\n", column("Bridge"));
    for bridge in chosen {
        bridge.flush();
        let now_ms = bridge.clock.now_ms();
        let mut name = bridge.bridge.name.as_str();
        for entry in entries(&bridge) {
            let port = port::name(entry.port).map_or_else(|| entry.port.to_string(), str::to_owned);
            let age = now_ms.saturating_sub(entry.used_ms.load(Ordering::Relaxed)) / 1000;
            let age = if entry.is_static { "static".to_owned() } else { format!("{age:>3}") };
            let mac = print_mac(entry.mac);
            let _ = writeln!(text, "{}{port:>5}  {:>4}  {mac}  {age}", column(name), entry.vlan);
            name = "";
        }
        if width != 0 && !name.is_empty() {
            let _ = writeln!(text, " {name}");
        }
    }
    Ok(text)
}

fn flush(bridges: &Known, words: &[String]) -> Outcome {
    for bridge in chosen(bridges, words)? {
        if bridge.bridge.fdb.forget(|entry| !entry.is_static) {
            bridge.bridge.touch();
        }
    }
    Ok("table successfully flushed".into())
}

fn parse(vlan: &str, mac: &str) -> Result<(u16, u64), String> {
    let vlan = vlan.parse().ok().filter(|vlan| *vlan < 4096).ok_or_else(|| format!("bad VLAN {vlan}"))?;
    let mac = text::parse_mac(mac).map_err(|_| "bad MAC address".to_owned())?;
    Ok((vlan, mac as u64))
}

fn add(bridges: &Known, words: &[String]) -> Outcome {
    let bridge = find(bridges, &words[0])?;
    let (vlan, mac) = parse(&words[2], &words[3])?;
    let Some(number) = bridge.bridge.snapshot().port_by_name(&words[1]).map(|port| port.number) else {
        return Err(format!("bridge {} has no port {}", words[0], words[1]));
    };
    let Ok(old) = bridge.bridge.fdb.add_static(vlan, mac, number, bridge.clock.now_ms()) else {
        return Err("could not add static mac entry".into());
    };
    bridge.bridge.touch_address(vlan, mac);
    let overridden = old.filter(|old| old.port != number || !old.is_static).map(|old| {
        let kind = if old.is_static { "static" } else { "dynamic" };
        let port = port::name(old.port).map_or_else(|| old.port.to_string(), str::to_owned);
        format!("Overriding already existing {kind} entry on {port}\n")
    });
    Ok(overridden.unwrap_or_default())
}

fn delete(bridges: &Known, words: &[String]) -> Outcome {
    let bridge = find(bridges, &words[0])?;
    let (vlan, mac) = parse(&words[1], &words[2])?;
    let is_it = |entry: &Entry| entry.is_static && entry.vlan == vlan && entry.mac == mac;
    if !bridge.bridge.fdb.forget(is_it) {
        return Err("could not find static mac entry".into());
    }
    bridge.bridge.touch_address(vlan, mac);
    Ok(String::new())
}

fn show_stats(bridges: &Known, words: &[String]) -> Outcome {
    let bridge = find(bridges, &words[0])?;
    let fdb = &bridge.bridge.fdb;
    let entries = fdb.entries();
    let of = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
    Ok(format!(
        "Statistics for bridge \"{}\":\n  \
        Current/maximum MAC entries in the table: {}/{}\n  \
        Current static MAC entries in the table : {}\n  \
        Total number of learned MAC entries     : {}\n  \
        Total number of expired MAC entries     : {}\n  \
        Total number of evicted MAC entries     : 0\n  \
        Total number of port moved MAC entries  : {}\n",
        words[0],
        entries.len(),
        fdb.most(),
        entries.iter().filter(|entry| entry.is_static).count(),
        of(&fdb.stats.learned),
        of(&fdb.stats.expired),
        of(&fdb.stats.moved)
    ))
}

fn clear_stats(bridges: &Known, words: &[String]) -> Outcome {
    for bridge in chosen(bridges, words)? {
        let stats = &bridge.bridge.fdb.stats;
        for counter in [&stats.learned, &stats.expired, &stats.moved] {
            counter.store(0, Ordering::Relaxed);
        }
    }
    Ok("statistics successfully cleared".into())
}
