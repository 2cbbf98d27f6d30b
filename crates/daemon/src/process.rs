//! A daemon as a process: its options, going to the background, being watched, and saying that it is ready.
//!
//! A process with threads cannot fork safely, so nothing here forks: to go to the background the program starts itself
//! again, with one end of a socket as its standard input. Once the daemon is ready it sends a byte there, and the
//! process in the foreground ends with 0; if the daemon ends first, with the daemon's exit code. With `--monitor` a
//! third process stands between them, and starts the daemon again when it crashes.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixStream};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::thread::ScopedJoinHandle;
use std::time::{Duration, Instant};

use heddle_clients::fatal::Fatal;
use heddle_clients::options::{DAEMON, Given, LOG, Opt, Order, TLS, Takes, opt, parse};
use heddle_clients::place::{log_directory, run_directory};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::unistd::Pid;

use crate::log;
use crate::pidfile::PidFile;

/// Told to a process that was started by one of the same program: what it is.
const HIDDEN: &[Opt] = &[opt("heddle-started-as", ' ', Takes::Value)];
const COMMON: &[Opt] = &[
    opt("help", 'h', Takes::Nothing),
    opt("version", 'V', Takes::Nothing),
    opt("unixctl", ' ', Takes::Value),
];
/// Counts how often a program of this family has started itself, one within the other: a mistake in how it does that must
/// not fill the machine with processes.
const STARTS: &str = "HEDDLE_STARTS";
const MAX_STARTS: u32 = 8;
/// A daemon that crashes again and again is started no more often than this.
const RESTART_EVERY: Duration = Duration::from_secs(10);
/// How Rust ends a process whose main thread panicked.
const PANIC_EXIT: i32 = 101;
/// Signals that speak of a crash, not of an order, and the words for them that scripts look for in logs.
const CRASHES: [(Signal, &str); 9] = [
    (Signal::SIGABRT, "Aborted"),
    (Signal::SIGALRM, "Alarm clock"),
    (Signal::SIGBUS, "Bus error"),
    (Signal::SIGFPE, "Floating point exception"),
    (Signal::SIGILL, "Illegal instruction"),
    (Signal::SIGPIPE, "Broken pipe"),
    (Signal::SIGSEGV, "Segmentation fault"),
    (Signal::SIGXCPU, "CPU time limit exceeded"),
    (Signal::SIGXFSZ, "File size limit exceeded"),
];

static PROGRAM: OnceLock<(&'static str, Instant)> = OnceLock::new();

/// The program's name, once it is known.
#[must_use]
pub fn program() -> &'static str {
    PROGRAM.get().map_or("heddle", |(name, _)| name)
}

/// Milliseconds since the options were read.
#[must_use]
pub fn uptime_ms() -> u128 {
    PROGRAM.get().map_or(0, |(_, begun)| begun.elapsed().as_millis())
}

/// What this process is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Part {
    /// Started by somebody else.
    #[default]
    First,
    /// Watches the daemon.
    Monitor,
    /// The daemon, started by one of the others.
    Daemon,
}

/// A daemon: what it is called and which options it has of its own.
pub struct Program {
    /// Its name, which its files bear: `ovs-vswitchd`.
    pub name: &'static str,
    /// Its options, besides those of every daemon.
    pub options: &'static [Opt],
    /// What `--help` prints first: what it is for, its words, its own options.
    pub usage: &'static str,
}

/// What was asked of a daemon.
#[derive(Debug, Default)]
pub struct Arguments {
    name: &'static str,
    words: Vec<String>,
    part: Part,
    detach: bool,
    monitor: bool,
    chdir: bool,
    /// A pid file is taken over from whoever holds it.
    pub overwrite_pidfile: bool,
    /// The pid file, where there is to be one: its name, empty for the usual one.
    pub pidfile: Option<String>,
    log_file: Option<String>,
    /// Levels and patterns of the log, in order.
    verbose: Vec<String>,
    /// The control socket, where one is named; `none` for none.
    pub unixctl: Option<String>,
    /// The daemon's own options, in order.
    pub own: Vec<Given>,
    /// What is no option.
    pub positional: Vec<String>,
}

