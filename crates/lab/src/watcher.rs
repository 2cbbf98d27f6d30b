//! The process between a lab and the machine.
//!
//! The watcher makes the run directory, becomes root of a user namespace where it is not root already, and starts
//! the supervisor as process 1 of a process namespace. It stays in the machine's network for the relay to a remote
//! controller, and removes the run directory when the supervisor has ended, by whatever cause. Its standard
//! input is the caller's socket: the end of that ends a lab that is not detached.

use crate::error::in_full;
use crate::plan::RELAY_SOCKET;
use crate::protocol::{Controller, Event, MAX_LINE, StartConfig};
use crate::rundir::RunDir;
use crate::{LabError, relay};
use heddle_instance::sys;
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{Pid, getegid, geteuid, setsid};
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::process::ExitCode;
use std::sync::mpsc;
use std::thread;

/// Runs the watcher.
pub(crate) fn main() -> ExitCode {
    let _ = setsid();
    match watch() {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            let text = in_full(&e);
            eprintln!("{text}");
            emit(&Event::Failed(text));
            ExitCode::FAILURE
        }
    }
}

/// Tells the caller, as far as it still listens.
pub(crate) fn emit(event: &Event) {
    let Ok(mut line) = serde_json::to_vec(event) else {
        return;
    };
    line.push(b'\n');
    let _ = sys::send_with_fds(io::stdin().as_fd(), &line, &[]);
}

fn watch() -> Result<(), LabError> {
    let mut line = String::new();
    let mut input = BufReader::new(io::stdin()).take(MAX_LINE);
    input
        .read_line(&mut line)
        .map_err(LabError::system("read what to start"))?;
    let config: StartConfig = serde_json::from_str(&line)?;
    let rundir = RunDir::create(&config.base, &config.name)?;
    let result = run(&config, &rundir, line.as_bytes());
    rundir.remove();
    result
}

fn run(config: &StartConfig, rundir: &RunDir, json: &[u8]) -> Result<(), LabError> {
    let path = rundir.path();
    fs::write(path.join("lab.json"), json)
        .map_err(LabError::system("write the lab's configuration"))?;
    if !geteuid().is_root() {
        become_root_of_user_namespace()?;
    }
    let started = launch(rundir)?;
    let pid = started.pid;
    let ready = fs::write(path.join("pid"), format!("{}\n", pid.as_raw()))
        .map_err(LabError::system("write the supervisor's process id"))
        .and_then(|()| serve_relay(config, rundir))
        .and_then(|()| {
            watch_caller(config.detach, pid).map_err(LabError::system("start a thread"))
        });
    if ready.is_err() {
        let _ = kill(pid, Signal::SIGKILL);
    }
    let _ = started.ended.recv();
    ready
}

struct Started {
    pid: Pid,
    /// Closed when the supervisor has ended and been reaped.
    ended: mpsc::Receiver<()>,
}

/// Starts the supervisor from a thread of its own, which is alone in making its children in the new process
/// namespace, and waits with it: the supervisor dies with that thread, so it cannot outlive the watcher.
fn launch(rundir: &RunDir) -> Result<Started, LabError> {
    let log = File::create(rundir.path().join("lab.log"))
        .map_err(LabError::system("make the lab's log"))?;
    let directory = rundir.path().display().to_string();
    let (tell_pid, pid) = mpsc::channel();
    let (tell_end, ended) = mpsc::channel();
    let work = move || {
        let _tell_end = tell_end;
        let started = start_supervisor(directory, log.into());
        let waited = started.as_ref().ok().copied();
        let _ = tell_pid.send(started);
        if let Some(pid) = waited {
            while let Ok(WaitStatus::StillAlive) | Err(nix::errno::Errno::EINTR) = waitpid(pid, None)
            {
            }
        }
    };
    thread::Builder::new()
        .name("launcher".into())
        .spawn(work)
        .map_err(LabError::system("start a thread"))?;
    let gone = || LabError::Refused("the thread that starts the supervisor ended".into());
    let pid = pid.recv().map_err(|_| gone())??;
    Ok(Started { pid, ended })
}

fn start_supervisor(directory: String, log: OwnedFd) -> Result<Pid, LabError> {
    unshare(CloneFlags::CLONE_NEWPID).map_err(LabError::system(
        "make a process namespace; a lab needs CAP_SYS_ADMIN or user namespaces",
    ))?;
    let arguments = ["lab-supervisor".to_owned(), "run".to_owned(), directory];
    let doing = "start the supervisor";
    let socket = io::stdin()
        .as_fd()
        .try_clone_to_owned()
        .map_err(LabError::system(doing))?;
    let second = log.try_clone().map_err(LabError::system(doing))?;
    let pid = sys::spawn(sys::Spawn {
        stdio: [Some(socket), Some(second), Some(log)],
        die_with_parent: true,
        ..sys::Spawn::new("/proc/self/exe", &arguments)
    })
    .map_err(LabError::system(doing))?;
    let raw = i32::try_from(pid).map_err(|_| LabError::Refused("an impossible process id".into()))?;
    Ok(Pid::from_raw(raw))
}

/// An ordinary user is root of a user namespace in which only that user exists.
fn become_root_of_user_namespace() -> Result<(), LabError> {
    let (uid, gid) = (geteuid(), getegid());
    unshare(CloneFlags::CLONE_NEWUSER).map_err(|e| {
        LabError::Refused(format!(
            "cannot make a user namespace ({e}): run as root, or allow user namespaces with \
             'sysctl kernel.unprivileged_userns_clone=1', 'sysctl user.max_user_namespaces=15000' or, where AppArmor \
             forbids them, 'sysctl kernel.apparmor_restrict_unprivileged_userns=0'"
        ))
    })?;
    let map = |file: &str, text: String| {
        let path = format!("/proc/self/{file}");
        fs::write(&path, text).map_err(LabError::system(format!("write {path}")))
    };
    map("setgroups", "deny".into())?;
    map("uid_map", format!("0 {uid} 1"))?;
    map("gid_map", format!("0 {gid} 1"))
}

fn serve_relay(config: &StartConfig, rundir: &RunDir) -> Result<(), LabError> {
    let Controller::Remote(remote) = &config.controller else {
        return Ok(());
    };
    if remote.starts_with("unix:") {
        return Ok(());
    }
    let doing = "listen for connections to the remote controller";
    let socket = rundir.path().join(RELAY_SOCKET);
    let listener = UnixListener::bind(socket).map_err(LabError::system(doing))?;
    let address = remote.strip_prefix("tcp:").unwrap_or(remote).to_owned();
    relay::serve(listener, address).map_err(LabError::system(doing))
}

/// The end of the caller's socket ends a lab that is not detached.
fn watch_caller(detach: bool, supervisor: Pid) -> io::Result<()> {
    if detach {
        return Ok(());
    }
    thread::Builder::new().name("caller".into()).spawn(move || {
        let _ = io::copy(&mut io::stdin(), &mut io::sink());
        let _ = kill(supervisor, Signal::SIGKILL);
    })?;
    Ok(())
}
