//! What the agent does beside refusing: versions, roles, what comes unasked, ports, fragments, counters, long replies.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use std::time::{Duration, Instant};

use common::*;
use heddle_openflow::OfError::*;
use heddle_switch::bridge::Event;

fn hello(version: u8, elements: &str) -> Vec<u8> {
    [vec![version], message(0, &hex(elements))[1..].to_vec()].concat()
}

#[test]
fn versions_are_agreed_on() {
    let switch = switch();
    for (what, bytes, agreed) in [
        ("1.3 without a bitmap", hello(4, ""), true),
        ("1.5 without a bitmap", hello(6, ""), true),
        ("1.0 without a bitmap", hello(1, ""), true),
        ("1.5 with 1.0 and 1.3", hello(6, "0001 0008 00000012"), true),
        ("1.4 alone", hello(5, "0001 0008 00000020"), true),
        ("1.1 without a bitmap", hello(2, ""), true),
        ("1.1 alone", hello(2, "0001 0008 00000004"), true),
        ("1.5 alone, in a hello of 1.3", hello(4, "0001 0008 00000040"), true),
        ("one that there is not", hello(7, "0001 0008 00000080"), false),
        ("an element that is not known", hello(4, "0007 0008 00000020 0001 0008 00000010"), true),
        ("an element that makes no sense", hello(4, "0001 0002 00000020"), true),
        ("a bitmap of more versions than there are", hello(4, "0001 000c 00000010 00000001 00000000"), true),
    ] {
        let mut peer = Peer::silent(&switch, false);
        let answers = peer.say(&bytes);
        assert_eq!((peer.connection.is_agreed(), peer.connection.is_closing()), (agreed, !agreed), "{what}");
        let refused = answers.first().map(|answer| error(answer).unwrap().0);
        assert_eq!(refused, (!agreed).then_some(HelloIncompatible), "{what}");
    }
    let mut peer = Peer::silent(&switch, false);
    let answer = peer.ask(&message(5, &[]));
    assert!(error(&answer).unwrap().0 == HelloIncompatible && peer.connection.is_closing());
}

#[test]
fn the_features_are_those_that_work() {
    let switch = switch();
    let mut peer = Peer::new(&switch, false);
    let features = peer.ask(&message(5, &[]));
    assert_eq!(features[8..], hex("0000020000000001 00000100 fe 00 0000 0000004f 00000000"));
    assert_eq!(peer.ask(&message(7, &[]))[8..], hex("0000 0000"));
    assert_eq!(Peer::new(&switch, true).ask(&message(7, &[]))[8..], hex("0000 0080"));
    for (kind, length) in [(6, "fffffffc 00000000"), (7, ""), (9, "ffffffff 00000000")] {
        assert_eq!(peer.ask(&multipart(kind, length)).len(), 16, "there are none of {kind}");
    }
    let features = peer.ask(&multipart(8, ""));
    assert_eq!(features[16..24], hex("0000000f 0000000f"), "every type, weights, liveness, chaining");
    assert_eq!(peer.ask(&multipart(11, ""))[16..], hex("00010000 00000006 0000000f 08 00 0000"));
    let queues = peer.ask(&message(22, &hex("ffffffff 00000000")));
    let of = |port: u32| hex(&format!("00000000 {port:08x} 0010 000000000000"));
    assert_eq!(queues[8..], [hex("ffffffff 00000000"), of(1), of(2)].concat(), "each port has one");
}

#[test]
fn a_slave_reads_and_no_more() {
    let switch = switch();
    let role =
        |role: u32, generation: u64| message(24, &hex(&format!("{role:08x}00000000{generation:016x}")));
    let (mut a, mut b) = (Peer::new(&switch, false), Peer::new(&switch, false));
    assert_eq!(a.ask(&role(0, 9))[8..], hex("00000001 00000000 ffffffffffffffff"));
    assert_eq!(a.ask(&role(2, 5))[8..], hex("00000002 00000000 0000000000000005"));
    assert_eq!(error(&b.ask(&role(2, 4))).unwrap().0, RoleStale);
    assert_eq!(b.ask(&role(2, 6))[8..12], hex("00000002"));
    assert_eq!(a.ask(&role(0, 0))[8..], hex("00000003 00000000 0000000000000006"), "b is master now");
    let port_mod = message(16, &[0; 32]);
    for bytes in [
        Mod::default().bytes(),
        packet_out(1, &[output(2)], &[0; 60]),
        message(15, &hex("0002 00 00 00000001")),
        port_mod,
        message(17, &[0; 8]),
        message(29, &hex("0002 0000 00000001")),
        multipart(12, &format!("0040 00 0000000000{}", "00".repeat(56))),
    ] {
        assert_eq!(error(&a.ask(&bytes)).unwrap().0, RequestIsSlave);
    }
    assert_eq!(a.ask(&multipart(13, ""))[1], 19);
    b.tell(&Mod::default().bytes());
    assert_eq!(a.ask(&role(1, 0))[8..12], hex("00000001"));
    a.tell(&Mod::default().bytes());
}

