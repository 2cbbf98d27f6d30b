//! Ports of a bridge: their devices, what controllers are told of them, their queues and counters.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;

use heddle_netdev::Netdev;
use heddle_openflow::multipart::PortStats;
use heddle_openflow::{PortDesc, port};
use heddle_pipeline::{Attachment, Port, Snapshot};
use heddle_stp::State;

use super::{Event, ManagedBridge};
use crate::config::PortQueues;
use crate::connection::{described_as, port_description};

/// Reasons of a port-status.
const PORT_ADDED: u8 = 0;
const PORT_DELETED: u8 = 1;
const PORT_MODIFIED: u8 = 2;

/// What has become of a port.
#[derive(Clone, Debug)]
pub struct PortNews {
    /// It came (0), went (1) or changed (2).
    pub reason: u8,
    /// How it is now, or was at last.
    pub port: PortDesc,
    /// How it was before it changed: to versions that say nothing of the difference, nothing has.
    pub before: Option<PortDesc>,
    /// The connection that changed it. Before OpenFlow 1.5, a peer is not told what it did itself.
    pub by: Option<u64>,
}

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
        // It comes first and is live then, as in Open vSwitch: two messages, of which versions without liveness have one.
        let now = port_description(&port, self);
        let dead = PortDesc { state: now.state & !port::state::LIVE, ..now.clone() };
        self.tell_of(PORT_ADDED, dead.clone(), None, None);
        if now.state != dead.state {
            self.tell_of(PORT_MODIFIED, now, Some(dead), None);
        }
    }

    /// Whether there is a port of this number.
    pub(crate) fn has_port(&self, number: u32) -> bool {
        self.bridge.snapshot().ports.contains_key(&number)
    }

    /// A port as controllers see it now.
    pub(crate) fn described(&self, number: u32) -> Option<PortDesc> {
        self.bridge.snapshot().ports.get(&number).map(|port| port_description(port, self))
    }

    /// Takes a port away from translations and controllers, and forgets what was learned on it. `was` is how it was while its
    /// device was there.
    fn remove_port(&self, number: u32, was: Option<PortDesc>) {
        self.bridge.publish(|snapshot, changes| {
            snapshot.ports.remove_mut(&number);
            changes.everything();
        });
        if let Some(port) = was {
            self.tell_of(PORT_DELETED, port, None, None);
        }
        self.bridge.fdb.forget(|entry| entry.port == number);
    }

    /// Takes a port and its device away from the datapath, from translations and from controllers; its device, if it had
    /// one.
    pub(crate) fn detach(&self, number: u32) -> Option<Arc<dyn Netdev>> {
        let was = self.described(number);
        let device = self.devices().remove(&number);
        if let Some(device) = &device {
            self.network.detach(device.datapath_port);
            let (datapath_port, is_dummy) = (device.datapath_port, device.netdev.kind() == "dummy");
            self.datapath.ask(move |context| {
                context.remove_port(datapath_port);
                if is_dummy {
                    // Its number may be the next dummy's.
                    context.engine.purge();
                }
            });
        }
        self.remove_port(number, was);
        device.map(|device| device.netdev)
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

    fn tell_of(&self, reason: u8, port: PortDesc, before: Option<PortDesc>, by: Option<u64>) {
        self.tell(Event::Port(Box::new(PortNews { reason, port, before, by })));
    }

    /// Tells controllers of a change that the connection `by` has made, or none. A port that is switched off is dead first, and
    /// its link down then, as in Open vSwitch.
    pub(crate) fn tell_changed(&self, old: &Port, new: &Port, by: Option<u64>) {
        let mut before = described_as(old, self, old.is_live());
        let now = described_as(new, self, new.is_live());
        if before.config != now.config && before.state & port::state::LIVE != 0 && !new.is_live() {
            let dead = PortDesc { state: now.state & !port::state::LINK_DOWN, ..now.clone() };
            self.tell_of(PORT_MODIFIED, dead.clone(), Some(before), by);
            before = dead;
        }
        self.tell_of(PORT_MODIFIED, now, Some(before), by);
    }

    /// Changes a port, and tells the controllers.
    pub(crate) fn change_port(&self, number: u32, by: Option<u64>, change: impl Fn(&mut Port)) {
        for (old, new) in self.alter_ports(&[number], |_| (), change) {
            self.tell_changed(&old, &new, by);
        }
    }

    /// Changes ports, and what `edit` changes besides, at once; and tells the controllers.
    pub(crate) fn change_ports(
        &self,
        numbers: &[u32],
        edit: impl FnOnce(&mut Snapshot),
        change: impl Fn(&mut Port),
    ) {
        for (old, new) in self.alter_ports(numbers, edit, change) {
            self.tell_changed(&old, &new, None);
        }
    }

    /// Changes ports, and what `edit` changes besides, at once; how they were and are. What is said of a port says how its
    /// device is then, so that the next look at links finds nothing new.
    pub(crate) fn alter_ports(
        &self,
        numbers: &[u32],
        edit: impl FnOnce(&mut Snapshot),
        change: impl Fn(&mut Port),
    ) -> Vec<(Arc<Port>, Arc<Port>)> {
        let is_out = |number: u32| self.netdev(number).is_some_and(|netdev| !is_up(&*netdev));
        let wanted: Vec<(u32, bool)> = numbers.iter().map(|&number| (number, is_out(number))).collect();
        self.bridge.publish(|snapshot, changes| {
            edit(snapshot);
            let mut changed = Vec::new();
            for (number, no_carrier) in wanted {
                let Some(old) = snapshot.ports.get(&number).cloned() else { continue };
                let mut port = Port { no_carrier, ..(*old).clone() };
                change(&mut port);
                let new = Arc::new(port);
                snapshot.ports.insert_mut(number, Arc::clone(&new));
                changed.push((old, new));
            }
            changes.everything();
            changed
        })
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
        self.change_port(number, None, |port| port.link_down = down);
        let line = match port.attachment {
            Attachment::Device(number) | Attachment::Link { line: number, .. } => Some(number),
            Attachment::Patch { .. } | Attachment::Local => None,
        };
        if let Some(number) = line.filter(|_| down) {
            // Nothing arrives any more once this returns.
            self.datapath.ask(move |context| context.engine.clear_lines(number));
        }
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
