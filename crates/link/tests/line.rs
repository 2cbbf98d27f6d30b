//! What a line promises, with the tolerance of each promise.

#![allow(clippy::unwrap_used)] // a test may end by a panic

mod common;

use common::{Lab, frame, markable, number, numbered, renumber, segment};
use heddle_wire::checksum::{finish_partial, verify_transport};
use heddle_wire::segment::Segmenter;
use heddle_wire::{GsoType, Packet};

/// The wire's packets of what left.
fn wire(packets: &[Packet]) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    for packet in packets {
        if packet.offload.gso == GsoType::None {
            let mut packet = packet.clone();
            finish_partial(&mut packet);
            all.push(packet.data().to_vec());
            continue;
        }
        let (mut segmenter, mut piece) = (Segmenter::new(packet).unwrap(), Packet::with_capacity(4096));
        while segmenter.next_into(&mut piece) {
            all.push(piece.data().to_vec());
        }
    }
    all
}

#[test]
fn a_perfect_line_passes_packets_as_they_are() {
    let mut lab = Lab::new("perfect");
    lab.offer(segment(10_000, 1448));
    assert_eq!(lab.line.next_due(), Some(0));
    let out = lab.take();
    assert_eq!((out.len(), out[0].wire_packets()), (1, 7));
    assert_eq!(
        (out[0].data(), out[0].offload),
        (segment(10_000, 1448).data(), segment(10_000, 1448).offload)
    );
    assert!(lab.line.is_empty() && lab.line.next_due().is_none());
    lab.check();
}

/// 100 Mbit/s and 1,250-byte frames: 100 us each; delivered at the very nanosecond, whenever somebody looks.
#[test]
fn rate_and_delay_are_exact_however_seldom_one_looks() {
    for wake in [10_000, 333_333, 7_000_000] {
        let mut lab = Lab::new("rate=100mbit delay=10ms queue=100000");
        for _ in 0..1_000 {
            lab.offer(frame(1_250));
        }
        let mut times = Vec::new();
        while !lab.line.is_empty() {
            lab.now += wake;
            let due = lab.line.next_due();
            assert!(due.is_some_and(|due| due.is_multiple_of(100_000)), "{due:?}");
            let count = lab.take().len();
            times.extend(std::iter::repeat_n(lab.now, count));
        }
        for (n, at) in (1u64..).zip(times) {
            let due = n * 100_000 + 10_000_000;
            assert_eq!(at, due.next_multiple_of(wake), "packet {n}");
        }
        lab.check();
    }
}

/// 10 Gbit/s: pieces of 1,448 bytes and their headers, 1,502 bytes, take 1,201.6 ns. A caller that wakes every 50 us gets
/// runs of 41 or 42, unless a segment ends; their pieces are those of the whole.
#[test]
fn the_pieces_of_a_segment_leave_in_runs() {
    let mut lab = Lab::new("rate=10gbit delay=1ms");
    let whole = segment(1448 * 45, 1448);
    for _ in 0..20 {
        lab.offer(whole.clone());
    }
    let mut out = Vec::new();
    while !lab.line.is_empty() {
        lab.now += 50_000;
        out.extend(lab.take());
    }
    assert_eq!(wire(&out), wire(&vec![whole; 20]));
    assert!(out.len() <= 20 + (20.0 * 45.0 * 1.2016 / 50.0f64).ceil() as usize, "{}", out.len());
    assert_eq!(lab.statistics().delivered.packets, 900);
    assert_eq!(lab.statistics().delivered.bytes, 900 * 1502);
    lab.check();
}

#[test]
fn each_wire_packet_of_a_segment_has_its_time() {
    let mut lab = Lab::new("rate=12016kbit"); // a piece takes a millisecond
    lab.offer(segment(1448 * 3 + 100, 1448));
    let times: Vec<u64> = lab.drain().iter().map(|(at, _)| *at).collect();
    assert_eq!(times, [1_000_000, 2_000_000, 3_000_000, 3_000_000 + 154 * 8_000_000 / 12_016]);
    lab.check();
}

