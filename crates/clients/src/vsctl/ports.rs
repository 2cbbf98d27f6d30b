//! Ports, bonds and interfaces.

use heddle_ovsdb::schema::Schema;
use heddle_ovsdb::types::{Atom, Datum};

use super::command::{Call, Context};
use super::copy::Wanted;
use super::edit::Id;
use super::network::{Interface, references};
use super::{names, records};
use crate::fatal::{Fatal, fail};

pub(super) fn wants(schema: &Schema, words: &[String], _: &Call, wanted: &mut Wanted) -> Result<(), Fatal> {
    if let Some(table) = schema.table_index("Port") {
        for word in words.iter().filter(|word| word.contains('=')) {
            wanted.column(table, names::leading_column(&schema.tables()[table], word)?);
        }
    }
    Ok(())
}

pub(super) fn list(context: &mut Context<'_>, call: &Call) -> Result<(), Fatal> {
    context.network().bridge(&call.words[0])?;
    let names = context.network().ports_of(&call.words[0]);
    names.iter().for_each(|name| context.line(name));
    Ok(())
}

pub(super) fn list_interfaces(context: &mut Context<'_>, call: &Call) -> Result<(), Fatal> {
    let network = context.network();
    network.bridge(&call.words[0])?;
    let ports = network.ports_of(&call.words[0]);
    let mut names: Vec<String> = ports.iter().flat_map(|port| network.interfaces_of(port)).collect();
    names.sort();
    names.iter().for_each(|name| context.line(name));
    Ok(())
}

pub(super) fn to_bridge(context: &mut Context<'_>, call: &Call) -> Result<(), Fatal> {
    let port = context.network().port(&call.words[0])?;
    context.line(port.bridge);
    Ok(())
}

pub(super) fn interface_to_bridge(context: &mut Context<'_>, call: &Call) -> Result<(), Fatal> {
    let interface = context.network().interface(&call.words[0])?;
    let port = context.network().port(&interface.port)?;
    context.line(port.bridge);
    Ok(())
}

pub(super) fn add(context: &mut Context<'_>, call: &Call) -> Result<(), Fatal> {
    add_port(context, call, &call.words[1..2], &call.words[2..])
}

pub(super) fn add_bond(context: &mut Context<'_>, call: &Call) -> Result<(), Fatal> {
    let settings = call.words[2..].iter().position(|word| word.contains('='));
    let at = settings.map_or(call.words.len(), |at| at + 2);
    if at < 4 {
        return fail(format!("add-bond requires at least 2 interfaces, but only {} were specified", at - 2));
    }
    add_port(context, call, &call.words[2..at], &call.words[at..])
}

fn add_port(
    context: &mut Context<'_>,
    call: &Call,
    interfaces: &[String],
    settings: &[String],
) -> Result<(), Fatal> {
    let (bridge_name, name) = (&call.words[0], &call.words[1]);
    if name.is_empty() {
        return fail("port name must not be empty string");
    }
    if interfaces.iter().any(String::is_empty) {
        return fail("interface name must not be empty string");
    }
    let bridge = context.network().bridge(bridge_name)?;
    if call.has("may-exist") && context.network().ports.contains_key(name) {
        return check_same(context, call, interfaces);
    }
    let network = context.network();
    network.check_free(name, &format!("cannot create a port named {name}"))?;
    for interface in interfaces {
        network.check_free(interface, &format!("cannot create an interface named {interface}"))?;
    }
    let edit = &mut context.edit;
    let (interface_table, port_table) = (edit.table("Interface")?, edit.table("Port")?);
    let mut places = Vec::new();
    for interface in interfaces {
        let place = edit.insert(interface_table, Id::Fresh);
        edit.set(place, "name", Datum::scalar(interface.as_str()))?;
        places.push(place);
    }
    let port = edit.insert(port_table, Id::Fresh);
    edit.set(port, "name", Datum::scalar(name.as_str()))?;
    edit.set(port, "interfaces", references(&places))?;
    if call.has("fake-iface") {
        edit.set(port, "bond_fake_iface", Datum::scalar(true))?;
    }
    if bridge.parent.is_some() {
        edit.set(port, "tag", Datum::scalar(bridge.vlan))?;
    }
    for setting in settings {
        records::set_column(edit, port, setting)?;
    }
    edit.change(bridge.place, "ports", |ports| ports.insert(port.uuid.into()))?;
    if settings.is_empty() {
        let Context { edit, network, .. } = context;
        if let Some(network) = network {
            network.add_port(edit, name, port, bridge_name);
        }
    } else {
        // They may have given it a tag, and so to a fake bridge.
        context.network = None;
    }
    context.new_ports.push(name.clone());
    Ok(())
}

