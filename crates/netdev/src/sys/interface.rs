//! Questions to the kernel about an interface, and its up flag. They are asked through a socket, because the
//! socket's network namespace is the one in which the name is looked up.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use super::{ifreq, ioctl_ifreq, own};

/// A socket to ask through, in the caller's network namespace.
pub fn control_socket() -> io::Result<OwnedFd> {
    // SAFETY: the call takes no memory.
    own(unsafe { libc::socket(libc::AF_UNIX, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) })
}

/// The interface's number.
pub fn index(fd: BorrowedFd<'_>, name: &str) -> io::Result<libc::c_int> {
    let mut request = ifreq(name)?;
    ioctl_ifreq(fd, libc::SIOCGIFINDEX, &mut request)?;
    // SAFETY: the kernel has written the index; all members of the union are plain memory.
    Ok(unsafe { request.ifr_ifru.ifru_ifindex })
}

/// The present name of the interface with this number.
pub fn name(fd: BorrowedFd<'_>, index: libc::c_int) -> io::Result<String> {
    let mut request = ifreq("?")?;
    request.ifr_ifru.ifru_ifindex = index;
    ioctl_ifreq(fd, libc::SIOCGIFNAME, &mut request)?;
    let bytes = request.ifr_name.iter().map(|&byte| byte as u8).take_while(|&byte| byte != 0).collect();
    // Names are bytes to the kernel, and text to everybody else.
    String::from_utf8(bytes).map_err(|_| io::ErrorKind::InvalidData.into())
}

/// The interface's hardware type (`ARPHRD_*`) and, as far as it is Ethernet, its address. `fd` may also be a TAP's
/// descriptor, which ignores the name.
pub fn hardware(fd: BorrowedFd<'_>, name: &str) -> io::Result<(u16, [u8; 6])> {
    let mut request = ifreq(name)?;
    ioctl_ifreq(fd, libc::SIOCGIFHWADDR, &mut request)?;
    // SAFETY: the kernel has written the address; all members of the union are plain memory.
    let address = unsafe { request.ifr_ifru.ifru_hwaddr };
    Ok((address.sa_family, std::array::from_fn(|at| address.sa_data[at] as u8)))
}

/// The interface's Ethernet address, as [`hardware`].
pub fn mac(fd: BorrowedFd<'_>, name: &str) -> io::Result<[u8; 6]> {
    hardware(fd, name).map(|(_, mac)| mac)
}

/// The interface's MTU.
pub fn mtu(fd: BorrowedFd<'_>, name: &str) -> io::Result<u32> {
    let mut request = ifreq(name)?;
    ioctl_ifreq(fd, libc::SIOCGIFMTU, &mut request)?;
    // SAFETY: the kernel has written the MTU; all members of the union are plain memory.
    Ok(unsafe { request.ifr_ifru.ifru_mtu } as u32)
}

/// The interface's flags (`IFF_UP`, `IFF_RUNNING` and others).
pub fn flags(fd: BorrowedFd<'_>, name: &str) -> io::Result<libc::c_int> {
    let mut request = ifreq(name)?;
    ioctl_ifreq(fd, libc::SIOCGIFFLAGS, &mut request)?;
    // SAFETY: the kernel has written the flags; all members of the union are plain memory.
    Ok(libc::c_int::from(unsafe { request.ifr_ifru.ifru_flags }))
}

/// Sets the interface up or down.
pub fn set_up(fd: BorrowedFd<'_>, name: &str, up: bool) -> io::Result<()> {
    let old = flags(fd, name)?;
    let mut request = ifreq(name)?;
    let new = if up { old | libc::IFF_UP } else { old & !libc::IFF_UP };
    request.ifr_ifru.ifru_flags = new as libc::c_short;
    ioctl_ifreq(fd, libc::SIOCSIFFLAGS, &mut request)
}

/// Sets the interface's MTU.
pub fn set_mtu(fd: BorrowedFd<'_>, name: &str, mtu: u32) -> io::Result<()> {
    let mut request = ifreq(name)?;
    let mtu = libc::c_int::try_from(mtu).map_err(|_| io::ErrorKind::InvalidInput)?;
    request.ifr_ifru.ifru_mtu = mtu;
    ioctl_ifreq(fd, libc::SIOCSIFMTU, &mut request)
}

/// Sets the interface's Ethernet address.
pub fn set_mac(fd: BorrowedFd<'_>, name: &str, mac: [u8; 6]) -> io::Result<()> {
    let mut request = ifreq(name)?;
    let mut data = [0; 14];
    data.iter_mut().zip(mac).for_each(|(to, from)| *to = from as libc::c_char);
    request.ifr_ifru.ifru_hwaddr = libc::sockaddr { sa_family: libc::ARPHRD_ETHER, sa_data: data };
    ioctl_ifreq(fd, libc::SIOCSIFHWADDR, &mut request)
}
