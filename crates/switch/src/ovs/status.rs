//! What is written back to the database: only what differs from what was written last.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError};
use std::time::Instant;

use heddle_netdev::Statistics;
use heddle_ovsdb::replica::{Row, Tables, Transaction};
use heddle_ovsdb::schema::Schema;
use heddle_ovsdb::types::{Atom, Datum, Uuid};
use heddle_wire::MacAddr;

use super::apply::shown;
use super::tree;
use super::wanted::{self, DATAPATH_TYPES, DUMMY_TYPES, INTERFACE_TYPES, Wanted};
use super::{Dummies, Interface, Vswitchd};
use crate::bridge::ManagedBridge;
use crate::controllers::Fares;
use crate::tree::TreeView;

/// What was written, by row and column.
#[derive(Default)]
pub(super) struct Status {
    written: HashMap<Uuid, BTreeMap<&'static str, Datum>>,
}

pub(super) type Columns = Vec<(&'static str, Datum)>;

impl Status {
    /// Forgets a row that is gone.
    pub(super) fn forget(&mut self, row: Uuid) {
        self.written.remove(&row);
    }

    /// Forgets what was written: nobody knows whether it was.
    pub(super) fn forget_all(&mut self) {
        self.written.clear();
    }

    /// Writes the columns that differ, and remembers them.
    fn put(
        &mut self,
        transaction: &mut Transaction,
        schema: &Schema,
        table: &str,
        row: Uuid,
        columns: Columns,
    ) {
        let known = self.written.entry(row).or_default();
        let Some(of) = schema.table(table) else { return };
        let differs = |(name, datum): &(&'static str, Datum)| {
            of.column(name).is_some() && known.get(name) != Some(datum)
        };
        let columns: Columns = columns.into_iter().filter(differs).collect();
        if columns.is_empty() {
            return;
        }
        known.extend(columns.iter().cloned());
        let columns = columns.into_iter().map(|(name, datum)| (name.to_owned(), datum)).collect();
        transaction.update(table, row, columns);
    }
}

fn text(text: impl AsRef<str>) -> Datum {
    Datum::scalar(Atom::string(text.as_ref()))
}

fn optional_text(text: Option<&str>) -> Datum {
    text.map_or_else(Datum::empty, self::text)
}

fn optional_number(number: Option<i64>) -> Datum {
    number.map_or_else(Datum::empty, |number| Datum::scalar(Atom::Integer(number)))
}

pub(super) fn texts(pairs: impl IntoIterator<Item = (impl Into<String>, String)>) -> Datum {
    Datum::map(pairs.into_iter().map(|(key, value)| (Atom::string(key.into()), Atom::string(value))))
}

impl Vswitchd {
    /// Nobody knows whether what was written last arrived: all is written again.
    pub(super) fn forget_written(&mut self) {
        self.status.forget_all();
        let rows = self.present.values().flat_map(|bridge| bridge.interfaces.values());
        self.dirty = rows.map(|interface| interface.row).collect();
    }

    /// What is to be written now: the state of what has changed, with `statistics` their counters, and that the
    /// configuration is in force.
    pub(super) fn report(
        &mut self,
        tables: &Tables,
        schema: &Schema,
        wanted: &Wanted,
        statistics: bool,
    ) -> Transaction {
        let mut transaction = Transaction::default();
        let mut status = std::mem::take(&mut self.status);
        let dirty = std::mem::take(&mut self.dirty);
        let switch = Arc::clone(&self.switch);
        for (name, present) in &mut self.present {
            let managed = switch.lock().unwrap_or_else(PoisonError::into_inner).bridge(name).cloned();
            let id = format!("{:016x}", present.datapath_id);
            let mut columns = vec![("datapath_id", text(id)), ("datapath_version", text("<built-in>"))];
            let view = managed.as_ref().and_then(|managed| managed.tree_view());
            columns.extend(tree::bridge_columns(view.as_ref()));
            status.put(&mut transaction, schema, "Bridge", present.row, columns);
            for interface in present.interfaces.values() {
                let mut columns = Vec::new();
                if dirty.contains(&interface.row) {
                    columns = interface_columns(interface);
                }
                let count = statistics || dirty.contains(&interface.row);
                if let (true, Some(managed), Some(number)) = (count, &managed, interface.number) {
                    columns.push(("statistics", statistics_of(interface, managed, number)));
                }
                status.put(&mut transaction, schema, "Interface", interface.row, columns);
            }
            if let Some(managed) = &managed {
                let states = view.as_ref().map_or_else(Vec::new, TreeView::states);
                if statistics || present.tree_states != states {
                    let now_ms = managed.clock.now_ms();
                    present.tree_states = states;
                    for (row, interface) in &present.port_rows {
                        let number = interface.as_ref().and_then(|name| present.interfaces.get(name)?.number);
                        let port = view.as_ref().and_then(|view| Some((view, view.port(number?)?)));
                        status.put(&mut transaction, schema, "Port", *row, tree::port_columns(port, now_ms));
                    }
                }
            }
            if let (Some(managed), Some(bridge)) = (managed, wanted.bridges.get(name)) {
                for (controller, row) in &bridge.controllers {
                    let columns = controller_columns(controller, &managed.faring.of(controller));
                    status.put(&mut transaction, schema, "Controller", *row, columns);
                }
            }
        }
        if let Some(root) = wanted.root.and_then(|root| tables.row("Open_vSwitch", root)) {
            let columns = self.root_columns(root, wanted);
            status.put(&mut transaction, schema, "Open_vSwitch", root.uuid, columns);
        }
        self.status = status;
        transaction
    }

    fn root_columns(&self, root: Row<'_>, wanted: &Wanted) -> Columns {
        let dummies = self.options.dummies != Dummies::Off;
        let with = |usual: &[&'static str], more: &[&'static str]| {
            let more = if dummies { more } else { &[] };
            Datum::set(usual.iter().chain(more).map(|name| Atom::string(*name)))
        };
        let mut columns = vec![
            ("cur_cfg", Datum::scalar(Atom::Integer(wanted.next_cfg))),
            ("datapath_types", with(DATAPATH_TYPES, &["dummy"])),
            ("iface_types", with(INTERFACE_TYPES, DUMMY_TYPES)),
            ("dpdk_initialized", Datum::scalar(Atom::Boolean(false))),
            ("dpdk_version", text("none")),
        ];
        if self.options.says_versions {
            let system = system();
            for (column, said) in [
                ("ovs_version", heddle_daemon::OVS_VERSION),
                ("db_version", crate::schema::VERSION),
                ("system_type", system.0.as_str()),
                ("system_version", system.1.as_str()),
            ] {
                // What somebody else has said stands.
                if root.column(column).is_empty() {
                    columns.push((column, text(said)));
                }
            }
        }
        columns
    }
}

/// What system this is, and its version, as the distribution says.
fn system() -> (String, String) {
    let file = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    let field = |name: &str| {
        let value = file.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        value.map_or_else(|| "unknown".to_owned(), |value| value.trim_matches('"').to_owned())
    };
    (field("ID"), field("VERSION_ID"))
}

fn interface_columns(interface: &Interface) -> Columns {
    let Some(number) = interface.number else {
        return vec![
            ("ofport", Datum::scalar(Atom::Integer(-1))),
            ("error", optional_text(interface.error.as_deref())),
            ("admin_state", Datum::empty()),
            ("link_state", Datum::empty()),
            ("mac_in_use", Datum::empty()),
            ("mtu", Datum::empty()),
            ("ifindex", Datum::empty()),
            ("statistics", Datum::empty()),
            ("status", Datum::empty()),
        ];
    };
    let netdev = interface.netdev.as_ref();
    let link = netdev.map(|netdev| netdev.link_state());
    let up = |up: bool| text(if up { "up" } else { "down" });
    let mac = netdev.and_then(|netdev| netdev.mac()).or(interface.mac);
    let index = netdev.and_then(|netdev| netdev.index()).unwrap_or(0);
    vec![
        ("ofport", Datum::scalar(Atom::Integer(i64::from(shown(number))))),
        ("error", optional_text(interface.error.as_deref())),
        ("admin_state", up(link.is_none_or(|link| link.admin_up))),
        ("link_state", up(link.is_none_or(|link| link.carrier))),
        ("mac_in_use", mac.map_or_else(Datum::empty, |mac| text(MacAddr(mac).to_string()))),
        ("mtu", optional_number(netdev.map(|netdev| i64::from(netdev.mtu())))),
        ("ifindex", optional_number(Some(i64::from(index)))),
        ("status", driver(netdev.map(|netdev| netdev.kind()))),
    ]
}

/// Which driver moves an interface's packets.
fn driver(kind: Option<&'static str>) -> Datum {
    match kind {
        Some("packet") => texts([("driver_name", "af_packet".to_owned())]),
        Some("tap") => texts([("driver_name", "tun".to_owned())]),
        _ => Datum::empty(),
    }
}

fn statistics_of(interface: &Interface, bridge: &ManagedBridge, number: u32) -> Datum {
    let number_of = |count: u64| Atom::Integer(i64::try_from(count).unwrap_or(i64::MAX));
    let pairs = |pairs: &[(&'static str, u64)]| {
        Datum::map(pairs.iter().map(|(name, count)| (Atom::string(*name), number_of(*count))))
    };
    match &interface.netdev {
        Some(netdev) => {
            let Statistics {
                rx_packets,
                rx_bytes,
                rx_dropped,
                rx_errors,
                tx_packets,
                tx_bytes,
                tx_dropped,
                tx_errors,
            } = netdev.statistics();
            let all = [
                ("rx_bytes", rx_bytes),
                ("rx_packets", rx_packets),
                ("tx_bytes", tx_bytes),
                ("tx_packets", tx_packets),
                ("rx_dropped", rx_dropped),
                ("rx_errors", rx_errors),
                ("tx_dropped", tx_dropped),
                ("tx_errors", tx_errors),
            ];
            // A dummy loses nothing that anybody asks about.
            pairs(if netdev.kind() == "dummy" { &all[..4] } else { &all })
        }
        None => {
            let counters = bridge.port_stats(number).first().map(|port| port.counters).unwrap_or_default();
            let [rx_packets, tx_packets, rx_bytes, tx_bytes, ..] = counters;
            pairs(&[
                ("rx_bytes", rx_bytes),
                ("rx_packets", rx_packets),
                ("tx_bytes", tx_bytes),
                ("tx_packets", tx_packets),
            ])
        }
    }
}

fn controller_columns(name: &str, fares: &Fares) -> Columns {
    let now = Instant::now();
    let seconds = |since: Instant| now.saturating_duration_since(since).as_secs().to_string();
    let wrong = name.parse::<crate::controllers::Peer>().err().map(|error| error.to_string());
    let state = match (&wrong, fares.state) {
        (Some(_), _) => Some("VOID"),
        (None, "") => None,
        (None, state) => Some(state),
    };
    let status = [
        ("state", state.map(str::to_owned)),
        ("last_error", wrong.or_else(|| fares.last_error.clone())),
        ("sec_since_connect", fares.connected.map(seconds)),
        ("sec_since_disconnect", fares.disconnected.map(seconds)),
    ];
    let paced = fares.paced.into_iter().flat_map(|paced| ["miss", "action"].into_iter().zip(paced));
    let paced = paced.flat_map(|(kind, of)| {
        let counts = [
            ("backlog", of.backlog),
            ("bypassed", of.bypassed),
            ("queued", of.queued),
            ("dropped", of.dropped),
        ];
        counts.map(|(what, count)| (format!("packet-in-{kind}-{what}"), count.to_string()))
    });
    let status = status.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))).chain(paced);
    vec![
        ("is_connected", Datum::scalar(Atom::Boolean(fares.connected.is_some()))),
        ("role", optional_text(fares.role)),
        ("status", texts(status)),
    ]
}

/// The followed tables, for a replica.
#[must_use]
pub(super) fn followed() -> Vec<(String, Vec<String>)> {
    let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
    wanted::FOLLOWED.iter().map(|(table, columns)| ((*table).to_owned(), owned(columns))).collect()
}
