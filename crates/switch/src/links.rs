//! News of links: the kernel says when a device of this network namespace comes, goes, or changes its state.

use std::io;
use std::os::fd::AsRawFd;

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, socket};
use tokio::net::UnixDatagram;

/// The group of messages about links (rtnetlink's `RTMGRP_LINK`).
const LINKS: u32 = 1;

/// A socket on which the kernel tells of links. It is read as any socket of datagrams is.
pub(crate) struct LinkNews(UnixDatagram);

impl LinkNews {
    /// Listens from now on. To be called within the async runtime.
    ///
    /// # Errors
    /// The system gives no such socket.
    pub(crate) fn open() -> io::Result<Self> {
        let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
        let socket = socket(AddressFamily::Netlink, SockType::Raw, flags, SockProtocol::NetlinkRoute)?;
        bind(socket.as_raw_fd(), &NetlinkAddr::new(0, LINKS))?;
        UnixDatagram::from_std(socket.into()).map(Self)
    }

    /// Waits for news. What they are is not read: devices are asked how they fare.
    ///
    /// # Errors
    /// The socket fails.
    pub(crate) async fn wait(&self) -> io::Result<()> {
        let mut buffer = [0; 8192];
        let mut told = false;
        while !told {
            self.0.readable().await?;
            loop {
                match self.0.try_recv(&mut buffer) {
                    Ok(_) => told = true,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    // More was told than there was room for.
                    Err(error) if error.raw_os_error() == Some(Errno::ENOBUFS as i32) => told = true,
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(())
    }
}
