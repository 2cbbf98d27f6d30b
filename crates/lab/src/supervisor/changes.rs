//! Changes of a running lab. One at a time; each takes effect as a whole or not at all. What may be refused (a namespace, a
//! device, room for the hosts file, the switch's consent) comes first, what cannot fail last.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};

use heddle_instance::Remains;

use super::hosts::{Held, Job, Made, Making, ends_by_host, make};
use super::neighbours::asked;
use super::{Lab, World, links, patches, ring_warning};
use crate::protocol::Changed;
use crate::switch_child::{self, Port};
use crate::topology::{Additions, Host, Link, Parts, Removals, Topology};

/// Threads that wait for the kernel to end devices.
const BURIERS: usize = 4;

/// What changes need beside the lab itself.
pub(super) struct Changes {
    one: Mutex<()>,
    making: Making,
    buriers: mpsc::Sender<Remains>,
}

impl Changes {
    /// Starts the threads that end devices.
    pub(super) fn start(making: Making) -> io::Result<Self> {
        let (buriers, dead) = mpsc::channel::<Remains>();
        let dead = Arc::new(Mutex::new(dead));
        for _ in 0..BURIERS {
            let dead = dead.clone();
            std::thread::Builder::new().name("burier".into()).spawn(move || {
                loop {
                    let next = dead.lock().unwrap_or_else(PoisonError::into_inner).recv();
                    let Ok(remains) = next else { return };
                    if let Err(error) = remains.delete() {
                        eprintln!("a device that was taken out is left: {}", super::explain(&error));
                    }
                }
            })?;
        }
        Ok(Self { one: Mutex::default(), making, buriers })
    }

    /// Held while a change is made.
    pub(super) fn one(&self) -> MutexGuard<'_, ()> {
        self.one.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn bury(&self, remains: Remains) {
        // Without those threads they go with the lab.
        let _ = self.buriers.send(remains);
    }
}

/// Adds hosts, switches and links.
pub(super) fn add(lab: &Lab, additions: &Additions) -> Result<Changed, String> {
    let _one = lab.changes.one();
    let old = lab.world();
    let (topology, added) = old.topology.with(additions).map_err(|e| e.to_string())?;
    let hosts_file = HostsFile::prepare(&lab.launch.run_directory, &topology)?;
    answer_for_neighbours(lab, &old, &topology)?;
    let mut new = Devices::make(lab, &old, &topology, &added)?;
    let mut ports = new.ports();
    ports.extend(patches(&added.links, &topology.switch_names()));
    let mut hosts = HashMap::clone(&old.hosts);
    hosts.extend(new.made.iter().map(|made| (made.name.clone(), made.held.clone())));
    let places = ports.iter().map(|(bridge, port, _)| (bridge.clone(), port.ofport)).collect();
    let bridges = switch_child::bridges(&lab.launch, &added.switches, topology.spanning_tree);
    let lines = added.links.iter().filter(|link| link.has_settings());
    let lines: Vec<_> =
        lines.flat_map(|link| links::lines(&topology, &topology.switch_names(), link)).collect();
    lab.fate.add(bridges, ports)?;
    if let Err(error) = lab.fate.set_lines(lines).and_then(|()| hosts_file.publish()) {
        let bridges = added.switches.iter().map(|switch| switch.name.as_str()).collect();
        lab.fate.remove(&bridges, &places)?;
        return Err(error);
    }
    new.kept = true;
    lab.changes.making.neighbours.learn(&added.hosts);
    let warning = match old.topology.ring() {
        None => ring_warning(&topology, &lab.launch.controller),
        Some(_) => None,
    };
    lab.set_world(topology, hosts);
    Ok(Changed { parts: added, warning })
}

/// Removes hosts, with all that runs in them, switches and links.
pub(super) fn remove(lab: &Lab, removals: &Removals) -> Result<Changed, String> {
    let _one = lab.changes.one();
    let old = lab.world();
    let (topology, removed) = old.topology.without(removals).map_err(|e| e.to_string())?;
    let hosts_file = HostsFile::prepare(&lab.launch.run_directory, &topology)?;
    let bridges = removed.switches.iter().map(|switch| switch.name.as_str()).collect();
    let switches = old.topology.switch_names();
    let ends = removed.links.iter().flat_map(|link| [&link.a, &link.b]);
    let at_switches = ends.filter(|end| switches.contains(end.node.as_str()));
    let places = at_switches.map(|end| (end.node.clone(), end.port)).collect();
    lab.fate.remove(&bridges, &places)?;
    let mut hosts = HashMap::clone(&old.hosts);
    let ended: Vec<Arc<Held>> = removed.hosts.iter().filter_map(|host| hosts.remove(&host.name)).collect();
    // From here on nobody finds them.
    lab.set_world(topology, hosts);
    ended.iter().flat_map(|held| held.end()).for_each(|remains| lab.changes.bury(remains));
    take_out_ends(lab, &removed.links);
    drop(ended);
    lab.changes.making.neighbours.forget(&removed.hosts);
    hosts_file.publish()?;
    Ok(Changed { parts: removed, warning: None })
}

