//! The `packet` device: an interface that the kernel has already, through AF_PACKET.
//!
//! Physical uplinks and veth ends join a bridge this way, without privileges over more than the interface's own
//! namespace. Frames cross with the virtio-net header, so that segments stay whole; the kernel cuts and sums what
//! the interface itself does not. It moves frames in batches, because a system call costs more than a frame. The
//! receive queue's socket is the only one that receives; each transmit queue has one that receives nothing.
//!
//! The interface is held by number as well as by name: one that was deleted, and perhaps made anew under the same
//! name, is reported as vanished and never confused with its successor.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use heddle_wire::packet::Packet;
use heddle_wire::vnet;

use crate::counters::{Refusal, RxCounters, TxCounters, TxRegistry, wire_sums};
use crate::dummy::system;
use crate::sys::interface;
use crate::sys::packet_socket::{self as socket, BATCH, HEADER_LEN, Received};
use crate::{LinkState, Netdev, NetdevError, Offloads, PacketPool, RxQueue, Statistics, TxQueue};

const ETHERNET_HEADER: usize = 14;
/// Bytes of a VLAN tag.
const TAG: usize = 4;
/// Socket buffer of each direction: some sixty segments. A larger one only adds delay under overload.
const BUFFER: libc::c_int = 4 << 20;
/// The fewest frames asked for by one call.
const LEAST: usize = 4;

struct Shared {
    /// Receives; and asks about the interface, since it stays in the namespace it was made in.
    socket: OwnedFd,
    /// Frames that the kernel had no buffer for, as far as it was asked.
    kernel_drops: AtomicU64,
    rx: RxCounters,
    tx: TxRegistry,
}

/// An existing kernel interface, attached by AF_PACKET.
pub struct PacketDevice {
    name: String,
    index: libc::c_int,
    mac: [u8; 6],
    mtu: u32,
    offloads: Offloads,
    taken: AtomicBool,
    shared: Arc<Shared>,
}

impl PacketDevice {
    /// Attaches to the interface `name` in the caller's network namespace, and makes it promiscuous for as long as
    /// the device lives. Needs CAP_NET_RAW there.
    ///
    /// # Errors
    /// If there is no such interface, or the system refuses.
    pub fn open(name: &str) -> Result<Self, NetdevError> {
        let fd = socket::open().map_err(|source| system(name, "opening an AF_PACKET socket", source))?;
        let index = interface::index(fd.as_fd(), name).map_err(|source| missing(name, source))?;
        let failed = |operation| move |source| system(name, operation, source);
        let mac = interface::mac(fd.as_fd(), name).map_err(failed("SIOCGIFHWADDR"))?;
        let mtu = interface::mtu(fd.as_fd(), name).map_err(failed("SIOCGIFMTU"))?;
        socket::set_buffer(fd.as_fd(), true, BUFFER);
        socket::prepare_receive(fd.as_fd(), index).map_err(failed("preparing the AF_PACKET socket"))?;
        socket::bind(fd.as_fd(), index, true).map_err(failed("binding the AF_PACKET socket"))?;
        let shared = Shared {
            socket: fd,
            kernel_drops: AtomicU64::new(0),
            rx: RxCounters::default(),
            tx: TxRegistry::default(),
        };
        // UDP segments can be told to the kernel since Linux 6.2, which then cuts them for any interface.
        let uso = socket::kernel_is_at_least(6, 2);
        let offloads = Offloads { checksum: true, tso4: true, tso6: true, uso };
        let taken = AtomicBool::new(false);
        Ok(Self { name: name.to_owned(), index, mac, mtu, offloads, taken, shared: Arc::new(shared) })
    }

    /// How many received frames were refused, by reason; every reason is listed.
    pub fn refusals(&self) -> Vec<(&'static str, u64)> {
        self.shared.rx.refusals()
    }

    /// Makes sure that the name still means the interface that was attached.
    fn present(&self) -> Result<(), NetdevError> {
        match interface::index(self.shared.socket.as_fd(), &self.name) {
            Ok(index) if index == self.index => Ok(()),
            Ok(_) => {
                let reason = "the interface has vanished; another of the same name is there".to_owned();
                Err(NetdevError::Invalid { device: self.name.clone(), reason })
            }
            Err(error) if error.raw_os_error() == Some(libc::ENODEV) => {
                let reason = "the interface has vanished".to_owned();
                Err(NetdevError::Invalid { device: self.name.clone(), reason })
            }
            Err(source) => Err(system(&self.name, "SIOCGIFINDEX", source)),
        }
    }
}

