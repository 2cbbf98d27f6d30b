//! Neighbours without a word on the wire: instances ask their owner for the Ethernet addresses of others.
//!
//! Linux has one table of neighbours for all network namespaces, and drops entries above `gc_thresh3` (1,024 by default),
//! which only the machine's own root may change: enough for some thirty hosts that all speak to each other. Entries that a
//! manager learned (`NTF_EXT_LEARNED`) do not count (Linux 5.0 and later). So a device may be told to ask a program before
//! it asks the wire (`app_solicit`, arp(7)); the kernel multicasts the question in the namespace, [`Solicitations`] hears it
//! from all namespaces that it was told of, and [`answer`] adds the entry. It ages as one that was learned by ARP: it is
//! probed on the wire when it is used again after half a minute. A question without an answer goes to the wire after a
//! second.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{BorrowedFd, OwnedFd};

use nix::sched::{CloneFlags, setns};

use crate::netlink::{Netlink, Request};
use crate::{on_thread_of, sys};

const GETNEIGH: u16 = 30;
/// Sizes of what stands before attributes.
const HEADER: usize = 16;
const NDMSG: usize = 12;
const RTGENMSG: usize = 4;
/// An attribute of a neighbour: its address.
const DST: u16 = 1;
/// An attribute of a namespace: its number.
const NSID: u16 = 1;
/// The multicast group of neighbours (`RTNLGRP_NEIGH`).
const GROUP: u32 = 3;
/// Room for the questions of a thousand hosts that all start at once.
const RECEIVE_BUFFER: usize = 4 << 20;

/// Who asks for an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Solicitation {
    /// The number that the namespace was given by [`Solicitations::watch`].
    pub namespace: i32,
    /// The device's index there.
    pub device: u32,
    /// Whose Ethernet address is wanted.
    pub address: IpAddr,
}

/// An address and where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Neighbour {
    /// The index of the device that it is reached by.
    pub device: u32,
    /// The address.
    pub address: IpAddr,
    /// Its Ethernet address.
    pub mac: [u8; 6],
}

/// The questions of all namespaces that were made known.
#[derive(Debug)]
pub struct Solicitations {
    socket: OwnedFd,
}

impl Solicitations {
    /// Listens from the calling thread's network namespace on.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub fn open() -> io::Result<Self> {
        Ok(Self { socket: sys::netlink_of_all_namespaces(GROUP, RECEIVE_BUFFER)? })
    }

    /// Makes another namespace known, from the namespace that is listened from; the number that it has there.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub fn watch(netns: BorrowedFd<'_>) -> io::Result<i32> {
        let mut netlink = Netlink::open()?;
        match netlink.apply(vec![Request::number_namespace(netns)]) {
            // The kernel numbers one itself that a device's other end is in.
            Err(refused) if refused.source.raw_os_error() == Some(libc::EEXIST) => {}
            other => other.map_err(|refused| refused.source)?,
        }
        let answer = netlink.ask(&Request::number_of_namespace(netns))?;
        let number = attribute(answer.get(HEADER + RTGENMSG..).unwrap_or_default(), NSID);
        let number = number.and_then(|value| Some(i32::from_ne_bytes(value.try_into().ok()?)));
        number.ok_or_else(|| io::Error::other("the kernel tells no number of the namespace"))
    }

    /// Waits for questions. None may come: where too many came at once, some are lost, and are asked again.
    ///
    /// # Errors
    /// The socket fails.
    pub fn wait(&self, buffer: &mut [u8]) -> io::Result<Vec<Solicitation>> {
        match sys::receive_with_namespace(&self.socket, buffer) {
            Ok((size, Some(namespace))) => Ok(solicitations(&buffer[..size], namespace)),
            Ok((_, None)) => Ok(vec![]),
            Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => Ok(vec![]),
            Err(error) => Err(error),
        }
    }
}

/// Adds entries in a network namespace, and leaves the calling thread there: it is good for nothing else.
///
/// # Errors
/// The namespace cannot be entered, or the first refusal, as for a device that is gone.
pub fn answer(netns: BorrowedFd<'_>, neighbours: &[Neighbour]) -> io::Result<()> {
    setns(netns, CloneFlags::CLONE_NEWNET)?;
    let requests = neighbours.iter().map(Request::learned_neighbour).collect();
    Netlink::open()?.apply(requests).map_err(|refused| refused.source)
}

/// Has a device of a network namespace ask for neighbours before it asks the wire.
///
/// # Errors
/// The kernel's refusal.
pub fn solicit(netns: BorrowedFd<'_>, device: &str) -> io::Result<()> {
    on_thread_of(|| {
        setns(netns, CloneFlags::CLONE_NEWNET)?;
        let requests = solicit_requests(nix::net::if_::if_nametoindex(device)?);
        Netlink::open()?.apply(requests).map_err(|refused| refused.source)
    })
}

/// What [`solicit`] asks of the kernel, in the device's namespace.
pub(crate) fn solicit_requests(device: u32) -> Vec<Request> {
    ["arp_cache", "ndisc_cache"].map(|table| Request::solicit(table, device)).into()
}

/// The questions among netlink messages.
fn solicitations(mut messages: &[u8], namespace: i32) -> Vec<Solicitation> {
    let mut found = vec![];
    while let Some((message, rest)) = split(messages, HEADER) {
        if message.get(4..6) == Some(&GETNEIGH.to_ne_bytes()) {
            found.extend(solicitation(message, namespace));
        }
        messages = rest;
    }
    found
}

