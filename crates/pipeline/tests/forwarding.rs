//! Packets through bridges on dummy devices: what comes out where, who is credited, what the caches answer. Every hit is
//! checked against a fresh translation.
#![allow(missing_docs)]

mod common;

use heddle_pipeline::trace::{NetworkNames, Question, trace};
use std::sync::atomic::Ordering;

use common::{World, udp};
use heddle_netdev::Offloads;
use heddle_openflow::text::parse_flow;
use heddle_pipeline::flow_mod::Gone;
use heddle_wire::{Checksum, GsoType, Packet};

fn pair(world: &mut World, standalone: bool) -> std::sync::Arc<heddle_pipeline::Bridge> {
    let bridge = world.bridge("s1", standalone);
    for number in 1..=3 {
        world.device(&bridge, number, Offloads::default());
    }
    bridge
}

#[test]
fn a_standalone_bridge_learns() {
    let mut world = World::new();
    pair(&mut world, true);
    world.send("s1-eth1", &udp(1, 2, 53));
    assert_eq!((world.sent("s1-eth2").len(), world.sent("s1-eth3").len()), (1, 1));
    world.send("s1-eth2", &udp(2, 1, 53));
    assert_eq!((world.sent("s1-eth1").len(), world.sent("s1-eth3").len()), (1, 0));
    world.send("s1-eth1", &udp(1, 2, 53));
    assert_eq!((world.sent("s1-eth2").len(), world.sent("s1-eth3").len()), (1, 0));
    // The host moves: what was cached for its old place no longer stands.
    world.send("s1-eth3", &udp(2, 1, 53));
    world.send("s1-eth1", &udp(1, 2, 53));
    assert_eq!((world.sent("s1-eth2").len(), world.sent("s1-eth3").len()), (0, 1));
}

#[test]
fn tables_tags_and_fields() {
    let mut world = World::new();
    let bridge = pair(&mut world, false);
    world.flow(&bridge, "in_port=1,actions=load:7->reg3[],goto_table:1");
    world.flow(
        &bridge,
        "table=1,reg3=7,udp,tp_dst=53,actions=dec_ttl,mod_dl_dst:02:00:00:00:00:09,goto_table:2",
    );
    world.flow(&bridge, "table=2,ip,actions=write_actions(output:3),set_field:10.9.9.9->nw_dst,output:2,push_vlan:0x8100,set_field:4101->vlan_vid");
    world.send("s1-eth1", &udp(1, 2, 53));
    let plain = world.sent("s1-eth2").remove(0);
    assert_eq!(plain[..6], [2, 0, 0, 0, 0, 9]);
    assert_eq!((plain[22], &plain[30..34]), (63, &[10, 9, 9, 9][..]));
    assert_eq!(heddle_wire::checksum::verify_transport(&plain), Some(true));
    assert_eq!(heddle_wire::checksum::sum(&plain[14..34]), 0xffff);
    let tagged = world.sent("s1-eth3").remove(0);
    assert_eq!(tagged[12..18], [0x81, 0, 0, 5, 8, 0]);
    assert_eq!(tagged[18..], plain[14..]);
    // Another port than 53 finds no flow in table 1, and the reason has a name.
    world.send("s1-eth1", &udp(1, 2, 54));
    assert_eq!(world.engine.drops().get("no matching flow"), Some(&1));
}

#[test]
fn a_label_is_pushed_and_popped_and_what_is_under_it_is_read_anew() {
    let mut world = World::new();
    let bridge = pair(&mut world, false);
    world.flow(&bridge, "in_port=1,ip,actions=push_mpls:0x8847,set_field:77->mpls_label,output:2");
    world.flow(&bridge, "in_port=3,mpls,mpls_label=77,actions=pop_mpls:0x0800,load:1->reg0[],resubmit(,4)");
    world.flow(&bridge, "table=4,udp,tp_dst=53,reg0=1,actions=output:1");
    let frame = udp(1, 2, 53);
    world.send("s1-eth1", &frame);
    let labelled = world.sent("s1-eth2").remove(0);
    assert_eq!(labelled[12..18], [0x88, 0x47, 0, 0x04, 0xd1, 64]);
    world.send("s1-eth3", &labelled);
    assert_eq!(world.sent("s1-eth1"), [frame]);
    let names = NetworkNames { network: &world.network, ports: &[], by_name: false };
    let mut key = heddle_flow::FlowKey::default();
    key.set_in_port(9);
    let question = Question { key, bridge: &bridge, actions: None, effects: false };
    let text = trace(&world.network, &question, 0, &names).text;
    assert!(text.ends_with("    drop\n\nFinal flow: unchanged\nMegaflow: recirc_id=0,eth,in_port=9,dl_type=0x0000\nDatapath actions: drop\n"), "{text}");
}

