//! `heddle controller`: the sockets around the controller core. One task decides; each connection has a task that
//! reads and one that writes. A switch that does not read is disconnected once [`MAX_UNSENT`] bytes wait for it.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use heddle_controller::apps::{Config, chain};
use heddle_controller::{Answer, App, AskError, AskId, ConnectionId, Controller, Output, Question, Switch};
use heddle_daemon::stream::{Listener, Place, Stream};
use heddle_openflow::Version;
use serde_json::{Map, Value};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{mpsc, oneshot};

mod ofctl_rest;
mod rest;
mod web;

/// Bytes that may wait for a switch.
const MAX_UNSENT: usize = 4 << 20;
/// Pieces read from switches that may wait for the controller: readers then wait, and so do the switches.
const MAX_UNREAD: usize = 256;
const PIECE: usize = 32 * 1024;
/// Longest wait between two looks at silent switches.
const TICK: Duration = Duration::from_secs(1);

enum Heard {
    Came(Stream),
    Bytes(ConnectionId, Vec<u8>),
    Gone(ConnectionId),
    /// Somebody wants to know what the apps know.
    States(oneshot::Sender<Map<String, Value>>),
    /// Somebody wants to know which switches are connected.
    Switches(oneshot::Sender<Vec<Switch>>),
    /// Somebody asks a switch.
    Asked {
        datapath_id: u64,
        question: Question,
        reply: oneshot::Sender<Result<Answer, AskError>>,
    },
}

/// Where the controller is asked by HTTP.
#[derive(Clone, Copy, Debug, Default)]
pub struct Web {
    /// Where the apps' state is told.
    pub rest: Option<SocketAddr>,
    /// Where switches are asked and changed.
    pub ofctl_rest: Option<SocketAddr>,
}

/// The writing side of a connection. Dropping it closes the connection once all is written.
struct Writer {
    queue: mpsc::UnboundedSender<Vec<u8>>,
    unsent: Arc<AtomicUsize>,
    reader: tokio::task::AbortHandle,
}

struct Serving {
    controller: Controller,
    writers: HashMap<ConnectionId, Writer>,
    /// Who waits for answers of switches.
    asked: HashMap<AskId, oneshot::Sender<Result<Answer, AskError>>>,
    heard: mpsc::Sender<Heard>,
    begun: Instant,
}

/// The apps that a file names, in its order. Where there is none, a learning switch; none at all where switches are
/// programmed by HTTP, because what a program adds there is then all that there is.
pub fn apps(file: Option<&Path>, web: &Web) -> Result<Vec<Box<dyn App>>> {
    let Some(path) = file else {
        return Ok(if web.ofctl_rest.is_some() { Vec::new() } else { chain(&[Config::Learning])? });
    };
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let configs: Vec<Config> = serde_saphyr::from_str(&text).with_context(|| path.display().to_string())?;
    chain(&configs).with_context(|| path.display().to_string())
}

/// Listens at `places` for switches, and where `web` says for those who ask, until `stop` is done.
pub async fn run(
    places: &[Place],
    apps: Vec<Box<dyn App>>,
    web: Web,
    stop: impl Future<Output = ()>,
) -> Result<()> {
    let (heard, mut inbox) = mpsc::channel(MAX_UNREAD);
    let mut listeners = tokio::task::JoinSet::new();
    for place in places {
        let listener = Listener::bind(place).await?;
        match listener.local_address() {
            Some(address) => eprintln!("listening at ptcp:{}:{}", address.port(), address.ip()),
            None => eprintln!("listening at {place}"),
        }
        listeners.spawn(accept(listener, heard.clone()));
    }
    listen(web, &heard)?;
    // Apps program switches by OpenFlow 1.3; who programs them by HTTP is told which version they speak.
    let versions: &[Version] =
        if apps.is_empty() { &[Version::V1_0, Version::V1_3] } else { &[Version::V1_3] };
    let mut serving = Serving {
        controller: Controller::new(apps).with_versions(versions),
        writers: HashMap::new(),
        asked: HashMap::new(),
        heard,
        begun: Instant::now(),
    };
    tokio::pin!(stop);
    loop {
        let wait = serving.until_deadline();
        tokio::select! {
            () = &mut stop => return Ok(()),
            Some(heard) = inbox.recv() => serving.heard(heard),
            () = tokio::time::sleep(wait) => {
                let now_ms = serving.now_ms();
                let output = serving.controller.tick(now_ms);
                serving.apply(output);
            }
        }
    }
}

