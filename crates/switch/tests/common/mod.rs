//! A bridge with dummy devices, spoken to in bytes, and messages built by hand: nothing here uses the codec's encoder.
#![allow(dead_code, unused_imports, missing_docs, clippy::unwrap_used)]

use std::sync::Arc;

use heddle_openflow::{Framer, OfError, Version};
use heddle_switch::Switch;
use heddle_switch::bridge::ManagedBridge;
use heddle_switch::connection::Connection;
pub use heddle_switch::fuzz::switch;

pub const XID: u32 = 0x1234_5678;

/// One peer of the bridge.
pub struct Peer {
    pub bridge: Arc<ManagedBridge>,
    pub connection: Connection,
}

impl Peer {
    /// A peer that has said hello.
    pub fn new(switch: &Switch, controller: bool) -> Self {
        let mut peer = Self::silent(switch, controller);
        assert!(peer.say(&message(0, &[0, 1, 0, 8, 0, 0, 0, 0x10])).is_empty());
        peer
    }

    pub fn silent(switch: &Switch, controller: bool) -> Self {
        let bridge = Arc::clone(switch.bridge("br0").unwrap());
        let (connection, hello) = Connection::new(controller, &bridge);
        assert_eq!(hello[..2], [6, 0]);
        Self { bridge, connection }
    }

    /// Says something; the answers, message by message.
    pub fn say(&mut self, bytes: &[u8]) -> Vec<Vec<u8>> {
        let mut framer = Framer::default();
        framer.push(&self.connection.receive(bytes, &self.bridge));
        while self.connection.has_more() {
            framer.push(&self.connection.receive(&[], &self.bridge));
        }
        std::iter::from_fn(|| framer.next_message()).map(Result::unwrap).collect()
    }

    /// Says something that is answered once.
    pub fn ask(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut answers = self.say(bytes);
        assert_eq!(answers.len(), 1, "{bytes:02x?} -> {answers:02x?}");
        answers.remove(0)
    }

    /// Says something that is accepted without an answer.
    pub fn tell(&mut self, bytes: &[u8]) {
        let answers = self.say(bytes);
        assert!(
            answers.is_empty(),
            "{bytes:02x?} -> {:?}",
            answers.iter().map(|a| error(a)).collect::<Vec<_>>()
        );
    }
}

/// The error that a message is, with what it quotes.
pub fn error(answer: &[u8]) -> Option<(OfError, Vec<u8>)> {
    if answer.get(1) != Some(&1) {
        return None;
    }
    let number = (u16::from_be_bytes([answer[8], answer[9]]), u16::from_be_bytes([answer[10], answer[11]]));
    let version = Version::of_byte(answer[0]).unwrap();
    let (error, used) = OfError::of_wire(version, number, &answer[12..]).unwrap();
    let data = &answer[12 + used..];
    Some((error, data.to_vec()))
}

pub fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut out = vec![4, kind];
    out.extend(((body.len() + 8) as u16).to_be_bytes());
    out.extend(XID.to_be_bytes());
    out.extend(body);
    out
}

/// Bytes from hexadecimal digits; spaces are for the reader.
pub fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> =
        text.chars().filter_map(|digit| digit.to_digit(16)).map(|digit| digit as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

fn padded(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.resize(bytes.len().next_multiple_of(8), 0);
    bytes
}

/// A match of OXM fields in hexadecimal.
pub fn matching(fields: &str) -> Vec<u8> {
    let fields = hex(fields);
    let mut out = hex("0001");
    out.extend(((fields.len() + 4) as u16).to_be_bytes());
    out.extend(fields);
    padded(out)
}

/// Type, length and body of an action or instruction, padded.
pub fn element(kind: u16, body: &str) -> Vec<u8> {
    let body = hex(body);
    let mut out = kind.to_be_bytes().to_vec();
    out.extend(((body.len() + 4).next_multiple_of(8) as u16).to_be_bytes());
    out.extend(body);
    padded(out)
}

/// The instruction that applies or writes these actions.
fn actions(kind: u16, actions: &[Vec<u8>]) -> Vec<u8> {
    let actions = actions.concat();
    let mut out = kind.to_be_bytes().to_vec();
    out.extend(((actions.len() + 8) as u16).to_be_bytes());
    out.extend([0; 4]);
    out.extend(actions);
    out
}

pub fn apply(list: &[Vec<u8>]) -> Vec<u8> {
    actions(4, list)
}

pub fn write(list: &[Vec<u8>]) -> Vec<u8> {
    actions(3, list)
}

pub fn output(port: u32) -> Vec<u8> {
    element(0, &format!("{port:08x} ffff 000000000000"))
}

/// A flow-mod: defaults with some bytes after the header changed.
pub struct Mod {
    pub table: u8,
    pub command: u8,
    pub flags: u16,
    pub cookie: u64,
    pub cookie_mask: u64,
    pub priority: u16,
    pub buffer: u32,
    pub out_port: u32,
    pub out_group: u32,
    pub matching: Vec<u8>,
    pub instructions: Vec<u8>,
}

impl Default for Mod {
    fn default() -> Self {
        Self {
            table: 0,
            command: 0,
            flags: 0,
            cookie: 0,
            cookie_mask: 0,
            priority: 100,
            buffer: u32::MAX,
            out_port: u32::MAX,
            out_group: u32::MAX,
            matching: matching(""),
            instructions: Vec::new(),
        }
    }
}

impl Mod {
    pub fn bytes(&self) -> Vec<u8> {
        let mut body = self.cookie.to_be_bytes().to_vec();
        body.extend(self.cookie_mask.to_be_bytes());
        body.extend([self.table, self.command, 0, 0, 0, 0]);
        body.extend(self.priority.to_be_bytes());
        body.extend(self.buffer.to_be_bytes());
        body.extend(self.out_port.to_be_bytes());
        body.extend(self.out_group.to_be_bytes());
        body.extend(self.flags.to_be_bytes());
        body.extend([0, 0]);
        body.extend(&self.matching);
        body.extend(&self.instructions);
        message(14, &body)
    }
}

pub fn packet_out(in_port: u32, actions: &[Vec<u8>], frame: &[u8]) -> Vec<u8> {
    let actions = actions.concat();
    let mut body = u32::MAX.to_be_bytes().to_vec();
    body.extend(in_port.to_be_bytes());
    body.extend((actions.len() as u16).to_be_bytes());
    body.extend([0; 6]);
    body.extend(actions);
    body.extend(frame);
    message(13, &body)
}

pub fn multipart(kind: u16, body: &str) -> Vec<u8> {
    let mut out = kind.to_be_bytes().to_vec();
    out.extend([0; 6]);
    out.extend(hex(body));
    message(18, &out)
}

/// A request for flow statistics, or their sums, of every table.
pub fn flow_request(kind: u16, out_port: u32, out_group: u32, cookie: u64, cookie_mask: u64) -> Vec<u8> {
    let words = format!("ff000000 {out_port:08x} {out_group:08x} 00000000 {cookie:016x} {cookie_mask:016x}");
    multipart(kind, &(words + "0001000400000000"))
}

/// The Ethernet address of a port in a port description.
pub fn mac_of(description: &[u8], number: u32) -> String {
    let port = description[16..].chunks(64).find(|port| port[..4] == number.to_be_bytes()).unwrap();
    port[8..14].iter().map(|byte| format!("{byte:02x}")).collect()
}
