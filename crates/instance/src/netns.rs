//! Instances that are network namespaces, held by a descriptor only.
//!
//! A TAP is made inside the namespace while the caller keeps its descriptor: one netdev a host instead of a
//! veth pair. IPv6 duplicate address detection and router solicitation are off, so that a lab is usable at
//! once and starts quiet.

use std::ffi::CString;
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::process::Child;

use nix::net::if_::if_nametoindex;
use nix::sched::{CloneFlags, setns, unshare};

use crate::netlink::Netlink;
use crate::{Attachment, Error, Instance, InstanceProvider, Nic, Program, dummy, sys};

/// Makes network namespaces.
#[derive(Clone, Copy, Debug, Default)]
pub struct NetnsProvider;

impl InstanceProvider for NetnsProvider {
    fn create(&self, name: &str) -> Result<Box<dyn Instance>, Error> {
        let netns =
            on_thread(name, || create_namespace().map_err(|e| system("making the namespace", name, e)))?;
        Ok(Box::new(NetnsInstance { name: name.to_owned(), netns }))
    }
}

/// One network namespace; it vanishes when this and the processes in it are gone.
#[derive(Debug)]
struct NetnsInstance {
    name: String,
    netns: OwnedFd,
}

impl Instance for NetnsInstance {
    fn name(&self) -> &str {
        &self.name
    }

    fn netns(&self) -> Option<BorrowedFd<'_>> {
        Some(self.netns.as_fd())
    }

    fn attach(&self, nic: &Nic) -> Result<Attachment, Error> {
        self.inside(|| {
            let tun = File::options()
                .read(true)
                .write(true)
                .open("/dev/net/tun")
                .map_err(|source| Error::Tun { instance: self.name.clone(), source })?;
            let tap = sys::make_tap(tun, &nic.name).map_err(|e| system("making the TAP", &self.name, e))?;
            configure(nic).map_err(|e| system("configuring the device", &self.name, e))?;
            Ok(Attachment::Tap(tap))
        })
    }

    fn set_link(&self, device: &str, up: bool) -> Result<(), Error> {
        self.inside(|| {
            let set = || Netlink::open()?.set_link(if_nametoindex(device)?, None, None, up);
            set().map_err(|e| system("setting a link", &self.name, e))
        })
    }

    fn spawn(&self, mut program: Program) -> io::Result<Child> {
        let hosts = match program.hosts_file.take() {
            Some(path) => Some(CString::new(path.as_os_str().as_bytes())?),
            None => None,
        };
        let mut command = dummy::command(program)?;
        sys::enter_on_exec(&mut command, self.netns.try_clone()?, self.name.clone(), hosts);
        command.spawn()
    }
}

impl NetnsInstance {
    fn inside<T: Send>(&self, work: impl FnOnce() -> Result<T, Error> + Send) -> Result<T, Error> {
        on_thread(&self.name, || {
            setns(&self.netns, CloneFlags::CLONE_NEWNET)
                .map_err(|e| system("entering the namespace", &self.name, e.into()))?;
            work()
        })
    }
}

/// Makes a namespace for the calling thread, which is then good for nothing else, and returns its descriptor.
fn create_namespace() -> io::Result<OwnedFd> {
    unshare(CloneFlags::CLONE_NEWNET)?;
    loopback_up()?;
    // The files are absent without IPv6, and addresses carry the flag as well, so that failure costs nothing.
    for (key, value) in [("accept_dad", "0"), ("router_solicitations", "0"), ("accept_ra", "0")] {
        let _ = fs::write(format!("/proc/sys/net/ipv6/conf/default/{key}"), value);
    }
    Ok(File::open("/proc/thread-self/ns/net")?.into())
}

/// Brings up the loopback device of the calling thread's network namespace.
///
/// # Errors
/// The kernel's refusal.
pub fn loopback_up() -> io::Result<()> {
    Netlink::open()?.set_link(if_nametoindex("lo")?, None, None, true)
}

fn configure(nic: &Nic) -> io::Result<()> {
    let index = if_nametoindex(nic.name.as_str())?;
    let mut netlink = Netlink::open()?;
    netlink.set_link(index, Some(nic.mac), Some(nic.mtu), true)?;
    for prefix in &nic.addresses {
        netlink.add_address(index, *prefix)?;
    }
    nic.routes.iter().try_for_each(|route| netlink.add_route(index, *route))
}

fn on_thread<T: Send>(name: &str, work: impl FnOnce() -> Result<T, Error> + Send) -> Result<T, Error> {
    std::thread::scope(|scope| scope.spawn(work).join())
        .unwrap_or_else(|_| Err(Error::Thread(name.to_owned())))
}

fn system(what: &'static str, instance: &str, source: io::Error) -> Error {
    Error::System { what, instance: instance.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Prefix;

    #[test]
    fn a_host_has_its_own_addresses_and_name() {
        let Ok(host) = NetnsProvider.create("h1") else {
            eprintln!("skipped: needs the right to make network namespaces (root)");
            return;
        };
        let prefix = |text: &str, length| Prefix { address: text.parse().unwrap(), length };
        let nic = Nic {
            name: "h1-eth0".into(),
            mac: [0, 0, 0, 0, 0, 1],
            mtu: 1500,
            addresses: vec![prefix("10.0.0.1", 8), prefix("fd00::1", 64)],
            routes: vec![],
        };
        let Attachment::Tap(_tap) = host.attach(&nic).unwrap() else { panic!("no TAP") };
        let script = "test $(uname -n) = h1 && ip addr show h1-eth0 | grep -q fd00::1/64 && \
                      ip addr show h1-eth0 | grep -q 10.0.0.1/8";
        let argv = ["sh", "-c", script].map(Into::into).to_vec();
        let mut child = host.spawn(Program { argv, ..Program::default() }).unwrap();
        assert!(child.wait().unwrap().success());
    }
}