fn missing(name: &str, source: io::Error) -> NetdevError {
    if source.raw_os_error() == Some(libc::ENODEV) {
        let reason = "there is no interface of this name in the switch's network namespace".to_owned();
        return NetdevError::Invalid { device: name.to_owned(), reason };
    }
    system(name, "SIOCGIFINDEX", source)
}

impl Netdev for PacketDevice {
    fn name(&self) -> &str {
        &self.name
    }

    fn kind(&self) -> &'static str {
        "packet"
    }

    fn mac(&self) -> Option<[u8; 6]> {
        Some(self.mac)
    }

    /// The interface's MTU now; if it has vanished, when it was attached.
    fn mtu(&self) -> u32 {
        let now =
            self.present().ok().and_then(|()| interface::mtu(self.shared.socket.as_fd(), &self.name).ok());
        now.unwrap_or(self.mtu)
    }

    /// Down and without carrier if the interface has vanished.
    fn link_state(&self) -> LinkState {
        let flags =
            self.present().ok().and_then(|()| interface::flags(self.shared.socket.as_fd(), &self.name).ok());
        let flags = flags.unwrap_or(0);
        LinkState { admin_up: flags & libc::IFF_UP != 0, carrier: flags & libc::IFF_RUNNING != 0 }
    }

    fn set_admin_up(&self, up: bool) -> Result<(), NetdevError> {
        self.present()?;
        interface::set_up(self.shared.socket.as_fd(), &self.name, up)
            .map_err(|source| system(&self.name, "SIOCSIFFLAGS", source))
    }

    fn offloads(&self) -> Offloads {
        self.offloads
    }

    fn statistics(&self) -> Statistics {
        let fresh = socket::take_drops(self.shared.socket.as_fd());
        let kernel = self.shared.kernel_drops.fetch_add(fresh, Ordering::Relaxed) + fresh;
        let mut statistics = Statistics { rx_dropped: kernel, ..Statistics::default() };
        self.shared.rx.merge(&mut statistics);
        self.shared.tx.merge(&mut statistics);
        statistics
    }

    fn take_rx_queues(&self) -> Vec<Box<dyn RxQueue>> {
        if self.taken.swap(true, Ordering::Relaxed) {
            return Vec::new();
        }
        let shared = Arc::clone(&self.shared);
        vec![Box::new(PacketRx { shared, rooms: Vec::with_capacity(BATCH), burst: LEAST })]
    }

    fn open_tx_queue(&self) -> Result<Box<dyn TxQueue>, NetdevError> {
        self.present()?;
        let failed = |operation| move |source| system(&self.name, operation, source);
        let fd = socket::open().map_err(failed("opening an AF_PACKET socket"))?;
        socket::set_buffer(fd.as_fd(), false, BUFFER);
        socket::bind(fd.as_fd(), self.index, false).map_err(failed("binding the AF_PACKET socket"))?;
        Ok(Box::new(PacketTx { socket: fd, counters: self.shared.tx.open() }))
    }
}

struct PacketRx {
    shared: Arc<Shared>,
    /// Buffers of the call under way; empty between calls.
    rooms: Vec<Packet>,
    /// How many frames the next call asks for: grown under load, so that a quiet device touches few buffers.
    burst: usize,
}

impl PacketRx {
    /// One call's worth; returns how many frames the kernel gave, refused ones included.
    fn receive_burst(&mut self, pool: &mut PacketPool, batch: &mut Vec<Packet>, max: usize) -> usize {
        let wanted = self.burst.min(max);
        self.rooms.extend(std::iter::from_fn(|| pool.take()).take(wanted));
        if self.rooms.is_empty() {
            return self.discard();
        }
        let rx = &self.shared.rx;
        let asked = self.rooms.len();
        let answer = socket::receive(self.shared.socket.as_fd(), &mut self.rooms, |packet, received| {
            if let Err(reason) = accept(packet, &received) {
                rx.refused(reason);
                packet.clear();
            }
        });
        let got = answer.unwrap_or_else(|error| {
            // The kernel has thrown away the frame that it could not describe; there may be others behind it.
            let inexpressible = error.raw_os_error() == Some(libc::EINVAL);
            if inexpressible {
                rx.refused(Refusal::Inexpressible);
            }
            usize::from(inexpressible)
        });
        self.burst = if got == asked {
            (asked * 2).clamp(LEAST, BATCH)
        } else {
            got.next_power_of_two().clamp(LEAST, BATCH)
        };
        for packet in self.rooms.drain(..) {
            // Frames are at the front; a refused one, and a room that the kernel left unused, is empty.
            if packet.is_empty() { pool.give(packet) } else { batch.push(packet) }
        }
        got
    }

