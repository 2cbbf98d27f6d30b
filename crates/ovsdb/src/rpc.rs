//! JSON-RPC 1.0 over a stream, RFC 7047 §4: bytes to messages and back.
//!
//! Messages follow each other without lengths. A [`Framer`] finds where one ends by a scan that does not recurse, and
//! refuses what is too large, too deep or too full while it still streams in; only a whole message within the bounds is
//! parsed.

use serde_json::{Map, Value, json};

/// The most bytes of a message that a server reads: a transaction that adds some ten thousand ports.
pub const MAX_MESSAGE: usize = 16 << 20;

/// The most bytes of a message that a client reads: the initial contents of a large database.
pub const MAX_REPLY: usize = 256 << 20;

/// How deep values may nest; OVSDB's own messages reach about ten. Below serde_json's bound of 128.
pub const MAX_DEPTH: usize = 100;

/// A message holds at most this many values for each 16 bytes that it may have. A value takes 32 bytes in memory where
/// `0,` takes two in the message: so a parsed message takes a few times the memory of its text, and not sixteen times.
const VALUES_PER_16_BYTES: usize = 2;

/// Why a stream cannot be read further. What follows on it has no meaning, so the connection must be given up.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// A message is longer than the bound.
    #[error("message is longer than {0} bytes")]
    TooLong(usize),
    /// Values nest deeper than [`MAX_DEPTH`].
    #[error("values nest deeper than {MAX_DEPTH}")]
    TooDeep,
    /// A message holds more values than the bound.
    #[error("message holds more than {0} values")]
    TooMany(usize),
    /// What starts is not an object.
    #[error("a message does not start with '{{'")]
    NotObject,
    /// Text that is not JSON.
    #[error("{0}")]
    NotJson(String),
    /// JSON that is not a message of JSON-RPC.
    #[error("{0}")]
    NotMessage(&'static str),
}

/// Cuts a stream of bytes into JSON objects.
#[derive(Debug)]
pub struct Framer {
    bound: usize,
    held: Vec<u8>,
    /// Where in `held` the message begins; what is before was yielded.
    start: usize,
    /// Up to where `held` was scanned.
    scanned: usize,
    depth: usize,
    values: usize,
    in_string: bool,
    escaped: bool,
    failed: Option<FrameError>,
}

impl Default for Framer {
    fn default() -> Self {
        Self::with_bound(MAX_MESSAGE)
    }
}

impl Framer {
    /// A framer for messages of up to `bound` bytes.
    pub const fn with_bound(bound: usize) -> Self {
        Self {
            bound,
            held: Vec::new(),
            start: 0,
            scanned: 0,
            depth: 0,
            values: 0,
            in_string: false,
            escaped: false,
            failed: None,
        }
    }

