//! What takes longer than a moment says how far it is: on a terminal by one line that is written over, else by lines.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

/// What is shorter needs no word.
const SILENT: Duration = Duration::from_secs(1);
/// Time between two lines where lines stay.
const BETWEEN_LINES: Duration = Duration::from_secs(1);
/// Time between two states of the line on a terminal.
const BETWEEN_STATES: Duration = Duration::from_millis(100);

/// Words on standard error.
pub struct Progress {
    begun: Instant,
    shown: Option<Instant>,
    /// A line on a terminal that is to be written over.
    open: bool,
}

impl Progress {
    /// Something begins.
    pub fn new() -> Self {
        Self { begun: Instant::now(), shown: None, open: false }
    }

    /// How far it is; shown if it is time.
    pub fn state(&mut self, text: &str) {
        let terminal = std::io::stderr().is_terminal();
        let between = if terminal { BETWEEN_STATES } else { BETWEEN_LINES };
        if self.begun.elapsed() < SILENT || self.shown.is_some_and(|shown| shown.elapsed() < between) {
            return;
        }
        self.shown = Some(Instant::now());
        if terminal {
            // To the line's begin, and what stood there is wiped away.
            eprint!("\r\x1b[K*** {text}");
            let _ = std::io::stderr().flush();
            self.open = true;
        } else {
            eprintln!("*** {text}");
        }
    }

    /// A line that stays.
    pub fn line(&mut self, text: &str) {
        self.end();
        eprintln!("*** {text}");
    }

    /// Wipes away what is to be written over.
    pub fn end(&mut self) {
        if std::mem::take(&mut self.open) {
            eprint!("\r\x1b[K");
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.end();
    }
}
