//! The controller against scripted switches: messages in, messages out.

use heddle_flow::{Field, Match};
use heddle_openflow::message::{Command, Features, PacketIn, PacketOut, decode};
use heddle_openflow::{Action, Body, FlowMod, Framer, Instruction, Message, OfError, PortDesc, port};

use super::*;
use crate::apps::LearningSwitch;
use crate::session::{DEAD_MS, HANDSHAKE_MS, PROBE_MS};

const A: [u8; 6] = [2, 0, 0, 0, 0, 0xa];
const B: [u8; 6] = [2, 0, 0, 0, 0, 0xb];
const ALL: [u8; 6] = [0xff; 6];

fn controller() -> Controller {
    Controller::new(vec![Box::new(LearningSwitch::default())])
}

fn bytes(body: Body) -> Vec<u8> {
    Message::new(7, body).encode()
}

/// What was written to a connection.
fn said(output: &Output, id: ConnectionId) -> Vec<Body> {
    let mut framer = Framer::default();
    for (to, bytes) in &output.sends {
        if *to == id {
            framer.push(bytes);
        }
    }
    std::iter::from_fn(|| framer.next_message())
        .map(|message| decode(&message.expect("framed")).expect("decoded").body)
        .collect()
}

fn features(datapath_id: u64) -> Body {
    Body::FeaturesReply(Features { datapath_id, tables: 254, capabilities: 7, ..Features::default() })
}

/// A switch that has finished its handshake.
fn connect(controller: &mut Controller, datapath_id: u64) -> (ConnectionId, Output) {
    let (id, _) = controller.accept(0).expect("room");
    controller.receive(id, &bytes(Body::Hello(1 << 4)), 0);
    let output = controller.receive(id, &bytes(features(datapath_id)), 0);
    (id, output)
}

fn frame(dst: [u8; 6], src: [u8; 6], vid: Option<u16>) -> Vec<u8> {
    let mut frame = [dst, src].concat();
    if let Some(vid) = vid {
        frame.extend([0x81, 0]);
        frame.extend(vid.to_be_bytes());
    }
    frame.extend([8, 0]);
    frame.resize(60, 0);
    frame
}

fn packet_in(in_port: u32, data: Vec<u8>) -> Body {
    let mut matching = Match::default();
    matching.set(Field::InPort, u128::from(in_port));
    Body::PacketIn(PacketIn {
        cookie: 0,
        total_len: data.len() as u32,
        matching,
        data,
        ..PacketIn::default()
    })
}

fn packet_out(in_port: u32, to: u32, data: Vec<u8>) -> Body {
    let actions = vec![Action::Output { port: to, max_len: 0 }];
    Body::PacketOut(PacketOut { in_port, actions, data, ..PacketOut::default() })
}

#[test]
fn handshake_ends_with_a_table_miss_flow() {
    let mut controller = controller();
    let (id, output) = controller.accept(0).expect("room");
    assert_eq!(said(&output, id), [Body::Hello(1 << 4)]);
    let output = controller.receive(id, &bytes(Body::Hello(1 << 4)), 0);
    assert_eq!(said(&output, id), [Body::FeaturesRequest]);
    let output = controller.receive(id, &bytes(features(1)), 0);
    let actions = vec![Action::Output { port: port::CONTROLLER, max_len: 0xffff }];
    let miss = FlowMod { priority: 0, instructions: vec![Instruction::Apply(actions)], ..FlowMod::default() };
    assert_eq!(said(&output, id), [Body::FlowMod(miss)]);
    let switch = Switch { datapath_id: 1, tables: 254, capabilities: 7 };
    assert_eq!(output.events, [Event::Connected(id, switch)]);
    assert_eq!(controller.switches().collect::<Vec<_>>(), [switch]);
}

#[test]
fn bytes_may_come_one_by_one() {
    let mut controller = controller();
    let (id, _) = controller.accept(0).expect("room");
    let stream = [bytes(Body::Hello(1 << 4)), bytes(features(1))].concat();
    let flows: usize = stream
        .iter()
        .map(|&byte| controller.receive(id, &[byte], 0))
        .map(|output| said(&output, id).iter().filter(|body| matches!(body, Body::FlowMod(_))).count())
        .sum();
    assert_eq!(flows, 1);
}