fn solicitation(message: &[u8], namespace: i32) -> Option<Solicitation> {
    let device = u32::from_ne_bytes(message.get(20..24)?.try_into().ok()?);
    let value = attribute(message.get(HEADER + NDMSG..)?, DST)?;
    let v4 = <[u8; 4]>::try_from(value).map(|octets| IpAddr::V4(Ipv4Addr::from(octets)));
    let v6 = || <[u8; 16]>::try_from(value).map(|octets| IpAddr::V6(Ipv6Addr::from(octets)));
    Some(Solicitation { namespace, device, address: v4.or_else(|_| v6()).ok()? })
}

/// The value of the first attribute of a kind.
fn attribute(mut attributes: &[u8], kind: u16) -> Option<&[u8]> {
    while let Some((attribute, rest)) = split16(attributes) {
        if attribute.get(2..4) == Some(&kind.to_ne_bytes()) {
            return attribute.get(4..);
        }
        attributes = rest;
    }
    None
}

/// The first message, whose length of 32 bits is in front, and what follows it at the next multiple of 4.
fn split(bytes: &[u8], least: usize) -> Option<(&[u8], &[u8])> {
    let length = u32::from_ne_bytes(bytes.get(..4)?.try_into().ok()?) as usize;
    part(bytes, length, least)
}

/// The first attribute, whose length of 16 bits is in front.
fn split16(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let length = u16::from_ne_bytes(bytes.get(..2)?.try_into().ok()?) as usize;
    part(bytes, length, 4)
}

fn part(bytes: &[u8], length: usize, least: usize) -> Option<(&[u8], &[u8])> {
    let first = bytes.get(..length).filter(|_| length >= least)?;
    Some((first, bytes.get(length.next_multiple_of(4)..).unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A question for 10.0.0.5 by device 7.
    fn question() -> Vec<u8> {
        let mut message = vec![0; 28];
        message[0..4].copy_from_slice(&36u32.to_ne_bytes());
        message[4..6].copy_from_slice(&GETNEIGH.to_ne_bytes());
        message[16] = 2;
        message[20..24].copy_from_slice(&7u32.to_ne_bytes());
        message.extend(8u16.to_ne_bytes());
        message.extend(1u16.to_ne_bytes());
        message.extend([10, 0, 0, 5]);
        message
    }

    #[test]
    fn questions_are_read_among_other_messages() {
        let mut other = question();
        other[4..6].copy_from_slice(&28u16.to_ne_bytes());
        let address = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 5));
        let expected = Solicitation { namespace: 3, device: 7, address };
        assert_eq!(solicitations(&[other, question(), question()].concat(), 3), [expected; 2]);
    }

    #[test]
    fn whatever_comes_is_read_within_its_bounds() {
        let whole = question();
        for length in 0..whole.len() {
            assert!(solicitations(&whole[..length], 1).is_empty(), "{length}");
        }
        for at in 0..whole.len() {
            for value in [0, 1, 3, 255] {
                let mut bent = whole.clone();
                bent[at] = value;
                let _ = solicitations(&bent, 1);
            }
        }
    }

    #[test]
    fn a_host_is_told_what_it_asks() {
        let made = std::thread::spawn(|| {
            nix::sched::unshare(CloneFlags::CLONE_NEWNET)?;
            let questions = Solicitations::open()?;
            let host = crate::InstanceProvider::create(&crate::netns::NetnsProvider, "h1");
            let host = host.map_err(io::Error::other)?;
            let wiring = crate::Wiring::Veth { near: "s1-eth1".into() };
            let nic = crate::Nic {
                name: "h1-eth0".into(),
                mac: [2, 0, 0, 0, 0, 1],
                mtu: 1500,
                addresses: vec![crate::Prefix { address: [10, 0, 0, 1].into(), length: 8 }],
                routes: vec![],
                solicits: true,
                wiring,
            };
            host.attach(&nic).map_err(io::Error::other)?;
            let netns = host.netns().expect("a namespace");
            let number = Solicitations::watch(netns)?;
            let argv = ["ping", "-c1", "-W1", "10.0.0.9"].map(Into::into).to_vec();
            let mut ping = host.spawn(crate::Program { argv, ..crate::Program::default() })?;
            let mut buffer = [0; 8192];
            let begun = std::time::Instant::now();
            let asked = loop {
                // The ping's end interrupts none: the kernel tells of the entry's failure too.
                if let [asked] = questions.wait(&mut buffer)?[..] {
                    break asked;
                }
                assert!(begun.elapsed().as_secs() < 3, "no question is heard");
            };
            let neighbour =
                Neighbour { device: asked.device, address: asked.address, mac: [2, 0, 0, 0, 0, 9] };
            answer(netns, &[neighbour])?;
            ping.wait()?;
            let known = std::fs::read_to_string("/proc/thread-self/net/arp")?;
            io::Result::Ok((asked, number, known))
        });
        match made.join().expect("no panic") {
            Err(error) => eprintln!("SKIPPED: a_host_is_told_what_it_asks: {error}"),
            Ok((asked, number, known)) => {
                assert_eq!((asked.namespace, asked.address), (number, [10, 0, 0, 9].into()));
                assert!(known.contains("10.0.0.9") && known.contains("02:00:00:00:00:09"), "{known}");
            }
        }
    }
}
