//! Clients that take Open vSwitch's words: `vsctl`, `ofctl`, `appctl` and `ovsdb-client`.
//!
//! Names, options, output, error text and exit codes are those of the programs that people and scripts know, so that
//! either can stand in for the other. Each client is a function from words to an exit code; it writes what it has to say
//! to a writer, and errors to the standard error stream. Clients wait for one peer at a time, so they use plain blocking
//! sockets, and `poll` where a peer and an operator may both speak.
#![forbid(unsafe_code)]

pub mod appctl;
pub mod background;
pub mod complete;
pub mod database;
pub mod fatal;
#[doc(hidden)]
pub mod fuzz;
pub mod json;
pub mod log;
pub mod ofctl;
pub mod options;
pub mod ovsdb_client;
pub mod place;
pub mod signals;
pub mod stream;
pub mod table;
pub mod timeout;
pub mod unixctl;
pub mod vsctl;

pub use fatal::Fatal;

/// The release of Open vSwitch whose interfaces are offered. Clients and scripts read it from `--version`, from the
/// `version` command and from the `ovs_version` column.
pub const OVS_VERSION: &str = "4.0.0";

/// The version of the database schema, as `ovs-vsctl --version` says it.
pub const SCHEMA_VERSION: &str = "8.8.0";

/// What a program of this name says of its version: scripts of Open vSwitch's users look for its name and number first.
#[must_use]
pub fn version(program: &str) -> String {
    format!("{program} (Open vSwitch) {OVS_VERSION}\nHeddle {}\n", env!("CARGO_PKG_VERSION"))
}

/// A client's entry: its words without the program's name, and where its output goes.
pub type Client = fn(&[String], &mut dyn std::io::Write) -> Result<u8, Fatal>;

/// The clients by the names that Open vSwitch gives their programs, and by the verbs of `heddle`.
pub const CLIENTS: &[(&str, &str, Client)] = &[
    ("ovs-appctl", "appctl", appctl::run),
    ("ovs-ofctl", "ofctl", ofctl::run),
    ("ovs-vsctl", "vsctl", vsctl::run),
    ("ovsdb-client", "ovsdb-client", ovsdb_client::run),
];

/// Runs a client as a program of this name: what went wrong is written to the standard error stream.
pub fn run(program: &'static str, client: Client, words: &[String]) -> u8 {
    log::set_program(program);
    signals::watch();
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    let outcome = client(words, &mut out);
    // A reader that has gone is no error of ours: what it wanted, it has.
    let _ = std::io::Write::flush(&mut out);
    background::clean_up();
    outcome.unwrap_or_else(|fatal| {
        if !fatal.message.is_empty() {
            eprintln!("{program}: {}", fatal.message);
        }
        fatal.code
    })
}