/// Why a daemon does not go on: what is to be printed, and the exit code.
#[derive(Debug)]
pub struct Stop {
    /// For the standard output.
    pub text: String,
    /// For the standard error stream; empty if nothing is wrong.
    pub error: String,
    /// The exit code.
    pub code: u8,
}

impl Stop {
    /// Something is wrong.
    pub fn failed(error: impl Into<String>) -> Self {
        Self { text: String::new(), error: error.into(), code: 1 }
    }

    /// All is well, and there is nothing more to do.
    pub fn said(text: impl Into<String>) -> Self {
        Self { text: text.into(), error: String::new(), code: 0 }
    }

    /// Prints what is to be printed; the exit code.
    #[must_use]
    pub fn report(self, program: &str) -> u8 {
        print!("{}", self.text);
        if !self.error.is_empty() {
            eprintln!("{program}: {}", self.error);
        }
        self.code
    }
}

impl From<Fatal> for Stop {
    fn from(fatal: Fatal) -> Self {
        Self { text: String::new(), error: fatal.message, code: fatal.code }
    }
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::failed(error.to_string())
    }
}

const HELP: &str = "
Daemon options:
  --detach                run in background as daemon
  --monitor               creates a process to monitor this daemon
  --user=username[:group] accepted; the daemon keeps the user that it was started by
  --no-chdir              do not chdir to '/'
  --pidfile[=FILE]        create pidfile (default: RUNDIR/NAME.pid)
  --overwrite-pidfile     with --pidfile, start even if already running

Logging options:
  -vSPEC, --verbose=SPEC   set logging levels
  -v, --verbose            set maximum verbosity level
  --log-file[=FILE]        enable logging to specified FILE (default: LOGDIR/NAME.log)
  --syslog-method=METHOD   accepted; the system's log is spoken to at /dev/log
  --syslog-target=HOST:PORT  accepted

Other options:
  --unixctl=SOCKET          override default control socket name
  -h, --help                display this help message
  -V, --version             display version information
";

impl Program {
    /// Reads a daemon's words.
    ///
    /// # Errors
    /// An option is unknown or wrong, or all that was asked for is help.
    pub fn parse(&self, words: &[String]) -> Result<Arguments, Stop> {
        let _ = PROGRAM.set((self.name, Instant::now()));
        let tables = [self.options, COMMON, DAEMON, LOG, TLS, HIDDEN];
        let (given, positional) = parse(words, &tables, Order::Permuted)?;
        let mut asked = Arguments {
            name: self.name,
            words: words.to_vec(),
            chdir: true,
            positional,
            ..Arguments::default()
        };
        for option in given {
            let value = option.value.clone();
            match option.name.as_str() {
                "help" => return Err(Stop::said(format!("{}{HELP}", self.usage))),
                "version" => return Err(Stop::said(crate::version(self.name))),
                "detach" => asked.detach = true,
                "monitor" => asked.monitor = true,
                "no-chdir" => asked.chdir = false,
                "overwrite-pidfile" => asked.overwrite_pidfile = true,
                "pidfile" => asked.pidfile = Some(value.unwrap_or_default()),
                "log-file" => asked.log_file = Some(value.unwrap_or_default()),
                "verbose" => asked.verbose.push(value.unwrap_or_default()),
                "unixctl" => asked.unixctl = value,
                "heddle-started-as" if value.as_deref() == Some("monitor") => asked.part = Part::Monitor,
                "heddle-started-as" => asked.part = Part::Daemon,
                "user" | "no-self-confinement" | "syslog-method" | "syslog-target" => {}
                name if TLS.iter().any(|row| row.long == name)
                    && !self.options.iter().any(|row| row.long == name) => {}
                _ => asked.own.push(option),
            }
        }
        Ok(asked)
    }
}

