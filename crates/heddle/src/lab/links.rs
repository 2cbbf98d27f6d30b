//! Links of labs: what packets meet on them, captures of what passes, pictures, and the verdict at the end of a run.

use std::io::IsTerminal;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use heddle_lab::client::Lab;
use heddle_lab::supervisor::counted;
use heddle_lab::topology::Profile;
use heddle_link::{LineStatistics, ProfileError};

use super::{Which, attach, topology};
use crate::output::{show, show_line};
use crate::terminal;

/// Most lines about what did not keep up.
const MOST_COMPLAINTS: usize = 10;

/// What `heddle lab link` takes.
#[derive(Args)]
#[command(after_help = "Examples:\n  \
    heddle lab link h1 s1 rate=10mbit delay=5ms loss=1%\n  \
    heddle lab link s1 s2 loss=0 --one-way                what else is set stays\n  \
    heddle lab link s1 s2 perfect\n  \
    heddle lab link s1 s2 down")]
pub struct Change {
    /// The lab's name; may be left out where only one runs.
    #[arg(long)]
    lab: Option<String>,
    /// One node.
    a: String,
    /// The other.
    b: String,
    /// up, down, or settings: what is not named stays.
    #[arg(required = true)]
    settings: Vec<String>,
    /// Only on the way from the first node to the second.
    #[arg(long)]
    one_way: bool,
}

/// What `heddle lab graph` takes.
#[derive(Args)]
#[command(after_help = "Examples:\n  \
    heddle lab graph --topo torus,4,4 -o torus.svg\n  \
    heddle lab graph examples/campus.yaml | display\n  \
    heddle lab graph --lab campus --format dot | dot -Tpng -o campus.png")]
pub struct Graph {
    /// A topology file (YAML).
    #[arg(value_name = "FILE", conflicts_with_all = ["topo", "lab"])]
    file: Option<PathBuf>,
    /// A topology, as for `heddle lab`.
    #[arg(long, value_name = "TOPOLOGY", conflicts_with = "lab")]
    topo: Option<String>,
    /// A running lab; the one that runs, where nothing else is named.
    #[arg(long)]
    lab: Option<String>,
    /// How it is drawn; by the output's name where nothing is said, else as SVG.
    #[arg(long, value_enum)]
    format: Option<Picture>,
    /// The file to write; standard output where nothing is said.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Picture {
    /// For browsers and documents.
    Svg,
    /// For Graphviz.
    Dot,
}

/// What `heddle lab capture` takes.
#[derive(Args)]
#[command(after_help = "Examples:\n  \
    heddle lab capture h1-eth0 -w h1.pcapng\n  \
    heddle lab capture s1 s2 --seconds 10 -w uplink.pcapng     s1's end of the link to s2\n  \
    heddle lab capture h1 s1 | tcpdump -n -r -\n  \
    heddle lab capture h1 s1 | wireshark -k -i -")]
pub struct Capture {
    /// The lab's name; may be left out where only one runs.
    #[arg(long)]
    lab: Option<String>,
    /// An interface, as h1-eth0; or a node, with the node at the other end of its link.
    interface: String,
    /// The node at the other end.
    to: Option<String>,
    /// The file to write, or - for standard output, which is also where it goes if nothing is said.
    #[arg(short, long, value_name = "FILE")]
    write: Option<PathBuf>,
    /// Ends by itself.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    seconds: Option<u32>,
}

pub fn parse_link(text: &str) -> Result<Profile, String> {
    // Mininet names the kind of link first; here is one for all.
    let text = text.strip_prefix("tc,").unwrap_or(if text == "tc" { "" } else { text });
    text.parse().map_err(|error: ProfileError| error.to_string())
}

/// Says at the end of a run whether its numbers are to be believed.
pub fn show_fidelity(lab: &Lab) {
    // A lab whose switch does not answer says so elsewhere.
    let Ok(fidelity) = lab.fidelity() else { return };
    if !fidelity.judged {
        return;
    }
    if fidelity.kept {
        return eprintln!("*** fidelity: kept; links let packets go when they were due");
    }
    eprintln!(
        "*** fidelity: NOT kept; the machine was too slow for this lab, and numbers measured in it are wrong"
    );
    for complaint in fidelity.complaints.iter().take(MOST_COMPLAINTS) {
        eprintln!("***   {complaint}");
    }
    let more = fidelity.complaints.len().saturating_sub(MOST_COMPLAINTS);
    if more != 0 {
        eprintln!("***   and {more} more");
    }
}

