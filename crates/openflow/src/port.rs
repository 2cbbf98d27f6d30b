//! Ports: reserved numbers, their names in text, and descriptions (OpenFlow 1.0.1 section 5.2.1 to
//! OpenFlow 1.5.1 section 7.2.1).

use std::time::Duration;

use crate::bytes::{Put, Reader};
use crate::error::OfError;
use crate::property;
use crate::version::Version;

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

/// Reads a port number: of 16 bits in OpenFlow 1.0, of 32 later.
///
/// # Errors
/// If the bytes run out.
pub(crate) fn decode_number(reader: &mut Reader<'_>, version: Version) -> Result<u32, OfError> {
    if version == Version::V1_0 { reader.u16().map(from_16) } else { reader.u32() }
}

/// Writes a port number; one that OpenFlow 1.0 has no number for stands for no port there.
pub(crate) fn encode_number(out: &mut Vec<u8>, version: Version, port: u32) {
    match version {
        Version::V1_0 => out.u16(to_16(port).unwrap_or(u16::MAX)),
        _ => out.u32(port),
    }
}

/// Configuration bits of a port, which the controller sets (`ofp_port_config`).
pub mod config {
    /// Administratively down: nothing comes in and nothing goes out.
    pub const DOWN: u32 = 1;
    /// Take no part in the spanning tree (OpenFlow 1.0).
    pub const NO_STP: u32 = 1 << 1;
    /// Drop what comes in, but for messages of the spanning tree.
    pub const NO_RECV: u32 = 1 << 2;
    /// Drop messages of the spanning tree (OpenFlow 1.0).
    pub const NO_RECV_STP: u32 = 1 << 3;
    /// Drop what would go out.
    pub const NO_FWD: u32 = 1 << 5;
    /// Send no packet-in for what came in here.
    pub const NO_PACKET_IN: u32 = 1 << 6;
    /// Leave it out where packets are flooded (OpenFlow 1.0).
    pub const NO_FLOOD: u32 = 1 << 4;
    /// Every bit that OpenFlow 1.3 has.
    pub const ALL: u32 = DOWN | NO_RECV | NO_FWD | NO_PACKET_IN;
    /// Every bit that OpenFlow 1.0 has.
    pub const ALL_10: u32 = ALL | NO_FLOOD | NO_STP | NO_RECV_STP;
}

/// State bits of a port, which the switch sets (`ofp_port_state`).
pub mod state {
    /// No carrier.
    pub const LINK_DOWN: u32 = 1;
    /// Blocked by a protocol outside of OpenFlow.
    pub const BLOCKED: u32 = 2;
    /// Live: may be watched by fast failover groups.
    pub const LIVE: u32 = 4;
    /// The port's state in the spanning tree (OpenFlow 1.0): it listens where the two bits are zero.
    pub const STP_LEARN: u32 = 1 << 8;
    /// It forwards.
    pub const STP_FORWARD: u32 = 2 << 8;
    /// It blocks.
    pub const STP_BLOCK: u32 = 3 << 8;
    /// Every bit that OpenFlow 1.1 and later have.
    pub const ALL: u32 = LINK_DOWN | BLOCKED | LIVE;
}

/// Features of a port as OpenFlow 1.1 and later number them. Those up to 10 Gbit/s have the same bits in all versions; what
/// follows lies four bits lower in OpenFlow 1.0, which has no faster speeds.
pub mod features {
    const SPEEDS: u32 = 0x7f;
    const REST_AT: u32 = 11;
    const SHIFT: u32 = 4;
    const ALL_10: u32 = 0xfff;
    /// Speeds by feature bit, in kbit/s, the lowest first.
    const RATES: [u32; 10] = [
        10_000,
        10_000,
        100_000,
        100_000,
        1_000_000,
        1_000_000,
        10_000_000,
        40_000_000,
        100_000_000,
        1_000_000_000,
    ];

    /// Features that OpenFlow 1.0 numbers so.
    #[must_use]
    pub fn from_10(features: u32) -> u32 {
        let features = features & ALL_10;
        features & SPEEDS | features >> (REST_AT - SHIFT) << REST_AT
    }

    /// Features as OpenFlow 1.0 numbers them.
    #[must_use]
    pub fn to_10(features: u32) -> u32 {
        (features & SPEEDS | features >> REST_AT << (REST_AT - SHIFT)) & ALL_10
    }

    pub(super) fn speed_kbps(features: u32) -> u32 {
        (0..RATES.len()).rev().find(|bit| features >> bit & 1 != 0).map_or(0, |bit| RATES[bit])
    }
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
    /// Features that it tells its peer.
    pub advertised: u32,
    /// Features that it can have.
    pub supported: u32,
    /// Features that its peer tells.
    pub peer: u32,
    /// Current speed in kbit/s.
    pub speed_kbps: u32,
    /// Highest speed in kbit/s.
    pub max_speed_kbps: u32,
}

