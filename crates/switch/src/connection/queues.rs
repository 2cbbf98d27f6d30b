//! Queues of ports: descriptions and counters (OpenFlow 1.3.5 sections 7.2.2, 7.3.5.8 and 7.3.6, OpenFlow 1.4.1 section 7.3.5.15).
//!
//! Every port with a device has queue 0, which packets leave by that no action gave another, and those that the database's QoS
//! row says. Packets are counted by queue. No device shapes them yet: queues say which packets are alike, and no more.

use std::time::Duration;

use heddle_openflow::queue::{ALL, QueueDesc, QueueStats};
use heddle_openflow::{OfError, port};
use heddle_pipeline::{Attachment, Port};

use super::statistics;
use crate::bridge::ManagedBridge;
use crate::config::PortQueues;

/// Counters of a device that counts nothing.
const UNKNOWN: u64 = u64::MAX;

/// A port with a device, and what is said of its queues.
struct Place {
    port: u32,
    datapath_port: u32,
    said: PortQueues,
}

impl Place {
    fn numbers(&self) -> Vec<u32> {
        let others = self.said.queues.keys().copied().filter(|queue| *queue != 0);
        std::iter::once(0).chain(others).collect()
    }
}

/// The queues that are asked for: the ports, with the numbers of each.
fn wanted(number: u32, queue: u32, bridge: &ManagedBridge) -> Result<Vec<(Place, Vec<u32>)>, OfError> {
    statistics::port_or(number, bridge, OfError::QueueBadPort)?;
    let said = bridge.queues();
    let place = |port: &Port| match port.attachment {
        Attachment::Device(datapath_port) => {
            let said = said.get(&port.name).cloned().unwrap_or_default();
            Some(Place { port: port.number, datapath_port, said })
        }
        Attachment::Patch { .. } | Attachment::Link { .. } | Attachment::Local => None,
    };
    let snapshot = bridge.bridge.snapshot();
    let ports = snapshot.ports.values().filter(|port| number == port::ANY || port.number == number);
    let mut places: Vec<(Place, Vec<u32>)> = ports
        .filter_map(|port| place(port))
        .map(|place| {
            let mut numbers = place.numbers();
            numbers.retain(|known| queue == ALL || *known == queue);
            (place, numbers)
        })
        .collect();
    places.sort_by_key(|(place, _)| place.port);
    if queue != ALL && places.iter().all(|(_, numbers)| numbers.is_empty()) {
        return Err(OfError::QueueBadQueue);
    }
    Ok(places)
}

/// The queues of a port, or of all.
///
/// # Errors
/// `OFPQOFC_BAD_PORT` or `OFPQOFC_BAD_QUEUE` where there is none such.
pub(super) fn descriptions(
    number: u32,
    queue: u32,
    bridge: &ManagedBridge,
) -> Result<Vec<QueueDesc>, OfError> {
    let mut all = Vec::new();
    for (place, numbers) in wanted(number, queue, bridge)? {
        let link_bps = place.said.max_bps.or_else(|| {
            let netdev = bridge.netdev(place.port)?;
            Some(statistics::features_of(netdev.kind()).1)
                .filter(|kbps| *kbps != 0)
                .map(|kbps| u64::from(kbps) * 1000)
        });
        // In tenths of a percent of what the port can do, where that is known.
        let share = |bps: Option<u64>| {
            let share = bps?.saturating_mul(1000).checked_div(link_bps?)?;
            Some(share.min(1000) as u16)
        };
        all.extend(numbers.into_iter().map(|number| {
            let said = place.said.queues.get(&number).copied().unwrap_or_default();
            QueueDesc {
                port: place.port,
                queue: number,
                min_rate: share(said.min_bps),
                max_rate: share(said.max_bps),
            }
        }));
    }
    Ok(all)
}

/// Counters of the queues of a port, or of all.
///
/// # Errors
/// As [`descriptions`].
pub(super) fn statistics(
    number: u32,
    queue: u32,
    bridge: &ManagedBridge,
) -> Result<Vec<QueueStats>, OfError> {
    let mut all = Vec::new();
    for (place, numbers) in wanted(number, queue, bridge)? {
        let counted = bridge.queue_counters(place.datapath_port);
        let port = bridge.port_stats(place.port).into_iter().next().unwrap_or_default();
        let [_, packets, _, bytes, _, dropped, ..] = port.counters;
        let known = |queue: u32| counted.get(&queue).copied().unwrap_or_default();
        // What left by a queue that nobody described left by the one that all others do.
        let others = place.numbers().into_iter().filter(|queue| *queue != 0).map(known);
        let (packets_else, bytes_else) = others.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
        // A device in memory with one queue is asked for nothing, which all ones say.
        let counts = !place.said.queues.is_empty()
            || bridge.netdev(place.port).is_some_and(|netdev| netdev.kind() != "dummy");
        all.extend(numbers.into_iter().map(|number| {
            let (packets, bytes, errors) = match number {
                _ if !counts => (UNKNOWN, UNKNOWN, UNKNOWN),
                0 => (packets.saturating_sub(packets_else), bytes.saturating_sub(bytes_else), dropped),
                other => (known(other).0, known(other).1, 0),
            };
            let age = bridge.clock.now_ms().saturating_sub(place.said.since_ms);
            let duration = match number {
                0 => port.duration,
                _ => Some(Duration::from_millis(age)),
            };
            QueueStats {
                port: place.port,
                queue: number,
                bytes,
                packets,
                errors,
                duration: duration.filter(|_| counts),
            }
        }));
    }
    Ok(all)
}
