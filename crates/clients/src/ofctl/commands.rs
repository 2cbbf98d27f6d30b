//! Commands on a switch as a whole, its ports, groups and meters.

use std::time::Instant;

use heddle_openflow::message::PacketOut;
use heddle_openflow::modify::{PortMod, TableMod};
use heddle_openflow::multipart::Request;
use heddle_openflow::port::{self, config};
use heddle_openflow::table::Vacancy;
use heddle_openflow::table::config::{EVICTION, MISS_NAMES, VACANCY_EVENTS};
use heddle_openflow::text::{parse_actions, parse_match, parse_port};
use heddle_openflow::{Body, PortDesc, Version};

use super::connection::Connection;
use super::monitor::hex;
use super::print::FRAGMENTS;
use super::{Context, ports};
use crate::fatal::{Fatal, fail};

pub(super) fn print_reply(context: &mut Context<'_>, request: Request) -> Result<u8, Fatal> {
    let mut connection = context.open()?;
    let messages = connection.ask(Body::MultipartRequest(request), false)?;
    context.print(&messages)?;
    Ok(0)
}

pub(super) fn show(context: &mut Context<'_>) -> Result<u8, Fatal> {
    let mut connection = context.open()?;
    let messages = connection.ask(Body::FeaturesRequest, false)?;
    context.print(&messages)?;
    if connection.version >= Version::V1_3 {
        let messages = connection.ask(Body::MultipartRequest(Request::PortDesc(port::ANY)), false)?;
        context.print(&messages)?;
    }
    let messages = connection.ask(Body::GetConfigRequest, false)?;
    context.print(&messages)?;
    Ok(0)
}

pub(super) fn dump_desc(context: &mut Context<'_>) -> Result<u8, Fatal> {
    print_reply(context, Request::Desc)
}

pub(super) fn dump_tables(context: &mut Context<'_>) -> Result<u8, Fatal> {
    print_reply(context, Request::Table)
}

pub(super) fn dump_table_features(context: &mut Context<'_>) -> Result<u8, Fatal> {
    if context.settings.versions & (Version::V1_3.bit() | NEWER) == 0 {
        return fail("dump-table-features needs OpenFlow 1.3 or later ('-O OpenFlow13')");
    }
    print_reply(context, Request::TableFeatures)
}

pub(super) fn mod_table(context: &mut Context<'_>) -> Result<u8, Fatal> {
    let table: u8 = match (context.words[1].as_str(), context.words[1].parse()) {
        ("all" | "ALL", _) => 255,
        (_, Ok(table)) => table,
        (other, _) => return fail(format!("unknown table \"{other}\"")),
    };
    let (versions, config, vacancy) = table_setting(&context.words[2])?;
    let word = context.words[2].split(':').next().unwrap_or_default();
    if context.settings.versions & versions == 0 {
        let names = Version::ALL.iter().filter(|version| versions & version.bit() != 0);
        let names: Vec<String> =
            names.map(|version| format!("OpenFlow{}", version.number().replace('.', ""))).collect();
        return fail(format!(
            "table_mod '{word}' requires one of the OpenFlow versions {}",
            names.join(", ")
        ));
    }
    context.settings.versions &= versions;
    let mut connection = context.open()?;
    let mut change = TableMod { table_id: table, config, vacancy, ..TableMod::default() };
    if versions == NEWER {
        // The message says the whole configuration: what was not named stays as it is.
        let there = table_config(&mut connection, table)?;
        let named = if matches!(word, "evict" | "noevict") { EVICTION } else { VACANCY_EVENTS };
        change.config |= there.config & !named;
        change.vacancy = change.vacancy.or(there.vacancy);
    }
    let error = connection.settle(vec![(Body::TableMod(change), false)])?;
    context.refuse(error)?;
    Ok(0)
}

/// Versions whose tables are configured by what becomes of packets, and by flows that go.
const OLDER: u32 = Version::V1_1.bit() | Version::V1_2.bit();
const NEWER: u32 = Version::V1_4.bit() | Version::V1_5.bit();

