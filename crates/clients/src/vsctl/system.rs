//! The switch as a whole.

use heddle_ovsdb::schema::Schema;
use heddle_ovsdb::types::{Atom, Datum};

use super::command::{Call, Context};
use super::copy::Wanted;
use super::edit::{Id, Place};
use super::network::references;
use crate::fatal::Fatal;

/// The one row of the switch, made if there is none.
pub(super) fn row(context: &mut Context<'_>) -> Result<Place, Fatal> {
    match context.edit.rows_named("Open_vSwitch").first() {
        Some(place) => Ok(*place),
        None => {
            let table = context.edit.table("Open_vSwitch")?;
            Ok(context.edit.insert(table, Id::Fresh))
        }
    }
}

/// Every run makes the row; this command needs nothing else.
pub(super) fn init(_: &mut Context<'_>, _: &Call) -> Result<(), Fatal> {
    Ok(())
}

pub(super) fn comment(context: &mut Context<'_>, call: &Call) -> Result<(), Fatal> {
    context.edit.comments.push(call.words.join(" "));
    Ok(())
}

const RESET: [(&str, &[&str]); 6] = [
    ("Open_vSwitch", &["manager_options", "ssl", "other_config"]),
    (
        "Bridge",
        &["controller", "fail_mode", "flood_vlans", "ipfix", "mirrors", "netflow", "other_config", "sflow"],
    ),
    ("Port", &["other_config"]),
    ("Interface", &["other_config", "ingress_policing_rate", "ingress_policing_burst"]),
    ("QoS", &["other_config"]),
    ("Queue", &["other_config"]),
];
/// Rows that are deleted: nothing refers to them then.
const DROPPED: [&str; 7] =
    ["Mirror", "Controller", "Manager", "NetFlow", "sFlow", "IPFIX", "Flow_Sample_Collector_Set"];

pub(super) fn wants_all(schema: &Schema, _: &[String], _: &Call, wanted: &mut Wanted) -> Result<(), Fatal> {
    for (table, columns) in RESET {
        wanted.named(schema, table, columns);
    }
    for table in DROPPED.iter().chain(&["SSL"]) {
        wanted.named(schema, table, &["other_config"]);
    }
    Ok(())
}

pub(super) fn emer_reset(context: &mut Context<'_>, _: &Call) -> Result<(), Fatal> {
    let edit = &mut context.edit;
    for (table, columns) in RESET {
        for place in edit.rows_named(table) {
            for name in columns {
                let Some(column) = edit.table_schema(place.table).column_index(name) else { continue };
                // A bridge keeps its address.
                let kept = edit.value(place, column).value_of(&Atom::from("hwaddr")).cloned();
                let value = match kept.filter(|_| (table, *name) == ("Bridge", "other_config")) {
                    Some(address) => Datum::map([(Atom::from("hwaddr"), address)]),
                    None => edit.column_schema(place.table, column).kind.default_datum(),
                };
                edit.put(place, column, value);
            }
        }
    }
    for table in DROPPED.iter().chain(&["SSL"]) {
        for place in edit.rows_named(table) {
            edit.delete(place);
        }
    }
    context.network = None;
    Ok(())
}

pub(super) fn wants_ssl(schema: &Schema, _: &[String], _: &Call, wanted: &mut Wanted) -> Result<(), Fatal> {
    wanted.named(schema, "Open_vSwitch", &["ssl"]);
    wanted.named(schema, "SSL", &["private_key", "certificate", "ca_cert", "bootstrap_ca_cert"]);
    Ok(())
}

pub(super) fn ssl(context: &mut Context<'_>, _: &Call) -> Result<(), Fatal> {
    let system = row(context)?;
    if let Some(&ssl) = context.edit.referred(system, "ssl", "SSL").first() {
        for (title, column) in
            [("Private key", "private_key"), ("Certificate", "certificate"), ("CA Certificate", "ca_cert")]
        {
            let text = context.edit.text(ssl, column);
            context.line(format!("{title}: {text}"));
        }
        let bootstrap = context.edit.get(ssl, "bootstrap_ca_cert").as_boolean() == Some(true);
        context.line(format!("Bootstrap: {bootstrap}"));
    }
    Ok(())
}

pub(super) fn delete_ssl(context: &mut Context<'_>, _: &Call) -> Result<(), Fatal> {
    let system = row(context)?;
    for ssl in context.edit.referred(system, "ssl", "SSL") {
        context.edit.delete(ssl);
    }
    context.edit.set(system, "ssl", Datum::empty())
}

pub(super) fn set_ssl(context: &mut Context<'_>, call: &Call) -> Result<(), Fatal> {
    delete_ssl(context, call)?;
    let system = row(context)?;
    let table = context.edit.table("SSL")?;
    let ssl = context.edit.insert(table, Id::Fresh);
    for (column, word) in ["private_key", "certificate", "ca_cert"].into_iter().zip(&call.words) {
        context.edit.set(ssl, column, Datum::scalar(word.as_str()))?;
    }
    context.edit.set(ssl, "bootstrap_ca_cert", Datum::scalar(call.has("bootstrap")))?;
    context.edit.set(system, "ssl", references(&[ssl]))
}
