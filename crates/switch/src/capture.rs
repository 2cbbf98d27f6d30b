//! Captures: what passes an interface, written as pcapng (draft-ietf-opsawg-pcapng) by a thread of its own.
//!
//! The poll thread only copies packets into a bounded queue. What finds it full is counted, and the capture says how much
//! it lacks.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use heddle_datapath::{Point, Watcher, Way};
use heddle_pipeline::Attachment;
use heddle_wire::Packet;
use heddle_wire::checksum::finish_partial;
use heddle_wire::packet::{GsoType, MAX_FRAME, Offload};

use crate::config::CaptureConfig;
use crate::switch::{Switch, SwitchError, invalid};

/// Packets that wait for the writer.
const WAITING: usize = 4096;
/// Most captures at once.
const MAX_CAPTURES: usize = 64;
/// How long written packets may wait for others before whoever reads gets them.
const FLUSH: Duration = Duration::from_millis(50);

/// A packet as it passed.
struct Seen {
    nanoseconds: u64,
    sent: bool,
    offload: Offload,
    frame: Box<[u8]>,
}

/// How long the end of a capture waits for what is still to be written.
const LAST_WRITE: Duration = Duration::from_millis(500);

/// A capture that runs, or that still writes.
pub(crate) struct Running {
    /// None once it is ended: whoever reads does not.
    id: Option<u64>,
    counts: Arc<Counts>,
    writer: JoinHandle<()>,
}

/// Packets of a capture.
#[derive(Default)]
struct Counts {
    written: AtomicU64,
    missed: AtomicU64,
}

impl Switch {
    /// Begins to write what passes an interface to `to`.
    ///
    /// # Errors
    /// If there is no such port, or too many captures run.
    pub fn start_capture(&mut self, config: &CaptureConfig, to: OwnedFd) -> Result<(), SwitchError> {
        self.captures.retain(|known| known.id.is_some() || !known.writer.is_finished());
        if self.captures.len() >= MAX_CAPTURES {
            return invalid(&config.interface, &format!("{MAX_CAPTURES} captures run already"));
        }
        let [start, end] = self.points(config)?;
        let (sender, receiver) = sync_channel(WAITING);
        let counts: Arc<Counts> = Arc::default();
        let (name, counted) = (config.interface.clone(), Arc::clone(&counts));
        let writer = std::thread::Builder::new()
            .name("capture".into())
            .spawn(move || write(BufWriter::new(File::from(to)), &name, &receiver, &counted.written))?;
        let sent = watcher(sender.clone(), true, &counts);
        let received = watcher(sender, false, &counts);
        let id = config.id;
        self.datapath.ask(move |context| {
            context.engine.watch(start.0, start.1, Point::Start, id, sent);
            context.engine.watch(end.0, end.1, Point::End, id, received);
        });
        self.captures.push(Running { id: Some(id), counts, writer });
        Ok(())
    }

    /// Ends a capture; how many packets it has written, and how many it missed.
    pub fn stop_capture(&mut self, id: u64) -> (u64, u64) {
        let Some(running) = self.captures.iter_mut().find(|known| known.id == Some(id)) else {
            return (0, 0);
        };
        running.id = None;
        // With the watchers goes the queue, and with that the writer ends, unless whoever reads holds it up.
        self.datapath.ask(move |context| context.engine.unwatch(id));
        let begun = Instant::now();
        while !running.writer.is_finished() && begun.elapsed() < LAST_WRITE {
            std::thread::sleep(Duration::from_millis(1));
        }
        let Counts { written, missed } = &*running.counts;
        (written.load(Ordering::Relaxed), missed.load(Ordering::Relaxed))
    }

    /// Where the interface's own packets start, and where others' end: a port of the datapath and its line each.
    fn points(&self, config: &CaptureConfig) -> Result<[(u32, Way); 2], SwitchError> {
        let CaptureConfig { bridge, ofport, .. } = config;
        let peer = {
            let Some(managed) = self.bridges.get(bridge) else {
                return invalid(bridge, "there is no such bridge");
            };
            let Some(port) = managed.bridge.snapshot().ports.get(ofport).cloned() else {
                return invalid(bridge, &format!("there is no port {ofport}"));
            };
            match &port.attachment {
                Attachment::Local => return invalid(bridge, "its own port has nothing behind it"),
                Attachment::Device(_) => None,
                Attachment::Patch { bridge, port } | Attachment::Link { bridge, port, .. } => {
                    Some((bridge.clone(), port.clone()))
                }
            }
        };
        config.lines.iter().for_each(|line| self.ensure_lines(line));
        let here = self.line_of(bridge, *ofport)?;
        let Some((peer_bridge, peer_port)) = peer else {
            // A host's packets come in by the port, and go out to it.
            let (out, inward) = ((here, Way::Out), (here, Way::In));
            return Ok(if config.far_side { [inward, out] } else { [out, inward] });
        };
        let snapshot = self.bridges.get(&peer_bridge).map(|bridge| bridge.bridge.snapshot());
        let peer = snapshot.and_then(|snapshot| snapshot.port_by_name(&peer_port).map(|port| port.number));
        let Some(peer) = peer else { return invalid(&peer_port, "the other end of the link is not there") };
        let there = self.line_of(&peer_bridge, peer)?;
        Ok([(here, Way::Out), (there, Way::Out)])
    }

    /// The datapath's number of a port that has lines.
    fn line_of(&self, bridge: &str, ofport: u32) -> Result<u32, SwitchError> {
        let port = self.bridges.get(bridge).and_then(|bridge| {
            bridge.bridge.snapshot().ports.get(&ofport).map(|port| port.attachment.clone())
        });
        match port {
            Some(Attachment::Device(number) | Attachment::Link { line: number, .. }) => Ok(number),
            _ => invalid(bridge, &format!("port {ofport} cannot be watched")),
        }
    }
}

