//! Sockets of the OpenFlow agents: `BRIDGE.mgmt` in the run directory, as Open vSwitch's clients look for it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::broadcast::error::RecvError;

use crate::connection::Connection;
use crate::switch::ManagedBridge;

/// Connections that a bridge serves at a time.
const MAX_CONNECTIONS: usize = 64;
/// How often flows are looked at whether their time is up.
const EXPIRE_EVERY: Duration = Duration::from_millis(250);

/// A socket of a bridge, which goes with the value.
struct Socket {
    path: PathBuf,
    listener: UnixListener,
}

impl Socket {
    fn bind(path: PathBuf) -> io::Result<Self> {
        // A socket that nobody answers is left over; one that is answered is somebody's.
        if std::os::unix::net::UnixStream::connect(&path).is_ok() {
            let reason = format!("{}: a switch already listens here", path.display());
            return Err(io::Error::new(io::ErrorKind::AddrInUse, reason));
        }
        let _ = std::fs::remove_file(&path);
        let listener = UnixListener::bind(&path)
            .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))?;
        Ok(Self { path, listener })
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Serves the bridges until `stop` is done.
///
/// # Errors
/// If a socket cannot be made.
pub async fn serve(
    bridges: Vec<Arc<ManagedBridge>>,
    run_directory: &Path,
    stop: impl Future<Output = ()>,
) -> io::Result<()> {
    let mut tasks = tokio::task::JoinSet::new();
    for bridge in bridges {
        let socket = Socket::bind(run_directory.join(format!("{}.mgmt", bridge.bridge.name)))?;
        tasks.spawn(accept(socket, Arc::clone(&bridge)));
        tasks.spawn(async move {
            let mut ticks = tokio::time::interval(EXPIRE_EVERY);
            loop {
                ticks.tick().await;
                bridge.expire();
            }
        });
    }
    stop.await;
    tasks.shutdown().await;
    Ok(())
}

async fn accept(socket: Socket, bridge: Arc<ManagedBridge>) {
    let limit = Arc::new(tokio::sync::Semaphore::new(MAX_CONNECTIONS));
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let Ok(permit) = Arc::clone(&limit).acquire_owned().await else { return };
        let Ok((stream, _)) = socket.listener.accept().await else { continue };
        let bridge = Arc::clone(&bridge);
        connections.spawn(async move {
            // A peer that goes away is no error of ours.
            let _ = converse(stream, &bridge).await;
            drop(permit);
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn converse(mut stream: UnixStream, bridge: &ManagedBridge) -> io::Result<()> {
    let (mut connection, hello) = Connection::new(false);
    let mut events = bridge.events();
    stream.write_all(&hello).await?;
    let mut buffer = vec![0; 64 * 1024];
    loop {
        tokio::select! {
            read = stream.read(&mut buffer) => {
                let count = read?;
                if count == 0 {
                    return Ok(());
                }
                let answer = connection.receive(&buffer[..count], bridge);
                stream.write_all(&answer).await?;
                if connection.is_closing() {
                    return Ok(());
                }
            }
            event = events.recv() => match event {
                Ok(event) => {
                    if let Some(bytes) = connection.announce(&event) {
                        stream.write_all(&bytes).await?;
                    }
                }
                // A slow peer loses the oldest; memory stays bounded.
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return Ok(()),
            },
        }
    }
}
