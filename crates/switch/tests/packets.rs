//! Packets for controllers: kept where only their beginning is sent, and no more of them than the configuration allows.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use common::*;
use heddle_openflow::OfError::*;
use heddle_openflow::message::{Form, Message, NO_BUFFER, PacketIn, PacketOut, Version};
use heddle_openflow::text::parse_flow;
use heddle_openflow::{Action, Body, FlowMod, decode, port};
use heddle_switch::Switch;
use heddle_switch::bridge::Event;
use heddle_switch::controllers::{Controller, RateLimit};
use heddle_wire::Packet;
use tokio::sync::broadcast::Receiver;

struct World {
    switch: Switch,
    peer: Peer,
    events: Receiver<Event>,
    version: Version,
}

impl World {
    fn new(version: Version, controller: Option<&Controller>) -> Self {
        let switch = switch();
        let mut peer = Peer::silent(&switch, true);
        peer.bridge.clock.stop();
        if let Some(controller) = controller {
            peer.connection.configure(controller, &peer.bridge);
        }
        let hello = Message { form: Form::of(version), xid: 1, body: Body::Hello(version.bit()) };
        assert!(peer.say(&hello.encode()).is_empty());
        let events = peer.bridge.events();
        Self { switch, peer, events, version }
    }

    fn flow(&self, text: &str) {
        self.peer.bridge.bridge.flow_mod(&parse_flow(text).unwrap(), 0).unwrap();
    }

    fn message(&self, body: Body) -> Vec<u8> {
        Message { form: Form::of(self.version), xid: XID, body }.encode()
    }

    fn refused(&mut self, body: Body) -> heddle_openflow::OfError {
        let message = self.message(body);
        error(&self.peer.ask(&message)).unwrap().0
    }

    fn tell(&mut self, body: Body) {
        let message = self.message(body);
        self.peer.tell(&message);
    }

    fn inject(&self, number: u8) {
        let frame = frame(number);
        let p1 = self.switch.dummy("p1").unwrap();
        assert!(p1.inject(Packet::from_frame(&frame)));
        while p1.waiting() != 0 {
            std::thread::yield_now();
        }
        self.peer.bridge.barrier();
    }

    /// The packets that the peer is told of.
    fn packets(&mut self) -> Vec<PacketIn> {
        let mut all = Vec::new();
        while let Ok(event) = self.events.try_recv() {
            all.extend(self.peer.connection.announce(&event, &self.peer.bridge));
        }
        let packet = |bytes: Vec<u8>| match decode(&bytes).unwrap().body {
            Body::PacketIn(packet) => packet,
            other => panic!("{other:?}"),
        };
        all.into_iter().map(packet).collect()
    }

    fn sent(&self) -> Vec<Vec<u8>> {
        self.peer.bridge.barrier();
        self.switch.dummy("p2").unwrap().sent().iter().map(|packet| packet.data().to_vec()).collect()
    }
}

fn frame(number: u8) -> Vec<u8> {
    [vec![2, 0, 0, 0, 0, 9, 2, 0, 0, 0, 0, 8, 8, 1, number], vec![7; 200]].concat()
}

fn out(buffer_id: u32) -> Body {
    let actions = vec![Action::Output { port: 2, max_len: 0 }];
    Body::PacketOut(PacketOut { buffer_id, in_port: 1, actions, ..PacketOut::default() })
}

#[test]
fn what_is_cut_is_kept_and_sent_once() {
    for &version in Version::ALL {
        let mut world = World::new(version, None);
        world.flow("actions=controller(max_len=16)");
        world.inject(1);
        let told = world.packets().remove(0);
        assert_eq!((told.data.len(), told.total_len, told.buffer_id), (16, 215, 0), "{version:?}");
        // What is refused can be sent otherwise.
        let nowhere = vec![Action::Group(7)];
        if version > Version::V1_0 {
            let bad = PacketOut { buffer_id: 0, in_port: 1, actions: nowhere, ..PacketOut::default() };
            assert_eq!(world.refused(Body::PacketOut(bad)), ActionBadOutGroup);
        }
        world.tell(out(0));
        assert_eq!(world.sent(), [frame(1)]);
        assert_eq!(world.refused(out(0)), RequestBufferEmpty);
        assert_eq!(world.refused(out(1)), RequestBufferUnknown);
        // Another connection's are not its own.
        let mut other = Peer::new(&world.switch, false);
        world.inject(2);
        assert_eq!(world.packets()[0].buffer_id, 1);
        let foreign = Message { form: Form::of(Version::V1_3), xid: XID, body: out(1) }.encode();
        assert_eq!(error(&other.ask(&foreign)).unwrap().0, RequestBufferUnknown);
        world.peer.bridge.clock.warp(5_000);
        assert_eq!(world.refused(out(1)), RequestBufferEmpty, "it is too old");
    }
}

#[test]
fn a_flow_takes_the_packet_that_it_names() {
    for &version in Version::ALL {
        let mut world = World::new(version, None);
        world.flow("priority=1,actions=controller(max_len=16)");
        world.inject(1);
        assert_eq!(world.packets()[0].buffer_id, 0);
        let flow = parse_flow("priority=5,in_port=1,actions=output:2").unwrap();
        let flow = |buffer_id| Body::FlowMod(FlowMod { buffer_id, ..flow.clone() });
        assert_eq!(world.refused(flow(1)), RequestBufferUnknown);
        assert_eq!(world.peer.bridge.bridge.snapshot().flows().len(), 1, "nothing has changed");
        world.tell(flow(0));
        assert_eq!(world.sent(), [frame(1)], "{version:?}");
        world.inject(2);
        assert_eq!(world.sent(), [frame(2)]);
        assert_eq!(world.refused(flow(0)), RequestBufferEmpty);
    }
}

