//! The port information machine (section 17.27): what a port knows of its link's way to the root.

use super::Rstp;
use super::port::{InfoIs, Port};
use crate::bpdu::{Configuration, Rapid};
use crate::{Bpdu, Role, Times, Vector};

/// What a message is worth (`rcvInfo`, section 17.21.8).
enum Worth {
    SuperiorDesignated,
    RepeatedDesignated,
    InferiorDesignated,
    InferiorRootAlternate,
    Other,
}

impl Rstp {
    pub(super) fn step_information(&mut self, number: u16) -> bool {
        let Some(port) = self.ports.get_mut(&number) else { return false };
        if !port.config.enabled {
            if port.info_is == InfoIs::Disabled {
                return false;
            }
            port.disable_information();
        } else if port.info_is == InfoIs::Disabled {
            port.age();
        } else if port.is_to_be_updated() {
            port.update();
        } else if port.info_is == InfoIs::Received
            && port.rcvd_info_while == 0
            && !port.updt_info
            && port.message.is_none()
        {
            port.age();
        } else if let Some(message) =
            port.message.take_if(|_| !port.updt_info && port.info_is != InfoIs::Aged)
        {
            port.receive(&message);
        } else {
            return false;
        }
        true
    }
}

impl Port {
    fn disable_information(&mut self) {
        self.message = None;
        (self.proposing, self.proposed, self.agree, self.agreed) = (false, false, false, false);
        self.rcvd_info_while = 0;
        self.info_is = InfoIs::Disabled;
        (self.reselect, self.selected) = (true, false);
    }

    fn age(&mut self) {
        self.info_is = InfoIs::Aged;
        (self.reselect, self.selected) = (true, false);
    }

    fn is_to_be_updated(&self) -> bool {
        self.selected && self.updt_info
    }

    fn update(&mut self) {
        (self.proposing, self.proposed) = (false, false);
        let better = self.info_is == InfoIs::Mine && self.designated_priority <= self.port_priority;
        self.agreed = self.agreed && better;
        self.synced = self.synced && self.agreed;
        self.port_priority = self.designated_priority;
        self.port_times = self.designated_times;
        self.updt_info = false;
        self.info_is = InfoIs::Mine;
        self.new_info = true;
    }

    fn receive(&mut self, message: &Bpdu) {
        let (configuration, rapid) = match *message {
            Bpdu::Tcn => {
                self.rcvd_tcn = true;
                return;
            }
            Bpdu::Config(configuration) => (configuration, None),
            Bpdu::Rapid(configuration, rapid) => (configuration, Some(rapid)),
        };
        let times = configuration.times.in_range();
        match self.worth(&configuration, rapid, times) {
            Worth::SuperiorDesignated => {
                (self.agreed, self.proposing) = (false, false);
                self.record_proposal(rapid);
                self.record_flags(&configuration);
                let better = self.info_is == InfoIs::Received && configuration.vector <= self.port_priority;
                self.agree = self.agree && better;
                self.port_priority = configuration.vector;
                self.port_times = times;
                self.record_life();
                self.info_is = InfoIs::Received;
                (self.reselect, self.selected) = (true, false);
            }
            Worth::RepeatedDesignated => {
                self.record_proposal(rapid);
                self.record_flags(&configuration);
                self.record_life();
            }
            // A neighbour that does not hear us says worse things, and forwards: nothing may be forwarded to it.
            Worth::InferiorDesignated => {
                if rapid.is_some_and(|rapid| rapid.learning) {
                    (self.disputed, self.agreed) = (true, false);
                }
            }
            Worth::InferiorRootAlternate => {
                let agrees = rapid.is_some_and(|rapid| rapid.agreement) && self.config.point_to_point;
                self.agreed = agrees;
                if agrees {
                    self.proposing = false;
                }
                self.record_flags(&configuration);
            }
            Worth::Other => {}
        }
    }

    fn worth(&self, configuration: &Configuration, rapid: Option<Rapid>, times: Times) -> Worth {
        let (heard, known) = (configuration.vector, self.port_priority);
        let role = rapid.map_or(Role::Designated, |rapid| rapid.role);
        match role {
            Role::Designated => {
                let same_port = |a: Vector, b: Vector| {
                    a.bridge.mac() == b.bridge.mac() && a.port & 0xfff == b.port & 0xfff
                };
                let news = if heard == known { times != self.port_times } else { same_port(heard, known) };
                if heard < known || news {
                    Worth::SuperiorDesignated
                } else if heard == known && self.info_is == InfoIs::Received {
                    Worth::RepeatedDesignated
                } else if heard > known {
                    Worth::InferiorDesignated
                } else {
                    Worth::Other
                }
            }
            Role::Root | Role::Alternate | Role::Backup if heard >= known => Worth::InferiorRootAlternate,
            _ => Worth::Other,
        }
    }

    fn record_proposal(&mut self, rapid: Option<Rapid>) {
        if rapid.is_some_and(|rapid| rapid.proposal) {
            self.proposed = true;
        }
    }

    fn record_flags(&mut self, configuration: &Configuration) {
        self.rcvd_tc |= configuration.topology_change;
        self.rcvd_tc_ack |= configuration.topology_change_ack;
    }

    /// `updtRcvdInfoWhile` (section 17.21.23).
    fn record_life(&mut self) {
        let times = self.port_times;
        let old = times.message_age.saturating_add(1) > times.max_age;
        self.rcvd_info_while = if old { 0 } else { 3 * times.hello_time };
    }
}
