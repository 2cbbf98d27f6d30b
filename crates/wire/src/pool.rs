//! A poll thread's store of packet buffers.

use crate::packet::{MAX_FRAME, Packet};

/// A bounded store of packets, last in first out so that the buffers in use stay in the cache.
///
/// Every buffer holds a whole 64 KiB segment; pages that no frame has touched cost no memory.
pub struct PacketPool {
    free: Vec<Packet>,
    made: usize,
    limit: usize,
}

impl PacketPool {
    /// A pool that makes at most `limit` buffers, each when first needed.
    pub fn new(limit: usize) -> Self {
        Self { free: Vec::with_capacity(limit), made: 0, limit }
    }

    /// An empty packet, or `None` when all buffers are in use.
    #[inline]
    pub fn take(&mut self) -> Option<Packet> {
        if let Some(packet) = self.free.pop() {
            return Some(packet);
        }
        if self.made == self.limit {
            return None;
        }
        self.made += 1;
        Some(Packet::with_capacity(MAX_FRAME))
    }

    /// Takes a packet back. One that the pool cannot keep is freed.
    #[inline]
    pub fn give(&mut self, packet: Packet) {
        if self.free.len() < self.limit && packet.capacity() == MAX_FRAME {
            self.free.push(packet);
        }
    }

    /// Most buffers that the pool makes.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// Buffers that can be taken before the pool is spent.
    pub fn available(&self) -> usize {
        self.free.len() + (self.limit - self.made)
    }
}
