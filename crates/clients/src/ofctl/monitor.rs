//! Watching a switch: what it sends is printed, and operators may send by `ovs-appctl`.

use std::fs::File;
use std::io::Write;
use std::time::SystemTime;

use heddle_openflow::monitor::{MonitorRequest, flag};
use heddle_openflow::multipart::Request as Question;
use heddle_openflow::{Body, Version};

use super::connection::{Connection, kind, xid};
use super::flow_text::parse_filter;
use super::flows::among;
use super::formats::Formats;
use super::{Context, print};
use crate::fatal::{Fatal, fail};
use crate::log;
use crate::unixctl::{self, Command, Request, Server};

const COMMANDS: &[Command] = &[
    Command { name: "exit", usage: "", words: (0, 0) },
    Command { name: "ofctl/barrier", usage: "", words: (0, 0) },
    Command { name: "ofctl/block", usage: "", words: (0, 0) },
    Command { name: "ofctl/send", usage: "OFMSG...", words: (1, usize::MAX) },
    Command {
        name: "ofctl/packet-out",
        usage: "\"in_port=<port> packet=<hex data> actions=...\"",
        words: (1, 1),
    },
    Command { name: "ofctl/set-output-file", usage: "FILE", words: (1, 1) },
    Command { name: "ofctl/unblock", usage: "", words: (0, 0) },
];

/// Bytes out of hexadecimal text.
pub(super) fn hex(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    if !digits.len().is_multiple_of(2) {
        return None;
    }
    let digit = |byte: u8| char::from(byte).to_digit(16);
    digits.chunks(2).map(|pair| Some((digit(pair[0])? << 4 | digit(pair[1])?) as u8)).collect()
}

pub(super) fn monitor(context: &mut Context<'_>) -> Result<u8, Fatal> {
    let mut miss_len = None;
    let mut invalid_ttl = false;
    let mut watched = Vec::new();
    for word in &context.words[1..] {
        match word.as_str() {
            "invalid_ttl" => invalid_ttl = true,
            word if word.starts_with("watch:") => {
                watched.push(what_to_watch(&word[6..], watched.len() as u32)?)
            }
            word if !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit()) => {
                miss_len = word.parse::<u16>().ok();
            }
            other => return fail(format!("{other}: unsupported \"monitor\" argument")),
        }
    }
    for request in &watched {
        among(context, Formats::for_match(&request.matching))?;
    }
    let mut connection = context.open()?;
    if let Some(length) = miss_len {
        let messages = connection.ask(Body::GetConfigRequest, false)?;
        let flags =
            match messages.first().map(|bytes| heddle_openflow::decode(bytes).map(|message| message.body)) {
                Some(Ok(Body::GetConfigReply(flags, _))) => flags,
                _ => 0,
            };
        let flags = if invalid_ttl { flags | 4 } else { flags };
        let error = connection.settle([(Body::SetConfig(flags, length), false)])?;
        context.refuse(error)?;
    }
    for request in watched {
        // What is there already is an answer, and not news.
        let messages = connection.ask(Body::MultipartRequest(Question::FlowMonitor(vec![request])), true)?;
        context.print(&messages)?;
        context.out.flush()?;
    }
    if connection.version == Version::V1_0 {
        // Packets come with the table and the cookie that sent them, where the switch can say them.
        let format = context.settings.packet_in.unwrap_or(1);
        let error = connection.settle([(Body::PacketInFormat(format), true)])?;
        if context.settings.packet_in.is_some() {
            context.refuse(error)?;
        }
    }
    watch(context, connection, true)
}

/// Reads what follows `watch:`: words with `!` take something out of what is told, others say of which flows.
fn what_to_watch(text: &str, id: u32) -> Result<MonitorRequest, Fatal> {
    let all = flag::INITIAL | flag::ADD | flag::REMOVED | flag::MODIFY | flag::INSTRUCTIONS | flag::ONLY_OWN;
    let (mut flags, mut rest) = (all, Vec::new());
    for word in text.split([',', ' ']).filter(|word| !word.is_empty()) {
        flags &= match word {
            "!initial" => !flag::INITIAL,
            "!add" => !flag::ADD,
            "!delete" => !flag::REMOVED,
            "!modify" => !flag::MODIFY,
            "!actions" => !flag::INSTRUCTIONS,
            "!abbrev" => !flag::NO_ABBREV,
            "!own" => !flag::ONLY_OWN,
            _ => {
                rest.push(word);
                continue;
            }
        };
    }
    let filter = parse_filter(&rest.join(","))?;
    Ok(MonitorRequest {
        id,
        flags,
        out_port: filter.out_port,
        out_group: filter.out_group,
        table_id: filter.table_id,
        matching: filter.matching,
        ..MonitorRequest::default()
    })
}

