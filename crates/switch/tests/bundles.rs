//! Bundles (extension 230 for OpenFlow 1.3, as OpenFlow 1.4.1 section 6.9 has them).
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use common::*;
use heddle_openflow::OfError::{self, *};
use heddle_switch::Switch;

const OPEN: u16 = 0;
const CLOSE: u16 = 2;
const COMMIT: u16 = 4;
const DISCARD: u16 = 6;
/// All or nothing, in order.
const FLAGS: u16 = 3;

fn control(id: u32, kind: u16, flags: u16) -> Vec<u8> {
    message(4, &hex(&format!("4f4e4600 000008fc {id:08x} {kind:04x} {flags:04x}")))
}

fn add(id: u32, flags: u16, inner: &[u8]) -> Vec<u8> {
    message(4, &[hex(&format!("4f4e4600 000008fd {id:08x} 0000 {flags:04x}")), inner.to_vec()].concat())
}

fn flow(priority: u16, port: u32) -> Vec<u8> {
    Mod { priority, instructions: apply(&[output(port)]), ..Mod::default() }.bytes()
}

/// The answer is that a control message is done.
fn done(peer: &mut Peer, bytes: &[u8]) {
    let answer = peer.ask(bytes);
    let kind = u16::from_be_bytes([bytes[20], bytes[21]]) + 1;
    assert_eq!(answer[8..], [bytes[8..20].to_vec(), hex(&format!("{kind:04x} 0000"))].concat());
}

fn refused(peer: &mut Peer, bytes: &[u8]) -> OfError {
    let (error, quoted) = error(&peer.ask(bytes)).unwrap();
    assert_eq!(quoted, bytes);
    error
}

fn flows(switch: &Switch) -> usize {
    switch.bridge("br0").unwrap().bridge.snapshot().flows().len()
}

#[test]
fn a_bundle_is_applied_whole() {
    let switch = switch();
    let mut peer = Peer::new(&switch, false);
    done(&mut peer, &control(1, OPEN, FLAGS));
    for priority in 1..=3 {
        peer.tell(&add(1, FLAGS, &flow(priority, 1)));
    }
    assert_eq!(flows(&switch), 0, "nothing is applied before it is committed");
    done(&mut peer, &control(1, CLOSE, FLAGS));
    done(&mut peer, &control(1, COMMIT, FLAGS));
    assert_eq!(flows(&switch), 3);
    // A message opens its bundle.
    peer.tell(&add(2, FLAGS, &Mod { command: 3, table: 0xff, ..Mod::default() }.bytes()));
    done(&mut peer, &control(2, COMMIT, FLAGS));
    assert_eq!(flows(&switch), 0);
    peer.tell(&add(2, FLAGS, &flow(1, 1)));
    done(&mut peer, &control(2, DISCARD, FLAGS));
    assert_eq!(refused(&mut peer, &control(2, COMMIT, FLAGS)), BundleBadId);
    assert_eq!(flows(&switch), 0);
}

#[test]
fn a_bundle_that_is_refused_changes_nothing() {
    let switch = switch();
    let mut peer = Peer::new(&switch, false);
    let group = Mod { instructions: apply(&[element(22, "00000007")]), ..Mod::default() }.bytes();
    let packet = packet_out(1, &[output(2)], &[7; 60]);
    for inner in [flow(1, 1), packet, flow(2, 1), group.clone()] {
        peer.tell(&add(1, FLAGS, &inner));
    }
    let commit = control(1, COMMIT, FLAGS);
    let answers = peer.say(&commit);
    let errors: Vec<_> = answers.iter().map(|answer| error(answer).unwrap()).collect();
    assert_eq!(errors, [(ActionBadOutGroup, group), (BundleMsgFailed, commit)]);
    let bridge = switch.bridge("br0").unwrap();
    bridge.barrier();
    assert_eq!((flows(&switch), bridge.port_stats(2)[0].counters[1]), (0, 0));
}

