//! AF_PACKET sockets, and batches of frames through them.
//!
//! Headers, control messages and the arrays that the kernel wants live for one call only, on the stack: nothing
//! that holds a pointer outlives the call it was made for.

use std::io;
use std::mem::{offset_of, size_of, zeroed};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use heddle_wire::packet::Packet;
use libc::{c_int, c_void, socklen_t};

use super::{check, own};

/// Frames moved by one system call at most.
pub const BATCH: usize = 32;
/// The virtio-net header's length on such sockets.
pub const HEADER_LEN: usize = 10;
/// Room for one control message with the kernel's auxiliary data.
const CONTROL_LEN: usize = 64;

/// What the kernel said of one received frame.
pub struct Received {
    /// Bytes with the header, as far as there was room.
    pub length: usize,
    /// The virtio-net header.
    pub header: [u8; HEADER_LEN],
    /// The frame did not fit.
    pub truncated: bool,
    /// Ethertype and tag control information of a VLAN tag that the kernel took off the frame.
    pub vlan: Option<(u16, u16)>,
}

/// A raw socket, bound to nothing, with virtio-net headers.
pub fn open() -> io::Result<OwnedFd> {
    let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: the call takes no memory. Protocol 0 receives nothing, so that no frame of another interface is
    // queued before the socket is bound.
    let fd = own(unsafe { libc::socket(libc::AF_PACKET, kind, 0) })?;
    set_packet_option(fd.as_fd(), libc::PACKET_VNET_HDR, 1)?;
    Ok(fd)
}

/// Prepares a socket to receive: no frames that this machine sends itself (since Linux 4.20), VLAN tags told,
/// frames for other stations too.
pub fn prepare_receive(fd: BorrowedFd<'_>, index: c_int) -> io::Result<()> {
    set_packet_option(fd, libc::PACKET_IGNORE_OUTGOING, 1)?;
    set_packet_option(fd, libc::PACKET_AUXDATA, 1)?;
    let request = libc::packet_mreq {
        mr_ifindex: index,
        mr_type: libc::PACKET_MR_PROMISC as libc::c_ushort,
        mr_alen: 0,
        mr_address: [0; 8],
    };
    set_option(fd, libc::SOL_PACKET, libc::PACKET_ADD_MEMBERSHIP, &request)
}

/// Binds the socket to an interface, to receive every frame, or none.
pub fn bind(fd: BorrowedFd<'_>, index: c_int, receive: bool) -> io::Result<()> {
    // SAFETY: a socket address is plain integers, for which all zeroes is a value.
    let mut address: libc::sockaddr_ll = unsafe { zeroed() };
    address.sll_family = libc::AF_PACKET as libc::c_ushort;
    address.sll_ifindex = index;
    address.sll_protocol = if receive { (libc::ETH_P_ALL as u16).to_be() } else { 0 };
    let length = size_of::<libc::sockaddr_ll>() as socklen_t;
    // SAFETY: the address is live for the call and `length` is its size.
    check(unsafe { libc::bind(fd.as_raw_fd(), (&raw const address).cast(), length) }).map(drop)
}

/// Sizes the buffer of one direction; beyond the system's limit where we may, else up to it.
pub fn set_buffer(fd: BorrowedFd<'_>, receive: bool, bytes: c_int) {
    let (forced, plain) = if receive {
        (libc::SO_RCVBUFFORCE, libc::SO_RCVBUF)
    } else {
        (libc::SO_SNDBUFFORCE, libc::SO_SNDBUF)
    };
    if set_option(fd, libc::SOL_SOCKET, forced, &bytes).is_err() {
        // The kernel caps this one silently; a smaller buffer loses packets sooner and nothing else.
        let _ = set_option(fd, libc::SOL_SOCKET, plain, &bytes);
    }
}

/// Frames that the kernel dropped for lack of buffer since this was last asked.
pub fn take_drops(fd: BorrowedFd<'_>) -> u64 {
    let mut statistics = libc::tpacket_stats { tp_packets: 0, tp_drops: 0 };
    let mut length = size_of::<libc::tpacket_stats>() as socklen_t;
    // SAFETY: the kernel writes at most `length` bytes into the live structure of that size.
    let answer = unsafe {
        libc::getsockopt(
            fd.as_raw_fd(),
            libc::SOL_PACKET,
            libc::PACKET_STATISTICS,
            (&raw mut statistics).cast(),
            &raw mut length,
        )
    };
    if answer == 0 { u64::from(statistics.tp_drops) } else { 0 }
}

/// Receives up to [`BATCH`] frames into the rooms of `packets`; `each` is told of every one, in order. A frame's
/// own length is for the caller to set. Never blocks.
pub fn receive(
    fd: BorrowedFd<'_>,
    packets: &mut [Packet],
    mut each: impl FnMut(&mut Packet, Received),
) -> io::Result<usize> {
    let count = packets.len().min(BATCH);
    let mut headers = [[0u8; HEADER_LEN]; BATCH];
    let mut controls = [Control([0; CONTROL_LEN]); BATCH];
    let (mut parts, mut messages) = arrays();
    for (at, packet) in packets[..count].iter_mut().enumerate() {
        let room = packet.receive_room();
        parts[at][0] = libc::iovec { iov_base: headers[at].as_mut_ptr().cast(), iov_len: HEADER_LEN };
        parts[at][1] = libc::iovec { iov_base: room.as_mut_ptr().cast(), iov_len: room.len() };
        let message = &mut messages[at].msg_hdr;
        message.msg_iov = parts[at].as_mut_ptr();
        message.msg_iovlen = 2;
        message.msg_control = controls[at].0.as_mut_ptr().cast();
        message.msg_controllen = CONTROL_LEN as _;
    }
    // SAFETY: each of the `count` messages points at a header, a control buffer and a packet's room with their
    // true lengths; all are borrowed mutably here, distinct, and untouched until the call has returned.
    let got = check(unsafe {
        libc::recvmmsg(
            fd.as_raw_fd(),
            messages.as_mut_ptr(),
            count as libc::c_uint,
            libc::MSG_DONTWAIT as _,
            std::ptr::null_mut(),
        )
    })? as usize;
    for (at, packet) in packets[..got.min(count)].iter_mut().enumerate() {
        let message = &messages[at];
        let received = Received {
            length: message.msg_len as usize,
            header: headers[at],
            truncated: message.msg_hdr.msg_flags & libc::MSG_TRUNC != 0,
            vlan: vlan(&controls[at].0, message.msg_hdr.msg_controllen as _),
        };
        each(packet, received);
    }
    Ok(got)
}

