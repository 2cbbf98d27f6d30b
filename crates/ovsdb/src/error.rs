//! Errors as OVSDB's clients read them: a tag, details, and the JSON at fault.

use std::borrow::Cow;
use std::fmt;

use serde_json::{Map, Value};

/// How much of the JSON at fault is quoted, bytes. A hostile document is not sent back whole.
const MAX_QUOTED: usize = 8 << 10;

/// An error of OVSDB, RFC 7047 §3.1 `<error>`.
///
/// Clients and tests compare the tag and the details, so both are Open vSwitch's text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// The kind of error: `syntax error`, `constraint violation`, `referential integrity violation` ...
    pub tag: Cow<'static, str>,
    /// What is wrong, with the names of the objects.
    pub details: Option<String>,
    /// The JSON that is at fault.
    pub syntax: Option<String>,
}

impl Error {
    /// An error with a tag and details.
    pub fn new(tag: impl Into<Cow<'static, str>>, details: impl Into<String>) -> Self {
        Self { tag: tag.into(), details: Some(details.into()), syntax: None }
    }

    /// An error that consists of its tag alone, such as `timed out`.
    pub fn bare(tag: &'static str) -> Self {
        Self { tag: tag.into(), details: None, syntax: None }
    }

    /// A `constraint violation`.
    pub fn constraint(details: impl Into<String>) -> Self {
        Self::new("constraint violation", details)
    }

    /// A `syntax error` in `json`.
    pub fn syntax(json: &Value, details: impl Into<String>) -> Self {
        Self::new("syntax error", details).at(json)
    }

    /// A `syntax error` that is not tied to JSON.
    pub fn plain_syntax(details: impl Into<String>) -> Self {
        Self::new("syntax error", details)
    }

    /// The same error, with the JSON that is at fault.
    #[must_use]
    pub fn at(mut self, json: &Value) -> Self {
        self.syntax = Some(quoted(json));
        self
    }

    /// The form of the error in JSON.
    pub fn to_json(&self) -> Value {
        let mut members = Map::new();
        members.insert("error".into(), self.tag.as_ref().into());
        for (name, text) in [("details", &self.details), ("syntax", &self.syntax)] {
            if let Some(text) = text {
                members.insert(name.into(), text.as_str().into());
            }
        }
        members.into()
    }
}

fn quoted(json: &Value) -> String {
    let mut text = json.to_string();
    if text.len() > MAX_QUOTED {
        let mut end = MAX_QUOTED;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
        text.push_str("...");
    }
    text
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(syntax) = &self.syntax {
            write!(f, "syntax \"{syntax}\": ")?;
        }
        f.write_str(&self.tag)?;
        match &self.details {
            Some(details) => write!(f, ": {details}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {}
