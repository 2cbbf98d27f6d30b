//! What a database says of spanning trees, and what is written back of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::str::FromStr;

use heddle_ovsdb::replica::{Row, Tables};
use heddle_ovsdb::types::{Atom, Datum, Uuid};
use heddle_pipeline::tree::Protocol;
use heddle_stp::{BridgeId, Times};

use super::status::{Columns, texts};
use super::wanted::address;
use crate::tree::{PortView, TreeConfig, TreePort, TreeView};

/// The spanning tree that a bridge's row asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tree {
    protocol: Protocol,
    /// The address of the bridge's identifier; the bridge's own where nothing is said.
    address: Option<[u8; 6]>,
    priority: u16,
    times: Times,
    transmit_hold_count: u8,
    force_stp: bool,
    /// The ports that take part, by the names of their interfaces.
    ports: BTreeMap<String, TreePort>,
}

impl Tree {
    /// What the machine is told, for a bridge of this address whose interfaces have these numbers.
    pub(super) fn config(&self, own: [u8; 6], number: impl Fn(&str) -> Option<u32>) -> TreeConfig {
        TreeConfig {
            protocol: self.protocol,
            id: BridgeId::new(self.priority, self.address.unwrap_or(own)),
            times: self.times,
            transmit_hold_count: self.transmit_hold_count,
            force_stp: self.force_stp,
            ports: self.ports.iter().filter_map(|(name, port)| Some((number(name)?, port.clone()))).collect(),
        }
    }
}

/// Reads what a bridge's row and those of its ports say.
pub(super) fn read(tables: &Tables, row: Row<'_>) -> Option<Tree> {
    let name = row.text("name");
    let protocol = match (row.boolean("stp_enable"), row.boolean("rstp_enable")) {
        (true, true) => {
            log::warn!(target: "bridge", "bridge {name}: both STP and RSTP are enabled; it takes part in RSTP");
            Protocol::Rstp
        }
        (_, true) => Protocol::Rstp,
        (true, _) => Protocol::Stp,
        _ => return None,
    };
    let said = Said { row, object: name, kind: "bridge" };
    let usual = TreeConfig::new(protocol, BridgeId::default());
    let (address_key, prefix) = match protocol {
        Protocol::Stp => ("stp-system-id", "stp"),
        Protocol::Rstp => ("rstp-address", "rstp"),
    };
    let address = said.text(address_key).and_then(|text| {
        let read = address(text);
        if read.is_none() {
            log::error!(target: "bridge", "bridge {name}: invalid {address_key}, defaulting to the bridge's address");
        }
        read
    });
    let seconds = |key: &str, usual: u16| said.number(&format!("{prefix}-{key}")).unwrap_or(usual);
    let times = Times {
        message_age: 0,
        max_age: seconds("max-age", usual.times.max_age),
        hello_time: match protocol {
            Protocol::Stp => seconds("hello-time", usual.times.hello_time),
            Protocol::Rstp => usual.times.hello_time,
        },
        forward_delay: seconds("forward-delay", usual.times.forward_delay),
    };
    let hold = said.number("rstp-transmit-hold-count").filter(|count| (1..=10).contains(count));
    Some(Tree {
        protocol,
        address,
        priority: said.number(&format!("{prefix}-priority")).unwrap_or(0x8000),
        times: times.in_range(),
        transmit_hold_count: hold.unwrap_or(usual.transmit_hold_count),
        force_stp: said.number::<u8>("rstp-force-protocol-version") == Some(0),
        ports: ports(tables, row, protocol)?,
    })
}

/// The ports that take part. Numbers are given to all of STP's ports or to none; `None` where they are not.
fn ports(tables: &Tables, bridge: Row<'_>, protocol: Protocol) -> Option<BTreeMap<String, TreePort>> {
    let mut ports = BTreeMap::new();
    let mut used = BTreeSet::new();
    for row in bridge.references("ports").filter_map(|uuid| tables.row("Port", uuid)) {
        let Some((interface, port)) = port(tables, row, bridge.text("name"), protocol) else { continue };
        let name = row.text("name");
        if let Some(number) = port.number.filter(|number| !used.insert(*number)) {
            log::error!(target: "bridge", "port {name}: duplicate {}-port-num {number}, disabling", prefix(protocol));
            continue;
        }
        ports.insert(interface, port);
    }
    let some_are_given_none = ports.values().any(|port: &TreePort| port.number.is_none());
    if protocol == Protocol::Stp && !used.is_empty() && some_are_given_none {
        let name = bridge.text("name");
        log::error!(target: "bridge", "bridge {name}: must manually configure all STP port IDs or none, disabling");
        return None;
    }
    Some(ports)
}

