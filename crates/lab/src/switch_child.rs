//! The switch process: started, told its configuration, and replaced when it dies. The supervisor keeps the
//! TAP descriptors, so that a crash or an upgrade of the switch costs packets and not the lab.

use std::fs::File;
use std::io::{self, IoSlice};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use heddle_instance::sys;
use heddle_switch::config::{
    BridgeConfig, FailMode, FromSwitch, LinkConfig, MAX_DATAGRAM, MAX_DESCRIPTORS, PortConfig, PortKind,
    Status, ToSwitch,
};
use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{
    AddressFamily, ControlMessage, MsgFlags, SockFlag, SockType, sendmsg, setsockopt, socketpair, sockopt,
};
use nix::unistd::Pid;

use crate::protocol::{Controller, Launch};
use crate::reaper::Reaper;

/// The descriptor at which children find the supervisor's socket.
pub const CHILD_SOCKET: i32 = 3;
/// What the switch prints, in the run directory.
const LOG: &str = "switch.log";
const ANSWER_TIMEOUT: i64 = 30;
const MOST_BACKOFF: Duration = Duration::from_secs(2);
/// Well under what a datagram and its descriptors bound.
const PORTS_A_MESSAGE: usize = 150;

/// A TAP kept for the switch.
#[derive(Debug)]
pub(crate) struct Tap {
    pub(crate) mac: [u8; 6],
    pub(crate) mtu: u32,
    pub(crate) descriptor: OwnedFd,
}

/// A port and, for a TAP, what stands behind it.
pub(crate) type Port = (String, PortConfig, Option<Tap>);

/// What the switch is to be.
#[derive(Debug, Default)]
pub(crate) struct Wanted {
    pub(crate) bridges: Vec<BridgeConfig>,
    pub(crate) ports: Vec<Port>,
}

/// The switch as all threads of the supervisor see it.
#[derive(Debug, Default)]
pub(crate) struct Fate {
    pub(crate) restarts: AtomicU32,
    pub(crate) outage_ms: AtomicU64,
    pub(crate) stopping: AtomicBool,
    wanted: Mutex<Wanted>,
    /// The socket of the switch that runs and is configured.
    socket: Mutex<Option<OwnedFd>>,
}

impl Fate {
    /// A switch that does not run yet.
    pub(crate) fn new(wanted: Wanted) -> Self {
        Self { wanted: Mutex::new(wanted), ..Self::default() }
    }

    fn wanted(&self) -> MutexGuard<'_, Wanted> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ask(&self, message: &ToSwitch) -> Result<FromSwitch, String> {
        let socket = self.socket.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(socket) = &*socket else { return Err("the switch is being restarted".into()) };
        tell(socket, message, &[]).map_err(|error| format!("the switch does not answer: {error}"))
    }

    /// Puts cables in or out; a switch that is started later finds them so.
    pub(crate) fn set_links(&self, links: Vec<LinkConfig>) -> Result<(), String> {
        for (bridge, port, _) in &mut self.wanted().ports {
            let same = |link: &&LinkConfig| link.bridge == *bridge && link.ofport == port.ofport;
            if let Some(link) = links.iter().find(same) {
                port.link_down = link.down;
            }
        }
        self.ask(&ToSwitch::Links { links }).map(|_| ())
    }

    /// The ports whose cable is out, by bridge and number.
    pub(crate) fn ports_down(&self) -> Vec<(String, u32)> {
        let wanted = self.wanted();
        let down = wanted.ports.iter().filter(|(_, port, _)| port.link_down);
        down.map(|(bridge, port, _)| (bridge.clone(), port.ofport)).collect()
    }

    /// How the switch says that it fares.
    pub(crate) fn status(&self) -> Result<Status, String> {
        match self.ask(&ToSwitch::Status)? {
            FromSwitch::Status { status } => Ok(status),
            other => Err(format!("the switch gave an answer to another question: {other:?}")),
        }
    }

    fn set_socket(&self, socket: Option<OwnedFd>) {
        *self.socket.lock().unwrap_or_else(PoisonError::into_inner) = socket;
    }
}

/// Bridges without ports, as the launch wants them.
pub(crate) fn bridges(launch: &Launch) -> Vec<BridgeConfig> {
    let controllers = match &launch.controller {
        Controller::None => vec![],
        Controller::BuiltIn => vec![format!("unix:{}/c0.sock", launch.run_directory.display())],
        Controller::Remote(_) => {
            vec![format!("unix:{}/remote-controller.sock", launch.run_directory.display())]
        }
    };
    let usual = if controllers.is_empty() { FailMode::Standalone } else { FailMode::Secure };
    let bridge = |s: &crate::topology::Switch| BridgeConfig {
        name: s.name.clone(),
        datapath_id: s.datapath_id,
        fail_mode: s.fail_mode.or(launch.fail_mode).unwrap_or(usual),
        protocols: s.protocols.clone(),
        controllers: controllers.clone(),
        spanning_tree: launch.topology.spanning_tree,
        ports: vec![],
        removed: false,
    };
    launch.topology.switches.iter().map(bridge).collect()
}

