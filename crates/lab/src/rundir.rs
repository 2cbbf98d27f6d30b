//! Run directories: one per lab, under a base that depends on who runs it.
//!
//! A lab is alive while its watcher holds a lock on the directory's `lock` file, so a directory left behind by a
//! crash is told from a live one without guessing by process ids. Making, listing and removing happen under a
//! lock on the base.

use crate::LabError;
use nix::fcntl::{Flock, FlockArg};
use nix::unistd::geteuid;
use std::fs::{self, DirBuilder, File};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

/// A live lab's directory, held by its watcher.
#[derive(Debug)]
pub(crate) struct RunDir {
    path: PathBuf,
    base: PathBuf,
    _lock: Flock<File>,
}

/// Where run directories are: `$HEDDLE_RUNDIR`, `/run/heddle` for root, else the user's own.
#[must_use]
pub fn base() -> PathBuf {
    if let Some(base) = std::env::var_os("HEDDLE_RUNDIR").filter(|v| !v.is_empty()) {
        return base.into();
    }
    if geteuid().is_root() {
        return "/run/heddle".into();
    }
    match std::env::var_os("XDG_RUNTIME_DIR").filter(|v| !v.is_empty()) {
        Some(runtime) => Path::new(&runtime).join("heddle"),
        None => format!("/tmp/heddle-{}", geteuid()).into(),
    }
}

/// Refuses names that are not plain file names.
pub(crate) fn check_name(name: &str) -> Result<(), LabError> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    if (1..=64).contains(&name.len()) && name.bytes().all(plain) && !name.starts_with('.') {
        return Ok(());
    }
    Err(LabError::Name(name.to_owned()))
}

/// Whether the lab of that directory is alive.
pub(crate) fn is_live(path: &Path) -> bool {
    let Ok(file) = File::open(path.join("lock")) else {
        return false;
    };
    Flock::lock(file, FlockArg::LockSharedNonblock).is_err()
}

/// Names of the live labs.
///
/// # Errors
/// When the base cannot be read.
pub fn list() -> Result<Vec<String>, LabError> {
    let base = base();
    if !base.exists() {
        return Ok(Vec::new());
    }
    let _guard = lock_base(&base)?;
    let doing = || format!("read {}", base.display());
    let mut names = Vec::new();
    for entry in fs::read_dir(&base).map_err(LabError::system(doing()))? {
        let entry = entry.map_err(LabError::system(doing()))?;
        if is_live(&entry.path()) {
            names.extend(entry.file_name().into_string().ok());
        }
    }
    names.sort();
    Ok(names)
}

impl RunDir {
    /// Makes the directory of a new lab, in place of a dead one's.
    pub(crate) fn create(base: &Path, name: &str) -> Result<Self, LabError> {
        check_name(name)?;
        let guard = make_base(base).and_then(|()| lock_base(base))?;
        let path = base.join(name);
        if is_live(&path) {
            return Err(LabError::Running(name.to_owned()));
        }
        let doing = || format!("make {}", path.display());
        if path.symlink_metadata().is_ok() {
            fs::remove_dir_all(&path).map_err(LabError::system(doing()))?;
        }
        DirBuilder::new()
            .mode(0o700)
            .create(&path)
            .map_err(LabError::system(doing()))?;
        let file = File::create(path.join("lock")).map_err(LabError::system(doing()))?;
        let lock = Flock::lock(file, FlockArg::LockExclusiveNonblock)
            .map_err(|(_, e)| LabError::system(doing())(e))?;
        drop(guard);
        Ok(Self {
            path,
            base: base.to_owned(),
            _lock: lock,
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Removes it with all that is in it.
    pub(crate) fn remove(self) {
        let _guard = lock_base(&self.base);
        if let Err(e) = fs::remove_dir_all(&self.path) {
            eprintln!("cannot remove {}: {e}", self.path.display());
        }
    }
}

/// The base is made private; one that belongs to somebody else is refused, because `/tmp` is anyone's.
fn make_base(base: &Path) -> Result<(), LabError> {
    let doing = || format!("use {} for run directories", base.display());
    DirBuilder::new()
        .mode(0o700)
        .recursive(true)
        .create(base)
        .map_err(LabError::system(doing()))?;
    let owner = base
        .symlink_metadata()
        .map_err(LabError::system(doing()))?
        .uid();
    if owner != geteuid().as_raw() {
        let text = format!("{}: belongs to user {owner}", base.display());
        return Err(LabError::Refused(text));
    }
    Ok(())
}

fn lock_base(base: &Path) -> Result<Flock<File>, LabError> {
    let doing = || format!("lock {}", base.display());
    let file = File::open(base).map_err(LabError::system(doing()))?;
    Flock::lock(file, FlockArg::LockExclusive).map_err(|(_, e)| LabError::system(doing())(e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_file_names() {
        for bad in ["", ".", "..", "a/b", "a b", ".x"] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
        assert!(check_name("lab-1.x").is_ok());
    }

    #[test]
    fn a_live_name_is_refused_and_a_dead_one_replaced() {
        let base = std::env::temp_dir().join(format!("heddle-rundir-{}", std::process::id()));
        let first = RunDir::create(&base, "x").unwrap();
        let path = first.path().to_owned();
        fs::write(path.join("left"), "").unwrap();
        assert!(matches!(
            RunDir::create(&base, "x"),
            Err(LabError::Running(_))
        ));
        drop(first);
        let second = RunDir::create(&base, "x").unwrap();
        assert!(!path.join("left").exists());
        second.remove();
        assert!(!path.exists());
        fs::remove_dir(&base).unwrap();
    }
}
