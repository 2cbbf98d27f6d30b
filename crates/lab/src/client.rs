//! How programs start, find and use labs.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use heddle_instance::sys;
use serde::de::DeserializeOwned;

use crate::protocol::{
    Arp, Changed, Controller, Info, Launch, Pinged, Progress, Reply, Request, Throughput, Wiring,
};
use crate::switch_child::CHILD_SOCKET;
use crate::topology::{Additions, FailMode, Removals, Topology};

use crate::wire::Channel;

mod links;

pub use links::Capturing;

/// Most bytes of a Unix socket's path (unix(7)), without the zero behind it.
const MAX_SOCKET_PATH: usize = 107;
/// The longest name of a socket in a run directory.
const MAX_SOCKET_NAME: usize = "remote-controller.sock".len();

/// How long a lab may take to end.
const MOST_ENDING: Duration = Duration::from_secs(60);

/// What went wrong, as a sentence for the user.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct LabError(pub String);

impl From<io::Error> for LabError {
    fn from(error: io::Error) -> Self {
        Self(format!("the lab does not answer: {error}"))
    }
}

/// How to start a lab.
#[derive(Clone, Debug)]
pub struct Options {
    /// Its name, unique among the caller's running labs.
    pub name: String,
    /// Hosts, switches and links.
    pub topology: Topology,
    /// Who programs the switches.
    pub controller: Controller,
    /// For switches that do not say.
    pub fail_mode: Option<FailMode>,
    /// How hosts' devices reach the switch; by TAPs if they can be had, when `None`.
    pub wiring: Option<Wiring>,
    /// How hosts find the Ethernet addresses of each other.
    pub arp: Arp,
    /// Lives on when the caller ends.
    pub detached: bool,
    /// The program with the hidden subcommands; usually `std::env::current_exe()`.
    pub program: PathBuf,
}

/// A running lab. Dropping one that was started in the foreground ends it.
#[derive(Debug)]
pub struct Lab {
    directory: PathBuf,
    supervisor: Option<Channel>,
    asking: Interrupter,
}

/// Gives up what a lab is being asked, from another thread; the lab ends the programs that it started for it.
#[derive(Clone, Debug, Default)]
pub struct Interrupter(Arc<Mutex<Option<Channel>>>);

