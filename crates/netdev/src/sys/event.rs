//! Descriptors that wake a poll thread: an eventfd, and an epoll set around one descriptor.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};

use super::{check, own};

/// An eventfd, readable from [`Event::signal`] to [`Event::clear`].
pub struct Event(File);

impl Event {
    /// Makes one that is not readable.
    pub fn new() -> io::Result<Self> {
        // SAFETY: the call takes no memory.
        let fd = own(unsafe { libc::eventfd(0, libc::EFD_NONBLOCK | libc::EFD_CLOEXEC) })?;
        Ok(Self(File::from(fd)))
    }

    /// Makes it readable. A full counter fails the write and is readable already.
    pub fn signal(&self) {
        let _ = (&self.0).write(&1u64.to_ne_bytes());
    }

    /// Makes it not readable.
    pub fn clear(&self) {
        let _ = (&self.0).read(&mut [0; 8]);
    }

    /// The descriptor's number.
    pub fn raw(&self) -> RawFd {
        self.0.as_raw_fd()
    }

    /// Whether it is readable.
    #[cfg(test)]
    pub fn is_signalled(&self) -> bool {
        let mut poll = libc::pollfd { fd: self.raw(), events: libc::POLLIN, revents: 0 };
        // SAFETY: one live `pollfd` is passed, and its count.
        unsafe { libc::poll(&raw mut poll, 1, 0) == 1 }
    }
}

/// An epoll set of its own around one descriptor, readable while that descriptor is.
pub struct Watch(OwnedFd);

impl Watch {
    /// Watches `fd` for input.
    pub fn new(fd: BorrowedFd<'_>) -> io::Result<Self> {
        // SAFETY: the call takes no memory.
        let watch = Self(own(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?);
        let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: 0 };
        // SAFETY: the event is live for the call; both descriptors are borrowed and open.
        check(unsafe { libc::epoll_ctl(watch.raw(), libc::EPOLL_CTL_ADD, fd.as_raw_fd(), &raw mut event) })?;
        Ok(watch)
    }

    /// Stops watching: the set is never readable again.
    pub fn forget(&self, fd: BorrowedFd<'_>) {
        // SAFETY: removal takes no event; both descriptors are borrowed and open. That the descriptor is no
        // longer in the set is the only possible failure, and what is wanted.
        unsafe { libc::epoll_ctl(self.raw(), libc::EPOLL_CTL_DEL, fd.as_raw_fd(), std::ptr::null_mut()) };
    }

    /// The descriptor's number.
    pub fn raw(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}
