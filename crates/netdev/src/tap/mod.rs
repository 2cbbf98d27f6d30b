//! TAP devices: lab hosts and internal ports.
//!
//! The kernel's side of a TAP is an interface that programs use; ours is a descriptor. The interface may live in
//! another network namespace than we do, having been made there or moved, so nothing here looks its name up: what
//! is needed afterwards comes through the descriptor or is remembered. *Down* is therefore our side refusing to
//! receive and send, and telling the kernel that the carrier is gone.
//!
//! Frames cross whole, up to 64 KiB, with a virtio-net header that says what is left to do; one system call moves
//! one frame, because a TAP offers nothing better without io_uring. The header goes through its own part of a
//! `readv`, so that the frame lands where it stays.

use std::fs::OpenOptions;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::fs::OpenOptionsExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use heddle_wire::packet::Packet;
use heddle_wire::vnet;

use crate::counters::{DeviceCounters, Direction, DropReason, QueueCounters, explain};
use crate::pool::PacketPool;
use crate::{LinkState, Netdev, NetdevError, Offloads, RxQueue, Statistics, TxQueue, sys};

const DEVICE: &str = "/dev/net/tun";
const ETHERNET_HEADER: usize = 14;

/// What is asked of a TAP beside its name.
#[derive(Clone, Debug)]
pub struct TapOptions {
    /// Offloads to agree on, both ways. USO is left out where the kernel (before 6.2) refuses it.
    pub offloads: Offloads,
    /// Largest network-layer packet, where the interface cannot be asked because it is in another namespace.
    pub mtu: u32,
}

impl Default for TapOptions {
    fn default() -> Self {
        Self { offloads: Offloads { checksum: true, tso4: true, tso6: true, uso: true }, mtu: 1500 }
    }
}

/// A TAP device, seen from the switch.
pub struct Tap {
    name: String,
    kernel_name: String,
    mtu: u32,
    mac: Option<[u8; 6]>,
    offloads: Offloads,
    /// In the namespace that the interface was made in; absent for a descriptor that came from elsewhere.
    control: Option<OwnedFd>,
    shared: Arc<Shared>,
    rx_taken: AtomicBool,
}

/// What the device and its queues hold in common. A multi-queue device will have one descriptor a queue.
struct Shared {
    descriptor: OwnedFd,
    admin_up: AtomicBool,
    gone: AtomicBool,
    counters: DeviceCounters,
}

/// Whether TAP devices can be opened here at all.
///
/// # Errors
/// If not, saying why and what would help.
pub fn probe() -> Result<(), NetdevError> {
    open().map(drop)
}

fn open() -> Result<OwnedFd, NetdevError> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC)
        .open(DEVICE);
    file.map(OwnedFd::from).map_err(|error| {
        let remedy = match error.kind() {
            io::ErrorKind::PermissionDenied => "let the user read and write it (chmod 666 /dev/net/tun)",
            io::ErrorKind::NotFound => {
                "load the module (modprobe tun), or pass the device into the container"
            }
            _ => "",
        };
        explain(DEVICE, "opening the device", error, remedy)
    })
}

impl Tap {
    /// Makes the TAP `name`, or attaches to a persistent one, in the calling thread's network namespace.
    ///
    /// # Errors
    /// If the name is not an interface name, the device cannot be opened, or we may not make interfaces here.
    pub fn create(name: &str) -> Result<Self, NetdevError> {
        Self::create_with(name, &TapOptions::default())
    }

    /// As [`Tap::create`], with options.
    ///
    /// # Errors
    /// As [`Tap::create`].
    pub fn create_with(name: &str, options: &TapOptions) -> Result<Self, NetdevError> {
        check_name(name)?;
        let descriptor = open()?;
        let flags = libc::IFF_TAP | libc::IFF_NO_PI | libc::IFF_VNET_HDR;
        let kernel_name = sys::tun_attach(descriptor.as_fd(), name, flags).map_err(|error| {
            let remedy = match error.raw_os_error() {
                Some(libc::EPERM) => "making a TAP needs CAP_NET_ADMIN in the namespace; root, or a user namespace of one's own, has it",
                Some(libc::EBUSY) => "another process holds the device; a lab that has just ended may still be letting go of it",
                Some(libc::EINVAL) => "an interface of this name exists and is not such a TAP; remove it or choose another name",
                _ => "",
            };
            explain(name, "TUNSETIFF", error, remedy)
        })?;
        let control = sys::control_socket().map_err(|error| explain(name, "socket", error, ""))?;
        Self::assemble(descriptor, name, kernel_name, options, Some(control))
    }

