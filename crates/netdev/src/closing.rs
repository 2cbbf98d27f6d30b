//! Descriptors whose closing takes the kernel long: for an AF_PACKET socket it waits until every CPU has let go of it, some
//! 10 to 30 ms. Nobody else shall wait for that, and a thousand of them shall wait together.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Threads that close at the same time. They sleep in the kernel, and end when there is nothing to close.
const MAX_THREADS: usize = 64;
/// Stack of such a thread, in bytes; it calls `close` and little else.
const STACK: usize = 64 << 10;

#[derive(Default)]
struct Queue {
    waiting: Vec<OwnedFd>,
    threads: usize,
}

static QUEUE: Mutex<Queue> = Mutex::new(Queue { waiting: Vec::new(), threads: 0 });
static DONE: Condvar = Condvar::new();

fn queue() -> MutexGuard<'static, Queue> {
    QUEUE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A descriptor that is closed by another thread some time after it is dropped.
#[derive(Debug)]
pub struct ClosedLater(Option<OwnedFd>);

impl From<OwnedFd> for ClosedLater {
    fn from(fd: OwnedFd) -> Self {
        Self(Some(fd))
    }
}

impl AsFd for ClosedLater {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.0 {
            Some(fd) => fd.as_fd(),
            None => unreachable!("it is taken only when this is dropped"),
        }
    }
}

impl Drop for ClosedLater {
    fn drop(&mut self) {
        let mut queue = queue();
        queue.waiting.extend(self.0.take());
        if queue.threads < MAX_THREADS {
            queue.threads += 1;
            let thread = std::thread::Builder::new().name("closing".into()).stack_size(STACK);
            if thread.spawn(work).is_err() {
                queue.threads -= 1;
                if queue.threads == 0 {
                    // There is no thread to be had: whoever comes here waits for the kernel himself.
                    let waiting = std::mem::take(&mut queue.waiting);
                    drop(queue);
                    drop(waiting);
                }
            }
        }
    }
}

fn work() {
    loop {
        let mut queue = queue();
        let Some(fd) = queue.waiting.pop() else {
            queue.threads -= 1;
            DONE.notify_all();
            return;
        };
        drop(queue);
        drop(fd);
    }
}

/// Waits until all is closed, or for as long as that. A process that ends earlier closes the rest one by one.
pub fn wait(longest: Duration) {
    let begun = Instant::now();
    let mut queue = queue();
    while queue.threads > 0 {
        let Some(rest) = longest.checked_sub(begun.elapsed()) else { return };
        queue = DONE.wait_timeout(queue, rest).unwrap_or_else(PoisonError::into_inner).0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_are_closed_in_the_end() {
        let (here, there) = std::os::unix::net::UnixStream::pair().unwrap();
        let later = ClosedLater::from(OwnedFd::from(here));
        assert!(later.as_fd().try_clone_to_owned().is_ok(), "it is open until then");
        drop(later);
        wait(Duration::from_secs(5));
        let mut byte = [0];
        assert_eq!(std::io::Read::read(&mut &there, &mut byte).unwrap(), 0, "the other end sees it closed");
    }
}
