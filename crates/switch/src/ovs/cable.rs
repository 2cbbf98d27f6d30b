//! Cables of dummies: two of them, in one process or in two, that pass each other their frames over a socket.
//!
//! `options:pstream=PLACE` waits there for others, each of which gets every frame; `options:stream=TARGET` calls, again
//! and again. On the socket a frame stands behind its length, in two bytes.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use heddle_daemon::stream::{Listener, Place, Stream, Target};
use heddle_netdev::DummyHandle;
use heddle_wire::Packet;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::broadcast::{Receiver, Sender, channel, error::RecvError};
use tokio::task::JoinSet;

/// Frames that wait for a peer that does not read; older ones are lost to it.
const WAITING: usize = 1024;
/// Peers of one dummy.
const MAX_PEERS: usize = 16;
/// Between two calls.
const AGAIN: Duration = Duration::from_millis(100);

/// What an interface's options say of its cable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// It calls.
    Calls(String),
    /// It waits to be called.
    Waits(String),
}

/// A cable; it is pulled when this ends.
pub(crate) struct Cable {
    _tasks: JoinSet<()>,
}

impl Cable {
    /// Puts a cable into a dummy. To be called within the async runtime.
    ///
    /// # Errors
    /// A sentence about what is wrong with the option.
    pub(crate) fn new(dummy: DummyHandle, end: &End) -> Result<Self, String> {
        let (sent, _) = channel::<Arc<[u8]>>(WAITING);
        let sink = sent.clone();
        dummy.forward(Box::new(move |packet| {
            let _ = sink.send(packet.data().into());
        }));
        let wrong = |option: &str, name: &str| format!("invalid {option} \"{name}\"");
        let mut tasks = JoinSet::new();
        match end {
            End::Calls(name) => {
                let target = name.parse::<Target>().map_err(|_| wrong("stream", name))?;
                tasks.spawn(call(target, dummy, sent));
            }
            End::Waits(name) => {
                let place = name.parse::<Place>().map_err(|_| wrong("pstream", name))?;
                tasks.spawn(wait(place, dummy, sent));
            }
        }
        Ok(Self { _tasks: tasks })
    }
}

async fn call(target: Target, dummy: DummyHandle, sent: Sender<Arc<[u8]>>) {
    loop {
        dummy.set_connected(false);
        if let Ok(stream) = target.connect().await {
            dummy.set_connected(true);
            // A peer that goes away is called again.
            let _ = carry(stream, &dummy, sent.subscribe()).await;
        }
        tokio::time::sleep(AGAIN).await;
    }
}

async fn wait(place: Place, dummy: DummyHandle, sent: Sender<Arc<[u8]>>) {
    let listener = match Listener::bind(&place).await {
        Ok(listener) => listener,
        Err(error) => return log::warn!(target: "netdev_dummy", "failed to listen on {place}: {error}"),
    };
    let mut peers = JoinSet::new();
    loop {
        let Ok(stream) = listener.accept().await else {
            tokio::time::sleep(AGAIN).await;
            continue;
        };
        while peers.try_join_next().is_some() {}
        if peers.len() < MAX_PEERS {
            let (dummy, frames) = (dummy.clone(), sent.subscribe());
            peers.spawn(async move {
                // It goes as it came.
                let _ = carry(stream, &dummy, frames).await;
            });
        }
    }
}

/// Passes frames both ways until the peer goes.
async fn carry(stream: Stream, dummy: &DummyHandle, mut frames: Receiver<Arc<[u8]>>) -> io::Result<()> {
    let (mut from, mut to) = tokio::io::split(stream);
    let hear = async {
        loop {
            let length = from.read_u16().await?;
            let mut frame = vec![0; usize::from(length)];
            from.read_exact(&mut frame).await?;
            // What has no header is no frame; the device counts what it drops.
            if frame.len() >= heddle_wire::ethernet::HEADER_LEN {
                dummy.inject(Packet::from_frame(&frame));
            }
        }
    };
    let say = async {
        loop {
            match frames.recv().await {
                Ok(frame) => {
                    let Ok(length) = u16::try_from(frame.len()) else { continue };
                    to.write_all(&[&length.to_be_bytes(), &*frame].concat()).await?;
                }
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return Ok(()),
            }
        }
    };
    tokio::select! {
        heard = hear => heard,
        said = say => said,
    }
}
