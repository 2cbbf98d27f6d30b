//! `heddle switch` and `heddle trace`: the bridges of a configuration file.

use std::path::Path;

use anyhow::{Context, Result, bail};
use heddle_datapath::Clock;
use heddle_openflow::text::parse_flow;
use heddle_switch::Switch;
use heddle_switch::config::BridgeConfig;
use heddle_switch::server::Server;

use crate::output::show_line;

/// Largest configuration that is read.
const MAX_CONFIG: u64 = 16 << 20;

fn read(path: &Path) -> Result<String> {
    let size = std::fs::metadata(path).with_context(|| path.display().to_string())?.len();
    if size > MAX_CONFIG {
        bail!("{}: larger than {MAX_CONFIG} bytes", path.display());
    }
    std::fs::read_to_string(path).with_context(|| path.display().to_string())
}

/// A switch with the bridges of a configuration and flows of a file.
fn load(config: &Path, flows: Option<&Path>) -> Result<Switch> {
    let bridges: Vec<BridgeConfig> =
        serde_json::from_str(&read(config)?).with_context(|| config.display().to_string())?;
    let mut switch = new()?;
    switch.configure(&bridges, &[])?;
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

pub fn run(config: &Path, rundir: &Path, flows: Option<&Path>) -> Result<()> {
    let switch = load(config, flows)?;
    std::fs::create_dir_all(rundir).with_context(|| rundir.display().to_string())?;
    let bridges: Vec<_> = switch.bridges().cloned().collect();
    for bridge in &bridges {
        let name = &bridge.bridge.name;
        show_line(format!("{name}: OpenFlow at unix:{}/{name}.mgmt", rundir.display()));
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut server = Server::new(rundir);
        server.open_control().await?;
        server.sync(bridges.iter()).await?;
        terminated().await
    })?;
    match switch.mismatches() {
        0 => Ok(()),
        wrong => bail!("{wrong} cached answers differed from the pipeline's; please report this"),
    }
}

/// Explains what the bridges of a configuration do with a packet.
pub fn trace(config: &Path, bridge: &str, packet: &str, flows: Option<&Path>) -> Result<String> {
    let switch = load(config, flows)?;
    let Some(managed) = switch.bridge(bridge) else { bail!("there is no bridge \"{bridge}\"") };
    managed.trace(packet).map_err(anyhow::Error::msg)
}

/// A switch without bridges, whose tables are keyed at random.
pub fn new() -> Result<Switch> {
    let seed = std::hash::BuildHasher::hash_one(&std::collections::hash_map::RandomState::new(), 0);
    Ok(Switch::new(Clock::default(), seed)?)
}

/// Returns when the process is asked to end.
pub async fn terminated() -> std::io::Result<()> {
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted,
        _ = terminate.recv() => Ok(()),
    }
}
