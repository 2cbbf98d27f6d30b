//! Translations that wait for a packet to be looked up again, and what is known of packets handed to controllers.
//!
//! Both are known to the datapath by a number. Equal contents get the same number, so that the tables grow with what the
//! flow tables say and not with traffic; both are bounded all the same.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};

use heddle_openflow::{Action, Instruction};

/// Most numbers of a kind.
const MAX_ENTRIES: usize = 65_536;

/// Values by number, each value once.
pub struct Interned<V> {
    state: Mutex<(HashMap<V, u32>, Vec<V>)>,
}

impl<V> Default for Interned<V> {
    fn default() -> Self {
        Self { state: Mutex::new((HashMap::new(), Vec::new())) }
    }
}

impl<V: Clone + Eq + Hash> Interned<V> {
    /// The number of a value, from 1; `None` when there are too many.
    pub fn number(&self, value: &V) -> Option<u32> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (numbers, values) = &mut *state;
        if let Some(&number) = numbers.get(value) {
            return Some(number);
        }
        if values.len() >= MAX_ENTRIES {
            return None;
        }
        values.push(value.clone());
        let number = values.len() as u32;
        numbers.insert(value.clone(), number);
        Some(number)
    }

    /// The value of a number.
    pub fn value(&self, number: u32) -> Option<V> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.1.get((number as usize).checked_sub(1)?).cloned()
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
    /// Words of the pipeline: metadata and registers.
    pub words: Vec<u64>,
    /// What is left, the first to be done first.
    pub steps: Vec<Step>,
    /// The action set so far.
    pub action_set: Vec<Action>,
}

/// Frozen translations by recirculation id.
pub type FrozenStates = Interned<Frozen>;

/// What is known of a packet handed to the controllers.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
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
}

/// What is known of packets handed to controllers, by the number that the datapath knows.
pub type Punts = Interned<Punt>;
