//! Bridges, ports and interfaces, as the commands of a Linux bridge's user see them.
//!
//! A *fake bridge* is a port of a real one, marked so, that stands for one VLAN of it: the ports of that VLAN are its.

use std::collections::BTreeMap;

use heddle_ovsdb::types::{Atom, Datum};

use super::edit::{Edit, Place};
use crate::fatal::{Fatal, fail};
use crate::log::{self, Level};

/// A bridge, real or fake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bridge {
    /// The row of the real bridge.
    pub place: Place,
    /// The port that a fake bridge is.
    pub port: Option<Place>,
    /// The real bridge that a fake one is part of.
    pub parent: Option<String>,
    /// A fake bridge's VLAN; 0 for real ones.
    pub vlan: i64,
}

/// A port, other than a bridge's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    /// Its row.
    pub place: Place,
    /// Its bridge, real or fake.
    pub bridge: String,
}

/// An interface of a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Its row.
    pub place: Place,
    /// Its port.
    pub port: String,
}

/// All of them, by name.
#[derive(Clone, Debug, Default)]
pub struct Network {
    /// Bridges.
    pub bridges: BTreeMap<String, Bridge>,
    /// Ports.
    pub ports: BTreeMap<String, Port>,
    /// Interfaces.
    pub interfaces: BTreeMap<String, Interface>,
}

/// The VLAN of a port that is a fake bridge.
fn fake_vlan(edit: &Edit<'_>, port: Place) -> Option<i64> {
    let fake = edit.get(port, "fake_bridge").as_boolean() == Some(true);
    tag(edit, port).filter(|_| fake)
}

fn tag(edit: &Edit<'_>, port: Place) -> Option<i64> {
    edit.get(port, "tag").as_integer().filter(|tag| (0..=4095).contains(tag))
}

impl Network {
    /// What a transaction's rows say.
    pub fn of(edit: &Edit<'_>) -> Self {
        let mut network = Self::default();
        let mut real = Vec::new();
        for system in edit.rows_named("Open_vSwitch") {
            for place in edit.referred(system, "bridges", "Bridge") {
                let name = edit.text(place, "name");
                let bridge = Bridge { place, port: None, parent: None, vlan: 0 };
                if network.bridges.insert(name.clone(), bridge).is_some() {
                    let text = format!("{name}: database contains duplicate bridge name");
                    log::write("vsctl", Level::Warn, &text);
                }
                real.push((name, place));
            }
        }
        for (name, place) in &real {
            for port in edit.referred(*place, "ports", "Port") {
                if let Some(vlan) = fake_vlan(edit, port) {
                    let fake = edit.text(port, "name");
                    network.bridges.entry(fake).or_insert(Bridge {
                        place: *place,
                        port: Some(port),
                        parent: Some(name.clone()),
                        vlan,
                    });
                }
            }
        }
        for (name, place) in &real {
            let children: BTreeMap<i64, String> =
                network.children(name).map(|(child, vlan)| (vlan, child)).collect();
            for port in edit.referred(*place, "ports", "Port") {
                let port_name = edit.text(port, "name");
                if network.bridges.contains_key(&port_name) {
                    continue;
                }
                let child = tag(edit, port).and_then(|tag| children.get(&tag));
                network.add_port(edit, &port_name, port, child.unwrap_or(name));
            }
        }
        network
    }

    /// Fake bridges of a real one, with their VLANs.
    pub fn children<'a>(&'a self, parent: &'a str) -> impl Iterator<Item = (String, i64)> + 'a {
        let own = move |bridge: &Bridge| bridge.parent.as_deref() == Some(parent);
        self.bridges
            .iter()
            .filter(move |(_, bridge)| own(bridge))
            .map(|(name, bridge)| (name.clone(), bridge.vlan))
    }

    /// Takes a port and its interfaces in.
    pub fn add_port(&mut self, edit: &Edit<'_>, name: &str, place: Place, bridge: &str) {
        for interface in edit.referred(place, "interfaces", "Interface") {
            let interface_name = edit.text(interface, "name");
            self.interfaces.insert(interface_name, Interface { place: interface, port: name.to_owned() });
        }
        self.ports.insert(name.to_owned(), Port { place, bridge: bridge.to_owned() });
    }

    /// The names of a bridge's ports, sorted.
    pub fn ports_of(&self, bridge: &str) -> Vec<String> {
        self.ports.iter().filter(|(_, port)| port.bridge == bridge).map(|(name, _)| name.clone()).collect()
    }

