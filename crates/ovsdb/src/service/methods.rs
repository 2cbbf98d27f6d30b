//! The methods that clients call, RFC 7047 §4.1 and ovsdb-server(7).

use serde_json::{Value, json};

use super::databases::Ran;
use super::session::{Monitored, Waiting};
use super::{MAX_LOCKS, MAX_MONITORS, MAX_WAITING, MAX_WAITING_BYTES, Service, ServiceError, SessionId};
use crate::Error;
use crate::monitor::{Monitor, NO_TRANSACTION, Version};
use crate::parser::is_id;
use crate::rpc::Message;
use crate::schema::Schema;
use crate::types::Uuid;

/// What a method comes to: its result or error now, or nothing yet.
type Answer = Result<Option<Value>, Value>;

/// A call of a method.
struct Call<'a> {
    session: SessionId,
    method: &'a str,
    params: Vec<Value>,
    id: &'a Value,
    now: u64,
}

type Method = fn(&mut Service, Call<'_>) -> Answer;

const METHODS: [(&str, Method); 16] = [
    ("list_dbs", |service, _| Ok(Some(service.databases().collect::<Vec<_>>().into()))),
    ("get_schema", Service::schema_of),
    ("transact", Service::transact_for),
    ("convert", Service::convert_for),
    ("monitor", |service, call| service.monitor(call, Version::Plain)),
    ("monitor_cond", |service, call| service.monitor(call, Version::Conditional)),
    ("monitor_cond_since", |service, call| service.monitor(call, Version::Since)),
    ("monitor_cond_change", Service::monitor_change),
    ("monitor_cancel", Service::monitor_cancel),
    ("lock", |service, call| service.lock(&call, false)),
    ("steal", |service, call| service.lock(&call, true)),
    ("unlock", |service, call| service.unlock(&call)),
    ("echo", |_, call| Ok(Some(call.params.into()))),
    ("set_db_change_aware", |service, call| service.change_aware(&call)),
    ("get_server_id", |service, _| Ok(Some(service.id().to_string().into()))),
    ("cancel", |_, _| Err("unknown method".into())),
];

impl Call<'_> {
    fn wrong(&self, text: impl Into<String>) -> Value {
        Error::syntax(&Value::from(self.params.clone()), text).to_json()
    }

    /// The database that the first parameter names.
    fn database(&self, service: &Service) -> Result<String, Value> {
        let Some(name) = self.params.first().and_then(Value::as_str) else {
            return Err(self.wrong(format!("{} request params must begin with <db-name>", self.method)));
        };
        if service.hosts.contains_key(name) {
            return Ok(name.to_owned());
        }
        let text = format!("{} request specifies unknown database {name}", self.method);
        Err(Error::new("unknown database", text).at(&Value::from(self.params.clone())).to_json())
    }

    /// The lock that the only parameter names.
    fn lock_name(&self) -> Result<String, Value> {
        match self.params.as_slice() {
            [Value::String(name)] if is_id(name) => Ok(name.clone()),
            _ => Err(self.wrong(format!("{} request params must be <id>", self.method))),
        }
    }
}

fn too_many(what: &str, most: usize) -> Value {
    Error::new("resources exhausted", format!("a client may have {most} {what} at most")).to_json()
}

impl Service {
    pub(super) fn request(
        &mut self,
        session: SessionId,
        method: &str,
        params: Vec<Value>,
        id: Value,
        now: u64,
    ) {
        if !self.sessions.contains_key(&session) {
            return;
        }
        let known = METHODS.iter().find(|(name, _)| *name == method);
        let answer = match known {
            Some((_, run)) => run(self, Call { session, method, params, id: &id, now }),
            None => Err("unknown method".into()),
        };
        match answer {
            Ok(Some(result)) => self.send(session, &Message::reply(result, id)),
            Ok(None) => {}
            Err(error) => self.send(session, &Message::error(error, id)),
        }
    }

    fn schema_of(&mut self, call: Call<'_>) -> Answer {
        let name = call.database(self)?;
        Ok(self.database(&name).map(|database| database.schema().to_json()))
    }

