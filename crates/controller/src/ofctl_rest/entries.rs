//! The bodies of commands and of filters, as messages.

use heddle_openflow::group::{Bucket, GroupCommand, GroupKind, GroupMod};
use heddle_openflow::message::{Command, NO_BUFFER};
use heddle_openflow::meter::{Band, BandKind, MeterMod};
use heddle_openflow::multipart::FlowFilter;
use heddle_openflow::port::{PortMod, features};
use heddle_openflow::text::parse_mac;
use heddle_openflow::{Body, FlowMod, OfError, PortDesc, Version, port, table};
use serde_json::{Map, Value};

use super::actions::{read, read_data, read_list, table_under};
use super::words::{GROUPS, METERS, ROLES, dictionary, list, number, port_under, under};
use super::{Notes, Refusal, matching};
use crate::ask::Question;

type Dictionary = Map<String, Value>;

/// Names of groups' types.
pub(super) const GROUP_KINDS: [(GroupKind, &str); 4] = [
    (GroupKind::All, "ALL"),
    (GroupKind::Select, "SELECT"),
    (GroupKind::Indirect, "INDIRECT"),
    (GroupKind::FastFailover, "FF"),
];
/// Names of meters' flags.
pub(super) const METER_FLAGS: [(u16, &str); 4] = [
    (MeterMod::KBPS, "KBPS"),
    (MeterMod::PKTPS, "PKTPS"),
    (MeterMod::BURST, "BURST"),
    (MeterMod::STATS, "STATS"),
];
/// Priority of flows of OpenFlow 1.0 for which none is said.
const PRIORITY_10: u16 = 0x8000;

fn match_of(map: &Dictionary, version: Version, notes: &mut Notes) -> Result<heddle_flow::Match, Refusal> {
    match map.get("match") {
        None => Ok(heddle_flow::Match::default()),
        Some(value) => {
            matching::read(dictionary(value)?, version, notes).map_err(|refusal| refusal.under("match"))
        }
    }
}

/// The command of this name.
pub(super) fn flow_command(name: &str) -> Option<Command> {
    Some(match name {
        "add" => Command::Add,
        "modify" => Command::Modify,
        "modify_strict" => Command::ModifyStrict,
        "delete" => Command::Delete,
        "delete_strict" => Command::DeleteStrict,
        _ => return None,
    })
}

/// A change of flows.
///
/// # Errors
/// A value that is none of its field.
pub(super) fn flow_mod(
    map: &Dictionary,
    command: Command,
    version: Version,
    notes: &mut Notes,
) -> Result<Body, Refusal> {
    let matching = match_of(map, version, notes)?;
    let instructions = read(list(map, "actions")?, version, &matching, notes)?;
    let later = version > Version::V1_0;
    let buffer_id = match map.get("buffer_id") {
        None => NO_BUFFER,
        Some(value) if matches!(value.as_str(), Some("NO_BUFFER" | "OFP_NO_BUFFER")) => NO_BUFFER,
        Some(value) => number(value)?,
    };
    Ok(Body::FlowMod(FlowMod {
        command,
        table_id: if later { table_under(map, version, 0)? } else { 0 },
        cookie: under(map, "cookie", 0)?,
        cookie_mask: if later { under(map, "cookie_mask", 0)? } else { 0 },
        idle_timeout: under(map, "idle_timeout", 0)?,
        hard_timeout: under(map, "hard_timeout", 0)?,
        priority: under(map, "priority", if later { 0 } else { PRIORITY_10 })?,
        buffer_id,
        out_port: port_under(version, map, "out_port", port::ANY)?,
        out_group: if later { GROUPS.get(map, "out_group", GroupMod::ANY)? } else { GroupMod::ANY },
        flags: under(map, "flags", 0)?,
        matching,
        instructions,
        ..FlowMod::default()
    }))
}

/// What deletes all flows of all tables; OpenFlow 1.0 cannot name tables, and means them all.
pub(super) fn clear(version: Version) -> Body {
    Body::FlowMod(FlowMod {
        command: Command::Delete,
        table_id: if version == Version::V1_0 { 0 } else { FlowMod::ALL_TABLES },
        priority: 0,
        ..FlowMod::default()
    })
}

/// Which flows are asked for.
///
/// # Errors
/// A value that is none of its field.
pub(super) fn flow_filter(
    map: &Dictionary,
    version: Version,
    notes: &mut Notes,
) -> Result<FlowFilter, Refusal> {
    let later = version > Version::V1_0;
    Ok(FlowFilter {
        table_id: table_under(map, version, table::ALL)?,
        out_port: port_under(version, map, "out_port", port::ANY)?,
        out_group: if later { GROUPS.get(map, "out_group", GroupMod::ANY)? } else { GroupMod::ANY },
        cookie: if later { under(map, "cookie", 0)? } else { 0 },
        cookie_mask: if later { under(map, "cookie_mask", 0)? } else { 0 },
        matching: match_of(map, version, notes)?,
    })
}

