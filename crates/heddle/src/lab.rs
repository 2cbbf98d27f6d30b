//! `heddle lab` and `heddle exec`: labs by the flags that Mininet's users know.

mod changes;
mod links;

use std::io::{IsTerminal, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand, ValueEnum};
use heddle_lab::client::{Lab, Options, list};
use heddle_lab::protocol::{Arp, Controller, Info, Progress, Wiring};
use heddle_lab::supervisor::counted;
use heddle_lab::topology::{FailMode, Host, MAX_FILE_SIZE, Profile, SpanningTree, Topology};
use heddle_openflow::Version;
use heddle_switch::server::CONTROL_SOCKET;
use serde_json::{Value, json};

use crate::output::{show, show_line};
use crate::shell::Shell;
use crate::{progress, terminal, unixctl};

/// Seconds for an answer in tests: room for an ARP request that is lost or late on a busy machine, and asked again a second
/// later.
const TEST_TIMEOUT: u32 = 3;

/// What `heddle lab` takes.
#[derive(Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Examples:\n  \
    heddle lab                                            two hosts on a switch, and a shell\n  \
    heddle lab --topo tree,depth=2,fanout=3 --test pingall\n  \
    heddle lab --topo torus,4,4 --test pingall            rings of switches, under a spanning tree\n  \
    heddle lab --topo linear,2 --link rate=100mbit,delay=10ms,loss=1% --seed 7\n  \
    heddle lab examples/campus.yaml --detach --name campus\n  \
    heddle lab --controller remote,ip=127.0.0.1,port=6653\n  \
    heddle lab stop campus"
)]
pub struct Arguments {
    #[command(subcommand)]
    verb: Option<Verb>,
    /// A topology file (YAML).
    #[arg(value_name = "FILE", conflicts_with = "topo")]
    file: Option<PathBuf>,
    /// minimal, single,N, reversed,N, linear,K[,N], tree,depth=D,fanout=F, ring,K[,N] or torus,X,Y[,N]; or a topology file.
    #[arg(long, value_name = "TOPOLOGY")]
    topo: Option<String>,
    /// Test the lab and end it, in place of a shell.
    #[arg(long, value_enum)]
    test: Option<Test>,
    /// Who programs the switches: built-in, none (they learn addresses by themselves), or
    /// remote[,ip=ADDRESS][,port=PORT].
    #[arg(long, default_value = "built-in", value_parser = parse_controller)]
    controller: Controller,
    /// What switches do without a controller; standalone where there is to be none, else secure.
    #[arg(long, value_enum)]
    fail_mode: Option<Mode>,
    /// Versions of OpenFlow that switches speak which name none themselves, as OpenFlow13[,OpenFlow14]; all from 1.0 to
    /// 1.5 where none is named.
    #[arg(long, value_delimiter = ',', value_name = "VERSION", value_parser = Version::ALL.iter().map(|v| v.name()).collect::<Vec<_>>())]
    protocols: Vec<String>,
    /// The spanning tree protocol of the switches, which makes rings of links safe; what the topology says where nothing is
    /// said here: rstp for ring and torus, else none.
    #[arg(long, value_enum)]
    spanning_tree: Option<TreeProtocol>,
    /// How hosts reach their switch: by tap devices in the hosts, or by veth pairs whose ends s1-eth1 and so on are
    /// in the lab's own network namespace; tap where it can be had.
    #[arg(long, value_enum)]
    wiring: Option<Wires>,
    /// What packets meet on links that the topology says nothing of, as rate=10mbit,delay=5ms,loss=1%; docs/links.md lists
    /// the words. Mininet's tc,bw=10,delay=5ms is understood too.
    #[arg(long, value_name = "SETTINGS", value_parser = links::parse_link)]
    link: Option<Profile>,
    /// What the dice of links are drawn with: the same seed, the same packets lost.
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u64>,
    /// How hosts find each other's Ethernet addresses: dynamic, by ARP and ND on the wire; static, from the lab, without a
    /// word on the wire; auto, dynamic up to 32 hosts. Alone, --arp is static.
    #[arg(long, value_enum, num_args = 0..=1, default_value = "auto", default_missing_value = "static")]
    arp: ArpMode,
    /// Its name among your labs.
    #[arg(long)]
    name: Option<String>,
    /// Leave the lab running and return.
    #[arg(long, short, conflicts_with = "test")]
    detach: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Mode {
    Standalone,
    Secure,
}

impl From<Mode> for FailMode {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::Standalone => Self::Standalone,
            Mode::Secure => Self::Secure,
        }
    }
}

