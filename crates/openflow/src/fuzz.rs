//! Properties that hold for arbitrary input; shared by the property tests and the fuzz targets.

use crate::{message, text};

/// What decodes encodes to a form that decodes to the same.
///
/// # Panics
/// If it does not.
pub fn message(bytes: &[u8]) {
    let Ok(decoded) = message::decode(bytes) else { return };
    let encoded = decoded.encode();
    let again = message::decode(&encoded);
    assert_eq!(again.as_ref(), Ok(&decoded), "{encoded:02x?}");
}

/// What parses prints to a form that parses to the same.
///
/// # Panics
/// If it does not.
pub fn flow_text(bytes: &[u8]) {
    let Ok(line) = std::str::from_utf8(bytes) else { return };
    let Ok(flow) = text::parse_flow(line) else { return };
    let printed = text::print_flow(&flow);
    assert_eq!(text::parse_flow(&printed).as_ref(), Ok(&flow), "{line} -> {printed}");
}
