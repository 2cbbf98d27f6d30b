//! The poll thread: runs an [`Engine`] while there is work, and sleeps when there is none.
//!
//! Control threads speak to it by sending closures, which run between batches. That a closure has run is
//! therefore also a quiescent point: no packet is under way by what was published before.

use std::collections::VecDeque;
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, fence};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};

use crate::decision::Translator;
use crate::engine::Engine;

/// Milliseconds between two runs of the revalidator, while there is anything to revalidate.
const REVALIDATE_MS: u64 = 500;
/// Rounds over busy queues before others are asked after.
const ROUNDS: usize = 8;
/// The eventfd's place among the descriptors waited on.
const WAKE: u64 = u64::MAX;
/// The timer's place among them.
const TIMER: u64 = u64::MAX - 1;
/// Nanoseconds that are worth sleeping for what is due on a line: packets that are due within it are let go together.
const GRAIN_NS: u64 = 50_000;

/// The datapath's clock: the machine's, or one that a test moves.
#[derive(Clone)]
pub struct Clock {
    start: Instant,
    /// Milliseconds added by `warp`; with `STOPPED` set, the whole of the time.
    moved: Arc<AtomicU64>,
}

const STOPPED: u64 = 1 << 63;

impl Default for Clock {
    fn default() -> Self {
        Self { start: Instant::now(), moved: Arc::new(AtomicU64::new(0)) }
    }
}

impl Clock {
    /// Milliseconds since the clock was made.
    #[inline]
    pub fn now_ms(&self) -> u64 {
        let moved = self.moved.load(Ordering::Relaxed);
        if moved & STOPPED != 0 {
            return moved & !STOPPED;
        }
        self.start.elapsed().as_millis() as u64 + moved
    }

    /// Nanoseconds since the clock was made.
    #[inline]
    pub fn now_ns(&self) -> u64 {
        let moved = self.moved.load(Ordering::Relaxed);
        if moved & STOPPED != 0 {
            return (moved & !STOPPED).saturating_mul(1_000_000);
        }
        self.start.elapsed().as_nanos() as u64 + moved * 1_000_000
    }

    /// Stops the clock; only [`Clock::warp`] moves it from now on.
    pub fn stop(&self) {
        self.moved.store(self.now_ms() | STOPPED, Ordering::Relaxed);
    }

    /// Moves the clock forward.
    pub fn warp(&self, milliseconds: u64) {
        self.moved.fetch_add(milliseconds, Ordering::Relaxed);
    }
}

type Task<T> = Box<dyn FnOnce(&mut Context<T>) + Send>;

/// What a task sent to the poll thread may use.
pub struct Context<T> {
    /// The packet engine.
    pub engine: Engine<T>,
    /// The time by the datapath's clock.
    pub now_ms: u64,
    clock: Clock,
    epoll: Epoll,
    /// Wakes for what is due on a line.
    timer: TimerFd,
    busy: VecDeque<RawFd>,
    spin: Spin,
}

/// What others see of the poll thread.
#[derive(Default)]
struct Seen {
    /// It waits: no packet is under way, and the next one begins after this is false again.
    waits: AtomicBool,
    /// Tasks that have not run yet.
    tasks: AtomicUsize,
    /// How often it has begun anew: packets that were under way before are done.
    turns: AtomicU64,
}

/// How long a thread that works is looked at before it is asked: it is done with a batch long before.
const LOOK: Duration = Duration::from_micros(50);

/// A running poll thread. Dropping the last handle ends it.
pub struct Datapath<T> {
    tasks: mpsc::Sender<Task<T>>,
    wake: Arc<EventFd>,
    seen: Arc<Seen>,
}

impl<T> Clone for Datapath<T> {
    fn clone(&self) -> Self {
        Self { tasks: self.tasks.clone(), wake: Arc::clone(&self.wake), seen: Arc::clone(&self.seen) }
    }
}

