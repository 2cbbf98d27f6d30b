//! What needs `unsafe` in a daemon: signals' dispositions.
#![allow(unsafe_code)]

use nix::sys::signal::{SigHandler, Signal, signal};

/// Ends the process at the first SIGSEGV or SIGBUS. Rust's handlers, which name a stack that overflowed, return once
/// from a signal that another process sent, so that an operator's `kill -SEGV` would only work the second time.
pub(crate) fn leave_faults_to_the_system() {
    for fault in [Signal::SIGSEGV, Signal::SIGBUS] {
        // SAFETY: the default disposition runs no code of this process.
        let _ = unsafe { signal(fault, SigHandler::SigDfl) };
    }
}
