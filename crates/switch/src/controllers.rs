//! Controllers of a bridge: whom to call or to be called by, how patiently, and how each fares.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use heddle_daemon::stream::{NameError, Place, Target};

/// Silence after which a controller is asked whether it is there, where nothing else is said.
pub const PROBE: Duration = Duration::from_secs(5);
/// Longest wait between two calls, where nothing else is said.
pub const MAX_BACKOFF: Duration = Duration::from_secs(8);

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
}

impl Controller {
    /// A controller of which nothing is said but its name.
    ///
    /// # Errors
    /// The name is none of a stream.
    pub fn new(name: &str) -> Result<Self, NameError> {
        let peer = name.parse()?;
        Ok(Self { name: name.to_owned(), peer, max_backoff: MAX_BACKOFF, probe: Some(PROBE) })
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
