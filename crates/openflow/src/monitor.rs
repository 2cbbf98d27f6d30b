//! Monitoring flow tables (OpenFlow 1.4.1 section 7.3.5.17; the Open Networking Foundation's extension for 1.3, and Nicira's for
//! earlier versions).

use heddle_flow::Match;

use crate::action::Instruction;
use crate::bytes::{Put, Reader};
use crate::error::OfError;
use crate::flow_mod::FlowMod;
use crate::version::Version;
use crate::{dialect, nxm, oxm, port};

/// What to do with a monitor, numbered as OpenFlow 1.4 does; earlier versions only add by this message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum MonitorCommand {
    /// Adds it.
    #[default]
    Add,
    /// Changes what it watches.
    Modify,
    /// Deletes it.
    Delete,
}

/// Flags of a monitor, as OpenFlow 1.4 numbers them.
pub mod flag {
    /// Tell of flows that are there already.
    pub const INITIAL: u16 = 1;
    /// Tell of flows that are added.
    pub const ADD: u16 = 1 << 1;
    /// Tell of flows that are removed.
    pub const REMOVED: u16 = 1 << 2;
    /// Tell of flows that are changed.
    pub const MODIFY: u16 = 1 << 3;
    /// Tell what flows do.
    pub const INSTRUCTIONS: u16 = 1 << 4;
    /// Tell of what this controller does itself in full.
    pub const NO_ABBREV: u16 = 1 << 5;
    /// Tell of what this controller does itself. In Nicira's form it means [`NO_ABBREV`] as well.
    pub const ONLY_OWN: u16 = 1 << 6;
    /// Every flag that there is.
    pub const ALL: u16 = (1 << 7) - 1;
    /// Nicira's flag for this controller's own changes in full.
    pub(super) const NICIRA_OWN: u16 = 1 << 5;
    pub(super) const SHARED: u16 = (1 << 5) - 1;
}

/// What to watch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MonitorRequest {
    /// The monitor's number, which the controller chose.
    pub id: u32,
    /// What to do.
    pub command: MonitorCommand,
    /// What to tell ([`flag`]).
    pub flags: u16,
    /// Only flows that output here.
    pub out_port: u32,
    /// Only flows that use this group.
    pub out_group: u32,
    /// The table; 255 for all.
    pub table_id: u8,
    /// Flows that this contains.
    pub matching: Match,
}

impl Default for MonitorRequest {
    fn default() -> Self {
        Self {
            id: 0,
            command: MonitorCommand::Add,
            flags: 0,
            out_port: port::ANY,
            out_group: u32::MAX,
            table_id: FlowMod::ALL_TABLES,
            matching: Match::default(),
        }
    }
}

/// What happened to a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MonitorEvent {
    /// It was there when the monitor was made.
    Initial,
    /// It was added.
    Added,
    /// It was removed.
    Removed,
    /// It was changed.
    Modified,
}

/// A piece of news.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Update {
    /// Something happened to a flow.
    Flow(Box<FlowUpdate>),
    /// A message of this transaction id, which the controller itself sent, was carried out.
    Abbreviated(u32),
    /// There is too much to tell; nothing is told until it resumes (OpenFlow 1.4).
    Paused,
    /// Telling goes on; what was missed has been told (OpenFlow 1.4).
    Resumed,
}

/// What happened to a flow, and which it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowUpdate {
    /// What happened.
    pub event: MonitorEvent,
    /// Why a flow was removed, as a flow-removed says it.
    pub reason: u16,
    /// Its table.
    pub table_id: u8,
    /// Its priority.
    pub priority: u16,
    /// Its timeouts.
    pub idle_timeout: u16,
    /// Its timeouts.
    pub hard_timeout: u16,
    /// Its mark.
    pub cookie: u64,
    /// What it matches.
    pub matching: Match,
    /// What it does, if that was asked for.
    pub instructions: Vec<Instruction>,
}

/// Events by number: OpenFlow 1.4's, then those of earlier versions' extensions.
const EVENTS: [&[MonitorEvent]; 2] = [
    &[MonitorEvent::Initial, MonitorEvent::Added, MonitorEvent::Removed, MonitorEvent::Modified],
    &[MonitorEvent::Added, MonitorEvent::Removed, MonitorEvent::Modified],
];
const PAUSED: u16 = 5;
const RESUMED: u16 = 6;

