//! Signals that end the process: what it leaves behind is removed first.
//!
//! They are blocked in every thread but one, which waits for them; no handler runs between two instructions.

use nix::sys::signal::{SigSet, Signal, kill};
use nix::unistd::Pid;

use crate::log::{self, Level};

const FATAL: [(Signal, &str); 3] =
    [(Signal::SIGTERM, "Terminated"), (Signal::SIGINT, "Interrupt"), (Signal::SIGHUP, "Hangup")];

/// Watches for signals from now on. Called once, before other threads are started.
pub fn watch() {
    let set: SigSet = FATAL.iter().map(|row| row.0).collect();
    if set.thread_block().is_err() {
        return;
    }
    std::thread::spawn(move || {
        let Ok(signal) = set.wait() else { return };
        let words = FATAL.iter().find(|row| row.0 == signal).map_or("", |row| row.1);
        log::write(
            "fatal_signal",
            Level::Warn,
            &format!("terminating with signal {} ({words})", signal as i32),
        );
        crate::background::clean_up();
        let _ = set.thread_unblock();
        let _ = kill(Pid::this(), signal);
    });
}
