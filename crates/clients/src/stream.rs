//! Streams by the names that Open vSwitch gives them, for clients that wait: `unix:PATH` and `tcp:HOST[:PORT]` to call,
//! `punix:PATH` and `ptcp:[PORT][:HOST]` to be called once.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream, ToSocketAddrs};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::time::Duration;

/// A stream of bytes in both directions.
#[derive(Debug)]
pub enum Stream {
    /// Over a Unix socket.
    Unix(UnixStream),
    /// Over TCP.
    Tcp(TcpStream),
}

/// Why a name leads to no stream.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// It is no name of a stream.
    #[error("Address family not supported by protocol")]
    NotAName,
    /// TLS was asked for.
    #[error("Protocol not supported: this build has no TLS; use unix: or tcp:")]
    Tls,
    /// The system refused.
    #[error("{}", crate::fatal::reason(.0))]
    System(#[from] io::Error),
}

/// Whether a name has the form of a stream's: a known kind and a colon.
pub fn is_name(name: &str) -> bool {
    name.split_once(':').is_some_and(|(kind, _)| KINDS.contains(&kind))
}

/// Whether a name is one to be called by.
pub fn is_passive(name: &str) -> bool {
    is_name(name) && name.starts_with('p')
}

const KINDS: [&str; 6] = ["unix", "tcp", "ssl", "punix", "ptcp", "pssl"];

/// Host and port of `HOST[:PORT]`, where an IPv6 address stands in brackets.
fn host_and_port(text: &str, usual: u16) -> Option<(String, u16)> {
    if let Some(rest) = text.strip_prefix('[') {
        let (host, port) = rest.split_once(']')?;
        let port = port.strip_prefix(':').filter(|port| !port.is_empty());
        return Some((host.to_owned(), port.map_or(Some(usual), |port| port.parse().ok())?));
    }
    match text.split_once(':') {
        Some((host, port)) if !port.is_empty() => Some((host.to_owned(), port.parse().ok()?)),
        Some((host, _)) => Some((host.to_owned(), usual)),
        None => Some((text.to_owned(), usual)),
    }
}

/// A path that is not absolute is one in the directory of sockets.
fn socket_path(path: &str) -> PathBuf {
    crate::place::run_directory().join(path)
}

impl Stream {
    /// Calls, or waits for one call, by name. `port` is the protocol's usual one.
    ///
    /// # Errors
    /// [`ConnectError`].
    pub fn connect(name: &str, port: u16) -> Result<Self, ConnectError> {
        let (kind, rest) = name.split_once(':').ok_or(ConnectError::NotAName)?;
        match kind {
            "unix" => Ok(Self::Unix(UnixStream::connect(socket_path(rest))?)),
            "tcp" => {
                let (host, port) = host_and_port(rest, port).ok_or(ConnectError::NotAName)?;
                let mut error = io::Error::from_raw_os_error(nix::errno::Errno::EINVAL as i32);
                for address in (host.as_str(), port).to_socket_addrs()? {
                    match TcpStream::connect(address) {
                        Ok(stream) => return Self::tcp(stream),
                        Err(refused) => error = refused,
                    }
                }
                Err(error.into())
            }
            "punix" | "ptcp" => Ok(Listener::bind(name, port)?.accept()?),
            "ssl" | "pssl" => Err(ConnectError::Tls),
            _ => Err(ConnectError::NotAName),
        }
    }

    fn tcp(stream: TcpStream) -> Result<Self, ConnectError> {
        stream.set_nodelay(true)?;
        Ok(Self::Tcp(stream))
    }

