//! Properties that hold for arbitrary input; shared by the property tests and the fuzz targets.

use crate::message::MAX_MESSAGE;
use crate::{Body, Fault, Framer, Message, Version, message, text};

/// Bytes of input beyond which what is read may be written as more than a message can hold: one field may be written as
/// several.
const MAX_INPUT: usize = MAX_MESSAGE / 4;

/// What decodes encodes to a form that decodes to the same; what does not is refused by an error that quotes it.
///
/// # Panics
/// If it does not.
pub fn message(bytes: &[u8]) {
    let bytes = &bytes[..bytes.len().min(MAX_INPUT)];
    let decoded = match message::decode(bytes) {
        Ok(decoded) => decoded,
        Err(fault) => return refused(bytes, fault),
    };
    let encoded = decoded.encode();
    assert_eq!(decode_parts(&encoded).as_ref(), Ok(&decoded), "{encoded:02x?}");
}

fn refused(bytes: &[u8], fault: Fault) {
    let error = fault.error;
    let version = bytes.first().and_then(|&byte| Version::of_byte(byte)).unwrap_or_default();
    let reply = message::decode(&fault.reply(version).encode());
    let Ok(Message { xid, body: Body::Error { number, data }, .. }) = reply else {
        panic!("an error is a message");
    };
    assert_eq!(number, error.wire(version).0);
    assert!(bytes.get(4..8).is_none_or(|id| id == xid.to_be_bytes()));
    assert!(data.ends_with(bytes), "the message is quoted whole");
}

/// Decodes a message that may have been written in several parts.
fn decode_parts(bytes: &[u8]) -> Result<Message, Fault> {
    let mut framer = Framer::default();
    framer.push(bytes);
    let mut parts = std::iter::from_fn(|| framer.next_message());
    let first = parts.next().expect("a message was written").expect("it has a length");
    let mut whole = message::decode(&first)?;
    for part in parts {
        let next = message::decode(&part.expect("it has a length"))?;
        let (Body::MultipartReply(whole), Body::MultipartReply(next)) = (&mut whole.body, next.body) else {
            panic!("only replies have parts");
        };
        assert!(whole.extend(next), "the parts of a reply are of one kind");
    }
    Ok(whole)
}

/// A stream is cut into the same messages wherever it is broken, and what waits is bounded. The first byte says how long
/// the pieces are.
///
/// # Panics
/// If it is not.
pub fn stream(bytes: &[u8]) {
    let Some((&piece, stream)) = bytes.split_first() else { return };
    let cut = |piece: usize| {
        let (mut framer, mut messages) = (Framer::default(), Vec::new());
        for bytes in stream.chunks(piece) {
            framer.push(bytes);
            while let Some(message) = framer.next_message() {
                messages.push(message);
            }
            assert!(framer.held() < MAX_MESSAGE);
        }
        (messages, framer.held())
    };
    let (messages, held) = cut(usize::from(piece).max(1));
    assert_eq!(cut(stream.len().max(1)), (messages.clone(), held));
    let whole: usize = messages.iter().map_while(|message| message.as_ref().ok()).map(Vec::len).sum();
    let ended = messages.last().is_some_and(Result::is_err);
    assert!(ended || whole + held == stream.len());
}

/// What parses prints to a form that parses to the same; a flow also survives the wire.
///
/// # Panics
/// If it does not.
pub fn flow_text(bytes: &[u8]) {
    let Ok(line) = std::str::from_utf8(bytes) else { return };
    if let Ok(matching) = text::parse_match(line) {
        let printed = text::print_match(&matching);
        assert_eq!(text::parse_match(&printed).as_ref(), Ok(&matching), "{line} -> {printed}");
    }
    if let Ok(instructions) = text::parse_instructions(line) {
        let printed = text::print_instructions(&instructions);
        assert_eq!(text::parse_instructions(&printed).as_ref(), Ok(&instructions), "{line} -> {printed}");
    }
    let Ok(flow) = text::parse_flow(line) else { return };
    let printed = text::print_flow(&flow);
    assert_eq!(text::parse_flow(&printed).as_ref(), Ok(&flow), "{line} -> {printed}");
}
