//! A connection to a switch: versions agreed on, questions and their answers.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};

use heddle_openflow::message::HEADER_LEN;
use heddle_openflow::{Body, Framer, Message, Version};

use crate::fatal::{Fatal, fail, reason};
use crate::log::{self, Level};
use crate::place;
use crate::stream::Stream;

/// The port that IANA gave OpenFlow.
pub const PORT: u16 = 6653;
const HELLO: u8 = 0;
const ERROR: u8 = 1;
const ECHO_REQUEST: u8 = 2;

/// A connection. Messages come as bytes, because what a client prints it prints as it came.
pub struct Connection {
    stream: Stream,
    framer: Framer,
    xid: u32,
    /// The switch, as the operator named it.
    pub name: String,
    /// The version agreed on.
    pub version: Version,
}

/// Type of a message.
pub fn kind(message: &[u8]) -> u8 {
    message.get(1).copied().unwrap_or_default()
}

/// Transaction id of a message.
pub fn xid(message: &[u8]) -> u32 {
    message.get(4..8).and_then(|id| id.first_chunk()).map_or(0, |id| u32::from_be_bytes(*id))
}

/// The stream's name that a word stands for: itself, or the socket of a bridge, whose name ends in `ending`.
fn stream_name(word: &str, ending: &str) -> Result<String, Fatal> {
    if word.contains(':') {
        return Ok(word.to_owned());
    }
    let path = match word.strip_prefix('/') {
        Some(_) => word.into(),
        None => place::run_directory().join(format!("{word}.{ending}")),
    };
    if path.exists() {
        return Ok(format!("unix:{}", path.display()));
    }
    fail(format!("{word} is not a bridge or a socket"))
}

impl Connection {
    /// Calls a switch and agrees on one of `versions`, a bit for each version byte.
    ///
    /// # Errors
    /// It does not answer, or speaks none of them.
    pub fn open(word: &str, ending: &str, versions: u32) -> Result<Self, Fatal> {
        let name = stream_name(word, ending)?;
        let refused = |reason: String| Fatal::new(format!("connecting to {name} ({reason})"));
        let stream = match Stream::connect(&name, PORT) {
            Ok(stream) => stream,
            Err(error) if ending == "snoop" => {
                let path = name.strip_prefix("unix:").unwrap_or(&name);
                return fail(format!("{path}: failed to open socket ({error})"));
            }
            Err(error) => return Err(refused(error.to_string())),
        };
        let mut connection =
            Self { stream, framer: Framer::default(), xid: 0, name: word.to_owned(), version: Version::V1_0 };
        connection.greet(versions).map_err(|error| refused(reason(&error)))?;
        Ok(connection)
    }

    fn greet(&mut self, versions: u32) -> io::Result<()> {
        // The hello's own version is the newest that is offered.
        let newest = Version::agreed(versions, versions).unwrap_or_default();
        self.version = newest;
        let id = self.next_xid();
        self.send_body(id, Body::Hello(versions))?;
        let protocol = || io::Error::from_raw_os_error(nix::errno::Errno::EPROTO as i32);
        let hello = self.read()?;
        let theirs = match heddle_openflow::decode(&hello).map(|message| message.body) {
            Ok(Body::Hello(theirs)) if kind(&hello) == HELLO => theirs,
            _ => return Err(protocol()),
        };
        match Version::agreed(versions, theirs) {
            Some(version) => {
                self.version = version;
                log::write(
                    "vconn",
                    Level::Debug,
                    &format!("{}: negotiated OpenFlow version {:#04x}", self.name, version as u8),
                );
                Ok(())
            }
            None => {
                let text = format!(
                    "{}: version negotiation failed (we support {versions:#x}, peer supports {theirs:#x})",
                    self.name
                );
                log::write("vconn", Level::Warn, &text);
                Err(protocol())
            }
        }
    }

