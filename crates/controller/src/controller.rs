//! The controller: its connections, and the apps that program the switches behind them.

use std::collections::{BTreeMap, HashMap};

use heddle_openflow::{OfError, Version};
use serde_json::Value;

use crate::app::{App, Outgoing, Switch};
use crate::ask::{Answer, AskError, AskId, Asker, Asks, Outcome, Question, named};
use crate::session::{CloseReason, Notice, Session};

/// A connection, numbered in the order of arrival and never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId(pub u64);

/// Something an operator may want to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A switch has finished its handshake.
    Connected(ConnectionId, Switch),
    /// A switch reports that it refused a message of ours.
    PeerError {
        /// Whose connection.
        connection: ConnectionId,
        /// Which error it is, if it is known.
        error: Option<OfError>,
        /// Type and code, as the switch's version numbers them.
        number: (u16, u16),
        /// The message's id.
        xid: u32,
    },
    /// A message of a switch was refused.
    Refused(ConnectionId, OfError),
    /// The controller ended a connection.
    Closed(ConnectionId, CloseReason),
}

impl std::fmt::Display for Event {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Connected(id, switch) => {
                write!(f, "connection {}: switch {:016x} is connected", id.0, switch.datapath_id)
            }
            Self::PeerError { connection, error, number, xid } => {
                let error = named(*error, *number);
                write!(f, "connection {}: the switch refused message {xid:#x}: {error}", connection.0)
            }
            Self::Refused(id, error) => write!(f, "connection {}: refused with {}", id.0, error.name()),
            Self::Closed(id, reason) => write!(f, "connection {}: closed: {reason:?}", id.0),
        }
    }
}

/// What a call wants done.
#[derive(Debug, Default)]
pub struct Output {
    /// Bytes to write, at most one entry for each connection. A connection whose peer does not read is the caller's
    /// to bound: it closes it and says [`Controller::disconnected`].
    pub sends: Vec<(ConnectionId, Vec<u8>)>,
    /// Connections to close, after their bytes are written. The controller has forgotten them.
    pub closes: Vec<ConnectionId>,
    /// What to log.
    pub events: Vec<Event>,
    /// Questions of [`Controller::ask`] that came to their end.
    pub answers: Vec<(AskId, Result<Answer, AskError>)>,
}

/// Connections and apps.
///
/// A call does work in proportion to the bytes given to it, save [`Controller::tick`], which looks at each connection.
pub struct Controller {
    apps: Vec<Box<dyn App>>,
    sessions: BTreeMap<ConnectionId, Session>,
    switches: HashMap<u64, ConnectionId>,
    next: u64,
    max_connections: usize,
    versions: u32,
    asks: Asks,
    /// Questions that ended where nobody could be told; the next tick tells.
    ended: Vec<Outcome>,
}

impl Controller {
    /// Connections that are held at once, unless [`Controller::with_max_connections`] says otherwise.
    pub const MAX_CONNECTIONS: usize = 4096;

    /// A controller that runs these apps; each sees every message, in this order.
    pub fn new(apps: Vec<Box<dyn App>>) -> Self {
        Self {
            apps,
            sessions: BTreeMap::new(),
            switches: HashMap::new(),
            next: 0,
            max_connections: Self::MAX_CONNECTIONS,
            versions: Version::V1_3.bit(),
            asks: Asks::default(),
            ended: Vec::new(),
        }
    }

    /// Speaks these versions, of which the newest that a switch knows too is chosen; OpenFlow 1.3 alone unless this is
    /// said. The apps that come with the program program switches by OpenFlow 1.3.
    #[must_use]
    pub fn with_versions(mut self, versions: &[Version]) -> Self {
        self.versions = versions.iter().fold(0, |bits, version| bits | version.bit());
        self
    }

    /// Holds at most so many connections.
    #[must_use]
    pub fn with_max_connections(mut self, max_connections: usize) -> Self {
        self.max_connections = max_connections;
        self
    }

    /// A connection came. `None` if there are too many: the caller closes it.
    pub fn accept(&mut self, now_ms: u64) -> Option<(ConnectionId, Output)> {
        if self.sessions.len() >= self.max_connections {
            return None;
        }
        let id = ConnectionId(self.next);
        self.next += 1;
        self.sessions.insert(id, Session::new(self.versions, now_ms));
        let mut output = Output::default();
        self.collect(id, &mut output);
        Some((id, output))
    }

