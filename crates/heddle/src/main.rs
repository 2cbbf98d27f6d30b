//! The `heddle` program: flags and glue.
#![forbid(unsafe_code)]
#![deny(clippy::print_stdout)]

mod clients;
mod completions;
mod controller;
mod daemons;
mod experiment;
mod lab;
mod lab_switch;
mod output;
mod ovsdb;
mod progress;
mod shell;
mod switch;
mod terminal;
mod unixctl;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{CommandFactory, Parser, Subcommand};
use heddle_daemon::stream::Place;
use output::show;

/// A programmable switch and a lab of isolated hosts around it, in user space.
#[derive(Parser)]
#[command(
    version,
    after_help = "Examples:\n  \
    heddle lab --topo tree,depth=2,fanout=3 --test pingall\n  \
    heddle lab examples/campus.yaml\n  \
    heddle exec h1 ping -c1 h2\n  \
    ovs-ofctl -O OpenFlow13 dump-flows s1       (after: eval $(heddle lab env))"
)]
struct Cli {
    #[command(subcommand)]
    command: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Start a lab of hosts and switches, or use one that runs.
    Lab(Box<lab::Arguments>),
    /// Run a program in a host of a running lab.
    Exec(lab::Exec),
    /// Run an OpenFlow 1.3 controller whose switches learn where addresses are.
    #[command(
        after_help = "Examples:\n  heddle controller\n  heddle controller ptcp:6653:127.0.0.1 punix:/tmp/c0.sock\n  heddle controller --apps examples/apps.yaml --rest 127.0.0.1:8080\n  heddle controller --ofctl-rest 127.0.0.1:8080      (then: curl http://127.0.0.1:8080/stats/switches)"
    )]
    Controller {
        /// Where switches call: `ptcp:[PORT][:IP]` or `punix:PATH`.
        #[arg(default_value = "ptcp:6653:127.0.0.1")]
        places: Vec<Place>,
        /// The apps that decide, a YAML file; a learning switch where absent.
        #[arg(long, value_name = "FILE")]
        apps: Option<PathBuf>,
        /// Where the apps' state is told by HTTP: `GET /apps` and `GET /apps/NAME`.
        #[arg(long, value_name = "ADDRESS:PORT")]
        rest: Option<SocketAddr>,
        /// Where switches are asked and changed by HTTP, in the words of Ryu's `ofctl_rest`: `GET /stats/switches` and
        /// the others. Without `--apps` no app runs, and switches of OpenFlow 1.0 are taken too.
        #[arg(long, value_name = "ADDRESS:PORT")]
        ofctl_rest: Option<SocketAddr>,
    },
    /// Run the bridges of a configuration in the foreground, until SIGINT or SIGTERM.
    #[command(after_help = "Examples:\n  heddle switch examples/two-bridges.json --rundir /tmp/hd\n  \
        ovs-ofctl -O OpenFlow13 show unix:/tmp/hd/s1.mgmt")]
    Switch {
        /// Bridges and ports, as JSON.
        config: PathBuf,
        /// Directory of the OpenFlow sockets, one `BRIDGE.mgmt` for each bridge.
        #[arg(long, env = "OVS_RUNDIR", default_value = "/run/heddle")]
        rundir: PathBuf,
        /// Flows to add before the sockets open: a line each, `BRIDGE FLOW`.
        #[arg(long)]
        flows: Option<PathBuf>,
    },
    /// Explain what bridges do with a packet and why, by the routine that forwards. Nothing is sent or changed.
    #[command(after_help = "Examples:\n  \
        heddle trace s1 in_port=1,icmp,dl_dst=00:00:00:00:00:02\n  \
        heddle trace --config examples/two-bridges.json --flows examples/two-bridges.flows s1 in_port=1,udp,udp_dst=53")]
    Trace {
        /// The bridge that the packet enters.
        bridge: String,
        /// The packet, as a match: `in_port=1,tcp,nw_dst=10.0.0.1`.
        packet: String,
        /// The running lab; may be left out where only one runs.
        #[arg(long)]
        lab: Option<String>,
        /// Bridges and ports of a file (JSON), in place of a lab's.
        #[arg(long, conflicts_with = "lab")]
        config: Option<PathBuf>,
        /// Flows to add first to those bridges: a line each, `BRIDGE FLOW`.
        #[arg(long, requires = "config")]
        flows: Option<PathBuf>,
    },
    /// Ask a daemon, as `ovs-appctl` does.
    Appctl(clients::Words),
    /// Ask and change switches by OpenFlow, as `ovs-ofctl` does.
    Ofctl(clients::Words),
    /// Configure a switch, as `ovs-vsctl` does.
    Vsctl(clients::Words),
    /// Ask a database server, as `ovsdb-client` does.
    OvsdbClient(clients::Words),
    /// Serve databases, as `ovsdb-server` does.
    OvsdbServer(clients::Words),
    /// Make and read database files, as `ovsdb-tool` does.
    OvsdbTool(clients::Words),
    /// Run a server's virtual switch: the switch and its database, in one process.
    Switchd(clients::Words),
    /// Run the switch of an Open_vSwitch database, as `ovs-vswitchd` does.
    Vswitchd(clients::Words),
    /// Print completions for a shell, also for the clients by their Open vSwitch names.
    #[command(after_help = "Examples:\n  \
        source <(heddle completions bash)\n  \
        heddle completions zsh > \"${fpath[1]}/_heddle\"\n  \
        heddle completions fish > ~/.config/fish/completions/heddle.fish")]
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Print what may come next on a line of a client, for a shell.
    #[command(hide = true)]
    CompleteWords {
        /// The line up to the cursor.
        line: String,
    },
    /// Print the manual page, or write all of them.
    Man {
        /// Write a page for the program and each of its verbs to this directory.
        #[arg(long)]
        dir: Option<PathBuf>,
        /// Print the reference of the database's tables and columns instead (Markdown).
        #[arg(long, conflicts_with = "dir")]
        database: bool,
    },
    /// The process that a lab hangs from.
    #[command(hide = true)]
    LabSupervisor,
    /// Clears up behind a lab.
    #[command(hide = true)]
    LabWatch {
        /// The lab's run directory.
        run_directory: PathBuf,
        /// The remote controller.
        controller: Option<String>,
    },
    /// The switch of a lab.
    #[command(hide = true)]
    LabSwitch {
        /// The lab's run directory.
        #[arg(long, env = "OVS_RUNDIR")]
        rundir: PathBuf,
    },
}

