//! Tap and packet devices against the kernel, each test in a network namespace of its own.
//!
//! A test runs itself again under `unshare`, which gives the second run a fresh network namespace, and a user
//! namespace too where the caller is not root. Where the machine forbids that, the test says so aloud.
#![allow(clippy::unwrap_used)] // all of this file is tests

use std::io::Write;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use heddle_netdev::{Netdev, PacketDevice, PacketPool, RxQueue, Tap};
use heddle_wire::packet::{Checksum, GsoType, Packet};

const INSIDE: &str = "HEDDLE_NETDEV_NAMESPACE_TEST";
const SENDER: [u8; 6] = [2, 0, 0, 0, 0, 1];
const SOON: Duration = Duration::from_secs(5);
const QUIET: Duration = Duration::from_millis(200);

/// What a test asks of the machine beside namespaces.
#[derive(Clone, Copy, PartialEq)]
enum Needs {
    Veth,
    Tun,
}

/// Runs `body` in a namespace of its own, or says why it cannot.
fn in_namespace(test: &str, needs: Needs, body: impl FnOnce()) {
    if std::env::var_os(INSIDE).is_some() {
        return body();
    }
    if let Some(reason) = obstacle(needs) {
        // Straight to the stream: the harness keeps what a passing test prints by the macros.
        let _ = writeln!(std::io::stderr(), "SKIPPED: {test}: {reason}");
        return;
    }
    let itself = std::env::current_exe().unwrap();
    let output =
        unshare().arg(itself).args(["--exact", test, "--nocapture"]).env(INSIDE, "1").output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
}

fn unshare() -> Command {
    let root = Command::new("unshare").args(["--net", "true"]).output();
    let root = root.is_ok_and(|output| output.status.success());
    let mut command = Command::new("unshare");
    command.args(if root { &["--net", "--"][..] } else { &["--user", "--map-root-user", "--net", "--"] });
    command
}

fn obstacle(needs: Needs) -> Option<String> {
    match unshare().arg("true").output() {
        Err(error) => return Some(format!("unshare cannot be run: {error}")),
        Ok(output) if !output.status.success() => {
            return Some(String::from_utf8_lossy(&output.stderr).trim().to_owned());
        }
        Ok(_) => {}
    }
    let tun = std::fs::File::options().read(true).write(true).open("/dev/net/tun");
    if let (Needs::Tun, Err(error)) = (needs, tun) {
        return Some(format!("/dev/net/tun: {error}"));
    }
    Command::new("ip").arg("-V").output().err().map(|error| format!("ip cannot be run: {error}"))
}

fn ip(arguments: &str) {
    let status = Command::new("ip").args(arguments.split(' ')).status().unwrap();
    assert!(status.success(), "ip {arguments}");
}

/// A pair of interfaces that are up.
fn veth() {
    ip("link add va type veth peer name vb");
    up(&["va", "vb"]);
}

/// Sets interfaces up, and waits until the kernel has seen their carrier: frames sent before that are lost.
fn up(names: &[&str]) {
    names.iter().for_each(|name| ip(&format!("link set {name} up")));
    let end = Instant::now() + SOON;
    for name in names {
        let device = PacketDevice::open(name).unwrap();
        while !device.link_state().carrier {
            assert!(Instant::now() < end, "{name} must get its carrier");
            sleep(Duration::from_millis(2));
        }
    }
}

fn open(name: &str) -> (PacketDevice, Box<dyn RxQueue>) {
    let device = PacketDevice::open(name).unwrap();
    let queue = device.take_rx_queues().remove(0);
    (device, queue)
}

/// A TAP, the queue of its frames, and its interface as its owner sees it.
fn tap() -> (Tap, Box<dyn RxQueue>, PacketDevice, Box<dyn RxQueue>) {
    let tap = Tap::create("t0").unwrap();
    up(&["t0"]);
    let queue = tap.take_rx_queues().remove(0);
    let (owner, at_owner) = open("t0");
    (tap, queue, owner, at_owner)
}

