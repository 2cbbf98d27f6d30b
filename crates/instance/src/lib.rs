//! Isolated instances (network namespaces) behind one trait.
//!
//! An [`Instance`] is whatever has a network of its own and can run programs; an [`InstanceProvider`] makes
//! them. [`netns`] holds a network namespace by a descriptor alone: no process sleeps in it and no name is
//! bind-mounted, so that it vanishes with whoever holds the descriptor. [`dummy`] records what was asked and
//! needs no privileges. A device reaches the switch as a TAP or as a veth pair ([`Wiring`]). `setns` is per thread, so everything that must happen inside a namespace happens on a
//! short-lived thread; callers may therefore use instances from any thread at once. The system calls that
//! need `unsafe` are in [`sys`] alone.

pub mod dummy;
pub mod neighbour;
pub mod netlink;
pub mod netns;
pub mod sys;

use std::ffi::OsString;
use std::io;
use std::net::IpAddr;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::process::Child;

use serde::{Deserialize, Serialize};

/// An address with the length of its prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Prefix {
    /// The address, host bits kept.
    pub address: IpAddr,
    /// Length of the prefix in bits.
    pub length: u8,
}

impl std::fmt::Display for Prefix {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.address, self.length)
    }
}

/// A static route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// Where to; length 0 is the default route.
    pub to: Prefix,
    /// The next hop.
    pub via: IpAddr,
}

/// How a device reaches the switch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Wiring {
    /// A TAP inside the instance, whose descriptor the switch gets.
    #[default]
    Tap,
    /// A veth pair: the device is its far end, and the near end stays in the caller's network namespace. For
    /// where `/dev/net/tun` is closed to the caller, and for scripts that look for `s1-eth1`.
    Veth {
        /// The near end's name in the caller's namespace, such as `s1-eth1`.
        near: String,
    },
}

/// One network device of an instance, as wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nic {
    /// The device's name inside the instance, such as `h1-eth0`.
    pub name: String,
    /// Its Ethernet address.
    pub mac: [u8; 6],
    /// Largest network-layer packet in bytes.
    pub mtu: u32,
    /// IPv4 and IPv6 addresses.
    pub addresses: Vec<Prefix>,
    /// Routes, added once the device is up.
    pub routes: Vec<Route>,
    /// It asks [`neighbour::Solicitations`] for neighbours before it asks the wire.
    pub solicits: bool,
    /// How it reaches the switch.
    pub wiring: Wiring,
}

/// What the switch gets of a device that was made.
#[derive(Debug)]
pub enum Attachment {
    /// A TAP's descriptor, with 12-byte vnet headers; the device lives as long as the instance's namespace.
    Tap(OwnedFd),
    /// The near end of a veth pair, by its name in the caller's network namespace: up, with the device's MTU and
    /// without addresses. The pair vanishes with either end, and with the instance's namespace once the kernel gets
    /// to it: the name is free again a little after the instance is gone.
    Veth(String),
    /// Nothing real: the dummy provider's answer.
    Dummy,
}

/// A program to run inside an instance.
#[derive(Debug, Default)]
pub struct Program {
    /// The program and its arguments.
    pub argv: Vec<OsString>,
    /// The whole environment; the caller's own when `None`.
    pub env: Option<Vec<(OsString, OsString)>>,
    /// Working directory.
    pub cwd: Option<PathBuf>,
    /// Standard input, output and error; `/dev/null` where absent.
    pub stdio: [Option<OwnedFd>; 3],
    /// Shown as `/etc/hosts` inside.
    pub hosts_file: Option<PathBuf>,
}

/// Why an instance could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A system call failed.
    #[error("{what} of {instance} failed")]
    System {
        /// The step.
        what: &'static str,
        /// The instance's name.
        instance: String,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// The TAP driver cannot be opened.
    #[error(
        "/dev/net/tun cannot be opened for {instance}: load the tun module, and for use without root give \
         the caller read and write permission on it (chmod 666 /dev/net/tun)"
    )]
    Tun {
        /// The instance's name.
        instance: String,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// The worker thread ended without an answer.
    #[error("the worker thread of {0} died")]
    Thread(String),
}

/// A device that was taken out: nameless to users, but still there. The kernel takes some 20 ms for the end of a device,
/// nearly all of it waiting, so that this is best done by a thread of its own; or not at all where the instance goes too.
#[derive(Debug, Default)]
pub struct Remains {
    /// The namespace that it is in, and its name there; none where nothing real was made.
    pub(crate) device: Option<(OwnedFd, String)>,
}

/// Something with a network of its own.
pub trait Instance: Send + Sync {
    /// Its name.
    fn name(&self) -> &str;
    /// The descriptor of its network namespace, where it has one.
    fn netns(&self) -> Option<BorrowedFd<'_>>;
    /// Makes one network device and configures it.
    ///
    /// # Errors
    /// The step that the kernel refused; a device half made is gone again.
    fn attach(&self, nic: &Nic) -> Result<Attachment, Error>;
    /// Takes a device that [`Self::attach`] made out of use: it is down, and its names are free again, when this returns.
    ///
    /// # Errors
    /// There is no such device, or the kernel's refusal.
    fn take_out(&self, device: &str, wiring: &Wiring) -> Result<Remains, Error>;
    /// Sets a device up or down.
    ///
    /// # Errors
    /// The kernel's refusal.
    fn set_link(&self, device: &str, up: bool) -> Result<(), Error>;
    /// How many packets its devices had no room for so far, in both directions.
    ///
    /// # Errors
    /// The kernel's refusal.
    fn dropped(&self) -> Result<u64, Error>;
    /// Starts a program inside.
    ///
    /// # Errors
    /// As `std::process::Command::spawn`.
    fn spawn(&self, program: Program) -> io::Result<Child>;
}

/// Makes instances of one kind.
pub trait InstanceProvider: Send + Sync {
    /// Makes an instance with its loopback device up.
    ///
    /// # Errors
    /// The step that the kernel refused.
    fn create(&self, name: &str) -> Result<Box<dyn Instance>, Error>;
}

/// Runs work that changes its thread's namespaces on a thread of its own.
fn on_thread_of<T: Send>(work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    std::thread::scope(|scope| scope.spawn(work).join())
        .unwrap_or_else(|_| Err(io::Error::other("the worker thread died")))
}