pub(super) fn snoop(context: &mut Context<'_>) -> Result<u8, Fatal> {
    let connection = Connection::open(&context.words[0], "snoop", context.settings.versions)?;
    watch(context, connection, false)
}

/// Who waits for a barrier.
struct Waiting {
    barrier: u32,
    request: Request,
}

fn watch(context: &mut Context<'_>, mut connection: Connection, answers: bool) -> Result<u8, Fatal> {
    let mut control = Server::open(context.settings.unixctl.as_deref(), COMMANDS)?;
    // What is watched is written there.
    context.settings.background.keeps_errors = true;
    context.settings.background.ready()?;
    let (mut blocked, mut readable) = (false, false);
    let mut waiting: Vec<Waiting> = Vec::new();
    loop {
        loop {
            if blocked {
                break;
            }
            let next = match connection.receive_if_there(std::mem::take(&mut readable)) {
                // Nobody waits for what a process in the background has to say in the end.
                Err(fatal) if context.settings.background.detach => {
                    log::write("ofctl", log::Level::Debug, &fatal.message);
                    return Ok(1);
                }
                next => next?,
            };
            let Some(message) = next else { break };
            if answers && connection.answer_echo(&message)? {
                continue;
            }
            show(context, "", &message)?;
            let barrier = if connection.version == Version::V1_0 { 19 } else { 21 };
            if kind(&message) == barrier
                && let Some(at) = waiting.iter().position(|one| one.barrier == xid(&message))
            {
                let Waiting { request, .. } = waiting.remove(at);
                control.reply(&request, Ok(String::new()));
            }
        }
        for request in control.take() {
            let answer = match request.command.as_str() {
                "exit" => {
                    control.reply(&request, Ok(String::new()));
                    return Ok(0);
                }
                "ofctl/barrier" => {
                    let barrier = connection.send(Body::BarrierRequest, false)?;
                    waiting.push(Waiting { barrier, request });
                    continue;
                }
                "ofctl/block" | "ofctl/unblock" => {
                    let block = request.command == "ofctl/block";
                    let changed = blocked != block;
                    blocked = block;
                    if changed {
                        Ok(String::new())
                    } else {
                        Err(format!("already {}blocking", if block { "" } else { "un" }))
                    }
                }
                "ofctl/send" => send(context, &mut connection, &request.words),
                "ofctl/packet-out" => {
                    let body =
                        super::commands::parse_packet_out(&request.words[0]).map_err(|fatal| fatal.message);
                    body.and_then(|body| connection.send(body, false).map_err(|fatal| fatal.message))
                        .map(|_| String::new())
                }
                _ => File::create(&request.words[0])
                    .map(|file| {
                        context.watched = Some(file);
                        String::new()
                    })
                    .map_err(|error| crate::fatal::reason(&error)),
            };
            control.reply(&request, answer);
        }
        let mut descriptors: Vec<_> = control.descriptors().collect();
        if !blocked {
            descriptors.push(connection.descriptor());
        }
        readable = unixctl::wait(&descriptors, None)?.last() == Some(&true) && !blocked;
    }
}

/// Prints a message where operators expect what they watch: on the standard error stream, or in the file they named.
fn show(context: &mut Context<'_>, before: &str, message: &[u8]) -> Result<(), Fatal> {
    let mut text = String::new();
    if context.settings.timestamp {
        text += &format!("{}: ", log::time_text(SystemTime::now(), "%Y-%m-%d %H:%M:%S.###"));
    }
    text += &format!("{before}{}", print::message(message, context.settings.verbosity + 2));
    match &mut context.watched {
        Some(file) => file.write_all(text.as_bytes())?,
        None => eprint!("{text}"),
    }
    Ok(())
}

fn send(context: &mut Context<'_>, connection: &mut Connection, words: &[String]) -> Result<String, String> {
    let mut answer = String::new();
    for word in words {
        let Some(bytes) = hex(word) else { return Err("error parsing as hex".into()) };
        if bytes.len() < 8 {
            return Err("Message too short for OpenFlow".into());
        }
        show(context, "send: ", &bytes).map_err(|fatal| fatal.message)?;
        connection.send_bytes(&bytes).map_err(|fatal| fatal.message)?;
        answer += "sent\n";
    }
    Ok(answer)
}
