//! Asking a running switch, by the protocol of `ovs-appctl`.

use std::io::{BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

#[derive(Deserialize)]
struct Reply {
    result: Option<String>,
    error: Option<String>,
}

/// Runs one command; what it printed.
pub fn ask(socket: &Path, command: &str, words: Vec<String>) -> Result<String> {
    let mut stream = UnixStream::connect(socket)
        .with_context(|| format!("the switch does not answer at {}", socket.display()))?;
    let request = serde_json::json!({ "id": 0, "method": command, "params": words });
    stream.write_all(request.to_string().as_bytes())?;
    let mut replies = serde_json::Deserializer::from_reader(BufReader::new(stream)).into_iter::<Reply>();
    match replies.next().context("the switch ended before it answered")?? {
        Reply { error: Some(error), .. } => bail!("{}", error.trim_end()),
        Reply { result, .. } => Ok(result.unwrap_or_default()),
    }
}
