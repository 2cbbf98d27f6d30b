//! Translations that wait for a packet to be looked up again, and what is known of packets handed to controllers.
//!
//! Both are known to the datapath by a number. Equal contents get the same number, so that the tables grow mostly with what
//! the flow tables say. Where flows copy packets' bits to metadata or registers they grow with traffic; so they are bounded,
//! and when one is full it is emptied and every decision is made again. Numbers are not given twice, so that an old one is
//! known to be old.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};

use heddle_openflow::{Action, Instruction};

/// Most numbers of a kind.
const MAX_ENTRIES: usize = 65_536;

/// Values by number, each value once.
pub struct Interned<V> {
    state: Mutex<State<V>>,
}

struct State<V> {
    numbers: HashMap<V, u32>,
    /// The value of number `first` and those that follow.
    values: Vec<V>,
    first: u32,
}

impl<V> Default for Interned<V> {
    fn default() -> Self {
        Self { state: Mutex::new(State { numbers: HashMap::new(), values: Vec::new(), first: 1 }) }
    }
}

impl<V: Clone + Eq + Hash> Interned<V> {
    /// The number of a value, from 1, and whether all others were forgotten to make room for it.
    pub fn number(&self, value: &V) -> (u32, bool) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(&number) = state.numbers.get(value) {
            return (number, false);
        }
        let full = state.values.len() >= MAX_ENTRIES;
        if full {
            let next = state
                .first
                .checked_add(2 * MAX_ENTRIES as u32)
                .map_or(1, |_| state.first + MAX_ENTRIES as u32);
            *state = State { numbers: HashMap::new(), values: Vec::new(), first: next };
        }
        let number = state.first + state.values.len() as u32;
        state.values.push(value.clone());
        state.numbers.insert(value.clone(), number);
        (number, full)
    }

    /// The value of a number, unless it was forgotten.
    pub fn value(&self, number: u32) -> Option<V> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.values.get(number.checked_sub(state.first)? as usize).cloned()
    }
}

/// What is left to be done of a frozen translation.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// Actions of a list.
    Actions(Vec<Action>),
    /// Instructions of a flow: its table, and those after the one that froze.
    Instructions(Vec<Instruction>),
}

/// A translation that waits for its packet to be looked up again.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Frozen {
    /// The bridge it was in.
    pub bridge: String,
    /// The OpenFlow port the packet came in by there.
    pub in_port: u32,
    /// Table of the flow that froze, and its cookie.
    pub table: u8,
    /// Words of the pipeline: metadata and registers; and those of the packet that it does not carry: its mark and tunnel.
    pub words: Vec<u64>,
    /// What was pushed, the last of it at the end.
    pub stack: Vec<(u128, u16)>,
    /// The queue that the packet leaves by.
    pub queue: u32,
    /// What is left, the first to be done first.
    pub steps: Vec<Step>,
    /// The action set so far.
    pub action_set: Vec<Action>,
    /// Why outputs send to controllers.
    pub reason: u8,
}

/// Frozen translations by recirculation id.
pub type FrozenStates = Interned<Frozen>;

/// What is known of a packet handed to the controllers, or to the spanning tree.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Punt {
    /// The bridge.
    pub bridge: String,
    /// Why, as [`crate::bridge::PacketIn`] numbers it.
    pub reason: u8,
    /// Table of the flow.
    pub table: u8,
    /// Cookie of the flow.
    pub cookie: u64,
    /// OpenFlow port it came in by.
    pub in_port: u32,
    /// Metadata at that moment.
    pub metadata: u64,
    /// Registers and the like at that moment: what the packet's headers do not say, where it is not zero.
    pub fields: Vec<(heddle_flow::Field, u128)>,
    /// Which controllers are meant.
    pub controller_id: u16,
    /// Bytes for the controller.
    pub userdata: Vec<u8>,
    /// The translation that waits for the controller to let the packet go on, where one does.
    pub continuation: Option<u32>,
    /// Whether no flow asked for it.
    pub unasked: bool,
    /// Whether it goes to the spanning tree, and to no controller.
    pub is_message: bool,
}

/// What is known of packets handed to controllers, by the number that the datapath knows.
pub type Punts = Interned<Punt>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_table_is_emptied_and_old_numbers_stay_old() {
        let interned = Interned::default();
        assert_eq!(
            (interned.number(&7), interned.number(&8), interned.number(&7)),
            ((1, false), (2, false), (1, false))
        );
        for value in 9..MAX_ENTRIES + 7 {
            assert!(!interned.number(&value).1);
        }
        let (number, forgot) = interned.number(&MAX_ENTRIES.wrapping_mul(2));
        assert!(forgot && number as usize == MAX_ENTRIES + 1);
        assert_eq!((interned.value(1), interned.value(number)), (None, Some(MAX_ENTRIES * 2)));
        assert_eq!(interned.number(&7), (number + 1, false));
    }

    #[test]
    fn numbers_begin_again_before_they_run_out() {
        let interned = Interned::default();
        interned.state.lock().expect("no panic holds it").first = u32::MAX - MAX_ENTRIES as u32 - 5;
        for value in 0..MAX_ENTRIES {
            interned.number(&value);
        }
        assert_eq!(interned.number(&MAX_ENTRIES), (1, true));
        assert_eq!(interned.value(1), Some(MAX_ENTRIES));
    }
}
