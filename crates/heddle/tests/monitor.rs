//! A daemon that is watched: started again when it crashes, and ended by an order, with one process of each part.
#![allow(missing_docs, clippy::unwrap_used)]

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

fn until(what: &str, mut done: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() < Duration::from_secs(15), "not within 15 seconds: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The processes whose run directory this is.
fn processes(directory: &Path) -> Vec<i32> {
    let marker = format!("OVS_RUNDIR={}", directory.display());
    let numbers = std::fs::read_dir("/proc").unwrap().flatten();
    let numbers = numbers.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    numbers
        .filter(|pid| {
            let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            environment.split(|byte| *byte == 0).any(|word| word == marker.as_bytes())
        })
        .collect()
}

#[test]
fn a_watched_daemon_is_two_processes_and_comes_back() {
    let directory = std::env::temp_dir().join(format!("heddle-monitor-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let run = |words: &[&str]| {
        let program = env!("CARGO_BIN_EXE_heddle");
        Command::new(program)
            .args(words)
            .env("OVS_RUNDIR", &directory)
            .env("OVS_DBDIR", &directory)
            .output()
            .unwrap()
    };
    let database = directory.join("conf.db").display().to_string();
    let remote = format!("--remote=punix:{}", directory.join("db.sock").display());
    assert!(run(&["ovsdb-tool", "create", &database]).status.success());
    let words = [
        "ovsdb-server",
        "--monitor",
        "--detach",
        "--no-chdir",
        "--pidfile",
        "-vconsole:off",
        &remote,
        &database,
    ];
    let started = run(&words);
    assert!(started.status.success(), "{}", String::from_utf8_lossy(&started.stderr));
    until("one watches, one serves", || processes(&directory).len() == 2);
    let pid = || std::fs::read_to_string(directory.join("ovsdb-server.pid")).ok()?.trim().parse::<i32>().ok();
    let first = pid().unwrap();
    let kill = |pid: i32, signal| nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), signal).unwrap();
    kill(first, nix::sys::signal::Signal::SIGSEGV);
    until("another serves", || pid().is_some_and(|pid| pid != first) && processes(&directory).len() == 2);
    // It says who it is before it listens.
    let socket = format!("unix:{}", directory.join("db.sock").display());
    until("it answers", || {
        let answer = run(&["ovsdb-client", "list-dbs", &socket]);
        String::from_utf8_lossy(&answer.stdout).contains("Open_vSwitch")
    });
    kill(pid().unwrap(), nix::sys::signal::Signal::SIGTERM);
    until("nothing is left", || processes(&directory).is_empty());
    let _ = std::fs::remove_dir_all(&directory);
}
