//! `ofctl`: asks and changes switches by OpenFlow, and watches them.
//!
//! What a switch sends is printed as it came, in the words of its version. Flows, groups and the like are read and written
//! by the codec; what that has no value for yet is refused by name.

mod bundle;
mod capture;
mod commands;
mod connection;
mod extras;
mod flow_text;
mod flows;
mod formats;
mod groups;
mod monitor;
mod names;
mod nx_match;
pub mod print;
mod tools;

use std::io::Write;

use heddle_openflow::{Body, Version, port};

pub(crate) use self::capture::fuzz as read_capture;
use self::connection::Connection;
use self::formats::Formats;
use self::names::Ports;
use crate::background::Background;
use crate::fatal::{Fatal, fail};
use crate::options::{self, Given, Opt, Order, Takes, opt};
use crate::{log, timeout};

const OWN: &[Opt] = &[
    opt("timeout", 't', Takes::Value),
    opt("flow-format", 'F', Takes::Value),
    opt("protocols", 'O', Takes::Value),
    opt("packet-in-format", 'P', Takes::Value),
    opt("more", 'm', Takes::Nothing),
    opt("strict", ' ', Takes::Nothing),
    opt("readd", ' ', Takes::Nothing),
    opt("timestamp", ' ', Takes::Nothing),
    opt("sort", ' ', Takes::Maybe),
    opt("rsort", ' ', Takes::Maybe),
    opt("names", ' ', Takes::Nothing),
    opt("no-names", ' ', Takes::Nothing),
    opt("stats", ' ', Takes::Nothing),
    opt("no-stats", ' ', Takes::Nothing),
    opt("bundle", ' ', Takes::Nothing),
    opt("may-create", ' ', Takes::Nothing),
    opt("read-only", ' ', Takes::Nothing),
    opt("raw", ' ', Takes::Nothing),
    opt("pcap", ' ', Takes::Nothing),
    opt("bare", ' ', Takes::Nothing),
    opt("bad-csum", ' ', Takes::Nothing),
    opt("color", ' ', Takes::Maybe),
    opt("unixctl", ' ', Takes::Value),
    opt("help", 'h', Takes::Nothing),
    opt("option", 'o', Takes::Nothing),
    opt("version", 'V', Takes::Nothing),
];
const TABLES: &[&[Opt]] = &[OWN, options::LOG, options::DAEMON, options::TLS];

/// What the options said.
struct Settings {
    /// A bit for each version that may be spoken.
    versions: u32,
    /// Formats of flows that may be used, all of them of those versions.
    formats: Formats,
    strict: bool,
    /// Write flows anew that are there already.
    readd: bool,
    timestamp: bool,
    /// Fields to sort by, and whether the greatest comes first.
    sort: Vec<(String, bool)>,
    names: bool,
    stats: bool,
    bundle: bool,
    may_create: bool,
    /// Read bytes, not hexadecimal text.
    raw: bool,
    /// Write a composed packet as a capture, or as hexadecimal digits alone.
    pcap: bool,
    bare: bool,
    /// Compose a packet whose IPv4 header's checksum is wrong.
    bad_checksum: bool,
    verbosity: u32,
    packet_in: Option<u32>,
    unixctl: Option<String>,
    background: Background,
}

/// What a command works with.
struct Context<'a> {
    words: &'a [String],
    settings: Settings,
    out: &'a mut dyn Write,
    /// Where watched messages go, in place of the standard error stream.
    watched: Option<std::fs::File>,
}

