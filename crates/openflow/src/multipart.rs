//! Multipart requests and replies: descriptions and statistics (OpenFlow 1.0.1 section 5.3.5 to OpenFlow 1.5.1 section 7.3.5).

use crate::bytes::{Put, Reader};
use crate::error::OfError;
use crate::extension::{self, IpfixStats};
use crate::flow_stats;
pub use crate::flow_stats::{Aggregate, FlowFilter, FlowStats};
use crate::group::{self, GroupDesc, GroupMod, GroupStats};
use crate::kind::Kind;
use crate::meter::{self, MeterConfig, MeterFeatures, MeterStats};
use crate::monitor::{self, MonitorRequest, Update};
pub use crate::port::PortStats;
use crate::port::{self, PortDesc};
use crate::queue::{self, QueueDesc, QueueStats};
pub use crate::table::TableStats;
use crate::table::{self, TableMod};
pub use crate::table_features::TableFeatures;
use crate::table_features::{decode_table_features, encode_table_features};
use crate::version::{Form, Version};

/// Bytes of a reply's body that fit one message.
const MAX_BODY: usize = 65_535 - 32;

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
    /// Counters of a group; [`crate::group::GroupMod::ANY`] or `ALL` for all.
    GroupStats(u32),
    /// A group, or all ([`crate::group::GroupMod::ALL`]), which is all that versions before 1.5 can ask.
    GroupDesc(u32),
    /// What groups can do.
    GroupFeatures,
    /// Counters of a meter; [`crate::meter::MeterMod::ALL`] for all.
    MeterStats(u32),
    /// Meters.
    MeterConfig(u32),
    /// What meters can do.
    MeterFeatures,
    /// A port, or all ([`crate::port::ANY`]), which is all that versions before 1.5 can ask.
    PortDesc(u32),
    /// What tables can do.
    TableFeatures,
    /// Make tables able to do this.
    SetTableFeatures(Vec<TableFeatures>),
    /// How tables are configured (OpenFlow 1.4).
    TableDesc,
    /// Queues: port and queue, either perhaps all (OpenFlow 1.4).
    QueueDesc(u32, u32),
    /// Watch flow tables.
    FlowMonitor(Vec<MonitorRequest>),
    /// What is sampled of the bridge (Nicira's).
    IpfixBridge,
    /// What is sampled of flows (Nicira's).
    IpfixFlow,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Manufacturer, hardware, software, serial number, description.
    Desc([String; 5]),
    /// Flows.
    Flow(Vec<FlowStats>),
    /// Sums over flows.
    Aggregate(Aggregate),
    /// Tables.
    Table(Vec<TableStats>),
    /// Counters of ports.
    PortStats(Vec<PortStats>),
    /// Counters of queues.
    QueueStats(Vec<QueueStats>),
    /// What tables can do.
    TableFeatures(Vec<TableFeatures>),
    /// Ports.
    PortDesc(Vec<PortDesc>),
    /// Counters of groups.
    GroupStats(Vec<GroupStats>),
    /// Groups.
    GroupDesc(Vec<GroupDesc>),
    /// What groups can do: types, capabilities, then for each of the four types the most groups, then the actions.
    GroupFeatures([u32; 10]),
    /// Counters of meters.
    MeterStats(Vec<MeterStats>),
    /// Meters.
    MeterConfig(Vec<MeterConfig>),
    /// What meters can do.
    MeterFeatures(MeterFeatures),
    /// How tables are configured.
    TableDesc(Vec<TableMod>),
    /// Queues.
    QueueDesc(Vec<QueueDesc>),
    /// What happened to flows.
    FlowMonitor(Vec<Update>),
    /// What is sampled of the bridge.
    IpfixBridge(IpfixStats),
    /// What is sampled of flows.
    IpfixFlow(Vec<IpfixStats>),
}

