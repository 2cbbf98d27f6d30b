//! What messages there are: one table of their names, numbers, versions and sizes.
//!
//! A row is a message as the wire knows it. Several rows may say the same ([`Kind`]), in other versions or by an experimenter's
//! number. Sizes are those of the structures of the specifications (OpenFlow 1.0.1 section 5 to OpenFlow 1.5.1 section 7) and of
//! Nicira's and the Open Networking Foundation's extensions; a message of another size is refused before it is read.

use crate::bytes::{Put, Reader};
use crate::error::{NICIRA, ONF, OfError};
use crate::version::{Form, Version};

/// Number of experimenters' messages among all.
const EXPERIMENTER: u8 = 4;
/// Number of experimenters' statistics among all.
const EXPERIMENTER_STATISTICS: u16 = 0xffff;
/// Bit of a multipart message that says that more follow.
pub const MORE: u16 = 1;

macro_rules! kinds {
    ($($kind:ident)*) => {
        /// What a message is about.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Kind { $(#[doc = concat!("A message of kind `", stringify!($kind), "`.")] $kind,)* }

        impl Kind {
            /// Every kind.
            pub const ALL: &[Kind] = &[$(Kind::$kind),*];
        }
    };
}

kinds! {
    Hello Error EchoRequest EchoReply FeaturesRequest FeaturesReply GetConfigRequest GetConfigReply SetConfig
    PacketIn PacketIn2 FlowRemoved PortStatus PacketOut FlowMod GroupMod PortMod TableMod MeterMod
    BarrierRequest BarrierReply QueueConfigRequest QueueConfigReply RoleRequest RoleReply
    GetAsyncRequest GetAsyncReply SetAsync RoleStatus TableStatus RequestForward BundleControl BundleAdd
    FlowMonitorCancel FlowMonitorPaused FlowMonitorResumed SetFlowFormat FlowModTableId SetPacketInFormat FlowAge
    ControllerId TlvTableMod TlvTableRequest TlvTableReply Resume CtFlushZone CtFlush
    DescRequest DescReply FlowRequest FlowReply AggregateRequest AggregateReply TableRequest TableReply
    PortRequest PortReply QueueRequest QueueReply GroupRequest GroupReply GroupDescRequest GroupDescReply
    GroupFeaturesRequest GroupFeaturesReply MeterRequest MeterReply MeterConfigRequest MeterConfigReply
    MeterFeaturesRequest MeterFeaturesReply TableFeaturesRequest TableFeaturesReply TableDescRequest TableDescReply
    PortDescRequest PortDescReply QueueDescRequest QueueDescReply FlowMonitorRequest FlowMonitorReply
    IpfixBridgeRequest IpfixBridgeReply IpfixFlowRequest IpfixFlowReply
}

impl Kind {
    /// What answers a request of this kind, beside an error; none for other messages, and for echoes, which say nothing.
    #[must_use]
    pub fn reply(self) -> Option<Kind> {
        Some(match self {
            Self::FeaturesRequest => Self::FeaturesReply,
            Self::GetConfigRequest => Self::GetConfigReply,
            Self::BarrierRequest => Self::BarrierReply,
            Self::RoleRequest => Self::RoleReply,
            Self::GetAsyncRequest => Self::GetAsyncReply,
            Self::TlvTableRequest => Self::TlvTableReply,
            Self::QueueConfigRequest => Self::QueueConfigReply,
            Self::DescRequest => Self::DescReply,
            Self::FlowRequest => Self::FlowReply,
            Self::AggregateRequest => Self::AggregateReply,
            Self::TableRequest => Self::TableReply,
            Self::PortRequest => Self::PortReply,
            Self::QueueRequest => Self::QueueReply,
            Self::GroupRequest => Self::GroupReply,
            Self::GroupDescRequest => Self::GroupDescReply,
            Self::GroupFeaturesRequest => Self::GroupFeaturesReply,
            Self::MeterRequest => Self::MeterReply,
            Self::MeterConfigRequest => Self::MeterConfigReply,
            Self::MeterFeaturesRequest => Self::MeterFeaturesReply,
            Self::TableFeaturesRequest => Self::TableFeaturesReply,
            Self::TableDescRequest => Self::TableDescReply,
            Self::PortDescRequest => Self::PortDescReply,
            Self::QueueDescRequest => Self::QueueDescReply,
            Self::FlowMonitorRequest => Self::FlowMonitorReply,
            Self::IpfixBridgeRequest => Self::IpfixBridgeReply,
            Self::IpfixFlowRequest => Self::IpfixFlowReply,
            _ => return None,
        })
    }
}