    /// What to poll for reading.
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }

    /// A transaction id that was not used.
    pub fn next_xid(&mut self) -> u32 {
        self.xid += 1;
        self.xid
    }

    fn send_body(&mut self, xid: u32, body: Body) -> io::Result<()> {
        let form = heddle_openflow::message::Form::of(self.version);
        self.stream.write_all(&Message { form, xid, body }.encode())
    }

    /// Sends bytes.
    ///
    /// # Errors
    /// The stream has ended.
    pub fn send_bytes(&mut self, bytes: &[u8]) -> Result<(), Fatal> {
        log_message(&self.name, "sent (Success)", bytes);
        self.stream.write_all(bytes).map_err(|error| self.lost(&error))
    }

    /// Sends a message; its id. `nicira` asks for Nicira's form, where the version has one.
    ///
    /// # Errors
    /// The version has no such message, or the stream has ended.
    pub fn send(&mut self, body: Body, nicira: bool) -> Result<u32, Fatal> {
        let bytes = self.encode(body, nicira)?;
        self.send_bytes(&bytes)?;
        Ok(self.xid)
    }

    /// A message with the next id.
    ///
    /// # Errors
    /// The version has no such message.
    pub fn encode(&mut self, body: Body, nicira: bool) -> Result<Vec<u8>, Fatal> {
        let xid = self.next_xid();
        let form = heddle_openflow::message::Form {
            version: self.version,
            nicira: nicira && self.version == Version::V1_0,
        };
        let bytes = Message { form, xid, body }.encode();
        if bytes.is_empty() { fail("OpenFlow 1.0 has no such message; use -O OpenFlow13") } else { Ok(bytes) }
    }

    fn lost(&self, error: &io::Error) -> Fatal {
        Fatal::system(format!("talking to {}", self.name), error)
    }

    /// Waits for the next message.
    ///
    /// # Errors
    /// The stream has ended, or what came is no message.
    pub fn receive(&mut self) -> Result<Vec<u8>, Fatal> {
        let message = self.read().map_err(|error| self.lost(&error))?;
        log_message(&self.name, "received", &message);
        Ok(message)
    }

    fn read(&mut self) -> io::Result<Vec<u8>> {
        loop {
            if let Some(message) = self.framed()? {
                return Ok(message);
            }
            self.fill()?;
        }
    }

    fn framed(&mut self) -> io::Result<Option<Vec<u8>>> {
        match self.framer.next_message() {
            None => Ok(None),
            Some(Ok(message)) => Ok(Some(message)),
            Some(Err(_)) => Err(io::Error::from_raw_os_error(nix::errno::Errno::EPROTO as i32)),
        }
    }

    fn fill(&mut self) -> io::Result<()> {
        let mut piece = [0; 64 * 1024];
        match self.stream.read(&mut piece) {
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => {
                self.framer.push(&piece[..count]);
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {
                Err(io::ErrorKind::UnexpectedEof.into())
            }
            Err(error) => Err(error),
        }
    }

    /// The next message that has wholly come, if one has; bytes are read once at most.
    ///
    /// # Errors
    /// The stream has ended, or what came is no message.
    pub fn receive_if_there(&mut self, may_read: bool) -> Result<Option<Vec<u8>>, Fatal> {
        let mut next = || {
            if let Some(message) = self.framed()? {
                return Ok(Some(message));
            }
            if may_read {
                self.fill()?;
                return self.framed();
            }
            Ok(None)
        };
        next().map_err(|error| self.lost(&error))
    }

    /// Answers an echo request; whether it was one.
    ///
    /// # Errors
    /// The stream has ended.
    pub fn answer_echo(&mut self, message: &[u8]) -> Result<bool, Fatal> {
        if kind(message) != ECHO_REQUEST {
            return Ok(false);
        }
        let data = message.get(HEADER_LEN..).unwrap_or_default().to_vec();
        self.send_body(xid(message), Body::EchoReply(data)).map_err(|error| self.lost(&error))?;
        Ok(true)
    }

    /// The message that answers `id`, in all its parts. Others are passed over.
    ///
    /// # Errors
    /// The stream has ended.
    pub fn replies(&mut self, id: u32) -> Result<Vec<Vec<u8>>, Fatal> {
        let mut parts = Vec::new();
        self.each_reply(id, |part| {
            parts.push(part);
            Ok(())
        })?;
        Ok(parts)
    }

    /// The same, part by part as they come.
    ///
    /// # Errors
    /// The stream has ended; what `take` says.
    pub fn each_reply(
        &mut self,
        id: u32,
        mut take: impl FnMut(Vec<u8>) -> Result<(), Fatal>,
    ) -> Result<(), Fatal> {
        loop {
            let message = self.receive()?;
            if self.answer_echo(&message)? || xid(&message) != id {
                continue;
            }
            let more =
                self.is_multipart_reply(&message) && message.get(11).is_some_and(|flags| flags & 1 != 0);
            take(message)?;
            if !more {
                return Ok(());
            }
        }
    }

    fn is_multipart_reply(&self, message: &[u8]) -> bool {
        kind(message) == if self.version == Version::V1_0 { 17 } else { 19 }
    }

    /// Asks, and waits for the answer.
    ///
    /// # Errors
    /// As [`Self::send`] and [`Self::replies`].
    pub fn ask(&mut self, body: Body, nicira: bool) -> Result<Vec<Vec<u8>>, Fatal> {
        let id = self.send(body, nicira)?;
        self.replies(id)
    }

    /// Sends messages that want no answer, then a barrier: the first error that came before its reply. They are sent on without
    /// waiting for one another.
    ///
    /// # Errors
    /// The stream has ended.
    pub fn settle(
        &mut self,
        bodies: impl IntoIterator<Item = (Body, bool)>,
    ) -> Result<Option<Vec<u8>>, Fatal> {
        let mut batch = self.batch();
        for (body, nicira) in bodies {
            self.put(&mut batch, body, nicira)?;
        }
        self.settled(batch)
    }

    /// Begins to send messages that want no answer.
    pub fn batch(&self) -> Batch {
        Batch { bytes: Vec::with_capacity(2 * BATCH), first: self.xid + 1, errors: Vec::new() }
    }

    /// Sends a message that wants no answer, perhaps together with later ones.
    ///
    /// # Errors
    /// As [`Self::send`].
    pub fn put(&mut self, batch: &mut Batch, body: Body, nicira: bool) -> Result<(), Fatal> {
        let message = self.encode(body, nicira)?;
        self.put_bytes(batch, &message)
    }

    /// The same with a message that is written already.
    ///
    /// # Errors
    /// The stream has ended.
    pub fn put_bytes(&mut self, batch: &mut Batch, message: &[u8]) -> Result<(), Fatal> {
        log_message(&self.name, "sent (Success)", message);
        batch.bytes.extend_from_slice(message);
        if batch.bytes.len() >= BATCH { self.flush(batch) } else { Ok(()) }
    }

    /// Sends what waits, and takes errors that have come: a switch that cannot get rid of them would take nothing more.
    fn flush(&mut self, batch: &mut Batch) -> Result<(), Fatal> {
        let bytes = std::mem::take(&mut batch.bytes);
        self.stream.write_all(&bytes).map_err(|error| self.lost(&error))?;
        batch.bytes = bytes;
        batch.bytes.clear();
        while crate::unixctl::wait(&[self.descriptor()], Some(std::time::Duration::ZERO))?.contains(&true) {
            let mut may_read = true;
            while let Some(message) = self.receive_if_there(std::mem::take(&mut may_read))? {
                if !self.answer_echo(&message)? && kind(&message) == ERROR {
                    batch.take_error(message, self.xid);
                }
            }
        }
        Ok(())
    }

    /// Puts a barrier behind what is sent: its id.
    fn barrier(&mut self, batch: &mut Batch) -> Result<u32, Fatal> {
        let message = self.encode(Body::BarrierRequest, false)?;
        log_message(&self.name, "sent (Success)", &message);
        batch.bytes.extend_from_slice(&message);
        Ok(self.xid)
    }

    /// Sends the last messages, and waits for the answer to the one of this id: the errors that came until then, the answer itself
    /// among them if it is one.
    ///
    /// # Errors
    /// The stream has ended.
    pub fn finish(&mut self, mut batch: Batch, last: u32) -> Result<Vec<Vec<u8>>, Fatal> {
        self.stream.write_all(&batch.bytes).map_err(|error| self.lost(&error))?;
        loop {
            let message = self.receive()?;
            if self.answer_echo(&message)? {
                continue;
            }
            let answers = xid(&message) == last;
            if kind(&message) == ERROR {
                batch.take_error(message, last);
            }
            if answers {
                return Ok(batch.errors);
            }
        }
    }

    /// Sends what waits, with a barrier behind it, and waits until the switch has done all of it: the first error.
    ///
    /// # Errors
    /// The stream has ended.
    pub fn settled(&mut self, mut batch: Batch) -> Result<Option<Vec<u8>>, Fatal> {
        let barrier = self.barrier(&mut batch)?;
        self.finish(batch, barrier).map(|errors| errors.into_iter().next())
    }
}

