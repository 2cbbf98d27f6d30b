//! The controller against scripted switches: messages in, messages out.

use heddle_flow::{Field, Match};
use heddle_openflow::message::{Command, Features, PacketIn, PacketOut, decode};
use heddle_openflow::meter::MeterMod;
use heddle_openflow::multipart::{Reply, Request};
use heddle_openflow::{Action, Body, FlowMod, Form, Framer, Instruction, Message, OfError, PortDesc, port};

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
    let switch = Switch { datapath_id: 1, version: Version::V1_3, tables: 254, capabilities: 7 };
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

/// A message in the same transaction as the `index`th that was written.
fn in_reply(output: &Output, index: usize, body: Body, more: bool) -> Vec<u8> {
    let mut framer = Framer::default();
    output.sends.iter().for_each(|(_, bytes)| framer.push(bytes));
    let asked =
        std::iter::from_fn(|| framer.next_message()).nth(index).expect("it was sent").expect("framed");
    let xid = u32::from_be_bytes(*asked[4..].first_chunk().expect("header"));
    let mut reply = Message::new(xid, body).encode();
    if more {
        reply[11] |= 1;
    }
    reply
}

fn ports(numbers: std::ops::Range<u32>) -> Body {
    let desc = |number| PortDesc { number, name: format!("p{number}"), ..PortDesc::default() };
    Body::MultipartReply(Reply::PortDesc(numbers.map(desc).collect()))
}

fn ask(controller: &mut Controller, body: Body) -> (AskId, Output) {
    controller.ask(1, body.into(), 0).expect("it is connected")
}

#[test]
fn a_question_is_answered_once_all_parts_came() {
    let mut controller = controller();
    let (id, _) = connect(&mut controller, 1);
    let request = Body::MultipartRequest(Request::PortDesc(port::ANY));
    let (first, asked) = ask(&mut controller, request.clone());
    assert!(said(&asked, id).iter().eq([&request]));
    let (second, other) = ask(&mut controller, request);
    // Nobody asked for this one, and this one answers something else.
    assert!(controller.receive(id, &bytes(ports(0..9)), 1).answers.is_empty());
    let wrong = Body::MultipartReply(Reply::Table(Vec::new()));
    assert!(controller.receive(id, &in_reply(&asked, 0, wrong, false), 1).answers.is_empty());
    assert!(controller.receive(id, &in_reply(&asked, 0, ports(1..3), true), 2).answers.is_empty());
    let done = controller.receive(id, &in_reply(&other, 0, ports(7..8), false), 2).answers;
    assert_eq!(done.len(), 1);
    assert_eq!(done[0].0, second);
    let mut done = controller.receive(id, &in_reply(&asked, 0, ports(3..5), false), 3).answers;
    let (asked_first, answer) = done.pop().expect("answered");
    let answer = answer.expect("whole");
    assert_eq!((asked_first, answer.clone().parts().count()), (first, 2));
    assert_eq!(answer.whole(), ports(1..5));
}

#[test]
fn a_command_is_answered_when_it_is_done_or_refused() {
    let mut controller = controller();
    let (id, _) = connect(&mut controller, 1);
    let (first, asked) = ask(&mut controller, Body::FlowMod(FlowMod::default()));
    assert!(matches!(said(&asked, id)[..], [Body::FlowMod(_), Body::BarrierRequest]));
    let answers = controller.receive(id, &in_reply(&asked, 1, Body::BarrierReply, false), 1).answers;
    assert!(matches!(&answers[..], [(id, Ok(answer))] if *id == first && answer.is_done()));

    let (second, asked) = ask(&mut controller, Body::FlowMod(FlowMod::default()));
    let number = OfError::FlowModOverlap.number();
    let error = Body::Error { number, data: vec![1] };
    let output = controller.receive(id, &in_reply(&asked, 0, error, false), 1);
    assert_eq!(
        output.answers,
        [(second, Err(AskError::Refused { error: Some(OfError::FlowModOverlap), number, data: vec![1] }))]
    );
    assert!(controller.receive(id, &in_reply(&asked, 1, Body::BarrierReply, false), 1).answers.is_empty());

    let question = Question::Experimenter { experimenter: 0x2320, kind: 9, data: vec![7; 3] };
    let (_, asked) = controller.ask(1, question, 0).expect("it is connected");
    let bytes = &asked.sends[0].1;
    assert_eq!(
        (&bytes[..4], &bytes[8..19]),
        (&[4, 4, 0, 19][..], &[0, 0, 0x23, 0x20, 0, 0, 0, 9, 7, 7, 7][..])
    );
}

#[test]
fn a_question_ends_with_its_switch_or_its_time() {
    let mut controller = controller();
    let none = controller.ask(1, Body::BarrierRequest.into(), 0).map(|_| ());
    assert_eq!(none, Err(AskError::NoSwitch));
    let (id, _) = connect(&mut controller, 1);
    let (first, asked) = ask(&mut controller, Body::MultipartRequest(Request::PortDesc(port::ANY)));
    controller.receive(id, &in_reply(&asked, 0, ports(0..1), true), 4_000);
    assert!(controller.tick(Asks::SILENCE_MS).answers.is_empty(), "a part renews its time");
    let late = controller.tick(4_000 + Asks::SILENCE_MS).answers;
    assert_eq!(late, [(first, Err(AskError::TimedOut))]);
    let (second, _) = ask(&mut controller, Body::BarrierRequest);
    controller.disconnected(id);
    assert_eq!(controller.deadline(), Some(0));
    assert_eq!(controller.tick(1).answers, [(second, Err(AskError::Disconnected))]);
    assert_eq!(controller.deadline(), None);
}