/// Bits of a port's state that OpenFlow 1.0 has: no carrier, and the state of the spanning tree.
const STATE_10: u32 = 0x301;
/// Type of the property that holds an Ethernet port's features and counters.
const ETHERNET: u16 = 0;

pub(crate) fn encode_port(out: &mut Vec<u8>, version: Version, port: &PortDesc) {
    let start = out.len();
    if version == Version::V1_0 {
        out.u16(to_16(port.number).unwrap_or(u16::MAX));
        out.extend_from_slice(&port.mac);
        out.name(&port.name, 16);
        out.u32(port.config);
        out.u32(port.state & STATE_10);
        for word in [port.current, port.advertised, port.supported, port.peer] {
            out.u32(features::to_10(word));
        }
        return;
    }
    let words = |out: &mut Vec<u8>| {
        for word in [port.current, port.advertised, port.supported, port.peer] {
            out.u32(word);
        }
        out.u32(port.speed_kbps);
        out.u32(port.max_speed_kbps);
    };
    out.u32(port.number);
    out.zeros(4);
    out.extend_from_slice(&port.mac);
    out.zeros(2);
    out.name(&port.name, 16);
    out.u32(port.config & config::ALL);
    out.u32(port.state & state::ALL);
    if version >= Version::V1_4 {
        property::put(out, ETHERNET, |out| {
            out.zeros(4);
            words(out);
        });
        out.length_at(start + 4, start);
    } else {
        words(out);
    }
}

pub(crate) fn decode_port(reader: &mut Reader<'_>, version: Version) -> Result<PortDesc, OfError> {
    if version == Version::V1_0 {
        return decode_port_10(reader);
    }
    let number = reader.u32()?;
    let mut body = if version >= Version::V1_4 {
        reader.sized(4, OfError::RequestBadLength)?
    } else {
        reader.skip(2)?;
        reader.part(58, OfError::RequestBadLength)?
    };
    body.skip(2)?;
    let mac = body.mac()?;
    body.skip(2)?;
    let name = body.name(16)?;
    let (config, state) = (body.u32()? & config::ALL, body.u32()? & state::ALL);
    let mut port = PortDesc { number, mac, name, config, state, ..PortDesc::default() };
    let words = |port: &mut PortDesc, body: &mut Reader<'_>| -> Result<(), OfError> {
        (port.current, port.advertised, port.supported) = (body.u32()?, body.u32()?, body.u32()?);
        (port.peer, port.speed_kbps, port.max_speed_kbps) = (body.u32()?, body.u32()?, body.u32()?);
        Ok(())
    };
    if version < Version::V1_4 {
        words(&mut port, &mut body)?;
        return Ok(port);
    }
    while body.left() != 0 {
        // What kinds of ports there may be besides says nothing here.
        if let (ETHERNET, mut ethernet) = property::next(&mut body)? {
            ethernet.skip(4)?;
            words(&mut port, &mut ethernet)?;
            property::end(&ethernet)?;
        }
    }
    Ok(port)
}

fn decode_port_10(reader: &mut Reader<'_>) -> Result<PortDesc, OfError> {
    let (number, mac) = (from_16(reader.u16()?), reader.mac()?);
    let name = reader.name(16)?;
    let (config, state) = (reader.u32()?, reader.u32()? & STATE_10);
    let mut words = [0; 4];
    for word in &mut words {
        *word = features::from_10(reader.u32()?);
    }
    let [current, advertised, supported, peer] = words;
    let (speed_kbps, max_speed_kbps) = (features::speed_kbps(current), features::speed_kbps(supported));
    Ok(PortDesc {
        number,
        mac,
        name,
        config,
        state,
        current,
        advertised,
        supported,
        peer,
        speed_kbps,
        max_speed_kbps,
    })
}

/// A change of a port's configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortMod {
    /// The port.
    pub number: u32,
    /// Its Ethernet address: says that sender and switch mean the same port.
    pub mac: [u8; 6],
    /// The bits wanted ([`config`]).
    pub config: u32,
    /// Which of them to change.
    pub mask: u32,
    /// Features to advertise; zero leaves them as they are.
    pub advertise: u32,
}

