//! A switch with four dummy devices, spoken to through an OpenFlow connection.

use std::time::{Duration, Instant};

use heddle_datapath::Clock;
use heddle_openflow::OfError;
use heddle_switch::Switch;
use heddle_switch::config::{BridgeConfig, FailMode, PortConfig, PortKind};
use heddle_wire::Packet;

use crate::common::{Mod, Peer, error, message};

pub const PORTS: u32 = 4;

pub struct World {
    pub switch: Switch,
    pub peer: Peer,
}

impl World {
    pub fn new() -> Self {
        let clock = Clock::default();
        clock.stop();
        let mut switch = Switch::new(clock, 7).unwrap();
        let port = |ofport: u32| PortConfig {
            name: format!("p{ofport}"),
            ofport,
            kind: PortKind::Dummy,
            link_down: false,
            edge: false,
            removed: false,
        };
        let bridge = BridgeConfig {
            name: "br0".into(),
            datapath_id: 1,
            fail_mode: FailMode::Secure,
            protocols: Vec::new(),
            controllers: Vec::new(),
            spanning_tree: None,
            ports: (1..=PORTS).map(port).collect(),
            removed: false,
        };
        switch.configure(&[bridge], &[]).unwrap();
        let peer = Peer::new(&switch, true);
        Self { switch, peer }
    }

    /// Says what is accepted.
    pub fn tell(&mut self, bytes: &[u8]) {
        self.peer.tell(bytes);
    }

    /// Adds a flow.
    pub fn add(&mut self, flow: &Mod) {
        self.tell(&flow.bytes());
    }

    /// Says what is refused; the error.
    pub fn refused(&mut self, bytes: &[u8]) -> OfError {
        let answer = self.peer.ask(bytes);
        error(&answer).unwrap_or_else(|| panic!("it is no error: {answer:02x?}")).0
    }

    /// Removes all flows, groups and meters.
    pub fn clear(&mut self) {
        self.tell(&Mod { command: 3, table: 0xff, ..Mod::default() }.bytes());
        self.tell(&message(15, &[0, 2, 0, 0, 0xff, 0xff, 0xff, 0xfc]));
        self.tell(&message(29, &[0, 2, 0, 1, 0xff, 0xff, 0xff, 0xff]));
    }

    /// Puts a frame in at a port, and returns what comes out: port and frame, by port.
    pub fn pass(&self, port: u32, frame: &[u8]) -> Vec<(u32, Vec<u8>)> {
        let device = self.switch.dummy(&format!("p{port}")).unwrap();
        assert!(device.inject(Packet::from_frame(frame)));
        let begun = Instant::now();
        while device.waiting() != 0 {
            assert!(begun.elapsed() < Duration::from_secs(10), "the frame is not taken");
            std::thread::yield_now();
        }
        self.out()
    }

    /// What has come out of the devices.
    pub fn out(&self) -> Vec<(u32, Vec<u8>)> {
        self.peer.bridge.barrier();
        let sent = |port: u32| {
            let sent = self.switch.dummy(&format!("p{port}")).unwrap().sent();
            sent.into_iter().map(move |packet| (port, packet.data().to_vec()))
        };
        (1..=PORTS).flat_map(sent).collect()
    }

    /// The ports that a frame put in at port 1 comes out of.
    pub fn ports(&self, frame: &[u8]) -> Vec<u32> {
        self.pass(1, frame).into_iter().map(|(port, _)| port).collect()
    }
}