/// The versions that have a setting, its bits, and when events are told.
fn table_setting(word: &str) -> Result<(u32, u32, Option<Vacancy>), Fatal> {
    if let Some(bounds) = word.strip_prefix("vacancy:") {
        let bounds =
            bounds.split_once(',').and_then(|(down, up)| Some((down.parse().ok()?, up.parse().ok()?)));
        return match bounds {
            Some((down, up)) if down <= up && up <= 100 => {
                Ok((NEWER, VACANCY_EVENTS, Some(Vacancy { down, up, current: 0 })))
            }
            Some((down, up)) if down > up => fail(format!(
                "Invalid vacancy value vacancy_down should be less than vacancy_up: {down},{up}"
            )),
            _ => fail(format!("Invalid vacancy value \"{word}\"")),
        };
    }
    match (word, MISS_NAMES.iter().position(|name| *name == word)) {
        (_, Some(miss)) => Ok((OLDER, miss as u32, None)),
        ("evict", _) => Ok((NEWER, EVICTION, None)),
        ("noevict" | "novacancy", _) => Ok((NEWER, 0, None)),
        _ => fail(format!("invalid table_mod setting {word}")),
    }
}

/// How a table is configured.
fn table_config(connection: &mut Connection, table: u8) -> Result<TableMod, Fatal> {
    for bytes in connection.ask(Body::MultipartRequest(Request::TableDesc), false)? {
        if let Ok(Body::MultipartReply(heddle_openflow::multipart::Reply::TableDesc(list))) =
            heddle_openflow::decode(&bytes).map(|message| message.body)
            && let Some(found) = list.into_iter().find(|one| one.table_id == table)
        {
            return Ok(found);
        }
    }
    Ok(TableMod { table_id: table, ..TableMod::default() })
}

pub(super) fn dump_table_desc(context: &mut Context<'_>) -> Result<u8, Fatal> {
    if context.settings.versions & NEWER == 0 {
        return fail("dump-table-desc needs OpenFlow 1.4 or later ('-O OpenFlow14')");
    }
    context.settings.versions &= NEWER;
    print_reply(context, Request::TableDesc)
}

fn switch_config(connection: &mut Connection) -> Result<(u16, u16), Fatal> {
    for bytes in connection.ask(Body::GetConfigRequest, false)? {
        if let Ok(Body::GetConfigReply(flags, length)) =
            heddle_openflow::decode(&bytes).map(|message| message.body)
        {
            return Ok((flags, length));
        }
    }
    fail(format!("{}: bad reply to config request", connection.name))
}

pub(super) fn fragments(context: &mut Context<'_>) -> Result<u8, Fatal> {
    let mut connection = context.open()?;
    let (flags, _) = switch_config(&mut connection)?;
    writeln!(context.out, "{}", FRAGMENTS[usize::from(flags & 3)].1)?;
    Ok(0)
}

pub(super) fn set_fragments(context: &mut Context<'_>) -> Result<u8, Fatal> {
    let word = &context.words[1];
    let Some((mode, _)) = FRAGMENTS.iter().find(|(_, name)| name == word) else {
        return fail(format!("{word}: unknown fragment handling mode"));
    };
    let mut connection = context.open()?;
    let (flags, length) = switch_config(&mut connection)?;
    let error = connection.settle(vec![(Body::SetConfig(flags & !3 | mode, length), false)])?;
    context.refuse(error)?;
    if switch_config(&mut connection)?.0 & 3 != *mode {
        return fail(format!(
            "{}: setting fragment handling mode failed (this switch probably doesn't support mode \"{word}\")",
            context.words[0]
        ));
    }
    Ok(0)
}

/// The port that a word names, for switches' counters.
fn port_of(context: &Context<'_>, connection: &mut Connection) -> Result<u32, Fatal> {
    let Some(word) = context.words.get(1) else { return Ok(port::ANY) };
    match parse_port(word) {
        Ok(number) => Ok(number),
        Err(_) => match ports(connection)?.number(word) {
            Some(number) => Ok(number),
            None => fail(format!("{}: unknown port `{word}'", context.words[0])),
        },
    }
}

pub(super) fn dump_ports(context: &mut Context<'_>) -> Result<u8, Fatal> {
    let mut connection = context.open()?;
    let number = port_of(context, &mut connection)?;
    let messages = connection.ask(Body::MultipartRequest(Request::PortStats(number)), false)?;
    context.print(&messages)?;
    Ok(0)
}

pub(super) fn dump_ports_desc(context: &mut Context<'_>) -> Result<u8, Fatal> {
    let mut connection = context.open()?;
    // A port is named for OpenFlow 1.5 alone; others list all.
    let number = port_of(context, &mut connection)?;
    let messages = connection.ask(Body::MultipartRequest(Request::PortDesc(number)), false)?;
    context.print(&messages)?;
    Ok(0)
}

