//! A small rtnetlink client, for the few requests that a host needs.
//!
//! The socket belongs to the network namespace of the thread that opens it, which is why no shared or
//! asynchronous client serves. Requests are written by hand: five message kinds with a handful of attributes
//! are shorter than a general library's types for them. A request is a value; many are carried out by one
//! system call, since a lab makes hosts by the thousand.

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, socket};

use crate::neighbour::Neighbour;
use crate::{Prefix, Route};

const NEWLINK: u16 = 16;
const DELLINK: u16 = 17;
const NEWADDR: u16 = 20;
const NEWROUTE: u16 = 24;
const NEWNEIGH: u16 = 28;
const SETNEIGHTBL: u16 = 67;
const NEWNSID: u16 = 88;
const GETNSID: u16 = 90;
const ERROR: u16 = 2;
const REQUEST_ACK: u16 = 0x0001 | 0x0004;
const CREATE_REPLACE: u16 = 0x0400 | 0x0100;
const CREATE_EXCLUSIVE: u16 = 0x0400 | 0x0200;
const IFF_UP: u32 = 1;
const IFA_F_NODAD: u8 = 2;
const HEADER: usize = 16;
/// Requests sent by one system call: their acknowledgements fit any socket's receive buffer.
const BATCH: usize = 64;

/// Attributes of a link (`IFLA_*`).
mod ifla {
    pub const ADDRESS: u16 = 1;
    pub const IFNAME: u16 = 3;
    pub const MTU: u16 = 4;
    pub const LINKINFO: u16 = 18;
    pub const AF_SPEC: u16 = 26;
    pub const NET_NS_FD: u16 = 28;
    pub const NUM_TX_QUEUES: u16 = 31;
    pub const NUM_RX_QUEUES: u16 = 32;
    pub const INFO_KIND: u16 = 1;
    pub const INFO_DATA: u16 = 2;
    pub const VETH_INFO_PEER: u16 = 1;
    pub const INET6_ADDR_GEN_MODE: u16 = 8;
    pub const ADDR_GEN_MODE_NONE: u8 = 1;
}

/// A socket for requests in one namespace.
#[derive(Debug)]
pub struct Netlink {
    socket: OwnedFd,
    sequence: u32,
}

/// A request that the kernel refused.
#[derive(Debug, thiserror::Error)]
#[error("{what} failed")]
pub struct Refused {
    /// What was asked.
    pub what: &'static str,
    /// The kernel's answer.
    #[source]
    pub source: io::Error,
}

impl Netlink {
    /// Opens a socket in the calling thread's network namespace.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub fn open() -> io::Result<Self> {
        let flags = SockFlag::SOCK_CLOEXEC;
        let socket = socket(AddressFamily::Netlink, SockType::Raw, flags, Some(SockProtocol::NetlinkRoute))?;
        Ok(Self { socket, sequence: 0 })
    }

    /// Carries out requests in order. The kernel goes on after one that it refused, so requests that only make
    /// sense after another succeeded belong in a later call.
    ///
    /// # Errors
    /// The first request that was refused.
    pub fn apply(&mut self, requests: Vec<Request>) -> Result<(), Refused> {
        let mut requests = requests.into_iter();
        loop {
            let batch: Vec<_> = requests.by_ref().take(BATCH).collect();
            if batch.is_empty() {
                return Ok(());
            }
            self.apply_batch(&batch)?;
        }
    }

    fn apply_batch(&mut self, batch: &[Request]) -> Result<(), Refused> {
        let first = self.sequence.wrapping_add(1);
        let mut bytes = vec![];
        for request in batch {
            self.sequence = self.sequence.wrapping_add(1);
            request.write(self.sequence, &mut bytes);
        }
        let asked = batch.first().map_or("a request", |request| request.what);
        let sent = send(self.socket.as_raw_fd(), &bytes, MsgFlags::empty());
        sent.map_err(|error| Refused { what: asked, source: error.into() })?;
        let mut outcome = Ok(());
        for (number, request) in batch.iter().enumerate() {
            let answer = self.acknowledgement(first.wrapping_add(number as u32));
            let answer = answer.map_err(|source| Refused { what: request.what, source });
            outcome = outcome.and(answer);
        }
        outcome
    }

    /// Asks a question of one answer, which is there when it has been asked; the answer's message, header first.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub fn ask(&mut self, question: &Request) -> io::Result<Vec<u8>> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut bytes = vec![];
        question.write(self.sequence, &mut bytes);
        send(self.socket.as_raw_fd(), &bytes, MsgFlags::empty())?;
        let mut answer = vec![0; 4096];
        let size = recv(self.socket.as_raw_fd(), &mut answer, MsgFlags::MSG_DONTWAIT)?;
        answer.truncate(size);
        match acknowledged(&answer, self.sequence) {
            Some(error) if error != 0 => Err(io::Error::from_raw_os_error(-error)),
            _ => Ok(answer),
        }
    }

    /// The acknowledgement of the request with this number. The kernel carries requests out, and queues its
    /// answers, before `send` returns: so an answer is there already or will never be, and nothing is waited for.
    fn acknowledgement(&mut self, sequence: u32) -> io::Result<()> {
        let mut answer = [0u8; 4096];
        loop {
            let size = match recv(self.socket.as_raw_fd(), &mut answer, MsgFlags::MSG_DONTWAIT) {
                Err(Errno::EINTR) => continue,
                Err(Errno::EAGAIN) => {
                    return Err(io::Error::new(io::ErrorKind::TimedOut, "the kernel did not answer"));
                }
                other => other?,
            };
            if let Some(error) = acknowledged(&answer[..size], sequence) {
                return if error == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(-error)) };
            }
        }
    }
}