    /// Takes over the descriptor of a TAP that was made elsewhere, in another namespace or process. `name` is what
    /// the switch calls it; the kernel's name for it may be another.
    ///
    /// # Errors
    /// If the descriptor is not that of a TAP with a virtio-net header and without packet information.
    pub fn from_fd(descriptor: OwnedFd, name: &str) -> Result<Self, NetdevError> {
        Self::from_fd_with(descriptor, name, &TapOptions::default())
    }

    /// As [`Tap::from_fd`], with options.
    ///
    /// # Errors
    /// As [`Tap::from_fd`].
    pub fn from_fd_with(descriptor: OwnedFd, name: &str, options: &TapOptions) -> Result<Self, NetdevError> {
        let (kernel_name, flags) = sys::tun_device(descriptor.as_fd()).map_err(|error| {
            explain(name, "TUNGETIFF", error, "the descriptor is not that of an attached TAP device")
        })?;
        let wanted = libc::IFF_TAP | libc::IFF_NO_PI | libc::IFF_VNET_HDR;
        if flags & wanted != wanted {
            return Err(NetdevError::Invalid {
                device: name.to_owned(),
                reason: format!(
                    "{kernel_name} was made with flags {flags:#x}; it must be made with IFF_TAP, IFF_NO_PI and IFF_VNET_HDR"
                ),
            });
        }
        Self::assemble(descriptor, name, kernel_name, options, None)
    }

    fn assemble(
        descriptor: OwnedFd,
        name: &str,
        kernel_name: String,
        options: &TapOptions,
        control: Option<OwnedFd>,
    ) -> Result<Self, NetdevError> {
        let fd = descriptor.as_fd();
        let failed = |operation| move |error| explain(name, operation, error, "");
        sys::set_nonblocking(fd).map_err(failed("fcntl"))?;
        sys::tun_set_header_len(fd, vnet::HEADER_LEN).map_err(failed("TUNSETVNETHDRSZ"))?;
        let offloads = agree_offloads(fd, options.offloads).map_err(failed("TUNSETOFFLOAD"))?;
        // The descriptor answers for an interface that is in its own namespace; for one that moved, nobody does.
        let mac = sys::interface_address(fd, &kernel_name).ok().map(|(_, address)| address);
        let shared = Arc::new(Shared {
            descriptor,
            admin_up: AtomicBool::new(true),
            gone: AtomicBool::new(false),
            counters: DeviceCounters::default(),
        });
        shared.tell_carrier(true);
        Ok(Self {
            name: name.to_owned(),
            kernel_name,
            mtu: options.mtu,
            mac,
            offloads,
            control,
            shared,
            rx_taken: AtomicBool::new(false),
        })
    }

    /// The name that the kernel gave the interface.
    pub fn kernel_name(&self) -> &str {
        &self.kernel_name
    }

    /// The descriptor, to be handed to another process.
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.shared.descriptor.as_fd()
    }

    /// Sets the kernel's side of the device up or down, as `ip link set` does.
    ///
    /// # Errors
    /// If the device was made elsewhere, has been moved to another namespace, or the system refuses.
    pub fn set_interface_up(&self, up: bool) -> Result<(), NetdevError> {
        let Some(control) = &self.control else {
            return Err(NetdevError::Invalid {
                device: self.name.clone(),
                reason: "its interface is in another namespace; set it up from there".to_owned(),
            });
        };
        let failed = |error| explain(&self.name, "SIOCSIFFLAGS", error, "");
        let flags = sys::interface_flags(control.as_fd(), &self.kernel_name).map_err(failed)?;
        let flags = if up { flags | libc::IFF_UP } else { flags & !libc::IFF_UP };
        sys::set_interface_flags(control.as_fd(), &self.kernel_name, flags).map_err(failed)
    }
}

