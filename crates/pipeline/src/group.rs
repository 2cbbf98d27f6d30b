//! The group table (OpenFlow 1.3.5 sections 5.6 and 6.7).
//!
//! A group's buckets run on copies of the packet, each as an action set. Which bucket of a select group takes a packet
//! is decided by rendezvous hashing over the packet's connection: a bucket that comes or goes moves only the
//! connections that are its own. What was hashed is part of the megaflow's mask, so that a connection keeps its bucket in
//! the cache.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use heddle_flow::field::Prerequisite;
use heddle_flow::{Field, FlowKey, FlowMask};
use heddle_openflow::action::HashFields;
use heddle_openflow::consistency::Known;
use heddle_openflow::group::{Bucket, GroupCommand, GroupDesc, GroupKind, GroupMod, GroupStats, Selection};
use heddle_openflow::{Action, Instruction, OfError, port};
use heddle_wire::{ethertype, ipproto};

use crate::bridge::{Bridge, Origin};
use crate::flow_mod::{FlowChange, Gone, uses};
use crate::hash::{self, mix};
use crate::table::{ChangeLog, Flow, FlowStats, Snapshot};

/// Most groups of a bridge.
pub const MAX_GROUPS: usize = 65_536;
/// Most buckets of a group.
const MAX_BUCKETS: usize = 4_096;
/// The algorithm of `dp_hash` that is the same in both directions, in the upper half of its parameter.
const SYMMETRIC: u64 = 1;
/// Groups within each other that liveness is looked for in.
const MAX_WATCHED: u32 = 16;

/// A group.
#[derive(Debug)]
pub struct Group {
    /// Its number.
    pub id: u32,
    /// How its buckets are run.
    pub kind: GroupKind,
    /// Its buckets, each with a number of its own.
    pub buckets: Vec<Bucket>,
    /// How a select group selects.
    pub selection: Selection,
    /// When it was made, in milliseconds of the datapath's clock.
    pub created_ms: u64,
    /// What it took.
    pub stats: Arc<FlowStats>,
    /// What each bucket took.
    pub bucket_stats: Vec<Arc<FlowStats>>,
}

impl Group {
    fn new(group: &GroupMod, created_ms: u64) -> Self {
        let mut buckets = group.buckets.clone();
        // Versions before 1.5 number no buckets.
        for (bucket, number) in buckets.iter_mut().zip(0..).filter(|(one, _)| one.bucket_id == Bucket::NO_ID)
        {
            bucket.bucket_id = number;
        }
        Self {
            id: group.group_id,
            kind: group.kind,
            buckets,
            selection: group.selection.clone(),
            created_ms,
            stats: Arc::default(),
            bucket_stats: group.buckets.iter().map(|_| Arc::default()).collect(),
        }
    }

    /// The number that a select group selects by, and the bits of a packet that it comes from.
    #[must_use]
    pub fn hash(&self, key: &FlowKey) -> (u64, FlowMask) {
        let Selection { method, parameter, fields } = &self.selection;
        let mut looked_at = FlowMask::default();
        if method == "dp_hash" && parameter >> 32 == SYMMETRIC {
            let (hash, fields) = hash::of_fields(key, HashFields::SymmetricL4, 0);
            fields.into_iter().for_each(|field| looked_at.add(field));
            return (mix(hash, *parameter), looked_at);
        }
        let mut hash = *parameter;
        let mut fold = |field: Field, bits: u128| {
            let value = key.get(field) & bits;
            hash = mix(mix(hash, value as u64), (value >> 64) as u64);
            looked_at.add_bits(field, bits);
        };
        if fields.is_empty() {
            connection_fields(key).for_each(|field| fold(field, field.spec().full_mask()));
            return (hash, looked_at);
        }
        // Whether a packet has a field depends on its kind.
        for kind in [Field::EthType, Field::NwProto, Field::IpFrag] {
            fold(kind, kind.spec().full_mask());
        }
        for (field, bits) in fields {
            let prerequisite = field.spec().prerequisite;
            match prerequisite {
                Prerequisite::Vlan => fold(Field::VlanTci, 0x1000),
                Prerequisite::Nd | Prerequisite::NdSolicit | Prerequisite::NdAdvert => {
                    fold(Field::Icmpv6Type, Field::Icmpv6Type.spec().full_mask());
                }
                _ => {}
            }
            let there = prerequisite.holds(key, None);
            fold(*field, if there { *bits } else { 0 });
        }
        (hash, looked_at)
    }

