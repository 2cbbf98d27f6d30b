//! Groups: changes of the group table, descriptions and counters (OpenFlow 1.3.5 sections 7.3.4.2 and 7.3.5.5 to 7.3.5.8).

use crate::action::Action;
use crate::action_codec::{decode_actions, encode_actions};
use crate::bytes::{Put, Reader};
use crate::error::OfError;

/// Bytes of a bucket before its actions.
const BUCKET_LEN: usize = 16;

/// How a group's buckets are run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum GroupKind {
    /// Each with a copy of the packet.
    All,
    /// One, chosen by the packet's connection and the buckets' weights.
    Select,
    /// The one that there is.
    Indirect,
    /// The first that is live.
    FastFailover,
}

impl GroupKind {
    /// Every kind, by number.
    pub const ALL: [GroupKind; 4] = [Self::All, Self::Select, Self::Indirect, Self::FastFailover];
}

/// One bucket of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// Its share among those of a select group.
    pub weight: u16,
    /// The port that must be live; [`crate::port::ANY`] for none.
    pub watch_port: u32,
    /// The group that must be live; [`GroupMod::ANY`] for none.
    pub watch_group: u32,
    /// What it does, run as an action set.
    pub actions: Vec<Action>,
}

impl Bucket {
    /// Whether anything must be live.
    #[must_use]
    pub fn watches(&self) -> bool {
        self.watch_port != crate::port::ANY || self.watch_group != GroupMod::ANY
    }
}

/// What a group-mod does, numbered as on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum GroupCommand {
    /// Adds a group.
    Add,
    /// Changes a group that is there.
    Modify,
    /// Deletes groups.
    Delete,
}

/// A change of the group table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupMod {
    /// What it does.
    pub command: GroupCommand,
    /// How the buckets are run.
    pub kind: GroupKind,
    /// The group; [`GroupMod::ALL`] for all, when deleting.
    pub group_id: u32,
    /// The buckets.
    pub buckets: Vec<Bucket>,
}

impl GroupMod {
    /// Every group.
    pub const ALL: u32 = 0xffff_fffc;
    /// Any group, or none.
    pub const ANY: u32 = 0xffff_ffff;
    /// Highest number of a group.
    pub const MAX: u32 = 0xffff_ff00;
}

/// A group, as described to controllers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupDesc {
    /// Its number.
    pub group_id: u32,
    /// How the buckets are run.
    pub kind: GroupKind,
    /// The buckets.
    pub buckets: Vec<Bucket>,
}

/// Counters of a group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupStats {
    /// Its number.
    pub group_id: u32,
    /// Flows and groups that send to it.
    pub references: u32,
    /// Packets that it took.
    pub packets: u64,
    /// Bytes that it took.
    pub bytes: u64,
    /// Milliseconds since it was made.
    pub duration_ms: u64,
    /// Packets and bytes of each bucket.
    pub buckets: Vec<(u64, u64)>,
}

fn decode_kind(number: u8) -> Result<GroupKind, OfError> {
    GroupKind::ALL.get(usize::from(number)).copied().ok_or(OfError::GroupModBadType)
}

pub(crate) fn decode_group_mod(reader: &mut Reader<'_>) -> Result<GroupMod, OfError> {
    let (command, kind) = (reader.u16()?, reader.u8()?);
    reader.skip(1)?;
    let group_id = reader.u32()?;
    let command = match command {
        0 => GroupCommand::Add,
        1 => GroupCommand::Modify,
        2 => GroupCommand::Delete,
        _ => return Err(OfError::GroupModBadCommand),
    };
    let kind = decode_kind(kind)?;
    let mut rest = Reader::new(reader.rest(), OfError::GroupModBadBucket);
    let buckets = decode_buckets(&mut rest)?;
    Ok(GroupMod { command, kind, group_id, buckets })
}

pub(crate) fn encode_group_mod(out: &mut Vec<u8>, group: &GroupMod) {
    out.u16(group.command as u16);
    out.u8(group.kind as u8);
    out.zeros(1);
    out.u32(group.group_id);
    encode_buckets(out, &group.buckets);
}

fn decode_buckets(reader: &mut Reader<'_>) -> Result<Vec<Bucket>, OfError> {
    let mut buckets = Vec::new();
    while reader.left() != 0 {
        let mut header = *reader;
        let length = usize::from(header.u16()?);
        if length < BUCKET_LEN || length % 8 != 0 {
            return Err(OfError::GroupModBadBucket);
        }
        let mut body = reader.part(length, OfError::GroupModBadBucket)?;
        body.skip(2)?;
        let (weight, watch_port, watch_group) = (body.u16()?, body.u32()?, body.u32()?);
        body.skip(4)?;
        let mut rest = Reader::new(body.rest(), OfError::ActionBadLength);
        buckets.push(Bucket { weight, watch_port, watch_group, actions: decode_actions(&mut rest)? });
    }
    Ok(buckets)
}

fn encode_buckets(out: &mut Vec<u8>, buckets: &[Bucket]) {
    for bucket in buckets {
        let start = out.len();
        out.u16(0);
        out.u16(bucket.weight);
        out.u32(bucket.watch_port);
        out.u32(bucket.watch_group);
        out.zeros(4);
        encode_actions(out, &bucket.actions);
        out.length_at(start, start);
    }
}

pub(crate) fn encode_desc(group: &GroupDesc) -> Vec<u8> {
    let mut out = Vec::new();
    out.u16(0);
    out.u8(group.kind as u8);
    out.zeros(1);
    out.u32(group.group_id);
    encode_buckets(&mut out, &group.buckets);
    out.length_at(0, 0);
    out
}

/// What is left of an item whose length, which counts itself, stands before it.
fn item<'a>(reader: &mut Reader<'a>) -> Result<Reader<'a>, OfError> {
    let length = usize::from(reader.u16()?).checked_sub(2).ok_or(OfError::RequestBadLength)?;
    reader.part(length, OfError::RequestBadLength)
}

pub(crate) fn decode_desc(reader: &mut Reader<'_>) -> Result<GroupDesc, OfError> {
    let mut body = item(reader)?;
    let kind = decode_kind(body.u8()?)?;
    body.skip(1)?;
    Ok(GroupDesc { kind, group_id: body.u32()?, buckets: decode_buckets(&mut body)? })
}

pub(crate) fn encode_stats(group: &GroupStats) -> Vec<u8> {
    let mut out = Vec::new();
    out.u16(0);
    out.zeros(2);
    out.u32(group.group_id);
    out.u32(group.references);
    out.zeros(4);
    out.u64(group.packets);
    out.u64(group.bytes);
    out.duration(group.duration_ms);
    for (packets, bytes) in &group.buckets {
        out.u64(*packets);
        out.u64(*bytes);
    }
    out.length_at(0, 0);
    out
}

pub(crate) fn decode_stats(reader: &mut Reader<'_>) -> Result<GroupStats, OfError> {
    let mut body = item(reader)?;
    body.skip(2)?;
    let (group_id, references) = (body.u32()?, body.u32()?);
    body.skip(4)?;
    let (packets, bytes, duration_ms) = (body.u64()?, body.u64()?, body.duration()?);
    let mut buckets = Vec::new();
    while body.left() != 0 {
        buckets.push((body.u64()?, body.u64()?));
    }
    Ok(GroupStats { group_id, references, packets, bytes, duration_ms, buckets })
}