fn events(version: Version) -> &'static [MonitorEvent] {
    EVENTS[usize::from(version < Version::V1_4)]
}

fn from_nicira(flags: u16) -> u16 {
    let own = if flags & flag::NICIRA_OWN != 0 { flag::ONLY_OWN } else { 0 };
    flags & flag::SHARED | own
}

fn to_nicira(flags: u16) -> u16 {
    let own = if flags & (flag::ONLY_OWN | flag::NO_ABBREV) != 0 { flag::NICIRA_OWN } else { 0 };
    flags & flag::SHARED | own
}

pub(crate) fn decode_request(reader: &mut Reader<'_>, version: Version) -> Result<MonitorRequest, OfError> {
    let id = reader.u32()?;
    if version >= Version::V1_4 {
        let (out_port, out_group, flags) = (reader.u32()?, reader.u32()?, reader.u16()?);
        let (table_id, command) = (reader.u8()?, reader.u8()?);
        let command = match command {
            0 => MonitorCommand::Add,
            1 => MonitorCommand::Modify,
            2 => MonitorCommand::Delete,
            _ => return Err(OfError::MonitorBadCommand),
        };
        if flags & !flag::ALL != 0 {
            return Err(OfError::MonitorBadFlags);
        }
        let matching = oxm::decode_match(reader)?;
        return Ok(MonitorRequest { id, command, flags, out_port, out_group, table_id, matching });
    }
    let flags = reader.u16()?;
    if flags & !(flag::SHARED | flag::NICIRA_OWN) != 0 {
        return Err(OfError::MonitorBadFlags);
    }
    let mut request = MonitorRequest { id, flags: from_nicira(flags), ..MonitorRequest::default() };
    if version == Version::V1_3 {
        // How long the match is it says itself.
        reader.skip(2)?;
        (request.out_port, request.table_id) = (reader.u32()?, reader.u8()?);
        reader.skip(3)?;
        request.matching = oxm::decode_match(reader)?;
    } else {
        request.out_port = port::from_16(reader.u16()?);
        let length = usize::from(reader.u16()?);
        request.table_id = reader.u8()?;
        if reader.take(5)? != [0; 5] {
            return Err(OfError::NxRequestMustBeZero);
        }
        request.matching = nxm::decode(reader, length)?.0;
    }
    Ok(request)
}

pub(crate) fn encode_request(out: &mut Vec<u8>, version: Version, request: &MonitorRequest) {
    out.u32(request.id);
    if version >= Version::V1_4 {
        out.u32(request.out_port);
        out.u32(request.out_group);
        out.u16(request.flags);
        out.u8(request.table_id);
        out.u8(request.command as u8);
        return oxm::encode_match(out, version, &request.matching);
    }
    out.u16(to_nicira(request.flags));
    if version == Version::V1_3 {
        let at = out.len();
        out.u16(0);
        out.u32(request.out_port);
        out.u8(request.table_id);
        out.zeros(3);
        return encode_standard(out, at, &request.matching);
    }
    port::encode_number(out, Version::V1_0, request.out_port);
    let at = out.len();
    out.u16(0);
    out.u8(request.table_id);
    out.zeros(5);
    nxm::encode(out, at, &request.matching, (0, 0));
}

/// Writes a match of OpenFlow's own form, and the length without padding at `at`.
fn encode_standard(out: &mut Vec<u8>, at: usize, matching: &Match) {
    let start = out.len();
    oxm::encode_match(out, Version::V1_3, matching);
    let length = [out[start + 2], out[start + 3]];
    out[at..at + 2].copy_from_slice(&length);
}

