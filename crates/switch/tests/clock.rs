//! The whole switch on dummy devices under a clock that the test moves: no privileges, no waiting.
#![allow(missing_docs, clippy::unwrap_used)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use heddle_datapath::Clock;
use heddle_openflow::meter::{Band, BandKind, MeterMod};
use heddle_openflow::port;
use heddle_openflow::text::parse_flow;
use heddle_switch::Switch;
use heddle_switch::bridge::{Event, ManagedBridge};
use heddle_switch::config::{BridgeConfig, FailMode, LinkConfig, PortConfig, PortKind};
use heddle_wire::Packet;
use tokio::sync::broadcast::Receiver;

/// A bridge `br0` with dummies `p1` and `p2`, whose clock stands still.
struct World {
    switch: Switch,
    clock: Clock,
    bridge: Arc<ManagedBridge>,
    events: Receiver<Event>,
}

impl World {
    fn new(fail_mode: FailMode, controllers: &[&str]) -> Self {
        let clock = Clock::default();
        clock.stop();
        let mut switch = Switch::new(clock.clone(), 7).unwrap();
        let port = |ofport: u32| PortConfig {
            name: format!("p{ofport}"),
            ofport,
            kind: PortKind::Dummy,
            link_down: false,
            edge: false,
            removed: false,
        };
        let config = BridgeConfig {
            name: "br0".into(),
            datapath_id: 1,
            fail_mode,
            protocols: vec![],
            controllers: controllers.iter().map(|&name| name.to_owned()).collect(),
            spanning_tree: None,
            ports: vec![port(1), port(2)],
            removed: false,
        };
        switch.configure(&[config], &[]).unwrap();
        let bridge = Arc::clone(switch.bridge("br0").unwrap());
        let events = bridge.events();
        Self { switch, clock, bridge, events }
    }

    fn add_flow(&self, text: &str) {
        self.bridge.bridge.flow_mod(&parse_flow(text).unwrap(), self.clock.now_ms()).unwrap();
    }

    fn flows(&self) -> usize {
        self.bridge.bridge.snapshot().flows().len()
    }

