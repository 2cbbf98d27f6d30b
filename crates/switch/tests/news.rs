//! What comes unasked in each version: why packets come, in which form and to whom, roles that change, changes of others.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use common::*;
use heddle_switch::bridge::Event;
use tokio::sync::broadcast::Receiver;

/// The same message in another version.
fn version(number: u8, message: Vec<u8>) -> Vec<u8> {
    [vec![number], message[1..].to_vec()].concat()
}

/// A controller that speaks this version.
fn controller(switch: &heddle_switch::Switch, number: u8) -> (Peer, Receiver<Event>) {
    let mut peer = Peer::silent(switch, true);
    let versions = format!("0001 0008 {:08x}", 1u32 << number);
    assert!(peer.say(&version(number, message(0, &hex(&versions)))).is_empty());
    let events = peer.bridge.events();
    (peer, events)
}

/// Everything that a controller is told of what has happened.
fn told((peer, events): &mut (Peer, Receiver<Event>)) -> Vec<Vec<u8>> {
    peer.bridge.barrier();
    let mut all = Vec::new();
    while let Ok(event) = events.try_recv() {
        all.extend(peer.connection.announce(&event, &peer.bridge));
    }
    all
}

/// A vendor message of Nicira's.
fn nicira(kind: u32, body: &str) -> Vec<u8> {
    message(4, &[hex("00002320"), kind.to_be_bytes().to_vec(), hex(body)].concat())
}

fn role(number: u8, role: u32, generation: u64) -> Vec<u8> {
    version(number, message(24, &hex(&format!("{role:08x}00000000{generation:016x}"))))
}

#[test]
fn a_master_that_is_deposed_is_told() {
    let switch = switch();
    // By a message of its own since 1.4, by an extension in 1.3, not at all before.
    for (number, wanted) in [
        (5, Some("051e0018 00000000 00000003 00 000000 0000000000000011")),
        (4, Some("04040020 00000000 4f4e4600 00000777 00000003 00 000000 0000000000000021")),
        (3, None),
    ] {
        let generation = u64::from(6 - number) * 16;
        let mut old = controller(&switch, number);
        let mut new = controller(&switch, 4);
        old.0.ask(&role(number, 2, generation));
        new.0.ask(&role(4, 2, generation + 1));
        assert_eq!(told(&mut old), wanted.map(hex).into_iter().collect::<Vec<_>>(), "{number}");
        assert_eq!(told(&mut new), Vec::<Vec<u8>>::new());
        // Who asks for another role itself is not told.
        new.0.ask(&role(4, 1, 0));
        old.0.ask(&role(number, 2, generation + 2));
        assert!(told(&mut new).is_empty() && told(&mut old).is_empty());
    }
}

#[test]
fn changes_of_groups_and_meters_are_forwarded_to_who_asked() {
    let switch = switch();
    let (mut one, mut other) = (controller(&switch, 5), controller(&switch, 5));
    let group = version(5, message(15, &hex("0000 00 00 00000001")));
    one.0.tell(&group);
    assert!(told(&mut other).is_empty(), "nobody has asked");
    // To masters and equals, both reasons.
    other.0.tell(&version(5, message(28, &hex("000b 0008 00000003"))));
    one.0.tell(&version(5, message(15, &hex("0000 00 00 00000002"))));
    let meter = version(5, message(29, &hex("0000 0002 00000001 0001 0010 00000009 00000000 00000000")));
    one.0.tell(&meter);
    let forwarded = told(&mut other);
    let inner = |at: usize| &forwarded[at][8..];
    assert_eq!((forwarded.len(), forwarded[0][1], inner(0)[1], inner(1)[1]), (2, 32, 15, 29));
    assert_eq!((&inner(0)[8..], &inner(1)[8..]), (&hex("0000 00 00 00000002")[..], &meter[8..]));
    assert!(told(&mut one).is_empty(), "who asked for a change knows it");
}

