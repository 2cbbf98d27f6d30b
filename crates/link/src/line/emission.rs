//! What leaves a line: runs of wire packets, with what happened to them.

use heddle_wire::checksum::{finish_partial, update16};
use heddle_wire::locate::network;
use heddle_wire::segment::{Segmenter, keep_from};
use heddle_wire::{Checksum, Packet, PacketPool};

use super::{CORRUPT, Flight, LANES, Line, MARKED};
use crate::dice::Throw;

/// Consecutive wire packets of a segment that leave together.
struct Run {
    segment: u32,
    first: u16,
    count: u16,
    fate: u8,
}

impl Line {
    /// Appends to `out` what is due by `now_ns`, in the order of due times, at most `max` packets; returns how many. Consecutive
    /// wire packets of a segment are one packet again. What finds the pool empty stays, and counts as late once it leaves.
    pub fn take_due(
        &mut self,
        now_ns: u64,
        pool: &mut PacketPool,
        out: &mut Vec<Packet>,
        max: usize,
    ) -> usize {
        self.advance(now_ns);
        let mut taken = 0;
        while taken < max && pool.available() != 0 {
            let Some((lane, bound)) = self.earliest(now_ns) else { break };
            let Some(run) = self.take_run(lane, bound, now_ns) else { break };
            if let Some(packet) = self.emit(&run, pool) {
                out.push(packet);
                taken += 1;
            }
        }
        self.store.settle(pool);
        if self.is_empty() {
            self.shrink();
        }
        taken
    }

    /// The lane of the packet that is due first, if it is by `now`, and until when that lane's packets come before all others.
    #[inline]
    fn earliest(&self, now: u64) -> Option<(usize, u64)> {
        let fronts: [Option<u64>; LANES] = std::array::from_fn(|lane| Some(self.lanes[lane].front()?.due));
        let due = |lane: &usize| fronts[*lane].unwrap_or(u64::MAX);
        let lane = (0..LANES).filter(|&lane| fronts[lane].is_some()).min_by_key(due)?;
        let others = (0..LANES).filter(|&other| other != lane).map(|other| due(&other)).min();
        (due(&lane) <= now).then_some((lane, now.min(others.unwrap_or(u64::MAX))))
    }

    /// Takes the wire packets off a lane that leave as one packet, and counts them.
    #[inline]
    fn take_run(&mut self, lane: usize, bound: u64, now: u64) -> Option<Run> {
        let lane = &mut self.lanes[lane];
        let Flight { segment: number, piece, fate, .. } = *lane.front()?;
        let segment = &self.segments[number.wrapping_sub(self.first_segment) as usize];
        let mut run = Run { segment: number, first: piece, count: 0, fate };
        while let Some(&next) = lane.front() {
            let joins = next.segment == number
                && next.piece == run.first + run.count
                && next.fate == fate
                && (fate & CORRUPT == 0 || run.count == 0);
            if !joins || next.due > bound {
                break;
            }
            let bytes = segment.bytes(next.piece);
            self.statistics.delivered.add(bytes);
            self.statistics.backlog.take(bytes);
            self.statistics.lateness.add(now.saturating_sub(next.due));
            lane.pop_front();
            run.count += 1;
        }
        Some(run)
    }

    /// The packet that a run is. `None` if no buffer can hold it, which a pool's buffers can.
    fn emit(&mut self, run: &Run, pool: &mut PacketPool) -> Option<Packet> {
        let index = run.segment.wrapping_sub(self.first_segment) as usize;
        let segment = &self.segments[index];
        let (class, number) = (segment.class, segment.number + u64::from(run.first));
        // The last run of a segment that was kept as it is takes its packet along.
        let last = run.first + run.count == segment.pieces && segment.left == u32::from(run.count);
        let kept = if last { self.store.take(segment.place) } else { None };
        let packet = match kept {
            Some(mut packet) => {
                self.segments[index].left = 0;
                self.retire();
                let cut = run.first == 0 || keep_from(&mut packet, run.first.into()).is_ok();
                debug_assert!(cut, "the segment was found to be one when it was offered");
                Some(packet)
            }
            None => {
                let packet = self.copy(run, pool);
                self.forget(run.segment, u32::from(run.count));
                packet
            }
        };
        let mut packet = packet?;
        if run.fate & MARKED != 0 {
            mark(packet.data_mut());
        }
        if run.fate & CORRUPT != 0 {
            corrupt(&mut packet, self.dice.throw(class, Throw::Bit, number));
        }
        Some(packet)
    }

    /// A copy of a run.
    fn copy(&self, run: &Run, pool: &mut PacketPool) -> Option<Packet> {
        let segment = &self.segments[run.segment.wrapping_sub(self.first_segment) as usize];
        let data = self.store.data(segment.place);
        let mut packet = pool.take()?;
        let fits = if run.count == segment.pieces {
            let fits = packet.fill(data);
            packet.offload = segment.offload;
            fits
        } else {
            let segmenter = Segmenter::of(data, segment.offload);
            segmenter.is_ok_and(|it| it.run_into(run.first.into(), run.count.into(), &mut packet))
        };
        if !fits {
            pool.give(packet);
            return None;
        }
        packet.queue = segment.queue;
        Some(packet)
    }
}

/// Whether a frame's IP header says that its sender understands marks (RFC 3168 section 5).
pub(super) fn is_markable(frame: &[u8]) -> bool {
    match network(frame) {
        Some((l3, false)) => frame.get(l3 + 1).is_some_and(|tos| tos & 3 != 0) && frame.len() >= l3 + 20,
        Some((l3, true)) => frame.get(l3 + 1).is_some_and(|class| class >> 4 & 3 != 0),
        None => false,
    }
}

/// Says that congestion was experienced.
fn mark(frame: &mut [u8]) {
    match network(frame) {
        Some((l3, false)) => {
            let Some(header) = frame.get_mut(l3..l3 + 20) else { return };
            let old = u16::from_be_bytes([header[0], header[1]]);
            header[1] |= 3;
            let checksum = u16::from_be_bytes([header[10], header[11]]);
            let checksum = update16(checksum, old, u16::from_be_bytes([header[0], header[1]]));
            header[10..12].copy_from_slice(&checksum.to_be_bytes());
        }
        Some((l3, true)) => {
            if let Some(class) = frame.get_mut(l3 + 1) {
                *class |= 0x30;
            }
        }
        None => {}
    }
}

/// Flips a bit behind the Ethernet header, so that the receiver gets what it must refuse.
fn corrupt(packet: &mut Packet, throw: u64) {
    finish_partial(packet);
    packet.offload.checksum = Checksum::Unverified;
    let frame = packet.data_mut();
    let from = network(frame).map_or(14, |(l3, _)| l3).min(frame.len());
    let bits = (frame.len() - from) as u128 * 8;
    let bit = ((bits * u128::from(throw)) >> 64) as usize;
    if let Some(byte) = frame.get_mut(from + bit / 8) {
        *byte ^= 1 << (bit % 8);
    }
}
