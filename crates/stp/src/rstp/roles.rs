//! The port role selection machine (section 17.28) and `updtRolesTree` (section 17.21.25).

use super::Rstp;
use super::port::InfoIs;
use crate::{Role, Times, Vector};

impl Rstp {
    /// Selects roles where a port asks for it.
    pub(super) fn select_roles(&mut self) -> bool {
        if !self.ports.values().any(|port| port.reselect) {
            return false;
        }
        self.ports.values_mut().for_each(|port| port.reselect = false);
        self.update_roles();
        self.ports.values_mut().for_each(|port| port.selected = true);
        true
    }

    pub(super) fn update_roles(&mut self) {
        let id = self.config.id;
        let mine = (Vector { root: id, cost: 0, bridge: id, port: 0 }, 0);
        let mut best = (mine, None);
        for (&number, port) in &self.ports {
            let heard = port.port_priority;
            if port.info_is != InfoIs::Received || heard.bridge.mac() == id.mac() {
                continue;
            }
            let cost = heard.cost.saturating_add(port.config.path_cost);
            let way = (Vector { cost, ..heard }, port.config.id());
            if way < best.0 {
                best = (way, Some(number));
            }
        }
        let ((vector, _), root_port) = best;
        self.root_priority = vector;
        self.root_port = root_port;
        self.root_times = match root_port.and_then(|number| self.ports.get(&number)) {
            Some(port) => {
                let times = port.port_times;
                Times { message_age: times.message_age.saturating_add(1), ..times }
            }
            None => Times { message_age: 0, ..self.config.times.in_range() },
        };
        let times = Times { hello_time: self.config.times.in_range().hello_time, ..self.root_times };
        for (&number, port) in &mut self.ports {
            let designated =
                Vector { root: vector.root, cost: vector.cost, bridge: id, port: port.config.id() };
            port.designated_priority = designated;
            port.designated_times = times;
            let (known, same_times) = (port.port_priority, port.port_times == times);
            (port.selected_role, port.updt_info) = match port.info_is {
                InfoIs::Disabled => (Role::Disabled, false),
                InfoIs::Aged => (Role::Designated, true),
                InfoIs::Mine => (Role::Designated, known != designated || !same_times),
                InfoIs::Received if root_port == Some(number) => (Role::Root, false),
                InfoIs::Received if designated < known => (Role::Designated, true),
                InfoIs::Received if known.bridge.mac() != id.mac() => (Role::Alternate, false),
                InfoIs::Received => (Role::Backup, false),
            };
        }
    }
}
