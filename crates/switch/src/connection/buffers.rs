//! Packets that a controller got the beginning of, kept for it (OpenFlow 1.3.5 section 6.1.2 and section 7.4.1).
//!
//! Each connection has its own, so that one which never fetches its packets costs no other any. They lie in a ring, whose oldest
//! place is free again once its packet was fetched or is too old. How many bytes they hold is bounded; a packet
//! that finds no place is sent whole.

use std::sync::Arc;

use heddle_openflow::OfError;

/// Milliseconds after which a packet that was not fetched is forgotten, as switches of Open vSwitch's time with buffers did.
const MAX_AGE_MS: u64 = 5_000;
/// Bytes of all packets of a connection.
const MAX_BYTES: usize = 1 << 20;
/// Numbers have 31 bits, so that none is that of a packet which is not kept.
const NUMBERS: u32 = u32::MAX >> 1;

/// A packet as it came.
#[derive(Clone, Debug)]
pub(super) struct Frame {
    /// The port that it came in by.
    pub(super) in_port: u32,
    /// All of it.
    pub(super) bytes: Arc<[u8]>,
}

#[derive(Debug)]
struct Kept {
    number: u32,
    since_ms: u64,
    frame: Frame,
}

/// The packets of a connection.
#[derive(Debug, Default)]
pub(super) struct Buffers {
    ring: Vec<Option<Kept>>,
    next: u32,
    bytes: usize,
}

impl Buffers {
    /// Keeps a frame, if there is room among `places`; its number then.
    pub(super) fn keep(&mut self, frame: Frame, places: usize, now_ms: u64) -> Option<u32> {
        if self.ring.len() != places {
            *self = Self { next: self.next, ..Self::default() };
            self.ring.resize_with(places, || None);
        }
        let number = self.next & NUMBERS;
        let at = (number as usize).checked_rem(places)?;
        let old = self.ring[at].as_ref();
        if old.is_some_and(|old| now_ms.saturating_sub(old.since_ms) < MAX_AGE_MS) {
            return None;
        }
        self.bytes -= self.ring[at].take().map_or(0, |old| old.frame.bytes.len());
        if self.bytes + frame.bytes.len() > MAX_BYTES {
            return None;
        }
        self.bytes += frame.bytes.len();
        self.next = self.next.wrapping_add(1) & NUMBERS;
        self.ring[at] = Some(Kept { number, since_ms: now_ms, frame });
        Some(number)
    }

    /// The frame of a number, which stays.
    ///
    /// # Errors
    /// `OFPBRC_BUFFER_EMPTY` where it was fetched or is forgotten, `OFPBRC_BUFFER_UNKNOWN` where the number was never given.
    pub(super) fn frame(&self, number: u32, now_ms: u64) -> Result<Frame, OfError> {
        let given =
            number <= NUMBERS && self.next.wrapping_sub(number).wrapping_sub(1) & NUMBERS < NUMBERS / 2;
        if !given || self.next == 0 && self.ring.is_empty() {
            return Err(OfError::RequestBufferUnknown);
        }
        let at = (number as usize).checked_rem(self.ring.len());
        let kept = at.and_then(|at| self.ring[at].as_ref());
        let fresh = |kept: &&Kept| kept.number == number && now_ms.saturating_sub(kept.since_ms) < MAX_AGE_MS;
        kept.filter(fresh).map(|kept| kept.frame.clone()).ok_or(OfError::RequestBufferEmpty)
    }

    /// Forgets a frame.
    pub(super) fn forget(&mut self, number: u32) {
        let Some(at) = (number as usize).checked_rem(self.ring.len()) else { return };
        if let Some(kept) = self.ring[at].take_if(|kept| kept.number == number) {
            self.bytes -= kept.frame.bytes.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(length: usize) -> Frame {
        Frame { in_port: 1, bytes: vec![7; length].into() }
    }

    #[test]
    fn packets_are_fetched_once_and_only_while_they_are_young() {
        let mut buffers = Buffers::default();
        assert_eq!(buffers.frame(0, 0).err(), Some(OfError::RequestBufferUnknown));
        assert_eq!(buffers.keep(frame(60), 0, 0), None, "no place is wanted");
        assert_eq!((buffers.keep(frame(60), 2, 0), buffers.keep(frame(61), 2, 0)), (Some(0), Some(1)));
        assert_eq!(buffers.keep(frame(62), 2, 4_999), None, "both are young");
        assert_eq!(buffers.frame(1, 4_999).map(|frame| frame.bytes.len()), Ok(61));
        buffers.forget(1);
        assert_eq!(buffers.frame(1, 4_999).err(), Some(OfError::RequestBufferEmpty));
        assert_eq!(buffers.frame(0, 5_000).err(), Some(OfError::RequestBufferEmpty), "it is too old");
        for never in [2, 77, 1 << 31, u32::MAX - 1] {
            assert_eq!(buffers.frame(never, 5_000).err(), Some(OfError::RequestBufferUnknown), "{never}");
        }
        assert_eq!(buffers.keep(frame(63), 2, 5_000), Some(2));
        assert_eq!(buffers.frame(0, 5_000).err(), Some(OfError::RequestBufferEmpty));
        assert_eq!(buffers.frame(2, 5_000).map(|frame| frame.bytes.len()), Ok(63));
    }

    #[test]
    fn bytes_are_bounded_and_numbers_wrap() {
        let mut buffers = Buffers { next: NUMBERS, ..Buffers::default() };
        let kept: Vec<_> = (0..40).map(|_| buffers.keep(frame(60_000), 256, 0)).collect();
        assert_eq!((kept[0], kept[1]), (Some(NUMBERS), Some(0)));
        assert_eq!(kept.iter().flatten().count(), MAX_BYTES / 60_000);
        buffers.forget(3);
        assert!(buffers.keep(frame(60_000), 256, 0).is_some());
        assert_eq!(buffers.bytes, MAX_BYTES / 60_000 * 60_000);
    }
}
