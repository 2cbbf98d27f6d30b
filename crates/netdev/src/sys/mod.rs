//! The system calls of the providers behind a safe API: the only module of this crate that uses `unsafe`.
//!
//! Every function takes slices and descriptors that are borrowed for the length of the call, so nothing outside
//! can hand the kernel a pointer that does not live long enough. The structures that the kernel fills in are plain
//! bytes and integers, for which every bit pattern is a value.
#![allow(unsafe_code)] // System calls on buffers; std has no recvmmsg and no interface ioctls.

pub(crate) mod packet;

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use libc::{c_int, c_short, c_void};

/// Longest interface name, without the terminating zero.
pub(crate) const NAME_MAX: usize = libc::IFNAMSIZ - 1;

fn check(result: c_int) -> io::Result<c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

fn check_size(result: isize) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| io::Error::last_os_error())
}

/// The kernel's `struct ifreq`: a name and 24 bytes that mean what the request says.
#[repr(C, align(8))]
struct InterfaceRequest {
    name: [u8; libc::IFNAMSIZ],
    value: [u8; 24],
}

impl InterfaceRequest {
    fn empty() -> Self {
        Self { name: [0; libc::IFNAMSIZ], value: [0; 24] }
    }

    fn new(name: &str) -> io::Result<Self> {
        let bytes = name.as_bytes();
        if bytes.is_empty() || bytes.len() > NAME_MAX || bytes.contains(&0) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let mut request = Self::empty();
        request.name[..bytes.len()].copy_from_slice(bytes);
        Ok(request)
    }

    fn with_flags(mut self, flags: c_short) -> Self {
        self.value[..2].copy_from_slice(&flags.to_ne_bytes());
        self
    }

    fn with_int(mut self, value: c_int) -> Self {
        self.value[..4].copy_from_slice(&value.to_ne_bytes());
        self
    }

    fn flags(&self) -> c_short {
        c_short::from_ne_bytes([self.value[0], self.value[1]])
    }

    fn int(&self) -> c_int {
        c_int::from_ne_bytes([self.value[0], self.value[1], self.value[2], self.value[3]])
    }

    fn name(&self) -> String {
        let end = self.name.iter().position(|&byte| byte == 0).unwrap_or(self.name.len());
        String::from_utf8_lossy(&self.name[..end]).into_owned()
    }

    /// Makes the request on `descriptor`.
    fn make(mut self, descriptor: BorrowedFd<'_>, request: libc::Ioctl) -> io::Result<Self> {
        // SAFETY: every request made here reads and writes one `struct ifreq`, which `self` is in size, alignment
        // and layout; it outlives the call.
        check(unsafe { libc::ioctl(descriptor.as_raw_fd(), request, &raw mut self) })?;
        Ok(self)
    }
}

/// An ioctl whose argument is a pointer to one integer.
fn ioctl_int(descriptor: BorrowedFd<'_>, request: libc::Ioctl, mut value: c_int) -> io::Result<c_int> {
    // SAFETY: the requests made here read or write exactly one `int`, which outlives the call.
    check(unsafe { libc::ioctl(descriptor.as_raw_fd(), request, &raw mut value) })?;
    Ok(value)
}

/// A counter that makes its descriptor readable.
pub(crate) struct EventFd(OwnedFd);

impl EventFd {
    pub(crate) fn new() -> io::Result<Self> {
        // SAFETY: the call takes no pointers; the descriptor it returns is ours alone.
        let descriptor = check(unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) })?;
        // SAFETY: as above, it is open and nobody else owns it.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(descriptor) }))
    }

    pub(crate) fn as_raw_fd(&self) -> c_int {
        self.0.as_raw_fd()
    }

    /// Makes the descriptor readable.
    pub(crate) fn signal(&self) {
        let one = 1_u64.to_ne_bytes();
        // SAFETY: eight bytes are read from a live array. The only failure is a counter already at its top, and
        // then the descriptor is readable, which is what is wanted.
        unsafe { libc::write(self.0.as_raw_fd(), one.as_ptr().cast::<c_void>(), one.len()) };
    }

    /// Makes the descriptor unreadable.
    pub(crate) fn drain(&self) {
        let mut count = [0_u8; 8];
        // SAFETY: eight bytes are written to a live array. The only failure is an empty counter.
        unsafe { libc::read(self.0.as_raw_fd(), count.as_mut_ptr().cast::<c_void>(), count.len()) };
    }
}

/// Reads one frame: its first bytes into `header`, the rest into `frame`; returns how many bytes there were.
#[inline]
pub(crate) fn read_frame(
    descriptor: BorrowedFd<'_>,
    header: &mut [u8],
    frame: &mut [u8],
) -> io::Result<usize> {
    let parts = [
        libc::iovec { iov_base: header.as_mut_ptr().cast(), iov_len: header.len() },
        libc::iovec { iov_base: frame.as_mut_ptr().cast(), iov_len: frame.len() },
    ];
    // SAFETY: both parts are exclusively borrowed slices that outlive the call, given with their own lengths.
    check_size(unsafe { libc::readv(descriptor.as_raw_fd(), parts.as_ptr(), 2) })
}

