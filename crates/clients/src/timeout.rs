//! The time that a client may take: `-t`, `-T`, `--timeout` or `OVS_CTL_TIMEOUT`.

use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::fatal::{Fatal, fail};
use crate::log::{self, Level};

/// Reads the seconds of an option.
///
/// # Errors
/// They are no number above zero.
pub fn parse(option: &str, text: &str) -> Result<u32, Fatal> {
    match text.parse::<u32>() {
        Ok(seconds @ 1..) => Ok(seconds),
        _ => fail(format!("value {text} on {option} is invalid")),
    }
}

/// Ends the process by SIGALRM once `seconds` have passed, as scripts expect (exit status 142 of a shell). Where no
/// option says how many, the environment may.
pub fn arm(seconds: Option<u32>) {
    let environment = || std::env::var("OVS_CTL_TIMEOUT").ok()?.parse().ok().filter(|&seconds| seconds > 0);
    let Some(seconds) = seconds.or_else(environment) else { return };
    std::thread::spawn(move || {
        std::thread::sleep(Duration::from_secs(seconds.into()));
        log::write("fatal_signal", Level::Warn, "terminating with signal 14 (Alarm clock)");
        crate::background::clean_up();
        let _ = kill(Pid::this(), Signal::SIGALRM);
    });
}