pub(super) fn mod_port(context: &mut Context<'_>) -> Result<u8, Fatal> {
    const ACTIONS: [(&str, u32, bool); 14] = [
        ("up", config::DOWN, false),
        ("down", config::DOWN, true),
        ("stp", 2, false),
        ("no-stp", 2, true),
        ("receive", config::NO_RECV, false),
        ("no-receive", config::NO_RECV, true),
        ("receive-stp", 8, false),
        ("no-receive-stp", 8, true),
        ("flood", config::NO_FLOOD, false),
        ("no-flood", config::NO_FLOOD, true),
        ("forward", config::NO_FWD, false),
        ("no-forward", config::NO_FWD, true),
        ("packet-in", config::NO_PACKET_IN, false),
        ("no-packet-in", config::NO_PACKET_IN, true),
    ];
    let (port, action) = (&context.words[1], context.words[2].as_str());
    // `noflood` and the like are older ways to write them.
    let wanted = ACTIONS.iter().find(|(name, ..)| *name == action || name.replacen("no-", "no", 1) == action);
    let Some((_, bit, on)) = wanted else { return fail(format!("unknown mod-port command '{action}'")) };
    let mut connection = context.open()?;
    let found = find_port(&mut connection, port)?;
    let Some(found) = found else {
        return fail(format!("{}: couldn't find port `{port}'", context.words[0]));
    };
    let change = PortMod {
        number: found.number,
        mac: found.mac,
        config: if *on { *bit } else { 0 },
        mask: *bit,
        advertise: 0,
    };
    let error = connection.settle(vec![(Body::PortMod(change), false)])?;
    context.refuse(error)?;
    Ok(0)
}

fn find_port(connection: &mut Connection, word: &str) -> Result<Option<PortDesc>, Fatal> {
    let number = parse_port(word).ok();
    let question = match connection.version {
        version if version < Version::V1_3 => Body::FeaturesRequest,
        _ => Body::MultipartRequest(Request::PortDesc(port::ANY)),
    };
    for bytes in connection.ask(question, false)? {
        let list = match heddle_openflow::decode(&bytes).map(|message| message.body) {
            Ok(Body::FeaturesReply(features)) => features.ports,
            Ok(Body::MultipartReply(heddle_openflow::multipart::Reply::PortDesc(ports))) => ports,
            _ => continue,
        };
        if let Some(port) = list.into_iter().find(|port| port.name == word || Some(port.number) == number) {
            return Ok(Some(port));
        }
    }
    Ok(None)
}

pub(super) fn queue_stats(context: &mut Context<'_>) -> Result<u8, Fatal> {
    let mut connection = context.open()?;
    let number = match context.words.get(1).map(String::as_str) {
        Some("ALL" | "all") => port::ANY,
        _ => port_of(context, &mut connection)?,
    };
    let queue = match context.words.get(2).map(String::as_str) {
        None | Some("ALL" | "all") => u32::MAX,
        Some(word) => match word.parse() {
            Ok(queue) => queue,
            Err(_) => return fail(format!("invalid queue \"{word}\"")),
        },
    };
    let messages = connection.ask(Body::MultipartRequest(Request::QueueStats(number, queue)), false)?;
    context.print(&messages)?;
    Ok(0)
}

pub(super) fn queue_get_config(context: &mut Context<'_>) -> Result<u8, Fatal> {
    let queue = match context.words.get(2).map(|word| (word, word.parse())) {
        None => u32::MAX,
        Some((_, Ok(queue))) => queue,
        Some((word, _)) if word.eq_ignore_ascii_case("any") => u32::MAX,
        Some((word, _)) => return fail(format!("invalid queue \"{word}\"")),
    };
    let mut connection = context.open()?;
    if queue != u32::MAX && connection.version < Version::V1_4 {
        return fail("QUEUE may be specified only with OpenFlow 1.4 and later");
    }
    let number = port_of(context, &mut connection)?;
    let numbers = match (number, connection.version) {
        // OpenFlow 1.0 asks port by port.
        (port::ANY, Version::V1_0) => {
            ports(&mut connection)?.0.into_keys().filter(|number| *number < port::MAX).collect()
        }
        _ => vec![number],
    };
    for number in numbers {
        // OpenFlow 1.4 has queues among its descriptions.
        let question = match connection.version >= Version::V1_4 {
            true => Body::MultipartRequest(Request::QueueDesc(number, queue)),
            false => Body::QueueConfigRequest(number),
        };
        let messages = connection.ask(question, false)?;
        context.print(&messages)?;
    }
    Ok(0)
}