/// Reads a request of this kind.
///
/// # Errors
/// As the specification names them.
pub(crate) fn decode_request(kind: Kind, reader: &mut Reader<'_>, form: Form) -> Result<Request, OfError> {
    let version = form.version;
    Ok(match kind {
        Kind::DescRequest => Request::Desc,
        Kind::FlowRequest => Request::Flow(flow_stats::decode_filter(reader, form)?),
        Kind::AggregateRequest => {
            let filter = flow_stats::decode_filter(reader, form)?;
            // OpenFlow 1.5 names the sums that are wanted; all are told.
            reader.rest();
            Request::Aggregate(filter)
        }
        Kind::TableRequest => Request::Table,
        Kind::PortRequest => {
            let number = port::decode_number(reader, version)?;
            reader.skip(reader.left())?;
            Request::PortStats(number)
        }
        Kind::QueueRequest => {
            let (port, queue) = queue::decode_request(reader, version)?;
            Request::QueueStats(port, queue)
        }
        Kind::GroupRequest => Request::GroupStats(decode_number(reader)?),
        Kind::GroupDescRequest if reader.left() == 0 => Request::GroupDesc(GroupMod::ALL),
        Kind::GroupDescRequest => Request::GroupDesc(decode_number(reader)?),
        Kind::GroupFeaturesRequest => Request::GroupFeatures,
        Kind::MeterRequest => Request::MeterStats(decode_number(reader)?),
        Kind::MeterConfigRequest => Request::MeterConfig(decode_number(reader)?),
        Kind::MeterFeaturesRequest => Request::MeterFeatures,
        Kind::TableFeaturesRequest if reader.left() == 0 => Request::TableFeatures,
        Kind::TableFeaturesRequest => {
            Request::SetTableFeatures(repeat(reader, |item| decode_table_features(item, version))?)
        }
        Kind::TableDescRequest => Request::TableDesc,
        Kind::PortDescRequest if reader.left() == 0 => Request::PortDesc(port::ANY),
        Kind::PortDescRequest => Request::PortDesc(decode_number(reader)?),
        Kind::QueueDescRequest => Request::QueueDesc(reader.u32()?, reader.u32()?),
        Kind::FlowMonitorRequest => {
            Request::FlowMonitor(repeat(reader, |item| monitor::decode_request(item, version))?)
        }
        Kind::IpfixBridgeRequest => Request::IpfixBridge,
        Kind::IpfixFlowRequest => Request::IpfixFlow,
        _ => return Err(OfError::RequestBadMultipart),
    })
}

/// A number with four bytes of padding.
fn decode_number(reader: &mut Reader<'_>) -> Result<u32, OfError> {
    let number = reader.u32()?;
    reader.skip(4)?;
    Ok(number)
}

impl Request {
    /// What it is about.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Desc => Kind::DescRequest,
            Self::Flow(_) => Kind::FlowRequest,
            Self::Aggregate(_) => Kind::AggregateRequest,
            Self::Table => Kind::TableRequest,
            Self::PortStats(_) => Kind::PortRequest,
            Self::QueueStats(..) => Kind::QueueRequest,
            Self::GroupStats(_) => Kind::GroupRequest,
            Self::GroupDesc(_) => Kind::GroupDescRequest,
            Self::GroupFeatures => Kind::GroupFeaturesRequest,
            Self::MeterStats(_) => Kind::MeterRequest,
            Self::MeterConfig(_) => Kind::MeterConfigRequest,
            Self::MeterFeatures => Kind::MeterFeaturesRequest,
            Self::TableFeatures | Self::SetTableFeatures(_) => Kind::TableFeaturesRequest,
            Self::TableDesc => Kind::TableDescRequest,
            Self::PortDesc(_) => Kind::PortDescRequest,
            Self::QueueDesc(..) => Kind::QueueDescRequest,
            Self::FlowMonitor(_) => Kind::FlowMonitorRequest,
            Self::IpfixBridge => Kind::IpfixBridgeRequest,
            Self::IpfixFlow => Kind::IpfixFlowRequest,
        }
    }

    /// Writes what follows the headers.
    pub(crate) fn encode(&self, out: &mut Vec<u8>, form: Form) {
        let version = form.version;
        let number = |out: &mut Vec<u8>, number: u32| {
            out.u32(number);
            out.zeros(4);
        };
        match self {
            Self::Flow(filter) | Self::Aggregate(filter) => {
                flow_stats::encode_filter(out, form, filter);
                // OpenFlow 1.5 asks for sums by name.
                if version >= Version::V1_5 && matches!(self, Self::Aggregate(_)) {
                    flow_stats::encode_aggregate(out, version, &Aggregate::default());
                }
            }
            Self::PortStats(wanted) => {
                port::encode_number(out, version, *wanted);
                out.zeros(if version == Version::V1_0 { 6 } else { 4 });
            }
            Self::QueueStats(port, queue) => queue::encode_request(out, version, *port, *queue),
            Self::GroupStats(wanted) | Self::MeterStats(wanted) | Self::MeterConfig(wanted) => {
                number(out, *wanted);
            }
            Self::GroupDesc(wanted) if version == Version::V1_0 || version >= Version::V1_5 => {
                number(out, *wanted);
            }
            Self::PortDesc(wanted) if version >= Version::V1_5 => number(out, *wanted),
            Self::SetTableFeatures(tables) => {
                tables.iter().for_each(|table| encode_table_features(out, version, table));
            }
            Self::QueueDesc(port, queue) => {
                out.u32(*port);
                out.u32(*queue);
            }
            Self::FlowMonitor(monitors) => {
                monitors.iter().for_each(|monitor| monitor::encode_request(out, version, monitor));
            }
            Self::Desc
            | Self::Table
            | Self::GroupDesc(_)
            | Self::GroupFeatures
            | Self::MeterFeatures
            | Self::PortDesc(_)
            | Self::TableFeatures
            | Self::TableDesc
            | Self::IpfixBridge
            | Self::IpfixFlow => {}
        }
    }
}