/// Has all hosts ask the lab for neighbours, once there are too many to ask the wire.
fn answer_for_neighbours(lab: &Lab, old: &World, topology: &Topology) -> Result<(), String> {
    let neighbours = &lab.changes.making.neighbours;
    if neighbours.answers() || !asked(lab.launch.arp, topology.hosts.len()) {
        return Ok(());
    }
    let begun = neighbours.start().and_then(|()| old.hosts.values().try_for_each(Held::ask_the_lab));
    begun.map_err(|e| format!("hosts cannot ask for neighbours: {e}"))
}

/// Takes the devices of links out of the hosts that stay.
fn take_out_ends(lab: &Lab, links: &[Link]) {
    let hosts = lab.world().hosts;
    for end in links.iter().flat_map(|link| [&link.a, &link.b]) {
        let Some(held) = hosts.get(&end.node) else { continue };
        match held.take_out(end.port) {
            Ok(remains) => lab.changes.bury(remains),
            // Somebody inside may have deleted or renamed it.
            Err(error) => eprintln!("{}: {}", end.interface(), super::explain(&error)),
        }
    }
}

/// The hosts and devices of an addition, gone again where it is not kept.
struct Devices<'a> {
    lab: &'a Lab,
    made: Vec<Made>,
    kept: bool,
}

impl<'a> Devices<'a> {
    fn make(lab: &'a Lab, old: &World, topology: &Topology, added: &Parts) -> Result<Self, String> {
        let mut ends = ends_by_host(&added.links, &topology.switch_names());
        let new = added.hosts.iter().map(|host| (host, None));
        let known: Vec<(&Host, Option<Arc<Held>>)> = topology.hosts[..old.topology.hosts.len()]
            .iter()
            .filter(|host| ends.contains_key(host.name.as_str()))
            .map(|host| (host, old.hosts.get(&host.name).cloned()))
            .collect();
        let jobs: Vec<Job<'_>> = new
            .chain(known)
            .map(|(host, held)| Job { host, held, ends: ends.remove(host.name.as_str()).unwrap_or_default() })
            .collect();
        let (made, outcome) = make(&jobs, &lab.changes.making, || ());
        let devices = Self { lab, made, kept: false };
        outcome.map(|()| devices)
    }

    /// The ports of the switch that belong to the devices; once.
    fn ports(&mut self) -> Vec<Port> {
        self.made.iter_mut().flat_map(|made| std::mem::take(&mut made.ports)).collect()
    }
}

impl Drop for Devices<'_> {
    fn drop(&mut self) {
        if self.kept {
            return;
        }
        for made in &self.made {
            for port in &made.devices {
                if let Ok(remains) = made.held.take_out(*port) {
                    self.lab.changes.bury(remains);
                }
            }
        }
    }
}

/// What hosts see as `/etc/hosts`, written beside the one that is there and put in its place.
pub(super) struct HostsFile {
    new: PathBuf,
    published: bool,
}

impl HostsFile {
    /// Writes it beside.
    pub(super) fn prepare(run_directory: &Path, topology: &Topology) -> Result<Self, String> {
        let mut text = String::from("127.0.0.1 localhost\n::1 localhost\n");
        for host in &topology.hosts {
            for prefix in &host.addresses {
                let _ = writeln!(text, "{} {}", prefix.address, host.name);
            }
        }
        let file = Self { new: run_directory.join("hosts.new"), published: false };
        std::fs::write(&file.new, text).map_err(|error| file.wrong(&error))?;
        Ok(file)
    }

    /// Puts it in place. Programs that run already go on with the one that they found.
    pub(super) fn publish(mut self) -> Result<(), String> {
        std::fs::rename(&self.new, self.new.with_extension("")).map_err(|error| self.wrong(&error))?;
        self.published = true;
        Ok(())
    }

    fn wrong(&self, error: &io::Error) -> String {
        format!("the lab's hosts file {} cannot be written: {error}", self.new.display())
    }
}

impl Drop for HostsFile {
    fn drop(&mut self) {
        if !self.published {
            let _ = std::fs::remove_file(&self.new);
        }
    }
}
