//! The process that a lab hangs from: PID 1 of its own pid namespace, holder of every host's network
//! namespace and every TAP. When it ends, however it ends, the kernel removes all of it.
//!
//! Plain threads: one for the starter's socket, one that reaps, one that keeps the switch, one for each
//! client (bounded).

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io;
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock, mpsc};
use std::time::{Duration, Instant};

use heddle_instance::netns::{loopback_up, tap_available};
use heddle_instance::sys;
use heddle_switch::config::{PortConfig, PortKind};
use nix::mount::{MsFlags, mount};

use crate::protocol::{Controller, Launch, Progress, Reply, Request, Wiring};
use crate::reaper::Reaper;
use crate::switch_child::{self, CHILD_SOCKET, Fate, Port, Wanted};
use crate::topology::{End, Link, SpanningTree, Topology};
use crate::wire::Channel;

mod changes;
mod count;
mod hosts;
mod links;
mod neighbours;
mod requests;
mod work;

use changes::{Changes, HostsFile};
use count::Count;
use hosts::{Held, Job, Making, ends_by_host};

const MAX_CLIENTS: usize = 128;
/// Time for switches to reach their controller before the lab is said to be up without it.
const CONTROLLER_TIMEOUT: Duration = Duration::from_secs(5);
/// Time for a spanning tree to settle.
const STP_TIMEOUT: Duration = Duration::from_secs(75);
const RSTP_TIMEOUT: Duration = Duration::from_secs(20);
/// Time for a host's kernel to send what it sends by itself when a device comes up: two ticks of its timer.
const FIRST_WORDS: Duration = Duration::from_millis(20);
/// Time for a connected controller to add its first flows; some add none.
const FIRST_FLOWS: Duration = Duration::from_millis(500);

/// A running lab, as its threads share it.
struct Lab {
    /// What it was started with, but for the topology, which changes.
    launch: Launch,
    world: RwLock<World>,
    changes: Changes,
    reaper: Reaper,
    fate: Arc<Fate>,
    clients: AtomicUsize,
}

/// Hosts by their names.
type Hosts = HashMap<String, Arc<Held>>;

/// What a lab consists of, replaced as a whole by each change: who has a copy goes on with what was true when he took it.
#[derive(Clone)]
struct World {
    topology: Arc<Topology>,
    /// How many changes there were.
    version: u64,
    hosts: Arc<Hosts>,
}

