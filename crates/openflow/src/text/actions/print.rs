//! Lists of actions: writing them.

use std::fmt::Write;

use heddle_flow::Field;

use super::learn;
use crate::action::{Action, BundleAlgorithm, Controller, LinkAlgorithm, Sample};
use crate::text::values::{print_masked, print_port, print_value};
use crate::{names, port};

/// Writes an action.
pub fn print_action(action: &Action) -> String {
    match action {
        Action::Output { port: port::CONTROLLER, max_len } => format!("CONTROLLER:{max_len}"),
        Action::Output { port: number, .. } => {
            port::name(*number).map_or_else(|| format!("output:{number}"), str::to_owned)
        }
        Action::OutputBits { bits, .. } => format!("output:{}", names::bits(*bits)),
        Action::OutputTrunc { port, max_len } => {
            format!("output(port={},max_len={max_len})", print_port(*port))
        }
        Action::Enqueue { port, queue } => format!("enqueue:{}:{queue}", print_port(*port)),
        Action::CopyTtlOut => "copy_ttl_out".into(),
        Action::CopyTtlIn => "copy_ttl_in".into(),
        Action::SetMplsTtl(ttl) => format!("set_mpls_ttl({ttl})"),
        Action::DecMplsTtl => "dec_mpls_ttl".into(),
        Action::PushVlan(tpid) => format!("push_vlan:{tpid:#06x}"),
        Action::PopVlan => "pop_vlan".into(),
        Action::PushMpls(eth_type) => format!("push_mpls:{eth_type:#06x}"),
        Action::PopMpls(eth_type) => format!("pop_mpls:{eth_type:#06x}"),
        Action::PushPbb(tpid) => format!("push_pbb:{tpid:#06x}"),
        Action::PopPbb => "pop_pbb".into(),
        Action::SetQueue(queue) => format!("set_queue:{queue}"),
        Action::PopQueue => "pop_queue".into(),
        Action::Group(group) => format!("group:{group}"),
        Action::SetTtl(ttl) => format!("mod_nw_ttl:{ttl}"),
        Action::DecTtl => "dec_ttl".into(),
        Action::DecTtlIds(ids) => {
            format!("dec_ttl({})", ids.iter().map(u16::to_string).collect::<Vec<_>>().join(","))
        }
        Action::SetField { field, value, mask } => print_set(*field, *value, *mask),
        Action::Load { bits, value } => format!("load:{}->{}", load_value(*value), names::bits(*bits)),
        Action::Resubmit { port: None, table: Some(table) } => format!("resubmit(,{table})"),
        Action::Resubmit { port: Some(number), table: Some(table) } => {
            format!("resubmit({},{table})", print_port(*number))
        }
        Action::Resubmit { port: number, table: None } => {
            format!("resubmit:{}", print_port(number.unwrap_or(port::IN_PORT)))
        }
        Action::Move { src, src_ofs, dst, dst_ofs, n_bits } => {
            let of = |field, offset| names::bits(crate::action::Bits { field, offset, count: *n_bits });
            format!("move:{}->{}", of(*src, *src_ofs), of(*dst, *dst_ofs))
        }
        Action::Push(bits) => format!("push:{}", names::bits(*bits)),
        Action::Pop(bits) => format!("pop:{}", names::bits(*bits)),
        Action::Controller(controller) => print_controller(controller),
        Action::Note(bytes) => format!("note:{}", dotted(bytes)),
        Action::Multipath(multipath) => format!(
            "multipath({},{},{},{},{},{})",
            multipath.fields.name(),
            multipath.basis,
            LinkAlgorithm::ALL[multipath.algorithm as usize].1,
            u32::from(multipath.max_link) + 1,
            multipath.arg,
            names::bits(multipath.dst)
        ),
        Action::Bundle(bundle) => {
            let members =
                bundle.members.iter().map(|&member| print_port(member)).collect::<Vec<_>>().join(",");
            format!(
                "bundle{}({},{},{},ofport,{}members:{members})",
                if bundle.dst.is_some() { "_load" } else { "" },
                bundle.fields.name(),
                bundle.basis,
                BundleAlgorithm::ALL[bundle.algorithm as usize].1,
                bundle.dst.map_or_else(String::new, |dst| names::bits(dst) + ","),
            )
        }
        Action::Learn(learned) => learn::print(learned),
        Action::Conjunction { id, clause, clauses } => {
            format!("conjunction({id},{}/{clauses})", u16::from(*clause) + 1)
        }
        Action::Clone(actions) => {
            format!("clone({})", actions.iter().map(print_action).collect::<Vec<_>>().join(","))
        }
        Action::Exit => "exit".into(),
        Action::FinTimeout { idle, hard } => {
            let words = [("idle_timeout", idle), ("hard_timeout", hard)];
            let words = words.into_iter().filter(|(_, value)| **value != 0);
            let words: Vec<String> = words.map(|(name, value)| format!("{name}={value}")).collect();
            format!("fin_timeout({})", words.join(","))
        }
        Action::Sample(sample) => print_sample(sample),
    }
}

