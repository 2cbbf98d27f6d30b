//! Classic pcap files: a writer that any reader understands, and a reader that trusts nothing.
//!
//! A capture ends wherever its writer was killed. The reader therefore yields every whole record and then says
//! whether the file was cut short, instead of failing; what no writer makes (a record of gigabytes, an unknown
//! magic number) is an error. Its memory is bounded by [`MAX_RECORD`].
//!
//! ```text
//!  file:   magic u32 | version 2.4 | zone | accuracy | snapshot length | link type | records
//!  record: seconds u32 | fraction u32 | captured u32 | original u32 | captured bytes
//! ```

use std::io::{self, Read, Write};
use std::time::Duration;

/// Longest record that is read: more than a 64 KiB segment, and what other tools use.
pub const MAX_RECORD: u32 = 262_144;
/// The link type of Ethernet frames.
pub const ETHERNET: u32 = 1;

const MAGIC_MICROS: u32 = 0xa1b2_c3d4;
const MAGIC_NANOS: u32 = 0xa1b2_3c4d;
const FILE_HEADER: usize = 24;
const RECORD_HEADER: usize = 16;

/// Writes Ethernet frames with nanosecond times.
///
/// Each record is handed on by one `write`, so that a file written without a buffer is whole up to the last frame
/// when the process is killed.
pub struct Writer<W> {
    inner: W,
    record: Vec<u8>,
    left: u64,
}

impl<W: Write> Writer<W> {
    /// Starts a capture that will take at most `limit` bytes.
    ///
    /// # Errors
    /// If the header cannot be written.
    pub fn new(mut inner: W, limit: u64) -> io::Result<Self> {
        let mut header = Vec::with_capacity(FILE_HEADER);
        header.extend(MAGIC_NANOS.to_le_bytes());
        header.extend(2_u16.to_le_bytes());
        header.extend(4_u16.to_le_bytes());
        header.extend([0; 8]);
        header.extend(MAX_RECORD.to_le_bytes());
        header.extend(ETHERNET.to_le_bytes());
        inner.write_all(&header)?;
        Ok(Self { inner, record: Vec::new(), left: limit.saturating_sub(FILE_HEADER as u64) })
    }

    /// Writes a frame; false if the capture is full.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write(&mut self, time: Duration, frame: &[u8]) -> io::Result<bool> {
        let captured = frame.len().min(MAX_RECORD as usize);
        let size = (RECORD_HEADER + captured) as u64;
        if size > self.left {
            return Ok(false);
        }
        self.record.clear();
        let original = u32::try_from(frame.len()).unwrap_or(u32::MAX);
        for word in [time.as_secs() as u32, time.subsec_nanos(), captured as u32, original] {
            self.record.extend(word.to_le_bytes());
        }
        self.record.extend_from_slice(&frame[..captured]);
        self.inner.write_all(&self.record)?;
        self.left -= size;
        Ok(true)
    }

    /// The writer below.
    pub fn into_inner(self) -> W {
        self.inner
    }
}

/// Why a file is no capture.
#[derive(Debug, thiserror::Error)]
pub enum PcapError {
    /// It could not be read.
    #[error("the capture cannot be read: {0}")]
    Read(#[from] io::Error),
    /// It does not start as one.
    #[error(
        "not a classic pcap file (it starts with {0:#010x}; a pcapng file can be converted with editcap)"
    )]
    Magic(u32),
    /// A record claims more bytes than a capture has.
    #[error("a record claims {0} bytes; at most {MAX_RECORD} are read")]
    TooLong(u32),
}

/// A captured frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// When, since the epoch.
    pub time: Duration,
    /// Bytes that the frame had; more than `frame` where the capture cut it.
    pub original: u32,
    /// The frame.
    pub frame: Vec<u8>,
}

/// Reads a capture, of either byte order and either precision.
pub struct Reader<R> {
    inner: R,
    swapped: bool,
    nanos: bool,
    link_type: u32,
    cut_short: bool,
}

impl<R: Read> Reader<R> {
    /// Reads the file's header.
    ///
    /// # Errors
    /// If there is none, or it is that of another format.
    pub fn new(mut inner: R) -> Result<Self, PcapError> {
        let mut header = [0; FILE_HEADER];
        inner.read_exact(&mut header)?;
        let magic = u32::from_le_bytes([header[0], header[1], header[2], header[3]]);
        let (swapped, nanos) = match (magic, magic.swap_bytes()) {
            (MAGIC_MICROS, _) => (false, false),
            (MAGIC_NANOS, _) => (false, true),
            (_, MAGIC_MICROS) => (true, false),
            (_, MAGIC_NANOS) => (true, true),
            _ => return Err(PcapError::Magic(magic)),
        };
        let mut reader = Self { inner, swapped, nanos, link_type: 0, cut_short: false };
        // The upper bits say whether frames carry an FCS, and are not part of the type.
        reader.link_type = reader.word(&header, 20) & 0xffff;
        Ok(reader)
    }

