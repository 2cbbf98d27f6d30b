//! Questions to switches: who asked what, and what came back.
//!
//! ```text
//!              part, more follow ┌──┐
//!                                ▼  │
//!  asked ──────────────────────▶ waits ──▶ answered: the last part, or the barrier after a command
//!    │ no such switch, too many,   │ ────▶ refused: an OpenFlow error of the same transaction
//!    │ not in the version          │ ────▶ too large, silent for too long, connection lost
//!    └────▶ not asked
//! ```
//!
//! Answers are kept as they came: a flow takes ten times the room once it is decoded. [`Answer::parts`] decodes one message
//! at a time. How many questions wait, and how many bytes they keep, is bounded, for each switch and in all; time is counted
//! from the last part, so that a large answer may take long and a silent switch may not.

use std::collections::BTreeMap;

use heddle_openflow::kind::Kind;
use heddle_openflow::{Body, OfError, decode};

use crate::controller::ConnectionId;
use crate::session::{Heard, Sent};

/// A question, numbered in the order of asking and never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AskId(pub u64);

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// A request, or a command such as a flow-mod, which is answered once the switch has done it.
    Message(Box<Body>),
    /// A message that an experimenter defined, as a command (OpenFlow 1.3.5 section 7.5.5).
    Experimenter {
        /// Whose it is.
        experimenter: u32,
        /// Which of theirs.
        kind: u32,
        /// What it says.
        data: Vec<u8>,
    },
}

impl From<Body> for Question {
    fn from(body: Body) -> Self {
        Self::Message(Box::new(body))
    }
}

impl Question {
    /// What answers it; none for a command.
    pub(crate) fn reply(&self) -> Option<Kind> {
        match self {
            Self::Message(body) => body.kind().reply(),
            Self::Experimenter { .. } => None,
        }
    }
}

/// Why a question has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// No such switch is connected.
    #[error("no switch of this datapath id is connected")]
    NoSwitch,
    /// The version that the switch speaks cannot say it.
    #[error("the switch's version of OpenFlow has no such message")]
    NotInVersion,
    /// It fits no message.
    #[error("it is longer than the 65535 bytes of a message")]
    TooLong,
    /// Too many questions wait for answers.
    #[error("too many questions wait for answers")]
    TooMany,
    /// The answer is larger than what may be kept.
    #[error("the answer is too large")]
    TooLarge,
    /// Nothing came in time.
    #[error("the switch did not answer in time")]
    TimedOut,
    /// The connection was lost.
    #[error("the connection to the switch was lost")]
    Disconnected,
    /// The switch refused.
    #[error("the switch refused: {}", named(*.error, *.number))]
    Refused {
        /// Which error it is, if it is known.
        error: Option<OfError>,
        /// Type and code, as the switch's version numbers them.
        number: (u16, u16),
        /// What the error quotes, the beginning of the message at least.
        data: Vec<u8>,
    },
}

/// The name of an error, or its numbers where it is not known.
pub(crate) fn named(error: Option<OfError>, number: (u16, u16)) -> String {
    error
        .map_or_else(|| format!("error type {} code {}", number.0, number.1), |error| error.name().to_owned())
}

/// An answer, whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    messages: Vec<Vec<u8>>,
    size: usize,
}

impl Answer {
    /// An answer of these messages, each of which decodes.
    pub(crate) fn of(messages: Vec<Vec<u8>>) -> Self {
        Self { size: messages.iter().map(Vec::len).sum(), messages }
    }

    /// Bytes that it takes.
    #[must_use]
    pub fn size(&self) -> usize {
        self.size
    }

    /// Whether it says no more than that a command is done.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.messages.is_empty()
    }

    /// Its parts, in the order in which they came, each decoded when it is taken. There are none where a command is done.
    pub fn parts(self) -> impl Iterator<Item = Body> {
        // All were decoded once, when they came.
        self.messages.into_iter().filter_map(|bytes| Some(decode(&bytes).ok()?.body))
    }

    /// All parts as one message: the items of a multipart reply together. [`Body::BarrierReply`] where a command is done.
    #[must_use]
    pub fn whole(self) -> Body {
        let mut parts = self.parts();
        let mut whole = parts.next().unwrap_or(Body::BarrierReply);
        for part in parts {
            // Parts of an answer that are no lists are the same answer again: the first counts.
            if let (Body::MultipartReply(whole), Body::MultipartReply(next)) = (&mut whole, part) {
                whole.extend(next);
            }
        }
        whole
    }
}

/// Who is to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asker {
    /// The caller of the core.
    Caller(AskId),
    /// An app, by its place, and its number for the question.
    App { app: usize, datapath_id: u64, token: u64 },
}

/// What a question came to.
pub(crate) type Outcome = (Asker, Result<Answer, AskError>);

struct Pending {
    connection: ConnectionId,
    sent: Sent,
    /// What answers it; none for a command.
    reply: Option<Kind>,
    asker: Asker,
    answer: Answer,
    deadline: u64,
}

