//! A connection to a database server, for clients that wait: requests, notifications, and the servers' echoes answered.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};

use heddle_ovsdb::rpc::{Framer, MAX_REPLY, Message};
use heddle_ovsdb::schema::Schema;
use serde_json::{Value, json};

use crate::fatal::{Fatal, fail, reason};
use crate::stream::{ConnectError, Stream, is_passive};

/// The port that IANA gave OVSDB.
pub const PORT: u16 = 6640;
/// Most notifications that wait until somebody asks for them; a server that sends more is given up.
const MAX_WAITING: usize = 100_000;

/// A connection.
pub struct Database {
    stream: Stream,
    framer: Framer,
    waiting: VecDeque<Message>,
    requests: u64,
}

/// A reply: the result, or the error as the server wrote it.
pub type Reply = Result<Value, Value>;

impl Database {
    /// Calls one of the servers in a list that commas separate: the first that answers.
    ///
    /// # Errors
    /// None answers; the names and the last reason are told.
    pub fn connect(servers: &str) -> Result<Self, Fatal> {
        let mut refused = Fatal::new(format!("failed to connect to \"{servers}\""));
        for server in split_servers(servers) {
            match Stream::connect(server, PORT) {
                Ok(stream) => return Ok(Self::over(stream)),
                Err(error @ ConnectError::NotAName) => {
                    return fail(format!("failed to connect or listen to \"{server}\" ({error})"));
                }
                Err(error) if is_passive(server) => {
                    refused =
                        Fatal::new(format!("failed to listen for connections on \"{server}\" ({error})"));
                }
                Err(error) => refused = Fatal::new(format!("failed to connect to \"{server}\" ({error})")),
            }
        }
        Err(refused)
    }

    /// A connection over a stream that stands.
    pub fn over(stream: Stream) -> Self {
        Self { stream, framer: Framer::with_bound(MAX_REPLY), waiting: VecDeque::new(), requests: 0 }
    }

    /// What to poll for reading.
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }

    /// Sends a request; its id is what the reply will bear.
    ///
    /// # Errors
    /// The stream has ended.
    pub fn send(&mut self, method: &str, params: Vec<Value>) -> io::Result<u64> {
        let id = self.requests;
        self.requests += 1;
        self.stream.write_all(&Message::request(method, params, id).to_bytes())?;
        Ok(id)
    }

    /// Sends a notification.
    ///
    /// # Errors
    /// The stream has ended.
    pub fn notify(&mut self, method: &str, params: Vec<Value>) -> io::Result<()> {
        self.stream.write_all(&Message::notification(method, params).to_bytes())
    }

    /// Sends a request and waits for its reply; what else comes meanwhile waits.
    ///
    /// # Errors
    /// The stream has ended, or what came is no message.
    pub fn ask(&mut self, method: &str, params: Vec<Value>) -> io::Result<Reply> {
        let id = self.send(method, params)?;
        self.reply(id)
    }

    /// Waits for the reply to a request.
    ///
    /// # Errors
    /// The stream has ended, or what came is no message.
    pub fn reply(&mut self, wanted: u64) -> io::Result<Reply> {
        loop {
            match self.read()? {
                Message::Reply { result, error, id } if id == json!(wanted) => {
                    return Ok(if error.is_null() { Ok(result) } else { Err(error) });
                }
                other if self.waiting.len() < MAX_WAITING => self.waiting.push_back(other),
                _ => return Err(io::Error::other("the server sends more than this client can hold")),
            }
        }
    }

    /// Waits for the next message.
    ///
    /// # Errors
    /// The stream has ended, or what came is no message.
    pub fn receive(&mut self) -> io::Result<Message> {
        match self.waiting.pop_front() {
            Some(message) => Ok(message),
            None => self.read(),
        }
    }

    /// The next message that has wholly come, if one has; bytes are read once at most.
    ///
    /// # Errors
    /// The stream has ended, or what came is no message.
    pub fn receive_if_there(&mut self, may_read: bool) -> io::Result<Option<Message>> {
        if let Some(message) = self.waiting.pop_front() {
            return Ok(Some(message));
        }
        if let Some(message) = self.framed()? {
            return Ok(Some(message));
        }
        if may_read {
            self.fill()?;
            return self.framed();
        }
        Ok(None)
    }

    fn fill(&mut self) -> io::Result<()> {
        let mut piece = [0; 64 * 1024];
        match self.stream.read(&mut piece) {
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => {
                self.framer.push(&piece[..count]);
                Ok(())
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock) => {
                Ok(())
            }
            // A server that was killed resets the stream; to a client both are its end.
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {
                Err(io::ErrorKind::UnexpectedEof.into())
            }
            Err(error) => Err(error),
        }
    }

    /// A message out of what was read; the server's echo requests are answered and passed over.
    fn framed(&mut self) -> io::Result<Option<Message>> {
        loop {
            match self.framer.next_message() {
                None => return Ok(None),
                Some(Err(error)) => return Err(io::Error::other(error.to_string())),
                Some(Ok(Message::Request { method, params, id })) if method == "echo" => {
                    let reply = Message::reply(params.into(), id);
                    self.stream.write_all(&reply.to_bytes())?;
                }
                Some(Ok(message)) => return Ok(Some(message)),
            }
        }
    }

    fn read(&mut self) -> io::Result<Message> {
        loop {
            if let Some(message) = self.framed()? {
                return Ok(message);
            }
            self.fill()?;
        }
    }

    /// The databases of the server, sorted.
    ///
    /// # Errors
    /// The server does not say.
    pub fn databases(&mut self) -> Result<Vec<String>, Fatal> {
        let listed = checked(self.ask("list_dbs", Vec::new()))?;
        let mut names: Vec<String> = match serde_json::from_value(listed) {
            Ok(names) => names,
            Err(_) => return fail("list_dbs response is not array of strings"),
        };
        names.sort();
        Ok(names)
    }

    /// The schema of a database, as the server wrote it.
    ///
    /// # Errors
    /// The server does not have it.
    pub fn schema_json(&mut self, database: &str) -> Result<Value, Fatal> {
        checked(self.ask("get_schema", vec![database.into()]))
    }

    /// The schema of a database.
    ///
    /// # Errors
    /// The server does not have it, or sends something else.
    pub fn schema(&mut self, database: &str) -> Result<Schema, Fatal> {
        let json = self.schema_json(database)?;
        Schema::from_json(&json).map_err(|error| Fatal::new(error.to_string()))
    }
}

