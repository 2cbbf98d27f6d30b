//! Commands by Nicira's messages: options of tunnels, connections to forget, samples, and the form of packets.

use heddle_flow::Field;
use heddle_openflow::Body;
use heddle_openflow::extension::{CtFlush, CtTuple, TlvCommand, TlvMap};
use heddle_openflow::multipart::Request;
use heddle_openflow::text::{parse_number, parse_value};

use super::Context;
use super::commands::print_reply;
use crate::fatal::{Fatal, fail};

fn told(context: &mut Context<'_>, body: Body) -> Result<u8, Fatal> {
    let mut connection = context.open()?;
    let error = connection.settle(vec![(body, true)])?;
    context.refuse(error)?;
    Ok(0)
}

fn number<T: TryFrom<u128>>(name: &str, text: &str) -> Result<T, Fatal> {
    let read = parse_number(text).ok().and_then(|number| T::try_from(number).ok());
    read.ok_or_else(|| Fatal::new(format!("invalid {name} \"{text}\"")))
}

/// Reads `{class=0xffff,type=0,len=4}->tun_metadata0`, and more of them behind commas.
fn maps(text: &str) -> Result<Vec<TlvMap>, Fatal> {
    let mut maps = Vec::new();
    for word in text.split("{").map(str::trim).filter(|word| !word.is_empty()) {
        let Some((option, field)) = word.trim_end_matches([',', ' ']).split_once("}->") else {
            return fail(format!("{word}: expected {{class=C,type=T,len=L}}->tun_metadataN"));
        };
        let mut map = TlvMap::default();
        for part in option.split(',') {
            match part.trim().split_once('=') {
                Some(("class", value)) => map.class = number("class", value)?,
                Some(("type", value)) => map.kind = number("type", value)?,
                Some(("len", value)) => map.length = number("len", value)?,
                _ => return fail(format!("{part}: unknown part of an option")),
            }
        }
        map.index = match field.strip_prefix("tun_metadata") {
            Some(index) => number("tun_metadata", index)?,
            None => return fail(format!("{field}: not a tun_metadata field")),
        };
        maps.push(map);
    }
    if maps.is_empty() { fail("must specify an option") } else { Ok(maps) }
}

pub(super) fn add_tlv_map(context: &mut Context<'_>) -> Result<u8, Fatal> {
    let maps = maps(&context.words[1])?;
    told(context, Body::TlvTableMod(TlvCommand::Add, maps))
}

pub(super) fn del_tlv_map(context: &mut Context<'_>) -> Result<u8, Fatal> {
    let body = match context.words.get(1) {
        Some(text) => Body::TlvTableMod(TlvCommand::Delete, maps(text)?),
        None => Body::TlvTableMod(TlvCommand::Clear, Vec::new()),
    };
    told(context, body)
}

pub(super) fn dump_tlv_map(context: &mut Context<'_>) -> Result<u8, Fatal> {
    let mut connection = context.open()?;
    let messages = connection.ask(Body::TlvTableRequest, true)?;
    context.print(&messages)?;
    Ok(0)
}

pub(super) fn dump_ipfix_bridge(context: &mut Context<'_>) -> Result<u8, Fatal> {
    print_reply(context, Request::IpfixBridge)
}

pub(super) fn dump_ipfix_flow(context: &mut Context<'_>) -> Result<u8, Fatal> {
    print_reply(context, Request::IpfixFlow)
}

pub(super) fn set_packet_in_format(context: &mut Context<'_>) -> Result<u8, Fatal> {
    let format = super::packet_in_format(&context.words[1])?;
    told(context, Body::PacketInFormat(format))
}

pub(super) fn ct_flush_zone(context: &mut Context<'_>) -> Result<u8, Fatal> {
    let zone = number("zone_id", &context.words[1])?;
    told(context, Body::CtFlushZone(zone))
}

/// Reads one direction: `ct_nw_src=10.0.0.1,ct_tp_dst=80,ct_nw_proto=6`.
fn tuple(text: &str, protocol: &mut u8) -> Result<CtTuple, Fatal> {
    let mut tuple = CtTuple::default();
    let address = |field: Field, value: &str| {
        parse_value(field, value).map_err(|_| Fatal::new(format!("failed to parse address: {value}")))
    };
    for word in text.split([',', ' ']).filter(|word| !word.is_empty()) {
        let (name, value) = word.split_once('=').unwrap_or((word, ""));
        match name {
            // An IPv4 address is mapped into IPv6.
            "ct_nw_src" => tuple.src = 0xffff << 32 | address(Field::Ipv4Src, value)?,
            "ct_nw_dst" => tuple.dst = 0xffff << 32 | address(Field::Ipv4Dst, value)?,
            "ct_ipv6_src" => tuple.src = address(Field::Ipv6Src, value)?,
            "ct_ipv6_dst" => tuple.dst = address(Field::Ipv6Dst, value)?,
            "ct_nw_proto" => *protocol = number(name, value)?,
            "ct_tp_src" | "icmp_id" => tuple.src_port = number(name, value)?,
            "ct_tp_dst" => tuple.dst_port = number(name, value)?,
            "icmp_type" => {
                tuple.dst_port = tuple.dst_port & 0xff | number::<u8>(name, value).map(u16::from)? << 8
            }
            "icmp_code" => {
                tuple.dst_port = tuple.dst_port & 0xff00 | number::<u8>(name, value).map(u16::from)?
            }
            _ => return fail(format!("invalid conntrack tuple field: {word}")),
        }
    }
    Ok(tuple)
}

pub(super) fn ct_flush(context: &mut Context<'_>) -> Result<u8, Fatal> {
    let mut flush = CtFlush::default();
    let mut tuples = 0;
    for word in &context.words[1..] {
        match word.split_once('=') {
            Some(("zone", value)) => flush.zone = Some(number("zone", value)?),
            Some(("mark", value)) => {
                let (value, mask) = value.split_once('/').unwrap_or((value, "0xffffffff"));
                (flush.mark, flush.mark_mask) = (Some(number("mark", value)?), Some(number("mark", mask)?));
            }
            Some(("labels", value)) => {
                let (value, mask) =
                    value.split_once('/').map_or((value, None), |(value, mask)| (value, Some(mask)));
                flush.labels = Some(number("labels", value)?);
                flush.labels_mask = Some(mask.map_or(Ok(u128::MAX), |mask| number("labels", mask))?);
            }
            _ => {
                let side = if tuples == 0 { &mut flush.original } else { &mut flush.reply };
                *side = tuple(word, &mut flush.protocol)?;
                tuples += 1;
            }
        }
    }
    told(context, Body::CtFlush(flush))
}
