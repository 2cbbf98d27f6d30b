//! A device in memory: frames are put in and taken out by hand. For tests, and for bridges without a network.

use std::collections::VecDeque;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use heddle_wire::Packet;
use nix::sys::eventfd::{EfdFlags, EventFd};

use crate::counters::{Counters, statistics};
use crate::{LinkState, Netdev, NetdevError, Offloads, PacketPool, RxQueue, Statistics, TxQueue};

/// Frames kept in each direction; further ones are dropped and counted.
const CAPACITY: usize = 4096;

#[derive(Debug)]
struct Shared {
    incoming: Mutex<VecDeque<Packet>>,
    sent: Mutex<VecDeque<Packet>>,
    ready: EventFd,
    up: AtomicBool,
    rx: Counters,
    tx: Counters,
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The device.
#[derive(Debug)]
pub struct Dummy {
    name: String,
    offloads: Offloads,
    shared: Arc<Shared>,
    taken: AtomicBool,
}

impl Dummy {
    /// A device that is up, and takes over what `offloads` says.
    ///
    /// # Errors
    /// If the system gives no eventfd.
    pub fn new(name: &str, offloads: Offloads) -> Result<Self, NetdevError> {
        let ready = EventFd::from_flags(EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC).map_err(|error| {
            NetdevError::System { device: name.to_owned(), operation: "eventfd", source: error.into() }
        })?;
        let shared = Shared {
            incoming: Mutex::default(),
            sent: Mutex::default(),
            ready,
            up: AtomicBool::new(true),
            rx: Counters::default(),
            tx: Counters::default(),
        };
        Ok(Self { name: name.to_owned(), offloads, shared: Arc::new(shared), taken: AtomicBool::new(false) })
    }

    /// Lets a frame arrive; false if there is no room.
    pub fn inject(&self, packet: Packet) -> bool {
        let mut incoming = lock(&self.shared.incoming);
        if incoming.len() >= CAPACITY {
            return false;
        }
        incoming.push_back(packet);
        let _ = self.shared.ready.write(1);
        true
    }

    /// Takes the frames that were sent since the last time.
    pub fn sent(&self) -> Vec<Packet> {
        lock(&self.shared.sent).drain(..).collect()
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
        None
    }
    fn mtu(&self) -> u32 {
        1500
    }
    fn link_state(&self) -> LinkState {
        let up = self.shared.up.load(Ordering::Relaxed);
        LinkState { admin_up: up, carrier: up }
    }
    fn set_admin_up(&self, up: bool) -> Result<(), NetdevError> {
        self.shared.up.store(up, Ordering::Relaxed);
        Ok(())
    }
    fn offloads(&self) -> Offloads {
        self.offloads
    }
    fn statistics(&self) -> Statistics {
        statistics(&self.shared.rx, &self.shared.tx)
    }
    fn take_rx_queues(&self) -> Vec<Box<dyn RxQueue>> {
        if self.taken.swap(true, Ordering::Relaxed) {
            return Vec::new();
        }
        vec![Box::new(Rx(Arc::clone(&self.shared)))]
    }
    fn open_tx_queue(&self) -> Result<Box<dyn TxQueue>, NetdevError> {
        Ok(Box::new(Tx(Arc::clone(&self.shared))))
    }
}

struct Rx(Arc<Shared>);

impl RxQueue for Rx {
    fn readiness(&self) -> Option<RawFd> {
        use std::os::fd::AsFd;
        Some(self.0.ready.as_fd().as_raw_fd())
    }

    fn receive(&mut self, pool: &mut PacketPool, batch: &mut Vec<Packet>, max: usize) -> usize {
        let _ = self.0.ready.read();
        let mut incoming = lock(&self.0.incoming);
        let count = incoming.len().min(max);
        let mut received = 0;
        for packet in incoming.drain(..count) {
            // Frames travel in pool buffers, as those of any device do.
            let Some(mut buffer) = pool.take() else {
                self.0.rx.dropped(1);
                continue;
            };
            if !self.0.up.load(Ordering::Relaxed) || !buffer.copy_from(&packet) {
                self.0.rx.dropped(1);
                pool.give(buffer);
                continue;
            }
            self.0.rx.packet(&buffer);
            batch.push(buffer);
            received += 1;
        }
        if !incoming.is_empty() {
            let _ = self.0.ready.write(1);
        }
        received
    }
}

struct Tx(Arc<Shared>);

impl TxQueue for Tx {
    fn send(&mut self, pool: &mut PacketPool, batch: &mut Vec<Packet>) {
        let mut sent = lock(&self.0.sent);
        for packet in batch.drain(..) {
            if sent.len() < CAPACITY {
                self.0.tx.packet(&packet);
                let mut copy = Packet::with_capacity(packet.len());
                copy.copy_from(&packet);
                sent.push_back(copy);
            } else {
                self.0.tx.dropped(1);
            }
            pool.give(packet);
        }
    }
}
