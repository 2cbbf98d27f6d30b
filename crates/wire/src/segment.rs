//! Cuts a segment into the wire's packets, where the device it leaves by does not.

use crate::checksum::{finish_partial, fold, pseudo_header, sum};
use crate::locate::{Headers, headers};
use crate::numbers::ipproto;
use crate::packet::{Checksum, GsoType, Offload, Packet};

/// Why a segment cannot be cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SegmentError {
    /// It is no segment.
    NotGso,
    /// Its headers are not those that its type names.
    Headers,
}

/// Cuts one segment, piece by piece or in runs of pieces, without allocating.
///
/// Each piece is a function of the segment and the piece's number alone, so that a segment may be cut in several steps: a run
/// of consecutive pieces is a smaller segment, and cutting it yields the very pieces that the whole would have yielded.
pub struct Segmenter<'a> {
    data: &'a [u8],
    plan: Plan,
    next: usize,
    partial: bool,
}

impl<'a> Segmenter<'a> {
    /// Prepares to cut `packet`.
    ///
    /// # Errors
    /// If it is no segment, or its headers are not those that its type names.
    pub fn new(packet: &'a Packet) -> Result<Self, SegmentError> {
        Self::of(packet.data(), packet.offload)
    }

    /// Prepares to cut `data`, of which `offload` tells.
    ///
    /// # Errors
    /// If it is no segment, or its headers are not those that its type names.
    pub fn of(data: &'a [u8], offload: Offload) -> Result<Self, SegmentError> {
        Ok(Self { data, plan: Plan::new(data, offload)?, next: 0, partial: false })
    }

    /// Leaves the pieces' checksums partial, for a device that completes them.
    pub fn partial(mut self) -> Self {
        self.partial = true;
        self
    }

    /// How many pieces there are.
    pub fn pieces(&self) -> usize {
        (self.data.len() - self.plan.payload).div_ceil(usize::from(self.plan.offload.gso_size))
    }

    /// Bytes of headers that every piece repeats, Ethernet's to the transport's.
    pub fn header_len(&self) -> usize {
        self.plan.payload
    }

    /// Writes the next piece, with complete lengths and checksums; false when there is none, or it does not fit.
    pub fn next_into(&mut self, piece: &mut Packet) -> bool {
        let written = self.run_into(self.next, 1, piece);
        if written {
            if !self.partial {
                finish_partial(piece);
            }
            self.next += 1;
        }
        written
    }

    /// Writes `count` pieces from number `first` on, as one smaller segment with a partial checksum; a single piece is no
    /// segment. False when there are no such pieces, or they do not fit.
    pub fn run_into(&self, first: usize, count: usize, run: &mut Packet) -> bool {
        let (begin, end) = (self.plan.place(first), self.plan.place(first.saturating_add(count)));
        let (header, end) = (self.plan.payload, end.min(self.data.len()));
        if begin >= end {
            return false;
        }
        let Some(room) = run.receive_room().get_mut(..header + end - begin) else { return false };
        room[..header].copy_from_slice(&self.data[..header]);
        room[header..].copy_from_slice(&self.data[begin..end]);
        run.received(header + end - begin);
        self.plan.finish(run, first, end == self.data.len());
        true
    }
}

/// Takes the pieces before number `first` off a segment, in place: what is left is the run of the others, as
/// [`Segmenter::run_into`] would write it.
///
/// # Errors
/// If it is no segment, its headers are not those that its type names, or it has no more pieces than that. The packet is as it
/// was then.
pub fn keep_from(packet: &mut Packet, first: usize) -> Result<(), SegmentError> {
    let plan = Plan::new(packet.data(), packet.offload)?;
    let begin = plan.place(first);
    if begin >= packet.len() {
        return Err(SegmentError::Headers);
    }
    packet.data_mut().copy_within(..plan.payload, begin - plan.payload);
    packet.pull_front(begin - plan.payload);
    plan.finish(packet, first, true);
    Ok(())
}

