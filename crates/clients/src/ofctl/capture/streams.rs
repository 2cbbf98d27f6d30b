//! TCP's segments put in order (RFC 9293 section 3.4), and the OpenFlow messages of the streams that they make.
//!
//! No I/O. A capture may begin within a connection, lack segments, and have them twice or out of order. What is held for
//! a segment that is missing is bounded; past the bound it is taken for lost, and messages are looked for behind it.

use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use heddle_openflow::{Fault, Framer};
use heddle_wire::ipv4::Ipv4View;
use heddle_wire::ipv6::Ipv6View;
use heddle_wire::transport::{TcpFlags, TcpView};
use heddle_wire::{ipproto, locate};

/// Directions of connections that are followed at a time; the one that was silent the longest goes.
const MAX_STREAMS: usize = 256;
/// Segments and bytes that wait for one that is missing, in a direction.
const MAX_EARLY: usize = 256;
const MAX_EARLY_BYTES: usize = 1 << 18;

/// Who sends to whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Ends {
    /// Address and port of the sender.
    pub(super) from: (IpAddr, u16),
    /// Address and port of the receiver.
    pub(super) to: (IpAddr, u16),
}

impl fmt::Display for Ends {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{} > {}.{}", self.from.0, self.from.1, self.to.0, self.to.1)
    }
}

/// A segment of TCP.
pub(super) struct Segment<'a> {
    pub(super) ends: Ends,
    view: TcpView<'a>,
}

/// The segment that a frame carries; `None` for any other frame, fragments among them.
pub(super) fn segment(frame: &[u8]) -> Option<Segment<'_>> {
    let found = locate::headers(frame)?;
    if found.proto != ipproto::TCP || found.fragment {
        return None;
    }
    let packet = &frame[found.l3..];
    let before = found.l4 - found.l3;
    // The frame may be padded: IP says where the packet ends.
    let (from, to, segment): (IpAddr, IpAddr, _) = if found.v6 {
        let view = Ipv6View::new(packet).ok()?;
        let (src, dst): (Ipv6Addr, Ipv6Addr) = (view.src(), view.dst());
        (src.into(), dst.into(), view.payload().get(before - heddle_wire::ipv6::HEADER_LEN..)?)
    } else {
        let view = Ipv4View::new(packet).ok()?;
        let (src, dst): (Ipv4Addr, Ipv4Addr) = (view.src(), view.dst());
        (src.into(), dst.into(), view.payload())
    };
    let view = TcpView::new(segment).ok()?;
    Some(Segment { ends: Ends { from: (from, view.src_port()), to: (to, view.dst_port()) }, view })
}

/// What a segment completed.
#[derive(Default)]
pub(super) struct Taken {
    /// Messages, or that the stream is none of messages.
    pub(super) messages: Vec<Result<Vec<u8>, Fault>>,
    /// Bytes before them are missing.
    pub(super) lost: bool,
}

/// One direction of a connection.
#[derive(Default)]
struct Stream {
    /// Sequence number of the byte that comes next.
    next: u32,
    /// What came before its turn, with the number of its first byte.
    early: Vec<(u32, Vec<u8>)>,
    framer: Framer,
    /// When it was last heard of, counted in segments.
    heard: u64,
}

/// How far a sequence number is ahead of another; below zero if it is behind.
fn ahead(number: u32, of: u32) -> i32 {
    number.wrapping_sub(of) as i32
}

impl Stream {
    fn early_bytes(&self) -> usize {
        self.early.iter().map(|(_, bytes)| bytes.len()).sum()
    }

    /// Takes what is not there yet of bytes that begin at or before the next.
    fn append(&mut self, sequence: u32, bytes: &[u8]) {
        let old = ahead(self.next, sequence) as usize;
        if let Some(new) = bytes.get(old..) {
            self.next = self.next.wrapping_add(new.len() as u32);
            self.framer.push(new);
        }
    }

    /// Takes bytes in their turn, and early ones whose turn it is then; whether some had to be given up as lost.
    fn push(&mut self, sequence: u32, bytes: &[u8]) -> bool {
        if bytes.is_empty() {
            return false;
        }
        let mut lost = false;
        if ahead(sequence, self.next) > 0 {
            self.early.push((sequence, bytes.to_vec()));
            if self.early.len() > MAX_EARLY || self.early_bytes() > MAX_EARLY_BYTES {
                let first = self.early.iter().map(|(sequence, _)| *sequence);
                self.next = first.min_by_key(|first| ahead(*first, self.next)).unwrap_or(sequence);
                self.framer = Framer::default();
                lost = true;
            }
        } else {
            self.append(sequence, bytes);
        }
        while let Some(at) = self.early.iter().position(|(sequence, _)| ahead(*sequence, self.next) <= 0) {
            let (sequence, bytes) = self.early.swap_remove(at);
            self.append(sequence, &bytes);
        }
        lost
    }
}

/// The directions of connections that are followed.
#[derive(Default)]
pub(super) struct Streams {
    streams: HashMap<Ends, Stream>,
    segments: u64,
}

