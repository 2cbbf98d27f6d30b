//! Asking a daemon, and being asked: JSON-RPC 1.0 over a Unix socket, as `ovs-appctl` speaks it.

use std::io::{self, BufReader, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde_json::{Value, json};

use crate::fatal::Fatal;
use crate::{background, place};

/// Largest answer that is read, 1 GiB: a dump of a million flows has about 200 MB.
const MAX_ANSWER: u64 = 1 << 30;

/// A connection to a daemon.
pub struct Connection {
    stream: UnixStream,
    requests: u64,
}

/// What a daemon answered.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// It did what it was asked; text, or another JSON value where that was asked for.
    Result(Value),
    /// It did not.
    Error(String),
}

impl Connection {
    /// Calls the daemon behind a socket.
    ///
    /// # Errors
    /// Nobody answers there.
    pub fn open(socket: &Path) -> io::Result<Self> {
        Ok(Self { stream: UnixStream::connect(socket)?, requests: 0 })
    }

    /// Runs a command.
    ///
    /// # Errors
    /// The stream ended, or what came is no answer.
    pub fn ask(&mut self, command: &str, words: &[String]) -> io::Result<Answer> {
        let request = json!({ "id": self.requests, "method": command, "params": words });
        self.requests += 1;
        self.stream.write_all(request.to_string().as_bytes())?;
        let reader = BufReader::new(Read::take(&self.stream, MAX_ANSWER));
        let mut answers = serde_json::Deserializer::from_reader(reader).into_iter::<Value>();
        let Some(answer) = answers.next() else { return Err(io::ErrorKind::UnexpectedEof.into()) };
        let mut answer = answer?;
        match answer.get_mut("error").map(Value::take) {
            None | Some(Value::Null) => Ok(Answer::Result(answer["result"].take())),
            Some(Value::String(text)) => Ok(Answer::Error(text)),
            Some(other) => Ok(Answer::Error(other.to_string())),
        }
    }
}

/// Most clients at a time: operators and scripts, one command each.
const MAX_CLIENTS: usize = 64;
/// Longest request, 1 MiB: a packet of 64 KiB in hexadecimal, and more.
const MAX_REQUEST: usize = 1 << 20;

/// A command of a program that can be asked.
pub struct Command {
    /// Its name.
    pub name: &'static str,
    /// How its words are written in `list-commands`.
    pub usage: &'static str,
    /// Least and most words.
    pub words: (usize, usize),
}

/// A command that somebody asked for; [`Server::reply`] answers it.
#[derive(Clone, Debug)]
pub struct Request {
    client: u64,
    id: Value,
    /// The command.
    pub command: String,
    /// Its words.
    pub words: Vec<String>,
}

struct Client {
    number: u64,
    stream: UnixStream,
    held: Vec<u8>,
    ended: bool,
}

/// The socket by which a program is asked. It never waits: who owns it polls the descriptors.
pub struct Server {
    listener: UnixListener,
    commands: &'static [Command],
    clients: Vec<Client>,
    numbered: u64,
}

impl Server {
    /// Opens `PROGRAM.PID.ctl` in the directory of sockets, or another path.
    ///
    /// # Errors
    /// The socket cannot be made.
    pub fn open(path: Option<&str>, commands: &'static [Command]) -> Result<Self, Fatal> {
        let name = format!("{}.{}.ctl", crate::log::program(), std::process::id());
        let path = place::run_directory().join(path.unwrap_or(&name));
        let _ = std::fs::remove_file(&path);
        let refused =
            |error| Fatal::system(format!("could not initialize control socket {}", path.display()), &error);
        let listener = UnixListener::bind(&path).map_err(refused)?;
        listener.set_nonblocking(true)?;
        background::remove_at_end(path);
        Ok(Self { listener, commands, clients: Vec::new(), numbered: 0 })
    }