/// A path of its own, or one in a directory.
fn within(directory: PathBuf, given: &str, usual: String) -> PathBuf {
    directory.join(if given.is_empty() { usual } else { given.to_owned() })
}

impl Arguments {
    /// Goes to the background where asked for, begins to log, and takes the pid file. What returns runs in the
    /// process that is to be the daemon. To be called before there are threads or sockets.
    ///
    /// # Errors
    /// The process in the foreground has nothing more to do, or something is wrong.
    pub fn start(&self) -> Result<Process, Stop> {
        match self.part {
            Part::First if self.detach => return Err(self.to_background()),
            Part::First if self.monitor => return Err(self.watch(None)),
            Part::Monitor => {
                let parent = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
                let _ = nix::unistd::setsid();
                return Err(self.watch(Some(parent)));
            }
            Part::First | Part::Daemon => {}
        }
        // Who watched this process may have kept signals for itself.
        SigSet::empty().thread_set_mask().map_err(io::Error::from)?;
        let starter = match self.part {
            Part::Daemon => {
                let _ = nix::unistd::setsid();
                Some(UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?))
            }
            _ => None,
        };
        crate::sys::leave_faults_to_the_system();
        self.begin_log().map_err(Stop::failed)?;
        let pidfile = match &self.pidfile {
            Some(file) => {
                let path = within(run_directory(), file, format!("{}.pid", self.name));
                let made = PidFile::create(&path, self.overwrite_pidfile);
                Some(made.map_err(|error| Stop::failed(error.to_string()))?)
            }
            None => None,
        };
        Ok(Process { starter, chdir: self.chdir && self.detach, pidfile })
    }

    fn begin_log(&self) -> Result<(), String> {
        log::start(self.name);
        for words in &self.verbose {
            log::configure(words)?;
        }
        if let Some(file) = &self.log_file {
            let path = within(log_directory(), file, format!("{}.log", self.name));
            if let Err(error) = log::open_file(&path) {
                ::log::warn!(target: "vlog", "{error}");
            }
        }
        Ok(())
    }

    /// Whether the daemon is watched, and started again when it crashes.
    #[must_use]
    pub const fn is_watched(&self) -> bool {
        self.monitor
    }

    /// The control socket's name, unless there is to be none.
    #[must_use]
    pub fn control_socket(&self) -> Option<PathBuf> {
        let usual = format!("{}.{}.ctl", self.name, std::process::id());
        match self.unixctl.as_deref() {
            Some("none") => None,
            Some(name) => Some(run_directory().join(name)),
            None => Some(run_directory().join(usual)),
        }
    }

    /// Starts this program again, as another part of it.
    fn spawn(&self, part: &str, input: Stdio) -> io::Result<Child> {
        let starts = std::env::var(STARTS).ok().and_then(|count| count.parse::<u32>().ok()).unwrap_or(0);
        if starts >= MAX_STARTS {
            return Err(io::Error::other(format!("{} started itself {starts} times over", self.name)));
        }
        let mut arguments = std::env::args_os();
        let mut command = Command::new("/proc/self/exe");
        command.env(STARTS, (starts + 1).to_string());
        if let Some(name) = arguments.next() {
            command.arg0(name);
        }
        // The words end those of the command line; what is before them chose the program.
        let before = arguments.len().saturating_sub(self.words.len());
        // What this process is told of itself is not told on: the one that watches is not the one that is watched.
        let own = self.words.iter().filter(|word| !word.starts_with("--heddle-started-as="));
        command.args(arguments.take(before)).arg(format!("--heddle-started-as={part}")).args(own);
        command.stdin(input).spawn()
    }

    /// Starts the daemon, or what watches it, and waits until the daemon is ready.
    fn to_background(&self) -> Stop {
        let started = || -> io::Result<Stop> {
            let (mut here, there) = UnixStream::pair()?;
            let part = if self.monitor { "monitor" } else { "daemon" };
            let mut child = self.spawn(part, Stdio::from(OwnedFd::from(there)))?;
            let mut ready = [0];
            if here.read_exact(&mut ready).is_ok() {
                return Ok(Stop::said(""));
            }
            // What was wrong, the daemon has said itself on the same standard error stream.
            match child.wait()?.code() {
                Some(code @ 1..=255) => {
                    Ok(Stop { text: String::new(), error: String::new(), code: code as u8 })
                }
                _ => Ok(Stop::failed("the daemon ended before it was ready")),
            }
        };
        started().unwrap_or_else(Stop::from)
    }

    /// Runs the daemon, and again when it crashes.
    fn watch(&self, starter: Option<UnixStream>) -> Stop {
        // Before the log's thread is made, which would otherwise be ended by them.
        let mut waited = SigSet::empty();
        waited.extend([Signal::SIGCHLD, Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP]);
        let blocked = waited.thread_block().map_err(|error| error.to_string());
        if let Err(error) = blocked.and_then(|()| self.begin_log()) {
            return Stop::failed(error);
        }
        std::thread::scope(|scope| {
            // Lines of the log name the thread that writes them: so it is told from the daemon that it watches.
            let thread = std::thread::Builder::new().name("monitor".into());
            let watching = thread.spawn_scoped(scope, || self.watch_until(&waited, starter));
            let ended = watching.map(ScopedJoinHandle::join);
            ended.map_or_else(Stop::from, |stop| stop.unwrap_or_else(|_| Stop::failed("the watch crashed")))
        })
    }

    fn watch_until(&self, waited: &SigSet, mut starter: Option<UnixStream>) -> Stop {
        let (mut restarted, mut crashes) = (None::<Instant>, 0_u64);
        let mut run = || -> io::Result<Stop> {
            loop {
                let input =
                    starter.take().map_or_else(Stdio::null, |stream| Stdio::from(OwnedFd::from(stream)));
                let child = self.spawn("daemon", input)?;
                let pid = child.id();
                if self.detach {
                    // What is wrong the daemon says itself, and what goes wrong later is for the log.
                    leave_terminal()?;
                }
                let status = wait_for(child, waited)?;
                let Some(how) = crash(status) else {
                    let code = status.code().unwrap_or(0).clamp(0, 255) as u8;
                    return Ok(Stop { text: String::new(), error: String::new(), code });
                };
                crashes += 1;
                ::log::error!(target: "daemon_unix", "{crashes} crashes: pid {pid} died, {how}, restarting");
                if let Some(last) = restarted {
                    std::thread::sleep(RESTART_EVERY.saturating_sub(last.elapsed()));
                }
                restarted = Some(Instant::now());
            }
        };
        run().unwrap_or_else(Stop::from)
    }
}

