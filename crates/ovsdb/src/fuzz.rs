//! Properties that hold for arbitrary input; shared by the property tests and the fuzz targets.

use serde_json::Value;

use crate::rpc::{Framer, Message};
use crate::schema::Schema;
use crate::types::{AtomType, BaseType, ColumnType, Datum, Symbols, Uuid};

/// The bound of the framer under test, bytes; small, so that it is reached.
const BOUND: usize = 4096;

/// A stream in one piece and the same stream byte by byte give the same messages, within the bounds.
///
/// # Panics
/// If they do not.
pub fn framer(bytes: &[u8]) {
    let mut whole = Framer::with_bound(BOUND);
    whole.push(bytes);
    let mut messages = Vec::new();
    while let Some(message) = whole.next_json() {
        let failed = message.is_err();
        messages.push(message);
        if failed {
            break;
        }
    }
    let mut slow = Framer::with_bound(BOUND);
    let mut again = Vec::new();
    'all: for byte in bytes {
        slow.push(std::slice::from_ref(byte));
        assert!(slow.held() <= BOUND);
        while let Some(message) = slow.next_json() {
            let failed = message.is_err();
            again.push(message);
            if failed {
                break 'all;
            }
        }
    }
    assert_eq!(messages, again);
    for json in messages.into_iter().flatten() {
        let Ok(message) = Message::from_json(json) else { continue };
        assert_eq!(Message::from_json(message.to_json()).as_ref(), Ok(&message));
    }
}

/// A schema that is read is written so that it is read as the same.
///
/// # Panics
/// If it is not.
pub fn schema(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(schema) = Schema::parse(text) else { return };
    assert_eq!(Schema::from_json(&schema.to_json()), Ok(schema));
}

fn kinds() -> impl Iterator<Item = ColumnType> {
    AtomType::ALL.into_iter().flat_map(|kind| {
        let base = BaseType::from(kind);
        let map =
            ColumnType { value: Some(AtomType::String.into()), ..ColumnType::set(base.clone(), 0, u32::MAX) };
        [ColumnType::scalar(base.clone()), ColumnType::set(base, 0, u32::MAX), map]
    })
}

/// A datum that is read from text or JSON is written so that it is read as the same.
///
/// # Panics
/// If it is not.
pub fn datum(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let json: Option<Value> = serde_json::from_str(text).ok();
    for kind in kinds() {
        let mut source = || Uuid::ZERO;
        let mut symbols = Symbols::new(&mut source);
        let read = [
            Datum::parse_text(&kind, text, Some(&mut symbols)).ok(),
            json.as_ref().and_then(|json| Datum::from_json(&kind, json, None).ok()),
        ];
        for datum in read.into_iter().flatten() {
            let json = datum.to_json(&kind);
            assert_eq!(Datum::from_json(&kind, &json, None).as_ref(), Ok(&datum), "{json}");
            let text = datum.to_text(&kind);
            // A real number is printed with 15 digits and may lose the last.
            if kind.key.kind != AtomType::Real {
                assert_eq!(Datum::parse_text(&kind, &text, None).as_ref(), Ok(&datum), "{text}");
            }
        }
    }
}
