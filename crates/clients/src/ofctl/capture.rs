//! Captured packets: OpenFlow's messages in them, their headers in text, and packets made from flows.

mod streams;

use std::io::Read;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use heddle_flow::compose::{DEFAULT_PAYLOAD, compose, counting_payload};
use heddle_flow::{FlowKey, PacketKey};
use heddle_openflow::text::parse_match;
use heddle_wire::locate;
use heddle_wire::pcap::{self, Capture};

use self::streams::Streams;
use super::monitor::hex;
use super::{Context, print};
use crate::fatal::{Fatal, fail};
use crate::log;

/// Ports of OpenFlow: the one assigned to it, and the one that was in use before.
const OPENFLOW_PORTS: [u16; 2] = [6653, 6633];
/// Longest packet that is read from the standard input.
const MAX_INPUT: u64 = 65_535;

/// The packets of a capture, each with its time since 1970-01-01, as frames.
struct Packets<R> {
    file: R,
    capture: Capture,
}

impl<R: Read> Packets<R> {
    /// # Errors
    /// What is wrong with the capture's header.
    fn new(mut file: R) -> Result<Self, String> {
        let mut header = [0; pcap::HEADER_LEN];
        file.read_exact(&mut header).map_err(|error| error.to_string())?;
        let capture = Capture::parse(&header).map_err(|error| error.to_string())?;
        Ok(Self { file, capture })
    }

    /// The next packet; `None` at the end, also where a capture that was broken off ends within one.
    fn next(&mut self) -> Option<Result<(Duration, Vec<u8>), String>> {
        let mut header = [0; pcap::RECORD_LEN];
        self.file.read_exact(&mut header).ok()?;
        let record = match self.capture.record(&header) {
            Ok(record) => record,
            Err(error) => return Some(Err(error.to_string())),
        };
        let mut packet = vec![0; record.length];
        self.file.read_exact(&mut packet).ok()?;
        let frame = self.capture.frame(&packet).unwrap_or_default().into_owned();
        Some(Ok((record.time, frame)))
    }
}

fn open(name: &str) -> Result<Packets<Box<dyn Read>>, Fatal> {
    let file: Box<dyn Read> = match name {
        "-" => Box::new(std::io::stdin().lock()),
        _ => {
            let opened = std::fs::File::open(name);
            let opened = opened.map_err(|error| Fatal::system(format!("{name}: open failed"), &error))?;
            Box::new(std::io::BufReader::new(opened))
        }
    };
    Packets::new(file).map_err(|error| Fatal::new(format!("{name}: {error}")))
}

/// `ofp-parse-pcap FILE [PORT...]`: the messages of OpenFlow connections, in the order in which they were whole.
pub(super) fn messages(context: &mut Context<'_>) -> Result<u8, Fatal> {
    let (name, ports) = (&context.words[0], &context.words[1..]);
    let port = |word: &String| word.parse().map_err(|_| Fatal::new(format!("{word}: not a port of TCP")));
    let mut ports: Vec<u16> = ports.iter().map(port).collect::<Result<_, _>>()?;
    if ports.is_empty() {
        ports.extend(OPENFLOW_PORTS);
    }
    let mut packets = open(name)?;
    let mut streams = Streams::default();
    let mut separator = "";
    while let Some(packet) = packets.next() {
        let (time, frame) = packet.map_err(|error| Fatal::new(format!("{name}: {error}")))?;
        let Some(segment) = streams::segment(&frame) else { continue };
        if !ports.contains(&segment.ends.from.1) && !ports.contains(&segment.ends.to.1) {
            continue;
        }
        let (ends, taken) = (segment.ends, streams.take(&segment));
        if taken.lost {
            log::write("ofctl", log::Level::Warn, &format!("{ends}: bytes are missing in the capture"));
        }
        for message in taken.messages {
            let Ok(message) = message else {
                log::write("ofctl", log::Level::Warn, &format!("{ends}: this is not OpenFlow"));
                continue;
            };
            let time = if context.settings.timestamp {
                log::time_text(UNIX_EPOCH + time, "%H:%M:%S.### ")
            } else {
                String::new()
            };
            let text = print::message(&message, context.settings.verbosity + 1);
            write!(context.out, "{separator}{time}{ends}:\n{text}")?;
            separator = "\n";
        }
    }
    Ok(0)
}

