//! Ports: reserved numbers, their names in text, and descriptions (OpenFlow 1.3.5 section 7.2.1).

use crate::bytes::{Put, Reader};
use crate::error::OfError;

/// Highest number of an ordinary port.
pub const MAX: u32 = 0xffff_ff00;
/// `OFPP_UNSET`: the action set has no output (OpenFlow 1.5).
pub const UNSET: u32 = 0xffff_fff7;
/// The port that the packet came in by.
pub const IN_PORT: u32 = 0xffff_fff8;
/// Through the tables, in a packet-out.
pub const TABLE: u32 = 0xffff_fff9;
/// As an ordinary learning switch would.
pub const NORMAL: u32 = 0xffff_fffa;
/// All ports but the input port and those that do not flood.
pub const FLOOD: u32 = 0xffff_fffb;
/// All ports but the input port.
pub const ALL: u32 = 0xffff_fffc;
/// The controller.
pub const CONTROLLER: u32 = 0xffff_fffd;
/// The bridge's own port.
pub const LOCAL: u32 = 0xffff_fffe;
/// No port, or any.
pub const ANY: u32 = 0xffff_ffff;

/// Names in text, as `(number, name)`.
pub const NAMES: &[(u32, &str)] = &[
    (UNSET, "UNSET"),
    (IN_PORT, "IN_PORT"),
    (TABLE, "TABLE"),
    (NORMAL, "NORMAL"),
    (FLOOD, "FLOOD"),
    (ALL, "ALL"),
    (CONTROLLER, "CONTROLLER"),
    (LOCAL, "LOCAL"),
    (ANY, "ANY"),
];

/// The name of a reserved port.
pub fn name(port: u32) -> Option<&'static str> {
    NAMES.iter().find(|row| row.0 == port).map(|row| row.1)
}

/// The reserved port of this name, in either case; `NONE` is `ANY`.
pub fn by_name(name: &str) -> Option<u32> {
    if name.eq_ignore_ascii_case("none") {
        return Some(ANY);
    }
    NAMES.iter().find(|row| row.1.eq_ignore_ascii_case(name)).map(|row| row.0)
}

/// A port number of OpenFlow 1.0, 16 bits with its reserved numbers at their end, in 32 bits.
pub const fn from_16(port: u16) -> u32 {
    if port >= 0xff00 { port as u32 | 0xffff_0000 } else { port as u32 }
}

/// A port number as OpenFlow 1.0 writes it, where it has 16 bits for it.
pub const fn to_16(port: u32) -> Option<u16> {
    if port < 0xff00 || port >= MAX { Some(port as u16) } else { None }
}

/// Configuration bits of a port, which the controller sets (`ofp_port_config`).
pub mod config {
    /// Administratively down: nothing comes in and nothing goes out.
    pub const DOWN: u32 = 1;
    /// Drop what comes in.
    pub const NO_RECV: u32 = 1 << 2;
    /// Drop what would go out.
    pub const NO_FWD: u32 = 1 << 5;
    /// Send no packet-in for what came in here.
    pub const NO_PACKET_IN: u32 = 1 << 6;
    /// Leave it out where packets are flooded (OpenFlow 1.0).
    pub const NO_FLOOD: u32 = 1 << 4;
    /// Every bit that OpenFlow 1.3 has.
    pub const ALL: u32 = DOWN | NO_RECV | NO_FWD | NO_PACKET_IN;
}

/// State bits of a port, which the switch sets (`ofp_port_state`).
pub mod state {
    /// No carrier.
    pub const LINK_DOWN: u32 = 1;
    /// Blocked by a protocol outside of OpenFlow.
    pub const BLOCKED: u32 = 2;
    /// Live: may be watched by fast failover groups.
    pub const LIVE: u32 = 4;
}

/// A port, as described to controllers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PortDesc {
    /// Number.
    pub number: u32,
    /// Ethernet address.
    pub mac: [u8; 6],
    /// Name.
    pub name: String,
    /// Configuration bits ([`config`]).
    pub config: u32,
    /// State bits ([`state`]).
    pub state: u32,
    /// Current features: 0x40 is 10 Gbit/s, 0x800 copper.
    pub current: u32,
    /// Speed in kbit/s.
    pub speed_kbps: u32,
}

pub(crate) fn encode_port(out: &mut Vec<u8>, port: &PortDesc) {
    out.u32(port.number);
    out.zeros(4);
    out.extend_from_slice(&port.mac);
    out.zeros(2);
    out.name(&port.name, 16);
    out.u32(port.config & config::ALL);
    out.u32(port.state);
    out.u32(port.current);
    out.zeros(12);
    out.u32(port.speed_kbps);
    out.u32(port.speed_kbps);
}

pub(crate) fn decode_port(reader: &mut Reader<'_>) -> Result<PortDesc, OfError> {
    let number = reader.u32()?;
    reader.skip(4)?;
    let mac = reader.mac()?;
    reader.skip(2)?;
    let name = reader.name(16)?;
    let (config, state, current) = (reader.u32()? & config::ALL, reader.u32()?, reader.u32()?);
    reader.skip(12)?;
    let speed_kbps = reader.u32()?;
    reader.skip(4)?;
    Ok(PortDesc { number, mac, name, config, state, current, speed_kbps })
}