/// Which packets of `count` are lost.
fn lost(profile: &str, seed: u64, count: u32) -> Vec<bool> {
    let mut lab = Lab::seeded(profile, seed);
    let (mut lost, mut packet) = (vec![true; count as usize], frame(60));
    for n in 0..count {
        renumber(&mut packet, n);
        lab.offer(&packet);
        lab.now += 10_000;
        for packet in lab.take() {
            lost[number(&packet) as usize] = false;
        }
    }
    assert!(lab.line.is_empty());
    lab.check();
    lost
}

/// Of 100,000 packets, the number lost is inside the binomial's 99 % interval.
#[test]
fn independent_loss_is_binomial() {
    for (text, p) in [("loss=0.1%", 0.001f64), ("loss=1%", 0.01), ("loss=25%", 0.25)] {
        let count = lost(text, 11, 100_000).iter().filter(|lost| **lost).count() as f64;
        let (mean, deviation) = (1e5 * p, (1e5 * p * (1.0 - p)).sqrt());
        assert!((count - mean).abs() < 2.576 * deviation, "{text}: {count}");
    }
    assert_eq!(lost("loss=100%", 1, 1000), vec![true; 1000]);
}

/// Gilbert and Elliott's line, p = 1 %, r = 25 %: bad for p / (p + r) = 3.85 % of packets, in bursts of 1 / r = 4. Over 400,000
/// packets within 5 % each (about four standard errors).
#[test]
fn bursts_have_their_length_and_their_share() {
    let lost = lost("burst=1%/25%", 3, 400_000);
    let count = lost.iter().filter(|lost| **lost).count() as f64;
    let bursts = lost.windows(2).filter(|pair| !pair[0] && pair[1]).count() as f64;
    assert!((count / 4e5 / (0.01 / 0.26) - 1.0).abs() < 0.05, "{count}");
    assert!((count / bursts / 4.0 - 1.0).abs() < 0.05, "{}", count / bursts);
}

#[test]
fn a_pattern_is_exact() {
    let lost = lost("pattern=3,7,9-12 of 100", 3, 1000);
    for (n, lost) in lost.iter().enumerate() {
        assert_eq!(*lost, matches!(n % 100 + 1, 3 | 7 | 9..=12), "{n}");
    }
}

/// What became of each wire packet: how often it came, and whether a bit of it was flipped.
fn fates(lab: &mut Lab, offer: impl Fn(&mut Lab), wake: u64) -> Vec<(u32, usize, bool)> {
    offer(lab);
    let mut out = Vec::new();
    while !lab.line.is_empty() {
        lab.now += wake;
        out.extend(lab.take());
    }
    lab.check();
    let mut seen = std::collections::BTreeMap::<u32, (usize, bool)>::new();
    for frame in wire(&out) {
        // The payload begins with the piece's number, four times over, so that a flipped bit does not hide it.
        let words: Vec<u32> =
            frame[54..70].as_chunks::<4>().0.iter().map(|word| u32::from_be_bytes(*word)).collect();
        let number = *words.iter().find(|a| words.iter().filter(|b| a == b).count() > 1).unwrap();
        let entry = seen.entry(number).or_default();
        entry.0 += 1;
        entry.1 |= verify_transport(&frame) != Some(true) || !heddle_header_sum(&frame);
    }
    seen.into_iter().map(|(number, (count, broken))| (number, count, broken)).collect()
}

fn heddle_header_sum(frame: &[u8]) -> bool {
    heddle_wire::checksum::sum(&frame[14..34]) == 0xffff
}

/// A segment whose pieces carry their numbers, from `first` on.
fn counted(first: u32, pieces: u32) -> Packet {
    let mut packet = segment(500 * pieces as usize, 500);
    for piece in 0..pieces {
        let at = 54 + 500 * piece as usize;
        for word in 0..4 {
            packet.data_mut()[at + 4 * word..at + 4 * word + 4]
                .copy_from_slice(&(first + piece).to_be_bytes());
        }
    }
    packet
}

