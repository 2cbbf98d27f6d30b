//! The system calls that need `unsafe`, with safe functions on top: TAP devices, programs started in other
//! namespaces, descriptors passed over sockets.
#![allow(unsafe_code)]

use std::ffi::CString;
use std::fs::OpenOptions;
use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, recvmsg, sendmsg};

const TUNSETIFF: libc::c_ulong = 0x4004_54ca;
const TUNSETOFFLOAD: libc::c_ulong = 0x4004_54d0;
const TUNSETVNETHDRSZ: libc::c_ulong = 0x4004_54d8;
const IFF_TAP_NO_PI_VNET_HDR: u16 = 0x0002 | 0x1000 | 0x4000;
const OFFLOAD_CSUM: libc::c_ulong = 0x01;
const OFFLOAD_TSO: libc::c_ulong = 0x02 | 0x04 | 0x08;
const OFFLOAD_USO: libc::c_ulong = 0x20 | 0x40;
const VNET_HEADER_SIZE: libc::c_int = 12;

/// Makes a TAP of that name in the calling thread's network namespace, with 12-byte vnet headers and every
/// segmentation offload the kernel has. The descriptor does not block.
///
/// # Errors
/// The system's answer: most often that `/dev/net/tun` may not be opened.
pub fn create_tap(name: &str) -> io::Result<OwnedFd> {
    if name.is_empty() || name.len() > 15 {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let file = OpenOptions::new().read(true).write(true).open("/dev/net/tun")?;
    let fd = file.as_raw_fd();
    // struct ifreq: 16 bytes of name, then a union of 24 whose first two bytes are the flags.
    let mut request = [0_u8; 40];
    request[..name.len()].copy_from_slice(name.as_bytes());
    request[16..18].copy_from_slice(&IFF_TAP_NO_PI_VNET_HDR.to_ne_bytes());
    // SAFETY: `request` has the size of the struct ifreq that TUNSETIFF reads and writes, and outlives the call.
    check(unsafe { libc::ioctl(fd, TUNSETIFF, request.as_mut_ptr()) })?;
    let size = VNET_HEADER_SIZE;
    // SAFETY: TUNSETVNETHDRSZ reads one int, which outlives the call.
    check(unsafe { libc::ioctl(fd, TUNSETVNETHDRSZ, &raw const size) })?;
    let with_tso = OFFLOAD_CSUM | OFFLOAD_TSO;
    // Kernels before 6.2 know no USO; any kernel can do without offloads.
    for offload in [with_tso | OFFLOAD_USO, with_tso, OFFLOAD_CSUM, 0] {
        // SAFETY: TUNSETOFFLOAD takes its argument by value.
        if unsafe { libc::ioctl(fd, TUNSETOFFLOAD, offload) } == 0 {
            break;
        }
    }
    // SAFETY: F_SETFL takes its argument by value; the descriptor is open.
    check(unsafe { libc::fcntl(fd, libc::F_SETFL, libc::O_RDWR | libc::O_NONBLOCK) })?;
    Ok(file.into())
}

/// A program to start, and where.
#[derive(Debug)]
pub struct Spawn<'a> {
    /// The program: a path, or a name looked up in PATH.
    pub program: &'a str,
    /// Its arguments, without its name.
    pub arguments: &'a [String],
    /// Its environment, instead of the caller's.
    pub environment: Option<&'a [(String, String)]>,
    /// Its working directory; one that does not exist is an error.
    pub directory: Option<&'a Path>,
    /// Standard input, output and error; `/dev/null` where absent.
    pub stdio: [Option<OwnedFd>; 3],
    /// Becomes descriptor 3. The caller must keep its own descriptor 3 in use (see [`reserve_descriptor_3`]).
    pub descriptor_3: Option<BorrowedFd<'a>>,
    /// The network namespace to enter. A mount namespace with that network's `/sys` comes with it.
    pub netns: Option<BorrowedFd<'a>>,
    /// The hostname, in a UTS namespace of its own.
    pub hostname: Option<&'a str>,
    /// Start a session, so that the program's process group can be signalled.
    pub session: bool,
    /// Die when the calling thread dies.
    pub die_with_parent: bool,
}

impl<'a> Spawn<'a> {
    /// A program with the caller's environment, directory and namespaces, and no standard streams.
    #[must_use]
    pub fn new(program: &'a str, arguments: &'a [String]) -> Self {
        Self {
            program,
            arguments,
            environment: None,
            directory: None,
            stdio: [None, None, None],
            descriptor_3: None,
            netns: None,
            hostname: None,
            session: true,
            die_with_parent: false,
        }
    }
}