/// How the wire numbers a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// By its type.
    Own(u8),
    /// By an experimenter's id and type.
    Extension(u32, u32),
    /// A multipart request, by its type.
    Request(u16),
    /// A multipart reply, by its type.
    Reply(u16),
    /// A multipart request of an experimenter.
    ExtensionRequest(u32, u32),
    /// A multipart reply of an experimenter.
    ExtensionReply(u32, u32),
}

impl Place {
    fn is_extension(self) -> bool {
        matches!(self, Self::Extension(..) | Self::ExtensionRequest(..) | Self::ExtensionReply(..))
    }

    fn is_multipart(self) -> bool {
        !matches!(self, Self::Own(_) | Self::Extension(..))
    }
}

/// A row of the table.
#[derive(Debug)]
pub struct Row {
    /// What it is about.
    pub kind: Kind,
    /// Its name, as clients print it.
    pub name: &'static str,
    /// Its number.
    pub place: Place,
    first: Version,
    last: Version,
    /// Bytes after the headers that it has at least.
    fixed: usize,
    /// Bytes of each item that may follow them; zero where none may.
    item: usize,
}

const fn row(
    kind: Kind,
    name: &'static str,
    place: Place,
    versions: (Version, Version),
    size: (usize, usize),
) -> Row {
    Row { kind, name, place, first: versions.0, last: versions.1, fixed: size.0, item: size.1 }
}

const ALL: (Version, Version) = (V1_0, V1_5);
const V10: (Version, Version) = (V1_0, V1_0);
const V13: (Version, Version) = (V1_3, V1_3);
const fn since(version: Version) -> (Version, Version) {
    (version, V1_5)
}
const fn between(first: Version, last: Version) -> (Version, Version) {
    (first, last)
}
const fn nx(kind: u32) -> Place {
    Place::Extension(NICIRA, kind)
}
const fn onf(kind: u32) -> Place {
    Place::Extension(ONF, kind)
}
const fn nx_request(kind: u32) -> Place {
    Place::ExtensionRequest(NICIRA, kind)
}
const fn nx_reply(kind: u32) -> Place {
    Place::ExtensionReply(NICIRA, kind)
}

use Place::{Own, Reply, Request};
use Version::{V1_0, V1_1, V1_2, V1_3, V1_4, V1_5};