/// How a segment is cut.
struct Plan {
    offload: Offload,
    at: Headers,
    /// Where the payload starts.
    payload: usize,
}

impl Plan {
    fn new(data: &[u8], offload: Offload) -> Result<Self, SegmentError> {
        if offload.gso == GsoType::None {
            return Err(SegmentError::NotGso);
        }
        let at = headers(data).filter(|at| !at.fragment).ok_or(SegmentError::Headers)?;
        let fits = match offload.gso {
            GsoType::None => false,
            GsoType::TcpV4 => at.proto == ipproto::TCP && !at.v6,
            GsoType::TcpV6 => at.proto == ipproto::TCP && at.v6,
            GsoType::UdpL4 => at.proto == ipproto::UDP,
        };
        let payload = at.payload(data).filter(|_| fits && offload.gso_size != 0);
        Ok(Self { offload, at, payload: payload.ok_or(SegmentError::Headers)? })
    }

    /// Where a piece's payload starts.
    fn place(&self, piece: usize) -> usize {
        self.payload.saturating_add(piece.saturating_mul(self.offload.gso_size.into()))
    }

    /// Turns the whole segment's headers into those of a run that begins with piece `first`, and is the `last` or not.
    fn finish(&self, run: &mut Packet, first: usize, last: bool) {
        let data = run.data_mut();
        self.network(data, first);
        self.transport(data, first, last);
        let is_segment = data.len() - self.payload > usize::from(self.offload.gso_size);
        let offset = if self.at.proto == ipproto::TCP { 16 } else { 6 };
        let checksum = Checksum::Partial { start: self.at.l4 as u16, offset };
        run.offload = Offload { checksum, ..Offload::default() };
        if is_segment {
            let (header_len, ecn) = (self.payload as u16, self.offload.ecn && first == 0);
            run.offload = Offload { header_len, ecn, checksum, ..self.offload };
        }
    }

    fn network(&self, run: &mut [u8], first: usize) {
        let (l3, length) = (self.at.l3, run.len() - self.at.l3);
        if self.at.v6 {
            run[l3 + 4..l3 + 6].copy_from_slice(&((length - 40) as u16).to_be_bytes());
            return;
        }
        run[l3 + 2..l3 + 4].copy_from_slice(&(length as u16).to_be_bytes());
        let id = u16::from_be_bytes([run[l3 + 4], run[l3 + 5]]).wrapping_add(first as u16);
        run[l3 + 4..l3 + 6].copy_from_slice(&id.to_be_bytes());
        run[l3 + 10..l3 + 12].fill(0);
        let checksum = !sum(&run[l3..self.at.l4]);
        run[l3 + 10..l3 + 12].copy_from_slice(&checksum.to_be_bytes());
    }

    fn transport(&self, run: &mut [u8], first: usize, last: bool) {
        let l4 = self.at.l4;
        let length = run.len() - l4;
        let field = if self.at.proto == ipproto::TCP {
            let number: [u8; 4] = [run[l4 + 4], run[l4 + 5], run[l4 + 6], run[l4 + 7]];
            let before = (self.place(first) - self.payload) as u32;
            let sequence = u32::from_be_bytes(number).wrapping_add(before);
            run[l4 + 4..l4 + 8].copy_from_slice(&sequence.to_be_bytes());
            if !last {
                run[l4 + 13] &= !(FIN | PSH);
            }
            if first != 0 {
                run[l4 + 13] &= !CWR;
            }
            l4 + 16
        } else {
            run[l4 + 4..l4 + 6].copy_from_slice(&(length as u16).to_be_bytes());
            l4 + 6
        };
        let pseudo = pseudo_header(run, &self.at, length).unwrap_or(0);
        run[field..field + 2].copy_from_slice(&fold(u128::from(pseudo)).to_be_bytes());
    }
}

const FIN: u8 = 0x01;
const PSH: u8 = 0x08;
const CWR: u8 = 0x80;
