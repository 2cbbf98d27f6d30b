//! Options, read as GNU's `getopt_long` reads them: abbreviated, clustered, with `=` or without.
//!
//! A library such as clap cannot serve here: scripts know the texts of errors, `ovs-vsctl` takes options for each of its
//! commands, and a long option may be shortened until it is ambiguous.

use crate::fatal::{Fatal, fail};

/// Whether an option has an argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// None.
    Nothing,
    /// Always.
    Value,
    /// Only where it is joined on: `--name=VALUE`, `-nVALUE`.
    Maybe,
}

/// An option.
#[derive(Clone, Copy, Debug)]
pub struct Opt {
    /// Its long name; empty where it has none.
    pub long: &'static str,
    /// Its letter; a space where it has none.
    pub short: char,
    /// Whether it has an argument.
    pub takes: Takes,
}

/// A row of an option table.
pub const fn opt(long: &'static str, short: char, takes: Takes) -> Opt {
    Opt { long, short, takes }
}

/// An option that was given, by its long name (its letter where it has none).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    /// The long name as the table has it.
    pub name: String,
    /// Its argument.
    pub value: Option<String>,
}

impl Given {
    /// Its argument; empty where it has none.
    pub fn text(&self) -> &str {
        self.value.as_deref().unwrap_or_default()
    }
}

/// Whether options may stand after the first word that is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// They may.
    Permuted,
    /// They end there.
    Leading,
}

use Takes::{Maybe, Nothing, Value};

/// Options of every client.
pub const COMMON: &[Opt] =
    &[opt("help", 'h', Nothing), opt("version", 'V', Nothing), opt("option", 'o', Nothing)];
/// Options of the log.
pub const LOG: &[Opt] = &[
    opt("verbose", 'v', Maybe),
    opt("log-file", ' ', Maybe),
    opt("syslog-method", ' ', Value),
    opt("syslog-target", ' ', Value),
];
/// Options of programs that can go to the background.
pub const DAEMON: &[Opt] = &[
    opt("detach", ' ', Nothing),
    opt("no-chdir", ' ', Nothing),
    opt("pidfile", ' ', Maybe),
    opt("overwrite-pidfile", ' ', Nothing),
    opt("monitor", ' ', Nothing),
    opt("no-self-confinement", ' ', Nothing),
    opt("user", ' ', Value),
];
/// Options of TLS. They are read, so that a script that gives them is not refused; the connection is where TLS is missing.
pub const TLS: &[Opt] = &[
    opt("private-key", 'p', Value),
    opt("certificate", 'c', Value),
    opt("ca-cert", 'C', Value),
    opt("bootstrap-ca-cert", ' ', Value),
    opt("peer-ca-cert", ' ', Value),
    opt("ssl-protocols", ' ', Value),
    opt("ssl-ciphers", ' ', Value),
    opt("ssl-ciphersuites", ' ', Value),
    opt("ssl-server-name", ' ', Value),
];
/// Options of tables.
pub const TABLE: &[Opt] = &[
    opt("format", 'f', Value),
    opt("data", 'd', Value),
    opt("no-headings", ' ', Nothing),
    opt("pretty", ' ', Nothing),
    opt("bare", ' ', Nothing),
    opt("max-column-width", ' ', Value),
];

/// Separates options from words.
///
/// # Errors
/// An option that no table has, an abbreviation of several, or an argument that is missing or too much.
pub fn parse(words: &[String], tables: &[&[Opt]], order: Order) -> Result<(Vec<Given>, Vec<String>), Fatal> {
    let (mut given, mut rest) = (Vec::new(), Vec::new());
    let mut left = words.iter();
    while let Some(word) = left.next() {
        if word == "--" {
            rest.extend(left.cloned());
            break;
        } else if let Some(long) = word.strip_prefix("--") {
            given.push(parse_long(long, tables, &mut left)?);
        } else if word.starts_with('-') && word.len() > 1 {
            parse_short(&word[1..], tables, &mut left, &mut given)?;
        } else {
            rest.push(word.clone());
            if order == Order::Leading {
                rest.extend(left.cloned());
                break;
            }
        }
    }
    Ok((given, rest))
}

