//! Controllers of bridges, and managers of the database.

use heddle_ovsdb::schema::Schema;
use heddle_ovsdb::types::Datum;

use super::command::{Call, Context};
use super::copy::Wanted;
use super::edit::{Id, Place};
use super::network::references;
use super::system;
use crate::fatal::{Fatal, fail};
use crate::log::{self, Level};
use crate::stream;

pub(super) fn wants(schema: &Schema, _: &[String], _: &Call, wanted: &mut Wanted) -> Result<(), Fatal> {
    wanted.named(schema, "Bridge", &["controller", "fail_mode"]);
    wanted.named(schema, "Controller", &["target"]);
    wanted.named(schema, "Open_vSwitch", &["manager_options"]);
    wanted.named(schema, "Manager", &["target"]);
    Ok(())
}

fn print_targets(context: &mut Context<'_>, rows: &[Place]) {
    let mut targets: Vec<String> = rows.iter().map(|row| context.edit.text(*row, "target")).collect();
    targets.sort();
    targets.iter().for_each(|target| context.line(target));
}

/// Rows for targets, in place of those that the column refers to now.
fn replace(
    context: &mut Context<'_>,
    call: &Call,
    (owner, column, table): (Place, &str, &str),
    targets: &[String],
) -> Result<(), Fatal> {
    for old in context.edit.referred(owner, column, table) {
        context.edit.delete(old);
    }
    let probe: Option<i64> = match call.option("inactivity-probe").map(str::parse) {
        Some(Ok(probe)) => Some(probe),
        Some(Err(_)) => return fail("inactivity-probe must be a number of milliseconds"),
        None => None,
    };
    let mut places = Vec::new();
    let index = context.edit.table(table)?;
    let mut unique = targets.to_vec();
    unique.sort();
    unique.dedup();
    for target in &unique {
        if !stream::is_name(target) {
            let text = format!("target type \"{target}\" is possibly erroneous");
            log::write("vsctl", Level::Warn, &text);
        }
        let row = context.edit.insert(index, Id::Fresh);
        context.edit.set(row, "target", Datum::scalar(target.as_str()))?;
        if let Some(probe) = probe {
            context.edit.set(row, "inactivity_probe", Datum::scalar(probe))?;
        }
        places.push(row);
    }
    context.edit.change(owner, column, |rows| *rows = references(&places))
}

pub(super) fn controllers(context: &mut Context<'_>, call: &Call) -> Result<(), Fatal> {
    let bridge = context.network().bridge(&call.words[0])?;
    let rows = context.edit.referred(bridge.place, "controller", "Controller");
    print_targets(context, &rows);
    Ok(())
}

pub(super) fn delete_controllers(context: &mut Context<'_>, call: &Call) -> Result<(), Fatal> {
    let bridge = context.network().real_bridge(&call.words[0])?;
    replace(context, call, (bridge.place, "controller", "Controller"), &[])
}

pub(super) fn set_controllers(context: &mut Context<'_>, call: &Call) -> Result<(), Fatal> {
    let bridge = context.network().real_bridge(&call.words[0])?;
    replace(context, call, (bridge.place, "controller", "Controller"), &call.words[1..])
}

pub(super) fn fail_mode(context: &mut Context<'_>, call: &Call) -> Result<(), Fatal> {
    let bridge = context.network().bridge(&call.words[0])?;
    let mode = context.edit.text(bridge.place, "fail_mode");
    if !mode.is_empty() {
        context.line(mode);
    }
    Ok(())
}

pub(super) fn delete_fail_mode(context: &mut Context<'_>, call: &Call) -> Result<(), Fatal> {
    let bridge = context.network().real_bridge(&call.words[0])?;
    context.edit.set(bridge.place, "fail_mode", Datum::empty())
}

pub(super) fn set_fail_mode(context: &mut Context<'_>, call: &Call) -> Result<(), Fatal> {
    let bridge = context.network().real_bridge(&call.words[0])?;
    let mode = call.words[1].as_str();
    if !matches!(mode, "standalone" | "secure") {
        return fail("fail-mode must be \"standalone\" or \"secure\"");
    }
    context.edit.set(bridge.place, "fail_mode", Datum::scalar(mode))
}

pub(super) fn managers(context: &mut Context<'_>, _: &Call) -> Result<(), Fatal> {
    let system = system::row(context)?;
    let rows = context.edit.referred(system, "manager_options", "Manager");
    print_targets(context, &rows);
    Ok(())
}

pub(super) fn delete_managers(context: &mut Context<'_>, call: &Call) -> Result<(), Fatal> {
    let system = system::row(context)?;
    replace(context, call, (system, "manager_options", "Manager"), &[])
}

pub(super) fn set_managers(context: &mut Context<'_>, call: &Call) -> Result<(), Fatal> {
    let system = system::row(context)?;
    replace(context, call, (system, "manager_options", "Manager"), &call.words)
}