/// The error number (0 or negative) of the acknowledgement of `sequence`, if this is it.
fn acknowledged(answer: &[u8], sequence: u32) -> Option<i32> {
    let kind = u16::from_ne_bytes(answer.get(4..6)?.try_into().ok()?);
    let number = u32::from_ne_bytes(answer.get(8..12)?.try_into().ok()?);
    let error = i32::from_ne_bytes(answer.get(16..20)?.try_into().ok()?);
    (kind == ERROR && number == sequence).then_some(error)
}

fn family(address: IpAddr) -> u8 {
    if address.is_ipv4() { 2 } else { 10 }
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(a) => a.octets().to_vec(),
        IpAddr::V6(a) => a.octets().to_vec(),
    }
}

/// A request, but for its number: the fixed part and attributes padded to 4 bytes.
#[derive(Debug)]
pub struct Request {
    what: &'static str,
    bytes: Vec<u8>,
}

impl Request {
    /// Sets a device up or down and, where given, its Ethernet address and MTU.
    #[must_use]
    pub fn set_link(index: u32, mac: Option<[u8; 6]>, mtu: Option<u32>, up: bool) -> Self {
        let mut request = Self::new("setting a link", NEWLINK, 0);
        request.link(index, IFF_UP, up);
        if let Some(mac) = mac {
            request.attribute(ifla::ADDRESS, &mac);
        }
        if let Some(mtu) = mtu {
            request.attribute(ifla::MTU, &mtu.to_ne_bytes());
        }
        request
    }

    /// Sets a device up or down by its name.
    #[must_use]
    pub fn set_link_named(name: &str, up: bool) -> Self {
        let mut request = Self::new("setting a link", NEWLINK, 0);
        request.link(0, IFF_UP, up);
        request.name(name);
        request
    }

    /// Gives the device of an index, which must be down on kernels before 6.2, another name.
    #[must_use]
    pub fn rename(index: u32, name: &str) -> Self {
        let mut request = Self::new("renaming a link", NEWLINK, 0);
        request.link(index, 0, false);
        request.name(name);
        request
    }

    /// Keeps the kernel from giving a device a link-local IPv6 address when it comes up, so that it solicits no
    /// router from it.
    #[must_use]
    pub fn without_link_local(name: &str) -> Self {
        let mut request = Self::new("turning link-local addresses off", NEWLINK, 0);
        request.link(0, 0, false);
        request.name(name);
        request.nest(ifla::AF_SPEC, |families| {
            families.nest(libc::AF_INET6 as u16, |inet6| {
                inet6.attribute(ifla::INET6_ADDR_GEN_MODE, &[ifla::ADDR_GEN_MODE_NONE]);
            });
        });
        request
    }

    /// Deletes the device of this name; the other end of a veth pair goes with it.
    #[must_use]
    pub fn delete_link(name: &str) -> Self {
        let mut request = Self::new("deleting a link", DELLINK, 0);
        request.link(0, 0, false);
        request.name(name);
        request
    }