/// The table. Of two rows of a kind and version, the version's own stands first; of an experimenter's two, the one that says more.
#[rustfmt::skip]
pub static ROWS: &[Row] = &[
    row(Kind::Hello, "OFPT_HELLO", Own(0), ALL, (0, 1)),
    row(Kind::Error, "OFPT_ERROR", Own(1), ALL, (4, 1)),
    row(Kind::EchoRequest, "OFPT_ECHO_REQUEST", Own(2), ALL, (0, 1)),
    row(Kind::EchoReply, "OFPT_ECHO_REPLY", Own(3), ALL, (0, 1)),
    row(Kind::FeaturesRequest, "OFPT_FEATURES_REQUEST", Own(5), ALL, (0, 0)),
    row(Kind::FeaturesReply, "OFPT_FEATURES_REPLY", Own(6), V10, (24, 48)),
    row(Kind::FeaturesReply, "OFPT_FEATURES_REPLY", Own(6), between(V1_1, V1_2), (24, 64)),
    row(Kind::FeaturesReply, "OFPT_FEATURES_REPLY", Own(6), since(V1_3), (24, 0)),
    row(Kind::GetConfigRequest, "OFPT_GET_CONFIG_REQUEST", Own(7), ALL, (0, 0)),
    row(Kind::GetConfigReply, "OFPT_GET_CONFIG_REPLY", Own(8), ALL, (4, 0)),
    row(Kind::SetConfig, "OFPT_SET_CONFIG", Own(9), ALL, (4, 0)),
    row(Kind::PacketIn, "OFPT_PACKET_IN", Own(10), V10, (10, 1)),
    row(Kind::PacketIn, "OFPT_PACKET_IN", Own(10), between(V1_1, V1_1), (16, 1)),
    row(Kind::PacketIn, "OFPT_PACKET_IN", Own(10), between(V1_2, V1_2), (8, 1)),
    row(Kind::PacketIn, "OFPT_PACKET_IN", Own(10), since(V1_3), (16, 1)),
    row(Kind::PacketIn, "NXT_PACKET_IN", nx(17), ALL, (24, 1)),
    row(Kind::PacketIn2, "NXT_PACKET_IN2", nx(30), ALL, (0, 8)),
    row(Kind::FlowRemoved, "OFPT_FLOW_REMOVED", Own(11), V10, (80, 0)),
    row(Kind::FlowRemoved, "OFPT_FLOW_REMOVED", Own(11), between(V1_1, V1_4), (40, 8)),
    row(Kind::FlowRemoved, "OFPT_FLOW_REMOVED", Own(11), since(V1_5), (16, 8)),
    row(Kind::FlowRemoved, "NXT_FLOW_REMOVED", nx(14), ALL, (40, 8)),
    row(Kind::PortStatus, "OFPT_PORT_STATUS", Own(12), V10, (56, 0)),
    row(Kind::PortStatus, "OFPT_PORT_STATUS", Own(12), between(V1_1, V1_3), (72, 0)),
    row(Kind::PortStatus, "OFPT_PORT_STATUS", Own(12), since(V1_4), (48, 8)),
    row(Kind::PacketOut, "OFPT_PACKET_OUT", Own(13), V10, (8, 1)),
    row(Kind::PacketOut, "OFPT_PACKET_OUT", Own(13), between(V1_1, V1_4), (16, 1)),
    row(Kind::PacketOut, "OFPT_PACKET_OUT", Own(13), since(V1_5), (8, 1)),
    row(Kind::FlowMod, "OFPT_FLOW_MOD", Own(14), V10, (64, 8)),
    row(Kind::FlowMod, "OFPT_FLOW_MOD", Own(14), since(V1_1), (40, 1)),
    row(Kind::FlowMod, "NXT_FLOW_MOD", nx(13), ALL, (32, 8)),
    row(Kind::GroupMod, "NXT_GROUP_MOD", nx(31), V10, (16, 8)),
    row(Kind::GroupMod, "OFPT_GROUP_MOD", Own(15), between(V1_1, V1_4), (8, 1)),
    row(Kind::GroupMod, "OFPT_GROUP_MOD", Own(15), since(V1_5), (16, 8)),
    row(Kind::PortMod, "OFPT_PORT_MOD", Own(15), V10, (24, 0)),
    row(Kind::PortMod, "OFPT_PORT_MOD", Own(16), between(V1_1, V1_3), (32, 0)),
    row(Kind::PortMod, "OFPT_PORT_MOD", Own(16), since(V1_4), (24, 8)),
    row(Kind::TableMod, "OFPT_TABLE_MOD", Own(17), between(V1_1, V1_3), (8, 0)),
    row(Kind::TableMod, "OFPT_TABLE_MOD", Own(17), since(V1_4), (8, 8)),
    row(Kind::MeterMod, "OFPT_METER_MOD", Own(29), since(V1_3), (8, 8)),
    row(Kind::BarrierRequest, "OFPT_BARRIER_REQUEST", Own(18), V10, (0, 0)),
    row(Kind::BarrierRequest, "OFPT_BARRIER_REQUEST", Own(20), since(V1_1), (0, 0)),
    row(Kind::BarrierReply, "OFPT_BARRIER_REPLY", Own(19), V10, (0, 0)),
    row(Kind::BarrierReply, "OFPT_BARRIER_REPLY", Own(21), since(V1_1), (0, 0)),
    row(Kind::QueueConfigRequest, "OFPT_QUEUE_GET_CONFIG_REQUEST", Own(20), V10, (4, 0)),
    row(Kind::QueueConfigRequest, "OFPT_QUEUE_GET_CONFIG_REQUEST", Own(22), between(V1_1, V1_3), (8, 0)),
    row(Kind::QueueConfigReply, "OFPT_QUEUE_GET_CONFIG_REPLY", Own(21), V10, (8, 8)),
    row(Kind::QueueConfigReply, "OFPT_QUEUE_GET_CONFIG_REPLY", Own(23), between(V1_1, V1_3), (8, 8)),
    row(Kind::RoleRequest, "OFPT_ROLE_REQUEST", Own(24), since(V1_2), (16, 0)),
    row(Kind::RoleRequest, "NXT_ROLE_REQUEST", nx(10), ALL, (4, 0)),
    row(Kind::RoleReply, "OFPT_ROLE_REPLY", Own(25), since(V1_2), (16, 0)),
    row(Kind::RoleReply, "NXT_ROLE_REPLY", nx(11), ALL, (4, 0)),
    row(Kind::GetAsyncRequest, "OFPT_GET_ASYNC_REQUEST", Own(26), since(V1_3), (0, 0)),
    row(Kind::GetAsyncReply, "OFPT_GET_ASYNC_REPLY", Own(27), V13, (24, 0)),
    row(Kind::GetAsyncReply, "OFPT_GET_ASYNC_REPLY", Own(27), since(V1_4), (0, 8)),
    row(Kind::SetAsync, "OFPT_SET_ASYNC", Own(28), V13, (24, 0)),
    row(Kind::SetAsync, "OFPT_SET_ASYNC", Own(28), since(V1_4), (0, 8)),
    row(Kind::SetAsync, "NXT_SET_ASYNC_CONFIG2", nx(27), between(V1_0, V1_3), (0, 8)),
    row(Kind::SetAsync, "NXT_SET_ASYNC_CONFIG", nx(19), ALL, (24, 0)),
    row(Kind::RoleStatus, "ONFT_ROLE_STATUS", onf(1911), V13, (16, 8)),
    row(Kind::RoleStatus, "OFPT_ROLE_STATUS", Own(30), since(V1_4), (16, 8)),
    row(Kind::TableStatus, "OFPT_TABLE_STATUS", Own(31), since(V1_4), (8, 8)),
    row(Kind::RequestForward, "NXT_REQUESTFORWARD", nx(132), between(V1_0, V1_2), (8, 8)),
    row(Kind::RequestForward, "ONFT_REQUESTFORWARD", onf(2350), V13, (8, 8)),
    row(Kind::RequestForward, "OFPT_REQUESTFORWARD", Own(32), since(V1_4), (8, 8)),
    row(Kind::BundleControl, "ONFT_BUNDLE_CONTROL", onf(2300), V13, (8, 8)),
    row(Kind::BundleControl, "OFPT_BUNDLE_CONTROL", Own(33), since(V1_4), (8, 8)),
    row(Kind::BundleAdd, "ONFT_BUNDLE_ADD_MESSAGE", onf(2301), V13, (8, 1)),
    row(Kind::BundleAdd, "OFPT_BUNDLE_ADD_MESSAGE", Own(34), since(V1_4), (8, 1)),
    row(Kind::FlowMonitorCancel, "NXT_FLOW_MONITOR_CANCEL", nx(21), between(V1_0, V1_2), (4, 0)),
    row(Kind::FlowMonitorCancel, "ONFT_FLOW_MONITOR_CANCEL", onf(1870), V13, (4, 0)),
    row(Kind::FlowMonitorPaused, "NXT_FLOW_MONITOR_PAUSED", nx(22), between(V1_0, V1_2), (0, 0)),
    row(Kind::FlowMonitorPaused, "ONFT_FLOW_MONITOR_PAUSED", onf(1871), V13, (0, 0)),
    row(Kind::FlowMonitorResumed, "NXT_FLOW_MONITOR_RESUMED", nx(23), between(V1_0, V1_2), (0, 0)),
    row(Kind::FlowMonitorResumed, "ONFT_FLOW_MONITOR_RESUMED", onf(1872), V13, (0, 0)),
    row(Kind::SetFlowFormat, "NXT_SET_FLOW_FORMAT", nx(12), V10, (4, 0)),
    row(Kind::FlowModTableId, "NXT_FLOW_MOD_TABLE_ID", nx(15), ALL, (8, 0)),
    row(Kind::SetPacketInFormat, "NXT_SET_PACKET_IN_FORMAT", nx(16), ALL, (4, 0)),
    row(Kind::FlowAge, "NXT_FLOW_AGE", nx(18), ALL, (0, 0)),
    row(Kind::ControllerId, "NXT_SET_CONTROLLER_ID", nx(20), ALL, (8, 0)),
    row(Kind::TlvTableMod, "NXT_TLV_TABLE_MOD", nx(24), ALL, (8, 8)),
    row(Kind::TlvTableRequest, "NXT_TLV_TABLE_REQUEST", nx(25), ALL, (0, 0)),
    row(Kind::TlvTableReply, "NXT_TLV_TABLE_REPLY", nx(26), ALL, (16, 8)),
    row(Kind::Resume, "NXT_RESUME", nx(28), ALL, (0, 8)),
    row(Kind::CtFlushZone, "NXT_CT_FLUSH_ZONE", nx(29), ALL, (8, 0)),
    row(Kind::CtFlush, "NXT_CT_FLUSH", nx(32), ALL, (8, 8)),
    row(Kind::DescRequest, "OFPST_DESC request", Request(0), ALL, (0, 0)),
    row(Kind::DescReply, "OFPST_DESC reply", Reply(0), ALL, (1056, 0)),
    row(Kind::FlowRequest, "OFPST_FLOW request", Request(1), V10, (44, 0)),
    row(Kind::FlowRequest, "OFPST_FLOW request", Request(1), since(V1_1), (32, 8)),
    row(Kind::FlowRequest, "NXST_FLOW request", nx_request(0), V10, (8, 8)),
    row(Kind::FlowReply, "OFPST_FLOW reply", Reply(1), ALL, (0, 1)),
    row(Kind::FlowReply, "NXST_FLOW reply", nx_reply(0), V10, (0, 1)),
    row(Kind::AggregateRequest, "OFPST_AGGREGATE request", Request(2), V10, (44, 0)),
    row(Kind::AggregateRequest, "OFPST_AGGREGATE request", Request(2), since(V1_1), (32, 8)),
    row(Kind::AggregateRequest, "NXST_AGGREGATE request", nx_request(1), V10, (8, 8)),
    row(Kind::AggregateReply, "OFPST_AGGREGATE reply", Reply(2), between(V1_0, V1_4), (24, 0)),
    row(Kind::AggregateReply, "OFPST_AGGREGATE reply", Reply(2), since(V1_5), (0, 1)),
    row(Kind::AggregateReply, "NXST_AGGREGATE reply", nx_reply(1), V10, (24, 0)),
    row(Kind::TableRequest, "OFPST_TABLE request", Request(3), ALL, (0, 0)),
    row(Kind::TableReply, "OFPST_TABLE reply", Reply(3), V10, (0, 64)),
    row(Kind::TableReply, "OFPST_TABLE reply", Reply(3), between(V1_1, V1_1), (0, 88)),
    row(Kind::TableReply, "OFPST_TABLE reply", Reply(3), between(V1_2, V1_2), (0, 128)),
    row(Kind::TableReply, "OFPST_TABLE reply", Reply(3), since(V1_3), (0, 24)),
    row(Kind::PortRequest, "OFPST_PORT request", Request(4), ALL, (8, 0)),
    row(Kind::PortReply, "OFPST_PORT reply", Reply(4), between(V1_0, V1_2), (0, 104)),
    row(Kind::PortReply, "OFPST_PORT reply", Reply(4), V13, (0, 112)),
    row(Kind::PortReply, "OFPST_PORT reply", Reply(4), since(V1_4), (0, 8)),
    row(Kind::QueueRequest, "OFPST_QUEUE request", Request(5), ALL, (8, 0)),
    row(Kind::QueueReply, "OFPST_QUEUE reply", Reply(5), between(V1_0, V1_2), (0, 32)),
    row(Kind::QueueReply, "OFPST_QUEUE reply", Reply(5), V13, (0, 40)),
    row(Kind::QueueReply, "OFPST_QUEUE reply", Reply(5), since(V1_4), (0, 8)),
    row(Kind::GroupRequest, "NXST_GROUP request", nx_request(7), V10, (8, 0)),
    row(Kind::GroupRequest, "OFPST_GROUP request", Request(6), since(V1_1), (8, 0)),
    row(Kind::GroupReply, "NXST_GROUP reply", nx_reply(7), V10, (0, 8)),
    row(Kind::GroupReply, "OFPST_GROUP reply", Reply(6), since(V1_1), (0, 8)),
    row(Kind::GroupDescRequest, "NXST_GROUP_DESC request", nx_request(8), V10, (8, 0)),
    row(Kind::GroupDescRequest, "OFPST_GROUP_DESC request", Request(7), between(V1_1, V1_4), (0, 0)),
    row(Kind::GroupDescRequest, "OFPST_GROUP_DESC request", Request(7), since(V1_5), (8, 0)),
    row(Kind::GroupDescReply, "NXST_GROUP_DESC reply", nx_reply(8), V10, (0, 8)),
    row(Kind::GroupDescReply, "OFPST_GROUP_DESC reply", Reply(7), since(V1_1), (0, 8)),
    row(Kind::GroupFeaturesRequest, "NXST_GROUP_FEATURES request", nx_request(9), between(V1_0, V1_1), (0, 0)),
    row(Kind::GroupFeaturesRequest, "OFPST_GROUP_FEATURES request", Request(8), since(V1_2), (0, 0)),
    row(Kind::GroupFeaturesReply, "NXST_GROUP_FEATURES reply", nx_reply(9), between(V1_0, V1_1), (40, 0)),
    row(Kind::GroupFeaturesReply, "OFPST_GROUP_FEATURES reply", Reply(8), since(V1_2), (40, 0)),
    row(Kind::MeterRequest, "OFPST_METER request", Request(9), since(V1_3), (8, 0)),
    row(Kind::MeterReply, "OFPST_METER reply", Reply(9), since(V1_3), (0, 8)),
    row(Kind::MeterConfigRequest, "OFPST_METER_CONFIG request", Request(10), since(V1_3), (8, 0)),
    row(Kind::MeterConfigReply, "OFPST_METER_CONFIG reply", Reply(10), since(V1_3), (0, 8)),
    row(Kind::MeterFeaturesRequest, "OFPST_METER_FEATURES request", Request(11), since(V1_3), (0, 0)),
    row(Kind::MeterFeaturesReply, "OFPST_METER_FEATURES reply", Reply(11), since(V1_3), (16, 0)),
    row(Kind::TableFeaturesRequest, "OFPST_TABLE_FEATURES request", Request(12), since(V1_3), (0, 8)),
    row(Kind::TableFeaturesReply, "OFPST_TABLE_FEATURES reply", Reply(12), since(V1_3), (0, 8)),
    row(Kind::PortDescRequest, "OFPST_PORT_DESC request", Request(13), between(V1_0, V1_4), (0, 0)),
    row(Kind::PortDescRequest, "OFPST_PORT_DESC request", Request(13), since(V1_5), (8, 0)),
    row(Kind::PortDescReply, "OFPST_PORT_DESC reply", Reply(13), V10, (0, 48)),
    row(Kind::PortDescReply, "OFPST_PORT_DESC reply", Reply(13), between(V1_1, V1_3), (0, 64)),
    row(Kind::PortDescReply, "OFPST_PORT_DESC reply", Reply(13), since(V1_4), (0, 8)),
    row(Kind::TableDescRequest, "OFPST_TABLE_DESC request", Request(14), since(V1_4), (0, 0)),
    row(Kind::TableDescReply, "OFPST_TABLE_DESC reply", Reply(14), since(V1_4), (0, 8)),
    row(Kind::QueueDescRequest, "OFPST_QUEUE_DESC request", Request(15), since(V1_4), (8, 0)),
    row(Kind::QueueDescReply, "OFPST_QUEUE_DESC reply", Reply(15), since(V1_4), (0, 8)),
    row(Kind::FlowMonitorRequest, "NXST_FLOW_MONITOR request", nx_request(2), between(V1_0, V1_2), (0, 8)),
    row(Kind::FlowMonitorRequest, "ONFST_FLOW_MONITOR request", Place::ExtensionRequest(ONF, 1870), V13, (0, 8)),
    row(Kind::FlowMonitorRequest, "OFPST_FLOW_MONITOR request", Request(16), since(V1_4), (0, 8)),
    row(Kind::FlowMonitorReply, "NXST_FLOW_MONITOR reply", nx_reply(2), between(V1_0, V1_2), (0, 8)),
    row(Kind::FlowMonitorReply, "ONFST_FLOW_MONITOR reply", Place::ExtensionReply(ONF, 1870), V13, (0, 8)),
    row(Kind::FlowMonitorReply, "OFPST_FLOW_MONITOR reply", Reply(16), since(V1_4), (0, 8)),
    row(Kind::IpfixBridgeRequest, "NXST_IPFIX_BRIDGE request", nx_request(3), ALL, (0, 0)),
    row(Kind::IpfixBridgeReply, "NXST_IPFIX_BRIDGE reply", nx_reply(3), ALL, (88, 0)),
    row(Kind::IpfixFlowRequest, "NXST_IPFIX_FLOW request", nx_request(4), ALL, (0, 0)),
    row(Kind::IpfixFlowReply, "NXST_IPFIX_FLOW reply", nx_reply(4), ALL, (0, 88)),
];

