//! The process that holds a lab: process 1 of its namespace, owner of the hosts' namespaces and TAP descriptors.
//!
//! It does little besides: it starts the controller and the switch and restarts them when they end, runs programs
//! in hosts for its clients, and reaps. Everything of a lab hangs from it, so the kernel removes a lab with it.

use crate::error::in_full;
use crate::plan::{CONTROLLER_SOCKET, Plan};
use crate::processes::Processes;
use crate::protocol::{Controller, Event, Info, StartConfig};
use crate::switch_child::SwitchChild;
use crate::watcher::emit;
use crate::{LabError, server, watcher};
use heddle_instance::{Attachment, Instance, Netns, NetnsHost, SwitchEnd, rtnl::Rtnl, sys};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use std::fs::{self, OpenOptions};
use std::os::fd::AsFd;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// A running lab, as its supervisor's threads see it.
#[derive(Debug)]
pub(crate) struct Running {
    pub name: String,
    pub plan: Plan,
    pub controller: Controller,
    pub attachment: Attachment,
    pub rundir: PathBuf,
    pub hosts: Vec<NetnsHost>,
    pub processes: Processes,
    pub switch: SwitchChild,
    pub started: Instant,
}

/// Runs the hidden `lab-supervisor` subcommand: `watch` (what [`crate::Lab::start`] starts) or
/// `run DIRECTORY` (what the watcher starts). The arguments are those after the subcommand.
#[must_use]
pub fn main(arguments: &[String]) -> ExitCode {
    match arguments {
        [stage] if stage == "watch" => watcher::main(),
        [stage, directory] if stage == "run" => supervise(Path::new(directory)),
        _ => {
            eprintln!("lab-supervisor is started by 'heddle lab' only");
            ExitCode::from(2)
        }
    }
}

fn supervise(rundir: &Path) -> ExitCode {
    match start(rundir) {
        Ok((lab, listener)) => {
            emit(&Event::Ready);
            server::serve(&lab, &listener);
            ExitCode::SUCCESS
        }
        Err(e) => {
            let text = in_full(&e);
            eprintln!("{text}");
            emit(&Event::Failed(text));
            ExitCode::FAILURE
        }
    }
}

fn start(rundir: &Path) -> Result<(Arc<Running>, UnixListener), LabError> {
    sys::reserve_descriptor_3().map_err(LabError::system("open /dev/null"))?;
    let doing = "read the lab's configuration";
    let json = fs::read(rundir.join("lab.json")).map_err(LabError::system(doing))?;
    let config: StartConfig = serde_json::from_slice(&json)?;
    enter_namespaces()?;
    let socket = rundir.join("control.sock");
    let listener = UnixListener::bind(&socket)
        .map_err(LabError::system(format!("listen on {}", socket.display())))?;
    let processes = Processes::start().map_err(LabError::system("start a thread"))?;
    let attachment = choose_attachment();
    let progress = format!("{} hosts, {} switches", config.plan.hosts.len(), config.plan.bridges.len());
    emit(&Event::Progress(progress));
    if attachment == Attachment::Veth {
        let text = "/dev/net/tun may not be opened (mode 0666 would allow it): veth pairs instead of TAPs, slower";
        emit(&Event::Progress(text.into()));
    }
    let hosts = make_hosts(&config.plan, attachment)?;
    if config.controller == Controller::BuiltIn {
        start_controller(&processes, rundir)?;
    }
    emit(&Event::Progress("starting the switch".into()));
    let lab = Arc::new(Running {
        name: config.name,
        plan: config.plan,
        controller: config.controller,
        attachment,
        rundir: rundir.to_owned(),
        hosts,
        processes,
        switch: SwitchChild::default(),
        started: Instant::now(),
    });
    SwitchChild::start(&lab)?;
    Ok((lab, listener))
}

impl Running {
    /// The switch's ends of each host's interfaces.
    pub(crate) fn ends(&self) -> Vec<&[SwitchEnd]> {
        self.hosts.iter().map(NetnsHost::switch_ends).collect()
    }

    /// The host of that name.
    pub(crate) fn host(&self, name: &str) -> Option<&NetnsHost> {
        self.hosts.iter().find(|h| h.name() == name)
    }

    /// For `info`.
    pub(crate) fn info(&self) -> Info {
        let state = self.switch.state();
        Info {
            name: self.name.clone(),
            plan: self.plan.clone(),
            controller: self.controller.clone(),
            attachment: self.attachment,
            switch_pid: state.pid,
            restarts: state.restarts.iter().copied().collect(),
            restart_count: state.restart_count,
        }
    }
}

