//! What must hold for any bytes, for tests and fuzzers alike.

/// Reads bytes as a capture (pcap), with what is OpenFlow in it.
///
/// # Panics
/// If more is held than may be.
pub fn capture(data: &[u8]) {
    crate::ofctl::read_capture(data);
}