    /// Takes bytes that arrived. They are held until [`next_json`](Self::next_json) has yielded their messages, so call
    /// that until it returns `None` before pushing more.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.failed.is_none() {
            self.held.extend_from_slice(bytes);
        }
    }

    /// How many bytes wait for the rest of their message.
    pub const fn held(&self) -> usize {
        self.held.len() - self.start
    }

    /// Whether a message has begun that is not whole.
    pub const fn is_inside(&self) -> bool {
        self.depth > 0
    }

    /// The next whole message; `None` if more bytes are needed.
    pub fn next_message(&mut self) -> Option<Result<Message, FrameError>> {
        match self.next_json()? {
            Ok(json) => Some(Message::from_json(json).map_err(FrameError::NotMessage).inspect_err(|error| {
                self.failed = Some(error.clone());
            })),
            Err(error) => Some(Err(error)),
        }
    }

    /// The next whole JSON object; `None` if more bytes are needed. After an error there is nothing but that error.
    pub fn next_json(&mut self) -> Option<Result<Value, FrameError>> {
        if let Some(error) = &self.failed {
            return Some(Err(error.clone()));
        }
        let outcome = match self.scan() {
            Ok(None) => {
                self.held.drain(..self.start);
                self.scanned -= self.start;
                self.start = 0;
                return None;
            }
            Ok(Some(end)) => self.cut(end),
            Err(error) => Err(error),
        };
        if let Err(error) = &outcome {
            self.failed = Some(error.clone());
            (self.held, self.start, self.scanned) = (Vec::new(), 0, 0);
        }
        Some(outcome)
    }

    /// Looks for the end of the message.
    fn scan(&mut self) -> Result<Option<usize>, FrameError> {
        if self.depth == 0 {
            let rest = &self.held[self.start..];
            self.start += rest.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
            self.scanned = self.start;
            match self.held.get(self.start) {
                None => return Ok(None),
                Some(b'{') => {}
                Some(_) => return Err(FrameError::NotObject),
            }
        }
        let most = self.bound / 16 * VALUES_PER_16_BYTES;
        let upto = self.held.len().min(self.start + self.bound);
        while self.scanned < upto {
            let byte = self.held[self.scanned];
            self.scanned += 1;
            if self.in_string {
                match byte {
                    _ if self.escaped => self.escaped = false,
                    b'\\' => self.escaped = true,
                    b'"' => self.in_string = false,
                    _ => {}
                }
                continue;
            }
            match byte {
                b'"' => self.in_string = true,
                b'{' | b'[' => {
                    (self.depth, self.values) = (self.depth + 1, self.values + 1);
                    if self.depth > MAX_DEPTH {
                        return Err(FrameError::TooDeep);
                    }
                }
                b'}' | b']' => {
                    self.depth -= 1;
                    if self.depth == 0 {
                        return Ok(Some(self.scanned));
                    }
                }
                b',' => self.values += 1,
                _ => {}
            }
            if self.values > most {
                return Err(FrameError::TooMany(most));
            }
        }
        if self.held() >= self.bound { Err(FrameError::TooLong(self.bound)) } else { Ok(None) }
    }

    fn cut(&mut self, end: usize) -> Result<Value, FrameError> {
        let json = serde_json::from_slice(&self.held[self.start..end]);
        (self.start, self.values) = (end, 0);
        if end == self.held.len() {
            // A large message does not hold its memory for ever.
            (self.held, self.start, self.scanned) = (Vec::new(), 0, 0);
        }
        json.map_err(|error| FrameError::NotJson(error.to_string()))
    }
}

/// A message of JSON-RPC 1.0, RFC 7047 §4.
#[derive(Clone, Debug, PartialEq)]
pub enum Message {
    /// A request, which wants a reply with the same id.
    Request {
        /// The method's name.
        method: String,
        /// The method's parameters.
        params: Vec<Value>,
        /// Any JSON but null.
        id: Value,
    },
    /// A notification, which wants no reply.
    Notification {
        /// The method's name.
        method: String,
        /// The method's parameters.
        params: Vec<Value>,
    },
    /// A reply: either the result or the error is null.
    Reply {
        /// The result, or null.
        result: Value,
        /// The error, or null.
        error: Value,
        /// The id of the request.
        id: Value,
    },
}

impl Message {
    /// A request.
    pub fn request(method: &str, params: Vec<Value>, id: impl Into<Value>) -> Self {
        Self::Request { method: method.to_owned(), params, id: id.into() }
    }

    /// A notification.
    pub fn notification(method: &str, params: Vec<Value>) -> Self {
        Self::Notification { method: method.to_owned(), params }
    }

    /// A reply that tells success.
    pub const fn reply(result: Value, id: Value) -> Self {
        Self::Reply { result, error: Value::Null, id }
    }

    /// A reply that tells failure.
    pub const fn error(error: Value, id: Value) -> Self {
        Self::Reply { result: Value::Null, error, id }
    }

