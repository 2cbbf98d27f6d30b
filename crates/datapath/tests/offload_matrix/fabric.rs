//! Two hosts, an engine between them, and what it does to their frames.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use heddle_datapath::{Action, Clock, Datapath, Decision, Engine, Translation, Translator, Usage};
use heddle_flow::{Field, FlowKey, FlowMask};
use heddle_netdev::{Dummy, DummyHandle, Netdev, PacketDevice, PacketPool};
use heddle_wire::packet::Packet;
use heddle_wire::{ethertype, ipproto};

use crate::common::ip;
use crate::host::{Errors, Host, Kind, unused_name};
use crate::traffic::{self, Family, Frame};

const H1: u32 = 1;
const H2: u32 = 2;
const INJECTED: u32 = 3;
const TRUNK_NEAR: u32 = 10;
const TRUNK_FAR: u32 = 11;
/// Where h2 serves.
pub const SERVED: u16 = 5000;
/// Where h1 believes that it does, when headers are rewritten.
const BELIEVED: u16 = 6000;

/// What the switch does to the frames between the hosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rewrite {
    Nothing,
    /// h1 speaks to a station that does not exist; Ethernet and IP addresses and ports are h2's behind the switch.
    Headers,
    /// Between the hosts lies a trunk: an 802.1Q tag one way, an 802.1ad tag the other.
    Trunk,
}

impl Rewrite {
    fn peer(self) -> (u8, u16) {
        if self == Self::Headers { (99, BELIEVED) } else { (2, SERVED) }
    }
}

fn address(family: Family, last: u8) -> IpAddr {
    match family {
        Family::V4 => IpAddr::from([10, 0, 0, last]),
        Family::V6 => format!("fd00::{last}").parse().unwrap(),
    }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(u32::from(address)),
        IpAddr::V6(address) => u128::from(address),
    }
}

struct Wire(Rewrite);

struct Stands;

impl Decision for Stands {
    fn is_current(&mut self, _: &FlowKey, _: &FlowMask) -> bool {
        true
    }
    fn credit(&self, _: &Usage) {}
}

fn set(field: Field, value: u128) -> Action {
    Action::Set { field, value, mask: field.spec().full_mask() }
}

impl Wire {
    fn actions(&self, key: &FlowKey) -> Vec<Action> {
        let tag = |tpid, tci, port| vec![Action::PushVlan { tpid, tci }, Action::Output(port)];
        match (self.0, key.in_port()) {
            (Rewrite::Trunk, H1 | INJECTED) => tag(ethertype::VLAN, 0x6007, TRUNK_NEAR),
            (Rewrite::Trunk, H2) => tag(ethertype::QINQ, 9, TRUNK_FAR),
            (Rewrite::Trunk, TRUNK_FAR) => vec![Action::PopVlan, Action::Output(H2)],
            (Rewrite::Trunk, TRUNK_NEAR) => vec![Action::PopVlan, Action::Output(H1)],
            (Rewrite::Headers, port) => headers(key, port),
            (_, H2) => vec![Action::Output(H1)],
            _ => vec![Action::Output(H2)],
        }
    }
}

/// Makes h2 of the station that h1 believes in, and the other way round.
fn headers(key: &FlowKey, port: u32) -> Vec<Action> {
    let family = if key.eth_type() == ethertype::IPV6 { Family::V6 } else { Family::V4 };
    let (source, destination) = match family {
        Family::V4 => (Field::Ipv4Src, Field::Ipv4Dst),
        Family::V6 => (Field::Ipv6Src, Field::Ipv6Dst),
    };
    let (source_port, destination_port) = match key.ip_proto() {
        ipproto::TCP => (Field::TcpSrc, Field::TcpDst),
        _ => (Field::UdpSrc, Field::UdpDst),
    };
    let is_transport = matches!(key.ip_proto(), ipproto::TCP | ipproto::UDP);
    let (h2, believed) = (number(address(family, 2)), number(address(family, 99)));
    if port == H2 {
        let mut actions = vec![Action::Output(H1)];
        if is_transport && key.get(source) == h2 {
            let rewrite = [
                set(Field::EthSrc, 0x0200_0000_0099),
                set(source, believed),
                set(source_port, u128::from(BELIEVED)),
            ];
            actions.splice(0..0, rewrite);
        }
        return actions;
    }
    let mut actions = vec![Action::Output(H2)];
    if is_transport && key.get(destination) == believed {
        let rewrite = [
            set(Field::EthDst, 0x0200_0000_0002),
            set(destination, h2),
            set(destination_port, u128::from(SERVED)),
        ];
        actions.splice(0..0, rewrite);
    }
    actions
}

impl Translator for Wire {
    fn change_number(&self) -> u64 {
        0
    }
    fn translate(&mut self, key: &FlowKey, _: Option<&Packet>, _: u64, _: bool) -> Translation {
        let mut mask = FlowMask::default();
        for field in [Field::InPort, Field::EthType, Field::NwProto, Field::VlanTci] {
            mask.add(field);
        }
        match key.eth_type() {
            ethertype::IPV4 => [Field::Ipv4Src, Field::Ipv4Dst].map(|field| mask.add(field)),
            _ => [Field::Ipv6Src, Field::Ipv6Dst].map(|field| mask.add(field)),
        };
        let actions = self.actions(key);
        Translation { actions, mask, decision: Box::new(Stands), cacheable: true, drop: None }
    }
    fn punt(&mut self, _: u32, _: &FlowKey, _: &Packet, _: u16, _: u64) {}
}

