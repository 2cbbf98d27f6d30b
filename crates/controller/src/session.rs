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

use heddle_openflow::message::{Fault, Features, decode};
use heddle_openflow::{Body, Framer, Message, OfError, Version};

use crate::app::Switch;

/// Silence after which the peer is asked whether it is there.
pub(crate) const PROBE_MS: u64 = 5_000;
/// Silence after which it is taken for gone.
pub(crate) const DEAD_MS: u64 = 15_000;
/// Time for the handshake.
pub(crate) const HANDSHAKE_MS: u64 = 15_000;

/// Bytes framed at a time, so that cutting messages off the front copies little.
const PIECE: usize = 4096;

/// Why the controller closed a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// The peer does not speak OpenFlow 1.3.
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
    /// A message for the apps.
    Message(Box<Body>),
    /// The switch reports an error.
    PeerError { number: (u16, u16), xid: u32 },
    /// A message was refused.
    Refused(OfError),
    /// The connection is over.
    Close(CloseReason),
}

pub(crate) struct Session {
    state: State,
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
    /// A session on a new connection; its hello is in `out`.
    pub(crate) fn new(now_ms: u64) -> Self {
        let mut session = Self {
            state: State::Hello,
            framer: Framer::default(),
            xid: 0,
            connected_ms: now_ms,
            heard_ms: now_ms,
            probed: false,
            closed: false,
            out: Vec::new(),
        };
        session.send(Body::Hello(Version::V1_3.bit()));
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
        self.out.extend(Message::new(self.xid, body).encode());
    }

    /// Takes bytes as they came. What follows the end of the session is ignored.
    pub(crate) fn receive(&mut self, bytes: &[u8], now_ms: u64, notices: &mut Vec<Notice>) {
        for piece in bytes.chunks(PIECE) {
            self.framer.push(piece);
            while !self.closed {
                let Some(framed) = self.framer.next_message() else { break };
                self.heard_ms = now_ms;
                self.probed = false;
                match framed.map(|message| spoken(&message)) {
                    Ok(Ok(message)) => self.message(message, notices),
                    Ok(Err(fault)) => {
                        notices.push(Notice::Refused(fault.error));
                        self.out.extend(fault.reply(Version::V1_3).encode());
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

    fn message(&mut self, message: Message, notices: &mut Vec<Notice>) {
        match (&self.state, message.body) {
            (State::Hello, Body::Hello(versions)) => {
                if versions & Version::V1_3.bit() == 0 {
                    let number = OfError::HelloIncompatible.number();
                    self.send(Body::Error { number, data: b"this controller speaks OpenFlow 1.3".to_vec() });
                    return self.close(CloseReason::NoCommonVersion, notices);
                }
                self.state = State::Features;
                self.send(Body::FeaturesRequest);
            }
            (State::Hello, Body::Error { number, .. }) => {
                notices.push(Notice::PeerError { number, xid: message.xid });
                self.close(CloseReason::NoCommonVersion, notices);
            }
            (State::Hello, _) => self.close(CloseReason::NoHello, notices),
            (_, Body::EchoRequest(data)) => {
                self.out.extend(Message::new(message.xid, Body::EchoReply(data)).encode());
            }
            (_, Body::Hello(_) | Body::EchoReply(_)) => (),
            (state, Body::Error { number, .. }) => {
                let handshake = matches!(state, State::Features);
                notices.push(Notice::PeerError { number, xid: message.xid });
                if handshake {
                    self.close(CloseReason::FeaturesRefused, notices);
                }
            }
            (State::Features, Body::FeaturesReply(features)) => {
                let Features { datapath_id, tables, capabilities, .. } = features;
                let switch = Switch { datapath_id, tables, capabilities };
                self.state = State::Ready(switch);
                notices.push(Notice::Ready(switch));
            }
            // What a switch says before its features, port status above all, is said again by what apps ask later.
            (State::Features, _) => (),
            (State::Ready(_), body) => notices.push(Notice::Message(Box::new(body))),
        }
    }

    pub(crate) fn close(&mut self, reason: CloseReason, notices: &mut Vec<Notice>) {
        if !self.closed {
            self.closed = true;
            notices.push(Notice::Close(reason));
        }
    }
}

/// Reads a message; all but a hello are in the version that is spoken here.
fn spoken(bytes: &[u8]) -> Result<Message, Fault> {
    let message = decode(bytes)?;
    let known = message.form.version == Version::V1_3 || matches!(message.body, Body::Hello(_));
    if known { Ok(message) } else { Err(Fault::of(bytes, OfError::RequestBadVersion)) }
}
