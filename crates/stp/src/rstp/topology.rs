//! The topology change machine (section 17.31).

use super::Rstp;
use super::port::{Port, Topology};
use crate::{Event, Role};

impl Rstp {
    /// One step; whether it was taken.
    pub(super) fn step_topology(&mut self, number: u16) -> bool {
        let Some(port) = self.ports.get_mut(&number) else { return false };
        let takes_part = matches!(port.role, Role::Root | Role::Designated);
        match port.topology {
            Topology::Inactive if port.learn => {
                port.topology = Topology::Learning;
                port.forget_changes();
            }
            Topology::Learning if takes_part && port.forward && !port.oper_edge => {
                port.topology = Topology::Active;
                port.detected_change();
                self.propagate(number);
            }
            Topology::Learning if port.has_heard() => port.forget_changes(),
            Topology::Learning if !takes_part && !port.learn && !port.learning => {
                port.topology = Topology::Inactive;
                (port.tc_while, port.tc_ack) = (0, false);
                self.events.push(Event::Flush(Some(number)));
            }
            Topology::Active if !takes_part || port.oper_edge => {
                port.topology = Topology::Learning;
                port.forget_changes();
            }
            Topology::Active if port.rcvd_tcn || port.rcvd_tc => {
                if port.rcvd_tcn {
                    port.start_tc_while();
                }
                (port.rcvd_tcn, port.rcvd_tc) = (false, false);
                if port.role == Role::Designated {
                    port.tc_ack = true;
                }
                self.propagate(number);
            }
            Topology::Active if port.tc_prop => {
                port.start_tc_while();
                port.tc_prop = false;
                self.events.push(Event::Flush(Some(number)));
            }
            Topology::Active if port.rcvd_tc_ack => (port.tc_while, port.rcvd_tc_ack) = (0, false),
            _ => return false,
        }
        true
    }

    /// `setTcPropTree` (section 17.21.18).
    fn propagate(&mut self, number: u16) {
        self.with_others(number, |port| port.tc_prop = true);
    }
}

impl Port {
    /// A change was noticed here: `DETECTED`.
    pub(super) fn detected_change(&mut self) {
        self.start_tc_while();
        self.new_info = true;
    }

    fn has_heard(&self) -> bool {
        self.rcvd_tc || self.rcvd_tcn || self.rcvd_tc_ack || self.tc_prop
    }

    fn forget_changes(&mut self) {
        (self.rcvd_tc, self.rcvd_tcn, self.rcvd_tc_ack, self.tc_prop) = (false, false, false, false);
    }

    /// `newTcWhile` (section 17.21.7).
    fn start_tc_while(&mut self) {
        if self.tc_while != 0 {
            return;
        }
        if self.send_rstp {
            self.tc_while = self.designated_times.hello_time + 1;
            self.new_info = true;
        } else {
            self.tc_while = self.designated_times.max_age + self.designated_times.forward_delay;
        }
    }
}