/// The questions that wait. Finding one takes time in proportion to how many wait.
#[derive(Default)]
pub(crate) struct Asks {
    pending: BTreeMap<u64, Pending>,
    next: u64,
    /// Bytes that are kept of unfinished answers.
    held: usize,
}

impl Asks {
    /// Questions that may wait in all.
    pub(crate) const MAX: usize = 256;
    /// Questions that may wait for one switch.
    pub(crate) const MAX_OF_SWITCH: usize = 64;
    /// Bytes of one answer: those of some 300,000 flows.
    pub(crate) const MAX_ANSWER: usize = 32 << 20;
    /// Bytes of all unfinished answers.
    pub(crate) const MAX_HELD: usize = 64 << 20;
    /// Messages of one answer; each has its cost, however short it is.
    pub(crate) const MAX_PARTS: usize = 65_536;
    /// Silence after which an answer is given up, in milliseconds.
    pub(crate) const SILENCE_MS: u64 = 5_000;

    /// A number for a question.
    pub(crate) fn number(&mut self) -> AskId {
        self.next += 1;
        AskId(self.next)
    }

    /// Whether another question may be put on this connection.
    pub(crate) fn has_room(&self, connection: ConnectionId) -> bool {
        let of_switch = || self.pending.values().filter(|pending| pending.connection == connection).count();
        self.pending.len() < Self::MAX && of_switch() < Self::MAX_OF_SWITCH
    }

    /// A question was sent.
    pub(crate) fn sent(
        &mut self,
        connection: ConnectionId,
        sent: Sent,
        reply: Option<Kind>,
        asker: Asker,
        now_ms: u64,
    ) {
        let AskId(number) = self.number();
        let deadline = now_ms + Self::SILENCE_MS;
        let pending = Pending { connection, sent, reply, asker, answer: Answer::default(), deadline };
        self.pending.insert(number, pending);
    }

    /// Takes a message that is part of an answer, and tells what came of it; gives back one that is not.
    pub(crate) fn hear(
        &mut self,
        connection: ConnectionId,
        heard: Box<Heard>,
        now_ms: u64,
    ) -> Result<Option<Outcome>, Box<Heard>> {
        let kind = heard.body.kind();
        let answers = |pending: &Pending| {
            let expected = match pending.sent {
                (xid, None) => (xid, pending.reply),
                (_, Some(barrier)) => (barrier, Some(Kind::BarrierReply)),
            };
            pending.connection == connection && expected == (heard.xid, Some(kind))
        };
        let Some((&number, pending)) = self.pending.iter_mut().find(|(_, pending)| answers(pending)) else {
            return Err(heard);
        };
        if pending.sent.1.is_some() {
            return Ok(self.finish(number, None));
        }
        let size = heard.bytes.len();
        let room = Self::MAX_ANSWER.saturating_sub(pending.answer.size);
        if size > room.min(Self::MAX_HELD.saturating_sub(self.held))
            || pending.answer.messages.len() >= Self::MAX_PARTS
        {
            return Ok(self.finish(number, Some(AskError::TooLarge)));
        }
        self.held += size;
        pending.answer.size += size;
        pending.answer.messages.push(heard.bytes);
        pending.deadline = now_ms + Self::SILENCE_MS;
        Ok(if heard.more { None } else { self.finish(number, None) })
    }

    /// The switch refused a message; what came of it if it was a question.
    pub(crate) fn refused(&mut self, connection: ConnectionId, xid: u32, error: AskError) -> Option<Outcome> {
        let is = |pending: &Pending| {
            pending.connection == connection && (pending.sent.0 == xid || pending.sent.1 == Some(xid))
        };
        let (&found, _) = self.pending.iter().find(|(_, pending)| is(pending))?;
        self.finish(found, Some(error))
    }

    /// A connection is lost.
    pub(crate) fn lost(&mut self, connection: ConnectionId) -> Vec<Outcome> {
        self.finish_all(AskError::Disconnected, |pending| pending.connection == connection)
    }

    /// Gives up questions that wait for too long.
    pub(crate) fn expire(&mut self, now_ms: u64) -> Vec<Outcome> {
        self.finish_all(AskError::TimedOut, |pending| pending.deadline <= now_ms)
    }

    /// When [`Asks::expire`] is next wanted.
    pub(crate) fn deadline(&self) -> Option<u64> {
        self.pending.values().map(|pending| pending.deadline).min()
    }

    fn finish_all(&mut self, error: AskError, wanted: impl Fn(&Pending) -> bool) -> Vec<Outcome> {
        let over: Vec<u64> =
            self.pending.iter().filter(|(_, pending)| wanted(pending)).map(|(&number, _)| number).collect();
        over.into_iter().filter_map(|number| self.finish(number, Some(error.clone()))).collect()
    }

    fn finish(&mut self, number: u64, error: Option<AskError>) -> Option<Outcome> {
        let pending = self.pending.remove(&number)?;
        self.held -= pending.answer.size;
        Some((pending.asker, error.map_or(Ok(pending.answer), Err)))
    }
}
