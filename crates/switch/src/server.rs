//! Sockets of the OpenFlow agents: `BRIDGE.mgmt` in the run directory, as Open vSwitch's clients look for it, and the
//! connections that a bridge makes to its controllers.
//!
//! One task a connection, on one thread. A peer that does not read makes its own task wait and no other: what is
//! announced meanwhile waits in a bounded queue, whose oldest entries are lost to it, and after [`STALL`] the
//! connection is given up.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::broadcast::error::RecvError;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use heddle_openflow::Body;

use crate::bridge::ManagedBridge;
use crate::connection::Connection;
use crate::unixctl;
use heddle_daemon::stream::{Listener, Place, Stream, Target};
use heddle_daemon::unixctl::{Commands, Coverage, common};

/// Connections that a bridge serves at a time.
const MAX_CONNECTIONS: usize = 64;
/// How often flows are looked at whether their time is up.
const EXPIRE_EVERY: Duration = Duration::from_millis(250);
/// Silence after which a controller is asked whether it is there, and as long again until it is given up.
const PROBE: Duration = Duration::from_secs(5);
/// Time for a call to be answered, and for bytes to be taken by a peer that does not read.
const STALL: Duration = Duration::from_secs(15);
/// Waiting times between calls to a controller that cannot be reached; each is twice the one before.
const FIRST_BACKOFF: Duration = Duration::from_millis(50);
const MAX_BACKOFF: Duration = Duration::from_secs(8);

/// What is served of a bridge; ends with the value.
struct Served {
    _tasks: JoinSet<()>,
    calls: HashMap<Target, JoinSet<()>>,
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

impl Server {
    /// Serves nothing yet. To be called within the runtime.
    #[must_use]
    pub fn new(run_directory: &Path) -> Self {
        let bridges = Bridges::default();
        let mut tasks = JoinSet::new();
        tasks.spawn(tick(Arc::clone(&bridges)));
        Self {
            run_directory: run_directory.to_owned(),
            served: HashMap::new(),
            bridges,
            control: None,
            _tasks: tasks,
        }
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
                let place = Place::Unix(self.run_directory.join(format!("{name}.mgmt")));
                let listener = Listener::bind(&place).await?;
                let mut tasks = JoinSet::new();
                tasks.spawn(accept(listener, Arc::clone(bridge)));
                self.served.insert(name.to_owned(), Served { _tasks: tasks, calls: HashMap::new() });
            }
            let Some(served) = self.served.get_mut(name) else { continue };
            let wanted = bridge.controllers();
            served.calls.retain(|target, _| wanted.contains(target));
            for target in wanted {
                served.calls.entry(target.clone()).or_insert_with(|| {
                    let mut task = JoinSet::new();
                    task.spawn(call(target, Arc::clone(bridge)));
                    task
                });
            }
        }
        Ok(())
    }
}

async fn accept(listener: Listener, bridge: Arc<ManagedBridge>) {
    let limit = Arc::new(tokio::sync::Semaphore::new(MAX_CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        let Ok(permit) = Arc::clone(&limit).acquire_owned().await else { return };
        let Ok(stream) = listener.accept().await else {
            // No descriptor is left; asking again at once would only burn time.
            tokio::time::sleep(FIRST_BACKOFF).await;
            continue;
        };
        let bridge = Arc::clone(&bridge);
        connections.spawn(async move {
            // A peer that goes away is no error of ours.
            let _ = converse(stream, &bridge, false).await;
            drop(permit);
        });
        while connections.try_join_next().is_some() {}
    }
}

/// Keeps a connection to a controller, for as long as the task lives.
async fn call(target: Target, bridge: Arc<ManagedBridge>) {
    let mut backoff = FIRST_BACKOFF;
    loop {
        if let Ok(Ok(stream)) = timeout(STALL, target.connect()).await {
            let begun = Instant::now();
            let _ = converse(stream, &bridge, true).await;
            // A peer that hangs up at once is not called again at once.
            if begun.elapsed() > MAX_BACKOFF {
                backoff = FIRST_BACKOFF;
            }
        }
        tokio::time::sleep(backoff).await;
        backoff = (backoff * 2).min(MAX_BACKOFF);
    }
}

/// Counts a controller as connected while it lives.
struct Connected<'a>(&'a ManagedBridge);

impl<'a> Connected<'a> {
    fn new(bridge: &'a ManagedBridge) -> Self {
        bridge.controller_came();
        Self(bridge)
    }
}

impl Drop for Connected<'_> {
    fn drop(&mut self) {
        self.0.controller_went();
    }
}

/// Speaks OpenFlow until either end has had enough. A controller is probed when it is silent.
async fn converse(mut stream: Stream, bridge: &ManagedBridge, controller: bool) -> io::Result<()> {
    let (mut connection, hello) = Connection::new(controller, bridge);
    let mut events = bridge.events();
    let mut buffer = vec![0; 64 * 1024];
    let mut heard = Instant::now();
    let mut probed = false;
    let mut connected = None;
    send(&mut stream, &hello).await?;
    loop {
        let silence = heard + if probed { 2 * PROBE } else { PROBE };
        tokio::select! {
            read = stream.read(&mut buffer) => {
                let count = read?;
                if count == 0 {
                    return Ok(());
                }
                (heard, probed) = (Instant::now(), false);
                let answer = connection.receive(&buffer[..count], bridge);
                send(&mut stream, &answer).await?;
                if connection.is_closing() {
                    return Ok(());
                }
                if controller && connected.is_none() && connection.is_agreed() {
                    connected = Some(Connected::new(bridge));
                }
            }
            event = events.recv() => match event {
                Ok(event) => {
                    if let Some(bytes) = connection.announce(&event, bridge) {
                        send(&mut stream, &bytes).await?;
                    }
                }
                // A slow peer loses the oldest; memory stays bounded.
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return Ok(()),
            },
            () = tokio::time::sleep_until(silence), if controller => {
                if probed {
                    return Err(io::ErrorKind::TimedOut.into());
                }
                probed = true;
                send(&mut stream, &connection.write(Body::EchoRequest(Vec::new()))).await?;
            }
        }
    }
}

/// Sends, and gives a peer up that does not read.
async fn send(stream: &mut Stream, bytes: &[u8]) -> io::Result<()> {
    match timeout(STALL, stream.write_all(bytes)).await {
        Ok(sent) => sent,
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    }
}