/// Copies packets into the queue.
fn watcher(sender: SyncSender<Seen>, sent: bool, counts: &Arc<Counts>) -> Watcher {
    let counts = Arc::clone(counts);
    Box::new(move |packet| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let nanoseconds = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX);
        let seen = Seen { nanoseconds, sent, offload: packet.offload, frame: packet.data().into() };
        match sender.try_send(seen) {
            Ok(()) => true,
            Err(std::sync::mpsc::TrySendError::Full(_)) => {
                counts.missed.fetch_add(1, Ordering::Relaxed);
                true
            }
            // Whoever reads is gone.
            Err(std::sync::mpsc::TrySendError::Disconnected(_)) => false,
        }
    })
}

/// Writes packets as they come, and counts them. Ends when the queue does, or whoever reads is gone.
fn write(mut to: impl Write, interface: &str, from: &Receiver<Seen>, count: &AtomicU64) {
    let written = (|| -> io::Result<()> {
        write_head(&mut to, interface)?;
        to.flush()?;
        let mut dirty = false;
        loop {
            let seen = match from.recv_timeout(FLUSH) {
                Ok(seen) => seen,
                Err(RecvTimeoutError::Timeout) => {
                    if dirty {
                        to.flush()?;
                        dirty = false;
                    }
                    continue;
                }
                Err(RecvTimeoutError::Disconnected) => return to.flush(),
            };
            write_packet(&mut to, &completed(seen))?;
            count.fetch_add(1, Ordering::Relaxed);
            dirty = true;
        }
    })();
    if let Err(error) = written.as_ref().map_err(|error| error.kind())
        && error != io::ErrorKind::BrokenPipe
    {
        log::warn!(target: "netdev", "the capture of {interface} ends: {error}");
    }
}

/// The packet with the checksum that a device would have completed; a segment stays as it is.
fn completed(seen: Seen) -> Seen {
    if seen.offload.gso != GsoType::None {
        return seen;
    }
    let mut packet = Packet::from_frame(&seen.frame);
    packet.offload = seen.offload;
    finish_partial(&mut packet);
    Seen { frame: packet.data().into(), ..seen }
}

/// Begins a block (section 3.1): its type, its length before and behind, and its body filled up to 32 bits.
fn block(kind: u32, body: &[u8]) -> Vec<u8> {
    let padded = body.len().next_multiple_of(4);
    let length = (padded as u32 + 12).to_ne_bytes();
    let mut out = Vec::with_capacity(padded + 12);
    out.extend(kind.to_ne_bytes());
    out.extend(length);
    out.extend(body);
    out.resize(8 + padded, 0);
    out.extend(length);
    out
}

/// An option (section 3.5).
fn option(body: &mut Vec<u8>, code: u16, value: &[u8]) {
    body.extend(code.to_ne_bytes());
    body.extend((value.len() as u16).to_ne_bytes());
    body.extend(value);
    body.resize(body.len().next_multiple_of(4), 0);
}

/// The section header (section 4.1) and the interface (section 4.2), with times in nanoseconds.
fn write_head(to: &mut impl Write, interface: &str) -> io::Result<()> {
    let mut section = Vec::new();
    section.extend(0x1a2b_3c4d_u32.to_ne_bytes());
    section.extend(1u16.to_ne_bytes());
    section.extend(0u16.to_ne_bytes());
    // The section's length is not known.
    section.extend(u64::MAX.to_ne_bytes());
    option(&mut section, 4, b"heddle");
    option(&mut section, 0, &[]);
    to.write_all(&block(0x0a0d_0d0a, &section))?;
    let mut description = Vec::new();
    // Ethernet.
    description.extend(1u16.to_ne_bytes());
    description.extend(0u16.to_ne_bytes());
    description.extend((MAX_FRAME as u32).to_ne_bytes());
    option(&mut description, 2, interface.as_bytes());
    option(&mut description, 9, &[9]);
    option(&mut description, 0, &[]);
    to.write_all(&block(1, &description))
}

/// An enhanced packet (section 4.3), with the direction in its flags.
fn write_packet(to: &mut impl Write, seen: &Seen) -> io::Result<()> {
    let length = seen.frame.len() as u32;
    let mut body = Vec::with_capacity(seen.frame.len() + 40);
    body.extend(0u32.to_ne_bytes());
    body.extend(((seen.nanoseconds >> 32) as u32).to_ne_bytes());
    body.extend((seen.nanoseconds as u32).to_ne_bytes());
    body.extend(length.to_ne_bytes());
    body.extend(length.to_ne_bytes());
    body.extend(&seen.frame);
    body.resize(body.len().next_multiple_of(4), 0);
    option(&mut body, 2, &(if seen.sent { 2u32 } else { 1 }).to_ne_bytes());
    option(&mut body, 0, &[]);
    to.write_all(&block(6, &body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_of_32_bits_and_say_their_length_twice() {
        let mut file = Vec::new();
        write_head(&mut file, "s1-eth1").unwrap();
        for length in [14, 15, 60, 1514] {
            let seen = Seen {
                nanoseconds: 5,
                sent: true,
                offload: Offload::default(),
                frame: vec![7; length].into(),
            };
            write_packet(&mut file, &seen).unwrap();
        }
        let word = |at: usize| u32::from_ne_bytes(file[at..at + 4].try_into().unwrap());
        let (mut at, mut kinds) = (0, vec![]);
        while at < file.len() {
            let length = word(at + 4) as usize;
            assert_eq!((length % 4, word(at + length - 4) as usize), (0, length));
            kinds.push(word(at));
            at += length;
        }
        assert_eq!(kinds, [0x0a0d_0d0a, 1, 6, 6, 6, 6]);
    }
}
