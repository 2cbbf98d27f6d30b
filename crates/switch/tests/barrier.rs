//! A barrier is answered only once the datapath obeys (OpenFlow 1.3.5 section 7.3.8): no packet that comes after the answer meets
//! what was before it, in any cache.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use common::*;
use heddle_switch::Switch;
use heddle_wire::Packet;

/// Packets that are put in between two changes, which make the caches warm.
const WARM: u32 = 600;
/// Most of them that wait for the thread that forwards.
const WAITING: u32 = 200;

/// Frames of one connection that differ in a number, so that all of them meet one megaflow.
fn frame(number: u32) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 9, 2, 0, 0, 0, 0, 8, 8, 1];
    frame.extend(number.to_be_bytes());
    frame.resize(60, 0);
    frame
}

fn number(packet: &Packet) -> u32 {
    u32::from_be_bytes(packet.data()[14..18].try_into().unwrap())
}

/// Puts frames in at `p1`, as fast as they are taken, while `act` runs; it is given the number of the frame to come, and says how
/// many there are to be.
fn under_load(switch: &Switch, act: impl FnOnce(&AtomicU32, &AtomicU32)) {
    let (next, limit, ends) = (AtomicU32::new(0), AtomicU32::new(WARM), AtomicBool::new(false));
    let p1 = switch.dummy("p1").unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !ends.load(Ordering::Acquire) {
                if p1.waiting() > 64 || next.load(Ordering::SeqCst) >= limit.load(Ordering::SeqCst) {
                    std::thread::yield_now();
                    continue;
                }
                // A frame has its number before it can be seen, and is counted before it is there.
                let number = next.fetch_add(1, Ordering::SeqCst);
                p1.inject(Packet::from_frame(&frame(number)));
            }
        });
        act(&next, &limit);
        ends.store(true, Ordering::Release);
    });
    while p1.waiting() != 0 {
        std::thread::yield_now();
    }
    switch.bridge("br0").unwrap().barrier();
}

/// The flow-mod and the barrier come in one read, and packets flow all the time: one that is put in after the answer meets the new
/// flow. Groups, meters and ports that flows depend on are changed alike.
#[test]
fn no_packet_after_the_answer_meets_what_was_before() {
    let switch = switch();
    let mut peer = Peer::new(&switch, false);
    let barrier = message(20, &[]);
    let bucket = |port: u32| [hex("0020 0000 ffffffff ffffffff 00000000"), output(port)].concat();
    let group =
        |command: &str, port: u32| message(15, &[hex(command), hex("00 00 00000001"), bucket(port)].concat());
    let to = |instructions: Vec<u8>| Mod { instructions, ..Mod::default() }.bytes();
    let through = to(apply(&[output(2)]));
    let to_group = to(apply(&[element(22, "00000001")]));
    let nowhere = to(apply(&[]));
    let modify = Mod { command: 1, instructions: apply(&[output(2)]), ..Mod::default() }.bytes();
    let delete = Mod { command: 3, ..Mod::default() }.bytes();
    let higher = Mod { priority: 200, instructions: apply(&[]), ..Mod::default() }.bytes();
    let without = Mod { command: 4, priority: 200, ..Mod::default() }.bytes();
    peer.tell(&group("0000", 2));
    // What is said, and whether packets pass afterwards.
    let steps: [(&[u8], bool); 10] = [
        (&through, true),
        (&nowhere, false),
        (&modify, true),
        (&higher, false),
        (&without, true),
        (&delete, false),
        (&to_group, true),
        (&group("0001", 7), false),
        (&group("0001", 2), true),
        (&delete, false),
    ];
    // From which number on, and up to which, packets were put in between an answer and what was said next.
    let mut between = Vec::new();
    let mut passed = BTreeSet::new();
    // A device in memory keeps so many that were sent by it and no more.
    let take = |passed: &mut BTreeSet<u32>| {
        passed.extend(switch.dummy("p2").unwrap().sent().iter().map(number));
    };
    under_load(&switch, |next, limit| {
        for round in 0..200 {
            let (change, passes) = steps[round % steps.len()];
            let answer = peer.ask(&[change, &barrier].concat());
            let since = next.load(Ordering::SeqCst);
            take(&mut passed);
            let before = passed.len();
            limit.store(since + 2 * WARM, Ordering::SeqCst);
            assert_eq!(answer[1], 21, "{:?}", error(&answer));
            while next.load(Ordering::SeqCst) < since + WARM {
                std::thread::yield_now();
            }
            // Those that may still wait for the thread that forwards may meet what is said next.
            take(&mut passed);
            // Those that were under way have left before the answer.
            assert!(passes || passed.len() == before, "packets left by what was before");
            between.push((since..next.load(Ordering::SeqCst) - WAITING, passes));
        }
    });
    take(&mut passed);
    for (numbers, passes) in between {
        for number in numbers.clone() {
            assert_eq!(passed.contains(&number), passes, "packet {number} of {numbers:?}");
        }
    }
    assert_eq!(switch.mismatches(), 0);
}

/// The thread that forwards is held up: the answer waits for it, and what was asked for before is done by then.
#[test]
fn the_answer_waits_for_the_thread_that_forwards() {
    let switch = switch();
    let mut peer = Peer::new(&switch, false);
    let (release, held) = mpsc::channel::<()>();
    let (begun, begins) = mpsc::channel();
    peer.bridge.datapath().post(move |_| {
        begun.send(()).unwrap();
        // It goes on when the test says so, or has failed.
        let _ = held.recv();
    });
    begins.recv().unwrap();
    let packet = [hex("ffffffff 00000001 0010 000000000000"), output(2), frame(7)].concat();
    let (answer, answers) = mpsc::channel();
    std::thread::scope(|scope| {
        scope.spawn(move || answer.send(peer.ask(&[message(13, &packet), message(20, &[])].concat())));
        let early = answers.recv_timeout(Duration::from_millis(300));
        release.send(()).unwrap();
        assert_eq!(early, Err(mpsc::RecvTimeoutError::Timeout), "the datapath has done nothing yet");
        assert_eq!(answers.recv().unwrap()[1], 21);
        let sent: Vec<u32> = switch.dummy("p2").unwrap().sent().iter().map(number).collect();
        assert_eq!(sent, [7], "the packet has left before the answer");
    });
}
