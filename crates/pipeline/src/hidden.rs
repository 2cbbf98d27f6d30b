//! Flows that are nobody's to see or change, looked up before the first table's own: what keeps a controller reachable through the
//! bridge whatever its flows say (Open vSwitch's in-band control).

use std::sync::Arc;

use heddle_flow::{Classifier, PackedMatch};
use heddle_openflow::FlowMod;

use crate::bridge::Bridge;
use crate::table::{Flow, FlowStats};

impl Bridge {
    /// Makes these the hidden flows; those that are there already keep their counters.
    pub fn set_hidden(&self, flows: &[FlowMod], now_ms: u64) {
        self.publish(|snapshot, changes| {
            let mut hidden = Classifier::default();
            for flow in flows {
                let known = snapshot.hidden.find(&flow.matching, flow.priority);
                hidden.insert(known.cloned().unwrap_or_else(|| Arc::new(hidden_flow(flow, now_ms))));
            }
            snapshot.hidden = Arc::new(hidden);
            changes.everything();
        });
    }
}

fn hidden_flow(flow: &FlowMod, now_ms: u64) -> Flow {
    Flow {
        table: 0,
        matching: PackedMatch::from(&flow.matching),
        priority: flow.priority,
        cookie: 0,
        idle_timeout: 0,
        hard_timeout: 0,
        flags: 0,
        importance: 0,
        created_ms: now_ms,
        modified_ms: now_ms,
        placed: 0,
        added: 0,
        modified: 0,
        instructions: flow.instructions.clone().into(),
        stats: Arc::new(FlowStats::default()),
    }
}
