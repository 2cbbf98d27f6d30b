//! Tables with limits: what is refused, and which flow goes.
#![allow(missing_docs, clippy::unwrap_used)]

use heddle_flow::Field;
use heddle_openflow::text::parse_flow;
use heddle_openflow::{FlowMod, OfError};
use heddle_pipeline::flow_mod::{FlowChange, Gone};
use heddle_pipeline::table::TableLimit;
use heddle_pipeline::{Bridge, Network};

fn add(bridge: &Bridge, text: &str, now_ms: u64) -> Result<Vec<FlowChange>, OfError> {
    bridge.flow_mod(&parse_flow(text).unwrap(), now_ms)
}

/// The cookies of the flows that went.
fn evicted(changes: &[FlowChange]) -> Vec<u64> {
    let cookie = |change: &FlowChange| match change {
        FlowChange::Removed(flow, Gone::Evicted) => Some(flow.cookie),
        _ => None,
    };
    changes.iter().filter_map(cookie).collect()
}

fn limit(flows: usize, evicts: bool, groups: &[Field]) -> Option<TableLimit> {
    Some(TableLimit { flows: Some(flows), evicts, groups: groups.to_vec() })
}

#[test]
fn a_full_table_refuses_new_flows_and_no_others() {
    let network = Network::default();
    let bridge = network.add_bridge("br0", Box::new(|_| true)).unwrap();
    bridge.set_limit(0, limit(2, false, &[]), 0);
    for flow in ["in_port=1,actions=drop", "in_port=2,idle_timeout=9,actions=drop"] {
        add(&bridge, flow, 0).unwrap();
    }
    assert_eq!(add(&bridge, "in_port=3,actions=drop", 0).err(), Some(OfError::FlowModTableFull));
    assert_eq!(add(&bridge, "in_port=2,idle_timeout=9,actions=output:1", 0).unwrap().len(), 1);
    add(&bridge, "table=1,in_port=3,actions=drop", 0).unwrap();
    bridge.set_limit(0, None, 0);
    add(&bridge, "in_port=3,actions=drop", 0).unwrap();
}

#[test]
fn the_flow_that_would_end_soonest_makes_room() {
    let network = Network::default();
    let bridge = network.add_bridge("br0", Box::new(|_| true)).unwrap();
    bridge.set_limit(0, limit(3, true, &[]), 0);
    for flow in [
        "cookie=1,in_port=1,hard_timeout=30,actions=drop",
        "cookie=2,in_port=2,idle_timeout=20,actions=drop",
        "cookie=3,in_port=3,actions=drop",
    ] {
        add(&bridge, flow, 0).unwrap();
    }
    // A packet keeps the second alive until 35 s.
    let flows = bridge.snapshot().flows();
    let used = flows.iter().find(|flow| flow.cookie == 2).unwrap();
    used.stats.used_ms.store(15_000, std::sync::atomic::Ordering::Relaxed);
    assert_eq!(evicted(&add(&bridge, "cookie=4,in_port=4,actions=drop", 16_000).unwrap()), [1]);
    assert_eq!(evicted(&add(&bridge, "cookie=5,in_port=5,actions=drop", 16_000).unwrap()), [2]);
    let refused = add(&bridge, "cookie=6,in_port=6,actions=drop", 16_000);
    assert_eq!(refused.err(), Some(OfError::FlowModTableFull), "flows without an end stay");
    assert_eq!(bridge.snapshot().flows().len(), 3);
}

#[test]
fn the_least_important_flow_makes_room_however_long_it_has() {
    let network = Network::default();
    let bridge = network.add_bridge("br0", Box::new(|_| true)).unwrap();
    bridge.set_limit(0, limit(2, true, &[]), 0);
    for (flow, importance) in [
        ("cookie=1,in_port=1,hard_timeout=5,actions=drop", 9),
        ("cookie=2,in_port=2,hard_timeout=90,actions=drop", 3),
        ("cookie=3,in_port=3,hard_timeout=50,actions=drop", 9),
    ] {
        let flow = FlowMod { importance, ..parse_flow(flow).unwrap() };
        let changes = bridge.flow_mod(&flow, 0).unwrap();
        assert_eq!(evicted(&changes), if flow.cookie == 3 { vec![2] } else { vec![] });
    }
}

#[test]
fn the_largest_group_loses_a_flow_and_a_lower_limit_applies_at_once() {
    let network = Network::default();
    let bridge = network.add_bridge("br0", Box::new(|_| true)).unwrap();
    bridge.set_limit(0, limit(4, true, &[Field::InPort]), 0);
    for (cookie, port) in [(10, 2), (20, 1), (30, 1), (40, 1)] {
        let flow = format!(
            "cookie={cookie},in_port={port},dl_dst=02:00:00:00:00:{cookie},idle_timeout={cookie},actions=drop"
        );
        add(&bridge, &flow, 0).unwrap();
    }
    assert_eq!(evicted(&add(&bridge, "cookie=5,in_port=2,actions=drop", 0).unwrap()), [20]);
    assert_eq!(evicted(&bridge.set_limit(0, limit(2, true, &[]), 0)), [10, 30]);
}
