//! A host, and the device by which the switch reaches it.

use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Once};

use heddle_instance::netns::{NetnsProvider, tap_available};
use heddle_instance::{Attachment, Instance, InstanceProvider, Nic, Prefix, Program, Wiring};
use heddle_netdev::{
    LinkState, Netdev, NetdevError, Offloads, PacketDevice, PacketPool, RxQueue, Statistics, Tap, TxQueue,
};
use heddle_wire::packet::{Checksum, GsoType, Packet};

use crate::traffic::{Family, Frame};

/// How a host is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A TAP, every offload on.
    Tap,
    /// AF_PACKET on a veth end, every offload on.
    Packet,
    /// A device that does nothing for anybody: the host's is without offloads too.
    Plain,
}

/// The kinds that this machine and user allow.
pub fn kinds() -> Vec<Kind> {
    match tap_available() {
        Ok(()) => vec![Kind::Tap, Kind::Packet, Kind::Plain],
        Err(error) => {
            static TOLD: Once = Once::new();
            TOLD.call_once(|| eprintln!("SKIPPED: the pairs with a TAP: /dev/net/tun: {error}"));
            vec![Kind::Packet, Kind::Plain]
        }
    }
}

/// What a host's kernel counts of wrong checksums.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Errors {
    pub tcp: u64,
    pub udp4: u64,
    pub udp6: u64,
}

impl Errors {
    pub fn count(&mut self, family: Family, frame: Frame, count: u64) {
        match (frame, family) {
            (Frame::Tcp, _) => self.tcp += count,
            (Frame::Udp, Family::V4) => self.udp4 += count,
            (Frame::Udp, Family::V6) => self.udp6 += count,
        }
    }
}

/// A name that no device has or had: those of an earlier fabric go when the kernel gets to it.
pub fn unused_name() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("n{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

pub struct Host {
    pub instance: Box<dyn Instance>,
    pub device: Arc<dyn Netdev>,
    refusals: Box<dyn Fn() -> Vec<(&'static str, u64)> + Sync>,
    plain: Option<Arc<Undone>>,
}

impl Host {
    pub fn new(number: u8, kind: Kind) -> Self {
        let instance = NetnsProvider.create(&format!("h{number}")).unwrap();
        let near = unused_name();
        let prefix = |text: &str, length| Prefix { address: text.parse().unwrap(), length };
        let nic = Nic {
            name: "eth0".into(),
            mac: [2, 0, 0, 0, 0, number],
            mtu: 1500,
            addresses: vec![prefix(&format!("10.0.0.{number}"), 24), prefix(&format!("fd00::{number}"), 64)],
            routes: vec![],
            solicits: false,
            wiring: if kind == Kind::Tap { Wiring::Tap } else { Wiring::Veth { near } },
        };
        let host = match (instance.attach(&nic).unwrap(), kind) {
            (Attachment::Tap(fd), _) => {
                let tap = Arc::new(Tap::from_fd(fd, "tap", Some(nic.mac), nic.mtu).unwrap());
                let device: Arc<dyn Netdev> = tap.clone();
                Self { instance, device, refusals: Box::new(move || tap.refusals()), plain: None }
            }
            (Attachment::Veth(near), Kind::Packet) => {
                let packet = Arc::new(PacketDevice::open(&near).unwrap());
                let device: Arc<dyn Netdev> = packet.clone();
                Self { instance, device, refusals: Box::new(move || packet.refusals()), plain: None }
            }
            (Attachment::Veth(near), _) => {
                let undone = Arc::new(Undone::default());
                let inner = PacketDevice::open(&near).unwrap();
                let device = Arc::new(Plain { inner, undone: undone.clone() });
                let host = Self { instance, device, refusals: Box::new(Vec::new), plain: Some(undone) };
                host.inside(|| ethtool::without_offloads("eth0"));
                host
            }
            (Attachment::Dummy, _) => unreachable!("namespaces are no dummies"),
        };
        // Nobody has to be asked who is where.
        for (other, last) in [(1, 1), (2, 2), (99, 0x99)].into_iter().filter(|&(other, _)| other != number) {
            let mac = format!("lladdr 02:00:00:00:00:{last:02x} dev eth0");
            host.run(&format!("ip neigh add 10.0.0.{other} {mac}; ip neigh add fd00::{other} {mac}"));
        }
        host
    }

    fn run(&self, script: &str) {
        let argv = ["sh", "-ec", script].map(Into::into).to_vec();
        let status = self.instance.spawn(Program { argv, ..Program::default() }).unwrap().wait().unwrap();
        assert!(status.success(), "{script}");
    }

    /// Runs `work` in the host's network namespace. Sockets that it opens stay there.
    pub fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let entered = || {
            nix::sched::setns(self.instance.netns().unwrap(), nix::sched::CloneFlags::CLONE_NEWNET).unwrap();
            work()
        };
        std::thread::scope(|scope| scope.spawn(entered).join()).unwrap()
    }

    /// How many wrong checksums its kernel has counted.
    pub fn errors(&self) -> Errors {
        let (snmp, snmp6) = self.inside(|| {
            // The thread's own view; `/proc/net` would be that of the process's first thread.
            let read = |name| std::fs::read_to_string(format!("/proc/thread-self/net/{name}")).unwrap();
            (read("snmp"), read("snmp6"))
        });
        let field = |protocol: &str| {
            let mut lines = snmp.lines().filter(|line| line.starts_with(protocol)).map(str::split_whitespace);
            let (names, values) = (lines.next().unwrap(), lines.next().unwrap());
            names.zip(values).find(|(name, _)| *name == "InCsumErrors").unwrap().1.parse().unwrap()
        };
        let udp6 = snmp6.lines().find(|line| line.starts_with("Udp6InCsumErrors")).unwrap();
        let udp6 = udp6.split_whitespace().nth(1).unwrap().parse().unwrap();
        Errors { tcp: field("Tcp:"), udp4: field("Udp:"), udp6 }
    }

    /// How many of the host's frames the switch refused for this reason.
    pub fn refused(&self, reason: &str) -> u64 {
        (self.refusals)().into_iter().find(|&(name, _)| name == reason).map_or(0, |(_, count)| count)
    }

    /// A plain device was asked for nothing, and its host asked nothing of it; nobody dropped or refused a frame.
    pub fn assert_clean(&self) {
        let statistics = self.device.statistics();
        let failed =
            [statistics.rx_dropped, statistics.rx_errors, statistics.tx_dropped, statistics.tx_errors];
        assert_eq!(failed, [0; 4], "{}: {statistics:?}", self.instance.name());
        let (sent, received) = self.plain.as_ref().map_or((0, 0), |undone| undone.counts());
        assert_eq!((sent, received), (0, 0), "{}: frames with work left to do", self.instance.name());
    }
}

/// How many frames crossed a plain device with work left to do.
#[derive(Default)]
struct Undone {
    sent: AtomicU64,
    received: AtomicU64,
}

impl Undone {
    fn counts(&self) -> (u64, u64) {
        (self.sent.load(Ordering::Relaxed), self.received.load(Ordering::Relaxed))
    }
}

fn is_undone(packet: &Packet) -> bool {
    let partial = matches!(packet.offload.checksum, Checksum::Partial { .. });
    partial || packet.offload.gso != GsoType::None || packet.len() > 14 + 4 + 1500
}

struct Plain {
    inner: PacketDevice,
    undone: Arc<Undone>,
}

impl Netdev for Plain {
    fn name(&self) -> &str {
        self.inner.name()
    }
    fn kind(&self) -> &'static str {
        "plain"
    }
    fn mac(&self) -> Option<[u8; 6]> {
        self.inner.mac()
    }
    fn mtu(&self) -> u32 {
        self.inner.mtu()
    }
    fn link_state(&self) -> LinkState {
        self.inner.link_state()
    }
    fn set_admin_up(&self, up: bool) -> Result<(), NetdevError> {
        self.inner.set_admin_up(up)
    }
    fn offloads(&self) -> Offloads {
        Offloads::default()
    }
    fn statistics(&self) -> Statistics {
        self.inner.statistics()
    }
    fn take_rx_queues(&self) -> Vec<Box<dyn RxQueue>> {
        let queues = self.inner.take_rx_queues().into_iter();
        queues.map(|queue| Box::new(PlainRx(queue, self.undone.clone())) as Box<dyn RxQueue>).collect()
    }
    fn open_tx_queue(&self) -> Result<Box<dyn TxQueue>, NetdevError> {
        Ok(Box::new(PlainTx(self.inner.open_tx_queue()?, self.undone.clone())))
    }
}

