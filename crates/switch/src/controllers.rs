//! Controllers of a bridge: whom to call or to be called by, how patiently, and how each fares.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use heddle_daemon::stream::{NameError, Place, Target};

use crate::in_band::Remote;

/// Silence after which a controller is asked whether it is there, where nothing else is said.
pub const PROBE: Duration = Duration::from_secs(5);
/// Longest wait between two calls, where nothing else is said.
pub const MAX_BACKOFF: Duration = Duration::from_secs(8);

/// Packets that may wait for a controller, where nothing else is said, and the most that may be said.
pub const QUEUE_SIZE: usize = 100;
/// Most packets that may wait for a controller.
pub const MAX_QUEUE_SIZE: usize = 512;

/// The other end of a controller's connection.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Peer {
    /// It is called.
    Call(Target),
    /// It calls.
    Listen(Place),
}

impl FromStr for Peer {
    type Err = NameError;

    fn from_str(name: &str) -> Result<Self, NameError> {
        let passive = name.starts_with("ptcp:") || name.starts_with("punix:") || name.starts_with("pssl:");
        if passive { name.parse().map(Self::Listen) } else { name.parse().map(Self::Call) }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Call(target) => target.fmt(f),
            Self::Listen(place) => place.fmt(f),
        }
    }
}

/// How many packets a controller gets of each kind: those that no flow takes, and those that flows send.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RateLimit {
    /// Packets a second.
    pub per_second: u32,
    /// Packets at once, and packets that may wait.
    pub burst: u32,
}

/// What a rate limit did to packets of one kind since the connection began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PaceCounters {
    /// Packets that wait.
    pub backlog: u64,
    /// Packets that went at once.
    pub bypassed: u64,
    /// Packets that had to wait, of which those that were dropped are part.
    pub queued: u64,
    /// Packets that found too many others waiting, or made room for others.
    pub dropped: u64,
}

/// A controller as the configuration has it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Controller {
    /// Its name in the configuration.
    pub name: String,
    /// Its end of the connection.
    pub peer: Peer,
    /// Longest wait between two calls.
    pub max_backoff: Duration,
    /// Silence after which it is asked whether it is there; none for never.
    pub probe: Option<Duration>,
    /// How many packets it gets, where that is bounded.
    pub limit: Option<RateLimit>,
    /// Packets that may wait for a controller that does not read; it loses the oldest above that.
    pub queue_size: usize,
    /// Whether it stays reachable through the bridge whatever the bridge's flows say.
    pub in_band: bool,
    /// Whether it is told of packets and news before it says what it wants.
    pub asynchronous: bool,
}

impl Controller {
    /// A controller of which nothing is said but its name.
    ///
    /// # Errors
    /// The name is none of a stream.
    pub fn new(name: &str) -> Result<Self, NameError> {
        let peer = name.parse()?;
        Ok(Self {
            name: name.to_owned(),
            peer,
            max_backoff: MAX_BACKOFF,
            probe: Some(PROBE),
            limit: None,
            queue_size: QUEUE_SIZE,
            in_band: false,
            asynchronous: true,
        })
    }

    /// Where it is to stay reachable, if its name is an address.
    pub(crate) fn remote(&self) -> Option<Remote> {
        match &self.peer {
            Peer::Call(Target::Tcp(host, port)) if self.in_band => {
                Some(Remote { address: host.parse().ok()?, port: *port })
            }
            _ => None,
        }
    }

    /// Whether the bridge calls it: such a one decides what the bridge does while it is away.
    #[must_use]
    pub const fn is_called(&self) -> bool {
        matches!(self.peer, Peer::Call(_))
    }
}

/// How a controller fares.
#[derive(Clone, Debug, Default)]
pub struct Fares {
    /// `BACKOFF`, `CONNECTING`, `ACTIVE` or `IDLE`; empty before the first call.
    pub state: &'static str,
    /// Why the last connection failed or ended.
    pub last_error: Option<String>,
    /// Since when it is connected.
    pub connected: Option<Instant>,
    /// Since when it is not, after it was.
    pub disconnected: Option<Instant>,
    /// `other`, `master` or `slave`.
    pub role: Option<&'static str>,
    /// What its rate limit did to packets that no flow took, and to those that flows sent; none without a limit.
    pub paced: Option<[PaceCounters; 2]>,
}

/// How the controllers of a bridge fare, by their names.
#[derive(Debug, Default)]
pub struct Faring(Mutex<BTreeMap<String, Fares>>);

impl Faring {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Fares>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes what is known of a controller.
    pub fn change(&self, name: &str, change: impl FnOnce(&mut Fares)) {
        let mut all = self.lock();
        if !all.contains_key(name) {
            all.insert(name.to_owned(), Fares::default());
        }
        if let Some(fares) = all.get_mut(name) {
            change(fares);
        }
    }

    /// How a controller fares.
    #[must_use]
    pub fn of(&self, name: &str) -> Fares {
        self.lock().get(name).cloned().unwrap_or_default()
    }

    /// Forgets controllers that are no longer configured.
    pub fn keep(&self, names: impl Fn(&str) -> bool) {
        self.lock().retain(|name, _| names(name));
    }
}