pub struct Fabric {
    pub h1: Host,
    pub h2: Host,
    pub label: String,
    rewrite: Rewrite,
    datapath: Datapath<Wire>,
    injected: DummyHandle,
    injector: Arc<Dummy>,
    trunk: Vec<Arc<dyn Netdev>>,
}

impl Fabric {
    pub fn new(near: Kind, far: Kind, rewrite: Rewrite) -> Self {
        let (h1, h2) = (Host::new(1, near), Host::new(2, far));
        let dummy = Arc::new(Dummy::new("injected").unwrap());
        let injected = dummy.handle();
        let datapath = Datapath::start(Engine::new(Wire(rewrite), 1), Clock::default()).unwrap();
        let mut ports: Vec<(u32, Arc<dyn Netdev>)> =
            vec![(H1, h1.device.clone()), (H2, h2.device.clone()), (INJECTED, dummy.clone())];
        let mut trunk = vec![];
        if rewrite == Rewrite::Trunk {
            // Room for a tag of any type; Linux allows for one of 802.1Q alone.
            let (near, far) = (unused_name(), unused_name());
            ip(&format!("link add {near} mtu 1504 type veth peer name {far} mtu 1504"));
            for (number, name) in [(TRUNK_NEAR, &near), (TRUNK_FAR, &far)] {
                std::fs::write(format!("/proc/sys/net/ipv6/conf/{name}/disable_ipv6"), "1").unwrap();
                ip(&format!("link set {name} up"));
                let device: Arc<dyn Netdev> = Arc::new(PacketDevice::open(name).unwrap());
                trunk.push(device.clone());
                ports.push((number, device));
            }
        }
        let label = format!("{near:?} to {far:?}, rewriting {rewrite:?}");
        let carriers: Vec<_> = ports.iter().map(|(_, device)| device.clone()).collect();
        let end = Instant::now() + Duration::from_secs(10);
        while !carriers.iter().all(|device| device.link_state().carrier) {
            assert!(Instant::now() < end, "{label}: no carrier");
            std::thread::sleep(Duration::from_millis(1));
        }
        datapath
            .ask(move |context| {
                context.engine.set_differential_check(1);
                ports.iter().for_each(|(number, device)| context.add_port(*number, device).unwrap());
            })
            .unwrap();
        Self { h1, h2, label, rewrite, datapath, injected, injector: dummy, trunk }
    }

    /// What h1 speaks to.
    pub fn peer(&self, family: Family) -> SocketAddr {
        let (last, port) = self.rewrite.peer();
        SocketAddr::new(address(family, last), port)
    }

    /// Where h2 serves.
    pub fn served(&self, family: Family) -> SocketAddr {
        SocketAddr::new(address(family, 2), SERVED)
    }

    pub fn udp_server(&self, family: Family) -> UdpSocket {
        let served = self.served(family);
        let socket = self.h2.inside(|| UdpSocket::bind(served).unwrap());
        socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        socket
    }

    /// A whole frame from h1 to its peer, with right checksums.
    pub fn frame(&self, family: Family, frame: Frame, payload: usize) -> Packet {
        let (last, port) = self.rewrite.peer();
        let mac = if last == 99 { 0x99 } else { last };
        traffic::build(frame, address(family, 1), address(family, last), port, mac, payload)
    }

    /// Lets a frame arrive at a port of the switch's own, with whatever it says of itself.
    pub fn inject_at_switch(&self, packet: &Packet) {
        assert!(self.injected.inject(packet.clone()));
    }

    /// Lets a frame arrive there as bytes; false if it was refused.
    pub fn inject_raw(&self, header: &[u8], frame: &[u8]) -> bool {
        self.injected.inject_with_header(header, frame)
    }

    /// How many frames that arrived there were refused.
    pub fn injected_errors(&self) -> u64 {
        self.injector.statistics().rx_errors
    }

    /// Lets a program on h1 send the frame by AF_PACKET; false if h1's own kernel refused.
    pub fn inject_at_host(&self, packet: &Packet) -> bool {
        self.h1.inside(|| {
            let device = PacketDevice::open("eth0").unwrap();
            let (mut pool, mut batch) = (PacketPool::new(1), vec![packet.clone()]);
            device.open_tx_queue().unwrap().send(&mut pool, &mut batch);
            device.statistics().tx_packets != 0
        })
    }

    pub fn refused_at_h1(&self, reason: &str) -> u64 {
        self.h1.refused(reason)
    }

    /// Frames that the switch had to finish, because the device they left by does not.
    pub fn software_offloads(&self) -> u64 {
        self.datapath.ask(|context| context.engine.software_offloads()).unwrap()
    }

    /// Nobody saw a wrong checksum, no frame was lost, and no cached answer differed from a fresh one.
    pub fn assert_clean(&self) {
        for host in [&self.h1, &self.h2] {
            assert_eq!(host.errors(), Errors::default(), "{}: {}", self.label, host.instance.name());
            host.assert_clean();
        }
        for device in &self.trunk {
            let statistics = device.statistics();
            assert_eq!(statistics.rx_errors + statistics.tx_errors, 0, "{}: {statistics:?}", self.label);
        }
        let (mismatches, drops) = self
            .datapath
            .ask(|context| (context.engine.mismatches().0, context.engine.drops().clone()))
            .unwrap();
        assert!(mismatches == 0 && drops.is_empty(), "{}: {mismatches}, {drops:?}", self.label);
    }

    /// h2's kernel comes to count exactly these.
    pub fn assert_errors_at_h2(&self, expected: Errors) {
        let end = Instant::now() + Duration::from_secs(5);
        while self.h2.errors() != expected && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(2));
        }
        assert_eq!(self.h2.errors(), expected, "{}", self.label);
    }
}