struct Command {
    name: &'static str,
    words: (usize, usize),
    usage: &'static str,
    run: fn(&mut Context<'_>) -> Result<u8, Fatal>,
}

const MANY: usize = usize::MAX;

macro_rules! commands {
    ($($name:literal, $least:expr, $most:expr, $usage:literal, $run:expr;)*) => {
        const COMMANDS: &[Command] = &[$(Command { name: $name, words: ($least, $most), usage: $usage, run: $run },)*];
    };
}

commands! {
    "show", 1, 1, "SWITCH", commands::show;
    "dump-desc", 1, 1, "SWITCH", commands::dump_desc;
    "dump-tables", 1, 1, "SWITCH", commands::dump_tables;
    "dump-table-features", 1, 1, "SWITCH", commands::dump_table_features;
    "dump-table-desc", 1, 1, "SWITCH", commands::dump_table_desc;
    "mod-table", 3, 3, "SWITCH TABLE MOD", commands::mod_table;
    "get-frags", 1, 1, "SWITCH", commands::fragments;
    "set-frags", 2, 2, "SWITCH MODE", commands::set_fragments;
    "dump-ports", 1, 2, "SWITCH [PORT]", commands::dump_ports;
    "dump-ports-desc", 1, 2, "SWITCH [PORT]", commands::dump_ports_desc;
    "mod-port", 3, 3, "SWITCH PORT ACTION", commands::mod_port;
    "dump-flows", 1, 2, "SWITCH [FLOW]", flows::dump;
    "dump-aggregate", 1, 2, "SWITCH [FLOW]", flows::dump_aggregate;
    "queue-stats", 1, 3, "SWITCH [PORT [QUEUE]]", commands::queue_stats;
    "queue-get-config", 1, 3, "SWITCH [PORT [QUEUE]]", commands::queue_get_config;
    "add-flow", 2, 2, "SWITCH FLOW", flows::add;
    "add-flows", 2, 2, "SWITCH FILE", flows::add_file;
    "mod-flows", 2, 2, "SWITCH FLOW", flows::modify;
    "del-flows", 1, 2, "SWITCH [FLOW]", flows::delete;
    "replace-flows", 2, 2, "SWITCH FILE", flows::replace;
    "diff-flows", 2, 2, "SOURCE SOURCE", flows::diff;
    "packet-out", 2, MANY, "SWITCH IN_PORT ACTIONS PACKET...", commands::packet_out;
    "monitor", 1, 3, "SWITCH [MISS_LEN] [invalid_ttl] [watch:]", monitor::monitor;
    "snoop", 1, 1, "SWITCH", monitor::snoop;
    "probe", 1, 1, "TARGET", commands::probe;
    "ping", 1, 2, "TARGET [N]", commands::ping;
    "benchmark", 3, 3, "TARGET N COUNT", commands::benchmark;
    "add-group", 1, 2, "SWITCH GROUP", groups::add_group;
    "add-groups", 1, 2, "SWITCH FILE", groups::add_groups;
    "mod-group", 1, 2, "SWITCH GROUP", groups::mod_group;
    "del-groups", 1, 2, "SWITCH [GROUP]", groups::delete_groups;
    "insert-buckets", 1, 2, "SWITCH GROUP", groups::insert_buckets;
    "remove-buckets", 1, 2, "SWITCH GROUP", groups::remove_buckets;
    "dump-groups", 1, 2, "SWITCH [GROUP]", groups::dump_groups;
    "dump-group-stats", 1, 2, "SWITCH [GROUP]", groups::dump_group_stats;
    "dump-group-features", 1, 1, "SWITCH", groups::dump_group_features;
    "add-meter", 2, 2, "SWITCH METER", groups::add_meter;
    "mod-meter", 2, 2, "SWITCH METER", groups::mod_meter;
    "del-meter", 1, 2, "SWITCH [METER]", groups::delete_meters;
    "del-meters", 1, 2, "SWITCH [METER]", groups::delete_meters;
    "dump-meter", 1, 2, "SWITCH [METER]", groups::dump_meters;
    "dump-meters", 1, 2, "SWITCH [METER]", groups::dump_meters;
    "meter-stats", 1, 2, "SWITCH [METER]", groups::meter_stats;
    "meter-features", 1, 1, "SWITCH", groups::meter_features;
    "bundle", 2, 2, "SWITCH FILE", bundle::bundle;
    "add-tlv-map", 2, 2, "SWITCH MAP", extras::add_tlv_map;
    "del-tlv-map", 1, 2, "SWITCH [MAP]", extras::del_tlv_map;
    "dump-tlv-map", 1, 1, "SWITCH", extras::dump_tlv_map;
    "dump-ipfix-bridge", 1, 1, "SWITCH", extras::dump_ipfix_bridge;
    "dump-ipfix-flow", 1, 1, "SWITCH", extras::dump_ipfix_flow;
    "ct-flush-zone", 2, 2, "SWITCH ZONE", extras::ct_flush_zone;
    "set-packet-in-format", 2, 2, "SWITCH FORMAT", extras::set_packet_in_format;
    "ct-flush", 1, 6, "SWITCH [ZONE=N] [MARK=N] [LABELS=N] [TUPLE] [TUPLE]", extras::ct_flush;
    "parse-flow", 1, 1, "FLOW", flows::parse_flow;
    "parse-flows", 1, 1, "FILE", flows::parse_flows;
    "ofp-print", 1, 2, "HEX [VERBOSITY]", tools::print_message;
    "ofp-parse", 1, 1, "FILE", tools::parse_file;
    "ofp-parse-pcap", 1, MANY, "FILE [PORT...]", capture::messages;
    "parse-pcap", 1, MANY, "FILE...", capture::frames;
    "parse-packet", 0, 0, "", capture::packet;
    "compose-packet", 1, 2, "[--pcap|--bare] [--bad-csum] FLOW [DATA]", capture::composed;
    "print-error", 1, 1, "ERROR", tools::print_error;
    "encode-error-reply", 2, 2, "ERROR MESSAGE", tools::encode_error_reply;
    "parse-nxm", 0, 0, "", nx_match::parse_nxm;
    "parse-nx-match", 0, 0, "", nx_match::parse_nxm;
    "parse-oxm", 1, 1, "VERSION", nx_match::parse_oxm;
    "parse-actions", 1, 1, "ACTIONS", tools::parse_actions_text;
    "parse-group", 1, 1, "GROUP", tools::parse_group_text;
}

fn help() -> String {
    let mut text = String::from(
        "ovs-ofctl: OpenFlow switch management utility\nusage: ovs-ofctl [OPTIONS] COMMAND [ARG...]\n\nCommands:\n",
    );
    for command in COMMANDS {
        text += &format!("  {} {}\n", command.name, command.usage);
    }
    text += "\nA SWITCH is the name of a bridge, or tcp:HOST[:PORT], unix:FILE, ptcp:[PORT], punix:FILE.\n\nOptions:\n";
    text + &options::print(TABLES).lines().map(|line| format!("  {line}\n")).collect::<String>()
}

/// Runs the client.
///
/// # Errors
/// What the operator is told.
pub fn run(words: &[String], out: &mut dyn Write) -> Result<u8, Fatal> {
    log::set_console(log::Level::Info);
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
    let (least, most) = command.words;
    if words.len() < least {
        return fail(format!("'{name}' command requires at least {least} arguments"));
    }
    if words.len() > most {
        return fail(format!("'{name}' command takes at most {most} arguments"));
    }
    if let Some(code) = settings.background.start()? {
        return Ok(code);
    }
    (command.run)(&mut Context { words, settings, out, watched: None })
}

/// What the options ask for; `None` if they asked for a text only.
fn take_options(given: &[Given], out: &mut dyn Write) -> Result<Option<Settings>, Fatal> {
    let mut settings = Settings {
        versions: Version::V1_0.bit(),
        formats: Formats::ANY,
        strict: false,
        readd: false,
        timestamp: false,
        sort: Vec::new(),
        names: false,
        stats: true,
        bundle: false,
        may_create: false,
        raw: false,
        pcap: false,
        bare: false,
        bad_checksum: false,
        verbosity: 0,
        packet_in: None,
        unixctl: None,
        background: Background::default(),
    };
    let mut seconds = None;
    for given in given {
        match given.name.as_str() {
            "timeout" => seconds = Some(timeout::parse("-t or --timeout", given.text())?),
            "protocols" => settings.versions = parse_versions(given.text())?,
            "flow-format" => settings.formats = Formats::parse(given.text())?,
            "packet-in-format" => {
                settings.packet_in = Some(packet_in_format(given.text())?);
            }
            "more" => settings.verbosity += 1,
            "strict" => settings.strict = true,
            "readd" => settings.readd = true,
            "timestamp" => settings.timestamp = true,
            "sort" | "rsort" => {
                let field = given.value.clone().unwrap_or_else(|| "priority".into());
                if field != "priority" && heddle_flow::Field::by_name(&field).is_none() {
                    return fail(format!("{field}: unknown field name"));
                }
                settings.sort.push((field, given.name == "rsort"));
            }
            "names" => settings.names = true,
            "no-names" => settings.names = false,
            "stats" => settings.stats = true,
            "no-stats" => settings.stats = false,
            "bundle" => settings.bundle = true,
            "may-create" => settings.may_create = true,
            "raw" => settings.raw = true,
            "pcap" => settings.pcap = true,
            "bare" => settings.bare = true,
            "bad-csum" => settings.bad_checksum = true,
            "unixctl" => settings.unixctl = given.value.clone(),
            "help" | "option" | "version" => {
                let text = match given.name.as_str() {
                    "help" => help(),
                    "option" => options::print(TABLES),
                    _ => crate::version("ovs-ofctl") + "OpenFlow versions 0x1:0x6\n",
                };
                write!(out, "{text}")?;
                return Ok(None);
            }
            _ => {
                let _ = settings.background.take_option(given) || log::take_option(given)?;
            }
        }
    }
    fit_formats(&mut settings)?;
    timeout::arm(seconds);
    Ok(Some(settings))
}

/// The number of a form in which packets come.
fn packet_in_format(name: &str) -> Result<u32, Fatal> {
    match name {
        "standard" | "openflow10" => Ok(0),
        "nxt_packet_in" | "nxm" => Ok(1),
        "nxt_packet_in2" => Ok(2),
        other => fail(format!("unknown packet-in format `{other}'")),
    }
}

/// Reads a list of versions: `OpenFlow10,OpenFlow13`.
fn parse_versions(list: &str) -> Result<u32, Fatal> {
    let mut versions = 0;
    for word in list.split([',', ' ']).filter(|word| !word.is_empty()) {
        let word = word.to_ascii_lowercase();
        let named = |version: &&Version| word == format!("openflow{}", version.number().replace('.', ""));
        let Some(version) = Version::ALL.iter().find(named) else {
            return fail(format!("Unknown OpenFlow version: \"{word}\""));
        };
        versions |= version.bit();
    }
    Ok(versions)
}

/// Keeps the versions and the formats that go together.
fn fit_formats(settings: &mut Settings) -> Result<(), Fatal> {
    let fitting = settings.formats & Formats::of_versions(settings.versions);
    if fitting.is_empty() {
        let versions = Version::ALL.iter().filter(|version| settings.versions & version.bit() != 0);
        return fail(format!(
            "None of the enabled OpenFlow versions ({}) supports any of the enabled flow formats ({}).  (Use -O to enable additional OpenFlow versions or -F to enable additional flow formats.)",
            versions.map(|version| version.name()).collect::<Vec<_>>().join(", "),
            settings.formats
        ));
    }
    settings.formats = fitting;
    settings.versions = fitting.versions();
    if settings.bundle {
        // OpenFlow 1.4 is spoken where no version with bundles is allowed.
        let able = settings.versions & bundle::VERSIONS;
        settings.versions = if able == 0 { Version::V1_4.bit() } else { able };
        settings.formats = Formats::of_versions(settings.versions);
    }
    Ok(())
}

impl Context<'_> {
    /// Calls the switch that the first word names.
    fn open(&self) -> Result<Connection, Fatal> {
        Connection::open(&self.words[0], "mgmt", self.settings.versions)
    }

