//! The `dummy` device: frames go in and come out by hand.
//!
//! Most tests of the switch run on it, since it needs no privileges and loses nothing by chance: a
//! [`DummyHandle`] plays the wire. It behaves as a device of the kernel does where the switch can tell: an eventfd
//! wakes the poll thread, received frames land in buffers from the thread's pool, both directions are bounded, and
//! a forged offload header is refused. The locks are held for a few instructions; speed is the `memory` device's.

use std::collections::VecDeque;
use std::io;
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use heddle_wire::packet::Packet;
use heddle_wire::vnet;

use crate::counters::{Refusal, RxCounters, TxCounters, TxRegistry, lock, wire_sums};
use crate::sys::event::Event;
use crate::{LinkState, Netdev, NetdevError, Offloads, PacketPool, RxQueue, Statistics, TxQueue};

/// Frames that may wait in one direction.
pub const QUEUE_LIMIT: usize = 4096;

struct Shared {
    arriving: Mutex<VecDeque<Packet>>,
    sent: Mutex<VecDeque<Packet>>,
    sink: OnceLock<Sink>,
    /// Whether a cable that calls has its other end: 1 and more where there is such a cable, 2 where it has.
    cable: AtomicU8,
    event: Event,
    admin_up: AtomicBool,
    carrier: AtomicBool,
    rx: RxCounters,
    /// What the handle refuses or drops before the receive queue sees it; guarded by `arriving`.
    wire: RxCounters,
    tx: TxRegistry,
}

impl Shared {
    /// Whether frames pass, either way.
    fn is_up(&self) -> bool {
        self.admin_up.load(Ordering::Relaxed) && self.carrier.load(Ordering::Relaxed)
    }
}

/// Takes frames that a dummy sends. It never blocks.
pub type Sink = Box<dyn Fn(&Packet) + Send + Sync>;

/// A device in memory. Made up and with carrier; see [`Dummy::handle`].
pub struct Dummy {
    name: String,
    mac: Mutex<Option<[u8; 6]>>,
    mtu: AtomicU32,
    offloads: Offloads,
    taken: AtomicBool,
    shared: Arc<Shared>,
}

/// The far side of a [`Dummy`]: puts frames on its wire and takes off what the switch sent.
#[derive(Clone)]
pub struct DummyHandle(Arc<Shared>);

impl Dummy {
    /// A device without an address or offloads, with an MTU of 1500.
    ///
    /// # Errors
    /// If the system gives no eventfd.
    pub fn new(name: &str) -> Result<Self, NetdevError> {
        let event = Event::new().map_err(|source| system(name, "eventfd", source))?;
        let shared = Shared {
            arriving: Mutex::default(),
            sent: Mutex::default(),
            sink: OnceLock::new(),
            cable: AtomicU8::new(0),
            event,
            admin_up: AtomicBool::new(true),
            carrier: AtomicBool::new(true),
            rx: RxCounters::default(),
            wire: RxCounters::default(),
            tx: TxRegistry::default(),
        };
        Ok(Self {
            name: name.to_owned(),
            mac: Mutex::new(None),
            mtu: AtomicU32::new(1500),
            offloads: Offloads::default(),
            taken: AtomicBool::new(false),
            shared: Arc::new(shared),
        })
    }

    /// The device with this Ethernet address.
    pub fn with_mac(mut self, mac: [u8; 6]) -> Self {
        self.mac = Mutex::new(Some(mac));
        self
    }

    /// The device with this MTU.
    pub fn with_mtu(mut self, mtu: u32) -> Self {
        self.mtu = AtomicU32::new(mtu);
        self
    }

    /// The device with these offloads.
    pub fn with_offloads(mut self, offloads: Offloads) -> Self {
        self.offloads = offloads;
        self
    }

    /// The far side of the device; every handle of one device is the same side.
    pub fn handle(&self) -> DummyHandle {
        DummyHandle(Arc::clone(&self.shared))
    }
}

pub(crate) fn system(device: &str, operation: &'static str, source: io::Error) -> NetdevError {
    NetdevError::System { device: device.to_owned(), operation, source }
}

impl DummyHandle {
    /// Lets a frame arrive at the switch; false, and counted as dropped, if the device is down, or
    /// [`QUEUE_LIMIT`] frames are waiting already.
    pub fn inject(&self, packet: Packet) -> bool {
        let shared = &*self.0;
        let mut arriving = lock(&shared.arriving);
        if !shared.is_up() || arriving.len() >= QUEUE_LIMIT {
            shared.wire.dropped(packet.wire_packets());
            return false;
        }
        arriving.push_back(packet);
        if arriving.len() == 1 {
            shared.event.signal();
        }
        true
    }

