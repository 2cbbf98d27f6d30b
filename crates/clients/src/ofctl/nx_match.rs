//! Matches read and written field by field, without a switch: `parse-nxm` and `parse-oxm`.

use heddle_openflow::text::{decode_nx_match, encode_nx_match, parse_nx_match, print_nx_match, stray_bits};
use heddle_openflow::{OfError, Version};

use super::flows::read_file;
use super::{Context, parse_versions, print};
use crate::fatal::{Fatal, fail};
use crate::log::{self, Level};

/// Matches by Nicira's numbers.
pub(super) fn parse_nxm(context: &mut Context<'_>) -> Result<u8, Fatal> {
    parse(context, None)
}

/// Matches by the numbers of a version.
pub(super) fn parse_oxm(context: &mut Context<'_>) -> Result<u8, Fatal> {
    let name = context.words[0].clone();
    let versions = parse_versions(&name)?;
    match Version::agreed(versions, versions) {
        Some(version @ (Version::V1_2 | Version::V1_3 | Version::V1_4 | Version::V1_5)) => {
            parse(context, Some(version))
        }
        _ => fail(format!("{name}: not a valid OXM version")),
    }
}

/// Reads the matches on the lines of standard input and writes each as it was understood. Lines that are empty or hold a comment
/// only are written as they are.
fn parse(context: &mut Context<'_>, version: Option<Version>) -> Result<u8, Fatal> {
    for line in read_file("-")?.lines() {
        let text = line.split('#').next().unwrap_or_default().trim();
        if text.is_empty() {
            writeln!(context.out, "{line}")?;
            continue;
        }
        let bytes = parse_nx_match(text).map_err(|error| Fatal::new(error.to_string()))?;
        match decode_nx_match(&bytes, context.settings.strict) {
            Ok((matching, cookie, mask)) => {
                let bytes = encode_nx_match(&matching, (cookie, mask), version);
                let fields = if version.is_some() { &bytes[4..] } else { &bytes };
                writeln!(context.out, "{}", print_nx_match(fields))?;
                if context.settings.verbosity > 0 {
                    // A whole match is padded.
                    let mut padded = bytes.clone();
                    padded.resize(bytes.len().next_multiple_of(8), 0);
                    write!(context.out, "{}", print::hex_bytes(&padded))?;
                }
            }
            Err(error) => {
                if let (OfError::MatchBadWildcards, Some(entry)) = (error, stray_bits(&bytes)) {
                    let text = format!(
                        "Rejecting NXM/OXM entry {entry} with 1-bits in value for bits wildcarded by the mask."
                    );
                    log::write("nx_match", Level::Warn, &text);
                }
                writeln!(context.out, "nx_pull_match() returned error {}", error.name())?;
            }
        }
    }
    Ok(0)
}
