//! Versions of the protocol, and the forms that messages have in them.

/// A version of the protocol, by the version byte of its messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Version {
    /// OpenFlow 1.0.
    V1_0 = 1,
    /// OpenFlow 1.1.
    V1_1 = 2,
    /// OpenFlow 1.2.
    V1_2 = 3,
    /// OpenFlow 1.3.
    #[default]
    V1_3 = 4,
    /// OpenFlow 1.4.
    V1_4 = 5,
    /// OpenFlow 1.5.
    V1_5 = 6,
}

impl Version {
    /// Every version, the oldest first.
    pub const ALL: &[Version] = &[Self::V1_0, Self::V1_1, Self::V1_2, Self::V1_3, Self::V1_4, Self::V1_5];

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

    /// Its number in text: `1.3`.
    #[must_use]
    pub const fn number(self) -> &'static str {
        match self {
            Self::V1_0 => "1.0",
            Self::V1_1 => "1.1",
            Self::V1_2 => "1.2",
            Self::V1_3 => "1.3",
            Self::V1_4 => "1.4",
            Self::V1_5 => "1.5",
        }
    }

    /// Its name in configurations: `OpenFlow13`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::V1_0 => "OpenFlow10",
            Self::V1_1 => "OpenFlow11",
            Self::V1_2 => "OpenFlow12",
            Self::V1_3 => "OpenFlow13",
            Self::V1_4 => "OpenFlow14",
            Self::V1_5 => "OpenFlow15",
        }
    }

    /// The version of this name.
    #[must_use]
    pub fn by_name(name: &str) -> Option<Version> {
        Self::ALL.iter().copied().find(|version| version.name() == name)
    }

    /// The version that two ends speak whose bitmaps these are (OpenFlow 1.3.5 section 6.3.1).
    #[must_use]
    pub fn agreed(ours: u32, theirs: u32) -> Option<Version> {
        Self::ALL.iter().rev().copied().find(|version| ours & theirs & version.bit() != 0)
    }
}

/// How a message is written: Nicira has a form of some messages beside the version's own, because OpenFlow 1.0's says nothing of
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
