//! What an OVSDB server does, without its sockets: databases, clients' sessions, locks.
//!
//! Messages go in by [`Service::receive`], bytes come out by [`Service::output`]. Nothing here waits: a transaction whose
//! `wait` does not hold is run again after changes, a reply that must wait for the disk is kept until
//! [`Service::synced`].
//!
//! No client can make others suffer: what a client may have outstanding is bounded by the constants below, and of what
//! others do it is told in the fewest words once it reads (see [`monitor`](crate::monitor)).

mod databases;
mod locks;
mod methods;
mod session;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

pub use databases::{SERVER_DATABASE, ServiceError};
pub use session::{SessionId, SessionOptions};

use databases::Host;
use locks::Locks;
use session::Session;

use crate::rpc::Message;
use crate::storage::Job;
use crate::types::Uuid;

/// Bytes that may wait to be sent to a client before its requests are no longer read. The client gets further by
/// reading; what others change meanwhile does not add to these bytes.
pub const MAX_BACKLOG: usize = 1 << 20;

/// Monitors of a client: each is looked at in each transaction of anybody.
pub const MAX_MONITORS: usize = 1_000;

/// Transactions of a client whose `wait` does not hold yet: each is run again after each change.
pub const MAX_WAITING: usize = 100;

/// Bytes of the waiting transactions of a client.
pub const MAX_WAITING_BYTES: usize = 4 << 20;

/// Locks that a client may hold or wait for.
pub const MAX_LOCKS: usize = 1_000;

/// Databases and the clients that use them.
pub struct Service {
    hosts: BTreeMap<String, Host>,
    sessions: BTreeMap<SessionId, Session>,
    locks: Locks,
    uuids: Box<dyn FnMut() -> Uuid + Send>,
    id: Uuid,
    next_session: u64,
    /// Clients that have something to be told.
    ready: BTreeSet<SessionId>,
    /// Databases that changed since waiting transactions were last tried.
    changed: BTreeSet<String>,
    /// Whether any database changed since [`take_touched`](Self::take_touched).
    touched: bool,
}

impl Service {
    /// A service without databases but `_Server`; `uuids` yields a fresh UUID at each call.
    pub fn new(mut uuids: Box<dyn FnMut() -> Uuid + Send>) -> Self {
        let id = uuids();
        let mut this = Self {
            hosts: BTreeMap::new(),
            sessions: BTreeMap::new(),
            locks: Locks::default(),
            uuids,
            id,
            next_session: 0,
            ready: BTreeSet::new(),
            changed: BTreeSet::new(),
            touched: false,
        };
        this.add_server_database();
        this
    }

    /// Begins a client's session.
    pub fn connect(&mut self, options: SessionOptions) -> SessionId {
        let id = SessionId(self.next_session);
        self.next_session += 1;
        self.sessions.insert(id, Session::new(options));
        id
    }

    /// Ends a client's session: its locks go to others, its transactions are forgotten.
    pub fn disconnect(&mut self, id: SessionId) {
        self.sessions.remove(&id);
        self.ready.remove(&id);
        for lock in self.locks.leave(id) {
            self.tell_locked(&lock);
        }
    }

    /// Takes a client's message. `now` is in milliseconds, from any fixed point.
    pub fn receive(&mut self, id: SessionId, message: Message, now: u64) {
        match message {
            Message::Request { method, params, id: request } => {
                self.request(id, &method, params, request, now)
            }
            Message::Notification { method, params } if method == "cancel" => self.cancel(id, &params),
            Message::Notification { .. } | Message::Reply { .. } => {}
        }
        self.retry(now);
    }

    /// Runs waiting transactions whose time is over. Call it when [`deadline`](Self::deadline) has come.
    pub fn tick(&mut self, now: u64) {
        for id in self.sessions.keys().copied().collect::<Vec<_>>() {
            self.run_waiting(id, now, |waiting| waiting.until.is_some_and(|until| until <= now));
        }
        self.retry(now);
    }

    /// When [`tick`](Self::tick) should be called next, milliseconds.
    pub fn deadline(&self) -> Option<u64> {
        self.sessions.values().flat_map(|session| &session.waiting).filter_map(|waiting| waiting.until).min()
    }

    /// Runs waiting transactions again as long as databases change.
    fn retry(&mut self, now: u64) {
        while let Some(database) = self.changed.pop_first() {
            for id in self.sessions.keys().copied().collect::<Vec<_>>() {
                self.run_waiting(id, now, |waiting| waiting.database == database);
            }
        }
    }