    /// Its buckets that are live, by index.
    fn live<'a>(&'a self, snapshot: &'a Snapshot) -> impl Iterator<Item = usize> + 'a {
        (0..self.buckets.len()).filter(|&index| is_live(&self.buckets[index], snapshot, 0))
    }

    /// The buckets that take a packet, by index; `hash` is [`Group::hash`]'s.
    #[must_use]
    pub fn chosen(&self, snapshot: &Snapshot, hash: u64) -> Vec<usize> {
        match self.kind {
            GroupKind::All => (0..self.buckets.len()).collect(),
            GroupKind::Indirect => (0..self.buckets.len()).take(1).collect(),
            GroupKind::FastFailover => self.live(snapshot).take(1).collect(),
            GroupKind::Select => {
                let score = |index: &usize| score(hash, &self.buckets[*index]);
                let weighty = self.live(snapshot).filter(|&index| self.buckets[index].weight != 0);
                weighty.min_by(|a, b| score(a).total_cmp(&score(b))).into_iter().collect()
            }
        }
    }
}

/// Whether what a bucket watches is live; what watches nothing is.
fn is_live(bucket: &Bucket, snapshot: &Snapshot, depth: u32) -> bool {
    if !bucket.watches() {
        return true;
    }
    let port = snapshot.ports.get(&bucket.watch_port).is_some_and(|port| port.is_live());
    let group = || {
        let group = snapshot.groups.get(&bucket.watch_group).filter(|_| depth < MAX_WATCHED)?;
        group.buckets.iter().any(|bucket| is_live(bucket, snapshot, depth + 1)).then_some(())
    };
    port || group().is_some()
}

/// The fields by which connections are told apart, as far as a packet has them: its addresses in each layer, so that
/// traffic that differs in one layer only is spread too.
pub fn connection_fields(key: &FlowKey) -> impl Iterator<Item = Field> + use<> {
    use Field as F;
    let fragment = key.frag() != 0;
    let network: &[Field] = match key.eth_type() {
        ethertype::IPV4 => &[F::NwProto, F::IpFrag, F::Ipv4Src, F::Ipv4Dst],
        ethertype::IPV6 => &[F::NwProto, F::IpFrag, F::Ipv6Src, F::Ipv6Dst],
        ethertype::ARP => &[F::ArpSpa, F::ArpTpa],
        _ => &[],
    };
    let transport: &[Field] = match (key.eth_type(), key.ip_proto()) {
        (ethertype::IPV4 | ethertype::IPV6, ipproto::TCP | ipproto::UDP | ipproto::SCTP) if !fragment => {
            &[F::TcpSrc, F::TcpDst]
        }
        _ => &[],
    };
    [F::EthType, F::EthSrc, F::EthDst, F::VlanTci].into_iter().chain(network.iter().chain(transport).copied())
}

/// The lower wins: exponentially distributed with the bucket's weight as rate, so that each wins by its share.
fn score(hash: u64, bucket: &Bucket) -> f64 {
    let uniform = (mix(hash, u64::from(bucket.bucket_id) + 1) >> 11) as f64 / (1u64 << 53) as f64;
    -(1.0 - uniform).ln() / f64::from(bucket.weight)
}

impl Bridge {
    /// Changes the group table in one swap, as a connection asks. Returns the flows that went with a deleted group.
    ///
    /// # Errors
    /// The error that the specification names; nothing has changed then.
    pub fn group_mod(
        &self,
        group: &GroupMod,
        by: Option<Origin>,
        now_ms: u64,
    ) -> Result<Vec<FlowChange>, OfError> {
        self.publish_flows(|snapshot, changes| apply(snapshot, changes, group, now_ms), by)
    }

    /// Counters of a group, or of all.
    pub fn group_stats(&self, id: u32, now_ms: u64) -> Vec<GroupStats> {
        let snapshot = self.snapshot();
        let counted =
            |stats: &FlowStats| (stats.packets.load(Ordering::Relaxed), stats.bytes.load(Ordering::Relaxed));
        let of = |group: &Arc<Group>| {
            let (packets, bytes) = counted(&group.stats);
            GroupStats {
                group_id: group.id,
                references: references(&snapshot, group.id),
                packets,
                bytes,
                duration: Some(Duration::from_millis(now_ms.saturating_sub(group.created_ms))),
                buckets: group.bucket_stats.iter().map(|stats| counted(stats)).collect(),
            }
        };
        snapshot.groups_in_order(id).iter().map(of).collect()
    }

