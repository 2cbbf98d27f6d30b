//! A server's switch as a daemon: how soon it forwards after its start, what it holds while nothing happens, and what a
//! thousand ports cost, beside Open vSwitch in user space. Both are driven by the same `ovs-vsctl`.
//!
//! It is to be run in a network namespace of its own, as `scripts/bench` does.

use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::json;

use crate::rounds::{self, Case};
use crate::{sender, sys};

/// What to measure.
#[derive(clap::Args)]
pub struct Options {
    /// Rounds; medians are quoted.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Ports that are added.
    #[arg(long, default_value_t = 1000)]
    ports: usize,
    /// Seconds of idleness.
    #[arg(long, default_value_t = 5.0)]
    idle: f64,
    /// The `heddle` program.
    #[arg(long, default_value = "target/release/heddle")]
    heddle: PathBuf,
}

const LIMIT: Duration = Duration::from_secs(30);
/// Ports that are added one by one, each by a client of its own.
const ONE_BY_ONE: usize = 100;

/// Whose daemon it is.
#[derive(Clone, Copy, PartialEq)]
pub enum Kind {
    /// Heddle's.
    Heddle,
    /// Open vSwitch's.
    OpenVswitch,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Heddle => "heddle",
            Self::OpenVswitch => "ovs",
        }
    }
}

/// A place for one daemon.
pub struct Place {
    kind: Kind,
    folder: PathBuf,
    heddle: PathBuf,
    running: Vec<Child>,
}

/// What a command prints, if it ends well.
///
/// # Errors
/// If it does not.
pub fn good(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("{command:?}"))?;
    ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Waits until something is the case: how long that took.
///
/// # Errors
/// If it is not within half a minute.
pub fn until(what: &str, mut done: impl FnMut() -> bool) -> Result<Duration> {
    let begun = Instant::now();
    while !done() {
        ensure!(begun.elapsed() < LIMIT, "not within {LIMIT:?}: {what}");
        std::thread::sleep(Duration::from_micros(500));
    }
    Ok(begun.elapsed())
}

impl Place {
    /// A place with nothing in its database.
    ///
    /// # Errors
    /// If its folder cannot be made.
    pub fn bare(kind: Kind, heddle: &Path) -> Result<Self> {
        let folder =
            std::env::temp_dir().join(format!("heddle-bench-{}-{}", kind.name(), std::process::id()));
        std::fs::create_dir_all(&folder)?;
        Ok(Self { kind, folder, heddle: heddle.to_owned(), running: Vec::new() })
    }

    /// A place with a bridge between two veth pairs in its database.
    fn new(kind: Kind, heddle: &Path) -> Result<Self> {
        let mut place = Self::bare(kind, heddle)?;
        for side in ["a", "b"] {
            let (switch, host) = place.pair(side);
            good(Command::new("ip").args(["link", "add", &switch, "type", "veth", "peer", "name", &host]))?;
            good(Command::new("ip").args(["link", "set", &switch, "up"]))?;
            good(Command::new("ip").args(["link", "set", &host, "up"]))?;
        }
        place.start(&[])?;
        let [(a, _), (b, _)] = [place.pair("a"), place.pair("b")];
        let kind = if kind == Kind::OpenVswitch { "netdev" } else { "system" };
        let bridge = format!("bench-{}", place.kind.name());
        let words = format!(
            "add-br {bridge} -- set bridge {bridge} datapath_type={kind} -- add-port {bridge} {a} -- add-port {bridge} {b}"
        );
        place.vsctl(&words)?;
        place.stop()?;
        Ok(place)
    }

    /// The switch's end of a cable, and the host's.
    fn pair(&self, side: &str) -> (String, String) {
        let letter = &self.kind.name()[..1];
        (format!("{letter}-{side}0"), format!("{letter}-{side}1"))
    }