#[test]
fn a_packet_in_says_why_as_its_version_can() {
    let switch = switch();
    let mut older = controller(&switch, 4);
    let mut newer = controller(&switch, 5);
    let to_controller = output(0xffff_fffd);
    let bucket = [hex("0020 0000 ffffffff ffffffff 00000000"), to_controller.clone()].concat();
    older.0.tell(&message(15, &[hex("0000 00 00 00000001"), bucket].concat()));
    let to_group = element(22, "00000001");
    let mut reasons = |matching: Vec<u8>, instructions: Vec<u8>, out: &[Vec<u8>]| {
        older.0.tell(&Mod { matching, instructions, ..Mod::default() }.bytes());
        older.0.tell(&packet_out(1, out, &[1; 60]));
        // The fixed part: buffer, length, reason.
        let reason = |told: Vec<Vec<u8>>| told.into_iter().map(|message| message[14]).collect::<Vec<_>>();
        (reason(told(&mut older)), reason(told(&mut newer)))
    };
    let table = [output(0xffff_fff9)];
    assert_eq!(reasons(matching(""), vec![], std::slice::from_ref(&to_controller)), (vec![1], vec![5]));
    assert_eq!(
        reasons(matching(""), apply(std::slice::from_ref(&to_controller)), &table),
        (vec![1], vec![1])
    );
    assert_eq!(
        reasons(matching(""), write(std::slice::from_ref(&to_controller)), &table),
        (vec![1], vec![3])
    );
    assert_eq!(reasons(matching(""), apply(&[to_group]), &table), (vec![1], vec![4]));
}

#[test]
fn a_controller_gets_packets_of_its_number_in_the_form_it_asked_for() {
    let switch = switch();
    let (mut numbered, mut ordinary) = (controller(&switch, 4), controller(&switch, 4));
    numbered.0.tell(&nicira(20, "000000000000 0007"));
    numbered.0.tell(&nicira(16, "00000002"));
    // NXAST_CONTROLLER2 with the controller's number 7 and three bytes for it.
    let controller2 = element(0xffff, "00002320 0025 000000000000 0001 0006 0007 0000 0003 0007 aabbcc00");
    let mut asking = controller(&switch, 4);
    asking.0.tell(&packet_out(0xffff_fffd, &[controller2], &[1; 60]));
    assert!(told(&mut ordinary).is_empty());
    let got = told(&mut numbered);
    assert_eq!((got.len(), &got[0][8..16]), (1, &hex("00002320 0000001e")[..]));
    let contains = |bytes: &[u8]| got[0].windows(bytes.len()).any(|part| part == bytes);
    assert!(contains(&hex("0007 0007 aabbcc")) && contains(&[1; 60]), "{:02x?}", got[0]);
    // One that is for all others is not for it.
    asking.0.tell(&packet_out(0xffff_fffd, &[output(0xffff_fffd)], &[1; 60]));
    assert!(told(&mut numbered).is_empty() && told(&mut ordinary).len() == 1);
}

#[test]
fn a_packet_out_of_openflow_1_5_says_fields_of_the_pipeline() {
    let switch = switch();
    let mut peer = controller(&switch, 6);
    // Port 1 and metadata 0x22.
    let fields = matching("80000004 00000001 80000408 0000000000000022");
    let action = output(0xffff_fffd);
    let mut body = u32::MAX.to_be_bytes().to_vec();
    body.extend((action.len() as u16).to_be_bytes());
    body.extend([0, 0]);
    body.extend([fields, action, vec![1; 60]].concat());
    peer.0.tell(&version(6, message(13, &body)));
    let got = told(&mut peer);
    let metadata = hex("80000408 0000000000000022");
    assert!(got[0].windows(metadata.len()).any(|part| part == metadata), "{:02x?}", got[0]);
}

