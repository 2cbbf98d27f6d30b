//! What each action does.

use std::sync::Arc;

use heddle_datapath::Action as Act;
use heddle_flow::Field;
use heddle_openflow::action::Bits;
use heddle_openflow::packet::reason;
use heddle_openflow::{Action, port};
use heddle_wire::ethertype;

use super::{MAX_DEPTH, Misses, Translation};
use crate::trace::Kind;

/// Most values that are remembered: no table needs more, and each is kept where a translation freezes.
const MAX_STACK: usize = 1024;

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
            Action::DecTtl => self.decrement_ttl(Field::NwTtl, &[0]),
            Action::DecMplsTtl => self.decrement_ttl(Field::MplsTtl, &[0]),
            Action::Group(id) => self.group(id),
            Action::Resubmit { port, table } => self.resubmit(port, table, Misses::Dropped),
            Action::Move { src, src_ofs, dst, dst_ofs, n_bits } => {
                self.move_bits(src, src_ofs, dst, dst_ofs, n_bits);
            }
            Action::Load { bits, value } => {
                self.set_field(bits.field, u128::from(value) << bits.offset, bits.mask());
            }
            Action::Controller(ref controller) => self.punt_for(controller),
            Action::OutputBits { bits, max_len } => self.output_bits(bits, max_len),
            Action::OutputTrunc { port, max_len } => self.output_cut(port, max_len),
            Action::Enqueue { port, queue } => {
                let before = std::mem::replace(&mut self.queue, queue);
                self.output(port, 0);
                self.queue = before;
            }
            Action::SetQueue(queue) => self.queue = queue,
            Action::PopQueue => self.queue = 0,
            Action::CopyTtlOut => self.copy_ttl_out(),
            Action::CopyTtlIn => self.copy_ttl_in(),
            Action::PushPbb(_) => self.push_pbb(),
            Action::PopPbb => self.pop_pbb(),
            Action::DecTtlIds(ref ids) => self.decrement_ttl(Field::NwTtl, ids),
            Action::Push(bits) => self.push(bits),
            Action::Pop(bits) => self.pop(bits),
            Action::Multipath(ref multipath) => self.multipath(multipath),
            Action::Bundle(ref bundle) => self.bundle(bundle),
            Action::Learn(ref learn) => self.learn_flow(learn),
            Action::Clone(ref actions) => self.clone_of(actions),
            Action::Exit => self.exited = true,
            Action::FinTimeout { idle, hard } => self.fin_timeout(idle, hard),
            // The classifier has read one, the other means nothing, and flows cannot have the third.
            Action::Conjunction { .. } | Action::Note(_) | Action::Sample(_) => {}
        }
    }

    pub(super) fn resubmit(&mut self, as_port: Option<u32>, table: Option<u8>, misses: Misses) {
        if self.depth >= MAX_DEPTH {
            return self.fail("too many resubmissions within each other");
        }
        let (flow, here) = (self.flow.clone(), (self.stay.table, self.stay.cookie, self.stay.table_miss));
        let number = as_port.filter(|&number| number != port::IN_PORT).unwrap_or(self.stay.in_port);
        let why = std::mem::replace(&mut self.stay.reason, reason::ACTION);
        self.depth += 1;
        self.enter_table(table.unwrap_or(here.0), number, misses);
        self.depth -= 1;
        self.stay.reason = why;
        // What ends the actions of a flow does not end those of the flow that resubmitted.
        self.halted = false;
        self.flow = flow;
        (self.stay.table, self.stay.cookie, self.stay.table_miss) = here;
    }

    /// Remembers the value of some bits.
    fn push(&mut self, bits: Bits) {
        if !self.has(bits.field) {
            return;
        }
        if self.stack.len() >= MAX_STACK {
            return self.fail("the stack is full");
        }
        let value = self.bits(bits);
        self.stack.push((value, bits.count));
    }

    /// Sets some bits to what was remembered last; of more bits than they are, to the lower ones.
    fn pop(&mut self, bits: Bits) {
        match self.stack.pop() {
            Some((value, _)) => self.set_bits(bits, value),
            None => self.explain(Kind::Warning, || "the stack is empty".into()),
        }
    }

    /// Runs actions on a copy: what they change and remember is forgotten after them.
    fn clone_of(&mut self, actions: &[Action]) {
        if self.depth >= MAX_DEPTH {
            return self.fail("too many copies within each other");
        }
        let (stack, set) = (self.stack.clone(), std::mem::take(&mut self.stay.action_set));
        self.on_a_copy(|this| {
            this.apply(actions);
            this.freeze_rest();
        });
        self.stack = stack;
        self.stay.action_set = set;
    }

    /// Passes the packet through a meter. One that may mark it is followed by a fresh look at the packet.
    pub(super) fn meter(&mut self, id: u32) {
        let Some(entry) = self.stay.snapshot.meters.get(&id).cloned() else {
            return self.drop_because("no such meter");
        };
        self.commit();
        self.actions.push(Act::Meter(Arc::clone(&entry.meter)));
        self.look_at(Field::EthType);
        if entry.meter.remarks() && matches!(self.key.eth_type(), ethertype::IPV4 | ethertype::IPV6) {
            self.frozen = Some(Vec::new());
        }
    }
}