    /// Clients for which [`output`](Self::output) has something, since the last call.
    pub fn ready(&mut self) -> Vec<SessionId> {
        std::mem::take(&mut self.ready).into_iter().collect()
    }

    /// Whether a client's requests should be left unread until it has read what waits for it; `unsent` bytes wait
    /// outside of the service.
    pub fn is_behind(&self, id: SessionId, unsent: usize) -> bool {
        self.sessions.get(&id).is_some_and(|session| session.bytes + unsent > MAX_BACKLOG)
    }

    /// Bytes to be sent to a client. Ask only when there is room for them, because later they may be fewer.
    pub fn output(&mut self, id: SessionId) -> Vec<u8> {
        self.flush_monitors(id);
        self.sessions.get_mut(&id).map(Session::take).unwrap_or_default()
    }

    /// Why a client should be disconnected after what waits for it was sent, if it should.
    pub fn closing(&self, id: SessionId) -> Option<&'static str> {
        self.sessions.get(&id)?.closing
    }

    /// Ends all sessions, by [`closing`](Self::closing): `reconnect`.
    pub fn close_all(&mut self, reason: &'static str) {
        for (id, session) in &mut self.sessions {
            session.closing = Some(reason);
            self.ready.insert(*id);
        }
    }

    /// Work that puts durable transactions on the disk, with the database that it is for. Do it where it may block, and
    /// tell by [`synced`](Self::synced).
    pub fn jobs(&mut self) -> Vec<(String, Job)> {
        let mut jobs = Vec::new();
        let mut safe = Vec::new();
        for (name, host) in &mut self.hosts {
            if host.syncing || host.unsynced.is_empty() {
                continue;
            }
            host.current = std::mem::take(&mut host.unsynced);
            match host.storage.sync() {
                Some(job) => {
                    host.syncing = true;
                    jobs.push((name.clone(), job));
                }
                None => safe.push(name.clone()),
            }
        }
        for name in safe {
            self.synced(&name, Ok(()));
        }
        jobs
    }

    /// Whether a job was given out that is not done.
    pub fn is_syncing(&self) -> bool {
        self.hosts.values().any(|host| host.syncing)
    }

    /// Tells that a job is done; clients that waited for it get their replies.
    pub fn synced(&mut self, database: &str, outcome: std::io::Result<()>) {
        let Some(host) = self.hosts.get_mut(database) else { return };
        host.syncing = false;
        for (session, reply) in std::mem::take(&mut host.current) {
            let reply = match (&outcome, reply) {
                (Ok(()), reply) => reply,
                (Err(error), Message::Reply { id, .. }) => {
                    Message::reply(vec![databases::io_error(error).to_json()].into(), id)
                }
                (Err(_), reply) => reply,
            };
            self.send(session, &reply);
        }
    }

    /// Queues a message for a client, after what its monitors have to tell.
    fn send(&mut self, id: SessionId, message: &Message) {
        self.flush_monitors(id);
        if let Some(session) = self.sessions.get_mut(&id) {
            session.queue(message);
            self.ready.insert(id);
        }
    }

    fn flush_monitors(&mut self, id: SessionId) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        for key in std::mem::take(&mut session.told_late) {
            let Some(monitored) = session.monitors.get_mut(&key) else { continue };
            let Some(host) = self.hosts.get(&monitored.database) else { continue };
            if let Some(message) = monitored.monitor.notification(&host.database) {
                session.queue(&message);
            }
        }
    }

    /// Whether a database changed, came or went since the last call.
    pub const fn take_touched(&mut self) -> bool {
        std::mem::replace(&mut self.touched, false)
    }

    /// How many sessions there are, and how many monitors, for `memory/show`.
    pub fn counts(&self) -> (usize, usize) {
        (self.sessions.len(), self.sessions.values().map(|session| session.monitors.len()).sum())
    }

    /// The server's identifier, new at each start.
    pub const fn id(&self) -> Uuid {
        self.id
    }

    /// Runs a transaction of the process itself; returns the results of its operations.
    pub fn transact(&mut self, database: &str, operations: &[Value], now: u64) -> Value {
        let result = self.run(database, operations, None, 0);
        self.retry(now);
        match result {
            Some(databases::Ran::Done { result, .. }) => result,
            _ => Value::Null,
        }
    }
}