/// Writes each item by itself.
fn each<T>(items: &[T], one: impl Fn(&mut Vec<u8>, &T)) -> Vec<Vec<u8>> {
    let write = |item: &T| {
        let mut out = Vec::new();
        one(&mut out, item);
        out
    };
    items.iter().map(write).collect()
}

impl Reply {
    /// What it is about.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Desc(_) => Kind::DescReply,
            Self::Flow(_) => Kind::FlowReply,
            Self::Aggregate(_) => Kind::AggregateReply,
            Self::Table(_) => Kind::TableReply,
            Self::PortStats(_) => Kind::PortReply,
            Self::QueueStats(_) => Kind::QueueReply,
            Self::TableFeatures(_) => Kind::TableFeaturesReply,
            Self::PortDesc(_) => Kind::PortDescReply,
            Self::GroupStats(_) => Kind::GroupReply,
            Self::GroupDesc(_) => Kind::GroupDescReply,
            Self::GroupFeatures(_) => Kind::GroupFeaturesReply,
            Self::MeterStats(_) => Kind::MeterReply,
            Self::MeterConfig(_) => Kind::MeterConfigReply,
            Self::MeterFeatures(_) => Kind::MeterFeaturesReply,
            Self::TableDesc(_) => Kind::TableDescReply,
            Self::QueueDesc(_) => Kind::QueueDescReply,
            Self::FlowMonitor(_) => Kind::FlowMonitorReply,
            Self::IpfixBridge(_) => Kind::IpfixBridgeReply,
            Self::IpfixFlow(_) => Kind::IpfixFlowReply,
        }
    }

    /// The bodies of the messages that carry it, without headers.
    pub(crate) fn encode(&self, form: Form) -> Vec<Vec<u8>> {
        let version = form.version;
        parts(match self {
            Self::Desc(words) => vec![encode_desc(words)],
            Self::Flow(flows) => each(flows, |out, flow| flow_stats::encode_flow(out, form, flow)),
            Self::Aggregate(sums) => {
                each(&[*sums], |out, sums| flow_stats::encode_aggregate(out, version, sums))
            }
            Self::Table(tables) => each(tables, |out, item| table::encode_stats(out, version, item)),
            Self::PortStats(ports) => each(ports, |out, item| port::encode_port_stats(out, version, item)),
            Self::QueueStats(queues) => each(queues, |out, item| queue::encode_stats(out, version, item)),
            Self::TableFeatures(tables) => {
                each(tables, |out, item| encode_table_features(out, version, item))
            }
            Self::PortDesc(ports) => each(ports, |out, item| port::encode_port(out, version, item)),
            Self::GroupStats(groups) => each(groups, |out, item| group::encode_stats(out, version, item)),
            Self::GroupDesc(groups) => each(groups, |out, item| group::encode_desc(out, version, item)),
            Self::GroupFeatures(words) => vec![words.iter().flat_map(|word| word.to_be_bytes()).collect()],
            Self::MeterStats(meters) => each(meters, meter::encode_stats),
            Self::MeterConfig(meters) => each(meters, meter::encode_config),
            Self::MeterFeatures(features) => each(&[*features], meter::encode_features),
            Self::TableDesc(tables) => each(tables, table::encode_desc),
            Self::QueueDesc(queues) => each(queues, queue::encode_desc),
            Self::FlowMonitor(updates) => {
                each(updates, |out, update| monitor::encode_update(out, version, update))
            }
            Self::IpfixBridge(stats) => each(&[*stats], extension::encode_ipfix),
            Self::IpfixFlow(stats) => each(stats, extension::encode_ipfix),
        })
    }

    /// Takes what another part of the same answer says, where both are lists of the same; whether they are.
    pub fn extend(&mut self, next: Reply) -> bool {
        match (self, next) {
            (Self::Flow(whole), Self::Flow(next)) => whole.extend(next),
            (Self::Table(whole), Self::Table(next)) => whole.extend(next),
            (Self::PortStats(whole), Self::PortStats(next)) => whole.extend(next),
            (Self::QueueStats(whole), Self::QueueStats(next)) => whole.extend(next),
            (Self::TableFeatures(whole), Self::TableFeatures(next)) => whole.extend(next),
            (Self::PortDesc(whole), Self::PortDesc(next)) => whole.extend(next),
            (Self::GroupStats(whole), Self::GroupStats(next)) => whole.extend(next),
            (Self::GroupDesc(whole), Self::GroupDesc(next)) => whole.extend(next),
            (Self::MeterStats(whole), Self::MeterStats(next)) => whole.extend(next),
            (Self::MeterConfig(whole), Self::MeterConfig(next)) => whole.extend(next),
            (Self::TableDesc(whole), Self::TableDesc(next)) => whole.extend(next),
            (Self::QueueDesc(whole), Self::QueueDesc(next)) => whole.extend(next),
            (Self::FlowMonitor(whole), Self::FlowMonitor(next)) => whole.extend(next),
            (Self::IpfixFlow(whole), Self::IpfixFlow(next)) => whole.extend(next),
            _ => return false,
        }
        true
    }
}

