//! Flows: dumping, adding, changing, comparing.

use std::collections::BTreeMap;
use std::io::Read;

use heddle_flow::Match;
use heddle_openflow::multipart::{FlowFilter, FlowStats, Reply, Request};
use heddle_openflow::{Body, Command, FlowMod, Form, Message, Version};

use super::connection::Connection;
use super::flow_text::{self, Shown, parse_filter, parse_line};
use super::names::Ports;
use super::{Context, bundle, ports, print};
use crate::fatal::{Fatal, fail, reason};

/// Largest file of flows, 1 GiB.
const MAX_FILE: u64 = 1 << 30;

/// Names of the formats of flows that the options allow.
pub(super) fn allowed(context: &Context<'_>) -> String {
    let settings = &context.settings;
    let name = |version: &Version| match version {
        Version::V1_0 if settings.nicira => "OpenFlow10,NXM".to_owned(),
        Version::V1_0 => "OpenFlow10".to_owned(),
        Version::V1_1 => "OpenFlow11".to_owned(),
        version => format!("OXM-OpenFlow{}", version.number().replace('.', "")),
    };
    let versions = Version::ALL.iter().filter(|version| settings.versions & version.bit() != 0);
    versions.map(name).collect::<Vec<_>>().join(",")
}

/// That the version can say what a flow does.
fn check_format(context: &Context<'_>, version: Version, flow: &FlowMod) -> Result<(), Fatal> {
    check_match(context, version, &flow.matching)?;
    match flow_text::newer_formats(flow).filter(|_| version == Version::V1_0) {
        Some(formats) => fail(format!(
            "none of the usable flow formats ({formats}) is among the allowed flow formats ({})",
            allowed(context)
        )),
        None => Ok(()),
    }
}

/// Whether a version's own form can say what a flow matches.
fn can_say(version: Version, matching: &Match) -> bool {
    let body = Body::FlowMod(FlowMod { matching: *matching, ..FlowMod::default() });
    let bytes = Message { form: Form::of(version), xid: 0, body }.encode();
    let read = heddle_openflow::decode(&bytes).map(|message| message.body);
    matches!(read, Ok(Body::FlowMod(flow)) if flow.matching == *matching)
}

/// That the version can say what a flow matches: OpenFlow 1.0's own form says less than Nicira's.
fn check_match(context: &Context<'_>, version: Version, matching: &Match) -> Result<(), Fatal> {
    if version != Version::V1_0 || context.settings.nicira || can_say(version, matching) {
        return Ok(());
    }
    let older = if can_say(Version::V1_1, matching) { ",OpenFlow11" } else { "" };
    let formats = allowed(context);
    fail(format!(
        "none of the usable flow formats (NXM,OXM{older}) is among the allowed flow formats ({formats})"
    ))
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
    check_match(context, connection.version, &filter.matching)?;
    Ok(filter)
}

/// Says how flows are told of, where the version has several ways.
fn choose_format(context: &Context<'_>, connection: &mut Connection) -> Result<(), Fatal> {
    if connection.version == Version::V1_0 && context.settings.nicira {
        let error = connection.settle(vec![(Body::FlowFormat(2), true)])?;
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
    let messages = connection.ask(Body::MultipartRequest(Request::Flow(filter)), context.settings.nicira)?;
    if plain {
        context.print(&messages)?;
        return Ok(0);
    }
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
    let messages =
        connection.ask(Body::MultipartRequest(Request::Aggregate(filter)), context.settings.nicira)?;
    context.print(&messages)?;
    Ok(0)
}

/// Sends changes, and waits until the switch has made them.
fn change(context: &Context<'_>, connection: &mut Connection, flows: Vec<FlowMod>) -> Result<(), Fatal> {
    for flow in &flows {
        check_format(context, connection.version, flow)?;
    }
    let bodies = flows.into_iter().map(|flow| (Body::FlowMod(flow), context.settings.nicira)).collect();
    send_changes(context, connection, bodies)
}

/// Sends changes: as one bundle where that was asked for, else one by one with a barrier behind them.
pub(super) fn send_changes(
    context: &Context<'_>,
    connection: &mut Connection,
    changes: Vec<(Body, bool)>,
) -> Result<(), Fatal> {
    if context.settings.bundle {
        return bundle::send(context, connection, changes.into_iter().map(|(body, _)| body).collect());
    }
    let mut bodies = Vec::new();
    if connection.version == Version::V1_0 {
        // Without these, OpenFlow 1.0 has no tables.
        if context.settings.nicira {
            bodies.push((Body::FlowFormat(2), true));
        }
        bodies.push((Body::FlowModTableId(true), true));
    }
    bodies.extend(changes);
    let error = connection.settle(bodies)?;
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
    let messages = connection.ask(Body::MultipartRequest(Request::Flow(all)), context.settings.nicira)?;
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
        ..flow.clone()
    });
    let new = wanted.iter().filter(|(key, value)| {
        context.settings.readd || !there.get(*key).is_some_and(|other| same(other, value))
    });
    let flows = gone.chain(new.map(|(_, (flow, _))| flow.clone())).collect();
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

fn show_parsed(context: &mut Context<'_>, flows: &[FlowMod]) -> Result<u8, Fatal> {
    let version = Version::agreed(context.settings.versions, context.settings.versions).unwrap_or_default();
    for flow in flows {
        check_format(context, version, flow)?;
    }
    let newer = flows.iter().any(|flow| flow_text::newer_formats(flow).is_some() || flow.table_id != 0);
    let (usable, chosen, name) = match (version, newer) {
        (Version::V1_0, false) => ("any", "OpenFlow10-table_id", "OFPT_FLOW_MOD"),
        (Version::V1_0, true) => ("OXM,NXM+table_id", "NXM+table_id", "NXT_FLOW_MOD"),
        (_, false) => ("any", "OXM-OpenFlow13", "OFPT_FLOW_MOD (OF1.3)"),
        (_, true) => ("OXM,OpenFlow11", "OXM-OpenFlow13", "OFPT_FLOW_MOD (OF1.3)"),
    };
    writeln!(context.out, "usable protocols: {usable}\nchosen protocol: {chosen}")?;
    for (index, flow) in flows.iter().enumerate() {
        writeln!(context.out, "{name} (xid={:#x}): {}", index + 1, print::flow_mod(flow, version))?;
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
