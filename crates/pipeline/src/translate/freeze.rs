//! Ending a translation with a recirculation, and going on from there when the packet has been looked up again.

use heddle_datapath::Action as Act;
use heddle_flow::Match;
use heddle_flow::layout::{MARK, TUNNEL_ID};

use super::{PIPELINE, Translation};
use crate::bridge::{Network, Place};
use crate::frozen::{Frozen, Step};
use crate::trace::Kind;

/// Words and bits of the packet's part of the key that no packet carries.
const CARRIED: [(usize, u64); 2] = [(MARK, u64::MAX << 32), (TUNNEL_ID, u64::MAX)];

impl Network {
    /// The number of a translation that waits in a bridge, with the fields of the pipeline that a controller says it goes on with:
    /// what [`Act::Recirculate`] takes. None if no such one waits there any more.
    pub fn resumed(&self, bridge: &str, id: u32, fields: &Match) -> Option<u32> {
        let mut state = self.frozen.value(id).filter(|state| state.bridge == bridge)?;
        for (at, word) in PIPELINE.enumerate() {
            let mask = fields.mask().words[word];
            let value = state.words.get_mut(at)?;
            *value = *value & !mask | fields.key().words[word] & mask;
        }
        let (id, forgot) = self.frozen.number(&state);
        if forgot {
            self.decide_again();
        }
        Some(id)
    }
}

impl Translation<'_> {
    pub(super) fn thawed(network: &Network, id: u32) -> Result<(Place, Frozen), &'static str> {
        let state = network.frozen.value(id).ok_or("recirculation is stale")?;
        let bridge = network.bridge(&state.bridge).ok_or("recirculation is stale")?;
        Ok((Place { bridge, port: state.in_port, counters: None }, state))
    }

    pub(super) fn thaw(&mut self, id: u32, state: Frozen) {
        let name = self.stay.bridge.name.clone();
        self.open(Kind::Bridge, || format!("bridge(\"{name}\")"));
        self.open(Kind::Table, || "thaw".into());
        self.explain(Kind::Action, || format!("Resuming from table {}, recirculation {id:#x}", state.table));
        self.close_to(1);
        self.depend();
        self.stay.table = state.table;
        self.stay.action_set = state.action_set;
        self.stay.reason = state.reason;
        let (pipeline, carried) = state.words.split_at(PIPELINE.len());
        self.key.words[PIPELINE].copy_from_slice(pipeline);
        self.written.words[PIPELINE].fill(u64::MAX);
        for (&(word, bits), value) in CARRIED.iter().zip(carried) {
            self.key.words[word] = self.key.words[word] & !bits | value & bits;
            self.written.words[word] |= bits;
        }
        self.base = self.key;
        self.stack = state.stack;
        (self.queue, self.base_queue) = (state.queue, state.queue);
        for step in state.steps {
            match (&mut self.frozen, step) {
                (Some(rest), step) => rest.push(step),
                (None, Step::Actions(actions)) => self.apply(&actions),
                (None, Step::Instructions(instructions)) => self.instructions(&instructions),
            }
        }
        self.end_of_pipeline();
        self.freeze_rest();
    }

    /// What is kept of this translation, and what is left of it.
    pub(super) fn state(&self, steps: Vec<Step>) -> Frozen {
        let carried = CARRIED.iter().map(|&(word, bits)| self.key.words[word] & bits);
        Frozen {
            bridge: self.stay.bridge.name.clone(),
            in_port: self.stay.in_port,
            table: self.stay.table,
            words: self.key.words[PIPELINE].iter().copied().chain(carried).collect(),
            stack: self.stack.clone(),
            queue: self.queue,
            steps,
            action_set: self.stay.action_set.clone(),
            reason: self.stay.reason,
        }
    }

    /// Where the translation froze, ends it with a recirculation.
    pub(super) fn freeze_rest(&mut self) {
        let Some(steps) = self.frozen.take() else { return };
        self.commit();
        if let Some(controller) = self.paused.take() {
            return self.punt_paused(&controller, steps);
        }
        let state = self.state(steps);
        self.stay.action_set.clear();
        let (id, forgot) = self.network.frozen.number(&state);
        self.actions.push(Act::Recirculate(id));
        self.renumber(forgot);
    }

    /// Where numbers were forgotten, the decisions that name them are made again.
    pub(super) fn renumber(&mut self, forgot: bool) {
        if forgot {
            self.network.decide_again();
        }
    }
}
