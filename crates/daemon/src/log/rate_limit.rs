//! Rate limits of log lines whose cause is a peer's.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// A bucket of lines that fills with time: a burst may be written at once, and so many a minute in the long run.
#[derive(Debug)]
pub struct RateLimit {
    per_minute: u32,
    burst: u32,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Sixtieths of a line.
    tokens: u64,
    filled: Option<Instant>,
    first_dropped: Option<Instant>,
    last_dropped: Option<Instant>,
    dropped: u64,
}

impl RateLimit {
    /// So many lines a minute, and so many at once.
    #[must_use]
    pub const fn new(per_minute: u32, burst: u32) -> Self {
        let empty = State { tokens: 0, filled: None, first_dropped: None, last_dropped: None, dropped: 0 };
        Self { per_minute, burst, state: Mutex::new(empty) }
    }

    /// Whether a line of this module may be written at this time, and a sentence on those that were not.
    pub fn admit(&self, module: &str, now: Instant) -> (bool, Option<String>) {
        if !super::is_limited(module) {
            return (true, None);
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let full = u64::from(self.burst) * 60_000;
        state.tokens = match state.filled {
            None => full,
            Some(last) => {
                let ms = u64::try_from(now.saturating_duration_since(last).as_millis()).unwrap_or(u64::MAX);
                state.tokens.saturating_add(ms.saturating_mul(u64::from(self.per_minute))).min(full)
            }
        };
        state.filled = Some(now);
        if state.tokens < 60_000 {
            state.first_dropped.get_or_insert(now);
            state.last_dropped = Some(now);
            state.dropped += 1;
            return (false, None);
        }
        state.tokens -= 60_000;
        let seconds = |at: Option<Instant>| at.map_or(0, |at| now.saturating_duration_since(at).as_secs());
        let (first, last) = (seconds(state.first_dropped.take()), seconds(state.last_dropped.take()));
        let said = (state.dropped != 0).then(|| {
            format!(
                "Dropped {} log messages in last {first} seconds (most recently, {last} seconds ago) due to excessive rate",
                state.dropped
            )
        });
        state.dropped = 0;
        (true, said)
    }
}

/// Logs a line of a module at a level unless too many of its kind were logged of late:
/// `limited!(LIMIT, Warn, "bridge", "port {name} is gone")`, where `LIMIT` is a static [`RateLimit`].
#[macro_export]
macro_rules! limited {
    ($limit:expr, $level:ident, $module:literal, $($text:tt)+) => {
        if $crate::log::enabled($module, $crate::log::Level::$level) {
            let (admitted, lost) = $limit.admit($module, std::time::Instant::now());
            if let Some(lost) = lost {
                $crate::log::line($module, $crate::log::Level::$level, format_args!("{lost}"));
            }
            if admitted {
                $crate::log::line($module, $crate::log::Level::$level, format_args!($($text)+));
            }
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_burst_passes_and_the_rest_is_counted() {
        let limit = RateLimit::new(60, 2);
        let now = Instant::now();
        assert!(limit.admit("x", now).0 && limit.admit("x", now).0);
        assert!(!limit.admit("x", now).0 && !limit.admit("x", now).0);
        let (admitted, said) = limit.admit("x", now + Duration::from_secs(1));
        assert!(admitted);
        assert_eq!(
            said.unwrap(),
            "Dropped 2 log messages in last 1 seconds (most recently, 1 seconds ago) due to excessive rate"
        );
    }
}
