//! Bridges, real and fake.

use heddle_ovsdb::schema::Schema;
use heddle_ovsdb::types::{Atom, Datum};

use super::command::{Call, Context};
use super::copy::Wanted;
use super::edit::{Id, Place};
use super::network::{Bridge, references};
use super::system;
use crate::fatal::{Fatal, fail};

pub(super) fn wants_ids(schema: &Schema, _: &[String], _: &Call, wanted: &mut Wanted) -> Result<(), Fatal> {
    wanted.named(schema, "Bridge", &["external_ids"]);
    wanted.named(schema, "Port", &["external_ids"]);
    Ok(())
}

pub(super) fn add(context: &mut Context<'_>, call: &Call) -> Result<(), Fatal> {
    let name = call.words[0].as_str();
    if name.is_empty() {
        return fail("bridge name must not be empty string");
    }
    let parent = match &call.words[1..] {
        [] => None,
        [parent, vlan] => match vlan.parse::<i64>() {
            Ok(vlan @ 0..=4095) => Some((parent.as_str(), vlan)),
            _ => return fail("add-br: vlan must be between 0 and 4095"),
        },
        _ => return fail("'add-br' command takes exactly 1 or 3 arguments"),
    };
    if call.has("may-exist")
        && let Some(bridge) = context.network().bridges.get(name)
    {
        return check_same(call, name, parent, bridge);
    }
    context.network().check_free(name, &format!("cannot create a bridge named {name}"))?;
    match parent {
        None => add_real(context, name),
        Some((parent, vlan)) => add_fake(context, name, parent, vlan),
    }
}

/// That a bridge is the one that was asked for.
fn check_same(call: &Call, name: &str, parent: Option<(&str, i64)>, bridge: &Bridge) -> Result<(), Fatal> {
    let text = call.text();
    match (parent, &bridge.parent) {
        (None, Some(_)) => fail(format!("\"{text}\" but {name} is a VLAN bridge for VLAN {}", bridge.vlan)),
        (Some(_), None) => fail(format!("\"{text}\" but {name} is not a VLAN bridge")),
        (Some((wanted, _)), Some(parent)) if wanted != parent => {
            fail(format!("\"{text}\" but {name} has the wrong parent {parent}"))
        }
        (Some((_, vlan)), Some(_)) if vlan != bridge.vlan => {
            fail(format!("\"{text}\" but {name} is a VLAN bridge for the wrong VLAN {}", bridge.vlan))
        }
        _ => Ok(()),
    }
}

/// A port of this name whose one interface is the bridge's own.
fn add_local_port(context: &mut Context<'_>, name: &str) -> Result<Place, Fatal> {
    let edit = &mut context.edit;
    let (interfaces, ports) = (edit.table("Interface")?, edit.table("Port")?);
    let interface = edit.insert(interfaces, Id::Fresh);
    edit.set(interface, "name", Datum::scalar(name))?;
    edit.set(interface, "type", Datum::scalar("internal"))?;
    let port = edit.insert(ports, Id::Fresh);
    edit.set(port, "name", Datum::scalar(name))?;
    edit.set(port, "interfaces", references(&[interface]))?;
    Ok(port)
}

fn add_real(context: &mut Context<'_>, name: &str) -> Result<(), Fatal> {
    let port = add_local_port(context, name)?;
    let system = system::row(context)?;
    let edit = &mut context.edit;
    let bridges = edit.table("Bridge")?;
    let place = edit.insert(bridges, Id::Fresh);
    edit.set(place, "name", Datum::scalar(name))?;
    edit.set(place, "ports", references(&[port]))?;
    edit.change(system, "bridges", |bridges| bridges.insert(place.uuid.into()))?;
    let bridge = Bridge { place, port: None, parent: None, vlan: 0 };
    context.network().bridges.insert(name.to_owned(), bridge);
    Ok(())
}