/// Sends up to [`BATCH`] of `packets`, each behind its header; returns how many the kernel took. Never blocks.
pub fn send(
    fd: BorrowedFd<'_>,
    packets: &[Packet],
    header: impl Fn(&Packet) -> [u8; HEADER_LEN],
) -> io::Result<usize> {
    let count = packets.len().min(BATCH);
    let mut headers = [[0u8; HEADER_LEN]; BATCH];
    let (mut parts, mut messages) = arrays();
    for (at, packet) in packets[..count].iter().enumerate() {
        headers[at] = header(packet);
        let data = packet.data();
        parts[at][0] = libc::iovec { iov_base: headers[at].as_mut_ptr().cast(), iov_len: HEADER_LEN };
        parts[at][1] = libc::iovec { iov_base: data.as_ptr().cast_mut().cast(), iov_len: data.len() };
        messages[at].msg_hdr.msg_iov = parts[at].as_mut_ptr();
        messages[at].msg_hdr.msg_iovlen = 2;
    }
    // SAFETY: each of the `count` messages points at a header and a frame with their true lengths, live for the
    // call; the kernel only reads them, so the frames' shared borrow is enough.
    let answer = unsafe {
        libc::sendmmsg(
            fd.as_raw_fd(),
            messages.as_mut_ptr(),
            count as libc::c_uint,
            (libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL) as _,
        )
    };
    check(answer).map(|sent| sent as usize)
}

/// Whether this kernel is at least the given version.
pub fn kernel_is_at_least(major: u32, minor: u32) -> bool {
    // SAFETY: the structure is byte arrays, for which all zeroes is a value.
    let mut names: libc::utsname = unsafe { zeroed() };
    // SAFETY: the structure is live, and the kernel fills it with strings that end in a zero.
    if unsafe { libc::uname(&raw mut names) } != 0 {
        return false;
    }
    let text: String = names.release.iter().take_while(|&&c| c != 0).map(|&c| c as u8 as char).collect();
    let mut numbers = text.split(|c: char| !c.is_ascii_digit()).map(|part| part.parse::<u32>().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= (major, minor)
}

type Arrays = ([[libc::iovec; 2]; BATCH], [libc::mmsghdr; BATCH]);

/// Messages that say nothing yet.
fn arrays() -> Arrays {
    // SAFETY: these structures are integers and pointers, for which all zeroes is a value.
    unsafe { zeroed() }
}

#[derive(Clone, Copy)]
#[repr(C, align(8))]
struct Control([u8; CONTROL_LEN]);

/// Finds the VLAN tag in the auxiliary data, the only control message that was asked for.
fn vlan(control: &[u8; CONTROL_LEN], length: usize) -> Option<(u16, u16)> {
    let data = size_of::<libc::cmsghdr>();
    if length < data + size_of::<libc::tpacket_auxdata>() {
        return None;
    }
    let word =
        |at: usize| u32::from_ne_bytes([control[at], control[at + 1], control[at + 2], control[at + 3]]);
    let half = |at: usize| u16::from_ne_bytes([control[at], control[at + 1]]);
    let level = word(offset_of!(libc::cmsghdr, cmsg_level)) as c_int;
    let kind = word(offset_of!(libc::cmsghdr, cmsg_type)) as c_int;
    let status = word(data + offset_of!(libc::tpacket_auxdata, tp_status));
    let tagged = status & libc::TP_STATUS_VLAN_VALID != 0;
    if (level, kind, tagged) != (libc::SOL_PACKET, libc::PACKET_AUXDATA, true) {
        return None;
    }
    let told = status & libc::TP_STATUS_VLAN_TPID_VALID != 0;
    let tpid = if told { half(data + offset_of!(libc::tpacket_auxdata, tp_vlan_tpid)) } else { 0x8100 };
    Some((tpid, half(data + offset_of!(libc::tpacket_auxdata, tp_vlan_tci))))
}

fn set_packet_option(fd: BorrowedFd<'_>, option: c_int, value: c_int) -> io::Result<()> {
    set_option(fd, libc::SOL_PACKET, option, &value)
}

/// Sets an option whose value is an integer, or a structure of the kernel's.
fn set_option<T>(fd: BorrowedFd<'_>, level: c_int, option: c_int, value: &T) -> io::Result<()> {
    let length = size_of::<T>() as socklen_t;
    let value: *const T = value;
    // SAFETY: the value is live for the call, `length` is its size, and the kernel only reads it.
    check(unsafe { libc::setsockopt(fd.as_raw_fd(), level, option, value.cast::<c_void>(), length) })
        .map(drop)
}