    /// Lets a frame arrive with a virtio-net header, as TAP and AF_PACKET deliver it; false if it was dropped, or
    /// refused because the header is not what the frame itself says.
    pub fn inject_with_header(&self, header: &[u8], frame: &[u8]) -> bool {
        match vnet::parse(header, frame) {
            Ok(offload) => {
                let mut packet = Packet::from_frame(frame);
                packet.offload = offload;
                self.inject(packet)
            }
            Err(error) => {
                let _writer = lock(&self.0.arriving);
                self.0.wire.refused(Refusal::Vnet(error));
                false
            }
        }
    }

    /// Has what the switch sends from now on go to `sink`, and not wait here to be taken off; the first to say so is heard.
    pub fn forward(&self, sink: Sink) {
        let _ = self.0.sink.set(sink);
    }

    /// Says whether the cable that this device calls by has its other end.
    pub fn set_connected(&self, connected: bool) {
        self.0.cable.store(1 + u8::from(connected), Ordering::Relaxed);
    }

    /// Whether the cable that this device calls by has its other end; `None` where it has no such cable.
    pub fn is_connected(&self) -> Option<bool> {
        match self.0.cable.load(Ordering::Relaxed) {
            0 => None,
            state => Some(state == 2),
        }
    }

    /// Takes off what the switch sent since the last call, in order.
    pub fn sent(&self) -> Vec<Packet> {
        lock(&self.0.sent).drain(..).collect()
    }

    /// Sets whether the device has carrier.
    pub fn set_carrier(&self, carrier: bool) {
        self.0.carrier.store(carrier, Ordering::Relaxed);
    }

    /// Frames that wait for the switch.
    pub fn waiting(&self) -> usize {
        lock(&self.0.arriving).len()
    }
}

impl Netdev for Dummy {
    fn name(&self) -> &str {
        &self.name
    }

    fn kind(&self) -> &'static str {
        "dummy"
    }

    fn mac(&self) -> Option<[u8; 6]> {
        *lock(&self.mac)
    }

    fn mtu(&self) -> u32 {
        self.mtu.load(Ordering::Relaxed)
    }

    fn set_mtu(&self, mtu: u32) -> Result<(), NetdevError> {
        self.mtu.store(mtu, Ordering::Relaxed);
        Ok(())
    }

    fn set_mac(&self, mac: [u8; 6]) -> Result<(), NetdevError> {
        *lock(&self.mac) = Some(mac);
        Ok(())
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
        self.offloads
    }

    fn statistics(&self) -> Statistics {
        let mut statistics = Statistics::default();
        self.shared.rx.merge(&mut statistics);
        self.shared.wire.merge(&mut statistics);
        self.shared.tx.merge(&mut statistics);
        statistics
    }

    fn take_rx_queues(&self) -> Vec<Box<dyn RxQueue>> {
        if self.taken.swap(true, Ordering::Relaxed) {
            return Vec::new();
        }
        vec![Box::new(DummyRx(Arc::clone(&self.shared)))]
    }

    fn open_tx_queue(&self) -> Result<Box<dyn TxQueue>, NetdevError> {
        Ok(Box::new(DummyTx { shared: Arc::clone(&self.shared), counters: self.shared.tx.open() }))
    }

    fn far_side(&self) -> Option<DummyHandle> {
        Some(self.handle())
    }
}

struct DummyRx(Arc<Shared>);

impl RxQueue for DummyRx {
    fn readiness(&self) -> Option<RawFd> {
        Some(self.0.event.raw())
    }

    fn receive(&mut self, pool: &mut PacketPool, batch: &mut Vec<Packet>, max: usize) -> usize {
        let shared = &*self.0;
        let before = batch.len();
        let mut arriving = lock(&shared.arriving);
        for _ in 0..max {
            let Some(packet) = arriving.pop_front() else { break };
            let Some(mut buffer) = pool.take() else {
                shared.rx.dropped(packet.wire_packets());
                continue;
            };
            if buffer.copy_from(&packet) {
                batch.push(buffer);
            } else {
                shared.rx.refused(Refusal::Oversize);
                pool.give(buffer);
            }
        }
        if arriving.is_empty() {
            shared.event.clear();
        }
        drop(arriving);
        shared.rx.received(&batch[before..]);
        batch.len() - before
    }
}

struct DummyTx {
    shared: Arc<Shared>,
    counters: Arc<TxCounters>,
}