/// The n-th wire packet meets the same fate, whether packets come as segments or one by one, at once or over time, and however
/// seldom they are taken.
#[test]
fn fates_do_not_depend_on_timing_and_batching() {
    let profile = "rate=100mbit delay=3ms jitter=1ms loss=5% duplicate=5% corrupt=5% reorder=5% queue=100000";
    let count = 3_000;
    let segments = |lab: &mut Lab| {
        for first in (0..count).step_by(30) {
            lab.offer(counted(first, 30));
        }
    };
    let singles = |lab: &mut Lab| {
        for first in (0..count).step_by(30) {
            let (whole, mut piece) = (counted(first, 30), Packet::with_capacity(4096));
            let mut segmenter = Segmenter::new(&whole).unwrap();
            while segmenter.next_into(&mut piece) {
                lab.offer(piece.clone());
                lab.now += 700_000;
            }
        }
    };
    let expected = fates(&mut Lab::seeded(profile, 5), segments, 50_000);
    assert!(expected.len() > 2_700 && expected.len() < 2_950, "{}", expected.len());
    assert_eq!(expected, fates(&mut Lab::seeded(profile, 5), segments, 3_333_333));
    assert_eq!(expected, fates(&mut Lab::seeded(profile, 5), singles, 50_000));
    assert_ne!(expected, fates(&mut Lab::seeded(profile, 6), segments, 50_000));
}

#[test]
fn changing_one_probability_leaves_the_other_fates() {
    let plain = lost("loss=3%", 9, 20_000);
    assert_eq!(plain, lost("loss=3% delay=5us jitter=1us reorder=20% duplicate=10%", 9, 20_000));
    // A higher probability of loss loses the same ones, and more.
    let more = lost("loss=5%", 9, 20_000);
    assert!(plain.iter().zip(&more).all(|(plain, more)| *more || !plain));
}

/// ARP and the like between programs' packets do not shift their numbers.
#[test]
fn what_hosts_say_among_themselves_has_a_count_of_its_own() {
    let mut lab = Lab::seeded("loss=30%", 4);
    let (mut arp, mut seen) = (Packet::from_frame(&[0; 60]), Vec::new());
    arp.data_mut()[12..14].copy_from_slice(&[8, 6]);
    for n in 0..1000 {
        for _ in 0..n % 3 {
            lab.offer(arp.clone());
        }
        lab.offer(numbered(n, 60));
        seen.extend(lab.take().iter().filter(|packet| packet.data()[12..14] == [8, 0]).map(number));
    }
    let lost = lost("loss=30%", 4, 1000);
    let expected: Vec<u32> = (0..1000).filter(|n| !lost[*n as usize]).collect();
    assert_eq!(seen, expected);
}

/// Delays of packets that are a second apart.
fn delays(profile: &str, count: u32) -> Vec<f64> {
    let mut lab = Lab::new(profile);
    let delay = |n: u32| {
        lab.now = u64::from(n) * 1_000_000_000;
        lab.offer(frame(60));
        (lab.drain()[0].0 - u64::from(n) * 1_000_000_000) as f64 / 1e6
    };
    (0..count).map(delay).collect()
}

fn moments(values: &[f64]) -> (f64, f64) {
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    (mean, (values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / values.len() as f64).sqrt())
}

/// 10 ms and 1 ms, 20,000 packets: the mean within four standard errors (0.03 ms), the deviation within 3 %, 15 % where the tail
/// is heavy.
#[test]
fn delays_are_distributed_as_asked() {
    for (name, expected, within) in [
        ("uniform", 1.0 / 3f64.sqrt(), 0.03),
        ("normal", 1.0, 0.03),
        ("pareto", 1.0, 0.15),
        ("paretonormal", 1.0, 0.15),
    ] {
        let values = delays(&format!("delay=10ms jitter=1ms distribution={name}"), 20_000);
        let (mean, deviation) = moments(&values);
        assert!((mean - 10.0).abs() < 0.03, "{name}: {mean}");
        assert!((deviation / expected - 1.0).abs() < within, "{name}: {deviation}");
    }
    let values = delays("delay=10ms jitter=1ms", 5_000);
    assert!(values.iter().all(|x| (9.0..=11.0).contains(x)));
    assert!(delays("delay=10ms", 100).iter().all(|x| *x == 10.0));
}

