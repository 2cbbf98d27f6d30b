//! Groups, as `ovs-ofctl add-group` reads them and `dump-groups` prints them.

use std::fmt::Write;

use heddle_flow::Field;

use super::actions::{parse_actions, print_action, split};
use super::flows::print_duration;
use super::values::{number_in, parse_port, parse_value};
use super::{TextError, error};
use crate::group::{Bucket, GroupCommand, GroupDesc, GroupKind, GroupMod, GroupStats};
use crate::{names, port};

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
        // `command_bucket_id=` is no bucket.
        Some(at) => (&text[..at], &text[at..]),
        None => (text, ""),
    };
    let of_buckets = matches!(command, GroupCommand::InsertBucket | GroupCommand::RemoveBucket);
    let has_buckets = !matches!(command, GroupCommand::Delete | GroupCommand::RemoveBucket);
    if !buckets.is_empty() && !has_buckets {
        return error("bucket is not needed");
    }
    let mut group = GroupMod { command, ..GroupMod::default() };
    let (mut group_id, mut kind, mut command_bucket) = (None, None, None);
    for word in split(head) {
        let (name, value) = word_and_value(word);
        match name {
            "group_id" if value == "all" => group_id = Some(GroupMod::ALL),
            "group_id" => group_id = Some(number_in(value)?),
            "command_bucket_id" if of_buckets => command_bucket = Some(parse_command_bucket(value, command)?),
            "command_bucket_id" => return error("command bucket id is not needed"),
            "type" | "selection_method" | "selection_method_param" | "fields"
                if of_buckets || command == GroupCommand::Delete =>
            {
                return error(format!("{} is not needed", name.replace('_', " ")));
            }
            "type" => {
                let known = KINDS.iter().find(|row| row.0 == value);
                kind = Some(
                    known.map_or_else(|| error(format!("invalid group type {value}")), |row| Ok(row.1))?,
                );
            }
            "selection_method" if value.len() >= 16 => {
                return error("selection method is longer than 15 bytes long");
            }
            "selection_method" => group.selection.method = value.to_owned(),
            "selection_method_param" => group.selection.parameter = number_in(value)?,
            "fields" => group.selection.fields = parse_selection_fields(value)?,
            _ => return error(format!("unknown keyword {name}")),
        }
    }
    group.group_id = match group_id {
        Some(id) if id <= GroupMod::MAX || id == GroupMod::ALL => id,
        Some(id) => return error(format!("invalid group id {id}")),
        None if command == GroupCommand::Delete && text.trim().is_empty() => GroupMod::ALL,
        None => return error("must specify a group_id"),
    };
    group.kind = match kind {
        Some(kind) => kind,
        None if of_buckets || command == GroupCommand::Delete => GroupKind::All,
        None => return error("must specify a type"),
    };
    if group.selection.method != "hash" && !group.selection.fields.is_empty() {
        return error("fields may only be specified with \"selection_method=hash\"");
    }
    if group.selection.method.is_empty() && group.selection.parameter != 0 {
        return error("selection_method_param is only allowed with \"selection_method\"");
    }
    group.command_bucket_id = match command_bucket {
        None if command == GroupCommand::InsertBucket => return error("must specify a command bucket id"),
        other => other.unwrap_or(Bucket::ALL),
    };
    let parts = buckets.split("bucket=").map(|part| part.trim_matches(|c| c == ',' || c == ' '));
    for part in parts.filter(|part| !part.is_empty()) {
        let bucket = parse_bucket(part, group.kind)?;
        if !of_buckets && group.kind != GroupKind::Select && bucket.weight != 0 {
            return error("Only select groups can have bucket weights.");
        }
        group.buckets.push(bucket);
    }
    if group.kind == GroupKind::Indirect && group.buckets.len() > 1 {
        return error("Indirect groups can have at most one bucket.");
    }
    Ok(group)
}

/// A word's name, and the value behind `=`, `:` or in parentheses.
fn word_and_value(word: &str) -> (&str, &str) {
    let at = word.find(['=', ':', '(']).unwrap_or(word.len());
    let (name, rest) = word.split_at(at);
    match rest.strip_prefix('(') {
        Some(rest) => (name, rest.strip_suffix(')').unwrap_or(rest)),
        None => (name, rest.get(1..).unwrap_or_default()),
    }
}

fn parse_command_bucket(value: &str, command: GroupCommand) -> Result<u32, TextError> {
    let number = match value {
        "all" => Bucket::ALL,
        "first" => Bucket::FIRST,
        "last" => Bucket::LAST,
        number => number_in(number)?,
    };
    match number {
        Bucket::ALL if command != GroupCommand::RemoveBucket => {
            error("command_bucket_id=all is not permitted")
        }
        Bucket::ALL | Bucket::FIRST | Bucket::LAST | 0..=Bucket::MAX => Ok(number),
        number => error(format!("invalid command bucket id {number}")),
    }
}

/// Reads fields to hash, with the bits of each that count.
fn parse_selection_fields(text: &str) -> Result<Vec<(Field, u128)>, TextError> {
    let mut fields: Vec<(Field, u128)> = Vec::new();
    for word in split(text) {
        let (name, value) = word.split_once('=').unwrap_or((word, ""));
        let Some(field) = names::field(name) else { return error(format!("{text}: unknown field {name}")) };
        if fields.iter().any(|(other, _)| *other == field) {
            return error(format!("{name}: duplicate field"));
        }
        let bits = if value.is_empty() { field.spec().full_mask() } else { parse_value(field, value)? };
        if bits == 0 {
            return error(format!("{name}: values are wildcards here and must not be all-zeros"));
        }
        if bits != field.spec().full_mask() && !field.spec().maskable {
            return error(format!("{value}: invalid mask for field {name}"));
        }
        fields.push((field, bits));
    }
    Ok(fields)
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
            Some(("bucket_id", value)) => {
                bucket.bucket_id = number_in(value)?;
                if bucket.bucket_id > Bucket::MAX {
                    return error(format!("invalid bucket_id id {}", bucket.bucket_id));
                }
            }
            _ => actions.push(word),
        }
    }
    actions.extend((!tail.is_empty()).then_some(tail));
    bucket.actions = parse_actions(&actions.join(","))?;
    if actions.is_empty() {
        return error("bucket must specify actions");
    }
    if kind == GroupKind::FastFailover && !bucket.watches() {
        return error("fast failover bucket requires watch_port or watch_group");
    }
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
        if bucket.bucket_id != Bucket::NO_ID {
            let _ = write!(out, "bucket_id:{},", bucket.bucket_id);
        }
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