    /// The message of JSON.
    ///
    /// # Errors
    /// What a member lacks, in a sentence.
    pub fn from_json(json: Value) -> Result<Self, &'static str> {
        let Value::Object(mut members) = json else { return Err("message is not a JSON object") };
        let mut take = |name: &str| members.remove(name).unwrap_or(Value::Null);
        let (method, params, id) = (take("method"), take("params"), take("id"));
        let (result, error) = (take("result"), take("error"));
        match (method, params) {
            (Value::String(method), Value::Array(params)) => {
                if !result.is_null() || !error.is_null() {
                    return Err("a request has no result and no error");
                }
                Ok(match id {
                    Value::Null => Self::Notification { method, params },
                    id => Self::Request { method, params, id },
                })
            }
            (Value::String(_), _) => Err("a request must have an array as \"params\""),
            (Value::Null, Value::Null) if id.is_null() => {
                Err("a message must have a \"method\" or an \"id\"")
            }
            (Value::Null, Value::Null) => Ok(Self::Reply { result, error, id }),
            (Value::Null, _) => Err("a reply must not have \"params\""),
            _ => Err("\"method\" must be a string"),
        }
    }

    /// The message's form in JSON.
    pub fn to_json(&self) -> Value {
        match self {
            Self::Request { method, params, id } => json!({"method": method, "params": params, "id": id}),
            Self::Notification { method, params } => json!({"method": method, "params": params, "id": null}),
            Self::Reply { result, error, id } => {
                let mut members = Map::new();
                members.insert("result".into(), result.clone());
                members.insert("error".into(), error.clone());
                members.insert("id".into(), id.clone());
                members.into()
            }
        }
    }

    /// The message's bytes on a stream.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.to_json().to_string().into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(bound: usize, bytes: &[u8]) -> Option<Result<Message, FrameError>> {
        let mut framer = Framer::with_bound(bound);
        framer.push(bytes);
        framer.next_message()
    }

    #[test]
    fn messages_follow_each_other() {
        let mut framer = Framer::default();
        framer.push(b" {\"method\":\"echo\",\"params\":[\"}\\\"\"],\"id\":1}{\"id\":2,\"result\":[],");
        assert_eq!(framer.next_message(), Some(Ok(Message::request("echo", vec!["}\"".into()], 1))));
        assert_eq!(framer.next_message(), None);
        framer.push(b"\"error\":null}\n");
        assert_eq!(framer.next_message(), Some(Ok(Message::reply(json!([]), 2.into()))));
        assert_eq!((framer.next_message(), framer.held()), (None, 0));
    }

    #[test]
    fn what_passes_a_bound_is_refused_while_it_streams() {
        assert_eq!(
            outcome(64, &[b"{\"a\":\"".as_slice(), &[b'x'; 60]].concat()),
            Some(Err(FrameError::TooLong(64)))
        );
        assert_eq!(
            outcome(4096, &[b"{\"a\":".as_slice(), &[b'['; 100]].concat()),
            Some(Err(FrameError::TooDeep))
        );
        let many = [b"{\"a\":[".as_slice(), &b"0,".repeat(600)].concat();
        assert_eq!(outcome(4096, &many), Some(Err(FrameError::TooMany(512))));
        assert_eq!(outcome(64, b"[1]"), Some(Err(FrameError::NotObject)));
    }

    #[test]
    fn an_error_stays() {
        let mut framer = Framer::default();
        framer.push(b"x{}");
        assert!(framer.next_json().is_some_and(|json| json.is_err()));
        framer.push(b"{}");
        assert_eq!((framer.next_json(), framer.held()), (Some(Err(FrameError::NotObject)), 0));
    }

    #[test]
    fn json_that_is_no_message_is_refused() {
        for (bytes, error) in [
            (b"{}".as_slice(), "a message must have a \"method\" or an \"id\""),
            (b"{\"method\":\"x\",\"params\":{}}", "a request must have an array as \"params\""),
            (b"{\"method\":1,\"params\":[]}", "\"method\" must be a string"),
        ] {
            assert_eq!(outcome(64, bytes), Some(Err(FrameError::NotMessage(error))));
        }
    }
}
