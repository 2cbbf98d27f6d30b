//! The report of an experiment: one page of HTML that holds all it shows, and reads without a network.

use std::fmt::Write;

use crate::outcome::{Outcome, WayOutcome};
use crate::plot::{Series, chart, escape};

/// Most ways of links in one chart: the busiest.
const MOST_WAYS: usize = 8;
/// Most bytes of a program's output on the page.
const MOST_OUTPUT: usize = 4096;

const STYLE: &str = "\
:root{color-scheme:light dark;--ink:#1b1f24;--soft:#667;--line:#d5d9de;--bad:#b3261e;--good:#1a7f37;--back:#fff}\
@media(prefers-color-scheme:dark){:root{--ink:#e6e8eb;--soft:#9aa4af;--line:#39424d;--bad:#ff8a80;--good:#6fcf7f;--back:#14181d}}\
body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--back);max-width:900px;margin:2rem auto;padding:0 1rem}\
h1{font-size:1.6rem;margin:0}h2{font-size:1.1rem;margin:2rem 0 .5rem}p{margin:.4rem 0}\
table{border-collapse:collapse;width:100%;font-size:14px}td,th{text-align:left;padding:.3rem .6rem .3rem 0;border-bottom:1px solid var(--line);vertical-align:top}\
th{color:var(--soft);font-weight:600}.good{color:var(--good)}.bad{color:var(--bad)}.soft{color:var(--soft)}\
td.n{text-align:right;font-variant-numeric:tabular-nums}\
svg{width:100%;height:auto}svg text{font:12px system-ui,sans-serif;fill:var(--soft)}.grid{stroke:var(--line)}.mark{stroke:var(--soft);stroke-dasharray:3 3}\
.legend{font-size:13px}.legend span{margin-right:1rem;white-space:nowrap}.legend i{display:inline-block;width:.8em;height:.8em;margin-right:.4em;border-radius:2px}\
pre{overflow:auto;background:color-mix(in srgb,var(--line) 35%,transparent);padding:.6rem;border-radius:4px;font-size:13px}\
.scroll{overflow-x:auto}";

/// The page.
#[must_use]
pub fn html(outcome: &Outcome) -> String {
    let mut out = String::from("<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\">");
    let name = escape(&outcome.name);
    let _ = write!(
        out,
        "<meta name=\"viewport\" content=\"width=device-width\"><title>{name}</title><style>{STYLE}</style>\
         <h1>{name}</h1><p>{}</p><p class=\"soft\">{}; {:.1} s; seed {}</p>",
        escape(&outcome.about),
        escape(&outcome.topology),
        outcome.seconds,
        outcome.seed
    );
    verdicts(&mut out, outcome);
    charts(&mut out, outcome);
    links(&mut out, outcome);
    programs(&mut out, outcome);
    events(&mut out, outcome);
    out.push_str("</html>\n");
    out
}

fn verdicts(out: &mut String, outcome: &Outcome) {
    out.push_str("<h2>Expectations</h2>");
    if outcome.verdicts.is_empty() {
        out.push_str("<p class=\"soft\">none</p>");
    } else {
        out.push_str("<table><tr><th>expected<th>found<th></tr>");
        for verdict in &outcome.verdicts {
            let (class, word) = if verdict.holds { ("good", "holds") } else { ("bad", "fails") };
            let _ = write!(
                out,
                "<tr><td>{}<td>{}<td class=\"{class}\">{word}</tr>",
                escape(&verdict.expected),
                escape(&verdict.found)
            );
        }
        out.push_str("</table>");
    }
    out.push_str("<h2>Fidelity</h2>");
    let fidelity = &outcome.fidelity;
    out.push_str(match (fidelity.kept, fidelity.judged) {
        (_, false) => "<p class=\"soft\">nothing to judge: no link has settings</p>",
        (true, true) => "<p class=\"good\">kept: links let packets go when they were due</p>",
        (false, true) => "<p class=\"bad\">not kept: numbers below are those of an overloaded machine</p>",
    });
    list(out, &fidelity.complaints);
    list(out, &outcome.warnings);
}

fn list(out: &mut String, lines: &[String]) {
    if !lines.is_empty() {
        out.push_str("<ul>");
        lines.iter().for_each(|line| _ = write!(out, "<li>{}</li>", escape(line)));
        out.push_str("</ul>");
    }
}

