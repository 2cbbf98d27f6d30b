//! The log of a client: lines on the standard error stream, and in a file where `--log-file` asks for one.
//!
//! A level is set for each module and each of the destinations `console`, `file` and `syslog`, by the words of
//! `ovs-appctl vlog/set`; `PATTERN:console:TEXT` sets the form of lines. The log belongs to the process, as its standard
//! error stream does, so it is one value behind a lock.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::fatal::{Fatal, fail};
use crate::place;

/// How grave a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Nothing is written.
    Off,
    /// The program cannot go on.
    Emergency,
    /// Something failed.
    Error,
    /// Something may be wrong.
    Warn,
    /// Something happened.
    Info,
    /// Anything.
    Debug,
}

const LEVELS: [(&str, Level); 6] = [
    ("off", Level::Off),
    ("emer", Level::Emergency),
    ("err", Level::Error),
    ("warn", Level::Warn),
    ("info", Level::Info),
    ("dbg", Level::Debug),
];

impl Level {
    fn by_name(name: &str) -> Option<Self> {
        LEVELS.iter().find(|(known, _)| name.eq_ignore_ascii_case(known)).map(|row| row.1)
    }

    fn name(self) -> String {
        LEVELS[self as usize].0.to_ascii_uppercase()
    }
}

const DESTINATIONS: [&str; 3] = ["syslog", "console", "file"];
const CONSOLE: usize = 1;
const FILE: usize = 2;

struct Log {
    program: &'static str,
    usual: [Level; 3],
    modules: BTreeMap<String, [Level; 3]>,
    patterns: [String; 3],
    file: Option<File>,
    lines: u32,
}

static LOG: Mutex<Option<Log>> = Mutex::new(None);

fn with<T>(work: impl FnOnce(&mut Log) -> T) -> T {
    let mut held = LOG.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    work(held.get_or_insert_with(|| Log {
        program: "heddle",
        usual: [Level::Info, Level::Warn, Level::Info],
        modules: BTreeMap::new(),
        patterns: [
            "ovs|%05N|%c%T|%p|%m".into(),
            "%D{%Y-%m-%dT%H:%M:%SZ}|%05N|%c%T|%p|%m".into(),
            "%D{%Y-%m-%dT%H:%M:%S.###Z}|%05N|%c%T|%p|%m".into(),
        ],
        file: None,
        lines: 0,
    }))
}

/// Names the program that lines come from.
pub fn set_program(name: &'static str) {
    with(|log| log.program = name);
}

/// Sets how much goes to the standard error stream where no option says so.
pub fn set_console(level: Level) {
    with(|log| log.usual[CONSOLE] = level);
}

/// The program's name.
pub fn program() -> &'static str {
    with(|log| log.program)
}

/// Whether a line of this module and level goes anywhere but to the system's log, so that making it is worth while.
pub fn is_enabled(module: &str, level: Level) -> bool {
    with(|log| {
        let levels = log.modules.get(module).unwrap_or(&log.usual);
        level <= levels[CONSOLE] || level <= levels[FILE] && log.file.is_some()
    })
}

/// Writes a line where the module's levels let it pass.
pub fn write(module: &str, level: Level, message: &str) {
    with(|log| {
        let levels = log.modules.get(module).unwrap_or(&log.usual);
        let (console, file) = (level <= levels[CONSOLE], level <= levels[FILE]);
        // A line that goes nowhere, not even to the system's log, is none.
        log.lines += u32::from(levels.iter().any(|most| level <= *most));
        if console {
            eprintln!("{}", log.line(CONSOLE, module, level, message));
        }
        let line = log.line(FILE, module, level, message);
        if let (true, Some(file)) = (file, &mut log.file) {
            let _ = writeln!(file, "{line}");
        }
    });
}

impl Log {
    /// One line in the destination's form.
    fn line(&self, destination: usize, module: &str, level: Level, message: &str) -> String {
        let mut out = String::new();
        let mut left = self.patterns[destination].chars().peekable();
        while let Some(letter) = left.next() {
            if letter != '%' {
                out.push(letter);
                continue;
            }
            while left.next_if(|&letter| letter == '-' || letter.is_ascii_digit()).is_some() {}
            let Some(kind) = left.next() else { break };
            let mut argument = String::new();
            if left.next_if_eq(&'{').is_some() {
                argument = left.by_ref().take_while(|&letter| letter != '}').collect();
            }
            match kind {
                'A' => out += self.program,
                'c' => out += module,
                'D' | 'd' => out += &time_text(SystemTime::now(), &argument),
                'm' => out += message,
                'N' => out += &format!("{:05}", self.lines),
                'n' => out.push('\n'),
                'p' => out += &level.name(),
                'P' => out += &std::process::id().to_string(),
                '%' => out.push('%'),
                _ => {}
            }
        }
        out
    }
}

