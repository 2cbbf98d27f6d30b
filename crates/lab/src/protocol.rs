//! What is said over a lab's `control.sock`, and between the starter and the supervisor.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use heddle_link::LineStatistics;
use heddle_switch::config::Status;
use serde::{Deserialize, Serialize};

pub use crate::fidelity::Fidelity;
use crate::topology::{Additions, End, FailMode, Parts, Profile, Removals, Topology};

/// Who programs the switches.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Controller {
    /// Heddle's learning controller, a child of the supervisor.
    #[default]
    BuiltIn,
    /// Nobody: switches forward by themselves.
    None,
    /// A controller that the user runs, at `ADDRESS:PORT` as the machine sees it.
    Remote(String),
}

/// How hosts' devices reach the switch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wiring {
    /// By TAPs in the hosts: one device a host, whole segments at the lowest cost.
    Tap,
    /// By veth pairs, whose ends `s1-eth1`.. are in the lab's own network namespace.
    Veth,
}

/// How hosts find the Ethernet addresses of each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Arp {
    /// On the wire in small labs; from the lab in those that would outgrow the kernel's one table of neighbours.
    #[default]
    Auto,
    /// By ARP and ND on the wire.
    Dynamic,
    /// From the lab, without a word on the wire.
    Static,
}

/// All that the supervisor must know.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Launch {
    /// The lab's name.
    pub name: String,
    /// Its run directory.
    pub run_directory: PathBuf,
    /// The program whose hidden subcommands are the children.
    pub program: PathBuf,
    /// Hosts, switches and links.
    pub topology: Topology,
    /// Who programs the switches.
    pub controller: Controller,
    /// For switches that do not say; standalone without a controller, else secure.
    pub fail_mode: Option<FailMode>,
    /// How hosts' devices reach the switch; by TAPs if they can be had, when `None`.
    pub wiring: Option<Wiring>,
    /// How hosts find the Ethernet addresses of each other.
    #[serde(default)]
    pub arp: Arp,
    /// Lives on when its starter ends.
    pub detached: bool,
}

/// From the supervisor to its starter.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Progress {
    /// A step begins; a line for the user.
    Step(String),
    /// How far a step is.
    Counted {
        /// The step.
        step: String,
        /// How many are done.
        done: usize,
        /// Of how many.
        of: usize,
    },
    /// Something is lost or at risk, but the lab goes on.
    Warning(String),
    /// The lab is up.
    Ready,
    /// The lab could not be started.
    Failed(String),
}

/// From a client.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// Run a program in a host; standard input, output and error ride along. Signals may follow.
    Exec {
        /// The host.
        host: String,
        /// Program and arguments.
        argv: Vec<String>,
        /// The whole environment.
        env: BTreeMap<String, String>,
        /// Working directory.
        cwd: Option<PathBuf>,
    },
    /// Send a signal to the program that this connection runs.
    Signal(i32),
    /// State of the lab.
    Info,
    /// Ping between hosts.
    Ping {
        /// Who asks; all when empty.
        from: Vec<String>,
        /// Who should answer; all when empty.
        to: Vec<String>,
        /// IPv6 instead of IPv4.
        ipv6: bool,
        /// Seconds to wait for an answer.
        timeout: u32,
    },
    /// TCP throughput between two hosts, with iperf3.
    Iperf {
        /// Where the client runs.
        client: String,
        /// Where the server runs.
        server: String,
        /// Duration.
        seconds: u32,
    },
    /// Put the cables of the links between two nodes in or out.
    Link {
        /// One node.
        a: String,
        /// The other.
        b: String,
        /// Up or down.
        up: bool,
    },
    /// Add hosts, switches and links.
    Add(Additions),
    /// Remove hosts, switches and links.
    Remove(Removals),
    /// What the lab consists of, if it is not as it was in a version.
    Topology {
        /// The version that is known.
        but: Option<u64>,
    },
    /// Change what packets meet on the links between two nodes.
    Shape {
        /// One node.
        a: String,
        /// The other.
        b: String,
        /// What changes, in the words of a [`Profile`].
        settings: String,
        /// Only on the way from `a` to `b`.
        one_way: bool,
    },
    /// Write what passes an interface to the descriptor that rides along, as pcapng, until the connection ends or
    /// [`Request::StopCapture`] comes.
    Capture {
        /// The interface's name, as `h1-eth0` or `s1-eth2`.
        interface: String,
    },
    /// End the capture of this connection.
    StopCapture,
    /// What has happened on links.
    Links,
    /// Whether the machine keeps up with the links.
    Fidelity,
    /// End the lab.
    Stop,
}

/// The answer to a request.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// The program's exit code; 128 + N when signal N ended it.
    Exit(i32),
    /// State of the lab.
    Info(Box<Info>),
    /// Each pair that was tried, in order.
    Ping(Vec<Pinged>),
    /// Throughput.
    Iperf(Throughput),
    /// A change was made.
    Changed(Box<Changed>),
    /// What the lab consists of.
    Topology {
        /// The version: how many changes there were.
        version: u64,
        /// The topology; absent where that version is known.
        topology: Option<Box<Topology>>,
    },
    /// A capture has ended.
    Captured {
        /// Packets that it has written.
        packets: u64,
        /// Packets that passed while the writer was behind.
        missed: u64,
    },
    /// Each link, in the order of the topology.
    Links(Vec<LinkReport>),
    /// Whether the machine keeps up.
    Fidelity(Fidelity),
    /// Done.
    Done,
    /// What was wrong, naming the object.
    Error(String),
}

/// What a change added or removed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changed {
    /// Hosts, switches and links.
    #[serde(flatten)]
    pub parts: Parts,
    /// What is at risk from now on.
    pub warning: Option<String>,
}

/// State of a lab.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Info {
    /// What it was started with.
    pub launch: Launch,
    /// How often the switch process was replaced.
    pub switch_restarts: u32,
    /// Time without forwarding in the last replacement.
    pub last_outage_ms: Option<u64>,
    /// Links whose cable is out, by their place in the topology.
    pub links_down: BTreeSet<usize>,
    /// How the switch fares; absent while it is being restarted.
    pub switch: Option<Status>,
}

/// A link and what has happened on it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LinkReport {
    /// One end.
    pub a: End,
    /// The other.
    pub b: End,
    /// Whether its cable is out.
    pub down: bool,
    /// The way from `a` to `b`.
    pub a_to_b: WayReport,
    /// The way from `b` to `a`.
    pub b_to_a: WayReport,
}

/// One way of a link.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct WayReport {
    /// What packets meet.
    pub profile: Profile,
    /// What has happened; absent where packets have always passed as if there were no link.
    pub statistics: Option<LineStatistics>,
}

/// One pair of hosts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pinged {
    /// Who asked.
    pub from: String,
    /// Who should answer.
    pub to: String,
    /// Whether it did.
    pub answered: bool,
}

/// TCP throughput in bit/s as each end saw it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Throughput {
    /// Sent by the client.
    pub sent: f64,
    /// Received by the server.
    pub received: f64,
}
