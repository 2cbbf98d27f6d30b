//! Packet sockets on interfaces that the kernel already has: physical uplinks, one end of a veth pair.
//!
//! Frames cross with a virtio-net header, so segments stay whole and partial checksums partial; the kernel finishes
//! on the way out whatever the interface cannot. One system call moves up to 32 frames. The interface keeps its
//! addresses and its place in the kernel's stack: whoever attaches an uplink moves those to the bridge.
//!
//! The kernel takes VLAN tags off the frames that it hands to packet sockets and says them beside; they are put
//! back here, and the metadata shifted with them. Questions about the interface go through the packet socket itself,
//! which asks in the namespace that the socket was made in, and by index, so a renamed interface stays the same one.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use heddle_wire::packet::Packet;
use heddle_wire::vnet;

use crate::counters::{DeviceCounters, Direction, DropReason, QueueCounters, explain};
use crate::pool::PacketPool;
use crate::sys::packet as socket;
use crate::{LinkState, Netdev, NetdevError, Offloads, RxQueue, Statistics, TxQueue, sys};

const ETHERNET_HEADER: usize = 14;
const VLAN_TAG: usize = 4;
/// How long an answer about the link's state is good for: senders ask before every batch.
const STATE_AGE: Duration = Duration::from_millis(100);

/// What is asked of a packet socket.
#[derive(Clone, Debug)]
pub struct PacketOptions {
    /// What is handed over undone; the kernel does it where the interface cannot. USO needs Linux 6.2 and is left
    /// out before.
    pub offloads: Offloads,
    /// Receives frames for other stations too, as a bridge must.
    pub promiscuous: bool,
    /// Sends past the interface's queueing discipline: faster, and no shaping or fairness there.
    pub bypass_qdisc: bool,
    /// Bytes of the socket's buffers, each way.
    pub buffer: usize,
}

impl Default for PacketOptions {
    fn default() -> Self {
        Self {
            offloads: Offloads { checksum: true, tso4: true, tso6: true, uso: true },
            promiscuous: true,
            bypass_qdisc: false,
            buffer: 4 << 20,
        }
    }
}

/// An interface of the kernel, seen from the switch.
pub struct PacketSocket {
    name: String,
    mac: Option<[u8; 6]>,
    offloads: Offloads,
    shared: Arc<Shared>,
    rx_taken: AtomicBool,
}

/// What the device and its queues hold in common.
struct Shared {
    socket: OwnedFd,
    index: i32,
    gone: AtomicBool,
    /// The link's state, see [`Shared::link_state`].
    state: AtomicU64,
    epoch: Instant,
    /// Frames that the socket had no room for; the kernel forgets its count when asked.
    overrun: AtomicU64,
    counters: DeviceCounters,
}

/// Whether a packet socket can be opened on the interface `name`, in the calling thread's network namespace.
///
/// # Errors
/// If not, saying why and what would help.
pub fn probe(name: &str) -> Result<(), NetdevError> {
    find(name).map(drop)
}

/// A socket that receives nothing yet, the interface's index and its address.
fn find(name: &str) -> Result<(OwnedFd, i32, [u8; 6]), NetdevError> {
    let socket = socket::open().map_err(|error| {
        let remedy = match error.raw_os_error() {
            Some(libc::EPERM) => "packet sockets need CAP_NET_RAW in the namespace of the interface; run as root, or move the interface into a namespace of your own",
            Some(libc::EAFNOSUPPORT) => "the kernel was built without packet sockets (CONFIG_PACKET)",
            _ => "",
        };
        explain(name, "opening a packet socket", error, remedy)
    })?;
    let index = sys::interface_index(socket.as_fd(), name).map_err(|error| {
        let remedy = match error.raw_os_error() {
            Some(libc::ENODEV) => {
                "no interface of this name is in this network namespace; ip link shows those that are"
            }
            _ => "",
        };
        explain(name, "finding the interface", error, remedy)
    })?;
    let mac = check_ethernet(&socket, name, name)?;
    Ok((socket, index, mac))
}

