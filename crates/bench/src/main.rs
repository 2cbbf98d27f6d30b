//! Measurements, one a subcommand. Each is bounded in time, prints medians with their spread, and ends with a line of JSON.

mod accuracy;
mod chain;
mod churn;
mod daemon;
mod flows;
mod history;
mod lab;
mod line;
mod masks;
mod memory;
mod namespaces;
mod rounds;
mod sender;
mod sys;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// Measures what SPECIFICATION.md promises.
#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    command: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Cost of the datapath in memory, by number of flows.
    Memory(memory::Options),
    /// What established flows keep of their rate while flows and addresses change elsewhere.
    Churn(churn::Options),
    /// What a rule set of many masks costs those who use it, and others.
    Masks(masks::Options),
    /// Cost of emulated links, and of their timers.
    Line(line::Options),
    /// What links are asked for and what programs in hosts measure.
    Links(accuracy::Options),
    /// Switches in a row between two hosts (root).
    Chain(chain::Options),
    /// Packets through a row of switches in memory.
    Row(chain::Row),
    /// Draw what runs have said so far.
    History(history::Options),
    /// Two network namespaces joined by each of several switches (root).
    Namespaces(namespaces::Options),
    /// A server's switch: start, idleness, a thousand ports (root, a network namespace of its own).
    Daemon(daemon::Options),
    /// Labs at scale: start, end, memory, changes, pings (a user namespace of its own).
    Lab(lab::Options),
    /// Large flow tables: added, held, dumped (a network namespace of its own).
    Flows(flows::Options),
    /// Send small packets by an interface, as fast as it takes them.
    Send(sender::Options),
}

fn main() -> Result<()> {
    match Cli::parse().command {
        Verb::Memory(options) => memory::run(&options),
        Verb::Churn(options) => churn::run(&options),
        Verb::Masks(options) => masks::run(&options),
        Verb::Line(options) => line::run(&options),
        Verb::Links(options) => accuracy::run(&options),
        Verb::Chain(options) => chain::run(&options),
        Verb::Row(row) => chain::pass(&row),
        Verb::History(options) => history::run(&options),
        Verb::Namespaces(options) => namespaces::run(&options),
        Verb::Daemon(options) => daemon::run(&options),
        Verb::Lab(options) => lab::run(&options),
        Verb::Flows(options) => flows::run(&options),
        Verb::Send(options) => sender::run(&options),
    }
}
