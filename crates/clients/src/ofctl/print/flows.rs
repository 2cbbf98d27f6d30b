//! Flows, changes of them and news about them in text.

use heddle_flow::Match;
use heddle_openflow::message::{FlowRemoved, Header};
use heddle_openflow::monitor::{MonitorCommand, MonitorEvent, MonitorRequest, Update};
use heddle_openflow::multipart::{Aggregate, FlowFilter, FlowStats};
use heddle_openflow::text::print_nx_match;
use heddle_openflow::{Command, FlowMod, Version, port};

use super::ports::{names, port_name};
use crate::ofctl::flow_text::{self, Shown, duration, flags, instructions, matching};

/// Why flows go, by number.
pub const REMOVED: [&str; 6] = ["idle", "hard", "delete", "group_delete", "meter_delete", "eviction"];
/// Priority that is not printed, as no other was asked for.
const USUAL: u16 = 0x8000;

fn plain(match_: &Match) -> String {
    matching(match_, USUAL)
}

/// A reason, by name or number.
fn removed_reason(reason: u16) -> String {
    REMOVED.get(usize::from(reason)).map_or_else(|| reason.to_string(), |name| (*name).to_owned())
}

/// The fields of a match in Nicira's form, as they lie on the wire.
pub fn nicira_fields(message: &[u8]) -> Option<String> {
    /// Where the length of the match stands in Nicira's message, and where the match begins.
    const LENGTH_AT: usize = 40;
    const MATCH_AT: usize = 48;
    if !Header::of(message).is_ok_and(|header| header.form.nicira) {
        return None;
    }
    let length = message.get(LENGTH_AT..LENGTH_AT + 2)?;
    let length = usize::from(u16::from_be_bytes([length[0], length[1]]));
    Some(print_nx_match(message.get(MATCH_AT..)?.get(..length)?))
}

/// A change of the flow tables; `fields` stands in place of the match where it is told field by field.
pub fn change(flow: &FlowMod, version: Version, fields: Option<String>) -> String {
    let mut out = String::from(match flow.command {
        Command::Add => "ADD",
        Command::Modify => "MOD",
        Command::ModifyStrict => "MOD_STRICT",
        Command::Delete => "DEL",
        Command::DeleteStrict => "DEL_STRICT",
    });
    if flow.table_id != 0 {
        out += &format!(" table:{}", flow.table_id);
    }
    out.push(' ');
    let apart = fields.is_some();
    let text = fields.unwrap_or_else(|| matching(&flow.matching, flow.priority));
    if !text.is_empty() {
        out += &format!("{text} ");
    }
    // One that changes flows of any cookie has no other; where one is asked for, the new one is told beside it.
    let new = match (flow.command, flow.cookie_mask) {
        (Command::Modify | Command::ModifyStrict, _) => flow.new_cookie.unwrap_or(0),
        (_, 0) => flow.cookie,
        _ => 0,
    };
    let new = if new == 0 && flow.cookie_mask == 0 { flow.cookie } else { new };
    if new != 0 && new != u64::MAX {
        out += &format!("cookie:{new:#x} ");
    }
    if flow.cookie_mask != 0 {
        out += &format!("cookie:{:#x}/{:#x} ", flow.cookie, flow.cookie_mask);
    }
    for (name, value) in
        [("idle", flow.idle_timeout), ("hard", flow.hard_timeout), ("importance", flow.importance)]
    {
        if value != 0 {
            out += &format!("{name}:{value} ");
        }
    }
    if apart && flow.priority != USUAL {
        out += &format!("pri:{} ", flow.priority);
    }
    if flow.buffer_id != heddle_openflow::message::NO_BUFFER {
        out += &format!("buf:{:#x} ", flow.buffer_id);
    }
    if flow.out_port != port::ANY {
        out += &format!("out_port:{} ", port_name(flow.out_port));
    }
    // OpenFlow 1.0 and 1.1 have no such flag.
    let hidden = if version <= Version::V1_1 { FlowMod::RESET_COUNTS } else { 0 };
    format!("{out}{}actions={}", flags(flow.flags & !hidden), instructions(&flow.instructions, version))
}