    /// The names of a port's interfaces, sorted.
    pub fn interfaces_of(&self, port: &str) -> Vec<String> {
        let own = |(_, interface): &(&String, &Interface)| interface.port == port;
        self.interfaces.iter().filter(own).map(|(name, _)| name.clone()).collect()
    }

    /// A bridge.
    ///
    /// # Errors
    /// There is none of this name.
    pub fn bridge(&self, name: &str) -> Result<Bridge, Fatal> {
        match self.bridges.get(name) {
            Some(bridge) => Ok(bridge.clone()),
            None => fail(format!("no bridge named {name}")),
        }
    }

    /// A real bridge.
    ///
    /// # Errors
    /// There is none of this name, or it is a fake one.
    pub fn real_bridge(&self, name: &str) -> Result<Bridge, Fatal> {
        match self.bridge(name)? {
            Bridge { parent: Some(_), .. } => fail(format!("{name} is a fake bridge")),
            bridge => Ok(bridge),
        }
    }

    /// A port.
    ///
    /// # Errors
    /// There is none of this name.
    pub fn port(&self, name: &str) -> Result<Port, Fatal> {
        match self.ports.get(name) {
            Some(port) => Ok(port.clone()),
            None => fail(format!("no port named {name}")),
        }
    }

    /// An interface.
    ///
    /// # Errors
    /// There is none of this name.
    pub fn interface(&self, name: &str) -> Result<Interface, Fatal> {
        match self.interfaces.get(name) {
            Some(interface) => Ok(interface.clone()),
            None => fail(format!("no interface named {name}")),
        }
    }

    /// That nothing has this name yet.
    ///
    /// # Errors
    /// Something has; `what` is what cannot be done.
    pub fn check_free(&self, name: &str, what: &str) -> Result<(), Fatal> {
        if self.bridges.contains_key(name) {
            return fail(format!("{what} because a bridge named {name} already exists"));
        }
        if let Some(port) = self.ports.get(name) {
            return fail(format!(
                "{what} because a port named {name} already exists on bridge {}",
                port.bridge
            ));
        }
        if let Some(interface) = self.interfaces.get(name) {
            let bridge = self.ports.get(&interface.port).map_or("", |port| port.bridge.as_str());
            return fail(format!(
                "{what} because an interface named {name} already exists on bridge {bridge}"
            ));
        }
        Ok(())
    }

    /// Deletes a port and its interfaces from the database and from here.
    ///
    /// # Errors
    /// The database lacks a column.
    pub fn delete_port(&mut self, edit: &mut Edit<'_>, name: &str) -> Result<(), Fatal> {
        let Some(port) = self.ports.remove(name) else { return Ok(()) };
        self.interfaces.retain(|_, interface| interface.port != name);
        let bridge = self.bridges.get(&port.bridge).map(|bridge| bridge.place);
        drop_port(edit, bridge, port.place)
    }

    /// Deletes a bridge, with its fake ones and all their ports.
    ///
    /// # Errors
    /// The database lacks a column.
    pub fn delete_bridge(&mut self, edit: &mut Edit<'_>, name: &str) -> Result<(), Fatal> {
        let children: Vec<String> = self.children(name).map(|(child, _)| child).collect();
        for child in children {
            self.delete_bridge(edit, &child)?;
        }
        for port in self.ports_of(name) {
            self.delete_port(edit, &port)?;
        }
        let Some(bridge) = self.bridges.remove(name) else { return Ok(()) };
        if let Some(port) = bridge.port {
            return drop_port(edit, Some(bridge.place), port);
        }
        for port in edit.referred(bridge.place, "ports", "Port") {
            drop_port(edit, Some(bridge.place), port)?;
        }
        for system in edit.rows_named("Open_vSwitch") {
            edit.change(system, "bridges", |bridges| bridges.remove(&Atom::from(bridge.place.uuid)))?;
        }
        edit.delete(bridge.place);
        Ok(())
    }
}

fn drop_port(edit: &mut Edit<'_>, bridge: Option<Place>, port: Place) -> Result<(), Fatal> {
    for interface in edit.referred(port, "interfaces", "Interface") {
        edit.delete(interface);
    }
    if let Some(bridge) = bridge {
        edit.change(bridge, "ports", |ports| ports.remove(&Atom::from(port.uuid)))?;
    }
    edit.delete(port);
    Ok(())
}

/// A set of these rows.
pub fn references(places: &[Place]) -> Datum {
    Datum::set(places.iter().map(|place| place.uuid))
}
