//! The thread that writes lines.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::settings::{CONSOLE, FILE, SYSLOG};
use super::{Level, Line, Pattern};

/// Lines that may wait: some megabytes at worst, and a second of a flood.
const QUEUE: usize = 8192;
/// How long a caller waits for the writer at most, where it wants to know that all is written.
const PATIENCE: Duration = Duration::from_secs(5);
/// Where the system's log is spoken to.
const SYSLOG_SOCKET: &str = "/dev/log";
/// Patterns as vlog has them, by destination.
const PATTERNS: [&str; 3] = [
    "ovs|%05N|%c%T|%p|%m",
    "%D{%Y-%m-%dT%H:%M:%SZ}|%05N|%c%T|%p|%m",
    "%D{%Y-%m-%dT%H:%M:%S.###Z}|%05N|%c%T|%p|%m",
];
/// The prefix of a line of syslog, which is not set by patterns here.
const SYSLOG_PREFIX: &str = "<%B> %D{%h %e %T} %E %A:";
/// Names of syslog's facilities (RFC 5424 table 1).
const FACILITIES: [(&str, u8); 20] = [
    ("kern", 0),
    ("user", 1),
    ("mail", 2),
    ("daemon", 3),
    ("auth", 4),
    ("syslog", 5),
    ("lpr", 6),
    ("news", 7),
    ("uucp", 8),
    ("clock", 9),
    ("authpriv", 10),
    ("ftp", 11),
    ("local0", 16),
    ("local1", 17),
    ("local2", 18),
    ("local3", 19),
    ("local4", 20),
    ("local5", 21),
    ("local6", 22),
    ("local7", 23),
];

enum Job {
    Line(u8, Line),
    Flush(Sender<()>),
    Open(Option<PathBuf>, Sender<io::Result<()>>),
    Pattern(usize, String),
    Facility(u8),
}

/// The way to the thread that writes.
pub(super) struct Writer {
    queue: SyncSender<Job>,
    lost: &'static AtomicU64,
    path: Mutex<Option<PathBuf>>,
    patterns: Mutex<[String; 3]>,
}

/// Lines that found no room.
static LOST: AtomicU64 = AtomicU64::new(0);

impl Writer {
    pub(super) fn start(program: &'static str) -> Self {
        let (queue, jobs) = sync_channel(QUEUE);
        // Without a thread nothing is logged, and the daemon works all the same.
        let _ =
            std::thread::Builder::new().name("vlog".into()).spawn(move || Written::new(program).run(&jobs));
        Self { queue, lost: &LOST, path: Mutex::new(None), patterns: Mutex::new(PATTERNS.map(str::to_owned)) }
    }

