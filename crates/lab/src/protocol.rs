//! What the client, the watcher and the supervisor of a lab say to each other.
//!
//! Messages are JSON, one to a line. A start configuration and events go over a socket that is the supervisor's
//! standard input; requests go over `control.sock`, one to a connection, and an `exec` carries its three standard
//! streams as descriptors with the request.

use crate::plan::Plan;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Longest line that is read.
pub(crate) const MAX_LINE: u64 = 64 * 1024 * 1024;
/// Longest request that is read.
pub(crate) const MAX_REQUEST: usize = 4 * 1024 * 1024;

/// Everything a supervisor is to make.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct StartConfig {
    pub name: String,
    pub base: PathBuf,
    pub plan: Plan,
    pub controller: Controller,
    pub detach: bool,
}

/// Who programs the switches.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Controller {
    /// The lab's own learning switch, in a process of its own.
    #[default]
    BuiltIn,
    /// One that runs elsewhere: `[tcp:]ADDRESS:PORT` as seen from the machine, or `unix:PATH`.
    Remote(String),
    /// None: the switches forward by themselves.
    None,
}

/// From the supervisor while it starts.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Event {
    Progress(String),
    Ready,
    Failed(String),
}

/// From a client.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum Request {
    Exec {
        host: String,
        argv: Vec<String>,
        env: Vec<(String, String)>,
        cwd: PathBuf,
    },
    Info,
    PingAll {
        v6: bool,
    },
    Iperf {
        from: String,
        to: String,
        seconds: u32,
    },
    Stop,
}

/// During an `exec`: a signal for the program.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Signal {
    pub signal: i32,
}

/// To a client.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum Response {
    Exit { code: i32 },
    Info { info: Info },
    Ping { report: PingReport },
    Iperf { report: IperfReport },
    Done,
    Error { message: String },
}

/// A running lab.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Info {
    /// Its name.
    pub name: String,
    /// What it was made of.
    pub plan: Plan,
    /// Who programs the switches.
    pub controller: Controller,
    /// How the hosts are joined to the switch.
    pub attachment: heddle_instance::Attachment,
    /// The switch's process id inside the lab's own process namespace; none while it is restarted.
    pub switch_pid: Option<u32>,
    /// Each restart of the switch.
    pub restarts: Vec<Restart>,
    /// How many restarts there were; `restarts` holds the last hundred.
    pub restart_count: u64,
}

/// One restart of the switch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restart {
    /// Seconds after the lab's start.
    pub at_seconds: u64,
    /// How long nothing was forwarded.
    pub without_forwarding_ms: u64,
}

/// What a `pingall` saw.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PingReport {
    /// The hosts, in order.
    pub hosts: Vec<String>,
    /// Pings sent, one for each ordered pair of hosts.
    pub sent: usize,
    /// Pings answered.
    pub received: usize,
    /// The pairs whose ping was not answered.
    pub lost: Vec<(String, String)>,
}

/// What an `iperf` measured.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct IperfReport {
    /// Rate at the sender.
    pub sent_bits_per_second: f64,
    /// Rate at the receiver.
    pub received_bits_per_second: f64,
    /// TCP segments sent again.
    pub retransmits: u64,
    /// How long it ran.
    pub seconds: f64,
}
