//! One direction of a link.
//!
//! ```text
//!  offer ─▶ waiting: one record a wire packet ─▶ begin ─▶ lanes: one record a wire packet, with its due time ─▶ take_due
//!                    └──────────── segment: what was offered, its bytes once ────────────┘
//! ```
//!
//! The server is not woken: whoever looks at the line has it begin all transmissions that should have begun by then, each at
//! its own virtual time. That is where CoDel decides, as it should, and a change of the profile meets all that has not begun.
//! A record takes 8 bytes while waiting and 16 under way, and a segment, or a packet that is none, 56 and its bytes: 200,000
//! packets of 64 bytes, 100 ms at 1 Gbit/s, take 27 MiB.

mod emission;

use std::collections::VecDeque;

use heddle_wire::segment::Segmenter;
use heddle_wire::{GsoType, Offload, Packet, PacketPool};

use crate::class::{CLASSES, Class, class};
use crate::dice::{Dice, Fates, Throw, nanos};
use crate::discipline::{Keeper, Length, Red, Verdict};
use crate::profile::Profile;
use crate::server::Server;
use crate::statistics::LineStatistics;
use crate::store::{Place, Store};

/// Most wire packets in a line, waiting or under way.
pub const MAX_UNDER_WAY: u64 = 1_000_000;

/// Records that an empty line has room for at most. Emptying a longer line allocates again, which so many packets pay for.
const KEPT_RECORDS: usize = 1024;

/// One direction of a link: packets in, packets out when they are due.
///
/// Its memory is bounded: at most [`MAX_UNDER_WAY`] wire packets, whose bytes lie in buffers of the packet pool that every call is
/// given (the same one), of which lines leave a quarter to others, and 4 KiB of its own. What finds no room is dropped and
/// counted as `no_buffer`. A line that is dropped with packets in it keeps their buffers from the pool: clear it before.
///
/// Times are nanoseconds of any clock that does not go back.
///
/// ```
/// use heddle_link::Line;
/// use heddle_wire::{Packet, PacketPool};
///
/// let (mut pool, mut out) = (PacketPool::new(64), Vec::new());
/// let mut line = Line::new("rate=1mbit delay=10ms".parse()?, 7);
/// let mut packet = pool.take().expect("a new pool has buffers");
/// packet.fill(&[0; 125]); // 1,000 bits: a millisecond
/// line.offer(packet, 0, &mut pool);
/// assert_eq!(line.next_due(), Some(11_000_000));
/// assert_eq!(line.take_due(10_999_999, &mut pool, &mut out, 32), 0);
/// assert_eq!(line.take_due(11_000_000, &mut pool, &mut out, 32), 1);
/// # Ok::<(), heddle_link::ProfileError>(())
/// ```
pub struct Line {
    profile: Profile,
    fates: Fates,
    dice: Dice,
    delay: u64,
    /// Most packets and bytes that wait.
    limits: (u32, u64),
    keeper: Keeper,
    server: Server,
    /// Wire packets seen, by class.
    numbers: [u64; CLASSES],
    /// Whether the line is bad, by class: the state of bursts.
    bad: [bool; CLASSES],
    store: Store,
    segments: VecDeque<Segment>,
    /// Number of the first segment.
    first_segment: u32,
    waiting: VecDeque<Waiting>,
    /// How many of `waiting` will overtake.
    overtakers: usize,
    lanes: [VecDeque<Flight>; LANES],
    /// The lane of the wire packet whose transmission began last, if it was not lost.
    sending: Option<(usize, u32, u16)>,
    statistics: LineStatistics,
}

/// What is under way since before the delay was shortened: it keeps its times, and newer packets need not wait for it.
const OLDER: usize = 0;
/// What is under way in order.
const MAIN: usize = 1;
/// What skipped the delay.
const OVERTAKING: usize = 2;
const LANES: usize = 3;

/// What was offered, as long as any of its wire packets is in the line.
struct Segment {
    place: Place,
    offload: Offload,
    queue: u32,
    arrived: u64,
    /// Number of its first wire packet within its class.
    number: u64,
    class: Class,
    /// Bytes that every wire packet repeats; zero if there is one only.
    header: u16,
    pieces: u16,
    /// Records that refer to it.
    left: u32,
    /// Whether its packets can be marked (ECN).
    markable: bool,
}

impl Segment {
    /// Length of a wire packet.
    #[inline]
    fn bytes(&self, piece: u16) -> u64 {
        let (header, size) = (u64::from(self.header), u64::from(self.offload.gso_size));
        if self.pieces == 1 {
            return self.place.len();
        }
        header + size.min(self.place.len() - header - u64::from(piece) * size)
    }
}