pub(crate) fn decode_update(reader: &mut Reader<'_>, version: Version) -> Result<Update, OfError> {
    let mut body = reader.sized(0, OfError::RequestBadLength)?;
    let event = body.u16()?;
    let known = events(version);
    if let Some(event) = known.get(usize::from(event)) {
        return decode_flow(&mut body, version, *event).map(|flow| Update::Flow(Box::new(flow)));
    }
    let newer = version >= Version::V1_4;
    let update = match event {
        _ if usize::from(event) == known.len() => Update::Abbreviated(body.u32()?),
        PAUSED if newer => Update::Paused,
        RESUMED if newer => Update::Resumed,
        _ => return Err(OfError::NxRequestFmBadEvent),
    };
    Ok(update)
}

fn decode_flow(body: &mut Reader<'_>, version: Version, event: MonitorEvent) -> Result<FlowUpdate, OfError> {
    let mut flow = FlowUpdate {
        event,
        reason: 0,
        table_id: 0,
        priority: 0,
        idle_timeout: 0,
        hard_timeout: 0,
        cookie: 0,
        matching: Match::default(),
        instructions: Vec::new(),
    };
    if version >= Version::V1_4 {
        (flow.table_id, flow.reason) = (body.u8()?, body.u8()?.into());
        (flow.idle_timeout, flow.hard_timeout, flow.priority) = (body.u16()?, body.u16()?, body.u16()?);
        body.skip(4)?;
        flow.cookie = body.u64()?;
        flow.matching = oxm::decode_match(body)?;
    } else {
        (flow.reason, flow.priority) = (body.u16()?, body.u16()?);
        (flow.idle_timeout, flow.hard_timeout) = (body.u16()?, body.u16()?);
        let length = usize::from(body.u16()?);
        flow.table_id = body.u8()?;
        body.skip(1)?;
        flow.cookie = body.u64()?;
        flow.matching = match version {
            Version::V1_3 => oxm::decode_match(body)?,
            _ => nxm::decode(body, length)?.0,
        };
    }
    flow.instructions = if version >= Version::V1_3 {
        dialect::decode_instructions(body, version, Some(&flow.matching))?
    } else {
        crate::action_codec::apply(dialect::decode_actions(body, version, Some(&flow.matching))?)
    };
    Ok(flow)
}

pub(crate) fn encode_update(out: &mut Vec<u8>, version: Version, update: &Update) {
    let start = out.len();
    out.u16(0);
    let newer = version >= Version::V1_4;
    match update {
        Update::Abbreviated(xid) => {
            out.u16(events(version).len() as u16);
            out.u32(*xid);
        }
        Update::Paused | Update::Resumed => {
            out.u16(if *update == Update::Paused { PAUSED } else { RESUMED });
            out.zeros(4);
        }
        Update::Flow(flow) => {
            // Where a flow cannot be told to have been there before, it is told as added.
            let event = match flow.event {
                MonitorEvent::Initial if !newer => MonitorEvent::Added,
                event => event,
            };
            out.u16(events(version).iter().position(|known| *known == event).unwrap_or(0) as u16);
            encode_flow(out, version, flow);
        }
    }
    out.length_at(start, start);
}

fn encode_flow(out: &mut Vec<u8>, version: Version, flow: &FlowUpdate) {
    if version >= Version::V1_4 {
        out.u8(flow.table_id);
        out.u8(flow.reason as u8);
        out.u16(flow.idle_timeout);
        out.u16(flow.hard_timeout);
        out.u16(flow.priority);
        out.zeros(4);
        out.u64(flow.cookie);
        oxm::encode_match(out, version, &flow.matching);
        return dialect::encode_instructions(out, version, &flow.instructions, &flow.matching);
    }
    out.u16(flow.reason);
    out.u16(flow.priority);
    out.u16(flow.idle_timeout);
    out.u16(flow.hard_timeout);
    let at = out.len();
    out.u16(0);
    out.u8(flow.table_id);
    out.zeros(1);
    out.u64(flow.cookie);
    match version {
        Version::V1_3 => {
            encode_standard(out, at, &flow.matching);
            return dialect::encode_instructions(out, version, &flow.instructions, &flow.matching);
        }
        _ => nxm::encode(out, at, &flow.matching, (0, 0)),
    }
    for instruction in &flow.instructions {
        if let Instruction::Apply(actions) = instruction {
            dialect::encode_actions(out, version, actions, Some(&flow.matching));
        }
    }
}
