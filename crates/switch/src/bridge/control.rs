//! Who controls a bridge: the controllers that its configuration names, and the bridge itself without them.

use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard, PoisonError};

use heddle_openflow::group::{GroupCommand, GroupMod};
use heddle_openflow::meter::MeterMod;
use heddle_openflow::{Action, Command, FlowMod, Version, port};
use tokio::sync::broadcast;

use super::ManagedBridge;
use crate::config::FailMode;
use crate::controllers::Controller;
use crate::in_band::{self, Remote};

/// Milliseconds without a controller after which a standalone bridge forwards by itself: three probes, as Open
/// vSwitch has it.
const FAIL_OPEN_MS: u64 = 15_000;

/// What the configuration says of controllers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// What happens to packets without a controller.
    pub(crate) fail_mode: FailMode,
    /// Whom to call, and by whom to be called.
    pub(crate) controllers: Vec<Controller>,
    /// The versions that may be spoken, as a hello's bitmap; all that there are where zero.
    pub(crate) versions: u32,
    /// A controller is named that cannot be called: the bridge waits for it all the same.
    pub(crate) unusable: bool,
    /// Flows are being restored: no controller is called, and the bridge does not forward by itself.
    pub(crate) restoring: bool,
}

impl Wanted {
    /// Whether a controller is to be called.
    pub(crate) fn has_controllers(&self) -> bool {
        self.unusable || self.controllers.iter().any(Controller::is_called)
    }
}

impl ManagedBridge {
    /// What the configuration says of controllers.
    pub(crate) fn wanted(&self) -> MutexGuard<'_, Wanted> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The versions of OpenFlow that are spoken, as a bit for each version byte.
    pub fn versions(&self) -> u32 {
        let all = Version::ALL.iter().fold(0, |all, version| all | version.bit());
        match self.wanted().versions & all {
            0 => all,
            allowed => allowed,
        }
    }

    /// The controllers to call and to be called by; none while flows are being restored.
    pub fn controllers(&self) -> Vec<Controller> {
        let wanted = self.wanted();
        if wanted.restoring { Vec::new() } else { wanted.controllers.clone() }
    }

    /// Changes what the configuration says of controllers. As in Open vSwitch, flows go when the first controller comes or
    /// the last one goes, and when the mode changes without a controller; a standalone bridge without one forwards by a
    /// flow of its own.
    pub(crate) fn set_wanted(&self, wanted: Wanted) {
        if *self.wanted() == wanted {
            return;
        }
        let old = std::mem::replace(&mut *self.wanted(), wanted.clone());
        let had = old.has_controllers();
        let mode_changed = !had && old.fail_mode != wanted.fail_mode;
        if had != wanted.has_controllers() || mode_changed {
            self.flush_flows();
        }
        self.faring.keep(|name| wanted.controllers.iter().any(|controller| controller.name == name));
        self.ensure_default_flow();
        self.keep_reachable();
    }

    /// Keeps controllers reachable through the bridge, where the configuration says so.
    pub(crate) fn keep_reachable(&self) {
        let remotes: Vec<Remote> = self.wanted().controllers.iter().filter_map(Controller::remote).collect();
        let local = self.bridge.snapshot().ports.get(&port::LOCAL).map(|port| port.mac);
        let wanted = Some((local.unwrap_or_default(), remotes)).filter(|(_, remotes)| !remotes.is_empty());
        let mut reachable = self.reachable.lock().unwrap_or_else(PoisonError::into_inner);
        if *reachable != wanted {
            let flows = wanted.iter().flat_map(|(mac, remotes)| in_band::flows(*mac, remotes));
            self.bridge.set_hidden(&flows.collect::<Vec<_>>(), self.clock.now_ms());
            *reachable = wanted;
        }
    }

