//! `time/*`: the clock that tests move.

use std::sync::Arc;
use std::time::Duration;

use heddle_daemon::unixctl::{Answer, Command, Outcome, Run};

use super::{Known, known};
use crate::bridge::ManagedBridge;

/// Most steps of a warp, so that one command cannot keep the switch busy for ever.
const MAX_STEPS: u64 = 1_000_000;

pub(super) const COMMANDS: &[Command<Known>] = &[
    Command { name: "time/stop", usage: "", words: 0..=0, run: Run::Now(stop) },
    Command { name: "time/warp", usage: "[large_msecs] msecs", words: 1..=2, run: Run::Later(warp) },
];

fn stop(bridges: &Known, _: &[String]) -> Outcome {
    // All bridges have one clock.
    if let Some(bridge) = known(bridges).first() {
        bridge.clock.stop();
    }
    Ok(String::new())
}

/// Moves the clock, step by step; after each, what time brings is done. Between steps others may act on it.
fn warp(bridges: &Known, words: Vec<String>) -> Answer {
    let number = |word: &String| word.parse::<u64>().ok().filter(|&number| number <= u64::from(u32::MAX));
    let numbers: Option<Vec<u64>> = words.iter().map(number).collect();
    let (total, step) = match numbers.as_deref() {
        Some(&[step]) if step != 0 => (step, step),
        Some(&[total, step]) if step != 0 && total / step <= MAX_STEPS => (total.max(step), step),
        _ => return Answer::Now(Err("invalid MSECS".into())),
    };
    let bridges = known(bridges);
    Answer::later(async move {
        let mut left = total;
        while left != 0 {
            let now = step.min(left);
            left -= now;
            if let Some(bridge) = bridges.first() {
                bridge.clock.warp(now);
            }
            bring(&bridges);
            // Connections and their timers see the new time before the next step.
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Ok("warped".into())
    })
}

/// Does what time brings.
fn bring(bridges: &[Arc<ManagedBridge>]) {
    if let Some(bridge) = bridges.first() {
        bridge.datapath().ask(|context| {
            if !context.engine.is_paused() {
                context.engine.revalidate(context.now_ms);
            }
        });
    }
    bridges.iter().for_each(|bridge| bridge.expire());
}
