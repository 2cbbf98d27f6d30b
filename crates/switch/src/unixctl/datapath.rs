//! `dpif/*`, `dpctl/*`, `dpif-netdev/*`: the datapath and its ports.

use std::fmt::Write as _;
use std::sync::Arc;

use heddle_daemon::unixctl::{Command, Outcome, Run};
use heddle_netdev::Netdev;
use heddle_openflow::port;
use heddle_pipeline::Attachment;

use super::{Known, any, datapath_name, devices, find, known, names_datapath};
use crate::bridge::ManagedBridge;

pub(super) const COMMANDS: &[Command<Known>] = &[
    Command { name: "coverage/show", usage: "", words: 0..=0, run: Run::Now(drops) },
    Command {
        name: "dpctl/add-if",
        usage: "dp netdev...",
        words: 2..=usize::MAX,
        run: Run::Now(add_interface),
    },
    Command {
        name: "dpctl/del-if",
        usage: "dp netdev...",
        words: 2..=usize::MAX,
        run: Run::Now(remove_interfaces),
    },
    Command { name: "dpctl/dump-dps", usage: "", words: 0..=0, run: Run::Now(dump_dps) },
    Command {
        name: "dpctl/show",
        usage: "[-s] [dp...]",
        words: 0..=usize::MAX,
        run: Run::Now(show_datapath),
    },
    Command {
        name: "dpif-netdev/pmd-stats-clear",
        usage: "[-pmd core] [dp]",
        words: 0..=3,
        run: Run::Now(clear),
    },
    Command {
        name: "dpif-netdev/pmd-stats-show",
        usage: "[-pmd core] [dp]",
        words: 0..=3,
        run: Run::Now(pmd),
    },
    Command { name: "dpif/dump-dps", usage: "", words: 0..=0, run: Run::Now(dump_bridges) },
    Command {
        name: "dpif/set-dp-features",
        usage: "[--force] bridge [feature [value]]",
        words: 1..=4,
        run: Run::Now(|_, _| Err("what this datapath supports cannot be changed".into())),
    },
    Command { name: "dpif/show", usage: "", words: 0..=0, run: Run::Now(show) },
    Command { name: "dpif/show-dp-features", usage: "bridge", words: 1..=1, run: Run::Now(show_features) },
];

/// What the datapath can, by the names that Open vSwitch has for it.
const FEATURES: &[(&str, &str)] = &[
    ("Masked set action", "Yes"),
    ("Tunnel push pop", "No"),
    ("Ufid", "Yes"),
    ("Truncate action", "No"),
    ("Clone action", "Yes"),
    ("Sample nesting", "0"),
    ("Conntrack eventmask", "No"),
    ("Conntrack clear", "No"),
    ("Max dp_hash algorithm", "0"),
    ("Check pkt length action", "No"),
    ("Conntrack timeout policy", "No"),
    ("Explicit Drop action", "No"),
    ("Optimized Balance TCP mode", "No"),
    ("Conntrack all-zero IP SNAT", "No"),
    ("MPLS Label add", "No"),
    ("psample action", "No"),
    ("Max VLAN headers", "2"),
    ("Max MPLS depth", "3"),
    ("Recirc", "Yes"),
    ("CT state", "No"),
    ("CT zone", "No"),
    ("CT mark", "No"),
    ("CT label", "No"),
    ("CT state NAT", "No"),
    ("CT orig tuple", "No"),
    ("CT orig tuple for IPv6", "No"),
    ("IPv6 ND Extension", "No"),
];

fn show_features(bridges: &Known, words: &[String]) -> Outcome {
    find(bridges, &words[0])?;
    Ok(FEATURES.iter().map(|(name, value)| format!("{name}: {value}\n")).collect())
}

fn dump_dps(bridges: &Known, _: &[String]) -> Outcome {
    let bridges = known(bridges);
    Ok(if bridges.is_empty() { String::new() } else { format!("{}\n", datapath_name(&bridges)) })
}

fn dump_bridges(bridges: &Known, _: &[String]) -> Outcome {
    let bridges = known(bridges);
    let kind = datapath_name(&bridges).split('@').next().unwrap_or_default();
    Ok(bridges.iter().map(|bridge| format!("{kind}@{}\n", bridge.bridge.name)).collect())
}

/// A device of the datapath is always a bridge's port: none could say what becomes of its packets else.
fn add_interface(_: &Known, words: &[String]) -> Outcome {
    let name = words[1].split(',').next().unwrap_or_default();
    Err(format!("{name}: a device comes into the datapath as a port of a bridge; use ovs-vsctl add-port"))
}

/// Takes devices out of the datapath, with their ports: by name, or by number there. As in Open vSwitch, the database still
/// asks for them, so that its next change brings them back.
fn remove_interfaces(bridges: &Known, words: &[String]) -> Outcome {
    let bridges = known(bridges);
    if !names_datapath(&words[0], &bridges) {
        return Err(format!("opening datapath {} failed (No such device)", words[0]));
    }
    for word in &words[1..] {
        let port = bridges.iter().find_map(|bridge| {
            let devices = bridge.devices();
            let is_meant = |device: &crate::bridge::Device| {
                device.netdev.name() == word || word.parse() == Ok(device.datapath_port)
            };
            let (number, _) = devices.iter().find(|(_, device)| is_meant(device))?;
            Some((Arc::clone(bridge), *number))
        });
        let (bridge, number) = port.ok_or_else(|| format!("no port named {word}"))?;
        bridge.detach(number);
        log::warn!(target: "dpif", "{}: an operator took {word} out of the datapath", bridge.bridge.name);
    }
    Ok(String::new())
}

