//! Flows: dumping, adding, changing, comparing.

use std::collections::BTreeMap;
use std::io::Read;

use heddle_openflow::multipart::{FlowFilter, FlowStats, Reply, Request};
use heddle_openflow::{Body, Command, FlowMod, Form, Message, Version};

use super::connection::Connection;
use super::flow_text::{self, Shown, parse_filter, parse_line};
use super::formats::Formats;
use super::names::Ports;
use super::{Context, bundle, ports, print};
use crate::fatal::{Fatal, fail, reason};

/// Largest file of flows, 1 GiB.
const MAX_FILE: u64 = 1 << 30;

/// The formats that flows may go in, of those that can say them all.
///
/// # Errors
/// The options allow none of them.
fn usable(context: &Context<'_>, flows: &[FlowMod]) -> Result<Formats, Fatal> {
    among(context, flows.iter().fold(Formats::ANY, |formats, flow| formats.narrowed(flow)))
}

/// The formats that are usable and allowed.
///
/// # Errors
/// There is none.
pub(super) fn among(context: &Context<'_>, usable: Formats) -> Result<Formats, Fatal> {
    let usable =
        if context.settings.bundle { usable & Formats::of_versions(bundle::VERSIONS) } else { usable };
    let allowed = context.settings.formats;
    if (usable & allowed).is_empty() {
        return fail(format!(
            "none of the usable flow formats ({usable}) is among the allowed flow formats ({allowed})"
        ));
    }
    Ok(usable & allowed)
}

/// Reads text with the names of the switch's ports in it, which are asked for only where the text needs them.
fn with_names<T>(
    connection: &mut Connection,
    text: &str,
    known: &mut Option<Ports>,
    read: impl Fn(&str) -> Result<T, Fatal>,
) -> Result<T, Fatal> {
    let refused = match read(text) {
        Ok(value) => return Ok(value),
        Err(refused) => refused,
    };
    if known.is_none() {
        *known = Some(ports(connection)?);
    }
    let numbered = known.as_ref().map_or_else(|| text.to_owned(), |ports| ports.numbered(text));
    if numbered == text { Err(refused) } else { read(&numbered) }
}

fn filter(context: &Context<'_>, connection: &mut Connection) -> Result<FlowFilter, Fatal> {
    let text = context.words.get(1).map_or("", String::as_str);
    let filter = with_names(connection, text, &mut None, parse_filter)?;
    among(context, Formats::for_match(&filter.matching))?;
    Ok(filter)
}

/// Says how flows are told of, where the version has several ways.
fn choose_format(context: &Context<'_>, connection: &mut Connection) -> Result<(), Fatal> {
    if connection.version == Version::V1_0 && context.settings.formats.has_nicira() {
        let error = connection.settle([(Body::FlowFormat(2), true)])?;
        context.refuse(error)?;
    }
    Ok(())
}

pub(super) fn dump(context: &mut Context<'_>) -> Result<u8, Fatal> {
    let mut connection = context.open()?;
    let filter = filter(context, &mut connection)?;
    let plain = !context.settings.names && context.settings.stats && context.settings.sort.is_empty();
    let names = if context.settings.names { Some(ports(&mut connection)?) } else { None };
    choose_format(context, &mut connection)?;
    let question = Body::MultipartRequest(Request::Flow(filter));
    let nicira = context.settings.formats.has_nicira();
    if plain {
        // As they come: there may be many.
        let id = connection.send(question, nicira)?;
        connection.each_reply(id, |message| context.print(&[message]))?;
        return Ok(0);
    }
    let messages = connection.ask(question, nicira)?;
    let mut found = stats(&messages);
    if found.is_empty() {
        context.refuse(messages.into_iter().find(|bytes| super::connection::kind(bytes) == 1))?;
    }
    // The last key counts least, and sorting is stable.
    for (field, reversed) in context.settings.sort.iter().rev() {
        found.sort_by(|a, b| {
            let (a, b) = (sort_key(a, field), sort_key(b, field));
            if *reversed { b.cmp(&a) } else { a.cmp(&b) }
        });
    }
    let stats = context.settings.stats;
    for flow in &found {
        let shown = Shown { flow, version: connection.version, stats, names: names.as_ref() };
        writeln!(context.out, "{}", flow_text::print(&shown))?;
    }
    Ok(0)
}

/// A flow's value of a field; flows that do not ask for it come last.
fn sort_key(flow: &FlowStats, field: &str) -> (bool, u128) {
    match heddle_flow::Field::by_name(field) {
        Some(field) => {
            let (value, mask) = flow.matching.get(field);
            (mask == 0, value)
        }
        None => (false, flow.priority.into()),
    }
}

