//! What each action does.

use heddle_flow::Field;
use heddle_openflow::{Action, port};

use super::{MAX_DEPTH, Misses, Translation};

impl Translation<'_> {
    pub(super) fn act(&mut self, action: &Action) {
        match *action {
            Action::Output { port, max_len } => self.output(port, max_len),
            Action::SetField { field, value, mask } => self.set_field(field, value, mask),
            Action::PushVlan(tpid) => self.push_vlan(tpid),
            Action::PopVlan => self.pop_vlan(),
            Action::PushMpls(eth_type) => self.push_mpls(eth_type),
            Action::PopMpls(eth_type) => self.pop_mpls(eth_type),
            Action::SetTtl(ttl) => self.set_field(Field::NwTtl, u128::from(ttl), 0xff),
            Action::SetMplsTtl(ttl) => self.set_field(Field::MplsTtl, u128::from(ttl), 0xff),
            Action::DecTtl => self.decrement(Field::NwTtl),
            Action::DecMplsTtl => self.decrement(Field::MplsTtl),
            Action::Group(id) => self.group(id),
            Action::Resubmit { port, table } => self.resubmit(port, table, Misses::Dropped),
            Action::Move { src, src_ofs, dst, dst_ofs, n_bits } => {
                self.move_bits(src, src_ofs, dst, dst_ofs, n_bits);
            }
            Action::Load { bits, value } => {
                self.set_field(bits.field, u128::from(value) << bits.offset, bits.mask());
            }
            Action::Controller(ref controller) => self.punt(controller.reason, controller.max_len),
            // Refused when a flow is added: see `flow_mod`.
            _ => {}
        }
    }

    pub(super) fn resubmit(&mut self, as_port: Option<u32>, table: Option<u8>, misses: Misses) {
        if self.depth >= MAX_DEPTH {
            return self.fail("too many resubmissions within each other");
        }
        let old_table = self.stay.table;
        let number = as_port.filter(|&number| number != port::IN_PORT).unwrap_or(self.stay.in_port);
        self.depth += 1;
        self.enter_table(table.unwrap_or(old_table), number, misses);
        self.depth -= 1;
        // What ends the actions of a flow does not end those of the flow that resubmitted.
        self.halted = false;
        self.stay.table = old_table;
    }
}
