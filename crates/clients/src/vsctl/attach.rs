//! Mappings of Auto-Attach: service identifiers (I-SID) to VLANs.

use heddle_ovsdb::schema::Schema;
use heddle_ovsdb::types::{Atom, Datum};

use super::command::{Call, Context};
use super::copy::Wanted;
use super::edit::{Id, Place};
use super::network::references;
use crate::fatal::{Fatal, fail};

pub(super) fn wants(schema: &Schema, _: &[String], _: &Call, wanted: &mut Wanted) -> Result<(), Fatal> {
    wanted.named(schema, "Bridge", &["auto_attach"]);
    wanted.named(schema, "AutoAttach", &["mappings"]);
    Ok(())
}

/// The bridge's row, and that of its mappings if there is one.
fn rows(context: &mut Context<'_>, call: &Call) -> Result<(Place, Option<Place>), Fatal> {
    let bridge = context.network().bridge(&call.words[0])?;
    if bridge.parent.is_some() {
        return fail(format!("Auto-Attach mappings cannot be had for the fake bridge {}", call.words[0]));
    }
    let attach = context.edit.referred(bridge.place, "auto_attach", "AutoAttach").first().copied();
    Ok((bridge.place, attach))
}

fn mapping(call: &Call) -> Result<(Atom, Atom), Fatal> {
    match (call.words[1].parse::<i64>(), call.words[2].parse::<i64>()) {
        (Ok(isid), Ok(vlan)) => Ok((isid.into(), vlan.into())),
        _ => fail(format!("\"{} {}\" is no I-SID and VLAN", call.words[1], call.words[2])),
    }
}

pub(super) fn mappings(context: &mut Context<'_>, call: &Call) -> Result<(), Fatal> {
    let (_, attach) = rows(context, call)?;
    let mappings = attach.map_or_else(Datum::empty, |attach| context.edit.get(attach, "mappings"));
    for (isid, vlan) in mappings.pairs() {
        context.line(format!("{isid} {vlan}"));
    }
    Ok(())
}

pub(super) fn add(context: &mut Context<'_>, call: &Call) -> Result<(), Fatal> {
    let (bridge, attach) = rows(context, call)?;
    let (isid, vlan) = mapping(call)?;
    let attach = match attach {
        Some(attach) => attach,
        None => {
            let table = context.edit.table("AutoAttach")?;
            let attach = context.edit.insert(table, Id::Fresh);
            context.edit.set(bridge, "auto_attach", references(&[attach]))?;
            attach
        }
    };
    context.edit.change(attach, "mappings", |mappings| drop(mappings.put(isid, vlan)))
}

pub(super) fn delete(context: &mut Context<'_>, call: &Call) -> Result<(), Fatal> {
    let (_, attach) = rows(context, call)?;
    let (isid, vlan) = mapping(call)?;
    let Some(attach) = attach else { return Ok(()) };
    context.edit.change(attach, "mappings", |mappings| {
        mappings.retain(|key, value| !(*key == isid && value == Some(&vlan)));
    })
}