    fn transact_for(&mut self, mut call: Call<'_>) -> Answer {
        let database = call.database(self)?;
        let operations = call.params.split_off(1);
        let waiting =
            Waiting { id: call.id.clone(), database, bytes: 0, operations, since: call.now, until: None };
        self.attempt(call.session, waiting, call.now);
        Ok(None)
    }

    /// Runs a transaction, and keeps it if it must wait.
    fn attempt(&mut self, id: SessionId, mut waiting: Waiting, now: u64) {
        let elapsed = now.saturating_sub(waiting.since);
        match self.run(&waiting.database, &waiting.operations, Some(id), elapsed) {
            None => self.send(id, &Message::error("canceled".into(), waiting.id)),
            Some(Ran::Done { result, durable: true }) => {
                let reply = Message::reply(result, waiting.id);
                if let Some(host) = self.hosts.get_mut(&waiting.database) {
                    host.unsynced.push((id, reply));
                }
            }
            Some(Ran::Done { result, durable: false }) => self.send(id, &Message::reply(result, waiting.id)),
            Some(Ran::Wait(timeout)) => {
                waiting.until = timeout.map(|timeout| waiting.since.saturating_add(timeout));
                if waiting.bytes == 0 {
                    waiting.bytes = waiting.operations.iter().map(|json| json.to_string().len()).sum();
                }
                let Some(session) = self.sessions.get_mut(&id) else { return };
                let bytes: usize = session.waiting.iter().map(|waiting| waiting.bytes).sum();
                if session.waiting.len() < MAX_WAITING && bytes + waiting.bytes <= MAX_WAITING_BYTES {
                    session.waiting.push(waiting);
                } else {
                    let error = too_many("waiting transactions", MAX_WAITING);
                    self.send(id, &Message::error(error, waiting.id));
                }
            }
        }
    }

