//! Making flows out of packets (Nicira's `learn`), and shortening their lives once a connection has ended.

use std::sync::Arc;

use heddle_openflow::action::{Learn, LearnSource, LearnTarget};

use super::Translation;
use crate::decision::{Credit, Visit};
use crate::learning::{Outcome, learned};
use crate::trace::Kind;

impl Translation<'_> {
    /// Learns a flow. It is in force before this translation ends: what is looked up next finds it.
    pub(super) fn learn_flow(&mut self, learn: &Learn) {
        for spec in &learn.specs {
            if let LearnSource::Field(bits) = spec.source {
                self.bits(bits);
            }
            // Whether the flow can have the field depends on the packet's kind, which the match of this flow has asked.
            debug_assert!(!matches!(spec.target, LearnTarget::Output) || spec.count != 0);
        }
        let flow = learned(learn, &self.key);
        self.explain(Kind::Detail, || format!("learned: {}", heddle_openflow::text::print_flow(&flow)));
        let bridge = Arc::clone(&self.stay.bridge);
        let there = if self.effects {
            let outcome = bridge.learn_flow(&flow, learn.limit, self.now_ms);
            if matches!(outcome, Outcome::Added(_)) {
                self.stay.snapshot = bridge.snapshot();
            }
            !matches!(outcome, Outcome::Full)
        } else {
            bridge.may_learn(&flow, learn.limit)
        };
        if learn.limit != 0 || learn.result.is_some() {
            // Whether there is room depends on every flow of the table.
            let visit = Visit {
                table: learn.table,
                in_port: self.stay.in_port,
                written: heddle_flow::FlowMask::all(),
                matched: false,
                whole: true,
            };
            if let Some(looks) = self.looks() {
                looks.push(visit);
            }
        }
        if !there {
            self.explain(Kind::Warning, || "the table has as many such flows as it may".into());
        }
        if let Some(result) = learn.result {
            self.set_bits(result, there.into());
        }
        self.kept.credits.push(Credit::Learned { bridge, flow: Box::new(flow), limit: learn.limit });
    }

    /// Packets of this kind that end a connection shorten the timeouts of the flow that they met.
    pub(super) fn fin_timeout(&mut self, idle: u16, hard: u16) {
        if let Some(flow) = self.flow.clone() {
            let bridge = Arc::clone(&self.stay.bridge);
            self.kept.credits.push(Credit::Ended { bridge, flow, idle, hard });
        }
    }
}
