//! Spanning trees of whole switches, joined by patches, under a clock that the test moves.
#![allow(missing_docs, clippy::unwrap_used)]

use std::sync::Arc;

use heddle_datapath::Clock;
use heddle_openflow::port;
use heddle_stp::{Bpdu, Role, State};
use heddle_switch::Switch;
use heddle_switch::bridge::{Event, ManagedBridge};
use heddle_switch::config::{BridgeConfig, FailMode, LinkConfig, PortConfig, PortKind, SpanningTree};
use heddle_wire::Packet;

/// Bridges `br1`, `br2`, `br3` in a ring, each with a dummy `p1`, `p2`, `p3` as port 1, the next bridge behind port 2 and
/// the one before behind port 3.
struct Ring {
    switch: Switch,
    clock: Clock,
}

impl Ring {
    fn new(protocol: Option<SpanningTree>) -> Self {
        let clock = Clock::default();
        clock.stop();
        let mut switch = Switch::new(clock.clone(), 7).unwrap();
        let patch = |number: u64, ofport: u32, peer: u64, peer_port: u32| PortConfig {
            name: format!("t{number}-{ofport}"),
            ofport,
            kind: PortKind::Patch {
                peer_bridge: format!("br{peer}"),
                peer_port: format!("t{peer}-{peer_port}"),
            },
            link_down: false,
            edge: false,
            removed: false,
        };
        let bridge = |number: u64| BridgeConfig {
            name: format!("br{number}"),
            datapath_id: number,
            fail_mode: FailMode::Standalone,
            protocols: vec![],
            controllers: vec![],
            spanning_tree: protocol,
            ports: vec![
                PortConfig {
                    name: format!("p{number}"),
                    ofport: 1,
                    kind: PortKind::Dummy,
                    link_down: false,
                    edge: false,
                    removed: false,
                },
                patch(number, 2, number % 3 + 1, 3),
                patch(number, 3, (number + 1) % 3 + 1, 2),
            ],
            removed: false,
        };
        switch.configure(&[bridge(1), bridge(2), bridge(3)], &[]).unwrap();
        Self { switch, clock }
    }

    fn bridge(&self, number: u32) -> &Arc<ManagedBridge> {
        self.switch.bridge(&format!("br{number}")).unwrap()
    }

    /// Lets time pass, and messages arrive.
    fn run(&self, milliseconds: u64) {
        for _ in 0..milliseconds / 250 {
            self.clock.warp(250);
            // What one says is heard by all before time goes on.
            for _ in 0..8 {
                for bridge in self.switch.bridges() {
                    bridge.expire();
                    bridge.barrier();
                }
            }
        }
    }

    fn role(&self, bridge: u32, number: u32) -> (Role, State) {
        let view = self.bridge(bridge).tree_view().unwrap();
        let port = view.port(number).unwrap();
        (port.role, port.state)
    }

    /// Puts a broadcast in at a bridge's device, and counts how often it comes out at each.
    fn broadcast(&self, from: u32) -> Vec<usize> {
        let mut frame = vec![0xff; 6];
        frame.extend([2, 0, 0, 0, 0, from as u8, 0x88, 0xb5]);
        frame.resize(60, 0);
        let near = self.switch.dummy(&format!("p{from}")).unwrap();
        assert!(near.inject(Packet::from_frame(&frame)));
        while near.waiting() != 0 {
            std::thread::yield_now();
        }
        self.bridge(from).barrier();
        (1..=3)
            .map(|number| {
                let sent = self.switch.dummy(&format!("p{number}")).unwrap().sent();
                sent.iter().filter(|packet| packet.data()[0] == 0xff).count()
            })
            .collect()
    }
}

#[test]
fn a_ring_delivers_each_broadcast_once_and_heals_when_a_cable_is_out() {
    for (protocol, settles_ms, heals_ms) in
        [(SpanningTree::Rstp, 3_000, 1_000), (SpanningTree::Stp, 32_000, 52_000)]
    {
        let ring = Ring::new(Some(protocol));
        ring.run(settles_ms);
        assert_eq!(ring.role(1, 2), (Role::Designated, State::Forwarding), "br1 is the root");
        assert_eq!(ring.role(3, 3), (Role::Alternate, State::Blocking));
        assert_eq!(ring.switch.status().unsettled, 0);
        assert_eq!(ring.broadcast(2), [1, 0, 1]);
        let link = |down| {
            [
                LinkConfig { bridge: "br1".into(), ofport: 3, down },
                LinkConfig { bridge: "br3".into(), ofport: 2, down },
            ]
        };
        ring.switch.set_links(&link(true)).unwrap();
        ring.run(heals_ms);
        assert_eq!(ring.role(3, 3), (Role::Root, State::Forwarding));
        assert_eq!(ring.broadcast(3), [1, 1, 0]);
    }
}

#[test]
fn without_a_tree_a_ring_does_not_deliver() {
    let ring = Ring::new(None);
    assert_ne!(ring.broadcast(2), [1, 0, 1]);
}

#[test]
fn controllers_see_states() {
    let ring = Ring::new(Some(SpanningTree::Stp));
    let mut events = ring.bridge(3).events();
    ring.run(32_000);
    let mut states = Vec::new();
    while let Ok(event) = events.try_recv() {
        if let Event::Port(news) = event
            && (news.reason, news.port.number) == (2, 2)
        {
            states.push(news.port.state & !port::state::LIVE);
        }
    }
    let learning = port::state::BLOCKED | port::state::STP_LEARN;
    assert_eq!(states, [learning, port::state::STP_FORWARD], "it listened from the beginning");
    ring.bridge(3).expire();
    let snapshot = ring.bridge(3).bridge.snapshot();
    assert_eq!(snapshot.ports[&port::LOCAL].tree, State::Disabled, "the bridge's own port takes no part");
}

#[test]
fn a_flood_of_messages_and_messages_of_nonsense_are_survived() {
    let ring = Ring::new(Some(SpanningTree::Rstp));
    ring.run(3_000);
    let device = ring.switch.dummy("p1").unwrap();
    let mut nonsense = Bpdu::Tcn.frame([2, 0, 0, 0, 0, 9]);
    nonsense[17..].fill(0xff);
    for number in 0..20_000u32 {
        let frame = if number % 2 == 0 { &nonsense } else { &Bpdu::Tcn.frame([2, 0, 0, 0, 0, 9]) };
        while !device.inject(Packet::from_frame(frame)) {
            std::thread::yield_now();
        }
    }
    while device.waiting() != 0 {
        std::thread::yield_now();
    }
    ring.run(1_000);
    let view = ring.bridge(1).tree_view().unwrap();
    let [_, taken, refused] = view.port(1).unwrap().counters;
    assert!(taken > 0 && refused > 0, "{taken} {refused}");
    let dropped = ring.bridge(1).bridge.messages.dropped.load(std::sync::atomic::Ordering::Relaxed);
    assert_eq!(taken + refused + dropped, 20_000);
    assert_eq!(ring.role(3, 3), (Role::Alternate, State::Blocking));
}
