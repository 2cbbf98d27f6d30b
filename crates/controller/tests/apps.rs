//! Apps against whatever switches send them.
#![allow(missing_docs, clippy::unwrap_used)]

use heddle_controller::apps::{Config, chain};
use heddle_controller::{App, Outgoing, Switch};
use heddle_flow::{Field, Match};
use heddle_openflow::message::{Command, PacketIn};
use heddle_openflow::{Body, FlowMod, Instruction, PortDesc, Version, port};
use heddle_wire::MacAddr;
use heddle_wire::arp::{ArpOperation, ArpRepr};
use heddle_wire::build::{FrameBuilder, Network, Transport};
use heddle_wire::icmp::IcmpRepr;
use proptest::prelude::*;

const SWITCH: Switch = Switch { datapath_id: 1, version: Version::V1_3, tables: 254, capabilities: 7 };

fn apps() -> Vec<Box<dyn App>> {
    let configs = serde_json::json!([
        { "firewall": { "rules": ["allow icmp", "deny arp,arp_op=2"] } },
        { "load-balancer": { "services": [{ "address": "10.0.1.100", "backends": [{ "address": "10.0.1.2" }] }] } },
        { "router": { "1": {
            "addresses": ["10.0.1.1/24", "10.0.2.1/24"],
            "routes": [{ "to": "default", "via": "10.0.2.254" }],
        } } },
        "learning",
        { "monitor": { "every": 1.0 } },
    ]);
    let configs: Vec<Config> = serde_json::from_str(&configs.to_string()).unwrap();
    chain(&configs).unwrap()
}

fn packet_in(table_id: u8, in_port: u32, data: Vec<u8>) -> Body {
    let mut matching = Match::default();
    matching.set(Field::InPort, in_port.into());
    let total_len = data.len() as u32;
    Body::PacketIn(PacketIn { table_id, matching, total_len, data, ..PacketIn::default() })
}

fn goes_to(outgoing: &Outgoing) -> Option<u8> {
    let Body::FlowMod(flow) = &outgoing.body else { return None };
    flow.instructions.iter().find_map(|instruction| match instruction {
        Instruction::GotoTable(table) => Some(*table),
        _ => None,
    })
}

#[test]
fn each_app_has_a_table_and_sends_packets_on_to_the_next() {
    let said: Vec<Vec<Outgoing>> = apps().iter_mut().map(|app| app.connected(&SWITCH, 0)).collect();
    let tables = |outgoing: &[Outgoing]| -> Vec<u8> {
        let of = |outgoing: &Outgoing| match &outgoing.body {
            Body::FlowMod(flow) => Some(flow.table_id),
            _ => None,
        };
        outgoing.iter().filter_map(of).collect()
    };
    for (number, outgoing) in said.iter().enumerate().take(4) {
        assert!(tables(outgoing).iter().all(|&table| usize::from(table) == number));
        let next = (number < 3).then_some(number as u8 + 1);
        assert!(outgoing.iter().filter_map(goes_to).all(|table| Some(table) == next));
    }
    assert!(tables(&said[4]).is_empty(), "counters are asked for without flows");
}