    /// The groups, by number.
    pub fn group_descriptions(&self) -> Vec<GroupDesc> {
        let of = |group: &Arc<Group>| GroupDesc {
            group_id: group.id,
            kind: group.kind,
            buckets: group.buckets.clone(),
            selection: group.selection.clone(),
        };
        self.snapshot().groups_in_order(GroupMod::ALL).iter().map(of).collect()
    }
}

impl Snapshot {
    /// A group, or all by number.
    fn groups_in_order(&self, id: u32) -> Vec<Arc<Group>> {
        let wanted = |group: &&Arc<Group>| id == GroupMod::ALL || group.id == id;
        let mut groups: Vec<Arc<Group>> = self.groups.values().filter(wanted).cloned().collect();
        groups.sort_by_key(|group| group.id);
        groups
    }

    /// That every group that instructions send to is there.
    ///
    /// # Errors
    /// `OFPBAC_BAD_OUT_GROUP` where one is not.
    pub fn has_groups_of(&self, instructions: &[Instruction]) -> Result<(), OfError> {
        instructions.iter().try_for_each(|instruction| match instruction {
            Instruction::Apply(actions) | Instruction::Write(actions) => self.has_groups(actions),
            _ => Ok(()),
        })
    }

    /// The same for a list of actions.
    ///
    /// # Errors
    /// `OFPBAC_BAD_OUT_GROUP` where one is not there.
    pub fn has_groups(&self, actions: &[Action]) -> Result<(), OfError> {
        let there = |id: u32| self.groups.contains_key(&id);
        if targets(actions).all(there) { Ok(()) } else { Err(OfError::ActionBadOutGroup) }
    }
}

/// The groups that actions send to.
fn targets(actions: &[Action]) -> impl Iterator<Item = u32> + '_ {
    actions.iter().filter_map(|action| match action {
        Action::Group(id) => Some(*id),
        _ => None,
    })
}

/// The groups that a group sends to.
fn next(buckets: &[Bucket]) -> impl Iterator<Item = u32> + '_ {
    buckets.iter().flat_map(|bucket| targets(&bucket.actions))
}

/// Flows and buckets that send to a group.
fn references(snapshot: &Snapshot, id: u32) -> u32 {
    let flows = snapshot.flows().iter().filter(|flow| uses(&flow.instructions, port::ANY, id)).count();
    let buckets: usize = snapshot
        .groups
        .values()
        .map(|group| next(&group.buckets).filter(|&target| target == id).count())
        .sum();
    (flows + buckets) as u32
}

/// Applies a group-mod to a snapshot that is not published yet; where it is refused, the snapshot is of no more use.
pub(crate) fn apply(
    snapshot: &mut Snapshot,
    changes: &ChangeLog,
    group: &GroupMod,
    now_ms: u64,
) -> Result<Vec<FlowChange>, OfError> {
    let selects = group.selection != Selection::default();
    match group.command {
        GroupCommand::Delete | GroupCommand::InsertBucket | GroupCommand::RemoveBucket if selects => {
            Err(OfError::PropertyBadValue)
        }
        GroupCommand::Delete => delete(snapshot, changes, group.group_id),
        GroupCommand::InsertBucket | GroupCommand::RemoveBucket => {
            change_buckets(snapshot, group)?;
            changes.everything();
            Ok(Vec::new())
        }
        command => {
            put(snapshot, group, command, now_ms)?;
            changes.everything();
            Ok(Vec::new())
        }
    }
}

fn put(snapshot: &mut Snapshot, group: &GroupMod, command: GroupCommand, now_ms: u64) -> Result<(), OfError> {
    if group.group_id > GroupMod::MAX {
        return Err(OfError::GroupModInvalid);
    }
    let old = snapshot.groups.get(&group.group_id);
    let known = old.is_some();
    match command {
        GroupCommand::Add if known => return Err(OfError::GroupModExists),
        GroupCommand::Add | GroupCommand::AddOrModify if !known && snapshot.groups.size() >= MAX_GROUPS => {
            return Err(OfError::GroupModOutOfGroups);
        }
        GroupCommand::Modify if !known => return Err(OfError::GroupModUnknownGroup),
        _ => {}
    }
    check(snapshot, group)?;
    // A group that is changed is as old as it was.
    let created_ms = old.map_or(now_ms, |old| old.created_ms);
    snapshot.groups.insert_mut(group.group_id, Arc::new(Group::new(group, created_ms)));
    Ok(())
}

