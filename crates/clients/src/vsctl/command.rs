//! The commands, and how their words are read.

use std::collections::BTreeMap;

use heddle_ovsdb::schema::Schema;

use super::copy::Wanted;
use super::edit::{Edit, Place};
use super::network::Network;
use super::{attach, bridges, controllers, ports, records, show, system, zones};
use crate::fatal::{Fatal, fail};
use crate::options::{self, Given, Opt, Order, Takes, opt};
use crate::table::Table;

/// A command that can be given.
pub struct Command {
    /// Its name.
    pub name: &'static str,
    /// Least and most words after it.
    pub words: (usize, usize),
    /// How they are written in help.
    pub usage: &'static str,
    /// Its options.
    pub options: &'static [Opt],
    /// Asks for what it reads of the database, beyond bridges, ports and interfaces.
    pub wants: fn(&Schema, &[String], &Call, &mut Wanted) -> Result<(), Fatal>,
    /// Does it.
    pub run: fn(&mut Context<'_>, &Call) -> Result<(), Fatal>,
    /// Whether it may change the database.
    pub writes: bool,
}

/// A command as it was given.
#[derive(Clone)]
pub struct Call {
    /// Which.
    pub command: &'static Command,
    /// Its words.
    pub words: Vec<String>,
    /// Its options.
    pub options: BTreeMap<String, Option<String>>,
}

impl Call {
    /// Whether an option was given.
    pub fn has(&self, option: &str) -> bool {
        self.options.contains_key(option)
    }

    /// The argument of an option.
    pub fn option(&self, option: &str) -> Option<&str> {
        self.options.get(option)?.as_deref()
    }

    /// Options, name and words, as they stand in messages.
    pub fn text(&self) -> String {
        let options = self.options.iter().map(|(name, value)| match value {
            Some(value) => format!("--{name}={value}"),
            None => format!("--{name}"),
        });
        let words = std::iter::once(self.command.name.to_owned()).chain(self.words.iter().cloned());
        options.chain(words).collect::<Vec<_>>().join(" ")
    }
}

/// What commands work on.
pub struct Context<'a> {
    /// The transaction.
    pub edit: Edit<'a>,
    /// Bridges, ports and interfaces; `None` where a command may have changed them beneath it.
    pub network: Option<Network>,
    /// What a command printed.
    pub output: String,
    /// The table that it printed.
    pub table: Option<Table>,
    /// The row whose id it prints, once the database has said it.
    pub created: Option<Place>,
    /// Whether a command waits for the database to change.
    pub try_again: bool,
    /// The exit code.
    pub code: u8,
    /// Ports whose devices the switch has to set up.
    pub new_ports: Vec<String>,
    /// What `show` leaves out.
    pub filter: Option<String>,
}

impl Context<'_> {
    /// Bridges, ports and interfaces as they are now.
    pub fn network(&mut self) -> &mut Network {
        let Self { network, edit, .. } = self;
        network.get_or_insert_with(|| Network::of(edit))
    }

    /// Adds a line to the output.
    pub fn line(&mut self, text: impl AsRef<str>) {
        self.output.push_str(text.as_ref());
        self.output.push('\n');
    }
}

const MANY: usize = usize::MAX;
const NONE: &[Opt] = &[];
const MAY_EXIST: &[Opt] = &[opt("may-exist", ' ', Takes::Nothing)];
const IF_EXISTS: &[Opt] = &[opt("if-exists", ' ', Takes::Nothing)];
const PROBE: &[Opt] = &[opt("inactivity-probe", ' ', Takes::Value)];
const REAL_OR_FAKE: &[Opt] = &[opt("real", ' ', Takes::Nothing), opt("fake", ' ', Takes::Nothing)];
const BOND: &[Opt] = &[opt("may-exist", ' ', Takes::Nothing), opt("fake-iface", ' ', Takes::Nothing)];
const DEL_PORT: &[Opt] = &[opt("if-exists", ' ', Takes::Nothing), opt("with-iface", ' ', Takes::Nothing)];
const BOOTSTRAP: &[Opt] = &[opt("bootstrap", ' ', Takes::Nothing)];
const LIST: &[Opt] = &[opt("if-exists", ' ', Takes::Nothing), opt("columns", ' ', Takes::Value)];
const FIND: &[Opt] = &[opt("columns", ' ', Takes::Value)];
const GET: &[Opt] = &[opt("if-exists", ' ', Takes::Nothing), opt("id", ' ', Takes::Value)];
const CREATE: &[Opt] = &[opt("id", ' ', Takes::Value)];
const DESTROY: &[Opt] = &[opt("if-exists", ' ', Takes::Nothing), opt("all", ' ', Takes::Nothing)];

