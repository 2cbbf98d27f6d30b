//! Flow-mods by the specification: flags, timeouts, cookies, strictness and filters (OpenFlow 1.3.5 sections 5.5, 6.4 and 6.5).

use heddle_openflow::OfError;
use heddle_switch::bridge::Event;
use tokio::sync::broadcast::Receiver;

use crate::common::{Mod, apply, element, flow_request, hex, matching, message, multipart, output};
use crate::world::World;

const ADD: u8 = 0;
const MODIFY: u8 = 1;
const MODIFY_STRICT: u8 = 2;
const DELETE: u8 = 3;
const DELETE_STRICT: u8 = 4;
const SEND_FLOW_REM: u16 = 1;
const CHECK_OVERLAP: u16 = 1 << 1;
const RESET_COUNTS: u16 = 1 << 2;
const NO_PKT_COUNTS: u16 = 1 << 3;
const NO_BYT_COUNTS: u16 = 1 << 4;
/// `in_port=1`; `eth_type=0x0800`; `eth_type=0x0800,ip_proto=17`; nothing.
const PORT_1: &str = "80000004 00000001";
const IP: &str = "80000a02 0800";
const UDP: &str = "80000a02 0800 80001401 11";

fn frame(length: usize) -> Vec<u8> {
    let mut frame = hex(
        "020000000002 020000000001 0800 4500 001c 0000 0000 40 11 0000 0a000001 0a000002 1234 0050 0008 0000",
    );
    frame.resize(length, 0);
    frame
}

fn flow(fields: &str, priority: u16) -> Mod {
    Mod { matching: matching(fields), priority, instructions: apply(&[output(2)]), ..Mod::default() }
}

/// A flow-mod with timeouts, in seconds.
fn with_timeouts(flow: &Mod, idle: u16, hard: u16) -> Vec<u8> {
    let mut bytes = flow.bytes();
    bytes[26..28].copy_from_slice(&idle.to_be_bytes());
    bytes[28..30].copy_from_slice(&hard.to_be_bytes());
    bytes
}

/// What flow statistics say of each flow.
#[derive(Debug, PartialEq, Eq)]
struct Counted {
    table: u8,
    priority: u16,
    flags: u16,
    cookie: u64,
    packets: u64,
    bytes: u64,
}

