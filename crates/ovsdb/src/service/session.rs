//! What the service knows of one client.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde_json::Value;

use crate::monitor::Monitor;
use crate::rpc::Message;

/// A client's session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub(super) u64);

/// What a client may do.
#[derive(Clone, Debug, Default)]
pub struct SessionOptions {
    /// Whether it may only read.
    pub read_only: bool,
}

/// A transaction whose `wait` does not hold yet.
pub(super) struct Waiting {
    pub(super) id: Value,
    pub(super) database: String,
    pub(super) operations: Vec<Value>,
    pub(super) bytes: usize,
    /// When it arrived, milliseconds.
    pub(super) since: u64,
    pub(super) until: Option<u64>,
}

/// A monitor and its database.
pub(super) struct Monitored {
    pub(super) database: String,
    pub(super) monitor: Monitor,
}

pub(super) struct Session {
    pub(super) options: SessionOptions,
    /// By the JSON text of their identifiers.
    pub(super) monitors: BTreeMap<String, Monitored>,
    /// Monitors that may have something to tell.
    pub(super) told_late: BTreeSet<String>,
    pub(super) waiting: Vec<Waiting>,
    /// Locks that were asked for and not given up.
    pub(super) locks: BTreeSet<String>,
    /// Whether the client understands that a database changes its schema or goes.
    pub(super) change_aware: bool,
    pub(super) closing: Option<&'static str>,
    queue: VecDeque<Vec<u8>>,
    /// Bytes in the queue.
    pub(super) bytes: usize,
}

impl Session {
    pub(super) fn new(options: SessionOptions) -> Self {
        Self {
            options,
            monitors: BTreeMap::new(),
            told_late: BTreeSet::new(),
            waiting: Vec::new(),
            locks: BTreeSet::new(),
            change_aware: false,
            closing: None,
            queue: VecDeque::new(),
            bytes: 0,
        }
    }

    /// Has the client disconnected. It is told nothing more, so that it takes no news for those of the databases that it
    /// knew.
    pub(super) fn close(&mut self, reason: &'static str) {
        self.closing = Some(reason);
        self.waiting.clear();
        self.monitors.clear();
        self.told_late.clear();
    }

    pub(super) fn queue(&mut self, message: &Message) {
        let bytes = message.to_bytes();
        self.bytes += bytes.len();
        self.queue.push_back(bytes);
    }

    pub(super) fn take(&mut self) -> Vec<u8> {
        let mut all = Vec::with_capacity(self.bytes);
        for bytes in self.queue.drain(..) {
            all.extend(bytes);
        }
        self.bytes = 0;
        all
    }
}