    /// Puts a UDP frame in at `p1` and says whether it came out at `p2`.
    fn passes(&self, source: u8) -> bool {
        let mut frame = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, source, 8, 0];
        frame.extend([0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
        frame.extend([0, 7, 0, 9, 0, 8, 0, 0]);
        frame.resize(60, 0);
        let (near, far) = (self.switch.dummy("p1").unwrap(), self.switch.dummy("p2").unwrap());
        assert!(near.inject(Packet::from_frame(&frame)));
        let begun = Instant::now();
        while near.waiting() != 0 {
            assert!(begun.elapsed() < Duration::from_secs(10), "the frame is not taken");
            std::thread::yield_now();
        }
        self.bridge.barrier();
        !far.sent().is_empty()
    }

    fn warp(&self, milliseconds: u64) {
        self.clock.warp(milliseconds);
        self.bridge.expire();
    }

    /// Packets that a flow-removed tells, and its reason.
    fn removed(&mut self) -> Option<(u64, u8)> {
        std::iter::from_fn(|| self.events.try_recv().ok()).find_map(|event| match event {
            Event::FlowRemoved(removed) => Some((removed.packets, removed.reason)),
            _ => None,
        })
    }
}

#[test]
fn packets_keep_a_flow_young_and_silence_ends_it() {
    let mut world = World::new(FailMode::Secure, &[]);
    world.add_flow("udp,idle_timeout=10,send_flow_rem,actions=output:2");
    for _ in 0..6 {
        assert!(world.passes(1));
        world.warp(9_999);
        assert_eq!(world.flows(), 1, "a flow in use has gone");
    }
    assert!(world.removed().is_none());
    world.warp(1);
    assert_eq!(world.flows(), 0);
    assert_eq!(world.removed(), Some((6, 0)));
    assert!(!world.passes(1), "a flow that has gone still forwards");
}

#[test]
fn a_hard_timeout_ends_a_flow_in_use() {
    let mut world = World::new(FailMode::Secure, &[]);
    world.add_flow("udp,hard_timeout=3,idle_timeout=60,send_flow_rem,actions=output:2");
    for _ in 0..3 {
        assert!(world.passes(1));
        world.warp(999);
    }
    assert_eq!(world.flows(), 1);
    world.warp(3);
    assert_eq!(world.removed(), Some((3, 1)));
}

#[test]
fn an_address_is_forgotten_after_five_minutes_of_silence() {
    let world = World::new(FailMode::Standalone, &[]);
    let known = || world.bridge.bridge.fdb.find(0, 0x0200_0000_0001).is_some();
    assert!(world.passes(1));
    world.warp(200_000);
    assert!(world.passes(1) && known());
    world.warp(299_000);
    assert!(known(), "an address in use is forgotten");
    world.warp(1_001);
    assert!(!known());
}

#[test]
fn a_standalone_bridge_takes_over_from_controllers_that_are_gone() {
    let world = World::new(FailMode::Standalone, &["unix:/nonexistent/c0.sock"]);
    world.add_flow("priority=9,actions=drop");
    assert!(!world.passes(1), "it does not wait for its controllers");
    world.warp(14_999);
    assert!(!world.passes(1));
    world.warp(1);
    assert!(world.passes(1), "it does not take over");
}

#[test]
fn a_secure_bridge_waits_for_its_controllers() {
    let world = World::new(FailMode::Secure, &["unix:/nonexistent/c0.sock"]);
    world.warp(60_000);
    assert!(!world.passes(1));
}

#[test]
fn a_meter_drops_what_exceeds_its_rate_and_counts_it() {
    let world = World::new(FailMode::Secure, &[]);
    let bands = vec![Band { kind: BandKind::Drop, rate: 3, burst: 0 }];
    let add = MeterMod { command: MeterMod::ADD, flags: MeterMod::PKTPS, meter_id: 7, bands };
    world.bridge.bridge.meter_mod(&add, None, 0).unwrap();
    world.add_flow("udp,actions=meter:7,output:2");
    let passed = |count: usize| (0..count).filter(|_| world.passes(1)).count();
    assert_eq!(passed(10), 3, "of those at once");
    world.warp(1000);
    assert_eq!(passed(10), 3, "of those a second later");
    world.bridge.flush();
    let stats = world.bridge.bridge.meter_counters(7, world.clock.now_ms()).unwrap();
    assert_eq!((stats[0].packets, stats[0].bands[0].0, stats[0].flows), (20, 14, 1));
    assert_eq!(stats[0].duration, Duration::from_secs(1));
    let modify = MeterMod { command: MeterMod::MODIFY, bands: Vec::new(), ..add };
    world.bridge.bridge.meter_mod(&modify, None, world.clock.now_ms()).unwrap();
    assert_eq!(passed(10), 10, "a meter without bands");
    let delete = MeterMod { command: MeterMod::DELETE, ..modify };
    assert_eq!(world.bridge.bridge.meter_mod(&delete, None, world.clock.now_ms()).unwrap().len(), 1);
    assert_eq!((world.flows(), passed(1)), (0, 0), "the flow goes with its meter");
}

#[test]
fn a_port_that_goes_down_is_told_of_once() {
    let mut world = World::new(FailMode::Secure, &[]);
    let states = |world: &mut World| -> Vec<u32> {
        // Devices are looked at now and then.
        (0..8).for_each(|_| world.warp(250));
        let told = std::iter::from_fn(|| world.events.try_recv().ok());
        told.filter_map(|event| match event {
            Event::Port(news) => Some(news.port.state),
            _ => None,
        })
        .collect()
    };
    assert!(states(&mut world).is_empty());
    let link = |down| LinkConfig { bridge: "br0".into(), ofport: 2, down };
    world.switch.set_links(&[link(true)]).unwrap();
    assert_eq!(states(&mut world), [port::state::LINK_DOWN]);
    world.switch.set_links(&[link(false)]).unwrap();
    assert_eq!(states(&mut world), [port::state::LIVE]);
    world.switch.dummy("p2").unwrap().set_carrier(false);
    assert_eq!(states(&mut world), [port::state::LINK_DOWN]);
}
