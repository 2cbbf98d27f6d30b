//! Groups: changes of the group table, descriptions and counters (OpenFlow 1.1.0 to OpenFlow 1.5.1 section 7.3.4.3 and
//! "Group Description"; Nicira's for OpenFlow 1.0, which are those of OpenFlow 1.5 with actions of 1.0).

use std::time::Duration;

use heddle_flow::Field;

use crate::action::Action;
use crate::bytes::{Put, Reader};
use crate::error::OfError;
use crate::version::Version;
use crate::{dialect, oxm, property};

/// Bytes of a bucket before its actions, before OpenFlow 1.5.
const BUCKET_LEN: usize = 16;
/// The experimenter whose property says how buckets are selected, and that property.
const NETRONOME: u32 = 0x0000_154d;
/// What Open vSwitch 2.4 took it for.
const NETRONOME_ONCE: u32 = 0x0000_1540;
const SELECTION: u32 = 1;
/// Bytes of the name of a selection method.
const METHOD_LEN: usize = 16;
/// Properties of buckets.
const WEIGHT: u16 = 0;
const WATCH_PORT: u16 = 1;
const WATCH_GROUP: u16 = 2;

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
    /// Its number, which OpenFlow 1.5 has; [`Bucket::NO_ID`] for none.
    pub bucket_id: u32,
    /// Its share among those of a select group.
    pub weight: u16,
    /// The port that must be live; [`crate::port::ANY`] for none.
    pub watch_port: u32,
    /// The group that must be live; [`GroupMod::ANY`] for none.
    pub watch_group: u32,
    /// What it does, run as an action set.
    pub actions: Vec<Action>,
}

impl Default for Bucket {
    fn default() -> Self {
        Self {
            bucket_id: Self::NO_ID,
            weight: 0,
            watch_port: crate::port::ANY,
            watch_group: GroupMod::ANY,
            actions: Vec::new(),
        }
    }
}

impl Bucket {
    /// Highest number of a bucket.
    pub const MAX: u32 = 0xffff_ff00;
    /// The first bucket, in a command.
    pub const FIRST: u32 = 0xffff_fffd;
    /// The last bucket, in a command.
    pub const LAST: u32 = 0xffff_fffe;
    /// Every bucket, in a command.
    pub const ALL: u32 = 0xffff_ffff;
    /// The bucket has no number yet.
    pub const NO_ID: u32 = 0xffff_ffff;

    /// Whether anything must be live.
    #[must_use]
    pub fn watches(&self) -> bool {
        self.watch_port != crate::port::ANY || self.watch_group != GroupMod::ANY
    }
}

/// How a select group selects, beside the connection's hash.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// Name of the method: `hash` or `dp_hash`; empty for the switch's own.
    pub method: String,
    /// What the method takes.
    pub parameter: u64,
    /// Fields to hash, with the bits of each that count.
    pub fields: Vec<(Field, u128)>,
}

/// What a group-mod does, numbered as on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum GroupCommand {
    /// Adds a group.
    Add = 0,
    /// Changes a group that is there.
    Modify = 1,
    /// Deletes groups.
    Delete = 2,
    /// Puts buckets into a group (OpenFlow 1.5).
    InsertBucket = 3,
    /// Takes buckets out of a group (OpenFlow 1.5).
    RemoveBucket = 5,
    /// Adds a group, or changes it if it is there (Nicira's).
    AddOrModify = 0x8000,
}

impl GroupCommand {
    /// Every command.
    pub const ALL: [GroupCommand; 6] =
        [Self::Add, Self::Modify, Self::Delete, Self::InsertBucket, Self::RemoveBucket, Self::AddOrModify];
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
    /// The bucket that [`GroupCommand::InsertBucket`] and [`GroupCommand::RemoveBucket`] are about.
    pub command_bucket_id: u32,
    /// The buckets.
    pub buckets: Vec<Bucket>,
    /// How they are selected.
    pub selection: Selection,
}

impl Default for GroupMod {
    fn default() -> Self {
        Self {
            command: GroupCommand::Add,
            kind: GroupKind::All,
            group_id: 0,
            command_bucket_id: Bucket::ALL,
            buckets: Vec::new(),
            selection: Selection::default(),
        }
    }
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
    /// How they are selected.
    pub selection: Selection,
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
    /// Since it was made; OpenFlow 1.1 and 1.2 do not tell it.
    pub duration: Option<Duration>,
    /// Packets and bytes of each bucket.
    pub buckets: Vec<(u64, u64)>,
}

/// Whether buckets have numbers and properties.
fn has_properties(version: Version) -> bool {
    version == Version::V1_0 || version >= Version::V1_5
}

fn decode_kind(number: u8) -> Result<GroupKind, OfError> {
    GroupKind::ALL.get(usize::from(number)).copied().ok_or(OfError::GroupModBadType)
}

