//! A network of bridges with dummy devices, driven step by step under a clock that the test moves.
#![allow(dead_code, missing_docs)]

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};

use heddle_datapath::{Engine, Translator};
use heddle_netdev::{Dummy, DummyHandle, Netdev, Offloads};
use heddle_openflow::text::parse_flow;
use heddle_pipeline::table::PortCounters;
use heddle_pipeline::{Attachment, Bridge, Flow, Network, PacketIn, Pipeline, Place, Port};
use heddle_wire::Packet;

pub struct World<T = Pipeline> {
    pub network: Arc<Network>,
    pub engine: Engine<T>,
    pub devices: HashMap<String, DummyHandle>,
    pub now_ms: u64,
    punted: HashMap<String, Receiver<PacketIn>>,
}

impl World {
    pub fn new() -> Self {
        Self::with(|pipeline| pipeline)
    }
}

impl<T: Translator> World<T> {
    /// A world whose pipeline is wrapped.
    pub fn with(wrap: impl FnOnce(Pipeline) -> T) -> Self {
        let network = Arc::new(Network::default());
        let mut engine = Engine::new(wrap(Pipeline::new(Arc::clone(&network))), 7);
        engine.set_differential_check(1);
        Self { network, engine, devices: HashMap::new(), now_ms: 0, punted: HashMap::new() }
    }

    pub fn bridge(&mut self, name: &str, standalone: bool) -> Arc<Bridge> {
        let (sender, receiver) = sync_channel(64);
        let bridge = self
            .network
            .add_bridge(name, Box::new(move |packet| sender.try_send(packet).is_ok()))
            .expect("a bridge of this name is new");
        bridge.publish(|snapshot, _| snapshot.standalone = standalone);
        self.punted.insert(name.into(), receiver);
        bridge
    }

    fn port(bridge: &Bridge, number: u32, name: String, attachment: Attachment) -> Arc<PortCounters> {
        let port = Port::new(number, name, [0; 6], attachment);
        let counters = Arc::clone(&port.counters);
        bridge.publish(|snapshot, changes| {
            snapshot.ports.insert_mut(number, Arc::new(port));
            changes.everything();
        });
        counters
    }

    /// A port with a dummy device, named `BRIDGE-ethN`.
    pub fn device(&mut self, bridge: &Arc<Bridge>, number: u32, offloads: Offloads) {
        let name = format!("{}-eth{number}", bridge.name);
        let device = Dummy::new(&name).expect("an eventfd is to be had").with_offloads(offloads);
        self.devices.insert(name.clone(), device.handle());
        let datapath_port = self.network.allocate_port();
        Self::port(bridge, number, name.clone(), Attachment::Device(datapath_port));
        let place = Place { bridge: Arc::clone(bridge), port: number, counters: None };
        self.network.attach(datapath_port, place);
        let netdev: Arc<dyn Netdev> = Arc::new(device);
        self.engine.add_port(datapath_port, &netdev).expect("a dummy gives queues");
    }

    pub fn patch(&mut self, a: (&Bridge, u32), b: (&Bridge, u32)) {
        let name = |end: (&Bridge, u32)| format!("{}-patch{}", end.0.name, end.1);
        let to = |end: (&Bridge, u32)| Attachment::Patch { bridge: end.0.name.clone(), port: name(end) };
        Self::port(a.0, a.1, name(a), to(b));
        Self::port(b.0, b.1, name(b), to(a));
    }

    pub fn flow(&self, bridge: &Bridge, text: &str) {
        let flow = parse_flow(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        bridge.flow_mod(&flow, self.now_ms).unwrap_or_else(|error| panic!("{text}: {}", error.name()));
    }

    pub fn send(&mut self, device: &str, frame: &[u8]) {
        self.send_packet(device, Packet::from_frame(frame));
    }

    pub fn send_packet(&mut self, device: &str, packet: Packet) {
        self.send_unchecked(device, packet);
        let (wrong, which) = self.engine.mismatches();
        assert_eq!(wrong, 0, "{which:#?}");
    }

    /// Sends, whatever the differential check finds.
    pub fn send_unchecked(&mut self, device: &str, packet: Packet) {
        assert!(self.devices[device].inject(packet));
        while self.engine.poll(self.now_ms) != 0 {}
    }

    pub fn sent(&self, device: &str) -> Vec<Vec<u8>> {
        self.devices[device].sent().iter().map(|packet| packet.data().to_vec()).collect()
    }

    pub fn punted(&self, bridge: &str) -> Vec<PacketIn> {
        self.punted[bridge].try_iter().collect()
    }

    pub fn flows(&mut self, bridge: &Bridge) -> Vec<Arc<Flow>> {
        self.engine.flush_credits();
        bridge.snapshot().flows()
    }
}

/// A UDP packet over IPv4 between hosts of these numbers.
pub fn udp(from: u8, to: u8, port: u16) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, to, 2, 0, 0, 0, 0, from, 8, 0];
    let mut ip = vec![0x45, 0, 0, 32, 0, 0, 0x40, 0, 64, 17, 0, 0, 10, 0, 0, from, 10, 0, 0, to];
    let checksum = !heddle_wire::checksum::sum(&ip);
    ip[10..12].copy_from_slice(&checksum.to_be_bytes());
    frame.extend(ip);
    frame.extend([0x12, 0x34, (port >> 8) as u8, port as u8, 0, 12, 0, 0, 1, 2, 3, 4]);
    let at = heddle_wire::locate::headers(&frame).expect("it is UDP");
    let pseudo = heddle_wire::checksum::pseudo_header(&frame, &at, 12).expect("it is whole");
    let total = u128::from(pseudo) + u128::from(heddle_wire::checksum::sum(&frame[34..]));
    let checksum = !heddle_wire::checksum::fold(total);
    frame[40..42].copy_from_slice(&checksum.to_be_bytes());
    frame
}
