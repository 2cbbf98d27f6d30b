//! What the rows of a database ask for.

use std::collections::BTreeMap;
use std::time::Duration;

use heddle_flow::Field;
use heddle_openflow::Version;
use heddle_ovsdb::replica::{Row, Tables};
use heddle_ovsdb::types::{Atom, Uuid};
use heddle_pipeline::table::TableLimit;

use super::cable::End;
use super::tree::{self, Tree};
use super::{Dummies, Options};
use crate::config::{FailMode, PortQueues, QueueRates};
use crate::controllers::{Controller, MAX_BACKOFF, MAX_QUEUE_SIZE, PROBE, QUEUE_SIZE, RateLimit};

/// The tables and columns that are followed.
pub const FOLLOWED: &[(&str, &[&str])] = &[
    (
        "Open_vSwitch",
        &[
            "bridges",
            "next_cfg",
            "cur_cfg",
            "other_config",
            "ovs_version",
            "db_version",
            "system_type",
            "system_version",
            "datapath_types",
            "iface_types",
        ],
    ),
    (
        "Bridge",
        &[
            "name",
            "datapath_type",
            "ports",
            "controller",
            "fail_mode",
            "protocols",
            "other_config",
            "flow_tables",
            "stp_enable",
            "rstp_enable",
        ],
    ),
    ("Flow_Table", &["name", "flow_limit", "overflow_policy", "groups"]),
    ("Port", &["name", "interfaces", "qos", "other_config"]),
    ("QoS", &["queues", "other_config"]),
    ("Queue", &["other_config"]),
    ("Interface", &["name", "type", "options", "ofport", "ofport_request", "mac", "mtu_request"]),
    (
        "Controller",
        &[
            "target",
            "max_backoff",
            "inactivity_probe",
            "connection_mode",
            "enable_async_messages",
            "controller_queue_size",
            "controller_rate_limit",
            "controller_burst_limit",
        ],
    ),
];

/// Types of interfaces that Open vSwitch has, and this switch not yet.
const LATER: &[&str] = &[
    "afxdp",
    "bareudp",
    "erspan",
    "geneve",
    "gre",
    "gtpu",
    "ip6erspan",
    "ip6gre",
    "lisp",
    "srv6",
    "stt",
    "vxlan",
];
/// Types that are understood, for the `iface_types` column.
pub const INTERFACE_TYPES: &[&str] = &["internal", "patch", "system", "tap"];
/// Types that are understood besides where dummies are.
pub const DUMMY_TYPES: &[&str] = &["dummy", "dummy-internal", "dummy-pmd", "dummy-system"];
/// Types of datapaths that are understood.
pub const DATAPATH_TYPES: &[&str] = &["netdev", "system"];
/// Milliseconds between two writings of statistics, where nothing else is said, and the least that may be said.
const STATISTICS_MS: (u64, u64) = (5_000, 1_000);

/// What stands behind an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An interface that the kernel has.
    System,
    /// An interface that is made for the machine that the switch runs on.
    Internal,
    /// A TAP, for a program to open.
    Tap,
    /// One end of a patch, and the interface that is its other end.
    Patch(String),
    /// A device in memory, with its cable.
    Dummy(Option<End>),
}

/// An interface as its row has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Its row.
    pub row: Uuid,
    /// Its name.
    pub name: String,
    /// What stands behind it, or why nothing can.
    pub kind: Result<Kind, String>,
    /// Whether it is the bridge's own.
    pub local: bool,
    /// The port number that is asked for.
    pub request: Option<u32>,
    /// The address that is asked for.
    pub mac: Option<[u8; 6]>,
    /// The MTU that is asked for.
    pub mtu: Option<u32>,
    /// For a patch, the bridge that has its other end.
    pub peer_bridge: Option<String>,
}