#[test]
fn packets_whose_ttl_is_spent_come_where_they_are_asked_for() {
    let switch = switch();
    let mut older = controller(&switch, 1);
    let mut asking = controller(&switch, 4);
    let frame = hex(
        "020000000002 020000000001 0800 4500 001c 0000 0000 01 11 0000 0a000001 0a000002 1234 0050 0008 0000",
    );
    let spend = packet_out(1, &[element(24, "00000000")], &frame);
    asking.0.tell(&spend);
    assert!(told(&mut older).is_empty());
    older.0.tell(&version(1, message(9, &hex("0004 0080"))));
    assert_eq!(older.0.ask(&version(1, message(7, &[])))[8..], hex("0004 0080"));
    asking.0.tell(&spend);
    assert_eq!(told(&mut older)[0][16], 2);
    assert_eq!(
        error(&asking.0.ask(&message(9, &hex("0004 0080")))).unwrap().0,
        heddle_openflow::OfError::SwitchConfigBadFlags
    );
}

/// What OpenFlow 1.4 says of a table: its configuration, and the vacancy where it is watched.
fn description(peer: &mut Peer) -> Vec<u8> {
    let reply = peer.ask(&version(5, multipart(14, "")));
    let length = usize::from(u16::from_be_bytes([reply[16], reply[17]]));
    reply[16..16 + length].to_vec()
}

#[test]
fn tables_that_fill_and_empty_are_told_of() {
    let switch = switch();
    let (mut one, mut other) = (controller(&switch, 5), controller(&switch, 5));
    assert_eq!(description(&mut one.0), hex("0010 00 00 00000000 0002 0008 00000007"));
    // Events at 20 and 80 percent; the limit is the database's to say.
    let limit = heddle_pipeline::table::TableLimit { flows: Some(10), evicts: false, groups: vec![] };
    one.0.bridge.bridge.set_limit(0, Some(limit), 0);
    let vacancy =
        |config: &str| version(5, message(17, &hex(&format!("00000000 {config} 0003 0008 14 50 00 00"))));
    one.0.tell(&vacancy("00000008"));
    assert_eq!(description(&mut one.0), hex("0018 00 00 00000008 0002 0008 00000007 0003 0008 14 50 64 00"));
    // Both reasons, to masters and equals.
    other.0.tell(&version(5, message(28, &hex("0009 0008 00000018"))));
    let mut flow = |number: u16, command: u8| {
        one.0.tell(&version(5, Mod { priority: number, command, ..Mod::default() }.bytes()));
        told(&mut other)
    };
    for number in 0..8 {
        assert!(flow(number, 0).is_empty(), "{number}");
    }
    let full = flow(8, 0);
    assert_eq!((full.len(), full[0][1], full[0][8]), (1, 31, 3), "less than 20 percent is free");
    assert_eq!(full[0][16..], hex("0018 00 00 00000008 0002 0008 00000007 0003 0008 14 50 0a 00"));
    assert!(flow(9, 0).is_empty() && flow(9, 4).is_empty(), "it is not told twice");
    for number in 2..9 {
        assert!(flow(number, 4).is_empty(), "{number}");
    }
    assert_eq!(flow(1, 4)[0][8], 4, "more than 80 percent are free");
    // Nobody asked any more.
    one.0.tell(&version(5, message(17, &hex("00000000 00000000"))));
    for number in 0..10 {
        one.0.tell(&version(5, Mod { priority: number, ..Mod::default() }.bytes()));
    }
    assert!(told(&mut other).is_empty() && told(&mut one).is_empty());
    assert_eq!(description(&mut one.0), hex("0010 00 00 00000000 0002 0008 00000007"));
    // How flows are chosen to go is the switch's to say.
    let chosen = version(5, message(17, &hex("00000000 00000004 0002 0008 00000002")));
    let refused = error(&one.0.ask(&chosen)).unwrap().0;
    assert_eq!(refused, heddle_openflow::OfError::TableModBadConfig);
}

