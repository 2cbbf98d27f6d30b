//! A generator and sink in memory: traffic without a kernel, for the simulator and for benchmarks of the datapath alone.

use std::os::fd::RawFd;
use std::sync::{Arc, Mutex, PoisonError};

use heddle_wire::Packet;

use crate::counters::{Counters, statistics};
use crate::{LinkState, Netdev, NetdevError, Offloads, PacketPool, RxQueue, Statistics, TxQueue};

/// A device that receives prepared frames in an order drawn from a seed, and counts and forgets what is sent to it.
pub struct Memory {
    name: String,
    frames: Mutex<Option<Vec<Vec<u8>>>>,
    seed: u64,
    rx: Arc<Counters>,
    tx: Arc<Counters>,
}

impl Memory {
    /// A device that receives `frames` without end; none makes it a sink alone.
    pub fn new(name: &str, frames: Vec<Vec<u8>>, seed: u64) -> Self {
        let frames = Mutex::new((!frames.is_empty()).then_some(frames));
        Self { name: name.to_owned(), frames, seed: seed | 1, rx: Arc::default(), tx: Arc::default() }
    }
}

impl Netdev for Memory {
    fn name(&self) -> &str {
        &self.name
    }
    fn kind(&self) -> &'static str {
        "memory"
    }
    fn mac(&self) -> Option<[u8; 6]> {
        None
    }
    fn mtu(&self) -> u32 {
        1500
    }
    fn link_state(&self) -> LinkState {
        LinkState { admin_up: true, carrier: true }
    }
    fn set_admin_up(&self, up: bool) -> Result<(), NetdevError> {
        if up {
            return Ok(());
        }
        let reason = "a memory device cannot be taken down; remove the port instead".to_owned();
        Err(NetdevError::Invalid { device: self.name.clone(), reason })
    }
    fn offloads(&self) -> Offloads {
        Offloads { checksum: true, tso4: true, tso6: true, uso: true }
    }
    fn statistics(&self) -> Statistics {
        statistics(&self.rx, &self.tx)
    }
    fn take_rx_queues(&self) -> Vec<Box<dyn RxQueue>> {
        let frames = self.frames.lock().unwrap_or_else(PoisonError::into_inner).take();
        let generator = |frames| Generator { frames, state: self.seed, counters: Arc::clone(&self.rx) };
        frames.map(generator).into_iter().map(|queue| Box::new(queue) as Box<dyn RxQueue>).collect()
    }
    fn open_tx_queue(&self) -> Result<Box<dyn TxQueue>, NetdevError> {
        Ok(Box::new(Sink { counters: Arc::clone(&self.tx) }))
    }
}

struct Generator {
    frames: Vec<Vec<u8>>,
    state: u64,
    counters: Arc<Counters>,
}

impl RxQueue for Generator {
    fn readiness(&self) -> Option<RawFd> {
        None
    }

    fn receive(&mut self, pool: &mut PacketPool, batch: &mut Vec<Packet>, max: usize) -> usize {
        let before = batch.len();
        for _ in 0..max {
            let Some(mut packet) = pool.take() else { break };
            // xorshift64: enough to defeat the prefetcher, cheap enough not to be measured.
            self.state ^= self.state << 13;
            self.state ^= self.state >> 7;
            self.state ^= self.state << 17;
            let index = ((u128::from(self.state) * self.frames.len() as u128) >> 64) as usize;
            packet.fill(&self.frames[index]);
            self.counters.packet(&packet);
            batch.push(packet);
        }
        batch.len() - before
    }
}

struct Sink {
    counters: Arc<Counters>,
}

impl TxQueue for Sink {
    fn send(&mut self, pool: &mut PacketPool, batch: &mut Vec<Packet>) {
        for packet in batch.drain(..) {
            self.counters.packet(&packet);
            pool.give(packet);
        }
    }
}
