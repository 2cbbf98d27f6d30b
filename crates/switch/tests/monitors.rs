//! Flow monitors: who is told what of flows, in every form, and what becomes of peers that read slowly.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use std::collections::BTreeMap;

use common::*;
use heddle_flow::Match;
use heddle_openflow::OfError::*;
use heddle_openflow::message::{Form, Message, NO_BUFFER, Version};
use heddle_openflow::monitor::{MonitorEvent, MonitorRequest, Update, flag};
use heddle_openflow::multipart::{Reply, Request};
use heddle_openflow::text::parse_flow;
use heddle_openflow::{Body, Command, FlowMod, Framer, decode};
use heddle_switch::Switch;
use proptest::prelude::*;

const ALL: u16 = flag::INITIAL | flag::ADD | flag::REMOVED | flag::MODIFY;

/// A peer of this version.
fn peer(switch: &Switch, version: Version) -> Peer {
    let mut peer = Peer::silent(switch, false);
    let hello = Message { form: Form::of(version), xid: 1, body: Body::Hello(version.bit()) };
    assert!(peer.say(&hello.encode()).is_empty());
    peer
}

fn message(version: Version, body: Body) -> Vec<u8> {
    Message { form: Form::of(version), xid: XID, body }.encode()
}

fn updates_of(messages: Vec<Vec<u8>>) -> Vec<Update> {
    let all = messages.iter().map(|bytes| decode(bytes).unwrap());
    all.flat_map(|message| match message.body {
        Body::MultipartReply(Reply::FlowMonitor(updates)) => updates,
        Body::FlowMonitorPaused => vec![Update::Paused],
        Body::FlowMonitorResumed => vec![Update::Resumed],
        other => panic!("{other:?}"),
    })
    .collect()
}

/// What a peer reads that reads all it is sent.
fn read(peer: &mut Peer) -> Vec<Update> {
    let mut framer = Framer::default();
    while peer.connection.has_updates(&peer.bridge) {
        framer.push(&peer.connection.updates(&peer.bridge));
    }
    updates_of(std::iter::from_fn(|| framer.next_message()).map(Result::unwrap).collect())
}

/// Updates, briefly: what happened, the cookie, and what the flow does.
fn brief(updates: Vec<Update>) -> Vec<String> {
    let one = |update: Update| match update {
        Update::Flow(flow) => format!("{:?} {} {}", flow.event, flow.cookie, flow.instructions.len()),
        other => format!("{other:?}"),
    };
    updates.into_iter().map(one).collect()
}

fn watch(peer: &mut Peer, version: Version, request: MonitorRequest) -> Vec<String> {
    let asked = message(version, Body::MultipartRequest(Request::FlowMonitor(vec![request])));
    brief(updates_of(peer.say(&asked)))
}

fn change(switch: &Switch, text: &str, command: Command) {
    let flow = FlowMod { command, ..parse_flow(text).unwrap() };
    let mut other = peer(switch, Version::V1_3);
    other.tell(&message(Version::V1_3, Body::FlowMod(flow)));
}

#[test]
fn others_changes_are_told_in_full_in_every_version() {
    for &version in Version::ALL {
        let switch = switch();
        change(&switch, "cookie=1,in_port=1,actions=output:2", Command::Add);
        let mut watching = peer(&switch, version);
        let request = MonitorRequest { id: 5, flags: ALL | flag::INSTRUCTIONS, ..MonitorRequest::default() };
        let first = if version < Version::V1_4 { "Added 1 1" } else { "Initial 1 1" };
        assert_eq!(watch(&mut watching, version, request.clone()), [first], "{version:?}");
        change(&switch, "cookie=2,in_port=2,actions=output:1", Command::Add);
        change(&switch, "cookie=3,in_port=2,actions=output:1", Command::Add);
        change(&switch, "in_port=2,actions=output:1", Command::Modify);
        change(&switch, "in_port=2,actions=output:3", Command::Modify);
        change(&switch, "in_port=1,actions=", Command::Delete);
        assert_eq!(
            brief(read(&mut watching)),
            ["Added 2 1", "Added 3 1", "Modified 3 1", "Removed 1 1"],
            "a change that changes nothing is none in {version:?}"
        );
        let again = message(version, Body::MultipartRequest(Request::FlowMonitor(vec![request])));
        assert_eq!(error(&watching.ask(&again)).unwrap().0, MonitorMonitorExists);
    }
}

