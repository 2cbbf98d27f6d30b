//! Properties that hold for arbitrary input; shared by the property tests and the fuzz targets.

use crate::file::{Experiment, MAX_DURATION, MAX_EVENTS};
use crate::schedule::steps;

/// An experiment that is read names only what it has, and what happens in it is in order and bounded.
///
/// # Panics
/// If it does not.
pub fn experiment_file(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(experiment) = Experiment::from_yaml(text) else { return };
    for program in &experiment.programs {
        assert!(experiment.topology.host(&program.host).is_some() && !program.argv.is_empty());
    }
    // A file may name many events that flap often; the steps of one are bounded, and so are those of all.
    let flaps = experiment.events.len().min(8);
    let steps = steps(experiment.programs.iter().map(|program| program.at), &experiment.events[..flaps]);
    assert!(steps.len() <= experiment.programs.len() + flaps * 2 * MAX_EVENTS);
    assert!(steps.is_sorted_by_key(|step| step.at));
    assert!(steps.iter().all(|step| step.at <= 2 * MAX_DURATION));
}
