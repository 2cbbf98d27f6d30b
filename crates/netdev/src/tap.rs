//! The `tap` device: a network interface of a lab host, or of this host, whose other end is a descriptor.
//!
//! The interface may live in another network namespace and its descriptor may have come over a Unix socket, so
//! nothing here looks the interface up by name: the descriptor is all there is. Frames cross with the virtio-net
//! header, so that 64 KiB segments and unfinished checksums pass whole. A frame is read straight into a pool
//! buffer, its header before it. Whoever owns the interface may write any header; each is checked against its frame.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::fs::OpenOptionsExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use heddle_wire::packet::{MAX_FRAME, Packet};
use heddle_wire::vnet;

use crate::counters::{Refusal, RxCounters, TxCounters, TxRegistry};
use crate::dummy::system;
use crate::sys::event::Watch;
use crate::sys::{interface, tun};
use crate::{LinkState, Netdev, NetdevError, Offloads, PacketPool, RxQueue, Statistics, TxQueue};

const ETHERNET_HEADER: usize = 14;

struct Shared {
    file: File,
    admin_up: AtomicBool,
    /// The interface was deleted under the descriptor.
    gone: AtomicBool,
    rx: RxCounters,
    tx: TxRegistry,
}

/// A TAP interface, held by its descriptor. Made up; the interface goes when the last descriptor is closed.
pub struct Tap {
    name: String,
    mac: Option<[u8; 6]>,
    mtu: u32,
    offloads: Offloads,
    taken: AtomicBool,
    /// Asks the kernel about an interface that was made here; one made elsewhere is in another namespace.
    asking: Option<OwnedFd>,
    shared: Arc<Shared>,
}

impl Tap {
    /// Makes an interface called `name` in the caller's network namespace. It is left administratively down in
    /// the kernel, for its user to configure. Needs CAP_NET_ADMIN there and access to `/dev/net/tun`.
    ///
    /// # Errors
    /// If the name does not fit, or the system refuses.
    pub fn create(name: &str) -> Result<Self, NetdevError> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC)
            .open("/dev/net/tun")
            .map_err(|source| system(name, "opening /dev/net/tun", source))?;
        tun::attach(file.as_fd(), name).map_err(|source| system(name, "TUNSETIFF", source))?;
        let query = |source| system(name, "reading the interface", source);
        let mac = interface::mac(file.as_fd(), name).map_err(query)?;
        let socket = interface::control_socket().map_err(query)?;
        let mtu = interface::mtu(socket.as_fd(), name).map_err(query)?;
        let tap = Self::from_fd(OwnedFd::from(file), name, Some(mac), mtu)?;
        Ok(Self { asking: Some(socket), ..tap })
    }

    /// Asks the kernel about the interface, if it was made here.
    fn ask<T>(&self, question: impl FnOnce(BorrowedFd<'_>, &str) -> io::Result<T>) -> Option<T> {
        question(self.asking.as_ref()?.as_fd(), &self.name).ok()
    }

    /// Changes the interface, if it was made here.
    fn change(
        &self,
        what: &'static str,
        call: impl FnOnce(BorrowedFd<'_>, &str) -> io::Result<()>,
    ) -> Result<(), NetdevError> {
        let asking = self.asking.as_ref().ok_or_else(|| NetdevError::fixed(&self.name, what))?;
        call(asking.as_fd(), &self.name).map_err(|source| system(&self.name, what, source))
    }

    /// Takes over a TAP descriptor made elsewhere; `name`, `mac` and `mtu` are what its maker says. The
    /// descriptor's non-blocking mode, header size and offloads are set again, which changes nothing for a
    /// descriptor that a previous switch used.
    ///
    /// # Errors
    /// If the descriptor is not that of a TAP interface with a virtio-net header and without packet
    /// information, or the system refuses.
    pub fn from_fd(fd: OwnedFd, name: &str, mac: Option<[u8; 6]>, mtu: u32) -> Result<Self, NetdevError> {
        let flags = tun::flags(fd.as_fd()).map_err(|source| system(name, "TUNGETIFF", source))?;
        if !flags.is_usable() {
            let reason = "the descriptor is not a TAP's with IFF_NO_PI and IFF_VNET_HDR".to_owned();
            return Err(NetdevError::Invalid { device: name.to_owned(), reason });
        }
        tun::set_nonblocking(fd.as_fd()).map_err(|source| system(name, "O_NONBLOCK", source))?;
        tun::set_header(fd.as_fd(), vnet::HEADER_LEN)
            .map_err(|source| system(name, "TUNSETVNETHDRSZ", source))?;
        let uso = tun::set_offloads(fd.as_fd()).map_err(|source| system(name, "TUNSETOFFLOAD", source))?;
        let shared = Shared {
            file: File::from(fd),
            admin_up: AtomicBool::new(true),
            gone: AtomicBool::new(false),
            rx: RxCounters::default(),
            tx: TxRegistry::default(),
        };
        let offloads = Offloads { checksum: true, tso4: true, tso6: true, uso };
        let taken = AtomicBool::new(false);
        Ok(Self { name: name.to_owned(), mac, mtu, offloads, taken, asking: None, shared: Arc::new(shared) })
    }

    /// How many received frames were refused, by reason; every reason is listed.
    pub fn refusals(&self) -> Vec<(&'static str, u64)> {
        self.shared.rx.refusals()
    }

    /// The descriptor, to be handed on or duplicated.
    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.shared.file.as_fd()
    }
}

