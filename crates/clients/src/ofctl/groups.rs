//! Commands on groups and meters.

use heddle_openflow::group::{Bucket, GroupCommand, GroupMod};
use heddle_openflow::meter::MeterMod;
use heddle_openflow::multipart::Request;
use heddle_openflow::text::{parse_group, parse_meter, parse_meter_id, parse_number};
use heddle_openflow::{Body, Version};

use super::commands::print_reply;
use super::flows::{among, lines, read_file, send_changes};
use super::formats::Formats;
use super::{Context, ports};
use crate::fatal::{Fatal, fail};

/// Versions that have meters.
const METERED: u32 = Version::V1_3.bit() | Version::V1_4.bit() | Version::V1_5.bit();
/// Versions that number buckets: OpenFlow 1.5, and Nicira's groups over OpenFlow 1.0.
const NUMBERED: u32 = Version::V1_0.bit() | Version::V1_5.bit();

/// Keeps the versions in `wanted`.
fn need(context: &mut Context<'_>, wanted: u32) -> Result<(), Fatal> {
    let left = among(context, Formats::of_versions(wanted))?;
    (context.settings.formats, context.settings.versions) = (left, left.versions());
    Ok(())
}

fn need_meters(context: &mut Context<'_>) -> Result<(), Fatal> {
    need(context, METERED)
}

/// Whether only versions that number buckets can say this.
fn is_numbered(group: &GroupMod) -> bool {
    matches!(group.command, GroupCommand::InsertBucket | GroupCommand::RemoveBucket)
        || !group.selection.method.is_empty()
        || group.buckets.iter().any(|bucket| bucket.bucket_id != Bucket::NO_ID)
}

fn read(text: &str, command: GroupCommand) -> Result<GroupMod, Fatal> {
    parse_group(text, command).map_err(|error| Fatal::new(error.to_string()))
}

/// Reads the groups that a command names: `text` itself, or the lines of `-`.
fn read_all(text: &str, command: GroupCommand) -> Result<Vec<(String, GroupMod)>, Fatal> {
    if text != "-" {
        return Ok(vec![(text.to_owned(), read(text, command)?)]);
    }
    let text = read_file("-")?;
    lines(&text).map(|(_, line)| Ok((line.to_owned(), read(line, command)?))).collect()
}

fn change(context: &mut Context<'_>, groups: Vec<GroupMod>) -> Result<u8, Fatal> {
    if groups.iter().any(is_numbered) {
        need(context, NUMBERED)?;
    }
    let mut connection = context.open_for_changes()?;
    let bodies = groups.into_iter().map(|group| (Body::GroupMod(group), false)).collect();
    send_changes(context, &mut connection, bodies)?;
    Ok(0)
}

fn changed(context: &mut Context<'_>, command: GroupCommand) -> Result<u8, Fatal> {
    let text = context.words.get(1).map_or("", String::as_str);
    let early = read_all(text, command);
    let groups = match early {
        Ok(groups) => groups,
        // A port may stand there by its name.
        Err(refused) => {
            let numbered = ports(&mut context.open()?)?.numbered(text);
            if numbered == text { return Err(refused) } else { read_all(&numbered, command)? }
        }
    };
    change(context, groups.into_iter().map(|(_, group)| group).collect())
}

pub(super) fn add_group(context: &mut Context<'_>) -> Result<u8, Fatal> {
    let command = if context.settings.may_create { GroupCommand::AddOrModify } else { GroupCommand::Add };
    changed(context, command)
}

pub(super) fn add_groups(context: &mut Context<'_>) -> Result<u8, Fatal> {
    let name = context.words.get(1).map_or("-", String::as_str);
    let text = read_file(name)?;
    let groups = lines(&text)
        .map(|(_, line)| {
            let (command, rest) = command_of(line);
            read(rest, command)
        })
        .collect::<Result<Vec<_>, _>>()?;
    change(context, groups)
}