/// A wire packet that waits for the rate.
#[derive(Clone, Copy)]
struct Waiting {
    segment: u32,
    piece: u16,
    fate: u8,
}

/// A wire packet under way.
#[derive(Clone, Copy)]
struct Flight {
    due: u64,
    segment: u32,
    piece: u16,
    fate: u8,
}

// What the module's text says of memory.
const _: () = {
    assert!(size_of::<Waiting>() == 8 && size_of::<Flight>() == 16 && size_of::<Segment>() <= 56);
};

/// It is lost once it was sent.
const LOST: u8 = 1;
/// It overtakes others.
const OVERTAKES: u8 = 2;
/// It is marked (ECN).
const MARKED: u8 = 4;
/// One of its bits is flipped.
const CORRUPT: u8 = 8;

impl Line {
    /// An empty line. `profile` is to be valid; what is out of bounds has no effect.
    pub fn new(profile: Profile, seed: u64) -> Self {
        let mut server = Server::default();
        server.set_rate(profile.rate, 0);
        Self {
            fates: Fates::new(&profile),
            dice: Dice::new(seed),
            delay: nanos(profile.delay),
            limits: profile.queue.limits(),
            keeper: Keeper::new(profile.queue.discipline),
            server,
            numbers: [0; CLASSES],
            bad: [false; CLASSES],
            store: Store::default(),
            segments: VecDeque::new(),
            first_segment: 0,
            waiting: VecDeque::new(),
            overtakers: 0,
            lanes: std::array::from_fn(|_| VecDeque::new()),
            sending: None,
            statistics: LineStatistics::default(),
            profile,
        }
    }

    /// Changes the profile from `now_ns` on. What is under way keeps its times; what waits is sent at the new rate, and so is
    /// the rest of the packet being sent. The numbers of packets go on. Where the delay becomes shorter, newer packets overtake
    /// those under way, unless it became shorter already while these were.
    pub fn set_profile(&mut self, profile: Profile, now_ns: u64) {
        self.advance(now_ns);
        let moved = self.server.set_rate(profile.rate, now_ns);
        self.move_sending(moved);
        let delay = nanos(profile.delay);
        if delay < self.delay && self.lanes[OLDER].is_empty() {
            self.lanes.swap(OLDER, MAIN);
            if let Some((lane, ..)) = self.sending.as_mut().filter(|(lane, ..)| *lane == MAIN) {
                *lane = OLDER;
            }
        }
        self.delay = delay;
        if profile.queue.discipline != self.profile.queue.discipline {
            self.keeper = Keeper::new(profile.queue.discipline);
        }
        self.limits = profile.queue.limits();
        self.fates = Fates::new(&profile);
        self.profile = profile;
        self.advance(now_ns);
    }

    /// Moves the due time of the packet being sent, and of its copy.
    fn move_sending(&mut self, moved: i64) {
        let Some((lane, segment, piece)) = self.sending else { return };
        let lane = &mut self.lanes[lane];
        let count =
            lane.iter().rev().take(2).take_while(|it| (it.segment, it.piece) == (segment, piece)).count();
        let first = lane.len() - count;
        let least = if first == 0 { 0 } else { lane[first - 1].due };
        for flight in lane.range_mut(first..) {
            flight.due = flight.due.saturating_add_signed(moved).max(least);
        }
    }

    /// What the line does.
    pub fn profile(&self) -> &Profile {
        &self.profile
    }

    /// What it counted.
    pub fn statistics(&self) -> &LineStatistics {
        &self.statistics
    }

    /// Whether nothing is in the line.
    pub fn is_empty(&self) -> bool {
        self.statistics.backlog.packets == 0
    }

    /// Takes a packet in, or a segment, each of whose wire packets has its own fate.
    pub fn offer(&mut self, mut packet: Packet, now_ns: u64, pool: &mut PacketPool) {
        self.advance(now_ns);
        let Some((header, pieces)) = shape(&mut packet) else {
            self.statistics.offered.add(packet.len() as u64);
            self.statistics.no_buffer.add(packet.len() as u64);
            return pool.give(packet);
        };
        let fits = self.statistics.backlog.packets + u64::from(pieces) <= MAX_UNDER_WAY;
        let room = fits && self.store.reserve(packet.len(), pool);
        let class = class(&packet);
        let segment = Segment {
            place: Place::unknown(packet.len()),
            offload: packet.offload,
            queue: packet.queue,
            arrived: now_ns,
            number: self.numbers[class as usize],
            class,
            header,
            pieces,
            // This call's own, until it is known whether anything of it stays.
            left: 1,
            markable: self.profile.queue.ecn && emission::is_markable(packet.data()),
        };
        self.segments.push_back(segment);
        for piece in 0..pieces {
            self.admit(piece, room, now_ns);
        }
        self.numbers[class as usize] += u64::from(pieces);
        match self.segments.back_mut() {
            Some(segment) if segment.left > 1 => {
                segment.left -= 1;
                segment.place = self.store.keep(packet, pool);
            }
            _ => {
                self.segments.pop_back();
                pool.give(packet);
            }
        }
        self.store.settle(pool);
    }