impl TxQueue for DummyTx {
    fn send(&mut self, pool: &mut PacketPool, batch: &mut Vec<Packet>) {
        let mut sent = lock(&self.shared.sent);
        let up = self.shared.is_up();
        for packet in batch.drain(..) {
            if let Some(sink) = self.shared.sink.get().filter(|_| up) {
                let (packets, bytes) = wire_sums(std::slice::from_ref(&packet));
                sink(&packet);
                self.counters.sent(packets, bytes);
            } else if up && sent.len() < QUEUE_LIMIT {
                let (packets, bytes) = wire_sums(std::slice::from_ref(&packet));
                let mut copy = Packet::from_frame(packet.data());
                copy.offload = packet.offload;
                copy.queue = packet.queue;
                sent.push_back(copy);
                self.counters.sent(packets, bytes);
            } else {
                self.counters.dropped(packet.wire_packets());
            }
            pool.give(packet);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(last: u8) -> Packet {
        let mut bytes = [0; 60];
        bytes[59] = last;
        Packet::from_frame(&bytes)
    }

    #[test]
    fn injected_frames_arrive_in_order_and_are_counted() {
        let dummy = Dummy::new("d0").unwrap();
        let handle = dummy.handle();
        let mut queues = dummy.take_rx_queues();
        assert!(dummy.take_rx_queues().is_empty());
        assert!((0..3).all(|last| handle.inject(frame(last))));
        let (mut pool, mut batch) = (PacketPool::new(8), Vec::new());
        assert_eq!(queues[0].receive(&mut pool, &mut batch, 2), 2);
        assert_eq!(queues[0].receive(&mut pool, &mut batch, 2), 1);
        assert_eq!(queues[0].receive(&mut pool, &mut batch, 2), 0);
        assert_eq!(batch.iter().map(|packet| packet.data()[59]).collect::<Vec<_>>(), [0, 1, 2]);
        assert_eq!((dummy.statistics().rx_packets, dummy.statistics().rx_bytes), (3, 180));
    }

    #[test]
    fn the_descriptor_is_readable_exactly_while_frames_wait() {
        let dummy = Dummy::new("d0").unwrap();
        let mut queues = dummy.take_rx_queues();
        let (mut pool, mut batch) = (PacketPool::new(8), Vec::new());
        let readable = || dummy.shared.event.is_signalled();
        assert!(!readable());
        dummy.handle().inject(frame(0));
        dummy.handle().inject(frame(1));
        assert!(readable());
        queues[0].receive(&mut pool, &mut batch, 1);
        assert!(readable());
        queues[0].receive(&mut pool, &mut batch, 1);
        assert!(!readable());
    }

    #[test]
    fn what_the_switch_sends_is_seen_and_its_buffers_return() {
        let dummy = Dummy::new("d0").unwrap();
        let (mut pool, handle) = (PacketPool::new(1), dummy.handle());
        let mut queue = dummy.open_tx_queue().unwrap();
        let mut packet = pool.take().unwrap();
        packet.fill(&[7; 60]);
        queue.send(&mut pool, &mut vec![packet]);
        assert_eq!((handle.sent().len(), handle.sent().len(), pool.available()), (1, 0, 1));
        assert_eq!(dummy.statistics().tx_packets, 1);
    }

    #[test]
    fn both_directions_are_bounded_and_a_device_that_is_down_passes_nothing() {
        let dummy = Dummy::new("d0").unwrap();
        let (mut pool, handle) = (PacketPool::new(1), dummy.handle());
        assert_eq!((0..5000).filter(|_| handle.inject(frame(0))).count(), QUEUE_LIMIT);
        let mut queue = dummy.open_tx_queue().unwrap();
        queue.send(&mut pool, &mut (0..5000).map(|_| frame(0)).collect());
        assert_eq!(handle.sent().len(), QUEUE_LIMIT);
        dummy.set_admin_up(false).unwrap();
        assert!(!handle.inject(frame(0)));
        queue.send(&mut pool, &mut vec![frame(0)]);
        let statistics = dummy.statistics();
        assert_eq!((statistics.rx_dropped, statistics.tx_dropped), (905, 905));
        dummy.set_admin_up(true).unwrap();
        handle.set_carrier(false);
        assert!(!handle.inject(frame(0)));
        queue.send(&mut pool, &mut vec![frame(0)]);
        let statistics = dummy.statistics();
        assert_eq!((statistics.rx_dropped, statistics.tx_dropped), (906, 906));
        assert!(handle.sent().is_empty());
    }

    #[test]
    fn a_spent_pool_drops_and_a_forged_header_is_refused() {
        let dummy = Dummy::new("d0").unwrap();
        let (mut pool, handle, mut batch) = (PacketPool::new(1), dummy.handle(), Vec::new());
        let mut queues = dummy.take_rx_queues();
        assert!(handle.inject(frame(0)) && handle.inject(frame(1)));
        assert_eq!(queues[0].receive(&mut pool, &mut batch, 8), 1);
        assert!(!handle.inject_with_header(&[1, 0, 0, 0, 0, 0, 255, 255, 16, 0, 0, 0], &[0; 60]));
        let statistics = dummy.statistics();
        assert_eq!((statistics.rx_dropped, statistics.rx_errors), (1, 1));
    }
}
