//! Multipart requests and replies: descriptions and statistics (OpenFlow 1.3.5 section 7.3.5).

use heddle_flow::Match;

use crate::action::Instruction;
use crate::action_codec::{decode_instructions, encode_instructions};
use crate::bytes::{Put, Reader};
use crate::error::OfError;
use crate::group::{self, GroupDesc, GroupStats};
use crate::message::experimenter;
use crate::oxm::{decode_match, encode_match};
use crate::port::{PortDesc, decode_port, encode_port};
pub use crate::table_features::TableFeatures;
use crate::table_features::{decode_table_features, encode_table_features};

/// Bytes of a reply's body that fit one message.
const MAX_BODY: usize = 65_535 - 24;
const MORE: u16 = 1;

/// Which flows are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowFilter {
    /// The table; 255 for all.
    pub table_id: u8,
    /// Only flows that output here.
    pub out_port: u32,
    /// Only flows that use this group.
    pub out_group: u32,
    /// The mark asked for.
    pub cookie: u64,
    /// Which of its bits.
    pub cookie_mask: u64,
    /// Flows that this contains.
    pub matching: Match,
}

/// A question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Who made the switch.
    Desc,
    /// Flows.
    Flow(FlowFilter),
    /// Sums over flows.
    Aggregate(FlowFilter),
    /// Tables.
    Table,
    /// Counters of a port; [`crate::port::ANY`] for all.
    PortStats(u32),
    /// Counters of a queue: port and queue, either perhaps all.
    QueueStats(u32, u32),
    /// Counters of a group; [`crate::group::GroupMod::ALL`] for all.
    GroupStats(u32),
    /// Groups.
    GroupDesc,
    /// What groups can do.
    GroupFeatures,
    /// Counters of a meter; [`crate::modify::MeterMod::ALL`] for all.
    MeterStats(u32),
    /// Meters.
    MeterConfig(u32),
    /// What meters can do.
    MeterFeatures,
    /// Ports.
    PortDesc,
    /// What tables can do.
    TableFeatures,
    /// Make tables able to do this: features as they stand on the wire.
    SetTableFeatures(Vec<u8>),
}

/// A flow with its counters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowStats {
    /// Its table.
    pub table_id: u8,
    /// Milliseconds since it was made.
    pub duration_ms: u64,
    /// Priority.
    pub priority: u16,
    /// Seconds without a packet after which it goes.
    pub idle_timeout: u16,
    /// Seconds after which it goes.
    pub hard_timeout: u16,
    /// Flags it was made with.
    pub flags: u16,
    /// Its mark.
    pub cookie: u64,
    /// Packets it took.
    pub packets: u64,
    /// Bytes it took.
    pub bytes: u64,
    /// What it matches.
    pub matching: Match,
    /// What it does.
    pub instructions: Vec<Instruction>,
}

/// A table with its counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableStats {
    /// The table.
    pub table_id: u8,
    /// Its flows.
    pub active: u32,
    /// Packets looked up.
    pub lookups: u64,
    /// Packets that a flow took.
    pub matched: u64,
}

/// Counters of a port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PortStats {
    /// The port.
    pub number: u32,
    /// In the wire's order: packets in and out, bytes in and out, drops in and out, errors in and out.
    pub counters: [u64; 8],
    /// Milliseconds since it was added.
    pub duration_ms: u64,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Manufacturer, hardware, software, serial number, description.
    Desc([String; 5]),
    /// Flows.
    Flow(Vec<FlowStats>),
    /// Packets, bytes and flows.
    Aggregate(u64, u64, u32),
    /// Tables.
    Table(Vec<TableStats>),
    /// Counters of ports.
    PortStats(Vec<PortStats>),
    /// What tables can do.
    TableFeatures(Vec<TableFeatures>),
    /// Ports.
    PortDesc(Vec<PortDesc>),
    /// Counters of groups.
    GroupStats(Vec<GroupStats>),
    /// Groups.
    GroupDesc(Vec<GroupDesc>),
    /// Nothing, where queues or meters were asked for: the number of the request.
    Nothing(u16),
    /// What groups can do: types, capabilities, then for each of the four types the most groups, then the actions.
    GroupFeatures([u32; 10]),
    /// What meters can do: most meters, band types, capabilities; most bands and colours.
    MeterFeatures([u32; 3], [u8; 2]),
}

