//! The states of remotes, written to the rows that list them: columns `is_connected` and `status` of table Manager.

use heddle_ovsdb::types::{Atom, Datum};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::{Server, lock};

/// The state of a remote.
#[derive(Clone, Debug, Default)]
pub(crate) struct Status {
    /// Clients that are connected through it.
    pub(crate) clients: usize,
    /// What an active one does: `CONNECTING`, `ACTIVE`, `BACKOFF`; empty for a passive one.
    pub(crate) state: &'static str,
    pub(crate) connected: Option<Instant>,
    pub(crate) disconnected: Option<Instant>,
    pub(crate) bound_port: Option<u16>,
}

impl Status {
    fn to_datum(&self) -> Datum {
        let mut pairs: Vec<(&str, String)> = Vec::new();
        if !self.state.is_empty() {
            pairs.push(("state", self.state.to_owned()));
        }
        let seconds = |since: Instant| since.elapsed().as_secs().to_string();
        pairs.extend(self.connected.map(|since| ("sec_since_connect", seconds(since))));
        pairs.extend(self.disconnected.map(|since| ("sec_since_disconnect", seconds(since))));
        pairs.extend(self.bound_port.map(|port| ("bound_port", port.to_string())));
        if self.state.is_empty() && self.clients > 1 {
            pairs.push(("n_connections", self.clients.to_string()));
        }
        Datum::map(pairs.into_iter().map(|(key, value)| (Atom::string(key), Atom::string(value))))
    }
}

impl Server {
    /// Writes the states of remotes to the rows that list them, where they changed.
    pub(crate) fn write_statuses(&self) {
        let rows = self.manager_rows();
        if rows.is_empty() {
            return;
        }
        let statuses = lock(&self.0.remotes).statuses();
        for manager in rows {
            let status = statuses.get(&manager.target).cloned().unwrap_or_default();
            let update = {
                let service = lock(&self.0.service);
                let Some(schema) =
                    service.database(&manager.database).and_then(|d| d.schema().table(&manager.table))
                else {
                    continue;
                };
                let wanted =
                    [("is_connected", Datum::scalar(status.clients > 0)), ("status", status.to_datum())];
                let mut columns = serde_json::Map::new();
                for (name, datum) in wanted {
                    let Some(column) = schema.column_index(name) else { continue };
                    if *manager.row.datum(column) != datum {
                        columns.insert(name.into(), datum.to_json(&schema.columns()[column].kind));
                    }
                }
                columns
            };
            if !update.is_empty() {
                let uuid = Atom::Uuid(manager.row.uuid()).to_json();
                let operation = json!({"op": "update", "table": manager.table,
                    "where": [["_uuid", "==", uuid]], "row": Value::from(update)});
                self.with(|service, now| service.transact(&manager.database, &[operation], now));
            }
        }
    }
}
