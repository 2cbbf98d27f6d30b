//! The group table (OpenFlow 1.3.5 sections 5.6 and 6.7).
//!
//! A group's buckets run on copies of the packet, each as an action set. Which bucket of a select group takes a packet
//! is decided by rendezvous hashing over the packet's connection: a bucket that comes or goes moves only the
//! connections that are its own. What was hashed is part of the megaflow's mask, so that a connection keeps its bucket in
//! the cache.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use heddle_flow::{Field, FlowKey};
use heddle_openflow::group::{Bucket, GroupCommand, GroupDesc, GroupKind, GroupMod, GroupStats, Selection};
use heddle_openflow::{Action, Instruction, OfError, port};
use heddle_wire::{ethertype, ipproto};

use crate::bridge::{Bridge, Origin};
use crate::consistency::Known;
use crate::flow_mod::{FlowChange, Gone, uses};
use crate::hash::mix;
use crate::table::{ChangeLog, Flow, FlowStats, Snapshot};

/// Most groups of a bridge.
pub const MAX_GROUPS: usize = 65_536;
/// Most buckets of a group.
const MAX_BUCKETS: usize = 4_096;
/// Groups within each other that liveness is looked for in.
const MAX_WATCHED: u32 = 16;

/// A group.
#[derive(Debug)]
pub struct Group {
    /// Its number.
    pub id: u32,
    /// How its buckets are run.
    pub kind: GroupKind,
    /// Its buckets.
    pub buckets: Vec<Bucket>,
    /// When it was made, in milliseconds of the datapath's clock.
    pub created_ms: u64,
    /// What it took.
    pub stats: Arc<FlowStats>,
    /// What each bucket took.
    pub bucket_stats: Vec<Arc<FlowStats>>,
}

impl Group {
    fn new(group: &GroupMod, created_ms: u64) -> Self {
        Self {
            id: group.group_id,
            kind: group.kind,
            buckets: group.buckets.clone(),
            created_ms,
            stats: Arc::default(),
            bucket_stats: group.buckets.iter().map(|_| Arc::default()).collect(),
        }
    }

    /// Its buckets that are live, by index.
    fn live<'a>(&'a self, snapshot: &'a Snapshot) -> impl Iterator<Item = usize> + 'a {
        (0..self.buckets.len()).filter(|&index| is_live(&self.buckets[index], snapshot, 0))
    }

    /// The buckets that take a packet of this key, by index.
    #[must_use]
    pub fn chosen(&self, snapshot: &Snapshot, key: &FlowKey) -> Vec<usize> {
        match self.kind {
            GroupKind::All => (0..self.buckets.len()).collect(),
            GroupKind::Indirect => (0..self.buckets.len()).take(1).collect(),
            GroupKind::FastFailover => self.live(snapshot).take(1).collect(),
            GroupKind::Select => {
                let hash = connection(key);
                let score = |index: &usize| score(hash, *index, self.buckets[*index].weight);
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
    let port = snapshot
        .ports
        .get(&bucket.watch_port)
        .is_some_and(|port| !port.link_down && port.config & port::config::DOWN == 0);
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

/// A number of a packet's connection.
fn connection(key: &FlowKey) -> u64 {
    let fold = |hash: u64, field: Field| {
        let value = key.get(field);
        mix(mix(hash, value as u64), (value >> 64) as u64)
    };
    connection_fields(key).fold(0, fold)
}

/// The lower wins: exponentially distributed with the bucket's weight as rate, so that each wins by its share.
fn score(connection: u64, index: usize, weight: u16) -> f64 {
    let uniform = (mix(connection, index as u64 + 1) >> 11) as f64 / (1u64 << 53) as f64;
    -(1.0 - uniform).ln() / f64::from(weight)
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
            selection: Selection::default(),
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
    match group.command {
        GroupCommand::Delete => delete(snapshot, changes, group.group_id),
        // Buckets come and go with their group.
        GroupCommand::InsertBucket | GroupCommand::RemoveBucket => Err(OfError::GroupModBadCommand),
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
    let known = snapshot.groups.contains_key(&group.group_id);
    match command {
        GroupCommand::Add if known => return Err(OfError::GroupModExists),
        GroupCommand::Add | GroupCommand::AddOrModify if !known && snapshot.groups.size() >= MAX_GROUPS => {
            return Err(OfError::GroupModOutOfGroups);
        }
        GroupCommand::Modify if !known => return Err(OfError::GroupModUnknownGroup),
        _ => {}
    }
    check(snapshot, group)?;
    snapshot.groups.insert_mut(group.group_id, Arc::new(Group::new(group, now_ms)));
    Ok(())
}

fn check(snapshot: &Snapshot, group: &GroupMod) -> Result<(), OfError> {
    // No method of selecting but the switch's own is there.
    if group.selection != Selection::default() {
        return Err(OfError::PropertyBadValue);
    }
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
            GroupKind::FastFailover if !bucket.watches() => return Err(OfError::GroupModInvalid),
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
        let winner = |connection: u64, weights: &[u16]| {
            let score = |index: &usize| score(connection, *index, weights[*index]);
            (0..weights.len()).filter(|&i| weights[i] != 0).min_by(|a, b| score(a).total_cmp(&score(b)))
        };
        let weights = [1, 2, 5];
        let mut taken = [0u32; 3];
        let mut key = FlowKey::default();
        key.set(Field::EthType, ethertype::IPV4.into());
        key.set(Field::NwProto, ipproto::UDP.into());
        for port in 0..20_000u32 {
            key.set(Field::UdpSrc, port.into());
            let hash = connection(&key);
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