fn stats(messages: &[Vec<u8>]) -> Vec<FlowStats> {
    let flows = messages.iter().filter_map(|bytes| match heddle_openflow::decode(bytes).ok()?.body {
        Body::MultipartReply(Reply::Flow(flows)) => Some(flows),
        _ => None,
    });
    flows.flatten().collect()
}

pub(super) fn dump_aggregate(context: &mut Context<'_>) -> Result<u8, Fatal> {
    let mut connection = context.open()?;
    let filter = filter(context, &mut connection)?;
    choose_format(context, &mut connection)?;
    let messages = connection
        .ask(Body::MultipartRequest(Request::Aggregate(filter)), context.settings.formats.has_nicira())?;
    context.print(&messages)?;
    Ok(0)
}

/// Sends changes, and waits until the switch has made them.
fn change(
    context: &mut Context<'_>,
    connection: &mut Connection,
    mut flows: Vec<FlowMod>,
) -> Result<(), Fatal> {
    let formats = usable(context, &flows)? & Formats::of_versions(connection.version.bit());
    if formats.is_empty() {
        return fail(format!(
            "switch does not support any of the usable flow formats ({})",
            usable(context, &flows)?
        ));
    }
    let format = formats.first();
    for flow in &mut flows {
        // Where tables have no numbers, or no number stands for all, the first is meant.
        let all = format.has_tables() && (connection.version == Version::V1_0 || flow.command.deletes());
        if flow.table_id == FlowMod::ALL_TABLES && !(all && connection.version != Version::V1_1) {
            flow.table_id = 0;
        }
    }
    let nicira = format.has_nicira();
    let changes = flows.into_iter().map(|flow| (Body::FlowMod(flow), nicira));
    if context.settings.bundle {
        return bundle::send(context, connection, changes.map(|(body, _)| body));
    }
    let mut batch = connection.batch();
    if connection.version == Version::V1_0 {
        if nicira {
            connection.put(&mut batch, Body::FlowFormat(2), true)?;
        }
        if format.has_tables() {
            connection.put(&mut batch, Body::FlowModTableId(true), true)?;
        }
    }
    let verbosity = context.settings.verbosity;
    for (body, nicira) in changes {
        let message = connection.encode(body, nicira)?;
        // Whoever wants to know much gets the messages themselves.
        match verbosity {
            0..=4 => {}
            5 => write!(context.out, "{}", print::hex_dump(&message))?,
            _ => writeln!(
                context.out,
                "{}",
                message.iter().map(|byte| format!("{byte:02x}")).collect::<String>()
            )?,
        }
        connection.put_bytes(&mut batch, &message)?;
    }
    let error = connection.settled(batch)?;
    context.refuse(error)
}

/// Sends changes of groups and meters: as one bundle where that was asked for, else one by one with a barrier behind them.
pub(super) fn send_changes(
    context: &Context<'_>,
    connection: &mut Connection,
    changes: Vec<(Body, bool)>,
) -> Result<(), Fatal> {
    if context.settings.bundle {
        return bundle::send(context, connection, changes.into_iter().map(|(body, _)| body));
    }
    let error = connection.settle(changes)?;
    context.refuse(error)
}

fn one(context: &mut Context<'_>, command: Command, with_actions: bool) -> Result<u8, Fatal> {
    let text = context.words.get(1).map_or("", String::as_str);
    if text == "-" {
        return file(context, &read_file("-")?, "<stdin>", command, with_actions);
    }
    // A mistake is told before the switch is called.
    let parse = |text: &str| flow_text::parse(text, command, with_actions);
    let early = parse(text);
    let mut connection = context.open_for_changes()?;
    let flow = match early {
        Ok(flow) => flow,
        Err(_) => with_names(&mut connection, text, &mut None, parse)?,
    };
    change(context, &mut connection, vec![flow])?;
    Ok(0)
}

pub(super) fn add(context: &mut Context<'_>) -> Result<u8, Fatal> {
    one(context, Command::Add, true)
}

pub(super) fn modify(context: &mut Context<'_>) -> Result<u8, Fatal> {
    let command = if context.settings.strict { Command::ModifyStrict } else { Command::Modify };
    one(context, command, true)
}

pub(super) fn delete(context: &mut Context<'_>) -> Result<u8, Fatal> {
    let command = if context.settings.strict { Command::DeleteStrict } else { Command::Delete };
    one(context, command, false)
}

