//! A small blocking rtnetlink socket.
//!
//! The socket belongs to the namespace of the thread that opens it, which is why this is no shared runtime: each host's
//! worker opens its own, sends a handful of requests and waits for the acknowledgement of each. Requests are
//! written by hand, since there are five of them.

use nix::net::if_::if_nametoindex;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, send, socket,
};
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

const RTM_NEWLINK: u16 = 16;
const RTM_NEWADDR: u16 = 20;
const RTM_NEWROUTE: u16 = 24;
const NLMSG_ERROR: u16 = 2;
const REQUEST_ACK: u16 = 0x1 | 0x4;
const CREATE_EXCL: u16 = 0x400 | 0x200;
const CREATE: u16 = 0x400;

const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_MTU: u16 = 4;
const IFLA_LINKINFO: u16 = 18;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_INFO_DATA: u16 = 2;
const IFLA_NET_NS_FD: u16 = 28;
const VETH_INFO_PEER: u16 = 1;
const NESTED: u16 = 0x8000;
const IFF_UP: u32 = 1;
const IFA_F_NODAD: u8 = 0x02;

/// An open socket.
#[derive(Debug)]
pub struct Rtnl {
    socket: OwnedFd,
    sequence: u32,
}

impl Rtnl {
    /// Opens one in the namespace of the calling thread.
    ///
    /// # Errors
    /// The system's answer.
    pub fn open() -> io::Result<Self> {
        let fd = socket(
            AddressFamily::Netlink,
            SockType::Raw,
            SockFlag::SOCK_CLOEXEC,
            SockProtocol::NetlinkRoute,
        )?;
        bind(fd.as_raw_fd(), &NetlinkAddr::new(0, 0))?;
        Ok(Self { socket: fd, sequence: 0 })
    }

    /// Brings an interface up.
    ///
    /// # Errors
    /// The kernel's answer.
    pub fn up(&mut self, name: &str) -> io::Result<()> {
        self.flags(name, IFF_UP)
    }

    /// Takes an interface down.
    ///
    /// # Errors
    /// The kernel's answer.
    pub fn down(&mut self, name: &str) -> io::Result<()> {
        self.flags(name, 0)
    }

    /// Sets Ethernet address and MTU, as far as given.
    ///
    /// # Errors
    /// The kernel's answer.
    pub fn set_link(&mut self, name: &str, mac: Option<[u8; 6]>, mtu: Option<u32>) -> io::Result<()> {
        let mut body = link_header(if_nametoindex(name)?, 0, 0);
        if let Some(mac) = mac {
            attribute(&mut body, IFLA_ADDRESS, &mac);
        }
        if let Some(mtu) = mtu {
            attribute(&mut body, IFLA_MTU, &mtu.to_ne_bytes());
        }
        self.request(RTM_NEWLINK, 0, &body)
    }

    /// Makes a veth pair: `name` here, `peer` in the namespace given.
    ///
    /// # Errors
    /// The kernel's answer.
    pub fn add_veth(&mut self, name: &str, peer: &str, peer_netns: BorrowedFd<'_>) -> io::Result<()> {
        let mut far = link_header(0, 0, 0);
        attribute(&mut far, IFLA_IFNAME, &c_string(peer));
        let netns = u32::try_from(peer_netns.as_raw_fd()).map_err(io::Error::other)?;
        attribute(&mut far, IFLA_NET_NS_FD, &netns.to_ne_bytes());
        let mut data = Vec::new();
        attribute(&mut data, VETH_INFO_PEER | NESTED, &far);
        let mut info = Vec::new();
        attribute(&mut info, IFLA_INFO_KIND, b"veth");
        attribute(&mut info, IFLA_INFO_DATA | NESTED, &data);
        let mut body = link_header(0, 0, 0);
        attribute(&mut body, IFLA_IFNAME, &c_string(name));
        attribute(&mut body, IFLA_LINKINFO | NESTED, &info);
        self.request(RTM_NEWLINK, CREATE_EXCL, &body)
    }

    /// Adds an address to an interface, without duplicate address detection.
    ///
    /// # Errors
    /// The kernel's answer; `InvalidInput` for an impossible prefix.
    pub fn add_address(&mut self, name: &str, address: IpAddr, prefix: u8) -> io::Result<()> {
        check_prefix(address, prefix)?;
        let flags = if address.is_ipv6() { IFA_F_NODAD } else { 0 };
        let mut body = vec![family(address), prefix, flags, 0];
        body.extend_from_slice(&if_nametoindex(name)?.to_ne_bytes());
        let bytes = octets(address);
        attribute(&mut body, 2, &bytes); // IFA_LOCAL
        attribute(&mut body, 1, &bytes); // IFA_ADDRESS
        self.request(RTM_NEWADDR, CREATE_EXCL, &body)
    }

