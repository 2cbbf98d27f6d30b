//! Emulated links: what one direction of a cable does to packets, without I/O, clocks or locks.
//!
//! ```text
//!            ┌ queue ──────────┐  ┌ server ─────┐  ┌ line ────────────────────────────────┐
//!  offer ──▶ │ limit, RED      │─▶│ rate        │─▶│ loss, corruption, duplication,       │─▶ take_due
//!            │ CoDel (leaving) │  │ exact, in   │  │ delay ± jitter, in order but for     │
//!            └─────────────────┘  │ virtual time│  │ those that overtake                  │
//!                                 └─────────────┘  └──────────────────────────────────────┘
//! ```
//!
//! A [`Line`] is one direction: packets are offered with the time, and taken when they are due. Every time in it is virtual:
//! when a packet's transmission begins and ends follows from the packets before it and from the [`Profile`], and not from when
//! somebody looked, so that a rate is exact however seldom its caller wakes. A [`Wheel`] holds the next due time of many lines.
//!
//! What happens to a packet is decided per *wire packet*. A GSO segment is not cut for that: it is kept once, with a
//! departure time for each of its pieces, and consecutive pieces that are due together leave as one smaller segment. Whether
//! the n-th wire packet is lost is a function of the seed and of n alone, and so are its jitter and its other fates: it does
//! not depend on timing, nor on whether packets came as segments.
//!
//! Lines are owned by one thread. Their bytes live in buffers of that thread's packet pool; small frames share one.
#![forbid(unsafe_code)]

mod class;
mod dice;
mod discipline;
#[doc(hidden)]
pub mod fuzz;
mod line;
mod profile;
mod quantity;
mod server;
mod statistics;
mod store;
mod text;
mod wheel;

pub use line::{Line, MAX_UNDER_WAY};
pub use profile::{
    DEFAULT_QUEUE, Discipline, Distribution, Loss, MAX_DELAY, MAX_PATTERN, MAX_QUEUE_BYTES,
    MAX_QUEUE_PACKETS, MAX_RATE, Pattern, Profile, ProfileError, Queue,
};
pub use quantity::{Extent, Probability, Rate};
pub use statistics::{Count, LATENESS_BOUNDS, Lateness, LineStatistics};
pub use text::{KEYS, Key};
pub use wheel::Wheel;
