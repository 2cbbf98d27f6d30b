//! AF_PACKET sockets (packet(7)), and batches of frames through them.
//!
//! What holds a pointer lives on the stack for one call only; the buffers that the kernel writes beside the frames
//! are kept from call to call, so that a call clears no more than it uses.

use std::io;
use std::mem::{MaybeUninit, offset_of, size_of, zeroed};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::ptr;

use heddle_wire::ethertype;
use heddle_wire::packet::Packet;
use libc::{c_int, c_void, socklen_t};

use super::{check, own};

/// Frames moved by one system call at most.
pub const BATCH: usize = 32;
/// The virtio-net header's length on such sockets.
pub const HEADER_LEN: usize = 10;
/// Room for the one control message with the kernel's auxiliary data.
const CONTROL_LEN: usize = 64;

/// A raw socket, bound to nothing, with virtio-net headers. It receives nothing, not even between its making and
/// its binding.
pub fn open() -> io::Result<OwnedFd> {
    let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: the call takes no memory.
    let fd = own(unsafe { libc::socket(libc::AF_PACKET, kind, 0) })?;
    set_option(fd.as_fd(), libc::SOL_PACKET, libc::PACKET_VNET_HDR, &1)?;
    Ok(fd)
}

/// Prepares a socket to receive: no frames that this machine sends itself (since Linux 4.20), VLAN tags told, frames
/// for other stations too for as long as the socket lives.
pub fn prepare_receive(fd: BorrowedFd<'_>, index: c_int) -> io::Result<()> {
    set_option(fd, libc::SOL_PACKET, libc::PACKET_IGNORE_OUTGOING, &1)?;
    set_option(fd, libc::SOL_PACKET, libc::PACKET_AUXDATA, &1)?;
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

/// The number of the interface that the socket is bound to; `None` once that has vanished. The kernel unbinds the
/// socket then, so that an interface made later is never taken for it, whatever its name or number.
pub fn bound_interface(fd: BorrowedFd<'_>) -> io::Result<Option<c_int>> {
    // SAFETY: a socket address is plain integers, for which all zeroes is a value.
    let mut address: libc::sockaddr_ll = unsafe { zeroed() };
    let mut length = size_of::<libc::sockaddr_ll>() as socklen_t;
    // SAFETY: the kernel writes at most `length` bytes into the live address of that size.
    check(unsafe { libc::getsockname(fd.as_raw_fd(), (&raw mut address).cast(), &raw mut length) })?;
    Ok(Some(address.sll_ifindex).filter(|&index| index > 0))
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

/// Frames that the kernel had no buffer for since this was last asked.
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

/// Throws the next frame away.
pub fn discard(fd: BorrowedFd<'_>) -> io::Result<()> {
    // Room for the offload header, without which the kernel refuses; it forgets the rest of the frame with it.
    let mut scrap = [0u8; HEADER_LEN];
    // SAFETY: the buffer is live for the call, and its true length is given.
    let got =
        unsafe { libc::recv(fd.as_raw_fd(), scrap.as_mut_ptr().cast(), scrap.len(), libc::MSG_DONTWAIT) };
    if got < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// What the kernel says of received frames, beside them.
pub struct Beside {
    headers: [[u8; HEADER_LEN]; BATCH],
    controls: [Control; BATCH],
}

#[derive(Clone, Copy)]
#[repr(C, align(8))]
struct Control([u8; CONTROL_LEN]);

/// What the kernel said of one received frame.
pub struct Received<'a> {
    /// Bytes with the header, as far as there was room.
    pub length: usize,
    /// The virtio-net header.
    pub header: &'a [u8; HEADER_LEN],
    /// The frame did not fit.
    pub truncated: bool,
    /// Ethertype and tag control information of a VLAN tag that the kernel took off the frame.
    pub vlan: Option<(u16, u16)>,
}

impl Beside {
    /// Room for one batch.
    pub fn new() -> Box<Self> {
        Box::new(Self { headers: [[0; HEADER_LEN]; BATCH], controls: [Control([0; CONTROL_LEN]); BATCH] })
    }

    /// Receives up to [`BATCH`] frames into the rooms of `packets`; `each` is told of every one, in order, and
    /// sets its packet's length. Returns how many came. Never blocks.
    pub fn receive(
        &mut self,
        fd: BorrowedFd<'_>,
        packets: &mut [Packet],
        mut each: impl FnMut(&mut Packet, Received<'_>),
    ) -> io::Result<usize> {
        let count = packets.len().min(BATCH);
        let (mut parts, mut messages) = (Parts::uninit(), Messages::uninit());
        for (at, packet) in packets[..count].iter_mut().enumerate() {
            let room = packet.receive_room();
            let header = &mut self.headers[at];
            let control = &mut self.controls[at].0;
            let parts = parts.0[at].write([
                libc::iovec { iov_base: header.as_mut_ptr().cast(), iov_len: HEADER_LEN },
                libc::iovec { iov_base: room.as_mut_ptr().cast(), iov_len: room.len() },
            ]);
            let message = messages.0[at].write(message(parts));
            message.msg_hdr.msg_control = control.as_mut_ptr().cast();
            message.msg_hdr.msg_controllen = CONTROL_LEN as _;
        }
        // SAFETY: the first `count` messages are initialised. Each points at a header and a control buffer of `self`
        // and at a packet's room, with their true lengths; all are distinct, exclusively borrowed here, and
        // untouched until the call has returned.
        let got = check(unsafe {
            libc::recvmmsg(
                fd.as_raw_fd(),
                messages.0.as_mut_ptr().cast(),
                count as libc::c_uint,
                libc::MSG_DONTWAIT as _,
                ptr::null_mut(),
            )
        })? as usize;
        for (at, packet) in packets[..got.min(count)].iter_mut().enumerate() {
            // SAFETY: the kernel reports no more messages than the `count` that were initialised above.
            let message = unsafe { messages.0[at].assume_init_ref() };
            let received = Received {
                length: message.msg_len as usize,
                header: &self.headers[at],
                truncated: message.msg_hdr.msg_flags & libc::MSG_TRUNC != 0,
                vlan: vlan(&self.controls[at].0, message.msg_hdr.msg_controllen as _),
            };
            each(packet, received);
        }
        Ok(got)
    }
}

/// Sends up to [`BATCH`] of `packets`, each behind its header; returns how many the kernel took before the first that
/// it refused. Never blocks.
pub fn send(
    fd: BorrowedFd<'_>,
    packets: &[Packet],
    header: impl Fn(&Packet) -> [u8; HEADER_LEN],
) -> io::Result<usize> {
    let count = packets.len().min(BATCH);
    let mut headers = [[0u8; HEADER_LEN]; BATCH];
    let (mut parts, mut messages) = (Parts::uninit(), Messages::uninit());
    for (at, packet) in packets[..count].iter().enumerate() {
        headers[at] = header(packet);
        let data = packet.data();
        let parts = parts.0[at].write([
            libc::iovec { iov_base: headers[at].as_mut_ptr().cast(), iov_len: HEADER_LEN },
            libc::iovec { iov_base: data.as_ptr().cast_mut().cast(), iov_len: data.len() },
        ]);
        messages.0[at].write(message(parts));
    }
    // SAFETY: the first `count` messages are initialised. Each points at a header and a frame with their true lengths,
    // live for the call; the kernel only reads them, so the frames' shared borrow is enough.
    let answer = unsafe {
        libc::sendmmsg(
            fd.as_raw_fd(),
            messages.0.as_mut_ptr().cast(),
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

/// Where each message's header and frame lie.
struct Parts([MaybeUninit<[libc::iovec; 2]>; BATCH]);

impl Parts {
    fn uninit() -> Self {
        Self([const { MaybeUninit::uninit() }; BATCH])
    }
}

struct Messages([MaybeUninit<libc::mmsghdr>; BATCH]);

impl Messages {
    fn uninit() -> Self {
        Self([const { MaybeUninit::uninit() }; BATCH])
    }
}

fn message(parts: &mut [libc::iovec; 2]) -> libc::mmsghdr {
    // SAFETY: the structure is integers and pointers, for which all zeroes is a value.
    let mut message: libc::mmsghdr = unsafe { zeroed() };
    message.msg_hdr.msg_iov = parts.as_mut_ptr();
    message.msg_hdr.msg_iovlen = parts.len() as _;
    message
}

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
    let tpid = half(data + offset_of!(libc::tpacket_auxdata, tp_vlan_tpid));
    let tci = half(data + offset_of!(libc::tpacket_auxdata, tp_vlan_tci));
    Some((if told { tpid } else { ethertype::VLAN }, tci))
}

/// Sets an option whose value is an integer, or a structure of the kernel's.
fn set_option<T>(fd: BorrowedFd<'_>, level: c_int, option: c_int, value: &T) -> io::Result<()> {
    let length = size_of::<T>() as socklen_t;
    let value: *const T = value;
    // SAFETY: the value is live for the call, `length` is its size, and the kernel only reads it.
    check(unsafe { libc::setsockopt(fd.as_raw_fd(), level, option, value.cast::<c_void>(), length) })
        .map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_has_a_version() {
        assert!(kernel_is_at_least(2, 6) && !kernel_is_at_least(1000, 0));
    }

    #[test]
    fn auxiliary_data_that_is_cut_short_or_not_ours_has_no_tag() {
        let mut control = [0; CONTROL_LEN];
        assert_eq!(vlan(&control, 0), None);
        assert_eq!(vlan(&control, CONTROL_LEN), None);
        let data = size_of::<libc::cmsghdr>();
        let level = offset_of!(libc::cmsghdr, cmsg_level);
        control[level..level + 4].copy_from_slice(&libc::SOL_PACKET.to_ne_bytes());
        let kind = offset_of!(libc::cmsghdr, cmsg_type);
        control[kind..kind + 4].copy_from_slice(&libc::PACKET_AUXDATA.to_ne_bytes());
        let (status, tci) =
            (offset_of!(libc::tpacket_auxdata, tp_status), offset_of!(libc::tpacket_auxdata, tp_vlan_tci));
        control[data + status..data + status + 4].copy_from_slice(&libc::TP_STATUS_VLAN_VALID.to_ne_bytes());
        control[data + tci..data + tci + 2].copy_from_slice(&7u16.to_ne_bytes());
        assert_eq!(vlan(&control, CONTROL_LEN), Some((0x8100, 7)));
        assert_eq!(vlan(&control, data), None);
    }
}
