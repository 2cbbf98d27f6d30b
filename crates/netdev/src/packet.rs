//! The `packet` device: an interface that the kernel has already, through AF_PACKET.
//!
//! Physical uplinks and veth ends join a bridge this way, without privileges over more than the interface's own
//! namespace. Frames cross with the virtio-net header, so that segments stay whole; the kernel cuts and sums what
//! the interface itself does not. They move in batches, because a system call costs more than a frame. The interface
//! keeps its addresses and its place in the kernel's stack, which sees what it receives as well: whoever attaches an
//! uplink moves its addresses to the bridge.
//!
//! Two sockets serve a device, both bound to the interface's number when it was opened. One receives. The other only
//! sends, for every transmit queue: nobody sleeps on it, so that the kernel has nobody to wake for each frame that
//! left. An interface that is renamed stays the same one; one that vanishes, by deletion or to another namespace,
//! unbinds both sockets for good, and a successor of the same name or number is never taken for it.
//!
//! Frames pass the interface's queueing discipline: an uplink's shaping and fairness are its owner's choice, and a
//! veth has none to pass. Linux takes full-sized frames with one 802.1Q tag beyond the MTU, but not with an 802.1ad
//! tag or with two; for those the interface's MTU has to leave room, and what is too long is counted as an error.

use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use heddle_wire::checksum::finish_partial;
use heddle_wire::packet::{Checksum, GsoType, Packet};
use heddle_wire::vnet;

use crate::closing::ClosedLater;
use crate::counters::{Refusal, RxCounters, TxCounters, TxRegistry, wire_sums};
use crate::dummy::system;
use crate::sys::interface;
use crate::sys::packet_socket::{self as socket, BATCH, Beside, HEADER_LEN, Received};
use crate::{LinkState, Netdev, NetdevError, Offloads, PacketPool, RxQueue, Statistics, TxQueue};

const ETHERNET_HEADER: usize = 14;
/// Bytes of a VLAN tag.
const TAG: usize = 4;
/// Bytes of each socket's buffer: some sixty segments, or five thousand small frames. A larger one only adds delay
/// under overload: 64 MiB were measured to take 150 ms to drain. Who is not root gets twice `net.core.rmem_max` at
/// most, by default six segments: TCP then has some of them to send again.
const BUFFER: libc::c_int = 4 << 20;
/// The fewest frames asked for by one call.
const LEAST: usize = 4;
/// Where an SCTP header has its checksum; no other transport has it there.
const SCTP_CHECKSUM: u16 = 8;

struct Shared {
    /// Receives; and asks about the interface, since it stays in the namespace it was made in.
    rx_socket: ClosedLater,
    tx_socket: ClosedLater,
    /// Frames that the kernel had no buffer for, as far as it was asked.
    kernel_drops: AtomicU64,
    rx: RxCounters,
    tx: TxRegistry,
}

/// An existing kernel interface, attached by AF_PACKET.
pub struct PacketDevice {
    name: String,
    mac: [u8; 6],
    mtu: u32,
    offloads: Offloads,
    taken: AtomicBool,
    shared: Arc<Shared>,
}