/// Puts buckets into a group, or takes some out of it; the others keep their counters (OpenFlow 1.5.1 section 6.7).
fn change_buckets(snapshot: &mut Snapshot, group: &GroupMod) -> Result<(), OfError> {
    if group.group_id > GroupMod::MAX {
        return Err(OfError::GroupModInvalid);
    }
    let old = snapshot.groups.get(&group.group_id).ok_or(OfError::GroupModUnknownGroup)?;
    let mut buckets: Vec<(Bucket, Arc<FlowStats>)> =
        old.buckets.iter().cloned().zip(old.bucket_stats.iter().cloned()).collect();
    let id = group.command_bucket_id;
    let place = || match old.buckets.iter().position(|bucket| bucket.bucket_id == id) {
        Some(at) => Ok(at),
        None if id > Bucket::MAX => Err(OfError::GroupModBadBucket),
        None => Err(OfError::GroupModUnknownBucket),
    };
    let whole = |bucket: usize| bucket..(bucket + 1).min(old.buckets.len());
    if group.command == GroupCommand::InsertBucket {
        let at = match id {
            Bucket::FIRST => 0,
            Bucket::LAST => buckets.len(),
            _ => place()? + 1,
        };
        let known = |new: &Bucket| old.buckets.iter().any(|bucket| bucket.bucket_id == new.bucket_id);
        if group.buckets.iter().any(known) {
            return Err(OfError::GroupModBucketExists);
        }
        // Only the buckets of select groups weigh anything, which the message cannot know.
        let weighs = |weight: u16| if old.kind == GroupKind::Select { weight } else { 0 };
        let new = group.buckets.iter().map(|new| Bucket { weight: weighs(new.weight), ..new.clone() });
        buckets.splice(at..at, new.map(|bucket| (bucket, Arc::default())));
    } else {
        if !group.buckets.is_empty() {
            return Err(OfError::GroupModBadBucket);
        }
        buckets.drain(match id {
            Bucket::ALL => 0..buckets.len(),
            Bucket::FIRST => whole(0),
            Bucket::LAST => whole(buckets.len().saturating_sub(1)),
            _ => whole(place()?),
        });
    }
    let (buckets, bucket_stats): (Vec<_>, Vec<_>) = buckets.into_iter().unzip();
    let selection = old.selection.clone();
    let next = GroupMod { group_id: old.id, kind: old.kind, buckets, selection, ..GroupMod::default() };
    // As Open vSwitch, take buckets of failover groups that watch nothing and are live always.
    check_but_for_watches(snapshot, &next)?;
    let GroupMod { kind, buckets, selection, .. } = next;
    let (created_ms, stats) = (old.created_ms, Arc::clone(&old.stats));
    let next = Group { id: old.id, kind, buckets, selection, created_ms, stats, bucket_stats };
    snapshot.groups.insert_mut(next.id, Arc::new(next));
    Ok(())
}

/// That a select group, and no other, selects by what is there: Netronome's extension of group-mods, as Open vSwitch has it.
fn check_selection(group: &GroupMod) -> Result<(), OfError> {
    let Selection { method, fields, .. } = &group.selection;
    let good = match method.as_str() {
        "" => group.selection == Selection::default(),
        "hash" => group.kind == GroupKind::Select,
        "dp_hash" => group.kind == GroupKind::Select && fields.is_empty(),
        _ => false,
    };
    if good { Ok(()) } else { Err(OfError::PropertyBadValue) }
}

fn check(snapshot: &Snapshot, group: &GroupMod) -> Result<(), OfError> {
    let unwatched = group.buckets.iter().any(|bucket| !bucket.watches());
    if group.kind == GroupKind::FastFailover && unwatched {
        return Err(OfError::GroupModInvalid);
    }
    check_but_for_watches(snapshot, group)
}