#[test]
fn jitter_does_not_reorder_and_reorder_does() {
    let order = |profile: &str| {
        let mut lab = Lab::new(profile);
        for n in 0..5_000 {
            lab.offer(numbered(n, 60));
            lab.now += 100_000;
        }
        let order: Vec<u32> = lab.drain().iter().map(|(_, packet)| number(packet)).collect();
        lab.check();
        (order, lab.statistics().reordered.packets)
    };
    let (jittered, none) = order("delay=10ms jitter=5ms distribution=normal");
    assert!(jittered.is_sorted() && none == 0);
    let (reordered, count) = order("delay=10ms reorder=10%");
    // They come a hundred packets early.
    let mut most = 0;
    let early = reordered.iter().filter(|&&n| {
        let early = n > most + 1;
        most = most.max(n);
        early
    });
    assert!((400..600).contains(&early.count()) && (400..600).contains(&count), "{count}");
}

#[test]
fn copies_follow_what_they_are_copies_of() {
    let mut lab = Lab::new("delay=1ms duplicate=100%");
    lab.offer(segment(1000, 400));
    let out: Vec<Packet> = lab.drain().into_iter().map(|(_, packet)| packet).collect();
    let pieces = wire(&[segment(1000, 400)]);
    let expected: Vec<Vec<u8>> = pieces.iter().flat_map(|piece| [piece.clone(), piece.clone()]).collect();
    assert_eq!(wire(&out), expected);
    assert_eq!(lab.statistics().duplicated.packets, 3);
    lab.check();
}

/// One bit is flipped, behind the Ethernet header, in a packet whose checksum is complete.
#[test]
fn a_corrupt_packet_differs_in_one_bit() {
    let mut lab = Lab::new("corrupt=100%");
    lab.offer(segment(5000, 1448));
    for (broken, whole) in lab.drain().iter().zip(wire(&[segment(5000, 1448)])) {
        let broken = broken.1.data();
        let flipped: u32 = broken.iter().zip(&whole).map(|(a, b)| (a ^ b).count_ones()).sum();
        assert_eq!((flipped, &broken[..14]), (1, &whole[..14]));
    }
    assert_eq!(lab.statistics().corrupted.packets, 4);
    lab.check();
}

/// Three wait, and one is being sent.
#[test]
fn a_full_queue_drops_what_comes_last() {
    let mut lab = Lab::new("rate=1mbit queue=3");
    (0..10).for_each(|n| lab.offer(numbered(n, 125)));
    let out = lab.drain();
    assert_eq!(out.iter().map(|(_, packet)| number(packet)).collect::<Vec<_>>(), [0, 1, 2, 3]);
    assert_eq!(lab.statistics().queue_dropped.packets, 6);
    let mut lab = Lab::new("rate=1mbit queue=300B");
    (0..10).for_each(|n| lab.offer(numbered(n, 125)));
    assert_eq!(lab.statistics().waiting.packets, 2);
    let mut lab = Lab::new("rate=1mbit");
    lab.offer(segment(60_000, 20));
    (0..2000).for_each(|n| lab.offer(numbered(n, 125)));
    assert_eq!((lab.statistics().waiting.packets, lab.statistics().backlog.packets), (1000, 1001));
    lab.drain();
    lab.check();
}

/// 20,000 packets of a millisecond each, an `interval` apart; when they left, and for how long they were there.
fn overload(profile: &str, interval: u64) -> (Lab, Vec<(u64, u64)>) {
    let (mut lab, mut sojourns) = (Lab::new(profile), Vec::new());
    for n in 0..20_000u32 {
        lab.now = u64::from(n) * interval;
        lab.offer(numbered(n, 1250));
        for packet in lab.take() {
            let sent = u64::from(number(&packet)) * interval;
            sojourns.push((lab.now, lab.now - sent));
        }
    }
    (lab, sojourns)
}

