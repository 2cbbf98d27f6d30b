//! Messages, decoded from and encoded to the wire in every version.
//!
//! What messages there are says the table in [`crate::kind`]; what each says, the module of its subject. A message that is not
//! known, or that contradicts itself, is answered with the error that the specification names; [`Fault`] carries it with the id
//! of the message, so that the answer can be sent.

use crate::bundle::{self, BundleAdd, BundleControl};
use crate::bytes::{Put, Reader};
pub(crate) use crate::error::NICIRA;
use crate::error::OfError;
use crate::extension::{self, CtFlush, TlvCommand, TlvMap, TlvTable};
pub use crate::flow_mod::{Command, FlowMod, FlowRemoved};
pub use crate::framer::Framer;
use crate::group::{self, GroupMod};
use crate::kind::{self, Kind, Row};
use crate::meter::{self, MeterMod};
use crate::multipart::{self, Reply, Request};
pub use crate::packet::{PacketIn, PacketOut};
pub use crate::port::PortDesc;
use crate::port::{self, PortMod};
use crate::queue::{self, QueueDesc};
pub use crate::role::number as role;
use crate::role::{self as roles, AsyncConfig, RoleStatus};
use crate::table::{self, TableMod, TableStatus};
pub use crate::version::{Form, Version};
use crate::{flow_mod, packet};

/// `buffer_id` of a packet that is not buffered.
pub const NO_BUFFER: u32 = u32::MAX;
/// Bytes of a message's header.
pub const HEADER_LEN: usize = 8;
/// Most bytes of a message: its length has 16 bits.
pub const MAX_MESSAGE: usize = u16::MAX as usize;

/// A message with its transaction id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The version and form that it is written in; an answer has its question's.
    pub form: Form,
    /// Transaction id; an answer repeats it.
    pub xid: u32,
    /// What it says.
    pub body: Body,
}

