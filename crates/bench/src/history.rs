//! What benchmarks have said so far, as a page of charts: a line a case, by the run.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::{Context, Result};
use heddle_experiment::plot::{Series, chart, escape};
use serde_json::Value;

/// What is read and written.
#[derive(clap::Args)]
pub struct Options {
    /// Lines of JSON, one a run, as `scripts/bench` keeps them.
    history: PathBuf,
    /// The page.
    page: PathBuf,
}

/// Most lines in a chart.
const MOST_LINES: usize = 8;

/// Draws the page.
///
/// # Errors
/// If a file cannot be read or written. A line that is no run is left out.
pub fn run(options: &Options) -> Result<()> {
    let text =
        std::fs::read_to_string(&options.history).with_context(|| options.history.display().to_string())?;
    let runs: Vec<Value> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    std::fs::write(&options.page, page(&runs)).with_context(|| options.page.display().to_string())?;
    println!("{} runs: {}", runs.len(), options.page.display());
    Ok(())
}

/// Points by benchmark and unit, then by case: the number of the run, and its median.
type Charts = BTreeMap<(String, String), BTreeMap<String, Vec<(f64, f64)>>>;

fn page(runs: &[Value]) -> String {
    let mut charts = Charts::new();
    let mut commits: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for run in runs {
        let name = run["name"].as_str().unwrap_or("?").to_owned();
        let known = commits.entry(name.clone()).or_default();
        known.push(format!(
            "{} {}",
            run["time"].as_str().unwrap_or(""),
            run["commit"].as_str().unwrap_or("")
        ));
        gather(&mut charts, &name, known.len() as f64, "", &run["result"]);
    }
    let mut out = String::from(
        "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>Benchmarks</title><style>\
         body{font:15px/1.5 system-ui,sans-serif;max-width:900px;margin:2rem auto;padding:0 1rem}\
         svg{width:100%;height:auto}svg text{font:12px system-ui,sans-serif;fill:#667}.grid{stroke:#d5d9de}\
         .mark{stroke:#667}.legend span{margin-right:1rem}.legend i{display:inline-block;width:.8em;height:.8em;margin-right:.4em}\
         </style><h1>Benchmarks</h1><p>Medians by run. Machines are noisy: within a run ratios hold, between runs trends do.</p>",
    );
    for ((name, unit), cases) in charts {
        let _ = write!(out, "<h2>{}, {}</h2>", escape(&name), escape(&unit));
        let cases: Vec<Series> = cases.into_iter().map(|(name, points)| Series { name, points }).collect();
        let runs = commits.get(&name).map_or(1, Vec::len) as f64;
        for cases in cases.chunks(MOST_LINES) {
            out += &chart(&unit, "run", cases, &[], runs);
        }
        if let Some(last) = commits.get(&name).and_then(|commits| commits.last()) {
            let _ = write!(out, "<p>last run: {}</p>", escape(last));
        }
    }
    out.push_str("</html>\n");
    out
}

/// Finds the cases in a result, wherever they stand in it.
fn gather(charts: &mut Charts, benchmark: &str, run: f64, path: &str, value: &Value) {
    let Value::Object(fields) = value else { return };
    if let (Some(median), Some(unit)) = (value["median"].as_f64(), value["unit"].as_str()) {
        let chart = charts.entry((benchmark.to_owned(), unit.to_owned())).or_default();
        chart.entry(path.to_owned()).or_default().push((run, median));
        return;
    }
    for (name, inner) in fields {
        gather(charts, benchmark, run, name, inner);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cases_of_all_runs_are_drawn_by_unit() {
        let run = |median: f64| {
            serde_json::json!({ "name": "memory", "time": "t", "commit": "c", "result":
                { "memory": { "<one>": { "median": median, "unit": "ns" }, "two": { "median": 1, "unit": "us" } } } })
        };
        let page = page(&[run(1.0), run(2.0), Value::Null]);
        assert_eq!(page.matches("<svg").count(), 2, "{page}");
        assert!(page.contains("&lt;one&gt;") && !page.contains("<one>"));
    }
}
