//! What versions write differently within many messages: matches, actions and instructions.

use heddle_flow::{Field, Match};

use crate::action::{Action, Instruction};
use crate::bytes::Reader;
use crate::error::OfError;
use crate::version::Version;
use crate::{action_codec, oxm, v1_0, v1_1};

/// Reads a match with its padding.
///
/// # Errors
/// The error that the specification names.
pub(crate) fn decode_match(reader: &mut Reader<'_>, version: Version) -> Result<Match, OfError> {
    match version {
        Version::V1_0 => v1_0::matching::decode(reader),
        Version::V1_1 => v1_1::matching::decode(reader),
        _ => oxm::decode_match(reader),
    }
}

/// Writes a match with its padding, as far as the version can say it.
pub(crate) fn encode_match(out: &mut Vec<u8>, version: Version, matching: &Match) {
    match version {
        Version::V1_0 => v1_0::matching::encode(out, matching),
        Version::V1_1 => v1_1::matching::encode(out, matching),
        _ => oxm::encode_match(out, version, matching),
    }
}

/// The fields that a match asks, each once, with value and mask and after those that it presupposes: those by which the
/// version writes it.
#[must_use]
pub fn match_fields(matching: &Match, version: Version) -> Vec<(Field, u128, u128)> {
    oxm::entries(matching, oxm::Numbers::Of(version))
}

/// Whether a version's own form can say what a flow asks for: read again, it is the same.
#[must_use]
pub fn can_match(version: Version, matching: &Match) -> bool {
    let mut bytes = Vec::with_capacity(128);
    encode_match(&mut bytes, version, matching);
    decode_match(&mut Reader::new(&bytes, OfError::MatchBadLength), version)
        .is_ok_and(|read| read == *matching)
}

/// Reads actions up to the reader's end. `matching` says which packets they are for, where it is known.
///
/// # Errors
/// The error that the specification names for an unknown type, a bad length or argument.
pub(crate) fn decode_actions(
    reader: &mut Reader<'_>,
    version: Version,
    matching: Option<&Match>,
) -> Result<Vec<Action>, OfError> {
    match version {
        Version::V1_0 => v1_0::decode_actions(reader, matching),
        Version::V1_1 => v1_1::actions::decode(reader, matching),
        _ => action_codec::decode_actions(reader),
    }
}

/// Writes actions, as far as the version can say them.
pub(crate) fn encode_actions(
    out: &mut Vec<u8>,
    version: Version,
    actions: &[Action],
    matching: Option<&Match>,
) {
    match version {
        Version::V1_0 => v1_0::actions::encode_actions(out, actions, matching),
        Version::V1_1 => v1_1::actions::encode(out, actions, matching),
        _ => action_codec::encode_actions(out, actions),
    }
}

/// Reads instructions up to the reader's end; OpenFlow 1.0 has actions in their place.
///
/// # Errors
/// The error that the specification names for an unknown type, a bad length, or one that comes twice.
pub(crate) fn decode_instructions(
    reader: &mut Reader<'_>,
    version: Version,
    matching: Option<&Match>,
) -> Result<Vec<Instruction>, OfError> {
    match version {
        Version::V1_0 => v1_0::decode_actions(reader, matching).map(action_codec::apply),
        Version::V1_1 => v1_1::actions::decode_instructions(reader, matching),
        _ => action_codec::decode_instructions(reader),
    }
}

/// Writes instructions, as far as the version can say them.
pub(crate) fn encode_instructions(
    out: &mut Vec<u8>,
    version: Version,
    instructions: &[Instruction],
    matching: &Match,
) {
    match version {
        Version::V1_0 => v1_0::encode_instructions(out, instructions, matching),
        Version::V1_1 => v1_1::actions::encode_instructions(out, instructions, matching),
        _ => action_codec::encode_instructions(out, instructions),
    }
}

/// Reads a list of actions of a known length.
///
/// # Errors
/// As [`decode_actions`]; a length beyond the message.
pub(crate) fn decode_sized_actions(
    reader: &mut Reader<'_>,
    version: Version,
    length: usize,
) -> Result<Vec<Action>, OfError> {
    let mut part = reader.part(length, OfError::ActionBadLength).map_err(|_| OfError::RequestBadLength)?;
    decode_actions(&mut part, version, None)
}
