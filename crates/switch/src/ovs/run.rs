//! The daemon's loop: the database's connection, operators' orders, and what time brings.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::time::{Duration, Instant};

use heddle_daemon::stream::{Stream, Target};
use heddle_daemon::unixctl::Exit;
use heddle_ovsdb::replica::{Backoff, Event, Outcome, Replica, Wanted as Followed};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::Vswitchd;
use super::status::followed;
use super::wanted::Wanted;

/// The database that is followed.
pub const DATABASE: &str = "Open_vSwitch";
/// The lock that keeps two daemons from one database.
pub const LOCK: &str = "ovs_vswitchd";
/// How often links and controllers are looked at.
const LOOK: Duration = Duration::from_secs(1);
/// Time for a call to the database to be answered.
const PATIENCE: Duration = Duration::from_secs(15);
/// Waiting times between calls to a database that cannot be reached, in milliseconds.
const BACKOFF_MS: (u64, u64) = (100, 8_000);
/// Pieces of what the database says that may wait.
const PIECES: usize = 16;
const PIECE: usize = 64 * 1024;

/// What the connection brings.
enum Heard {
    Connected(Stream),
    Bytes(Vec<u8>),
    Ended(String),
}

/// The connection to the database, or the waiting for it.
struct Link {
    target: Target,
    backoff: Backoff,
    calling: Option<Pin<Box<dyn Future<Output = io::Result<Stream>> + Send>>>,
    again_ms: u64,
    pieces: Option<mpsc::Receiver<io::Result<Vec<u8>>>>,
    sending: Option<mpsc::UnboundedSender<Vec<u8>>>,
    tasks: JoinSet<()>,
}

impl Link {
    fn new(target: Target) -> Self {
        Self {
            target,
            backoff: Backoff::new(BACKOFF_MS.0, BACKOFF_MS.1),
            calling: None,
            again_ms: 0,
            pieces: None,
            sending: None,
            tasks: JoinSet::new(),
        }
    }

    /// Waits for the next thing to happen. May be cancelled.
    async fn next(&mut self, now_ms: u64) -> Heard {
        if let Some(pieces) = &mut self.pieces {
            return match pieces.recv().await {
                Some(Ok(bytes)) => Heard::Bytes(bytes),
                Some(Err(error)) => Heard::Ended(heddle_clients::fatal::reason(&error)),
                None => Heard::Ended("Connection closed by peer".into()),
            };
        }
        if self.calling.is_none() {
            tokio::time::sleep(Duration::from_millis(self.again_ms.saturating_sub(now_ms))).await;
            let target = self.target.clone();
            log::info!(target: "reconnect", "{target}: connecting...");
            self.calling = Some(Box::pin(async move {
                let called = tokio::time::timeout(PATIENCE, target.connect()).await;
                called.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
            }));
        }
        let outcome = match &mut self.calling {
            Some(calling) => calling.await,
            None => Err(io::ErrorKind::NotConnected.into()),
        };
        self.calling = None;
        match outcome {
            Ok(stream) => Heard::Connected(stream),
            Err(error) => {
                Heard::Ended(format!("connection attempt failed ({})", heddle_clients::fatal::reason(&error)))
            }
        }
    }

    /// Takes a connection over: a task reads and one writes, so that neither ever waits for the other.
    fn adopt(&mut self, stream: Stream, now_ms: u64) {
        log::info!(target: "reconnect", "{}: connected", self.target);
        self.backoff.connected(now_ms);
        let (mut from, mut to) = tokio::io::split(stream);
        let (pieces, received) = mpsc::channel(PIECES);
        let (sending, mut queue) = mpsc::unbounded_channel::<Vec<u8>>();
        self.tasks.abort_all();
        self.tasks.spawn(async move {
            let mut buffer = vec![0; PIECE];
            loop {
                let piece = match from.read(&mut buffer).await {
                    Ok(0) => return,
                    Ok(count) => Ok(buffer[..count].to_vec()),
                    Err(error) => Err(error),
                };
                let failed = piece.is_err();
                if pieces.send(piece).await.is_err() || failed {
                    return;
                }
            }
        });
        self.tasks.spawn(async move {
            while let Some(bytes) = queue.recv().await {
                if to.write_all(&bytes).await.is_err() {
                    return;
                }
            }
        });
        (self.pieces, self.sending) = (Some(received), Some(sending));
    }

    fn send(&self, bytes: Vec<u8>) {
        if let Some(sending) = self.sending.as_ref().filter(|_| !bytes.is_empty()) {
            let _ = sending.send(bytes);
        }
    }

    fn end(&mut self, why: &str, now_ms: u64) {
        self.tasks.abort_all();
        (self.pieces, self.sending, self.calling) = (None, None, None);
        self.again_ms = self.backoff.ended(now_ms);
        log::info!(target: "reconnect", "{}: {why}", self.target);
    }
}

/// A daemon at work.
struct Running<Ready> {
    vswitchd: Vswitchd,
    replica: Replica,
    link: Link,
    begun: Instant,
    /// Told once the first configuration is in force.
    ready: Option<Ready>,
    /// Rows have changed since they were looked at.
    stale: bool,
    /// Something is to be written.
    unreported: bool,
    /// The transaction that is under way.
    writing: Option<u64>,
    wanted: Wanted,
    statistics_due_ms: u64,
}

