//! The supervisor's children.
//!
//! The supervisor is process 1 of its namespace, so it must reap orphans that it never started, and must not
//! take the status of a child that somebody waits for. One thread reaps everything; it hands statuses to those who
//! wait. Starting a child and reaping exclude each other, so a status always finds its owner registered.

use heddle_instance::InstanceError;
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill, killpg};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid};
use nix::unistd::Pid;
use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// The table of children, shared by all threads.
#[derive(Clone, Debug, Default)]
pub(crate) struct Processes(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    /// Children that somebody waits for, with the status once there is one.
    children: Mutex<HashMap<u32, Option<i32>>>,
    changed: Condvar,
}

impl Processes {
    /// Starts the thread that reaps.
    pub(crate) fn start() -> std::io::Result<Self> {
        let processes = Self::default();
        let own = processes.clone();
        thread::Builder::new()
            .name("reaper".into())
            .spawn(move || own.reap())?;
        Ok(processes)
    }

    /// Starts a child by the function given, which returns its process id.
    pub(crate) fn spawn(
        &self,
        start: impl FnOnce() -> Result<u32, InstanceError>,
    ) -> Result<Child, InstanceError> {
        let mut children = self.lock();
        let pid = start()?;
        children.insert(pid, None);
        self.0.changed.notify_all();
        Ok(Child {
            pid,
            processes: self.clone(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u32, Option<i32>>> {
        self.0
            .children
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn reap(&self) {
        loop {
            match waitid(Id::All, WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT) {
                Ok(status) => {
                    if let Some(pid) = status.pid() {
                        self.collect(pid);
                    }
                }
                Err(Errno::ECHILD) => {
                    let guard = self.lock();
                    let tick = Duration::from_millis(500);
                    drop(self.0.changed.wait_timeout(guard, tick));
                }
                Err(_) => {}
            }
        }
    }

    fn collect(&self, pid: Pid) {
        let mut children = self.lock();
        let code = match waitpid(pid, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(_, code)) => code,
            Ok(WaitStatus::Signaled(_, signal, _)) => 128 + signal as i32,
            _ => return,
        };
        let status = u32::try_from(pid.as_raw())
            .ok()
            .and_then(|pid| children.get_mut(&pid));
        if let Some(status) = status {
            *status = Some(code);
            self.0.changed.notify_all();
        }
    }
}

/// A child that somebody waits for. Dropping it gives up the status, not the process.
#[derive(Debug)]
pub(crate) struct Child {
    pid: u32,
    processes: Processes,
}

impl Child {
    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// Waits for the end: its exit code, or 128 and the signal that ended it.
    pub(crate) fn wait(&self) -> i32 {
        loop {
            if let Some(code) = self.wait_for(Duration::from_secs(3600)) {
                return code;
            }
        }
    }

    /// Waits so long at most.
    pub(crate) fn wait_for(&self, most: Duration) -> Option<i32> {
        let deadline = Instant::now() + most;
        let mut children = self.processes.lock();
        loop {
            if let Some(code) = children.get(&self.pid).copied().flatten() {
                return Some(code);
            }
            let left = deadline.checked_duration_since(Instant::now())?;
            children = match self.processes.0.changed.wait_timeout(children, left) {
                Ok((guard, _)) => guard,
                Err(poisoned) => poisoned.into_inner().0,
            };
        }
    }

    /// Signals the child, with its session's group if it leads one. Does nothing once it has ended.
    pub(crate) fn signal(&self, signal: Signal, group: bool) {
        let children = self.processes.lock();
        if !matches!(children.get(&self.pid), Some(None)) {
            return;
        }
        let Ok(raw) = i32::try_from(self.pid) else {
            return;
        };
        let pid = Pid::from_raw(raw);
        // The group may be gone, or the child about to leave it.
        let _ = if group {
            killpg(pid, signal)
        } else {
            kill(pid, signal)
        };
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.processes.lock().remove(&self.pid);
    }
}