/// Listens for those who ask by HTTP; both interfaces may have one address. They have a thread of their own: however much
/// they ask, switches are not kept waiting.
fn listen(web: Web, heard: &mpsc::Sender<Heard>) -> Result<()> {
    let mut routes: Vec<(SocketAddr, axum::Router)> = Vec::new();
    for (address, router) in
        [(web.rest, rest::routes(heard.clone())), (web.ofctl_rest, ofctl_rest::routes(heard.clone()))]
    {
        let Some(address) = address else { continue };
        match routes.iter_mut().find(|(known, _)| *known == address && address.port() != 0) {
            Some((_, known)) => *known = std::mem::take(known).merge(router),
            None => routes.push((address, router)),
        }
    }
    let mut listeners = Vec::new();
    for (address, router) in routes {
        let listener = std::net::TcpListener::bind(address).with_context(|| address.to_string())?;
        listener.set_nonblocking(true)?;
        let local = listener.local_addr()?;
        if web.rest == Some(address) {
            eprintln!("apps' state at http://{local}/apps");
        }
        if web.ofctl_rest == Some(address) {
            eprintln!("switches at http://{local}/stats/switches");
        }
        listeners.push((listener, router));
    }
    if !listeners.is_empty() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        std::thread::Builder::new()
            .name("web".into())
            .spawn(move || runtime.block_on(web::serve(listeners)))?;
    }
    Ok(())
}

async fn accept(listener: Listener, heard: mpsc::Sender<Heard>) {
    loop {
        match listener.accept().await {
            Ok(stream) => {
                if heard.send(Heard::Came(stream)).await.is_err() {
                    return;
                }
            }
            // No descriptor is left; asking again at once would only burn time.
            Err(error) => {
                eprintln!("a connection cannot be accepted: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

impl Serving {
    fn now_ms(&self) -> u64 {
        self.begun.elapsed().as_millis() as u64
    }

    fn until_deadline(&self) -> Duration {
        let wait = |deadline: u64| Duration::from_millis(deadline.saturating_sub(self.now_ms()));
        self.controller.deadline().map_or(TICK, wait).min(TICK)
    }

    fn heard(&mut self, heard: Heard) {
        let now_ms = self.now_ms();
        match heard {
            Heard::Came(stream) => {
                let Some((id, output)) = self.controller.accept(now_ms) else {
                    return eprintln!("too many connections; one was closed");
                };
                self.writers.insert(id, connection(id, stream, self.heard.clone()));
                self.apply(output);
            }
            Heard::Bytes(id, bytes) => {
                let output = self.controller.receive(id, &bytes, now_ms);
                self.apply(output);
            }
            Heard::Gone(id) => self.gone(id),
            Heard::States(reply) => {
                let states = self.controller.states(now_ms).map(|(name, state)| (name.to_owned(), state));
                // Who asked may have gone.
                let _ = reply.send(states.collect());
            }
            Heard::Switches(reply) => {
                let _ = reply.send(self.controller.switches().collect());
            }
            Heard::Asked { datapath_id, question, reply } => {
                match self.controller.ask(datapath_id, question, now_ms) {
                    Ok((id, output)) => {
                        self.asked.insert(id, reply);
                        self.apply(output);
                    }
                    Err(error) => {
                        let _ = reply.send(Err(error));
                    }
                }
            }
        }
    }

    fn gone(&mut self, id: ConnectionId) {
        self.controller.disconnected(id);
        if let Some(writer) = self.writers.remove(&id) {
            writer.reader.abort();
        }
    }

    fn apply(&mut self, output: Output) {
        for event in output.events {
            eprintln!("{event}");
        }
        for (id, answer) in output.answers {
            if let Some(reply) = self.asked.remove(&id) {
                let _ = reply.send(answer);
            }
        }
        for (id, bytes) in output.sends {
            let Some(writer) = self.writers.get(&id) else { continue };
            if writer.unsent.fetch_add(bytes.len(), Ordering::Relaxed) > MAX_UNSENT {
                eprintln!("connection {}: closed: the switch does not read", id.0);
                self.gone(id);
            } else {
                let _ = writer.queue.send(bytes);
            }
        }
        for id in output.closes {
            if let Some(writer) = self.writers.remove(&id) {
                writer.reader.abort();
            }
        }
    }
}

fn connection(id: ConnectionId, stream: Stream, heard: mpsc::Sender<Heard>) -> Writer {
    let (mut from, mut to) = tokio::io::split(stream);
    let (queue, mut queued) = mpsc::unbounded_channel::<Vec<u8>>();
    let unsent = Arc::new(AtomicUsize::new(0));
    let sent = Arc::clone(&unsent);
    tokio::spawn(async move {
        while let Some(bytes) = queued.recv().await {
            if to.write_all(&bytes).await.is_err() {
                return;
            }
            sent.fetch_sub(bytes.len(), Ordering::Relaxed);
        }
        let _ = to.shutdown().await;
    });
    let reader = tokio::spawn(async move {
        let mut buffer = vec![0; PIECE];
        while let Ok(count @ 1..) = from.read(&mut buffer).await {
            if heard.send(Heard::Bytes(id, buffer[..count].to_vec())).await.is_err() {
                return;
            }
        }
        let _ = heard.send(Heard::Gone(id)).await;
    });
    Writer { queue, unsent, reader: reader.abort_handle() }
}