fn rows<'a>(tables: &'a [&'a [Opt]]) -> impl Iterator<Item = &'a Opt> {
    tables.iter().flat_map(|table| table.iter())
}

/// The option of this long name or unambiguous beginning of one.
fn find_long<'a>(name: &str, tables: &'a [&'a [Opt]]) -> Result<&'a Opt, Fatal> {
    if let Some(exact) = rows(tables).find(|row| row.long == name && !name.is_empty()) {
        return Ok(exact);
    }
    let begins: Vec<&Opt> = rows(tables).filter(|row| row.long.starts_with(name)).collect();
    match begins[..] {
        [only] => Ok(only),
        [] => fail(format!("unrecognized option '--{name}'")),
        _ => {
            let names: Vec<String> = begins.iter().map(|row| format!("'--{}'", row.long)).collect();
            fail(format!("option '--{name}' is ambiguous; possibilities: {}", names.join(" ")))
        }
    }
}

fn parse_long<'a>(
    word: &str,
    tables: &[&[Opt]],
    left: &mut impl Iterator<Item = &'a String>,
) -> Result<Given, Fatal> {
    let (name, value) = match word.split_once('=') {
        Some((name, value)) => (name, Some(value.to_owned())),
        None => (word, None),
    };
    let row = find_long(name, tables).map_err(|fatal| match fatal.message.starts_with("unrecognized") {
        // The C library quotes the whole word.
        true => Fatal::new(format!("unrecognized option '--{word}'")),
        false => fatal,
    })?;
    let value = match (row.takes, value) {
        (Nothing, Some(_)) => return fail(format!("option '--{}' doesn't allow an argument", row.long)),
        (Value, None) => match left.next() {
            Some(word) => Some(word.clone()),
            None => return fail(format!("option '--{}' requires an argument", row.long)),
        },
        (_, value) => value,
    };
    Ok(Given { name: row.long.to_owned(), value })
}

fn parse_short<'a>(
    cluster: &str,
    tables: &[&[Opt]],
    left: &mut impl Iterator<Item = &'a String>,
    given: &mut Vec<Given>,
) -> Result<(), Fatal> {
    for (at, letter) in cluster.char_indices() {
        let Some(row) = rows(tables).find(|row| row.short == letter && letter != ' ') else {
            return fail(format!("invalid option -- '{letter}'"));
        };
        let name = if row.long.is_empty() { letter.to_string() } else { row.long.to_owned() };
        let joined = &cluster[at + letter.len_utf8()..];
        let value = match row.takes {
            Nothing => None,
            Maybe => (!joined.is_empty()).then(|| joined.to_owned()),
            Value if !joined.is_empty() => Some(joined.to_owned()),
            Value => match left.next() {
                Some(word) => Some(word.clone()),
                None => return fail(format!("option requires an argument -- '{letter}'")),
            },
        };
        given.push(Given { name, value });
        if row.takes != Nothing {
            break;
        }
    }
    Ok(())
}

/// What `--option` prints: every option, long and short, as completions want them.
pub fn print(tables: &[&[Opt]]) -> String {
    let mut text = String::new();
    for row in rows(tables) {
        let (long, short) = match row.takes {
            Nothing => ("", " "),
            Value => ("=ARG", " ARG"),
            Maybe => ("=[ARG]", " [ARG]"),
        };
        if !row.long.is_empty() {
            text += &format!("--{}{long}\n", row.long);
        }
        if row.short != ' ' {
            text += &format!("-{}{short}\n", row.short);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: &[Opt] = &[opt("target", 't', Value), opt("timeout", 'T', Value), opt("", 'O', Maybe)];

    fn words(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }

    fn read(text: &str, order: Order) -> Result<(Vec<String>, String), String> {
        let (given, rest) = parse(&words(text), &[OWN, COMMON, LOG], order).map_err(|fatal| fatal.message)?;
        let given = given.iter().map(|given| format!("{}={}", given.name, given.text())).collect();
        Ok((given, rest.join(" ")))
    }

    #[test]
    fn options_are_read_in_every_form() {
        let (given, rest) = read("-t a --timeout=3 --tar b x -vvconn -Oy z -- -w", Order::Permuted).unwrap();
        assert_eq!(given, ["target=a", "timeout=3", "target=b", "verbose=vconn", "O=y"]);
        assert_eq!(rest, "x z -w");
        let (given, rest) = read("-hV x -t a", Order::Leading).unwrap();
        assert_eq!((given, rest.as_str()), (vec!["help=".into(), "version=".into()], "x -t a"));
    }

    #[test]
    fn errors_are_those_of_the_c_library() {
        for (text, error) in [
            ("--bogus=1", "unrecognized option '--bogus=1'"),
            ("-Z", "invalid option -- 'Z'"),
            ("--ver", "option '--ver' is ambiguous; possibilities: '--version' '--verbose'"),
            ("--target", "option '--target' requires an argument"),
            ("-t", "option requires an argument -- 't'"),
            ("--help=1", "option '--help' doesn't allow an argument"),
        ] {
            assert_eq!(read(text, Order::Leading), Err(error.to_owned()));
        }
    }
}
