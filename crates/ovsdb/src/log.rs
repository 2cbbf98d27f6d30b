//! OVSDB's log format, ovsdb(5): a text file of records, each a line that tells length and hash, and a line of JSON.
//!
//! ```text
//! OVSDB JSON 8 3d8ed30f471ad1b7b4b571cb0c7d5ed3e81350aa
//! {"x":2}
//! ```
//!
//! The length counts the JSON and its newline, the SHA-1 hash is of the same bytes. A crash can leave the last record torn;
//! it was never told to be done, so a reader stops there and a writer overwrites it.

use std::io::{self, BufRead, Read};

use serde_json::Value;
use sha1::{Digest, Sha1};

use crate::Error;

/// The magic of a standalone database.
pub const STANDALONE: &str = "JSON";
/// The magic of a clustered one, which is another format behind the same headers.
pub const CLUSTERED: &str = "CLUSTER";

/// The longest header line, bytes; what is longer is not one.
const MAX_HEADER: u64 = 128;

/// A record as it stands in the log.
pub fn encode(record: &Value) -> Vec<u8> {
    let json = format!("{record}\n");
    let mut bytes = format!("OVSDB {STANDALONE} {} {}\n", json.len(), hash(json.as_bytes())).into_bytes();
    bytes.extend_from_slice(json.as_bytes());
    bytes
}