/// What a message says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// Versions that the sender speaks, as a bit for each version byte.
    Hello(u32),
    /// Something was refused.
    Error {
        /// Type and code.
        number: (u16, u16),
        /// What was refused, as much as fits; an error of an experimenter has the experimenter's id before it.
        data: Vec<u8>,
    },
    /// Are you there?
    EchoRequest(Vec<u8>),
    /// I am.
    EchoReply(Vec<u8>),
    /// Who are you?
    FeaturesRequest,
    /// The switch.
    FeaturesReply(Features),
    /// How are fragments and misses handled?
    GetConfigRequest,
    /// Flags, and bytes of a packet-in.
    GetConfigReply(u16, u16),
    /// Flags, and bytes of a packet-in.
    SetConfig(u16, u16),
    /// A packet for the controller.
    PacketIn(PacketIn),
    /// The same as Nicira's newer form has it, which can say more.
    PacketIn2(PacketIn),
    /// Lets a packet go on where it paused (Nicira's).
    Resume(PacketIn),
    /// A flow has gone.
    FlowRemoved(FlowRemoved),
    /// A port came (0), went (1) or changed (2).
    PortStatus(u8, PortDesc),
    /// Send a packet.
    PacketOut(PacketOut),
    /// Change the flow tables.
    FlowMod(FlowMod),
    /// Change the group table.
    GroupMod(GroupMod),
    /// Change a port.
    PortMod(PortMod),
    /// Change a table.
    TableMod(TableMod),
    /// Change the meter table.
    MeterMod(MeterMod),
    /// Ask for the queues of a port; [`crate::port::ANY`] for all.
    QueueConfigRequest(u32),
    /// The queues of a port.
    QueueConfigReply(u32, Vec<QueueDesc>),
    /// Ask for a description or statistics.
    MultipartRequest(Request),
    /// A description or statistics.
    MultipartReply(Reply),
    /// Answer when all before is done.
    BarrierRequest,
    /// It is done.
    BarrierReply,
    /// Role wanted, and the master's generation.
    RoleRequest(u32, u64),
    /// Role now, and the master's generation.
    RoleReply(u32, u64),
    /// The role has changed unasked.
    RoleStatus(RoleStatus),
    /// Ask which messages come unasked.
    GetAsyncRequest,
    /// Which messages come unasked.
    GetAsyncReply(AsyncConfig),
    /// Say which messages come unasked.
    SetAsync(AsyncConfig),
    /// A table filled or emptied.
    TableStatus(TableStatus),
    /// Another controller's change of a group or meter, as it stands on the wire.
    RequestForward(Vec<u8>),
    /// Opens, closes, commits or discards a bundle.
    BundleControl(BundleControl),
    /// Adds a message to a bundle.
    BundleAdd(BundleAdd),
    /// Stop watching flow tables: the monitor's number (before OpenFlow 1.4).
    FlowMonitorCancel(u32),
    /// There is too much to tell of flow tables (before OpenFlow 1.4).
    FlowMonitorPaused,
    /// Telling of flow tables goes on (before OpenFlow 1.4).
    FlowMonitorResumed,
    /// How flows are told of: 0 as OpenFlow 1.0 does, 2 by Nicira's fields (Nicira's, for OpenFlow 1.0).
    FlowFormat(u32),
    /// Whether flow-mods say a table (Nicira's, for OpenFlow 1.0).
    FlowModTableId(bool),
    /// How packets come: 0 as the version has it, 1 by `NXT_PACKET_IN`, 2 by `NXT_PACKET_IN2` (Nicira's).
    PacketInFormat(u32),
    /// Tell how long flows have not been used or changed (Nicira's).
    FlowAge,
    /// The number that `controller` actions have for this controller (Nicira's).
    ControllerId(u16),
    /// Change which options of tunnels fields stand for (Nicira's).
    TlvTableMod(TlvCommand, Vec<TlvMap>),
    /// Ask which options of tunnels fields stand for (Nicira's).
    TlvTableRequest,
    /// Which options of tunnels fields stand for (Nicira's).
    TlvTableReply(TlvTable),
    /// Forget the connections of a zone (Nicira's).
    CtFlushZone(u16),
    /// Forget connections (Nicira's).
    CtFlush(CtFlush),
}

/// The switch, as it describes itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Features {
    /// Its id.
    pub datapath_id: u64,
    /// Packets it can buffer.
    pub buffers: u32,
    /// Its tables.
    pub tables: u8,
    /// Which of its connections this is; zero for the first.
    pub auxiliary_id: u8,
    /// What it can: 1 flow, 2 table, 4 port statistics.
    pub capabilities: u32,
    /// Actions that it has, in OpenFlow 1.0.
    pub actions: u32,
    /// Its ports, which versions before 1.3 list here.
    pub ports: Vec<PortDesc>,
}

impl Features {
    /// Every action of OpenFlow 1.0's own.
    pub const ALL_ACTIONS: u32 = 0xfff;
}