/// A bridge as its row has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bridge {
    /// Its row.
    pub row: Uuid,
    /// Its name.
    pub name: String,
    /// The OpenFlow id that is asked for.
    pub datapath_id: Option<u64>,
    /// The address that is asked for.
    pub hwaddr: Option<[u8; 6]>,
    /// Seconds after which an unused address is forgotten.
    pub aging_s: Option<u64>,
    /// Most learned addresses.
    pub addresses: Option<usize>,
    /// Flow tables of which something is said: their names, and how many flows they may have.
    pub tables: BTreeMap<u8, (Option<String>, TableLimit)>,
    /// Milliseconds after which a bundle that nobody adds to is forgotten, where something is said.
    pub bundle_idle_ms: Option<u64>,
    /// Packets that are kept for each controller.
    pub packet_buffers: usize,
    /// What is said of queues, by the names of interfaces.
    pub queues: BTreeMap<String, PortQueues>,
    /// Controllers and what happens without them.
    pub(crate) control: crate::bridge::Wanted,
    /// The rows of its controllers, by their names.
    pub controllers: BTreeMap<String, Uuid>,
    /// Its interfaces, by their names.
    pub interfaces: BTreeMap<String, Interface>,
    /// The port numbers that the rows remember.
    pub remembered: BTreeMap<String, u32>,
    /// The spanning tree that it is to take part in.
    pub tree: Option<Tree>,
    /// The rows of its ports, and the interface of each that has one alone.
    pub port_rows: Vec<(Uuid, Option<String>)>,
}

/// All that the rows ask for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// The row of the whole switch.
    pub root: Option<Uuid>,
    /// The configuration that is to be in force.
    pub next_cfg: i64,
    /// Milliseconds between two writings of statistics.
    pub statistics_ms: u64,
    /// The bridges, by their names.
    pub bridges: BTreeMap<String, Bridge>,
}

impl Wanted {
    /// Reads the rows.
    #[must_use]
    pub fn read(tables: &Tables, options: Options) -> Self {
        let Some(root) = tables.rows("Open_vSwitch").next() else { return Self::default() };
        let restoring = root.text_of("other_config", "flow-restore-wait") == Some("true");
        let said = root.text_of("other_config", "stats-update-interval").and_then(|text| text.parse().ok());
        let rows = root.references("bridges").filter_map(|uuid| tables.row("Bridge", uuid));
        let mut bridges: BTreeMap<String, Bridge> = rows
            .filter(|row| is_name(row.text("name")))
            .map(|row| (row.text("name").to_owned(), bridge(tables, row, options, restoring)))
            .collect();
        find_peers(&mut bridges);
        Self {
            root: Some(root.uuid),
            next_cfg: root.integer("next_cfg").unwrap_or(0),
            statistics_ms: said.unwrap_or(STATISTICS_MS.0).max(STATISTICS_MS.1),
            bridges,
        }
    }
}

/// Whether a name can be that of a file and of an interface.
fn is_name(name: &str) -> bool {
    !name.is_empty() && name != "." && name != ".." && !name.contains(['/', '\0', '\n'])
}

/// Finds the bridge of each patch's other end.
fn find_peers(bridges: &mut BTreeMap<String, Bridge>) {
    let mut homes: BTreeMap<String, (String, String)> = BTreeMap::new();
    for bridge in bridges.values() {
        for interface in bridge.interfaces.values() {
            if let Ok(Kind::Patch(peer)) = &interface.kind {
                homes.insert(interface.name.clone(), (bridge.name.clone(), peer.clone()));
            }
        }
    }
    for interface in bridges.values_mut().flat_map(|bridge| bridge.interfaces.values_mut()) {
        if let Ok(Kind::Patch(peer)) = &interface.kind {
            // Both ends must name each other.
            let home = homes.get(peer).filter(|(_, back)| *back == interface.name);
            interface.peer_bridge = home.map(|(bridge, _)| bridge.clone());
        }
    }
}

