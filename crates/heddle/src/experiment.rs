//! `heddle lab run`: an experiment, from its file to its report.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Args;
use heddle_experiment::{Experiment, Outcome, report, run};
use heddle_lab::client::{Lab, Options};
use heddle_lab::protocol::{Arp, Controller};

use crate::lab::{end, free_name, parse_controller, read_file, show_progress};
use crate::output::show_line;
use crate::progress;

/// What `heddle lab run` takes.
#[derive(Args)]
#[command(after_help = "Examples:\n  \
    heddle lab run examples/lossy-link.yaml\n  \
    heddle lab run examples/lossy-link.yaml --output /tmp/run --seed 8 --json\n\n\
Exit code 0: all came as expected; 1: an expectation fails; 2: the experiment could not be run.")]
pub struct Run {
    /// The experiment (YAML); docs/experiments.md describes it.
    file: PathBuf,
    /// Where report.json, report.html, captures and what programs write go; NAME.results where nothing is said.
    #[arg(long, short, value_name = "DIRECTORY")]
    output: Option<PathBuf>,
    /// What the dice of links are drawn with, in place of what the file says.
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u64>,
    /// Print the report as JSON in place of text.
    #[arg(long)]
    json: bool,
}

/// Runs `heddle lab run`.
pub fn main(arguments: &Run) -> Result<ExitCode> {
    match perform(arguments) {
        Ok(outcome) => {
            if arguments.json {
                show_line(serde_json::to_string_pretty(&outcome)?);
            } else {
                show(&outcome);
            }
            Ok(if outcome.holds() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        Err(error) => {
            eprintln!("heddle: {error:#}");
            Ok(ExitCode::from(2))
        }
    }
}

fn perform(arguments: &Run) -> Result<Outcome> {
    let shown = arguments.file.display().to_string();
    let mut experiment =
        Experiment::from_yaml(&read_file(&arguments.file)?).with_context(|| shown.clone())?;
    if let Some(seed) = arguments.seed {
        experiment.topology.seed = seed;
    }
    let controller = match &experiment.controller {
        Some(text) => parse_controller(text)
            .map_err(|why| anyhow::anyhow!("{shown}: the controller {text:?}: {why}"))?,
        None => Controller::BuiltIn,
    };
    let usual = || PathBuf::from(format!("{}.results", experiment.name));
    let output = arguments.output.clone().unwrap_or_else(usual);
    fs::create_dir_all(&output).with_context(|| output.display().to_string())?;
    let output = fs::canonicalize(&output).with_context(|| output.display().to_string())?;
    let program = std::env::current_exe().context("the program cannot find itself")?;
    // Programs find what lies beside the file wherever the experiment is run from.
    if let Some(directory) = arguments.file.parent().filter(|directory| !directory.as_os_str().is_empty()) {
        std::env::set_current_dir(directory).with_context(|| directory.display().to_string())?;
    }
    let options = Options {
        name: free_name(None, &experiment.topology),
        topology: experiment.topology.clone(),
        controller,
        fail_mode: None,
        wiring: None,
        arp: Arp::Auto,
        detached: false,
        program,
    };
    let name = options.name.clone();
    let mut shown = progress::Progress::new();
    let lab = Lab::start(options, |progress| show_progress(&mut shown, progress))?;
    drop(shown);
    let outcome = run::run(&experiment, &lab, &output, &mut |line| eprintln!("{line}"));
    let stopped = end(lab, &name);
    let outcome = outcome?;
    stopped?;
    write(&output, "report.json", &serde_json::to_string_pretty(&outcome)?)?;
    write(&output, "report.html", &report::html(&outcome))?;
    eprintln!("*** {}", output.join("report.html").display());
    Ok(outcome)
}

fn write(output: &Path, name: &str, text: &str) -> Result<()> {
    let path = output.join(name);
    fs::write(&path, text).with_context(|| path.display().to_string())
}

fn show(outcome: &Outcome) {
    for verdict in &outcome.verdicts {
        let word = if verdict.holds { "holds" } else { "FAILS" };
        show_line(format!("{word}  {}: {}", verdict.expected, verdict.found));
    }
    if outcome.fidelity.judged {
        let word = if outcome.fidelity.kept { "kept" } else { "NOT kept: the machine was too slow" };
        show_line(format!("fidelity: {word}"));
        outcome.fidelity.complaints.iter().for_each(|complaint| show_line(format!("  {complaint}")));
    }
    outcome.warnings.iter().for_each(|warning| show_line(format!("warning: {warning}")));
}
