//! OpenFlow messages and the text syntax of flows.
//!
//! Bytes and text go in, values come out, and the other way round; there is no I/O here. A [`Message`] is the same for
//! all versions of the protocol: what differs is in tables (the codec), so that a version is rows and not modules.
//! [`Action`] and [`Instruction`] are used by the pipeline as they are. The text syntax reads and writes the syntax that
//! `ovs-ofctl` made common.
#![forbid(unsafe_code)]

pub mod action;
pub mod error;
pub mod message;
pub mod port;

pub use action::{Action, Instruction, PacketInReason};
pub use error::{Error, ErrorCode};
pub use message::{
    AggregateStats, Body, Bucket, Config, Desc, Experimenter, Features, FlowMod, FlowModCommand, FlowRemoved,
    FlowRemovedReason, FlowRequest, FlowStats, GroupMod, Message, MeterMod, MultipartReply, MultipartRequest,
    PacketIn, PacketOut, PortDesc, PortMod, PortReason, PortStats, PortStatus, Role, RoleMessage, TableFeatures,
    TableMod, TableStats, flags,
};
/// Version byte of OpenFlow 1.3.
pub const VERSION_1_3: u8 = 0x04;
/// `OFP_NO_BUFFER`: the packet is in the message, not in a buffer of the switch.
pub const NO_BUFFER: u32 = 0xffff_ffff;
/// `OFPCML_NO_BUFFER`: send the controller the whole packet.
pub const WHOLE_PACKET: u16 = 0xffff;
/// `OFPTT_ALL`: every table, in requests and deletions.
pub const ALL_TABLES: u8 = 0xff;
/// `OFPG_ANY`: no restriction on the group.
pub const ANY_GROUP: u32 = 0xffff_ffff;