pub(super) fn read_file(name: &str) -> Result<String, Fatal> {
    let refused = |error: std::io::Error| Fatal::new(format!("{name}: open failed ({})", reason(&error)));
    let mut text = String::new();
    if name == "-" {
        std::io::stdin().take(MAX_FILE).read_to_string(&mut text)?;
    } else {
        std::fs::File::open(name)
            .map_err(refused)?
            .take(MAX_FILE)
            .read_to_string(&mut text)
            .map_err(refused)?;
    }
    Ok(text)
}

/// The lines of a file that say something, with their numbers.
pub(super) fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let said = |line: &'_ str| line.split('#').next().unwrap_or_default().trim().len();
    text.lines().enumerate().filter_map(move |(index, line)| {
        let plain = line.split('#').next().unwrap_or_default().trim();
        (said(line) > 0).then_some((index + 1, plain))
    })
}

pub(super) fn at_line(name: &str, number: usize, fatal: Fatal) -> Fatal {
    Fatal { message: format!("{name}:{number}: {}", fatal.message), ..fatal }
}

fn file(
    context: &mut Context<'_>,
    text: &str,
    name: &str,
    command: Command,
    with_actions: bool,
) -> Result<u8, Fatal> {
    let mut connection = context.open_for_changes()?;
    let (mut flows, mut known) = (Vec::new(), None);
    for (number, line) in lines(text) {
        let read = |line: &str| match command {
            Command::Add => parse_line(line),
            _ => flow_text::parse(line, command, with_actions),
        };
        flows.push(
            with_names(&mut connection, line, &mut known, read)
                .map_err(|fatal| at_line(name, number, fatal))?,
        );
    }
    change(context, &mut connection, flows)?;
    Ok(0)
}

pub(super) fn add_file(context: &mut Context<'_>) -> Result<u8, Fatal> {
    let name = context.words[1].clone();
    let text = read_file(&name)?;
    let shown = if name == "-" { "<stdin>" } else { name.as_str() };
    // Mistakes in the file are told before the switch is called, but for names of ports.
    file(context, &text, shown, Command::Add, true)
}

/// What tells flows apart: table, priority and match.
type Key = (u8, u16, String);
/// What a flow does, and what else it has.
type Value = (FlowMod, String);

fn entry(flow: FlowMod, version: Version) -> (Key, Value) {
    let flow =
        FlowMod { table_id: if flow.table_id == FlowMod::ALL_TABLES { 0 } else { flow.table_id }, ..flow };
    let key = (flow.table_id, flow.priority, heddle_openflow::text::print_match(&flow.matching));
    let actions = flow_text::instructions(&flow.instructions, version);
    (key, (flow, actions))
}

/// The flows of a file, or of a switch.
fn source(context: &Context<'_>, word: &str, version: Version) -> Result<BTreeMap<Key, Value>, Fatal> {
    if let Ok(text) = read_file(word) {
        let mut found = BTreeMap::new();
        for (number, line) in lines(&text) {
            let flow = parse_line(line).map_err(|fatal| at_line(word, number, fatal))?;
            found.extend([entry(flow, version)]);
        }
        return Ok(found);
    }
    let mut connection = Connection::open(word, "mgmt", context.settings.versions)?;
    switch_flows(context, &mut connection)
}

fn switch_flows(context: &Context<'_>, connection: &mut Connection) -> Result<BTreeMap<Key, Value>, Fatal> {
    choose_format(context, connection)?;
    let all = parse_filter("")?;
    let messages =
        connection.ask(Body::MultipartRequest(Request::Flow(all)), context.settings.formats.has_nicira())?;
    let version = connection.version;
    let flow = |flow: FlowStats| FlowMod {
        table_id: flow.table_id,
        priority: flow.priority,
        cookie: flow.cookie,
        idle_timeout: flow.idle_timeout,
        hard_timeout: flow.hard_timeout,
        flags: flow.flags,
        importance: flow.importance,
        matching: flow.matching,
        instructions: flow.instructions,
        ..FlowMod::default()
    };
    Ok(stats(&messages).into_iter().map(|stats| entry(flow(stats), version)).collect())
}

/// Whether two flows of the same match do the same.
fn same(a: &Value, b: &Value) -> bool {
    let rest = |flow: &FlowMod| (flow.cookie, flow.idle_timeout, flow.hard_timeout, flow.importance);
    a.1 == b.1 && rest(&a.0) == rest(&b.0)
}

