//! What the connections of a bridge share: who is master (OpenFlow 1.3.5 section 6.3.6).

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::bundles::Budget;
use super::monitors::Monitors;
use super::tables::Vacancies;
use heddle_openflow::OfError;
use heddle_openflow::message::role;

/// What the connections of a bridge share.
#[derive(Debug, Default)]
pub struct Control {
    connections: AtomicU64,
    mastership: Mutex<Mastership>,
    /// Connections that want packets which no flow takes.
    misses: Mutex<BTreeSet<u64>>,
    /// What its bundles hold.
    pub(super) bundled: Arc<Budget>,
    /// Who watches its flows.
    pub(crate) monitors: Monitors,
    /// Which of its tables are told of when they fill and empty.
    pub(crate) vacancies: Vacancies,
}

/// A connection's place among those of its bridge; it is free again once the value is gone.
#[derive(Debug)]
pub(super) struct Seat {
    control: Arc<Control>,
    /// A number that no other connection has had.
    pub(super) id: u64,
}

impl Seat {
    pub(super) fn new(control: &Arc<Control>) -> Self {
        Self { control: Arc::clone(control), id: control.join() }
    }

    /// Says whether the peer wants packets that no flow takes.
    pub(super) fn set_wants_misses(&self, wants: bool) {
        let mut misses = self.control.misses();
        if wants {
            misses.insert(self.id);
        } else {
            misses.remove(&self.id);
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.set_wants_misses(false);
        self.control.monitors.leave(self.id);
    }
}

#[derive(Debug, Default)]
struct Mastership {
    /// The newest generation that was claimed.
    generation: Option<u64>,
    /// The connection that is master.
    master: Option<u64>,
}

impl Control {
    fn mastership(&self) -> MutexGuard<'_, Mastership> {
        self.mastership.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn misses(&self) -> MutexGuard<'_, BTreeSet<u64>> {
        self.misses.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a peer wants packets that no flow takes.
    pub(crate) fn wants_misses(&self) -> bool {
        !self.misses().is_empty()
    }

    /// A number for a new connection, which no other has had.
    fn join(&self) -> u64 {
        self.connections.fetch_add(1, Ordering::Relaxed)
    }

    /// The newest generation; all ones before there was any.
    pub(super) fn generation(&self) -> u64 {
        self.mastership().generation.unwrap_or(u64::MAX)
    }

    /// The role of a connection that was given `claimed`: a master is slave once another has become master.
    pub(super) fn role(&self, connection: u64, claimed: u32) -> u32 {
        let deposed = claimed == role::MASTER && self.mastership().master != Some(connection);
        if deposed { role::SLAVE } else { claimed }
    }

    /// Takes a role; returns the connection that was master and no longer is. Generations are compared as on a circle, so that they may wrap; OpenFlow 1.0's message has none.
    ///
    /// # Errors
    /// If the role is none, or the generation is older than one that was seen.
    pub(super) fn claim(
        &self,
        connection: u64,
        wanted: u32,
        generation: Option<u64>,
    ) -> Result<Option<u64>, OfError> {
        let mut state = self.mastership();
        match wanted {
            role::EQUAL => {}
            role::MASTER | role::SLAVE => {
                let stale = |(new, newest): (u64, u64)| (new.wrapping_sub(newest) as i64) < 0;
                if generation.zip(state.generation).is_some_and(stale) {
                    return Err(OfError::RoleStale);
                }
                state.generation = generation.or(state.generation);
            }
            _ => return Err(OfError::RoleBadRole),
        }
        let mut deposed = None;
        if wanted == role::MASTER {
            deposed = state.master.replace(connection).filter(|&before| before != connection);
        } else if state.master == Some(connection) {
            state.master = None;
        }
        Ok(deposed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_master_makes_the_old_one_slave() {
        let control = Control::default();
        let (a, b) = (control.join(), control.join());
        assert_eq!(control.generation(), u64::MAX);
        assert_eq!(control.claim(a, role::MASTER, Some(5)), Ok(None));
        assert_eq!(control.claim(b, role::MASTER, Some(4)), Err(OfError::RoleStale));
        assert_eq!(control.role(a, role::MASTER), role::MASTER);
        assert_eq!(control.claim(b, role::MASTER, Some(5)), Ok(Some(a)));
        assert_eq!(
            (control.role(a, role::MASTER), control.role(b, role::MASTER)),
            (role::SLAVE, role::MASTER)
        );
        assert_eq!(control.claim(a, 9, Some(6)), Err(OfError::RoleBadRole));
        assert_eq!(control.generation(), 5);
    }

    #[test]
    fn generations_wrap() {
        let control = Control::default();
        let a = control.join();
        assert_eq!(control.claim(a, role::SLAVE, Some(u64::MAX)), Ok(None));
        assert_eq!(control.claim(a, role::SLAVE, Some(3)), Ok(None));
        assert_eq!(control.claim(a, role::SLAVE, Some(u64::MAX)), Err(OfError::RoleStale));
    }
}