/// Numbers of the multipart messages that list queues, groups or meters.
pub mod kind {
    /// Counters of queues.
    pub const QUEUE_STATS: u16 = 5;
    /// Counters of groups.
    pub const GROUP_STATS: u16 = 6;
    /// Groups.
    pub const GROUP_DESC: u16 = 7;
    /// Counters of meters.
    pub const METER_STATS: u16 = 9;
    /// Meters.
    pub const METER_CONFIG: u16 = 10;
}

/// Reads a request.
///
/// # Errors
/// As the specification names them.
pub(crate) fn decode_request(reader: &mut Reader<'_>) -> Result<Request, OfError> {
    let kind = reader.u16()?;
    if reader.u16()? & MORE != 0 {
        return Err(OfError::RequestMultipartOverflow);
    }
    reader.skip(4)?;
    Ok(match kind {
        0 => Request::Desc,
        1 => Request::Flow(decode_filter(reader)?),
        2 => Request::Aggregate(decode_filter(reader)?),
        3 => Request::Table,
        4 => Request::PortStats(decode_number(reader)?),
        kind::QUEUE_STATS => Request::QueueStats(reader.u32()?, reader.u32()?),
        kind::GROUP_STATS => Request::GroupStats(decode_number(reader)?),
        kind::GROUP_DESC => Request::GroupDesc,
        8 => Request::GroupFeatures,
        kind::METER_STATS => Request::MeterStats(decode_number(reader)?),
        kind::METER_CONFIG => Request::MeterConfig(decode_number(reader)?),
        11 => Request::MeterFeatures,
        12 if reader.left() == 0 => Request::TableFeatures,
        12 => Request::SetTableFeatures(reader.rest().to_vec()),
        13 => Request::PortDesc,
        0xffff => return Err(experimenter(reader)?),
        _ => return Err(OfError::RequestBadMultipart),
    })
}

/// A number with four bytes of padding.
fn decode_number(reader: &mut Reader<'_>) -> Result<u32, OfError> {
    let number = reader.u32()?;
    reader.skip(4)?;
    Ok(number)
}

fn decode_filter(reader: &mut Reader<'_>) -> Result<FlowFilter, OfError> {
    let table_id = reader.u8()?;
    reader.skip(3)?;
    let (out_port, out_group) = (reader.u32()?, reader.u32()?);
    reader.skip(4)?;
    let (cookie, cookie_mask) = (reader.u64()?, reader.u64()?);
    let matching = decode_match(reader)?;
    Ok(FlowFilter { table_id, out_port, out_group, cookie, cookie_mask, matching })
}

pub(crate) fn encode_request(out: &mut Vec<u8>, request: &Request) {
    let kind = match request {
        Request::Desc => 0,
        Request::Flow(_) => 1,
        Request::Aggregate(_) => 2,
        Request::Table => 3,
        Request::PortStats(_) => 4,
        Request::QueueStats(..) => kind::QUEUE_STATS,
        Request::GroupStats(_) => kind::GROUP_STATS,
        Request::GroupDesc => kind::GROUP_DESC,
        Request::GroupFeatures => 8,
        Request::MeterStats(_) => kind::METER_STATS,
        Request::MeterConfig(_) => kind::METER_CONFIG,
        Request::MeterFeatures => 11,
        Request::TableFeatures | Request::SetTableFeatures(_) => 12,
        Request::PortDesc => 13,
    };
    out.u16(kind);
    out.zeros(6);
    match request {
        Request::Flow(filter) | Request::Aggregate(filter) => {
            out.u8(filter.table_id);
            out.zeros(3);
            out.u32(filter.out_port);
            out.u32(filter.out_group);
            out.zeros(4);
            out.u64(filter.cookie);
            out.u64(filter.cookie_mask);
            encode_match(out, &filter.matching);
        }
        Request::PortStats(number)
        | Request::GroupStats(number)
        | Request::MeterStats(number)
        | Request::MeterConfig(number) => {
            out.u32(*number);
            out.zeros(4);
        }
        Request::QueueStats(port, queue) => {
            out.u32(*port);
            out.u32(*queue);
        }
        Request::SetTableFeatures(body) => out.extend_from_slice(body),
        Request::Desc
        | Request::Table
        | Request::GroupDesc
        | Request::GroupFeatures
        | Request::MeterFeatures
        | Request::TableFeatures
        | Request::PortDesc => {}
    }
}

