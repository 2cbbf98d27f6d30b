//! What would happen to a packet, and why: the translation with side effects off, in words.

use std::fmt::Write;

use heddle_datapath::Action;
use heddle_flow::{Field, FlowKey, FlowMask, Match};
use heddle_openflow::text;

use crate::bridge::Network;
use crate::translate::Translation;

/// Most recirculations that a trace follows.
const MAX_RECIRCULATIONS: usize = 8;

/// Explains what happens to a packet with this key, as the datapath extracts it.
pub fn trace(network: &Network, key: &FlowKey, now_ms: u64) -> String {
    let mut out = format!("Flow: {}\n\n", text::print_match(&Match::new(key, &present(key))));
    let mut key = *key;
    for _ in 0..=MAX_RECIRCULATIONS {
        let explained = Translation::explained(network, &key, now_ms, false, true);
        for line in &explained.lines {
            let _ = writeln!(out, "{line}");
        }
        let outcome = explained.outcome;
        let megaflow = text::print_match(&Match::new(&key, &outcome.mask));
        let _ = writeln!(out, "\nMegaflow: recirc_id={:#x},{megaflow}", key.recirc_id());
        let _ = writeln!(out, "Datapath actions: {}", print_actions(&outcome.actions));
        if let Some(reason) = outcome.drop {
            let _ = writeln!(out, "Dropped: {reason}");
        }
        let Some(id) = recirculation(&outcome.actions) else { break };
        // The packet's headers are not at hand: the walk goes on with the key that the first half ended with.
        let _ = writeln!(out, "\nThe packet is read anew ({id:#x}).");
        let in_port = key.in_port();
        key = explained.last;
        key.set_in_port(in_port);
        key.set_recirc_id(id);
        if let Some(Action::PopMpls { ethertype }) =
            outcome.actions.iter().rfind(|action| matches!(action, Action::PopMpls { .. }))
        {
            key.set(Field::EthType, u128::from(*ethertype));
        }
    }
    out
}

/// Every bit of the fields that a packet of this kind has.
fn present(key: &FlowKey) -> FlowMask {
    let mut mask = FlowMask::default();
    for spec in heddle_flow::field::FIELDS.iter().filter(|spec| spec.primary) {
        let shown = spec.field <= Field::VlanTci || key.get(spec.field) != 0;
        if shown && spec.prerequisite.holds(key, None) {
            mask.add(spec.field);
        }
    }
    mask
}

fn recirculation(actions: &[Action]) -> Option<u32> {
    actions.iter().find_map(|action| match action {
        Action::Recirculate(id) => Some(*id),
        Action::Clone(actions) => recirculation(actions),
        _ => None,
    })
}

/// Writes datapath actions.
pub fn print_actions(actions: &[Action]) -> String {
    if actions.is_empty() {
        return "drop".into();
    }
    let words: Vec<String> = actions
        .iter()
        .map(|action| match action {
            Action::Output(port) => port.to_string(),
            Action::Set { field, value, mask } => {
                let full = *mask == field.spec().full_mask();
                let mask = if full { String::new() } else { format!("/{mask:#x}") };
                format!("set({}={value:#x}{mask})", field.spec().name)
            }
            Action::PushVlan { tpid, tci } => {
                format!("push_vlan(tpid={tpid:#06x},vid={},pcp={})", tci & 0xfff, tci >> 13)
            }
            Action::PopVlan => "pop_vlan".into(),
            Action::PushMpls { ethertype, lse } => format!(
                "push_mpls(label={},tc={},ttl={},bos={},eth_type={ethertype:#06x})",
                lse >> 12,
                lse >> 9 & 7,
                lse & 0xff,
                lse >> 8 & 1
            ),
            Action::PopMpls { ethertype } => format!("pop_mpls(eth_type={ethertype:#06x})"),
            Action::Recirculate(id) => format!("recirc({id:#x})"),
            Action::Clone(actions) => format!("clone({})", print_actions(actions)),
            Action::Punt { max_len, .. } => format!("userspace(controller,max_len={max_len})"),
        })
        .collect();
    words.join(",")
}
