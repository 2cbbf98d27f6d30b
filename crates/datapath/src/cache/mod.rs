//! The two caches of a poll thread: exact matches, and megaflows.
//!
//! Both are owned by one thread: no lock, and no allocation on a hit. A hit of the exact-match cache touches three cache
//! lines: the tags of a set, the key, and the megaflow's counters.

pub mod exact;
pub mod megaflow;

pub use exact::{Candidate, ExactCache};
pub use megaflow::{Cold, MAX_MASKS, Megaflow, MegaflowTable, NO_PORT};