fn hash(bytes: &[u8]) -> String {
    Sha1::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Reads records one by one.
#[derive(Debug)]
pub struct Reader<R> {
    input: R,
    name: String,
    magic: Option<String>,
    /// Where the next record begins.
    offset: u64,
    /// Where the record that was read last begins.
    last: u64,
}

impl<R: BufRead> Reader<R> {
    /// A reader at the start of a log, which errors call `name`.
    pub fn new(input: R, name: impl Into<String>) -> Self {
        Self { input, name: name.into(), magic: None, offset: 0, last: 0 }
    }

    /// The end of what was read whole: a writer goes on here.
    pub const fn offset(&self) -> u64 {
        self.offset
    }

    /// Takes the record that was read last for one that is not there.
    pub const fn unread(&mut self) {
        self.offset = self.last;
    }

    /// The kind of log: [`STANDALONE`] or [`CLUSTERED`]; known after the first record.
    pub fn magic(&self) -> Option<&str> {
        self.magic.as_deref()
    }

    /// The next record; `None` at the end.
    ///
    /// # Errors
    /// If what follows is not a record, or not a whole one. What was read before stands.
    pub fn next_record(&mut self) -> Result<Option<Value>, Error> {
        let name = &self.name;
        let failed = |error: &io::Error| Error::new("I/O error", format!("{name}: read failed ({error})"));
        let mut header = Vec::new();
        let read = (&mut self.input).take(MAX_HEADER).read_until(b'\n', &mut header);
        read.map_err(|error| failed(&error))?;
        if header.is_empty() {
            return Ok(None);
        }
        let Some((magic, length, expected)) = parse_header(&header, self.magic.as_deref()) else {
            let line = String::from_utf8_lossy(&header);
            let (offset, line) = (self.offset, line.trim_end_matches('\n'));
            let text = format!("{name}: parse error at offset {offset} in header line \"{line}\"");
            return Err(Error::plain_syntax(text));
        };
        let start = self.offset + header.len() as u64;
        let mut json = Vec::new();
        let read = (&mut self.input).take(length).read_to_end(&mut json).map_err(|error| failed(&error))?;
        if (read as u64) < length {
            let text =
                format!("{name}: error reading {length} bytes starting at offset {start} (End of file)");
            return Err(Error::new("I/O error", text));
        }
        let found = hash(&json);
        if !found.eq_ignore_ascii_case(expected) {
            let text = format!(
                "{name}: {length} bytes starting at offset {start} have SHA-1 hash {found} but should have hash \
                 {expected}"
            );
            return Err(Error::plain_syntax(text));
        }
        let value: Value = serde_json::from_slice(&json).map_err(|error| {
            let text =
                format!("{name}: {length} bytes starting at offset {start} are not valid JSON ({error})");
            Error::plain_syntax(text)
        })?;
        if !value.is_object() {
            let text = format!(
                "{name}: {length} bytes starting at offset {start} are not valid JSON (line 0, column 4, byte 4: \
                 syntax error at beginning of input)"
            );
            return Err(Error::plain_syntax(text));
        }
        self.magic = Some(magic.to_owned());
        self.last = self.offset;
        self.offset = start + length;
        Ok(Some(value))
    }
}

/// Magic, length and hash; `None` if the line is not a header, or one of another kind than those before.
fn parse_header<'a>(line: &'a [u8], known: Option<&str>) -> Option<(&'a str, u64, &'a str)> {
    let line = std::str::from_utf8(line).ok()?.strip_suffix('\n')?;
    let mut words = line.split(' ');
    let (ovsdb, magic, length, hash) = (words.next()?, words.next()?, words.next()?, words.next()?);
    let right = ovsdb == "OVSDB"
        && words.next().is_none()
        && matches!(magic, STANDALONE | CLUSTERED)
        && known.is_none_or(|known| known == magic)
        && length.bytes().all(|byte| byte.is_ascii_digit())
        && hash.len() == 40
        && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
    let length = length.parse().ok().filter(|length| *length > 0)?;
    right.then_some((magic, length, hash))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(bytes: &[u8]) -> (Vec<Value>, u64, Option<String>) {
        let mut reader = Reader::new(bytes, "file");
        let mut records = Vec::new();
        let error = loop {
            match reader.next_record() {
                Ok(Some(record)) => records.push(record),
                Ok(None) => break None,
                Err(error) => break Some(error.to_string()),
            }
        };
        (records, reader.offset(), error)
    }

    #[test]
    fn a_record_is_as_open_vswitch_writes_it() {
        let text = "OVSDB JSON 8 3d8ed30f471ad1b7b4b571cb0c7d5ed3e81350aa\n{\"x\":2}\n";
        assert_eq!(encode(&json!({"x": 2})), text.as_bytes());
    }

    #[test]
    fn a_log_that_is_cut_anywhere_has_the_records_that_are_whole() {
        let records: Vec<Value> = (0..4).map(|n| json!({"x": n, "text": "é".repeat(n)})).collect();
        let mut log = Vec::new();
        let mut ends = vec![0];
        for record in &records {
            log.extend(encode(record));
            ends.push(log.len());
        }
        for cut in 0..=log.len() {
            let whole = ends.iter().filter(|end| **end <= cut).count() - 1;
            let (found, offset, error) = read(&log[..cut]);
            assert_eq!((found.as_slice(), offset), (&records[..whole], ends[whole] as u64), "{cut}");
            assert_eq!(error.is_none(), ends.contains(&cut), "{cut}: {error:?}");
        }
    }

    #[test]
    fn what_is_no_record_is_told_with_its_place() {
        let good = encode(&json!({"x": 2}));
        for (bytes, text) in [
            (b"xxx\n".to_vec(), "syntax error: file: parse error at offset 62 in header line \"xxx\""),
            (
                String::from_utf8(good.clone()).unwrap().replace("{\"x\":2}", "{\"x\":3}").into_bytes(),
                "syntax error: file: 8 bytes starting at offset 116 have SHA-1 hash \
                 2683fd63b5b9fd49df4f2aa25bf7db5cbbebbe6f but should have hash 3d8ed30f471ad1b7b4b571cb0c7d5ed3e81350aa",
            ),
            (
                good[..56].to_vec(),
                "I/O error: file: error reading 8 bytes starting at offset 116 (End of file)",
            ),
            (
                b"OVSDB JSON 5 d910b02871075d3156ec8675dfc95b7d5d640aa6\nnull\n".to_vec(),
                "syntax error: file: 5 bytes starting at offset 116 are not valid JSON (line 0, column 4, byte 4: \
                 syntax error at beginning of input)",
            ),
        ] {
            let (found, offset, error) = read(&[good.clone(), bytes].concat());
            assert_eq!((found.len(), offset, error.as_deref()), (1, 62, Some(text)));
        }
    }
}