/// Starts a program and returns its process id. Nobody waits for it: the caller must, by that id.
///
/// # Errors
/// When the program cannot be run or its namespaces not entered.
pub fn spawn(command: Spawn<'_>) -> io::Result<u32> {
    let mut process = Command::new(command.program);
    process.args(command.arguments);
    if let Some(environment) = command.environment {
        process.env_clear();
        process.envs(environment.iter().map(|(k, v)| (k, v)));
    }
    if let Some(directory) = command.directory {
        process.current_dir(directory);
    }
    let [stdin, stdout, stderr] = command.stdio.map(|fd| fd.map_or_else(Stdio::null, Stdio::from));
    process.stdin(stdin).stdout(stdout).stderr(stderr);

    let netns = command.netns.map(|fd| fd.as_raw_fd());
    let third = command.descriptor_3.map(|fd| fd.as_raw_fd());
    let hostname = command.hostname.map(CString::new).transpose()?;
    let (session, die) = (command.session, command.die_with_parent);
    let entry = move || enter(netns, third, hostname.as_ref(), session, die);
    // SAFETY: `enter` only makes system calls on values prepared before the fork: it neither allocates nor
    // takes locks, as the child of a process with threads must not.
    unsafe { process.pre_exec(entry) };
    Ok(process.spawn()?.id())
}

/// Runs in the child between fork and exec.
fn enter(
    netns: Option<RawFd>,
    third: Option<RawFd>,
    hostname: Option<&CString>,
    session: bool,
    die: bool,
) -> io::Result<()> {
    // SAFETY: every call takes plain values, or pointers to NUL-terminated strings that outlive it.
    unsafe {
        if die {
            check(libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL))?;
        }
        if session {
            libc::setsid();
        }
        if let Some(netns) = netns {
            check(libc::setns(netns, libc::CLONE_NEWNET))?;
            check(libc::unshare(libc::CLONE_NEWNS))?;
            let (none, root, sys) = (std::ptr::null(), c"/".as_ptr(), c"/sys".as_ptr());
            let private = libc::MS_REC | libc::MS_PRIVATE;
            check(libc::mount(none, root, none, private, std::ptr::null()))?;
            let flags = libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC;
            // Refused where the caller's own /sys is partly hidden; the host then sees the caller's.
            let sysfs = c"sysfs".as_ptr();
            libc::mount(sysfs, sys, sysfs, flags, std::ptr::null());
        }
        if let Some(hostname) = hostname {
            check(libc::unshare(libc::CLONE_NEWUTS))?;
            let bytes = hostname.as_bytes();
            check(libc::sethostname(bytes.as_ptr().cast(), bytes.len()))?;
        }
        if let Some(third) = third {
            check(libc::dup2(third, 3))?;
        }
    }
    Ok(())
}

/// Keeps descriptor 3 in use for the life of the process, so that no pipe inside [`spawn`] can get that number.
///
/// # Errors
/// When `/dev/null` cannot be opened.
pub fn reserve_descriptor_3() -> io::Result<()> {
    let null = std::fs::File::open("/dev/null")?;
    // SAFETY: duplicates an open descriptor to the lowest free number from 3; if 3 is taken, another number results,
    // and both are left open on purpose.
    check(unsafe { libc::fcntl(null.as_raw_fd(), libc::F_DUPFD_CLOEXEC, 3) })?;
    std::mem::forget(null);
    Ok(())
}

/// Sends bytes and descriptors as one message.
///
/// # Errors
/// The system's answer.
pub fn send_with_fds(socket: BorrowedFd<'_>, bytes: &[u8], fds: &[RawFd]) -> io::Result<usize> {
    let rights = [ControlMessage::ScmRights(fds)];
    let control: &[ControlMessage<'_>] = if fds.is_empty() { &[] } else { &rights };
    let iov = [IoSlice::new(bytes)];
    loop {
        match sendmsg::<()>(socket.as_raw_fd(), &iov, control, MsgFlags::MSG_NOSIGNAL, None) {
            Err(nix::errno::Errno::EINTR) => {}
            other => return Ok(other?),
        }
    }
}

/// Receives one message: the number of bytes (0 at the end of the stream) and the descriptors that came with it.
///
/// # Errors
/// The system's answer; `InvalidData` when a datagram or its descriptors did not fit.
pub fn receive_with_fds(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
    let mut space = nix::cmsg_space!([RawFd; 253]);
    let mut iov = [IoSliceMut::new(buffer)];
    let message = loop {
        let flags = MsgFlags::MSG_CMSG_CLOEXEC;
        match recvmsg::<()>(socket.as_raw_fd(), &mut iov, Some(&mut space), flags) {
            Err(nix::errno::Errno::EINTR) => {}
            other => break other?,
        }
    };
    let mut fds = Vec::new();
    for control in message.cmsgs()? {
        if let ControlMessageOwned::ScmRights(received) = control {
            for fd in received {
                // SAFETY: the kernel has just made this descriptor for this process; nothing else owns it.
                fds.push(unsafe { OwnedFd::from_raw_fd(fd) });
            }
        }
    }
    if message.flags.intersects(MsgFlags::MSG_TRUNC | MsgFlags::MSG_CTRUNC) {
        return Err(io::ErrorKind::InvalidData.into());
    }
    Ok((message.bytes, fds))
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}
