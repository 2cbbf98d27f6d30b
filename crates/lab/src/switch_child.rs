//! The switch process: started, told its configuration, and replaced when it dies. The supervisor keeps the
//! TAP descriptors, so that a crash or an upgrade of the switch costs packets and not the lab.

use std::collections::{BTreeMap, HashMap, HashSet};
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
    BridgeConfig, CaptureConfig, FailMode, FromSwitch, LINES_A_MESSAGE, LineConfig, LineReport, LinkConfig,
    MAX_DATAGRAM, MAX_DESCRIPTORS, PortConfig, PortKind, SpanningTree, Status, ToSwitch,
};
use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{
    AddressFamily, ControlMessage, MsgFlags, Shutdown, SockFlag, SockType, sendmsg, setsockopt, shutdown,
    socketpair, sockopt,
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

/// A switch that did not do what it was told.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    /// It says why not.
    #[error("{0}")]
    Refused(String),
    /// It is gone or does not answer.
    #[error(transparent)]
    Lost(#[from] io::Error),
}

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
    /// Lines that have been given a profile, by bridge and port number.
    pub(crate) lines: BTreeMap<(String, u32), LineConfig>,
}

/// The switch as all threads of the supervisor see it.
#[derive(Debug, Default)]
pub(crate) struct Fate {
    pub(crate) restarts: AtomicU32,
    pub(crate) outage_ms: AtomicU64,
    pub(crate) stopping: AtomicBool,
    /// How many captures there were.
    captures: AtomicU64,
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
        self.ask_with(message, &[])
    }

    fn ask_with(&self, message: &ToSwitch, descriptors: &[i32]) -> Result<FromSwitch, String> {
        let socket = self.socket.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(socket) = &*socket else { return Err("the switch is being restarted".into()) };
        tell(socket, message, descriptors).map_err(|trouble| match trouble {
            Trouble::Refused(why) => why,
            Trouble::Lost(error) => format!("the switch does not answer: {error}"),
        })
    }

    /// Adds bridges and ports to what the switch is to be. A switch that is lost meanwhile has them when it is replaced.
    ///
    /// # Errors
    /// The switch refuses them; it has none of them then.
    pub(crate) fn add(&self, bridges: Vec<BridgeConfig>, ports: Vec<Port>) -> Result<(), String> {
        let mut wanted = self.wanted();
        let known = wanted.bridges.len();
        wanted.bridges.extend(bridges);
        if let Err(why) = self.tell_running(|socket| send(socket, &wanted.bridges, known, &ports, |_| ())) {
            let added = wanted.bridges.split_off(known);
            let places = ports.iter().map(|(bridge, port, _)| (bridge.clone(), port.ofport)).collect();
            // What it may have of them; the first refusal says more than a second would.
            let _ = self.tell_running(|socket| send_removals(socket, &wanted.bridges, &added, &places));
            return Err(why);
        }
        wanted.ports.extend(ports);
        Ok(())
    }

    /// Takes bridges, and ports by bridge and number, from what the switch is to be.
    ///
    /// # Errors
    /// The switch refuses, and is to be as it was.
    pub(crate) fn remove(
        &self,
        bridges: &HashSet<&str>,
        ports: &HashSet<(String, u32)>,
    ) -> Result<(), String> {
        let mut wanted = self.wanted();
        let (gone, stay): (Vec<_>, Vec<_>) =
            wanted.bridges.iter().cloned().partition(|bridge| bridges.contains(bridge.name.as_str()));
        self.tell_running(|socket| send_removals(socket, &stay, &gone, ports))?;
        wanted.bridges = stay;
        wanted.lines.retain(|place, _| !bridges.contains(place.0.as_str()) && !ports.contains(place));
        // The bridge's ports, and with them the TAPs, whether they were named or not.
        wanted.ports.retain(|(bridge, port, _)| {
            !bridges.contains(bridge.as_str()) && !ports.contains(&(bridge.clone(), port.ofport))
        });
        Ok(())
    }

    /// Tells the switch something that is, or is about to be, wanted too: so that one that is lost, which ends it, will have it
    /// when it is replaced.
    fn tell_running(&self, tell: impl FnOnce(&OwnedFd) -> Result<(), Trouble>) -> Result<(), String> {
        let socket = self.socket.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(socket) = &*socket else { return Ok(()) };
        match tell(socket) {
            Ok(()) => Ok(()),
            Err(Trouble::Refused(why)) => Err(why),
            Err(Trouble::Lost(_)) => {
                // A late answer would be taken for that to the next question.
                let _ = shutdown(socket.as_raw_fd(), Shutdown::Both);
                Ok(())
            }
        }
    }

    /// Puts cables in or out; a switch that is started later finds them so.
    pub(crate) fn set_links(&self, links: Vec<LinkConfig>) -> Result<(), String> {
        let mut wanted = self.wanted();
        for (bridge, port, _) in &mut wanted.ports {
            let same = |link: &&LinkConfig| link.bridge == *bridge && link.ofport == port.ofport;
            if let Some(link) = links.iter().find(same) {
                port.link_down = link.down;
            }
        }
        self.ask(&ToSwitch::Links { links }).map(|_| ())
    }

    /// Gives lines their profiles; a switch that is started later gives them the same.
    ///
    /// # Errors
    /// The switch refuses.
    pub(crate) fn set_lines(&self, lines: Vec<LineConfig>) -> Result<(), String> {
        let mut wanted = self.wanted();
        self.tell_running(|socket| send_lines(socket, &lines))?;
        for line in lines {
            wanted.lines.insert((line.bridge.clone(), line.ofport), line);
        }
        Ok(())
    }

    /// What has happened on lines.
    pub(crate) fn line_reports(&self) -> Result<Vec<LineReport>, String> {
        let mut reports = vec![];
        loop {
            match self.ask(&ToSwitch::LineReports { from: reports.len() })? {
                FromSwitch::LineReports { lines } if lines.is_empty() => return Ok(reports),
                FromSwitch::LineReports { lines } => reports.extend(lines),
                other => return Err(unexpected(&other)),
            }
        }
    }

    /// Begins a capture, and returns its number.
    pub(crate) fn start_capture(&self, mut capture: CaptureConfig, to: &OwnedFd) -> Result<u64, String> {
        capture.id = self.captures.fetch_add(1, Ordering::Relaxed);
        let id = capture.id;
        self.ask_with(&ToSwitch::Capture { capture }, &[to.as_raw_fd()]).map(|_| id)
    }

    /// Ends a capture: the packets that were written, and those that were missed.
    pub(crate) fn stop_capture(&self, id: u64) -> Result<(u64, u64), String> {
        match self.ask(&ToSwitch::StopCapture { id })? {
            FromSwitch::Captured { packets, missed } => Ok((packets, missed)),
            other => Err(unexpected(&other)),
        }
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
            other => Err(unexpected(&other)),
        }
    }

    fn set_socket(&self, socket: Option<OwnedFd>) {
        *self.socket.lock().unwrap_or_else(PoisonError::into_inner) = socket;
    }
}