#[test]
fn a_table_makes_room_where_a_controller_says_so() {
    let switch = switch();
    let mut peer = controller(&switch, 5);
    let limit = heddle_pipeline::table::TableLimit { flows: Some(2), evicts: false, groups: vec![] };
    peer.0.bridge.bridge.set_limit(0, Some(limit), 0);
    let flow = |number: u16| {
        let mut bytes = version(5, Mod { priority: number, flags: 1, ..Mod::default() }.bytes());
        // A hard timeout, and an importance that grows.
        bytes[28..30].copy_from_slice(&[0, 100]);
        bytes[46..48].copy_from_slice(&number.to_be_bytes());
        bytes
    };
    for number in 1..=2 {
        peer.0.tell(&flow(number));
    }
    let full = error(&peer.0.ask(&flow(3))).unwrap().0;
    assert_eq!(full, heddle_openflow::OfError::FlowModTableFull);
    peer.0.tell(&version(5, message(17, &hex("ff000000 00000004"))));
    peer.0.tell(&flow(3));
    let gone = told(&mut peer);
    // Reason 5, eviction, of the flow of priority 1.
    assert_eq!((gone.len(), gone[0][1], &gone[0][16..19]), (1, 11, &[0, 1, 5][..]));
}

#[test]
fn what_no_flow_takes_goes_where_the_table_says() {
    let switch = switch();
    let mut peer = controller(&switch, 3);
    let mut newer = controller(&switch, 4);
    let send = packet_out(1, &[output(0xffff_fff9)], &[1; 60]);
    let config = |table: u8, config: u8| version(3, message(17, &[table, 0, 0, 0, 0, 0, 0, config]));
    let mut after = |first: u8, second: u8| {
        peer.0.tell(&config(0, first));
        peer.0.tell(&config(1, second));
        newer.0.tell(&send);
        (told(&mut peer).len(), told(&mut newer).len())
    };
    assert_eq!(after(2, 0), (0, 0), "dropped");
    assert_eq!(after(0, 2), (1, 1), "to whoever is connected");
    assert_eq!(after(1, 0), (1, 1), "in the next table");
    assert_eq!(after(1, 2), (0, 0));
    let refused = error(&peer.0.ask(&config(0, 3))).unwrap().0;
    assert_eq!(refused, heddle_openflow::OfError::TableModBadConfig);
}

#[test]
fn ports_are_told_of_as_far_as_a_version_can_say() {
    let switch = switch();
    let mut peers: Vec<_> = [1, 4, 6].map(|number| (number, controller(&switch, number))).into();
    let states = |told: &[Vec<u8>]| -> Vec<(u8, u8, u8)> {
        // Reason, and the last bytes of configuration and state, which follow number, address and name.
        let at = |bytes: &[u8]| match bytes[0] {
            1 => 16 + 2 + 6 + 16,
            4 => 16 + 4 + 4 + 6 + 2 + 16,
            _ => 16 + 4 + 2 + 2 + 6 + 2 + 16,
        };
        told.iter().map(|bytes| (bytes[8], bytes[at(bytes) + 3], bytes[at(bytes) + 7])).collect()
    };
    let mac = peers[0].1.0.bridge.bridge.snapshot().ports.get(&1).unwrap().mac;
    let mac: String = mac.iter().map(|byte| format!("{byte:02x}")).collect();
    let down =
        message(16, &hex(&format!("00000001 00000000 {mac} 0000 00000001 00000001 00000000 00000000")));
    // The second peer switches the port off.
    peers[1].1.0.tell(&down);
    let mut all = peers.iter_mut().map(|(_, peer)| states(&told(peer)));
    // It is dead, and then its link is down; OpenFlow 1.0 has a bit for that too.
    assert_eq!(all.next(), Some(vec![(2, 1, 0), (2, 1, 1)]));
    assert_eq!(all.next(), Some(vec![]), "before 1.5, nobody is told what it did itself");
    assert_eq!(all.next(), Some(vec![(2, 1, 0), (2, 1, 1)]));
    drop(all);
    switch.dummy("p2").unwrap().set_carrier(false);
    peers[0].1.0.bridge.expire();
    let mut all = peers.iter_mut().map(|(_, peer)| states(&told(peer)));
    assert!(all.all(|told| told == [(2, 0, 1)]));
}