impl Netdev for Tap {
    fn name(&self) -> &str {
        &self.name
    }

    fn kind(&self) -> &'static str {
        "tap"
    }

    fn mac(&self) -> Option<[u8; 6]> {
        self.ask(interface::mac).or(self.mac)
    }

    fn mtu(&self) -> u32 {
        self.ask(interface::mtu).unwrap_or(self.mtu)
    }

    fn set_mtu(&self, mtu: u32) -> Result<(), NetdevError> {
        self.change("SIOCSIFMTU", |fd, name| interface::set_mtu(fd, name, mtu))
    }

    fn set_mac(&self, mac: [u8; 6]) -> Result<(), NetdevError> {
        self.change("SIOCSIFHWADDR", |fd, name| interface::set_mac(fd, name, mac))
    }

    fn index(&self) -> Option<u32> {
        self.ask(interface::index).map(|index| index as u32)
    }

    /// An interface that was made here is up only where its user has set it up.
    fn link_state(&self) -> LinkState {
        let up = self.ask(interface::flags).is_none_or(|flags| flags & libc::IFF_UP != 0);
        LinkState {
            admin_up: self.shared.admin_up.load(Ordering::Relaxed) && up,
            carrier: !self.shared.gone.load(Ordering::Relaxed),
        }
    }

    /// The interface's owner sees the carrier follow; kernels before 5.0 cannot show it, and only drop.
    fn set_admin_up(&self, up: bool) -> Result<(), NetdevError> {
        self.shared.admin_up.store(up, Ordering::Relaxed);
        match tun::set_carrier(self.shared.file.as_fd(), up) {
            Err(error) if !matches!(error.raw_os_error(), Some(libc::EINVAL | libc::ENOTTY)) => {
                Err(system(&self.name, "TUNSETCARRIER", error))
            }
            _ => Ok(()),
        }
    }

    fn offloads(&self) -> Offloads {
        self.offloads
    }

    fn statistics(&self) -> Statistics {
        let mut statistics = Statistics::default();
        self.shared.rx.merge(&mut statistics);
        self.shared.tx.merge(&mut statistics);
        statistics
    }

    /// None, too, if the system gives no descriptor to wait on.
    fn take_rx_queues(&self) -> Vec<Box<dyn RxQueue>> {
        if self.taken.swap(true, Ordering::Relaxed) {
            return Vec::new();
        }
        let Ok(watch) = Watch::new(self.shared.file.as_fd()) else {
            self.taken.store(false, Ordering::Relaxed);
            return Vec::new();
        };
        vec![Box::new(TapRx { shared: Arc::clone(&self.shared), watch })]
    }

    fn open_tx_queue(&self) -> Result<Box<dyn TxQueue>, NetdevError> {
        Ok(Box::new(TapTx { shared: Arc::clone(&self.shared), counters: self.shared.tx.open() }))
    }
}

struct TapRx {
    shared: Arc<Shared>,
    /// What poll threads wait on. A TAP whose interface was deleted reports an error for ever, and a descriptor
    /// that another process holds too stays in every epoll set it was ever in; a set of our own cures both.
    watch: Watch,
}

/// What one read found.
enum Found {
    Frame,
    Refused(Refusal),
    Nothing,
}

