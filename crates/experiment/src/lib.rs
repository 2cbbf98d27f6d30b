//! Experiments: a lab, programs in its hosts, events in time, and what is expected of them.
//!
//! [`file`] reads one, [`schedule`] puts what happens in order, [`run`] has it happen and records it as an [`Outcome`],
//! [`expect`] judges that, and [`report`] shows it. Only [`run`] does I/O.
#![forbid(unsafe_code)]

pub mod expect;
pub mod file;
#[doc(hidden)]
pub mod fuzz;
pub mod outcome;
pub mod plot;
pub mod report;
pub mod run;
pub mod schedule;

pub use file::{Experiment, ExperimentError};
pub use outcome::Outcome;
