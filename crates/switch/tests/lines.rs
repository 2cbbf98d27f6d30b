//! Links that take time and lose packets, on dummy devices under a clock that the test moves.
#![allow(missing_docs, clippy::unwrap_used)]

use std::fs::File;
use std::io::{Read, Seek};

use heddle_datapath::Clock;
use heddle_switch::Switch;
use heddle_switch::config::{
    BridgeConfig, CaptureConfig, FailMode, LineConfig, LinkConfig, PortConfig, PortKind,
};
use heddle_wire::Packet;

/// Bridges `br1` and `br2` that learn addresses, each with a dummy `p1`, `p2` at port 1, joined by their ports 2.
struct World {
    switch: Switch,
    clock: Clock,
}

fn port(name: &str, ofport: u32, kind: PortKind) -> PortConfig {
    PortConfig { name: name.to_owned(), ofport, kind, link_down: false, edge: false, removed: false }
}

fn bridge(number: u64, ports: Vec<PortConfig>) -> BridgeConfig {
    BridgeConfig {
        name: format!("br{number}"),
        datapath_id: number,
        fail_mode: FailMode::Standalone,
        protocols: vec![],
        controllers: vec![],
        spanning_tree: None,
        ports,
        removed: false,
    }
}

fn patch(here: u64, there: u64) -> PortConfig {
    let kind = PortKind::Patch { peer_bridge: format!("br{there}"), peer_port: format!("to{here}") };
    port(&format!("to{there}"), 2, kind)
}

fn line(bridge: &str, ofport: u32, out: &str, inward: &str) -> LineConfig {
    LineConfig {
        bridge: bridge.into(),
        ofport,
        out: out.parse().unwrap(),
        inward: inward.parse().unwrap(),
        seeds: [u64::from(ofport), 99],
    }
}

impl World {
    fn new() -> Self {
        let clock = Clock::default();
        clock.stop();
        let mut switch = Switch::new(clock.clone(), 7).unwrap();
        let dummy = |name: &str| port(name, 1, PortKind::Dummy);
        switch
            .configure(
                &[bridge(1, vec![dummy("p1"), patch(1, 2)]), bridge(2, vec![dummy("p2"), patch(2, 1)])],
                &[],
            )
            .unwrap();
        Self { switch, clock }
    }

    fn set(&mut self, lines: &[LineConfig]) {
        self.switch.set_lines(lines).unwrap();
    }

    /// Waits until what is due has arrived.
    fn settle(&self) {
        for _ in 0..4 {
            self.switch.bridges().for_each(|bridge| bridge.flush());
        }
    }

    fn warp(&self, milliseconds: u64) {
        self.clock.warp(milliseconds);
        self.settle();
    }

    /// Puts numbered frames in at a dummy.
    fn send(&self, dummy: &str, numbers: std::ops::Range<u16>) {
        let handle = self.switch.dummy(dummy).unwrap();
        for number in numbers {
            let from = if dummy == "p1" { 1 } else { 2 };
            let mut frame = vec![2, 0, 0, 0, 0, 3 - from, 2, 0, 0, 0, 0, from, 8, 0];
            frame.extend([0x45, 0, 0, 30, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, from, 10, 0, 0, 3 - from]);
            frame.extend([0, 7, 0, 9, 0, 10, 0, 0]);
            frame.extend(number.to_be_bytes());
            frame.resize(60, 0);
            assert!(handle.inject(Packet::from_frame(&frame)));
            while handle.waiting() != 0 {
                std::thread::yield_now();
            }
        }
        self.settle();
    }

    /// The numbers of the frames that came out at a dummy.
    fn came(&self, dummy: &str) -> Vec<u16> {
        let number = |packet: Packet| u16::from_be_bytes([packet.data()[42], packet.data()[43]]);
        self.switch.dummy(dummy).unwrap().sent().into_iter().map(number).collect()
    }

    fn delivered(&self, bridge: &str, ofport: u32, out: bool) -> u64 {
        let reports = self.switch.line_reports(0);
        let found =
            reports.iter().find(|line| line.bridge == bridge && line.ofport == ofport && line.out == out);
        found.unwrap().statistics.delivered.packets
    }
}

#[test]
fn a_link_between_bridges_takes_its_time_each_way() {
    let mut world = World::new();
    world.send("p1", 0..1);
    assert_eq!(world.came("p2"), [0], "a patch takes no time");
    world.set(&[line("br1", 2, "delay=10ms", "perfect"), line("br2", 2, "delay=3ms", "perfect")]);
    world.send("p1", 1..3);
    world.warp(9);
    assert!(world.came("p2").is_empty());
    world.warp(1);
    assert_eq!(world.came("p2"), [1, 2]);
    world.send("p2", 5..6);
    world.warp(2);
    assert!(world.came("p1").is_empty());
    world.warp(1);
    assert_eq!(world.came("p1"), [5]);
    assert_eq!((world.delivered("br1", 2, true), world.delivered("br2", 2, true)), (2, 1));
    // Both ends count what they sent and received, before and after the link had settings.
    let counters = |bridge: &str| world.switch.bridge(bridge).unwrap().port_stats(2)[0].counters;
    assert_eq!((counters("br1")[1], counters("br2")[0]), (3, 3));
    assert_eq!((counters("br2")[1], counters("br1")[0]), (1, 1));
    assert_eq!(world.switch.mismatches(), 0);
}