fn check_ethernet(socket: &OwnedFd, name: &str, interface: &str) -> Result<[u8; 6], NetdevError> {
    let (kind, mac) = sys::interface_address(socket.as_fd(), interface)
        .map_err(|error| explain(name, "SIOCGIFHWADDR", error, ""))?;
    if kind == libc::ARPHRD_ETHER || kind == libc::ARPHRD_LOOPBACK {
        return Ok(mac);
    }
    Err(NetdevError::Invalid {
        device: name.to_owned(),
        reason: format!("the interface is of hardware type {kind}; only Ethernet (1) can be bridged"),
    })
}

impl PacketSocket {
    /// Opens the interface `name` of the calling thread's network namespace.
    ///
    /// # Errors
    /// If there is none, it is not Ethernet, or we may not open packet sockets here.
    pub fn open(name: &str, options: &PacketOptions) -> Result<Self, NetdevError> {
        let (socket, index, mac) = find(name)?;
        configure(socket.as_fd(), name, index, options)?;
        // Bound last, so that no frame comes before the socket knows how to describe it.
        socket::bind(socket.as_fd(), index).map_err(|error| explain(name, "bind", error, ""))?;
        Ok(Self::assemble(socket, name, index, mac, options))
    }

    /// Takes over a packet socket that was bound elsewhere, in another namespace or process. `name` is what the
    /// switch calls it.
    ///
    /// # Errors
    /// If the descriptor is not a packet socket that is bound to an Ethernet interface.
    pub fn from_fd(socket: OwnedFd, name: &str, options: &PacketOptions) -> Result<Self, NetdevError> {
        let index = socket::bound_interface(socket.as_fd())
            .map_err(|error| explain(name, "getsockname", error, "the descriptor is not a packet socket"))?;
        let interface = sys::interface_name(socket.as_fd(), index).map_err(|error| {
            explain(name, "finding the interface", error, "the packet socket is bound to none that exists")
        })?;
        let mac = check_ethernet(&socket, name, &interface)?;
        configure(socket.as_fd(), name, index, options)?;
        Ok(Self::assemble(socket, name, index, mac, options))
    }

    fn assemble(socket: OwnedFd, name: &str, index: i32, mac: [u8; 6], options: &PacketOptions) -> Self {
        let uso = options.offloads.uso && kernel_at_least(6, 2);
        Self {
            name: name.to_owned(),
            mac: (mac != [0; 6]).then_some(mac),
            offloads: Offloads { uso, ..options.offloads },
            shared: Arc::new(Shared {
                socket,
                index,
                gone: AtomicBool::new(false),
                state: AtomicU64::new(0),
                epoch: Instant::now(),
                overrun: AtomicU64::new(0),
                counters: DeviceCounters::default(),
            }),
            rx_taken: AtomicBool::new(false),
        }
    }

    /// The descriptor, to be handed to another process.
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.shared.socket.as_fd()
    }

    fn interface(&self) -> io::Result<String> {
        sys::interface_name(self.shared.socket.as_fd(), self.shared.index)
    }
}

fn configure(fd: BorrowedFd<'_>, name: &str, index: i32, options: &PacketOptions) -> Result<(), NetdevError> {
    let failed = |operation, remedy| move |error| explain(name, operation, error, remedy);
    sys::set_nonblocking(fd).map_err(failed("fcntl", ""))?;
    let buffer = i32::try_from(options.buffer).unwrap_or(i32::MAX);
    socket::set_buffers(fd, buffer).map_err(failed("sizing the socket's buffers", ""))?;
    let set = |option, value| socket::set_option(fd, option, value);
    set(libc::PACKET_VNET_HDR, 1).map_err(failed("PACKET_VNET_HDR", ""))?;
    set(libc::PACKET_AUXDATA, 1).map_err(failed("PACKET_AUXDATA", ""))?;
    // Otherwise what the switch and the machine itself send would come back as received.
    set(libc::PACKET_IGNORE_OUTGOING, 1)
        .map_err(failed("PACKET_IGNORE_OUTGOING", "Linux 4.20 or newer is needed"))?;
    set(libc::PACKET_QDISC_BYPASS, i32::from(options.bypass_qdisc))
        .map_err(failed("PACKET_QDISC_BYPASS", ""))?;
    if options.promiscuous {
        socket::set_promiscuous(fd, index).map_err(failed("PACKET_ADD_MEMBERSHIP", ""))?;
    }
    Ok(())
}