/// A sender that does not answer to drops and is a tenth too fast, 100 packets a second. By the control law (RFC 8289 section
/// 3.3) drops come at 10 sqrt(n) a second, which is enough after two seconds. In the last of 18 seconds the mean sojourn is below
/// an interval, 100 ms; drop-tail has a thousand packets wait for a second.
#[test]
fn codel_keeps_the_queue_short_where_drop_tail_does_not() {
    let late = |sojourns: &[(u64, u64)]| {
        let late = sojourns.iter().filter(|(at, _)| *at > 15_000_000_000);
        moments(&late.map(|(_, sojourn)| *sojourn as f64 / 1e6).collect::<Vec<_>>()).0
    };
    let (mut lab, sojourns) = overload("rate=10mbit discipline=codel", 909_091);
    assert!(late(&sojourns) < 100.0, "{}", late(&sojourns));
    assert_eq!(lab.statistics().queue_dropped.packets, 0);
    lab.drain();
    lab.check();
    let (_, sojourns) = overload("rate=10mbit", 909_091);
    assert!(late(&sojourns) > 900.0, "{}", late(&sojourns));
}

/// A window of packets, as TCP at its simplest: one more a round trip, half on a drop. CoDel's target is 5 ms: over 20 s with a
/// round trip of 20 ms, the mean sojourn is within 1 to 10 ms, and the line is busy for more than 90 % of the time.
#[test]
fn codel_holds_a_responsive_sender_near_its_target() {
    let (sojourn, busy, lab) = responsive("rate=10mbit discipline=codel", false);
    assert!((1.0..10.0).contains(&sojourn), "{sojourn}");
    assert!(busy > 0.9, "{busy}");
    assert!(lab.statistics().early_dropped.packets > 10);
    let (marked, _, lab) = responsive("rate=10mbit discipline=codel ecn", true);
    assert!((1.0..10.0).contains(&marked), "{marked}");
    assert!(lab.statistics().marked.packets > 10 && lab.statistics().early_dropped.packets == 0);
    let (drop_tail, ..) = responsive("rate=10mbit", false);
    assert!(drop_tail > 100.0, "{drop_tail}");
}

/// Mean sojourn in ms, share of the rate used, and the line, after 20 s of a sender that answers to drops and marks.
fn responsive(profile: &str, ecn: bool) -> (f64, f64, Lab) {
    let (mut lab, mut window, mut outstanding, mut next) = (Lab::new(profile), 10.0f64, 0.0, 0u32);
    let (mut sent, mut sojourns, mut delivered, mut halved_at) = (Vec::new(), Vec::new(), 0, 0);
    // Acknowledgements come 20 ms after their packets.
    let mut acks = std::collections::VecDeque::new();
    let mut dropped = 0;
    while lab.now < 20_000_000_000 {
        while outstanding < window.floor() {
            let packet = numbered(next, 1250);
            lab.offer(if ecn { markable(packet) } else { packet });
            sent.push(lab.now);
            (next, outstanding) = (next + 1, outstanding + 1.0);
        }
        lab.now += 250_000;
        for packet in lab.take() {
            delivered += 1;
            sojourns.push((lab.now - sent[number(&packet) as usize]) as f64 / 1e6);
            acks.push_back((lab.now + 20_000_000, packet.data()[15] & 3 == 3));
        }
        let statistics = lab.statistics();
        let drops = statistics.early_dropped.packets + statistics.queue_dropped.packets;
        let mut congested = drops > dropped;
        outstanding -= (drops - dropped) as f64;
        dropped = drops;
        while acks.front().is_some_and(|(at, _)| *at <= lab.now) {
            let (_, marked) = acks.pop_front().unwrap();
            congested |= marked;
            (outstanding, window) = (outstanding - 1.0, window + 1.0 / window);
        }
        if congested && lab.now > halved_at + 20_000_000 {
            (window, halved_at) = ((window / 2.0).max(2.0), lab.now);
        }
    }
    (moments(&sojourns).0, f64::from(delivered) / 20_000.0, lab)
}

