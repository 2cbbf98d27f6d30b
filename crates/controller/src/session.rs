//! One connection: framing, handshake, echo and liveness.
//!
//! ```text
//!           hello                features reply
//!  Hello ───────────▶ Features ──────────────────▶ Ready
//!    │ anything else,    │ error                     │ silence
//!    │ no common version │                           │
//!    └───────────────────┴──────────▶ closed ◀───────┘
//! ```
//! (OpenFlow 1.3.5 section 6.3.1.) Work and memory per call are bounded by the bytes that came: bytes are framed in
//! small pieces and at most one message that is not whole is kept.

use heddle_openflow::kind::MORE;
use heddle_openflow::message::{Fault, Features, Header, decode};
use heddle_openflow::{Body, Form, Framer, Message, OfError, Version};

use crate::app::Switch;
use crate::ask::{AskError, Question};

/// Silence after which the peer is asked whether it is there.
pub(crate) const PROBE_MS: u64 = 5_000;
/// Silence after which it is taken for gone.
pub(crate) const DEAD_MS: u64 = 15_000;
/// Time for the handshake.
pub(crate) const HANDSHAKE_MS: u64 = 15_000;

/// Type of messages that experimenters defined.
const EXPERIMENTER: u8 = 4;
/// Bytes framed at a time, so that cutting messages off the front copies little.
const PIECE: usize = 4096;

/// Why the controller closed a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// The peer speaks no version that is spoken here.
    NoCommonVersion,
    /// Its first message was not a hello.
    NoHello,
    /// It refused the features request.
    FeaturesRefused,
    /// It did not finish the handshake in time.
    HandshakeTimeout,
    /// It was silent for too long.
    Silent,
    /// The lengths in its stream make no sense, so the next message cannot be found.
    BrokenStream,
    /// Another connection came with the same datapath id.
    Replaced,
}

enum State {
    Hello,
    Features,
    Ready(Switch),
}

/// What a session tells the controller.
pub(crate) enum Notice {
    /// The handshake is done.
    Ready(Switch),
    /// A message for the apps, or for who asked.
    Message(Box<Heard>),
    /// The switch reports an error.
    PeerError { error: Option<OfError>, number: (u16, u16), xid: u32, data: Vec<u8> },
    /// A message was refused.
    Refused(OfError),
    /// The connection is over.
    Close(CloseReason),
}

/// A message that came.
pub(crate) struct Heard {
    /// Its transaction id.
    pub(crate) xid: u32,
    /// What it says.
    pub(crate) body: Body,
    /// Whether more of the same answer follows.
    pub(crate) more: bool,
    /// The message as it came.
    pub(crate) bytes: Vec<u8>,
}

/// How a question was sent: the transaction id of the message, and that of the barrier after it where it is no request.
pub(crate) type Sent = (u32, Option<u32>);

pub(crate) struct Session {
    state: State,
    /// Bitmap of versions that are spoken here.
    versions: u32,
    /// The version that is spoken: the newest until another is agreed on.
    version: Version,
    framer: Framer,
    xid: u32,
    connected_ms: u64,
    heard_ms: u64,
    probed: bool,
    closed: bool,
    /// Bytes to write.
    pub(crate) out: Vec<u8>,
}

impl Session {
    /// A session on a new connection that speaks these versions, a bitmap; its hello is in `out`.
    pub(crate) fn new(versions: u32, now_ms: u64) -> Self {
        let mut session = Self {
            state: State::Hello,
            versions,
            version: Version::agreed(versions, u32::MAX).unwrap_or_default(),
            framer: Framer::default(),
            xid: 0,
            connected_ms: now_ms,
            heard_ms: now_ms,
            probed: false,
            closed: false,
            out: Vec::new(),
        };
        session.send(Body::Hello(versions));
        session
    }

    /// The switch, once the handshake is done.
    pub(crate) fn switch(&self) -> Option<Switch> {
        match self.state {
            State::Ready(switch) => Some(switch),
            _ => None,
        }
    }

    /// Appends a message with an id of its own.
    pub(crate) fn send(&mut self, body: Body) {
        self.xid = self.xid.wrapping_add(1);
        let encoded = self.encoded(self.xid, body);
        self.out.extend(encoded);
    }

    /// Appends a question, with a barrier after what has no reply.
    ///
    /// # Errors
    /// The version cannot say it, or it fits no message.
    pub(crate) fn ask(&mut self, question: Question) -> Result<Sent, AskError> {
        let command = question.reply().is_none();
        let xid = self.xid.wrapping_add(1);
        let encoded = match question {
            Question::Message(body) => self.encoded(xid, *body),
            Question::Experimenter { experimenter, kind, data } => {
                let words = [xid, experimenter, kind].map(u32::to_be_bytes).concat();
                let length = (4 + words.len() + data.len()) as u16;
                let [high, low] = length.to_be_bytes();
                [&[self.version as u8, EXPERIMENTER, high, low], &words[..], &data].concat()
            }
        };
        let Some(stated) = encoded.get(2..4) else { return Err(AskError::NotInVersion) };
        // A length that does not fit its 16 bits is cut there.
        if usize::from(u16::from_be_bytes([stated[0], stated[1]])) != encoded.len() {
            return Err(AskError::TooLong);
        }
        self.xid = xid;
        self.out.extend(encoded);
        if !command {
            return Ok((xid, None));
        }
        self.send(Body::BarrierRequest);
        Ok((xid, Some(self.xid)))
    }