#[test]
fn only_what_is_cut_is_kept_and_what_finds_no_place_comes_whole() {
    let mut world = World::new(Version::V1_3, None);
    world.flow("actions=controller(max_len=215)");
    world.inject(1);
    assert_eq!(world.packets()[0].buffer_id, NO_BUFFER);
    world.peer.bridge.set_packet_buffers(3);
    world.flow("actions=controller(max_len=16)");
    for number in 0..4 {
        world.inject(number);
    }
    let told: Vec<_> = world.packets().iter().map(|packet| (packet.buffer_id, packet.data.len())).collect();
    assert_eq!(told, [(0, 16), (1, 16), (2, 16), (NO_BUFFER, 215)]);
    world.tell(out(0));
    world.inject(5);
    assert_eq!(world.packets()[0].buffer_id, 3);
    world.peer.bridge.set_packet_buffers(0);
    world.inject(6);
    let told = world.packets().remove(0);
    assert_eq!((told.buffer_id, told.data.len()), (NO_BUFFER, 16), "none is kept");
    world.tell(out(3));
}

#[test]
fn misses_are_cut_to_what_was_configured() {
    let mut world = World::new(Version::V1_0, None);
    world.inject(1);
    let told = world.packets().remove(0);
    assert_eq!((told.reason, told.data.len(), told.buffer_id), (0, 128, 0));
    world.tell(Body::SetConfig(0, 20));
    world.inject(2);
    assert_eq!(world.packets()[0].data.len(), 20);
    let output = PacketOut {
        buffer_id: 1,
        in_port: 1,
        actions: vec![Action::Output { port: port::FLOOD, max_len: 0 }],
        ..PacketOut::default()
    };
    world.tell(Body::PacketOut(output));
    assert_eq!(world.sent(), [frame(2)]);
}

#[test]
fn a_controller_gets_no_more_packets_than_its_row_says() {
    let limit = Some(RateLimit { per_second: 100, burst: 25 });
    let controller = Controller { limit, ..Controller::new("tcp:127.0.0.1").unwrap() };
    let mut world = World::new(Version::V1_3, Some(&controller));
    world.flow("actions=controller");
    for number in 0..60 {
        world.inject(number);
    }
    assert_eq!(world.packets().len(), 25);
    assert!(world.peer.connection.is_pacing() && world.peer.connection.awaits_time());
    let [misses, sent] = world.peer.connection.paced().unwrap();
    assert_eq!((misses.bypassed, misses.queued), (0, 0));
    assert_eq!((sent.bypassed, sent.queued, sent.backlog, sent.dropped), (25, 35, 25, 10));
    world.peer.bridge.clock.warp(100);
    let due = world.peer.connection.tick(&world.peer.bridge);
    let mut framer = heddle_openflow::Framer::default();
    framer.push(&due);
    assert_eq!(std::iter::from_fn(|| framer.next_message()).count(), 10);
    world.peer.bridge.clock.warp(1_000);
    assert!(!world.peer.connection.tick(&world.peer.bridge).is_empty());
    assert!(!world.peer.connection.awaits_time());
}

#[test]
fn a_controller_that_is_told_nothing_unasked_may_ask() {
    let controller = Controller { asynchronous: false, ..Controller::new("tcp:127.0.0.1").unwrap() };
    let mut world = World::new(Version::V1_3, Some(&controller));
    world.flow("actions=controller");
    world.inject(1);
    assert!(world.packets().is_empty());
    let all = heddle_openflow::role::AsyncConfig {
        master: [Some(7), Some(7), Some(7), None, None, None],
        slave: [Some(0), Some(0), Some(0), None, None, None],
    };
    world.tell(Body::SetAsync(all));
    world.inject(1);
    assert_eq!(world.packets().len(), 1);
}

#[test]
fn a_packet_that_waits_goes_on_as_the_controller_has_it() {
    let mut world = World::new(Version::V1_3, None);
    world.flow("actions=load:5->NXM_NX_REG0[],controller(pause,userdata=0a),output:NXM_NX_REG0[]");
    world.tell(Body::PacketInFormat(2));
    let paused = |world: &mut World| {
        world.inject(1);
        let event = world.events.try_recv().unwrap();
        let told = world.peer.connection.announce(&event, &world.peer.bridge).unwrap();
        match decode(&told).unwrap().body {
            Body::PacketIn2(packet) => packet,
            other => panic!("{other:?}"),
        }
    };
    let packet = paused(&mut world);
    assert_eq!(
        (packet.userdata.as_slice(), packet.continuation.len(), world.sent().len()),
        (&[10][..], 4, 0)
    );
    // The controller changes a register and the frame, and lets it go on.
    let mut changed = packet.clone();
    changed.matching.set(heddle_flow::Field::Reg0, 2);
    changed.data = frame(9);
    world.tell(Body::Resume(changed.clone()));
    assert_eq!(world.sent(), [frame(9)]);
    // Port 5 is not there.
    world.tell(Body::Resume(packet.clone()));
    assert!(world.sent().is_empty());
    for continuation in [vec![], vec![0, 0, 0, 0], vec![255, 255, 255, 255], vec![1; 5]] {
        assert_eq!(world.refused(Body::Resume(PacketIn { continuation, ..packet.clone() })), ResumeStale);
    }
}
