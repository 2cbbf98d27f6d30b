//! The lines of a datapath: what takes time or loses packets on the way between a port and the device behind it, or
//! between the ports of two bridges. A timing wheel says which of them has packets to let go.

use heddle_link::{Line, LineStatistics, Profile, Wheel};
use heddle_netdev::PacketPool;
use heddle_wire::Packet;

/// Which of a port's lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Way {
    /// What leaves by the port: it comes to the port's device or, where there is none, in by the same number.
    Out,
    /// What the port's device has received.
    In,
}

/// Where on a line packets are watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// Where they are put on it.
    Start,
    /// Where they leave it.
    End,
}

/// Sees each packet that passes a point of a line; false once it wants to see no more.
pub type Watcher = Box<dyn FnMut(&Packet) -> bool + Send>;

/// A line's place: that of its port and way.
pub(crate) fn place(port: u32, way: Way) -> u32 {
    2 * port + u32::from(way == Way::In)
}

/// The port and the way of a line.
pub(crate) fn port_of(place: u32) -> (u32, Way) {
    (place / 2, if place.is_multiple_of(2) { Way::Out } else { Way::In })
}

struct Slot {
    line: Line,
    /// When the wheel was told to wake for it.
    scheduled: Option<u64>,
    watchers: Vec<(u64, Point, Watcher)>,
}

impl Slot {
    #[cold]
    fn show(&mut self, at: Point, packets: &[Packet]) {
        self.watchers.retain_mut(|(_, point, watcher)| *point != at || packets.iter().all(watcher));
    }
}

/// All lines of one poll thread.
#[derive(Default)]
pub(crate) struct Lines {
    slots: Vec<Option<Box<Slot>>>,
    count: usize,
    wheel: Wheel,
    /// The time, in nanoseconds of the datapath's clock.
    pub now_ns: u64,
}

impl Lines {
    /// Whether there is none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Makes a line be as `profile` says, from now on. One that is new draws its dice with `seed`; one that is there keeps
    /// its dice, and what is under way its times.
    pub fn set(&mut self, place: u32, profile: &Profile, seed: u64) {
        let index = place as usize;
        if self.slots.len() <= index {
            self.slots.resize_with(index + 1, || None);
        }
        if let Some(slot) = &mut self.slots[index] {
            slot.line.set_profile(profile.clone(), self.now_ns);
        } else {
            let line = Line::new(profile.clone(), seed);
            self.slots[index] = Some(Box::new(Slot { line, scheduled: None, watchers: Vec::new() }));
            self.count += 1;
        }
        self.schedule(place);
    }

    /// Takes a line away, with what is on it.
    pub fn remove(&mut self, place: u32, pool: &mut PacketPool) {
        let slot = self.slots.get_mut(place as usize).and_then(Option::take);
        if let Some(mut slot) = slot {
            slot.line.clear(pool);
            self.wheel.cancel(place);
            self.count -= 1;
        }
    }

    /// Forgets what is on a line.
    pub fn clear(&mut self, place: u32, pool: &mut PacketPool) {
        if let Some(Some(slot)) = self.slots.get_mut(place as usize) {
            slot.line.clear(pool);
            slot.scheduled = None;
            self.wheel.cancel(place);
        }
    }

    /// Whether a line is there.
    #[inline]
    pub fn has(&self, place: u32) -> bool {
        self.slots.get(place as usize).is_some_and(Option::is_some)
    }

    /// What has happened on a line.
    pub fn statistics(&self, place: u32) -> Option<LineStatistics> {
        let slot = self.slots.get(place as usize)?.as_ref()?;
        Some(*slot.line.statistics())
    }

    /// Has packets that pass a point of a line be seen, until that is ended by the same number; false if there is no line.
    pub fn watch(&mut self, place: u32, id: u64, at: Point, watcher: Watcher) -> bool {
        match self.slots.get_mut(place as usize) {
            Some(Some(slot)) => {
                slot.watchers.push((id, at, watcher));
                true
            }
            _ => false,
        }
    }

    /// Ends what was begun by [`Self::watch`] with this number, on all lines.
    pub fn unwatch(&mut self, id: u64) {
        for slot in self.slots.iter_mut().flatten() {
            slot.watchers.retain(|(known, ..)| *known != id);
        }
    }

    /// Gives packets to a line. Leaves `batch` empty.
    pub fn offer(&mut self, place: u32, batch: &mut Vec<Packet>, pool: &mut PacketPool) {
        match self.slots.get_mut(place as usize) {
            Some(Some(slot)) => {
                if !slot.watchers.is_empty() {
                    slot.show(Point::Start, batch);
                }
                for packet in batch.drain(..) {
                    slot.line.offer(packet, self.now_ns, pool);
                }
                self.schedule(place);
            }
            _ => batch.drain(..).for_each(|packet| pool.give(packet)),
        }
    }

    /// Notes the lines that have packets to let go.
    pub fn expired(&mut self, out: &mut Vec<u32>) {
        self.wheel.expired(self.now_ns, out);
        for place in out {
            if let Some(Some(slot)) = self.slots.get_mut(*place as usize) {
                slot.scheduled = None;
            }
        }
    }

    /// Takes up to `max` packets that are due from a line.
    pub fn take_due(
        &mut self,
        place: u32,
        pool: &mut PacketPool,
        out: &mut Vec<Packet>,
        max: usize,
    ) -> usize {
        match self.slots.get_mut(place as usize) {
            Some(Some(slot)) => {
                let first = out.len();
                let taken = slot.line.take_due(self.now_ns, pool, out, max);
                if !slot.watchers.is_empty() {
                    slot.show(Point::End, &out[first..]);
                }
                taken
            }
            _ => 0,
        }
    }

    /// Has the wheel wake for what is next on a line.
    pub fn schedule(&mut self, place: u32) {
        let Some(Some(slot)) = self.slots.get_mut(place as usize) else { return };
        let due = slot.line.next_due();
        if slot.scheduled == due {
            return;
        }
        slot.scheduled = due;
        match due {
            Some(at_ns) => self.wheel.schedule(place, at_ns),
            None => self.wheel.cancel(place),
        }
    }

    /// When the next packet is due, at the earliest.
    #[inline]
    pub fn next_due(&self) -> Option<u64> {
        if self.count == 0 { None } else { self.wheel.next() }
    }
}
