//! `ovsdb-client`: asks a database server, as RFC 7047 describes it with Open vSwitch's extensions.
//!
//! Each command may be preceded in its words by a server and by a database. A server is told by its form (`unix:`,
//! `tcp:`); a word is a database where the server has one of that name and enough words are left for the command.

mod backup;
mod data;
mod lock;
mod monitor;
mod schema;
mod wait;

use std::io::Write;

use crate::background::Background;
use crate::database::Database;
use crate::fatal::{Fatal, fail};
use crate::options::{self, Given, Opt, Order, Takes, opt};
use crate::table::{Format, Style};
use crate::{log, place, timeout};

const OWN: &[Opt] = &[
    opt("timeout", 't', Takes::Value),
    opt("timestamp", ' ', Takes::Nothing),
    opt("force", ' ', Takes::Nothing),
    opt("leader-only", ' ', Takes::Nothing),
    opt("no-leader-only", ' ', Takes::Nothing),
    opt("db-change-aware", ' ', Takes::Nothing),
    opt("no-db-change-aware", ' ', Takes::Nothing),
    opt("help", 'h', Takes::Nothing),
    opt("version", 'V', Takes::Nothing),
];
const TABLES: &[&[Opt]] = &[OWN, options::LOG, options::DAEMON, options::TLS, options::TABLE];

/// What a command needs before its own words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Needs {
    Server,
    Database,
}

/// What a command works with.
struct Context<'a> {
    server: String,
    connection: Database,
    database: String,
    words: &'a [String],
    settings: Settings,
    out: &'a mut dyn Write,
}

/// What the options said.
struct Settings {
    style: Style,
    timestamp: bool,
    force: bool,
    change_aware: bool,
    background: Background,
}