    /// Lets reads and writes return at once, or wait again.
    ///
    /// # Errors
    /// The system refuses.
    pub fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        match self {
            Self::Unix(stream) => stream.set_nonblocking(nonblocking),
            Self::Tcp(stream) => stream.set_nonblocking(nonblocking),
        }
    }

    /// How long a read may wait.
    ///
    /// # Errors
    /// The system refuses.
    pub fn set_read_timeout(&self, limit: Option<Duration>) -> io::Result<()> {
        match self {
            Self::Unix(stream) => stream.set_read_timeout(limit),
            Self::Tcp(stream) => stream.set_read_timeout(limit),
        }
    }

    /// Ends both directions.
    pub fn close(&self) {
        let _ = match self {
            Self::Unix(stream) => stream.shutdown(Shutdown::Both),
            Self::Tcp(stream) => stream.shutdown(Shutdown::Both),
        };
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Unix(stream) => stream.read(buffer),
            Self::Tcp(stream) => stream.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Unix(stream) => stream.write(bytes),
            Self::Tcp(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Unix(stream) => stream.as_fd(),
            Self::Tcp(stream) => stream.as_fd(),
        }
    }
}

/// A place where calls come in; a Unix socket goes with the value.
#[derive(Debug)]
pub enum Listener {
    /// A Unix socket and its path.
    Unix(UnixListener, PathBuf),
    /// A TCP port.
    Tcp(TcpListener),
}

impl Listener {
    /// Opens `punix:PATH` or `ptcp:[PORT][:HOST]`.
    ///
    /// # Errors
    /// [`ConnectError`].
    pub fn bind(name: &str, port: u16) -> Result<Self, ConnectError> {
        match name.split_once(':') {
            Some(("punix", path)) => {
                let path = socket_path(path);
                // A socket that nobody answers is left over from a process that was killed.
                if UnixStream::connect(&path).is_err() {
                    let _ = std::fs::remove_file(&path);
                }
                Ok(Self::Unix(UnixListener::bind(&path)?, path))
            }
            Some(("ptcp", rest)) => {
                let (number, host) = rest.split_once(':').unwrap_or((rest, ""));
                let number = if number.is_empty() { Ok(port) } else { number.parse() };
                let host = host.trim_start_matches('[').trim_end_matches(']');
                let host = if host.is_empty() { "0.0.0.0" } else { host };
                Ok(Self::Tcp(TcpListener::bind((host, number.map_err(|_| ConnectError::NotAName)?))?))
            }
            Some(("pssl", _)) => Err(ConnectError::Tls),
            _ => Err(ConnectError::NotAName),
        }
    }

    /// Waits for a call.
    ///
    /// # Errors
    /// The system refuses.
    pub fn accept(&self) -> io::Result<Stream> {
        match self {
            Self::Unix(listener, _) => Ok(Stream::Unix(listener.accept()?.0)),
            Self::Tcp(listener) => {
                let stream = listener.accept()?.0;
                stream.set_nodelay(true)?;
                Ok(Stream::Tcp(stream))
            }
        }
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Unix(listener, _) => listener.as_fd(),
            Self::Tcp(listener) => listener.as_fd(),
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Self::Unix(_, path) = self {
            let _ = std::fs::remove_file(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_ports_are_told_apart() {
        for (text, host, port) in [
            ("127.0.0.1", "127.0.0.1", 6640),
            ("127.0.0.1:7", "127.0.0.1", 7),
            ("[::1]", "::1", 6640),
            ("[::1]:7", "::1", 7),
            ("localhost:", "localhost", 6640),
        ] {
            assert_eq!(host_and_port(text, 6640), Some((host.to_owned(), port)));
        }
        assert_eq!(host_and_port("127.0.0.1:x", 1), None);
    }

    #[test]
    fn a_call_reaches_who_waits() {
        let listener = Listener::bind("ptcp:0:127.0.0.1", 1).unwrap();
        let Listener::Tcp(socket) = &listener else { panic!("it is TCP") };
        let name = format!("tcp:127.0.0.1:{}", socket.local_addr().unwrap().port());
        let mut here = Stream::connect(&name, 1).unwrap();
        let mut there = listener.accept().unwrap();
        here.write_all(b"ping").unwrap();
        let mut read = [0; 4];
        there.read_exact(&mut read).unwrap();
        assert_eq!(&read, b"ping");
        assert!(matches!(Stream::connect("ssl:127.0.0.1", 1), Err(ConnectError::Tls)));
        assert!(matches!(Stream::connect("br0", 1), Err(ConnectError::NotAName)));
    }
}