fn prefix(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Stp => "stp",
        Protocol::Rstp => "rstp",
    }
}

/// The interface of a port that takes part, and what is said of it.
fn port(tables: &Tables, row: Row<'_>, bridge: &str, protocol: Protocol) -> Option<(String, TreePort)> {
    let name = row.text("name");
    let said = Said { row, object: name, kind: "port" };
    let prefix = prefix(protocol);
    if !said.flag(&format!("{prefix}-enable"), true) {
        return None;
    }
    let interfaces: Vec<Row<'_>> =
        row.references("interfaces").filter_map(|uuid| tables.row("Interface", uuid)).collect();
    let [interface] = interfaces[..] else {
        log::error!(target: "bridge", "port {name}: cannot enable {} on bonds, disabling", prefix.to_uppercase());
        return None;
    };
    if interface.text("type") == "internal" || interface.text("name") == bridge {
        return None;
    }
    let number_key = format!("{prefix}-port-num");
    let most = match protocol {
        Protocol::Stp => 255,
        Protocol::Rstp => 4095,
    };
    let number = match said.text(&number_key) {
        None => None,
        Some(text) => match parse(text).filter(|number| (1..=most).contains(number)) {
            Some(number) => Some(number),
            None => {
                log::error!(target: "bridge", "port {name}: invalid {number_key}");
                return None;
            }
        },
    };
    let usual = TreePort::default();
    let port = TreePort {
        number,
        priority: said.number(&format!("{prefix}-port-priority")).unwrap_or(usual.priority),
        path_cost: said.number(&format!("{prefix}-path-cost")).filter(|&cost: &u32| cost != 0),
        admin_edge: said.flag("rstp-port-admin-edge", usual.admin_edge),
        auto_edge: said.flag("rstp-port-auto-edge", usual.auto_edge),
        // 0 says that it is not, 1 that it is, and 2 that it is to be found out: a link of ours always is.
        point_to_point: said.number::<u8>("rstp-admin-p2p-mac") != Some(0),
        admin_up: said.flag("rstp-admin-port-state", usual.admin_up),
        check_protocol: said.flag("rstp-port-mcheck", usual.check_protocol),
    };
    Some((interface.text("name").to_owned(), port))
}

/// What a row's `other_config` says.
struct Said<'a> {
    row: Row<'a>,
    object: &'a str,
    kind: &'static str,
}

impl<'a> Said<'a> {
    fn text(&self, key: &str) -> Option<&'a str> {
        self.row.text_of("other_config", key)
    }

    fn flag(&self, key: &str, usual: bool) -> bool {
        self.text(key).map_or(usual, |text| if usual { text != "false" } else { text == "true" })
    }

    fn number<N: FromStr + TryFrom<u64> + Display>(&self, key: &str) -> Option<N> {
        let text = self.text(key)?;
        let number = parse(text);
        if number.is_none() {
            log::warn!(target: "bridge", "{} {}: {key} \"{text}\" is no number in its range", self.kind, self.object);
        }
        number
    }
}

/// A number, decimal or hexadecimal with `0x`.
fn parse<N: FromStr + TryFrom<u64>>(text: &str) -> Option<N> {
    match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok().and_then(|number| N::try_from(number).ok()),
        None => text.parse().ok(),
    }
}

/// An identifier as RSTP's columns have it: its priority's upper four bits apart.
fn rstp_id(id: BridgeId) -> String {
    let priority = id.priority();
    format!("{:x}.{:03x}.{:012x}", priority >> 12, priority & 0xfff, id.0 & 0xffff_ffff_ffff)
}