/// What a controller is told of until it is told of `kind`, or of nothing for half a second.
fn told(peer: &mut Peer, events: &mut tokio::sync::broadcast::Receiver<Event>, kind: u8) -> Option<Vec<u8>> {
    let deadline = Instant::now() + Duration::from_millis(500);
    while Instant::now() < deadline {
        let Ok(event) = events.try_recv() else {
            std::thread::sleep(Duration::from_millis(1));
            continue;
        };
        if let Some(bytes) = peer.connection.announce(&event, &peer.bridge)
            && bytes[1] == kind
        {
            return Some(bytes);
        }
    }
    None
}

/// OpenFlow before 1.3 has no flow that asks for packets which no other takes, so its controllers get them unasked.
#[test]
fn a_controller_of_openflow_1_0_sees_what_no_flow_takes() {
    let switch = switch();
    let mut newer = Peer::new(&switch, true);
    let mut older = Peer::silent(&switch, true);
    let mut events = newer.bridge.events();
    let frame = [vec![2, 0, 0, 0, 0, 9, 2, 0, 0, 0, 0, 8, 8, 1], vec![7; 200]].concat();
    let inject = || switch.dummy("p1").unwrap().inject(heddle_wire::Packet::from_frame(&frame));
    inject();
    assert_eq!(told(&mut newer, &mut events, 10), None);
    older.tell(&hello(1, ""));
    inject();
    let mut seen = Vec::new();
    let deadline = Instant::now() + Duration::from_secs(5);
    while seen.is_empty() && Instant::now() < deadline {
        while let Ok(event) = events.try_recv() {
            assert_eq!(newer.connection.announce(&event, &newer.bridge), None);
            seen.extend(older.connection.announce(&event, &older.bridge));
        }
    }
    // The first buffer, so the first 128 bytes of the frame; port 1; no match.
    let wanted = [hex("010a 0092 00000000 00000000 00d6 0001 00 00"), frame[..128].to_vec()].concat();
    assert_eq!(seen, [wanted]);
    drop(older);
    newer.bridge.expire();
    inject();
    assert_eq!(told(&mut newer, &mut events, 10), None, "nobody waits for them any more");
}

#[test]
fn what_comes_unasked_depends_on_masks_and_configuration() {
    let switch = switch();
    let (mut called, mut caller) = (Peer::new(&switch, true), Peer::new(&switch, false));
    assert_eq!(
        called.ask(&message(26, &[]))[8..],
        hex("00000003 00000000 00000007 00000007 0000000f 00000000")
    );
    let mut events = called.bridge.events();
    let to_controller = packet_out(0xffff_fffd, &[output(0xffff_fffd)], &[1; 60]);
    caller.tell(&to_controller);
    let packet_in = told(&mut called, &mut events, 10).unwrap();
    // No buffer, 60 bytes, by an action, of no flow; the input port; the frame.
    assert_eq!(packet_in[8..20], hex("ffffffff 003c 01 00 ffffffff"));
    assert_eq!(packet_in[24..36], hex("0001 000c 80000004 fffffffd"));
    assert_eq!(packet_in[42..], [1; 60]);
    caller.tell(&to_controller);
    assert_eq!(told(&mut caller, &mut events, 10), None, "a caller that has not asked gets nothing");
    caller.tell(&message(9, &hex("0000 0080")));
    caller.tell(&to_controller);
    assert!(told(&mut caller, &mut events, 10).is_some());
    caller.tell(&message(28, &hex("00000001 00000000 00000007 00000007 0000000f 00000000")));
    caller.tell(&to_controller);
    assert_eq!(told(&mut caller, &mut events, 10), None, "only misses are wanted");
    // A reason that there is none of is not remembered.
    caller.tell(&message(28, &[0xff; 24]));
    assert_eq!(caller.ask(&message(26, &[]))[8..12], hex("00000007"));
}