#[test]
fn a_peer_of_another_version_is_told_and_closed() {
    let mut controller = controller();
    let (id, _) = controller.accept(0).expect("room");
    let output = controller.receive(id, &[1, 0, 0, 8, 0, 0, 0, 1], 0);
    let incompatible = OfError::HelloIncompatible.number();
    assert!(matches!(&said(&output, id)[..], [Body::Error { number, .. }] if *number == incompatible));
    assert_eq!(output.closes, [id]);
    assert_eq!(output.events, [Event::Closed(id, CloseReason::NoCommonVersion)]);
    assert!(controller.receive(id, &bytes(Body::Hello(1 << 4)), 0).sends.is_empty());
}

#[test]
fn a_newer_peer_without_a_bitmap_falls_back() {
    let mut controller = controller();
    let (id, _) = controller.accept(0).expect("room");
    let output = controller.receive(id, &[6, 0, 0, 8, 0, 0, 0, 1], 0);
    assert_eq!(said(&output, id), [Body::FeaturesRequest]);
}

#[test]
fn a_first_message_other_than_hello_closes() {
    let mut controller = controller();
    let (id, _) = controller.accept(0).expect("room");
    let output = controller.receive(id, &bytes(features(1)), 0);
    assert_eq!(output.events, [Event::Closed(id, CloseReason::NoHello)]);
}

#[test]
fn a_broken_stream_closes_and_a_bad_message_is_answered() {
    let mut controller = controller();
    let (id, _) = connect(&mut controller, 1);
    let output = controller.receive(id, &[4, 99, 0, 8, 0, 0, 0, 1], 0);
    let number = OfError::RequestBadType.number();
    assert_eq!(said(&output, id), [Body::Error { number, data: vec![4, 99, 0, 8, 0, 0, 0, 1] }]);
    let output = controller.receive(id, &[4, 2, 0, 7, 0, 0, 0, 1], 0);
    assert_eq!(output.closes, [id]);
    assert_eq!(controller.switches().count(), 0);
}

#[test]
fn echo_is_answered_and_silence_ends_the_connection() {
    let mut controller = controller();
    let (id, _) = connect(&mut controller, 1);
    let output = controller.receive(id, &bytes(Body::EchoRequest(vec![1, 2])), 10);
    assert_eq!(said(&output, id), [Body::EchoReply(vec![1, 2])]);
    assert_eq!(controller.deadline(), Some(10 + PROBE_MS));
    assert!(controller.tick(9 + PROBE_MS).sends.is_empty());
    assert_eq!(said(&controller.tick(10 + PROBE_MS), id), [Body::EchoRequest(Vec::new())]);
    controller.receive(id, &bytes(Body::EchoReply(Vec::new())), 6_000);
    assert_eq!(controller.deadline(), Some(6_000 + PROBE_MS));
    controller.tick(6_000 + PROBE_MS);
    let output = controller.tick(6_000 + DEAD_MS);
    assert_eq!(output.events, [Event::Closed(id, CloseReason::Silent)]);
    assert_eq!(controller.deadline(), None);
}

#[test]
fn a_handshake_that_drags_on_is_ended() {
    let mut controller = controller();
    let (id, _) = controller.accept(0).expect("room");
    controller.receive(id, &bytes(Body::Hello(1 << 4)), HANDSHAKE_MS - 1);
    let output = controller.tick(HANDSHAKE_MS);
    assert_eq!(output.events, [Event::Closed(id, CloseReason::HandshakeTimeout)]);
}

#[test]
fn connections_are_bounded_and_the_newer_of_a_switch_counts() {
    let mut controller = controller().with_max_connections(2);
    let (old, _) = connect(&mut controller, 1);
    let (new, output) = connect(&mut controller, 1);
    assert_eq!(output.closes, [old]);
    assert!(!said(&output, new).is_empty());
    controller.disconnected(old);
    assert_eq!(controller.switches().count(), 1);
    controller.accept(0).expect("room");
    assert!(controller.accept(0).is_none());
}