/// Bytes that are sent at once. A switch that refuses all of them answers with no more than twice as many, which fit where a
/// socket keeps what was not read yet.
const BATCH: usize = 64 * 1024;

/// Errors that are kept of a batch.
const MAX_ERRORS: usize = 1000;

/// Messages on their way to a switch.
pub struct Batch {
    bytes: Vec<u8>,
    /// The id of the first.
    first: u32,
    errors: Vec<Vec<u8>>,
}

impl Batch {
    /// Keeps errors about earlier messages too, from this id on.
    pub fn since(self, first: u32) -> Self {
        Self { first, ..self }
    }

    /// Keeps an error that is about one of the messages up to `last`, unless there were many.
    fn take_error(&mut self, message: Vec<u8>, last: u32) {
        if (self.first..=last).contains(&xid(&message))
            && (self.errors.len() < MAX_ERRORS || xid(&message) == last)
        {
            self.errors.push(message);
        }
    }
}

/// Tells the log of a message, where anybody reads it.
fn log_message(name: &str, what: &str, bytes: &[u8]) {
    if log::is_enabled("vconn", Level::Debug) {
        let text = super::print::message(bytes, 1);
        log::write("vconn", Level::Debug, &format!("{name}: {what}: {}", text.trim_end()));
    }
}
