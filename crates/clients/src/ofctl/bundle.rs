//! Changes that a switch makes together or not at all (`--bundle` and the command `bundle`).

use heddle_openflow::bundle::{BundleAdd, BundleControl, flags};
use heddle_openflow::group::GroupCommand;
use heddle_openflow::text::parse_group;
use heddle_openflow::{Body, FlowMod, Form, Message, OfError, Version};

use super::connection::{Batch, Connection, xid};
use super::flow_text::parse_line;
use super::flows::{at_line, lines, read_file};
use super::{Context, print};
use crate::fatal::{Fatal, fail};

/// Versions that have bundles; OpenFlow 1.3 has them as an extension.
pub const VERSIONS: u32 = Version::V1_3.bit() | Version::V1_4.bit() | Version::V1_5.bit();
/// All or nothing, and in order.
const FLAGS: u16 = flags::ATOMIC | flags::ORDERED;
/// Number of the one bundle of a connection.
const ID: u32 = 0;

/// Messages that were sent, by id.
type Sent = Vec<(u32, Vec<u8>)>;

/// Sends a control message behind what waits, and waits for its answer: the errors that came until then. Whether it was refused.
fn control(
    connection: &mut Connection,
    mut batch: Batch,
    kind: u16,
    sent: &mut Sent,
) -> Result<(Vec<Vec<u8>>, bool), Fatal> {
    let id = connection.next_xid();
    let body = Body::BundleControl(BundleControl { id: ID, kind, flags: FLAGS });
    let message = Message { form: Form::of(connection.version), xid: id, body }.encode();
    connection.put_bytes(&mut batch, &message)?;
    sent.push((id, message));
    let errors = connection.finish(batch, id)?;
    let refused = errors.iter().any(|error| xid(error) == id);
    Ok((errors, refused))
}

/// Sends changes as one bundle. What is refused is printed, each error with the message that it is about.
///
/// # Errors
/// Something was refused: then nothing is changed. The stream has ended.
pub fn send(
    context: &Context<'_>,
    connection: &mut Connection,
    bodies: impl Iterator<Item = Body>,
) -> Result<(), Fatal> {
    let mut sent = Sent::new();
    let batch = connection.batch();
    let (mut errors, mut failed) = control(connection, batch, BundleControl::OPEN, &mut sent)?;
    if !failed {
        let form = Form::of(connection.version);
        let mut batch = connection.batch();
        for body in bodies {
            // The message within has the id of the one around it.
            let id = connection.next_xid();
            let message = Message { form, xid: id, body }.encode();
            let add = Body::BundleAdd(BundleAdd { id: ID, flags: FLAGS, message: message.clone() });
            connection.put_bytes(&mut batch, &Message { form, xid: id, body: add }.encode())?;
            sent.push((id, message));
        }
        // As in Open vSwitch, a barrier tells that all has been taken; a bundle need not be closed before it is committed.
        let id = connection.next_xid();
        let barrier = Message { form, xid: id, body: Body::BarrierRequest }.encode();
        connection.put_bytes(&mut batch, &barrier)?;
        let more = connection.finish(batch, id)?;
        let refused = more.iter().any(|error| xid(error) == id);
        errors.extend(more);
        let next = if errors.is_empty() { BundleControl::COMMIT } else { BundleControl::DISCARD };
        // Where a bundle is refused as a whole, errors are about the messages that were added before.
        let first = sent.first().map_or(0, |(id, _)| *id);
        let batch = connection.batch().since(first);
        let (more, unfinished) = control(connection, batch, next, &mut sent)?;
        errors.extend(more);
        failed = refused || unfinished || next == BundleControl::DISCARD;
    }
    for error in &errors {
        let name = match heddle_openflow::decode(error).map(|message| (message.form.version, message.body)) {
            Ok((version, Body::Error { number, data })) => {
                OfError::of_wire(version, number, &data).map_or("an unknown error", |(error, _)| error.name())
            }
            _ => "an unknown error",
        };
        let about = sent.iter().find(|(id, _)| *id == xid(error)).map(|(_, message)| message);
        let text = about.map_or_else(
            || "the bundle\n".to_owned(),
            |message| print::message(message, context.settings.verbosity + 1),
        );
        eprint!("Error {name} for: {text}");
    }
    if failed { fail(format!("talking to {} (Protocol error)", connection.name)) } else { Ok(()) }
}

/// A line of a file: a flow, a group or a packet, by its first word.
fn line(text: &str) -> Result<Body, Fatal> {
    let rest =
        |word: &str| text.strip_prefix(word).filter(|rest| rest.starts_with([' ', '\t'])).map(str::trim);
    if let Some(group) = rest("group") {
        let (command, group) = super::groups::command_of(group);
        let command = if command == GroupCommand::AddOrModify { GroupCommand::AddOrModify } else { command };
        let group = parse_group(group, command).map_err(|error| Fatal::new(error.to_string()))?;
        return Ok(Body::GroupMod(group));
    }
    if let Some(packet) = rest("packet-out") {
        return super::commands::parse_packet_out(packet);
    }
    match rest("flow") {
        Some(flow) => {
            let mut flow = parse_line(flow)?;
            if flow.table_id == FlowMod::ALL_TABLES && !flow.command.deletes() {
                flow.table_id = 0;
            }
            Ok(Body::FlowMod(flow))
        }
        None => fail(format!(
            "unexpected bundle message type: {}",
            text.split([' ', '\t']).next().unwrap_or(text)
        )),
    }
}

/// `bundle SWITCH FILE`.
pub fn bundle(context: &mut Context<'_>) -> Result<u8, Fatal> {
    let name = context.words[1].clone();
    let text = read_file(&name)?;
    let read = |(number, text): (usize, &str)| line(text).map_err(|fatal| at_line(&name, number, fatal));
    let bodies = lines(&text).map(read).collect::<Result<Vec<_>, _>>()?;
    context.settings.bundle = true;
    let mut connection = context.open_for_changes()?;
    send(context, &mut connection, bodies.into_iter())?;
    Ok(0)
}