    /// Bytes came on a connection; those of one that is over are ignored.
    pub fn receive(&mut self, id: ConnectionId, bytes: &[u8], now_ms: u64) -> Output {
        let mut output = Output::default();
        let mut notices = Vec::new();
        if let Some(session) = self.sessions.get_mut(&id) {
            session.receive(bytes, now_ms, &mut notices);
        }
        self.act(id, notices, now_ms, &mut output);
        output
    }

    /// Asks a switch. The answer comes in [`Output::answers`] of some later call, with this number; every question that
    /// was put has one: the whole reply, an OpenFlow error, or why there is neither.
    ///
    /// A request is answered by its reply, with all parts. Any other message is a command: a barrier follows it, and it
    /// is answered when the switch has done it ([`Answer::is_done`]) or refused it. At most 64 questions wait for a switch
    /// and 256 in all, and what is kept of an answer is at most 32 MiB, of all that are not finished 64 MiB. A switch that
    /// says nothing for 5 s is not waited for.
    ///
    /// ```
    /// use heddle_controller::{AskError, Controller};
    /// use heddle_openflow::Body;
    /// use heddle_openflow::multipart::Request;
    ///
    /// let mut controller = Controller::new(Vec::new());
    /// let asked = controller.ask(1, Body::MultipartRequest(Request::Desc).into(), 0);
    /// assert_eq!(asked.err(), Some(AskError::NoSwitch), "no switch has called yet");
    /// ```
    ///
    /// # Errors
    /// There is no such switch, too many questions wait, the switch's version of OpenFlow has no such message, or it is
    /// longer than 65,535 bytes.
    pub fn ask(
        &mut self,
        datapath_id: u64,
        question: Question,
        now_ms: u64,
    ) -> Result<(AskId, Output), AskError> {
        let id = self.asks.number();
        let mut output = Output::default();
        self.put(datapath_id, question, Asker::Caller(id), now_ms, &mut output)?;
        Ok((id, output))
    }

    /// The peer closed a connection, or the caller gave it up.
    pub fn disconnected(&mut self, id: ConnectionId) {
        self.ended.extend(self.asks.lost(id));
        if let Some(session) = self.sessions.remove(&id)
            && let Some(switch) = session.switch()
            && self.switches.get(&switch.datapath_id) == Some(&id)
        {
            self.switches.remove(&switch.datapath_id);
            for app in &mut self.apps {
                app.disconnected(&switch);
            }
        }
    }

    /// What apps know, by their names.
    pub fn states(&self, now_ms: u64) -> impl Iterator<Item = (&'static str, Value)> + '_ {
        self.apps.iter().filter_map(move |app| app.state(now_ms))
    }

    /// Probes silent switches and gives up on dead ones, and on answers that do not come.
    pub fn tick(&mut self, now_ms: u64) -> Output {
        let mut output = Output::default();
        // An app that asks again at once is told of that at the next tick.
        let mut ended = std::mem::take(&mut self.ended);
        ended.extend(self.asks.expire(now_ms));
        for outcome in ended {
            self.tell(outcome, now_ms, &mut output);
        }
        let due: Vec<ConnectionId> = self
            .sessions
            .iter()
            .filter(|(_, session)| session.deadline() <= now_ms)
            .map(|(&id, _)| id)
            .collect();
        for id in due {
            let mut notices = Vec::new();
            if let Some(session) = self.sessions.get_mut(&id) {
                session.tick(now_ms, &mut notices);
            }
            self.act(id, notices, now_ms, &mut output);
        }
        if self.apps.iter().any(|app| app.deadline().is_some_and(|deadline| deadline <= now_ms)) {
            self.run(&mut output, now_ms, |app| app.ticked(now_ms));
        }
        output
    }

    /// When [`Controller::tick`] is next wanted.
    pub fn deadline(&self) -> Option<u64> {
        let apps = self.apps.iter().filter_map(|app| app.deadline());
        let ended = (!self.ended.is_empty()).then_some(0);
        self.sessions
            .values()
            .map(Session::deadline)
            .chain(apps)
            .chain(self.asks.deadline())
            .chain(ended)
            .min()
    }

    /// The switches that are connected.
    pub fn switches(&self) -> impl Iterator<Item = Switch> + '_ {
        self.sessions.values().filter_map(Session::switch)
    }

