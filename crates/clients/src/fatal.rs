//! What ends a client early.

use std::io;

/// A message for the operator, and the exit code.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Fatal {
    /// What is written after the program's name; nothing is written where it is empty.
    pub message: String,
    /// The exit code.
    pub code: u8,
}

impl Fatal {
    /// An ordinary failure: exit code 1.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), code: 1 }
    }

    /// A failure that says in brackets what the system said.
    pub fn system(message: impl AsRef<str>, error: &io::Error) -> Self {
        Self::new(format!("{} ({})", message.as_ref(), reason(error)))
    }

    /// A failure with an exit code of its own.
    pub fn coded(code: u8, message: impl Into<String>) -> Self {
        Self { message: message.into(), code }
    }
}

/// Output that cannot be written ends a client, and there is nobody to tell.
impl From<io::Error> for Fatal {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::new(""),
            _ => Self::new(reason(&error)),
        }
    }
}

/// The system's words for an error, as C programs print them.
pub fn reason(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(number) => nix::errno::Errno::from_raw(number).desc().to_owned(),
        None if error.kind() == io::ErrorKind::UnexpectedEof => "End of file".to_owned(),
        None => error.to_string(),
    }
}

/// Fails with a message.
///
/// # Errors
/// Always.
pub fn fail<T>(message: impl Into<String>) -> Result<T, Fatal> {
    Err(Fatal::new(message))
}
