//! Locks that clients hold, by name; RFC 7047 §4.1.8.

use std::collections::{BTreeMap, VecDeque};

use super::SessionId;

/// For each lock its owner, and behind it who waits.
#[derive(Default)]
pub(super) struct Locks {
    queues: BTreeMap<String, VecDeque<SessionId>>,
}

impl Locks {
    /// Asks for a lock; returns whether it is held now.
    pub(super) fn lock(&mut self, name: &str, id: SessionId) -> bool {
        let queue = self.queues.entry(name.to_owned()).or_default();
        queue.push_back(id);
        queue.len() == 1
    }

    /// Takes a lock, whoever has it; returns who lost it. The loser waits in front of the others.
    pub(super) fn steal(&mut self, name: &str, id: SessionId) -> Option<SessionId> {
        let queue = self.queues.entry(name.to_owned()).or_default();
        let loser = queue.front().copied();
        queue.push_front(id);
        loser
    }

    /// Gives up a lock, or the wait for it; returns whether somebody else has it now who had it not before.
    pub(super) fn unlock(&mut self, name: &str, id: SessionId) -> bool {
        let Some(queue) = self.queues.get_mut(name) else { return false };
        let owned = queue.front() == Some(&id);
        queue.retain(|waiting| *waiting != id);
        let passed = owned && !queue.is_empty();
        if queue.is_empty() {
            self.queues.remove(name);
        }
        passed
    }

    /// Gives up all of a client's locks; returns those that others have now.
    pub(super) fn leave(&mut self, id: SessionId) -> Vec<String> {
        let names: Vec<String> = self
            .queues
            .iter()
            .filter(|(_, queue)| queue.contains(&id))
            .map(|(name, _)| name.clone())
            .collect();
        names.into_iter().filter(|name| self.unlock(name, id)).collect()
    }

    pub(super) fn owner(&self, name: &str) -> Option<SessionId> {
        self.queues.get(name)?.front().copied()
    }
}
