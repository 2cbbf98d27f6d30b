//! Open vSwitch's daemons: by their own names, as `ovs-vswitchd`, and as verbs, as `heddle vswitchd`. Their words are
//! handed on as they came, since scripts know how they are read.

mod switchd;
mod vswitchd;

use std::path::Path;
use std::process::ExitCode;

use heddle_daemon::process::{Program, Stop};

/// A daemon's entry: its words without the program's name.
type Entry = fn(&[String]) -> Result<(), Stop>;

/// The daemons by the names that Open vSwitch gives their programs, and by the verbs of `heddle`.
const DAEMONS: &[(&Program, &str, Entry)] =
    &[(&vswitchd::PROGRAM, "vswitchd", vswitchd::run), (&switchd::PROGRAM, "switchd", switchd::run)];

/// Runs a daemon where the program was called as one.
pub fn dispatch() -> Option<ExitCode> {
    let words: Vec<String> = std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect();
    let name = Path::new(words.first()?).file_name()?.to_str()?;
    let own = DAEMONS.iter().find(|(program, ..)| program.name == name).map(|daemon| (daemon, 1));
    let verb = || DAEMONS.iter().find(|(_, verb, _)| Some(*verb) == words.get(1).map(String::as_str));
    let (&(program, verb, entry), before) = own.or_else(|| Some((verb()?, 2)))?;
    let said = if before == 1 { program.name.to_owned() } else { format!("heddle {verb}") };
    let outcome = entry(&words[before..]);
    heddle_daemon::log::flush();
    Some(outcome.map_or_else(|stop| ExitCode::from(stop.report(&said)), |()| ExitCode::SUCCESS))
}
