//! Ports of a bridge: their devices, what controllers are told of them, their queues and counters.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;

use heddle_netdev::Netdev;
use heddle_openflow::multipart::PortStats;
use heddle_openflow::{PortDesc, port};
use heddle_pipeline::{Port, Snapshot};
use heddle_stp::State;

use super::{Event, ManagedBridge};
use crate::config::PortQueues;
use crate::connection::port_description;

/// Reasons of a port-status.
const PORT_ADDED: u8 = 0;
const PORT_DELETED: u8 = 1;
const PORT_MODIFIED: u8 = 2;

/// A device of a port.
pub(crate) struct Device {
    /// Its number in the datapath.
    pub(crate) datapath_port: u32,
    /// The device.
    pub(crate) netdev: Arc<dyn Netdev>,
    /// When it was attached, by the datapath's clock.
    pub(crate) added_ms: u64,
}

impl ManagedBridge {
    /// Shows a port to translations and controllers. Where the bridge has a spanning tree it blocks until that says
    /// otherwise.
    pub(crate) fn add_port(&self, mut port: Port) {
        port.no_carrier = self.netdev(port.number).is_some_and(|netdev| !is_up(&*netdev));
        self.bridge.publish(|snapshot, changes| {
            if snapshot.tree.is_some() && port.number != port::LOCAL {
                port.tree = State::Blocking;
            }
            snapshot.ports.insert_mut(port.number, Arc::new(port.clone()));
            changes.everything();
        });
        self.tell(Event::PortStatus(PORT_ADDED, Box::new(port_description(&port, self))));
    }

    /// A port as controllers see it now.
    pub(crate) fn described(&self, number: u32) -> Option<PortDesc> {
        self.bridge.snapshot().ports.get(&number).map(|port| port_description(port, self))
    }

    /// Takes a port away from translations and controllers, and forgets what was learned on it. `was` is how it was while its
    /// device was there.
    pub(crate) fn remove_port(&self, number: u32, was: Option<PortDesc>) {
        self.bridge.publish(|snapshot, changes| {
            snapshot.ports.remove_mut(&number);
            changes.everything();
        });
        if let Some(port) = was {
            self.tell(Event::PortStatus(PORT_DELETED, Box::new(port)));
        }
        self.bridge.fdb.forget(|entry| entry.port == number);
    }

    /// The devices by OpenFlow port number.
    pub(crate) fn devices(&self) -> MutexGuard<'_, BTreeMap<u32, Device>> {
        self.devices.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Number of the datapath port behind a port that has a device.
    pub fn datapath_port(&self, number: u32) -> Option<u32> {
        self.devices().get(&number).map(|device| device.datapath_port)
    }

    /// The device behind a port that has one.
    pub(crate) fn netdev(&self, number: u32) -> Option<Arc<dyn Netdev>> {
        self.devices().get(&number).map(|device| Arc::clone(&device.netdev))
    }

    /// Changes a port, and tells the controllers.
    pub(crate) fn change_port(&self, number: u32, change: impl Fn(&mut Port)) {
        self.change_ports(&[number], |_| (), change);
    }

    /// Changes ports, and what `edit` changes besides, at once; and tells the controllers. What is told of a port says how its
    /// device is then, so that the next look at links does not tell it again.
    pub(crate) fn change_ports(
        &self,
        numbers: &[u32],
        edit: impl FnOnce(&mut Snapshot),
        change: impl Fn(&mut Port),
    ) {
        let is_out = |number: u32| self.netdev(number).is_some_and(|netdev| !is_up(&*netdev));
        let wanted: Vec<(u32, bool)> = numbers.iter().map(|&number| (number, is_out(number))).collect();
        let changed = self.bridge.publish(|snapshot, changes| {
            edit(snapshot);
            let mut changed = Vec::new();
            for (number, no_carrier) in wanted {
                let Some(port) = snapshot.ports.get(&number) else { continue };
                let mut port = Port { no_carrier, ..(**port).clone() };
                change(&mut port);
                snapshot.ports.insert_mut(number, Arc::new(port.clone()));
                changed.push(port);
            }
            changes.everything();
            changed
        });
        for port in changed {
            self.tell(Event::PortStatus(PORT_MODIFIED, Box::new(port_description(&port, self))));
        }
    }