fn bridge(tables: &Tables, row: Row<'_>, options: Options, restoring: bool) -> Bridge {
    let name = row.text("name").to_owned();
    let other = |key: &str| row.text_of("other_config", key);
    let dummy = options.dummies == Dummies::Override || row.text("datapath_type") == "dummy";
    let mut interfaces = BTreeMap::new();
    let mut remembered = BTreeMap::new();
    let ports = row.references("ports").filter_map(|uuid| tables.row("Port", uuid));
    let ports: Vec<Row<'_>> = ports.collect();
    let queues = ports.iter().flat_map(|port| queues(tables, *port)).collect();
    let rows = ports.iter().flat_map(|port| port.references("interfaces").collect::<Vec<_>>());
    for row in rows.filter_map(|uuid| tables.row("Interface", uuid)) {
        let interface = interface(row, &name, dummy, options);
        let number = row.integer("ofport").and_then(port_number);
        remembered.extend(number.map(|number| (interface.name.clone(), number)));
        interfaces.insert(interface.name.clone(), interface);
    }
    let (control, controllers) = control(tables, row, restoring);
    let idle = tables
        .rows("Open_vSwitch")
        .next()
        .and_then(|root| root.text_of("other_config", "bundle-idle-timeout"));
    Bridge {
        row: row.uuid,
        datapath_id: other("datapath-id").and_then(datapath_id),
        hwaddr: other("hwaddr").and_then(address),
        aging_s: other("mac-aging-time").and_then(|text| text.parse().ok()).filter(|seconds| *seconds > 0),
        addresses: other("mac-table-size").and_then(|text| text.parse().ok()),
        tables: flow_tables(tables, row),
        // Less than a second is not understood, as in Open vSwitch.
        bundle_idle_ms: idle
            .and_then(|text| text.parse::<u64>().ok())
            .filter(|&s| s != 0)
            .map(|s| s.saturating_mul(1000)),
        // None where nothing is said, as in Open vSwitch, which has none.
        packet_buffers: other("packet-buffers").and_then(|text| text.parse().ok()).unwrap_or(0),
        queues,
        control,
        controllers,
        interfaces,
        remembered,
        tree: tree::read(tables, row),
        port_rows: tree::port_rows(tables, row),
        name,
    }
}

/// What a port's QoS row says of queues, for each of its interfaces.
fn queues(tables: &Tables, port: Row<'_>) -> Vec<(String, PortQueues)> {
    let Some(qos) = port.references("qos").next().and_then(|uuid| tables.row("QoS", uuid)) else {
        return Vec::new();
    };
    let rate = |row: Row<'_>, key: &str| row.text_of("other_config", key).and_then(|text| text.parse().ok());
    let queue = |(number, row): (&Atom, &Atom)| {
        let Atom::Integer(number) = number else { return None };
        let row = tables.row("Queue", row.as_uuid()?)?;
        let rates = QueueRates { min_bps: rate(row, "min-rate"), max_bps: rate(row, "max-rate") };
        Some((u32::try_from(*number).ok()?, rates))
    };
    let queues = qos.column("queues").pairs().filter_map(queue).collect();
    let said = PortQueues { max_bps: rate(qos, "max-rate"), queues, since_ms: 0 };
    let interfaces = port.references("interfaces").filter_map(|uuid| tables.row("Interface", uuid));
    interfaces.map(|row| (row.text("name").to_owned(), said.clone())).collect()
}

/// What is said of flow tables.
fn flow_tables(tables: &Tables, row: Row<'_>) -> BTreeMap<u8, (Option<String>, TableLimit)> {
    let of = |(number, row): (&Atom, &Atom)| {
        let number = match number {
            Atom::Integer(number) => u8::try_from(*number).ok()?,
            _ => return None,
        };
        let row = tables.row("Flow_Table", row.as_uuid()?)?;
        let groups = row.column("groups").keys().iter().filter_map(|name| group_field(name.as_str()?));
        let limit = TableLimit {
            flows: row.integer("flow_limit").and_then(|limit| usize::try_from(limit).ok()),
            evicts: row.text("overflow_policy") == "evict",
            groups: groups.collect(),
        };
        let name = Some(row.text("name").to_owned()).filter(|name| !name.is_empty());
        Some((number, (name, limit)))
    };
    row.column("flow_tables").pairs().filter_map(of).collect()
}

