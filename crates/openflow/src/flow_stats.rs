//! Flows with their counters, and which of them are asked for (OpenFlow 1.0.1 section 5.3.5 to OpenFlow 1.5.1 sections 7.3.5.2
//! and 7.3.5.4; Nicira's forms).

use std::time::Duration;

use heddle_flow::Match;

use crate::action::Instruction;
use crate::bytes::{Put, Reader};
use crate::error::OfError;
use crate::flow_mod::FlowMod;
use crate::version::{Form, Version};
use crate::{dialect, nxm, oxs, port};

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

impl Default for FlowFilter {
    /// All flows.
    fn default() -> Self {
        Self {
            table_id: 0xff,
            out_port: port::ANY,
            out_group: u32::MAX,
            cookie: 0,
            cookie_mask: 0,
            matching: Match::default(),
        }
    }
}

/// A flow with its counters; those of all ones are not kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FlowStats {
    /// Its table.
    pub table_id: u8,
    /// Since it was made.
    pub duration: Duration,
    /// Priority.
    pub priority: u16,
    /// Seconds without a packet after which it goes.
    pub idle_timeout: u16,
    /// Seconds after which it goes.
    pub hard_timeout: u16,
    /// Whole seconds since its last packet, where they are told.
    pub idle_age: Option<u16>,
    /// Whole seconds since its last change, where they are told.
    pub hard_age: Option<u16>,
    /// Flags it was made with.
    pub flags: u16,
    /// How late it goes where tables must make room.
    pub importance: u16,
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

/// Sums over flows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Aggregate {
    /// Packets; all ones where they are not counted.
    pub packets: u64,
    /// Bytes; all ones where they are not counted.
    pub bytes: u64,
    /// Flows.
    pub flows: u32,
}

pub(crate) fn decode_filter(reader: &mut Reader<'_>, form: Form) -> Result<FlowFilter, OfError> {
    if form.nicira {
        let (out_port, length) = (port::from_16(reader.u16()?), usize::from(reader.u16()?));
        let table_id = reader.u8()?;
        reader.skip(3)?;
        let (matching, cookie, cookie_mask) = nxm::decode(reader, length)?;
        return Ok(FlowFilter { table_id, out_port, out_group: u32::MAX, cookie, cookie_mask, matching });
    }
    if form.version == Version::V1_0 {
        let (matching, table_id) = (dialect::decode_match(reader, form.version)?, reader.u8()?);
        reader.skip(1)?;
        let out_port = port::from_16(reader.u16()?);
        return Ok(FlowFilter { table_id, out_port, matching, ..FlowFilter::default() });
    }
    let table_id = reader.u8()?;
    reader.skip(3)?;
    let (out_port, out_group) = (reader.u32()?, reader.u32()?);
    reader.skip(4)?;
    let (cookie, cookie_mask) = (reader.u64()?, reader.u64()?);
    let matching = dialect::decode_match(reader, form.version)?;
    Ok(FlowFilter { table_id, out_port, out_group, cookie, cookie_mask, matching })
}

pub(crate) fn encode_filter(out: &mut Vec<u8>, form: Form, filter: &FlowFilter) {
    if form.nicira {
        port::encode_number(out, Version::V1_0, filter.out_port);
        let at = out.len();
        out.zeros(2);
        out.u8(filter.table_id);
        out.zeros(3);
        return nxm::encode(out, at, &filter.matching, (filter.cookie, filter.cookie_mask));
    }
    if form.version == Version::V1_0 {
        dialect::encode_match(out, form.version, &filter.matching);
        out.u8(filter.table_id);
        out.zeros(1);
        return port::encode_number(out, form.version, filter.out_port);
    }
    out.u8(filter.table_id);
    out.zeros(3);
    out.u32(filter.out_port);
    out.u32(filter.out_group);
    out.zeros(4);
    out.u64(filter.cookie);
    out.u64(filter.cookie_mask);
    dialect::encode_match(out, form.version, &filter.matching);
}

/// A count of whole seconds that is one more on the wire, so that zero can say that it is not told.
fn age(word: u16) -> Option<u16> {
    word.checked_sub(1)
}

pub(crate) fn decode_flow(reader: &mut Reader<'_>, form: Form) -> Result<FlowStats, OfError> {
    let mut body = reader.sized(0, OfError::RequestBadLength)?;
    if form.version >= Version::V1_5 {
        return decode_flow_15(&mut body);
    }
    let classic = form.nicira || form.version == Version::V1_0;
    let table_id = body.u8()?;
    body.skip(1)?;
    let mut flow = FlowStats { table_id, ..FlowStats::default() };
    if classic && !form.nicira {
        flow.matching = dialect::decode_match(&mut body, form.version)?;
    }
    flow.duration = body.duration()?;
    (flow.priority, flow.idle_timeout, flow.hard_timeout) = (body.u16()?, body.u16()?, body.u16()?);
    let mut length = 0;
    if form.nicira {
        length = usize::from(body.u16()?);
        (flow.idle_age, flow.hard_age) = (age(body.u16()?), age(body.u16()?));
    } else if classic {
        body.skip(6)?;
    } else {
        let (flags, importance) = (body.u16()?, body.u16()?);
        flow.flags = if form.version >= Version::V1_3 { flags & FlowMod::KNOWN_FLAGS } else { 0 };
        flow.importance = if form.version >= Version::V1_4 { importance } else { 0 };
        body.skip(2)?;
    }
    (flow.cookie, flow.packets, flow.bytes) = (body.u64()?, body.u64()?, body.u64()?);
    if form.nicira {
        flow.matching = nxm::decode(&mut body, length)?.0;
    } else if !classic {
        flow.matching = dialect::decode_match(&mut body, form.version)?;
    }
    flow.instructions = dialect::decode_instructions(&mut body, form.version, Some(&flow.matching))?;
    Ok(flow)
}

