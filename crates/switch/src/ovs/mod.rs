//! The switch daemon: rows of an Open_vSwitch database become bridges, ports and controllers, and how those fare is
//! written back.
//!
//! ```text
//! replica ─▶ wanted ─▶ plan ─▶ apply ─▶ Switch, Server
//!    ▲                                      │
//!    └──────────── status ◀─────────────────┘
//! ```
//!
//! [`wanted`] reads rows, and [`plan`] compares them with what there is; both are pure. [`apply`] carries steps out, and
//! what one refuses costs that row alone. [`status`] writes only what has changed since it was written last. [`run`] is
//! the loop around them, on the control thread; packets are forwarded by another, which is never waited for.

mod apply;
mod cable;
pub mod plan;
pub mod run;
mod status;
pub mod tree;
pub mod wanted;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use heddle_netdev::Netdev;
use heddle_ovsdb::replica::Tables;
use heddle_ovsdb::types::Uuid;

use self::plan::{Numbers, Step};
use self::wanted::{Kind, Wanted};
use crate::Switch;
use crate::server::{Bridges, Server};

/// How long the end waits for devices to close.
const FAREWELL: Duration = Duration::from_secs(5);

/// How interfaces of dummy types are to be understood (`--enable-dummy`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dummies {
    /// They are refused.
    #[default]
    Off,
    /// They are made.
    On,
    /// Every interface that would need the system is one: no privileges are needed.
    Override,
}

/// What the daemon was told at its start.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Dummy interfaces.
    pub dummies: Dummies,
    /// Interfaces of the system are refused (`--disable-system`).
    pub without_system: bool,
    /// Nobody else says what system this is and which versions run on it, so this daemon does.
    pub says_versions: bool,
}

/// An interface that there is.
pub(crate) struct Interface {
    /// Its row.
    pub(crate) row: Uuid,
    /// Its port number; none if it could not be made.
    pub(crate) number: Option<u32>,
    /// What it was made from.
    pub(crate) made: wanted::Interface,
    /// Its device; a patch has none.
    pub(crate) netdev: Option<Arc<dyn Netdev>>,
    /// Its address, where it has no device that would say.
    pub(crate) mac: Option<[u8; 6]>,
    /// What is wrong with it.
    pub(crate) error: Option<String>,
    /// The cable of a dummy.
    pub(crate) _cable: Option<cable::Cable>,
    /// Whether it was up with carrier when it was last looked at.
    pub(crate) was_up: bool,
}

/// A bridge that there is.
pub(crate) struct PresentBridge {
    pub(crate) row: Uuid,
    pub(crate) interfaces: BTreeMap<String, Interface>,
    pub(crate) numbers: Numbers,
    pub(crate) datapath_id: u64,
    /// The rows of its ports, and the interface of each that has one alone.
    pub(crate) port_rows: Vec<(Uuid, Option<String>)>,
    /// What its ports were in the spanning tree when that was written last.
    pub(crate) tree_states: Vec<(u32, heddle_stp::Role, heddle_stp::State)>,
}

/// The switch of a database.
pub struct Vswitchd {
    options: Options,
    switch: Arc<Mutex<Switch>>,
    server: Server,
    present: BTreeMap<String, PresentBridge>,
    status: status::Status,
    /// Interfaces whose state is to be written, by their rows.
    dirty: BTreeSet<Uuid>,
    /// How many dummies were made, which their addresses are numbered by.
    dummies: u16,
}

impl Vswitchd {
    /// A switch without bridges, whose sockets are in the run directory. To be called within the async runtime.
    #[must_use]
    pub fn new(switch: Switch, run_directory: &Path, options: Options) -> Self {
        Self {
            options,
            switch: Arc::new(Mutex::new(switch)),
            server: Server::new(run_directory),
            present: BTreeMap::new(),
            status: status::Status::default(),
            dirty: BTreeSet::new(),
            dummies: 0,
        }
    }

    /// The switch, for operators' commands. It is never locked while something is waited for.
    #[must_use]
    pub fn switch(&self) -> &Arc<Mutex<Switch>> {
        &self.switch
    }

    /// The bridges, for operators' commands.
    #[must_use]
    pub fn bridges(&self) -> &Bridges {
        self.server.bridges()
    }

    fn lock(&self) -> MutexGuard<'_, Switch> {
        self.switch.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes bridges, ports and controllers what the rows say.
    pub async fn reconfigure(&mut self, tables: &Tables) {
        let wanted = Wanted::read(tables, self.options);
        for step in plan::plan(&wanted, &self.view()) {
            self.apply(step);
        }
        for bridge in wanted.bridges.values() {
            self.finish_bridge(bridge);
        }
        let bridges: Vec<_> = self.lock().bridges().cloned().collect();
        if let Err(error) = self.server.sync(bridges.iter()).await {
            log::error!(target: "connmgr", "{error}");
        }
        // Packets under way by what was before are gone once this is answered.
        if let Some(bridge) = bridges.first() {
            bridge.barrier();
        }
    }

    /// What there is, as a plan sees it: an operator may have taken a port away.
    fn view(&self) -> plan::Present {
        let switch = self.lock();
        let bridge = |name: &str, bridge: &PresentBridge| plan::PresentBridge {
            row: bridge.row,
            numbers: bridge.numbers.clone(),
            interfaces: bridge
                .interfaces
                .iter()
                .map(|(key, interface)| {
                    let there =
                        |number: &u32| switch.bridge(name).is_some_and(|bridge| bridge.has_port(*number));
                    (key.clone(), (interface.made.clone(), interface.number.filter(there)))
                })
                .collect(),
        };
        self.present.iter().map(|(name, present)| (name.clone(), bridge(name, present))).collect()
    }

    /// Looks at interfaces whose state changes by itself: links, and those of the system that came or went. Returns
    /// whether the rows are to be looked at again.
    pub fn look(&mut self) -> bool {
        let mut gone = Vec::new();
        let mut again = false;
        for (name, bridge) in &mut self.present {
            for interface in bridge.interfaces.values_mut() {
                let Some(netdev) = &interface.netdev else {
                    again |= interface.number.is_none() && may_come(&interface.made);
                    continue;
                };
                let link = netdev.link_state();
                let up = link.admin_up && link.carrier;
                if interface.made.kind == Ok(Kind::System) && netdev.index().is_none() {
                    gone.push((name.clone(), interface.made.name.clone()));
                } else if up != interface.was_up {
                    interface.was_up = up;
                    self.dirty.insert(interface.row);
                }
            }
        }
        again |= !gone.is_empty();
        for (bridge, name) in gone {
            log::warn!(target: "bridge", "bridge {bridge}: the device of interface {name} has vanished");
            self.apply(Step::RemoveInterface { bridge, name });
        }
        again
    }

    /// Ends bridges and their sockets.
    pub async fn close(mut self) {
        self.server.sync(std::iter::empty()).await.unwrap_or_else(|error| {
            log::warn!(target: "connmgr", "{error}");
        });
        let names: Vec<String> = self.present.keys().cloned().collect();
        names.into_iter().for_each(|name| self.apply(Step::RemoveBridge(name)));
        // Devices close beside each other now, and one after the other once the process ends.
        heddle_netdev::closing::wait(FAREWELL);
    }
}

/// Whether an interface that could not be made may be there now.
fn may_come(made: &wanted::Interface) -> bool {
    made.kind == Ok(Kind::System) && apply::interface_exists(&made.name)
}

#[cfg(test)]
mod tests;
