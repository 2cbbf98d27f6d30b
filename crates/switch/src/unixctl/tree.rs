//! `stp/*` and `rstp/*`: spanning trees.

use std::fmt::Write as _;
use std::sync::Arc;

use heddle_daemon::unixctl::{Command, Outcome, Run};
use heddle_pipeline::tree::Protocol;
use heddle_stp::{BridgeId, Times};
use heddle_wire::MacAddr;

use super::{Known, find, known};
use crate::bridge::ManagedBridge;
use crate::tree::{PortView, TreeView, rstp_role};

pub(super) const COMMANDS: &[Command<Known>] = &[
    Command { name: "rstp/show", usage: "[bridge]", words: 0..=1, run: Run::Now(show_rstp) },
    Command { name: "rstp/tcn", usage: "[bridge]", words: 0..=1, run: Run::Now(change_rstp) },
    Command { name: "stp/show", usage: "[bridge]", words: 0..=1, run: Run::Now(show_stp) },
    Command { name: "stp/tcn", usage: "[bridge]", words: 0..=1, run: Run::Now(change_stp) },
];

/// The bridges that take part in a tree of this protocol: the one that is named, or all.
fn chosen(
    bridges: &Known,
    words: &[String],
    protocol: Protocol,
) -> Result<Vec<(Arc<ManagedBridge>, TreeView)>, String> {
    let none = match protocol {
        Protocol::Stp => "no such stp object",
        Protocol::Rstp => "No such RSTP object",
    };
    let named = match words.first() {
        Some(name) => vec![find(bridges, name).map_err(|_| none.to_owned())?],
        None => known(bridges),
    };
    let viewed = named.into_iter().filter_map(|bridge| {
        // What links are now is said, and not what they were at the last look.
        bridge.run_tree();
        let view = bridge.tree_view().filter(|view| view.protocol == protocol)?;
        Some((bridge, view))
    });
    let chosen: Vec<_> = viewed.collect();
    if chosen.is_empty() && !words.is_empty() { Err(none.into()) } else { Ok(chosen) }
}

fn show_stp(bridges: &Known, words: &[String]) -> Outcome {
    show(bridges, words, Protocol::Stp)
}

fn show_rstp(bridges: &Known, words: &[String]) -> Outcome {
    show(bridges, words, Protocol::Rstp)
}

fn change_stp(bridges: &Known, words: &[String]) -> Outcome {
    change(bridges, words, Protocol::Stp)
}

fn change_rstp(bridges: &Known, words: &[String]) -> Outcome {
    change(bridges, words, Protocol::Rstp)
}

fn change(bridges: &Known, words: &[String], protocol: Protocol) -> Outcome {
    for (bridge, _) in chosen(bridges, words, protocol)? {
        bridge.change_topology(protocol);
    }
    Ok("OK".into())
}

fn show(bridges: &Known, words: &[String], protocol: Protocol) -> Outcome {
    let chosen = chosen(bridges, words, protocol)?;
    Ok(chosen.iter().map(|(bridge, view)| print(bridge, view)).collect())
}

/// An identifier and its times. Open vSwitch sets the priority's column differently for the two protocols.
fn print_id(protocol: Protocol, id: BridgeId, times: Times) -> String {
    let priority = match protocol {
        Protocol::Stp => "stp-priority  ",
        Protocol::Rstp => "stp-priority    ",
    };
    let Times { hello_time, max_age, forward_delay, .. } = times;
    format!(
        "  {priority}{}\n  stp-system-id   {}\n  stp-hello-time  {hello_time}s\n  stp-max-age     {max_age}s\n  \
         stp-fwd-delay   {forward_delay}s\n",
        id.priority(),
        MacAddr(id.mac())
    )
}

fn print(bridge: &ManagedBridge, view: &TreeView) -> String {
    let snapshot = bridge.bridge.snapshot();
    let name = |number: u32| snapshot.ports.get(&number).map_or_else(String::new, |port| port.name.clone());
    let protocol = view.protocol;
    let mut out = format!("---- {} ----\nRoot ID:\n", bridge.bridge.name);
    out += &print_id(protocol, view.root, view.times);
    match view.root_port.filter(|_| !view.is_root()) {
        None => out += "  This bridge is the root\n",
        Some(port) => {
            let _ = writeln!(out, "  root-port       {}\n  root-path-cost  {}", name(port), view.way.cost);
        }
    }
    out += "\nBridge ID:\n";
    out += &print_id(protocol, view.id, view.own_times);
    let width = match protocol {
        Protocol::Stp => 6,
        Protocol::Rstp => 9,
    };
    let _ = writeln!(
        out,
        "\n  {:<11}{:<11}{:<11}{:<width$}{:<8}\n  ---------- ---------- ---------- {:-<dashes$} -------",
        "Interface",
        "Role",
        "State",
        "Cost",
        "Pri.Nbr",
        "",
        dashes = width - 1
    );
    for port in view.ports.iter().filter(|port| port.enabled) {
        out += &print_port(protocol, &name(port.number), port, width);
    }
    out + "\n"
}

fn print_port(protocol: Protocol, name: &str, port: &PortView, width: usize) -> String {
    let (role, state) = match protocol {
        Protocol::Stp => (port.role.name().to_owned(), port.state.stp_name()),
        Protocol::Rstp => (rstp_role(port.role), port.state.rstp_name()),
    };
    let PortView { path_cost, priority, tree_number, .. } = port;
    format!("  {name:<11.10}{role:<11.10}{state:<11.10}{path_cost:<width$}{priority}.{tree_number}\n")
}
