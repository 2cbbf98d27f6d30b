//! Measurements, one a subcommand. Each is bounded in time, prints medians with their spread, and ends with a line of JSON.

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
    /// Two network namespaces joined by each of several switches (root).
    Namespaces(namespaces::Options),
    /// Send small packets by an interface, as fast as it takes them.
    Send(sender::Options),
}

fn main() -> Result<()> {
    match Cli::parse().command {
        Verb::Memory(options) => memory::run(&options),
        Verb::Namespaces(options) => namespaces::run(&options),
        Verb::Send(options) => sender::run(&options),
    }
}