#[test]
fn a_flow_that_is_deleted_is_announced_and_one_that_is_replaced_is_not() {
    let switch = switch();
    let mut peer = Peer::new(&switch, true);
    let mut events = peer.bridge.events();
    let add = Mod { flags: 1, cookie: 7, ..Mod::default() };
    peer.tell(&add.bytes());
    peer.tell(&add.bytes());
    assert_eq!(told(&mut peer, &mut events, 11), None);
    peer.tell(&Mod { command: 3, cookie: 8, cookie_mask: 0xff, ..Mod::default() }.bytes());
    peer.tell(&Mod { command: 3, out_port: 1, ..Mod::default() }.bytes());
    peer.tell(&Mod { command: 3, out_group: 1, ..Mod::default() }.bytes());
    peer.tell(&Mod { command: 4, priority: 99, ..Mod::default() }.bytes());
    assert_eq!(told(&mut peer, &mut events, 11), None, "none of these names the flow");
    peer.tell(&Mod { command: 4, cookie: 7, cookie_mask: 0xff, ..Mod::default() }.bytes());
    let gone = told(&mut peer, &mut events, 11).unwrap();
    assert_eq!(gone[8..20], hex("0000000000000007 0064 02 00"));
}

#[test]
fn an_overlap_is_with_another_flow() {
    let switch = switch();
    let mut peer = Peer::new(&switch, false);
    let checked = Mod { flags: 2, ..Mod::default() }.bytes();
    peer.tell(&checked);
    peer.tell(&checked);
    let other = Mod { flags: 2, matching: matching("80000a02 0800"), ..Mod::default() };
    assert_eq!(error(&peer.ask(&other.bytes())).unwrap().0, FlowModOverlap);
    peer.tell(&Mod { priority: 101, ..other }.bytes());
}

#[test]
fn statistics_are_filtered_by_port_group_and_cookie() {
    let switch = switch();
    let mut peer = Peer::new(&switch, false);
    peer.tell(&Mod { cookie: 7, instructions: apply(&[output(1)]), flags: 0x19, ..Mod::default() }.bytes());
    for (out_port, out_group, cookie, mask, found) in [
        (u32::MAX, u32::MAX, 0, 0, true),
        (1, u32::MAX, 0, 0, true),
        (2, u32::MAX, 0, 0, false),
        (u32::MAX, 1, 0, 0, false),
        (u32::MAX, u32::MAX, 7, 0xff, true),
        (u32::MAX, u32::MAX, 8, 0xff, false),
    ] {
        let flows = peer.ask(&flow_request(1, out_port, out_group, cookie, mask));
        assert_eq!(flows.len() > 16, found, "{out_port:x} {out_group:x} {cookie}/{mask:x}");
        let sums = peer.ask(&flow_request(2, out_port, out_group, cookie, mask));
        assert_eq!(sums[32..36], u32::from(found).to_be_bytes());
    }
    // The flags it was made with come back, with its priority.
    assert_eq!(peer.ask(&flow_request(1, u32::MAX, u32::MAX, 0, 0))[28..36], hex("0064 0000 0000 0019"));
}

#[test]
fn a_long_reply_comes_in_parts() {
    let switch = switch();
    let mut peer = Peer::new(&switch, false);
    for number in 0..10_000u32 {
        let matching = matching(&format!("80000a02 0800 80001804 0a{number:06x}"));
        peer.tell(&Mod { matching, instructions: apply(&[output(1)]), ..Mod::default() }.bytes());
    }
    let parts = peer.say(&flow_request(1, u32::MAX, u32::MAX, 0, 0));
    assert!(parts.len() > 10);
    let (last, before) = parts.split_last().unwrap();
    assert!(before.iter().all(|part| part[10..12] == [0, 1]) && last[10..12] == [0, 0]);
    let mut flows = 0;
    for part in &parts {
        assert!(part[4..10] == parts[0][4..10]);
        let mut items = &part[16..];
        while !items.is_empty() {
            items = &items[usize::from(u16::from_be_bytes([items[0], items[1]]))..];
            flows += 1;
        }
    }
    assert_eq!(flows, 10_000);
}

/// A frame of UDP between two ports of the bridge.
fn udp(fragment: u16) -> Vec<u8> {
    let mut frame = hex("020000000002 020000000001 0800 4500 0020 0000");
    frame.extend(fragment.to_be_bytes());
    frame.extend(hex("40 11 0000 0a000001 0a000002 1234 0050 000c 0000 01020304"));
    frame.resize(60, 0);
    frame
}

