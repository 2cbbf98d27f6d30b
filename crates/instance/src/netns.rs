//! Hosts in network namespaces.
//!
//! A namespace is made by a thread that leaves the process's own and ends when the host is configured: no other
//! thread ever changes namespace, and a TAP is born inside the host, so there is no device to move or rename.
//! Duplicate address detection is off, so that a host's IPv6 addresses work at once, and so are router
//! solicitations, because a lab has no routers but those it states.

use crate::rtnl::Rtnl;
use crate::{Attachment, HostSpec, Instance, InstanceError, InterfaceSpec, SwitchEnd, sys};
use nix::sched::{CloneFlags, unshare};
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// A network namespace, held by its descriptor.
#[derive(Debug)]
pub struct Netns(OwnedFd);

impl Netns {
    /// The namespace of the calling thread.
    ///
    /// # Errors
    /// When `/proc` is not mounted.
    pub fn current() -> io::Result<Self> {
        Ok(Self(File::open("/proc/thread-self/ns/net")?.into()))
    }

    /// Sets the sysctls of the calling thread's namespace: IPv6 on, without duplicate address detection and router
    /// solicitation. A kernel without IPv6 has none of them, so failures are no error.
    fn quiet_ipv6() {
        for scope in ["all", "default"] {
            let set = |name: &str, value: &str| {
                let _ = fs::write(format!("/proc/sys/net/ipv6/conf/{scope}/{name}"), value);
            };
            set("disable_ipv6", "0");
            set("accept_dad", "0");
            set("dad_transmits", "0");
            set("router_solicitations", "0");
            set("accept_ra", "0");
        }
    }
}

impl AsFd for Netns {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// A host in a network namespace of its own.
#[derive(Debug)]
pub struct NetnsHost {
    spec: HostSpec,
    netns: Netns,
    ends: Vec<SwitchEnd>,
}

impl NetnsHost {
    /// Makes the namespace and everything in it. With [`Attachment::Veth`] the switch's ends are left in
    /// `switch_netns`, and are up.
    ///
    /// # Errors
    /// [`InstanceError`], naming the host or its interface.
    pub fn create(
        spec: HostSpec,
        attachment: Attachment,
        switch_netns: BorrowedFd<'_>,
    ) -> Result<Self, InstanceError> {
        for interface in &spec.interfaces {
            check_interface_name(&interface.name)?;
        }
        let (netns, ends) = std::thread::scope(|scope| {
            let worker = std::thread::Builder::new()
                .stack_size(256 * 1024)
                .spawn_scoped(scope, || build(&spec, attachment, switch_netns))
                .map_err(|e| system(&spec.name, "start a thread", e))?;
            worker.join().map_err(|_| InstanceError::Worker(spec.name.clone()))?
        })?;
        Ok(Self { spec, netns, ends })
    }

    /// The host's namespace.
    #[must_use]
    pub fn netns(&self) -> &Netns {
        &self.netns
    }
}

impl Instance for NetnsHost {
    fn name(&self) -> &str {
        &self.spec.name
    }

    fn spec(&self) -> &HostSpec {
        &self.spec
    }

    fn spawn(&self, command: sys::Spawn<'_>) -> Result<u32, InstanceError> {
        let program = command.program.to_owned();
        let inside =
            sys::Spawn { netns: Some(self.netns.as_fd()), hostname: Some(&self.spec.name), ..command };
        sys::spawn(inside).map_err(|source| InstanceError::Spawn {
            host: self.spec.name.clone(),
            program,
            source,
        })
    }