#[test]
fn ones_own_changes_are_abbreviated_unless_asked_for() {
    for &version in Version::ALL {
        let switch = switch();
        let mut watching = peer(&switch, version);
        let request = MonitorRequest { flags: ALL, ..MonitorRequest::default() };
        assert!(watch(&mut watching, version, request.clone()).is_empty());
        let add = FlowMod { cookie: 7, table_id: 0, buffer_id: NO_BUFFER, ..FlowMod::default() };
        let told = updates_of(watching.say(&message(version, Body::FlowMod(add.clone()))));
        assert_eq!(told, [Update::Abbreviated(XID)], "{version:?}");
        let own = MonitorRequest { id: 1, flags: ALL & !flag::INITIAL | flag::ONLY_OWN, ..request };
        assert!(watch(&mut watching, version, own).is_empty());
        let told = watching.say(&message(version, Body::FlowMod(add)));
        assert_eq!(brief(updates_of(told)), ["Added 7 0"]);
    }
}

#[test]
fn monitors_end_and_change() {
    let switch = switch();
    let monitor = |command, id, flags| {
        let request = MonitorRequest { id, flags, command, ..MonitorRequest::default() };
        message(Version::V1_4, Body::MultipartRequest(Request::FlowMonitor(vec![request])))
    };
    use heddle_openflow::monitor::MonitorCommand::*;
    let mut newer = peer(&switch, Version::V1_4);
    assert_eq!(error(&newer.ask(&monitor(Modify, 1, ALL))).unwrap().0, MonitorUnknownMonitor);
    assert_eq!(error(&newer.ask(&monitor(Delete, 1, ALL))).unwrap().0, MonitorUnknownMonitor);
    newer.ask(&monitor(Add, 1, flag::ADD));
    change(&switch, "cookie=1,actions=drop", Command::Add);
    assert_eq!(brief(read(&mut newer)), ["Added 1 0"]);
    assert_eq!(brief(updates_of(newer.say(&monitor(Modify, 1, ALL)))), ["Initial 1 0"]);
    newer.ask(&monitor(Delete, 1, 0));
    change(&switch, "actions=drop", Command::Delete);
    assert!(read(&mut newer).is_empty());
    // Where one request of several is refused, none is heeded.
    let bad = MonitorRequest { id: 3, flags: ALL, table_id: 254, ..MonitorRequest::default() };
    let good = MonitorRequest { id: 2, flags: ALL, ..MonitorRequest::default() };
    let both = Body::MultipartRequest(Request::FlowMonitor(vec![good, bad]));
    assert_eq!(error(&newer.ask(&message(Version::V1_4, both))).unwrap().0, MonitorBadTableId);
    assert_eq!(error(&newer.ask(&monitor(Delete, 2, 0))).unwrap().0, MonitorUnknownMonitor);
    // Before OpenFlow 1.4 a message of its own ends one.
    let mut older = peer(&switch, Version::V1_0);
    let cancel = message(Version::V1_0, Body::FlowMonitorCancel(9));
    assert_eq!(error(&older.ask(&cancel)).unwrap().0, MonitorUnknownMonitor);
    watch(&mut older, Version::V1_0, MonitorRequest { id: 9, flags: ALL, ..MonitorRequest::default() });
    older.tell(&cancel);
    change(&switch, "actions=drop", Command::Add);
    assert!(read(&mut older).is_empty());
}

#[test]
fn monitors_watch_some_flows_only() {
    let switch = switch();
    let mut watching = peer(&switch, Version::V1_4);
    let mut tcp = Match::default();
    tcp.set(heddle_flow::Field::EthType, 0x800);
    tcp.set(heddle_flow::Field::NwProto, 6);
    let base = MonitorRequest { flags: ALL, ..MonitorRequest::default() };
    for request in [
        MonitorRequest { id: 1, table_id: 3, ..base.clone() },
        MonitorRequest { id: 2, matching: tcp, ..base.clone() },
        MonitorRequest { id: 3, out_port: 7, ..base },
    ] {
        watch(&mut watching, Version::V1_4, request);
    }
    for (text, told) in [
        ("cookie=1,table=2,actions=drop", false),
        ("cookie=2,table=3,actions=drop", true),
        ("cookie=3,udp,actions=drop", false),
        ("cookie=4,tcp,tp_dst=80,actions=drop", true),
        ("cookie=5,in_port=1,actions=output:6", false),
        ("cookie=6,in_port=2,actions=output:6,output:7", true),
        // It no longer sends there, which is news for who watches the port.
        ("cookie=7,in_port=2,actions=output:6", true),
    ] {
        change(&switch, text, Command::Add);
        assert_eq!(read(&mut watching).len(), usize::from(told), "{text}");
    }
}

