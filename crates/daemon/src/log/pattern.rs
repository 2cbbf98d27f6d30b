//! Patterns of log lines, as `vlog/set PATTERN:` takes them (ovs-appctl(8)).

use std::time::{SystemTime, UNIX_EPOCH};

use heddle_clients::log::time_text;
use log::Level;

/// Widest field: a wider one would only fill memory.
const MAX_WIDTH: usize = 60;

/// What a line says.
#[derive(Clone, Debug)]
pub struct Line {
    /// When.
    pub time: SystemTime,
    /// The module.
    pub module: String,
    /// The level.
    pub level: Level,
    /// The thread's name; empty for the main thread.
    pub thread: String,
    /// The text.
    pub text: String,
    /// Its place among the process's lines.
    pub number: u64,
}

impl Line {
    /// A line for tests of patterns.
    pub(crate) fn example() -> Self {
        Self {
            time: UNIX_EPOCH,
            module: "bridge".into(),
            level: Level::Info,
            thread: String::new(),
            text: "text".into(),
            number: 1,
        }
    }
}

/// A piece of a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Field { letter: char, argument: String, width: usize, left: bool, zero: bool },
}

/// A pattern, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    /// As it was written.
    text: String,
    pieces: Vec<Piece>,
}

impl Pattern {
    /// Reads a pattern; what is no conversion stands for itself.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut pieces = Vec::new();
        let mut letters = text.chars().peekable();
        let mut plain = String::new();
        while let Some(letter) = letters.next() {
            if letter != '%' {
                plain.push(letter);
                continue;
            }
            let left = letters.next_if_eq(&'-').is_some();
            let zero = letters.next_if_eq(&'0').is_some();
            let mut width = 0_usize;
            while let Some(digit) = letters.peek().and_then(|letter| letter.to_digit(10)) {
                width = (width * 10 + digit as usize).min(MAX_WIDTH);
                letters.next();
            }
            let mut argument = String::new();
            let Some(letter) = letters.next() else { break };
            if letters.next_if_eq(&'{').is_some() {
                argument.extend(std::iter::from_fn(|| letters.next_if(|&letter| letter != '}')));
                letters.next();
            }
            match letter {
                '%' => plain.push('%'),
                'n' => plain.push('\n'),
                _ => {
                    if !plain.is_empty() {
                        pieces.push(Piece::Text(std::mem::take(&mut plain)));
                    }
                    pieces.push(Piece::Field { letter, argument, width, left, zero });
                }
            }
        }
        if !plain.is_empty() {
            pieces.push(Piece::Text(plain));
        }
        Self { text: text.to_owned(), pieces }
    }

    /// As it was written.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The line by this pattern, without an end.
    #[must_use]
    pub fn fill(&self, line: &Line) -> String {
        let mut out = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => out += text,
                Piece::Field { letter, argument, width, left, zero } => {
                    let value = field(*letter, argument, line);
                    let missing = width.saturating_sub(value.chars().count());
                    let fill = if *zero { "0" } else { " " }.repeat(missing);
                    if *left {
                        out += &value;
                        out += &fill;
                    } else {
                        out += &fill;
                        out += &value;
                    }
                }
            }
        }
        out
    }
}

fn field(letter: char, argument: &str, line: &Line) -> String {
    let or = |usual: &'static str| if argument.is_empty() { usual } else { argument };
    match letter {
        'A' => crate::process::program().to_owned(),
        'c' => line.module.clone(),
        'd' | 'D' => time_text(line.time, or("%Y-%m-%d %H:%M:%S.###")),
        'E' => nix::unistd::gethostname().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default(),
        'm' => line.text.clone(),
        'N' => line.number.to_string(),
        'p' => super::level_name(line.level).to_owned(),
        'P' => std::process::id().to_string(),
        'r' => crate::process::uptime_ms().to_string(),
        't' => {
            or("main").to_owned().replace("main", if line.thread.is_empty() { "main" } else { &line.thread })
        }
        'T' if line.thread.is_empty() => argument.to_owned(),
        'T' => format!("({})", line.thread),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_written_as_scripts_read_them() {
        let pattern = Pattern::parse("%D{%Y-%m-%dT%H:%M:%S.###Z}|%05N|%c%T|%p|%m");
        let mut line = Line::example();
        assert_eq!(pattern.fill(&line), "1970-01-01T00:00:00.000Z|00001|bridge|INFO|text");
        line.thread = "pmd1".into();
        line.level = Level::Trace;
        assert_eq!(pattern.fill(&line), "1970-01-01T00:00:00.000Z|00001|bridge(pmd1)|DBG|text");
        assert_eq!(Pattern::parse("%-8c|%8c|%%|%n%").fill(&line), "bridge  |  bridge|%|\n");
        assert_eq!(Pattern::parse("%99999999999c").fill(&line).len(), MAX_WIDTH);
    }
}