fn enter_namespaces() -> Result<(), LabError> {
    let flags = CloneFlags::CLONE_NEWNET
        | CloneFlags::CLONE_NEWNS
        | CloneFlags::CLONE_NEWUTS
        | CloneFlags::CLONE_NEWIPC;
    unshare(flags).map_err(LabError::system("make the lab's namespaces"))?;
    let none: Option<&str> = None;
    let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    mount(none, "/", none, private, none).map_err(LabError::system("make mounts private"))?;
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(Some("proc"), "/proc", Some("proc"), flags, none)
        .map_err(LabError::system("mount the lab's /proc"))?;
    // The ends of veth pairs are the switch's and speak no IPv6 of their own.
    let _ = fs::write("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1");
    Rtnl::open()
        .and_then(|mut rtnl| rtnl.up("lo"))
        .map_err(LabError::system("bring up the lab's loopback"))
}

fn choose_attachment() -> Attachment {
    let tun = OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/net/tun");
    match tun {
        Ok(_) => Attachment::Tap,
        Err(_) => Attachment::Veth,
    }
}

/// Makes the hosts, on a few threads: most of the time is the kernel's, and partly serial there.
fn make_hosts(plan: &Plan, attachment: Attachment) -> Result<Vec<NetnsHost>, LabError> {
    let own = Netns::current().map_err(LabError::system("open the lab's network namespace"))?;
    let workers = thread::available_parallelism().map_or(2, |n| n.get().clamp(1, 4));
    let next = AtomicUsize::new(0);
    let made = Mutex::new(Vec::with_capacity(plan.hosts.len()));
    let failed = Mutex::new(None);
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    let place = next.fetch_add(1, Ordering::Relaxed);
                    let Some(spec) = plan.hosts.get(place) else {
                        return;
                    };
                    match NetnsHost::create(spec.clone(), attachment, own.as_fd()) {
                        Ok(host) => locked(&made).push((place, host)),
                        Err(e) => {
                            next.store(plan.hosts.len(), Ordering::Relaxed);
                            locked(&failed).get_or_insert(e);
                        }
                    }
                }
            });
        }
    });
    if let Some(e) = locked(&failed).take() {
        return Err(LabError::Refused(in_full(&e)));
    }
    let mut made = made.into_inner().unwrap_or_else(PoisonError::into_inner);
    made.sort_by_key(|(place, _)| *place);
    let hosts: Vec<NetnsHost> = made.into_iter().map(|(_, host)| host).collect();
    bring_up_switch_ends(&hosts)?;
    Ok(hosts)
}

fn bring_up_switch_ends(hosts: &[NetnsHost]) -> Result<(), LabError> {
    let mut rtnl = Rtnl::open().map_err(LabError::system("open rtnetlink"))?;
    for host in hosts {
        for (end, interface) in host.switch_ends().iter().zip(&host.spec().interfaces) {
            if let SwitchEnd::Interface(name) = end {
                rtnl.set_link(name, None, Some(interface.mtu))
                    .and_then(|()| rtnl.up(name))
                    .map_err(LabError::system(format!("bring up {name}")))?;
            }
        }
    }
    Ok(())
}

/// Starts the built-in controller, waits until it listens, and restarts it when it ends.
fn start_controller(processes: &Processes, rundir: &Path) -> Result<(), LabError> {
    emit(&Event::Progress("starting the controller".into()));
    let socket = rundir.join(CONTROLLER_SOCKET);
    let listen = format!("unix:{}", socket.display());
    let arguments = ["lab-controller".to_owned(), "--listen".to_owned(), listen];
    let log = rundir.join("controller.log");
    let (processes, own_socket) = (processes.clone(), socket.clone());
    let run = move || {
        loop {
            let _ = fs::remove_file(&own_socket);
            let spawned = processes.spawn(|| {
                let stderr = append(&log).ok();
                let spawn = sys::Spawn {
                    stdio: [None, None, stderr],
                    ..sys::Spawn::new("/proc/self/exe", &arguments)
                };
                sys::spawn(spawn).map_err(|source| heddle_instance::InstanceError::Spawn {
                    host: "lab".into(),
                    program: "the controller".into(),
                    source,
                })
            });
            match spawned {
                Ok(child) => eprintln!("controller ended with {}; restarting it", child.wait()),
                Err(e) => eprintln!("{}", in_full(&e)),
            }
            thread::sleep(Duration::from_millis(200));
        }
    };
    thread::Builder::new()
        .name("controller".into())
        .spawn(run)
        .map_err(LabError::system("start a thread"))?;
    let deadline = Instant::now() + Duration::from_secs(10);
    while !socket.exists() {
        if Instant::now() > deadline {
            let text = fs::read_to_string(rundir.join("controller.log")).unwrap_or_default();
            let text = format!("the built-in controller does not listen; its log: {text}");
            return Err(LabError::Refused(text));
        }
        thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

/// A log to append to, as a descriptor for a child.
pub(crate) fn append(log: &Path) -> std::io::Result<std::os::fd::OwnedFd> {
    let file = OpenOptions::new().create(true).append(true).open(log)?;
    Ok(file.into())
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
