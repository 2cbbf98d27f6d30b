//! A switch that learns where addresses are, by flows of exact source and destination.
//!
//! A miss sends the frame here. Its source is learned; where its destination is known, a flow for exactly this input
//! port, VLAN, source and destination is added and the frame sent on, else the frame is flooded. The flow names the
//! source, so that every new source is seen here once. When an address moves, flows towards it are deleted, as a flow
//! in use would never time out. Addresses are kept for each VLAN apart. Where switches run a spanning tree, a port that
//! blocks, or no longer does, says that ways have changed anywhere: all that was learned is forgotten.

use std::collections::HashMap;

use heddle_flow::{Field, Match};
use heddle_openflow::message::{Command, PacketOut};
use heddle_openflow::{Action, Body, FlowMod, PortDesc, port};
use heddle_wire::MacAddr;
use serde_json::{Value, json};

use super::mac_table::MacTable;
use crate::app::{App, Outgoing, Switch, Tables};

/// Priority of the learned flows; the table-miss flow has 0.
const PRIORITY: u16 = 10;
/// `OFPVID_PRESENT`.
const VID_PRESENT: u16 = 0x1000;
/// `OFPPS_LINK_DOWN`.
const LINK_DOWN: u32 = 1;
/// `OFPPS_BLOCKED`, and where a spanning tree says in OpenFlow 1.0 that a port learns or blocks.
const BLOCKED: u32 = port::state::BLOCKED | port::state::STP_LEARN;
/// `OFPPR_ADD`.
const PORT_ADDED: u8 = 0;
/// `OFPPR_DELETE`.
const PORT_DELETED: u8 = 1;

/// VLAN, as OXM's `vlan_vid` has it, and Ethernet address.
type Station = (u16, [u8; 6]);

/// The app.
pub struct LearningSwitch {
    tables: HashMap<u64, MacTable<Station>>,
    /// Whether a spanning tree blocks a port, by switch and number, where it is known.
    blocked: HashMap<(u64, u32), bool>,
    place: Tables,
    idle_timeout: u16,
    max_addresses: usize,
    age_ms: u64,
}

impl Default for LearningSwitch {
    fn default() -> Self {
        Self::new(60, 16_384)
    }
}

impl LearningSwitch {
    /// Gives flows this idle timeout, in seconds, and keeps at most so many addresses for each switch.
    pub fn new(idle_timeout: u16, max_addresses: usize) -> Self {
        Self {
            tables: HashMap::new(),
            blocked: HashMap::new(),
            place: Tables::default(),
            idle_timeout,
            max_addresses,
            age_ms: 300_000,
        }
    }

    /// Works in this table.
    #[must_use]
    pub fn in_tables(mut self, place: Tables) -> Self {
        self.place = place;
        self
    }

    fn packet_in(
        &mut self,
        dpid: u64,
        in_port: u32,
        total_len: u32,
        data: &[u8],
        now_ms: u64,
    ) -> Vec<Outgoing> {
        let Some(frame) = Frame::parse(data).filter(|frame| !frame.is_link_local()) else {
            return Vec::new();
        };
        let (max, age) = (self.max_addresses, self.age_ms);
        let forget = self.forget(frame.vid, frame.src);
        let table = self.tables.entry(dpid).or_insert_with(|| MacTable::new(max, age, now_ms));
        let mut out = Vec::new();
        if !is_group(frame.src) && table.learn((frame.vid, frame.src), in_port, now_ms).is_some() {
            out.push(Outgoing::to(dpid, forget));
        }
        let to = if is_group(frame.dst) { None } else { table.port((frame.vid, frame.dst), now_ms) };
        if to == Some(in_port) {
            return out; // The destination has heard it on its own link.
        }
        if let Some(to) = to {
            out.push(Outgoing::to(dpid, self.flow(in_port, &frame, to)));
        }
        // A frame that was cut short cannot be sent on.
        if total_len as usize <= data.len() {
            let actions = vec![output(to.unwrap_or(port::FLOOD))];
            let packet = PacketOut { in_port, actions, data: data.to_vec(), ..PacketOut::default() };
            out.push(Outgoing::to(dpid, Body::PacketOut(packet)));
        }
        out
    }

    fn flow(&self, in_port: u32, frame: &Frame, to: u32) -> Body {
        let mut matching = station(Field::EthDst, frame.vid, frame.dst);
        matching.set(Field::InPort, u128::from(in_port));
        matching.set(Field::EthSrc, number(frame.src));
        let flow = self.place.flow(PRIORITY, matching, vec![output(to)], false);
        Body::FlowMod(FlowMod { idle_timeout: self.idle_timeout, ..flow })
    }

    fn deletion(&self, matching: Match) -> FlowMod {
        let command = Command::Delete;
        FlowMod { command, table_id: self.place.own, matching, ..FlowMod::default() }
    }

    /// The flow that sends here what no other takes.
    fn miss(&self) -> Body {
        Body::FlowMod(self.place.flow(0, Match::default(), vec![output(port::CONTROLLER)], false))
    }