/// Items in as many bodies as they need.
fn parts(items: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    let mut bodies = vec![Vec::new()];
    for item in items {
        if bodies.last().is_some_and(|body: &Vec<u8>| !body.is_empty() && body.len() + item.len() > MAX_BODY)
        {
            bodies.push(Vec::new());
        }
        if let Some(body) = bodies.last_mut() {
            body.extend_from_slice(&item);
        }
    }
    bodies
}

const DESC_WIDTHS: [usize; 5] = [256, 256, 256, 32, 256];

fn decode_desc(reader: &mut Reader<'_>) -> Result<[String; 5], OfError> {
    let mut words: [String; 5] = Default::default();
    for (word, width) in words.iter_mut().zip(DESC_WIDTHS) {
        *word = reader.name(width)?;
    }
    Ok(words)
}

fn encode_desc(words: &[String; 5]) -> Vec<u8> {
    let mut out = Vec::new();
    words.iter().zip(DESC_WIDTHS).for_each(|(word, width)| out.name(word, width));
    out
}

/// Reads a reply of this kind, one part of it where it came in several.
///
/// # Errors
/// As the specification names them.
pub(crate) fn decode_reply(kind: Kind, reader: &mut Reader<'_>, form: Form) -> Result<Reply, OfError> {
    let version = form.version;
    Ok(match kind {
        Kind::DescReply => Reply::Desc(decode_desc(reader)?),
        Kind::FlowReply => Reply::Flow(repeat(reader, |item| flow_stats::decode_flow(item, form))?),
        Kind::AggregateReply => Reply::Aggregate(flow_stats::decode_aggregate(reader, version)?),
        Kind::TableReply => Reply::Table(repeat(reader, |item| table::decode_stats(item, version))?),
        Kind::PortReply => Reply::PortStats(repeat(reader, |item| port::decode_port_stats(item, version))?),
        Kind::QueueReply => Reply::QueueStats(repeat(reader, |item| queue::decode_stats(item, version))?),
        Kind::TableFeaturesReply => {
            Reply::TableFeatures(repeat(reader, |item| decode_table_features(item, version))?)
        }
        Kind::PortDescReply => Reply::PortDesc(repeat(reader, |item| port::decode_port(item, version))?),
        Kind::GroupReply => Reply::GroupStats(repeat(reader, |item| group::decode_stats(item, version))?),
        Kind::GroupDescReply => Reply::GroupDesc(repeat(reader, |item| group::decode_desc(item, version))?),
        Kind::GroupFeaturesReply => {
            let mut words = [0; 10];
            for word in &mut words {
                *word = reader.u32()?;
            }
            Reply::GroupFeatures(words)
        }
        Kind::MeterReply => Reply::MeterStats(repeat(reader, meter::decode_stats)?),
        Kind::MeterConfigReply => Reply::MeterConfig(repeat(reader, meter::decode_config)?),
        Kind::MeterFeaturesReply => Reply::MeterFeatures(meter::decode_features(reader)?),
        Kind::TableDescReply => Reply::TableDesc(repeat(reader, table::decode_desc)?),
        Kind::QueueDescReply => Reply::QueueDesc(repeat(reader, queue::decode_desc)?),
        Kind::FlowMonitorReply => {
            Reply::FlowMonitor(repeat(reader, |item| monitor::decode_update(item, version))?)
        }
        Kind::IpfixBridgeReply => Reply::IpfixBridge(extension::decode_ipfix(reader)?),
        Kind::IpfixFlowReply => Reply::IpfixFlow(repeat(reader, extension::decode_ipfix)?),
        _ => return Err(OfError::RequestBadMultipart),
    })
}

fn repeat<T>(
    reader: &mut Reader<'_>,
    item: impl Fn(&mut Reader<'_>) -> Result<T, OfError>,
) -> Result<Vec<T>, OfError> {
    let mut items = Vec::new();
    while reader.left() != 0 {
        items.push(item(reader)?);
    }
    Ok(items)
}