fn add_fake(context: &mut Context<'_>, name: &str, parent: &str, vlan: i64) -> Result<(), Fatal> {
    let network = context.network();
    let place = match network.bridges.get(parent) {
        None => return fail(format!("parent bridge {parent} does not exist")),
        Some(Bridge { parent: Some(_), .. }) => {
            return fail("cannot create bridge with fake bridge as parent");
        }
        Some(bridge) => bridge.place,
    };
    if let Some((child, _)) = network.children(parent).find(|(_, other)| *other == vlan) {
        return fail(format!("bridge {parent} already has a child VLAN bridge {child} on VLAN {vlan}"));
    }
    let port = add_local_port(context, name)?;
    let edit = &mut context.edit;
    edit.set(port, "fake_bridge", Datum::scalar(true))?;
    edit.set(port, "tag", Datum::scalar(vlan))?;
    edit.change(place, "ports", |ports| ports.insert(port.uuid.into()))?;
    // Ports of that VLAN belong to the new bridge from now on.
    context.network = None;
    Ok(())
}

pub(super) fn delete(context: &mut Context<'_>, call: &Call) -> Result<(), Fatal> {
    let name = &call.words[0];
    if call.has("if-exists") && !context.network().bridges.contains_key(name) {
        return Ok(());
    }
    context.network().bridge(name)?;
    let mut network = context.network.take().unwrap_or_default();
    network.delete_bridge(&mut context.edit, name)?;
    context.network = Some(network);
    Ok(())
}

pub(super) fn list(context: &mut Context<'_>, call: &Call) -> Result<(), Fatal> {
    let (real, fake) = (call.has("real"), call.has("fake"));
    let wanted = |bridge: &Bridge| match bridge.parent {
        None => real || !fake,
        Some(_) => fake || !real,
    };
    let bridges = &context.network().bridges;
    let names: Vec<String> =
        bridges.iter().filter(|(_, bridge)| wanted(bridge)).map(|(name, _)| name.clone()).collect();
    names.iter().for_each(|name| context.line(name));
    Ok(())
}

pub(super) fn exists(context: &mut Context<'_>, call: &Call) -> Result<(), Fatal> {
    if !context.network().bridges.contains_key(&call.words[0]) {
        return Err(Fatal::coded(2, ""));
    }
    Ok(())
}

pub(super) fn to_vlan(context: &mut Context<'_>, call: &Call) -> Result<(), Fatal> {
    let vlan = context.network().bridge(&call.words[0])?.vlan;
    context.line(vlan.to_string());
    Ok(())
}

pub(super) fn to_parent(context: &mut Context<'_>, call: &Call) -> Result<(), Fatal> {
    let parent = context.network().bridge(&call.words[0])?.parent;
    context.line(parent.as_ref().unwrap_or(&call.words[0]));
    Ok(())
}

/// What keys of a fake bridge begin with in its port.
const FAKE_PREFIX: &str = "fake-bridge-";

pub(super) fn set_external_id(context: &mut Context<'_>, call: &Call) -> Result<(), Fatal> {
    let bridge = context.network().bridge(&call.words[0])?;
    let (place, prefix) = bridge.port.map_or((bridge.place, ""), |port| (port, FAKE_PREFIX));
    let key = Atom::string(format!("{prefix}{}", call.words[1]));
    context.edit.change(place, "external_ids", |ids| match call.words.get(2) {
        Some(value) => drop(ids.put(key, Atom::string(value.as_str()))),
        None => drop(ids.remove(&key)),
    })
}

pub(super) fn external_ids(context: &mut Context<'_>, call: &Call) -> Result<(), Fatal> {
    let bridge = context.network().bridge(&call.words[0])?;
    let (place, prefix) = bridge.port.map_or((bridge.place, ""), |port| (port, FAKE_PREFIX));
    let ids = context.edit.get(place, "external_ids");
    for (key, value) in ids.pairs() {
        let (key, value) = (key.as_str().unwrap_or_default(), value.as_str().unwrap_or_default());
        let Some(key) = key.strip_prefix(prefix) else { continue };
        match call.words.get(1) {
            Some(wanted) if wanted == key => context.line(value),
            Some(_) => {}
            None => context.line(format!("{key}={value}")),
        }
    }
    Ok(())
}