#[test]
fn a_router_answers_for_itself_and_asks_for_others() {
    let mut apps = apps();
    let router = &mut apps[2];
    router.connected(&SWITCH, 0);
    // Nobody answers for the gateway of its route, which it asked for at once.
    for second in 1..=3 {
        router.ticked(second * 1_000);
    }
    assert_eq!(router.deadline(), None);
    let (host, mac) = (MacAddr([2, 0, 0, 0, 0, 5]), MacAddr([2, 0x72, 0, 0, 0, 1]));
    let arp = ArpRepr {
        operation: ArpOperation::Request,
        sender_mac: host,
        sender_ip: [10, 0, 1, 5].into(),
        target_mac: MacAddr::ZERO,
        target_ip: [10, 0, 1, 1].into(),
    };
    let frame = FrameBuilder::new(MacAddr::BROADCAST, host, Network::Arp(arp)).build().unwrap();
    let said = router.received(&SWITCH, &packet_in(2, 3, frame), 10_000);
    let flows = said.iter().filter(|outgoing| matches!(outgoing.body, Body::FlowMod(_))).count();
    assert_eq!((said.len(), flows), (3, 2), "the answer, and flows to the host that asked");
    let echo = Transport::Icmp(IcmpRepr::EchoRequest { ident: 1, sequence: 1 });
    let mut ping = FrameBuilder::ipv4([10, 0, 1, 5].into(), [10, 0, 2, 7].into(), echo);
    (ping.dst, ping.src) = (mac, host);
    let said = router.received(&SWITCH, &packet_in(2, 3, ping.build().unwrap()), 10_000);
    let [Outgoing { body: Body::PacketOut(asked), .. }] = &said[..] else { panic!("{said:?}") };
    assert_eq!(asked.data[38..42], [10, 0, 2, 7], "who has the host?");
    // Nobody answers: it is asked again, and in the end the sender is told.
    assert_eq!(router.deadline(), Some(11_000));
    let told: Vec<Outgoing> = (11..=15).flat_map(|second| router.ticked(second * 1_000)).collect();
    let errors = told.iter().filter(|outgoing| match &outgoing.body {
        Body::PacketOut(packet) => {
            packet.data.get(34..36) == Some(&[3, 1]) && packet.in_port == port::CONTROLLER
        }
        _ => false,
    });
    assert_eq!(errors.count(), 1);
    assert_eq!(router.deadline(), None);
}

proptest! {
    /// Whatever a switch says, apps neither panic nor answer without bound.
    #[test]
    fn hostile_frames_harm_no_app(
        frames in prop::collection::vec((0u8..5, 0u32..6, prop::collection::vec(any::<u8>(), 0..90), 0u8..4), 1..60),
    ) {
        let mut apps = apps();
        for app in &mut apps {
            app.connected(&SWITCH, 0);
        }
        for (index, (table, in_port, mut frame, kind)) in frames.into_iter().enumerate() {
            // Some are nearly right.
            if frame.len() > 24 && kind > 0 {
                frame[12..14].copy_from_slice(if kind == 1 { &[8, 6] } else { &[8, 0] });
                if kind == 1 {
                    frame[14..20].copy_from_slice(&[0, 1, 8, 0, 6, 4]);
                } else {
                    frame[14] = 0x45;
                }
            }
            let now_ms = index as u64 * 400;
            for app in &mut apps {
                let said = app.received(&SWITCH, &packet_in(table, in_port, frame.clone()), now_ms);
                prop_assert!(said.len() <= 64);
                app.ticked(now_ms);
                app.state(now_ms);
            }
        }
    }
}

fn port_status(number: u32, state: u32) -> Body {
    Body::PortStatus(2, PortDesc { number, state, ..PortDesc::default() })
}

#[test]
fn what_was_learned_is_forgotten_everywhere_when_a_spanning_tree_changes_a_port() {
    const OTHER: Switch = Switch { datapath_id: 2, ..SWITCH };
    let mut app = heddle_controller::apps::LearningSwitch::default();
    for switch in [&SWITCH, &OTHER] {
        app.connected(switch, 0);
        assert_eq!(app.received(switch, &port_status(7, port::state::BLOCKED), 0), [], "nothing was learned");
    }
    let mut frame = vec![0xff; 6];
    frame.extend([0, 0, 0, 0, 0, 1, 0x08, 0]);
    app.received(&SWITCH, &packet_in(0, 1, frame), 0);
    assert_eq!(app.received(&OTHER, &port_status(7, port::state::BLOCKED), 0), [], "that is known");
    let said = app.received(&OTHER, &port_status(7, port::state::LIVE), 0);
    assert!(said.iter().all(|outgoing| outgoing.datapath_id == 1), "the other has learned nothing");
    let commands: Vec<_> = said
        .iter()
        .filter_map(|outgoing| match &outgoing.body {
            Body::FlowMod(flow) => Some((flow.command, flow.priority)),
            _ => None,
        })
        .collect();
    assert_eq!(commands, [(Command::Delete, FlowMod::default().priority), (Command::Add, 0)]);
    assert_eq!(
        app.received(&OTHER, &port_status(7, port::state::BLOCKED), 0),
        [],
        "nothing is known any more"
    );
}
