//! The running program, spoken to by os-ken's message library: a codec that shares nothing with ours. Skipped, aloud,
//! where that is not installed; `scripts/python` installs it into the target directory.
#![allow(missing_docs, clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

/// A Python that has os-ken: the one that `scripts/python` made, or the system's.
fn python() -> Option<PathBuf> {
    let target = Path::new(env!("CARGO_BIN_EXE_heddle")).ancestors().nth(2).unwrap();
    [target.join("python/bin/python"), PathBuf::from("python3")].into_iter().find(|python| {
        let found = Command::new(python).args(["-c", "import os_ken"]).output();
        found.is_ok_and(|output| output.status.success())
    })
}

struct Running(Child, PathBuf);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
        let _ = std::fs::remove_dir_all(&self.1);
    }
}

#[test]
fn another_codec_understands_us_and_is_understood() {
    let Some(python) = python() else {
        eprintln!("SKIPPED: os-ken is not installed (run scripts/python)");
        return;
    };
    let directory = std::env::temp_dir().join(format!("heddle-os-ken-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let child = Command::new(env!("CARGO_BIN_EXE_heddle"))
        .arg("switch")
        .arg(here.join("../../examples/two-bridges.json"))
        .arg("--rundir")
        .arg(&directory)
        .spawn()
        .unwrap();
    let running = Running(child, directory);
    let socket = running.1.join("s1.mgmt");
    let deadline = Instant::now() + Duration::from_secs(10);
    while !socket.exists() {
        assert!(Instant::now() < deadline, "the switch opens its socket");
        std::thread::sleep(Duration::from_millis(10));
    }
    let output =
        Command::new(python).arg(here.join("tests/speak_openflow.py")).arg(&socket).output().unwrap();
    let said =
        [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    assert!(output.status.success() && said.contains("understood"), "{said}");
}
