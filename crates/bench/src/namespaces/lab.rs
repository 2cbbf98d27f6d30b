//! A switch between two hosts, each in a network namespace.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

/// What stands between the hosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    /// A veth pair and no switch.
    Direct,
    /// The kernel's bridge over veth pairs.
    Bridge,
    /// Heddle over TAP.
    Heddle,
    /// Heddle over AF_PACKET on veth pairs.
    HeddlePacket,
    /// Open vSwitch in user space over AF_PACKET on veth pairs. The hosts' checksum offload, and segmentation with it, is
    /// off: it does not finish partial checksums.
    Ovs,
}

impl Kind {
    /// As in the options and the output.
    pub fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Bridge => "bridge",
            Self::Heddle => "heddle",
            Self::HeddlePacket => "heddle-packet",
            Self::Ovs => "ovs",
        }
    }

    /// Whether what it needs is there.
    pub fn is_installed(self) -> bool {
        let there = |program: &str| {
            let path = std::env::var_os("PATH").unwrap_or_default();
            std::env::split_paths(&path).any(|folder| folder.join(program).exists())
        };
        self != Self::Ovs
            || ["ovs-vswitchd", "ovsdb-server", "ovsdb-tool", "ovs-vsctl", "ethtool"].into_iter().all(there)
    }
}

/// Addresses of the two hosts.
pub const ADDRESSES: [&str; 2] = ["10.201.0.1", "10.201.0.2"];

/// The hosts, and the switch between them. All goes when it is dropped.
pub struct Lab {
    prefix: String,
    folder: PathBuf,
    children: Vec<Child>,
    switch: Option<u32>,
}

/// Runs a command to its end.
fn run(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("{command:?}"))?;
    ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn ip(words: &str) -> Result<()> {
    run(Command::new("ip").args(words.split_whitespace())).map(drop)
}

impl Lab {
    /// Makes the namespaces and starts so many switches in a row; returns when the hosts reach each other.
    ///
    /// # Errors
    /// If the system refuses, or a ping is not answered in ten seconds.
    pub fn start(kind: Kind, prefix: &str, heddle: &Path, switches: usize) -> Result<Self> {
        let prefix = format!("{prefix}-{}-{switches}", kind.name());
        let folder = std::env::temp_dir().join(&prefix);
        let mut lab = Self { prefix, folder, children: Vec::new(), switch: None };
        std::fs::create_dir_all(&lab.folder)?;
        for part in ["a", "b", "sw"] {
            ip(&format!("netns add {}", lab.namespace(part)))?;
            ip(&format!("-n {} link set lo up", lab.namespace(part)))?;
        }
        match kind {
            Kind::Direct => ip(&format!(
                "link add eth0 netns {} type veth peer name eth0 netns {}",
                lab.namespace("a"),
                lab.namespace("b")
            ))?,
            Kind::Bridge => lab.bridge(switches)?,
            Kind::Heddle => lab.heddle(heddle, true, switches)?,
            Kind::HeddlePacket => lab.heddle(heddle, false, switches)?,
            Kind::Ovs => lab.ovs(switches)?,
        }
        for (host, address) in ["a", "b"].into_iter().zip(ADDRESSES) {
            let host = lab.namespace(host);
            ip(&format!("-n {host} addr add {address}/24 dev eth0"))?;
            ip(&format!("-n {host} link set eth0 up"))?;
        }
        lab.wait_for_ping().with_context(|| format!("{}: the hosts do not reach each other", kind.name()))?;
        Ok(lab)
    }

    fn namespace(&self, part: &str) -> String {
        format!("{}-{part}", self.prefix)
    }