impl Body {
    /// What it is about.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Hello(_) => Kind::Hello,
            Self::Error { .. } => Kind::Error,
            Self::EchoRequest(_) => Kind::EchoRequest,
            Self::EchoReply(_) => Kind::EchoReply,
            Self::FeaturesRequest => Kind::FeaturesRequest,
            Self::FeaturesReply(_) => Kind::FeaturesReply,
            Self::GetConfigRequest => Kind::GetConfigRequest,
            Self::GetConfigReply(..) => Kind::GetConfigReply,
            Self::SetConfig(..) => Kind::SetConfig,
            Self::PacketIn(_) => Kind::PacketIn,
            Self::PacketIn2(_) => Kind::PacketIn2,
            Self::Resume(_) => Kind::Resume,
            Self::FlowRemoved(_) => Kind::FlowRemoved,
            Self::PortStatus(..) => Kind::PortStatus,
            Self::PacketOut(_) => Kind::PacketOut,
            Self::FlowMod(_) => Kind::FlowMod,
            Self::GroupMod(_) => Kind::GroupMod,
            Self::PortMod(_) => Kind::PortMod,
            Self::TableMod(_) => Kind::TableMod,
            Self::MeterMod(_) => Kind::MeterMod,
            Self::QueueConfigRequest(_) => Kind::QueueConfigRequest,
            Self::QueueConfigReply(..) => Kind::QueueConfigReply,
            Self::MultipartRequest(request) => request.kind(),
            Self::MultipartReply(reply) => reply.kind(),
            Self::BarrierRequest => Kind::BarrierRequest,
            Self::BarrierReply => Kind::BarrierReply,
            Self::RoleRequest(..) => Kind::RoleRequest,
            Self::RoleReply(..) => Kind::RoleReply,
            Self::RoleStatus(_) => Kind::RoleStatus,
            Self::GetAsyncRequest => Kind::GetAsyncRequest,
            Self::GetAsyncReply(_) => Kind::GetAsyncReply,
            Self::SetAsync(_) => Kind::SetAsync,
            Self::TableStatus(_) => Kind::TableStatus,
            Self::RequestForward(_) => Kind::RequestForward,
            Self::BundleControl(_) => Kind::BundleControl,
            Self::BundleAdd(_) => Kind::BundleAdd,
            Self::FlowMonitorCancel(_) => Kind::FlowMonitorCancel,
            Self::FlowMonitorPaused => Kind::FlowMonitorPaused,
            Self::FlowMonitorResumed => Kind::FlowMonitorResumed,
            Self::FlowFormat(_) => Kind::SetFlowFormat,
            Self::FlowModTableId(_) => Kind::FlowModTableId,
            Self::PacketInFormat(_) => Kind::SetPacketInFormat,
            Self::FlowAge => Kind::FlowAge,
            Self::ControllerId(_) => Kind::ControllerId,
            Self::TlvTableMod(..) => Kind::TlvTableMod,
            Self::TlvTableRequest => Kind::TlvTableRequest,
            Self::TlvTableReply(_) => Kind::TlvTableReply,
            Self::CtFlushZone(_) => Kind::CtFlushZone,
            Self::CtFlush(_) => Kind::CtFlush,
        }
    }
}

/// A message that was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Its transaction id.
    pub xid: u32,
    /// Why.
    pub error: OfError,
    /// What the error quotes of it: the whole, where it fits.
    pub data: Vec<u8>,
}

impl Fault {
    /// Most bytes of a message that an error quotes: header, type, code and an experimenter's id come before them.
    const MAX_QUOTED: usize = MAX_MESSAGE - 16;

    /// The fault of a message that is refused for `error`.
    pub fn of(message: &[u8], error: OfError) -> Self {
        let id = message.get(4..8).and_then(|id| id.first_chunk());
        let xid = id.map_or(0, |&id| u32::from_be_bytes(id));
        Self { xid, error, data: message[..message.len().min(Self::MAX_QUOTED)].to_vec() }
    }

    /// The answer to the message, in this version.
    pub fn reply(self, version: Version) -> Message {
        let (number, mut data) = self.error.wire(version);
        data.extend(self.data);
        Message { form: Form::of(version), xid: self.xid, body: Body::Error { number, data } }
    }
}

/// What the headers of a message say.
#[derive(Clone, Copy, Debug)]
pub struct Header {
    /// The row of the table that it is.
    pub row: &'static Row,
    /// The version and form that it is written in.
    pub form: Form,
    /// Transaction id.
    pub xid: u32,
    /// Flags of a multipart message.
    pub flags: u16,
    /// Bytes of the headers.
    pub length: usize,
}