pub(crate) fn decode_port_mod(reader: &mut Reader<'_>, version: Version) -> Result<PortMod, OfError> {
    if version == Version::V1_0 {
        let (number, mac) = (from_16(reader.u16()?), reader.mac()?);
        let (config, mask, advertise) = (reader.u32()?, reader.u32()?, features::from_10(reader.u32()?));
        reader.skip(4)?;
        return Ok(PortMod { number, mac, config, mask, advertise });
    }
    let number = reader.u32()?;
    reader.skip(4)?;
    let mac = reader.mac()?;
    reader.skip(2)?;
    let (config, mask) = (reader.u32()?, reader.u32()?);
    let mut advertise = 0;
    if version < Version::V1_4 {
        advertise = reader.u32()?;
        reader.skip(4)?;
    }
    while reader.left() != 0 {
        match property::next(reader)? {
            (ETHERNET, mut body) => {
                advertise = body.u32()?;
                property::end(&body)?;
            }
            (kind, _) => return Err(property::unknown(kind)),
        }
    }
    Ok(PortMod { number, mac, config, mask, advertise })
}

pub(crate) fn encode_port_mod(out: &mut Vec<u8>, version: Version, port: &PortMod) {
    if version == Version::V1_0 {
        out.u16(to_16(port.number).unwrap_or(u16::MAX));
        out.extend_from_slice(&port.mac);
        out.u32(port.config);
        out.u32(port.mask);
        out.u32(features::to_10(port.advertise));
        out.zeros(4);
        return;
    }
    out.u32(port.number);
    out.zeros(4);
    out.extend_from_slice(&port.mac);
    out.zeros(2);
    out.u32(port.config);
    out.u32(port.mask);
    if version < Version::V1_4 {
        out.u32(port.advertise);
        out.zeros(4);
    } else if port.advertise != 0 {
        property::put(out, ETHERNET, |out| out.u32(port.advertise));
    }
}

/// Counters of a port; those of all ones are not kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PortStats {
    /// The port.
    pub number: u32,
    /// In the wire's order: packets in and out, bytes in and out, drops in and out, errors in and out, then frame, overrun and
    /// CRC errors and collisions.
    pub counters: [u64; 12],
    /// Since it was added; OpenFlow 1.3 and later tell it.
    pub duration: Option<Duration>,
}

/// Counters that every port has.
const COMMON_COUNTERS: usize = 8;

pub(crate) fn decode_port_stats(reader: &mut Reader<'_>, version: Version) -> Result<PortStats, OfError> {
    let mut stats = PortStats { counters: [u64::MAX; 12], ..PortStats::default() };
    let fill = |counters: &mut [u64], reader: &mut Reader<'_>| -> Result<(), OfError> {
        counters.iter_mut().try_for_each(|counter| {
            *counter = reader.u64()?;
            Ok(())
        })
    };
    match version {
        Version::V1_0 => {
            stats.number = from_16(reader.u16()?);
            reader.skip(6)?;
            fill(&mut stats.counters, reader)?;
        }
        _ if version < Version::V1_4 => {
            stats.number = reader.u32()?;
            reader.skip(4)?;
            fill(&mut stats.counters, reader)?;
            if version == Version::V1_3 {
                stats.duration = reader.perhaps_duration()?;
            }
        }
        _ => {
            let mut body = reader.sized(0, OfError::RequestBadLength)?;
            body.skip(2)?;
            stats.number = body.u32()?;
            stats.duration = body.perhaps_duration()?;
            fill(&mut stats.counters[..COMMON_COUNTERS], &mut body)?;
            while body.left() != 0 {
                if let (ETHERNET, mut ethernet) = property::next(&mut body)? {
                    ethernet.skip(4)?;
                    fill(&mut stats.counters[COMMON_COUNTERS..], &mut ethernet)?;
                    property::end(&ethernet)?;
                }
            }
        }
    }
    Ok(stats)
}

pub(crate) fn encode_port_stats(out: &mut Vec<u8>, version: Version, stats: &PortStats) {
    let start = out.len();
    if version >= Version::V1_4 {
        out.zeros(4);
        out.u32(stats.number);
        out.perhaps_duration(stats.duration);
        stats.counters[..COMMON_COUNTERS].iter().for_each(|&counter| out.u64(counter));
        property::put(out, ETHERNET, |out| {
            out.zeros(4);
            stats.counters[COMMON_COUNTERS..].iter().for_each(|&counter| out.u64(counter));
        });
        out.length_at(start, start);
        return;
    }
    match version {
        Version::V1_0 => {
            out.u16(to_16(stats.number).unwrap_or(u16::MAX));
            out.zeros(6);
        }
        _ => {
            out.u32(stats.number);
            out.zeros(4);
        }
    }
    stats.counters.iter().for_each(|&counter| out.u64(counter));
    if version == Version::V1_3 {
        out.perhaps_duration(stats.duration);
    }
}