/// Reads `in_port=PORT packet=HEX actions=...`.
pub(super) fn parse_packet_out(text: &str) -> Result<Body, Fatal> {
    let Some((head, actions)) = text.split_once("actions=") else { return fail("must specify an action") };
    let (mut in_port, mut data, mut fields) = (None, None, Vec::new());
    for word in head.split([',', ' ']).filter(|word| !word.is_empty()) {
        match word.split_once('=') {
            Some(("in_port", value)) => {
                in_port = Some(
                    parse_port(value).map_err(|_| Fatal::new(format!("{value}: unknown packet-out port")))?,
                );
            }
            Some(("packet", value)) => {
                data = Some(hex(value).ok_or_else(|| Fatal::new("Trailing garbage in packet data"))?);
            }
            Some((name, _)) if heddle_flow::Field::by_name(name).is_some() => fields.push(word),
            Some((name, _)) => return fail(format!("unknown keyword {name}")),
            None => return fail(format!("field {word} missing value")),
        }
    }
    let matching = parse_match(&fields.join(",")).map_err(|error| Fatal::new(error.to_string()))?;
    let Some(data) = data else { return fail("must specify packet") };
    let actions = parse_actions(actions.trim()).map_err(|error| Fatal::new(error.to_string()))?;
    Ok(Body::PacketOut(PacketOut {
        in_port: in_port.unwrap_or(port::CONTROLLER),
        actions,
        data,
        matching,
        ..PacketOut::default()
    }))
}

pub(super) fn packet_out(context: &mut Context<'_>) -> Result<u8, Fatal> {
    let mut connection = context.open()?;
    let bodies = match &context.words[1..] {
        [text] => {
            let early = parse_packet_out(text);
            vec![match early {
                Ok(body) => body,
                Err(fatal) => match ports(&mut connection)?.numbered(text) {
                    numbered if numbered == *text => return Err(fatal),
                    numbered => parse_packet_out(&numbered)?,
                },
            }]
        }
        [in_port, actions, packets @ ..] => {
            let names = ports(&mut connection)?;
            let whole = |packet: &String| {
                let text = format!(
                    "in_port={} packet={packet} actions={}",
                    names.numbered(in_port),
                    names.numbered(actions)
                );
                parse_packet_out(&text)
            };
            packets.iter().map(whole).collect::<Result<Vec<_>, _>>()?
        }
        [] => Vec::new(),
    };
    let error = connection.settle(bodies.into_iter().map(|body| (body, false)))?;
    context.refuse(error)?;
    Ok(0)
}

fn echo(connection: &mut Connection, length: usize) -> Result<u32, Fatal> {
    let data: Vec<u8> = (0..length).map(|at| at as u8).collect();
    let id = connection.send(Body::EchoRequest(data.clone()), false)?;
    let replies = connection.replies(id)?;
    let same = replies.iter().any(|bytes| bytes.get(1) == Some(&3) && bytes.get(8..) == Some(&data[..]));
    if same { Ok(id) } else { fail("reply does not match request") }
}

pub(super) fn probe(context: &mut Context<'_>) -> Result<u8, Fatal> {
    let mut connection = context.open()?;
    echo(&mut connection, 0)?;
    Ok(0)
}

pub(super) fn ping(context: &mut Context<'_>) -> Result<u8, Fatal> {
    let length = context.words.get(1).map_or(Ok(64), |word| word.parse::<usize>());
    let Ok(length @ 8..=65_535) = length else { return fail("payload must be between 8 and 65535 bytes") };
    let mut connection = context.open()?;
    for _ in 0..10 {
        let start = Instant::now();
        let id = echo(&mut connection, length - 8)?;
        let ms = start.elapsed().as_secs_f64() * 1e3;
        writeln!(context.out, "{length} bytes from {}: xid={id:08x} time={ms:.1} ms", context.words[0])?;
        context.out.flush()?;
    }
    Ok(0)
}

pub(super) fn benchmark(context: &mut Context<'_>) -> Result<u8, Fatal> {
    let (Ok(size @ 0..=65_527), Ok(count)) =
        (context.words[1].parse::<usize>(), context.words[2].parse::<u32>())
    else {
        return fail("payload must be at most 65527 bytes, and a number of them is needed");
    };
    let whole = size + 8;
    writeln!(
        context.out,
        "Sending {count} packets * {whole} bytes (with header) = {} bytes total",
        whole as u64 * u64::from(count)
    )?;
    let mut connection = context.open()?;
    let start = Instant::now();
    for _ in 0..count {
        echo(&mut connection, size)?;
    }
    let seconds = start.elapsed().as_secs_f64().max(1e-9);
    let rate = f64::from(count) / seconds;
    writeln!(
        context.out,
        "Finished in {:.1} ms ({rate:.0} packets/s) ({:.0} bytes/s)",
        seconds * 1e3,
        rate * whole as f64
    )?;
    Ok(0)
}
