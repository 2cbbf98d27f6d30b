//! A device in memory whose other side is a test, a trace or an operator's command.
//!
//! A [`DummyHandle`] injects frames, reads those that were sent, and moves the link; the [`Dummy`] itself is given
//! to the datapath like any device. An injection wakes the poll thread through an eventfd, so the whole daemon runs
//! on such devices exactly as it does on real ones. Both directions are bounded: a full receive queue refuses
//! frames, and of the frames sent the oldest are forgotten first.

use std::collections::VecDeque;
use std::fs::File;
use std::os::fd::RawFd;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use heddle_wire::packet::{GsoType, Packet};

use crate::counters::{DeviceCounters, Direction, DropReason, QueueCounters, explain, lock};
use crate::pcap::Writer;
use crate::pool::PacketPool;
use crate::sys::EventFd;
use crate::{LinkState, Netdev, NetdevError, Offloads, RxQueue, Statistics, TxQueue};

/// Ethernet header and two VLAN tags, which do not count towards the MTU.
const L2_HEADERS: usize = 22;
/// Most bytes that a capture file grows to.
const CAPTURE_LIMIT: u64 = 1 << 30;

/// What tells the time for captures.
pub type Clock = Arc<dyn Fn() -> Duration + Send + Sync>;

/// What a dummy is to be like.
#[derive(Clone)]
pub struct DummyOptions {
    /// Its Ethernet address.
    pub mac: Option<[u8; 6]>,
    /// Largest network-layer packet in bytes.
    pub mtu: u32,
    /// What its transmit side takes over; less than all makes the datapath checksum and cut.
    pub offloads: Offloads,
    /// Frames waiting to be received.
    pub rx_limit: usize,
    /// Sent frames that are kept.
    pub tx_limit: usize,
    /// Time since the epoch, for captures; the machine's clock if `None`.
    pub clock: Option<Clock>,
}

impl Default for DummyOptions {
    fn default() -> Self {
        Self {
            mac: None,
            mtu: 1500,
            offloads: Offloads { checksum: true, tso4: true, tso6: true, uso: true },
            rx_limit: 4096,
            tx_limit: 4096,
            clock: None,
        }
    }
}

/// A device in memory, seen from the switch.
pub struct Dummy {
    shared: Arc<Shared>,
}

/// The other side of a [`Dummy`].
#[derive(Clone)]
pub struct DummyHandle {
    shared: Arc<Shared>,
}

struct Shared {
    name: String,
    options: DummyOptions,
    mtu: AtomicU32,
    admin_up: AtomicBool,
    carrier: AtomicBool,
    rx_taken: AtomicBool,
    wake: EventFd,
    waiting: Mutex<Waiting>,
    sent: Mutex<Sent>,
    sent_more: Condvar,
    counters: DeviceCounters,
    /// Counts what is refused before it reaches a queue; under the `waiting` lock.
    at_door: Arc<QueueCounters>,
}

#[derive(Default)]
struct Waiting {
    frames: VecDeque<Packet>,
    capture: Option<Writer<File>>,
}

#[derive(Default)]
struct Sent {
    frames: VecDeque<Packet>,
    capture: Option<Writer<File>>,
}

/// Why an injected frame was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InjectError {
    /// The device is administratively down.
    #[error("the device is down")]
    Down,
    /// As many frames wait as may.
    #[error("the receive queue is full")]
    Full,
    /// It is shorter than an Ethernet header, or longer than a packet can be.
    #[error("the frame is no Ethernet frame of 14 to 65,600 bytes")]
    Length,
}

/// Which frames a capture takes, from the switch's side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Captured {
    /// Frames received from the device.
    Rx,
    /// Frames sent to the device.
    Tx,
}

impl Dummy {
    /// A device that is up, and its other side.
    ///
    /// # Errors
    /// If the system gives no eventfd.
    pub fn new(name: &str, options: DummyOptions) -> Result<(Self, DummyHandle), NetdevError> {
        let wake = EventFd::new().map_err(|error| explain(name, "eventfd", error, ""))?;
        let counters = DeviceCounters::default();
        let at_door = counters.queue(Direction::Rx);
        let shared = Arc::new(Shared {
            name: name.to_owned(),
            mtu: AtomicU32::new(options.mtu),
            options,
            admin_up: AtomicBool::new(true),
            carrier: AtomicBool::new(true),
            rx_taken: AtomicBool::new(false),
            wake,
            waiting: Mutex::default(),
            sent: Mutex::default(),
            sent_more: Condvar::new(),
            counters,
            at_door,
        });
        Ok((Self { shared: Arc::clone(&shared) }, DummyHandle { shared }))
    }

