//! Queues of ports: descriptions and counters (OpenFlow 1.0.1 sections 5.2.2 and 5.3.4, OpenFlow 1.4.1 sections 7.3.5.8 and
//! 7.3.5.15).

use std::time::Duration;

use crate::bytes::{Put, Reader};
use crate::error::OfError;
use crate::port;
use crate::version::Version;

/// Every queue of a port.
pub const ALL: u32 = u32::MAX;
/// Types of a queue's properties.
const MIN_RATE: u16 = 1;
const MAX_RATE: u16 = 2;

/// A queue, as described to controllers. Rates are in tenths of a percent; more than 1000 says that there is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueDesc {
    /// Its port.
    pub port: u32,
    /// Its number.
    pub queue: u32,
    /// Rate that it is guaranteed.
    pub min_rate: Option<u16>,
    /// Rate that it may not pass.
    pub max_rate: Option<u16>,
}

/// Counters of a queue; those of all ones are not kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueStats {
    /// Its port.
    pub port: u32,
    /// Its number.
    pub queue: u32,
    /// Bytes sent.
    pub bytes: u64,
    /// Packets sent.
    pub packets: u64,
    /// Packets dropped.
    pub errors: u64,
    /// Since it was made; OpenFlow 1.3 and later tell it.
    pub duration: Option<Duration>,
}

/// Reads the queues of a port, of all versions before OpenFlow 1.4: the port, and its queues.
pub(crate) fn decode_config(
    reader: &mut Reader<'_>,
    version: Version,
) -> Result<(u32, Vec<QueueDesc>), OfError> {
    let number = port::decode_number(reader, version)?;
    reader.skip(if version == Version::V1_0 { 6 } else { 4 })?;
    let mut queues = Vec::new();
    while reader.left() != 0 {
        let queue = reader.u32()?;
        // OpenFlow 1.2 names the port once more: who asks for the queues of all ports is told whose each is.
        let wide = version >= Version::V1_2;
        let port = if wide { reader.u32()? } else { number };
        let mut body = reader.sized(if wide { 8 } else { 4 }, OfError::RequestBadLength)?;
        body.skip(if wide { 6 } else { 2 })?;
        let mut desc = QueueDesc { port, queue, ..QueueDesc::default() };
        while body.left() != 0 {
            let kind = body.u16()?;
            let mut property = body.sized(2, OfError::RequestBadLength)?;
            property.skip(4)?;
            match kind {
                MIN_RATE => desc.min_rate = Some(property.u16()?),
                MAX_RATE => desc.max_rate = Some(property.u16()?),
                _ => {}
            }
        }
        queues.push(desc);
    }
    Ok((number, queues))
}

pub(crate) fn encode_config(out: &mut Vec<u8>, version: Version, number: u32, queues: &[QueueDesc]) {
    port::encode_number(out, version, number);
    out.zeros(if version == Version::V1_0 { 6 } else { 4 });
    for queue in queues {
        let start = out.len();
        let wide = version >= Version::V1_2;
        out.u32(queue.queue);
        if wide {
            out.u32(queue.port);
        }
        let at = out.len();
        out.zeros(if wide { 8 } else { 4 });
        for (kind, rate) in rates(queue) {
            out.u16(kind);
            out.u16(16);
            out.zeros(4);
            out.u16(rate);
            out.zeros(6);
        }
        out.length_at(at, start);
    }
}

fn rates(queue: &QueueDesc) -> impl Iterator<Item = (u16, u16)> {
    [(MIN_RATE, queue.min_rate), (MAX_RATE, queue.max_rate)]
        .into_iter()
        .filter_map(|(kind, rate)| Some((kind, rate?)))
}

pub(crate) fn decode_desc(reader: &mut Reader<'_>) -> Result<QueueDesc, OfError> {
    let (port, queue) = (reader.u32()?, reader.u32()?);
    let mut body = reader.sized(8, OfError::RequestBadLength)?;
    body.skip(6)?;
    let mut desc = QueueDesc { port, queue, ..QueueDesc::default() };
    while body.left() != 0 {
        match crate::property::next(&mut body)? {
            (MIN_RATE, mut rate) => desc.min_rate = Some(rate.u16()?),
            (MAX_RATE, mut rate) => desc.max_rate = Some(rate.u16()?),
            // What else a queue may be is said to be skipped.
            _ => {}
        }
    }
    Ok(desc)
}

pub(crate) fn encode_desc(out: &mut Vec<u8>, desc: &QueueDesc) {
    let start = out.len();
    out.u32(desc.port);
    out.u32(desc.queue);
    out.zeros(8);
    for (kind, rate) in rates(desc) {
        out.u16(kind);
        out.u16(8);
        out.u16(rate);
        out.zeros(2);
    }
    out.length_at(start + 8, start);
}

pub(crate) fn decode_stats(reader: &mut Reader<'_>, version: Version) -> Result<QueueStats, OfError> {
    let mut body = *reader;
    if version >= Version::V1_4 {
        body = reader.sized(0, OfError::RequestBadLength)?;
        body.skip(6)?;
    }
    let port = port::decode_number(&mut body, version)?;
    body.skip(if version == Version::V1_0 { 2 } else { 0 })?;
    let (queue, bytes, packets, errors) = (body.u32()?, body.u64()?, body.u64()?, body.u64()?);
    let duration = if version >= Version::V1_3 { body.perhaps_duration()? } else { None };
    if version < Version::V1_4 {
        *reader = body;
    }
    Ok(QueueStats { port, queue, bytes, packets, errors, duration })
}

pub(crate) fn encode_stats(out: &mut Vec<u8>, version: Version, stats: &QueueStats) {
    let start = out.len();
    out.zeros(if version >= Version::V1_4 { 8 } else { 0 });
    port::encode_number(out, version, stats.port);
    out.zeros(if version == Version::V1_0 { 2 } else { 0 });
    out.u32(stats.queue);
    out.u64(stats.bytes);
    out.u64(stats.packets);
    out.u64(stats.errors);
    if version >= Version::V1_3 {
        out.perhaps_duration(stats.duration);
    }
    if version >= Version::V1_4 {
        out.length_at(start, start);
    }
}

/// Reads which queues are asked for: port and queue. All ports are [`port::ANY`], whatever the version calls them.
pub(crate) fn decode_request(reader: &mut Reader<'_>, version: Version) -> Result<(u32, u32), OfError> {
    let number = port::decode_number(reader, version)?;
    reader.skip(if version == Version::V1_0 { 2 } else { 0 })?;
    let number = if version == Version::V1_0 && number == port::ALL { port::ANY } else { number };
    Ok((number, reader.u32()?))
}

pub(crate) fn encode_request(out: &mut Vec<u8>, version: Version, number: u32, queue: u32) {
    let all = version == Version::V1_0 && number == port::ANY;
    port::encode_number(out, version, if all { port::ALL } else { number });
    out.zeros(if version == Version::V1_0 { 2 } else { 0 });
    out.u32(queue);
}