impl PacketDevice {
    /// Attaches to the interface `name` in the caller's network namespace, and makes it promiscuous for as long as
    /// the device lives. Needs CAP_NET_RAW there, and Linux 4.20. It is not set up if it is down.
    ///
    /// # Errors
    /// If there is no such interface, it is not Ethernet, or the system refuses.
    pub fn open(name: &str) -> Result<Self, NetdevError> {
        let failed = |operation| move |source| system(name, operation, source);
        let opening = "opening an AF_PACKET socket (CAP_NET_RAW in the interface's namespace is needed)";
        let rx_socket = socket::open().map_err(failed(opening))?;
        let tx_socket = socket::open().map_err(failed(opening))?;
        let fd = rx_socket.as_fd();
        let index = interface::index(fd, name).map_err(|source| missing(name, source))?;
        let mac = ethernet_address(fd, name)?;
        let mtu = interface::mtu(fd, name).map_err(failed("SIOCGIFMTU"))?;
        socket::set_buffer(fd, true, BUFFER);
        socket::set_buffer(tx_socket.as_fd(), false, BUFFER);
        socket::prepare_receive(fd, index).map_err(failed("preparing the AF_PACKET socket"))?;
        let binding = failed("binding the AF_PACKET socket");
        socket::bind(tx_socket.as_fd(), index, false).map_err(binding)?;
        // Last, so that no frame comes before the socket knows how to describe it.
        socket::bind(fd, index, true).map_err(binding)?;
        let shared = Shared {
            rx_socket: rx_socket.into(),
            tx_socket: tx_socket.into(),
            kernel_drops: AtomicU64::new(0),
            rx: RxCounters::default(),
            tx: TxRegistry::default(),
        };
        // The kernel does for any interface what that does not do itself. UDP segments have a word in the offload
        // header since Linux 6.2; what an older kernel would make of one could only be asked by sending it.
        let uso = socket::kernel_is_at_least(6, 2);
        let offloads = Offloads { checksum: true, tso4: true, tso6: true, uso };
        let taken = AtomicBool::new(false);
        Ok(Self { name: name.to_owned(), mac, mtu, offloads, taken, shared: Arc::new(shared) })
    }

    /// How many received frames were refused, by reason; every reason is listed.
    pub fn refusals(&self) -> Vec<(&'static str, u64)> {
        self.shared.rx.refusals()
    }

    /// What the interface is called now; `None` if it has vanished.
    fn present(&self) -> Option<String> {
        let fd = self.shared.rx_socket.as_fd();
        let index = socket::bound_interface(fd).ok().flatten()?;
        interface::name(fd, index).ok()
    }

    /// Asks the kernel about the interface; `None` if it has vanished.
    fn ask<T>(&self, question: impl FnOnce(std::os::fd::BorrowedFd<'_>, &str) -> io::Result<T>) -> Option<T> {
        let name = self.present()?;
        question(self.shared.rx_socket.as_fd(), &name).ok()
    }
}

fn missing(name: &str, source: io::Error) -> NetdevError {
    if source.raw_os_error() == Some(libc::ENODEV) {
        let reason = "there is no interface of this name in the switch's network namespace".to_owned();
        return NetdevError::Invalid { device: name.to_owned(), reason };
    }
    system(name, "SIOCGIFINDEX", source)
}

/// The interface's address, if it carries Ethernet frames.
fn ethernet_address(fd: std::os::fd::BorrowedFd<'_>, name: &str) -> Result<[u8; 6], NetdevError> {
    match interface::hardware(fd, name).map_err(|source| system(name, "SIOCGIFHWADDR", source))? {
        (libc::ARPHRD_ETHER | libc::ARPHRD_LOOPBACK, mac) => Ok(mac),
        (kind, _) => {
            let reason =
                format!("the interface is of hardware type {kind}; only Ethernet (1) can join a bridge");
            Err(NetdevError::Invalid { device: name.to_owned(), reason })
        }
    }
}

impl Netdev for PacketDevice {
    fn name(&self) -> &str {
        &self.name
    }

    fn kind(&self) -> &'static str {
        "packet"
    }

    /// The interface's address now; if it has vanished, when it was attached.
    fn mac(&self) -> Option<[u8; 6]> {
        Some(self.ask(interface::mac).unwrap_or(self.mac))
    }

    /// The interface's MTU now; if it has vanished, when it was attached.
    fn mtu(&self) -> u32 {
        self.ask(interface::mtu).unwrap_or(self.mtu)
    }

    /// What the kernel says now: down and without carrier if the interface has vanished.
    fn link_state(&self) -> LinkState {
        let flags = self.ask(interface::flags).unwrap_or(0);
        LinkState { admin_up: flags & libc::IFF_UP != 0, carrier: flags & libc::IFF_RUNNING != 0 }
    }