/// Keeps a switch running until told to stop; `first` learns how the first start went.
pub(crate) fn keep(
    launch: &Launch,
    reaper: &Reaper,
    fate: &Arc<Fate>,
    warn: impl Fn(String),
    first: impl FnOnce(Result<(), String>),
) {
    let mut first = Some(first);
    let mut backoff = Duration::from_millis(20);
    let mut died: Option<Instant> = None;
    while !fate.stopping.load(Ordering::Relaxed) {
        let begun = Instant::now();
        let outcome = start(launch, reaper).and_then(|(pid, socket)| {
            let told = configure(&socket, &fate.wanted());
            if told.is_err() {
                let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
                reaper.wait(pid);
            }
            told.map(|()| (pid, socket))
        });
        match outcome {
            Ok((pid, socket)) => {
                fate.set_socket(Some(socket));
                if let Some(first) = first.take() {
                    first(Ok(()));
                }
                if let Some(died) = died {
                    let outage = died.elapsed().as_millis() as u64;
                    fate.restarts.fetch_add(1, Ordering::Relaxed);
                    fate.outage_ms.store(outage, Ordering::Relaxed);
                    warn(format!("switch restarted: {outage} ms without forwarding"));
                }
                let code = reaper.wait(pid);
                fate.set_socket(None);
                died = Some(Instant::now());
                if !fate.stopping.load(Ordering::Relaxed) {
                    warn(format!("the switch process ended with code {code}; starting another"));
                }
            }
            Err(error) => match first.take() {
                Some(first) => {
                    let why = last_line(&launch.run_directory.join(LOG)).unwrap_or_default();
                    return first(Err(format!("the switch cannot be started: {error}{why}")));
                }
                None => warn(format!("the switch cannot be restarted: {error}")),
            },
        }
        if begun.elapsed() > Duration::from_secs(10) {
            backoff = Duration::from_millis(20);
        }
        std::thread::sleep(backoff);
        backoff = (backoff * 2).min(MOST_BACKOFF);
    }
}

/// The last line of a log, to be put behind a sentence.
fn last_line(log: &Path) -> Option<String> {
    let text = std::fs::read_to_string(log).ok()?;
    text.lines().last().map(|line| format!(": {line}"))
}

fn start(launch: &Launch, reaper: &Reaper) -> io::Result<(i32, OwnedFd)> {
    let (ours, theirs) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)?;
    setsockopt(&ours, sockopt::ReceiveTimeout, &nix::sys::time::TimeVal::new(ANSWER_TIMEOUT, 0))?;
    setsockopt(&ours, sockopt::SndBuf, &(4 * MAX_DATAGRAM))?;
    let log = File::options().create(true).append(true).open(launch.run_directory.join(LOG))?;
    let mut command = Command::new(&launch.program);
    command
        .arg("lab-switch")
        .env("OVS_RUNDIR", &launch.run_directory)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log);
    sys::pass_descriptors(&mut command, vec![(theirs, CHILD_SOCKET)])?;
    let pid = reaper.spawn(|| command.spawn())?;
    // The command holds the child's end: without it, a child that dies is seen at once.
    drop(command);
    Ok((pid, ours))
}

fn configure(socket: &OwnedFd, wanted: &Wanted) -> io::Result<()> {
    answer(socket)?;
    for bridges in wanted.bridges.chunks(PORTS_A_MESSAGE) {
        tell(socket, &ToSwitch::Configure { bridges: bridges.to_vec() }, &[])?;
    }
    for ports in wanted.ports.chunks(PORTS_A_MESSAGE.min(MAX_DESCRIPTORS)) {
        let mut bridges: Vec<BridgeConfig> = vec![];
        let mut descriptors = vec![];
        for (bridge, port, tap) in ports {
            let mut port = port.clone();
            if let Some(tap) = tap {
                port.kind =
                    PortKind::TapDescriptor { fd: descriptors.len() as u32, mac: tap.mac, mtu: tap.mtu };
                descriptors.push(tap.descriptor.as_raw_fd());
            }
            match bridges.iter_mut().find(|b| b.name == *bridge) {
                Some(known) => known.ports.push(port),
                None => {
                    let Some(config) = wanted.bridges.iter().find(|b| b.name == *bridge) else { continue };
                    bridges.push(BridgeConfig { ports: vec![port], ..config.clone() });
                }
            }
        }
        tell(socket, &ToSwitch::Configure { bridges }, &descriptors)?;
    }
    Ok(())
}

fn tell(socket: &OwnedFd, message: &ToSwitch, descriptors: &[i32]) -> io::Result<FromSwitch> {
    let bytes = serde_json::to_vec(message)?;
    let rights = [ControlMessage::ScmRights(descriptors)];
    let control: &[ControlMessage<'_>] = if descriptors.is_empty() { &[] } else { &rights };
    sendmsg::<()>(socket.as_raw_fd(), &[IoSlice::new(&bytes)], control, MsgFlags::MSG_NOSIGNAL, None)?;
    answer(socket)
}

fn answer(socket: &OwnedFd) -> io::Result<FromSwitch> {
    let mut buffer = vec![0; MAX_DATAGRAM];
    let (size, _) = sys::receive_with_descriptors(socket, &mut buffer)?;
    if size == 0 {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it ended at once"));
    }
    match serde_json::from_slice(&buffer[..size])? {
        FromSwitch::Failed { message } => Err(io::Error::other(message)),
        answer => Ok(answer),
    }
}
