//! Has an experiment happen on a lab that is up, and records what comes of it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, PipeReader, Read, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use heddle_lab::client::{Capturing, Lab, LabError, Signaller};
use heddle_lab::protocol::LinkReport;
use heddle_lab::supervisor::counted;

use crate::expect::judge;
use crate::file::{Experiment, Program, Subject};
use crate::outcome::{Fidelity, Happened, Outcome, ProgramOutcome, Sample, WayOutcome};
use crate::schedule::{Do, Step, steps};

/// How often links are looked at.
const SAMPLE_EVERY: Duration = Duration::from_millis(200);
/// Most samples of a link: a longer experiment keeps every second one, and so on.
const MOST_SAMPLES: usize = 2048;
/// Most bytes of a program's output that are written to its file; what follows is read and forgotten.
const MOST_WRITTEN: u64 = 64 << 20;
/// Most bytes of a program's output that expectations see.
const MOST_KEPT: usize = 4 << 20;
/// Time for a program to end that is asked to, before it is made to.
const GRACE: Duration = Duration::from_secs(2);
/// Milliseconds between two looks at what runs.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Why an experiment could not be run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The lab is gone, or refuses.
    #[error(transparent)]
    Lab(#[from] LabError),
    /// A file of the output directory cannot be written.
    #[error("{path}: {source}")]
    Output {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
}

/// A program's end.
struct Ended {
    place: usize,
    at: Instant,
    exit: Result<i32, String>,
    output: Vec<u8>,
}

/// A program that runs.
struct Running {
    signaller: Signaller,
    timeout: Option<Instant>,
    /// When it was asked to end.
    asked: Option<Instant>,
}

struct Run<'a> {
    experiment: &'a Experiment,
    lab: &'a Lab,
    output: &'a Path,
    begun: Instant,
    running: BTreeMap<usize, Running>,
    outcome: Outcome,
    ended: (Sender<Ended>, Receiver<Ended>),
    threads: Vec<JoinHandle<()>>,
    next_sample: Instant,
    sample_every: Duration,
    progress: &'a mut dyn FnMut(&str),
}

/// Has `experiment` happen on `lab`, which runs what it says; what programs write goes to files in `output`. `progress` is told
/// what happens, line by line.
///
/// # Errors
/// If a file cannot be written, or the lab is gone. That a program cannot be run is part of the outcome.
pub fn run(
    experiment: &Experiment,
    lab: &Lab,
    output: &Path,
    progress: &mut dyn FnMut(&str),
) -> Result<Outcome, RunError> {
    let topology = &experiment.topology;
    let words = [
        counted(topology.hosts.len(), "host", "hosts"),
        counted(topology.switches.len(), "switch", "switches"),
        counted(topology.links.len(), "link", "links"),
    ];
    let outcome = Outcome {
        name: experiment.name.clone(),
        about: experiment.about.clone(),
        seed: topology.seed,
        began: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()),
        topology: words.join(", "),
        ..Outcome::default()
    };
    let captures = start_captures(experiment, lab, output)?;
    let mut run = Run {
        experiment,
        lab,
        output,
        begun: Instant::now(),
        running: BTreeMap::new(),
        outcome,
        ended: channel(),
        threads: vec![],
        next_sample: Instant::now(),
        sample_every: SAMPLE_EVERY,
        progress,
    };
    run.happen()?;
    run.ping()?;
    run.end_all();
    run.sample()?;
    drop(captures);
    let mut outcome = run.outcome;
    outcome.seconds = run.begun.elapsed().as_secs_f64();
    outcome.fidelity = fidelity(lab)?;
    outcome.verdicts = experiment.expect.iter().map(|expectation| judge(expectation, &outcome)).collect();
    Ok(outcome)
}

fn start_captures(experiment: &Experiment, lab: &Lab, output: &Path) -> Result<Vec<Capturing>, RunError> {
    let start = |capture: &crate::file::Capture| {
        let path = output.join(&capture.file);
        let file = File::create(&path).map_err(|source| RunError::Output { path, source })?;
        let [a, b] = &capture.link;
        Ok(lab.capture(&lab.interface(a, b)?, file.as_fd())?)
    };
    experiment.captures.iter().map(start).collect()
}