    /// Adds a route through a router to the main table.
    ///
    /// # Errors
    /// The kernel's answer; `InvalidInput` for an impossible prefix or two address families.
    pub fn add_route(&mut self, destination: (IpAddr, u8), via: IpAddr) -> io::Result<()> {
        let (network, prefix) = destination;
        check_prefix(network, prefix)?;
        if network.is_ipv4() != via.is_ipv4() {
            return Err(invalid("a route and its router are of different families"));
        }
        // rtmsg: family, lengths of destination and source, TOS, table main, protocol static, scope universe, unicast.
        let mut body = vec![family(network), prefix, 0, 0, 254, 4, 0, 1, 0, 0, 0, 0];
        if prefix > 0 {
            attribute(&mut body, 1, &octets(network)); // RTA_DST
        }
        attribute(&mut body, 5, &octets(via)); // RTA_GATEWAY
        self.request(RTM_NEWROUTE, CREATE, &body)
    }

    fn flags(&mut self, name: &str, flags: u32) -> io::Result<()> {
        let body = link_header(if_nametoindex(name)?, flags, IFF_UP);
        self.request(RTM_NEWLINK, 0, &body)
    }

    /// Sends one request and waits for its acknowledgement.
    fn request(&mut self, kind: u16, flags: u16, body: &[u8]) -> io::Result<()> {
        self.sequence = self.sequence.wrapping_add(1);
        let length = u32::try_from(16 + body.len()).map_err(io::Error::other)?;
        let mut message = Vec::with_capacity(16 + body.len());
        message.extend_from_slice(&length.to_ne_bytes());
        message.extend_from_slice(&kind.to_ne_bytes());
        message.extend_from_slice(&(REQUEST_ACK | flags).to_ne_bytes());
        message.extend_from_slice(&self.sequence.to_ne_bytes());
        message.extend_from_slice(&0_u32.to_ne_bytes());
        message.extend_from_slice(body);
        send(self.socket.as_raw_fd(), &message, MsgFlags::empty())?;
        let mut answer = [0_u8; 8192];
        loop {
            let n = match recv(self.socket.as_raw_fd(), &mut answer, MsgFlags::empty()) {
                Err(nix::errno::Errno::EINTR) => continue,
                other => other?,
            };
            if let Some(result) = acknowledgement(&answer[..n], self.sequence) {
                return result;
            }
        }
    }
}

/// The result that a datagram carries for the request of that number, if it carries one.
fn acknowledgement(datagram: &[u8], sequence: u32) -> Option<io::Result<()>> {
    let word = |at: usize| -> Option<[u8; 4]> { datagram.get(at..at + 4)?.try_into().ok() };
    let kind = u16::from_ne_bytes(datagram.get(4..6)?.try_into().ok()?);
    if kind != NLMSG_ERROR || u32::from_ne_bytes(word(8)?) != sequence {
        return None;
    }
    Some(match i32::from_ne_bytes(word(16)?) {
        0 => Ok(()),
        error => Err(io::Error::from_raw_os_error(error.wrapping_neg())),
    })
}

fn link_header(index: u32, flags: u32, change: u32) -> Vec<u8> {
    let mut header = vec![0; 4];
    header.extend_from_slice(&index.to_ne_bytes());
    header.extend_from_slice(&flags.to_ne_bytes());
    header.extend_from_slice(&change.to_ne_bytes());
    header
}

/// Appends an attribute, padded to four bytes. Every value here is far below the 64 KiB a length can state.
fn attribute(body: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let length = u16::try_from(4 + value.len()).unwrap_or(u16::MAX);
    body.extend_from_slice(&length.to_ne_bytes());
    body.extend_from_slice(&kind.to_ne_bytes());
    body.extend_from_slice(value);
    body.resize(body.len().next_multiple_of(4), 0);
}

fn c_string(text: &str) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    bytes.push(0);
    bytes
}

fn family(address: IpAddr) -> u8 {
    if address.is_ipv4() { 2 } else { 10 }
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}

fn check_prefix(address: IpAddr, prefix: u8) -> io::Result<()> {
    let most = if address.is_ipv4() { 32 } else { 128 };
    if prefix > most {
        return Err(invalid("a prefix is longer than its address"));
    }
    Ok(())
}

fn invalid(message: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_padded() {
        let mut body = Vec::new();
        attribute(&mut body, 3, b"ab\0");
        assert_eq!(body.len(), 8);
        assert_eq!(u16::from_ne_bytes([body[0], body[1]]), 7);
    }

    #[test]
    fn a_short_answer_is_no_acknowledgement() {
        for n in 0..20 {
            assert!(acknowledgement(&vec![2; n], 1).is_none());
        }
    }

    #[test]
    fn an_error_is_read() {
        let mut answer = vec![0; 36];
        answer[4..6].copy_from_slice(&NLMSG_ERROR.to_ne_bytes());
        answer[8..12].copy_from_slice(&7_u32.to_ne_bytes());
        answer[16..20].copy_from_slice(&(-17_i32).to_ne_bytes());
        let error = acknowledgement(&answer, 7).unwrap().unwrap_err();
        assert_eq!(error.raw_os_error(), Some(17));
    }
}