    /// Makes a veth pair, both ends down, whose near end is in the socket's namespace and whose far end is in
    /// `far_netns`. Each end has one queue a direction: the kernel's own choice is one for each processor that it
    /// could ever have.
    #[must_use]
    pub fn make_veth(near: &str, far: &str, far_netns: BorrowedFd<'_>, mtu: u32) -> Self {
        let mut request = Self::new("making the veth pair", NEWLINK, CREATE_EXCLUSIVE);
        request.veth_end(near, mtu);
        request.nest(ifla::LINKINFO, |info| {
            info.attribute(ifla::INFO_KIND, b"veth");
            info.nest(ifla::INFO_DATA, |data| {
                data.nest(ifla::VETH_INFO_PEER, |peer| {
                    peer.veth_end(far, mtu);
                    peer.attribute(ifla::NET_NS_FD, &far_netns.as_raw_fd().to_ne_bytes());
                });
            });
        });
        request
    }

    /// Adds an address; an IPv6 address is usable at once, without duplicate address detection.
    #[must_use]
    pub fn add_address(index: u32, prefix: Prefix) -> Self {
        let mut request = Self::new("adding an address", NEWADDR, CREATE_REPLACE);
        let flags = if prefix.address.is_ipv6() { IFA_F_NODAD } else { 0 };
        request.put(&[family(prefix.address), prefix.length, flags, 0]);
        request.put(&index.to_ne_bytes());
        let address = octets(prefix.address);
        request.attribute(1, &address);
        request.attribute(2, &address);
        // Programs read the broadcast address from the interface; the last two addresses of a net have none.
        if let (IpAddr::V4(address), 0..=30) = (prefix.address, prefix.length) {
            let host = u32::MAX.checked_shr(u32::from(prefix.length)).unwrap_or(0);
            request.attribute(4, &(u32::from(address) | host).to_be_bytes());
        }
        request
    }

    /// Adds a static route to the main table.
    #[must_use]
    pub fn add_route(index: u32, route: Route) -> Self {
        const MAIN_STATIC_UNIVERSE_UNICAST: [u8; 4] = [254, 4, 0, 1];
        let mut request = Self::new("adding a route", NEWROUTE, CREATE_REPLACE);
        request.put(&[family(route.to.address), route.to.length, 0, 0]);
        request.put(&MAIN_STATIC_UNIVERSE_UNICAST);
        request.put(&[0; 4]);
        if route.to.length > 0 {
            request.attribute(1, &octets(route.to.address));
        }
        request.attribute(5, &octets(route.via));
        request.attribute(4, &index.to_ne_bytes());
        request
    }

    /// Adds a neighbour as one that a manager learned: it is not counted among those that the kernel bounds.
    #[must_use]
    pub fn learned_neighbour(neighbour: &Neighbour) -> Self {
        const REACHABLE: u16 = 0x02;
        const EXT_LEARNED: u8 = 0x10;
        let mut request = Self::new("adding a neighbour", NEWNEIGH, CREATE_REPLACE);
        request.put(&[family(neighbour.address), 0, 0, 0]);
        request.put(&neighbour.device.to_ne_bytes());
        request.put(&REACHABLE.to_ne_bytes());
        request.put(&[EXT_LEARNED, 0]);
        request.attribute(1, &octets(neighbour.address));
        request.attribute(2, &neighbour.mac);
        request
    }

    /// Has a device ask programs for neighbours of a table (`arp_cache`, `ndisc_cache`), once, before it asks the wire.
    #[must_use]
    pub fn solicit(table: &str, device: u32) -> Self {
        const NAME: u16 = 1;
        const PARMS: u16 = 6;
        const IFINDEX: u16 = 1;
        const APP_PROBES: u16 = 9;
        let mut request = Self::new("having a device ask for neighbours", SETNEIGHTBL, 0);
        request.put(&[0; 4]);
        let mut name = table.as_bytes().to_vec();
        name.push(0);
        request.attribute(NAME, &name);
        request.nest(PARMS, |parms| {
            parms.attribute(IFINDEX, &device.to_ne_bytes());
            parms.attribute(APP_PROBES, &1u32.to_ne_bytes());
        });
        request
    }

