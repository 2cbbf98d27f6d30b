//! Databases in files: opening, creating, replacing, locking.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, Seek, SeekFrom, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use serde_json::Value;

use crate::Error;
use crate::database::{Database, RecordError};
use crate::log::{CLUSTERED, Reader, encode};
use crate::schema::Schema;
use crate::storage::{Job, Storage};
use crate::types::Uuid;

/// A log is replaced by itself only from this size on, bytes; Open vSwitch's figure.
const REPLACE_FROM: u64 = 10 << 20;
/// A log is replaced once it is so many times as large as its last snapshot.
const REPLACE_AT: u64 = 2;
/// Not sooner after the last time than this, or so many records.
const REPLACE_EVERY: Duration = Duration::from_secs(600);
const REPLACE_RECORDS: usize = 100;

/// Symbolic links that are followed to the file behind a name; Linux follows as many.
const MAX_LINKS: usize = 40;

/// What may be done with a file that is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Nothing is written, and nothing is locked.
    Read,
    /// It is locked, and may be written.
    Write,
}

/// The lock of a database file. It goes with the value.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Locks the file at `path` as Open vSwitch does: by a POSIX lock on `.NAME.~lock~` beside it.
    ///
    /// # Errors
    /// If another process has the lock, or the lock file cannot be made.
    pub fn take(path: &Path) -> io::Result<Self> {
        let path = target(path);
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let lock = path.with_file_name(format!(".{name}.~lock~"));
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(lock)?;
        let whole = libc::flock {
            l_type: libc::F_WRLCK as libc::c_short,
            l_whence: libc::SEEK_SET as libc::c_short,
            l_start: 0,
            l_len: 0,
            l_pid: 0,
        };
        fcntl(&file, FcntlArg::F_SETLK(&whole)).map_err(io::Error::from)?;
        Ok(Self { _file: file })
    }
}

/// The file behind a name, whatever the working directory will be; it need not exist.
fn target(path: &Path) -> PathBuf {
    let mut path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    for _ in 0..MAX_LINKS {
        let Ok(link) = fs::read_link(&path) else { break };
        path = match path.parent() {
            Some(folder) => folder.join(link),
            None => link,
        };
    }
    path
}

fn io_error(path: &Path, what: &str, error: &io::Error) -> Error {
    Error::new("I/O error", format!("{}: {what} ({})", path.display(), reason(error)))
}

/// An error of the system without Rust's number behind it.
fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    match text.find(" (os error") {
        Some(at) => text[..at].to_owned(),
        None => text,
    }
}

fn lock(path: &Path) -> Result<Lock, Error> {
    Lock::take(path).map_err(|error| io_error(path, "failed to lock lockfile", &error))
}

/// A database file that was read.
pub struct Opened {
    /// Its rows.
    pub database: Database,
    /// Where changes are kept; `None` in [`Mode::Read`].
    pub storage: Option<FileStorage>,
    /// Why the end of the file was left out, if it was: it is overwritten by the next record.
    pub torn: Option<Error>,
}

/// The schema with which a database file begins.
///
/// # Errors
/// If the file cannot be read, is not a database, or is a clustered one.
pub fn read_schema(path: &Path) -> Result<Schema, Error> {
    let file = File::open(path).map_err(|error| io_error(path, "open failed", &error))?;
    let mut reader = Reader::new(BufReader::new(file), path.display().to_string());
    first_record(path, &mut reader)
}

/// Whether a file is a clustered database.
pub fn is_clustered(path: &Path) -> bool {
    let mut start = [0; 14];
    File::open(path).and_then(|mut file| io::Read::read_exact(&mut file, &mut start)).is_ok()
        && start == *b"OVSDB CLUSTER "
}

fn first_record(path: &Path, reader: &mut Reader<BufReader<File>>) -> Result<Schema, Error> {
    let record = reader.next_record()?;
    if reader.magic() == Some(CLUSTERED) {
        let text = format!("{}: cannot apply this operation to clustered database file", path.display());
        return Err(Error::new("ovsdb error", text));
    }
    let Some(record) = record else {
        let text = format!("{}: database file contains no schema", path.display());
        return Err(Error::new("ovsdb error", text));
    };
    Schema::from_json(&record).map_err(|mut error| {
        let details = error.details.unwrap_or_default();
        error.details = Some(format!("failed to parse \"{}\" as ovsdb schema: {details}", path.display()));
        error
    })
}

/// Calls `see` with each record of a database file but the first, which is its schema. Returns why reading ended early,
/// if it did.
///
/// # Errors
/// If the file cannot be read or is not a standalone database.
pub fn records(path: &Path, mut see: impl FnMut(&Value)) -> Result<(Schema, Option<Error>), Error> {
    let file = File::open(path).map_err(|error| io_error(path, "open failed", &error))?;
    let mut reader = Reader::new(BufReader::new(file), path.display().to_string());
    let schema = first_record(path, &mut reader)?;
    loop {
        match reader.next_record() {
            Ok(Some(record)) => see(&record),
            Ok(None) => return Ok((schema, None)),
            Err(error) => return Ok((schema, Some(error))),
        }
    }
}

