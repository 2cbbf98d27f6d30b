//! Established flows while flows and addresses change elsewhere in their bridge: counts, not times.
#![allow(missing_docs)]

mod common;

use std::sync::Arc;

use common::{World, udp};
use heddle_netdev::Offloads;
use heddle_openflow::Command;
use heddle_openflow::text::parse_flow;
use heddle_pipeline::Bridge;

const ESTABLISHED: u16 = 200;
const CHANGES: u32 = 2000;

/// Two hundred connections from port 1 to port 2 by NORMAL, each a megaflow; port 3 is where all changes.
fn established() -> (World, Arc<Bridge>) {
    let mut world = World::new();
    let bridge = world.bridge("s1", false);
    for port in 1..=3 {
        world.device(&bridge, port, Offloads::default());
    }
    world.flow(&bridge, "table=0,priority=1,actions=goto_table:1");
    world.flow(&bridge, "table=1,priority=1,udp,actions=NORMAL");
    let connection = "udp,nw_src=192.0.2.1,nw_dst=192.0.2.2,tp_src=9,tp_dst=9";
    world.flow(&bridge, &format!("table=1,priority=2,{connection},actions=drop"));
    world.send("s1-eth2", &udp(2, 1, 1));
    for device in ["s1-eth1", "s1-eth3"] {
        world.sent(device);
    }
    send_all(&mut world);
    send_all(&mut world);
    world.engine.set_differential_check(0);
    (world, bridge)
}

fn send_all(world: &mut World) {
    for port in 0..ESTABLISHED {
        world.send("s1-eth1", &udp(1, 2, port));
    }
    assert_eq!(world.sent("s1-eth2").len(), usize::from(ESTABLISHED));
}

/// A packet with a source address never seen, in by port 3.
fn stranger(world: &mut World, number: u32) {
    let mut frame = udp(3, 2, 60_000);
    frame[8..12].copy_from_slice(&(0x100_0000 + number).to_be_bytes());
    world.send("s1-eth3", &frame);
    assert_eq!(world.sent("s1-eth2").len(), 1);
}

fn change_a_flow(world: &World, bridge: &Bridge, number: u32) {
    let (high, low) = (number >> 8 & 0xff, number & 0xff);
    let mut text = format!("table=0,priority=9,in_port=3,ip,nw_dst=10.9.{high}.{low},actions=drop");
    if number % 2 == 1 {
        text = format!("table=1,priority=9,in_port=3,udp,tp_dst={number},actions=drop");
    }
    let mut flow = parse_flow(&text).expect("the text is a flow");
    bridge.flow_mod(&flow, world.now_ms).expect("the flow is good");
    if number % 4 > 1 {
        flow.command = Command::DeleteStrict;
        bridge.flow_mod(&flow, world.now_ms).expect("the flow is good");
    }
}

#[test]
fn changes_elsewhere_cost_established_flows_no_translation_and_hardly_a_question() {
    let (mut world, bridge) = established();
    let (upcalls, questions) = (world.engine.upcalls(), world.engine.questions());
    for number in 0..CHANGES {
        change_a_flow(&world, &bridge, number);
        stranger(&mut world, number);
        if number % 10 == 0 {
            send_all(&mut world);
        }
        if number % 100 == 0 {
            world.now_ms += 500;
            world.engine.revalidate(world.now_ms);
        }
    }
    // Each stranger's packet is translated, and nothing else is.
    assert_eq!(world.engine.upcalls() - upcalls, u64::from(CHANGES));
    // Forty thousand hits met changes. Some shared a place of the hash with one of them.
    let asked = world.engine.questions() - questions;
    assert!(asked < 1000, "{asked} questions");
    // A change of everything that leaves them standing costs no translation either, however many there were before.
    bridge.touch();
    let upcalls = world.engine.upcalls();
    world.engine.set_differential_check(1);
    send_all(&mut world);
    assert_eq!(world.engine.upcalls(), upcalls);
}

#[test]
fn a_change_that_concerns_them_is_seen_at_once() {
    let (mut world, bridge) = established();
    let upcalls = world.engine.upcalls();
    world.flow(&bridge, "table=0,priority=9,in_port=1,ip,nw_dst=10.0.0.2,actions=output:3");
    world.send("s1-eth1", &udp(1, 2, 7));
    assert_eq!((world.sent("s1-eth2").len(), world.sent("s1-eth3").len()), (0, 1));
    assert_eq!(world.engine.upcalls() - upcalls, 1);
    // A thousand changes and more at once are not all remembered: every decision is translated anew.
    for number in 0..CHANGES {
        change_a_flow(&world, &bridge, number);
    }
    world.send("s1-eth1", &udp(1, 2, 7));
    assert_eq!(world.engine.upcalls() - upcalls, 2);
}

#[test]
fn an_address_that_shares_its_part_of_the_database_costs_no_translation() {
    let (mut world, bridge) = established();
    let bucket = heddle_pipeline::fdb::Fdb::bucket(0, 0x0200_0000_0002);
    let same = (0..).filter(|&mac| heddle_pipeline::fdb::Fdb::bucket(0, mac) == bucket);
    let upcalls = world.engine.upcalls();
    for mac in same.take(10) {
        bridge.fdb.learn(0, mac, 3, 0);
        bridge.touch_address(0, mac);
        bridge.touch();
        send_all(&mut world);
    }
    assert_eq!(world.engine.upcalls(), upcalls);
    // The target moves: that is seen.
    bridge.fdb.learn(0, 0x0200_0000_0002, 3, 0);
    bridge.touch_address(0, 0x0200_0000_0002);
    world.send("s1-eth1", &udp(1, 2, 7));
    assert_eq!(world.sent("s1-eth3").len(), 1);
}
