//! Groups in text.

use heddle_flow::Field;
use heddle_openflow::Version;
use heddle_openflow::group::{Bucket, GroupCommand, GroupDesc, GroupKind, GroupMod, GroupStats, Selection};
use heddle_openflow::text::print_value;

use super::field_names;
use super::ports::port_name;
use crate::ofctl::flow_text::{self, duration};

/// Actions of OpenFlow 1.1 and later by number, in the order that they are printed.
pub const ACTIONS: [(u32, &str); 16] = [
    (0, "output"),
    (22, "group"),
    (25, "set_field"),
    (18, "strip_vlan"),
    (17, "push_vlan"),
    (11, "copy_ttl_out"),
    (12, "copy_ttl_in"),
    (23, "mod_nw_ttl"),
    (24, "dec_ttl"),
    (15, "set_mpls_ttl"),
    (16, "dec_mpls_ttl"),
    (19, "push_mpls"),
    (20, "pop_mpls"),
    (26, "push_pbb"),
    (27, "pop_pbb"),
    (21, "set_queue"),
];

/// A group's number; those that stand for several by name.
fn number(group: u32) -> String {
    match group {
        GroupMod::ALL => "ALL".into(),
        GroupMod::ANY => "ANY".into(),
        number => number.to_string(),
    }
}

fn kind(kind: GroupKind) -> &'static str {
    match kind {
        GroupKind::All => "all",
        GroupKind::Select => "select",
        GroupKind::Indirect => "indirect",
        GroupKind::FastFailover => "ff",
    }
}

/// A bucket's number before what it does; versions without numbers say none.
fn bucket_number(label: &str, bucket: u32, version: Version) -> String {
    if version != Version::V1_0 && version < Version::V1_5 {
        return String::new();
    }
    match bucket {
        Bucket::FIRST => format!("{label}first,"),
        Bucket::LAST => format!("{label}last,"),
        Bucket::ALL => format!("{label}all,"),
        number => format!("{label}{number},"),
    }
}

fn selection(selection: &Selection) -> String {
    if selection.method.is_empty() {
        return String::new();
    }
    let mut out = format!(",selection_method={}", selection.method);
    if selection.parameter != 0 {
        out += &format!(",selection_method_param={}", selection.parameter);
    }
    let field = |(field, bits): &(Field, u128)| {
        let name = field_names::name(*field);
        match *bits == field.spec().full_mask() {
            true => name.1.to_owned(),
            false => format!("{}={}", name.1, print_value(*field, *bits)),
        }
    };
    let mut listed = selection.fields.clone();
    listed.sort_by_key(|(field, _)| field_names::name(*field).0);
    let fields: Vec<String> = listed.iter().map(field).collect();
    match fields.as_slice() {
        [] => out,
        [one] => format!("{out},fields={one}"),
        fields => format!("{out},fields({})", fields.join(",")),
    }
}

fn bucket(bucket: &Bucket, group: GroupKind, version: Version) -> String {
    let mut out = format!(",bucket={}", bucket_number("bucket_id:", bucket.bucket_id, version));
    if bucket.weight != u16::from(group == GroupKind::Select) {
        out += &format!("weight:{},", bucket.weight);
    }
    if bucket.watch_port != heddle_openflow::port::ANY {
        out += &format!("watch_port:{},", port_name(bucket.watch_port));
    }
    if bucket.watch_group != GroupMod::ANY {
        out += &format!("watch_group:{},", bucket.watch_group);
    }
    out + &format!("actions={}", flow_text::actions(&bucket.actions, version))
}

fn described(
    group_id: u32,
    kind_: Option<GroupKind>,
    (buckets, selected): (&[Bucket], &Selection),
    version: Version,
) -> String {
    let named = kind_.map_or_else(String::new, |known| format!(",type={}", kind(known)));
    let all: String =
        buckets.iter().map(|one| bucket(one, kind_.unwrap_or(GroupKind::All), version)).collect();
    format!("group_id={group_id}{named}{}{all}", selection(selected))
}

/// A change of the group table.
pub fn change(group: &GroupMod, version: Version) -> String {
    let command = match group.command {
        GroupCommand::Add => "ADD",
        GroupCommand::Modify => "MOD",
        GroupCommand::Delete => "DEL",
        GroupCommand::InsertBucket => "INSERT_BUCKET",
        GroupCommand::RemoveBucket => "REMOVE_BUCKET",
        GroupCommand::AddOrModify => "ADD_OR_MOD",
    };
    let of_buckets = matches!(group.command, GroupCommand::InsertBucket | GroupCommand::RemoveBucket);
    let number = match of_buckets {
        true => bucket_number("command_bucket_id:", group.command_bucket_id, version),
        false => String::new(),
    };
    let kind = (!of_buckets).then_some(group.kind);
    let text = described(group.group_id, kind, (&group.buckets, &group.selection), version);
    format!("\n {command} {number}{text}")
}

/// Groups.
pub fn descriptions(groups: &[GroupDesc], version: Version) -> String {
    let line = |group: &GroupDesc| {
        let text = described(group.group_id, Some(group.kind), (&group.buckets, &group.selection), version);
        format!("\n {text}")
    };
    groups.iter().map(line).collect::<String>() + "\n"
}

/// Which group is asked for.
pub fn wanted(group: u32) -> String {
    format!(" group_id={}", number(group))
}

/// Counters of groups.
pub fn statistics(groups: &[GroupStats]) -> String {
    let line = |group: &GroupStats| {
        let mut out = format!("\n group_id={},", group.group_id);
        if let Some(since) = group.duration {
            out += &format!("duration={}s,", duration(since));
        }
        out += &format!(
            "ref_count={},packet_count={},byte_count={}",
            group.references, group.packets, group.bytes
        );
        for (index, (packets, bytes)) in group.buckets.iter().enumerate() {
            out += &format!(",bucket{index}:packet_count={packets},byte_count={bytes}");
        }
        out
    };
    groups.iter().map(line).collect::<String>() + "\n"
}

/// Actions that a version has by number.
fn actions_of(version: Version) -> &'static [(u32, &'static str)] {
    match version {
        Version::V1_0 => &super::ACTIONS,
        _ => &ACTIONS,
    }
}

/// What groups can do.
pub fn features(words: &[u32; 10], version: Version) -> String {
    let mut out =
        format!("\n Group table:\n    Types:  {:#x}\n    Capabilities:  {:#x}\n", words[0], words[1]);
    for (index, name) in ["all", "select", "indirect", "fast failover"].iter().enumerate() {
        if words[0] >> index & 1 == 0 {
            continue;
        }
        let actions: Vec<&str> = actions_of(version)
            .iter()
            .filter(|(bit, _)| words[6 + index] >> bit & 1 != 0)
            .map(|row| row.1)
            .collect();
        out += &format!(
            "    {name} group:\n       max_groups={:#x}\n       actions: {}\n",
            words[2 + index],
            actions.join(" ")
        );
    }
    out
}
