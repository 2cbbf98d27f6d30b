//! Commands of operators on bridges: names, words and text are those of Open vSwitch, whose users, scripts and tests read
//! them.
//!
//! A file each for what they are about, each with its table. What they work on is the bridges that are served; all of them
//! share one datapath, one clock and one network.

mod bridge;
mod datapath;
mod datapath_flows;
mod dummy;
mod fdb;
mod time;
mod trace;
mod tree;
mod upcall;

use std::sync::{Arc, Mutex, PoisonError};

use heddle_daemon::unixctl::Commands;
use heddle_netdev::Netdev;
use heddle_pipeline::trace::NetworkNames;

use crate::bridge::ManagedBridge;
use crate::server::Bridges;

pub(crate) use trace::explain;

/// What the commands work on.
type Known = Mutex<Vec<Arc<ManagedBridge>>>;

/// Adds the commands.
pub fn add_to(commands: &mut Commands, bridges: &Bridges) {
    for table in [
        bridge::COMMANDS,
        datapath::COMMANDS,
        datapath_flows::COMMANDS,
        dummy::COMMANDS,
        fdb::COMMANDS,
        time::COMMANDS,
        trace::COMMANDS,
        tree::COMMANDS,
        upcall::COMMANDS,
    ] {
        commands.add_table(bridges, table);
    }
}

/// The bridges, by name.
fn known(bridges: &Known) -> Vec<Arc<ManagedBridge>> {
    let mut bridges = bridges.lock().unwrap_or_else(PoisonError::into_inner).clone();
    bridges.sort_by(|a, b| a.bridge.name.cmp(&b.bridge.name));
    bridges
}

fn find(bridges: &Known, name: &str) -> Result<Arc<ManagedBridge>, String> {
    let mut bridges = known(bridges).into_iter();
    bridges.find(|bridge| bridge.bridge.name == name).ok_or_else(|| "no such bridge".to_owned())
}

/// Any bridge, for what all of them share.
fn any(bridges: &Known) -> Result<Arc<ManagedBridge>, String> {
    known(bridges)
        .into_iter()
        .next()
        .ok_or_else(|| "there is no datapath, because there is no bridge".to_owned())
}

/// The devices of all bridges, by datapath port.
fn devices(bridges: &[Arc<ManagedBridge>]) -> Vec<(u32, Arc<dyn Netdev>)> {
    let mut all: Vec<(u32, Arc<dyn Netdev>)> = Vec::new();
    for bridge in bridges {
        let devices = bridge.devices();
        all.extend(devices.values().map(|device| (device.datapath_port, Arc::clone(&device.netdev))));
    }
    all.sort_by_key(|(port, _)| *port);
    all
}

/// The names of datapath ports.
fn port_names(bridges: &[Arc<ManagedBridge>]) -> Vec<(u32, String)> {
    devices(bridges).into_iter().map(|(port, netdev)| (port, netdev.name().to_owned())).collect()
}

/// The type and name of the datapath. Dummies and devices of the kernel are forwarded by the same one; it is called by
/// what is in it.
fn datapath_name(bridges: &[Arc<ManagedBridge>]) -> &'static str {
    let dummies = devices(bridges).iter().any(|(_, netdev)| netdev.kind().starts_with("dummy"));
    if dummies { "dummy@ovs-dummy" } else { "netdev@ovs-netdev" }
}

/// Whether a word names the datapath, with its type or without.
fn names_datapath(word: &str, bridges: &[Arc<ManagedBridge>]) -> bool {
    let name = datapath_name(bridges);
    let short = name.split_once('@').map_or(name, |(_, short)| short);
    word == name || word == short || word == short.trim_start_matches("ovs-")
}

/// How ports and packets for controllers are written.
fn names<'a>(bridge: &'a ManagedBridge, ports: &'a [(u32, String)], by_name: bool) -> NetworkNames<'a> {
    NetworkNames { network: bridge.network(), ports, by_name }
}