/// `parse-pcap FILE...`: the headers of each packet.
pub(super) fn frames(context: &mut Context<'_>) -> Result<u8, Fatal> {
    let mut code = 0;
    for name in context.words {
        let mut packets = match open(name) {
            Ok(packets) => packets,
            Err(error) => {
                eprintln!("ovs-ofctl: {}", error.message);
                code = 1;
                continue;
            }
        };
        while let Some(packet) = packets.next() {
            match packet {
                Ok((_, frame)) => writeln!(context.out, "{}", print::frame::headers(&frame, Some("ANY")))?,
                Err(error) => {
                    eprintln!("ovs-ofctl: {name}: {error}");
                    code = 1;
                    break;
                }
            }
        }
    }
    Ok(code)
}

/// `parse-packet`: the headers of the packet that the standard input is.
pub(super) fn packet(context: &mut Context<'_>) -> Result<u8, Fatal> {
    let mut bytes = Vec::new();
    std::io::stdin().lock().take(MAX_INPUT).read_to_end(&mut bytes)?;
    write!(context.out, "{}", print::frame::frame(&bytes))?;
    Ok(0)
}

/// `compose-packet FLOW [DATA]`: a packet that has the headers a flow asks for, around data in hexadecimal.
pub(super) fn composed(context: &mut Context<'_>) -> Result<u8, Fatal> {
    let (settings, words) = (&context.settings, context.words);
    if settings.pcap && settings.bare {
        return fail("--bare and --pcap are mutually exclusive");
    }
    if settings.pcap && std::io::IsTerminal::is_terminal(&std::io::stdout()) {
        return fail("not writing a capture to a terminal; redirect it to a file, or to tcpdump -r -");
    }
    let flow: Vec<&str> = words[0].split(',').filter(|word| word.trim() != "eth").collect();
    let matching = parse_match(&flow.join(",")).map_err(|error| Fatal::new(error.to_string()))?;
    let data = match words.get(1) {
        Some(text) => {
            hex(text).ok_or_else(|| Fatal::new(format!("{text}: trailing garbage in packet data")))?
        }
        None => counting_payload(DEFAULT_PAYLOAD),
    };
    let mut frame = compose(matching.key(), &data);
    if settings.bad_checksum
        && let Some(headers) = locate::headers(&frame)
        && !headers.v6
    {
        // Two sums that differ in one bit are never both right.
        frame[headers.l3 + 10] ^= 1;
    }
    if settings.pcap {
        let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let record = pcap::record(time, u32::try_from(frame.len()).unwrap_or(u32::MAX));
        context.out.write_all(&[&pcap::header()[..], &record, &frame].concat())?;
    } else if settings.bare {
        let digits: String = frame.iter().map(|byte| format!("{byte:02x}")).collect();
        write!(context.out, "{digits}")?;
    } else {
        write!(context.out, "{}", print::hex_bytes(&frame))?;
    }
    let lost = lost(matching.key(), &frame);
    if lost.is_empty() {
        return Ok(0);
    }
    eprintln!("ovs-ofctl: the packet does not say what the flow does of {}", lost.join(", "));
    Ok(1)
}

/// Fields that a frame does not have as the flow that it was made from says, because no frame could.
fn lost(wanted: &FlowKey, frame: &[u8]) -> Vec<&'static str> {
    let mut packet = PacketKey::default();
    heddle_flow::extract(frame, wanted.in_port(), 0, &mut packet);
    let made = packet.expand();
    let differs = |spec: &&heddle_flow::FieldSpec| wanted.get(spec.field) != made.get(spec.field);
    heddle_flow::field::FIELDS.iter().filter(differs).map(|spec| spec.name).collect()
}

/// Reads any bytes as a capture with OpenFlow in it, for fuzzers: it ends, and holds a bounded amount.
///
/// # Panics
/// If it holds more.
pub(crate) fn fuzz(data: &[u8]) {
    let Ok(mut packets) = Packets::new(data) else { return };
    let mut streams = Streams::default();
    while let Some(Ok((_, frame))) = packets.next() {
        let _ = print::frame::frame(&frame);
        if let Some(segment) = streams::segment(&frame) {
            for message in streams.take(&segment).messages.into_iter().flatten() {
                let _ = print::message(&message, 1);
            }
        }
        streams.check();
    }
}