    /// Gives another network namespace a number in that of the socket, which the kernel chooses.
    #[must_use]
    pub fn number_namespace(netns: BorrowedFd<'_>) -> Self {
        let mut request = Self::new("numbering a namespace", NEWNSID, 0);
        request.namespace(netns);
        request.attribute(1, &(-1i32).to_ne_bytes());
        request
    }

    /// Asks for the number of another network namespace in that of the socket.
    #[must_use]
    pub fn number_of_namespace(netns: BorrowedFd<'_>) -> Self {
        let mut request = Self::new("asking for a namespace's number", GETNSID, 0);
        request.namespace(netns);
        request
    }

    fn namespace(&mut self, netns: BorrowedFd<'_>) {
        const FD: u16 = 3;
        self.put(&[0; 4]);
        self.attribute(FD, &netns.as_raw_fd().to_ne_bytes());
    }

    fn new(what: &'static str, kind: u16, flags: u16) -> Self {
        let mut bytes = vec![0; HEADER];
        bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
        bytes[6..8].copy_from_slice(&(flags | REQUEST_ACK).to_ne_bytes());
        Self { what, bytes }
    }

    /// The fixed part of a link message: which device, which flags change, and to what.
    fn link(&mut self, index: u32, change: u32, up: bool) {
        self.put(&[0, 0, 0, 0]);
        self.put(&index.to_ne_bytes());
        self.put(&(if up { IFF_UP } else { 0 }).to_ne_bytes());
        self.put(&change.to_ne_bytes());
    }

    fn veth_end(&mut self, name: &str, mtu: u32) {
        self.link(0, 0, false);
        self.name(name);
        self.attribute(ifla::MTU, &mtu.to_ne_bytes());
        self.attribute(ifla::NUM_TX_QUEUES, &1u32.to_ne_bytes());
        self.attribute(ifla::NUM_RX_QUEUES, &1u32.to_ne_bytes());
    }

    fn name(&mut self, name: &str) {
        let mut bytes = name.as_bytes().to_vec();
        bytes.push(0);
        self.attribute(ifla::IFNAME, &bytes);
    }

    fn put(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    fn attribute(&mut self, kind: u16, value: &[u8]) {
        self.put(&(value.len() as u16 + 4).to_ne_bytes());
        self.put(&kind.to_ne_bytes());
        self.put(value);
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }

    /// An attribute that holds others.
    fn nest(&mut self, kind: u16, inside: impl FnOnce(&mut Self)) {
        let at = self.bytes.len();
        self.attribute(kind, &[]);
        inside(self);
        let length = (self.bytes.len() - at) as u16;
        self.bytes[at..at + 2].copy_from_slice(&length.to_ne_bytes());
    }

    fn write(&self, sequence: u32, to: &mut Vec<u8>) {
        let at = to.len();
        to.extend_from_slice(&self.bytes);
        to[at..at + 4].copy_from_slice(&(self.bytes.len() as u32).to_ne_bytes());
        to[at + 8..at + 12].copy_from_slice(&sequence.to_ne_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_padded_and_counted() {
        let mut request = Request::new("a test", NEWLINK, 0);
        request.attribute(1, &[1, 2, 3, 4, 5, 6]);
        request.nest(2, |inner| inner.attribute(3, &[7]));
        let mut bytes = vec![0; 4];
        request.write(7, &mut bytes);
        let bytes = &bytes[4..];
        assert_eq!((bytes.len(), bytes[0], bytes[8]), (40, 40, 7));
        assert_eq!(bytes[16..20], [10, 0, 1, 0]);
        assert_eq!(bytes[28..], [12, 0, 2, 0, 5, 0, 3, 0, 7, 0, 0, 0]);
    }

    #[test]
    fn short_answers_are_not_acknowledgements() {
        assert_eq!(acknowledged(&[0; 12], 0), None);
    }

    #[test]
    fn an_answer_that_never_comes_is_an_error_and_no_wait() {
        let error = Netlink::open().unwrap().acknowledgement(1).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[test]
    fn the_first_refusal_is_named() {
        let requests =
            vec![Request::set_link_named("no-such-link", true), Request::delete_link("none-either")];
        let refused = Netlink::open().unwrap().apply(requests).unwrap_err();
        assert_eq!(refused.what, "setting a link");
        assert!(matches!(refused.source.raw_os_error(), Some(libc::ENODEV | libc::EPERM)), "{refused:?}");
    }
}
