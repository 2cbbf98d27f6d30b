//! What all views and representations share: the error of a malformed packet, and reads that cannot go astray.
//!
//! A *view* checks lengths once, in `new`, and keeps the fixed header as an array reference, so that every
//! accessor's index is known to lie within it. A *representation* holds meaningful values only; what can be
//! built can be emitted.

/// Why bytes are not the header that they were taken for, or do not fit where they are to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WireError {
    /// There are fewer bytes than the header needs.
    Short,
    /// A version or type field names another format.
    Version,
    /// A length field contradicts the header's format or the bytes there are.
    Length,
    /// The checksum is wrong.
    Checksum,
    /// A field holds a value that has no meaning.
    Value,
    /// More headers, tags or options follow each other than are walked.
    TooMany,
}

impl std::fmt::Display for WireError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Short => "the header is cut short",
            Self::Version => "the header is of another version or type",
            Self::Length => "a length field contradicts the packet",
            Self::Checksum => "the checksum is wrong",
            Self::Value => "a field holds a value without meaning",
            Self::TooMany => "too many headers follow each other",
        })
    }
}

impl std::error::Error for WireError {}

/// Up to `N` bytes held in place, such as a header's options.
#[derive(Clone, Copy)]
pub struct Inline<const N: usize> {
    bytes: [u8; N],
    len: u8,
}

impl<const N: usize> Inline<N> {
    /// No bytes.
    pub const EMPTY: Self = Self { bytes: [0; N], len: 0 };

    /// A copy of `bytes`, padded with zeros to a multiple of four.
    ///
    /// # Errors
    /// If there are more than `N`.
    pub fn padded(bytes: &[u8]) -> Result<Self, WireError> {
        let len = bytes.len().next_multiple_of(4);
        let mut inline = Self { bytes: [0; N], len: u8::try_from(len).map_err(|_| WireError::Length)? };
        if len > N {
            return Err(WireError::Length);
        }
        inline.bytes[..bytes.len()].copy_from_slice(bytes);
        Ok(inline)
    }
}

impl<const N: usize> std::ops::Deref for Inline<N> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

impl<const N: usize> Default for Inline<N> {
    fn default() -> Self {
        Self::EMPTY
    }
}

impl<const N: usize> PartialEq for Inline<N> {
    fn eq(&self, other: &Self) -> bool {
        self[..] == other[..]
    }
}

impl<const N: usize> Eq for Inline<N> {}

impl<const N: usize> std::fmt::Debug for Inline<N> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self[..].fmt(f)
    }
}

/// The first `N` bytes and the rest.
pub(crate) fn split<const N: usize>(bytes: &[u8]) -> Result<(&[u8; N], &[u8]), WireError> {
    bytes.split_first_chunk().ok_or(WireError::Short)
}

/// The first `length` bytes.
pub(crate) fn room(buffer: &mut [u8], length: usize) -> Result<&mut [u8], WireError> {
    buffer.get_mut(..length).ok_or(WireError::Short)
}

/// `N` bytes at `at`, which the caller's array must hold.
pub(crate) fn array<const L: usize, const N: usize>(header: &[u8; L], at: usize) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&header[at..at + N]);
    out
}

/// The 16-bit number at `at`.
pub(crate) fn be16<const L: usize>(header: &[u8; L], at: usize) -> u16 {
    u16::from_be_bytes([header[at], header[at + 1]])
}

/// The 32-bit number at `at`.
pub(crate) fn be32<const L: usize>(header: &[u8; L], at: usize) -> u32 {
    u32::from_be_bytes(array(header, at))
}
