//! Where the bytes of what is under way are.
//!
//! A packet buffer has room for 64 KiB, but most frames are small, and a long fast line has hundreds of thousands of them
//! under way. So small frames are copied one behind the other into a shared buffer, and given another buffer when they leave;
//! that is two copies of at most 1.5 KiB each, of bytes that the cache holds. A segment of half a buffer or more is not
//! copied: the line keeps the packet itself. What a line has in few frames lies in a small buffer of its own, so that
//! thousands of lines with a packet or two each do not hold thousands of large ones.
//!
//! Buffers are given back in the order in which they were taken; one that is empty earlier waits for its turn.

use std::collections::VecDeque;

use heddle_wire::{Packet, PacketPool};

/// Bytes of the buffer that a line owns.
const OWN: usize = 4096;
/// Segments from this length on are kept as they are.
const KEPT: usize = 32 * 1024;
/// A line leaves this part of the pool's buffers to others.
const SPARED: usize = 4;

/// Where a frame's bytes are.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    buffer: u32,
    start: u32,
    len: u32,
}

impl Place {
    /// The place of a frame whose length is known, and no more yet.
    pub fn unknown(len: usize) -> Self {
        Self { buffer: 0, start: 0, len: len as u32 }
    }

    /// Length of the frame.
    #[inline]
    pub fn len(self) -> u64 {
        u64::from(self.len)
    }
}

struct Buffer {
    packet: Packet,
    /// Frames in it.
    live: u32,
    /// Whether it is shared by frames that were copied.
    shared: bool,
}

#[derive(Default)]
pub(crate) struct Store {
    /// `None` where a packet that was kept as it is has left.
    buffers: VecDeque<Option<Buffer>>,
    /// Number of the first buffer.
    first: u32,
    own: Option<Packet>,
    /// Whether `own` was made.
    owns: bool,
    /// Empty buffers, to be given back to the pool.
    empty: Vec<Packet>,
}

impl Store {
    /// Makes room for a frame of `len` bytes, which is to be kept next if it is; false if there is none.
    #[inline]
    pub fn reserve(&mut self, len: usize, pool: &mut PacketPool) -> bool {
        if self.appends(len) {
            return true;
        }
        let spared = pool.limit() / SPARED;
        if len >= KEPT {
            return pool.available() >= spared;
        }
        let Some(mut packet) = self.another(len, spared, pool) else { return false };
        packet.clear();
        self.buffers.push_back(Some(Buffer { packet, live: 0, shared: true }));
        true
    }

    #[inline]
    fn appends(&self, len: usize) -> bool {
        let last = self.buffers.back().and_then(Option::as_ref);
        last.is_some_and(|last| last.shared && last.packet.len() + len <= last.packet.capacity())
    }

    /// An empty buffer to share.
    fn another(&mut self, len: usize, spared: usize, pool: &mut PacketPool) -> Option<Packet> {
        if len <= OWN && (self.own.is_some() || !self.owns) {
            self.owns = true;
            return Some(self.own.take().unwrap_or_else(|| Packet::with_capacity(OWN)));
        }
        let pooled = || if pool.available() > spared { pool.take() } else { None };
        self.empty.pop().or_else(pooled)
    }

    /// Keeps a frame, for which room was made.
    ///
    /// # Panics
    /// If it was not.
    #[inline]
    pub fn keep(&mut self, packet: Packet, pool: &mut PacketPool) -> Place {
        let len = packet.len();
        if self.appends(len) {
            let place = self.append(packet.data());
            pool.give(packet);
            return place;
        }
        assert!(len >= KEPT, "room was made for a frame that is copied");
        self.buffers.push_back(Some(Buffer { packet, live: 1, shared: false }));
        Place { buffer: self.last(), start: 0, len: len as u32 }
    }

    fn last(&self) -> u32 {
        self.first.wrapping_add(self.buffers.len() as u32).wrapping_sub(1)
    }

    fn append(&mut self, frame: &[u8]) -> Place {
        let number = self.last();
        let last = self.buffers.back_mut().and_then(Option::as_mut);
        let buffer = last.expect("room was made in the last buffer");
        let start = buffer.packet.len();
        let end = start + frame.len();
        buffer.packet.receive_room()[start..end].copy_from_slice(frame);
        buffer.packet.received(end);
        buffer.live += 1;
        Place { buffer: number, start: start as u32, len: frame.len() as u32 }
    }

    fn index(&self, place: Place) -> usize {
        place.buffer.wrapping_sub(self.first) as usize
    }

    /// A frame's bytes; none if its packet was taken.
    #[inline]
    pub fn data(&self, place: Place) -> &[u8] {
        let end = (place.start + place.len) as usize;
        let buffer = self.buffers.get(self.index(place)).and_then(Option::as_ref);
        buffer.and_then(|buffer| buffer.packet.data().get(place.start as usize..end)).unwrap_or(&[])
    }

    /// The packet of a frame that was kept as it is, instead of letting go of it; `None` if it was copied.
    pub fn take(&mut self, place: Place) -> Option<Packet> {
        let index = self.index(place);
        let slot = self.buffers.get_mut(index)?;
        let buffer = slot.take_if(|buffer| !buffer.shared)?;
        self.compact();
        Some(buffer.packet)
    }

    /// Lets go of a frame.
    #[inline]
    pub fn release(&mut self, place: Place) {
        let index = self.index(place);
        if let Some(Some(buffer)) = self.buffers.get_mut(index) {
            buffer.live -= 1;
            if buffer.live == 0 {
                self.compact();
            }
        }
    }

    /// Takes out the buffers that nothing is in, from the oldest on.
    fn compact(&mut self) {
        while self.buffers.front().is_some_and(|slot| slot.as_ref().is_none_or(|buffer| buffer.live == 0)) {
            self.first = self.first.wrapping_add(1);
            let Some(buffer) = self.buffers.pop_front().flatten() else { continue };
            if buffer.packet.capacity() == OWN {
                self.own = Some(buffer.packet);
            } else {
                self.empty.push(buffer.packet);
            }
        }
    }

    /// Gives empty buffers back.
    #[inline]
    pub fn settle(&mut self, pool: &mut PacketPool) {
        self.compact();
        while let Some(packet) = self.empty.pop() {
            pool.give(packet);
        }
    }

    /// Lets go of everything.
    pub fn clear(&mut self, pool: &mut PacketPool) {
        self.buffers.iter_mut().flatten().for_each(|buffer| buffer.live = 0);
        self.settle(pool);
    }
}