    /// The same for changes, which may have to go as a bundle: OpenFlow 1.4 is allowed where no version with bundles is.
    fn open_for_changes(&mut self) -> Result<Connection, Fatal> {
        if self.settings.bundle {
            let able = self.settings.versions & bundle::VERSIONS;
            self.settings.versions = if able == 0 { Version::V1_4.bit() } else { able };
            self.settings.formats = Formats::of_versions(self.settings.versions);
        }
        self.open()
    }

    /// Prints messages as they came.
    fn print(&mut self, messages: &[Vec<u8>]) -> Result<(), Fatal> {
        for bytes in messages {
            write!(self.out, "{}", print::message(bytes, self.settings.verbosity + 1))?;
        }
        Ok(())
    }

    /// Fails if a switch refused something: what it said is printed for errors.
    fn refuse(&self, error: Option<Vec<u8>>) -> Result<(), Fatal> {
        match error {
            None => Ok(()),
            Some(bytes) => {
                eprint!("{}", print::message(&bytes, self.settings.verbosity));
                Err(Fatal::new(""))
            }
        }
    }
}

/// The ports of a switch, by number and name.
fn ports(connection: &mut Connection) -> Result<Ports, Fatal> {
    let question = match connection.version {
        version if version < Version::V1_3 => Body::FeaturesRequest,
        _ => Body::MultipartRequest(heddle_openflow::multipart::Request::PortDesc(port::ANY)),
    };
    let mut found = Ports::default();
    for bytes in connection.ask(question, false)? {
        let list = match heddle_openflow::decode(&bytes).map(|message| message.body) {
            Ok(Body::FeaturesReply(features)) => features.ports,
            Ok(Body::MultipartReply(heddle_openflow::multipart::Reply::PortDesc(ports))) => ports,
            _ => continue,
        };
        found.0.extend(list.into_iter().map(|port| (port.number, port.name)));
    }
    Ok(found)
}
