//! Packet sockets (packet(7)): set-up, and batches of frames by one system call.

use std::io;
use std::mem::{offset_of, size_of};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use heddle_wire::packet::Packet;
use libc::{c_int, c_void};

use super::{check, check_size};

/// Frames moved by one system call.
pub(crate) const BATCH: usize = 32;
/// Bytes of the virtio-net header before each frame.
pub(crate) const HEADER_LEN: usize = 10;

const ZERO_IOVEC: libc::iovec = libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 };

/// A packet socket that receives nothing yet.
pub(crate) fn open() -> io::Result<OwnedFd> {
    let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: the call takes no pointers; the descriptor it returns is ours alone.
    let descriptor = check(unsafe { libc::socket(libc::AF_PACKET, kind, 0) })?;
    // SAFETY: as above, it is open and nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

/// Binds the socket to all frames of one interface.
pub(crate) fn bind(socket: BorrowedFd<'_>, index: c_int) -> io::Result<()> {
    // SAFETY: all-zero bytes are a valid `sockaddr_ll`, which holds integers only.
    let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_protocol = (libc::ETH_P_ALL as u16).to_be();
    address.sll_ifindex = index;
    let length = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
    // SAFETY: the address outlives the call and is as long as stated.
    check(unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), length) }).map(drop)
}

/// The interface that the socket is bound to; zero if to none.
pub(crate) fn bound_interface(socket: BorrowedFd<'_>) -> io::Result<c_int> {
    // SAFETY: all-zero bytes are a valid `sockaddr_ll`, which holds integers only.
    let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    let mut length = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
    // SAFETY: the kernel writes at most `length` bytes to an address that is so long.
    check(unsafe { libc::getsockname(socket.as_raw_fd(), (&raw mut address).cast(), &raw mut length) })?;
    if c_int::from(address.sll_family) != libc::AF_PACKET {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    Ok(address.sll_ifindex)
}

/// Sets an integer option of the packet layer.
pub(crate) fn set_option(socket: BorrowedFd<'_>, option: c_int, value: c_int) -> io::Result<()> {
    set(socket, libc::SOL_PACKET, option, &value)
}

/// Receives frames for other stations too, for as long as the socket lives.
pub(crate) fn set_promiscuous(socket: BorrowedFd<'_>, index: c_int) -> io::Result<()> {
    let request = libc::packet_mreq {
        mr_ifindex: index,
        mr_type: libc::PACKET_MR_PROMISC as libc::c_ushort,
        mr_alen: 0,
        mr_address: [0; 8],
    };
    set(socket, libc::SOL_PACKET, libc::PACKET_ADD_MEMBERSHIP, &request)
}

/// Sizes the socket's buffers; past the system's limit where we are allowed to.
pub(crate) fn set_buffers(socket: BorrowedFd<'_>, bytes: c_int) -> io::Result<()> {
    for (forced, plain) in [(libc::SO_RCVBUFFORCE, libc::SO_RCVBUF), (libc::SO_SNDBUFFORCE, libc::SO_SNDBUF)]
    {
        if set(socket, libc::SOL_SOCKET, forced, &bytes).is_err() {
            set(socket, libc::SOL_SOCKET, plain, &bytes)?;
        }
    }
    Ok(())
}

/// Options are integers or structures of integers.
fn set<T: Copy>(socket: BorrowedFd<'_>, level: c_int, option: c_int, value: &T) -> io::Result<()> {
    let length = size_of::<T>() as libc::socklen_t;
    let value: *const T = value;
    // SAFETY: the kernel reads `length` bytes from a value that is so long and outlives the call.
    check(unsafe { libc::setsockopt(socket.as_raw_fd(), level, option, value.cast::<c_void>(), length) })
        .map(drop)
}

/// Frames that the socket had no room for since this was last asked.
pub(crate) fn dropped(socket: BorrowedFd<'_>) -> io::Result<u64> {
    let mut statistics = libc::tpacket_stats { tp_packets: 0, tp_drops: 0 };
    let mut length = size_of::<libc::tpacket_stats>() as libc::socklen_t;
    // SAFETY: the kernel writes at most `length` bytes to a structure that is so long.
    check(unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_PACKET,
            libc::PACKET_STATISTICS,
            (&raw mut statistics).cast(),
            &raw mut length,
        )
    })?;
    Ok(u64::from(statistics.tp_drops))
}

/// Room for the control message that comes with each frame.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
struct Control([u8; 64]);

/// What the kernel said about the frames of one batch.
pub(crate) struct Received {
    headers: [[u8; HEADER_LEN]; BATCH],
    control: [Control; BATCH],
    control_len: [usize; BATCH],
    length: [usize; BATCH],
    truncated: [bool; BATCH],
}

impl Received {
    pub(crate) fn new() -> Box<Self> {
        Box::new(Self {
            headers: [[0; HEADER_LEN]; BATCH],
            control: [Control([0; 64]); BATCH],
            control_len: [0; BATCH],
            length: [0; BATCH],
            truncated: [false; BATCH],
        })
    }

