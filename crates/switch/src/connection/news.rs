//! What a peer is told unasked: packets, flows that have gone, ports, roles, and other controllers' changes (OpenFlow 1.3.5
//! section 6.3.5 and section 7.3.10, OpenFlow 1.4.1 sections 7.4.4 and 7.4.6).

use heddle_flow::{Field, Match};
use heddle_openflow::message::{self, FlowRemoved, Form, NO_BUFFER, Version};
use heddle_openflow::packet::reason;
use heddle_openflow::role::AsyncKind;
use heddle_openflow::{Body, Message, PortDesc};
use heddle_pipeline::PacketIn;
use heddle_pipeline::flow_mod::REMOVED_BY_METER;

use super::Connection;
use super::buffers::Frame;
use crate::bridge::{Event, ManagedBridge, PortNews};

/// Which messages come unasked, as bits by reason: for masters and equals, and for slaves, by [`AsyncKind`].
pub(super) type Masks = [[u32; 2]; 6];

/// What a peer of a version gets until it says otherwise: packets but those whose TTL is spent, flows that have gone, ports
/// and, where the version has a message for it, that its role has changed.
pub(super) fn masks(version: Version) -> Masks {
    let newer = version >= Version::V1_4;
    let packets = AsyncKind::PacketIn.known(version) & !(1 << reason::INVALID_TTL);
    let flows = match version {
        Version::V1_0 => 0x7,
        _ if newer => 0x3f,
        _ => 0xf,
    };
    let roles = if version >= Version::V1_3 { 0x7 } else { 0 };
    [[packets, 0], [0x7, 0x7], [flows, 0], [roles, roles], [0, 0], [0, 0]]
}

/// The reason of a packet-in as a version says it: those before 1.4 know no more than that an action asked for it.
fn packet_reason(why: u8, version: Version) -> u8 {
    if version < Version::V1_4 && why > reason::INVALID_TTL { reason::ACTION } else { why }
}

/// The reason of a flow-removed as a version says it.
pub(super) fn removed_reason(why: u8, version: Version) -> u8 {
    const DELETE: u8 = 2;
    if version < Version::V1_4 && why == REMOVED_BY_METER { DELETE } else { why }
}

/// Whether a version has no words for what has changed of a port.
fn is_no_change(news: &PortNews, version: Version) -> bool {
    let said = |port: &PortDesc| {
        let body = Body::PortStatus(news.reason, port.clone());
        Message { form: Form::of(version), xid: 0, body }.encode()
    };
    news.before.as_ref().is_some_and(|before| said(before) == said(&news.port))
}

impl Connection {
    /// Whether the peer gets what nobody told the switch to send it.
    fn is_told(&self) -> bool {
        self.version.is_some() && (self.controller || self.miss_send_len != 0)
    }

    /// Whether packets that no flow takes are for the peer: OpenFlow before 1.3 has no flow that would ask for them.
    pub(super) fn wants_misses(&self) -> bool {
        self.is_told() && !self.closing && self.controller_id == 0 && self.version < Some(Version::V1_3)
    }