struct PlainRx(Box<dyn RxQueue>, Arc<Undone>);

impl RxQueue for PlainRx {
    fn readiness(&self) -> Option<RawFd> {
        self.0.readiness()
    }
    fn receive(&mut self, pool: &mut PacketPool, batch: &mut Vec<Packet>, max: usize) -> usize {
        let before = batch.len();
        let received = self.0.receive(pool, batch, max);
        let undone = batch[before..].iter().filter(|packet| is_undone(packet)).count();
        self.1.received.fetch_add(undone as u64, Ordering::Relaxed);
        received
    }
}

struct PlainTx(Box<dyn TxQueue>, Arc<Undone>);

impl TxQueue for PlainTx {
    fn send(&mut self, pool: &mut PacketPool, batch: &mut Vec<Packet>) {
        let undone = batch.iter().filter(|packet| is_undone(packet)).count();
        self.1.sent.fetch_add(undone as u64, Ordering::Relaxed);
        self.0.send(pool, batch);
    }
}

/// What `ethtool -K` does, which not every machine has.
#[allow(unsafe_code)]
mod ethtool {
    use super::{AsFd, AsRawFd};

    const SIOCETHTOOL: libc::Ioctl = 0x8946;
    /// Transmit checksums, scatter-gather, TCP segmentation, generic segmentation (`ETHTOOL_S*`).
    const FEATURES: [u32; 4] = [0x17, 0x19, 0x1f, 0x24];

    #[repr(C)]
    struct Value {
        command: u32,
        data: u32,
    }

    /// Turns off, on the calling thread's interface `name`, whatever leaves a frame unfinished.
    pub fn without_offloads(name: &str) {
        let socket = std::net::UdpSocket::bind("[::]:0").unwrap();
        for command in FEATURES {
            let mut value = Value { command, data: 0 };
            // SAFETY: an `ifreq` is plain integers, for which all zeroes is a value; its pointer member may be null.
            let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
            for (place, byte) in request.ifr_name.iter_mut().zip(name.bytes().take(libc::IFNAMSIZ - 1)) {
                *place = byte as libc::c_char;
            }
            request.ifr_ifru.ifru_data = (&raw mut value).cast();
            // SAFETY: the request and the value that it points at are live, and of the layout that these commands take.
            let answer = unsafe { libc::ioctl(socket.as_fd().as_raw_fd(), SIOCETHTOOL, &raw mut request) };
            assert_eq!(answer, 0, "{command:#x}: {}", std::io::Error::last_os_error());
        }
    }
}