    fn act(&mut self, id: ConnectionId, notices: Vec<Notice>, now_ms: u64, output: &mut Output) {
        for notice in notices {
            match notice {
                Notice::Ready(switch) => self.ready(id, switch, now_ms, output),
                Notice::Message(heard) => match self.asks.hear(id, heard, now_ms) {
                    Ok(None) => {}
                    Ok(Some(outcome)) => self.tell(outcome, now_ms, output),
                    Err(heard) => {
                        if let Some(switch) = self.sessions.get(&id).and_then(Session::switch) {
                            self.run(output, now_ms, |app| app.received(&switch, &heard.body, now_ms));
                        }
                    }
                },
                Notice::PeerError { error, number, xid, data } => {
                    output.events.push(Event::PeerError { connection: id, error, number, xid });
                    let why = AskError::Refused { error, number, data };
                    if let Some(outcome) = self.asks.refused(id, xid, why) {
                        self.tell(outcome, now_ms, output);
                    }
                }
                Notice::Refused(error) => output.events.push(Event::Refused(id, error)),
                Notice::Close(reason) => self.close(id, reason, output),
            }
        }
        self.collect(id, output);
    }

    fn ready(&mut self, id: ConnectionId, switch: Switch, now_ms: u64, output: &mut Output) {
        // A switch that lost its connection may be back before the old one is seen to be dead: the newer one counts.
        if let Some(&old) = self.switches.get(&switch.datapath_id) {
            self.close(old, CloseReason::Replaced, output);
        }
        self.switches.insert(switch.datapath_id, id);
        output.events.push(Event::Connected(id, switch));
        self.run(output, now_ms, |app| app.connected(&switch, now_ms));
    }

    fn run(
        &mut self,
        output: &mut Output,
        now_ms: u64,
        mut handler: impl FnMut(&mut dyn App) -> Vec<Outgoing>,
    ) {
        let said: Vec<Vec<Outgoing>> = self.apps.iter_mut().map(|app| handler(app.as_mut())).collect();
        for (app, outgoing) in said.into_iter().enumerate() {
            self.send(app, outgoing, now_ms, output);
        }
    }

    /// Sends what an app said.
    fn send(&mut self, app: usize, outgoing: Vec<Outgoing>, now_ms: u64, output: &mut Output) {
        for Outgoing { datapath_id, body, token } in outgoing {
            if let Some(token) = token {
                let asker = Asker::App { app, datapath_id, token };
                if let Err(error) = self.put(datapath_id, body.into(), asker, now_ms, output) {
                    self.ended.push((asker, Err(error)));
                }
                continue;
            }
            let Some(&to) = self.switches.get(&datapath_id) else { continue };
            if let Some(session) = self.sessions.get_mut(&to) {
                session.send(body);
            }
            self.collect(to, output);
        }
    }

    /// Puts a question.
    fn put(
        &mut self,
        datapath_id: u64,
        question: Question,
        asker: Asker,
        now_ms: u64,
        output: &mut Output,
    ) -> Result<(), AskError> {
        let id = *self.switches.get(&datapath_id).ok_or(AskError::NoSwitch)?;
        let session = self.sessions.get_mut(&id).ok_or(AskError::NoSwitch)?;
        if !self.asks.has_room(id) {
            return Err(AskError::TooMany);
        }
        let reply = question.reply();
        let sent = session.ask(question)?;
        self.asks.sent(id, sent, reply, asker, now_ms);
        self.collect(id, output);
        Ok(())
    }

    /// Tells who asked.
    fn tell(&mut self, (asker, answer): Outcome, now_ms: u64, output: &mut Output) {
        match asker {
            Asker::Caller(id) => output.answers.push((id, answer)),
            Asker::App { app, datapath_id, token } => {
                let Some(asking) = self.apps.get_mut(app) else { return };
                let outgoing = asking.answered(datapath_id, token, answer, now_ms);
                self.send(app, outgoing, now_ms, output);
            }
        }
    }

    fn close(&mut self, id: ConnectionId, reason: CloseReason, output: &mut Output) {
        self.collect(id, output);
        self.disconnected(id);
        output.closes.push(id);
        output.events.push(Event::Closed(id, reason));
    }

    /// Moves what a session wrote to the output.
    fn collect(&mut self, id: ConnectionId, output: &mut Output) {
        let Some(session) = self.sessions.get_mut(&id).filter(|session| !session.out.is_empty()) else {
            return;
        };
        let bytes = std::mem::take(&mut session.out);
        match output.sends.iter_mut().find(|(to, _)| *to == id) {
            Some((_, sent)) => sent.extend(bytes),
            None => output.sends.push((id, bytes)),
        }
    }
}

#[cfg(test)]
mod tests;
