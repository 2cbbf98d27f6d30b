//! A blocking rtnetlink socket of our own, for the few requests that a host needs.
//!
//! The socket belongs to the network namespace of the thread that opens it, which is why no shared or
//! asynchronous client serves. Requests are written by hand: four message kinds with a handful of attributes
//! are shorter than a general library's types for them.

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, socket};

use crate::{Prefix, Route};

const NEWLINK: u16 = 16;
const NEWADDR: u16 = 20;
const NEWROUTE: u16 = 24;
const ERROR: u16 = 2;
const REQUEST_ACK: u16 = 0x0001 | 0x0004;
const CREATE_REPLACE: u16 = 0x0400 | 0x0100;
const IFF_UP: u32 = 1;
const IFA_F_NODAD: u8 = 2;
const HEADER: usize = 16;

/// A socket for requests in one namespace.
#[derive(Debug)]
pub struct Netlink {
    socket: OwnedFd,
    sequence: u32,
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

    /// Sets a device up or down and, where given, its Ethernet address and MTU.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub fn set_link(
        &mut self,
        index: u32,
        mac: Option<[u8; 6]>,
        mtu: Option<u32>,
        up: bool,
    ) -> io::Result<()> {
        let mut message = Message::new(NEWLINK, 0);
        message.put(&[0, 0, 0, 0]);
        message.put(&index.to_ne_bytes());
        message.put(&(if up { IFF_UP } else { 0 }).to_ne_bytes());
        message.put(&IFF_UP.to_ne_bytes());
        if let Some(mac) = mac {
            message.attribute(1, &mac);
        }
        if let Some(mtu) = mtu {
            message.attribute(4, &mtu.to_ne_bytes());
        }
        self.request(message)
    }

    /// Adds an address; an IPv6 address is usable at once, without duplicate address detection.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub fn add_address(&mut self, index: u32, prefix: Prefix) -> io::Result<()> {
        let mut message = Message::new(NEWADDR, CREATE_REPLACE);
        let flags = if prefix.address.is_ipv6() { IFA_F_NODAD } else { 0 };
        message.put(&[family(prefix.address), prefix.length, flags, 0]);
        message.put(&index.to_ne_bytes());
        let address = octets(prefix.address);
        message.attribute(1, &address);
        message.attribute(2, &address);
        self.request(message)
    }

    /// Adds a static route to the main table.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub fn add_route(&mut self, index: u32, route: Route) -> io::Result<()> {
        const MAIN_STATIC_UNIVERSE_UNICAST: [u8; 4] = [254, 4, 0, 1];
        let mut message = Message::new(NEWROUTE, CREATE_REPLACE);
        message.put(&[family(route.to.address), route.to.length, 0, 0]);
        message.put(&MAIN_STATIC_UNIVERSE_UNICAST);
        message.put(&[0; 4]);
        if route.to.length > 0 {
            message.attribute(1, &octets(route.to.address));
        }
        message.attribute(5, &octets(route.via));
        message.attribute(4, &index.to_ne_bytes());
        self.request(message)
    }

    fn request(&mut self, message: Message) -> io::Result<()> {
        self.sequence = self.sequence.wrapping_add(1);
        let bytes = message.finish(self.sequence);
        send(self.socket.as_raw_fd(), &bytes, MsgFlags::empty())?;
        let mut answer = [0u8; 4096];
        loop {
            let size = recv(self.socket.as_raw_fd(), &mut answer, MsgFlags::empty())?;
            if let Some(error) = acknowledged(&answer[..size], self.sequence) {
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

/// A request being written: header, fixed part, attributes padded to 4 bytes.
struct Message(Vec<u8>);

impl Message {
    fn new(kind: u16, flags: u16) -> Self {
        let mut bytes = vec![0; HEADER];
        bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
        bytes[6..8].copy_from_slice(&(flags | REQUEST_ACK).to_ne_bytes());
        Self(bytes)
    }

    fn put(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    fn attribute(&mut self, kind: u16, value: &[u8]) {
        self.put(&(value.len() as u16 + 4).to_ne_bytes());
        self.put(&kind.to_ne_bytes());
        self.put(value);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
    }

    fn finish(mut self, sequence: u32) -> Vec<u8> {
        let size = self.0.len() as u32;
        self.0[0..4].copy_from_slice(&size.to_ne_bytes());
        self.0[8..12].copy_from_slice(&sequence.to_ne_bytes());
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_padded_and_counted() {
        let mut message = Message::new(NEWLINK, 0);
        message.attribute(1, &[1, 2, 3, 4, 5, 6]);
        let bytes = message.finish(7);
        assert_eq!(bytes.len(), 28);
        assert_eq!(bytes[16..20], [10, 0, 1, 0]);
        assert_eq!(bytes[8], 7);
    }

    #[test]
    fn short_answers_are_not_acknowledgements() {
        assert_eq!(acknowledged(&[0; 12], 0), None);
    }
}
