//! Changes of flows, and who is told of them.

use std::sync::Arc;

use heddle_openflow::{FlowMod, OfError};
use heddle_pipeline::Flow;
use heddle_pipeline::bridge::Origin;
use heddle_pipeline::flow_mod::{FlowChange, Gone, flow_removed};

use crate::bridge::{Event, ManagedBridge};

/// What became of flows.
pub(crate) enum Gathered {
    /// By one message.
    One(Vec<FlowChange>),
    /// By the messages of a bundle.
    Several(Vec<Vec<FlowChange>>),
}

impl Gathered {
    fn iter(&self) -> impl Iterator<Item = &FlowChange> {
        let (one, several) = match self {
            Self::One(changes) => (changes.as_slice(), [].as_slice()),
            Self::Several(all) => ([].as_slice(), all.as_slice()),
        };
        one.iter().chain(several.iter().flatten())
    }
}

pub(super) fn change(flow_mod: &FlowMod, by: Origin, bridge: &ManagedBridge) -> Result<(), OfError> {
    let changed = bridge.bridge.flow_mod_by(flow_mod, Some(by), bridge.clock.now_ms())?;
    announce(Gathered::One(changed), bridge);
    Ok(())
}

/// Tells the controllers of flows that went and asked for it.
pub(crate) fn announce(changed: Gathered, bridge: &ManagedBridge) {
    let gone: Vec<(&Arc<Flow>, Gone)> = changed
        .iter()
        .filter_map(|change| match change {
            FlowChange::Removed(flow, why) if flow.flags & FlowMod::SEND_REMOVED != 0 => Some((flow, *why)),
            _ => None,
        })
        .collect();
    if !gone.is_empty() {
        // What passed until then belongs to the announcement.
        bridge.flush();
    }
    for (flow, why) in gone {
        bridge.tell(Event::FlowRemoved(Box::new(flow_removed(flow, why, bridge.clock.now_ms()))));
    }
}
