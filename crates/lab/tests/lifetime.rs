//! A lab's life with real namespaces and a switch that is only a hub: this program re-executes itself as
//! supervisor, watcher and switch. What must hold is that hosts reach each other, that a dead switch is
//! replaced, and that a dead supervisor leaves nothing.

#![allow(clippy::unwrap_used)] // a test without the harness, which the lint does not recognise

use std::fs::{self, File};
use std::io::{IoSlice, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use heddle_instance::sys;
use heddle_lab::client::{Lab, Options, exec_here, labs_directory, list};
use heddle_lab::protocol::{Controller, Progress};
use heddle_lab::topology::Topology;
use heddle_switch::config::{FromSwitch, ToSwitch};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{MsgFlags, sendmsg};

fn main() {
    let words: Vec<String> = std::env::args().collect();
    match words.get(1).map(String::as_str) {
        Some("lab-supervisor") => heddle_lab::supervisor::run().unwrap(),
        Some("lab-watch") => heddle_lab::watch::run(Path::new(&words[2]), None).unwrap(),
        Some("lab-switch") => hub(),
        Some("--list") => println!("lifetime: test"),
        _ => tests(),
    }
}

/// Copies every frame to every other TAP; bridges and patches are not told apart.
fn hub() {
    let socket = sys::inherited_descriptor(3).unwrap();
    let mut taps: Vec<File> = vec![];
    let say = |message: FromSwitch| {
        let bytes = serde_json::to_vec(&message).unwrap();
        sendmsg::<()>(socket.as_raw_fd(), &[IoSlice::new(&bytes)], &[], MsgFlags::empty(), None).unwrap();
    };
    say(FromSwitch::Ready);
    let mut buffer = vec![0; 256 * 1024];
    loop {
        let mut wanted = vec![PollFd::new(socket.as_fd(), PollFlags::POLLIN)];
        wanted.extend(taps.iter().map(|t| PollFd::new(t.as_fd(), PollFlags::POLLIN)));
        poll(&mut wanted, PollTimeout::NONE).unwrap();
        let ready: Vec<bool> = wanted.iter().map(|p| p.any().unwrap_or(false)).collect();
        if ready[0] {
            let (size, descriptors) = sys::receive_with_descriptors(&socket, &mut buffer).unwrap();
            if size == 0 {
                return;
            }
            serde_json::from_slice::<ToSwitch>(&buffer[..size]).unwrap();
            taps.extend(descriptors.into_iter().map(|fd: OwnedFd| File::from(fd)));
            say(FromSwitch::Configured);
            continue;
        }
        for from in (0..taps.len()).filter(|i| ready[i + 1]) {
            let Ok(size) = (&taps[from]).read(&mut buffer) else { continue };
            for to in (0..taps.len()).filter(|to| *to != from) {
                let _ = (&taps[to]).write(&buffer[..size]);
            }
        }
    }
}

fn tests() {
    let base = std::env::temp_dir().join(format!("heddle-lifetime-{}", std::process::id()));
    // No other thread runs yet; the supervisor and the clients below read it.
    let again = std::env::var_os("HEDDLE_RUNDIR").is_none();
    if again {
        let mut command = std::process::Command::new(std::env::current_exe().unwrap());
        let status = command.env("HEDDLE_RUNDIR", &base).status().unwrap();
        let _ = fs::remove_dir_all(&base);
        std::process::exit(status.code().unwrap_or(1));
    }
    let Some(lab) = start("first") else { return };
    hosts_reach_each_other(&lab);
    two_labs_at_once();
    a_switch_is_replaced(&lab);
    lab.stop().unwrap();
    assert!(list().is_empty(), "a stopped lab is still listed");
    a_killed_supervisor_leaves_nothing();
    println!("lifetime: ok");
}

fn start(name: &str) -> Option<Lab> {
    let options = Options {
        name: name.into(),
        topology: Topology::from_spec("single,3").unwrap(),
        controller: Controller::None,
        fail_mode: None,
        wiring: None,
        detached: true,
        program: std::env::current_exe().unwrap(),
    };
    match Lab::start(options, |p: &Progress| println!("{p:?}")) {
        Ok(lab) => Some(lab),
        Err(error) if !nix::unistd::geteuid().is_root() => {
            println!("SKIPPED: {error}");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

fn hosts_reach_each_other(lab: &Lab) {
    for ipv6 in [false, true] {
        let results = lab.ping(&[], ipv6, 2).unwrap();
        assert_eq!(results.len(), 6);
        assert!(results.iter().all(|r| r.answered), "{results:?}");
    }
    assert_eq!(exec_here(lab, "h1", &["sh".into(), "-c".into(), "exit 7".into()]).unwrap(), 7);
    assert_eq!(exec_here(lab, "h2", &["sh".into(), "-c".into(), "test $(uname -n) = h2".into()]).unwrap(), 0);
    let words = ["ping", "-c1", "-W2", "h3"].map(String::from);
    assert_eq!(exec_here(lab, "h1", &words).unwrap(), 0, "names are not known inside");
    assert!(exec_here(lab, "h9", &["true".into()]).is_err());
    lab.set_link("s1", "h2", false).unwrap();
    assert!(!lab.ping(&["h1".into(), "h2".into()], false, 1).unwrap()[0].answered);
    lab.set_link("s1", "h2", true).unwrap();
}

fn two_labs_at_once() {
    let second = start("second").unwrap();
    assert_eq!(list(), ["first", "second"]);
    second.stop().unwrap();
}

fn a_switch_is_replaced(lab: &Lab) {
    // The supervisor's only child that is not its own copy is the switch.
    let supervisor = pid(lab);
    let children =
        fs::read_to_string(format!("/proc/{supervisor}/task/{supervisor}/children")).unwrap_or_default();
    let found = tasks(supervisor).into_iter().find(|p| {
        fs::read(format!("/proc/{p}/cmdline")).is_ok_and(|c| c.windows(10).any(|w| w == b"lab-switch"))
    });
    let switch = found.unwrap_or_else(|| panic!("no switch among {children:?}"));
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(switch), nix::sys::signal::Signal::SIGKILL).unwrap();
    wait_until("the switch is replaced", || lab.info().is_ok_and(|i| i.switch_restarts == 1));
    assert!(lab.ping(&[], false, 2).unwrap().iter().all(|r| r.answered));
}

fn a_killed_supervisor_leaves_nothing() {
    let lab = start("third").unwrap();
    let supervisor = pid(&lab);
    let sleeper = std::thread::scope(|scope| {
        scope.spawn(|| exec_here(&lab, "h1", &["sleep".into(), "1000".into()]));
        let mut sleeper = None;
        wait_until("a program runs in the host", || {
            sleeper = tasks(supervisor)
                .into_iter()
                .find(|p| fs::read_to_string(format!("/proc/{p}/comm")).is_ok_and(|c| c == "sleep\n"));
            sleeper.is_some()
        });
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(supervisor), nix::sys::signal::Signal::SIGKILL)
            .unwrap();
        sleeper.unwrap()
    });
    wait_until("the programs are gone", || !Path::new(&format!("/proc/{sleeper}")).exists());
    wait_until("the run directory is gone", || !labs_directory().join("third").exists());
}

fn pid(lab: &Lab) -> i32 {
    fs::read_to_string(lab.run_directory().join("pid")).unwrap().trim().parse().unwrap()
}

/// All children of a process, from every of its threads.
fn tasks(pid: i32) -> Vec<i32> {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { return vec![] };
    let lists = threads.flatten().map(|t| fs::read_to_string(t.path().join("children")).unwrap_or_default());
    lists.flat_map(|l| l.split_whitespace().filter_map(|w| w.parse().ok()).collect::<Vec<i32>>()).collect()
}

fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() < Duration::from_secs(10), "not within ten seconds: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
