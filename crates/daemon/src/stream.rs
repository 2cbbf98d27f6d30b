//! Byte streams by the names that Open vSwitch gives them: `tcp:HOST[:PORT]`, `unix:PATH` to call, `ptcp:[PORT][:IP]`,
//! `punix:PATH` to be called. OpenFlow, OVSDB, unixctl and the controller's side share them.

use std::fmt;
use std::fs::{File, Permissions};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

/// The port that IANA gave OpenFlow.
pub const OPENFLOW_PORT: u16 = 6653;
/// The port that IANA gave OVSDB.
pub const OVSDB_PORT: u16 = 6640;
/// Bytes of a Unix socket's name that the kernel takes.
const MAX_SOCKET_NAME: usize = 107;
/// Who may call a Unix socket: its owner, and read-only members of its group.
const SOCKET_MODE: u32 = 0o750;

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
    /// `tcp:HOST[:PORT]`; an IPv6 address stands in brackets.
    Tcp(String, u16),
    /// `unix:PATH`.
    Unix(PathBuf),
}

impl FromStr for Target {
    type Err = NameError;

    fn from_str(name: &str) -> Result<Self, NameError> {
        Self::parse(name, OPENFLOW_PORT)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(host, port) if host.contains(':') => write!(f, "tcp:[{host}]:{port}"),
            Self::Tcp(host, port) => write!(f, "tcp:{host}:{port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// A host and a port of `HOST`, `HOST:PORT`, `IP6`, `[IP6]` or `[IP6]:PORT`.
fn host_and_port(text: &str, usual: u16) -> Option<(String, u16)> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']')?;
            (host.parse::<std::net::Ipv6Addr>().ok()?.to_string(), port)
        }
        None if text.parse::<IpAddr>().is_ok() => (text.parse::<IpAddr>().ok()?.to_string(), ""),
        None => {
            let at = text.find(':').unwrap_or(text.len());
            (text[..at].to_owned(), &text[at..])
        }
    };
    let letters = |host: &str| host.chars().all(|at| at.is_ascii_alphanumeric() || "-_.:".contains(at));
    let port = match port.strip_prefix(':') {
        None if port.is_empty() => usual,
        Some(port) => port.parse().ok()?,
        None => return None,
    };
    (!host.is_empty() && letters(&host)).then_some((host, port))
}

impl Target {
    /// Reads a name; `port` is that of TCP where the name has none.
    ///
    /// # Errors
    /// The name is of another form, or asks for TLS.
    pub fn parse(name: &str, port: u16) -> Result<Self, NameError> {
        match name.split_once(':') {
            Some(("tcp", rest)) => match host_and_port(rest, port) {
                Some((host, port)) => Ok(Self::Tcp(host, port)),
                None => refuse(format!("{name:?} is not tcp:HOST[:PORT], such as tcp:127.0.0.1:{port}")),
            },
            Some(("unix", "")) => refuse("unix: names no socket".into()),
            Some(("unix", path)) => Ok(Self::Unix(PathBuf::from(path))),
            Some(("ssl", _)) => refuse(format!("{name}: TLS is not there yet; use tcp: or unix:")),
            _ => refuse(format!("{name:?} is neither tcp:HOST[:PORT] nor unix:PATH")),
        }
    }

    /// Calls. A host's name is resolved first.
    ///
    /// # Errors
    /// Nobody answers there.
    pub async fn connect(&self) -> io::Result<Stream> {
        match self {
            Self::Tcp(host, port) => {
                let stream = TcpStream::connect((host.as_str(), *port)).await?;
                stream.set_nodelay(true)?;
                Ok(Box::new(stream))
            }
            Self::Unix(path) => {
                let short = ShortName::of(path)?;
                Ok(Box::new(UnixStream::connect(&short.name).await?))
            }
        }
    }

    /// Calls, and waits for the answer.
    ///
    /// # Errors
    /// Nobody answers there.
    pub fn connect_blocking(&self) -> io::Result<Blocking> {
        match self {
            Self::Tcp(host, port) => {
                let stream = std::net::TcpStream::connect((host.as_str(), *port))?;
                stream.set_nodelay(true)?;
                Ok(Blocking::Tcp(stream))
            }
            Self::Unix(path) => {
                let short = ShortName::of(path)?;
                Ok(Blocking::Unix(std::os::unix::net::UnixStream::connect(&short.name)?))
            }
        }
    }
}

/// A connected stream whose reads and writes wait.
#[derive(Debug)]
pub enum Blocking {
    /// TCP.
    Tcp(std::net::TcpStream),
    /// A Unix socket.
    Unix(std::os::unix::net::UnixStream),
}

impl Blocking {
    /// Bounds how long a read waits; `None` is for ever.
    ///
    /// # Errors
    /// The time is zero.
    pub fn set_read_timeout(&self, limit: Option<std::time::Duration>) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.set_read_timeout(limit),
            Self::Unix(stream) => stream.set_read_timeout(limit),
        }
    }
}

impl io::Read for Blocking {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(buffer),
            Self::Unix(stream) => stream.read(buffer),
        }
    }
}

