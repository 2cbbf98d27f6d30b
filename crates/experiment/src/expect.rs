//! Judges what has come out by what was expected.

use serde::Serialize;
use serde_json::Value;

use crate::file::{Expectation, Must, Subject};
use crate::outcome::{Outcome, ProgramOutcome};

/// What has become of an expectation.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Verdict {
    /// What was expected, in words.
    pub expected: String,
    /// What came out, in words.
    pub found: String,
    /// Whether that is what was expected.
    pub holds: bool,
}

/// Judges an expectation.
#[must_use]
pub fn judge(expectation: &Expectation, outcome: &Outcome) -> Verdict {
    let Expectation { of, must } = expectation;
    let expected = format!("{} {}", name(of), demand(of, must));
    match value(of, outcome) {
        Ok(found) => {
            let holds = holds(must, &found);
            Verdict { expected: expected.trim_end().to_owned(), found: shown(&found), holds }
        }
        Err(why) => Verdict { expected: expected.trim_end().to_owned(), found: why, holds: false },
    }
}

/// A value that an expectation looks at.
enum Found {
    Number(f64),
    Text(String),
}

fn shown(found: &Found) -> String {
    match found {
        Found::Number(number) => format!("{number}"),
        Found::Text(text) => text.clone(),
    }
}

fn name(of: &Subject) -> String {
    match of {
        Subject::Exit(program) => format!("{program}: exit code"),
        Subject::Json(program, path) => format!("{program}: {path}"),
        Subject::Find(program, pattern) => format!("{program}: /{pattern}/"),
        Subject::Seconds(program) => format!("{program}: seconds"),
        Subject::Link([a, b], count) => format!("link {a} -> {b}: {count}"),
        Subject::Ping(hosts) if hosts.is_empty() => "pings answered of all hosts".into(),
        Subject::Ping(hosts) => format!("pings answered of {}", hosts.join(" ")),
        Subject::Fidelity => "fidelity".into(),
    }
}

fn demand(of: &Subject, must: &Must) -> String {
    let mut words = vec![];
    if let Some(text) = &must.equal {
        words.push(format!("is {text}"));
    }
    if let Some(least) = must.at_least {
        words.push(format!("at least {least}"));
    }
    if let Some(most) = must.at_most {
        words.push(format!("at most {most}"));
    }
    if words.is_empty() && matches!(of, Subject::Find(..)) {
        words.push("is found".into());
    }
    words.join(", ")
}

fn holds(must: &Must, found: &Found) -> bool {
    let number = match found {
        Found::Number(number) => Some(*number),
        Found::Text(text) => text.trim().parse().ok(),
    };
    let equal = must.equal.as_ref().is_none_or(|wanted| {
        let same = |number: f64| wanted.parse::<f64>().is_ok_and(|wanted| wanted == number);
        shown(found) == *wanted || number.is_some_and(same)
    });
    let least = must.at_least.is_none_or(|least| number.is_some_and(|number| number >= least));
    let most = must.at_most.is_none_or(|most| number.is_some_and(|number| number <= most));
    equal && least && most
}

fn value(of: &Subject, outcome: &Outcome) -> Result<Found, String> {
    let program = |name: &str| outcome.program(name).ok_or_else(|| format!("{name} was never started"));
    match of {
        Subject::Exit(name) => match program(name)?.exit {
            Some(code) => Ok(Found::Number(code.into())),
            None => Err("it had not ended".into()),
        },
        Subject::Json(name, path) => json(program(name)?, path),
        Subject::Find(name, pattern) => {
            let output = &program(name)?.output;
            let found = pattern.captures(output).ok_or("it is not found in what the program has written")?;
            let group = found.get(1).or_else(|| found.get(0)).map_or("", |group| group.as_str());
            Ok(Found::Text(group.to_owned()))
        }
        Subject::Seconds(name) => Ok(Found::Number(program(name)?.seconds())),
        Subject::Link(link, count) => {
            let way = outcome.way(link).ok_or("nothing was counted: the link has no settings")?;
            way.count(count)
                .map(|count| Found::Number(count as f64))
                .ok_or_else(|| "it is not counted".into())
        }
        Subject::Ping(hosts) => match outcome.pings_answered.get(&hosts.join(" ")) {
            Some(answered) => Ok(Found::Number(*answered as f64)),
            None => Err("nobody was pinged".into()),
        },
        Subject::Fidelity => {
            Ok(Found::Text(if outcome.fidelity.kept { "kept" } else { "not kept" }.to_owned()))
        }
    }
}

/// A value in JSON that a program has written: names and numbers of elements, joined by dots.
fn json(program: &ProgramOutcome, path: &str) -> Result<Found, String> {
    // What stands before the first brace is what the program said to people.
    let start = program.output.find(['{', '[']).ok_or("the program has written no JSON")?;
    let mut values = serde_json::Deserializer::from_str(&program.output[start..]).into_iter::<Value>();
    let whole = values.next().and_then(Result::ok).ok_or("what the program has written is no JSON")?;
    let mut at = &whole;
    for word in path.split('.') {
        let next = match word.parse::<usize>() {
            Ok(number) if at.is_array() => at.get(number),
            _ => at.get(word),
        };
        at = next.ok_or_else(|| format!("there is no {word:?} in its JSON"))?;
    }
    Ok(match at {
        Value::Number(number) => Found::Number(number.as_f64().unwrap_or(f64::NAN)),
        Value::String(text) => Found::Text(text.clone()),
        other => Found::Text(other.to_string()),
    })
}