    fn switch_ends(&self) -> &[SwitchEnd] {
        &self.ends
    }
}

/// Runs on a thread of its own, which it moves to the new namespace.
fn build(
    spec: &HostSpec,
    attachment: Attachment,
    switch_netns: BorrowedFd<'_>,
) -> Result<(Netns, Vec<SwitchEnd>), InstanceError> {
    let host = spec.name.as_str();
    unshare(CloneFlags::CLONE_NEWNET).map_err(|e| system(host, "make a network namespace", e.into()))?;
    let netns = Netns::current().map_err(|e| system(host, "open its network namespace", e))?;
    Netns::quiet_ipv6();
    let mut rtnl = Rtnl::open().map_err(|e| system(host, "open rtnetlink", e))?;
    rtnl.up("lo").map_err(|e| system(host, "bring up its loopback", e))?;
    let ends = spec
        .interfaces
        .iter()
        .map(|interface| attach(&mut rtnl, interface, attachment, switch_netns))
        .collect::<Result<Vec<_>, _>>()?;
    for route in &spec.routes {
        rtnl.add_route(route.destination, route.via).map_err(|e| system(host, "add a route", e))?;
    }
    Ok((netns, ends))
}

fn attach(
    rtnl: &mut Rtnl,
    interface: &InterfaceSpec,
    attachment: Attachment,
    switch_netns: BorrowedFd<'_>,
) -> Result<SwitchEnd, InstanceError> {
    let name = interface.name.as_str();
    let end = match attachment {
        Attachment::Tap => {
            SwitchEnd::Tap(sys::create_tap(name).map_err(|e| system(name, "make a TAP (/dev/net/tun)", e))?)
        }
        Attachment::Veth => {
            check_interface_name(&interface.peer)?;
            rtnl.add_veth(name, &interface.peer, switch_netns)
                .map_err(|e| system(name, "make a veth pair", e))?;
            SwitchEnd::Interface(interface.peer.clone())
        }
    };
    rtnl.set_link(name, Some(interface.mac), Some(interface.mtu))
        .map_err(|e| system(name, "set its Ethernet address and MTU", e))?;
    for &(address, prefix) in &interface.addresses {
        rtnl.add_address(name, address, prefix).map_err(|e| system(name, "add an address", e))?;
    }
    rtnl.up(name).map_err(|e| system(name, "bring it up", e))?;
    Ok(end)
}

fn check_interface_name(name: &str) -> Result<(), InstanceError> {
    let fits = (1..=15).contains(&name.len()) && name != "." && name != "..";
    if fits && !name.bytes().any(|b| b == b'/' || b == b':' || b <= b' ') {
        return Ok(());
    }
    Err(InstanceError::InterfaceName(name.to_owned()))
}

fn system(object: &str, action: &'static str, source: io::Error) -> InstanceError {
    InstanceError::System { object: object.to_owned(), action, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interface_names_are_checked() {
        assert!(check_interface_name("h1-eth0").is_ok());
        for bad in ["", "sixteen-bytes-xx", "a/b", "a b", ".."] {
            assert!(check_interface_name(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_host_is_made_and_runs_a_program() {
        if !nix::unistd::geteuid().is_root() {
            eprintln!("SKIPPED: needs root");
            return;
        }
        let spec = HostSpec {
            name: "h1".into(),
            interfaces: vec![InterfaceSpec {
                name: "h1-eth0".into(),
                mac: [2, 0, 0, 0, 0, 1],
                addresses: vec![("10.0.0.1".parse().unwrap(), 8), ("fd00::1".parse().unwrap(), 64)],
                mtu: 1400,
                peer: "s1-eth1".into(),
            }],
            routes: vec![crate::RouteSpec {
                destination: ("0.0.0.0".parse().unwrap(), 0),
                via: "10.0.0.254".parse().unwrap(),
            }],
        };
        let own = Netns::current().unwrap();
        let host = NetnsHost::create(spec, Attachment::Tap, own.as_fd()).unwrap();
        let script = "test $(hostname) = h1 && ip -o addr show h1-eth0 | grep -q 'fd00::1/64 scope global' \
             && ip route | grep -q '^default via 10.0.0.254' && test $(cat /sys/class/net/h1-eth0/mtu) = 1400";
        let argv = ["-c".to_owned(), script.to_owned()];
        let pid = host.spawn(sys::Spawn::new("sh", &argv)).unwrap();
        let status =
            nix::sys::wait::waitpid(nix::unistd::Pid::from_raw(i32::try_from(pid).unwrap()), None).unwrap();
        assert!(matches!(status, nix::sys::wait::WaitStatus::Exited(_, 0)), "{status:?}");
    }
}
