//! Properties that hold for arbitrary input; shared by the property tests and the fuzz targets.

use std::net::{Ipv4Addr, Ipv6Addr};

use heddle_wire::build::{FrameBuilder, Network, Transport};
use heddle_wire::checksum::{finish_partial, verify_transport};
use heddle_wire::locate::headers;
use heddle_wire::segment::Segmenter;
use heddle_wire::transport::{TcpRepr, UdpRepr};
use heddle_wire::{Checksum, EtherType, GsoType, MacAddr, Offload, Packet, PacketPool, ipproto};

use crate::{Count, Line, Profile};

/// A profile that is read is valid, and is written so that it is read as the same.
///
/// # Panics
/// If it is not.
pub fn profile(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let profile = match text.parse::<Profile>() {
        Ok(profile) => profile,
        Err(error) => return assert!(error.to_string().len() < 1000, "{error}"),
    };
    assert_eq!(profile.validate(), Ok(()), "{text}");
    let written = profile.to_string();
    assert_eq!(written.parse().as_ref(), Ok(&profile), "{text} -> {written}");
    let mut same = profile.clone();
    assert_eq!(same.apply(&written), Ok(()), "{text} -> {written}");
    assert_eq!(same, profile, "{text} -> {written}");
}

/// Gives a line what `bytes` say: a profile, frames, segments and times. Nothing comes from nowhere and nothing goes nowhere;
/// what leaves is whole, in time, and no buffer stays behind.
///
/// # Panics
/// If that is not so.
pub fn line(bytes: &[u8]) {
    let mut input = Input(bytes);
    let (profile, seed) = (input.profile(), u64::from(input.byte()));
    let mut bench = Bench {
        line: Line::new(profile, seed),
        pool: PacketPool::new(24),
        now: u64::from(input.byte()) << 20,
        out: Vec::new(),
        honest: true,
    };
    while !input.0.is_empty() {
        bench.step(&mut input);
        bench.check();
    }
    bench.drain();
    bench.line.clear(&mut bench.pool);
    assert_eq!(bench.pool.available(), bench.pool.limit(), "a buffer stayed behind");
}

/// Bytes that are read as something else.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn byte(&mut self) -> u8 {
        let Some((&first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        first
    }

    fn word(&mut self) -> u16 {
        u16::from_be_bytes([self.byte(), self.byte()])
    }

    fn bytes(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        taken
    }

    /// A text behind its length.
    fn profile(&mut self) -> Profile {
        let length = self.byte();
        let text = self.bytes(length.into());
        std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).unwrap_or_default()
    }

    /// A whole frame of some kind; long ones are segments.
    fn frame(&mut self) -> Packet {
        let (kind, length) = (self.byte(), self.word() % 60_000);
        let payload = vec![0x5a; length.into()];
        let udp = Transport::Udp(UdpRepr { src_port: 1, dst_port: 2, payload_len: 0 });
        let tcp = Transport::Tcp(TcpRepr::default());
        let builder = match kind % 5 {
            0 => FrameBuilder::ipv4(Ipv4Addr::LOCALHOST, Ipv4Addr::LOCALHOST, udp),
            1 => FrameBuilder::ipv6(Ipv6Addr::LOCALHOST, Ipv6Addr::LOCALHOST, udp),
            2 => FrameBuilder::ipv4(Ipv4Addr::LOCALHOST, Ipv4Addr::LOCALHOST, tcp),
            3 => FrameBuilder::ipv6(Ipv6Addr::LOCALHOST, Ipv6Addr::LOCALHOST, tcp),
            _ => FrameBuilder::new(MacAddr::BROADCAST, MacAddr::ZERO, Network::Other(EtherType(0x88cc))),
        };
        let frame = builder.payload(payload).build().expect("the payload fits");
        let mut packet = Packet::from_frame(&frame);
        if let Some(at) = headers(&frame)
            && kind & 0x80 != 0
            && length > 1448
        {
            packet.offload = Offload {
                gso: match (at.proto, at.v6) {
                    (ipproto::UDP, _) => GsoType::UdpL4,
                    (_, false) => GsoType::TcpV4,
                    (_, true) => GsoType::TcpV6,
                },
                ecn: kind & 0x40 != 0,
                gso_size: 1448,
                header_len: at.payload(&frame).unwrap_or(0) as u16,
                checksum: Checksum::Partial {
                    start: at.l4 as u16,
                    offset: at.checksum_offset().unwrap_or(0) as u16,
                },
            };
        }
        packet
    }

    /// Any bytes, with metadata that no device would let in.
    fn forged(&mut self) -> Packet {
        let length = self.word() % 2000;
        let mut packet = Packet::from_frame(self.bytes(length.into()));
        packet.offload = Offload {
            gso: [GsoType::None, GsoType::TcpV4, GsoType::TcpV6, GsoType::UdpL4]
                [usize::from(self.byte() % 4)],
            ecn: false,
            gso_size: self.word(),
            header_len: self.word(),
            checksum: Checksum::Partial { start: self.word(), offset: self.word() },
        };
        packet
    }
}