fn fidelity(lab: &Lab) -> Result<Fidelity, RunError> {
    let verdict = lab.fidelity()?;
    Ok(Fidelity { kept: verdict.kept, judged: verdict.judged, complaints: verdict.complaints })
}

impl Run<'_> {
    /// Does the steps in their time, and waits for programs, until all is done or the time is up.
    fn happen(&mut self) -> Result<(), RunError> {
        let starts = self.experiment.programs.iter().map(|program| program.at);
        let mut left = steps(starts, &self.experiment.events).into_iter().peekable();
        let end = self.begun + self.experiment.duration;
        loop {
            while let Some(step) = left.next_if(|step| self.begun + step.at <= Instant::now()) {
                self.step(step)?;
            }
            let now = Instant::now();
            if now >= end {
                let unfinished = self.unfinished();
                if unfinished != 0 || left.peek().is_some() {
                    let seconds = self.experiment.duration.as_secs_f64();
                    self.outcome.warnings.push(format!(
                        "after {seconds} s, the longest that was allowed, {} had not ended",
                        counted(unfinished, "program", "programs")
                    ));
                }
                return Ok(());
            }
            if left.peek().is_none() && self.unfinished() == 0 {
                return Ok(());
            }
            if now >= self.next_sample {
                self.sample()?;
            }
            self.enforce_timeouts(now);
            let next_step = left.peek().map_or(end, |step| self.begun + step.at);
            let until = next_step.min(self.next_sample).min(end).min(now + LOOK_EVERY);
            self.wait(until.saturating_duration_since(now));
        }
    }

    /// How many programs run that are waited for.
    fn unfinished(&self) -> usize {
        self.running.keys().filter(|place| !self.experiment.programs[**place].service).count()
    }

    fn now(&self) -> f64 {
        self.begun.elapsed().as_secs_f64()
    }

    /// Tells who watches.
    fn say(&mut self, what: &str) {
        let line = format!("{:8.3} s  {what}", self.now());
        (self.progress)(&line);
    }

    fn step(&mut self, step: Step) -> Result<(), RunError> {
        let names: Vec<String> =
            self.experiment.programs.iter().map(|program| program.name.clone()).collect();
        let what = step.what.describe(&names);
        self.say(&what);
        let is_start = matches!(step.what, Do::Start(_));
        let done = match step.what {
            Do::Start(place) => self.start(place)?,
            Do::Set { link: [a, b], settings, one_way } => {
                self.lab.shape(&a, &b, &settings, one_way).map_err(|error| error.to_string())
            }
            Do::Cable { link: [a, b], up } => {
                self.lab.set_link(&a, &b, up).map_err(|error| error.to_string())
            }
            Do::Run(line) => {
                self.start_command(line);
                Ok(())
            }
            Do::Signal { program, signal } => self.signal(&program, signal),
        };
        let error = done.err();
        if let Some(error) = &error {
            self.say(error);
            self.outcome.warnings.push(format!("{what}: {error}"));
        }
        if !is_start {
            let (planned, done) = (step.at.as_secs_f64(), self.now());
            self.outcome.events.push(Happened { planned, done, what, error });
        }
        Ok(())
    }

    /// Runs a command on the machine, beside what else happens.
    fn start_command(&mut self, line: String) {
        let directory = self.lab.run_directory().to_owned();
        let log = self.output.join("events.log");
        self.threads.push(std::thread::spawn(move || {
            let mut command = Command::new("sh");
            command.args(["-c", &line]).env("OVS_RUNDIR", directory).stdin(Stdio::null());
            let said = match command.output() {
                Ok(output) => {
                    let mut said = output.stdout;
                    said.extend(output.stderr);
                    let end =
                        if output.status.success() { String::new() } else { format!("{}\n", output.status) };
                    [format!("$ {line}\n").into_bytes(), said, end.into_bytes()].concat()
                }
                Err(error) => format!("$ {line}\n{error}\n").into_bytes(),
            };
            let file = File::options().create(true).append(true).open(log);
            // What the machine's shell said is for people; the experiment does not hang on it.
            let _ = file.and_then(|mut file| file.write_all(&said));
        }));
    }

    /// Starts a program. That it cannot be run is noted; that its output has no place is an error of the whole.
    fn start(&mut self, place: usize) -> Result<Result<(), String>, RunError> {
        let Program { name, host, argv, timeout, .. } = &self.experiment.programs[place];
        let started = self.now();
        self.outcome.programs.push(ProgramOutcome {
            name: name.clone(),
            host: host.clone(),
            argv: argv.clone(),
            started,
            ..ProgramOutcome::default()
        });
        let path = self.output.join(format!("{name}.out"));
        let file = File::create(&path).map_err(|source| RunError::Output { path, source })?;
        let path = self.output.join(format!("{name}.err"));
        let errors = File::create(&path).map_err(|source| RunError::Output { path, source })?;
        let begun = (|| {
            let nothing = File::open("/dev/null").map_err(LabError::from)?;
            let ((reader, writer), (error_reader, error_writer)) =
                (io::pipe().map_err(LabError::from)?, io::pipe().map_err(LabError::from)?);
            let running =
                self.lab.exec(host, argv, [nothing.as_fd(), writer.as_fd(), error_writer.as_fd()])?;
            let signaller = running.signaller()?;
            Ok::<_, LabError>((running, signaller, reader, error_reader))
        })();
        let (running, signaller, reader, error_reader) = match begun {
            Ok(begun) => begun,
            Err(error) => {
                self.note(place, Err(error.to_string()), Instant::now(), &[]);
                return Ok(Err(error.to_string()));
            }
        };
        let timeout = timeout.map(|timeout| Instant::now() + timeout);
        self.running.insert(place, Running { signaller, timeout, asked: None });
        let sender = self.ended.0.clone();
        let beside = std::thread::spawn(move || keep(error_reader, errors));
        self.threads.push(std::thread::spawn(move || {
            let reading = std::thread::spawn(move || keep(reader, file));
            let exit = running.wait().map_err(|error| error.to_string());
            let at = Instant::now();
            let output = reading.join().unwrap_or_default();
            let _ = beside.join();
            let _ = sender.send(Ended { place, at, exit, output });
        }));
        Ok(Ok(()))
    }

    fn signal(&mut self, program: &str, signal: i32) -> Result<(), String> {
        let place = self.experiment.programs.iter().position(|known| known.name == program);
        let running = place.and_then(|place| self.running.get_mut(&place));
        let running = running.ok_or_else(|| format!("{program} does not run"))?;
        running.signaller.send(signal).map_err(|error| error.to_string())
    }

    /// Asks programs to end whose time is up, and makes those that were asked and did not.
    fn enforce_timeouts(&mut self, now: Instant) {
        for running in self.running.values_mut() {
            if running.asked.is_some_and(|asked| now >= asked + GRACE) {
                let _ = running.signaller.send(9);
            } else if running.asked.is_none() && running.timeout.is_some_and(|timeout| now >= timeout) {
                running.asked = Some(now);
                let _ = running.signaller.send(15);
            }
        }
    }

    /// Waits for programs' ends, for so long at most.
    fn wait(&mut self, most: Duration) {
        let mut most = most;
        loop {
            match self.ended.1.recv_timeout(most) {
                Ok(Ended { place, at, exit, output }) => {
                    self.note(place, exit, at, &output);
                    most = Duration::ZERO;
                }
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// Notes how a program ended.
    fn note(&mut self, place: usize, exit: Result<i32, String>, at: Instant, output: &[u8]) {
        let running = self.running.remove(&place);
        let name = &self.experiment.programs[place].name;
        let Some(known) = self.outcome.programs.iter_mut().find(|known| known.name == *name) else { return };
        known.ended = Some(at.saturating_duration_since(self.begun).as_secs_f64());
        known.output = String::from_utf8_lossy(output).into_owned();
        let said = match exit {
            Ok(code) => {
                known.exit = Some(code);
                if running.is_some_and(|running| running.asked.is_some()) {
                    known.note = Some(format!("its time was up; exit code {code}"));
                }
                format!("{name} ended with code {code}")
            }
            Err(why) => {
                let said = format!("{name} could not be run: {why}");
                known.note = Some(why);
                said
            }
        };
        self.say(&said);
    }

    /// Ends what still runs.
    fn end_all(&mut self) {
        let now = Instant::now();
        for running in self.running.values_mut() {
            running.asked.get_or_insert(now);
            let _ = running.signaller.send(15);
        }
        // Twice the grace: for those that end when asked, and for those that are made to.
        while !self.running.is_empty() && now.elapsed() < 2 * GRACE {
            self.enforce_timeouts(Instant::now());
            self.wait(LOOK_EVERY);
        }
        let left: Vec<usize> = self.running.keys().copied().collect();
        for place in left {
            self.note(place, Err("it does not end".into()), Instant::now(), &[]);
        }
    }

    /// Counts the pings that are expected to be answered.
    fn ping(&mut self) -> Result<(), RunError> {
        let wanted = self.experiment.expect.iter().filter_map(|expectation| match &expectation.of {
            Subject::Ping(hosts) => Some(hosts),
            _ => None,
        });
        for hosts in wanted {
            let names = hosts.join(" ");
            self.say(&format!("ping {names}"));
            let answers = self.lab.ping(hosts, hosts, false, 1)?;
            let answered = answers.iter().filter(|pinged| pinged.answered).count();
            self.outcome.pings_answered.insert(names, answered);
        }
        Ok(())
    }

    /// Looks at the links.
    fn sample(&mut self) -> Result<(), RunError> {
        let at = self.now();
        for report in self.lab.links()? {
            self.note_link(&report, at);
        }
        if self.outcome.ways.iter().any(|way| way.samples.len() >= MOST_SAMPLES) {
            self.sample_every *= 2;
            for way in &mut self.outcome.ways {
                let mut number = 0;
                way.samples.retain(|_| {
                    number += 1;
                    number % 2 == 1
                });
            }
        }
        self.next_sample = Instant::now() + self.sample_every;
        Ok(())
    }

    fn note_link(&mut self, report: &LinkReport, at: f64) {
        let ends = [(&report.a, &report.b, &report.a_to_b), (&report.b, &report.a, &report.b_to_a)];
        for (from, to, way) in ends {
            let Some(statistics) = &way.statistics else { continue };
            let same = |known: &&mut WayOutcome| known.from == from.node && known.to == to.node;
            let known = match self.outcome.ways.iter_mut().find(same) {
                Some(known) => known,
                None => {
                    let (from, to) = (from.node.clone(), to.node.clone());
                    self.outcome.ways.push(WayOutcome { from, to, ..WayOutcome::default() });
                    let Some(last) = self.outcome.ways.last_mut() else { continue };
                    last
                }
            };
            known.settings = way.profile.to_string();
            known.counts = crate::outcome::counts(statistics);
            let count = |name: &str| known.counts.get(name).copied().unwrap_or(0);
            known.samples.push(Sample {
                at,
                delivered_bytes: count("delivered_bytes"),
                gone: ["lost", "queue_dropped", "early_dropped", "no_buffer"].into_iter().map(count).sum(),
                backlog: count("backlog"),
            });
        }
    }
}

/// Writes what a program says to a file, as far as that may grow, and keeps the beginning.
fn keep(mut from: PipeReader, mut to: File) -> Vec<u8> {
    let mut kept = Vec::new();
    let mut room = MOST_WRITTEN;
    let mut part = vec![0; 64 << 10];
    loop {
        let size = match from.read(&mut part) {
            Ok(0) => return kept,
            Ok(size) => size,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) => return kept,
        };
        let written = size.min(usize::try_from(room).unwrap_or(usize::MAX));
        room -= written as u64;
        // A full disk costs the file's rest and not the experiment.
        if to.write_all(&part[..written]).is_err() {
            room = 0;
        }
        let fits = size.min(MOST_KEPT - kept.len());
        kept.extend_from_slice(&part[..fits]);
    }
}