/// Types of multipart requests and replies.
fn multipart_types(version: Version) -> (u8, u8) {
    if version == V1_0 { (16, 17) } else { (18, 19) }
}

/// Reads what a message's headers say, up to its body. `kind` is the message's type, and `reader` stands behind the first
/// header; it is left where the body begins.
///
/// # Errors
/// The error that the specification names for a type that is not known in the version.
pub fn lookup(version: Version, kind: u8, reader: &mut Reader<'_>) -> Result<&'static Row, OfError> {
    let (request, reply) = multipart_types(version);
    let (place, unknown) = if kind == EXPERIMENTER {
        let (id, kind) = (reader.u32()?, reader.u32()?);
        (Place::Extension(id, kind), unknown_extension(id))
    } else if kind == request || kind == reply {
        let number = reader.u16()?;
        reader.skip(if version == V1_0 { 2 } else { 6 })?;
        if number == EXPERIMENTER_STATISTICS {
            let (id, number) = (reader.u32()?, reader.u32()?);
            // Nicira's statistics of OpenFlow 1.0 have padding for later versions' header.
            reader.skip(if version == V1_0 { 4 } else { 0 })?;
            match kind == request {
                true => (Place::ExtensionRequest(id, number), unknown_extension(id)),
                false => (Place::ExtensionReply(id, number), unknown_extension(id)),
            }
        } else if kind == request {
            (Request(number), OfError::RequestBadMultipart)
        } else {
            (Reply(number), OfError::RequestBadMultipart)
        }
    } else {
        (Own(kind), OfError::RequestBadType)
    };
    ROWS.iter().find(|row| row.place == place && row.is_in(version)).ok_or(unknown)
}

/// The error for a message that a switch reads and does not support.
pub fn unsupported(kind: Kind, form: Form) -> OfError {
    match Row::of(kind, form) {
        Some(row) if row.is_extension() => OfError::RequestBadExperimenterType,
        Some(row) if row.is_multipart() => OfError::RequestBadMultipart,
        _ => OfError::RequestBadType,
    }
}

fn unknown_extension(id: u32) -> OfError {
    if id == NICIRA || id == ONF {
        OfError::RequestBadExperimenterType
    } else {
        OfError::RequestBadExperimenter
    }
}

impl Row {
    /// Whether the version has it.
    pub fn is_in(&self, version: Version) -> bool {
        (self.first..=self.last).contains(&version)
    }

    /// The row by which a kind is written in this form, if it can be.
    pub fn of(kind: Kind, form: Form) -> Option<&'static Row> {
        let mut rows = ROWS.iter().filter(|row| row.kind == kind && row.is_in(form.version));
        let first = rows.clone().next();
        rows.find(|row| row.place.is_extension() == form.nicira).or(first)
    }

    /// Whether it is written by an experimenter's number.
    pub fn is_extension(&self) -> bool {
        self.place.is_extension()
    }

    /// Whether a body of `length` bytes is one.
    pub fn fits(&self, length: usize) -> bool {
        match (length.checked_sub(self.fixed), self.item) {
            (None, _) => false,
            (Some(0), _) => true,
            (Some(_), 0) => false,
            (Some(more), item) => more % item == 0,
        }
    }

    /// What lengths a whole message may have, as a sentence's end; `header` is what comes before the body.
    pub fn lengths(&self, header: usize) -> String {
        let least = header + self.fixed;
        match self.item {
            0 => format!("must be exactly {least} bytes"),
            1 => format!("must be {least} or more bytes"),
            item => {
                format!("must be exactly {least} bytes or longer by an integer multiple of {item} bytes")
            }
        }
    }

    /// Writes the headers that stand between the first and the body; returns the message's type. `more` says that more parts
    /// follow.
    pub fn put_header(&self, out: &mut Vec<u8>, version: Version, more: bool) -> u8 {
        let (request, reply) = multipart_types(version);
        let mut multipart = |number: u16| {
            out.u16(number);
            out.u16(if more { MORE } else { 0 });
            out.zeros(if version == V1_0 { 0 } else { 4 });
        };
        match self.place {
            Own(kind) => return kind,
            Place::Extension(id, kind) => {
                out.u32(id);
                out.u32(kind);
                return EXPERIMENTER;
            }
            Request(number) | Reply(number) => multipart(number),
            Place::ExtensionRequest(id, number) | Place::ExtensionReply(id, number) => {
                multipart(EXPERIMENTER_STATISTICS);
                out.u32(id);
                out.u32(number);
                out.zeros(if version == V1_0 { 4 } else { 0 });
            }
        }
        if matches!(self.place, Request(_) | Place::ExtensionRequest(..)) { request } else { reply }
    }

    /// Whether it may come in several parts.
    pub fn is_multipart(&self) -> bool {
        self.place.is_multipart()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_number_has_one_meaning_in_a_version() {
        for (at, row) in ROWS.iter().enumerate() {
            assert!(row.first <= row.last, "{}", row.name);
            for other in &ROWS[at + 1..] {
                let shared = other.place == row.place && other.first <= row.last && row.first <= other.last;
                assert!(!shared, "{} and {}", row.name, other.name);
            }
        }
    }

    #[test]
    fn every_row_is_found_by_its_own_header() {
        for row in ROWS {
            for version in Version::ALL.iter().copied().filter(|version| row.is_in(*version)) {
                let mut bytes = Vec::new();
                let kind = row.put_header(&mut bytes, version, false);
                let mut reader = Reader::new(&bytes, OfError::RequestBadLength);
                let found = lookup(version, kind, &mut reader).expect("it is in the table");
                assert!(std::ptr::eq(found, row), "{}: {}", row.name, found.name);
                assert_eq!(reader.left(), 0);
            }
        }
    }
}