#[test]
fn learns_floods_and_installs() {
    let mut controller = controller();
    let (id, _) = connect(&mut controller, 1);
    let there = frame(ALL, A, None);
    let output = controller.receive(id, &bytes(packet_in(1, there.clone())), 0);
    assert_eq!(said(&output, id), [packet_out(1, port::FLOOD, there)]);

    let back = frame(A, B, None);
    let output = controller.receive(id, &bytes(packet_in(2, back.clone())), 0);
    let said = said(&output, id);
    let [Body::FlowMod(flow), sent] = &said[..] else { panic!("{said:?}") };
    assert_eq!(*sent, packet_out(2, 1, back));
    assert_eq!(flow.idle_timeout, 60);
    assert_eq!(flow.matching.get(Field::InPort).0, 2);
    assert_eq!(flow.matching.get(Field::EthSrc), (0x0200_0000_000b, 0xffff_ffff_ffff));
    assert_eq!(flow.matching.get(Field::EthDst), (0x0200_0000_000a, 0xffff_ffff_ffff));
    assert_eq!(flow.matching.get(Field::VlanVid), (0, 0x1fff));
    let to_a = vec![Action::Output { port: 1, max_len: 0 }];
    assert_eq!(flow.instructions, [Instruction::Apply(to_a)]);
}

#[test]
fn vlans_and_switches_are_apart() {
    let mut controller = controller();
    let (first, _) = connect(&mut controller, 1);
    let (second, _) = connect(&mut controller, 2);
    controller.receive(first, &bytes(packet_in(1, frame(ALL, A, Some(5)))), 0);
    for (id, vid) in [(first, None), (first, Some(6)), (second, Some(5))] {
        let to_a = frame(A, B, vid);
        let output = controller.receive(id, &bytes(packet_in(2, to_a.clone())), 0);
        assert_eq!(said(&output, id), [packet_out(2, port::FLOOD, to_a)]);
    }
    let output = controller.receive(first, &bytes(packet_in(2, frame(A, B, Some(5)))), 0);
    let said = said(&output, first);
    assert!(
        matches!(&said[..], [Body::FlowMod(flow), _] if flow.matching.get(Field::VlanVid) == (0x1005, 0x1fff))
    );
}

#[test]
fn a_move_and_a_lost_port_delete_flows() {
    let mut controller = controller();
    let (id, _) = connect(&mut controller, 1);
    controller.receive(id, &bytes(packet_in(1, frame(ALL, A, None))), 0);
    let output = controller.receive(id, &bytes(packet_in(3, frame(ALL, A, None))), 0);
    let moved = said(&output, id);
    let [Body::FlowMod(delete), Body::PacketOut(_)] = &moved[..] else { panic!("{moved:?}") };
    assert_eq!((delete.command, delete.matching.get(Field::EthDst).0), (Command::Delete, 0x0200_0000_000a));

    let down = PortDesc { number: 3, name: "s1-eth3".into(), state: 1, ..PortDesc::default() };
    let output = controller.receive(id, &bytes(Body::PortStatus(2, down)), 0);
    let lost = said(&output, id);
    assert!(
        matches!(&lost[..], [Body::FlowMod(flow)] if flow.command == Command::Delete && flow.out_port == 3)
    );
    let to_a = frame(A, B, None);
    let output = controller.receive(id, &bytes(packet_in(2, to_a.clone())), 0);
    assert_eq!(said(&output, id), [packet_out(2, port::FLOOD, to_a)]);
}

#[test]
fn frames_that_must_stay_stay() {
    let mut controller = controller();
    let (id, _) = connect(&mut controller, 1);
    controller.receive(id, &bytes(packet_in(1, frame(ALL, A, None))), 0);
    let lldp = frame([1, 0x80, 0xc2, 0, 0, 0xe], B, None);
    for stays in [lldp, frame(A, B, None), vec![0; 13]] {
        let output = controller.receive(id, &bytes(packet_in(1, stays)), 0);
        assert_eq!(said(&output, id), []);
    }
}

proptest::proptest! {
    /// Whatever a peer says, before or after the handshake, the controller goes on.
    #[test]
    fn nothing_that_a_peer_says_panics(
        ready: bool, kind in 0u8..32, body in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200),
        at in 0usize..200,
    ) {
        let mut controller = controller();
        let id = if ready { connect(&mut controller, 1).0 } else { controller.accept(0).expect("room").0 };
        let mut message = vec![4, kind];
        message.extend((body.len() as u16 + 8).to_be_bytes());
        message.extend([0, 0, 0, 1]);
        message.extend(&body);
        let (head, tail) = message.split_at(at.min(message.len()));
        controller.receive(id, head, 1);
        controller.receive(id, tail, 2);
        controller.receive(id, &body, 3);
        controller.tick(1_000_000);
    }
}