    /// A command that finds this daemon.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        for name in ["OVS_RUNDIR", "OVS_DBDIR", "OVS_LOGDIR"] {
            command.env(name, &self.folder);
        }
        command.stdin(Stdio::null());
        command
    }

    /// Runs `ovs-vsctl` on it.
    ///
    /// # Errors
    /// If that fails.
    pub fn vsctl(&self, words: &str) -> Result<String> {
        good(self.command("ovs-vsctl").args(["--retry", "--timeout=60"]).args(words.split_whitespace()))
    }

    fn spawn(&mut self, program: &Path, words: &[&str]) -> Result<()> {
        let mut command = self.command(&program.display().to_string());
        self.running.push(command.args(words).stderr(Stdio::null()).spawn()?);
        Ok(())
    }

    /// Starts the daemons, without waiting for them but where one needs the other.
    ///
    /// # Errors
    /// If one cannot be started.
    pub fn start(&mut self, switch_words: &[&str]) -> Result<()> {
        if self.kind == Kind::Heddle {
            let heddle = self.heddle.clone();
            return self
                .spawn(&heddle, &[&["switchd", "-vconsole:off", "--log-file"], switch_words].concat());
        }
        let database = self.folder.join("conf.db").display().to_string();
        let remote = format!("--remote=punix:{}", self.folder.join("db.sock").display());
        if !Path::new(&database).exists() {
            let schema = "/usr/share/openvswitch/vswitch.ovsschema";
            good(self.command("ovsdb-tool").args(["create", &database, schema]))?;
        }
        let words = ["-vconsole:off", "--log-file", "--pidfile", &remote, &database];
        self.spawn(Path::new("ovsdb-server"), &words)?;
        let socket = self.folder.join("db.sock");
        until("the database's socket", || socket.exists())?;
        let words =
            [&["-vconsole:off", "--log-file", "--pidfile", "--disable-system"], switch_words].concat();
        self.spawn(Path::new("ovs-vswitchd"), &words)
    }

    /// Ends the daemons.
    ///
    /// # Errors
    /// If one is gone already.
    pub fn stop(&mut self) -> Result<()> {
        // The switch first: without its database it would wait.
        for mut child in self.running.drain(..).rev() {
            good(Command::new("kill").arg(child.id().to_string()))?;
            child.wait()?;
        }
        Ok(())
    }

    /// Milliseconds from the start of the first process to the first frame that came through.
    fn first_packet(&mut self) -> Result<f64> {
        let [(_, from), (_, to)] = [self.pair("a"), self.pair("b")];
        // proc(5): after the name and a colon, bytes and packets received.
        let received = || -> u64 {
            let devices = std::fs::read_to_string("/proc/self/net/dev").unwrap_or_default();
            let line = devices.lines().find_map(|line| line.trim().strip_prefix(&format!("{to}:")));
            line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok()).unwrap_or(0)
        };
        let socket = sys::packet_socket(&from)?;
        let before = received();
        let begun = Instant::now();
        self.start(&[])?;
        until("a packet is forwarded", || {
            let mut frames = [sender::frame([0xff; 6], [2, 0, 0, 0, 0, 1]); 1];
            sys::send_all(socket.as_fd(), &mut frames);
            received() > before
        })?;
        Ok(begun.elapsed().as_secs_f64() * 1e3)
    }

    /// MiB that the switch's process holds.
    ///
    /// # Errors
    /// If it is gone.
    pub fn held(&self) -> Result<f64> {
        self.status("VmRSS:")
    }

    /// The most MiB that it has held since [`Place::forget_peak`].
    ///
    /// # Errors
    /// If it is gone.
    pub fn peak(&self) -> Result<f64> {
        self.status("VmHWM:")
    }

    /// Begins to note anew what the switch's process holds at most.
    ///
    /// # Errors
    /// If it is gone.
    pub fn forget_peak(&self) -> Result<()> {
        // proc(5): 5 resets the peak of the resident set.
        Ok(std::fs::write(format!("/proc/{}/clear_refs", self.switch()?), "5")?)
    }

    /// How many flows a bridge has, by what it says itself.
    ///
    /// # Errors
    /// If it does not answer.
    pub fn count_flows(&self, bridge: &str) -> Result<usize> {
        let mut command = match self.kind {
            Kind::Heddle => self.command(&self.heddle.display().to_string()),
            Kind::OpenVswitch => self.command("ovs-ofctl"),
        };
        if self.kind == Kind::Heddle {
            command.arg("ofctl");
        }
        let text = good(command.args(["dump-aggregate", bridge]))?;
        let count =
            text.split("flow_count=").nth(1).and_then(|rest| rest.split_whitespace().next()?.parse().ok());
        count.context("no flow_count")
    }

    /// The process that was started last, which is the switch.
    fn switch(&self) -> Result<u32> {
        Ok(self.running.last().context("nothing runs")?.id())
    }

    /// A line of proc(5)'s status, in MiB.
    fn status(&self, name: &str) -> Result<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.switch()?))?;
        let line = status.lines().find_map(|line| line.strip_prefix(name)).context("a short status")?;
        Ok(line.trim().trim_end_matches(" kB").parse::<f64>()? / 1024.0)
    }

    /// MiB that the processes hold, and processor seconds that they have used.
    fn used(&self) -> Result<(f64, f64)> {
        let (mut held, mut seconds) = (0.0, 0.0);
        for child in &self.running {
            let status = std::fs::read_to_string(format!("/proc/{}/status", child.id()))?;
            let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
            held += line.trim().trim_end_matches(" kB").parse::<f64>()? / 1024.0;
            let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.id()))?;
            let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
            // User and system time, in hundredths of a second: proc(5) fields 14 and 15.
            for at in [11, 12] {
                seconds += fields.get(at).context("a short stat")?.parse::<f64>()? / 100.0;
            }
        }
        Ok((held, seconds))
    }

    /// Seconds that ports take in one transaction, milliseconds each by a client of its own after them, seconds that the
    /// bridge takes to go with all of them, MiB while they are there.
    fn ports(&mut self, count: usize) -> Result<[f64; 4]> {
        self.start(&["--enable-dummy"])?;
        let mut many = String::from("add-br many -- set bridge many datapath_type=dummy");
        for number in 0..count {
            many += &format!(" -- add-port many m{number} -- set interface m{number} type=dummy");
        }
        self.vsctl("show")?;
        let begun = Instant::now();
        self.vsctl(&many)?;
        let together = begun.elapsed().as_secs_f64();
        let (held, _) = self.used()?;
        let begun = Instant::now();
        for number in 0..ONE_BY_ONE {
            self.vsctl(&format!("add-port many o{number} -- set interface o{number} type=dummy"))?;
        }
        let each = begun.elapsed().as_secs_f64() * 1e3 / ONE_BY_ONE as f64;
        let begun = Instant::now();
        self.vsctl("del-br many")?;
        let gone = begun.elapsed().as_secs_f64();
        self.stop()?;
        Ok([together, each, gone, held])
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        for mut child in self.running.drain(..) {
            let _ = child.kill();
            let _ = child.wait();
        }
        for side in ["a", "b"] {
            let _ = Command::new("ip").args(["link", "del", &self.pair(side).0]).output();
        }
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn cases(kind: Kind, ports: usize) -> Vec<Case> {
    let case = |what: &str, unit| Case::new(format!("{} {what}", kind.name()), unit);
    vec![
        case("first packet after start", "ms"),
        case("idle memory", "MiB"),
        case("idle processor", "%"),
        case(&format!("{ports} ports, one transaction"), "s"),
        case("then one by one, each", "ms"),
        case("bridge with all of them deleted", "s"),
        case(&format!("memory with {ports} ports"), "MiB"),
    ]
}

fn round(place: &mut Place, cases: &mut [Case], options: &Options) -> Result<()> {
    let first = place.first_packet()?;
    // What the start left to do is done by then.
    std::thread::sleep(Duration::from_secs(1));
    let (_, before) = place.used()?;
    std::thread::sleep(Duration::from_secs_f64(options.idle));
    let (held, after) = place.used()?;
    place.stop()?;
    let [together, each, gone, most] = place.ports(options.ports)?;
    let busy = (after - before) / options.idle * 100.0;
    cases.iter_mut().zip([first, held, busy, together, each, gone, most]).for_each(|(case, it)| case.add(it));
    Ok(())
}

/// Whether a program is there.
pub fn is_installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).exists())
}

