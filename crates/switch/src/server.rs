//! Sockets of the OpenFlow agents: `BRIDGE.mgmt` and `BRIDGE.snoop` in the run directory, as Open vSwitch's clients look for
//! them, and the connections that a bridge makes to its controllers.
//!
//! One task a connection, on one thread. A peer that does not read makes its own task wait and no other: what is
//! announced meanwhile waits in a bounded queue, whose oldest entries are lost to it, and after [`STALL`] the
//! connection is given up.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use crate::bridge::{EVENTS, Event, ManagedBridge};
use crate::connection::Connection;
use crate::controllers::{Controller, Fares, Peer};
use crate::links::LinkNews;
use crate::unixctl;
use heddle_clients::fatal::reason;
use heddle_daemon::limited;
use heddle_daemon::log::RateLimit;
use heddle_daemon::stream::{Listener, Place, Stream, Target};
use heddle_daemon::unixctl::{Commands, Coverage, common};

/// Connections that a bridge serves at a time.
const MAX_CONNECTIONS: usize = 64;
/// How often flows are looked at whether their time is up.
const EXPIRE_EVERY: Duration = Duration::from_millis(250);
/// How often packets that wait for their time, and bundles that may be forgotten, are looked at.
const PACE_EVERY: Duration = Duration::from_millis(10);
/// Time to take bytes after which a peer is behind.
const SLOW: Duration = Duration::from_millis(50);
/// Least time between two looks at links.
const LOOK_AGAIN: Duration = Duration::from_millis(10);
/// Time for a call to be answered, and for bytes to be taken by a peer that does not read.
const STALL: Duration = Duration::from_secs(15);
/// Waiting time after the first call to a controller that cannot be reached; each is twice the one before.
const FIRST_BACKOFF: Duration = Duration::from_millis(50);

/// Failed calls that are logged: a few at once, and then one in ten minutes.
static LIMIT: RateLimit = RateLimit::new(1, 10);

/// How many have called, which the log names them by.
static CALLERS: AtomicU64 = AtomicU64::new(0);

/// What is served of a bridge; ends with the value.
struct Served {
    _tasks: JoinSet<()>,
    controllers: HashMap<Controller, JoinSet<()>>,
}

/// The bridges that are served, as the tasks see them.
pub type Bridges = Arc<Mutex<Vec<Arc<ManagedBridge>>>>;

/// The socket of operators, in the run directory.
pub const CONTROL_SOCKET: &str = "switch.ctl";

/// The sockets of all bridges of a switch, and what brings time to them. Lives within an async runtime.
pub struct Server {
    run_directory: PathBuf,
    served: HashMap<String, Served>,
    bridges: Bridges,
    control: Option<heddle_daemon::unixctl::Server>,
    _tasks: JoinSet<()>,
}

async fn tick(bridges: Bridges) {
    let mut ticks = tokio::time::interval(EXPIRE_EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let bridges = bridges.lock().unwrap_or_else(PoisonError::into_inner).clone();
        bridges.iter().for_each(|bridge| bridge.expire());
    }
}

