//! What sends packets one after the other at a rate, in virtual time.

use crate::quantity::Rate;

/// Bits of a byte, times nanoseconds of a second.
const SCALE: u64 = 8_000_000_000;

/// A transmitter. It ends each transmission at an exact multiple of the rate after the busy period's start: what a whole
/// number of nanoseconds leaves over is carried to the next packet, so that nothing adds up.
#[derive(Default)]
pub(crate) struct Server {
    /// Bits per second; zero is without limit.
    rate: u64,
    /// When the last transmission ends.
    free_at: u64,
    /// What that end lacks, in 1/rate of a nanosecond.
    carry: u64,
    /// The last length, and what it takes: whole nanoseconds and the rest. Lengths repeat, divisions are slow.
    bytes: u64,
    whole: u64,
    rest: u64,
}

impl Server {
    /// Changes the rate from `now` on. What is left of a transmission goes at the new rate; returns by how much its end moved.
    pub fn set_rate(&mut self, rate: Option<Rate>, now: u64) -> i64 {
        let rate = rate.map_or(0, |rate| rate.0);
        if rate == self.rate {
            return 0;
        }
        let left = self.free_at.saturating_sub(now);
        // Nothing is left to be sent where the old rate was without limit.
        let scaled = u128::from(left) * u128::from(self.rate) / u128::from(rate.max(1));
        let scaled = if rate == 0 { 0 } else { u64::try_from(scaled).unwrap_or(u64::MAX) };
        let ends = if left == 0 { self.free_at } else { now.saturating_add(scaled) };
        let moved = ends.wrapping_sub(self.free_at) as i64;
        *self = Self { rate, free_at: ends, ..Self::default() };
        moved
    }

    /// When it is free.
    #[inline]
    pub fn free_at(&self) -> u64 {
        self.free_at
    }

    /// Whether packets take time.
    #[inline]
    pub fn is_limited(&self) -> bool {
        self.rate != 0
    }

    /// Nanoseconds that a packet takes, rounded down.
    pub fn time_of(&self, bytes: u64) -> u64 {
        (bytes * SCALE).checked_div(self.rate).unwrap_or(0)
    }

    /// Sends a packet that is there at `start`, when the server is free or later; returns when its transmission ends.
    #[inline]
    pub fn send(&mut self, start: u64, bytes: u64) -> u64 {
        if start > self.free_at {
            self.free_at = start;
            self.carry = 0;
        }
        if self.rate == 0 {
            return self.free_at;
        }
        if bytes != self.bytes {
            self.bytes = bytes;
            self.whole = bytes * SCALE / self.rate;
            self.rest = bytes * SCALE % self.rate;
        }
        self.carry += self.rest;
        let extra = u64::from(self.carry >= self.rate);
        self.carry -= extra * self.rate;
        self.free_at = self.free_at.saturating_add(self.whole + extra);
        self.free_at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 10 Gbit/s and 1,514 bytes are 1,211.2 ns, 3 Gbit/s and 100 bytes 266.67: not a nanosecond is lost over a million.
    #[test]
    fn the_rate_is_exact() {
        for (rate, bytes, total) in [(10_000_000_000, 1514, 1_211_200_000), (3_000_000_000, 100, 266_666_666)]
        {
            let mut server = Server::default();
            server.set_rate(Some(Rate(rate)), 0);
            let last = (0..1_000_000).map(|_| server.send(0, bytes)).last();
            assert_eq!(last, Some(total));
        }
    }

    #[test]
    fn a_new_rate_holds_for_what_is_left() {
        let mut server = Server::default();
        server.set_rate(Some(Rate(8_000)), 0); // 1,000 bytes take a second
        assert_eq!(server.send(0, 1_000), 1_000_000_000);
        assert_eq!(server.set_rate(Some(Rate(16_000)), 500_000_000), -250_000_000);
        assert_eq!(server.send(600_000_000, 1_000), 1_250_000_000);
        assert_eq!(server.set_rate(None, 750_000_000), -500_000_000);
        assert_eq!(server.send(750_000_000, 1_000), 750_000_000);
        assert_eq!(server.set_rate(Some(Rate(1)), 800_000_000), 0);
    }
}
