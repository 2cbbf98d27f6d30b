//! The keyboard of a lab's shell on a terminal: interrupts, lines typed ahead and pasted.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use common::{Place, installed, labs_work, wait_until};

/// How long the shell may take to show something.
const LIMIT: Duration = Duration::from_secs(10);

/// A lab's shell on a terminal, which `script` makes.
struct Conversation {
    child: Child,
    shown: Arc<Mutex<String>>,
}

impl Conversation {
    fn new(place: &Place, words: &str) -> Self {
        let program = place.heddle(&[]);
        // A shell in between would be interrupted too, and say so by its exit code.
        let line = format!("exec {} {words}", program.get_program().to_str().unwrap());
        let mut command = Command::new("script");
        command
            .args(["-qec", &line, "/dev/null"])
            .env("HEDDLE_RUNDIR", &place.directory)
            .env("SHELL", "/bin/sh");
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (mut output, shown) = (child.stdout.take().unwrap(), Arc::new(Mutex::new(String::new())));
        let seen = Arc::clone(&shown);
        std::thread::spawn(move || {
            let mut part = [0; 4096];
            while let Ok(size @ 1..) = output.read(&mut part) {
                seen.lock().unwrap().push_str(&String::from_utf8_lossy(&part[..size]));
            }
        });
        Self { child, shown }
    }

    fn shown(&self) -> String {
        self.shown.lock().unwrap().clone()
    }

    fn keys(&mut self, keys: &str) {
        // What has ended reads no more.
        let _ = self.child.stdin.as_mut().unwrap().write_all(keys.as_bytes());
    }

    /// Waits for the text to have been shown so often.
    #[track_caller]
    fn expect(&self, text: &str, times: usize) {
        let begun = Instant::now();
        while self.shown().matches(text).count() < times {
            assert!(
                begun.elapsed() < LIMIT,
                "not {times} times {text:?} within ten seconds:\n{}",
                self.shown()
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

#[test]
fn an_interrupt_ends_what_runs_and_not_the_lab() {
    if !labs_work() || !installed("script", "bsdutils") {
        return;
    }
    let place = Place::new();
    let mut shell = Conversation::new(&place, "lab --topo single,3 --controller none");
    shell.expect("heddle> ", 1);
    shell.keys("link s1 h3 down\rsh echo begun; sleep 60\r");
    shell.expect("\nbegun", 1);
    // A shell that is interrupted before it has started its program loses the interrupt.
    wait_until("sleep runs", || !place.processes("sleep").is_empty());
    shell.keys("\u{3}");
    // What is said of it depends on how a shell ends that is interrupted; that it ends is what counts.
    wait_until("no sleep is left", || place.processes("sleep").is_empty());
    shell.keys("pingall 60\r");
    shell.expect("testing ping reachability", 1);
    wait_until("a ping waits", || !place.processes("ping").is_empty());
    shell.keys("\u{3}");
    shell.expect("*** interrupted", 1);
    wait_until("no ping is left", || place.processes("ping").is_empty());
    shell.keys("iperf h1 h2\r");
    wait_until("iperf3 runs", || !place.processes("iperf3").is_empty());
    shell.keys("\u{3}");
    shell.expect("*** interrupted", 2);
    wait_until("no iperf3 is left", || place.processes("iperf3").is_empty());
    // The terminal makes an interrupt of a key that comes between two lines, too.
    shell.keys("sh echo often; sleep 60\r");
    shell.expect("\noften", 1);
    wait_until("sleep runs", || !place.processes("sleep").is_empty());
    shell.keys("\u{3}\u{3}\u{3}");
    wait_until("no sleep is left", || place.processes("sleep").is_empty());
    shell.keys("nodes\rexit\r");
    shell.expect("available nodes are", 1);
    assert!(shell.child.wait().unwrap().success(), "{}", shell.shown());
}

#[test]
fn lines_typed_ahead_or_pasted_are_all_done() {
    if !labs_work() || !installed("script", "bsdutils") {
        return;
    }
    let place = Place::new();
    let mut shell = Conversation::new(&place, "lab --controller none");
    shell.expect("heddle> ", 1);
    shell.keys("net\rsh echo one; echo\rsh echo two; echo\r");
    shell.expect("\none", 1);
    shell.expect("\ntwo", 1);
    shell.keys("\u{1b}[200~net\nsh echo three; echo\n\u{1b}[201~\r");
    shell.expect("\nthree", 1);
    shell.keys("exit\r");
    assert!(shell.child.wait().unwrap().success(), "{}", shell.shown());
}

#[test]
fn an_interrupt_breaks_off_a_lab_that_does_not_end() {
    if !labs_work() || !installed("script", "bsdutils") {
        return;
    }
    let place = Place::new();
    let mut shell = Conversation::new(&place, "lab --controller none");
    shell.expect("heddle> ", 1);
    let supervisor = nix::unistd::Pid::from_raw(place.processes("lab-supervisor")[0]);
    nix::sys::signal::kill(supervisor, nix::sys::signal::Signal::SIGSTOP).unwrap();
    shell.keys("exit\r");
    // The first may be for the line, which asks the lab too.
    wait_until("the program has ended", || {
        shell.keys("\u{3}");
        std::thread::sleep(Duration::from_millis(200));
        shell.child.try_wait().unwrap().is_some()
    });
    nix::sys::signal::kill(supervisor, nix::sys::signal::Signal::SIGCONT).unwrap();
    wait_until("the lab is gone", || !place.run_directory("lab").exists());
}
