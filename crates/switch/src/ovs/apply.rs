//! Carrying steps out. What the system refuses is said in the interface's row.

use std::collections::BTreeSet;
use std::sync::Arc;

use heddle_clients::fatal::reason;
use heddle_netdev::{Dummy, Netdev, NetdevError, PacketDevice, Tap};
use heddle_ovsdb::types::Uuid;
use heddle_pipeline::{Attachment, Port};

use super::cable::Cable;
use super::plan::{LOCAL_NUMBER, Step};
use super::wanted::{self, Kind};
use super::{Interface, PresentBridge, Vswitchd};
use crate::bridge::{BUNDLE_IDLE_MS, ManagedBridge};

/// What addresses of dummies begin with; as Open vSwitch's.
const DUMMY_ADDRESS: [u8; 4] = [0xaa, 0x55, 0xaa, 0x55];

impl Vswitchd {
    pub(super) fn apply(&mut self, step: Step) {
        match step {
            Step::RemoveBridge(name) => self.remove_bridge(&name),
            Step::RemoveInterface { bridge, name } => self.remove_interface(&bridge, &name),
            Step::AddBridge(bridge) => self.add_bridge(&bridge),
            Step::Configure(bridge) => self.configure(&bridge),
            Step::AddInterface { bridge, interface, number } => {
                self.add_interface(&bridge, *interface, number)
            }
            Step::Change { bridge, interface } => self.change_interface(&bridge, *interface),
            Step::Remember { bridge, numbers } => {
                if let Some(bridge) = self.present.get_mut(&bridge) {
                    bridge.numbers = numbers;
                }
            }
        }
    }

    fn managed(&self, name: &str) -> Option<Arc<ManagedBridge>> {
        self.lock().bridge(name).cloned()
    }

    fn remove_bridge(&mut self, name: &str) {
        let Some(present) = self.present.remove(name) else { return };
        for interface in present.interfaces.values() {
            self.status.forget(interface.row);
        }
        for (row, _) in present.port_rows {
            self.status.forget(row);
        }
        self.status.forget(present.row);
        self.lock().remove(name);
    }

    fn remove_interface(&mut self, bridge: &str, name: &str) {
        let Some(present) = self.present.get_mut(bridge) else { return };
        let Some(interface) = present.interfaces.remove(name) else { return };
        self.status.forget(interface.row);
        let (Some(number), Some(managed)) = (interface.number, self.managed(bridge)) else { return };
        self.lock().remove_port(&managed, number);
        log::info!(target: "bridge", "bridge {bridge}: deleted interface {name} on port {}", shown(number));
    }

    fn add_bridge(&mut self, bridge: &wanted::Bridge) {
        let id = bridge.datapath_id.unwrap_or_else(|| id_of(address_of(bridge)));
        let made = self.lock().add_bridge(&bridge.name, id, bridge.control.clone());
        if let Err(error) = made {
            return log::error!(target: "bridge", "failed to create bridge {}: {error}", bridge.name);
        }
        let present = PresentBridge {
            row: bridge.row,
            interfaces: Default::default(),
            numbers: Default::default(),
            datapath_id: 0,
            port_rows: Vec::new(),
            tree_states: Vec::new(),
        };
        self.present.insert(bridge.name.clone(), present);
    }

    fn configure(&self, bridge: &wanted::Bridge) {
        let Some(managed) = self.managed(&bridge.name) else { return };
        managed.set_wanted(bridge.control.clone());
        managed
            .bridge
            .fdb
            .configure(bridge.aging_s.map(|seconds| seconds.saturating_mul(1000)), bridge.addresses);
        managed.set_queues(bridge.queues.clone());
        managed.set_packet_buffers(bridge.packet_buffers);
        managed.set_bundle_idle_ms(bridge.bundle_idle_ms.unwrap_or(BUNDLE_IDLE_MS));
        managed.set_tables(&bridge.tables);
    }