fn nothing(_: &Schema, _: &[String], _: &Call, _: &mut Wanted) -> Result<(), Fatal> {
    Ok(())
}

macro_rules! commands {
    ($($name:literal, $least:expr, $most:expr, $usage:literal, $options:expr, $writes:literal, $wants:expr, $run:expr;)*) => {
        /// The table of commands.
        pub const COMMANDS: &[Command] = &[$(Command {
            name: $name, words: ($least, $most), usage: $usage, options: $options, wants: $wants, run: $run,
            writes: $writes,
        },)*];
    };
}

// name, least and most words, usage, options, whether it writes, what it reads, what it does
commands! {
    "init", 0, 0, "", NONE, true, nothing, system::init;
    "show", 0, 0, "", NONE, false, show::wants, show::show;
    "emer-reset", 0, 0, "", NONE, true, system::wants_all, system::emer_reset;
    "add-br", 1, 3, "NEW-BRIDGE [PARENT] [VLAN]", MAY_EXIST, true, nothing, bridges::add;
    "del-br", 1, 1, "BRIDGE", IF_EXISTS, true, nothing, bridges::delete;
    "list-br", 0, 0, "", REAL_OR_FAKE, false, nothing, bridges::list;
    "br-exists", 1, 1, "BRIDGE", NONE, false, nothing, bridges::exists;
    "br-to-vlan", 1, 1, "BRIDGE", NONE, false, nothing, bridges::to_vlan;
    "br-to-parent", 1, 1, "BRIDGE", NONE, false, nothing, bridges::to_parent;
    "br-set-external-id", 2, 3, "BRIDGE KEY [VALUE]", NONE, true, bridges::wants_ids, bridges::set_external_id;
    "br-get-external-id", 1, 2, "BRIDGE [KEY]", NONE, false, bridges::wants_ids, bridges::external_ids;
    "list-ports", 1, 1, "BRIDGE", NONE, false, nothing, ports::list;
    "add-port", 2, MANY, "BRIDGE PORT [COLUMN[:KEY]=VALUE]...", MAY_EXIST, true, ports::wants, ports::add;
    "add-bond", 4, MANY, "BRIDGE PORT IFACE... [COLUMN[:KEY]=VALUE]...", BOND, true, ports::wants, ports::add_bond;
    "add-bond-iface", 2, 2, "BOND IFACE", MAY_EXIST, true, nothing, ports::add_bond_interface;
    "del-bond-iface", 1, 2, "[BOND] IFACE", IF_EXISTS, true, nothing, ports::delete_bond_interface;
    "del-port", 1, 2, "[BRIDGE] PORT", DEL_PORT, true, nothing, ports::delete;
    "port-to-br", 1, 1, "PORT", NONE, false, nothing, ports::to_bridge;
    "list-ifaces", 1, 1, "BRIDGE", NONE, false, nothing, ports::list_interfaces;
    "iface-to-br", 1, 1, "IFACE", NONE, false, nothing, ports::interface_to_bridge;
    "get-controller", 1, 1, "BRIDGE", NONE, false, controllers::wants, controllers::controllers;
    "del-controller", 1, 1, "BRIDGE", NONE, true, controllers::wants, controllers::delete_controllers;
    "set-controller", 2, MANY, "BRIDGE TARGET...", PROBE, true, controllers::wants, controllers::set_controllers;
    "get-fail-mode", 1, 1, "BRIDGE", NONE, false, controllers::wants, controllers::fail_mode;
    "del-fail-mode", 1, 1, "BRIDGE", NONE, true, controllers::wants, controllers::delete_fail_mode;
    "set-fail-mode", 2, 2, "BRIDGE MODE", NONE, true, controllers::wants, controllers::set_fail_mode;
    "get-manager", 0, 0, "", NONE, false, controllers::wants, controllers::managers;
    "del-manager", 0, 0, "", NONE, true, controllers::wants, controllers::delete_managers;
    "set-manager", 1, MANY, "TARGET...", PROBE, true, controllers::wants, controllers::set_managers;
    "get-ssl", 0, 0, "", NONE, false, system::wants_ssl, system::ssl;
    "del-ssl", 0, 0, "", NONE, true, system::wants_ssl, system::delete_ssl;
    "set-ssl", 3, 3, "PRIVATE-KEY CERTIFICATE CA-CERT", BOOTSTRAP, true, system::wants_ssl, system::set_ssl;
    "get-aa-mapping", 1, 1, "BRIDGE", NONE, false, attach::wants, attach::mappings;
    "add-aa-mapping", 3, 3, "BRIDGE I-SID VLAN", NONE, true, attach::wants, attach::add;
    "del-aa-mapping", 3, 3, "BRIDGE I-SID VLAN", NONE, true, attach::wants, attach::delete;
    "add-zone-tp", 2, MANY, "DATAPATH zone=ZONE POLICY=VALUE...", MAY_EXIST, true, zones::wants, zones::add_policy;
    "del-zone-tp", 2, 2, "DATAPATH zone=ZONE", IF_EXISTS, true, zones::wants, zones::delete_policy;
    "list-zone-tp", 1, 1, "DATAPATH", NONE, false, zones::wants, zones::list_policies;
    "set-zone-limit", 3, 3, "DATAPATH ZONE|default LIMIT", NONE, true, zones::wants, zones::set_limit;
    "del-zone-limit", 2, 2, "DATAPATH ZONE|default", IF_EXISTS, true, zones::wants, zones::delete_limit;
    "list-zone-limits", 1, 1, "DATAPATH", NONE, false, zones::wants, zones::list_limits;
    "list-dp-cap", 1, 1, "DATAPATH", NONE, false, zones::wants, zones::list_capabilities;
    "list", 1, MANY, "TABLE [RECORD]...", LIST, false, records::wants_table, records::list;
    "find", 1, MANY, "TABLE [COLUMN[:KEY]=VALUE]...", FIND, false, records::wants_table, records::find;
    "get", 2, MANY, "TABLE RECORD [COLUMN[:KEY]]...", GET, false, records::wants_columns, records::get;
    "set", 3, MANY, "TABLE RECORD COLUMN[:KEY]=VALUE...", IF_EXISTS, true, records::wants_columns, records::set;
    "add", 4, MANY, "TABLE RECORD COLUMN [KEY=]VALUE...", IF_EXISTS, true, records::wants_column, records::add;
    "remove", 4, MANY, "TABLE RECORD COLUMN KEY|VALUE|KEY=VALUE...", IF_EXISTS, true, records::wants_column, records::remove;
    "clear", 3, MANY, "TABLE RECORD COLUMN...", IF_EXISTS, true, records::wants_columns, records::clear;
    "create", 2, MANY, "TABLE COLUMN[:KEY]=VALUE...", CREATE, true, records::wants_name, records::create;
    "destroy", 1, MANY, "TABLE [RECORD]...", DESTROY, true, records::wants_name, records::destroy;
    "wait-until", 2, MANY, "TABLE RECORD [COLUMN[:KEY]=VALUE]...", NONE, false, records::wants_columns, records::wait_until;
    "comment", 0, MANY, "[ARG]...", NONE, false, nothing, system::comment;
}

