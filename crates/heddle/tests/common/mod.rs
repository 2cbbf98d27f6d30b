//! Labs for tests: each in a directory of its own, so that tests run beside each other and beside a user's labs.
#![allow(dead_code, missing_docs, clippy::unwrap_used)] // each test program uses a part

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Where the labs of a test are; they end with the value.
pub struct Place {
    pub directory: PathBuf,
}

impl Place {
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let directory = std::env::temp_dir().join(format!("heddle-test-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        Self { directory }
    }

    /// The program with its labs here.
    pub fn heddle(&self, words: &[&str]) -> Command {
        // An ordinary user, to whom the built programs are given, cannot reach the place where they were built.
        let program = std::env::var_os("HEDDLE_PROGRAM");
        let mut command = Command::new(program.unwrap_or_else(|| env!("CARGO_BIN_EXE_heddle").into()));
        command.args(words).env("HEDDLE_RUNDIR", &self.directory).env_remove("RUST_BACKTRACE");
        command
    }

    /// Runs the program; what it printed, if it succeeded.
    pub fn good(&self, words: &[&str]) -> String {
        let output = self.heddle(words).output().unwrap();
        let text = everything(&output);
        assert!(output.status.success(), "heddle {words:?}: {text}\n{}", self.logs());
        text
    }

    /// Runs the program, which must fail; what it printed.
    pub fn bad(&self, words: &[&str]) -> String {
        let output = self.heddle(words).output().unwrap();
        let text = everything(&output);
        assert!(!output.status.success(), "heddle {words:?} succeeds: {text}");
        text
    }

    pub fn run_directory(&self, lab: &str) -> PathBuf {
        self.directory.join("labs").join(lab)
    }

    /// The processes of the labs here, by the last word of what they were started as.
    pub fn processes(&self, verb: &str) -> Vec<i32> {
        let marker = format!("HEDDLE_RUNDIR={}", self.directory.display());
        let all = std::fs::read_dir("/proc").unwrap().flatten();
        let numbers = all.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
        numbers
            .filter(|pid| *pid != std::process::id() as i32)
            .filter(|pid| {
                let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
                let command = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
                let mut words = command.split(|byte| *byte == 0);
                environment.split(|byte| *byte == 0).any(|word| word == marker.as_bytes())
                    && (verb.is_empty() || words.any(|word| word == verb.as_bytes()))
            })
            .collect()
    }

    /// What the processes of the labs here wrote, for a failing test.
    fn logs(&self) -> String {
        let mut text = String::new();
        for lab in std::fs::read_dir(self.directory.join("labs")).into_iter().flatten().flatten() {
            for name in ["lab.log", "switch.log", "controller.log"] {
                let log = std::fs::read_to_string(lab.path().join(name)).unwrap_or_default();
                text.push_str(&format!("{name}: {log}\n"));
            }
        }
        text
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        for pid in self.processes("lab-supervisor") {
            kill(pid);
        }
        wait_until("nothing of the labs is left", || self.processes("").is_empty());
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

pub fn everything(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

pub fn kill(pid: i32) {
    let pid = nix::unistd::Pid::from_raw(pid);
    let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL);
}

#[track_caller]
pub fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() < Duration::from_secs(10), "not within ten seconds: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A file of the examples.
pub fn example(name: &str) -> String {
    let built = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples");
    let folder = std::env::var("HEDDLE_EXAMPLES").unwrap_or_else(|_| built.to_owned());
    format!("{folder}/{name}")
}

/// Whether labs can be had here; says aloud why not.
pub fn labs_work() -> bool {
    let place = Place::new();
    let output = place.heddle(&["lab", "--test", "none", "--controller", "none"]).output().unwrap();
    if output.status.success() {
        return true;
    }
    assert!(!nix::unistd::geteuid().is_root(), "root starts no lab: {}", everything(&output));
    eprintln!("SKIPPED: no lab can be started here: {}", everything(&output));
    false
}

/// Whether a program of a Debian package is there; says aloud if not.
pub fn installed(program: &str, package: &str) -> bool {
    let found = Command::new(program).arg("--version").output().is_ok();
    if !found {
        eprintln!("SKIPPED: {program} is not installed (Debian: apt install {package})");
    }
    found
}

/// Every process of the machine.
pub fn every_process() -> Vec<i32> {
    let all = std::fs::read_dir("/proc").unwrap().flatten();
    all.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// Every network namespace that one of the processes is in or holds.
pub fn namespaces(processes: &[i32]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for pid in processes {
        let own = std::fs::read_link(format!("/proc/{pid}/ns/net"));
        let held = std::fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        let held = held.filter_map(|fd| std::fs::read_link(fd.path()).ok());
        let names = own.into_iter().chain(held).map(|link| link.to_string_lossy().into_owned());
        found.extend(names.filter(|name| name.starts_with("net:[")));
    }
    found
}

/// Names in a directory, sorted.
pub fn names(directory: impl AsRef<Path>) -> BTreeSet<String> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}