    fn set_admin_up(&self, up: bool) -> Result<(), NetdevError> {
        let Some(name) = self.present() else {
            let reason = "the interface has vanished from the switch's network namespace".to_owned();
            return Err(NetdevError::Invalid { device: self.name.clone(), reason });
        };
        interface::set_up(self.shared.rx_socket.as_fd(), &name, up)
            .map_err(|source| system(&self.name, "SIOCSIFFLAGS", source))
    }

    fn set_mtu(&self, mtu: u32) -> Result<(), NetdevError> {
        let asked = self.ask(|fd, name| Ok(interface::set_mtu(fd, name, mtu)));
        asked.unwrap_or(Ok(())).map_err(|source| system(&self.name, "SIOCSIFMTU", source))
    }

    fn set_mac(&self, mac: [u8; 6]) -> Result<(), NetdevError> {
        let asked = self.ask(|fd, name| Ok(interface::set_mac(fd, name, mac)));
        asked.unwrap_or(Ok(())).map_err(|source| system(&self.name, "SIOCSIFHWADDR", source))
    }

    fn index(&self) -> Option<u32> {
        self.ask(interface::index).map(|index| index as u32)
    }

    fn offloads(&self) -> Offloads {
        self.offloads
    }

    /// Frames that the kernel had no buffer for are among the dropped ones, a segment counting as one.
    fn statistics(&self) -> Statistics {
        let fresh = socket::take_drops(self.shared.rx_socket.as_fd());
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
        let rooms = Vec::with_capacity(BATCH);
        vec![Box::new(PacketRx { shared, rooms, beside: Beside::new(), burst: LEAST })]
    }

    fn open_tx_queue(&self) -> Result<Box<dyn TxQueue>, NetdevError> {
        Ok(Box::new(PacketTx { shared: Arc::clone(&self.shared), counters: self.shared.tx.open() }))
    }
}

struct PacketRx {
    shared: Arc<Shared>,
    /// Buffers of the call under way; empty between calls.
    rooms: Vec<Packet>,
    beside: Box<Beside>,
    /// How many frames the next call asks for: grown under load, so that a quiet device touches few buffers.
    burst: usize,
}

impl PacketRx {
    /// One call's worth of at most `wanted` frames; returns how many the kernel gave, refused ones included.
    fn receive_burst(&mut self, pool: &mut PacketPool, batch: &mut Vec<Packet>, wanted: usize) -> usize {
        self.rooms.extend(std::iter::from_fn(|| pool.take()).take(wanted));
        if self.rooms.is_empty() {
            return self.discard(wanted);
        }
        let asked = self.rooms.len();
        let Shared { rx_socket, rx, .. } = &*self.shared;
        let answer = self.beside.receive(rx_socket.as_fd(), &mut self.rooms, |packet, received| {
            if let Err(reason) = accept(packet, &received) {
                rx.refused(reason);
                packet.clear();
            }
        });
        let got = answer.unwrap_or_else(|error| {
            // The kernel has thrown away the frame that it could not describe; there may be others behind it.
            // Of other errors, ENETDOWN is told once when the interface goes down or vanishes.
            let inexpressible = error.raw_os_error() == Some(libc::EINVAL);
            if inexpressible {
                rx.refused(Refusal::Inexpressible);
            }
            usize::from(inexpressible)
        });
        let next = if got == asked { asked * 2 } else { got.next_power_of_two() };
        self.burst = next.clamp(LEAST, BATCH);
        // The last first, so that the buffer touched last is taken next.
        self.rooms.drain(got.min(asked)..).rev().for_each(|unused| pool.give(unused));
        for packet in self.rooms.drain(..) {
            if packet.is_empty() { pool.give(packet) } else { batch.push(packet) }
        }
        got
    }

