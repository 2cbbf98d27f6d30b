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
    offload: Offload,
    at: Headers,
    payload: usize,
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
        let payload = payload.ok_or(SegmentError::Headers)?;
        Ok(Self { data, offload, at, payload, next: 0, partial: false })
    }

    /// Leaves the pieces' checksums partial, for a device that completes them.
    pub fn partial(mut self) -> Self {
        self.partial = true;
        self
    }

    /// How many pieces there are.
    pub fn pieces(&self) -> usize {
        (self.data.len() - self.payload).div_ceil(usize::from(self.offload.gso_size))
    }

    /// Bytes of headers that every piece repeats, Ethernet's to the transport's.
    pub fn header_len(&self) -> usize {
        self.payload
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
        let size = usize::from(self.offload.gso_size);
        let place = |piece: usize| self.payload.saturating_add(piece.saturating_mul(size));
        let (begin, end) = (place(first), place(first.saturating_add(count)).min(self.data.len()));
        if begin >= end {
            return false;
        }
        let Some(room) = run.receive_room().get_mut(..self.payload + end - begin) else { return false };
        room[..self.payload].copy_from_slice(&self.data[..self.payload]);
        room[self.payload..].copy_from_slice(&self.data[begin..end]);
        self.network(room, first);
        self.transport(room, first, begin - self.payload, end == self.data.len());
        let length = room.len();
        run.received(length);
        let offset = if self.at.proto == ipproto::TCP { 16 } else { 6 };
        run.offload.checksum = Checksum::Partial { start: self.at.l4 as u16, offset };
        if end - begin > size {
            run.offload.gso = self.offload.gso;
            run.offload.gso_size = self.offload.gso_size;
            run.offload.header_len = self.payload as u16;
            run.offload.ecn = self.offload.ecn && first == 0;
        }
        true
    }

    fn network(&self, piece: &mut [u8], first: usize) {
        let (l3, length) = (self.at.l3, piece.len() - self.at.l3);
        if self.at.v6 {
            piece[l3 + 4..l3 + 6].copy_from_slice(&((length - 40) as u16).to_be_bytes());
            return;
        }
        piece[l3 + 2..l3 + 4].copy_from_slice(&(length as u16).to_be_bytes());
        let id = u16::from_be_bytes([piece[l3 + 4], piece[l3 + 5]]).wrapping_add(first as u16);
        piece[l3 + 4..l3 + 6].copy_from_slice(&id.to_be_bytes());
        piece[l3 + 10..l3 + 12].fill(0);
        let checksum = !sum(&piece[l3..self.at.l4]);
        piece[l3 + 10..l3 + 12].copy_from_slice(&checksum.to_be_bytes());
    }

    /// `before` are the payload's bytes that precede the piece's.
    fn transport(&self, piece: &mut [u8], first: usize, before: usize, last: bool) {
        let l4 = self.at.l4;
        let length = piece.len() - l4;
        let field = if self.at.proto == ipproto::TCP {
            let number: [u8; 4] = [piece[l4 + 4], piece[l4 + 5], piece[l4 + 6], piece[l4 + 7]];
            let sequence = u32::from_be_bytes(number).wrapping_add(before as u32);
            piece[l4 + 4..l4 + 8].copy_from_slice(&sequence.to_be_bytes());
            if !last {
                piece[l4 + 13] &= !(FIN | PSH);
            }
            if first != 0 {
                piece[l4 + 13] &= !CWR;
            }
            l4 + 16
        } else {
            piece[l4 + 4..l4 + 6].copy_from_slice(&(length as u16).to_be_bytes());
            l4 + 6
        };
        let pseudo = pseudo_header(piece, &self.at, length).unwrap_or(0);
        piece[field..field + 2].copy_from_slice(&fold(u128::from(pseudo)).to_be_bytes());
    }
}

const FIN: u8 = 0x01;
const PSH: u8 = 0x08;
const CWR: u8 = 0x80;