impl Interrupter {
    /// Ends the question that waits for its answer, if one does.
    pub fn interrupt(&self) {
        if let Some(channel) = &*self.lock() {
            channel.shutdown();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Channel>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The directory that holds the caller's run directories.
#[must_use]
pub fn labs_directory() -> PathBuf {
    let base = if let Some(given) = std::env::var_os("HEDDLE_RUNDIR") {
        PathBuf::from(given)
    } else if nix::unistd::geteuid().is_root() {
        PathBuf::from("/run/heddle")
    } else if let Some(runtime) = std::env::var_os("XDG_RUNTIME_DIR") {
        PathBuf::from(runtime).join("heddle")
    } else {
        PathBuf::from(format!("/tmp/heddle-{}", nix::unistd::geteuid()))
    };
    // Absolute, as it is told to those who work elsewhere.
    std::path::absolute(base.join("labs")).unwrap_or_else(|_| base.join("labs"))
}

/// Names of the caller's running labs.
#[must_use]
pub fn list() -> Vec<String> {
    let Ok(entries) = fs::read_dir(labs_directory()) else { return vec![] };
    let alive = |e: &fs::DirEntry| UnixStream::connect(e.path().join("control.sock")).is_ok();
    let mut names: Vec<String> =
        entries.flatten().filter(alive).map(|e| e.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

impl Lab {
    /// Starts a lab and returns when packets can flow between its hosts' devices and its switches.
    ///
    /// # Errors
    /// A sentence that names what cannot be had and the remedy.
    pub fn start(options: Options, mut progress: impl FnMut(&Progress)) -> Result<Self, LabError> {
        let (directory, lock) = claim_directory(&options.name)?;
        let launch = Launch {
            name: options.name,
            run_directory: directory.clone(),
            program: options.program,
            topology: options.topology,
            controller: options.controller,
            fail_mode: options.fail_mode,
            wiring: options.wiring,
            arp: options.arp,
            detached: options.detached,
        };
        let started = launch_supervisor(&launch, lock).and_then(|(mut channel, supervisor)| {
            start_watcher(&launch, supervisor)?;
            channel.send(&launch, &[])?;
            loop {
                match channel.receive::<Progress>()? {
                    Some((Progress::Ready, _)) => return Ok(channel),
                    Some((Progress::Failed(message), _)) => return Err(LabError(message)),
                    Some((other, _)) => progress(&other),
                    None => return Err(LabError("the lab's supervisor died while it started".into())),
                }
            }
        });
        let channel = started.inspect_err(|_| {
            let _ = fs::remove_dir_all(&directory);
        })?;
        let supervisor = (!launch.detached).then_some(channel);
        Ok(Self { directory, supervisor, asking: Interrupter::default() })
    }

    /// Finds a running lab by its name.
    ///
    /// # Errors
    /// No such lab runs.
    pub fn attach(name: &str) -> Result<Self, LabError> {
        let directory = labs_directory().join(name);
        UnixStream::connect(directory.join("control.sock")).map_err(|_| {
            LabError(format!("no lab named {name} is running; `heddle lab list` shows those that are"))
        })?;
        Ok(Self { directory, supervisor: None, asking: Interrupter::default() })
    }

    /// Its run directory: what stock clients need as `OVS_RUNDIR`.
    #[must_use]
    pub fn run_directory(&self) -> &Path {
        &self.directory
    }

    /// What gives up a question that another thread asks.
    #[must_use]
    pub fn interrupter(&self) -> Interrupter {
        self.asking.clone()
    }

    /// State of the lab.
    ///
    /// # Errors
    /// The lab is gone.
    pub fn info(&self) -> Result<Info, LabError> {
        match self.ask(&Request::Info)? {
            Reply::Info(info) => Ok(*info),
            other => Err(unexpected(&other)),
        }
    }

    /// Runs a program in a host with the caller's environment and working directory; see [`Running`].
    ///
    /// # Errors
    /// The lab is gone.
    pub fn exec(&self, host: &str, argv: &[String], stdio: [BorrowedFd<'_>; 3]) -> Result<Running, LabError> {
        let env: BTreeMap<String, String> = std::env::vars_os()
            .filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)))
            .collect();
        let channel = self.connect()?;
        let cwd = std::env::current_dir().ok();
        channel.send(&Request::Exec { host: host.to_owned(), argv: argv.to_vec(), env, cwd }, &stdio)?;
        Ok(Running { channel })
    }

    /// Pings from each host of `from` to each of `to`; all hosts where a list is empty.
    ///
    /// # Errors
    /// A host is unknown, or `ping` cannot be run.
    pub fn ping(
        &self,
        from: &[String],
        to: &[String],
        ipv6: bool,
        timeout: u32,
    ) -> Result<Vec<Pinged>, LabError> {
        match self.ask(&Request::Ping { from: from.to_vec(), to: to.to_vec(), ipv6, timeout })? {
            Reply::Ping(results) => Ok(results),
            other => Err(unexpected(&other)),
        }
    }

    /// Measures TCP throughput from `client` to `server`.
    ///
    /// # Errors
    /// A host is unknown, or `iperf3` cannot be run.
    pub fn iperf(&self, client: &str, server: &str, seconds: u32) -> Result<Throughput, LabError> {
        let request = Request::Iperf { client: client.to_owned(), server: server.to_owned(), seconds };
        match self.ask(&request)? {
            Reply::Iperf(throughput) => Ok(throughput),
            other => Err(unexpected(&other)),
        }
    }

    /// Puts the cables of the links between two nodes in or out; hosts see their carrier follow.
    ///
    /// # Errors
    /// There is no such link.
    pub fn set_link(&self, a: &str, b: &str, up: bool) -> Result<(), LabError> {
        self.ask(&Request::Link { a: a.to_owned(), b: b.to_owned(), up }).map(|_| ())
    }

    /// Adds hosts, switches and links: all or nothing. They are in use when this returns.
    ///
    /// # Errors
    /// A sentence that names the object.
    pub fn add(&self, additions: Additions) -> Result<Changed, LabError> {
        changed(self.ask(&Request::Add(additions))?)
    }

    /// Removes hosts, with what runs in them, switches and links: all or nothing.
    ///
    /// # Errors
    /// A sentence that names the object.
    pub fn remove(&self, removals: Removals) -> Result<Changed, LabError> {
        changed(self.ask(&Request::Remove(removals))?)
    }

    /// What the lab consists of and its version; `None` if that is the version given.
    ///
    /// # Errors
    /// The lab is gone.
    pub fn topology(&self, but: Option<u64>) -> Result<Option<(u64, Topology)>, LabError> {
        match self.ask(&Request::Topology { but })? {
            Reply::Topology { version, topology } => Ok(topology.map(|topology| (version, *topology))),
            other => Err(unexpected(&other)),
        }
    }

    /// A connection for many changes.
    ///
    /// # Errors
    /// The lab is gone.
    pub fn session(&self) -> Result<Session, LabError> {
        Ok(Session { channel: self.connect()? })
    }

    /// Ends the lab and waits until its supervisor and the run directory are gone; `waiting` hears every moment for how long
    /// that has been.
    ///
    /// # Errors
    /// It does not end within a minute.
    pub fn stop(self, mut waiting: impl FnMut(Duration)) -> Result<(), LabError> {
        self.ask(&Request::Stop)?;
        let begun = Instant::now();
        while self.directory.exists() {
            if begun.elapsed() > MOST_ENDING {
                return Err(LabError(format!("{} is still there after a minute", self.directory.display())));
            }
            waiting(begun.elapsed());
            std::thread::sleep(Duration::from_millis(5));
        }
        drop(self.supervisor);
        Ok(())
    }

    fn connect(&self) -> Result<Channel, LabError> {
        Ok(Channel::new(UnixStream::connect(self.directory.join("control.sock"))?))
    }

    fn ask(&self, request: &Request) -> Result<Reply, LabError> {
        let mut channel = self.connect()?;
        channel.send(request, &[])?;
        *self.asking.lock() = Some(channel.try_clone()?);
        let answer = answer(&mut channel);
        *self.asking.lock() = None;
        answer
    }
}

/// A connection that carries many changes of a lab, one after the other.
#[derive(Debug)]
pub struct Session {
    channel: Channel,
}

impl Session {
    /// As [`Lab::add`].
    ///
    /// # Errors
    /// As [`Lab::add`].
    pub fn add(&mut self, additions: Additions) -> Result<Changed, LabError> {
        self.channel.send(&Request::Add(additions), &[])?;
        changed(answer(&mut self.channel)?)
    }

    /// As [`Lab::remove`].
    ///
    /// # Errors
    /// As [`Lab::remove`].
    pub fn remove(&mut self, removals: Removals) -> Result<Changed, LabError> {
        self.channel.send(&Request::Remove(removals), &[])?;
        changed(answer(&mut self.channel)?)
    }
}

fn changed(reply: Reply) -> Result<Changed, LabError> {
    match reply {
        Reply::Changed(changed) => Ok(*changed),
        other => Err(unexpected(&other)),
    }
}

/// A program that runs in a host.
#[derive(Debug)]
pub struct Running {
    channel: Channel,
}

impl Running {
    /// Something with which another thread sends signals.
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn signaller(&self) -> Result<Signaller, LabError> {
        Ok(Signaller { channel: self.channel.try_clone()? })
    }

    /// Waits for its end: its exit code, or 128 + N when signal N ended it.
    ///
    /// # Errors
    /// It could not be run, or the lab is gone.
    pub fn wait(mut self) -> Result<i32, LabError> {
        match answer(&mut self.channel)? {
            Reply::Exit(code) => Ok(code),
            other => Err(unexpected(&other)),
        }
    }
}

/// Sends signals to a program that runs in a host.
#[derive(Debug)]
pub struct Signaller {
    channel: Channel,
}

impl Signaller {
    /// Sends a signal by its number.
    ///
    /// # Errors
    /// The lab is gone.
    pub fn send(&self, signal: i32) -> Result<(), LabError> {
        Ok(self.channel.send(&Request::Signal(signal), &[])?)
    }
}

fn answer(channel: &mut Channel) -> Result<Reply, LabError> {
    match received(channel)? {
        Reply::Error(message) => Err(LabError(message)),
        reply => Ok(reply),
    }
}

fn received<T: DeserializeOwned>(channel: &mut Channel) -> Result<T, LabError> {
    channel.receive()?.map(|(m, _)| m).ok_or_else(|| LabError("the lab ended before it answered".into()))
}

fn unexpected(reply: &Reply) -> LabError {
    LabError(format!("the lab gave an answer to another question: {reply:?}"))
}

/// Makes the run directory, or takes over that of a lab whose supervisor is gone. The supervisor inherits the lock on
/// the directory and holds it for life, so that the lock tells which.
fn claim_directory(name: &str) -> Result<(PathBuf, OwnedFd), LabError> {
    if name.is_empty()
        || name.len() > 32
        || !name.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c))
    {
        return Err(LabError(format!("the lab's name {name:?} is not 1 to 32 of a-z A-Z 0-9 - _")));
    }
    let directory = labs_directory().join(name);
    let length = directory.as_os_str().len() + 1 + MAX_SOCKET_NAME;
    if length > MAX_SOCKET_PATH {
        return Err(LabError(format!(
            "the run directory {} is too long: with the names of its sockets {length} bytes, and the kernel takes \
             {MAX_SOCKET_PATH}; give a shorter HEDDLE_RUNDIR or name",
            directory.display()
        )));
    }
    let wrong =
        |e: io::Error| LabError(format!("the run directory {} cannot be made: {e}", directory.display()));
    let lock = loop {
        DirBuilder::new().recursive(true).mode(0o700).create(&directory).map_err(wrong)?;
        let owner = fs::symlink_metadata(&directory).map_err(wrong)?;
        if !owner.is_dir() || owner.uid() != nix::unistd::geteuid().as_raw() {
            return Err(LabError(format!("{} belongs to somebody else", directory.display())));
        }
        let Ok(file) = File::open(&directory) else { continue };
        file.try_lock().map_err(|_| {
            LabError(format!("a lab named {name} is already running; choose another name or stop it"))
        })?;
        // A watcher may have removed the directory between the two calls.
        let locked = file.metadata().map_err(wrong)?;
        if fs::metadata(&directory).is_ok_and(|now| (now.dev(), now.ino()) == (locked.dev(), locked.ino())) {
            break file;
        }
    };
    for entry in fs::read_dir(&directory).map_err(wrong)?.flatten() {
        fs::remove_file(entry.path()).map_err(wrong)?;
    }
    Ok((directory, lock.into()))
}

fn launch_supervisor(launch: &Launch, lock: OwnedFd) -> Result<(Channel, OwnedFd), LabError> {
    let (ours, theirs) = UnixStream::pair()?;
    let (mut pid_reader, pid_writer) = io::pipe()?;
    let log = launch.run_directory.join("lab.log");
    let log = File::create(&log)
        .map_err(|error| LabError(format!("the log {} cannot be written: {error}", log.display())))?;
    let rootless = !nix::unistd::geteuid().is_root();
    let mut command = Command::new(&launch.program);
    command.arg("lab-supervisor").stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    sys::isolate_on_exec(&mut command, pid_writer.into(), rootless);
    sys::pass_descriptors(&mut command, vec![(theirs.into(), CHILD_SOCKET), (lock, CHILD_SOCKET + 1)])?;
    let mut between = command.spawn().map_err(|e| refused(&e, rootless))?;
    drop(command);
    between.wait()?;
    let mut pid = [0; 4];
    io::Read::read_exact(&mut pid_reader, &mut pid)?;
    let supervisor = sys::pidfd_open(i32::from_ne_bytes(pid))?;
    let _ = fs::write(launch.run_directory.join("pid"), format!("{}\n", i32::from_ne_bytes(pid)));
    Ok((Channel::new(ours), supervisor))
}

fn refused(error: &io::Error, rootless: bool) -> LabError {
    let remedy = if rootless {
        "the kernel does not let this user make namespaces: run as root, or allow it with `sysctl -w \
         user.max_user_namespaces=10000` (Debian: also kernel.unprivileged_userns_clone=1; Ubuntu: \
         kernel.apparmor_restrict_unprivileged_userns=0)"
    } else {
        "root here lacks CAP_SYS_ADMIN, as in a container without --privileged"
    };
    LabError(format!("the lab's namespaces cannot be made: {error}; {remedy}"))
}

fn start_watcher(launch: &Launch, supervisor: OwnedFd) -> Result<(), LabError> {
    let mut command = Command::new(&launch.program);
    command.arg("lab-watch").arg(&launch.run_directory);
    if let Controller::Remote(address) = &launch.controller {
        command.arg(address);
    }
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    sys::pass_descriptors(&mut command, vec![(supervisor, CHILD_SOCKET)])?;
    sys::new_session_on_exec(&mut command);
    // It ends by itself with the supervisor; whoever started it may be gone by then.
    let mut watcher = command.spawn()?;
    std::thread::spawn(move || watcher.wait());
    Ok(())
}

/// The caller's own standard streams.
#[must_use]
pub fn own_stdio() -> (io::Stdin, io::Stdout, io::Stderr) {
    (io::stdin(), io::stdout(), io::stderr())
}

/// Runs a program with the caller's own standard streams and waits for it.
///
/// # Errors
/// As [`Lab::exec`] and [`Running::wait`].
pub fn exec_here(lab: &Lab, host: &str, argv: &[String]) -> Result<i32, LabError> {
    let (input, output, error) = own_stdio();
    lab.exec(host, argv, [input.as_fd(), output.as_fd(), error.as_fd()])?.wait()
}