/// What leaves by port 2 after a frame came in by port 1.
fn forwarded(switch: &heddle_switch::Switch, frame: &[u8]) -> usize {
    let (from, to) = (switch.dummy("p1").unwrap(), switch.dummy("p2").unwrap());
    to.sent();
    // A device that is down takes nothing.
    from.inject(heddle_wire::Packet::from_frame(frame));
    std::thread::sleep(Duration::from_millis(100));
    switch.bridge("br0").unwrap().flush();
    to.sent().len()
}

#[test]
fn a_port_does_what_it_is_configured_to() {
    let switch = switch();
    let mut peer = Peer::new(&switch, true);
    let mut events = peer.bridge.events();
    // Who changes a port is not told of it.
    let mut other = Peer::new(&switch, false);
    peer.tell(&Mod { instructions: apply(&[output(2)]), ..Mod::default() }.bytes());
    assert_eq!(forwarded(&switch, &udp(0)), 1);
    let description = peer.ask(&multipart(13, ""));
    let port_mod = |number: u32, config: u32, mask: u32| {
        let mac = mac_of(&description, number);
        message(16, &hex(&format!("{number:08x}00000000{mac}0000{config:08x}{mask:08x}0000000000000000")))
    };
    for (number, bit, passes) in
        [(1, 1, 0), (1, 4, 0), (1, 32, 1), (1, 64, 1), (2, 1, 0), (2, 4, 1), (2, 32, 0)]
    {
        other.tell(&port_mod(number, bit, bit));
        let status = std::iter::from_fn(|| told(&mut peer, &mut events, 12)).last().unwrap();
        let state = if bit == 1 { 1u32 } else { 4 };
        assert_eq!((status[8], &status[16..20]), (2, &number.to_be_bytes()[..]));
        assert_eq!(
            (&status[48..52], &status[52..56]),
            (&u32::to_be_bytes(bit)[..], &state.to_be_bytes()[..])
        );
        let now = peer.ask(&multipart(13, ""));
        assert!(now[16..].chunks(64).any(|port| port[..] == status[16..]), "the description says the same");
        assert_eq!(forwarded(&switch, &udp(0)), passes, "port {number}, bit {bit}");
        other.tell(&port_mod(number, 0, 0x65));
        assert_eq!(std::iter::from_fn(|| told(&mut peer, &mut events, 12)).count(), 1);
        assert_eq!(forwarded(&switch, &udp(0)), 1);
    }
    // A table miss may be forbidden to reach the controller; an action that is no table miss may not.
    peer.tell(&Mod { command: 3, ..Mod::default() }.bytes());
    let miss = Mod { priority: 0, instructions: apply(&[output(0xffff_fffd)]), ..Mod::default() };
    peer.tell(&miss.bytes());
    forwarded(&switch, &udp(0));
    assert_eq!(told(&mut peer, &mut events, 10).unwrap()[14], 0, "the reason is a miss");
    other.tell(&port_mod(1, 64, 64));
    forwarded(&switch, &udp(0));
    assert_eq!(told(&mut peer, &mut events, 10), None);
    peer.tell(&Mod { priority: 1, ..miss }.bytes());
    forwarded(&switch, &udp(0));
    assert_eq!(told(&mut peer, &mut events, 10).unwrap()[14], 1, "the reason is an action");
}

#[test]
fn fragments_are_handled_as_configured() {
    let switch = switch();
    let mut peer = Peer::new(&switch, false);
    let to_80 = matching("80000a02 0800 80001401 11 80002002 0050");
    peer.tell(&Mod { matching: to_80, instructions: apply(&[output(2)]), ..Mod::default() }.bytes());
    let (whole, first, later) = (udp(0), udp(0x2000), udp(0x0010));
    for (flags, answer, passed) in
        [(0, 0, [1, 0, 0]), (3, 3, [1, 1, 0]), (1, 1, [1, 0, 0]), (2, 1, [1, 0, 0])]
    {
        peer.tell(&message(9, &hex(&format!("{flags:04x} 0000"))));
        assert_eq!(peer.ask(&message(7, &[]))[8..10], u16::to_be_bytes(answer));
        let got = [&whole, &first, &later].map(|frame| forwarded(&switch, frame));
        assert_eq!(got, passed, "flags {flags}");
    }
    // Dropped means dropped, whatever the flows say; normal means that ports are zero.
    peer.tell(&Mod { priority: 1, instructions: apply(&[output(2)]), ..Mod::default() }.bytes());
    assert_eq!(forwarded(&switch, &later), 0);
    peer.tell(&message(9, &hex("0000 0000")));
    assert_eq!(forwarded(&switch, &later), 1);
}

