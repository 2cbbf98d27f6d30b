//! The programs that the lab runs to answer a question: they end once nobody waits for the answer.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use heddle_instance::Program;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use super::Lab;
use super::requests::spawn;
use crate::protocol::{Reply, Request};
use crate::wire::Channel;

/// What runs for one question.
pub(super) struct Work<'a> {
    pub(super) lab: &'a Lab,
    /// Leaders of the programs' process groups; `None` once nobody waits.
    running: Mutex<Option<BTreeSet<i32>>>,
}

impl Work<'_> {
    /// Starts a program in a host; [`Self::wait`] must follow.
    pub(super) fn start(&self, host: &str, program: Program) -> Result<i32, String> {
        let mut running = self.running();
        let Some(running) = &mut *running else { return Err("nobody waits for the answer any more".into()) };
        let pid = spawn(self.lab, host, program)?;
        running.insert(pid);
        Ok(pid)
    }

    /// Waits for a program that was started: its exit code, or 128 + N for signal N.
    pub(super) fn wait(&self, pid: i32) -> i32 {
        let code = self.lab.reaper.wait(pid);
        if let Some(running) = &mut *self.running() {
            running.remove(&pid);
        }
        code
    }

    /// Ends what runs and lets nothing more start.
    fn give_up(&self) {
        for pid in self.running().take().into_iter().flatten() {
            let _ = killpg(Pid::from_raw(pid), Signal::SIGKILL);
        }
    }

    fn running(&self) -> MutexGuard<'_, Option<BTreeSet<i32>>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Answers a question by programs, and gives it up when the client leaves. It is the last of the conversation.
pub(super) fn answer(lab: &Lab, mut channel: Channel, work: impl FnOnce(&Work<'_>) -> Result<Reply, String>) {
    let Ok(outgoing) = channel.try_clone() else { return };
    let programs = Work { lab, running: Mutex::new(Some(BTreeSet::new())) };
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // Nothing more is to come but the end.
            let _ = channel.receive::<Request>();
            programs.give_up();
        });
        let reply = work(&programs).unwrap_or_else(Reply::Error);
        let _ = outgoing.send(&reply, &[]);
        outgoing.shutdown();
    });
}