/// The field by which flows are grouped. Parts of fields are not told apart: the whole field is meant then.
fn group_field(text: &str) -> Option<Field> {
    let name = text.split_once('[').map_or(text, |(name, _)| name);
    heddle_openflow::text::field_by_name(name).or_else(|| {
        log::warn!(target: "bridge", "flows cannot be grouped by \"{text}\", which is no field");
        None
    })
}

fn interface(row: Row<'_>, bridge: &str, dummy: bool, options: Options) -> Interface {
    let name = row.text("name").to_owned();
    let local = name == bridge;
    let kind = if !is_name(&name) {
        Err("the name is no interface's".into())
    } else if !local && is_reserved(&name) {
        Err(format!("could not create interface {name}, name is reserved"))
    } else {
        kind(row, local, dummy, options)
    };
    Interface {
        row: row.uuid,
        request: row.integer("ofport_request").and_then(port_number),
        mac: row.column("mac").as_str().and_then(address),
        mtu: row.integer("mtu_request").and_then(|mtu| u32::try_from(mtu).ok()),
        peer_bridge: None,
        name,
        kind,
        local,
    }
}

/// Whether a name is of those that Open vSwitch keeps for its own devices: its datapaths', and its tunnels' in the
/// system. The database stays one that either can be started from.
fn is_reserved(name: &str) -> bool {
    let datapath = name.strip_prefix("ovs-");
    let tunnel = [
        "bareudp_sys",
        "erspan_sys",
        "genev_sys",
        "gre_sys",
        "gtpu_sys",
        "ip6erspan_sys",
        "ip6gre_sys",
        "lisp_sys",
        "srv6_sys",
        "stt_sys",
        "vxlan_sys",
    ];
    datapath.is_some_and(|kind| kind == "dummy" || DATAPATH_TYPES.contains(&kind))
        || tunnel.iter().any(|reserved| name.starts_with(reserved))
}

/// The cable of a dummy, where its options say one.
fn cable(row: Row<'_>) -> Option<End> {
    let waits = row.text_of("options", "pstream").map(|place| End::Waits(place.to_owned()));
    waits.or_else(|| row.text_of("options", "stream").map(|target| End::Calls(target.to_owned())))
}

fn kind(row: Row<'_>, local: bool, dummy: bool, options: Options) -> Result<Kind, String> {
    let name = row.text("name");
    let asked = row.text("type");
    let in_memory = || Kind::Dummy(cable(row));
    let device = |kind: Kind| if dummy { in_memory() } else { kind };
    match asked {
        "patch" => match row.text_of("options", "peer") {
            None | Some("") => Err(format!("{name}: patch type requires valid 'peer' argument")),
            Some(peer) if peer == name => Err(format!("{name}: patch peer must not be self")),
            Some(peer) => Ok(Kind::Patch(peer.to_owned())),
        },
        _ if local || asked == "internal" => Ok(device(Kind::Internal)),
        "" | "system" if options.without_system && !dummy => {
            Err(format!("{name}: interfaces of the system are disabled (--disable-system)"))
        }
        "" | "system" => Ok(device(Kind::System)),
        "tap" => Ok(device(Kind::Tap)),
        _ if DUMMY_TYPES.contains(&asked) => match options.dummies {
            Dummies::Off => Err(format!(
                "could not open network device {name} (Address family not supported by protocol)"
            )),
            Dummies::On | Dummies::Override => Ok(in_memory()),
        },
        _ if LATER.contains(&asked) && options.dummies != Dummies::Override => {
            Err(format!("{name}: interfaces of type {asked} are not supported yet"))
        }
        _ if LATER.contains(&asked) => Ok(in_memory()),
        _ => Err(format!("could not open network device {name} (Address family not supported by protocol)")),
    }
}

