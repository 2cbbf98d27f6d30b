//! What a lab's supervisor tells the switch process, and what it answers.
//!
//! Messages are JSON, one to a datagram of a `SOCK_SEQPACKET` socket, at most [`MAX_DATAGRAM`] bytes and
//! [`MAX_DESCRIPTORS`] descriptors each: a large configuration is sent as several messages. A message states
//! what is wanted, not what changed, so that it can be sent again after a restart.

use heddle_link::{LineStatistics, Profile};
use serde::{Deserialize, Serialize};

/// What is said of the queues of a port.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PortQueues {
    /// What the port may send, in bit/s.
    pub max_bps: Option<u64>,
    /// Queues by number.
    pub queues: std::collections::BTreeMap<u32, QueueRates>,
    /// Since when they are as they are, in milliseconds of the datapath's clock.
    pub since_ms: u64,
}

/// What a queue is promised and allowed, in bit/s.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueRates {
    /// Rate that it is guaranteed.
    pub min_bps: Option<u64>,
    /// Rate that it may not pass.
    pub max_bps: Option<u64>,
}

/// Most bytes of JSON in one datagram.
pub const MAX_DATAGRAM: usize = 128 * 1024;
/// Most descriptors that ride along with one datagram (the kernel takes 253).
pub const MAX_DESCRIPTORS: usize = 200;

/// From the supervisor to the switch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ToSwitch {
    /// The wanted state of the bridges named. Descriptors of TAP ports ride along, in the order of their index.
    Configure {
        /// Each bridge with all of its ports that this message adds or removes.
        bridges: Vec<BridgeConfig>,
    },
    /// Puts cables of ports in or out.
    Links {
        /// The ports' ends of the cables.
        links: Vec<LinkConfig>,
    },
    /// Gives ports' lines a profile: what packets meet on their way.
    Lines {
        /// The ports' ends of links.
        lines: Vec<LineConfig>,
    },
    /// Asks what has happened on lines.
    LineReports {
        /// How many of them the asker has already.
        from: usize,
    },
    /// Begins to write what passes an interface to the descriptor that rides along.
    Capture {
        /// Of what.
        capture: CaptureConfig,
    },
    /// Ends a capture.
    StopCapture {
        /// Its number.
        id: u64,
    },
    /// Asks how the bridges fare.
    Status,
    /// Asks for a clean exit.
    Exit,
}

/// One bridge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BridgeConfig {
    /// Its name, unique in the process.
    pub name: String,
    /// OpenFlow datapath id.
    pub datapath_id: u64,
    /// What happens to packets while no controller is connected.
    pub fail_mode: FailMode,
    /// Versions of OpenFlow that are spoken, as `OpenFlow13`; every one where none is named.
    #[serde(default)]
    pub protocols: Vec<String>,
    /// Active connections to controllers: `tcp:ADDRESS:PORT` or `unix:PATH`.
    #[serde(default)]
    pub controllers: Vec<String>,
    /// The spanning tree protocol that it takes part in, by all of its ports but its own.
    #[serde(default)]
    pub spanning_tree: Option<SpanningTree>,
    /// Ports to add, or to remove where `removed` is set; ports not named stay as they are.
    #[serde(default)]
    pub ports: Vec<PortConfig>,
    /// Remove the bridge with all its ports.
    #[serde(default)]
    pub removed: bool,
}

/// One port of a bridge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortConfig {
    /// Its name, unique in the process.
    pub name: String,
    /// Its OpenFlow port number, 1 to 65279.
    pub ofport: u32,
    /// What stands behind it.
    pub kind: PortKind,
    /// The cable is out: nothing passes, and both ends see it.
    #[serde(default)]
    pub link_down: bool,
    /// No bridge is behind it: where there is a spanning tree it forwards at once.
    #[serde(default)]
    pub edge: bool,
    /// Remove the port.
    #[serde(default)]
    pub removed: bool,
}