    /// Looks whether devices have lost their carrier or got it back: groups and the spanning tree take other ways then, and
    /// controllers are told.
    pub(crate) fn look_at_links(&self) {
        let snapshot = self.bridge.snapshot();
        let now: BTreeMap<u32, bool> =
            self.devices().iter().map(|(number, device)| (*number, !is_up(&*device.netdev))).collect();
        let differs = |port: &&Arc<Port>| now.get(&port.number).is_some_and(|out| *out != port.no_carrier);
        let mut changed: Vec<u32> = snapshot.ports.values().filter(differs).map(|port| port.number).collect();
        if changed.is_empty() {
            return;
        }
        changed.sort_unstable();
        self.change_ports(&changed, |_| (), |_| ());
        self.messages_came.notify_one();
    }

    /// Puts the cable of a port in or out. A device behind it shows it to its other end.
    pub(crate) fn set_link(&self, number: u32, down: bool) {
        let snapshot = self.bridge.snapshot();
        let Some(port) = snapshot.ports.get(&number).filter(|port| port.link_down != down) else { return };
        if let Some(netdev) = self.netdev(number) {
            // A device that cannot be switched is cut off all the same: translation takes nothing from it.
            let _ = netdev.set_admin_up(!down && port.config & port::config::DOWN == 0);
        }
        self.change_port(number, |port| port.link_down = down);
        self.messages_came.notify_one();
    }

    /// What is said of queues, by the names of ports.
    pub(crate) fn queues(&self) -> MutexGuard<'_, BTreeMap<String, PortQueues>> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says what queues there are, by the names of ports; those that stay as they are keep their age.
    pub fn set_queues(&self, mut wanted: BTreeMap<String, PortQueues>) {
        let mut queues = self.queues();
        for (port, said) in &mut wanted {
            said.since_ms = self.clock.now_ms();
            if let Some(old) = queues.get(port)
                && *said == (PortQueues { since_ms: said.since_ms, ..old.clone() })
            {
                said.since_ms = old.since_ms;
            }
        }
        *queues = wanted;
    }

    /// Packets and bytes that left by a datapath port, by the queue that an action gave them.
    pub(crate) fn queue_counters(&self, datapath_port: u32) -> BTreeMap<u32, (u64, u64)> {
        self.datapath.ask(move |context| context.engine.queued(datapath_port)).unwrap_or_default()
    }

    /// Counters of one port, or of all.
    pub fn port_stats(&self, number: u32) -> Vec<PortStats> {
        let now_ms = self.clock.now_ms();
        let devices = self.devices();
        let snapshot = self.bridge.snapshot();
        let mut stats: Vec<PortStats> = snapshot
            .ports
            .values()
            .filter(|port| number == port::ANY || number == port.number)
            .map(|port| {
                let device = devices.get(&port.number);
                let of = device.map_or_else(Default::default, |device| device.netdev.statistics());
                // A device in memory counts no errors, which all ones say.
                let counts = device.is_some_and(|device| device.netdev.kind() != "dummy");
                let known = |count: u64| if counts { count } else { u64::MAX };
                let patch = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
                PortStats {
                    number: port.number,
                    counters: [
                        of.rx_packets + patch(&port.counters.rx_packets),
                        of.tx_packets + patch(&port.counters.tx_packets),
                        of.rx_bytes + patch(&port.counters.rx_bytes),
                        of.tx_bytes + patch(&port.counters.tx_bytes),
                        known(of.rx_dropped),
                        known(of.tx_dropped),
                        known(of.rx_errors),
                        known(of.tx_errors),
                        u64::MAX,
                        u64::MAX,
                        u64::MAX,
                        u64::MAX,
                    ],
                    duration: Some(Duration::from_millis(
                        device.map_or(0, |device| now_ms.saturating_sub(device.added_ms)),
                    )),
                }
            })
            .collect();
        stats.sort_by_key(|port| port.number);
        stats
    }
}

/// Whether a device is up and has carrier.
fn is_up(netdev: &dyn Netdev) -> bool {
    let link = netdev.link_state();
    link.admin_up && link.carrier
}