fn charts(out: &mut String, outcome: &Outcome) {
    let mut ways: Vec<&WayOutcome> = outcome.ways.iter().filter(|way| way.samples.len() > 1).collect();
    if ways.is_empty() {
        return;
    }
    ways.sort_by_key(|way| std::cmp::Reverse(way.count("delivered_bytes")));
    let hidden = ways.len().saturating_sub(MOST_WAYS);
    ways.truncate(MOST_WAYS);
    let marks: Vec<(f64, String)> =
        outcome.events.iter().map(|event| (event.done, event.what.clone())).collect();
    let name = |way: &WayOutcome| format!("{} \u{2192} {}", way.from, way.to);
    let over_time = |value: &dyn Fn(&WayOutcome) -> Vec<(f64, f64)>| -> Vec<Series> {
        ways.iter().map(|way| Series { name: name(way), points: value(way) }).collect()
    };
    let rate = |way: &WayOutcome| {
        let pairs = way.samples.windows(2);
        let rate = |pair: &[crate::outcome::Sample]| {
            let bytes = pair[1].delivered_bytes.saturating_sub(pair[0].delivered_bytes);
            (pair[1].at, bytes as f64 * 8.0 / 1e6 / (pair[1].at - pair[0].at).max(1e-6))
        };
        pairs.map(rate).collect()
    };
    let gone = |way: &WayOutcome| way.samples.iter().map(|sample| (sample.at, sample.gone as f64)).collect();
    let backlog =
        |way: &WayOutcome| way.samples.iter().map(|sample| (sample.at, sample.backlog as f64)).collect();
    for (title, unit, series) in [
        ("Throughput", "Mbit/s", over_time(&rate)),
        ("Packets on the way", "packets", over_time(&backlog)),
        ("Packets lost and dropped", "packets", over_time(&gone)),
    ] {
        let _ = write!(out, "<h2>{title}</h2>{}", chart(unit, "seconds", &series, &marks, outcome.seconds));
    }
    if hidden != 0 {
        let _ = write!(out, "<p class=\"soft\">{hidden} quieter ways of links are in report.json.</p>");
    }
}

fn links(out: &mut String, outcome: &Outcome) {
    if outcome.ways.is_empty() {
        return;
    }
    out.push_str(
        "<h2>Links</h2><div class=\"scroll\"><table><tr><th>way<th>settings<th>delivered<th>lost\
         <th>dropped by the queue<th>marked<th>other</tr>",
    );
    for way in &outcome.ways {
        let count = |name: &str| way.count(name).unwrap_or(0);
        let other: Vec<String> = ["corrupted", "duplicated", "reordered", "no_buffer"]
            .into_iter()
            .filter(|name| count(name) != 0)
            .map(|name| format!("{} {name}", count(name)))
            .collect();
        let _ = write!(
            out,
            "<tr><td>{} &rarr; {}<td>{}<td class=\"n\">{}<td class=\"n\">{}<td class=\"n\">{}<td class=\"n\">{}<td>{}</tr>",
            escape(&way.from),
            escape(&way.to),
            escape(&way.settings),
            count("delivered"),
            count("lost"),
            count("queue_dropped") + count("early_dropped"),
            count("marked"),
            other.join(", ")
        );
    }
    out.push_str("</table></div>");
}

fn programs(out: &mut String, outcome: &Outcome) {
    if outcome.programs.is_empty() {
        return;
    }
    out.push_str("<h2>Programs</h2>");
    for program in &outcome.programs {
        let end = match (program.exit, &program.note) {
            (_, Some(note)) => note.clone(),
            (Some(code), None) => format!("exit code {code}"),
            (None, None) => "still running".into(),
        };
        let command = match program.argv.as_slice() {
            [shell, flag, line] if shell == "sh" && flag == "-c" => line.clone(),
            argv => argv.join(" "),
        };
        let _ = write!(
            out,
            "<p><b>{}</b> in {}, from {:.2} s for {:.2} s: {}</p>",
            escape(&program.name),
            escape(&program.host),
            program.started,
            program.seconds(),
            escape(&end)
        );
        let mut most = program.output.len().min(MOST_OUTPUT);
        while !program.output.is_char_boundary(most) {
            most -= 1;
        }
        let more = if most < program.output.len() { "\n\u{2026}" } else { "" };
        let _ = write!(
            out,
            "<details><summary>{}</summary><pre>{}{more}</pre></details>",
            escape(&command),
            escape(&program.output[..most])
        );
    }
}

fn events(out: &mut String, outcome: &Outcome) {
    if outcome.events.is_empty() {
        return;
    }
    out.push_str("<h2>Events</h2><table><tr><th>planned<th>done<th>what</tr>");
    for event in &outcome.events {
        let _ = write!(
            out,
            "<tr><td>{:.3} s<td>{:.3} s<td>{}{}</tr>",
            event.planned,
            event.done,
            escape(&event.what),
            match &event.error {
                None => String::new(),
                Some(error) => format!(" <span class=\"bad\">{}</span>", escape(error)),
            }
        );
    }
    out.push_str("</table>");
}
