//! What happens, in order of time: events taken apart into single steps.

use std::time::Duration;

use crate::file::{Event, What};

/// A single thing that is done at a time.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// When.
    pub at: Duration,
    /// What.
    pub what: Do,
}

/// What is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Do {
    /// Starts the program of this place in the experiment.
    Start(usize),
    /// Gives a link other settings.
    Set {
        /// The nodes.
        link: [String; 2],
        /// In the words of a link's profile.
        settings: String,
        /// Only from the first to the second.
        one_way: bool,
    },
    /// Puts a cable in or out.
    Cable {
        /// The nodes.
        link: [String; 2],
        /// In.
        up: bool,
    },
    /// Runs a command on the machine, by its shell; `OVS_RUNDIR` leads to the lab's switches.
    Run(String),
    /// Sends a program a signal.
    Signal {
        /// The program.
        program: String,
        /// The signal's number.
        signal: i32,
    },
}

impl Do {
    /// The step in words, for who watches and for the report.
    #[must_use]
    pub fn describe(&self, names: &[String]) -> String {
        match self {
            Self::Start(program) => format!("start {}", names.get(*program).map_or("?", String::as_str)),
            Self::Set { link: [a, b], settings, one_way: false } => format!("link {a} {b} {settings}"),
            Self::Set { link: [a, b], settings, one_way: true } => format!("link {a} -> {b} {settings}"),
            Self::Cable { link: [a, b], up } => format!("link {a} {b} {}", if *up { "up" } else { "down" }),
            Self::Run(line) => format!("run {line}"),
            Self::Signal { program, signal: 15 } => format!("stop {program}"),
            Self::Signal { program, signal } => format!("signal {signal} to {program}"),
        }
    }
}

/// The steps of programs' starts and of events, in order of time; those of one time in the order of the file, programs first.
#[must_use]
pub fn steps(starts: impl IntoIterator<Item = Duration>, events: &[Event]) -> Vec<Step> {
    let mut steps: Vec<Step> =
        starts.into_iter().enumerate().map(|(place, at)| Step { at, what: Do::Start(place) }).collect();
    for Event { at, what } in events {
        let mut step = |at: Duration, what: Do| steps.push(Step { at, what });
        match what.clone() {
            What::Once(what) => step(*at, what),
            What::Flap { link, down, up, times } => {
                let mut now = *at;
                for _ in 0..times {
                    step(now, Do::Cable { link: link.clone(), up: false });
                    step(now + down, Do::Cable { link: link.clone(), up: true });
                    now += down + up;
                }
            }
        }
    }
    steps.sort_by_key(|step| step.at);
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flap_is_a_cable_out_and_in_each_time_and_all_is_in_order() {
        let s = Duration::from_secs;
        let link = ["s1".to_owned(), "s2".to_owned()];
        let flap = What::Flap { link: link.clone(), down: s(1), up: s(2), times: 2 };
        let events =
            [Event { at: s(5), what: flap }, Event { at: s(6), what: What::Once(Do::Run("true".into())) }];
        let steps = steps([s(7), s(0)], &events);
        let times: Vec<u64> = steps.iter().map(|step| step.at.as_secs()).collect();
        assert_eq!(times, [0, 5, 6, 6, 7, 8, 9]);
        assert_eq!(steps[0].what, Do::Start(1));
        assert_eq!(steps[1].what, Do::Cable { link: link.clone(), up: false });
        assert_eq!(steps[2].what, Do::Cable { link, up: true });
        assert_eq!(steps[3].what.describe(&[]), "run true");
        assert_eq!(steps[6].what.describe(&[]), "link s1 s2 up");
    }
}
