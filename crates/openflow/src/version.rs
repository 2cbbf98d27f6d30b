//! Versions of the protocol, and the forms that messages have in them.

/// A version that is spoken here, by the version byte of its messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Version {
    /// OpenFlow 1.0.
    V1_0 = 1,
    /// OpenFlow 1.3.
    #[default]
    V1_3 = 4,
}

impl Version {
    /// Every version, the oldest first.
    pub const ALL: &[Version] = &[Version::V1_0, Version::V1_3];

    /// The version of a message that begins with this byte.
    #[must_use]
    pub fn of_byte(byte: u8) -> Option<Version> {
        Self::ALL.iter().copied().find(|&version| version as u8 == byte)
    }

    /// Its bit in the bitmap of a hello.
    #[must_use]
    pub const fn bit(self) -> u32 {
        1 << self as u8
    }

    /// The version that two ends speak whose bitmaps these are (OpenFlow 1.3.5 section 6.3.1).
    #[must_use]
    pub fn agreed(ours: u32, theirs: u32) -> Option<Version> {
        Self::ALL.iter().rev().copied().find(|version| ours & theirs & version.bit() != 0)
    }
}

/// How a message is written: OpenFlow 1.0 has Nicira's form of some messages beside its own, because its own says nothing of
/// tables, IPv6 or registers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Form {
    /// The version.
    pub version: Version,
    /// Whether it is Nicira's form.
    pub nicira: bool,
}

impl Form {
    /// The version's own form.
    #[must_use]
    pub const fn of(version: Version) -> Self {
        Self { version, nicira: false }
    }
}