/// Packets decided by a cached decision, and by translation.
fn lookups(bridge: &ManagedBridge) -> (u64, u64, usize) {
    let counted = |context: &mut heddle_datapath::poll::Context<_>| {
        (context.engine.hits(), context.engine.upcalls(), context.engine.flow_limit().1)
    };
    bridge.datapath().ask(counted).unwrap_or_default()
}

/// Every bridge with its ports, and the numbers that these have with OpenFlow and in the datapath.
fn show(bridges: &Known, _: &[String]) -> Outcome {
    let bridges = known(bridges);
    let Some(first) = bridges.first() else { return Ok(String::new()) };
    let (hits, misses, _) = lookups(first);
    let mut text = format!("{}: hit:{hits} missed:{misses}\n", datapath_name(&bridges));
    for bridge in &bridges {
        let _ = writeln!(text, "  {}:", bridge.bridge.name);
        let snapshot = bridge.bridge.snapshot();
        let mut ports: Vec<_> = snapshot.ports.values().collect();
        ports.sort_by(|a, b| a.name.cmp(&b.name));
        for port in ports {
            let number = port::to_16(port.number).map_or(port.number, u32::from);
            let (datapath_port, kind) = match (&port.attachment, bridge.netdev(port.number)) {
                (Attachment::Device(datapath_port), netdev) => {
                    let kind = netdev.map_or("system", |netdev| kind_of(&*netdev));
                    let is_own = port.number == port::LOCAL && kind == "dummy";
                    (datapath_port.to_string(), if is_own { "dummy-internal" } else { kind }.to_owned())
                }
                (Attachment::Patch { port, .. }, _) => ("none".to_owned(), format!("patch: peer={port}")),
                (Attachment::Link { line, port, .. }, _) => (line.to_string(), format!("link: peer={port}")),
                (Attachment::Local, _) => ("none".to_owned(), "internal".to_owned()),
            };
            let _ = writeln!(text, "    {} {number}/{datapath_port}: ({kind})", port.name);
        }
    }
    Ok(text)
}

/// The type of a device, as the database calls it.
fn kind_of(netdev: &dyn Netdev) -> &'static str {
    match netdev.kind() {
        "packet" => "system",
        kind => kind,
    }
}

fn show_datapath(bridges: &Known, words: &[String]) -> Outcome {
    let all = known(bridges);
    let statistics = words.iter().any(|word| word == "-s" || word == "--statistics");
    for word in words.iter().filter(|word| !word.starts_with('-')) {
        if !names_datapath(word, &all) {
            return Err(format!("opening datapath {word} failed (No such device)"));
        }
    }
    let Some(first) = all.first() else { return Ok(String::new()) };
    let (hits, misses, flows) = lookups(first);
    let name = datapath_name(&all);
    let mut text = format!("{name}:\n  lookups: hit:{hits} missed:{misses} lost:0\n  flows: {flows}\n");
    let (kind, local) = name.split_once('@').unwrap_or((name, name));
    let internal = if kind == "dummy" { "dummy-internal" } else { "tap" };
    let _ = writeln!(text, "  port 0: {local} ({internal})");
    for (number, netdev) in devices(&all) {
        let kind = kind_of(&*netdev);
        let kind = if kind == "system" { String::new() } else { format!(" ({kind})") };
        let _ = writeln!(text, "  port {number}: {}{kind}", netdev.name());
        if statistics {
            print_statistics(&mut text, &netdev);
        }
    }
    Ok(text)
}

fn print_statistics(text: &mut String, netdev: &Arc<dyn Netdev>) {
    let of = netdev.statistics();
    let _ = writeln!(
        text,
        "    RX packets:{} errors:{} dropped:{} overruns:? frame:?\n    \
        TX packets:{} errors:{} dropped:{} aborted:? carrier:?\n    collisions:?\n    \
        RX bytes:{}  TX bytes:{}",
        of.rx_packets,
        of.rx_errors,
        of.rx_dropped,
        of.tx_packets,
        of.tx_errors,
        of.tx_dropped,
        of.rx_bytes,
        of.tx_bytes
    );
}

/// What the poll thread has done.
fn pmd(bridges: &Known, _: &[String]) -> Outcome {
    let bridge = any(bridges)?;
    let (hits, misses, _) = lookups(&bridge);
    Ok(format!(
        "main thread:\n  packets received: {}\n  packet recirculations: 0\n  \
        avg. datapath passes per packet: {}\n  phwol hits: 0\n  mfex opt hits: 0\n  simple match hits: 0\n  \
        emc hits: 0\n  smc hits: 0\n  megaflow hits: {hits}\n  avg. subtable lookups per megaflow hit: {}\n  \
        miss with success upcall: {misses}\n  miss with failed upcall: 0\n  \
        avg. packets per output batch: 0.00\n",
        hits + misses,
        if hits + misses == 0 { "0.00" } else { "1.00" },
        if hits == 0 { "0.00" } else { "1.00" },
    ))
}

/// Counters that the datapath itself needs do not begin anew.
fn clear(bridges: &Known, _: &[String]) -> Outcome {
    any(bridges)?;
    Err("the counters of this datapath are never cleared".into())
}

fn drops(bridges: &Known, _: &[String]) -> Outcome {
    let Ok(bridge) = any(bridges) else { return Ok(String::new()) };
    let drops = bridge.drops();
    Ok(drops.iter().map(|(reason, packets)| format!("{packets:>12} dropped: {reason}\n")).collect())
}
