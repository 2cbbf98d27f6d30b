//! System calls that the standard library does not offer, each behind a safe function.
//!
//! All unsafe code of the crate is here. Functions take borrowed descriptors, copy names into structures of their
//! own, and hand the kernel only memory that outlives the call.
#![allow(unsafe_code)]

pub mod event;
pub mod interface;
pub mod packet_socket;
pub mod tun;

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// Turns a system call's answer into a result.
fn check(answer: libc::c_int) -> io::Result<libc::c_int> {
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(answer) }
}

/// Takes over a descriptor that a system call just made.
fn own(answer: libc::c_int) -> io::Result<OwnedFd> {
    let fd = check(answer)?;
    // SAFETY: the kernel has just made this descriptor and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// An `ioctl` whose argument is a pointer to an integer.
fn ioctl_int(fd: BorrowedFd<'_>, request: libc::Ioctl, mut value: libc::c_int) -> io::Result<()> {
    // SAFETY: every caller in this module passes a request that reads or writes one integer, which is live.
    check(unsafe { libc::ioctl(fd.as_raw_fd(), request, &raw mut value) }).map(drop)
}

/// An `ioctl` whose argument is an interface request.
fn ioctl_ifreq(fd: BorrowedFd<'_>, request: libc::Ioctl, value: &mut libc::ifreq) -> io::Result<()> {
    // SAFETY: every caller in this module passes a request that reads or writes one `ifreq`, which is live.
    check(unsafe { libc::ioctl(fd.as_raw_fd(), request, &raw mut *value) }).map(drop)
}

/// An interface request that names `name`.
fn ifreq(name: &str) -> io::Result<libc::ifreq> {
    // SAFETY: an `ifreq` is plain integers, for which all zeroes is a value; its pointer member may be null.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    let bytes = name.as_bytes();
    if bytes.is_empty() || bytes.len() >= request.ifr_name.len() || bytes.contains(&0) {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "an interface's name has 1 to 15 bytes, none of them zero",
        ));
    }
    for (place, &byte) in request.ifr_name.iter_mut().zip(bytes) {
        *place = byte as libc::c_char;
    }
    Ok(request)
}
