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

/// The numbers of a group's buckets, in their order.
fn numbers(bridge: &Bridge) -> Vec<u32> {
    bridge.group_descriptions()[0].buckets.iter().map(|bucket| bucket.bucket_id).collect()
}

#[test]
fn single_buckets_come_and_go() {
    use GroupCommand::{InsertBucket, RemoveBucket};
    let (mut world, bridge) = world();
    add(&bridge, "group_id=1,type=all");
    let insert = |place: &str, buckets: &str| {
        group_mod(&bridge, InsertBucket, &format!("group_id=1,command_bucket_id={place}{buckets}"))
    };
    let two = |a: u32, b: u32| format!(",bucket=bucket_id:{a},actions=2,bucket=bucket_id:{b},actions=3");
    for (place, buckets, after) in [
        ("last", two(10, 11), vec![10, 11]),
        ("first", two(0, 1), vec![0, 1, 10, 11]),
        ("last", two(14, 15), vec![0, 1, 10, 11, 14, 15]),
        ("15", String::new(), vec![0, 1, 10, 11, 14, 15]),
        ("11", two(12, 13), vec![0, 1, 10, 11, 12, 13, 14, 15]),
        ("15", two(20, 21), vec![0, 1, 10, 11, 12, 13, 14, 15, 20, 21]),
    ] {
        assert_eq!((insert(place, &buckets), numbers(&bridge)), (Ok(0), after), "{place}");
    }
    assert_eq!(insert("last", &two(30, 14)), Err(OfError::GroupModBucketExists));
    assert_eq!(insert("99", &two(30, 31)), Err(OfError::GroupModUnknownBucket));
    let bucket = ",bucket=bucket_id:30,actions=group:7";
    assert_eq!(insert("last", bucket), Err(OfError::ActionBadOutGroup));
    assert_eq!(
        group_mod(&bridge, InsertBucket, "group_id=2,command_bucket_id=last"),
        Err(OfError::GroupModUnknownGroup)
    );

    // The others keep what they counted.
    world.flow(&bridge, "in_port=1,ip,actions=group:1");
    world.send("s1-eth1", &udp(1, 2, 53));
    world.engine.flush_credits();
    let remove =
        |place: &str| group_mod(&bridge, RemoveBucket, &format!("group_id=1,command_bucket_id={place}"));
    for (place, after) in [
        ("first", vec![1, 10, 11, 12, 13, 14, 15, 20, 21]),
        ("last", vec![1, 10, 11, 12, 13, 14, 15, 20]),
        ("13", vec![1, 10, 11, 12, 14, 15, 20]),
    ] {
        assert_eq!((remove(place), numbers(&bridge)), (Ok(0), after), "{place}");
    }
    assert_eq!(insert("first", &two(40, 41)), Ok(0));
    let packets: Vec<u64> = bridge.group_stats(1, 0)[0].buckets.iter().map(|bucket| bucket.0).collect();
    assert_eq!((bridge.group_stats(1, 0)[0].packets, packets), (1, vec![0, 0, 1, 1, 1, 1, 1, 1, 1]));
    // Who is cached sees what is there now.
    counts(&world);
    world.send("s1-eth1", &udp(1, 2, 53));
    assert_eq!(counts(&world).iter().sum::<usize>(), 9);
    assert_eq!(remove("13"), Err(OfError::GroupModUnknownBucket));
    let with_bucket = GroupMod {
        command: RemoveBucket,
        group_id: 1,
        command_bucket_id: 1,
        buckets: vec![heddle_openflow::group::Bucket { bucket_id: 1, ..Default::default() }],
        ..GroupMod::default()
    };
    assert_eq!(bridge.group_mod(&with_bucket, None, 0).err(), Some(OfError::GroupModBadBucket));
    assert_eq!((remove("all"), numbers(&bridge)), (Ok(0), vec![]));
    // There is nothing to be taken, which is no fault.
    assert_eq!((remove("first"), remove("last"), remove("all")), (Ok(0), Ok(0), Ok(0)));
}

