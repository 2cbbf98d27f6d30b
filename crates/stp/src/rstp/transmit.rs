//! The port transmit machine (section 17.26).

use super::Rstp;
use crate::bpdu::{Configuration, Rapid};
use crate::{Bpdu, Event, Role};

impl Rstp {
    /// Sends what is to be sent by a port, and may be.
    pub(super) fn transmit(&mut self, number: u16) {
        let hold = self.config.transmit_hold_count;
        let Some(port) = self.ports.get_mut(&number).filter(|port| port.is_settled()) else { return };
        if port.hello_when == 0 {
            let repeats = port.role == Role::Designated || port.role == Role::Root && port.tc_while != 0;
            port.new_info |= repeats;
            port.hello_when = port.designated_times.hello_time;
        }
        if !port.new_info || port.tx_count >= hold || !port.config.enabled {
            return;
        }
        let configuration = Configuration {
            topology_change: port.tc_while != 0,
            topology_change_ack: port.tc_ack,
            vector: port.designated_priority,
            times: port.designated_times,
        };
        let message = match (port.send_rstp, port.role) {
            (true, role) => {
                let rapid = Rapid {
                    role,
                    proposal: port.proposing,
                    agreement: port.agree,
                    learning: port.learning,
                    forwarding: port.forwarding,
                };
                Bpdu::Rapid(Configuration { topology_change_ack: false, ..configuration }, rapid)
            }
            (false, Role::Root) => Bpdu::Tcn,
            (false, Role::Designated) => Bpdu::Config(configuration),
            // STP's other ports say nothing.
            (false, _) => {
                port.new_info = false;
                return;
            }
        };
        port.new_info = false;
        port.tc_ack = false;
        port.tx_count += 1;
        port.tx_count_total += 1;
        self.events.push(Event::Send(number, message));
    }
}
