//! Logs as vlog writes them: `2026-11-25T19:16:00.123Z|00001|bridge|INFO|text`, to the standard error stream, to syslog and
//! to a file, each with its level for each module and its pattern.
//!
//! A line is filtered by its caller and handed to a thread that writes. The queue between them is bounded: a caller never
//! waits for a disk, and lines that find no room are counted and said to be lost.

mod modules;
mod pattern;
mod rate_limit;
mod settings;
mod writer;

use std::sync::OnceLock;
use std::time::SystemTime;

pub use log::Level;
use log::{LevelFilter, Log, Metadata, Record};

pub use self::pattern::{Line, Pattern};
pub use self::rate_limit::RateLimit;
use self::settings::{DESTINATIONS, Settings};
use self::writer::Writer;

struct Logger {
    settings: Settings,
    writer: Writer,
}

static LOGGER: OnceLock<Logger> = OnceLock::new();

/// Begins to log, as this program. Lines before this are lost; later calls do nothing.
pub fn start(program: &'static str) {
    let made =
        LOGGER.get_or_init(|| Logger { settings: Settings::default(), writer: Writer::start(program) });
    if log::set_logger(made).is_ok() {
        made.settings.publish_greatest();
    }
}

fn logger() -> Option<&'static Logger> {
    LOGGER.get()
}

/// The module of a target: a target with a path is one of our crates' or of a library's, whose last part counts.
fn module_of(target: &str) -> Option<&str> {
    match target.rsplit_once("::") {
        None => Some(target),
        Some((path, last)) => path.starts_with("heddle").then_some(last),
    }
}

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        module_of(metadata.target()).is_some_and(|module| self.settings.wants(module, metadata.level()) != 0)
    }

    fn log(&self, record: &Record<'_>) {
        let Some(module) = module_of(record.target()) else { return };
        let wanted = self.settings.wants(module, record.level());
        if wanted != 0 {
            let thread = std::thread::current().name().filter(|&name| name != "main").map(str::to_owned);
            self.writer.write(
                wanted,
                Line {
                    time: SystemTime::now(),
                    module: module.to_owned(),
                    level: record.level(),
                    thread: thread.unwrap_or_default(),
                    text: record.args().to_string(),
                    number: 0,
                },
            );
        }
    }

    fn flush(&self) {
        self.writer.flush();
    }
}

/// Waits until what was logged is written.
pub fn flush() {
    if let Some(logger) = logger() {
        logger.writer.flush();
    }
}

/// Sets levels by words as `-v` and `vlog/set` take them: `module:destination:level` in any order and any of them left
/// out, `PATTERN:destination:pattern`, `FACILITY:name`, `ANY` for all modules. Nothing means every line everywhere.
///
/// # Errors
/// A word is no destination, level or module.
pub fn configure(words: &str) -> Result<(), String> {
    let Some(logger) = logger() else { return Ok(()) };
    if let Some(rest) = words.strip_prefix("PATTERN:") {
        let Some((destination, pattern)) = rest.split_once(':') else {
            return Err("missing destination".into());
        };
        let found = DESTINATIONS.iter().position(|name| name.eq_ignore_ascii_case(destination));
        let found = found.ok_or_else(|| format!("unknown destination \"{destination}\""))?;
        logger.writer.set_pattern(found, pattern);
        return Ok(());
    }
    if let Some(facility) = words.strip_prefix("FACILITY:") {
        return logger.writer.set_facility(facility);
    }
    logger.settings.configure(words)
}

/// Levels by module and destination, as a table.
#[must_use]
pub fn list() -> String {
    logger().map(|logger| logger.settings.list()).unwrap_or_default()
}

/// Patterns by destination, as a table.
#[must_use]
pub fn list_patterns() -> String {
    logger().map(|logger| logger.writer.list_patterns()).unwrap_or_default()
}

/// Lets modules log as often as they like, or not; no module means every one.
///
/// # Errors
/// There is no such module.
pub fn set_rate_limits(modules: &[String], limited: bool) -> Result<String, String> {
    let Some(logger) = logger() else { return Ok(String::new()) };
    logger.settings.set_rate_limits(modules, limited)?;
    Ok(String::new())
}

/// Whether a module's lines are limited.
pub(crate) fn is_limited(module: &str) -> bool {
    logger().is_none_or(|logger| logger.settings.is_limited(module))
}

/// Writes to a file from now on.
///
/// # Errors
/// It cannot be opened.
pub fn open_file(path: &std::path::Path) -> Result<(), String> {
    let Some(logger) = logger() else { return Ok(()) };
    logger
        .writer
        .open(Some(path.to_owned()))
        .map_err(|error| format!("{}: log file open failed ({error})", path.display()))?;
    log::info!(target: "vlog", "opened log file {}", path.display());
    Ok(())
}

/// Opens the file anew, for whoever moved it away.
///
/// # Errors
/// There is none, or it cannot be opened.
pub fn reopen() -> Result<String, String> {
    let Some(logger) = logger() else { return Ok(String::new()) };
    let path = logger.writer.path().ok_or("Logging to file not configured")?;
    log::info!(target: "vlog", "closing log file");
    open_file(&path)?;
    Ok(String::new())
}

/// Closes the file.
pub fn close() -> String {
    if let Some(logger) = logger() {
        let _ = logger.writer.open(None);
    }
    String::new()
}

/// No more lines go to the standard error stream: the terminal is somebody else's now.
pub fn leave_console() {
    if let Some(logger) = logger() {
        logger.settings.set_destination(settings::CONSOLE, LevelFilter::Off);
    }
}

/// How vlog calls a level.
fn level_name(level: Level) -> &'static str {
    match level {
        Level::Error => "ERR",
        Level::Warn => "WARN",
        Level::Info => "INFO",
        Level::Debug | Level::Trace => "DBG",
    }
}

/// Whether a line of this module and level is wanted anywhere.
#[must_use]
pub fn enabled(module: &str, level: Level) -> bool {
    log::log_enabled!(target: module, level)
}

/// Logs a line; for [`limited!`](crate::limited).
pub fn line(module: &str, level: Level, text: std::fmt::Arguments<'_>) {
    log::log!(target: module, level, "{text}");
}
