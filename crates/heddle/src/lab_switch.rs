//! `heddle lab-switch`: the switch of a lab, which its supervisor configures over a socket (descriptor 3) and starts
//! again when it ends.
//!
//! A thread waits on the socket, since descriptors ride along that the async runtime's sockets do not take.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

use anyhow::{Context, Result};
use heddle_instance::sys::{inherited_descriptor, receive_with_descriptors};
use heddle_lab::CHILD_SOCKET;
use heddle_switch::Switch;
use heddle_switch::config::{FromSwitch, MAX_DATAGRAM, ToSwitch};
use heddle_switch::server::Server;
use nix::sys::socket::{MsgFlags, send};
use tokio::sync::mpsc;

/// A message as it came.
type Datagram = (Vec<u8>, Vec<OwnedFd>);

/// Runs until the supervisor says so or is gone.
pub fn run(switch: Switch, run_directory: &Path) -> Result<()> {
    let socket = inherited_descriptor(CHILD_SOCKET).context("descriptor 3 is the supervisor's socket")?;
    let receiving = socket.try_clone()?;
    let (told, inbox) = mpsc::channel(1);
    std::thread::Builder::new().name("supervisor".into()).spawn(move || {
        while let Ok(datagram) = receive(&receiving) {
            if datagram.0.is_empty() || told.blocking_send(datagram).is_err() {
                return;
            }
        }
    })?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async { converse(switch, Server::new(run_directory), &socket, inbox).await })
}

fn receive(socket: &OwnedFd) -> io::Result<Datagram> {
    let mut buffer = vec![0; MAX_DATAGRAM];
    let (size, descriptors) = receive_with_descriptors(socket, &mut buffer)?;
    buffer.truncate(size);
    Ok((buffer, descriptors))
}

async fn converse(
    mut switch: Switch,
    mut server: Server,
    socket: &OwnedFd,
    mut inbox: mpsc::Receiver<Datagram>,
) -> Result<()> {
    server.open_control().await?;
    answer(socket, &FromSwitch::Ready)?;
    while let Some((bytes, descriptors)) = inbox.recv().await {
        let outcome = match serde_json::from_slice(&bytes) {
            Ok(ToSwitch::Exit) => return Ok(()),
            Ok(ToSwitch::Links { links }) => {
                switch.set_links(&links).map(|()| FromSwitch::Configured).map_err(|error| error.to_string())
            }
            Ok(ToSwitch::Lines { lines }) => {
                switch.set_lines(&lines).map(|()| FromSwitch::Configured).map_err(|error| error.to_string())
            }
            Ok(ToSwitch::LineReports { from }) => {
                Ok(FromSwitch::LineReports { lines: switch.line_reports(from) })
            }
            Ok(ToSwitch::Capture { capture }) => match descriptors.into_iter().next() {
                Some(to) => {
                    let started = switch.start_capture(&capture, to);
                    started.map(|()| FromSwitch::Configured).map_err(|error| error.to_string())
                }
                None => Err(format!("{}: where to write did not come along", capture.interface)),
            },
            Ok(ToSwitch::StopCapture { id }) => {
                let (packets, missed) = switch.stop_capture(id);
                Ok(FromSwitch::Captured { packets, missed })
            }
            Ok(ToSwitch::Status) => Ok(FromSwitch::Status { status: switch.status() }),
            Ok(ToSwitch::Configure { bridges }) => match switch.configure(&bridges, &descriptors) {
                Ok(()) => {
                    let served = server.sync(switch.bridges()).await;
                    served.map(|()| FromSwitch::Configured).map_err(|error| error.to_string())
                }
                Err(error) => Err(error.to_string()),
            },
            Err(error) => Err(error.to_string()),
        };
        answer(socket, &outcome.unwrap_or_else(|message| FromSwitch::Failed { message }))?;
    }
    Ok(())
}

fn answer(socket: &OwnedFd, message: &FromSwitch) -> Result<()> {
    let bytes = serde_json::to_vec(message)?;
    send(socket.as_raw_fd(), &bytes, MsgFlags::MSG_NOSIGNAL).context("the supervisor is gone")?;
    Ok(())
}