/// A flow that has gone.
pub fn removed(flow: &FlowRemoved) -> String {
    let mut out =
        format!(" {} reason={}", matching(&flow.matching, flow.priority), removed_reason(flow.reason.into()));
    if flow.table_id != FlowMod::ALL_TABLES {
        out += &format!(" table_id={}", flow.table_id);
    }
    if flow.cookie != 0 {
        out += &format!(" cookie:{:#x}", flow.cookie);
    }
    out += &format!(" duration{}s idle{}", duration(flow.duration), flow.idle_timeout);
    if flow.hard_timeout != 0 {
        out += &format!(" hard{}", flow.hard_timeout);
    }
    out + &format!(" pkts{} bytes{}\n", flow.packets, flow.bytes)
}

/// Which flows are asked for.
pub fn filter(filter: &FlowFilter) -> String {
    let mut out = String::new();
    if filter.table_id != FlowMod::ALL_TABLES {
        out += &format!(" table={}", filter.table_id);
    }
    if filter.out_port != port::ANY {
        out += &format!(" out_port={}", port_name(filter.out_port));
    }
    out + &format!(" {}", plain(&filter.matching))
}

/// Flows with their counters.
pub fn statistics(flows: &[FlowStats], version: Version) -> String {
    let line = |flow: &FlowStats| {
        format!("\n{}", flow_text::print(&Shown { flow, version, stats: true, names: None }))
    };
    flows.iter().map(line).collect()
}

/// Sums over flows.
pub fn aggregate(sums: &Aggregate) -> String {
    format!(" packet_count={} byte_count={} flow_count={}", sums.packets, sums.bytes, sums.flows)
}

/// What to watch.
pub fn monitors(requests: &[MonitorRequest]) -> String {
    const FLAGS: [&str; 7] = ["initial", "add", "delete", "modify", "actions", "no-abbrev", "own"];
    let line = |request: &MonitorRequest| {
        if request.command == MonitorCommand::Delete {
            return format!("\n id={} command=delete", request.id);
        }
        let mut out = format!("\n id={} flags={}", request.id, names(request.flags.into(), &FLAGS, ","));
        if request.out_port != port::ANY {
            out += &format!(" out_port={}", port_name(request.out_port));
        }
        if request.out_group != 0 && request.out_group != u32::MAX {
            out += &format!(" out_group={}", request.out_group);
        }
        if request.table_id != FlowMod::ALL_TABLES {
            out += &format!(" table={}", request.table_id);
        }
        match plain(&request.matching) {
            text if text.is_empty() => out,
            text => format!("{out} {text}"),
        }
    };
    requests.iter().map(line).collect()
}

/// What happened to flows.
pub fn updates(updates: &[Update], version: Version) -> String {
    updates.iter().map(|one| format!("\n event={}", update(one, version))).collect()
}

fn update(update: &Update, version: Version) -> String {
    let flow = match update {
        Update::Abbreviated(xid) => return format!("ABBREV xid={xid:#x}"),
        Update::Paused => return "PAUSED".into(),
        Update::Resumed => return "RESUMED".into(),
        Update::Flow(flow) => flow,
    };
    let mut out = match flow.event {
        MonitorEvent::Initial => "INITIAL".into(),
        MonitorEvent::Added => "ADDED".into(),
        MonitorEvent::Removed => format!("DELETED reason={}", removed_reason(flow.reason)),
        MonitorEvent::Modified => "MODIFIED".into(),
    };
    out += &format!(" table={}", flow.table_id);
    for (name, value) in [("idle_timeout", flow.idle_timeout), ("hard_timeout", flow.hard_timeout)] {
        if value != 0 {
            out += &format!(" {name}={value}");
        }
    }
    let cookie = if flow.cookie == 0 { "0".into() } else { format!("{:#x}", flow.cookie) };
    out += &format!(" cookie={cookie} {}", plain(&flow.matching));
    if flow.instructions.is_empty() {
        return out;
    }
    let space = if out.ends_with(' ') { "" } else { " " };
    format!("{out}{space}actions={}", instructions(&flow.instructions, version))
}
