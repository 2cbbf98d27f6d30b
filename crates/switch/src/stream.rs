//! Byte streams by the names that Open vSwitch gives them: `tcp:IP[:PORT]`, `unix:PATH` to call, `ptcp:[PORT][:IP]`,
//! `punix:PATH` to be called. OpenFlow, unixctl and the controller's side share them.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

/// The port that IANA gave OpenFlow.
pub const OPENFLOW_PORT: u16 = 6653;

/// Why a name is not usable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NameError(String);

fn refuse<T>(reason: String) -> Result<T, NameError> {
    Err(NameError(reason))
}

/// A stream of bytes in both directions.
pub trait Bytes: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Bytes for S {}

/// A connected stream.
pub type Stream = Box<dyn Bytes>;

/// Whom to call.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Target {
    /// `tcp:IP[:PORT]`; an IPv6 address stands in brackets.
    Tcp(SocketAddr),
    /// `unix:PATH`.
    Unix(PathBuf),
}

impl FromStr for Target {
    type Err = NameError;

    fn from_str(name: &str) -> Result<Self, NameError> {
        match name.split_once(':') {
            Some(("tcp", rest)) => match address_first(rest) {
                Some(address) => Ok(Self::Tcp(address)),
                None => refuse(format!("{name:?} is not tcp:IP[:PORT], such as tcp:127.0.0.1:6653")),
            },
            Some(("unix", "")) => refuse("unix: names no socket".into()),
            Some(("unix", path)) => Ok(Self::Unix(PathBuf::from(path))),
            Some(("ssl", _)) => refuse(format!("{name}: TLS is not there yet; use tcp: or unix:")),
            _ => refuse(format!("{name:?} is neither tcp:IP[:PORT] nor unix:PATH")),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "tcp:{address}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// `IP`, `IP:PORT`, `[IP6]` or `[IP6]:PORT`.
fn address_first(text: &str) -> Option<SocketAddr> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    text.parse().ok().or_else(|| Some(SocketAddr::new(bare.parse().ok()?, OPENFLOW_PORT)))
}

impl Target {
    /// Calls.
    ///
    /// # Errors
    /// Nobody answers there.
    pub async fn connect(&self) -> io::Result<Stream> {
        match self {
            Self::Tcp(address) => {
                let stream = TcpStream::connect(address).await?;
                stream.set_nodelay(true)?;
                Ok(Box::new(stream))
            }
            Self::Unix(path) => Ok(Box::new(UnixStream::connect(path).await?)),
        }
    }
}

/// Where to be called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// `ptcp:[PORT][:IP]`.
    Tcp(SocketAddr),
    /// `punix:PATH`.
    Unix(PathBuf),
}

impl FromStr for Place {
    type Err = NameError;

    fn from_str(name: &str) -> Result<Self, NameError> {
        match name.split_once(':') {
            Some(("ptcp", rest)) => {
                let (port, ip) = rest.split_once(':').unwrap_or((rest, ""));
                let port = if port.is_empty() { Ok(OPENFLOW_PORT) } else { port.parse() };
                let bare = ip.strip_prefix('[').and_then(|ip| ip.strip_suffix(']')).unwrap_or(ip);
                let ip = if ip.is_empty() {
                    Ok(IpAddr::V4(Ipv4Addr::UNSPECIFIED))
                } else {
                    bare.parse::<IpAddr>()
                };
                match (port, ip) {
                    (Ok(port), Ok(ip)) => Ok(Self::Tcp(SocketAddr::new(ip, port))),
                    _ => refuse(format!("{name:?} is not ptcp:[PORT][:IP], such as ptcp:6653:127.0.0.1")),
                }
            }
            Some(("punix", "")) => refuse("punix: names no socket".into()),
            Some(("punix", path)) => Ok(Self::Unix(PathBuf::from(path))),
            _ => refuse(format!("{name:?} is neither ptcp:[PORT][:IP] nor punix:PATH")),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "ptcp:{}:{}", address.port(), address.ip()),
            Self::Unix(path) => write!(f, "punix:{}", path.display()),
        }
    }
}

enum Accepting {
    Tcp(TcpListener),
    Unix(UnixListener, PathBuf),
}

/// A place that is open; a Unix socket goes with the value.
pub struct Listener(Accepting);

impl Listener {
    /// Opens a place.
    ///
    /// # Errors
    /// It is in use, or the system refuses; the place is named.
    pub async fn bind(place: &Place) -> io::Result<Self> {
        let named = |error: io::Error| io::Error::new(error.kind(), format!("{place}: {error}"));
        match place {
            Place::Tcp(address) => Ok(Self(Accepting::Tcp(TcpListener::bind(address).await.map_err(named)?))),
            Place::Unix(path) => Self::unix(path).map_err(named),
        }
    }

    fn unix(path: &Path) -> io::Result<Self> {
        // A socket that nobody answers is left over; one that is answered is somebody's.
        if std::os::unix::net::UnixStream::connect(path).is_ok() {
            return Err(io::Error::new(io::ErrorKind::AddrInUse, "a process already listens here"));
        }
        let _ = std::fs::remove_file(path);
        Ok(Self(Accepting::Unix(UnixListener::bind(path)?, path.to_owned())))
    }

    /// Waits for a caller.
    ///
    /// # Errors
    /// The system refuses another descriptor.
    pub async fn accept(&self) -> io::Result<Stream> {
        match &self.0 {
            Accepting::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                stream.set_nodelay(true)?;
                Ok(Box::new(stream))
            }
            Accepting::Unix(listener, _) => Ok(Box::new(listener.accept().await?.0)),
        }
    }

    /// The TCP address, with the port that the system chose where none was asked for.
    #[must_use]
    pub fn local_address(&self) -> Option<SocketAddr> {
        match &self.0 {
            Accepting::Tcp(listener) => listener.local_addr().ok(),
            Accepting::Unix(..) => None,
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Accepting::Unix(_, path) = &self.0 {
            let _ = std::fs::remove_file(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_open_vswitch_writes_them() {
        for (name, printed) in [
            ("tcp:127.0.0.1", "tcp:127.0.0.1:6653"),
            ("tcp:127.0.0.1:6633", "tcp:127.0.0.1:6633"),
            ("tcp:[::1]:7", "tcp:[::1]:7"),
            ("tcp:[::1]", "tcp:[::1]:6653"),
            ("unix:/run/c0.sock", "unix:/run/c0.sock"),
        ] {
            assert_eq!(name.parse::<Target>().unwrap().to_string(), printed);
        }
        for (name, printed) in [
            ("ptcp:", "ptcp:6653:0.0.0.0"),
            ("ptcp:6633", "ptcp:6633:0.0.0.0"),
            ("ptcp:0:127.0.0.1", "ptcp:0:127.0.0.1"),
            ("ptcp::[::1]", "ptcp:6653:::1"),
            ("punix:x", "punix:x"),
        ] {
            assert_eq!(name.parse::<Place>().unwrap().to_string(), printed);
        }
    }

    #[test]
    fn other_names_are_refused() {
        for name in
            ["", "tcp", "tcp:", "tcp:host:1", "tcp:1.2.3.4:99999", "unix:", "ssl:1.2.3.4", "udp:1.2.3.4"]
        {
            assert!(name.parse::<Target>().is_err(), "{name}");
        }
        for name in ["ptcp", "ptcp:x", "ptcp:1:x", "punix:", "tcp:1.2.3.4", ""] {
            assert!(name.parse::<Place>().is_err(), "{name}");
        }
    }
}