    /// Runs those of a client's waiting transactions again for which `due` holds.
    pub(super) fn run_waiting(&mut self, id: SessionId, now: u64, due: impl Fn(&Waiting) -> bool) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        let again: Vec<Waiting> = session.waiting.extract_if(.., |waiting| due(waiting)).collect();
        for waiting in again {
            self.attempt(id, waiting, now);
        }
    }

    pub(super) fn cancel(&mut self, id: SessionId, params: &[Value]) {
        let ([request], Some(session)) = (params, self.sessions.get_mut(&id)) else { return };
        let canceled: Vec<Waiting> =
            session.waiting.extract_if(.., |waiting| waiting.id == *request).collect();
        for waiting in canceled {
            self.send(id, &Message::error("canceled".into(), waiting.id));
        }
    }

    fn convert_for(&mut self, call: Call<'_>) -> Answer {
        let name = call.database(self)?;
        let [_, schema] = call.params.as_slice() else { return Err(call.wrong("array expected")) };
        let schema = Schema::from_json(schema).map_err(|error| error.to_json())?;
        if schema.name != name {
            let text = format!("schema name \"{}\" does not match database name \"{name}\"", schema.name);
            return Err(Error::new("invalid parameters", text).to_json());
        }
        match self.convert(&name, schema) {
            Ok(()) => Ok(Some(json!({}))),
            Err(ServiceError::Conversion(error)) => Err(error.to_json()),
            Err(error) => Err(Error::new("I/O error", error.to_string()).to_json()),
        }
    }

    fn monitor(&mut self, call: Call<'_>, version: Version) -> Answer {
        let name = call.database(self)?;
        let [_, id, requests, rest @ ..] = call.params.as_slice() else {
            return Err(call.wrong("invalid parameters"));
        };
        if rest.len() != usize::from(version == Version::Since) {
            return Err(call.wrong("invalid parameters"));
        }
        let key = id.to_string();
        let (Some(host), Some(session)) = (self.hosts.get(&name), self.sessions.get_mut(&call.session))
        else {
            return Ok(None);
        };
        if session.monitors.contains_key(&key) {
            return Err(Error::syntax(id, "duplicate monitor ID").to_json());
        }
        if session.monitors.len() >= MAX_MONITORS {
            return Err(too_many("monitors", MAX_MONITORS));
        }
        let wrong = |error: Error| error.to_json();
        let monitor = Monitor::new(version, id.clone(), host.database.schema(), requests).map_err(wrong)?;
        let rows = monitor.initial(&host.database);
        let result = match rest.first() {
            None => rows,
            Some(last) if last.as_str().is_some_and(|text| text.parse::<Uuid>().is_ok()) => {
                json!([false, NO_TRANSACTION.to_string(), rows])
            }
            Some(last) => return Err(Error::syntax(last, "last-txn-id must be UUID format.").to_json()),
        };
        session.monitors.insert(key, Monitored { database: name, monitor });
        Ok(Some(result))
    }

    fn monitor_change(&mut self, call: Call<'_>) -> Answer {
        let [old, new, requests] = call.params.as_slice() else {
            return Err(call.wrong("invalid parameters"));
        };
        self.flush_monitors(call.session);
        let Some(session) = self.sessions.get_mut(&call.session) else { return Ok(None) };
        let (key, new_key) = (old.to_string(), new.to_string());
        if key != new_key && session.monitors.contains_key(&new_key) {
            return Err(Error::syntax(new, "duplicate monitor ID").to_json());
        }
        let Some(monitored) = session.monitors.get_mut(&key) else {
            return Err(Error::syntax(old, "unknown monitor session").to_json());
        };
        let Some(host) = self.hosts.get(&monitored.database) else { return Ok(None) };
        let notification = monitored.monitor.change_conditions(new.clone(), &host.database, requests);
        let notification = notification.map_err(|error| error.to_json())?;
        if let Some(monitored) = session.monitors.remove(&key) {
            session.monitors.insert(new_key, monitored);
        }
        if let Some(notification) = notification {
            self.send(call.session, &notification);
        }
        Ok(Some(json!({})))
    }

    fn monitor_cancel(&mut self, call: Call<'_>) -> Answer {
        let [id] = call.params.as_slice() else { return Err("invalid parameters".into()) };
        // What happened before is told before the end.
        self.flush_monitors(call.session);
        let known = self.sessions.get_mut(&call.session).and_then(|s| s.monitors.remove(&id.to_string()));
        known.map_or_else(|| Err("unknown monitor".into()), |_| Ok(Some(json!({}))))
    }

    fn lock(&mut self, call: &Call<'_>, steal: bool) -> Answer {
        let name = call.lock_name()?;
        let Some(session) = self.sessions.get_mut(&call.session) else { return Ok(None) };
        if session.locks.contains(&name) {
            return Err(call.wrong("must issue \"unlock\" before new \"lock\""));
        }
        if session.locks.len() >= MAX_LOCKS {
            return Err(too_many("locks", MAX_LOCKS));
        }
        session.locks.insert(name.clone());
        if !steal {
            return Ok(Some(json!({"locked": self.locks.lock(&name, call.session)})));
        }
        if let Some(loser) = self.locks.steal(&name, call.session) {
            self.send(loser, &Message::notification("stolen", vec![name.into()]));
        }
        Ok(Some(json!({"locked": true})))
    }

    fn unlock(&mut self, call: &Call<'_>) -> Answer {
        let name = call.lock_name()?;
        let known = self.sessions.get_mut(&call.session).is_some_and(|session| session.locks.remove(&name));
        if !known {
            return Err(call.wrong("unlock: \"unlock\" without \"lock\" or \"steal\""));
        }
        if self.locks.unlock(&name, call.session) {
            self.tell_locked(&name);
        }
        Ok(Some(json!({})))
    }

    /// Tells the owner of a lock that it has it now.
    pub(super) fn tell_locked(&mut self, name: &str) {
        if let Some(owner) = self.locks.owner(name) {
            self.send(owner, &Message::notification("locked", vec![name.into()]));
        }
    }

    fn change_aware(&mut self, call: &Call<'_>) -> Answer {
        let [Value::Bool(aware)] = call.params.as_slice() else {
            return Err(call.wrong("set_db_change_aware: true or false parameter expected"));
        };
        if let Some(session) = self.sessions.get_mut(&call.session) {
            session.change_aware = *aware;
        }
        Ok(Some(json!({})))
    }
}