#[test]
fn flows_that_end_make_room_or_were_learned_are_told() {
    let switch = switch();
    let mut watching = peer(&switch, Version::V1_4);
    watch(&mut watching, Version::V1_4, MonitorRequest { flags: ALL, ..MonitorRequest::default() });
    change(
        &switch,
        "cookie=1,hard_timeout=1,actions=learn(table=1,cookie=2,delete_learned,in_port=1)",
        Command::Add,
    );
    let frame = [vec![2, 0, 0, 0, 0, 9, 2, 0, 0, 0, 0, 8, 8, 1], vec![7; 50]].concat();
    switch.dummy("p1").unwrap().inject(heddle_wire::Packet::from_frame(&frame));
    let learned = || watching.bridge.bridge.snapshot().flows().len() == 2;
    while !learned() {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    watching.bridge.barrier();
    assert_eq!(brief(read(&mut watching)), ["Added 1 0", "Added 2 0"]);
    let mut gone = Vec::new();
    while gone.len() < 2 {
        std::thread::sleep(std::time::Duration::from_millis(10));
        watching.bridge.expire();
        gone.extend(read(&mut watching));
    }
    let reason = |update: &Update| match update {
        Update::Flow(flow) => (flow.event, flow.reason, flow.cookie),
        other => panic!("{other:?}"),
    };
    let gone: Vec<_> = gone.iter().map(reason).collect();
    assert_eq!(gone, [(MonitorEvent::Removed, 1, 1), (MonitorEvent::Removed, 2, 2)]);
}

/// As Open vSwitch's own case of pausing has it.
#[test]
fn who_reads_slowly_is_told_the_difference() {
    for &version in Version::ALL {
        let switch = switch();
        let bridge = &switch.bridge("br0").unwrap().bridge;
        let mut watching = peer(&switch, version);
        watch(&mut watching, version, MonitorRequest { flags: ALL, ..MonitorRequest::default() });
        change(&switch, "cookie=2,in_port=2,actions=output:1", Command::Add);
        let count = 10_000u32;
        for number in 0..count {
            let flow = parse_flow(&format!("cookie=1,reg1={number},actions=drop")).unwrap();
            bridge.flow_mod(&flow, 0).unwrap();
        }
        change(&switch, "cookie=3,in_port=1,actions=drop", Command::Add);
        change(&switch, "in_port=2,actions=output:2", Command::Modify);
        let marked = FlowMod { cookie: 1, cookie_mask: u64::MAX, ..FlowMod::default() };
        bridge.flow_mod(&FlowMod { command: Command::Delete, ..marked }, 0).unwrap();
        let told = brief(read(&mut watching));
        let place = |what: &str| told.iter().position(|one| one == what).unwrap_or(usize::MAX);
        let many = |what: &str| told.iter().filter(|one| *one == what).count();
        assert!((100..count as usize).contains(&many("Added 1 0")), "{}", many("Added 1 0"));
        assert_eq!(many("Added 1 0"), many("Removed 1 0"), "{version:?}");
        assert!(place("Paused") < place("Removed 1 0") && place("Removed 1 0") < place("Added 3 0"));
        assert!(place("Modified 2 0") < place("Resumed") && place("Added 3 0") < place("Resumed"));
        assert_eq!(place("Resumed"), told.len() - 1);
        change(&switch, "cookie=4,in_port=4,actions=drop", Command::Add);
        assert_eq!(brief(read(&mut watching)), ["Added 4 0"]);
    }
}

/// One step that is too much to be told at once, a bundle of many flows, does not fill the memory.
#[test]
fn a_step_that_is_too_large_pauses_before_it() {
    use heddle_pipeline::bundle::Edit;
    let switch = switch();
    let bridge = &switch.bridge("br0").unwrap().bridge;
    let mut watching = peer(&switch, Version::V1_4);
    watch(&mut watching, Version::V1_4, MonitorRequest { flags: ALL, ..MonitorRequest::default() });
    let edits = (0..50_000u32)
        .map(|number| Ok(Edit::Flow(Box::new(parse_flow(&format!("reg1={number},actions=drop")).unwrap()))));
    bridge.commit(edits, &|_| None, 0).unwrap();
    let first = watching.connection.updates(&watching.bridge);
    assert!(first.len() < 1000, "{}", first.len());
    let mut parts = 0;
    let mut framer = Framer::default();
    while watching.connection.has_updates(&watching.bridge) {
        let part = watching.connection.updates(&watching.bridge);
        assert!(part.len() < 200_000, "{}", part.len());
        framer.push(&part);
        parts += 1;
    }
    assert!(parts > 10);
    let messages = std::iter::from_fn(|| framer.next_message()).map(Result::unwrap).collect();
    assert_eq!(updates_of(messages).len(), 50_001);
}

/// A step of the property below.
#[derive(Clone, Debug)]
enum Step {
    Change(Command, u8, u8, u64),
    Many(u8, u16),
    Read,
    Part,
}

fn step() -> impl Strategy<Value = Step> {
    let command = prop_oneof![
        4 => Just(Command::Add),
        2 => Just(Command::Modify),
        2 => Just(Command::Delete),
        1 => Just(Command::DeleteStrict),
    ];
    prop_oneof![
        6 => (command, 0u8..3, 0u8..6, 0u64..4).prop_map(|(c, table, port, cookie)| Step::Change(c, table, port, cookie)),
        1 => (0u8..3, 500u16..2500).prop_map(|(table, count)| Step::Many(table, count)),
        1 => Just(Step::Read),
        2 => Just(Step::Part),
    ]
}

/// What a peer believes to be in the tables, by table, match and priority.
type Belief = BTreeMap<(u8, String, u16), (u64, usize)>;

fn believe(belief: &mut Belief, update: Update) {
    let Update::Flow(flow) = update else { return };
    let key = (flow.table_id, format!("{:?}", flow.matching), flow.priority);
    let value = (flow.cookie, flow.instructions.len());
    match flow.event {
        MonitorEvent::Removed => assert!(belief.remove(&key).is_some(), "gone without having come: {key:?}"),
        MonitorEvent::Modified => assert!(belief.insert(key, value).is_some(), "changed without having come"),
        MonitorEvent::Added | MonitorEvent::Initial => {
            belief.insert(key, value);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    /// However slowly a peer reads, what it is told adds up to what is there.
    #[test]
    fn what_is_told_adds_up(steps in proptest::collection::vec(step(), 1..60)) {
        let switch = switch();
        let bridge = &switch.bridge("br0").unwrap().bridge;
        let mut watching = peer(&switch, Version::V1_4);
        let flags = ALL | flag::INSTRUCTIONS;
        watch(&mut watching, Version::V1_4, MonitorRequest { flags, ..MonitorRequest::default() });
        let mut belief = Belief::new();
        let mut framer = Framer::default();
        let take = |framer: &mut Framer, belief: &mut Belief| {
            let messages = std::iter::from_fn(|| framer.next_message()).map(Result::unwrap).collect();
            updates_of(messages).into_iter().for_each(|update| believe(belief, update));
        };
        for step in steps {
            match step {
                Step::Change(command, table_id, port, cookie) => {
                    let text = format!("cookie={cookie},in_port={port},actions=output:{}", cookie + 1);
                    let cookie_mask = 0;
                    let flow = parse_flow(&text).unwrap();
                    let new_cookie = Some(cookie);
                    let flow = FlowMod { command, table_id, cookie_mask, new_cookie, ..flow };
                    bridge.flow_mod(&flow, 0).unwrap();
                }
                Step::Many(table, count) => for number in 0..count {
                    let text = format!("table={table},reg1={number},priority=9,actions=drop");
                    bridge.flow_mod(&parse_flow(&text).unwrap(), 0).unwrap();
                },
                Step::Read => while watching.connection.has_updates(&watching.bridge) {
                    framer.push(&watching.connection.updates(&watching.bridge));
                },
                Step::Part => framer.push(&watching.connection.updates(&watching.bridge)),
            }
            take(&mut framer, &mut belief);
        }
        while watching.connection.has_updates(&watching.bridge) {
            framer.push(&watching.connection.updates(&watching.bridge));
        }
        take(&mut framer, &mut belief);
        let there: Belief = bridge.snapshot().flows().iter().map(|flow| {
            let key = (flow.table, format!("{:?}", flow.matching), flow.priority);
            (key, (flow.cookie, flow.instructions.len()))
        }).collect();
        prop_assert_eq!(belief, there);
    }
}