#[derive(Clone, Copy, ValueEnum)]
enum TreeProtocol {
    /// IEEE 802.1D-2004: a tree in a moment.
    Rstp,
    /// IEEE 802.1D-1998: a tree after half a minute.
    Stp,
    /// No spanning tree.
    None,
}

#[derive(Clone, Copy, ValueEnum)]
enum Wires {
    Tap,
    Veth,
}

#[derive(Clone, Copy, ValueEnum)]
enum ArpMode {
    Auto,
    Dynamic,
    Static,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Test {
    /// Every host pings every other, by IPv4.
    Pingall,
    /// Every host pings every other, by IPv6.
    Pingall6,
    /// The first host and the last ping each other.
    Pingpair,
    /// TCP throughput from the first host to the last.
    Iperf,
    /// Start and end the lab.
    None,
}

#[derive(Subcommand)]
enum Verb {
    /// List your running labs.
    List {
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Show a lab: hosts, switches, links, how its switch fares and what it drops.
    Show {
        #[command(flatten)]
        which: Which,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// End a lab.
    Stop {
        #[command(flatten)]
        which: Which,
        /// All of your labs.
        #[arg(long, conflicts_with = "lab")]
        all: bool,
    },
    /// Add a host, a switch or a link to a running lab.
    #[command(subcommand)]
    Add(changes::Add),
    /// Remove hosts, switches or links from a running lab.
    #[command(subcommand)]
    Remove(changes::Remove),
    /// Show what packets meet on links and what has happened to them.
    Links {
        #[command(flatten)]
        which: Which,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Change what packets meet on the links between two nodes, or put their cable in or out.
    Link(links::Change),
    /// Run an experiment: a lab, programs in its hosts, events in time, and what is expected of them.
    Run(crate::experiment::Run),
    /// Draw a topology, or a running lab, as SVG or DOT.
    Graph(links::Graph),
    /// Record what passes an interface of a lab, as pcapng, until Ctrl-C.
    Capture(links::Capture),
    /// Print what stock clients need to reach a lab's switches: `eval $(heddle lab env)`.
    Env(Which),
    /// A shell on a running lab; it goes on when the shell ends.
    Shell(Which),
    /// Run a program in a host; the same as `heddle exec`.
    Exec(Exec),
}

/// Which lab.
#[derive(Args)]
struct Which {
    /// The lab's name; may be left out where only one runs.
    lab: Option<String>,
}

/// What `heddle exec` takes.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  heddle exec h1 ping -c1 h2\n  heddle exec --lab campus web python3 -m http.server 80"
)]
pub struct Exec {
    /// The lab's name; may be left out where only one runs.
    #[arg(long)]
    lab: Option<String>,
    /// The host.
    host: String,
    /// The program and its arguments.
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<String>,
}

/// Understands what `--controller` says.
pub fn parse_controller(text: &str) -> Result<Controller, String> {
    let mut words = text.split(',');
    match words.next() {
        Some("built-in" | "builtin" | "default") if words.next().is_none() => Ok(Controller::BuiltIn),
        Some("none") if words.next().is_none() => Ok(Controller::None),
        Some("remote") => {
            let (mut ip, mut port) = ("127.0.0.1", "6653");
            for word in words {
                match word.split_once('=') {
                    Some(("ip", value)) => ip = value,
                    Some(("port", value)) => port = value,
                    _ => return Err(format!("remote takes ip=ADDRESS and port=PORT, not {word:?}")),
                }
            }
            let bracketed = if ip.contains(':') { format!("[{ip}]:{port}") } else { format!("{ip}:{port}") };
            match bracketed.parse::<std::net::SocketAddr>() {
                Ok(address) if address.port() == 0 => Err("no controller is at port 0".into()),
                Ok(address) => Ok(Controller::Remote(address.to_string())),
                Err(_) => Err(format!("{bracketed} is not an address and port, such as 127.0.0.1:6653")),
            }
        }
        _ => Err("it is built-in, none or remote[,ip=ADDRESS][,port=PORT]".into()),
    }
}

/// Runs `heddle lab`.
pub fn run(arguments: Arguments) -> Result<ExitCode> {
    match arguments.verb {
        None => start(arguments),
        Some(Verb::List { json }) => show_list(json),
        Some(Verb::Show { which, json }) => show_lab(&which, json),
        Some(Verb::Stop { which, all }) => stop(which, all),
        Some(Verb::Add(what)) => changes::add(what),
        Some(Verb::Remove(what)) => changes::remove(what),
        Some(Verb::Env(which)) => {
            show_line(format!("export OVS_RUNDIR={}", quoted(attach(which.lab.as_deref())?.run_directory())));
            Ok(ExitCode::SUCCESS)
        }
        Some(Verb::Links { which, json }) => links::show_links(&which, json),
        Some(Verb::Link(change)) => links::change_link(&change),
        Some(Verb::Run(arguments)) => crate::experiment::main(&arguments),
        Some(Verb::Graph(arguments)) => links::graph(&arguments),
        Some(Verb::Capture(arguments)) => links::capture(&arguments),
        Some(Verb::Shell(which)) => {
            let lab = attach(which.lab.as_deref())?;
            Shell::new(&lab)?.run()?;
            Ok(ExitCode::SUCCESS)
        }
        Some(Verb::Exec(arguments)) => exec(&arguments),
    }
}

/// Runs `heddle exec`: its exit code is the program's.
pub fn exec(arguments: &Exec) -> Result<ExitCode> {
    let lab = attach(arguments.lab.as_deref())?;
    let code = terminal::exec(&lab, &arguments.host, &arguments.command)?;
    Ok(ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX)))
}

