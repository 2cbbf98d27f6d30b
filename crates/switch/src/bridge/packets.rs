//! Packets that a bridge sends: those of controllers and its own.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use heddle_flow::field::FIELDS;
use heddle_flow::{FlowKey, Match, PacketKey};
use heddle_openflow::consistency::Known;
use heddle_openflow::message::PacketOut;
use heddle_openflow::{OfError, port};
use heddle_pipeline::{Bridge, Network, Translation};
use heddle_wire::Packet;

use super::ManagedBridge;

/// Packets of controllers that may wait for the poll thread; whoever sends more waits for it.
const PACKETS_OUT: u32 = 256;

impl ManagedBridge {
    /// Sends a packet as a controller asks.
    ///
    /// # Errors
    /// If an action names what is not there, or the packet is too large.
    pub fn packet_out(&self, packet: &PacketOut) -> Result<(), OfError> {
        let PacketOut { in_port, ref actions, ref data, ref matching, .. } = *packet;
        if data.len() > heddle_wire::packet::MAX_FRAME {
            return Err(OfError::RequestBadPacket);
        }
        // A field that no action may write cannot be given to a packet either.
        let mut given = FIELDS.iter().filter(|spec| spec.primary && matching.get(spec.field).1 != 0);
        if given.any(|spec| !spec.writable) {
            return Err(OfError::MatchBadField);
        }
        let packet = Packet::from_frame(data);
        let mut key = key_of(&packet, in_port);
        // Fields of the pipeline that the controller says the packet has (OpenFlow 1.5.1 section 7.3.6).
        for (word, mask) in matching.mask().words.iter().enumerate() {
            key.words[word] = key.words[word] & !mask | matching.key().words[word];
        }
        Known::of_packet(&key).actions(actions)?;
        self.bridge.snapshot().has_groups(actions)?;
        let actions = actions.clone();
        if self.packets_out.fetch_add(1, Ordering::Relaxed) % PACKETS_OUT == PACKETS_OUT - 1 {
            self.barrier();
        }
        self.send(packet, in_port, move |network, bridge, now_ms| {
            Translation::packet_out(network, bridge, in_port, &key, &actions, now_ms)
        });
        Ok(())
    }

    /// Sends a frame of the bridge's own by a port, whatever the spanning tree says of that.
    pub(crate) fn send_by_port(&self, number: u32, frame: &[u8]) {
        let packet = Packet::from_frame(frame);
        let key = key_of(&packet, port::LOCAL);
        self.send(packet, port::LOCAL, move |network, bridge, now_ms| {
            Translation::sent_by(network, bridge, number, &key, now_ms)
        });
    }

    /// Has the datapath do with a packet what is decided there.
    fn send(
        &self,
        packet: Packet,
        in_port: u32,
        decide: impl FnOnce(&Network, &Arc<Bridge>, u64) -> heddle_datapath::Translation + Send + 'static,
    ) {
        let (network, bridge) = (Arc::clone(&self.network), Arc::clone(&self.bridge));
        self.datapath.post(move |context| {
            let now_ms = context.now_ms;
            let outcome = decide(&network, &bridge, now_ms);
            let usage = heddle_datapath::Usage {
                packets: 1,
                bytes: packet.len() as u64,
                used_ms: now_ms,
                tcp_flags: 0,
            };
            outcome.decision.credit(&usage);
            context.engine.execute(packet, in_port, &outcome.actions, now_ms);
        });
    }

    /// Lets a packet go on that waited for a controller, as the controller has it now.
    ///
    /// # Errors
    /// `NXR_STALE` if it does not wait here any more, or never did.
    pub fn resume(&self, id: u32, fields: &Match, frame: &[u8]) -> Result<(), OfError> {
        if frame.len() > heddle_wire::packet::MAX_FRAME {
            return Err(OfError::RequestBadPacket);
        }
        let id = self.network.resumed(&self.bridge.name, id, fields).ok_or(OfError::ResumeStale)?;
        let packet = Packet::from_frame(frame);
        let mut key = PacketKey::default();
        // Where it came in is part of what waited.
        heddle_flow::extract(packet.data(), 0, 0, &mut key);
        self.datapath.post(move |context| {
            let now_ms = context.now_ms;
            context.engine.execute(packet, 0, &[heddle_datapath::Action::Recirculate(id)], now_ms);
        });
        Ok(())
    }
}

/// The key of a frame that comes in by a port.
fn key_of(packet: &Packet, in_port: u32) -> FlowKey {
    let mut key = PacketKey::default();
    heddle_flow::extract(packet.data(), in_port, 0, &mut key);
    key.expand()
}
