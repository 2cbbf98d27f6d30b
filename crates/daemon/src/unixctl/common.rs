//! The commands that every daemon answers.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{mpsc, oneshot};

use super::{Answer, Command, Commands, Outcome, Run};
use crate::log;

/// Counters of things that seldom happen, by name.
#[derive(Clone, Debug, Default)]
pub struct Coverage(Arc<Mutex<BTreeMap<&'static str, u64>>>);

impl Coverage {
    /// Counts one.
    pub fn count(&self, name: &'static str) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(name).or_default() += 1;
    }

    /// Makes a counter known that has counted nothing yet.
    pub fn know(&self, names: &[&'static str]) {
        let mut counters = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for name in names {
            counters.entry(name).or_default();
        }
    }

    fn show(&self) -> String {
        let counters = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let never = counters.values().filter(|&&count| count == 0).count();
        let hit = counters.iter().filter(|&(_, &count)| count != 0);
        let lines: String = hit.map(|(name, count)| format!("{name:<24} total: {count}\n")).collect();
        format!("Event coverage:\n{lines}{never} events never hit\n")
    }

    fn read(&self, name: &str) -> Outcome {
        let counters = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counters.get(name).map(|count| format!("{count}\n")).ok_or_else(|| "No such counter".into())
    }
}

/// That an operator asked the daemon to end. Dropping it, or [`Exit::done`], answers the operator.
#[derive(Debug)]
pub struct Exit {
    /// Whether what the daemon made in the system is to go as well.
    pub cleanup: bool,
    done: oneshot::Sender<()>,
}

impl Exit {
    /// Tells the operator that it is done.
    pub fn done(self) {
        let _ = self.done.send(());
    }
}

struct State {
    program: &'static str,
    exits: mpsc::Sender<Exit>,
    coverage: Coverage,
}

const COMMANDS: &[Command<State>] = &[
    Command { name: "coverage/read-counter", usage: "COUNTER", words: 1..=1, run: Run::Now(read_counter) },
    Command { name: "coverage/show", usage: "", words: 0..=0, run: Run::Now(coverage) },
    Command { name: "exit", usage: "[--cleanup]", words: 0..=1, run: Run::Later(exit) },
    Command { name: "list-commands", usage: "", words: 0..=0, run: Run::Now(|_, _| Ok(String::new())) },
    Command { name: "memory/show", usage: "", words: 0..=0, run: Run::Now(|_, _| Ok(memory())) },
    Command { name: "version", usage: "", words: 0..=0, run: Run::Now(version) },
    Command { name: "vlog/close", usage: "", words: 0..=0, run: Run::Now(|_, _| Ok(log::close())) },
    Command {
        name: "vlog/disable-rate-limit",
        usage: "[module]...",
        words: 0..=usize::MAX,
        run: Run::Now(|_, words| log::set_rate_limits(words, false)),
    },
    Command {
        name: "vlog/enable-rate-limit",
        usage: "[module]...",
        words: 0..=usize::MAX,
        run: Run::Now(|_, words| log::set_rate_limits(words, true)),
    },
    Command { name: "vlog/list", usage: "", words: 0..=0, run: Run::Now(|_, _| Ok(log::list())) },
    Command {
        name: "vlog/list-pattern",
        usage: "",
        words: 0..=0,
        run: Run::Now(|_, _| Ok(log::list_patterns())),
    },
    Command { name: "vlog/reopen", usage: "", words: 0..=0, run: Run::Now(|_, _| log::reopen()) },
    Command {
        name: "vlog/set",
        usage: "{spec | PATTERN:destination:pattern}",
        words: 1..=usize::MAX,
        run: Run::Now(set),
    },
];

/// Adds the commands of every daemon; what is returned tells when an operator asks the daemon to end.
pub fn common(commands: &mut Commands, program: &'static str, coverage: Coverage) -> mpsc::Receiver<Exit> {
    let (exits, asked) = mpsc::channel(1);
    commands.add_table(&Arc::new(State { program, exits, coverage }), COMMANDS);
    asked
}

fn read_counter(state: &State, words: &[String]) -> Outcome {
    state.coverage.read(&words[0])
}

fn coverage(state: &State, _: &[String]) -> Outcome {
    Ok(state.coverage.show())
}

fn version(state: &State, _: &[String]) -> Outcome {
    Ok(crate::version(state.program))
}

fn set(_: &State, words: &[String]) -> Outcome {
    words.iter().try_for_each(|word| log::configure(word))?;
    Ok(String::new())
}

fn exit(state: &State, words: Vec<String>) -> Answer {
    let cleanup = words.first().is_some_and(|word| word == "--cleanup");
    let (done, ended) = oneshot::channel();
    if state.exits.try_send(Exit { cleanup, done }).is_err() {
        return Answer::Now(Err("the daemon is ending already".into()));
    }
    Answer::later(async {
        let _ = ended.await;
        Ok(String::new())
    })
}

/// What the process takes of memory, in kibibytes.
fn memory() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next().map(str::to_owned)
    };
    let [now, peak] = ["VmRSS:", "VmHWM:"].map(|name| field(name).unwrap_or_default());
    format!("peak-resident-kB:{peak} resident-kB:{now}\n")
}
