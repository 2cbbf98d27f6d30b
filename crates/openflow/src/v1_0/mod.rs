//! OpenFlow 1.0 on the wire (OpenFlow 1.0.1 section 5), and Nicira's messages for it.
//!
//! What the versions mean alike is the same [`Body`]. A list of actions is one `apply_actions`; ports have 16 bits.

mod actions;
mod flows;
mod matching;
mod nicira;
mod ports;
mod statistics;

pub(crate) use self::actions::decode_actions;
use crate::action::Action;
use crate::bytes::{Put, Reader};
use crate::error::OfError;
use crate::message::{Body, NO_BUFFER, decode_common, encode_common, put_frame};
use crate::port::{from_16, to_16};
use crate::version::Version;

/// What actions a switch may have, in a features reply: a bit for each of the version's own but `enqueue`.
const ACTIONS: u32 = 0x7ff;

/// A port in 16 bits; one that has none stands for no port.
fn short(port: u32) -> u16 {
    to_16(port).unwrap_or(u16::MAX)
}

/// Reads what follows the header; whether it is Nicira's form of the message.
pub(crate) fn decode_body(kind: u8, reader: &mut Reader<'_>) -> Result<(Body, bool), OfError> {
    let body = match kind {
        1..=3 | 5 | 7..=9 => decode_common(kind, reader)?.ok_or(OfError::RequestBadType)?,
        4 => return Ok((nicira::decode(reader)?, true)),
        6 => ports::decode_features(reader)?,
        10 => flows::decode_packet_in(reader)?,
        11 => Body::FlowRemoved(flows::decode_flow_removed(reader)?),
        12 => {
            let reason = reader.u8()?;
            reader.skip(7)?;
            Body::PortStatus(reason, ports::decode_port(reader)?)
        }
        13 => decode_packet_out(reader)?,
        14 => Body::FlowMod(flows::decode_flow_mod(reader)?),
        15 => Body::PortMod(ports::decode_port_mod(reader)?),
        16 => {
            let (request, nicira) = statistics::decode_request(reader)?;
            return finish(reader, Body::MultipartRequest(request), nicira);
        }
        17 => {
            let (reply, nicira) = statistics::decode_reply(reader)?;
            return finish(reader, Body::MultipartReply(reply), nicira);
        }
        18 => Body::BarrierRequest,
        19 => Body::BarrierReply,
        20 => {
            let port = from_16(reader.u16()?);
            reader.skip(2)?;
            Body::QueueConfigRequest(port)
        }
        21 => {
            let port = from_16(reader.u16()?);
            reader.skip(6)?;
            Body::QueueConfigReply(port)
        }
        _ => return Err(OfError::RequestBadType),
    };
    finish(reader, body, false)
}

fn finish(reader: &Reader<'_>, body: Body, nicira: bool) -> Result<(Body, bool), OfError> {
    if reader.left() == 0 { Ok((body, nicira)) } else { Err(OfError::RequestBadLength) }
}

fn decode_packet_out(reader: &mut Reader<'_>) -> Result<Body, OfError> {
    let (buffer_id, in_port, length) = (reader.u32()?, from_16(reader.u16()?), usize::from(reader.u16()?));
    let mut part = reader.part(length, OfError::ActionBadLength)?;
    let actions = decode_actions(&mut part, None)?;
    Ok(Body::PacketOut { buffer_id, in_port, actions, data: reader.rest().to_vec() })
}

/// Writes what follows the header; returns the type. What the version has no message for becomes none: nothing
/// is sent then.
pub(crate) fn encode_body(out: &mut Vec<u8>, body: &Body, nicira: bool) -> Option<u8> {
    Some(match body {
        // The hello of this version has no body; who speaks others too says so as they do.
        Body::Hello(versions) if *versions == Version::V1_0.bit() => 0,
        Body::FeaturesReply { datapath_id, buffers, tables, capabilities, ports } => {
            out.u64(*datapath_id);
            out.u32(*buffers);
            out.u8(*tables);
            out.zeros(3);
            out.u32(*capabilities);
            out.u32(ACTIONS);
            ports.iter().for_each(|port| ports::encode_port(out, port));
            6
        }
        Body::PacketIn { .. } if !nicira => {
            flows::encode_packet_in(out, body);
            10
        }
        Body::FlowRemoved(flow) if !nicira => {
            flows::encode_flow_removed(out, flow);
            11
        }
        Body::PortStatus(reason, port) => {
            out.u8(*reason);
            out.zeros(7);
            ports::encode_port(out, port);
            12
        }
        Body::PacketOut { buffer_id, in_port, actions, data } => {
            out.u32(*buffer_id);
            out.u16(short(*in_port));
            encode_sized_actions(out, actions);
            put_frame(out, data);
            13
        }
        Body::FlowMod(flow_mod) if !nicira => {
            flows::encode_flow_mod(out, flow_mod);
            14
        }
        Body::PortMod(port) => {
            ports::encode_port_mod(out, port);
            15
        }
        Body::MultipartRequest(request) => {
            statistics::encode_request(out, request, nicira)?;
            16
        }
        Body::MultipartReply(_) => 17,
        Body::BarrierRequest => 18,
        Body::BarrierReply => 19,
        Body::QueueConfigRequest(port) => {
            out.u16(short(*port));
            out.zeros(2);
            20
        }
        Body::QueueConfigReply(port) => {
            out.u16(short(*port));
            out.zeros(6);
            21
        }
        _ => match encode_common(out, body) {
            Some(kind) => kind,
            None => {
                nicira::encode(out, body)?;
                4
            }
        },
    })
}

/// The bodies of the messages that carry a reply.
pub(crate) fn encode_reply(reply: &crate::multipart::Reply, nicira: bool) -> Vec<Vec<u8>> {
    statistics::encode_reply(reply, nicira)
}

fn encode_sized_actions(out: &mut Vec<u8>, list: &[Action]) {
    let at = out.len();
    out.zeros(2);
    actions::encode_actions(out, list, None);
    out.length_at(at, at + 2);
}

/// No packet is kept in the switch.
const UNBUFFERED: u32 = NO_BUFFER;