/// What a line of a file does with a group: its first word may say.
pub(super) fn command_of(line: &str) -> (GroupCommand, &str) {
    const WORDS: [(&str, GroupCommand); 6] = [
        ("add", GroupCommand::Add),
        ("delete", GroupCommand::Delete),
        ("modify", GroupCommand::Modify),
        ("add_or_mod", GroupCommand::AddOrModify),
        ("insert_bucket", GroupCommand::InsertBucket),
        ("remove_bucket", GroupCommand::RemoveBucket),
    ];
    let (first, rest) = line.split_once([' ', '\t', ',']).unwrap_or((line, ""));
    WORDS
        .iter()
        .find(|(word, _)| *word == first)
        .map_or((GroupCommand::Add, line), |(_, command)| (*command, rest.trim()))
}

pub(super) fn mod_group(context: &mut Context<'_>) -> Result<u8, Fatal> {
    let command = if context.settings.may_create { GroupCommand::AddOrModify } else { GroupCommand::Modify };
    changed(context, command)
}

pub(super) fn delete_groups(context: &mut Context<'_>) -> Result<u8, Fatal> {
    changed(context, GroupCommand::Delete)
}

pub(super) fn insert_buckets(context: &mut Context<'_>) -> Result<u8, Fatal> {
    changed(context, GroupCommand::InsertBucket)
}

pub(super) fn remove_buckets(context: &mut Context<'_>) -> Result<u8, Fatal> {
    changed(context, GroupCommand::RemoveBucket)
}

fn group_of(context: &Context<'_>) -> Result<u32, Fatal> {
    let Some(word) = context.words.get(1) else { return Ok(GroupMod::ALL) };
    let word = word.strip_prefix("group_id=").unwrap_or(word);
    match (word, parse_number(word).ok().and_then(|number| u32::try_from(number).ok())) {
        ("all" | "ALL", _) => Ok(GroupMod::ALL),
        (_, Some(number)) => Ok(number),
        _ => fail(format!("invalid group \"{word}\"")),
    }
}

pub(super) fn dump_groups(context: &mut Context<'_>) -> Result<u8, Fatal> {
    let group = group_of(context)?;
    print_reply(context, Request::GroupDesc(group))
}

pub(super) fn dump_group_stats(context: &mut Context<'_>) -> Result<u8, Fatal> {
    let group = group_of(context)?;
    print_reply(context, Request::GroupStats(group))
}

pub(super) fn dump_group_features(context: &mut Context<'_>) -> Result<u8, Fatal> {
    print_reply(context, Request::GroupFeatures)
}

fn meter_of(context: &Context<'_>) -> Result<u32, Fatal> {
    let Some(word) = context.words.get(1) else { return Ok(MeterMod::ALL) };
    parse_meter_id(word.strip_prefix("meter=").unwrap_or(word)).map_err(|error| Fatal::new(error.to_string()))
}

fn change_meter(context: &mut Context<'_>, text: &str, command: u16) -> Result<u8, Fatal> {
    let meter = parse_meter(text, command).map_err(|error| Fatal::new(error.to_string()))?;
    need_meters(context)?;
    let mut connection = context.open()?;
    let error = connection.settle(vec![(Body::MeterMod(meter), false)])?;
    context.refuse(error)?;
    Ok(0)
}

pub(super) fn add_meter(context: &mut Context<'_>) -> Result<u8, Fatal> {
    let text = context.words[1].clone();
    change_meter(context, &text, MeterMod::ADD)
}

pub(super) fn mod_meter(context: &mut Context<'_>) -> Result<u8, Fatal> {
    let text = context.words[1].clone();
    change_meter(context, &text, MeterMod::MODIFY)
}

pub(super) fn delete_meters(context: &mut Context<'_>) -> Result<u8, Fatal> {
    let text = context.words.get(1).map_or_else(|| "meter=all".to_owned(), String::clone);
    change_meter(context, &text, MeterMod::DELETE)
}

pub(super) fn dump_meters(context: &mut Context<'_>) -> Result<u8, Fatal> {
    need_meters(context)?;
    let meter = meter_of(context)?;
    print_reply(context, Request::MeterConfig(meter))
}

pub(super) fn meter_stats(context: &mut Context<'_>) -> Result<u8, Fatal> {
    need_meters(context)?;
    let meter = meter_of(context)?;
    print_reply(context, Request::MeterStats(meter))
}

pub(super) fn meter_features(context: &mut Context<'_>) -> Result<u8, Fatal> {
    need_meters(context)?;
    print_reply(context, Request::MeterFeatures)
}
