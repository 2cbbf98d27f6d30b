//! The `heddle` program: flags and glue.
#![forbid(unsafe_code)]

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::{CommandFactory, Parser, Subcommand};
use heddle_datapath::Clock;
use heddle_openflow::text::{parse_flow, parse_match};
use heddle_switch::Switch;
use heddle_switch::config::BridgeConfig;

/// A programmable network switch in user space.
#[derive(Parser)]
#[command(
    version,
    after_help = "Examples:\n  \
    heddle switch examples/two-bridges.json --rundir /tmp/hd\n  \
    ovs-ofctl -O OpenFlow13 dump-flows unix:/tmp/hd/s1.mgmt\n  \
    heddle trace examples/two-bridges.json s1 in_port=1,udp,udp_dst=53"
)]
struct Cli {
    #[command(subcommand)]
    command: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Run the bridges of a configuration in the foreground, until SIGINT or SIGTERM.
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
    /// Explain what the bridges of a configuration do with a packet. Nothing is run or changed.
    Trace {
        /// Bridges and ports, as JSON.
        config: PathBuf,
        /// The bridge that the packet enters.
        bridge: String,
        /// The packet, as a match: `in_port=1,tcp,nw_dst=10.0.0.1`.
        packet: String,
        /// Flows to add first: a line each, `BRIDGE FLOW`.
        #[arg(long)]
        flows: Option<PathBuf>,
    },
    /// Print completions for a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Print the manual page.
    Man,
}

fn main() -> Result<()> {
    match Cli::parse().command {
        Verb::Switch { config, rundir, flows } => run_switch(&config, &rundir, flows.as_deref()),
        Verb::Trace { config, bridge, packet, flows } => trace(&config, &bridge, &packet, flows.as_deref()),
        Verb::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "heddle", &mut std::io::stdout());
            Ok(())
        }
        Verb::Man => Ok(clap_mangen::Man::new(Cli::command()).render(&mut std::io::stdout())?),
    }
}

/// Largest configuration that is read.
const MAX_CONFIG: u64 = 16 << 20;

fn read(path: &Path) -> Result<String> {
    let size = std::fs::metadata(path).with_context(|| path.display().to_string())?.len();
    if size > MAX_CONFIG {
        bail!("{}: larger than {MAX_CONFIG} bytes", path.display());
    }
    std::fs::read_to_string(path).with_context(|| path.display().to_string())
}

fn load(config: &Path, flows: Option<&Path>) -> Result<Switch> {
    let bridges: Vec<BridgeConfig> =
        serde_json::from_str(&read(config)?).with_context(|| config.display().to_string())?;
    let seed = std::hash::BuildHasher::hash_one(&std::collections::hash_map::RandomState::new(), 0);
    let mut switch = Switch::new(Clock::default(), seed)?;
    switch.configure(&bridges)?;
    let Some(path) = flows else { return Ok(switch) };
    for (index, line) in read(path)?.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        add_flow(&switch, line).with_context(|| format!("{}:{}", path.display(), index + 1))?;
    }
    Ok(switch)
}

fn add_flow(switch: &Switch, line: &str) -> Result<()> {
    let (name, flow) = line.split_once(' ').context("a line is BRIDGE FLOW")?;
    let bridge = switch.bridge(name).with_context(|| format!("there is no bridge \"{name}\""))?;
    let flow = parse_flow(flow)?;
    match bridge.bridge.flow_mod(&flow, bridge.clock.now_ms()) {
        Ok(_) => Ok(()),
        Err(error) => bail!("the flow is refused: {}", error.name()),
    }
}

fn run_switch(config: &Path, rundir: &Path, flows: Option<&Path>) -> Result<()> {
    let switch = load(config, flows)?;
    std::fs::create_dir_all(rundir).with_context(|| rundir.display().to_string())?;
    let bridges: Vec<_> = switch.bridges().cloned().collect();
    for bridge in &bridges {
        println!(
            "{}: OpenFlow 1.3 at unix:{}/{}.mgmt",
            bridge.bridge.name,
            rundir.display(),
            bridge.bridge.name
        );
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
        let stop = async {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminate.recv() => {}
            }
        };
        heddle_switch::server::serve(bridges, rundir, stop).await
    })?;
    match switch.mismatches() {
        0 => Ok(()),
        wrong => bail!("{wrong} cached answers differed from the pipeline's; please report this"),
    }
}

fn trace(config: &Path, bridge: &str, packet: &str, flows: Option<&Path>) -> Result<()> {
    let switch = load(config, flows)?;
    let Some(managed) = switch.bridge(bridge) else { bail!("there is no bridge \"{bridge}\"") };
    let matching = parse_match(packet)?;
    let mut key = *matching.key();
    let number = key.in_port();
    let Some(datapath_port) = managed.datapath_port(number) else {
        bail!("bridge {bridge} has no port {number} with a device; name one with in_port=");
    };
    key.set_in_port(datapath_port);
    print!("{}", heddle_pipeline::trace::trace(switch.network(), &key, managed.clock.now_ms()));
    Ok(())
}
