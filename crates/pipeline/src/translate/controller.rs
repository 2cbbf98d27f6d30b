//! Handing packets to controllers.

use heddle_datapath::Action as Act;
use heddle_flow::Field;
use heddle_openflow::port;

use super::Translation;
use crate::frozen::Punt;

impl Translation<'_> {
    /// A packet-in of the table-miss flow, which a port may be told not to cause (section 7.2.1).
    pub(super) fn punt_miss(&mut self, max_len: u16) {
        if self.config_of(self.stay.in_port) & port::config::NO_PACKET_IN != 0 {
            return self.drop_because("port causes no packet-in");
        }
        self.punt(0, max_len);
    }

    /// A packet-in for a packet that no flow takes and that no flow asked for (OpenFlow before 1.3).
    pub(super) fn show_miss(&mut self) {
        if self.config_of(self.stay.in_port) & port::config::NO_PACKET_IN != 0 {
            return self.drop_because("port causes no packet-in");
        }
        self.stay.cookie = 0;
        self.punt_as(0, u16::MAX, true);
    }

    pub(super) fn punt(&mut self, reason: u8, max_len: u16) {
        self.punt_as(reason, max_len, false);
    }

    fn punt_as(&mut self, reason: u8, max_len: u16, unasked: bool) {
        self.commit();
        let punt = Punt {
            bridge: self.stay.bridge.name.clone(),
            reason,
            table: self.stay.table,
            cookie: self.stay.cookie,
            in_port: self.stay.in_port,
            metadata: self.key.get(Field::Metadata) as u64,
            unasked,
        };
        let (id, forgot) = self.network.punts.number(&punt);
        self.actions.push(Act::Punt { id, max_len });
        self.renumber(forgot);
    }
}