    /// Takes frames off the socket that the switch has no buffers for; else a sleeping thread would be woken for
    /// ever.
    fn discard(&self, max: usize) -> usize {
        let socket = self.shared.rx_socket.as_fd();
        let discarded = (0..max).take_while(|_| socket::discard(socket).is_ok()).count();
        self.shared.rx.dropped(discarded as u64);
        discarded
    }
}

/// Checks a frame at the door, and gives it back the VLAN tag that the kernel took off.
fn accept(packet: &mut Packet, received: &Received<'_>) -> Result<(), Refusal> {
    if received.truncated {
        return Err(Refusal::Oversize);
    }
    let length = received.length.checked_sub(HEADER_LEN).filter(|&length| length >= ETHERNET_HEADER);
    packet.received(length.ok_or(Refusal::Runt)?);
    packet.offload = vnet::parse(received.header, packet.data()).map_err(Refusal::Vnet)?;
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
    /// The socket: readable, too, when the interface goes down, until it has been asked once.
    fn readiness(&self) -> Option<RawFd> {
        Some(self.shared.rx_socket.as_fd().as_raw_fd())
    }

    fn receive(&mut self, pool: &mut PacketPool, batch: &mut Vec<Packet>, max: usize) -> usize {
        let before = batch.len();
        let mut left = max;
        while left != 0 {
            let asked = self.burst.min(left);
            let got = self.receive_burst(pool, batch, asked);
            left -= got.min(left);
            // Another call if this one was full, or gave nothing but refused frames: zero would say that the
            // socket is empty.
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
    shared: Arc<Shared>,
    counters: Arc<TxCounters>,
}

impl PacketTx {
    /// Sends a burst from the front of `packets`; returns how many are done with, sent or not.
    fn send_burst(&self, packets: &[Packet]) -> usize {
        match socket::send(self.shared.tx_socket.as_fd(), packets, header) {
            Ok(sent) => {
                let (packets, bytes) = wire_sums(&packets[..sent]);
                self.counters.sent(packets, bytes);
                sent
            }
            Err(error) => self.refused(packets, &error),
        }
    }

    /// Deals with what the kernel refused at the front of `packets`; returns how many that disposes of.
    #[cold]
    fn refused(&self, packets: &[Packet], error: &io::Error) -> usize {
        match error.raw_os_error() {
            Some(libc::EINTR) => 0,
            // The socket's buffer is full, or the interface is down or gone: for those behind it as well.
            Some(libc::EAGAIN | libc::ENETDOWN | libc::ENXIO | libc::ENODEV) => {
                self.counters.dropped(wire_sums(packets).0);
                packets.len()
            }
            // The queueing discipline dropped this one, or there was no memory for it.
            Some(libc::ENOBUFS | libc::ENOMEM) => {
                self.counters.dropped(packets[0].wire_packets());
                1
            }
            _ => {
                self.counters.errors(packets[0].wire_packets());
                1
            }
        }
    }
}

impl TxQueue for PacketTx {
    fn send(&mut self, pool: &mut PacketPool, batch: &mut Vec<Packet>) {
        batch.iter_mut().filter(|packet| is_partial_sctp(packet)).for_each(finish_partial);
        let mut next = 0;
        while next < batch.len() {
            next += self.send_burst(&batch[next..]);
        }
        batch.drain(..).for_each(|packet| pool.give(packet));
    }
}

/// Whether a checksum is left partial that the kernel would finish wrongly: the offload header has no word for
/// SCTP's CRC32c, and the kernel takes any partial checksum for the Internet's.
#[inline]
fn is_partial_sctp(packet: &Packet) -> bool {
    matches!(packet.offload.checksum, Checksum::Partial { offset: SCTP_CHECKSUM, .. })
        && packet.offload.gso == GsoType::None
}

fn header(packet: &Packet) -> [u8; HEADER_LEN] {
    let mut short = [0; HEADER_LEN];
    short.copy_from_slice(&vnet::emit(&packet.offload)[..HEADER_LEN]);
    short
}
