//! Packets between switch and controller in text.

use heddle_flow::{Field, Match};
use heddle_openflow::message::NO_BUFFER;
use heddle_openflow::packet::reason;
use heddle_openflow::{Version, message};

use super::{frame, hex_bytes};
use crate::ofctl::flow_text::{self, matching};

fn shown(data: &[u8], verbosity: u32) -> String {
    let mut out = String::new();
    if verbosity > 0 {
        out += &frame::frame(data);
    }
    if verbosity > 2 {
        out += &hex_bytes(data);
    }
    out
}

/// A packet for the controller.
pub fn packet_in(packet: &message::PacketIn, verbosity: u32) -> String {
    let mut out = String::new();
    if packet.table_id != 0 {
        out += &format!(" table_id={}", packet.table_id);
    }
    if packet.cookie != u64::MAX {
        out += &format!(" cookie={:#x}", packet.cookie);
    }
    let reason = reason::NAMES
        .get(usize::from(packet.reason))
        .map_or_else(|| packet.reason.to_string(), |name| (*name).to_owned());
    let length = packet.data.len();
    out += &format!(
        " total_len={} {} (via {reason}) data_len={length}",
        packet.total_len,
        matching(&packet.matching, 0x8000)
    );
    match packet.buffer_id {
        NO_BUFFER if packet.total_len as usize != length => {
            out += " (unbuffered) (***total_len != data_len***)"
        }
        NO_BUFFER => out += " (unbuffered)",
        buffer => {
            out += &format!(" buffer={buffer:#010x}");
            if (packet.total_len as usize) < length {
                out += " (***total_len < data_len***)";
            }
        }
    }
    out.push('\n');
    if !packet.userdata.is_empty() {
        let bytes: Vec<String> = packet.userdata.iter().map(|byte| format!("{byte:02x}")).collect();
        out += &format!(" userdata={}\n", bytes.join("."));
    }
    out + &shown(&packet.data, verbosity)
}

/// A packet that the controller sends.
pub fn packet_out(packet: &message::PacketOut, version: Version, verbosity: u32) -> String {
    let mut known: Match = packet.matching;
    known.set(Field::InPort, packet.in_port.into());
    let actions = flow_text::actions(&packet.actions, version);
    let out = format!(" {} actions={actions}", matching(&known, 0x8000));
    if packet.buffer_id != NO_BUFFER {
        return format!("{out} buffer={:#010x}", packet.buffer_id);
    }
    let length = packet.data.len();
    let out = format!("{out} data_len={length}");
    if length == 0 { out } else { format!("{out}\n{}", shown(&packet.data, verbosity)) }
}