/// How many packets a controller gets, where its row bounds that.
fn limit(row: Row<'_>) -> Option<RateLimit> {
    let number = |column: &str| row.integer(column).and_then(|number| u32::try_from(number).ok());
    let per_second = number("controller_rate_limit").filter(|rate| *rate != 0)?;
    // A packet waits for at most a quarter of a second, as in Open vSwitch.
    let burst = number("controller_burst_limit").unwrap_or(per_second / 4).max(1);
    Some(RateLimit { per_second, burst })
}

fn control(
    tables: &Tables,
    row: Row<'_>,
    restoring: bool,
) -> (crate::bridge::Wanted, BTreeMap<String, Uuid>) {
    let fail_mode = match row.text("fail_mode") {
        "secure" => FailMode::Secure,
        _ => FailMode::Standalone,
    };
    let queue_size = row.text_of("other_config", "controller-queue-size").and_then(|text| text.parse().ok());
    let out_of_band = row.text_of("other_config", "disable-in-band") == Some("true");
    let mut unusable = false;
    let mut controllers = Vec::new();
    let mut rows = BTreeMap::new();
    for row in row.references("controller").filter_map(|uuid| tables.row("Controller", uuid)) {
        let target = row.text("target");
        rows.insert(target.to_owned(), row.uuid);
        // What is wrong with a target is written to its row.
        let Ok(controller) = Controller::new(target) else {
            unusable = true;
            continue;
        };
        let ms = |column: &str| row.integer(column).and_then(|ms| u64::try_from(ms).ok());
        controllers.push(Controller {
            max_backoff: ms("max_backoff").map_or(MAX_BACKOFF, Duration::from_millis),
            probe: ms("inactivity_probe")
                .map_or(Some(PROBE), |ms| (ms != 0).then(|| Duration::from_millis(ms))),
            limit: limit(row),
            in_band: !out_of_band && row.text("connection_mode") != "out-of-band",
            queue_size: row
                .integer("controller_queue_size")
                .or(queue_size)
                .and_then(|size| usize::try_from(size).ok())
                .map_or(QUEUE_SIZE, |size| size.clamp(1, MAX_QUEUE_SIZE)),
            asynchronous: row.column("enable_async_messages").as_boolean() != Some(false),
            ..controller
        });
    }
    let names = row.column("protocols").keys().iter().filter_map(|name| name.as_str());
    let versions = names.filter_map(Version::by_name).fold(0, |bits, version| bits | version.bit());
    (crate::bridge::Wanted { fail_mode, controllers, versions, unusable, restoring }, rows)
}

/// The versions that are spoken, as the `protocols` column names them.
#[must_use]
pub fn protocols() -> Vec<&'static str> {
    Version::ALL.iter().map(|version| version.name()).collect()
}

/// A number that a port can have.
fn port_number(number: i64) -> Option<u32> {
    u32::try_from(number).ok().filter(|number| (1..=super::plan::LAST_NUMBER).contains(number))
}

/// An Ethernet address that a device can have.
pub(super) fn address(text: &str) -> Option<[u8; 6]> {
    let mut bytes = [0; 6];
    let mut parts = text.trim().split(':');
    for byte in &mut bytes {
        let part = parts.next().filter(|part| (1..=2).contains(&part.len()))?;
        *byte = u8::from_str_radix(part, 16).ok()?;
    }
    (parts.next().is_none() && bytes[0] & 1 == 0 && bytes != [0; 6]).then_some(bytes)
}

/// A datapath id: 16 hexadecimal digits, or `0x` and fewer; not zero.
fn datapath_id(text: &str) -> Option<u64> {
    let digits = match text.strip_prefix("0x") {
        Some(digits) if (1..=16).contains(&digits.len()) => digits,
        None if text.len() == 16 => text,
        _ => return None,
    };
    u64::from_str_radix(digits, 16).ok().filter(|id| *id != 0)
}
