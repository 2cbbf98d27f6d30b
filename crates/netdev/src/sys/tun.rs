//! Control of TAP descriptors.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use super::{check, ifreq, ioctl_ifreq, ioctl_int};

const WANTED: libc::c_int = libc::IFF_TAP | libc::IFF_NO_PI | libc::IFF_VNET_HDR;

/// How a descriptor is attached to its interface.
pub struct Flags(libc::c_int);

impl Flags {
    /// Whether frames cross it with a virtio-net header and nothing else before them.
    pub fn is_usable(&self) -> bool {
        self.0 & (WANTED | libc::IFF_TUN) == WANTED
    }
}

/// Makes the interface `name`, or attaches to the persistent one of that name.
pub fn attach(fd: BorrowedFd<'_>, name: &str) -> io::Result<()> {
    let mut request = ifreq(name)?;
    request.ifr_ifru.ifru_flags = WANTED as libc::c_short;
    ioctl_ifreq(fd, libc::TUNSETIFF, &mut request)
}

/// How the descriptor is attached.
pub fn flags(fd: BorrowedFd<'_>) -> io::Result<Flags> {
    let mut request = ifreq("?")?;
    ioctl_ifreq(fd, libc::TUNGETIFF, &mut request)?;
    // SAFETY: the kernel has written the flags; all members of the union are plain memory.
    let flags = unsafe { request.ifr_ifru.ifru_flags };
    Ok(Flags(libc::c_int::from(flags as u16)))
}

/// Makes reads and writes return at once. This holds for every process that shares the descriptor.
pub fn set_nonblocking(fd: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: the call takes no memory.
    let flags = check(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFL) })?;
    // SAFETY: the call takes no memory.
    check(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFL, flags | libc::O_NONBLOCK) }).map(drop)
}

/// Sets the virtio-net header's size, and its byte order to little-endian.
pub fn set_header(fd: BorrowedFd<'_>, size: usize) -> io::Result<()> {
    ioctl_int(fd, libc::TUNSETVNETHDRSZ, size as libc::c_int)?;
    if cfg!(target_endian = "big") {
        ioctl_int(fd, libc::TUNSETVNETLE, 1)?;
    }
    Ok(())
}

/// Lets the interface's owner leave checksums and segmentation to us; returns whether UDP's is among it
/// (since Linux 6.2).
pub fn set_offloads(fd: BorrowedFd<'_>) -> io::Result<bool> {
    let tcp = libc::TUN_F_CSUM | libc::TUN_F_TSO4 | libc::TUN_F_TSO6 | libc::TUN_F_TSO_ECN;
    let set = |flags: libc::c_uint| {
        // SAFETY: the request takes its argument by value, as an unsigned long.
        check(unsafe { libc::ioctl(fd.as_raw_fd(), libc::TUNSETOFFLOAD, libc::c_ulong::from(flags)) })
    };
    if set(tcp | libc::TUN_F_USO4 | libc::TUN_F_USO6).is_ok() {
        return Ok(true);
    }
    set(tcp).map(|_| false)
}

/// Shows carrier, or its loss, to the interface's owner (since Linux 5.0).
pub fn set_carrier(fd: BorrowedFd<'_>, carrier: bool) -> io::Result<()> {
    ioctl_int(fd, libc::TUNSETCARRIER, libc::c_int::from(carrier))
}