/// Floyd and Jacobson: the average stays near the higher threshold where half of all must go, and a sender below the rate is left
/// alone.
#[test]
fn red_drops_early() {
    let (mut lab, sojourns) = overload("rate=10mbit queue=1000 discipline=red/20/400/10%", 500_000);
    let it = lab.statistics();
    assert_eq!(it.queue_dropped.packets, 0);
    assert!(it.early_dropped.packets > 8_000, "{it:?}");
    // Where half of all are dropped, the average is at the threshold: 400 packets of a millisecond.
    let last = sojourns.last().unwrap().1 as f64 / 1e6;
    assert!((380.0..500.0).contains(&last), "{last}");
    lab.drain();
    lab.check();
    let mut lab = Lab::new("rate=10mbit discipline=red/5/50/10%");
    for n in 0..5_000 {
        lab.now = u64::from(n) * 1_100_000;
        lab.offer(numbered(n, 1250));
        lab.take();
    }
    assert_eq!(lab.statistics().early_dropped.packets, 0);
}

#[test]
fn what_can_be_marked_is_marked_and_the_rest_dropped() {
    let profile = "rate=10mbit queue=1000 discipline=red/5/10/100%/100% ecn";
    let (mut lab, mut plain, mut marked) = (Lab::new(profile), 0, 0);
    for n in 0..60 {
        lab.offer(if n % 2 == 0 { markable(numbered(n, 1250)) } else { numbered(n, 1250) });
    }
    for (_, packet) in lab.drain() {
        assert!(heddle_header_sum(packet.data()));
        match packet.data()[15] & 3 {
            3 => marked += 1,
            2 => {}
            _ => plain += 1,
        }
    }
    let it = lab.statistics();
    assert_eq!((it.marked.packets, it.early_dropped.packets + plain), (marked, 30));
    assert!(marked > 20 && it.early_dropped.packets > 10, "{it:?}");
    lab.check();
    // The packets of a segment are marked one by one.
    let mut lab = Lab::new(profile);
    lab.offer(markable(segment(500 * 40, 500)));
    let out: Vec<Packet> = lab.drain().into_iter().map(|(_, packet)| packet).collect();
    let pieces = wire(&out);
    assert!(pieces.iter().all(|piece| heddle_header_sum(piece) && verify_transport(piece) == Some(true)));
    assert_eq!(pieces.len(), 40);
    assert_eq!(
        pieces.iter().filter(|piece| piece[15] & 3 == 3).count() as u64,
        lab.statistics().marked.packets
    );
}

#[test]
fn a_new_rate_meets_what_waits_and_what_is_being_sent() {
    let mut lab = Lab::new("rate=1mbit delay=10ms"); // a millisecond each
    (0..5).for_each(|n| lab.offer(numbered(n, 125)));
    lab.now = 1_500_000;
    lab.set("rate=2mbit delay=10ms");
    // The first is under way; half of the second is left; three take half a millisecond each.
    let times: Vec<u64> = lab.drain().iter().map(|(at, _)| *at).collect();
    assert_eq!(times, [11_000_000, 11_750_000, 12_250_000, 12_750_000, 13_250_000]);
    // Without a rate everything that waits leaves at once.
    let mut lab = Lab::new("rate=8bit");
    (0..5).for_each(|n| lab.offer(numbered(n, 125)));
    assert_eq!(lab.line.next_due(), Some(125_000_000_000));
    lab.now = 1000;
    lab.set("perfect");
    assert_eq!(lab.take().len(), 5);
    lab.check();
}