    /// What the peer is told of an event, if it wants to be told.
    pub fn announce(&mut self, event: &Event, bridge: &ManagedBridge) -> Option<Vec<u8>> {
        let version = self.version?;
        let (kind, reason) = match event {
            Event::PacketIn(packet) => (AsyncKind::PacketIn, packet_reason(packet.reason, version)),
            Event::Port(news) => (AsyncKind::PortStatus, news.reason),
            Event::FlowRemoved(removed) => (AsyncKind::FlowRemoved, removed_reason(removed.reason, version)),
            Event::RoleStatus(_, status) => (AsyncKind::RoleStatus, status.reason),
            Event::TableStatus(status) => (AsyncKind::TableStatus, status.reason),
            Event::FlowUpdates => return None,
            Event::Forward(_, change) => {
                (AsyncKind::RequestForward, u8::from(matches!(**change, Body::MeterMod(_))))
            }
        };
        let slave = usize::from(self.is_slave(bridge));
        if self.wants[kind as usize][slave] >> reason & 1 == 0 {
            return None;
        }
        let body = match event {
            Event::RoleStatus(connection, status) if *connection == self.seat.id => Body::RoleStatus(*status),
            Event::RoleStatus(..) => return None,
            _ if !self.is_told() => return None,
            Event::PacketIn(packet) if packet.unasked && !self.wants_misses() => return None,
            Event::PacketIn(packet) if packet.controller_id != self.controller_id => return None,
            Event::PacketIn(packet) => self.packet_in(packet, reason, bridge),
            Event::TableStatus(status) => Body::TableStatus(*status),
            // Controllers of one version know what they did; those of 1.5 are told all the same (EXT-338).
            Event::Port(news) if news.by == Some(self.seat.id) && version < Version::V1_5 => return None,
            Event::Port(news) if is_no_change(news, version) => return None,
            Event::Port(news) => Body::PortStatus(news.reason, news.port.clone()),
            Event::FlowRemoved(removed) => Body::FlowRemoved(FlowRemoved { reason, ..(**removed).clone() }),
            Event::FlowUpdates => return None,
            // Who asked for a change knows it.
            Event::Forward(connection, _) if *connection == self.seat.id => return None,
            Event::Forward(_, change) => {
                let inner = Message { form: Form::of(version), xid: 0, body: (**change).clone() }.encode();
                Body::RequestForward(inner)
            }
        };
        let bytes = Some(self.write(body)).filter(|bytes| !bytes.is_empty())?;
        let bytes = match (event, &mut self.paces) {
            (Event::PacketIn(packet), Some([misses, sent])) => {
                let pace = if packet.reason == reason::NO_MATCH { misses } else { sent };
                pace.offer(packet.in_port, bytes, bridge.clock.now_ms())
            }
            _ => Some(bytes),
        };
        bytes.inspect(|bytes| self.transcript.sent(bytes))
    }

    fn packet_in(&mut self, packet: &PacketIn, why: u8, bridge: &ManagedBridge) -> Body {
        let mut matching = Match::default();
        matching.set(Field::InPort, u128::from(packet.in_port));
        if packet.metadata != 0 {
            matching.set(Field::Metadata, u128::from(packet.metadata));
        }
        for (field, value) in &packet.fields {
            matching.set(*field, *value);
        }
        // What no action asked for is cut to what the peer configured (section 7.3.2); as in Open vSwitch, misses only where
        // the rest is kept.
        let places = bridge.packet_buffers();
        let unasked = packet.reason == reason::INVALID_TTL || packet.unasked && places != 0;
        let wanted = if unasked { usize::from(self.miss_send_len) } else { usize::MAX };
        let mut data = &packet.data[..packet.data.len().min(wanted)];
        let mut buffer_id = NO_BUFFER;
        if places != 0 && data.len() < packet.total_len.into() {
            let bytes = packet.whole.clone().unwrap_or_else(|| packet.data[..].into());
            let frame = Frame { in_port: packet.in_port, bytes };
            match self.buffers.keep(frame, places, bridge.clock.now_ms()) {
                Some(number) => buffer_id = number,
                // What cannot be kept is sent whole (section 7.4.1).
                None => data = packet.whole.as_deref().unwrap_or(&packet.data),
            }
        }
        let told = message::PacketIn {
            reason: why,
            table_id: packet.table,
            cookie: packet.cookie,
            total_len: packet.total_len.into(),
            matching,
            data: data.to_vec(),
            buffer_id,
            userdata: packet.userdata.clone(),
            continuation: packet.continuation.map(|id| id.to_be_bytes().to_vec()).unwrap_or_default(),
        };
        if self.packet_in_format == 2 { Body::PacketIn2(told) } else { Body::PacketIn(told) }
    }
}
