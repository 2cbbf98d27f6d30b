//! One client on one stream.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use heddle_daemon::stream::Stream;
use heddle_ovsdb::rpc::{Framer, Message};
use heddle_ovsdb::service::{SessionId, SessionOptions};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::{Server, lock};

/// Bytes that are read at once.
const CHUNK: usize = 64 << 10;

/// A client's session, which ends with the value.
struct Attached<'a> {
    server: &'a Server,
    id: SessionId,
    waker: Arc<Notify>,
}

impl<'a> Attached<'a> {
    fn new(server: &'a Server, options: SessionOptions) -> Self {
        let id = server.with(|service, _| service.connect(options));
        let waker = Arc::new(Notify::new());
        lock(&server.0.wakers).insert(id, Arc::clone(&waker));
        Self { server, id, waker }
    }
}

impl Drop for Attached<'_> {
    fn drop(&mut self) {
        lock(&self.server.0.wakers).remove(&self.id);
        self.server.with(|service, _| service.disconnect(self.id));
    }
}

fn broken(text: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text.into())
}

/// Serves a client until it goes. With a `probe` interval, one that says nothing for so long is asked whether it is there,
/// and given up when it says nothing for as long again.
///
/// # Errors
/// Why the connection ended, if the client did not end it in good order.
pub(crate) async fn serve(
    server: &Server,
    stream: Stream,
    options: SessionOptions,
    probe: Option<Duration>,
    name: &str,
) -> io::Result<()> {
    let (mut input, mut output) = tokio::io::split(stream);
    let client = Attached::new(server, options);
    let mut framer = Framer::default();
    let (mut unsent, mut sent) = (Vec::new(), 0);
    let mut chunk = vec![0; CHUNK];
    let mut heard = Instant::now();
    let mut probed = false;
    loop {
        if sent == unsent.len() {
            (unsent, sent) = (server.with(|service, _| service.output(client.id)), 0);
            if unsent.is_empty()
                && let Some(reason) = lock(&server.0.service).closing(client.id)
            {
                log::info!(target: "jsonrpc", "{name}: disconnecting ({reason})");
                return Ok(());
            }
        }
        let behind = lock(&server.0.service).is_behind(client.id, unsent.len() - sent);
        let deadline = probe.map(|interval| heard + interval * if probed { 2 } else { 1 });
        let due = async {
            match deadline {
                Some(deadline) => tokio::time::sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            read = input.read(&mut chunk), if !behind => {
                let read = read?;
                if read == 0 {
                    return Ok(());
                }
                (heard, probed) = (Instant::now(), false);
                framer.push(&chunk[..read]);
                while let Some(message) = framer.next_message() {
                    let message = message.map_err(|error| broken(error.to_string()))?;
                    server.with(|service, now| service.receive(client.id, message, now));
                    // Others get their turn, and this client's replies may go out.
                    tokio::task::yield_now().await;
                    drain(server, &client, &mut output, &mut unsent, &mut sent).await?;
                }
            }
            written = output.write(&unsent[sent..]), if sent < unsent.len() => {
                sent += written?;
                heard = heard.max(Instant::now());
            }
            () = client.waker.notified() => {}
            () = due => {
                if probed {
                    let interval = probe.unwrap_or_default().as_secs_f64();
                    let text = format!("no response to inactivity probe after {interval} seconds, disconnecting");
                    return Err(io::Error::new(io::ErrorKind::TimedOut, text));
                }
                probed = true;
                let echo = Message::request("echo", Vec::new(), Value::from("echo"));
                unsent.drain(..sent);
                sent = 0;
                unsent.extend(echo.to_bytes());
            }
        }
    }
}

/// Sends replies in the middle of many requests, as long as the client is behind: it must read to be served further.
async fn drain(
    server: &Server,
    client: &Attached<'_>,
    output: &mut tokio::io::WriteHalf<Stream>,
    unsent: &mut Vec<u8>,
    sent: &mut usize,
) -> io::Result<()> {
    while lock(&server.0.service).is_behind(client.id, unsent.len() - *sent) {
        if *sent == unsent.len() {
            (*unsent, *sent) = (server.with(|service, _| service.output(client.id)), 0);
        }
        let written = output.write(&unsent[*sent..]).await?;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        *sent += written;
    }
    Ok(())
}