    /// A command that runs in a host's namespace.
    pub fn command(&self, part: &str, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.namespace(part), program]);
        command
    }

    /// The switch's process; none where it is the kernel.
    pub fn switch(&self) -> Option<u32> {
        self.switch
    }

    fn wait_for_ping(&self) -> Result<()> {
        let end = Instant::now() + Duration::from_secs(10);
        loop {
            let mut ping = self.command("a", "ping");
            ping.args(["-c", "1", "-W", "1", ADDRESSES[1]]).stdout(Stdio::null()).stderr(Stdio::null());
            if ping.status()?.success() {
                return Ok(());
            }
            ensure!(Instant::now() < end, "no answer in ten seconds");
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// A veth pair from each host to the switch: `eth0` there, `pa` and `pb` here.
    fn pairs(&self) -> Result<()> {
        let switch = self.namespace("sw");
        for host in ["a", "b"] {
            let namespace = self.namespace(host);
            ip(&format!("link add p{host} netns {switch} type veth peer name eth0 netns {namespace}"))?;
            ip(&format!("-n {switch} link set p{host} up"))?;
        }
        Ok(())
    }

    fn bridge(&self, switches: usize) -> Result<()> {
        self.pairs()?;
        let switch = self.namespace("sw");
        for number in 1..=switches {
            ip(&format!("-n {switch} link add br{number} type bridge"))?;
            ip(&format!("-n {switch} link set br{number} up"))?;
        }
        for (number, next) in (1..switches).zip(2..) {
            ip(&format!("-n {switch} link add r{number} type veth peer name l{next}"))?;
            for (port, bridge) in [(format!("r{number}"), number), (format!("l{next}"), next)] {
                ip(&format!("-n {switch} link set {port} master br{bridge}"))?;
                ip(&format!("-n {switch} link set {port} up"))?;
            }
        }
        ip(&format!("-n {switch} link set pa master br1"))?;
        ip(&format!("-n {switch} link set pb master br{switches}"))
    }

    /// Starts a program in the switch's namespace; it ends with the lab, and with us.
    fn spawn(&mut self, program: &Path, arguments: &[&str]) -> Result<u32> {
        let log = std::fs::File::create(self.folder.join("log"))?;
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/run/netns/{}", self.namespace("sw"))).arg(program).args(arguments);
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).process_group(0);
        let child = command.spawn().with_context(|| format!("{command:?}"))?;
        let id = child.id();
        self.children.push(child);
        Ok(id)
    }

    fn heddle(&mut self, heddle: &Path, tap: bool, switches: usize) -> Result<()> {
        let bridges: Vec<_> = (1..=switches).map(|number| heddle_bridge(number, switches, tap)).collect();
        let bridges = serde_json::json!(bridges);
        let config = self.folder.join("switch.json");
        std::fs::write(&config, bridges.to_string())?;
        if !tap {
            self.pairs()?;
        }
        let rundir = self.folder.join("run").display().to_string();
        let config = config.display().to_string();
        self.switch = Some(self.spawn(heddle, &["switch", &config, "--rundir", &rundir])?);
        let socket = self.folder.join("run/s1.mgmt");
        self.wait_until("the switch to start", || socket.exists())?;
        if tap {
            let switch = self.namespace("sw");
            for host in ["a", "b"] {
                let namespace = self.namespace(host);
                ip(&format!("-n {switch} link set p{host} netns {namespace} name eth0"))?;
            }
        }
        Ok(())
    }

    fn wait_until(&self, what: &str, done: impl Fn() -> bool) -> Result<()> {
        let end = Instant::now() + Duration::from_secs(10);
        while !done() {
            if Instant::now() > end {
                let log = std::fs::read_to_string(self.folder.join("log")).unwrap_or_default();
                bail!("waited ten seconds for {what}: {log}");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    fn ovs(&mut self, switches: usize) -> Result<()> {
        let file = |name: &str| self.folder.join(name).display().to_string();
        let (database, socket, control) = (file("conf.db"), file("db.sock"), file("vswitchd.ctl"));
        let database_control = file("db.ctl");
        run(Command::new("ovsdb-tool").args([
            "create",
            &database,
            "/usr/share/openvswitch/vswitch.ovsschema",
        ]))?;
        let remote = format!("--remote=punix:{socket}");
        let (log, unixctl) = ("-vconsole:off", format!("--unixctl={database_control}"));
        self.spawn(Path::new("ovsdb-server"), &[&database, &remote, &unixctl, log])?;
        let path = PathBuf::from(&socket);
        self.wait_until("ovsdb-server", || path.exists())?;
        let server = format!("unix:{socket}");
        let vsctl = |words: &str| {
            let mut command = Command::new("ovs-vsctl");
            run(command.args(["--timeout=20", &format!("--db={server}")]).args(words.split_whitespace()))
        };
        vsctl("--no-wait init")?;
        vsctl("--no-wait set Open_vSwitch . other_config:n-handler-threads=1")?;
        self.pairs()?;
        let unixctl = format!("--unixctl={control}");
        self.switch = Some(self.spawn(Path::new("ovs-vswitchd"), &[&server, &unixctl, log])?);
        for number in 1..=switches {
            vsctl(&format!("add-br br{number} -- set bridge br{number} datapath_type=netdev"))?;
        }
        for (number, next) in (1..switches).zip(2..) {
            vsctl(&format!(
                "add-port br{number} r{number} -- set interface r{number} type=patch options:peer=l{next} -- \
                 add-port br{next} l{next} -- set interface l{next} type=patch options:peer=r{number}"
            ))?;
        }
        vsctl(&format!("add-port br1 pa -- add-port br{switches} pb"))?;
        for host in ["a", "b"] {
            run(self.command(host, "ethtool").args("-K eth0 tx off tso off gso off".split_whitespace()))?;
        }
        Ok(())
    }
}

/// A bridge of Heddle's in a row of so many, with its ports.
fn heddle_bridge(number: usize, switches: usize, tap: bool) -> serde_json::Value {
    let host = |host: &str| {
        if tap {
            serde_json::json!({ "kind": "tap" })
        } else {
            serde_json::json!({ "kind": "packet", "interface": format!("p{host}") })
        }
    };
    let patch = |peer: usize, port: String| serde_json::json!({ "kind": "patch", "peer_bridge": format!("s{peer}"), "peer_port": port });
    let (left_name, left) = match number {
        1 => ("pa".to_owned(), host("a")),
        _ => (format!("l{number}"), patch(number - 1, format!("r{}", number - 1))),
    };
    let (right_name, right) = if number == switches {
        ("pb".to_owned(), host("b"))
    } else {
        (format!("r{number}"), patch(number + 1, format!("l{}", number + 1)))
    };
    serde_json::json!({
        "name": format!("s{number}"), "datapath_id": number, "fail_mode": "standalone",
        "ports": [
            { "name": left_name, "ofport": 1, "kind": left },
            { "name": right_name, "ofport": 2, "kind": right },
        ],
    })
}

impl Drop for Lab {
    fn drop(&mut self) {
        for child in self.children.iter_mut().rev() {
            // Best effort: what is gone already needs no end.
            let _ = child.kill();
            let _ = child.wait();
        }
        for part in ["a", "b", "sw"] {
            let _ = ip(&format!("netns del {}", self.namespace(part)));
        }
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