fn check_but_for_watches(snapshot: &Snapshot, group: &GroupMod) -> Result<(), OfError> {
    check_selection(group)?;
    if group.buckets.len() > MAX_BUCKETS {
        return Err(OfError::GroupModOutOfBuckets);
    }
    if group.kind == GroupKind::Indirect && group.buckets.len() != 1 {
        return Err(OfError::GroupModInvalid);
    }
    for bucket in &group.buckets {
        match group.kind {
            GroupKind::Select => {}
            _ if bucket.weight != 0 => return Err(OfError::GroupModInvalid),
            GroupKind::All | GroupKind::Indirect if bucket.watches() => {
                return Err(OfError::GroupModWatchUnsupported);
            }
            _ => {}
        }
        // Which packets come is not known: what cannot apply to one does nothing to it.
        Known::of_flow(&heddle_flow::Match::default()).tolerant().actions(&bucket.actions)?;
        if targets(&bucket.actions)
            .any(|target| target != group.group_id && !snapshot.groups.contains_key(&target))
        {
            return Err(OfError::ActionBadOutGroup);
        }
    }
    if leads_to(snapshot, group) { Err(OfError::GroupModLoop) } else { Ok(()) }
}

/// Whether a group would lead to itself.
fn leads_to(snapshot: &Snapshot, group: &GroupMod) -> bool {
    let mut seen = std::collections::HashSet::new();
    let mut left: Vec<u32> = next(&group.buckets).collect();
    while let Some(id) = left.pop() {
        if id == group.group_id {
            return true;
        }
        if seen.insert(id)
            && let Some(group) = snapshot.groups.get(&id)
        {
            left.extend(next(&group.buckets));
        }
    }
    false
}

fn delete(snapshot: &mut Snapshot, changes: &ChangeLog, id: u32) -> Result<Vec<FlowChange>, OfError> {
    if id > GroupMod::MAX && id != GroupMod::ALL {
        return Err(OfError::GroupModInvalid);
    }
    let all = id == GroupMod::ALL;
    let chained = |group: &Arc<Group>| next(&group.buckets).any(|target| target == id);
    if !all && snapshot.groups.contains_key(&id) && snapshot.groups.values().any(chained) {
        return Err(OfError::GroupModChainedGroup);
    }
    let groups: Vec<u32> = snapshot.groups.keys().copied().filter(|&known| all || known == id).collect();
    if groups.is_empty() {
        return Ok(Vec::new());
    }
    // Flows that send to a group go with it (section 6.7).
    let sends = |flow: &Arc<Flow>| groups.iter().any(|&id| uses(&flow.instructions, port::ANY, id));
    let gone: Vec<Arc<Flow>> = snapshot.flows().into_iter().filter(sends).collect();
    gone.iter().for_each(|flow| snapshot.remove(flow));
    for id in groups {
        snapshot.groups.remove_mut(&id);
    }
    changes.everything();
    Ok(gone.into_iter().map(|flow| FlowChange::Removed(flow, Gone::Group)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_take_their_share_and_keep_it_when_another_goes() {
        let winner = |hash: u64, weights: &[u16]| {
            let bucket = |index: usize| Bucket {
                bucket_id: index as u32,
                weight: weights[index],
                ..Bucket::default()
            };
            let score = |index: &usize| score(hash, &bucket(*index));
            (0..weights.len()).filter(|&i| weights[i] != 0).min_by(|a, b| score(a).total_cmp(&score(b)))
        };
        let group = Group::new(&GroupMod { kind: GroupKind::Select, ..GroupMod::default() }, 0);
        let weights = [1, 2, 5];
        let mut taken = [0u32; 3];
        let mut key = FlowKey::default();
        key.set(Field::EthType, ethertype::IPV4.into());
        key.set(Field::NwProto, ipproto::UDP.into());
        for port in 0..20_000u32 {
            key.set(Field::UdpSrc, port.into());
            let hash = group.hash(&key).0;
            let index = winner(hash, &weights).unwrap();
            taken[index] += 1;
            if index != 1 {
                assert_eq!(winner(hash, &[1, 0, 5]), Some(index), "only what the second had is moved");
            }
        }
        let shares = taken.map(|count| f64::from(count) / 20_000.0 * 8.0);
        assert!(
            shares.iter().zip([1.0, 2.0, 5.0]).all(|(had, due)| (had / due - 1.0).abs() < 0.06),
            "{shares:?}"
        );
    }
}