/// The command of this name.
pub(super) fn group_command(name: &str) -> Option<GroupCommand> {
    Some(match name {
        "add" => GroupCommand::Add,
        "modify" => GroupCommand::Modify,
        "delete" => GroupCommand::Delete,
        _ => return None,
    })
}

/// A change of groups.
///
/// # Errors
/// A value that is none of its field.
pub(super) fn group_mod(map: &Dictionary, command: GroupCommand, notes: &mut Notes) -> Result<Body, Refusal> {
    let name = map.get("type").unwrap_or(&Value::Null);
    let kind = match map.get("type") {
        None => GroupKind::All,
        Some(_) => GROUP_KINDS
            .iter()
            .find(|(_, known)| name.as_str() == Some(known))
            .map(|(kind, _)| *kind)
            .ok_or_else(|| Refusal::bad(format!("{name} is no type of groups")))?,
    };
    let mut buckets = Vec::new();
    for bucket in list(map, "buckets")? {
        let bucket = dictionary(bucket)?;
        buckets.push(Bucket {
            weight: under(bucket, "weight", 0)?,
            watch_port: under(bucket, "watch_port", port::ANY)?,
            watch_group: under(bucket, "watch_group", GroupMod::ANY)?,
            actions: read_list(list(bucket, "actions")?, notes)?,
            ..Bucket::default()
        });
    }
    let group_id = GROUPS.get(map, "group_id", 0)?;
    Ok(Body::GroupMod(GroupMod { command, kind, group_id, buckets, ..GroupMod::default() }))
}

/// The command of this name.
pub(super) fn meter_command(name: &str) -> Option<u16> {
    Some(match name {
        "add" => MeterMod::ADD,
        "modify" => MeterMod::MODIFY,
        "delete" => MeterMod::DELETE,
        _ => return None,
    })
}

/// A change of meters.
///
/// # Errors
/// A value that is none of its field.
pub(super) fn meter_mod(map: &Dictionary, command: u16, notes: &mut Notes) -> Result<Body, Refusal> {
    let named = match map.get("flags") {
        None => &[],
        Some(Value::Array(names)) => &names[..],
        Some(name) => std::slice::from_ref(name),
    };
    let mut flags = 0;
    for name in named {
        match METER_FLAGS.iter().find(|(_, known)| name.as_str() == Some(known)) {
            Some((flag, _)) => flags |= flag,
            None => notes.ignored("flag", &name.to_string()),
        }
    }
    let mut bands = Vec::new();
    for band in list(map, "bands")? {
        let band = dictionary(band)?;
        let (rate, burst) = (under(band, "rate", 0)?, under(band, "burst_size", 0)?);
        let kind = match band.get("type").and_then(Value::as_str) {
            Some("DROP") => BandKind::Drop,
            Some("DSCP_REMARK") => BandKind::DscpRemark(under(band, "prec_level", 0)?),
            Some("EXPERIMENTER") => {
                notes.refused(OfError::MeterModBadBand, "EXPERIMENTER");
                continue;
            }
            other => {
                notes.ignored("band", other.unwrap_or_default());
                continue;
            }
        };
        bands.push(Band { kind, rate, burst });
    }
    Ok(Body::MeterMod(MeterMod { command, flags, meter_id: METERS.get(map, "meter_id", 0)?, bands }))
}

/// A change of a port, whose number was read before; what it does not say is as the switch describes it.
///
/// # Errors
/// A value that is none of its field.
pub(super) fn port_mod(map: &Dictionary, desc: &PortDesc, version: Version) -> Result<Body, Refusal> {
    let mac = match map.get("hw_addr") {
        None => desc.mac,
        Some(value) => {
            let read = value.as_str().and_then(|text| parse_mac(&text.replace('-', ":")).ok());
            let mac = read.ok_or_else(|| Refusal::bad(format!("{value} is no Ethernet address")))?;
            let mut octets = [0; 6];
            octets.copy_from_slice(&mac.to_be_bytes()[10..]);
            octets
        }
    };
    let advertise = match map.get("advertise") {
        None => desc.advertised,
        Some(value) if version == Version::V1_0 => features::from_10(number(value)?),
        Some(value) => number(value)?,
    };
    let (config, mask) = (under(map, "config", 0)?, under(map, "mask", 0)?);
    Ok(Body::PortMod(PortMod { number: desc.number, mac, config, mask, advertise }))
}

/// A change of the controller's role.
///
/// # Errors
/// There is no such role.
pub(super) fn role_request(map: &Dictionary) -> Result<Body, Refusal> {
    let role = ROLES.get(map, "role", heddle_openflow::message::role::EQUAL)?;
    Ok(Body::RoleRequest(role, 0))
}

/// A message that an experimenter defined; none where its data cannot be read, which is noted.
///
/// # Errors
/// A value that is none of its field.
pub(super) fn experimenter(map: &Dictionary, notes: &mut Notes) -> Result<Option<Question>, Refusal> {
    let (experimenter, kind) = (under(map, "experimenter", 0)?, under(map, "exp_type", 0)?);
    let data = read_data(map, notes)?;
    Ok(data.map(|data| Question::Experimenter { experimenter, kind, data }))
}
