//! Asking a daemon, and being asked: JSON-RPC 1.0 over a Unix socket, as `ovs-appctl` speaks it.

use std::io::{self, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

use serde_json::{Value, json};

/// Largest answer that is read, 1 GiB: a dump of a million flows has about 200 MB.
const MAX_ANSWER: u64 = 1 << 30;

/// A connection to a daemon.
pub struct Connection {
    stream: UnixStream,
    requests: u64,
}

/// What a daemon answered.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// It did what it was asked; text, or another JSON value where that was asked for.
    Result(Value),
    /// It did not.
    Error(String),
}

impl Connection {
    /// Calls the daemon behind a socket.
    ///
    /// # Errors
    /// Nobody answers there.
    pub fn open(socket: &Path) -> io::Result<Self> {
        Ok(Self { stream: UnixStream::connect(socket)?, requests: 0 })
    }

    /// Runs a command.
    ///
    /// # Errors
    /// The stream ended, or what came is no answer.
    pub fn ask(&mut self, command: &str, words: &[String]) -> io::Result<Answer> {
        let request = json!({ "id": self.requests, "method": command, "params": words });
        self.requests += 1;
        self.stream.write_all(request.to_string().as_bytes())?;
        let reader = BufReader::new(io::Read::take(&self.stream, MAX_ANSWER));
        let mut answers = serde_json::Deserializer::from_reader(reader).into_iter::<Value>();
        let Some(answer) = answers.next() else { return Err(io::ErrorKind::UnexpectedEof.into()) };
        let mut answer = answer?;
        match answer.get_mut("error").map(Value::take) {
            None | Some(Value::Null) => Ok(Answer::Result(answer["result"].take())),
            Some(Value::String(text)) => Ok(Answer::Error(text)),
            Some(other) => Ok(Answer::Error(other.to_string())),
        }
    }
}
