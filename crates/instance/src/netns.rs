//! Instances that are network namespaces, held by a descriptor only.
//!
//! A TAP is made inside the namespace while the caller keeps its descriptor: one netdev a host instead of two.
//! Where `/dev/net/tun` is closed to the caller ([`tap_available`]), a veth pair serves: it takes no more than
//! privileges over both namespaces, which an ordinary user has in a user namespace of his own. IPv6 duplicate address
//! detection, router solicitation and repeated listener reports are off, so that a lab is usable at
//! once and starts quiet.

use std::ffi::CString;
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::process::Child;
use std::sync::atomic::{AtomicU32, Ordering};

use nix::net::if_::if_nametoindex;
use nix::sched::{CloneFlags, setns, unshare};

use crate::netlink::{Netlink, Refused, Request};
use crate::{
    Attachment, Error, Instance, InstanceProvider, Nic, Program, Remains, Wiring, dummy, neighbour, sys,
};

const TUN: &str = "/dev/net/tun";

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
        match &nic.wiring {
            Wiring::Tap => self.attach_tap(nic),
            Wiring::Veth { near } => self.attach_veth(nic, near),
        }
    }

    fn take_out(&self, device: &str, wiring: &Wiring) -> Result<Remains, Error> {
        let name = unused_name();
        if let Wiring::Veth { near } = wiring {
            put_aside(near, &unused_name()).map_err(|e| self.refused(e))?;
        }
        self.inside(|| put_aside(device, &name).map_err(|e| self.refused(e)))?;
        let netns = self.netns.try_clone().map_err(|e| system("keeping the namespace", &self.name, e))?;
        Ok(Remains { device: Some((netns, name)) })
    }

    fn set_link(&self, device: &str, up: bool) -> Result<(), Error> {
        self.inside(|| {
            let index =
                if_nametoindex(device).map_err(|e| system("finding the device", &self.name, e.into()))?;
            let request = Request::set_link(index, None, None, up);
            self.netlink()?.apply(vec![request]).map_err(|e| self.refused(e))
        })
    }

    fn dropped(&self) -> Result<u64, Error> {
        self.inside(|| {
            let table = fs::read_to_string("/proc/thread-self/net/dev")
                .map_err(|e| system("reading the counters", &self.name, e))?;
            Ok(table.lines().filter_map(dropped).sum())
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
    fn attach_tap(&self, nic: &Nic) -> Result<Attachment, Error> {
        self.inside(|| {
            let tun = open_tun().map_err(|source| Error::Tun { instance: self.name.clone(), source })?;
            let tap = sys::make_tap(tun, &nic.name).map_err(|e| system("making the TAP", &self.name, e))?;
            self.configure(nic)?;
            Ok(Attachment::Tap(tap))
        })
    }

    fn attach_veth(&self, nic: &Nic, near: &str) -> Result<Attachment, Error> {
        for name in [near, &nic.name] {
            sys::check_interface_name(name).map_err(|e| system("naming the veth pair", &self.name, e))?;
        }
        let mut netlink = self.netlink()?;
        // Apart from what follows, which would else be done to a stranger that has the name already.
        let pair = vec![Request::make_veth(near, &nic.name, self.netns.as_fd(), nic.mtu)];
        netlink.apply(pair).map_err(|e| self.refused(e))?;
        let finished = bring_up_near(&mut netlink, near)
            .map_err(|e| self.refused(e))
            .and_then(|()| self.inside(|| self.configure(nic)));
        if let Err(error) = finished {
            // The error at hand says more than that the pair could not be removed either.
            let _ = netlink.apply(vec![Request::delete_link(near)]);
            return Err(error);
        }
        Ok(Attachment::Veth(near.to_owned()))
    }

    /// Sets the device in the calling thread's namespace up, and gives it what was asked for it.
    fn configure(&self, nic: &Nic) -> Result<(), Error> {
        let index = if_nametoindex(nic.name.as_str())
            .map_err(|e| system("finding the device", &self.name, e.into()))?;
        let link = Request::set_link(index, Some(nic.mac), Some(nic.mtu), true);
        let addresses = nic.addresses.iter().map(|&prefix| Request::add_address(index, prefix));
        let routes = nic.routes.iter().map(|&route| Request::add_route(index, route));
        let solicit = if nic.solicits { neighbour::solicit_requests(index) } else { vec![] };
        let requests = solicit.into_iter().chain([link]).chain(addresses).chain(routes).collect();
        self.netlink()?.apply(requests).map_err(|e| self.refused(e))
    }

    /// A socket in the calling thread's namespace.
    fn netlink(&self) -> Result<Netlink, Error> {
        Netlink::open().map_err(|e| system("opening a netlink socket", &self.name, e))
    }

    fn refused(&self, refused: Refused) -> Error {
        system(refused.what, &self.name, refused.source)
    }

    fn inside<T: Send>(&self, work: impl FnOnce() -> Result<T, Error> + Send) -> Result<T, Error> {
        on_thread(&self.name, || {
            setns(&self.netns, CloneFlags::CLONE_NEWNET)
                .map_err(|e| system("entering the namespace", &self.name, e.into()))?;
            work()
        })
    }
}

impl Remains {
    /// Deletes the device; the other end of a veth pair goes with it.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub fn delete(self) -> Result<(), Error> {
        let Some((netns, device)) = self.device else { return Ok(()) };
        on_thread(&device, || {
            setns(&netns, CloneFlags::CLONE_NEWNET)
                .map_err(|e| system("entering the namespace", &device, e.into()))?;
            let delete = vec![Request::delete_link(&device)];
            let mut netlink = Netlink::open().map_err(|e| system("opening a netlink socket", &device, e))?;
            netlink.apply(delete).map_err(|e| system(e.what, &device, e.source))
        })
    }
}

/// A name that no user gives a device.
fn unused_name() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("gone{:x}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Sets a device of the calling thread's namespace down and gives it another name.
fn put_aside(device: &str, name: &str) -> Result<(), Refused> {
    let refused = |e: nix::errno::Errno| Refused { what: "finding the device", source: e.into() };
    let index = if_nametoindex(device).map_err(refused)?;
    let mut netlink =
        Netlink::open().map_err(|source| Refused { what: "opening a netlink socket", source })?;
    netlink.apply(vec![Request::set_link(index, None, None, false), Request::rename(index, name)])
}

/// What a line of `/proc/net/dev` counts as dropped: a device's name, and eight counters each of what it received and sent,
/// of which the fourth is it.
fn dropped(line: &str) -> Option<u64> {
    let (_, counters) = line.split_once(':')?;
    let counter = |place: usize| counters.split_ascii_whitespace().nth(place)?.parse::<u64>().ok();
    Some(counter(3)?.saturating_add(counter(11)?))
}

/// The near end is the switch's alone: the kernel is kept from speaking or answering there by IPv6 itself.
fn bring_up_near(netlink: &mut Netlink, near: &str) -> Result<(), Refused> {
    // The stronger of two means; the file is absent without IPv6, and read-only in some containers.
    let _ = fs::write(format!("/proc/sys/net/ipv6/conf/{near}/disable_ipv6"), "1");
    match netlink.apply(vec![Request::without_link_local(near)]) {
        // There is no IPv6 in this kernel, or on so small an MTU: then nothing has to be turned off.
        Err(refused) if refused.source.raw_os_error() == Some(libc::EAFNOSUPPORT) => {}
        other => other?,
    }
    netlink.apply(vec![Request::set_link_named(near, true)])
}

/// Makes a namespace for the calling thread, which is then good for nothing else, and returns its descriptor.
fn create_namespace() -> io::Result<OwnedFd> {
    unshare(CloneFlags::CLONE_NEWNET)?;
    loopback_up()?;
    // The files are absent without IPv6, and addresses carry the flag as well, so that failure costs nothing.
    // Multicast listener reports are sent once and not again: a thousand hosts that each tell a thousand others
    // twice keep a switch busy for seconds.
    for (key, value) in [
        ("accept_dad", "0"),
        ("router_solicitations", "0"),
        ("accept_ra", "0"),
        ("mldv1_unsolicited_report_interval", "2000000000"),
        ("mldv2_unsolicited_report_interval", "2000000000"),
    ] {
        let _ = fs::write(format!("/proc/sys/net/ipv6/conf/default/{key}"), value);
    }
    Ok(File::open("/proc/thread-self/ns/net")?.into())
}

/// Brings up the loopback device of the calling thread's network namespace.
///
/// # Errors
/// The kernel's refusal.
pub fn loopback_up() -> io::Result<()> {
    let up = Request::set_link(if_nametoindex("lo")?, None, None, true);
    Netlink::open()?.apply(vec![up]).map_err(|refused| refused.source)
}

/// Whether TAPs can be made: `/dev/net/tun` opens for reading and writing.
///
/// # Errors
/// Why not: the file is absent (the `tun` module is not loaded), or closed to the caller.
pub fn tap_available() -> io::Result<()> {
    open_tun().map(drop)
}

fn open_tun() -> io::Result<File> {
    File::options().read(true).write(true).open(TUN)
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

    #[test]
    fn drops_are_read_from_the_kernels_table() {
        assert_eq!(dropped("Inter-|   Receive                            |  Transmit"), None);
        assert_eq!(dropped("h1-eth0: 9 8 7 6 5 4 3 2 19 18 17 16 15 14 13 12"), Some(22));
        assert_eq!(dropped("h1-eth0: 9 8 7"), None);
    }
}