    /// What the frames are; [`ETHERNET`] in a capture of a bridge.
    pub fn link_type(&self) -> u32 {
        self.link_type
    }

    /// Whether the file ended within a record.
    pub fn cut_short(&self) -> bool {
        self.cut_short
    }

    fn word(&self, bytes: &[u8], at: usize) -> u32 {
        let word = u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        if self.swapped { word.swap_bytes() } else { word }
    }

    /// The next record; `None` at the file's end.
    ///
    /// # Errors
    /// If the file cannot be read, or a record claims more than [`MAX_RECORD`] bytes.
    pub fn read(&mut self) -> Result<Option<Record>, PcapError> {
        let mut header = [0; RECORD_HEADER];
        if !self.whole(&mut header)? {
            return Ok(None);
        }
        let captured = self.word(&header, 8);
        if captured > MAX_RECORD {
            return Err(PcapError::TooLong(captured));
        }
        let mut frame = vec![0; captured as usize];
        if captured != 0 && !self.whole(&mut frame)? {
            self.cut_short = true;
            return Ok(None);
        }
        let fraction = u64::from(self.word(&header, 4));
        let fraction = Duration::from_nanos(if self.nanos { fraction } else { fraction * 1000 });
        let time = Duration::from_secs(u64::from(self.word(&header, 0))) + fraction;
        Ok(Some(Record { time, original: self.word(&header, 12), frame }))
    }

    /// Fills the room; false if the file ends before, noting whether it ended within.
    fn whole(&mut self, room: &mut [u8]) -> io::Result<bool> {
        let mut filled = 0;
        while filled < room.len() {
            match self.inner.read(&mut room[filled..]) {
                Ok(0) => {
                    self.cut_short |= filled != 0;
                    return Ok(false);
                }
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn capture() -> Vec<u8> {
        let mut writer = Writer::new(Vec::new(), u64::MAX).unwrap();
        for (second, length) in [(1, 60), (2, 0), (3, 66_000)] {
            let time = Duration::new(second, 5);
            assert!(writer.write(time, &vec![second as u8; length]).unwrap());
        }
        writer.into_inner()
    }

    fn read(bytes: &[u8]) -> (Vec<Record>, bool) {
        let mut reader = Reader::new(bytes).unwrap();
        assert_eq!(reader.link_type(), ETHERNET);
        let records = std::iter::from_fn(|| reader.read().unwrap()).collect();
        (records, reader.cut_short())
    }

    #[test]
    fn what_is_written_is_read() {
        let (records, cut) = read(&capture());
        assert!(!cut);
        assert_eq!(records.iter().map(|record| record.frame.len()).collect::<Vec<_>>(), [60, 0, 66_000]);
        assert_eq!(records[2].time, Duration::new(3, 5));
        assert_eq!(records[2].original, 66_000);
    }

    #[test]
    fn a_capture_cut_at_any_byte_yields_its_whole_records() {
        let whole = capture();
        let borders = [FILE_HEADER, FILE_HEADER + 76, FILE_HEADER + 92, whole.len()];
        for end in (FILE_HEADER..FILE_HEADER + 200).chain([whole.len() - 1, whole.len()]) {
            let (records, cut) = read(&whole[..end]);
            assert_eq!(records.len(), borders.iter().filter(|&&border| border <= end).count() - 1, "{end}");
            assert_eq!(cut, !borders.contains(&end), "{end}");
        }
        assert!((0..FILE_HEADER).all(|end| Reader::new(&whole[..end]).is_err()));
    }

    #[test]
    fn either_byte_order_and_precision_is_read() {
        let mut bytes = Vec::new();
        for word in [MAGIC_MICROS, 0x0002_0004, 0, 0, 65_535, ETHERNET, 7, 8, 4, 4] {
            bytes.extend(word.to_be_bytes());
        }
        bytes.extend([1, 2, 3, 4]);
        let (records, _) = read(&bytes);
        assert_eq!(records[0].time, Duration::new(7, 8000));
        assert_eq!(records[0].frame, [1, 2, 3, 4]);
    }

    #[test]
    fn absurd_files_are_refused() {
        assert!(matches!(Reader::new(&[0x0a; 64][..]), Err(PcapError::Magic(0x0a0a_0a0a))));
        let mut bytes = capture();
        bytes[FILE_HEADER + 8..FILE_HEADER + 12].fill(0xff);
        assert!(matches!(Reader::new(&bytes[..]).unwrap().read(), Err(PcapError::TooLong(u32::MAX))));
    }

    #[test]
    fn a_full_capture_stops() {
        let mut writer = Writer::new(Vec::new(), 24 + 76 + 10).unwrap();
        assert!(writer.write(Duration::ZERO, &[0; 60]).unwrap());
        assert!(!writer.write(Duration::ZERO, &[0; 60]).unwrap());
        assert_eq!(writer.into_inner().len(), 24 + 76);
    }
}