#[test]
fn lookups_and_matches_of_tables_are_counted() {
    let switch = switch();
    let mut peer = Peer::new(&switch, false);
    let goto = hex("0001 0008 03000000");
    peer.tell(&Mod { matching: matching("80000004 00000001"), instructions: goto, ..Mod::default() }.bytes());
    for _ in 0..5 {
        forwarded(&switch, &udp(0));
    }
    let tables = peer.ask(&multipart(3, ""));
    let table = |number: usize| &tables[16 + number * 24..][..24];
    assert_eq!(table(0), hex("00 000000 00000001 0000000000000005 0000000000000005"));
    assert_eq!(table(3), hex("03 000000 00000000 0000000000000005 0000000000000000"));
    assert_eq!(table(1)[8..], [0; 16]);
}

#[test]
fn the_bridge_has_a_port_of_its_own() {
    let switch = switch();
    let description = Peer::new(&switch, false).ask(&multipart(13, ""));
    let local = description[16..].chunks(64).find(|port| port[..4] == 0xffff_fffe_u32.to_be_bytes()).unwrap();
    assert_eq!(local[8..14], hex("020000000001"), "the lower part of the datapath id");
    assert_eq!(local[16..20], *b"br0\0");
}

#[test]
fn a_spent_ttl_reaches_the_controller_that_asks_for_it_and_earlier_outputs_stand() {
    let switch = switch();
    let mut peer = Peer::new(&switch, true);
    let mut events = peer.bridge.events();
    let (ip, down) = ("80000a02 0800", element(24, "00000000"));
    let flow =
        Mod { matching: matching(ip), instructions: apply(&[output(2), down, output(2)]), ..Mod::default() };
    peer.tell(&flow.bytes());
    let mut frame = udp(0);
    assert_eq!(forwarded(&switch, &frame), 2);
    frame[22] = 1;
    assert_eq!(forwarded(&switch, &frame), 1);
    assert_eq!(told(&mut peer, &mut events, 10), None);
    peer.tell(&message(28, &hex("00000004 00000000 00000007 00000007 0000000f 00000000")));
    peer.tell(&message(9, &hex("0000 0014")));
    forwarded(&switch, &frame);
    let packet_in = told(&mut peer, &mut events, 10).unwrap();
    assert_eq!((packet_in[14], packet_in.len() - 42), (2, 20), "cut to what was configured");
}

#[test]
fn a_packet_out_through_the_tables_runs_the_action_set() {
    let switch = switch();
    let mut peer = Peer::new(&switch, false);
    peer.tell(&Mod { instructions: write(&[output(2)]), ..Mod::default() }.bytes());
    let to = switch.dummy("p2").unwrap();
    to.sent();
    peer.tell(&packet_out(1, &[output(0xffff_fff9)], &udp(0)));
    assert_eq!(peer.ask(&message(20, &[]))[1], 21);
    assert_eq!(to.sent().len(), 1);
}

#[test]
fn an_address_is_not_learned_from_the_controller() {
    let switch = switch();
    let mut peer = Peer::new(&switch, false);
    let normal = output(0xffff_fffa);
    peer.tell(&packet_out(0xffff_fffd, std::slice::from_ref(&normal), &udp(0)));
    peer.ask(&message(20, &[]));
    assert!(peer.bridge.bridge.fdb.entries().is_empty());
    peer.tell(&packet_out(1, &[normal], &udp(0)));
    peer.ask(&message(20, &[]));
    assert_eq!(peer.bridge.bridge.fdb.entries().iter().map(|entry| entry.port).collect::<Vec<_>>(), [1]);
}

#[test]
fn openflow_1_4_asks_for_what_comes_and_no_more() {
    let switch = switch();
    let mut peer = Peer::silent(&switch, false);
    peer.tell(&hello(5, "0001 0008 00000020"));
    let asking = |property: &str| [hex("051c 0010 12345678"), hex(property)].concat();
    peer.tell(&asking("0001 0008 00000003"));
    peer.tell(&asking("0009 0008 00000008"));
    let refused = peer.ask(&asking("0009 0008 00000001"));
    assert_eq!(error(&refused).unwrap().0, AsyncInvalid, "tables have no such reason");
    let shown = peer.ask(&hex("051a 0008 12345678"));
    assert_eq!(shown[16..24], hex("0001 0008 00000003"));
}