fn check_name(name: &str) -> Result<(), NetdevError> {
    let valid = !name.is_empty()
        && name.len() <= sys::NAME_MAX
        && name != "."
        && name != ".."
        && name.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'/' | b':' | b'%'));
    if valid {
        return Ok(());
    }
    Err(NetdevError::Invalid {
        device: name.to_owned(),
        reason: format!(
            "an interface name has 1 to {} characters, none of them blank, '/', ':' or '%'",
            sys::NAME_MAX
        ),
    })
}

/// Agrees with the kernel on as much as it takes; returns what that is.
fn agree_offloads(descriptor: BorrowedFd<'_>, wanted: Offloads) -> io::Result<Offloads> {
    let flag = |on: bool, flags| if on { flags } else { 0 };
    // A segment's checksum is always partial, so the kernel takes segmentation only together with checksums.
    let checksum = wanted.checksum || wanted.tso4 || wanted.tso6 || wanted.uso;
    let base = flag(checksum, libc::TUN_F_CSUM)
        | flag(wanted.tso4, libc::TUN_F_TSO4)
        | flag(wanted.tso6, libc::TUN_F_TSO6)
        | flag(wanted.tso4 || wanted.tso6, libc::TUN_F_TSO_ECN);
    let uso = flag(wanted.uso, libc::TUN_F_USO4 | libc::TUN_F_USO6);
    if uso != 0 && sys::tun_set_offload(descriptor, base | uso).is_ok() {
        return Ok(Offloads { checksum, ..wanted });
    }
    sys::tun_set_offload(descriptor, base)?;
    Ok(Offloads { checksum, uso: false, ..wanted })
}

impl Shared {
    fn tell_carrier(&self, up: bool) {
        // Before Linux 5.0 the request is unknown; then our side alone is down.
        let _ = sys::tun_set_carrier(self.descriptor.as_fd(), up);
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
        self.mac
    }

    fn mtu(&self) -> u32 {
        let asked =
            self.control.as_ref().map(|control| sys::interface_mtu(control.as_fd(), &self.kernel_name));
        asked.and_then(Result::ok).unwrap_or(self.mtu)
    }

    fn link_state(&self) -> LinkState {
        let admin_up = self.shared.admin_up.load(Ordering::Relaxed);
        LinkState { admin_up, carrier: admin_up && self.is_present() }
    }

    fn set_admin_up(&self, up: bool) -> Result<(), NetdevError> {
        self.shared.admin_up.store(up, Ordering::Relaxed);
        self.shared.tell_carrier(up);
        Ok(())
    }

    fn offloads(&self) -> Offloads {
        self.offloads
    }

    fn statistics(&self) -> Statistics {
        self.shared.counters.statistics()
    }

    fn drop_reasons(&self) -> Vec<(&'static str, u64)> {
        self.shared.counters.drop_reasons()
    }

    fn is_present(&self) -> bool {
        !self.shared.gone.load(Ordering::Relaxed)
    }

    fn take_rx_queues(&self) -> Vec<Box<dyn RxQueue>> {
        if self.rx_taken.swap(true, Ordering::Relaxed) {
            return Vec::new();
        }
        vec![Box::new(TapRx::new(Arc::clone(&self.shared)))]
    }

    fn open_tx_queue(&self) -> Result<Box<dyn TxQueue>, NetdevError> {
        let counters = self.shared.counters.queue(Direction::Tx);
        Ok(Box::new(TapTx { shared: Arc::clone(&self.shared), counters }))
    }
}

struct TapRx {
    shared: Arc<Shared>,
    counters: Arc<QueueCounters>,
}

impl TapRx {
    fn new(shared: Arc<Shared>) -> Self {
        let counters = shared.counters.queue(Direction::Rx);
        Self { shared, counters }
    }

