use heddle_wire::packet::{Checksum, Offload};

use super::*;
use crate::pcap::Reader;

fn dummy(options: DummyOptions) -> (Dummy, DummyHandle, Box<dyn RxQueue>, Box<dyn TxQueue>) {
    let (device, handle) = Dummy::new("p1", options).unwrap();
    let rx = device.take_rx_queues().pop().unwrap();
    assert!(device.take_rx_queues().is_empty());
    let tx = device.open_tx_queue().unwrap();
    (device, handle, rx, tx)
}

/// Whether the descriptor is readable: a drained eventfd cannot be read.
fn is_ready(handle: &DummyHandle) -> bool {
    let fds = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", handle.shared.wake.as_raw_fd()));
    !fds.unwrap().lines().any(|line| line.starts_with("eventfd-count:") && line.ends_with(" 0"))
}

#[test]
fn frames_pass_with_their_metadata_and_are_counted_as_wire_packets() {
    let (device, handle, mut rx, mut tx) = dummy(DummyOptions::default());
    let mut packet = Packet::from_frame(&[9; 54 + 3000]);
    packet.offload = Offload {
        gso: GsoType::TcpV4,
        gso_size: 1000,
        header_len: 54,
        checksum: Checksum::Partial { start: 34, offset: 16 },
        ..Offload::default()
    };
    handle.inject_packet(packet.clone()).unwrap();
    handle.inject(&[1; 60]).unwrap();
    assert!(is_ready(&handle));
    let (mut pool, mut batch) = (PacketPool::new(8), Vec::new());
    assert_eq!(rx.receive(&mut pool, &mut batch, 1), 1);
    assert!(is_ready(&handle));
    assert_eq!(rx.receive(&mut pool, &mut batch, 32), 1);
    assert!(!is_ready(&handle));
    assert_eq!(rx.receive(&mut pool, &mut batch, 32), 0);
    tx.send(&mut pool, &mut batch);
    let sent = handle.take_sent();
    assert_eq!((sent.len(), sent[0].offload, sent[1].data()), (2, packet.offload, &[1; 60][..]));
    assert!(handle.take_sent().is_empty());
    let statistics = device.statistics();
    assert_eq!((statistics.rx_packets, statistics.tx_packets), (4, 4));
    assert_eq!(statistics.tx_bytes, 3 * 54 + 3000 + 60);
    assert_eq!(pool.available(), 8);
}

#[test]
fn both_directions_are_bounded() {
    let options = DummyOptions { rx_limit: 2, tx_limit: 2, ..DummyOptions::default() };
    let (device, handle, _rx, mut tx) = dummy(options);
    let results = [60, 61, 62].map(|length| handle.inject(&vec![0; length]));
    assert_eq!(results, [Ok(()), Ok(()), Err(InjectError::Full)]);
    assert_eq!(handle.inject(&[0; 13]), Err(InjectError::Length));
    let mut batch = [60, 61, 62].map(|length| Packet::from_frame(&vec![0; length])).into();
    tx.send(&mut PacketPool::new(1), &mut batch);
    let lengths: Vec<_> = handle.take_sent().iter().map(Packet::len).collect();
    assert_eq!(lengths, [61, 62]);
    let statistics = device.statistics();
    assert_eq!((statistics.rx_dropped, statistics.rx_errors, statistics.tx_packets), (1, 1, 3));
}

#[test]
fn what_the_device_cannot_send_is_refused_by_name() {
    let options = DummyOptions { offloads: Offloads::default(), ..DummyOptions::default() };
    let (device, handle, _rx, mut tx) = dummy(options);
    let mut pool = PacketPool::new(4);
    let mut partial = Packet::from_frame(&[0; 60]);
    partial.offload.checksum = Checksum::Partial { start: 34, offset: 6 };
    tx.send(&mut pool, &mut vec![partial, Packet::from_frame(&[0; 1600])]);
    device.set_admin_up(false).unwrap();
    tx.send(&mut pool, &mut vec![Packet::from_frame(&[0; 60])]);
    assert_eq!(handle.inject(&[0; 60]), Err(InjectError::Down));
    device.set_admin_up(true).unwrap();
    handle.set_carrier(false);
    assert_eq!(device.link_state(), LinkState { admin_up: true, carrier: false });
    tx.send(&mut pool, &mut vec![Packet::from_frame(&[0; 60])]);
    assert!(handle.take_sent().is_empty());
    let expected = [
        ("refused by the device", 1),
        ("frame exceeds the MTU", 1),
        ("device is down", 2),
        ("far end is down", 1),
    ];
    assert_eq!(device.drop_reasons(), expected);
}

#[test]
fn captures_hold_what_passed() {
    let folder = std::env::temp_dir().join(format!("heddle-netdev-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let clock: Clock = Arc::new(|| Duration::new(42, 7));
    let options = DummyOptions { clock: Some(clock), ..DummyOptions::default() };
    let (_device, handle, _rx, mut tx) = dummy(options);
    let paths = ["rx.pcap", "tx.pcap"].map(|name| folder.join(name));
    handle.capture(Captured::Rx, Some(&paths[0])).unwrap();
    handle.capture(Captured::Tx, Some(&paths[1])).unwrap();
    handle.inject(&[1; 60]).unwrap();
    tx.send(&mut PacketPool::new(1), &mut vec![Packet::from_frame(&[2; 60])]);
    handle.capture(Captured::Rx, None).unwrap();
    handle.inject(&[3; 60]).unwrap();
    for (path, byte) in paths.iter().zip([1, 2]) {
        let mut reader = Reader::new(File::open(path).unwrap()).unwrap();
        let record = reader.read().unwrap().unwrap();
        assert_eq!((record.time, record.frame), (Duration::new(42, 7), vec![byte; 60]));
        assert_eq!(reader.read().unwrap(), None);
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn a_test_can_wait_for_what_another_thread_sends() {
    let (device, handle, _rx, _tx) = dummy(DummyOptions::default());
    let sender = std::thread::spawn(move || {
        let mut tx = device.open_tx_queue().unwrap();
        tx.send(&mut PacketPool::new(1), &mut vec![Packet::from_frame(&[0; 60])]);
    });
    assert_eq!(handle.wait_sent(1, Duration::from_secs(10)).len(), 1);
    sender.join().unwrap();
    assert!(handle.wait_sent(1, Duration::from_millis(5)).is_empty());
}
