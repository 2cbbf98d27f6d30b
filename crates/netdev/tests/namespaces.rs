//! Tap and packet devices against the kernel, each test in a network namespace of its own.
#![allow(clippy::unwrap_used)] // all of this file is tests

mod common;

use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use common::{Needs, in_namespace, ip};
use heddle_netdev::{Netdev, NetdevError, PacketDevice, PacketPool, RxQueue, Tap};
use heddle_wire::checksum::{self, sum};
use heddle_wire::packet::{Checksum, GsoType, Packet};

const SENDER: [u8; 6] = [2, 0, 0, 0, 0, 1];
const SOON: Duration = Duration::from_secs(5);
const QUIET: Duration = Duration::from_millis(200);

/// A pair of interfaces that are up.
fn veth() {
    ip("link add va type veth peer name vb");
    up(&["va", "vb"]);
}

/// Sets interfaces up, and waits until the kernel has seen their carrier: frames sent before that are lost.
fn up(names: &[&str]) {
    names.iter().for_each(|name| drop(ip(&format!("link set {name} up"))));
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
    let header = !sum(&frame[14..34]);
    frame[24..26].copy_from_slice(&header.to_be_bytes());
    frame.extend([0x30, 0x39, 0, 80, 0, 0, 0, 1, 0, 0, 0, 1, 0x50, 0x10, 255, 255, 0, 0, 0, 0]);
    let mut pseudo = frame[26..34].to_vec();
    pseudo.extend([0, 6]);
    pseudo.extend(((20 + payload) as u16).to_be_bytes());
    frame[50..52].copy_from_slice(&sum(&pseudo).to_be_bytes());
    frame.extend((0..payload).map(|at| at as u8));
    let mut packet = Packet::from_frame(&frame);
    packet.offload.checksum = Checksum::Partial { start: 34, offset: 16 };
    packet
}

/// A UDP datagram over IPv4, its checksum left to be finished; longer than one may be only as a segment.
fn udp(payload: usize) -> Packet {
    let mut frame = tcp(payload).data()[..42].to_vec();
    frame[16..18].copy_from_slice(&((28 + payload) as u16).to_be_bytes());
    frame[23] = 17;
    frame[24..26].fill(0);
    let header = !sum(&frame[14..34]);
    frame[24..26].copy_from_slice(&header.to_be_bytes());
    let length = ((8 + payload) as u16).to_be_bytes();
    frame[38..40].copy_from_slice(&length);
    let pseudo = [&frame[26..34], &[0, 17], &length].concat();
    frame[40..42].copy_from_slice(&sum(&pseudo).to_be_bytes());
    frame.extend((0..payload).map(|at| at as u8));
    let mut packet = Packet::from_frame(&frame);
    packet.offload.checksum = Checksum::Partial { start: 34, offset: 6 };
    packet
}