    /// Takes note of whether a spanning tree blocks a port. Where that is news, ways have changed, and what was learned in
    /// any switch may be wrong.
    fn port_changed(&mut self, dpid: u64, reason: u8, desc: &PortDesc, now_ms: u64) -> Vec<Outgoing> {
        let is_blocked = desc.state & BLOCKED != 0;
        let was = self.blocked.insert((dpid, desc.number), is_blocked);
        if was == Some(is_blocked) || reason == PORT_ADDED {
            return Vec::new();
        }
        let (max, age) = (self.max_addresses, self.age_ms);
        let mut out = Vec::new();
        let mut dpids: Vec<u64> = self.tables.keys().copied().collect();
        dpids.sort_unstable();
        for dpid in dpids {
            let Some(table) = self.tables.get_mut(&dpid).filter(|table| !table.is_empty()) else { continue };
            *table = MacTable::new(max, age, now_ms);
            out.push(Outgoing::to(dpid, Body::FlowMod(self.deletion(Match::default()))));
            out.push(Outgoing::to(dpid, self.miss()));
        }
        out
    }

    /// Deletes the flows towards an address that has moved.
    fn forget(&self, vid: u16, address: [u8; 6]) -> Body {
        Body::FlowMod(self.deletion(station(Field::EthDst, vid, address)))
    }
}

impl App for LearningSwitch {
    fn connected(&mut self, switch: &Switch, now_ms: u64) -> Vec<Outgoing> {
        let table = MacTable::new(self.max_addresses, self.age_ms, now_ms);
        self.tables.insert(switch.datapath_id, table);
        vec![Outgoing::to(switch.datapath_id, self.miss())]
    }

    fn received(&mut self, switch: &Switch, body: &Body, now_ms: u64) -> Vec<Outgoing> {
        let dpid = switch.datapath_id;
        match body {
            Body::PacketIn(packet) if packet.table_id == self.place.own => {
                let in_port = packet.matching.key().in_port();
                self.packet_in(dpid, in_port, packet.total_len, &packet.data, now_ms)
            }
            Body::PortStatus(reason, desc) if *reason == PORT_DELETED || desc.state & LINK_DOWN != 0 => {
                if let Some(table) = self.tables.get_mut(&dpid) {
                    table.forget_port(desc.number);
                }
                self.blocked.remove(&(dpid, desc.number));
                let delete = FlowMod { out_port: desc.number, ..self.deletion(Match::default()) };
                vec![Outgoing::to(dpid, Body::FlowMod(delete))]
            }
            Body::PortStatus(reason, desc) => self.port_changed(dpid, *reason, desc, now_ms),
            _ => Vec::new(),
        }
    }

    fn state(&self, now_ms: u64) -> Option<(&'static str, Value)> {
        let stations = |table: &MacTable<Station>| -> Vec<Value> {
            let known = table.iter(now_ms).map(|((vid, address), port)| {
                let vlan = (vid & VID_PRESENT != 0).then_some(vid & !VID_PRESENT);
                json!({ "vlan": vlan, "mac": MacAddr(address).to_string(), "port": port })
            });
            known.collect()
        };
        let switches = self.tables.iter().map(|(dpid, table)| (dpid.to_string(), json!(stations(table))));
        Some(("learning", Value::Object(switches.collect())))
    }

    fn disconnected(&mut self, switch: &Switch) {
        self.tables.remove(&switch.datapath_id);
        self.blocked.retain(|(dpid, _), _| *dpid != switch.datapath_id);
    }
}

/// What of a frame is looked at.
struct Frame {
    dst: [u8; 6],
    src: [u8; 6],
    vid: u16,
}

impl Frame {
    fn parse(data: &[u8]) -> Option<Self> {
        let (&dst, rest) = data.split_first_chunk()?;
        let (&src, rest) = rest.split_first_chunk()?;
        let (&kind, rest) = rest.split_first_chunk()?;
        let tagged = matches!(u16::from_be_bytes(kind), 0x8100 | 0x88a8);
        let vid = match rest.first_chunk() {
            Some(&tci) if tagged => u16::from_be_bytes(tci) & 0xfff | VID_PRESENT,
            _ => 0,
        };
        Some(Self { dst, src, vid })
    }

    /// Whether bridges must not forward it (IEEE 802.1Q section 8.6.3): LLDP, spanning tree, LACP.
    fn is_link_local(&self) -> bool {
        self.dst[..5] == [0x01, 0x80, 0xc2, 0, 0] && self.dst[5] < 0x10
    }
}

fn is_group(address: [u8; 6]) -> bool {
    address[0] & 1 != 0
}

fn number(address: [u8; 6]) -> u128 {
    address.iter().fold(0, |number, &byte| number << 8 | u128::from(byte))
}

fn output(port: u32) -> Action {
    Action::Output { port, max_len: if port == port::CONTROLLER { u16::MAX } else { 0 } }
}

/// What goes to, or comes from, an address in a VLAN, or outside any.
fn station(field: Field, vid: u16, address: [u8; 6]) -> Match {
    let mut matching = Match::default();
    matching.set(Field::VlanVid, u128::from(vid));
    matching.set(field, number(address));
    matching
}
