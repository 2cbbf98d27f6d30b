//! The lab's shell: reads lines, from a terminal or from a pipe, and does what they say.

use std::cell::RefCell;
use std::fs::File;
use std::io::{BufRead, IsTerminal};
use std::os::unix::process::ExitStatusExt;
use std::process::Command as Process;
use std::rc::Rc;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use heddle_lab::client::Lab;
use heddle_lab::protocol::Changed;
use heddle_lab::shell::{Command, parse, show_changed, show_info, show_links, show_ping_results, show_pings};
use heddle_lab::topology::Topology;
use rustyline::error::ReadlineError;

use crate::output::{show, show_line};
use crate::terminal;

/// Files within files that `source` may name.
const MAX_SOURCES: usize = 16;

/// A shell on a lab.
pub struct Shell<'a> {
    lab: &'a Lab,
    /// As it was when last asked, and its version.
    topology: RefCell<(u64, Rc<Topology>)>,
}

/// Whether to go on.
#[derive(PartialEq, Eq)]
enum Next {
    Line,
    Exit,
}

impl<'a> Shell<'a> {
    /// A shell on this lab.
    pub fn new(lab: &'a Lab) -> Result<Self> {
        let (version, topology) = lab.topology(None)?.context("the lab has no topology")?;
        Ok(Self { lab, topology: RefCell::new((version, Rc::new(topology))) })
    }

    /// What the lab consists of now; others may have changed it.
    fn topology(&self) -> Rc<Topology> {
        let mut known = self.topology.borrow_mut();
        // A lab that is gone is said to be by what the line asks of it.
        if let Ok(Some((version, topology))) = self.lab.topology(Some(known.0)) {
            *known = (version, Rc::new(topology));
        }
        known.1.clone()
    }

    /// The same; at a terminal, an interrupt gives up a lab that does not answer, and what was known of it serves.
    fn topology_for_a_line(&self) -> Rc<Topology> {
        if !std::io::stdin().is_terminal() {
            return self.topology();
        }
        let question = terminal::Foreground::Question(self.lab.interrupter());
        terminal::while_running(question, || self.topology())
    }

    /// Runs lines until they end or say so.
    pub fn run(&self) -> Result<()> {
        if std::io::stdin().is_terminal() {
            return self.converse();
        }
        for line in std::io::stdin().lock().lines() {
            if self.line(&line?, 0) == Next::Exit {
                break;
            }
        }
        Ok(())
    }