/// Reads the commands that `--` separates. `given` are options that stood before the first, among the program's own.
///
/// # Errors
/// No command, one that is not known, or options and words that it does not take.
pub fn parse(words: &[String], given: Vec<Given>) -> Result<Vec<Call>, Fatal> {
    let mut calls = Vec::new();
    let mut given = given;
    let parts: Vec<&[String]> = words.split(|word| word == "--").collect();
    for (index, part) in parts.iter().enumerate() {
        // Nothing stands before the first `--`, and nothing need stand after the last.
        if part.is_empty() && parts.len() > 1 && !(index + 1 == parts.len() && calls.is_empty()) {
            continue;
        }
        // Before the first `--` an option may come twice, as any of the program's may.
        given.dedup_by(|a, b| a.name == b.name);
        calls.push(parse_call(part, std::mem::take(&mut given))?);
    }
    Ok(calls)
}

fn parse_call(words: &[String], mut given: Vec<Given>) -> Result<Call, Fatal> {
    let at = words.iter().position(|word| !word.starts_with('-')).unwrap_or(words.len());
    for word in &words[..at] {
        let (name, value) =
            word.split_once('=').map_or((word.as_str(), None), |(name, value)| (name, Some(value)));
        given.push(Given { name: name.trim_start_matches("--").to_owned(), value: value.map(str::to_owned) });
    }
    let Some((name, words)) = words[at..].split_first() else {
        return fail("missing command name (use --help for help)");
    };
    let Some(command) = COMMANDS.iter().find(|command| command.name == name) else {
        return fail(format!("unknown command '{name}'; use --help for help"));
    };
    let mut options = BTreeMap::new();
    for Given { name: option, value } in given {
        let Some(row) = command.options.iter().find(|row| row.long == option) else {
            return fail(format!("'{name}' command has no '--{option}' option"));
        };
        match (row.takes, &value) {
            (Takes::Value, None) => {
                return fail(format!("missing argument to '--{option}' option on '{name}' command"));
            }
            (Takes::Nothing, Some(_)) => {
                return fail(format!("'--{option}' option on '{name}' does not accept an argument"));
            }
            _ => {}
        }
        if options.insert(option.clone(), value).is_some() {
            return fail(format!("'--{option}' option specified multiple times"));
        }
    }
    let (least, most) = command.words;
    if words.len() < least {
        return fail(format!("'{name}' command requires at least {least} arguments"));
    }
    if words.len() > most {
        return fail(format!("'{name}' command takes at most {most} arguments"));
    }
    Ok(Call { command, words: words.to_vec(), options })
}

