//! JSON lines with descriptors over a Unix stream: what the supervisor, its starter and its clients speak.
//! A stream and not datagrams, because the answer for a thousand hosts outgrows any datagram.

use std::io::{self, IoSlice};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use heddle_instance::sys::receive_with_descriptors;
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use serde::{Serialize, de::DeserializeOwned};

/// Most bytes of one line.
const MAX_LINE: usize = 16 << 20;
/// Most descriptors that wait for their line.
const MAX_WAITING: usize = 16;

/// One end of a conversation.
#[derive(Debug)]
pub struct Channel {
    stream: UnixStream,
    bytes: Vec<u8>,
    descriptors: Vec<OwnedFd>,
}

impl Channel {
    /// A channel over a connected stream.
    #[must_use]
    pub fn new(stream: UnixStream) -> Self {
        Self { stream, bytes: vec![], descriptors: vec![] }
    }

    /// Another handle on the same conversation, for sending.
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(Self::new(self.stream.try_clone()?))
    }

    /// Ends the conversation for both ends.
    pub fn shutdown(&self) {
        let _ = self.stream.shutdown(std::net::Shutdown::Both);
    }

    /// Sends a message; the descriptors ride on its first bytes.
    ///
    /// # Errors
    /// The other end is gone.
    pub fn send(&self, message: &impl Serialize, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
        let mut line = serde_json::to_vec(message)?;
        line.push(b'\n');
        let numbers: Vec<i32> = descriptors.iter().map(AsRawFd::as_raw_fd).collect();
        let rights = [ControlMessage::ScmRights(&numbers)];
        let mut sent = 0;
        while sent < line.len() {
            let control: &[ControlMessage<'_>] = if sent == 0 && !numbers.is_empty() { &rights } else { &[] };
            let parts = [IoSlice::new(&line[sent..])];
            match sendmsg::<()>(self.stream.as_raw_fd(), &parts, control, MsgFlags::MSG_NOSIGNAL, None) {
                Ok(size) => sent += size,
                Err(nix::errno::Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Waits for a message; `None` at the end of the conversation.
    ///
    /// # Errors
    /// The socket fails, or the line is too long or not the message expected.
    pub fn receive<T: DeserializeOwned>(&mut self) -> io::Result<Option<(T, Vec<OwnedFd>)>> {
        let mut searched = 0;
        loop {
            if let Some(at) = self.bytes[searched..].iter().position(|b| *b == b'\n') {
                let line: Vec<u8> = self.bytes.drain(..=searched + at).collect();
                return Ok(Some((serde_json::from_slice(&line)?, std::mem::take(&mut self.descriptors))));
            }
            searched = self.bytes.len();
            let mut part = [0; 16384];
            let (size, descriptors) = receive_with_descriptors(&self.stream, &mut part)?;
            if size == 0 {
                return Ok(None);
            }
            self.bytes.extend_from_slice(&part[..size]);
            self.descriptors.extend(descriptors);
            if self.bytes.len() > MAX_LINE || self.descriptors.len() > MAX_WAITING {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "a message is too large"));
            }
        }
    }
}
