//! The spanning tree as the pipeline knows it: frames to the bridges go to the protocol and to nothing else, and what a
//! port may do is said in its [`State`](heddle_stp::State). The protocol itself runs elsewhere.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

/// Where frames for the protocol are sent, as a number (802.1D-2004 table 7-10).
pub const BRIDGES: u64 = 0x0180_c200_0000;
/// Frames that may wait for the protocol: some for each of many ports. Whoever sends more loses them, and says it again.
const MAX_WAITING: usize = 4096;
/// Bytes that are kept of one; a message has less than a hundred.
const MAX_FRAME: usize = 128;

/// The protocol that a bridge runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// That of 802.1D-1998.
    Stp,
    /// That of 802.1D-2004.
    Rstp,
}

/// Called when there is something to be taken; it must not block.
type Waker = Box<dyn Fn() + Send + Sync>;

/// Frames on their way to the protocol, with the OpenFlow ports they came in by.
#[derive(Default)]
pub struct Messages {
    waiting: Mutex<VecDeque<(u32, Vec<u8>)>>,
    waker: OnceLock<Waker>,
    /// Frames that found no room.
    pub dropped: AtomicU64,
}

impl Messages {
    /// Says whom to wake; the first to say it is heard.
    pub fn wake(&self, waker: Waker) {
        let _ = self.waker.set(waker);
    }

    /// Keeps a frame for the protocol, or counts it as dropped.
    pub fn put(&self, port: u32, frame: &[u8]) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() >= MAX_WAITING {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        waiting.push_back((port, frame[..frame.len().min(MAX_FRAME)].to_vec()));
        drop(waiting);
        if let Some(waker) = self.waker.get() {
            waker();
        }
    }

    /// Takes what waits, the first that came first.
    pub fn take(&self) -> VecDeque<(u32, Vec<u8>)> {
        std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_messages_stays_bounded() {
        let messages = Messages::default();
        for _ in 0..MAX_WAITING + 3 {
            messages.put(1, &[0; 2000]);
        }
        let taken = messages.take();
        assert_eq!((taken.len(), messages.dropped.load(Ordering::Relaxed)), (MAX_WAITING, 3));
        assert!(taken.iter().all(|(_, frame)| frame.len() == MAX_FRAME));
        assert!(messages.take().is_empty());
    }
}
