//! Statistics of flows as fields of their own class (OpenFlow 1.5.1 section 7.2.4): only what is known is told.

use std::time::Duration;

use crate::bytes::{Put, Reader};
use crate::error::OfError;

/// Class of the fields (`OFPXSC_OPENFLOW_BASIC`).
const CLASS: u16 = 0x8002;

/// What is told of a flow, or of several.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Since it was made.
    pub duration: Option<Duration>,
    /// Since its last packet.
    pub idle: Option<Duration>,
    /// Flows that are counted.
    pub flows: Option<u32>,
    /// Packets.
    pub packets: Option<u64>,
    /// Bytes.
    pub bytes: Option<u64>,
}

/// Reads `ofp_stats` with its padding.
///
/// # Errors
/// `OFPBMC_BAD_LEN`, `OFPBMC_BAD_FIELD` for a class that is not known, `OFPBMC_DUP_FIELD`.
pub fn decode(reader: &mut Reader<'_>) -> Result<Statistics, OfError> {
    let bad = |_| OfError::MatchBadLength;
    reader.skip(2).map_err(bad)?;
    let mut header = *reader;
    let length = usize::from(header.u16().map_err(bad)?);
    let mut fields = reader.sized(2, OfError::MatchBadLength).map_err(bad)?;
    reader.skip((8 - length % 8) % 8).map_err(bad)?;
    let (mut statistics, mut seen) = (Statistics::default(), 0u64);
    while fields.left() != 0 {
        let (class, number, size) = (fields.u16()?, fields.u8()? >> 1, usize::from(fields.u8()?));
        let mut body = fields.part(size, OfError::MatchBadLength)?;
        if class != CLASS || number > 5 || number == 2 {
            return Err(OfError::MatchBadField);
        }
        if seen >> number & 1 != 0 {
            return Err(OfError::MatchDuplicateField);
        }
        seen |= 1 << number;
        match number {
            0 => statistics.duration = Some(body.duration()?),
            1 => statistics.idle = Some(body.duration()?),
            3 => statistics.flows = Some(body.u32()?),
            4 => statistics.packets = Some(body.u64()?),
            _ => statistics.bytes = Some(body.u64()?),
        }
        if body.left() != 0 {
            return Err(OfError::MatchBadLength);
        }
    }
    Ok(statistics)
}

/// Writes `ofp_stats` with its padding.
pub fn encode(out: &mut Vec<u8>, statistics: &Statistics) {
    let start = out.len();
    out.u32(0);
    let header = |out: &mut Vec<u8>, number: u8, size: u8| {
        out.u16(CLASS);
        out.u8(number << 1);
        out.u8(size);
    };
    for (number, duration) in [(0, statistics.duration), (1, statistics.idle)] {
        if let Some(duration) = duration {
            header(out, number, 8);
            out.duration(duration);
        }
    }
    if let Some(flows) = statistics.flows {
        header(out, 3, 4);
        out.u32(flows);
    }
    for (number, count) in [(4, statistics.packets), (5, statistics.bytes)] {
        if let Some(count) = count {
            header(out, number, 8);
            out.u64(count);
        }
    }
    out.length_at(start + 2, start);
    out.pad8(start);
}
