//! What clients ask of a running lab.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use heddle_instance::Program;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use super::hosts::Held;
use super::work::{self, Work};
use super::{Lab, World, changes, links};
use crate::protocol::{Info, Launch, Pinged, Reply, Request, Throughput};
use crate::topology::{End, Host, Topology};
use crate::wire::Channel;

/// Pings in flight at once.
const PINGERS: usize = 16;

/// Answers one client until it leaves.
pub(super) fn converse(lab: &Lab, mut channel: Channel, stop: &Sender<()>) {
    while let Ok(Some((request, descriptors))) = channel.receive::<Request>() {
        let reply = match request {
            Request::Exec { host, argv, env, cwd } => {
                let program = Program {
                    argv: argv.into_iter().map(OsString::from).collect(),
                    env: Some(env.into_iter().map(|(k, v)| (k.into(), v.into())).collect()),
                    cwd,
                    stdio: three(descriptors),
                    hosts_file: None,
                };
                execute(lab, &host, program, channel);
                return;
            }
            Request::Signal(_) => Err("no program runs on this connection".into()),
            Request::Info => Ok(Reply::Info(Box::new(info(lab)))),
            Request::Ping { from, to, ipv6, timeout } => {
                return work::answer(lab, channel, |work| ping(work, [&from, &to], ipv6, timeout));
            }
            Request::Iperf { client, server, seconds } => {
                return work::answer(lab, channel, |work| iperf(work, &client, &server, seconds));
            }
            Request::Add(additions) => {
                changes::add(lab, &additions).map(|changed| Reply::Changed(Box::new(changed)))
            }
            Request::Remove(removals) => {
                changes::remove(lab, &removals).map(|changed| Reply::Changed(Box::new(changed)))
            }
            Request::Topology { but } => Ok(topology(lab, but)),
            Request::Link { a, b, up } => links::set_cable(lab, &a, &b, up),
            Request::Capture { interface } => {
                return links::capture(lab, &interface, descriptors.into_iter().next(), channel);
            }
            Request::StopCapture => Err("nothing is captured on this connection".into()),
            Request::Shape { a, b, settings, one_way } => links::shape(lab, [&a, &b], &settings, one_way),
            Request::Links => links::reports(lab).map(Reply::Links),
            Request::Fidelity => links::fidelity(lab).map(Reply::Fidelity),
            Request::Stop => {
                let _ = channel.send(&Reply::Done, &[]);
                let _ = stop.send(());
                return;
            }
        };
        if channel.send(&reply.unwrap_or_else(Reply::Error), &[]).is_err() {
            return;
        }
    }
}

/// The topology, where it is another than that of the version given.
fn topology(lab: &Lab, but: Option<u64>) -> Reply {
    let World { topology, version, .. } = lab.world();
    let changed = but != Some(version);
    Reply::Topology { version, topology: changed.then(|| Box::new(Topology::clone(&topology))) }
}

fn info(lab: &Lab) -> Info {
    let restarts = lab.fate.restarts.load(Ordering::Relaxed);
    let outage = lab.fate.outage_ms.load(Ordering::Relaxed);
    let topology = lab.world().topology;
    Info {
        links_down: links_down(lab, &topology),
        launch: Launch { topology: Topology::clone(&topology), ..lab.launch.clone() },
        switch_restarts: restarts,
        last_outage_ms: (restarts > 0).then_some(outage),
        switch: lab.fate.status().ok(),
    }
}

fn links_down(lab: &Lab, topology: &Topology) -> BTreeSet<usize> {
    let down = lab.fate.ports_down();
    let is_down = |end: &End| down.iter().any(|(bridge, port)| *bridge == end.node && *port == end.port);
    let links = topology.links.iter().enumerate();
    links.filter(|(_, link)| is_down(&link.a) || is_down(&link.b)).map(|(number, _)| number).collect()
}

fn three(descriptors: Vec<OwnedFd>) -> [Option<OwnedFd>; 3] {
    let mut given = descriptors.into_iter();
    [given.next(), given.next(), given.next()]
}

fn host(lab: &Lab, name: &str) -> Result<Arc<Held>, String> {
    lab.world().hosts.get(name).cloned().ok_or_else(|| format!("the lab has no host {name}"))
}

pub(super) fn spawn(lab: &Lab, name: &str, mut program: Program) -> Result<i32, String> {
    let host = host(lab, name)?;
    let shown = program.argv.first().cloned().unwrap_or_default();
    program.hosts_file = Some(lab.launch.run_directory.join("hosts"));
    lab.reaper
        .spawn(|| host.spawn(program))
        .map_err(|e| format!("{} cannot be run in {name}: {e}", shown.to_string_lossy()))
}