pub fn change_link(change: &Change) -> Result<ExitCode> {
    let lab = attach(change.lab.as_deref())?;
    let Change { a, b, settings, one_way, .. } = change;
    match settings.as_slice() {
        [state] if matches!(state.as_str(), "up" | "down") => {
            if *one_way {
                bail!("a cable is out for both ways; loss=100% --one-way lets nothing pass one way");
            }
            lab.set_link(a, b, state == "up")?;
        }
        settings => lab.shape(a, b, &settings.join(" "), *one_way)?,
    }
    Ok(ExitCode::SUCCESS)
}

pub fn graph(arguments: &Graph) -> Result<ExitCode> {
    let Graph { file, topo, lab, format, output } = arguments;
    let topology = match (file, topo) {
        (None, None) => attach(lab.as_deref())?.info()?.launch.topology,
        _ => topology(file.as_deref(), topo.as_deref())?,
    };
    let is_dot = |path: &PathBuf| path.extension().is_some_and(|end| end == "dot" || end == "gv");
    let usual = if output.as_ref().is_some_and(is_dot) { Picture::Dot } else { Picture::Svg };
    let text = match format.unwrap_or(usual) {
        Picture::Svg => heddle_lab::graph::svg(&topology),
        Picture::Dot => heddle_lab::graph::dot(&topology),
    };
    match output {
        Some(path) => std::fs::write(path, text).with_context(|| path.display().to_string())?,
        None => show(text),
    }
    Ok(ExitCode::SUCCESS)
}

pub fn capture(arguments: &Capture) -> Result<ExitCode> {
    let lab = attach(arguments.lab.as_deref())?;
    let interface = match &arguments.to {
        Some(to) => lab.interface(&arguments.interface, to)?,
        None => arguments.interface.clone(),
    };
    let path = arguments.write.as_deref().filter(|path| *path != Path::new("-"));
    let stdout = std::io::stdout();
    if path.is_none() && stdout.is_terminal() {
        bail!("a capture is no text: say -w FILE, or let a program read it, as `| tcpdump -n -r -`");
    }
    terminal::keep_interrupts();
    let running = match path {
        Some(path) => {
            let file = std::fs::File::create(path).with_context(|| path.display().to_string())?;
            lab.capture(&interface, file.as_fd())?
        }
        None => lab.capture(&interface, stdout.as_fd())?,
    };
    eprintln!("*** capturing {interface}; Ctrl-C ends it");
    let end = arguments.seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds.into()));
    while !terminal::interrupted() && end.is_none_or(|end| Instant::now() < end) && !reader_is_gone(path) {
        std::thread::sleep(Duration::from_millis(50));
    }
    let (packets, missed) = running.stop()?;
    let missed =
        if missed == 0 { String::new() } else { format!(", and {missed} that were too many at once") };
    eprintln!("*** {}{missed}", counted(packets as usize, "packet", "packets"));
    Ok(ExitCode::SUCCESS)
}

/// Whether whoever reads standard output has gone, where the capture goes there.
fn reader_is_gone(path: Option<&Path>) -> bool {
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    let stdout = std::io::stdout();
    let mut asked = [PollFd::new(stdout.as_fd(), PollFlags::empty())];
    let answered = poll(&mut asked, PollTimeout::ZERO);
    path.is_none()
        && answered.is_ok()
        && asked[0].revents().is_some_and(|seen| seen.contains(PollFlags::POLLERR))
}

pub fn show_links(which: &Which, json: bool) -> Result<ExitCode> {
    let links = attach(which.lab.as_deref())?.links()?;
    if json {
        show_line(serde_json::to_string_pretty(&links)?);
        return Ok(ExitCode::SUCCESS);
    }
    let mut rows = vec![["way", "settings", "delivered", "lost", "dropped", "on the way"].map(str::to_owned)];
    for link in &links {
        for (from, to, way) in [(&link.a, &link.b, &link.a_to_b), (&link.b, &link.a, &link.b_to_a)] {
            let settings = if link.down { "down".to_owned() } else { way.profile.to_string() };
            let count = |count: fn(&LineStatistics) -> u64| {
                way.statistics.as_ref().map_or_else(|| "-".into(), |counted| count(counted).to_string())
            };
            rows.push([
                format!("{} -> {}", from.interface(), to.interface()),
                settings,
                count(|counted| counted.delivered.packets),
                count(|counted| counted.lost.packets),
                count(|counted| {
                    counted.queue_dropped.packets + counted.early_dropped.packets + counted.no_buffer.packets
                }),
                count(|counted| counted.backlog.packets),
            ]);
        }
    }
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..rows[0].len()).map(width).collect();
    for row in &rows {
        let [way, settings, counts @ ..] = row;
        let mut line = format!("{way:<0$}  {settings:<1$}", widths[0], widths[1]);
        for (count, width) in counts.iter().zip(&widths[2..]) {
            line.push_str(&format!("  {count:>width$}"));
        }
        show_line(line.trim_end());
    }
    Ok(ExitCode::SUCCESS)
}
