//! TAP devices and packet sockets against the kernel, each test in a network namespace of its own.
//!
//! A test starts its own program again under `unshare`, so that it is right under any test runner, as root and,
//! where the kernel allows user namespaces, as an ordinary user. What cannot run says so on standard error.

#![allow(clippy::unwrap_used)] // A test that cannot be set up has failed.

use std::process::Command;
use std::time::{Duration, Instant};

use heddle_netdev::packet::{PacketOptions, PacketSocket};
use heddle_netdev::tap::{Tap, TapOptions};
use heddle_netdev::{Netdev, Offloads, PacketPool, RxQueue};
use heddle_wire::packet::{Checksum, GsoType, Offload, Packet};

const INSIDE: &str = "HEDDLE_TEST_INSIDE_NAMESPACE";

/// Runs `body` in a new network namespace; `name` is the test's own.
fn in_namespace(name: &str, body: impl FnOnce()) {
    if std::env::var_os(INSIDE).is_some() {
        return body();
    }
    let Some(flags) = ["-n", "-rn"].into_iter().find(|flags| can_unshare(flags)) else {
        eprintln!(
            "SKIPPED: {name}: neither root nor allowed to make user namespaces, or no ip(8) or /dev/net/tun"
        );
        return;
    };
    let program = std::env::current_exe().unwrap();
    let output = Command::new("unshare")
        .arg(flags)
        .arg(program)
        .args([name, "--exact", "--nocapture"])
        .env(INSIDE, "1")
        .output()
        .unwrap();
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

fn can_unshare(flags: &str) -> bool {
    let probe = ["sh", "-c", "ip tuntap add probe0 mode tap && ip link set lo up"];
    Command::new("unshare").arg(flags).args(probe).output().is_ok_and(|output| output.status.success())
}

fn ip(arguments: &str) {
    let output = Command::new("ip").args(arguments.split(' ')).output().unwrap();
    assert!(output.status.success(), "ip {arguments}: {}", String::from_utf8_lossy(&output.stderr));
}

/// No frames of the machine's own: they would come between those of the test.
fn quiet(interface: &str) {
    let path = format!("/proc/sys/net/ipv6/conf/{interface}/disable_ipv6");
    if std::fs::metadata(&path).is_ok() {
        std::fs::write(path, "1").unwrap();
    }
}

fn tap(name: &str) -> Tap {
    let tap = Tap::create(name).unwrap();
    quiet(name);
    tap.set_interface_up(true).unwrap();
    wait_up(name);
    tap
}

fn veth() {
    ip("link add v0 type veth peer name v1");
    quiet("v0");
    quiet("v1");
    ip("link set v0 up");
    ip("link set v1 up");
    wait_up("v0");
    wait_up("v1");
}

/// The kernel drops what is sent before it has taken notice of the carrier, which it does in its own time.
fn wait_up(interface: &str) {
    let until = Instant::now() + Duration::from_secs(10);
    loop {
        let shown = Command::new("ip").args(["link", "show", interface]).output().unwrap();
        if String::from_utf8_lossy(&shown.stdout).contains("LOWER_UP") && is_running(&shown.stdout) {
            return;
        }
        assert!(Instant::now() < until, "{interface} does not come up");
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn is_running(shown: &[u8]) -> bool {
    // A TAP's state is UP or, on older kernels, UNKNOWN.
    let shown = String::from_utf8_lossy(shown);
    shown.contains("state UP") || shown.contains("state UNKNOWN")
}

fn open(name: &str) -> PacketSocket {
    PacketSocket::open(name, &PacketOptions::default()).unwrap()
}

fn send(device: &dyn Netdev, packets: Vec<Packet>) {
    let mut batch = packets;
    device.open_tx_queue().unwrap().send(&mut PacketPool::new(1), &mut batch);
    assert!(batch.is_empty());
}

/// Receives until there are `count` frames or two seconds have passed.
fn receive(queue: &mut dyn RxQueue, count: usize) -> Vec<Packet> {
    let (mut pool, mut batch) = (PacketPool::new(count.max(32) + 32), Vec::new());
    let until = Instant::now() + Duration::from_secs(2);
    while batch.len() < count && Instant::now() < until {
        if queue.receive(&mut pool, &mut batch, 32) == 0 {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    batch
}

fn rx(device: &dyn Netdev) -> Box<dyn RxQueue> {
    device.take_rx_queues().pop().unwrap()
}

/// TCP over IPv4 with a right IP header; the transport checksum is left partial.
fn tcp(payload: usize) -> Packet {
    let mut frame = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0];
    frame.extend([0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
    frame[16..18].copy_from_slice(&((40 + payload) as u16).to_be_bytes());
    let header = !heddle_wire::checksum::sum(&frame[14..34]);
    frame[24..26].copy_from_slice(&header.to_be_bytes());
    frame.extend([0, 1, 0, 2, 0, 0, 0, 9, 0, 0, 0, 0, 0x50, 0x10, 1, 0, 0, 0, 0, 0]);
    // The pseudo-header's sum: addresses, protocol and length.
    let mut pseudo = frame[26..34].to_vec();
    pseudo.extend([0, 6]);
    pseudo.extend(((20 + payload) as u16).to_be_bytes());
    let pseudo = heddle_wire::checksum::sum(&pseudo);
    frame[50..52].copy_from_slice(&pseudo.to_be_bytes());
    frame.extend((0..payload).map(|byte| byte as u8));
    let mut packet = Packet::from_frame(&frame);
    packet.offload.checksum = Checksum::Partial { start: 34, offset: 16 };
    packet
}

fn segment(payload: usize) -> Packet {
    let mut packet = tcp(payload);
    packet.offload =
        Offload { gso: GsoType::TcpV4, gso_size: 1448, header_len: 54, ecn: false, ..packet.offload };
    packet
}

#[test]
fn a_segment_of_64_kib_crosses_whole_from_packet_to_tap_and_back() {
    in_namespace("a_segment_of_64_kib_crosses_whole_from_packet_to_tap_and_back", || {
        let tap = tap("t0");
        assert!(tap.offloads().tso4 && tap.offloads().checksum);
        assert_eq!((tap.mtu(), tap.mac().is_some()), (1500, true));
        let socket = open("t0");
        let sent = segment(65_160);
        send(&socket, vec![sent.clone()]);
        let mut tap_rx = rx(&tap);
        let received = receive(&mut *tap_rx, 1);
        assert_eq!((received.len(), received[0].offload), (1, sent.offload));
        assert!(received[0].data() == sent.data());
        assert_eq!(tap.statistics().rx_packets, 45);
        let mut socket_rx = rx(&socket);
        send(&tap, received);
        let back = receive(&mut *socket_rx, 1);
        assert_eq!((back.len(), back[0].offload), (1, sent.offload));
        assert!(back[0].data() == sent.data());
        assert_eq!((socket.statistics().rx_packets, socket.statistics().tx_packets), (45, 45));
    });
}

#[test]
fn a_partial_checksum_stays_partial_across_a_veth_pair() {
    in_namespace("a_partial_checksum_stays_partial_across_a_veth_pair", || {
        veth();
        let (near, far) = (open("v0"), open("v1"));
        let mut queue = rx(&far);
        send(&near, vec![tcp(100), segment(20_000)]);
        let received = receive(&mut *queue, 2);
        assert_eq!(received.len(), 2);
        assert_eq!(received[0].offload, tcp(100).offload);
        assert_eq!(received[1].offload, segment(20_000).offload);
        assert!(received[0].data() == tcp(100).data());
    });
}

#[test]
fn a_forged_header_is_refused_and_named() {
    in_namespace("a_forged_header_is_refused_and_named", || {
        let tap = tap("t0");
        let socket = open("t0");
        // The kernel passes on any place within the frame.
        let mut forged = tcp(100);
        forged.offload.checksum = Checksum::Partial { start: 20, offset: 2 };
        send(&socket, vec![forged, tcp(100)]);
        let mut queue = rx(&tap);
        let received = receive(&mut *queue, 1);
        assert_eq!((received.len(), received[0].offload), (1, tcp(100).offload));
        assert_eq!(tap.statistics().rx_errors, 1);
        assert_eq!(tap.drop_reasons(), [("forged checksum offload", 1)]);
    });
}

#[test]
fn tags_that_the_kernel_took_off_are_put_back() {
    in_namespace("tags_that_the_kernel_took_off_are_put_back", || {
        veth();
        let (near, far) = (open("v0"), open("v1"));
        let plain = tcp(100);
        let mut frame = plain.data().to_vec();
        frame.splice(12..12, [0x81, 0, 0x20, 0x64]);
        let mut tagged = Packet::from_frame(&frame);
        tagged.offload.checksum = Checksum::Partial { start: 38, offset: 16 };
        let mut queue = rx(&far);
        send(&near, vec![tagged.clone()]);
        let received = receive(&mut *queue, 1);
        assert_eq!(received.len(), 1);
        assert_eq!(received[0].data(), tagged.data());
        assert_eq!(received[0].offload, tagged.offload);
    });
}

#[test]
fn a_batch_goes_out_in_order_and_a_refused_frame_costs_only_itself() {
    in_namespace("a_batch_goes_out_in_order_and_a_refused_frame_costs_only_itself", || {
        veth();
        let (near, far) = (open("v0"), open("v1"));
        let mut packets: Vec<_> = (0..100).map(|length| tcp(100 + length)).collect();
        packets.insert(40, tcp(4000));
        let mut queue = rx(&far);
        send(&near, packets);
        let lengths: Vec<_> = receive(&mut *queue, 100).iter().map(Packet::len).collect();
        assert_eq!(lengths, (154..254).collect::<Vec<_>>());
        let statistics = near.statistics();
        assert_eq!((statistics.tx_packets, statistics.tx_errors), (100, 1));
        assert_eq!(near.drop_reasons(), [("frame exceeds the MTU", 1)]);
        // What leaves by the interface, from whichever socket, is not received.
        send(&open("v0"), vec![tcp(300)]);
        assert_eq!(receive(&mut *queue, 1).len(), 1);
        let (mut pool, mut batch) = (PacketPool::new(32), Vec::new());
        assert_eq!(rx(&near).receive(&mut pool, &mut batch, 32), 0);
        assert_eq!(near.statistics().rx_packets, 0);
    });
}

#[test]
fn what_vanishes_is_reported() {
    in_namespace("what_vanishes_is_reported", || {
        veth();
        let (near, tap) = (open("v0"), tap("t0"));
        let (mut near_rx, mut tap_rx) = (rx(&near), rx(&tap));
        assert!(near.link_state().admin_up && near.link_state().carrier && near.is_present());
        ip("link del v0");
        ip("link del t0");
        send(&near, vec![tcp(10)]);
        send(&tap, vec![tcp(10)]);
        let (mut pool, mut batch) = (PacketPool::new(4), Vec::new());
        assert_eq!(near_rx.receive(&mut pool, &mut batch, 32), 0);
        assert_eq!(tap_rx.receive(&mut pool, &mut batch, 32), 0);
        assert!(!near.is_present() && near_rx.is_finished() && !near.link_state().admin_up);
        assert!(!tap.is_present() && tap_rx.is_finished() && !tap.link_state().carrier);
        assert!(near.set_admin_up(true).unwrap_err().to_string().contains("vanished"));
        assert_eq!((near.statistics().tx_packets, tap.statistics().tx_packets), (0, 0));
    });
}

#[test]
fn a_descriptor_serves_wherever_its_interface_is() {
    in_namespace("a_descriptor_serves_wherever_its_interface_is", || {
        let made = tap("t0");
        let copy = made.descriptor().try_clone_to_owned().unwrap();
        // The interface moves to the namespace of a process that only keeps it.
        let mut keeper = Command::new("unshare").args(["-n", "sleep", "60"]).spawn().unwrap();
        let pid = keeper.id();
        let own = std::fs::read_link("/proc/self/ns/net").unwrap();
        while std::fs::read_link(format!("/proc/{pid}/ns/net")).is_ok_and(|namespace| namespace == own) {
            std::thread::sleep(Duration::from_millis(1));
        }
        ip(&format!("link set t0 netns {pid}"));
        let options = TapOptions { mtu: 9000, ..TapOptions::default() };
        let taken = Tap::from_fd_with(copy, "s1-eth1", &options).unwrap();
        assert_eq!((taken.name(), taken.kernel_name(), taken.mtu()), ("s1-eth1", "t0", 9000));
        assert!(taken.offloads().tso4 && taken.link_state().carrier && taken.is_present());
        taken.set_admin_up(false).unwrap();
        let carrier = |expected: &str| {
            let shown = Command::new("nsenter")
                .args(["-t", &pid.to_string(), "-n", "sh", "-c", "ip link set t0 up; ip link show t0"])
                .output()
                .unwrap();
            let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
            assert!(shown.contains(expected), "{shown}");
        };
        carrier("NO-CARRIER");
        taken.set_admin_up(true).unwrap();
        carrier("LOWER_UP");
        keeper.kill().unwrap();
        keeper.wait().unwrap();
    });
}

#[test]
fn without_offloads_the_kernel_finishes_frames_itself() {
    in_namespace("without_offloads_the_kernel_finishes_frames_itself", || {
        let options = TapOptions { offloads: Offloads::default(), ..TapOptions::default() };
        let tap = Tap::create_with("t0", &options).unwrap();
        quiet("t0");
        tap.set_interface_up(true).unwrap();
        wait_up("t0");
        assert_eq!(tap.offloads(), Offloads::default());
        let socket = open("t0");
        send(&socket, vec![segment(5000)]);
        let mut queue = rx(&tap);
        let pieces = receive(&mut *queue, 4);
        assert_eq!(pieces.len(), 4);
        for piece in &pieces {
            assert_eq!(piece.offload.gso, GsoType::None);
            assert!(!matches!(piece.offload.checksum, Checksum::Partial { .. }));
            assert_eq!(heddle_wire::checksum::verify_transport(piece.data()), Some(true));
        }
    });
}
