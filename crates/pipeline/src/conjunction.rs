//! Conjunctive matches (Nicira's `conjunction`): a flow that stands for every combination of flows of several dimensions.
//!
//! A flow with `conjunction(id, k/n)` takes no packet: it says that the packet has dimension k of the match `id`. Once flows of
//! equal priority have said so of all n dimensions, the table is looked up again with `conj_id=id`. Only tables that have such
//! flows are looked up in this way; in others a lookup costs what it did.

use std::collections::BTreeMap;
use std::sync::Arc;

use heddle_flow::{Field, FlowKey, FlowMask};
use heddle_openflow::{Action, Instruction};

use crate::table::{Flow, Snapshot};

/// The conjunctions that instructions are part of: id, dimension, dimensions.
pub(crate) fn clauses(instructions: &[Instruction]) -> impl Iterator<Item = (u32, u8, u8)> + '_ {
    let actions = instructions.iter().flat_map(|instruction| match instruction {
        Instruction::Apply(actions) => &actions[..],
        _ => &[],
    });
    actions.filter_map(|action| match action {
        Action::Conjunction { id, clause, clauses } => Some((*id, *clause, *clauses)),
        _ => None,
    })
}

/// Whether a flow is part of a conjunctive match, and takes no packet by itself.
pub(crate) fn is_part(instructions: &[Instruction]) -> bool {
    clauses(instructions).next().is_some()
}

impl Snapshot {
    /// The flow that takes `key` in a table which has conjunctive flows, and those that it takes it for.
    pub(crate) fn lookup_conjunctive(
        &self,
        table: u8,
        key: &FlowKey,
        looked_at: &mut FlowMask,
    ) -> Option<(&Arc<Flow>, Vec<&Arc<Flow>>)> {
        let flows = self.table(table)?;
        let matching = flows.lookup_all(key, looked_at);
        // By falling priority; a flow that takes packets goes before conjunctions of its priority.
        let mut start = 0;
        while let Some(first) = matching.get(start) {
            let priority = first.priority;
            let end = start + matching[start..].iter().take_while(|flow| flow.priority == priority).count();
            let level = &matching[start..end];
            if let Some(hard) = level.iter().find(|flow| !is_part(&flow.instructions)) {
                return Some((hard, Vec::new()));
            }
            for id in complete(level) {
                let mut named = *key;
                named.set(Field::ConjId, id.into());
                let found = flows.lookup_all(&named, looked_at);
                if let Some(flow) = found.into_iter().find(|flow| !is_part(&flow.instructions)) {
                    let has_part = |flow: &&Arc<Flow>| clauses(&flow.instructions).any(|(of, ..)| of == id);
                    return Some((flow, level.iter().copied().filter(has_part).collect()));
                }
            }
            start = end;
        }
        None
    }

    /// The flows of which `found`, which takes `key` in a table, is the conjunction; none where it takes it by itself.
    pub(crate) fn parts_of(&self, table: u8, key: &FlowKey, found: &Arc<Flow>) -> Vec<&Arc<Flow>> {
        match self.lookup_conjunctive(table, key, &mut FlowMask::default()) {
            Some((flow, parts)) if Arc::ptr_eq(flow, found) => parts,
            _ => Vec::new(),
        }
    }
}

/// The matches of which these flows have every dimension, by number.
fn complete(flows: &[&Arc<Flow>]) -> Vec<u32> {
    let mut seen: BTreeMap<(u32, u8), u64> = BTreeMap::new();
    for (id, clause, clauses) in flows.iter().flat_map(|flow| clauses(&flow.instructions)) {
        *seen.entry((id, clauses)).or_default() |= 1 << (clause & 63);
    }
    let all = |clauses: u8| u64::MAX >> (64 - u32::from(clauses.clamp(1, 64)));
    seen.into_iter().filter(|((_, clauses), seen)| *seen == all(*clauses)).map(|((id, _), _)| id).collect()
}
