//! Carries OpenFlow connections out of a lab.
//!
//! A lab's switches live in a network namespace from which the machine's loopback cannot be reached. The watcher
//! stays in the machine's, listens on a Unix socket in the run directory, and joins each connection there to one
//! to the remote controller, with two threads and the kernel's socket buffers as the only memory.

use std::io;
use std::net::{Shutdown, TcpStream, ToSocketAddrs};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

const MAX_CONNECTIONS: usize = 1024;

/// Serves connections for as long as the process lives.
pub(crate) fn serve(listener: UnixListener, remote: String) -> io::Result<()> {
    let open = Arc::new(AtomicUsize::new(0));
    thread::Builder::new()
        .name("relay".into())
        .spawn(move || {
            loop {
                let Ok((local, _)) = listener.accept() else {
                    thread::sleep(Duration::from_millis(100));
                    continue;
                };
                if open.fetch_add(1, Ordering::Relaxed) >= MAX_CONNECTIONS {
                    open.fetch_sub(1, Ordering::Relaxed);
                    continue;
                }
                let (remote, done) = (remote.clone(), Arc::clone(&open));
                let started = spawn_small(move || {
                    // A refused connection closes the local one; the switch tries again in its own time.
                    let _ = join(&local, &remote);
                    done.fetch_sub(1, Ordering::Relaxed);
                });
                if started.is_err() {
                    open.fetch_sub(1, Ordering::Relaxed);
                }
            }
        })?;
    Ok(())
}

fn join(local: &UnixStream, remote: &str) -> io::Result<()> {
    let address = remote
        .to_socket_addrs()?
        .next()
        .ok_or(io::ErrorKind::AddrNotAvailable)?;
    let far = TcpStream::connect_timeout(&address, Duration::from_secs(5))?;
    far.set_nodelay(true)?;
    let (mut near_in, mut far_out) = (local.try_clone()?, far.try_clone()?);
    let up = spawn_small(move || {
        let _ = io::copy(&mut near_in, &mut far_out);
        let _ = far_out.shutdown(Shutdown::Both);
    })?;
    let _ = io::copy(&mut &far, &mut &*local);
    let _ = local.shutdown(Shutdown::Both);
    let _ = up.join();
    Ok(())
}

fn spawn_small(work: impl FnOnce() + Send + 'static) -> io::Result<thread::JoinHandle<()>> {
    thread::Builder::new().stack_size(128 * 1024).spawn(work)
}
