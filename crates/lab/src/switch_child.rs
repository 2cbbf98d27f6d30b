//! The switch, as its supervisor keeps it: started, told the plan with the descriptors, and started again when it
//! ends. A crash or an upgrade of the switch costs packets, not the lab; how many milliseconds is recorded.

use crate::LabError;
use crate::error::in_full;
use crate::processes::Child;
use crate::protocol::Restart;
use crate::supervisor::{Running, append};
use heddle_instance::{InstanceError, sys};
use heddle_switch::config::{FromSwitch, MAX_DATAGRAM, ToSwitch};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, OwnedFd, RawFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// How long a switch may take to come up, and to take a message.
const PATIENCE: Duration = Duration::from_secs(30);
/// Restarts that are remembered one by one.
const REMEMBERED: usize = 100;

/// The switch and its history.
#[derive(Debug, Default)]
pub(crate) struct SwitchChild {
    state: Mutex<State>,
}

/// What is known of the switch.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub pid: Option<u32>,
    pub restarts: VecDeque<Restart>,
    pub restart_count: u64,
    /// The lab is stopping: an end is wanted.
    stopping: bool,
    socket: Option<Arc<OwnedFd>>,
}

/// One life of the switch.
struct Life {
    child: Child,
    socket: Arc<OwnedFd>,
}

