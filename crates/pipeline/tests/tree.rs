//! What the spanning tree's states let pass.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use std::sync::Arc;

use common::{World, udp};
use heddle_netdev::Offloads;
use heddle_openflow::port;
use heddle_pipeline::tree::Protocol;
use heddle_pipeline::{Bridge, Translation};
use heddle_stp::{Bpdu, State};

/// A bridge with three devices that learns and forwards by itself.
fn world() -> (World, Arc<Bridge>) {
    let mut world = World::new();
    let bridge = world.bridge("br0", true);
    (1..=3).for_each(|number| world.device(&bridge, number, Offloads::default()));
    bridge.publish(|snapshot, _| snapshot.tree = Some(Protocol::Rstp));
    (world, bridge)
}

fn set(bridge: &Bridge, number: u32, change: impl Fn(&mut heddle_pipeline::Port)) {
    bridge.publish(|snapshot, changes| {
        let mut port = (*snapshot.ports[&number]).clone();
        change(&mut port);
        snapshot.ports.insert_mut(number, Arc::new(port));
        changes.everything();
    });
}

fn message() -> Vec<u8> {
    Bpdu::Tcn.frame([2, 0, 0, 0, 0, 9])
}

#[test]
fn a_port_that_blocks_neither_takes_nor_gives_nor_learns() {
    let (mut world, bridge) = world();
    set(&bridge, 1, |port| port.tree = State::Blocking);
    world.send("br0-eth1", &udp(1, 2, 7));
    assert_eq!((world.sent("br0-eth2").len(), bridge.fdb.entries().len()), (0, 0));
    world.send("br0-eth2", &udp(2, 1, 7));
    assert_eq!((world.sent("br0-eth1").len(), world.sent("br0-eth3").len()), (0, 1));
    let reasons = world.engine.drops().clone();
    assert_eq!(reasons.get("port is blocked by the spanning tree"), Some(&1), "{reasons:?}");
}

#[test]
fn a_port_that_learns_teaches_and_forwards_nothing() {
    let (mut world, bridge) = world();
    set(&bridge, 1, |port| port.tree = State::Learning);
    world.send("br0-eth1", &udp(1, 2, 7));
    assert_eq!(world.sent("br0-eth2").len() + world.sent("br0-eth3").len(), 0);
    assert_eq!(bridge.fdb.entries()[0].port, 1);
    set(&bridge, 1, |port| port.tree = State::Forwarding);
    world.send("br0-eth2", &udp(2, 1, 7));
    assert_eq!((world.sent("br0-eth1").len(), world.sent("br0-eth3").len()), (1, 0));
}

#[test]
fn flows_send_by_no_port_that_does_not_forward() {
    let (mut world, bridge) = world();
    bridge.publish(|snapshot, _| snapshot.standalone = false);
    world.flow(&bridge, "in_port=3,actions=output:1,output:2");
    world.flow(&bridge, "in_port=2,actions=flood");
    set(&bridge, 1, |port| port.tree = State::Blocking);
    world.send("br0-eth3", &udp(1, 2, 7));
    world.send("br0-eth2", &udp(1, 2, 7));
    assert_eq!(
        (world.sent("br0-eth1").len(), world.sent("br0-eth2").len(), world.sent("br0-eth3").len()),
        (0, 1, 1)
    );
}

#[test]
fn messages_go_to_the_protocol_alone_even_by_ports_that_block() {
    let (mut world, bridge) = world();
    bridge.publish(|snapshot, _| snapshot.standalone = false);
    world.flow(&bridge, "actions=flood,controller");
    set(&bridge, 1, |port| port.tree = State::Blocking);
    set(&bridge, 2, |port| port.config = port::config::NO_RECV);
    set(&bridge, 3, |port| port.config = port::config::NO_RECV_STP);
    for device in ["br0-eth1", "br0-eth2", "br0-eth3"] {
        world.send(device, &message());
        assert!(world.sent("br0-eth2").is_empty() && world.punted("br0").is_empty());
    }
    let taken = bridge.messages.take();
    assert_eq!(taken.iter().map(|(port, _)| *port).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(Bpdu::of_frame(&taken[0].1), Ok(Bpdu::Tcn));
}

#[test]
fn without_a_tree_messages_are_packets_like_others() {
    let (mut world, bridge) = world();
    bridge.publish(|snapshot, _| (snapshot.tree, snapshot.standalone) = (None, false));
    world.flow(&bridge, "actions=flood");
    world.send("br0-eth1", &message());
    assert_eq!((world.sent("br0-eth2").len(), bridge.messages.take().len()), (1, 0));
}

#[test]
fn a_bridges_own_messages_leave_by_ports_that_block_and_cross_patches() {
    let (mut world, bridge) = world();
    let other = world.bridge("br1", true);
    other.publish(|snapshot, _| snapshot.tree = Some(Protocol::Stp));
    world.patch((&bridge, 9), (&other, 8));
    for number in [1, 9] {
        set(&bridge, number, |port| port.tree = State::Blocking);
        let mut key = heddle_flow::PacketKey::default();
        heddle_flow::extract(&message(), port::LOCAL, 0, &mut key);
        let outcome = Translation::sent_by(&world.network, &bridge, number, &key.expand(), 0);
        let packet = heddle_wire::Packet::from_frame(&message());
        world.engine.execute(packet, port::LOCAL, &outcome.actions, 0);
    }
    while world.engine.poll(0) != 0 {}
    assert_eq!(world.sent("br0-eth1"), [message()]);
    assert_eq!(other.messages.take().iter().map(|(port, _)| *port).collect::<Vec<_>>(), [8]);
}
