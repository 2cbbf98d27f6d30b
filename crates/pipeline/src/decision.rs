//! What a megaflow keeps of its translation: whom it credits, and what must stand for it to stay true.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use heddle_datapath::{Concern, Decision, Dependencies, Usage};
use heddle_flow::layout::{PACKET_WORDS, PORT};
use heddle_flow::{FlowKey, FlowMask, Match};
use heddle_openflow::FlowMod;

use crate::bridge::Bridge;
use crate::changes::{depend_on_address, depend_on_flows};
use crate::fdb;
use crate::table::{Flow, FlowStats, PortCounters};

/// Who is credited with packets.
pub enum Credit {
    /// A flow that matched.
    Flow(Arc<FlowStats>),
    /// A port without a device, that the packets came in by.
    Received(Arc<PortCounters>),
    /// A port without a device, that the packets went out by.
    Sent(Arc<PortCounters>),
    /// A learned address, which stays young.
    Address(Arc<fdb::Entry>),
    /// A learned flow, which stays young, and comes back if it has gone.
    Learned {
        /// The bridge that it is in.
        bridge: Arc<Bridge>,
        /// The flow.
        flow: Box<FlowMod>,
        /// Most flows with its cookie in its table; zero for no bound.
        limit: u32,
    },
    /// A flow whose timeouts are shortened once a connection has ended.
    Ended {
        /// The bridge that it is in.
        bridge: Arc<Bridge>,
        /// The flow.
        flow: Arc<Flow>,
        /// Its idle timeout then; zero leaves it.
        idle: u16,
        /// Its hard timeout then; zero leaves it.
        hard: u16,
    },
}

/// TCP's FIN and RST, which end a connection.
const ENDS: u16 = 1 | 4;

/// One look at a table.
pub struct Visit {
    /// The table.
    pub table: u8,
    /// OpenFlow port that the packet was in by.
    pub in_port: u32,
    /// Bits that the pipeline had written before: their values are not the packet's.
    pub written: FlowMask,
    /// Whether a flow took the packet.
    pub matched: bool,
    /// Whether any change of the table concerns the decision, and not only that of a flow for such packets; it was not
    /// looked up then.
    pub whole: bool,
}

impl Visit {
    /// Whether a flow with this match may take packets of the megaflow at this look.
    fn may_match(&self, table: u8, matching: &Match, key: &FlowKey, mask: &FlowMask) -> bool {
        if table != self.table {
            return false;
        }
        if self.whole {
            return true;
        }
        let (asked, asked_mask) = (matching.key(), matching.mask());
        if asked_mask.words[PORT] >> 32 != 0 && asked.in_port() != self.in_port {
            return false;
        }
        (PORT + 1..PACKET_WORDS).all(|word| {
            let bits = asked_mask.words[word] & mask.words[word] & !self.written.words[word];
            (asked.words[word] ^ key.words[word]) & bits == 0
        })
    }
}

/// What must stand.
pub enum Dependency {
    /// The tables of a bridge, as far as they were looked at.
    Flows {
        /// The bridge.
        bridge: Arc<Bridge>,
        /// Number of the last change, of anything, that the decision knows.
        seen: u64,
        /// The looks.
        visits: Vec<Visit>,
    },
    /// What a bridge's forwarding database says of an address.
    Address {
        /// The bridge.
        bridge: Arc<Bridge>,
        /// VLAN, zero where there is none.
        vlan: u16,
        /// The address, 48 bits.
        mac: u64,
        /// The port that it was learned on; none where it is unknown.
        port: Option<u32>,
        /// Change number of the part of the database that it falls in.
        seen: u64,
    },
}

/// What a megaflow keeps of its translation.
#[derive(Default)]
pub struct Kept {
    /// Who is credited.
    pub credits: Vec<Credit>,
    /// What must stand.
    pub dependencies: Vec<Dependency>,
}