    /// Reads one frame; `false` when there is none.
    #[inline]
    fn read(&self, header: &mut [u8; vnet::HEADER_LEN], packet: &mut Packet) -> Result<bool, DropReason> {
        let room = packet.receive_room();
        let space = header.len() + room.len();
        let length = match sys::read_frame(self.shared.descriptor.as_fd(), header, room) {
            Ok(length) => length,
            Err(error) => return self.read_failed(&error),
        };
        // A frame longer than the room is cut without a word, and one that fills it is as long as none can be.
        if length == space {
            return Err(DropReason::TooLong);
        }
        let Some(length) = length.checked_sub(header.len()) else {
            return Err(DropReason::Vnet(vnet::VnetError::Short));
        };
        if length < ETHERNET_HEADER {
            return Err(DropReason::Runt);
        }
        packet.received(length);
        packet.offload = vnet::parse(header, packet.data()).map_err(DropReason::Vnet)?;
        Ok(true)
    }

    #[cold]
    fn read_failed(&self, error: &io::Error) -> Result<bool, DropReason> {
        match error.raw_os_error() {
            Some(libc::EAGAIN | libc::EINTR) => Ok(false),
            Some(libc::EBADFD) => {
                self.shared.gone.store(true, Ordering::Relaxed);
                Ok(false)
            }
            _ => Err(DropReason::Undescribed),
        }
    }
}

impl RxQueue for TapRx {
    fn readiness(&self) -> Option<RawFd> {
        Some(self.shared.descriptor.as_raw_fd())
    }

    fn is_finished(&self) -> bool {
        self.shared.gone.load(Ordering::Relaxed)
    }

    fn receive(&mut self, pool: &mut PacketPool, batch: &mut Vec<Packet>, max: usize) -> usize {
        let (mut count, mut packets, mut bytes) = (0, 0, 0);
        let up = self.shared.admin_up.load(Ordering::Relaxed);
        let mut header = [0; vnet::HEADER_LEN];
        // Refused frames count towards `max`, so that a flood of them does not hold the thread.
        for _ in 0..max {
            let Some(mut packet) = pool.take() else { break };
            match self.read(&mut header, &mut packet) {
                Ok(true) if up => {
                    count += 1;
                    packets += packet.wire_packets();
                    bytes += packet.wire_bytes();
                    batch.push(packet);
                }
                Ok(true) => {
                    self.counters.failed(DropReason::Down, packet.wire_packets());
                    pool.give(packet);
                }
                Ok(false) => {
                    pool.give(packet);
                    break;
                }
                Err(reason) => {
                    self.counters.failed(reason, 1);
                    pool.give(packet);
                }
            }
        }
        if count != 0 {
            self.counters.passed(packets, bytes);
        }
        count
    }
}

struct TapTx {
    shared: Arc<Shared>,
    counters: Arc<QueueCounters>,
}

impl TapTx {
    #[inline]
    fn write(&self, packet: &Packet) -> Result<(), DropReason> {
        let header = vnet::emit(&packet.offload);
        match sys::write_frame(self.shared.descriptor.as_fd(), &header, packet.data()) {
            Ok(_) => Ok(()),
            Err(error) => Err(self.write_failed(&error)),
        }
    }

    #[cold]
    fn write_failed(&self, error: &io::Error) -> DropReason {
        match error.raw_os_error() {
            Some(libc::EAGAIN | libc::EINTR | libc::ENOMEM | libc::ENOBUFS) => DropReason::Full,
            // The interface is not up.
            Some(libc::EIO) => DropReason::FarEndDown,
            Some(libc::EBADFD) => {
                self.shared.gone.store(true, Ordering::Relaxed);
                DropReason::FarEndDown
            }
            _ => DropReason::Refused,
        }
    }
}

impl TxQueue for TapTx {
    fn send(&mut self, pool: &mut PacketPool, batch: &mut Vec<Packet>) {
        let up = self.shared.admin_up.load(Ordering::Relaxed);
        let (mut packets, mut bytes) = (0, 0);
        for packet in batch.drain(..) {
            let sent = if up { self.write(&packet) } else { Err(DropReason::Down) };
            match sent {
                Ok(()) => {
                    packets += packet.wire_packets();
                    bytes += packet.wire_bytes();
                }
                Err(reason) => self.counters.failed(reason, packet.wire_packets()),
            }
            pool.give(packet);
        }
        self.counters.passed(packets, bytes);
    }
}

#[cfg(test)]
mod tests;
