//! Lines of ports: what packets meet between a port and its device, or between the ends of a patch.
//!
//! A patch that is to take time or lose packets becomes a link: each end sends by a line of the datapath, which has a number
//! among its ports and is attached to where the other end is.

use std::sync::Arc;

use heddle_datapath::Way;
use heddle_pipeline::{Attachment, Place};

use crate::bridge::ManagedBridge;
use crate::config::{LINES_A_MESSAGE, LineConfig, LineReport};
use crate::switch::{Switch, SwitchError, invalid};

impl Switch {
    /// Gives lines their profiles. What is under way keeps the times and the fate that it has.
    ///
    /// # Errors
    /// If there is no such bridge or port, or a profile contradicts itself; nothing has changed then.
    pub fn set_lines(&mut self, lines: &[LineConfig]) -> Result<(), SwitchError> {
        for line in lines {
            let bridge = self.bridges.get(&line.bridge);
            if !bridge.is_some_and(|bridge| bridge.bridge.snapshot().ports.contains_key(&line.ofport)) {
                return invalid(&line.bridge, &format!("there is no port {}", line.ofport));
            }
            for profile in [&line.out, &line.inward] {
                if let Err(error) = profile.validate() {
                    return invalid(&line.bridge, &format!("port {}: {error}", line.ofport));
                }
            }
        }
        for line in lines {
            self.unjoined.retain(|other| (&other.bridge, other.ofport) != (&line.bridge, line.ofport));
            if !self.set_line(line) {
                self.unjoined.push(line.clone());
            }
        }
        Ok(())
    }

    /// Gives lines their profiles whose link has got its other end.
    pub(crate) fn join_lines(&mut self) {
        let waiting = std::mem::take(&mut self.unjoined);
        self.unjoined = waiting.into_iter().filter(|line| !self.set_line(line)).collect();
    }

    /// Gives a port lines where it has none.
    pub(crate) fn ensure_lines(&self, line: &LineConfig) {
        self.set_line_of(line, true);
    }

    /// Gives a port's lines their profiles; false if the other end of its link is not there yet.
    fn set_line(&self, line: &LineConfig) -> bool {
        self.set_line_of(line, false)
    }

    /// Gives a port's lines their profiles or, to `ensure` that there are some, these to those that it lacks.
    fn set_line_of(&self, line: &LineConfig, ensure: bool) -> bool {
        let Some(bridge) = self.bridges.get(&line.bridge) else { return true };
        let Some(port) = bridge.bridge.snapshot().ports.get(&line.ofport).cloned() else { return true };
        let number = match &port.attachment {
            Attachment::Local => return true,
            Attachment::Device(number) => *number,
            Attachment::Link { line, .. } => *line,
            Attachment::Patch { .. } if line.out.is_perfect() && !ensure => return true,
            Attachment::Patch { bridge: peer_bridge, port: peer_port } => {
                let Some(number) = self.line_to(peer_bridge, peer_port) else { return false };
                self.shape(number, line, ensure);
                let (peer_bridge, peer_port) = (peer_bridge.clone(), peer_port.clone());
                let link = Attachment::Link { line: number, bridge: peer_bridge, port: peer_port };
                // Controllers see no difference.
                bridge.alter_ports(&[line.ofport], |_| (), |port| port.attachment = link.clone());
                return true;
            }
        };
        self.shape(number, line, ensure);
        true
    }

    /// A number for a line to a port of a bridge, where that is there.
    fn line_to(&self, bridge: &str, port: &str) -> Option<u32> {
        let bridge = self.bridges.get(bridge)?;
        let peer = bridge.bridge.snapshot().port_by_name(port).cloned()?;
        let number = self.network.allocate_port();
        let counters = Some(Arc::clone(&peer.counters));
        self.network
            .attach(number, Place { bridge: Arc::clone(&bridge.bridge), port: peer.number, counters });
        Some(number)
    }

    /// Tells the datapath of a port's lines, where there is something to tell.
    fn shape(&self, number: u32, line: &LineConfig, ensure: bool) {
        let ways = [(Way::Out, line.out.clone()), (Way::In, line.inward.clone())];
        let seeds = line.seeds;
        self.datapath.ask(move |context| {
            for ((way, profile), seed) in ways.into_iter().zip(seeds) {
                let engine = &mut context.engine;
                let is_there = engine.line_statistics(number, way).is_some();
                let is_told = if ensure { !is_there } else { is_there || !profile.is_perfect() };
                if is_told {
                    engine.set_line(number, way, &profile, seed);
                }
            }
        });
    }

    /// Takes away the lines of a port that goes. The other end of its link is the end of a patch again, without a peer.
    pub(crate) fn remove_lines(&mut self, bridge: &ManagedBridge, number: u32) {
        let name = &bridge.bridge.name;
        self.unjoined.retain(|line| (&line.bridge, line.ofport) != (name, number));
        let Some(port) = bridge.bridge.snapshot().ports.get(&number).cloned() else { return };
        let (Attachment::Link { bridge: peer_bridge, port: peer_port, .. }
        | Attachment::Patch { bridge: peer_bridge, port: peer_port }) = &port.attachment
        else {
            return;
        };
        if let Attachment::Link { line, .. } = port.attachment {
            self.remove_line(line);
        }
        let Some(peer_bridge) = self.bridges.get(peer_bridge) else { return };
        let Some(peer) = peer_bridge.bridge.snapshot().port_by_name(peer_port).cloned() else { return };
        if let Attachment::Link { line, bridge, port: here } = &peer.attachment
            && (bridge, here) == (name, &port.name)
        {
            self.remove_line(*line);
            let patch = Attachment::Patch { bridge: bridge.clone(), port: here.clone() };
            peer_bridge.alter_ports(&[peer.number], |_| (), |port| port.attachment = patch.clone());
        }
    }

    fn remove_line(&self, number: u32) {
        self.network.detach(number);
        self.datapath.ask(move |context| context.remove_port(number));
    }

    /// What has happened on lines, those of the first `from` left out.
    pub fn line_reports(&self, from: usize) -> Vec<LineReport> {
        let ports = self.bridges.values().flat_map(|bridge| {
            let snapshot = bridge.bridge.snapshot();
            let mut ports: Vec<_> = snapshot.ports.values().cloned().collect();
            ports.sort_by_key(|port| port.number);
            let name = bridge.bridge.name.clone();
            ports.into_iter().filter_map(move |port| match port.attachment {
                Attachment::Device(number) | Attachment::Link { line: number, .. } => {
                    Some((name.clone(), port.number, number))
                }
                Attachment::Patch { .. } | Attachment::Local => None,
            })
        });
        let ports: Vec<(String, u32, u32)> = ports.collect();
        let reports = self.datapath.ask(move |context| {
            let ways = ports.into_iter().flat_map(|(bridge, ofport, number)| {
                [Way::Out, Way::In].map(|way| (bridge.clone(), ofport, number, way))
            });
            let report = |(bridge, ofport, number, way)| {
                let statistics = context.engine.line_statistics(number, way)?;
                Some(LineReport { bridge, ofport, out: way == Way::Out, statistics })
            };
            ways.filter_map(report).skip(from).take(LINES_A_MESSAGE).collect()
        });
        reports.unwrap_or_default()
    }
}