/// Writes one frame with the header before it; returns how many bytes were taken.
#[inline]
pub(crate) fn write_frame(descriptor: BorrowedFd<'_>, header: &[u8], frame: &[u8]) -> io::Result<usize> {
    let parts = [
        libc::iovec { iov_base: header.as_ptr().cast_mut().cast(), iov_len: header.len() },
        libc::iovec { iov_base: frame.as_ptr().cast_mut().cast(), iov_len: frame.len() },
    ];
    // SAFETY: writev only reads from the parts, which are borrowed slices that outlive the call.
    check_size(unsafe { libc::writev(descriptor.as_raw_fd(), parts.as_ptr(), 2) })
}

/// Makes reads and writes return at once.
pub(crate) fn set_nonblocking(descriptor: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: these commands take and return integers.
    let flags = check(unsafe { libc::fcntl(descriptor.as_raw_fd(), libc::F_GETFL) })?;
    // SAFETY: as above.
    check(unsafe { libc::fcntl(descriptor.as_raw_fd(), libc::F_SETFL, flags | libc::O_NONBLOCK) })?;
    Ok(())
}

/// A socket for interface requests in the calling thread's network namespace; it stays in that namespace.
pub(crate) fn control_socket() -> io::Result<OwnedFd> {
    // SAFETY: the call takes no pointers; the descriptor it returns is ours alone.
    let descriptor = check(unsafe { libc::socket(libc::AF_UNIX, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) })?;
    // SAFETY: as above, it is open and nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

/// Makes, or attaches to, the TUN/TAP device `name`; returns the name that the kernel gave it.
pub(crate) fn tun_attach(descriptor: BorrowedFd<'_>, name: &str, flags: c_int) -> io::Result<String> {
    let request = InterfaceRequest::new(name)?.with_flags(flags as c_short);
    Ok(request.make(descriptor, libc::TUNSETIFF)?.name())
}

/// The name and flags of the device behind a TUN/TAP descriptor.
pub(crate) fn tun_device(descriptor: BorrowedFd<'_>) -> io::Result<(String, c_int)> {
    let answer = InterfaceRequest::empty().make(descriptor, libc::TUNGETIFF)?;
    Ok((answer.name(), c_int::from(answer.flags()) & 0xffff))
}

/// Sets the length of the header before each frame.
pub(crate) fn tun_set_header_len(descriptor: BorrowedFd<'_>, length: usize) -> io::Result<()> {
    ioctl_int(descriptor, libc::TUNSETVNETHDRSZ, length as c_int).map(drop)
}

/// Says which work we take over from the kernel's side of the device.
pub(crate) fn tun_set_offload(descriptor: BorrowedFd<'_>, flags: libc::c_uint) -> io::Result<()> {
    let (request, flags) = (libc::TUNSETOFFLOAD, libc::c_ulong::from(flags));
    // SAFETY: this request takes its argument by value.
    check(unsafe { libc::ioctl(descriptor.as_raw_fd(), request, flags) }).map(drop)
}

/// Tells the kernel's side whether there is a carrier (Linux 5.0).
pub(crate) fn tun_set_carrier(descriptor: BorrowedFd<'_>, carrier: bool) -> io::Result<()> {
    ioctl_int(descriptor, libc::TUNSETCARRIER, c_int::from(carrier)).map(drop)
}

/// The flags of an interface (`IFF_UP`, `IFF_RUNNING`, ...).
pub(crate) fn interface_flags(socket: BorrowedFd<'_>, name: &str) -> io::Result<c_int> {
    let answer = InterfaceRequest::new(name)?.make(socket, libc::SIOCGIFFLAGS)?;
    Ok(c_int::from(answer.flags()))
}

/// Sets the flags of an interface.
pub(crate) fn set_interface_flags(socket: BorrowedFd<'_>, name: &str, flags: c_int) -> io::Result<()> {
    let request = InterfaceRequest::new(name)?.with_flags(flags as c_short);
    request.make(socket, libc::SIOCSIFFLAGS).map(drop)
}

/// Largest network-layer packet of an interface.
pub(crate) fn interface_mtu(socket: BorrowedFd<'_>, name: &str) -> io::Result<u32> {
    let answer = InterfaceRequest::new(name)?.make(socket, libc::SIOCGIFMTU)?;
    Ok(u32::try_from(answer.int()).unwrap_or(0))
}

/// Hardware type (`ARPHRD_*`) and address of an interface.
pub(crate) fn interface_address(socket: BorrowedFd<'_>, name: &str) -> io::Result<(u16, [u8; 6])> {
    let value = InterfaceRequest::new(name)?.make(socket, libc::SIOCGIFHWADDR)?.value;
    let kind = u16::from_ne_bytes([value[0], value[1]]);
    Ok((kind, [value[2], value[3], value[4], value[5], value[6], value[7]]))
}

/// The index of an interface.
pub(crate) fn interface_index(socket: BorrowedFd<'_>, name: &str) -> io::Result<c_int> {
    Ok(InterfaceRequest::new(name)?.make(socket, libc::SIOCGIFINDEX)?.int())
}

/// The present name of the interface with this index.
pub(crate) fn interface_name(socket: BorrowedFd<'_>, index: c_int) -> io::Result<String> {
    let request = InterfaceRequest::empty().with_int(index);
    Ok(request.make(socket, libc::SIOCGIFNAME)?.name())
}
