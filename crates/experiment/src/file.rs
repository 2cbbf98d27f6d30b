//! Experiment files (YAML). Unknown keys are refused, because a misspelt key that is ignored costs an afternoon.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use heddle_lab::topology::{Link, MAX_FILE_SIZE, Scalar, Topology, TopologyFile, settings_text};
use regex::Regex;
use serde::de::{Deserializer, Error as _, MapAccess, Visitor, value::MapAccessDeserializer};
use serde::{Deserialize, Serialize};

use crate::schedule::Do;

/// Most programs of an experiment.
pub const MAX_PROGRAMS: usize = 1024;
/// Most events that a file may name.
pub const MAX_EVENTS: usize = 4096;
/// Most expectations.
pub const MAX_EXPECTATIONS: usize = 1024;
/// Most captures.
pub const MAX_CAPTURES: usize = 64;
/// The longest that an experiment may last.
pub const MAX_DURATION: Duration = Duration::from_secs(24 * 3600);
/// How long an experiment lasts at most that does not say.
pub const USUAL_DURATION: Duration = Duration::from_secs(60);
/// Most bytes of a pattern's compiled form.
const MAX_PATTERN: usize = 1 << 20;

/// A sentence that says what is wrong with an experiment, naming the object.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ExperimentError(pub String);

/// An experiment.
#[derive(Clone, Debug)]
pub struct Experiment {
    /// Its name, which the lab gets too.
    pub name: String,
    /// What it is for, in the writer's words.
    pub about: String,
    /// What it runs on.
    pub topology: Topology,
    /// Who programs the switches, as `--controller` has it.
    pub controller: Option<String>,
    /// The longest that it may last, counted from when the lab is up.
    pub duration: Duration,
    /// What runs in hosts.
    pub programs: Vec<Program>,
    /// What happens, in the order of the file.
    pub events: Vec<Event>,
    /// What is recorded of links.
    pub captures: Vec<Capture>,
    /// What is expected.
    pub expect: Vec<Expectation>,
}

/// A program that runs in a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// Its name in the experiment.
    pub name: String,
    /// The host.
    pub host: String,
    /// Program and arguments.
    pub argv: Vec<String>,
    /// When it is started.
    pub at: Duration,
    /// How long it may run.
    pub timeout: Option<Duration>,
    /// The experiment does not wait for it: it is ended once all else is done.
    pub service: bool,
}

/// Something that happens.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// When.
    pub at: Duration,
    /// What.
    pub what: What,
}

/// What happens.
#[derive(Clone, Debug, PartialEq)]
pub enum What {
    /// One thing, at once.
    Once(Do),
    /// The cable between two nodes goes out and in again.
    Flap {
        /// The nodes.
        link: [String; 2],
        /// How long it is out each time.
        down: Duration,
        /// How long it is in before the next time.
        up: Duration,
        /// How often.
        times: u32,
    },
}

/// What is recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capture {
    /// The nodes of the link.
    pub link: [String; 2],
    /// The file in the output directory.
    pub file: String,
}

/// What is expected.
#[derive(Clone, Debug)]
pub struct Expectation {
    /// What is looked at.
    pub of: Subject,
    /// What it must be.
    pub must: Must,
}

/// What an expectation looks at.
#[derive(Clone, Debug)]
pub enum Subject {
    /// The exit code of a program; 128 + N for one that signal N ended.
    Exit(String),
    /// A value in the JSON that a program has written: names and numbers, joined by dots.
    Json(String, String),
    /// What the first group of a pattern finds in what a program has written, or the pattern where it has no group.
    Find(String, Regex),
    /// How long a program ran, in seconds.
    Seconds(String),
    /// A counter of the link between two nodes, of what the first sent to the second.
    Link([String; 2], String),
    /// How many pings, of those between these hosts at the end, are answered.
    Ping(Vec<String>),
    /// Whether the machine kept up.
    Fidelity,
}

/// What a value must be; all that is said.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Must {
    /// This, as text.
    pub equal: Option<String>,
    /// A number not below.
    pub at_least: Option<f64>,
    /// A number not above.
    pub at_most: Option<f64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    name: Option<String>,
    #[serde(default)]
    about: String,
    topology: Option<Which>,
    controller: Option<String>,
    seed: Option<u64>,
    duration: Option<Span>,
    #[serde(default)]
    programs: Vec<FileProgram>,
    #[serde(default)]
    events: Vec<FileEvent>,
    #[serde(default)]
    captures: Vec<FileCapture>,
    #[serde(default)]
    expect: Vec<FileExpectation>,
}