fn unexpected(answer: &FromSwitch) -> String {
    format!("the switch gave an answer to another question: {answer:?}")
}

/// Bridges without ports, as the launch wants them, for these switches.
pub(crate) fn bridges(
    launch: &Launch,
    switches: &[crate::topology::Switch],
    spanning_tree: Option<SpanningTree>,
) -> Vec<BridgeConfig> {
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
        spanning_tree,
        ports: vec![],
        removed: false,
    };
    switches.iter().map(bridge).collect()
}

/// Keeps a switch running until told to stop; `connected` hears of ports, `first` learns how the first start went.
pub(crate) fn keep(
    launch: &Launch,
    reaper: &Reaper,
    fate: &Arc<Fate>,
    warn: impl Fn(String),
    connected: impl Fn(usize),
    first: impl FnOnce(Result<(), String>),
) {
    let mut first = Some(first);
    let mut backoff = Duration::from_millis(20);
    let mut died: Option<Instant> = None;
    while !fate.stopping.load(Ordering::Relaxed) {
        let begun = Instant::now();
        let outcome = start(launch, reaper).map_err(Trouble::from).and_then(|(pid, socket)| {
            // Held until changes find the socket, so that none is made in between and not told.
            let wanted = fate.wanted();
            let told = configure(&socket, &wanted, &connected);
            match &told {
                Ok(()) => fate.set_socket(Some(socket)),
                Err(_) => {
                    let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
                    reaper.wait(pid);
                }
            }
            told.map(|()| pid)
        });
        match outcome {
            Ok(pid) => {
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
    let log = launch.run_directory.join(LOG);
    let log = File::options().create(true).append(true).open(&log).map_err(|error| {
        io::Error::new(error.kind(), format!("{} cannot be written: {error}", log.display()))
    })?;
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

fn configure(socket: &OwnedFd, wanted: &Wanted, connected: impl Fn(usize)) -> Result<(), Trouble> {
    answer(socket)?;
    send(socket, &wanted.bridges, 0, &wanted.ports, connected)?;
    let lines: Vec<LineConfig> = wanted.lines.values().cloned().collect();
    send_lines(socket, &lines)
}

/// Tells of lines.
fn send_lines(socket: &OwnedFd, lines: &[LineConfig]) -> Result<(), Trouble> {
    for lines in lines.chunks(LINES_A_MESSAGE) {
        tell(socket, &ToSwitch::Lines { lines: lines.to_vec() }, &[])?;
    }
    Ok(())
}

/// Tells of the bridges from `first` on, and of ports of any of them; `connected` hears how many more ports are there.
fn send(
    socket: &OwnedFd,
    bridges: &[BridgeConfig],
    first: usize,
    ports: &[Port],
    connected: impl Fn(usize),
) -> Result<(), Trouble> {
    for bridges in bridges[first..].chunks(PORTS_A_MESSAGE) {
        tell(socket, &ToSwitch::Configure { bridges: bridges.to_vec() }, &[])?;
    }
    let known: HashMap<&str, &BridgeConfig> = bridges.iter().map(|b| (b.name.as_str(), b)).collect();
    for ports in ports.chunks(PORTS_A_MESSAGE.min(MAX_DESCRIPTORS)) {
        let mut configs = ByBridge::default();
        let mut descriptors = vec![];
        for (bridge, port, tap) in ports {
            let Some(bridge) = known.get(bridge.as_str()) else { continue };
            let mut port = port.clone();
            if let Some(tap) = tap {
                port.kind =
                    PortKind::TapDescriptor { fd: descriptors.len() as u32, mac: tap.mac, mtu: tap.mtu };
                descriptors.push(tap.descriptor.as_raw_fd());
            }
            configs.push(bridge, port);
        }
        tell(socket, &ToSwitch::Configure { bridges: configs.0 }, &descriptors)?;
        connected(ports.len());
    }
    Ok(())
}

/// Tells that bridges and ports are gone.
fn send_removals(
    socket: &OwnedFd,
    stay: &[BridgeConfig],
    gone: &[BridgeConfig],
    ports: &HashSet<(String, u32)>,
) -> Result<(), Trouble> {
    let known: HashMap<&str, &BridgeConfig> = stay.iter().map(|b| (b.name.as_str(), b)).collect();
    let ports: Vec<_> = ports.iter().collect();
    for ports in ports.chunks(PORTS_A_MESSAGE) {
        let mut configs = ByBridge::default();
        for (bridge, ofport) in ports {
            let Some(bridge) = known.get(bridge.as_str()) else { continue };
            let port = PortConfig {
                name: format!("{}-eth{ofport}", bridge.name),
                ofport: *ofport,
                kind: PortKind::Dummy,
                link_down: false,
                edge: false,
                removed: true,
            };
            configs.push(bridge, port);
        }
        tell(socket, &ToSwitch::Configure { bridges: configs.0 }, &[])?;
    }
    for bridges in gone.chunks(PORTS_A_MESSAGE) {
        let removed = |bridge: &BridgeConfig| BridgeConfig { removed: true, ..bridge.clone() };
        tell(socket, &ToSwitch::Configure { bridges: bridges.iter().map(removed).collect() }, &[])?;
    }
    Ok(())
}

/// Ports of a message, by bridge.
#[derive(Default)]
struct ByBridge(Vec<BridgeConfig>);

impl ByBridge {
    fn push(&mut self, bridge: &BridgeConfig, port: PortConfig) {
        match self.0.iter_mut().find(|known| known.name == bridge.name) {
            Some(known) => known.ports.push(port),
            None => self.0.push(BridgeConfig { ports: vec![port], ..bridge.clone() }),
        }
    }
}

fn tell(socket: &OwnedFd, message: &ToSwitch, descriptors: &[i32]) -> Result<FromSwitch, Trouble> {
    let bytes = serde_json::to_vec(message).map_err(io::Error::from)?;
    let rights = [ControlMessage::ScmRights(descriptors)];
    let control: &[ControlMessage<'_>] = if descriptors.is_empty() { &[] } else { &rights };
    let sent =
        sendmsg::<()>(socket.as_raw_fd(), &[IoSlice::new(&bytes)], control, MsgFlags::MSG_NOSIGNAL, None);
    sent.map_err(io::Error::from)?;
    answer(socket)
}

fn answer(socket: &OwnedFd) -> Result<FromSwitch, Trouble> {
    let mut buffer = vec![0; MAX_DATAGRAM];
    let (size, _) = sys::receive_with_descriptors(socket, &mut buffer)?;
    if size == 0 {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it ended at once").into());
    }
    match serde_json::from_slice(&buffer[..size]).map_err(io::Error::from)? {
        FromSwitch::Failed { message } => Err(Trouble::Refused(message)),
        answer => Ok(answer),
    }
}
