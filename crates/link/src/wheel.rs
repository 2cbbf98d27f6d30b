//! Timers by line number.
//!
//! ```text
//!  level 0:  64 slots of 1,024 ns    ┐ each level's slot is as long as the level below;
//!  level 1:  64 slots of 65.5 us     │ a timer lies on the lowest level on which it is
//!  level 2:  64 slots of 4.2 ms      │ not in the slot of the current time, so that all of
//!   ...                              ┘ a level's timers are before those of the next
//! ```
//!
//! A hierarchical timing wheel (Varghese and Lauck 1987, scheme 7). Scheduling and cancelling are a few writes; a timer moves
//! down at most once a level, whatever their number. Unlike the kernel's wheel nothing is rounded: expiry compares times, and
//! each slot knows a time that none of its timers is before, so that the caller can sleep until the very next one.

/// Bits of a time that level 0 does not tell apart.
const GRAIN: u32 = 10;
/// Bits of a slot's number within its level.
const BITS: u32 = 6;
const SLOTS: usize = 1 << BITS;
/// Levels that cover all times.
const LEVELS: usize = 9;
/// No line, or no slot.
const NONE: u32 = u32::MAX;

/// Timers of lines by their number, at most one each. Memory is by the highest number.
pub struct Wheel {
    /// By line number.
    timers: Vec<Timer>,
    /// By slot, all levels one after the other.
    slots: Vec<Slot>,
    /// Which slots of a level have timers.
    occupied: [u64; LEVELS],
    /// The time that was last asked for, in grains.
    now: u64,
}

#[derive(Clone, Copy)]
struct Timer {
    at: u64,
    /// The slot it is in, or [`NONE`].
    slot: u32,
    previous: u32,
    next: u32,
}

#[derive(Clone, Copy)]
struct Slot {
    first: u32,
    /// No timer here is before this.
    least: u64,
}

const EMPTY: Slot = Slot { first: NONE, least: u64::MAX };

impl Default for Wheel {
    fn default() -> Self {
        Self::new()
    }
}

impl Wheel {
    /// A wheel without timers.
    pub fn new() -> Self {
        Self { timers: Vec::new(), slots: vec![EMPTY; SLOTS * LEVELS], occupied: [0; LEVELS], now: 0 }
    }

    /// Sets the timer of a line to `at_ns`, in place of the one it may have. A time that has passed expires at the next call.
    pub fn schedule(&mut self, line: u32, at_ns: u64) {
        let index = line as usize;
        if index >= self.timers.len() {
            self.timers.resize(index + 1, Timer { at: 0, slot: NONE, previous: NONE, next: NONE });
        }
        let timer = self.timers[index];
        if timer.slot != NONE {
            if timer.at == at_ns {
                return;
            }
            self.unlink(line);
        }
        self.link(line, at_ns);
    }

    /// Takes back the timer of a line, if it has one.
    pub fn cancel(&mut self, line: u32) {
        if self.timers.get(line as usize).is_some_and(|timer| timer.slot != NONE) {
            self.unlink(line);
        }
    }

    /// A time before which no timer expires: the very next timer's, unless an earlier one was taken back or moved. `None` if
    /// there is no timer.
    pub fn next(&self) -> Option<u64> {
        let level = self.occupied.iter().position(|&occupied| occupied != 0)?;
        let slot = self.occupied[level].rotate_right(self.position(level)).trailing_zeros();
        let slot = (slot + self.position(level)) as usize % SLOTS;
        Some(self.slots[level * SLOTS + slot].least)
    }

    /// Appends the lines whose timers are at or before `now_ns`, in no particular order; they have none then.
    pub fn expired(&mut self, now_ns: u64, out: &mut Vec<u32>) {
        let (from, to) = (self.now, (now_ns >> GRAIN).max(self.now));
        self.now = to;
        for level in 0..LEVELS {
            let shift = BITS * level as u32;
            let passed = (to >> shift) - (from >> shift);
            // The slots from the old position to the new one, both included: timers of the current one may be due.
            let span = if passed >= SLOTS as u64 - 1 { u64::MAX } else { (2 << passed) - 1 };
            let span = span.rotate_left((from >> shift) as u32 % SLOTS as u32);
            let mut open = self.occupied[level] & span;
            while open != 0 {
                let slot = level * SLOTS + open.trailing_zeros() as usize;
                open &= open - 1;
                self.open(slot, now_ns, out);
            }
            if passed == 0 {
                break;
            }
        }
    }

    /// The current slot's number within a level.
    fn position(&self, level: usize) -> u32 {
        (self.now >> (BITS * level as u32)) as u32 % SLOTS as u32
    }

    /// Takes every timer out of a slot: those that are due expire, others find the slot that is theirs now.
    fn open(&mut self, slot: usize, now: u64, out: &mut Vec<u32>) {
        if self.slots[slot].least > now && self.is_current(slot) {
            return;
        }
        let mut line = self.slots[slot].first;
        self.slots[slot] = EMPTY;
        self.occupied[slot / SLOTS] &= !(1 << (slot % SLOTS));
        while line != NONE {
            let Timer { at, next, .. } = self.timers[line as usize];
            self.timers[line as usize].slot = NONE;
            if at <= now {
                out.push(line);
            } else {
                self.link(line, at);
            }
            line = next;
        }
    }

    /// Whether a slot is where its timers still belong: the current one of level 0.
    fn is_current(&self, slot: usize) -> bool {
        slot as u32 == self.position(0) && slot < SLOTS
    }

    fn link(&mut self, line: u32, at: u64) {
        let grain = (at >> GRAIN).max(self.now);
        // The highest bit in which it differs from now says on which level.
        let level = (u64::BITS - (grain ^ self.now).leading_zeros()).saturating_sub(1) / BITS;
        let within = (grain >> (BITS * level)) as usize % SLOTS;
        let slot = level as usize * SLOTS + within;
        let first = self.slots[slot].first;
        if first != NONE {
            self.timers[first as usize].previous = line;
        }
        self.timers[line as usize] = Timer { at, slot: slot as u32, previous: NONE, next: first };
        self.slots[slot] = Slot { first: line, least: self.slots[slot].least.min(at) };
        self.occupied[level as usize] |= 1 << within;
    }

    fn unlink(&mut self, line: u32) {
        let Timer { slot, previous, next, .. } = self.timers[line as usize];
        let slot = slot as usize;
        self.timers[line as usize].slot = NONE;
        if next != NONE {
            self.timers[next as usize].previous = previous;
        }
        match previous {
            NONE => self.slots[slot].first = next,
            previous => self.timers[previous as usize].next = next,
        }
        if self.slots[slot].first == NONE {
            self.slots[slot] = EMPTY;
            self.occupied[slot / SLOTS] &= !(1 << (slot % SLOTS));
        }
    }
}
