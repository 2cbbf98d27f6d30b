//! Whether actions can apply to the packets that they are meant for (OpenFlow 1.3.5 section 6.4).
//!
//! Only what the match asks is known of a packet. Actions are walked in order, and what each makes known of the packet or
//! takes away is remembered: after `push_vlan` there is a tag to be set, after `push_mpls` nothing is known of what lies
//! beneath. An action that needs a header which is not known to be there is refused with `OFPBAC_MATCH_INCONSISTENT`.

use crate::action::{Action, Instruction, Learn, LearnSource, LearnTarget};
use crate::error::OfError;
use crate::port;
use heddle_flow::field::Prerequisite;
use heddle_flow::layout::VLAN_PRESENT;
use heddle_flow::{Field, FlowKey, FlowMask, Match};

/// Tags that a flow key holds.
const MAX_TAGS: u8 = 2;

/// Whether an action has a place in an action set (section 5.10): those that act at once, or whose order counts, have none.
fn may_be_written(action: &Action) -> bool {
    !matches!(
        action,
        Action::OutputBits { .. }
            | Action::OutputTrunc { .. }
            | Action::Enqueue { .. }
            | Action::PopQueue
            | Action::Push(_)
            | Action::Pop(_)
            | Action::Controller(_)
            | Action::Multipath(_)
            | Action::Bundle(_)
            | Action::Learn(_)
            | Action::Conjunction { .. }
            | Action::Exit
            | Action::FinTimeout { .. }
            | Action::Sample(_)
            | Action::Note(_)
    )
}

/// What is known of a packet.
#[derive(Clone)]
pub struct Known {
    matching: Match,
    tags: u8,
    tolerant: bool,
}

impl Known {
    /// What is known of packets that a flow takes.
    pub fn of_flow(matching: &Match) -> Self {
        let tagged = matching.satisfies(Field::VlanPcp);
        Self { matching: *matching, tags: u8::from(tagged), tolerant: false }
    }

    /// What is known of the packet that a controller sends.
    pub fn of_packet(key: &FlowKey) -> Self {
        let tags = u8::from(key.vlan_tci() != 0)
            + u8::from(key.words[heddle_flow::layout::TAGS] >> 16 & 0x1000 != 0);
        Self { matching: Match::new(key, &FlowMask::all()), tags, tolerant: false }
    }

    /// Actions that cannot apply to some packets are let pass, and do nothing to those: so OpenFlow 1.0 has it.
    #[must_use]
    pub fn tolerant(mut self) -> Self {
        self.tolerant = true;
        self
    }

    /// Walks the instructions of a flow.
    ///
    /// # Errors
    /// The error that the specification names for the first action that cannot apply.
    pub fn instructions(&mut self, instructions: &[Instruction]) -> Result<(), OfError> {
        instructions.iter().try_for_each(|instruction| match instruction {
            Instruction::Apply(actions) => self.actions(actions),
            Instruction::Write(actions) if !actions.iter().all(may_be_written) => Err(OfError::ActionBadType),
            Instruction::Write(actions) => self.actions(actions),
            _ => Ok(()),
        })?;
        // A part of a conjunctive match takes no packet, so nothing can be done with one.
        let is_part = |action: &Action| matches!(action, Action::Conjunction { .. });
        let may_stand_by = |action: &Action| is_part(action) || matches!(action, Action::Note(_));
        let parts = instructions.iter().any(|instruction| match instruction {
            Instruction::Apply(actions) => actions.iter().any(is_part),
            _ => false,
        });
        let others = instructions.iter().any(|instruction| match instruction {
            Instruction::Apply(actions) => !actions.iter().all(may_stand_by),
            _ => true,
        });
        if parts && others { Err(OfError::ActionBadArgument) } else { Ok(()) }
    }

    /// Walks a list of actions.
    ///
    /// # Errors
    /// The error that the specification names for the first action that cannot apply, or that this switch does not do.
    pub fn actions(&mut self, actions: &[Action]) -> Result<(), OfError> {
        actions.iter().try_for_each(|action| self.action(action))
    }

