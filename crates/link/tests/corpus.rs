//! The fuzzers' corpus holds, input by input, and so do their properties for arbitrary input.

use heddle_link::{Profile, fuzz};
use heddle_wire::fuzz::replay;
use proptest::prelude::*;

#[test]
fn profiles() {
    replay("link_profile", fuzz::profile);
}

#[test]
fn lines() {
    replay("link_line", fuzz::line);
}

/// Words that may stand together, so that many texts are good.
const WORDS: &[&str] = &[
    "rate=100mbit",
    "rate=1.5gbit",
    "rate=none",
    "bw=10",
    "bw=0.064",
    "delay=10ms",
    "delay=1.25ms",
    "delay=250us",
    "jitter=1ms",
    "jitter=2s",
    "distribution=normal",
    "distribution=pareto",
    "distribution=paretonormal",
    "loss=1%",
    "loss=33.3333333",
    "burst=1%/25%",
    "burst=1%/25%/0.5%/80%",
    "pattern=every10",
    "pattern=3,7,9-12 of 100",
    "pattern=1-5+2-9/20",
    "reorder=5%",
    "duplicate=2",
    "corrupt=0.1%",
    "queue=3",
    "queue=150kB",
    "queue=10/30kB",
    "max_queue_size=20",
    "discipline=codel",
    "discipline=codel/1ms/20ms",
    "discipline=red/2/6/10%",
    "discipline=red/3kB/9kB/10%/50%",
    "ecn",
];

fn text() -> impl Strategy<Value = String> {
    proptest::collection::vec(proptest::sample::select(WORDS), 0..8).prop_map(|words| words.join(" "))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn words(text in text(), cut in 0usize..300) {
        fuzz::profile(text.as_bytes());
        fuzz::profile(&text.as_bytes()[..cut.min(text.len())]);
    }

    #[test]
    fn letters(text in "[a-z_0-9=,./% +-]{0,60}") {
        fuzz::profile(text.as_bytes());
    }

    /// What is written as a map is read as the same, and so is the text in the place of a map.
    #[test]
    fn maps(text in text()) {
        if let Ok(profile) = text.parse::<Profile>() {
            let map = serde_json::to_string(&profile).expect("a profile is a map of texts");
            prop_assert_eq!(&serde_json::from_str::<Profile>(&map).expect("it was written"), &profile);
            let text = serde_json::to_string(&text).expect("it is a text");
            prop_assert_eq!(&serde_json::from_str::<Profile>(&text).expect("it was read before"), &profile);
        }
    }

    #[test]
    fn whatever_is_offered(text in text(), steps in proptest::collection::vec(any::<u8>(), 0..600)) {
        let length = u8::try_from(text.len()).unwrap_or(0);
        let input = [&[length], &text.as_bytes()[..length.into()], &steps].concat();
        fuzz::line(&input);
    }

    /// A busy line: few steps but offers and short waits.
    #[test]
    fn bursts(
        text in text(), steps in proptest::collection::vec((0u8..3, 0x80u8..0x84, 0u16..60_000, 4u8..9, 0u8..30), 1..60),
        then in text(),
    ) {
        let length = |text: &str| u8::try_from(text.len()).unwrap_or(0);
        let mut input = vec![length(&text)];
        input.extend(&text.as_bytes()[..length(&text).into()]);
        input.extend([1, 1]);
        for (at, (_, kind, size, what, by)) in steps.iter().enumerate() {
            input.extend([0, *kind, (size >> 8) as u8, *size as u8, 0]);
            match *what {
                4 => input.extend([4, *by, 0]),
                5 => input.extend([5, *by, 0]),
                6 if at % 7 == 0 => {
                    input.extend([6, length(&then)]);
                    input.extend(&then.as_bytes()[..length(&then).into()]);
                    input.push(0);
                }
                _ => input.extend([7, 0]),
            }
        }
        fuzz::line(&input);
    }
}

#[test]
fn a_map_takes_numbers_and_names_what_is_wrong() {
    let read = serde_json::from_str::<Profile>;
    let profile = read(r#"{"bw": 10, "delay": "5ms", "loss": 0.5, "max_queue_size": 20, "ecn": false}"#);
    let profile = profile.expect("Mininet's words are known");
    assert_eq!(profile.to_string(), "rate=10mbit,delay=5ms,loss=0.5%,queue=20");
    for (text, expected) in [
        (r#"{"speed": 10}"#, "a link has no \"speed\"; it has rate, bw, delay"),
        (r#"{"delay": 10}"#, "delay=10 of a link: a number with its unit, us, ms or s, as 10ms"),
        (r#"{"rate": "500gbit"}"#, "rate=500gbit of a link: a rate is from 1bit to 400gbit"),
        (r#"{"rate": "1mbit", "bw": 1}"#, "rate and bw of a link set the same thing; say one of them"),
        (r#"{"reorder": 1}"#, "reorder=1% of a link: a packet overtakes others by skipping their delay"),
        (r#"{"ecn": true}"#, "add discipline=codel"),
        (r#""delay""#, "delay of a link needs a value, as in delay=10ms"),
        (r#"[1]"#, "a link's keys, as a map or as one text"),
    ] {
        let error = read(text).expect_err(text).to_string();
        assert!(error.contains(expected), "{text}: {error}");
    }
}