impl io::Write for Blocking {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write(bytes),
            Self::Unix(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A socket's name that is short enough for the kernel: a long one goes by a descriptor of its directory.
struct ShortName {
    name: PathBuf,
    _directory: Option<File>,
}

impl ShortName {
    fn of(path: &Path) -> io::Result<Self> {
        if path.as_os_str().len() <= MAX_SOCKET_NAME {
            return Ok(Self { name: path.to_owned(), _directory: None });
        }
        let (Some(parent), Some(file)) = (path.parent(), path.file_name()) else {
            return Err(io::ErrorKind::InvalidFilename.into());
        };
        let directory = File::open(parent)?;
        let name = Path::new("/proc/self/fd").join(directory.as_raw_fd().to_string()).join(file);
        Ok(Self { name, _directory: Some(directory) })
    }
}

/// Where to be called.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Place {
    /// `ptcp:[PORT][:IP]`.
    Tcp(SocketAddr),
    /// `punix:PATH`.
    Unix(PathBuf),
}

impl FromStr for Place {
    type Err = NameError;

    fn from_str(name: &str) -> Result<Self, NameError> {
        Self::parse(name, OPENFLOW_PORT)
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

impl Place {
    /// Reads a name; `usual` is TCP's port where the name has none.
    ///
    /// # Errors
    /// The name is of another form, or asks for TLS.
    pub fn parse(name: &str, usual: u16) -> Result<Self, NameError> {
        match name.split_once(':') {
            Some(("ptcp", rest)) => {
                let (port, ip) = rest.split_once(':').unwrap_or((rest, ""));
                let port = if port.is_empty() { Ok(usual) } else { port.parse() };
                let bare = ip.strip_prefix('[').and_then(|ip| ip.strip_suffix(']')).unwrap_or(ip);
                let ip = if ip.is_empty() {
                    Ok(IpAddr::V4(Ipv4Addr::UNSPECIFIED))
                } else {
                    bare.parse::<IpAddr>()
                };
                match (port, ip) {
                    (Ok(port), Ok(ip)) => Ok(Self::Tcp(SocketAddr::new(ip, port))),
                    _ => refuse(format!("{name:?} is not ptcp:[PORT][:IP], such as ptcp:{usual}:127.0.0.1")),
                }
            }
            Some(("punix", "")) => refuse("punix: names no socket".into()),
            Some(("punix", path)) => Ok(Self::Unix(PathBuf::from(path))),
            Some(("pssl", _)) => refuse(format!("{name}: TLS is not there yet; use ptcp: or punix:")),
            _ => refuse(format!("{name:?} is neither ptcp:[PORT][:IP] nor punix:PATH")),
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
    /// Opens a place. To be called within an async runtime.
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
        let short = ShortName::of(path)?;
        // A socket that nobody answers is left over; one that is answered is somebody's.
        if std::os::unix::net::UnixStream::connect(&short.name).is_ok() {
            return Err(io::Error::new(io::ErrorKind::AddrInUse, "a process already listens here"));
        }
        let _ = std::fs::remove_file(path);
        let listener = UnixListener::bind(&short.name)?;
        std::fs::set_permissions(path, Permissions::from_mode(SOCKET_MODE))?;
        Ok(Self(Accepting::Unix(listener, path.to_owned())))
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
            ("tcp:::1", "tcp:[::1]:6653"),
            ("tcp:c0.example:1", "tcp:c0.example:1"),
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
        for name in [
            "",
            "tcp",
            "tcp:",
            "tcp:host:x",
            "tcp:1.2.3.4:99999",
            "unix:",
            "ssl:1.2.3.4",
            "tcp:a b",
            "tcp:[x]",
            "udp:1.2.3.4",
        ] {
            assert!(name.parse::<Target>().is_err(), "{name}");
        }
        for name in ["ptcp", "ptcp:x", "ptcp:1:x", "punix:", "pssl:", "tcp:1.2.3.4", ""] {
            assert!(name.parse::<Place>().is_err(), "{name}");
        }
    }

    #[tokio::test]
    async fn a_long_name_of_a_socket_is_served_and_called() {
        let directory = std::env::temp_dir().join(format!("{}{}", "d".repeat(100), std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let path = directory.join("x.sock");
        let listener = Listener::bind(&Place::Unix(path.clone())).await.unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, SOCKET_MODE);
        let target = Target::Unix(path.clone());
        let (called, accepted) = tokio::join!(target.connect(), listener.accept());
        assert!(called.is_ok() && accepted.is_ok());
        assert!(Listener::bind(&Place::Unix(path.clone())).await.is_err());
        drop(listener);
        assert!(!path.exists());
        std::fs::remove_dir(&directory).unwrap();
    }

    #[test]
    fn the_usual_port_is_the_protocols() {
        assert_eq!(Target::parse("tcp:1.2.3.4", OVSDB_PORT).unwrap().to_string(), "tcp:1.2.3.4:6640");
        assert_eq!(Place::parse("ptcp:", OVSDB_PORT).unwrap().to_string(), "ptcp:6640:0.0.0.0");
    }
}