impl Reply {
    /// The bodies of the messages that carry it.
    pub(crate) fn encode(&self) -> Vec<Vec<u8>> {
        let (kind, items): (u16, Vec<Vec<u8>>) = match self {
            Reply::Desc(words) => (0, vec![encode_desc(words)]),
            Reply::Flow(flows) => (1, flows.iter().map(encode_flow).collect()),
            Reply::Aggregate(packets, bytes, flows) => (2, vec![encode_aggregate(*packets, *bytes, *flows)]),
            Reply::Table(tables) => (3, tables.iter().map(encode_table).collect()),
            Reply::PortStats(ports) => (4, ports.iter().map(encode_port_stats).collect()),
            Reply::TableFeatures(tables) => (12, tables.iter().map(encode_table_features).collect()),
            Reply::PortDesc(ports) => (13, ports.iter().map(encode_port_item).collect()),
            Reply::GroupStats(groups) => {
                (kind::GROUP_STATS, groups.iter().map(group::encode_stats).collect())
            }
            Reply::GroupDesc(groups) => (kind::GROUP_DESC, groups.iter().map(group::encode_desc).collect()),
            Reply::Nothing(kind) => (*kind, Vec::new()),
            Reply::GroupFeatures(words) => {
                (8, vec![words.iter().flat_map(|word| word.to_be_bytes()).collect()])
            }
            Reply::MeterFeatures(words, bytes) => {
                let mut out: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
                out.extend_from_slice(bytes);
                out.zeros(2);
                (11, vec![out])
            }
        };
        parts(items, |more| {
            let mut out = Vec::new();
            out.u16(kind);
            out.u16(if more { MORE } else { 0 });
            out.zeros(4);
            out
        })
    }
}

/// Items in as many bodies as they need, each after a header, which is told whether more follow.
pub(crate) fn parts(items: Vec<Vec<u8>>, header: impl Fn(bool) -> Vec<u8>) -> Vec<Vec<u8>> {
    let mut bodies = vec![Vec::new()];
    for item in items {
        if bodies.last().is_some_and(|body| body.len() + item.len() > MAX_BODY) {
            bodies.push(Vec::new());
        }
        if let Some(body) = bodies.last_mut() {
            body.extend_from_slice(&item);
        }
    }
    let last = bodies.len() - 1;
    let whole = |(index, body): (usize, Vec<u8>)| [header(index != last), body].concat();
    bodies.into_iter().enumerate().map(whole).collect()
}

const DESC_WIDTHS: [usize; 5] = [256, 256, 256, 32, 256];

pub(crate) fn encode_aggregate(packets: u64, bytes: u64, flows: u32) -> Vec<u8> {
    let mut out = Vec::new();
    out.u64(packets);
    out.u64(bytes);
    out.u32(flows);
    out.zeros(4);
    out
}

pub(crate) fn decode_aggregate(reader: &mut Reader<'_>) -> Result<Reply, OfError> {
    let (packets, bytes, flows) = (reader.u64()?, reader.u64()?, reader.u32()?);
    reader.skip(4)?;
    Ok(Reply::Aggregate(packets, bytes, flows))
}

pub(crate) fn decode_desc(reader: &mut Reader<'_>) -> Result<[String; 5], OfError> {
    let mut words: [String; 5] = Default::default();
    for (word, width) in words.iter_mut().zip(DESC_WIDTHS) {
        *word = reader.name(width)?;
    }
    Ok(words)
}

pub(crate) fn encode_desc(words: &[String; 5]) -> Vec<u8> {
    let mut out = Vec::new();
    words.iter().zip(DESC_WIDTHS).for_each(|(word, width)| out.name(word, width));
    out
}

fn encode_flow(flow: &FlowStats) -> Vec<u8> {
    let mut out = Vec::new();
    out.u16(0);
    out.u8(flow.table_id);
    out.u8(0);
    out.duration(flow.duration_ms);
    out.u16(flow.priority);
    out.u16(flow.idle_timeout);
    out.u16(flow.hard_timeout);
    out.u16(flow.flags);
    out.zeros(4);
    out.u64(flow.cookie);
    out.u64(flow.packets);
    out.u64(flow.bytes);
    encode_match(&mut out, &flow.matching);
    encode_instructions(&mut out, &flow.instructions);
    out.length_at(0, 0);
    out
}

