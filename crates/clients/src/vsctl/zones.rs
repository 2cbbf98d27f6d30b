//! Zones of connection tracking, and what a datapath can do.

use heddle_ovsdb::schema::Schema;
use heddle_ovsdb::types::{Atom, Datum};

use super::command::{Call, Context};
use super::copy::Wanted;
use super::edit::{Id, Place};
use super::network::references;
use crate::fatal::{Fatal, fail};

pub(super) fn wants(schema: &Schema, _: &[String], _: &Call, wanted: &mut Wanted) -> Result<(), Fatal> {
    wanted.named(schema, "Open_vSwitch", &["datapaths"]);
    wanted.named(schema, "Datapath", &["ct_zones", "capabilities", "ct_zone_default_limit"]);
    wanted.named(schema, "CT_Zone", &["timeout_policy", "limit"]);
    wanted.named(schema, "CT_Timeout_Policy", &["timeouts"]);
    Ok(())
}

fn find_datapath(context: &Context<'_>, name: &str) -> Option<Place> {
    let system = *context.edit.rows_named("Open_vSwitch").first()?;
    let uuid = context.edit.get(system, "datapaths").value_of(&Atom::from(name))?.as_uuid()?;
    let table = context.edit.table("Datapath").ok()?;
    Some(Place { table, uuid }).filter(|place| context.edit.row(*place).is_some())
}

fn datapath(context: &Context<'_>, name: &str) -> Result<Place, Fatal> {
    find_datapath(context, name).ok_or_else(|| Fatal::new(format!("datapath {name} does not exist")))
}

/// The zones of a datapath, by number.
fn zones(context: &Context<'_>, datapath: Place) -> Result<Vec<(i64, Place)>, Fatal> {
    let table = context.edit.table("CT_Zone")?;
    let zones = context.edit.get(datapath, "ct_zones");
    let zone =
        |(number, row): (&Atom, &Atom)| Some((number.as_integer()?, Place { table, uuid: row.as_uuid()? }));
    Ok(zones.pairs().filter_map(zone).collect())
}

fn zone(context: &Context<'_>, datapath: Place, number: i64) -> Result<Option<Place>, Fatal> {
    Ok(zones(context, datapath)?.into_iter().find(|(other, _)| *other == number).map(|(_, place)| place))
}

/// Adds an empty zone.
fn add_zone(context: &mut Context<'_>, datapath: Place, number: i64) -> Result<Place, Fatal> {
    let table = context.edit.table("CT_Zone")?;
    let place = context.edit.insert(table, Id::Fresh);
    context.edit.change(datapath, "ct_zones", |zones| drop(zones.put(number.into(), place.uuid.into())))?;
    Ok(place)
}

/// Deletes a zone that has neither a policy nor a limit.
fn drop_if_empty(context: &mut Context<'_>, datapath: Place, number: i64, zone: Place) -> Result<(), Fatal> {
    let empty = |column| context.edit.get(zone, column).is_empty();
    if empty("timeout_policy") && empty("limit") {
        context.edit.change(datapath, "ct_zones", |zones| zones.remove(&Atom::from(number)))?;
        context.edit.delete(zone);
    }
    Ok(())
}

fn parse_zone(word: &str) -> Result<i64, Fatal> {
    match word.strip_prefix("zone=").map(str::parse) {
        Some(Ok(number)) => Ok(number),
        _ => fail(format!("invalid zone argument, {word}")),
    }
}

pub(super) fn add_policy(context: &mut Context<'_>, call: &Call) -> Result<(), Fatal> {
    let number = parse_zone(&call.words[1])?;
    let datapath = datapath(context, &call.words[0])?;
    let old = zone(context, datapath, number)?;
    if old.is_some_and(|zone| !context.edit.get(zone, "timeout_policy").is_empty()) {
        if call.has("may-exist") {
            return Ok(());
        }
        return fail(format!("zone id {number} already has a policy"));
    }
    let mut timeouts = Datum::empty();
    for word in &call.words[2..] {
        match word.split_once('=').map(|(name, value)| (name, value.parse::<i64>())) {
            Some((name, Ok(seconds))) => drop(timeouts.put(name.into(), seconds.into())),
            _ => return fail(format!("invalid timeout argument, {word}")),
        }
    }
    let table = context.edit.table("CT_Timeout_Policy")?;
    let policy = context.edit.insert(table, Id::Fresh);
    context.edit.set(policy, "timeouts", timeouts)?;
    let zone = match old {
        Some(zone) => zone,
        None => add_zone(context, datapath, number)?,
    };
    context.edit.set(zone, "timeout_policy", references(&[policy]))
}