    fn peer_error(&self, number: (u16, u16), xid: u32, data: Vec<u8>) -> Notice {
        let error = OfError::of_wire(self.version, number, &data).map(|(error, _)| error);
        Notice::PeerError { error, number, xid, data }
    }

    fn encoded(&self, xid: u32, body: Body) -> Vec<u8> {
        Message { form: Form::of(self.version), xid, body }.encode()
    }

    /// Takes bytes as they came. What follows the end of the session is ignored.
    pub(crate) fn receive(&mut self, bytes: &[u8], now_ms: u64, notices: &mut Vec<Notice>) {
        for piece in bytes.chunks(PIECE) {
            self.framer.push(piece);
            while !self.closed {
                let Some(framed) = self.framer.next_message() else { break };
                self.heard_ms = now_ms;
                self.probed = false;
                match framed.map(|bytes| (self.spoken(&bytes), bytes)) {
                    Ok((Ok(message), bytes)) => self.message(message, bytes, notices),
                    Ok((Err(fault), _)) => {
                        notices.push(Notice::Refused(fault.error));
                        self.out.extend(fault.reply(self.version).encode());
                        if matches!(self.state, State::Hello) {
                            self.close(CloseReason::NoHello, notices);
                        }
                    }
                    Err(fault) => {
                        notices.push(Notice::Refused(fault.error));
                        self.close(CloseReason::BrokenStream, notices);
                    }
                }
            }
            if self.closed {
                return;
            }
        }
    }

    /// Probes a silent peer, gives up on a dead one.
    pub(crate) fn tick(&mut self, now_ms: u64, notices: &mut Vec<Notice>) {
        if self.closed || now_ms < self.deadline() {
            return;
        }
        if !matches!(self.state, State::Ready(_)) {
            self.close(CloseReason::HandshakeTimeout, notices);
        } else if self.probed {
            self.close(CloseReason::Silent, notices);
        } else {
            self.probed = true;
            self.send(Body::EchoRequest(Vec::new()));
        }
    }

    /// When the session next wants [`Session::tick`].
    pub(crate) fn deadline(&self) -> u64 {
        match self.state {
            State::Ready(_) => self.heard_ms + if self.probed { DEAD_MS } else { PROBE_MS },
            _ => self.connected_ms + HANDSHAKE_MS,
        }
    }

    fn message(&mut self, message: Message, bytes: Vec<u8>, notices: &mut Vec<Notice>) {
        let xid = message.xid;
        match (&self.state, message.body) {
            (State::Hello, Body::Hello(versions)) => {
                let Some(version) = Version::agreed(self.versions, versions) else {
                    let number = OfError::HelloIncompatible.number();
                    let spoken = Version::ALL.iter().filter(|version| self.versions & version.bit() != 0);
                    let numbers: Vec<_> = spoken.map(|version| version.number()).collect();
                    let data = format!("this controller speaks OpenFlow {}", numbers.join(" and "));
                    self.send(Body::Error { number, data: data.into() });
                    return self.close(CloseReason::NoCommonVersion, notices);
                };
                self.version = version;
                self.state = State::Features;
                self.send(Body::FeaturesRequest);
            }
            (State::Hello, Body::Error { number, data }) => {
                notices.push(self.peer_error(number, xid, data));
                self.close(CloseReason::NoCommonVersion, notices);
            }
            (State::Hello, _) => self.close(CloseReason::NoHello, notices),
            (_, Body::EchoRequest(data)) => {
                let reply = self.encoded(xid, Body::EchoReply(data));
                self.out.extend(reply);
            }
            (_, Body::Hello(_) | Body::EchoReply(_)) => (),
            (state, Body::Error { number, data }) => {
                let handshake = matches!(state, State::Features);
                notices.push(self.peer_error(number, xid, data));
                if handshake {
                    self.close(CloseReason::FeaturesRefused, notices);
                }
            }
            (State::Features, Body::FeaturesReply(features)) => {
                let Features { datapath_id, tables, capabilities, .. } = features;
                let switch = Switch { datapath_id, version: self.version, tables, capabilities };
                self.state = State::Ready(switch);
                notices.push(Notice::Ready(switch));
            }
            // What a switch says before its features, port status above all, is said again by what apps ask later.
            (State::Features, _) => (),
            (State::Ready(_), body) => {
                let flags = Header::of(&bytes).map_or(0, |header| header.flags);
                let more = matches!(body, Body::MultipartReply(_)) && flags & MORE != 0;
                notices.push(Notice::Message(Box::new(Heard { xid, body, more, bytes })));
            }
        }
    }

    pub(crate) fn close(&mut self, reason: CloseReason, notices: &mut Vec<Notice>) {
        if !self.closed {
            self.closed = true;
            notices.push(Notice::Close(reason));
        }
    }

    /// Reads a message; all but a hello are in the version that is spoken here.
    fn spoken(&self, bytes: &[u8]) -> Result<Message, Fault> {
        let message = decode(bytes)?;
        let known = message.form.version == self.version || matches!(message.body, Body::Hello(_));
        if known { Ok(message) } else { Err(Fault::of(bytes, OfError::RequestBadVersion)) }
    }
}
