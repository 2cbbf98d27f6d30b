//! Changes of ports (OpenFlow 1.3.5 section 7.3.4.3).

use heddle_openflow::message::Version;
use heddle_openflow::modify::PortMod;
use heddle_openflow::{Body, OfError, port};
use heddle_pipeline::Snapshot;

use crate::bridge::ManagedBridge;

/// The configuration that a port is to have.
///
/// # Errors
/// The error that the specification names.
pub(super) fn wanted(port_mod: &PortMod, version: Version, bridge: &ManagedBridge) -> Result<u32, OfError> {
    let snapshot = bridge.bridge.snapshot();
    let old = snapshot.ports.get(&port_mod.number).ok_or(OfError::PortModBadPort)?;
    if old.mac != port_mod.mac {
        return Err(OfError::PortModBadAddress);
    }
    let known = match version {
        Version::V1_0 => port::config::ALL_10,
        _ => port::config::ALL,
    };
    if port_mod.mask & !known != 0 {
        return Err(OfError::PortModBadConfig);
    }
    Ok(old.config & !port_mod.mask | port_mod.config & port_mod.mask)
}

/// Changes a port, as the connection `by` asks.
pub(super) fn set(
    port_mod: &PortMod,
    by: u64,
    version: Version,
    bridge: &ManagedBridge,
) -> Result<Option<Body>, OfError> {
    let config = wanted(port_mod, version, bridge)?;
    let before = bridge.bridge.snapshot();
    if before.ports.get(&port_mod.number).is_some_and(|port| port.config != config) {
        switch_device(port_mod.number, &before, config, bridge);
        bridge.change_port(port_mod.number, Some(by), |port| port.config = config);
        bridge.messages_came.notify_one();
    }
    Ok(None)
}

fn switch_device(number: u32, before: &Snapshot, config: u32, bridge: &ManagedBridge) {
    let Some(old) = before.ports.get(&number) else { return };
    if (config ^ old.config) & port::config::DOWN != 0
        && let Some(netdev) = bridge.netdev(number)
    {
        // A device that cannot be switched is cut off all the same: the pipeline neither takes from it nor gives to it.
        let _ = netdev.set_admin_up(!old.link_down && config & port::config::DOWN == 0);
    }
}

/// Does what remains to be done for ports whose configuration a bundle of the connection `by` has changed.
pub(super) fn changed(before: &Snapshot, by: u64, bridge: &ManagedBridge) {
    let after = bridge.bridge.snapshot();
    for port in after.ports.values() {
        let Some(old) = before.ports.get(&port.number).filter(|old| old.config != port.config) else {
            continue;
        };
        switch_device(old.number, before, port.config, bridge);
        for (_, new) in bridge.alter_ports(&[port.number], |_| (), |_| ()) {
            bridge.tell_changed(old, &new, Some(by));
        }
    }
}