impl Header {
    /// Reads the headers of a message that may have been cut short, or go on.
    ///
    /// # Errors
    /// As the specification names them for a version or type that is not known, or headers that are cut short.
    pub fn of(bytes: &[u8]) -> Result<Self, OfError> {
        let mut reader = Reader::new(bytes, OfError::RequestBadLength);
        let (version, kind, _) = (reader.u8()?, reader.u8()?, reader.u16()?);
        let xid = reader.u32()?;
        let version = Version::of_byte(version).ok_or(OfError::RequestBadVersion)?;
        let mut ahead = reader;
        let row = kind::lookup(version, kind, &mut reader)?;
        let flags = if row.is_multipart() { ahead.skip(2).and_then(|()| ahead.u16())? } else { 0 };
        let length = bytes.len() - reader.left();
        Ok(Self { row, form: Form { version, nicira: row.is_extension() }, xid, flags, length })
    }
}

/// Reads the headers of a whole message; `reader` is left where the body begins.
fn decode_header(bytes: &[u8], reader: &mut Reader<'_>) -> Result<Header, OfError> {
    let stated = bytes.get(2..4).map(|length| usize::from(u16::from_be_bytes([length[0], length[1]])));
    if stated != Some(bytes.len()) {
        return Err(OfError::RequestBadLength);
    }
    let header = Header::of(bytes)?;
    reader.skip(header.length)?;
    if header.row.fits(reader.left()) { Ok(header) } else { Err(OfError::RequestBadLength) }
}

/// Reads one message, whole.
///
/// # Errors
/// The error that the specification names, ready to be sent.
pub fn decode(bytes: &[u8]) -> Result<Message, Fault> {
    let fault = |error| Fault::of(bytes, error);
    let mut reader = Reader::new(bytes, OfError::RequestBadLength);
    // A hello may come in any version: it is what versions are agreed on with.
    if let [version, 0, high, low, rest @ ..] = bytes
        && rest.len() >= 4
        && usize::from(u16::from_be_bytes([*high, *low])) == bytes.len()
    {
        reader.skip(4).map_err(fault)?;
        let xid = reader.u32().map_err(fault)?;
        let form = Form::of(Version::of_byte(*version).unwrap_or_default());
        return Ok(Message { form, xid, body: decode_hello(*version, &mut reader).map_err(fault)? });
    }
    let Header { row, form, xid, .. } = decode_header(bytes, &mut reader).map_err(fault)?;
    let body = decode_body(row, &mut reader, form, xid).map_err(fault)?;
    if reader.left() != 0 {
        return Err(fault(OfError::RequestBadLength));
    }
    // Where the version has only an extension's form, the form says nothing.
    let own = Row::of(row.kind, Form::of(form.version)).is_some_and(|own| own.is_extension());
    Ok(Message { form: Form { nicira: form.nicira && !own, ..form }, xid, body })
}

/// Elements that are not known, or that make no sense, are skipped, as the specification asks (section 7.5.1).
fn decode_hello(version: u8, reader: &mut Reader<'_>) -> Result<Body, OfError> {
    let mut versions = None;
    while let (Ok(kind), Ok(length)) = (reader.u16(), reader.u16()) {
        let length = usize::from(length);
        let Some(mut element) =
            length.checked_sub(4).and_then(|body| reader.part(body, OfError::RequestBadLength).ok())
        else {
            break;
        };
        if kind == 1 {
            // There is no version zero, and a bitmap of none says nothing.
            let bits = element.u32().ok().map(|bits| bits & !1).filter(|bits| *bits != 0);
            versions = versions.or(bits);
        }
        if reader.skip((8 - length % 8) % 8).is_err() {
            break;
        }
    }
    // Without a bitmap the sender speaks its version and all before.
    let below = (2u64 << version.min(31)) as u32;
    match versions.unwrap_or(below.wrapping_sub(1) & !1) {
        0 => Err(OfError::HelloIncompatible),
        versions => Ok(Body::Hello(versions)),
    }
}

