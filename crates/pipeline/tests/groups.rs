//! Groups: which buckets take a packet, that what a bucket changes is its own, who is credited, what is refused. Every hit is
//! checked against a fresh translation.
#![allow(missing_docs)]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{World, udp};
use heddle_netdev::Offloads;
use heddle_openflow::OfError;
use heddle_openflow::group::{GroupCommand, GroupKind, GroupMod};
use heddle_openflow::text::parse_group;
use heddle_pipeline::Bridge;

fn world() -> (World, Arc<Bridge>) {
    let mut world = World::new();
    let bridge = world.bridge("s1", false);
    for number in 1..=4 {
        world.device(&bridge, number, Offloads::default());
    }
    (world, bridge)
}

fn group_mod(bridge: &Bridge, command: GroupCommand, text: &str) -> Result<usize, OfError> {
    let group = parse_group(text, command).unwrap_or_else(|error| panic!("{text}: {error}"));
    bridge.group_mod(&group, None, 0).map(|gone| gone.len())
}

fn add(bridge: &Bridge, text: &str) {
    assert_eq!(group_mod(bridge, GroupCommand::Add, text), Ok(0), "{text}");
}

fn counts(world: &World) -> [usize; 3] {
    [2, 3, 4].map(|port| world.sent(&format!("s1-eth{port}")).len())
}

#[test]
fn every_bucket_of_an_all_group_has_a_packet_of_its_own() {
    let (mut world, bridge) = world();
    add(
        &bridge,
        "group_id=1,type=all,bucket=actions=set_field:10.1.1.1->ip_dst,2,bucket=actions=push_vlan:0x8100,set_field:4101->vlan_vid,3",
    );
    world.flow(&bridge, "in_port=1,ip,actions=group:1,output:4");
    let frame = udp(1, 2, 53);
    for _ in 0..3 {
        world.send("s1-eth1", &frame);
    }
    let changed = world.sent("s1-eth2").remove(0);
    assert_eq!(changed[30..34], [10, 1, 1, 1]);
    assert_eq!(heddle_wire::checksum::verify_transport(&changed), Some(true));
    assert_eq!(world.sent("s1-eth3").remove(0)[12..18], [0x81, 0, 0, 5, 8, 0]);
    assert_eq!(world.sent("s1-eth4"), vec![frame; 3]);
    world.engine.flush_credits();
    let stats = bridge.group_stats(1, 5).remove(0);
    assert_eq!((stats.references, stats.packets, stats.duration), (1, 3, Some(Duration::from_millis(5))));
    assert!(stats.buckets.iter().all(|bucket| bucket.0 == 3), "{stats:?}");
}

#[test]
fn a_connection_keeps_its_bucket_and_weights_share() {
    let (mut world, bridge) = world();
    add(
        &bridge,
        "group_id=1,type=select,bucket=weight:1,actions=2,bucket=weight:3,actions=3,bucket=weight:0,actions=4",
    );
    world.flow(&bridge, "in_port=1,actions=group:1");
    for _ in 0..5 {
        world.send("s1-eth1", &udp(1, 2, 7));
    }
    let first = counts(&world);
    assert!(first == [5, 0, 0] || first == [0, 5, 0], "{first:?}");
    for port in 0..1000 {
        world.send("s1-eth1", &udp(1, 2, port));
    }
    let [light, heavy, none] = counts(&world);
    assert!(none == 0 && light + heavy == 1000 && (150..350).contains(&light), "{light} {heavy}");
}

/// Traffic that differs in its stations only, or that is no IP, is spread as well.
#[test]
fn what_has_no_connection_is_spread_by_its_addresses() {
    let (mut world, bridge) = world();
    add(&bridge, "group_id=1,type=select,bucket=actions=2,bucket=actions=3");
    world.flow(&bridge, "in_port=1,actions=group:1");
    let mut arp = vec![0xff; 6];
    arp.extend([2, 0, 0, 0, 0, 1, 8, 6, 0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 1]);
    arp.extend([10, 0, 0, 1, 0, 0, 0, 0, 0, 0, 10, 0, 0, 2]);
    let unknown = [&arp[..12], &[0x88, 0xb5], &[7; 46]].concat();
    // Where the number is written: the station's address, ARP's sender, ARP's target, the station's address.
    for (name, frame, at) in [
        ("UDP", udp(1, 2, 7), 10),
        ("ARP, from", arp.clone(), 30),
        ("ARP, to", arp, 40),
        ("unknown", unknown, 10),
    ] {
        for number in 0..200u16 {
            let mut frame = frame.clone();
            frame[at..at + 2].copy_from_slice(&number.to_be_bytes());
            world.send("s1-eth1", &frame);
        }
        let [one, other, _] = counts(&world);
        assert!(one + other == 200 && (60..140).contains(&one), "{name}: {one} {other}");
    }
}

