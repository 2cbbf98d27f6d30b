//! Bundles: several changes in one swap, so that a translation sees all of them or none (OpenFlow 1.4.1 section 6.9).

use heddle_openflow::group::GroupMod;
use heddle_openflow::{Action, FlowMod, OfError};

use crate::bridge::{Bridge, Origin};
use crate::flow_mod::{self, FlowChange};
use crate::group;
use crate::table::{ChangeLog, Port, Snapshot};

/// A change within a bundle.
#[derive(Debug)]
pub enum Edit {
    /// Of the flow tables.
    Flow(Box<FlowMod>),
    /// Of the group table.
    Group(GroupMod),
    /// Of what controllers may set of a port: its number, and the bits as they are to be.
    Port(u32, u32),
    /// None, in the place of a message that changes nothing: the groups that these actions send to must be there.
    Check(Vec<Action>),
}

impl Bridge {
    /// Applies all edits in one swap, in their order; they are asked for one by one, so that not all need to be held.
    /// `by` says whose message each edit is. Returns what became of flows, edit by edit.
    ///
    /// # Errors
    /// Which edit was refused, and why; nothing has changed then.
    pub fn commit(
        &self,
        edits: impl Iterator<Item = Result<Edit, OfError>>,
        by: &dyn Fn(usize) -> Option<Origin>,
        now_ms: u64,
    ) -> Result<Vec<Vec<FlowChange>>, (usize, OfError)> {
        let commit = |snapshot: &mut Snapshot, changes: &ChangeLog| {
            let apply = |(index, edit): (usize, Result<Edit, OfError>)| {
                edit.and_then(|edit| apply(snapshot, changes, edit, now_ms)).map_err(|error| (index, error))
            };
            edits.enumerate().map(apply).collect::<Result<Vec<_>, _>>()
        };
        let changed = self.try_publish_and(commit, |snapshot, changed: &Vec<Vec<FlowChange>>| {
            self.show(snapshot, &mut changed.iter().enumerate().map(|(index, one)| (&one[..], by(index))));
        })?;
        changed.iter().for_each(|changed| self.watch_timeouts(changed));
        Ok(changed)
    }
}

impl Bridge {
    /// Says whether edits would be applied; nothing changes.
    ///
    /// # Errors
    /// As [`Bridge::commit`].
    pub fn check(
        &self,
        edits: impl Iterator<Item = Result<Edit, OfError>>,
        now_ms: u64,
    ) -> Result<(), (usize, OfError)> {
        let (mut snapshot, changes) = ((*self.snapshot()).clone(), ChangeLog::gathering());
        for (index, edit) in edits.enumerate() {
            let applied = edit.and_then(|edit| apply(&mut snapshot, &changes, edit, now_ms));
            applied.map_err(|error| (index, error))?;
        }
        Ok(())
    }
}

fn apply(
    snapshot: &mut Snapshot,
    changes: &ChangeLog,
    edit: Edit,
    now_ms: u64,
) -> Result<Vec<FlowChange>, OfError> {
    match edit {
        Edit::Flow(flow) => flow_mod::apply(snapshot, changes, &flow, now_ms),
        Edit::Group(group) => group::apply(snapshot, changes, &group, now_ms),
        Edit::Port(number, config) => {
            let known = snapshot.ports.get(&number).ok_or(OfError::PortModBadPort)?;
            let port = Port { config, ..(**known).clone() };
            snapshot.ports.insert_mut(number, port.into());
            changes.everything();
            Ok(Vec::new())
        }
        Edit::Check(actions) => snapshot.has_groups(&actions).map(|()| Vec::new()),
    }
}