    /// What depends on all of a bridge's interfaces: its address, and its id where none is asked for.
    pub(super) fn finish_bridge(&mut self, wanted: &wanted::Bridge) {
        let Some(managed) = self.managed(&wanted.name) else { return };
        let Some(present) = self.present.get_mut(&wanted.name) else { return };
        let physical = |interface: &Interface| {
            let mac = interface.netdev.as_ref()?.mac()?;
            let own = interface.made.local || interface.made.kind == Ok(Kind::Internal);
            // Addresses that somebody administered locally are nobody's name.
            (!own && mac[0] & 3 == 0 && mac != [0; 6]).then_some(mac)
        };
        let lowest = present.interfaces.values().filter_map(physical).min();
        let address = wanted.hwaddr.or(lowest).unwrap_or_else(|| address_of(wanted));
        if let Some(local) = present.interfaces.values_mut().find(|interface| interface.made.local)
            && local.mac != Some(address)
        {
            local.mac = Some(address);
            self.dirty.insert(local.row);
            if let Some(Err(error)) = local.netdev.as_ref().map(|netdev| netdev.set_mac(address)) {
                log::warn!(target: "bridge", "bridge {}: its address cannot be set: {error}", wanted.name);
            }
            managed.change_port(LOCAL_NUMBER, None, |port| port.mac = address);
        }
        let id = wanted.datapath_id.unwrap_or_else(|| id_of(address));
        if present.datapath_id != id {
            present.datapath_id = id;
            managed.set_datapath_id(id);
            log::info!(target: "bridge", "bridge {}: using datapath ID {id:016x}", wanted.name);
        }
        let rows = wanted.port_rows.clone();
        let old = std::mem::replace(&mut present.port_rows, rows);
        let kept: BTreeSet<Uuid> = present.port_rows.iter().map(|(row, _)| *row).collect();
        old.iter().filter(|(row, _)| !kept.contains(row)).for_each(|(row, _)| self.status.forget(*row));
        let number = |name: &str| present.interfaces.get(name).and_then(|interface| interface.number);
        managed.set_tree(wanted.tree.as_ref().map(|tree| tree.config(address, number)));
    }

    fn add_interface(&mut self, bridge: &str, wanted: wanted::Interface, number: u32) {
        let Some(managed) = self.managed(bridge) else { return };
        let outcome = self.make(&managed, &wanted, number);
        let row = wanted.row;
        let mut interface = Interface {
            row,
            number: None,
            mac: None,
            netdev: None,
            error: None,
            was_up: false,
            _cable: None,
            made: wanted,
        };
        let name = &interface.made.name;
        match outcome {
            Ok((netdev, mac, error)) => {
                interface.number = Some(number);
                interface.was_up = netdev.as_ref().is_none_or(|netdev| {
                    let link = netdev.link_state();
                    link.admin_up && link.carrier
                });
                let far_side = netdev.as_ref().and_then(|netdev| netdev.far_side());
                (interface.netdev, interface.mac, interface.error) = (netdev, mac, error);
                if let (Ok(Kind::Dummy(Some(end))), Some(far_side)) = (&interface.made.kind, far_side) {
                    match Cable::new(far_side, end) {
                        Ok(cable) => interface._cable = Some(cable),
                        Err(error) => {
                            log::warn!(target: "netdev_dummy", "{name}: {error}");
                            interface.error = Some(error);
                        }
                    }
                }
                log::info!(target: "bridge", "bridge {bridge}: added interface {name} on port {}", shown(number));
            }
            Err(error) => {
                log::warn!(target: "bridge", "{error}");
                interface.error = Some(error);
            }
        }
        self.dirty.insert(row);
        if let Some(present) = self.present.get_mut(bridge) {
            present.interfaces.insert(name.clone(), interface);
        }
    }

    /// Makes what stands behind an interface, and its port. What returns is the device, an address where there is no
    /// device, and what is wrong all the same.
    #[allow(clippy::type_complexity)]
    fn make(
        &mut self,
        managed: &Arc<ManagedBridge>,
        wanted: &wanted::Interface,
        number: u32,
    ) -> Result<(Option<Arc<dyn Netdev>>, Option<[u8; 6]>, Option<String>), String> {
        let (netdev, mac, attachment, error) = match wanted.kind.clone()? {
            Kind::Patch(peer) => (None, derived(wanted), patch(wanted, &peer), missing_peer(wanted, &peer)),
            kind => match self.open(wanted, &kind) {
                Ok(netdev) => {
                    let tuned = tune(&*netdev, wanted).err();
                    let attached = self.lock().attach(managed, number, Arc::clone(&netdev));
                    let attachment = attached.map_err(|error| {
                        format!("could not add network device {} to ofproto ({error})", wanted.name)
                    })?;
                    let mac = netdev.mac().unwrap_or_else(|| derived(wanted));
                    (Some(netdev), mac, attachment, tuned)
                }
                // A bridge does without a device of its own, where the system gives none.
                Err(error) if wanted.local => {
                    log::warn!(target: "bridge", "{error}");
                    (None, derived(wanted), Attachment::Local, Some(error))
                }
                Err(error) => return Err(error),
            },
        };
        managed.add_port(Port::new(number, &wanted.name, mac, attachment));
        let mac = netdev.is_none().then_some(mac);
        Ok((netdev, mac, error))
    }

