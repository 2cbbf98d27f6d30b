//! Flows that packets make (Nicira's `learn`): building them, adding them, and taking them away with the flow that made
//! them.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use heddle_flow::{Field, FlowKey, Match};
use heddle_openflow::action::{Bits, Learn, LearnSource, LearnTarget};
use heddle_openflow::{Action, Command, FlowMod, Instruction, port};

use crate::bridge::Bridge;
use crate::flow_mod::{FlowChange, Gone};
use crate::table::{ChangeLog, Flow, Snapshot};

/// The flow that a packet of this key makes.
#[must_use]
pub fn learned(learn: &Learn, key: &FlowKey) -> FlowMod {
    let mut matching = Match::default();
    let mut actions = Vec::new();
    if learn.fin_idle_timeout != 0 || learn.fin_hard_timeout != 0 {
        actions.push(Action::FinTimeout { idle: learn.fin_idle_timeout, hard: learn.fin_hard_timeout });
    }
    for spec in &learn.specs {
        let value = match spec.source {
            LearnSource::Field(bits) => bits.of(key.get(bits.field)),
            LearnSource::Value(value) => value,
        };
        match spec.target {
            LearnTarget::Match(bits) => ask(&mut matching, bits, value),
            LearnTarget::Load(bits) => actions.push(load(bits, value)),
            LearnTarget::Output => {
                actions.push(Action::Output { port: port_of(value, spec.count), max_len: u16::MAX });
            }
        }
    }
    let removed = if learn.flags & Learn::SEND_REMOVED != 0 { FlowMod::SEND_REMOVED } else { 0 };
    FlowMod {
        command: Command::Add,
        table_id: learn.table,
        cookie: learn.cookie,
        idle_timeout: learn.idle_timeout,
        hard_timeout: learn.hard_timeout,
        priority: learn.priority,
        flags: removed,
        matching,
        instructions: if actions.is_empty() { Vec::new() } else { vec![Instruction::Apply(actions)] },
        // What cannot apply to some packets, such as a TCP connection's timeouts, does nothing to those.
        classic: true,
        ..FlowMod::default()
    }
}

/// The number of a port, of which Nicira's 16 bits have the reserved ones at their end.
#[must_use]
pub fn port_of(value: u128, bits: u16) -> u32 {
    match u16::try_from(value) {
        Ok(short) if bits <= 16 || short < 0xff00 => port::from_16(short),
        _ => u32::try_from(value).unwrap_or(port::ANY),
    }
}

fn load(bits: Bits, value: u128) -> Action {
    match u64::try_from(value) {
        Ok(value) if bits.count <= 64 => Action::Load { bits, value },
        _ => Action::SetField { field: bits.field, value: value << bits.offset, mask: bits.mask() },
    }
}

/// Asks for bits beside those that are asked for already.
fn ask(matching: &mut Match, bits: Bits, value: u128) {
    if bits.field == Field::InPort && bits.offset == 0 && bits.count == 16 {
        return matching.set(Field::InPort, port_of(value, 16).into());
    }
    let (old, old_mask) = matching.get(bits.field);
    let mask = bits.mask();
    matching.set_masked(bits.field, old & !mask | (value << bits.offset & mask), old_mask | mask);
}

/// What became of a learned flow.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// It was there already, and stays young.
    Known,
    /// It was added, or replaced another.
    Added(Vec<FlowChange>),
    /// Its table has as many as it may.
    Full,
}

impl Bridge {
    /// Adds a learned flow. One that is there just stays young, so that what depends on the table stands. `limit` bounds how
    /// many flows with its cookie its table may have; zero does not.
    pub fn learn_flow(&self, flow: &FlowMod, limit: u32, now_ms: u64) -> Outcome {
        let snapshot = self.snapshot();
        if let Some(known) = same(&snapshot, flow) {
            known.stats.refreshed_ms.fetch_max(now_ms, Ordering::Relaxed);
            return Outcome::Known;
        }
        if is_full(&snapshot, flow, limit) {
            return Outcome::Full;
        }
        match self.flow_mod(flow, now_ms) {
            Ok(changes) => Outcome::Added(changes),
            Err(_) => Outcome::Full,
        }
    }