fn kernel_at_least(major: u32, minor: u32) -> bool {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|part| part.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= (major, minor)
}

const STATE_UP: u64 = 1;
const STATE_CARRIER: u64 = 2;
const STATE_KNOWN: u64 = 4;

impl Shared {
    /// The link's state, asked of the system when the last answer is too old. The atomic holds the answer's time in
    /// milliseconds above its three flags.
    fn link_state(&self) -> LinkState {
        let now = self.epoch.elapsed().as_millis() as u64;
        let mut state = self.state.load(Ordering::Relaxed);
        if state & STATE_KNOWN == 0 || now.saturating_sub(state >> 3) >= STATE_AGE.as_millis() as u64 {
            state = (now << 3) | STATE_KNOWN | self.ask_state();
            self.state.store(state, Ordering::Relaxed);
        }
        LinkState { admin_up: state & STATE_UP != 0, carrier: state & STATE_CARRIER != 0 }
    }

    fn ask_state(&self) -> u64 {
        let fd = self.socket.as_fd();
        match sys::interface_name(fd, self.index).and_then(|name| sys::interface_flags(fd, &name)) {
            Ok(flags) => {
                let up = if flags & libc::IFF_UP != 0 { STATE_UP } else { 0 };
                up | if flags & libc::IFF_RUNNING != 0 { STATE_CARRIER } else { 0 }
            }
            Err(error) => {
                if matches!(error.raw_os_error(), Some(libc::ENODEV | libc::ENXIO)) {
                    self.gone.store(true, Ordering::Relaxed);
                }
                0
            }
        }
    }

    /// Has the next question about the link asked anew.
    fn forget_state(&self) {
        self.state.store(0, Ordering::Relaxed);
    }
}

impl Netdev for PacketSocket {
    fn name(&self) -> &str {
        &self.name
    }

    fn kind(&self) -> &'static str {
        "system"
    }

    fn mac(&self) -> Option<[u8; 6]> {
        self.mac
    }

    fn mtu(&self) -> u32 {
        let fd = self.shared.socket.as_fd();
        self.interface().and_then(|name| sys::interface_mtu(fd, &name)).unwrap_or(0)
    }

    fn link_state(&self) -> LinkState {
        self.shared.link_state()
    }

    fn set_admin_up(&self, up: bool) -> Result<(), NetdevError> {
        let fd = self.shared.socket.as_fd();
        let failed = |error: io::Error| {
            let remedy = match error.raw_os_error() {
                Some(libc::EPERM) => "needs CAP_NET_ADMIN in the namespace of the interface",
                Some(libc::ENODEV | libc::ENXIO) => "the interface has vanished",
                _ => "",
            };
            explain(&self.name, "setting the interface up or down", error, remedy)
        };
        let name = self.interface().map_err(failed)?;
        let flags = sys::interface_flags(fd, &name).map_err(failed)?;
        let flags = if up { flags | libc::IFF_UP } else { flags & !libc::IFF_UP };
        sys::set_interface_flags(fd, &name, flags).map_err(failed)?;
        self.shared.forget_state();
        Ok(())
    }

    fn offloads(&self) -> Offloads {
        self.offloads
    }

    fn statistics(&self) -> Statistics {
        let new = socket::dropped(self.shared.socket.as_fd()).unwrap_or(0);
        let overrun = self.shared.overrun.fetch_add(new, Ordering::Relaxed) + new;
        let mut statistics = self.shared.counters.statistics();
        statistics.rx_dropped += overrun;
        statistics
    }

    fn drop_reasons(&self) -> Vec<(&'static str, u64)> {
        let mut reasons = self.shared.counters.drop_reasons();
        let overrun = self.shared.overrun.load(Ordering::Relaxed);
        if overrun != 0 {
            reasons.push(("socket buffer overrun", overrun));
        }
        reasons
    }

    fn is_present(&self) -> bool {
        self.shared.link_state();
        !self.shared.gone.load(Ordering::Relaxed)
    }

    fn take_rx_queues(&self) -> Vec<Box<dyn RxQueue>> {
        if self.rx_taken.swap(true, Ordering::Relaxed) {
            return Vec::new();
        }
        vec![Box::new(PacketRx {
            shared: Arc::clone(&self.shared),
            counters: self.shared.counters.queue(Direction::Rx),
            received: socket::Received::new(),
            packets: Vec::with_capacity(socket::BATCH),
        })]
    }

    fn open_tx_queue(&self) -> Result<Box<dyn TxQueue>, NetdevError> {
        Ok(Box::new(PacketTx {
            shared: Arc::clone(&self.shared),
            counters: self.shared.counters.queue(Direction::Tx),
            headers: [[0; socket::HEADER_LEN]; socket::BATCH],
        }))
    }
}

