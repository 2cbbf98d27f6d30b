//! What a server that is watched and started again must remember: the remotes and databases that operators added.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::{Server, lock};

/// A file of remotes and databases, written at each change.
#[derive(Debug)]
pub(crate) struct Remembered {
    path: PathBuf,
}

impl Remembered {
    /// The file of the server whose watcher is the process `watcher`.
    pub(crate) fn new(watcher: u32) -> Self {
        let name = format!(".ovsdb-server.{watcher}.config");
        Self { path: heddle_clients::place::run_directory().join(name) }
    }

    /// What an earlier process of the same watcher left: remotes and database files.
    pub(crate) fn load(&self) -> Option<(Vec<String>, Vec<String>)> {
        let text = std::fs::read_to_string(&self.path).ok()?;
        let json: Value = serde_json::from_str(&text).ok()?;
        let list = |name: &str| -> Option<Vec<String>> {
            Some(json.get(name)?.as_array()?.iter().filter_map(|v| v.as_str().map(str::to_owned)).collect())
        };
        Some((list("remotes")?, list("databases")?))
    }

    pub(crate) fn save(&self, server: &Server) {
        let remotes = lock(&server.0.remotes).names();
        let databases: Vec<String> =
            lock(&server.0.files).values().map(|path| path.display().to_string()).collect();
        let json = json!({"remotes": remotes, "databases": databases});
        if let Err(error) = std::fs::write(&self.path, json.to_string()) {
            log::warn!(target: "ovsdb_server", "{}: failed to save configuration ({error})", self.path.display());
        }
    }

    pub(crate) fn forget(&self) {
        let _ = std::fs::remove_file(&self.path);
    }
}
