//! A packet in memory, with the offload metadata it carries from the netdev it came from to the netdev it
//! leaves by.
//!
//! ```text
//!  storage: | headroom (HEADROOM)      | frame                     | tailroom        |
//!           0                        start                        end          capacity
//! ```
//!
//! A packet owns its storage and is recycled through a pool, so that the data path allocates nothing per
//! packet. The headroom is there for tags and tunnel headers that are pushed in place. A frame may be a GSO
//! segment of up to 64 KiB: [`Offload`] says, in the terms of virtio-net, what its sender left to be done.

use std::ops::{Deref, DerefMut};

/// Bytes of a cache line.
const LINE: usize = 64;

/// Bytes kept free in front of a received frame, for headers pushed on the way.
pub const HEADROOM: usize = 256;

/// The largest frame that a packet can hold: a 64 KiB segment with its headers.
pub const MAX_FRAME: usize = 65_536 + 64;

/// How a segment is to be cut into the wire's packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum GsoType {
    /// The frame is one wire packet.
    #[default]
    None,
    /// TCP over IPv4.
    TcpV4,
    /// TCP over IPv6.
    TcpV6,
    /// UDP datagrams of equal size (USO), IPv4 or IPv6.
    UdpL4,
}

/// What is known about the frame's transport checksum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Checksum {
    /// Nothing: the checksum field is complete, but nobody has verified it.
    #[default]
    Unverified,
    /// The checksum field is complete and was verified by the sending device.
    Verified,
    /// The field at `start + offset` holds the pseudo-header's sum; the one's complement sum from `start` to
    /// the end of the frame is still to be folded in. Offsets count bytes from the frame's first byte.
    Partial {
        /// Where the sum starts: the transport header.
        start: u16,
        /// Where the checksum field is, counted from `start`.
        offset: u16,
    },
}

/// Offload metadata: what the frame's sender left for the receiving device to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offload {
    /// How the frame is to be cut.
    pub gso: GsoType,
    /// TCP segments carry ECN's CWR flag in the first wire packet only.
    pub ecn: bool,
    /// Payload bytes of each wire packet; zero when `gso` is `None`.
    pub gso_size: u16,
    /// Bytes of headers that every wire packet repeats (Ethernet to transport); zero when `gso` is `None`.
    pub header_len: u16,
    /// State of the transport checksum.
    pub checksum: Checksum,
}

impl Offload {
    /// Follows a change of `delta` bytes in the headers before the network layer; false if that cannot be.
    pub fn shift(&mut self, delta: i32) -> bool {
        let moved = |value: u16| {
            let value = i32::from(value).checked_add(delta)?;
            u16::try_from(value).ok().filter(|&value| value >= 14)
        };
        let checksum = match self.checksum {
            Checksum::Partial { start, offset } => {
                let Some(start) = moved(start) else { return false };
                Checksum::Partial { start, offset }
            }
            other => other,
        };
        if self.gso != GsoType::None {
            let Some(length) = moved(self.header_len) else { return false };
            self.header_len = length;
        }
        self.checksum = checksum;
        true
    }
}

/// A frame and its offload metadata: a handle of one word, because packets move between lists several times on
/// their way. The handle dereferences to the frame's description.
pub struct Packet(Box<Frame>);

/// Where a packet's frame is, and what its sender left to be done.
pub struct Frame {
    storage: Box<[u8]>,
    /// Where a received frame starts: behind the headroom, at the start of a cache line.
    origin: u32,
    start: u32,
    end: u32,
    /// Queue of the device that it leaves by; 0 is the device's own choice.
    pub queue: u32,
    /// What the sender left to be done.
    pub offload: Offload,
}

impl Deref for Packet {
    type Target = Frame;

    #[inline(always)]
    fn deref(&self) -> &Frame {
        &self.0
    }
}

impl DerefMut for Packet {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut Frame {
        &mut self.0
    }
}

impl Packet {
    /// An empty packet able to hold frames of up to `capacity` bytes, plus [`HEADROOM`].
    ///
    /// # Panics
    /// If `capacity` is beyond 4 GiB, which no device's frames are.
    pub fn with_capacity(capacity: usize) -> Self {
        let storage = vec![0; LINE - 1 + HEADROOM + capacity].into_boxed_slice();
        assert!(u32::try_from(storage.len()).is_ok(), "a frame is smaller than 4 GiB");
        let skipped = storage.as_ptr().align_offset(LINE);
        // The alignment may be refused, by Miri for one; it is for speed only.
        let origin = (HEADROOM + if skipped < LINE { skipped } else { 0 }) as u32;
        let (start, end) = (origin, origin);
        Self(Box::new(Frame { storage, origin, start, end, queue: 0, offload: Offload::default() }))
    }

    /// A packet that holds a copy of `frame` and asks nothing of the receiving device.
    pub fn from_frame(frame: &[u8]) -> Self {
        let mut packet = Self::with_capacity(frame.len().max(64));
        packet.fill(frame);
        packet
    }