/// A number as `load` writes it: zero has no base.
fn load_value(value: u64) -> String {
    if value == 0 { "0".into() } else { format!("{value:#x}") }
}

fn dotted(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(".")
}

fn print_set(field: Field, value: u128, mask: u128) -> String {
    let name = match field {
        Field::Ipv4Src => "ip_src",
        Field::Ipv4Dst => "ip_dst",
        Field::EthSrc => "eth_src",
        Field::EthDst => "eth_dst",
        Field::TunnelId => "tun_id",
        // A part of the byte is written where it lies in it, as only `load` does.
        Field::NwTos => {
            let (offset, count) = (mask.trailing_zeros(), mask.count_ones() as u16);
            let bits = crate::action::Bits { field, offset: offset as u16, count };
            return format!("load:{:#x}->{}", value.checked_shr(offset).unwrap_or(0), names::bits(bits));
        }
        _ => field.spec().name,
    };
    if mask == field.spec().full_mask() {
        return format!("set_field:{}->{name}", print_value(field, value));
    }
    format!("set_field:{}->{name}", print_masked(field, value, mask))
}

/// The names of the reasons that a packet goes to a controller for.
pub(super) const REASONS: [&str; 6] =
    ["no_match", "action", "invalid_ttl", "action_set", "group", "packet_out"];

fn print_controller(controller: &Controller) -> String {
    let usual = Controller::default();
    if *controller == (Controller { max_len: controller.max_len, ..usual.clone() }) {
        return format!("CONTROLLER:{}", controller.max_len);
    }
    let mut words = Vec::new();
    if controller.reason != usual.reason {
        let name = REASONS.get(usize::from(controller.reason));
        let reason = name.map_or_else(|| controller.reason.to_string(), |name| (*name).to_owned());
        words.push(format!("reason={reason}"));
    }
    if controller.max_len != usual.max_len {
        words.push(format!("max_len={}", controller.max_len));
    }
    if controller.id != usual.id {
        words.push(format!("id={}", controller.id));
    }
    if !controller.userdata.is_empty() {
        words.push(format!("userdata={}", dotted(&controller.userdata)));
    }
    if controller.pause {
        words.push("pause".into());
    }
    if controller.meter != usual.meter {
        words.push(format!("meter_id={}", controller.meter));
    }
    format!("controller({})", words.join(","))
}

fn print_sample(sample: &Sample) -> String {
    let mut out = format!(
        "sample(probability={},collector_set_id={},obs_domain_id={},obs_point_id={}",
        sample.probability, sample.collector_set, sample.domain, sample.point
    );
    if sample.port != 0 {
        let _ = write!(out, ",sampling_port={}", print_port(port::from_16(sample.port)));
    }
    out + match sample.direction {
        1 => ",ingress)",
        2 => ",egress)",
        _ => ")",
    }
}
