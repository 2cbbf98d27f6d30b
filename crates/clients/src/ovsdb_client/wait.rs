//! Waiting until a database is there, or has gone.

use std::time::Duration;

use serde_json::{Value, json};

use super::Context;
use crate::database::{Database, PORT};
use crate::fatal::{Fatal, fail};
use crate::log::{self, Level};
use crate::stream::Stream;

/// Between attempts to reach the server, and between looks at it.
const PAUSE: Duration = Duration::from_millis(100);

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Added,
    Connected,
    Removed,
}

/// `wait` connects by itself, so that a server which is not there yet is waited for.
pub(super) fn unreachable(_: &mut Context<'_>) -> Result<u8, Fatal> {
    fail("wait has no server to use")
}

pub(super) fn wait(server: &str, words: &[String]) -> Result<u8, Fatal> {
    let state = match words[1].as_str() {
        "added" => State::Added,
        "connected" => State::Connected,
        "removed" => State::Removed,
        other => return fail(format!("{other}: unknown state")),
    };
    log::write("reconnect", Level::Info, &format!("{server}: connecting..."));
    let mut connected = None;
    loop {
        if connected.is_none() {
            connected = Stream::connect(server, PORT).ok().map(Database::over);
            if connected.is_some() {
                log::write("reconnect", Level::Info, &format!("{server}: connected"));
            }
        }
        match connected.as_mut().map(|database| holds(database, &words[0], state)) {
            Some(Some(true)) => return Ok(0),
            Some(None) => connected = None,
            _ => {}
        }
        std::thread::sleep(PAUSE);
    }
}

/// Whether the database is in this state; `None` if the server has gone.
fn holds(database: &mut Database, name: &str, state: State) -> Option<bool> {
    let select = json!({ "op": "select", "table": "Database", "where": [["name", "==", name]], "columns": ["connected"] });
    match database.ask("transact", vec![json!("_Server"), select]).ok()? {
        Ok(result) => {
            let rows = result[0]["rows"].as_array().map_or(&[][..], Vec::as_slice);
            Some(match state {
                State::Added => !rows.is_empty(),
                State::Connected => rows.iter().any(|row| row["connected"] == Value::Bool(true)),
                State::Removed => rows.is_empty(),
            })
        }
        // A server of old has no database about its databases, and no clusters to connect to.
        Err(_) => {
            let there = database.databases().ok()?.iter().any(|there| there == name);
            Some(there == (state != State::Removed))
        }
    }
}