/// The columns of a bridge's row: empty where it takes part in no tree.
pub(super) fn bridge_columns(view: Option<&TreeView>) -> Columns {
    let of = |protocol: Protocol| view.filter(|view| view.protocol == protocol);
    let stp = of(Protocol::Stp).map_or_else(Datum::empty, |view| {
        texts([
            ("stp_bridge_id", view.id.to_string()),
            ("stp_designated_root", view.root.to_string()),
            ("stp_root_path_cost", view.way.cost.to_string()),
        ])
    });
    let rstp = of(Protocol::Rstp).map_or_else(Datum::empty, |view| {
        let root_port = view.ports.iter().find(|port| Some(port.number) == view.root_port);
        texts([
            ("rstp_bridge_id", rstp_id(view.id)),
            ("rstp_root_path_cost", view.way.cost.to_string()),
            ("rstp_root_id", rstp_id(view.root)),
            ("rstp_designated_id", rstp_id(view.way.bridge)),
            ("rstp_designated_port_id", format!("{:04x}", view.way.port)),
            (
                "rstp_bridge_port_id",
                format!("{:04x}", root_port.map_or(0, |port| port_id(view.protocol, port))),
            ),
        ])
    });
    vec![("status", stp), ("rstp_status", rstp)]
}

/// A port's identifier: priority and number.
fn port_id(protocol: Protocol, port: &PortView) -> u16 {
    match protocol {
        Protocol::Stp => u16::from(port.priority) << 8 | port.tree_number,
        Protocol::Rstp => u16::from(port.priority & 0xf0) << 8 | port.tree_number,
    }
}

/// The columns of a port's row: empty where it takes part in no tree.
pub(super) fn port_columns(view: Option<(&TreeView, &PortView)>, now_ms: u64) -> Columns {
    let counts = |pairs: &[(&'static str, u64)]| {
        let pair = |&(name, count): &(&'static str, u64)| {
            (Atom::string(name), Atom::Integer(i64::try_from(count).unwrap_or(i64::MAX)))
        };
        Datum::map(pairs.iter().map(pair))
    };
    let mut columns = [Datum::empty(), Datum::empty(), Datum::empty(), Datum::empty()];
    if let Some((tree, port)) = view {
        let seconds = now_ms.saturating_sub(port.since_ms) / 1000;
        let [sent, taken, refused] = port.counters;
        let id = port_id(tree.protocol, port);
        match tree.protocol {
            Protocol::Stp => {
                columns[0] = texts([
                    ("stp_port_id", id.to_string()),
                    ("stp_state", port.state.stp_name().to_owned()),
                    ("stp_sec_in_state", seconds.to_string()),
                    ("stp_role", port.role.name().to_owned()),
                ]);
                columns[1] =
                    counts(&[("stp_tx_count", sent), ("stp_rx_count", taken), ("stp_error_count", refused)]);
            }
            Protocol::Rstp => {
                columns[2] = texts([
                    ("rstp_port_id", format!("{id:04x}")),
                    ("rstp_port_role", crate::tree::rstp_role(port.role)),
                    ("rstp_port_state", port.state.rstp_name().to_owned()),
                    ("rstp_designated_bridge_id", rstp_id(port.designated.bridge)),
                    ("rstp_designated_port_id", format!("{:04x}", port.designated.port)),
                    ("rstp_designated_path_cost", port.designated.cost.to_string()),
                ]);
                columns[3] = counts(&[
                    ("rstp_tx_count", sent),
                    ("rstp_rx_count", taken),
                    ("rstp_error_count", refused),
                    ("rstp_uptime", seconds),
                ]);
            }
        }
    }
    ["status", "statistics", "rstp_status", "rstp_statistics"].into_iter().zip(columns).collect()
}

/// A port's row, and the name of the interface that it alone has.
pub(super) fn port_rows(tables: &Tables, bridge: Row<'_>) -> Vec<(Uuid, Option<String>)> {
    let rows = bridge.references("ports").filter_map(|uuid| tables.row("Port", uuid));
    let of = |row: Row<'_>| {
        let mut interfaces = row.references("interfaces").filter_map(|uuid| tables.row("Interface", uuid));
        let first = interfaces.next().map(|row| row.text("name").to_owned());
        (row.uuid, first.filter(|_| interfaces.next().is_none()))
    };
    rows.map(of).collect()
}