    /// What to poll for reading.
    pub fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        std::iter::once(self.listener.as_fd()).chain(self.clients.iter().map(|client| client.stream.as_fd()))
    }

    /// Takes what has come. Requests that are mistaken, and those for a list of commands, are answered here.
    pub fn take(&mut self) -> Vec<Request> {
        while self.clients.len() < MAX_CLIENTS {
            let Ok((stream, _)) = self.listener.accept() else { break };
            if stream.set_nonblocking(true).is_ok() {
                self.numbered += 1;
                self.clients.push(Client { number: self.numbered, stream, held: Vec::new(), ended: false });
            }
        }
        let requests: Vec<Request> = self.clients.iter_mut().flat_map(Client::take).collect();
        let (known, refused): (Vec<_>, Vec<_>) = requests
            .into_iter()
            .map(|request| match self.check(&request) {
                Ok(None) => (request, None),
                Ok(Some(text)) => (request, Some(Ok(text))),
                Err(text) => (request, Some(Err(text))),
            })
            .partition(|(_, answer)| answer.is_none());
        for (request, answer) in refused {
            if let Some(answer) = answer {
                self.reply(&request, answer);
            }
        }
        self.clients.retain(|client| !client.ended);
        known.into_iter().map(|(request, _)| request).collect()
    }

    fn check(&self, request: &Request) -> Result<Option<String>, String> {
        let name = &request.command;
        if name == "list-commands" {
            let line = |command: &Command| format!("  {:<23} {}\n", command.name, command.usage);
            return Ok(Some(format!(
                "The available commands are:\n{}",
                self.commands.iter().map(line).collect::<String>()
            )));
        }
        let Some(command) = self.commands.iter().find(|command| command.name == name) else {
            return Err(format!(
                "\"{name}\" is not a valid command (use \"list-commands\" to see a list of valid commands)\n"
            ));
        };
        let (least, most) = command.words;
        match request.words.len() {
            count if count < least => {
                Err(format!("\"{name}\" command requires at least {least} arguments\n"))
            }
            count if count > most => Err(format!("\"{name}\" command takes at most {most} arguments\n")),
            _ => Ok(None),
        }
    }

    /// Answers a request; one whose sender has gone needs no answer.
    pub fn reply(&mut self, request: &Request, answer: Result<String, String>) {
        let Some(client) = self.clients.iter_mut().find(|client| client.number == request.client) else {
            return;
        };
        let (result, error) = match answer {
            Ok(text) => (Value::from(text), Value::Null),
            Err(text) => (Value::Null, Value::from(text)),
        };
        let reply = json!({ "id": request.id, "result": result, "error": error }).to_string();
        // An answer is short, and a client that does not read it is given up.
        if client.stream.write_all(reply.as_bytes()).is_err() {
            client.ended = true;
        }
    }
}

impl Client {
    fn take(&mut self) -> Vec<Request> {
        let mut piece = [0; 16 * 1024];
        loop {
            match self.stream.read(&mut piece) {
                Ok(0) => self.ended = true,
                Ok(count) if self.held.len() + count <= MAX_REQUEST => {
                    self.held.extend_from_slice(&piece[..count]);
                    continue;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                _ => self.ended = true,
            }
            break;
        }
        let mut found = Vec::new();
        let mut values = serde_json::Deserializer::from_slice(&self.held).into_iter::<Value>();
        let mut used = 0;
        while let Some(Ok(value)) = values.next() {
            used = values.byte_offset();
            let words = value["params"].as_array().into_iter().flatten();
            let words = words.filter_map(|word| word.as_str().map(str::to_owned)).collect();
            let Some(command) = value["method"].as_str() else {
                self.ended = true;
                break;
            };
            found.push(Request {
                client: self.number,
                id: value["id"].clone(),
                command: command.to_owned(),
                words,
            });
        }
        self.held.drain(..used);
        found
    }
}

/// Waits until one of these can be read, or until the time is over; which of them can be.
///
/// # Errors
/// The system refuses.
pub fn wait(descriptors: &[BorrowedFd<'_>], limit: Option<std::time::Duration>) -> io::Result<Vec<bool>> {
    let mut polled: Vec<PollFd<'_>> =
        descriptors.iter().map(|fd| PollFd::new(*fd, PollFlags::POLLIN)).collect();
    let limit =
        limit.map_or(PollTimeout::NONE, |limit| PollTimeout::try_from(limit).unwrap_or(PollTimeout::MAX));
    match poll(&mut polled, limit) {
        Ok(_) | Err(nix::errno::Errno::EINTR) => {
            Ok(polled.iter().map(|fd| fd.any().unwrap_or(false)).collect())
        }
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMANDS: &[Command] = &[Command { name: "say", usage: "word", words: (1, 1) }];

    #[test]
    fn a_program_answers_who_asks() {
        let path = std::env::temp_dir().join(format!("heddle-unixctl-{}", std::process::id()));
        let mut server = Server::open(path.to_str(), COMMANDS).unwrap();
        let asker = std::thread::spawn(move || {
            let mut connection = Connection::open(&path).unwrap();
            let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
            let said = connection.ask("say", &words(&["x"])).unwrap();
            let listed = connection.ask("list-commands", &[]).unwrap();
            let less = connection.ask("say", &[]).unwrap();
            let unknown = connection.ask("cry", &[]).unwrap();
            (said, listed, less, unknown)
        });
        while !asker.is_finished() {
            wait(&server.descriptors().collect::<Vec<_>>(), Some(std::time::Duration::from_millis(5)))
                .unwrap();
            for request in server.take() {
                let text = format!("{}!", request.words[0]);
                server.reply(&request, Ok(text));
            }
        }
        let (said, listed, less, unknown) = asker.join().unwrap();
        assert_eq!(said, Answer::Result("x!".into()));
        assert_eq!(
            listed,
            Answer::Result("The available commands are:\n  say                     word\n".into())
        );
        assert_eq!(less, Answer::Error("\"say\" command requires at least 1 arguments\n".into()));
        assert!(matches!(unknown, Answer::Error(text) if text.contains("not a valid command")));
    }
}