/// The result of a transaction with the server, or what the operator is told.
///
/// # Errors
/// The stream ended, or the server replied with an error.
pub fn checked(reply: io::Result<Reply>) -> Result<Value, Fatal> {
    match reply {
        Ok(Ok(result)) => Ok(result),
        Ok(Err(error)) => fail(format!("transaction returned error: {}", crate::json::compact(&error))),
        Err(error) => fail(format!("transaction failed ({})", reason(&error))),
    }
}

/// Servers in a list that commas separate; a comma within a path is none of them.
fn split_servers(list: &str) -> Vec<&str> {
    let (mut servers, mut start) = (Vec::new(), 0);
    for (at, _) in list.match_indices(',') {
        if crate::stream::is_name(&list[at + 1..]) {
            servers.push(&list[start..at]);
            start = at + 1;
        }
    }
    servers.push(&list[start..]);
    servers
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixStream;

    #[test]
    fn lists_of_servers_are_split_where_a_server_begins() {
        assert_eq!(split_servers("unix:/a,b,tcp:1.2.3.4:5"), ["unix:/a,b", "tcp:1.2.3.4:5"]);
    }

    #[test]
    fn echoes_are_answered_while_a_reply_is_waited_for() {
        let (here, mut there) = UnixStream::pair().unwrap();
        let mut database = Database::over(Stream::Unix(here));
        let server = std::thread::spawn(move || {
            let mut heard = [0; 200];
            let count = there.read(&mut heard).unwrap();
            assert!(std::str::from_utf8(&heard[..count]).unwrap().contains("list_dbs"));
            there
                .write_all(
                    br#"{"id":"e","method":"echo","params":[1]}{"id":null,"method":"locked","params":["x"]}"#,
                )
                .unwrap();
            let count = there.read(&mut heard).unwrap();
            let echo: Value = serde_json::from_slice(&heard[..count]).unwrap();
            assert_eq!(echo, json!({"id": "e", "result": [1], "error": null}));
            there.write_all(br#"{"id":0,"result":["b","a"],"error":null}"#).unwrap();
        });
        assert_eq!(database.databases().unwrap(), ["a", "b"]);
        assert!(
            matches!(database.receive().unwrap(), Message::Notification { method, .. } if method == "locked")
        );
        server.join().unwrap();
        assert_eq!(database.receive().unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
}