/// A port's end of a cable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkConfig {
    /// The bridge.
    pub bridge: String,
    /// The port's number there.
    pub ofport: u32,
    /// Whether the cable is out.
    pub down: bool,
}

/// What packets meet between a port and what stands behind it. The line into a patch port is the one out by its peer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LineConfig {
    /// The bridge.
    pub bridge: String,
    /// The port's number there.
    pub ofport: u32,
    /// On the way out by the port.
    pub out: Profile,
    /// On the way in by the port, from its device.
    #[serde(default)]
    pub inward: Profile,
    /// What the dice of the two ways are drawn with, when they are first given a profile that needs some.
    pub seeds: [u64; 2],
}

/// What has happened on a line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LineReport {
    /// The bridge.
    pub bridge: String,
    /// The port's number there.
    pub ofport: u32,
    /// Whether it is the line out by the port; else that in from its device.
    pub out: bool,
    /// What has happened.
    pub statistics: LineStatistics,
}

/// A capture.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CaptureConfig {
    /// Its number.
    pub id: u64,
    /// The interface's name.
    pub interface: String,
    /// The bridge that has it, or the port that it is behind.
    pub bridge: String,
    /// The port's number there.
    pub ofport: u32,
    /// The interface is that behind the port: what the port receives is what it sends.
    pub far_side: bool,
    /// The lines of the link, for those that it has not got yet: what is captured passes one.
    pub lines: Vec<LineConfig>,
}

/// Most lines of one [`FromSwitch::LineReports`], so that they fit a datagram.
pub const LINES_A_MESSAGE: usize = 100;

/// What stands behind a port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum PortKind {
    /// A TAP that the switch makes in its own network namespace, called like the port.
    Tap,
    /// A TAP made elsewhere, whose descriptor rides along.
    TapDescriptor {
        /// Index into the message's descriptors.
        fd: u32,
        /// The host's Ethernet address, for display.
        mac: [u8; 6],
        /// Largest network-layer packet in bytes.
        mtu: u32,
    },
    /// One end of a patch to another bridge of this process.
    Patch {
        /// The other bridge.
        peer_bridge: String,
        /// The port there.
        peer_port: String,
    },
    /// An existing kernel interface.
    Packet {
        /// The interface's name in the switch's namespace.
        interface: String,
    },
    /// A device in memory.
    Dummy,
}

/// A spanning tree protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SpanningTree {
    /// That of IEEE 802.1D-1998, which takes half a minute.
    Stp,
    /// That of IEEE 802.1D-2004, which takes a moment.
    Rstp,
}

/// What happens to packets while no controller is connected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailMode {
    /// The bridge forwards by itself, as a learning switch.
    #[default]
    Standalone,
    /// The bridge does only what its flow tables say.
    Secure,
}

/// From the switch to the supervisor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum FromSwitch {
    /// The process is up and waits for its configuration.
    Ready,
    /// A `Configure` message has taken effect.
    Configured,
    /// How the bridges fare.
    Status {
        /// All bridges together.
        status: Status,
    },
    /// What has happened on lines, in the order of their bridges and ports.
    LineReports {
        /// At most [`LINES_A_MESSAGE`] of them.
        lines: Vec<LineReport>,
    },
    /// A capture has ended.
    Captured {
        /// Packets that it has written.
        packets: u64,
        /// Packets that passed while the writer was behind.
        missed: u64,
    },
    /// A `Configure` message was refused, whole.
    Failed {
        /// What is wrong, naming the object.
        message: String,
    },
}

/// How the bridges of a switch fare, all together so that the answer fits a datagram.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Bridges that are to have a controller, and have none connected.
    pub unconnected: u32,
    /// Bridges without any flow.
    pub without_flows: u32,
    /// Bridges whose spanning tree has not settled.
    #[serde(default)]
    pub unsettled: u32,
    /// Packets dropped since the start, by reason, in the order of their number.
    pub drops: Vec<(String, u64)>,
    /// Cached answers that were found wrong.
    pub mismatches: u64,
}
