//! Commands of operators, by the protocol of `ovs-appctl`: JSON-RPC over a Unix socket, a command's words in, text out.
//!
//! What a command does is a row of a table of [`Command`]s over some state; listing, arity and help follow from it.
//! A command answers at once, or [later](Answer::Later): its client waits, and nobody else does.

mod common;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::future::Future;
use std::io;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;
use tokio::time::timeout;

pub use self::common::{Coverage, Exit, common};
use crate::stream::{Listener, Place, Stream};

/// Most bytes of a request: a packet in hexadecimal is the longest word there is.
const MAX_REQUEST: usize = 1 << 20;
/// Clients at a time; others wait.
const MAX_CLIENTS: usize = 64;
/// Time for a client to take its answer.
const STALL: Duration = Duration::from_secs(15);
/// How long a server that ends waits for answers to be written.
const FAREWELL: Duration = Duration::from_millis(500);

/// A request as it comes.
#[derive(Debug, Deserialize)]
pub struct Request {
    id: serde_json::Value,
    method: String,
    #[serde(default)]
    params: Vec<String>,
}

#[derive(Serialize)]
struct Reply {
    id: serde_json::Value,
    result: Option<String>,
    error: Option<String>,
}

/// Text, or what was wrong.
pub type Outcome = Result<String, String>;

/// An answer that comes later.
pub type Pending = Pin<Box<dyn Future<Output = Outcome> + Send>>;

/// What a command answers.
pub enum Answer {
    /// It is here.
    Now(Outcome),
    /// It comes when the future is done.
    Later(Pending),
}

impl From<Outcome> for Answer {
    fn from(outcome: Outcome) -> Self {
        Self::Now(outcome)
    }
}

impl Answer {
    /// An answer that comes later.
    pub fn later(future: impl Future<Output = Outcome> + Send + 'static) -> Self {
        Self::Later(Box::pin(future))
    }
}

/// What a command does: the state and the words go in.
pub enum Run<S> {
    /// Answers at once.
    Now(fn(&S, &[String]) -> Outcome),
    /// May answer later.
    Later(fn(&S, Vec<String>) -> Answer),
}

/// A command: its words, how many there may be, and what it does.
pub struct Command<S> {
    /// Its name.
    pub name: &'static str,
    /// Its words, for the list.
    pub usage: &'static str,
    /// How many words it takes.
    pub words: RangeInclusive<usize>,
    /// What it does.
    pub run: Run<S>,
}

type Handler = Box<dyn Fn(Vec<String>) -> Answer + Send + Sync>;

struct Known {
    usage: Option<&'static str>,
    words: RangeInclusive<usize>,
    handler: Handler,
}

/// The commands of a daemon.
#[derive(Default)]
pub struct Commands(BTreeMap<&'static str, Known>);

impl Commands {
    /// Adds a table of commands over a state. Of two commands of one name the later stands.
    pub fn add_table<S: Send + Sync + 'static>(&mut self, state: &Arc<S>, table: &'static [Command<S>]) {
        for command in table {
            let state = Arc::clone(state);
            let run = move |words: Vec<String>| match &command.run {
                Run::Now(run) => Answer::Now(run(&state, &words)),
                Run::Later(run) => run(&state, words),
            };
            self.add(command.name, command.usage, command.words.clone(), run);
        }
    }

    /// Adds one command.
    pub fn add<A: Into<Answer>>(
        &mut self,
        name: &'static str,
        usage: &'static str,
        words: RangeInclusive<usize>,
        run: impl Fn(Vec<String>) -> A + Send + Sync + 'static,
    ) {
        let handler: Handler = Box::new(move |words| run(words).into());
        self.0.insert(name, Known { usage: Some(usage), words, handler });
    }

    /// The list of commands, as operators see it.
    #[must_use]
    pub fn list(&self) -> String {
        let mut text = String::from("The available commands are:\n");
        for (name, known) in &self.0 {
            if let Some(usage) = known.usage {
                let _ = writeln!(text, "  {name:<23} {usage}");
            }
        }
        text
    }

    /// The command of a request, if it has as many words as that takes.
    pub(crate) fn find(&self, request: &Request) -> Result<&impl Fn(Vec<String>) -> Answer, String> {
        let name = &request.method;
        let Some(known) = self.0.get(name.as_str()) else {
            return Err(format!(
                "\"{name}\" is not a valid command (use \"list-commands\" to see a list of valid commands)"
            ));
        };
        let (least, most) = (*known.words.start(), *known.words.end());
        if request.params.len() < least {
            return Err(format!("\"{name}\" command requires at least {least} arguments"));
        }
        if request.params.len() > most {
            return Err(format!("\"{name}\" command takes at most {most} arguments"));
        }
        Ok(&known.handler)
    }

    /// Runs a command.
    fn run(&self, request: &Request) -> Answer {
        match request.method.as_str() {
            "list-commands" | "help" if request.params.is_empty() => Answer::Now(Ok(self.list())),
            _ => {
                let words = request.params.clone();
                self.find(request).map_or_else(|error| Answer::Now(Err(error)), |handler| handler(words))
            }
        }
    }
}

