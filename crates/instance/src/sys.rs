//! The system calls that need `unsafe`, with a safe interface: TAP ioctls, and what a child does between
//! `fork` and `exec`. Nothing else in this crate or in the lab is unsafe.
#![allow(unsafe_code)]

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, setns, unshare};
use nix::unistd::sethostname;

/// Requests of the TUN driver.
mod tun {
    nix::ioctl_write_int_bad!(set_offload, 0x4004_54d0);
    nix::ioctl_write_int_bad!(set_persistent, 0x4004_54cb);
    nix::ioctl_write_ptr_bad!(set_vnet_header_size, 0x4004_54d8, libc::c_int);
    nix::ioctl_write_ptr_bad!(set_interface, 0x4004_54ca, libc::ifreq);
}

const VNET_HEADER_SIZE: libc::c_int = 12;
/// Checksum, TSO over both IP versions with ECN, and USO: what the kernel takes is tried in this order.
const OFFLOADS: [libc::c_int; 3] = [0x01 | 0x02 | 0x04 | 0x08 | 0x20 | 0x40, 0x01 | 0x02 | 0x04 | 0x08, 0x01];

/// Refuses what no interface can be called; the kernel has the last word on the rest.
///
/// # Errors
/// The name is empty, longer than 15 bytes, or has a byte of zero.
pub fn check_interface_name(name: &str) -> io::Result<()> {
    if name.is_empty() || name.len() >= libc::IFNAMSIZ || name.contains('\0') {
        let reason = "an interface's name has 1 to 15 bytes, none of them zero";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, reason));
    }
    Ok(())
}

/// Turns an open `/dev/net/tun` into a TAP of this name in the calling thread's network namespace, which it vanishes with.
///
/// # Errors
/// The kernel's refusal, or a name longer than 15 bytes.
pub fn make_tap(tun: File, name: &str) -> io::Result<OwnedFd> {
    check_interface_name(name)?;
    // SAFETY: ifreq is a plain C structure for which all zeroes is a valid value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *to = from as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_TAP | libc::IFF_NO_PI | libc::IFF_VNET_HDR) as libc::c_short;
    let fd = tun.as_raw_fd();
    // SAFETY: the descriptor is open, and the kernel only reads and writes within the ifreq it is given.
    unsafe { tun::set_interface(fd, &request) }?;
    // SAFETY: the descriptor is open, and the kernel reads one int.
    unsafe { tun::set_vnet_header_size(fd, &VNET_HEADER_SIZE) }?;
    // The device lasts until its namespace goes: the kernel then removes those of all namespaces at once, where the
    // end of each descriptor would cost it some 25 ms.
    // SAFETY: the descriptor is open and the argument is a plain integer.
    unsafe { tun::set_persistent(fd, 1) }?;
    for offloads in OFFLOADS {
        // SAFETY: the descriptor is open and the argument is a plain integer.
        if unsafe { tun::set_offload(fd, offloads) }.is_ok() {
            break;
        }
    }
    fcntl(&tun, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    Ok(tun.into())
}

/// Makes a command run in a network namespace, with host name, `/sys` and `/etc/hosts` of its own where the
/// kernel allows that, and in a session of its own, whose terminal is standard input if that is one that no other
/// session has.
pub fn enter_on_exec(command: &mut Command, netns: OwnedFd, hostname: String, hosts: Option<CString>) {
    let enter = move || {
        nix::unistd::setsid()?;
        // SAFETY: the request takes a plain integer; it fails where standard input is no terminal or taken.
        unsafe { libc::ioctl(0, libc::TIOCSCTTY, 0) };
        setns(&netns, CloneFlags::CLONE_NEWNET)?;
        if unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWUTS).is_ok() {
            let _ = sethostname(&hostname);
            let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
            if mount(None::<&str>, c"/", None::<&str>, private, None::<&str>).is_ok() {
                let _ = mount(Some(c"sysfs"), c"/sys", Some(c"sysfs"), MsFlags::empty(), None::<&str>);
                if let Some(hosts) = &hosts {
                    let _ = mount(
                        Some(hosts.as_c_str()),
                        c"/etc/hosts",
                        None::<&str>,
                        MsFlags::MS_BIND,
                        None::<&str>,
                    );
                }
            }
        }
        Ok(())
    };
    // SAFETY: the closure only makes system calls with memory that was allocated before the fork.
    unsafe { command.pre_exec(enter) };
}

/// Size of a terminal in rows and columns; `None` where the descriptor is none.
#[must_use]
pub fn terminal_size(terminal: BorrowedFd<'_>) -> Option<nix::pty::Winsize> {
    let mut size = nix::pty::Winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: the descriptor is borrowed and open, and the kernel writes within the structure it is given.
    let answer = unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCGWINSZ, &raw mut size) };
    (answer == 0).then_some(size)
}