/// Opens a database file; with a `schema`, its rows are read into that in place of its own.
///
/// # Errors
/// If the file cannot be read, is not a standalone database, is locked by another process, or does not hold what its
/// schema asks for.
pub fn open(
    path: &Path,
    mode: Mode,
    schema: Option<&Schema>,
    uuids: &mut dyn FnMut() -> Uuid,
) -> Result<Opened, Error> {
    let opened = OpenOptions::new().read(true).write(mode == Mode::Write).open(path);
    let file = opened.map_err(|error| io_error(path, "open failed", &error))?;
    let lock = (mode == Mode::Write).then(|| lock(path)).transpose()?;
    let clone = file.try_clone().map_err(|error| io_error(path, "open failed", &error))?;
    let mut reader = Reader::new(BufReader::new(clone), path.display().to_string());
    let own = first_record(path, &mut reader)?;
    let converting = schema.is_some();
    let mut database = Database::new(schema.cloned().unwrap_or(own));
    let mut count = 0;
    let torn = loop {
        match reader.next_record() {
            Ok(None) => break None,
            Err(error) => break Some(error),
            Ok(Some(record)) => {
                if let Err(RecordError::Wrong(error)) = database.replay(&record, converting) {
                    reader.unread();
                    break Some(error);
                }
                count += 1;
            }
        }
    };
    database.finish_replay(uuids)?;
    let storage = match lock {
        None => None,
        Some(lock) => {
            let (length, since) = (reader.offset(), Instant::now());
            let mut storage = FileStorage {
                path: target(path),
                file: Arc::new(file),
                length,
                base: length,
                count,
                since,
                _lock: lock,
            };
            if torn.is_some() {
                storage.cut().map_err(|error| io_error(&storage.path, "truncate failed", &error))?;
            }
            Some(storage)
        }
    };
    Ok(Opened { database, storage, torn })
}

/// Creates a database file without rows.
///
/// # Errors
/// If there is a file, or it cannot be written.
pub fn create(path: &Path, schema: &Schema) -> Result<(), Error> {
    let _lock = lock(path)?;
    let made = OpenOptions::new().write(true).create_new(true).mode(0o640).open(target(path));
    let mut file = made.map_err(|error| io_error(path, "create failed", &error))?;
    let written = file.write_all(&encode(&schema.to_json())).and_then(|()| file.sync_all());
    written.map_err(|error| io_error(path, "write failed", &error))?;
    sync_folder(&target(path)).map_err(|error| io_error(path, "write failed", &error))
}

/// Writes a whole database file, first beside its place and then in one step to it.
///
/// # Errors
/// If it cannot be written; what was in its place stays.
pub fn write_whole(
    path: &Path,
    schema: &Schema,
    snapshot: Option<&Value>,
    comment: &str,
) -> io::Result<File> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".tmp");
    let temporary = path.with_file_name(name);
    let _lock = Lock::take(&temporary)?;
    let mode = fs::metadata(path).map_or(0o640, |metadata| metadata.permissions().mode() & 0o777);
    let written = || {
        let mut options = OpenOptions::new();
        let mut file =
            options.read(true).write(true).create(true).truncate(true).mode(mode).open(&temporary)?;
        file.write_all(&encode(&schema.to_json()))?;
        let nothing = Value::Object(serde_json::Map::new());
        file.write_all(&encode(&dated(snapshot.unwrap_or(&nothing), comment)))?;
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        sync_folder(path)?;
        Ok(file)
    };
    written().inspect_err(|_| drop(fs::remove_file(&temporary)))
}

fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

/// A record with the time at which it is written.
fn dated(record: &Value, comment: &str) -> Value {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64;
    let mut record = record.clone();
    if let Some(members) = record.as_object_mut() {
        members.insert("_date".into(), now.into());
        if !comment.is_empty() {
            members.insert("_comment".into(), comment.into());
        }
    }
    record
}

/// A database file that is written.
#[derive(Debug)]
pub struct FileStorage {
    path: PathBuf,
    file: Arc<File>,
    /// Bytes of whole records.
    length: u64,
    /// Bytes after the last replacement, or when it was opened.
    base: u64,
    /// Records since.
    count: usize,
    since: Instant,
    _lock: Lock,
}

impl FileStorage {
    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes of the file.
    pub const fn length(&self) -> u64 {
        self.length
    }

    fn cut(&mut self) -> io::Result<()> {
        self.file.set_len(self.length)
    }
}

impl Storage for FileStorage {
    fn append(&mut self, record: &Value) -> io::Result<()> {
        let bytes = encode(&dated(record, ""));
        let mut file = &*self.file;
        let written = file.seek(SeekFrom::Start(self.length)).and_then(|_| file.write_all(&bytes));
        if let Err(error) = written {
            // Half a record must not stay in front of the next one.
            self.cut()?;
            return Err(error);
        }
        self.length += bytes.len() as u64;
        self.count += 1;
        Ok(())
    }

    fn sync(&mut self) -> Option<Job> {
        let file = Arc::clone(&self.file);
        Some(Box::new(move || file.sync_data()))
    }

    fn replace(&mut self, schema: &Schema, snapshot: Option<&Value>, comment: &str) -> io::Result<()> {
        let file = write_whole(&self.path, schema, snapshot, comment)?;
        self.length = file.metadata()?.len();
        self.file = Arc::new(file);
        (self.base, self.count, self.since) = (self.length, 0, Instant::now());
        Ok(())
    }

    fn wants_replacing(&mut self) -> bool {
        self.length >= REPLACE_FROM
            && self.length >= self.base.saturating_mul(REPLACE_AT)
            && (self.count >= REPLACE_RECORDS || self.since.elapsed() >= REPLACE_EVERY)
    }
}
