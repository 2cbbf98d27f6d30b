//! Statistics of OpenFlow 1.0.1 (section 5.3.5), and Nicira's of flows.

use crate::action_codec::apply;
use crate::bytes::{Put, Reader};
use crate::error::OfError;
use crate::multipart::{
    FlowFilter, FlowStats, PortStats, Reply, Request, TableStats, decode_aggregate, decode_desc,
    encode_aggregate, encode_desc, parts, repeat,
};
use crate::port::{self, from_16};

use super::{actions, flows, matching, nicira, ports, short};

const MORE: u16 = 1;
/// Number of Nicira's statistics.
const EXPERIMENTER: u16 = 0xffff;
/// Bytes before the items of a reply.
const HEADER: usize = 4;
/// Fields that a table can leave out: all.
const WILDCARDS: u32 = 0x3f_ffff;
/// Most flows of a table, as replies state it.
const MAX_FLOWS: u32 = 1_000_000;

/// Reads a request; whether it is Nicira's.
pub(super) fn decode_request(reader: &mut Reader<'_>) -> Result<(Request, bool), OfError> {
    let kind = reader.u16()?;
    if reader.u16()? & MORE != 0 {
        return Err(OfError::RequestBadLength);
    }
    let request = match kind {
        0 => Request::Desc,
        1 => Request::Flow(decode_filter(reader)?),
        2 => Request::Aggregate(decode_filter(reader)?),
        3 => Request::Table,
        4 => {
            let number = from_16(reader.u16()?);
            reader.skip(6)?;
            Request::PortStats(number)
        }
        5 => {
            // All ports, which later versions ask for as any.
            let number = match from_16(reader.u16()?) {
                port::ALL => port::ANY,
                number => number,
            };
            reader.skip(2)?;
            Request::QueueStats(number, reader.u32()?)
        }
        13 => Request::PortDesc,
        EXPERIMENTER => return Ok((nicira::decode_request(reader)?, true)),
        _ => return Err(OfError::RequestBadMultipart),
    };
    Ok((request, false))
}

fn decode_filter(reader: &mut Reader<'_>) -> Result<FlowFilter, OfError> {
    let (matching, table_id) = (matching::decode(reader)?, reader.u8()?);
    reader.skip(1)?;
    let out_port = from_16(reader.u16()?);
    Ok(FlowFilter { table_id, out_port, out_group: u32::MAX, cookie: 0, cookie_mask: 0, matching })
}

/// Writes a request; `None` where the version has none.
pub(super) fn encode_request(out: &mut Vec<u8>, request: &Request, is_nicira: bool) -> Option<()> {
    if is_nicira && let Request::Flow(filter) | Request::Aggregate(filter) = request {
        out.u16(EXPERIMENTER);
        out.u16(0);
        nicira::encode_filter(out, filter, matches!(request, Request::Aggregate(_)));
        return Some(());
    }
    let kind = match request {
        Request::Desc => 0,
        Request::Flow(_) => 1,
        Request::Aggregate(_) => 2,
        Request::Table => 3,
        Request::PortStats(_) => 4,
        Request::QueueStats(..) => 5,
        Request::PortDesc => 13,
        _ => return None,
    };
    out.u16(kind);
    out.u16(0);
    match request {
        Request::Flow(filter) | Request::Aggregate(filter) => {
            matching::encode(out, &filter.matching);
            out.u8(filter.table_id);
            out.zeros(1);
            out.u16(short(filter.out_port));
        }
        Request::PortStats(number) => {
            out.u16(short(*number));
            out.zeros(6);
        }
        Request::QueueStats(number, queue) => {
            out.u16(short(if *number == port::ANY { port::ALL } else { *number }));
            out.zeros(2);
            out.u32(*queue);
        }
        _ => {}
    }
    Some(())
}

/// The bodies of the messages that carry a reply; none where the version has no such reply.
pub(super) fn encode_reply(reply: &Reply, is_nicira: bool) -> Vec<Vec<u8>> {
    let (kind, items): (u16, Vec<Vec<u8>>) = match reply {
        Reply::Flow(_) | Reply::Aggregate(..) if is_nicira => return nicira::encode_reply(reply),
        Reply::Desc(words) => (0, vec![encode_desc(words)]),
        Reply::Flow(flows) => (1, flows.iter().map(encode_flow).collect()),
        Reply::Aggregate(packets, bytes, flows) => (2, vec![encode_aggregate(*packets, *bytes, *flows)]),
        Reply::Table(tables) => (3, tables.iter().map(encode_table).collect()),
        Reply::PortStats(ports) => (4, ports.iter().map(encode_port_stats).collect()),
        Reply::PortDesc(ports) => (
            13,
            ports
                .iter()
                .map(|port| {
                    let mut out = Vec::new();
                    ports::encode_port(&mut out, port);
                    out
                })
                .collect(),
        ),
        Reply::Nothing(kind) => (*kind, Vec::new()),
        Reply::TableFeatures(_)
        | Reply::GroupStats(_)
        | Reply::GroupDesc(_)
        | Reply::GroupFeatures(_)
        | Reply::MeterFeatures(..) => return Vec::new(),
    };
    let header = |more: bool| {
        let mut out = Vec::with_capacity(HEADER);
        out.u16(kind);
        out.u16(if more { MORE } else { 0 });
        out
    };
    parts(items, header)
}

