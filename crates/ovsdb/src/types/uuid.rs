//! Universally unique identifiers: they name rows.

use std::fmt;
use std::str::FromStr;

/// A UUID, RFC 4122. Ordered as its text is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Uuid([u8; 16]);

impl Uuid {
    /// The UUID of zeros, the default value of a column of UUIDs.
    pub const ZERO: Self = Self([0; 16]);

    /// The UUID of these bytes, in the order of its text.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// A UUID of version 4 from 16 random bytes, RFC 4122 §4.4.
    pub const fn from_random(mut bytes: [u8; 16]) -> Self {
        bytes[6] = bytes[6] & 0x0f | 0x40;
        bytes[8] = bytes[8] & 0x3f | 0x80;
        Self(bytes)
    }

    /// Its bytes, in the order of its text.
    pub const fn bytes(self) -> [u8; 16] {
        self.0
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, byte) in self.0.iter().enumerate() {
            if matches!(index, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text is not the text of a UUID.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is not a valid UUID")]
pub struct NotUuid(String);

impl FromStr for Uuid {
    type Err = NotUuid;

    fn from_str(text: &str) -> Result<Self, NotUuid> {
        let wrong = || NotUuid(text.to_owned());
        let written = text.as_bytes();
        if written.len() != 36 {
            return Err(wrong());
        }
        let (mut bytes, mut digits) = ([0u8; 16], 0);
        for (index, &byte) in written.iter().enumerate() {
            if matches!(index, 8 | 13 | 18 | 23) {
                if byte != b'-' {
                    return Err(wrong());
                }
                continue;
            }
            let digit = (byte as char).to_digit(16).ok_or_else(wrong)? as u8;
            bytes[digits / 2] = bytes[digits / 2] << 4 | digit;
            digits += 1;
        }
        Ok(Self(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_read_as_it_is_written() {
        let text = "550e8400-e29b-41d4-a716-446655440000";
        assert_eq!(text.parse::<Uuid>().unwrap().to_string(), text);
        for wrong in
            ["", "1234-5678", "550e8400-e29b-41d4-a716-44665544000g", "550e8400e-29b-41d4-a716-446655440000"]
        {
            assert!(wrong.parse::<Uuid>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn random_ones_are_of_version_4() {
        assert_eq!(Uuid::from_random([0xff; 16]).to_string(), "ffffffff-ffff-4fff-bfff-ffffffffffff");
    }
}