    /// Decides on a wire packet of the newest segment, and has it wait or begin.
    fn admit(&mut self, piece: u16, room: bool, now: u64) {
        let Some(segment) = self.segments.back_mut() else { return };
        let (class, number, bytes) = (segment.class, segment.number + u64::from(piece), segment.bytes(piece));
        self.statistics.offered.add(bytes);
        let mut fate = 0;
        // The dice are thrown for every packet, so that a burst's state does not depend on what found no room.
        if self.fates.loses(&self.dice, class, number, &mut self.bad[class as usize]) {
            fate |= LOST;
        }
        if !room {
            return self.statistics.no_buffer.add(bytes);
        }
        let idle = self.waiting.is_empty() && self.server.free_at() <= now;
        if self.server.is_limited() {
            let markable = segment.markable;
            match self.early(class, number, markable, now) {
                Verdict::Pass => {}
                Verdict::Mark => fate |= MARKED,
                Verdict::Drop => return self.statistics.early_dropped.add(bytes),
            }
            let full = self.waiting.len() >= self.limits.0 as usize
                || self.statistics.waiting.bytes + bytes > self.limits.1;
            if full && !idle {
                return self.statistics.queue_dropped.add(bytes);
            }
        }
        if fate & MARKED != 0 {
            self.statistics.marked.add(bytes);
        }
        if self.fates.overtakes(&self.dice, class, number) {
            fate |= OVERTAKES;
        }
        let newest = self.segments.len() - 1;
        self.segments[newest].left += 1;
        self.statistics.backlog.add(bytes);
        let waiting = Waiting { segment: self.first_segment.wrapping_add(newest as u32), piece, fate };
        if idle {
            return self.begin(waiting, now);
        }
        self.overtakers += usize::from(fate & OVERTAKES != 0);
        self.statistics.waiting.add(bytes);
        self.waiting.push_back(waiting);
    }

    /// What RED says of a packet that arrives.
    #[inline]
    fn early(&mut self, class: Class, number: u64, markable: bool, now: u64) -> Verdict {
        let Keeper::Red(red) = &mut self.keeper else { return Verdict::Pass };
        let small = self.server.time_of(Red::small_packet()).max(1);
        let idle = now.saturating_sub(self.server.free_at()) / small;
        let length =
            Length { packets: self.statistics.waiting.packets, bytes: self.statistics.waiting.bytes };
        red.arrival(length, idle, self.dice.throw(class, Throw::Early, number), markable)
    }

    /// Begins every transmission that should have begun by `now`.
    #[inline]
    fn advance(&mut self, now: u64) {
        while self.server.free_at() <= now
            && let Some(mut head) = self.waiting.pop_front()
        {
            let segment = &self.segments[head.segment.wrapping_sub(self.first_segment) as usize];
            let (bytes, markable) = (segment.bytes(head.piece), segment.markable);
            let start = self.server.free_at().max(segment.arrived);
            let sojourn = start - segment.arrived;
            self.statistics.waiting.take(bytes);
            self.overtakers -= usize::from(head.fate & OVERTAKES != 0);
            if let Keeper::CoDel(codel) = &mut self.keeper {
                match codel.departure(start, sojourn, bytes, self.statistics.waiting.bytes, markable) {
                    Verdict::Pass => {}
                    Verdict::Mark => {
                        head.fate |= MARKED;
                        self.statistics.marked.add(bytes);
                    }
                    Verdict::Drop => {
                        self.statistics.early_dropped.add(bytes);
                        self.statistics.backlog.take(bytes);
                        self.forget(head.segment, 1);
                        continue;
                    }
                }
            }
            self.begin(head, start);
        }
    }