fn encode_flow(flow: &FlowStats) -> Vec<u8> {
    let mut out = Vec::new();
    out.u16(0);
    out.u8(flow.table_id);
    out.u8(0);
    matching::encode(&mut out, &flow.matching);
    out.duration(flow.duration_ms);
    out.u16(flow.priority);
    out.u16(flow.idle_timeout);
    out.u16(flow.hard_timeout);
    out.zeros(6);
    out.u64(flow.cookie);
    out.u64(flow.packets);
    out.u64(flow.bytes);
    flows::encode_instructions(&mut out, &flow.instructions, &flow.matching);
    out.length_at(0, 0);
    out
}

fn decode_flow(reader: &mut Reader<'_>) -> Result<FlowStats, OfError> {
    let length = usize::from(reader.u16()?).checked_sub(2).ok_or(OfError::RequestBadLength)?;
    let mut body = reader.part(length, OfError::RequestBadLength)?;
    let table_id = body.u8()?;
    body.skip(1)?;
    let matching = matching::decode(&mut body)?;
    let duration_ms = body.duration()?;
    let (priority, idle_timeout, hard_timeout) = (body.u16()?, body.u16()?, body.u16()?);
    body.skip(6)?;
    let (cookie, packets, bytes) = (body.u64()?, body.u64()?, body.u64()?);
    let instructions = apply(actions::decode_actions(&mut body, Some(&matching))?);
    Ok(FlowStats {
        table_id,
        duration_ms,
        priority,
        idle_timeout,
        hard_timeout,
        flags: 0,
        cookie,
        packets,
        bytes,
        matching,
        instructions,
    })
}

fn encode_table(table: &TableStats) -> Vec<u8> {
    let mut out = Vec::new();
    out.u8(table.table_id);
    out.zeros(3);
    out.name("", 32);
    out.u32(WILDCARDS);
    out.u32(MAX_FLOWS);
    out.u32(table.active);
    out.u64(table.lookups);
    out.u64(table.matched);
    out
}

fn decode_table(reader: &mut Reader<'_>) -> Result<TableStats, OfError> {
    let table_id = reader.u8()?;
    reader.skip(3 + 32 + 8)?;
    Ok(TableStats { table_id, active: reader.u32()?, lookups: reader.u64()?, matched: reader.u64()? })
}

fn encode_port_stats(port: &PortStats) -> Vec<u8> {
    let mut out = Vec::new();
    out.u16(short(port.number));
    out.zeros(6);
    port.counters.iter().for_each(|&counter| out.u64(counter));
    out.zeros(32);
    out
}

fn decode_port_stats(reader: &mut Reader<'_>) -> Result<PortStats, OfError> {
    let number = from_16(reader.u16()?);
    reader.skip(6)?;
    let mut counters = [0; 8];
    for counter in &mut counters {
        *counter = reader.u64()?;
    }
    reader.skip(32)?;
    Ok(PortStats { number, counters, duration_ms: 0 })
}

/// Reads a reply, one part of it where it came in several; whether it is Nicira's.
pub(super) fn decode_reply(reader: &mut Reader<'_>) -> Result<(Reply, bool), OfError> {
    let kind = reader.u16()?;
    reader.skip(2)?;
    let reply = match kind {
        0 => Reply::Desc(decode_desc(reader)?),
        1 => Reply::Flow(repeat(reader, decode_flow)?),
        2 => decode_aggregate(reader)?,
        3 => Reply::Table(repeat(reader, decode_table)?),
        4 => Reply::PortStats(repeat(reader, decode_port_stats)?),
        5 if reader.left() == 0 => Reply::Nothing(kind),
        13 => Reply::PortDesc(repeat(reader, ports::decode_port)?),
        EXPERIMENTER => return Ok((nicira::decode_reply(reader)?, true)),
        _ => return Err(OfError::RequestBadMultipart),
    };
    Ok((reply, false))
}