fn number(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

fn counted(world: &mut World, cookie: u64, mask: u64) -> Vec<Counted> {
    let reply = world.peer.ask(&flow_request(1, u32::MAX, u32::MAX, cookie, mask));
    let mut rest = &reply[16..];
    let mut all = Vec::new();
    while !rest.is_empty() {
        let (one, others) = rest.split_at(number(&rest[..2]) as usize);
        all.push(Counted {
            table: one[2],
            priority: number(&one[12..14]) as u16,
            flags: number(&one[18..20]) as u16,
            cookie: number(&one[24..32]),
            packets: number(&one[32..40]),
            bytes: number(&one[40..48]),
        });
        rest = others;
    }
    all.sort_by_key(|flow| (flow.table, flow.priority));
    all
}

fn priorities(world: &mut World) -> Vec<u16> {
    counted(world, 0, 0).iter().map(|flow| flow.priority).collect()
}

/// Flow-removed messages: cookie, priority, reason, packets and bytes.
fn removed(world: &mut World, events: &mut Receiver<Event>) -> Vec<(u64, u16, u8, u64, u64)> {
    let mut all = Vec::new();
    while let Ok(event) = events.try_recv() {
        all.extend(world.peer.connection.announce(&event, &world.peer.bridge));
    }
    let gone = all.into_iter().filter(|bytes| bytes[1] == 11);
    let mut gone: Vec<_> = gone
        .map(|bytes| {
            let at = |from: usize, to: usize| number(&bytes[from..to]);
            (at(8, 16), at(16, 18) as u16, bytes[18], at(32, 40), at(40, 48))
        })
        .collect();
    gone.sort_unstable();
    gone
}

/// Section 6.4: "if any flow entry ... overlaps ... the switch must refuse the addition".
#[test]
fn overlap_is_refused_where_it_is_to_be_checked() {
    let mut world = World::new();
    for (there, new, flags, overlaps) in [
        ((IP, 10), (PORT_1, 10), CHECK_OVERLAP, true),
        ((IP, 10), (PORT_1, 10), 0, false),
        ((IP, 10), (PORT_1, 11), CHECK_OVERLAP, false),
        ((IP, 10), (UDP, 10), CHECK_OVERLAP, true),
        ((UDP, 10), (IP, 10), CHECK_OVERLAP, true),
        ((IP, 10), ("", 10), CHECK_OVERLAP, true),
        ((IP, 10), ("80000a02 0806", 10), CHECK_OVERLAP, false),
        // The same match and priority replace the flow.
        ((IP, 10), (IP, 10), CHECK_OVERLAP, false),
    ] {
        world.clear();
        world.add(&flow(there.0, there.1));
        let new = Mod { flags, ..flow(new.0, new.1) };
        if overlaps {
            assert_eq!(world.refused(&new.bytes()), OfError::FlowModOverlap, "{there:?}");
            assert_eq!(priorities(&mut world), [10], "nothing has changed");
        } else {
            world.add(&new);
        }
        // Another table is another matter.
        world.add(&Mod { table: 1, ..new });
    }
}

/// Section 6.4: counters stay unless `OFPFF_RESET_COUNTS` says otherwise.
#[test]
fn counters_stay_unless_they_are_reset() {
    let mut world = World::new();
    for (command, flags, stay) in [
        (ADD, 0, true),
        (ADD, RESET_COUNTS, false),
        (MODIFY, 0, true),
        (MODIFY, RESET_COUNTS, false),
        (MODIFY_STRICT, 0, true),
        (MODIFY_STRICT, RESET_COUNTS, false),
    ] {
        world.clear();
        world.add(&flow(IP, 10));
        for _ in 0..3 {
            assert_eq!(world.ports(&frame(100)), [2]);
        }
        world.add(&Mod { command, flags, instructions: apply(&[output(3)]), ..flow(IP, 10) });
        let [Counted { packets, bytes, .. }] = counted(&mut world, 0, 0)[..] else { panic!("one flow") };
        assert_eq!((packets, bytes), if stay { (3, 300) } else { (0, 0) }, "{command} {flags:#x}");
        assert_eq!(world.ports(&frame(100)), [3]);
    }
}

/// Section 7.3.4.2: the flags of a flow are told, and those that only ask for something once are not kept by others.
#[test]
fn flags_are_told() {
    let mut world = World::new();
    let flags = SEND_FLOW_REM | CHECK_OVERLAP | RESET_COUNTS | NO_PKT_COUNTS | NO_BYT_COUNTS;
    world.add(&Mod { flags, ..flow(IP, 10) });
    assert_eq!(counted(&mut world, 0, 0)[0].flags, flags);
    // A change leaves them.
    world.add(&Mod { command: MODIFY, flags: 0, ..flow(IP, 10) });
    assert_eq!(counted(&mut world, 0, 0)[0].flags, flags);
    assert_eq!(world.refused(&Mod { flags: 1 << 5, ..flow(IP, 10) }.bytes()), OfError::FlowModBadFlags);
}

/// Sections 5.5 and 6.5: flows end by either timeout, and the controller hears of those that asked for it.
#[test]
fn flows_end_in_time() {
    let mut world = World::new();
    let mut events = world.peer.bridge.events();
    let asking = |fields: &str, priority: u16| Mod {
        flags: SEND_FLOW_REM,
        cookie: priority.into(),
        ..flow(fields, priority)
    };
    world.tell(&with_timeouts(&asking(IP, 1), 5, 0));
    world.tell(&with_timeouts(&asking("", 2), 0, 8));
    world.tell(&with_timeouts(&asking(PORT_1, 3), 3, 60));
    world.tell(&with_timeouts(&Mod { flags: 0, ..asking(PORT_1, 4) }, 0, 2));
    world.tell(&with_timeouts(&asking(UDP, 5), 0, 0));
    let mut after = |world: &mut World, milliseconds: u64| {
        world.peer.bridge.clock.warp(milliseconds);
        world.peer.bridge.expire();
        (priorities(world), removed(world, &mut events))
    };
    assert_eq!(after(&mut world, 1_999), (vec![1, 2, 3, 4, 5], vec![]));
    assert_eq!(after(&mut world, 1), (vec![1, 2, 3, 5], vec![]), "nobody asked");
    // A packet keeps the flow of port 1 for another three seconds, and none the others.
    world.tell(&Mod { command: DELETE_STRICT, ..flow(UDP, 5) }.bytes());
    assert_eq!(world.ports(&frame(100)), [2]);
    assert_eq!(after(&mut world, 2_999), (vec![1, 2, 3], vec![(5, 5, 2, 0, 0)]), "reason 2, deleted");
    assert_eq!(after(&mut world, 1), (vec![2], vec![(1, 1, 0, 0, 0), (3, 3, 0, 1, 100)]), "reason 0, idle");
    assert_eq!(after(&mut world, 2_999), (vec![2], vec![]));
    assert_eq!(after(&mut world, 1), (vec![], vec![(2, 2, 1, 0, 0)]), "reason 1, hard");
}

/// Section 6.4: cookies filter changes, deletions and statistics by a mask, and stay what they are when a flow is changed.
#[test]
fn cookies_filter_by_their_mask() {
    let mut world = World::new();
    let add = |world: &mut World| {
        world.clear();
        for (priority, cookie) in [(1, 0x11), (2, 0x12), (3, 0x21), (4, u64::MAX)] {
            // The mask means nothing when a flow is added.
            world.add(&Mod { cookie, cookie_mask: 7, ..flow(IP, priority) });
        }
    };
    add(&mut world);
    for (cookie, mask, chosen) in [
        (0x10, 0xf0, vec![1, 2]),
        (0x1, 0xf, vec![1, 3]),
        (0x11, u64::MAX, vec![1]),
        (0x55, 0, vec![1, 2, 3, 4]),
        (u64::MAX, u64::MAX, vec![4]),
        (0x99, 0xff, vec![]),
    ] {
        let told: Vec<u16> = counted(&mut world, cookie, mask).iter().map(|flow| flow.priority).collect();
        assert_eq!(told, chosen, "statistics of {cookie:#x}/{mask:#x}");
        let other = apply(&[output(3)]);
        world.add(&Mod { command: MODIFY, cookie, cookie_mask: mask, instructions: other, ..flow("", 0) });
        world.add(&Mod { command: DELETE, out_port: 3, ..Mod::default() });
        let left: Vec<u16> = (1..5).filter(|priority| !chosen.contains(priority)).collect();
        assert_eq!(priorities(&mut world), left, "changed by {cookie:#x}/{mask:#x}");
        add(&mut world);
        world.add(&Mod { command: DELETE, cookie, cookie_mask: mask, ..Mod::default() });
        assert_eq!(priorities(&mut world), left, "deleted by {cookie:#x}/{mask:#x}");
        add(&mut world);
    }
    world.add(&Mod { command: MODIFY_STRICT, cookie: 0x77, instructions: apply(&[]), ..flow(IP, 1) });
    assert_eq!(counted(&mut world, 0, 0)[0].cookie, 0x11, "a change leaves it");
    world.add(&Mod { cookie: 0x77, ..flow(IP, 1) });
    assert_eq!(counted(&mut world, 0, 0)[0].cookie, 0x77, "another flow has its own");
}

/// Section 6.4: strict commands name one flow, others all that the match contains; deletions may ask for a port, a group or a table.
#[test]
fn commands_choose_flows() {
    let mut world = World::new();
    let bucket = [hex("0020 0000 ffffffff ffffffff 00000000"), output(2)].concat();
    for (command, fields, priority, (table, out_port, out_group), left) in [
        (DELETE, "", 0, (0xff, u32::MAX, u32::MAX), vec![]),
        (DELETE, "", 0, (0, u32::MAX, u32::MAX), vec![5]),
        (DELETE, IP, 9, (0xff, u32::MAX, u32::MAX), vec![1, 4, 5]),
        (DELETE, UDP, 0, (0xff, u32::MAX, u32::MAX), vec![1, 2, 4, 5]),
        (DELETE_STRICT, IP, 2, (0xff, u32::MAX, u32::MAX), vec![1, 3, 4, 5]),
        (DELETE_STRICT, IP, 9, (0xff, u32::MAX, u32::MAX), vec![1, 2, 3, 4, 5]),
        (DELETE_STRICT, "", 1, (1, u32::MAX, u32::MAX), vec![1, 2, 3, 4, 5]),
        (DELETE, "", 0, (0xff, 3, u32::MAX), vec![1, 2, 4, 5]),
        (DELETE, "", 0, (0xff, u32::MAX, 1), vec![1, 2, 3, 5]),
        (DELETE, "", 0, (0xff, 3, 1), vec![1, 2, 3, 4, 5]),
    ] {
        world.clear();
        world.tell(&message(15, &[hex("0000 00 00 00000001"), bucket.clone()].concat()));
        world.add(&flow("", 1));
        world.add(&flow(IP, 2));
        world.add(&Mod { instructions: apply(&[output(3)]), ..flow(UDP, 3) });
        world.add(&Mod { instructions: apply(&[element(22, "00000001")]), ..flow(PORT_1, 4) });
        world.add(&Mod { table: 1, ..flow("", 5) });
        world.add(&Mod { command, table, out_port, out_group, ..flow(fields, priority) });
        let mut there: Vec<u16> = priorities(&mut world);
        there.sort_unstable();
        assert_eq!(there, left, "{command} {fields:?} {priority} {table} {out_port} {out_group}");
    }
    // What there is not to be changed is no fault, and adds nothing.
    world.clear();
    for command in [MODIFY, MODIFY_STRICT, DELETE, DELETE_STRICT] {
        world.add(&Mod { command, ..flow(IP, 1) });
    }
    assert!(priorities(&mut world).is_empty());
    assert_eq!(world.refused(&Mod { command: 5, ..flow(IP, 1) }.bytes()), OfError::FlowModBadCommand);
    assert_eq!(world.refused(&Mod { table: 0xff, ..flow(IP, 1) }.bytes()), OfError::FlowModBadTable);
}

/// Sections 5.6 and 6.7, over the wire: a group's flows go with it, with reason 3; references and counters are told.
#[test]
fn a_group_takes_its_flows_along() {
    let mut world = World::new();
    let mut events = world.peer.bridge.events();
    let bucket = |port: u32| [hex("0020 0000 ffffffff ffffffff 00000000"), output(port)].concat();
    let group = |command: &str, kind: &str, id: u32, buckets: &[Vec<u8>]| {
        message(15, &[hex(&format!("{command} {kind} 00 {id:08x}")), buckets.concat()].concat())
    };
    world.tell(&group("0000", "00", 1, &[bucket(2), bucket(3)]));
    let chained = [hex("0018 0000 ffffffff ffffffff 00000000"), element(22, "00000001")].concat();
    world.tell(&group("0000", "02", 2, std::slice::from_ref(&chained)));
    for (id, priority) in [(1, 1), (2, 2)] {
        let to_group = apply(&[element(22, &format!("{id:08x}"))]);
        world.add(&Mod { flags: SEND_FLOW_REM, instructions: to_group, ..flow("", priority) });
    }
    assert_eq!(world.ports(&frame(60)), [2, 3], "through the chain");
    let stats = world.peer.ask(&multipart(6, "00000001 00000000"));
    // References: a flow and a bucket; one packet of 60 bytes in all and in each bucket.
    assert_eq!(number(&stats[24..28]), 2);
    assert_eq!((number(&stats[32..40]), number(&stats[40..48])), (1, 60));
    assert_eq!((number(&stats[56..64]), number(&stats[72..80])), (1, 1));
    assert_eq!(world.refused(&group("0002", "00", 1, &[])), OfError::GroupModChainedGroup);
    assert_eq!(world.refused(&group("0001", "02", 1, &[chained])), OfError::GroupModLoop);
    world.tell(&group("0002", "00", 2, &[]));
    assert_eq!(removed(&mut world, &mut events), [(0, 2, 3, 1, 60)], "reason 3");
    world.tell(&group("0002", "00", 1, &[]));
    assert!(priorities(&mut world).is_empty());
    assert_eq!(world.refused(&group("0001", "00", 9, &[bucket(2)])), OfError::GroupModUnknownGroup);
}

/// Section 5.7: a meter's flows go with it; a flow to a meter that is not there is refused.
#[test]
fn a_meter_takes_its_flows_along() {
    let mut world = World::new();
    let mut events = world.peer.bridge.events();
    let metered = |priority: u16| {
        let instructions = [element(6, "00000001"), apply(&[output(2)])].concat();
        Mod { flags: SEND_FLOW_REM, instructions, ..flow("", priority) }
    };
    // What is no meter is an invalid one in an instruction (section 7.5.4.14).
    assert_eq!(world.refused(&metered(1).bytes()), OfError::MeterModInvalid);
    // Two packets at once, and none for a while.
    world.tell(&message(29, &hex("0000 0006 00000001 0001 0010 00000001 00000002 00000000")));
    world.add(&metered(1));
    let passed = (0..5).filter(|_| world.ports(&frame(60)) == [2]).count();
    assert_eq!(passed, 2);
    let stats = world.peer.ask(&multipart(9, "00000001 00000000"));
    assert_eq!((number(&stats[28..32]), number(&stats[32..40])), (1, 5), "one flow, five packets");
    assert_eq!(number(&stats[56..64]), 3, "three met the band");
    world.tell(&message(29, &hex("0002 0000 00000001")));
    let gone = removed(&mut world, &mut events);
    assert_eq!((gone.len(), gone[0].2), (1, 2), "deleted, which OpenFlow 1.3 has no other reason for");
    assert!(priorities(&mut world).is_empty());
}
