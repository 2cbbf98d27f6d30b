//! Large worlds of ARP and ND: the lab tells its hosts where others are, once they ask.
//!
//! In a small lab hosts ask the wire, for all to see. The kernel bounds what all hosts together may so remember, and each
//! question is flooded to all; so where there are more than [`MOST_ON_THE_WIRE`] hosts, they ask the lab. It knows every
//! address of the topology. What is not of the topology is asked on the wire, a second later. One thread answers, going from
//! namespace to namespace.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv6Addr};
use std::os::fd::BorrowedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak};

use heddle_instance::neighbour::{self, Neighbour, Solicitation, Solicitations};

use super::hosts::Held;
use crate::protocol::Arp;
use crate::topology::Host;

/// Most hosts that ask the wire where nothing else is said: with one more, pairs of hosts would outgrow the 1,024
/// neighbours that the kernel remembers unless its administrator allows more.
const MOST_ON_THE_WIRE: usize = 32;

/// What is known of neighbours, and who asks.
#[derive(Default)]
pub(super) struct Neighbours {
    addresses: RwLock<HashMap<IpAddr, [u8; 6]>>,
    /// Hosts by the number of their namespace; `None` while hosts ask the wire.
    asking: Mutex<Option<HashMap<i32, Weak<Held>>>>,
}

/// Whether hosts of a lab ask the lab.
pub(super) fn asked(arp: Arp, hosts: usize) -> bool {
    match arp {
        Arp::Dynamic => false,
        Arp::Static => true,
        Arp::Auto => hosts > MOST_ON_THE_WIRE,
    }
}

impl Neighbours {
    /// Whether hosts ask.
    pub(super) fn answers(&self) -> bool {
        self.asking().is_some()
    }

    /// Starts to answer, from the lab's network namespace.
    pub(super) fn start(self: &Arc<Self>) -> io::Result<()> {
        let mut asking = self.asking();
        if asking.is_some() {
            return Ok(());
        }
        let questions = Solicitations::open()?;
        let neighbours = self.clone();
        std::thread::Builder::new().name("neighbours".into()).spawn(move || neighbours.serve(&questions))?;
        *asking = Some(HashMap::new());
        Ok(())
    }

    /// Takes a host among those that ask, if any do.
    pub(super) fn admit(&self, held: &Arc<Held>, netns: BorrowedFd<'_>) -> io::Result<()> {
        let mut asking = self.asking();
        let Some(hosts) = &mut *asking else { return Ok(()) };
        hosts.insert(Solicitations::watch(netns)?, Arc::downgrade(held));
        Ok(())
    }

    /// Learns where hosts are.
    pub(super) fn learn(&self, hosts: &[Host]) {
        let mut addresses = self.addresses.write().unwrap_or_else(PoisonError::into_inner);
        addresses.extend(hosts.iter().flat_map(own_addresses));
    }

    /// Forgets hosts that are gone.
    pub(super) fn forget(&self, hosts: &[Host]) {
        let mut addresses = self.addresses.write().unwrap_or_else(PoisonError::into_inner);
        for (address, _) in hosts.iter().flat_map(own_addresses) {
            addresses.remove(&address);
        }
        if let Some(asking) = &mut *self.asking() {
            asking.retain(|_, held| held.strong_count() > 0);
        }
    }

    fn asking(&self) -> MutexGuard<'_, Option<HashMap<i32, Weak<Held>>>> {
        self.asking.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn serve(&self, questions: &Solicitations) {
        let mut buffer = [0; 16 * 1024];
        loop {
            match questions.wait(&mut buffer) {
                Ok(asked) => self.answer(&asked),
                Err(error) => {
                    eprintln!("hosts ask the wire for neighbours from now on: {error}");
                    return;
                }
            }
        }
    }

    fn answer(&self, asked: &[Solicitation]) {
        // All that come at once are one namespace's.
        let Some(first) = asked.first() else { return };
        let held = self.asking().as_ref().and_then(|hosts| hosts.get(&first.namespace)?.upgrade());
        let Some(held) = held else { return };
        let addresses = self.addresses.read().unwrap_or_else(PoisonError::into_inner);
        let known = |asked: &Solicitation| {
            let mac = *addresses.get(&asked.address)?;
            Some(Neighbour { device: asked.device, address: asked.address, mac })
        };
        let neighbours: Vec<Neighbour> = asked.iter().filter_map(known).collect();
        drop(addresses);
        if let Some(netns) = held.netns().filter(|_| !neighbours.is_empty()) {
            // What is refused, such as for a device that has just gone, is asked on the wire.
            let _ = neighbour::answer(netns, &neighbours);
        }
    }
}

/// Addresses of a host's first device, with the link-local one that its kernel makes of the Ethernet address.
fn own_addresses(host: &Host) -> impl Iterator<Item = (IpAddr, [u8; 6])> {
    let mac = host.mac;
    let link_local = IpAddr::from(link_local(mac));
    host.addresses.iter().map(|prefix| prefix.address).chain([link_local]).map(move |address| (address, mac))
}

/// The link-local address of an Ethernet address (RFC 4291 section 2.5.6 and appendix A).
fn link_local(mac: [u8; 6]) -> Ipv6Addr {
    let [a, b, c, d, e, f] = mac;
    let mut octets = [0; 16];
    octets[..2].copy_from_slice(&[0xfe, 0x80]);
    octets[8..].copy_from_slice(&[a ^ 2, b, c, 0xff, 0xfe, d, e, f]);
    octets.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::Topology;

    #[test]
    fn hosts_are_known_by_all_of_their_addresses_until_they_go() {
        let topology = Topology::from_spec("single,2").unwrap();
        let neighbours = Neighbours::default();
        neighbours.learn(&topology.hosts);
        let found = |text: &str| neighbours.addresses.read().unwrap().get(&text.parse().unwrap()).copied();
        for address in ["10.0.0.2", "fd00::2", "fe80::200:ff:fe00:2"] {
            assert_eq!(found(address), Some([0, 0, 0, 0, 0, 2]), "{address}");
        }
        neighbours.forget(&topology.hosts[1..]);
        assert_eq!((found("10.0.0.2"), found("10.0.0.1")), (None, Some([0, 0, 0, 0, 0, 1])));
    }

    #[test]
    fn small_labs_ask_the_wire() {
        assert!(
            !asked(Arp::Auto, 32)
                && asked(Arp::Auto, 33)
                && asked(Arp::Static, 2)
                && !asked(Arp::Dynamic, 999)
        );
    }
}