struct PacketRx {
    shared: Arc<Shared>,
    counters: Arc<QueueCounters>,
    received: Box<socket::Received>,
    /// Empty between calls.
    packets: Vec<Packet>,
}

impl PacketRx {
    /// Receives one batch; returns whether more may be waiting.
    fn receive_batch(&mut self, pool: &mut PacketPool, batch: &mut Vec<Packet>, wanted: usize) -> bool {
        while self.packets.len() < wanted.min(socket::BATCH) {
            let Some(packet) = pool.take() else { break };
            self.packets.push(packet);
        }
        let room = self.packets.len();
        if room == 0 {
            return false;
        }
        let result = self.received.receive(self.shared.socket.as_fd(), &mut self.packets);
        let filled = *result.as_ref().unwrap_or(&0);
        // Unused buffers go back in the order they came, so that the warmest is taken next.
        for packet in self.packets.drain(filled..).rev() {
            pool.give(packet);
        }
        let (mut packets, mut bytes) = (0, 0);
        for (index, mut packet) in self.packets.drain(..).enumerate() {
            match describe(&self.received, index, &mut packet) {
                Ok(()) => {
                    packets += packet.wire_packets();
                    bytes += packet.wire_bytes();
                    batch.push(packet);
                }
                Err(reason) => {
                    self.counters.failed(reason, 1);
                    pool.give(packet);
                }
            }
        }
        self.counters.passed(packets, bytes);
        match result {
            Ok(filled) => filled == room,
            Err(error) => self.receive_failed(&error),
        }
    }

    #[cold]
    fn receive_failed(&self, error: &io::Error) -> bool {
        match error.raw_os_error() {
            Some(libc::EAGAIN | libc::EINTR) => false,
            // The interface went down, or away; said once, and the socket is silent until it is up again.
            Some(libc::ENETDOWN | libc::ENODEV | libc::ENXIO) => {
                self.shared.forget_state();
                self.shared.link_state();
                false
            }
            // A frame whose offload the header has no words for; the next may be better.
            _ => {
                self.counters.failed(DropReason::Undescribed, 1);
                true
            }
        }
    }
}

/// Gives the packet its length, metadata and VLAN tag.
fn describe(received: &socket::Received, index: usize, packet: &mut Packet) -> Result<(), DropReason> {
    if received.is_truncated(index) {
        return Err(DropReason::TooLong);
    }
    let length = received.frame_len(index);
    if length < ETHERNET_HEADER {
        return Err(DropReason::Runt);
    }
    packet.received(length);
    packet.offload = vnet::parse(received.header(index), packet.data()).map_err(DropReason::Vnet)?;
    match received.vlan(index) {
        Some((tpid, tci)) => insert_tag(packet, tpid, tci).ok_or(DropReason::TooLong),
        None => Ok(()),
    }
}

/// Puts a VLAN tag behind the addresses, and moves the metadata with what is behind it.
fn insert_tag(packet: &mut Packet, tpid: u16, tci: u16) -> Option<()> {
    packet.push_front(VLAN_TAG)?;
    let frame = packet.data_mut();
    frame.copy_within(VLAN_TAG..VLAN_TAG + 12, 0);
    frame[12..14].copy_from_slice(&tpid.to_be_bytes());
    frame[14..16].copy_from_slice(&tci.to_be_bytes());
    packet.offload.shift(VLAN_TAG as i32).then_some(())
}

impl RxQueue for PacketRx {
    fn readiness(&self) -> Option<RawFd> {
        Some(self.shared.socket.as_raw_fd())
    }

    fn is_finished(&self) -> bool {
        self.shared.gone.load(Ordering::Relaxed)
    }

