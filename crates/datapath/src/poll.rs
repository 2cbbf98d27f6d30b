//! The poll thread: runs an [`Engine`] while there is work, and sleeps when there is none.
//!
//! Control threads speak to it by sending closures, which run between batches. That a closure has run is
//! therefore also a quiescent point: no packet is under way by what was published before.

use std::collections::VecDeque;
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::eventfd::{EfdFlags, EventFd};

use crate::decision::Translator;
use crate::engine::Engine;

/// Milliseconds between two runs of the revalidator, while there is anything to revalidate.
const REVALIDATE_MS: u64 = 500;
/// Rounds over busy queues before others are asked after.
const ROUNDS: usize = 8;
/// The eventfd's place among the descriptors waited on.
const WAKE: u64 = u64::MAX;

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
    epoll: Epoll,
    busy: VecDeque<RawFd>,
}

/// A running poll thread. Dropping the last handle ends it.
pub struct Datapath<T> {
    tasks: mpsc::Sender<Task<T>>,
    wake: Arc<EventFd>,
}

impl<T> Clone for Datapath<T> {
    fn clone(&self) -> Self {
        Self { tasks: self.tasks.clone(), wake: Arc::clone(&self.wake) }
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
        let (tasks, inbox) = mpsc::channel();
        let thread_wake = Arc::clone(&wake);
        let context = Context { engine, now_ms: clock.now_ms(), epoll, busy: VecDeque::new() };
        std::thread::Builder::new()
            .name("poll".into())
            .spawn(move || run(context, &inbox, &thread_wake, &clock))?;
        Ok(Self { tasks, wake })
    }

    /// Runs `task` on the poll thread, between batches, without waiting for it.
    pub fn post(&self, task: impl FnOnce(&mut Context<T>) + Send + 'static) {
        if self.tasks.send(Box::new(task)).is_ok() {
            let _ = self.wake.write(1);
        }
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

    fn wait(&mut self, events: &mut [EpollEvent], timeout_ms: Option<u64>, wake: &EventFd) {
        let timeout = match timeout_ms {
            _ if !self.busy.is_empty() => EpollTimeout::ZERO,
            None => EpollTimeout::NONE,
            Some(timeout) => {
                EpollTimeout::try_from(Duration::from_millis(timeout)).unwrap_or(EpollTimeout::ZERO)
            }
        };
        let Ok(count) = self.epoll.wait(events, timeout) else { return };
        for event in &events[..count] {
            if event.data() == WAKE {
                let _ = wake.read();
            } else if !self.busy.contains(&(event.data() as RawFd)) {
                self.busy.push_back(event.data() as RawFd);
            }
        }
    }
}

fn run<T: Translator>(
    mut context: Context<T>,
    inbox: &mpsc::Receiver<Task<T>>,
    wake: &EventFd,
    clock: &Clock,
) {
    let mut events = [EpollEvent::empty(); 64];
    let mut revalidated = clock.now_ms();
    let mut cached = 0;
    loop {
        context.now_ms = clock.now_ms();
        context.poll_busy();
        loop {
            match inbox.try_recv() {
                Ok(task) => {
                    context.now_ms = clock.now_ms();
                    task(&mut context);
                    cached = 1;
                }
                Err(mpsc::TryRecvError::Empty) => break,
                Err(mpsc::TryRecvError::Disconnected) => return context.engine.flush_credits(),
            }
        }
        if !context.busy.is_empty() {
            cached = 1;
        }
        if context.now_ms >= revalidated + REVALIDATE_MS {
            cached = context.engine.revalidate(context.now_ms);
            revalidated = context.now_ms;
        }
        let timeout = (cached != 0).then_some(REVALIDATE_MS);
        context.wait(&mut events, timeout, wake);
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
