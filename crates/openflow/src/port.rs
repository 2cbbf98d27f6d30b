//! Reserved port numbers (OpenFlow 1.3.5 section A.2.1) and their names in text.

/// Highest number of an ordinary port.
pub const MAX: u32 = 0xffff_ff00;
/// `OFPP_UNSET`: the action set has no output (OpenFlow 1.5).
pub const UNSET: u32 = 0xffff_fff7;
/// The port that the packet came in by.
pub const IN_PORT: u32 = 0xffff_fff8;
/// Through the tables, in a packet-out.
pub const TABLE: u32 = 0xffff_fff9;
/// As an ordinary learning switch would.
pub const NORMAL: u32 = 0xffff_fffa;
/// All ports but the input port and those that do not flood.
pub const FLOOD: u32 = 0xffff_fffb;
/// All ports but the input port.
pub const ALL: u32 = 0xffff_fffc;
/// The controller.
pub const CONTROLLER: u32 = 0xffff_fffd;
/// The bridge's own port.
pub const LOCAL: u32 = 0xffff_fffe;
/// No port, or any.
pub const ANY: u32 = 0xffff_ffff;

/// Names in text, as `(number, name)`.
pub const NAMES: &[(u32, &str)] = &[
    (UNSET, "UNSET"),
    (IN_PORT, "IN_PORT"),
    (TABLE, "TABLE"),
    (NORMAL, "NORMAL"),
    (FLOOD, "FLOOD"),
    (ALL, "ALL"),
    (CONTROLLER, "CONTROLLER"),
    (LOCAL, "LOCAL"),
    (ANY, "ANY"),
];

/// The name of a reserved port.
pub fn name(port: u32) -> Option<&'static str> {
    NAMES.iter().find(|row| row.0 == port).map(|row| row.1)
}

/// The reserved port of this name, in either case; `NONE` is `ANY`.
pub fn by_name(name: &str) -> Option<u32> {
    if name.eq_ignore_ascii_case("none") {
        return Some(ANY);
    }
    NAMES.iter().find(|row| row.1.eq_ignore_ascii_case(name)).map(|row| row.0)
}

/// A port number of OpenFlow 1.0, 16 bits with its reserved numbers at their end, in 32 bits.
pub const fn from_16(port: u16) -> u32 {
    if port >= 0xff00 { port as u32 | 0xffff_0000 } else { port as u32 }
}

/// A port number as OpenFlow 1.0 writes it, where it has 16 bits for it.
pub const fn to_16(port: u32) -> Option<u16> {
    if port < 0xff00 || port >= MAX { Some(port as u16) } else { None }
}
