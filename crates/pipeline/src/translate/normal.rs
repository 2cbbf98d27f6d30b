//! Switching as a learning switch does (OpenFlow's `NORMAL`).

use std::sync::Arc;

use heddle_flow::Field;
use heddle_openflow::port;

use super::Translation;
use crate::decision::{Credit, Dependency};
use crate::trace::Kind;

impl Translation<'_> {
    /// Switches as a learning switch does (OpenFlow's `NORMAL`).
    pub(super) fn normal(&mut self) {
        self.look_at(Field::EthDst);
        self.look_at(Field::EthSrc);
        self.look_at(Field::VlanTci);
        let (source, destination) = (self.key.eth_src(), self.key.eth_dst());
        let vlan = self.key.vlan_tci() & 0x0fff;
        if destination & 0xffff_ffff_fff0 == 0x0180_c200_0000 {
            return self.drop_because("reserved multicast address");
        }
        // A packet that a controller sends for itself says nothing about where its source is.
        if source >> 40 & 1 == 0 && self.stay.snapshot.ports.contains_key(&self.stay.in_port) {
            self.learn(vlan, source);
        }
        let multicast = destination >> 40 & 1 == 1;
        let known = (!multicast).then(|| self.find(vlan, destination)).flatten();
        match known {
            None => {
                self.explain(Kind::Detail, || "no learned MAC for destination, flooding".into());
                self.flood(port::config::NO_FLOOD);
            }
            Some(port) if port == self.stay.in_port => self.drop_because("destination is where it came from"),
            Some(port) => {
                self.explain(Kind::Detail, || "forwarding to learned port".into());
                self.output_to(port);
            }
        }
    }

    /// The port that an address was learned on; the decision depends on it.
    pub(super) fn depend_on_address(&mut self, vlan: u16, mac: u64) -> Option<u32> {
        let bridge = Arc::clone(&self.stay.bridge);
        let seen = bridge.fdb.change(crate::fdb::Fdb::bucket(vlan, mac));
        let port = bridge.fdb.find(vlan, mac).map(|entry| entry.port);
        self.kept.dependencies.push(Dependency::Address { bridge, vlan, mac, port, seen });
        port
    }

    pub(super) fn learn(&mut self, vlan: u16, mac: u64) {
        let bridge = Arc::clone(&self.stay.bridge);
        if self.effects
            && let Some((entry, is_news)) = bridge.fdb.learn(vlan, mac, self.stay.in_port, self.now_ms)
        {
            self.kept.credits.push(Credit::Address(entry));
            if is_news {
                bridge.touch_address(vlan, mac);
            }
        }
        self.depend_on_address(vlan, mac);
    }

    pub(super) fn find(&mut self, vlan: u16, mac: u64) -> Option<u32> {
        self.depend_on_address(vlan, mac)
    }
}