    fn action(&mut self, action: &Action) -> Result<(), OfError> {
        match *action {
            Action::Output { port: port::ANY, .. } => return Err(OfError::ActionBadOutPort),
            Action::SetField { field, value, mask } => self.set(field, value, mask)?,
            Action::Load { bits, value } => {
                self.set(bits.field, u128::from(value) << bits.offset, bits.mask())?;
            }
            Action::Move { src, dst, .. } => {
                self.need(src)?;
                self.need(dst)?;
            }
            Action::SetMplsTtl(_) | Action::DecMplsTtl => self.need(Field::MplsTtl)?,
            Action::SetTtl(_) | Action::DecTtl | Action::DecTtlIds(_) => self.need(Field::NwTtl)?,
            // Whether the label is on another or on IP is not known.
            Action::CopyTtlIn | Action::CopyTtlOut => self.need(Field::MplsTtl)?,
            Action::OutputBits { bits, .. } | Action::Push(bits) => self.need(bits.field)?,
            Action::Pop(bits) => self.need(bits.field)?,
            Action::Multipath(ref multipath) => self.need(multipath.dst.field)?,
            Action::Bundle(ref bundle) => bundle.dst.map_or(Ok(()), |dst| self.need(dst.field))?,
            Action::Learn(ref learn) => self.learn(learn)?,
            Action::FinTimeout { .. } => self.need(Field::TcpFlags)?,
            Action::Clone(ref actions) => self.clone().actions(actions)?,
            Action::PushPbb(eth_type) => {
                self.tags = 0;
                self.relabel(eth_type);
            }
            Action::PopPbb => {
                self.need(Field::PbbIsid)?;
                self.tags = 0;
                self.relabel(0);
                self.matching.set_masked(Field::EthType, 0, 0);
            }
            // No collector can be configured, so nothing could be done with a sample.
            Action::Sample(_) => return Err(OfError::ActionBadType),
            Action::PushVlan(_) if self.tags == MAX_TAGS => return Err(OfError::ActionBadTag),
            Action::PushVlan(_) => self.tags += 1,
            Action::PopVlan => {
                self.tags = match self.tags.checked_sub(1) {
                    Some(left) => left,
                    None if self.tolerant => 0,
                    None => return Err(OfError::ActionMatchInconsistent),
                };
            }
            Action::PushMpls(eth_type) => self.relabel(eth_type),
            Action::PopMpls(eth_type) => {
                self.need(Field::MplsTtl)?;
                self.relabel(eth_type);
            }
            Action::Output { .. }
            | Action::Group(_)
            | Action::Resubmit { .. }
            | Action::OutputTrunc { .. }
            | Action::Enqueue { .. }
            | Action::SetQueue(_)
            | Action::PopQueue
            | Action::Conjunction { .. }
            | Action::Exit
            | Action::Controller(_)
            | Action::Note(_) => {}
        }
        Ok(())
    }

    fn set(&mut self, field: Field, value: u128, mask: u128) -> Result<(), OfError> {
        if field == Field::VlanTci {
            // Nicira's field of the whole tag makes one, or takes it away.
            if mask & u128::from(VLAN_PRESENT) != 0 {
                self.tags = u8::from(value & u128::from(VLAN_PRESENT) != 0);
            }
            return Ok(());
        }
        self.need(field)
    }

    fn learn(&self, learn: &Learn) -> Result<(), OfError> {
        match self.lacking(learn) {
            Some(_) => Err(OfError::ActionMatchInconsistent),
            None => Ok(()),
        }
    }

    /// The field that keeps a flow from being learned, and whether it is the packet's (`source`) or the flow's (`destination`):
    /// what the flow takes from the packet must be in it, and what it matches and sets must be there by what it matches before.
    #[must_use]
    pub fn lacking(&self, learn: &Learn) -> Option<(&'static str, Field)> {
        let packet = Self { tolerant: false, ..self.clone() };
        let mut learned = Self::of_flow(&Match::default());
        for spec in &learn.specs {
            if let LearnSource::Field(bits) = spec.source
                && packet.need(bits.field).is_err()
            {
                return Some(("source", bits.field));
            }
            let (LearnTarget::Match(bits) | LearnTarget::Load(bits)) = spec.target else { continue };
            if learned.need(bits.field).is_err() {
                return Some(("destination", bits.field));
            }
            if let (LearnTarget::Match(_), LearnSource::Value(value)) = (spec.target, spec.source) {
                learned.matching.set_masked(bits.field, value << bits.offset, bits.mask());
            }
        }
        let result = learn.result.filter(|bits| packet.need(bits.field).is_err());
        result.map(|bits| ("destination", bits.field))
    }

    fn need(&self, field: Field) -> Result<(), OfError> {
        let there = match field.spec().prerequisite {
            Prerequisite::Vlan => self.tags != 0,
            _ => self.matching.satisfies(field) && (field != Field::VlanVid || self.tags != 0),
        };
        if there || self.tolerant { Ok(()) } else { Err(OfError::ActionMatchInconsistent) }
    }

    /// The packet has this Ethernet type now, and nothing is known of what follows.
    fn relabel(&mut self, eth_type: u16) {
        self.matching.set(Field::EthType, u128::from(eth_type));
        self.matching.set_masked(Field::NwProto, 0, 0);
        self.matching.set_masked(Field::Icmpv6Type, 0, 0);
    }
}
