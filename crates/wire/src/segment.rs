//! Cuts a segment into the wire's packets, where the device it leaves by does not.

use crate::checksum::{finish_partial, fold, pseudo_header, sum};
use crate::locate::{Headers, headers};
use crate::numbers::ipproto;
use crate::packet::{Checksum, GsoType, Packet};

/// Why a segment cannot be cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SegmentError {
    /// It is no segment.
    NotGso,
    /// Its headers are not those that its type names.
    Headers,
}

/// Cuts one segment, piece by piece, without allocating.
pub struct Segmenter<'a> {
    packet: &'a Packet,
    at: Headers,
    payload: usize,
    next: usize,
    index: u16,
    partial: bool,
}

impl<'a> Segmenter<'a> {
    /// Prepares to cut `packet`.
    ///
    /// # Errors
    /// If it is no segment, or its headers are not those that its type names.
    pub fn new(packet: &'a Packet) -> Result<Self, SegmentError> {
        let at = headers(packet.data()).filter(|at| !at.fragment).ok_or(SegmentError::Headers)?;
        let fits = match packet.offload.gso {
            GsoType::None => return Err(SegmentError::NotGso),
            GsoType::TcpV4 => at.proto == ipproto::TCP && !at.v6,
            GsoType::TcpV6 => at.proto == ipproto::TCP && at.v6,
            GsoType::UdpL4 => at.proto == ipproto::UDP,
        };
        let payload = at.payload(packet.data()).filter(|_| fits && packet.offload.gso_size != 0);
        let payload = payload.ok_or(SegmentError::Headers)?;
        Ok(Self { packet, at, payload, next: payload, index: 0, partial: false })
    }

    /// Leaves the pieces' checksums partial, for a device that completes them.
    pub fn partial(mut self) -> Self {
        self.partial = true;
        self
    }

    /// Writes the next piece, with complete lengths and checksums; false when there is none, or it does not fit.
    pub fn next_into(&mut self, piece: &mut Packet) -> bool {
        let data = self.packet.data();
        if self.next >= data.len() {
            return false;
        }
        let end = data.len().min(self.next + usize::from(self.packet.offload.gso_size));
        let Some(room) = piece.receive_room().get_mut(..self.payload + end - self.next) else { return false };
        room[..self.payload].copy_from_slice(&data[..self.payload]);
        room[self.payload..].copy_from_slice(&data[self.next..end]);
        self.network(room);
        self.transport(room, end == data.len());
        let length = room.len();
        piece.received(length);
        let offset = if self.at.proto == ipproto::TCP { 16 } else { 6 };
        piece.offload.checksum = Checksum::Partial { start: self.at.l4 as u16, offset };
        if !self.partial {
            finish_partial(piece);
        }
        self.next = end;
        self.index = self.index.wrapping_add(1);
        true
    }

    fn network(&self, piece: &mut [u8]) {
        let (l3, length) = (self.at.l3, piece.len() - self.at.l3);
        if self.at.v6 {
            piece[l3 + 4..l3 + 6].copy_from_slice(&((length - 40) as u16).to_be_bytes());
            return;
        }
        piece[l3 + 2..l3 + 4].copy_from_slice(&(length as u16).to_be_bytes());
        let id = u16::from_be_bytes([piece[l3 + 4], piece[l3 + 5]]).wrapping_add(self.index);
        piece[l3 + 4..l3 + 6].copy_from_slice(&id.to_be_bytes());
        piece[l3 + 10..l3 + 12].fill(0);
        let checksum = !sum(&piece[l3..self.at.l4]);
        piece[l3 + 10..l3 + 12].copy_from_slice(&checksum.to_be_bytes());
    }

    fn transport(&self, piece: &mut [u8], last: bool) {
        let l4 = self.at.l4;
        let length = piece.len() - l4;
        let field = if self.at.proto == ipproto::TCP {
            let first: [u8; 4] = [piece[l4 + 4], piece[l4 + 5], piece[l4 + 6], piece[l4 + 7]];
            let sequence = u32::from_be_bytes(first).wrapping_add((self.next - self.payload) as u32);
            piece[l4 + 4..l4 + 8].copy_from_slice(&sequence.to_be_bytes());
            if !last {
                piece[l4 + 13] &= !(FIN | PSH);
            }
            if self.index != 0 {
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
