//! System calls of the sender.
#![allow(unsafe_code)]

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

fn check(answer: libc::c_int) -> io::Result<libc::c_int> {
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(answer) }
}

/// A socket that sends frames by an interface, past its queueing discipline, and receives nothing.
pub fn packet_socket(interface: &str) -> io::Result<OwnedFd> {
    let name = CString::new(interface)?;
    // SAFETY: the call reads a string that is live and ends with a zero.
    let index = unsafe { libc::if_nametoindex(name.as_ptr()) };
    if index == 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call takes no memory; the descriptor is new and nobody else's.
    let socket = unsafe {
        OwnedFd::from_raw_fd(check(libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0))?)
    };
    let on: libc::c_int = 1;
    let size = size_of_val(&on) as libc::socklen_t;
    // SAFETY: the option is an integer, which is live, and its size is passed.
    check(unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_PACKET,
            libc::PACKET_QDISC_BYPASS,
            (&raw const on).cast(),
            size,
        )
    })?;
    // SAFETY: an address is plain integers, for which all zeroes is a value.
    let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_ifindex = index as i32;
    let size = size_of_val(&address) as libc::socklen_t;
    // SAFETY: the address is live and its size is passed.
    check(unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), size) })?;
    Ok(socket)
}

/// Sends frames, as many as the kernel takes now; how many those were.
pub fn send_all<const LEN: usize, const COUNT: usize>(
    socket: BorrowedFd<'_>,
    frames: &mut [[u8; LEN]; COUNT],
) -> u64 {
    let mut parts =
        frames.each_mut().map(|frame| libc::iovec { iov_base: frame.as_mut_ptr().cast(), iov_len: LEN });
    let mut messages = parts.each_mut().map(|part| {
        // SAFETY: a message is integers and pointers, which may be zero.
        let mut message: libc::mmsghdr = unsafe { std::mem::zeroed() };
        message.msg_hdr.msg_iov = part;
        message.msg_hdr.msg_iovlen = 1;
        message
    });
    // SAFETY: the messages, their parts and the frames outlive the call, and their number is passed.
    let sent = unsafe { libc::sendmmsg(socket.as_raw_fd(), messages.as_mut_ptr(), COUNT as u32, 0) };
    u64::try_from(sent).unwrap_or(0)
}