pub(crate) fn decode_group_mod(reader: &mut Reader<'_>, version: Version) -> Result<GroupMod, OfError> {
    let (command, kind) = (reader.u16()?, reader.u8()?);
    reader.skip(1)?;
    let group_id = reader.u32()?;
    let command = GroupCommand::ALL.into_iter().find(|known| *known as u16 == command);
    let command = command.ok_or(OfError::GroupModBadCommand)?;
    let newer = matches!(command, GroupCommand::InsertBucket | GroupCommand::RemoveBucket);
    if newer && !has_properties(version) {
        return Err(OfError::GroupModBadCommand);
    }
    let kind = decode_kind(kind)?;
    let mut group = GroupMod { command, kind, group_id, ..GroupMod::default() };
    if !has_properties(version) {
        let mut rest = Reader::new(reader.rest(), OfError::GroupModBadBucket);
        group.buckets = decode_buckets(&mut rest, version)?;
        return Ok(group);
    }
    let length = usize::from(reader.u16()?);
    reader.skip(2)?;
    group.command_bucket_id = reader.u32()?;
    let mut buckets =
        reader.part(length, OfError::GroupModBadBucket).map_err(|_| OfError::RequestBadLength)?;
    group.buckets = decode_buckets(&mut buckets, version)?;
    group.selection = decode_selection(reader)?;
    Ok(group)
}

pub(crate) fn encode_group_mod(out: &mut Vec<u8>, version: Version, group: &GroupMod) {
    out.u16(group.command as u16);
    out.u8(group.kind as u8);
    out.zeros(1);
    out.u32(group.group_id);
    if !has_properties(version) {
        return encode_buckets(out, version, &group.buckets);
    }
    let at = out.len();
    out.zeros(4);
    out.u32(group.command_bucket_id);
    encode_buckets(out, version, &group.buckets);
    out.length_at(at, at + 8);
    encode_selection(out, &group.selection);
}

fn decode_buckets(reader: &mut Reader<'_>, version: Version) -> Result<Vec<Bucket>, OfError> {
    let mut buckets: Vec<Bucket> = Vec::new();
    while reader.left() != 0 {
        let mut header = *reader;
        let length = usize::from(header.u16()?);
        if length < BUCKET_LEN && (!has_properties(version) || length < 8) || length % 8 != 0 {
            return Err(OfError::GroupModBadBucket);
        }
        let mut body = reader.part(length, OfError::GroupModBadBucket)?;
        body.skip(2)?;
        if has_properties(version) {
            let bucket = decode_bucket_15(&mut body, version)?;
            if buckets.iter().any(|other| other.bucket_id == bucket.bucket_id) {
                return Err(OfError::GroupModBucketExists);
            }
            buckets.push(bucket);
            continue;
        }
        let (weight, watch_port, watch_group) = (body.u16()?, body.u32()?, body.u32()?);
        body.skip(4)?;
        let mut rest = Reader::new(body.rest(), OfError::ActionBadLength);
        let actions = dialect::decode_actions(&mut rest, version, None)?;
        buckets.push(Bucket { bucket_id: Bucket::NO_ID, weight, watch_port, watch_group, actions });
    }
    Ok(buckets)
}

fn decode_bucket_15(body: &mut Reader<'_>, version: Version) -> Result<Bucket, OfError> {
    let length = usize::from(body.u16()?);
    let bucket_id = body.u32()?;
    if bucket_id > Bucket::MAX {
        return Err(OfError::GroupModBadBucket);
    }
    let mut list = body.part(length, OfError::ActionBadLength)?;
    let actions = dialect::decode_actions(&mut list, version, None)?;
    let mut bucket = Bucket { bucket_id, actions, ..Bucket::default() };
    while body.left() != 0 {
        match property::next(body)? {
            (WEIGHT, mut value) => bucket.weight = value.u16()?,
            (WATCH_PORT, mut value) => bucket.watch_port = value.u32()?,
            (WATCH_GROUP, mut value) => bucket.watch_group = value.u32()?,
            (kind, _) => return Err(property::unknown(kind)),
        }
    }
    Ok(bucket)
}

fn encode_buckets(out: &mut Vec<u8>, version: Version, buckets: &[Bucket]) {
    // Those without a number get the next ones.
    let numbered = buckets.iter().map(|bucket| bucket.bucket_id).filter(|id| *id <= Bucket::MAX);
    let mut next = numbered.max().map_or(0, |most| most.wrapping_add(1));
    for bucket in buckets {
        let start = out.len();
        if !has_properties(version) {
            out.u16(0);
            out.u16(bucket.weight);
            out.u32(bucket.watch_port);
            out.u32(bucket.watch_group);
            out.zeros(4);
            dialect::encode_actions(out, version, &bucket.actions, None);
            out.length_at(start, start);
            continue;
        }
        out.zeros(4);
        let number = if bucket.bucket_id == Bucket::NO_ID { next } else { bucket.bucket_id };
        next = next.wrapping_add(u32::from(number == next));
        out.u32(number);
        let at = out.len();
        dialect::encode_actions(out, version, &bucket.actions, None);
        out.length_at(start + 2, at);
        property::put(out, WEIGHT, |out| out.u16(bucket.weight));
        if bucket.watch_port != crate::port::ANY {
            property::put(out, WATCH_PORT, |out| out.u32(bucket.watch_port));
        }
        if bucket.watch_group != GroupMod::ANY {
            property::put(out, WATCH_GROUP, |out| out.u32(bucket.watch_group));
        }
        out.length_at(start, start);
    }
}