    fn receive(&mut self, pool: &mut PacketPool, batch: &mut Vec<Packet>, max: usize) -> usize {
        let before = batch.len();
        // As many calls as frames were asked for at most, even if all of them are refused.
        for _ in 0..max.div_ceil(socket::BATCH).max(4) {
            let wanted = max - (batch.len() - before);
            if wanted == 0 || !self.receive_batch(pool, batch, wanted) {
                break;
            }
        }
        batch.len() - before
    }
}

struct PacketTx {
    shared: Arc<Shared>,
    counters: Arc<QueueCounters>,
    headers: [[u8; socket::HEADER_LEN]; socket::BATCH],
}

impl PacketTx {
    /// Sends up to a batch from the front; returns how many are done with, sent or not.
    fn send_some(&mut self, packets: &[Packet]) -> usize {
        let count = packets.len().min(socket::BATCH);
        for (header, packet) in self.headers.iter_mut().zip(packets) {
            header.copy_from_slice(&vnet::emit(&packet.offload)[..socket::HEADER_LEN]);
        }
        match socket::send(self.shared.socket.as_fd(), &self.headers[..count], &packets[..count]) {
            Ok(sent) if sent > 0 => {
                let wire = |sum: (u64, u64), packet: &Packet| {
                    (sum.0 + packet.wire_packets(), sum.1 + packet.wire_bytes())
                };
                let (packets, bytes) = packets[..sent].iter().fold((0, 0), wire);
                self.counters.passed(packets, bytes);
                sent
            }
            Ok(_) => self.give_up(DropReason::Full, &packets[..count]),
            Err(error) => self.send_failed(&error, &packets[..count]),
        }
    }

    /// What an error says about the first packet, and about those behind it.
    #[cold]
    fn send_failed(&mut self, error: &io::Error, packets: &[Packet]) -> usize {
        match error.raw_os_error() {
            // The socket's buffer is full, and will be for the packets behind as well.
            Some(libc::EAGAIN) => self.give_up(DropReason::Full, packets),
            Some(libc::ENOBUFS | libc::ENOMEM | libc::EINTR) => self.give_up(DropReason::Full, &packets[..1]),
            Some(libc::ENETDOWN | libc::ENXIO | libc::ENODEV) => {
                self.shared.forget_state();
                self.give_up(DropReason::Down, packets)
            }
            Some(libc::EMSGSIZE) => self.give_up(DropReason::OverMtu, &packets[..1]),
            _ => self.give_up(DropReason::Refused, &packets[..1]),
        }
    }

    fn give_up(&self, reason: DropReason, packets: &[Packet]) -> usize {
        self.counters.failed(reason, packets.iter().map(Packet::wire_packets).sum());
        packets.len()
    }
}

impl TxQueue for PacketTx {
    fn send(&mut self, pool: &mut PacketPool, batch: &mut Vec<Packet>) {
        let mut done = 0;
        while done < batch.len() {
            done += self.send_some(&batch[done..]);
        }
        batch.drain(..).for_each(|packet| pool.give(packet));
    }
}

#[cfg(test)]
mod tests {
    use heddle_wire::packet::{Checksum, Offload};

    use super::*;

    #[test]
    fn a_tag_put_back_moves_the_metadata() {
        let mut packet = Packet::from_frame(&(0..60).collect::<Vec<u8>>());
        packet.offload =
            Offload { checksum: Checksum::Partial { start: 34, offset: 6 }, ..Offload::default() };
        insert_tag(&mut packet, 0x8100, 0x2064).unwrap();
        assert_eq!(packet.len(), 64);
        assert_eq!(packet.data()[..16], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 0x81, 0, 0x20, 0x64]);
        assert_eq!(packet.data()[16..], (12..60).collect::<Vec<u8>>());
        assert_eq!(packet.offload.checksum, Checksum::Partial { start: 38, offset: 6 });
    }

    #[test]
    fn an_interface_that_is_not_there_is_named_with_a_remedy() {
        let error = probe("heddle-nowhere").unwrap_err().to_string();
        assert!(error.starts_with("heddle-nowhere: "), "{error}");
        assert!(error.contains("ip link shows") || error.contains("CAP_NET_RAW"), "{error}");
    }

    #[test]
    fn kernel_versions_compare_by_number() {
        assert!(kernel_at_least(2, 99));
        assert!(!kernel_at_least(1000, 0));
    }
}