/// A TCP frame over IPv4 whose checksum is left to be finished: its field holds the pseudo-header's sum.
fn tcp(payload: usize) -> Packet {
    let mut frame = vec![2, 0, 0, 0, 0, 2];
    frame.extend(SENDER);
    frame.extend([8, 0, 0x45, 0, 0, 0, 0, 9, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
    frame[16..18].copy_from_slice(&((40 + payload) as u16).to_be_bytes());
    let sum = fold(&frame[14..34]);
    frame[24..26].copy_from_slice(&(!sum).to_be_bytes());
    frame.extend([0x30, 0x39, 0, 80, 0, 0, 0, 1, 0, 0, 0, 1, 0x50, 0x10, 255, 255, 0, 0, 0, 0]);
    let mut pseudo = frame[26..34].to_vec();
    pseudo.extend([0, 6]);
    pseudo.extend(((20 + payload) as u16).to_be_bytes());
    frame[50..52].copy_from_slice(&fold(&pseudo).to_be_bytes());
    frame.extend((0..payload).map(|at| at as u8));
    let mut packet = Packet::from_frame(&frame);
    packet.offload.checksum = Checksum::Partial { start: 34, offset: 16 };
    packet
}

fn segment(payload: usize) -> Packet {
    let mut packet = tcp(payload);
    packet.offload.gso = GsoType::TcpV4;
    packet.offload.gso_size = 1448;
    packet.offload.header_len = 54;
    packet
}

fn fold(bytes: &[u8]) -> u16 {
    let mut sum: u32 = bytes.chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    sum as u16
}

fn send(netdev: &dyn Netdev, packet: &Packet) {
    let mut pool = PacketPool::new(4);
    netdev.open_tx_queue().unwrap().send(&mut pool, &mut vec![packet.clone()]);
}

/// What the queue receives of our own frames within `wait`, up to `count`; the kernel's chatter is passed over.
fn receive(queue: &mut dyn RxQueue, count: usize, wait: Duration) -> Vec<Packet> {
    let (end, mut pool, mut batch) = (Instant::now() + wait, PacketPool::new(256), Vec::new());
    while Instant::now() < end && batch.len() < count {
        queue.receive(&mut pool, &mut batch, 32);
        batch.retain(|packet: &Packet| packet.data()[6..12] == SENDER);
        sleep(Duration::from_millis(2));
    }
    batch
}

/// Receives one frame of ours, which must be `sent` to the last byte, with all its metadata.
fn expect(queue: &mut dyn RxQueue, sent: &Packet) {
    let crossed = receive(queue, 1, SOON);
    assert_eq!(crossed.len(), 1, "the frame must arrive");
    assert_eq!(crossed[0].offload, sent.offload);
    assert!(crossed[0].data() == sent.data(), "the frame must arrive unchanged");
}

fn refused(refusals: Vec<(&'static str, u64)>) -> Vec<(&'static str, u64)> {
    refusals.into_iter().filter(|&(_, count)| count != 0).collect()
}

#[test]
fn a_segment_passes_whole_from_packet_to_tap_and_back() {
    in_namespace("a_segment_passes_whole_from_packet_to_tap_and_back", Needs::Tun, || {
        veth();
        let (tap, mut at_tap, owner, mut at_owner) = tap();
        let ((va, _), (_vb, mut at_vb)) = (open("va"), open("vb"));
        let sent = segment(60_000);
        send(&va, &sent);
        expect(&mut *at_vb, &sent);
        send(&tap, &sent);
        expect(&mut *at_owner, &sent);
        send(&owner, &sent);
        expect(&mut *at_tap, &sent);
        let statistics = tap.statistics();
        assert_eq!((statistics.tx_packets, statistics.tx_bytes), (42, sent.len() as u64 + 41 * 54));
        assert!(statistics.rx_packets >= 42 && statistics.rx_errors == 0);
    });
}

#[test]
fn a_partial_checksum_stays_partial() {
    in_namespace("a_partial_checksum_stays_partial", Needs::Tun, || {
        veth();
        let (tap, mut at_tap, owner, mut at_owner) = tap();
        let ((va, _), (_vb, mut at_vb)) = (open("va"), open("vb"));
        let sent = tcp(100);
        send(&va, &sent);
        expect(&mut *at_vb, &sent);
        send(&owner, &sent);
        expect(&mut *at_tap, &sent);
        send(&tap, &sent);
        expect(&mut *at_owner, &sent);
    });
}

#[test]
fn a_forged_header_is_refused_and_counted() {
    in_namespace("a_forged_header_is_refused_and_counted", Needs::Tun, || {
        veth();
        let (tap, mut at_tap, owner, _) = tap();
        let ((va, _), (vb, mut at_vb)) = (open("va"), open("vb"));
        // The kernel passes any place within the frame; only the TCP checksum's own is honest.
        let mut forged = tcp(100);
        forged.offload.checksum = Checksum::Partial { start: 34, offset: 4 };
        for device in [&va, &owner] {
            send(device, &forged);
            send(device, &tcp(7));
        }
        assert_eq!(receive(&mut *at_vb, 2, QUIET).len(), 1);
        assert_eq!(receive(&mut *at_tap, 2, QUIET).len(), 1);
        assert_eq!(refused(vb.refusals()), [("forged checksum offload", 1)]);
        assert_eq!(refused(tap.refusals()), [("forged checksum offload", 1)]);
        assert_eq!((vb.statistics().rx_errors, tap.statistics().rx_errors), (1, 1));
    });
}

#[test]
fn a_vlan_tag_survives_the_kernel_taking_it_off() {
    in_namespace("a_vlan_tag_survives_the_kernel_taking_it_off", Needs::Veth, || {
        veth();
        let ((va, _), (_vb, mut at_vb)) = (open("va"), open("vb"));
        for (tpid, plain) in [(0x81, tcp(100)), (0x88, tcp(100)), (0x81, segment(20_000))] {
            let mut tagged = plain.data()[..12].to_vec();
            tagged.extend([tpid, if tpid == 0x88 { 0xa8 } else { 0 }, 0x60, 7]);
            tagged.extend(&plain.data()[12..]);
            let mut packet = Packet::from_frame(&tagged);
            packet.offload = plain.offload;
            assert!(packet.offload.shift(4));
            send(&va, &packet);
            expect(&mut *at_vb, &packet);
        }
    });
}

#[test]
fn batches_keep_their_order_and_every_frame() {
    in_namespace("batches_keep_their_order_and_every_frame", Needs::Veth, || {
        veth();
        let ((va, _), (vb, mut at_vb)) = (open("va"), open("vb"));
        let (mut queue, mut pool) = (va.open_tx_queue().unwrap(), PacketPool::new(256));
        queue.send(&mut pool, &mut (1..=100).map(tcp).collect());
        let crossed = receive(&mut *at_vb, 100, SOON);
        let sizes: Vec<_> = crossed.iter().map(|packet| packet.len() - 54).collect();
        assert_eq!(sizes, (1..=100).collect::<Vec<_>>());
        assert!(va.statistics().tx_packets == 100 && vb.statistics().rx_packets >= 100);
    });
}

#[test]
fn frames_that_find_no_buffer_are_dropped_and_counted() {
    in_namespace("frames_that_find_no_buffer_are_dropped_and_counted", Needs::Tun, || {
        veth();
        let (tap, mut at_tap, owner, _) = tap();
        let ((va, _), (vb, mut at_vb)) = (open("va"), open("vb"));
        for device in [&va, &owner] {
            (0..10).for_each(|_| send(device, &tcp(7)));
        }
        sleep(QUIET);
        for (queue, netdev) in [(&mut at_tap, &tap as &dyn Netdev), (&mut at_vb, &vb)] {
            let (mut pool, mut batch) = (PacketPool::new(1), Vec::new());
            for _ in 0..20 {
                queue.receive(&mut pool, &mut batch, 32);
            }
            assert_eq!(batch.len(), 1);
            assert!(netdev.statistics().rx_dropped >= 9, "{}: {:?}", netdev.name(), netdev.statistics());
        }
    });
}

#[test]
fn a_missing_or_vanished_interface_is_named() {
    in_namespace("a_missing_or_vanished_interface_is_named", Needs::Veth, || {
        let Err(error) = PacketDevice::open("nowhere") else { panic!("it is not there") };
        assert!(error.to_string().starts_with("nowhere: there is no interface"), "{error}");
        veth();
        let (va, mut rx) = open("va");
        let mut queue = va.open_tx_queue().unwrap();
        assert!(va.link_state().admin_up && va.link_state().carrier);
        va.set_admin_up(false).unwrap();
        assert!(!va.link_state().admin_up);
        va.set_admin_up(true).unwrap();
        ip("link del va");
        let mut pool = PacketPool::new(8);
        assert!(receive(&mut *rx, 1, QUIET).is_empty());
        queue.send(&mut pool, &mut vec![tcp(10)]);
        assert_eq!((va.statistics().tx_packets, va.statistics().tx_dropped), (0, 1));
        let error = va.set_admin_up(true).unwrap_err().to_string();
        assert!(error.starts_with("va: the interface has vanished"), "{error}");
        assert!(!va.link_state().admin_up && !va.link_state().carrier);
        veth();
        let error = va.set_admin_up(true).unwrap_err().to_string();
        assert!(error.contains("another of the same name"), "{error}");
    });
}

#[test]
fn a_tap_serves_while_its_interface_is_in_another_namespace() {
    in_namespace("a_tap_serves_while_its_interface_is_in_another_namespace", Needs::Tun, || {
        let made = Tap::create("t0").unwrap();
        let (mac, fd) = (made.mac(), made.as_fd().try_clone_to_owned().unwrap());
        drop(made);
        let mut host = Command::new("unshare").args(["--net", "--", "sleep", "30"]).spawn().unwrap();
        sleep(QUIET);
        let id = host.id().to_string();
        ip(&format!("link set t0 netns {id}"));
        let inside = |words: &str| {
            let command =
                Command::new("nsenter").args(["-t", &id, "-n", "--", "ip"]).args(words.split(' ')).output();
            String::from_utf8_lossy(&command.unwrap().stdout).into_owned()
        };
        let tap = Tap::from_fd(fd, "h1-eth0", mac, 1500).unwrap();
        assert_eq!((tap.name(), tap.mac(), tap.mtu()), ("h1-eth0", mac, 1500));
        inside("link set t0 up");
        send(&tap, &segment(20_000));
        assert_eq!(tap.statistics().tx_packets, 14);
        tap.set_admin_up(false).unwrap();
        assert!(inside("link show t0").contains("NO-CARRIER"));
        send(&tap, &tcp(10));
        assert_eq!((tap.statistics().tx_dropped, tap.link_state().admin_up), (1, false));
        tap.set_admin_up(true).unwrap();
        assert!(inside("link show t0").contains("LOWER_UP"));
        // Its owner deletes the interface: the queue falls silent and does not wake its thread for ever.
        let mut queue = tap.take_rx_queues().remove(0);
        assert!(is_watched(&*queue));
        inside("link del t0");
        assert!(receive(&mut *queue, 1, QUIET).is_empty());
        assert!(!tap.link_state().carrier && !is_watched(&*queue));
        host.kill().unwrap();
        host.wait().unwrap();
    });
}

/// Whether the set that a TAP's queue waits on still holds the TAP, by the kernel's own account.
fn is_watched(queue: &dyn RxQueue) -> bool {
    let fd = queue.readiness().unwrap();
    std::fs::read_to_string(format!("/proc/self/fdinfo/{fd}")).unwrap().contains("tfd:")
}

#[test]
fn a_descriptor_that_is_no_tap_is_refused() {
    let file = std::fs::File::open("/dev/null").unwrap();
    assert!(Tap::from_fd(file.into(), "h1-eth0", None, 1500).is_err());
}
