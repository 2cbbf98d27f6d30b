//! What OpenFlow 1.0 alone writes so: its match and its actions (OpenFlow 1.0.1 sections 5.2.3 and 5.2.4), with Nicira's where it
//! has none of its own. A list of actions is one `apply_actions`; ports have 16 bits.

pub(crate) mod actions;
pub(crate) mod matching;

pub(crate) use self::actions::decode_actions;
use crate::action::Instruction;
use crate::port::to_16;
use heddle_flow::Match;

/// A port in 16 bits; one that has none stands for no port.
fn short(port: u32) -> u16 {
    to_16(port).unwrap_or(u16::MAX)
}

/// Instructions as actions: the version has only these. What no action can say (an action set, a meter) is left out.
pub(crate) fn encode_instructions(out: &mut Vec<u8>, instructions: &[Instruction], matching: &Match) {
    for instruction in instructions {
        match instruction {
            Instruction::Apply(list) => actions::encode_actions(out, list, Some(matching)),
            Instruction::GotoTable(table) => actions::encode_goto(out, *table),
            Instruction::WriteMetadata { value, mask } => actions::encode_metadata(out, *value, *mask),
            Instruction::Write(_) | Instruction::Clear | Instruction::Meter(_) => {}
        }
    }
}