    /// Takes frames off the socket that the switch has no buffers for; else a sleeping thread would be woken for
    /// ever.
    fn discard(&mut self) -> usize {
        let mut rooms = [Packet::with_capacity(64), Packet::with_capacity(64)];
        let got = socket::receive(self.shared.socket.as_fd(), &mut rooms, |_, _| ()).unwrap_or(0);
        self.shared.rx.dropped(got as u64);
        0
    }
}

/// Checks a frame at the door, and gives it back the VLAN tag that the kernel took off.
fn accept(packet: &mut Packet, received: &Received) -> Result<(), Refusal> {
    if received.truncated {
        return Err(Refusal::Oversize);
    }
    let length = received.length.checked_sub(HEADER_LEN).filter(|&length| length >= ETHERNET_HEADER);
    packet.received(length.ok_or(Refusal::Runt)?);
    packet.offload = vnet::parse(&received.header, packet.data()).map_err(Refusal::Vnet)?;
    let Some((tpid, tci)) = received.vlan else { return Ok(()) };
    if !packet.offload.shift(TAG as i32) {
        return Err(Refusal::Oversize);
    }
    packet.push_front(TAG).ok_or(Refusal::Oversize)?;
    let data = packet.data_mut();
    data.copy_within(TAG..TAG + 12, 0);
    data[12..14].copy_from_slice(&tpid.to_be_bytes());
    data[14..16].copy_from_slice(&tci.to_be_bytes());
    Ok(())
}

impl RxQueue for PacketRx {
    fn readiness(&self) -> Option<RawFd> {
        Some(self.shared.socket.as_raw_fd())
    }

    fn receive(&mut self, pool: &mut PacketPool, batch: &mut Vec<Packet>, max: usize) -> usize {
        let before = batch.len();
        // A second call only if the first was full or gave nothing but refused frames.
        let mut left = max;
        while left != 0 {
            let asked = self.burst.min(left);
            let got = self.receive_burst(pool, batch, left);
            left -= got.min(left);
            let only_refused = got != 0 && batch.len() == before;
            if got < asked && !only_refused {
                break;
            }
        }
        if batch.len() != before {
            self.shared.rx.received(&batch[before..]);
        }
        batch.len() - before
    }
}

struct PacketTx {
    socket: OwnedFd,
    counters: Arc<TxCounters>,
}

impl PacketTx {
    /// Deals with what the kernel refused at the front of `packets`; returns how many that disposes of.
    fn refused(&self, packets: &[Packet], error: &io::Error) -> usize {
        match error.raw_os_error() {
            // No room, for this one or any behind it; or the interface is down or gone.
            Some(libc::EAGAIN | libc::ENOBUFS | libc::ENETDOWN | libc::ENXIO | libc::ENODEV) => {
                self.counters.dropped(wire_sums(packets).0);
                packets.len()
            }
            Some(libc::EINTR) => 0,
            _ => {
                self.counters.errors(packets[0].wire_packets());
                1
            }
        }
    }
}

impl TxQueue for PacketTx {
    fn send(&mut self, pool: &mut PacketPool, batch: &mut Vec<Packet>) {
        let mut next = 0;
        while next < batch.len() {
            next += match socket::send(self.socket.as_fd(), &batch[next..], header) {
                Ok(sent) => {
                    let (packets, bytes) = wire_sums(&batch[next..next + sent]);
                    self.counters.sent(packets, bytes);
                    sent
                }
                Err(error) => self.refused(&batch[next..], &error),
            };
        }
        batch.drain(..).for_each(|packet| pool.give(packet));
    }
}

fn header(packet: &Packet) -> [u8; HEADER_LEN] {
    let mut short = [0; HEADER_LEN];
    short.copy_from_slice(&vnet::emit(&packet.offload)[..HEADER_LEN]);
    short
}