impl<T> Drop for Datapath<T> {
    fn drop(&mut self) {
        // The thread sees its queue closed once it is awake.
        let _ = self.wake.write(1);
    }
}

impl<T: Translator> Datapath<T> {
    /// Starts a poll thread around `engine`.
    ///
    /// # Errors
    /// If the system gives no epoll descriptor, eventfd or thread.
    pub fn start(engine: Engine<T>, clock: Clock) -> std::io::Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let wake = Arc::new(EventFd::from_flags(EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC)?);
        epoll.add(&*wake, EpollEvent::new(EpollFlags::EPOLLIN, WAKE))?;
        let flags = TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC;
        let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, flags)?;
        epoll.add(&timer, EpollEvent::new(EpollFlags::EPOLLIN, TIMER))?;
        let (tasks, inbox) = mpsc::channel();
        let thread_wake = Arc::clone(&wake);
        let seen = Arc::new(Seen::default());
        let thread_seen = Arc::clone(&seen);
        let now_ms = clock.now_ms();
        let (busy, spin) = (VecDeque::new(), Spin::default());
        let context = Context { engine, now_ms, clock, epoll, timer, busy, spin };
        std::thread::Builder::new()
            .name("poll".into())
            .spawn(move || run(context, &inbox, &thread_wake, &thread_seen))?;
        Ok(Self { tasks, wake, seen })
    }

    /// Runs `task` on the poll thread, between batches, without waiting for it.
    pub fn post(&self, task: impl FnOnce(&mut Context<T>) + Send + 'static) {
        self.seen.tasks.fetch_add(1, Ordering::SeqCst);
        if self.tasks.send(Box::new(task)).is_ok() {
            let _ = self.wake.write(1);
        }
    }

    /// Waits until no packet is under way by what was published before, and every task that was sent before has run. A thread
    /// that waits for packets anyway is not woken for that: it sees what was published once it takes one.
    pub fn settle(&self) {
        // What was published stands before this, and what the thread reads after it was woken stands behind its own fence:
        // either it sees that, or this sees that it works.
        fence(Ordering::SeqCst);
        let turn = self.seen.turns.load(Ordering::SeqCst);
        let mut begun = None;
        loop {
            let waits = self.seen.waits.load(Ordering::SeqCst);
            let is_quiet = waits || self.seen.turns.load(Ordering::SeqCst) != turn;
            if is_quiet && self.seen.tasks.load(Ordering::SeqCst) == 0 {
                return;
            }
            if begun.get_or_insert_with(Instant::now).elapsed() > LOOK {
                break;
            }
            std::thread::yield_now();
        }
        self.ask(|_| ());
    }

    /// Runs `task` on the poll thread and waits for its answer; `None` if the thread is gone.
    pub fn ask<R: Send + 'static>(
        &self,
        task: impl FnOnce(&mut Context<T>) -> R + Send + 'static,
    ) -> Option<R> {
        let (answer, answered) = mpsc::sync_channel(1);
        self.post(move |context| {
            let _ = answer.send(task(context));
        });
        answered.recv().ok()
    }
}

impl<T: Translator> Context<T> {
    /// Attaches a device and waits on its queues.
    ///
    /// # Errors
    /// If the device gives no transmit queue, or the system cannot wait on it.
    pub fn add_port(
        &mut self,
        number: u32,
        netdev: &Arc<dyn heddle_netdev::Netdev>,
    ) -> Result<(), heddle_netdev::NetdevError> {
        for descriptor in self.engine.add_port(number, netdev)? {
            let event = EpollEvent::new(EpollFlags::EPOLLIN, descriptor as u64);
            wait::add(&self.epoll, descriptor, event).map_err(|error| {
                heddle_netdev::NetdevError::System {
                    device: netdev.name().to_owned(),
                    operation: "epoll_ctl",
                    source: error.into(),
                }
            })?;
        }
        Ok(())
    }