#[test]
fn a_trace_says_which_flows_make_a_conjunction() {
    let mut world = World::new();
    let bridge = pair(&mut world, false);
    world.flow(&bridge, "conj_id=1,actions=output:2");
    world.flow(&bridge, "priority=10,ip,nw_dst=10.0.0.1,actions=conjunction(1,1/2)");
    world.flow(&bridge, "priority=10,in_port=1,actions=conjunction(1,2/2)");
    world.flow(&bridge, "priority=10,udp,actions=conjunction(2,1/2)");
    let matching = heddle_openflow::text::parse_match("in_port=1,udp,nw_dst=10.0.0.1").unwrap();
    let told = |by_name: bool, key: heddle_flow::FlowKey| {
        let names = NetworkNames { network: &world.network, ports: &[], by_name };
        let question = Question { key, bridge: &bridge, actions: None, effects: false };
        let text = trace(&world.network, &question, 0, &names).text;
        let mut lines: Vec<String> =
            text.lines().filter(|line| line.contains("conj.")).map(str::to_owned).collect();
        lines.sort();
        lines
    };
    let destination = "     -> conj. priority=10,ip,nw_dst=10.0.0.1";
    assert_eq!(told(false, *matching.key()), ["     -> conj. priority=10,in_port=1", destination]);
    assert_eq!(told(true, *matching.key()), ["     -> conj. priority=10,in_port=s1-eth1", destination]);
    let mut elsewhere = *matching.key();
    elsewhere.set_in_port(3);
    assert!(told(false, elsewhere).is_empty());
}

#[test]
fn counters_are_exact_through_tables_and_bridges() {
    let mut world = World::new();
    let (left, right) = (world.bridge("s1", false), world.bridge("s2", false));
    world.device(&left, 1, Offloads::default());
    world.device(&right, 1, Offloads::default());
    world.patch((&left, 2), (&right, 2));
    world.flow(&left, "in_port=1,idle_timeout=10,actions=goto_table:1");
    world.flow(&left, "table=1,ip,actions=goto_table:2");
    world.flow(&left, "table=2,udp,actions=output:2");
    world.flow(&right, "in_port=2,actions=output:1");
    world.engine.set_differential_check(1009);
    let packets = 1_000_000;
    let frames: Vec<Vec<u8>> = (0..64).map(|port| udp(1, 2, port)).collect();
    let mut batch = Vec::new();
    for index in 0..packets {
        batch.push(Packet::from_frame(&frames[index % frames.len()]));
        if batch.len() == 32 {
            world.now_ms = index as u64 / 50;
            // Datapath ports count from 1, in the order of their making.
            world.engine.process(&mut batch, 1, world.now_ms);
            if index % 100_000 < 32 {
                world.engine.revalidate(world.now_ms);
            }
            world.devices["s2-eth1"].sent();
        }
    }
    for flow in world.flows(&left).into_iter().chain(world.flows(&right)) {
        assert_eq!(flow.stats.packets.load(Ordering::Relaxed), packets as u64);
        assert_eq!(flow.stats.bytes.load(Ordering::Relaxed), packets as u64 * frames[0].len() as u64);
    }
    assert_eq!(world.engine.mismatches().0, 0);
    // Twenty seconds have gone by, yet the flow was in use; ten more without a packet end it.
    assert!(left.expire(world.now_ms).is_empty());
    let gone = left.expire(world.now_ms + 10_000);
    assert_eq!(gone.len(), 1);
    assert_eq!((gone[0].1, gone[0].0.stats.packets.load(Ordering::Relaxed)), (Gone::Idle, packets as u64));
}

#[test]
fn a_change_elsewhere_leaves_a_decision_standing_and_one_here_does_not() {
    let mut world = World::new();
    let bridge = pair(&mut world, false);
    world.flow(&bridge, "in_port=1,actions=output:2");
    world.send("s1-eth1", &udp(1, 2, 53));
    world.flow(&bridge, "priority=40000,in_port=2,actions=drop");
    world.send("s1-eth1", &udp(1, 2, 53));
    assert_eq!(world.sent("s1-eth2").len(), 2);
    assert_eq!(world.engine.dump_flows().iter().map(|flow| flow.packets).max(), Some(2));
    world.flow(&bridge, "priority=40000,udp,tp_dst=53,actions=output:3");
    world.send("s1-eth1", &udp(1, 2, 53));
    assert_eq!((world.sent("s1-eth2").len(), world.sent("s1-eth3").len()), (0, 1));
    let mut delete = parse_flow("udp,actions=drop").unwrap();
    delete.command = heddle_openflow::Command::Delete;
    assert_eq!(bridge.flow_mod(&delete, 0).unwrap().len(), 1);
    world.send("s1-eth1", &udp(1, 2, 53));
    assert_eq!((world.sent("s1-eth2").len(), world.sent("s1-eth3").len()), (1, 0));
}

