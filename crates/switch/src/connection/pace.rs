//! How often a controller gets packets: a token bucket, and a queue for each port, served in turn (the `controller_rate_limit` and
//! `controller_burst_limit` of Open vSwitch's Controller rows).

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;

use crate::controllers::{PaceCounters, RateLimit};

/// Tokens that a packet costs, in thousandths of a packet; as many come in a millisecond as packets may go in a second.
const PACKET: u64 = 1000;

/// Packets of one kind for one controller.
#[derive(Debug)]
pub(super) struct Pace {
    limit: RateLimit,
    tokens: u64,
    filled_ms: u64,
    queues: BTreeMap<u32, VecDeque<Vec<u8>>>,
    /// The port whose queue was served last.
    served: u32,
    counters: PaceCounters,
}

impl Pace {
    pub(super) fn new(limit: RateLimit, now_ms: u64) -> Self {
        Self {
            limit,
            tokens: u64::from(limit.burst) * PACKET,
            filled_ms: now_ms,
            queues: BTreeMap::new(),
            served: 0,
            counters: PaceCounters::default(),
        }
    }

    fn take_token(&mut self, now_ms: u64) -> bool {
        let passed = now_ms.saturating_sub(self.filled_ms);
        self.filled_ms = now_ms.max(self.filled_ms);
        let full = u64::from(self.limit.burst) * PACKET;
        self.tokens =
            passed.saturating_mul(self.limit.per_second.into()).saturating_add(self.tokens).min(full);
        let enough = self.tokens >= PACKET;
        self.tokens -= if enough { PACKET } else { 0 };
        enough
    }

    /// Takes a packet of a port; gives it back if it may go at once. Where too many wait, one of the longest queue is dropped.
    pub(super) fn offer(&mut self, port: u32, packet: Vec<u8>, now_ms: u64) -> Option<Vec<u8>> {
        if self.counters.backlog == 0 && self.take_token(now_ms) {
            self.counters.bypassed += 1;
            return Some(packet);
        }
        if self.counters.backlog >= u64::from(self.limit.burst) {
            self.drop_one();
        }
        self.queues.entry(port).or_default().push_back(packet);
        self.counters.backlog += 1;
        self.counters.queued += 1;
        None
    }

    fn drop_one(&mut self) {
        let longest = self.queues.iter().max_by_key(|(_, queue)| queue.len()).map(|(port, _)| *port);
        if longest.and_then(|port| self.pop(port)).is_some() {
            self.counters.dropped += 1;
        }
    }

    fn pop(&mut self, port: u32) -> Option<Vec<u8>> {
        let queue = self.queues.get_mut(&port)?;
        let packet = queue.pop_front()?;
        if queue.is_empty() {
            self.queues.remove(&port);
        }
        self.counters.backlog -= 1;
        Some(packet)
    }

    /// The packets that may go now, the ports in turn.
    pub(super) fn due(&mut self, now_ms: u64) -> Vec<Vec<u8>> {
        let mut due = Vec::new();
        while self.counters.backlog != 0 && self.take_token(now_ms) {
            let mut after = self.queues.range((Bound::Excluded(self.served), Bound::Unbounded));
            let next = after.next().or_else(|| self.queues.iter().next()).map(|(port, _)| *port);
            let Some(port) = next else { break };
            self.served = port;
            due.extend(self.pop(port));
        }
        due
    }

    /// Whether packets wait.
    pub(super) fn is_waiting(&self) -> bool {
        self.counters.backlog != 0
    }

    pub(super) fn counters(&self) -> PaceCounters {
        self.counters
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_keep_the_rate_and_ports_share_it() {
        let mut pace = Pace::new(RateLimit { per_second: 100, burst: 25 }, 0);
        let mut at_once = 0;
        for number in 0..100u8 {
            // One port sends ten times what the other does.
            let port = if number % 11 == 0 { 2 } else { 1 };
            at_once += usize::from(pace.offer(port, vec![port as u8, number], 0).is_some());
        }
        assert_eq!(at_once, 25);
        let PaceCounters { backlog, bypassed, queued, dropped } = pace.counters();
        assert_eq!((backlog, bypassed, queued, dropped), (25, 25, 75, 50));
        let due: Vec<u8> = pace.due(100).into_iter().map(|packet| packet[0]).collect();
        assert_eq!(due, [1, 2, 1, 2, 1, 2, 1, 2, 1, 2]);
        assert_eq!(pace.due(10_000).len(), 15);
        assert!(!pace.is_waiting() && pace.due(20_000).is_empty());
        assert!(pace.offer(3, vec![], 20_000).is_some());
    }

    #[test]
    fn a_clock_that_goes_back_gives_nothing() {
        let mut pace = Pace::new(RateLimit { per_second: 100, burst: 1 }, 1_000);
        assert!(pace.offer(1, vec![], 1_000).is_some() && pace.offer(1, vec![], 500).is_none());
        assert!(pace.due(900).is_empty() && pace.due(1_010).len() == 1);
    }
}