    fn converse(&self) -> Result<()> {
        terminal::keep_interrupts();
        let mut editor: rustyline::Editor<Names, _> = rustyline::Editor::new()?;
        loop {
            editor.set_helper(Some(Names::new(&self.topology_for_a_line())));
            match editor.readline("heddle> ") {
                Ok(line) => {
                    terminal::keep_interrupts();
                    let _ = editor.add_history_entry(line.as_str());
                    // Several lines come at once when they are pasted.
                    for line in line.lines() {
                        if self.line(line, 0) == Next::Exit {
                            return Ok(());
                        }
                        if terminal::interrupted() {
                            break;
                        }
                    }
                }
                Err(ReadlineError::Interrupted) => {}
                Err(ReadlineError::Eof) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Does what a line says; what fails is shown, and the shell goes on.
    fn line(&self, line: &str, depth: usize) -> Next {
        match self.command(parse(line, &self.topology_for_a_line()), depth) {
            Ok(next) => next,
            Err(error) => {
                eprintln!("*** {error:#}");
                Next::Line
            }
        }
    }

    fn command(&self, command: Command, depth: usize) -> Result<Next> {
        // At a terminal, an interrupt is for what runs; a script is ended by it, and its lab with it.
        let interactive = std::io::stdin().is_terminal();
        let foreground = match command {
            _ if !interactive => return self.run_command(command, depth),
            Command::Exit => return Ok(Next::Exit),
            // These run others, or see to the keyboard themselves.
            Command::Run { .. } | Command::Source(_) | Command::Time(_) => {
                return self.run_command(command, depth);
            }
            Command::Shell(_) => terminal::Foreground::Child,
            _ => terminal::Foreground::Question(self.lab.interrupter()),
        };
        let outcome = terminal::while_running(foreground, || self.run_command(command, depth));
        if terminal::interrupted() {
            bail!("interrupted");
        }
        outcome
    }

    fn run_command(&self, command: Command, depth: usize) -> Result<Next> {
        match command {
            Command::Nothing => {}
            Command::Exit => return Ok(Next::Exit),
            Command::Print(text) => show(text),
            Command::Wrong(why) => bail!(why),
            Command::Links => show(show_links(&self.lab.info()?)),
            Command::Status => show(show_info(&self.lab.info()?)),
            Command::PingAll { timeout } => drop(self.ping_all(&[], false, timeout)?),
            Command::PingPair(pair) => drop(self.ping_all(&pair, false, 1)?),
            Command::Iperf(pair) => self.iperf(&pair)?,
            Command::Link { a, b, up } => self.lab.set_link(&a, &b, up)?,
            Command::Add(additions) => show_change(&self.lab.add(additions)?, "added"),
            Command::Remove(removals) => show_change(&self.lab.remove(removals)?, "removed"),
            Command::Shape { a, b, settings, one_way } => self.lab.shape(&a, &b, &settings, one_way)?,
            Command::Shell(line) => {
                let mut process = Process::new("sh");
                process.args(["-c", &line]).env("OVS_RUNDIR", self.lab.run_directory());
                let status = process.status().context("sh")?;
                // A shell says so by the signal or by its exit code.
                let by_interrupt = status.signal() == Some(nix::libc::SIGINT)
                    || status.code() == Some(128 + nix::libc::SIGINT);
                if by_interrupt && std::io::stdin().is_terminal() {
                    terminal::await_interrupt();
                }
            }
            Command::Source(path) => return self.source(&path, depth),
            Command::Time(command) => {
                let begun = Instant::now();
                let next = self.command(*command, depth)?;
                show_line(format!("*** Elapsed time: {:.6} secs", begun.elapsed().as_secs_f64()));
                return Ok(next);
            }
            Command::Run { host, line } => {
                let code = terminal::exec(self.lab, &host, &["sh".into(), "-c".into(), line])?;
                if code != 0 && std::io::stdin().is_terminal() {
                    eprintln!("*** exit code {code}");
                }
            }
        }
        Ok(Next::Line)
    }

    fn source(&self, path: &str, depth: usize) -> Result<Next> {
        if depth >= MAX_SOURCES {
            bail!("{path}: files that name each other, or more than {MAX_SOURCES} deep");
        }
        let file = File::open(path).with_context(|| path.to_owned())?;
        for line in std::io::BufReader::new(file).lines() {
            if self.line(&line.with_context(|| path.to_owned())?, depth + 1) == Next::Exit {
                return Ok(Next::Exit);
            }
            if terminal::interrupted() {
                break;
            }
        }
        Ok(Next::Line)
    }

    /// Pings between hosts, shows the outcome, and says whether all answered.
    pub fn ping_all(&self, hosts: &[String], ipv6: bool, timeout: u32) -> Result<bool> {
        show_line("*** Ping: testing ping reachability");
        let topology = self.topology();
        let all = topology.hosts.iter().map(|host| host.name.clone());
        let from: Vec<String> = if hosts.is_empty() { all.collect() } else { hosts.to_vec() };
        let (mut sent, mut received) = (0, 0);
        for host in from {
            let results = self.lab.ping(std::slice::from_ref(&host), hosts, ipv6, timeout)?;
            show(show_pings(&host, &results));
            if terminal::interrupted() {
                break;
            }
            sent += results.len();
            received += results.iter().filter(|result| result.answered).count();
        }
        show(show_ping_results(sent, received));
        Ok(sent == received)
    }

    /// Measures TCP throughput and shows it.
    pub fn iperf(&self, [client, server]: &[String; 2]) -> Result<()> {
        show_line(format!("*** Iperf: testing TCP bandwidth between {client} and {server}"));
        let rate = self.lab.iperf(client, server, 5)?;
        let gigabits = |bits: f64| format!("{:.2} Gbits/sec", bits / 1e9);
        show_line(format!("*** Results: ['{}', '{}']", gigabits(rate.received), gigabits(rate.sent)));
        Ok(())
    }

    /// The first host and the last.
    pub fn ends(&self) -> Result<[String; 2]> {
        match self.topology().hosts.as_slice() {
            [first, .., last] => Ok([first.name.clone(), last.name.clone()]),
            _ => bail!("the lab has fewer than two hosts"),
        }
    }
}

/// Shows what a change made.
pub fn show_change(changed: &Changed, verb: &str) {
    show(show_changed(changed, verb));
    if let Some(warning) = &changed.warning {
        eprintln!("*** warning: {warning}");
    }
}

/// Completes words by the names of hosts and switches and the shell's own words.
#[derive(rustyline::Helper, rustyline::Hinter, rustyline::Highlighter, rustyline::Validator)]
struct Names(Vec<String>);

impl Names {
    fn new(topology: &Topology) -> Self {
        let words = heddle_lab::shell::WORDS.iter().map(|word| (*word).to_owned());
        let hosts = topology.hosts.iter().map(|host| host.name.clone());
        let switches = topology.switches.iter().map(|switch| switch.name.clone());
        Self(words.chain(hosts).chain(switches).collect())
    }
}

impl rustyline::completion::Completer for Names {
    type Candidate = String;

    fn complete(
        &self,
        line: &str,
        at: usize,
        _: &rustyline::Context<'_>,
    ) -> rustyline::Result<(usize, Vec<String>)> {
        let start = line[..at].rfind(' ').map_or(0, |space| space + 1);
        let fits = |name: &&String| name.starts_with(&line[start..at]);
        Ok((start, self.0.iter().filter(fits).cloned().collect()))
    }
}
