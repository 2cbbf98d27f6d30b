//! What a line promises, with the tolerance of each promise.

mod common;

use common::{Lab, frame, segment};

#[test]
fn a_perfect_line_passes_packets_as_they_are() {
    let mut lab = Lab::new("perfect");
    lab.offer(segment(10_000, 1448));
    assert_eq!(lab.line.next_due(), Some(0));
    let out = lab.take();
    assert_eq!((out.len(), out[0].wire_packets()), (1, 7));
    assert!(lab.line.is_empty() && lab.line.next_due().is_none());
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