pub(super) fn replace(context: &mut Context<'_>) -> Result<u8, Fatal> {
    let name = context.words[1].clone();
    let mut connection = context.open_for_changes()?;
    let text = read_file(&name)?;
    let (mut wanted, mut known) = (BTreeMap::new(), None);
    for (number, line) in lines(&text) {
        let flow = with_names(&mut connection, line, &mut known, parse_line)
            .map_err(|fatal| at_line(&name, number, fatal))?;
        wanted.extend([entry(flow, connection.version)]);
    }
    let there = switch_flows(context, &mut connection)?;
    let gone = there.iter().filter(|(key, _)| !wanted.contains_key(*key)).map(|(_, (flow, _))| FlowMod {
        command: Command::DeleteStrict,
        instructions: Vec::new(),
        cookie: 0,
        flags: 0,
        importance: 0,
        ..flow.clone()
    });
    let new = wanted.iter().filter(|(key, value)| {
        context.settings.readd || !there.get(*key).is_some_and(|other| same(other, value))
    });
    let mut flows: Vec<FlowMod> = gone.chain(new.map(|(_, (flow, _))| flow.clone())).collect();
    // Table by table; in each, what goes makes room for what comes.
    flows.sort_by_key(|flow| flow.table_id);
    change(context, &mut connection, flows)?;
    Ok(0)
}

pub(super) fn diff(context: &mut Context<'_>) -> Result<u8, Fatal> {
    let version = Version::agreed(context.settings.versions, context.settings.versions).unwrap_or_default();
    let first = source(context, &context.words[0], version)?;
    let second = source(context, &context.words[1], version)?;
    let line = |(flow, actions): &Value| {
        let mut text = String::new();
        if flow.table_id != 0 {
            text += &format!("table={} ", flow.table_id);
        }
        let matching = flow_text::matching(&flow.matching, flow.priority);
        if !matching.is_empty() {
            text += &format!("{matching} ");
        }
        if flow.cookie != 0 {
            text += &format!("cookie={:#x} ", flow.cookie);
        }
        for (name, value) in [
            ("idle_timeout", flow.idle_timeout),
            ("hard_timeout", flow.hard_timeout),
            ("importance", flow.importance),
        ] {
            if value != 0 {
                text += &format!("{name}={value} ");
            }
        }
        format!("{text}actions={actions}")
    };
    // By table, and within it the highest priority first.
    let mut keys: Vec<&Key> =
        first.keys().chain(second.keys().filter(|key| !first.contains_key(*key))).collect();
    keys.sort_by_key(|(table, priority, matching)| (*table, std::cmp::Reverse(*priority), matching.clone()));
    let mut differs = false;
    for key in keys {
        let (a, b) = (first.get(key), second.get(key));
        if a.zip(b).is_some_and(|(a, b)| same(a, b)) {
            continue;
        }
        differs = true;
        for (sign, value) in [('-', a), ('+', b)] {
            if let Some(value) = value {
                writeln!(context.out, "{sign}{}", line(value))?;
            }
        }
    }
    Ok(if differs { 2 } else { 0 })
}

/// Writes flows as the messages that would add them, in the format that would be chosen.
fn show_parsed(context: &mut Context<'_>, flows: &[FlowMod]) -> Result<u8, Fatal> {
    let can = flows.iter().fold(Formats::ANY, |formats, flow| formats.narrowed(flow));
    writeln!(context.out, "usable protocols: {can}")?;
    if (can & context.settings.formats).is_empty() {
        return fail("no usable protocol");
    }
    let chosen = (can & context.settings.formats).first();
    let version = chosen.version();
    writeln!(context.out, "chosen protocol: {chosen}")?;
    let form = Form { version, nicira: version == Version::V1_0 && chosen.has_nicira() };
    for (index, flow) in flows.iter().enumerate() {
        let mut flow = flow.clone();
        if flow.table_id == FlowMod::ALL_TABLES && !(version == Version::V1_0 && chosen.has_tables()) {
            flow.table_id = 0;
        }
        let bytes = Message { form, xid: index as u32 + 1, body: Body::FlowMod(flow) }.encode();
        write!(context.out, "{}", print::message(&bytes, context.settings.verbosity + 1))?;
    }
    Ok(0)
}

pub(super) fn parse_flow(context: &mut Context<'_>) -> Result<u8, Fatal> {
    let flow = flow_text::parse(&context.words[0], Command::Add, true)?;
    show_parsed(context, &[flow])
}

pub(super) fn parse_flows(context: &mut Context<'_>) -> Result<u8, Fatal> {
    let name = context.words[0].clone();
    let text = read_file(&name)?;
    let shown = if name == "-" { "<stdin>" } else { name.as_str() };
    let flows: Result<Vec<FlowMod>, Fatal> = lines(&text)
        .map(|(number, line)| parse_line(line).map_err(|fatal| at_line(shown, number, fatal)))
        .collect();
    show_parsed(context, &flows?)
}