/// The whole requests at the beginning of `held`, and how many bytes they take.
pub(crate) fn take_requests(held: &[u8]) -> io::Result<(Vec<Request>, usize)> {
    let mut stream = serde_json::Deserializer::from_slice(held).into_iter::<Request>();
    let (mut requests, mut used) = (Vec::new(), 0);
    while let Some(request) = stream.next() {
        match request {
            Ok(request) => {
                requests.push(request);
                used = stream.byte_offset();
            }
            Err(error) if error.is_eof() => break,
            Err(error) => return Err(error.into()),
        }
    }
    Ok((requests, used))
}

/// A served socket; the socket goes with the value.
pub struct Server {
    path: PathBuf,
    answering: Arc<Mutex<usize>>,
    _tasks: JoinSet<()>,
}

impl Server {
    /// Serves commands at a socket. To be called within an async runtime.
    ///
    /// # Errors
    /// The socket cannot be made, or is another's.
    pub async fn open(path: &Path, commands: Arc<Commands>) -> io::Result<Self> {
        let listener = Listener::bind(&Place::Unix(path.to_owned())).await?;
        let answering = Arc::default();
        let mut tasks = JoinSet::new();
        tasks.spawn(serve(listener, commands, Arc::clone(&answering)));
        Ok(Self { path: path.to_owned(), answering, _tasks: tasks })
    }

    /// The socket's name.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Lets the answers that are being written reach their clients, for a bounded time, and ends.
    pub async fn close(self) {
        let begun = tokio::time::Instant::now();
        let busy = || *self.answering.lock().unwrap_or_else(PoisonError::into_inner) != 0;
        while busy() && begun.elapsed() < FAREWELL {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

/// Counts an answer that is being written.
struct Answering<'a>(&'a Mutex<usize>);

impl<'a> Answering<'a> {
    fn new(count: &'a Mutex<usize>) -> Self {
        *count.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        Self(count)
    }
}

impl Drop for Answering<'_> {
    fn drop(&mut self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
    }
}

async fn serve(listener: Listener, commands: Arc<Commands>, answering: Arc<Mutex<usize>>) {
    let limit = Arc::new(tokio::sync::Semaphore::new(MAX_CLIENTS));
    let mut clients = JoinSet::new();
    loop {
        let Ok(permit) = Arc::clone(&limit).acquire_owned().await else { return };
        let Ok(stream) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let (commands, answering) = (Arc::clone(&commands), Arc::clone(&answering));
        clients.spawn(async move {
            if let Err(error) = converse(stream, &commands, &answering).await {
                log::debug!(target: "unixctl", "a client was given up: {error}");
            }
            drop(permit);
        });
        while clients.try_join_next().is_some() {}
    }
}

async fn converse(mut stream: Stream, commands: &Commands, answering: &Mutex<usize>) -> io::Result<()> {
    let mut held = Vec::new();
    let mut piece = vec![0; 16 * 1024];
    loop {
        let count = stream.read(&mut piece).await?;
        if count == 0 {
            return Ok(());
        }
        held.extend_from_slice(&piece[..count]);
        let (requests, used) = take_requests(&held)?;
        held.drain(..used);
        if held.len() > MAX_REQUEST {
            return Err(io::ErrorKind::InvalidData.into());
        }
        for request in requests {
            let _answering = Answering::new(answering);
            answer(request, commands, &mut stream).await?;
        }
    }
}

async fn answer(request: Request, commands: &Commands, stream: &mut Stream) -> io::Result<()> {
    let id = request.id.clone();
    log::debug!(target: "unixctl", "received request {}{:?}", request.method, request.params);
    let outcome = match commands.run(&request) {
        Answer::Now(outcome) => outcome,
        Answer::Later(future) => future.await,
    };
    // What a command logged is in the file before its client goes on.
    crate::log::flush();
    // As Open vSwitch, a text ends its line.
    let ended = |text: String| if text.is_empty() || text.ends_with('\n') { text } else { text + "\n" };
    let (result, error) = match outcome {
        Ok(text) => (Some(ended(text)), None),
        Err(text) => (None, Some(ended(text))),
    };
    let bytes = serde_json::to_vec(&Reply { id, result, error })?;
    let sent = timeout(STALL, stream.write_all(&bytes)).await;
    sent.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

#[cfg(test)]
mod tests;
