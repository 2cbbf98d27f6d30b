//! How far a step is, told to the starter now and then.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::protocol::Progress;
use crate::wire::Channel;

/// Time between two words of progress.
const EVERY: Duration = Duration::from_millis(100);

/// Counts what is done of a step.
pub(super) struct Count {
    step: &'static str,
    of: usize,
    done: AtomicUsize,
    told: Mutex<(Channel, Instant)>,
}

impl Count {
    /// Nothing is done yet.
    pub(super) fn new(step: &'static str, of: usize, starter: &Channel) -> Result<Self, String> {
        let starter = starter.try_clone().map_err(|e| e.to_string())?;
        Ok(Self { step, of, done: AtomicUsize::new(0), told: Mutex::new((starter, Instant::now())) })
    }

    /// More is done.
    pub(super) fn add(&self, number: usize) {
        let done = self.done.fetch_add(number, Ordering::Relaxed) + number;
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.1.elapsed() >= EVERY {
            told.1 = Instant::now();
            // A starter that is gone is noticed by who waits for it.
            let _ = told.0.send(&Progress::Counted { step: self.step.into(), done, of: self.of }, &[]);
        }
    }
}