#[test]
fn a_devices_lines_are_one_in_and_one_out() {
    let mut world = World::new();
    world.set(&[line("br1", 1, "delay=1ms", "delay=4ms")]);
    world.send("p1", 0..1);
    world.warp(3);
    assert!(world.came("p2").is_empty());
    world.warp(1);
    assert_eq!(world.came("p2"), [0]);
    world.send("p2", 0..1);
    assert!(world.came("p1").is_empty());
    world.warp(1);
    assert_eq!(world.came("p1"), [0]);
}

#[test]
fn a_rate_spreads_packets_and_its_queue_drops_the_rest() {
    let mut world = World::new();
    // 60 bytes at 48 kbit/s take 10 ms each.
    world.set(&[line("br1", 2, "rate=48kbit queue=4", "perfect")]);
    world.send("p1", 0..10);
    let mut came = vec![];
    for _ in 0..20 {
        world.warp(10);
        came.push(world.came("p2").len());
    }
    // One is being sent while four wait.
    assert_eq!(came[..6], [1, 1, 1, 1, 1, 0]);
    let reports = world.switch.line_reports(0);
    let counted = &reports.iter().find(|line| line.bridge == "br1").unwrap().statistics;
    assert_eq!((counted.offered.packets, counted.queue_dropped.packets), (10, 5));
}

#[test]
fn the_same_packets_are_lost_for_the_same_seed() {
    let lost = |seed: u64| {
        let mut world = World::new();
        let line = LineConfig { seeds: [seed, 0], ..line("br1", 2, "loss=10%", "perfect") };
        world.set(&[line]);
        world.send("p1", 0..300);
        world.came("p2")
    };
    let first = lost(5);
    assert!((240..300).contains(&first.len()), "{}", first.len());
    assert_eq!(first, lost(5));
    assert_ne!(first, lost(6));
}

#[test]
fn what_is_under_way_is_lost_with_the_cable_and_with_the_port() {
    let mut world = World::new();
    world.set(&[line("br1", 2, "delay=10ms", "perfect"), line("br2", 2, "delay=10ms", "perfect")]);
    world.send("p1", 0..3);
    let cable =
        |down| ["br1", "br2"].map(|bridge| LinkConfig { bridge: bridge.into(), ofport: 2, down }).to_vec();
    world.switch.set_links(&cable(true)).unwrap();
    world.switch.set_links(&cable(false)).unwrap();
    world.warp(20);
    assert!(world.came("p2").is_empty());
    world.send("p1", 3..4);
    world.warp(10);
    assert_eq!(world.came("p2"), [3]);
    // One end goes and comes again: the other has waited as the end of a patch, and the link is perfect until it is told.
    world.send("p1", 4..5);
    let gone = PortConfig { removed: true, ..patch(2, 1) };
    world.switch.configure(&[bridge(2, vec![gone])], &[]).unwrap();
    world.send("p1", 5..6);
    world.switch.configure(&[bridge(2, vec![patch(2, 1)])], &[]).unwrap();
    world.send("p1", 6..7);
    world.warp(20);
    assert_eq!(world.came("p2"), [6]);
    world.switch.configure(&[BridgeConfig { removed: true, ..bridge(2, vec![]) }], &[]).unwrap();
    world.send("p1", 7..8);
    world.warp(20);
    assert_eq!(world.switch.mismatches(), 0);
}

#[test]
fn a_line_may_be_told_before_its_other_end_is_there() {
    let clock = Clock::default();
    clock.stop();
    let mut switch = Switch::new(clock.clone(), 7).unwrap();
    let dummy = |name: &str| port(name, 1, PortKind::Dummy);
    switch.configure(&[bridge(1, vec![dummy("p1"), patch(1, 2)])], &[]).unwrap();
    let mut world = World { switch, clock };
    world.set(&[line("br1", 2, "delay=5ms", "perfect")]);
    world.switch.configure(&[bridge(2, vec![dummy("p2"), patch(2, 1)])], &[]).unwrap();
    world.send("p1", 0..1);
    assert!(world.came("p2").is_empty());
    world.warp(5);
    assert_eq!(world.came("p2"), [0]);
    assert!(world.switch.set_lines(&[line("br1", 9, "delay=5ms", "perfect")]).is_err());
}

#[test]
fn a_capture_sees_both_directions_of_a_patch() {
    let mut world = World::new();
    let path = std::env::temp_dir().join(format!("heddle-capture-{}", std::process::id()));
    let mut file = File::options().create(true).truncate(true).read(true).write(true).open(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    let config = CaptureConfig {
        id: 3,
        interface: "to2".into(),
        bridge: "br1".into(),
        ofport: 2,
        far_side: false,
        lines: vec![line("br1", 2, "perfect", "perfect"), line("br2", 2, "perfect", "perfect")],
    };
    world.switch.start_capture(&config, file.try_clone().unwrap().into()).unwrap();
    world.send("p1", 0..3);
    world.send("p2", 0..2);
    assert_eq!((world.came("p2"), world.came("p1")), (vec![0, 1, 2], vec![0, 1]));
    assert_eq!(world.switch.stop_capture(3), (5, 0));
    world.send("p1", 3..4);
    let mut bytes = vec![];
    file.rewind().unwrap();
    file.read_to_end(&mut bytes).unwrap();
    let (mut at, mut directions) = (0, vec![]);
    while at < bytes.len() {
        let word = |at: usize| u32::from_ne_bytes(bytes[at..at + 4].try_into().unwrap());
        let length = word(at + 4) as usize;
        if word(at) == 6 {
            // The flags are the last option but that which ends them.
            directions.push(word(at + length - 12));
        }
        at += length;
    }
    assert_eq!(directions, [2, 2, 2, 1, 1]);
    assert!(world.switch.start_capture(&CaptureConfig { ofport: 9, ..config }, file.into()).is_err());
}