    /// Detaches a device.
    pub fn remove_port(&mut self, number: u32) {
        for descriptor in self.engine.remove_port(number) {
            self.busy.retain(|&busy| busy != descriptor);
            // A descriptor whose device has closed it is gone from the set already.
            let _ = wait::delete(&self.epoll, descriptor);
        }
    }

    /// Polls busy queues in turn; a queue that is empty is waited on again.
    fn poll_busy(&mut self) {
        for _ in 0..ROUNDS {
            for _ in 0..self.busy.len() {
                self.run_lines();
                let Some(descriptor) = self.busy.pop_front() else { return };
                if self.engine.poll_descriptor(descriptor, self.now_ms) != 0 {
                    self.busy.push_back(descriptor);
                }
            }
            if self.busy.is_empty() {
                return;
            }
        }
    }

    /// Tells the lines the time, and lets go what is due on them.
    #[inline]
    fn run_lines(&mut self) {
        if self.engine.has_lines() {
            self.engine.set_now_ns(self.clock.now_ns());
            self.engine.run_lines(self.now_ms);
        }
    }

    /// Nanoseconds until a packet on a line is due; `None` where there is none.
    fn until_due(&self) -> Option<u64> {
        self.engine.next_due().map(|due| due.saturating_sub(self.clock.now_ns()))
    }

    /// Waits until a queue has packets, a line has one to let go, a task has come, or the time is up; not at all while queues
    /// are busy.
    fn wait(&mut self, events: &mut [EpollEvent], timeout_ms: Option<u64>, wake: &EventFd) {
        let until_due = self.until_due();
        if !self.busy.is_empty() || until_due == Some(0) {
            self.look(events, EpollTimeout::ZERO, wake);
            return;
        }
        if let Some(mut end) = self.spin.begin() {
            if let Some(until_due) = until_due {
                end = end.min(Instant::now() + Duration::from_nanos(until_due));
            }
            while Instant::now() < end {
                if self.look(events, EpollTimeout::ZERO, wake) {
                    return self.spin.end(true);
                }
                // Whoever is to send the next packet may need this processor for it.
                std::thread::yield_now();
            }
            self.spin.end(false);
        }
        if self.until_due().is_some_and(|until_due| !self.arm(until_due)) {
            return;
        }
        let timeout = timeout_ms.map_or(EpollTimeout::NONE, |timeout| {
            EpollTimeout::try_from(Duration::from_millis(timeout)).unwrap_or(EpollTimeout::ZERO)
        });
        self.look(events, timeout, wake);
    }

    /// Has the timer wake for what is due in so many nanoseconds; false if that is now, or the timer cannot be set.
    fn arm(&self, until_due: u64) -> bool {
        let sleep =
            Expiration::OneShot(TimeSpec::from_duration(Duration::from_nanos(until_due.max(GRAIN_NS))));
        until_due != 0 && self.timer.set(sleep, TimerSetTimeFlags::empty()).is_ok()
    }

    /// Asks which queues have packets; whether anything was there.
    fn look(&mut self, events: &mut [EpollEvent], timeout: EpollTimeout, wake: &EventFd) -> bool {
        let Ok(count) = self.epoll.wait(events, timeout) else { return false };
        for event in &events[..count] {
            if event.data() == WAKE {
                let _ = wake.read();
            } else if event.data() == TIMER {
                // What is due is looked for in any case.
                let _ = self.timer.wait();
            } else if !self.busy.contains(&(event.data() as RawFd)) {
                self.busy.push_back(event.data() as RawFd);
            }
        }
        count != 0
    }
}

/// How long to look for more before going to sleep.
///
/// To be woken takes several times as long as to forward a packet, most of all where the processor has gone to sleep as
/// well. So a thread that has had work looks on for a while; the while halves each time it was in vain and doubles
/// each time it was not, and now and then is tried again. A thread that has slept does not look: idle costs nothing.
#[derive(Default)]
struct Spin {
    budget: Duration,
    in_vain: u32,
}