/// Sets levels, by the words of `-v`: `MODULE`, `DESTINATION` and `LEVEL` in any order, or `PATTERN:DESTINATION:TEXT`.
///
/// # Errors
/// A pattern for no destination.
pub fn configure(words: &str) -> Result<(), Fatal> {
    if words.is_empty() {
        with(|log| log.usual = [Level::Debug; 3]);
        return Ok(());
    }
    if let Some(pattern) =
        words.get(..8).filter(|word| word.eq_ignore_ascii_case("pattern:")).map(|_| &words[8..])
    {
        let Some((destination, text)) = pattern.split_once(':') else {
            return fail("Please supply a valid pattern and destination");
        };
        let chosen = DESTINATIONS.iter().position(|name| destination.eq_ignore_ascii_case(name));
        return match chosen {
            Some(at) => {
                with(|log| log.patterns[at] = text.to_owned());
                Ok(())
            }
            None if destination.eq_ignore_ascii_case("any") => {
                with(|log| log.patterns = [text.to_owned(), text.to_owned(), text.to_owned()]);
                Ok(())
            }
            None => fail(format!("Destination \"{destination}\" does not exist")),
        };
    }
    let (mut module, mut destination, mut level) = (None, None, Level::Debug);
    for word in
        words.split([' ', ':', ',']).filter(|word| !word.is_empty() && !word.eq_ignore_ascii_case("any"))
    {
        if let Some(at) = DESTINATIONS.iter().position(|name| word.eq_ignore_ascii_case(name)) {
            destination = Some(at);
        } else if let Some(named) = Level::by_name(word) {
            level = named;
        } else {
            module = Some(word.to_owned());
        }
    }
    with(|log| {
        let usual = log.usual;
        let set = |levels: &mut [Level; 3]| match destination {
            Some(at) => levels[at] = level,
            None => *levels = [level; 3],
        };
        match module {
            Some(module) => set(log.modules.entry(module.replace('-', "_")).or_insert(usual)),
            None => {
                set(&mut log.usual);
                log.modules.values_mut().for_each(set);
            }
        }
    });
    Ok(())
}

/// Opens the log file; `name` is a path, or nothing for `PROGRAM.log` in the directory of logs.
///
/// # Errors
/// It cannot be opened.
pub fn open(name: &str) -> Result<(), Fatal> {
    let path = match name {
        "" => place::log_directory().join(format!("{}.log", program())),
        name => PathBuf::from(name),
    };
    let path = if path.is_absolute() { path } else { place::log_directory().join(path) };
    match OpenOptions::new().create(true).append(true).open(&path) {
        Ok(file) => with(|log| log.file = Some(file)),
        Err(error) => {
            return Err(Fatal::system(format!("failed to open {} for logging", path.display()), &error));
        }
    }
    write("vlog", Level::Info, &format!("opened log file {}", path.display()));
    Ok(())
}

/// Takes an option of the log; whether it was one.
///
/// # Errors
/// As [`configure`] and [`open`].
pub fn take_option(given: &crate::options::Given) -> Result<bool, Fatal> {
    match given.name.as_str() {
        "verbose" => configure(given.text())?,
        "log-file" => open(given.text())?,
        "syslog-method" | "syslog-target" => {}
        _ => return Ok(false),
    }
    Ok(true)
}

/// A time in UTC by the conversions of `strftime` that logs use; each `#` is a digit of the second's fraction.
pub fn time_text(time: SystemTime, form: &str) -> String {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let form = if form.is_empty() { "%Y-%m-%d %H:%M:%S" } else { form };
    let (days, second) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    let (year, month, day) = civil(days);
    let mut fraction = format!("{:06}", since.subsec_micros()).into_bytes().into_iter();
    let mut out = String::new();
    let mut left = form.chars();
    while let Some(letter) = left.next() {
        match letter {
            '#' => out.push(fraction.next().map_or('0', char::from)),
            '%' => match left.next() {
                Some('Y') => out += &format!("{year:04}"),
                Some('m') => out += &format!("{month:02}"),
                Some('d') => out += &format!("{day:02}"),
                Some('H') => out += &format!("{:02}", second / 3600),
                Some('M') => out += &format!("{:02}", second / 60 % 60),
                Some('S') => out += &format!("{:02}", second % 60),
                Some('s') => out += &since.as_secs().to_string(),
                Some(other) => out.push(other),
                None => {}
            },
            other => out.push(other),
        }
    }
    out
}

/// Year, month and day of a day since 1970-01-01, in the proleptic Gregorian calendar.
fn civil(days: u64) -> (u64, u64, u64) {
    // Counted from 0000-03-01, so that a leap day is a year's last; 400 years have 146,097 days.
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let date = day - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (era * 400 + year + next, month, date)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn times_are_written_as_logs_have_them() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_795_591_522, "2026-11-25T07:25:22Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            let time = UNIX_EPOCH + Duration::from_secs(seconds);
            assert_eq!(time_text(time, "%Y-%m-%dT%H:%M:%SZ"), text);
        }
        let time = UNIX_EPOCH + Duration::from_micros(1_234_567);
        assert_eq!(time_text(time, "%S.###|%s"), "01.234|1");
    }

    #[test]
    fn levels_and_patterns_are_set_by_words() {
        configure("reconnect:emer").unwrap();
        configure("console:info").unwrap();
        configure("PATTERN:console:%c|%p|%m").unwrap();
        with(|log| {
            assert_eq!(log.modules["reconnect"], [Level::Emergency, Level::Info, Level::Emergency]);
            assert_eq!(log.usual[CONSOLE], Level::Info);
            assert_eq!(log.line(CONSOLE, "vsctl", Level::Warn, "x"), "vsctl|WARN|x");
        });
        assert!(configure("PATTERN:nowhere:%m").is_err());
    }
}
