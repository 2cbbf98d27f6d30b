//! Sending the packet: to devices, through patches to other bridges, to many ports.

use std::sync::Arc;

use heddle_datapath::Action as Act;
use heddle_flow::layout::TUNNEL_ID;
use heddle_flow::{Field, FlowMask};
use heddle_openflow::action::Bits;
use heddle_openflow::packet::reason;
use heddle_openflow::port;

use super::{MAX_DEPTH, MAX_OUTPUTS, Misses, PIPELINE, Stay, Translation};
use crate::decision::Credit;
use crate::learning::port_of;
use crate::table::{Attachment, Port};
use crate::trace::Kind;
use crate::tree::Protocol;

impl Translation<'_> {
    pub(super) fn output(&mut self, number: u32, max_len: u16) {
        let in_port = self.stay.in_port;
        match number {
            port::IN_PORT => self.output_to(in_port),
            port::TABLE => self.resubmit(None, Some(0), Misses::Configured),
            port::NORMAL => self.normal(),
            port::FLOOD => self.flood(port::config::NO_FLOOD),
            port::ALL => self.flood(0),
            port::CONTROLLER if self.stay.table_miss => self.punt_miss(max_len),
            port::CONTROLLER => self.punt(self.stay.reason, max_len),
            _ if number == in_port => self.drop_because("output to the port it came in by"),
            _ => self.output_to(number),
        }
    }

    /// Sends to the port whose number some bits hold.
    pub(super) fn output_bits(&mut self, bits: Bits, max_len: u16) {
        let value = self.bits(bits);
        let number = port_of(value, bits.count);
        self.explain(Kind::Detail, || format!("output port is {number}"));
        self.output(number, max_len);
    }

    /// Sends the packet's first bytes.
    pub(super) fn output_cut(&mut self, number: u32, max_len: u32) {
        self.on_a_copy(|this| {
            this.actions.push(Act::Truncate(max_len));
            this.output(number, 0);
        });
    }

    /// Sends to every port but the input port, and those with one of these bits of configuration.
    pub(super) fn flood(&mut self, without: u32) {
        let snapshot = Arc::clone(&self.stay.snapshot);
        let ports = snapshot.ports.values().filter(|port| port.config & without == 0 && port.tree.forwards());
        let mut numbers: Vec<u32> = ports.map(|port| port.number).collect();
        numbers.sort_unstable();
        let in_port = self.stay.in_port;
        for number in numbers.into_iter().filter(|&number| number != in_port) {
            self.output_to(number);
        }
    }

    pub(super) fn output_to(&mut self, number: u32) {
        if self.over() {
            return;
        }
        let Some(port) = self.stay.snapshot.ports.get(&number).cloned() else {
            return self.drop_because("no such port");
        };
        if port.link_down || port.config & (port::config::DOWN | port::config::NO_FWD) != 0 {
            return self.drop_because("port does not forward");
        }
        if !port.tree.forwards() {
            return self.drop_because(match self.stay.snapshot.tree {
                Some(Protocol::Rstp) => "RSTP not in forwarding state, skipping output",
                _ => "STP not in forwarding state, skipping output",
            });
        }
        if self.actions.len() >= MAX_OUTPUTS {
            return self.fail("too many outputs");
        }
        self.send_by(&port);
    }

    /// Sends by a port, whatever the spanning tree says of it.
    pub(super) fn send_by(&mut self, port: &Arc<Port>) {
        match &port.attachment {
            Attachment::Device(datapath_port) => {
                self.commit();
                self.actions.push(Act::Output(*datapath_port));
            }
            Attachment::Patch { bridge, port: peer } => self.cross(port, bridge, peer),
            Attachment::Link { line, .. } => {
                self.commit();
                self.kept.credits.push(Credit::Sent(Arc::clone(&port.counters)));
                self.actions.push(Act::Output(*line));
            }
            Attachment::Local => self.drop_because("the local port has no device"),
        }
    }

    /// Goes on in the bridge behind a patch port, with a copy of the packet.
    pub(super) fn cross(&mut self, port: &Arc<Port>, bridge: &str, peer: &str) {
        if self.depth >= MAX_DEPTH {
            return self.fail("too many bridges, or a loop");
        }
        let there = self.network.bridge(bridge).map(|bridge| (bridge.snapshot(), bridge));
        let peer = there.as_ref().and_then(|(snapshot, _)| snapshot.port_by_name(peer)).cloned();
        let (Some((snapshot, bridge)), Some(peer)) = (there, peer) else {
            // Nothing that the decision depends on changes when the peer comes.
            self.cacheable = false;
            return self.drop_because("patch has no peer");
        };
        self.kept.credits.push(Credit::Sent(Arc::clone(&port.counters)));
        self.kept.credits.push(Credit::Received(Arc::clone(&peer.counters)));
        let there = Stay {
            bridge,
            snapshot,
            in_port: peer.number,
            table: 0,
            cookie: 0,
            table_miss: false,
            action_set: Vec::new(),
            reason: reason::ACTION,
        };
        let here = std::mem::replace(&mut self.stay, there);
        let (stack, flow) = (std::mem::take(&mut self.stack), self.flow.take());
        self.on_a_copy(|this| {
            this.key.words[PIPELINE].fill(0);
            this.key.words[TUNNEL_ID] = 0;
            this.key.set(Field::ActsetOutput, port::UNSET.into());
            this.written.words[PIPELINE].fill(u64::MAX);
            this.written.words[TUNNEL_ID] = u64::MAX;
            this.key.set_in_port(this.stay.in_port);
            let level = this.level();
            this.pipeline();
            this.close_to(level);
        });
        self.stay = here;
        (self.stack, self.flow) = (stack, flow);
    }

    /// Does something with a copy of the packet: what it changes is not seen by what follows, and what ends it ends no more.
    pub(super) fn on_a_copy(&mut self, act: impl FnOnce(&mut Self)) {
        self.commit();
        let (key, base, written, start) = (self.key, self.base, self.written, self.actions.len());
        let (queue, flow) = (self.queue, self.flow.clone());
        self.depth += 1;
        act(self);
        self.depth -= 1;
        (self.halted, self.exited) = (false, false);
        (self.queue, self.base_queue, self.flow) = (queue, queue, flow);
        (self.key, self.base, self.written) = (key, base, written);
        self.uncommitted = FlowMask::default();
        let changes = |action: &Act| !matches!(action, Act::Output(_) | Act::Punt { .. } | Act::Clone(_));
        if self.actions[start..].iter().any(changes) {
            let inner = self.actions.split_off(start);
            self.actions.push(Act::Clone(inner.into()));
        }
    }
}
