//! The action set: what is merged into it, and in which order it runs (OpenFlow 1.3.5 section 5.10).

use heddle_flow::Field;
use heddle_openflow::packet::reason;
use heddle_openflow::{Action, port};

use super::Translation;
use crate::trace::Kind;

impl Translation<'_> {
    /// Merges actions into the action set.
    pub(super) fn write_set(&mut self, actions: &[Action]) {
        merge(&mut self.stay.action_set, actions);
        self.note_set_output();
    }

    /// Empties the action set.
    pub(super) fn clear_set(&mut self) {
        self.stay.action_set.clear();
        self.note_set_output();
    }

    /// Where the action set would send the packet, which flows may match on (OpenFlow 1.5.1 section 7.2.3.8).
    fn note_set_output(&mut self) {
        let set = &self.stay.action_set;
        let groups = set.iter().any(|action| matches!(action, Action::Group(_)));
        let output = set.iter().find_map(|action| match action {
            Action::Output { port, .. } if !groups => Some(*port),
            _ => None,
        });
        self.write(Field::ActsetOutput, output.unwrap_or(port::UNSET).into(), u32::MAX.into());
    }

    /// Runs the action set.
    pub(super) fn run_action_set(&mut self) {
        let set = in_order(std::mem::take(&mut self.stay.action_set));
        if !set.is_empty() {
            let level = self.level();
            self.open(Kind::Table, || "--. Executing action set:".into());
            // Only flows have written it, whoever sent the packet to them.
            let before = std::mem::replace(&mut self.stay.reason, reason::ACTION_SET);
            self.apply(&set);
            self.stay.reason = before;
            self.close_to(level);
        }
    }
}

/// Adds actions to an action set: one of a kind, one for each field that is set.
pub(super) fn merge(set: &mut Vec<Action>, actions: &[Action]) {
    for action in actions {
        set.retain(|other| !replaces(action, other));
        set.push(action.clone());
    }
}

fn replaces(action: &Action, other: &Action) -> bool {
    match (other, action) {
        (Action::SetField { field: a, mask: m, .. }, Action::SetField { field: b, mask: n, .. }) => {
            a == b && m & !n == 0
        }
        (Action::Load { bits: a, .. }, Action::Load { bits: b, .. }) => a == b,
        // What copies bits may follow another that does.
        (Action::Move { .. }, Action::Move { .. }) => false,
        (Action::DecTtl | Action::DecTtlIds(_), Action::DecTtl | Action::DecTtlIds(_)) => true,
        _ => std::mem::discriminant(other) == std::mem::discriminant(action),
    }
}

/// The actions of a set as they run. A group goes before an output, which does nothing then, and either before a lookup.
pub(super) fn in_order(mut set: Vec<Action>) -> Vec<Action> {
    set.sort_by_key(order);
    let has = |set: &[Action], wanted: fn(&Action) -> bool| set.iter().any(wanted);
    if has(&set, |action| matches!(action, Action::Group(_))) {
        set.retain(|action| !matches!(action, Action::Output { .. } | Action::Resubmit { .. }));
    } else if has(&set, |action| matches!(action, Action::Output { .. })) {
        set.retain(|action| !matches!(action, Action::Resubmit { .. }));
    }
    set
}

fn order(action: &Action) -> u8 {
    match action {
        Action::CopyTtlIn => 0,
        Action::PopVlan | Action::PopMpls(_) | Action::PopPbb => 1,
        Action::PushMpls(_) => 2,
        Action::PushPbb(_) => 3,
        Action::PushVlan(_) => 4,
        Action::CopyTtlOut => 5,
        Action::DecTtl | Action::DecTtlIds(_) | Action::DecMplsTtl => 6,
        Action::SetQueue(_) => 8,
        Action::Group(_) => 9,
        Action::Output { .. } => 10,
        Action::Resubmit { .. } => 11,
        _ => 7,
    }
}