#[test]
fn a_loop_of_bridges_ends_and_says_why() {
    let mut world = World::new();
    let bridges: Vec<_> = ["s1", "s2", "s3"].map(|name| world.bridge(name, false)).into();
    for (index, bridge) in bridges.iter().enumerate() {
        world.device(bridge, 1, Offloads::default());
        world.flow(bridge, "actions=FLOOD");
        let next = &bridges[(index + 1) % 3];
        world.patch((bridge, 2), (next, 3));
    }
    world.send("s1-eth1", &udp(1, 2, 53));
    assert_eq!(world.sent("s2-eth1").len(), 0);
    assert_eq!(world.engine.drops().get("too many bridges, or a loop"), Some(&1));
}

#[test]
fn controllers_get_packets_and_a_stalled_one_costs_no_memory() {
    let mut world = World::new();
    let bridge = pair(&mut world, false);
    world.flow(&bridge, "priority=0,cookie=0x9,actions=CONTROLLER:20");
    for port in 0..100 {
        world.send("s1-eth1", &udp(1, 2, port));
    }
    let punted = world.punted("s1");
    assert_eq!((punted.len(), bridge.punts_dropped.load(Ordering::Relaxed)), (64, 36));
    let first = &punted[0];
    assert_eq!((first.reason, first.cookie, first.in_port, first.data.len()), (0, 9, 1, 20));
}

#[test]
fn segments_cross_whole_or_are_cut_by_what_the_device_takes() {
    let all = Offloads { checksum: true, tso4: true, tso6: true, uso: true };
    for (offloads, frames) in
        [(all, 1), (Offloads { checksum: true, ..Offloads::default() }, 4), (Offloads::default(), 4)]
    {
        let mut world = World::new();
        let bridge = world.bridge("s1", false);
        world.device(&bridge, 1, all);
        world.device(&bridge, 2, offloads);
        world.flow(&bridge, "actions=set_field:02:00:00:00:00:07->eth_dst,output:2");
        let mut frame = udp(1, 2, 53)[..34].to_vec();
        frame[23] = 6;
        frame[16..18].copy_from_slice(&5040u16.to_be_bytes());
        frame.extend([0, 1, 0, 2, 0, 0, 0, 9, 0, 0, 0, 0, 0x50, 0x18, 0, 0, 0, 0, 0, 0]);
        frame.extend(vec![0xa5; 5000]);
        let mut packet = Packet::from_frame(&frame);
        packet.offload.gso = GsoType::TcpV4;
        (packet.offload.gso_size, packet.offload.header_len) = (1448, 54);
        packet.offload.checksum = Checksum::Partial { start: 34, offset: 16 };
        world.send_packet("s1-eth1", packet);
        let sent = world.devices["s1-eth2"].sent();
        assert_eq!(sent.len(), frames);
        for packet in &sent {
            assert_eq!(packet.data()[..6], [2, 0, 0, 0, 0, 7]);
            let finished = packet.offload.checksum == Checksum::Unverified;
            assert!(!finished || heddle_wire::checksum::verify_transport(packet.data()) == Some(true));
            assert_eq!(finished, frames == 4);
        }
        assert_eq!(world.flows(&bridge)[0].stats.packets.load(Ordering::Relaxed), 4);
    }
}

/// Metadata that a flow copies from packets makes a kind of packet-in of each; when there are too many, older ones are told
/// again rather than dropped for ever.
#[test]
fn packet_ins_of_more_kinds_than_are_remembered() {
    let mut world = World::new();
    let bridge = world.bridge("s1", false);
    world.device(&bridge, 1, Offloads::default());
    world.flow(&bridge, "udp,actions=move:NXM_OF_IP_SRC[]->OXM_OF_METADATA[0..31],controller");
    let mut frame = udp(1, 2, 80);
    let mut send = |world: &mut World, source: u32| {
        frame[26..30].copy_from_slice(&source.to_be_bytes());
        world.now_ms += 2; // Packet-ins are limited in rate.
        world.send("s1-eth1", &frame);
        let told = world.punted("s1");
        assert_eq!(told.iter().map(|packet| packet.metadata).collect::<Vec<_>>(), [u64::from(source)]);
    };
    for source in 0..66_000 {
        send(&mut world, source);
    }
    for source in (0..66_000).step_by(1_000) {
        send(&mut world, source);
    }
}