    /// Replaces this packet by a copy of `other`, metadata included; false, and an empty packet, if it does not fit.
    #[inline]
    pub fn copy_from(&mut self, other: &Packet) -> bool {
        let fits = self.fill(other.data());
        if fits {
            self.offload = other.offload;
            self.queue = other.queue;
        }
        fits
    }
}

impl Frame {
    /// The frame.
    #[inline]
    pub fn data(&self) -> &[u8] {
        &self.storage[self.start as usize..self.end as usize]
    }

    /// The frame, to be changed in place.
    #[inline]
    pub fn data_mut(&mut self) -> &mut [u8] {
        &mut self.storage[self.start as usize..self.end as usize]
    }

    /// Length of the frame in bytes.
    #[inline]
    pub fn len(&self) -> usize {
        (self.end - self.start) as usize
    }

    /// Whether there is no frame.
    pub fn is_empty(&self) -> bool {
        self.end == self.start
    }

    /// Bytes that the frame may grow to without moving.
    #[inline]
    pub fn capacity(&self) -> usize {
        self.storage.len() - HEADROOM - (LINE - 1)
    }

    /// The room for a frame behind the headroom.
    #[inline]
    fn room(&mut self) -> &mut [u8] {
        let (origin, capacity) = (self.origin as usize, self.capacity());
        &mut self.storage[origin..origin + capacity]
    }

    /// Empties the packet: no frame, full headroom, no metadata.
    #[inline]
    pub fn clear(&mut self) {
        self.start = self.origin;
        self.end = self.origin;
        self.queue = 0;
        self.offload = Offload::default();
    }

    /// Replaces the frame by a copy of `frame`; false, and an empty packet, if it does not fit.
    #[inline]
    pub fn fill(&mut self, frame: &[u8]) -> bool {
        self.clear();
        let Some(room) = self.room().get_mut(..frame.len()) else {
            return false;
        };
        room.copy_from_slice(frame);
        self.end = self.origin + frame.len() as u32;
        true
    }

    /// The room a device may receive a frame into. Follow with [`Frame::received`].
    #[inline]
    pub fn receive_room(&mut self) -> &mut [u8] {
        self.clear();
        self.room()
    }

    /// The same room with `prefix` bytes of the headroom before it, for a device that puts a header of its own before the
    /// frame. Follow with [`Frame::received`], whose length counts the frame alone.
    ///
    /// # Panics
    /// If the headroom is smaller than `prefix`.
    #[inline]
    pub fn receive_room_behind(&mut self, prefix: usize) -> &mut [u8] {
        assert!(prefix <= HEADROOM, "a device's header is smaller than the headroom");
        self.clear();
        let (origin, capacity) = (self.origin as usize, self.capacity());
        &mut self.storage[origin - prefix..origin + capacity]
    }

    /// Says that the device wrote `len` bytes into [`Frame::receive_room`].
    ///
    /// # Panics
    /// If `len` exceeds the room, which a device cannot have written.
    #[inline]
    pub fn received(&mut self, len: usize) {
        assert!(len <= self.capacity(), "a device cannot write past the room it was given");
        self.end = self.origin + len as u32;
    }

    /// Grows the frame by `count` bytes at its front, and returns those bytes; `None` if the headroom is spent.
    #[inline]
    pub fn push_front(&mut self, count: usize) -> Option<&mut [u8]> {
        let start = (self.start as usize).checked_sub(count)?;
        self.start = start as u32;
        Some(&mut self.storage[start..start + count])
    }

    /// Takes `count` bytes off the frame's front; false if the frame is shorter.
    #[inline]
    pub fn pull_front(&mut self, count: usize) -> bool {
        let fits = count <= self.len();
        if fits {
            self.start += count as u32;
        }
        fits
    }

    /// Cuts the frame to at most `len` bytes.
    pub fn truncate(&mut self, len: usize) {
        if len < self.len() {
            self.end = self.start + len as u32;
        }
    }

    /// How many packets the frame is on the wire: one, or a segment's number of pieces.
    #[inline]
    pub fn wire_packets(&self) -> u64 {
        if self.offload.gso == GsoType::None || self.offload.gso_size == 0 {
            return 1;
        }
        let payload = self.len().saturating_sub(usize::from(self.offload.header_len));
        (payload.div_ceil(usize::from(self.offload.gso_size)) as u64).max(1)
    }

    /// How many bytes the frame is on the wire: every piece repeats the headers.
    #[inline]
    pub fn wire_bytes(&self) -> u64 {
        self.len() as u64 + (self.wire_packets() - 1) * u64::from(self.offload.header_len)
    }
}

impl Clone for Packet {
    fn clone(&self) -> Self {
        let mut copy = Self::with_capacity(self.capacity());
        copy.copy_from(self);
        copy
    }
}

impl std::fmt::Debug for Packet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Packet").field("len", &self.len()).field("offload", &self.offload).finish()
    }
}
