//! Measurements, one a subcommand. Each is bounded in time, prints medians with their spread, and ends with a line of JSON.

mod memory;
mod rounds;

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
}

fn main() -> Result<()> {
    match Cli::parse().command {
        Verb::Memory(options) => memory::run(&options),
    }
}