/// Sets the size of a terminal, and tells the programs on it.
///
/// # Errors
/// The descriptor is no terminal.
pub fn set_terminal_size(terminal: BorrowedFd<'_>, size: nix::pty::Winsize) -> io::Result<()> {
    // SAFETY: the descriptor is borrowed and open, and the kernel reads the structure it is given.
    match unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCSWINSZ, &raw const size) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Lets descriptors be inherited by a command under the given numbers.
///
/// # Errors
/// No descriptor is left.
pub fn pass_descriptors(command: &mut Command, pairs: Vec<(OwnedFd, RawFd)>) -> io::Result<()> {
    // Moved out of the way first, so that no target number is still a source.
    let mut moved = Vec::with_capacity(pairs.len());
    for (fd, number) in pairs {
        // SAFETY: the kernel has just returned this duplicate to us alone.
        let high = unsafe { OwnedFd::from_raw_fd(fcntl(&fd, FcntlArg::F_DUPFD_CLOEXEC(64))?) };
        moved.push((high, number));
    }
    let place = move || {
        for (fd, number) in &moved {
            // SAFETY: dup2 is async-signal-safe; the target is a number that the program about to run expects.
            if unsafe { libc::dup2(fd.as_raw_fd(), *number) } == -1 {
                return Err(io::Error::last_os_error());
            }
        }
        Ok(())
    };
    // SAFETY: the closure only makes system calls with memory that was allocated before the fork.
    unsafe { command.pre_exec(place) };
    Ok(())
}

/// Makes a command the leader of a session of its own, out of reach of the terminal's signals.
pub fn new_session_on_exec(command: &mut Command) {
    // SAFETY: setsid is async-signal-safe.
    unsafe { command.pre_exec(|| Ok(nix::unistd::setsid().map(|_| ())?)) };
}

/// Takes over a descriptor that [`pass_descriptors`] left to this program.
///
/// # Errors
/// The number is not an open descriptor.
pub fn inherited_descriptor(number: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: fcntl takes any number and reports those that are not open.
    if unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) } == -1 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the number is open, and by the contract with the parent nothing else in this process owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Makes a command PID 1 of namespaces of its own (pid, mount, network, uts, and user unless root), in its
/// own session. The outer pid is written to `report` as four bytes; the process that `spawn` returns is only
/// the one in between, and ends at once.
///
/// The identity maps are written by the child itself: a single id, which needs no helper and no privilege.
pub fn isolate_on_exec(command: &mut Command, report: OwnedFd, user_namespace: bool) {
    let uid_map = format!("0 {} 1\n", nix::unistd::geteuid());
    let gid_map = format!("0 {} 1\n", nix::unistd::getegid());
    let isolate = move || {
        nix::unistd::setsid()?;
        if user_namespace {
            unshare(CloneFlags::CLONE_NEWUSER)?;
            write_file(c"/proc/self/setgroups", b"deny")?;
            write_file(c"/proc/self/uid_map", uid_map.as_bytes())?;
            write_file(c"/proc/self/gid_map", gid_map.as_bytes())?;
        }
        unshare(
            CloneFlags::CLONE_NEWPID
                | CloneFlags::CLONE_NEWNS
                | CloneFlags::CLONE_NEWNET
                | CloneFlags::CLONE_NEWUTS,
        )?;
        // SAFETY: between fork and exec this process has one thread and only makes system calls.
        match unsafe { libc::fork() } {
            -1 => Err(io::Error::last_os_error()),
            0 => Ok(()),
            pid => {
                // SAFETY: the buffer is a live local of four bytes; _exit does not return.
                unsafe {
                    libc::write(report.as_raw_fd(), (&raw const pid).cast(), 4);
                    libc::_exit(0)
                }
            }
        }
    };
    // SAFETY: the closure only makes system calls with memory that was allocated before the fork.
    unsafe { command.pre_exec(isolate) };
}

fn write_file(path: &std::ffi::CStr, bytes: &[u8]) -> io::Result<()> {
    let fd = nix::fcntl::open(path, OFlag::O_WRONLY | OFlag::O_CLOEXEC, nix::sys::stat::Mode::empty())?;
    nix::unistd::write(&fd, bytes)?;
    Ok(())
}

/// A descriptor of a process: it becomes readable when the process has ended.
///
/// # Errors
/// The process does not exist.
pub fn pidfd_open(pid: i32) -> io::Result<OwnedFd> {
    // SAFETY: the call takes two integers and returns a new descriptor or -1.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just returned this descriptor to us alone.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as RawFd) })
}

/// Makes every descriptor above `first` close on exec, so that none that a parent leaked keeps a lab alive.
pub fn close_on_exec_from(first: u32) {
    // SAFETY: close_range with CLOEXEC changes flags only and touches no memory.
    unsafe { libc::close_range(first, u32::MAX, libc::CLOSE_RANGE_CLOEXEC as libc::c_int) };
}