    /// Sends a wire packet from `start` on.
    fn begin(&mut self, head: Waiting, start: u64) {
        let index = head.segment.wrapping_sub(self.first_segment) as usize;
        let segment = &mut self.segments[index];
        let (class, number) = (segment.class, segment.number + u64::from(head.piece));
        let bytes = segment.bytes(head.piece);
        let end = self.server.send(start, bytes);
        if head.fate & LOST != 0 {
            self.statistics.lost.add(bytes);
            self.statistics.backlog.take(bytes);
            self.sending = None;
            return self.forget(head.segment, 1);
        }
        let (lane, due) = if head.fate & OVERTAKES != 0 {
            let overtakes = self.lanes[MAIN].back().is_some_and(|last| last.due > end);
            if overtakes {
                self.statistics.reordered.add(bytes);
            }
            (OVERTAKING, end)
        } else {
            let varied = self.delay.saturating_add_signed(self.fates.jitter(&self.dice, class, number));
            (MAIN, end.saturating_add(varied))
        };
        let due = self.lanes[lane].back().map_or(due, |last| due.max(last.due));
        let mut fate = head.fate & MARKED;
        let copied = self.fates.doubles(&self.dice, class, number);
        if copied {
            segment.left += 1;
            self.statistics.duplicated.add(bytes);
            self.statistics.backlog.add(bytes);
        }
        if self.fates.corrupts(&self.dice, class, number) {
            self.statistics.corrupted.add(bytes);
            fate |= CORRUPT;
        }
        let flight = Flight { due, segment: head.segment, piece: head.piece, fate };
        self.lanes[lane].push_back(flight);
        if copied {
            self.lanes[lane].push_back(Flight { fate: fate & MARKED, ..flight });
        }
        self.sending = Some((lane, head.segment, head.piece));
    }

    /// Drops `count` references to a segment, and what nobody refers to any more.
    #[inline]
    fn forget(&mut self, number: u32, count: u32) {
        let segment = &mut self.segments[number.wrapping_sub(self.first_segment) as usize];
        segment.left -= count;
        if segment.left != 0 {
            return;
        }
        self.store.release(segment.place);
        self.retire();
    }

    /// Takes out the oldest segments that nobody refers to.
    #[inline]
    fn retire(&mut self) {
        while self.segments.front().is_some_and(|segment| segment.left == 0) {
            self.segments.pop_front();
            self.first_segment = self.first_segment.wrapping_add(1);
        }
    }

    /// Gives back what a burst has made the records of an empty line grow to.
    #[inline]
    fn shrink(&mut self) {
        if self.waiting.capacity() > KEPT_RECORDS {
            self.waiting.shrink_to(KEPT_RECORDS);
        }
        if self.segments.capacity() > KEPT_RECORDS {
            self.segments.shrink_to(KEPT_RECORDS);
        }
        for lane in self.lanes.iter_mut().filter(|lane| lane.capacity() > KEPT_RECORDS) {
            lane.shrink_to(KEPT_RECORDS);
        }
    }

    /// When [`Line::take_due`] may next have something, in nanoseconds: never later than it has, and earlier only where packets
    /// wait that are lost or overtake. `None` if the line is empty.
    pub fn next_due(&self) -> Option<u64> {
        let due = self.lanes.iter().filter_map(|lane| Some(lane.front()?.due)).min();
        if self.waiting.is_empty() || (!self.lanes[MAIN].is_empty() && self.overtakers == 0) {
            return due;
        }
        let least = match self.overtakers {
            0 => self.delay.saturating_add_signed(self.fates.least_jitter()),
            _ => 0,
        };
        let begun = self.server.free_at().saturating_add(least);
        Some(due.map_or(begun, |due| due.min(begun)))
    }

    /// Forgets everything in the line, as when the cable is pulled. Numbers and counters go on.
    pub fn clear(&mut self, pool: &mut PacketPool) {
        self.statistics.cleared.packets += self.statistics.backlog.packets;
        self.statistics.cleared.bytes += self.statistics.backlog.bytes;
        self.statistics.backlog = Default::default();
        self.statistics.waiting = Default::default();
        self.waiting.clear();
        self.overtakers = 0;
        self.lanes.iter_mut().for_each(VecDeque::clear);
        self.sending = None;
        self.segments.clear();
        self.store.clear(pool);
        self.server = Server::default();
        self.server.set_rate(self.profile.rate, 0);
        self.keeper = Keeper::new(self.profile.queue.discipline);
        self.shrink();
    }
}

/// Bytes that every wire packet repeats, and how many there are; `None` if the packet claims to be a segment that it is not.
fn shape(packet: &mut Packet) -> Option<(u16, u16)> {
    if packet.offload.gso == GsoType::None {
        return Some((0, 1));
    }
    let segmenter = Segmenter::new(packet).ok()?;
    let (header, pieces) = (segmenter.header_len(), segmenter.pieces());
    if pieces <= 1 {
        packet.offload = Offload { checksum: packet.offload.checksum, ..Offload::default() };
        return Some((0, 1));
    }
    Some((u16::try_from(header).ok()?, u16::try_from(pieces).ok()?))
}