/// Waits for a child to end; orders to end are handed on to it.
fn wait_for(mut child: Child, signals: &SigSet) -> io::Result<ExitStatus> {
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        let signal = signals.wait()?;
        if signal != Signal::SIGCHLD {
            let _ = kill(Pid::from_raw(child.id() as i32), signal);
        }
    }
}

/// Lets go of the terminal, or of the pipes in its place: who reads them until they end would wait for the daemon.
fn leave_terminal() -> io::Result<()> {
    let null = File::options().read(true).write(true).open("/dev/null")?;
    nix::unistd::dup2_stdin(&null)?;
    nix::unistd::dup2_stdout(&null)?;
    nix::unistd::dup2_stderr(&null)?;
    Ok(())
}

/// How a daemon crashed; nothing if it ended otherwise.
fn crash(status: ExitStatus) -> Option<String> {
    if status.code() == Some(PANIC_EXIT) {
        return Some(format!("exit status {PANIC_EXIT}"));
    }
    let signal = status.signal().and_then(|number| Signal::try_from(number).ok())?;
    CRASHES.iter().find(|(crash, _)| *crash == signal).map(|(_, words)| format!("killed ({words})"))
}

/// The daemon's process; its pid file goes with the value.
pub struct Process {
    starter: Option<UnixStream>,
    chdir: bool,
    pidfile: Option<PidFile>,
}

