//! Reading and writing bytes of the wire, big-endian. A reader never looks past its end, and never panics.

use std::time::Duration;

use crate::error::OfError;

/// Reads from a slice; running out is the error that it was made with.
#[derive(Clone, Copy)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    short: OfError,
}

impl<'a> Reader<'a> {
    /// A reader of `bytes`; `short` is what it says when they run out.
    pub fn new(bytes: &'a [u8], short: OfError) -> Self {
        Self { bytes, short }
    }

    /// Bytes that are left.
    pub fn left(&self) -> usize {
        self.bytes.len()
    }

    /// The rest.
    pub fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.bytes)
    }

    /// The next `count` bytes.
    ///
    /// # Errors
    /// If fewer are left.
    pub fn take(&mut self, count: usize) -> Result<&'a [u8], OfError> {
        let (taken, rest) = self.bytes.split_at_checked(count).ok_or(self.short)?;
        self.bytes = rest;
        Ok(taken)
    }

    /// The next `count` bytes, as a reader that says `short`.
    ///
    /// # Errors
    /// If fewer are left.
    pub fn part(&mut self, count: usize, short: OfError) -> Result<Reader<'a>, OfError> {
        Ok(Reader::new(self.take(count)?, short))
    }

    /// Skips bytes.
    ///
    /// # Errors
    /// If fewer are left.
    pub fn skip(&mut self, count: usize) -> Result<(), OfError> {
        self.take(count).map(|_| ())
    }

    /// An Ethernet address.
    ///
    /// # Errors
    /// If fewer than six bytes are left.
    pub fn mac(&mut self) -> Result<[u8; 6], OfError> {
        self.array()
    }

    /// A name in a field of `width` bytes that a zero ends. What is no text becomes question marks, byte by byte, so that it
    /// grows no longer.
    ///
    /// # Errors
    /// If fewer bytes are left.
    pub fn name(&mut self, width: usize) -> Result<String, OfError> {
        let bytes = self.take(width)?;
        let last = bytes.len().saturating_sub(1);
        let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(last).min(last);
        let plain = |&byte: &u8| if byte.is_ascii() { char::from(byte) } else { '?' };
        Ok(match std::str::from_utf8(&bytes[..end]) {
            Ok(name) => name.to_owned(),
            Err(_) => bytes[..end].iter().map(plain).collect(),
        })
    }

    /// A duration, of seconds and nanoseconds. More nanoseconds than a second has count as one short of it.
    ///
    /// # Errors
    /// If fewer than eight bytes are left.
    pub fn duration(&mut self) -> Result<Duration, OfError> {
        let (seconds, nanoseconds) = (self.u32()?, self.u32()?);
        Ok(Duration::new(seconds.into(), nanoseconds.min(999_999_999)))
    }

    /// The same, where seconds of all ones say that it is not known.
    ///
    /// # Errors
    /// If fewer than eight bytes are left.
    pub fn perhaps_duration(&mut self) -> Result<Option<Duration>, OfError> {
        let duration = self.duration()?;
        Ok(Some(duration).filter(|duration| duration.as_secs() != u64::from(u32::MAX)))
    }

    /// What is left of an item whose length in two bytes, which counts itself and `before` bytes before it, comes next.
    ///
    /// # Errors
    /// `short` if the length is too small or too large.
    pub fn sized(&mut self, before: usize, short: OfError) -> Result<Reader<'a>, OfError> {
        let length = usize::from(self.u16()?);
        self.part(length.checked_sub(2 + before).ok_or(short)?, short)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], OfError> {
        let short = self.short;
        self.take(N)?.first_chunk().copied().ok_or(short)
    }

    /// Sixteen bytes.
    ///
    /// # Errors
    /// If fewer are left.
    pub fn u128(&mut self) -> Result<u128, OfError> {
        Ok(u128::from_be_bytes(self.array()?))
    }

    /// A byte.
    ///
    /// # Errors
    /// If none is left.
    pub fn u8(&mut self) -> Result<u8, OfError> {
        Ok(self.array::<1>()?[0])
    }

    /// Two bytes.
    ///
    /// # Errors
    /// If fewer are left.
    pub fn u16(&mut self) -> Result<u16, OfError> {
        Ok(u16::from_be_bytes(self.array()?))
    }

    /// Four bytes.
    ///
    /// # Errors
    /// If fewer are left.
    pub fn u32(&mut self) -> Result<u32, OfError> {
        Ok(u32::from_be_bytes(self.array()?))
    }

    /// Eight bytes.
    ///
    /// # Errors
    /// If fewer are left.
    pub fn u64(&mut self) -> Result<u64, OfError> {
        Ok(u64::from_be_bytes(self.array()?))
    }
}

/// Appends big-endian values.
pub trait Put {
    /// A byte.
    fn u8(&mut self, value: u8);
    /// Two bytes.
    fn u16(&mut self, value: u16);
    /// Four bytes.
    fn u32(&mut self, value: u32);
    /// Eight bytes.
    fn u64(&mut self, value: u64);
    /// A duration, as seconds and nanoseconds.
    fn duration(&mut self, duration: Duration);
    /// The same; all ones say that it is not known.
    fn perhaps_duration(&mut self, duration: Option<Duration>);
    /// Zeros.
    fn zeros(&mut self, count: usize);
    /// Zeros up to a multiple of eight bytes counted from `start`.
    fn pad8(&mut self, start: usize);
    /// A name in a field of `width` bytes, cut so that a zero ends it.
    fn name(&mut self, name: &str, width: usize);
    /// Writes the length since `start` at `at`.
    fn length_at(&mut self, at: usize, start: usize);
}

impl Put for Vec<u8> {
    fn u8(&mut self, value: u8) {
        self.push(value);
    }
    fn u16(&mut self, value: u16) {
        self.extend_from_slice(&value.to_be_bytes());
    }
    fn u32(&mut self, value: u32) {
        self.extend_from_slice(&value.to_be_bytes());
    }
    fn u64(&mut self, value: u64) {
        self.extend_from_slice(&value.to_be_bytes());
    }
    fn duration(&mut self, duration: Duration) {
        self.u32(u32::try_from(duration.as_secs()).unwrap_or(u32::MAX));
        self.u32(duration.subsec_nanos());
    }
    fn perhaps_duration(&mut self, duration: Option<Duration>) {
        match duration {
            Some(duration) => self.duration(duration),
            None => self.u64(u64::MAX),
        }
    }
    fn zeros(&mut self, count: usize) {
        self.resize(self.len() + count, 0);
    }
    fn pad8(&mut self, start: usize) {
        self.zeros((8 - (self.len() - start) % 8) % 8);
    }
    fn name(&mut self, name: &str, width: usize) {
        let taken = name.floor_char_boundary(width - 1);
        self.extend_from_slice(&name.as_bytes()[..taken]);
        self.zeros(width - taken);
    }
    fn length_at(&mut self, at: usize, start: usize) {
        let length = (self.len() - start) as u16;
        self[at..at + 2].copy_from_slice(&length.to_be_bytes());
    }
}
