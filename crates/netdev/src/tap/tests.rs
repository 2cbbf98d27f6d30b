//! The queues over a datagram socket, which keeps frame borders as a TAP does and needs no privileges.

use std::os::unix::net::UnixDatagram;

use heddle_wire::packet::{Checksum, GsoType, Offload};

use super::*;

fn queues() -> (UnixDatagram, Arc<Shared>, TapRx, TapTx) {
    let (host, switch) = UnixDatagram::pair().unwrap();
    switch.set_nonblocking(true).unwrap();
    let shared = Arc::new(Shared {
        descriptor: switch.into(),
        admin_up: AtomicBool::new(true),
        gone: AtomicBool::new(false),
        counters: DeviceCounters::default(),
    });
    let rx = TapRx::new(Arc::clone(&shared));
    let tx = TapTx { shared: Arc::clone(&shared), counters: shared.counters.queue(Direction::Tx) };
    (host, shared, rx, tx)
}

fn tcp(payload: usize) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0];
    frame.extend([0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
    let total = (40 + payload) as u16;
    frame[16..18].copy_from_slice(&total.to_be_bytes());
    frame.extend([0, 1, 0, 2, 0, 0, 0, 9, 0, 0, 0, 0, 0x50, 0x18, 0, 0, 0, 0, 0, 0]);
    frame.resize(54 + payload, 7);
    frame
}

fn segment() -> Offload {
    Offload {
        gso: GsoType::TcpV4,
        ecn: false,
        gso_size: 1448,
        header_len: 54,
        checksum: Checksum::Partial { start: 34, offset: 16 },
    }
}

fn with_header(header: &[u8], frame: &[u8]) -> Vec<u8> {
    [header, frame].concat()
}

#[test]
fn a_segment_passes_whole_both_ways() {
    let (host, shared, mut rx, mut tx) = queues();
    let frame = tcp(40_000);
    host.send(&with_header(&vnet::emit(&segment()), &frame)).unwrap();
    let (mut pool, mut batch) = (PacketPool::new(4), Vec::new());
    assert_eq!(rx.receive(&mut pool, &mut batch, 32), 1);
    assert_eq!(batch[0].offload, segment());
    assert_eq!(batch[0].data(), frame);
    let pieces = 40_000_u64.div_ceil(1448);
    tx.send(&mut pool, &mut batch);
    let mut room = vec![0; 70_000];
    let length = host.recv(&mut room).unwrap();
    assert_eq!(room[..length], with_header(&vnet::emit(&segment()), &frame));
    let statistics = shared.counters.statistics();
    assert_eq!((statistics.rx_packets, statistics.tx_packets), (pieces, pieces));
    assert_eq!(statistics.rx_bytes, 40_000 + pieces * 54);
    assert_eq!(pool.available(), 4);
}

#[test]
fn what_lies_is_counted_by_reason_and_dropped() {
    let (host, shared, mut rx, _tx) = queues();
    let mut forged = segment();
    forged.checksum = Checksum::Partial { start: 34, offset: 60_000 };
    host.send(&with_header(&vnet::emit(&forged), &tcp(4000))).unwrap();
    forged = Offload { gso: GsoType::TcpV6, ..segment() };
    host.send(&with_header(&vnet::emit(&forged), &tcp(4000))).unwrap();
    host.send(&[0; 5]).unwrap();
    host.send(&[0; vnet::HEADER_LEN + 13]).unwrap();
    host.send(&vec![0; 80_000]).unwrap();
    host.send(&with_header(&[0; vnet::HEADER_LEN], &tcp(10))).unwrap();
    let (mut pool, mut batch) = (PacketPool::new(4), Vec::new());
    assert_eq!(rx.receive(&mut pool, &mut batch, 32), 1);
    assert_eq!(batch[0].data(), tcp(10));
    assert_eq!(shared.counters.statistics().rx_errors, 5);
    let reasons = shared.counters.drop_reasons();
    assert!(reasons.contains(&(vnet::VnetError::Checksum.name(), 1)), "{reasons:?}");
    assert!(reasons.contains(&(vnet::VnetError::GsoType.name(), 1)), "{reasons:?}");
    assert!(reasons.contains(&("frame too long", 1)), "{reasons:?}");
    assert_eq!(pool.available(), 3);
}

#[test]
fn down_means_that_nothing_passes() {
    let (host, shared, mut rx, mut tx) = queues();
    shared.admin_up.store(false, Ordering::Relaxed);
    host.send(&with_header(&[0; vnet::HEADER_LEN], &tcp(10))).unwrap();
    let (mut pool, mut batch) = (PacketPool::new(4), Vec::new());
    assert_eq!(rx.receive(&mut pool, &mut batch, 32), 0);
    batch.push(Packet::from_frame(&tcp(10)));
    tx.send(&mut pool, &mut batch);
    let statistics = shared.counters.statistics();
    assert_eq!((statistics.rx_dropped, statistics.tx_dropped), (1, 1));
    host.set_nonblocking(true).unwrap();
    assert!(host.recv(&mut [0; 64]).is_err());
}

#[test]
fn a_spent_pool_leaves_frames_in_the_device() {
    let (host, _shared, mut rx, _tx) = queues();
    for _ in 0..3 {
        host.send(&with_header(&[0; vnet::HEADER_LEN], &tcp(10))).unwrap();
    }
    let (mut pool, mut batch) = (PacketPool::new(2), Vec::new());
    assert_eq!(rx.receive(&mut pool, &mut batch, 32), 2);
    batch.drain(..).for_each(|packet| pool.give(packet));
    assert_eq!(rx.receive(&mut pool, &mut batch, 32), 1);
}

#[test]
fn names_that_the_kernel_would_read_otherwise_are_refused() {
    for name in ["", "sixteen-letters-", "a/b", "a b", "tap%d", ".."] {
        assert!(matches!(Tap::create(name), Err(NetdevError::Invalid { .. })), "{name}");
    }
}

#[test]
fn a_descriptor_that_is_no_tap_is_refused() {
    let (_host, other) = UnixDatagram::pair().unwrap();
    let error = Tap::from_fd(other.into(), "h1").err().unwrap().to_string();
    assert!(error.contains("h1: TUNGETIFF failed") && error.contains("not that of"), "{error}");
}