    fn open(&mut self, wanted: &wanted::Interface, kind: &Kind) -> Result<Arc<dyn Netdev>, String> {
        let name = &wanted.name;
        let failed = |error: NetdevError| {
            let why = match &error {
                NetdevError::System { source, .. } => reason(source),
                NetdevError::Invalid { .. } if !interface_exists(name) => "No such device".to_owned(),
                NetdevError::Invalid { reason, .. } => reason.clone(),
            };
            format!("could not open network device {name} ({why})")
        };
        match kind {
            Kind::System => Ok(Arc::new(PacketDevice::open(name).map_err(failed)?)),
            Kind::Internal | Kind::Tap => Ok(Arc::new(Tap::create(name).map_err(failed)?)),
            Kind::Dummy(_) | Kind::Patch(_) => {
                let [high, low] = self.dummies.to_be_bytes();
                self.dummies = self.dummies.wrapping_add(1);
                let [a, b, c, d] = DUMMY_ADDRESS;
                let dummy = Dummy::new(name).map_err(failed)?.with_mac([a, b, c, d, high, low]);
                self.lock().dummies.insert(name.clone(), dummy.handle());
                Ok(Arc::new(dummy))
            }
        }
    }

    fn change_interface(&mut self, bridge: &str, wanted: wanted::Interface) {
        let Some(managed) = self.managed(bridge) else { return };
        let Some(interface) =
            self.present.get_mut(bridge).and_then(|bridge| bridge.interfaces.get_mut(&wanted.name))
        else {
            return;
        };
        self.dirty.insert(interface.row);
        if let (Ok(Kind::Patch(peer)), Some(number)) = (&wanted.kind, interface.number) {
            interface.error = missing_peer(&wanted, peer);
            managed.change_port(number, None, |port| port.attachment = patch(&wanted, peer));
        } else if let Some(netdev) = &interface.netdev {
            interface.error = tune(&**netdev, &wanted).err();
        }
        interface.made = wanted;
    }
}

/// Gives a device the address and the MTU that are asked for.
fn tune(netdev: &dyn Netdev, wanted: &wanted::Interface) -> Result<(), String> {
    let set = |what: &str, outcome: Result<(), NetdevError>| {
        outcome.map_err(|error| {
            let error = format!("could not set {what} of network device {} ({error})", wanted.name);
            log::warn!(target: "bridge", "{error}");
            error
        })
    };
    if let Some(mac) = wanted.mac.filter(|mac| !wanted.local && netdev.mac() != Some(*mac)) {
        set("the Ethernet address", netdev.set_mac(mac))?;
    }
    match wanted.mtu.filter(|mtu| netdev.mtu() != *mtu) {
        Some(mtu) => set("the MTU", netdev.set_mtu(mtu)),
        None => Ok(()),
    }
}

/// Whether the switch's network namespace has an interface of this name.
pub(super) fn interface_exists(name: &str) -> bool {
    nix::net::if_::if_nametoindex(name).is_ok()
}

fn patch(wanted: &wanted::Interface, peer: &str) -> Attachment {
    Attachment::Patch { bridge: wanted.peer_bridge.clone().unwrap_or_default(), port: peer.to_owned() }
}

fn missing_peer(wanted: &wanted::Interface, peer: &str) -> Option<String> {
    wanted.peer_bridge.is_none().then(|| format!("No usable peer '{peer}' exists in 'system' datapath."))
}

/// An address made of a row's name, so that it is the same after a restart.
fn derived(wanted: &wanted::Interface) -> [u8; 6] {
    from_row(wanted.row)
}

fn address_of(bridge: &wanted::Bridge) -> [u8; 6] {
    bridge.hwaddr.unwrap_or_else(|| from_row(bridge.row))
}

/// As Open vSwitch makes it: the first bytes of the row's UUID as a machine with little-endian numbers has them.
fn from_row(row: Uuid) -> [u8; 6] {
    let bytes = row.bytes();
    [bytes[3] & 0xfe | 2, bytes[2], bytes[1], bytes[0], bytes[7], bytes[6]]
}

fn id_of(mac: [u8; 6]) -> u64 {
    mac.iter().fold(0, |id, byte| id << 8 | u64::from(*byte))
}

/// A port's number as operators know it: 16 bits.
pub(super) fn shown(number: u32) -> u32 {
    if number > super::plan::LAST_NUMBER { number & 0xffff } else { number }
}
