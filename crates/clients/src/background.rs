//! Going to the background: `--detach` and `--pidfile`.
//!
//! A process with threads cannot fork safely, so the program starts itself a second time. The second process has one end
//! of a socket as its standard input, and sends a byte by it once it is ready; the first waits for that, and ends.

use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Mutex;

use crate::fatal::{Fatal, fail};
use crate::options::Given;
use crate::{log, place};

/// Set in the environment of the process that is in the background.
const VARIABLE: &str = "HEDDLE_CLIENT_DETACHED";

/// What the options of the background asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Background {
    /// Go to the background.
    pub detach: bool,
    /// Write the process's number to a file of this name; empty for `PROGRAM.pid`.
    pub pidfile: Option<String>,
    /// What goes wrong in the background is still written to standard error, because it is an answer to what was asked.
    pub keeps_errors: bool,
}

/// Files to remove when the process ends.
static FILES: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// Remembers a file to remove when the process ends.
pub fn remove_at_end(path: PathBuf) {
    FILES.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(path);
}

/// Removes what was remembered.
pub fn clean_up() {
    for path in FILES.lock().unwrap_or_else(std::sync::PoisonError::into_inner).drain(..) {
        let _ = std::fs::remove_file(path);
    }
}

impl Background {
    /// Takes an option; whether it was one of these.
    pub fn take_option(&mut self, given: &Given) -> bool {
        match given.name.as_str() {
            "detach" => self.detach = true,
            "pidfile" => self.pidfile = Some(given.text().to_owned()),
            "no-chdir" | "overwrite-pidfile" | "monitor" | "no-self-confinement" | "user" => {}
            _ => return false,
        }
        true
    }

    /// Starts the process in the background, where asked for: `Some` is the exit code of the one in the foreground, which
    /// has nothing more to do.
    ///
    /// # Errors
    /// It cannot be started, or ended before it was ready.
    pub fn start(&self) -> Result<Option<u8>, Fatal> {
        if !self.detach || std::env::var_os(VARIABLE).is_some() {
            return Ok(None);
        }
        let (mut here, there) = UnixStream::pair()?;
        let mut words = std::env::args_os();
        let mut command = Command::new(std::env::current_exe()?);
        if let Some(name) = words.next() {
            command.arg0(name);
        }
        let mut child =
            command.args(words).env(VARIABLE, "1").stdin(Stdio::from(OwnedFd::from(there))).spawn()?;
        drop(command);
        let mut ready = [0];
        if here.read_exact(&mut ready).is_ok() {
            return Ok(Some(0));
        }
        match child.wait()?.code() {
            Some(code @ 1..=255) => Err(Fatal::coded(code as u8, "")),
            _ => fail("the process in the background ended before it was ready"),
        }
    }

    /// Says that the process is ready: writes the pid file, and lets the one in the foreground end.
    ///
    /// # Errors
    /// The pid file cannot be written.
    pub fn ready(&self) -> Result<(), Fatal> {
        if let Some(name) = &self.pidfile {
            let name = if name.is_empty() { format!("{}.pid", log::program()) } else { name.clone() };
            let path = place::run_directory().join(name);
            std::fs::write(&path, format!("{}\n", std::process::id()))
                .map_err(|error| Fatal::system(format!("{}: create failed", path.display()), &error))?;
            remove_at_end(path);
        }
        if self.detach && std::env::var_os(VARIABLE).is_some() {
            let _ = nix::unistd::setsid();
            let input = std::io::stdin().as_fd().try_clone_to_owned()?;
            let _ = UnixStream::from(input).write_all(&[1]);
            let null = std::fs::File::options().read(true).write(true).open("/dev/null")?;
            let _ = nix::unistd::dup2_stdin(&null);
            if !self.keeps_errors {
                // What goes wrong later is for the log: nobody looks at the terminal that this was started from.
                let _ = nix::unistd::dup2_stderr(&null);
            }
        }
        Ok(())
    }
}