/// Serves a database until an operator or a signal ends it. `ready` is called once the first configuration is in force.
///
/// # Errors
/// If the system refuses what the daemon cannot be without.
pub async fn run<Ready: FnOnce()>(
    vswitchd: Vswitchd,
    database: Target,
    mut exits: mpsc::Receiver<Exit>,
    terminated: impl Future<Output = ()>,
    ready: Ready,
) -> io::Result<Option<Exit>> {
    let probe_ms = if matches!(database, Target::Unix(_)) { 0 } else { heddle_ovsdb::replica::PROBE_MS };
    let replica = Replica::new(Followed {
        database: DATABASE.into(),
        tables: followed(),
        lock: Some(LOCK.into()),
        probe_ms,
    });
    let mut running = Running {
        vswitchd,
        replica,
        link: Link::new(database),
        begun: Instant::now(),
        ready: Some(ready),
        stale: false,
        unreported: false,
        writing: None,
        wanted: Wanted::default(),
        statistics_due_ms: 0,
    };
    let mut looks = tokio::time::interval(LOOK);
    looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    tokio::pin!(terminated);
    loop {
        let now_ms = running.now_ms();
        let probe = running
            .replica
            .deadline_ms()
            .map_or(LOOK, |due| Duration::from_millis(due.saturating_sub(now_ms)));
        tokio::select! {
            heard = running.link.next(now_ms) => running.heard(heard),
            () = tokio::time::sleep(probe.min(LOOK)) => running.replica.tick(running.now_ms()),
            _ = looks.tick() => running.look(),
            Some(exit) = exits.recv() => {
                running.vswitchd.close().await;
                return Ok(Some(exit));
            }
            () = &mut terminated => {
                running.vswitchd.close().await;
                return Ok(None);
            }
        }
        running.work().await;
    }
}

impl<Ready: FnOnce()> Running<Ready> {
    fn now_ms(&self) -> u64 {
        self.begun.elapsed().as_millis() as u64
    }

    fn heard(&mut self, heard: Heard) {
        let now_ms = self.now_ms();
        match heard {
            Heard::Connected(stream) => {
                self.link.adopt(stream, now_ms);
                self.replica.connected(now_ms);
            }
            Heard::Bytes(bytes) => self.replica.receive(&bytes, now_ms),
            Heard::Ended(why) => {
                self.link.end(&why, now_ms);
                self.replica.disconnected();
            }
        }
    }

    fn look(&mut self) {
        self.stale |= self.vswitchd.look();
        // Controllers and links fare otherwise by themselves.
        self.unreported = true;
    }

    /// Does what has become necessary.
    async fn work(&mut self) {
        while let Some(event) = self.replica.next_event() {
            self.event(event);
        }
        let may_act = self.replica.is_fresh() && self.replica.is_locked();
        if may_act && std::mem::take(&mut self.stale) {
            self.replica.tables_mut().take_changes();
            self.wanted = Wanted::read(self.replica.tables(), self.vswitchd.options);
            self.vswitchd.reconfigure(self.replica.tables()).await;
            self.unreported = true;
            if let Some(ready) = self.ready.take() {
                ready();
            }
        }
        if may_act && self.unreported && self.writing.is_none() {
            self.report();
        }
        self.link.send(self.replica.take_output());
    }

    fn event(&mut self, event: Event) {
        match event {
            Event::Fresh | Event::Changed => self.stale = true,
            Event::Lock(true) => self.stale = true,
            Event::Lock(false) => {
                log::error!(
                    target: "bridge",
                    "another ovs-vswitchd process is running, disabling this process (pid {}) until it goes away",
                    std::process::id()
                );
            }
            Event::Decided(number, outcome) => {
                if self.writing == Some(number) {
                    self.writing = None;
                }
                match outcome {
                    Outcome::Committed(_) => {}
                    Outcome::Failed(error) => {
                        log::warn!(target: "bridge", "the database refuses the state of bridges: {error}");
                        self.vswitchd.forget_written();
                    }
                    Outcome::TryAgain | Outcome::NotLocked | Outcome::Lost => {
                        self.vswitchd.forget_written();
                        self.unreported = true;
                    }
                }
            }
            Event::Broken(why) => {
                let now_ms = self.now_ms();
                self.link.end(&why, now_ms);
            }
        }
    }

    fn report(&mut self) {
        self.unreported = false;
        let Some(schema) = self.replica.schema().cloned() else { return };
        let now_ms = self.now_ms();
        let statistics = now_ms >= self.statistics_due_ms;
        if statistics {
            self.statistics_due_ms = now_ms + self.wanted.statistics_ms;
        }
        let mut transaction = self.vswitchd.report(self.replica.tables(), &schema, &self.wanted, statistics);
        if transaction.is_empty() {
            return;
        }
        transaction.assert_lock(LOCK);
        // What was logged of the configuration is in the file before anybody is told that it is in force.
        heddle_daemon::log::flush();
        self.writing = Some(self.replica.commit(transaction));
    }
}