    pub(super) fn write(&self, wanted: u8, line: Line) {
        if self.queue.try_send(Job::Line(wanted, line)).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn flush(&self) {
        let (done, wait) = channel();
        if self.queue.send(Job::Flush(done)).is_ok() {
            let _ = wait.recv_timeout(PATIENCE);
        }
    }

    pub(super) fn open(&self, path: Option<PathBuf>) -> io::Result<()> {
        let (done, wait) = channel();
        let gone = |_| io::Error::from(io::ErrorKind::BrokenPipe);
        self.queue.send(Job::Open(path.clone(), done)).map_err(|_| io::ErrorKind::BrokenPipe)?;
        wait.recv_timeout(PATIENCE).map_err(gone)??;
        if path.is_some() {
            *self.path.lock().unwrap_or_else(PoisonError::into_inner) = path;
        }
        Ok(())
    }

    pub(super) fn path(&self) -> Option<PathBuf> {
        self.path.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn set_pattern(&self, destination: usize, pattern: &str) {
        self.patterns.lock().unwrap_or_else(PoisonError::into_inner)[destination] = pattern.to_owned();
        let _ = self.queue.send(Job::Pattern(destination, pattern.to_owned()));
    }

    pub(super) fn set_facility(&self, name: &str) -> Result<(), String> {
        let found = FACILITIES.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        let (_, facility) = found.ok_or("invalid facility")?;
        let _ = self.queue.send(Job::Facility(*facility));
        Ok(())
    }

    pub(super) fn list_patterns(&self) -> String {
        let patterns = self.patterns.lock().unwrap_or_else(PoisonError::into_inner);
        let row = |name: &str, prefix: &str, at: usize| format!("{name:<8} {prefix:<32}  {}\n", patterns[at]);
        format!(
            "         prefix                            format\n         ------                            ------\n{}{}{}",
            row("SYSLOG", SYSLOG_PREFIX, SYSLOG),
            row("CONSOLE", "none", CONSOLE),
            row("FILE", "none", FILE)
        )
    }
}

/// What the thread has.
struct Written {
    program: &'static str,
    patterns: [Pattern; 3],
    file: Option<File>,
    syslog: Option<UnixDatagram>,
    facility: u8,
    count: u64,
}

impl Written {
    fn new(program: &'static str) -> Self {
        Self {
            program,
            patterns: PATTERNS.map(Pattern::parse),
            file: None,
            syslog: None,
            facility: 3,
            count: 0,
        }
    }

    fn run(&mut self, jobs: &Receiver<Job>) {
        while let Ok(job) = jobs.recv() {
            match job {
                Job::Line(wanted, line) => self.write(wanted, line),
                Job::Flush(done) => {
                    let _ = done.send(());
                }
                Job::Open(path, done) => {
                    let _ = done.send(self.open(path));
                }
                Job::Pattern(destination, text) => self.patterns[destination] = Pattern::parse(&text),
                Job::Facility(facility) => self.facility = facility,
            }
        }
    }

    fn open(&mut self, path: Option<PathBuf>) -> io::Result<()> {
        self.file = match path {
            Some(path) => Some(OpenOptions::new().append(true).create(true).mode(0o640).open(path)?),
            None => None,
        };
        Ok(())
    }

    fn write(&mut self, wanted: u8, line: Line) {
        let lost = LOST.swap(0, Ordering::Relaxed);
        if lost != 0 {
            let text = format!("{lost} lines were lost: they came faster than they could be written");
            let said = Line { module: "vlog".into(), level: Level::Warn, text, ..line.clone() };
            self.write_one(wanted, said);
        }
        self.write_one(wanted, line);
    }

    fn write_one(&mut self, wanted: u8, mut line: Line) {
        self.count += 1;
        line.number = self.count;
        let wants = |destination: usize| wanted >> destination & 1 != 0;
        // What a full disk or a gone terminal refuses is nobody's to repair here.
        if wants(FILE)
            && let Some(file) = &mut self.file
        {
            let _ = file.write_all((self.patterns[FILE].fill(&line) + "\n").as_bytes());
        }
        if wants(CONSOLE) {
            let _ = io::stderr().write_all((self.patterns[CONSOLE].fill(&line) + "\n").as_bytes());
        }
        if wants(SYSLOG) {
            self.write_syslog(&line);
        }
    }

    fn write_syslog(&mut self, line: &Line) {
        if self.syslog.is_none() {
            let Ok(socket) = UnixDatagram::unbound() else { return };
            if socket.connect(SYSLOG_SOCKET).is_err() || socket.set_nonblocking(true).is_err() {
                return;
            }
            self.syslog = Some(socket);
        }
        let severity = match line.level {
            Level::Error => 3,
            Level::Warn => 4,
            Level::Info => 5,
            Level::Debug | Level::Trace => 7,
        };
        let text = self.patterns[SYSLOG].fill(line);
        let datagram = format!("<{}>{}: {text}", self.facility << 3 | severity, self.program);
        let sent = self.syslog.as_ref().map(|socket| socket.send(datagram.as_bytes()));
        if matches!(sent, Some(Err(error)) if error.kind() != io::ErrorKind::WouldBlock) {
            self.syslog = None;
        }
    }
}
