//! The database server and the tool for database files: by Open vSwitch's names, and as verbs.

use std::path::Path;
use std::process::ExitCode;

use heddle_ovsdb::schema::Schema;

/// Runs a program of the database where the program was called as one.
pub fn dispatch() -> Option<ExitCode> {
    let words: Vec<String> = std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect();
    let known = |name: &str| {
        [("ovsdb-server", server as fn(&[String]) -> u8), ("ovsdb-tool", tool)]
            .into_iter()
            .find(|(program, _)| *program == name)
    };
    let own = known(Path::new(words.first()?).file_name()?.to_str()?).map(|(_, run)| (run, 1));
    let verb = || words.get(1).and_then(|verb| known(verb)).map(|(_, run)| (run, 2));
    let (run, before) = own.or_else(verb)?;
    Some(ExitCode::from(run(&words[before..])))
}

/// The schema of new databases.
fn schema() -> Option<Schema> {
    Schema::from_json(&heddle_switch::schema::json()).ok()
}

fn server(words: &[String]) -> u8 {
    heddle_ovsdb_server::run(words, schema().as_ref())
}

fn tool(words: &[String]) -> u8 {
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    let outcome = heddle_ovsdb_server::tool::run(words, schema().as_ref(), &mut out);
    let _ = std::io::Write::flush(&mut out);
    outcome.unwrap_or_else(|fatal| {
        if !fatal.message.is_empty() {
            eprintln!("ovsdb-tool: {}", fatal.message);
        }
        fatal.code
    })
}