/// The longest that a thread looks on.
const MAX_SPIN: Duration = Duration::from_micros(50);
/// The shortest that is worth it.
const MIN_SPIN: Duration = Duration::from_micros(5);
/// How many sleeps there are between two tries once looking was in vain.
const TRY_EVERY: u32 = 64;

impl Spin {
    /// Until when to look on now; `None` for not at all.
    fn begin(&mut self) -> Option<Instant> {
        if self.budget < MIN_SPIN {
            self.in_vain += 1;
            if self.in_vain < TRY_EVERY {
                return None;
            }
            (self.budget, self.in_vain) = (MAX_SPIN, 0);
        }
        Some(Instant::now() + self.budget)
    }

    /// Looking ended.
    fn end(&mut self, found: bool) {
        self.budget = if found { MAX_SPIN.min(self.budget * 2) } else { self.budget / 2 };
    }
}

fn run<T: Translator>(mut context: Context<T>, inbox: &mpsc::Receiver<Task<T>>, wake: &EventFd, seen: &Seen) {
    let mut events = [EpollEvent::empty(); 64];
    let mut revalidated = context.clock.now_ms();
    let mut cached = 0;
    loop {
        seen.turns.fetch_add(1, Ordering::SeqCst);
        fence(Ordering::SeqCst);
        context.now_ms = context.clock.now_ms();
        context.poll_busy();
        context.run_lines();
        loop {
            match inbox.try_recv() {
                Ok(task) => {
                    context.now_ms = context.clock.now_ms();
                    task(&mut context);
                    // However many tasks there are, what is due meanwhile leaves in its time.
                    context.run_lines();
                    seen.tasks.fetch_sub(1, Ordering::SeqCst);
                    cached = 1;
                }
                Err(mpsc::TryRecvError::Empty) => break,
                Err(mpsc::TryRecvError::Disconnected) => return context.engine.flush_credits(),
            }
        }
        if !context.busy.is_empty() {
            cached = 1;
        }
        if context.now_ms >= revalidated + REVALIDATE_MS && !context.engine.is_paused() {
            cached = context.engine.revalidate(context.now_ms);
            revalidated = context.now_ms;
        }
        let timeout = (cached != 0).then_some(REVALIDATE_MS);
        seen.waits.store(context.busy.is_empty(), Ordering::SeqCst);
        context.wait(&mut events, timeout, wake);
        seen.waits.store(false, Ordering::SeqCst);
        fence(Ordering::SeqCst);
        if !context.busy.is_empty() {
            cached = 1;
        }
    }
}

/// Waiting on descriptors that their queues own.
#[allow(unsafe_code)]
mod wait {
    use super::{Epoll, EpollEvent, RawFd};
    use std::os::fd::BorrowedFd;

    fn borrow(descriptor: &RawFd) -> BorrowedFd<'_> {
        // SAFETY: the descriptor was named by a receive queue that the engine holds, and queues keep theirs open
        // for as long as they live; the borrow ends with the system call it is made for.
        unsafe { BorrowedFd::borrow_raw(*descriptor) }
    }

    pub fn add(epoll: &Epoll, descriptor: RawFd, event: EpollEvent) -> nix::Result<()> {
        epoll.add(borrow(&descriptor), event)
    }

    pub fn delete(epoll: &Epoll, descriptor: RawFd) -> nix::Result<()> {
        epoll.delete(borrow(&descriptor))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looking_on_in_vain_ends_and_is_tried_again_now_and_then() {
        let mut spin = Spin::default();
        let mut looked = 0;
        for _ in 0..10 * TRY_EVERY {
            if spin.begin().is_some() {
                looked += 1;
                spin.end(false);
            }
        }
        // Some halvings to each try.
        assert!((10..=50).contains(&looked), "{looked}");
        spin.budget = MIN_SPIN;
        for _ in 0..8 {
            assert!(spin.begin().is_some());
            spin.end(true);
        }
        assert_eq!(spin.budget, MAX_SPIN);
    }
}