    /// Receives up to one frame into each packet, at most [`BATCH`]; returns how many. Never blocks.
    /// The packets' lengths are not set: see [`Received::frame_len`].
    pub(crate) fn receive(&mut self, socket: BorrowedFd<'_>, packets: &mut [Packet]) -> io::Result<usize> {
        let count = packets.len().min(BATCH);
        let mut parts = [[ZERO_IOVEC; 2]; BATCH];
        // SAFETY: all-zero bytes are a valid `mmsghdr`: null pointers with zero lengths.
        let mut messages: [libc::mmsghdr; BATCH] = unsafe { std::mem::zeroed() };
        for (index, packet) in packets.iter_mut().take(count).enumerate() {
            let (header, room) = (&mut self.headers[index], packet.receive_room());
            parts[index] = [
                libc::iovec { iov_base: header.as_mut_ptr().cast(), iov_len: header.len() },
                libc::iovec { iov_base: room.as_mut_ptr().cast(), iov_len: room.len() },
            ];
            let message = &mut messages[index].msg_hdr;
            message.msg_iov = parts[index].as_mut_ptr();
            message.msg_iovlen = 2;
            message.msg_control = self.control[index].0.as_mut_ptr().cast();
            message.msg_controllen = self.control[index].0.len() as _;
        }
        let flags = libc::MSG_DONTWAIT;
        // SAFETY: `count` messages are initialised; each points at a header and control buffer of `self` and at the
        // storage of one packet, all exclusively borrowed for the call and not touched between here and its end.
        let result = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                messages.as_mut_ptr(),
                count as libc::c_uint,
                flags as _,
                std::ptr::null_mut(),
            )
        };
        let filled = check(result)? as usize;
        for (index, message) in messages.iter().take(filled).enumerate() {
            self.length[index] = message.msg_len as usize;
            self.control_len[index] = message.msg_hdr.msg_controllen;
            self.truncated[index] = message.msg_hdr.msg_flags & libc::MSG_TRUNC != 0;
        }
        Ok(filled)
    }

    /// The offload header of a frame.
    pub(crate) fn header(&self, index: usize) -> &[u8] {
        &self.headers[index][..self.length[index].min(HEADER_LEN)]
    }

    /// Bytes of a frame, without the offload header.
    pub(crate) fn frame_len(&self, index: usize) -> usize {
        self.length[index].saturating_sub(HEADER_LEN)
    }

    /// Whether the frame was longer than its packet.
    pub(crate) fn is_truncated(&self, index: usize) -> bool {
        self.truncated[index]
    }

    /// TPID and TCI of the VLAN tag that the kernel took off the frame.
    pub(crate) fn vlan(&self, index: usize) -> Option<(u16, u16)> {
        let bytes = self.control[index].0.get(..self.control_len[index])?;
        let word = |at: usize| Some(u32::from_ne_bytes(*bytes.get(at..)?.first_chunk()?));
        let half = |at: usize| Some(u16::from_ne_bytes(*bytes.get(at..)?.first_chunk()?));
        let level = word(offset_of!(libc::cmsghdr, cmsg_level))?;
        let kind = word(offset_of!(libc::cmsghdr, cmsg_type))?;
        if (level, kind) != (libc::SOL_PACKET as u32, libc::PACKET_AUXDATA as u32) {
            return None;
        }
        let data = size_of::<libc::cmsghdr>();
        let status = word(data + offset_of!(libc::tpacket_auxdata, tp_status))?;
        if status & libc::TP_STATUS_VLAN_VALID == 0 {
            return None;
        }
        let tci = half(data + offset_of!(libc::tpacket_auxdata, tp_vlan_tci))?;
        let known = status & libc::TP_STATUS_VLAN_TPID_VALID != 0;
        let tpid = half(data + offset_of!(libc::tpacket_auxdata, tp_vlan_tpid)).filter(|_| known);
        Some((tpid.unwrap_or(heddle_wire::ethertype::VLAN), tci))
    }
}

/// Sends the packets, at most [`BATCH`], each with its header before it; returns how many the kernel took before
/// the first that it refused. Never blocks.
pub(crate) fn send(
    socket: BorrowedFd<'_>,
    headers: &[[u8; HEADER_LEN]],
    packets: &[Packet],
) -> io::Result<usize> {
    let count = packets.len().min(headers.len()).min(BATCH);
    let mut parts = [[ZERO_IOVEC; 2]; BATCH];
    // SAFETY: all-zero bytes are a valid `mmsghdr`: null pointers with zero lengths.
    let mut messages: [libc::mmsghdr; BATCH] = unsafe { std::mem::zeroed() };
    for (index, (header, packet)) in headers.iter().zip(packets).take(count).enumerate() {
        let frame = packet.data();
        parts[index] = [
            libc::iovec { iov_base: header.as_ptr().cast_mut().cast(), iov_len: header.len() },
            libc::iovec { iov_base: frame.as_ptr().cast_mut().cast(), iov_len: frame.len() },
        ];
        messages[index].msg_hdr.msg_iov = parts[index].as_mut_ptr();
        messages[index].msg_hdr.msg_iovlen = 2;
    }
    let flags = libc::MSG_DONTWAIT;
    // SAFETY: `count` messages are initialised; the kernel only reads what their parts point at, which is borrowed
    // for the call, and writes to `messages`, which is ours.
    let result = unsafe {
        libc::sendmmsg(socket.as_raw_fd(), messages.as_mut_ptr(), count as libc::c_uint, flags as _)
    };
    check_size(result as isize)
}