fn segment(payload: usize) -> Packet {
    let mut packet = tcp(payload);
    packet.offload.gso = GsoType::TcpV4;
    packet.offload.gso_size = 1448;
    packet.offload.header_len = 54;
    packet
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

/// A process that keeps a network namespace of its own.
struct Keeper(std::process::Child);

impl Keeper {
    fn start() -> Self {
        let child = Command::new("unshare").args(["--net", "--", "sleep", "60"]).spawn().unwrap();
        let namespace = |id: &str| std::fs::read_link(format!("/proc/{id}/ns/net"));
        let (own, id) = (namespace("self").unwrap(), child.id().to_string());
        wait_for("the namespace must be made", || namespace(&id).is_ok_and(|made| made != own));
        Self(child)
    }

    fn id(&self) -> u32 {
        self.0.id()
    }

    fn end(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

fn wait_for(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + SOON;
    while !holds() {
        assert!(Instant::now() < end, "{what}");
        sleep(Duration::from_millis(2));
    }
}

/// Whether a poll thread that sleeps on the queue would be woken now.
#[allow(unsafe_code)] // poll(2) has no safe form that takes a borrowed number
fn wakes(queue: &dyn RxQueue) -> bool {
    let mut poll = libc::pollfd { fd: queue.readiness().unwrap(), events: libc::POLLIN, revents: 0 };
    // SAFETY: one live `pollfd` is passed, and its count.
    unsafe { libc::poll(&raw mut poll, 1, 0) == 1 }
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
        let (customer, service) = ([0x81, 0, 0x60, 7], [0x88, 0xa8, 0x30, 9]);
        let double = [service, customer].concat();
        for tags in [&customer[..], &service, &double] {
            for plain in [tcp(100), segment(20_000)] {
                let data = plain.data();
                let mut packet = Packet::from_frame(&[&data[..12], tags, &data[12..]].concat());
                packet.offload = plain.offload;
                assert!(packet.offload.shift(tags.len() as i32));
                send(&va, &packet);
                expect(&mut *at_vb, &packet);
            }
        }
        // One 802.1Q tag is allowed beyond the MTU.
        let full = tcp(1460);
        let mut packet = Packet::from_frame(&[&full.data()[..12], &customer, &full.data()[12..]].concat());
        packet.offload = full.offload;
        assert!(packet.offload.shift(4));
        send(&va, &packet);
        expect(&mut *at_vb, &packet);
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
fn a_missing_interface_or_one_that_is_not_ethernet_is_refused() {
    in_namespace("a_missing_interface_or_one_that_is_not_ethernet_is_refused", Needs::Tun, || {
        let refused = |name: &str| match PacketDevice::open(name) {
            Err(error @ NetdevError::Invalid { .. }) => error.to_string(),
            Err(error) => panic!("{error}"),
            Ok(_) => panic!("{name} was attached"),
        };
        assert!(refused("nowhere").starts_with("nowhere: there is no interface"));
        ip("tuntap add dev ptp0 mode tun");
        assert!(refused("ptp0").contains("only Ethernet"));
    });
}

fn assert_gone(device: &PacketDevice) {
    let state = device.link_state();
    assert!(!state.admin_up && !state.carrier, "{state:?}");
    let error = device.set_admin_up(true).unwrap_err().to_string();
    assert!(error.starts_with("va: the interface has vanished"), "{error}");
    let before = device.statistics();
    send(device, &tcp(10));
    let after = device.statistics();
    assert_eq!((after.tx_packets, after.tx_dropped), (before.tx_packets, before.tx_dropped + 1));
}

#[test]
fn an_interface_that_vanished_is_not_mistaken_for_its_successor() {
    in_namespace("an_interface_that_vanished_is_not_mistaken_for_its_successor", Needs::Veth, || {
        veth();
        let (va, mut rx) = open("va");
        let shown = ip("-oneline link show va");
        let index = shown.split(':').next().unwrap().to_owned();
        ip("link del va");
        assert_gone(&va);
        assert!(receive(&mut *rx, 1, QUIET).is_empty());
        ip(&format!("link add va index {index} type veth peer name vb"));
        up(&["va", "vb"]);
        let (vb, mut at_vb) = open("vb");
        assert_gone(&va);
        send(&vb, &tcp(10));
        assert!(receive(&mut *rx, 1, QUIET).is_empty() && receive(&mut *at_vb, 1, QUIET).is_empty());
    });
}

#[test]
fn an_interface_that_moved_away_has_vanished() {
    in_namespace("an_interface_that_moved_away_has_vanished", Needs::Veth, || {
        veth();
        let (va, _rx) = open("va");
        let mut keeper = Keeper::start();
        ip(&format!("link set va netns {}", keeper.id()));
        assert_gone(&va);
        keeper.end();
    });
}

#[test]
fn a_renamed_interface_stays_the_same() {
    in_namespace("a_renamed_interface_stays_the_same", Needs::Veth, || {
        veth();
        let ((va, mut at_va), (vb, mut at_vb)) = (open("va"), open("vb"));
        ip("link set va name uplink address 02:00:00:00:00:09 mtu 1400");
        assert!(va.link_state().admin_up && va.link_state().carrier);
        assert_eq!((va.name(), va.mtu(), va.mac()), ("va", 1400, Some([2, 0, 0, 0, 0, 9])));
        send(&va, &tcp(10));
        expect(&mut *at_vb, &tcp(10));
        send(&vb, &tcp(20));
        expect(&mut *at_va, &tcp(20));
        va.set_admin_up(false).unwrap();
        assert!(ip("link show uplink").contains("state DOWN"));
    });
}

#[test]
fn an_interface_that_is_down_drops_and_serves_again_when_it_is_up() {
    in_namespace("an_interface_that_is_down_drops_and_serves_again_when_it_is_up", Needs::Veth, || {
        veth();
        let ((va, mut at_va), (vb, mut at_vb)) = (open("va"), open("vb"));
        va.set_admin_up(false).unwrap();
        assert!(!va.link_state().admin_up && !va.link_state().carrier);
        let (mut queue, mut pool) = (va.open_tx_queue().unwrap(), PacketPool::new(64));
        queue.send(&mut pool, &mut (1..=50).map(tcp).collect());
        assert_eq!((va.statistics().tx_packets, va.statistics().tx_dropped), (0, 50));
        // The socket wakes its thread to tell of it, once.
        assert!(wakes(&*at_va));
        assert!(receive(&mut *at_va, 1, QUIET).is_empty());
        assert!(!wakes(&*at_va));
        // The far end is up, but without carrier; what it sends is lost in the kernel.
        wait_for("the far end must lose its carrier", || !vb.link_state().carrier);
        assert!(vb.link_state().admin_up);
        va.set_admin_up(true).unwrap();
        wait_for("the carrier must come back", || va.link_state().carrier && vb.link_state().carrier);
        queue.send(&mut pool, &mut vec![tcp(10)]);
        expect(&mut *at_vb, &tcp(10));
        send(&vb, &tcp(20));
        expect(&mut *at_va, &tcp(20));
    });
}

#[test]
fn udp_segments_cross_whole_where_the_kernel_has_a_word_for_them() {
    in_namespace("udp_segments_cross_whole_where_the_kernel_has_a_word_for_them", Needs::Veth, || {
        veth();
        let ((va, _), (_vb, mut at_vb)) = (open("va"), open("vb"));
        if !va.offloads().uso {
            eprintln!("SKIPPED: UDP segments: Linux 6.2 is needed");
            return;
        }
        let mut sent = udp(60_000);
        sent.offload.gso = GsoType::UdpL4;
        sent.offload.gso_size = 1400;
        sent.offload.header_len = 42;
        send(&va, &sent);
        expect(&mut *at_vb, &sent);
        assert_eq!(va.statistics().tx_packets, 43);
    });
}

#[test]
fn an_sctp_checksum_that_the_kernel_cannot_finish_is_finished() {
    in_namespace("an_sctp_checksum_that_the_kernel_cannot_finish_is_finished", Needs::Veth, || {
        veth();
        let ((va, _), (_vb, mut at_vb)) = (open("va"), open("vb"));
        let mut packet = tcp(100);
        let frame = packet.data_mut();
        frame[23] = 132;
        frame[24..26].fill(0);
        let header = !sum(&frame[14..34]);
        frame[24..26].copy_from_slice(&header.to_be_bytes());
        packet.offload.checksum = Checksum::Partial { start: 34, offset: 8 };
        send(&va, &packet);
        let crossed = receive(&mut *at_vb, 1, SOON);
        assert_eq!(crossed.len(), 1);
        assert_eq!(checksum::verify_transport(crossed[0].data()), Some(true));
        assert!(!matches!(crossed[0].offload.checksum, Checksum::Partial { .. }));
    });
}

#[test]
fn what_leaves_by_the_interface_is_not_received() {
    in_namespace("what_leaves_by_the_interface_is_not_received", Needs::Veth, || {
        veth();
        let ((va, mut at_va), (_vb, mut at_vb)) = (open("va"), open("vb"));
        let (other, _) = open("va");
        for sender in [&va, &other] {
            send(sender, &tcp(10));
            expect(&mut *at_vb, &tcp(10));
        }
        assert!(receive(&mut *at_va, 1, QUIET).is_empty());
    });
}

#[test]
fn a_frame_that_is_too_long_costs_only_itself() {
    in_namespace("a_frame_that_is_too_long_costs_only_itself", Needs::Veth, || {
        veth();
        let ((va, _), (_vb, mut at_vb)) = (open("va"), open("vb"));
        let (mut queue, mut pool) = (va.open_tx_queue().unwrap(), PacketPool::new(256));
        let mut packets: Vec<_> = (1..=100).map(tcp).collect();
        packets.insert(40, tcp(4000));
        queue.send(&mut pool, &mut packets);
        let sizes: Vec<_> = receive(&mut *at_vb, 101, SOON).iter().map(|packet| packet.len() - 54).collect();
        assert_eq!(sizes, (1..=100).collect::<Vec<_>>());
        assert_eq!((va.statistics().tx_packets, va.statistics().tx_errors), (100, 1));
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