/// Explains what the switches of a running lab do with a packet.
pub fn trace(lab: Option<&str>, bridge: String, packet: String) -> Result<String> {
    let socket = attach(lab)?.run_directory().join(CONTROL_SOCKET);
    unixctl::ask(&socket, "ofproto/trace", vec![bridge, packet])
}

fn attach(name: Option<&str>) -> Result<Lab> {
    if let Some(name) = name {
        return Ok(Lab::attach(name)?);
    }
    match list().as_slice() {
        [] => bail!("no lab is running; `heddle lab` starts one"),
        [name] => Ok(Lab::attach(name)?),
        names => bail!("{} labs are running: name one of {}", names.len(), names.join(", ")),
    }
}

fn topology(file: Option<&Path>, topo: Option<&str>) -> Result<Topology> {
    let path = match (file, topo) {
        (Some(path), _) => path,
        (None, None) => return Ok(Topology::from_spec("minimal")?),
        (None, Some(text)) if std::fs::metadata(text).is_ok_and(|file| !file.is_dir()) => Path::new(text),
        (None, Some(text)) => return Ok(Topology::from_spec(text)?),
    };
    let text = read_file(path)
        .context("topologies without a file: --topo linear,2, --topo tree,depth=2,fanout=3")?;
    Topology::from_yaml(&text).with_context(|| path.display().to_string())
}

