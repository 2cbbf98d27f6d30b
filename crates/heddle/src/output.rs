//! What the program says on its standard output.

use std::io::{ErrorKind, Write};

/// Writes text. Where nobody reads it any more, as behind `| head`, the program ends: what was wanted has been had.
pub fn show(text: impl AsRef<str>) {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_ref().as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::BrokenPipe => std::process::exit(0),
        Err(error) => {
            eprintln!("heddle: standard output: {error}");
            std::process::exit(1);
        }
    }
}

/// Writes a line.
pub fn show_line(text: impl AsRef<str>) {
    show(format!("{}\n", text.as_ref()));
}