fn encode_table(table: &TableStats) -> Vec<u8> {
    let mut out = Vec::new();
    out.u8(table.table_id);
    out.zeros(3);
    out.u32(table.active);
    out.u64(table.lookups);
    out.u64(table.matched);
    out
}

fn encode_port_stats(port: &PortStats) -> Vec<u8> {
    let mut out = Vec::new();
    out.u32(port.number);
    out.zeros(4);
    port.counters.iter().for_each(|&counter| out.u64(counter));
    out.zeros(32);
    out.duration(port.duration_ms);
    out
}

fn encode_port_item(port: &PortDesc) -> Vec<u8> {
    let mut out = Vec::new();
    encode_port(&mut out, port);
    out
}

/// Reads a reply, one part of it where it came in several.
pub(crate) fn decode_reply(reader: &mut Reader<'_>) -> Result<Reply, OfError> {
    let kind = reader.u16()?;
    reader.skip(6)?;
    Ok(match kind {
        0 => Reply::Desc(decode_desc(reader)?),
        1 => Reply::Flow(repeat(reader, decode_flow)?),
        2 => decode_aggregate(reader)?,
        3 => Reply::Table(repeat(reader, decode_table)?),
        4 => Reply::PortStats(repeat(reader, decode_port_stats)?),
        8 => {
            let mut words = [0; 10];
            for word in &mut words {
                *word = reader.u32()?;
            }
            Reply::GroupFeatures(words)
        }
        11 => {
            let (words, bytes) =
                ([reader.u32()?, reader.u32()?, reader.u32()?], [reader.u8()?, reader.u8()?]);
            reader.skip(2)?;
            Reply::MeterFeatures(words, bytes)
        }
        12 => Reply::TableFeatures(repeat(reader, decode_table_features)?),
        13 => Reply::PortDesc(repeat(reader, decode_port)?),
        kind::GROUP_STATS => Reply::GroupStats(repeat(reader, group::decode_stats)?),
        kind::GROUP_DESC => Reply::GroupDesc(repeat(reader, group::decode_desc)?),
        kind::QUEUE_STATS | kind::METER_STATS | kind::METER_CONFIG if reader.left() == 0 => {
            Reply::Nothing(kind)
        }
        _ => return Err(OfError::RequestBadMultipart),
    })
}

pub(crate) fn repeat<T>(
    reader: &mut Reader<'_>,
    item: impl Fn(&mut Reader<'_>) -> Result<T, OfError>,
) -> Result<Vec<T>, OfError> {
    let mut items = Vec::new();
    while reader.left() != 0 {
        items.push(item(reader)?);
    }
    Ok(items)
}

fn decode_flow(reader: &mut Reader<'_>) -> Result<FlowStats, OfError> {
    let length = usize::from(reader.u16()?).checked_sub(2).ok_or(OfError::RequestBadLength)?;
    let mut body = reader.part(length, OfError::RequestBadLength)?;
    let table_id = body.u8()?;
    body.skip(1)?;
    let duration_ms = body.duration()?;
    let (priority, idle_timeout, hard_timeout, flags) = (body.u16()?, body.u16()?, body.u16()?, body.u16()?);
    body.skip(4)?;
    let (cookie, packets, bytes) = (body.u64()?, body.u64()?, body.u64()?);
    let matching = decode_match(&mut body)?;
    let instructions = decode_instructions(&mut body)?;
    Ok(FlowStats {
        table_id,
        duration_ms,
        priority,
        idle_timeout,
        hard_timeout,
        flags,
        cookie,
        packets,
        bytes,
        matching,
        instructions,
    })
}

fn decode_table(reader: &mut Reader<'_>) -> Result<TableStats, OfError> {
    let table_id = reader.u8()?;
    reader.skip(3)?;
    Ok(TableStats { table_id, active: reader.u32()?, lookups: reader.u64()?, matched: reader.u64()? })
}

fn decode_port_stats(reader: &mut Reader<'_>) -> Result<PortStats, OfError> {
    let number = reader.u32()?;
    reader.skip(4)?;
    let mut counters = [0; 8];
    for counter in &mut counters {
        *counter = reader.u64()?;
    }
    reader.skip(32)?;
    Ok(PortStats { number, counters, duration_ms: reader.duration()? })
}
