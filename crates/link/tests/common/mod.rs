//! A line with a clock and a pool, and frames for it.
#![allow(dead_code)] // each test uses some

use std::net::Ipv4Addr;

use heddle_link::{Count, Line, LineStatistics};
use heddle_wire::build::{FrameBuilder, Network, Transport};
use heddle_wire::locate::headers;
use heddle_wire::transport::{TcpFlags, TcpRepr, UdpRepr};
use heddle_wire::{Checksum, GsoType, Offload, Packet, PacketPool};

pub struct Lab {
    pub line: Line,
    pub pool: PacketPool,
    pub now: u64,
}

impl Lab {
    pub fn new(profile: &str) -> Self {
        Self::seeded(profile, 1)
    }

    pub fn seeded(profile: &str, seed: u64) -> Self {
        let profile = profile.parse().expect("the test's profile is valid");
        Self { line: Line::new(profile, seed), pool: PacketPool::new(1024), now: 0 }
    }

    pub fn set(&mut self, profile: &str) {
        self.line.set_profile(profile.parse().expect("the test's profile is valid"), self.now);
    }

    pub fn offer(&mut self, frame: impl std::borrow::Borrow<Packet>) {
        let frame = frame.borrow();
        let mut packet = self.pool.take().expect("the pool is large enough");
        assert!(packet.copy_from(frame));
        self.line.offer(packet, self.now, &mut self.pool);
    }

    /// What is due now. Copies, so that the pool has its buffers back.
    pub fn take(&mut self) -> Vec<Packet> {
        let mut out = Vec::new();
        while self.line.take_due(self.now, &mut self.pool, &mut out, 64) != 0 {}
        out.into_iter()
            .map(|packet| {
                let mut copy = Packet::from_frame(packet.data());
                (copy.offload, copy.queue) = (packet.offload, packet.queue);
                self.pool.give(packet);
                copy
            })
            .collect()
    }

    /// Takes everything, each packet at its time.
    pub fn drain(&mut self) -> Vec<(u64, Packet)> {
        let mut all = Vec::new();
        while let Some(due) = self.line.next_due() {
            self.now = self.now.max(due);
            all.extend(self.take().into_iter().map(|packet| (self.now, packet)));
        }
        all
    }

    pub fn statistics(&self) -> LineStatistics {
        *self.line.statistics()
    }

    /// Nothing came from nowhere, nothing went nowhere; an empty line holds no buffer.
    pub fn check(&self) {
        let it = self.statistics();
        let gone = [it.delivered, it.lost, it.queue_dropped, it.early_dropped, it.no_buffer, it.cleared];
        let sum = |of: fn(&Count) -> u64| gone.iter().map(of).sum::<u64>() + of(&it.backlog);
        assert_eq!(it.offered.packets + it.duplicated.packets, sum(|count| count.packets), "{it:?}");
        assert_eq!(it.offered.bytes + it.duplicated.bytes, sum(|count| count.bytes), "{it:?}");
        if self.line.is_empty() {
            assert_eq!(self.pool.available(), self.pool.limit());
        }
    }
}

/// A UDP packet whose frame has `len` bytes.
pub fn frame(len: usize) -> Packet {
    numbered(0, len)
}

/// A UDP packet that begins with a number.
pub fn numbered(number: u32, len: usize) -> Packet {
    let udp = Transport::Udp(UdpRepr { src_port: 1, dst_port: 2, payload_len: 0 });
    let mut payload = vec![0x5a; len - 42];
    payload[..4].copy_from_slice(&number.to_be_bytes());
    let builder = FrameBuilder::ipv4(Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2), udp);
    Packet::from_frame(&builder.payload(payload).build().expect("it is a small frame"))
}

/// Gives a packet another number; its checksum does not follow.
pub fn renumber(packet: &mut Packet, number: u32) {
    packet.data_mut()[42..46].copy_from_slice(&number.to_be_bytes());
}

/// The number that [`numbered`] put in.
pub fn number(packet: &Packet) -> u32 {
    u32::from_be_bytes(*packet.data()[42..].first_chunk().expect("it begins with a number"))
}

/// The same frame, of a sender that understands marks.
pub fn markable(mut packet: Packet) -> Packet {
    packet.data_mut()[15] |= 2;
    packet.data_mut()[24..26].fill(0);
    let checksum = !heddle_wire::checksum::sum(&packet.data()[14..34]);
    packet.data_mut()[24..26].copy_from_slice(&checksum.to_be_bytes());
    packet
}

/// A TCP segment over IPv4 with `payload` bytes, in pieces of `size`.
pub fn segment(payload: usize, size: u16) -> Packet {
    let tcp = Transport::Tcp(TcpRepr {
        sequence: 7_000_000,
        flags: TcpFlags::ACK | TcpFlags::PSH | TcpFlags::CWR,
        ..TcpRepr::default()
    });
    let mut builder = FrameBuilder::ipv4(Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2), tcp);
    if let Network::Ipv4(repr, _) = &mut builder.network {
        repr.ident = 65_530;
    }
    let payload: Vec<u8> = (0..payload).map(|at| (at * 7) as u8).collect();
    let mut packet = Packet::from_frame(&builder.payload(payload).build().expect("it fits"));
    let at = headers(packet.data()).expect("it is TCP");
    packet.offload = Offload {
        gso: GsoType::TcpV4,
        ecn: true,
        gso_size: size,
        header_len: 54,
        checksum: Checksum::Partial { start: at.l4 as u16, offset: 16 },
    };
    packet
}
