//! Groups, as `ovs-ofctl add-group` reads them and `dump-groups` prints them.

use std::fmt::Write;

use super::actions::{parse_actions, print_action, split};
use super::flows::print_duration;
use super::values::{number_in, parse_port};
use super::{TextError, error};
use crate::group::{Bucket, GroupCommand, GroupDesc, GroupKind, GroupMod, GroupStats};
use crate::port;

/// Names of the kinds in text.
const KINDS: [(&str, GroupKind); 5] = [
    ("all", GroupKind::All),
    ("select", GroupKind::Select),
    ("indirect", GroupKind::Indirect),
    ("ff", GroupKind::FastFailover),
    ("fast_failover", GroupKind::FastFailover),
];

/// Reads `group_id=1,type=select,bucket=weight:2,watch_port:3,actions=output:1,bucket=...`.
///
/// # Errors
/// A sentence about what is wrong.
pub fn parse_group(text: &str, command: GroupCommand) -> Result<GroupMod, TextError> {
    let (head, buckets) = match text.find("bucket=").or_else(|| text.find("buckets=")) {
        Some(at) => (&text[..at], &text[at..]),
        None => (text, ""),
    };
    let (mut group_id, mut kind) = (None, None);
    for word in head.split(',').map(str::trim).filter(|word| !word.is_empty()) {
        match word.split_once('=') {
            Some(("group_id", "all")) if command == GroupCommand::Delete => group_id = Some(GroupMod::ALL),
            Some(("group_id", id)) => group_id = Some(number_in(id)?),
            Some(("type", name)) => {
                let known = KINDS.iter().find(|row| row.0 == name);
                kind =
                    Some(known.map_or_else(|| error(format!("invalid group type {name}")), |row| Ok(row.1))?);
            }
            _ => return error(format!("unknown keyword {}", word.split('=').next().unwrap_or(word))),
        }
    }
    let delete = command == GroupCommand::Delete;
    let group_id = match group_id {
        Some(id) => id,
        None if delete => GroupMod::ALL,
        None => return error("must specify a group_id"),
    };
    let kind = match kind {
        Some(kind) => kind,
        None if delete => GroupKind::All,
        None => return error("must specify a type"),
    };
    let parts = buckets.split("bucket=").map(|part| part.trim_matches(|c| c == ',' || c == ' '));
    let buckets = parts.filter(|part| !part.is_empty()).map(|part| parse_bucket(part, kind));
    let buckets = buckets.collect::<Result<_, _>>()?;
    Ok(GroupMod { command, kind, group_id, buckets, ..GroupMod::default() })
}

fn parse_bucket(text: &str, kind: GroupKind) -> Result<Bucket, TextError> {
    let mut bucket = Bucket { weight: u16::from(kind == GroupKind::Select), ..Bucket::default() };
    let mut actions = Vec::new();
    let (head, tail) = match text.find("actions=").or_else(|| text.find("action=")) {
        Some(at) => (&text[..at], text[at..].split_once('=').map_or("", |(_, actions)| actions)),
        None => (text, ""),
    };
    for word in split(head) {
        match word.split_once([':', '=']) {
            Some(("weight", value)) => bucket.weight = number_in(value)?,
            Some(("watch_port", value)) => bucket.watch_port = parse_port(value)?,
            Some(("watch_group", value)) => bucket.watch_group = number_in(value)?,
            Some(("bucket_id", value)) => bucket.bucket_id = number_in(value)?,
            _ => actions.push(word),
        }
    }
    actions.extend((!tail.is_empty()).then_some(tail));
    bucket.actions = parse_actions(&actions.join(","))?;
    Ok(bucket)
}

fn kind_name(kind: GroupKind) -> &'static str {
    KINDS.iter().find(|row| row.1 == kind).map_or("all", |row| row.0)
}

/// Writes a group so that [`parse_group`] reads the same.
#[must_use]
pub fn print_group(group_id: u32, kind: GroupKind, buckets: &[Bucket]) -> String {
    let mut out = format!("group_id={group_id},type={}", kind_name(kind));
    for bucket in buckets {
        out.push_str(",bucket=");
        if bucket.weight != u16::from(kind == GroupKind::Select) {
            let _ = write!(out, "weight:{},", bucket.weight);
        }
        if bucket.watch_port != port::ANY {
            let name = port::name(bucket.watch_port).map_or(bucket.watch_port.to_string(), str::to_owned);
            let _ = write!(out, "watch_port:{name},");
        }
        if bucket.watch_group != GroupMod::ANY {
            let _ = write!(out, "watch_group:{},", bucket.watch_group);
        }
        let actions: Vec<String> = bucket.actions.iter().map(print_action).collect();
        let actions = if actions.is_empty() { "drop".into() } else { actions.join(",") };
        let _ = write!(out, "actions={actions}");
    }
    out
}

/// Writes a description, as `dump-groups` does.
#[must_use]
pub fn print_group_desc(group: &GroupDesc) -> String {
    print_group(group.group_id, group.kind, &group.buckets)
}

/// Writes counters, as `dump-group-stats` does.
#[must_use]
pub fn print_group_stats(group: &GroupStats) -> String {
    let mut out = format!("group_id={},", group.group_id);
    if let Some(duration) = group.duration {
        let _ = write!(out, "duration={}s,", print_duration(duration));
    }
    let _ = write!(
        out,
        "ref_count={},packet_count={},byte_count={}",
        group.references, group.packets, group.bytes
    );
    for (index, (packets, bytes)) in group.buckets.iter().enumerate() {
        let _ = write!(out, ",bucket{index}:packet_count={packets},byte_count={bytes}");
    }
    out
}