#[test]
fn questions_and_their_answers_are_bounded() {
    let mut controller = controller();
    let (id, _) = connect(&mut controller, 1);
    let long = vec![Action::Output { port: 1, max_len: 0 }; 5_000];
    let packet = PacketOut { actions: long, ..PacketOut::default() };
    let asked = controller.ask(1, Body::PacketOut(packet).into(), 0).map(|_| ());
    assert_eq!(asked, Err(AskError::TooLong));
    let not_in = controller.ask(1, Body::FlowMonitorPaused.into(), 0).map(|_| ());
    assert_eq!(not_in, Ok(()), "Nicira has a form of it");

    let (question, asked) = ask(&mut controller, Body::MultipartRequest(Request::PortDesc(port::ANY)));
    let part = in_reply(&asked, 0, ports(0..1_000), true);
    let parts = Asks::MAX_ANSWER / part.len();
    for count in 0..parts {
        assert!(controller.receive(id, &part, 1).answers.is_empty(), "{count}");
    }
    assert_eq!(controller.receive(id, &part, 1).answers, [(question, Err(AskError::TooLarge))]);
    let mut asks = || controller.ask(1, Body::BarrierRequest.into(), 2).map(|_| ());
    assert!((1..Asks::MAX_OF_SWITCH).all(|_| asks() == Ok(())));
    assert_eq!(asks(), Err(AskError::TooMany));
}

/// An app that asks for a port at once, and again when it has no answer.
struct Asking(std::sync::mpsc::Sender<(u64, Result<Body, AskError>)>);

impl App for Asking {
    fn connected(&mut self, switch: &Switch, _now_ms: u64) -> Vec<Outgoing> {
        vec![Outgoing::ask(switch.datapath_id, Body::MultipartRequest(Request::PortDesc(port::ANY)), 7)]
    }

    fn received(&mut self, _switch: &Switch, body: &Body, _now_ms: u64) -> Vec<Outgoing> {
        panic!("{body:?} was asked for");
    }

    fn answered(
        &mut self,
        datapath_id: u64,
        token: u64,
        answer: Result<Answer, AskError>,
        _now_ms: u64,
    ) -> Vec<Outgoing> {
        let again = answer.is_err();
        self.0.send((token, answer.map(Answer::whole))).expect("the test listens");
        let question = Outgoing::ask(datapath_id, Body::BarrierRequest, token + 1);
        again.then_some(question).into_iter().collect()
    }
}

#[test]
fn apps_ask_and_are_told() {
    let (told, tells) = std::sync::mpsc::channel();
    let mut controller = Controller::new(vec![Box::new(Asking(told))]);
    let (id, asked) = connect(&mut controller, 1);
    controller.receive(id, &in_reply(&asked, 0, ports(1..2), false), 1);
    assert_eq!(tells.try_recv(), Ok((7, Ok(ports(1..2)))));
    let (id, _) = connect(&mut controller, 1);
    controller.disconnected(id);
    controller.tick(2);
    // The question that it asks then has no switch to go to, which it is told of a tick later.
    assert_eq!(tells.try_iter().collect::<Vec<_>>(), [(7, Err(AskError::Disconnected))]);
    controller.tick(3);
    assert_eq!(tells.try_iter().collect::<Vec<_>>(), [(8, Err(AskError::NoSwitch))]);
}

#[test]
fn openflow_1_0_is_spoken_where_it_is_allowed_and_all_that_there_is() {
    let versions = [Version::V1_0, Version::V1_3];
    let mut controller = Controller::new(Vec::new()).with_versions(&versions);
    let (id, output) = controller.accept(0).expect("room");
    assert_eq!(said(&output, id), [Body::Hello(1 << 1 | 1 << 4)]);
    controller.receive(id, &[1, 0, 0, 8, 0, 0, 0, 1], 0);
    let old = |body| Message { form: Form::of(Version::V1_0), xid: 3, body }.encode();
    let output = controller.receive(id, &bytes(features(5)), 0);
    assert_eq!(output.events, [Event::Refused(id, OfError::RequestBadVersion)]);
    controller.receive(id, &old(features(5)), 0);
    assert_eq!(controller.switches().map(|switch| switch.version).collect::<Vec<_>>(), [Version::V1_0]);
    let (_, asked) = controller.ask(5, Body::FlowMod(FlowMod::default()).into(), 0).expect("it has flows");
    assert_eq!(asked.sends[0].1[..2], [1, 14]);
    let groups = controller.ask(5, Body::MeterMod(MeterMod::default()).into(), 0).map(|_| ());
    assert_eq!(groups, Err(AskError::NotInVersion));
    let (new, _) = connect(&mut controller, 6);
    assert_eq!(controller.switches().last().map(|switch| switch.version), Some(Version::V1_3));
    assert_ne!(new, id);
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