/// Looks at devices when the kernel has news of links.
async fn watch_links(bridges: Bridges) {
    let news = match LinkNews::open() {
        Ok(news) => news,
        // They are looked at all the same, if less often.
        Err(error) => return log::warn!(target: "bridge", "the kernel tells nothing of links: {error}"),
    };
    while let Ok(()) = news.wait().await {
        let bridges = bridges.lock().unwrap_or_else(PoisonError::into_inner).clone();
        bridges.iter().for_each(|bridge| bridge.look_at_links());
        // Where many change at once, all of them are looked at together the next time.
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

impl Server {
    /// Serves nothing yet. To be called within the runtime.
    #[must_use]
    pub fn new(run_directory: &Path) -> Self {
        let bridges = Bridges::default();
        let mut tasks = JoinSet::new();
        tasks.spawn(tick(Arc::clone(&bridges)));
        tasks.spawn(watch_links(Arc::clone(&bridges)));
        Self {
            run_directory: run_directory.to_owned(),
            served: HashMap::new(),
            bridges,
            control: None,
            _tasks: tasks,
        }
    }

    /// The bridges that are served.
    #[must_use]
    pub fn bridges(&self) -> &Bridges {
        &self.bridges
    }

    /// Opens the socket of operators.
    ///
    /// # Errors
    /// It cannot be made, or is another's.
    pub async fn open_control(&mut self) -> io::Result<()> {
        let mut commands = Commands::default();
        // Nobody waits for such a switch to end but whoever started it.
        drop(common(&mut commands, "heddle", Coverage::default()));
        unixctl::add_to(&mut commands, &self.bridges);
        let path = self.run_directory.join(CONTROL_SOCKET);
        self.control = Some(heddle_daemon::unixctl::Server::open(&path, Arc::new(commands)).await?);
        Ok(())
    }

    /// Makes what is served that of these bridges: new ones get their socket, others lose it, and controllers are
    /// called that are configured now.
    ///
    /// # Errors
    /// A socket cannot be made; the bridges before it are served.
    pub async fn sync(&mut self, bridges: impl Iterator<Item = &Arc<ManagedBridge>>) -> io::Result<()> {
        let bridges: HashMap<&str, &Arc<ManagedBridge>> =
            bridges.map(|bridge| (bridge.bridge.name.as_str(), bridge)).collect();
        self.served.retain(|name, _| bridges.contains_key(name.as_str()));
        *self.bridges.lock().unwrap_or_else(PoisonError::into_inner) =
            bridges.values().map(|&bridge| Arc::clone(bridge)).collect();
        for (name, bridge) in bridges {
            if !self.served.contains_key(name) {
                let place = |end: &str| Place::Unix(self.run_directory.join(format!("{name}.{end}")));
                let mut tasks = JoinSet::new();
                let service = place("mgmt");
                tasks.spawn(accept(Listener::bind(&service).await?, Arc::clone(bridge), None));
                tasks.spawn(accept_snoopers(Listener::bind(&place("snoop")).await?, Arc::clone(bridge)));
                log::info!(target: "connmgr", "{name}: added service controller \"{service}\"");
                tasks.spawn(run_tree(Arc::clone(bridge)));
                self.served.insert(name.to_owned(), Served { _tasks: tasks, controllers: HashMap::new() });
            }
            let Some(served) = self.served.get_mut(name) else { continue };
            let wanted = bridge.controllers();
            served.controllers.retain(|controller, _| wanted.contains(controller));
            for controller in wanted {
                served.controllers.entry(controller.clone()).or_insert_with(|| {
                    let mut task = JoinSet::new();
                    match controller.peer.clone() {
                        Peer::Call(target) => task.spawn(call(target, controller, Arc::clone(bridge))),
                        Peer::Listen(place) => task.spawn(listen(place, controller, Arc::clone(bridge))),
                    };
                    task
                });
            }
        }
        Ok(())
    }
}

/// Gives the messages of the spanning tree to it as they come in.
async fn run_tree(bridge: Arc<ManagedBridge>) {
    loop {
        bridge.messages_came.notified().await;
        bridge.run_tree();
    }
}

/// Serves a place where controllers call.
async fn listen(place: Place, controller: Controller, bridge: Arc<ManagedBridge>) {
    match Listener::bind(&place).await {
        Ok(listener) => accept(listener, bridge, Some(controller)).await,
        Err(error) => log::error!(target: "connmgr", "failed to listen on {place}: {error}"),
    }
}

/// Talks to whoever calls: to operators, or to a controller where one is said.
async fn accept(listener: Listener, bridge: Arc<ManagedBridge>, controller: Option<Controller>) {
    let limit = Arc::new(tokio::sync::Semaphore::new(MAX_CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        let Ok(permit) = Arc::clone(&limit).acquire_owned().await else { return };
        let Ok(stream) = listener.accept().await else {
            // No descriptor is left; asking again at once would only burn time.
            tokio::time::sleep(FIRST_BACKOFF).await;
            continue;
        };
        let (bridge, controller) = (Arc::clone(&bridge), controller.clone());
        // A caller has no name that would say more.
        let kind = if listener.local_address().is_some() { "tcp" } else { "unix" };
        let peer = format!("{kind}#{}", CALLERS.fetch_add(1, Ordering::Relaxed));
        connections.spawn(async move {
            // A peer that goes away is no error of ours.
            let _ = converse(stream, peer, &bridge, controller.as_ref()).await;
            drop(permit);
        });
        while connections.try_join_next().is_some() {}
    }
}

/// Shows what is said to and by controllers to whoever calls.
async fn accept_snoopers(listener: Listener, bridge: Arc<ManagedBridge>) {
    let limit = Arc::new(tokio::sync::Semaphore::new(MAX_CONNECTIONS));
    let mut snoopers = JoinSet::new();
    loop {
        let Ok(permit) = Arc::clone(&limit).acquire_owned().await else { return };
        let Ok(stream) = listener.accept().await else {
            tokio::time::sleep(FIRST_BACKOFF).await;
            continue;
        };
        let bridge = Arc::clone(&bridge);
        snoopers.spawn(async move {
            let _ = show(stream, &bridge).await;
            drop(permit);
        });
        while snoopers.try_join_next().is_some() {}
    }
}

/// Copies what controllers say and are told, after a greeting. A snooper that is slow loses the oldest.
async fn show(mut stream: Stream, bridge: &ManagedBridge) -> io::Result<()> {
    let mut shown = bridge.snoop();
    let (_, hello) = Connection::new(false, bridge);
    send(&mut stream, &hello).await?;
    let mut heard = [0; 4096];
    loop {
        tokio::select! {
            // Its greeting, and answers to probes that were not its to answer.
            read = stream.read(&mut heard) => if read? == 0 { return Ok(()) },
            bytes = shown.recv() => match bytes {
                Ok(bytes) => send(&mut stream, &bytes).await?,
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return Ok(()),
            },
        }
    }
}

/// Keeps a connection to a controller, for as long as the task lives.
async fn call(target: Target, controller: Controller, bridge: Arc<ManagedBridge>) {
    let name = format!("{}<->{}", bridge.bridge.name, controller.name);
    let change = |change: &dyn Fn(&mut Fares)| bridge.faring.change(&controller.name, change);
    let mut backoff = FIRST_BACKOFF;
    loop {
        change(&|fares| fares.state = "CONNECTING");
        let ended = match timeout(STALL, target.connect()).await {
            Ok(Ok(stream)) => {
                log::info!(target: "rconn", "{name}: connected");
                let begun = Instant::now();
                let ended = converse(stream, controller.name.clone(), &bridge, Some(&controller)).await;
                // A peer that hangs up at once is not called again at once.
                if begun.elapsed() > controller.max_backoff {
                    backoff = FIRST_BACKOFF;
                }
                match ended {
                    Ok(()) => "Connection closed by peer".to_owned(),
                    Err(error) => reason(&error),
                }
            }
            Ok(Err(error)) => reason(&error),
            Err(_) => "Connection timed out".to_owned(),
        };
        limited!(LIMIT, Info, "rconn", "{name}: connection failed ({ended})");
        change(&|fares| (fares.state, fares.last_error) = ("BACKOFF", Some(ended.clone())));
        tokio::select! {
            () = tokio::time::sleep(backoff) => {
                backoff = (backoff * 2).min(controller.max_backoff.max(FIRST_BACKOFF));
            }
            () = bridge.reconnecting.notified() => backoff = FIRST_BACKOFF,
        }
    }
}

/// Counts a controller as connected while it lives.
struct Connected<'a>(&'a ManagedBridge, &'a Controller);

impl<'a> Connected<'a> {
    fn new(bridge: &'a ManagedBridge, controller: &'a Controller) -> Self {
        if controller.is_called() {
            bridge.controller_came();
        }
        let now = std::time::Instant::now();
        bridge.faring.change(&controller.name, |fares| {
            (fares.state, fares.connected, fares.last_error) = ("ACTIVE", Some(now), None);
            fares.paced = None;
        });
        Self(bridge, controller)
    }
}

impl Drop for Connected<'_> {
    fn drop(&mut self) {
        if self.1.is_called() {
            self.0.controller_went();
        }
        let now = std::time::Instant::now();
        self.0.faring.change(&self.1.name, |fares| {
            (fares.state, fares.connected, fares.disconnected, fares.role) =
                ("BACKOFF", None, Some(now), None);
        });
    }
}

/// Speaks OpenFlow until either end has had enough. A controller is probed when it is silent, and shown to snoopers.
async fn converse(
    mut stream: Stream,
    peer: String,
    bridge: &ManagedBridge,
    controller: Option<&Controller>,
) -> io::Result<()> {
    let called = controller.is_some_and(Controller::is_called);
    let probe = controller.and_then(|controller| controller.probe);
    let (mut connection, hello) = Connection::new(called, bridge);
    connection.name(peer, &hello);
    if let Some(controller) = controller {
        connection.configure(controller, bridge);
    }
    let queue_size = controller.map_or(EVENTS, |controller| controller.queue_size);
    // Whether the peer was slow to read what it was sent last.
    let mut behind = false;
    let mut events = bridge.events();
    let mut buffer = vec![0; 64 * 1024];
    let mut heard = Instant::now();
    let mut probed = false;
    let mut connected = None;
    let shown = |bytes: &[u8]| {
        if controller.is_some() {
            bridge.show(bytes);
        }
    };
    let reconnecting = bridge.reconnecting.notified();
    tokio::pin!(reconnecting);
    send(&mut stream, &hello).await?;
    loop {
        let wait = probe.unwrap_or(STALL);
        let silence = heard + if probed { 2 * wait } else { wait };
        tokio::select! {
            read = stream.read(&mut buffer) => {
                let count = read?;
                if count == 0 {
                    return Ok(());
                }
                (heard, probed) = (Instant::now(), false);
                shown(&buffer[..count]);
                answer(&mut stream, &mut connection, &mut events, &buffer[..count], bridge, &shown).await?;
                if connection.is_closing() {
                    return Ok(());
                }
                let Some(controller) = controller.filter(|_| connection.is_agreed()) else { continue };
                connected.get_or_insert_with(|| Connected::new(bridge, controller));
                let role = connection.role(bridge);
                bridge.faring.change(&controller.name, |fares| (fares.state, fares.role) = ("ACTIVE", Some(role)));
            }
            () = &mut reconnecting, if controller.is_some() => return Err(io::Error::other("reconnection asked for")),
            event = events.recv() => match event {
                // Who is behind loses the oldest packets.
                Ok(Event::PacketIn(_)) if behind && events.len() >= queue_size => {
                    bridge.bridge.punts_dropped.fetch_add(1, Ordering::Relaxed);
                }
                Ok(event) => {
                    behind = false;
                    if let Some(bytes) = connection.announce(&event, bridge) {
                        shown(&bytes);
                        let begun = Instant::now();
                        send(&mut stream, &bytes).await?;
                        behind = begun.elapsed() > SLOW;
                    }
                    show_pace(&connection, controller, bridge);
                }
                // A slow peer loses the oldest; memory stays bounded.
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return Ok(()),
            },
            // What was told before is on its way: a peer that reads slowly makes its own task wait.
            () = std::future::ready(()), if connection.has_updates(bridge) => {
                let told = connection.updates(bridge);
                shown(&told);
                send(&mut stream, &told).await?;
                if connection.is_closing() {
                    return Err(io::Error::other("the peer reads too slowly what it asked to be told of flows"));
                }
            }
            () = tokio::time::sleep(PACE_EVERY), if connection.awaits_time() => {
                let told = connection.tick(bridge);
                show_pace(&connection, controller, bridge);
                shown(&told);
                send(&mut stream, &told).await?;
            }
            () = tokio::time::sleep_until(silence), if probe.is_some() => {
                if probed {
                    return Err(io::ErrorKind::TimedOut.into());
                }
                probed = true;
                controller.inspect(|controller| show_idle(controller, wait, bridge));
                let echo = connection.probe();
                shown(&echo);
                send(&mut stream, &echo).await?;
            }
        }
    }
}

/// Answers what the peer has said.
async fn answer(
    stream: &mut Stream,
    connection: &mut Connection,
    events: &mut Receiver<Event>,
    bytes: &[u8],
    bridge: &ManagedBridge,
    shown: &(impl Fn(&[u8]) + Sync),
) -> io::Result<()> {
    let mut answer = connection.receive(bytes, bridge);
    loop {
        // What happened before an answer is told before it: a barrier's says that all has been told.
        let mut told = news(connection, events, bridge);
        told.append(&mut answer);
        shown(&told);
        send(stream, &told).await?;
        if !connection.has_more() {
            return Ok(());
        }
        // Others have their turn.
        tokio::task::yield_now().await;
        answer = connection.receive(&[], bridge);
    }
}

/// Shows that a controller is silent, and asked whether it is there.
fn show_idle(controller: &Controller, wait: Duration, bridge: &ManagedBridge) {
    bridge.faring.change(&controller.name, |fares| fares.state = "IDLE");
    let (name, seconds) = (&bridge.bridge.name, wait.as_secs());
    log::debug!(target: "rconn", "{name}<->{}: idle {seconds} seconds, sending inactivity probe", controller.name);
}

/// Shows what the bound on packets for a controller did.
fn show_pace(connection: &Connection, controller: Option<&Controller>, bridge: &ManagedBridge) {
    if let (Some(controller), paced @ Some(_)) = (controller, connection.paced()) {
        bridge.faring.change(&controller.name, |fares| fares.paced = paced);
    }
}

/// What the peer is told of events that wait.
fn news(connection: &mut Connection, events: &mut Receiver<Event>, bridge: &ManagedBridge) -> Vec<u8> {
    let mut told = Vec::new();
    for _ in 0..EVENTS {
        match events.try_recv() {
            Ok(event) => told.extend(connection.announce(&event, bridge).unwrap_or_default()),
            Err(TryRecvError::Lagged(_)) => {}
            Err(_) => break,
        }
    }
    told
}

/// Sends, and gives a peer up that does not read.
async fn send(stream: &mut Stream, bytes: &[u8]) -> io::Result<()> {
    match timeout(STALL, stream.write_all(bytes)).await {
        Ok(sent) => sent,
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    }
}