    /// Another handle of the device's other side.
    pub fn handle(&self) -> DummyHandle {
        DummyHandle { shared: Arc::clone(&self.shared) }
    }
}

impl DummyHandle {
    /// The device's name.
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// Lets the switch receive a frame that asks nothing of it.
    ///
    /// # Errors
    /// If the frame is not taken.
    pub fn inject(&self, frame: &[u8]) -> Result<(), InjectError> {
        self.inject_packet(Packet::from_frame(frame))
    }

    /// Lets the switch receive a frame with offload metadata.
    ///
    /// # Errors
    /// If the frame is not taken.
    pub fn inject_packet(&self, packet: Packet) -> Result<(), InjectError> {
        let shared = &*self.shared;
        let mut waiting = lock(&shared.waiting);
        let refused = if !(14..=heddle_wire::packet::MAX_FRAME).contains(&packet.len()) {
            let reason = if packet.len() < 14 { DropReason::Runt } else { DropReason::TooLong };
            Some((reason, InjectError::Length))
        } else if !shared.admin_up.load(Ordering::Relaxed) {
            Some((DropReason::Down, InjectError::Down))
        } else if waiting.frames.len() >= shared.options.rx_limit {
            Some((DropReason::Full, InjectError::Full))
        } else {
            None
        };
        if let Some((reason, error)) = refused {
            shared.at_door.failed(reason, packet.wire_packets());
            return Err(error);
        }
        shared.capture(&mut waiting.capture, &packet);
        waiting.frames.push_back(packet);
        // Under the lock, so that a receiver that empties the queue cannot drain the eventfd of this frame.
        shared.wake.signal();
        Ok(())
    }

    /// Takes the frames sent since this was last asked, oldest first.
    pub fn take_sent(&self) -> Vec<Packet> {
        lock(&self.shared.sent).frames.drain(..).collect()
    }

    /// Waits until at least `count` sent frames are there or the time is over, and takes them all.
    pub fn wait_sent(&self, count: usize, timeout: Duration) -> Vec<Packet> {
        let until = Instant::now() + timeout;
        let mut sent = lock(&self.shared.sent);
        while sent.frames.len() < count {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            sent = match self.shared.sent_more.wait_timeout(sent, left) {
                Ok((guard, _)) => guard,
                Err(poisoned) => poisoned.into_inner().0,
            };
        }
        sent.frames.drain(..).collect()
    }

    /// Injected frames that the switch has not received yet.
    pub fn waiting(&self) -> usize {
        lock(&self.shared.waiting).frames.len()
    }

    /// Plugs the cable in or out.
    pub fn set_carrier(&self, carrier: bool) {
        self.shared.carrier.store(carrier, Ordering::Relaxed);
    }

    /// Changes the MTU.
    pub fn set_mtu(&self, mtu: u32) {
        self.shared.mtu.store(mtu, Ordering::Relaxed);
    }

    /// Starts a capture in a new file at `path`, in place of the one that was running, which is ended; with `None`
    /// only ends it. A capture that cannot be written, or is full, ends by itself.
    ///
    /// # Errors
    /// If the file cannot be made.
    pub fn capture(&self, which: Captured, path: Option<&Path>) -> Result<(), NetdevError> {
        let failed = |error| explain(&self.shared.name, "starting a capture", error, "");
        let file = path.map(File::create).transpose().map_err(failed)?;
        let writer = file.map(|file| Writer::new(file, CAPTURE_LIMIT)).transpose().map_err(failed)?;
        match which {
            Captured::Rx => lock(&self.shared.waiting).capture = writer,
            Captured::Tx => lock(&self.shared.sent).capture = writer,
        }
        Ok(())
    }
}

impl Shared {
    fn now(&self) -> Duration {
        match &self.options.clock {
            Some(clock) => clock(),
            None => SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default(),
        }
    }

    fn capture(&self, capture: &mut Option<Writer<File>>, packet: &Packet) {
        if let Some(writer) = capture
            && !matches!(writer.write(self.now(), packet.data()), Ok(true))
        {
            *capture = None;
        }
    }