fn main() -> ExitCode {
    if let Some(code) = clients::dispatch().or_else(ovsdb::dispatch).or_else(daemons::dispatch) {
        return code;
    }
    run(Cli::parse().command).unwrap_or_else(|error| {
        eprintln!("heddle: {error:#}");
        ExitCode::FAILURE
    })
}

fn run(verb: Verb) -> Result<ExitCode> {
    match verb {
        Verb::Lab(arguments) => return lab::run(*arguments),
        Verb::Exec(arguments) => return lab::exec(&arguments),
        Verb::Controller { places, apps, rest, ofctl_rest } => {
            let web = controller::Web { rest, ofctl_rest };
            let apps = controller::apps(apps.as_deref(), &web)?;
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(controller::run(&places, apps, web, async {
                let _ = switch::terminated().await;
            }))?;
        }
        Verb::Switch { config, rundir, flows } => switch::run(&config, &rundir, flows.as_deref())?,
        Verb::Trace { bridge, packet, config: Some(config), flows, .. } => {
            show(switch::trace(&config, &bridge, &packet, flows.as_deref())?);
        }
        Verb::Trace { bridge, packet, lab, .. } => show(lab::trace(lab.as_deref(), bridge, packet)?),
        Verb::Appctl(_)
        | Verb::Vsctl(_)
        | Verb::Ofctl(_)
        | Verb::OvsdbClient(_)
        | Verb::OvsdbServer(_)
        | Verb::OvsdbTool(_) => {
            anyhow::bail!("clients are run by their own parser")
        }
        Verb::Switchd(_) | Verb::Vswitchd(_) => anyhow::bail!("daemons are run by their own parser"),
        Verb::Completions { shell } => show(completions::script(shell, &mut Cli::command())),
        Verb::CompleteWords { line } => completions::print_words(&line),
        Verb::Man { database: true, .. } => show(heddle_switch::schema::reference()),
        Verb::Man { dir: Some(dir), .. } => {
            std::fs::create_dir_all(&dir)?;
            clap_mangen::generate_to(Cli::command(), dir)?;
        }
        Verb::Man { dir: None, .. } => {
            let mut page = Vec::new();
            clap_mangen::Man::new(Cli::command()).render(&mut page)?;
            show(String::from_utf8_lossy(&page));
        }
        Verb::LabSupervisor => heddle_lab::supervisor::run()?,
        Verb::LabWatch { run_directory, controller } => heddle_lab::watch::run(&run_directory, controller)?,
        Verb::LabSwitch { rundir } => {
            // Before its threads are made, which take after it.
            heddle_instance::sys::prefer_this_thread();
            lab_switch::run(switch::new()?, &rundir)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