impl Lab {
    /// What the lab consists of now.
    fn world(&self) -> World {
        self.world.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_topology(&self, topology: Topology) {
        let hosts = Hosts::clone(&self.world().hosts);
        self.set_world(topology, hosts);
    }

    fn set_world(&self, topology: Topology, hosts: Hosts) {
        let mut world = self.world.write().unwrap_or_else(PoisonError::into_inner);
        let version = world.version + 1;
        *world = World { topology: Arc::new(topology), version, hosts: Arc::new(hosts) };
    }
}

/// Runs `heddle lab-supervisor`: the starter's socket is descriptor 3, the run directory's lock is held by
/// descriptor 4. Returns when the lab is over; the caller must then exit, which ends everything in the lab.
///
/// # Errors
/// The starter is gone or speaks another language.
pub fn run() -> io::Result<()> {
    let lock = sys::inherited_descriptor(CHILD_SOCKET + 1)?;
    let mut starter = Channel::new(UnixStream::from(sys::inherited_descriptor(CHILD_SOCKET)?));
    sys::close_on_exec_from(3);
    let Some((launch, _)) = starter.receive::<Launch>()? else { return Ok(()) };
    let result = start(launch, &starter);
    let lab = match result {
        Ok(lab) => lab,
        Err(message) => return starter.send(&Progress::Failed(message), &[]),
    };
    let (stop, stopped) = mpsc::channel();
    serve(&lab, stop.clone())?;
    starter.send(&Progress::Ready, &[])?;
    if !lab.launch.detached {
        std::thread::spawn(move || {
            // Anything but silence from the starter, its death above all, ends a lab in the foreground.
            let _ = starter.receive::<Request>();
            let _ = stop.send(());
        });
    }
    let _ = stopped.recv();
    lab.fate.stopping.store(true, Ordering::Relaxed);
    drop(lock);
    Ok(())
}

fn start(mut launch: Launch, starter: &Channel) -> Result<Arc<Lab>, String> {
    let step = |text: String| starter.send(&Progress::Step(text), &[]).map_err(|e| e.to_string());
    own_the_namespaces(&launch.name).map_err(|e| format!("the lab's namespaces cannot be set up: {e}"))?;
    let reaper = Reaper::start().map_err(|e| format!("no thread can be started: {e}"))?;
    HostsFile::prepare(&launch.run_directory, &launch.topology)?.publish()?;
    step(format!("creating {}", counted(launch.topology.hosts.len(), "host", "hosts")))?;
    let wiring = wiring(&launch, |text| starter.send(&Progress::Warning(text), &[]))?;
    let switches: HashSet<&str> = launch.topology.switches.iter().map(|s| s.name.as_str()).collect();
    let making = Making { wiring, neighbours: Arc::default() };
    making.neighbours.learn(&launch.topology.hosts);
    if neighbours::asked(launch.arp, launch.topology.hosts.len()) {
        making.neighbours.start().map_err(|e| format!("hosts cannot ask for neighbours: {e}"))?;
    }
    let count = Count::new("creating hosts", launch.topology.hosts.len(), starter)?;
    let (hosts, mut ports) = make_hosts(&launch.topology, &switches, &making, &count)?;
    hush(&ports);
    ports.extend(patches(&launch.topology.links, &switches));
    step(format!("starting {}", counted(launch.topology.switches.len(), "switch", "switches")))?;
    if launch.controller == Controller::BuiltIn {
        keep_controller(&launch, &reaper);
    }
    let topology = &launch.topology;
    let bridges = switch_child::bridges(&launch, &topology.switches, topology.spanning_tree);
    let count = Count::new("connecting ports", ports.len(), starter)?;
    let fate = Arc::new(Fate::new(Wanted { bridges, ports, lines: links::all(topology) }));
    let (tell, told) = mpsc::channel();
    let (kept, reap, fared) = (launch.clone(), reaper.clone(), fate.clone());
    let warnings = starter.try_clone().map_err(|e| e.to_string())?;
    std::thread::spawn(move || {
        let warn = |text: String| {
            eprintln!("{text}");
            let _ = warnings.send(&Progress::Warning(text), &[]);
        };
        switch_child::keep(
            &kept,
            &reap,
            &fared,
            warn,
            |ports| count.add(ports),
            |outcome| {
                let _ = tell.send(outcome);
            },
        );
    });
    told.recv().unwrap_or_else(|_| Err("the switch's keeper died".into()))?;
    if launch.controller != Controller::None {
        step("waiting for the controller".into())?;
        if let Err(message) = wait_for_controller(&fate) {
            starter.send(&Progress::Warning(message), &[]).map_err(|e| e.to_string())?;
        }
    }
    match launch.topology.spanning_tree {
        Some(protocol) => {
            step("waiting for the spanning tree".into())?;
            if let Err(message) = wait_for_tree(&fate, protocol) {
                starter.send(&Progress::Warning(message), &[]).map_err(|e| e.to_string())?;
            }
        }
        None => {
            if let Some(warning) = ring_warning(&launch.topology, &launch.controller) {
                starter.send(&Progress::Warning(warning), &[]).map_err(|e| e.to_string())?;
            }
        }
    }
    let topology = Arc::new(std::mem::take(&mut launch.topology));
    let world = RwLock::new(World { topology, version: 0, hosts: Arc::new(hosts) });
    let changes = Changes::start(making).map_err(|e| format!("no thread can be started: {e}"))?;
    Ok(Arc::new(Lab { launch, world, changes, reaper, fate, clients: AtomicUsize::new(0) }))
}

/// A number of things, in words.
#[must_use]
pub fn counted(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

/// Forgets what hosts sent when their devices came up, before any cable was in: each would be flooded to all others.
fn hush(ports: &[Port]) {
    std::thread::sleep(FIRST_WORDS);
    let mut frame = [0; 2048];
    for tap in ports.iter().filter_map(|(_, _, tap)| tap.as_ref()) {
        while nix::unistd::read(&tap.descriptor, &mut frame).is_ok() {}
    }
}

/// Waits until every switch has its controller, and a moment more for the first flows.
fn wait_for_controller(fate: &Fate) -> Result<(), String> {
    let begun = Instant::now();
    let mut connected = None;
    loop {
        let status = fate.status()?;
        if status.unconnected == 0 {
            let since = *connected.get_or_insert_with(Instant::now);
            if status.without_flows == 0 || since.elapsed() > FIRST_FLOWS {
                return Ok(());
            }
        } else if begun.elapsed() > CONTROLLER_TIMEOUT {
            return Err(format!(
                "no controller yet for {}, which will go on calling it. Is it running, and does it speak \
                 OpenFlow 1.3 or 1.0?",
                counted(status.unconnected as usize, "switch", "switches")
            ));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Waits until no port of the spanning tree changes its state any more.
fn wait_for_tree(fate: &Fate, protocol: SpanningTree) -> Result<(), String> {
    let begun = Instant::now();
    let most = match protocol {
        SpanningTree::Stp => STP_TIMEOUT,
        SpanningTree::Rstp => RSTP_TIMEOUT,
    };
    loop {
        let unsettled = fate.status()?.unsettled as usize;
        if unsettled == 0 {
            return Ok(());
        }
        if begun.elapsed() > most {
            let switches = counted(unsettled, "switch", "switches");
            return Err(format!(
                "the spanning tree of {switches} still changes; some links forward nothing yet"
            ));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// What is to be said of a ring where nothing is there that would stop what is flooded.
fn ring_warning(topology: &Topology, controller: &Controller) -> Option<String> {
    if topology.spanning_tree.is_some() || matches!(controller, Controller::Remote(_)) {
        return None;
    }
    let switch = topology.ring()?;
    Some(format!(
        "the switches form a ring, at {switch} for one, and no spanning tree runs: what is flooded goes around for ever. \
         --spanning-tree rstp stops it"
    ))
}

/// Makes mounts private, `/proc` that of our pid namespace, and brings up loopback.
fn own_the_namespaces(name: &str) -> io::Result<()> {
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)?;
    // Refused in a container that masks parts of /proc; the lab then shows the machine's process numbers.
    let _ = mount(Some("proc"), "/proc", Some("proc"), MsFlags::empty(), None::<&str>);
    let _ = nix::unistd::sethostname(name);
    loopback_up()
}

/// Makes all hosts, and the ports of switches that lead to them, in order.
fn make_hosts(
    topology: &Topology,
    switches: &HashSet<&str>,
    making: &Making,
    count: &Count,
) -> Result<(Hosts, Vec<Port>), String> {
    let mut ends = ends_by_host(&topology.links, switches);
    let job = |host| Job { host, held: None, ends: ends.remove(host.name.as_str()).unwrap_or_default() };
    let jobs: Vec<Job<'_>> = topology.hosts.iter().map(job).collect();
    let (made, outcome) = hosts::make(&jobs, making, || count.add(1));
    outcome?;
    let (mut hosts, mut ports) = (HashMap::new(), vec![]);
    for one in made {
        hosts.insert(one.name, one.held);
        ports.extend(one.ports);
    }
    ports.sort_by(|a, b| (&a.0, a.1.ofport).cmp(&(&b.0, b.1.ofport)));
    Ok((hosts, ports))
}

/// How hosts are wired: as asked, or by TAPs where they can be had.
fn wiring(launch: &Launch, warn: impl Fn(String) -> io::Result<()>) -> Result<Wiring, String> {
    if let Some(wiring) = launch.wiring {
        return Ok(wiring);
    }
    let Err(error) = tap_available() else { return Ok(Wiring::Tap) };
    let warning = format!(
        "/dev/net/tun cannot be opened ({error}), so hosts are wired by veth pairs, which carry fewer packets; \
         `chmod 666 /dev/net/tun` as root opens it"
    );
    warn(warning).map_err(|e| e.to_string())?;
    Ok(Wiring::Veth)
}

/// Both ports of each link that joins two switches.
fn patches(links: &[Link], switches: &HashSet<&str>) -> Vec<Port> {
    let is_switch = |end: &End| switches.contains(end.node.as_str());
    let between = links.iter().filter(|link| is_switch(&link.a) && is_switch(&link.b));
    between
        .flat_map(|l| [(&l.a, &l.b), (&l.b, &l.a)])
        .map(|(near, far)| {
            let kind = PortKind::Patch { peer_bridge: far.node.clone(), peer_port: far.interface() };
            let port = PortConfig {
                name: near.interface(),
                ofport: near.port,
                kind,
                link_down: false,
                edge: false,
                removed: false,
            };
            (near.node.clone(), port, None)
        })
        .collect()
}

/// An error with its causes in one line.
fn explain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(&format!(": {inner}"));
        cause = inner.source();
    }
    text
}

/// Keeps the built-in controller running; the switches reconnect by themselves.
fn keep_controller(launch: &Launch, reaper: &Reaper) {
    let (launch, reaper) = (launch.clone(), reaper.clone());
    std::thread::spawn(move || {
        loop {
            let started = controller_command(&launch).and_then(|mut c| reaper.spawn(|| c.spawn()));
            match started {
                Ok(pid) => eprintln!("the controller ended with code {}", reaper.wait(pid)),
                Err(error) => eprintln!("the controller cannot be started: {error}"),
            }
            std::thread::sleep(Duration::from_millis(500));
        }
    });
}

fn controller_command(launch: &Launch) -> io::Result<Command> {
    let socket = launch.run_directory.join("c0.sock");
    let log = File::options().create(true).append(true).open(launch.run_directory.join("controller.log"))?;
    let mut command = Command::new(&launch.program);
    command.arg("controller").arg(format!("punix:{}", socket.display()));
    command.env("OVS_RUNDIR", &launch.run_directory);
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    Ok(command)
}

/// Accepts clients on `control.sock`, each on a thread of its own.
fn serve(lab: &Arc<Lab>, stop: mpsc::Sender<()>) -> io::Result<()> {
    let listener = UnixListener::bind(lab.launch.run_directory.join("control.sock"))?;
    let lab = lab.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (lab, stop, channel) = (lab.clone(), stop.clone(), Channel::new(stream));
            if lab.clients.fetch_add(1, Ordering::Relaxed) >= MAX_CLIENTS {
                let _ =
                    channel.send(&Reply::Error(format!("the lab serves {MAX_CLIENTS} clients already")), &[]);
                lab.clients.fetch_sub(1, Ordering::Relaxed);
                continue;
            }
            std::thread::spawn(move || {
                requests::converse(&lab, channel, &stop);
                lab.clients.fetch_sub(1, Ordering::Relaxed);
            });
        }
    });
    Ok(())
}
