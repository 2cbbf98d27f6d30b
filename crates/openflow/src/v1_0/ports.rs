//! Ports of OpenFlow 1.0.1 (section 5.2.1), with 16 bits for their numbers and other bits for their features.

use crate::bytes::{Put, Reader};
use crate::error::OfError;
use crate::message::Body;
use crate::modify::PortMod;
use crate::port::{PortDesc, from_16};

use super::short;

/// Features up to 10 Gbit/s have the same bits in all versions; what follows lies four bits lower here.
const SPEEDS: u32 = 0x7f;
const REST_AT: u32 = 11;
const SHIFT: u32 = 4;

/// Speeds by feature bit, in kbit/s, the lowest first.
const RATES: [u32; 7] = [10_000, 10_000, 100_000, 100_000, 1_000_000, 1_000_000, 10_000_000];

pub(super) fn encode_port(out: &mut Vec<u8>, port: &PortDesc) {
    out.u16(short(port.number));
    out.extend_from_slice(&port.mac);
    out.name(&port.name, 16);
    out.u32(port.config);
    // That a port is live is later versions' to say.
    out.u32(port.state & 3);
    out.u32(port.current & SPEEDS | port.current >> REST_AT << (REST_AT - SHIFT));
    out.zeros(12);
}

pub(super) fn decode_port(reader: &mut Reader<'_>) -> Result<PortDesc, OfError> {
    let (number, mac) = (from_16(reader.u16()?), reader.mac()?);
    let name = reader.name(16)?;
    let (config, state, features) = (reader.u32()?, reader.u32()?, reader.u32()?);
    reader.skip(12)?;
    let current = features & SPEEDS | features >> (REST_AT - SHIFT) << REST_AT;
    let fastest = (0..RATES.len()).rev().find(|bit| features >> bit & 1 != 0);
    let speed_kbps = fastest.map_or(0, |bit| RATES[bit]);
    Ok(PortDesc { number, mac, name, config, state: state & 3, current, speed_kbps })
}

pub(super) fn decode_features(reader: &mut Reader<'_>) -> Result<Body, OfError> {
    let (datapath_id, buffers, tables) = (reader.u64()?, reader.u32()?, reader.u8()?);
    reader.skip(3)?;
    let capabilities = reader.u32()?;
    reader.skip(4)?;
    let mut ports = Vec::new();
    while reader.left() != 0 {
        ports.push(decode_port(reader)?);
    }
    Ok(Body::FeaturesReply { datapath_id, buffers, tables, capabilities, ports })
}

pub(super) fn decode_port_mod(reader: &mut Reader<'_>) -> Result<PortMod, OfError> {
    let (number, mac) = (from_16(reader.u16()?), reader.mac()?);
    let (config, mask, features) = (reader.u32()?, reader.u32()?, reader.u32()?);
    reader.skip(4)?;
    let advertise = features & SPEEDS | features >> (REST_AT - SHIFT) << REST_AT;
    Ok(PortMod { number, mac, config, mask, advertise })
}

pub(super) fn encode_port_mod(out: &mut Vec<u8>, port: &PortMod) {
    out.u16(short(port.number));
    out.extend_from_slice(&port.mac);
    out.u32(port.config);
    out.u32(port.mask);
    out.u32(port.advertise & SPEEDS | port.advertise >> REST_AT << (REST_AT - SHIFT));
    out.zeros(4);
}
