//! Hosts that the supervisor holds: made on a few threads, wired, and ended with what runs in them.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;
use std::os::fd::BorrowedFd;
use std::os::linux::fs::MetadataExt;
use std::path::PathBuf;
use std::process::Child;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use heddle_instance::netns::NetnsProvider;
use heddle_instance::{Attachment, Instance, InstanceProvider, Nic, Program, Remains, neighbour};
use heddle_switch::config::{PortConfig, PortKind};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::explain;
use super::neighbours::Neighbours;
use crate::protocol::Wiring;
use crate::switch_child::{Port, Tap};
use crate::topology::{End, Host, Link};

const MTU: u32 = 1500;
/// The kernel takes most of the time that hosts take, and serves several threads at once.
const MAKERS: usize = 4;
/// Time for killed programs to go.
const MOST_DYING: Duration = Duration::from_secs(2);

/// How hosts are made.
#[derive(Clone)]
pub(super) struct Making {
    pub(super) wiring: Wiring,
    pub(super) neighbours: Arc<Neighbours>,
}

/// A host that is there.
pub(super) struct Held {
    instance: Box<dyn Instance>,
    making: Making,
    devices: Mutex<BTreeMap<u32, Device>>,
    /// Whether it is being removed; held for reading while a program starts, so that none starts unseen.
    gone: RwLock<bool>,
}

/// A device of a host, by its port.
struct Device {
    /// Its place among the host's devices. The first has the host's addresses.
    number: u32,
    near: String,
}

/// A host to make or to give more devices, and each device's end with the switch's.
pub(super) struct Job<'a> {
    pub(super) host: &'a Host,
    pub(super) held: Option<Arc<Held>>,
    pub(super) ends: Vec<(&'a End, &'a End)>,
}

/// What came of a job, whole or not.
pub(super) struct Made {
    pub(super) name: String,
    pub(super) held: Arc<Held>,
    pub(super) ports: Vec<Port>,
    /// The host's own ports that were added.
    pub(super) devices: Vec<u32>,
}

/// The ends of links that are hosts', each with the switch's end, by host.
pub(super) fn ends_by_host<'a>(
    links: &'a [Link],
    switches: &HashSet<&str>,
) -> HashMap<&'a str, Vec<(&'a End, &'a End)>> {
    let mut ends: HashMap<&str, Vec<(&End, &End)>> = HashMap::new();
    for (near, far) in links.iter().flat_map(|l| [(&l.a, &l.b), (&l.b, &l.a)]) {
        if !switches.contains(near.node.as_str()) {
            ends.entry(near.node.as_str()).or_default().push((near, far));
        }
    }
    ends
}

/// Does jobs on a few threads; `done` hears of each. What was made is returned also where something was refused.
pub(super) fn make(
    jobs: &[Job<'_>],
    making: &Making,
    done: impl Fn() + Sync,
) -> (Vec<Made>, Result<(), String>) {
    let next = AtomicUsize::new(0);
    let made: Mutex<Vec<Made>> = Mutex::default();
    let work = || -> Result<(), String> {
        while let Some(job) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
            let outcome = job_done(job, making, &made);
            if outcome.is_err() {
                // Nothing more is begun by anyone.
                next.store(jobs.len(), Ordering::Relaxed);
                return outcome;
            }
            done();
        }
        Ok(())
    };
    let outcome = if jobs.len() == 1 {
        work()
    } else {
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..MAKERS.min(jobs.len())).map(|_| scope.spawn(work)).collect();
            let ends =
                workers.into_iter().map(|w| w.join().unwrap_or_else(|_| Err("a worker thread died".into())));
            ends.fold(Ok(()), Result::and)
        })
    };
    (made.into_inner().unwrap_or_else(PoisonError::into_inner), outcome)
}

fn job_done(job: &Job<'_>, making: &Making, made: &Mutex<Vec<Made>>) -> Result<(), String> {
    let host = job.host;
    let held = match &job.held {
        Some(held) => held.clone(),
        None => Held::new(&host.name, making)?,
    };
    let mut result = Made { name: host.name.clone(), held, ports: vec![], devices: vec![] };
    let attached = job.ends.iter().try_for_each(|(near, far)| {
        result.ports.push(result.held.attach(host, near, far)?);
        result.devices.push(near.port);
        Ok(())
    });
    made.lock().unwrap_or_else(PoisonError::into_inner).push(result);
    attached.map_err(|e: heddle_instance::Error| explain(&e))
}

impl Held {
    /// How many packets its devices had no room for.
    pub(super) fn dropped(&self) -> Result<u64, heddle_instance::Error> {
        self.instance.dropped()
    }

    fn new(name: &str, making: &Making) -> Result<Arc<Self>, String> {
        let instance = NetnsProvider.create(name).map_err(|e| explain(&e))?;
        let making = making.clone();
        let held = Arc::new(Self { instance, making, devices: Mutex::default(), gone: RwLock::new(false) });
        held.be_admitted().map_err(|e| format!("{name} cannot ask for neighbours: {e}"))?;
        Ok(held)
    }