/// Receives bytes and the descriptors that ride along (at most 253), which close on exec.
///
/// # Errors
/// As recvmsg; interruption is retried.
pub fn receive_with_descriptors(
    socket: &impl AsRawFd,
    buffer: &mut [u8],
) -> io::Result<(usize, Vec<OwnedFd>)> {
    use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};
    let mut space = nix::cmsg_space!([RawFd; 253]);
    let mut parts = [io::IoSliceMut::new(buffer)];
    let message = loop {
        match recvmsg::<()>(socket.as_raw_fd(), &mut parts, Some(&mut space), MsgFlags::MSG_CMSG_CLOEXEC) {
            Err(nix::errno::Errno::EINTR) => {}
            other => break other?,
        }
    };
    let mut descriptors = vec![];
    for control in message.cmsgs()? {
        if let ControlMessageOwned::ScmRights(numbers) = control {
            // SAFETY: the kernel has just installed these descriptors for us alone.
            descriptors.extend(numbers.into_iter().map(|fd| unsafe { OwnedFd::from_raw_fd(fd) }));
        }
    }
    Ok((message.bytes, descriptors))
}

/// Nanoseconds that the scheduler lets this process run before it looks at others: the shorter, the sooner it comes to run
/// when it wakes (Linux from 6.12 on; sched(7)).
const SLICE_NS: u64 = 100_000;

/// Has the scheduler prefer the calling thread, and those that it makes, as far as it may: what must be done in its time is
/// done by them. A switch that forwards for a lab wakes often and for short.
pub fn prefer_this_thread() {
    // SAFETY: all zeroes is a valid value of this plain structure.
    let mut wanted: libc::sched_attr = unsafe { std::mem::zeroed() };
    wanted.size = size_of::<libc::sched_attr>() as u32;
    wanted.sched_policy = libc::SCHED_OTHER as u32;
    wanted.sched_runtime = SLICE_NS;
    for nice in [-10, 0] {
        wanted.sched_nice = nice;
        // SAFETY: the kernel reads the structure, whose size it is told. An ordinary user is refused a better place, and an
        // older kernel the slice: then things are as they were.
        if unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const wanted, 0) } == 0 {
            return;
        }
    }
}

/// A netlink socket for notifications of a multicast group (`RTNLGRP_*`), from the calling thread's network namespace and
/// all others that have a number there.
///
/// # Errors
/// The kernel's refusal.
pub fn netlink_of_all_namespaces(group: u32, receive_buffer: usize) -> io::Result<OwnedFd> {
    use nix::sys::socket::{
        AddressFamily, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, setsockopt, socket, sockopt,
    };
    let flags = SockFlag::SOCK_CLOEXEC;
    let socket = socket(AddressFamily::Netlink, SockType::Raw, flags, Some(SockProtocol::NetlinkRoute))?;
    // One without an address of its own is taken for the kernel's, which does not hear itself. It is also what ends all
    // memberships.
    bind(socket.as_raw_fd(), &NetlinkAddr::new(0, 0))?;
    // The greater one is refused without privileges over the machine.
    if setsockopt(&socket, sockopt::RcvBufForce, &receive_buffer).is_err() {
        setsockopt(&socket, sockopt::RcvBuf, &receive_buffer)?;
    }
    let set = |option: libc::c_int, value: u32| {
        let (value, size) = ((&raw const value).cast(), size_of::<u32>() as libc::socklen_t);
        // SAFETY: the descriptor is open, and the kernel reads four bytes of a live local.
        match unsafe { libc::setsockopt(socket.as_raw_fd(), libc::SOL_NETLINK, option, value, size) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    };
    set(libc::NETLINK_LISTEN_ALL_NSID, 1)?;
    set(libc::NETLINK_ADD_MEMBERSHIP, group)?;
    Ok(socket)
}

/// Receives from such a socket: the size, and the number of the namespace that it comes from, if it is another one.
///
/// # Errors
/// As recvmsg; interruption is retried.
pub fn receive_with_namespace(socket: &OwnedFd, buffer: &mut [u8]) -> io::Result<(usize, Option<i32>)> {
    // Longs, so that the header in front is aligned.
    let mut control = [0u64; 8];
    let mut part = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    // SAFETY: msghdr is a plain C structure for which all zeroes is a valid value.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = size_of_val(&control);
    let size = loop {
        // SAFETY: the message, its part, the buffer and the room for control data outlive the call.
        let size = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut message, 0) };
        match usize::try_from(size) {
            Ok(size) => break size,
            Err(_) => {
                let error = io::Error::last_os_error();
                if error.kind() != io::ErrorKind::Interrupted {
                    return Err(error);
                }
            }
        }
    };
    // SAFETY: the kernel has filled in the message, whose control data is still alive.
    let first = unsafe { libc::CMSG_FIRSTHDR(&raw const message) };
    // SAFETY: the header is null or within the control data.
    let number = unsafe { first.as_ref() }
        .filter(|header| {
            header.cmsg_level == libc::SOL_NETLINK && header.cmsg_type == libc::NETLINK_LISTEN_ALL_NSID
        })
        // SAFETY: the kernel writes an int behind a header of this kind.
        .map(|_| unsafe { libc::CMSG_DATA(first).cast::<i32>().read_unaligned() });
    Ok((size, number))
}