#[test]
fn the_first_live_bucket_takes_over_and_gives_back() {
    let (mut world, bridge) = world();
    add(&bridge, "group_id=9,type=indirect,bucket=actions=4");
    add(&bridge, "group_id=1,type=ff,bucket=watch_port:2,actions=2,bucket=watch_port:3,actions=group:9");
    world.flow(&bridge, "in_port=1,actions=group:1");
    let set = |down: bool| {
        bridge.publish(|snapshot, changes| {
            let mut port = (**snapshot.ports.get(&2).expect("it is there")).clone();
            port.link_down = down;
            snapshot.ports.insert_mut(2, Arc::new(port));
            changes.everything();
        });
    };
    for (down, expected) in [(false, [1, 0, 0]), (true, [0, 0, 1]), (false, [1, 0, 0])] {
        set(down);
        world.send("s1-eth1", &udp(1, 2, 7));
        assert_eq!(counts(&world), expected, "{down}");
    }
}

#[test]
fn what_cannot_be_is_refused_and_changes_nothing() {
    let (mut world, bridge) = world();
    add(&bridge, "group_id=1,type=all,bucket=actions=2");
    add(&bridge, "group_id=2,type=all,bucket=actions=group:1");
    let refused = |command, text, error| assert_eq!(group_mod(&bridge, command, text), Err(error), "{text}");
    refused(GroupCommand::Add, "group_id=1,type=all", OfError::GroupModExists);
    refused(GroupCommand::Modify, "group_id=7,type=all", OfError::GroupModUnknownGroup);
    refused(GroupCommand::Add, "group_id=7,type=indirect", OfError::GroupModInvalid);
    // What no client would write, but a controller may.
    let written = |text: &str| parse_group(text, GroupCommand::Add).expect("it is a group");
    let one = written("group_id=7,type=all,bucket=actions=2");
    let mut weighty = one.clone();
    weighty.buckets[0].weight = 2;
    for group in [
        GroupMod { group_id: 0xffff_ff01, ..one.clone() },
        GroupMod { kind: GroupKind::FastFailover, ..one },
        weighty,
    ] {
        assert_eq!(bridge.group_mod(&group, None, 0).err(), Some(OfError::GroupModInvalid), "{group:?}");
    }
    refused(
        GroupCommand::Add,
        "group_id=7,type=all,bucket=watch_port:2,actions=2",
        OfError::GroupModWatchUnsupported,
    );
    refused(GroupCommand::Add, "group_id=7,type=all,bucket=actions=group:8", OfError::ActionBadOutGroup);
    refused(GroupCommand::Add, "group_id=7,type=all,bucket=actions=group:7", OfError::GroupModLoop);
    refused(GroupCommand::Modify, "group_id=1,type=all,bucket=actions=group:2", OfError::GroupModLoop);
    refused(GroupCommand::Delete, "group_id=1", OfError::GroupModChainedGroup);
    let flow = heddle_openflow::text::parse_flow("actions=group:5").expect("it is a flow");
    assert_eq!(bridge.flow_mod(&flow, 0).err(), Some(OfError::ActionBadOutGroup));
    assert_eq!(bridge.group_descriptions().len(), 2);

    // A group takes the flows along that send to it.
    world.flow(&bridge, "in_port=1,actions=group:2");
    world.flow(&bridge, "in_port=2,actions=output:3");
    world.send("s1-eth1", &udp(1, 2, 7));
    assert_eq!(counts(&world), [1, 0, 0]);
    assert_eq!(group_mod(&bridge, GroupCommand::Delete, "group_id=2"), Ok(1));
    assert_eq!(group_mod(&bridge, GroupCommand::Delete, "group_id=2"), Ok(0), "it is gone already");
    world.send("s1-eth1", &udp(1, 2, 7));
    assert_eq!((counts(&world), world.flows(&bridge).len()), ([0, 0, 0], 1));
    assert_eq!(group_mod(&bridge, GroupCommand::Delete, ""), Ok(0));
    assert!(bridge.group_descriptions().is_empty());
}