    /// The descriptor of its network namespace.
    pub(super) fn netns(&self) -> Option<BorrowedFd<'_>> {
        self.instance.netns()
    }

    fn be_admitted(self: &Arc<Self>) -> io::Result<()> {
        self.netns().map_or(Ok(()), |netns| self.making.neighbours.admit(self, netns))
    }

    /// Has a host that asked the wire for neighbours ask the lab from now on.
    pub(super) fn ask_the_lab(self: &Arc<Self>) -> io::Result<()> {
        self.be_admitted()?;
        let Some(netns) = self.netns() else { return Ok(()) };
        let name = |port: &u32| End { node: self.instance.name().to_owned(), port: *port }.interface();
        self.devices().keys().map(name).try_for_each(|device| neighbour::solicit(netns, &device))
    }

    fn devices(&self) -> MutexGuard<'_, BTreeMap<u32, Device>> {
        self.devices.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn attach(&self, host: &Host, near: &End, far: &End) -> Result<Port, heddle_instance::Error> {
        let mut devices = self.devices();
        let taken: HashSet<u32> = devices.values().map(|device| device.number).collect();
        let number = (0..).find(|number| !taken.contains(number)).unwrap_or(u32::MAX);
        let first = number == 0;
        let nic = Nic {
            name: near.interface(),
            mac: if first { host.mac } else { further_mac(host.mac, number as u8) },
            mtu: MTU,
            addresses: if first { host.addresses.clone() } else { vec![] },
            routes: if first { host.routes.clone() } else { vec![] },
            solicits: self.making.neighbours.answers(),
            wiring: self.wiring_to(&far.interface()),
        };
        let (kind, tap) = match self.instance.attach(&nic)? {
            Attachment::Tap(descriptor) => (
                PortKind::TapDescriptor { fd: 0, mac: nic.mac, mtu: MTU },
                Some(Tap { mac: nic.mac, mtu: MTU, descriptor }),
            ),
            Attachment::Veth(interface) => (PortKind::Packet { interface }, None),
            Attachment::Dummy => (PortKind::Dummy, None),
        };
        devices.insert(near.port, Device { number, near: far.interface() });
        let port = PortConfig {
            name: far.interface(),
            ofport: far.port,
            kind,
            link_down: false,
            edge: true,
            removed: false,
        };
        Ok((far.node.clone(), port, tap))
    }

    fn wiring_to(&self, near: &str) -> heddle_instance::Wiring {
        match self.making.wiring {
            Wiring::Tap => heddle_instance::Wiring::Tap,
            Wiring::Veth => heddle_instance::Wiring::Veth { near: near.to_owned() },
        }
    }

    /// Takes a device out of use, by its port.
    pub(super) fn take_out(&self, port: u32) -> Result<Remains, heddle_instance::Error> {
        let Some(device) = self.devices().remove(&port) else { return Ok(Remains::default()) };
        let name = End { node: self.instance.name().to_owned(), port }.interface();
        self.instance.take_out(&name, &self.wiring_to(&device.near))
    }

    /// Starts a program.
    pub(super) fn spawn(&self, program: Program) -> io::Result<Child> {
        let gone = self.gone.read().unwrap_or_else(PoisonError::into_inner);
        if *gone {
            return Err(io::Error::new(io::ErrorKind::NotFound, "the host is being removed"));
        }
        self.instance.spawn(program)
    }

    /// Lets nothing more start and ends what runs, whoever started it. Returns the devices that need an end of their own,
    /// because their near ends' names are wanted back sooner than the kernel gets to the namespace.
    pub(super) fn end(&self) -> Vec<Remains> {
        *self.gone.write().unwrap_or_else(PoisonError::into_inner) = true;
        if let Some(netns) = self.netns().and_then(|netns| netns.try_clone_to_owned().ok()) {
            kill_inside(std::fs::File::from(netns));
        }
        let ports: Vec<u32> = self.devices().keys().copied().collect();
        match self.making.wiring {
            Wiring::Tap => vec![],
            Wiring::Veth => ports.into_iter().filter_map(|port| self.take_out(port).ok()).collect(),
        }
    }
}

/// A locally administered address for a host's further devices, out of the way of the first ones.
fn further_mac(first: [u8; 6], number: u8) -> [u8; 6] {
    [first[0] | 2, number, first[2], first[3], first[4], first[5]]
}

/// Kills the processes in a network namespace until none is left there.
fn kill_inside(netns: std::fs::File) {
    let Ok(inode) = netns.metadata().map(|file| file.st_ino()) else { return };
    let begun = Instant::now();
    loop {
        let found = inside(inode);
        if found.is_empty() || begun.elapsed() > MOST_DYING {
            return;
        }
        for pid in found {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// The processes in a network namespace, as numbered in our pid namespace: `/proc` may be that of another one, above ours.
fn inside(netns: u64) -> Vec<i32> {
    let Some(depth) = numbers("self").map(|own| own.len() - 1) else { return vec![] };
    let all = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let named = all.filter_map(|entry| entry.file_name().into_string().ok());
    let there = |name: &String| {
        let place: PathBuf = ["/proc", name, "ns/net"].iter().collect();
        name.parse::<i32>().is_ok() && std::fs::metadata(place).is_ok_and(|file| file.st_ino() == netns)
    };
    named
        .filter(there)
        .filter_map(|name| numbers(&name)?.get(depth).copied())
        .filter(|pid| *pid > 1)
        .collect()
}

/// A process's numbers in its pid namespaces, outermost first.
fn numbers(process: &str) -> Option<Vec<i32>> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("NSpid:"))?;
    line.split_whitespace().map(|number| number.parse().ok()).collect()
}
