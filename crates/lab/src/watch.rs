//! The process that outlives a supervisor by a moment. It stays in the machine's namespaces, waits on the
//! supervisor's pidfd, and then removes the run directory, which nothing in the kernel would. While it waits
//! it relays the switches' connections to a remote controller: the lab has a network of its own, from which
//! the machine's is out of reach, but the file system is shared.

use std::fs::File;
use std::io;
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use heddle_instance::sys;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

const MAX_RELAYED: usize = 4096;

/// Runs `heddle lab-watch RUN_DIRECTORY [ADDRESS:PORT]`: descriptor 3 is the supervisor's pidfd.
///
/// # Errors
/// The descriptor is missing or the relay's socket cannot be made.
pub fn run(run_directory: &Path, remote_controller: Option<String>) -> io::Result<()> {
    let supervisor = sys::inherited_descriptor(3)?;
    let directory = File::open(run_directory)?;
    if let Some(address) = remote_controller {
        let listener = UnixListener::bind(run_directory.join("remote-controller.sock"))?;
        std::thread::spawn(move || relay(&listener, &address));
    }
    let mut wanted = [PollFd::new(supervisor.as_fd(), PollFlags::POLLIN)];
    while poll(&mut wanted, PollTimeout::NONE) == Err(nix::errno::Errno::EINTR) {}
    // Whoever has the lock by now has claimed the directory for a new lab of this name.
    if directory.try_lock().is_err() {
        return Ok(());
    }
    match std::fs::remove_dir_all(run_directory) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn relay(listener: &UnixListener, address: &str) {
    let open = Arc::new(AtomicUsize::new(0));
    for switch in listener.incoming().flatten() {
        if open.fetch_add(1, Ordering::Relaxed) >= MAX_RELAYED {
            open.fetch_sub(1, Ordering::Relaxed);
            continue;
        }
        let (address, open) = (address.to_owned(), open.clone());
        std::thread::spawn(move || {
            let _ = splice(&switch, &address);
            open.fetch_sub(1, Ordering::Relaxed);
        });
    }
}

fn splice(switch: &UnixStream, address: &str) -> io::Result<()> {
    let controller = TcpStream::connect(address)?;
    controller.set_nodelay(true)?;
    let (mut from_controller, mut to_switch) = (controller.try_clone()?, switch.try_clone()?);
    let back = std::thread::spawn(move || {
        let _ = io::copy(&mut from_controller, &mut to_switch);
        let _ = to_switch.shutdown(Shutdown::Both);
    });
    let copied = io::copy(&mut &*switch, &mut &controller);
    let _ = controller.shutdown(Shutdown::Both);
    let _ = back.join();
    copied.map(|_| ())
}