#[test]
fn an_indirect_group_keeps_its_bucket_and_a_failover_group_its_type() {
    let (_, bridge) = world();
    add(&bridge, "group_id=1,type=indirect,bucket=actions=2");
    let change = |command, text: &str| group_mod(&bridge, command, text);
    let bucket = "group_id=1,command_bucket_id=last,bucket=bucket_id:5,actions=3";
    assert_eq!(change(GroupCommand::InsertBucket, bucket), Err(OfError::GroupModInvalid));
    assert_eq!(
        change(GroupCommand::RemoveBucket, "group_id=1,command_bucket_id=first"),
        Err(OfError::GroupModInvalid)
    );
    add(&bridge, "group_id=2,type=ff");
    let bucket = "group_id=2,command_bucket_id=last,bucket=bucket_id:5,actions=3";
    assert_eq!(change(GroupCommand::InsertBucket, bucket), Ok(0));
    assert_eq!(bridge.group_descriptions()[1].kind, GroupKind::FastFailover);
}

#[test]
fn a_select_group_hashes_the_fields_that_it_says() {
    let (mut world, bridge) = world();
    let select = |rest: &str| {
        format!(
            "group_id=1,type=select,{rest},bucket=weight:1,actions=2,bucket=weight:1,actions=3,bucket=weight:1,actions=4"
        )
    };
    add(&bridge, "group_id=1,type=all");
    world.flow(&bridge, "in_port=1,ip,actions=group:1");
    // Which of the last two bytes of addresses and ports move packets from bucket to bucket.
    let mut spread = |rest: &str| {
        assert_eq!(group_mod(&bridge, GroupCommand::Modify, &select(rest)), Ok(0), "{rest}");
        let buckets = |world: &mut World, frames: Vec<Vec<u8>>| {
            frames.iter().for_each(|frame| world.send("s1-eth1", frame));
            counts(world).iter().filter(|&&count| count != 0).count()
        };
        let by_source = (0..60).map(|host| udp(host, 2, 53)).collect();
        let by_port = (0..60).map(|port| udp(1, 2, port)).collect();
        (buckets(&mut world, by_source) > 1, buckets(&mut world, by_port) > 1)
    };
    assert_eq!(spread("selection_method=hash,fields(ip_src)"), (true, false));
    assert_eq!(spread("selection_method=hash,fields(udp_dst)"), (false, true));
    assert_eq!(spread("selection_method=hash,fields(tcp_dst)"), (false, false), "UDP has no TCP port");
    assert_eq!(spread("selection_method=hash,fields(ip_src=255.255.255.0)"), (false, false));
    assert_eq!(spread("selection_method=hash"), (true, true));
    assert_eq!(spread("selection_method=dp_hash"), (true, true));
    assert_eq!(
        spread("selection_method=dp_hash,selection_method_param=0x100000000"),
        (true, false),
        "ports of TCP alone"
    );
    let refused = |group: GroupMod| {
        assert_eq!(bridge.group_mod(&group, None, 0).err(), Some(OfError::PropertyBadValue), "{group:?}")
    };
    let selection = |method: &str, fields| heddle_openflow::group::Selection {
        method: method.into(),
        parameter: 0,
        fields,
    };
    let group = GroupMod { group_id: 5, kind: GroupKind::Select, ..GroupMod::default() };
    let field = vec![(heddle_flow::Field::Ipv4Src, 255)];
    refused(GroupMod { selection: selection("roulette", vec![]), ..group.clone() });
    refused(GroupMod { selection: selection("dp_hash", field.clone()), ..group.clone() });
    refused(GroupMod { selection: selection("", field), ..group.clone() });
    refused(GroupMod { kind: GroupKind::All, selection: selection("hash", vec![]), ..group.clone() });
    refused(GroupMod { command: GroupCommand::Delete, selection: selection("hash", vec![]), ..group });
}