fn decode_flow_15(body: &mut Reader<'_>) -> Result<FlowStats, OfError> {
    body.skip(2)?;
    let table_id = body.u8()?;
    body.skip(1)?;
    let (priority, idle_timeout, hard_timeout) = (body.u16()?, body.u16()?, body.u16()?);
    let (flags, importance, cookie) = (body.u16()? & FlowMod::KNOWN_FLAGS, body.u16()?, body.u64()?);
    let matching = dialect::decode_match(body, Version::V1_5)?;
    let statistics = oxs::decode(body)?;
    let instructions = dialect::decode_instructions(body, Version::V1_5, Some(&matching))?;
    let seconds = |duration: Duration| u16::try_from(duration.as_secs()).unwrap_or(u16::MAX);
    Ok(FlowStats {
        table_id,
        duration: statistics.duration.unwrap_or_default(),
        priority,
        idle_timeout,
        hard_timeout,
        idle_age: statistics.idle.map(seconds),
        hard_age: None,
        flags,
        importance,
        cookie,
        packets: statistics.packets.unwrap_or(u64::MAX),
        bytes: statistics.bytes.unwrap_or(u64::MAX),
        matching,
        instructions,
    })
}

pub(crate) fn encode_flow(out: &mut Vec<u8>, form: Form, flow: &FlowStats) {
    let start = out.len();
    let version = form.version;
    if version >= Version::V1_5 {
        encode_flow_15(out, flow);
        return out.length_at(start, start);
    }
    let classic = form.nicira || version == Version::V1_0;
    out.u16(0);
    out.u8(flow.table_id);
    out.u8(0);
    if classic && !form.nicira {
        dialect::encode_match(out, version, &flow.matching);
    }
    out.duration(flow.duration);
    out.u16(flow.priority);
    out.u16(flow.idle_timeout);
    out.u16(flow.hard_timeout);
    let at = out.len();
    if form.nicira {
        let age = |age: Option<u16>| age.map_or(0, |age| age.saturating_add(1));
        out.zeros(2);
        out.u16(age(flow.idle_age));
        out.u16(age(flow.hard_age));
    } else if classic {
        out.zeros(6);
    } else {
        out.u16(if version >= Version::V1_3 { flow.flags } else { 0 });
        out.u16(if version >= Version::V1_4 { flow.importance } else { 0 });
        out.zeros(2);
    }
    out.u64(flow.cookie);
    out.u64(flow.packets);
    out.u64(flow.bytes);
    if form.nicira {
        nxm::encode(out, at, &flow.matching, (0, 0));
    } else if !classic {
        dialect::encode_match(out, version, &flow.matching);
    }
    dialect::encode_instructions(out, version, &flow.instructions, &flow.matching);
    out.length_at(start, start);
}

fn encode_flow_15(out: &mut Vec<u8>, flow: &FlowStats) {
    out.zeros(4);
    out.u8(flow.table_id);
    out.zeros(1);
    out.u16(flow.priority);
    out.u16(flow.idle_timeout);
    out.u16(flow.hard_timeout);
    out.u16(flow.flags);
    out.u16(flow.importance);
    out.u64(flow.cookie);
    dialect::encode_match(out, Version::V1_5, &flow.matching);
    let statistics = oxs::Statistics {
        duration: Some(flow.duration),
        idle: flow.idle_age.map(|seconds| Duration::from_secs(seconds.into())),
        flows: None,
        packets: (flow.packets != u64::MAX).then_some(flow.packets),
        bytes: (flow.bytes != u64::MAX).then_some(flow.bytes),
    };
    oxs::encode(out, &statistics);
    dialect::encode_instructions(out, Version::V1_5, &flow.instructions, &flow.matching);
}

pub(crate) fn decode_aggregate(reader: &mut Reader<'_>, version: Version) -> Result<Aggregate, OfError> {
    if version >= Version::V1_5 {
        let statistics = oxs::decode(reader)?;
        return Ok(Aggregate {
            packets: statistics.packets.unwrap_or(u64::MAX),
            bytes: statistics.bytes.unwrap_or(u64::MAX),
            flows: statistics.flows.unwrap_or(u32::MAX),
        });
    }
    let (packets, bytes, flows) = (reader.u64()?, reader.u64()?, reader.u32()?);
    reader.skip(4)?;
    Ok(Aggregate { packets, bytes, flows })
}

pub(crate) fn encode_aggregate(out: &mut Vec<u8>, version: Version, sums: &Aggregate) {
    if version >= Version::V1_5 {
        let statistics = oxs::Statistics {
            flows: Some(sums.flows),
            packets: Some(sums.packets),
            bytes: Some(sums.bytes),
            ..oxs::Statistics::default()
        };
        return oxs::encode(out, &statistics);
    }
    out.u64(sums.packets);
    out.u64(sums.bytes);
    out.u32(sums.flows);
    out.zeros(4);
}