/// That a port is the one that was asked for.
fn check_same(context: &mut Context<'_>, call: &Call, interfaces: &[String]) -> Result<(), Fatal> {
    let (bridge, name, text) = (&call.words[0], &call.words[1], call.text());
    let port = context.network().port(name)?;
    if port.bridge != *bridge {
        return fail(format!("\"{text}\" but {name} is actually attached to bridge {}", port.bridge));
    }
    let mut wanted = interfaces.to_vec();
    wanted.sort();
    let there = context.network().interfaces_of(name);
    if wanted != there {
        return fail(format!("\"{text}\" but {name} actually has interface(s) {}", there.join(", ")));
    }
    Ok(())
}

pub(super) fn add_bond_interface(context: &mut Context<'_>, call: &Call) -> Result<(), Fatal> {
    let (port_name, name) = (&call.words[0], &call.words[1]);
    if name.is_empty() {
        return fail("interface name must not be empty string");
    }
    let network = context.network();
    let port = network.port(port_name)?;
    if call.has("may-exist")
        && let Some(interface) = network.interfaces.get(name)
    {
        if interface.port == *port_name {
            return Ok(());
        }
        return fail(format!(
            "\"{}\" but {name} is actually attached to port {}",
            call.text(),
            interface.port
        ));
    }
    network.check_free(name, &format!("cannot create an interface named {name}"))?;
    let edit = &mut context.edit;
    let table = edit.table("Interface")?;
    let place = edit.insert(table, Id::Fresh);
    edit.set(place, "name", Datum::scalar(name.as_str()))?;
    edit.change(port.place, "interfaces", |interfaces| interfaces.insert(place.uuid.into()))?;
    let interface = Interface { place, port: port_name.clone() };
    context.network().interfaces.insert(name.clone(), interface);
    Ok(())
}

pub(super) fn delete_bond_interface(context: &mut Context<'_>, call: &Call) -> Result<(), Fatal> {
    let Some(name) = call.words.last() else { return Ok(()) };
    let network = context.network();
    if call.has("if-exists") && !network.interfaces.contains_key(name) {
        return Ok(());
    }
    let interface = network.interface(name)?;
    if let [wanted, _] = &call.words[..] {
        network.port(wanted)?;
        if *wanted != interface.port {
            return fail(format!("port {wanted} does not have an interface {name}"));
        }
    }
    if network.interfaces_of(&interface.port).len() == 1 {
        return fail(format!("cannot delete last interface from port {}", interface.port));
    }
    let port = network.port(&interface.port)?;
    network.interfaces.remove(name);
    let uuid = Atom::from(interface.place.uuid);
    context.edit.change(port.place, "interfaces", |interfaces| interfaces.remove(&uuid))?;
    context.edit.delete(interface.place);
    Ok(())
}

pub(super) fn delete(context: &mut Context<'_>, call: &Call) -> Result<(), Fatal> {
    let (must_exist, with_interface) = (!call.has("if-exists"), call.has("with-iface"));
    let Some(target) = call.words.last() else { return Ok(()) };
    let network = context.network();
    let found = if with_interface {
        let through = || network.interfaces.get(target).map(|interface| interface.port.clone());
        let found = network.ports.contains_key(target).then(|| target.clone()).or_else(through);
        if found.is_none() && must_exist {
            return fail(format!("no port or interface named {target}"));
        }
        found
    } else {
        if must_exist && network.bridges.contains_key(target) {
            return fail(format!(
                "cannot delete port {target} because it is the local port for bridge {target} (deleting this port \
                 requires deleting the entire bridge)"
            ));
        }
        if must_exist {
            network.port(target)?;
        }
        network.ports.contains_key(target).then(|| target.clone())
    };
    let Some(name) = found else { return Ok(()) };
    if let [wanted, _] = &call.words[..] {
        let bridge = network.bridge(wanted)?;
        let own = network.port(&name)?.bridge;
        if own != *wanted {
            let parent = network.bridges.get(&own).and_then(|bridge| bridge.parent.clone());
            return fail(if parent.as_ref() == Some(wanted) {
                format!(
                    "bridge {wanted} does not have a port {target} (although its child bridge {own} does)"
                )
            } else if bridge.parent.as_ref() == Some(&own) {
                format!(
                    "bridge {wanted} does not have a port {target} (although its parent bridge {own} does)"
                )
            } else {
                format!("bridge {wanted} does not have a port {target}")
            });
        }
    }
    let mut network = context.network.take().unwrap_or_default();
    network.delete_port(&mut context.edit, &name)?;
    context.network = Some(network);
    Ok(())
}