    fn transmit(&self, sent: &mut MutexGuard<'_, Sent>, packet: &Packet) -> Result<(), DropReason> {
        if !self.admin_up.load(Ordering::Relaxed) {
            return Err(DropReason::Down);
        }
        if !self.carrier.load(Ordering::Relaxed) {
            return Err(DropReason::FarEndDown);
        }
        let longest = match packet.offload.gso {
            GsoType::None => packet.len(),
            _ => usize::from(packet.offload.header_len) + usize::from(packet.offload.gso_size),
        };
        if longest > self.mtu.load(Ordering::Relaxed) as usize + L2_HEADERS {
            return Err(DropReason::OverMtu);
        }
        if !self.options.offloads.accept(&packet.offload) {
            return Err(DropReason::Refused);
        }
        self.capture(&mut sent.capture, packet);
        if self.options.tx_limit != 0 {
            if sent.frames.len() >= self.options.tx_limit {
                sent.frames.pop_front();
            }
            let mut copy = Packet::with_capacity(packet.len());
            copy.copy_from(packet);
            sent.frames.push_back(copy);
        }
        Ok(())
    }
}

impl Netdev for Dummy {
    fn name(&self) -> &str {
        &self.shared.name
    }

    fn kind(&self) -> &'static str {
        "dummy"
    }

    fn mac(&self) -> Option<[u8; 6]> {
        self.shared.options.mac
    }

    fn mtu(&self) -> u32 {
        self.shared.mtu.load(Ordering::Relaxed)
    }

    fn link_state(&self) -> LinkState {
        LinkState {
            admin_up: self.shared.admin_up.load(Ordering::Relaxed),
            carrier: self.shared.carrier.load(Ordering::Relaxed),
        }
    }

    fn set_admin_up(&self, up: bool) -> Result<(), NetdevError> {
        self.shared.admin_up.store(up, Ordering::Relaxed);
        Ok(())
    }

    fn offloads(&self) -> Offloads {
        self.shared.options.offloads
    }

    fn statistics(&self) -> Statistics {
        self.shared.counters.statistics()
    }

    fn drop_reasons(&self) -> Vec<(&'static str, u64)> {
        self.shared.counters.drop_reasons()
    }

    fn take_rx_queues(&self) -> Vec<Box<dyn RxQueue>> {
        if self.shared.rx_taken.swap(true, Ordering::Relaxed) {
            return Vec::new();
        }
        let counters = self.shared.counters.queue(Direction::Rx);
        vec![Box::new(DummyRx { shared: Arc::clone(&self.shared), counters })]
    }

    fn open_tx_queue(&self) -> Result<Box<dyn TxQueue>, NetdevError> {
        let counters = self.shared.counters.queue(Direction::Tx);
        Ok(Box::new(DummyTx { shared: Arc::clone(&self.shared), counters }))
    }
}

struct DummyRx {
    shared: Arc<Shared>,
    counters: Arc<QueueCounters>,
}

impl RxQueue for DummyRx {
    fn readiness(&self) -> Option<RawFd> {
        Some(self.shared.wake.as_raw_fd())
    }

    fn receive(&mut self, pool: &mut PacketPool, batch: &mut Vec<Packet>, max: usize) -> usize {
        let mut waiting = lock(&self.shared.waiting);
        let mut count = 0;
        while count < max && !waiting.frames.is_empty() {
            let Some(mut packet) = pool.take() else { break };
            let Some(injected) = waiting.frames.pop_front() else { break };
            packet.copy_from(&injected);
            self.counters.passed(packet.wire_packets(), packet.wire_bytes());
            batch.push(packet);
            count += 1;
        }
        if waiting.frames.is_empty() {
            self.shared.wake.drain();
        }
        count
    }
}

struct DummyTx {
    shared: Arc<Shared>,
    counters: Arc<QueueCounters>,
}

impl TxQueue for DummyTx {
    fn send(&mut self, pool: &mut PacketPool, batch: &mut Vec<Packet>) {
        let mut sent = lock(&self.shared.sent);
        for packet in batch.drain(..) {
            match self.shared.transmit(&mut sent, &packet) {
                Ok(()) => self.counters.passed(packet.wire_packets(), packet.wire_bytes()),
                Err(reason) => self.counters.failed(reason, packet.wire_packets()),
            }
            pool.give(packet);
        }
        drop(sent);
        self.shared.sent_more.notify_all();
    }
}

#[cfg(test)]
mod tests;