fn decode_features(reader: &mut Reader<'_>, version: Version) -> Result<Features, OfError> {
    let (datapath_id, buffers, tables, auxiliary_id) =
        (reader.u64()?, reader.u32()?, reader.u8()?, reader.u8()?);
    reader.skip(2)?;
    let (capabilities, actions) = (reader.u32()?, reader.u32()?);
    let auxiliary_id = if version >= Version::V1_3 { auxiliary_id } else { 0 };
    let actions = if version == Version::V1_0 { actions } else { 0 };
    let mut ports = Vec::new();
    while reader.left() != 0 {
        ports.push(port::decode_port(reader, version)?);
    }
    Ok(Features { datapath_id, buffers, tables, auxiliary_id, capabilities, actions, ports })
}

fn encode_features(out: &mut Vec<u8>, version: Version, features: &Features) {
    out.u64(features.datapath_id);
    out.u32(features.buffers);
    out.u8(features.tables);
    out.u8(if version >= Version::V1_3 { features.auxiliary_id } else { 0 });
    out.zeros(2);
    out.u32(features.capabilities);
    out.u32(if version == Version::V1_0 { features.actions } else { 0 });
    if version < Version::V1_3 {
        features.ports.iter().for_each(|port| port::encode_port(out, version, port));
    }
}

fn decode_body(row: &Row, reader: &mut Reader<'_>, form: Form, xid: u32) -> Result<Body, OfError> {
    let version = form.version;
    let properties =
        matches!(row.name, "NXT_SET_ASYNC_CONFIG2") || (version >= Version::V1_4 && !form.nicira);
    Ok(match row.kind {
        Kind::Hello => Body::Hello(0),
        Kind::Error => Body::Error { number: (reader.u16()?, reader.u16()?), data: reader.rest().to_vec() },
        Kind::EchoRequest => Body::EchoRequest(reader.rest().to_vec()),
        Kind::EchoReply => Body::EchoReply(reader.rest().to_vec()),
        Kind::FeaturesRequest => Body::FeaturesRequest,
        Kind::FeaturesReply => Body::FeaturesReply(decode_features(reader, version)?),
        Kind::GetConfigRequest => Body::GetConfigRequest,
        Kind::GetConfigReply => Body::GetConfigReply(reader.u16()?, reader.u16()?),
        Kind::SetConfig => Body::SetConfig(reader.u16()?, reader.u16()?),
        Kind::PacketIn => Body::PacketIn(packet::decode_packet_in(reader, form)?),
        Kind::PacketIn2 => Body::PacketIn2(packet::decode_packet_in2(reader, false)?),
        Kind::Resume => Body::Resume(packet::decode_packet_in2(reader, true)?),
        Kind::FlowRemoved => Body::FlowRemoved(flow_mod::decode_flow_removed(reader, form)?),
        Kind::PortStatus => {
            let reason = reader.u8()?;
            reader.skip(7)?;
            Body::PortStatus(reason, port::decode_port(reader, version)?)
        }
        Kind::PacketOut => Body::PacketOut(packet::decode_packet_out(reader, version)?),
        Kind::FlowMod => Body::FlowMod(flow_mod::decode_flow_mod(reader, form)?),
        Kind::GroupMod => Body::GroupMod(group::decode_group_mod(reader, version)?),
        Kind::PortMod => Body::PortMod(port::decode_port_mod(reader, version)?),
        Kind::TableMod => Body::TableMod(table::decode_table_mod(reader)?),
        Kind::MeterMod => Body::MeterMod(meter::decode_meter_mod(reader)?),
        Kind::BarrierRequest => Body::BarrierRequest,
        Kind::BarrierReply => Body::BarrierReply,
        Kind::QueueConfigRequest => {
            let number = port::decode_number(reader, version)?;
            reader.rest();
            Body::QueueConfigRequest(number)
        }
        Kind::QueueConfigReply => {
            let (port, queues) = queue::decode_config(reader, version)?;
            Body::QueueConfigReply(port, queues)
        }
        Kind::RoleRequest | Kind::RoleReply => {
            let (role, generation) = roles::decode_role(reader, form)?;
            match row.kind {
                Kind::RoleRequest => Body::RoleRequest(role, generation),
                _ => Body::RoleReply(role, generation),
            }
        }
        Kind::RoleStatus => Body::RoleStatus(roles::decode_status(reader)?),
        Kind::GetAsyncRequest => Body::GetAsyncRequest,
        Kind::GetAsyncReply => Body::GetAsyncReply(roles::decode_async(reader, form, properties)?),
        Kind::SetAsync => Body::SetAsync(roles::decode_async(reader, form, properties)?),
        Kind::TableStatus => Body::TableStatus(table::decode_status(reader)?),
        Kind::RequestForward => Body::RequestForward(bundle::decode_forward(reader)?),
        Kind::BundleControl => Body::BundleControl(bundle::decode_control(reader)?),
        Kind::BundleAdd => Body::BundleAdd(bundle::decode_add(reader, version, xid)?),
        _ => return decode_rest(row.kind, reader, form),
    })
}

