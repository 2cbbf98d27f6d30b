//! Commands that call no switch: messages and errors, read and printed.

use std::io::Read;

use heddle_openflow::message::HEADER_LEN;
use heddle_openflow::text::{parse_actions, parse_group};
use heddle_openflow::{Fault, OfError, Version};

use super::groups::command_of;
use super::monitor::hex;
use super::{Context, flow_text, print};
use crate::fatal::{Fatal, fail};

/// Largest file of messages.
const MAX_FILE: u64 = 1 << 30;

fn file(name: &str) -> Result<Vec<u8>, Fatal> {
    let mut bytes = Vec::new();
    if name == "-" {
        std::io::stdin().take(MAX_FILE).read_to_end(&mut bytes)?;
        return Ok(bytes);
    }
    let opened =
        std::fs::File::open(name).map_err(|error| Fatal::system(format!("{name}: open failed"), &error))?;
    opened.take(MAX_FILE).read_to_end(&mut bytes)?;
    Ok(bytes)
}

pub(super) fn print_message(context: &mut Context<'_>) -> Result<u8, Fatal> {
    let verbosity = context.words.get(1).and_then(|word| word.parse().ok()).unwrap_or(2);
    let word = &context.words[0];
    let bytes = match (word.as_str(), context.settings.raw) {
        ("-", true) => Some(file("-")?),
        ("-", false) => hex(&String::from_utf8_lossy(&file("-")?)),
        (text, _) => hex(text),
    };
    let Some(bytes) = bytes else { return fail("trailing garbage following hex bytes") };
    write!(context.out, "{}", print::message(&bytes, verbosity))?;
    Ok(0)
}

/// Prints the messages of a file, one after another as they came over a stream.
pub(super) fn parse_file(context: &mut Context<'_>) -> Result<u8, Fatal> {
    let bytes = file(&context.words[0])?;
    let mut framer = heddle_openflow::Framer::default();
    framer.push(&bytes);
    while let Some(Ok(message)) = framer.next_message() {
        write!(context.out, "{}", print::message(&message, context.settings.verbosity + 2))?;
    }
    Ok(0)
}

fn error_of(word: &str) -> Result<OfError, Fatal> {
    // Names of OpenFlow 1.0 call experimenters vendors.
    let known = OfError::by_name(word).or_else(|| OfError::by_name(&word.replace("EXPERIMENTER", "VENDOR")));
    let known = known.or_else(|| OfError::by_name(&word.replace("EXP_TYPE", "VENDOR_TYPE")));
    known.ok_or_else(|| Fatal::new(format!("unknown error \"{word}\"")))
}

/// The numbers that versions have for an error.
pub(super) fn print_error(context: &mut Context<'_>) -> Result<u8, Fatal> {
    let error = error_of(&context.words[0])?;
    for version in Version::ALL {
        if let Some(number) = error.number_in(*version) {
            let vendor =
                if number.experimenter == 0 { "0".into() } else { format!("{:#x}", number.experimenter) };
            let (kind, code) = (number.kind, number.code);
            writeln!(
                context.out,
                "OpenFlow {}: vendor {vendor}, type {kind}, code {code}",
                version.number()
            )?;
        }
    }
    Ok(0)
}

/// The answer that refuses a message for an error.
pub(super) fn encode_error_reply(context: &mut Context<'_>) -> Result<u8, Fatal> {
    let error = error_of(&context.words[0])?;
    let Some(bytes) = hex(&context.words[1]) else { return fail("Trailing garbage in hex data") };
    if bytes.len() < HEADER_LEN {
        return fail("Request too short");
    }
    if bytes.len() != usize::from(u16::from_be_bytes([bytes[2], bytes[3]])) {
        return fail("Request size inconsistent");
    }
    let version = Version::of_byte(bytes[0]).unwrap_or_default();
    if error.number_in(version).is_none() {
        let text = format!("cannot encode {} for OpenFlow {}", error.name(), version.number());
        crate::log::write("ofp_errors", crate::log::Level::Error, &text);
    }
    let reply = Fault::of(&bytes, error).reply(version).encode();
    write!(context.out, "{}", print::hex_bytes(&reply))?;
    Ok(0)
}

/// The newest version that is allowed, for what has a form in each.
fn version(context: &Context<'_>) -> Version {
    Version::agreed(context.settings.versions, context.settings.versions).unwrap_or_default()
}

/// Reads a list of actions and writes it as it was understood.
pub(super) fn parse_actions_text(context: &mut Context<'_>) -> Result<u8, Fatal> {
    let actions = parse_actions(&context.words[0]).map_err(|error| Fatal::new(error.to_string()))?;
    let text = flow_text::actions(&actions, version(context));
    writeln!(context.out, "{text}")?;
    Ok(0)
}

/// Reads a group and writes it as it was understood.
pub(super) fn parse_group_text(context: &mut Context<'_>) -> Result<u8, Fatal> {
    let (command, rest) = command_of(&context.words[0]);
    let group = parse_group(rest, command).map_err(|error| Fatal::new(error.to_string()))?;
    let text = print::group_mod(&group, version(context));
    writeln!(context.out, "{}", text.trim())?;
    Ok(0)
}