impl TapRx {
    #[inline]
    fn read(&mut self, packet: &mut Packet) -> Found {
        // One piece, the header in the headroom: reading into two costs the kernel a tenth more.
        let room = packet.receive_room_behind(vnet::HEADER_LEN);
        let most = room.len() - vnet::HEADER_LEN;
        let length = match (&self.shared.file).read(room) {
            Ok(length) => length,
            Err(error) => return self.failed(&error),
        };
        let Some(&header) = room.first_chunk::<{ vnet::HEADER_LEN }>() else { return Found::Nothing };
        let Some(length) = length.checked_sub(vnet::HEADER_LEN).filter(|&len| len >= ETHERNET_HEADER) else {
            return Found::Refused(Refusal::Runt);
        };
        // A read that fills its buffer may have cut the frame's end off, and does not say so.
        if length >= most {
            return Found::Refused(Refusal::Oversize);
        }
        packet.received(length);
        match vnet::parse(&header, packet.data()) {
            Ok(offload) => {
                packet.offload = offload;
                Found::Frame
            }
            Err(error) => Found::Refused(Refusal::Vnet(error)),
        }
    }

    fn failed(&self, error: &io::Error) -> Found {
        // EBADFD: the interface was deleted. It cannot come back under this descriptor.
        if error.raw_os_error() == Some(libc::EBADFD) && !self.shared.gone.swap(true, Ordering::Relaxed) {
            self.watch.forget(self.shared.file.as_fd());
        }
        Found::Nothing
    }

    /// Takes frames off the device that the switch cannot take; else a sleeping thread would be woken for ever.
    fn discard(&mut self, max: usize) {
        for _ in 0..max {
            let mut scrap = [0; vnet::HEADER_LEN + ETHERNET_HEADER];
            // However much of the frame fits: a TAP forgets the rest with it.
            let taken = (&self.shared.file).read(&mut scrap).map(drop);
            match taken {
                Ok(()) => self.shared.rx.dropped(1),
                Err(error) => {
                    self.failed(&error);
                    return;
                }
            }
        }
    }
}

impl RxQueue for TapRx {
    fn readiness(&self) -> Option<RawFd> {
        Some(self.watch.raw())
    }

    fn receive(&mut self, pool: &mut PacketPool, batch: &mut Vec<Packet>, max: usize) -> usize {
        if !self.shared.admin_up.load(Ordering::Relaxed) {
            self.discard(max);
            return 0;
        }
        let before = batch.len();
        for asked in 0..max {
            let Some(mut packet) = pool.take() else {
                self.discard(max - asked);
                break;
            };
            match self.read(&mut packet) {
                Found::Frame => batch.push(packet),
                Found::Refused(reason) => {
                    self.shared.rx.refused(reason);
                    pool.give(packet);
                }
                Found::Nothing => {
                    pool.give(packet);
                    break;
                }
            }
        }
        if batch.len() != before {
            self.shared.rx.received(&batch[before..]);
        }
        batch.len() - before
    }
}

struct TapTx {
    shared: Arc<Shared>,
    counters: Arc<TxCounters>,
}

impl TapTx {
    /// Writes a packet, whose front becomes the header; it is of no further use.
    fn write(&self, packet: &mut Packet) {
        let header = vnet::emit(&packet.offload);
        let (packets, bytes) = (packet.wire_packets(), packet.wire_bytes());
        let written = match packet.push_front(header.len()) {
            Some(front) => {
                front.copy_from_slice(&header);
                (&self.shared.file).write(packet.data())
            }
            // Tunnel headers have taken all of the headroom.
            None => (&self.shared.file).write_vectored(&[IoSlice::new(&header), IoSlice::new(packet.data())]),
        };
        match written {
            Ok(_) => self.counters.sent(packets, bytes),
            Err(error) if is_room(&error) => self.counters.dropped(packets),
            Err(_) => self.counters.errors(packets),
        }
    }
}

/// Whether the device had no room, or (EIO) its owner has it down, or (EBADFD) has deleted it.
fn is_room(error: &io::Error) -> bool {
    error.kind() == ErrorKind::WouldBlock
        || matches!(error.raw_os_error(), Some(libc::EIO | libc::EBADFD | libc::ENOBUFS | libc::ENOMEM))
}

impl TxQueue for TapTx {
    fn send(&mut self, pool: &mut PacketPool, batch: &mut Vec<Packet>) {
        let up = self.shared.admin_up.load(Ordering::Relaxed);
        for mut packet in batch.drain(..) {
            if !up {
                self.counters.dropped(packet.wire_packets());
            } else if packet.len() > MAX_FRAME {
                self.counters.errors(packet.wire_packets());
            } else {
                self.write(&mut packet);
            }
            pool.give(packet);
        }
    }
}