impl Decision for Kept {
    fn is_current(&mut self, key: &FlowKey, mask: &FlowMask, known: u64) -> bool {
        self.dependencies.iter_mut().all(|dependency| match dependency {
            Dependency::Address { bridge, vlan, mac, port, seen } => {
                // The number is read before the database, so that a change between the two is seen as one.
                let now = bridge.fdb.change(fdb::Fdb::bucket(*vlan, *mac));
                let stands = now == *seen || bridge.fdb.find(*vlan, *mac).map(|entry| entry.port) == *port;
                *seen = if stands { now } else { *seen };
                stands
            }
            Dependency::Flows { bridge, seen, visits } => {
                let concerns = |table: u8, matching: &Match| {
                    visits.iter().any(|visit| visit.may_match(table, matching, key, mask))
                };
                let since = known.max(*seen);
                // The number is read before the log, so that a change between the two is seen again.
                let now = bridge.change_number();
                let stands = bridge.changes.last() <= since || bridge.changes.unconcerned(since, concerns);
                *seen = if stands { now } else { *seen };
                stands
            }
        })
    }

    fn concern(&self, key: &FlowKey, mask: &FlowMask) -> Concern {
        let mut dependencies = Dependencies::default();
        let whole = |dependency: &Dependency| match dependency {
            Dependency::Flows { visits, .. } => visits.iter().any(|visit| visit.whole),
            Dependency::Address { .. } => false,
        };
        if self.dependencies.iter().any(whole) {
            return Concern::ALL;
        }
        for dependency in &self.dependencies {
            match dependency {
                Dependency::Flows { bridge, visits, .. } => {
                    for visit in visits {
                        let mut known = *mask;
                        known
                            .words
                            .iter_mut()
                            .zip(visit.written.words)
                            .for_each(|(word, gone)| *word &= !gone);
                        depend_on_flows(&mut dependencies, &bridge.name, visit.in_port, key, &known);
                    }
                }
                Dependency::Address { bridge, vlan, mac, .. } => {
                    depend_on_address(&mut dependencies, &bridge.name, *vlan, *mac);
                }
            }
        }
        dependencies.concern()
    }

    fn credit(&self, usage: &Usage) {
        for dependency in &self.dependencies {
            let Dependency::Flows { bridge, visits, .. } = dependency else { continue };
            for visit in visits.iter().filter(|visit| !visit.whole) {
                // `resubmit` may name a table beyond those that flows can be in.
                let Some(table) = bridge.tables.get(usize::from(visit.table)) else { continue };
                table.lookups.fetch_add(usage.packets, Ordering::Relaxed);
                table.matched.fetch_add(u64::from(visit.matched) * usage.packets, Ordering::Relaxed);
            }
        }
        for credit in &self.credits {
            match credit {
                Credit::Flow(stats) => {
                    stats.packets.fetch_add(usage.packets, Ordering::Relaxed);
                    stats.bytes.fetch_add(usage.bytes, Ordering::Relaxed);
                    stats.used_ms.fetch_max(usage.used_ms, Ordering::Relaxed);
                }
                Credit::Received(counters) => {
                    counters.rx_packets.fetch_add(usage.packets, Ordering::Relaxed);
                    counters.rx_bytes.fetch_add(usage.bytes, Ordering::Relaxed);
                }
                Credit::Sent(counters) => {
                    counters.tx_packets.fetch_add(usage.packets, Ordering::Relaxed);
                    counters.tx_bytes.fetch_add(usage.bytes, Ordering::Relaxed);
                }
                Credit::Address(entry) => {
                    entry.used_ms.fetch_max(usage.used_ms, Ordering::Relaxed);
                }
                Credit::Learned { bridge, flow, limit } if usage.packets != 0 => {
                    bridge.learn_flow(flow, *limit, usage.used_ms);
                }
                Credit::Ended { bridge, flow, idle, hard } if usage.tcp_flags & ENDS != 0 => {
                    bridge.shorten(flow, *idle, *hard);
                }
                Credit::Learned { .. } | Credit::Ended { .. } => {}
            }
        }
    }
}
