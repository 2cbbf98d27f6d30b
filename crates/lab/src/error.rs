//! What can go wrong with a lab.

use std::io;

/// A lab could not be started, reached or asked.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// A lab of that name runs.
    #[error("a lab named {0} is running; stop it first or choose another name")]
    Running(String),
    /// No lab of that name runs.
    #[error("no lab named {0} is running")]
    NotRunning(String),
    /// A name that cannot be a directory's.
    #[error("{0:?} is not a lab's name (1 to 64 letters, digits, '-', '_' and '.', not starting with '.')")]
    Name(String),
    /// The topology asks for what a lab cannot do.
    #[error("{0}")]
    Topology(String),
    /// The supervisor or the lab refused, in its own words.
    #[error("{0}")]
    Refused(String),
    /// A system call failed.
    #[error("cannot {action}")]
    System {
        /// What was tried.
        action: String,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// The other side said something that is not the protocol.
    #[error("the lab's supervisor gave an answer that is not understood")]
    Protocol(#[from] serde_json::Error),
}

impl LabError {
    /// For `map_err`: names what was tried.
    pub(crate) fn system<E: Into<io::Error>>(action: impl Into<String>) -> impl FnOnce(E) -> Self {
        let action = action.into();
        move |e| Self::System {
            action,
            source: e.into(),
        }
    }
}

/// An error with its causes, on one line.
pub(crate) fn in_full(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text.push_str(": ");
        text.push_str(&next.to_string());
        cause = next.source();
    }
    text
}
