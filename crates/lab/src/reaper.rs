//! Children of PID 1. The supervisor inherits every orphan of its namespace and must reap it, so one thread
//! collects all and hands the status of our own children to whoever waits. A child is started under the
//! lock that the collector takes, so that none ends unregistered.

use std::collections::HashMap;
use std::io;
use std::process::Child;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use nix::errno::Errno;
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid};

/// Starts and collects children.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reaper(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    children: Mutex<HashMap<i32, Option<i32>>>,
    changed: Condvar,
}

impl Reaper {
    /// Starts the collecting thread.
    pub(crate) fn start() -> io::Result<Self> {
        let reaper = Self::default();
        let collector = reaper.clone();
        std::thread::Builder::new().name("reaper".into()).spawn(move || collector.collect())?;
        Ok(reaper)
    }

    /// Starts a child that [`Self::wait`] must be called for.
    pub(crate) fn spawn(&self, start: impl FnOnce() -> io::Result<Child>) -> io::Result<i32> {
        let mut children = self.lock();
        let pid = start()?.id() as i32;
        children.insert(pid, None);
        self.0.changed.notify_all();
        Ok(pid)
    }

    /// Waits for a child of ours: its exit code, or 128 + N for signal N.
    pub(crate) fn wait(&self, pid: i32) -> i32 {
        let mut children = self.lock();
        loop {
            match children.get(&pid) {
                Some(None) => {
                    children = self.0.changed.wait(children).unwrap_or_else(PoisonError::into_inner)
                }
                Some(Some(code)) => {
                    let code = *code;
                    children.remove(&pid);
                    return code;
                }
                None => return 127,
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<i32, Option<i32>>> {
        self.0.children.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn collect(&self) {
        loop {
            // Look first without collecting: a child that fails to exec is collected by its own starter.
            let peek = waitid(Id::All, WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT);
            let mut children = self.lock();
            if peek == Err(Errno::ECHILD) {
                drop(self.0.changed.wait_timeout(children, std::time::Duration::from_millis(200)));
                continue;
            }
            while let Ok(status) = waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                let (pid, code) = match status {
                    WaitStatus::Exited(pid, code) => (pid, code),
                    WaitStatus::Signaled(pid, signal, _) => (pid, 128 + signal as i32),
                    _ => break,
                };
                if let Some(entry) = children.get_mut(&pid.as_raw()) {
                    *entry = Some(code);
                }
            }
            self.0.changed.notify_all();
        }
    }
}
