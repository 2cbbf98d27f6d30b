//! Queues: described in every version, asked for one by one, counted by the packets that actions give to them.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use std::collections::BTreeMap;

use common::*;
use heddle_openflow::OfError::*;
use heddle_openflow::message::{Form, Message, Version};
use heddle_openflow::multipart::{Reply, Request};
use heddle_openflow::queue::{ALL, QueueDesc, QueueStats};
use heddle_openflow::text::parse_flow;
use heddle_openflow::{Body, decode, port};
use heddle_switch::Switch;
use heddle_switch::config::{PortQueues, QueueRates};
use heddle_wire::Packet;

fn peer(switch: &Switch, version: Version) -> Peer {
    let mut peer = Peer::silent(switch, false);
    let hello = Message { form: Form::of(version), xid: 1, body: Body::Hello(version.bit()) };
    assert!(peer.say(&hello.encode()).is_empty());
    peer
}

fn ask(peer: &mut Peer, version: Version, body: Body) -> Body {
    let asked = Message { form: Form::of(version), xid: XID, body }.encode();
    decode(&peer.ask(&asked)).unwrap().body
}

/// Port 1 may send 1 Mbit/s, and has the queues 3, with bounds, and 7, without.
fn with_queues() -> Switch {
    let switch = switch();
    let queues = BTreeMap::from([
        (3, QueueRates { min_bps: Some(100_000), max_bps: Some(2_000_000) }),
        (7, QueueRates::default()),
    ]);
    let said = PortQueues { max_bps: Some(1_000_000), queues, since_ms: 0 };
    switch.bridge("br0").unwrap().set_queues(BTreeMap::from([("p1".into(), said)]));
    switch
}

#[test]
fn queues_are_described_in_every_version() {
    let switch = with_queues();
    let desc = |port, queue, min_rate, max_rate| QueueDesc { port, queue, min_rate, max_rate };
    let of_1 = [desc(1, 0, None, None), desc(1, 3, Some(100), Some(1000)), desc(1, 7, None, None)];
    for &version in Version::ALL {
        let mut peer = peer(&switch, version);
        let mut described = |number| match version >= Version::V1_4 {
            true => ask(&mut peer, version, Body::MultipartRequest(Request::QueueDesc(number, ALL))),
            false => ask(&mut peer, version, Body::QueueConfigRequest(number)),
        };
        let queues = match described(1) {
            Body::MultipartReply(Reply::QueueDesc(queues)) | Body::QueueConfigReply(1, queues) => queues,
            other => panic!("{other:?}"),
        };
        let known = if version == Version::V1_0 || version == Version::V1_1 {
            // They have no greatest rate.
            queues
                .iter()
                .map(|queue| QueueDesc { max_rate: of_1[1].max_rate.filter(|_| queue.queue == 3), ..*queue })
                .collect()
        } else {
            queues
        };
        assert_eq!(known, of_1, "{version:?}");
        assert!(matches!(described(9), Body::Error { .. }));
    }
    let mut newer = peer(&switch, Version::V1_4);
    let one = Body::MultipartRequest(Request::QueueDesc(port::ANY, 3));
    let reply = Body::MultipartReply(Reply::QueueDesc(vec![of_1[1]]));
    assert_eq!(ask(&mut newer, Version::V1_4, one), reply);
}

#[test]
fn packets_are_counted_by_queue() {
    let switch = with_queues();
    let bridge = switch.bridge("br0").unwrap();
    for flow in [
        "in_port=2,dl_src=02:00:00:00:00:01,actions=enqueue:1:3",
        "in_port=2,dl_src=02:00:00:00:00:02,actions=set_queue:7,output:1,pop_queue,output:1",
        "in_port=2,dl_src=02:00:00:00:00:03,actions=set_queue:99,output:1",
    ] {
        bridge.bridge.flow_mod(&parse_flow(flow).unwrap(), 0).unwrap();
    }
    for source in [1, 1, 2, 3] {
        let frame = [vec![2, 0, 0, 0, 0, 9, 2, 0, 0, 0, 0, source, 8, 1], vec![7; 86]].concat();
        let p2 = switch.dummy("p2").unwrap();
        assert!(p2.inject(Packet::from_frame(&frame)));
        while p2.waiting() != 0 {
            std::thread::yield_now();
        }
    }
    bridge.barrier();
    let mut peer = peer(&switch, Version::V1_3);
    let mut stats = |number, queue| match ask(
        &mut peer,
        Version::V1_3,
        Body::MultipartRequest(Request::QueueStats(number, queue)),
    ) {
        Body::MultipartReply(Reply::QueueStats(stats)) => Ok(stats
            .iter()
            .map(|QueueStats { queue, packets, bytes, .. }| (*queue, *packets, *bytes))
            .collect::<Vec<_>>()),
        Body::Error { number, .. } => Err(number),
        other => panic!("{other:?}"),
    };
    // A queue that nobody described is that of all others.
    assert_eq!(stats(1, ALL), Ok(vec![(0, 2, 200), (3, 2, 200), (7, 1, 100)]));
    assert_eq!(stats(1, 3), Ok(vec![(3, 2, 200)]));
    assert_eq!(stats(port::ANY, 7), Ok(vec![(7, 1, 100)]));
    assert_eq!(stats(2, ALL), Ok(vec![(0, u64::MAX, u64::MAX)]), "a device in memory counts for nobody");
    let wire = |error: heddle_openflow::OfError| Err(error.wire(Version::V1_3).0);
    assert_eq!(stats(1, 99), wire(QueueBadQueue));
    assert_eq!(stats(port::ANY, 99), wire(QueueBadQueue));
    assert_eq!(stats(9, ALL), wire(QueueBadPort));
}
