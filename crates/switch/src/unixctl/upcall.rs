//! `upcall/*`, `revalidator/*`: how decisions are made and kept.

use heddle_daemon::unixctl::{Command, Outcome, Run};

use super::{Known, any, datapath_name, known};

pub(super) const COMMANDS: &[Command<Known>] = &[
    Command {
        name: "revalidator/pause",
        usage: "",
        words: 0..=0,
        run: Run::Now(|known, _| pause(known, true)),
    },
    Command { name: "revalidator/purge", usage: "", words: 0..=0, run: Run::Now(purge) },
    Command {
        name: "revalidator/resume",
        usage: "",
        words: 0..=0,
        run: Run::Now(|known, _| pause(known, false)),
    },
    Command { name: "revalidator/wait", usage: "", words: 0..=0, run: Run::Now(wait) },
    Command {
        name: "upcall/disable-megaflows",
        usage: "",
        words: 0..=0,
        run: Run::Now(|known, _| set_megaflows(known, false)),
    },
    Command {
        name: "upcall/disable-ufid",
        usage: "",
        words: 0..=0,
        run: Run::Now(|_, _| Err("flows of this datapath always have their ids".into())),
    },
    Command {
        name: "upcall/enable-megaflows",
        usage: "",
        words: 0..=0,
        run: Run::Now(|known, _| set_megaflows(known, true)),
    },
    Command {
        name: "upcall/enable-ufid",
        usage: "",
        words: 0..=0,
        run: Run::Now(|_, _| Ok("Datapath dumping tersely using UFID enabled".into())),
    },
    Command {
        name: "upcall/set-flow-limit",
        usage: "flow-limit-number",
        words: 1..=1,
        run: Run::Now(set_flow_limit),
    },
    Command { name: "upcall/show", usage: "", words: 0..=0, run: Run::Now(show) },
];

/// Credits all, and looks at every decision.
fn wait(bridges: &Known, _: &[String]) -> Outcome {
    if let Ok(bridge) = any(bridges) {
        bridge.datapath().ask(|context| context.engine.revalidate(context.now_ms));
    }
    Ok(String::new())
}

fn purge(bridges: &Known, _: &[String]) -> Outcome {
    if let Ok(bridge) = any(bridges) {
        bridge.datapath().ask(|context| context.engine.purge());
    }
    Ok(String::new())
}

fn pause(bridges: &Known, paused: bool) -> Outcome {
    if let Ok(bridge) = any(bridges) {
        bridge.datapath().ask(move |context| context.engine.set_paused(paused));
    }
    Ok(String::new())
}

fn set_megaflows(bridges: &Known, enabled: bool) -> Outcome {
    if let Ok(bridge) = any(bridges) {
        bridge.datapath().ask(move |context| {
            context.engine.set_megaflows(enabled);
            context.engine.purge();
        });
    }
    Ok(format!("megaflows {}", if enabled { "enabled" } else { "disabled" }))
}

fn set_flow_limit(bridges: &Known, words: &[String]) -> Outcome {
    let limit: usize = words[0].parse().map_err(|_| format!("\"{}\" is not a number", words[0]))?;
    if let Ok(bridge) = any(bridges) {
        bridge.datapath().ask(move |context| context.engine.set_flow_limit(limit));
    }
    Ok(format!("set flow_limit to {limit}\n"))
}

fn show(bridges: &Known, _: &[String]) -> Outcome {
    let Ok(bridge) = any(bridges) else { return Ok(String::new()) };
    let (limit, current) = bridge.datapath().ask(|context| context.engine.flow_limit()).unwrap_or_default();
    let name = datapath_name(&known(bridges));
    Ok(format!(
        "{name}:\n  flows         : (current {current}) (avg {current}) (max {current}) (limit {limit})\n  \
        dump duration : 1ms\n  ufid enabled : true\n\n  0: (keys {current})\n"
    ))
}