struct Command {
    name: &'static str,
    needs: Needs,
    words: (usize, usize),
    usage: &'static str,
    run: fn(&mut Context<'_>) -> Result<u8, Fatal>,
}

const MANY: usize = usize::MAX;

const COMMANDS: &[Command] = &[
    Command {
        name: "list-dbs",
        needs: Needs::Server,
        words: (0, 0),
        usage: "[SERVER]",
        run: schema::list_databases,
    },
    Command {
        name: "get-schema",
        needs: Needs::Database,
        words: (0, 0),
        usage: "[SERVER] [DATABASE]",
        run: schema::print,
    },
    Command {
        name: "get-schema-version",
        needs: Needs::Database,
        words: (0, 0),
        usage: "[SERVER] [DATABASE]",
        run: schema::print_version,
    },
    Command {
        name: "get-schema-cksum",
        needs: Needs::Database,
        words: (0, 0),
        usage: "[SERVER] [DATABASE]",
        run: schema::print_cksum,
    },
    Command {
        name: "list-tables",
        needs: Needs::Database,
        words: (0, 0),
        usage: "[SERVER] [DATABASE]",
        run: schema::list_tables,
    },
    Command {
        name: "list-columns",
        needs: Needs::Database,
        words: (0, 1),
        usage: "[SERVER] [DATABASE] [TABLE]",
        run: schema::list_columns,
    },
    Command {
        name: "transact",
        needs: Needs::Server,
        words: (1, 1),
        usage: "[SERVER] TRANSACTION",
        run: data::transact,
    },
    Command {
        name: "query",
        needs: Needs::Server,
        words: (1, 1),
        usage: "[SERVER] TRANSACTION",
        run: data::query,
    },
    Command {
        name: "monitor",
        needs: Needs::Database,
        words: (1, MANY),
        usage: "[SERVER] [DATABASE] TABLE|ALL [COLUMN,...]...",
        run: monitor::monitor,
    },
    Command {
        name: "monitor-cond",
        needs: Needs::Database,
        words: (2, 3),
        usage: "[SERVER] [DATABASE] CONDITIONS TABLE [COLUMN,...]",
        run: monitor::monitor_cond,
    },
    Command {
        name: "monitor-cond-since",
        needs: Needs::Database,
        words: (2, 4),
        usage: "[SERVER] [DATABASE] [LAST-ID] CONDITIONS TABLE [COLUMN,...]",
        run: monitor::monitor_cond_since,
    },
    Command {
        name: "wait",
        needs: Needs::Server,
        words: (2, 2),
        usage: "[SERVER] DATABASE added|connected|removed",
        run: wait::unreachable,
    },
    Command {
        name: "convert",
        needs: Needs::Server,
        words: (1, 1),
        usage: "[SERVER] SCHEMA",
        run: schema::convert,
    },
    Command {
        name: "needs-conversion",
        needs: Needs::Server,
        words: (1, 1),
        usage: "[SERVER] SCHEMA",
        run: schema::needs_conversion,
    },
    Command {
        name: "dump",
        needs: Needs::Database,
        words: (0, MANY),
        usage: "[SERVER] [DATABASE] [TABLE [COLUMN]...]",
        run: data::dump,
    },
    Command {
        name: "backup",
        needs: Needs::Database,
        words: (0, 0),
        usage: "[SERVER] [DATABASE] > SNAPSHOT",
        run: backup::backup,
    },
    Command {
        name: "restore",
        needs: Needs::Database,
        words: (0, 0),
        usage: "[SERVER] [DATABASE] < SNAPSHOT",
        run: backup::restore,
    },
    Command { name: "lock", needs: Needs::Server, words: (1, 1), usage: "[SERVER] LOCK", run: lock::lock },
    Command { name: "steal", needs: Needs::Server, words: (1, 1), usage: "[SERVER] LOCK", run: lock::steal },
    Command {
        name: "unlock",
        needs: Needs::Server,
        words: (1, 1),
        usage: "[SERVER] LOCK",
        run: lock::unlock,
    },
];

fn help() -> String {
    let mut text = String::from(
        "ovsdb-client: Open vSwitch database JSON-RPC client\nusage: ovsdb-client [OPTIONS] COMMAND [ARG...]\n\nCommands:\n",
    );
    for command in COMMANDS {
        text += &format!("  {} {}\n", command.name, command.usage);
    }
    text += &format!(
        "\nThe default SERVER is {}.\nThe default DATABASE is Open_vSwitch.\n\nOptions:\n",
        place::database()
    );
    text + &options::print(TABLES).lines().map(|line| format!("  {line}\n")).collect::<String>()
}

/// Runs the client.
///
/// # Errors
/// What the operator is told.
pub fn run(words: &[String], out: &mut dyn Write) -> Result<u8, Fatal> {
    let (given, words) = options::parse(words, TABLES, Order::Permuted)?;
    let Some(settings) = take_options(&given, out)? else { return Ok(0) };
    let Some((name, words)) = words.split_first() else {
        return fail("missing command name; use --help for help");
    };
    if name == "help" {
        write!(out, "{}", help())?;
        return Ok(0);
    }
    let Some(command) = COMMANDS.iter().find(|command| command.name == name) else {
        return fail(format!("unknown command '{name}'; use --help for help"));
    };
    let (server, words) = match words.split_first() {
        Some((first, rest)) if looks_like_server(first) => (first.clone(), rest),
        _ => (place::database(), words),
    };
    let check = |words: &[String]| match words.len() {
        count if count < command.words.0 || count > command.words.1 => {
            fail(format!("invalid syntax for '{name}' (use --help for help)"))
        }
        _ => Ok(()),
    };
    if command.name == "wait" {
        check(words)?;
        return wait::wait(&server, words);
    }
    if let Some(code) = settings.background.start()? {
        return Ok(code);
    }
    let mut connection = Database::connect(&server)?;
    let (database, words) = match command.needs {
        Needs::Server => (String::new(), words),
        Needs::Database => choose_database(command, &mut connection, words)?,
    };
    check(words)?;
    (command.run)(&mut Context { server, connection, database, words, settings, out })
}

/// Whether a word is a server: letters, then a colon.
fn looks_like_server(word: &str) -> bool {
    word.split_once(':')
        .is_some_and(|(kind, _)| !kind.is_empty() && kind.bytes().all(|byte| byte.is_ascii_lowercase()))
}

fn choose_database<'a>(
    command: &Command,
    connection: &mut Database,
    words: &'a [String],
) -> Result<(String, &'a [String]), Fatal> {
    let there = connection.databases()?;
    if let Some((first, rest)) = words.split_first()
        && there.contains(first)
        && rest.len() >= command.words.0
    {
        return Ok((first.clone(), rest));
    }
    let own: Vec<&String> = there.iter().filter(|name| !name.starts_with('_')).collect();
    match own[..] {
        _ if there.iter().any(|name| name == "Open_vSwitch") => Ok(("Open_vSwitch".into(), words)),
        [only] => Ok((only.clone(), words)),
        _ => fail(format!(
            "no default database for `{}' command, please specify a database name",
            command.name
        )),
    }
}

/// What the options ask for; `None` if they asked for a text only.
fn take_options(given: &[Given], out: &mut dyn Write) -> Result<Option<Settings>, Fatal> {
    let mut settings = Settings {
        style: Style::new(Format::Table),
        timestamp: false,
        force: false,
        change_aware: false,
        background: Background::default(),
    };
    // `wait` says when it connects.
    log::configure("reconnect:console:info")?;
    let mut seconds = None;
    for given in given {
        match given.name.as_str() {
            "timeout" => seconds = Some(timeout::parse("-t or --timeout", given.text())?),
            "timestamp" => settings.timestamp = true,
            "force" => settings.force = true,
            "db-change-aware" => settings.change_aware = true,
            "no-db-change-aware" => settings.change_aware = false,
            "help" => {
                write!(out, "{}", help())?;
                return Ok(None);
            }
            "version" => {
                out.write_all(crate::version("ovsdb-client").as_bytes())?;
                return Ok(None);
            }
            _ => {
                let _ = settings.style.take_option(given)?
                    || settings.background.take_option(given)
                    || log::take_option(given)?;
            }
        }
    }
    timeout::arm(seconds);
    Ok(Some(settings))
}

impl Context<'_> {
    /// Says that notices of changed databases are understood, where the operator says so.
    fn announce_awareness(&mut self) -> Result<(), Fatal> {
        if self.settings.change_aware {
            crate::database::checked(self.connection.ask("set_db_change_aware", vec![true.into()]))?;
        }
        Ok(())
    }
}