pub(super) fn delete_policy(context: &mut Context<'_>, call: &Call) -> Result<(), Fatal> {
    let number = parse_zone(&call.words[1])?;
    let datapath = datapath(context, &call.words[0])?;
    let zone = zone(context, datapath, number)?;
    let Some(zone) = zone.filter(|zone| !context.edit.get(*zone, "timeout_policy").is_empty()) else {
        if call.has("if-exists") {
            return Ok(());
        }
        return fail(format!("zone id {number} does not have a policy"));
    };
    context.edit.set(zone, "timeout_policy", Datum::empty())?;
    drop_if_empty(context, datapath, number, zone)
}

pub(super) fn list_policies(context: &mut Context<'_>, call: &Call) -> Result<(), Fatal> {
    let datapath = datapath(context, &call.words[0])?;
    for (number, zone) in zones(context, datapath)? {
        let policy = context.edit.referred(zone, "timeout_policy", "CT_Timeout_Policy").first().copied();
        let text = match policy {
            Some(policy) => {
                let timeouts = context.edit.get(policy, "timeouts");
                let words = timeouts
                    .pairs()
                    .map(|(name, value)| format!("{}={value}", name.as_str().unwrap_or_default()));
                words.collect::<Vec<_>>().join(" ")
            }
            None => "system default".into(),
        };
        context.line(format!("Zone:{number}, Timeout Policies: {text}"));
    }
    Ok(())
}

/// A zone's number, or the default for those that have no limit of their own.
enum Limited {
    Default,
    Zone(i64),
}

fn parse_limited(word: &str) -> Result<Limited, Fatal> {
    match word.parse::<i64>() {
        _ if word == "default" => Ok(Limited::Default),
        Ok(number @ 0..=65535) => Ok(Limited::Zone(number)),
        Ok(number) => fail(format!("zone_id ({number}) out of range")),
        Err(_) => fail(format!("invalid zone id, {word}")),
    }
}

pub(super) fn set_limit(context: &mut Context<'_>, call: &Call) -> Result<(), Fatal> {
    let datapath = datapath(context, &call.words[0])?;
    let limited = parse_limited(&call.words[1])?;
    let limit = match call.words[2].parse::<i64>() {
        Ok(limit @ 0..=0xffff_ffff) => Datum::scalar(limit),
        Ok(limit) => return fail(format!("limit ({limit}) out of range")),
        Err(_) => return fail(format!("invalid limit, {}", call.words[2])),
    };
    match limited {
        Limited::Default => context.edit.set(datapath, "ct_zone_default_limit", limit),
        Limited::Zone(number) => {
            let zone = match zone(context, datapath, number)? {
                Some(zone) => zone,
                None => add_zone(context, datapath, number)?,
            };
            context.edit.set(zone, "limit", limit)
        }
    }
}

pub(super) fn delete_limit(context: &mut Context<'_>, call: &Call) -> Result<(), Fatal> {
    let datapath = datapath(context, &call.words[0])?;
    match parse_limited(&call.words[1])? {
        Limited::Default => {
            if context.edit.get(datapath, "ct_zone_default_limit").is_empty() {
                if call.has("if-exists") {
                    return Ok(());
                }
                return fail(format!("datapath {} does not have a limit", call.words[0]));
            }
            context.edit.set(datapath, "ct_zone_default_limit", Datum::empty())
        }
        Limited::Zone(number) => {
            let zone = zone(context, datapath, number)?;
            let Some(zone) = zone.filter(|zone| !context.edit.get(*zone, "limit").is_empty()) else {
                if call.has("if-exists") {
                    return Ok(());
                }
                return fail(format!("zone_id {number} does not have a limit"));
            };
            context.edit.set(zone, "limit", Datum::empty())?;
            drop_if_empty(context, datapath, number, zone)
        }
    }
}

pub(super) fn list_limits(context: &mut Context<'_>, call: &Call) -> Result<(), Fatal> {
    let datapath = datapath(context, &call.words[0])?;
    if let Some(limit) = context.edit.get(datapath, "ct_zone_default_limit").as_integer() {
        context.line(format!("Default, Limit: {limit}"));
    }
    for (number, zone) in zones(context, datapath)? {
        if let Some(limit) = context.edit.get(zone, "limit").as_integer() {
            context.line(format!("Zone: {number}, Limit: {limit}"));
        }
    }
    Ok(())
}

pub(super) fn list_capabilities(context: &mut Context<'_>, call: &Call) -> Result<(), Fatal> {
    let name = &call.words[0];
    let Some(datapath) = find_datapath(context, name) else {
        return fail(format!("datapath \"{name}\" record not found"));
    };
    let capabilities = context.edit.get(datapath, "capabilities");
    let words = capabilities.pairs().map(|(key, value)| {
        format!("{}={}", key.as_str().unwrap_or_default(), value.as_str().unwrap_or_default())
    });
    let text = words.collect::<Vec<_>>().join(" ");
    context.line(text);
    Ok(())
}