#[test]
fn a_shorter_delay_is_not_held_up_by_the_longer() {
    let mut lab = Lab::new("delay=10s");
    lab.offer(numbered(0, 60));
    lab.set("delay=10ms");
    lab.offer(numbered(1, 60));
    lab.set("delay=20ms");
    lab.offer(numbered(2, 60));
    let out: Vec<(u64, u32)> = lab.drain().iter().map(|(at, packet)| (*at, number(packet))).collect();
    assert_eq!(out, [(10_000_000, 1), (20_000_000, 2), (10_000_000_000, 0)]);
    // What is being sent meanwhile is still sent at the rate there is.
    let mut lab = Lab::new("rate=1mbit delay=1s");
    lab.offer(numbered(0, 125));
    lab.set("rate=1mbit delay=10ms");
    lab.set("rate=500kbit delay=10ms");
    lab.offer(numbered(1, 125));
    let out: Vec<(u64, u32)> = lab.drain().iter().map(|(at, packet)| (*at, number(packet))).collect();
    assert_eq!(out, [(14_000_000, 1), (1_002_000_000, 0)]);
}

#[test]
fn a_pulled_cable_loses_everything_and_carries_again() {
    let mut lab = Lab::new("rate=1mbit delay=10ms duplicate=10% reorder=10%");
    (0..50).for_each(|n| lab.offer(numbered(n, 125)));
    lab.offer(segment(20_000, 500));
    lab.line.clear(&mut lab.pool);
    let it = lab.statistics();
    assert_eq!((it.cleared.packets, it.backlog.packets), (it.offered.packets + it.duplicated.packets, 0));
    lab.check();
    lab.offer(numbered(0, 125));
    assert_eq!(lab.drain().len(), 1);
    lab.check();
}

/// A line leaves a quarter of the pool to others, says what it dropped for want of buffers, and many lines with few packets hold
/// none.
#[test]
fn buffers_are_bounded_and_shared() {
    let mut lab = Lab::new("delay=1s");
    let whole = segment(60_000, 1448);
    (0..1_000).for_each(|_| lab.offer(&whole));
    assert_eq!(lab.pool.available(), lab.pool.limit() / 4);
    assert!(lab.statistics().no_buffer.packets > 0);
    lab.drain();
    lab.check();
    // 200,000 frames of 64 bytes: 100 ms at 1 Gbit/s and more; 65,600 bytes hold 1,025 of them.
    let mut lab = Lab::new("delay=1s");
    let mut packet = frame(64);
    for n in 0..200_000 {
        renumber(&mut packet, n);
        lab.offer(&packet);
    }
    assert_eq!(lab.statistics().backlog.packets, 200_000);
    assert_eq!(lab.pool.limit() - lab.pool.available(), 196);
    assert!(lab.drain().iter().map(|(_, packet)| number(packet)).eq(0..200_000));
    lab.check();
    let mut lab = Lab::new("delay=1s");
    (0..40).for_each(|n| lab.offer(numbered(n, 100)));
    assert_eq!(lab.pool.limit(), lab.pool.available());
    lab.drain();
    lab.check();
}

#[test]
fn lateness_is_measured_against_the_due_time() {
    let mut lab = Lab::new("delay=1ms");
    for late in [0, 150_000, 250_000, 2_000_000, 20_000_000] {
        lab.offer(frame(60));
        lab.now = lab.line.next_due().unwrap() + late;
        assert_eq!(lab.take().len(), 1);
    }
    let lateness = lab.statistics().lateness;
    assert_eq!((lateness.count, lateness.maximum_ns, lateness.beyond), (5, 20_000_000, [4, 3, 2, 1]));
}

/// A receiver without buffers finds the packets where they were, later.
#[test]
fn what_finds_no_buffer_stays() {
    let mut lab = Lab::new("delay=1ms");
    lab.offer(frame(100));
    lab.now = 2_000_000;
    let taken: Vec<Packet> = std::iter::from_fn(|| lab.pool.take()).collect();
    assert!(lab.take().is_empty() && lab.line.next_due() == Some(1_000_000));
    taken.into_iter().for_each(|packet| lab.pool.give(packet));
    assert_eq!(lab.take().len(), 1);
}