struct Bench {
    line: Line,
    pool: PacketPool,
    now: u64,
    out: Vec<Packet>,
    /// Whether only whole frames were offered, and no bit was flipped.
    honest: bool,
}

impl Bench {
    fn step(&mut self, input: &mut Input<'_>) {
        match input.byte() % 8 {
            0..=2 => {
                let frame = input.frame();
                self.offer(&frame);
            }
            3 => {
                self.honest = false;
                let frame = input.forged();
                self.offer(&frame);
            }
            4 => self.now += 1 << (input.byte() % 42),
            5 => {
                let max = usize::from(input.byte() % 64);
                self.take(max);
            }
            6 => self.line.set_profile(input.profile(), self.now),
            _ => {
                self.wait();
            }
        }
        if input.byte() == 0xee {
            self.line.clear(&mut self.pool);
        }
    }

    fn offer(&mut self, frame: &Packet) {
        let Some(mut packet) = self.pool.take() else { return };
        assert!(packet.copy_from(frame));
        self.line.offer(packet, self.now, &mut self.pool);
    }

    /// Moves to the next due time; nothing is due before it.
    fn wait(&mut self) -> bool {
        let Some(due) = self.line.next_due() else { return false };
        if due > self.now {
            self.now = due - 1;
            assert_eq!(self.take(64), 0, "due before its time, {due}");
            self.now = due;
        }
        self.take(64);
        true
    }

    fn take(&mut self, max: usize) -> usize {
        let taken = self.line.take_due(self.now, &mut self.pool, &mut self.out, max);
        assert_eq!(taken, self.out.len());
        self.honest &= self.line.statistics().corrupted.packets == 0;
        for packet in self.out.drain(..) {
            if self.honest {
                whole(&packet);
            }
            self.pool.give(packet);
        }
        taken
    }

    /// Takes everything; every look brings something forward.
    fn drain(&mut self) {
        let mut left = self.line.statistics().backlog.packets * 2 + 2;
        while self.wait() {
            assert!(left > 0, "the line does not come to an end");
            left -= 1;
            self.check();
        }
        assert!(self.line.is_empty());
    }

    fn check(&self) {
        let it = self.line.statistics();
        let gone = [it.delivered, it.lost, it.queue_dropped, it.early_dropped, it.no_buffer, it.cleared];
        let sum = |of: fn(&Count) -> u64| gone.iter().map(of).sum::<u64>() + of(&it.backlog);
        assert_eq!(it.offered.packets + it.duplicated.packets, sum(|count| count.packets), "{it:?}");
        assert_eq!(it.offered.bytes + it.duplicated.bytes, sum(|count| count.bytes), "{it:?}");
        assert_eq!(self.line.next_due().is_none(), it.backlog.packets == 0);
    }
}

/// What leaves is whole once it is cut and summed.
fn whole(packet: &Packet) {
    if packet.offload.gso == GsoType::None {
        let mut packet = packet.clone();
        finish_partial(&mut packet);
        return assert_ne!(verify_transport(packet.data()), Some(false));
    }
    let mut segmenter = Segmenter::new(packet).expect("a run is a segment");
    let (mut piece, mut count) = (Packet::with_capacity(2048), 0);
    while segmenter.next_into(&mut piece) {
        assert_eq!(verify_transport(piece.data()), Some(true));
        count += 1;
    }
    assert_eq!(count, packet.wire_packets());
}