/// Runs a program for a client; signals arrive on the same connection, and its end hangs the program up.
fn execute(lab: &Lab, name: &str, program: Program, mut channel: Channel) {
    let outgoing = match channel.try_clone() {
        Ok(outgoing) => outgoing,
        Err(_) => return,
    };
    let pid = match spawn(lab, name, program) {
        Ok(pid) => pid,
        Err(message) => {
            let _ = outgoing.send(&Reply::Error(message), &[]);
            return;
        }
    };
    let over = Mutex::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            loop {
                let signal = match channel.receive::<Request>() {
                    Ok(Some((Request::Signal(number), _))) => Signal::try_from(number).ok(),
                    Ok(Some(_)) => None,
                    _ => Some(Signal::SIGHUP),
                };
                let over = over.lock().unwrap_or_else(PoisonError::into_inner);
                if *over {
                    return;
                }
                if let Some(signal) = signal {
                    let _ = killpg(Pid::from_raw(pid), signal);
                    if signal == Signal::SIGHUP {
                        return;
                    }
                }
            }
        });
        let code = lab.reaper.wait(pid);
        *over.lock().unwrap_or_else(PoisonError::into_inner) = true;
        let _ = outgoing.send(&Reply::Exit(code), &[]);
        outgoing.shutdown();
    });
}

fn ping(work: &Work<'_>, [from, to]: [&[String]; 2], ipv6: bool, timeout: u32) -> Result<Reply, String> {
    let topology = work.lab.world().topology;
    for name in from.iter().chain(to) {
        host(work.lab, name)?;
    }
    let chosen = |names: &[String]| -> Vec<&Host> {
        topology.hosts.iter().filter(|host| names.is_empty() || names.contains(&host.name)).collect()
    };
    let (from, to) = (chosen(from), chosen(to));
    let mut pairs = vec![];
    for from in from {
        for to in to.iter().filter(|to| to.name != from.name) {
            if let Some(address) = to.address(ipv6) {
                pairs.push((from.name.as_str(), to.name.as_str(), address.to_string()));
            }
        }
    }
    let answers: Vec<Mutex<Result<bool, String>>> = pairs.iter().map(|_| Mutex::new(Ok(false))).collect();
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..PINGERS.min(pairs.len()) {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some((from, _, address)) = pairs.get(at) else { return };
                    let answered = one_ping(work, from, address, timeout);
                    *answers[at].lock().unwrap_or_else(PoisonError::into_inner) = answered;
                }
            });
        }
    });
    let mut results = Vec::with_capacity(pairs.len());
    for ((from, to, _), answer) in pairs.iter().zip(answers) {
        let answered = answer.into_inner().unwrap_or_else(PoisonError::into_inner)?;
        results.push(Pinged { from: (*from).to_owned(), to: (*to).to_owned(), answered });
    }
    Ok(Reply::Ping(results))
}

fn one_ping(work: &Work<'_>, from: &str, address: &str, timeout: u32) -> Result<bool, String> {
    let timeout = timeout.clamp(1, 60).to_string();
    let argv = ["ping", "-n", "-c1", "-W", &timeout, address].map(OsString::from).to_vec();
    let pid = work
        .start(from, Program { argv, ..Program::default() })
        .map_err(|e| format!("{e}; Debian has ping in the package iputils-ping"))?;
    Ok(work.wait(pid) == 0)
}

fn iperf(work: &Work<'_>, client: &str, server: &str, seconds: u32) -> Result<Reply, String> {
    let address = work
        .lab
        .world()
        .topology
        .host(server)
        .ok_or_else(|| format!("the lab has no host {server}"))?
        .address(false)
        .ok_or_else(|| format!("{server} has no IPv4 address"))?
        .to_string();
    let missing = |e| format!("{e}; Debian has it in the package iperf3");
    let argv = ["iperf3", "-s", "-1"].map(OsString::from).to_vec();
    let listener = work.start(server, Program { argv, ..Program::default() }).map_err(missing)?;
    let result = iperf_client(work, client, &address, seconds.clamp(1, 3600));
    let _ = killpg(Pid::from_raw(listener), Signal::SIGKILL);
    work.wait(listener);
    result.map(Reply::Iperf)
}

fn iperf_client(work: &Work<'_>, client: &str, address: &str, seconds: u32) -> Result<Throughput, String> {
    let mut last = String::new();
    for _ in 0..10 {
        std::thread::sleep(Duration::from_millis(200));
        let (reader, writer) = std::io::pipe().map_err(|e| e.to_string())?;
        let argv = ["iperf3", "-J", "-c", address, "-t", &seconds.to_string()].map(OsString::from).to_vec();
        let stdio = [None, Some(writer.into()), None];
        let pid = work.start(client, Program { argv, stdio, ..Program::default() })?;
        let mut text = String::new();
        let read = File::from(OwnedFd::from(reader)).take(16 << 20).read_to_string(&mut text);
        work.wait(pid);
        read.map_err(|e| e.to_string())?;
        let value: serde_json::Value = serde_json::from_str(&text).map_err(|e| format!("iperf3: {e}"))?;
        let rate = |end: &str| value["end"][end]["bits_per_second"].as_f64();
        if let (Some(sent), Some(received)) = (rate("sum_sent"), rate("sum_received")) {
            return Ok(Throughput { sent, received });
        }
        last = value["error"].as_str().unwrap_or("iperf3 gave no result").to_owned();
    }
    Err(last)
}