    /// Takes away all flows, groups and meters.
    fn flush_flows(&self) {
        let now_ms = self.clock.now_ms();
        let groups =
            GroupMod { command: GroupCommand::Delete, group_id: GroupMod::ALL, ..GroupMod::default() };
        let meters =
            MeterMod { command: MeterMod::DELETE, flags: 0, meter_id: MeterMod::ALL, bands: Vec::new() };
        let gone = self.bridge.group_mod(&groups, None, now_ms);
        if let Err(error) = gone.and_then(|_| self.bridge.meter_mod(&meters, None, now_ms)) {
            log::warn!(target: "ofproto", "{}: groups and meters cannot be removed: {}", self.bridge.name, error.name());
        }
        let all = FlowMod { command: Command::Delete, table_id: FlowMod::ALL_TABLES, ..FlowMod::default() };
        if let Err(error) = self.bridge.flow_mod(&all, self.clock.now_ms()) {
            log::warn!(target: "ofproto", "{}: flows cannot be removed: {}", self.bridge.name, error.name());
        }
    }

    /// Adds the flow by which a standalone bridge without controllers forwards.
    pub(crate) fn ensure_default_flow(&self) {
        let wanted = self.wanted();
        if wanted.fail_mode != FailMode::Standalone || wanted.has_controllers() || wanted.restoring {
            return;
        }
        drop(wanted);
        let known = self.bridge.snapshot().flows();
        if known.iter().any(|flow| flow.table == 0 && flow.priority == 0 && flow.matching.is_any()) {
            return;
        }
        let normal = Action::Output { port: port::NORMAL, max_len: 0 };
        let flow = FlowMod {
            priority: 0,
            instructions: vec![heddle_openflow::Instruction::Apply(vec![normal])],
            ..FlowMod::default()
        };
        if let Err(error) = self.bridge.flow_mod(&flow, self.clock.now_ms()) {
            log::warn!(target: "bridge", "{}: the flow of a standalone bridge is refused: {}", self.bridge.name, error.name());
        }
    }

    /// What is said to and by controllers from now on.
    pub fn snoop(&self) -> broadcast::Receiver<Arc<[u8]>> {
        self.snooped.subscribe()
    }

    /// Shows bytes of a controller's connection to those who snoop.
    pub(crate) fn show(&self, bytes: &[u8]) {
        if self.snooped.receiver_count() != 0 && !bytes.is_empty() {
            let _ = self.snooped.send(bytes.into());
        }
    }

    /// How many controllers that the bridge called are connected.
    pub fn connected(&self) -> usize {
        self.connected.load(Ordering::Relaxed)
    }

    /// A controller is connected: the bridge forwards by its flows alone.
    pub(crate) fn controller_came(&self) {
        self.connected.fetch_add(1, Ordering::Relaxed);
        self.set_standalone(false);
    }

    /// A controller's connection is lost.
    pub(crate) fn controller_went(&self) {
        self.alone_since_ms.store(self.clock.now_ms(), Ordering::Relaxed);
        self.connected.fetch_sub(1, Ordering::Relaxed);
    }

    /// Takes over from controllers that cannot be reached, where the configuration says so.
    pub(super) fn fail_open(&self, now_ms: u64) {
        let wanted = self.wanted();
        let may = wanted.fail_mode == FailMode::Standalone && wanted.has_controllers() && !wanted.restoring;
        let alone = self.alone_since_ms.load(Ordering::Relaxed) + FAIL_OPEN_MS <= now_ms;
        self.set_standalone(may && alone && self.connected() == 0);
    }

    fn set_standalone(&self, standalone: bool) {
        if self.bridge.snapshot().standalone != standalone {
            self.bridge.publish(|snapshot, changes| {
                snapshot.standalone = standalone;
                changes.everything();
            });
        }
    }

    /// Shows packets that no flow takes where a controller waits for them, and drops them where none does.
    pub(crate) fn show_misses(&self) {
        let wanted = self.control.wants_misses();
        if self.bridge.snapshot().shows_misses != wanted {
            self.bridge.publish(|snapshot, changes| {
                snapshot.shows_misses = wanted;
                changes.everything();
            });
        }
    }
}