/// The extensions of Nicira's, and statistics.
fn decode_rest(kind: Kind, reader: &mut Reader<'_>, form: Form) -> Result<Body, OfError> {
    Ok(match kind {
        Kind::FlowMonitorCancel => Body::FlowMonitorCancel(reader.u32()?),
        Kind::FlowMonitorPaused => Body::FlowMonitorPaused,
        Kind::FlowMonitorResumed => Body::FlowMonitorResumed,
        Kind::SetFlowFormat => Body::FlowFormat(reader.u32()?),
        Kind::FlowModTableId => {
            let on = reader.u8()?;
            reader.skip(7)?;
            Body::FlowModTableId(on != 0)
        }
        Kind::SetPacketInFormat => Body::PacketInFormat(reader.u32()?),
        Kind::FlowAge => Body::FlowAge,
        Kind::ControllerId | Kind::CtFlushZone => {
            if reader.take(6)? != [0; 6] {
                return Err(OfError::NxRequestMustBeZero);
            }
            let number = reader.u16()?;
            if kind == Kind::ControllerId { Body::ControllerId(number) } else { Body::CtFlushZone(number) }
        }
        Kind::TlvTableMod => {
            let (command, maps) = extension::decode_tlv_mod(reader)?;
            Body::TlvTableMod(command, maps)
        }
        Kind::TlvTableRequest => Body::TlvTableRequest,
        Kind::TlvTableReply => Body::TlvTableReply(extension::decode_tlv_table(reader)?),
        Kind::CtFlush => Body::CtFlush(extension::decode_ct_flush(reader)?),
        _ => match multipart::decode_request(kind, reader, form) {
            Ok(request) => Body::MultipartRequest(request),
            Err(OfError::RequestBadMultipart) => {
                Body::MultipartReply(multipart::decode_reply(kind, reader, form)?)
            }
            Err(error) => return Err(error),
        },
    })
}

impl Message {
    /// A message in OpenFlow 1.3.
    pub fn new(xid: u32, body: Body) -> Self {
        Self { form: Form::default(), xid, body }
    }

    /// The message on the wire. A multipart reply that fits no message becomes several; what the version cannot say is
    /// nothing.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let Some(row) = Row::of(self.body.kind(), self.form) else { return out };
        // Where the version has but one form, that one is meant.
        let form = Form { nicira: row.is_extension(), ..self.form };
        let bodies = match &self.body {
            Body::MultipartReply(reply) => reply.encode(form),
            _ => vec![Vec::new()],
        };
        let last = bodies.len() - 1;
        for (index, body) in bodies.iter().enumerate() {
            let start = out.len();
            let mut header = vec![self.form.version as u8, 0, 0, 0];
            header.u32(self.xid);
            header[1] = row.put_header(&mut header, form.version, index != last);
            if let Body::MultipartReply(_) = &self.body {
                header.extend_from_slice(body);
            } else {
                encode_body(&mut header, row, &self.body, form);
            }
            out.append(&mut header);
            out.length_at(start + 2, start);
        }
        out
    }
}