fn decode_selection(reader: &mut Reader<'_>) -> Result<Selection, OfError> {
    let mut selection = Selection::default();
    while reader.left() != 0 {
        let (kind, mut body) = property::next(reader)?;
        if kind != property::EXPERIMENTER {
            return Err(OfError::PropertyBadType);
        }
        if !matches!(body.u32()?, NETRONOME | NETRONOME_ONCE) {
            return Err(OfError::PropertyBadExperimenter);
        }
        if body.u32()? != SELECTION {
            return Err(OfError::PropertyBadExpType);
        }
        body.skip(4)?;
        selection.method = body.name(METHOD_LEN)?;
        selection.parameter = body.u64()?;
        while body.left() != 0 {
            let (field, value, mask) = oxm::decode_entry(&mut body)?;
            selection.fields.push((field, value & mask));
        }
    }
    Ok(selection)
}

fn encode_selection(out: &mut Vec<u8>, selection: &Selection) {
    if selection.method.is_empty() && selection.fields.is_empty() && selection.parameter == 0 {
        return;
    }
    property::put(out, property::EXPERIMENTER, |out| {
        out.u32(NETRONOME);
        out.u32(SELECTION);
        out.zeros(4);
        out.name(&selection.method, METHOD_LEN);
        out.u64(selection.parameter);
        for (field, bits) in &selection.fields {
            oxm::encode_entry(out, (*field, *bits, field.spec().full_mask()));
        }
    });
}

pub(crate) fn encode_desc(out: &mut Vec<u8>, version: Version, group: &GroupDesc) {
    let start = out.len();
    out.u16(0);
    out.u8(group.kind as u8);
    out.zeros(1);
    out.u32(group.group_id);
    if has_properties(version) {
        let at = out.len();
        out.zeros(8);
        encode_buckets(out, version, &group.buckets);
        out.length_at(at, at + 8);
        encode_selection(out, &group.selection);
    } else {
        encode_buckets(out, version, &group.buckets);
    }
    out.length_at(start, start);
}

pub(crate) fn decode_desc(reader: &mut Reader<'_>, version: Version) -> Result<GroupDesc, OfError> {
    let mut body = reader.sized(0, OfError::RequestBadLength)?;
    let kind = decode_kind(body.u8()?)?;
    body.skip(1)?;
    let group_id = body.u32()?;
    if !has_properties(version) {
        let buckets = decode_buckets(&mut body, version)?;
        return Ok(GroupDesc { kind, group_id, buckets, selection: Selection::default() });
    }
    let length = usize::from(body.u16()?);
    body.skip(6)?;
    let buckets = decode_buckets(&mut body.part(length, OfError::GroupModBadBucket)?, version)?;
    Ok(GroupDesc { kind, group_id, buckets, selection: decode_selection(&mut body)? })
}

/// Whether counters of groups tell how long each has been there.
fn has_duration(version: Version) -> bool {
    !matches!(version, Version::V1_1 | Version::V1_2)
}

pub(crate) fn encode_stats(out: &mut Vec<u8>, version: Version, group: &GroupStats) {
    let start = out.len();
    out.zeros(4);
    out.u32(group.group_id);
    out.u32(group.references);
    out.zeros(4);
    out.u64(group.packets);
    out.u64(group.bytes);
    if has_duration(version) {
        out.perhaps_duration(group.duration);
    }
    for (packets, bytes) in &group.buckets {
        out.u64(*packets);
        out.u64(*bytes);
    }
    out.length_at(start, start);
}

pub(crate) fn decode_stats(reader: &mut Reader<'_>, version: Version) -> Result<GroupStats, OfError> {
    let mut body = reader.sized(0, OfError::RequestBadLength)?;
    body.skip(2)?;
    let (group_id, references) = (body.u32()?, body.u32()?);
    body.skip(4)?;
    let (packets, bytes) = (body.u64()?, body.u64()?);
    let duration = if has_duration(version) { body.perhaps_duration()? } else { None };
    let mut buckets = Vec::new();
    while body.left() != 0 {
        buckets.push((body.u64()?, body.u64()?));
    }
    Ok(GroupStats { group_id, references, packets, bytes, duration, buckets })
}