/// Measures, prints, and ends with JSON.
///
/// # Errors
/// If a daemon or a client fails.
pub fn run(options: &Options) -> Result<()> {
    ensure!(options.rounds != 0, "there is at least one round");
    if !is_installed("ovs-vsctl") {
        bail!("ovs-vsctl is not installed (Debian: apt install openvswitch-switch)");
    }
    let mut kinds = vec![Kind::Heddle];
    if is_installed("ovs-vswitchd") && is_installed("ovsdb-server") {
        kinds.push(Kind::OpenVswitch);
    } else {
        println!("SKIPPED: ovs is not installed");
    }
    let mut places =
        kinds.iter().map(|&kind| Place::new(kind, &options.heddle)).collect::<Result<Vec<_>>>()?;
    let mut all: Vec<Vec<Case>> = kinds.iter().map(|&kind| cases(kind, options.ports)).collect();
    for number in 0..options.rounds {
        for (place, cases) in places.iter_mut().zip(&mut all) {
            round(place, cases, options)?;
            eprintln!("round {} of {}: {}", number + 1, options.rounds, place.kind.name());
        }
    }
    all.iter().for_each(|cases| rounds::print(cases));
    if let [heddle, ovs] = all.as_slice() {
        for (heddle, ovs) in heddle.iter().zip(ovs).filter(|(_, ovs)| ovs.median() > 0.0) {
            println!("{:<42} {:9.2} of ovs's", heddle.name(), heddle.ratio(ovs));
        }
    }
    let cases: serde_json::Map<_, _> = all.iter().flat_map(|cases| rounds::json(cases)).collect();
    println!("{}", json!({ "daemon": cases }));
    Ok(())
}
