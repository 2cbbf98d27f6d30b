//! Open vSwitch's clients: by their own names, as `ovs-vsctl`, and as verbs, as `heddle vsctl`.
//!
//! Their words are handed on as they came. The command line's parser would take `--` and unknown options for its own, and
//! says other things than scripts expect.

use std::path::Path;
use std::process::ExitCode;

use heddle_clients::CLIENTS;

/// What follows the verb of a client; only help and completions read this.
#[derive(clap::Args)]
#[command(disable_help_flag = true)]
pub struct Words {
    /// As the client of Open vSwitch takes them; `--help` lists them.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    words: Vec<String>,
}

/// Runs a client where the program was called as one.
pub fn dispatch() -> Option<ExitCode> {
    let words: Vec<String> = std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect();
    let name = Path::new(words.first()?).file_name()?.to_str()?;
    let own = CLIENTS.iter().find(|(program, ..)| *program == name).map(|client| (client, 1));
    let verb = || CLIENTS.iter().find(|(_, verb, _)| Some(*verb) == words.get(1).map(String::as_str));
    let (&(program, _, client), before) = own.or_else(|| Some((verb()?, 2)))?;
    Some(ExitCode::from(heddle_clients::run(program, client, &words[before..])))
}