/// The options of all commands, for the part of the command line in which they stand among the program's own.
pub fn all_options() -> Vec<Opt> {
    let mut rows: Vec<Opt> = Vec::new();
    for row in COMMANDS.iter().flat_map(|command| command.options) {
        if !rows.iter().any(|other| other.long == row.long) {
            rows.push(*row);
        }
    }
    rows
}

/// The beginning of a command line.
pub struct Leading<'a> {
    /// The program's own options.
    pub program: Vec<Given>,
    /// Options of the first command.
    pub first: Vec<Given>,
    /// What follows.
    pub rest: &'a [String],
}

/// Reads the program's own options and those of the first command, up to a word that is none or `--`.
///
/// # Errors
/// As [`options::parse`].
pub fn leading<'a>(words: &'a [String], own: &[&[Opt]]) -> Result<Leading<'a>, Fatal> {
    let shared = all_options();
    let mut tables: Vec<&[Opt]> = own.to_vec();
    tables.push(&shared);
    // Where the options end is found by reading them, because some take the next word.
    let (given, rest) = options::parse(words, &tables, Order::Leading)?;
    let rest = &words[words.len() - rest.len()..];
    let ours = |given: &Given| own.iter().any(|table| table.iter().any(|row| row.long == given.name));
    let (program, first) = given.into_iter().partition(ours);
    Ok(Leading { program, first, rest })
}