/// A topology in the words of `--topo`, or written out.
enum Which {
    Spec(String),
    Inline(Box<TopologyFile>),
}

impl<'de> Deserialize<'de> for Which {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Which;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a topology: linear,2 or a mapping with hosts, switches and links")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Which, E> {
                Ok(Which::Spec(text.to_owned()))
            }

            fn visit_map<M: MapAccess<'de>>(self, map: M) -> Result<Which, M::Error> {
                let file = TopologyFile::deserialize(MapAccessDeserializer::new(map))?;
                Ok(Which::Inline(Box::new(file)))
            }
        }
        deserializer.deserialize_any(Either)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileProgram {
    name: Option<String>,
    host: String,
    run: Words,
    #[serde(default)]
    at: Span,
    timeout: Option<Span>,
    #[serde(default)]
    service: bool,
}

/// A command: a line for the host's shell, or program and arguments.
#[derive(Deserialize)]
#[serde(untagged, expecting = "a command is a line, or a list of program and arguments")]
enum Words {
    Line(String),
    List(Vec<String>),
}

impl Words {
    fn argv(self) -> Vec<String> {
        match self {
            Self::Line(line) => vec!["sh".into(), "-c".into(), line],
            Self::List(argv) => argv,
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileEvent {
    at: Span,
    link: Option<[String; 2]>,
    set: Option<Settings>,
    #[serde(default)]
    one_way: bool,
    up: Option<bool>,
    flap: Option<FileFlap>,
    run: Option<String>,
    stop: Option<String>,
    signal: Option<i32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileFlap {
    down: Span,
    up: Span,
    times: u32,
}

/// Settings of a link: in one line, or one by one.
#[derive(Deserialize)]
#[serde(untagged, expecting = "settings of a link are a mapping, or a line such as rate=10mbit,loss=1%")]
enum Settings {
    Line(String),
    Map(BTreeMap<String, Scalar>),
}

impl Settings {
    fn text(&self) -> String {
        match self {
            Self::Line(line) => line.clone(),
            Self::Map(map) => settings_text(map),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileCapture {
    link: [String; 2],
    file: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileExpectation {
    program: Option<String>,
    exit: Option<i32>,
    json: Option<String>,
    find: Option<String>,
    #[serde(default)]
    seconds: bool,
    link: Option<[String; 2]>,
    count: Option<String>,
    ping: Option<Vec<String>>,
    fidelity: Option<Kept>,
    is: Option<Scalar>,
    at_least: Option<f64>,
    at_most: Option<f64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kept {
    Kept,
}

/// A time: `5s`, `250ms`, `2m`, or a number of seconds.
#[derive(Clone, Copy, Default)]
struct Span(Duration);

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Scalar::deserialize(deserializer)?.to_string();
        span(&text).map(Self).ok_or_else(|| {
            D::Error::custom(format!("{text:?} is not a time such as 5s, 250ms or 2m, of at most a day"))
        })
    }
}

fn span(text: &str) -> Option<Duration> {
    let at = text.find(|letter: char| letter.is_ascii_alphabetic()).unwrap_or(text.len());
    let (number, unit) = text.split_at(at);
    let number: f64 = number.trim().parse().ok()?;
    let seconds = match unit {
        "us" => number / 1e6,
        "ms" => number / 1e3,
        "s" | "" => number,
        "m" | "min" => number * 60.0,
        "h" => number * 3600.0,
        _ => return None,
    };
    let span = Duration::try_from_secs_f64(seconds).ok()?;
    (span <= MAX_DURATION).then_some(span)
}

impl Experiment {
    /// Reads an experiment.
    ///
    /// # Errors
    /// A sentence that names the object, with the line where the file's form is wrong.
    pub fn from_yaml(text: &str) -> Result<Self, ExperimentError> {
        if text.len() > MAX_FILE_SIZE {
            return fail(format!(
                "the file has {} bytes, more than the {MAX_FILE_SIZE} that are read",
                text.len()
            ));
        }
        let file: File = serde_saphyr::from_str(text).map_err(|error| {
            let text = error.to_string();
            ExperimentError(text.replace(", set DuplicateKeyPolicy in Options if acceptable", ""))
        })?;
        let mut topology = match file.topology {
            None => return fail("the experiment has no topology: say topology: linear,2".into()),
            Some(Which::Spec(spec)) => Topology::from_spec(&spec),
            Some(Which::Inline(file)) => file.topology(),
        }
        .map_err(|error| ExperimentError(format!("topology: {error}")))?;
        if let Some(seed) = file.seed {
            topology.seed = seed;
        }
        bound(file.programs.len(), MAX_PROGRAMS, "programs")?;
        bound(file.events.len(), MAX_EVENTS, "events")?;
        bound(file.captures.len(), MAX_CAPTURES, "captures")?;
        bound(file.expect.len(), MAX_EXPECTATIONS, "expectations")?;
        let mut experiment = Self {
            name: file.name.or_else(|| topology.name.clone()).unwrap_or_else(|| "experiment".into()),
            about: file.about,
            topology,
            controller: file.controller,
            duration: file.duration.map_or(USUAL_DURATION, |span| span.0),
            programs: vec![],
            events: vec![],
            captures: vec![],
            expect: vec![],
        };
        for program in file.programs {
            experiment.add_program(program)?;
        }
        for event in file.events {
            let event = experiment.event(event)?;
            experiment.events.push(event);
        }
        for capture in file.captures {
            experiment.add_capture(capture)?;
        }
        for expectation in file.expect {
            let expectation = experiment.expectation(expectation)?;
            experiment.expect.push(expectation);
        }
        Ok(experiment)
    }

    fn add_program(&mut self, program: FileProgram) -> Result<(), ExperimentError> {
        let number = self.programs.len() + 1;
        let name = program.name.unwrap_or_else(|| format!("{}-{number}", program.host));
        check_file_name(&name, "the program")?;
        if self.programs.iter().any(|other| other.name == name) {
            return fail(format!("two programs are called {name}"));
        }
        if self.topology.host(&program.host).is_none() {
            return fail(format!("the program {name} is to run in {}, which is no host", program.host));
        }
        let argv = program.run.argv();
        if argv.first().is_none_or(String::is_empty) {
            return fail(format!("the program {name} has nothing to run"));
        }
        let timeout = program.timeout.map(|span| span.0);
        let (at, service) = (program.at.0, program.service);
        self.programs.push(Program { name, host: program.host, argv, at, timeout, service });
        Ok(())
    }

    fn check_link(&self, link: &[String; 2], of: &str) -> Result<(), ExperimentError> {
        if self.topology.links.iter().any(|known| joins(known, link)) {
            return Ok(());
        }
        let [a, b] = link;
        fail(format!("{of}: there is no link between {a} and {b}"))
    }

    fn check_program(&self, name: &str, of: &str) -> Result<(), ExperimentError> {
        if self.programs.iter().any(|program| program.name == name) {
            return Ok(());
        }
        fail(format!("{of}: there is no program called {name}"))
    }

    fn event(&self, event: FileEvent) -> Result<Event, ExperimentError> {
        let at = event.at.0;
        let of = format!("the event at {} s", at.as_secs_f64());
        if let Some(link) = &event.link {
            self.check_link(link, &of)?;
        }
        let what = match (event.link, event.set, event.up, event.flap, event.run, event.stop) {
            (Some(link), Some(set), None, None, None, None) => {
                let (settings, one_way) = (set.text(), event.one_way);
                // What the lab would refuse when the time has come is refused now.
                let known = self.topology.links.iter().find(|known| joins(known, &link));
                let mut profile = known.map(|known| known.a_to_b.clone()).unwrap_or_default();
                profile.apply(&settings).map_err(|error| ExperimentError(format!("{of}: {error}")))?;
                What::Once(Do::Set { link, settings, one_way })
            }
            (Some(link), None, Some(up), None, None, None) => What::Once(Do::Cable { link, up }),
            (Some(link), None, None, Some(flap), None, None) => {
                let whole = (flap.down.0 + flap.up.0).saturating_mul(flap.times);
                if flap.times == 0 || whole > MAX_DURATION || flap.times as usize > MAX_EVENTS {
                    return fail(format!("{of}: a link flaps 1 to {MAX_EVENTS} times, for at most a day"));
                }
                What::Flap { link, down: flap.down.0, up: flap.up.0, times: flap.times }
            }
            (None, None, None, None, Some(line), None) => What::Once(Do::Run(line)),
            (None, None, None, None, None, Some(program)) => {
                self.check_program(&program, &of)?;
                What::Once(Do::Signal { program, signal: event.signal.unwrap_or(15) })
            }
            _ => {
                return fail(format!(
                    "{of} says one thing: link with set, up or flap; or run: COMMAND; or stop: PROGRAM"
                ));
            }
        };
        if matches!(what, What::Once(Do::Signal { signal, .. }) if !(1..=64).contains(&signal)) {
            return fail(format!("{of}: a signal is a number from 1 to 64"));
        }
        Ok(Event { at, what })
    }

    fn add_capture(&mut self, capture: FileCapture) -> Result<(), ExperimentError> {
        let [a, b] = &capture.link;
        self.check_link(&capture.link, "a capture")?;
        let file = capture.file.unwrap_or_else(|| format!("{a}-{b}.pcapng"));
        check_file_name(&file, "the capture")?;
        if self.captures.iter().any(|other| other.file == file) {
            return fail(format!("two captures go to {file}"));
        }
        self.captures.push(Capture { link: capture.link, file });
        Ok(())
    }

    fn expectation(&self, given: FileExpectation) -> Result<Expectation, ExperimentError> {
        let number = self.expect.len() + 1;
        let of = format!("expectation {number}");
        if let Some(program) = &given.program {
            self.check_program(program, &of)?;
        }
        if let Some(link) = &given.link {
            self.check_link(link, &of)?;
        }
        let mut must = Must {
            equal: given.is.map(|value| value.to_string()),
            at_least: given.at_least,
            at_most: given.at_most,
        };
        let subject = match (given.program, given.link, given.ping, given.fidelity) {
            (Some(program), None, None, None) => match (given.exit, given.json, given.find, given.seconds) {
                (Some(code), None, None, false) => {
                    must.equal = Some(code.to_string());
                    Subject::Exit(program)
                }
                (None, Some(path), None, false) => Subject::Json(program, path),
                (None, None, Some(pattern), false) => {
                    let built = regex::RegexBuilder::new(&pattern).size_limit(MAX_PATTERN).build();
                    Subject::Find(program, built.map_err(|error| ExperimentError(format!("{of}: {error}")))?)
                }
                (None, None, None, true) => Subject::Seconds(program),
                _ => return fail(format!("{of}: of a program one of exit, json, find, seconds is expected")),
            },
            (None, Some(link), None, None) => {
                let count = given.count.unwrap_or_else(|| "delivered".into());
                let packets = count.strip_suffix("_bytes").unwrap_or(&count);
                if !crate::outcome::COUNTERS.contains(&packets) {
                    let known = crate::outcome::COUNTERS.join(", ");
                    return fail(format!("{of}: a link counts no {count:?}; there are {known}"));
                }
                Subject::Link(link, count)
            }
            (None, None, Some(hosts), None) => {
                if let Some(unknown) = hosts.iter().find(|name| self.topology.host(name).is_none()) {
                    return fail(format!("{of}: {unknown} is no host"));
                }
                if must == Must::default() {
                    let all = if hosts.is_empty() { self.topology.hosts.len() } else { hosts.len() } as f64;
                    must.at_least = Some(all * (all - 1.0));
                }
                Subject::Ping(hosts)
            }
            (None, None, None, Some(Kept::Kept)) => {
                must.equal = Some("kept".into());
                Subject::Fidelity
            }
            _ => return fail(format!("{of} is about one of program, link, ping, fidelity")),
        };
        let found = matches!(subject, Subject::Find(..));
        if must == Must::default() && !found {
            return fail(format!("{of} says nothing: give it is, at_least or at_most"));
        }
        if must.at_least.is_some_and(f64::is_nan) || must.at_most.is_some_and(f64::is_nan) {
            return fail(format!("{of}: a bound is a number"));
        }
        Ok(Expectation { of: subject, must })
    }
}

impl Serialize for Experiment {
    /// As the report shows it: what it was, not how it was written.
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct;
        let mut out = serializer.serialize_struct("Experiment", 5)?;
        out.serialize_field("name", &self.name)?;
        out.serialize_field("about", &self.about)?;
        out.serialize_field("seed", &self.topology.seed)?;
        out.serialize_field("duration_s", &self.duration.as_secs_f64())?;
        out.serialize_field("topology", &self.topology)?;
        out.end()
    }
}

/// Whether a link joins two nodes.
fn joins(link: &Link, [a, b]: &[String; 2]) -> bool {
    let (near, far) = (&link.a.node, &link.b.node);
    near == a && far == b || near == b && far == a
}

/// Refuses a name that would not do as a file's.
fn check_file_name(name: &str, what: &str) -> Result<(), ExperimentError> {
    let fine = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
    if name.is_empty() || name.len() > 100 || name.starts_with('.') || !name.chars().all(fine) {
        return fail(format!(
            "{what} cannot be called {name:?}: 1 to 100 letters, digits, - _ and . that does not begin with ."
        ));
    }
    Ok(())
}

fn bound(count: usize, most: usize, what: &str) -> Result<(), ExperimentError> {
    if count > most {
        return fail(format!("{count} {what} are more than the {most} that an experiment may have"));
    }
    Ok(())
}

fn fail<T>(message: String) -> Result<T, ExperimentError> {
    Err(ExperimentError(message))
}