impl Process {
    /// Says to whoever waits for it that the daemon is ready: the process in the foreground, and systemd. A daemon in
    /// the background lets go of the terminal and of its directory.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn ready(&mut self) -> io::Result<()> {
        notify("READY=1");
        let Some(mut starter) = self.starter.take() else { return Ok(()) };
        log::flush();
        log::leave_console();
        if self.chdir {
            std::env::set_current_dir("/")?;
        }
        // Nobody waits at the other end where a crashed daemon was started again.
        leave_terminal()?;
        let _ = starter.write_all(&[1]);
        Ok(())
    }

    /// Whether there is a pid file.
    #[must_use]
    pub fn has_pidfile(&self) -> bool {
        self.pidfile.is_some()
    }
}

/// Tells systemd about this service, if it asked to be told (sd_notify(3)).
pub fn notify(state: &str) {
    let Some(name) = std::env::var_os("NOTIFY_SOCKET") else { return };
    let name = name.to_string_lossy().into_owned();
    let send = || -> io::Result<()> {
        let socket = UnixDatagram::unbound()?;
        let address = match name.strip_prefix('@') {
            Some(name) => SocketAddr::from_abstract_name(name)?,
            None => SocketAddr::from_pathname(&name)?,
        };
        socket.send_to_addr(state.as_bytes(), &address)?;
        Ok(())
    };
    if let Err(error) = send() {
        ::log::warn!(target: "daemon", "systemd cannot be told at {name}: {error}");
    }
}

/// Returns when the process is asked to end by a signal.
///
/// # Errors
/// If signals cannot be waited for.
pub async fn terminated() -> io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut hangup = signal(SignalKind::hangup())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        _ = hangup.recv() => {}
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: &Program = &Program {
        name: "ovs-test",
        options: &[opt("remote", 'r', Takes::Value)],
        usage: "usage: ovs-test\n",
    };

    fn words(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn options_are_read_as_scripts_give_them() {
        let text = "--detach --no-chdir --pidfile --log-file=x.log -vconsole:off -vvconn --remote=a db -r b \
                    --user=ovs:ovs --private-key=k";
        let asked = OWN.parse(&words(text)).unwrap();
        assert!(asked.detach && !asked.chdir && !asked.monitor);
        assert_eq!((asked.pidfile.as_deref(), asked.log_file.as_deref()), (Some(""), Some("x.log")));
        assert_eq!(asked.verbose, ["console:off", "vconn"]);
        assert_eq!(asked.positional, ["db"]);
        let own: Vec<_> = asked.own.iter().map(Given::text).collect();
        assert_eq!(own, ["a", "b"]);
    }

    #[test]
    fn what_is_wrong_or_only_asked_for_stops() {
        let stop = OWN.parse(&words("--bogus")).unwrap_err();
        assert_eq!((stop.error.as_str(), stop.code), ("unrecognized option '--bogus'", 1));
        let stop = OWN.parse(&words("--version")).unwrap_err();
        assert!(stop.text.starts_with("ovs-test (Open vSwitch) ") && stop.code == 0);
        assert!(OWN.parse(&words("-h")).unwrap_err().text.contains("--overwrite-pidfile"));
    }

    #[test]
    fn crashes_are_told_from_orders() {
        let how = |raw| crash(ExitStatus::from_raw(raw));
        assert_eq!(how(Signal::SIGSEGV as i32).as_deref(), Some("killed (Segmentation fault)"));
        assert_eq!(how(PANIC_EXIT << 8).as_deref(), Some("exit status 101"));
        assert_eq!(how(Signal::SIGTERM as i32), None);
        assert_eq!(how(1 << 8), None);
    }
}