impl Streams {
    /// Takes a segment.
    pub(super) fn take(&mut self, segment: &Segment<'_>) -> Taken {
        let (view, flags) = (&segment.view, segment.view.flags());
        self.segments += 1;
        if flags.has(TcpFlags::RST) {
            self.streams.remove(&segment.ends);
            return Taken::default();
        }
        let begins = flags.has(TcpFlags::SYN);
        // A SYN counts as a byte.
        let sequence = view.sequence().wrapping_add(u32::from(begins));
        if begins {
            self.streams.remove(&segment.ends);
        }
        if !self.streams.contains_key(&segment.ends) {
            if !begins && view.payload().is_empty() {
                return Taken::default();
            }
            self.make_room();
        }
        let new = || Stream { next: sequence, ..Stream::default() };
        let stream = self.streams.entry(segment.ends).or_insert_with(new);
        stream.heard = self.segments;
        let lost = stream.push(sequence, view.payload());
        let messages = std::iter::from_fn(|| stream.framer.next_message()).collect();
        if flags.has(TcpFlags::FIN) && stream.early.is_empty() {
            self.streams.remove(&segment.ends);
        }
        Taken { messages, lost }
    }

    fn make_room(&mut self) {
        if self.streams.len() >= MAX_STREAMS
            && let Some(ends) =
                self.streams.iter().min_by_key(|(_, stream)| stream.heard).map(|(ends, _)| *ends)
        {
            self.streams.remove(&ends);
        }
    }

    /// # Panics
    /// If more is held than may be.
    pub(super) fn check(&self) {
        assert!(self.streams.len() <= MAX_STREAMS);
        for stream in self.streams.values() {
            assert!(stream.early.len() <= MAX_EARLY && stream.early_bytes() <= MAX_EARLY_BYTES);
            assert!(stream.framer.held() < heddle_openflow::message::MAX_MESSAGE);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An echo request of OpenFlow 1.3 with data.
    fn echo(xid: u8, data: usize) -> Vec<u8> {
        let mut message = vec![4, 2, 0, 8 + data as u8, 0, 0, 0, xid];
        message.resize(8 + data, xid);
        message
    }

    fn tcp(sequence: u32, flags: u8, payload: &[u8]) -> Vec<u8> {
        let mut segment = vec![0; 20];
        (segment[0..2]).copy_from_slice(&1000u16.to_be_bytes());
        (segment[2..4]).copy_from_slice(&6653u16.to_be_bytes());
        segment[4..8].copy_from_slice(&sequence.to_be_bytes());
        (segment[12], segment[13]) = (0x50, flags);
        segment.extend(payload);
        segment
    }

    /// Transaction ids of what the segments complete, each of them a sequence number, flags and payload; 255 where bytes
    /// are lost.
    fn ids(streams: &mut Streams, segments: &[(u32, u8, &[u8])]) -> Vec<u8> {
        let mut ids = Vec::new();
        let end = |port| (IpAddr::from([10, 0, 0, 1]), port);
        for (sequence, flags, payload) in segments {
            let bytes = tcp(*sequence, *flags, payload);
            let view = TcpView::new(&bytes).expect("it is whole");
            let taken = streams.take(&Segment { ends: Ends { from: end(1000), to: end(6653) }, view });
            ids.extend(taken.lost.then_some(255));
            ids.extend(taken.messages.into_iter().map(|message| message.map_or(254, |message| message[7])));
            streams.check();
        }
        ids
    }

    #[test]
    fn segments_out_of_order_and_twice_make_the_stream_once_across_the_end_of_numbers() {
        let bytes: Vec<u8> = [echo(1, 4), echo(2, 0), echo(3, 9)].concat();
        let start = u32::MAX - 9;
        let at = |from: usize, to: usize| (start.wrapping_add(1 + from as u32), 0x10, &bytes[from..to]);
        let segments = [(start, 2, [].as_slice()), at(20, 37), at(5, 20), at(0, 8), at(0, 20), at(30, 37)];
        assert_eq!(ids(&mut Streams::default(), &segments), [1, 2, 3]);
    }

    #[test]
    fn a_capture_may_begin_within_a_connection() {
        let segments = [(5, 0x10, [].as_slice()), (5, 0x18, &echo(7, 0)), (13, 0x11, &echo(8, 0))];
        let mut streams = Streams::default();
        assert_eq!(ids(&mut streams, &segments), [7, 8]);
        assert!(streams.streams.is_empty(), "the sender has finished");
    }

    #[test]
    fn what_never_comes_is_given_up_and_messages_are_found_behind_it() {
        let echo = echo(9, 0);
        let mut segments = vec![(0, 2, [].as_slice())];
        segments.extend((0..=MAX_EARLY).map(|at| (101 + 8 * at as u32, 0x10, echo.as_slice())));
        let ids = ids(&mut Streams::default(), &segments);
        assert_eq!((ids[0], ids.len()), (255, MAX_EARLY + 2));
    }

    #[test]
    fn a_stream_of_something_else_is_told_once() {
        let segments =
            [(0, 2, [].as_slice()), (1, 0x10, b"GET / HTTP"), (11, 0x10, b"/1.1"), (15, 0x10, &[0; 9])];
        assert_eq!(ids(&mut Streams::default(), &segments).len(), 0, "it may be a long message");
        let segments = [(0, 2, [].as_slice()), (1, 0x10, &[0; 9]), (10, 0x10, &[0; 9])];
        assert_eq!(ids(&mut Streams::default(), &segments), [254]);
    }

    #[test]
    fn padding_of_a_frame_is_not_data() {
        let mut frame = vec![0; 12];
        frame.extend([8, 0, 0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
        frame.extend(tcp(1, 0x10, &[0; 6]));
        let segment = segment(&frame).expect("it is TCP");
        assert!(segment.view.payload().is_empty());
        assert_eq!(segment.ends.to_string(), "10.0.0.1.1000 > 10.0.0.2.6653");
    }
}
