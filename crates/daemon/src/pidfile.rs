//! Pid files, held by a record lock, as Open vSwitch's clients expect them: who finds a pid file unlocked takes it for a
//! leftover.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;

/// A pid file of this process; removed with the value.
#[derive(Debug)]
pub struct PidFile {
    path: PathBuf,
    // The lock lives as long as the descriptor does.
    _file: File,
}

/// Why a pid file is not to be had.
#[derive(Debug, thiserror::Error)]
pub enum PidFileError {
    /// Another process holds it.
    #[error("{path}: already running as pid {pid}, aborting")]
    Running {
        /// The file.
        path: String,
        /// Who holds it.
        pid: i32,
    },
    /// The system refuses.
    #[error("{path}: {operation} failed ({source})")]
    System {
        /// The file.
        path: String,
        /// What was being done.
        operation: &'static str,
        /// The system's answer.
        source: io::Error,
    },
}

const fn lock(kind: i32) -> libc::flock {
    libc::flock { l_type: kind as i16, l_whence: libc::SEEK_SET as i16, l_start: 0, l_len: 0, l_pid: 0 }
}

/// The process that holds the pid file, if one does.
#[must_use]
pub fn holder(path: &Path) -> Option<i32> {
    let file = OpenOptions::new().read(true).write(true).open(path).ok()?;
    let mut held = lock(libc::F_WRLCK);
    fcntl(&file, FcntlArg::F_GETLK(&mut held)).ok()?;
    (i32::from(held.l_type) != libc::F_UNLCK).then_some(held.l_pid)
}

impl PidFile {
    /// Writes this process's number. With `overwrite`, another's file is taken over.
    ///
    /// # Errors
    /// Another process holds the file, or the system refuses.
    pub fn create(path: &Path, overwrite: bool) -> Result<Self, PidFileError> {
        let text = path.display().to_string();
        if !overwrite && let Some(pid) = holder(path) {
            return Err(PidFileError::Running { path: text, pid });
        }
        let new =
            path.with_file_name(format!("{}.tmp", path.file_name().unwrap_or_default().to_string_lossy()));
        let failed = |operation| {
            let path = new.display().to_string();
            move |source: io::Error| PidFileError::System { path, operation, source }
        };
        let mut options = OpenOptions::new();
        let file = options.write(true).create(true).truncate(false).mode(0o644).open(&new);
        let mut file = file.map_err(failed("create"))?;
        fcntl(&file, FcntlArg::F_SETLK(&lock(libc::F_WRLCK)))
            .map_err(|error| failed("fcntl(F_SETLK)")(error.into()))?;
        file.set_len(0).map_err(failed("write"))?;
        file.write_all(format!("{}\n", std::process::id()).as_bytes()).map_err(failed("write"))?;
        std::fs::rename(&new, path).map_err(failed("rename"))?;
        Ok(Self { path: path.to_owned(), _file: file })
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leftover_is_replaced_and_the_file_goes_with_the_value() {
        let path = std::env::temp_dir().join(format!("heddle-pidfile-{}.pid", std::process::id()));
        std::fs::write(&path, "1\n").unwrap();
        assert_eq!(holder(&path), None);
        let file = PidFile::create(&path, false).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), format!("{}\n", std::process::id()));
        drop(file);
        assert!(!path.exists());
        let missing = Path::new("/nowhere/x.pid");
        assert!(
            PidFile::create(missing, false)
                .unwrap_err()
                .to_string()
                .starts_with("/nowhere/x.pid.tmp: create")
        );
    }
}
