//! When to call again.

/// Waiting times between calls: each is twice the one before, from the least to the greatest. The first call is made at
/// once, and so is the one after a connection that lasted.
#[derive(Clone, Debug)]
pub struct Backoff {
    least_ms: u64,
    most_ms: u64,
    wait_ms: u64,
    connected_ms: Option<u64>,
}

impl Backoff {
    /// Waiting times from the least to the greatest, in milliseconds.
    #[must_use]
    pub const fn new(least_ms: u64, most_ms: u64) -> Self {
        Self { least_ms, most_ms, wait_ms: least_ms, connected_ms: None }
    }

    /// The call was answered.
    pub const fn connected(&mut self, now_ms: u64) {
        self.connected_ms = Some(now_ms);
    }

    /// The call failed, or the connection ended; when to call again.
    pub fn ended(&mut self, now_ms: u64) -> u64 {
        // A peer that hangs up at once is not called again at once.
        let lasted =
            self.connected_ms.take().is_some_and(|began| now_ms.saturating_sub(began) >= self.most_ms);
        if lasted {
            self.wait_ms = self.least_ms;
            return now_ms;
        }
        let wait = self.wait_ms;
        self.wait_ms = (wait * 2).min(self.most_ms);
        now_ms.saturating_add(wait)
    }

    /// Milliseconds until the next call, were the last to fail now.
    #[must_use]
    pub const fn wait_ms(&self) -> u64 {
        self.wait_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_and_a_connection_that_lasted_ends_them() {
        let mut backoff = Backoff::new(100, 800);
        assert_eq!([0; 5].map(|now| backoff.ended(now)), [100, 200, 400, 800, 800]);
        backoff.connected(1_000);
        assert_eq!(backoff.ended(1_010), 1_810);
        backoff.connected(2_000);
        assert_eq!(backoff.ended(3_000), 3_000);
        assert_eq!(backoff.wait_ms(), 100);
    }
}
