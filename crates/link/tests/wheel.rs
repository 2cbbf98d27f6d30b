//! The wheel against a sorted map.

use std::collections::BTreeMap;

use heddle_link::Wheel;
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Step {
    Schedule(u32, u64),
    Cancel(u32),
    Advance(u64),
}

/// Times of every magnitude.
fn span() -> impl Strategy<Value = u64> {
    (0u32..50, any::<u64>()).prop_map(|(bits, value)| value & ((1 << bits) - 1))
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0u32..40, span()).prop_map(|(line, after)| Step::Schedule(line, after)),
        1 => (0u32..40).prop_map(Step::Cancel),
        2 => span().prop_map(Step::Advance),
    ]
}

proptest! {
    #[test]
    fn it_expires_what_a_sorted_map_does(steps in proptest::collection::vec(step(), 1..200), start in span()) {
        let (mut wheel, mut model, mut now) = (Wheel::new(), BTreeMap::new(), start);
        let mut out = Vec::new();
        wheel.expired(now, &mut out);
        for step in steps {
            match step {
                Step::Schedule(line, after) => {
                    // Some have passed already.
                    let at = (now + after).saturating_sub(500);
                    wheel.schedule(line, at);
                    model.insert(line, at);
                }
                Step::Cancel(line) => {
                    wheel.cancel(line);
                    model.remove(&line);
                }
                Step::Advance(by) => {
                    now += by;
                    out.clear();
                    wheel.expired(now, &mut out);
                    out.sort_unstable();
                    let due: Vec<u32> = model.iter().filter(|(_, at)| **at <= now).map(|(line, _)| *line).collect();
                    prop_assert_eq!(&out, &due);
                    model.retain(|_, at| *at > now);
                }
            }
            let least = model.values().min().copied();
            prop_assert_eq!(wheel.next().is_some(), least.is_some());
            prop_assert!(wheel.next() <= least, "{:?} {:?}", wheel.next(), least);
        }
    }

    /// Without cancelling and moving, its next is the very next.
    #[test]
    fn it_knows_the_very_next(times in proptest::collection::vec(span(), 1..100)) {
        let (mut wheel, mut out) = (Wheel::new(), Vec::new());
        (0u32..).zip(&times).for_each(|(line, at)| wheel.schedule(line, *at));
        let mut sorted = times.clone();
        sorted.sort_unstable();
        sorted.dedup();
        for at in sorted {
            prop_assert_eq!(wheel.next(), Some(at));
            out.clear();
            wheel.expired(at, &mut out);
            prop_assert!(!out.is_empty() && out.iter().all(|line| times[*line as usize] == at));
        }
        prop_assert_eq!(wheel.next(), None);
    }
}
