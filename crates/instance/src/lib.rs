//! Isolated instances (network namespaces) behind one trait.
//!
//! An [`Instance`] is a host of a lab: something with a network of its own in which programs run. [`NetnsHost`]
//! is one in a Linux network namespace, [`DummyHost`] one in memory for tests that need no privileges. A namespace
//! is held by its descriptor alone and has no name in the file system, so it vanishes with the process that
//! holds it, however that process ends. Everything that needs `unsafe` is in [`sys`].

mod dummy;
mod netns;
pub mod rtnl;
pub mod sys;

pub use dummy::DummyHost;
pub use netns::{Netns, NetnsHost};

use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use std::os::fd::OwnedFd;

/// What a host is made of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostSpec {
    /// Its name, which becomes its hostname.
    pub name: String,
    /// Its interfaces, in order.
    pub interfaces: Vec<InterfaceSpec>,
    /// Its static routes.
    #[serde(default)]
    pub routes: Vec<RouteSpec>,
}

/// One interface of a host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InterfaceSpec {
    /// Its name inside the host, at most 15 bytes.
    pub name: String,
    /// Its Ethernet address.
    pub mac: [u8; 6],
    /// Its addresses with the length of their prefixes.
    pub addresses: Vec<(IpAddr, u8)>,
    /// Largest network-layer packet in bytes.
    pub mtu: u32,
    /// Name of the switch's end, where the kernel must make one.
    pub peer: String,
}

/// One static route of a host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteSpec {
    /// Destination and the length of its prefix; length 0 is the default route.
    pub destination: (IpAddr, u8),
    /// The next router.
    pub via: IpAddr,
}

/// How a host's interfaces reach the switch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Attachment {
    /// A TAP in the host, its descriptor kept for the switch.
    Tap,
    /// A veth pair, for callers who may not open `/dev/net/tun`.
    Veth,
}

/// The switch's end of a host's interface.
#[derive(Debug)]
pub enum SwitchEnd {
    /// The descriptor of a TAP.
    Tap(OwnedFd),
    /// The name of a kernel interface in the namespace of the switch.
    Interface(String),
    /// Nothing: the host is a dummy.
    Dummy,
}

/// What can go wrong with an instance.
#[derive(Debug, thiserror::Error)]
pub enum InstanceError {
    /// A system call failed for the object named.
    #[error("{object}: cannot {action}")]
    System {
        /// The host or interface.
        object: String,
        /// What was tried.
        action: &'static str,
        /// The system's answer.
        #[source]
        source: std::io::Error,
    },
    /// An interface name that Linux cannot take.
    #[error("{0}: not an interface name (1 to 15 bytes, no blank and no '/')")]
    InterfaceName(String),
    /// A program has no file of that name, or it may not be run.
    #[error("{host}: cannot run {program}")]
    Spawn {
        /// The host.
        host: String,
        /// The program.
        program: String,
        /// The system's answer.
        #[source]
        source: std::io::Error,
    },
    /// The worker that makes the namespace ended early.
    #[error("{0}: the thread that makes its namespace panicked")]
    Worker(String),
}

/// A host in which programs run.
pub trait Instance: Send + Sync {
    /// Its name.
    fn name(&self) -> &str;

    /// What it was made of.
    fn spec(&self) -> &HostSpec;

    /// Runs a program inside and returns its process id. The caller waits for it.
    ///
    /// # Errors
    /// [`InstanceError::Spawn`] when the program cannot be run.
    fn spawn(&self, command: sys::Spawn<'_>) -> Result<u32, InstanceError>;

    /// The switch's end of each interface, in the order of the specification.
    fn switch_ends(&self) -> &[SwitchEnd];
}
