//! Handing packets to controllers.

use std::sync::Arc;

use heddle_datapath::Action as Act;
use heddle_flow::Field;
use heddle_flow::field::FIELDS;
use heddle_openflow::action::Controller;
use heddle_openflow::meter::MeterMod;
use heddle_openflow::packet::reason;
use heddle_openflow::port;

use super::Translation;
use crate::frozen::{Punt, Step};

impl Translation<'_> {
    /// A packet-in of the table-miss flow, which a port may be told not to cause (section 7.2.1).
    pub(super) fn punt_miss(&mut self, max_len: u16) {
        if self.config_of(self.stay.in_port) & port::config::NO_PACKET_IN != 0 {
            return self.drop_because("port causes no packet-in");
        }
        self.punt(reason::NO_MATCH, max_len);
    }

    /// A packet-in for a packet that no flow takes. `unasked` says that nobody configured the table so: it is then for controllers
    /// of OpenFlow before 1.3 alone.
    pub(super) fn show_miss(&mut self, unasked: bool) {
        if self.config_of(self.stay.in_port) & port::config::NO_PACKET_IN != 0 {
            return self.drop_because("port causes no packet-in");
        }
        self.stay.cookie = 0;
        self.punt_as(&Controller { reason: reason::NO_MATCH, ..Controller::default() }, unasked, None);
    }

    /// Says why outputs send to controllers from here on; what a packet-out does is its own whatever it uses.
    pub(super) fn because_of(&mut self, why: u8) {
        if self.stay.reason != reason::PACKET_OUT {
            self.stay.reason = why;
        }
    }

    pub(super) fn punt(&mut self, reason: u8, max_len: u16) {
        self.punt_as(&Controller { reason, max_len, ..Controller::default() }, false, None);
    }

    /// Hands the packet over as an action says. Where it says so, the packet waits for the controller to let it go on.
    pub(super) fn punt_for(&mut self, controller: &Controller) {
        if !controller.pause {
            return self.punt_as(controller, false, None);
        }
        self.commit();
        // What is left is gathered like that of any freeze, and kept under the number that the controller gets.
        self.frozen = Some(Vec::new());
        self.paused = Some(controller.clone());
    }

    /// Hands over a packet that waits; what is left to be done with it are `steps`.
    pub(super) fn punt_paused(&mut self, controller: &Controller, steps: Vec<Step>) {
        let (id, forgot) = self.network.frozen.number(&self.state(steps));
        self.stay.action_set.clear();
        self.renumber(forgot);
        self.punt_as(controller, false, Some(id));
    }

    /// Hands the packet, which is a message of the spanning tree, to the protocol.
    pub(super) fn punt_message(&mut self) {
        let punt = Punt {
            bridge: self.stay.bridge.name.clone(),
            in_port: self.stay.in_port,
            is_message: true,
            ..Punt::default()
        };
        let (id, forgot) = self.network.punts.number(&punt);
        self.actions.push(Act::Punt { id, max_len: u16::MAX });
        self.renumber(forgot);
    }

    fn punt_as(&mut self, controller: &Controller, unasked: bool, continuation: Option<u32>) {
        self.commit();
        let punt = Punt {
            bridge: self.stay.bridge.name.clone(),
            reason: controller.reason,
            table: self.stay.table,
            cookie: self.stay.cookie,
            in_port: self.stay.in_port,
            metadata: self.key.get(Field::Metadata) as u64,
            fields: self.carried_fields(),
            controller_id: controller.id,
            userdata: controller.userdata.clone(),
            continuation,
            unasked,
            is_message: false,
        };
        let (id, forgot) = self.network.punts.number(&punt);
        let punt = Act::Punt { id, max_len: controller.max_len };
        let meters = &self.stay.snapshot.meters;
        let wanted =
            if controller.meter == Controller::NO_METER { MeterMod::CONTROLLER } else { controller.meter };
        match meters.get(&wanted) {
            Some(entry) => {
                let meter = Act::Meter(Arc::clone(&entry.meter));
                self.actions.push(Act::Clone([meter, punt].into()));
            }
            None => self.actions.push(punt),
        }
        self.renumber(forgot);
    }

    /// Fields that the packet's headers do not say, where they are not zero.
    fn carried_fields(&self) -> Vec<(Field, u128)> {
        // Metadata is told by itself, and where an action set would send the packet is not told, as in Open vSwitch.
        let told = [Field::Metadata, Field::ActsetOutput];
        let mut fields = Vec::new();
        for spec in
            FIELDS.iter().filter(|spec| spec.primary && spec.is_carried() && !told.contains(&spec.field))
        {
            let value = self.key.get(spec.field);
            if value != 0 {
                fields.push((spec.field, value));
            }
        }
        fields
    }
}