#[test]
fn a_packet_sees_what_stands_before_it() {
    let switch = switch();
    let mut peer = Peer::new(&switch, false);
    let everything = Mod { command: 3, table: 0xff, ..Mod::default() }.bytes();
    for inner in [flow(1, 2), packet_out(1, &[output(0xffff_fff9)], &[7; 60]), everything] {
        peer.tell(&add(1, FLAGS, &inner));
    }
    done(&mut peer, &control(1, COMMIT, FLAGS));
    let bridge = switch.bridge("br0").unwrap();
    assert_eq!((flows(&switch), bridge.port_stats(2)[0].counters[1]), (0, 1));
}

#[test]
fn what_is_used_wrongly_is_forgotten() {
    let switch = switch();
    for (steps, last, wanted) in [
        (vec![], control(1, CLOSE, FLAGS), BundleBadId),
        (vec![], control(1, DISCARD, FLAGS), BundleBadId),
        (vec![control(1, OPEN, FLAGS)], control(1, OPEN, FLAGS), BundleBadId),
        (vec![control(1, OPEN, FLAGS)], control(1, CLOSE, 1), BundleBadFlags),
        (vec![control(1, OPEN, FLAGS)], control(1, COMMIT, 1), BundleBadFlags),
        (vec![control(1, OPEN, FLAGS)], add(1, 1, &flow(1, 1)), BundleBadFlags),
        (
            vec![control(1, OPEN, FLAGS), control(1, CLOSE, FLAGS)],
            control(1, CLOSE, FLAGS),
            BundleBundleClosed,
        ),
        (
            vec![control(1, OPEN, FLAGS), control(1, CLOSE, FLAGS)],
            add(1, FLAGS, &flow(1, 1)),
            BundleBundleClosed,
        ),
    ] {
        let mut peer = Peer::new(&switch, false);
        steps.iter().for_each(|step| done(&mut peer, step));
        assert_eq!(refused(&mut peer, &last), wanted);
        assert_eq!(refused(&mut peer, &control(1, DISCARD, FLAGS)), BundleBadId);
    }
    let mut peer = Peer::new(&switch, false);
    done(&mut peer, &control(1, OPEN, FLAGS));
    let mut other_id = flow(1, 1);
    other_id[7] += 1;
    let stray = Mod { table: 254, ..Mod::default() }.bytes();
    for (bytes, wanted) in [
        (control(1, 9, FLAGS), BundleBadType),
        (add(1, FLAGS, &other_id), BundleMsgBadXid),
        (add(1, FLAGS, &message(20, &[])), BundleMsgUnsup),
        (add(1, FLAGS, &flow(1, 1)[..20]), BundleMsgBadLen),
        (add(1, FLAGS, &stray), FlowModBadTable),
    ] {
        assert_eq!(refused(&mut peer, &bytes), wanted);
    }
    peer.tell(&add(1, FLAGS, &flow(1, 1)));
    done(&mut peer, &control(1, COMMIT, FLAGS));
    assert_eq!(flows(&switch), 1, "a message that is refused spoils no bundle");
}

#[test]
fn the_number_and_the_age_of_bundles_are_bounded() {
    let switch = switch();
    let mut peer = Peer::new(&switch, false);
    for id in 0..64 {
        done(&mut peer, &control(id, OPEN, FLAGS));
    }
    assert_eq!(refused(&mut peer, &control(64, OPEN, FLAGS)), BundleOutOfBundles);
    assert!(peer.connection.awaits_time() && peer.connection.tick(&peer.bridge).is_empty());
    peer.bridge.set_bundle_idle_ms(0);
    let told = peer.connection.tick(&peer.bridge);
    let one = 12 + 4 + control(0, OPEN, FLAGS).len();
    assert_eq!(told.len(), 64 * one);
    assert_eq!(error(&told[..one]).unwrap(), (BundleTimeout, control(0, OPEN, FLAGS)));
    assert!(!peer.connection.awaits_time());
}

#[test]
fn a_slave_has_no_bundles() {
    let switch = switch();
    let mut peer = Peer::new(&switch, false);
    peer.ask(&message(24, &hex("00000003 00000000 0000000000000001")));
    assert_eq!(refused(&mut peer, &control(1, OPEN, FLAGS)), RequestIsSlave);
    assert_eq!(refused(&mut peer, &add(1, FLAGS, &flow(1, 1))), RequestIsSlave);
}