    /// Whether a flow would be there once it was learned.
    #[must_use]
    pub fn may_learn(&self, flow: &FlowMod, limit: u32) -> bool {
        let snapshot = self.snapshot();
        same(&snapshot, flow).is_some() || !is_full(&snapshot, flow, limit)
    }

    /// Shortens the timeouts of a flow whose connection has ended; zero leaves one.
    pub fn shorten(&self, flow: &Flow, idle: u16, hard: u16) {
        let shorter = |now: u16, then: u16| if then != 0 && (now == 0 || then < now) { then } else { now };
        let changed = self.publish(|snapshot, changes| {
            let known = snapshot.table(flow.table)?.find(&flow.matching.expand(), flow.priority)?;
            let (idle, hard) = (shorter(known.idle_timeout, idle), shorter(known.hard_timeout, hard));
            if (idle, hard) == (known.idle_timeout, known.hard_timeout)
                || !Arc::ptr_eq(&known.stats, &flow.stats)
            {
                return None;
            }
            let old = Arc::clone(known);
            let new = Arc::new(old.with_timeouts(idle, hard));
            snapshot.insert(Arc::clone(&new));
            changes.flow(new.table, &new.matching.expand());
            Some(FlowChange::Modified { old, new })
        });
        self.watch_timeouts(changed.as_slice());
    }
}

/// The flow that is there already, if it is the same in all that a message says.
fn same<'a>(snapshot: &'a Snapshot, flow: &FlowMod) -> Option<&'a Arc<Flow>> {
    let known = snapshot.table(flow.table_id)?.find(&flow.matching, flow.priority)?;
    let same = known.cookie == flow.cookie
        && known.flags == flow.flags
        && *known.instructions == *flow.instructions
        // An ended connection has shortened them.
        && (known.idle_timeout <= flow.idle_timeout || flow.idle_timeout == 0)
        && (known.hard_timeout <= flow.hard_timeout || flow.hard_timeout == 0);
    same.then_some(known)
}

fn is_full(snapshot: &Snapshot, flow: &FlowMod, limit: u32) -> bool {
    let with_cookie = |table: &heddle_flow::Classifier<Flow>| {
        table.iter().filter(|known| known.cookie == flow.cookie).count() as u64
    };
    limit != 0 && snapshot.table(flow.table_id).map_or(0, with_cookie) >= u64::from(limit)
}

/// Tables and cookies of the flows that go with a flow.
fn goes_with(instructions: &[Instruction]) -> impl Iterator<Item = (u8, u64)> + '_ {
    let actions = instructions.iter().flat_map(|instruction| match instruction {
        Instruction::Apply(actions) => &actions[..],
        _ => &[],
    });
    actions.filter_map(|action| match action {
        Action::Learn(learn) if learn.flags & Learn::DELETE_LEARNED != 0 => Some((learn.table, learn.cookie)),
        _ => None,
    })
}

/// Takes away what flows that have gone, or do something else now, have learned and that no other flow learns.
pub(crate) fn delete_learned(snapshot: &mut Snapshot, changes: &ChangeLog, changed: &mut Vec<FlowChange>) {
    let mut at = 0;
    // What goes may itself have learned something; each flow goes once, so that this ends.
    while let Some(change) = changed.get(at) {
        at += 1;
        let (FlowChange::Removed(old, _)
        | FlowChange::Replaced { old, .. }
        | FlowChange::Modified { old, .. }) = change
        else {
            continue;
        };
        let lost: Vec<(u8, u64)> = goes_with(&old.instructions).collect();
        for (table, cookie) in lost {
            let flows = snapshot.flows();
            if flows.iter().any(|flow| goes_with(&flow.instructions).any(|other| other == (table, cookie))) {
                continue;
            }
            for flow in flows.into_iter().filter(|flow| (flow.table, flow.cookie) == (table, cookie)) {
                snapshot.remove(&flow);
                changes.flow(flow.table, &flow.matching.expand());
                changed.push(FlowChange::Removed(flow, Gone::Deleted));
            }
        }
    }
}
