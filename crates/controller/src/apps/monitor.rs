//! Counters over time: asks every switch for its ports' counters, and keeps what came.

use std::collections::{BTreeMap, VecDeque};

use heddle_openflow::multipart::{Reply, Request};
use heddle_openflow::{Body, port};
use serde::Deserialize;
use serde_json::{Value, json};

use super::ConfigError;
use crate::app::{App, Outgoing, Switch};
use crate::ask::{Answer, AskError};

/// Samples that are kept of a port.
const MAX_SAMPLES: usize = 360;
/// Ports of a switch whose counters are kept.
const MAX_PORTS: usize = 4_096;

/// A monitor's configuration.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Seconds between two questions.
    pub every: f64,
}

impl Default for Config {
    fn default() -> Self {
        Self { every: 10.0 }
    }
}

/// Counters of a port at a time: packets in and out, bytes in and out, drops in and out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Sample {
    at_ms: u64,
    counters: [u64; 6],
}

/// The app.
pub struct Monitor {
    every_ms: u64,
    next_ms: u64,
    switches: BTreeMap<u64, BTreeMap<u32, VecDeque<Sample>>>,
}

impl Monitor {
    /// A monitor that asks as often as the configuration says.
    ///
    /// # Errors
    /// It would ask more often than ten times a second, or less often than once a day.
    pub fn new(config: &Config) -> Result<Self, ConfigError> {
        if !(0.1..=86_400.0).contains(&config.every) {
            return Err(ConfigError::Range("a monitor asks every 0.1 to 86400 seconds"));
        }
        Ok(Self { every_ms: (config.every * 1000.0) as u64, next_ms: 0, switches: BTreeMap::new() })
    }

    fn ask(datapath_id: u64) -> Outgoing {
        Outgoing::ask(datapath_id, Body::MultipartRequest(Request::PortStats(port::ANY)), 0)
    }
}

impl App for Monitor {
    fn connected(&mut self, switch: &Switch, _now_ms: u64) -> Vec<Outgoing> {
        self.switches.insert(switch.datapath_id, BTreeMap::new());
        vec![Self::ask(switch.datapath_id)]
    }

    fn received(&mut self, _switch: &Switch, _body: &Body, _now_ms: u64) -> Vec<Outgoing> {
        Vec::new()
    }

    /// A switch that does not answer is asked again in its time.
    fn answered(
        &mut self,
        datapath_id: u64,
        _token: u64,
        answer: Result<Answer, AskError>,
        now_ms: u64,
    ) -> Vec<Outgoing> {
        let parts = answer.into_iter().flat_map(Answer::parts);
        let Some(ports) = self.switches.get_mut(&datapath_id) else { return Vec::new() };
        for part in parts {
            let Body::MultipartReply(Reply::PortStats(stats)) = part else { continue };
            for stats in stats {
                if ports.len() >= MAX_PORTS && !ports.contains_key(&stats.number) {
                    continue;
                }
                let samples = ports.entry(stats.number).or_default();
                if samples.len() >= MAX_SAMPLES {
                    samples.pop_front();
                }
                let mut counters = [0; 6];
                counters.copy_from_slice(&stats.counters[..6]);
                samples.push_back(Sample { at_ms: now_ms, counters });
            }
        }
        Vec::new()
    }

    fn ticked(&mut self, now_ms: u64) -> Vec<Outgoing> {
        if now_ms < self.next_ms {
            return Vec::new();
        }
        self.next_ms = now_ms + self.every_ms;
        self.switches.keys().map(|&datapath_id| Self::ask(datapath_id)).collect()
    }

    fn deadline(&self) -> Option<u64> {
        (!self.switches.is_empty()).then_some(self.next_ms)
    }

    fn state(&self, now_ms: u64) -> Option<(&'static str, Value)> {
        let ports = |ports: &BTreeMap<u32, VecDeque<Sample>>| -> Value {
            let named = ports.iter().map(|(number, samples)| (port_name(*number), history(samples, now_ms)));
            Value::Object(named.collect())
        };
        let switches = self.switches.iter().map(|(dpid, known)| (dpid.to_string(), ports(known)));
        Some(("monitor", Value::Object(switches.collect())))
    }

    fn disconnected(&mut self, switch: &Switch) {
        self.switches.remove(&switch.datapath_id);
    }
}

fn port_name(number: u32) -> String {
    if number == port::LOCAL { "LOCAL".into() } else { number.to_string() }
}

/// The counters of a port, its rates since the sample before, and all samples: seconds ago, then packets and bytes in and out.
fn history(samples: &VecDeque<Sample>, now_ms: u64) -> Value {
    let rate = |index: usize, factor: f64| {
        let mut latest = samples.iter().rev();
        let (last, before) = latest.next().zip(latest.next())?;
        let seconds = last.at_ms.saturating_sub(before.at_ms) as f64 / 1000.0;
        let change = last.counters[index].checked_sub(before.counters[index])? as f64;
        (seconds > 0.0).then(|| (change * factor / seconds).round())
    };
    let last = samples.back().map_or([0; 6], |sample| sample.counters);
    let rows = samples.iter().map(|sample| {
        let ago = now_ms.saturating_sub(sample.at_ms) as f64 / 1000.0;
        let [rx_packets, tx_packets, rx_bytes, tx_bytes, ..] = sample.counters;
        json!([ago, rx_packets, tx_packets, rx_bytes, tx_bytes])
    });
    json!({
        "rx_packets": last[0], "tx_packets": last[1], "rx_bytes": last[2], "tx_bytes": last[3],
        "rx_dropped": last[4], "tx_dropped": last[5],
        "rx_packets_per_second": rate(0, 1.0), "tx_packets_per_second": rate(1, 1.0),
        "rx_bits_per_second": rate(2, 8.0), "tx_bits_per_second": rate(3, 8.0),
        "samples": rows.collect::<Vec<_>>(),
    })
}