/// Reads a file of a lab, as far as such files may be long.
pub fn read_file(path: &Path) -> Result<String> {
    // Read and not asked for its size, which that of a pipe or a device does not say.
    let file = std::fs::File::open(path).with_context(|| path.display().to_string())?;
    let mut text = String::new();
    let read = file.take(MAX_FILE_SIZE as u64 + 1).read_to_string(&mut text);
    if text.len() > MAX_FILE_SIZE {
        bail!("{}: more than the {MAX_FILE_SIZE} bytes that are read", path.display());
    }
    read.with_context(|| path.display().to_string())?;
    Ok(text)
}

/// The name asked for, or the topology's, or `lab`, with a number where that runs already.
pub fn free_name(wanted: Option<String>, topology: &Topology) -> String {
    let Some(name) = wanted else {
        let base = topology.name.clone().unwrap_or_else(|| "lab".into());
        let taken = list();
        let numbered = (2..).map(|number| format!("{base}-{number}"));
        let mut names = std::iter::once(base.clone()).chain(numbered);
        return names.find(|name| !taken.contains(name)).unwrap_or(base);
    };
    name
}

fn start(arguments: Arguments) -> Result<ExitCode> {
    let mut topology = topology(arguments.file.as_deref(), arguments.topo.as_deref())?;
    for switch in topology.switches.iter_mut().filter(|switch| switch.protocols.is_empty()) {
        switch.protocols.clone_from(&arguments.protocols);
    }
    if let Some(usual) = &arguments.link {
        let ways = topology.links.iter_mut().flat_map(|link| [&mut link.a_to_b, &mut link.b_to_a]);
        ways.filter(|way| way.is_perfect()).for_each(|way| way.clone_from(usual));
    }
    if let Some(seed) = arguments.seed {
        topology.seed = seed;
    }
    if let Some(protocol) = arguments.spanning_tree {
        topology.spanning_tree = match protocol {
            TreeProtocol::Rstp => Some(SpanningTree::Rstp),
            TreeProtocol::Stp => Some(SpanningTree::Stp),
            TreeProtocol::None => None,
        };
    }
    let counts = counts(&topology);
    let options = Options {
        name: free_name(arguments.name, &topology),
        topology,
        controller: arguments.controller,
        fail_mode: arguments.fail_mode.map(FailMode::from),
        wiring: arguments.wiring.map(|wiring| match wiring {
            Wires::Tap => Wiring::Tap,
            Wires::Veth => Wiring::Veth,
        }),
        arp: match arguments.arp {
            ArpMode::Auto => Arp::Auto,
            ArpMode::Dynamic => Arp::Dynamic,
            ArpMode::Static => Arp::Static,
        },
        detached: arguments.detach,
        program: std::env::current_exe().context("the program cannot find itself")?,
    };
    let name = options.name.clone();
    let begun = Instant::now();
    let mut shown = progress::Progress::new();
    let lab = Lab::start(options, |progress| show_progress(&mut shown, progress))?;
    drop(shown);
    eprintln!("*** lab {name} is up after {:.2} s: {counts}", begun.elapsed().as_secs_f64());
    if arguments.detach {
        eprintln!(
            "*** heddle exec --lab {name} HOST COMMAND, heddle lab shell {name}, heddle lab stop {name}"
        );
        return Ok(ExitCode::SUCCESS);
    }
    let shell = Shell::new(&lab)?;
    let passed = match arguments.test {
        None => shell.run().map(|()| true),
        Some(Test::None) => Ok(true),
        Some(Test::Pingall) => shell.ping_all(&[], false, TEST_TIMEOUT),
        Some(Test::Pingall6) => shell.ping_all(&[], true, TEST_TIMEOUT),
        Some(Test::Pingpair) => shell.ping_all(&shell.ends()?, false, TEST_TIMEOUT),
        Some(Test::Iperf) => shell.iperf(&shell.ends()?).map(|()| true),
    };
    // The lab may hang from here on, and nobody is at the shell.
    terminal::let_interrupts_end_us();
    links::show_fidelity(&lab);
    let begun = Instant::now();
    end(lab, &name)?;
    eprintln!("*** lab {name} ended in {:.2} s", begun.elapsed().as_secs_f64());
    Ok(if passed? { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn counts(topology: &Topology) -> String {
    let hosts = counted(topology.hosts.len(), "host", "hosts");
    let switches = counted(topology.switches.len(), "switch", "switches");
    format!("{hosts}, {switches}, {}", counted(topology.links.len(), "link", "links"))
}

/// Shows how far the start of a lab is.
pub fn show_progress(shown: &mut progress::Progress, progress: &Progress) {
    match progress {
        Progress::Step(step) => shown.line(step),
        Progress::Counted { step, done, of } => shown.state(&format!("{step} {done}/{of}")),
        Progress::Warning(warning) => shown.line(&format!("warning: {warning}")),
        Progress::Ready | Progress::Failed(_) => {}
    }
}

/// Ends a lab.
pub fn end(lab: Lab, name: &str) -> Result<()> {
    let mut shown = progress::Progress::new();
    lab.stop(|waited| shown.state(&format!("ending lab {name}: {} s", waited.as_secs())))?;
    Ok(())
}

fn stop(which: Which, all: bool) -> Result<ExitCode> {
    if !all {
        let lab = attach(which.lab.as_deref())?;
        let name = lab.run_directory().file_name().unwrap_or_default().to_string_lossy().into_owned();
        end(lab, &name)?;
        return Ok(ExitCode::SUCCESS);
    }
    for name in list() {
        end(Lab::attach(&name)?, &name)?;
        eprintln!("*** lab {name} ended");
    }
    Ok(ExitCode::SUCCESS)
}

fn show_list(json: bool) -> Result<ExitCode> {
    let infos: Vec<Info> =
        list().iter().filter_map(|name| Lab::attach(name).and_then(|lab| lab.info()).ok()).collect();
    if json {
        show_line(serde_json::to_string_pretty(&infos.iter().map(listing).collect::<Vec<_>>())?);
        return Ok(ExitCode::SUCCESS);
    }
    if infos.is_empty() && std::io::stdout().is_terminal() {
        eprintln!("no lab is running");
    }
    for info in infos {
        show_line(format!(
            "{:<16} {:<36} {}",
            info.launch.name,
            counts(&info.launch.topology),
            info.launch.run_directory.display()
        ));
    }
    Ok(ExitCode::SUCCESS)
}

/// A host as programs read it.
fn host_listing(host: &Host) -> Value {
    let mac: Vec<String> = host.mac.iter().map(|byte| format!("{byte:02x}")).collect();
    let addresses: Vec<String> = host.addresses.iter().map(ToString::to_string).collect();
    json!({ "name": host.name, "mac": mac.join(":"), "addresses": addresses, "routes": host.routes })
}

/// A lab as programs read it.
fn listing(info: &Info) -> Value {
    let (launch, topology) = (&info.launch, &info.launch.topology);
    json!({
        "name": launch.name,
        "run_directory": launch.run_directory,
        "detached": launch.detached,
        "controller": launch.controller,
        "fail_mode": launch.fail_mode,
        "wiring": launch.wiring,
        "arp": launch.arp,
        "hosts": topology.hosts.iter().map(host_listing).collect::<Vec<_>>(),
        "switches": topology.switches,
        "spanning_tree": topology.spanning_tree,
        "links": topology.links,
        "links_down": info.links_down,
        "switch_restarts": info.switch_restarts,
        "last_outage_ms": info.last_outage_ms,
        "switch": info.switch,
    })
}

fn show_lab(which: &Which, json: bool) -> Result<ExitCode> {
    let info = attach(which.lab.as_deref())?.info()?;
    if json {
        show_line(serde_json::to_string_pretty(&listing(&info))?);
    } else {
        show(heddle_lab::shell::show_info(&info));
    }
    Ok(ExitCode::SUCCESS)
}

/// A path as a shell reads it back.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "/._-".contains(letter);
    if text.chars().all(plain) { text } else { format!("'{}'", text.replace('\'', "'\\''")) }
}