impl SwitchChild {
    /// Starts the switch of a lab, tells it the plan, and keeps it running from a thread.
    pub(crate) fn start(lab: &Arc<Running>) -> Result<(), LabError> {
        let life = begin(lab)?;
        let own = Arc::clone(lab);
        thread::Builder::new()
            .name("switch".into())
            .spawn(move || keep(&own, life))
            .map_err(LabError::system("start a thread"))?;
        Ok(())
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks the switch to leave, and does not start it again.
    pub(crate) fn stop(&self) {
        let mut state = self.state();
        state.stopping = true;
        let Some(socket) = state.socket.clone() else {
            return;
        };
        drop(state);
        let _ = send(&socket, &ToSwitch::Exit, &[]);
    }
}

fn keep(lab: &Arc<Running>, first: Life) {
    let mut life = first;
    loop {
        let began = Instant::now();
        listen(&life);
        life.child.signal(Signal::SIGKILL, false);
        let code = life.child.wait();
        let ended = Instant::now();
        {
            let mut state = lab.switch.state();
            state.pid = None;
            state.socket = None;
            if state.stopping {
                return;
            }
        }
        eprintln!("switch ended with {code}");
        let mut pause = if began.elapsed() < Duration::from_secs(1) {
            Duration::from_millis(200)
        } else {
            Duration::ZERO
        };
        life = loop {
            thread::sleep(pause);
            match begin(lab) {
                Ok(life) => break life,
                Err(e) => eprintln!("{}", in_full(&e)),
            }
            pause = (pause * 2).clamp(Duration::from_millis(100), Duration::from_secs(2));
        };
        record(lab, ended);
    }
}

fn record(lab: &Running, ended: Instant) {
    let lost = u64::try_from(ended.elapsed().as_millis()).unwrap_or(u64::MAX);
    eprintln!("switch restarted: {lost} ms without forwarding");
    let mut state = lab.switch.state();
    state.restart_count += 1;
    if state.restarts.len() == REMEMBERED {
        state.restarts.pop_front();
    }
    state.restarts.push_back(Restart {
        at_seconds: lab.started.elapsed().as_secs(),
        without_forwarding_ms: lost,
    });
}

/// Starts a process and tells it the whole plan.
fn begin(lab: &Running) -> Result<Life, LabError> {
    let (ours, theirs) = socketpair(
        AddressFamily::Unix,
        SockType::SeqPacket,
        None,
        SockFlag::SOCK_CLOEXEC,
    )
    .map_err(LabError::system("make the switch's socket"))?;
    let log = lab.rundir.join("switch.log");
    let arguments = ["lab-switch".to_owned()];
    let mut environment: Vec<(String, String)> = std::env::vars()
        .filter(|(name, _)| name != "OVS_RUNDIR")
        .collect();
    environment.push(("OVS_RUNDIR".into(), lab.rundir.display().to_string()));
    let child = lab
        .processes
        .spawn(|| {
            let spawn = sys::Spawn {
                environment: Some(&environment),
                stdio: [None, append(&log).ok(), append(&log).ok()],
                descriptor_3: Some(theirs.as_fd()),
                ..sys::Spawn::new("/proc/self/exe", &arguments)
            };
            sys::spawn(spawn).map_err(|source| InstanceError::Spawn {
                host: "lab".into(),
                program: "the switch".into(),
                source,
            })
        })
        .map_err(|e| LabError::Refused(in_full(&e)))?;
    drop(theirs);
    let life = Life {
        child,
        socket: Arc::new(ours),
    };
    if let Err(e) = configure(lab, &life) {
        life.child.signal(Signal::SIGKILL, false);
        life.child.wait();
        return Err(e);
    }
    let mut state = lab.switch.state();
    state.pid = Some(life.child.pid());
    state.socket = Some(Arc::clone(&life.socket));
    drop(state);
    Ok(life)
}

fn configure(lab: &Running, life: &Life) -> Result<(), LabError> {
    expect(life, lab, &FromSwitch::Ready)?;
    for message in lab
        .plan
        .messages(&lab.ends(), &lab.controller, &lab.rundir)
    {
        send(&life.socket, &message.json, &message.fds)
            .map_err(LabError::system("configure the switch"))?;
        expect(life, lab, &FromSwitch::Configured)?;
    }
    Ok(())
}

fn send(socket: &OwnedFd, message: &ToSwitch, fds: &[RawFd]) -> io::Result<()> {
    let json = serde_json::to_vec(message)?;
    if json.len() > MAX_DATAGRAM {
        return Err(io::Error::other("a bridge's configuration is too long for one message"));
    }
    sys::send_with_fds(socket.as_fd(), &json, fds).map(drop)
}

/// Waits for one answer.
fn expect(life: &Life, lab: &Running, wanted: &FromSwitch) -> Result<(), LabError> {
    let deadline = Instant::now() + PATIENCE;
    let mut buffer = vec![0; MAX_DATAGRAM];
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::ZERO);
        let mut polled = [PollFd::new(life.socket.as_fd(), PollFlags::POLLIN)];
        match poll(&mut polled, timeout) {
            Err(nix::errno::Errno::EINTR) => continue,
            Ok(0) => return Err(LabError::Refused("the switch does not answer".into())),
            other => other.map_err(LabError::system("wait for the switch"))?,
        };
        let (n, _) = sys::receive_with_fds(life.socket.as_fd(), &mut buffer)
            .map_err(LabError::system("hear the switch"))?;
        if n == 0 {
            let log = std::fs::read_to_string(lab.rundir.join("switch.log")).unwrap_or_default();
            let tail: Vec<&str> = log.lines().rev().take(5).collect();
            let tail: Vec<&str> = tail.into_iter().rev().collect();
            let text = format!("the switch ended while it was started: {}", tail.join("; "));
            return Err(LabError::Refused(text));
        }
        match serde_json::from_slice(&buffer[..n])? {
            FromSwitch::Failed { message } => return Err(LabError::Refused(message)),
            answer if answer == *wanted => return Ok(()),
            _ => {}
        }
    }
}

/// Hears the switch out until its end of the socket closes.
fn listen(life: &Life) {
    let mut buffer = vec![0; MAX_DATAGRAM];
    while let Ok((n, _)) = sys::receive_with_fds(life.socket.as_fd(), &mut buffer) {
        if n == 0 {
            return;
        }
        if let Ok(FromSwitch::Failed { message }) = serde_json::from_slice(&buffer[..n]) {
            eprintln!("switch: {message}");
        }
    }
}
