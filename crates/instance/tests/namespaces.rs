//! Instances against the kernel, each test in a network namespace of its own.
#![allow(clippy::unwrap_used)] // all of this file is tests

#[path = "../../netdev/tests/common/mod.rs"]
mod common;

use std::process::Command;
use std::time::{Duration, Instant};

use common::{Needs, in_namespace, ip};
use heddle_instance::netns::{NetnsProvider, tap_available};
use heddle_instance::{Attachment, Instance, InstanceProvider, Nic, Prefix, Program, Route, Wiring};

fn prefix(text: &str, length: u8) -> Prefix {
    Prefix { address: text.parse().unwrap(), length }
}

fn nic(wiring: Wiring) -> Nic {
    Nic {
        name: "h1-eth0".into(),
        mac: [2, 0, 0, 0, 0, 1],
        mtu: 1400,
        addresses: vec![prefix("10.0.0.1", 8), prefix("fd00::1", 64)],
        routes: vec![Route { to: prefix("0.0.0.0", 0), via: "10.0.0.254".parse().unwrap() }],
        solicits: false,
        wiring,
    }
}

fn veth(near: &str) -> Wiring {
    Wiring::Veth { near: near.into() }
}

fn succeeds(host: &dyn Instance, script: &str) -> bool {
    let argv = ["sh", "-c", script].map(Into::into).to_vec();
    host.spawn(Program { argv, ..Program::default() }).unwrap().wait().unwrap().success()
}

/// What every host must show of itself, however it is wired.
fn assert_configured(host: &dyn Instance) {
    for script in [
        "test $(uname -n) = h1",
        "ip addr show h1-eth0 | grep -q 'mtu 1400'",
        "ip addr show h1-eth0 | grep -q 'link/ether 02:00:00:00:00:01'",
        "ip addr show h1-eth0 | grep -q 'inet 10.0.0.1/8'",
        "ip addr show h1-eth0 | grep -q 'inet6 fd00::1/64'",
        "ip route | grep -q 'default via 10.0.0.254 dev h1-eth0'",
        "ip addr show lo | grep -q 'inet 127.0.0.1/8'",
    ] {
        assert!(succeeds(host, script), "{script}");
    }
}

fn exists(link: &str) -> bool {
    Command::new("ip").args(["link", "show", link]).output().unwrap().status.success()
}

#[test]
fn a_host_by_tap_has_its_own_addresses_and_name() {
    in_namespace("a_host_by_tap_has_its_own_addresses_and_name", Needs::Tun, || {
        tap_available().unwrap();
        let host = NetnsProvider.create("h1").unwrap();
        let Attachment::Tap(_held) = host.attach(&nic(Wiring::Tap)).unwrap() else { panic!("no TAP") };
        assert_configured(&*host);
    });
}

#[test]
fn a_host_by_veth_has_its_own_addresses_and_a_quiet_near_end() {
    in_namespace("a_host_by_veth_has_its_own_addresses_and_a_quiet_near_end", Needs::Veth, || {
        let host = NetnsProvider.create("h1").unwrap();
        let Attachment::Veth(near) = host.attach(&nic(veth("s1-eth1"))).unwrap() else { panic!("no veth") };
        assert_eq!(near, "s1-eth1");
        assert_configured(&*host);
        let shown = ip("-details addr show s1-eth1");
        for expected in ["mtu 1400", ",UP", "numtxqueues 1 numrxqueues 1"] {
            assert!(shown.contains(expected), "{expected} in {shown}");
        }
        assert!(!shown.contains("inet"), "{shown}");
        host.set_link("h1-eth0", false).unwrap();
        assert!(ip("link show s1-eth1").contains("NO-CARRIER"));
        host.set_link("h1-eth0", true).unwrap();
        assert!(!ip("link show s1-eth1").contains("NO-CARRIER"));
    });
}

#[test]
fn a_pair_vanishes_with_its_host() {
    in_namespace("a_pair_vanishes_with_its_host", Needs::Veth, || {
        let host = NetnsProvider.create("h1").unwrap();
        host.attach(&nic(veth("s1-eth1"))).unwrap();
        assert!(exists("s1-eth1"));
        drop(host);
        let end = Instant::now() + Duration::from_secs(20);
        while exists("s1-eth1") {
            assert!(Instant::now() < end, "the pair is still there");
            std::thread::sleep(Duration::from_millis(5));
        }
    });
}

#[test]
fn a_pair_that_cannot_be_finished_leaves_nothing_and_strangers_alone() {
    let test = "a_pair_that_cannot_be_finished_leaves_nothing_and_strangers_alone";
    in_namespace(test, Needs::Veth, || {
        let host = NetnsProvider.create("h1").unwrap();
        let refused = |nic: &Nic| host.attach(nic).unwrap_err().to_string();
        let unreachable = Route { to: prefix("0.0.0.0", 0), via: "192.0.2.1".parse().unwrap() };
        let mut unroutable = nic(veth("s1-eth1"));
        unroutable.routes = vec![unreachable];
        assert_eq!(refused(&unroutable), "adding a route of h1 failed");
        assert!(!exists("s1-eth1"));
        ip("link add stranger type veth peer name other");
        assert_eq!(refused(&nic(veth("stranger"))), "making the veth pair of h1 failed");
        assert!(ip("link show stranger").contains("state DOWN"));
        assert_eq!(refused(&nic(veth("sixteen-bytes-xx"))), "naming the veth pair of h1 failed");
        host.attach(&nic(veth("s1-eth1"))).unwrap();
    });
}

/// How long it takes to make hosts with this wiring; `HEDDLE_TEST_HOSTS` says how many.
fn make_hosts(name: &str, wiring: impl Fn(usize) -> Wiring) {
    let count = std::env::var("HEDDLE_TEST_HOSTS").map_or(100, |text| text.parse().unwrap());
    let start = Instant::now();
    let made = (0..count).map(|number| {
        let host = NetnsProvider.create("h1").unwrap();
        let attachment = host.attach(&nic(wiring(number))).unwrap();
        (host, attachment)
    });
    let made: Vec<_> = made.collect();
    let took = start.elapsed();
    eprintln!("{count} hosts by {name}: {took:?}");
    assert!(took < Duration::from_secs(10) + Duration::from_millis(20) * count as u32);
    assert_configured(&*made[count - 1].0);
}

#[test]
fn hosts_come_by_the_hundred_by_veth() {
    in_namespace("hosts_come_by_the_hundred_by_veth", Needs::Veth, || {
        make_hosts("veth", |number| veth(&format!("s1-eth{number}")));
    });
}

#[test]
fn hosts_come_by_the_hundred_by_tap() {
    in_namespace("hosts_come_by_the_hundred_by_tap", Needs::Tun, || make_hosts("TAP", |_| Wiring::Tap));
}