/// Writes what follows the headers.
fn encode_body(out: &mut Vec<u8>, row: &Row, body: &Body, form: Form) {
    let version = form.version;
    let properties =
        matches!(row.name, "NXT_SET_ASYNC_CONFIG2") || (version >= Version::V1_4 && !form.nicira);
    match body {
        // The hello of OpenFlow 1.0 has no body; who speaks others too says so as they do.
        Body::Hello(versions) if version == Version::V1_0 && *versions == Version::V1_0.bit() => {}
        Body::Hello(versions) => {
            out.u16(1);
            out.u16(8);
            out.u32(*versions);
        }
        Body::Error { number, data } => {
            out.u16(number.0);
            out.u16(number.1);
            out.extend_from_slice(data);
        }
        Body::EchoRequest(data) | Body::EchoReply(data) | Body::RequestForward(data) => {
            out.extend_from_slice(data);
        }
        Body::FeaturesReply(features) => encode_features(out, version, features),
        Body::GetConfigReply(flags, length) | Body::SetConfig(flags, length) => {
            out.u16(*flags);
            out.u16(*length);
        }
        Body::PacketIn(packet) => packet::encode_packet_in(out, form, packet),
        Body::PacketIn2(packet) | Body::Resume(packet) => packet::encode_packet_in2(out, version, packet),
        Body::FlowRemoved(flow) => flow_mod::encode_flow_removed(out, form, flow),
        Body::PortStatus(reason, port) => {
            out.u8(*reason);
            out.zeros(7);
            port::encode_port(out, version, port);
        }
        Body::PacketOut(packet) => packet::encode_packet_out(out, version, packet),
        Body::FlowMod(flow) => flow_mod::encode_flow_mod(out, form, flow),
        Body::GroupMod(group) => group::encode_group_mod(out, version, group),
        Body::PortMod(port) => port::encode_port_mod(out, version, port),
        Body::TableMod(table) => table::encode_table_mod(out, version, table),
        Body::MeterMod(meter) => meter::encode_meter_mod(out, meter),
        Body::QueueConfigRequest(number) => {
            port::encode_number(out, version, *number);
            out.zeros(if version == Version::V1_0 { 2 } else { 4 });
        }
        Body::QueueConfigReply(port, queues) => queue::encode_config(out, version, *port, queues),
        Body::MultipartRequest(request) => request.encode(out, form),
        Body::RoleRequest(role, generation) | Body::RoleReply(role, generation) => {
            roles::encode_role(out, form, *role, *generation);
        }
        Body::RoleStatus(status) => roles::encode_status(out, status),
        Body::GetAsyncReply(config) | Body::SetAsync(config) => roles::encode_async(out, config, properties),
        Body::TableStatus(status) => table::encode_status(out, status),
        Body::BundleControl(control) => bundle::encode_control(out, control),
        Body::BundleAdd(add) => bundle::encode_add(out, add),
        Body::FlowMonitorCancel(number) | Body::FlowFormat(number) | Body::PacketInFormat(number) => {
            out.u32(*number);
        }
        Body::FlowModTableId(on) => {
            out.u8(u8::from(*on));
            out.zeros(7);
        }
        Body::ControllerId(number) | Body::CtFlushZone(number) => {
            out.zeros(6);
            out.u16(*number);
        }
        Body::TlvTableMod(command, maps) => extension::encode_tlv_mod(out, *command, maps),
        Body::TlvTableReply(table) => extension::encode_tlv_table(out, table),
        Body::CtFlush(flush) => extension::encode_ct_flush(out, flush),
        Body::MultipartReply(_)
        | Body::FeaturesRequest
        | Body::GetConfigRequest
        | Body::BarrierRequest
        | Body::BarrierReply
        | Body::GetAsyncRequest
        | Body::FlowMonitorPaused
        | Body::FlowMonitorResumed
        | Body::FlowAge
        | Body::TlvTableRequest => {}
    }
}
