//! Properties that hold for arbitrary text; shared by the property tests and the fuzz targets.

use crate::text::{Detail, Numbers, parse_flow, print_flow};

/// A flow that is read is written so that it is read as the same.
///
/// # Panics
/// If it is not.
pub fn datapath_flow_text(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok((key, mask)) = parse_flow(text, &Numbers) else { return };
    let printed = print_flow(&key, Some(&mask), Detail::Counting, &Numbers);
    let (again, again_mask) =
        parse_flow(&printed, &Numbers).unwrap_or_else(|error| panic!("{text} -> {printed}: {error}"));
    assert!(again.masked(&mask) == key.masked(&mask) && again_mask == mask, "{text} -> {printed}");
    // Whatever is left out, it can be written.
    let _ = print_flow(&key, Some(&mask), Detail::Everything, &Numbers);
    let _ = print_flow(&key, None, Detail::Everything, &Numbers);
}
